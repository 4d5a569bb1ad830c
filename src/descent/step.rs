//! The fast path of exact gradient descent.

use super::kernels::{self, Buffer, Chunk, Evaluated, Panels, Scratch, Shape};
use crate::model::Trained;
use crate::problem::{Dims, Instance, Weights};
use gdcert_base::simd::double::Simd;
use gdcert_base::simd::{Isa, Op};
use nalgebra::DMatrix;
use rayon::prelude::*;
use std::ops::Range;

/// How the work is cut; only sizes decide, never the number of threads.
#[derive(Clone, Copy)]
struct Cut {
    /// Tokens of a chunk, about: its X, and a head's features on it, stay in a core's second cache.
    chunk_tokens: usize,
    /// Heads are split along the samples until there are this many units of work for the threads ...
    units: usize,
    /// ... but not into units below this many multiply-adds.
    unit_work: usize,
    /// A step below this many multiply-adds runs on the calling thread: waking others costs more.
    parallel_work: usize,
}

const CUT: Cut = Cut {
    chunk_tokens: 128,
    units: 16,
    unit_work: 1 << 20,
    parallel_work: 1 << 20,
};

/// Exact gradient descent on the trained blocks, vectorised and on all threads.
///
/// One step is [`evaluate`](Self::evaluate), which gives f and its gradient at the current point,
/// and [`step`](Self::step), which moves the point.
///
/// The formulas are those of [`crate::model`], ordered to do little work: with
/// v_h = W^V_h W^O_h (D x p) the values are u = X v_h, and the gradient of W^V_h is
/// (sum_i X_i' S_ih' r_i) W^O_h', of rank p. With
/// A_kj = sum_c r_kc S_kj (u_jc - \[softmax\] out_kc) / sqrt(d), where out = S u,
/// - softmax: dq = A kappa, dkappa = A' q;
/// - Gaussian: dq_k = (A kappa)_k - q_k sum_j A_kj, dkappa_j = (A' q)_j - kappa_j sum_k A_kj;
///
/// and the gradients of W^Q and W^K are X' dq and X' dkappa. Blocks that are not trained are
/// neither differentiated nor projected again.
///
/// After construction nothing allocates in `evaluate` and `step` (on several threads rayon's queues
/// may, rarely). Work is cut independently of the number of threads and sums have a fixed order: the
/// same processor gives the same bits with any number of threads. Instruction sets (AVX-512, AVX2,
/// portable; the best one is found at run time) differ by rounding.
///
/// ```
/// use gdcert::{descent::Stepper, Dims, Init, Instance, Kernel, Trained};
/// let dims = Dims { N: 2, n: 3, D: 4, d: 2, H: 2, p: 1 };
/// let instance = Instance::random(dims, Kernel::Gaussian, Init::Lecun, 7)?;
/// let mut stepper = Stepper::new(&instance, Trained::QKV);
/// let f0 = stepper.evaluate();
/// stepper.step(0.01);
/// assert!(stepper.evaluate() < f0);
/// # Ok::<(), gdcert::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Stepper {
    isa: Isa,
    dims: Dims,
    shape: Shape,
    chunks: Vec<Chunk>,
    heads: Vec<Head>,
    y: Vec<f64>,
    r: Vec<f64>,
    /// Blocks Q, K, V that moved since the features were last computed.
    changed: [bool; 3],
    parallel: bool,
}

/// A head's weights, and its units of work.
#[derive(Clone, Debug)]
struct Head {
    /// Rows W^Q' (d), W^K' (d), (W^V W^O)' (p): features x D.
    weights: Buffer,
    /// W^V', d x D.
    value: Buffer,
    /// `weights` and `value` at M_0.
    start: [Buffer; 2],
    /// W^O, d x p by rows.
    W_O: Vec<f64>,
    /// Gradient of W^V', d x D.
    d_value: Buffer,
    units: Vec<Unit>,
    /// Squared Frobenius norms of the blocks Q, K, V: weights, displacement, gradient.
    squares: [f64; 3],
    moved: [f64; 3],
    gradient: [f64; 3],
}

