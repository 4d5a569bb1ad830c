//! Rigorous values at a centre: residual, Jacobian, B and the readings of beta, at any size.
//!
//! Interval loops through the generic formulas would take minutes at thousands of residuals. Here every
//! matrix is a *ball matrix*, a midpoint and a radius for each entry, and products are ordinary f64
//! products. With |A - Am| <= Ar and |B - Bm| <= Br entrywise, and C = fl(Am Bm) with inner dimension k,
//!
//! ```text
//! |A B - C| <= |Am| Br + Ar (|Bm| + Br) + gamma_k |Am| |Bm| + k 2^-1073,
//! ```
//!
//! evaluated in f64 as one or two more products of non-negative matrices, which have relative errors of at most
//! gamma_{k+8}, and rounded up for it (see [`up`]). Everything that is not a product (exp, division by the
//! sum, weights S_kj (u_j - out)) runs entry by entry, as balls or in [`Interval`].
//!
//! **Gaussian scores.** With w = q_k - kappa_j, wm its computed midpoint and |w - wm| <= delta = rq + rkappa +
//! u |wm| by component: ||w|^2 - fl(|wm|^2)| <= sum (2 |wm| + delta) delta + gamma_{d+1} |wm|^2.
//!
//! **J J' from structure** (see the source of `spectrum::gram` for the identities). Every row a of a block is a
//! sum of Kronecker products; v_a denotes the sum of their norms:
//!
//! | block | row | v_a |
//! |---|---|---|
//! | Q | x_a (x) g_a | abs(x_a) abs(g_a) |
//! | K, softmax | z_a (x) q_a | abs(z_a) abs(q_a) |
//! | K, Gaussian | z_a (x) q_a - sum_j w_aj x_j (x) kappa_j | abs(z_a) abs(q_a) + sum_j abs(w_aj) abs(x_j) abs(kappa_j) |
//! | V | (S X)_a (x) W^O_c | abs((S X)_a) abs(W^O_c) |
//!
//! The matrix of midpoints Jm, with these formulas read as exact, has J J' entries that are sums of monomials,
//! each rounded at most K = D + d + 2n + 8 + (number of terms added) times, and whose moduli add up to
//! at most v_a v_b by Cauchy-Schwarz. So |G - Jm Jm'|_ab <= gamma_K sum v_a v_b and
//! |G - Jm Jm'|_2 <= gamma_K sum_{blocks, heads, a} v_a^2, plus underflow: each product that underflows loses 2^-1074
//! times a factor that some norm bounds. |J - Jm|_F is summed up from the radii, row by row:
//! |a (x) b - am (x) bm| <= ra (|bm| + rb) + |am| rb. Then Weyl's inequality takes over (see [`gdcert_numbers::verified`]).

use super::curvature::{Curvature, Token};
use crate::model::{self, Kernel, Trained};
use crate::problem::{Dims, Instance};
use crate::spectrum::Reading;
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat};
use gdcert_numbers::Bound;
use gdcert_numbers::Scalar;
use gdcert_numbers::U;
use gdcert_numbers::interval::{Interval, add_down, add_up, exp_ball, sqrt_up};
use gdcert_numbers::linalg::product_par;
use gdcert_numbers::verified::{
    Extreme, NotResolved, SigmaMin, Symmetric, extreme, gamma_up, lower_product, norm_up,
    sigma_max, sigma_min, up, view,
};
use nalgebra::DMatrix;
use rayon::prelude::*;
use std::sync::OnceLock;

/// A matrix known entry by entry: |exact - mid| <= rad.
#[derive(Clone, Debug)]
pub(super) struct Ball {
    pub mid: DMatrix<f64>,
    pub rad: DMatrix<f64>,
}

/// One head at the centre over all samples; rows (i, k) of all samples are stacked.
pub(super) struct HeadBall {
    /// Nn x d.
    pub q: Ball,
    /// Nn x d.
    pub kappa: Ball,
    /// Nn x p.
    pub u: Ball,
    /// Nn x n: row (i, k) holds the weights on the tokens of sample i.
    pub S: Ball,
    /// Nn x D.
    pub SX: Ball,
    /// Nn x p.
    pub output: Ball,
}

/// What Theorem A needs to know at a centre, with outward rounding.
///
/// ```
/// use gdcert::{Dims, Init, Instance, Kernel, Trained, bounds::Enclosure, spectrum::Reading};
/// let dims = Dims { N: 2, n: 4, D: 8, d: 4, H: 3, p: 1 };
/// let instance = Instance::random(dims, Kernel::Gaussian, Init::Lazy { omega: 10.0 }, 0)?;
/// let enclosure = Enclosure::new(&instance, Trained::QKV);
/// let alpha = enclosure.alpha_lower().expect("well conditioned");
/// let beta = enclosure.beta(Reading::Ntk);
/// assert!(alpha * alpha <= beta.hi() && beta.hi() < alpha * alpha * (1.0 + 1e-5));
/// # Ok::<(), gdcert::Error>(())
/// ```
pub struct Enclosure<'a> {
    instance: &'a Instance,
    trained: Trained,
    heads: Vec<HeadBall>,
    residual: Vec<Interval>,
    /// sigma_min(B), computed once.
    sigma_B: OnceLock<SigmaMin>,
    /// sigma_min and norm of J_V.
    value: OnceLock<Extreme>,
    /// sigma_min and norm of J over the blocks Q, K, V in the bits 1, 2, 4 of the index.
    extremes: [OnceLock<Extreme>; 8],
}

