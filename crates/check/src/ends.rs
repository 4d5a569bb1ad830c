//! Fixed-point numbers of many bits, each by a lower and an upper end.
//!
//! An end is an integer of L words (two's complement, the lowest word first) in units of v = 2^-F,
//! F = 64 (L - 1). Every operation rounds the lower end down and the upper end up, so the number
//! meant stays between them. Sums are exact. What does not fit into 64 bits before the point is not
//! known, and nothing can be proven about it.

use super::ball::{Ball, ball};
use super::number::{Double, power};
use std::cmp::Ordering;
use std::iter::Sum;
use std::ops::{Add, Mul, Neg, Sub};

type Words<const L: usize> = [u64; L];

/// A number between two ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Ends<const L: usize> {
    lo: Words<L>,
    hi: Words<L>,
    known: bool,
}

fn negative<const L: usize>(a: &Words<L>) -> bool {
    a[L - 1] >> 63 != 0
}

fn is_zero<const L: usize>(a: &Words<L>) -> bool {
    a.iter().all(|word| *word == 0)
}

fn order<const L: usize>(a: &Words<L>, b: &Words<L>) -> Ordering {
    let top = (a[L - 1] as i64).cmp(&(b[L - 1] as i64));
    top.then_with(|| a.iter().rev().cmp(b.iter().rev()))
}

/// a + b + carry, if it fits: the sum of two numbers of one sign has that sign.
fn plus<const L: usize>(a: &Words<L>, b: &Words<L>, mut carry: bool) -> Option<Words<L>> {
    let mut sum = [0; L];
    for i in 0..L {
        let (s, over) = a[i].overflowing_add(b[i]);
        let (s, more) = s.overflowing_add(u64::from(carry));
        (sum[i], carry) = (s, over || more);
    }
    let fits = negative(a) != negative(b) || negative(&sum) == negative(a);
    fits.then_some(sum)
}

/// -a = not a + 1; the least integer has no negative.
fn minus<const L: usize>(a: &Words<L>) -> Option<Words<L>> {
    let not = a.map(|word| !word);
    plus(&not, &[0; L], true)
}

/// a + n for a small n.
fn raised<const L: usize>(a: &Words<L>, n: u64) -> Option<Words<L>> {
    let mut b = [0; L];
    b[0] = n;
    plus(a, &b, false)
}

/// T with T <= a b 2^-F < T + 2, for a, b >= 0, if it fits.
///
/// a b = sum_ij a_i b_j 2^(64 (i + j)). Columns i + j < L - 3 are left out. Column c has no more
/// than c + 1 products below 2^128, so those columns add up to less than
/// (L - 3) 2^(64 (L - 2)) (1 + 2^-60) < 2^(64 (L - 1)) = 2^F, which is 1 in the result.
/// Cutting off what is below 2^F loses less than another 1. Rows of words that are 0 cost nothing.
#[inline(never)]
fn product<const L: usize>(a: &Words<L>, b: &Words<L>) -> Option<Words<L>> {
    let mut columns = [[0u64; L]; 2];
    let c = columns.as_flattened_mut();
    for i in 0..L {
        if a[i] == 0 {
            continue;
        }
        let x = u128::from(a[i]);
        let mut carry = 0;
        for j in (L - 3).saturating_sub(i)..L {
            // At most (2^64 - 1)^2 + 2 (2^64 - 1) < 2^128.
            let s = x * u128::from(b[j]) + u128::from(c[i + j]) + u128::from(carry);
            (c[i + j], carry) = (s as u64, (s >> 64) as u64);
        }
        // No earlier row came as far.
        c[i + L] = carry;
    }
    let result: Words<L> = std::array::from_fn(|i| c[L - 1 + i]);
    let fits = c[2 * L - 1] == 0 && !negative(&result);
    fits.then_some(result)
}

/// Integers below and above a b 2^-F.
fn product_ends<const L: usize>(a: &Words<L>, b: &Words<L>) -> Option<(Words<L>, Words<L>)> {
    let size = |x: &Words<L>| if negative(x) { minus(x) } else { Some(*x) };
    let below = product(&size(a)?, &size(b)?)?;
    let exact = is_zero(a) || is_zero(b);
    let above = if exact { below } else { raised(&below, 2)? };
    if negative(a) == negative(b) {
        Some((below, above))
    } else {
        Some((minus(&above)?, minus(&below)?))
    }
}

