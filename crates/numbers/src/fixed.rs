//! Fixed-point ball numbers: a midpoint a v with an integer a of L words, v = 2^-F, F = 64 (L - 1), and a radius.
//!
//! What matters along an orbit is an absolute error, so fixed point is the right form: sums are exact and nothing is
//! normalised. An operation's result holds every exact result, as for [`Interval`](crate::certificate::Interval); the rule
//! that makes it so is proven beside each. Radii are counted in units of v, since v itself may be far below the smallest f64.
//!
//! The integer part has 64 bits with the sign. What does not fit has an infinite radius: nothing is known, and no inequality
//! follows. What is too small costs an absolute error of a few v and nothing else.
//!
//! **Radii.** Every radius is a sum or product of at most a dozen non-negative f64, evaluated to nearest and multiplied by
//! 1 + 2^-48 ([`up`]): more than their relative roundings, each at most 2^-53. Where such a product may underflow, a
//! number above 1 is added to it.

mod smooth;

use crate::Scalar;
use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub, SubAssign};
use std::sync::OnceLock;

/// All real numbers within `radius` v of the midpoint; L >= 3 words.
///
/// ```
/// use gdcert_numbers::{Fixed, Scalar};
/// type Number = Fixed<5>;
/// let third = Number::from_f64(1.0) / Number::from_f64(3.0);
/// let (near, error) = (third + third + third - Number::from_f64(1.0)).near();
/// assert!(near.abs() <= error && error < 1e-70);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fixed<const L: usize> {
    /// The integer in two's complement, the lowest word first.
    words: [u64; L],
    /// In units of v; never NaN.
    radius: f64,
}

/// 1 + 2^-48.
const MORE: f64 = 1.0 + 16.0 * f64::EPSILON;

/// An upper bound of a sum of products of non-negative numbers that was computed to nearest.
#[inline]
fn up(x: f64) -> f64 {
    x * MORE
}

/// x 2^e for x >= 0, not below it: two factors reach every exponent that occurs, and what underflows is rounded up.
pub fn scale_up(x: f64, e: i64) -> f64 {
    if x == 0.0 {
        return 0.0;
    }
    let mut x = x;
    let mut e = e;
    while e < -1000 {
        x *= power(-1000);
        e += 1000;
        if x == 0.0 {
            break;
        }
    }
    while e > 1000 {
        x *= power(1000);
        e -= 1000;
    }
    (x * power(e.clamp(-1000, 1000))).next_up().next_up()
}

/// x 2^e to nearest, 0 where it underflows.
fn scale(x: f64, e: i64) -> f64 {
    let mut x = x;
    let mut e = e;
    while e < -1000 && x != 0.0 {
        x *= power(-1000);
        e += 1000;
    }
    x * power(e.clamp(-1000, 1000))
}

/// 2^e for |e| <= 1022.
fn power(e: i64) -> f64 {
    f64::from_bits(((e + 1023) as u64) << 52)
}

impl<const L: usize> Fixed<L> {
    /// F: the number of bits after the point.
    pub const BITS: usize = 64 * (L - 1);

    const ZERO: Self = Fixed {
        words: [0; L],
        radius: 0.0,
    };

    /// Nothing is known.
    const UNKNOWN: Self = Fixed {
        words: [0; L],
        radius: f64::INFINITY,
    };

    /// `words` with a radius, unless that is NaN or infinite.
    #[inline]
    fn new(words: [u64; L], radius: f64) -> Self {
        // NaN must end in the second branch.
        if radius < f64::INFINITY {
            Fixed { words, radius }
        } else {
            Self::UNKNOWN
        }
    }

    /// The midpoint as an exact number, and the radius in units of v.
    pub fn split(self) -> (Self, f64) {
        let exact = Fixed {
            words: self.words,
            radius: 0.0,
        };
        (exact, self.radius)
    }

