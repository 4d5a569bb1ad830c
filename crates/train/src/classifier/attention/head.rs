//! One head of one sample: forward for some of its queries, backward for some of its keys.
//!
//! Exponents are to base 2: with c = log2(e) / sqrt(p), queries and keys are multiplied by sqrt(c) while they are packed, and
//!
//! ```text
//! softmax:   S_ij = 2^(q_i . k_j - lse_i)
//! Gaussian:  S_ij = 2^(q_i . k_j - |q_i|^2 / 2 - |k_j|^2 / 2)
//! ```
//!
//! The Gaussian's weights do not change when all queries and keys of a head shift, so both are taken relative to the mean key.
//! What cancels in the exponent is E = |q_i|^2 / 2 + |k_j|^2 / 2; its rounding error is at most (p + 3) u E, u = 2^-24, and
//! seldom more than sqrt(p) u E. Where E may exceed [`EXPANSION_LIMIT`] in a tile, the exponent is instead
//! -|q_i - k_j|^2 / 2 by differences, with relative error (p + 3) u: no cancellation.
//!
//! The softmax needs a reference to keep its powers in range, not the exact maximum: a row's largest score among the first
//! keys serves until a sum of powers passes [`SUM_LIMIT`]; then the strip is done again with the maximum.
//!
//! Backward, with P = S, dP_ij = dout_i . v_j and D_i = dout_i . out_i:
//!
//! ```text
//! dS_ij = S_ij (dP_ij - D_i) for softmax, S_ij dP_ij for the Gaussian;   dv_j = sum_i S_ij dout_i
//! softmax:   dq_i ~ sum_j dS_ij k_j               dk_j ~ sum_i dS_ij q_i
//! Gaussian:  dq_i ~ sum_j dS_ij k_j - D_i q_i     dk_j ~ sum_i dS_ij q_i - (v_j . dv_j) k_j
//! ```
//!
//! because sum_j S_ij dP_ij = D_i and sum_i S_ij dP_ij = v_j . dv_j.

use super::Rows;
use super::fused::{
    AHEAD, Arena, Frame, Left, MR, NEVER, Tile, accumulate, dot, multiply, pack_rows, transpose,
};
use gdcert_base::Kernel;
use gdcert_base::simd::single::Simd;
use std::ops::Range;

/// Largest E, in units of the base-2 exponent, for which exponents are formed by expansion: error below 9e-5 at p = 32
/// in the worst case, about 1e-5 seen.
pub(super) const EXPANSION_LIMIT: f32 = 40.0;

/// Sum of powers from which on the softmax's reference is renewed: far from overflow even after multiplication
/// by values.
const SUM_LIMIT: f32 = 1e18;

/// Queries between two updates of dk and dv; a multiple of [`MR`].
const QUERIES: usize = 96;

/// One head of one sample.
#[derive(Clone, Copy)]
pub(super) struct Pair<'a> {
    pub(super) kernel: Kernel,
    pub(super) p: usize,
    pub(super) head: usize,
    pub(super) heads: usize,
    pub(super) q: Rows<'a, f32>,
    pub(super) k: Rows<'a, f32>,
    pub(super) v: Rows<'a, f32>,
    /// The keys that are not masked.
    pub(super) keys: &'a [u32],
}

impl Pair<'_> {
    fn columns(&self) -> Range<usize> {
        self.head * self.p..(self.head + 1) * self.p
    }

    /// c, the factor of the exponents to base 2.
    fn base2(&self) -> f32 {
        std::f32::consts::LOG2_E / (self.p as f32).sqrt()
    }

    /// The shift of queries and keys: the mean key, 0 for the softmax.
    #[inline(always)]
    fn centre(&self, centre: &mut [f32]) {
        centre.fill(0.0);
        if self.kernel == Kernel::Gaussian && !self.keys.is_empty() {
            for &key in self.keys {
                self.k
                    .prefetch(key as usize + AHEAD, self.head * self.p, self.p);
                for (sum, &x) in centre
                    .iter_mut()
                    .zip(self.k.row(key as usize, self.columns()))
                {
                    *sum += x;
                }
            }
            let share = 1.0 / self.keys.len() as f32;
            centre.iter_mut().for_each(|x| *x *= share);
        }
    }
}

