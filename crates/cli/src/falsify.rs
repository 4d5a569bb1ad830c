//! `gdcert falsify`: where does a reading of beta fail?

use super::instance::{InstanceArgs, READINGS};
use super::out::{COUNTEREXAMPLE as FOLDER, LISTING, OutDir, RUN};
use super::progress::Progress;
use super::{Common, Outcome, go_on, one_of, say, whole};
use crate::Result;
use gdcert::check_room;
use gdcert::descent::Steps;
use gdcert::experiment::falsify::{
    Counterexample, DRAWS, Draw, Findings, MOVES, Search, Stage, Start, falsify_with,
};
use gdcert::model::Precision;
use gdcert::problem::{Dims, Init};
use gdcert::spectrum::Reading;
use gdcert::verify::Origin;
use gdcert_report::plot::Format;
use gdcert_report::verification_files;
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Sizes that are not given.
const SIZES: Dims = Dims {
    N: 2,
    n: 4,
    D: 8,
    d: 4,
    H: 3,
    p: 1,
};

/// Searches instances that violate a reading of beta, and shrinks what it finds to a small, readable one
///
/// Restarts draw instances at the given sizes (default 2 4 8 4 3) and below, and change the best of them at random, keeping what comes nearer to a violation. A violation is made smaller (sizes, then numbers) and counts if verify finds it violated. Writes falsify.json and, if one was found, counterexample/ with the files of verify and counterexample.txt, the numbers to read. The exit code is 0 whatever was found.
#[derive(clap::Args)]
#[command(after_help = "Example: gdcert falsify --reading stacked --kernel gaussian")]
pub(super) struct Args {
    /// The reading to violate: stacked, per_head, value or ntk
    #[arg(long, value_name = "R", value_parser = one_of(&READINGS), hide_possible_values = true)]
    reading: String,
    #[command(flatten)]
    instance: InstanceArgs,
    /// Steps of a run, at most
    #[arg(long, value_name = "T", default_value_t = 2000, allow_negative_numbers = true, value_parser = whole::<usize>)]
    steps: usize,
    /// Instances to run before giving up
    #[arg(long, value_name = "K", default_value_t = 16_384, allow_negative_numbers = true, value_parser = whole::<u64>)]
    tries: u64,
}

pub(super) fn run(args: &Args, common: &Common, line: &str) -> Result<Outcome> {
    let reading: Reading = args.reading.parse()?;
    let trained = args.instance.trained()?;
    let room = |dims| check_room(dims, trained, Steps::UpTo(args.steps), Precision::F64);
    let (start, seed) = if args.instance.file() {
        (Start::From(args.instance.load(room)?.instance), 0)
    } else {
        let law = args.instance.law(Some(SIZES))?;
        law.dims.check()?;
        room(law.dims)?;
        let (dims, kernel, init) = (law.dims, law.kernel, law.init);
        (Start::Law { dims, kernel, init }, law.seed)
    };
    let search = Search {
        start,
        trained,
        reading,
        steps: args.steps,
        tries: args.tries,
        seed,
    };
    search.check()?;
    let mut out = OutDir::open(common, "falsify", line, Some(seed))?;
    args.instance.spare_from(&out)?;

    let progress = Mutex::new((
        Progress::of_long_steps("instances", 0, args.tries as usize),
        0,
    ));
    let findings = falsify_with(&search, &|stage| {
        if stage == Stage::Tried
            && let Ok(mut shown) = progress.lock()
        {
            shown.1 += 1;
            let done = shown.1;
            shown.0.at(done);
        }
        go_on()
    })?;
    drop(progress);

    let folder = out.path().join(FOLDER);
    let json = falsify_json(&search, &findings, line, &folder);
    let text = format!("{json:#}\n");
    let mut files = match &findings.counterexample {
        Some(counterexample) => {
            let mut files = counterexample_files(&search, counterexample, line)?;
            files.push((format!("{FOLDER}/{RUN}"), out.run_text()));
            files
        }
        None => Vec::new(),
    };
    files.push(("falsify.json".to_owned(), text.clone().into_bytes()));
    let named = files
        .iter()
        .map(|(name, bytes)| (name.as_str(), bytes.clone()));
    out.replace(named.collect())?;
    out.say(common, &text, &said(&search, &findings, &folder));
    if findings.stopped {
        say(&format!(
            "gdcert: stopped before the end; the best so far was reported. To run it again: {line}"
        ));
        return Ok(Outcome::Stopped);
    }
    Ok(Outcome::Fine)
}

