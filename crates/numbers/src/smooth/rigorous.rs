//! Intervals and double-doubles, by way of [`Fixed`]: one proof for every function. 192 bits after the point are enough
//! for either, and a few microseconds each are little where they are used. Of intervals tanh and logistic, which every step of
//! a run needs, have a faster way.

use super::{Sign, Smooth};
use crate::interval::{add_down, add_up, exp_point};
use crate::{Bound, DoubleDouble, Fixed, Interval, Scalar, power_of_two};

type Wide = Fixed<4>;

/// Beyond this tanh, logistic and erf are within 2^-192 of their limits.
const FAR: f64 = 200.0;

/// Up to here a ball has room for an argument of atan; beyond it atan is within 2^-60 of its limit, and within 2^-180 of that minus 1 / x.
const STEEP: f64 = (1u64 << 60) as f64;

/// A ball's enclosure with an error of about one unit in the last place.
fn narrow(y: Wide) -> Interval {
    let near = y.value();
    let (rest, error) = (y - Wide::from_f64(near)).near();
    // Where nothing is known the error is infinite.
    Interval::new(
        add_down(near, add_down(rest, -error)),
        add_up(near, add_up(rest, error)),
    )
}

/// f at a point.
fn at(x: f64, f: impl Fn(Wide) -> Wide) -> Interval {
    narrow(f(Wide::from_f64(x)))
}

/// An increasing function between its limits at -infinity and infinity.
fn increasing(x: Interval, limits: [f64; 2], f: impl Fn(Wide) -> Wide) -> Interval {
    let lo = match x.lo() < -FAR {
        true => limits[0],
        false => at(x.lo().min(FAR), &f).lo().max(limits[0]),
    };
    let hi = match x.hi() > FAR {
        true => limits[1],
        false => at(x.hi().max(-FAR), &f).hi().min(limits[1]),
    };
    Interval::new(lo, hi)
}

/// An increasing function by its values at the ends.
fn monotone(x: Interval, point: impl Fn(f64) -> Interval) -> Interval {
    let low = point(x.lo());
    match x.lo() == x.hi() {
        true => low,
        false => Interval::new(low.lo(), point(x.hi()).hi()),
    }
}

/// y (1 + e), |e| <= 2^-62: what is between two neighbours of hi nearly always.
fn around(y: DoubleDouble) -> Interval {
    let error = y.hi().abs() * power_of_two(-62) + f64::MIN_POSITIVE;
    Interval::new(
        add_down(y.hi(), add_down(y.lo(), -error)),
        add_up(y.hi(), add_up(y.lo(), error)),
    )
}

/// (E - 1) / (E + 1) with E = e^(2x) (1 + e), |e| <= 2^-98: E - 1 is off by at most 2^-98 E and one rounding, which is below 2^-65 of it for
/// |x| >= 2^-32, since |E - 1| >= min(|x|, 1/2) max(E, 1); the other operations add less than 2^-99.
fn tanh_point(x: f64) -> Interval {
    match x.abs() {
        a if a > FAR && x > 0.0 => Interval::new(1.0f64.next_down(), 1.0),
        a if a > FAR => Interval::new(-1.0, (-1.0f64).next_up()),
        a if a >= power_of_two(-32) => {
            let E = DoubleDouble::from_f64(2.0 * x).exp();
            let one = DoubleDouble::from_f64(1.0);
            let y = around((E - one) / (E + one));
            Interval::new(y.lo().max(-1.0), y.hi().min(1.0))
        }
        _ => at(x, Wide::tanh),
    }
}

/// 1 / (1 + E) with E = e^-x (1 + e), |e| <= 2^-98; nothing underflows.
fn logistic_point(x: f64) -> Interval {
    match x {
        x if x > FAR => Interval::new(1.0f64.next_down(), 1.0),
        x if x < -FAR => Interval::new(0.0, exp_point(x).hi()),
        x => {
            let E = DoubleDouble::from_f64(-x).exp();
            let one = DoubleDouble::from_f64(1.0);
            let y = around(one / (one + E));
            Interval::new(y.lo().max(0.0), y.hi().min(1.0))
        }
    }
}

