//! The model at one point, every number with a bound on its error: the formulas of theory and README, as they stand there.

use super::ball::{Ball, ball, sum, whole};
use super::matrix::{Gram, Real, Rows, Term, norm, square_of_product};
use crate::model::Kernel;
use crate::problem::{Dims, Instance};
use nalgebra::DMatrix;
use rayon::prelude::*;

pub(super) type Matrix = DMatrix<Ball>;

/// A part of the Jacobian, or B itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Part {
    Q,
    K,
    V,
    /// B = (S_i1 X_i, ..., S_iH X_i), Nn rows.
    B,
}

impl Part {
    /// Q, K, V in this order.
    pub(super) const BLOCKS: [Part; 3] = [Part::Q, Part::K, Part::V];
}

/// One head on one sample.
pub(super) struct Head {
    /// q_k = W^Q' x_k, n x d.
    pub(super) q: Matrix,
    /// kappa_j = W^K' x_j, n x d.
    pub(super) kappa: Matrix,
    /// u_j = W^O' W^V' x_j, n x p.
    pub(super) u: Matrix,
    /// The attention weights s_kj, n x n.
    pub(super) s: Matrix,
    /// sum_j s_kj u_j, n x p.
    pub(super) out: Matrix,
}

/// An instance at its weights.
pub(super) struct Point<'a> {
    pub(super) instance: &'a Instance,
    pub(super) dims: Dims,
    pub(super) kernel: Kernel,
    /// sqrt(d).
    pub(super) root_d: Ball,
    /// X_i, n x D.
    pub(super) X: Vec<Matrix>,
    /// heads[h][i].
    pub(super) heads: Vec<Vec<Head>>,
}

/// The matrix with the entries a(i, l) b(l, j) summed over l < k.
pub(super) fn product(a: &Matrix, b: &Matrix) -> Matrix {
    DMatrix::from_fn(a.nrows(), b.ncols(), |i, j| {
        sum(a.ncols(), |l| a[(i, l)] * b[(l, j)])
    })
}

impl<'a> Point<'a> {
    pub(super) fn new(instance: &'a Instance) -> Self {
        let dims = instance.dims();
        let root_d = whole(dims.d).sqrt();
        let X: Vec<Matrix> = instance.X().iter().map(|x| x.map(ball)).collect();
        let heads = (0..dims.H).map(|h| {
            let W = instance.W();
            let [wq, wk, wv, wo] = [&W.Q[h], &W.K[h], &W.V[h], &W.O[h]].map(|w| w.map(ball));
            let wu = product(&wv, &wo);
            X.par_iter()
                .map(|x| Head::new(instance.kernel(), root_d, x, [&wq, &wk, &wu]))
                .collect()
        });
        Point {
            instance,
            dims,
            kernel: instance.kernel(),
            root_d,
            heads: heads.collect(),
            X,
        }
    }

    /// |r|, r_ikc = sum_h out_kc - y_ikc.
    pub(super) fn residual_norm(&self) -> Ball {
        let Dims { N, n, H, p, .. } = self.dims;
        norm((0..N * n * p).map(|a| {
            let (i, k, c) = (a / p / n, a / p % n, a % p);
            sum(H, |h| self.heads[h][i].out[(k, c)]) - ball(self.instance.y()[i][(k, c)])
        }))
    }

    /// d out_kc / d(score of key j), over sqrt(d): s_kj (u_jc - out_kc) / sqrt(d), for the Gaussian kernel s_kj u_jc / sqrt(d).
    fn weight(&self, head: &Head, k: usize, c: usize, j: usize) -> Ball {
        let u = match self.kernel {
            Kernel::Softmax => head.u[(j, c)] - head.out[(k, c)],
            Kernel::Gaussian => head.u[(j, c)],
        };
        head.s[(k, j)] * u / self.root_d
    }

    /// Whether head h's part of J_Q and J_K is 0: where every u_j is 0, exactly.
    fn vanishes(&self, part: Part, h: usize) -> bool {
        matches!(part, Part::Q | Part::K)
            && self.heads[h]
                .iter()
                .all(|head| head.u.iter().all(|u| u.is_zero()))
    }