/// |x|^2 / 2 of a packed row.
#[inline(always)]
fn half_square(x: &[f32]) -> f32 {
    0.5 * dot(x, x)
}

/// A block of keys, packed.
struct Block<'a> {
    /// Rows of keys, 0 up to a whole panel; stale beyond.
    rows: &'a mut [f32],
    /// Panels of keys, of one tile's width.
    panels: &'a mut [f32],
    /// What each key adds to the exponent by expansion, and by differences.
    bias: [&'a mut [f32]; 2],
    /// Largest |k_j|^2 / 2.
    far: f32,
}

impl Block<'_> {
    #[inline(always)]
    fn pack(&mut self, pair: &Pair, keys: &[u32], frame: Frame, width: usize, panel: usize) {
        let rows = &mut self.rows[..keys.len().next_multiple_of(panel) * width];
        let key_rows = keys.iter().map(|&key| key as usize);
        pack_rows(key_rows, pair.k, pair.head * pair.p, frame, width, rows);
        transpose(rows, width, panel, self.panels);
        let [expanded, differences] = &mut self.bias;
        expanded.fill(NEVER);
        differences.fill(NEVER);
        differences[..keys.len()].fill(0.0);
        self.far = 0.0;
        match pair.kernel {
            Kernel::Softmax => expanded[..keys.len()].fill(0.0),
            Kernel::Gaussian => {
                let expanded = &mut expanded[..keys.len()];
                for (bias, row) in expanded.iter_mut().zip(rows.chunks_exact(width)) {
                    let square = half_square(row);
                    self.far = self.far.max(square);
                    *bias = -square;
                }
            }
        }
    }
}

/// Exponents of a strip of queries on one panel of keys.
#[inline(always)]
fn exponents<S: Simd, const NV: usize, const DISTANCE: bool>(
    s: S,
    p: usize,
    strip: &[f32],
    offsets: &[f32],
    block: &Block,
    first: usize,
) -> Tile<S, NV> {
    let features = strip.len() / MR;
    let panel = &block.panels[first * features..][..features * NV * S::L];
    let bias = &block.bias[usize::from(DISTANCE)][first..][..NV * S::L];
    let offsets = &offsets[..MR];
    // SAFETY: bias has NV vectors.
    let bias: [S::V; NV] = std::array::from_fn(|v| unsafe { s.load(bias.as_ptr().add(v * S::L)) });
    if DISTANCE {
        let mut tile = [[s.splat(0.0); NV]; MR];
        multiply::<S, NV, true>(s, p, strip, panel, &mut tile);
        for row in &mut tile {
            for (x, &bias) in row.iter_mut().zip(&bias) {
                *x = s.fma(*x, s.splat(-0.5), bias);
            }
        }
        tile
    } else {
        let mut tile: Tile<S, NV> = std::array::from_fn(|i| {
            let offset = s.splat(offsets[i]);
            std::array::from_fn(|v| s.add(offset, bias[v]))
        });
        multiply::<S, NV, false>(s, p, strip, panel, &mut tile);
        tile
    }
}

/// Writes a tile into rows `stride` apart.
#[inline(always)]
fn store<S: Simd, const NV: usize>(s: S, tile: &Tile<S, NV>, stride: usize, out: &mut [f32]) {
    assert!((MR - 1) * stride + NV * S::L <= out.len());
    for (i, row) in tile.iter().enumerate() {
        for (v, &x) in row.iter().enumerate() {
            // SAFETY: in bounds as asserted.
            unsafe { s.store(out.as_mut_ptr().add(i * stride + v * S::L), x) };
        }
    }
}

