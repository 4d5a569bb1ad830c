//! Theorem A around a point near the orbit: the second half of Theorem 6.

use super::model::Model;
use crate::Result;
use crate::certificate::theorem_a::Step;
use crate::certificate::{Grounds, Proof};
use serde::{Deserialize, Serialize};

/// Theorem A, closed with every point within `distance` of a centre as its own centre.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Tail {
    /// The step T of gradient descent that the centre is near.
    pub t: usize,
    /// The centre's trained weights, block after block (of attention head after head, each matrix row by row); `None` at T = 0,
    /// where it is M_0.
    pub weights: Option<Vec<f64>>,
    /// What holds from there on.
    pub proof: Proof,
    /// M_T must be within this of the centre (all trained blocks, Frobenius norm); 0 at T = 0.
    pub distance: f64,
}

impl Tail {
    /// Tries Theorem A around these weights (`None`: M_0 itself) for every point within `least` of them at least.
    ///
    /// `Err` holds the share of the residual at which it might close, as [`Grounds::share_that_closes`] forecasts it.
    pub(super) fn find(
        model: &impl Model,
        t: usize,
        weights: Option<Vec<f64>>,
        least: f64,
        eta: f64,
        beta: f64,
    ) -> Result<std::result::Result<Tail, f64>> {
        let found = model.with_grounds(weights.as_deref(), |grounds: &mut dyn Grounds| {
            if weights.is_some() {
                // Twice: whoever encloses the orbit again may be off by as much once more.
                grounds.widen(grounds.slack().max(2.0 * least));
            }
            match grounds.prove(Step::Eta(eta), beta) {
                Ok(proof) if proof.covers(beta).is_ok() => Ok((proof, grounds.distance())),
                _ => Err(grounds.share_that_closes(Step::Eta(eta), beta)),
            }
        })?;
        Ok(found.map(|(proof, distance)| Tail {
            t,
            weights,
            proof,
            distance,
        }))
    }

    /// Whether the proven rate covers this beta.
    pub fn covers(&self, beta: f64) -> bool {
        self.proof.covers(beta).is_ok()
    }
}

/// When to try: a proof costs factorisations, a step does not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    /// When the loss is as small as this,
    loss: f64,
    /// and at this t in any case.
    latest: usize,
}

impl Default for Schedule {
    fn default() -> Self {
        Schedule {
            loss: f64::INFINITY,
            latest: 0,
        }
    }
}

impl Schedule {
    pub(super) fn due(&self, t: usize, loss: f64) -> bool {
        loss <= self.loss || t >= self.latest
    }

    /// After a try in vain: a little below the forecast, since alpha and H change on the way.
    pub(super) fn failed(&mut self, t: usize, loss: f64, share: f64) {
        let share = 0.98 * share;
        self.loss = share * share * loss;
        self.latest = 4 * t + 16;
    }

    /// Not before the loss has fallen a good deal.
    pub(super) fn wait(&mut self, t: usize, loss: f64) {
        self.loss = loss / 4.0;
        self.latest = 2 * t + 16;
    }
}
