//! Small products in registers, and the packed copies they read.
//!
//! Scores are formed in tiles of [`MR`] queries by `NV` vectors of keys, all accumulators in registers. Queries are packed
//! as rows, keys in panels of one tile's width, feature by feature.

use super::Rows;
use gdcert_base::simd::single::Simd;

/// Queries in a tile of scores.
pub(super) const MR: usize = 6;

/// Exponent of a key that is not there: 2^x is 0, and no arithmetic on it makes a NaN.
pub(super) const NEVER: f32 = -1e30;

/// How many rows before it is needed a row of a matrix is asked for: rows lie apart, which the processor does not foresee.
pub(super) const AHEAD: usize = 12;

/// Memory that starts on a cache line, kept from call to call.
#[derive(Default)]
pub(super) struct Arena {
    numbers: Vec<f32>,
}

impl Arena {
    /// One slice for each length, with whatever was there before.
    pub(super) fn take<const N: usize>(&mut self, lengths: [usize; N]) -> [&mut [f32]; N] {
        const LINE: usize = 16;
        let need: usize = lengths.iter().map(|len| len.next_multiple_of(LINE)).sum();
        if self.numbers.len() < need + LINE {
            self.numbers = vec![0.0; need + LINE];
        }
        // Alignment is for speed only, so 0 is allowed.
        let start = match self.numbers.as_ptr().align_offset(4 * LINE) {
            start if start <= LINE => start,
            _ => 0,
        };
        let mut rest = &mut self.numbers[start..];
        lengths.map(|len| {
            let (slice, others) =
                std::mem::take(&mut rest).split_at_mut(len.next_multiple_of(LINE));
            rest = others;
            &mut slice[..len]
        })
    }
}

/// How rows are packed: (x - centre) * scale.
#[derive(Clone, Copy)]
pub(super) struct Frame<'a> {
    pub(super) centre: &'a [f32],
    pub(super) scale: f32,
}

/// Rows of `width` numbers, 0 to the right of the features and below the last row.
#[inline(always)]
pub(super) fn pack_rows(
    rows: impl Iterator<Item = usize>,
    x: Rows<f32>,
    column: usize,
    frame: Frame,
    width: usize,
    out: &mut [f32],
) {
    let p = frame.centre.len();
    let mut out = out.chunks_exact_mut(width);
    for (row, out) in rows.zip(&mut out) {
        x.prefetch(row + AHEAD, column, p);
        let x = &x.values[row * x.stride + column..][..p];
        let (out, right) = out.split_at_mut(p);
        for ((out, &x), &centre) in out.iter_mut().zip(x).zip(frame.centre) {
            *out = (x - centre) * frame.scale;
        }
        // Seldom any; and filling none would be a call.
        if !right.is_empty() {
            right.fill(0.0);
        }
    }
    out.for_each(|below| below.fill(0.0));
}

/// Packed rows in panels of `panel`, feature by feature: row r, feature d at
/// `(r / panel) width panel + d panel + r % panel`. `width` and `panel` are multiples of 4.
#[inline(always)]
pub(super) fn transpose(rows: &[f32], width: usize, panel: usize, out: &mut [f32]) {
    debug_assert!(width.is_multiple_of(4) && panel.is_multiple_of(4));
    let size = width * panel;
    for (rows, out) in rows.chunks_exact(size).zip(out.chunks_exact_mut(size)) {
        let (rows, _) = rows.as_chunks::<4>();
        let (out, _) = out.as_chunks_mut::<4>();
        for r in (0..panel).step_by(4) {
            for d in (0..width).step_by(4) {
                let x: [[f32; 4]; 4] = std::array::from_fn(|i| rows[((r + i) * width + d) / 4]);
                for i in 0..4 {
                    out[((d + i) * panel + r) / 4] = [x[0][i], x[1][i], x[2][i], x[3][i]];
                }
            }
        }
    }
}

/// A tile of scores.
pub(super) type Tile<S, const NV: usize> = [[<S as Simd>::V; NV]; MR];

/// tile += strip panel, the strip being [`MR`] whole rows; with `DISTANCE`, tile += sum over features of (strip - panel)^2.
#[inline(always)]
pub(super) fn multiply<S: Simd, const NV: usize, const DISTANCE: bool>(
    s: S,
    p: usize,
    strip: &[f32],
    panel: &[f32],
    tile: &mut Tile<S, NV>,
) {
    let stride = strip.len() / MR;
    assert!(p <= stride && panel.len() >= p * NV * S::L);
    let (mut a, mut b) = (strip.as_ptr(), panel.as_ptr());
    for _ in 0..p {
        // SAFETY: feature d < p reads strip[i stride + d], i < MR, and panel[d NV L ..][.. NV L], in bounds as
        // asserted; the pointers end at most one past the slices.
        unsafe {
            let y: [S::V; NV] = std::array::from_fn(|v| s.load(b.add(v * S::L)));
            for (i, row) in tile.iter_mut().enumerate() {
                let x = s.splat(*a.add(i * stride));
                for (sum, &y) in row.iter_mut().zip(&y) {
                    *sum = if DISTANCE {
                        let w = s.sub(y, x);
                        s.fma(w, w, *sum)
                    } else {
                        s.fma(x, y, *sum)
                    };
                }
            }
            a = a.add(1);
            b = b.add(NV * S::L);
        }
    }
}