    /// Head h's columns of a part of the Jacobian: row (i, k, c) is left (x) right, with
    ///
    /// - Q: x_k (x) sum_j w_j kappa_j, for the Gaussian kernel x_k (x) sum_j w_j (kappa_j - q_k);
    /// - K: sum_j w_j x_j (x) q_k, for the Gaussian kernel sum_j w_j x_j (x) (q_k - kappa_j), which is no one product: it
    ///   stands on the left, and 1 on the right;
    /// - V: sum_j s_kj x_j (x) W^O_c;
    /// - B: sum_j s_kj x_j, a row for each (i, k).
    ///
    /// w_j is [`Point::weight`].
    fn term(&self, part: Part, h: usize) -> Term {
        let Dims { N, n, D, d, p, .. } = self.dims;
        let gaussian = self.kernel == Kernel::Gaussian;
        let outputs = if part == Part::B { 1 } else { p };
        let rows =
            |width: usize, row: &(dyn Fn(&Matrix, &Head, usize, usize) -> Vec<Ball> + Sync)| {
                Rows::new(N * n * outputs, width, |a| {
                    let (i, k, c) = (a / outputs / n, a / outputs % n, a % outputs);
                    row(&self.X[i], &self.heads[h][i], k, c)
                })
            };
        let one = || rows(1, &|_, _, _, _| vec![ball(1.0)]);
        let attended = || {
            rows(D, &|x, head, k, _| {
                (0..D)
                    .map(|e| sum(n, |j| head.s[(k, j)] * x[(j, e)]))
                    .collect()
            })
        };
        let weights = |head: &Head, k: usize, c: usize| -> Vec<Ball> {
            (0..n).map(|j| self.weight(head, k, c, j)).collect()
        };
        let (left, right) = match part {
            Part::Q => (
                rows(D, &|x, _, k, _| x.row(k).iter().copied().collect()),
                rows(d, &|_, head, k, c| {
                    let w = weights(head, k, c);
                    let q = |a: usize| if gaussian { head.q[(k, a)] } else { ball(0.0) };
                    (0..d)
                        .map(|a| sum(n, |j| w[j] * (head.kappa[(j, a)] - q(a))))
                        .collect()
                }),
            ),
            Part::K if gaussian => (
                rows(D * d, &|x, head, k, c| {
                    let w = weights(head, k, c);
                    let v = |j: usize, a: usize| w[j] * (head.q[(k, a)] - head.kappa[(j, a)]);
                    let v = DMatrix::from_fn(n, d, v);
                    product(&x.transpose(), &v).iter().copied().collect()
                }),
                one(),
            ),
            Part::K => (
                rows(D, &|x, head, k, c| {
                    let w = weights(head, k, c);
                    (0..D).map(|e| sum(n, |j| w[j] * x[(j, e)])).collect()
                }),
                rows(d, &|_, head, k, _| head.q.row(k).iter().copied().collect()),
            ),
            Part::V => (
                attended(),
                rows(d, &|_, _, _, c| {
                    self.instance.W().O[h]
                        .column(c)
                        .iter()
                        .map(|w| ball(*w))
                        .collect()
                }),
            ),
            Part::B => (attended(), one()),
        };
        Term { left, right }
    }

    /// The Gram matrix of A, the parts side by side.
    pub(super) fn gram<T: Real>(&self, parts: &[Part]) -> Gram<T> {
        let rows = if parts == [Part::B] {
            self.dims.tokens()
        } else {
            self.dims.m()
        };
        let mut gram = Gram::new(rows);
        for &part in parts {
            for h in (0..self.dims.H).filter(|&h| !self.vanishes(part, h)) {
                gram.add(&self.term(part, h));
            }
        }
        gram
    }

    /// |A'v| / |v| for A the parts side by side, known up to `radius` (Frobenius norm); 0/0 if v is 0.
    pub(super) fn quotient(&self, parts: &[Part], radius: Ball, v: &[f64]) -> Ball {
        let mut square = ball(0.0);
        for &part in parts {
            for h in (0..self.dims.H).filter(|&h| !self.vanishes(part, h)) {
                square = square + square_of_product(&self.term(part, h), v);
            }
        }
        square.sqrt() / norm(v.iter().map(|v| ball(*v))) + radius
    }
}

impl Head {
    /// `weights` are W^Q, W^K and W^V W^O of the head.
    fn new(kernel: Kernel, root_d: Ball, x: &Matrix, weights: [&Matrix; 3]) -> Head {
        let [q, kappa, u] = weights.map(|w| product(x, w));
        let (n, d) = q.shape();
        let s = match kernel {
            Kernel::Gaussian => DMatrix::from_fn(n, n, |k, j| {
                let w = |a: usize| q[(k, a)] - kappa[(j, a)];
                (-(sum(d, |a| w(a) * w(a)) / (ball(2.0) * root_d))).exp()
            }),
            Kernel::Softmax => {
                let C = product(&q, &kappa.transpose()).map(|c| c / root_d);
                // Any shift of a row leaves the weights as they are; the largest score avoids overflow.
                let top = |k: usize| {
                    C.row(k)
                        .iter()
                        .fold(f64::MIN, |top, c| top.max(c.split().0))
                };
                let mut e = DMatrix::from_fn(n, n, |k, j| (C[(k, j)] - ball(top(k))).exp());
                for mut row in e.row_iter_mut() {
                    let total: Ball = row.iter().copied().sum();
                    row.iter_mut().for_each(|e| *e = *e / total);
                }
                e
            }
        };
        let out = product(&s, &u);
        Head {
            q,
            kappa,
            u,
            s,
            out,
        }
    }
}
