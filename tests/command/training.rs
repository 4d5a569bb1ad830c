//! Training: optimizers beside PyTorch's, and runs that are interrupted in every way.

use crate::common::{gdcert, images, refused, signal};
use gdcert::{Error, Kernel};
use gdcert_train::classifier::{Architecture, Batch, Classifier, Dropout, Parameters, Real};
use gdcert_train::data::{Dataset, Sample, Task};
use gdcert_train::training::{
    Checkpoint, Event, Law, Optimizer, Row, Run, Settings, Split, Trainer, run, run_with,
};
use safetensors::SafeTensors;
use serde_json::Value;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// 20 losses of full-batch training, each before its step; no dropout, no clipping.
fn losses<T: Real>(file: &Path, law: Law, lr: f64) -> Vec<f64> {
    let bytes = std::fs::read(file).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let integers = |name: &str| -> Vec<u16> {
        let data = tensors.tensor(name).unwrap().data();
        let read = |b: &[u8; 8]| i64::from_le_bytes(*b).try_into().unwrap();
        data.as_chunks().0.iter().map(read).collect()
    };
    let shape = |name: &str| tensors.tensor(name).unwrap().shape().to_vec();
    let expected = reference(file);
    let architecture = Architecture {
        kernel: expected["kernel"].as_str().unwrap().parse().unwrap(),
        positions: shape("param.position.weight")[0],
        ..Architecture::default()
    };
    let (tokens, labels) = (integers("ids"), integers("labels"));
    let batch = Batch {
        tokens: &tokens,
        labels: &labels,
        length: shape("ids")[1],
    };
    let mut parameters = Parameters::<T>::read(&architecture, &tensors, "param.").unwrap();
    let mut gradient = Parameters::zeros(&architecture);
    let mut classifier = Classifier::new(&architecture).unwrap();
    let mut optimizer = Optimizer::new(law, &architecture);
    (0..20)
        .map(|_| {
            let found = classifier
                .differentiate(&parameters, &batch, Dropout::NONE, &mut gradient)
                .unwrap();
            optimizer.update(&mut parameters, &gradient, lr).unwrap();
            found.loss
        })
        .collect()
}

fn reference(file: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(file.with_extension("json")).unwrap()).unwrap()
}

/// In f64 both programs do the same operations but for their order: seen 2e-15, rounding of 1e-16 grown over 20
/// steps. In f32 rounding of 6e-8 grows by the same factor: seen 2e-6.
#[test]
fn twenty_losses_agree_with_pytorch() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/cases");
    if !folder.is_dir() {
        eprintln!("skipped: no reference cases at {}", folder.display());
        return;
    }
    let sgd = Law::Sgd {
        momentum: 0.0,
        decay: 0.0,
    };
    let laws = [
        ("losses_sgd", sgd, 0.1),
        ("losses_adam", Law::Adam { decay: 0.0 }, 1e-3),
        ("losses_adam", Law::AdamW { decay: 0.0 }, 1e-3),
    ];
    for kernel in ["softmax", "gaussian"] {
        let file = folder.join(format!("encoder_{kernel}.safetensors"));
        let expected = reference(&file);
        for (name, law, lr) in laws {
            let expected: Vec<f64> = serde_json::from_value(expected[name].clone()).unwrap();
            assert_eq!(expected.len(), 20);
            let worst = |losses: Vec<f64>| {
                let errors = losses.iter().zip(&expected).map(|(a, b)| (a - b).abs() / b);
                errors.fold(0.0, f64::max)
            };
            let double = worst(losses::<f64>(&file, law, lr));
            let single = worst(losses::<f32>(&file, law, lr));
            println!("{kernel} {name} {law:?}: f64 {double:.1e}, f32 {single:.1e}");
            assert!(double < 1e-12, "{kernel} {name}: {double:e}");
            assert!(single < 1e-5, "{kernel} {name}: {single:e}");
        }
    }
}

