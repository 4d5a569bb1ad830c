//! Shards merged: every trial exactly once, in order.

use crate::experiment::sweep::{Lines, header, index_of};
use crate::experiment::sweep::{Plan, Row, Shard, shard_of, trials_file};
use crate::{Error, Result};
use gdcert_base::input;
use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};

/// What was merged.
#[derive(Clone, Debug)]
pub struct Merged {
    /// The shards' files, in order, with the number of rows of each.
    pub files: Vec<(String, u64)>,
    /// The instruction sets that the timings name: with more than one, the rows are those of a single run only up to
    /// rounding.
    pub instruction_sets: BTreeSet<String>,
    /// Seconds over all trials, as far as the timings know.
    pub seconds: f64,
}

/// Reads the shards of `plan` in `folder`, writes their rows in the order of the trials to `merged`, and shows each to `see`.
///
/// # Errors
/// Files that cannot be read; a shard that is missing or twice there, or rows that are missing, cut in half, or not
/// those of the plan: all named, with the mend.
pub fn merge(
    folder: &Path,
    plan: &Plan,
    merged: &mut dyn Write,
    see: &mut dyn FnMut(&Row),
) -> Result<Merged> {
    let shards = complete(folder)?;
    let mut readers = Vec::new();
    for &shard in &shards {
        let path = folder.join(trials_file(shard));
        let mut lines = Lines::of(&path)?;
        if lines.next()? != Some(header().as_bytes()) {
            return Err(Error::file(
                &path,
                "has other columns than this version writes; run its shard again with --force",
            ));
        }
        readers.push(Reader {
            path,
            shard,
            lines,
            rows: 0,
        });
    }
    let write = |e: std::io::Error| Error::write(&folder.join("trials.csv"), e);
    merged.write_all(header().as_bytes()).map_err(write)?;
    let columns = csv::StringRecord::from(header().trim_end().split(',').collect::<Vec<_>>());
    for trial in 0..plan.trials() {
        let reader = &mut readers[(trial % shards.len() as u64) as usize];
        let line = reader.row(trial)?;
        merged.write_all(line).map_err(write)?;
        let row = parse(line, &columns).map_err(|e| {
            Error::file(
                &reader.path,
                format!("trial {trial} cannot be read ({e}); run its shard again with --force"),
            )
        })?;
        check(&row, plan, &reader.path)?;
        see(&row);
    }
    let mut found = Merged {
        files: Vec::new(),
        instruction_sets: BTreeSet::new(),
        seconds: 0.0,
    };
    for mut reader in readers {
        reader.end()?;
        found.files.push((trials_file(reader.shard), reader.rows));
        found.add_timings(&folder.join(reader.shard.timings_file()));
    }
    Ok(found)
}

/// The shards of a folder: all M of one M.
fn complete(folder: &Path) -> Result<Vec<Shard>> {
    let entries = std::fs::read_dir(folder)
        .map_err(|e| Error::file(folder, format!("cannot read the folder: {e}")))?;
    let mut shards = BTreeSet::new();
    for entry in entries {
        let entry =
            entry.map_err(|e| Error::file(folder, format!("cannot read the folder: {e}")))?;
        shards.extend(shard_of(&entry.file_name().to_string_lossy()));
    }
    let Some(&first) = shards.first() else {
        return Err(Error::file(
            folder,
            "holds no trials-K-of-M.csv; run gdcert sweep with this folder as --out",
        ));
    };
    if let Some(other) = shards.iter().find(|shard| shard.of() != first.of()) {
        return Err(Error::file(
            folder,
            format!(
                "holds shards of {} and of {}, so trials would be there twice; take {} or {} out of the folder",
                first.of(),
                other.of(),
                trials_file(first),
                trials_file(*other),
            ),
        ));
    }
    let missing: Vec<_> = (1..=first.of())
        .filter_map(|k| Shard::new(k, first.of()))
        .filter(|shard| !shards.contains(shard))
        .take(6)
        .map(trials_file)
        .collect();
    if !missing.is_empty() {
        let dots = if missing.len() > 5 { " ..." } else { "" };
        return Err(Error::file(
            folder,
            format!(
                "{}{dots} {} missing; run gdcert sweep with these shards, or copy the files here",
                missing[..missing.len().min(5)].join(", "),
                if missing.len() == 1 { "is" } else { "are" },
            ),
        ));
    }
    Ok(shards.into_iter().collect())
}

