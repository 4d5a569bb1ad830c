//! The search for counterexamples: what it finds stands before `verify`, and a proof excludes it.

use crate::common::{code, gdcert, signal};
use gdcert::experiment::falsify::{Findings, Search, Start, falsify};
use gdcert::spectrum::Reading;
use gdcert::verdict::Verdict;
use gdcert::{
    Certified, Dims, Eta, Goal, Init, Instance, Kernel, Settings, Trained, certify, verify,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};

fn json(file: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

fn search(reading: Reading, start: Start) -> Search {
    Search {
        start,
        trained: Trained::QKV,
        reading,
        steps: 300,
        tries: 1024,
        seed: 0,
    }
}

fn found(search: &Search) -> Findings {
    falsify(search).unwrap()
}

const SMALL: Dims = Dims {
    N: 2,
    n: 2,
    D: 4,
    d: 2,
    H: 3,
    p: 1,
};

/// Default flags, both kernels: the files, and what `gdcert verify` says of the instance file by itself.
#[test]
fn counterexamples_for_both_kernels_stand_before_verify() {
    let folder = tempfile::tempdir().unwrap();
    for kernel in ["softmax", "gaussian"] {
        for reading in ["stacked", "per_head"] {
            let out = format!("{reading}-{kernel}");
            let output = gdcert(
                folder.path(),
                &[
                    "falsify",
                    "--reading",
                    reading,
                    "--kernel",
                    kernel,
                    "--out",
                    &out,
                ],
            );
            assert_eq!(code(&output), 0, "{output:?}");
            let found = json(&folder.path().join(&out).join("falsify.json"));
            assert_eq!(found["schema"], "gdcert.falsify/1");
            assert_eq!(found["stopped"], false);
            let counterexample = &found["counterexample"];
            assert_eq!(counterexample["verdict"], "refuted");
            assert!(counterexample["min_slack"].as_f64().unwrap() < 0.0);

            let at = folder.path().join(&out).join("counterexample");
            let mut files: Vec<_> = std::fs::read_dir(&at)
                .unwrap()
                .map(|e| e.unwrap().file_name().into_string().unwrap())
                .collect();
            files.sort();
            // Other readings may be refuted beside it.
            files.retain(|name| !name.starts_with("refuted-"));
            assert_eq!(
                files,
                [
                    "certificate.json",
                    "counterexample.txt",
                    "instance.safetensors",
                    "rate-vs-bound.png",
                    "rate-vs-bound.svg",
                    "run.json",
                    "trajectory.csv",
                    "verdict.json"
                ]
            );
            let verdict = json(&at.join("verdict.json"));
            assert_eq!(verdict["deciding"], reading);
            assert_eq!(verdict["certificate"]["kind"], "refuted");
            if reading == "stacked" {
                let per_head = verdict["claims"]["per_head"]["verdict"].as_str().unwrap();
                assert!(per_head.parse::<Verdict>().unwrap().holds(), "{per_head}");
            }

            // The same from the file alone; and there is no certificate for it.
            let again = counterexample["command"].as_str().unwrap();
            let again: Vec<&str> = again.split(' ').skip(1).collect();
            let verified = gdcert(folder.path(), &[&again[..], &["--out", "again"]].concat());
            assert_eq!(code(&verified), 1, "{verified:?}");
            let again = json(&folder.path().join("again/verdict.json"));
            assert_eq!(again["claims"], verdict["claims"]);
            assert_eq!(again["claims"][reading]["verdict"], "refuted");
            let instance = format!("{out}/counterexample/instance.safetensors");
            let certified = gdcert(
                folder.path(),
                &[
                    "certify",
                    "--instance",
                    &instance,
                    "--reading",
                    reading,
                    "--out",
                    "c",
                ],
            );
            assert_eq!(code(&certified), 1, "{certified:?}");

            // A draw that is said to be violated is violated.
            if let Some(command) = found["smallest_draw"]["command"].as_str() {
                let draw: Vec<&str> = command.split(' ').skip(1).collect();
                let verified = gdcert(folder.path(), &[&draw[..], &["--out", "again"]].concat());
                assert_eq!(code(&verified), 1, "{command}: {verified:?}");
            }
        }
    }
}

/// One token, one head, every weight a single number: where the loss pushes query and key apart, the Gaussian weight and with it
/// sigma_min(B) go to 0, and no linear rate holds. What the theorem's "there is an initialization" excludes.
#[test]
fn the_smallest_counterexample_to_per_head() {
    let dims = Dims {
        N: 1,
        n: 1,
        D: 1,
        d: 1,
        H: 1,
        p: 1,
    };
    let start = Start::Law {
        dims,
        kernel: Kernel::Gaussian,
        init: Init::Lecun,
    };
    let findings = found(&search(Reading::PerHead, start));
    let counterexample = findings.counterexample.unwrap();
    let W = counterexample.instance.W();
    let entries = [&W.Q, &W.K, &W.V, &W.O].map(|block| block[0][(0, 0)]);
    assert!(
        entries.iter().all(|x| [0.0, 1.0, -1.0].contains(x)),
        "{entries:?}"
    );
    // Softmax attention of one token to itself is 1 and the model linear: nothing to find.
    let start = Start::Law {
        dims,
        kernel: Kernel::Softmax,
        init: Init::Lecun,
    };
    let findings = found(&search(Reading::PerHead, start));
    assert!(findings.counterexample.is_none());
    let best = findings.best.unwrap();
    assert!(best.ratio >= 1.0 && best.slack >= 0.0, "{best:?}");
}

/// The counterexample is no larger than what was asked for, its verdict is `violated`, and threads do not matter.
#[test]
fn found_is_small_and_independent_of_threads() {
    for (kernel, reading) in [
        (Kernel::Softmax, Reading::Stacked),
        (Kernel::Gaussian, Reading::Ntk),
    ] {
        let start = Start::Law {
            dims: SMALL,
            kernel,
            init: Init::Lecun,
        };
        let search = search(reading, start);
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(|| found(&search))
        };
        let [one, three] = [1, 3].map(with);
        let same = |f: &Findings| {
            let c = f.counterexample.as_ref();
            let c = c.map(|c| (c.instance.clone(), c.refusal.clone()));
            format!("{:?}", (f.tried, f.drawn, f.draw, f.best, c))
        };
        assert_eq!(same(&one), same(&three));
        let counterexample = one.counterexample.expect("found within 1024 tries");
        let dims = counterexample.instance.dims();
        let sizes = |d: Dims| [d.N, d.n, d.D, d.d, d.H, d.p];
        for (found, given) in sizes(dims).into_iter().zip(sizes(SMALL)) {
            assert!(found <= given, "{dims}");
        }
        let claim = counterexample.found.claim(reading);
        assert!(claim.verdict.fails(), "{claim:?}");
    }
}

