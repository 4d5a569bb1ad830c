//! `gdcert certify` as a user meets it: what it writes, what it refuses, exit codes. What `check` makes of tampered
//! files is in `certificates.rs`.

use gdcert::{Dims, Init, Instance, Kernel, Weights};
use nalgebra::DMatrix;
use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Output};

/// A folder of its own for one test, removed at the end.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Folder(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs `gdcert` with a line of flags.
    fn run(&self, line: &str) -> Output {
        Command::new(env!("CARGO_BIN_EXE_gdcert"))
            .args(line.split_whitespace())
            .current_dir(self.0.path())
            .output()
            .unwrap()
    }

    /// Runs `certify` and expects a certificate; returns what was printed.
    #[track_caller]
    fn certified(&self, line: &str) -> String {
        let output = self.run(&format!("certify {line}"));
        assert_eq!(output.status.code(), Some(0), "{line}: {output:?}");
        assert!(output.stderr.is_empty(), "{line}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Expects exit code 1, a reason on stdout with these words, and nothing written.
    #[track_caller]
    fn not_certified(&self, line: &str, words: &[&str]) {
        let output = self.run(&format!("certify {line}"));
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(1), "{line}: {text}");
        assert!(text.starts_with("Not certified: ") && text.lines().count() == 1);
        for word in words {
            assert!(text.contains(word), "{line}: no '{word}' in: {text}");
        }
        assert!(!self.path(OUT).exists(), "{line} left files");
    }

    /// Expects exit code 2, one line on stderr with these words, and nothing written.
    #[track_caller]
    fn refused(&self, line: &str, words: &[&str]) {
        let output = self.run(line);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{line}: {text}");
        assert_eq!(text.lines().count(), 1, "{line}: {text}");
        for word in words {
            assert!(text.contains(word), "{line}: no '{word}' in: {text}");
        }
        assert!(output.stdout.is_empty(), "{line} printed to stdout");
        assert!(!self.path(OUT).exists(), "{line} left files");
    }

    fn json(&self, file: &str) -> Value {
        serde_json::from_slice(&self.read(file)).unwrap()
    }

    fn read(&self, file: &str) -> Vec<u8> {
        std::fs::read(self.path(file)).unwrap()
    }

    fn files(&self, folder: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.path(folder)).unwrap();
        let mut names: Vec<_> = entries
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// `check` re-proves the certificate in this folder.
    #[track_caller]
    fn checked(&self, folder: &str) {
        let output = self.run(&format!("check {folder}"));
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }
}

const OUT: &str = "gdcert-out/certify";
const LAZY: &str = "-N 2 -n 4 -D 8 -d 4 -H 3 --init lazy";
const PAIRED: &str = "-N 2 -n 3 -D 8 -d 4 -H 4 --init paired";
const TAIL: &str = "-N 1 -n 3 -D 8 -d 4 -H 4";

fn number(json: &Value, field: &str) -> f64 {
    json[field].as_f64().unwrap()
}

#[test]
fn a_certificate_and_its_instance_are_written() {
    let folder = Folder::new();
    let text = folder.certified(&format!("{LAZY} --scale 1e5 --kernel gaussian --seed 3"));
    assert_eq!(
        folder.files(OUT),
        ["certificate.json", "instance.safetensors", "run.json"]
    );
    let certificate = folder.json("gdcert-out/certify/certificate.json");
    assert_eq!(certificate["schema"], "gdcert.certificate/1");
    assert_eq!(certificate["kind"], "theorem_a");
    assert_eq!(certificate["kernel"], "gaussian");
    assert_eq!(certificate["trained"], "QKV");
    assert_eq!(certificate["reading"], "per_head");
    assert_eq!(certificate["centre"]["t"], 0);
    assert_eq!(certificate["centre"]["file"], "instance.safetensors");
    assert!(number(&certificate, "rate_lower") > 0.0);
    let claimed = number(&certificate, "eta") * number(&certificate, "beta");
    assert!(number(&certificate, "rate_lower") >= claimed);
    // The summary is the statement, and says how to re-prove it.
    assert!(text.contains(certificate["statement"].as_str().unwrap()));
    assert!(text.contains("gdcert check gdcert-out/certify/certificate.json"));
    folder.checked(OUT);

    let instance = Instance::read(&folder.path(OUT).join("instance.safetensors"), None).unwrap();
    let dims = Dims {
        N: 2,
        n: 4,
        D: 8,
        d: 4,
        H: 3,
        p: 1,
    };
    let drawn = Instance::random(dims, Kernel::Gaussian, Init::Lazy { omega: 1e5 }, 3).unwrap();
    assert_eq!(instance, drawn);
    let run = folder.json("gdcert-out/certify/run.json");
    assert_eq!(run["subcommand"], "certify");
    assert_eq!(run["seed"], 3);

    // A file in the place of a draw: the same proof.
    folder.certified(&format!(
        "--instance {OUT}/instance.safetensors --out again"
    ));
    assert_eq!(folder.json("again/certificate.json"), certificate);
}

