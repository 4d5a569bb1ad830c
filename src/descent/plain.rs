//! Exact gradient descent in any [`Scalar`], in plain loops: the path of extended precision.

use super::Descent;
use super::step::each;
use crate::model::{Kernel, Trained};
use crate::problem::{Dims, Instance, Weights};
use gdcert_numbers::Scalar;
use nalgebra::DMatrix;
use std::ops::Range;

/// Heads are split along the samples until there are this many units of work for the threads.
const UNITS: usize = 16;

/// Units of work of one head; only sizes decide.
pub(crate) fn units_per_head(dims: Dims) -> usize {
    UNITS.div_ceil(dims.H).min(dims.N)
}

/// A step below this many multiply-adds (a tenth of a millisecond or two in double-double) runs on
/// the calling thread.
const PARALLEL_WORK: usize = 1 << 15;

/// As [`Stepper`](super::Stepper), with the same formulas, but for any [`Scalar`]: weights, gradients
/// and losses all are `T`.
///
/// Only the Gaussian's gradients differ in form: they are sums of A_kj (kappa_j - q_k), which
/// does not cancel. Nothing allocates after construction; the work is cut by sizes
/// alone and sums have a fixed order, so the same bits come out on any number of threads.
#[derive(Clone, Debug)]
pub(crate) struct PlainStepper<T: Scalar> {
    shape: Shape<T>,
    heads: Vec<Head<T>>,
    y: Vec<T>,
    r: Vec<T>,
    /// Blocks Q, K, V that moved since the features were last computed.
    changed: [bool; 3],
    parallel: bool,
}

/// What every head needs to know. All matrices here are stored by rows.
#[derive(Clone, Debug)]
struct Shape<T> {
    dims: Dims,
    kernel: Kernel,
    trained: Trained,
    root_d: T,
    /// Tokens of all samples, N n x D.
    X: Vec<T>,
}

#[derive(Clone, Debug)]
struct Head<T> {
    /// W^Q, W^K, W^V, each D x d, and the same at M_0.
    W: [Vec<T>; 3],
    start: [Vec<T>; 3],
    /// d x p.
    W_O: Vec<T>,
    /// W^V W^O, D x p.
    v: Vec<T>,
    /// Of W^Q, W^K, W^V.
    gradient: [Vec<T>; 3],
    units: Vec<Unit<T>>,
}

/// One head on some of the samples; rows belong to their tokens.
#[derive(Clone, Debug)]
struct Unit<T> {
    samples: Range<usize>,
    q: Vec<T>,
    kappa: Vec<T>,
    u: Vec<T>,
    S: Vec<T>,
    out: Vec<T>,
    /// d f / d scores of one query, n.
    A: Vec<T>,
    /// d f / d q, d f / d kappa, d f / d u.
    dq: Vec<T>,
    dkappa: Vec<T>,
    du: Vec<T>,
    /// X' dq, X' dkappa (D x d) and X' du (D x p).
    gradient: [Vec<T>; 3],
}

fn zero<T: Scalar>() -> T {
    T::from_f64(0.0)
}

fn zeros<T: Scalar>(len: usize) -> Vec<T> {
    vec![zero(); len]
}

/// c = a b, where `a` has rows of length `inner` and `c` rows of length `cols`.
fn multiply<T: Scalar>(a: &[T], b: &[T], inner: usize, cols: usize, c: &mut [T]) {
    for (a, c) in a.chunks_exact(inner).zip(c.chunks_exact_mut(cols)) {
        c.fill(zero());
        for (&a, b) in a.iter().zip(b.chunks_exact(cols)) {
            for (c, &b) in c.iter_mut().zip(b) {
                *c += a * b;
            }
        }
    }
}

/// c = a' b, where `a` and `b` have rows of these lengths.
fn multiply_transposed<T: Scalar>(a: &[T], b: &[T], (inner, cols): (usize, usize), c: &mut [T]) {
    c.fill(zero());
    for (a, b) in a.chunks_exact(inner).zip(b.chunks_exact(cols)) {
        for (&a, c) in a.iter().zip(c.chunks_exact_mut(cols)) {
            for (c, &b) in c.iter_mut().zip(b) {
                *c += a * b;
            }
        }
    }
}

/// Sum of squares in f64: norms are reported, not iterated on.
fn square<T: Scalar>(x: impl Iterator<Item = T>) -> f64 {
    x.map(|x| x.value() * x.value()).sum()
}

