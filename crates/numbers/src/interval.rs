//! Interval arithmetic with outward rounding, in portable Rust.
//!
//! Rust can not switch the rounding mode, so every end is computed to nearest and moved outward. For
//! an operation of IEEE 754 the exact result lies strictly between the two neighbours of the rounded
//! one (or equals it), also where it is subnormal; and where it overflows, the neighbour of infinity is the
//! largest f64, below the exact result. So [`f64::next_down`] of the rounded result is a lower bound and
//! [`f64::next_up`] an upper bound, always. Sums are moved only where TwoSum says that they were rounded, and
//! products and quotients of two points only where the FMA residual says so, to keep exact things exact.
//!
//! An operation without a meaningful result (0/0, infinity minus infinity, division by an interval
//! that holds 0, a square root of negative numbers) gives the whole line, from which no inequality
//! follows. NaN never appears as an end.
//!
//! Assumes IEEE 754 double arithmetic as Rust specifies it (round to nearest, gradual underflow, no
//! excess precision: every target but 32-bit x86 without SSE2).

use super::Bound;
use crate::{DoubleDouble, Scalar, exp_parts, power_of_two, two_product, two_sum};
use crate::{exponent, scale_by};
use serde::{Deserialize, Serialize};
use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub, SubAssign};

/// All real numbers from `lo` to `hi`; an operation's result holds every exact result.
///
/// ```
/// use gdcert_numbers::Interval;
/// use gdcert_numbers::Scalar;
/// let third = Interval::from_f64(1.0) / Interval::from_f64(3.0);
/// let one = third + third + third;
/// assert!(one.lo() <= 1.0 && 1.0 <= one.hi() && one.hi() - one.lo() < 1e-15);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
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

    /// Whether it is the number 0 alone.
    #[inline]
    pub fn is_zero(self) -> bool {
        self.lo == 0.0 && self.hi == 0.0
    }

    /// Whether x lies in the interval.
    pub fn contains(self, x: f64) -> bool {
        self.lo <= x && x <= self.hi
    }

    /// {x 2^k}, exact unless it leaves the range of normal numbers.
    pub fn scaled(self, k: i32) -> Self {
        if k == 0 {
            return self;
        }
        let exact = |x: f64, y: f64| x == 0.0 || y.abs() > f64::MIN_POSITIVE;
        let (lo, hi) = (scale_by(self.lo, k), scale_by(self.hi, k));
        Interval::new(
            if exact(self.lo, lo) {
                lo.min(f64::MAX)
            } else {
                lo.next_down()
            },
            if exact(self.hi, hi) {
                hi.max(f64::MIN)
            } else {
                hi.next_up()
            },
        )
    }

    /// |x|_2 of a vector of intervals, scaled by a power of two so that squares neither overflow nor underflow.
    pub fn norm(values: &[Interval]) -> Interval {
        let sizes: Vec<f64> = values.iter().map(|x| x.magnitude()).collect();
        let k = exponent(&sizes).unwrap_or(0);
        let squares = values.iter().map(|x| x.scaled(-k).square());
        let sum = squares.fold(Interval::from_f64(0.0), |sum, x| sum + x);
        sum.sqrt().scaled(k)
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
pub fn add_down(a: f64, b: f64) -> f64 {
    let (s, e) = two_sum(a, b);
    // e is NaN where something overflowed.
    if e >= 0.0 { s } else { s.next_down() }
}

/// An upper bound of a + b, the sum itself where it is exact.
#[inline]
pub fn add_up(a: f64, b: f64) -> f64 {
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
pub(crate) fn mul_down(a: f64, b: f64) -> f64 {
    let (p, e) = two_product(a, b);
    if a == 0.0 || b == 0.0 || (e >= 0.0 && exact_residual(p)) {
        p
    } else {
        p.next_down()
    }
}

/// An upper bound of a b, the product itself where it is known to be exact.
#[inline]
pub(crate) fn mul_up(a: f64, b: f64) -> f64 {
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

/// 0; where nothing is known there need be no number, and 0 times that is nothing known.
#[cold]
fn times_zero(a: Interval, b: Interval) -> Interval {
    match (a.magnitude() + b.magnitude()).is_finite() {
        true => Interval { lo: 0.0, hi: 0.0 },
        false => Interval::ENTIRE,
    }
}

impl Mul for Interval {
    type Output = Self;
    #[inline]
    fn mul(self, b: Self) -> Self {
        if self.lo == self.hi && b.lo == b.hi {
            return Interval::new(mul_down(self.lo, b.lo), mul_up(self.lo, b.lo));
        }
        if self.is_zero() || b.is_zero() {
            return times_zero(self, b);
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
        if self.lo == self.hi && b.lo == b.hi {
            let q = self.lo / b.lo;
            // The residual of a quotient is exact away from underflow.
            let exact =
                q.mul_add(b.lo, -self.lo) == 0.0 && exact_residual(self.lo) && q.is_normal();
            if self.lo == 0.0 || exact {
                return Interval { lo: q, hi: q };
            }
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
        if w <= NARROW {
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
pub(crate) fn sqrt_down(a: f64) -> f64 {
    let s = a.sqrt();
    if a == 0.0 || (a > 1e-280 && s.mul_add(s, -a) <= 0.0) {
        s
    } else {
        s.next_down()
    }
}

/// An upper bound of sqrt(a), a >= 0.
pub fn sqrt_up(a: f64) -> f64 {
    let s = a.sqrt();
    if a == 0.0 || (a > 1e-280 && s.mul_add(s, -a) >= 0.0) {
        s
    } else {
        s.next_up()
    }
}

/// Widths for which e^w <= 1 + w + w^2 is sharp enough.
const NARROW: f64 = 1.0 / 1024.0;

/// (y, r) such that |e^x - y| <= r for every x within `delta` of `mid`.
///
/// Where delta is much more than the error of [`exp_quick`] that one serves: e^x = e^mid e^(x - mid), e^mid lies between
/// y (1 - |e|) and y (1 + 2 |e|), and |e^(x - mid) - 1| <= delta + delta^2.
pub fn exp_ball(mid: f64, delta: f64) -> (f64, f64) {
    let quick = 16.0 * QUICK < delta && delta <= NARROW && mid.abs() <= QUICK_DOMAIN;
    if !quick {
        return Interval::around(mid, delta).exp().mid_radius();
    }
    let y = exp_quick(mid);
    // The last factor is for the roundings on this line, fewer than 16 u; nothing underflows.
    let r = y * (2.0 * QUICK + (delta + delta * delta) * (1.0 + 2.0 * QUICK)) * (1.0 + QUICK);
    (y, r)
}

/// Bound on the relative error of [`exp_quick`]: 2^-47 = 64 u.
const QUICK: f64 = 1.0 / (1u64 << 47) as f64;

/// Largest |x| for [`exp_quick`]: neither 2^k nor e^x [`QUICK`] is subnormal then.
const QUICK_DOMAIN: f64 = 600.0;

/// e^x (1 + e), |e| <= [`QUICK`], for |x| <= [`QUICK_DOMAIN`], in plain f64.
///
/// k is an integer within 1/2 + 2^-40 of x / ln 2, so |x - k ln 2| < 0.3466. `LN_2_HI` has 32 significant bits and k at most 11: k `LN_2_HI`
/// is exact, and so is its difference to x (Sterbenz; k = 0 is clear). `LN_2_LO` = (ln 2 - `LN_2_HI`)(1 + e1) and its product with k
/// are off by at most u each, 2 u 2.1e-7 in all; the last difference is rounded, by u 0.3467. So r is within 0.35 u of x - k ln 2.
/// With |r| < 0.347 Taylor's polynomial of degree 13 is off by less than r^14 / 14! * 1.1 < 5e-18 < 0.05 u. Horner's rule with rounded coefficients
/// gives each of its terms at most 2 * 13 + 1 roundings: gamma_27 e^|r| < 27.1 u 1.415 in all (Higham 2002, section 5.1). Against
/// e^r > 0.706 this is (38.4 + 0.05) u / 0.706 + 0.35 u (1 + u) < 55 u. Multiplication by 2^k is exact.
fn exp_quick(x: f64) -> f64 {
    /// 1.5 * 2^52: adding it rounds to an integer.
    const SHIFTER: f64 = 6_755_399_441_055_744.0;
    const LN_2_HI: f64 = 0.693_147_180_369_123_8;
    const LN_2_LO: f64 = 1.908_214_929_270_587_7e-10;
    const DEGREE: usize = 13;
    /// 1 / i!
    const C: [f64; DEGREE + 1] = {
        let mut c = [1.0; DEGREE + 1];
        let mut factorial = 1.0;
        let mut i = 1;
        while i <= DEGREE {
            // Exact: 13! < 2^53.
            factorial *= i as f64;
            c[i] = 1.0 / factorial;
            i += 1;
        }
        c
    };
    let k = (x * std::f64::consts::LOG2_E + SHIFTER) - SHIFTER;
    let r = (x - k * LN_2_HI) - k * LN_2_LO;
    let e = C.iter().rev().fold(0.0, |sum, c| sum * r + c);
    e * power_of_two(k as i32)
}

/// An enclosure of e^x, as tight as two neighbouring f64 (three where the result is subnormal).
///
/// [`exp_parts`] gives e^x = (hi + lo) 2^k (1 + e), |e| <= 2^-92, with |lo| at most half the distance
/// from hi to its neighbour on lo's side. With E = 2^-90 hi >= |e| |hi + lo|: if lo > E, then hi is below and its
/// upper neighbour above e^x 2^-k, since lo + E is less than that distance (half of which is at least
/// 2^-55 hi > E); if lo < -E the other way round; else both neighbours serve. Multiplication by 2^k is exact
/// unless the result is subnormal; then it is rounded once, which the outward step covers.
/// Outside [-746, 710] the ends of f64's range serve: e^-746 < 2^-1074, e^710 > MAX.
pub(crate) fn exp_point(x: f64) -> Interval {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::U;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        /// Also at the ends of k's range, where x is half-way between two multiples of ln 2.
        #[test]
        fn quick_exponentials_are_within_their_bounds(
            x in -QUICK_DOMAIN..QUICK_DOMAIN, k in -865i32..865, off in -1e-9..1e-9f64, width in -48.0..-10.0f64,
        ) {
            for x in [x, (f64::from(k) + 0.5) * std::f64::consts::LN_2 + off] {
                let (y, exact) = (exp_quick(x), exp_point(x));
                prop_assert!(
                    y >= exact.lo() * (1.0 - QUICK) && y <= exact.hi() * (1.0 + QUICK),
                    "{x}: {y:e}"
                );
                let delta = width.exp2();
                let (y, r) = exp_ball(x, delta);
                // e^(x + delta) and e^(x - delta); two roundings of this test are forgiven.
                let (above, below) = (1.0 + delta + delta * delta, 1.0 - delta);
                prop_assert!(
                    y + r >= exact.hi() * above * (1.0 - 4.0 * U) && y - r <= exact.lo() * below * (1.0 + 4.0 * U),
                    "{x} {delta:e}: {y:e} {r:e}"
                );
                // Tight: the quick one adds an eighth of delta at most, the other rounds x - delta and x + delta outward.
                prop_assert!(r <= y * (1.2 * delta + 4.0 * U * (1.0 + x.abs())), "{x} {delta:e}: {y:e} {r:e}");
            }
        }
    }
}