impl<'a> Enclosure<'a> {
    /// Evaluates the model at the instance's weights.
    pub fn new(instance: &'a Instance, trained: Trained) -> Self {
        let Dims { N, n, D, p, H, .. } = instance.dims();
        let X = Ball::exact(DMatrix::from_fn(N * n, D, |k, e| {
            instance.X()[k / n][(k % n, e)]
        }));
        let heads: Vec<_> = (0..H)
            .into_par_iter()
            .map(|h| HeadBall::new(instance, &X, h))
            .collect();
        let mut residual = Vec::with_capacity(N * n * p);
        for k in 0..N * n {
            for c in 0..p {
                let mut out = Interval::from_f64(0.0);
                for head in &heads {
                    out += head.output.at(k, c);
                }
                residual.push(out - Interval::from_f64(instance.y()[k / n][(k % n, c)]));
            }
        }
        Enclosure {
            instance,
            trained,
            heads,
            residual,
            sigma_B: OnceLock::new(),
            value: OnceLock::new(),
            extremes: Default::default(),
        }
    }

    /// r, entry by entry.
    pub fn residual(&self) -> &[Interval] {
        &self.residual
    }

    /// |r|.
    pub fn residual_norm(&self) -> Interval {
        Interval::norm(&self.residual)
    }

    /// The midpoint of B, Nn x HD, and a bound on |B - midpoint|_F.
    pub fn B(&self) -> (DMatrix<f64>, f64) {
        self.scaled_B(&vec![Interval::from_f64(1.0); self.heads.len()])
    }

    /// [s_1 B_1, ..., s_H B_H]: midpoint and Frobenius radius.
    fn scaled_B(&self, scales: &[Interval]) -> (DMatrix<f64>, f64) {
        let Dims { N, n, D, H, .. } = self.instance.dims();
        let mut mid = DMatrix::zeros(N * n, H * D);
        let blocks = mid.as_mut_slice().par_chunks_exact_mut(N * n * D);
        let heads = blocks.zip(&self.heads).zip(scales);
        let radii: Vec<_> = heads
            .map(|((block, head), &s)| {
                let (s, rs) = s.mid_radius();
                block.copy_from_slice(head.SX.mid.as_slice());
                if s == 1.0 && rs == 0.0 {
                    return norm_up(head.SX.rad.iter().copied());
                }
                block.iter_mut().for_each(|b| *b *= s);
                let entries = head.SX.mid.iter().zip(head.SX.rad.iter());
                norm_up(
                    entries
                        .map(|(b, r)| up(s.abs() * r + rs * (b.abs() + r) + U * (s * b).abs(), 6)),
                )
            })
            .collect();
        (mid, norm_up(radii))
    }

    /// sigma_min(B), 0 if HD < Nn.
    pub fn sigma_min_B(&self) -> SigmaMin {
        *self.sigma_B.get_or_init(|| {
            if let Some(sigma) = self.sigma_min_B_by_values() {
                return Ok(sigma);
            }
            let (mid, radius) = self.B();
            sigma_min(view(&mid), radius)
        })
    }

    /// sigma_min(B) from the value block, which is then factored for both, where p = 1 and all |W^O_h| are nearly equal:
    /// J_V J_V' = sum_h |W^O_h|^2 B_h B_h' lies between min_h |W^O_h|^2 B B' and max_h |W^O_h|^2 B B', so
    /// sigma_min(J_V) / max_h |W^O_h| <= sigma_min(B) <= sigma_min(J_V) / min_h |W^O_h|.
    fn sigma_min_B_by_values(&self) -> Option<Interval> {
        let dims = self.instance.dims();
        if dims.p > 1 || dims.H * dims.D < dims.m() {
            return None;
        }
        let norms = self.output_norms();
        let least = norms.iter().map(|s| s.lo()).fold(f64::INFINITY, f64::min);
        let largest = norms.iter().map(|s| s.hi()).fold(0.0, f64::max);
        // Far finer than anything that is concluded from sigma_min(B).
        if !(least > 0.0 && largest <= least * (1.0 + 1.0 / (1u64 << 40) as f64)) {
            return None;
        }
        Some(self.value().0.ok()? / Interval::new(least, largest))
    }

    /// |W^O_h|_F.
    fn output_norms(&self) -> Vec<Interval> {
        let norm = |o: &DMatrix<f64>| {
            let entries: Vec<_> = o.iter().map(|&x| Interval::from_f64(x)).collect();
            Interval::norm(&entries)
        };
        self.instance.W().O.iter().map(norm).collect()
    }

    /// sigma_min of J_V (m-th singular value; 0 with fewer than m parameters).
    pub fn sigma_min_value(&self) -> SigmaMin {
        self.value().0
    }

