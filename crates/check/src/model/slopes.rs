//! Functions over an interval: their values, and how large |phi'|, |phi''| and |phi'''| are. Between critical points each is monotone.

use super::file::Function;
use super::functions::Functions;
use super::table::{add, mul, over};
use super::values::function;
use crate::ball::{Ball, ball};

/// All numbers from lo to hi.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Range {
    pub(crate) lo: f64,
    pub(crate) hi: f64,
}

impl Range {
    pub(crate) fn of(x: Ball) -> Range {
        let (lo, hi) = (x.lower(), x.upper());
        if x.is_known() {
            Range { lo, hi }
        } else {
            Range { lo: f64::NEG_INFINITY, hi: f64::INFINITY }
        }
    }

    /// All numbers within `by` of one of these.
    pub(crate) fn widened(self, by: f64) -> Range {
        Range { lo: (self.lo - by).next_down(), hi: (self.hi + by).next_up() }
    }

    pub(crate) fn and(self, other: Range) -> Range {
        Range { lo: self.lo.max(other.lo), hi: self.hi.min(other.hi) }
    }

    /// The largest and least |x|.
    pub(crate) fn most(self) -> f64 {
        self.lo.abs().max(self.hi.abs())
    }

    pub(crate) fn least(self) -> f64 {
        if self.has_0() { 0.0 } else { self.lo.abs().min(self.hi.abs()) }
    }

    pub(crate) fn has_0(self) -> bool {
        !(self.lo > 0.0 || self.hi < 0.0)
    }
}

/// A function over a range.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slopes {
    pub(crate) range: Range,
    /// max |phi'|, max |phi''|, max |phi'''|.
    pub(crate) first: f64,
    pub(crate) second: f64,
    pub(crate) third: f64,
}

const ALL: Range = Range { lo: f64::NEG_INFINITY, hi: f64::INFINITY };

/// 1 - t^2, |t| (1 - t^2) and |(1 - t^2) (1 - 3 t^2)| from above for |t| in [least, most] within [0, 1]: the second grows to
/// 2 / (3 sqrt 3) = 0.38490017945... at 1 / sqrt 3 = 0.57735026918..., and falls; the third is 1 at 0, 0 at 1 / sqrt 3, 1/3 at
/// (2/3)^{1/2} = 0.81649658092... and 0 at 1, and monotone between these.
fn of_square(least: f64, most: f64) -> (f64, f64, f64) {
    let rest = |t: f64| ((1.0 - t) * (1.0 + t)).next_up().next_up();
    let product = |t: f64| mul(t, rest(t));
    let second = if least > 0.577_350_27 {
        product(least)
    } else if most < 0.577_350_26 {
        product(most)
    } else {
        0.384_900_18
    };
    let cubic = |t: f64| mul(rest(t), (1.0 - 3.0 * t * t).abs() + 2e-15);
    let bend: f64 = if least < 0.8165 && most > 0.8164 { 0.333_333_334 } else { 0.0 };
    (rest(least), second, bend.max(cubic(least)).max(cubic(most)))
}

