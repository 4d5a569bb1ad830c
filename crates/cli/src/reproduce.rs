//! `gdcert reproduce`: the poster's claims, one by one.

use super::out::OutDir;
use super::progress::Progress;
use super::{Common, Outcome, go_on, interrupted, note, one_of, print, say, tell, within};
use crate::{Error, Result};
use gdcert::experiment::convexity::{convexity, convexity_csv};
use gdcert::experiment::poster::{
    Commands, ConvexityCase, Experiment, Finding, Preset, Summary, VerifyCase, Work,
    convexity_numbers, experiment, experiments,
};
use gdcert::model::Kernel;
use gdcert::verify::verify_with;
use gdcert::verify::{Origin, VerdictFile};
use gdcert_base::files::{remove, shell_line, write_atomic};
use gdcert_base::input;
use gdcert_base::schema::to_text;
use gdcert_report::plot::Format;
use gdcert_report::{
    PAGE, RUN, cases_table, drawn_title, page, paragraph, read, verification_files,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

const CLAIMS: [&str; 10] = [
    "theorem-1-softmax",
    "theorem-1-gaussian",
    "readings-of-beta",
    "theorem-2",
    "theorem-2-random",
    "necessity",
    "vanishing-gradient",
    "near-convex",
    "pathfinder",
    "imdb",
];

/// Runs the poster's claims one by one and writes a page with the answers
///
/// Every case gets a folder with the files of the command that repeats it; summary.csv and summary.json gather them, and
/// report.html shows claim, evidence and proof. A claim that is not run keeps what an earlier run found.
#[derive(clap::Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "Claims: theorem-1-softmax, theorem-1-gaussian, readings-of-beta, theorem-2, theorem-2-random, necessity,\n        \
                  vanishing-gradient, near-convex, pathfinder, imdb\n\n\
                  Example: gdcert reproduce --only theorem-1-gaussian"
)]
pub(super) struct Args {
    /// Only this claim (see below)
    #[arg(long, value_name = "CLAIM", value_parser = one_of(&CLAIMS), hide_possible_values = true)]
    only: Option<String>,
    /// quick (within five minutes on two cores) or paper (the poster's sizes: days)
    #[arg(
        long,
        value_name = "PRESET",
        default_value = "quick",
        value_parser = one_of(&["quick", "paper"]),
        hide_possible_values = true
    )]
    preset: String,
    /// The IMDb reviews for the claim imdb: a folder or archive; without them it is left out
    #[arg(long, value_name = "PLACE", default_value = "gdcert-out/data/imdb")]
    imdb: PathBuf,
    /// Keep the finished cases of an interrupted run
    #[arg(long)]
    resume: bool,
}

pub(super) fn run(args: &Args, common: &Common, line: &str) -> Result<Outcome> {
    let preset = args.preset.parse()?;
    let only = args
        .only
        .as_deref()
        .map(|name| experiment(name, preset))
        .transpose()?;
    let wanted = |e: &Experiment| only.as_ref().is_none_or(|only| only.name == e.name);
    let missing = |e: &Experiment| e.needs_imdb && !args.imdb.exists();
    let all = experiments(preset);
    let mut out = OutDir::open(common, "reproduce", line, None)?;
    out.spare(&args.imdb, None)?;
    let earlier = earlier(&out, preset, common.force)?;
    if preset == Preset::Paper {
        refuse_to_start_over(&out, args.resume, common.force)?;
        let minutes = all.iter().filter(|e| wanted(e)).map(|e| e.minutes).sum();
        note(&estimate(minutes));
    }
    let mut summary = Summary::new(line, preset);
    for experiment in &all {
        let why = if !wanted(experiment) {
            "left out by --only".to_owned()
        } else if missing(experiment) {
            format!(
                "there are no IMDb reviews at {}; gdcert data imdb gets them, --imdb names another place",
                args.imdb.display()
            )
        } else {
            "not reached yet".to_owned()
        };
        summary.leave_out(experiment, &why, earlier.as_ref());
    }
    // Says whose folder this is and what is in it, should the run be interrupted. The page of an earlier run goes.
    out.replace(summary_files(&summary)?)?;
    for experiment in all.iter().filter(|e| wanted(e) && !missing(e)) {
        match run_experiment(experiment, &out, args) {
            Err(Error::Cancelled) => {
                let resume = if args.resume { "" } else { " --resume" };
                say(&format!(
                    "gdcert: stopped; the finished cases are in {}. To go on: {line}{resume}",
                    out.path().display()
                ));
                return Ok(Outcome::Stopped);
            }
            found => summary.answer(experiment, found?),
        }
        out.write(summary_files(&summary)?)?;
        if !common.json {
            show(&summary, experiment);
        }
    }
    let html = page(&read(out.path())?, Path::new(""))?;
    out.write(vec![(PAGE, html.into_bytes())])?;
    if common.json {
        print(&summary.to_text()?);
        return Ok(Outcome::Fine);
    }
    let mut said = String::new();
    for left_out in &summary.not_run {
        said += &paragraph(
            "",
            "",
            &format!("Not run: {} ({}).", left_out.name, left_out.why),
        );
    }
    tell(&format!(
        "\n{said}A violated reading refutes that reading of beta, not the theorem, which only says that some\n\
         initialization and step exist. The page: {}\n",
        out.path().join(PAGE).display()
    ));
    Ok(Outcome::Fine)
}