    /// p = 1: J_V J_V' = sum_h |W^O_h|^2 B_h B_h', the Gram matrix of [|W^O_h| B_h], Nn x HD.
    fn value(&self) -> Extreme {
        *self.value.get_or_init(|| {
            let dims = self.instance.dims();
            if dims.p > 1 || dims.H * dims.D < dims.m() {
                return self.extreme_of(V_ONLY);
            }
            let norms = self.output_norms();
            let (mid, radius) = self.scaled_B(&norms);
            extreme(view(&mid), radius)
        })
    }

    /// sigma_min of J over the trained blocks (m-th singular value; 0 with fewer than m parameters).
    pub(crate) fn sigma_min_J(&self) -> SigmaMin {
        self.J().0
    }

    /// |J| over the trained blocks.
    pub fn jacobian_norm(&self) -> Interval {
        self.J().1
    }

    /// An upper bound of |J| over the trained blocks.
    pub fn jacobian_norm_upper(&self) -> f64 {
        self.jacobian_norm().hi()
    }

    /// An upper bound of |J| without sigma_min: one Gram matrix from structure, whatever the sizes.
    pub(crate) fn jacobian_norm_bound(&self) -> f64 {
        let (gram, radius) = self.gram(self.trained.flags());
        let norm = gram.largest().sqrt();
        add_up(norm.hi(), radius)
    }

    /// Upper bounds of |J_Q|, |J_K|, |J_V|; 0 for a block that is not trained.
    pub(crate) fn block_norms_upper(&self) -> [f64; 3] {
        [0, 1, 2].map(|b| {
            if self.trained.flags()[b] {
                self.extreme([0, 1, 2].map(|c| c == b)).1.hi()
            } else {
                0.0
            }
        })
    }

    fn J(&self) -> Extreme {
        self.extreme(self.trained.flags())
    }

    /// sigma_min and norm of J over some blocks. Where W^V = 0, u = 0 and J_Q = J_K = 0 exactly: they add nothing.
    fn extreme(&self, blocks: [bool; 3]) -> Extreme {
        let [q, k, v] = blocks;
        let no_values = self.instance.W().V.iter().all(|w| w.amax() == 0.0);
        match (no_values, v) {
            (true, true) => self.value(),
            (true, false) => (Ok(Interval::from_f64(0.0)), Interval::from_f64(0.0)),
            (false, true) if !(q || k) => self.value(),
            _ => {
                let index = usize::from(q) + 2 * usize::from(k) + 4 * usize::from(v);
                *self.extremes[index].get_or_init(|| self.extreme_of(blocks))
            }
        }
    }

    /// A lower bound of sigma_min(J'): that of the full Jacobian, or where rounding hides it that of the
    /// value block, then min_h sigma_min(W^O_h) sigma_min(B) (each at most the one before it).
    ///
    /// # Errors
    /// [`NotResolved`] if none of them is above its error, or the value is 0 by dimension.
    pub fn alpha_lower(&self) -> std::result::Result<f64, NotResolved> {
        self.alpha_from(self.sigma_min_J(), self.trained)
    }

    /// The same for some of the blocks.
    ///
    /// # Errors
    /// As [`alpha_lower`](Self::alpha_lower).
    pub(crate) fn alpha_lower_of(&self, blocks: Trained) -> std::result::Result<f64, NotResolved> {
        if blocks == self.trained {
            return self.alpha_lower();
        }
        self.alpha_from(self.extreme(blocks.flags()).0, blocks)
    }

    fn alpha_from(&self, full: SigmaMin, blocks: Trained) -> std::result::Result<f64, NotResolved> {
        let mut best = full.map_or(0.0, Interval::lo);
        if blocks.v() && best == 0.0 {
            best = best.max(self.sigma_min_value().map_or(0.0, Interval::lo));
        }
        if blocks.v() && best == 0.0 {
            best = best.max(self.alpha_per_head());
        }
        match full {
            _ if best > 0.0 => Ok(best),
            Err(e) => Err(e),
            Ok(_) => Err(NotResolved {
                upper: 0.0,
                error: 0.0,
            }),
        }
    }

    /// min_h sigma_min(W^O_h) sigma_min(B) from below: the cheapest bound, one Gram matrix of B.
    pub fn alpha_per_head(&self) -> f64 {
        let O = self.sigma_min_O().lo();
        let B = self.sigma_min_B().map_or(0.0, Interval::lo);
        (Interval::from_f64(O.max(0.0)) * Interval::from_f64(B))
            .lo()
            .max(0.0)
    }

    /// min_h sigma_min(W^O_h).
    fn sigma_min_O(&self) -> Interval {
        let mut least = Interval::new(f64::MAX, f64::MAX);
        for W in &self.instance.W().O {
            let s = output_sigma_min(W);
            least = Interval::new(least.lo().min(s.lo()), least.hi().min(s.hi()));
        }
        least
    }