/// The files of a counterexample, in its folder.
fn counterexample_files(
    search: &Search,
    counterexample: &Counterexample,
    line: &str,
) -> Result<Vec<(String, Vec<u8>)>> {
    let origin = Origin {
        command: line.to_owned(),
        seed: None,
        init: None,
    };
    let title = format!("counterexample to {}", search.reading);
    let Counterexample {
        instance, found, ..
    } = counterexample;
    let mut files = verification_files(
        instance,
        found,
        &origin,
        &title,
        search.reading.name(),
        &Format::SCREEN,
    )?;
    files.push((
        LISTING.to_owned(),
        listing(search, counterexample).into_bytes(),
    ));
    Ok(files
        .into_iter()
        .map(|(name, bytes)| (format!("{FOLDER}/{name}"), bytes))
        .collect())
}

/// The command that verifies a drawn instance.
fn draw_command(search: &Search, draw: &Draw) -> Option<String> {
    let Start::Law { kernel, init, .. } = search.start else {
        return None;
    };
    Some(gdcert::experiment::verify_command(
        draw.dims,
        kernel,
        init,
        draw.seed,
        search.trained,
        search.reading,
    ))
}

/// The command that verifies the counterexample's file.
fn file_command(search: &Search, folder: &Path) -> String {
    let file: PathBuf = folder.join("instance.safetensors");
    let steps = match search.steps {
        0..=2000 => String::new(),
        more => format!(" --steps {more}"),
    };
    format!(
        "gdcert verify --instance {} --train {} --reading {}{steps}",
        file.display(),
        search.trained,
        search.reading
    )
}

fn falsify_json(search: &Search, findings: &Findings, line: &str, folder: &Path) -> Value {
    let (kernel, dims, init) = match &search.start {
        Start::Law { kernel, dims, init } => (*kernel, *dims, Some(*init)),
        Start::From(instance) => (instance.kernel(), instance.dims(), None),
    };
    let counterexample = findings.counterexample.as_ref().map(|c| {
        let claim = c.found.claim(search.reading);
        json!({
            "dims": c.instance.dims(),
            "verdict": claim.verdict,
            "rate": claim.rate,
            "first_violation": claim.first_violation,
            "min_slack": claim.min_slack,
            "not_certified": c.refusal,
            "folder": FOLDER,
            "command": file_command(search, folder),
        })
    });
    let draw = findings.draw.as_ref().map(|draw| {
        json!({
            "dims": draw.dims,
            "seed": draw.seed,
            "command": draw_command(search, draw),
        })
    });
    json!({
        "schema": "gdcert.falsify/1",
        "version": env!("CARGO_PKG_VERSION"),
        "command": line,
        "reading": search.reading,
        "kernel": kernel,
        "trained": search.trained.to_string(),
        "dims": dims,
        "init": init.map(|i| i.name()),
        "scale": init.and_then(|i| i.scale()),
        "seed": search.seed,
        "steps": search.steps,
        "tries": search.tries,
        "tried": findings.tried,
        "stopped": findings.stopped,
        "drawn": findings.drawn,
        "best": findings
            .best
            .filter(|trial| trial.slack.is_finite())
            .map(|trial| json!({"ratio": trial.ratio, "min_slack": trial.slack})),
        "smallest_draw": draw,
        "counterexample": counterexample,
    })
}

/// What was found, for a terminal.
fn said(search: &Search, findings: &Findings, folder: &Path) -> String {
    let reading = search.reading;
    let mut text = format!(
        "Claim      f_t <= (1 - eta beta)^t f_0 read with {reading}; {} trained, eta = 0.5 / |J_0|^2,\n           at most {} steps\n",
        search.trained, search.steps
    );
    if let Start::Law { dims, kernel, init } = &search.start
        && findings.drawn.instances > 0
    {
        let drawn = findings.drawn;
        let certified = match drawn.certified {
            0 => "none certified for every t".to_owned(),
            some => format!("certified for every t on {some} (never on the same)"),
        };
        let _ = writeln!(
            text,
            "Drawn      {} instances, {}, {kernel}, {dims}: {}, {certified}",
            drawn.instances,
            law(*init),
            match drawn.violated {
                0 => "violated on none".to_owned(),
                some => format!("violated on {some}"),
            },
        );
    }
    if let Some(draw) = &findings.draw
        && let Some(command) = draw_command(search, draw)
    {
        let what = match findings.drawn.violated {
            0 => "violated at smaller sizes, by this draw",
            _ => "the smallest violated draw",
        };
        let _ = writeln!(text, "           {what}: {command}");
    }
    let _ = writeln!(
        text,
        "Search     {} instances, in restarts of {DRAWS} draws and {MOVES} changes",
        findings.tried
    );
    match (&findings.counterexample, findings.best) {
        (Some(counterexample), _) => {
            text.push('\n');
            text += &listing(search, counterexample);
            text.push('\n');
            text += match reading {
                Reading::Stacked => {
                    "The bound read with per_head holds on the same run: it is the reading that fails here, not the\n\
                     theorem, which only says that some initialization and step exist.\n"
                }
                _ => {
                    "The bound does not hold for every initialization. This does not refute the theorem, which only says\n\
                     that some initialization and step exist.\n"
                }
            };
            let _ = writeln!(text, "Again: {}", file_command(search, folder));
        }
        (None, Some(best)) if best.slack.is_finite() => {
            let _ = writeln!(
                text,
                "Found      no violation. The nearest: the loss decayed {} times as fast as claimed (in the logarithm),\n           smallest log(bound_t / f_t) = {:.3e}; a violation has the first below 1, the second below 0",
                gdcert_base::number::short(best.ratio),
                best.slack
            );
        }
        _ => {
            text += "Found      no violation, and no instance on which the reading applies and could be compared\n";
        }
    }
    text
}

