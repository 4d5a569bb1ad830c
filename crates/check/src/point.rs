//! The model at one point, every number with a bound on its error: the formulas of theory.md, as
//! they stand there.
//!
//! A point is evaluated in one of two precisions by the same formulas: *precise* has every product
//! in balls; *fast* has the products of matrices in f64, with one error bound a row ([`Factor`]),
//! which is enough for most claims and the only way at large sizes.

use super::ball::{Ball, ball, norm, sum, whole};
use super::certificate::Kernel;
use super::gram::{Gram, Term, quotient};
use super::instance::{Dims, Instance};
use super::matrix::{Factor, Matrix, Real, Rows, product};
use super::threads::each;

/// A part of the Jacobian, or B itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Part {
    Q,
    K,
    V,
    /// B = (S_i1 X_i, ..., S_iH X_i), Nn rows.
    B,
}

impl Part {
    /// The blocks for which a flag is set.
    pub(crate) fn of(flags: [bool; 3]) -> Vec<Part> {
        let blocks = [Part::Q, Part::K, Part::V].into_iter().zip(flags);
        blocks.filter(|(_, on)| *on).map(|(part, _)| part).collect()
    }
}

/// One head on one sample.
pub(crate) struct Head {
    /// q_k = W^Q' x_k, n x d.
    pub(crate) q: Matrix,
    /// kappa_j = W^K' x_j, n x d.
    pub(crate) kappa: Matrix,
    /// u_j = W^O' W^V' x_j, n x p.
    pub(crate) u: Matrix,
    /// The attention weights s_kj, n x n.
    pub(crate) s: Matrix,
    /// sum_j s_kj u_j, n x p.
    pub(crate) out: Matrix,
}

/// An instance at its weights.
pub(crate) struct Point<'a> {
    pub(crate) instance: &'a Instance,
    pub(crate) dims: Dims,
    pub(crate) kernel: Kernel,
    fast: bool,
    /// sqrt(d).
    pub(crate) root_d: Ball,
    /// X_i, n x D.
    pub(crate) X: Vec<Matrix>,
    /// The columns of X_i.
    features: Vec<Factor>,
    /// heads[h][i].
    pub(crate) heads: Vec<Vec<Head>>,
}

impl<'a> Point<'a> {
    pub(crate) fn new(instance: &'a Instance, fast: bool) -> Self {
        let Dims { N, n, D, d, H, .. } = instance.dims;
        let root_d = whole(d).sqrt();
        let X: Vec<Matrix> = instance.X.iter().map(|x| x.map(ball)).collect();
        let tokens = each(N, n * D, |i| Factor::new(X[i].clone(), fast));
        let heads = (0..H).map(|h| {
            let [wq, wk, wv, wo] = [&instance.W_Q, &instance.W_K, &instance.W_V, &instance.W_O]
                .map(|w| w[h].map(ball));
            let columns = [wq, wk, product(&wv, &wo)].map(|w| Factor::new(w.transposed(), fast));
            let work = n * d * (D + n) * if fast { 4 } else { 40 } + 100 * n * n;
            each(N, work, |i| Head::new(instance.kernel, root_d, &tokens[i], &columns, fast))
        });
        let heads = heads.collect();
        let features = each(N, n * D, |i| Factor::new(X[i].transposed(), fast));
        let (dims, kernel) = (instance.dims, instance.kernel);
        Point { instance, dims, kernel, fast, root_d, X, features, heads }
    }

    fn factor(&self, M: Matrix) -> Factor {
        Factor::new(M, self.fast)
    }

    /// |r|, r_ikc = sum_h out_kc - y_ikc.
    pub(crate) fn residual_norm(&self) -> Ball {
        let Dims { N, n, H, p, .. } = self.dims;
        norm((0..N * n * p).map(|a| {
            let (i, k, c) = (a / p / n, a / p % n, a % p);
            sum(H, |h| self.heads[h][i].out[(k, c)]) - ball(self.instance.y[i][(k, c)])
        }))
    }

    /// d out_kc / d(score of key j), over sqrt(d), at (k p + c, j): s_kj (u_jc - out_kc) / sqrt(d),
    /// for the Gaussian kernel s_kj u_jc / sqrt(d).
    fn weights(&self, head: &Head) -> Matrix {
        let Dims { n, p, .. } = self.dims;
        Matrix::new(n * p, n, |a, j| {
            let (k, c) = (a / p, a % p);
            let u = match self.kernel {
                Kernel::Softmax => head.u[(j, c)] - head.out[(k, c)],
                Kernel::Gaussian => head.u[(j, c)],
            };
            head.s[(k, j)] * u / self.root_d
        })
    }

    /// Whether head h's part is 0: J_Q and J_K where every u_j is 0, J_V where W^O_h is 0, exactly.
    fn vanishes(&self, part: Part, h: usize) -> bool {
        match part {
            Part::Q | Part::K => self.heads[h].iter().all(|head| head.u.is_zero()),
            Part::V => self.instance.W_O[h].data.iter().all(|w| *w == 0.0),
            Part::B => false,
        }
    }