/// log(x) for x > 0 finite: m 2^e with 1/2 <= m < 1, log(m) + e ln 2.
fn log_wide(x: f64) -> Wide {
    let (m, e) = libm::frexp(x);
    let ln2 = Wide::from_f64(2.0).log();
    Wide::from_f64(m).log() + Wide::from_f64(f64::from(e)) * ln2
}

/// Sine or cosine, |f'| <= 1: at the middle, moved by the radius.
fn wave(x: Interval, f: impl Fn(Wide) -> Wide) -> Interval {
    let (c, radius) = x.mid_radius();
    let y = at(c, f) + Interval::new(-radius, radius);
    Interval::new(y.lo().clamp(-1.0, 1.0), y.hi().clamp(-1.0, 1.0))
}

/// At 0, and log at 1, what is exact is exact.
impl Smooth for Interval {
    const ENCLOSES: bool = true;

    /// Increasing; nothing is known where an argument may be 0 or below.
    fn log(self) -> Self {
        if self == Interval::from_f64(1.0) {
            return Interval::from_f64(0.0);
        }
        if self.lo() <= 0.0 {
            return Interval::ENTIRE;
        }
        let lo = narrow(log_wide(self.lo().min(f64::MAX))).lo();
        let hi = match self.hi() < f64::INFINITY {
            true => narrow(log_wide(self.hi())).hi(),
            false => f64::INFINITY,
        };
        Interval::new(lo, hi)
    }

    /// Without the sum's rounding where that would matter.
    fn log1p(self) -> Self {
        if self.is_zero() {
            return self;
        }
        if self.magnitude() > 1.0 {
            return (Interval::from_f64(1.0) + self).log();
        }
        if self.lo() <= -1.0 {
            return Interval::ENTIRE;
        }
        Interval::new(
            at(self.lo(), Wide::log1p).lo(),
            at(self.hi(), Wide::log1p).hi(),
        )
    }

    fn expm1(self) -> Self {
        if self.is_zero() {
            return self;
        }
        if self.magnitude() > 1.0 {
            return self.exp() - Interval::from_f64(1.0);
        }
        Interval::new(
            at(self.lo(), Wide::expm1).lo(),
            at(self.hi(), Wide::expm1).hi(),
        )
    }

    fn tanh(self) -> Self {
        if self.is_zero() {
            return self;
        }
        monotone(self, tanh_point)
    }

    fn logistic(self) -> Self {
        if self.is_zero() {
            return Interval::from_f64(0.5);
        }
        monotone(self, logistic_point)
    }

    /// Increasing, and x <= softplus(x) <= x + e^-x, 0 <= softplus(x) <= e^x.
    fn softplus(self) -> Self {
        let point = |x: f64| match x {
            x if x > FAR => Interval::new(x, add_up(x, exp_point(-x).hi())),
            x if x < -FAR => Interval::new(0.0, exp_point(x).hi()),
            x => at(x, Wide::softplus),
        };
        Interval::new(point(self.lo()).lo().max(0.0), point(self.hi()).hi())
    }

    fn erf(self) -> Self {
        if self.is_zero() {
            return self;
        }
        increasing(self, [-1.0, 1.0], Wide::erf)
    }

    fn erfc(self) -> Self {
        if self.is_zero() {
            return Interval::from_f64(1.0);
        }
        -increasing(self, [-2.0, 0.0], |x| -x.erfc())
    }

    fn sin(self) -> Self {
        if self.is_zero() {
            return self;
        }
        wave(self, Wide::sin)
    }

    fn cos(self) -> Self {
        if self.is_zero() {
            return Interval::from_f64(1.0);
        }
        wave(self, Wide::cos)
    }

    fn atan(self) -> Self {
        if self.is_zero() {
            return self;
        }
        let limit = std::f64::consts::FRAC_PI_2.next_up();
        monotone(self, |x| match x {
            x if x > STEEP => Interval::new(at(STEEP, Wide::atan).lo(), limit),
            x if x < -STEEP => Interval::new(-limit, at(-STEEP, Wide::atan).hi()),
            x => at(x, Wide::atan),
        })
    }

    fn two_over_root_pi() -> Self {
        narrow(Wide::two_over_root_pi())
    }

    fn sign(self) -> Sign {
        if self.lo() > 0.0 {
            Sign::Positive
        } else if self.hi() < 0.0 {
            Sign::Negative
        } else {
            Sign::Unknown
        }
    }

