//! The vectorised pieces of a step: products, and one head's attention forward and backward.
//!
//! Everything is stored transposed, one row per feature and one column per token: with tokens along
//! the vectors, softmax and the Gaussian reduce over rows, never within a vector. The tokens of a
//! chunk's samples follow one another without padding. A sample's last vector may reach into the
//! next sample: what is read there is never used, and what is written there is overwritten, because
//! samples are visited in order.

use crate::model::{Kernel, Trained};
use gdcert_base::simd::double::Simd;
use std::ops::{Deref, DerefMut, Range};

/// Rows and columns of buffers are padded to this many numbers, a cache line.
pub(super) const LINE: usize = 8;

/// Columns of a panel of [`Panels`].
const PANEL: usize = 16;

/// `len` rounded up to whole cache lines.
pub(super) fn padded(len: usize) -> usize {
    len.next_multiple_of(LINE)
}

/// Distance between rows of `len` numbers: whole cache lines, an odd number of them once rows are
/// long, because a power of two would map all rows to a few cache sets.
pub(super) fn stride(len: usize) -> usize {
    let lines = len.div_ceil(LINE);
    LINE * if lines < 8 { lines } else { lines | 1 }
}

/// Zeros that start on a cache line.
#[derive(Debug)]
pub(super) struct Buffer {
    numbers: Vec<f64>,
    start: usize,
    len: usize,
}

impl Buffer {
    pub(super) fn zeros(len: usize) -> Self {
        let numbers = vec![0.0; len + LINE];
        // Within one cache line, else (allowed by align_offset) 0: alignment is for speed only.
        let start = match numbers.as_ptr().align_offset(8 * LINE) {
            start if start <= LINE => start,
            _ => 0,
        };
        Buffer {
            numbers,
            start,
            len,
        }
    }
}

impl Clone for Buffer {
    /// A copy that starts on a cache line as well.
    fn clone(&self) -> Self {
        let mut copy = Buffer::zeros(self.len);
        copy.copy_from_slice(self);
        copy
    }
}

impl Deref for Buffer {
    type Target = [f64];
    fn deref(&self) -> &[f64] {
        &self.numbers[self.start..][..self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f64] {
        &mut self.numbers[self.start..][..self.len]
    }
}

/// How a product combines an entry a of the left factor and b of the right factor into its sum.
pub(super) trait Fold {
    fn fold<S: Simd>(s: S, a: S::V, b: S::V, sum: S::V) -> S::V;
}

/// sum + a b: the matrix product.
pub(super) struct Dot;

impl Fold for Dot {
    #[inline(always)]
    fn fold<S: Simd>(s: S, a: S::V, b: S::V, sum: S::V) -> S::V {
        s.fma(a, b, sum)
    }
}

/// sum + (b - a)^2: squared distances.
pub(super) struct Distance;

impl Fold for Distance {
    #[inline(always)]
    fn fold<S: Simd>(s: S, a: S::V, b: S::V, sum: S::V) -> S::V {
        let w = s.sub(b, a);
        s.fma(w, w, sum)
    }
}

/// Left factor: entry (row, depth) is `x[row * strides[0] + depth * strides[1]]`.
#[derive(Clone, Copy)]
pub(super) struct Left<'a> {
    pub(super) x: &'a [f64],
    pub(super) rows: usize,
    pub(super) strides: [usize; 2],
}

/// Right factor: entry (depth, column) is `x[depth * stride + column]`.
#[derive(Clone, Copy)]
pub(super) struct Right<'a> {
    pub(super) x: &'a [f64],
    pub(super) depth: usize,
    pub(super) cols: usize,
    pub(super) stride: usize,
}

