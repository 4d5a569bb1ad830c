//! A number with a proven bound on its error.

use crate::model::{DoubleDouble, Scalar};
use std::cmp::Ordering;
use std::iter::Sum;
use std::ops::{Add, Div, Mul, Neg, Sub};

/// The set of real numbers within `rad` of `mid`; the number meant is one of them.
///
/// Every operation evaluates its midpoint in double-double arithmetic and adds up what the result can be off
/// by: what the operands were off by, carried through the operation, plus the operation's own rounding. The
/// roundings are those of [`DoubleDouble`], here rounded up: at most [`ROUNDING`] relative to the result for
/// + - * / sqrt, [`EXP`] for exp, and [`TINY`] where products or quotients underflow. Radii
///
/// are f64 sums and products of at most a dozen non-negative numbers, so their own roundings, 2^-53 each, are
/// covered by the factor [`GROW`] (and |mid| <= |hi| (1 + 2^-53) too).
///
/// What overflows becomes the ball of all numbers, about which nothing can be proven.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ball {
    mid: DoubleDouble,
    rad: f64,
}

const fn power(k: i64) -> f64 {
    f64::from_bits(((k + 1023) as u64) << 52)
}
const ROUNDING: f64 = power(-100);
const EXP: f64 = power(-90);
const TINY: f64 = power(-900);
const GROW: f64 = 1.0 + power(-48);

/// The f64 number `x`, exactly.
pub(super) fn ball(x: f64) -> Ball {
    Ball::new(DoubleDouble::from_f64(x), 0.0)
}

/// The whole number `n` (below 2^53), exactly.
pub(super) fn whole(n: usize) -> Ball {
    ball(n as f64)
}

/// The sum of term(0), ..., term(n - 1).
pub(super) fn sum(n: usize, term: impl Fn(usize) -> Ball) -> Ball {
    (0..n).map(term).sum()
}

impl Ball {
    /// Any real number.
    fn unknown() -> Ball {
        Ball {
            mid: DoubleDouble::from_f64(0.0),
            rad: f64::INFINITY,
        }
    }

    fn new(mid: DoubleDouble, rad: f64) -> Ball {
        let rad = rad * GROW;
        if mid.hi().is_finite() && mid.lo().is_finite() && rad.is_finite() {
            Ball { mid, rad }
        } else {
            Ball::unknown()
        }
    }

    #[cfg(test)]
    pub(super) fn around(hi: f64, lo: f64, rad: f64) -> Ball {
        Ball::new(DoubleDouble::new(hi, lo), rad)
    }

    #[cfg(test)]
    pub(super) fn parts(self) -> (f64, f64, f64) {
        (self.mid.hi(), self.mid.lo(), self.rad)
    }

    /// |mid|, short of a factor 1 + 2^-53.
    fn size(self) -> f64 {
        self.mid.hi().abs()
    }

    /// Whether the number is 0, exactly.
    pub(super) fn is_zero(self) -> bool {
        self.mid.hi() == 0.0 && self.rad == 0.0
    }

    /// The f64 nearest to the midpoint, and a bound on its distance to the number.
    pub(super) fn split(self) -> (f64, f64) {
        (self.mid.hi(), (self.mid.lo().abs() + self.rad) * GROW)
    }

    /// An f64 that is not below the number: each sum is rounded to nearest, so the next f64 is not below it.
    pub(super) fn upper(self) -> f64 {
        if self.mid.lo() == 0.0 && self.rad == 0.0 {
            return self.mid.hi();
        }
        let above = (self.mid.lo() + self.rad).next_up();
        (self.mid.hi() + above).next_up()
    }

    /// An f64 that is not above the number.
    pub(super) fn lower(self) -> f64 {
        -(-self).upper()
    }

    /// Whether self <= other is certain.
    pub(super) fn at_most(self, other: Ball) -> bool {
        (other - self).lower() >= 0.0
    }

    /// Whether self < other is certain.
    pub(super) fn below(self, other: Ball) -> bool {
        (other - self).lower() > 0.0
    }

