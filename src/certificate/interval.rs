//! Interval arithmetic with outward rounding, in portable Rust.
//!
//! Rust can not switch the rounding mode, so every end is computed to nearest and moved outward. For
//! an operation of IEEE 754 the exact result lies strictly between the two neighbours of the rounded
//! one (or equals it), also where it is subnormal; and where it overflows, the neighbour of infinity is the
//! largest f64, below the exact result. So [`f64::next_down`] of the rounded result is a lower bound and
//! [`f64::next_up`] an upper bound, always. Sums are moved only where TwoSum says that they were rounded, and
//! products of two points only where the FMA residual says so, to keep exact things exact.
//!
//! An operation without a meaningful result (0/0, infinity minus infinity, division by an interval
//! that holds 0, a square root of negative numbers) gives the whole line, from which no inequality
//! follows. NaN never appears as an end.
//!
//! Assumes IEEE 754 double arithmetic as Rust specifies it (round to nearest, gradual underflow, no
//! excess precision: every target but 32-bit x86 without SSE2).

use super::Bound;
use crate::model::{DoubleDouble, Scalar, exp_parts, power_of_two, two_product, two_sum};
use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub, SubAssign};

/// All real numbers from `lo` to `hi`; an operation's result holds every exact result.
///
/// ```
/// use gdcert::certificate::Interval;
/// use gdcert::model::Scalar;
/// let third = Interval::from_f64(1.0) / Interval::from_f64(3.0);
/// let one = third + third + third;
/// assert!(one.lo() <= 1.0 && 1.0 <= one.hi() && one.hi() - one.lo() < 1e-15);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    lo: f64,
    hi: f64,
}

impl Bound for Interval {
    fn max(self, other: Self) -> Self {
        Interval::new(self.lo.max(other.lo), self.hi.max(other.hi))
    }
    fn min(self, other: Self) -> Self {
        Interval::new(self.lo.min(other.lo), self.hi.min(other.hi))
    }
    fn lower(self) -> f64 {
        self.lo
    }
    fn upper(self) -> f64 {
        self.hi
    }
}

impl Interval {
    /// The whole line: nothing is known.
    pub const ENTIRE: Interval = Interval {
        lo: f64::NEG_INFINITY,
        hi: f64::INFINITY,
    };

    /// The interval from lo to hi; the whole line if an end is NaN or lo > hi.
    #[inline]
    pub fn new(lo: f64, hi: f64) -> Self {
        if lo <= hi && lo < f64::INFINITY && hi > f64::NEG_INFINITY {
            Interval { lo, hi }
        } else {
            Interval::ENTIRE
        }
    }

    /// Every number within `radius` of `mid`.
    #[inline]
    pub fn around(mid: f64, radius: f64) -> Self {
        if radius >= 0.0 && mid.is_finite() {
            Interval::new(add_down(mid, -radius), add_up(mid, radius))
        } else {
            Interval::ENTIRE
        }
    }

    /// Lower end.
    #[inline]
    pub fn lo(self) -> f64 {
        self.lo
    }

    /// Upper end.
    #[inline]
    pub fn hi(self) -> f64 {
        self.hi
    }

    /// A number c = [`Scalar::value`] and a radius r such that every number of the interval is within r of c.
    #[inline]
    pub fn mid_radius(self) -> (f64, f64) {
        let c = self.value();
        (c, add_up(self.hi, -c).max(add_up(c, -self.lo)))
    }

    /// The largest |x|.
    pub fn magnitude(self) -> f64 {
        self.lo.abs().max(self.hi.abs())
    }

    /// Whether x lies in the interval.
    pub fn contains(self, x: f64) -> bool {
        self.lo <= x && x <= self.hi
    }

    /// {x^2}: unlike x * x never below 0.
    pub fn square(self) -> Self {
        let (a, b) = (self.lo.abs().min(self.hi.abs()), self.magnitude());
        let least = if self.contains(0.0) { 0.0 } else { a };
        Interval::new(mul_down(least, least), mul_up(b, b))
    }
}

