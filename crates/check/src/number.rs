//! Double-double numbers: an unevaluated sum hi + lo with |lo| <= ulp(hi) / 2, about 32 decimal
//! digits.

use std::ops::{Add, Div, Mul, Neg, Sub};

/// With u = 2^-53, while nothing overflows and nothing of interest underflows (see
/// [`Ball`](super::ball::Ball) and `gram.rs`, which add what underflow can do), the relative errors
/// are at most
///
/// | operation | bound | why |
/// |---|---|---|
/// | `+`, `-` | 3 u^2 + 13 u^3 | AccurateDWPlusDW |
/// | `*` | 7 u^2 | DWTimesDW1 |
/// | `/` | 32 u^2 | see `div` |
/// | `sqrt` | 8 u^2 | see `sqrt` |
/// | `exp` | 2^-98 | see `exp` |
///
/// (M. Joldes, J.-M. Muller, V. Popescu, *Tight and rigorous error bounds for basic building blocks
/// of double-word arithmetic*, ACM TOMS 44, 2017). All but exp are below [`ROUNDING`]. No fused
/// multiply-add is needed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Double {
    pub(crate) hi: f64,
    pub(crate) lo: f64,
}

/// 2^k for -1022 <= k <= 1023.
pub(crate) const fn power(k: i64) -> f64 {
    f64::from_bits(((k + 1023) as u64) << 52)
}

/// 64 u^2, above the relative error of + - * / sqrt.
pub(crate) const ROUNDING: f64 = power(-100);

/// s = fl(a + b) and e with s + e = a + b exactly (Knuth).
#[inline(always)]
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let s = a + b;
    let t = s - a;
    (s, (a - (s - t)) + (b - t))
}

/// As [`two_sum`], for |a| >= |b| or a = 0.
#[inline(always)]
fn fast_two_sum(a: f64, b: f64) -> Double {
    let s = a + b;
    Double { hi: s, lo: b - (s - a) }
}

/// p = fl(a b) and e with p + e = a b exactly, by Dekker's splitting.
#[inline(always)]
fn two_product(a: f64, b: f64) -> (f64, f64) {
    let split = |a: f64| {
        let c = 134_217_729.0 * a;
        let upper = c - (c - a);
        (upper, a - upper)
    };
    let ((a1, a2), (b1, b2)) = (split(a), split(b));
    let p = a * b;
    (p, a2 * b2 - (((p - a1 * b1) - a2 * b1) - a1 * b2))
}

impl Double {
    pub(crate) const ZERO: Double = Double { hi: 0.0, lo: 0.0 };

    pub(crate) const fn exact(x: f64) -> Self {
        Double { hi: x, lo: 0.0 }
    }

    /// The sum of two f64 numbers, exactly.
    pub(crate) fn of_sum(a: f64, b: f64) -> Self {
        let (hi, lo) = two_sum(a, b);
        Double { hi, lo }
    }

    /// Times a power of two, exact unless it underflows.
    #[inline(always)]
    pub(crate) fn scaled(self, power: f64) -> Self {
        Double { hi: self.hi * power, lo: self.lo * power }
    }

    /// One Newton step from s = fl(sqrt(hi)): s + (a - s^2) / (2 s). a - s^2 is exact but for two
    /// roundings of numbers below 4 u s^2; the step's own error is (a - s^2)^2 / (8 s^3) <= u^2 s /
    /// 2, and the correction below 2 u s is rounded twice more: below 8 u^2 in all.
    pub(crate) fn sqrt(self) -> Self {
        let s = self.hi.sqrt();
        if s == 0.0 || !s.is_finite() {
            return Double::exact(s);
        }
        let (p, e) = two_product(s, s);
        fast_two_sum(s, (((self.hi - p) - e) + self.lo) / (2.0 * s))
    }

