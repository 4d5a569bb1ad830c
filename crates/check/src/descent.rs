//! Gradient descent in [`Ends`]: the formulas of theory.md, the gradient as rows of J times r.

use super::certificate::{Kernel, Trained};
use super::claims::Site;
use super::curvature::closed_form;
use super::ends::{Dot, Ends, dot};
use super::instance::{Dims, Instance};
use super::matrix::Matrix;
use super::orbit::{Choose, Motion, Subject, Window};
use super::point::Part;
use super::threads::each;

/// An instance whose trained weights move, in the order W^Q, W^K, W^V, head by head.
pub(crate) struct Attention<'a> {
    pub(crate) instance: &'a Instance,
    pub(crate) trained: Trained,
}

impl Attention<'_> {
    /// The trained weights of an instance.
    pub(crate) fn weights(&self, at: &Instance) -> Vec<f64> {
        let blocks = [&at.W_Q, &at.W_K, &at.W_V].into_iter().zip(self.trained.flags());
        let heads = blocks.filter(|(_, on)| *on).flat_map(|(block, _)| block);
        heads.flat_map(|W: &Matrix<f64>| W.data.iter().copied()).collect()
    }

    /// The instance with these trained weights.
    pub(crate) fn moved(&self, weights: &[f64]) -> Instance {
        let mut at = self.instance.clone();
        let blocks = [&mut at.W_Q, &mut at.W_K, &mut at.W_V].into_iter().zip(self.trained.flags());
        let heads = blocks.filter(|(_, on)| *on).flat_map(|(block, _)| block);
        let entries = heads.flat_map(|W: &mut Matrix<f64>| &mut W.data);
        entries.zip(weights).for_each(|(w, x)| *w = *x);
        at
    }
}

impl Subject for Attention<'_> {
    type Motion<'a, const L: usize>
        = Descent<'a, L>
    where
        Self: 'a;

    fn start(&self) -> Vec<f64> {
        self.weights(self.instance)
    }

    fn at<const L: usize>(&self, eta: f64, point: Vec<Ends<L>>) -> Descent<'_, L> {
        let mut descent = Descent::new(self.instance, self.trained, eta);
        descent.point().zip(point).for_each(|(w, x)| *w = x);
        descent
    }

    fn products(&self) -> u64 {
        products(self.instance.dims)
    }

    fn bounds(&self, centre: &[f64], choose: &Choose) -> Option<Window> {
        let at = self.moved(centre);
        let site = Site::new(&at);
        let point = site.fast();
        let parts = Part::of(self.trained.flags());
        let jacobian = point.gram::<f64>(&parts).norm_upper();
        choose(jacobian, &|radius| Some(closed_form(point, self.trained, radius)))
    }
}

/// One head on one sample, as in [`point::Head`](super::point::Head).
struct Head<const L: usize> {
    q: Matrix<Ends<L>>,
    kappa: Matrix<Ends<L>>,
    u: Matrix<Ends<L>>,
    s: Matrix<Ends<L>>,
    out: Matrix<Ends<L>>,
}

/// Weights and the step from them.
pub(crate) struct Descent<'a, const L: usize> {
    instance: &'a Instance,
    trained: Trained,
    eta: Ends<L>,
    /// sqrt(d).
    root_d: Ends<L>,
    ln2: Ends<L>,
    X: Vec<Matrix<Ends<L>>>,
    W_O: Vec<Matrix<Ends<L>>>,
    /// W^Q, W^K, W^V, a matrix for each head.
    W: [Vec<Matrix<Ends<L>>>; 3],
    /// heads[h N + i].
    heads: Vec<Head<L>>,
    /// r_ikc at (i n + k) p + c.
    residual: Vec<Ends<L>>,
}

/// sum_l a_il b_lj.
fn product<const L: usize>(a: &Matrix<Ends<L>>, b: &Matrix<Ends<L>>) -> Matrix<Ends<L>> {
    Matrix::new(a.rows, b.cols, |i, j| dot((0..a.cols).map(|l| (&a[(i, l)], &b[(l, j)]))))
}

/// A size as a small whole number; 0, by which nothing can be divided, if it is none.
fn small(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(0)
}

