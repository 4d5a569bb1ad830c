//! Twice the precision of f64, for runs below f64's rounding floor.

use crate::Scalar;
use gdcert_base::simd::{Isa, Op, Vectors};
use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub, SubAssign};

/// An unevaluated sum hi + lo with |lo| <= ulp(hi) / 2: about 32 decimal digits.
///
/// With u = 2^-53, and as long as nothing overflows and no partial product falls below 2^-1022
/// (results above 2^-900 or so), each operation has a relative error of at most
///
/// | operation | bound | source |
/// |---|---|---|
/// | `+`, `-` | 3 u^2 + 13 u^3 | AccurateDWPlusDW |
/// | `*` | 5 u^2 | DWTimesDW2 |
/// | `/` | 15 u^2 + 56 u^3 | DWDivDW2 |
/// | `sqrt` | 4 u^2 | see [`sqrt`](Scalar::sqrt) |
/// | `exp` | 2^-98 | see [`exp`](Scalar::exp) |
///
/// (M. Joldes, J.-M. Muller, V. Popescu, *Tight and rigorous error bounds for basic building blocks of
/// double-word arithmetic*, ACM TOMS 44, 2017; u^2 = 2^-106). An invalid operation gives NaN.
///
/// ```
/// use gdcert_numbers::{DoubleDouble, Scalar};
/// let third = DoubleDouble::from_f64(1.0) / DoubleDouble::from_f64(3.0);
/// let error = third * DoubleDouble::from_f64(3.0) - DoubleDouble::from_f64(1.0);
/// assert!(error.hi().abs() < 1e-31);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DoubleDouble {
    hi: f64,
    lo: f64,
}

/// s = fl(a + b) and e with s + e = a + b exactly (Knuth; any order of magnitude, no overflow).
#[inline(always)]
pub fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let s = a + b;
    let t = s - a;
    (s, (a - (s - t)) + (b - t))
}

/// p = fl(a b) and e with p + e = a b exactly, if a b is above 2^-968 or 0 and does not overflow.
/// `mul_add` rounds once whether or not the machine has the instruction.
#[inline(always)]
pub fn two_product(a: f64, b: f64) -> (f64, f64) {
    let p = a * b;
    (p, a.mul_add(b, -p))
}

/// As [`two_sum`], for |a| >= |b| or a = 0.
#[inline(always)]
fn fast_two_sum(a: f64, b: f64) -> (f64, f64) {
    let s = a + b;
    (s, b - (s - a))
}

/// 2^k for -1022 <= k <= 1023.
#[inline]
pub const fn power_of_two(k: i32) -> f64 {
    f64::from_bits(((k + 1023) as u64) << 52)
}

impl DoubleDouble {
    /// The number hi + lo, normalised.
    pub fn new(hi: f64, lo: f64) -> Self {
        let (hi, lo) = two_sum(hi, lo);
        DoubleDouble { hi, lo }
    }

    /// The f64 nearest to the number.
    pub fn hi(self) -> f64 {
        self.hi
    }

    /// The number minus [`DoubleDouble::hi`].
    pub fn lo(self) -> f64 {
        self.lo
    }

    #[inline(always)]
    fn normalised((hi, lo): (f64, f64)) -> Self {
        DoubleDouble { hi, lo }
    }

    /// 2^k times self, exact up to underflow; |k| <= 2044.
    fn times_power_of_two(self, k: i32) -> Self {
        // Two steps: 2^k alone may not be an f64. The first step never underflows here.
        let (first, second) = (power_of_two(k / 2), power_of_two(k - k / 2));
        DoubleDouble {
            hi: self.hi * first * second,
            lo: self.lo * first * second,
        }
    }
}

