//! Models of the user's own on the command line: `verify --model`, `certify --model`, `check`.

use crate::common::{gdcert, refused};
use gdcert::graph::{Builder, Graph};
use serde_json::{Value, json};
use std::path::Path;

fn run(folder: &Path, line: &str) -> (Option<i32>, String) {
    let args: Vec<&str> = line.split_whitespace().collect();
    let output = gdcert(folder, &args);
    let text = String::from_utf8(output.stdout).unwrap();
    (
        output.status.code(),
        text + &String::from_utf8(output.stderr).unwrap(),
    )
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Numbers that look random, the same everywhere.
fn numbers(count: usize, seed: f64, scale: f64) -> Vec<f64> {
    let wave = |i: usize| ((i as f64 + 1.0) * 12.9898 + seed * 78.233).sin() * 43758.5453;
    (0..count)
        .map(|i| scale * 2.0 * (wave(i).fract() - wave(i + count).fract()))
        .collect()
}

/// r = tanh(X W + b) v - y on m samples of 4 features.
fn tanh_net(m: usize, width: usize) -> Graph {
    let build = || -> gdcert::Result<Graph> {
        let mut b = Builder::new();
        let W = b.parameter("W", &[4, width], &numbers(4 * width, 1.0, 0.5))?;
        let bias = b.parameter("b", &[width], &numbers(width, 2.0, 0.5))?;
        let scale = 1.0 / (width as f64).sqrt();
        let v = b.parameter("v", &[width], &numbers(width, 3.0, scale))?;
        let X = b.constant(&[m, 4], &numbers(4 * m, 4.0, 1.0))?;
        let y = b.constant(&[m], &numbers(m, 5.0, 0.5))?;
        let z = b.matmul(X, W)?;
        let bias = b.broadcast_in_dim(bias, &[m, width], &[1])?;
        let z = b.add(z, bias)?;
        let features = b.tanh(z)?;
        let outputs = b.dot_general(features, v, [&[1], &[0]], [&[], &[]])?;
        let r = b.sub(outputs, y)?;
        b.finish(r)
    };
    build().unwrap()
}

#[test]
fn a_network_is_certified_from_its_start_and_checked() {
    let folder = tempfile::tempdir().unwrap();
    tanh_net(4, 24)
        .save(&folder.path().join("net.json"))
        .unwrap();
    let (code, text) = run(
        folder.path(),
        "verify --model net.json --claim slow=rate:1e-4 --claim fast=rate:0.9 --out v",
    );
    assert_eq!(code, Some(0), "{text}");
    for words in [
        "Model     net.json",
        "W [4, 24]",
        "* ntk",
        "slow",
        "certified",
        "refuted at t = ",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let v = folder.path().join("v");
    let verdict = read(&v.join("verdict.json"));
    assert_eq!(verdict["schema"], "gdcert.verdict/1");
    assert_eq!(verdict["model"]["m"], 4);
    assert_eq!(verdict["model"]["P"], 144);
    assert_eq!(verdict["model"]["blocks"]["W"], json!([4, 24]));
    assert_eq!(verdict["trained"], json!(["W", "b", "v"]));
    assert_eq!(verdict["claims"]["ntk"]["verdict"], "certified");
    assert_eq!(verdict["claims"]["slow"]["verdict"], "certified");
    assert_eq!(verdict["claims"]["fast"]["verdict"], "refuted");
    crate::report::assert_valid(&verdict, "model-verdict.json");
    for name in ["certificate.json", "refuted-fast.json"] {
        crate::report::assert_valid(&read(&v.join(name)), "certificate.json");
    }
    let csv = std::fs::read_to_string(v.join("trajectory.csv")).unwrap();
    let header = "t,loss,bound_ntk,bound_slow,bound_fast,grad_norm,moved_W,moved_b,moved_v";
    assert_eq!(csv.lines().next(), Some(header));
    assert!(v.join("rate-vs-bound.png").is_file() && v.join("rate-vs-bound.svg").is_file());
    for name in ["certificate.json", "refuted-fast.json"] {
        let (code, text) = run(&v, &format!("check {name}"));
        assert_eq!(code, Some(0), "{name}: {text}");
    }
    // From M_0 on.
    let certificate = read(&v.join("certificate.json"));
    assert!(certificate["orbit"]["steps"].as_u64() > Some(0));
    // A number that is not true is not accepted.
    for (field, share) in [
        ("alpha_lower", 1.01),
        ("jacobian_norm_upper", 0.99),
        ("residual_norm_upper", 0.99),
        ("h_rho_upper", 0.5),
        ("rate_lower", 1.01),
        ("beta", 0.99),
        ("beta", 2.0),
    ] {
        let mut lie = certificate.clone();
        lie[field] = (share * lie[field].as_f64().unwrap()).into();
        std::fs::write(v.join("lie.json"), lie.to_string()).unwrap();
        let (code, text) = run(&v, "check lie.json");
        assert_eq!(code, Some(1), "{field}: {text}");
    }
}

#[test]
fn certify_proves_refutes_or_says_why_not() {
    let folder = tempfile::tempdir().unwrap();
    tanh_net(4, 24)
        .save(&folder.path().join("net.json"))
        .unwrap();
    let (code, text) = run(folder.path(), "certify --model net.json");
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("Theorem A does not close at M_0"), "{text}");
    assert!(
        !folder
            .path()
            .join("gdcert-out/certify/certificate.json")
            .exists()
    );
    let tail = "certify --model net.json --tail --claim a=rate:1e-4 --reading a --out a";
    let (code, text) = run(folder.path(), tail);
    assert_eq!(code, Some(0), "{text}");
    let certificate = read(&folder.path().join("a/certificate.json"));
    assert_eq!(certificate["reading"], "a");
    assert_eq!(run(folder.path(), "check a").0, Some(0));
    let tail = "certify --model net.json --tail --claim a=rate:0.9 --reading a --out b";
    let (code, text) = run(folder.path(), tail);
    assert_eq!(code, Some(1), "{text}");
    assert_eq!(
        read(&folder.path().join("b/certificate.json"))["kind"],
        "refuted"
    );
    assert_eq!(run(folder.path(), "check b").0, Some(0));
}

#[test]
fn what_makes_no_sense_for_a_model_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    tanh_net(2, 3).save(&path.join("net.json")).unwrap();
    let refused = |args: &[&str], words: &str| {
        refused(
            path,
            &[&["verify", "--model", "net.json"][..], args].concat(),
            &[words],
        );
    };
    refused(&["--reading", "stacked"], "defined for attention alone");
    refused(&["--reading", "x"], "unknown reading 'x'");
    refused(
        &["--train", "Q"],
        "--train: the model has no block 'Q' to train; choose from W, b, v",
    );
    refused(&["--train", "W,W"], "named twice");
    refused(&["--train", ""], "no block '' to train");
    refused(&["-N", "2"], "cannot be used with");
    refused(&["--precision", "double-double"], "cannot be used with");
    refused(&["--eta", "-1"], "must be");
    crate::common::refused(path, &["verify", "--model", "no.json"], &["no.json"]);
    // A kink at the start has its name.
    let build = || -> gdcert::Result<Graph> {
        let mut b = Builder::new();
        let w = b.parameter("w", &[2], &[0.0, 1.0])?;
        let r = b.relu(w)?;
        b.finish(r)
    };
    build().unwrap().save(&path.join("kink.json")).unwrap();
    crate::common::refused(path, &["verify", "--model", "kink.json"], &["relu"]);
}

