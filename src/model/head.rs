//! One head on one sample: queries, keys, values, attention weights and their derivatives.

use super::Kernel;
use crate::problem::{Instance, Weights};
use gdcert_numbers::Scalar;
use nalgebra::DMatrix;

/// Head h on sample i, evaluated.
///
/// With x_k the rows of X_i: q_k = W^Q' x_k and kappa_j = W^K' x_j (rows of `q`, `kappa`, n x d),
/// u_j = W^O' W^V' x_j (rows of `u`, n x p), S (n x n). The head adds S u to the output.
#[derive(Clone, Debug)]
pub struct Head<T: Scalar> {
    kernel: Kernel,
    /// Queries, n x d.
    pub q: DMatrix<T>,
    /// Keys kappa, n x d.
    pub kappa: DMatrix<T>,
    /// Values after the output weights, n x p.
    pub u: DMatrix<T>,
    /// Attention weights, n x n: row k is the query token.
    pub S: DMatrix<T>,
    /// S u, the head's part of the output, n x p.
    pub output: DMatrix<T>,
}

impl<T: Scalar> Head<T> {
    /// Evaluates head `h` on sample `i` of the instance's data, at the weights `W`.
    pub fn new(instance: &Instance, W: &Weights<T>, i: usize, h: usize) -> Self {
        let X = instance.X()[i].map(T::from_f64);
        let q = product(&X, &W.Q[h]);
        let kappa = product(&X, &W.K[h]);
        let u = product(&X, &product(&W.V[h], &W.O[h]));
        let S = attention(instance.kernel(), &q, &kappa);
        let output = product(&S, &u);
        Head {
            kernel: instance.kernel(),
            q,
            kappa,
            u,
            S,
            output,
        }
    }

    /// d(output_kc) / d(C_kj) / sqrt(d): the weight of key j in the derivative of output (k, c).
    ///
    /// Softmax: S_kj (u_jc - output_kc) / sqrt(d); Gaussian: S_kj u_jc / sqrt(d).
    pub fn weight(&self, k: usize, c: usize, j: usize) -> T {
        let centre = match self.kernel {
            Kernel::Softmax => self.output[(k, c)],
            Kernel::Gaussian => T::from_f64(0.0),
        };
        self.S[(k, j)] * (self.u[(j, c)] - centre) / self.root_d()
    }

    /// d(output_kc) / d(q_k), a vector of length d. Row (i, k, c) of J_Q is x_k (x) this.
    pub(crate) fn query_gradient(&self, k: usize, c: usize) -> Vec<T> {
        let mut g = vec![T::from_f64(0.0); self.q.ncols()];
        for j in 0..self.kappa.nrows() {
            let w = self.weight(k, c, j);
            for (a, g) in g.iter_mut().enumerate() {
                *g += w * match self.kernel {
                    Kernel::Softmax => self.kappa[(j, a)],
                    Kernel::Gaussian => self.kappa[(j, a)] - self.q[(k, a)],
                };
            }
        }
        g
    }

    /// Component a of d(C_kj) / d(kappa_j) times sqrt(d): q_k, or q_k - kappa_j for the Gaussian.
    pub(crate) fn key_direction(&self, k: usize, j: usize, a: usize) -> T {
        match self.kernel {
            Kernel::Softmax => self.q[(k, a)],
            Kernel::Gaussian => self.q[(k, a)] - self.kappa[(j, a)],
        }
    }

    fn root_d(&self) -> T {
        T::from_f64(self.q.ncols() as f64).sqrt()
    }
}

/// S from queries and keys.
///
/// Overflow-safe: softmax subtracts the largest score of the row; the Gaussian's exponent is
/// formed from differences q - kappa, never from |q|^2 + |kappa|^2 - 2 q . kappa, which cancels.
pub(crate) fn attention<T: Scalar>(
    kernel: Kernel,
    q: &DMatrix<T>,
    kappa: &DMatrix<T>,
) -> DMatrix<T> {
    let (n, d) = q.shape();
    let root_d = T::from_f64(d as f64).sqrt();
    let zero = T::from_f64(0.0);
    match kernel {
        Kernel::Gaussian => DMatrix::from_fn(n, kappa.nrows(), |k, j| {
            let mut square = zero;
            for a in 0..d {
                let w = q[(k, a)] - kappa[(j, a)];
                square += w * w;
            }
            (-square / (root_d + root_d)).exp()
        }),
        Kernel::Softmax => {
            let mut S = product(q, &kappa.transpose());
            for mut row in S.row_iter_mut() {
                let top = row
                    .iter()
                    .map(|c| c.value())
                    .fold(f64::NEG_INFINITY, f64::max);
                let mut sum = zero;
                for c in row.iter_mut() {
                    *c = ((*c - T::from_f64(top)) / root_d).exp();
                    sum += *c;
                }
                for s in row.iter_mut() {
                    *s = *s / sum;
                }
            }
            S
        }
    }
}

/// The matrix product a b.
pub(crate) fn product<T: Scalar>(a: &DMatrix<T>, b: &DMatrix<T>) -> DMatrix<T> {
    let mut c = DMatrix::from_element(a.nrows(), b.ncols(), T::from_f64(0.0));
    let rows = a.nrows().max(1);
    // Columns as slices, so that f64 vectorises.
    for (j, column) in c.as_mut_slice().chunks_exact_mut(rows).enumerate() {
        for (l, a) in a.as_slice().chunks_exact(rows).enumerate() {
            let factor = b[(l, j)];
            for (c, &a) in column.iter_mut().zip(a) {
                *c += a * factor;
            }
        }
    }
    c
}