/// One head on some of the chunks.
#[derive(Clone, Debug)]
struct Unit {
    chunks: Range<usize>,
    evaluated: Vec<Evaluated>,
    scratch: Scratch,
    /// Rows as `Head::weights`; the first unit's becomes the whole head's.
    gradient: Buffer,
}

impl Stepper {
    /// At the instance's weights M_0. Call [`evaluate`](Self::evaluate) next.
    pub fn new(instance: &Instance, trained: Trained) -> Stepper {
        Stepper::with(Isa::best(), CUT, instance, trained)
    }

    fn with(isa: Isa, cut: Cut, instance: &Instance, trained: Trained) -> Stepper {
        let dims = instance.dims();
        let Dims { N, n, D, d, H, p } = dims;
        let together = (cut.chunk_tokens / n).clamp(1, N);
        let tokens = together * n;
        let shape = Shape {
            kernel: instance.kernel(),
            trained,
            n,
            D,
            d,
            p,
            weights: kernels::stride(D),
            tokens: kernels::stride(kernels::padded(tokens).max(tokens - n + kernels::padded(n))),
            scores: kernels::stride(n),
        };
        let chunks: Vec<_> = (0..N)
            .step_by(together)
            .map(|first| pack(instance, first..N.min(first + together)))
            .collect();
        // Multiply-adds of one head: four products with X, and the scores and their derivatives.
        let work = N * n * d * (4 * D + 4 * n);
        let parts = cut
            .units
            .div_ceil(H)
            .min(work / cut.unit_work)
            .clamp(1, chunks.len());
        let heads = (0..H)
            .map(|h| Head::new(isa, &shape, &chunks, parts, instance.W(), h))
            .collect();
        let y = instance
            .y()
            .iter()
            .flat_map(|y| y.transpose().as_slice().to_vec())
            .collect();
        Stepper {
            isa,
            dims,
            shape,
            chunks,
            heads,
            y,
            r: vec![0.0; dims.m()],
            changed: [true; 3],
            parallel: work.saturating_mul(H) >= cut.parallel_work,
        }
    }

    /// The loss f at the current weights; also forms the gradient of the trained blocks.
    ///
    /// Not finite once the iteration has diverged.
    pub fn evaluate(&mut self) -> f64 {
        let Stepper {
            isa,
            ref shape,
            ref chunks,
            parallel,
            changed,
            ..
        } = *self;
        each(parallel, &mut self.heads, |head| {
            let weights = &head.weights;
            each(parallel, &mut head.units, |unit| {
                isa.run(Forward {
                    shape,
                    chunks: &chunks[unit.chunks.clone()],
                    weights,
                    changed,
                    evaluated: &mut unit.evaluated,
                });
            });
        });
        self.changed = shape.trained.flags();
        subtract_labels(&self.heads, shape, chunks, &self.y, &mut self.r);
        let r = &self.r;
        each(parallel, &mut self.heads, |head| {
            each(parallel, &mut head.units, |unit| {
                isa.run(Backward {
                    shape,
                    chunks: &chunks[unit.chunks.clone()],
                    r,
                    unit,
                });
            });
            isa.run(Collect { shape, head });
        });
        0.5 * square(r)
    }

    /// M <- M - eta gradient, with the gradient of the last [`evaluate`](Self::evaluate); trained
    /// blocks only.
    pub fn step(&mut self, eta: f64) {
        let Stepper { isa, ref shape, .. } = *self;
        each(self.parallel, &mut self.heads, |head| {
            isa.run(Move { shape, head, eta });
        });
    }

    /// Frobenius norms of the blocks Q, K, V of the last gradient; NaN for a block that is not
    /// trained, and before the first [`evaluate`](Self::evaluate).
    pub fn grad_norms(&self) -> [f64; 3] {
        self.norms_over_heads(|head| head.gradient)
    }