    /// An f64 and a bound on how far from it the number can be.
    pub fn near(self) -> (f64, f64) {
        let near = self.value();
        // Two words, each converted with a relative error of 2^-53 and added with another, hold all but 2^-64 of
        // the magnitude; `scale` may lose what is below the smallest normal number.
        let error = near.abs() * (8.0 * f64::EPSILON) + self.radius_up() + f64::MIN_POSITIVE;
        (
            near,
            if error < f64::INFINITY {
                up(error)
            } else {
                f64::INFINITY
            },
        )
    }

    /// The radius as a real number, from above.
    pub fn radius_up(self) -> f64 {
        scale_up(self.radius, -(Self::BITS as i64))
    }

    #[inline]
    fn negative(&self) -> bool {
        is_negative(&self.words)
    }

    /// |midpoint| from above, at least 2^-50: from the two highest words h + l 2^-64, whose conversions and sum are off by at
    /// most 2^-53 (|h| + 1) each; the words below add less than 2^-64.
    #[inline]
    fn magnitude(&self) -> f64 {
        let x = self.words[L - 1] as i64 as f64 + self.words[L - 2] as f64 * power(-64);
        (x.abs() + 1.0 / (1u64 << 50) as f64) * (1.0 + 8.0 * f64::EPSILON)
    }

    /// |midpoint| from below, or a number that is not positive.
    fn magnitude_lower(&self) -> f64 {
        let x = self.words[L - 1] as i64 as f64 + self.words[L - 2] as f64 * power(-64);
        x.abs() * (1.0 - 8.0 * f64::EPSILON) - 1.0 / (1u64 << 50) as f64
    }

    /// v from above.
    #[inline]
    fn unit() -> f64 {
        power(-(Self::BITS.min(1000) as i64))
    }

    /// Exactly self / 2^k rounded down: off by less than v.
    fn shift_right(self, k: usize) -> Self {
        let words = shift_right(&self.words, k);
        Self::new(words, up(scale_up(self.radius, -(k as i64)) + 1.0))
    }

    /// self 2^k, exactly, for a number that is not negative.
    fn shift_left(self, k: usize) -> Self {
        let mut words = self.words;
        for _ in 0..k {
            if words[L - 1] >> 62 != 0 {
                return Self::UNKNOWN;
            }
            for i in (0..L).rev() {
                let low = if i > 0 { words[i - 1] >> 63 } else { 0 };
                words[i] = words[i] << 1 | low;
            }
        }
        Self::new(words, scale_up(self.radius, k as i64))
    }

    /// self / i for a number that is not negative, rounded down: off by less than v; the radius is divided too.
    fn over(mut self, i: u32) -> Self {
        let mut rest = 0u64;
        for word in self.words.iter_mut().rev() {
            if rest == 0 && *word == 0 {
                continue;
            }
            let i = u64::from(i);
            let high = (rest << 32) | (*word >> 32);
            let low = ((high % i) << 32) | (*word & 0xffff_ffff);
            *word = ((high / i) << 32) | (low / i);
            rest = low % i;
        }
        Self::new(self.words, up(self.radius / f64::from(i) + 1.0))
    }
}

#[inline]
fn is_negative<const L: usize>(words: &[u64; L]) -> bool {
    words[L - 1] >> 63 == 1
}

/// a + b, or `None` if it does not fit.
#[inline]
fn sum<const L: usize>(a: &[u64; L], b: &[u64; L]) -> Option<[u64; L]> {
    let mut out = [0; L];
    let mut carry = false;
    for i in 0..L {
        (out[i], carry) = adc(a[i], b[i], carry);
    }
    let sign = (a[L - 1] ^ out[L - 1]) & (b[L - 1] ^ out[L - 1]);
    (sign >> 63 == 0).then_some(out)
}

/// a - b, or `None` if it does not fit.
#[inline]
fn difference<const L: usize>(a: &[u64; L], b: &[u64; L]) -> Option<[u64; L]> {
    let mut out = [0; L];
    let mut borrow = false;
    for i in 0..L {
        (out[i], borrow) = sbb(a[i], b[i], borrow);
    }
    let sign = (a[L - 1] ^ b[L - 1]) & (a[L - 1] ^ out[L - 1]);
    (sign >> 63 == 0).then_some(out)
}

