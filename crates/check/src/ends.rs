//! Fixed-point numbers of many bits, each by a lower end and the distance to the upper one.
//!
//! The number meant is between lo v and (lo + width) v, with an integer lo of L words (two's
//! complement, the lowest word first), a whole number `width`, and v = 2^-F, F = 64 (L - 1). Every
//! operation rounds the lower end down and the upper end up. Sums are exact. What does not fit into
//! 64 bits before the point is not known, and nothing can be proven about it.

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
    /// [`ANY`] where nothing is known; sums of widths end there by saturating.
    width: u128,
}

const ANY: u128 = u128::MAX;

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

/// a + b, if it fits: the sum of two numbers of one sign has that sign.
fn plus<const L: usize>(a: &Words<L>, b: &Words<L>) -> Option<Words<L>> {
    let (mut sum, mut carry) = ([0; L], false);
    for i in 0..L {
        let (s, over) = a[i].overflowing_add(b[i]);
        let (s, more) = s.overflowing_add(u64::from(carry));
        (sum[i], carry) = (s, over | more);
    }
    let fits = negative(a) != negative(b) || negative(&sum) == negative(a);
    fits.then_some(sum)
}

/// a - b, if it fits.
fn difference<const L: usize>(a: &Words<L>, b: &Words<L>) -> Option<Words<L>> {
    let (mut rest, mut borrow) = ([0; L], false);
    for i in 0..L {
        let (s, under) = a[i].overflowing_sub(b[i]);
        let (s, more) = s.overflowing_sub(u64::from(borrow));
        (rest[i], borrow) = (s, under | more);
    }
    let fits = negative(a) == negative(b) || negative(&rest) == negative(a);
    fits.then_some(rest)
}

/// A small number as words.
fn words<const L: usize>(n: u128) -> Words<L> {
    let mut words = [0; L];
    (words[0], words[1]) = (n as u64, (n >> 64) as u64);
    words
}

/// a + n.
fn raised<const L: usize>(a: &Words<L>, n: u128) -> Option<Words<L>> {
    plus(a, &words(n))
}

/// a - n.
fn lowered<const L: usize>(mut a: Words<L>, n: u128) -> Option<Words<L>> {
    if n == 0 {
        return Some(a);
    }
    let was_negative = negative(&a);
    let mut borrow;
    (a[0], borrow) = a[0].overflowing_sub(n as u64);
    let (rest, under) = a[1].overflowing_sub((n >> 64) as u64);
    let (rest, more) = rest.overflowing_sub(u64::from(borrow));
    (a[1], borrow) = (rest, under | more);
    for word in &mut a[2..] {
        if !borrow {
            break;
        }
        (*word, borrow) = word.overflowing_sub(1);
    }
    (!was_negative || negative(&a)).then_some(a)
}

/// |a|, which is below 2^(64 L).
fn magnitude<const L: usize>(a: &Words<L>) -> Words<L> {
    if !negative(a) {
        return *a;
    }
    let (mut size, mut carry) = ([0; L], true);
    for i in 0..L {
        (size[i], carry) = (!a[i]).overflowing_add(u64::from(carry));
    }
    size
}

/// |a| v <= 2^-32 of this: by the highest word and a half of a, or of not a = -a - 1.
fn size<const L: usize>(a: &Words<L>) -> u128 {
    let flip = if negative(a) { u64::MAX } else { 0 };
    (u128::from(a[L - 1] ^ flip) << 32 | u128::from((a[L - 2] ^ flip) >> 32)) + 1
}

/// A whole number that is not below 2^-32 size width.
fn carried(size: u128, width: u128) -> u128 {
    match width {
        0 => 0,
        ANY => ANY,
        _ => match size.checked_mul(width) {
            Some(product) => (product >> 32) + 1,
            None => ((size >> 32) + 1).saturating_mul(width),
        },
    }
}

