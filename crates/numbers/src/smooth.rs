//! Elementary functions beyond exp and sqrt: what models other than attention are made of.

mod rigorous;

use crate::{Dual, Scalar};

/// On which side of 0 a number is known to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// Above 0.
    Positive,
    /// Below 0.
    Negative,
    /// 0, or it is not known.
    Unknown,
}

/// A [`Scalar`] with the elementary functions. A number that encloses ([`Interval`](super::Interval), [`Fixed`](super::Fixed)) holds
/// every exact result; outside a function's domain it knows nothing.
pub trait Smooth: Scalar {
    /// Whether a number stands for a set, so that a [`Sign`] that is not known matters.
    const ENCLOSES: bool;

    /// The natural logarithm of self > 0.
    fn log(self) -> Self;
    /// log(1 + self), self > -1.
    fn log1p(self) -> Self;
    /// e^self - 1.
    fn expm1(self) -> Self;
    /// The hyperbolic tangent.
    fn tanh(self) -> Self;
    /// 1 / (1 + e^-self).
    fn logistic(self) -> Self;
    /// log(1 + e^self).
    fn softplus(self) -> Self;
    /// The error function, 2 / sqrt(pi) times the integral of e^(-t^2) from 0 to self.
    fn erf(self) -> Self;
    /// 1 - erf(self).
    fn erfc(self) -> Self;
    /// The sine.
    fn sin(self) -> Self;
    /// The cosine.
    fn cos(self) -> Self;
    /// The inverse tangent, between -pi/2 and pi/2.
    fn atan(self) -> Self;
    /// 2 / sqrt(pi), the slope of erf at 0.
    fn two_over_root_pi() -> Self;
    /// The side of 0.
    fn sign(self) -> Sign;

    /// self^n by squarings.
    fn powi(self, n: u32) -> Self {
        let mut power = Self::from_f64(1.0);
        for bit in (0..u32::BITS - n.leading_zeros()).rev() {
            power = power * power;
            if n >> bit & 1 == 1 {
                power = power * self;
            }
        }
        power
    }
}

/// Of the `libm` crate, the same on every machine; each is within a few units in the last place.
impl Smooth for f64 {
    const ENCLOSES: bool = false;

    fn log(self) -> Self {
        libm::log(self)
    }
    fn log1p(self) -> Self {
        libm::log1p(self)
    }
    fn expm1(self) -> Self {
        libm::expm1(self)
    }
    fn tanh(self) -> Self {
        libm::tanh(self)
    }
    fn logistic(self) -> Self {
        1.0 / (1.0 + libm::exp(-self))
    }
    fn softplus(self) -> Self {
        self.max(0.0) + libm::log1p(libm::exp(-self.abs()))
    }
    fn erf(self) -> Self {
        libm::erf(self)
    }
    fn erfc(self) -> Self {
        libm::erfc(self)
    }
    fn sin(self) -> Self {
        libm::sin(self)
    }
    fn cos(self) -> Self {
        libm::cos(self)
    }
    fn atan(self) -> Self {
        libm::atan(self)
    }
    fn two_over_root_pi() -> Self {
        std::f64::consts::FRAC_2_SQRT_PI
    }
    fn sign(self) -> Sign {
        match self {
            x if x > 0.0 => Sign::Positive,
            x if x < 0.0 => Sign::Negative,
            _ => Sign::Unknown,
        }
    }
}

/// phi(re) and phi'(re) eps.
impl<T: Smooth> Smooth for Dual<T> {
    const ENCLOSES: bool = T::ENCLOSES;

    fn log(self) -> Self {
        Dual {
            re: self.re.log(),
            eps: self.eps / self.re,
        }
    }
    fn log1p(self) -> Self {
        Dual {
            re: self.re.log1p(),
            eps: self.eps / (T::from_f64(1.0) + self.re),
        }
    }
    fn expm1(self) -> Self {
        Dual {
            re: self.re.expm1(),
            eps: self.eps * self.re.exp(),
        }
    }
    fn tanh(self) -> Self {
        let (y, one) = (self.re.tanh(), T::from_f64(1.0));
        Dual {
            re: y,
            eps: self.eps * ((one - y) * (one + y)),
        }
    }
    fn logistic(self) -> Self {
        let y = self.re.logistic();
        Dual {
            re: y,
            eps: self.eps * (y * (T::from_f64(1.0) - y)),
        }
    }
    fn softplus(self) -> Self {
        Dual {
            re: self.re.softplus(),
            eps: self.eps * self.re.logistic(),
        }
    }
    fn erf(self) -> Self {
        let slope = T::two_over_root_pi() * (-(self.re * self.re)).exp();
        Dual {
            re: self.re.erf(),
            eps: self.eps * slope,
        }
    }
    fn erfc(self) -> Self {
        let slope = T::two_over_root_pi() * (-(self.re * self.re)).exp();
        Dual {
            re: self.re.erfc(),
            eps: -(self.eps * slope),
        }
    }
    fn sin(self) -> Self {
        Dual {
            re: self.re.sin(),
            eps: self.eps * self.re.cos(),
        }
    }
    fn cos(self) -> Self {
        Dual {
            re: self.re.cos(),
            eps: -(self.eps * self.re.sin()),
        }
    }
    fn atan(self) -> Self {
        Dual {
            re: self.re.atan(),
            eps: self.eps / (T::from_f64(1.0) + self.re * self.re),
        }
    }
    fn two_over_root_pi() -> Self {
        Dual {
            re: T::two_over_root_pi(),
            eps: T::from_f64(0.0),
        }
    }
    fn sign(self) -> Sign {
        self.re.sign()
    }
}
