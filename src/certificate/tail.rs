//! Prefix and tail (Theorem P): gradient descent until Theorem A closes at M_T with the same step.
//!
//! A proof costs factorisations, a step does not; so a proof is tried only where it is likely to succeed. When one fails at
//! t, [`Grounds::share_that_closes`] says how small the residual would have to be if nothing else changed, and gradient descent runs until it is.

use super::theorem_a::Step;
use super::{Grounds, Proof, Refusal, Site};
use crate::descent::{DIVERGED, Stepper};
use crate::model::Trained;
use crate::problem::Instance;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;

/// A proof and where it starts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Proven<C = Instance> {
    /// The step T of the centre M_T.
    pub t: usize,
    /// M_T with the instance's data (of another model its weights); `None` at T = 0, where it is the instance itself.
    pub centre: Option<C>,
    /// What holds from there on.
    pub proof: Proof,
}

/// Nothing could be proven up to a step.
#[derive(Clone, Copy, Debug)]
pub struct NotProven {
    /// The last t at which a proof was tried.
    pub t: usize,
    /// What failed there.
    pub refusal: Refusal,
}

/// Looks for the first t <= `limit`, nearly, at which a rate that covers `beta` is proven for every later step of gradient
/// descent with step `eta`. `observe` sees every t, and stops the search by breaking.
///
/// # Errors
/// [`Error::Cancelled`]; weights that overflow f64.
pub fn prove_from(
    instance: &Instance,
    trained: Trained,
    eta: f64,
    beta: f64,
    limit: usize,
    observe: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<std::result::Result<Proven, NotProven>> {
    let mut stepper = Stepper::new(instance, trained);
    let mut last: Option<NotProven> = None;
    // The next try: when the loss is as small as this, and at this t in any case.
    let (mut loss_wanted, mut latest) = (f64::INFINITY, 0);
    let f0 = stepper.evaluate();
    let (mut t, mut loss) = (0, f0);
    loop {
        if observe(t).is_break() {
            return Err(Error::Cancelled);
        }
        let diverged = !loss.is_finite() || loss > DIVERGED * f0;
        if (loss <= loss_wanted || t >= latest || t == limit) && !diverged {
            let centre = match t {
                0 => None,
                _ => Some(instance.clone().with_weights(stepper.weights())?),
            };
            let site = Site::new(centre.as_ref().unwrap_or(instance), trained);
            let refusal = match site.prove(Step::Eta(eta), beta) {
                Ok(proof) => match proof.covers(beta) {
                    Ok(()) => return Ok(Ok(Proven { t, centre, proof })),
                    Err(failure) => Refusal::Condition(failure),
                },
                Err(refusal) => refusal,
            };
            last = Some(NotProven { t, refusal });
            if t < limit {
                // A little below the forecast: alpha and H change on the way.
                let share = 0.98 * site.share_that_closes(Step::Eta(eta), beta);
                loss_wanted = share * share * loss;
                latest = 4 * t + 16;
            }
        }
        if t == limit || diverged {
            let nothing = || NotProven {
                t,
                refusal: Refusal::NotResolved(gdcert_numbers::NotResolved::NOTHING_KNOWN),
            };
            return Ok(Err(last.unwrap_or_else(nothing)));
        }
        stepper.step(eta);
        loss = stepper.evaluate();
        t += 1;
    }
}