/// exp(x) = (y_hi + y_lo) 2^k (1 + e) for |x| < 800, |e| <= 2^-98, with 0.7 < y_hi < 1.42 and the pair
/// normalised.
///
/// Proof.
/// - k = round(x / ln 2), |k| <= 1155 < 2^11. ln 2 = L1 + L2 + L3 (1 + e3), L1 of 32 and L2 of 33 bits, so k L1 and
///   k L2 are exact; L3 < 2^-65 is off by less than 2^-119. In r = x - k ln 2, x - k L1 is exact (TwoSum), the two
///   double-double additions act on numbers below 1/2, so each adds less than 3 u^2 / 2, and k L3 < 2^-54 adds
///   2^-108 (product rounded) and 2^-108 (L3's own error): |delta r| < 2^-103, |r| < 0.3467.
/// - t = r / 2^8 (exact), |t| < 2^-9.5. p = e^t - 1 is t + t^2/2 + ... + t^5/120 + t^6 c with c = 1/720 + ... + t^3/9! in
///   f64. What is cut off is below 1.01 t^10/10! < 2^-107 |t|. c, t c and the pairs it is added to lose at most 12 u of
///   t^6/720, which is below 2^-49.4 2^-57 |t| = 2^-106.4 |t|. The double-double operations on the leading terms
///   t + t q, |q| <= |t|, add at most 3 u^2 + 20 u^2 |q| relative to p. So p has relative error below 2^-103.
/// - Each of the 8 doublings p <- 2 p + p^2 (that is e^{2t} - 1) multiplies the relative error of p by
///   |(2 + 2p) / (2 + p)| <= 1 + |p|/2 at p > 0 and <= 1 at p < 0 (all factors together below 1.3, since |p| halves
///   each time going back), and adds less than 3 u^2 + 5 u^2 |p|/(2 - |p|) < 2^-104.
/// - Hence |p| <= 0.42 is off by at most 0.42 1.3 (2^-103 + 8 2^-104) + 1.42 2^-103 (delta r), below 2^-100, and
///   e^r = 1 + p >= 0.7 has relative error below 2^-99. The bound stated is one bit weaker.
pub(crate) fn exp_parts(x: DoubleDouble) -> (DoubleDouble, i32) {
    Isa::best().run(ExpParts(x))
}

/// [`exp_parts`] where the instruction set's fused multiply-add is known: without it, each is a call. The results are the same.
struct ExpParts(DoubleDouble);

impl Op for ExpParts {
    type Output = (DoubleDouble, i32);

    #[inline(always)]
    fn run<S: Vectors>(self, _: S) -> Self::Output {
        exp_parts_in_place(self.0)
    }
}

#[inline(always)]
fn exp_parts_in_place(x: DoubleDouble) -> (DoubleDouble, i32) {
    // 32 + 33 bits, and the rest rounded.
    const LN2_1: f64 = f64::from_bits(0x3fe6_2e42_fee0_0000);
    const LN2_2: f64 = f64::from_bits(0x3dea_39ef_3570_0000);
    let k = (x.hi * std::f64::consts::LOG2_E).round();
    let first = DoubleDouble::normalised(two_sum(x.hi, -(k * LN2_1)));
    let second = DoubleDouble::new(x.lo, -(k * LN2_TAIL));
    let r = first + DoubleDouble::from_f64(-(k * LN2_2)) + second;
    let t = DoubleDouble {
        hi: r.hi * (1.0 / 256.0),
        lo: r.lo * (1.0 / 256.0),
    };
    let th = t.hi;
    let c = 1.0 / 720.0 + th * (1.0 / 5040.0 + th * (1.0 / 40320.0 + th * (1.0 / 362_880.0)));
    let mut q = DoubleDouble::from_f64(th * c);
    for inverse_factorial in INVERSE_FACTORIALS {
        q = (q + inverse_factorial) * t;
    }
    // q = t/2 + t^2/6 + ..., p = t + t q.
    let mut p = t + t * q;
    for _ in 0..8 {
        p = DoubleDouble {
            hi: 2.0 * p.hi,
            lo: 2.0 * p.lo,
        } + p * p;
    }
    (DoubleDouble::from_f64(1.0) + p, k as i32)
}

/// 1/120, 1/24, 1/6, 1/2, each to double-double accuracy.
const INVERSE_FACTORIALS: [DoubleDouble; 4] = [
    DoubleDouble {
        hi: 1.0 / 120.0,
        lo: INV_120_LO,
    },
    DoubleDouble {
        hi: 1.0 / 24.0,
        lo: INV_24_LO,
    },
    DoubleDouble {
        hi: 1.0 / 6.0,
        lo: INV_6_LO,
    },
    DoubleDouble { hi: 0.5, lo: 0.0 },
];
const LN2_TAIL: f64 = f64::from_bits(0x3bd2_78ec_e600_fcbe);
const INV_120_LO: f64 = f64::from_bits(0x3c01_1111_1111_1111);
const INV_24_LO: f64 = f64::from_bits(0x3c45_5555_5555_5555);
const INV_6_LO: f64 = f64::from_bits(0x3c65_5555_5555_5555);

