//! Elementary functions of balls.
//!
//! Each is evaluated at the midpoint, to a few v, and then moved by what the argument's radius can do: |f(x) - f(mid)| is at
//! most sup|f'| radius. The series run on balls, so that every rounding is in the radius; what is said beside each is the
//! identity and what is cut off. A series ends after a term whose midpoint is 0, which is at most its radius.

use super::{Fixed, integer_up, scale, up};
use crate::{Scalar, Sign, Smooth};
use std::sync::OnceLock;

/// Words of stored constants.
const WORDS: usize = 66;

/// Arguments of sin and cos beyond this are not reduced.
const FARTHEST: f64 = (1u64 << 40) as f64;

impl<const L: usize> Fixed<L> {
    /// self = f(mid), for every argument within `radius` v of mid, where |f'| <= slope.
    fn moved(self, radius: f64, slope: f64) -> Self {
        Self::new(self.words, up(self.radius + slope * radius))
    }

    /// |midpoint|, whether it is below 0, and the radius.
    fn parts(self) -> (Self, bool, f64) {
        let (mid, radius) = self.split();
        let negative = mid.negative();
        (if negative { -mid } else { mid }, negative, radius)
    }

    /// Whether the midpoint is 0.
    fn vanishes(&self) -> bool {
        self.words.iter().all(|&word| word == 0)
    }

    /// What follows a term that vanishes, at most `times` as large.
    fn with_rest(self, term: Self, times: f64) -> Self {
        Self::new(self.words, up(self.radius + times * term.radius + 1.0))
    }

    /// A number between 0 and v.
    fn least() -> Self {
        Self::new([0; L], 1.0)
    }

    fn one() -> Self {
        Self::from_f64(1.0)
    }

    /// e^(-2a) or e^(-a) for a >= 0 that may be too large to be doubled.
    fn decay(a: Self, twice: bool) -> Self {
        if a.magnitude_lower() > Self::BITS as f64 + 4.0 {
            return Self::least();
        }
        (-if twice { a + a } else { a }).exp()
    }

    /// The stored constant cut off after L - 1 words: off by less than v more.
    fn shortened(all: &Fixed<WORDS>) -> Self {
        const { assert!(L >= 3 && L < WORDS) };
        let mut words = [0; L];
        words.copy_from_slice(&all.words[WORDS - L..]);
        // Its own radius is far below 2^64 of its units, each at most 2^-64 v.
        debug_assert!(all.radius < 1e9);
        Self::new(words, up(1.0 + 1e-9))
    }

    /// z +- z^3 / 3 + z^5 / 5 +- ... for |z| <= 1/2: artanh z, or with alternating signs atan z. The terms shrink by z^2 <= 1/4 at least.
    fn odd_series(z: Self, alternating: bool) -> Self {
        let (_, negative, _) = z.parts();
        let a = if negative { -z } else { z };
        let square = a * a;
        let (mut power, mut sum) = (a, a);
        for k in 1..=u32::MAX / 4 {
            if power.vanishes() {
                break;
            }
            power = power * square;
            let term = power.over(2 * k + 1);
            if alternating && k % 2 == 1 {
                sum -= term;
            } else {
                sum += term;
            }
        }
        let sum = sum.with_rest(power, 1.0);
        if negative { -sum } else { sum }
    }

    /// log(1 + z) - log(1 - z) for |z| < 1/2.
    fn twice_artanh(z: Self) -> Self {
        let half = Self::odd_series(z, false);
        half + half
    }

    /// sin and cos of |r| <= 1 for r >= 0, by Taylor's series. Terms shrink by r^2 / 2 at least and alternate.
    fn sin_cos_series(r: Self) -> (Self, Self) {
        let square = r * r;
        let series = |first: Self, odd: u32| {
            let (mut term, mut sum) = (first, first);
            for k in 1..=u32::MAX / 4 {
                if term.vanishes() {
                    break;
                }
                term = (term * square).over(2 * k - 1 + odd).over(2 * k + odd);
                if k % 2 == 1 {
                    sum -= term;
                } else {
                    sum += term;
                }
            }
            sum.with_rest(term, 1.0)
        };
        (series(r, 1), series(Self::one(), 0))
    }

