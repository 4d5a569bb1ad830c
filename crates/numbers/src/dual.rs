//! Forward-mode derivatives.

use crate::Scalar;
use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub, SubAssign};

/// A dual number re + eps * e with e^2 = 0: a value and its derivative along one direction. Of intervals it encloses both.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dual<T = f64> {
    /// The value.
    pub re: T,
    /// The directional derivative.
    pub eps: T,
}

impl<T> Dual<T> {
    fn new(re: T, eps: T) -> Self {
        Dual { re, eps }
    }
}

impl<T: Scalar> Add for Dual<T> {
    type Output = Self;
    fn add(self, b: Self) -> Self {
        Dual::new(self.re + b.re, self.eps + b.eps)
    }
}

impl<T: Scalar> Sub for Dual<T> {
    type Output = Self;
    fn sub(self, b: Self) -> Self {
        Dual::new(self.re - b.re, self.eps - b.eps)
    }
}

impl<T: Scalar> Mul for Dual<T> {
    type Output = Self;
    fn mul(self, b: Self) -> Self {
        Dual::new(self.re * b.re, self.re * b.eps + self.eps * b.re)
    }
}

impl<T: Scalar> Div for Dual<T> {
    type Output = Self;
    fn div(self, b: Self) -> Self {
        let q = self.re / b.re;
        Dual::new(q, (self.eps - q * b.eps) / b.re)
    }
}

impl<T: Scalar> Neg for Dual<T> {
    type Output = Self;
    fn neg(self) -> Self {
        Dual::new(-self.re, -self.eps)
    }
}

impl<T: Scalar> AddAssign for Dual<T> {
    fn add_assign(&mut self, b: Self) {
        *self = *self + b;
    }
}

impl<T: Scalar> SubAssign for Dual<T> {
    fn sub_assign(&mut self, b: Self) {
        *self = *self - b;
    }
}

impl<T: Scalar> Scalar for Dual<T> {
    fn from_f64(x: f64) -> Self {
        Dual::new(T::from_f64(x), T::from_f64(0.0))
    }
    fn exp(self) -> Self {
        let e = self.re.exp();
        Dual::new(e, e * self.eps)
    }
    fn sqrt(self) -> Self {
        let s = self.re.sqrt();
        Dual::new(s, self.eps / (s + s))
    }
    fn value(self) -> f64 {
        self.re.value()
    }
}