/// hi - lo if it is one word.
#[inline]
fn narrow<const L: usize>(lo: &Words<L>, hi: &Words<L>) -> Option<u64> {
    let (width, mut borrow) = hi[0].overflowing_sub(lo[0]);
    for i in 1..L {
        let (difference, under) = hi[i].overflowing_sub(lo[i]);
        if difference != u64::from(borrow) {
            return None;
        }
        // hi_i - lo_i = borrow: with the borrow taken off nothing is left.
        borrow = under;
    }
    (!borrow).then_some(width)
}

/// The largest integer not above a / n, n > 0.
fn quotient_down<const L: usize>(a: &Words<L>, n: u64) -> Option<Words<L>> {
    let sign = negative(a);
    let mut words = if sign { minus(a)? } else { *a };
    let mut rest = 0;
    for word in words.iter_mut().rev() {
        let x = rest << 64 | u128::from(*word);
        (*word, rest) = ((x / u128::from(n)) as u64, x % u128::from(n));
    }
    if sign { minus(&raised(&words, u64::from(rest != 0))?) } else { Some(words) }
}

/// The largest integer not above a 2^-k.
fn shifted_down<const L: usize>(a: &Words<L>, k: usize) -> Words<L> {
    let sign = if negative(a) { u64::MAX } else { 0 };
    let word = |i: usize| a.get(i).copied().unwrap_or(sign);
    let (whole, part) = (k / 64, k % 64);
    std::array::from_fn(|i| match part {
        0 => word(i + whole),
        _ => word(i + whole) >> part | word(i + whole + 1) << (64 - part),
    })
}

/// The same from above: the smallest integer not below f(a) is -f(-a), f being odd.
fn up<const L: usize>(
    a: &Words<L>,
    down: impl Fn(&Words<L>) -> Option<Words<L>>,
) -> Option<Words<L>> {
    minus(&down(&minus(a)?)?)
}

/// The integer as a number with an error: its highest three words, and 1 of the third for the rest.
fn to_ball<const L: usize>(a: &Words<L>) -> Ball {
    if negative(a) {
        return minus(a).map_or(Ball::UNKNOWN, |a| -to_ball(&a));
    }
    let Some(top) = a.iter().rposition(|word| *word != 0) else {
        return Ball::ZERO;
    };
    let last = top.saturating_sub(2);
    let rest = if is_zero::<L>(&std::array::from_fn(|i| if i < last { a[i] } else { 0 })) {
        0.0
    } else {
        1.0
    };
    let word = |i: usize| {
        // 53 and 11 bits.
        let (high, low) = (a[i] & !0x7ff, a[i] & 0x7ff);
        let rad = if i == last { rest } else { 0.0 };
        let exp = 64 * (i as i64 - (L as i64 - 1));
        Ball::around(Double::of_sum(high as f64, low as f64), rad, exp)
    };
    (last..=top).map(word).sum()
}

impl<const L: usize> Ends<L> {
    /// F, the bits after the point.
    pub(crate) const BITS: usize = 64 * (L - 1);

    pub(crate) const ZERO: Self = Ends { lo: [0; L], hi: [0; L], known: true };

    pub(crate) const UNKNOWN: Self = Ends { known: false, ..Self::ZERO };

    fn exact(words: Words<L>) -> Self {
        Ends { lo: words, hi: words, known: true }
    }

    fn between(lo: Option<Words<L>>, hi: Option<Words<L>>) -> Self {
        match (lo, hi) {
            (Some(lo), Some(hi)) => Ends { lo, hi, known: true },
            _ => Self::UNKNOWN,
        }
    }

    /// The whole number n, which is small.
    pub(crate) fn whole(n: u32) -> Self {
        let mut words = [0; L];
        words[L - 1] = n.into();
        Self::exact(words)
    }

