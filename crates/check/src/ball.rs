//! A number with a proven bound on its error, of any magnitude.

use super::number::{Double, ROUNDING, power};
use std::cmp::Ordering;
use std::iter::Sum;
use std::ops::{Add, Div, Mul, Neg, Sub};

/// The set of real numbers within `rad` of `mid`, times 2^exp; the number meant is one of them.
///
/// Every operation evaluates its midpoint in double-double arithmetic and adds up what the result
/// can be off by: what the operands were off by, carried through the operation, plus the
/// operation's own rounding, at most [`ROUNDING`] relative to the result for + - * / sqrt and
/// [`EXP`] for exp. Radii are f64 sums and products of at most a dozen non-negative numbers, so
/// their own roundings, 2^-53 each, are covered by the factor [`GROW`] (and |mid| <= |hi| (1 +
/// 2^-53) too).
///
/// **No under- or overflow.** `exp` is a multiple of 64, and unless the number is 0 exactly,
/// max(|hi|, rad) is kept in [2^-64, 2^64]. So what underflows inside an operation is below 2^-1070
/// a time, beside a result whose size or radius is at least 2^-300: [`TINY`], added where there are
/// products or shifts, is above it and means nothing. What is not finite becomes the ball of all
/// numbers, about which nothing can be proven.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Ball {
    mid: Double,
    rad: f64,
    exp: i64,
}

const EXP: f64 = power(-90);
const TINY: f64 = power(-1000);
const GROW: f64 = 1.0 + power(-48);
const STEP: i64 = 64;

/// The f64 number `x`, exactly.
pub(crate) fn ball(x: f64) -> Ball {
    Ball::new(Double::exact(x), 0.0, 0)
}

/// The whole number `n` (below 2^53), exactly.
pub(crate) fn whole(n: usize) -> Ball {
    ball(n as f64)
}

/// The sum of term(0), ..., term(n - 1).
pub(crate) fn sum(n: usize, term: impl Fn(usize) -> Ball) -> Ball {
    (0..n).map(term).sum()
}

/// (sum of squares)^{1/2}.
pub(crate) fn norm(entries: impl Iterator<Item = Ball>) -> Ball {
    entries.map(|x| x * x).sum::<Ball>().sqrt()
}

/// The largest; 0 if there is none.
pub(crate) fn largest(values: impl Iterator<Item = Ball>) -> Ball {
    values.fold(Ball::ZERO, Ball::max)
}

impl Ball {
    pub(crate) const ZERO: Ball = Ball { mid: Double::ZERO, rad: 0.0, exp: 0 };

    /// Any real number.
    pub(crate) const UNKNOWN: Ball = Ball { mid: Double::ZERO, rad: f64::INFINITY, exp: 0 };

    #[inline(always)]
    fn new(mid: Double, rad: f64, exp: i64) -> Ball {
        let rad = rad * GROW;
        let size = mid.hi.abs().max(rad);
        if (power(-STEP)..=power(STEP)).contains(&size) && mid.lo.is_finite() && !rad.is_nan() {
            return Ball { mid, rad, exp };
        }
        Ball::rescaled(mid, rad, exp)
    }

    #[cold]
    fn rescaled(mut mid: Double, mut rad: f64, mut exp: i64) -> Ball {
        if !(mid.hi.is_finite() && mid.lo.is_finite() && rad.is_finite()) {
            return Ball::UNKNOWN;
        }
        let size = |mid: Double, rad: f64| mid.hi.abs().max(rad);
        if size(mid, rad) == 0.0 {
            return Ball::ZERO;
        }
        while size(mid, rad) < power(-STEP) {
            (mid, rad, exp) = (mid.scaled(power(STEP)), rad * power(STEP), exp - STEP);
        }
        while size(mid, rad) > power(STEP) {
            // The lower part may lose bits below 2^-1074, and the radius too.
            if mid.lo != 0.0 || rad != 0.0 {
                rad += TINY;
            }
            (mid, rad, exp) = (mid.scaled(power(-STEP)), rad * power(-STEP), exp + STEP);
        }
        Ball { mid, rad, exp }
    }

    /// The numbers within `rad` of `mid`, times 2^exp.
    pub(crate) fn around(mid: Double, rad: f64, exp: i64) -> Ball {
        let (steps, rest) = (exp.div_euclid(STEP), power(exp.rem_euclid(STEP)));
        Ball::new(mid.scaled(rest), rad * rest, steps * STEP)
    }