/// Products of numbers in a step, about; an exponential is some fifty of them.
pub(crate) fn products(dims: Dims) -> u64 {
    let Dims { N, n, D, d, H, p } = dims;
    let [N, n, D, d, H, p] = [N, n, D, d, H, p].map(|x| x as u64);
    // Factors of few words count for a fifth of one.
    let token = 2 * D * d + n * (4 * d + 4 * p + 50);
    (H * N * n).saturating_mul(token)
}

impl<'a, const L: usize> Descent<'a, L> {
    /// At the instance's weights.
    fn new(instance: &'a Instance, trained: Trained, eta: f64) -> Self {
        let of = |all: &[Matrix<f64>]| all.iter().map(|M| M.map(Ends::of)).collect::<Vec<_>>();
        let d = small(instance.dims.d);
        Descent {
            instance,
            trained,
            eta: Ends::of(eta),
            root_d: Ends::root(d),
            ln2: Ends::ln2(),
            X: of(&instance.X),
            W_O: of(&instance.W_O),
            W: [of(&instance.W_Q), of(&instance.W_K), of(&instance.W_V)],
            heads: Vec::new(),
            residual: Vec::new(),
        }
    }

    /// x / sqrt(d) = x sqrt(d) / d.
    fn over_root(&self, x: Ends<L>) -> Ends<L> {
        (self.root_d * x).over(small(self.instance.dims.d))
    }

    fn work(&self) -> usize {
        products(self.instance.dims).saturating_mul((L * L) as u64) as usize
    }

    fn head(&self, h: usize, i: usize) -> Head<L> {
        let Dims { n, d, .. } = self.instance.dims;
        let X = &self.X[i];
        // Products begin with the shorter number.
        let [q, kappa] = [0, 1].map(|b| product(X, &self.W[b][h]));
        let values = Matrix::new(self.W[2][h].rows, self.W_O[h].cols, |e, c| {
            dot((0..d).map(|a| (&self.W_O[h][(a, c)], &self.W[2][h][(e, a)])))
        });
        let u = product(X, &values);
        let s = match self.instance.kernel {
            Kernel::Gaussian => Matrix::new(n, n, |k, j| {
                let mut square = Dot::new();
                for a in 0..d {
                    let w = q[(k, a)] - kappa[(j, a)];
                    square.add(&w, &w);
                }
                (-self.over_root(square.sum()).halved(1)).exp(&self.ln2)
            }),
            Kernel::Softmax => {
                let mut s = Matrix::new(n, n, |k, j| {
                    self.over_root(dot((0..d).map(|a| (&q[(k, a)], &kappa[(j, a)]))))
                });
                for row in s.data.chunks_mut(n) {
                    // Any shift of a row leaves the weights as they are; this one makes every
                    // argument of exp at most 0, and the largest nearly 0.
                    let top = row.iter().skip(1).fold(row[0].top(row[0]), |top, c| top.top(*c));
                    for c in row.iter_mut() {
                        *c = (*c - top).exp(&self.ln2);
                    }
                    let total: Ends<L> = row.iter().copied().sum();
                    let inverse = total.reciprocal();
                    for e in row {
                        *e = *e * inverse;
                    }
                }
                s
            }
        };
        let out = product(&s, &u);
        Head { q, kappa, u, s, out }
    }

    /// J'r of head h, the rows of J added up with r: row (i, k, c) is
    ///
    /// - Q: x_k (x) sum_j w_j kappa_j, for the Gaussian kernel x_k (x) sum_j w_j (kappa_j - q_k);
    /// - K: sum_j x_j (x) w_j q_k, for the Gaussian kernel sum_j x_j (x) w_j (q_k - kappa_j);
    /// - V: sum_j x_j (x) s_kj W^O_c;
    ///
    /// w_j = s_kj (u_jc - out_kc) / sqrt(d), for the Gaussian kernel s_kj u_jc / sqrt(d). What
    /// stands beside the same token is added up before it meets it.
    fn gradient(&self, h: usize) -> [Matrix<Ends<L>>; 3] {
        let Dims { N, n, D, d, .. } = self.instance.dims;
        let beside: Vec<_> = (0..N).map(|i| self.beside(h, i)).collect();
        [0, 1, 2].map(|b| {
            if !self.trained.flags()[b] {
                return Matrix::new(0, 0, |_, _| Ends::ZERO);
            }
            Matrix::new(D, d, |e, a| {
                let tokens = (0..N).flat_map(|i| (0..n).map(move |j| (i, j)));
                dot(tokens.map(|(i, j)| (&self.X[i][(j, e)], &beside[i][b][(j, a)])))
            })
        })
    }

