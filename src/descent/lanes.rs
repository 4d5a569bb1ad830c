//! Exact gradient descent on several small instances of one shape at once, one in each lane of the vectors.
//!
//! The formulas of [`Stepper`](super::Stepper), which works on one instance and has nothing to fill its vectors
//! with where n, D and d are a few. What happens in a lane depends on its instance alone, not on its neighbours.

use super::{End, Point, Steps, Trajectory};
use crate::model::{Kernel, Precision, Trained};
use crate::problem::{Dims, Instance};
use crate::rounding::{BlockNorms, Rounding};
use crate::simd::double::Simd;
use crate::simd::{Isa, Op, Vectors};
use crate::{Error, Result};
use nalgebra::DMatrix;
use std::ops::ControlFlow;

/// Instances at a time; a multiple of the length of every vector.
pub(crate) const LANES: usize = 8;

/// Multiply-adds of a step up to which lanes are worth it: beyond, one instance fills vectors and cache by itself.
const SMALL: usize = 1 << 17;

/// Whether instances of this size are better run in lanes; only sizes decide.
pub(crate) fn fits_lanes(dims: Dims) -> bool {
    let Dims { N, n, D, d, H, p } = dims;
    let per_token = 6 * D * d + 2 * D * p + n * (3 * d + 3 * p);
    [H, N, n].into_iter().fold(per_token, usize::saturating_mul) <= SMALL
}

