//! The step of gradient descent: as it is asked for, and as a number.

use crate::bounds::nothing_moves;
use crate::certificate::Site;
use crate::spectrum::{Estimate, jacobian_norm_in_double_double};
use crate::{Error, Result};
use gdcert_base::input::same_word;
use std::str::FromStr;

/// The step of gradient descent.
///
/// A step that divides by |J_0| is that number or an error, never another one: where the error of the computed |J_0| is not
/// small, it is computed in double-double, then enclosed. Where J_0 = 0 by structure (no value depends on its token, W^O = 0, ...) nothing moves whatever
/// the step, and 1 is taken; the claims' reasons say so.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Eta {
    /// 0.5 / |J_0|^2.
    Auto,
    /// The step that Theorem A chooses at M_0: 1/2 over L, the smoothness that the proof finds.
    Certified,
    /// This multiple of 1 / |J_0|^2.
    Relative(f64),
    /// This number.
    Fixed(f64),
}

/// eta L of a step that Theorem A chooses. Below 1, so that the proven rate can cover beta = alpha_c^2; a half leaves
/// room on both sides.
pub(crate) const THETA: f64 = 0.5;

/// eta |J_0|^2 of [`Eta::Auto`].
pub(crate) const AUTO: f64 = 0.5;

/// The step where nothing moves, or where none is taken.
pub(crate) const ANY_STEP: f64 = 1.0;

impl Eta {
    /// [`Eta::Auto`] as a number.
    pub(crate) fn auto(site: &Site, jacobian_norm: &mut Estimate) -> Result<f64> {
        Eta::relative(AUTO, site, jacobian_norm)
    }

    /// [`Eta::Relative`] as a number. Where the computed |J_0| is not known well enough, it is replaced by its enclosure.
    ///
    /// # Errors
    /// Rounding hides |J_0|, or the step is no f64 above 0.
    pub(crate) fn relative(
        multiple: f64,
        site: &Site,
        jacobian_norm: &mut Estimate,
    ) -> Result<f64> {
        if nothing_moves(site.instance(), site.trained()) {
            return Ok(ANY_STEP);
        }
        // NaN is not known well either.
        let known = |norm: &Estimate| norm.error <= SURE * norm.value && norm.value > 0.0;
        if !known(jacobian_norm)
            && let Some(finer) = jacobian_norm_in_double_double(site.instance(), site.trained())
            && known(&finer)
        {
            *jacobian_norm = finer;
        }
        if !known(jacobian_norm) {
            let norm = site.enclosure().jacobian_norm();
            if !(norm.lo() > 0.0 && norm.hi() <= WIDEST * norm.lo()) {
                return Err(Error::input(format!(
                    "rounding hides |J_0|, which is between {:e} and {:e}, and with it the step {multiple} / |J_0|^2; give the step as a number (--eta X)",
                    norm.lo(),
                    norm.hi()
                )));
            }
            *jacobian_norm = Estimate::enclosed(jacobian_norm.value, norm.lo(), norm.hi());
        }
        let norm = jacobian_norm.value;
        let square = norm * norm;
        let eta = if square.is_normal() {
            multiple / square
        } else {
            multiple / norm / norm
        };
        if eta.is_finite() && eta > 0.0 {
            return Ok(eta);
        }
        Err(Error::input(format!(
            "the step {multiple} / |J_0|^2 with |J_0| = {norm:e} is none that an f64 can hold; give it as a number (--eta X)"
        )))
    }
}

/// A relative error of |J_0| that needs no second look.
const SURE: f64 = 1.0 / (1u64 << 20) as f64;

/// The enclosure of |J_0| may be as wide as this. (The number computed in f64, if it lies inside, is usually much closer.)
const WIDEST: f64 = 1.125;

impl FromStr for Eta {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        match (text, text.trim().parse::<f64>()) {
            _ if same_word(text, "auto") => Ok(Eta::Auto),
            _ if same_word(text, "certified") => Ok(Eta::Certified),
            (_, Ok(eta)) if eta.is_finite() && eta > 0.0 => Ok(Eta::Fixed(eta)),
            _ => Err(Error::input(format!(
                "--eta {text} must be auto, certified or a finite number above 0"
            ))),
        }
    }
}
