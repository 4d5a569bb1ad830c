//! `gdcert reproduce`: the poster's claims, one by one.

use super::instance::title;
use super::out::OutDir;
use super::progress::Progress;
use super::{Common, Outcome, interrupted, print};
use crate::certify::CERTIFICATE_FILES;
use crate::experiment::poster::{
    Case, Experiment, Finding, Summary, VerifyCase, Work, experiment, experiments,
};
use crate::report::{PAGE, cases_table, page, paragraph, read, verification_files};
use crate::verdict::{Origin, VerdictFile};
use crate::verify::{Event, verify};
use crate::{Error, Result};
use std::ops::ControlFlow;
use std::path::Path;

/// Runs the poster's claims one by one and writes a page with the answers
///
/// Every case gets a folder with the files of the command that repeats it; summary.csv and summary.json gather them, and
/// report.html shows claim, evidence and proof.
#[derive(clap::Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "Example: gdcert reproduce --only theorem-1-gaussian"
)]
pub(super) struct Args {
    /// Only this claim: theorem-1-softmax, theorem-1-gaussian, readings-of-beta or theorem-2;
    /// the others keep what an earlier run found
    #[arg(long, value_name = "CLAIM")]
    only: Option<String>,
    /// Keep the finished cases of an interrupted run
    #[arg(long)]
    resume: bool,
}

pub(super) fn run(args: &Args, common: &Common, line: &str) -> Result<Outcome> {
    let only = args.only.as_deref().map(experiment).transpose()?;
    let out = OutDir::open(common, "reproduce", line, None)?;
    let earlier = earlier(&out);
    // Says whose folder this is, should the run be interrupted.
    out.write(Vec::new())?;
    let mut summary = Summary::new(line);
    for experiment in experiments() {
        if only
            .as_ref()
            .is_some_and(|only| only.name != experiment.name)
        {
            let kept = earlier
                .as_ref()
                .is_some_and(|e| summary.keep(&experiment, e));
            if !kept {
                summary.skip(&experiment, "left out by --only");
            }
            continue;
        }
        match run_experiment(&experiment, &out, args.resume) {
            Err(Error::Cancelled) => {
                let resume = if args.resume { "" } else { " --resume" };
                eprintln!(
                    "gdcert: stopped; the finished cases are in {}. To go on: {line}{resume}",
                    out.path().display()
                );
                return Ok(Outcome::Stopped);
            }
            found => summary.add(&experiment, found?),
        }
        if !common.json {
            say(&summary, &experiment);
        }
    }
    let text = summary.to_text()?;
    out.write(vec![
        ("summary.csv", summary.to_csv()?),
        ("summary.json", text.clone().into_bytes()),
    ])?;
    let html = page(&read(out.path())?, Path::new(""))?;
    out.write(vec![(PAGE, html.into_bytes())])?;
    if common.json {
        print(&text);
    } else {
        print(&format!(
            "\nA violated reading refutes that reading of beta, not the theorem, which only says that some\n\
             initialization and step exist. The page: {}\n",
            out.path().join(PAGE).display()
        ));
    }
    Ok(Outcome::Fine)
}

/// What an earlier run of this version left.
fn earlier(out: &OutDir) -> Option<Summary> {
    let file = out.path().join("summary.json");
    if !file.exists() {
        return None;
    }
    match Summary::read(&file) {
        Ok(summary) if summary.version == env!("CARGO_PKG_VERSION") => Some(summary),
        Ok(_) => None,
        Err(e) => {
            eprintln!("gdcert: {e}; it will be replaced");
            None
        }
    }
}

fn run_experiment(experiment: &Experiment, out: &OutDir, resume: bool) -> Result<Vec<Finding>> {
    let mut found = Vec::new();
    for case in &experiment.cases {
        if interrupted() {
            return Err(Error::Cancelled);
        }
        let finding = Finding::new(experiment, case);
        let folder = out.below(Path::new(&finding.folder))?;
        let what = format!("{}/{}", experiment.name, case.name);
        found.push(match &case.work {
            Work::Verify(run) => {
                let done = resume.then(|| finished(case, &folder)).flatten();
                let file = match done {
                    Some(file) => file,
                    None => run_verify(run, &what, &folder)?,
                };
                finding.of_verdict(&file)
            }
        });
    }
    Ok(found)
}

/// The verdict of this very case, if an earlier run of this version wrote it whole.
fn finished(case: &Case, folder: &OutDir) -> Option<VerdictFile> {
    let file = VerdictFile::read(&folder.path().join("verdict.json")).ok()?;
    (file.command == case.work.command() && file.version == env!("CARGO_PKG_VERSION"))
        .then_some(file)
}

fn run_verify(run: &VerifyCase, what: &str, folder: &OutDir) -> Result<VerdictFile> {
    let instance = run.instance()?;
    let settings = run.settings();
    let mut progress = Progress::new(what, settings.steps.limit());
    let found = verify(&instance, &settings, &mut |event| {
        match event {
            Event::Point(point) => progress.at(point.t),
            Event::Proving(t) => progress.at(t),
        }
        if interrupted() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })?;
    let origin = Origin {
        command: run.command(),
        seed: Some(run.seed),
        init: Some(run.init),
    };
    let name = title(run.init, run.seed);
    let files = verification_files(&instance, &found, &origin, &name, run.reading)?;
    folder.write_afresh(files, &CERTIFICATE_FILES)?;
    Ok(VerdictFile::new(&found, &origin, run.reading))
}

fn say(summary: &Summary, experiment: &Experiment) {
    let table = cases_table(experiment.name, summary.cases_of(experiment.name));
    let mut said = format!(
        "\n{}\n{}",
        experiment.question,
        table.without(&["shows"]).to_text()
    );
    if let Some(claim) = summary.claims.iter().find(|c| c.name == experiment.name) {
        said += &paragraph("  ", "  ", &claim.answer.says);
    }
    print(&said);
}