impl<T: Scalar> PlainStepper<T> {
    /// At the instance's weights M_0.
    pub(crate) fn new(instance: &Instance, trained: Trained) -> Self {
        let dims = instance.dims();
        let Dims { N, n, D, d, H, p } = dims;
        let shape = Shape {
            dims,
            kernel: instance.kernel(),
            trained,
            root_d: T::from_f64(d as f64).sqrt(),
            X: instance.X().iter().flat_map(by_rows).collect(),
        };
        PlainStepper {
            heads: (0..H).map(|h| Head::new(&shape, instance.W(), h)).collect(),
            shape,
            y: instance.y().iter().flat_map(by_rows).collect(),
            r: zeros(dims.m()),
            changed: [true; 3],
            parallel: H * N * n * (6 * D * d + 2 * D * p + n * (3 * d + 3 * p)) >= PARALLEL_WORK,
        }
    }

    /// The residuals of the last evaluation.
    pub(crate) fn residual(&self) -> &[T] {
        &self.r
    }

    /// Every trained weight: blocks in the order Q, K, V, then heads, then row by row.
    pub(crate) fn weights(&self) -> impl Iterator<Item = &T> {
        let trained = self.shape.trained.flags();
        let blocks = (0..3).filter(move |&b| trained[b]);
        blocks.flat_map(|b| self.heads.iter().flat_map(move |head| &head.W[b]))
    }

    /// Changes every trained weight, in that order.
    pub(crate) fn change(&mut self, mut f: impl FnMut(&mut T)) {
        let trained = self.shape.trained.flags();
        let Dims { d, p, .. } = self.shape.dims;
        for b in (0..3).filter(|&b| trained[b]) {
            for head in &mut self.heads {
                head.W[b].iter_mut().for_each(&mut f);
            }
        }
        if trained[2] {
            for head in &mut self.heads {
                multiply(&head.W[2], &head.W_O, d, p, &mut head.v);
            }
        }
    }

    fn over_heads(&self, square: impl Fn(&Head<T>, usize) -> f64) -> [f64; 3] {
        [0, 1, 2].map(|b| {
            let squares = self.heads.iter().map(|head| square(head, b));
            squares.sum::<f64>().sqrt()
        })
    }
}

impl<T: Scalar> Descent for PlainStepper<T> {
    fn evaluate(&mut self) -> f64 {
        let PlainStepper {
            ref shape,
            parallel,
            changed,
            ..
        } = *self;
        each(parallel, &mut self.heads, |head| {
            let Head { W, v, units, .. } = head;
            each(parallel, units, |unit| unit.forward(shape, W, v, changed));
        });
        self.changed = shape.trained.flags();
        self.r.fill(zero());
        for head in &self.heads {
            let out = head.units.iter().flat_map(|unit| &unit.out);
            for (r, &out) in self.r.iter_mut().zip(out) {
                *r += out;
            }
        }
        let mut sum: T = zero();
        for (r, &y) in self.r.iter_mut().zip(&self.y) {
            *r -= y;
            sum += *r * *r;
        }
        let r = &self.r;
        each(parallel, &mut self.heads, |head| {
            each(parallel, &mut head.units, |unit| unit.backward(shape, r));
            head.collect(shape);
        });
        (sum * T::from_f64(0.5)).value()
    }

    fn step(&mut self, eta: f64) {
        let eta = T::from_f64(eta);
        let Dims { d, p, .. } = self.shape.dims;
        for head in &mut self.heads {
            for (b, on) in self.shape.trained.flags().into_iter().enumerate() {
                if on {
                    for (w, &g) in head.W[b].iter_mut().zip(&head.gradient[b]) {
                        *w -= eta * g;
                    }
                }
            }
            if self.shape.trained.v() {
                multiply(&head.W[2], &head.W_O, d, p, &mut head.v);
            }
        }
    }

    fn grad_norms(&self) -> [f64; 3] {
        let flags = self.shape.trained.flags();
        self.over_heads(|head, b| {
            if flags[b] {
                square(head.gradient[b].iter().copied())
            } else {
                f64::NAN
            }
        })
    }

    fn moved(&self) -> [f64; 3] {
        self.over_heads(|head, b| {
            square(head.W[b].iter().zip(&head.start[b]).map(|(&w, &s)| w - s))
        })
    }