/// One matrix of weights as the left factor of a product: entry (row, depth) is `x[row * ROW + depth * DEPTH]`,
/// see [`accumulate`].
#[derive(Clone, Copy)]
pub(super) struct Left<'a> {
    pub(super) x: &'a [f32],
    pub(super) rows: usize,
    pub(super) depth: usize,
}

/// out += weights x: `rows` a multiple of M, rows of x and out `width` long, a multiple of L.
///
/// The weights' rows are `ROW` apart and their columns `DEPTH`: known when compiled, these need no registers.
#[inline(always)]
pub(super) fn accumulate<S: Simd, const M: usize, const ROW: usize, const DEPTH: usize>(
    s: S,
    weights: Left,
    x: &[f32],
    width: usize,
    out: &mut [f32],
) {
    let Left { x: w, rows, depth } = weights;
    assert!(rows.is_multiple_of(M) && width.is_multiple_of(S::L) && rows > 0 && depth > 0);
    assert!((rows - 1) * ROW + (depth - 1) * DEPTH < w.len());
    assert!(depth * width <= x.len() && rows * width <= out.len());
    let mut column = 0;
    while column < width {
        // Two vectors of columns at once, one where only one is left.
        let two = column + 2 * S::L <= width;
        for row in (0..rows).step_by(M) {
            // SAFETY: rows row + M <= rows, depths < depth, and columns column.. of one or two vectors within width
            // are in bounds of the three slices as asserted.
            unsafe {
                let w = w.as_ptr().add(row * ROW);
                let x = x.as_ptr().add(column);
                let out = out.as_mut_ptr().add(row * width + column);
                if two {
                    accumulate_tile::<S, M, 2, ROW, DEPTH>(s, depth, w, x, out, width);
                } else {
                    accumulate_tile::<S, M, 1, ROW, DEPTH>(s, depth, w, x, out, width);
                }
            }
        }
        column += if two { 2 * S::L } else { S::L };
    }
}

/// M rows by C vectors of [`accumulate`].
///
/// # Safety
/// Valid: w at i ROW + t DEPTH, x at t width .. + C L (reads), out at i width .. + C L (reads and writes),
/// for i < M, t < depth.
#[inline(always)]
unsafe fn accumulate_tile<
    S: Simd,
    const M: usize,
    const C: usize,
    const ROW: usize,
    const DEPTH: usize,
>(
    s: S,
    depth: usize,
    mut w: *const f32,
    mut x: *const f32,
    out: *mut f32,
    width: usize,
) {
    // SAFETY: the caller's promise covers each access below.
    unsafe {
        let mut sums: [[S::V; C]; M] =
            std::array::from_fn(|i| std::array::from_fn(|c| s.load(out.add(i * width + c * S::L))));
        for _ in 0..depth {
            let y: [S::V; C] = std::array::from_fn(|c| s.load(x.add(c * S::L)));
            for (i, row) in sums.iter_mut().enumerate() {
                let w = s.splat(*w.add(i * ROW));
                for (sum, &y) in row.iter_mut().zip(&y) {
                    *sum = s.fma(w, y, *sum);
                }
            }
            // Past the end after the last round, and not read there.
            w = w.wrapping_add(DEPTH);
            x = x.wrapping_add(width);
        }
        for (i, row) in sums.iter().enumerate() {
            for (c, &sum) in row.iter().enumerate() {
                s.store(out.add(i * width + c * S::L), sum);
            }
        }
    }
}

/// sum of x_i y_i in f64, which makes its error negligible.
#[inline(always)]
pub(super) fn dot(x: &[f32], y: &[f32]) -> f32 {
    debug_assert_eq!(x.len(), y.len());
    let product = |x: f32, y: f32| f64::from(x) * f64::from(y);
    let ((x8, x1), (y8, y1)) = (x.as_chunks::<8>(), y.as_chunks::<8>());
    let mut sums = [0.0; 8];
    for (x, y) in x8.iter().zip(y8) {
        for (sum, (&x, &y)) in sums.iter_mut().zip(x.iter().zip(y)) {
            *sum += product(x, y);
        }
    }
    for (sum, (&x, &y)) in sums.iter_mut().zip(x1.iter().zip(y1)) {
        *sum += product(x, y);
    }
    // Halves, so that these are vectors too.
    let sums: [f64; 4] = std::array::from_fn(|l| sums[l] + sums[l + 4]);
    ((sums[0] + sums[2]) + (sums[1] + sums[3])) as f32
}