fn summary_files(summary: &Summary) -> Result<Vec<(&'static str, Vec<u8>)>> {
    Ok(vec![
        ("summary.csv", summary.to_csv()?),
        ("summary.json", summary.to_text()?.into_bytes()),
    ])
}

/// What an earlier run of this version left; one of the other preset is not overwritten unasked.
fn earlier(out: &OutDir, preset: Preset, force: bool) -> Result<Option<Summary>> {
    let file = out.path().join("summary.json");
    if !file.exists() {
        return Ok(None);
    }
    match Summary::read(&file) {
        Ok(summary) if summary.preset != preset => match force {
            true => Ok(None),
            false => Err(Error::file(
                out.path(),
                format!(
                    "holds results of --preset {}; choose another --out, or add --force to replace them",
                    summary.preset
                ),
            )),
        },
        Ok(summary) => Ok(Some(summary).filter(|s| s.version == env!("CARGO_PKG_VERSION"))),
        Err(e) => {
            note(&format!("{e}; it will be replaced"));
            Ok(None)
        }
    }
}

fn run_experiment(experiment: &Experiment, out: &OutDir, args: &Args) -> Result<Vec<Finding>> {
    let resume = args.resume;
    let mut found = Vec::new();
    for case in &experiment.cases {
        if interrupted() {
            return Err(Error::Cancelled);
        }
        let finding = Finding::new(experiment, case, out.path(), &args.imdb);
        let mut folder = out.below(Path::new(&finding.folder))?;
        if let Some(finished) = finished(&finding, &folder).filter(|_| resume) {
            found.push(finished);
            continue;
        }
        remove(&folder.path().join(FINDING))?;
        let finding = match &case.work {
            Work::Verify(run) => {
                let what = format!("{}/{}", experiment.name, case.name);
                finding.of_verdict(&run_verify(run, &what, &mut folder)?)
            }
            Work::Convexity(case) => {
                let what = format!("{}/{}", experiment.name, finding.case);
                finding.with_numbers(run_convexity(case, &what, &mut folder)?)
            }
            Work::Commands(commands) => {
                run_commands(commands, folder.path(), &args.imdb, resume)?;
                finding.of_commands(commands, out.path())?
            }
        };
        let done = Done {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            finding,
        };
        write_atomic(&folder.path().join(FINDING), to_text(&done)?.as_bytes())?;
        found.push(done.finding);
    }
    Ok(found)
}

/// Marks a case's folder as finished.
const FINDING: &str = "finding.json";

/// The contents of `finding.json`.
#[derive(Serialize, Deserialize)]
struct Done {
    version: String,
    finding: Finding,
}

/// What this very case found, if an earlier run of this version finished it.
fn finished(wanted: &Finding, folder: &OutDir) -> Option<Finding> {
    let json = input::json(&folder.path().join(FINDING)).ok()?;
    let Done { version, finding } = serde_json::from_value(json).ok()?;
    let same = finding.command == wanted.command && version == env!("CARGO_PKG_VERSION");
    same.then_some(finding)
}