/// Some blocks alone: the others are constants, which the certificate says and the check keeps to.
#[test]
fn named_blocks_alone_are_trained() {
    let folder = tempfile::tempdir().unwrap();
    let net = tanh_net(4, 24);
    net.save(&folder.path().join("net.json")).unwrap();
    let line = "verify --model net.json --train v,W --claim slow=rate:1e-4 --out v";
    let (code, text) = run(folder.path(), line);
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("W [4, 24], v [24]") && text.contains("gradient descent on W, v"),
        "{text}"
    );
    let v = folder.path().join("v");
    let verdict = read(&v.join("verdict.json"));
    crate::report::assert_valid(&verdict, "model-verdict.json");
    assert_eq!(verdict["trained"], json!(["W", "v"]));
    assert_eq!(verdict["model"]["P"], 120);
    assert_eq!(verdict["model"]["blocks"]["b"], json!([24]));
    // The file is the model, whatever is trained.
    let again = Graph::load(&v.join("model.json")).unwrap();
    assert_eq!(again, net);
    let certificate = read(&v.join("certificate.json"));
    assert_eq!(certificate["trained"], json!(["W", "v"]));
    assert_eq!(run(&v, "check certificate.json").0, Some(0));
    // beta is that of the trained blocks, and the orbit theirs.
    for trained in [
        json!(["v"]),
        json!(["W", "b", "v"]),
        json!(["v", "W"]),
        json!(["x"]),
    ] {
        let mut lie = certificate.clone();
        lie["trained"] = trained.clone();
        std::fs::write(v.join("lie.json"), lie.to_string()).unwrap();
        let (code, text) = run(&v, "check lie.json");
        assert!(matches!(code, Some(1 | 2)), "{trained}: {text}");
    }
    let (code, text) = run(folder.path(), "explain v");
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("held as they are: b [24]"), "{text}");
    assert!(!text.contains("not re-proven"), "{text}");
    let line = "certify --model net.json --train v --tail --out c";
    let (code, text) = run(folder.path(), line);
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(run(folder.path(), "check c").0, Some(0));
}