    /// Head h's columns of a part of the Jacobian: row (i, k, c) is left (x) right, with
    ///
    /// - Q: x_k (x) sum_j w_j kappa_j, for the Gaussian kernel x_k (x) sum_j w_j (kappa_j - q_k);
    /// - K: sum_j w_j x_j (x) q_k, for the Gaussian kernel sum_j w_j x_j (x) (q_k - kappa_j), which
    ///   is no one product: it stands on the left, and 1 on the right;
    /// - V: sum_j s_kj x_j (x) W^O_c;
    /// - B: sum_j s_kj x_j, a row for each (i, k).
    ///
    /// w_j is [`Point::weights`].
    fn term<T: Real>(&self, part: Part, h: usize) -> Term<T> {
        let Dims { N, n, D, d, p, .. } = self.dims;
        let gaussian = self.kernel == Kernel::Gaussian;
        let outputs = if part == Part::B { 1 } else { p };
        let count = N * n * outputs;
        // Rows (k, c) of each sample.
        let by_sample = |work: usize, of: &(dyn Fn(usize, &Head) -> Matrix + Sync)| {
            let samples = each(N, work, |i| of(i, &self.heads[h][i]));
            let width = samples[0].cols;
            // A sample's rows may be one for each token, whatever the outputs.
            let each_row = n * outputs / samples[0].rows;
            Rows::new(count, width, |a| {
                samples[a / (n * outputs)].row(a % (n * outputs) / each_row).to_vec()
            })
        };
        let ones = || Rows::ones(count);
        let attended = || {
            by_sample(4 * n * n * D, &|i, head| {
                self.factor(head.s.clone()).times(&self.features[i])
            })
        };
        let (left, right) = match part {
            Part::Q => {
                let right = by_sample(20 * n * p * n * d, &|_, head| {
                    let w = self.weights(head);
                    let totals: Vec<Ball> =
                        (0..w.rows).map(|a| w.row(a).iter().copied().sum()).collect();
                    let mut right = self.factor(w).times(&self.factor(head.kappa.transposed()));
                    if gaussian {
                        for (a, total) in totals.iter().enumerate() {
                            for e in 0..d {
                                right[(a, e)] = right[(a, e)] - *total * head.q[(a / p, e)];
                            }
                        }
                    }
                    right
                });
                (by_sample(n * D, &|i, _| self.X[i].clone()), right)
            }
            Part::K if gaussian => {
                let left = by_sample(4 * n * p * n * D * d, &|i, head| {
                    let w = self.weights(head);
                    let mut left = Matrix::new(w.rows, D * d, |_, _| Ball::ZERO);
                    for a in 0..w.rows {
                        let v = |e: usize, j: usize| {
                            w[(a, j)] * (head.q[(a / p, e)] - head.kappa[(j, e)])
                        };
                        let of_row = self.features[i].times(&self.factor(Matrix::new(d, n, v)));
                        left.data[a * D * d..(a + 1) * D * d].copy_from_slice(&of_row.data);
                    }
                    left
                });
                (left, ones())
            }
            Part::K => {
                let left = by_sample(4 * n * p * n * D, &|i, head| {
                    self.factor(self.weights(head)).times(&self.features[i])
                });
                (left, by_sample(n * d, &|_, head| head.q.clone()))
            }
            Part::V => {
                let W = self.instance.W_O[h].map(ball);
                let right = Rows::new(count, d, |a| W.column(a % p).collect());
                (attended(), right)
            }
            Part::B => (attended(), ones()),
        };
        Term::new(left, right)
    }

    fn terms<T: Real>(&self, parts: &[Part]) -> impl Iterator<Item = Term<T>> {
        let all = parts.iter().flat_map(|&part| (0..self.dims.H).map(move |h| (part, h)));
        let all = all.filter(|&(part, h)| !self.vanishes(part, h));
        all.map(|(part, h)| self.term(part, h))
    }

    /// The Gram matrix of A, the parts side by side.
    pub(crate) fn gram<T: Real>(&self, parts: &[Part]) -> Gram<T> {
        let of_B = parts == [Part::B];
        let rows = if of_B { self.dims.tokens() } else { self.dims.m() };
        Gram::new(rows, self.terms(parts))
    }

    /// |A'v| / |v| for A the parts side by side, evaluated in T; nothing is known if v is 0.
    pub(crate) fn quotient<T: Real>(&self, parts: &[Part], v: &[f64]) -> Ball {
        quotient(self.terms::<T>(parts), v)
    }
}

impl Head {
    /// `weights` are the columns of W^Q, W^K and W^V W^O of the head.
    fn new(kernel: Kernel, root_d: Ball, x: &Factor, weights: &[Factor; 3], fast: bool) -> Head {
        let [q, kappa, u] = [0, 1, 2].map(|w| x.times(&weights[w]));
        let (n, d) = (q.rows, q.cols);
        let s = match kernel {
            Kernel::Gaussian => Matrix::new(n, n, |k, j| {
                let w = |a: usize| q[(k, a)] - kappa[(j, a)];
                (-(sum(d, |a| w(a) * w(a)) / (ball(2.0) * root_d))).exp()
            }),
            Kernel::Softmax => {
                let factor = |M: &Matrix| Factor::new(M.clone(), fast);
                let C = factor(&q).times(&factor(&kappa)).map(|c| c / root_d);
                let mut e = Matrix::new(n, n, |_, _| Ball::ZERO);
                for k in 0..n {
                    // Any shift of a row leaves the weights as they are; the largest score avoids
                    // overflow.
                    let top = C.row(k).iter().copied().reduce(Ball::max).unwrap_or(Ball::ZERO);
                    let top = top.upper_ball();
                    let row = &mut e.data[k * n..(k + 1) * n];
                    for (e, c) in row.iter_mut().zip(C.row(k)) {
                        *e = (*c - top).exp();
                    }
                    let total: Ball = row.iter().copied().sum();
                    for e in row {
                        *e = *e / total;
                        // A weight is between 0 and 1, and 1 if it is alone.
                        if n == 1 {
                            *e = ball(1.0);
                        } else if !e.is_known() {
                            *e = ball(0.5).widened(ball(0.5));
                        }
                    }
                }
                e
            }
        };
        let out = product(&s, &u);
        Head { q, kappa, u, s, out }
    }
}
