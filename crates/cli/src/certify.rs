//! `gdcert certify`: prove the rate for every t.

use super::instance::InstanceArgs;
use super::out::OutDir;
use super::progress::Progress;
use super::{Common, Outcome, interrupted, print, whole};
use crate::Result;
use gdcert::check_room;
use gdcert::descent::Steps;
use gdcert::model::Precision;
use gdcert::spectrum::Reading;
use gdcert::{CERTIFICATE_FILES, Certified, Goal, certificate_files, certify, search_scale};
use std::ops::ControlFlow;

/// Proves a rate for every t, or that convergence to 0 is impossible; no run is recorded
///
/// Writes certificate.json, instance.safetensors and, for a tail, centre.safetensors. Exit code 1 if nothing could be proven.
#[derive(clap::Args)]
#[command(
    after_help = "Example: gdcert certify -N 2 -n 4 -D 8 -d 4 -H 3 --init lazy --search-scale"
)]
pub(super) struct Args {
    #[command(flatten)]
    instance: InstanceArgs,
    /// Step: auto (0.5 / |J_0|^2), certified (the one Theorem A chooses at M_0) or a number
    #[arg(
        long,
        value_name = "auto|certified|X",
        default_value = "auto",
        allow_hyphen_values = true
    )]
    eta: String,
    /// The reading whose claim is to be proven: stacked, per_head, value or ntk
    /// [default: per_head when QKV are trained, else ntk]
    #[arg(long, value_name = "R")]
    reading: Option<String>,
    /// Find the smallest scale (omega of lazy, s of paired and constant-value) at which the proof closes at M_0 with eta L = 1/2
    #[arg(long, conflicts_with_all = ["instance", "scale", "tail"])]
    search_scale: bool,
    /// Where the proof does not close at M_0, run gradient descent until it does
    #[arg(long)]
    tail: bool,
    /// How far the tail may begin [default: 2000]
    #[arg(long, value_name = "T", allow_negative_numbers = true, value_parser = whole::<usize>, requires = "tail")]
    steps: Option<usize>,
}

pub(super) fn run(args: &Args, common: &Common, line: &str) -> Result<Outcome> {
    let reading: Option<Reading> = args.reading.as_deref().map(str::parse).transpose()?;
    let trained = args.instance.trained()?;
    let goal = Goal {
        trained,
        reading,
        eta: args.eta.parse()?,
        tail: if args.tail {
            args.steps.unwrap_or(2000)
        } else {
            0
        },
    };
    let mut source = args
        .instance
        .load(|dims| check_room(dims, trained, Steps::Exactly(0), Precision::F64))?;
    let out = OutDir::open(common, "certify", line, source.seed)?;
    let mut progress = Progress::new("gradient descent", goal.tail);
    let mut observe = |t: usize| {
        progress.at(t);
        if interrupted() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };

    let mut found_scale = None;
    let found = match (args.search_scale, source.init, source.seed) {
        (true, Some(init), Some(seed)) => {
            let (instance, scale, found) = search_scale(
                source.instance.dims(),
                source.instance.kernel(),
                init,
                seed,
                &goal,
                &mut observe,
            )?;
            source.instance = instance;
            found_scale = Some((init.name(), scale));
            found
        }
        _ => certify(&source.instance, &goal, &mut observe)?,
    };
    drop(progress);

    let (certificate, centre) = match &found {
        Certified::Rate {
            certificate,
            proven,
        } => (certificate, proven.centre.as_ref()),
        Certified::Obstructed(certificate) => (certificate, None),
        Certified::Refused(why) => {
            if common.json {
                print(&format!(
                    "{:#}\n",
                    serde_json::json!({"refused": why.condition})
                ));
            } else {
                print(&format!("Not certified: {why}\n"));
            }
            return Ok(Outcome::Refuted);
        }
    };
    let mut files = vec![("instance.safetensors", source.instance.to_bytes()?)];
    files.extend(certificate_files(certificate, centre)?);
    out.write_afresh(files, &CERTIFICATE_FILES)?;
    if common.json {
        print(&format!("{:#}\n", certificate.to_json()));
    } else {
        if let Some((name, scale)) = found_scale {
            print(&format!("Smallest scale of --init {name}: {scale:e}\n"));
        }
        print(&format!("{}\n", certificate.statement()));
        let path = out.path().display();
        print(&format!(
            "Files in {path}; gdcert check {path}/certificate.json re-proves it\n"
        ));
    }
    Ok(Outcome::Fine)
}