/// Two layers that start at 0: nothing moves, which is proven, whatever the step.
#[test]
fn a_model_that_is_stuck_is_obstructed() {
    let folder = tempfile::tempdir().unwrap();
    let build = |v: f64| -> gdcert::Result<Graph> {
        let mut b = Builder::new();
        let W = b.parameter("W", &[4, 6], &[0.0; 24])?;
        let v = b.parameter("v", &[6], &[v; 6])?;
        let X = b.constant(&[3, 4], &numbers(12, 4.0, 1.0))?;
        let y = b.constant(&[3], &numbers(3, 5.0, 0.5))?;
        let z = b.matmul(X, W)?;
        let features = b.tanh(z)?;
        let outputs = b.dot_general(features, v, [&[1], &[0]], [&[], &[]])?;
        let r = b.sub(outputs, y)?;
        b.finish(r)
    };
    let path = folder.path();
    build(0.0).unwrap().save(&path.join("stuck.json")).unwrap();
    for (command, out) in [
        ("verify", "v"),
        ("certify", "c"),
        ("certify --best-rate", "b"),
    ] {
        let (code, text) = run(path, &format!("{command} --model stuck.json --out {out}"));
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains("obstructed"), "{text}");
        let certificate = read(&path.join(out).join("certificate.json"));
        crate::report::assert_valid(&certificate, "certificate.json");
        assert_eq!(certificate["kind"], "obstructed");
        assert_eq!(certificate["reason"], "zero_gradient");
        let (code, text) = run(path, &format!("check {out}"));
        assert_eq!(code, Some(0), "{text}");
        assert!(text.contains("never moves"), "{text}");
        let (_, text) = run(path, &format!("explain {out}"));
        assert!(text.contains("Proven: Exact gradient descent on"), "{text}");
    }
    let verdict = read(&path.join("v/verdict.json"));
    crate::report::assert_valid(&verdict, "model-verdict.json");
    assert_eq!(verdict["obstruction"]["reason"], "zero_gradient");
    let expected = "verify --model stuck.json --eta 0.1 --steps 7 --expect obstructed --out e";
    assert_eq!(run(path, expected).0, Some(0));
    let csv = std::fs::read_to_string(path.join("e/trajectory.csv")).unwrap();
    assert_eq!(csv.lines().count(), 9);
    // A loss that is larger, or parameters from which it moves.
    let mut lie = read(&path.join("c/certificate.json"));
    lie["loss_lower"] = (1.01 * lie["loss_lower"].as_f64().unwrap()).into();
    std::fs::write(path.join("c/lie.json"), lie.to_string()).unwrap();
    assert_eq!(run(path, "check c/lie.json").0, Some(1));
    build(0.5)
        .unwrap()
        .save(&path.join("c/model.json"))
        .unwrap();
    let mut other = read(&path.join("c/certificate.json"));
    let sha = |name: &str| gdcert_base::files::sha256(&std::fs::read(path.join(name)).unwrap());
    other["model"]["sha256"] = sha("c/model.json").into();
    other["model"]["tensors"]["sha256"] = sha("c/model.safetensors").into();
    std::fs::write(path.join("c/other.json"), other.to_string()).unwrap();
    let (code, text) = run(path, "check c/other.json");
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("gradient is not proven to be 0"), "{text}");
}