/// c = a b, or c += a b if `add`; c has `stride` between its rows. The columns of b are whole cache lines.
#[inline(always)]
pub(super) fn product<S: Simd, F: Fold>(
    s: S,
    a: Left,
    b: Right,
    c: &mut [f64],
    stride: usize,
    add: bool,
) {
    assert!(a.rows > 0 && b.depth > 0 && b.cols > 0 && b.cols.is_multiple_of(LINE));
    assert!((a.rows - 1) * a.strides[0] + (b.depth - 1) * a.strides[1] < a.x.len());
    assert!((b.depth - 1) * b.stride + b.cols <= b.x.len());
    assert!((a.rows - 1) * stride + b.cols <= c.len());
    let shape = Tile {
        depth: b.depth,
        a: a.strides,
        b: b.stride,
        c: stride,
        add,
    };
    let mut column = 0;
    while column < b.cols {
        let wide = S::TILE.1 == 2 && b.cols - column >= 2 * S::L;
        let mut row = 0;
        while row < a.rows {
            let left = a.rows - row;
            // SAFETY: the tile's rows lie below a.rows and its columns below b.cols (multiples of L
            // add up to a multiple of LINE), so the asserts above put every entry inside its slice.
            unsafe {
                let at = [
                    a.x.as_ptr().add(row * a.strides[0]),
                    b.x.as_ptr().add(column),
                ];
                let c = c.as_mut_ptr().add(row * stride + column);
                row += match tile_rows::<S>(left) {
                    9 if S::TILE.0 == 8 => tile_of::<S, F, 9>(s, wide, shape, at, c),
                    8 if S::TILE.0 == 8 => tile_of::<S, F, 8>(s, wide, shape, at, c),
                    6 if S::TILE.0 == 6 => tile_of::<S, F, 6>(s, wide, shape, at, c),
                    4.. => tile_of::<S, F, 4>(s, wide, shape, at, c),
                    2.. => tile_of::<S, F, 2>(s, wide, shape, at, c),
                    _ => tile_of::<S, F, 1>(s, wide, shape, at, c),
                };
            }
        }
        column += if wide { 2 * S::L } else { S::L };
    }
}

/// Rows of the next tile when `left` are left. A single last row, whose few sums would wait for one
/// another, joins the tile before it if the registers suffice.
#[inline(always)]
fn tile_rows<S: Simd>(left: usize) -> usize {
    if S::TILE.0 == 8 && left == 9 {
        9
    } else {
        left.min(S::TILE.0)
    }
}

/// What tiles of one product have in common: depth, strides, and whether they add to c.
#[derive(Clone, Copy)]
struct Tile {
    depth: usize,
    a: [usize; 2],
    b: usize,
    c: usize,
    add: bool,
}

/// One tile of two vectors if `wide`, else of one; returns its rows.
///
/// # Safety
/// As [`tile`].
#[inline(always)]
unsafe fn tile_of<S: Simd, F: Fold, const ROWS: usize>(
    s: S,
    wide: bool,
    shape: Tile,
    at: [*const f64; 2],
    c: *mut f64,
) -> usize {
    // SAFETY: the caller's promise.
    unsafe {
        if wide {
            tile::<S, F, ROWS, 2>(s, shape, at, c);
        } else {
            tile::<S, F, ROWS, 1>(s, shape, at, c);
        }
    }
    ROWS
}

/// A tile of ROWS rows and VECTORS vectors of columns, held in registers along the whole depth.
///
/// # Safety
/// With `at` = (a, b): `a[r * shape.a[0] + t * shape.a[1]]` and `b[t * shape.b + l]` can be read and
/// `c[r * shape.c + l]` read and written, for r < ROWS, t < shape.depth, l < VECTORS * L.
#[expect(
    clippy::needless_range_loop,
    reason = "indices say what is a row and what a column"
)]
#[inline(always)]
unsafe fn tile<S: Simd, F: Fold, const ROWS: usize, const VECTORS: usize>(
    s: S,
    shape: Tile,
    [a, b]: [*const f64; 2],
    c: *mut f64,
) {
    // c may lie in a distant cache: it comes while the sums are made.
    for r in 0..ROWS {
        for v in 0..VECTORS {
            // SAFETY: the caller's promise on c.
            s.prefetch(unsafe { &*c.add(r * shape.c + v * S::L) });
        }
    }
    let mut sum = [[s.splat(0.0); VECTORS]; ROWS];
    let mut row = [s.splat(0.0); VECTORS];
    for t in 0..shape.depth {
        for v in 0..VECTORS {
            // SAFETY: the caller's promise on b.
            row[v] = unsafe { s.load(b.add(t * shape.b + v * S::L)) };
        }
        for r in 0..ROWS {
            // SAFETY: the caller's promise on a.
            let x = s.splat(unsafe { *a.add(r * shape.a[0] + t * shape.a[1]) });
            for v in 0..VECTORS {
                sum[r][v] = F::fold(s, x, row[v], sum[r][v]);
            }
        }
    }
    for r in 0..ROWS {
        for v in 0..VECTORS {
            // SAFETY: the caller's promise on c.
            unsafe {
                let c = c.add(r * shape.c + v * S::L);
                let old = if shape.add { s.load(c) } else { s.splat(0.0) };
                s.store(c, s.add(old, sum[r][v]));
            }
        }
    }
}