/// One parameter, by hand: momentum and both kinds of weight decay.
#[test]
fn laws_are_as_they_are_defined() {
    let tiny = Architecture {
        vocabulary: 1,
        positions: 1,
        width: 1,
        heads: 1,
        hidden: 1,
        blocks: 1,
        classifier: 1,
        classes: 1,
        kernel: Kernel::Softmax,
    };
    let (lr, decay, g, mut w) = (0.1, 0.5, [0.3, -0.2, 0.7], 2.0f64);
    let walk = |law: Law| {
        let mut parameters = Parameters::<f64>::zeros(&tiny);
        parameters.values_mut().fill(2.0);
        let mut optimizer = Optimizer::new(law, &tiny);
        for g in g {
            let mut gradient = Parameters::zeros(&tiny);
            gradient.values_mut().fill(g);
            optimizer.update(&mut parameters, &gradient, lr).unwrap();
        }
        parameters.values()[0]
    };
    let mut b = 0.0;
    for g in g {
        b = 0.9 * b + g + decay * w;
        w -= lr * b;
    }
    let momentum = 0.9;
    assert!((walk(Law::Sgd { momentum, decay }) - w).abs() < 1e-14);
    for decoupled in [false, true] {
        let (mut w, mut m, mut v) = (2.0f64, 0.0, 0.0f64);
        for (t, g) in (1..).zip(g) {
            let g = if decoupled { g } else { g + decay * w };
            if decoupled {
                w -= lr * decay * w;
            }
            m = 0.9 * m + 0.1 * g;
            v = 0.999 * v + 0.001 * g * g;
            let (m, v) = (m / (1.0 - 0.9f64.powi(t)), v / (1.0 - 0.999f64.powi(t)));
            w -= lr * m / (v.sqrt() + 1e-8);
        }
        let law = if decoupled {
            Law::AdamW { decay }
        } else {
            Law::Adam { decay }
        };
        assert!((walk(law) - w).abs() < 1e-12, "{law:?}");
    }
    let other = Parameters::zeros(&Architecture {
        width: 2,
        ..tiny.clone()
    });
    let mut parameters = Parameters::<f64>::zeros(&tiny);
    let law = Law::Adam { decay };
    assert!(
        Optimizer::new(law, &tiny)
            .update(&mut parameters, &other, lr)
            .is_err()
    );
}

/// A class that shows in the tokens, and noise around it.
fn easy(samples: u64) -> Dataset {
    let sample = |i: u64| {
        let label = (i % 2) as u8;
        let byte = |j: u64| match (i * 31 + j * j * 7) % 5 {
            0 => b'a' + label,
            _ if j == 3 => b'a' + label,
            k => b'p' + k as u8,
        };
        Sample {
            bytes: (0..5 + i % 12).map(byte).collect(),
            label,
        }
    };
    Dataset {
        shift: 1,
        train: (0..samples).map(sample).collect(),
        dev: Vec::new(),
        test: (1000..1000 + samples / 2).map(sample).collect(),
    }
}

fn small(kernel: Kernel) -> Settings {
    Settings {
        kernel,
        length: 14,
        blocks: 1,
        width: 8,
        hidden: 16,
        batch: 8,
        warmup: 4,
        steps: 30,
        lr: 0.02,
        seeds: vec![5, 2],
        eval_every: 7,
        eval_samples: 12,
        log_every: 4,
        checkpoint_every: 5,
        ..Settings::preset(Task::Pathfinder)
    }
}

/// Rows without what a clock put in.
fn timeless(rows: &[Row]) -> Vec<Row> {
    let still = |row: &Row| Row {
        seconds: 0.0,
        tokens_per_second: 0.0,
        ..row.clone()
    };
    rows.iter().map(still).collect()
}