/// The same at the command line: files are the same bytes with one thread and with two.
#[test]
fn files_do_not_depend_on_threads() {
    let folder = tempfile::tempdir().unwrap();
    for threads in ["1", "2"] {
        let args = ["falsify", "--reading", "stacked", "--steps", "500"];
        let more = ["--threads", threads, "--out", threads];
        assert_eq!(
            code(&gdcert(folder.path(), &[&args[..], &more].concat())),
            0
        );
    }
    // The other files hold the command line.
    for file in [
        "instance.safetensors",
        "counterexample.txt",
        "trajectory.csv",
        "rate-vs-bound.svg",
        "rate-vs-bound.png",
    ] {
        let read = |threads| {
            let path = folder
                .path()
                .join(threads)
                .join("counterexample")
                .join(file);
            std::fs::read(path).unwrap()
        };
        assert!(read("1") == read("2"), "{file} differs");
    }
}

/// Where Theorem A closes at M_0 and covers a reading, the reading is not violated: not on the run, and not in the search's
/// eyes.
#[test]
fn a_certificate_excludes_a_violation() {
    let kernels = prop_oneof![Just(Kernel::Softmax), Just(Kernel::Gaussian)];
    let sizes = (1..=2usize, 1..=2usize, 2..=5usize, 1..=3usize, 1..=3usize);
    let readings = proptest::sample::select(&Reading::ALL[..]);
    let strategy = (sizes, kernels, 1.0..5.0f64, readings, any::<u64>());
    let config = Config {
        cases: 80,
        failure_persistence: None,
        ..Config::default()
    };
    let closed = std::cell::Cell::new(0);
    let property = |((N, n, D, d, H), kernel, log_scale, reading, seed): (_, _, _, Reading, _)| {
        let dims = Dims {
            N,
            n,
            D,
            d,
            H,
            p: 1,
        };
        let lazy = Init::Lazy {
            omega: f64::powf(10.0, log_scale),
        };
        let instance = Instance::random(dims, kernel, lazy, seed).unwrap();
        prop_assume!(reading.missing_hypothesis(dims, Trained::QKV).is_none());
        let goal = Goal {
            reading: Some(reading.into()),
            eta: Eta::Auto,
            ..Goal::default()
        };
        let proof = certify(&instance, &goal).unwrap();
        if !matches!(proof, Certified::Rate { .. }) {
            return Ok(());
        }
        closed.set(closed.get() + 1);
        let settings = Settings {
            reading: Some(reading.into()),
            ..Settings::default()
        };
        let run = verify(&instance, &settings).unwrap();
        prop_assert!(
            run.claim(reading).verdict.holds(),
            "{:?}",
            run.claim(reading)
        );
        let near = Search {
            tries: 1,
            ..search(reading, Start::From(instance))
        };
        let findings = found(&near);
        prop_assert!(findings.counterexample.is_none());
        prop_assert!(
            findings.best.is_none_or(|best| best.slack >= 0.0),
            "{:?}",
            findings.best
        );
        Ok(())
    };
    TestRunner::new(config).run(&strategy, property).unwrap();
    assert!(closed.get() >= 5, "closed {} times only", closed.get());
}