/// A constant right factor, packed once: panels of 16 columns (the last one perhaps 8), each
/// depth x width without gaps, columns padded with zeros to whole cache lines.
#[derive(Clone, Debug)]
pub(super) struct Panels {
    numbers: Buffer,
    depth: usize,
    cols: usize,
}

impl Panels {
    pub(super) fn pack(depth: usize, cols: usize, entry: impl Fn(usize, usize) -> f64) -> Self {
        let mut panels = Panels {
            numbers: Buffer::zeros(depth * padded(cols)),
            depth,
            cols: padded(cols),
        };
        for column in 0..cols {
            let first = column - column % PANEL;
            let width = PANEL.min(panels.cols - first);
            for t in 0..depth {
                panels.numbers[first * depth + t * width + (column - first)] = entry(t, column);
            }
        }
        panels
    }

    /// Entry (t, column).
    pub(super) fn entry(&self, t: usize, column: usize) -> f64 {
        let first = column - column % PANEL;
        let width = PANEL.min(self.cols - first);
        self.numbers[first * self.depth + t * width + (column - first)]
    }

    /// c = a times this factor, or c += ... if `add`. Meanwhile asks for `ahead`, numbers in a distant
    /// cache that are needed next, little by little: all at once they would stop the arithmetic.
    #[inline(always)]
    fn product<S: Simd>(
        &self,
        s: S,
        a: Left,
        c: &mut [f64],
        stride: usize,
        add: bool,
        ahead: [&[f64]; 2],
    ) {
        let tiles = self.cols.div_ceil(PANEL) * (a.rows / S::TILE.0).max(1);
        let mut ahead = ahead.map(|x| x.chunks(padded(x.len().div_ceil(tiles)).max(1)));
        for first in (0..self.cols).step_by(PANEL) {
            let width = PANEL.min(self.cols - first);
            let panel = Right {
                x: &self.numbers[first * self.depth..][..width * self.depth],
                depth: self.depth,
                cols: width,
                stride: width,
            };
            let mut row = 0;
            while row < a.rows {
                for part in &mut ahead {
                    for line in part.next().unwrap_or_default().iter().step_by(LINE) {
                        s.prefetch(line);
                    }
                }
                let tile = Left {
                    x: &a.x[row * a.strides[0]..],
                    rows: tile_rows::<S>(a.rows - row),
                    ..a
                };
                product::<S, Dot>(s, tile, panel, &mut c[row * stride + first..], stride, add);
                row += tile.rows;
            }
        }
    }
}

/// Whole samples that are worked on together, small enough for the cache.
#[derive(Clone, Debug)]
pub(super) struct Chunk {
    /// Their number.
    pub(super) samples: usize,
    /// The first token, counted over all samples.
    pub(super) first: usize,
    /// X', D x tokens.
    pub(super) Xt: Panels,
    /// X, tokens x D.
    pub(super) X: Panels,
}

/// Sizes and strides that all heads share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) kernel: Kernel,
    pub(super) trained: Trained,
    pub(super) n: usize,
    pub(super) D: usize,
    pub(super) d: usize,
    pub(super) p: usize,
    /// Stride of weights, D x ... transposed: rows of length D.
    pub(super) weights: usize,
    /// Stride of features: rows of a chunk's tokens, with room for the last sample's last vector.
    pub(super) tokens: usize,
    /// Stride of S' and A'.
    pub(super) scores: usize,
}

impl Shape {
    /// Feature rows of a head: queries q (d), keys kappa (d), values u (p).
    pub(super) fn features(&self) -> usize {
        2 * self.d + self.p
    }