#[inline]
fn adc(a: u64, b: u64, carry: bool) -> (u64, bool) {
    let (s, c) = a.overflowing_add(b);
    let (s, d) = s.overflowing_add(u64::from(carry));
    (s, c | d)
}

#[inline]
fn sbb(a: u64, b: u64, borrow: bool) -> (u64, bool) {
    let (s, c) = a.overflowing_sub(b);
    let (s, d) = s.overflowing_sub(u64::from(borrow));
    (s, c | d)
}

/// The product a b / 2^F of integers, or `None` if it does not fit; not above the exact one and less than L below it.
///
/// As unsigned numbers (those below 0 with 2^(64 L) added), columns of words below L - 2 are left out: column j holds at most
/// j + 1 products below 2^128, together less than (L - 2) 2^(64 (L - 1)) (1 + 2^-60), which is less than L - 1 units of column
/// L - 1, where the result begins; cutting off there loses less than another. What the sign adds is taken off exactly.
/// The cost is that of the words of `a` that are not 0.
#[inline(never)] // A copy for each of its uses would be most of the program.
fn product<const L: usize>(a: &[u64; L], b: &[u64; L]) -> Option<[u64; L]> {
    let mut columns = [[0u64; L]; 2];
    let c = columns.as_flattened_mut();
    // Rows whose number is known to the compiler take half the time: their loops have a known length.
    macro_rules! rows {
        ($($i:literal)*) => { $(if $i < L { row($i, a, b, c) })* };
    }
    rows!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23);
    for i in 24..L {
        row(i, a, b, c);
    }
    let (of_a, of_b) = (mask(a), mask(b));
    let (mut borrow_a, mut borrow_b) = (false, false);
    for k in 0..L {
        (c[L + k], borrow_a) = sbb(c[L + k], b[k] & of_a, borrow_a);
        (c[L + k], borrow_b) = sbb(c[L + k], a[k] & of_b, borrow_b);
    }
    let mut out = [0; L];
    out.copy_from_slice(&c[L - 1..2 * L - 1]);
    (c[2 * L - 1] == mask(&out)).then_some(out)
}

/// Adds word i of `a` times `b` to the columns from L - 2 on.
#[inline(always)]
fn row<const L: usize>(i: usize, a: &[u64; L], b: &[u64; L], c: &mut [u64]) {
    let x = u128::from(a[i]);
    if x == 0 {
        return;
    }
    let mut carry = 0u64;
    for j in L.saturating_sub(2 + i)..L {
        let s = x * u128::from(b[j]) + u128::from(c[i + j]) + u128::from(carry);
        c[i + j] = s as u64;
        carry = (s >> 64) as u64;
    }
    c[i + L] = carry;
}

/// All ones for a number below 0.
#[inline]
fn mask<const L: usize>(a: &[u64; L]) -> u64 {
    (a[L - 1] as i64 >> 63) as u64
}

fn shift_right<const L: usize>(a: &[u64; L], k: usize) -> [u64; L] {
    let (whole, part) = (k / 64, k % 64);
    let word = |i: usize| if i < L { a[i] } else { mask(a) };
    std::array::from_fn(|i| {
        let low = word(i + whole) >> part;
        if part == 0 {
            low
        } else {
            low | word(i + whole + 1) << (64 - part)
        }
    })
}

/// |a| as an integer, from above.
fn integer_up<const L: usize>(a: &[u64; L]) -> f64 {
    let mut x = 0.0;
    let ones = mask(a);
    for &word in a.iter().rev() {
        x = x * power(64) + (word ^ ones) as f64;
    }
    // |a| is the complement plus 1 where a is below 0. Every word was converted and added to nearest.
    x * (1.0 + (4 * L) as f64 * f64::EPSILON) + (ones & 1) as f64 * 2.0
}

impl<const L: usize> Add for Fixed<L> {
    type Output = Self;
    /// Midpoints add exactly; |a + b - mid| <= r_a + r_b.
    #[inline]
    fn add(self, b: Self) -> Self {
        match sum(&self.words, &b.words) {
            Some(words) => Self::new(words, up(self.radius + b.radius)),
            None => Self::UNKNOWN,
        }
    }
}

