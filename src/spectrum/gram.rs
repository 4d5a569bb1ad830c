//! J J' from structure, for instances too large to form J.
//!
//! With rows a = (i, k, c), x_a the query token of row a, and everything per head:
//!
//! - Query block: row a is x_a (x) g_a, so J_Q J_Q' = (x_a . x_b) * (g_a . g_b), entry by entry.
//! - Key block, softmax: row a is z_a (x) q_a with z_a = sum_j w_aj x_j, likewise.
//! - Key block, Gaussian: row a is z_a (x) q_a - sum_j w_aj x_j (x) kappa_j. With the block-diagonal
//!   weights w, (x_j . x_l) * (kappa_j . kappa_l) is again an entrywise product of Gram matrices over tokens.
//! - Value block: B_h B_h' (x) W^O_h' W^O_h.
//!
//! m^2 numbers per head instead of m H D d.

use crate::model::{Head, Kernel, Trained};
use crate::problem::{Dims, Instance};
use faer::Mat;
use gdcert_numbers::linalg::{times, view};
use nalgebra::DMatrix;

/// J J' over the trained blocks, m x m, both triangles.
pub(super) fn gram(instance: &Instance, trained: Trained) -> Mat<f64> {
    let m = instance.dims().m();
    let rows = query_tokens(instance);
    let tokens = stack(instance.X());
    let same_x = times(view(&rows), view(&rows).transpose());
    let mut sum = Mat::zeros(m, m);
    for h in 0..instance.dims().H {
        let head = HeadRows::new(instance, h);
        // Without values the scores change nothing: these rows of J are 0.
        let scores = instance.W().V[h].amax() > 0.0;
        if trained.q() && scores {
            let g = times(view(&head.g), view(&head.g).transpose());
            add_entrywise(&mut sum, &same_x, &g);
        }
        if trained.k() && scores {
            head.add_key_block(&mut sum, instance.kernel(), &tokens);
        }
        if trained.v() {
            head.add_value_block(&mut sum, instance, h);
        }
    }
    sum
}

/// One head over all samples: what the rows of J are made of.
struct HeadRows {
    dims: Dims,
    /// g_a, m x d.
    g: DMatrix<f64>,
    /// z_a, m x D.
    z: DMatrix<f64>,
    /// q_a, m x d, measured from the mean key (Gaussian): only q - kappa matters, and a common
    /// offset would cancel digits.
    q: DMatrix<f64>,
    /// kappa, Nn x d, from the same origin.
    kappa: DMatrix<f64>,
    /// w_aj, m x n: the weight of token j of row a's sample.
    w: DMatrix<f64>,
    /// S X, Nn x D.
    SX: DMatrix<f64>,
}

impl HeadRows {
    fn new(instance: &Instance, h: usize) -> Self {
        let dims = instance.dims();
        let Dims { N, n, D, d, p, .. } = dims;
        let m = dims.m();
        let mut rows = HeadRows {
            dims,
            g: DMatrix::zeros(m, d),
            z: DMatrix::zeros(m, D),
            q: DMatrix::zeros(m, d),
            kappa: DMatrix::zeros(N * n, d),
            w: DMatrix::zeros(m, n),
            SX: DMatrix::zeros(N * n, D),
        };
        for i in 0..N {
            let head = Head::new(instance, instance.W(), i, h);
            let X = &instance.X()[i];
            rows.SX.rows_mut(i * n, n).copy_from(&(&head.S * X));
            rows.kappa.rows_mut(i * n, n).copy_from(&head.kappa);
            for k in 0..n {
                for c in 0..p {
                    let a = (i * n + k) * p + c;
                    for (l, g) in head.query_gradient(k, c).into_iter().enumerate() {
                        rows.g[(a, l)] = g;
                    }
                    rows.q.row_mut(a).copy_from(&head.q.row(k));
                    for j in 0..n {
                        rows.w[(a, j)] = head.weight(k, c, j);
                    }
                }
            }
            let w = rows.w.rows(i * n * p, n * p);
            rows.z.rows_mut(i * n * p, n * p).copy_from(&(w * X));
        }
        if instance.kernel() == Kernel::Gaussian {
            let origin = rows.kappa.row_mean();
            for mut row in rows.q.row_iter_mut() {
                row -= &origin;
            }
            for mut row in rows.kappa.row_iter_mut() {
                row -= &origin;
            }
        }
        rows
    }