fn law(init: Init) -> String {
    match init.scale() {
        Some(scale) => format!(
            "{} (scale {})",
            init.name(),
            gdcert_base::number::exact(scale)
        ),
        None => init.name().to_owned(),
    }
}

/// The numbers of a counterexample, to be read by a person.
fn listing(search: &Search, counterexample: &Counterexample) -> String {
    let Counterexample {
        instance,
        found,
        refusal,
    } = counterexample;
    let claim = found.claim(search.reading);
    let beta = found.spectrum.beta(search.reading);
    let mut text = format!(
        "Counterexample to the reading {}: {} attention, {} trained, {}\n\n",
        search.reading,
        found.kernel,
        found.trained,
        instance.dims()
    );
    let W = instance.W();
    for (name, blocks) in [
        ("X", instance.X()),
        ("y", instance.y()),
        ("W^Q", &W.Q),
        ("W^K", &W.K),
        ("W^V", &W.V),
        ("W^O", &W.O),
    ] {
        text += &tensor(name, blocks);
    }
    let _ = write!(
        text,
        "\nbeta = {:.6e}, eta = {:.6e}, claimed rate eta beta = {:.6e}\n\n{:>6}  {:>13}  {:>13}\n",
        beta.value, found.trajectory.eta, claim.rate, "t", "f_t", "bound"
    );
    let violation = claim.first_violation.unwrap_or(0);
    for t in shown_steps(violation, claim.checked_to) {
        let loss = found.trajectory.points[t].loss;
        let bound = claim.bound(t, found.loss0()).unwrap_or(f64::NAN);
        let mark = if t == violation { "  violated" } else { "" };
        let _ = writeln!(text, "{t:>6}  {loss:>13.6e}  {bound:>13.6e}{mark}");
    }
    let _ = write!(
        text,
        "\nverify: {}.\nNot certified: {refusal}\n",
        claim.reason
    );
    text
}

/// A few steps around the first violation and beyond.
fn shown_steps(violation: usize, last: usize) -> Vec<usize> {
    let mut steps = vec![0, violation.saturating_sub(1), violation, violation + 1];
    steps.extend([2 * violation, 5 * violation, last]);
    steps.retain(|&t| t <= last);
    steps.sort_unstable();
    steps.dedup();
    steps
}

/// One tensor, a block a row: `W^Q_1 = [1 0; 0 2]`, rows apart by semicolons; zero if all are.
fn tensor(name: &str, blocks: &[gdcert::nalgebra::DMatrix<f64>]) -> String {
    let mut text = String::new();
    if blocks.iter().all(|block| block.iter().all(|&x| x == 0.0)) {
        return format!("{name:<6} = 0\n");
    }
    for (b, block) in blocks.iter().enumerate() {
        let label = format!("{name}_{}", b + 1);
        let rows: Vec<_> = block
            .row_iter()
            .map(|row| {
                let entries: Vec<_> = row.iter().map(|&x| number(x)).collect();
                entries.join(" ")
            })
            .collect();
        let _ = writeln!(text, "{label:<6} = [{}]", rows.join("; "));
    }
    text
}

/// The shortest decimal that reads back as `x`.
fn number(x: f64) -> String {
    let (plain, scientific) = (format!("{x}"), format!("{x:e}"));
    if scientific.len() < plain.len() {
        scientific
    } else {
        plain
    }
}