    /// 2^e times this.
    pub(crate) fn shifted(self, e: i64) -> Ball {
        let Ball { mid, rad, exp } = self;
        Ball::around(mid, rad, exp + e)
    }

    /// Midpoint and radius in units of 2^exp.
    pub(crate) fn in_units(self, exp: i64) -> (Double, f64) {
        let shift = self.exp - exp;
        match shift {
            0 => (self.mid, self.rad),
            _ if self.is_zero() => (Double::ZERO, 0.0),
            _ if !self.is_known() => (Double::ZERO, f64::INFINITY),
            901.. => (Double::ZERO, f64::INFINITY),
            // |number| <= 2^66 2^-1000.
            ..-1000 => (Double::ZERO, power(-900)),
            _ => (self.mid.scaled(power(shift)), (self.rad * power(shift) + TINY) * GROW),
        }
    }

    /// Both in the units of the one with the larger ones; 0 has none.
    #[inline(always)]
    fn aligned(self, b: Ball) -> ((Double, f64), (Double, f64), i64) {
        let exp = match (self.exp == b.exp, self.is_zero(), b.is_zero()) {
            (true, ..) | (_, _, true) => self.exp,
            (_, true, _) => b.exp,
            _ => self.exp.max(b.exp),
        };
        (self.in_units(exp), b.in_units(exp), exp)
    }

    /// The least e with max(|hi|, rad) < 2^e; `None` for 0.
    pub(crate) fn magnitude(self) -> Option<i64> {
        let size = self.mid.hi.abs().max(self.rad);
        let exponent = ((size.to_bits() >> 52) & 0x7ff) as i64 - 1022;
        (!self.is_zero()).then_some(self.exp + exponent)
    }

    /// Whether the number is 0, exactly.
    pub(crate) fn is_zero(self) -> bool {
        self.mid.hi == 0.0 && self.rad == 0.0
    }

    /// Whether anything is known.
    pub(crate) fn is_known(self) -> bool {
        self.rad.is_finite()
    }

    /// The upper end in units of 2^exp: each sum is rounded to nearest, so the next f64 is not
    /// below it.
    fn top(self) -> f64 {
        if self.mid.lo == 0.0 && self.rad == 0.0 {
            return self.mid.hi;
        }
        (self.mid.hi + (self.mid.lo + self.rad).next_up()).next_up()
    }

    /// An f64 that is not below the number.
    pub(crate) fn upper(self) -> f64 {
        let (mut x, mut exp) = (self.top(), self.exp);
        while exp > 0 && x != 0.0 && x.is_finite() {
            (x, exp) = (x * power(STEP), exp - STEP);
        }
        while exp < 0 && x.is_finite() {
            let y = x * power(-STEP);
            if y == 0.0 {
                return if x > 0.0 { f64::from_bits(1) } else { 0.0 };
            }
            let exact = y * power(STEP) == x;
            (x, exp) = (if exact { y } else { y.next_up() }, exp + STEP);
        }
        x.max(f64::MIN)
    }

    /// An f64 that is not above the number.
    pub(crate) fn lower(self) -> f64 {
        -(-self).upper()
    }

    /// Its upper end, as a number without error.
    pub(crate) fn upper_ball(self) -> Ball {
        Ball::new(Double::exact(self.top()), 0.0, self.exp)
    }

    /// The number in the middle, without error.
    pub(crate) fn centre(self) -> Ball {
        if self.is_known() { Ball::new(self.mid, 0.0, self.exp) } else { self }
    }

    /// All numbers within `by` >= 0 of one of these.
    pub(crate) fn widened(self, by: Ball) -> Ball {
        let ((mid, rad), (b, rb), exp) = self.aligned(by);
        Ball::new(mid, rad + b.hi.abs() * (1.0 + f64::EPSILON) + rb, exp)
    }

    /// Whether self <= other is certain.
    pub(crate) fn at_most(self, other: Ball) -> bool {
        -(self - other).top() >= 0.0
    }

    /// Whether self < other is certain.
    pub(crate) fn below(self, other: Ball) -> bool {
        -(self - other).top() > 0.0
    }

    /// |A| <= |a| + ra; the midpoint changes sign exactly.
    pub(crate) fn abs(self) -> Ball {
        if self.mid.hi < 0.0 { -self } else { self }
    }