    fn add_key_block(&self, sum: &mut Mat<f64>, kernel: Kernel, tokens: &DMatrix<f64>) {
        let [z, q, x, kappa] = [&self.z, &self.q, tokens, &self.kappa].map(view);
        add_entrywise(sum, &times(z, z.transpose()), &times(q, q.transpose()));
        if kernel == Kernel::Softmax {
            return;
        }
        // <z_a (x) q_a, sum_l w_bl x_l (x) kappa_l>, then the same with a and b exchanged.
        let cross = self.weigh_columns(&entrywise(
            times(z, x.transpose()),
            &times(q, kappa.transpose()),
        ));
        let tokens = entrywise(times(x, x.transpose()), &times(kappa, kappa.transpose()));
        let half = self.weigh_columns(&tokens);
        let square = self.weigh_columns(&half.transpose().to_owned());
        for b in 0..sum.ncols() {
            for a in 0..sum.nrows() {
                sum[(a, b)] += square[(a, b)] - cross[(a, b)] - cross[(b, a)];
            }
        }
    }

    /// F w', where w is block-diagonal over samples: column b of the result is
    /// sum_j w_bj F[:, (i(b), j)].
    fn weigh_columns(&self, F: &Mat<f64>) -> Mat<f64> {
        let Dims { n, p, .. } = self.dims;
        let mut out = Mat::zeros(F.nrows(), self.w.nrows());
        for b in 0..self.w.nrows() {
            let sample = b / (n * p);
            let column = out.col_as_slice_mut(b);
            for j in 0..n {
                let w = self.w[(b, j)];
                for (o, f) in column.iter_mut().zip(F.col_as_slice(sample * n + j)) {
                    *o += w * f;
                }
            }
        }
        out
    }

    fn add_value_block(&self, sum: &mut Mat<f64>, instance: &Instance, h: usize) {
        let p = self.dims.p;
        let BB = times(view(&self.SX), view(&self.SX).transpose());
        let W = &instance.W().O[h];
        let WW = W.transpose() * W;
        for b in 0..sum.ncols() {
            for a in 0..sum.nrows() {
                sum[(a, b)] += BB[(a / p, b / p)] * WW[(a % p, b % p)];
            }
        }
    }
}

/// x_a for every residual a = (i, k, c), m x D.
fn query_tokens(instance: &Instance) -> DMatrix<f64> {
    let Dims { n, D, p, .. } = instance.dims();
    DMatrix::from_fn(instance.dims().m(), D, |a, e| {
        instance.X()[a / (n * p)][(a / p % n, e)]
    })
}

/// All tokens of all samples, Nn x D.
pub(super) fn stack(X: &[DMatrix<f64>]) -> DMatrix<f64> {
    let (n, D) = X[0].shape();
    DMatrix::from_fn(X.len() * n, D, |k, e| X[k / n][(k % n, e)])
}

fn entrywise(mut a: Mat<f64>, b: &Mat<f64>) -> Mat<f64> {
    for j in 0..a.ncols() {
        for (x, y) in a.col_as_slice_mut(j).iter_mut().zip(b.col_as_slice(j)) {
            *x *= y;
        }
    }
    a
}

fn add_entrywise(sum: &mut Mat<f64>, a: &Mat<f64>, b: &Mat<f64>) {
    for j in 0..sum.ncols() {
        let terms = a.col_as_slice(j).iter().zip(b.col_as_slice(j));
        for (s, (x, y)) in sum.col_as_slice_mut(j).iter_mut().zip(terms) {
            *s += x * y;
        }
    }
}