/// The smallest scale of Theorems 1' and 2', both kernels: just below it nothing is certified, and above it everything is.
#[test]
fn the_smallest_scale_is_found() {
    let cases = [
        (LAZY, "--theorem 1"),
        (PAIRED, "--theorem 2"),
        (PAIRED, "--train QK"),
    ];
    for (sizes, trained) in cases {
        for kernel in ["softmax", "gaussian"] {
            let folder = Folder::new();
            let line = format!("{sizes} {trained} --kernel {kernel}");
            let text = folder.certified(&format!("{line} --search-scale"));
            let first = text.lines().next().unwrap();
            assert!(first.starts_with("Smallest scale of --init "), "{text}");
            let scale: f64 = first.rsplit(' ').next().unwrap().parse().unwrap();
            folder.checked(OUT);
            let at = |by: f64, out: &str| {
                let scale = by * scale;
                folder.run(&format!(
                    "certify {line} --scale {scale} --eta certified --out {out}"
                ))
            };
            for (by, code) in [(0.9, 1), (1.0, 0), (1.1, 0), (10.0, 0)] {
                let output = at(by, &format!("at-{by}"));
                assert_eq!(output.status.code(), Some(code), "{line} {by}: {output:?}");
            }
            assert!(!folder.path("at-0.9").exists());
            // The scale as printed is the one that was used.
            assert_eq!(
                folder.read("at-1/certificate.json"),
                folder.read("gdcert-out/certify/certificate.json")
            );
        }
    }
}

/// From an ordinary initialization: not at M_0, but from M_T on, with the centre beside the certificate.
#[test]
fn a_tail_has_its_centre_beside_it() {
    for kernel in ["softmax", "gaussian"] {
        let folder = Folder::new();
        let line = format!("{TAIL} --kernel {kernel}");
        folder.not_certified(&line, &["Theorem A does not close at M_0"]);
        folder.not_certified(
            &format!("{line} --tail --steps 1"),
            &["does not close at M_1"],
        );
        folder.certified(&format!("{line} --tail --steps 20000"));
        assert_eq!(
            folder.files(OUT),
            [
                "centre.safetensors",
                "certificate.json",
                "instance.safetensors",
                "run.json"
            ]
        );
        let certificate = folder.json("gdcert-out/certify/certificate.json");
        assert_eq!(certificate["centre"]["file"], "centre.safetensors");
        assert!(certificate["centre"]["t"].as_u64().unwrap() > 1);
        let read = |name: &str| Instance::read(&folder.path(OUT).join(name), None).unwrap();
        let (instance, centre) = (read("instance.safetensors"), read("centre.safetensors"));
        assert_eq!(instance.X(), centre.X());
        assert_eq!(instance.y(), centre.y());
        assert_eq!(instance.W().O, centre.W().O);
        assert_ne!(instance.W().V, centre.W().V);
        folder.checked(OUT);
    }
}