    /// What stands beside the tokens of sample i, for each trained block.
    fn beside(&self, h: usize, i: usize) -> [Matrix<Ends<L>>; 3] {
        let Dims { n, d, p, .. } = self.instance.dims;
        let [on_q, on_k, on_v] = self.trained.flags();
        let gaussian = self.instance.kernel == Kernel::Gaussian;
        let head = &self.heads[h * self.instance.dims.N + i];
        let (q, kappa, s) = (&head.q, &head.kappa, &head.s);
        let r = Matrix::new(n, p, |k, c| self.residual[(i * n + k) * p + c]);
        // sum_c w_j r, row k.
        let rows = if on_q || on_k { n } else { 0 };
        let over_root = r.map(|r| self.over_root(r));
        let w = Matrix::new(rows, n, |k, j| {
            let mut sum = Dot::new();
            for c in 0..p {
                let u = head.u[(j, c)];
                let u = if gaussian { u } else { u - head.out[(k, c)] };
                sum.add(&over_root[(k, c)], &u);
            }
            sum.sum() * s[(k, j)]
        });
        // For the Gaussian kernel sum_j w_kj (kappa_j - q_k) = sum_j w_kj kappa_j - (sum_j w_kj) q_k.
        let along =
            |on: bool, w: &Matrix<Ends<L>>, other: &Matrix<Ends<L>>, own: &Matrix<Ends<L>>| {
                let less: Vec<Ends<L>> =
                    (0..w.rows).map(|k| -w.row(k).iter().copied().sum::<Ends<L>>()).collect();
                Matrix::new(if on { n } else { 0 }, d, |k, a| {
                    let mut sum = Dot::new();
                    (0..n).for_each(|j| sum.add(&w[(k, j)], &other[(j, a)]));
                    if gaussian {
                        sum.add(&less[k], &own[(k, a)]);
                    }
                    sum.sum()
                })
            };
        let of_q = along(on_q, &w, kappa, q);
        let of_k = along(on_k, &w.transposed(), q, kappa);
        let of_v = match on_v {
            true => {
                let sr = product(&s.transposed(), &r);
                Matrix::new(n, d, |j, a| dot((0..p).map(|c| (&self.W_O[h][(a, c)], &sr[(j, c)]))))
            }
            false => Matrix::new(0, d, |_, _| Ends::ZERO),
        };
        [of_q, of_k, of_v]
    }
}

impl<const L: usize> Motion<L> for Descent<'_, L> {
    fn evaluate(&mut self) -> &[Ends<L>] {
        let Dims { N, n, H, p, .. } = self.instance.dims;
        self.heads = each(H * N, self.work() / (H * N), |a| self.head(a / N, a % N));
        let entry = |a: usize| {
            let (i, k, c) = (a / p / n, a / p % n, a % p);
            let out: Ends<L> = (0..H).map(|h| self.heads[h * N + i].out[(k, c)]).sum();
            out - Ends::of(self.instance.y[i][(k, c)])
        };
        self.residual = (0..N * n * p).map(entry).collect();
        &self.residual
    }

    fn step(&mut self) {
        let H = self.instance.dims.H;
        let gradients = each(H, self.work() / H, |h| self.gradient(h));
        for (h, of_head) in gradients.into_iter().enumerate() {
            for (b, G) in of_head.into_iter().enumerate() {
                if self.trained.flags()[b] {
                    for (w, g) in self.W[b][h].data.iter_mut().zip(G.data) {
                        *w = *w - self.eta * g;
                    }
                }
            }
        }
    }

    fn point(&mut self) -> impl Iterator<Item = &mut Ends<L>> {
        let blocks = self.W.iter_mut().zip(self.trained.flags()).filter(|(_, on)| *on);
        blocks.flat_map(|(block, _)| block.iter_mut().flat_map(|W| &mut W.data))
    }
}
