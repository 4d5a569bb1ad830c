//! Prefix and tail (Theorem P): gradient descent until Theorem A closes at M_T with the same step.
//!
//! A proof costs factorisations, a step does not; so a proof is tried only where it is likely to succeed. When one fails at
//! t, [`Grounds::share_that_closes`](crate::certificate::Grounds::share_that_closes) says how small the residual would have to be
//! if nothing else changed, and gradient descent runs until it is.

use crate::certificate::theorem_a::Step;
use crate::certificate::{Proven, Refusal};
use crate::descent::DIVERGED;
use crate::orbit::{Model, Run};
use crate::{Error, Result};
use std::ops::ControlFlow;

/// Nothing could be proven up to a step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NotProven {
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
pub(crate) fn prove_from(
    model: &impl Model,
    eta: f64,
    beta: f64,
    limit: usize,
    observe: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<std::result::Result<Proven<Vec<f64>>, NotProven>> {
    let mut run = model.run();
    let mut last: Option<NotProven> = None;
    // The next try: when the loss is as small as this, and at this t in any case.
    let (mut loss_wanted, mut latest) = (f64::INFINITY, 0);
    let (f0, _) = run.evaluate();
    let (mut t, mut loss) = (0, f0);
    loop {
        if observe(t).is_break() {
            return Err(Error::Cancelled);
        }
        let diverged = !loss.is_finite() || loss > DIVERGED * f0;
        if (loss <= loss_wanted || t >= latest || t == limit) && !diverged {
            let centre = (t > 0).then(|| run.weights());
            let tried = model.with_grounds(centre.as_deref(), |grounds| {
                let refusal = match grounds.prove(Step::Eta(eta), beta) {
                    Ok(proof) => match proof.covers(beta) {
                        Ok(()) => return Ok(proof),
                        Err(failure) => Refusal::Condition(failure),
                    },
                    Err(refusal) => refusal,
                };
                let share = match t < limit {
                    true => grounds.share_that_closes(Step::Eta(eta), beta),
                    false => 0.0,
                };
                Err((refusal, share))
            })?;
            match tried {
                Ok(proof) => return Ok(Ok(Proven { t, centre, proof })),
                Err((refusal, share)) => {
                    last = Some(NotProven { t, refusal });
                    // A little below the forecast: alpha and H change on the way.
                    loss_wanted = 0.98 * share * 0.98 * share * loss;
                    latest = 4 * t + 16;
                }
            }
        }
        if t == limit || diverged {
            let nothing = || NotProven {
                t,
                refusal: Refusal::NotResolved(gdcert_numbers::NotResolved::NOTHING_KNOWN),
            };
            return Ok(Err(last.unwrap_or_else(nothing)));
        }
        run.step(eta);
        (loss, _) = run.evaluate();
        t += 1;
    }
}