/// a / n rounded down, 0 < n < 2^32, and what is left, for an integer a >= 0.
fn divided<const L: usize>(mut a: Words<L>, n: u32) -> (Words<L>, u64) {
    let (n, mut rest) = (u64::from(n), 0);
    for word in a.iter_mut().rev() {
        // Half a word at a time fits into one with what is left.
        let high = rest << 32 | *word >> 32;
        let low = ((high % n) << 32) | (*word & 0xffff_ffff);
        *word = ((high / n) << 32) | (low / n);
        rest = low % n;
    }
    (a, rest)
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

/// The integer as a number with an error: its highest three words, and 1 of the third for the rest.
fn to_ball<const L: usize>(a: &Words<L>) -> Ball {
    let (below_0, a) = (negative(a), magnitude(a));
    let Some(top) = a.iter().rposition(|word| *word != 0) else {
        return Ball::ZERO;
    };
    let last = top.saturating_sub(2);
    let rest = if a[..last].iter().all(|word| *word == 0) { 0.0 } else { 1.0 };
    let word = |i: usize| {
        // 53 and 11 bits.
        let (high, low) = (a[i] & !0x7ff, a[i] & 0x7ff);
        let rad = if i == last { rest } else { 0.0 };
        let exp = 64 * (i as i64 - (L as i64 - 1));
        Ball::around(Double::of_sum(high as f64, low as f64), rad, exp)
    };
    let size: Ball = (last..=top).map(word).sum();
    if below_0 { -size } else { size }
}

/// A sum of products, rounded once.
///
/// With a = a_lo + alpha and b = b_lo + beta, alpha and beta between 0 and the widths, a b is
/// a_lo b_lo + a_lo beta + b alpha. The first is added up in columns of words, for a_lo >= 0 and a_lo < 0 by
/// themselves: |a_lo| b_lo = sum_ij |a|_i b_j 2^(64 (i + j)), less |a_lo| 2^(64 L) where b_lo < 0, since
/// its words are those of b_lo + 2^(64 L). Columns i + j < L - 2 are left out. Column c has no more
/// than c + 1 products below 2^128, so what is left out of |a_lo| b_lo is not negative and less than
/// (L - 2) 2^(64 (L - 1)) (1 + 2^-60), less than L - 1 in the result. Cutting off what is below 2^F
/// loses less than another 1 of the sum.
pub(crate) struct Dot<const L: usize> {
    /// The columns of terms with a_lo >= 0, and of those with a_lo < 0; how many they are.
    columns: [[Words<L>; 2]; 2],
    terms: [u128; 2],
    /// How far the rest of a b can be below and above 0.
    below: u128,
    above: u128,
    /// The sum of |a| |b| is at most this; far from overflowing, or nothing is known.
    size: u128,
}

/// Adds |a_lo| b_lo.
#[inline(never)]
fn add_product<const L: usize>(columns: &mut [Words<L>; 2], a: &Words<L>, b: &Words<L>) {
    let c = columns.as_flattened_mut();
    for i in 0..L {
        // Numbers of few bits have few words that are not 0.
        if a[i] == 0 {
            continue;
        }
        let (x, mut carry) = (u128::from(a[i]), 0);
        let first = (L - 2).saturating_sub(i);
        for (c, b) in c[i + first..i + L].iter_mut().zip(&b[first..]) {
            // At most (2^64 - 1)^2 + 2 (2^64 - 1) < 2^128.
            let s = x * u128::from(*b) + u128::from(*c) + u128::from(carry);
            (*c, carry) = (s as u64, (s >> 64) as u64);
        }
        for c in &mut c[i + L..] {
            let over;
            (*c, over) = c.overflowing_add(carry);
            carry = u64::from(over);
            if !over {
                break;
            }
        }
    }
    if negative(b) {
        let mut borrow = false;
        for (c, a) in c[L..].iter_mut().zip(a) {
            let (s, under) = c.overflowing_sub(*a);
            let (s, more) = s.overflowing_sub(u64::from(borrow));
            (*c, borrow) = (s, under | more);
        }
    }
}

impl<const L: usize> Dot<L> {
    pub(crate) fn new() -> Self {
        let columns = [[[0; L]; 2]; 2];
        Dot { columns, terms: [0; 2], below: 0, above: 0, size: 0 }
    }

    /// Adds a b; quickest where a has few bits.
    pub(crate) fn add(&mut self, a: &Ends<L>, b: &Ends<L>) {
        if a.is_zero() && b.width != ANY || b.is_zero() && a.width != ANY {
            return;
        }
        let sign = usize::from(negative(&a.lo));
        add_product(&mut self.columns[sign], &magnitude(&a.lo), &b.lo);
        self.terms[sign] += 1;
        let (of_a, of_b) = (size(&a.lo), size(&b.lo));
        if b.width > 0 {
            let more = carried(of_a, b.width);
            let end = if sign == 1 { &mut self.below } else { &mut self.above };
            *end = end.saturating_add(more);
        }
        if a.width > 0 {
            // |b| <= |b_lo| + width.
            let wide = b.width.checked_shr(Ends::<L>::BITS as u32 - 32).unwrap_or(0);
            let more = carried(of_b.saturating_add(wide).saturating_add(1), a.width);
            if negative(&b.lo) {
                self.below = self.below.saturating_add(more);
            }
            if !negative(&b.lo) || raised(&b.lo, b.width).is_none_or(|hi| !negative(&hi)) {
                self.above = self.above.saturating_add(more);
            }
        }
        let wholes = ((of_a >> 32) + 1).saturating_mul((of_b >> 32) + 1);
        self.size = self.size.saturating_add(wholes);
    }

    /// The sum.
    pub(crate) fn sum(&self) -> Ends<L> {
        if self.size >> 62 != 0 {
            return Ends::UNKNOWN;
        }
        let [more, less] = self.columns.each_ref().map(|columns| columns.as_flattened());
        let (mut lo, mut borrow) = ([0; L], more[L - 2] < less[L - 2]);
        for i in 0..L {
            let (s, under) = more[L - 1 + i].overflowing_sub(less[L - 1 + i]);
            let (s, again) = s.overflowing_sub(u64::from(borrow));
            (lo[i], borrow) = (s, under | again);
        }
        let cut = (L - 1) as u128;
        let down = self.below.saturating_add(self.terms[1] * cut);
        let up = self.above.saturating_add(self.terms[0] * cut + 1);
        let up = if self.terms == [0; 2] { 0 } else { up };
        Ends::between(lowered(lo, down), down.saturating_add(up))
    }
}

/// sum of a b.
pub(crate) fn dot<'e, const L: usize>(
    pairs: impl Iterator<Item = (&'e Ends<L>, &'e Ends<L>)>,
) -> Ends<L> {
    let mut dot = Dot::new();
    pairs.for_each(|(a, b)| dot.add(a, b));
    dot.sum()
}

