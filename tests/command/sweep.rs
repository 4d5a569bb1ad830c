//! Sweeps as a user meets them: the same bytes however they were run, split, killed and resumed; bad
//! configurations and damaged files named.

use crate::common::signal;
use gdcert::experiment::sweep::{COLUMNS, Plan, Row, Shard, run};
use proptest::prelude::*;
use serde_json::Value;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Lanes of several shapes, both kernels, two initializations; no certificates.
const FAST: &str = r#"
N = 2
n = [2, 3]
D = 4
d = 2
H = [2, 4]
kernel = ["softmax", "gaussian"]
init = ["lecun", "paired"]
scale = { from = 0.5, to = 50.0, count = 3 }
seeds = { from = 3, to = 7 }
steps = 150
certify = false
"#;

/// A random sample with certificates.
const CERTIFIED: &str = r#"
N = [1, 2]
n = { from = 1, to = 3 }
D = 6
d = 3
H = [1, 2]
kernel = ["softmax", "gaussian"]
trained = ["QKV", "Q", "V"]
init = ["lecun", "lazy"]
scale = { from = 1.0, to = 1e4 }
logit_scale = { from = 0.5, to = 2.0 }
steps = 300
sample = { trials = 40, seed = 5 }
"#;

struct Folder(tempfile::TempDir);