    /// The blocks of a matrix with rows as `Head::weights`: d, d and p rows.
    pub(super) fn blocks<'a>(&self, x: &'a [f64]) -> (&'a [f64], &'a [f64], &'a [f64]) {
        let (q, rest) = x.split_at(self.d * self.weights);
        let (k, v) = rest.split_at(self.d * self.weights);
        (q, k, v)
    }

    /// As [`blocks`](Self::blocks).
    pub(super) fn blocks_mut<'a>(
        &self,
        x: &'a mut [f64],
    ) -> (&'a mut [f64], &'a mut [f64], &'a mut [f64]) {
        let (q, rest) = x.split_at_mut(self.d * self.weights);
        let (k, v) = rest.split_at_mut(self.d * self.weights);
        (q, k, v)
    }

    /// The rows of the named blocks among the features, as at most two ranges.
    fn rows(&self, [q, k, v]: [bool; 3]) -> [Range<usize>; 2] {
        let d = self.d;
        let query_key = (if q { 0 } else { d })..(if k { 2 * d } else { d });
        let value = 2 * d..if v { self.features() } else { 2 * d };
        if query_key.end == value.start {
            [query_key.start..value.end, 0..0]
        } else {
            [query_key, value]
        }
    }

    /// 1 / sqrt(d).
    fn inverse_root_d(&self) -> f64 {
        1.0 / (self.d as f64).sqrt()
    }
}

/// What a head needs of one chunk, kept from the forward to the backward pass.
#[derive(Clone, Debug)]
pub(super) struct Evaluated {
    /// q, kappa, u: features x tokens.
    pub(super) features: Buffer,
    /// S' of each sample, n x n: row j is the key token, column k the query token.
    pub(super) St: Buffer,
    /// The head's part of the output, p x tokens.
    pub(super) out: Buffer,
}

impl Evaluated {
    pub(super) fn new(shape: &Shape, samples: usize) -> Self {
        Evaluated {
            features: Buffer::zeros(shape.features() * shape.tokens),
            St: Buffer::zeros(samples * shape.n * shape.scores),
            out: Buffer::zeros(shape.p * shape.tokens),
        }
    }

    /// S' of every sample, rows `shape.scores` apart.
    pub(super) fn samples(&self, shape: &Shape) -> impl Iterator<Item = &[f64]> {
        self.St.chunks_exact(shape.n * shape.scores)
    }
}

/// Working space of the backward pass.
#[derive(Clone, Debug)]
pub(super) struct Scratch {
    /// Derivatives of the loss by the features: dq, dkappa, du, features x tokens.
    d_features: Buffer,
    /// Residuals of a sample, p x n; zero beyond column n.
    r: Buffer,
    /// A' and A of a sample, n x n; zero beyond column n.
    At: Buffer,
    A: Buffer,
    /// Row sums of A over keys or column sums over queries, n; zero beyond n.
    sums: Buffer,
}

impl Scratch {
    pub(super) fn new(shape: &Shape) -> Self {
        Scratch {
            d_features: Buffer::zeros(shape.features() * shape.tokens),
            r: Buffer::zeros(shape.p * padded(shape.n)),
            At: Buffer::zeros(shape.n * shape.scores),
            A: Buffer::zeros(shape.n * shape.scores),
            sums: Buffer::zeros(padded(shape.n)),
        }
    }
}

/// Features, S and output of one head on one chunk; of the features only the blocks in `changed`
/// are recomputed, and S only if q or kappa changed.
///
/// `weights` holds the rows W^Q', W^K', (W^V W^O)': features x D.
#[inline(always)]
pub(super) fn forward<S: Simd>(
    s: S,
    shape: &Shape,
    chunk: &Chunk,
    weights: &[f64],
    changed: [bool; 3],
    to: &mut Evaluated,
) {
    for rows in shape.rows(changed) {
        if !rows.is_empty() {
            let left = Left {
                x: &weights[rows.start * shape.weights..],
                rows: rows.len(),
                strides: [shape.weights, 1],
            };
            let features = &mut to.features[rows.start * shape.tokens..];
            chunk
                .Xt
                .product(s, left, features, shape.tokens, false, [&[]; 2]);
        }
    }
    for i in 0..chunk.samples {
        let token = i * shape.n;
        let St = &mut to.St[i * shape.n * shape.scores..][..shape.n * shape.scores];
        if changed[0] || changed[1] {
            attention(s, shape, &to.features, token, St);
        }
        let u = &to.features[2 * shape.d * shape.tokens + token..];
        output(s, shape, u, St, &mut to.out[token..]);
    }
}

