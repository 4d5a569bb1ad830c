//! The numbers that formulas run on, and rigorous linear algebra. Names are the theory's symbols.
//!
//! | question | where |
//! |---|---|
//! | What must a number do so that the model's formulas run on it? | [`Scalar`]; with comparisons, [`Bound`] |
//! | Logarithms, tanh, erf, sines: what other models need | [`Smooth`] |
//! | Derivatives, 32 digits, enclosures, enclosures of any precision | [`Dual`], [`DoubleDouble`], [`Interval`], [`Fixed`] |
//! | Proven bounds of the extreme singular values | [`sigma_min_lower`], [`sigma_min_upper`], [`sigma_max_upper`] |
//! | Approximate eigenvalues and singular values | [`linalg`], [`lanczos`] |
//! | The unit roundoff | [`U`], [`gamma`] |

#![allow(non_snake_case)]

mod bound;
mod double_double;
mod dual;
mod fixed;
pub mod interval;
pub mod lanczos;
pub mod linalg;
#[cfg(feature = "oracle")]
pub mod oracle;
mod scalar;
mod smooth;
mod unit;
pub mod verified;

pub use bound::Bound;
pub(crate) use double_double::exp_parts;
pub use double_double::{DoubleDouble, power_of_two, two_product, two_sum};
pub use dual::Dual;
pub use fixed::{Fixed, scale_up};
pub(crate) use gdcert_base::{Error, Result};
pub use interval::Interval;
pub use scalar::Scalar;
pub use smooth::{Sign, Smooth};
pub use unit::{U, exponent, gamma, gamma_of, norm, scale_by};
pub use verified::{NotResolved, sigma_max_upper, sigma_min_lower, sigma_min_upper};