/// Runs gradient descent from M_0 on up to [`LANES`] instances of the same sizes and kernel, each with its own step.
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
    assert!(!instances.is_empty() && instances.len() <= LANES && instances.len() == etas.len());
    let mut state = State::new(instances, trained, etas);
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
            let squares = head.squares.each_ref().map(|s| s[lane]);
            (0..3).all(|b| kept[b] == 0.0 && squares[b] == 0.0 || close(kept[b], squares[b]))
        });
        if !still || self.residual_error.is_nan() {
            for (kept, head) in self.norms.iter_mut().zip(&state.heads) {
                *kept = head.squares.each_ref().map(|s| 1.01 * s[lane].sqrt());
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

/// Numbers of all lanes: entry i of lane l at i LANES + l.
type Numbers = Vec<f64>;

fn zeros(len: usize) -> Numbers {
    vec![0.0; len * LANES]
}

struct State {
    dims: Dims,
    kernel: Kernel,
    trained: Trained,
    /// Tokens of all samples, N n x D; labels and residuals, N n x p. Matrices are stored by rows.
    X: Numbers,
    y: Numbers,
    r: Numbers,
    eta: Numbers,
    loss: [f64; LANES],
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
    squares: [[f64; LANES]; 3],
}

/// What one head's gradient needs for a while.
struct Work {
    dq: Numbers,
    dkappa: Numbers,
    du: Numbers,
    /// X' du, D x p.
    dv: Numbers,
    gradient: Numbers,
}

impl State {
    fn new(instances: &[Instance], trained: Trained, etas: &[f64]) -> Self {
        let dims = instances[0].dims();
        let Dims { N, n, D, d, H, p } = dims;
        let tokens = N * n;
        // Lanes without an instance repeat the last one.
        let of = |lane: usize| lane.min(instances.len() - 1);
        let gather = |len: usize, matrices: &dyn Fn(&Instance) -> Vec<DMatrix<f64>>| {
            let mut numbers = zeros(len);
            for lane in 0..LANES {
                let blocks = matrices(&instances[of(lane)]);
                let entries = blocks.iter().flat_map(|block| {
                    let (rows, cols) = block.shape();
                    (0..rows * cols).map(move |i| block[(i / cols, i % cols)])
                });
                for (i, x) in entries.enumerate() {
                    numbers[i * LANES + lane] = x;
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
            squares: [[0.0; LANES]; 3],
        };
        State {
            dims,
            kernel: instances[0].kernel(),
            trained,
            X: gather(tokens * D, &|i| i.X().to_vec()),
            y: gather(tokens * p, &|i| i.y().to_vec()),
            r: zeros(tokens * p),
            eta: (0..LANES).map(|lane| etas[of(lane)]).collect(),
            loss: [f64::NAN; LANES],
            heads: (0..H).map(head).collect(),
            changed: [true; 3],
            work: Work {
                dq: zeros(tokens * d),
                dkappa: zeros(tokens * d),
                du: zeros(tokens * p),
                dv: zeros(D * p),
                gradient: zeros(D * d),
            },
        }
    }
}

/// One vector's share of the lanes: `at` is its first lane.
#[derive(Clone, Copy)]
struct Part<S: Simd> {
    s: S,
    at: usize,
}

/// A factor of a product: entry (i, k) is number i `row` + k `step`.
#[derive(Clone, Copy)]
struct Factor<'a> {
    numbers: &'a [f64],
    row: usize,
    step: usize,
}

fn parts<S: Simd>(s: S) -> impl Iterator<Item = Part<S>> {
    (0..LANES).step_by(S::L).map(move |at| Part { s, at })
}

impl<S: Simd> Part<S> {
    #[inline(always)]
    fn get(self, x: &[f64], i: usize) -> S::V {
        self.s.get(x, i * LANES + self.at)
    }

    #[inline(always)]
    fn put(self, x: &mut [f64], i: usize, a: S::V) {
        self.s.put(x, i * LANES + self.at, a);
    }

    /// c = a b, rows x cols, where b has `inner` rows of `cols` numbers.
    #[inline(always)]
    fn multiply(self, a: Factor, b: &[f64], [rows, inner, cols]: [usize; 3], c: &mut [f64]) {
        let mut j = 0;
        while j < cols {
            let wide = cols - j >= 4;
            let mut i = 0;
            while i < rows {
                match (rows - i >= 2, wide) {
                    (true, true) => self.tile::<2, 4>(a, b, [i, j, inner, cols], c),
                    (false, true) => self.tile::<1, 4>(a, b, [i, j, inner, cols], c),
                    (true, false) => self.tile::<2, 1>(a, b, [i, j, inner, cols], c),
                    (false, false) => self.tile::<1, 1>(a, b, [i, j, inner, cols], c),
                }
                i += 2;
            }
            j += if wide { 4 } else { 1 };
        }
    }

    #[inline(always)]
    fn tile<const R: usize, const C: usize>(
        self,
        a: Factor,
        b: &[f64],
        [i, j, inner, cols]: [usize; 4],
        c: &mut [f64],
    ) {
        let Part { s, .. } = self;
        let mut sums = [[s.splat(0.0); C]; R];
        for k in 0..inner {
            let b_k: [S::V; C] = std::array::from_fn(|jj| self.get(b, k * cols + j + jj));
            for (ii, sums) in sums.iter_mut().enumerate() {
                let a_ik = self.get(a.numbers, (i + ii) * a.row + k * a.step);
                for (sum, b_kj) in sums.iter_mut().zip(b_k) {
                    *sum = s.fma(a_ik, b_kj, *sum);
                }
            }
        }
        for (ii, sums) in sums.into_iter().enumerate() {
            for (jj, sum) in sums.into_iter().enumerate() {
                self.put(c, (i + ii) * cols + j + jj, sum);
            }
        }
    }

    /// sum_i a_(first + i) b_(second + i).
    #[inline(always)]
    fn dot(self, (a, first): (&[f64], usize), (b, second): (&[f64], usize), len: usize) -> S::V {
        let mut sum = self.s.splat(0.0);
        for i in 0..len {
            sum = self
                .s
                .fma(self.get(a, first + i), self.get(b, second + i), sum);
        }
        sum
    }

    /// |x|^2 of each lane.
    #[inline(always)]
    fn square(self, x: &[f64]) -> S::V {
        self.dot((x, 0), (x, 0), x.len() / LANES)
    }

    /// Row `row` of S from the queries and keys of its sample.
    #[inline(always)]
    fn attention(self, kernel: Kernel, head: &mut Head, row: usize, [n, d]: [usize; 2]) {
        let Part { s, .. } = self;
        let first = row / n * n;
        let inverse_root_d = 1.0 / (d as f64).sqrt();
        match kernel {
            Kernel::Gaussian => {
                let factor = s.splat(-0.5 * inverse_root_d);
                for j in 0..n {
                    let mut square = s.splat(0.0);
                    for a in 0..d {
                        let q = self.get(&head.q, row * d + a);
                        let w = s.sub(q, self.get(&head.kappa, (first + j) * d + a));
                        square = s.fma(w, w, square);
                    }
                    self.put(&mut head.S, row * n + j, s.exp(s.mul(square, factor)));
                }
            }
            Kernel::Softmax => {
                let factor = s.splat(inverse_root_d);
                let mut top = s.splat(f64::NEG_INFINITY);
                for j in 0..n {
                    let score = self.dot((&head.q, row * d), (&head.kappa, (first + j) * d), d);
                    top = s.max(score, top);
                    self.put(&mut head.S, row * n + j, score);
                }
                let mut sum = s.splat(0.0);
                for j in 0..n {
                    let score = s.sub(self.get(&head.S, row * n + j), top);
                    let weight = s.exp(s.mul(score, factor));
                    sum = s.add(sum, weight);
                    self.put(&mut head.S, row * n + j, weight);
                }
                let inverse = s.div(s.splat(1.0), sum);
                for j in 0..n {
                    let weight = s.mul(self.get(&head.S, row * n + j), inverse);
                    self.put(&mut head.S, row * n + j, weight);
                }
            }
        }
    }

    /// Features, attention weights and output of a head; only what the blocks that changed make new.
    #[inline(always)]
    fn forward(self, state: &mut State, h: usize) {
        let Dims { N, n, D, d, p, .. } = state.dims;
        let head = &mut state.heads[h];
        let X = by_rows(&state.X, D);
        for (b, weights, cols, features) in [
            (0, &head.W[0], d, &mut head.q),
            (1, &head.W[1], d, &mut head.kappa),
            (2, &head.v, p, &mut head.u),
        ] {
            if state.changed[b] {
                self.multiply(X, weights, [N * n, D, cols], features);
            }
        }
        if state.changed[0] || state.changed[1] {
            for row in 0..N * n {
                self.attention(state.kernel, head, row, [n, d]);
            }
        }
        for i in 0..N {
            let S = by_rows(&head.S[i * n * n * LANES..], n);
            let u = &head.u[i * n * p * LANES..];
            self.multiply(S, u, [n, n, p], &mut head.out[i * n * p * LANES..]);
        }
    }

    /// r = sum_h out_h - y and the loss.
    #[inline(always)]
    fn residual(self, state: &mut State) {
        let Part { s, at } = self;
        let mut square = s.splat(0.0);
        for i in 0..state.dims.m() {
            let mut sum = s.splat(0.0);
            for head in &state.heads {
                sum = s.add(sum, self.get(&head.out, i));
            }
            let r = s.sub(sum, self.get(&state.y, i));
            square = s.fma(r, r, square);
            self.put(&mut state.r, i, r);
        }
        s.put(&mut state.loss, at, s.mul(square, s.splat(0.5)));
    }

    /// Moves a head's trained blocks against their gradients.
    #[inline(always)]
    fn move_head(self, state: &mut State, h: usize) {
        let Dims { N, n, D, d, p, .. } = state.dims;
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
        let (head, Xt) = (&mut heads[h], by_columns(X, D));
        if train_q || train_k {
            self.differentiate_scores(*kernel, head, r, work, state.dims);
        }
        for (b, on, from) in [(0, train_q, &work.dq), (1, train_k, &work.dkappa)] {
            if on {
                self.multiply(Xt, from, [D, N * n, d], &mut work.gradient);
                self.descend(head, b, &work.gradient, eta);
            }
        }
        if train_v {
            for i in 0..N {
                let S = by_columns(&head.S[i * n * n * LANES..], n);
                let r = &r[i * n * p * LANES..];
                self.multiply(S, r, [n, n, p], &mut work.du[i * n * p * LANES..]);
            }
            self.multiply(Xt, &work.du, [D, N * n, p], &mut work.dv);
            for e in 0..D {
                for a in 0..d {
                    let g = self.dot((&work.dv, e * p), (&head.W_O, a * p), p);
                    self.put(&mut work.gradient, e * d + a, g);
                }
            }
            self.descend(head, 2, &work.gradient, eta);
            self.multiply(by_rows(&head.W[2], d), &head.W_O, [D, d, p], &mut head.v);
        }
    }

    /// W <- W - eta g, and |W|^2.
    #[inline(always)]
    fn descend(self, head: &mut Head, b: usize, g: &[f64], eta: &[f64]) {
        let Part { s, at } = self;
        let minus_eta = s.sub(s.splat(0.0), self.get(eta, 0));
        let W = &mut head.W[b];
        let mut square = s.splat(0.0);
        for i in 0..W.len() / LANES {
            let w = s.fma(minus_eta, self.get(g, i), self.get(W, i));
            square = s.fma(w, w, square);
            self.put(W, i, w);
        }
        s.put(&mut head.squares[b], at, square);
    }

    /// dq and dkappa, from A_kj = sum_c r_kc S_kj (u_jc - [softmax] out_kc) / sqrt(d).
    #[inline(always)]
    fn differentiate_scores(
        self,
        kernel: Kernel,
        head: &Head,
        r: &[f64],
        work: &mut Work,
        dims: Dims,
    ) {
        let Part { s, .. } = self;
        let Dims { N, n, d, p, .. } = dims;
        let factor = s.splat(1.0 / (d as f64).sqrt());
        for i in 0..N * n * d {
            self.put(&mut work.dq, i, s.splat(0.0));
            self.put(&mut work.dkappa, i, s.splat(0.0));
        }
        for row in 0..N * n {
            let first = row / n * n;
            let centre = match kernel {
                Kernel::Softmax => self.dot((r, row * p), (&head.out, row * p), p),
                Kernel::Gaussian => s.splat(0.0),
            };
            for j in 0..n {
                let key = first + j;
                let along = s.sub(self.dot((r, row * p), (&head.u, key * p), p), centre);
                let A = s.mul(s.mul(self.get(&head.S, row * n + j), along), factor);
                for a in 0..d {
                    let (at_q, at_kappa) = (row * d + a, key * d + a);
                    let (q, kappa) = (self.get(&head.q, at_q), self.get(&head.kappa, at_kappa));
                    let (dq, dkappa) = (self.get(&work.dq, at_q), self.get(&work.dkappa, at_kappa));
                    let (dq, dkappa) = match kernel {
                        Kernel::Softmax => (s.fma(A, kappa, dq), s.fma(A, q, dkappa)),
                        Kernel::Gaussian => {
                            let step = s.mul(A, s.sub(kappa, q));
                            (s.add(dq, step), s.sub(dkappa, step))
                        }
                    };
                    self.put(&mut work.dq, at_q, dq);
                    self.put(&mut work.dkappa, at_kappa, dkappa);
                }
            }
        }
    }
}

/// A matrix with rows of this length.
fn by_rows(numbers: &[f64], cols: usize) -> Factor<'_> {
    let (row, step) = (cols, 1);
    Factor { numbers, row, step }
}

/// The transpose of a matrix with rows of this length.
fn by_columns(numbers: &[f64], cols: usize) -> Factor<'_> {
    let (row, step) = (1, cols);
    Factor { numbers, row, step }
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
        for part in parts(s) {
            for head in &mut self.state.heads {
                for (square, W) in head.squares.iter_mut().zip(&head.W) {
                    let of_lanes = part.square(W);
                    Simd::put(s, square, part.at, of_lanes);
                }
                let W_V = by_rows(&head.W[2], d);
                part.multiply(W_V, &head.W_O, [D, d, p], &mut head.v);
            }
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
        for part in parts(s) {
            for h in 0..self.state.dims.H {
                part.forward(self.state, h);
            }
            part.residual(self.state);
        }
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
        for part in parts(s) {
            for h in 0..self.state.dims.H {
                part.move_head(self.state, h);
            }
        }
    }
}
