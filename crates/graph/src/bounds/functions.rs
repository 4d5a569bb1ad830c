//! Smooth functions of one number over an interval: how large |phi'|, |phi''| and |phi'''| are.
//!
//! Each is monotone between known critical points, so ends and these decide.

use super::up;
use crate::Function;
use gdcert_numbers::{Interval, Scalar};

/// At least the largest |phi'|, |phi''| and |phi'''| over an interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Slopes {
    pub(crate) first: f64,
    pub(crate) second: f64,
    pub(crate) third: f64,
}

fn point(x: f64) -> Interval {
    Interval::from_f64(x)
}

/// The least |x|.
pub(crate) fn mignitude(x: Interval) -> f64 {
    if x.contains(0.0) {
        0.0
    } else {
        x.lo().abs().min(x.hi().abs())
    }
}

/// 1 - t^2, |t| (1 - t^2) and |(1 - t^2) (1 - 3 t^2)| over t in [-1, 1] for |t| between these ends, at least: the second grows
/// up to |t| = 1/sqrt 3, where it is 2 / (3 sqrt 3), and falls from there; (1 - s) (1 - 3 s) falls to -1/3 at s = 2/3 and grows
/// from there.
fn of_tanh(t: Interval) -> (f64, f64, f64) {
    let (least, most) = (mignitude(t).min(1.0), t.magnitude().min(1.0));
    let rest = |t: f64| (point(1.0) - point(t).square()).hi().max(0.0);
    let product = |t: f64| up::mul(t, rest(t));
    let third = (point(1.0) / point(3.0)).sqrt();
    let largest = if least > third.hi() {
        product(least)
    } else if most < third.lo() {
        product(most)
    } else {
        (point(2.0) / point(3.0) * third).hi()
    };
    let cubic = |t: f64| {
        let s = point(t).square();
        ((point(1.0) - s) * (point(1.0) - point(3.0) * s)).magnitude()
    };
    let turn = match point(least).square().lo() <= 0.67 && point(most).square().hi() >= 0.66 {
        true => third.square().hi(),
        false => 0.0,
    };
    (
        rest(least),
        largest,
        cubic(least).max(cubic(most)).max(turn),
    )
}

/// phi = tanh, given its values: phi' = 1 - t^2, phi'' = -2 t (1 - t^2), phi''' = -2 (1 - t^2) (1 - 3 t^2).
pub(crate) fn tanh(t: Interval) -> Slopes {
    let (first, product, cubic) = of_tanh(t);
    Slopes {
        first,
        second: 2.0 * product,
        third: 2.0 * cubic,
    }
}

/// phi = 1 / (1 + e^-x), given its values s = (1 + t)/2, t = tanh(x/2): phi' = (1 - t^2)/4, phi'' = -t (1 - t^2)/4,
/// phi''' = -(1 - t^2) (1 - 3 t^2)/8.
pub(crate) fn logistic(s: Interval) -> Slopes {
    let (rest, product, cubic) = of_tanh(point(2.0) * s - point(1.0));
    Slopes {
        first: 0.25 * rest,
        second: 0.25 * product,
        third: 0.125 * cubic,
    }
}

/// phi = e^x.
pub(crate) fn exp(x: Interval) -> Slopes {
    let e = x.exp().hi();
    Slopes {
        first: e,
        second: e,
        third: e,
    }
}

/// phi = ln x for x > 0: 1/x, 1/x^2 and 2/x^3.
pub(crate) fn log(x: Interval) -> Slopes {
    let first = up::div(1.0, x.lo());
    let second = up::mul(first, first);
    Slopes {
        first,
        second,
        third: up::mul(2.0 * first, second),
    }
}

/// phi = x^{1/2}: x^{-1/2}/2, x^{-3/2}/4 and 3 x^{-5/2}/8 fall.
pub(crate) fn sqrt(x: Interval) -> Slopes {
    let least = point(x.lo());
    let root = least.sqrt().lo();
    let first = up::div(0.5, root);
    let second = up::div(up::mul(0.5, first), least.lo());
    Slopes {
        first,
        second,
        third: up::div(up::mul(1.5, second), least.lo()),
    }
}

/// phi = x^{-1/2}: x^{-3/2}/2, 3 x^{-5/2}/4 and 15 x^{-7/2}/8 fall.
pub(crate) fn rsqrt(x: Interval) -> Slopes {
    let first = up::div(up::div(0.5, point(x.lo()).sqrt().lo()), x.lo());
    let second = up::div(up::mul(1.5, first), x.lo());
    Slopes {
        first,
        second,
        third: up::div(up::mul(2.5, second), x.lo()),
    }
}

/// |x|^k at least, for a whole number k.
fn power(x: Interval, k: i32) -> f64 {
    if k >= 0 {
        (0..k).fold(1.0, |p, _| up::mul(p, x.magnitude()))
    } else {
        let inverse = up::div(1.0, mignitude(x));
        (0..-k).fold(1.0, |p, _| up::mul(p, inverse))
    }
}