    fn block_norms(&self) -> impl Iterator<Item = [f64; 3]> {
        let norm = |w: &Vec<T>| square(w.iter().copied()).sqrt();
        self.heads
            .iter()
            .map(move |head| [0, 1, 2].map(|b| norm(&head.W[b])))
    }

    fn B(&self) -> DMatrix<f64> {
        let Dims { n, D, H, .. } = self.shape.dims;
        let mut B = DMatrix::zeros(self.shape.dims.tokens(), H * D);
        for (h, head) in self.heads.iter().enumerate() {
            let rows = head.units.iter().flat_map(|unit| unit.S.chunks_exact(n));
            for (row, S_k) in rows.enumerate() {
                let X = &self.shape.X[row / n * n * D..][..n * D];
                for (S_kj, x) in S_k.iter().zip(X.chunks_exact(D)) {
                    for (e, x) in x.iter().enumerate() {
                        B[(row, h * D + e)] += S_kj.value() * x.value();
                    }
                }
            }
        }
        B
    }
}

fn by_rows<T: Scalar>(A: &DMatrix<f64>) -> Vec<T> {
    let transposed = A.transpose();
    transposed.iter().map(|&x| T::from_f64(x)).collect()
}

impl<T: Scalar> Head<T> {
    fn new(shape: &Shape<T>, W: &Weights, h: usize) -> Self {
        let parts = units_per_head(shape.dims);
        let Dims { N, n, D, d, p, .. } = shape.dims;
        let unit = |part: usize| {
            let samples = part * N / parts..(part + 1) * N / parts;
            let tokens = samples.len() * n;
            Unit {
                samples,
                q: zeros(tokens * d),
                kappa: zeros(tokens * d),
                u: zeros(tokens * p),
                S: zeros(tokens * n),
                out: zeros(tokens * p),
                A: zeros(n),
                dq: zeros(tokens * d),
                dkappa: zeros(tokens * d),
                du: zeros(tokens * p),
                gradient: [zeros(D * d), zeros(D * d), zeros(D * p)],
            }
        };
        let start = [&W.Q[h], &W.K[h], &W.V[h]].map(by_rows);
        let mut head = Head {
            W: start.clone(),
            start,
            W_O: by_rows(&W.O[h]),
            v: zeros(D * p),
            gradient: [zeros(D * d), zeros(D * d), zeros(D * d)],
            units: (0..parts).map(unit).collect(),
        };
        multiply(&head.W[2], &head.W_O, d, p, &mut head.v);
        head
    }

    /// The head's gradient from its units' parts, in order.
    fn collect(&mut self, shape: &Shape<T>) {
        let Dims { d, p, .. } = shape.dims;
        let (first, others) = self.units.split_first_mut().expect("a head has a unit");
        for unit in others {
            for (sum, part) in first.gradient.iter_mut().zip(&unit.gradient) {
                for (sum, &part) in sum.iter_mut().zip(part) {
                    *sum += part;
                }
            }
        }
        for b in [0, 1] {
            self.gradient[b].copy_from_slice(&first.gradient[b]);
        }
        // (X' du) W^O'.
        let rows = self.gradient[2].chunks_exact_mut(d);
        for (row, dv) in rows.zip(first.gradient[2].chunks_exact(p)) {
            for (g, W_O) in row.iter_mut().zip(self.W_O.chunks_exact(p)) {
                *g = dot(W_O, dv);
            }
        }
    }
}

fn dot<T: Scalar>(a: &[T], b: &[T]) -> T {
    let mut sum = zero();
    for (&a, &b) in a.iter().zip(b) {
        sum += a * b;
    }
    sum
}

impl<T: Scalar> Unit<T> {
    /// Features, attention weights and outputs; only what the blocks that changed make new.
    fn forward(&mut self, shape: &Shape<T>, W: &[Vec<T>; 3], v: &[T], changed: [bool; 3]) {
        let Dims { n, D, d, p, .. } = shape.dims;
        let X = &shape.X[self.samples.start * n * D..self.samples.end * n * D];
        for (b, weights, cols, features) in [
            (0, &*W[0], d, &mut self.q),
            (1, &*W[1], d, &mut self.kappa),
            (2, v, p, &mut self.u),
        ] {
            if changed[b] {
                multiply(X, weights, D, cols, features);
            }
        }
        for i in 0..self.samples.len() {
            let S = &mut self.S[i * n * n..][..n * n];
            if changed[0] || changed[1] {
                let kappa = &self.kappa[i * n * d..][..n * d];
                let q = self.q[i * n * d..][..n * d].chunks_exact(d);
                for (q_k, S_k) in q.zip(S.chunks_exact_mut(n)) {
                    attention(shape, q_k, kappa, S_k);
                }
            }
            let u = &self.u[i * n * p..][..n * p];
            multiply(S, u, n, p, &mut self.out[i * n * p..][..n * p]);
        }
    }