    /// How far the blocks Q, K, V are from M_0, in the Frobenius norm.
    pub fn moved(&self) -> [f64; 3] {
        self.norms_over_heads(|head| head.moved)
    }

    fn norms_over_heads(&self, squares: impl Fn(&Head) -> [f64; 3]) -> [f64; 3] {
        let mut sum = [0.0; 3];
        for head in &self.heads {
            for (sum, square) in sum.iter_mut().zip(squares(head)) {
                *sum += square;
            }
        }
        sum.map(f64::sqrt)
    }

    /// |W^Q_h|_F, |W^K_h|_F, |W^V_h|_F of every head h at the current weights.
    pub fn block_norms(&self) -> impl Iterator<Item = [f64; 3]> + '_ {
        self.heads.iter().map(|head| head.squares.map(f64::sqrt))
    }

    /// The residuals of the last [`evaluate`](Self::evaluate); (i, k, c) has index (i n + k) p + c.
    pub fn residual(&self) -> &[f64] {
        &self.r
    }

    /// The current weights.
    pub fn weights(&self) -> Weights {
        let Dims { D, d, p, .. } = self.dims;
        let stride = self.shape.weights;
        let transposed =
            |x: &[f64], first: usize| DMatrix::from_fn(D, d, |e, a| x[(first + a) * stride + e]);
        let heads = || self.heads.iter();
        Weights {
            Q: heads().map(|h| transposed(&h.weights, 0)).collect(),
            K: heads().map(|h| transposed(&h.weights, d)).collect(),
            V: heads().map(|h| transposed(&h.value, 0)).collect(),
            O: heads()
                .map(|h| DMatrix::from_row_slice(d, p, &h.W_O))
                .collect(),
        }
    }

    /// The instruction set found at run time: `AVX-512`, `AVX2` or `portable`.
    pub fn instruction_set(&self) -> &'static str {
        self.isa.name()
    }

    /// B(M) of the last [`evaluate`](Self::evaluate), N n x H D: row block i is
    /// (S_i1 X_i, ..., S_iH X_i).
    pub fn B(&self) -> DMatrix<f64> {
        let Dims { N, n, D, H, .. } = self.dims;
        let mut B = DMatrix::zeros(N * n, H * D);
        for (h, head) in self.heads.iter().enumerate() {
            for (chunk, evaluated) in head.evaluated(&self.chunks) {
                for (i, St) in evaluated
                    .samples(&self.shape)
                    .take(chunk.samples)
                    .enumerate()
                {
                    let token = i * n;
                    for e in 0..D {
                        let mut column = B.column_mut(h * D + e);
                        let column = &mut column.as_mut_slice()[chunk.first + token..][..n];
                        for (j, S_j) in St.chunks(self.shape.scores).enumerate() {
                            let x = chunk.X.entry(token + j, e);
                            for (b, S_kj) in column.iter_mut().zip(S_j) {
                                *b += S_kj * x;
                            }
                        }
                    }
                }
            }
        }
        B
    }
}

/// f(item) for every item, on rayon's threads or on this one.
pub(super) fn each<T: Send>(parallel: bool, items: &mut [T], f: impl Fn(&mut T) + Send + Sync) {
    if parallel && items.len() > 1 {
        items.par_iter_mut().with_max_len(1).for_each(f);
    } else {
        items.iter_mut().for_each(f);
    }
}

fn pack(instance: &Instance, samples: Range<usize>) -> Chunk {
    let Dims { n, D, .. } = instance.dims();
    let tokens = samples.len() * n;
    let entry = |token: usize, e: usize| instance.X()[samples.start + token / n][(token % n, e)];
    Chunk {
        samples: samples.len(),
        first: samples.start * n,
        Xt: Panels::pack(D, tokens, |e, token| entry(token, e)),
        X: Panels::pack(tokens, D, entry),
    }
}

