//! A run over several seeds, whose files let it go on after any interruption.
//!
//! Rows are on disk before the checkpoint that comes after them. So a checkpoint at step s is always beside
//! the rows up to s; what was measured later is measured again, with the same result.

use super::metrics::{self, Row};
use super::tensorboard::{self, Board};
use super::{Checkpoint, Settings, Split, Trainer};
use crate::classifier::Parameters;
use crate::data::{Dataset, Sample};
use crate::{Error, Result};
use gdcert_base::files::{remove_abandoned, write_atomic};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// The rows of a run.
const METRICS: &str = "metrics.csv";

/// What a run is given.
#[derive(Clone, Copy)]
pub struct Run<'a> {
    /// How to train.
    pub settings: &'a Settings,
    /// On what.
    pub data: &'a Dataset,
    /// Where metrics.csv and checkpoint-SEED.safetensors go.
    pub folder: &'a Path,
    /// Go on from the checkpoints that are there, instead of starting over.
    pub resume: bool,
    /// Start from these parameters instead of random ones.
    pub from: Option<&'a Parameters>,
}

/// What a run tells while it goes on.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// So many steps are done, of all seeds' `settings.steps` together; and the mean loss of the last of them, as far as they
    /// are not in a row yet.
    Steps(u64, Option<f64>),
    /// Something was measured.
    Measured(&'a Row),
    /// Between two batches of an evaluation.
    Evaluating,
}

impl Run<'_> {
    /// Whether [`run`] can begin: it writes nothing.
    ///
    /// # Errors
    /// Settings or data that make no run; a checkpoint of another run or other data.
    pub fn check(&self) -> Result<()> {
        self.settings.check()?;
        if self.resume && self.folder.join(METRICS).exists() {
            metrics::read_metrics(&self.folder.join(METRICS))?;
        }
        for &seed in &self.settings.seeds {
            Trainer::new(self.data, self.begin(seed)?.0)?;
        }
        Ok(())
    }

    /// Where a seed begins, and whether an earlier checkpoint is there.
    fn begin(&self, seed: u64) -> Result<(Checkpoint, bool)> {
        let file = checkpoint_file(self.folder, seed);
        let fingerprint = self.data.fingerprint();
        match self.resume && file.exists() {
            true => Ok((earlier(&file, self, seed, &fingerprint)?, true)),
            false => {
                let samples = self.data.train.len();
                let mut start = Checkpoint::start(self.settings, seed, samples, self.from);
                start.state.data = Some(fingerprint);
                Ok((start, false))
            }
        }
    }
}

/// Trains every seed and gives all rows.
///
/// # Errors
/// Settings or data that make no run; a checkpoint of another run or other data; a loss that is
/// not finite.
pub fn run(run: &Run) -> Result<Vec<Row>> {
    run_with(run, &mut |_| ControlFlow::Continue(()))
}

/// As [`run()`], telling `each` what happens.
///
/// # Errors
/// As [`run()`]; [`Error::Cancelled`] when `each` breaks: then the last step is in a checkpoint.
pub fn run_with(run: &Run, each: &mut dyn FnMut(Event) -> ControlFlow<()>) -> Result<Vec<Row>> {
    let settings = run.settings;
    settings.check()?;
    let choosing = settings.val_fraction > 0.0;
    let held_out = settings.dev || choosing;
    let part = |held_out| match held_out {
        true => &run.data.dev,
        false => &run.data.test,
    };
    let all: Vec<&Sample> = part(settings.dev).iter().collect();
    let choice = Dataset::choice(part(held_out), settings.eval_samples);
    if run.resume {
        remove_abandoned(run.folder)?;
    }
    if !run.resume {
        tensorboard::clear(run.folder)?;
    }
    let mut rows = if run.resume && run.folder.join(METRICS).exists() {
        metrics::read_metrics(&run.folder.join(METRICS))?
    } else {
        Vec::new()
    };
    // A run that was at its end and now goes on has not seen its end.
    rows.retain(|row| row.split != Split::Final || row.step == settings.steps);
    for (before, &seed) in settings.seeds.iter().enumerate() {
        let file = checkpoint_file(run.folder, seed);
        let (at, there) = run.begin(seed)?;
        rows.retain(|row| row.seed != seed || (there && row.step <= at.state.step));
        Seed {
            trainer: Trainer::new(run.data, at)?,
            file,
            folder: run.folder,
            rows: &mut rows,
            steps_before: (before as u64).saturating_mul(settings.steps),
            choice: &choice,
            all: &all,
            split: if held_out { Split::Dev } else { Split::Test },
            best: choosing.then(|| best_file(run.folder, seed)),
            board: Board::open(run.folder, seed)?,
        }
        .run(each)?;
    }
    Ok(rows)
}

