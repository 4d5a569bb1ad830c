//! The plan of the house, held against the code: which crate may depend on which, and that inside a crate imports run
//! one way, down the map on its front page.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What each crate may depend on, of our own.
const ALLOWED: [(&str, &[&str]); 9] = [
    ("gdcert-base", &[]),
    ("gdcert-check", &[]),
    ("gdcert-numbers", &["gdcert-base"]),
    ("gdcert-graph", &["gdcert-base", "gdcert-numbers"]),
    ("gdcert-landscape", &["gdcert-base", "gdcert-numbers"]),
    (
        "gdcert",
        &[
            "gdcert-base",
            "gdcert-check",
            "gdcert-graph",
            "gdcert-landscape",
            "gdcert-numbers",
        ],
    ),
    ("gdcert-train", &["gdcert-base", "gdcert-landscape"]),
    (
        "gdcert-report",
        &[
            "gdcert",
            "gdcert-base",
            "gdcert-check",
            "gdcert-graph",
            "gdcert-train",
        ],
    ),
    (
        "gdcert-cli",
        &[
            "gdcert",
            "gdcert-base",
            "gdcert-check",
            "gdcert-graph",
            "gdcert-landscape",
            "gdcert-report",
            "gdcert-train",
        ],
    ),
];

/// Crates of the command line and of figures: the library must do without.
const NOT_IN_THE_LIBRARY: [&str; 8] = [
    "clap",
    "indicatif",
    "askama",
    "tar",
    "png",
    "pdf-writer",
    "skrifa",
    "tiny-skia",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--no-deps",
            "--offline",
        ])
        .current_dir(root())
        .output()
        .unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn crates_depend_downwards_only() {
    let allowed: BTreeMap<&str, BTreeSet<&str>> = ALLOWED
        .iter()
        .map(|(name, on)| (*name, on.iter().copied().collect()))
        .collect();
    let metadata = metadata();
    let mut seen = BTreeSet::new();
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        let Some(allowed) = allowed.get(name) else {
            assert_eq!(name, "gdcert-python", "{name} has no place in the plan");
            continue;
        };
        seen.insert(name);
        for dependency in package["dependencies"].as_array().unwrap() {
            let on = dependency["name"].as_str().unwrap();
            if on.starts_with("gdcert") && dependency["kind"].is_null() {
                assert!(allowed.contains(on), "{name} must not depend on {on}");
            }
        }
    }
    assert_eq!(seen.len(), ALLOWED.len(), "a crate of the plan is missing");
}

#[test]
fn the_library_and_the_checker_are_light() {
    let tree = |package: &str| {
        let output = Command::new(env!("CARGO"))
            .args(["tree", "-p", package, "-e", "normal", "--prefix", "none"])
            .args(["--format", "{p}", "--offline"])
            .current_dir(root())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let names = text.lines().filter_map(|l| l.split(' ').next());
        names.map(str::to_owned).collect::<BTreeSet<String>>()
    };
    let library = tree("gdcert");
    assert!(
        library.contains("gdcert-numbers"),
        "cargo tree said nothing"
    );
    for name in NOT_IN_THE_LIBRARY {
        assert!(!library.contains(name), "the library depends on {name}");
    }
    let checker = tree("gdcert-check");
    assert!(checker.contains("serde_json"), "cargo tree said nothing");
    let ours = checker.iter().filter(|n| n.starts_with("gdcert"));
    assert_eq!(ours.collect::<Vec<_>>(), ["gdcert-check"]);
    assert!(checker.len() <= 20, "the checker rests on {checker:?}");
}

/// The modules that a front page names, in the order of its table.
fn map(front: &str) -> Vec<String> {
    let rows = front.lines().filter(|l| l.starts_with("//! |"));
    let names = rows.flat_map(|row| row.split("[`").skip(1));
    let names = names.filter_map(|rest| {
        rest.split_once('`')
            .map(|(name, _)| name.trim_start_matches("mod@").to_owned())
    });
    names.collect()
}

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
}

/// `use crate::NAME` of a file without its tests.
fn imports(text: &str) -> BTreeSet<String> {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let mut names = BTreeSet::new();
    for line in code.lines().filter(|l| !l.trim_start().starts_with("//")) {
        for rest in line.split("crate::").skip(1) {
            let name: String = rest
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            names.insert(name);
        }
    }
    names
}

#[test]
fn imports_run_down_the_map_of_a_crate() {
    let mut checked = 0;
    for source in ["src", "crates/train/src"] {
        let folder = root().join(source);
        let front = std::fs::read_to_string(folder.join("lib.rs")).unwrap();
        let map = map(&front);
        let place = |name: &str| map.iter().position(|m| m == name);
        let mut files = Vec::new();
        sources(&folder, &mut files);
        for file in files {
            let within = file.strip_prefix(&folder).unwrap();
            let first = within.components().next().unwrap();
            let first = first.as_os_str().to_str().unwrap();
            let module = first.strip_suffix(".rs").unwrap_or(first);
            let tests_only = ["soundness.rs", "proof_soundness.rs", "tests.rs"];
            if module == "lib" || tests_only.iter().any(|t| file.ends_with(t)) {
                continue;
            }
            // What the page does not name is private and stands at its end.
            let own = place(module).unwrap_or(map.len());
            for name in imports(&std::fs::read_to_string(&file).unwrap()) {
                if let Some(other) = place(&name) {
                    assert!(
                        other <= own,
                        "{}: imports {name}, which stands above {module} on the front page",
                        file.display()
                    );
                    checked += 1;
                }
            }
        }
    }
    assert!(checked > 50, "only {checked} imports were seen");
}