/// phi over x; `None` where it is not smooth, or not defined.
pub(crate) fn slopes(of: &Functions<Ball>, f: Function, x: Range) -> Option<Slopes> {
    let at = |f: Function, x: f64| {
        if x.is_finite() { function(of, f, ball(x)) } else { (Ball::UNKNOWN, Ball::UNKNOWN) }
    };
    let value = |f: Function, x: f64| Range::of(at(f, x).0);
    // Of a function that grows.
    let growing = |f: Function| Range { lo: value(f, x.lo).lo, hi: value(f, x.hi).hi };
    let slope = |f: Function, x: f64| at(f, x).1.abs().upper();
    let positive = |x: f64| (x > 0.0).then_some(());
    Some(match f {
        Function::Exp | Function::Expm1 => {
            let first = slope(Function::Exp, x.hi);
            Slopes { range: growing(f), first, second: first, third: first }
        }
        Function::Log | Function::Log1p => {
            let least = if f == Function::Log { x.lo } else { (1.0 + x.lo).next_down() };
            positive(least)?;
            let first = over(1.0, least);
            let second = mul(first, first);
            Slopes { range: growing(f), first, second, third: mul(2.0 * first, second) }
        }
        Function::Sqrt => {
            positive(x.lo)?;
            let first = slope(f, x.lo);
            let second = over(mul(0.5, first), x.lo);
            Slopes { range: growing(f), first, second, third: over(mul(1.5, second), x.lo) }
        }
        Function::Rsqrt => {
            positive(x.lo)?;
            let first = slope(f, x.lo);
            let range = Range { lo: value(f, x.hi).lo, hi: value(f, x.lo).hi };
            let second = over(mul(1.5, first), x.lo);
            Slopes { range, first, second, third: over(mul(2.5, second), x.lo) }
        }
        Function::Tanh => {
            let range = growing(f).and(Range { lo: -1.0, hi: 1.0 });
            // phi'' = -2 t (1 - t^2), phi''' = -2 (1 - t^2) (1 - 3 t^2).
            let (first, second, third) = of_square(range.least(), range.most());
            Slopes { range, first, second: 2.0 * second, third: 2.0 * third }
        }
        Function::Logistic => {
            // phi = (1 + t)/2, t = tanh(x/2): phi' = (1 - t^2)/4, phi'' = -t (1 - t^2)/4, phi''' = -(1 - t^2) (1 - 3 t^2)/8.
            let range = growing(f).and(Range { lo: 0.0, hi: 1.0 });
            let t = Range { lo: 2.0 * range.lo - 1.0, hi: 2.0 * range.hi - 1.0 }.widened(1e-15);
            let (first, second, third) = of_square(t.least(), t.most().min(1.0));
            Slopes { range, first: 0.25 * first, second: 0.25 * second, third: 0.125 * third }
        }
        Function::Softplus => {
            // phi' is the logistic function.
            let s = slopes(of, Function::Logistic, x)?;
            Slopes { range: growing(f), first: s.range.hi, second: s.first, third: s.second }
        }
        Function::Erf | Function::Erfc => {
            // |phi'| = 2 pi^{-1/2} e^{-x^2} falls with |x|; |phi''| = 2 |x phi'| grows to (8/pi)^{1/2} e^{-1/2} = 0.96788...
            // at 2^{-1/2} = 0.70710678..., and falls.
            let of_erf = growing(Function::Erf).and(Range { lo: -1.0, hi: 1.0 });
            let (least, most) = (x.least(), x.most());
            let bend = |x: f64| mul(2.0 * x, slope(Function::Erf, x));
            let second = if least > 0.7072 {
                bend(least)
            } else if most < 0.707 {
                bend(most)
            } else {
                0.967_883
            };
            let turned = Range { lo: 1.0 - of_erf.hi, hi: 1.0 - of_erf.lo }.widened(0.0);
            let range = if f == Function::Erf { of_erf } else { turned };
            // |phi'''| = |4 x^2 - 2| phi', and 4 x^2 - 2 grows with |x|.
            let factor = |x: f64| add((mul(4.0 * x, x) - 2.0).abs(), 1e-15);
            let first = slope(Function::Erf, least);
            Slopes { range, first, second, third: mul(first, factor(least).max(factor(most))) }
        }
        Function::Atan => {
            // q = phi' = 1/(1 + x^2) falls with |x|; |phi''| = 2 |x| q^2 grows to 3 sqrt(3)/8 = 0.64951905... at 1 / sqrt 3 =
            // 0.57735026918..., and falls; phi''' = -q^2 (8 q - 6) grows with |x| from -2 to 1/2 at 1, and falls to 0.
            let (least, most) = (x.least(), x.most());
            let limit = std::f64::consts::FRAC_PI_2.next_up();
            let bend = |x: f64| {
                let q = at(f, x).1;
                (ball(2.0) * ball(x) * q * q).abs().upper()
            };
            let third = |x: f64| {
                let q = at(f, x).1;
                (q * q * (ball(8.0) * q - ball(6.0))).abs().upper()
            };
            let second = if least > 0.577_350_27 {
                bend(least)
            } else if most < 0.577_350_26 {
                bend(most)
            } else {
                0.649_519_1
            };
            let third = third(least).max(third(most.min(least.max(1.0))));
            let range = growing(f).and(Range { lo: -limit, hi: limit });
            Slopes { range, first: slope(f, least), second, third }
        }
        Function::Sin | Function::Cos => {
            // At the middle, and as far from it as a slope of 1 goes.
            let middle = 0.5 * x.lo + 0.5 * x.hi;
            let half = ((x.hi - middle).max(middle - x.lo)).next_up();
            let unit = Range { lo: -1.0, hi: 1.0 };
            let near = |f: Function| value(f, middle).widened(half).and(unit);
            let other = if f == Function::Sin { Function::Cos } else { Function::Sin };
            let first = near(other).most();
            Slopes { range: near(f), first, second: near(f).most(), third: first }
        }
        Function::Whole(k) => {
            if k < 0 && x.has_0() {
                return None;
            }
            let n = f64::from(k);
            let power = |k: i32| {
                if k < 0 {
                    over(1.0, least_power(x.least(), -k))
                } else {
                    largest_power(x.most(), k)
                }
            };
            let factor = |c: f64, k: i32| if c == 0.0 { 0.0 } else { mul(c.abs(), power(k)) };
            let most = power(k);
            let range = Range { lo: if k % 2 == 0 { 0.0 } else { -most }, hi: most };
            // n (n - 1) is exact: |k| <= 2^20.
            let twice = n * (n - 1.0);
            let third = factor(mul(twice.abs(), (n - 2.0).abs()), k - 3);
            Slopes { range, first: factor(n, k - 1), second: factor(twice, k - 2), third }
        }
        Function::Power(a) => {
            positive(x.lo)?;
            let ends = [x.lo, x.hi].map(|x| (x, value(f, x)));
            let range =
                Range { lo: ends[0].1.lo.min(ends[1].1.lo), hi: ends[0].1.hi.max(ends[1].1.hi) };
            // |a| x^(a - 1), |a (a - 1)| x^(a - 2) and |a (a - 1) (a - 2)| x^(a - 3) are monotone.
            let largest = |times: i32| {
                let at = |(x, y): (f64, Range)| over(y.hi, least_power(x, times));
                at(ends[0]).max(at(ends[1]))
            };
            let second = mul(a.abs(), (a - 1.0).abs().next_up());
            let third = mul(second, (a - 2.0).abs().next_up());
            Slopes {
                range,
                first: mul(a.abs(), largest(1)),
                second: mul(second, largest(2)),
                third: mul(third, largest(3)),
            }
        }
        Function::Relu | Function::Abs => {
            if x.has_0() {
                return None;
            }
            let (sign, first) = match (f, x.lo > 0.0) {
                (_, true) => (1.0, 1.0),
                (Function::Relu, _) => (0.0, 0.0),
                _ => (-1.0, 1.0),
            };
            let range = if sign < 0.0 {
                Range { lo: -x.hi, hi: -x.lo }
            } else {
                Range { lo: sign * x.lo, hi: sign * x.hi }
            };
            Slopes {
                range: if range.lo.is_nan() || range.hi.is_nan() { ALL } else { range },
                first,
                second: 0.0,
                third: 0.0,
            }
        }
    })
}

