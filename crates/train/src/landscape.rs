//! The classifier's loss, as landscapes need it.

use crate::classifier::{self, Architecture, Classifier, Dropout, Parameters, Real};
use crate::data::{Batch, Sample, fill};
use crate::{Error, Result};
use gdcert_landscape::{Blocks, Interval, Loss, check_size};

/// Those of a classifier: the query and key weights of all its attention layers, biases left out; all
/// parameters.
pub fn classifier_blocks(architecture: &Architecture) -> Blocks {
    let (mut query, mut key, mut at) = (Vec::new(), Vec::new(), 0);
    for (name, shape) in architecture.tensors() {
        let size: usize = shape.iter().product();
        // A row of a linear layer's weight makes one output.
        let filters = (0..shape[0]).map(|row| {
            let width = size / shape[0];
            at + row * width..at + (row + 1) * width
        });
        if name.ends_with("query.weight") {
            query.extend(filters);
        } else if name.ends_with("key.weight") {
            key.extend(filters);
        }
        at += size;
    }
    Blocks {
        query,
        key,
        all: std::iter::once(0..at).collect(),
    }
}

/// The classifier's mean loss on fixed samples, without dropout.
///
/// Samples are taken a batch at a time, as evaluations in training do: on the same samples in the same batches the
/// loss is the same, bit for bit.
///
/// H v is (g(w + s v) - g(w - s v)) / 2 s with the exact gradient g. The error of that is about s^2 times the fourth
/// derivative, and the rounding error u of g over s. s |v| = u^(1/3) |w| / 400, with w the weights that v moves (|w| at
/// least 1), is far shorter than what balances both where all derivatives are of one size: where attention is sharp, high ones
/// are the larger by orders. It was chosen on an example with eigenvalues of 4 to 800, all of which it finds to 0.3 % in f32 (in f64 to
/// 1e-8); ten times as long a step misses the largest there by half. Where a ReLU of the classifier's head switches within the step, its kink
/// counts as curvature.
pub struct ClassifierLoss<T = f32> {
    classifier: Classifier<T>,
    parameters: Parameters<T>,
    gradient: Parameters<T>,
    batches: Vec<Batch>,
    length: usize,
    samples: usize,
}

impl<T: Real> ClassifierLoss<T> {
    /// On `samples`, cut or padded to `length` tokens, `batch` at a time; tokens are bytes plus `shift`.
    ///
    /// # Errors
    /// An architecture that makes no sense; no samples; a length or batch of 0, or a length beyond the
    /// architecture's positions.
    pub fn new(
        architecture: &Architecture,
        samples: &[&Sample],
        shift: u16,
        length: usize,
        batch: usize,
    ) -> Result<Self> {
        if samples.is_empty() || batch == 0 {
            return Err(Error::input(
                "there are no samples to take the loss of; give at least one",
            ));
        }
        if length == 0 || length > architecture.positions {
            return Err(Error::input(format!(
                "length {length} does not fit the checkpoint's {} positions; pass --length {0} or less",
                architecture.positions
            )));
        }
        let make = |chunk: &[&Sample]| {
            let mut made = Batch::default();
            fill(&mut made, chunk.iter().copied(), shift, length);
            made
        };
        Ok(ClassifierLoss {
            classifier: Classifier::new(architecture)?,
            parameters: Parameters::zeros(architecture),
            gradient: Parameters::zeros(architecture),
            batches: samples.chunks(batch).map(make).collect(),
            length,
            samples: samples.len(),
        })
    }

    fn set(&mut self, weights: impl ExactSizeIterator<Item = f64>) -> Result<()> {
        let values = self.parameters.values_mut();
        check_size(weights.len(), values.len())?;
        for (value, weight) in values.iter_mut().zip(weights) {
            *value = T::from_f64(weight);
        }
        Ok(())
    }

    /// Adds `share` times the gradient to `sum`.
    fn add_gradient(&mut self, share: f64, sum: &mut [f64]) -> Result<()> {
        for batch in &self.batches {
            let lent = lend(batch, self.length);
            self.classifier.differentiate(
                &self.parameters,
                &lent,
                Dropout::NONE,
                &mut self.gradient,
            )?;
            let share = share * batch.labels.len() as f64 / self.samples as f64;
            for (sum, slope) in sum.iter_mut().zip(self.gradient.values()) {
                *sum += share * slope.to_f64();
            }
        }
        Ok(())
    }
}

fn lend(batch: &Batch, length: usize) -> classifier::Batch<'_> {
    classifier::Batch {
        tokens: &batch.tokens,
        labels: &batch.labels,
        length,
    }
}

impl<T: Real> Loss for ClassifierLoss<T> {
    fn value(&mut self, weights: &[f64]) -> Result<f64> {
        self.set(weights.iter().copied())?;
        let mut loss = 0.0;
        for batch in &self.batches {
            let found = self
                .classifier
                .evaluate(&self.parameters, &lend(batch, self.length))?;
            loss += found.loss * batch.labels.len() as f64;
        }
        Ok(loss / self.samples as f64)
    }

    fn hessian_times(&mut self, weights: &[f64], v: &[f64]) -> Result<Vec<f64>> {
        check_size(v.len(), weights.len())?;
        let moved = weights.iter().zip(v).filter(|(_, v)| **v != 0.0);
        let size = moved.map(|(w, _)| w * w).sum::<f64>().sqrt();
        let length = v.iter().map(|v| v * v).sum::<f64>().sqrt();
        let mut product = vec![0.0; v.len()];
        if length == 0.0 {
            return Ok(product);
        }
        let step = self.noise().cbrt() / 400.0 * size.max(1.0) / length;
        for side in [1.0, -1.0] {
            let shifted = weights.iter().zip(v).map(|(w, v)| w + side * step * v);
            self.set(shifted)?;
            self.add_gradient(side / (2.0 * step), &mut product)?;
        }
        Ok(product)
    }

    fn hessian_enclosure(&mut self, _: &[f64], _: &[f64]) -> Result<Option<Vec<Interval>>> {
        Ok(None)
    }

    fn noise(&self) -> f64 {
        // Eight roundings. In f32 on trained checkpoints a sixteenth of it was seen with 32 samples, half of it with few.
        4.0 * T::EPSILON
    }
}
