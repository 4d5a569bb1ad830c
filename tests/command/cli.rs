//! The command line as a user meets it: files, exit codes, one-line complaints.

use crate::common::{Folder, SIZES, code, signal};
use gdcert::{Dims, Init, Instance, Kernel};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// Exit code 2 and one line on stderr that contains all of `words`; nothing left behind.
#[track_caller]
fn refused(folder: &Folder, args: &[&str], words: &[&str]) {
    let stdout = crate::common::refused(folder.0.path(), args, words);
    assert!(stdout.is_empty(), "{args:?} printed to stdout");
    let left = folder.path("gdcert-out/verify");
    assert!(!left.exists(), "{args:?} left {}", left.display());
}

#[test]
fn verify_writes_its_files_and_they_agree() {
    let folder = Folder::new();
    let output = folder.verify(&[
        "--kernel",
        "gaussian",
        "--steps",
        "300",
        "--curvature-at",
        "0,0.5",
    ]);
    assert_eq!(code(&output), 0, "{output:?}");
    assert_eq!(
        folder.files("gdcert-out/verify"),
        [
            "instance.safetensors",
            "rate-vs-bound.png",
            "rate-vs-bound.svg",
            "run.json",
            "trajectory.csv",
            "verdict.json"
        ]
    );
    let verdict = folder.json("gdcert-out/verify/verdict.json");
    assert_eq!(verdict["schema"], "gdcert.verdict/1");
    assert_eq!(verdict["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(verdict["steps"], 300);
    assert_eq!(verdict["trained"], "QKV");
    assert_eq!(verdict["init"], "lecun");
    assert!(verdict["f_hull"].is_null());
    assert_eq!(verdict["curvature"][1]["rho"], 0.5);
    assert!(
        verdict["command"]
            .as_str()
            .unwrap()
            .contains("--kernel gaussian")
    );

    // Rows 0..T; the bounds are (1 - eta beta)^t f_0 and the losses those of the verdict.
    let mut csv = csv::Reader::from_path(folder.path("gdcert-out/verify/trajectory.csv")).unwrap();
    let header = csv.headers().unwrap().clone();
    assert_eq!(
        header.iter().collect::<Vec<_>>().join(","),
        "t,loss,bound_stacked,bound_per_head,bound_value,bound_ntk,grad_norm_q,grad_norm_k,grad_norm_v,sigma_min_b,moved_q,moved_k,moved_v"
    );
    let rows: Vec<_> = csv.records().map(|r| r.unwrap()).collect();
    assert_eq!(rows.len(), 301);
    let number = |t: usize, c: usize| rows[t][c].parse::<f64>().unwrap();
    let f0 = verdict["loss0"].as_f64().unwrap();
    assert_eq!(number(0, 1), f0);
    assert_eq!(number(300, 1), verdict["final_loss"].as_f64().unwrap());
    let rate = verdict["claims"]["per_head"]["rate"].as_f64().unwrap();
    let bound = (1.0 - rate).powi(300) * f0;
    assert!((number(300, 3) / bound - 1.0).abs() < 1e-11);

    // The instance file is the instance.
    let instance =
        Instance::read(&folder.path("gdcert-out/verify/instance.safetensors"), None).unwrap();
    let dims = Dims {
        N: 2,
        n: 4,
        D: 8,
        d: 4,
        H: 3,
        p: 1,
    };
    assert_eq!(
        instance,
        Instance::random(dims, Kernel::Gaussian, Init::Lecun, 0).unwrap()
    );
}

#[test]
fn json_goes_to_stdout() {
    let folder = Folder::new();
    let output = folder.verify(&["--steps", "5", "--json"]);
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(printed, folder.json("gdcert-out/verify/verdict.json"));
}

#[test]
fn results_do_not_depend_on_threads() {
    let folder = Folder::new();
    // Large enough that each precision uses its threads; the small one has an orbit too.
    let single = (
        "f64",
        "verify -N 16 -n 8 -D 32 -d 16 -H 4 -p 2 --orbit never",
    );
    let double = ("double-double", "verify -N 8 -n 4 -D 16 -d 8 -H 4 -p 2");
    for (kernel, (precision, sizes)) in [
        ("softmax", single),
        ("gaussian", single),
        ("softmax", double),
        ("gaussian", double),
    ] {
        let sizes: Vec<_> = sizes.split(' ').collect();
        let run = |threads: &str| {
            let out = format!("{kernel}-{precision}-{threads}");
            let flags = [
                "--kernel",
                kernel,
                "--precision",
                precision,
                "--threads",
                threads,
                "--steps",
                "30",
                "--out",
                &out,
            ];
            assert_eq!(code(&folder.run(&[&sizes[..], &flags].concat())), 0);
            let mut verdict = folder.json(&format!("{out}/verdict.json"));
            verdict["command"] = Value::Null;
            let read = |file: &str| std::fs::read(folder.path(&format!("{out}/{file}"))).unwrap();
            (
                verdict,
                read("trajectory.csv"),
                read("instance.safetensors"),
                read("rate-vs-bound.svg"),
            )
        };
        let one = run("1");
        assert!(
            one == run("2") && one == run("5"),
            "{kernel} in {precision} depends on --threads"
        );
    }
}

/// Both theorems and kernels: double-double follows the bound to 1e-40 f_0, where f64 ends before 1e-25.
#[test]
fn double_double_follows_a_bound_far_below_the_floor_of_f64() {
    let theorem_1 = "-N 1 -n 3 -D 8 -d 2 -H 3 --init lazy --scale 1e4 --steps 20000";
    let theorem_2 = "-N 2 -n 4 -D 16 -d 4 -H 4 --theorem 2 --init paired --scale 1e3 --steps 5000";
    let folder = Folder::new();
    for (case, deciding) in [(theorem_1, "per_head"), (theorem_2, "ntk")] {
        for kernel in ["softmax", "gaussian"] {
            // Where the deciding reading's floor is, the bound there, and which cells of a row are empty.
            let run = |precision: &str| {
                let flags = ["verify", "--kernel", kernel, "--precision", precision];
                let case: Vec<_> = case.split(' ').collect();
                let output = folder.run(&[&flags[..], &case].concat());
                assert_eq!(code(&output), 0, "{output:?}");
                let verdict = folder.json("gdcert-out/verify/verdict.json");
                assert_eq!(verdict["precision"], precision);
                let claim = &verdict["claims"][deciding];
                let verdicts = ["held", "certified"];
                assert!(
                    verdicts.contains(&claim["verdict"].as_str().unwrap()),
                    "{claim} {case:?} {kernel}"
                );
                assert!(claim["first_violation"].is_null());
                let floor = claim["floor_at"].as_u64().unwrap();
                assert_eq!(claim["checked_to"], floor - 1);
                let rate = claim["rate"].as_f64().unwrap();
                let csv = folder.path("gdcert-out/verify/trajectory.csv");
                let rows = csv::Reader::from_path(csv).unwrap();
                let rows = rows.into_records().take(100).map(|r| {
                    let row = r.unwrap();
                    row.iter().map(str::is_empty).collect::<Vec<_>>()
                });
                (
                    floor as f64 * (-rate).ln_1p() / std::f64::consts::LN_10,
                    verdict["final_loss"].as_f64().unwrap() / verdict["loss0"].as_f64().unwrap(),
                    rows.collect::<Vec<_>>(),
                )
            };
            let (single, double) = (run("f64"), run("double-double"));
            assert!(single.0 > -25.0, "f64 followed to 1e{:.1}", single.0);
            assert!(
                double.0 < -40.0,
                "{case} {kernel}: only to 1e{:.1}",
                double.0
            );
            assert!(double.1 < 1e-50, "{case} {kernel}: {:e}", double.1);
            assert_eq!(single.2, double.2);
        }
    }
}

/// The finding: the literal reading fails on an instance with three heads, the per-head one holds.
#[test]
fn the_literal_reading_is_refuted_and_the_theorem_is_not() {
    let folder = Folder::new();
    let flags = [
        "--init",
        "lazy",
        "--scale",
        "10",
        "--seed",
        "19",
        "--reading",
    ];
    let output = folder.verify(&[&flags[..], &["stacked"]].concat());
    assert_eq!(code(&output), 1);
    let text = String::from_utf8(output.stdout).unwrap();
    let words: Vec<_> = text.split_whitespace().collect();
    let text = words.join(" ");
    assert!(text.contains("does not refute the theorem"), "{text}");
    let claims = &folder.json("gdcert-out/verify/verdict.json")["claims"];
    assert_eq!(claims["stacked"]["verdict"], "refuted");
    assert_eq!(claims["stacked"]["first_violation"], 182);
    assert_eq!(claims["stacked"]["proven_to"], 181);
    assert!(claims["stacked"]["min_slack"].as_f64().unwrap() < 0.0);
    assert_eq!(claims["per_head"]["verdict"], "certified");
    let certificate = folder.json("gdcert-out/verify/certificate.json");
    assert_eq!(
        (&certificate["kind"], &certificate["t"]),
        (&"refuted".into(), &182.into())
    );
    assert!(
        !folder
            .path("gdcert-out/verify/refuted-stacked.json")
            .exists()
    );
    assert_eq!(
        code(&folder.verify(&[&flags[..], &["per_head"]].concat())),
        0
    );
    let expect = [&flags[..], &["stacked", "--expect", "refuted"]].concat();
    assert_eq!(code(&folder.verify(&expect)), 0);
    let expect = [&flags[..], &["per_head", "--expect", "refuted,violated"]].concat();
    assert_eq!(code(&folder.verify(&expect)), 1);

    // What the run alone says.
    let never = [&flags[..], &["stacked", "--orbit", "never"]].concat();
    assert_eq!(code(&folder.verify(&never)), 1);
    let verdict = folder.json("gdcert-out/verify/verdict.json");
    assert_eq!(verdict["claims"]["stacked"]["verdict"], "violated");
    assert_eq!(verdict["claims"]["per_head"]["verdict"], "held");
    assert!(verdict["orbit"].is_null() && verdict["certificate"].is_null());
    assert!(!folder.path("gdcert-out/verify/certificate.json").exists());
}

/// One default run decides every reading for exact gradient descent from M_0, and its files say how.
#[test]
fn every_reading_is_decided_on_the_exact_orbit() {
    let folder = Folder::new();
    let output = folder.verify(&["--init", "lazy", "--scale", "10", "--seed", "19"]);
    assert_eq!(code(&output), 0);
    let of = |file: &str| folder.json(&format!("gdcert-out/verify/{file}"));
    let verdict = of("verdict.json");
    let claims = &verdict["claims"];
    for reading in ["per_head", "value", "ntk"] {
        assert_eq!(claims[reading]["verdict"], "certified", "{reading}");
        assert_eq!(claims[reading]["proven_to"], verdict["steps"], "{reading}");
    }
    assert_eq!(claims["stacked"]["verdict"], "refuted");
    assert_eq!(claims["stacked"]["first_violation"], 182);
    let certificate = of("certificate.json");
    assert_eq!(certificate, verdict["certificate"]);
    assert_eq!(certificate["kind"], "theorem_a");
    assert_eq!(certificate["reading"], "per_head");
    assert_eq!(certificate["orbit"]["steps"], certificate["centre"]["t"]);
    assert_eq!(certificate["orbit"]["bits"], verdict["orbit"]["bits"]);
    let T = certificate["orbit"]["steps"].as_u64().unwrap();
    let reason = claims["per_head"]["reason"].as_str().unwrap();
    assert!(
        reason.contains(&format!("the exact orbit is enclosed to T = {T}"))
            && reason.contains("then Theorem A"),
        "{reason}"
    );
    let refuted = of("refuted-stacked.json");
    assert_eq!(refuted["kind"], "refuted");
    assert_eq!(refuted["t"], 182);
    let number = |name: &str| refuted[name].as_f64().unwrap();
    assert!(number("loss_lower") > number("bound_upper"));
    assert!(number("beta") <= verdict["betas"]["stacked"].as_f64().unwrap());
    assert!(verdict["orbit"]["run_distance"].as_f64().unwrap() < 1e-12);

    // Nothing of it stays when another run has no such thing.
    assert_eq!(code(&folder.verify(&[])), 0);
    assert!(
        !folder
            .path("gdcert-out/verify/refuted-stacked.json")
            .exists()
    );
    let verdict = of("verdict.json");
    assert_eq!(verdict["claims"]["per_head"]["verdict"], "certified");

    // Neither few bits nor few steps make a wrong verdict: what could not be proven is said.
    let output = folder.verify(&["--steps", "20"]);
    assert_eq!(code(&output), 0);
    let verdict = of("verdict.json");
    let claim = &verdict["claims"]["per_head"];
    assert_eq!(claim["verdict"], "held");
    assert_eq!(claim["proven_to"], 20);
    let reason = claim["reason"].as_str().unwrap();
    assert!(
        reason.contains("proven for exact gradient descent up to t = 20")
            && reason.contains("the orbit was enclosed up to t = 20"),
        "{reason}"
    );
    refused_orbits(&folder);
}

fn refused_orbits(folder: &Folder) {
    let sized = [
        "verify", "-N", "2", "-n", "4", "-D", "8", "-d", "4", "-H", "3",
    ];
    for (flags, needles) in [
        (["--bits", "64"], ["128 bits", "--bits"]),
        (["--bits", "many"], ["many", "--bits"]),
        (["--orbit", "sometimes"], ["sometimes", "always"]),
    ] {
        let args = [&sized[..], &flags[..]].concat();
        crate::common::refused(folder.0.path(), &args, &needles);
    }
}

/// A tail's certificate starts at M_0 by default, and a bound that is exceeded is refuted.
#[test]
fn certify_starts_at_the_instance_or_refutes() {
    let folder = Folder::new();
    let certify = |flags: &[&str]| {
        let sized = [
            "certify", "-N", "2", "-n", "4", "-D", "8", "-d", "4", "-H", "3", "--tail",
        ];
        folder.run(&[&sized[..], flags].concat())
    };
    let of = |name: &str| folder.json("gdcert-out/certify/certificate.json")[name].clone();
    for kernel in ["softmax", "gaussian"] {
        assert_eq!(code(&certify(&["--kernel", kernel])), 0);
        assert_eq!(of("orbit")["steps"], of("centre")["t"], "{kernel}");
        assert_eq!(code(&certify(&["--kernel", kernel, "--orbit", "never"])), 0);
        assert!(
            of("orbit").is_null() && of("centre")["t"].as_u64() > Some(0),
            "{kernel}"
        );
    }
    let lazy = [
        "--init",
        "lazy",
        "--scale",
        "10",
        "--seed",
        "19",
        "--reading",
        "stacked",
    ];
    let output = certify(&lazy);
    assert_eq!(code(&output), 1);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.starts_with("gdcert: refuted: ") && said.lines().count() == 1,
        "{said}"
    );
    assert_eq!((of("kind"), of("t")), ("refuted".into(), 182.into()));
    assert!(
        !folder
            .path("gdcert-out/certify/centre.safetensors")
            .exists()
    );
}

#[test]
fn softmax_with_constant_values_is_obstructed_and_gaussian_is_not() {
    let folder = Folder::new();
    let flags = [
        "verify",
        "-N",
        "2",
        "-n",
        "4",
        "-D",
        "16",
        "-d",
        "4",
        "-H",
        "4",
        "--theorem",
        "2",
        "--init",
        "constant-value",
        "--scale",
        "100",
    ];
    let expect = |kernel, verdict| {
        let out = [
            "--out", kernel, "--kernel", kernel, "--expect", verdict, "--eta", "1e-6", "--steps",
            "50",
        ];
        folder.run(&[&flags[..], &out].concat())
    };
    assert_eq!(code(&expect("softmax", "obstructed")), 0);
    assert_eq!(code(&expect("gaussian", "held")), 0);
    let verdict = folder.json("softmax/verdict.json");
    assert_eq!(verdict["obstruction"]["reason"], "zero_gradient");
    for reading in ["stacked", "per_head", "value", "ntk"] {
        assert_eq!(verdict["claims"][reading]["verdict"], "obstructed");
    }
}

/// HD < Nn and d < p are no errors: the readings that need them do not apply, and say why.
#[test]
fn hypotheses_are_per_reading() {
    let folder = Folder::new();
    let output = folder.run(&[
        "verify", "-N", "3", "-n", "4", "-D", "5", "-d", "2", "-H", "2", "-p", "1", "--steps", "5",
    ]);
    assert_eq!(code(&output), 1);
    let claims = folder.json("gdcert-out/verify/verdict.json")["claims"].clone();
    assert_eq!(claims["per_head"]["verdict"], "not_applicable");
    assert!(
        claims["per_head"]["reason"]
            .as_str()
            .unwrap()
            .contains("HD = 10, Nn = 12")
    );
    assert_eq!(claims["ntk"]["verdict"], "held");

    let output = folder.run(&[
        "verify", "-N", "1", "-n", "3", "-D", "8", "-d", "2", "-H", "4", "-p", "3", "--steps", "5",
    ]);
    assert_eq!(code(&output), 1);
    let verdict = folder.json("gdcert-out/verify/verdict.json");
    assert!(
        verdict["claims"]["per_head"]["reason"]
            .as_str()
            .unwrap()
            .contains("d >= p")
    );
    assert_eq!(verdict["betas"]["per_head"], 0.0);
    assert_eq!(verdict["claims"]["value"]["verdict"], "held");
}

#[test]
fn divergence_is_said_and_exits_with_1() {
    let folder = Folder::new();
    let output = folder.verify(&["--eta", "1e6"]);
    assert_eq!(code(&output), 1);
    let verdict = folder.json("gdcert-out/verify/verdict.json");
    let claims = &verdict["claims"];
    // eta beta >= 1: no bound; the run is a divergence all the same where a bound exists.
    for reading in ["stacked", "per_head", "value", "ntk"] {
        let v = claims[reading]["verdict"].as_str().unwrap();
        assert!(
            ["diverged", "not_applicable"].contains(&v),
            "{reading}: {v}"
        );
    }
    let output = folder.verify(&["--eta", "30"]);
    assert_eq!(code(&output), 1);
}

#[test]
fn bad_flags_are_refused() {
    let folder = Folder::new();
    let sized = |flags: &[&'static str]| [&["verify"], &SIZES[..], flags].concat();
    refused(&folder, &["verify"], &["-N", "--instance"]);
    refused(
        &folder,
        &[
            "verify", "-N", "0", "-n", "4", "-D", "8", "-d", "4", "-H", "3",
        ],
        &["N is 0"],
    );
    refused(&folder, &["verify", "-N", "-3"], &["-3"]);
    refused(
        &folder,
        &sized(&["--kernel", "cosine"]),
        &["cosine", "gaussian"],
    );
    refused(&folder, &sized(&["--init", "xavier"]), &["xavier", "lecun"]);
    refused(&folder, &sized(&["--init", "paired"]), &["H", "even"]);
    refused(&folder, &sized(&["--init", "lazy", "-p", "5"]), &["d >= p"]);
    refused(&folder, &sized(&["--scale", "2"]), &["--scale", "lecun"]);
    refused(
        &folder,
        &sized(&["--init", "lazy", "--scale", "-1"]),
        &["--scale -1"],
    );
    refused(
        &folder,
        &sized(&["--init", "lazy", "--scale", "nan"]),
        &["--scale"],
    );
    refused(&folder, &sized(&["--theorem", "3"]), &["--theorem 3"]);
    refused(&folder, &sized(&["--train", "QQ"]), &["QQ", "QKV"]);
    refused(&folder, &sized(&["--train", ""]), &["QKV"]);
    refused(&folder, &sized(&["--eta", "0"]), &["--eta 0"]);
    refused(&folder, &sized(&["--eta", "-1"]), &["--eta -1"]);
    refused(&folder, &sized(&["--eta", "nan"]), &["--eta nan"]);
    refused(&folder, &sized(&["--eta", "inf"]), &["--eta inf"]);
    refused(&folder, &sized(&["--eta", "fast"]), &["--eta fast"]);
    refused(
        &folder,
        &sized(&["--reading", "literal"]),
        &["literal", "per_head"],
    );
    refused(
        &folder,
        &sized(&["--expect", "proved"]),
        &["proved", "violated"],
    );
    refused(&folder, &sized(&["--curvature-at", "-1"]), &["-1"]);
    refused(
        &folder,
        &sized(&["--precision", "quad"]),
        &["quad", "f64", "double-double"],
    );
    refused(&folder, &sized(&["--threads", "0"]), &["--threads 0"]);
    refused(&folder, &sized(&["--steps", "-1"]), &["--steps"]);
    refused(&folder, &sized(&["--steps", "99999999999999"]), &["memory"]);
    refused(&folder, &sized(&["--nonsense"]), &["--nonsense"]);
    refused(&folder, &["verfy"], &["verfy"]);
    refused(
        &folder,
        &["reproduce", "--only", "theorem-9"],
        &["theorem-9", "theorem-2"],
    );
    let huge = [
        "verify", "-N", "1000000", "-n", "1000", "-D", "1000", "-d", "8", "-H", "8",
    ];
    refused(&folder, &huge, &["memory"]);
    let beyond = [
        "verify",
        "-N",
        "9999999999999",
        "-n",
        "9999999999999",
        "-D",
        "1",
        "-d",
        "1",
        "-H",
        "1",
    ];
    refused(&folder, &beyond, &["too large"]);
    refused(
        &folder,
        &["verify", "--instance", "x.safetensors", "-N", "2"],
        &["--instance", "-N"],
    );
}

#[test]
fn bad_instance_files_are_refused() {
    let folder = Folder::new();
    let dims = Dims {
        N: 2,
        n: 3,
        D: 4,
        d: 2,
        H: 2,
        p: 1,
    };
    let good = Instance::random(dims, Kernel::Softmax, Init::Lecun, 1)
        .unwrap()
        .to_bytes()
        .unwrap();
    let refuse = |name: &str, bytes: &[u8], words: &[&str]| {
        std::fs::write(folder.path(name), bytes).unwrap();
        refused(
            &folder,
            &["verify", "--instance", name],
            &[&[name], words].concat(),
        );
    };
    refused(
        &folder,
        &["verify", "--instance", "none.safetensors"],
        &["none.safetensors"],
    );
    refused(&folder, &["verify", "--instance", "."], &["."]);
    refuse("empty.safetensors", b"", &["safetensors"]);
    refuse(
        "foreign.safetensors",
        b"this is not an instance at all",
        &["safetensors"],
    );
    for cut in [4, 60, good.len() / 2, good.len() - 1] {
        refuse("cut.safetensors", &good[..cut], &["safetensors"]);
    }
    // The data section starts after the header; X is one of the tensors in it.
    let mut nan = good.clone();
    let last = nan.len() - 8;
    nan[last..].copy_from_slice(&f64::NAN.to_le_bytes());
    refuse("nan.safetensors", &nan, &["NaN", "finite"]);
    nan[last..].copy_from_slice(&f64::INFINITY.to_le_bytes());
    refuse("inf.safetensors", &nan, &["inf", "finite"]);

    let replace = |from: &str, to: &str| {
        assert_eq!(from.len(), to.len());
        let position = good
            .windows(from.len())
            .position(|w| w == from.as_bytes())
            .unwrap();
        let mut bytes = good.clone();
        bytes[position..position + to.len()].copy_from_slice(to.as_bytes());
        bytes
    };
    refuse(
        "missing.safetensors",
        &replace("\"W_Q\"", "\"Q_W\""),
        &["W_Q", "missing"],
    );
    refuse(
        "shape.safetensors",
        &replace("[2,3,4]", "[2,4,3]"),
        &["make the shapes agree"],
    );
    refuse(
        "rank.safetensors",
        &replace("[2,3,4]", "[ 24  ]"),
        &["X", "rank"],
    );
    refuse(
        "kernel.safetensors",
        &replace("softmax", "softmin"),
        &["softmin"],
    );
    refuse(
        "type.safetensors",
        &replace("\"F64\"", "\"I64\""),
        &["I64", "F64"],
    );
}

#[test]
fn foreign_and_unwritable_folders_are_refused() {
    let folder = Folder::new();
    std::fs::write(folder.path("file"), "a file").unwrap();
    let into =
        |out: &'static str| [&["verify"], &SIZES[..], &["--steps", "3", "--out", out]].concat();
    refused(&folder, &into("file"), &["file"]);
    refused(&folder, &into("file/below"), &["file/below"]);
    std::fs::create_dir(folder.path("mine")).unwrap();
    std::fs::write(folder.path("mine/notes.txt"), "mine").unwrap();
    refused(&folder, &into("mine"), &["mine", "--force"]);
    assert_eq!(folder.files("mine"), ["notes.txt"]);

    let only = ["reproduce", "--only", "vanishing-gradient", "--out", "r"];
    assert_eq!(code(&folder.run(&only)), 0);
    refused(&folder, &into("r"), &["reproduce", "--force"]);
    assert_eq!(
        code(&folder.run(&[&into("r")[..], &["--force"]].concat())),
        0
    );
    // The same command again writes over its own results.
    assert_eq!(code(&folder.run(&into("again"))), 0);
    assert_eq!(code(&folder.run(&into("again"))), 0);
}

#[test]
fn reproduce_gathers_its_cases() {
    let (folder, printed) = Folder::reproduced();
    let printed: Value = serde_json::from_slice(printed).unwrap();
    let summary = folder.json("gdcert-out/reproduce/summary.json");
    assert_eq!(printed, summary);
    for case in summary["cases"].as_array().unwrap() {
        let verdict = folder.json(&format!(
            "gdcert-out/reproduce/{}/verdict.json",
            case["folder"].as_str().unwrap()
        ));
        let reading = case["reading"].as_str().unwrap();
        assert_eq!(case["verdict"], verdict["claims"][reading]["verdict"]);
        let expected = if reading == "stacked" {
            "refuted"
        } else {
            "certified"
        };
        let found = case["verdict"].as_str().unwrap();
        assert!(found.starts_with(expected), "{found}");
        // The command beside a case repeats it.
        let command = case["command"].as_str().unwrap();
        let args: Vec<_> = command.split(' ').skip(1).collect();
        let out = folder.run(&[&args[..], &["--out", "again", "--json"]].concat());
        let again: Value = serde_json::from_slice(&out.stdout).unwrap();
        assert_eq!(again["final_loss"], verdict["final_loss"]);
    }
}

/// Also where the signal was ignored before, as for a script's background jobs.
#[cfg(unix)]
#[test]
fn ctrl_c_stops_with_130_and_leaves_nothing() {
    for before in ["", "trap '' INT; "] {
        let folder = Folder::new();
        let script = format!("{before}exec \"$@\"");
        let mut child = Command::new("sh")
            .args(["-c", &script, "sh", env!("CARGO_BIN_EXE_gdcert"), "verify"])
            .args(SIZES)
            .args(["--steps", "20000000"])
            .current_dir(folder.0.path())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_millis(500));
        signal(&child, "-INT");
        assert_eq!(child.wait().unwrap().code(), Some(130));
        assert!(!Path::new(&folder.path("gdcert-out/verify")).exists());
    }
}

/// A command that runs until it is stopped, in the folder `busy`; waits until it has its lock.
#[cfg(unix)]
fn busy(folder: &Folder) -> std::process::Child {
    let child = Command::new(env!("CARGO_BIN_EXE_gdcert"))
        .arg("verify")
        .args(SIZES)
        .args(["--steps", "20000000", "--out", "busy"])
        .current_dir(folder.0.path())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let begun = std::time::Instant::now();
    while !folder.path("busy/.gdcert-lock").exists() {
        assert!(begun.elapsed().as_secs() < 60, "no lock");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    child
}

/// Whoever else asks to stop is heard as Ctrl-C is; a hang-up that nohup has ignored is not.
#[cfg(unix)]
#[test]
fn other_signals_stop_as_ctrl_c_does() {
    // The tests themselves may run under nohup.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    let hang_up_is_ignored = ignored.is_some_and(|mask| mask & 1 == 1);
    for name in ["-TERM", "-HUP"] {
        if name == "-HUP" && hang_up_is_ignored {
            println!("skipped: a hang-up is ignored here");
            continue;
        }
        let folder = Folder::new();
        let mut child = busy(&folder);
        signal(&child, name);
        assert_eq!(child.wait().unwrap().code(), Some(130), "{name}");
        assert!(!folder.path("busy").exists());
    }
}

/// One command a folder: the second is told so at once, and a killed one leaves no lock and no litter.
#[cfg(unix)]
#[test]
fn a_folder_is_written_by_one_command_at_a_time() {
    let folder = Folder::new();
    let mut child = busy(&folder);
    for command in [
        &["verify", "--steps", "3"][..],
        &["certify"],
        &["falsify", "--reading", "stacked"],
    ] {
        let args = [command, &SIZES, &["--out", "busy", "--force"]].concat();
        crate::common::refused(
            folder.0.path(),
            &args,
            &["busy", "another gdcert is writing"],
        );
    }
    child.kill().unwrap();
    child.wait().unwrap();
    std::fs::write(folder.path("busy/.gdcert-abc.tmp"), "half").unwrap();
    std::fs::create_dir(folder.path("busy/.gdcert-def.tmp")).unwrap();
    let output = folder.verify(&["--steps", "3", "--out", "busy"]);
    assert_eq!(code(&output), 0, "{output:?}");
    let names = folder.files("busy");
    assert!(names.iter().all(|name| !name.starts_with('.')), "{names:?}");
    assert_eq!(names.len(), 6);
}

/// 0 says that the bound holds, and nothing else does; a list of verdicts alone decides where it is given.
#[test]
fn exit_codes_follow_the_deciding_reading() {
    let folder = Folder::new();
    let rank = [
        "verify", "-N", "3", "-n", "4", "-D", "5", "-d", "2", "-H", "2", "--steps", "10",
    ];
    let output = folder.run(&rank);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(code(&output), 1, "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(
        stderr.contains("per_head is not_applicable") && stderr.contains("HD >= Nn"),
        "{stderr}"
    );
    let expecting = |verdicts: &str| {
        let args = [&rank[..], &["--expect", verdicts]].concat();
        code(&folder.run(&args))
    };
    assert_eq!(expecting("Not-Applicable"), 0);
    assert_eq!(expecting("held,not_applicable"), 0);
    assert_eq!(expecting("held,certified,certified_tail"), 1);
    let args = [&rank[..], &["--expect", "held,proved"]].concat();
    crate::common::refused(folder.0.path(), &args, &["proved", "certified_tail"]);
}

/// Whatever the step, and where there is none; with --steps T the run has its rows.
#[test]
fn an_obstructed_instance_is_so_at_any_step() {
    let folder = Folder::new();
    let hull = "verify -N 2 -n 2 -D 4 -d 2 -H 1 --train QK --expect obstructed";
    let still =
        "verify -N 2 -n 4 -D 16 -d 4 -H 4 --theorem 2 --init constant-value --expect obstructed";
    let tiny = "verify -N 2 -n 3 -D 12 -d 3 -H 2 --theorem 2 --init paired --scale 1e-300 --expect obstructed";
    for (case, eta, rows) in [
        (hull, "1e300", 2),
        (hull, "certified", 8),
        (still, "certified", 8),
        (still, "auto", 8),
        (tiny, "auto", 8),
    ] {
        let args: Vec<_> = case.split(' ').collect();
        folder.fine(&[&args[..], &["--eta", eta, "--steps", "7", "--out", "o"]].concat());
        assert_eq!(folder.json("o/certificate.json")["kind"], "obstructed");
        let table = folder.read("o/trajectory.csv");
        assert_eq!(table.lines().count(), 1 + rows, "{case} {eta}");
    }
    let search =
        "certify -N 2 -n 4 -D 16 -d 4 -H 4 --theorem 2 --init constant-value --search-scale";
    let output = folder.run(&search.split(' ').collect::<Vec<_>>());
    assert_eq!(code(&output), 1, "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(!said.contains("Smallest scale"), "{said}");
}

/// A page is about the results that it was made of.
#[test]
fn a_page_goes_with_what_it_is_about() {
    let folder = Folder::new();
    let into = |kernel| folder.verify(&["--steps", "3", "--kernel", kernel, "--out", "v"]);
    into("softmax");
    folder.fine(&["report", "v"]);
    into("gaussian");
    assert!(!folder.path("v/report.html").exists());
    // One that gdcert did not write stays.
    std::fs::write(folder.path("v/report.html"), "mine").unwrap();
    into("softmax");
    assert_eq!(folder.read("v/report.html"), "mine");
}

/// Only what train wrote is shown together.
#[test]
fn several_folders_of_other_commands_are_refused() {
    let folder = Folder::new();
    folder.verify(&["--steps", "3", "--out", "v"]);
    for command in ["explain", "plot"] {
        let args = [command, "v", "v"];
        crate::common::refused(folder.0.path(), &args, &["v", "no folder of gdcert train"]);
    }
}

#[test]
fn words_and_numbers_are_taken_as_people_write_them() {
    let folder = Folder::new();
    let args = [
        "--steps",
        "1e1",
        "--kernel",
        "Gaussian",
        "--reading",
        "Per-Head",
        "--init",
        "CONSTANT_VALUE",
        "--train",
        "qkv",
        "--precision",
        "F64",
        "--eta",
        "AUTO",
        "-H",
        "4",
    ];
    let sizes = &SIZES[..8];
    let output = folder.run(&[&["verify"], sizes, &args].concat());
    assert!(code(&output) < 2, "{output:?}");
    let verdict = folder.json("gdcert-out/verify/verdict.json");
    assert_eq!(verdict["steps"], 10);
    assert_eq!(verdict["kernel"], "gaussian");
    assert_eq!(verdict["init"], "constant-value");
    for (command, flag, meant) in [
        ("verify", "--lr", "--eta"),
        ("verify", "--learning_rate", "--eta"),
        ("verify", "--epochs", "--steps"),
        ("verify", "--heads", "-H"),
        ("certify", "--seq-len", "-n"),
        ("verify", "--silent", "--quiet"),
        ("train", "--learning-rate", "--lr"),
        ("train", "--num-heads", "--heads"),
        ("train", "--batch-size", "--batch"),
        ("landscape", "--resolution", "--grid"),
    ] {
        crate::common::refused(folder.0.path(), &[command, flag, "3"], &[flag, meant]);
    }
    for count in ["1.5", "1e-1", "-1", "1e99", "many"] {
        let args = [&["verify"], &SIZES[..], &["--steps", count]].concat();
        crate::common::refused(folder.0.path(), &args, &["--steps", count]);
    }
    crate::common::refused(
        folder.0.path(),
        &["verify", "--threads", "2000"],
        &["--threads 2000"],
    );
    let output = Command::new(env!("CARGO_BIN_EXE_gdcert"))
        .args(["verify"])
        .env("RAYON_NUM_THREADS", "100000")
        .output()
        .unwrap();
    assert_eq!(code(&output), 2);
    assert!(String::from_utf8_lossy(&output.stderr).contains("RAYON_NUM_THREADS 100000"));
    // Shells offer the values.
    let script = folder.run(&["completions", "bash"]).stdout;
    let script = String::from_utf8(script).unwrap();
    for values in [
        "softmax gaussian",
        "stacked per_head value ntk",
        "f64 double-double",
    ] {
        assert!(script.contains(values), "{values}");
    }
}

#[test]
fn quiet_and_json_are_what_they_say() {
    let folder = Folder::new();
    let output = folder.verify(&["--steps", "5", "--quiet"]);
    assert_eq!(code(&output), 0);
    assert!(
        output.stdout.is_empty() && output.stderr.is_empty(),
        "{output:?}"
    );
    for args in [
        &["check", "gdcert-out/verify"][..],
        &["explain", "gdcert-out/verify"],
        &["report", "gdcert-out/verify"],
        &["completions", "zsh"],
        &["man"],
        &["man", "--out", "pages"],
        &[
            "verify", "-N", "1", "-n", "2", "-D", "4", "-d", "2", "-H", "2", "--steps", "900",
        ],
    ] {
        let output = folder.run(&[args, &["--json", "--quiet"]].concat());
        if code(&output) != 2 {
            let text = String::from_utf8(output.stdout).unwrap();
            serde_json::from_str::<Value>(&text).unwrap_or_else(|e| panic!("{args:?}: {e}"));
        }
    }
}

/// What could not be printed is no success; a reader that went away is no failure, and nothing panics.
#[cfg(target_os = "linux")]
#[test]
fn a_lost_stdout_is_an_error() {
    let folder = Folder::new();
    let gdcert = env!("CARGO_BIN_EXE_gdcert");
    let shell = |line: &str| {
        let output = Command::new("bash")
            .args(["-c", line, gdcert])
            .current_dir(folder.0.path())
            .output()
            .unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let verify = "verify -N 2 -n 4 -D 8 -d 4 -H 3 --steps 3";
    for line in [
        &format!("{verify} --json"),
        verify,
        "explain gdcert-out/verify",
        "man",
        "completions fish",
        "--help",
        "--version",
    ] {
        let (code, said) = shell(&format!("$0 {line} > /dev/full"));
        assert_eq!(code, Some(2), "{line}: {said}");
        assert!(
            said.contains("stdout") && said.lines().count() == 1,
            "{said}"
        );
        let (code, said) = shell(&format!("$0 {line} | head -c 0; exit ${{PIPESTATUS[0]}}"));
        assert_eq!((code, &said[..]), (Some(0), ""), "{line}");
        if line != verify {
            continue;
        }
        for lost in [">&- 2>&-", "2> /dev/full", "2>&-"] {
            let (code, said) = shell(&format!("$0 {line} {lost}"));
            assert_eq!((code, &said[..]), (Some(0), ""), "{line} {lost}");
        }
    }
    let (code, _) = shell("$0 verify 2> /dev/full");
    assert_eq!(code, Some(2));
}

/// Pipes, devices and folders are refused by name instead of being waited for.
#[cfg(unix)]
#[test]
fn only_regular_files_are_read() {
    let folder = Folder::new();
    assert!(
        Command::new("mkfifo")
            .arg(folder.path("pipe"))
            .status()
            .unwrap()
            .success()
    );
    for (place, what) in [("pipe", "FIFO"), ("/dev/zero", "device"), (".", "folder")] {
        for args in [
            &["verify", "--instance", place][..],
            &["sweep", place],
            &["train", "--data", ".", "--task", "imdb", "--config", place],
            &["train", "--data", ".", "--task", "imdb", "--from", place],
            &["landscape", place, "--data", "."],
        ] {
            crate::common::refused(folder.0.path(), args, &[place, what]);
        }
        if place != "." {
            for args in [
                &["check", place][..],
                &["explain", place],
                &["data", "imdb", "--from", place],
            ] {
                crate::common::refused(folder.0.path(), args, &[place, what]);
            }
        }
    }
}

/// --force is about gdcert's own results: a user's file is never replaced, nor written through a link.
#[test]
fn what_gdcert_did_not_write_is_not_replaced() {
    let folder = Folder::new();
    let dims = Dims {
        N: 1,
        n: 2,
        D: 4,
        d: 2,
        H: 2,
        p: 1,
    };
    let instance = Instance::random(dims, Kernel::Softmax, Init::Lecun, 1).unwrap();
    std::fs::create_dir(folder.path("mine")).unwrap();
    let file = folder.path("mine/instance.safetensors");
    instance.write(&file).unwrap();
    let before = std::fs::read(&file).unwrap();
    let own = ["verify", "--instance", "mine/instance.safetensors"];
    for args in [
        [&own[..], &["--out", "mine", "--force"]].concat(),
        [&["verify"], &SIZES[..], &["--out", "mine", "--force"]].concat(),
        [&["certify"], &SIZES[..], &["--out", "mine", "--force"]].concat(),
    ] {
        crate::common::refused(
            folder.0.path(),
            &args,
            &["instance.safetensors", "not replaced"],
        );
    }
    assert_eq!(std::fs::read(&file).unwrap(), before);
    assert_eq!(folder.files("mine"), ["instance.safetensors"]);

    // What it wrote itself may be verified in place, as long as the same bytes stay.
    let output = folder.verify(&["--steps", "3", "--out", "v"]);
    assert_eq!(code(&output), 0);
    let again = [
        "verify",
        "--instance",
        "v/instance.safetensors",
        "--steps",
        "3",
        "--out",
        "v",
    ];
    assert_eq!(code(&folder.run(&again)), 0);
    let other = [&again[..], &["--kernel", "gaussian"]].concat();
    crate::common::refused(folder.0.path(), &other, &["instance.safetensors", "--out"]);
    #[cfg(unix)]
    {
        std::fs::remove_file(folder.path("v/trajectory.csv")).unwrap();
        std::os::unix::fs::symlink("../elsewhere", folder.path("v/trajectory.csv")).unwrap();
        let args = [&["verify"], &SIZES[..], &["--steps", "3", "--out", "v"]].concat();
        crate::common::refused(folder.0.path(), &args, &["trajectory.csv", "is a link"]);
        assert!(!folder.path("elsewhere").exists());
    }
}

/// Arrays as NumPy saves them, and with axes left out that say nothing.
#[test]
fn npz_files_are_instances() {
    let folder = Folder::new();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/numpy");
    let loss = |name: &str, flags: &[&str]| {
        let file = fixtures.join(name);
        let args = [
            &[
                "verify",
                "--instance",
                file.to_str().unwrap(),
                "--steps",
                "2",
                "--json",
            ],
            flags,
        ];
        let output = folder.run(&args.concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(code(&output) < 2, "{name}: {said}");
        let verdict: Value = serde_json::from_slice(&output.stdout).unwrap();
        (
            verdict["loss0"].as_f64().unwrap(),
            verdict["kernel"].clone(),
            said,
        )
    };
    let (stored, kernel, said) = loss("stored.npz", &[]);
    assert_eq!(kernel, "softmax");
    assert!(said.contains("names no kernel; softmax is taken"), "{said}");
    let (_, _, said) = loss("stored.npz", &["--quiet"]);
    assert!(!said.contains("names no kernel"), "{said}");
    for name in ["fortran.npz", "big-endian.npz"] {
        assert_eq!(loss(name, &[]).0, stored, "{name}");
    }
    let (gaussian, kernel, said) = loss("deflated.npz", &[]);
    assert_eq!(kernel, "gaussian");
    assert!(!said.contains("names no kernel"), "{said}");
    assert_eq!(loss("stored.npz", &["--kernel", "gaussian"]).0, gaussian);
    // The first sample and head alone, with and without their axes.
    assert_eq!(
        loss("without-axes.npz", &[]).0,
        loss("with-axes.npz", &[]).0
    );
    for (name, words) in [
        ("integers.npz", &["array W_Q", "<i8", "float64"][..]),
        ("single.npy", &["single array", "np.savez"]),
        (
            "wrong-weights.npz",
            &["W_Q has shape [3, 4, 3]", "[3, 4, 2]"],
        ),
        ("wrong-labels.npz", &["y has shape [3, 3, 1]", "[2, 3, 1]"]),
        ("no-labels.npz", &["tensor y is missing"]),
    ] {
        let file = fixtures.join(name);
        let args = ["verify", "--instance", file.to_str().unwrap()];
        crate::common::refused(folder.0.path(), &args, &[&[name], words].concat());
    }
    // Cut and flipped anywhere: refused or read, but never a panic.
    for name in ["stored.npz", "deflated.npz"] {
        let whole = std::fs::read(fixtures.join(name)).unwrap();
        for at in (0..whole.len()).step_by(13) {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x55;
            for bytes in [&whole[..at], &flipped] {
                std::fs::write(folder.path("damaged.npz"), bytes).unwrap();
                if let Err(e) = Instance::read(&folder.path("damaged.npz"), None) {
                    assert!(e.to_string().contains("damaged.npz"), "{e}");
                }
            }
        }
    }
}
