//! A number with about 106 bits: the reference that f64 evaluations are held against.
//!
//! hi + lo with |lo| <= ulp(hi) / 2. Sums and products from the error-free transformations TwoSum (Knuth)
//! and TwoProd (by fused multiply-add); each operation is good to a few units of 2^-104.

use gdcert::model::Scalar;
use nalgebra::DMatrix;
use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub, SubAssign};

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DoubleDouble {
    hi: f64,
    lo: f64,
}

/// a + b = s + e exactly.
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let s = a + b;
    let b_part = s - a;
    (s, (a - (s - b_part)) + (b - b_part))
}

/// The same for |a| >= |b|.
fn renormalized(a: f64, b: f64) -> DoubleDouble {
    let hi = a + b;
    DoubleDouble {
        hi,
        lo: b - (hi - a),
    }
}

fn sum(a: DoubleDouble, b: DoubleDouble) -> DoubleDouble {
    let (s, e) = two_sum(a.hi, b.hi);
    let (t, f) = two_sum(a.lo, b.lo);
    let first = renormalized(s, e + t);
    renormalized(first.hi, first.lo + f)
}

fn product(a: DoubleDouble, b: DoubleDouble) -> DoubleDouble {
    let p = a.hi * b.hi;
    let e = a.hi.mul_add(b.hi, -p);
    renormalized(p, e + (a.hi * b.lo + a.lo * b.hi))
}

/// Long division, three digits of base 2^53.
fn quotient(a: DoubleDouble, b: DoubleDouble) -> DoubleDouble {
    let digit = |r: DoubleDouble| r.hi / b.hi;
    let q1 = digit(a);
    let r = a - b * DoubleDouble::from_f64(q1);
    let q2 = digit(r);
    let r = r - b * DoubleDouble::from_f64(q2);
    renormalized(q1, q2) + DoubleDouble::from_f64(digit(r))
}

impl Add for DoubleDouble {
    type Output = Self;
    fn add(self, b: Self) -> Self {
        sum(self, b)
    }
}

impl Sub for DoubleDouble {
    type Output = Self;
    fn sub(self, b: Self) -> Self {
        sum(self, -b)
    }
}

impl Mul for DoubleDouble {
    type Output = Self;
    fn mul(self, b: Self) -> Self {
        product(self, b)
    }
}

impl Div for DoubleDouble {
    type Output = Self;
    fn div(self, b: Self) -> Self {
        quotient(self, b)
    }
}

impl Neg for DoubleDouble {
    type Output = Self;
    fn neg(self) -> Self {
        DoubleDouble {
            hi: -self.hi,
            lo: -self.lo,
        }
    }
}

impl AddAssign for DoubleDouble {
    fn add_assign(&mut self, b: Self) {
        *self = *self + b;
    }
}

impl SubAssign for DoubleDouble {
    fn sub_assign(&mut self, b: Self) {
        *self = *self - b;
    }
}

/// ln 2.
const LN_2: DoubleDouble = DoubleDouble {
    hi: std::f64::consts::LN_2,
    lo: 2.319_046_813_846_299_6e-17,
};

impl Scalar for DoubleDouble {
    fn from_f64(x: f64) -> Self {
        DoubleDouble { hi: x, lo: 0.0 }
    }

    /// 2^k (e^r)^512 with |512 r| <= ln(2)/2 and twelve terms of Taylor's series: the remainder is below
    /// 2^-170, the nine squarings amplify rounding to about 2^-93.
    fn exp(self) -> Self {
        let k = (self.hi / std::f64::consts::LN_2).round();
        if k < -1000.0 {
            return Self::from_f64(0.0); // far below what any check resolves
        }
        let one = Self::from_f64(1.0);
        let r = (self - LN_2 * Self::from_f64(k)) * Self::from_f64(1.0 / 512.0);
        let mut e = one;
        for term in (1..=12).rev() {
            e = one + e * r / Self::from_f64(f64::from(term));
        }
        for _ in 0..9 {
            e = e * e;
        }
        let scale = 2f64.powi(k as i32);
        DoubleDouble {
            hi: e.hi * scale,
            lo: e.lo * scale,
        }
    }

    /// One Newton step from the f64 root.
    fn sqrt(self) -> Self {
        if self.hi == 0.0 {
            return self;
        }
        let root = self.hi.sqrt();
        let rest = self - Self::from_f64(root) * Self::from_f64(root);
        renormalized(root, rest.hi / (2.0 * root))
    }

    fn value(self) -> f64 {
        self.hi
    }
}

/// |a - x|, the difference taken before rounding.
pub fn distance(a: DoubleDouble, x: f64) -> f64 {
    (a - DoubleDouble::from_f64(x)).value().abs()
}

/// Singular values of A (rows <= columns) by one-sided Jacobi rotations of the rows, smallest first.
pub fn singular_values(mut A: DMatrix<DoubleDouble>) -> Vec<DoubleDouble> {
    assert!(A.nrows() <= A.ncols());
    let one = DoubleDouble::from_f64(1.0);
    let dot = |A: &DMatrix<DoubleDouble>, i, j| {
        let mut s = DoubleDouble::from_f64(0.0);
        for l in 0..A.ncols() {
            s += A[(i, l)] * A[(j, l)];
        }
        s
    };
    for sweep in 0.. {
        assert!(sweep < 60, "no convergence: {A:?}");
        let mut rotated = false;
        for j in 1..A.nrows() {
            for i in 0..j {
                let (aa, bb, ab) = (dot(&A, i, i), dot(&A, j, j), dot(&A, i, j));
                // What is left of the smaller row along the larger is below 1e-28 of the larger, and
                // so is the effect on every singular value. (A bound on the cosine would never be met
                // by rows that are zero but for rounding.)
                // 1e-280: products that lose their low half to underflow, of rows below 1e-140.
                if ab.value().abs() <= (1e-28 * (aa.value() + bb.value())).max(1e-280) {
                    continue;
                }
                rotated = true;
                let zeta = (bb - aa) / (ab + ab);
                let root = (one + zeta * zeta).sqrt();
                let t = if zeta.value() >= 0.0 {
                    one / (zeta + root)
                } else {
                    one / (zeta - root)
                };
                let c = one / (one + t * t).sqrt();
                let s = c * t;
                for l in 0..A.ncols() {
                    let (x, y) = (A[(i, l)], A[(j, l)]);
                    A[(i, l)] = c * x - s * y;
                    A[(j, l)] = s * x + c * y;
                }
            }
        }
        if !rotated {
            break;
        }
    }
    let mut sigma: Vec<_> = (0..A.nrows()).map(|i| dot(&A, i, i).sqrt()).collect();
    sigma.sort_by(|a, b| a.value().total_cmp(&b.value()));
    sigma
}