/// The largest entry; a NaN may be passed over, which the sum of powers shows.
#[inline(always)]
fn largest<S: Simd>(s: S, x: S::V) -> f32 {
    let mut x = s.entries(x);
    let mut half = S::L / 2;
    while half > 0 {
        for l in 0..half {
            x[l] = if x[l] > x[l + half] {
                x[l]
            } else {
                x[l + half]
            };
        }
        half /= 2;
    }
    x[0]
}

/// A strip's powers on a block of keys, and their sums if `SUMS`. With `refer` (the offsets are 0 yet) the largest of each
/// row's scores on the first panel becomes its reference.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn powers<S: Simd, const NV: usize, const STRIDE: usize, const DISTANCE: bool, const SUMS: bool>(
    s: S,
    refer: bool,
    p: usize,
    strip: &[f32],
    offsets: &mut [f32],
    block: &Block,
    count: usize,
    weights: &mut [f32],
) -> [S::V; MR] {
    let mut sums = [s.splat(0.0); MR];
    for first in (0..count).step_by(NV * S::L) {
        let mut tile = exponents::<S, NV, DISTANCE>(s, p, strip, offsets, block, first);
        if refer && first == 0 {
            for (row, offset) in tile.iter_mut().zip(offsets.iter_mut()) {
                let top = row[1..].iter().fold(row[0], |top, &x| s.max(top, x));
                *offset = -largest(s, top);
                row.iter_mut()
                    .for_each(|x| *x = s.add(*x, s.splat(*offset)));
            }
        }
        for (row, sum) in tile.iter_mut().zip(&mut sums) {
            for x in row {
                *x = s.exp2(*x);
                if SUMS {
                    *sum = s.add(*sum, *x);
                }
            }
        }
        store::<S, NV>(s, &tile, STRIDE, &mut weights[first..]);
    }
    sums
}

/// The softmax's powers of a strip, done again with each row's maximum as the reference: what was summed with the old
/// reference is scaled to the new.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn renew<S: Simd, const NV: usize, const STRIDE: usize>(
    s: S,
    p: usize,
    strip: &[f32],
    offsets: &mut [f32],
    block: &Block,
    count: usize,
    weights: &mut [f32],
    out: &mut [f32],
    sums: &mut [f32],
) {
    for first in (0..count).step_by(NV * S::L) {
        let tile = exponents::<S, NV, false>(s, p, strip, &[0.0; MR], block, first);
        store::<S, NV>(s, &tile, STRIDE, &mut weights[first..]);
    }
    let width = out.len() / MR;
    for i in 0..MR {
        let scores = &mut weights[i * STRIDE..][..count];
        let old = -offsets[i];
        let top = scores
            .iter()
            .fold(old, |top, &x| if x > top || x.is_nan() { x } else { top });
        let shrink = (old - top).exp2();
        out[i * width..][..width]
            .iter_mut()
            .for_each(|x| *x *= shrink);
        let sums = &mut sums[i * S::L..][..S::L];
        sums.iter_mut().for_each(|x| *x *= shrink);
        for x in scores.iter_mut() {
            *x = (*x - top).exp2();
        }
        for (j, &x) in scores.iter().enumerate() {
            sums[j % S::L] += x;
        }
        offsets[i] = -top;
    }
}

