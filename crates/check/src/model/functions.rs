//! Elementary functions from + - * / exp: one text for balls and for numbers of many bits.
//!
//! Each result is an enclosure. Where a function is found by steps that converge, nothing rests on that they do: the last
//! line of each says how far the exact value can be from what was found, and that is evaluated.

use crate::ball::{Ball, ball};
use crate::ends::Ends;
use std::iter::Sum;
use std::ops::{Add, Mul, Neg, Sub};

/// A number between proven ends.
pub(crate) trait Number:
    Copy
    + Send
    + Sync
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Neg<Output = Self>
    + Sum
{
    /// Bits after the point that are worth computing.
    const BITS: usize;
    fn of(x: f64) -> Self;
    /// This number over n > 0.
    fn over(self, n: u32) -> Self;
    /// 2^e times this.
    fn shifted(self, e: i32) -> Self;
    /// e^x for x <= 1/4.
    fn exp_below(self, ln2: &Self) -> Self;
    /// 1 / x for x between 1/2 and 2.
    fn reciprocal(self) -> Self;
    /// An f64 near it; NaN if nothing is known.
    fn near(self) -> f64;
    /// Some number of the enclosure, without error.
    fn point(self) -> Self;
    /// All numbers within |e| of one of these.
    fn widened(self, e: Self) -> Self;
    /// The number with an error.
    fn to_ball(self) -> Ball;
    /// Nothing is known.
    fn unknown() -> Self;
}

impl Number for Ball {
    const BITS: usize = 110;
    fn of(x: f64) -> Self {
        if x.is_finite() { ball(x) } else { Ball::UNKNOWN }
    }
    fn over(self, n: u32) -> Self {
        self / ball(n.into())
    }
    fn shifted(self, e: i32) -> Self {
        Ball::shifted(self, e.into())
    }
    fn exp_below(self, _: &Self) -> Self {
        Ball::exp(self)
    }
    fn reciprocal(self) -> Self {
        ball(1.0) / self
    }
    fn near(self) -> f64 {
        if self.is_known() { 0.5 * self.upper() + 0.5 * self.lower() } else { f64::NAN }
    }
    fn point(self) -> Self {
        self.centre()
    }
    fn widened(self, e: Self) -> Self {
        Ball::widened(self, e.abs().upper_ball())
    }
    fn to_ball(self) -> Ball {
        self
    }
    fn unknown() -> Self {
        Ball::UNKNOWN
    }
}

impl<const L: usize> Number for Ends<L> {
    const BITS: usize = Ends::<L>::BITS;
    fn of(x: f64) -> Self {
        Ends::of(x)
    }
    fn over(self, n: u32) -> Self {
        Ends::over(self, n)
    }
    fn shifted(self, e: i32) -> Self {
        if e <= 0 {
            return self.halved(e.unsigned_abs() as usize);
        }
        let steps = std::iter::repeat_n(16, (e / 16) as usize).chain([e % 16]);
        steps.fold(self, |x, k| x.times(1 << k))
    }
    fn exp_below(self, ln2: &Self) -> Self {
        Ends::exp(self, ln2)
    }
    fn reciprocal(self) -> Self {
        Ends::reciprocal(self)
    }
    fn near(self) -> f64 {
        Ends::near(&self)
    }
    fn point(self) -> Self {
        self.split().0
    }
    fn widened(self, e: Self) -> Self {
        Ends::widened(self, e)
    }
    fn to_ball(self) -> Ball {
        Ends::ball(&self)
    }
    fn unknown() -> Self {
        Ends::UNKNOWN
    }
}

/// The constants that functions need, in one precision.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Functions<T> {
    ln2: T,
    pi: T,
    /// 2 / sqrt(pi).
    gauss: T,
}

/// Whether a term is below a few units of the last bit: ends round up, and get no lower than one.
fn negligible<T: Number>(term: T) -> bool {
    term.to_ball().abs().at_most(ball(1.0).shifted(4 - T::BITS as i64))
}

/// sum_k s^k / ((2 k + 1) n^(2 k + 1)), s = 1 or -1: artanh(1/n) or arctan(1/n), n >= 2. Terms shrink by n^2 >= 4: what
/// comes after the last one is at most half of it.
fn of_inverse<T: Number>(n: u32, sign: f64) -> T {
    let mut power = T::of(1.0).over(n);
    let (mut sum, mut k) = (power, 1);
    loop {
        power = power.over(n).over(n) * T::of(sign);
        k += 2;
        let term = power.over(k);
        sum = sum + term;
        if negligible(term) || k > 20_000 {
            let unit = T::of(1.0).shifted(-(T::BITS as i32));
            return sum.widened(term).widened(unit);
        }
    }
}

