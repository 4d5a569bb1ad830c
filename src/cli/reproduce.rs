//! `gdcert reproduce`: the poster's theorems, claim by claim.

use super::instance::title;
use super::out::OutDir;
use super::progress::Progress;
use super::{Common, Outcome, interrupted, print};
use crate::Result;
use crate::certify::CERTIFICATE_FILES;
use crate::experiment::{Case, Experiment, experiment, experiments};
use crate::report::verification_files;
use crate::verdict::Origin;
use crate::verify::{Event, Verification, verify};
use serde_json::{Value, json};
use std::ops::ControlFlow;
use std::path::Path;

/// Runs the poster's theorems claim by claim and prints what was found
///
/// Every case gets a folder with the files `gdcert verify` writes; summary.csv and summary.json
/// gather them.
#[derive(clap::Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "Example: gdcert reproduce --only theorem-1-gaussian"
)]
pub(super) struct Args {
    /// Only this claim: theorem-1-softmax, theorem-1-gaussian, readings-of-beta or theorem-2
    #[arg(long, value_name = "CLAIM")]
    only: Option<String>,
}

pub(super) fn run(args: &Args, common: &Common, line: &str) -> Result<Outcome> {
    let chosen = match &args.only {
        Some(name) => vec![experiment(name)?],
        None => experiments(),
    };
    let out = OutDir::open(common, "reproduce", line, None)?;
    let mut rows = Vec::new();
    for experiment in &chosen {
        if !common.json {
            print(&format!(
                "\n{}\n  claim: {}\n{HEADER}",
                experiment.name, experiment.claim
            ));
        }
        for case in &experiment.cases {
            let found = run_case(experiment, case, &out)?;
            if !common.json {
                print(&table_row(case, &found));
            }
            rows.push(row(experiment, case, &found));
        }
    }
    let json = json!({
        "schema": "gdcert.reproduce/1",
        "version": env!("CARGO_PKG_VERSION"),
        "command": line,
        "cases": rows,
    });
    let text = format!("{json:#}\n");
    out.write(vec![
        ("summary.csv", summary_csv(&rows)?),
        ("summary.json", text.clone().into_bytes()),
    ])?;
    if common.json {
        print(&text);
    } else {
        print(&format!(
            "\nA violated reading refutes that reading of beta, not the theorem, which only says that some\n\
             initialization and step exist. Figures, trajectories and verdicts are in {}.\n",
            out.path().display()
        ));
    }
    Ok(Outcome::Fine)
}

fn run_case(experiment: &Experiment, case: &Case, out: &OutDir) -> Result<Verification> {
    let instance = case.instance()?;
    let settings = case.settings();
    let what = format!("{}/{}", experiment.name, case.name);
    let mut progress = Progress::new(&what, settings.steps.limit());
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
        command: case.command(),
        seed: Some(case.seed),
        init: Some(case.init),
    };
    let name = title(case.init, case.seed);
    let files = verification_files(&instance, &found, &origin, &name, case.reading)?;
    out.below(&Path::new(experiment.name).join(case.name))?
        .write_afresh(files, &CERTIFICATE_FILES)?;
    Ok(found)
}

const HEADER: &str =
    "  case                     reading   claimed rate  measured   ratio  f_T/f_0   verdict\n";

fn table_row(case: &Case, found: &Verification) -> String {
    let claim = found.claim(case.reading);
    let rate = found.measured_rates().map(|(rate, _)| rate);
    format!(
        "  {:<24} {:<9} {:<13} {:<10} {:<6} {:<9} {}\n",
        case.name,
        case.reading.name(),
        claim
            .bound(0, 1.0)
            .map_or("-".into(), |_| format!("{:.3e}", claim.rate)),
        rate.map_or("-".into(), |r| format!("{r:.3e}")),
        rate.filter(|_| claim.bound(0, 1.0).is_some())
            .map_or("-".into(), |r| format!("{:.2}", r / claim.rate)),
        format!("{:.1e}", found.last().loss / found.loss0()),
        claim.verdict,
    )
}

fn row(experiment: &Experiment, case: &Case, found: &Verification) -> Value {
    let claim = found.claim(case.reading);
    let (rate, tail_rate) = found.measured_rates().unzip();
    json!({
        "claim": experiment.name,
        "case": case.name,
        "shows": case.shows,
        "kernel": case.kernel,
        "trained": case.trained.to_string(),
        "reading": case.reading,
        "verdict": claim.verdict,
        "reason": claim.reason,
        "claimed_rate": claim.rate,
        "measured_rate": rate,
        "measured_tail_rate": tail_rate,
        "steps": found.last().t,
        "loss0": found.loss0(),
        "final_loss": found.last().loss,
        "folder": format!("{}/{}", experiment.name, case.name),
        "command": case.command(),
    })
}

fn summary_csv(rows: &[Value]) -> Result<Vec<u8>> {
    const COLUMNS: [&str; 14] = [
        "claim",
        "case",
        "kernel",
        "trained",
        "reading",
        "verdict",
        "claimed_rate",
        "measured_rate",
        "measured_tail_rate",
        "steps",
        "loss0",
        "final_loss",
        "folder",
        "command",
    ];
    let mut csv = csv::Writer::from_writer(Vec::new());
    let fail = |e: String| crate::Error::Numerical(format!("cannot form summary.csv: {e}"));
    csv.write_record(COLUMNS).map_err(|e| fail(e.to_string()))?;
    for row in rows {
        let cells = COLUMNS.map(|c| match &row[c] {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            number => number.to_string(),
        });
        csv.write_record(cells).map_err(|e| fail(e.to_string()))?;
    }
    csv.into_inner().map_err(|e| fail(e.to_string()))
}
