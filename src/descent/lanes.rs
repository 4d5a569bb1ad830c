//! Exact gradient descent on several small instances of one shape at once, one in each lane of the vectors.
//!
//! The formulas of [`Stepper`](super::Stepper), which works on one instance and has nothing to fill its vectors
//! with where n, D and d are a few. What happens in a lane depends on its instance alone, not on its neighbours.

use super::{End, Point, Steps, Trajectory};
use crate::model::rounding::{BlockNorms, Rounding};
use crate::model::{Kernel, Precision, Trained};
use crate::problem::{Dims, Instance};
use crate::{Error, Result};
use gdcert_base::simd::double::Simd;
use gdcert_base::simd::{Isa, Op, Vectors};
use nalgebra::DMatrix;
use std::ops::ControlFlow;

/// Instances at a time: the numbers in a vector of this processor.
pub(crate) fn lanes() -> usize {
    Isa::best().run(Length)
}

struct Length;

impl Op for Length {
    type Output = usize;
    #[inline(always)]
    fn run<S: Vectors>(self, _: S) -> usize {
        <S as Simd>::L
    }
}

/// Multiply-adds of a step up to which lanes are worth it: beyond, one instance fills vectors and cache by itself.
const SMALL: usize = 1 << 17;

/// Whether instances of this size are better run in lanes; only sizes decide.
pub(crate) fn fits_lanes(dims: Dims) -> bool {
    let Dims { N, n, D, d, H, p } = dims;
    let per_token = 6 * D * d + 2 * D * p + n * (3 * d + 3 * p);
    [H, N, n].into_iter().fold(per_token, usize::saturating_mul) <= SMALL
}

/// Runs gradient descent from M_0 on up to [`lanes`] instances of the same sizes and kernel, each with its own step.
///
/// Of the points only t, loss and loss_error are recorded; the rest is NaN or `None`. `observe` is asked at every step.
///
/// # Errors
/// [`Error::Cancelled`] if `observe` breaks.
pub(crate) fn descend_lanes(
    instances: &[Instance],
    trained: Trained,
    etas: &[f64],
    steps: Steps,
    observe: &mut dyn FnMut() -> ControlFlow<()>,
) -> Result<Vec<Trajectory>> {
    descend_on(Isa::best(), instances, trained, etas, steps, observe)
}

fn descend_on(
    isa: Isa,
    instances: &[Instance],
    trained: Trained,
    etas: &[f64],
    steps: Steps,
    observe: &mut dyn FnMut() -> ControlFlow<()>,
) -> Result<Vec<Trajectory>> {
    let lanes = isa.run(Length);
    assert!(!instances.is_empty() && instances.len() <= lanes && instances.len() == etas.len());
    let mut state = State::new(lanes, instances, trained, etas);
    let mut runs: Vec<_> = instances.iter().map(|i| Lane::new(i, steps)).collect();
    isa.run(Prepare { state: &mut state });
    while runs.iter().any(|run| run.end.is_none()) {
        isa.run(Evaluate { state: &mut state });
        for (lane, run) in runs.iter_mut().enumerate() {
            if run.end.is_none() {
                run.record(&state, lane, steps);
            }
        }
        if observe().is_break() {
            return Err(Error::Cancelled);
        }
        isa.run(Move { state: &mut state });
    }
    let trajectories = runs.into_iter().zip(etas).map(|(run, &eta)| Trajectory {
        eta,
        precision: Precision::F64,
        points: run.points,
        end: run.end.unwrap_or(End::Steps),
    });
    Ok(trajectories.collect())
}

/// The record of one lane.
struct Lane {
    points: Vec<Point>,
    end: Option<End>,
    rounding: Rounding,
    /// Norms that are not below the weights', but hardly above, and the bound on |delta r| that follows.
    norms: Vec<BlockNorms>,
    residual_error: f64,
}

/// How far the norms in [`Lane::norms`] may be above the true ones before they are taken anew.
const LOOSE: f64 = 1.03;

