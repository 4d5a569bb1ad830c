//! Violations of a claimed bound, on tiny instances.

use super::text::{blocks_text, dyad, header};
use crate::{Error, Result};
use gdcert::certificate::Refuted;
use gdcert::problem::{Dims, Instance};
use std::fmt::Write as _;

/// The longest run: plain interval arithmetic loses about ten bits a step.
const STEPS: usize = 50;
/// The most numbers in X and the weights.
const NUMBERS: usize = 64;

/// A file that proves f_t > (1 - eta b)^t f_0 for exact gradient descent and every b >= beta with eta b <= 1.
///
/// # Errors
/// More than [`STEPS`] steps or [`NUMBERS`] numbers, or a step or beta that makes no sense.
pub(super) fn export(instance: &Instance, c: &Refuted) -> Result<String> {
    let &Refuted {
        eta,
        beta,
        t,
        trained,
        ..
    } = c;
    let Dims { N, n, D, d, H, p } = instance.dims();
    let numbers = N * n * D + 3 * H * D * d + H * d * p;
    if t > STEPS || numbers > NUMBERS {
        return Err(Error::input(format!(
            "a refutation at t = {t} with {numbers} numbers is too large for Rocq; the limits are {STEPS} steps and {NUMBERS} numbers in X and the weights"
        )));
    }
    if !(eta > 0.0 && eta.is_finite() && beta > 0.0 && eta * beta <= 1.0) {
        return Err(Error::input(format!(
            "eta = {eta} and beta = {beta} must be positive with eta beta at most 1"
        )));
    }
    let what = format!(
        "The bound with eta = {eta:e} and beta >= {beta:e} (the reading {}) is exceeded at t = {t}.",
        c.reading
    );
    let about = format!("{} (SHA-256 {}).", c.instance.file, c.instance.sha256);
    let mut text = header(&what, "Intervals Instances Refute", &about, instance);
    let _ = writeln!(
        text,
        "Definition the_eta : dyad := {}%Z.\nDefinition the_beta : dyad := {}%Z.\n\n\
         Theorem refuted : forall W : nat -> par -> R, descent {blocks} (dval the_eta) (the_weights the_instance) W ->\n  \
         forall b, dval the_beta <= b -> dval the_eta * b <= 1 ->\n  \
         loss the_instance (W {t}%nat) > (1 - dval the_eta * b) ^ {t} * loss the_instance (W 0%nat).\n\
         Proof.\n  intros W Ds b. rewrite <- !the_loss. revert W Ds b.\n  \
         apply (refute_sound (F.PtoP {precision}) the_instance {blocks} the_eta the_beta {t}). vm_cast_no_check (eq_refl true).\nQed.\n\
         Print Assumptions refuted.",
        dyad(eta),
        dyad(beta),
        blocks = blocks_text(trained),
        precision = 80 + 12 * t,
    );
    Ok(text)
}
