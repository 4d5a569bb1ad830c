//! Smooth functions of one number over an interval: how large |phi'| and |phi''| are.
//!
//! Each is monotone between known critical points, so ends and these decide.

use super::up;
use crate::Function;
use gdcert_numbers::{Interval, Scalar};

/// At least the largest |phi'| and |phi''| over an interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Slopes {
    pub(crate) first: f64,
    pub(crate) second: f64,
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

/// 1 - t^2 and |t| (1 - t^2) over t in [-1, 1] for |t| between these ends, at least: the latter grows up to
/// |t| = 1/sqrt 3, where it is 2 / (3 sqrt 3), and falls from there.
fn of_tanh(t: Interval) -> (f64, f64) {
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
    (rest(least), largest)
}

/// phi = tanh, given its values: phi' = 1 - t^2, phi'' = -2 t (1 - t^2).
pub(crate) fn tanh(t: Interval) -> Slopes {
    let (first, product) = of_tanh(t);
    Slopes {
        first,
        second: up::mul(2.0, product),
    }
}

/// phi = 1 / (1 + e^-x), given its values s = (1 + t)/2, t = tanh(x/2): phi' = (1 - t^2)/4, phi'' = -t (1 - t^2)/4.
pub(crate) fn logistic(s: Interval) -> Slopes {
    let (rest, product) = of_tanh(point(2.0) * s - point(1.0));
    Slopes {
        first: 0.25 * rest,
        second: 0.25 * product,
    }
}

/// phi = e^x.
pub(crate) fn exp(x: Interval) -> Slopes {
    let e = x.exp().hi();
    Slopes {
        first: e,
        second: e,
    }
}

/// phi = ln x for x >= `least` > 0: 1/x and 1/x^2.
pub(crate) fn log(x: Interval) -> Slopes {
    let first = up::div(1.0, x.lo());
    Slopes {
        first,
        second: up::mul(first, first),
    }
}

/// phi = x^{1/2}: x^{-1/2}/2 and x^{-3/2}/4 fall.
pub(crate) fn sqrt(x: Interval) -> Slopes {
    let least = point(x.lo());
    let root = least.sqrt().lo();
    let first = up::div(0.5, root);
    Slopes {
        first,
        second: up::div(up::mul(0.5, first), least.lo()),
    }
}

/// phi = x^{-1/2}: x^{-3/2}/2 and 3 x^{-5/2}/4 fall.
pub(crate) fn rsqrt(x: Interval) -> Slopes {
    let first = up::div(up::div(0.5, point(x.lo()).sqrt().lo()), x.lo());
    Slopes {
        first,
        second: up::div(up::mul(1.5, first), x.lo()),
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

/// phi = x^k for a whole number k: |k| |x|^{k-1} and |k (k-1)| |x|^{k-2}.
pub(crate) fn whole_power(x: Interval, k: i32) -> Slopes {
    let factor = |c: i64, k: i32| {
        if c == 0 {
            0.0
        } else {
            up::mul(c.unsigned_abs() as f64, power(x, k))
        }
    };
    let n = i64::from(k);
    Slopes {
        first: factor(n, k - 1),
        second: factor(n * (n - 1), k - 2),
    }
}

/// 2 / sqrt(pi): the constant is the f64 next to it.
fn two_over_root_pi() -> Interval {
    let near = std::f64::consts::FRAC_2_SQRT_PI;
    Interval::new(near.next_down(), near.next_up())
}

/// phi = erf: phi' = 2 pi^{-1/2} e^{-x^2} falls with |x|; |phi''| = 2 |x| phi' grows up to |x| = 2^{-1/2} and falls.
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
    Slopes {
        first: slope(least),
        second: largest,
    }
}

/// phi = ln(1 + e^x), given s = phi' = 1 / (1 + e^-x): phi'' = s (1 - s) = (1 - t^2)/4 with t = 2 s - 1.
pub(crate) fn softplus(s: Interval) -> Slopes {
    let (rest, _) = of_tanh(point(2.0) * s - point(1.0));
    Slopes {
        first: s.hi().clamp(0.0, 1.0),
        second: 0.25 * rest,
    }
}

/// phi = x^a for x > 0: |a| x^{a-1} and |a (a-1)| x^{a-2} are monotone.
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
    let factor = a.magnitude();
    Slopes {
        first: up::mul(factor, largest(1)),
        second: up::mul(up::mul(factor, (a - point(1.0)).magnitude()), largest(2)),
    }
}