impl Lane {
    fn new(instance: &Instance, steps: Steps) -> Self {
        Lane {
            points: Vec::with_capacity(steps.limit().min(1 << 16) + 1),
            end: None,
            rounding: Rounding::new(instance, Precision::F64),
            norms: vec![[0.0; 3]; instance.dims().H],
            residual_error: f64::NAN,
        }
    }

    fn record(&mut self, state: &State, lane: usize, steps: Steps) {
        // The bound grows with the norms, so that larger ones give a bound as well.
        let close =
            |kept: f64, square: f64| square <= kept * kept && kept * kept <= LOOSE * LOOSE * square;
        let pairs = || self.norms.iter().zip(&state.heads);
        let still = pairs().all(|(kept, head)| {
            let squares = [0, 1, 2].map(|b| head.squares[b][lane]);
            (0..3).all(|b| kept[b] == 0.0 && squares[b] == 0.0 || close(kept[b], squares[b]))
        });
        if !still || self.residual_error.is_nan() {
            for (kept, head) in self.norms.iter_mut().zip(&state.heads) {
                *kept = [0, 1, 2].map(|b| 1.01 * head.squares[b][lane].sqrt());
            }
            self.residual_error = self.rounding.residual(&self.norms);
        }
        let t = self.points.len();
        let loss = state.loss[lane];
        let point = Point {
            t,
            loss,
            loss_error: self.rounding.loss(loss, self.residual_error),
            grad_norms: [f64::NAN; 3],
            moved: [f64::NAN; 3],
            sigma_min_B: None,
        };
        self.points.push(point);
        self.end = super::end(&point, self.points[0].loss, steps);
    }
}

/// Numbers of all L lanes: number i of lane l is at i L + l.
type Numbers = Vec<f64>;

struct State {
    dims: Dims,
    kernel: Kernel,
    trained: Trained,
    /// Tokens of all samples, N n x D; labels and residuals, N n x p. Matrices are stored by rows.
    X: Numbers,
    y: Numbers,
    r: Numbers,
    eta: Numbers,
    loss: Numbers,
    heads: Vec<Head>,
    /// Blocks Q, K, V that moved since the features were last computed.
    changed: [bool; 3],
    work: Work,
}

struct Head {
    /// W^Q, W^K, W^V, each D x d.
    W: [Numbers; 3],
    /// d x p.
    W_O: Numbers,
    /// W^V W^O, D x p.
    v: Numbers,
    q: Numbers,
    kappa: Numbers,
    u: Numbers,
    /// Attention weights, N n x n.
    S: Numbers,
    out: Numbers,
    /// |W|_F^2 of the three blocks.
    squares: [Numbers; 3],
}

/// What one head's gradient needs for a while.
struct Work {
    dq: Numbers,
    dkappa: Numbers,
    du: Numbers,
    /// X' du, D x p.
    dv: Numbers,
    gradient: Numbers,
    /// df / d scores of one sample, over sqrt(d): n x n.
    A: Numbers,
}