#[test]
fn the_step_of_theorem_a_is_a_choice() {
    let folder = Folder::new();
    let line = format!("{LAZY} --scale 1e5");
    folder.certified(&format!("{line} --out auto"));
    folder.certified(&format!("{line} --eta certified --out certified"));
    let [auto, certified] =
        ["auto", "certified"].map(|f| folder.json(&format!("{f}/certificate.json")));
    let theta = |json: &Value| number(json, "eta") * number(json, "smoothness");
    // eta L = 1/2 with the proof's own L, but for the margin; auto takes |J_0|^2 for L, which is a little smaller.
    assert!((theta(&certified) - 0.5).abs() < 1e-4, "{certified}");
    assert!(theta(&auto) > theta(&certified));
    folder.certified(&format!("{line} --eta 1e-13 --out given"));
    let given = folder.json("given/certificate.json");
    assert_eq!(number(&given, "eta"), 1e-13);
    // A step beyond 2 / L can not be proven.
    folder.not_certified(
        &format!("{line} --eta {}", 5.0 * number(&auto, "eta")),
        &["eta L / 2 is", "must be below 1"],
    );
}

#[test]
fn obstructions_are_certificates_too() {
    let folder = Folder::new();
    let line = "-N 2 -n 4 -D 16 -d 4 -H 4 --theorem 2 --init constant-value --scale 1e5";
    let output = folder.run(&format!("certify {line} --kernel softmax"));
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    let why = String::from_utf8(output.stderr).unwrap();
    assert!(why.starts_with("gdcert: obstructed: No choice"), "{why}");
    let certificate = folder.json("gdcert-out/certify/certificate.json");
    assert_eq!(certificate["kind"], "obstructed");
    assert_eq!(certificate["reason"], "zero_gradient");
    assert!(number(&certificate, "loss_lower") > 0.0);
    assert!(text.contains("No choice of Q brings"), "{text}");
    folder.checked(OUT);
    // The separation of the kernels: the same data and weights.
    folder.certified(&format!("{line} --kernel gaussian --out gaussian"));
    let other = folder.json("gaussian/certificate.json");
    assert_eq!(other["kind"], "theorem_a");
    folder.checked("gaussian");
}

#[test]
fn json_is_the_certificate_or_the_reason() {
    let folder = Folder::new();
    let printed = folder.certified(&format!("{LAZY} --scale 1e5 --json"));
    let printed: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(printed, folder.json("gdcert-out/certify/certificate.json"));
    let output = folder.run(&format!("certify {LAZY} --json --out elsewhere"));
    assert_eq!(output.status.code(), Some(1));
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    let why = printed["refused"].as_str().unwrap();
    assert!(why.contains("Theorem A does not close at M_0"), "{why}");
    assert!(!folder.path("elsewhere").exists());
}

#[test]
fn files_do_not_depend_on_threads() {
    let cases = [
        "-N 4 -n 8 -D 16 -d 8 -H 4 --init lazy --scale 1e6 --kernel softmax",
        "-N 4 -n 8 -D 16 -d 8 -H 4 --init lazy --scale 1e6 --kernel gaussian",
        "-N 2 -n 3 -D 8 -d 4 -H 4 -p 2 --init paired --scale 1e6 --train QK",
        "-N 1 -n 3 -D 8 -d 4 -H 4 --tail --steps 20000",
    ];
    for line in cases {
        let folder = Folder::new();
        for threads in ["1", "2"] {
            folder.certified(&format!("{line} --threads {threads} --out {threads}"));
        }
        let names = folder.files("1");
        assert_eq!(names, folder.files("2"));
        for name in names.iter().filter(|name| *name != "run.json") {
            let [one, two] = ["1", "2"].map(|f| folder.read(&format!("{f}/{name}")));
            assert!(one == two, "{line}: {name} depends on --threads");
        }
    }
}