/// S' of one sample.
#[inline(always)]
fn attention<S: Simd>(s: S, shape: &Shape, features: &[f64], token: usize, St: &mut [f64]) {
    let Shape { n, d, .. } = *shape;
    let cols = padded(n);
    let kappa = Left {
        x: &features[d * shape.tokens + token..],
        rows: n,
        strides: [1, shape.tokens],
    };
    let q = Right {
        x: &features[token..],
        depth: d,
        cols,
        stride: shape.tokens,
    };
    match shape.kernel {
        Kernel::Gaussian => {
            product::<S, Distance>(s, kappa, q, St, shape.scores, false);
            let factor = s.splat(-0.5 * shape.inverse_root_d());
            for j in 0..n {
                for k in (0..cols).step_by(S::L) {
                    let at = j * shape.scores + k;
                    let e = s.exp(s.mul(factor, s.get(St, at)));
                    s.put(St, at, e);
                }
            }
        }
        Kernel::Softmax => {
            product::<S, Dot>(s, kappa, q, St, shape.scores, false);
            let factor = s.splat(shape.inverse_root_d());
            for k in (0..cols).step_by(S::L) {
                let mut top = s.get(St, k);
                for j in 1..n {
                    top = s.max(top, s.get(St, j * shape.scores + k));
                }
                let mut sum = s.splat(0.0);
                for j in 0..n {
                    let at = j * shape.scores + k;
                    let e = s.exp(s.mul(factor, s.sub(s.get(St, at), top)));
                    sum = s.add(sum, e);
                    s.put(St, at, e);
                }
                let inverse = s.div(s.splat(1.0), sum);
                for j in 0..n {
                    let at = j * shape.scores + k;
                    s.put(St, at, s.mul(s.get(St, at), inverse));
                }
            }
        }
    }
}

/// out_ck = sum_j u_cj S'_jk of one sample.
#[inline(always)]
fn output<S: Simd>(s: S, shape: &Shape, u: &[f64], St: &[f64], out: &mut [f64]) {
    for c in 0..shape.p {
        let row = c * shape.tokens;
        for k in (0..padded(shape.n)).step_by(S::L) {
            let mut sum = s.splat(0.0);
            for j in 0..shape.n {
                sum = s.fma(s.splat(u[row + j]), s.get(St, j * shape.scores + k), sum);
            }
            s.put(out, row + k, sum);
        }
    }
}

/// Adds one head's gradient on one chunk to `gradient` (or starts it, unless `add`): features x D,
/// the rows of grad W^Q', grad W^K' and (sum_i X_i' S_ih' r_i)', trained blocks only.
///
/// `from` starts with what the head made of the chunk; what follows is for the next chunks.
/// `r` holds all residuals in the order (i n + k) p + c.
#[inline(always)]
pub(super) fn backward<S: Simd>(
    s: S,
    shape: &Shape,
    chunk: &Chunk,
    from: &[Evaluated],
    r: &[f64],
    scratch: &mut Scratch,
    gradient: (&mut [f64], bool),
) {
    let (from, ahead) = from.split_first().expect("the chunk was evaluated");
    let ahead = ahead
        .first()
        .map_or([&[][..]; 2], |next| [&next.features, &next.St]);
    let Shape { n, p, .. } = *shape;
    let cols = padded(n);
    let [train_q, train_k, train_v] = shape.trained.flags();
    for i in 0..chunk.samples {
        let token = i * n;
        for (k, r) in r[(chunk.first + token) * p..][..n * p]
            .chunks_exact(p)
            .enumerate()
        {
            for (c, &r) in r.iter().enumerate() {
                scratch.r[c * cols + k] = r;
            }
        }
        let St = &from.St[i * n * shape.scores..][..n * shape.scores];
        if train_v {
            let du = &mut scratch.d_features[2 * shape.d * shape.tokens + token..];
            value_gradient(s, shape, St, &scratch.r, du);
        }
        if train_q || train_k {
            let u = &from.features[2 * shape.d * shape.tokens + token..];
            score_gradient(
                s,
                shape,
                St,
                u,
                &from.out[token..],
                &scratch.r,
                &mut scratch.At,
            );
        }
        if train_q {
            query_gradient(s, shape, &from.features, token, scratch);
        }
        if train_k {
            key_gradient(s, shape, &from.features, token, scratch);
        }
    }
    let (gradient, add) = gradient;
    for rows in shape.rows(shape.trained.flags()) {
        if !rows.is_empty() {
            let left = Left {
                x: &scratch.d_features[rows.start * shape.tokens..],
                rows: rows.len(),
                strides: [shape.tokens, 1],
            };
            let gradient = &mut gradient[rows.start * shape.weights..];
            chunk
                .X
                .product(s, left, gradient, shape.weights, add, ahead);
        }
    }
}