/// Days of work are not overwritten unasked.
fn refuse_to_start_over(out: &OutDir, resume: bool, force: bool) -> Result<()> {
    if resume || force || !out.path().join(RUN).is_file() {
        return Ok(());
    }
    Err(Error::file(
        out.path(),
        "holds an earlier run; add --resume to go on, --force to start over, or choose another --out",
    ))
}

fn estimate(minutes: f64) -> String {
    let time = match minutes {
        m if m < 90.0 => format!("{m:.0} minutes"),
        m if m < 48.0 * 60.0 => format!("{:.0} hours", m / 60.0),
        m => format!("{:.0} days", m / 1440.0),
    };
    format!(
        "this takes about {time} on two cores; Ctrl-C stops it cleanly, and --resume goes on where it stopped"
    )
}

/// Commands that go on where they stopped.
const RESUMABLE: [&str; 3] = ["sweep", "train", "landscape"];

/// Runs a case's commands in turn. Each writes into a folder of its own.
fn run_commands(commands: &Commands, folder: &Path, imdb: &Path, resume: bool) -> Result<()> {
    if let Some(config) = &commands.config {
        write_atomic(&folder.with_extension("toml"), config.as_bytes())?;
    }
    for mut words in commands.words(folder, imdb) {
        let started = words
            .iter()
            .position(|word| word == "--out")
            .and_then(|at| words.get(at + 1))
            .is_some_and(|place| Path::new(place).join(RUN).is_file());
        let resumable = words
            .get(1)
            .is_some_and(|c| RESUMABLE.contains(&c.as_str()));
        match (started, resumable, resume) {
            (true, true, true) => words.push("--resume".to_owned()),
            (true, ..) => words.push("--force".to_owned()),
            _ => {}
        }
        if !super::say::is_quiet() {
            say(&shell_line(words.iter().map(Into::into)));
        }
        if within(&words)? == Outcome::Stopped || interrupted() {
            return Err(Error::Cancelled);
        }
    }
    Ok(())
}

fn run_convexity(
    case: &ConvexityCase,
    what: &str,
    folder: &mut OutDir,
) -> Result<Map<String, Value>> {
    let kernels = [Kernel::Softmax, Kernel::Gaussian];
    let seeds = 0..case.seeds;
    let all: Vec<_> = seeds
        .flat_map(|seed| case.scales.iter().map(move |&omega| (omega, seed)))
        .flat_map(|(omega, seed)| kernels.map(|kernel| (kernel, omega, seed)))
        .collect();
    let mut progress = Progress::of_long_steps(what, 0, all.len());
    let mut found = Vec::new();
    for (i, (kernel, omega, seed)) in all.into_iter().enumerate() {
        progress.at(i);
        found.push(convexity(
            case.dims, kernel, omega, seed, case.steps, &mut go_on,
        )?);
    }
    let figure = gdcert_report::plot::convexity(&found);
    folder.replace(vec![
        ("near-convex.csv", convexity_csv(&found)?),
        ("near-convex.svg", figure.svg().into_bytes()),
        ("near-convex.png", figure.png()?),
    ])?;
    Ok(convexity_numbers(&found))
}

fn run_verify(run: &VerifyCase, what: &str, folder: &mut OutDir) -> Result<VerdictFile> {
    let instance = run.instance()?;
    let settings = run.settings();
    let mut progress = Progress::new(what, settings.steps.limit());
    let found = verify_with(&instance, &settings, &mut |event| progress.step(event.t()))?;
    let origin = Origin {
        command: run.command(),
        seed: Some(run.seed),
        init: Some(run.init),
    };
    let name = drawn_title(run.init, run.seed);
    let files = verification_files(
        &instance,
        &found,
        &origin,
        &name,
        run.reading.name(),
        &Format::SCREEN,
    )?;
    folder.replace(files)?;
    Ok(VerdictFile::new(&found, &origin, run.reading.name()))
}

fn show(summary: &Summary, experiment: &Experiment) {
    let mut said = format!("\n{}\n", experiment.question);
    // Of a single case the sentence says it all.
    if experiment.cases.len() > 1 {
        let table = cases_table(experiment.name, summary.cases_of(experiment.name));
        said += &table.without(&["shows"]).to_text();
    }
    if let Some(claim) = summary.claims.iter().find(|c| c.name == experiment.name) {
        said += &paragraph("  ", "  ", &claim.answer.says);
    }
    tell(&said);
}