/// A lower bound of a + b, the sum itself where it is exact.
#[inline]
pub(super) fn add_down(a: f64, b: f64) -> f64 {
    let (s, e) = two_sum(a, b);
    // e is NaN where something overflowed.
    if e >= 0.0 { s } else { s.next_down() }
}

/// An upper bound of a + b, the sum itself where it is exact.
#[inline]
pub(super) fn add_up(a: f64, b: f64) -> f64 {
    let (s, e) = two_sum(a, b);
    if e <= 0.0 { s } else { s.next_up() }
}

/// Whether the residual of [`two_product`] is exact: the product is not within 2^53 of underflow.
#[inline]
fn exact_residual(p: f64) -> bool {
    p.abs() > 1e-290
}

/// A lower bound of a b, the product itself where it is known to be exact.
#[inline]
pub(super) fn mul_down(a: f64, b: f64) -> f64 {
    let (p, e) = two_product(a, b);
    if a == 0.0 || b == 0.0 || (e >= 0.0 && exact_residual(p)) {
        p
    } else {
        p.next_down()
    }
}

/// An upper bound of a b, the product itself where it is known to be exact.
#[inline]
pub(super) fn mul_up(a: f64, b: f64) -> f64 {
    let (p, e) = two_product(a, b);
    if a == 0.0 || b == 0.0 || (e <= 0.0 && exact_residual(p)) {
        p
    } else {
        p.next_up()
    }
}

/// The smallest and largest of four candidates, moved outward; the whole line if one is NaN.
#[inline]
fn hull([a, b, c, d]: [f64; 4]) -> Interval {
    if (a + b + c + d).is_nan() && [a, b, c, d].iter().any(|x| x.is_nan()) {
        return Interval::ENTIRE;
    }
    Interval::new(
        a.min(b).min(c.min(d)).next_down(),
        a.max(b).max(c.max(d)).next_up(),
    )
}

impl Add for Interval {
    type Output = Self;
    #[inline]
    fn add(self, b: Self) -> Self {
        Interval::new(add_down(self.lo, b.lo), add_up(self.hi, b.hi))
    }
}

impl Sub for Interval {
    type Output = Self;
    #[inline]
    fn sub(self, b: Self) -> Self {
        Interval::new(add_down(self.lo, -b.hi), add_up(self.hi, -b.lo))
    }
}

impl Mul for Interval {
    type Output = Self;
    #[inline]
    fn mul(self, b: Self) -> Self {
        if self.lo == self.hi && b.lo == b.hi {
            return Interval::new(mul_down(self.lo, b.lo), mul_up(self.lo, b.lo));
        }
        // Rounding to nearest is monotone: the smallest exact product rounds to the smallest candidate.
        hull([
            self.lo * b.lo,
            self.lo * b.hi,
            self.hi * b.lo,
            self.hi * b.hi,
        ])
    }
}

impl Div for Interval {
    type Output = Self;
    #[inline]
    fn div(self, b: Self) -> Self {
        if b.contains(0.0) {
            return Interval::ENTIRE;
        }
        hull([
            self.lo / b.lo,
            self.lo / b.hi,
            self.hi / b.lo,
            self.hi / b.hi,
        ])
    }
}

impl Neg for Interval {
    type Output = Self;
    #[inline]
    fn neg(self) -> Self {
        Interval {
            lo: -self.hi,
            hi: -self.lo,
        }
    }
}

impl AddAssign for Interval {
    #[inline]
    fn add_assign(&mut self, b: Self) {
        *self = *self + b;
    }
}

impl SubAssign for Interval {
    #[inline]
    fn sub_assign(&mut self, b: Self) {
        *self = *self - b;
    }
}

impl Scalar for Interval {
    fn from_f64(x: f64) -> Self {
        if x.is_finite() {
            Interval { lo: x, hi: x }
        } else {
            Interval::ENTIRE
        }
    }

