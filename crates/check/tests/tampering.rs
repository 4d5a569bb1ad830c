//! Certificates as gdcert wrote them are proven; what is changed in them is refused, or still true,
//! or unreadable in one line.

use gdcert_check::{CertificateFile, Checked, Unreadable, check};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::process::Command;

const CASES: [&str; 8] = [
    "softmax-box",
    "tail",
    "gaussian-q",
    "two-outputs",
    "constant-values",
    "hull",
    "orbit",
    "refuted",
];

fn folder(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(case)
}

fn json_of(case: &str) -> Value {
    serde_json::from_slice(&std::fs::read(folder(case).join("certificate.json")).unwrap()).unwrap()
}

fn bytes_of(case: &str, file: &str) -> Vec<u8> {
    std::fs::read(folder(case).join(file)).unwrap()
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What is said of this text beside a case's files, the instance perhaps another one.
fn verdict(case: &str, text: &str, instance: Option<&[u8]>) -> Result<Checked, Unreadable> {
    let file = CertificateFile::read(text.as_bytes())?;
    file.certificate.check(&|name| match (name, instance) {
        ("instance.safetensors", Some(bytes)) => Ok(bytes.to_vec()),
        _ => Ok(bytes_of(case, name)),
    })
}

fn valid(case: &str, json: &Value) -> bool {
    matches!(verdict(case, &json.to_string(), None), Ok(Checked::Valid(_)))
}

fn unproven(case: &str, json: &Value) -> bool {
    matches!(verdict(case, &json.to_string(), None), Ok(Checked::Unproven(_)))
}

#[test]
fn certificates_are_proven_and_said() {
    for case in CASES {
        let Ok(Checked::Valid(proven)) = check(&folder(case)) else { panic!("{case}") };
        let (statement, json) = (proven.statement(), json_of(case));
        let tail = matches!(case, "tail" | "orbit");
        assert!(statement.contains("instance.safetensors"), "{statement}");
        // A tail is about two files, and nothing ties its step to a run.
        assert_eq!(statement.contains("centre.safetensors"), tail, "{statement}");
        assert_eq!(proven.about().contains("centre.safetensors (SHA-256 "), tail);
        let remarks = proven.remarks().join("; ");
        let untied = remarks.contains("nothing here ties centre.safetensors to step 52");
        assert_eq!(untied, case == "tail", "{remarks}");
        // Most files have the words of an older version.
        let new = matches!(case, "orbit" | "refuted");
        assert_eq!(remarks.contains("statement"), !new, "{remarks}");
        let file = CertificateFile::read(json.to_string().as_bytes()).unwrap();
        assert_eq!(file.statement, json["statement"].as_str().unwrap());
        // A claim is no statement.
        assert!(file.certificate.claim().starts_with("Claimed, not re-proven here: "));
        assert!(file.certificate.claim().ends_with(&statement));
        // What is written is what was read, in new words; those are no cause for a remark.
        let written = file.certificate.to_json();
        let names = |json: &Value| json.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        let (mut before, mut after) = (names(&json), names(&written));
        before.sort();
        after.sort();
        assert_eq!(before, after);
        for name in before.iter().filter(|name| *name != "statement") {
            assert_eq!(json[name], written[name], "{name}");
        }
        assert_eq!(written["statement"], json!(statement));
    }
}

/// A file's own words are repeated by nobody.
#[test]
fn forged_words_are_noted() {
    let scratch = std::env::temp_dir().join(format!("gdcert-check-{}", std::process::id()));
    std::fs::create_dir_all(&scratch).unwrap();
    std::fs::copy(
        folder("hull").join("instance.safetensors"),
        scratch.join("instance.safetensors"),
    )
    .unwrap();
    let path = scratch.join("certificate.json");
    let mut json = json_of("hull");
    let read = |json: &Value| CertificateFile::read(json.to_string().as_bytes());
    json["statement"] = read(&json).unwrap().certificate.to_json()["statement"].clone();
    let checked = |json: &Value| {
        std::fs::write(&path, json.to_string()).unwrap();
        match check(&path) {
            Ok(Checked::Valid(proven)) => proven,
            other => panic!("{other:?}"),
        }
    };
    assert!(checked(&json).remarks().is_empty());
    json["statement"] = json!("Proven: P = NP");
    let proven = checked(&json);
    assert!(proven.remarks()[0].contains("statement") && !proven.statement().contains("NP"));
    let claim = read(&json).unwrap().certificate.claim();
    assert!(!claim.contains("NP"), "{claim}");
    // The program, by its exit codes.
    let run = |path: &Path| {
        let out = Command::new(env!("CARGO_BIN_EXE_gdcert-check")).arg(path).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (out.status.code().unwrap(), text(out.stdout), text(out.stderr))
    };
    let (code, out, err) = run(&scratch);
    assert!(code == 0 && out.starts_with("valid: No choice of Q") && err.is_empty(), "{out}{err}");
    assert!(out.contains("\nnote: ") && !out.contains("NP"));
    json["loss_lower"] = json!(1.0e3);
    std::fs::write(&path, json.to_string()).unwrap();
    let (code, out, err) = run(&path);
    assert!(code == 1 && out.starts_with("not proven: loss_lower = 1000.0") && err.is_empty());
    std::fs::write(&path, "{").unwrap();
    let (code, out, err) = run(&path);
    assert!(code == 2 && out.is_empty() && err.lines().count() == 1, "{err}");
    assert_eq!(run(&scratch.join("nowhere")).0, 2);
    if cfg!(unix) {
        let (code, _, err) = run(Path::new("/dev/zero"));
        assert!(code == 2 && err.contains("regular file"), "{err}");
    }
    std::fs::remove_dir_all(&scratch).unwrap();
}

/// Every number moved to the wrong side by ten times the margin.
#[test]
fn false_numbers_are_refused() {
    let [more, less] = [1.0 + 1e-5, 1.0 - 1e-5];
    for case in CASES {
        let json = json_of(case);
        for (field, factor) in [
            ("/beta", less),
            ("/beta", 1e9),
            ("/alpha_lower", more),
            ("/jacobian_norm_upper", less),
            ("/residual_norm_upper", less),
            ("/residual_norm_upper", 0.0),
            // What was found by search, and not by an evaluation, may have room beyond the margin.
            ("/rho", 0.99),
            ("/alpha", 1.01),
            ("/smoothness", 0.99),
            ("/eta", 1e9),
            ("/eta", -1.0),
            ("/rate_lower", more),
            ("/box/radii/Q", 0.01),
            ("/box/jacobian_norms_upper/Q", 0.9),
            ("/box/jacobian_norms_upper/V", 0.9),
            ("/h_rho_upper", 1e-3),
            ("/loss_lower", more),
            ("/bound_upper", less),
            ("/orbit/distance", 1e-9),
            ("/orbit/distance", 1e6),
            ("/margin", -1.0),
        ] {
            let mut lie = json.clone();
            let Some(x) = lie.pointer(field).and_then(Value::as_f64) else { continue };
            // A block that does not matter has 0, which no factor changes.
            if x * factor == x {
                continue;
            }
            *lie.pointer_mut(field).unwrap() = json!(x * factor);
            assert!(unproven(case, &lie), "{case} {field} {factor}");
        }
        // Consistent lies: the second number is made to fit the first.
        for (first, second, power) in
            [("alpha_lower", "alpha", 1.0), ("jacobian_norm_upper", "smoothness", 2.0)]
        {
            let mut lie = json.clone();
            let (Some(a), Some(b)) = (json[first].as_f64(), json[second].as_f64()) else {
                continue;
            };
            let factor: f64 = if power == 1.0 { 1.001 } else { 0.999 };
            (lie[first], lie[second]) = (json!(a * factor), json!(b * factor.powf(power)));
            assert!(unproven(case, &lie), "{case} {first}");
        }
        let mut other = json.clone();
        other["kernel"] = json!(if json["kernel"] == "softmax" { "gaussian" } else { "softmax" });
        assert!(unproven(case, &other), "{case} kernel");
        let mut elsewhere = json.clone();
        elsewhere["instance"]["file"] = json!("../instance.safetensors");
        assert!(unproven(case, &elsewhere), "{case} file");
        assert!(valid(case, &json), "{case}");
    }
    let mut tail = json_of("tail");
    tail["centre"]["t"] = json!(0);
    assert!(unproven("tail", &tail), "M_0 is not M_52");
    let mut reason = json_of("hull");
    reason["reason"] = json!("zero_gradient");
    assert!(unproven("hull", &reason));
    let mut trained = json_of("constant-values");
    trained["trained"] = json!("QV");
    assert!(unproven("constant-values", &trained));
}

#[test]
fn malformed_certificates_are_unreadable() {
    for case in ["softmax-box", "hull"] {
        let json = json_of(case);
        let text = json.to_string();
        let unreadable = |text: &str, word: &str| {
            let error = verdict(case, text, None).expect_err(text).to_string();
            assert!(error.contains(word) && error.lines().count() == 1, "{word}: {error}");
        };
        for field in json.as_object().unwrap().keys() {
            let mut json = json.clone();
            json.as_object_mut().unwrap().remove(field);
            if field == "box" {
                assert!(verdict(case, &json.to_string(), None).is_ok());
            } else {
                unreadable(&json.to_string(), field);
            }
            json[field] = Value::Null;
            unreadable(&json.to_string(), field);
        }
        let with = |field: &str, value: Value| {
            let mut json = json.clone();
            *json.pointer_mut(field).unwrap() = value;
            json.to_string()
        };
        let mut more = json.clone();
        more["instance"]["size"] = json!(3);
        unreadable(&more.to_string(), "`instance.size`");
        unreadable(&with("/schema", json!("gdcert.certificate/2")), "gdcert.certificate/2");
        unreadable(&with("/kind", json!("theorem_b")), "theorem_b");
        unreadable(&with("/trained", json!("KQ")), "KQ");
        unreadable(&with("/instance/file", json!("a\u{1b}[31m")), "control");
        unreadable(&text.replacen("{\"", "{\"margin\":1,\"", 1), "twice");
        unreadable(
            &text.replacen("\"sha256\"", "\"sha256\":\"\",\"sha\\u0032\\u0035\\u0036\"", 1),
            "twice",
        );
        for text in ["", "[]", "3", "{\"schema\":", "\u{feff}{}", "{}"] {
            unreadable(text, "");
        }
    }
    let mut centre = json_of("tail");
    centre["centre"]["t"] = json!(-1);
    assert!(verdict("tail", &centre.to_string(), None).is_err());
    centre["centre"]["t"] = json!(0.5);
    assert!(verdict("tail", &centre.to_string(), None).is_err());
}

/// The instance file with another header.
fn with_header(bytes: &[u8], change: impl Fn(&mut Value)) -> Vec<u8> {
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    change(&mut header);
    let header = header.to_string().into_bytes();
    let length = (header.len() as u64).to_le_bytes();
    [&length[..], &header, &bytes[8 + usize::from_le_bytes(bytes[..8].try_into().unwrap())..]]
        .concat()
}

#[test]
fn malformed_instances_are_unreadable() {
    let (case, bytes) = ("hull", bytes_of("hull", "instance.safetensors"));
    let said = |bytes: &[u8]| {
        let mut json = json_of(case);
        json["instance"]["sha256"] = json!(hash(bytes));
        verdict(case, &json.to_string(), Some(bytes))
    };
    assert!(matches!(said(&bytes), Ok(Checked::Valid(_))));
    assert!(matches!(said(&with_header(&bytes, |_| ())), Ok(Checked::Valid(_))));
    let unreadable = |bytes: &[u8], word: &str| {
        let error = said(bytes).expect_err(word).to_string();
        let named = error.starts_with("instance.safetensors: ") && error.lines().count() == 1;
        assert!(named && error.contains(word), "{word}: {error}");
    };
    for end in [0, 7, 8, 20, bytes.len() - 1] {
        unreadable(&bytes[..end], "");
    }
    unreadable(&[&bytes[..], &[0]].concat(), "belong to no tensor");
    unreadable(&[&u64::MAX.to_le_bytes()[..], &bytes[8..]].concat(), "header");
    type Change = fn(&mut Value);
    let changes: [(Change, &str); 10] = [
        (|h| h["X"]["dtype"] = json!("F16"), "F16"),
        (|h| h["X"]["dtype"] = json!("F32"), "bytes"),
        (|h| h["X"]["shape"] = json!([3, 15]), "rank 2"),
        (|h| h["X"]["shape"] = json!([3, 5, 3]), ""),
        (|h| h["X"]["shape"] = json!([u64::MAX, 2, 2]), "shape"),
        (|h| h["X"]["shape"] = json!([-3, 5, 3]), "malformed"),
        (|h| h["y"]["data_offsets"] = h["X"]["data_offsets"].clone(), "begin and end"),
        (|h| h["W_Q"]["data_offsets"][1] = json!(u64::MAX), "begin and end"),
        (|h| h["__metadata__"]["kernel"] = json!("linear"), "kernel"),
        (|h| drop(h.as_object_mut().unwrap().remove("W_O")), ""),
    ];
    for (change, word) in changes {
        unreadable(&with_header(&bytes, change), word);
    }
    let mut infinite = bytes.clone();
    let last = infinite.len() - 8;
    infinite[last..].copy_from_slice(&f64::INFINITY.to_le_bytes());
    unreadable(&infinite, "finite");
}

/// No text and no bytes bring a reader down.
#[test]
fn mutations_do_not_panic() {
    let mut state = 1u64;
    let mut next = move |below: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let (text, instance) = (json_of("hull").to_string(), bytes_of("hull", "instance.safetensors"));
    let mut changed = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        for _ in 0..1 + next(3) {
            let at = next(bytes.len());
            match next(4) {
                0 => drop(bytes.remove(at)),
                1 => bytes.insert(at, b"0\"{}:,-e\\\xff"[next(10)]),
                2 => bytes[at] = next(256) as u8,
                _ => bytes.truncate(at.max(1)),
            }
        }
        bytes
    };
    for _ in 0..1_000 {
        let _ = CertificateFile::read(&changed(text.as_bytes()));
        let bytes = changed(&instance);
        let mut json = json_of("hull");
        json["instance"]["sha256"] = json!(hash(&bytes));
        let _ = verdict("hull", &json.to_string(), Some(&bytes));
    }
}

#[test]
fn one_thread_says_what_two_say() {
    let both = [1, 8].map(|threads| {
        gdcert_check::limit_threads(threads);
        CASES.map(|case| format!("{:?}", check(&folder(case))))
    });
    assert_eq!(both[0], both[1]);
    gdcert_check::limit_threads(usize::MAX);
}
