//! Claims of the user's own, and the largest rate: `--claim`, `--reading NAME`, `--best-rate`, and what `check` makes of them.

use crate::common::{gdcert, refused};
use serde_json::{Value, json};
use std::path::Path;

const INSTANCE: &str = "-N 2 -n 4 -D 8 -d 4 -H 3 --init lazy --scale 10 --seed 19";

fn run(folder: &Path, line: &str) -> (Option<i32>, String) {
    let args: Vec<&str> = line.split_whitespace().collect();
    let output = gdcert(folder, &args);
    (
        output.status.code(),
        String::from_utf8(output.stdout).unwrap(),
    )
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// What `check` says of a certificate with some fields changed: its exit code and words.
fn checked(path: &Path, changes: &[(&str, Value)]) -> (Option<i32>, String) {
    let mut certificate = read(path);
    for (field, value) in changes {
        certificate[*field] = value.clone();
    }
    let changed = path.with_file_name("changed.json");
    std::fs::write(&changed, certificate.to_string()).unwrap();
    run(path.parent().unwrap(), "check changed.json")
}

#[test]
fn claims_stand_beside_the_readings_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let line = format!(
        "verify {INSTANCE} --claim mine=0.5 --claim slow=rate:1e-3 --claim fast=rate:0.05 --reading slow --out v"
    );
    let (code, text) = run(folder.path(), &line);
    assert_eq!(code, Some(0), "{text}");
    for words in [
        "* slow ",
        "  mine ",
        "fast",
        "certified",
        "refuted at t = 18",
        "the claim fast",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let v = folder.path().join("v");
    let verdict = read(&v.join("verdict.json"));
    let names = |field: &str| -> Vec<String> {
        verdict[field]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect()
    };
    let all = [
        "stacked", "per_head", "value", "ntk", "mine", "slow", "fast",
    ];
    assert_eq!(names("claims"), all);
    assert_eq!(names("betas"), all);
    assert_eq!(verdict["deciding"], "slow");
    // As given, bit for bit.
    assert_eq!(verdict["betas"]["mine"], 0.5);
    assert_eq!(verdict["claims"]["slow"]["rate"], 1e-3);
    assert_eq!(verdict["claims"]["fast"]["verdict"], "refuted");
    let csv = std::fs::read_to_string(v.join("trajectory.csv")).unwrap();
    let header = csv.lines().next().unwrap();
    assert!(
        header.starts_with("t,loss,bound_stacked,bound_per_head,bound_value,bound_ntk,grad_norm_q")
    );
    assert!(header.ends_with("moved_v,bound_mine,bound_slow,bound_fast"));
    let svg = std::fs::read_to_string(v.join("rate-vs-bound.svg")).unwrap();
    assert!(["slow", "fast"].iter().all(|name| svg.contains(name)));
    crate::report::assert_valid(&verdict, "verdict.json");
    let (code, said) = run(folder.path(), "explain v");
    assert_eq!(code, Some(0));
    assert!(
        said.contains("called slow") && !said.contains("Not re-proven"),
        "{said}"
    );

    // A rate is what it was given as: the certificate's beta is not below rate / eta, a refutation's not above it.
    let certificate = read(&v.join("certificate.json"));
    assert_eq!(certificate["reading"], "slow");
    let number = |json: &Value, field: &str| json[field].as_f64().unwrap();
    let rate = |json: &Value| number(json, "eta") * number(json, "beta");
    assert!(
        rate(&certificate) >= 1e-3 * (1.0 - 1e-15) && rate(&certificate) <= 1e-3 * (1.0 + 1e-15)
    );
    for name in [
        "certificate.json",
        "refuted-fast.json",
        "refuted-stacked.json",
    ] {
        let (code, text) = checked(&v.join(name), &[]);
        assert_eq!(code, Some(0), "{name}: {text}");
        let own = !name.contains("stacked");
        assert_eq!(text.contains("the claim "), own, "{text}");
    }
    // A larger number is another claim, which has to be proven; a smaller one is covered.
    let path = v.join("certificate.json");
    let beta = number(&certificate, "beta");
    for (share, valid) in [
        (0.5, true),
        (1.0 + 1e-9, true),
        (10.0, false),
        (0.0, false),
        (-1.0, false),
    ] {
        let (code, text) = checked(&path, &[("beta", json!(share * beta))]);
        assert_eq!(code, Some(if valid { 0 } else { 1 }), "{share}: {text}");
    }
    // Called by a reading's name it is a claim about that reading.
    assert_eq!(checked(&path, &[("reading", json!("stacked"))]).0, Some(1));
    assert_eq!(checked(&path, &[("reading", json!("Stacked"))]).0, Some(2));
    assert_eq!(checked(&path, &[("reading", json!("a b"))]).0, Some(2));
    assert_eq!(checked(&path, &[("reading", json!("other"))]).0, Some(0));
    // What is refuted is refuted for every larger beta, and not for a much smaller one.
    let path = v.join("refuted-fast.json");
    let refuted = read(&path);
    let beta = number(&refuted, "beta");
    for (share, code) in [(1.1, 0), (0.5, 1), (100.0, 1)] {
        let (found, text) = checked(&path, &[("beta", json!(share * beta))]);
        assert_eq!(found, Some(code), "{share}: {text}");
    }
}

#[test]
fn a_verdict_about_another_number_is_not_shown_as_proven() {
    let folder = tempfile::tempdir().unwrap();
    let line = format!("verify {INSTANCE} --claim slow=1.0 --reading slow --out v");
    assert_eq!(run(folder.path(), &line).0, Some(0));
    let path = folder.path().join("v/verdict.json");
    let mut verdict = read(&path);
    verdict["betas"]["slow"] = json!(1e3);
    std::fs::write(&path, verdict.to_string()).unwrap();
    let (_, text) = run(folder.path(), "explain v");
    assert!(text.contains("Not re-proven"), "{text}");
    // A file without what decides is no verdict.
    verdict["claims"].as_object_mut().unwrap().remove("slow");
    std::fs::write(&path, verdict.to_string()).unwrap();
    refused(
        folder.path(),
        &["explain", "v/verdict.json"],
        &["`claims.slow` is missing"],
    );
}

#[test]
fn names_and_numbers_that_make_no_claim_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for command in ["verify", "certify"] {
        for (claim, words) in [
            (&["--claim", "ntk=1"][..], "has the name of a reading"),
            (&["--claim", "Per-Head=1"], "has the name of a reading"),
            (&["--claim", "a=1", "--claim", "A=2"], "'A' is given twice"),
            (&["--claim", "a"], "NAME=BETA"),
            (&["--claim", "a=b"], "NAME=BETA"),
            (&["--claim", "a=-1"], "finite beta above 0"),
            (&["--claim", "a=rate:1"], "rate between 0 and 1"),
            (&["--claim", "../a=1"], "letters, digits"),
            (&["--claim", "a=1", "--reading", "b"], "unknown reading 'b'"),
        ] {
            let args = [&[command][..], claim].concat();
            refused(folder.path(), &args, &[words]);
        }
    }
    assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none());
}