impl<T: Number> Functions<T> {
    pub(crate) fn new() -> Self {
        let (one, two) = (T::of(1.0), T::of(2.0));
        // ln 2 = 2 artanh(1/3); Machin: pi = 16 arctan(1/5) - 4 arctan(1/239).
        let ln2 = two * of_inverse(3, 1.0);
        let pi = T::of(16.0) * of_inverse(5, -1.0) - T::of(4.0) * of_inverse(239, -1.0);
        let mut functions = Functions { ln2, pi, gauss: one };
        functions.gauss = two * functions.over(one, functions.sqrt(pi));
        functions
    }

    /// a / b, by b = 2^k c with c in [1/2, 1] or about there.
    pub(crate) fn over(&self, a: T, b: T) -> T {
        let near = b.near();
        let (a, b, near) = if near < 0.0 { (-a, -b, -near) } else { (a, b, near) };
        if !(near > 0.0 && near.is_finite()) {
            return T::unknown();
        }
        let k = near.log2().floor() as i32;
        // c is in [1, 2), nearly; a number of few bits is found to be unknown where its reciprocal is taken.
        let c = b.shifted(-k);
        (a * c.reciprocal()).shifted(-k)
    }

    /// sqrt(a) for a >= 0: |sqrt a - y| = |a - y^2| / (sqrt a + y) <= |a - y^2| / y.
    pub(crate) fn sqrt(&self, a: T) -> T {
        let near = a.near();
        if !(near > 0.0 && a.to_ball().lower() > 0.0) {
            return T::unknown();
        }
        let mut y = T::of(near.sqrt());
        let mut bits = 40;
        while bits < T::BITS + 8 {
            y = (y + self.over(a, y)).shifted(-1).point();
            bits *= 2;
        }
        y.widened(self.over(a - y * y, y))
    }

    /// e^x = 2^n e^(x - n ln 2).
    pub(crate) fn exp(&self, x: T) -> T {
        let near = x.near();
        if !(near < 700.0) {
            return T::unknown();
        }
        if near <= 0.2 {
            return x.exp_below(&self.ln2);
        }
        let n = (near / std::f64::consts::LN_2).ceil();
        (x - T::of(n) * self.ln2).exp_below(&self.ln2).shifted(n as i32)
    }

    /// ln x: with w = x e^-y - 1 it is y + ln(1 + w), and |ln(1 + w) - w| <= w^2 for |w| <= 1/2.
    pub(crate) fn log(&self, x: T) -> T {
        let near = x.near();
        if !(near > 0.0 && x.to_ball().lower() > 0.0) {
            return T::unknown();
        }
        let one = T::of(1.0);
        // ln x = k ln 2 + ln c, c near 1.
        let k = near.log2().round() as i32;
        let c = x.shifted(-k);
        let mut y = T::of(c.near().ln());
        let mut bits = 40;
        let off = |y: T| c * self.exp(-y) - one;
        while bits < T::BITS + 8 {
            y = (y + off(y.point())).point();
            bits *= 2;
        }
        let w = off(y);
        if !w.to_ball().abs().at_most(ball(0.5)) {
            return T::unknown();
        }
        T::of(k.into()) * self.ln2 + y + w.widened(w * w)
    }

    /// 1 / (1 + e^-x), by the e^ of a number that is not positive.
    pub(crate) fn logistic(&self, x: T) -> T {
        let one = T::of(1.0);
        if x.near() < 0.0 {
            let e = self.exp(x);
            return self.over(e, one + e);
        }
        self.over(one, one + self.exp(-x))
    }

    /// (1 - e^-2x) / (1 + e^-2x), by the sign that x seems to have. Where 0 is inside, x and -x may both seem to be below it.
    pub(crate) fn tanh(&self, x: T) -> T {
        let below = x.near() < 0.0;
        let x = if below { -x } else { x };
        let (one, e) = (T::of(1.0), self.exp(-(x + x)));
        let y = self.over(one - e, one + e);
        if below { -y } else { y }
    }

    /// ln(1 + e^x) = x + ln(1 + e^-x).
    pub(crate) fn softplus(&self, x: T) -> T {
        let one = T::of(1.0);
        if x.near() < 0.0 { self.log(one + self.exp(x)) } else { x + self.log(one + self.exp(-x)) }
    }

    /// 2 / sqrt(pi) e^(-x^2).
    pub(crate) fn gauss(&self, x: T) -> T {
        self.gauss * self.exp(-(x * x))
    }