/// du_cj = sum_k S'_jk r_ck of one sample.
#[inline(always)]
fn value_gradient<S: Simd>(s: S, shape: &Shape, St: &[f64], r: &[f64], du: &mut [f64]) {
    let cols = padded(shape.n);
    for c in 0..shape.p {
        for j in 0..shape.n {
            let mut sum = s.splat(0.0);
            for k in (0..cols).step_by(S::L) {
                sum = s.fma(s.get(St, j * shape.scores + k), s.get(r, c * cols + k), sum);
            }
            du[c * shape.tokens + j] = s.sum(sum);
        }
    }
}

/// A'_jk = S'_jk sum_c r_ck (u_cj - \[softmax\] out_ck) / sqrt(d) of one sample.
#[inline(always)]
fn score_gradient<S: Simd>(
    s: S,
    shape: &Shape,
    St: &[f64],
    u: &[f64],
    out: &[f64],
    r: &[f64],
    At: &mut [f64],
) {
    let cols = padded(shape.n);
    let factor = s.splat(shape.inverse_root_d());
    for j in 0..shape.n {
        for k in (0..cols).step_by(S::L) {
            let mut sum = s.splat(0.0);
            for c in 0..shape.p {
                let u = s.splat(u[c * shape.tokens + j]);
                let u = match shape.kernel {
                    Kernel::Softmax => s.sub(u, s.get(out, c * shape.tokens + k)),
                    Kernel::Gaussian => u,
                };
                sum = s.fma(s.get(r, c * cols + k), u, sum);
            }
            let at = j * shape.scores + k;
            s.put(At, at, s.mul(s.mul(sum, factor), s.get(St, at)));
        }
    }
}

/// dq_ak = sum_j A'_jk kappa_aj, for the Gaussian less q_ak sum_j A'_jk.
#[inline(always)]
fn query_gradient<S: Simd>(
    s: S,
    shape: &Shape,
    features: &[f64],
    token: usize,
    scratch: &mut Scratch,
) {
    let q = &features[token..];
    let kappa = &features[shape.d * shape.tokens + token..];
    let dq = &mut scratch.d_features[token..];
    let gaussian = shape.kernel == Kernel::Gaussian;
    if gaussian {
        column_sums(s, shape, &scratch.At, &mut scratch.sums);
        minus_scaled(s, shape, q, &scratch.sums, dq);
    }
    contract(s, shape, kappa, &scratch.At, dq, gaussian);
}

/// dkappa_aj = sum_k A_kj q_ak, for the Gaussian less kappa_aj sum_k A_kj.
#[inline(always)]
fn key_gradient<S: Simd>(
    s: S,
    shape: &Shape,
    features: &[f64],
    token: usize,
    scratch: &mut Scratch,
) {
    let q = &features[token..];
    let kappa = &features[shape.d * shape.tokens + token..];
    let dkappa = &mut scratch.d_features[shape.d * shape.tokens + token..];
    let rows = scratch.A.chunks_exact_mut(shape.scores);
    for (k, row) in rows.enumerate() {
        let column = scratch.At[k..].iter().step_by(shape.scores);
        for (A_kj, At_jk) in row[..shape.n].iter_mut().zip(column) {
            *A_kj = *At_jk;
        }
    }
    let gaussian = shape.kernel == Kernel::Gaussian;
    if gaussian {
        column_sums(s, shape, &scratch.A, &mut scratch.sums);
        minus_scaled(s, shape, kappa, &scratch.sums, dkappa);
    }
    contract(s, shape, q, &scratch.A, dkappa, gaussian);
}

