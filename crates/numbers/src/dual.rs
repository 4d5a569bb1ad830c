//! Forward-mode derivatives.

use crate::Scalar;
use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub, SubAssign};

/// A dual number re + eps * e with e^2 = 0: a value and its derivative along one direction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dual {
    /// The value.
    pub re: f64,
    /// The directional derivative.
    pub eps: f64,
}

impl Dual {
    fn new(re: f64, eps: f64) -> Self {
        Dual { re, eps }
    }
}

impl Add for Dual {
    type Output = Self;
    fn add(self, b: Self) -> Self {
        Dual::new(self.re + b.re, self.eps + b.eps)
    }
}

impl Sub for Dual {
    type Output = Self;
    fn sub(self, b: Self) -> Self {
        Dual::new(self.re - b.re, self.eps - b.eps)
    }
}

impl Mul for Dual {
    type Output = Self;
    fn mul(self, b: Self) -> Self {
        Dual::new(self.re * b.re, self.re * b.eps + self.eps * b.re)
    }
}

impl Div for Dual {
    type Output = Self;
    fn div(self, b: Self) -> Self {
        let q = self.re / b.re;
        Dual::new(q, (self.eps - q * b.eps) / b.re)
    }
}

impl Neg for Dual {
    type Output = Self;
    fn neg(self) -> Self {
        Dual::new(-self.re, -self.eps)
    }
}

impl AddAssign for Dual {
    fn add_assign(&mut self, b: Self) {
        *self = *self + b;
    }
}

impl SubAssign for Dual {
    fn sub_assign(&mut self, b: Self) {
        *self = *self - b;
    }
}

impl Scalar for Dual {
    fn from_f64(x: f64) -> Self {
        Dual::new(x, 0.0)
    }
    fn exp(self) -> Self {
        let e = self.re.exp();
        Dual::new(e, e * self.eps)
    }
    fn sqrt(self) -> Self {
        let s = self.re.sqrt();
        Dual::new(s, self.eps / (2.0 * s))
    }
    fn value(self) -> f64 {
        self.re
    }
}
