//! `verify --model` and `certify --model`: models of the user's own.

use super::out::OutDir;
use super::progress::Progress;
use super::{Common, Outcome, print, say, tell};
use crate::Result;
use gdcert::Certified;
use gdcert::descent::End;
use gdcert::graph::{
    Certificate, Goal, Graph, Settings, VerdictFile, best_rate, certify_with, model_files,
    verify_with,
};
use gdcert::verdict::Verdict;
use gdcert_report::plot::Format;
use gdcert_report::{model_summary, model_verification_files};
use std::path::{Path, PathBuf};

/// The flags that a model takes the place of.
const INSTANCE: [&str; 12] = [
    "samples",
    "tokens",
    "embedding",
    "head",
    "heads",
    "outputs",
    "kernel",
    "theorem",
    "init",
    "scale",
    "seed",
    "instance",
];

#[derive(clap::Args)]
pub(super) struct ModelArgs {
    /// A model of your own instead of attention: a gdcert.model/1 file, as gdcert.Model.save writes it
    #[arg(long, value_name = "FILE", conflicts_with_all = INSTANCE)]
    model: Option<PathBuf>,
}

impl ModelArgs {
    pub(super) fn file(&self) -> Option<&Path> {
        self.model.as_deref()
    }
}

/// The model of a file with the blocks that are trained; `None`: all.
fn load(path: &Path, train: Option<&[String]>) -> Result<Graph> {
    let graph = Graph::load(path)?;
    match train {
        None => Ok(graph),
        Some(names) => graph
            .training(names)
            .map_err(|e| crate::Error::input(format!("--train: {e}"))),
    }
}

/// A title for words and figures.
fn title(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}

pub(super) fn run_verify(
    path: &Path,
    train: Option<&[String]>,
    settings: &Settings,
    expect: &[Verdict],
    formats: &[Format],
    common: &Common,
    line: &str,
) -> Result<Outcome> {
    let graph = load(path, train)?;
    let deciding = settings.deciding();
    let mut out = OutDir::open(common, "verify", line, None)?;
    let mut progress = Progress::new("gradient descent", settings.steps.limit());
    let found = verify_with(&graph, settings, &mut |t| progress.step(t))?;
    drop(progress);
    let title = title(path);
    out.replace(model_verification_files(
        &graph, &found, line, &title, deciding, formats,
    )?)?;
    let json = VerdictFile::new(&graph, &found, line, deciding)?.to_text()?;
    let words = model_summary(&graph, &found, &title, deciding);
    out.say(common, &json, &words);
    let claim = found.claim(deciding);
    let diverged = found.trajectory.end == End::Diverged;
    Ok(super::verify::outcome(deciding, claim, diverged, expect))
}

/// Proves one claim, or with `best` the largest rate.
pub(super) fn run_certify(
    path: &Path,
    train: Option<&[String]>,
    goal: &Goal,
    best: bool,
    common: &Common,
    line: &str,
) -> Result<Outcome> {
    let graph = load(path, train)?;
    let mut out = OutDir::open(common, "certify", line, None)?;
    let mut progress = Progress::new("gradient descent", goal.tail);
    let found = match best {
        true => best_rate(&graph)?,
        false => certify_with(&graph, goal, &mut |t| progress.step(t))?,
    };
    drop(progress);
    let write = |out: &mut OutDir, certificate: &Certificate, centre: Option<&[f64]>| {
        let mut files = model_files(&graph)?;
        files.extend(certificate.files(&graph, centre)?);
        out.replace(files)?;
        if common.json {
            print(&format!("{:#}\n", certificate.to_json()));
        } else {
            tell(&format!("{}\n", certificate.statement()));
        }
        Ok::<(), crate::Error>(())
    };
    let (outcome, more) = match &found {
        Certified::Refused(why) => {
            out.clear()?;
            if common.json {
                let json = serde_json::json!({"refused": why.condition, "help": null});
                print(&format!("{json:#}\n"));
            } else {
                let help = match goal.tail {
                    0 => "; --tail seeks a later point of the run from which it closes",
                    _ => "; more --steps let the tail begin later",
                };
                tell(&format!("Not certified: {why}{help}\n"));
            }
            say(&format!("gdcert: not certified: {why}"));
            return Ok(Outcome::Refuted);
        }
        Certified::Rate {
            certificate,
            proven,
            stopped,
        } => {
            write(&mut out, certificate, proven.centre.as_deref())?;
            let mut more = String::new();
            if best {
                let (rate, eta) = (proven.proof.rate_lower(), proven.proof.eta());
                more = format!(
                    "Largest rate found that closes at M_0: {rate:e} a step, with eta = {eta:e}\n"
                );
            }
            if let Some(why) = stopped {
                more += &format!("It starts at M_{} and not at M_0: {why}\n", proven.t);
            }
            (Outcome::Fine, more)
        }
        Certified::Refuted(certificate) | Certified::Obstructed(certificate) => {
            write(&mut out, certificate, None)?;
            let (kind, said) = (certificate.kind(), certificate.statement());
            say(&format!("gdcert: {kind}: {said}"));
            (Outcome::Refuted, String::new())
        }
    };
    if !common.json {
        let path = out.path().display();
        tell(&format!(
            "{more}Files in {path}; gdcert check {path}/certificate.json re-proves it\n"
        ));
    }
    Ok(outcome)
}