/// Every violation among drawn instances is one that Theorem A does not cover, at sizes and scales where it does cover
/// others: the search itself asserts that on every draw, and fails if it is not so.
#[test]
fn draws_are_certified_or_violated_but_not_both() {
    let dims = Dims {
        N: 2,
        n: 4,
        D: 8,
        d: 4,
        H: 6,
        p: 1,
    };
    let lazy = |omega| Start::Law {
        dims,
        kernel: Kernel::Gaussian,
        init: Init::Lazy { omega },
    };
    let violated = found(&search(Reading::Stacked, lazy(100.0))).drawn;
    assert!(violated.violated > 0, "{violated:?}");
    let few = Search {
        tries: 64,
        ..search(Reading::PerHead, lazy(1e4))
    };
    let certified = found(&few).drawn;
    assert_eq!(certified.violated, 0);
    assert!(certified.certified > 0, "{certified:?}");
}

#[test]
fn an_instance_file_is_where_the_search_begins() {
    let folder = tempfile::tempdir().unwrap();
    let lazy = Init::Lazy { omega: 100.0 };
    let dims = Dims {
        N: 2,
        n: 4,
        D: 8,
        d: 4,
        H: 6,
        p: 1,
    };
    let instance = Instance::random(dims, Kernel::Softmax, lazy, 0).unwrap();
    instance
        .write(&folder.path().join("i.safetensors"))
        .unwrap();
    let args = ["falsify", "--reading", "stacked", "--instance"];
    let output = gdcert(
        folder.path(),
        &[&args[..], &["i.safetensors", "--json", "--steps", "300"]].concat(),
    );
    assert_eq!(code(&output), 0, "{output:?}");
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["counterexample"]["verdict"], "refuted");
    assert!(found["init"].is_null() && found["smallest_draw"].is_null());
}