    /// An enclosure of beta as a reading defines it. The lower end is 0 where nothing positive
    /// could be proven; the upper end is an upper bound in any case (Rayleigh quotients).
    pub fn beta(&self, reading: Reading) -> Interval {
        let sigma = match reading {
            Reading::Stacked => {
                let rows: Vec<_> = self
                    .instance
                    .W()
                    .O
                    .iter()
                    .flat_map(|o| o.row_iter())
                    .collect();
                output_sigma_min(&DMatrix::from_rows(&rows)) * or_zero(self.sigma_min_B())
            }
            Reading::PerHead => self.sigma_min_O() * or_zero(self.sigma_min_B()),
            Reading::Value => or_zero(self.sigma_min_value()),
            Reading::Ntk => or_zero(self.sigma_min_J()),
        };
        Interval::new(sigma.lo().max(0.0), sigma.hi()).square()
    }

    /// J itself, by the generic formulas in interval arithmetic, where it is small.
    fn formed(&self, blocks: [bool; 3]) -> Option<(DMatrix<f64>, f64)> {
        let dims = self.instance.dims();
        let trained = Trained::from_flags(blocks)?;
        let width = blocks.iter().filter(|&&on| on).count() * dims.block_len();
        if dims.m() as u128 * width as u128 > FORMED_ENTRIES {
            return None;
        }
        let W = self.instance.W().map(Interval::from_f64);
        let J = model::jacobian(self.instance, &W, trained);
        let radius = norm_up(J.iter().map(|x| x.mid_radius().1));
        Some((J.map(|x| x.value()), radius))
    }

    /// sigma_min and norm of J over some blocks.
    fn extreme_of(&self, blocks: [bool; 3]) -> Extreme {
        let dims = self.instance.dims();
        let width = blocks.iter().filter(|&&on| on).count() * dims.block_len();
        let (smallest, largest) = match self.formed(blocks) {
            Some((J, radius)) => extreme(view(&J), radius),
            None => self.extreme_by_gram(blocks),
        };
        if width < dims.m() {
            return (Ok(Interval::from_f64(0.0)), largest);
        }
        (smallest, largest)
    }

    pub(super) fn extreme_by_gram(&self, blocks: [bool; 3]) -> Extreme {
        let (gram, radius) = self.gram(blocks);
        if !radius.is_finite() {
            let any = Interval::new(0.0, f64::INFINITY);
            return (Err(NotResolved::NOTHING_KNOWN), any);
        }
        let norm = gram.largest().sqrt() + Interval::new(-radius, radius);
        let found = gram.smallest();
        let root = Interval::new(found.lower.max(0.0), found.upper.max(0.0)).sqrt();
        let sigma = root + Interval::new(-radius, radius);
        let smallest = if sigma.lo() > 0.0 {
            Ok(sigma)
        } else {
            Err(NotResolved {
                upper: sigma.hi(),
                error: add_up(sigma.hi(), -sigma.lo()),
            })
        };
        (smallest, Interval::new(norm.lo().max(0.0), norm.hi()))
    }

    /// J J' over the given blocks from structure, and a bound on |J - Jm|_F.
    fn gram(&self, blocks: [bool; 3]) -> (Symmetric, f64) {
        let dims = self.instance.dims();
        let Dims { N, n, D, d, H, p } = dims;
        let m = dims.m();
        let X = stack(self.instance, 1);
        let mut sum = GramSum {
            G: Mat::zeros(m, m),
            squares: 0.0,
            radii: 0.0,
            tiny: 1.0,
        };
        let rows = stack(self.instance, p);
        let same_x = blocks[0].then(|| gram_lower(&rows));
        let x_norms = row_norms(&X);
        let gaussian_keys = blocks[1] && self.instance.kernel() == Kernel::Gaussian;
        let tokens = gaussian_keys.then(|| times(&X, &X.transpose()));
        for head in &self.heads {
            if !(blocks[0] || blocks[1]) {
                break;
            }
            let w = head.weights(self.instance);
            if let Some(same_x) = &same_x {
                let g = head.query_gradients(self.instance, &w);
                sum.add_entrywise(same_x, &gram_lower(&g.mid));
                for a in 0..m {
                    let x = x_norms[a / p];
                    sum.row(x * g.row_norm(a), x * g.row_radius(a));
                    sum.tiny += x * x + g.row_norm(a).powi(2);
                }
            }
            if blocks[1] {
                head.add_key_block(self.instance, (&X, tokens.as_ref()), &x_norms, &w, &mut sum);
            }
        }
        if blocks[2] {
            for (head, W) in self.heads.iter().zip(&self.instance.W().O) {
                let BB = gram_lower(&head.SX.mid);
                let WW = W.transpose() * W;
                for b in 0..m {
                    for a in b..m {
                        let bb = BB[((a / p).max(b / p), (a / p).min(b / p))];
                        sum.G[(a, b)] += bb * WW[(a % p, b % p)];
                    }
                }
                let columns: Vec<_> = W
                    .column_iter()
                    .map(|c| norm_up(c.iter().copied()))
                    .collect();
                for k in 0..N * n {
                    let (size, radius) = (head.SX.row_norm(k), head.SX.row_radius(k));
                    for o in &columns {
                        sum.row(size * o, radius * o);
                        sum.tiny += size * size + o * o;
                    }
                }
            }
        }
        let terms = 5 * H + 8;
        let roundings = D + d + 2 * n + 8 + terms;
        let rows = 3 * m * H + 8;
        let error = up(gamma_up(roundings) * up(sum.squares, rows), 3)
            + up(f64::MIN_POSITIVE * up(sum.tiny, 4 * rows), 3);
        let radius = Interval::new(0.0, up(sum.radii, rows)).sqrt().hi();
        (Symmetric::from_lower(sum.G, error), radius)
    }

