//! Theorem A around a point near the orbit: the second half of Theorem 6.

use super::model::Attention;
use crate::Result;
use crate::certificate::theorem_a::Step;
use crate::certificate::{Proof, Site};
use crate::problem::Instance;
use serde::{Deserialize, Serialize};

/// Theorem A, closed with every point within `distance` of a centre as its own centre.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Tail {
    /// The step T of gradient descent that the centre is near.
    pub t: usize,
    /// The centre with the instance's data; `None` at T = 0, where it is the instance itself.
    pub centre: Option<Instance>,
    /// What holds from there on.
    pub proof: Proof,
    /// M_T must be within this of the centre (all trained blocks, Frobenius norm); 0 at T = 0.
    pub distance: f64,
    /// The centre's trained weights.
    pub(super) weights: Vec<f64>,
}

impl Tail {
    /// Tries Theorem A around these weights (`None`: M_0 itself) for every point within `least` of them at least.
    ///
    /// `Err` holds the share of the residual at which it might close, as [`Site::share_that_closes`] forecasts it.
    pub(super) fn find(
        model: &Attention,
        t: usize,
        weights: Option<Vec<f64>>,
        least: f64,
        eta: f64,
        beta: f64,
    ) -> Result<std::result::Result<Tail, f64>> {
        let centre = match &weights {
            Some(weights) => Some(model.at(weights)?),
            None => None,
        };
        let site = Site::new(centre.as_ref().unwrap_or(model.instance), model.trained);
        let distance = match centre {
            // Twice: whoever encloses the orbit again may be off by as much once more.
            Some(_) => site.slack().max(2.0 * least),
            None => 0.0,
        };
        let site = site.around(distance);
        if let Ok(proof) = site.prove(Step::Eta(eta), beta)
            && proof.covers(beta).is_ok()
        {
            return Ok(Ok(Tail {
                t,
                centre,
                proof,
                distance,
                weights: weights.unwrap_or_default(),
            }));
        }
        Ok(Err(site.share_that_closes(Step::Eta(eta), beta)))
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
    pub fn due(&self, t: usize, loss: f64) -> bool {
        loss <= self.loss || t >= self.latest
    }

    /// After a try in vain: a little below the forecast, since alpha and H change on the way.
    pub fn failed(&mut self, t: usize, loss: f64, share: f64) {
        let share = 0.98 * share;
        self.loss = share * share * loss;
        self.latest = 4 * t + 16;
    }

    /// Not before the loss has fallen a good deal.
    pub fn wait(&mut self, t: usize, loss: f64) {
        self.loss = loss / 4.0;
        self.latest = 2 * t + 16;
    }
}