#[test]
fn nothing_found_is_said_and_leaves_no_counterexample() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["falsify", "--reading", "per_head", "--steps", "200"];
    let out = folder.path().join("gdcert-out/falsify");
    let first = gdcert(
        folder.path(),
        &[&args[..], &["--kernel", "gaussian"]].concat(),
    );
    assert_eq!(code(&first), 0, "{first:?}");
    assert!(out.join("counterexample/verdict.json").exists());
    // Far in the lazy regime, where the bound is proven at these sizes.
    let more = ["--init", "lazy", "--scale", "1e4", "--tries", "40"];
    let output = gdcert(folder.path(), &[&args[..], &more].concat());
    assert_eq!(code(&output), 0, "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    for words in ["Search     40 instances", "no violation", "smallest log"] {
        assert!(said.contains(words), "{said}");
    }
    assert!(!out.join("counterexample").exists());
    let found = json(&out.join("falsify.json"));
    assert!(found["counterexample"].is_null());
    assert_eq!(found["tried"], 40);
    assert!(found["best"]["min_slack"].as_f64().unwrap() > 0.0);
}

#[test]
fn bad_requests_are_refused_with_the_mend() {
    let folder = tempfile::tempdir().unwrap();
    let stacked = ["--reading", "stacked"];
    for (args, words) in [
        (&[][..], &["--reading"][..]),
        (&["--reading", "literal"], &["literal", "per_head"]),
        (
            &[&stacked[..], &["--theorem", "2"]].concat(),
            &["W^V", "--train", "--reading ntk"],
        ),
        (
            &["--reading", "value", "--train", "QK"],
            &["W^V", "trained is QK"],
        ),
        (
            &[&stacked[..], &["-N", "8", "-n", "8", "-D", "2"]].concat(),
            &["HD = 6", "sizes"],
        ),
        (
            &["--reading", "ntk", "--train", "Q", "-N", "40", "-D", "2"],
            &["m = 160", "sizes"],
        ),
        (&[&stacked[..], &["--tries", "0"]].concat(), &["--tries 0"]),
        (&[&stacked[..], &["--steps", "0"]].concat(), &["--steps 0"]),
        (&[&stacked[..], &["-H", "0"]].concat(), &["H is 0"]),
        (
            &[&stacked[..], &["--init", "paired"]].concat(),
            &["H must be even"],
        ),
        (
            &[&stacked[..], &["--instance", "none.safetensors"]].concat(),
            &["none.safetensors"],
        ),
        (&["--reading", "ntk", "--theorem", "3"], &["--theorem 3"]),
    ] {
        let output = gdcert(folder.path(), &[&["falsify"], args].concat());
        let said = String::from_utf8(output.stderr.clone()).unwrap();
        assert_eq!(code(&output), 2, "{args:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{args:?}: {said}");
        for word in words {
            assert!(said.contains(word), "{args:?}: no '{word}' in: {said}");
        }
        assert!(!folder.path().join("gdcert-out").join("falsify").exists());
    }
}

/// Ctrl-C: 130, the best so far said, and no half counterexample.
#[cfg(unix)]
#[test]
fn ctrl_c_reports_the_best_so_far() {
    let folder = tempfile::tempdir().unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_gdcert"))
        .args(["falsify", "--reading", "per_head", "--init", "lazy"])
        .args(["--scale", "1e4", "--tries", "100000000"])
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Well within the search, which takes days.
    std::thread::sleep(std::time::Duration::from_secs(3));
    signal(&child, "-INT");
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), 130, "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("no violation. The nearest"), "{said}");
    let found = json(&folder.path().join("gdcert-out/falsify/falsify.json"));
    assert_eq!(found["stopped"], true);
    assert!(found["best"]["ratio"].as_f64().unwrap() > 1.0);
    assert!(
        !folder
            .path()
            .join("gdcert-out/falsify/counterexample")
            .exists()
    );
}

/// Nothing is made in the place of a folder that was moved away.
#[cfg(unix)]
#[test]
fn a_folder_that_was_moved_away_is_not_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let child = Command::new(env!("CARGO_BIN_EXE_gdcert"))
        .args([
            "falsify",
            "--reading",
            "stacked",
            "--seed",
            "3",
            "--out",
            "o",
        ])
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while !at("o/.gdcert-lock").exists() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    // The search takes longer than that, opening the folder does not.
    std::thread::sleep(std::time::Duration::from_millis(200));
    std::fs::rename(at("o"), at("elsewhere")).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), 2, "{output:?}");
    assert!(String::from_utf8(output.stderr).unwrap().contains("moved"));
    assert!(!at("o").exists());
}