/// Output rows of the queries `queries`: `place(row)`, asked once for each, is where a row's output and lse go.
///
/// Strips begin at the first query: cut at multiples of [`MR`], a head's queries give the same numbers in one call or in
/// several.
#[inline(always)]
pub(super) fn forward<'w, S: Simd, const NV: usize, const BLOCK: usize, const STRIDE: usize>(
    s: S,
    pair: &Pair,
    queries: Range<usize>,
    arena: &mut Arena,
    mut place: impl FnMut(usize) -> (&'w mut [f32], &'w mut f32),
) {
    let lanes = S::L;
    let p = pair.p;
    let width = p.next_multiple_of(lanes);
    let rows = queries.len().next_multiple_of(MR);
    let soft = pair.kernel == Kernel::Softmax;
    let [
        centre,
        origin,
        q_rows,
        out,
        offsets,
        sums,
        k_rows,
        panels,
        v_rows,
        expanded,
        differences,
        weights,
    ] = arena.take([
        p,
        p,
        rows * width,
        rows * width,
        rows,
        rows * lanes,
        BLOCK * width,
        BLOCK * width,
        BLOCK * width,
        BLOCK,
        BLOCK,
        MR * STRIDE,
    ]);
    pair.centre(centre);
    origin.fill(0.0);
    let frame = Frame {
        centre,
        scale: pair.base2().sqrt(),
    };
    let plain = Frame {
        centre: origin,
        scale: 1.0,
    };
    pack_rows(queries.clone(), pair.q, pair.head * p, frame, width, q_rows);
    out.fill(0.0);
    sums.fill(0.0);
    offsets.fill(0.0);
    if !soft {
        for (offset, q) in offsets.iter_mut().zip(q_rows.chunks_exact(width)) {
            *offset = -half_square(q);
        }
    }
    let mut block = Block {
        rows: k_rows,
        panels,
        bias: [expanded, differences],
        far: 0.0,
    };
    for (index, keys) in pair.keys.chunks(BLOCK).enumerate() {
        block.pack(pair, keys, frame, width, NV * lanes);
        let key_rows = keys.iter().map(|&key| key as usize);
        pack_rows(
            key_rows,
            pair.v,
            pair.head * p,
            plain,
            width,
            &mut v_rows[..keys.len() * width],
        );
        for row in (0..rows).step_by(MR) {
            let strip = &q_rows[row * width..][..MR * width];
            let offsets = &mut offsets[row..][..MR];
            let out = &mut out[row * width..][..MR * width];
            let count = keys.len();
            if soft {
                let sums = &mut sums[row * lanes..][..MR * lanes];
                let refer = index == 0;
                let new = powers::<S, NV, STRIDE, false, true>(
                    s, refer, p, strip, offsets, &block, count, weights,
                );
                // Powers are not negative: this bounds each row's sum, and is not less than anything if one is NaN.
                let total = new[1..].iter().fold(new[0], |sum, &x| s.add(sum, x));
                if s.all_below(total, SUM_LIMIT) {
                    for (sums, &new) in sums.chunks_exact_mut(lanes).zip(&new) {
                        // SAFETY: the chunk has L numbers.
                        unsafe {
                            let sum = s.add(s.load(sums.as_ptr()), new);
                            s.store(sums.as_mut_ptr(), sum);
                        }
                    }
                } else {
                    renew::<S, NV, STRIDE>(s, p, strip, offsets, &block, count, weights, out, sums);
                }
            } else if block.far - smallest(offsets) > EXPANSION_LIMIT {
                powers::<S, NV, STRIDE, true, false>(
                    s, false, p, strip, offsets, &block, count, weights,
                );
            } else {
                powers::<S, NV, STRIDE, false, false>(
                    s, false, p, strip, offsets, &block, count, weights,
                );
            }
            let left = Left {
                x: weights,
                rows: MR,
                depth: count,
            };
            accumulate::<S, MR, STRIDE, 1>(s, left, v_rows, width, out);
        }
    }
    for (i, row) in queries.enumerate() {
        let (sum, lse) = if soft && !pair.keys.is_empty() {
            let sum: f32 = sums[i * lanes..][..lanes].iter().sum();
            (sum, sum.log2() - offsets[i])
        } else {
            (1.0, 0.0)
        };
        let (to, to_lse) = place(row);
        for (to, &x) in to.iter_mut().zip(&out[i * width..]) {
            *to = x / sum;
        }
        *to_lse = lse;
    }
}

#[inline(always)]
fn smallest(x: &[f32]) -> f32 {
    x.iter().fold(f32::INFINITY, |least, &x| least.min(x))
}