    /// erf x = 2 / sqrt(pi) e^(-x^2) sum_n 2^n x^(2 n + 1) / (1 3 ... (2 n + 1)) for x >= 0: the ratio of a term to the one
    /// before is 2 x^2 / (2 n + 1). Where it is at most 1/2, what comes after a term is at most that term. Far out
    /// 0 <= 1 - erf x <= e^(-x^2).
    pub(crate) fn erf(&self, x: T) -> T {
        let near = x.near();
        if !near.is_finite() {
            return T::unknown();
        }
        if near == 0.0 && x.to_ball().is_zero() {
            return x;
        }
        if near < 0.0 { -self.erf_above(-x, -near) } else { self.erf_above(x, near) }
    }

    /// The same for a number that is near one >= 0; the terms have one sign whatever that of x is.
    fn erf_above(&self, x: T, near: f64) -> T {
        let square = x * x;
        if near * near > 0.7 * T::BITS as f64 {
            let one = T::of(1.0);
            return one.widened(self.exp(-square));
        }
        let double = square + square;
        let most = 4.0 * square.to_ball().upper();
        let mut term = self.gauss(x) * x;
        let mut sum = term;
        for n in 1..100_000u32 {
            term = (term * double).over(2 * n + 1);
            sum = sum + term;
            let halves = most < f64::from(n);
            if halves && negligible(term) {
                let unit = T::of(1.0).shifted(-(T::BITS as i32));
                return sum.widened(term).widened(unit);
            }
        }
        T::unknown()
    }

    /// sin x and cos x: of t = (x - 2 pi n) / 2^s by Taylor's series, whose terms alternate and fall for |t| <= 1, so what is
    /// left out is at most the last term; then s times sin 2t = 2 sin t cos t, cos 2t = 1 - 2 sin^2 t.
    pub(crate) fn sin_cos(&self, x: T) -> (T, T) {
        let near = x.near();
        if !(near.abs() < 1e9) {
            return (T::unknown(), T::unknown());
        }
        if near == 0.0 && x.to_ball().is_zero() {
            return (x, T::of(1.0));
        }
        let n = (near / std::f64::consts::TAU).round();
        let doublings = 4;
        let t = (x - T::of(2.0 * n) * self.pi).shifted(-doublings);
        let one = T::of(1.0);
        if !t.to_ball().abs().at_most(ball(1.0)) {
            return (T::unknown(), T::unknown());
        }
        let unit = one.shifted(-(T::BITS as i32));
        let square = t * t;
        let series = |first: T, start: u32| {
            let (mut term, mut sum) = (first, first);
            let mut k = start;
            loop {
                term = -(term * square).over(k + 1).over(k + 2);
                sum = sum + term;
                k += 2;
                if negligible(term) || k > 10_000 {
                    return sum.widened(term).widened(unit);
                }
            }
        };
        let (mut sin, mut cos) = (series(t, 1), series(one, 0));
        for _ in 0..doublings {
            let square = sin * sin;
            (sin, cos) = ((sin * cos).shifted(1), one - square.shifted(1));
        }
        (sin, cos)
    }

    /// atan x = y + atan d, d = (x cos y - sin y) / (cos y + x sin y) the tangent of what y is off; |atan d - d| <= |d|^3.
    pub(crate) fn atan(&self, x: T) -> T {
        let near = x.near();
        if !near.is_finite() {
            return T::unknown();
        }
        if near == 0.0 && x.to_ball().is_zero() {
            return x;
        }
        let off = |y: T| {
            let (sin, cos) = self.sin_cos(y);
            self.over(x * cos - sin, cos + x * sin)
        };
        let mut y = T::of(near.atan());
        let mut bits = 40;
        while bits < T::BITS + 8 {
            y = (y + off(y).point()).point();
            bits *= 3;
        }
        let d = off(y);
        y + d.widened(d * d * d)
    }

    /// x^k.
    pub(crate) fn whole_power(&self, x: T, k: i32) -> T {
        let (mut power, mut square, mut rest) = (T::of(1.0), x, k.unsigned_abs());
        while rest > 0 {
            if rest & 1 == 1 {
                power = power * square;
            }
            rest >>= 1;
            if rest > 0 {
                square = square * square;
            }
        }
        if k < 0 { self.over(T::of(1.0), power) } else { power }
    }

    /// x^a = e^(a ln x), x > 0.
    pub(crate) fn power(&self, x: T, a: f64) -> T {
        self.exp(T::of(a) * self.log(x))
    }
}