    /// The f64 number x between the multiples of v next to it; itself if it is one.
    pub(crate) fn of(x: f64) -> Self {
        if !x.is_finite() {
            return Self::UNKNOWN;
        }
        // Also -0.
        if x == 0.0 {
            return Self::ZERO;
        }
        if x < 0.0 {
            return -Self::of(-x);
        }
        // x = mantissa 2^exponent.
        let (bits, field) = (x.to_bits() & ((1 << 52) - 1), (x.to_bits() >> 52) as i64);
        let (mantissa, exponent) =
            if field == 0 { (bits, -1074) } else { (bits | 1 << 52, field - 1075) };
        let mut words = [0; L];
        let shift = exponent + Self::BITS as i64;
        if shift < 0 {
            let cut = shift.unsigned_abs().min(63);
            words[0] = mantissa >> cut;
            let whole = words[0] << cut == mantissa;
            return Self::between(Some(words), raised(&words, u64::from(!whole)));
        }
        let (word, wide) = ((shift / 64) as usize, u128::from(mantissa) << (shift % 64));
        for (i, part) in [(word, wide as u64), (word + 1, (wide >> 64) as u64)] {
            match words.get_mut(i) {
                Some(word) => *word = part,
                None if part == 0 => {}
                None => return Self::UNKNOWN,
            }
        }
        if negative(&words) { Self::UNKNOWN } else { Self::exact(words) }
    }

    /// Its ends as integers; `None` if nothing is known.
    #[cfg(test)]
    pub(crate) fn integers(&self) -> Option<[[u64; L]; 2]> {
        self.known.then_some([self.lo, self.hi])
    }

    /// The number between these integers.
    #[cfg(test)]
    pub(crate) fn of_integers([lo, hi]: [[u64; L]; 2]) -> Self {
        Ends { lo, hi, known: true }
    }

    /// The same with another number of words: what is cut off is below 1 of the last that is kept.
    pub(crate) fn resized<const K: usize>(&self) -> Ends<K> {
        let cut = L.saturating_sub(K);
        let words = |end: &Words<L>| -> Words<K> {
            std::array::from_fn(|i| (i + L).checked_sub(K).map_or(0, |j| end[j]))
        };
        let exact = self.hi.iter().take(cut).all(|word| *word == 0);
        let hi = raised(&words(&self.hi), u64::from(!exact));
        if self.known { Ends::between(Some(words(&self.lo)), hi) } else { Ends::UNKNOWN }
    }

    /// The lower end as a number without error, and how far the number meant can be from it.
    pub(crate) fn split(&self) -> (Self, Ball) {
        let width = minus(&self.lo).and_then(|lo| plus(&self.hi, &lo, false));
        match width {
            Some(width) if self.known => (Self::exact(self.lo), to_ball(&width)),
            _ => (*self, Ball::UNKNOWN),
        }
    }

    /// The number with an error.
    pub(crate) fn ball(&self) -> Ball {
        let (lo, width) = self.split();
        to_ball(&lo.lo).widened(width)
    }

    /// An f64 near the number; nothing rests on how near.
    pub(crate) fn near(&self) -> f64 {
        if self.known { 0.5 * (self.ball().upper() + self.ball().lower()) } else { f64::NAN }
    }

    /// The larger upper end, as a number.
    pub(crate) fn top(self, other: Self) -> Self {
        if !(self.known && other.known) {
            return Self::UNKNOWN;
        }
        let hi = if order(&self.hi, &other.hi) == Ordering::Less { other.hi } else { self.hi };
        Self::exact(hi)
    }

    /// This number times n > 0, or divided by it.
    pub(crate) fn times(self, n: u32) -> Self {
        Self::whole(n) * self
    }

    pub(crate) fn over(self, n: u32) -> Self {
        let down = |a: &Words<L>| quotient_down(a, n.into());
        if !self.known || n == 0 {
            return Self::UNKNOWN;
        }
        Self::between(down(&self.lo), up(&self.hi, down))
    }

    /// 2^-k times this.
    pub(crate) fn halved(self, k: usize) -> Self {
        let down = |a: &Words<L>| Some(shifted_down(a, k));
        if !self.known {
            return Self::UNKNOWN;
        }
        Self::between(down(&self.lo), up(&self.hi, down))
    }

    /// All numbers within |e| of one of these.
    pub(crate) fn widened(self, e: Self) -> Self {
        let (a, b) = (self - e, self + e);
        if !(a.known && b.known) {
            return Self::UNKNOWN;
        }
        let ends = [a.lo, a.hi, b.lo, b.hi];
        Self::between(ends.into_iter().min_by(order), ends.into_iter().max_by(order))
    }

    /// 1 / a for numbers a >= 1/2.
    ///
    /// Whatever y is, 1/a = y + (1 - a y)/a, and so 1/a is within 2 |1 - a y| of y. That y is good
    /// comes from Newton's steps y <- y + y (1 - a y), each of which doubles the right bits.
    pub(crate) fn reciprocal(self) -> Self {
        let (a, one) = (self.split().0, Self::whole(1));
        let half = one.halved(1);
        if !self.known || order(&self.lo, &half.lo) == Ordering::Less {
            return Self::UNKNOWN;
        }
        let mut y = Self::of(1.0 / a.near());
        let mut bits = 40;
        while bits < Self::BITS + 8 {
            y = (y + y * (one - a * y)).split().0;
            bits *= 2;
        }
        y.widened((one - self * y).times(2))
    }