/// r = sum_h out_h - y, heads in order.
fn subtract_labels(heads: &[Head], shape: &Shape, chunks: &[Chunk], y: &[f64], r: &mut [f64]) {
    r.fill(0.0);
    let p = shape.p;
    for head in heads {
        for (chunk, evaluated) in head.evaluated(chunks) {
            let r = &mut r[chunk.first * p..][..chunk.samples * shape.n * p];
            for (c, out) in evaluated.out.chunks(shape.tokens).enumerate() {
                for (r, out) in r[c..].iter_mut().step_by(p).zip(out) {
                    *r += out;
                }
            }
        }
    }
    for (r, y) in r.iter_mut().zip(y) {
        *r -= y;
    }
}

/// |x|^2, summed in eight interleaved parts.
fn square(x: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    for x in x.chunks(8) {
        for (sum, x) in sums.iter_mut().zip(x) {
            *sum += x * x;
        }
    }
    sums.iter().sum()
}

impl Head {
    fn new(isa: Isa, shape: &Shape, chunks: &[Chunk], parts: usize, W: &Weights, h: usize) -> Head {
        let Shape { D, d, .. } = *shape;
        let mut weights = Buffer::zeros(shape.features() * shape.weights);
        let mut value = Buffer::zeros(d * shape.weights);
        for a in 0..d {
            for e in 0..D {
                weights[a * shape.weights + e] = W.Q[h][(e, a)];
                weights[(d + a) * shape.weights + e] = W.K[h][(e, a)];
                value[a * shape.weights + e] = W.V[h][(e, a)];
            }
        }
        let samples = chunks.iter().map(|c| c.samples).max().unwrap_or(1);
        let units = (0..parts)
            .map(|part| {
                let chunks = part * chunks.len() / parts..(part + 1) * chunks.len() / parts;
                Unit {
                    evaluated: vec![Evaluated::new(shape, samples); chunks.len()],
                    chunks,
                    scratch: Scratch::new(shape),
                    gradient: Buffer::zeros(shape.features() * shape.weights),
                }
            })
            .collect();
        let mut head = Head {
            start: [weights.clone(), value.clone()],
            weights,
            d_value: Buffer::zeros(value.len()),
            value,
            W_O: W.O[h].transpose().as_slice().to_vec(),
            units,
            squares: [f64::NAN; 3],
            moved: [0.0; 3],
            gradient: [f64::NAN; 3],
        };
        isa.run(Prepare {
            shape,
            head: &mut head,
        });
        head
    }

    /// Every chunk with what the head made of it, in order.
    fn evaluated<'a>(
        &'a self,
        chunks: &'a [Chunk],
    ) -> impl Iterator<Item = (&'a Chunk, &'a Evaluated)> {
        let evaluated = self.units.iter().flat_map(|unit| &unit.evaluated);
        chunks.iter().zip(evaluated)
    }
}

/// [`kernels::forward`] on a unit's chunks.
struct Forward<'a> {
    shape: &'a Shape,
    chunks: &'a [Chunk],
    weights: &'a [f64],
    changed: [bool; 3],
    evaluated: &'a mut [Evaluated],
}

impl Op for Forward<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for (chunk, evaluated) in self.chunks.iter().zip(self.evaluated) {
            kernels::forward(s, self.shape, chunk, self.weights, self.changed, evaluated);
        }
    }
}

/// [`kernels::backward`] on a unit's chunks: the unit's part of the gradient.
struct Backward<'a> {
    shape: &'a Shape,
    chunks: &'a [Chunk],
    r: &'a [f64],
    unit: &'a mut Unit,
}

impl Op for Backward<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Unit {
            evaluated,
            scratch,
            gradient,
            ..
        } = self.unit;
        for (c, chunk) in self.chunks.iter().enumerate() {
            kernels::backward(
                s,
                self.shape,
                chunk,
                &evaluated[c..],
                self.r,
                scratch,
                (gradient, c > 0),
            );
        }
    }
}

