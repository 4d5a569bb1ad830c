//! The numbers that bounds are made of.

use crate::Scalar;

/// A scalar that can be compared: what closed-form bounds need beside [`Scalar`].
///
/// Every bound here is a formula in field operations, sqrt, exp, max and min; written once over
/// `Bound`, it runs in f64 for a search and in [`Interval`](super::Interval) for a proof.
///
/// A NaN on either side must come out as a NaN: it stands for a bound that overflowed and must never
/// turn into a finite one (f64's own `max` would drop it).
pub trait Bound: Scalar {
    /// The larger of two numbers (of intervals: the interval of the larger numbers).
    fn max(self, other: Self) -> Self;
    /// The smaller of two numbers.
    fn min(self, other: Self) -> Self;
    /// A number not above it: itself, or the lower end of an interval.
    fn lower(self) -> f64;
    /// A number not below it: itself, or the upper end of an interval.
    fn upper(self) -> f64;
}

impl Bound for f64 {
    fn max(self, other: Self) -> Self {
        if self >= other || self.is_nan() {
            self
        } else {
            other
        }
    }
    fn min(self, other: Self) -> Self {
        if self <= other || self.is_nan() {
            self
        } else {
            other
        }
    }
    fn lower(self) -> f64 {
        self
    }
    fn upper(self) -> f64 {
        self
    }
}