impl<const L: usize> Sub for Fixed<L> {
    type Output = Self;
    #[inline]
    #[allow(clippy::suspicious_arithmetic_impl)] // radii add up
    fn sub(self, b: Self) -> Self {
        match difference(&self.words, &b.words) {
            Some(words) => Self::new(words, up(self.radius + b.radius)),
            None => Self::UNKNOWN,
        }
    }
}

impl<const L: usize> Mul for Fixed<L> {
    type Output = Self;
    /// ab - am bm = am (b - bm) + bm (a - am) + (a - am)(b - bm), and [`product`] is off by less than L v. Where a radius is
    /// infinite and the other 0, the sum is NaN or infinite, and nothing is known.
    #[inline]
    fn mul(self, b: Self) -> Self {
        let (ra, rb) = (self.radius, b.radius);
        let radius = (self.magnitude() + ra * Self::unit()) * rb + b.magnitude() * ra + L as f64;
        match product(&self.words, &b.words) {
            Some(words) => Self::new(words, up(radius)),
            None => Self::UNKNOWN,
        }
    }
}

impl<const L: usize> Div for Fixed<L> {
    type Output = Self;
    /// For any q: a/b - q = (a - q b)/b, and |a - q b| <= |am - q bm| + r_a + |q| r_b, |b| >= |bm| - r_b. So nothing depends on
    /// where q comes from: Newton's steps for 1/b, which double the correct bits.
    fn div(self, b: Self) -> Self {
        let divisor = b.magnitude_lower() - up(b.radius_up());
        // NaN and what may hold 0 must end here.
        if !(divisor > 0.0 && self.radius < f64::INFINITY) {
            return Self::UNKNOWN;
        }
        let quotient = || {
            let one = Self::from_f64(1.0).words;
            let mut y = Self::from_f64(1.0 / b.value()).words;
            let mut bits = 50;
            while bits < Self::BITS + 64 {
                let error = difference(&one, &product(&y, &b.words)?)?;
                y = sum(&y, &product(&y, &error)?)?;
                bits *= 2;
                shorten(&mut y, bits);
            }
            let q = product(&self.words, &y)?;
            let rest = difference(&self.words, &product(&q, &b.words)?)?;
            Some((q, integer_up(&rest)))
        };
        let Some((q, rest)) = quotient() else {
            return Self::UNKNOWN;
        };
        let q = Fixed {
            words: q,
            radius: 0.0,
        };
        let above = rest + L as f64 + self.radius + q.magnitude() * b.radius;
        Self::new(q.words, up(above / (divisor * (1.0 - 4.0 * f64::EPSILON))))
    }
}

/// Leaves out what is below the highest `bits` bits and a word more: rows of a product that would cost and not count.
fn shorten<const L: usize>(y: &mut [u64; L], bits: usize) {
    let ones = mask(y);
    let top = y.iter().rposition(|&word| word != ones).unwrap_or(0);
    let keep = bits / 64 + 2;
    if top + 1 > keep {
        y[..top + 1 - keep].fill(0);
    }
}

impl<const L: usize> Neg for Fixed<L> {
    type Output = Self;
    #[inline]
    fn neg(self) -> Self {
        Self::ZERO - self
    }
}

impl<const L: usize> AddAssign for Fixed<L> {
    #[inline]
    fn add_assign(&mut self, b: Self) {
        *self = *self + b;
    }
}

impl<const L: usize> SubAssign for Fixed<L> {
    #[inline]
    fn sub_assign(&mut self, b: Self) {
        *self = *self - b;
    }
}

