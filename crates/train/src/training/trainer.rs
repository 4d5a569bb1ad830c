//! One seed: steps, and evaluations between them.

use super::{Checkpoint, Row, Settings, Split, Window};
use crate::classifier::{self, Classifier, Dropout, Parameters};
use crate::data::{Batch, Batches, Dataset, Sample, fill};
use crate::{Error, Result};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::ops::ControlFlow;
use std::time::Instant;

/// Loss and accuracy on some samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// Mean cross-entropy.
    pub loss: f64,
    /// Share of samples classified correctly.
    pub accuracy: f64,
    /// Tokens per second, padding not counted.
    pub tokens_per_second: f64,
}

/// Trains one seed from a checkpoint on.
pub struct Trainer<'a> {
    /// Where it stands; what is written to disk.
    pub at: Checkpoint,
    shift: u16,
    batches: Batches<'a>,
    batch: Batch,
    classifier: Classifier,
    gradient: Parameters,
    lr: f64,
    grad_norm: f64,
}

impl<'a> Trainer<'a> {
    /// Goes on from `at` with this data.
    ///
    /// # Errors
    /// Settings that make no run, fewer training samples than a batch has.
    pub fn new(data: &'a Dataset, at: Checkpoint) -> Result<Self> {
        let settings = &at.state.settings;
        settings.check()?;
        let architecture = settings.architecture();
        Ok(Trainer {
            shift: data.shift,
            batches: Batches::new(data, settings.padded(), settings.batch, at.state.seed)?,
            batch: Batch::default(),
            classifier: Classifier::new(&architecture)?,
            gradient: Parameters::zeros(&architecture),
            lr: 0.0,
            grad_norm: 0.0,
            at,
        })
    }

    /// Takes one step; the loss of its batch.
    ///
    /// # Errors
    /// [`Error::Numerical`] if the loss or the gradient is not finite: the parameters stay as they were.
    pub fn step(&mut self) -> Result<f64> {
        let started = Instant::now();
        let Settings { dropout, clip, .. } = self.at.state.settings;
        let (seed, t) = (self.at.state.seed, self.at.state.step);
        self.batches.at(t, &mut self.batch);
        let dropout = Dropout {
            rate: dropout,
            seed: dropout_seed(seed, t),
        };
        let batch = lend(&self.batch, &self.at.state.settings);
        let found = self.classifier.differentiate(
            &self.at.parameters,
            &batch,
            dropout,
            &mut self.gradient,
        )?;
        let squares = self.gradient.values().iter().map(|g| f64::from(*g).powi(2));
        let grad_norm = squares.sum::<f64>().sqrt();
        if !found.loss.is_finite() || !grad_norm.is_finite() {
            return Err(Error::Numerical(format!(
                "seed {seed}: loss {} and |gradient| {grad_norm} at step {t} are not finite; \
                 lower --lr, or lengthen --warmup",
                found.loss
            )));
        }
        let clip = clip as f32;
        for g in self.gradient.values_mut() {
            *g = g.clamp(-clip, clip);
        }
        self.lr = self.at.state.settings.lr_at(t);
        self.grad_norm = grad_norm;
        let Checkpoint {
            state,
            parameters,
            optimizer,
        } = &mut self.at;
        optimizer.update(parameters, &self.gradient, self.lr)?;
        state.step += 1;
        let spent = started.elapsed().as_secs_f64();
        state.seconds += spent;
        let window = &mut state.window;
        window.steps += 1;
        window.loss += found.loss;
        window.correct += found.correct;
        window.samples += self.batch.labels.len();
        window.tokens += self.batch.read();
        window.seconds += spent;
        Ok(found.loss)
    }

    /// The `train` row of the steps since the last one.
    pub(super) fn train_row(&mut self) -> Row {
        let window = std::mem::take(&mut self.at.state.window);
        let Window {
            steps,
            loss,
            correct,
            samples,
            tokens,
            seconds,
        } = window;
        Row {
            step: self.at.state.step,
            split: Split::Train,
            loss: loss / steps as f64,
            accuracy: correct as f64 / samples as f64,
            lr: Some(self.lr),
            grad_norm: Some(self.grad_norm),
            seconds: self.at.state.seconds,
            tokens_per_second: tokens as f64 / seconds,
            seed: self.at.state.seed,
        }
    }

    /// Evaluates without dropout; `each` is asked before every batch.
    ///
    /// # Errors
    /// [`Error::Cancelled`] when `each` breaks; no samples.
    pub fn evaluate(
        &mut self,
        samples: &[&Sample],
        each: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<Score> {
        let started = Instant::now();
        let (mut loss, mut correct, mut tokens) = (0.0, 0, 0);
        let settings = &self.at.state.settings;
        for chunk in samples.chunks(settings.batch) {
            if each().is_break() {
                return Err(Error::Cancelled);
            }
            let chunk = chunk.iter().copied();
            fill(&mut self.batch, chunk, self.shift, settings.padded());
            let batch = lend(&self.batch, settings);
            let found = self.classifier.evaluate(&self.at.parameters, &batch)?;
            loss += found.loss * batch.labels.len() as f64;
            correct += found.correct;
            tokens += self.batch.read();
        }
        if samples.is_empty() {
            return Err(Error::input(
                "there are no samples to evaluate on; get more data",
            ));
        }
        let spent = started.elapsed().as_secs_f64();
        self.at.state.seconds += spent;
        let count = samples.len() as f64;
        Ok(Score {
            loss: loss / count,
            accuracy: correct as f64 / count,
            tokens_per_second: tokens as f64 / spent,
        })
    }
}

fn lend<'b>(batch: &'b Batch, settings: &Settings) -> classifier::Batch<'b> {
    classifier::Batch {
        tokens: &batch.tokens,
        labels: &batch.labels,
        length: settings.padded(),
    }
}

/// Streams of the seed from here on, one to a step; those before belong to batches and parameters.
const DROPOUT: u64 = 1 << 40;

fn dropout_seed(seed: u64, t: u64) -> u64 {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(DROPOUT + t);
    rng.next_u64()
}