struct Reader {
    path: PathBuf,
    shard: Shard,
    lines: Lines,
    rows: u64,
}

impl Reader {
    /// The next line, which has to be this trial's.
    fn row(&mut self, trial: u64) -> Result<&[u8]> {
        let Reader {
            path,
            lines,
            rows,
            shard,
        } = self;
        let (k, of) = (shard.k(), shard.of());
        let half = |lines: &Lines| {
            if lines.half {
                ", and half a row at its end"
            } else {
                ""
            }
        };
        if lines.next()?.is_none() {
            return Err(Error::file(
                path,
                format!(
                    "ends after {rows} rows{}: trial {trial} is missing; finish it with gdcert sweep --shard {k}/{of} --resume",
                    half(lines)
                ),
            ));
        }
        let line = lines.line();
        match index_of(line) {
            Some(index) if index == trial => {
                *rows += 1;
                Ok(line)
            }
            Some(index) if index < trial => Err(Error::file(
                path,
                format!(
                    "trial {index} is there twice or out of order (row {}); run gdcert sweep --shard {k}/{of} --force",
                    *rows + 1
                ),
            )),
            _ => Err(Error::file(
                path,
                format!(
                    "trial {trial} is missing (row {} is another); run gdcert sweep --shard {k}/{of} --force",
                    *rows + 1
                ),
            )),
        }
    }

    /// Nothing may follow.
    fn end(&mut self) -> Result<()> {
        let more = self.lines.next()?.is_some();
        if more || self.lines.half {
            return Err(Error::file(
                &self.path,
                format!(
                    "holds more than the {} rows of its shard; run gdcert sweep --shard {}/{} --force",
                    self.rows,
                    self.shard.k(),
                    self.shard.of()
                ),
            ));
        }
        Ok(())
    }
}

fn parse(line: &[u8], columns: &csv::StringRecord) -> std::result::Result<Row, String> {
    let mut csv = csv::ReaderBuilder::new()
        .has_headers(false)
        .from_reader(line);
    let mut record = csv::StringRecord::new();
    csv.read_record(&mut record).map_err(|e| e.to_string())?;
    if record.len() != columns.len() {
        return Err(format!(
            "it has {} cells instead of {}",
            record.len(),
            columns.len()
        ));
    }
    record.deserialize(None).map_err(|e| e.to_string())
}

/// A row of another sweep does not slip in.
fn check(row: &Row, plan: &Plan, path: &Path) -> Result<()> {
    let trial = plan.trial(row.trial);
    let same = row.dims == trial.dims
        && row.kernel == trial.kernel
        && row.trained == trial.trained
        && row.init == trial.init.name()
        && row.scale == trial.init.scale()
        && row.logit_scale == trial.logit_scale
        && row.eta_multiple == trial.eta_multiple
        && row.seed == trial.seed;
    if same {
        return Ok(());
    }
    Err(Error::file(
        path,
        format!(
            "trial {} has other settings than the configuration in run.json gives it; the file belongs to another sweep",
            row.trial
        ),
    ))
}

impl Merged {
    fn add_timings(&mut self, path: &Path) {
        // No part of the result: what cannot be read is left out.
        let Ok(file) = input::open(path) else {
            return;
        };
        let mut csv = csv::Reader::from_reader(file);
        for record in csv.records().flatten() {
            let seconds = record.get(1).and_then(|cell| cell.parse::<f64>().ok());
            self.seconds += seconds.unwrap_or(0.0);
            if let Some(name) = record.get(2)
                && !self.instruction_sets.contains(name)
            {
                self.instruction_sets.insert(name.to_owned());
            }
        }
    }
}