    /// e^a for numbers a <= 1/4, by ln 2 from [`Ends::ln2`].
    ///
    /// For the lower end x: with a whole number n of halvings and r = x + n ln 2 >= 0 below 1, e^x
    /// = 2^-n (e^t)^(2^s), t = r / 2^s. e^t = 1 + t + t^2/2 + ..., all terms not negative, and each
    /// at most half of the one before it; so what comes after the last term is not above it. It is
    /// taken to be one v, when the upper end of a term has come down to that (rounding up, it gets
    /// no lower). Where x < -(F + 1) ln 2, e^x is between 0 and v. The upper end y, w above x, has
    /// e^y = e^x e^w <= e^x (1 + 2 w) for w <= 1.
    pub(crate) fn exp(self, ln2: &Self) -> Self {
        let (x, width) = self.split();
        let (at, one) = (x.near(), Self::whole(1));
        let small = |w: Ball| w.at_most(ball(power(-3)));
        if !(self.known && small(width) && at < 0.3) {
            return Self::UNKNOWN;
        }
        let unit = Ends { hi: raised(&[0; L], 1).unwrap_or([0; L]), ..Self::ZERO };
        if self.ball().upper() < -0.694 * (Self::BITS + 2) as f64 {
            return unit;
        }
        let mut n = (-at / std::f64::consts::LN_2).ceil().max(0.0) as u32;
        let mut r = x + ln2.times(n);
        while r.known && negative(&r.lo) {
            n += 1;
            r = r + *ln2;
        }
        let s = (0.6 * (Self::BITS as f64).sqrt()) as usize;
        let t = r.halved(s);
        if !t.ball().at_most(ball(0.5)) {
            return Self::UNKNOWN;
        }
        let (mut term, mut sum) = (t, one + t);
        for i in 2.. {
            if !term.known || order(&term.hi, &unit.hi) != Ordering::Greater {
                break;
            }
            term = (term * t).over(i);
            sum = sum + term;
        }
        // Also where the last upper end is 0, which it is for t = 0 only.
        let mut power = sum + unit;
        for _ in 0..s {
            power = power * power;
        }
        let power = power.halved(n as usize);
        let w = Self::between(Some([0; L]), self.hi_above(&x.lo));
        power * (one + w.times(2))
    }

    /// An integer above the product of the upper ends of two numbers >= 0 whose ends are near each
    /// other, from T below that of the lower ends.
    ///
    /// With b_hi = b_lo + w and a_hi = a_lo + u it is a_lo b_lo + a_lo w + b_hi u, and the first of
    /// these is below T + 2. A number is at most 2^-32 (A + 1), A being its highest word and a
    /// half; all in units of v.
    fn product_above(&self, b: &Self, lower: &Words<L>) -> Option<Words<L>> {
        let size = |x: &Words<L>| (u128::from(x[L - 1]) << 32 | u128::from(x[L - 2] >> 32)) + 1;
        let more = |x: &Words<L>, w: u64| match w {
            0 => Some(0),
            w => Some((size(x).checked_mul(w.into())? >> 32) + 1),
        };
        let (u, w) = (narrow(&self.lo, &self.hi)?, narrow(&b.lo, &b.hi)?);
        if u == 0 && w == 0 && (is_zero(&self.lo) || is_zero(&b.lo)) {
            return Some(*lower);
        }
        let all = more(&self.lo, w)?.checked_add(more(&b.hi, u)?)?.checked_add(2)?;
        raised(lower, u64::try_from(all).ok()?)
    }

    /// hi - lo.
    fn hi_above(&self, lo: &Words<L>) -> Option<Words<L>> {
        minus(lo).and_then(|lo| plus(&self.hi, &lo, false))
    }