    /// The unit's part of the gradient from the residuals of all samples.
    fn backward(&mut self, shape: &Shape<T>, r: &[T]) {
        let Dims { n, D, d, p, .. } = shape.dims;
        let [train_q, train_k, train_v] = shape.trained.flags();
        let X = &shape.X[self.samples.start * n * D..self.samples.end * n * D];
        let r = &r[self.samples.start * n * p..self.samples.end * n * p];
        if train_v {
            for i in 0..self.samples.len() {
                let S = &self.S[i * n * n..][..n * n];
                let (r, du) = (&r[i * n * p..], &mut self.du[i * n * p..]);
                multiply_transposed(S, &r[..n * p], (n, p), &mut du[..n * p]);
            }
            multiply_transposed(X, &self.du, (D, p), &mut self.gradient[2]);
        }
        if train_q || train_k {
            self.differentiate_scores(shape, r);
        }
        if train_q {
            multiply_transposed(X, &self.dq, (D, d), &mut self.gradient[0]);
        }
        if train_k {
            multiply_transposed(X, &self.dkappa, (D, d), &mut self.gradient[1]);
        }
    }

    /// dq and dkappa, from A_kj = sum_c r_kc S_kj (u_jc - [softmax] out_kc) / sqrt(d).
    fn differentiate_scores(&mut self, shape: &Shape<T>, r: &[T]) {
        let Dims { n, d, p, .. } = shape.dims;
        self.dq.fill(zero());
        self.dkappa.fill(zero());
        // Row `token` of r, out, q, dq, S is query k of sample i; its keys are rows i n .. i n + n.
        for (token, (r_k, S_k)) in r.chunks_exact(p).zip(self.S.chunks_exact(n)).enumerate() {
            let first = token / n * n;
            let q_k = &self.q[token * d..][..d];
            let dq_k = &mut self.dq[token * d..][..d];
            let centre = match shape.kernel {
                Kernel::Softmax => dot(r_k, &self.out[token * p..][..p]),
                Kernel::Gaussian => zero(),
            };
            for ((j, &S_kj), A_kj) in (first..).zip(S_k).zip(&mut self.A) {
                *A_kj = S_kj * (dot(r_k, &self.u[j * p..][..p]) - centre);
            }
            T::divide_all(&mut self.A, shape.root_d);
            for (j, &A_kj) in (first..).zip(&self.A) {
                let kappa_j = &self.kappa[j * d..][..d];
                let dkappa_j = &mut self.dkappa[j * d..][..d];
                let pairs = q_k.iter().zip(kappa_j).zip(dq_k.iter_mut().zip(dkappa_j));
                for ((&q, &kappa), (dq, dkappa)) in pairs {
                    match shape.kernel {
                        Kernel::Softmax => {
                            *dq += A_kj * kappa;
                            *dkappa += A_kj * q;
                        }
                        Kernel::Gaussian => {
                            let step = A_kj * (kappa - q);
                            *dq += step;
                            *dkappa -= step;
                        }
                    }
                }
            }
        }
    }
}