impl Add for DoubleDouble {
    type Output = Self;
    #[inline(always)]
    fn add(self, b: Self) -> Self {
        let (s, e) = two_sum(self.hi, b.hi);
        let (t, f) = two_sum(self.lo, b.lo);
        let (s, e) = fast_two_sum(s, e + t);
        Self::normalised(fast_two_sum(s, e + f))
    }
}

impl Sub for DoubleDouble {
    type Output = Self;
    #[inline]
    fn sub(self, b: Self) -> Self {
        self + -b
    }
}

impl Mul for DoubleDouble {
    type Output = Self;
    #[inline(always)]
    fn mul(self, b: Self) -> Self {
        let (p, e) = two_product(self.hi, b.hi);
        let t = self.hi.mul_add(b.lo, self.lo * b.hi);
        Self::normalised(fast_two_sum(p, e + t))
    }
}

impl Div for DoubleDouble {
    type Output = Self;
    fn div(self, b: Self) -> Self {
        let q = self.hi / b.hi;
        // r = b q, then the remainder a - r divided by b.
        let (p, e) = two_product(b.hi, q);
        let (r, r_lo) = fast_two_sum(p, b.lo.mul_add(q, e));
        let remainder = (self.hi - r) + (self.lo - r_lo);
        Self::normalised(fast_two_sum(q, remainder / b.hi))
    }
}

impl Neg for DoubleDouble {
    type Output = Self;
    #[inline]
    fn neg(self) -> Self {
        DoubleDouble {
            hi: -self.hi,
            lo: -self.lo,
        }
    }
}

impl AddAssign for DoubleDouble {
    #[inline]
    fn add_assign(&mut self, b: Self) {
        *self = *self + b;
    }
}

impl SubAssign for DoubleDouble {
    #[inline]
    fn sub_assign(&mut self, b: Self) {
        *self = *self - b;
    }
}

impl Scalar for DoubleDouble {
    fn from_f64(x: f64) -> Self {
        DoubleDouble { hi: x, lo: 0.0 }
    }

    /// `exp_parts` times 2^k; below 2^-1022 the result is as good as f64's subnormal numbers allow.
    fn exp(self) -> Self {
        if self.hi.is_nan() {
            return self;
        }
        if self.hi > 710.0 {
            return Self::from_f64(f64::INFINITY);
        }
        if self.hi < -750.0 {
            return Self::from_f64(0.0);
        }
        let (y, k) = exp_parts(self);
        y.times_power_of_two(k)
    }

    /// One Newton step from s = fl(sqrt(hi)): s + (a - s^2) / (2 s). a - s^2 is exact but for the rounding of
    /// adding lo; the step's own error is (a - s^2)^2 / (8 s^3) <= u^2 s / 2 and three roundings of a
    /// correction below 2 u s add 3 u^2 (rounded up: 4 u^2 in all).
    fn sqrt(self) -> Self {
        let s = self.hi.sqrt();
        if s == 0.0 || !s.is_finite() {
            return Self::from_f64(s);
        }
        let remainder = (-s).mul_add(s, self.hi) + self.lo;
        Self::normalised(fast_two_sum(s, remainder / (2.0 * s)))
    }

    fn value(self) -> f64 {
        self.hi
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Every product is rounded once, whichever instruction does it.
        #[test]
        fn exp_has_the_same_bits_on_every_instruction_set(hi in -750.0..710.0, lo in -1.0..1.0) {
            let x = DoubleDouble::new(hi, lo * 1e-17);
            let (y, k) = exp_parts_in_place(x);
            for isa in Isa::available() {
                let (z, j) = isa.run(ExpParts(x));
                prop_assert_eq!(
                    (y.hi.to_bits(), y.lo.to_bits(), k),
                    (z.hi.to_bits(), z.lo.to_bits(), j),
                    "{}",
                    isa.name()
                );
            }
        }
    }
}
