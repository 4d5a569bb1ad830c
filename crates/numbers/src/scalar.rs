//! The numbers the formulas run on.

use std::fmt::Debug;
use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub, SubAssign};

/// What a number must do so that `gdcert::model::residual`, `gdcert::model::jacobian` and
/// `gdcert::model::gradient` run on it: field operations, exp and sqrt.
///
/// `f64` evaluates, [`Dual`](super::Dual) differentiates.
pub trait Scalar:
    Copy
    + PartialEq
    + Debug
    + Send
    + Sync
    + 'static
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + SubAssign
{
    /// The number x, exactly.
    fn from_f64(x: f64) -> Self;
    /// e^self.
    fn exp(self) -> Self;
    /// The square root of self >= 0.
    fn sqrt(self) -> Self;
    /// Divides each number by the same one.
    fn divide_all(row: &mut [Self], by: Self) {
        for x in row {
            *x = *x / by;
        }
    }
    /// An f64 near self. Formulas may use it only where the result does not depend on it in exact
    /// arithmetic (softmax's shift against overflow).
    fn value(self) -> f64;
}

impl Scalar for f64 {
    fn from_f64(x: f64) -> Self {
        x
    }
    fn exp(self) -> Self {
        f64::exp(self)
    }
    fn sqrt(self) -> Self {
        f64::sqrt(self)
    }
    fn value(self) -> f64 {
        self
    }
}