/// `checkpoint-SEED.safetensors`.
pub(crate) fn checkpoint_file(folder: &Path, seed: u64) -> PathBuf {
    folder.join(format!("checkpoint-{seed}.safetensors"))
}

/// `best-SEED.safetensors`: the checkpoint with the best accuracy on the samples that were held out.
fn best_file(folder: &Path, seed: u64) -> PathBuf {
    folder.join(format!("best-{seed}.safetensors"))
}

/// The row of the best evaluation on held-out samples: the highest accuracy, then the lowest loss, then the first.
pub fn best(rows: &[Row], seed: u64) -> Option<&Row> {
    let mut best: Option<&Row> = None;
    for row in rows
        .iter()
        .filter(|r| r.seed == seed && r.split == Split::Dev)
    {
        let better = |b: &Row| {
            row.accuracy > b.accuracy || (row.accuracy == b.accuracy && row.loss < b.loss)
        };
        if best.is_none_or(better) {
            best = Some(row);
        }
    }
    best
}

/// The checkpoint to go on from, if it belongs to this run; which may have more steps than were planned then.
fn earlier(file: &Path, run: &Run, seed: u64, data: &str) -> Result<Checkpoint> {
    let mut at = Checkpoint::read(file)?;
    let state = &mut at.state;
    state.settings.steps = state.settings.steps.max(run.settings.steps);
    if let Some((name, here, there)) = run.settings.difference(&state.settings)? {
        return Err(Error::file(
            file,
            format!(
                "was trained with {name} = {there}, not {here}; use the same settings, or another --out"
            ),
        ));
    }
    if state.seed != seed || state.samples != run.data.train.len() {
        return Err(Error::file(
            file,
            format!(
                "belongs to seed {} and {} training samples, not to seed {seed} and {}; use the same data, \
                 or another --out",
                state.seed,
                state.samples,
                run.data.train.len()
            ),
        ));
    }
    if state.data.as_deref().is_some_and(|there| there != data) {
        return Err(Error::file(
            file,
            "was trained on other data (their SHA-256 differs); use the same data, or another --out",
        ));
    }
    Ok(at)
}

/// One seed of a run.
struct Seed<'a, 'r> {
    trainer: Trainer<'a>,
    file: PathBuf,
    folder: &'a Path,
    rows: &'r mut Vec<Row>,
    steps_before: u64,
    choice: &'r [&'a Sample],
    all: &'r [&'a Sample],
    /// What the choice is of.
    split: Split,
    /// Where the best checkpoint is kept, if there are samples to choose it by.
    best: Option<PathBuf>,
    board: Board,
}

impl Seed<'_, '_> {
    fn run(mut self, each: &mut dyn FnMut(Event) -> ControlFlow<()>) -> Result<()> {
        match self.steps(each) {
            Err(Error::Cancelled) => {
                self.save()?;
                Err(Error::Cancelled)
            }
            done => done,
        }
    }

