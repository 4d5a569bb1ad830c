//! 400-bit numbers (`dashu-float`): what the tests hold evaluations against.

use crate::Bound;
use crate::Scalar;
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
