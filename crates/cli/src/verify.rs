//! `gdcert verify`: does the bound hold on this instance?

use super::claims::ClaimArgs;
use super::instance::{InstanceArgs, READINGS};
use super::model::{self, ModelArgs};
use super::orbit::OrbitArgs;
use super::out::OutDir;
use super::plot::formats;
use super::progress::Progress;
use super::{Common, Outcome, one_of, say, whole};
use crate::Result;
use gdcert::certificate::called;
use gdcert::check_room;
use gdcert::descent::{End, Steps};
use gdcert::verdict::{Claim, Verdict};
use gdcert::verify::{Origin, VerdictFile};
use gdcert::verify::{Settings, verify_with};
use gdcert_report::{summary, verification_files};

const VERDICTS: [&str; 8] = [
    "certified",
    "certified_tail",
    "held",
    "violated",
    "refuted",
    "obstructed",
    "diverged",
    "not_applicable",
];

/// Runs exact gradient descent on one instance and holds every reading of beta against it
///
/// Writes verdict.json, trajectory.csv, instance.safetensors, rate-vs-bound.svg and .png, certificate.json if the bound could be proven for every t or refuted, and refuted-NAME.json for other readings and claims that are refuted.
#[derive(clap::Args)]
#[command(
    after_help = "Example: gdcert verify -N 2 -n 4 -D 8 -d 4 -H 3 --kernel gaussian --init lazy --scale 10"
)]
pub(super) struct Args {
    #[command(flatten)]
    instance: InstanceArgs,
    #[command(flatten)]
    model: ModelArgs,
    /// Step: auto (0.5 / |J_0|^2), certified (the one Theorem A chooses at M_0) or a number
    #[arg(
        long,
        value_name = "auto|certified|X",
        default_value = "auto",
        allow_hyphen_values = true,
        value_parser = one_of(&["auto", "certified"]),
        hide_possible_values = true
    )]
    eta: String,
    /// Run exactly this many steps [default: to 2000 or to the rounding floor]
    #[arg(long, value_name = "T", allow_negative_numbers = true, value_parser = whole::<usize>)]
    steps: Option<usize>,
    /// The reading that decides the exit code: stacked, per_head, value, ntk or the name of a --claim
    /// [default: per_head when QKV are trained, else ntk]
    #[arg(long, value_name = "R", value_parser = one_of(&READINGS), hide_possible_values = true)]
    reading: Option<String>,
    #[command(flatten)]
    claims: ClaimArgs,
    /// Exit with 0 if the deciding reading has one of these verdicts, else with 1
    #[arg(
        long,
        value_name = "VERDICT,VERDICT",
        value_delimiter = ',',
        value_parser = one_of(&VERDICTS),
        hide_possible_values = true
    )]
    expect: Vec<String>,
    /// Radii at which to report the curvature bound h
    #[arg(
        long,
        value_name = "R,R",
        value_delimiter = ',',
        allow_hyphen_values = true,
        default_value = "0",
        conflicts_with = "model"
    )]
    curvature_at: Vec<f64>,
    /// Arithmetic of the run: f64, or double-double (about 32 digits) for losses below f64's rounding floor
    #[arg(
        long,
        value_name = "P",
        default_value = "f64",
        value_parser = one_of(&["f64", "double-double"]),
        hide_possible_values = true,
        conflicts_with = "model"
    )]
    precision: String,
    /// Formats of the figure: svg, png, pdf; gdcert plot draws it in another size
    #[arg(
        long,
        value_name = "F,F",
        value_delimiter = ',',
        default_value = "svg,png"
    )]
    format: Vec<String>,
    #[command(flatten)]
    orbit: OrbitArgs,
}

pub(super) fn run(args: &Args, common: &Common, line: &str) -> Result<Outcome> {
    let expect: Vec<Verdict> = args
        .expect
        .iter()
        .map(|name| name.parse())
        .collect::<Result<_>>()?;
    let steps = args.steps.map_or(Steps::UpTo(2000), Steps::Exactly);
    if let Some(path) = args.model.file() {
        let settings = gdcert::graph::Settings {
            eta: args.eta.parse()?,
            steps,
            reading: args.reading.clone(),
            claims: args.claims.read()?,
            orbit: args.orbit.settings()?,
            certify: true,
        };
        let train = args.instance.blocks();
        let formats = formats(&args.format)?;
        return model::run_verify(
            path,
            train.as_deref(),
            &settings,
            &expect,
            &formats,
            common,
            line,
        );
    }
    let settings = Settings {
        trained: args.instance.trained()?,
        eta: args.eta.parse()?,
        steps,
        reading: args.reading.clone(),
        claims: args.claims.read()?,
        precision: args.precision.parse()?,
        orbit: args.orbit.settings()?,
        certify: true,
        curvature_at: args.curvature_at.clone(),
    };
    let formats = formats(&args.format)?;
    settings.check()?;
    let source = args
        .instance
        .load(|dims| check_room(dims, settings.trained, settings.steps, settings.precision))?;
    let mut out = OutDir::open(common, "verify", line, source.seed)?;
    args.instance.spare(&source, &out)?;

    let mut progress = Progress::new("gradient descent", settings.steps.limit());
    let found = verify_with(&source.instance, &settings, &mut |event| {
        progress.step(event.t())
    })?;
    drop(progress);

    let origin = Origin {
        command: line.to_owned(),
        seed: source.seed,
        init: source.init,
    };
    let deciding = settings.deciding();
    let files = verification_files(
        &source.instance,
        &found,
        &origin,
        &source.title,
        &deciding,
        &formats,
    )?;
    out.replace(files)?;
    let json = VerdictFile::new(&found, &origin, &deciding).to_text()?;
    let words = summary(&found, &source.title, &deciding);
    out.say(common, &json, &words);

    let diverged = found.trajectory.end == End::Diverged;
    Ok(outcome(
        &deciding,
        found.claim(&deciding),
        diverged,
        &expect,
    ))
}

/// What the verdict that decides means for the exit code; says why if that is bad.
pub(super) fn outcome(
    deciding: &str,
    claim: &Claim,
    diverged: bool,
    expect: &[Verdict],
) -> Outcome {
    let verdict = claim.verdict;
    match expect {
        [] if verdict.holds() && !diverged => Outcome::Fine,
        [] => {
            say(&format!(
                "gdcert: {} is {verdict}: {}",
                called(deciding),
                claim.reason
            ));
            Outcome::Refuted
        }
        expected if expected.contains(&verdict) => Outcome::Fine,
        expected => {
            let names: Vec<_> = expected.iter().map(|v| v.name()).collect();
            say(&format!(
                "gdcert: expected {} for {}, found {verdict}",
                names.join(" or "),
                called(deciding)
            ));
            Outcome::Refuted
        }
    }
}