#[test]
fn what_can_not_be_proven_says_why_and_writes_nothing() {
    let folder = Folder::new();
    // The literal reading at three heads claims too much, at any scale.
    folder.not_certified(
        &format!("{LAZY} --scale 1e6 --reading stacked"),
        &["closes at M_0, but not for the reading stacked", "times"],
    );
    folder.not_certified(
        &format!("{PAIRED} --scale 1e6 --theorem 2 --reading value"),
        &["the reading value does not apply", "needs W^V trained"],
    );
    folder.not_certified(
        "-N 3 -n 4 -D 5 -d 2 -H 2 --init lazy --scale 1e6",
        &["per_head does not apply", "HD = 10, Nn = 12"],
    );
    // Fewer parameters than residuals: sigma_min is 0 by counting.
    folder.not_certified(
        "-N 4 -n 4 -D 2 -d 2 -H 2 --theorem 2 --kernel gaussian",
        &["ntk does not apply", "at least m = 16"],
    );
    // Two equal tokens in a sample: sigma_min(J) = 0 whatever the weights.
    let X = vec![DMatrix::from_fn(2, 6, |_, e| 1.0 + e as f64)];
    let y = vec![DMatrix::from_element(2, 1, 1.0)];
    let W = Weights {
        Q: vec![DMatrix::from_element(6, 2, 0.1)],
        K: vec![DMatrix::from_element(6, 2, 0.2)],
        V: vec![DMatrix::from_element(6, 2, 0.3)],
        O: vec![DMatrix::from_element(2, 1, 0.4)],
    };
    let instance = Instance::new(Kernel::Softmax, X, y, W).unwrap();
    std::fs::write(
        folder.path("equal.safetensors"),
        instance.to_bytes().unwrap(),
    )
    .unwrap();
    folder.not_certified("--instance equal.safetensors", &["not resolved"]);
}

#[test]
fn bad_flags_are_refused() {
    let folder = Folder::new();
    let search = |flags: &str| format!("certify {LAZY} --search-scale {flags}");
    folder.refused(&search("--scale 10"), &["--search-scale", "--scale"]);
    folder.refused(&search("--tail"), &["--search-scale", "--tail"]);
    folder.refused(&search("--eta 0.1"), &["--search-scale", "drop --eta"]);
    folder.refused(
        "certify --instance x.safetensors --search-scale",
        &["--instance", "--search-scale"],
    );
    folder.refused(
        "certify -N 2 -n 4 -D 8 -d 4 -H 3 --search-scale",
        &["lecun has no scale"],
    );
    folder.refused(&search("--train QK"), &["lazy needs V trained"]);
    folder.refused(
        &format!("certify {PAIRED} --search-scale --train V"),
        &["paired needs Q or K trained"],
    );
    folder.refused(&format!("certify {LAZY} --steps 10"), &["--tail"]);
    folder.refused(&format!("certify {LAZY} --tail --steps -1"), &["--steps"]);
    folder.refused(
        &format!("certify {LAZY} --tail --eta certified"),
        &["--eta certified", "tail"],
    );
    for eta in ["0", "-1", "nan", "inf", "fast"] {
        folder.refused(&format!("certify {LAZY} --eta {eta}"), &["--eta", eta]);
    }
    folder.refused(
        &format!("certify {LAZY} --reading literal"),
        &["literal", "per_head"],
    );
    folder.refused(&format!("certify {LAZY} --threads 0"), &["--threads 0"]);
    folder.refused(
        "certify --instance nowhere.safetensors",
        &["nowhere.safetensors"],
    );
    folder.refused("certify", &["-N", "--instance"]);
    // Another command's folder is left alone.
    folder.run("verify -N 1 -n 2 -D 4 -d 2 -H 2 --steps 2 --out mine");
    let before = folder.files("mine");
    folder.refused(
        &format!("certify {LAZY} --scale 1e5 --out mine"),
        &["mine", "--force"],
    );
    assert_eq!(folder.files("mine"), before);
}

/// A refusal takes away what an earlier run proved: `check` would take it for this one's. Bad input changes nothing.
#[test]
fn a_refusal_leaves_no_earlier_certificate() {
    let folder = Folder::new();
    folder.certified(&format!("{LAZY} --scale 1e5"));
    let names = folder.files(OUT);
    let output = folder.run(&format!("certify {LAZY} --eta -1"));
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(folder.files(OUT), names);
    folder.checked(OUT);
    let output = folder.run(&format!("certify {LAZY} --scale 1"));
    assert_eq!(output.status.code(), Some(1));
    assert!(!folder.path(OUT).exists());
    // In words, which flag may help.
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.contains("--tail") && said.contains("--search-scale"),
        "{said}"
    );
    let why = String::from_utf8(output.stderr).unwrap();
    assert!(
        why.lines().count() == 1 && why.contains("not certified"),
        "{why}"
    );
}

