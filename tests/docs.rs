//! The README and docs/ can not rot: every console block is run, and every link to a file leads somewhere.
//!
//! In a block marked `console` a line `$ COMMAND` is run by sh, with lines `> MORE` as its further lines; what
//! follows is what it prints (to stderr only if it fails: progress is no result), where `[..]` is any text within
//! a line and a line `...` any lines. A page's commands share a temporary folder that holds copies of configs/ and examples/models/. A
//! command must succeed, unless the next one is `echo $?`. `DOCS=overwrite cargo test --test docs` writes what was printed into the blocks that
//! differ; look at the difference, and put the elisions back.

use rayon::prelude::*;
use snapbox::Assert;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A command of a page, and the lines of the page that it and its output take.
struct Step {
    command: String,
    output: std::ops::Range<usize>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// README.md, CONTRIBUTING.md and the pages of docs/.
fn pages() -> Vec<PathBuf> {
    let in_docs = fs::read_dir(root().join("docs")).unwrap();
    let mut pages: Vec<_> = in_docs
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "md"))
        .collect();
    pages.extend(["README.md", "CONTRIBUTING.md"].map(|name| root().join(name)));
    pages.sort();
    pages
}

fn steps(page: &[&str]) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut within = false;
    let mut k = 0;
    while k < page.len() {
        let line = page[k];
        k += 1;
        if line.starts_with("```") {
            within = line == "```console";
        } else if let Some(first) = line.strip_prefix("$ ").filter(|_| within) {
            let mut command = first.to_owned();
            while let Some(more) = page.get(k).and_then(|line| line.strip_prefix("> ")) {
                command = format!("{command}\n{more}");
                k += 1;
            }
            let ends = |line: &&str| line.starts_with("$ ") || line.starts_with("```");
            let length = page[k..].iter().position(ends).expect("the block ends");
            steps.push(Step {
                command,
                output: k..k + length,
            });
            k += length;
        } else {
            assert!(
                !within,
                "a console block begins with '$ COMMAND', not '{line}'"
            );
        }
    }
    steps
}

/// Runs a command with the exit code of the one before as its `$?`.
fn run(command: &str, before: i32, folder: &Path) -> Output {
    let program = Path::new(env!("CARGO_BIN_EXE_gdcert"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path =
        std::iter::once(program.parent().unwrap().to_owned()).chain(std::env::split_paths(&path));
    Command::new("sh")
        .arg("-c")
        .arg(format!("(exit {before})\n{command}"))
        .env("PATH", std::env::join_paths(path).unwrap())
        .current_dir(folder)
        .output()
        .unwrap()
}

fn compare(what: &str, found: &str, shown: String) -> snapbox::assert::Result<()> {
    let verbatim = Assert::new().normalize_paths(false);
    // Whole lines on both sides, so that a last `...` may also stand for none.
    let [found, shown] = [found, &shown].map(|text| match text.trim_end() {
        "" => String::new(),
        text => format!("{text}\n"),
    });
    verbatim.try_eq(Some(&what), found.into(), shown.into())
}

/// Copies the files of a folder of the project to the same place below another one.
fn copy(name: &str, folder: &Path) {
    fs::create_dir_all(folder.join(name)).unwrap();
    for entry in fs::read_dir(root().join(name)).unwrap() {
        let from = entry.unwrap().path();
        if from.is_file() {
            let to = folder.join(name).join(from.file_name().unwrap());
            fs::copy(&from, to).unwrap();
        }
    }
}

/// Runs a page's commands: how many, and what is wrong.
fn try_page(path: &Path, overwrite: bool) -> (usize, Vec<String>) {
    let mut wrong = Vec::new();
    let text = fs::read_to_string(path).unwrap();
    let mut page: Vec<_> = text.lines().collect();
    let folder = tempfile::tempdir().unwrap();
    copy("configs", folder.path());
    copy("examples/models", folder.path());
    let steps = steps(&page);
    let mut code = 0;
    let mut printed = Vec::new();
    for (k, step) in steps.iter().enumerate() {
        let output = run(&step.command, code, folder.path());
        code = output.status.code().expect("not killed");
        let what = format!("{}: $ {}", path.display(), step.command);
        let shown_next = steps
            .get(k + 1)
            .is_some_and(|next| next.command == "echo $?");
        if code != 0 && !shown_next {
            wrong.push(format!(
                "{what}\nexit code {code}, which the page does not show"
            ));
        }
        let mut found = String::from_utf8(output.stdout).unwrap();
        if code != 0 {
            found += &String::from_utf8_lossy(&output.stderr);
        }
        let shown = page[step.output.clone()].join("\n");
        if let Err(e) = compare(&what, &found, shown) {
            wrong.push(format!("{what}\n{e}"));
            printed.push((step.output.clone(), found));
        }
    }
    if overwrite && !printed.is_empty() {
        for (lines, found) in printed.iter().rev() {
            page.splice(lines.clone(), found.lines());
        }
        fs::write(path, page.join("\n") + "\n").unwrap();
    }
    (steps.len(), wrong)
}

#[test]
fn every_console_block_prints_what_it_shows() {
    let overwrite = std::env::var("DOCS").is_ok_and(|how| how == "overwrite");
    let (numbers, wrong): (Vec<_>, Vec<_>) = pages()
        .par_iter()
        .map(|path| try_page(path, overwrite))
        .unzip();
    let (number, wrong) = (numbers.iter().sum::<usize>(), wrong.concat());
    assert!(number > 30, "{number} commands: the pages were not found");
    assert!(
        wrong.is_empty(),
        "{} of {number} commands:\n\n{}",
        wrong.len(),
        wrong.join("\n\n")
    );
}

#[test]
fn every_link_leads_somewhere() {
    let mut wrong = Vec::new();
    for path in pages() {
        let text = fs::read_to_string(&path).unwrap();
        for piece in text.split("](").skip(1) {
            let link = piece.split(')').next().unwrap();
            if link.starts_with("http") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => path.clone(),
                file => path.parent().unwrap().join(file),
            };
            if !target.exists() {
                wrong.push(format!("{}: {link}", path.display()));
            } else if !anchor.is_empty() && !anchors(&target).contains(&anchor.to_owned()) {
                wrong.push(format!("{}: {link}: no such heading", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "links to nothing:\n{}", wrong.join("\n"));
}

/// The anchors that GitHub gives a page's headings.
fn anchors(page: &Path) -> Vec<String> {
    let text = fs::read_to_string(page).unwrap();
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let words = line.trim_start_matches('#').trim().to_lowercase();
            let kept = words
                .chars()
                .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

#[test]
fn a_page_that_shows_something_else_is_caught() {
    let shows = |text: &str| compare("", "1.5 of 2\nb\nc\n", text.to_owned()).is_ok();
    assert!(shows("1.5 of 2\nb\nc") && shows("[..] of 2\n...\nc"));
    assert!(shows("1.5 of 2\nb\nc\n...") && shows("..."));
    assert!(!shows("1.6 of 2\nb\nc") && !shows("[..] of 3\n...") && !shows("1.5 of 2\nb"));
    let page: Vec<_> = "```console\n$ a\n> b\nout\n$ c\n```\n```sh\n$ d\n```"
        .lines()
        .collect();
    let found = steps(&page);
    assert_eq!((found.len(), &found[0].command[..]), (2, "a\nb"));
    assert_eq!(
        (found[0].output.clone(), found[1].output.clone()),
        (3..4, 5..5)
    );
}