/// Folders about models in words, on a page and as figures; what is said to be proven is proven again.
#[test]
fn folders_of_models_are_explained_and_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    tanh_net(4, 24).save(&path.join("net.json")).unwrap();
    let line = "verify --model net.json --claim fast=rate:0.9 --out v --format svg,pdf";
    assert_eq!(run(path, line).0, Some(0));
    assert!(path.join("v/rate-vs-bound.pdf").is_file());
    let (code, text) = run(path, "explain v");
    assert_eq!(code, Some(0), "{text}");
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("Verdict: certified"), "{text}");
    let lead = words.find("Verdict:") < words.find("Model: model.json, a residual in R^4");
    assert!(lead, "{text}");
    assert!(words.contains("2 dot_general") && words.contains("Proven: Exact gradient descent"));
    assert!(!words.contains("not re-proven"), "{text}");
    let (code, text) = run(path, "report v");
    assert_eq!(code, Some(0), "{text}");
    let page = std::fs::read_to_string(path.join("v/report.html")).unwrap();
    assert!(page.contains("data:image/svg+xml") && page.contains("Verdict: certified"));
    let line = "plot v --format svg,pdf --width 3.25in --panels loss --title none --out p";
    let (code, text) = run(path, line);
    assert_eq!(code, Some(0), "{text}");
    let svg = std::fs::read_to_string(path.join("p/rate-vs-bound.svg")).unwrap();
    assert!(svg.contains("certified"), "{svg}");
    refused(
        path,
        &["plot", "v", "--panels", "sigma"],
        &["choose from loss and moved"],
    );
    refused(
        path,
        &["plot", "v", "--readings", "stacked"],
        &["choose from ntk, fast"],
    );
    let line = "explain v --format csv";
    let (code, text) = run(path, line);
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(text.lines().count(), 3);
    assert_eq!(run(path, "explain v/model.json").0, Some(0));
    assert_eq!(run(path, "explain v/certificate.json").0, Some(0));
    assert_eq!(
        run(path, "certify --model net.json --tail --out c").0,
        Some(0)
    );
    let (code, text) = run(path, "explain c");
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("Model: model.json"), "{text}");
    // A verdict that its certificate does not bear out is not repeated as proven.
    let mut verdict = read(&path.join("v/verdict.json"));
    verdict["claims"]["fast"]["verdict"] = "certified".into();
    std::fs::write(path.join("v/verdict.json"), verdict.to_string()).unwrap();
    let (_, text) = run(path, "explain v");
    assert!(text.contains("certified (not re-proven here)"), "{text}");
    // Nor one whose model was exchanged.
    tanh_net(4, 23).save(&path.join("v/model.json")).unwrap();
    let (code, text) = run(path, "explain v");
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("Not re-proven here"), "{text}");
}

/// No step is made of a |J_0| that rounding hides: here it is 0 but for the rounding of a constant.
#[test]
fn a_step_is_not_made_of_rounding() {
    let folder = tempfile::tempdir().unwrap();
    let build = || -> gdcert::Result<Graph> {
        let mut b = Builder::new();
        let v = b.parameter("v", &[3], &[0.1, 0.2, 0.3])?;
        let third = b.constant(&[3], &[1.0 / 3.0; 3])?;
        let eleventh = b.constant(&[3], &[1.0 / 11.0; 3])?;
        let both = b.constant(&[3], &[-1.0 / 3.0 - 1.0 / 11.0; 3])?;
        let [x, z, o] = [third, eleventh, both].map(|c| b.mul(c, v));
        let sum = b.add(x?, z?)?;
        let nothing = b.add(sum, o?)?;
        let y = b.constant(&[3], &[1.0, 1.0, 1.0])?;
        let r = b.sub(nothing, y)?;
        b.finish(r)
    };
    build()
        .unwrap()
        .save(&folder.path().join("still.json"))
        .unwrap();
    for command in ["verify", "certify"] {
        let args = [
            command,
            "--model",
            "still.json",
            "--claim",
            "a=1",
            "--reading",
            "a",
        ];
        refused(folder.path(), &args, &["|J_0|", "--eta"]);
    }
}
