//! Reports, explanations, exports and schemas, on real outputs.

use crate::common::gdcert;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const SIZES: [&str; 10] = ["-N", "2", "-n", "4", "-D", "8", "-d", "4", "-H", "3"];

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Folder(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, args: &[&str]) -> Output {
        gdcert(self.0.path(), args)
    }

    /// Runs a command that must exit with 0 and returns what it printed.
    #[track_caller]
    fn fine(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command that must exit with 2 and returns its one line on stderr.
    #[track_caller]
    fn refused(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        stderr
    }

    fn verify(&self, args: &[&str]) -> Output {
        self.run(&[&["verify"], &SIZES[..], args].concat())
    }

    fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.path(file)).unwrap()
    }

    fn json(&self, file: &str) -> Value {
        serde_json::from_str(&self.read(file)).unwrap()
    }
}

fn schema(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("schemas")
        .join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Holds a file against its schema.
#[track_caller]
fn assert_valid(file: &Value, name: &str) {
    let certificate = jsonschema::Registry::new()
        .add("urn:gdcert:certificate:1", schema("certificate.json"))
        .unwrap()
        .prepare()
        .unwrap();
    let validator = jsonschema::options()
        .with_registry(&certificate)
        .build(&schema(name))
        .unwrap();
    let errors: Vec<_> = validator
        .iter_errors(file)
        .map(|e| format!("{}: {e}", e.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{name}: {errors:#?}");
}

/// Holds every JSON file below a folder against the schema that it names.
#[track_caller]
fn assert_all_valid(folder: &Path) {
    for file in files(folder) {
        let name = file.file_name().unwrap().to_str().unwrap();
        if !name.ends_with(".json") || name == "finding.json" {
            continue;
        }
        let json: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        match json["schema"].as_str() {
            Some(schema) => {
                let kind = schema
                    .strip_prefix("gdcert.")
                    .and_then(|s| s.strip_suffix("/1"));
                assert_valid(&json, &format!("{}.json", kind.unwrap()));
            }
            None => assert_valid(&json, name),
        }
    }
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

/// The values of an attribute, unescaped.
fn attributes(html: &str, before: &str) -> Vec<String> {
    let values = html.split(before).skip(1);
    let values = values.map(|rest| rest.split('"').next().unwrap().replace("&amp;", "&"));
    values.collect()
}

/// The texts of the rows of a page's first table.
fn first_table(html: &str) -> Vec<String> {
    let start = html.find("<tbody>").unwrap();
    let end = start + html[start..].find("</tbody>").unwrap();
    let rows = html[start..end].split("<tr>").skip(1);
    rows.map(|row| {
        let texts = row
            .split('<')
            .map(|tag| tag.split('>').next_back().unwrap());
        texts.collect::<Vec<_>>().join(" ")
    })
    .collect()
}

/// What every page must be: self-contained, its numbers in the files beside it, its links alive, readable without eyes.
#[track_caller]
fn assert_sound(folder: &Path) -> String {
    let html = std::fs::read_to_string(folder.join("report.html")).unwrap();
    assert!(html.starts_with("<!DOCTYPE html>\n<html lang=\"en\">"));
    for outside in [
        "src=\"",
        "<script",
        "<link rel=\"stylesheet",
        "@import",
        "url(http",
    ] {
        assert!(!html.contains(outside), "{outside}");
    }
    let sources: Vec<String> = files(folder)
        .iter()
        .filter(|f| f.extension().is_some_and(|e| e == "json" || e == "csv"))
        .map(|f| std::fs::read_to_string(f).unwrap())
        .collect();
    let numbers = attributes(&html, "<data value=\"");
    assert!(!numbers.is_empty());
    for number in &numbers {
        assert!(
            sources.iter().any(|s| s.contains(number.as_str())),
            "{number} is in no file"
        );
    }
    let ids = attributes(&html, " id=\"");
    for id in &ids {
        assert_eq!(
            ids.iter().filter(|other| *other == id).count(),
            1,
            "id {id} twice"
        );
    }
    for link in attributes(&html, "<a href=\"") {
        match link.strip_prefix('#') {
            Some(id) => assert!(ids.iter().any(|i| i == id), "#{id} leads nowhere"),
            None => assert!(folder.join(&link).is_file(), "{link} leads nowhere"),
        }
    }
    let count = |what: &str| html.matches(what).count();
    assert_eq!(count("<h1>"), 1);
    assert_eq!(count("<svg"), count("role=\"img\""));
    assert_eq!(count("<table>"), count("<caption>"));
    assert_eq!(count("<th>"), 0);
    html
}

#[test]
fn reproduce_leaves_a_page_that_answers_in_its_first_rows() {
    let folder = Folder::new();
    let said = folder.fine(&["reproduce"]);
    let out = folder.path("gdcert-out/reproduce");
    let html = assert_sound(&out);
    let rows = first_table(&html);
    assert!(
        rows[0].contains("Theorem 1") && rows[0].contains("several heads"),
        "{}",
        rows[0]
    );
    assert!(
        rows[0].contains("Yes, with 3 heads and β read per_head"),
        "{}",
        rows[0]
    );
    assert!(
        rows[0].contains("certified") && rows[0].contains("softmax"),
        "{}",
        rows[0]
    );
    assert!(
        rows[1].contains("Gaussian") && rows[1].contains("certified"),
        "{}",
        rows[1]
    );
    assert!(rows[2].contains("per_head, not stacked"), "{}", rows[2]);
    assert!(
        said.contains("per_head, not stacked") && said.contains("report.html"),
        "{said}"
    );
    for id in [
        "theorem-1-softmax",
        "theorem-1-gaussian",
        "readings-of-beta",
        "theorem-2",
        "theorem-2-random",
        "necessity",
        "vanishing-gradient",
        "pathfinder",
    ] {
        assert!(html.contains(&format!("<section id=\"{id}\"")), "{id}");
        assert!(
            html.contains(&format!("gdcert reproduce --only {id}")),
            "{id}"
        );
    }
    let summary = folder.json("gdcert-out/reproduce/summary.json");
    assert_all_valid(&out);
    for file in files(&out) {
        if file.ends_with("certificate.json") {
            assert!(
                folder
                    .fine(&["check", file.to_str().unwrap()])
                    .starts_with("valid")
            );
        }
    }
    // The commands in the page are those of the cases.
    let html = html.replace("&#38;", "&");
    for case in summary["cases"].as_array().unwrap() {
        assert!(html.contains(case["command"].as_str().unwrap()), "{case}");
    }

    // One claim alone keeps the others; --resume keeps what is there.
    let before = folder.read("gdcert-out/reproduce/theorem-2/softmax-paired/verdict.json");
    folder.fine(&["reproduce", "--only", "readings-of-beta", "--resume"]);
    let again = folder.json("gdcert-out/reproduce/summary.json");
    assert_eq!(again["claims"], summary["claims"]);
    assert_eq!(again["cases"], summary["cases"]);
    assert_eq!(
        before,
        folder.read("gdcert-out/reproduce/theorem-2/softmax-paired/verdict.json")
    );
    assert_sound(&out);

    // In words, and as tables.
    let words = folder.fine(&["explain", "gdcert-out/reproduce"]);
    assert!(words.contains("per_head, not stacked") && words.contains("gdcert check "));
    let csv = folder.fine(&["explain", "gdcert-out/reproduce", "--format", "csv"]);
    assert!(
        csv.starts_with("question,answer,verdict,numbers,evidence\n"),
        "{csv}"
    );
}

/// Waits until a file is there; a minute is far more than any of these takes.
fn wait_for(file: &Path) {
    for _ in 0..6000 {
        if file.is_file() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("{} never came", file.display());
}

#[test]
fn reproduce_killed_and_resumed_ends_the_same() {
    let folder = Folder::new();
    let claim = ["reproduce", "--only", "theorem-1-gaussian", "--out"];
    folder.fine(&[&claim[..], &["whole"]].concat());
    let mut child = Command::new(env!("CARGO_BIN_EXE_gdcert"))
        .args(claim)
        .arg("cut")
        .current_dir(folder.0.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for(&folder.path("cut/theorem-1-gaussian/lazy/finding.json"));
    child.kill().unwrap();
    child.wait().unwrap();
    // What there is says that the rest is missing.
    let cut = folder.json("cut/summary.json");
    let left_out = cut["not_run"].as_array().unwrap();
    let why = |name: &str| left_out.iter().find(|n| n["name"] == name).unwrap()["why"].clone();
    assert_eq!(why("theorem-1-gaussian"), "not reached yet");
    assert_eq!(why("theorem-2"), "left out by --only");
    let first = folder.read("cut/theorem-1-gaussian/lazy/run.json");
    folder.fine(&[&claim[..], &["cut", "--resume"]].concat());
    assert_eq!(first, folder.read("cut/theorem-1-gaussian/lazy/run.json"));
    assert_eq!(
        folder.json("cut/summary.json")["cases"],
        folder.json("whole/summary.json")["cases"]
    );
    assert_sound(&folder.path("cut"));
}

#[test]
fn reproduce_says_that_the_disk_is_full_and_goes_on_later() {
    let folder = Folder::new();
    let script = format!(
        "trap '' XFSZ; ulimit -f 20; exec '{}' reproduce --only readings-of-beta",
        env!("CARGO_BIN_EXE_gdcert")
    );
    let output = Command::new("bash")
        .args(["-c", &script])
        .current_dir(folder.0.path())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    let last = said.lines().last().unwrap();
    assert!(last.starts_with("gdcert: gdcert-out/reproduce/"), "{said}");
    assert!(last.contains("File too large"), "{said}");
    folder.fine(&["reproduce", "--only", "readings-of-beta", "--resume"]);
    assert_sound(&folder.path("gdcert-out/reproduce"));
}

#[test]
fn presets_do_not_overwrite_each_other() {
    let folder = Folder::new();
    let quick = ["reproduce", "--only", "vanishing-gradient"];
    folder.fine(&quick);
    let summary = folder.read("gdcert-out/reproduce/summary.json");
    let paper = [&quick[..], &["--preset", "paper"]].concat();
    let said = folder.refused(&paper);
    assert!(
        said.contains("holds results of --preset quick; choose another --out"),
        "{said}"
    );
    assert_eq!(summary, folder.read("gdcert-out/reproduce/summary.json"));
    let said = folder.refused(&["reproduce", "--preset", "huge"]);
    assert!(
        said.contains("unknown preset 'huge'; choose quick or paper"),
        "{said}"
    );
}

#[test]
fn the_text_claim_reads_the_reviews_that_are_at_hand() {
    let folder = Folder::new();
    // Words that tell the two kinds apart, and enough of both to hold some out.
    for split in ["train", "test"] {
        for (kind, words) in [
            ("pos", "a fine and happy film"),
            ("neg", "a dull, sad mess"),
        ] {
            let reviews = folder.path(&format!("reviews/aclImdb/{split}/{kind}"));
            std::fs::create_dir_all(&reviews).unwrap();
            for k in 0..40 {
                std::fs::write(reviews.join(format!("{k}_7.txt")), format!("{words} {k}")).unwrap();
            }
        }
    }
    let said = folder.fine(&["reproduce", "--only", "imdb", "--imdb", "reviews"]);
    assert!(
        said.contains("Does the Gaussian kernel train better on text?"),
        "{said}"
    );
    let summary = folder.json("gdcert-out/reproduce/summary.json");
    assert_valid(&summary, "reproduce.json");
    assert_eq!(summary["claims"][0]["answer"]["verdict"], "not decided");
    assert_sound(&folder.path("gdcert-out/reproduce"));
}

#[test]
fn what_was_not_run_is_said() {
    let folder = Folder::new();
    folder.fine(&["reproduce", "--only", "readings-of-beta"]);
    let html = assert_sound(&folder.path("gdcert-out/reproduce"));
    let rows = first_table(&html);
    assert!(rows.iter().any(|r| r.contains("per_head, not stacked")));
    assert!(
        rows.iter()
            .any(|r| r.contains("Theorem 1") && r.contains("Not run: left out by --only"))
    );
    let said = folder.fine(&["reproduce", "--only", "imdb", "--imdb", "nowhere"]);
    assert!(
        said.contains("Not run: imdb (there are no IMDb reviews at nowhere;"),
        "{said}"
    );
}

#[test]
fn an_older_output_folder_is_no_obstacle() {
    let folder = Folder::new();
    folder.fine(&["reproduce", "--only", "readings-of-beta"]);
    // As the first version wrote it.
    let mut old = folder.json("gdcert-out/reproduce/summary.json");
    old.as_object_mut()
        .unwrap()
        .retain(|k, _| k != "claims" && k != "not_run");
    let file = folder.path("gdcert-out/reproduce/summary.json");
    std::fs::write(&file, old.to_string()).unwrap();
    folder.fine(&["report", "gdcert-out/reproduce"]);
    folder.fine(&["reproduce", "--only", "readings-of-beta", "--resume"]);
    std::fs::write(&file, "{").unwrap();
    let output = folder.run(&["reproduce", "--only", "readings-of-beta", "--resume"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("it will be replaced")
    );
    assert_sound(&folder.path("gdcert-out/reproduce"));
}

#[test]
fn every_kind_of_folder_has_a_page() {
    let folder = Folder::new();
    folder.verify(&[
        "--kernel", "gaussian", "--init", "lazy", "--scale", "1e4", "--steps", "50",
    ]);
    folder.fine(&["report", "gdcert-out/verify"]);
    let html = assert_sound(&folder.path("gdcert-out/verify"));
    for words in [
        "per_head",
        "certified",
        "gdcert check",
        "Proven: ",
        "<svg",
        "gdcert verify -N 2",
    ] {
        assert!(html.contains(words), "{words}");
    }
    assert_valid(
        &folder.json("gdcert-out/verify/verdict.json"),
        "verdict.json",
    );

    folder.fine(&[
        "certify", "-N", "2", "-n", "4", "-D", "8", "-d", "4", "-H", "3", "--tail",
    ]);
    assert_valid(
        &folder.json("gdcert-out/certify/certificate.json"),
        "certificate.json",
    );
    folder.fine(&["report", "gdcert-out/certify", "--out", "elsewhere/page"]);
    let html = folder.read("elsewhere/page/report.html");
    assert!(html.contains("href=\"../../gdcert-out/certify/certificate.json\""));

    folder.fine(&["data", "pathfinder", "--count", "40", "--out", "pf"]);
    assert_valid(&folder.json("pf/data.json"), "data.json");
    folder.fine(&[
        "train",
        "--task",
        "pathfinder",
        "--data",
        "pf",
        "--seeds",
        "0,1",
        "--steps",
        "2",
        "--batch",
        "2",
        "--eval-every",
        "1",
        "--eval-samples",
        "4",
        "--width",
        "8",
        "--hidden",
        "8",
        "--blocks",
        "1",
    ]);
    assert_valid(&folder.json("gdcert-out/train/summary.json"), "train.json");
    folder.fine(&["report", "gdcert-out/train"]);
    let html = assert_sound(&folder.path("gdcert-out/train"));
    assert!(html.contains("accuracy.mean") && html.contains("settings.kernel"));
    let csv = folder.fine(&["explain", "gdcert-out/train", "--format", "csv"]);
    assert!(csv.starts_with("seed,loss,accuracy,seconds\n0,"), "{csv}");

    assert!(
        folder
            .refused(&["report", "nowhere"])
            .contains("is no folder")
    );
    std::fs::create_dir(folder.path("empty")).unwrap();
    assert!(
        folder
            .refused(&["report", "empty"])
            .contains("holds no results of gdcert")
    );
    assert!(!folder.path("empty/report.html").exists());
}

#[test]
fn explain_restates_verdicts_and_certificates() {
    let folder = Folder::new();
    folder.verify(&[
        "--init", "lazy", "--scale", "10", "--seed", "19", "--steps", "400",
    ]);
    let words = |args: &[&str]| {
        let said = folder.fine(args);
        said.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let of_folder = words(&["explain", "gdcert-out/verify"]);
    let of_file = words(&["explain", "gdcert-out/verify/verdict.json"]);
    for said in [&of_folder, &of_file] {
        assert!(
            said.contains("initialization lazy at scale 10, seed 19"),
            "{said}"
        );
        assert!(said.contains("beta read as per_head"), "{said}");
        assert!(said.contains("does not refute the theorem"), "{said}");
    }
    let constant = [
        "certify",
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
    ];
    folder.fine(&constant);
    let said = words(&["explain", "gdcert-out/certify/certificate.json"]);
    assert!(said.contains("Proven: No choice of W^Q and W^K"), "{said}");
    let csv = folder.fine(&["explain", "gdcert-out/verify", "--format", "csv"]);
    let verdict = folder.json("gdcert-out/verify/verdict.json");
    assert!(
        csv.contains(&verdict["betas"]["per_head"].to_string()),
        "{csv}"
    );
    let latex = folder.fine(&["explain", "gdcert-out/verify", "--format", "latex"]);
    assert!(
        latex.contains("per\\_head & $") && latex.contains("\\bottomrule"),
        "{latex}"
    );
    let none = folder.refused(&["explain", "gdcert-out/certify", "--format", "csv"]);
    assert!(none.contains("holds no table"), "{none}");
}

#[test]
fn newer_schemas_are_refused_by_name_and_older_files_read() {
    let folder = Folder::new();
    folder.verify(&["--steps", "20"]);
    let file = folder.path("gdcert-out/verify/verdict.json");
    let new = folder.json("gdcert-out/verify/verdict.json");
    let with_schema = |schema: &str| {
        let mut json = new.clone();
        json["schema"] = schema.into();
        std::fs::write(&file, json.to_string()).unwrap();
    };
    with_schema("gdcert.verdict/2");
    for command in ["explain", "report"] {
        let why = folder.refused(&[command, "gdcert-out/verify"]);
        assert!(
            why.contains("verdict.json") && why.contains("newer schema 'gdcert.verdict/2'"),
            "{why}"
        );
    }
    with_schema("gdcert.tides/1");
    let why = folder.refused(&["explain", "gdcert-out/verify"]);
    assert!(why.contains("'gdcert.tides/1'"), "{why}");
    // The fields of the first verdict files.
    let mut old = new.clone();
    let later = [
        "precision",
        "measured_rate",
        "measured_tail_rate",
        "deciding",
        "obstruction",
    ];
    old.as_object_mut()
        .unwrap()
        .retain(|name, _| !later.contains(&name.as_str()));
    assert_valid(&old, "verdict.json");
    std::fs::write(&file, old.to_string()).unwrap();
    assert!(
        folder
            .fine(&["explain", "gdcert-out/verify"])
            .contains("beta read as")
    );
    std::fs::write(&file, "{\"schema\": \"gdcert.verdict/1\"}").unwrap();
    assert!(
        folder
            .refused(&["explain", "gdcert-out/verify"])
            .contains("malformed")
    );
}

#[test]
fn a_foreign_figure_brings_no_script() {
    let folder = Folder::new();
    folder.verify(&["--steps", "20"]);
    let bad = "<svg xmlns=\"http://www.w3.org/2000/svg\"><script>alert(1)</script></svg>";
    std::fs::write(folder.path("gdcert-out/verify/bad.svg"), bad).unwrap();
    folder.fine(&["report", "gdcert-out/verify"]);
    let html = assert_sound(&folder.path("gdcert-out/verify"));
    assert!(html.contains("more than a drawing"));
}

#[test]
fn shells_and_manuals_are_served() {
    let folder = Folder::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = folder.fine(&["completions", shell]);
        for word in ["gdcert", "verify", "reproduce", "search-scale"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    assert!(folder.refused(&["completions", "tcsh"]).contains("tcsh"));
    assert!(folder.fine(&["man"]).contains(".TH gdcert 1"));
    folder.fine(&["man", "--out", "man"]);
    for page in ["gdcert.1", "gdcert-verify.1", "gdcert-data-imdb.1"] {
        assert!(
            folder.read(&format!("man/{page}")).contains("Example"),
            "{page}"
        );
    }
}

#[test]
fn every_command_has_an_example_in_its_help() {
    let folder = Folder::new();
    let help = folder.fine(&["--help"]);
    let commands = help
        .split("Commands:")
        .nth(1)
        .unwrap()
        .split("Options:")
        .next()
        .unwrap();
    let names: Vec<&str> = commands
        .lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .map(|line| line.split_whitespace().next().unwrap())
        .collect();
    assert!(names.len() >= 10, "{names:?}");
    for name in names {
        let help = folder.fine(&[name, "--help"]);
        assert!(
            help.contains("Example"),
            "gdcert {name} --help has no example"
        );
    }
    // No colours where nobody asked for them, and none with NO_COLOR.
    assert!(!help.contains('\u{1b}'));
}

/// A sweep, a landscape and a counterexample are shown and told as well, with their figures.
#[test]
fn every_command_s_folder_makes_a_page() {
    let folder = Folder::new();
    std::fs::write(
        folder.path("sweep.toml"),
        "N = 2\nn = 2\nD = 4\nd = 2\nH = [1, 2]\nkernel = [\"softmax\", \"gaussian\"]\ntrained = \"Q\"\nseeds = [0, 1]\nsteps = 50\n",
    )
    .unwrap();
    folder.fine(&["sweep", "sweep.toml", "--out", "sweep"]);
    folder.fine(&["summarize", "sweep", "--out", "sweep"]);
    let landscape = [
        &["landscape"],
        &SIZES[..],
        &["--grid", "5", "--out", "landscape"],
    ]
    .concat();
    folder.fine(&landscape);
    let search = ["falsify", "--reading", "stacked", "--kernel", "gaussian"];
    folder.fine(&[&search[..], &["--steps", "200", "--out", "falsify"]].concat());
    for (name, words, figures) in [
        (
            "sweep",
            &["Verdicts of each reading", "only gaussian"][..],
            2,
        ),
        ("landscape", &["roughness.non_convex", "hessian.W_Q"], 2),
        (
            "falsify",
            &["counterexample.verdict", "Readings of beta"],
            1,
        ),
    ] {
        let told = folder.fine(&["explain", name]);
        for word in words {
            assert!(told.contains(word), "{name}: no '{word}' in: {told}");
        }
        assert!(!told.contains('{'), "{name}: a table shows JSON: {told}");
        assert_all_valid(&folder.path(name));
        folder.fine(&["report", name]);
        let page = folder.read(&format!("{name}/report.html"));
        assert!(page.matches("<svg").count() >= figures, "{name}");
    }
}