    fn steps(&mut self, each: &mut dyn FnMut(Event) -> ControlFlow<()>) -> Result<()> {
        let seed = self.trainer.at.state.seed;
        self.board
            .restart(self.rows.iter().filter(|row| row.seed == seed))?;
        let settings = self.trainer.at.state.settings.clone();
        loop {
            let step = self.trainer.at.state.step;
            let last = step == settings.steps;
            if step.is_multiple_of(settings.eval_every) || last {
                self.evaluate(self.split, each)?;
                self.keep_if_best()?;
            }
            if last {
                self.evaluate(Split::Final, each)?;
            }
            if step > 0 && (step.is_multiple_of(settings.checkpoint_every) || last) {
                self.save()?;
            }
            if last {
                return Ok(());
            }
            let window = &self.trainer.at.state.window;
            let loss = (window.steps > 0).then(|| window.loss / window.steps as f64);
            let done = Event::Steps(self.steps_before.saturating_add(step), loss);
            if each(done).is_break() {
                return Err(Error::Cancelled);
            }
            self.trainer.step()?;
            if (step + 1).is_multiple_of(settings.log_every) {
                let row = self.trainer.train_row();
                self.add(row, each)?;
            }
        }
    }

    /// Adds the row of an evaluation, unless it is there from before an interruption.
    fn evaluate(
        &mut self,
        split: Split,
        each: &mut dyn FnMut(Event) -> ControlFlow<()>,
    ) -> Result<()> {
        let (seed, step) = (self.trainer.at.state.seed, self.trainer.at.state.step);
        let same = |row: &&Row| row.seed == seed && row.step == step && row.split != Split::Train;
        if self.rows.iter().filter(same).any(|row| row.split == split) {
            return Ok(());
        }
        let known = self.rows.iter().rfind(same).cloned();
        let row = match known {
            // The choice was everything.
            Some(row) if self.best.is_none() && self.choice.len() == self.all.len() => {
                Row { split, ..row }
            }
            _ => {
                let samples = match split {
                    Split::Final => self.all,
                    _ => self.choice,
                };
                // Chosen parameters are the ones that are tested; training goes on, or ends, with the last ones.
                let mut other = match (&self.best, split) {
                    (Some(file), Split::Final) => {
                        let settings = &self.trainer.at.state.settings;
                        Some(Checkpoint::read_parameters(file, settings)?)
                    }
                    _ => None,
                };
                if let Some(best) = &mut other {
                    std::mem::swap(&mut self.trainer.at.parameters, best);
                }
                let score = self
                    .trainer
                    .evaluate(samples, &mut || each(Event::Evaluating));
                if let Some(last) = &mut other {
                    std::mem::swap(&mut self.trainer.at.parameters, last);
                }
                let score = score?;
                Row {
                    step,
                    split,
                    loss: score.loss,
                    accuracy: score.accuracy,
                    lr: None,
                    grad_norm: None,
                    seconds: self.trainer.at.state.seconds,
                    tokens_per_second: score.tokens_per_second,
                    seed,
                }
            }
        };
        self.add(row, each)?;
        self.write_rows()
    }

    /// Keeps the checkpoint if this evaluation on held-out samples is the best so far.
    fn keep_if_best(&self) -> Result<()> {
        let state = &self.trainer.at.state;
        match (&self.best, best(self.rows, state.seed)) {
            (Some(file), Some(row)) if row.step == state.step => {
                write_atomic(file, &self.trainer.at.to_bytes()?)
            }
            _ => Ok(()),
        }
    }

    fn add(&mut self, row: Row, each: &mut dyn FnMut(Event) -> ControlFlow<()>) -> Result<()> {
        // Breaking is for the next step to notice: this row counts.
        let _ = each(Event::Measured(&row));
        self.board.add(&row)?;
        self.rows.push(row);
        Ok(())
    }

    fn write_rows(&self) -> Result<()> {
        write_atomic(&self.folder.join(METRICS), &metrics::to_csv(self.rows)?)
    }

    fn save(&self) -> Result<()> {
        self.write_rows()?;
        write_atomic(&self.file, &self.trainer.at.to_bytes()?)
    }
}