/// The tensors of every seed's checkpoint.
fn weights(folder: &Path, settings: &Settings) -> Vec<Checkpoint> {
    let read = |seed: &u64| {
        let mut at =
            Checkpoint::read(&folder.join(format!("checkpoint-{seed}.safetensors"))).unwrap();
        at.state.seconds = 0.0;
        at.state.window.seconds = 0.0;
        at
    };
    settings.seeds.iter().map(read).collect()
}

fn train(folder: &Path, settings: &Settings, data: &Dataset) -> Vec<Row> {
    let plan = Run {
        settings,
        data,
        folder,
        resume: false,
        from: None,
    };
    run(&plan).unwrap()
}

#[test]
fn it_learns_and_says_so() {
    let data = easy(200);
    for kernel in [Kernel::Softmax, Kernel::Gaussian] {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings {
            steps: 200,
            dropout: 0.0,
            ..small(kernel)
        };
        let rows = train(dir.path(), &settings, &data);
        for seed in &settings.seeds {
            let of = |split: Split| {
                rows.iter()
                    .filter(move |r| r.seed == *seed && r.split == split)
            };
            let tests: Vec<_> = of(Split::Test).collect();
            assert_eq!(tests[0].step, 0);
            assert!(tests.windows(2).all(|w| w[0].step < w[1].step));
            assert_eq!(
                of(Split::Train).count() as u64,
                settings.steps / settings.log_every
            );
            let last = of(Split::Final).next().unwrap();
            assert_eq!(last.step, 200);
            assert!(last.accuracy > 0.9 && last.loss < 0.3, "{kernel}: {last:?}");
            let first = of(Split::Train).next().unwrap();
            assert!(first.grad_norm.unwrap() > 0.0 && first.lr == Some(settings.lr));
        }
    }
}

/// Interrupted after every step and evaluation, in two runs over both seeds, and resumed: the same rows and the
/// same bits.
#[test]
fn interrupted_and_resumed_is_the_same_run() {
    let data = easy(60);
    for optimizer in ["sgd", "adam"] {
        let settings = Settings {
            optimizer: optimizer.parse().unwrap(),
            steps: 13,
            ..small(Kernel::Gaussian)
        };
        let whole = tempfile::tempdir().unwrap();
        let rows = train(whole.path(), &settings, &data);
        let pieces = tempfile::tempdir().unwrap();
        for patience in 1.. {
            let plan = Run {
                settings: &settings,
                data: &data,
                folder: pieces.path(),
                resume: true,
                from: None,
            };
            let mut events = 0;
            let result = run_with(&plan, &mut |event| {
                events += usize::from(!matches!(event, Event::Measured(_)));
                // Now and then far enough for a step to follow an evaluation.
                if events > 1 + patience % 4 {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            });
            match result {
                Err(Error::Cancelled) => assert!(patience < 200),
                done => {
                    assert_eq!(timeless(&done.unwrap()), timeless(&rows));
                    break;
                }
            }
        }
        assert_eq!(
            weights(pieces.path(), &settings),
            weights(whole.path(), &settings)
        );
        assert_eq!(weights(whole.path(), &settings)[0].state.step, 13);
    }
}

#[test]
fn a_loss_that_is_not_finite_stops_the_run_and_keeps_its_checkpoint() {
    let data = easy(60);
    let settings = Settings {
        optimizer: "sgd".parse().unwrap(),
        lr: 1e30,
        clip: f64::INFINITY,
        warmup: 0,
        checkpoint_every: 1,
        ..small(Kernel::Softmax)
    };
    let dir = tempfile::tempdir().unwrap();
    let plan = Run {
        settings: &settings,
        data: &data,
        folder: dir.path(),
        resume: false,
        from: None,
    };
    let error = run(&plan).unwrap_err();
    assert!(error.to_string().contains("lower --lr"), "{error}");
}

#[test]
fn evaluation_batches_do_not_matter() {
    let data = easy(60);
    let settings = small(Kernel::Softmax);
    let score = |batch: usize| {
        let settings = Settings {
            batch,
            ..settings.clone()
        };
        let start = Checkpoint::start(&settings, 0, 60, None);
        let mut trainer = Trainer::new(&data, start).unwrap();
        let samples: Vec<&Sample> = data.test.iter().collect();
        let found = trainer.evaluate(&samples, &mut || ControlFlow::Continue(()));
        found.unwrap()
    };
    let (a, b) = (score(30), score(7));
    assert_eq!(a.accuracy, b.accuracy);
    assert!((a.loss - b.loss).abs() < 1e-6);
}

// The command.

/// A folder with 40 Pathfinder images.
fn with_images() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    std::fs::create_dir(&data).unwrap();
    images(&data, 0);
    dir
}

