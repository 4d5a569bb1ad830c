//! `gdcert certify`: prove the rate for every t.

use super::claims::ClaimArgs;
use super::instance::{InstanceArgs, READINGS, Source};
use super::model::{self, ModelArgs};
use super::orbit::OrbitArgs;
use super::out::OutDir;
use super::progress::Progress;
use super::rocq::{self, RocqFile};
use super::{Common, Outcome, one_of, print, say, tell, whole};
use crate::Result;
use gdcert::check_room;
use gdcert::descent::Steps;
use gdcert::model::Precision;
use gdcert::spectrum::Reading;
use gdcert::{Certified, Goal, best_rate, certificate_files, certify_with, search_scale};
use gdcert_report::rocq::export;
use std::path::PathBuf;

/// Proves a rate for every t, or that convergence to 0 is impossible; no run is recorded
///
/// Writes certificate.json, instance.safetensors and, for a tail, centre.safetensors. Exit code 1 if nothing could be proven, the bound is refuted, or convergence is proven impossible.
#[derive(clap::Args)]
#[command(
    after_help = "Example: gdcert certify -N 2 -n 4 -D 8 -d 4 -H 3 --init lazy --search-scale"
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
    /// What is to be proven: stacked, per_head, value, ntk or the name of a --claim
    /// [default: per_head when QKV are trained, else ntk]
    #[arg(long, value_name = "R", value_parser = one_of(&READINGS), hide_possible_values = true)]
    reading: Option<String>,
    #[command(flatten)]
    claims: ClaimArgs,
    /// Prove the largest rate that can be found at M_0, over steps and regions, whatever it was claimed to be
    #[arg(long, conflicts_with_all = ["eta", "reading", "claims", "search_scale", "tail"])]
    best_rate: bool,
    /// Find the smallest scale (omega of lazy, s of paired and constant-value) at which the proof closes at M_0 with eta L = 1/2
    #[arg(long, conflicts_with_all = ["instance", "scale", "tail", "model"])]
    search_scale: bool,
    /// Where the proof does not close at M_0, run gradient descent until it does, and enclose its exact orbit up to there
    #[arg(long)]
    tail: bool,
    /// How far the tail may begin [default: 2000]
    #[arg(long, value_name = "T", allow_negative_numbers = true, value_parser = whole::<usize>, requires = "tail")]
    steps: Option<usize>,
    #[command(flatten)]
    orbit: OrbitArgs,
    /// Also write what is proven, with a proof for the proof assistant Rocq (see gdcert rocq); --search-scale then finds a scale
    /// at which the form that Rocq checks, one ball, closes too
    #[arg(long, value_name = "FILE.v")]
    rocq: Option<PathBuf>,
}