    /// |A| <= |a| + ra; the midpoint changes sign exactly.
    pub(super) fn abs(self) -> Ball {
        if self.mid.hi() < 0.0 { -self } else { self }
    }

    /// |max(A, B) - max(a, b)| <= max(|A - a|, |B - b|).
    pub(super) fn max(self, other: Ball) -> Ball {
        let mid = if self.mid_cmp(other) == Ordering::Less {
            other.mid
        } else {
            self.mid
        };
        Ball::new(mid, self.rad.max(other.rad))
    }

    /// min(A, B) = -max(-A, -B).
    pub(super) fn min(self, other: Ball) -> Ball {
        -(-self).max(-other)
    }

    /// Double-double numbers are ordered like their pairs (hi, lo).
    fn mid_cmp(self, other: Ball) -> Ordering {
        let pair = |x: DoubleDouble| (x.hi(), x.lo());
        pair(self.mid)
            .partial_cmp(&pair(other.mid))
            .unwrap_or(Ordering::Equal)
    }

    /// The square root of a number that is known not to be negative.
    ///
    /// |sqrt A - sqrt a| = |A - a| / (sqrt A + sqrt a) <= ra / sqrt a; near 0 the result is [0, sqrt(a + ra)].
    pub(super) fn sqrt(self) -> Ball {
        if self.is_zero() {
            return ball(0.0);
        }
        let a = self.mid.hi();
        if a <= 2.0 * self.rad || a < TINY {
            return Ball::new(DoubleDouble::from_f64(0.0), (a.max(0.0) + self.rad).sqrt());
        }
        let root = self.mid.sqrt();
        Ball::new(root, self.rad / root.hi() + ROUNDING * root.hi())
    }

    /// e^A: |e^A - e^a| <= e^a (e^ra - 1) <= 2 ra e^a for ra <= 1.
    pub(super) fn exp(self) -> Ball {
        if self.rad > 1.0 {
            return Ball::unknown();
        }
        let mid = self.mid.exp();
        Ball::new(mid, (2.0 * self.rad + EXP) * mid.hi() + TINY)
    }
}

impl Add for Ball {
    type Output = Ball;
    fn add(self, b: Ball) -> Ball {
        let mid = self.mid + b.mid;
        Ball::new(mid, self.rad + b.rad + ROUNDING * mid.hi().abs())
    }
}

impl Neg for Ball {
    type Output = Ball;
    fn neg(self) -> Ball {
        Ball {
            mid: -self.mid,
            rad: self.rad,
        }
    }
}

impl Sub for Ball {
    type Output = Ball;
    fn sub(self, b: Ball) -> Ball {
        self + -b
    }
}

impl Mul for Ball {
    type Output = Ball;
    /// |A B - a b| <= |a| rb + ra (|b| + rb).
    fn mul(self, b: Ball) -> Ball {
        if self.is_zero() || b.is_zero() {
            return ball(0.0);
        }
        let mid = self.mid * b.mid;
        let carried = self.size() * b.rad + self.rad * (b.size() + b.rad);
        Ball::new(mid, carried + ROUNDING * mid.hi().abs() + TINY)
    }
}

impl Div for Ball {
    type Output = Ball;
    /// |A/B - a/b| <= (ra + |a/b| rb) / |B|, |B| >= |b| - rb.
    fn div(self, b: Ball) -> Ball {
        // The factor covers the rounding of the difference and the lower part of b.
        let least = b.size() * (1.0 - power(-50)) - b.rad;
        if least.is_nan() || least <= 0.0 {
            return Ball::unknown();
        }
        if self.is_zero() {
            return ball(0.0);
        }
        let mid = self.mid / b.mid;
        let size = mid.hi().abs();
        let carried = (self.rad + size * (1.0 + ROUNDING) * b.rad + TINY) / least;
        Ball::new(mid, carried + ROUNDING * size + TINY)
    }
}

impl Sum for Ball {
    fn sum<I: Iterator<Item = Ball>>(terms: I) -> Ball {
        terms.fold(ball(0.0), |sum, term| sum + term)
    }
}