/// Trained subsets of both theorems, both kernels, p = 1 and 2: certified, and re-proven by `check`.
#[test]
fn every_subset_is_certified_and_checked() {
    for kernel in ["softmax", "gaussian"] {
        for p in [1, 2] {
            for (train, init) in [
                ("QKV", "lazy"),
                ("V", "lazy"),
                ("Q", "paired"),
                ("QK", "paired"),
            ] {
                let folder = Folder::new();
                folder.certified(&format!(
                    "-N 2 -n 3 -D 8 -d 4 -H 4 -p {p} --init {init} --scale 1e6 --train {train} --kernel {kernel}"
                ));
                folder.checked(OUT);
            }
        }
    }
}

/// A folder holds one run's files: what an earlier run proved does not stay beside an instance it is not about.
#[test]
fn an_earlier_certificate_does_not_stay() {
    let folder = Folder::new();
    let sizes = "-N 2 -n 4 -D 8 -d 4 -H 3";
    let tail = folder.run(&format!("verify {sizes} --out v"));
    assert_eq!(tail.status.code(), Some(0));
    let holds = |name: &str| folder.path("v").join(name).exists();
    assert!(holds("certificate.json") && holds("centre.safetensors"));
    let at_start = folder.run(&format!(
        "verify {sizes} --init lazy --scale 1e4 --steps 5 --out v"
    ));
    assert_eq!(at_start.status.code(), Some(0));
    assert!(holds("certificate.json") && !holds("centre.safetensors"));
    let nothing = folder.run(&format!("verify {sizes} --steps 5 --out v"));
    assert_eq!(nothing.status.code(), Some(0));
    assert!(!holds("certificate.json") && holds("verdict.json"));
}

#[test]
fn sizes_beyond_memory_or_the_sharp_bound_are_refused() {
    let folder = Folder::new();
    let huge = "certify -N 1000000 -n 1000 -D 1000 -d 100 -H 10";
    folder.refused(huge, &["memory", "smaller"]);
    let large = "certify -N 64 -n 16 -D 128 -d 32 -H 16 --init lazy --search-scale";
    folder.refused(large, &["sharp bound", "smaller sizes"]);
}

/// One token, and rows of attention that are one-hot up to rounding: the sharp bound is finite, so that a scale is found.
#[test]
fn one_token_has_a_smallest_scale() {
    for kernel in ["softmax", "gaussian"] {
        let folder = Folder::new();
        let line = format!("-N 2 -n 1 -D 8 -d 4 -H 3 --init lazy --search-scale --kernel {kernel}");
        let text = folder.certified(&line);
        assert!(
            text.starts_with("Smallest scale of --init lazy: "),
            "{text}"
        );
        assert_eq!(
            folder
                .run("check gdcert-out/certify/certificate.json")
                .status
                .code(),
            Some(0)
        );
    }
}

/// beta_per_head = 0 makes no claim; the sharp constant of the same instance does.
#[test]
fn a_reading_with_beta_0_is_not_certified() {
    let dims = Dims {
        N: 2,
        n: 2,
        D: 8,
        d: 4,
        H: 3,
        p: 1,
    };
    let drawn = Instance::random(dims, Kernel::Softmax, Init::Lazy { omega: 1e4 }, 0).unwrap();
    let mut W = drawn.W().clone();
    W.O[1].fill(0.0);
    let folder = Folder::new();
    let instance = drawn.with_weights(W).unwrap();
    instance.write(&folder.path("dead.safetensors")).unwrap();
    folder.not_certified(
        "--instance dead.safetensors",
        &[
            "the reading per_head needs beta > 0",
            "min_h sigma_min(W^O_h)^2",
        ],
    );
    folder.certified("--instance dead.safetensors --reading ntk");
    assert_eq!(
        folder
            .run("check gdcert-out/certify/certificate.json")
            .status
            .code(),
        Some(0)
    );
}
