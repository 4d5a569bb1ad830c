//! `gdcert sweep`: many instances, one row each.

use super::out::{OutDir, run_of};
use super::progress::Progress;
use super::{Common, Outcome, go_on, note, print, say, tell};
use crate::{Error, Result};
use gdcert::experiment::sweep::{Plan, Shard, ShardFile, run as carry_out, trials_file};
use gdcert_base::files::Sharing;
use gdcert_base::input;
use serde_json::json;
use std::path::PathBuf;

/// Verifies many instances from a grid or a random sample of settings, one row each
///
/// Writes trials-K-of-M.csv, timings-K-of-M.csv and run.json; gdcert summarize makes tables and figures of them. Rows do
/// not depend on threads or shards. Several shards may write into one folder.
#[derive(clap::Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "\
The configuration is a TOML file. Each of these takes a value or a list; all combinations are run:
  N, n, D, d, H, p          sizes (p: 1), also { from = 1, to = 4 }
  kernel                    \"softmax\" (default), \"gaussian\"
  trained                   \"QKV\" (default) or another subset
  init                      \"lecun\" (default), \"lazy\", \"paired\", \"constant-value\"
  scale, logit_scale, eta   also { from = 0.1, to = 10.0, count = 5 }: omega or s (1); a factor on W^Q and W^K (1); the step
                            as a multiple of 1/|J_0|^2 (0.5)
  seeds                     (0), also { from = 0, to = 99 }
and these a value:
  steps                     (2000)
  stop_at_floor             end a run at its rounding floor (true)
  certify                   seek a certificate for each trial (true), at M_0 and along the run; \"orbit\": decide every reading
                            for exact gradient descent from M_0; either takes most of the time
  sample                    { trials = 10000, seed = 0 }: as many random combinations instead of all; then ranges of
                            scale, logit_scale and eta are { from, to }, and seeds are drawn

Example: gdcert sweep configs/ordinary.toml --out ordinary && gdcert summarize ordinary"
)]
pub(super) struct Args {
    /// The configuration
    #[arg(value_name = "CONFIG.toml")]
    config: PathBuf,
    /// Run only the K-th of M parts
    #[arg(
        long,
        value_name = "K/M",
        default_value = "1/1",
        allow_hyphen_values = true
    )]
    shard: String,
    /// Go on where an interrupted run stopped
    #[arg(long)]
    resume: bool,
}

/// What `run.json` holds beside the version and the command.
pub(super) const CONFIG: &str = "config";

pub(super) fn run(args: &Args, common: &Common, line: &str) -> Result<Outcome> {
    let shard: Shard = args.shard.parse()?;
    let text = input::text(&args.config)
        .map_err(|what| Error::file(&args.config, format!("the configuration {what}")))?;
    let plan: Plan = text
        .parse()
        .map_err(|e: Error| Error::file(&args.config, e.to_string()))?;
    let total = shard.count(plan.trials());

    let mut out = OutDir::open_for(common, "sweep", line, None, Sharing::Shared)?;
    out.spare(&args.config, None)?;
    out.describe(json!({"trials": plan.trials(), CONFIG: text}));
    claim(&mut out, &plan, shard, args.resume, common.force)?;
    let mut file = match args.resume {
        true => ShardFile::resume(out.path(), shard, &plan)?,
        false => ShardFile::create(out.path(), shard)?,
    };

    let first = file.done();
    let what = match shard {
        Shard::WHOLE => "trials".to_owned(),
        _ => format!("trials of shard {}/{}", shard.k(), shard.of()),
    };
    let mut progress = Progress::of_long_steps(&what, first as usize, total as usize);
    let mut failed = 0;
    let carried_out = carry_out(&plan, shard, first, &go_on, &mut |finished| {
        file.append(&finished)?;
        failed += u64::from(finished.row.error.is_some());
        progress.at(file.done() as usize);
        Ok(())
    });
    drop(progress);
    let done = file.done();
    let resume = if args.resume { "" } else { " --resume" };
    match carried_out {
        Err(Error::Cancelled) => {
            file.close()?;
            say(&format!(
                "gdcert: stopped after {done} of {total} trials. To go on: {line}{resume}"
            ));
            return Ok(Outcome::Stopped);
        }
        Err(e @ Error::Write { .. }) => {
            return Err(Error::input(format!(
                "{e}; {done} of {total} trials are kept. To go on: {line}{resume}"
            )));
        }
        other => other?,
    }
    file.close()?;
    out.still_there()?;
    if failed > 0 {
        note(&format!(
            "{failed} trials could not be carried out; their rows say why"
        ));
    }
    if common.json {
        let found = json!({
            "schema": "gdcert.sweep/1",
            "version": env!("CARGO_PKG_VERSION"),
            "command": line,
            "trials": plan.trials(),
            "shard": {"k": shard.k(), "of": shard.of(), "rows": done},
            "file": trials_file(shard),
            "errors": failed,
        });
        print(&format!("{found:#}\n"));
    } else {
        let folder = out.path().display();
        tell(&format!(
            "{done} rows in {folder}/{}. Next: gdcert summarize {folder}\n",
            trials_file(shard)
        ));
    }
    Ok(Outcome::Fine)
}

/// Makes the folder this sweep's: it has one configuration, and finished rows are not overwritten unasked. Other shards
/// may be at it at the same time.
fn claim(out: &mut OutDir, plan: &Plan, shard: Shard, resume: bool, force: bool) -> Result<()> {
    let there = out.path().join(trials_file(shard)).exists();
    let run = run_of(out.path());
    if run.is_none() && resume && there {
        return Err(Error::file(
            out.path(),
            "has no run.json that says which sweep its trials belong to; start over with --force, or choose another --out",
        ));
    }
    if run.is_none() && out.write_new_run()? {
        return Ok(());
    }
    // There from the start, or since a moment ago by another shard.
    let is_same = |out: &OutDir| {
        let run = run_of(out.path()).unwrap_or_default();
        let earlier = run[CONFIG].as_str().map(str::parse::<Plan>);
        matches!(&earlier, Some(Ok(earlier)) if earlier == plan)
    };
    let same = is_same(out);
    if !same && (resume || !force) {
        return Err(Error::file(
            out.path(),
            "holds a sweep with another configuration; choose another --out, or start over with --force",
        ));
    }
    if there && !resume && !force {
        return Err(Error::file(
            out.path(),
            format!(
                "holds {}; add --resume to go on, --force to start over, or choose another --out",
                trials_file(shard)
            ),
        ));
    }
    if force && !resume {
        if !same {
            // Nobody may be at the other sweep any more, but another shard may have been here just now.
            let alone = out.alone();
            if !is_same(out) {
                alone?;
                out.replace(Vec::<(&str, _)>::new())?;
            }
            out.shared()?;
        }
        // A summary of rows that are about to go.
        out.remove_results_of("summarize")?;
    }
    Ok(())
}