    /// sin and cos of the midpoint. x = k pi/2 + r with k the nearest integer to an f64 near 2 x / pi, so |r| < 0.8.
    fn sin_cos(self) -> (Self, Self) {
        let (mid, _) = self.split();
        let x = mid.value();
        // NaN does not occur: the midpoint of what is not known is 0.
        if x.abs() > FARTHEST || self.radius == f64::INFINITY {
            return (Self::UNKNOWN, Self::UNKNOWN);
        }
        let k = (x * std::f64::consts::FRAC_2_PI).round() as i64;
        let multiple = Self::shortened(&constants().half_pi).by(k.unsigned_abs());
        let r = if k < 0 {
            mid + multiple
        } else {
            mid - multiple
        };
        let negative = r.negative();
        let (sin, cos) = Self::sin_cos_series(if negative { -r } else { r });
        let sin = if negative { -sin } else { sin };
        match k.rem_euclid(4) {
            0 => (sin, cos),
            1 => (cos, -sin),
            2 => (-sin, -cos),
            _ => (-cos, sin),
        }
    }

    /// erf(a) for a >= 0 exactly known.
    ///
    /// - a^2 > (F + 1) ln 2: erfc(a) <= e^(-a^2) < v.
    /// - a <= 6.5: erf(a) = 2 / sqrt(pi) S / e^(a^2), S = sum_k a (2 a^2)^k / (1 3 5 ... (2k + 1)), all terms positive and S < e^(a^2), which fits.
    ///   Once 2k + 1 > 4 a^2 the terms shrink by 1/2 at least.
    /// - Between: erfc(a) = e^(-a^2) / (sqrt(pi) t_1) with t_k = a + (k / 2) / t_(k+1). For t_k = i^(k-2)erfc(a) / (2 i^(k-1)erfc(a)), with the repeated
    ///   integrals i^k erfc of i^0 erfc = erfc and i^-1 erfc = 2 e^(-a^2) / sqrt(pi), this is their recurrence
    ///   2k i^k erfc = -2a i^(k-1)erfc + i^(k-2)erfc; all are positive, so a <= t_n <= a + n / (2a). t_1 is between what these two give.
    fn erf_of(a: Self) -> Self {
        let low = a.magnitude_lower();
        if low > 0.0 && low * low > (Self::BITS as f64 + 2.0) * std::f64::consts::LN_2 {
            return Self::new(Self::one().words, 1.0);
        }
        let slope = Self::two_over_root_pi();
        if a.magnitude() <= 6.5 {
            let square = a * a;
            let twice = square + square;
            let enough = 2.0 * twice.magnitude();
            let (mut term, mut sum) = (a, a);
            for k in 1..=u32::MAX / 4 {
                if term.vanishes() && f64::from(2 * k - 1) > enough {
                    break;
                }
                term = term.over(2 * k + 1) * twice;
                sum += term;
            }
            let sum = sum.with_rest(term, 1.0);
            // Both are brought near 1: a quotient of large numbers loses what they have above the point.
            let size = (square.value() / std::f64::consts::LN_2) as usize;
            let share = sum.shift_right(size) / square.exp().shift_right(size);
            return slope * share;
        }
        // t_k is about (a + sqrt(a^2 + 2k)) / 2, and an error in t_(k+1) becomes k / (2 t_k^2) of it.
        let near = a.value();
        let mut missing = Self::BITS as f64 * std::f64::consts::LN_2;
        let mut n = 1u32;
        while missing > 0.0 {
            let t = 0.5 * (near + (near * near + 2.0 * f64::from(n)).sqrt());
            missing += libm::log(0.5 * f64::from(n) / (t * t));
            n += 1;
        }
        let first = |tail: Self| {
            let step = |t, k| a + Self::from_f64(f64::from(k) / 2.0) / t;
            (1..n).rev().fold(tail, step)
        };
        let (s, t) = (first(a), first(a + Self::from_f64(f64::from(n) / 2.0) / a));
        // t_1 is monotone in t_n.
        let apart = integer_up(&(s - t).words) + s.radius;
        let t = Self::new(t.words, up(t.radius + apart));
        let half = slope.shift_right(1);
        Self::one() - half * Self::decay(a * a, false) / t
    }
}

struct Constants {
    half_pi: Fixed<WORDS>,
    two_over_root_pi: Fixed<WORDS>,
}

/// pi / 4 = 4 arctan(1/5) - arctan(1/239); the series alternate and shrink.
fn constants() -> &'static Constants {
    static CONSTANTS: OnceLock<Constants> = OnceLock::new();
    CONSTANTS.get_or_init(|| {
        let arctan = |q: u32| {
            let mut power = Fixed::<WORDS>::from_f64(1.0).over(q);
            let mut sum = power;
            for k in 1.. {
                if power.vanishes() {
                    break;
                }
                power = power.over(q * q);
                if k % 2 == 1 {
                    sum -= power.over(2 * k + 1);
                } else {
                    sum += power.over(2 * k + 1);
                }
            }
            sum.with_rest(power, 1.0)
        };
        let quarter = arctan(5).shift_left(2) - arctan(239);
        Constants {
            half_pi: quarter.shift_left(1),
            two_over_root_pi: Fixed::from_f64(2.0) / quarter.shift_left(2).sqrt(),
        }
    })
}

