//! Upper bounds on norms, in closed form: no iteration that would have to be trusted.
//!
//! For symmetric A >= 0 with eigenvalues lambda, lambda_max^8 <= sum lambda^8 = tr A^8; at most a factor
//! rank^{1/16} is lost on |M|_2 = lambda_max(M M')^{1/2}, and much less when one eigenvalue leads.

use crate::model::product;
use gdcert_numbers::Bound;
use gdcert_numbers::{exponent, power_of_two};
use nalgebra::DMatrix;

/// |a|_2 of row `a`.
pub(super) fn row<T: Bound>(M: &DMatrix<T>, a: usize) -> T {
    let mut square = T::from_f64(0.0);
    for e in 0..M.ncols() {
        square += M[(a, e)] * M[(a, e)];
    }
    square.sqrt()
}

/// A bound on |M|_2.
pub(super) fn spectral<T: Bound>(M: &DMatrix<T>) -> T {
    let A = if M.nrows() <= M.ncols() {
        product(M, &M.transpose())
    } else {
        product(&M.transpose(), M)
    };
    root_of_largest(&A)
}

/// A bound on |diag(c) M|_2.
pub(super) fn weighted<T: Bound>(M: &DMatrix<T>, c: &[T]) -> T {
    spectral(&DMatrix::from_fn(M.nrows(), M.ncols(), |a, e| {
        c[a] * M[(a, e)]
    }))
}

/// A bound on |sum_j w_j a_j b_j'|_2 from the Gram matrices of a and of b.
///
/// With M that sum, M M' has the nonzero eigenvalues of G_a W G_b W, W = diag(w).
pub(super) fn moment<T: Bound>(Ga: &DMatrix<T>, w: &[T], Gb: &DMatrix<T>) -> T {
    let scale = |G: &DMatrix<T>| DMatrix::from_fn(w.len(), w.len(), |i, j| G[(i, j)] * w[j]);
    root_of_largest(&product(&scale(Ga), &scale(Gb)))
}

/// The Gram matrix of the rows of M.
pub(super) fn gram<T: Bound>(M: &DMatrix<T>) -> DMatrix<T> {
    product(M, &M.transpose())
}

/// tr(A^8)^{1/16} for A similar to a matrix >= 0 (symmetric in [`spectral`]), and not more than tr(A)^{1/2}. A is divided first by
/// its size, so that powers neither overflow nor underflow. Any positive number serves: the largest modulus of an entry, since
/// the trace of an interval matrix may reach below 0 where its entries cancel.
fn root_of_largest<T: Bound>(A: &DMatrix<T>) -> T {
    let zero = T::from_f64(0.0);
    let mut trace = zero;
    for i in 0..A.nrows() {
        trace += A[(i, i)];
    }
    let trace = trace.max(zero);
    let sizes: Vec<f64> = A.iter().flat_map(|a| [a.lower(), a.upper()]).collect();
    if sizes.iter().any(|x| x.is_nan()) {
        return T::from_f64(f64::NAN);
    }
    // Zeros, or an entry that overflowed: the trace says all there is to say.
    let Some(k) = exponent(&sizes) else {
        return trace.sqrt();
    };
    // Two factors within f64's exponents.
    let shrink = [-k / 2, -k - -k / 2].map(|k| T::from_f64(power_of_two(k)));
    let A = A.map(|a| a * shrink[0] * shrink[1]);
    let A2 = product(&A, &A);
    let A4 = product(&A2, &A2);
    let mut t8 = zero;
    for i in 0..A4.nrows() {
        for j in 0..A4.ncols() {
            t8 += A4[(i, j)] * A4[(j, i)];
        }
    }
    let root = |x: T| x.max(zero).sqrt();
    let grow = [k / 2, k - k / 2].map(|k| T::from_f64(power_of_two(k)));
    let powers = root(root(root(t8))) * grow[0] * grow[1];
    powers.min(trace).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_above_and_close() {
        for seed in 0..50u32 {
            let mut state = seed;
            let mut next = move || {
                state = state.wrapping_mul(1664525).wrapping_add(1013904223);
                f64::from(state >> 8) / f64::from(1 << 23) - 1.0
            };
            let a = DMatrix::from_fn(5, 3, |_, _| next());
            let b = DMatrix::from_fn(5, 7, |_, _| next());
            let w: Vec<f64> = (0..5).map(|_| next()).collect();
            let M = a.transpose() * DMatrix::from_diagonal(&w.clone().into()) * &b;
            let exact = M.clone().singular_values().max();
            for bound in [spectral(&M), moment(&gram(&a), &w, &gram(&b))] {
                assert!(
                    exact <= bound * (1.0 + 1e-12) && bound <= exact * 1.08,
                    "{exact} {bound}"
                );
            }
        }
    }
}