    /// e^x is increasing: e^lo from below, e^hi from above, each by `exp_point`. A narrow interval
    /// (width w <= 2^-10) needs one exponential only, since e^hi = e^lo e^w and e^w <= 1 + w + w^2.
    fn exp(self) -> Self {
        let low = exp_point(self.lo);
        if self.lo == self.hi {
            return low;
        }
        let w = add_up(self.hi, -self.lo);
        if w <= 1.0 / 1024.0 {
            let growth = add_up(1.0, add_up(w, mul_up(w, w)));
            return Interval::new(low.lo, mul_up(low.hi, growth));
        }
        Interval::new(low.lo, exp_point(self.hi).hi)
    }

    /// Numbers below 0 that only rounding brought in are left out: the result holds sqrt(x) for every x >= 0 of
    /// the interval. An interval of negative numbers gives the whole line.
    fn sqrt(self) -> Self {
        if self.hi < 0.0 || self.hi.is_nan() {
            return Interval::ENTIRE;
        }
        let lo = if self.lo <= 0.0 {
            0.0
        } else {
            sqrt_down(self.lo)
        };
        Interval::new(lo, sqrt_up(self.hi))
    }

    fn value(self) -> f64 {
        // Halves first: the sum may overflow.
        let c = 0.5 * self.lo + 0.5 * self.hi;
        if c.is_nan() {
            0.0
        } else {
            c.clamp(self.lo, self.hi)
        }
    }
}

/// A lower bound of sqrt(a), a >= 0. s is exact if the FMA residual s^2 - a is 0 (away from underflow), and
/// too small if it is negative.
pub(super) fn sqrt_down(a: f64) -> f64 {
    let s = a.sqrt();
    if a == 0.0 || (a > 1e-280 && s.mul_add(s, -a) <= 0.0) {
        s
    } else {
        s.next_down()
    }
}

/// An upper bound of sqrt(a), a >= 0.
pub(super) fn sqrt_up(a: f64) -> f64 {
    let s = a.sqrt();
    if a == 0.0 || (a > 1e-280 && s.mul_add(s, -a) >= 0.0) {
        s
    } else {
        s.next_up()
    }
}

/// An enclosure of e^x, as tight as two neighbouring f64 (three where the result is subnormal).
///
/// [`exp_parts`] gives e^x = (hi + lo) 2^k (1 + e), |e| <= 2^-92, with |lo| at most half the distance
/// from hi to its neighbour on lo's side. With E = 2^-90 hi >= |e| |hi + lo|: if lo > E, then hi is below and its
/// upper neighbour above e^x 2^-k, since lo + E is less than that distance (half of which is at least
/// 2^-55 hi > E); if lo < -E the other way round; else both neighbours serve. Multiplication by 2^k is exact
/// unless the result is subnormal; then it is rounded once, which the outward step covers.
/// Outside [-746, 710] the ends of f64's range serve: e^-746 < 2^-1074, e^710 > MAX.
pub(super) fn exp_point(x: f64) -> Interval {
    if x.is_nan() {
        return Interval::ENTIRE;
    }
    if x > 710.0 {
        return Interval::new(f64::MAX, f64::INFINITY);
    }
    if x < -746.0 {
        return Interval::new(0.0, f64::from_bits(1));
    }
    if x == 0.0 {
        return Interval::new(1.0, 1.0);
    }
    let (y, k) = exp_parts(DoubleDouble::from_f64(x));
    let margin = y.hi() * power_of_two(-90);
    let lo = if y.lo() > margin {
        y.hi()
    } else {
        y.hi().next_down()
    };
    let hi = if y.lo() < -margin {
        y.hi()
    } else {
        y.hi().next_up()
    };
    let (first, second) = (power_of_two(k / 2), power_of_two(k - k / 2));
    let (lo, hi) = (lo * first * second, hi * first * second);
    if lo > 1e-300 {
        // Where hi overflows to infinity, lo may too: next_down of infinity is MAX, a lower bound.
        return Interval::new(lo.min(f64::MAX), hi);
    }
    Interval::new(lo.next_down().max(0.0), hi.next_up())
}