impl<const L: usize> Scalar for Fixed<L> {
    /// Exact where x is a multiple of v; what is cut off is less than v.
    fn from_f64(x: f64) -> Self {
        let bits = x.to_bits();
        let exponent = (bits >> 52 & 0x7ff) as i64;
        let fraction = bits & ((1 << 52) - 1);
        if exponent == 0x7ff {
            return Self::UNKNOWN;
        }
        // |x| = mantissa 2^e = mantissa 2^shift v.
        let (mantissa, e) = match exponent {
            0 => (fraction, -1074),
            _ => (fraction | 1 << 52, exponent - 1075),
        };
        let shift = e + Self::BITS as i64;
        let mut words = [0; L];
        let mut radius = 0.0;
        if shift < 0 {
            let cut = (-shift).min(63) as u32;
            words[0] = mantissa >> cut;
            if words[0] << cut != mantissa {
                radius = 1.0;
            }
        } else if mantissa != 0 {
            let (word, part) = ((shift / 64) as usize, shift % 64);
            let wide = u128::from(mantissa) << part;
            let fits =
                |word: usize, x: u64| x == 0 || word + 1 < L || word + 1 == L && x >> 63 == 0;
            let (low, high) = (wide as u64, (wide >> 64) as u64);
            if !(fits(word, low) && fits(word + 1, high)) {
                return Self::UNKNOWN;
            }
            for (word, x) in [(word, low), (word + 1, high)] {
                if x != 0 {
                    words[word] = x;
                }
            }
        }
        let found = Fixed { words, radius };
        if x < 0.0 { -found } else { found }
    }

    /// am = k ln 2 + r, r = i / 2^7 + j / 2^14 + t with t from the bits of r below the 14th: e^r = e^(i / 2^7) e^(j / 2^14) e^t,
    /// the first two from [`tables`], all in balls. A radius r_a of the argument adds
    /// e^am (e^(r_a) - 1) <= e^am (r_a + r_a^2) for r_a <= 1.
    fn exp(self) -> Self {
        let x = self.value();
        let ra = self.radius_up();
        // e^43.5 < 2^63. NaN does not occur.
        if ra > 0.5 || x > 43.5 {
            return Self::UNKNOWN;
        }
        if x < -(Self::BITS as f64 + 4.0) {
            // e^(x + 1) < v.
            return Self::new([0; L], 1.0);
        }
        let mut k = (x / std::f64::consts::LN_2).floor() as i64;
        let ln2 = ln2::<L>();
        let multiple = ln2.by(k.unsigned_abs());
        let (mid, _) = self.split();
        let mut r = if k < 0 {
            mid + multiple
        } else {
            mid - multiple
        };
        if r.negative() {
            r += ln2;
            k -= 1;
        }
        let high = r.words[L - 2];
        let mut t = r;
        t.words[L - 2] = high & (u64::MAX >> (2 * TABLE_BITS));
        let [coarse, fine] = tables::<L>();
        let (i, j) = (
            high >> (64 - TABLE_BITS),
            high >> (64 - 2 * TABLE_BITS) & ((1 << TABLE_BITS) - 1),
        );
        let Some((of_i, of_j)) = entry(coarse, i as usize).zip(entry(fine, j as usize)) else {
            return Self::UNKNOWN;
        };
        if t.words[L - 1] != 0 {
            return Self::UNKNOWN;
        }
        let y = of_i * of_j * t.series();
        let y = match k {
            0.. => y.shift_left(k as usize),
            _ => y.shift_right(k.unsigned_abs() as usize),
        };
        let size = up(y.magnitude() + y.radius_up());
        let more = if self.radius == 0.0 {
            0.0
        } else {
            size * (self.radius + self.radius * ra)
        };
        Self::new(y.words, up(y.radius + more))
    }

    /// One quotient 1 / by, and as many products.
    fn divide_all(row: &mut [Self], by: Self) {
        let inverse = Self::from_f64(1.0) / by;
        for x in row {
            *x = *x * inverse;
        }
    }