impl<const L: usize> Smooth for Fixed<L> {
    const ENCLOSES: bool = true;

    /// mid = m 2^k with 1 <= m < 2 and y near log(m): log(mid) = y + log(1 + d) + k ln 2 with d = m e^-y - 1, tiny, and
    /// log(1 + d) = 2 artanh(d / (2 + d)). For x within a radius r of mid, |log(x) - log(mid)| <= r / (mid - r).
    fn log(self) -> Self {
        let (mid, radius) = self.split();
        if mid.negative() || mid.vanishes() {
            return Self::UNKNOWN;
        }
        let top = mid.words.iter().rposition(|&word| word != 0).unwrap_or(0);
        let bit = 64 * top as i64 + 63 - i64::from(mid.words[top].leading_zeros());
        let k = bit - Self::BITS as i64;
        let m = match k {
            0.. => mid.shift_right(k as usize),
            _ => mid.shift_left(k.unsigned_abs() as usize),
        };
        let y = Self::from_f64(libm::log(m.value()));
        let d = m * (-y).exp() - Self::one();
        let correction = Self::twice_artanh(d / (d + Self::from_f64(2.0)));
        let multiple = super::ln2::<L>().by(k.unsigned_abs());
        let log = y + correction + if k < 0 { -multiple } else { multiple };
        if radius == 0.0 {
            return log;
        }
        // m >= 1, so that what rounding took is little.
        let below = scale(m.magnitude_lower(), k) - self.radius_up();
        match below > 0.0 {
            true => log.moved(radius, up(1.0 / below)),
            false => Self::UNKNOWN,
        }
    }

    fn log1p(self) -> Self {
        (Self::one() + self).log()
    }

    fn expm1(self) -> Self {
        self.exp() - Self::one()
    }

    /// (1 - e^(-2|x|)) / (1 + e^(-2|x|)) with the sign of x; |tanh'| <= 1.
    fn tanh(self) -> Self {
        let (a, negative, radius) = self.parts();
        let e = Self::decay(a, true);
        let y = (Self::one() - e) / (Self::one() + e);
        (if negative { -y } else { y }).moved(radius, 1.0)
    }

    /// With e = e^(-|x|): 1 / (1 + e), or e / (1 + e) for x < 0; the slope is at most 1/4.
    fn logistic(self) -> Self {
        let (a, negative, radius) = self.parts();
        let e = Self::decay(a, false);
        let above = if negative { e } else { Self::one() };
        (above / (Self::one() + e)).moved(radius, 0.25)
    }

    /// max(x, 0) + log(1 + e^(-|x|)); the slope is at most 1.
    fn softplus(self) -> Self {
        let (a, negative, radius) = self.parts();
        let more = Self::decay(a, false).log1p();
        (if negative { more } else { a + more }).moved(radius, 1.0)
    }

    /// See `erf_of`; the slope is at most 2 / sqrt(pi).
    fn erf(self) -> Self {
        let (a, negative, radius) = self.parts();
        let y = Self::erf_of(a);
        (if negative { -y } else { y }).moved(radius, 1.13)
    }

    fn erfc(self) -> Self {
        Self::one() - self.erf()
    }

    fn sin(self) -> Self {
        self.sin_cos().0.moved(self.radius, 1.0)
    }

    fn cos(self) -> Self {
        self.sin_cos().1.moved(self.radius, 1.0)
    }

    /// y + atan(d) with y near atan(mid) and d = (mid cos y - sin y) / (cos y + mid sin y), the tangent of the difference, which is
    /// tiny. The slope is at most 1.
    fn atan(self) -> Self {
        let (mid, radius) = self.split();
        let y = Self::from_f64(libm::atan(mid.value()));
        let (sin, cos) = y.sin_cos();
        let d = (mid * cos - sin) / (cos + mid * sin);
        if d.magnitude() > 0.5 {
            return Self::UNKNOWN;
        }
        (y + Self::odd_series(d, true)).moved(radius, 1.0)
    }

    fn two_over_root_pi() -> Self {
        Self::shortened(&constants().two_over_root_pi)
    }

    /// |mid| in units of v from below against the radius: [`integer_up`] is off by a factor of 1 + 4 L 2^-52 at most.
    fn sign(self) -> Sign {
        let (a, negative, radius) = self.parts();
        let below = integer_up(&a.words).min(f64::MAX) * (1.0 - (8 * L) as f64 * f64::EPSILON);
        match (below > radius, negative) {
            (true, false) => Sign::Positive,
            (true, true) => Sign::Negative,
            _ => Sign::Unknown,
        }
    }
}