impl State {
    fn new(lanes: usize, instances: &[Instance], trained: Trained, etas: &[f64]) -> Self {
        let dims = instances[0].dims();
        let Dims { N, n, D, d, H, p } = dims;
        let tokens = N * n;
        let zeros = |len: usize| vec![0.0; len * lanes];
        // Lanes without an instance repeat the last one.
        let of = |lane: usize| lane.min(instances.len() - 1);
        let gather = |len: usize, matrices: &dyn Fn(&Instance) -> Vec<DMatrix<f64>>| {
            let mut numbers = zeros(len);
            for lane in 0..lanes {
                let blocks = matrices(&instances[of(lane)]);
                let entries = blocks.iter().flat_map(|block| {
                    let (rows, cols) = block.shape();
                    (0..rows * cols).map(move |i| block[(i / cols, i % cols)])
                });
                for (i, x) in entries.enumerate() {
                    numbers[i * lanes + lane] = x;
                }
            }
            numbers
        };
        let head = |h: usize| Head {
            W: [
                gather(D * d, &|i| vec![i.W().Q[h].clone()]),
                gather(D * d, &|i| vec![i.W().K[h].clone()]),
                gather(D * d, &|i| vec![i.W().V[h].clone()]),
            ],
            W_O: gather(d * p, &|i| vec![i.W().O[h].clone()]),
            v: zeros(D * p),
            q: zeros(tokens * d),
            kappa: zeros(tokens * d),
            u: zeros(tokens * p),
            S: zeros(tokens * n),
            out: zeros(tokens * p),
            squares: [zeros(1), zeros(1), zeros(1)],
        };
        State {
            dims,
            kernel: instances[0].kernel(),
            trained,
            X: gather(tokens * D, &|i| i.X().to_vec()),
            y: gather(tokens * p, &|i| i.y().to_vec()),
            r: zeros(tokens * p),
            eta: (0..lanes).map(|lane| etas[of(lane)]).collect(),
            loss: zeros(1),
            heads: (0..H).map(head).collect(),
            changed: [true; 3],
            work: Work {
                dq: zeros(tokens * d),
                dkappa: zeros(tokens * d),
                du: zeros(tokens * p),
                dv: zeros(D * p),
                gradient: zeros(D * d),
                A: zeros(n * n),
            },
        }
    }
}

/// A matrix: entry (i, k) is number `first` + i `row` + k `step`.
#[derive(Clone, Copy)]
struct Matrix<'a> {
    numbers: &'a [f64],
    first: usize,
    row: usize,
    step: usize,
}

/// The matrix with rows of this length that begins at number `first`.
fn by_rows(numbers: &[f64], first: usize, cols: usize) -> Matrix<'_> {
    Matrix {
        numbers,
        first,
        row: cols,
        step: 1,
    }
}

impl Matrix<'_> {
    fn transpose(self) -> Self {
        let (row, step) = (self.step, self.row);
        Matrix { row, step, ..self }
    }

    fn number(self, i: usize, k: usize) -> usize {
        self.first + i * self.row + k * self.step
    }
}

#[inline(always)]
fn get<S: Simd>(s: S, x: &[f64], i: usize) -> S::V {
    s.get(x, i * S::L)
}

#[inline(always)]
fn put<S: Simd>(s: S, x: &mut [f64], i: usize, a: S::V) {
    s.put(x, i * S::L, a);
}

/// Entry (i, j) of c, at number `first` + i cols + j, becomes the sum over k of what `add` makes of a_ik and b_kj;
/// [rows, inner, cols] are the ranges of i, k, j.
#[inline(always)]
fn product<S: Simd>(
    s: S,
    a: Matrix,
    b: Matrix,
    [rows, inner, cols]: [usize; 3],
    (c, first): (&mut [f64], usize),
    add: impl Fn(S::V, S::V, S::V) -> S::V + Copy,
) {
    let mut j = 0;
    while j < cols {
        let wide = cols - j >= 4;
        let mut i = 0;
        while i < rows {
            let at = (first + i * cols + j, cols);
            let (left, tile) = (rows - i, [i, j, inner]);
            i += match wide {
                true if left >= 2 => sums::<S, 2, 4>(s, a, b, tile, (c, at), add),
                true => sums::<S, 1, 4>(s, a, b, tile, (c, at), add),
                false if left >= 4 => sums::<S, 4, 1>(s, a, b, tile, (c, at), add),
                false => sums::<S, 1, 1>(s, a, b, tile, (c, at), add),
            };
        }
        j += if wide { 4 } else { 1 };
    }
}