/// The head's gradient from its units' parts, and its norms.
struct Collect<'a> {
    shape: &'a Shape,
    head: &'a mut Head,
}

impl Op for Collect<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Collect { shape, head } = self;
        let (first, others) = head.units.split_first_mut().expect("a head has a unit");
        for unit in others {
            kernels::accumulate(s, &mut first.gradient, &unit.gradient);
        }
        let (query, key, value) = shape.blocks(&first.gradient);
        let [train_q, train_k, train_v] = shape.trained.flags();
        if train_q {
            head.gradient[0] = kernels::square(s, query);
        }
        if train_k {
            head.gradient[1] = kernels::square(s, key);
        }
        if train_v {
            kernels::spread_value(s, shape, &head.W_O, value, &mut head.d_value);
            head.gradient[2] = kernels::square(s, &head.d_value);
        }
    }
}

/// The head's weights moved against its gradient.
struct Move<'a> {
    shape: &'a Shape,
    head: &'a mut Head,
    eta: f64,
}

impl Op for Move<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Move { shape, head, eta } = self;
        let (w_q, w_k, _) = shape.blocks_mut(&mut head.weights);
        let (g_q, g_k, _) = shape.blocks(&head.units[0].gradient);
        let (start_q, start_k, _) = shape.blocks(&head.start[0]);
        for (b, w, g, start) in [
            (0, w_q, g_q, start_q),
            (1, w_k, g_k, start_k),
            (2, &mut *head.value, &*head.d_value, &*head.start[1]),
        ] {
            if shape.trained.flags()[b] {
                [head.squares[b], head.moved[b]] = kernels::descend(s, w, g, eta, start);
            }
        }
        if shape.trained.v() {
            let (_, _, v) = shape.blocks_mut(&mut head.weights);
            kernels::gather_value(s, shape, &head.W_O, &head.value, v);
        }
    }
}

/// What [`Move`] keeps up to date, for the first time.
struct Prepare<'a> {
    shape: &'a Shape,
    head: &'a mut Head,
}