/// c_ak (+)= sum_j x_aj A_jk for the d features x of one sample.
#[inline(always)]
fn contract<S: Simd>(s: S, shape: &Shape, x: &[f64], A: &[f64], c: &mut [f64], add: bool) {
    let left = Left {
        x,
        rows: shape.d,
        strides: [shape.tokens, 1],
    };
    let right = Right {
        x: A,
        depth: shape.n,
        cols: padded(shape.n),
        stride: shape.scores,
    };
    product::<S, Dot>(s, left, right, c, shape.tokens, add);
}

/// sums_k = sum_j A_jk.
#[inline(always)]
fn column_sums<S: Simd>(s: S, shape: &Shape, A: &[f64], sums: &mut [f64]) {
    for k in (0..padded(shape.n)).step_by(S::L) {
        let mut sum = s.get(A, k);
        for j in 1..shape.n {
            sum = s.add(sum, s.get(A, j * shape.scores + k));
        }
        s.put(sums, k, sum);
    }
}

/// c_ak = -x_ak sums_k for the d features of one sample.
#[inline(always)]
fn minus_scaled<S: Simd>(s: S, shape: &Shape, x: &[f64], sums: &[f64], c: &mut [f64]) {
    for a in 0..shape.d {
        for k in (0..padded(shape.n)).step_by(S::L) {
            let at = a * shape.tokens + k;
            let negative = s.sub(s.splat(0.0), s.get(sums, k));
            s.put(c, at, s.mul(negative, s.get(x, at)));
        }
    }
}

/// (W^V W^O)', p x D, from W^V', d x D.
#[inline(always)]
pub(super) fn gather_value<S: Simd>(
    s: S,
    shape: &Shape,
    W_O: &[f64],
    value: &[f64],
    v: &mut [f64],
) {
    let left = Left {
        x: W_O,
        rows: shape.p,
        strides: [1, shape.p],
    };
    let right = Right {
        x: value,
        depth: shape.d,
        cols: padded(shape.D),
        stride: shape.weights,
    };
    product::<S, Dot>(s, left, right, v, shape.weights, false);
}

/// W^O z, d x D: the gradient of W^V' from z, p x D.
#[inline(always)]
pub(super) fn spread_value<S: Simd>(
    s: S,
    shape: &Shape,
    W_O: &[f64],
    z: &[f64],
    d_value: &mut [f64],
) {
    let left = Left {
        x: W_O,
        rows: shape.d,
        strides: [shape.p, 1],
    };
    let right = Right {
        x: z,
        depth: shape.p,
        cols: padded(shape.D),
        stride: shape.weights,
    };
    product::<S, Dot>(s, left, right, d_value, shape.weights, false);
}

/// w -= eta g, entry by entry; returns |w|^2 and |w - start|^2 afterwards.
#[inline(always)]
pub(super) fn descend<S: Simd>(
    s: S,
    w: &mut [f64],
    g: &[f64],
    eta: f64,
    start: &[f64],
) -> [f64; 2] {
    let minus_eta = s.splat(-eta);
    let (mut square, mut moved) = (s.splat(0.0), s.splat(0.0));
    let (g, start) = (&g[..w.len()], &start[..w.len()]);
    let mut at = 0;
    while at + S::L <= w.len() {
        let new = s.fma(minus_eta, s.get(g, at), s.get(w, at));
        let off = s.sub(new, s.get(start, at));
        square = s.fma(new, new, square);
        moved = s.fma(off, off, moved);
        s.put(w, at, new);
        at += S::L;
    }
    [s.sum(square), s.sum(moved)]
}

/// x += y, entry by entry.
#[inline(always)]
pub(super) fn accumulate<S: Simd>(s: S, x: &mut [f64], y: &[f64]) {
    for at in (0..x.len()).step_by(S::L) {
        let sum = s.add(s.get(x, at), s.get(y, at));
        s.put(x, at, sum);
    }
}

/// |x|^2.
#[inline(always)]
pub(super) fn square<S: Simd>(s: S, x: &[f64]) -> f64 {
    let mut sum = s.splat(0.0);
    for at in (0..x.len()).step_by(S::L) {
        let x = s.get(x, at);
        sum = s.fma(x, x, sum);
    }
    s.sum(sum)
}