impl Folder {
    fn with(config: &str) -> Self {
        let folder = Folder(tempfile::tempdir().unwrap());
        std::fs::write(folder.path("sweep.toml"), config).unwrap();
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gdcert"));
        command.args(args).current_dir(self.0.path());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    #[track_caller]
    fn good(&self, args: &[&str]) -> Output {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {output:?}");
        output
    }

    fn sweep(&self, args: &[&str]) -> Output {
        self.good(&[&["sweep", "sweep.toml"], args].concat())
    }

    fn bytes(&self, file: &str) -> Vec<u8> {
        std::fs::read(self.path(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
    }

    /// The bytes of the merged file.
    fn merged(&self, out: &str) -> Vec<u8> {
        self.good(&["summarize", out, "--out", out]);
        self.bytes(&format!("{out}/trials.csv"))
    }

    /// Exit code 2 and one line on stderr with all of these words.
    #[track_caller]
    fn refused(&self, args: &[&str], words: &[&str]) {
        crate::common::refused(self.0.path(), args, words);
    }

    /// Starts a sweep and waits until it has written some rows.
    fn begun(&self, args: &[&str], file: &str, rows: usize) -> Child {
        let mut command = self.command(&[&["sweep", "sweep.toml"], args].concat());
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let patience = Instant::now();
        while lines(&std::fs::read(self.path(file)).unwrap_or_default()) <= rows {
            assert!(patience.elapsed() < Duration::from_secs(60), "no rows");
            if child.try_wait().unwrap().is_some() {
                break;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        child
    }
}

fn lines(bytes: &[u8]) -> usize {
    bytes.iter().filter(|&&b| b == b'\n').count()
}

#[test]
fn however_it_is_run_the_merged_bytes_are_the_same() {
    for config in [FAST, CERTIFIED] {
        let folder = Folder::with(config);
        folder.sweep(&["--out", "one", "--threads", "1"]);
        let expected = folder.merged("one");
        assert_eq!(expected, folder.bytes("one/trials-1-of-1.csv"));

        folder.sweep(&["--out", "two", "--threads", "2"]);
        assert_eq!(folder.bytes("two/trials-1-of-1.csv"), expected);

        // Three shards at the same time into one folder.
        let shards: Vec<_> = ["3/3", "1/3", "2/3"]
            .map(|shard| {
                let args = ["sweep", "sweep.toml", "--out", "three", "--shard", shard];
                folder.command(&args).stdout(Stdio::null()).spawn().unwrap()
            })
            .into_iter()
            .collect();
        for mut shard in shards {
            assert!(shard.wait().unwrap().success());
        }
        assert_eq!(folder.merged("three"), expected);

        // More shards than a shard has trials.
        let trials = lines(&expected) - 1;
        assert!(trials <= 160, "{trials}");
    }
}

#[test]
fn killed_at_any_moment_and_resumed_it_ends_the_same() {
    for (config, moments) in [(FAST, [0, 1, 40, 150]), (CERTIFIED, [0, 1, 10, 30])] {
        let folder = Folder::with(config);
        folder.sweep(&["--out", "whole"]);
        let expected = folder.bytes("whole/trials-1-of-1.csv");
        let file = "killed/trials-1-of-1.csv";
        for (i, rows) in moments.into_iter().enumerate() {
            let resume: &[&str] = if i == 0 { &[] } else { &["--resume"] };
            let args = [&["--out", "killed", "--threads", "2"], resume].concat();
            let mut child = folder.begun(&args, file, rows);
            child.kill().unwrap(); // SIGKILL
            child.wait().unwrap();
        }
        // As if a write had been cut: half a row, and half a timing.
        for (file, half) in [(file, "7,2,"), ("killed/timings-1-of-1.csv", "3,0.0")] {
            let mut bytes = folder.bytes(file);
            bytes.extend_from_slice(half.as_bytes());
            std::fs::write(folder.path(file), bytes).unwrap();
        }
        folder.sweep(&["--out", "killed", "--resume"]);
        assert_eq!(folder.bytes(file), expected);
        // Once more changes nothing; a shard that was never started is.
        folder.sweep(&["--out", "killed", "--resume"]);
        assert_eq!(folder.bytes(file), expected);
        folder.sweep(&["--out", "fresh", "--resume"]);
        assert_eq!(folder.bytes("fresh/trials-1-of-1.csv"), expected);
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_keeps_the_rows_and_says_how_to_go_on() {
    let config = FAST.replace("to = 7", "to = 400");
    let folder = Folder::with(&config);
    let file = "out/trials-1-of-1.csv";
    let child = folder.begun(&["--out", "out"], file, 5);
    signal(&child, "-INT");
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(
        said.contains("To go on: gdcert sweep sweep.toml --out out --resume"),
        "{said}"
    );
    let rows = lines(&folder.bytes(file)) - 1;
    assert!(
        rows >= 5 && said.contains(&format!("stopped after {rows} of ")),
        "{rows} {said}"
    );
}

/// A disk that is full, as a limit on the size of files.
#[cfg(unix)]
#[test]
fn a_full_disk_loses_no_finished_row() {
    let folder = Folder::with(FAST);
    folder.sweep(&["--out", "whole"]);
    let expected = folder.bytes("whole/trials-1-of-1.csv");
    let script = format!(
        "trap '' XFSZ; ulimit -f 20; exec '{}' sweep sweep.toml --out small",
        env!("CARGO_BIN_EXE_gdcert")
    );
    let output = Command::new("bash")
        .args(["-c", &script])
        .current_dir(folder.0.path())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    let kept = folder.bytes("small/trials-1-of-1.csv");
    assert!(kept.ends_with(b"\n") && expected.starts_with(&kept) && lines(&kept) > 5);
    let count = format!("{} of 160 trials are kept", lines(&kept) - 1);
    assert!(said.contains(&count) && said.contains("--resume"), "{said}");
    folder.sweep(&["--out", "small", "--resume"]);
    assert_eq!(folder.bytes("small/trials-1-of-1.csv"), expected);
}

#[test]
fn bad_configurations_are_named_before_anything_runs() {
    let base = "N = 2\nn = 4\nD = 8\nd = 4\nH = 2\n";
    for (config, words) in [
        (
            "N = 2\nheads = 3\n",
            &["heads", "no such key", "N, n, D"][..],
        ),
        ("N = 2\n", &["n: is missing"]),
        ("N = \n", &["no TOML file"]),
        (&format!("{base}seeds = []"), &["seeds", "empty"]),
        (
            &format!("{base}seeds = {{ from = 5, to = 4 }}"),
            &["seeds", "from 5 to 4 is empty"],
        ),
        (
            &format!("{base}seeds = {{ from = 5 }}"),
            &["seeds", "from, to"],
        ),
        (&format!("{base}seeds = [1, 1]"), &["seeds", "twice"]),
        (&format!("{base}seeds = -1"), &["seeds", "-1"]),
        (
            &format!("{base}seeds = {{ from = 0, to = 100000000 }}"),
            &["seeds", "too many"],
        ),
        (&format!("{base}p = 0"), &["p: 0"]),
        (&format!("{base}p = 1.5"), &["p: 1.5", "whole number"]),
        (
            &format!("{base}kernel = \"gauss\""),
            &["kernel", "gauss", "softmax"],
        ),
        (&format!("{base}kernel = 3"), &["kernel", "name"]),
        (&format!("{base}trained = \"QX\""), &["trained", "QX"]),
        (
            &format!("{base}init = \"xavier\""),
            &["init", "xavier", "lecun"],
        ),
        (&format!("{base}scale = 2"), &["scale", "lecun"]),
        (&format!("{base}init = \"lazy\"\nscale = 0"), &["scale: 0"]),
        (
            &format!("{base}init = \"lazy\"\nscale = {{ from = 1, to = 1, count = 3 }}"),
            &["scale", "empty"],
        ),
        (
            &format!("{base}init = \"lazy\"\nscale = {{ from = 1, to = 2 }}"),
            &["scale", "count"],
        ),
        (
            &format!("{base}init = \"lazy\"\nscale = {{ from = 1, to = 2, count = 1 }}"),
            &["count = 1", "at least 2"],
        ),
        (&format!("{base}eta = inf"), &["eta: inf"]),
        (&format!("{base}eta = [0.5, -1]"), &["eta: -1"]),
        (&format!("{base}logit_scale = 1e300"), &["logit_scale"]),
        (
            &format!("{base}p = 5\ninit = \"lazy\""),
            &["d:", "d = 4 and p = 5"],
        ),
        (
            &format!("{}init = \"paired\"", base.replace("H = 2", "H = [2, 3]")),
            &["H:", "paired", "3"],
        ),
        (&format!("{base}steps = 0"), &["steps: 0"]),
        (&format!("{base}steps = 1000000000000000"), &["memory"]),
        (
            &format!("{base}certify = 1"),
            &["certify: 1", "true or false"],
        ),
        (&base.replace("N = 2", "N = 100000000"), &["memory"]),
        (
            &base.replace("N = 2", "N = 9000000000000000000"),
            &["large"],
        ),
        (
            &format!(
                "{base}seeds = {{ from = 0, to = 999999 }}\neta = {{ from = 0.1, to = 1.0, count = 10000 }}"
            ),
            &["10000000000 trials", "sample"],
        ),
        (
            &format!("{base}sample = 100"),
            &["sample", "trials = 10000"],
        ),
        (
            &format!("{base}sample = {{ seed = 1 }}"),
            &["sample", "trials", "missing"],
        ),
        (
            &format!("{base}sample = {{ trials = 10, sed = 1 }}"),
            &["sample", "sed"],
        ),
        (
            &format!("{base}sample = {{ trials = 10 }}\nseeds = 1"),
            &["seeds", "sample"],
        ),
        (
            &format!(
                "{base}sample = {{ trials = 10 }}\neta = {{ from = 0.1, to = 1.0, count = 4 }}"
            ),
            &["eta", "from, to"],
        ),
    ] {
        let folder = Folder::with(config);
        let words = [words, &["sweep.toml"]].concat();
        folder.refused(&["sweep", "sweep.toml", "--out", "out"], &words);
        assert!(!folder.path("out").exists(), "{config}");
    }
    let folder = Folder::with(FAST);
    for shard in ["0/3", "4/3", "3", "a/b", "1/0", "-1/2"] {
        folder.refused(
            &["sweep", "sweep.toml", "--shard", shard],
            &["--shard", "1/4"],
        );
    }
    folder.refused(&["sweep", "none.toml"], &["none.toml"]);
}

#[test]
fn finished_work_and_other_sweeps_are_not_overwritten() {
    let folder = Folder::with(FAST);
    folder.sweep(&["--out", "out"]);
    let sweep = ["sweep", "sweep.toml", "--out", "out"];
    folder.refused(&sweep, &["trials-1-of-1.csv", "--resume", "--force"]);
    std::fs::write(
        folder.path("sweep.toml"),
        FAST.replace("steps = 150", "steps = 20"),
    )
    .unwrap();
    folder.refused(
        &[&sweep[..], &["--resume"]].concat(),
        &["another configuration"],
    );
    folder.refused(
        &[&sweep[..], &["--shard", "1/2"]].concat(),
        &["another configuration"],
    );
    folder.sweep(&["--out", "out", "--force"]);
    assert!(
        String::from_utf8(folder.bytes("out/run.json"))
            .unwrap()
            .contains("steps = 20")
    );
    // A comment changes nothing, nor does another way to write a number.
    for same in ["steps = 20 # few", "steps = 2e1"] {
        let config = FAST.replace("steps = 150", same);
        std::fs::write(folder.path("sweep.toml"), config).unwrap();
        folder.sweep(&["--out", "out", "--resume"]);
    }
}

#[test]
fn damaged_and_missing_shards_are_named() {
    let folder = Folder::with(FAST);
    let summarize = ["summarize", "out", "--out", "out"];
    for shard in ["1/2", "2/2"] {
        folder.sweep(&["--out", "out", "--shard", shard]);
    }
    folder.good(&summarize);
    let (first, second) = ("out/trials-1-of-2.csv", "out/trials-2-of-2.csv");
    let whole = String::from_utf8(folder.bytes(first)).unwrap();
    let rows: Vec<&str> = whole.split_inclusive('\n').collect();
    let damaged = |lines: &[&str], words: &[&str]| {
        std::fs::write(folder.path(first), lines.concat()).unwrap();
        folder.refused(&summarize, &[words, &["trials-1-of-2.csv"]].concat());
    };
    damaged(
        &rows[..40],
        &["trial 78 is missing", "--shard 1/2 --resume"],
    );
    damaged(&[&rows[..40], &[&rows[40][..30]]].concat(), &["half a row"]);
    damaged(&[&rows[..5], &rows[6..]].concat(), &["trial 8 is missing"]);
    damaged(&[&rows[..5], &rows[4..]].concat(), &["trial 6", "twice"]);
    damaged(&[&rows[..], &["160,"]].concat(), &["more than the 80 rows"]);
    damaged(&["trial,N\n"], &["columns"]);
    let other = rows[3].replacen(",softmax,", ",gaussian,", 1);
    damaged(
        &[&rows[..3], &[&other], &rows[4..]].concat(),
        &["trial 4", "another sweep"],
    );
    let broken = rows[3].replacen(",softmax,", ",softmx,", 1);
    damaged(
        &[&rows[..3], &[&broken], &rows[4..]].concat(),
        &["trial 4 cannot be read"],
    );
    std::fs::write(folder.path(first), &whole).unwrap();

    std::fs::copy(folder.path(first), folder.path("out/trials-1-of-3.csv")).unwrap();
    folder.refused(&summarize, &["shards of 2 and of 3", "twice"]);
    std::fs::remove_file(folder.path("out/trials-1-of-3.csv")).unwrap();
    std::fs::remove_file(folder.path(second)).unwrap();
    folder.refused(&summarize, &["trials-2-of-2.csv is missing"]);
    std::fs::remove_file(folder.path(first)).unwrap();
    folder.refused(&summarize, &["no trials-K-of-M.csv"]);
    std::fs::remove_file(folder.path("out/run.json")).unwrap();
    folder.refused(&summarize, &["run.json"]);
    folder.refused(&["summarize", "nowhere"], &["nowhere"]);
}

#[test]
fn the_summary_counts_what_the_rows_say() {
    let folder = Folder::with(FAST);
    folder.sweep(&["--out", "out"]);
    let output = folder.good(&["summarize", "out", "--json"]);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        serde_json::from_slice::<Value>(&folder.bytes("gdcert-out/summarize/summary.json"))
            .unwrap(),
        json
    );
    assert_eq!(json["schema"], "gdcert.summary/1");
    let text = String::from_utf8(folder.bytes("gdcert-out/summarize/trials.csv")).unwrap();
    let rows: Vec<Vec<&str>> = text.lines().map(|l| l.split(',').collect()).collect();
    let column = |name: &str| COLUMNS.iter().position(|c| *c == name).unwrap();
    let count = |conditions: &[(&str, &str)]| {
        let meets = |row: &&Vec<&str>| conditions.iter().all(|(c, v)| row[column(c)] == *v);
        rows.iter().filter(meets).count() as u64
    };
    let groups = json["groups"].as_array().unwrap();
    assert_eq!(groups.len(), 4);
    for group in groups {
        let of = |name: &str| group[name].as_str().unwrap();
        let own = [("kernel", of("kernel")), ("init", of("init"))];
        assert_eq!(group["trials"], count(&own));
        for reading in ["stacked", "per_head", "value", "ntk"] {
            for verdict in ["held", "violated", "not_applicable", "diverged"] {
                let name = format!("verdict_{reading}");
                let both = [&own[..], &[(&name, verdict)]].concat();
                assert_eq!(
                    group["verdicts"][reading][verdict],
                    count(&both),
                    "{reading}"
                );
            }
        }
    }
    for figure in json["figures"].as_array().unwrap() {
        for ending in ["svg", "png"] {
            let name = format!("gdcert-out/summarize/{}.{ending}", figure.as_str().unwrap());
            assert!(folder.bytes(&name).len() > 1000);
        }
    }
    let left_out = json["figures_left_out"].to_string();
    assert!(left_out.contains("vanishing-QKV-lecun: all trials have one logit_scale"));
    // A row of the sweep is what verify finds.
    let tables = folder.good(&["summarize", "out"]);
    let said = String::from_utf8(tables.stdout).unwrap();
    assert!(
        said.contains("softmax, QKV trained, init paired: 60 trials"),
        "{said}"
    );
}

#[test]
fn a_row_is_what_verify_finds() {
    let mut rows: Vec<Row> = Vec::new();
    let config = CERTIFIED.replace("logit_scale = { from = 0.5, to = 2.0 }", "");
    for certify in ["certify = true", "certify = false"] {
        let plan: Plan = format!("{config}\n{certify}").parse().unwrap();
        let mut take = |finished: gdcert::experiment::sweep::Finished| {
            rows.push(finished.row);
            Ok(())
        };
        run(
            &plan,
            Shard::WHOLE,
            0,
            &|| ControlFlow::Continue(()),
            &mut take,
        )
        .unwrap();
    }
    let (certified, fast) = rows.split_at(rows.len() / 2);
    let folder = Folder::with(CERTIFIED);
    for row in &certified[..8] {
        let [N, n, D, d, H, p] = [
            row.dims.N, row.dims.n, row.dims.D, row.dims.d, row.dims.H, row.dims.p,
        ]
        .map(|size| size.to_string());
        let (eta, seed) = (row.eta.unwrap().to_string(), row.seed.to_string());
        let (kernel, trained) = (row.kernel.to_string(), row.trained.to_string());
        let scale = row.scale.map(|x| x.to_string());
        let mut args = vec![
            "verify", "-N", &N, "-n", &n, "-D", &D, "-d", &d, "-H", &H, "-p", &p, "--kernel",
            &kernel, "--train", &trained, "--init", &row.init, "--seed", &seed, "--eta", &eta,
            "--json",
        ];
        if let Some(scale) = &scale {
            args.extend(["--scale", scale]);
        }
        let found: Value = serde_json::from_slice(&folder.run(&args).stdout).unwrap();
        // verify runs at most 2000 steps, the sweep 300.
        assert_eq!(found["loss0"].as_f64(), row.loss0);
        assert_eq!(found["jacobian_norm"].as_f64(), row.jacobian_norm);
        for (name, reading) in ["stacked", "per_head", "value", "ntk"]
            .iter()
            .zip(&row.readings)
        {
            assert_eq!(found["betas"][name].as_f64(), reading.beta);
        }
    }
    // Without certificates trials run in lanes: another order of sums, the same verdicts but for the proof.
    for (a, b) in certified.iter().zip(fast) {
        assert_eq!((a.trial, a.dims, a.seed), (b.trial, b.dims, b.seed));
        let (loss_a, loss_b) = (a.loss0.unwrap(), b.loss0.unwrap());
        assert!((loss_a - loss_b).abs() <= 1e-13 * loss_a);
        for (a, b) in a.readings.iter().zip(&b.readings) {
            let (a, b) = (a.verdict.unwrap(), b.verdict.unwrap());
            assert!(a == b || a.holds() && b.holds(), "{a} {b}");
        }
    }
}

fn numbers(values: &BTreeSet<usize>) -> String {
    let list: Vec<_> = values.iter().map(usize::to_string).collect();
    format!("[{}]", list.join(", "))
}

proptest! {
    /// A grid has every combination once; shards have every trial once.
    #[test]
    fn grids_and_shards_miss_nothing(
        n in prop::collection::btree_set(1..9usize, 1..4),
        H in prop::collection::btree_set(1..9usize, 1..4),
        scales in 1..5usize,
        seeds in 1..6u64,
        of in 1..7u64,
    ) {
        let scale = match scales {
            1 => "2.0".to_owned(),
            count => format!("{{ from = 0.01, to = 100.0, count = {count} }}"),
        };
        let config = format!(
            "N = 2\nn = {}\nD = 4\nd = 2\nH = {}\ninit = [\"lecun\", \"lazy\"]\nscale = {scale}\n\
             seeds = {{ from = 10, to = {} }}\nkernel = [\"gaussian\", \"softmax\"]\n",
            numbers(&n), numbers(&H), 9 + seeds,
        );
        let plan: Plan = config.parse().unwrap();
        let expected = n.len() * H.len() * (1 + scales) * seeds as usize * 2;
        prop_assert_eq!(plan.trials(), expected as u64);
        let mut seen = BTreeSet::new();
        for k in 1..=of {
            let shard = Shard::new(k, of).unwrap();
            for number in 0..shard.count(plan.trials()) {
                let trial = plan.trial(shard.trial(number));
                let settings = format!("{:?}", gdcert::experiment::sweep::Trial { index: 0, ..trial });
                prop_assert!(seen.insert(trial.index) && seen.len() <= expected);
                prop_assert!(!settings.is_empty());
            }
        }
        prop_assert_eq!(seen.len(), expected);
        let different: BTreeSet<_> = (0..plan.trials())
            .map(|i| format!("{:?}", gdcert::experiment::sweep::Trial { index: 0, ..plan.trial(i) }))
            .collect();
        prop_assert_eq!(different.len(), expected);
    }

    /// A sample stays within its ranges, and a trial depends on the seed and its index only.
    #[test]
    fn samples_stay_within_their_ranges(seed in 0..1000u64, trials in 1..40u64) {
        let config = |trials: u64| format!(
            "N = {{ from = 1, to = 3 }}\nn = 2\nD = 4\nd = 2\nH = 1\ninit = \"lazy\"\n\
             scale = {{ from = 0.1, to = 10.0 }}\nsample = {{ trials = {trials}, seed = {seed} }}\n"
        );
        let plan: Plan = config(trials).parse().unwrap();
        let longer: Plan = config(trials + 7).parse().unwrap();
        for i in 0..trials {
            let trial = plan.trial(i);
            prop_assert_eq!(trial, longer.trial(i));
            prop_assert!((1..=3).contains(&trial.dims.N));
            prop_assert!((0.1..=10.0).contains(&trial.init.scale().unwrap()));
        }
    }
}

/// Shards share a folder only with their own kind, and rows that went elsewhere are no success.
#[test]
fn shards_share_a_folder_but_not_with_another_configuration() {
    // Long enough for the others to meet the first.
    let slow = FAST.replace("steps = 150", "steps = 5000");
    let folder = Folder::with(&slow);
    let mut one = folder.begun(&["--shard", "1/2", "--out", "s"], "s/trials-1-of-2.csv", 0);
    let other = FAST.replace("steps = 150", "steps = 151");
    std::fs::write(folder.path("other.toml"), other).unwrap();
    for force in [&[][..], &["--force"]] {
        let args = ["sweep", "other.toml", "--shard", "2/2", "--out", "s"];
        let why = match force {
            [] => "another configuration",
            _ => "another gdcert is writing",
        };
        if one.try_wait().unwrap().is_none() {
            folder.refused(&[&args[..], force].concat(), &["s", why]);
        }
    }
    folder.sweep(&["--shard", "2/2", "--out", "s"]);
    assert!(one.wait().unwrap().success());
    folder.merged("s");
    assert!(!folder.path("s/.gdcert-lock").exists());
}

#[cfg(unix)]
#[test]
fn a_folder_that_was_moved_away_is_no_success() {
    let folder = Folder::with(FAST);
    let child = folder.begun(&["--out", "s", "--threads", "1"], "s/trials-1-of-1.csv", 0);
    std::fs::rename(folder.path("s"), folder.path("elsewhere")).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("moved"), "{said}");
}

/// What editors and spreadsheets put into text files changes nothing.
#[test]
fn marks_and_carriage_returns_are_no_obstacle() {
    let folder = Folder::with(FAST);
    folder.sweep(&["--out", "plain"]);
    let windows = |text: &str| format!("\u{feff}{}", text.replace('\n', "\r\n"));
    let config = windows(FAST).replace("\"softmax\"", "\"SoftMax\"");
    std::fs::write(folder.path("sweep.toml"), config).unwrap();
    folder.sweep(&["--out", "s"]);
    let rows = String::from_utf8(folder.bytes("s/trials-1-of-1.csv")).unwrap();
    let half = &rows[..rows.len() / 2];
    std::fs::write(folder.path("s/trials-1-of-1.csv"), windows(half)).unwrap();
    folder.sweep(&["--out", "s", "--resume"]);
    assert!(folder.merged("s") == folder.merged("plain"));
}