    /// For any s > 0: |sqrt(a) - s| = |a - s^2| / (sqrt(a) + s) <= (|am - s^2| + r_a) / s, for every a >= 0 of the ball (numbers
    /// below 0 that only rounding brought in are left out). s is found by Newton's steps for 1 / sqrt(a).
    fn sqrt(self) -> Self {
        if self == Self::ZERO {
            return self;
        }
        if self.negative() || self.radius == f64::INFINITY {
            return Self::UNKNOWN;
        }
        let root = || {
            let one = Self::from_f64(1.0).words;
            let mut y = Self::from_f64(1.0 / self.value().sqrt()).words;
            let mut bits = 50;
            while bits < Self::BITS + 64 {
                let square = product(&y, &product(&y, &self.words)?)?;
                let error = shift_right(&difference(&one, &square)?, 1);
                y = sum(&y, &product(&y, &error)?)?;
                bits *= 2;
                shorten(&mut y, bits);
            }
            let s = product(&y, &self.words)?;
            let rest = difference(&product(&s, &s)?, &self.words)?;
            Some((s, integer_up(&rest)))
        };
        let Some((words, rest)) = root() else {
            return Self::UNKNOWN;
        };
        let s = Fixed { words, radius: 0.0 };
        let below = s.magnitude_lower();
        if s.negative() || below <= 0.0 {
            return Self::UNKNOWN;
        }
        Self::new(words, up((rest + L as f64 + self.radius) / below))
    }

    /// The highest two words that matter, to nearest.
    fn value(self) -> f64 {
        if self.radius == f64::INFINITY {
            return f64::NAN;
        }
        let negative = self.negative();
        let mut words = self.words;
        if negative {
            // The magnitude as an unsigned number, which fits for -2^63 too.
            let mut carry = true;
            for word in &mut words {
                (*word, carry) = (!*word).overflowing_add(u64::from(carry));
            }
        }
        let Some(top) = words.iter().rposition(|&word| word != 0) else {
            return 0.0;
        };
        let low = if top > 0 { words[top - 1] } else { 0 };
        let near = words[top] as f64 + low as f64 * power(-64);
        let near = scale(near, 64 * top as i64 - Self::BITS as i64);
        if negative { -near } else { near }
    }
}

impl<const L: usize> Fixed<L> {
    /// self k for a number that is not negative; what does not fit is unknown.
    fn by(self, k: u64) -> Self {
        let mut words = self.words;
        let mut carry = 0u64;
        for word in &mut words {
            let wide = u128::from(*word) * u128::from(k) + u128::from(carry);
            (*word, carry) = (wide as u64, (wide >> 64) as u64);
        }
        if carry != 0 || is_negative(&words) {
            return Self::UNKNOWN;
        }
        Self::new(words, up(self.radius * k as f64))
    }
}

impl<const L: usize> Fixed<L> {
    /// e^self for a midpoint t in [0, 2^-14).
    ///
    /// Four terms at a time: e^t = S_0 with S_b = 1 + t/(4b+1) + .. + t^3/((4b+1)(4b+2)(4b+3)) + t^4 S_(b+1) / D_b,
    /// D_b = (4b+1) .. (4b+4), which is (D_b + t (4b+2)(4b+3)(4b+4) + t^2 (4b+3)(4b+4) + t^3 (4b+4) + t^4 S_(b+1)) / D_b, and 0 in the
    /// place of S_B: what is left out is t^N / N! S_B, N = 4 B, and S_B < 2, t^N / N! <= v by the choice of B. (What the radius of
    /// t adds is in the radii of the sums; in the part left out it is counted by the 2 v as well, t^N / N! being below v for
    /// every t of the ball: its radius is below 2^-32.)
    fn series(self) -> Self {
        let t = self;
        let t2 = t * t;
        let (t3, t4) = (t2 * t, t2 * t2);
        let mut sum = Self::ZERO;
        for b in (0..blocks(Self::BITS)).rev() {
            let [p, q, r, s] = [1, 2, 3, 4].map(|i| u64::from(4 * b + i));
            let terms = t.by(q * r * s) + t2.by(r * s) + t3.by(s);
            let all = t4 * sum + terms;
            let whole = p * q * r * s;
            sum = (all + Self::integer(whole)).over(whole as u32);
        }
        sum.radius = up(sum.radius + 2.0);
        sum
    }

    /// k < 2^63.
    fn integer(k: u64) -> Self {
        let mut words = [0; L];
        words[L - 1] = k;
        Fixed { words, radius: 0.0 }
    }
}