    /// The curvature bound, whose [`Curvature::h`] runs in interval arithmetic: h(rho).hi() is a rigorous h(rho).
    pub fn curvature(&self) -> Curvature<Interval> {
        let Dims { N, n, H, .. } = self.instance.dims();
        let zero = Interval::from_f64(0.0);
        let X = Ball::exact(stack(self.instance, 1));
        let x = X.row_norms();
        let norms: Vec<_> = self
            .heads
            .par_iter()
            .map(|head| [&head.q, &head.kappa, &head.u].map(Ball::row_norms))
            .collect();
        let o: Vec<_> = self
            .instance
            .W()
            .O
            .iter()
            .map(|W| Interval::new(0.0, sigma_max(view(W), 0.0)))
            .collect();
        let mut tokens = Vec::with_capacity(N * n * H);
        for i in 0..N {
            let sample = i * n..(i + 1) * n;
            let longest =
                |of: &[Interval]| of[sample.clone()].iter().copied().fold(zero, Bound::max);
            let xi = longest(&x);
            let maxima: Vec<_> = norms
                .iter()
                .map(|[_, kappa, u]| (longest(kappa), longest(u)))
                .collect();
            for k in sample.clone() {
                for (h, [q, ..]) in norms.iter().enumerate() {
                    tokens.push(Token {
                        x: x[k],
                        xi,
                        o: o[h],
                        kap: maxima[h].0,
                        qn: q[k],
                        ups: maxima[h].1,
                    });
                }
            }
        }
        Curvature::from_tokens(self.instance, self.trained, tokens)
    }
}

/// Up to this many entries J is formed, in intervals.
const FORMED_ENTRIES: u128 = 1 << 20;

const V_ONLY: [bool; 3] = [false, false, true];

fn or_zero(sigma: SigmaMin) -> Interval {
    sigma.unwrap_or_else(|e| Interval::new(0.0, e.upper))
}

/// sigma_min(W) = sqrt(lambda_min(W'W)) of an output matrix: 0 with fewer rows than columns.
fn output_sigma_min(W: &DMatrix<f64>) -> Interval {
    or_zero(sigma_min(view(W).transpose(), 0.0))
}

/// All tokens, each repeated `times` times: Nn times x D.
fn stack(instance: &Instance, times: usize) -> DMatrix<f64> {
    let Dims { N, n, D, .. } = instance.dims();
    DMatrix::from_fn(N * n * times, D, |a, e| {
        let k = a / times;
        instance.X()[k / n][(k % n, e)]
    })
}

fn row_norms(A: &DMatrix<f64>) -> Vec<f64> {
    A.row_iter()
        .map(|row| norm_up(row.iter().copied()))
        .collect()
}

/// A sum of Gram matrices in the lower triangle, with what its error bound needs.
struct GramSum {
    G: Mat<f64>,
    /// sum v_a^2.
    squares: f64,
    /// sum of squared row radii.
    radii: f64,
    /// sum of squared factors, for underflow.
    tiny: f64,
}

impl GramSum {
    fn row(&mut self, size: f64, radius: f64) {
        self.squares += size * size;
        self.radii += radius * radius;
    }

    fn add_entrywise(&mut self, A: &Mat<f64>, B: &Mat<f64>) {
        for j in 0..self.G.ncols() {
            let terms = A.col_as_slice(j)[j..].iter().zip(&B.col_as_slice(j)[j..]);
            for (s, (x, y)) in self.G.col_as_slice_mut(j)[j..].iter_mut().zip(terms) {
                *s += x * y;
            }
        }
    }
}

/// The lower triangle of A A'.
fn gram_lower(A: &DMatrix<f64>) -> Mat<f64> {
    let mut G = Mat::zeros(A.nrows(), A.nrows());
    lower_product(&mut G, Accum::Replace, view(A), view(A).transpose(), 1.0);
    G
}

/// A B in f64.
fn times(A: &DMatrix<f64>, B: &DMatrix<f64>) -> DMatrix<f64> {
    let mut C = DMatrix::zeros(A.nrows(), B.ncols());
    let (rows, cols) = C.shape();
    let target = faer::MatMut::from_column_major_slice_mut(C.as_mut_slice(), rows, cols);
    let par = product_par(A.nrows(), A.ncols(), B.ncols());
    matmul(target, Accum::Replace, view(A), view(B), 1.0, par);
    C
}

impl Ball {
    pub(super) fn exact(mid: DMatrix<f64>) -> Self {
        let rad = DMatrix::zeros(mid.nrows(), mid.ncols());
        Ball { mid, rad }
    }

    fn zeros(rows: usize, cols: usize) -> Self {
        Ball::exact(DMatrix::zeros(rows, cols))
    }

    pub(super) fn at(&self, i: usize, j: usize) -> Interval {
        Interval::around(self.mid[(i, j)], self.rad[(i, j)])
    }