/// R x C entries of [`product`] from (i, j) on; gives R.
#[inline(always)]
fn sums<S: Simd, const R: usize, const C: usize>(
    s: S,
    a: Matrix,
    b: Matrix,
    [i, j, inner]: [usize; 3],
    (c, (first, cols)): (&mut [f64], (usize, usize)),
    add: impl Fn(S::V, S::V, S::V) -> S::V + Copy,
) -> usize {
    let last = inner - 1;
    assert!((a.number(i + R - 1, last) + 1) * S::L <= a.numbers.len());
    assert!((b.number(last, j + C - 1) + 1) * S::L <= b.numbers.len());
    let mut sums = [[s.splat(0.0); C]; R];
    for k in 0..inner {
        // SAFETY: the largest indices of a and b are within, as asserted above; numbers grow with every index.
        let (a_k, b_k): ([S::V; R], [S::V; C]) = unsafe {
            let load = |m: Matrix, number| s.load(m.numbers.as_ptr().add(number * S::L));
            (
                std::array::from_fn(|r| load(a, a.number(i + r, k))),
                std::array::from_fn(|q| load(b, b.number(k, j + q))),
            )
        };
        for (sums, a_ik) in sums.iter_mut().zip(a_k) {
            for (sum, b_kj) in sums.iter_mut().zip(b_k) {
                *sum = add(a_ik, b_kj, *sum);
            }
        }
    }
    for (r, sums) in sums.into_iter().enumerate() {
        for (q, sum) in sums.into_iter().enumerate() {
            put(s, c, first + r * cols + q, sum);
        }
    }
    R
}

/// |x|^2 of each lane.
#[inline(always)]
fn square<S: Simd>(s: S, x: &[f64]) -> S::V {
    let mut sum = s.splat(0.0);
    for x in x.chunks_exact(S::L) {
        let x = s.get(x, 0);
        sum = s.fma(x, x, sum);
    }
    sum
}

/// Features, attention weights and output of a head; only what the blocks that changed make new.
#[inline(always)]
fn forward<S: Simd>(s: S, state: &mut State, h: usize) {
    let Dims { N, n, D, d, p, .. } = state.dims;
    let multiply_add = |a, b, c| s.fma(a, b, c);
    let head = &mut state.heads[h];
    let X = by_rows(&state.X, 0, D);
    for (b, weights, cols, features) in [
        (0, &head.W[0], d, &mut head.q),
        (1, &head.W[1], d, &mut head.kappa),
        (2, &head.v, p, &mut head.u),
    ] {
        if state.changed[b] {
            let weights = by_rows(weights, 0, cols);
            product(s, X, weights, [N * n, D, cols], (features, 0), multiply_add);
        }
    }
    if state.changed[0] || state.changed[1] {
        for i in 0..N {
            let q = by_rows(&head.q, i * n * d, d);
            let kappa = by_rows(&head.kappa, i * n * d, d).transpose();
            let scores = (&mut head.S[..], i * n * n);
            match state.kernel {
                Kernel::Softmax => product(s, q, kappa, [n, d, n], scores, multiply_add),
                Kernel::Gaussian => product(s, q, kappa, [n, d, n], scores, |q, kappa, sum| {
                    let w = s.sub(q, kappa);
                    s.fma(w, w, sum)
                }),
            }
        }
        for row in head.S.chunks_exact_mut(n * S::L) {
            weigh(s, state.kernel, row, d);
        }
    }
    for i in 0..N {
        let (weights, u) = (
            by_rows(&head.S, i * n * n, n),
            by_rows(&head.u, i * n * p, p),
        );
        product(
            s,
            weights,
            u,
            [n, n, p],
            (&mut head.out, i * n * p),
            multiply_add,
        );
    }
}