    /// Monotone in |x|, with the sign of x for odd n.
    fn powi(self, n: u32) -> Self {
        let point = |x: f64| {
            let mut power = Interval::from_f64(1.0);
            for bit in (0..u32::BITS - n.leading_zeros()).rev() {
                power = power.square();
                if n >> bit & 1 == 1 {
                    power = power * Interval::from_f64(x);
                }
            }
            power
        };
        if n % 2 == 1 {
            return Interval::new(point(self.lo()).lo(), point(self.hi()).hi());
        }
        let least = match self.contains(0.0) {
            true => 0.0,
            false => self.lo().abs().min(self.hi().abs()),
        };
        Interval::new(
            point(least).lower().max(0.0),
            point(self.magnitude()).upper(),
        )
    }
}

/// f by way of a ball: 2^-180 of absolute error, and 2^-104 of the result.
fn by_ball(x: DoubleDouble, f: impl Fn(Wide) -> Wide) -> DoubleDouble {
    from_ball(f(Wide::from_f64(x.hi()) + Wide::from_f64(x.lo())))
}

fn from_ball(y: Wide) -> DoubleDouble {
    let hi = y.value();
    DoubleDouble::new(hi, (y - Wide::from_f64(hi)).value())
}

/// A function that has a limit on both sides.
fn bounded(x: DoubleDouble, limits: [f64; 2], f: impl Fn(Wide) -> Wide) -> DoubleDouble {
    match x.hi() {
        hi if hi > FAR => DoubleDouble::from_f64(limits[1]),
        hi if hi < -FAR => DoubleDouble::from_f64(limits[0]),
        _ => by_ball(x, f),
    }
}

/// An absolute error of 2^-180 and a relative one of 2^-104; sin and cos of arguments beyond 2^40 are NaN.
impl Smooth for DoubleDouble {
    const ENCLOSES: bool = false;

    fn log(self) -> Self {
        let x = self.hi();
        if !(x > 0.0 && x < f64::INFINITY) {
            return Self::from_f64(libm::log(x));
        }
        let (m, e) = libm::frexp(x);
        // hi = m 2^e, lo less than 2^-52 of it.
        let (first, second) = (power_of_two(-e / 2), power_of_two(-e + e / 2));
        let lo = self.lo() * first * second;
        let ln2 = Wide::from_f64(2.0).log();
        let y = (Wide::from_f64(m) + Wide::from_f64(lo)).log();
        from_ball(y + Wide::from_f64(f64::from(e)) * ln2)
    }
    fn log1p(self) -> Self {
        match self.hi().abs() < 1e9 {
            true => by_ball(self, Wide::log1p),
            false => (Self::from_f64(1.0) + self).log(),
        }
    }
    fn expm1(self) -> Self {
        match self.hi().abs() < 1.0 {
            true => by_ball(self, Wide::expm1),
            false => self.exp() - Self::from_f64(1.0),
        }
    }
    fn tanh(self) -> Self {
        bounded(self, [-1.0, 1.0], Wide::tanh)
    }
    fn logistic(self) -> Self {
        bounded(self, [0.0, 1.0], Wide::logistic)
    }
    fn softplus(self) -> Self {
        match self.hi() {
            hi if hi > FAR => self,
            hi if hi < -FAR => self.exp(),
            _ => by_ball(self, Wide::softplus),
        }
    }
    fn erf(self) -> Self {
        bounded(self, [-1.0, 1.0], Wide::erf)
    }
    fn erfc(self) -> Self {
        bounded(self, [2.0, 0.0], Wide::erfc)
    }
    fn sin(self) -> Self {
        by_ball(self, Wide::sin)
    }
    fn cos(self) -> Self {
        by_ball(self, Wide::cos)
    }
    fn atan(self) -> Self {
        if self.hi().abs() > STEEP {
            let quarter = by_ball(Self::from_f64(1.0f64.copysign(self.hi())), Wide::atan);
            return quarter + quarter - Self::from_f64(1.0 / self.hi());
        }
        by_ball(self, Wide::atan)
    }
    fn two_over_root_pi() -> Self {
        from_ball(Wide::two_over_root_pi())
    }
    fn sign(self) -> Sign {
        self.hi().sign()
    }
}
