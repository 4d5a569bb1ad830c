//! Files for the proof assistant Rocq, without it: what is written, compared and refused. That `coqc` accepts them is
//! `proofs-checks/rocq/test.sh`.

use crate::common::{gdcert, refused};
use gdcert::{Dims, Instance, Kernel, Weights};
use nalgebra::DMatrix;
use std::path::Path;
use std::process::Output;

const CERTIFY: [&str; 13] = [
    "certify", "-N", "1", "-n", "2", "-D", "2", "-d", "2", "-H", "2", "--rocq", "proof.v",
];

fn certify(folder: &Path, more: &str) -> Output {
    let args: Vec<&str> = CERTIFY.into_iter().chain(more.split_whitespace()).collect();
    gdcert(folder, &args)
}

#[track_caller]
fn fine(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn read(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).unwrap()
}

#[test]
fn the_theory_is_written_with_either_integers_and_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let said = fine(&gdcert(at, &["rocq", "theory"]));
    assert!(
        said.contains("sh theory/build.sh") && !said.contains("PrimInt63"),
        "{said}"
    );
    let z = read(at, "theory/Intervals.v");
    let project = read(at, "theory/_CoqProject");
    for file in project.lines().filter(|line| line.ends_with(".v")) {
        assert!(!read(at, &format!("theory/{file}")).is_empty());
    }
    let said = fine(&gdcert(at, &["rocq", "theory", "--primitive-integers"]));
    assert!(said.contains("PrimInt63"), "{said}");
    let primitive = read(at, "theory/Intervals.v");
    assert!(z.contains("Specific_stdz") && primitive.contains("Specific_bigint"));

    std::fs::create_dir(at.join("mine")).unwrap();
    std::fs::write(at.join("mine/Check.v"), "mine").unwrap();
    refused(at, &["rocq", "mine"], &["mine", "is not empty"]);
    refused(
        at,
        &["rocq", "mine", "--force"],
        &["Check.v", "was not written by gdcert"],
    );
    assert_eq!(read(at, "mine/Check.v"), "mine");
    refused(
        at,
        &["rocq", "theory", "--out", "there"],
        &["--out", "drop"],
    );
}

#[test]
fn a_file_is_written_and_compared_number_by_number() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let output = certify(at, "--init lazy --search-scale");
    let said = fine(&output);
    assert!(said.contains("For Rocq: proof.v"), "{said}");
    // How long it takes is said before.
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("will take coqc a few seconds"), "{stderr}");
    let text = read(at, "proof.v");
    for part in [
        "Theorem converges",
        "Print Assumptions converges.",
        "SHA-256",
    ] {
        assert!(text.contains(part), "{part}");
    }

    let check = ["check", "gdcert-out/certify", "--rocq", "proof.v"];
    let said = fine(&gdcert(at, &check));
    for part in [
        "the same: proof.v",
        "that beta is the reading per_head",
        "floating point",
    ] {
        assert!(said.contains(part), "{said}");
    }
    // One bit of a label.
    let labels = text.lines().find(|line| line.starts_with("(* y ")).unwrap();
    let changed = text.replace(labels, &labels.replacen(",-5", ",-4", 1));
    assert_ne!(changed, text);
    std::fs::write(at.join("proof.v"), changed).unwrap();
    let output = gdcert(at, &check);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("not the same: proof.v: line ") && said.contains("its y is another"));
    let json = gdcert(at, &[&check[..], &["--json"]].concat()).stdout;
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json["valid"], true);
    assert_eq!(json["rocq"]["same"], false);

    // Beside the certificate it needs no name.
    refused(
        at,
        &["check", "gdcert-out/certify", "--rocq"],
        &["certificate.v", "certify --rocq"],
    );
    std::fs::write(at.join("gdcert-out/certify/certificate.v"), &text).unwrap();
    fine(&gdcert(at, &["check", "gdcert-out/certify", "--rocq"]));
}

#[test]
fn one_ball_may_need_a_larger_scale_than_the_box() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fine(&gdcert(
        at,
        &[&CERTIFY[..11], &["--init", "lazy", "--search-scale"]].concat(),
    ));
    let scale = |at: &Path| {
        let instance = Instance::read(&at.join("gdcert-out/certify/instance.safetensors"), None);
        instance.unwrap().W().O[0].norm()
    };
    let of_box = scale(at);
    // There the form that Rocq checks does not close, and nothing is left of the earlier run.
    let output = certify(
        at,
        &format!("--init lazy --eta certified --scale {of_box:?}"),
    );
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("in the form that Rocq checks, one ball") && said.contains("--search-scale"),
        "{said}"
    );
    assert!(!at.join("proof.v").exists() && !at.join("gdcert-out/certify").exists());
    fine(&certify(at, "--init lazy --search-scale"));
    assert!(scale(at) > of_box);
    // A later run that proves nothing takes the file away too.
    assert_eq!(certify(at, "--init lazy --scale 1").status.code(), Some(1));
    assert!(!at.join("proof.v").exists());
}

#[test]
fn obstructions_and_refutations_have_their_theorems() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let output = certify(at, "--theorem 2 --init constant-value");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(read(at, "proof.v").contains("Theorem does_not_move"));
    fine(&gdcert(
        at,
        &["check", "gdcert-out/certify", "--rocq", "proof.v"],
    ));

    // The failure of the literal reading, one token and two heads.
    let one = |x: f64| DMatrix::from_element(1, 1, x);
    let W = Weights {
        Q: vec![one(0.0), one(0.0)],
        K: vec![one(0.0), one(1.0)],
        V: vec![one(0.0), one(-1.0)],
        O: vec![one(-1.0), one(-1.0)],
    };
    let tiny = Instance::new(Kernel::Gaussian, vec![one(1.0)], vec![one(0.0)], W).unwrap();
    assert_eq!(
        tiny.dims(),
        Dims {
            N: 1,
            n: 1,
            D: 1,
            d: 1,
            H: 2,
            p: 1
        }
    );
    tiny.write(&at.join("tiny.safetensors")).unwrap();
    let args =
        "certify --instance tiny.safetensors --reading stacked --tail --steps 50 --rocq tiny.v";
    let output = gdcert(at, &args.split(' ').collect::<Vec<_>>());
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = read(at, "tiny.v");
    assert!(
        text.contains("Theorem refuted") && text.contains("(W 7%nat)"),
        "{text}"
    );
    fine(&gdcert(
        at,
        &["check", "gdcert-out/certify", "--rocq", "tiny.v"],
    ));
    // Another certificate's file.
    let output = gdcert(at, &["check", "gdcert-out/certify", "--rocq", "proof.v"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}

#[test]
fn what_can_not_be_written_is_refused_before_any_work() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let of = |name: &'static str| {
        let mut args = CERTIFY.to_vec();
        args[12] = name;
        args
    };
    for name in ["my-proof.v", "proof", "1.v", ".v"] {
        refused(at, &of(name), &[name, "coqc takes"]);
    }
    std::fs::write(at.join("proof.v"), "Theorem mine : True.").unwrap();
    refused(
        at,
        &of("proof.v"),
        &["proof.v", "was not written by gdcert"],
    );
    refused(at, &of("nowhere/proof.v"), &["nowhere/proof.v"]);
    std::fs::remove_file(at.join("proof.v")).unwrap();
    let large = "certify -N 8 -n 64 -D 64 -d 64 -H 8 --kernel gaussian --rocq proof.v";
    let words = ["too large for Rocq", "hours", "choose smaller sizes"];
    refused(at, &large.split(' ').collect::<Vec<_>>(), &words);
    assert_eq!(std::fs::read_dir(at).unwrap().count(), 0);
}