    /// ln 2 = 2 artanh(1/3) = sum_i 2 / ((2 i + 1) 3^(2 i + 1)): the terms shrink by 9, so what
    /// comes after the last one is below an eighth of the number whose upper end has come down to
    /// v, and below v.
    pub(crate) fn ln2() -> Self {
        let unit = raised(&[0; L], 1).unwrap_or([0; L]);
        let mut odd = Self::whole(2).over(3);
        let mut sum = odd;
        let mut i = 1;
        while order(&odd.hi, &unit) == Ordering::Greater {
            odd = odd.over(9);
            i += 2;
            sum = sum + odd.over(i);
        }
        sum + Ends { hi: unit, ..Self::ZERO }
    }

    /// sqrt(d) for a whole number d: y, one bit after the other, as long as y^2 <= d. Then (y +
    /// v)^2 > d or rounding hid it, which a few v more make up for: both ends are tried.
    pub(crate) fn root(d: u32) -> Self {
        let square = |y: &Words<L>| product_ends(y, y);
        let wanted = Self::whole(d).lo;
        let not_above = |y: &Words<L>| {
            square(y).is_some_and(|(_, above)| order(&above, &wanted) != Ordering::Greater)
        };
        let mut y = [0; L];
        for bit in (0..64 * (L - 1) + 16).rev() {
            let mut more = y;
            more[bit / 64] |= 1 << (bit % 64);
            if not_above(&more) {
                y = more;
            }
        }
        let hi = raised(&y, 16).filter(|hi| {
            square(hi).is_some_and(|(below, _)| order(&below, &wanted) != Ordering::Less)
        });
        // d = n^2 exactly, rounding aside.
        let whole = (1..=u32::from(u16::MAX)).find(|n| u64::from(*n).pow(2) >= u64::from(d));
        match whole {
            Some(n) if n * n == d => Self::whole(n),
            _ => Self::between(Some(y), hi),
        }
    }
}

impl<const L: usize> Add for Ends<L> {
    type Output = Self;
    fn add(self, b: Self) -> Self {
        if !(self.known && b.known) {
            return Self::UNKNOWN;
        }
        Self::between(plus(&self.lo, &b.lo, false), plus(&self.hi, &b.hi, false))
    }
}

impl<const L: usize> Neg for Ends<L> {
    type Output = Self;
    fn neg(self) -> Self {
        if !self.known {
            return Self::UNKNOWN;
        }
        Self::between(minus(&self.hi), minus(&self.lo))
    }
}

impl<const L: usize> Sub for Ends<L> {
    type Output = Self;
    fn sub(self, b: Self) -> Self {
        self + -b
    }
}

impl<const L: usize> Mul for Ends<L> {
    type Output = Self;
    /// The extreme products are at ends; which ends, the signs say. A factor that is below 0 is
    /// turned around first.
    fn mul(self, b: Self) -> Self {
        let a = self;
        if !(a.known && b.known) {
            return Self::UNKNOWN;
        }
        if !negative(&b.lo) && !negative(&a.lo) {
            let lower = product(&a.lo, &b.lo);
            let upper = match lower.and_then(|lower| a.product_above(&b, &lower)) {
                Some(upper) => Some(upper),
                None => product_ends(&a.hi, &b.hi).map(|ends| ends.1),
            };
            return Self::between(lower, upper);
        }
        let below_0 = |x: &Self| negative(&x.hi) || is_zero(&x.hi);
        if below_0(&a) && !is_zero(&a.lo) {
            return -(-a * b);
        }
        if below_0(&b) && !is_zero(&b.lo) {
            return -(a * -b);
        }
        // At least one has 0 inside, and none is below 0.
        let corners = [(&a.lo, &b.hi), (&a.hi, &b.lo), (&a.lo, &b.lo), (&a.hi, &b.hi)];
        let products = corners.map(|(a, b)| product_ends(a, b));
        let lower = products.iter().map(|p| p.as_ref().map(|p| p.0));
        let upper = products.iter().map(|p| p.as_ref().map(|p| p.1));
        let least = |a: Option<Words<L>>, b: Option<Words<L>>| {
            let (a, b) = (a?, b?);
            Some(if order(&a, &b) == Ordering::Less { a } else { b })
        };
        let largest = |a: Option<Words<L>>, b: Option<Words<L>>| {
            let (a, b) = (a?, b?);
            Some(if order(&a, &b) == Ordering::Less { b } else { a })
        };
        Self::between(lower.reduce(least).flatten(), upper.reduce(largest).flatten())
    }
}

impl<const L: usize> Sum for Ends<L> {
    fn sum<I: Iterator<Item = Self>>(terms: I) -> Self {
        terms.fold(Self::ZERO, |sum, term| sum + term)
    }
}