const SMALL: [&str; 24] = [
    "train",
    "--task",
    "pathfinder",
    "--data",
    "data",
    "--blocks",
    "1",
    "--width",
    "8",
    "--hidden",
    "8",
    "--batch",
    "4",
    "--steps",
    "12",
    "--warmup",
    "2",
    "--eval-every",
    "5",
    "--log-every",
    "1",
    "--checkpoint-every",
    "1",
    "--json",
];

/// The same settings, but what they were in --json and the task.
fn untold(more: &[&'static str]) -> Vec<&'static str> {
    [&["train"], &SMALL[5..23], more].concat()
}

fn with(more: &[&'static str]) -> Vec<&'static str> {
    [&SMALL[..], more].concat()
}

fn rows(folder: &Path) -> Vec<Row> {
    let mut csv = csv::Reader::from_path(folder.join("metrics.csv")).unwrap();
    csv.deserialize().map(|row| row.unwrap()).collect()
}

fn checkpoint(folder: &Path) -> Checkpoint {
    let mut at = Checkpoint::read(&folder.join("checkpoint-0.safetensors")).unwrap();
    at.state.seconds = 0.0;
    at.state.window.seconds = 0.0;
    at
}

#[test]
fn a_run_writes_its_files_and_does_not_depend_on_threads() {
    let dir = with_images();
    let output = gdcert(
        dir.path(),
        &with(&["--seeds", "0,7", "--threads", "1", "--out", "one"]),
    );
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let one = dir.path().join("one");
    let mut names: Vec<_> = std::fs::read_dir(&one)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "checkpoint-0.safetensors",
            "checkpoint-7.safetensors",
            "config.toml",
            "curves.png",
            "curves.svg",
            "metrics.csv",
            "run.json",
            "summary.json",
            "tensorboard"
        ]
    );
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    let summary = std::fs::read(one.join("summary.json")).unwrap();
    assert_eq!(printed, serde_json::from_slice::<Value>(&summary).unwrap());
    assert_eq!(printed["seeds"][1]["seed"], 7);
    assert_eq!(printed["settings"]["kernel"], "softmax");
    let header = std::fs::read_to_string(one.join("metrics.csv")).unwrap();
    assert_eq!(
        header.lines().next().unwrap(),
        "step,split,loss,accuracy,lr,grad_norm,seconds,tokens_per_second,seed"
    );

    // The settings that were written are the run's.
    let again = [
        "train",
        "--data",
        "data",
        "--config",
        "one/config.toml",
        "--threads",
        "2",
    ];
    let output = gdcert(dir.path(), &[&again[..], &["--out", "two"]].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let two = dir.path().join("two");
    assert_eq!(timeless(&rows(&one)), timeless(&rows(&two)));
    assert_eq!(checkpoint(&one), checkpoint(&two));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("mean of 2 seeds"), "{said}");
}

/// --resume knows where the data are, takes more steps, and refuses other data of the same size.
#[test]
fn a_run_that_goes_on_has_its_data_and_may_take_more_steps() {
    let dir = with_images();
    let at = dir.path();
    // The task is that of the folder.
    let output = gdcert(
        at,
        &untold(&["--data", "data", "--out", "one", "--seeds", "0,7"]),
    );
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let first = rows(&at.join("one"));
    let json = |file: &str| -> Value {
        serde_json::from_slice(&std::fs::read(at.join("one").join(file)).unwrap()).unwrap()
    };
    let run = json("run.json");
    let whole = at.join("data").canonicalize().unwrap();
    assert_eq!(run["data"], whole.to_str().unwrap());
    assert_eq!(run["data_sha256"].as_str().unwrap().len(), 64);

    let more = ["train", "--resume", "--out", "one", "--steps", "15"];
    let output = gdcert(at, &more);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(checkpoint(&at.join("one")).state.step, 15);
    let longer = rows(&at.join("one"));
    // What was measured stays, but for the end that is none.
    let kept = |rows: &[Row]| -> Vec<Row> {
        let kept = timeless(rows).into_iter();
        kept.filter(|row| row.split != Split::Final && row.step <= 12)
            .collect()
    };
    assert_eq!(kept(&longer), kept(&first));
    let ends: Vec<u64> = longer
        .iter()
        .filter(|r| r.split == Split::Final)
        .map(|r| r.step)
        .collect();
    assert_eq!(ends, [15, 15]);
    assert_eq!(json("summary.json")["settings"]["steps"], 15);
    refused(
        at,
        &["train", "--resume", "--out", "one", "--steps", "13"],
        &["steps = 13", "15"],
    );

    // Another seed in the same folder: the curves are of what was asked for.
    let output = gdcert(at, &["train", "--resume", "--out", "one", "--seeds", "3"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let svg = std::fs::read_to_string(at.join("one/curves.svg")).unwrap();
    assert!(!svg.contains("seeds"), "{svg}");
    let output = gdcert(at, &["train", "--plot", "one", "--out", "drawn"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let curves = std::fs::read_to_string(at.join("drawn/curves.csv")).unwrap();
    assert!(
        curves
            .lines()
            .skip(1)
            .all(|line| line.split(',').nth(2) == Some("1")),
        "{curves}"
    );

    // As many images, but others: in the folder it knows, and in another one.
    let before = std::fs::read(at.join("one/run.json")).unwrap();
    std::fs::create_dir(at.join("others")).unwrap();
    for folder in ["others", "data"] {
        images(&at.join(folder), 1);
        let args = [
            "train", "--resume", "--out", "one", "--steps", "20", "--data", folder,
        ];
        refused(at, &args, &[folder, "other data", "SHA-256"]);
    }
    refused(at, &["train", "--resume", "--out", "one"], &["other data"]);
    assert_eq!(std::fs::read(at.join("one/run.json")).unwrap(), before);
    // The library looks at the checkpoints.
    let settings = checkpoint(&at.join("one")).state.settings;
    let (others, _) = gdcert_train::data::Task::Pathfinder
        .read(&at.join("others"), 1024)
        .unwrap();
    let plan = Run {
        settings: &settings,
        data: &others,
        folder: &at.join("one"),
        resume: true,
        from: None,
    };
    let error = gdcert_train::training::run(&plan).unwrap_err().to_string();
    assert!(error.contains("other data"), "{error}");
}

/// What a file says of its sizes is held against the file before anything is allocated.
#[test]
fn checkpoints_that_claim_too_much_are_refused() {
    let dir = with_images();
    let at = dir.path();
    gdcert(at, &with(&["--out", "one"]));
    let file = at.join("one/checkpoint-0.safetensors");
    let bytes = std::fs::read(&file).unwrap();
    let n = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header = std::str::from_utf8(&bytes[8..8 + n]).unwrap().to_owned();
    for (name, now, then) in [
        ("width", 8u64, 1 << 24),
        ("width", 8, 1 << 16),
        ("blocks", 1, 1 << 24),
        ("blocks", 1, u64::MAX),
        ("hidden", 8, 1 << 24),
        ("length", 1024, 1 << 24),
        ("batch", 4, 1 << 62),
    ] {
        let (from, to) = (
            format!("\\\"{name}\\\":{now},"),
            format!("\\\"{name}\\\":{then},"),
        );
        assert!(header.contains(&from), "{header}");
        let changed = header.replace(&from, &to);
        let all = [
            &(changed.len() as u64).to_le_bytes(),
            changed.as_bytes(),
            &bytes[8 + n..],
        ];
        std::fs::write(at.join("claims.safetensors"), all.concat()).unwrap();
        let landscape = [
            "landscape",
            "claims.safetensors",
            "--data",
            "data",
            "--out",
            "l",
        ];
        refused(
            at,
            &landscape,
            &[if name == "batch" {
                "GB"
            } else {
                "claims.safetensors"
            }],
        );
        if name != "batch" {
            let stage = [
                "train",
                "--data",
                "data",
                "--from",
                "claims.safetensors",
                "--out",
                "t",
            ];
            refused(at, &stage, &["claims.safetensors"]);
        }
    }
    let stage = [
        "train",
        "--data",
        "data",
        "--from",
        "one/checkpoint-0.safetensors",
        "--out",
        "t",
    ];
    let wide = [&stage[..], &["--blocks", "1000000"]].concat();
    refused(at, &wide, &["checkpoint-0", "1000000 blocks"]);
}

#[test]
fn the_second_stage_starts_from_the_first() {
    let dir = with_images();
    gdcert(dir.path(), &with(&["--out", "one"]));
    let stage = [
        "train",
        "--data",
        "data",
        "--from",
        "one/checkpoint-0.safetensors",
    ];
    let more = ["--kernel", "gaussian", "--steps", "3", "--out", "two"];
    let output = gdcert(dir.path(), &[&stage[..], &more].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let two = checkpoint(&dir.path().join("two"));
    assert_eq!(two.state.settings.kernel, Kernel::Gaussian);
    assert_eq!(two.state.settings.width, 8);
    assert_eq!(two.state.step, 3);
    // With a step too small to change a bit: the same parameters.
    let still = ["--lr", "1e-30", "--steps", "1", "--out", "still"];
    gdcert(dir.path(), &[&stage[..], &still].concat());
    let (one, still) = (dir.path().join("one"), dir.path().join("still"));
    assert_eq!(checkpoint(&still).parameters, checkpoint(&one).parameters);

    for (more, words) in [
        (["--width", "16"], ["param.token.weight", "shape [512, 8]"]),
        (["--task", "imdb"], ["--from", "pathfinder"]),
    ] {
        refused(dir.path(), &[&stage[..], &more].concat(), &words);
    }
}

#[test]
fn ctrl_c_stops_at_a_checkpoint_and_says_how_to_go_on() {
    let dir = with_images();
    gdcert(dir.path(), &with(&["--out", "whole"]));
    let mut child = Command::new(env!("CARGO_BIN_EXE_gdcert"))
        .args(with(&["--out", "cut"]))
        .current_dir(dir.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for(&dir.path().join("cut/checkpoint-0.safetensors"));
    signal(&child, "-INT");
    let output = child.wait_with_output_of();
    // Unless it was done already.
    if output.0 != Some(0) {
        assert_eq!(output.0, Some(130));
        assert!(output.1.contains("To go on: gdcert train"), "{}", output.1);
        assert!(output.1.trim_end().ends_with("--resume"), "{}", output.1);
        let done = gdcert(dir.path(), &with(&["--out", "cut", "--resume"]));
        assert_eq!(done.status.code(), Some(0), "{done:?}");
    }
    same_run(dir.path(), "whole", "cut");
}

trait Wait {
    fn wait_with_output_of(&mut self) -> (Option<i32>, String);
}

impl Wait for std::process::Child {
    fn wait_with_output_of(&mut self) -> (Option<i32>, String) {
        use std::io::Read;
        let mut text = String::new();
        if let Some(stderr) = &mut self.stderr {
            stderr.read_to_string(&mut text).unwrap();
        }
        (self.wait().unwrap().code(), text)
    }
}

fn wait_for(file: &Path) {
    for _ in 0..3000 {
        if file.exists() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("no {}", file.display());
}

fn same_run(folder: &Path, a: &str, b: &str) {
    let (a, b) = (folder.join(a), folder.join(b));
    assert_eq!(timeless(&rows(&a)), timeless(&rows(&b)));
    assert_eq!(checkpoint(&a), checkpoint(&b));
}

/// Killed at moments spread over a run, each time resumed: every checkpoint on the way is whole, and the end is
/// that of a run that was left alone.
#[test]
fn kill_9_loses_no_checkpoint() {
    let dir = with_images();
    gdcert(dir.path(), &with(&["--out", "whole"]));
    let mut seen = 0;
    for round in 0..60u64 {
        let mut args = with(&["--out", "killed"]);
        if round > 0 {
            args.push("--resume");
        }
        let mut child = Command::new(env!("CARGO_BIN_EXE_gdcert"))
            .args(args)
            .current_dir(dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        if round == 0 {
            wait_for(&dir.path().join("killed/config.toml"));
        }
        std::thread::sleep(Duration::from_millis(15 + 13 * (round * 7 % 11)));
        child.kill().unwrap();
        let ended = child.wait().unwrap();
        let file = dir.path().join("killed/checkpoint-0.safetensors");
        if file.exists() {
            let step = Checkpoint::read(&file).unwrap().state.step;
            assert!(step >= seen, "a checkpoint was lost: {step} after {seen}");
            seen = step;
        }
        if ended.success() {
            break;
        }
    }
    let done = gdcert(dir.path(), &with(&["--out", "killed", "--resume"]));
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    same_run(dir.path(), "whole", "killed");
    let left: Vec<PathBuf> = std::fs::read_dir(dir.path().join("killed"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "tmp"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn what_cannot_be_trained_is_refused() {
    let dir = with_images();
    let at = dir.path();
    refused(at, &["train", "--data", "none"], &["--task is missing"]);
    refused(
        at,
        &["train", "--data", "data", "--blocks", "16777216"],
        &["16777216 blocks", "GB"],
    );
    refused(
        at,
        &["train", "--data", "data", "--batch", "18446744073709551615"],
        &["--batch must be below 2^63"],
    );
    let vast = [
        "--blocks", "16777216", "--width", "16777216", "--heads", "1",
    ];
    refused(
        at,
        &[&["train", "--data", "data"], &vast[..]].concat(),
        &["more parameters than memory"],
    );
    refused(at, &["train", "--task", "imdb"], &["--data"]);
    refused(
        at,
        &["train", "--task", "chess", "--data", "data"],
        &["chess", "imdb or pathfinder"],
    );
    refused(
        at,
        &with(&["--kernel", "cubic"]),
        &["cubic", "softmax or gaussian"],
    );
    refused(at, &with(&["--optimizer", "lion"]), &["lion", "adamw"]);
    refused(at, &with(&["--lr", "-1"]), &["lr = -1"]);
    refused(at, &with(&["--heads", "3"]), &["heads"]);
    refused(
        at,
        &with(&["--length", "1000"]),
        &["1024 pixels", "--length 1024"],
    );
    refused(at, &with(&["--resume"]), &["no run to resume"]);
    refused(
        at,
        &with(&["--from", "nothing"]),
        &["nothing", "the checkpoint cannot be read"],
    );
    refused(
        at,
        &with(&["--config", "nothing"]),
        &["nothing", "cannot be read"],
    );
    refused(
        at,
        &["train", "--task", "imdb", "--data", "data"],
        &["data", "gdcert data imdb"],
    );
    refused(
        at,
        &["train", "--task", "pathfinder", "--data", "none"],
        &["none", "no Pathfinder folder"],
    );
    std::fs::write(at.join("bad.toml"), "task = \"imdb\"\nspeed = 3\n").unwrap();
    refused(
        at,
        &["train", "--data", "data", "--config", "bad.toml"],
        &["bad.toml", "speed"],
    );
    std::fs::write(at.join("worse.toml"), "task = ").unwrap();
    refused(
        at,
        &["train", "--data", "data", "--config", "worse.toml"],
        &["worse.toml", "TOML"],
    );
    let huge = ["--length", "16777216", "--batch", "1000000"];
    refused(
        at,
        &[&["train", "--task", "imdb", "--data", "data"], &huge[..]].concat(),
        &["GB"],
    );
    let few = [
        "train",
        "--task",
        "pathfinder",
        "--data",
        "data",
        "--width",
        "8",
    ];
    refused(
        at,
        &[&few[..], &["--batch", "33"]].concat(),
        &["--batch 33", "32 training samples"],
    );
    assert!(
        !at.join("gdcert-out/train/checkpoint-0.safetensors")
            .exists()
    );

    gdcert(at, &with(&["--out", "one"]));
    refused(
        at,
        &with(&["--out", "one"]),
        &["holds checkpoints", "--resume", "--force"],
    );
    refused(
        at,
        &with(&["--out", "one", "--resume", "--lr", "1"]),
        &["lr = 1", "another --out"],
    );
    refused(
        at,
        &with(&["--out", "one", "--resume", "--kernel", "gaussian"]),
        &["kernel"],
    );
    let file = at.join("one/checkpoint-0.safetensors");
    let whole = std::fs::read(&file).unwrap();
    for cut in [0, 7, 1000, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&file, &whole[..cut]).unwrap();
        refused(
            at,
            &with(&["--out", "one", "--resume"]),
            &["checkpoint-0", "no whole checkpoint"],
        );
    }
    // Starting over takes the old checkpoints away.
    std::fs::write(at.join("one/checkpoint-9.safetensors"), "").unwrap();
    let over = gdcert(at, &with(&["--out", "one", "--force"]));
    assert_eq!(over.status.code(), Some(0), "{over:?}");
    assert!(!at.join("one/checkpoint-9.safetensors").exists());
}

/// Nothing of an earlier run goes before the new one is known to be possible.
#[test]
fn a_refused_run_leaves_the_folder_as_it_was() {
    let dir = with_images();
    let at = dir.path();
    let first = gdcert(at, &with(&["--out", "run"]));
    assert_eq!(first.status.code(), Some(0), "{first:?}");
    let all = || {
        let mut files: Vec<(String, Vec<u8>)> = std::fs::read_dir(at.join("run"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_file())
            .map(|path| (path.display().to_string(), std::fs::read(&path).unwrap()))
            .collect();
        files.sort();
        files
    };
    let before = all();
    let own = "run/checkpoint-0.safetensors";
    for (more, words) in [
        (&["--force", "--lr", "-1"][..], &["lr"][..]),
        (&["--force", "--length", "1000"], &["1024"]),
        (&["--force", "--from", own], &["checkpoint-0", "--out"]),
        (
            &["--force", "--config", "run/config.toml"],
            &["config.toml", "--out"],
        ),
        (&["--resume", "--weight-decay", "0.5"], &["weight_decay"]),
        (&[], &["--resume", "--force"]),
    ] {
        let args = [&with(&["--out", "run"])[..], more].concat();
        refused(at, &args, words);
        assert!(all() == before, "{more:?} changed the folder");
    }
    // A checkpoint of other data is found out before run.json is written.
    std::fs::write(at.join(own), b"no checkpoint").unwrap();
    let before = all();
    let args = [&with(&["--out", "run"])[..], &["--resume", "--quiet"]].concat();
    refused(at, &args, &["checkpoint-0"]);
    assert!(all() == before);
    let data = with(&["--out", "data", "--force"]);
    refused(at, &data, &["data", "--out"]);
}