#[test]
fn the_largest_rate_is_proven_and_not_far_from_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let instance = "-N 2 -n 4 -D 8 -d 4 -H 3 --init lazy --scale 1e4";
    let (code, text) = run(
        folder.path(),
        &format!("certify {instance} --best-rate --out best"),
    );
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.starts_with("Largest rate found that closes at M_0: "),
        "{text}"
    );
    assert!(text.contains("the claim best, beta = "), "{text}");
    let best = folder.path().join("best/certificate.json");
    assert_eq!(checked(&best, &[]).0, Some(0));
    let rate = |path: &Path| read(path)["rate_lower"].as_f64().unwrap();
    let best = rate(&best);
    for eta in ["auto", "certified"] {
        let line =
            format!("certify {instance} --eta {eta} --claim x=rate:1e-9 --reading x --out {eta}");
        assert_eq!(run(folder.path(), &line).0, Some(0));
        let other = rate(&folder.path().join(eta).join("certificate.json"));
        assert!(other <= best, "{eta}: {other} {best}");
    }
    // A rate that is claimed a little below it closes with its step, above it does not.
    let eta = read(&folder.path().join("best/certificate.json"))["eta"].to_string();
    for (share, code) in [(0.99, 0), (1.01, 1)] {
        let line = format!(
            "certify {instance} --eta {eta} --claim x=rate:{:e} --reading x --out x",
            share * best
        );
        assert_eq!(run(folder.path(), &line).0, Some(code), "{share}");
    }
    let args = ["certify", "--best-rate", "--claim", "x=1"];
    refused(folder.path(), &args, &["cannot be used with"]);
}