/// A row of attention weights in the place of q . kappa_j, for the Gaussian |q - kappa_j|^2.
#[inline(always)]
fn weigh<S: Simd>(s: S, kernel: Kernel, row: &mut [f64], d: usize) {
    let inverse_root_d = 1.0 / (d as f64).sqrt();
    match kernel {
        Kernel::Gaussian => {
            let factor = s.splat(-0.5 * inverse_root_d);
            for x in row.chunks_exact_mut(S::L) {
                let exponent = s.mul(s.get(x, 0), factor);
                s.put(x, 0, s.exp(exponent));
            }
        }
        Kernel::Softmax => {
            let factor = s.splat(inverse_root_d);
            let mut top = s.splat(f64::NEG_INFINITY);
            for x in row.chunks_exact(S::L) {
                top = s.max(s.get(x, 0), top);
            }
            let mut sum = s.splat(0.0);
            for x in row.chunks_exact_mut(S::L) {
                let weight = s.exp(s.mul(s.sub(s.get(x, 0), top), factor));
                sum = s.add(sum, weight);
                s.put(x, 0, weight);
            }
            let inverse = s.div(s.splat(1.0), sum);
            for x in row.chunks_exact_mut(S::L) {
                let weight = s.mul(s.get(x, 0), inverse);
                s.put(x, 0, weight);
            }
        }
    }
}

/// r = sum_h out_h - y and the loss.
#[inline(always)]
fn residual<S: Simd>(s: S, state: &mut State) {
    let mut square = s.splat(0.0);
    for i in 0..state.dims.m() {
        let mut sum = s.splat(0.0);
        for head in &state.heads {
            sum = s.add(sum, get(s, &head.out, i));
        }
        let r = s.sub(sum, get(s, &state.y, i));
        square = s.fma(r, r, square);
        put(s, &mut state.r, i, r);
    }
    put(s, &mut state.loss, 0, s.mul(square, s.splat(0.5)));
}

/// Moves a head's trained blocks against their gradients.
#[inline(always)]
fn move_head<S: Simd>(s: S, state: &mut State, h: usize) {
    let Dims { N, n, D, d, p, .. } = state.dims;
    let multiply_add = |a, b, c| s.fma(a, b, c);
    let [train_q, train_k, train_v] = state.trained.flags();
    let State {
        kernel,
        X,
        r,
        eta,
        heads,
        work,
        ..
    } = state;
    let (head, Xt) = (&mut heads[h], by_rows(X, 0, D).transpose());
    let minus_eta = s.sub(s.splat(0.0), get(s, eta, 0));
    if train_q || train_k {
        for i in 0..N {
            differentiate_scores(s, *kernel, head, r, work, i, state.dims);
        }
    }
    for (b, on, from) in [(0, train_q, &work.dq), (1, train_k, &work.dkappa)] {
        if on {
            let sizes = [D, N * n, d];
            let gradient = (&mut work.gradient[..], 0);
            product(s, Xt, by_rows(from, 0, d), sizes, gradient, multiply_add);
            descend(s, head, b, &work.gradient, minus_eta);
        }
    }
    if train_v {
        for i in 0..N {
            let weights = by_rows(&head.S, i * n * n, n).transpose();
            let (r, du) = (by_rows(r, i * n * p, p), (&mut work.du[..], i * n * p));
            product(s, weights, r, [n, n, p], du, multiply_add);
        }
        let du = by_rows(&work.du, 0, p);
        product(s, Xt, du, [D, N * n, p], (&mut work.dv, 0), multiply_add);
        let (dv, O_t) = (
            by_rows(&work.dv, 0, p),
            by_rows(&head.W_O, 0, p).transpose(),
        );
        product(s, dv, O_t, [D, p, d], (&mut work.gradient, 0), multiply_add);
        descend(s, head, 2, &work.gradient, minus_eta);
        value(s, head, [D, d, p]);
    }
}

/// v = W^V W^O.
#[inline(always)]
fn value<S: Simd>(s: S, head: &mut Head, [D, d, p]: [usize; 3]) {
    let (W_V, W_O) = (by_rows(&head.W[2], 0, d), by_rows(&head.W_O, 0, p));
    product(s, W_V, W_O, [D, d, p], (&mut head.v, 0), |a, b, c| {
        s.fma(a, b, c)
    });
}