/// phi = x^k for a whole number k: |k| |x|^{k-1}, |k (k-1)| |x|^{k-2} and |k (k-1) (k-2)| |x|^{k-3}.
pub(crate) fn whole_power(x: Interval, k: i32) -> Slopes {
    // |c| times |x|^k: c is a product of whole numbers below 2^32, rounded up.
    let factor = |c: f64, k: i32| {
        if c == 0.0 {
            0.0
        } else {
            up::mul(c.abs(), power(x, k))
        }
    };
    let n = f64::from(k);
    let [one, two] = [1.0, 2.0].map(|j| (n - j).abs());
    let twice = up::mul(n.abs(), one);
    Slopes {
        first: factor(n, k - 1),
        second: factor(twice, k - 2),
        third: factor(up::mul(twice, two), k - 3),
    }
}

/// 2 / sqrt(pi): the constant is the f64 next to it.
fn two_over_root_pi() -> Interval {
    let near = std::f64::consts::FRAC_2_SQRT_PI;
    Interval::new(near.next_down(), near.next_up())
}

/// phi = erf: phi' = 2 pi^{-1/2} e^{-x^2} falls with |x|; |phi''| = 2 |x| phi' grows up to |x| = 2^{-1/2} and falls; |phi'''| is
/// |4 x^2 - 2| phi', and 4 x^2 - 2 grows with |x|.
pub(crate) fn erf(x: Interval) -> Slopes {
    let (least, most) = (mignitude(x), x.magnitude());
    let slope = |x: f64| (two_over_root_pi() * (-point(x).square()).exp()).hi();
    let second = |x: f64| up::mul(up::mul(2.0, x), slope(x));
    let middle = point(0.5).sqrt();
    let largest = if least > middle.hi() {
        second(least)
    } else if most < middle.lo() {
        second(most)
    } else {
        // 2 x phi' at 2^{-1/2}: 2^{1/2} 2 pi^{-1/2} e^{-1/2}.
        (point(2.0).sqrt() * two_over_root_pi() * point(-0.5).exp()).hi()
    };
    let factor = |x: f64| (point(4.0) * point(x).square() - point(2.0)).magnitude();
    Slopes {
        first: slope(least),
        second: largest,
        third: up::mul(slope(least), factor(least).max(factor(most))),
    }
}

/// phi = atan: phi' = q = 1 / (1 + x^2) falls with |x|; |phi''| = 2 |x| q^2 grows up to |x| = 1/sqrt 3, where it is 3 sqrt(3) / 8,
/// and falls; phi''' = -q^2 (8 q - 6) grows with |x| from -2 to 1/2 at 1, and falls to 0.
pub(crate) fn atan(x: Interval) -> Slopes {
    let (least, most) = (mignitude(x), x.magnitude());
    let slope = |x: f64| point(1.0) / (point(1.0) + point(x).square());
    let second = |x: f64| up::mul(up::mul(2.0, x), slope(x).square().hi());
    let third = |x: f64| {
        let q = slope(x);
        (q.square() * (point(8.0) * q - point(6.0))).magnitude()
    };
    let middle = (point(1.0) / point(3.0)).sqrt();
    let largest = if least > middle.hi() {
        second(least)
    } else if most < middle.lo() {
        second(most)
    } else {
        (point(3.0) * point(3.0).sqrt() / point(8.0)).hi()
    };
    Slopes {
        first: slope(least).hi(),
        second: largest,
        third: third(least).max(third(most.min(least.max(1.0)))),
    }
}

/// phi = ln(1 + e^x), given s = phi' = 1 / (1 + e^-x): phi'' = s (1 - s) = (1 - t^2)/4 with t = 2 s - 1,
/// phi''' = -t (1 - t^2)/4.
pub(crate) fn softplus(s: Interval) -> Slopes {
    let (rest, product, _) = of_tanh(point(2.0) * s - point(1.0));
    Slopes {
        first: s.hi().clamp(0.0, 1.0),
        second: 0.25 * rest,
        third: 0.25 * product,
    }
}

/// phi = x^a for x > 0: |a| x^{a-1}, |a (a-1)| x^{a-2} and |a (a-1) (a-2)| x^{a-3} are monotone.
pub(crate) fn real_power(x: Interval, a: f64) -> Slopes {
    let a = point(a);
    // x^{a - k} at an end, as x^a / x^k.
    let at = |end: f64, k: i32| {
        let x = point(end);
        let power = Function::Pow(a.lo()).value(x);
        up::div(power.hi(), Function::IntegerPow(k).value(x).lo())
    };
    let largest = |k: i32| {
        let above = if x.hi() < f64::INFINITY {
            at(x.hi(), k)
        } else {
            f64::INFINITY
        };
        at(x.lo(), k).max(above)
    };
    let first = a.magnitude();
    let second = up::mul(first, (a - point(1.0)).magnitude());
    let third = up::mul(second, (a - point(2.0)).magnitude());
    Slopes {
        first: up::mul(first, largest(1)),
        second: up::mul(second, largest(2)),
        third: up::mul(third, largest(3)),
    }
}