    fn set(&mut self, i: usize, j: usize, x: Interval) {
        (self.mid[(i, j)], self.rad[(i, j)]) = x.mid_radius();
    }

    fn rows(&self, first: usize, count: usize) -> Ball {
        Ball {
            mid: self.mid.rows(first, count).into_owned(),
            rad: self.rad.rows(first, count).into_owned(),
        }
    }

    fn put_rows(&mut self, first: usize, part: &Ball) {
        let count = part.mid.nrows();
        self.mid.rows_mut(first, count).copy_from(&part.mid);
        self.rad.rows_mut(first, count).copy_from(&part.rad);
    }

    fn transpose(&self) -> Ball {
        Ball {
            mid: self.mid.transpose(),
            rad: self.rad.transpose(),
        }
    }

    fn is_exact(&self) -> bool {
        self.rad.iter().all(|&r| r == 0.0)
    }

    /// The product, by the formula at the head of this file.
    pub(super) fn times(&self, B: &Ball) -> Ball {
        let k = self.mid.ncols();
        let mid = times(&self.mid, &B.mid);
        let gamma = gamma_up(k);
        let size = B.mid.abs();
        let mut rad = if B.is_exact() {
            // (Ar + gamma |Am|) |Bm|.
            times(
                &self.mid.zip_map(&self.rad, |m, r| gamma * m.abs() + r),
                &size,
            )
        } else {
            // |Am| (Br + gamma |Bm|), then Ar (|Bm| + Br).
            let mut rad = times(&self.mid.abs(), &(&B.rad + &size * gamma));
            if !self.is_exact() {
                rad += times(&self.rad, &(size + &B.rad));
            }
            rad
        };
        // k 2^-1073 is covered by the 2^-1022 that up() adds.
        rad.iter_mut().for_each(|r| *r = up(*r, k + 8));
        Ball { mid, rad }
    }

    /// Upper bound of |row i of the midpoint|.
    fn row_norm(&self, i: usize) -> f64 {
        norm_up(self.mid.row(i).iter().copied())
    }

    /// Upper bound of |row i of the radius|.
    fn row_radius(&self, i: usize) -> f64 {
        norm_up(self.rad.row(i).iter().copied())
    }

    /// Intervals from 0 to an upper bound of |row i|, for every row i. Entries are read column by column, as they are
    /// stored. A term (|mid| + rad)^2 is rounded three times, then once for each sum.
    fn row_norms(&self) -> Vec<Interval> {
        let mut squares = vec![0.0; self.mid.nrows()];
        for (mid, rad) in self.mid.column_iter().zip(self.rad.column_iter()) {
            for (sum, (mid, rad)) in squares.iter_mut().zip(mid.iter().zip(&rad)) {
                let x = mid.abs() + rad;
                *sum += x * x;
            }
        }
        let bound = |sum| sqrt_up(up(sum, self.mid.ncols() + 3));
        let bounds = squares.into_iter().map(bound);
        bounds.map(|x| Interval::new(0.0, x)).collect()
    }
}

impl HeadBall {
    pub(super) fn new(instance: &Instance, X: &Ball, h: usize) -> Self {
        let Dims { N, n, D, p, .. } = instance.dims();
        let W = instance.W();
        let [Q, K, V, O] = [&W.Q[h], &W.K[h], &W.V[h], &W.O[h]].map(|w| Ball::exact(w.clone()));
        let q = X.times(&Q);
        let kappa = X.times(&K);
        let u = X.times(&V.times(&O));
        let mut head = HeadBall {
            q,
            kappa,
            u,
            S: Ball::zeros(N * n, n),
            SX: Ball::zeros(N * n, D),
            output: Ball::zeros(N * n, p),
        };
        for i in 0..N {
            let S = match instance.kernel() {
                Kernel::Softmax => head.softmax(i * n, n),
                Kernel::Gaussian => head.gaussian(i * n, n),
            };
            let x = Ball::exact(instance.X()[i].clone());
            head.SX.put_rows(i * n, &S.times(&x));
            head.output
                .put_rows(i * n, &S.times(&head.u.rows(i * n, n)));
            head.S.put_rows(i * n, &S);
        }
        head
    }

    /// sqrt(d).
    fn root_d(&self) -> Interval {
        Interval::from_f64(self.q.mid.ncols() as f64).sqrt()
    }

