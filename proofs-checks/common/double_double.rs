//! Evaluations with about 106 bits: the reference that f64 evaluations are held against.

use gdcert::numbers::{DoubleDouble, Scalar};
use nalgebra::DMatrix;

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