/// W <- W - eta g, and |W|^2.
#[inline(always)]
fn descend<S: Simd>(s: S, head: &mut Head, b: usize, g: &[f64], minus_eta: S::V) {
    let mut square = s.splat(0.0);
    let W = head.W[b].chunks_exact_mut(S::L);
    for (w, g) in W.zip(g.chunks_exact(S::L)) {
        let moved = s.fma(minus_eta, s.get(g, 0), s.get(w, 0));
        square = s.fma(moved, moved, square);
        s.put(w, 0, moved);
    }
    put(s, &mut head.squares[b], 0, square);
}

/// dq and dkappa of sample i: with A_kj = sum_c r_kc S_kj (u_jc - [softmax] out_kc) / sqrt(d) they are A kappa and A' q, for
/// the Gaussian less the sums of A's rows times q, and of its columns times kappa.
#[inline(always)]
fn differentiate_scores<S: Simd>(
    s: S,
    kernel: Kernel,
    head: &Head,
    r: &[f64],
    work: &mut Work,
    i: usize,
    dims: Dims,
) {
    let Dims { n, d, p, .. } = dims;
    let multiply_add = |a, b, c| s.fma(a, b, c);
    let factor = s.splat(1.0 / (d as f64).sqrt());
    let first = i * n;
    let r_i = by_rows(r, first * p, p);
    let u_t = by_rows(&head.u, first * p, p).transpose();
    product(s, r_i, u_t, [n, p, n], (&mut work.A, 0), multiply_add);
    for k in 0..n {
        let mut centre = s.splat(0.0);
        if kernel == Kernel::Softmax {
            for c in (first + k) * p..(first + k + 1) * p {
                centre = s.fma(get(s, r, c), get(s, &head.out, c), centre);
            }
        }
        for j in 0..n {
            let along = s.sub(get(s, &work.A, k * n + j), centre);
            let weight = get(s, &head.S, (first + k) * n + j);
            put(
                s,
                &mut work.A,
                k * n + j,
                s.mul(s.mul(weight, along), factor),
            );
        }
    }
    let A = by_rows(&work.A, 0, n);
    for (A, own, other, gradient) in [
        (A, &head.q, &head.kappa, &mut work.dq),
        (A.transpose(), &head.kappa, &head.q, &mut work.dkappa),
    ] {
        let others = by_rows(other, first * d, d);
        product(s, A, others, [n, n, d], (gradient, first * d), multiply_add);
        if kernel == Kernel::Softmax {
            continue;
        }
        for k in 0..n {
            let mut sum = s.splat(0.0);
            for j in 0..n {
                sum = s.add(sum, get(s, A.numbers, A.number(k, j)));
            }
            for at in (first + k) * d..(first + k + 1) * d {
                let less = s.mul(sum, get(s, own, at));
                let left = s.sub(get(s, gradient, at), less);
                put(s, gradient, at, left);
            }
        }
    }
}

/// What the steps keep up to date, for the first time.
struct Prepare<'a> {
    state: &'a mut State,
}

impl Op for Prepare<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Vectors>(self, s: S) {
        let Dims { D, d, p, .. } = self.state.dims;
        for head in &mut self.state.heads {
            for (of_lanes, W) in head.squares.iter_mut().zip(&head.W) {
                put(s, of_lanes, 0, square(s, W));
            }
            value(s, head, [D, d, p]);
        }
    }
}

/// The loss and the residuals at the current weights.
struct Evaluate<'a> {
    state: &'a mut State,
}

impl Op for Evaluate<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Vectors>(self, s: S) {
        for h in 0..self.state.dims.H {
            forward(s, self.state, h);
        }
        residual(s, self.state);
        self.state.changed = self.state.trained.flags();
    }
}

/// A step of gradient descent from what [`Evaluate`] left.
struct Move<'a> {
    state: &'a mut State,
}