fn largest_power(x: f64, k: i32) -> f64 {
    (0..k).fold(1.0, |p, _| mul(p, x))
}

/// At most x^k for x >= 0, k >= 0.
fn least_power(x: f64, k: i32) -> f64 {
    (0..k).fold(1.0, |p, _| (p * x).next_down().max(0.0))
}

/// phi'' at a number.
pub(crate) fn bend(of: &Functions<Ball>, f: Function, x: Ball) -> Ball {
    let (y, slope) = function(of, f, x);
    match f {
        Function::Exp | Function::Expm1 => slope,
        // phi' = 1/x, 1/(1 + x).
        Function::Log | Function::Log1p => -(slope * slope),
        Function::Sqrt => -(slope / (x + x)),
        Function::Rsqrt => -(ball(1.5) * slope / x),
        Function::Tanh => -(ball(2.0) * y * slope),
        Function::Logistic => slope * (ball(1.0) - (y + y)),
        Function::Softplus => slope * (ball(1.0) - slope),
        Function::Erf | Function::Erfc => -(ball(2.0) * x * slope),
        Function::Sin | Function::Cos => -y,
        Function::Atan => -(ball(2.0) * x * slope * slope),
        Function::Whole(k) => {
            let n = f64::from(k);
            let factor = ball(n) * ball(n - 1.0);
            if factor.is_zero() { Ball::ZERO } else { factor * of.whole_power(x, k - 2) }
        }
        Function::Power(a) => (ball(a) - ball(1.0)) * slope / x,
        Function::Relu | Function::Abs => Ball::ZERO,
    }
}