impl Op for Prepare<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Prepare { shape, head } = self;
        let (q, k, v) = shape.blocks_mut(&mut head.weights);
        head.squares = [&*q, &*k, &*head.value].map(|block| kernels::square(s, block));
        kernels::gather_value(s, shape, &head.W_O, &head.value, v);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{self, Kernel};
    use crate::problem::Init;
    use proptest::prelude::*;

    /// Cuts even tiny instances into several chunks and units.
    const FINE: Cut = Cut {
        chunk_tokens: 7,
        units: 5,
        unit_work: 1,
        parallel_work: 0,
    };

    const SUBSETS: [&str; 7] = ["Q", "K", "V", "QK", "QV", "KV", "QKV"];

    fn trained(subset: usize) -> Trained {
        SUBSETS[subset].parse().unwrap()
    }

    /// The gradient of the last evaluate; zero for blocks that are not trained.
    fn gradient(stepper: &Stepper) -> [Vec<DMatrix<f64>>; 3] {
        let Dims { D, d, .. } = stepper.dims;
        let stride = stepper.shape.weights;
        let block = |b: usize| {
            let of_head = |head: &Head| match b {
                2 => DMatrix::from_fn(D, d, |e, a| head.d_value[a * stride + e]),
                _ => DMatrix::from_fn(D, d, |e, a| {
                    head.units[0].gradient[(b * d + a) * stride + e]
                }),
            };
            stepper.heads.iter().map(of_head).collect()
        };
        [block(0), block(1), block(2)]
    }

    fn norm<'a>(blocks: impl IntoIterator<Item = &'a DMatrix<f64>>) -> f64 {
        blocks
            .into_iter()
            .map(|b| b.norm_squared())
            .sum::<f64>()
            .sqrt()
    }

    fn distance(a: &[DMatrix<f64>], b: &[DMatrix<f64>]) -> f64 {
        let difference: Vec<_> = a.iter().zip(b).map(|(a, b)| a - b).collect();
        norm(&difference)
    }

    /// Residual, gradient and norms against the generic formulas, at M_0 and after a step.
    fn agrees_with_the_model(isa: Isa, cut: Cut, instance: &Instance, trained: Trained) {
        let mut stepper = Stepper::with(isa, cut, instance, trained);
        for _ in 0..2 {
            let loss = stepper.evaluate();
            let W = stepper.weights();
            let r = model::residual(instance, &W);
            let g = model::gradient(instance, &W);
            let size = r.iter().map(|r| r * r).sum::<f64>().sqrt();
            let off: f64 = r
                .iter()
                .zip(stepper.residual())
                .map(|(a, b)| (a - b).powi(2))
                .sum();
            assert!(
                off.sqrt() <= 1e-12 * size,
                "{} residual {off:e}",
                isa.name()
            );
            assert!((loss - 0.5 * size * size).abs() <= 1e-12 * loss);
            // Softmax with n = 1 has J_Q = J_K = 0: then only rounding is left, on the scale of g.
            let scale = norm(g.Q.iter().chain(&g.K).chain(&g.V));
            let norms = stepper.grad_norms();
            for (b, (fast, exact)) in gradient(&stepper)
                .iter()
                .zip([&g.Q, &g.K, &g.V])
                .enumerate()
            {
                if trained.flags()[b] {
                    let off = distance(fast, exact);
                    assert!(
                        off <= 1e-12 * scale,
                        "{} block {b}: {off:e} of {scale:e}",
                        isa.name()
                    );
                    assert!((norms[b] - norm(exact)).abs() <= 1e-12 * scale);
                } else {
                    assert!(norms[b].is_nan());
                }
            }
            stepper.step(1e-2 / (1.0 + scale));
        }
        let (W, W_0) = (stepper.weights(), instance.W());
        let blocks = [(&W.Q, &W_0.Q), (&W.K, &W_0.K), (&W.V, &W_0.V)];
        for (b, (w, w_0)) in blocks.into_iter().enumerate() {
            assert_eq!(
                trained.flags()[b],
                w != w_0 || stepper.grad_norms()[b] == 0.0
            );
            let moved = distance(w, w_0);
            assert!((stepper.moved()[b] - moved).abs() <= 1e-12 * moved);
            for (w, norms) in w.iter().zip(stepper.block_norms()) {
                assert!((w.norm() - norms[b]).abs() <= 1e-13 * w.norm());
            }
        }
        assert_eq!(W.O, W_0.O);
    }

    fn instances() -> impl Strategy<Value = Instance> {
        let sizes = (
            1..5usize,
            1..20usize,
            1..20usize,
            1..12usize,
            1..4usize,
            1..4usize,
        );
        (sizes, any::<bool>(), 0..u64::MAX).prop_map(|((N, n, D, d, H, p), softmax, seed)| {
            let kernel = if softmax {
                Kernel::Softmax
            } else {
                Kernel::Gaussian
            };
            Instance::random(Dims { N, n, D, d, H, p }, kernel, Init::Lecun, seed).unwrap()
        })
    }

    proptest! {
        #[test]
        fn every_instruction_set_agrees_with_the_model(instance in instances(), subset in 0..7usize) {
            for isa in Isa::available() {
                agrees_with_the_model(isa, CUT, &instance, trained(subset));
                agrees_with_the_model(isa, FINE, &instance, trained(subset));
            }
        }
    }

    #[test]
    fn sizes_off_the_vector_width_agree_with_the_model() {
        for (N, n, D, d, H, p) in [
            (1, 1, 1, 1, 1, 1),
            (3, 1, 1, 1, 2, 3),
            (2, 17, 33, 9, 2, 2),
            (5, 8, 16, 8, 2, 1),
            (2, 70, 25, 31, 1, 1),
            (9, 16, 40, 32, 3, 1),
        ] {
            for kernel in [Kernel::Softmax, Kernel::Gaussian] {
                let dims = Dims { N, n, D, d, H, p };
                let instance = Instance::random(dims, kernel, Init::Lecun, 3).unwrap();
                for isa in Isa::available() {
                    for subset in 0..7 {
                        agrees_with_the_model(isa, CUT, &instance, trained(subset));
                    }
                }
            }
        }
    }

    fn losses(mut stepper: Stepper, steps: usize, eta: f64) -> Vec<f64> {
        (0..steps)
            .map(|_| {
                let loss = stepper.evaluate();
                stepper.step(eta);
                loss
            })
            .collect()
    }

    fn medium(kernel: Kernel) -> Instance {
        let dims = Dims {
            N: 10,
            n: 13,
            D: 24,
            d: 12,
            H: 2,
            p: 1,
        };
        Instance::random(dims, kernel, Init::Lecun, 5).unwrap()
    }

    #[test]
    fn instruction_sets_differ_by_rounding_only() {
        for kernel in [Kernel::Softmax, Kernel::Gaussian] {
            let run = |isa| {
                losses(
                    Stepper::with(isa, CUT, &medium(kernel), Trained::QKV),
                    20,
                    1e-3,
                )
            };
            let portable = run(Isa::Portable(gdcert_base::simd::Portable));
            for isa in Isa::available() {
                for (a, b) in run(isa).iter().zip(&portable) {
                    assert!((a - b).abs() <= 1e-12 * b, "{} {a} {b}", isa.name());
                }
            }
        }
    }

    #[test]
    fn the_number_of_threads_does_not_change_a_bit() {
        for kernel in [Kernel::Softmax, Kernel::Gaussian] {
            let instance = medium(kernel);
            let run = |threads| {
                let pool = rayon::ThreadPoolBuilder::new()
                    .num_threads(threads)
                    .build()
                    .unwrap();
                pool.install(|| {
                    let mut stepper = Stepper::with(Isa::best(), FINE, &instance, Trained::QKV);
                    assert!(stepper.parallel && stepper.heads[0].units.len() > 1);
                    for _ in 0..10 {
                        stepper.evaluate();
                        stepper.step(1e-3);
                    }
                    let loss = stepper.evaluate();
                    (
                        loss,
                        stepper.weights(),
                        stepper.grad_norms(),
                        stepper.residual().to_vec(),
                    )
                })
            };
            let one = run(1);
            assert_eq!(one, run(2));
            assert_eq!(one, run(8));
        }
    }

    #[test]
    fn divergence_shows_in_the_loss() {
        // (The Gaussian with moving W^Q stays finite: queries leave all keys and S becomes 0.)
        for (kernel, subset) in [(Kernel::Softmax, "QKV"), (Kernel::Gaussian, "V")] {
            for isa in Isa::available() {
                let stepper = Stepper::with(isa, CUT, &medium(kernel), subset.parse().unwrap());
                let losses = losses(stepper, 60, 1e60);
                assert!(
                    !losses[59].is_finite(),
                    "{} {kernel} {losses:?}",
                    isa.name()
                );
            }
        }
    }

    #[test]
    fn B_holds_the_attended_inputs() {
        for kernel in [Kernel::Softmax, Kernel::Gaussian] {
            let instance = medium(kernel);
            let Dims { N, n, D, H, .. } = instance.dims();
            let mut stepper = Stepper::with(Isa::best(), FINE, &instance, Trained::QKV);
            stepper.evaluate();
            let B = stepper.B();
            assert_eq!(B.shape(), (N * n, H * D));
            for i in 0..N {
                for h in 0..H {
                    let S = model::Head::new(&instance, instance.W(), i, h).S;
                    let off = B.view((i * n, h * D), (n, D)) - S * &instance.X()[i];
                    assert!(off.norm() < 1e-13);
                }
            }
        }
    }
}
