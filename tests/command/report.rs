//! Reports, explanations, exports and schemas, on real outputs.

use crate::common::{Folder, SIZES, all_files};
use base64::Engine;
use serde_json::Value;
use sha2::Digest;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Runs a command that must exit with 2 and returns its one line on stderr.
#[track_caller]
fn refused(folder: &Folder, args: &[&str]) -> String {
    let output = folder.run(args);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    stderr
}

fn schema(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../schemas")
        .join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Holds a file against its schema.
#[track_caller]
pub fn assert_valid(file: &Value, name: &str) {
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
    for file in all_files(folder) {
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

/// A link's path.
fn decoded(link: &str) -> PathBuf {
    let mut bytes = Vec::new();
    let mut rest = link.bytes();
    while let Some(byte) = rest.next() {
        let hex: Vec<u8> = match byte {
            b'%' => rest.by_ref().take(2).collect(),
            byte => {
                bytes.push(byte);
                continue;
            }
        };
        let hex = std::str::from_utf8(&hex).unwrap();
        bytes.push(u8::from_str_radix(hex, 16).unwrap());
    }
    PathBuf::from(String::from_utf8(bytes).unwrap())
}

/// The pictures of a page, as documents.
fn pictures(html: &str) -> Vec<String> {
    use base64::Engine;
    let data = attributes(html, "<img src=\"data:image/svg+xml;base64,");
    let decode = |text: String| {
        base64::engine::general_purpose::STANDARD
            .decode(text)
            .unwrap()
    };
    data.into_iter()
        .map(|text| String::from_utf8(decode(text)).unwrap())
        .collect()
}

/// What every page must be: self-contained, its numbers in the files beside it, its links alive, readable without eyes.
#[track_caller]
fn assert_sound(folder: &Path) -> String {
    let html = std::fs::read_to_string(folder.join("report.html")).unwrap();
    assert!(html.starts_with("<!DOCTYPE html>\n<html lang=\"en\">"));
    // Images bring their own bytes.
    assert_eq!(
        html.matches("src=\"").count(),
        html.matches("<img src=\"data:image/svg+xml;base64,")
            .count()
    );
    // One script, of which the page says to the browser that it is the only one.
    assert_eq!(html.matches("<script").count(), 1);
    let script = html.split("<script>").nth(1).unwrap();
    let script = script.split("</script>").next().unwrap();
    let hash = base64::engine::general_purpose::STANDARD.encode(sha2::Sha256::digest(script));
    assert!(html.contains(&format!("script-src 'sha256-{hash}'\"")));
    for outside in ["<link rel=\"stylesheet", "@import", "url(http"] {
        assert!(!html.contains(outside), "{outside}");
    }
    let sources: Vec<String> = all_files(folder)
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
            None => {
                assert!(link.starts_with("./"), "{link}");
                assert!(
                    folder.join(decoded(&link)).is_file(),
                    "{link} leads nowhere"
                );
            }
        }
    }
    let count = |what: &str| html.matches(what).count();
    assert_eq!(count("<h1>"), 1);
    assert_eq!((count("<svg"), count("<img ")), (0, count(" alt=\"")));
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
        "near-convex",
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
    for file in all_files(&out) {
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

    // In words.
    let words = folder.fine(&["explain", "gdcert-out/reproduce"]);
    assert!(words.contains("per_head, not stacked") && words.contains("gdcert check "));
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
    let (folder, _) = Folder::reproduced();
    let claim = ["reproduce", "--only", "readings-of-beta", "--out"];
    let mut child = Command::new(env!("CARGO_BIN_EXE_gdcert"))
        .args(claim)
        .arg("cut")
        .current_dir(folder.0.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for(&folder.path("cut/readings-of-beta/stacked-softmax/finding.json"));
    child.kill().unwrap();
    child.wait().unwrap();
    // What there is says that the rest is missing.
    let cut = folder.json("cut/summary.json");
    let left_out = cut["not_run"].as_array().unwrap();
    let why = |name: &str| left_out.iter().find(|n| n["name"] == name).unwrap()["why"].clone();
    assert_eq!(why("readings-of-beta"), "not reached yet");
    assert_eq!(why("theorem-2"), "left out by --only");
    let first = folder.read("cut/readings-of-beta/stacked-softmax/run.json");
    folder.fine(&[&claim[..], &["cut", "--resume"]].concat());
    assert_eq!(
        first,
        folder.read("cut/readings-of-beta/stacked-softmax/run.json")
    );
    assert_eq!(
        folder.json("cut/summary.json")["cases"],
        folder.json("gdcert-out/reproduce/summary.json")["cases"]
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
    let said = refused(&folder, &paper);
    assert!(
        said.contains("holds results of --preset quick; choose another --out"),
        "{said}"
    );
    assert_eq!(summary, folder.read("gdcert-out/reproduce/summary.json"));
    let said = refused(&folder, &["reproduce", "--preset", "huge"]);
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
    let (folder, _) = Folder::reproduced();
    let html = assert_sound(&folder.path("gdcert-out/reproduce"));
    let rows = first_table(&html);
    assert!(rows.iter().any(|r| r.contains("per_head, not stacked")));
    assert!(
        rows.iter()
            .any(|r| r.contains("Theorem 1") && r.contains("Not run: left out by --only"))
    );
    let csv = folder.fine(&["explain", "gdcert-out/reproduce", "--format", "csv"]);
    assert!(
        csv.starts_with("question,answer,verdict,numbers,evidence\n"),
        "{csv}"
    );
    let said = folder.fine(&["reproduce", "--only", "imdb", "--imdb", "nowhere"]);
    assert!(
        said.contains("Not run: imdb (there are no IMDb reviews at nowhere;"),
        "{said}"
    );
}

#[test]
fn an_older_output_folder_is_no_obstacle() {
    let (folder, _) = Folder::reproduced();
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
        "<img ",
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
    assert!(html.contains("reached an accuracy of") && !html.contains("accuracy.mean"));
    let csv = folder.fine(&["explain", "gdcert-out/train", "--format", "csv"]);
    assert!(csv.starts_with("seed,loss,accuracy,seconds\n0,"), "{csv}");

    assert!(refused(&folder, &["report", "nowhere"]).contains("is no folder"));
    std::fs::create_dir(folder.path("empty")).unwrap();
    assert!(refused(&folder, &["report", "empty"]).contains("holds no results of gdcert"));
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
    assert_eq!(folder.run(&constant).status.code(), Some(1));
    let said = words(&["explain", "gdcert-out/certify/certificate.json"]);
    assert!(said.contains("Proven: No choice of Q brings"), "{said}");
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
    let none = refused(
        &folder,
        &["explain", "gdcert-out/certify", "--format", "csv"],
    );
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
        let why = refused(&folder, &[command, "gdcert-out/verify"]);
        assert!(
            why.contains("verdict.json") && why.contains("newer schema 'gdcert.verdict/2'"),
            "{why}"
        );
    }
    with_schema("gdcert.tides/1");
    let why = refused(&folder, &["explain", "gdcert-out/verify"]);
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
    assert!(refused(&folder, &["explain", "gdcert-out/verify"]).contains("malformed"));
}

/// An image is a picture and nothing else: whatever a file holds, none of it is part of the page.
#[test]
fn a_foreign_figure_brings_nothing_but_a_picture() {
    let folder = Folder::new();
    folder.verify(&["--steps", "20"]);
    let out = folder.path("gdcert-out/verify");
    for (name, bad) in [
        (
            "script",
            "<svg xmlns=\"http://www.w3.org/2000/svg\"><script>alert(1)</script></svg>",
        ),
        (
            "style",
            "<svg style=\"position:fixed;inset:0\"><text>CERTIFIED</text></svg>",
        ),
        (
            "entity",
            "<svg><rect &#111;nclick=\"x()\"/><text>&#60;script></text></svg>",
        ),
        ("slash", "<svg/onload=alert(1)><g/onclick=x()></g></svg>"),
        (
            "cdata",
            "<svg><desc><![CDATA[</svg><script>alert(2)</script>]]></desc></svg>",
        ),
        ("css", "<svg><style>body{display:none}</style></svg>"),
        ("close", "<svg></svg></figure></main><h1>CERTIFIED</h1>"),
        ("html", "<html><script>alert(3)</script></html>"),
    ] {
        std::fs::write(out.join(format!("{name}.svg")), bad).unwrap();
    }
    std::fs::write(out.join("bytes.svg"), b"<svg>\xff</svg>").unwrap();
    folder.fine(&["report", "gdcert-out/verify"]);
    let html = assert_sound(&out);
    for leaked in [
        "alert(",
        "CERTIFIED",
        "position:fixed",
        "display:none",
        "onclick",
        "onload",
    ] {
        assert!(!html.contains(leaked), "{leaked}");
    }
    assert_eq!(html.matches("is no SVG document").count(), 2);
    // Our own picture is there, with the font that its text is set in.
    let ours = pictures(&html);
    let ours: Vec<_> = ours
        .iter()
        .filter(|svg| svg.contains("DejaVu Sans"))
        .collect();
    assert_eq!(ours.len(), 1);
    assert!(
        ours[0].contains("@font-face") && ours[0].contains("bounds"),
        "{}",
        ours[0].len()
    );
}

/// File names are names: in a link, on a page, on a terminal.
#[cfg(unix)]
#[test]
fn hostile_names_stay_names() {
    let folder = Folder::new();
    folder.verify(&["--steps", "20"]);
    let out = folder.path("gdcert-out/verify");
    for name in [
        "javascript:alert(1)",
        "a b#c?d%20e",
        "\"><b>x",
        "\u{1b}[2Jred\nline",
        "ä'&",
    ] {
        std::fs::write(out.join(name), "x").unwrap();
    }
    folder.fine(&["report", "gdcert-out/verify"]);
    let html = assert_sound(&out);
    assert!(
        html.contains("href=\"./javascript%3Aalert%281%29\""),
        "{html}"
    );
    assert!(!html.contains('\u{1b}') && !html.contains("<b>x"));
    // A folder that is named like a command, and one that steers the terminal.
    let hostile = "x; rm -rf \u{1b}[31m\u{9b}1m";
    std::fs::rename(&out, folder.path(hostile)).unwrap();
    for args in [
        ["explain", hostile],
        ["report", hostile],
        ["check", hostile],
    ] {
        let output = folder.run(&args);
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        let steers = |c: char| c.is_control() && c != '\n';
        assert!(!said.contains(steers), "{args:?}: {said:?}");
    }
    // What a JSON string holds is shown, not carried out.
    let verdict = folder.path(hostile).join("verdict.json");
    let mut json: Value = serde_json::from_slice(&std::fs::read(&verdict).unwrap()).unwrap();
    json["claims"]["per_head"]["reason"] = "\u{1b}]0;owned\u{7}\u{202e}".into();
    json["claims"]["per_head"]["verdict"] = "held".into();
    json["init"] = "\u{9b}2J".into();
    std::fs::write(&verdict, json.to_string()).unwrap();
    for args in [vec!["explain", hostile], vec!["explain", hostile, "--json"]] {
        let said = folder.fine(&args);
        assert!(
            !said.contains(['\u{1b}', '\u{7}', '\u{9b}', '\u{202e}']),
            "{said:?}"
        );
        assert!(
            said.contains("\\u009b2J") || said.contains("\\\\u009b2J"),
            "{said}"
        );
    }
    // A command that a shell would take for more than one is not offered for pasting.
    let run = folder.path(hostile).join("run.json");
    let mut json: Value = serde_json::from_slice(&std::fs::read(&run).unwrap()).unwrap();
    for command in [
        "gdcert verify; rm -rf ~",
        "curl evil",
        "gdcert verify $(id)",
        "gdcert x\nid",
        "gdcert 'a",
    ] {
        json["command"] = command.into();
        std::fs::write(&run, json.to_string()).unwrap();
        assert!(
            !folder.fine(&["explain", hostile]).contains("To repeat it"),
            "{command}"
        );
    }
}

/// What a file says of itself is not proven by being said.
#[test]
fn only_what_is_proven_again_is_called_proven() {
    let folder = Folder::new();
    let words = |args: &[&str]| {
        let said = folder.fine(args);
        said.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let places = [
        "gdcert-out/verify",
        "gdcert-out/verify/verdict.json",
        "gdcert-out/verify/certificate.json",
    ];
    let verify = || {
        folder.verify(&[
            "--init", "lazy", "--scale", "1e4", "--steps", "50", "--force",
        ]);
    };
    verify();
    for place in places {
        let said = words(&["explain", place]);
        assert!(
            said.contains("Proven: Exact gradient descent on QKV"),
            "{place}: {said}"
        );
        assert!(
            !said.contains("re-proven here") && !said.contains("not shown"),
            "{place}: {said}"
        );
    }
    let path = folder.path("gdcert-out/verify/certificate.json");
    let whole = folder.json("gdcert-out/verify/certificate.json");
    let forge = |change: &dyn Fn(&mut Value)| {
        let mut json = whole.clone();
        change(&mut json);
        std::fs::write(&path, json.to_string()).unwrap();
    };
    let page = || {
        folder.fine(&["report", "gdcert-out/verify"]);
        folder.read("gdcert-out/verify/report.html")
    };

    // Another statement.
    forge(&|json| json["statement"] = "P = NP, for every t.".into());
    for said in [
        words(&["explain", places[0]]),
        words(&["explain", places[2]]),
        page(),
    ] {
        assert!(!said.contains("P = NP"), "{said}");
        assert!(
            said.contains("is not the one that its numbers give"),
            "{said}"
        );
        assert!(
            said.contains("Proven: Exact gradient descent on QKV"),
            "{said}"
        );
    }
    let said = words(&["check", places[2]]);
    assert!(
        said.starts_with("valid: ") && said.contains("not shown: The `statement`"),
        "{said}"
    );

    // Numbers that are not true; the verdict that rests on them is no more than said.
    forge(&|json| json["alpha_lower"] = (1.01 * json["alpha_lower"].as_f64().unwrap()).into());
    for said in [words(&["explain", places[0]]), page()] {
        assert!(said.contains("Not proven: alpha"), "{said}");
        assert!(!said.contains("Proven: "), "{said}");
        assert!(
            said.contains("the file says certified. Not re-proven here"),
            "{said}"
        );
        assert!(said.contains("certified (not re-proven here)"), "{said}");
        assert!(!said.contains("the bound is proven for every t"), "{said}");
    }

    // The instance is gone, or another one.
    verify();
    let instance = folder.path("gdcert-out/verify/instance.safetensors");
    let kept = folder.path("kept");
    std::fs::rename(&instance, &kept).unwrap();
    for said in [
        words(&["explain", places[0]]),
        words(&["explain", places[1]]),
        page(),
    ] {
        assert!(
            said.contains("Not re-proven here: instance.safetensors is not beside it"),
            "{said}"
        );
        assert!(
            !said.contains("Proven: ") && !said.contains("the bound is proven"),
            "{said}"
        );
    }
    std::fs::write(&instance, b"no instance").unwrap();
    let said = words(&["explain", places[0]]);
    assert!(
        said.contains("re-proven here") && !said.contains("Proven: "),
        "{said}"
    );
    std::fs::rename(&kept, &instance).unwrap();

    // A verdict without its certificate, or with one of another run.
    std::fs::remove_file(&path).unwrap();
    let said = words(&["explain", places[0]]);
    assert!(
        said.contains("certificate.json with the same contents is not beside it"),
        "{said}"
    );
    let mut json = folder.json("gdcert-out/verify/verdict.json");
    json["certificate"] = Value::Null;
    json["claims"]["per_head"]["reason"] = "P = NP".into();
    std::fs::write(folder.path(places[1]), json.to_string()).unwrap();
    let said = words(&["explain", places[0]]);
    assert!(
        said.contains("it holds no certificate") && !said.contains("P = NP"),
        "{said}"
    );
}

/// The proof of a tail is about two files, and its step is what the run beside it shows.
#[test]
fn a_tail_names_both_its_files_and_its_step_is_held_against_the_run() {
    let folder = Folder::new();
    let words = |args: &[&str]| {
        let said = folder.fine(args);
        said.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    folder.verify(&["--orbit", "never"]);
    let of = |file: &str| format!("gdcert-out/verify/{file}");
    let verdict = folder.json(&of("verdict.json"));
    assert_eq!(verdict["claims"]["per_head"]["verdict"], "certified_tail");
    let t = verdict["certificate"]["centre"]["t"].as_u64().unwrap();
    let said = words(&["explain", "gdcert-out/verify"]);
    for file in [
        "instance.safetensors with SHA-256 ",
        "and centre.safetensors with SHA-256 ",
    ] {
        assert!(said.contains(file), "{said}");
    }
    assert!(
        said.contains("Proven: Exact gradient descent on QKV (softmax attention) with step"),
        "{said}"
    );
    assert!(said.contains("which is not part of this proof"), "{said}");
    assert!(!said.contains("is what the file says"), "{said}");

    // The same proof under another step.
    let path = folder.path(&of("certificate.json"));
    let mut json = folder.json(&of("certificate.json"));
    json["centre"]["t"] = (t + 7).into();
    std::fs::write(&path, json.to_string()).unwrap();
    for said in [
        words(&["explain", &of("certificate.json")]),
        words(&["check", &of("certificate.json")]),
    ] {
        assert!(
            said.contains(&format!("That the centre is M_{}", t + 7)),
            "{said}"
        );
    }
    // And without a run.
    json["centre"]["t"] = t.into();
    std::fs::write(&path, json.to_string()).unwrap();
    std::fs::remove_file(folder.path(&of("trajectory.csv"))).unwrap();
    let said = words(&["explain", &of("certificate.json")]);
    assert!(
        said.contains("no trajectory.csv beside it shows the run"),
        "{said}"
    );
}

/// Numbers have digits that say something, and no more of them, whatever their size.
#[test]
fn numbers_of_every_size_are_readable() {
    let folder = Folder::new();
    let readable = |said: &str| {
        for word in said.split_whitespace() {
            let word = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
            let nothing = word.len() > 3 && word.chars().all(|c| c == '0' || c == '.');
            assert!(!nothing, "{word} in {said}");
            assert!(
                word.bytes().filter(u8::is_ascii_digit).count() < 25 || word.len() == 64,
                "{word} in {said}"
            );
        }
    };
    let large = folder.run(
        &[
            &["verify"],
            &SIZES[..],
            &["--init", "lazy", "--scale", "1e30", "--steps", "5"],
        ]
        .concat(),
    );
    let said = String::from_utf8(large.stdout).unwrap();
    assert!(said.contains("lazy (scale 1e30)"), "{said}");
    readable(&said);
    readable(&folder.fine(&["explain", "gdcert-out/verify"]));
    assert!(
        refused(
            &folder,
            &[
                "verify", "--eta", "-1e300", "-N", "1", "-n", "2", "-D", "2", "-d", "2", "-H", "1"
            ]
        )
        .len()
            < 200
    );

    // A loss of about 1e-14, as those of the landscape's own words.
    let dims = gdcert::Dims {
        N: 2,
        n: 2,
        D: 4,
        d: 2,
        H: 2,
        p: 1,
    };
    let drawn =
        gdcert::Instance::random(dims, gdcert::Kernel::Softmax, gdcert::Init::Lecun, 0).unwrap();
    let mut W = drawn.W().clone();
    W.V.iter_mut().for_each(|v| *v *= 1e-7);
    let y = drawn.y().iter().map(|y| y * 1e-7).collect();
    let small = gdcert::Instance::new(gdcert::Kernel::Softmax, drawn.X().to_vec(), y, W).unwrap();
    small.write(&folder.path("small.safetensors")).unwrap();
    let said = folder.fine(&[
        "landscape",
        "--instance",
        "small.safetensors",
        "--grid",
        "5",
    ]);
    readable(&said);
    assert!(said.contains("e-15 at the centre"), "{said}");
    readable(&folder.fine(&["explain", "gdcert-out/landscape"]));
}

/// The summary of a reproduction is one file more that says what it likes.
#[test]
fn a_forged_summary_is_held_against_its_cases() {
    let (folder, _) = Folder::reproduced();
    let file = folder.path("gdcert-out/reproduce/summary.json");
    let whole = folder.json("gdcert-out/reproduce/summary.json");
    let mut json = whole.clone();
    json["claims"][0]["answer"]["says"] = "Proven: P = NP".into();
    json["claims"][0]["answer"]["verdict"] = "proven".into();
    for case in json["cases"].as_array_mut().unwrap() {
        case["verdict"] = "certified".into();
    }
    std::fs::write(&file, json.to_string()).unwrap();
    folder.fine(&["report", "gdcert-out/reproduce"]);
    let html = folder.read("gdcert-out/reproduce/report.html");
    assert!(!html.contains("P = NP"), "{html}");
    assert!(html.contains("Not re-proven here: "), "{html}");
    // A case elsewhere.
    json = whole;
    for outside in ["/etc", "../..", "readings-of-beta/../.."] {
        json["cases"][0]["folder"] = outside.into();
        std::fs::write(&file, json.to_string()).unwrap();
        let why = refused(&folder, &["report", "gdcert-out/reproduce"]);
        assert!(
            why.contains("summary.json") && why.contains("not inside"),
            "{why}"
        );
    }
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
    assert!(refused(&folder, &["completions", "tcsh"]).contains("tcsh"));
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
        (
            "landscape",
            &["is not convex", "Eigenvalues of the Hessian"],
            2,
        ),
        ("falsify", &["on an instance with", "Readings of beta"], 1),
    ] {
        let told = folder.fine(&["explain", name]);
        for word in words {
            assert!(told.contains(word), "{name}: no '{word}' in: {told}");
        }
        assert!(!told.contains('{'), "{name}: a table shows JSON: {told}");
        assert_all_valid(&folder.path(name));
        folder.fine(&["report", name]);
        let page = folder.read(&format!("{name}/report.html"));
        assert!(pictures(&page).len() >= figures, "{name}");
    }
}

/// A page is about its own folder: a crafted summary leads nowhere else, and links are not followed.
#[cfg(unix)]
#[test]
fn a_page_does_not_leave_its_folder() {
    use std::os::unix::fs::symlink;
    let folder = Folder::new();
    folder.verify(&["--steps", "3", "--out", "v"]);
    symlink(".", folder.path("v/round")).unwrap();
    symlink("/etc/hostname", folder.path("v/secret.svg")).unwrap();
    folder.fine(&["report", "v"]);
    let page = folder.read("v/report.html");
    assert!(!page.contains("secret.svg") && !page.contains("round/"));

    folder.fine(&["reproduce", "--only", "vanishing-gradient", "--out", "r"]);
    let summary = folder.read("r/summary.json");
    let json: Value = serde_json::from_str(&summary).unwrap();
    let place = json["cases"][0]["folder"].as_str().unwrap().to_owned();
    symlink("/etc", folder.path("r/out")).unwrap();
    for outside in ["/etc", "../v", "out"] {
        let crafted = summary.replace(&format!("\"{place}\""), &format!("\"{outside}\""));
        assert!(crafted != summary);
        std::fs::write(folder.path("r/summary.json"), crafted).unwrap();
        let why = refused(&folder, &["report", "r"]);
        assert!(why.contains(outside) && why.contains("not inside"), "{why}");
    }
}