pub(super) fn run(args: &Args, common: &Common, line: &str) -> Result<Outcome> {
    let tail = match args.tail {
        true => args.steps.unwrap_or(2000),
        false => 0,
    };
    if let Some(path) = args.model.file() {
        let goal = gdcert::graph::Goal {
            reading: args.reading.clone(),
            claims: args.claims.read()?,
            eta: args.eta.parse()?,
            tail,
            orbit: args.orbit.settings()?,
        };
        let train = args.instance.blocks();
        return model::run_certify(path, train.as_deref(), &goal, args.best_rate, common, line);
    }
    let trained = args.instance.trained()?;
    let goal = Goal {
        trained,
        reading: args.reading.clone(),
        claims: args.claims.read()?,
        eta: args.eta.parse()?,
        tail,
        orbit: args.orbit.settings()?,
    };
    goal.check()?;
    let mut source = args
        .instance
        .load(|dims| check_room(dims, trained, Steps::Exactly(0), Precision::F64))?;
    let mut out = OutDir::open(common, "certify", line, source.seed)?;
    args.instance.spare(&source, &out)?;
    let rocq = args.rocq.as_deref().map(RocqFile::new).transpose()?;
    if rocq.is_some() {
        rocq::say_what_it_takes(&source.instance, trained)?;
    }
    let mut progress = Progress::new("gradient descent", goal.tail);
    let mut observe = |t: usize| progress.step(t);

    let mut found_scale = None;
    let found = match (args.search_scale, source.init, source.seed) {
        (true, Some(init), Some(seed)) => {
            let (mut instance, mut scale, mut found) = search_scale(
                source.instance.dims(),
                source.instance.kernel(),
                init,
                seed,
                &goal,
                &mut observe,
            )?;
            if rocq.is_some() {
                let start = (instance, scale, found);
                (instance, scale, found) = rocq::scale_up(start, init, seed, &goal, &mut observe)?;
            }
            source.instance = instance;
            found_scale = matches!(found, Certified::Rate { .. }).then_some((init.name(), scale));
            found
        }
        _ if args.best_rate => best_rate(&source.instance, trained)?,
        _ => certify_with(&source.instance, &goal, &mut observe)?,
    };
    drop(progress);

    let (certificate, centre) = match &found {
        Certified::Rate {
            certificate,
            proven,
            ..
        } => (certificate, proven.centre.as_ref()),
        Certified::Obstructed(certificate) | Certified::Refuted(certificate) => (certificate, None),
        Certified::Refused(why) => {
            let help = help(args, &goal, &source);
            return not_certified(&why.condition, help, &out, rocq.as_ref(), common);
        }
    };
    let mut theorem = None;
    if let Some(file) = &rocq {
        match export(centre.unwrap_or(&source.instance), certificate)? {
            Ok(text) => theorem = Some((file, text)),
            Err(why) => {
                let help = scale_helps(args, &source);
                return not_certified(&why, help.map(str::to_owned), &out, rocq.as_ref(), common);
            }
        }
    }
    let mut files = vec![("instance.safetensors", source.instance.to_bytes()?)];
    files.extend(certificate_files(certificate, centre)?);
    out.replace(files)?;
    if let Some((file, text)) = &theorem {
        file.write(text)?;
    }
    if common.json {
        print(&format!("{:#}\n", certificate.to_json()));
    } else {
        if let Some((name, scale)) = found_scale {
            tell(&format!("Smallest scale of --init {name}: {scale:e}\n"));
        }
        if let (true, Certified::Rate { proven, .. }) = (args.best_rate, &found) {
            let (rate, eta) = (proven.proof.rate_lower(), proven.proof.eta());
            tell(&format!(
                "Largest rate found that closes at M_0: {rate:e} a step, with eta = {eta:e}\n"
            ));
        }
        tell(&format!("{}\n", certificate.statement()));
        if let Certified::Rate {
            stopped: Some(why),
            proven,
            ..
        } = &found
        {
            tell(&format!(
                "It starts at M_{} and not at M_0: {why}\n",
                proven.t
            ));
        }
        let path = out.path().display();
        tell(&format!(
            "Files in {path}; gdcert check {path}/certificate.json re-proves it\n"
        ));
        if let Some((file, _)) = &theorem {
            tell(&file.words());
        }
    }
    match found {
        Certified::Obstructed(_) | Certified::Refuted(_) => {
            let (kind, said) = (certificate.kind(), certificate.statement());
            say(&format!("gdcert: {kind}: {said}"));
            Ok(Outcome::Refuted)
        }
        Certified::Rate { .. } | Certified::Refused(_) => Ok(Outcome::Fine),
    }
}

/// Says so, and takes away what an earlier run proved: this folder is no longer about it.
fn not_certified(
    why: &str,
    help: Option<String>,
    out: &OutDir,
    rocq: Option<&RocqFile>,
    common: &Common,
) -> Result<Outcome> {
    out.clear()?;
    rocq.map_or(Ok(()), RocqFile::clear)?;
    if common.json {
        let json = serde_json::json!({"refused": why, "help": help});
        print(&format!("{json:#}\n"));
    } else {
        let help = help.map_or(String::new(), |help| format!("; {help}"));
        tell(&format!("Not certified: {why}{help}\n"));
    }
    say(&format!("gdcert: not certified: {why}"));
    Ok(Outcome::Refuted)
}

/// The flag that may help where nothing could be proven.
fn help(args: &Args, goal: &Goal, source: &Source) -> Option<String> {
    let dims = source.instance.dims();
    let missing = |reading: Reading| reading.missing_hypothesis(dims, goal.trained);
    if Reading::named(&goal.deciding()).and_then(missing).is_some() {
        return Some("choose another --reading, or other blocks with --train".to_owned());
    }
    let mut flags = Vec::new();
    if args.best_rate {
        flags.push(
            "without --best-rate, --tail seeks a later point of the run from which it closes",
        );
    } else if args.tail {
        flags.push("more --steps let the tail begin later");
    } else if !args.search_scale {
        flags.push("--tail seeks a later point of the run from which it closes");
    }
    flags.extend(scale_helps(args, source));
    (!flags.is_empty()).then(|| flags.join("; "))
}

/// How another scale is found.
fn scale_helps(args: &Args, source: &Source) -> Option<&'static str> {
    match source.init {
        Some(init) if !args.search_scale && !args.best_rate => Some(match init.scale() {
            Some(_) => "--search-scale instead of --scale finds a scale at which it closes",
            None => "--init lazy --search-scale finds an initialization at which it closes",
        }),
        _ => None,
    }
}