    /// |max(A, B) - max(a, b)| <= max(|A - a|, |B - b|). Double-double numbers are ordered like their pairs (hi, lo).
    pub(crate) fn max(self, other: Ball) -> Ball {
        let ((a, ra), (b, rb), exp) = self.aligned(other);
        let order = (a.hi, a.lo).partial_cmp(&(b.hi, b.lo));
        let mid = if order == Some(Ordering::Less) { b } else { a };
        Ball::new(mid, ra.max(rb), exp)
    }

    /// min(A, B) = -max(-A, -B).
    pub(crate) fn min(self, other: Ball) -> Ball {
        -(-self).max(-other)
    }

    /// The square root of a number that is known not to be negative.
    ///
    /// |sqrt A - sqrt a| = |A - a| / (sqrt A + sqrt a) <= ra / sqrt a; near 0 the result is [0, sqrt(a + ra)].
    pub(crate) fn sqrt(self) -> Ball {
        if self.is_zero() {
            return Ball::ZERO;
        }
        // Half the exponent is to be a multiple of 64 again.
        let exp = self.exp - self.exp.rem_euclid(2 * STEP);
        let (a, rad) = self.in_units(exp);
        if a.hi <= 2.0 * rad {
            let end = (a.hi.max(0.0) + rad) * GROW;
            return Ball::new(Double::ZERO, end.sqrt() + TINY, exp / 2);
        }
        let root = a.sqrt();
        Ball::new(root, rad / root.hi + ROUNDING * root.hi + TINY, exp / 2)
    }

    /// e^A: |e^A - e^a| <= e^a (e^ra - 1) <= 2 ra e^a for ra <= 1.
    pub(crate) fn exp(self) -> Ball {
        let (a, rad) = self.in_units(0);
        if !(rad <= 1.0 && a.hi < 800.0) {
            return Ball::UNKNOWN;
        }
        if a.hi < -800.0 {
            // 0 < e^A < e^-799 < 2^-1152.
            return Ball::new(Double::ZERO, 1.0, -1152);
        }
        let (mid, k) = a.exp();
        Ball::around(mid, (2.0 * rad + EXP) * mid.hi + TINY, k)
    }
}

impl Add for Ball {
    type Output = Ball;
    #[inline]
    fn add(self, b: Ball) -> Ball {
        let ((a, ra), (b, rb), exp) = self.aligned(b);
        let mid = a + b;
        Ball::new(mid, ra + rb + ROUNDING * mid.hi.abs(), exp)
    }
}

impl Neg for Ball {
    type Output = Ball;
    fn neg(self) -> Ball {
        let mid = -self.mid;
        Ball { mid, ..self }
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
    #[inline]
    fn mul(self, b: Ball) -> Ball {
        if self.is_zero() || b.is_zero() {
            return Ball::ZERO;
        }
        let mid = self.mid * b.mid;
        let carried = self.mid.hi.abs() * b.rad + self.rad * (b.mid.hi.abs() + b.rad);
        let rad = carried + ROUNDING * mid.hi.abs() + TINY;
        Ball::new(mid, rad, self.exp + b.exp)
    }
}

impl Div for Ball {
    type Output = Ball;
    /// |A/B - a/b| <= (ra + |a/b| rb) / |B|, |B| >= |b| - rb.
    fn div(self, b: Ball) -> Ball {
        // The factor covers the rounding of the difference and the lower part of b.
        let least = b.mid.hi.abs() * (1.0 - power(-50)) - b.rad;
        if least.is_nan() || least <= 0.0 || !self.is_known() {
            return Ball::UNKNOWN;
        }
        if self.is_zero() {
            return Ball::ZERO;
        }
        // |b| >= rb makes |b| >= 2^-64; a quotient of sizes in range is in [2^-128, 2^128].
        let mid = self.mid / b.mid;
        let size = mid.hi.abs();
        let carried = (self.rad + size * (1.0 + ROUNDING) * b.rad + TINY) / least;
        let rad = carried + ROUNDING * size + TINY;
        Ball::new(mid, rad, self.exp - b.exp)
    }
}

impl Sum for Ball {
    fn sum<I: Iterator<Item = Ball>>(terms: I) -> Ball {
        terms.fold(Ball::ZERO, |sum, term| sum + term)
    }
}