/// B of [`Fixed::series`]: t^(4 B) / (4 B)! <= 2^-bits for 0 <= t <= 2^-14 + 2^-32, each factor t / i being below
/// 2^-(13 + floor(log2 i)).
fn blocks(bits: usize) -> u32 {
    let (mut terms, mut have) = (0u32, 0);
    while have < bits || !terms.is_multiple_of(4) {
        terms += 1;
        have += 13 + terms.ilog2() as usize;
    }
    terms / 4
}

/// Bits of the argument that each of the two tables takes.
const TABLE_BITS: usize = 7;

/// A table's numbers: L words each, and one radius for all.
struct Table {
    words: Vec<u64>,
    radius: f64,
}

fn entry<const L: usize>(table: &Table, i: usize) -> Option<Fixed<L>> {
    let words = table.words.get(i * L..(i + 1) * L)?;
    let words = words.try_into().ok()?;
    let radius = table.radius;
    Some(Fixed { words, radius })
}

/// e^(i / 2^7) for i / 2^7 <= ln 2 + 2^-7, and e^(j / 2^14) for j < 2^7, made when they are first asked for.
fn tables<const L: usize>() -> &'static [Table; 2] {
    static ALL: [OnceLock<[Table; 2]>; LN2_WORDS] = [const { OnceLock::new() }; LN2_WORDS];
    ALL[L].get_or_init(|| {
        [(TABLE_BITS, 90), (2 * TABLE_BITS, 1 << TABLE_BITS)].map(|(shift, count)| {
            let all: Vec<_> = (0..count)
                .map(|i| Fixed::<L>::rational_exp(i, shift))
                .collect();
            Table {
                words: all.iter().flat_map(|x| x.words).collect(),
                radius: all.iter().map(|x| x.radius).fold(0.0, f64::max),
            }
        })
    })
}

impl<const L: usize> Fixed<L> {
    /// e^x, x = i / 2^shift < 1 with i < 2^7: Taylor's series, term by term, 2^50 times too large so that roundings count for
    /// less. It ends after a term below v; the next ones shrink by x / 2 < 1/2 at least, so the rest is at most that term.
    fn rational_exp(i: u64, shift: usize) -> Self {
        let mut term = Self::integer(1 << 50);
        let mut sum = term;
        for n in 1..=u32::MAX {
            term = term.by(i).shift_right(shift).over(n);
            sum += term;
            if term.words.iter().all(|&word| word == 0) {
                break;
            }
        }
        // The term is at most (0 + its radius) v.
        sum.radius = up(sum.radius + term.radius);
        sum.shift_right(50)
    }
}

/// Words after the point of the stored ln 2.
const LN2_WORDS: usize = 66;

/// ln 2 = sum_{i >= 1} 1 / (i 2^i), to L - 1 words. Every term is rounded down in units of 2^-(64 LN2_WORDS), and the terms
/// from i = 64 LN2_WORDS on add up to less than two units; all that is lost is below 2^13 units and, with the words
/// that are cut off, below (1 + 2^-20) v.
fn ln2<const L: usize>() -> Fixed<L> {
    static LN2: OnceLock<[u64; LN2_WORDS]> = OnceLock::new();
    const { assert!(L >= 3 && L < LN2_WORDS) };
    let all = LN2.get_or_init(|| {
        let mut sum = [0u64; LN2_WORDS];
        for i in 1..64 * LN2_WORDS {
            // 2^(64 LN2_WORDS - i) / i.
            let bit = 64 * LN2_WORDS - i;
            let mut term = [0u64; LN2_WORDS];
            let mut rest = 1u64 << (bit % 64);
            for (word, t) in term[..=bit / 64].iter_mut().enumerate().rev() {
                let wide = if word == bit / 64 {
                    u128::from(rest)
                } else {
                    u128::from(rest) << 64
                };
                *t = (wide / i as u128) as u64;
                rest = (wide % i as u128) as u64;
            }
            let mut carry = false;
            for (s, t) in sum.iter_mut().zip(term) {
                (*s, carry) = adc(*s, t, carry);
            }
        }
        sum
    });
    let mut words = [0; L];
    words[..L - 1].copy_from_slice(&all[LN2_WORDS - (L - 1)..]);
    Fixed {
        words,
        radius: up(1.0),
    }
}