/// One row of S, as [`model::Head`](crate::model::Head) computes it.
fn attention<T: Scalar>(shape: &Shape<T>, q_k: &[T], kappa: &[T], S_k: &mut [T]) {
    let keys = kappa.chunks_exact(q_k.len());
    match shape.kernel {
        Kernel::Gaussian => {
            let scale = shape.root_d + shape.root_d;
            for (s, kappa_j) in S_k.iter_mut().zip(keys) {
                let mut square: T = zero();
                for (&q, &kappa) in q_k.iter().zip(kappa_j) {
                    let w = q - kappa;
                    square += w * w;
                }
                *s = -square;
            }
            T::divide_all(S_k, scale);
            for s in S_k.iter_mut() {
                *s = s.exp();
            }
        }
        Kernel::Softmax => {
            let mut top = f64::NEG_INFINITY;
            for (s, kappa_j) in S_k.iter_mut().zip(keys) {
                *s = dot(q_k, kappa_j);
                top = top.max(s.value());
            }
            for s in S_k.iter_mut() {
                *s -= T::from_f64(top);
            }
            T::divide_all(S_k, shape.root_d);
            let mut sum: T = zero();
            for s in S_k.iter_mut() {
                *s = s.exp();
                sum += *s;
            }
            T::divide_all(S_k, sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::descent::Stepper;
    use crate::model::rounding::{Rounding, block_norms};
    use crate::model::{self, Precision};
    use crate::problem::Init;
    use crate::spectrum::Spectrum;
    use gdcert_numbers::DoubleDouble;
    use gdcert_numbers::oracle::{Big, Oracle, big};
    use proptest::prelude::*;

    type Double = PlainStepper<DoubleDouble>;

    fn trained(subset: usize) -> Trained {
        ["Q", "K", "V", "QK", "QV", "KV", "QKV"][subset]
            .parse()
            .unwrap()
    }

    impl<T: Scalar> PlainStepper<T> {
        fn block(&self, block: impl Fn(&Head<T>) -> &[T]) -> Vec<DMatrix<T>> {
            let Dims { D, d, .. } = self.shape.dims;
            self.heads
                .iter()
                .map(|head| DMatrix::from_fn(D, d, |e, a| block(head)[e * d + a]))
                .collect()
        }

        fn weights_of(&self, instance: &Instance) -> Weights<T> {
            let O = &instance.W().O;
            Weights {
                Q: self.block(|head| &head.W[0]),
                K: self.block(|head| &head.W[1]),
                V: self.block(|head| &head.W[2]),
                O: O.iter().map(|o| o.map(T::from_f64)).collect(),
            }
        }
    }

    /// |a - b|_F and |b|_F.
    fn compare<T: Scalar>(a: &[DMatrix<T>], b: &[DMatrix<T>]) -> (f64, f64) {
        let pairs = || a.iter().flatten().zip(b.iter().flatten());
        (
            square(pairs().map(|(&a, &b)| a - b)).sqrt(),
            square(pairs().map(|(_, &b)| b)).sqrt(),
        )
    }

    /// Residual, gradient and norms against the generic formulas, at M_0 and after two steps.
    fn agrees_with_the_model<T: Scalar>(instance: &Instance, trained: Trained, tolerance: f64) {
        let mut stepper = PlainStepper::<T>::new(instance, trained);
        for _ in 0..3 {
            let loss = stepper.evaluate();
            let W = stepper.weights_of(instance);
            let r = model::residual(instance, &W);
            let size = square(r.iter().copied());
            let off = square(r.iter().zip(&stepper.r).map(|(&a, &b)| a - b)).sqrt();
            assert!(off <= tolerance * size.sqrt(), "residual {off:e}");
            assert!((loss - 0.5 * size).abs() <= 1e-12 * size);

            // Exact zeros (softmax with n = 1) leave rounding on the scale of the whole gradient.
            let g = model::gradient(instance, &W);
            let exact = [g.Q, g.K, g.V];
            let scale: f64 = exact.iter().map(|g| compare(g, g).1).sum();
            for (b, exact) in exact.iter().enumerate() {
                let norm = stepper.grad_norms()[b];
                if trained.flags()[b] {
                    let (off, size) = compare(&stepper.block(|head| &head.gradient[b]), exact);
                    assert!(off <= tolerance * scale, "block {b}: {off:e} of {scale:e}");
                    assert!((norm - size).abs() <= 1e-12 * scale);
                } else {
                    assert!(norm.is_nan());
                }
            }
            stepper.step(1e-2 / (1.0 + scale));
        }
        let (W, W_0) = (stepper.weights_of(instance), instance.W().map(T::from_f64));
        let blocks = [(&W.Q, &W_0.Q), (&W.K, &W_0.K), (&W.V, &W_0.V)];
        for (b, (w, w_0)) in blocks.into_iter().enumerate() {
            let moved = compare(w, w_0).0;
            assert!(trained.flags()[b] || moved == 0.0);
            assert!((stepper.moved()[b] - moved).abs() <= 1e-12 * moved);
            for (w, norms) in w.iter().zip(stepper.block_norms()) {
                let norm = square(w.iter().copied()).sqrt();
                assert!((norm - norms[b]).abs() <= 1e-13 * norm);
            }
        }
    }

    /// What an instance is drawn from. `share`: queries and keys share a component of size `tau` that cancels in the
    /// scores' differences and leaves weights which are neither uniform nor saturated.
    #[derive(Clone, Copy, Debug)]
    struct Draw {
        dims: Dims,
        kernel: Kernel,
        init: Init,
        tau: f64,
        share: bool,
        seed: u64,
    }

    impl Draw {
        fn instance(self) -> Instance {
            let instance = Instance::random(self.dims, self.kernel, self.init, self.seed).unwrap();
            let mut W = instance.W().clone();
            let mut X = instance.X().to_vec();
            for (q, k) in W.Q.iter_mut().zip(&mut W.K) {
                if self.share {
                    q.row_mut(0).scale_mut(self.tau);
                    k.set_row(0, &q.row(0).into_owned());
                } else {
                    *q *= self.tau;
                    *k *= self.tau;
                }
            }
            if self.share {
                X.iter_mut().for_each(|x| x.column_mut(0).fill(1.0));
            }
            Instance::new(self.kernel, X, instance.y().to_vec(), W).unwrap()
        }
    }

    fn draws() -> impl Strategy<Value = Draw> {
        let sizes = (
            1..=3usize,
            1..=4usize,
            1..=5usize,
            1..=4usize,
            1..=3usize,
            1..=2usize,
        );
        let sizes = sizes.prop_map(|(N, n, D, d, H, p)| Dims { N, n, D, d, H, p });
        let rest = (
            0..3usize,
            -1.0..3.0,
            -2.0..2.0,
            any::<[bool; 2]>(),
            any::<u64>(),
        );
        (sizes, rest).prop_map(|(mut dims, (init, scale, tau, [softmax, share], seed))| {
            let scale = 10f64.powf(scale);
            let init = match init {
                0 => Init::Lecun,
                1 => {
                    dims.d = dims.d.max(dims.p);
                    Init::Lazy { omega: scale }
                }
                _ => {
                    dims.H *= 2;
                    Init::Paired { s: scale }
                }
            };
            let kernel = match softmax {
                true => Kernel::Softmax,
                false => Kernel::Gaussian,
            };
            let tau = 10f64.powf(tau);
            Draw {
                dims,
                kernel,
                init,
                tau,
                share,
                seed,
            }
        })
    }

    /// How errors compare to their bounds, against 400 bits at the stepper's weights.
    struct Error {
        /// |delta r| of the double-double residual and its bound.
        residual: (f64, f64),
        /// |delta f| of the reported loss and its bound.
        loss: (f64, f64),
    }

    fn error(instance: &Instance, stepper: &Double, loss: f64) -> Error {
        let oracle = |x: DoubleDouble| Oracle::from_f64(x.hi()) + Oracle::from_f64(x.lo());
        let zero = || big(0.0);
        let r = model::residual(instance, &stepper.weights_of(instance).map(oracle));
        let (mut f, mut off) = (zero(), zero());
        for (exact, &found) in r.iter().zip(&stepper.r) {
            f += exact.get() * exact.get();
            let difference: Big = oracle(found).get() - exact.get();
            off += &difference * &difference;
        }
        Oracle::clear();
        let rounding = Rounding::new(instance, Precision::DoubleDouble);
        let norms: Vec<_> = stepper.block_norms().collect();
        let residual = rounding.residual(&norms);
        let difference: Big = big(loss) - f / big(2.0);
        Error {
            residual: (off.to_f64().value().sqrt(), residual),
            loss: (
                difference.to_f64().value().abs(),
                rounding.loss(loss, residual),
            ),
        }
    }

    /// |delta r| and |delta f| are below their bounds; the share of the former's that is used.
    fn check_error(instance: &Instance, stepper: &Double, loss: f64) -> f64 {
        let Error { residual, loss } = error(instance, stepper, loss);
        assert!(residual.0 <= residual.1, "r off by {residual:?}");
        assert!(loss.0 <= loss.1, "f off by {loss:?}");
        residual.0 / residual.1
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn steps_agree_with_the_model(draw in draws(), subset in 0..7usize) {
            let instance = Instance::random(draw.dims, draw.kernel, Init::Lecun, draw.seed).unwrap();
            agrees_with_the_model::<f64>(&instance, trained(subset), 1e-12);
            agrees_with_the_model::<DoubleDouble>(&instance, trained(subset), 1e-28);
        }

        /// The claimed errors of both precisions, at M_0 and at a point that is no f64.
        #[test]
        fn losses_are_within_their_errors(draw in draws()) {
            let instance = draw.instance();
            let mut stepper = Double::new(&instance, Trained::QKV);
            for _ in 0..2 {
                let loss = stepper.evaluate();
                check_error(&instance, &stepper, loss);
                stepper.step(1e-3 / (1.0 + stepper.grad_norms().iter().sum::<f64>()));
            }
            let double = Double::new(&instance, Trained::QKV).evaluate();
            let single = Stepper::new(&instance, Trained::QKV).evaluate();
            let norms = block_norms(instance.W());
            let bound = |precision| {
                let rounding = Rounding::new(&instance, precision);
                rounding.loss(single, rounding.residual(&norms))
            };
            let bound = bound(Precision::F64) + bound(Precision::DoubleDouble);
            prop_assert!((single - double).abs() <= bound, "{single:e} {double:e} {bound:e}");
        }
    }

    /// Where it matters most: late iterates, down to the floor and on it.
    #[test]
    fn late_losses_are_within_their_errors() {
        let dims = Dims {
            N: 1,
            n: 3,
            D: 6,
            d: 4,
            H: 2,
            p: 1,
        };
        let mut shares = Vec::new();
        for kernel in [Kernel::Softmax, Kernel::Gaussian] {
            for (seed, init) in [(0, Init::Lecun), (1, Init::Lazy { omega: 10.0 })] {
                let instance = Instance::random(dims, kernel, init, seed).unwrap();
                let spectrum = Spectrum::new(&instance, Trained::QKV).unwrap();
                let eta = spectrum.jacobian_norm.value.powi(-2);
                let mut stepper = Double::new(&instance, Trained::QKV);
                let (mut first, mut last) = (0.0, 0.0);
                for t in 0..=12_000 {
                    let loss = stepper.evaluate();
                    if t % 400 == 0 {
                        shares.push(check_error(&instance, &stepper, loss));
                    }
                    (first, last) = (if t == 0 { loss } else { first }, loss);
                    stepper.step(eta);
                }
                assert!(last < 1e-40 * first, "{kernel} {init:?} {last:e}");
            }
        }
        shares.sort_by(f64::total_cmp);
        let (median, largest) = (shares[shares.len() / 2], shares[shares.len() - 1]);
        println!("|delta r| / bound: median {median:.1e}, at most {largest:.1e}");
        // "Three to five digits", and not worse by more than one.
        assert!(median > 1e-6);
    }

    #[test]
    fn the_number_of_threads_does_not_change_a_bit() {
        let dims = Dims {
            N: 10,
            n: 7,
            D: 12,
            d: 6,
            H: 2,
            p: 2,
        };
        for kernel in [Kernel::Softmax, Kernel::Gaussian] {
            let instance = Instance::random(dims, kernel, Init::Lecun, 5).unwrap();
            let run = |threads| {
                let pool = rayon::ThreadPoolBuilder::new()
                    .num_threads(threads)
                    .build()
                    .unwrap();
                pool.install(|| {
                    let mut stepper = Double::new(&instance, Trained::QKV);
                    assert!(stepper.parallel && stepper.heads[0].units.len() > 1);
                    for _ in 0..10 {
                        stepper.evaluate();
                        stepper.step(1e-3);
                    }
                    (
                        stepper.evaluate(),
                        stepper.weights_of(&instance),
                        stepper.grad_norms(),
                    )
                })
            };
            let one = run(1);
            assert_eq!(one, run(2));
            assert_eq!(one, run(8));
        }
    }

    #[test]
    fn B_is_that_of_the_instance_and_divergence_shows() {
        for kernel in [Kernel::Softmax, Kernel::Gaussian] {
            let dims = Dims {
                N: 5,
                n: 3,
                D: 4,
                d: 2,
                H: 2,
                p: 1,
            };
            let instance = Instance::random(dims, kernel, Init::Lecun, 5).unwrap();
            let mut stepper = Double::new(&instance, "V".parse().unwrap());
            stepper.evaluate();
            let off = stepper.B() - crate::spectrum::B(&instance);
            assert!(off.norm() < 1e-13, "{:e}", off.norm());
            for _ in 0..60 {
                stepper.step(1e60);
                stepper.evaluate();
            }
            assert!(!stepper.evaluate().is_finite());
        }
    }
}