impl<const L: usize> Ends<L> {
    /// F, the bits after the point.
    pub(crate) const BITS: usize = 64 * (L - 1);

    pub(crate) const ZERO: Self = Ends { lo: [0; L], width: 0 };

    pub(crate) const UNKNOWN: Self = Ends { lo: [0; L], width: ANY };

    fn exact(lo: Words<L>) -> Self {
        Ends { lo, width: 0 }
    }

    fn between(lo: Option<Words<L>>, width: u128) -> Self {
        match lo {
            Some(lo) if width != ANY => Ends { lo, width },
            _ => Self::UNKNOWN,
        }
    }

    fn known(&self) -> bool {
        self.width != ANY
    }

    /// Exactly.
    fn is_zero(&self) -> bool {
        self.width == 0 && is_zero(&self.lo)
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
            return Self::between(Some(words), u128::from(!whole));
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

    /// Its ends as integers; `None` if nothing is known, or the upper one does not fit.
    #[cfg(test)]
    pub(crate) fn integers(&self) -> Option<[[u64; L]; 2]> {
        let hi = self.known().then(|| raised(&self.lo, self.width))?;
        Some([self.lo, hi?])
    }

    /// The number between these integers.
    #[cfg(test)]
    pub(crate) fn of_integers([lo, hi]: [[u64; L]; 2]) -> Self {
        let width = difference(&hi, &lo).unwrap();
        assert!(width[2..].iter().all(|word| *word == 0));
        Ends { lo, width: u128::from(width[1]) << 64 | u128::from(width[0]) }
    }

    /// The same with another number of words: what is cut off is below 1 of the last that is kept.
    pub(crate) fn resized<const K: usize>(&self) -> Ends<K> {
        if !self.known() {
            return Ends::UNKNOWN;
        }
        let lo: Words<K> =
            std::array::from_fn(|i| (i + L).checked_sub(K).map_or(0, |j| self.lo[j]));
        let cut = &self.lo[..L.saturating_sub(K)];
        let width = match (K.cmp(&L), self.width) {
            (Ordering::Equal, width) => width,
            (_, 0) => u128::from(cut.iter().any(|word| *word != 0)),
            // lo + width is cut too, by less than 1 of the last, and then rounded up.
            (Ordering::Less, width) => {
                width.checked_shr(64 * cut.len() as u32).unwrap_or(0).saturating_add(2)
            }
            (Ordering::Greater, width) => {
                let shift = 64 * (K - L) as u32;
                let wide = width.checked_shl(shift).filter(|wide| wide >> shift == width);
                wide.unwrap_or(ANY)
            }
        };
        Ends::between(Some(lo), width)
    }

    /// The lower end as a number without error, and how far the number meant can be from it.
    pub(crate) fn split(&self) -> (Self, Ball) {
        if !self.known() {
            return (*self, Ball::UNKNOWN);
        }
        (Self::exact(self.lo), to_ball(&words::<L>(self.width)))
    }

    /// The number with an error.
    pub(crate) fn ball(&self) -> Ball {
        let (lo, width) = self.split();
        to_ball(&lo.lo).widened(width)
    }

    /// An f64 near the number; nothing rests on how near.
    pub(crate) fn near(&self) -> f64 {
        if self.known() { 0.5 * (self.ball().upper() + self.ball().lower()) } else { f64::NAN }
    }

    /// The larger upper end, as a number.
    pub(crate) fn top(self, other: Self) -> Self {
        let [a, b] = [self, other].map(|x| raised(&x.lo, x.width).filter(|_| x.known()));
        match (a, b) {
            (Some(a), Some(b)) => Self::exact(if order(&a, &b) == Ordering::Less { b } else { a }),
            _ => Self::UNKNOWN,
        }
    }

    /// This number times n.
    pub(crate) fn times(self, n: u32) -> Self {
        let (mut words, mut carry) = (magnitude(&self.lo), 0u128);
        for word in &mut words {
            carry += u128::from(*word) * u128::from(n);
            (*word, carry) = (carry as u64, carry >> 64);
        }
        let fits = carry == 0 && !negative(&words);
        let lo = if negative(&self.lo) { difference(&[0; L], &words) } else { Some(words) };
        let width = if self.known() { self.width.saturating_mul(n.into()) } else { ANY };
        Self::between(lo.filter(|_| fits), width)
    }

    /// This number divided by n > 0.
    ///
    /// With lo = q n + r, 0 <= r < n, the ends are at least q and at most q + (r + width) / n. For
    /// lo < 0, not lo = -lo - 1 = q' n + r' makes q = not q' and r = n - 1 - r'.
    pub(crate) fn over(self, n: u32) -> Self {
        if !self.known() || n == 0 {
            return Self::UNKNOWN;
        }
        let sign = if negative(&self.lo) { u64::MAX } else { 0 };
        let (q, r) = divided(self.lo.map(|word| word ^ sign), n);
        let r = if sign == 0 { r } else { u64::from(n) - 1 - r };
        let width = match u64::try_from(self.width) {
            Ok(width) if width >> 63 == 0 => (width + r).div_ceil(n.into()).into(),
            _ => self.width / u128::from(n) + 2,
        };
        Self::between(Some(q.map(|word| word ^ sign)), width)
    }

    /// 2^-k times this: cut off, the lower end loses less than 1.
    pub(crate) fn halved(self, k: usize) -> Self {
        if !self.known() || k == 0 {
            return self;
        }
        let width = self.width.checked_shr(k as u32).unwrap_or(0).saturating_add(2);
        let exact = self.is_zero();
        Self::between(Some(shifted_down(&self.lo, k)), if exact { 0 } else { width })
    }

    /// All numbers within |e| of one of these.
    pub(crate) fn widened(self, e: Self) -> Self {
        let far = magnitude(&e.lo);
        let small = e.known() && far[2..].iter().all(|word| *word == 0);
        let far = u128::from(far[1]) << 64 | u128::from(far[0]);
        let far = if small { far.saturating_add(e.width) } else { ANY };
        let width = self.width.saturating_add(far).saturating_add(far);
        if width == ANY { Self::UNKNOWN } else { Self::between(lowered(self.lo, far), width) }
    }

    /// 1 / a for numbers a >= 1/2.
    ///
    /// Whatever y is, 1/a = y + (1 - a y)/a, and so 1/a is within 2 |1 - a y| of y. That y is good
    /// comes from Newton's steps y <- y + y (1 - a y), each of which doubles the right bits.
    pub(crate) fn reciprocal(self) -> Self {
        let (a, one) = (self.split().0, Self::whole(1));
        let half = one.halved(1);
        if !self.known() || order(&self.lo, &half.lo) == Ordering::Less {
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
    /// = 2^-n (e^t)^(2^s), t = r / 2^s. Where x < -(F + 1) ln 2, e^x is between 0 and v. The upper
    /// end y, w above x, has e^y = e^x e^w <= e^x (1 + 2 w) for w <= 1.
    pub(crate) fn exp(self, ln2: &Self) -> Self {
        let (x, width) = self.split();
        let (at, one) = (x.near(), Self::whole(1));
        let small = |w: Ball| w.at_most(ball(power(-3)));
        if !(self.known() && small(width) && at < 0.3) {
            return Self::UNKNOWN;
        }
        let unit = Ends { lo: [0; L], width: 1 };
        if self.ball().upper() < -0.694 * (Self::BITS + 2) as f64 {
            return unit;
        }
        let mut n = (-at / std::f64::consts::LN_2).ceil().max(0.0) as u32;
        let mut r = x + ln2.times(n);
        while r.known() && negative(&r.lo) {
            n += 1;
            r = r + *ln2;
        }
        let s = 2 + (0.3 * (Self::BITS as f64).sqrt()) as usize;
        let mut power = r.halved(s).series(s);
        for _ in 0..s {
            power = power * power;
        }
        let grown = Ends { lo: one.lo, width: self.width.saturating_mul(2) };
        power.halved(n as usize) * grown
    }

    /// e^t for 0 <= t <= 2^-s, s > 0.
    ///
    /// What comes after the first i terms of e^t = 1 + t + t^2/2 + ... is at most 2 t^i / i!, and so
    /// at most v where i s + log2 i! >= F + 1. Terms are taken m at a time: e^t = S_0 / (m - 1)! with
    /// S_k = sum_j t^j c_kj + S_(k+1) t^m / d_(k+1), c_kj = (k m + m - 1)! / (k m + j)! for j < m and
    /// d_k = (k m) ... (k m + m - 1): whole numbers below 2^32, since m is 6 up to 40 terms and else
    /// 4, up to 200.
    fn series(self, s: usize) -> Self {
        if !self.ball().at_most(ball(power(-(s as i64)))) {
            return Self::UNKNOWN;
        }
        let (mut terms, mut bits) = (1usize, 0);
        while bits <= Self::BITS {
            bits += s + terms.ilog2() as usize;
            terms += 1;
        }
        let m = if terms <= 40 { 6 } else { 4 };
        let product = |from: usize, to: usize| (from..to).map(|i| i as u32).product::<u32>();
        let mut powers =
            [Self::whole(1), self, Self::ZERO, Self::ZERO, Self::ZERO, Self::ZERO, Self::ZERO];
        for j in 2..=m {
            powers[j] = powers[j - 1] * self;
        }
        let block = |k: usize| -> Self {
            let end = k * m + m;
            (0..m).map(|j| powers[j].times(product(end - m + j + 1, end))).sum()
        };
        let last = terms.div_ceil(m) - 1;
        let mut sum = block(last);
        for k in (0..last).rev() {
            let next = k * m + m;
            sum = block(k) + (sum * powers[m]).over(product(next, next + m));
        }
        sum.over(product(1, m)) + Ends { lo: [0; L], width: 1 }
    }

    /// ln 2 = 2 artanh(1/3) = sum_i 2 / ((2 i + 1) 3^(2 i + 1)): the terms shrink by 9, so what
    /// comes after the last one is below an eighth of the number whose upper end has come down to
    /// v, and below v.
    pub(crate) fn ln2() -> Self {
        let unit = words::<L>(1);
        let mut odd = Self::whole(2).over(3);
        let mut sum = odd;
        let mut i = 1;
        while raised(&odd.lo, odd.width).is_some_and(|hi| order(&hi, &unit) == Ordering::Greater) {
            odd = odd.over(9);
            i += 2;
            sum = sum + odd.over(i);
        }
        sum + Ends { lo: [0; L], width: 1 }
    }

    /// sqrt(d) for a whole number d: y, one bit after the other, as long as y^2 <= d. Then (y +
    /// v)^2 > d or rounding hid it, which a few v more make up for: both ends are tried.
    pub(crate) fn root(d: u32) -> Self {
        let square = |y: &Words<L>| Self::exact(*y) * Self::exact(*y);
        let wanted = Self::whole(d).lo;
        let not_above = |y: &Words<L>| {
            let square = square(y);
            let hi = raised(&square.lo, square.width).filter(|_| square.known());
            hi.is_some_and(|hi| order(&hi, &wanted) != Ordering::Greater)
        };
        let mut y = [0; L];
        for bit in (0..64 * (L - 1) + 16).rev() {
            let mut more = y;
            more[bit / 64] |= 1 << (bit % 64);
            if not_above(&more) {
                y = more;
            }
        }
        let width = 16 + L as u128;
        let not_below = |y: &Words<L>| {
            let square = square(y);
            square.known() && order(&square.lo, &wanted) != Ordering::Less
        };
        let lo = Some(y).filter(|y| raised(y, width).is_some_and(|hi| not_below(&hi)));
        // d = n^2 exactly, rounding aside.
        let whole = (1..=u32::from(u16::MAX)).find(|n| u64::from(*n).pow(2) >= u64::from(d));
        match whole {
            Some(n) if n * n == d => Self::whole(n),
            _ => Self::between(lo, width),
        }
    }
}

impl<const L: usize> Add for Ends<L> {
    type Output = Self;
    fn add(self, b: Self) -> Self {
        Self::between(plus(&self.lo, &b.lo), self.width.saturating_add(b.width))
    }
}

impl<const L: usize> Neg for Ends<L> {
    type Output = Self;
    fn neg(self) -> Self {
        Self::ZERO - self
    }
}

impl<const L: usize> Sub for Ends<L> {
    type Output = Self;
    fn sub(self, b: Self) -> Self {
        let lo = difference(&self.lo, &b.lo).and_then(|lo| lowered(lo, b.width));
        Self::between(lo, self.width.saturating_add(b.width))
    }
}

impl<const L: usize> Mul for Ends<L> {
    type Output = Self;
    fn mul(self, b: Self) -> Self {
        dot(std::iter::once((&self, &b)))
    }
}

impl<const L: usize> Sum for Ends<L> {
    fn sum<I: Iterator<Item = Self>>(terms: I) -> Self {
        terms.fold(Self::ZERO, |sum, term| sum + term)
    }
}