impl Op for Move<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Vectors>(self, s: S) {
        for h in 0..self.state.dims.H {
            move_head(s, self.state, h);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::descent::descend;
    use crate::problem::Init;
    use proptest::prelude::*;

    fn go_on() -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    /// Far below what diverges, so that rounding is not amplified; another one in every lane.
    fn eta(instance: &Instance, lane: usize) -> f64 {
        let norm = crate::spectrum::jacobian_norm(instance, Trained::QKV).unwrap();
        0.1 / (1.0 + lane as f64) / norm.value.powi(2).max(1.0)
    }

    proptest! {
        /// Losses and their error bounds against the stepper's, on every instruction set, for every kernel and subset.
        #[test]
        fn lanes_agree_with_the_stepper(
            (N, n, D, d, H, p) in (1..4usize, 1..7usize, 1..10usize, 1..7usize, 1..4usize, 1..4usize),
            softmax: bool,
            subset in 0..7usize,
            seed in 0..u64::MAX / 2,
        ) {
            let kernel = if softmax { Kernel::Softmax } else { Kernel::Gaussian };
            let trained: Trained = ["Q", "K", "V", "QK", "QV", "KV", "QKV"][subset].parse().unwrap();
            let dims = Dims { N, n, D, d, H, p };
            for isa in Isa::available() {
                let lanes = isa.run(Length);
                let instances: Vec<_> = (0..lanes as u64)
                    .map(|lane| Instance::random(dims, kernel, Init::Lecun, seed + lane).unwrap())
                    .collect();
                let etas: Vec<_> = instances.iter().enumerate().map(|(l, i)| eta(i, l)).collect();
                let steps = Steps::Exactly(4);
                let runs = descend_on(isa, &instances, trained, &etas, steps, &mut go_on).unwrap();
                for ((instance, eta), run) in instances.iter().zip(&etas).zip(runs) {
                    let alone = descend(instance, trained, *eta, steps).unwrap();
                    prop_assert_eq!(alone.points.len(), run.points.len());
                    for (a, b) in alone.points.iter().zip(&run.points) {
                        // Residuals differ by rounding on the scale of r_0, a little amplified by a few steps; f = |r|^2 / 2
                        // then differs by |r| times that, which is much beside f once |r| is small.
                        let scale = (a.loss * alone.points[0].loss).sqrt();
                        prop_assert!(
                            (a.loss - b.loss).abs() <= 1e-11 * scale,
                            "{} {} {}",
                            isa.name(),
                            a.loss,
                            b.loss
                        );
                        // The norms in it are at most 3 percent too large.
                        prop_assert!(b.loss_error >= 0.999 * a.loss_error && b.loss_error <= 1.3 * a.loss_error);
                    }
                }
            }
        }
    }

    #[test]
    fn a_lane_does_not_depend_on_its_neighbours() {
        let dims = Dims {
            N: 2,
            n: 4,
            D: 8,
            d: 4,
            H: 3,
            p: 1,
        };
        for kernel in [Kernel::Softmax, Kernel::Gaussian] {
            let instances: Vec<_> = (0..lanes() as u64)
                .map(|seed| Instance::random(dims, kernel, Init::Lecun, seed).unwrap())
                .collect();
            // One that diverges, one that is at its floor at once, ordinary ones.
            let mut etas = vec![0.02; instances.len()];
            etas[0] = 1e3;
            let run = |instances: &[Instance], etas: &[f64]| {
                descend_lanes(instances, Trained::QKV, etas, Steps::UpTo(300), &mut go_on).unwrap()
            };
            let together = run(&instances, &etas);
            for (lane, run_together) in together.iter().enumerate() {
                let alone = run(&instances[lane..=lane], &etas[lane..=lane]);
                let losses = |t: &Trajectory| {
                    t.points
                        .iter()
                        .map(|p| p.loss.to_bits())
                        .collect::<Vec<_>>()
                };
                assert_eq!(losses(&alone[0]), losses(run_together));
                assert_eq!(alone[0].end, run_together.end);
            }
        }
    }
}