    /// exp(self) = (y_hi + y_lo) 2^k (1 + e) for |self| < 801, |e| <= 2^-98, with 0.7 < y_hi <
    /// 1.42.
    ///
    /// Proof.
    /// - k = round(x / ln 2), |k| <= 1156 < 2^11. ln 2 = L1 + L2 + L3 (1 + e3), L1 of 32 and L2 of
    ///   33 bits, so k L1 and k L2 are exact; L3 < 2^-65 is off by less than 2^-119. In r = x - k
    ///   ln 2, x - k L1 is exact (TwoSum), the two double-double additions act on numbers below
    ///   1/2, so each adds less than 3 u^2 / 2, and k L3 < 2^-54 adds 2^-108 (product rounded) and
    ///   2^-108 (L3's own error): |delta r| < 2^-103, |r| < 0.3467.
    /// - t = r / 2^8 (exact), |t| < 2^-9.5. p = e^t - 1 is t + t^2/2 + ... + t^5/120 + t^6 c with c
    ///   = 1/720 + ... + t^3/9! in f64. What is cut off is below 1.01 t^10/10! < 2^-107 |t|. c, t c
    ///   and the pairs it is added to lose at most 12 u of t^6/720, which is below 2^-49.4 2^-57
    ///   |t| = 2^-106.4 |t|. The double-double operations on the leading terms t + t q, |q| <= |t|,
    ///   add at most 3 u^2 + 28 u^2 |q| relative to p. So p has relative error below 2^-103.
    /// - Each of the 8 doublings p <- 2 p + p^2 (that is e^{2t} - 1) multiplies the relative error
    ///   of p by |(2 + 2p) / (2 + p)| <= 1 + |p|/2 at p > 0 and <= 1 at p < 0 (all factors together
    ///   below 1.3, since |p| halves each time going back), and adds less than 3 u^2 + 7 u^2 |p|/(2
    ///   - |p|) < 2^-103.
    /// - Hence |p| <= 0.42 is off by at most 0.42 1.3 (9 2^-103) + 1.42 2^-103 (delta r), below
    ///   2^-100.3, and e^r = 1 + p >= 0.7 has relative error below 2^-99. The bound stated is one bit
    ///   weaker.
    pub(crate) fn exp(self) -> (Double, i64) {
        // 32 + 33 bits, and the rest rounded.
        const LN2_1: f64 = f64::from_bits(0x3fe6_2e42_fee0_0000);
        const LN2_2: f64 = f64::from_bits(0x3dea_39ef_3570_0000);
        const LN2_3: f64 = f64::from_bits(0x3bd2_78ec_e600_fcbe);
        // 1/120, 1/24, 1/6, 1/2.
        let inverse_factorials = [
            (1.0 / 120.0, 0x3c01_1111_1111_1111),
            (1.0 / 24.0, 0x3c45_5555_5555_5555),
            (1.0 / 6.0, 0x3c65_5555_5555_5555),
            (0.5, 0),
        ];
        let k = (self.hi * std::f64::consts::LOG2_E).round();
        let r = Double::of_sum(self.hi, -(k * LN2_1)) + Double::exact(-(k * LN2_2));
        let r = r + Double::of_sum(self.lo, -(k * LN2_3));
        let t = r.scaled(1.0 / 256.0);
        let th = t.hi;
        let c = 1.0 / 720.0 + th * (1.0 / 5040.0 + th * (1.0 / 40320.0 + th * (1.0 / 362_880.0)));
        let mut q = Double::exact(th * c);
        for (hi, lo) in inverse_factorials {
            let lo = f64::from_bits(lo);
            q = (q + Double { hi, lo }) * t;
        }
        // q = t/2 + t^2/6 + ..., p = t + t q.
        let mut p = t + t * q;
        for _ in 0..8 {
            p = p.scaled(2.0) + p * p;
        }
        (Double::exact(1.0) + p, k as i64)
    }
}

impl Add for Double {
    type Output = Self;
    #[inline(always)]
    fn add(self, b: Self) -> Self {
        let (s, e) = two_sum(self.hi, b.hi);
        let (t, f) = two_sum(self.lo, b.lo);
        let s = fast_two_sum(s, e + t);
        fast_two_sum(s.hi, s.lo + f)
    }
}

impl Neg for Double {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        self.scaled(-1.0)
    }
}

impl Sub for Double {
    type Output = Self;
    #[inline(always)]
    fn sub(self, b: Self) -> Self {
        self + -b
    }
}

impl Mul for Double {
    type Output = Self;
    #[inline(always)]
    fn mul(self, b: Self) -> Self {
        let (p, e) = two_product(self.hi, b.hi);
        fast_two_sum(p, e + (self.hi * b.lo + self.lo * b.hi))
    }
}

impl Div for Double {
    type Output = Self;
    /// q = fl(a_hi / b_hi) is within 4 u of a / b, so |a - b q| <= 4 u |a|. That remainder is
    /// evaluated off by at most 4 u^2 |a| (b_lo q and what it is added to) and two roundings of
    /// numbers below 8 u |a|; dividing it by b_hi and not by b adds 2 u of 4 u. Below 32 u^2 in
    /// all.
    fn div(self, b: Self) -> Self {
        let q = self.hi / b.hi;
        let (p, e) = two_product(b.hi, q);
        let remainder = (self.hi - p) + (self.lo - (e + b.lo * q));
        fast_two_sum(q, remainder / b.hi)
    }
}
