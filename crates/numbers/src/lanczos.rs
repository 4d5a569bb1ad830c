//! The largest eigenvalue of a symmetric operator by Lanczos' method.

// !(a > b) is not a <= b: a NaN must end the iteration.
#![allow(clippy::neg_cmp_op_on_partial_ord)]

use crate::linalg::eigen;
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};
use nalgebra::DMatrix;

/// An approximate eigenpair (theta, v), |v| = 1.
pub struct Ritz {
    /// theta.
    pub value: f64,
    /// |A v - theta v|: some eigenvalue is this close to theta, up to rounding.
    pub residual: f64,
    /// v.
    pub vector: Vec<f64>,
}

pub fn column(v: &[f64]) -> MatRef<'_, f64> {
    MatRef::from_column_major_slice(v, v.len(), 1)
}

/// G v. One column is too little work to share among threads.
pub fn multiply(G: &Mat<f64>, v: &[f64]) -> Vec<f64> {
    let mut w = Mat::zeros(G.nrows(), 1);
    matmul(
        w.as_mut(),
        Accum::Replace,
        G.as_ref(),
        column(v),
        1.0,
        Par::Seq,
    );
    w.col_as_slice(0).to_vec()
}

/// A vector without symmetry: fractional parts of multiples of the golden ratio.
pub(crate) fn start_vector(n: usize) -> Vec<f64> {
    (0..n)
        .map(|i| ((i + 1) as f64 * 0.618_033_988_749_894_9).fract() - 0.4)
        .collect()
}

pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The largest eigenvalue of a symmetric n x n operator and its vector: Lanczos with full reorthogonalisation, until the
/// residual is below `tolerance` theta, at most 100 steps. NaN if the operator overflows.
pub fn lanczos(n: usize, tolerance: f64, apply: impl Fn(&[f64]) -> Vec<f64>) -> Ritz {
    let mut basis = vec![unit(start_vector(n))];
    let (mut alpha, mut beta) = (Vec::new(), Vec::new());
    let longest = n.min(100);
    loop {
        let k = basis.len();
        let mut w = apply(&basis[k - 1]);
        alpha.push(dot(&w, &basis[k - 1]));
        for _ in 0..2 {
            for v in &basis {
                let c = dot(&w, v);
                w.iter_mut().zip(v).for_each(|(w, v)| *w -= c * v);
            }
        }
        let b = dot(&w, &w).sqrt();
        if k == longest || k % 10 == 0 || !(b > 0.0) {
            let T = DMatrix::from_fn(k, k, |i, j| match i.abs_diff(j) {
                0 => alpha[i],
                1 => beta[i.min(j)],
                _ => 0.0,
            });
            let finite = T.iter().all(|x: &f64| x.is_finite());
            let Some((values, vectors)) = finite.then(|| eigen(&T).ok()).flatten() else {
                return Ritz {
                    value: f64::NAN,
                    residual: f64::NAN,
                    vector: start_vector(n),
                };
            };
            let (theta, s) = (values[k - 1], vectors.column(k - 1));
            let residual = b * s[k - 1].abs();
            if k == longest || !(residual > tolerance * theta) {
                let mut v = vec![0.0; n];
                for (q, s) in basis.iter().zip(s.iter()) {
                    v.iter_mut().zip(q).for_each(|(v, q)| *v += s * q);
                }
                return Ritz {
                    value: theta,
                    residual,
                    vector: v,
                };
            }
        }
        beta.push(b);
        basis.push(w.iter().map(|w| w / b).collect());
    }
}

fn unit(v: Vec<f64>) -> Vec<f64> {
    let norm = dot(&v, &v).sqrt();
    v.iter().map(|v| v / norm).collect()
}