    /// Softmax weights of the n tokens from `first` on. Row k: with (y_j, r_j) around e^(C_kj - top), Y and R around their sum,
    /// |e_j / sum - y_j / Y| <= (r_j + y_j / Y R) / (Y - R).
    pub(super) fn softmax(&self, first: usize, n: usize) -> Ball {
        let scale = Interval::from_f64(1.0) / self.root_d();
        let mut S = self
            .q
            .rows(first, n)
            .times(&self.kappa.rows(first, n).transpose());
        let mut powers = Vec::with_capacity(n);
        for k in 0..n {
            let top = S.mid.row(k).max();
            powers.clear();
            powers.extend((0..n).map(|j| {
                let shifted = S.mid[(k, j)] - top;
                let error = S.rad[(k, j)] + U * shifted.abs();
                power(shifted, error, scale)
            }));
            let (mut sum, mut radius) = (0.0, 0.0);
            for (y, r) in &powers {
                sum += y;
                radius += r;
            }
            // The sum is off by at most gamma_(n-1) Y, and Y <= sum (1 + 2 gamma_n), which up() covers.
            let radius = up(radius + gamma_up(n - 1) * sum, 2 * n + 4);
            let least = add_down(sum, -radius);
            for (j, (y, r)) in powers.iter().enumerate() {
                let share = y / sum;
                // A `least` that is not above 0 says nothing about the weight, and neither does what overflowed.
                let error = up((r + share * radius) / least + U * share, 8);
                let known = least > 0.0 && share.is_finite();
                S.mid[(k, j)] = if known { share } else { 0.0 };
                S.rad[(k, j)] = if known { error } else { f64::INFINITY };
            }
        }
        S
    }

    /// Gaussian weights of the n tokens from `first` on.
    pub(super) fn gaussian(&self, first: usize, n: usize) -> Ball {
        let d = self.q.mid.ncols();
        let scale = Interval::from_f64(-1.0) / (self.root_d() + self.root_d());
        let [q, kappa] = [&self.q, &self.kappa].map(|b| b.rows(first, n).transpose());
        let gamma = gamma_up(d + 1);
        let mut S = Ball::zeros(n, n);
        for k in 0..n {
            let (q, rq) = (q.mid.column(k), q.rad.column(k));
            for j in 0..n {
                let (kappa, rk) = (kappa.mid.column(j), kappa.rad.column(j));
                // Four sums of each, so that no addition waits for the one before it.
                let (mut squares, mut errors) = ([0.0; 4], [0.0; 4]);
                for a in 0..d {
                    let w = q[a] - kappa[a];
                    let delta = rq[a] + rk[a] + U * w.abs();
                    squares[a % 4] += w * w;
                    errors[a % 4] += (2.0 * w.abs() + delta) * delta;
                }
                let square: f64 = squares.iter().sum();
                let error = errors.iter().sum::<f64>() + gamma * square;
                let (y, r) = power(square, up(error, d + 8), scale);
                (S.mid[(k, j)], S.rad[(k, j)]) = (y, r);
            }
        }
        S
    }

    /// w_aj = S_kj (u_jc - centre) / sqrt(d), m x n.
    pub(super) fn weights(&self, instance: &Instance) -> Ball {
        let Dims { n, p, .. } = instance.dims();
        let root_d = self.root_d();
        let softmax = instance.kernel() == Kernel::Softmax;
        let mut w = Ball::zeros(instance.dims().m(), n);
        for a in 0..w.mid.nrows() {
            let (k, c) = (a / p, a % p);
            let first = k / n * n;
            for j in 0..n {
                let mut u = self.u.at(first + j, c);
                if softmax {
                    u -= self.output.at(k, c);
                }
                w.set(a, j, self.S.at(k, j) * u / root_d);
            }
        }
        w
    }

    /// g_a = sum_j w_aj kappa_j (softmax) or sum_j w_aj (kappa_j - q_k) (Gaussian), m x d.
    pub(super) fn query_gradients(&self, instance: &Instance, w: &Ball) -> Ball {
        let Dims { N, n, d, p, .. } = instance.dims();
        let mut g = Ball::zeros(w.mid.nrows(), d);
        for i in 0..N {
            let weights = w.rows(i * n * p, n * p);
            let kappa = self.kappa.rows(i * n, n);
            if instance.kernel() == Kernel::Softmax {
                g.put_rows(i * n * p, &weights.times(&kappa));
                continue;
            }
            for k in 0..n {
                let mut difference = kappa.clone();
                for a in 0..d {
                    let (q, rq) = (self.q.mid[(i * n + k, a)], self.q.rad[(i * n + k, a)]);
                    for j in 0..n {
                        let w = kappa.mid[(j, a)] - q;
                        difference.mid[(j, a)] = w;
                        difference.rad[(j, a)] = up(kappa.rad[(j, a)] + rq + U * w.abs(), 4);
                    }
                }
                let rows = weights.rows(k * p, p).times(&difference);
                g.put_rows((i * n + k) * p, &rows);
            }
        }
        g
    }

