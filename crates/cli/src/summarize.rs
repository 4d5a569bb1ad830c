//! `gdcert summarize`: what a sweep found.

use super::out::{OutDir, earlier, run_of};
use super::sweep::CONFIG;
use super::{Common, Outcome, interrupted, note, print, tell};
use crate::{Error, Result};
use gdcert::experiment::summary::{Merged, Statistics, merge};
use gdcert::experiment::sweep::{Plan, Row};
use gdcert_base::files::{Lock, Sharing, beside, remove, rename, same_place, write_all};
use gdcert_base::input;
use gdcert_report::plot::{Format, Look, Named, Over, sweep_figures};
use gdcert_report::sweep_tables;
use serde_json::{Value, json};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Merges a sweep's shards and says what they found, in tables and figures
///
/// Writes trials.csv, which is the same to the byte however the sweep was split, summary.json, and figures as .svg and .png:
/// phase-*, tightness-*, query-alone-*, vanishing-*. --out may be the sweep's own folder.
#[derive(clap::Args)]
#[command(
    after_help = "Example: gdcert sweep configs/ordinary.toml --out ordinary && gdcert summarize ordinary --out ordinary"
)]
pub(super) struct Args {
    /// The sweep's folder, with trials-K-of-M.csv for every K and run.json
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub(super) fn run(args: &Args, common: &Common, line: &str) -> Result<Outcome> {
    let (plan, config) = plan_of(&args.folder)?;
    let mut into = Into::open(args, common, line)?;
    let merged_path = into.path().join("trials.csv");
    let mut merged = beside(&merged_path)?;
    let mut statistics = Statistics::new(&plan);
    let mut over = Over::default();
    let mut writer = BufWriter::new(&mut merged);
    let found = merge(&args.folder, &plan, &mut writer, &mut |row| {
        statistics.add(row);
        over.add(row);
    })?;
    let written = writer.flush();
    drop(writer);
    let written = written.and_then(|()| merged.as_file().sync_all());
    written.map_err(|e| Error::write(&merged_path, e))?;
    if interrupted() {
        return Err(Error::Cancelled);
    }

    let (figures, left_out) = sweep_figures(&statistics, &over, &Look::screen());
    let mut json = summary_json(&plan, &config, &found, &statistics, line);
    json["figures"] = figures.iter().map(|(name, _)| name.as_str()).collect();
    json["figures_left_out"] = left_out.iter().map(String::as_str).collect();
    let text = format!("{json:#}\n");
    let mut files = vec![("summary.json".to_owned(), text.clone().into_bytes())];
    for (name, figure) in figures {
        files.extend(figure.files(&name, &Format::SCREEN)?);
    }
    let named = files
        .iter()
        .map(|(name, bytes)| (name.as_str(), bytes.clone()));
    into.replace(named.collect())?;
    rename(merged, &merged_path)?;
    if let [_, _, ..] = Vec::from_iter(&found.instruction_sets)[..] {
        let names: Vec<_> = found.instruction_sets.iter().cloned().collect();
        note(&format!(
            "the shards ran with different instruction sets ({}), so rows may differ by rounding from those of one machine",
            names.join(", ")
        ));
    }
    let mut words = sweep_tables(&statistics);
    for line in left_out {
        words += &format!("No figure {line}\n");
    }
    match common.json {
        true => print(&text),
        false => tell(&format!("{words}Files in {}\n", into.path().display())),
    }
    Ok(Outcome::Fine)
}

/// The figures of a sweep's folder, or of what summarize made of it.
pub(super) fn figures(folder: &Path, look: &Look) -> Result<(Vec<Named>, Vec<String>)> {
    let mut over = Over::default();
    let merged = folder.join("trials.csv");
    let statistics = if merged.is_file() {
        let config = input::json(&folder.join("summary.json"))?;
        let plan: Plan = config["config"].as_str().unwrap_or_default().parse()?;
        let mut statistics = Statistics::new(&plan);
        let wrong = |e: csv::Error| Error::file(&merged, format!("cannot be read: {e}"));
        let mut csv = csv::Reader::from_path(&merged).map_err(wrong)?;
        for record in csv.records() {
            let row: Row = record.and_then(|r| r.deserialize(None)).map_err(wrong)?;
            statistics.add(&row);
            over.add(&row);
        }
        statistics
    } else {
        let (plan, _) = plan_of(folder)?;
        let mut statistics = Statistics::new(&plan);
        merge(folder, &plan, &mut std::io::sink(), &mut |row| {
            statistics.add(row);
            over.add(row);
        })?;
        statistics
    };
    Ok(sweep_figures(&statistics, &over, look))
}

/// The plan that run.json names, with its text.
fn plan_of(folder: &Path) -> Result<(Plan, String)> {
    let Some(run) = run_of(folder) else {
        return Err(Error::file(
            folder,
            "has no run.json, so it can not be known which trials it should hold; give the folder of gdcert sweep, or copy its run.json here",
        ));
    };
    let Some(config) = run[CONFIG].as_str() else {
        return Err(Error::file(
            folder,
            "is not the folder of a sweep; give the one that gdcert sweep wrote with --out",
        ));
    };
    let plan = config
        .parse()
        .map_err(|e: Error| Error::file(&folder.join("run.json"), format!("{CONFIG}: {e}")))?;
    Ok((plan, config.to_owned()))
}

fn summary_json(
    plan: &Plan,
    config: &str,
    found: &Merged,
    statistics: &Statistics,
    line: &str,
) -> Value {
    let shards = found
        .files
        .iter()
        .map(|(file, rows)| json!({"file": file, "rows": rows}));
    let mut json = json!({
        "schema": gdcert::experiment::summary::SCHEMA,
        "version": env!("CARGO_PKG_VERSION"),
        "command": line,
        "config": config,
        "trials": plan.trials(),
        "errors": statistics.errors,
        "shards": shards.collect::<Vec<_>>(),
    });
    if let (Value::Object(json), Value::Object(more)) = (&mut json, statistics.json()) {
        json.extend(more);
    }
    json
}

/// Where the summary goes: a folder of its own, or the sweep's.
enum Into {
    Own(OutDir),
    Sweeps { path: PathBuf, _lock: Lock },
}

impl Into {
    fn open(args: &Args, common: &Common, line: &str) -> Result<Self> {
        match &common.out {
            Some(out) if same_place(out, &args.folder) => Ok(Into::Sweeps {
                path: out.clone(),
                _lock: Lock::take(out, Sharing::Alone)?,
            }),
            _ => {
                let out = OutDir::open(common, "summarize", line, None)?;
                out.spare(&args.folder, None)?;
                Ok(Into::Own(out))
            }
        }
    }

    fn path(&self) -> &Path {
        match self {
            Into::Own(out) => out.path(),
            Into::Sweeps { path, .. } => path,
        }
    }

    /// Writes files in the place of an earlier summary.
    fn replace(&mut self, files: Vec<(&str, Vec<u8>)>) -> Result<()> {
        match self {
            Into::Own(out) => out.replace(files),
            Into::Sweeps { path, .. } => {
                let earlier = earlier(path, "summarize")?;
                write_all(path, &files, &|| {
                    earlier.iter().try_for_each(|file| remove(file))
                })
            }
        }
    }
}
