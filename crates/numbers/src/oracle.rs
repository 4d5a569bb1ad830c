//! 400-bit numbers (`dashu-float`): what the tests hold evaluations against.

use crate::Bound;
use crate::{Scalar, Sign, Smooth};
use dashu_float::{FBig, round::mode::HalfEven};
use std::cell::RefCell;
use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub, SubAssign};

pub type Big = FBig<HalfEven, 2>;
const BITS: usize = 400;

pub fn big(x: f64) -> Big {
    Big::try_from(x).unwrap().with_precision(BITS).value()
}

/// A 400-bit number as a `Copy` handle into a thread's store, so that it can be a [`Scalar`].
#[derive(Clone, Copy, Debug)]
pub struct Oracle(usize);

thread_local!(static STORE: RefCell<Vec<Big>> = const { RefCell::new(Vec::new()) });

impl Oracle {
    pub fn new(x: Big) -> Self {
        // dashu gives exp(0) = 1 and 0 an unlimited precision, at which exp and ln then panic.
        let x = match x.precision() {
            0 => x.with_precision(BITS).value(),
            _ => x,
        };
        STORE.with_borrow_mut(|store| {
            store.push(x);
            Oracle(store.len() - 1)
        })
    }
    pub fn get(self) -> Big {
        STORE.with_borrow(|store| store[self.0].clone())
    }
    pub fn clear() {
        STORE.with_borrow_mut(Vec::clear);
    }
}

macro_rules! operator {
    ($trait:ident, $method:ident) => {
        impl $trait for Oracle {
            type Output = Self;
            fn $method(self, b: Self) -> Self {
                Oracle::new($trait::$method(self.get(), b.get()))
            }
        }
    };
}
operator!(Add, add);
operator!(Sub, sub);
operator!(Mul, mul);
operator!(Div, div);
impl PartialEq for Oracle {
    fn eq(&self, b: &Self) -> bool {
        self.get() == b.get()
    }
}
impl Neg for Oracle {
    type Output = Self;
    fn neg(self) -> Self {
        Oracle::new(-self.get())
    }
}
impl AddAssign for Oracle {
    fn add_assign(&mut self, b: Self) {
        *self = *self + b;
    }
}
impl SubAssign for Oracle {
    fn sub_assign(&mut self, b: Self) {
        *self = *self - b;
    }
}
impl Scalar for Oracle {
    fn from_f64(x: f64) -> Self {
        Oracle::new(big(x))
    }
    fn exp(self) -> Self {
        Oracle::new(self.get().exp())
    }
    fn sqrt(self) -> Self {
        Oracle::new(self.get().sqrt())
    }
    fn value(self) -> f64 {
        self.get().to_f64().value()
    }
}
/// Closed-form bounds evaluated to 400 bits: what their interval versions must hold.
impl Bound for Oracle {
    fn max(self, b: Self) -> Self {
        if self.get() >= b.get() { self } else { b }
    }
    fn min(self, b: Self) -> Self {
        if self.get() <= b.get() { self } else { b }
    }
    fn lower(self) -> f64 {
        self.value()
    }
    fn upper(self) -> f64 {
        self.value()
    }
}

impl Oracle {
    /// The sum of a series whose terms come to shrink.
    fn series(mut term: Big, mut next: impl FnMut(u32, Big) -> Big) -> Big {
        let mut sum = term.clone();
        let small = big(2f64.powi(-500));
        for k in 1.. {
            term = next(k, term);
            sum += term.clone();
            if k > 400 && term.clone() < small && -term.clone() < small {
                break;
            }
        }
        sum
    }

    /// Taylor's series of sin (odd = 1) or cos (odd = 0): for arguments up to 20 or so.
    fn wave(self, odd: u32) -> Self {
        let x = self.get();
        let square = x.clone() * x.clone();
        let first = if odd == 1 { x } else { big(1.0) };
        Oracle::new(Oracle::series(first, |k, term| {
            -term * square.clone() / big(f64::from((2 * k - 1 + odd) * (2 * k + odd)))
        }))
    }
}

/// By the functions' definitions, for arguments of moderate size.
impl Smooth for Oracle {
    const ENCLOSES: bool = false;

    fn log(self) -> Self {
        Oracle::new(self.get().ln())
    }
    fn log1p(self) -> Self {
        Oracle::new((self.get() + big(1.0)).ln())
    }
    fn expm1(self) -> Self {
        Oracle::new(self.get().exp() - big(1.0))
    }
    fn tanh(self) -> Self {
        let one = Oracle::from_f64(1.0);
        let e = (self + self).exp();
        (e - one) / (e + one)
    }
    fn logistic(self) -> Self {
        let one = Oracle::from_f64(1.0);
        one / (one + (-self).exp())
    }
    fn softplus(self) -> Self {
        (Oracle::from_f64(1.0) + self.exp()).log()
    }
    /// 2 / sqrt(pi) e^(-x^2) sum_k x (2 x^2)^k / (1 3 5 ... (2k + 1)).
    fn erf(self) -> Self {
        let x = self.get();
        let twice = big(2.0) * x.clone() * x.clone();
        let sum = Oracle::series(x, |k, term| {
            term * twice.clone() / big(f64::from(2 * k + 1))
        });
        Self::two_over_root_pi() * (-(self * self)).exp() * Oracle::new(sum)
    }
    fn erfc(self) -> Self {
        Oracle::from_f64(1.0) - self.erf()
    }
    fn sin(self) -> Self {
        self.wave(1)
    }
    fn cos(self) -> Self {
        self.wave(0)
    }
    /// atan x = 2 atan(x / (1 + sqrt(1 + x^2))), four times; then Taylor's series.
    fn atan(self) -> Self {
        let one = Oracle::from_f64(1.0);
        let half = |x: Oracle, _| x / (one + (one + x * x).sqrt());
        let mut power = (0..4).fold(self, half).get();
        let square = power.clone() * power.clone();
        let sum = Oracle::series(power.clone(), |k, _| {
            power = -power.clone() * square.clone();
            power.clone() / big(f64::from(2 * k + 1))
        });
        Oracle::new(big(16.0) * sum)
    }
    /// pi / 6 = arcsin(1/2) = sum_k (2k choose k) / ((2k + 1) 2^(4k + 1)).
    fn two_over_root_pi() -> Self {
        let mut term = big(0.5);
        let mut sum = term.clone();
        for k in 1..400u32 {
            term = term * big(f64::from(2 * k - 1)) / big(f64::from(8 * k));
            sum += term.clone() / big(f64::from(2 * k + 1));
        }
        let pi = Oracle::new(big(6.0) * sum);
        Oracle::from_f64(2.0) / pi.sqrt()
    }
    fn sign(self) -> Sign {
        self.value().sign()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_go_on_from_zero() {
        let zero = Oracle::from_f64(0.0);
        assert_eq!(zero.tanh().value(), 0.0);
        assert_eq!(
            (zero.exp() - Oracle::from_f64(1.0)).exp().exp().value(),
            1f64.exp()
        );
        assert_eq!((zero + zero.exp().log()).softplus().value(), 2f64.ln());
        assert_eq!(zero.logistic().value(), 0.5);
    }
}