    /// Adds J_K J_K' of this head. `same_x` = X X' is needed for the Gaussian kernel only.
    fn add_key_block(
        &self,
        instance: &Instance,
        (X, same_x): (&DMatrix<f64>, Option<&DMatrix<f64>>),
        x_norms: &[f64],
        w: &Ball,
        sum: &mut GramSum,
    ) {
        let Dims { N, n, D, p, .. } = instance.dims();
        let m = w.mid.nrows();
        let gaussian = same_x.is_some();
        let mut z = Ball::zeros(m, D);
        for i in 0..N {
            let x = Ball::exact(instance.X()[i].clone());
            z.put_rows(i * n * p, &w.rows(i * n * p, n * p).times(&x));
        }
        let (mut q, mut kappa) = (self.q.clone(), self.kappa.clone());
        if gaussian {
            // A common offset drops out of q - kappa; without it less cancels.
            let origin = kappa.mid.row_mean();
            q.shift(&origin);
            kappa.shift(&origin);
        }
        let qa = DMatrix::from_fn(m, q.mid.ncols(), |a, e| q.mid[(a / p, e)]);
        sum.add_entrywise(&gram_lower(&z.mid), &gram_lower(&qa));
        let sizes: Vec<_> = (0..N * n)
            .map(|k| (kappa.row_norm(k), kappa.row_radius(k)))
            .collect();
        for a in 0..m {
            let (zn, zr) = (z.row_norm(a), z.row_radius(a));
            let (qn, qr) = (q.row_norm(a / p), q.row_radius(a / p));
            let (mut size, mut radius) = (zn * qn, zr * (qn + qr) + zn * qr);
            sum.tiny += zn * zn + qn * qn;
            if gaussian {
                let first = a / (n * p) * n;
                for j in 0..n {
                    let (kn, kr) = sizes[first + j];
                    let (wm, wr) = (w.mid[(a, j)].abs(), w.rad[(a, j)]);
                    let x = x_norms[first + j];
                    size += wm * x * kn;
                    radius += x * (wr * (kn + kr) + wm * kr);
                    sum.tiny += (wm * wm + 1.0) * (1.0 + x * x + kn * kn + zn * zn + qn * qn);
                }
            }
            sum.row(up(size, 3 * n + 8), up(radius, 4 * n + 8));
        }
        let Some(same_x) = same_x else {
            return;
        };
        // <z_a (x) q_a, sum_l w_bl x_l (x) kappa_l>, then the same with a and b exchanged.
        let mut cross = times(&z.mid, &X.transpose());
        cross.component_mul_assign(&times(&qa, &kappa.mid.transpose()));
        let cross = weigh_columns(&cross, &w.mid, n, p);
        let mut tokens = times(&kappa.mid, &kappa.mid.transpose());
        tokens.component_mul_assign(same_x);
        let half = weigh_columns(&tokens, &w.mid, n, p);
        let square = weigh_columns(&half.transpose(), &w.mid, n, p);
        for b in 0..m {
            for a in b..m {
                sum.G[(a, b)] += square[(a, b)] - cross[(a, b)] - cross[(b, a)];
            }
        }
    }
}

impl Ball {
    /// Subtracts a row from every row.
    fn shift(&mut self, origin: &nalgebra::RowDVector<f64>) {
        for a in 0..self.mid.ncols() {
            for k in 0..self.mid.nrows() {
                let x = self.mid[(k, a)] - origin[a];
                self.mid[(k, a)] = x;
                self.rad[(k, a)] = up(self.rad[(k, a)] + U * x.abs(), 3);
            }
        }
    }
}

/// (y, r) such that |e^(x scale) - y| <= r for every x within `error` of `x`: |x s - fl(xm sm)| <= error (|sm| + rs) +
/// |xm| rs + u |xm sm|.
fn power(x: f64, error: f64, scale: Interval) -> (f64, f64) {
    let (s, rs) = scale.mid_radius();
    let mid = x * s;
    let delta = up(error * (s.abs() + rs) + x.abs() * rs + U * mid.abs(), 8);
    exp_ball(mid, delta)
}

/// F w' for w block-diagonal over samples: column b of the result is sum_j w_bj F[:, (i(b), j)].
fn weigh_columns(F: &DMatrix<f64>, w: &DMatrix<f64>, n: usize, p: usize) -> DMatrix<f64> {
    let mut out = DMatrix::zeros(F.nrows(), w.nrows());
    let columns = out.as_mut_slice().par_chunks_mut(F.nrows().max(1));
    columns.enumerate().for_each(|(b, column)| {
        let first = b / (n * p) * n;
        for j in 0..n {
            let f = F.column(first + j);
            for (o, f) in column.iter_mut().zip(f.iter()) {
                *o += w[(b, j)] * f;
            }
        }
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Init;

    /// Where |W^O_h| are equal, sigma_min(B) through the value block and by itself enclose the same number.
    #[test]
    fn sigma_min_of_B_is_the_same_through_the_value_block() {
        let dims = Dims {
            N: 2,
            n: 4,
            D: 8,
            d: 4,
            H: 3,
            p: 1,
        };
        for kernel in [Kernel::Softmax, Kernel::Gaussian] {
            for seed in 0..20 {
                let init = Init::Lazy { omega: 37.0 };
                let instance = Instance::random(dims, kernel, init, seed).unwrap();
                let enclosure = Enclosure::new(&instance, Trained::QKV);
                let (B, radius) = enclosure.B();
                let itself = sigma_min(view(&B), radius).unwrap();
                let through = enclosure.sigma_min_B_by_values().unwrap();
                assert!(through.lo() <= itself.hi() && itself.lo() <= through.hi());
                assert!(through.hi() < through.lo() * (1.0 + 1e-8), "{through:?}");
                // Unequal norms say nothing sharp.
                let mut W = instance.W().clone();
                W.O[1] *= 2.0;
                let instance = instance.with_weights(W).unwrap();
                let enclosure = Enclosure::new(&instance, Trained::QKV);
                assert!(enclosure.sigma_min_B_by_values().is_none());
            }
        }
    }
}