/// What the backward pass is given besides the head: output, its lse and its derivative.
#[derive(Clone, Copy)]
pub(super) struct Given<'a> {
    pub(super) out: Rows<'a, f32>,
    pub(super) lse: &'a [f32],
    pub(super) dout: Rows<'a, f32>,
}

/// For the keys `part`: `place_key(row)` is where a key's derivatives dk and dv go, `place_query(row)` where the part's
/// share of a query's derivative goes, each asked once a row. The parts' sum is the derivative; `first` says that this is
/// the first part.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
pub(super) fn backward<
    'w,
    S: Simd,
    const NV: usize,
    const MK: usize,
    const BLOCK: usize,
    const STRIDE: usize,
>(
    s: S,
    pair: &Pair,
    queries: Range<usize>,
    part: &[u32],
    first: bool,
    given: Given,
    arena: &mut Arena,
    mut place_key: impl FnMut(usize) -> [&'w mut [f32]; 2],
    mut place_query: impl FnMut(usize) -> &'w mut [f32],
) {
    let lanes = S::L;
    let p = pair.p;
    let width = p.next_multiple_of(lanes);
    let rows = queries.len().next_multiple_of(MR);
    let soft = pair.kernel == Kernel::Softmax;
    let [
        centre,
        origin,
        q_rows,
        g_rows,
        dq,
        offsets,
        means,
        k_rows,
        k_panels,
        v_rows,
        v_panels,
        dk,
        dv,
        expanded,
        differences,
        weights,
        slopes,
    ] = arena.take([
        p,
        p,
        rows * width,
        rows * width,
        rows * width,
        rows,
        rows,
        BLOCK * width,
        BLOCK * width,
        BLOCK * width,
        BLOCK * width,
        BLOCK * width,
        BLOCK * width,
        BLOCK,
        BLOCK,
        QUERIES * STRIDE,
        QUERIES * STRIDE,
    ]);
    pair.centre(centre);
    origin.fill(0.0);
    let frame = Frame {
        centre,
        scale: pair.base2().sqrt(),
    };
    let plain = Frame {
        centre: origin,
        scale: 1.0,
    };
    // From sums over packed queries and keys to derivatives.
    let unscale = 1.0 / ((p as f32).sqrt() * frame.scale);
    pack_rows(queries.clone(), pair.q, pair.head * p, frame, width, q_rows);
    pack_rows(
        queries.clone(),
        given.dout,
        pair.head * p,
        plain,
        width,
        g_rows,
    );
    dq.fill(0.0);
    offsets.fill(0.0);
    means.fill(0.0);
    for (i, row) in queries.clone().enumerate() {
        given.out.prefetch(row + AHEAD, pair.head * p, p);
        let mean = dot(
            given.out.row(row, pair.columns()),
            &g_rows[i * width..][..p],
        );
        if soft {
            offsets[i] = -given.lse[row * pair.heads + pair.head];
            means[i] = -mean;
        } else {
            let q = &q_rows[i * width..][..width];
            offsets[i] = -half_square(q);
            if first {
                for (dq, &q) in dq[i * width..][..width].iter_mut().zip(q) {
                    *dq = -mean * q;
                }
            }
        }
    }
    let mut block = Block {
        rows: k_rows,
        panels: k_panels,
        bias: [expanded, differences],
        far: 0.0,
    };
    for keys in part.chunks(BLOCK) {
        let count = keys.len();
        block.pack(pair, keys, frame, width, NV * lanes);
        let v_rows = &mut v_rows[..count.next_multiple_of(NV * lanes) * width];
        let key_rows = keys.iter().map(|&key| key as usize);
        pack_rows(key_rows, pair.v, pair.head * p, plain, width, v_rows);
        transpose(v_rows, width, NV * lanes, v_panels);
        dk.fill(0.0);
        dv.fill(0.0);
        for start in (0..rows).step_by(QUERIES) {
            let tall = QUERIES.min(rows - start);
            for row in (start..start + tall).step_by(MR) {
                let at = (row - start) * STRIDE..(row - start + MR) * STRIDE;
                let (weights, slopes) = (&mut weights[at.clone()], &mut slopes[at]);
                let [q, g] = [&*q_rows, &*g_rows].map(|x| &x[row * width..][..MR * width]);
                let offsets = &offsets[row..][..MR];
                let means = &means[row..][..MR];
                if !soft && block.far - smallest(offsets) > EXPANSION_LIMIT {
                    strip_slopes::<S, NV, STRIDE, true>(
                        s,
                        p,
                        [q, g],
                        [offsets, means],
                        &block,
                        v_panels,
                        count,
                        weights,
                        slopes,
                    );
                } else {
                    strip_slopes::<S, NV, STRIDE, false>(
                        s,
                        p,
                        [q, g],
                        [offsets, means],
                        &block,
                        v_panels,
                        count,
                        weights,
                        slopes,
                    );
                }
                let left = Left {
                    x: slopes,
                    rows: MR,
                    depth: count,
                };
                accumulate::<S, MR, STRIDE, 1>(s, left, block.rows, width, &mut dq[row * width..]);
            }
            // Sums of keys that are not there are never read.
            let transposed = |x| Left {
                x,
                rows: count.next_multiple_of(MK),
                depth: tall,
            };
            let (q, g) = (&q_rows[start * width..], &g_rows[start * width..]);
            accumulate::<S, MK, 1, STRIDE>(s, transposed(weights), g, width, dv);
            accumulate::<S, MK, 1, STRIDE>(s, transposed(slopes), q, width, dk);
        }
        for (j, &key) in keys.iter().enumerate() {
            let dv = &dv[j * width..][..p];
            let mean = if soft {
                0.0
            } else {
                dot(&v_rows[j * width..][..p], dv)
            };
            let [to_dk, to_dv] = place_key(key as usize);
            let dk = dk[j * width..].iter().zip(&block.rows[j * width..]);
            for (to, (&dk, &k)) in to_dk.iter_mut().zip(dk) {
                *to = unscale * (dk - mean * k);
            }
            to_dv.copy_from_slice(dv);
        }
    }
    for (i, row) in queries.enumerate() {
        for (to, &dq) in place_query(row).iter_mut().zip(&dq[i * width..]) {
            *to = unscale * dq;
        }
    }
}

/// S and dS of a strip of queries on a block of keys.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn strip_slopes<S: Simd, const NV: usize, const STRIDE: usize, const DISTANCE: bool>(
    s: S,
    p: usize,
    [q, g]: [&[f32]; 2],
    [offsets, means]: [&[f32]; 2],
    block: &Block,
    v_panels: &[f32],
    count: usize,
    weights: &mut [f32],
    slopes: &mut [f32],
) {
    let features = q.len() / MR;
    for first in (0..count).step_by(NV * S::L) {
        let mut tile = exponents::<S, NV, DISTANCE>(s, p, q, offsets, block, first);
        for row in &mut tile {
            for x in row {
                *x = s.exp2(*x);
            }
        }
        store::<S, NV>(s, &tile, STRIDE, &mut weights[first..]);
        let mut slope: Tile<S, NV> = std::array::from_fn(|i| [s.splat(means[i]); NV]);
        multiply::<S, NV, false>(s, p, g, &v_panels[first * features..], &mut slope);
        for (i, row) in slope.iter_mut().enumerate() {
            for (v, x) in row.iter_mut().enumerate() {
                let at = &weights[i * STRIDE + first + v * S::L..][..S::L];
                // SAFETY: the slice has L numbers.
                *x = s.mul(*x, unsafe { s.load(at.as_ptr()) });
            }
        }
        store::<S, NV>(s, &slope, STRIDE, &mut slopes[first..]);
    }
}
