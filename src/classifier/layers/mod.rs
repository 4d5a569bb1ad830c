//! The layers, each a forward and a backward on row-major slices.
//!
//! Backward functions add to the parameters' gradient and say what they do with the input's.

pub(super) mod dropout;
pub(super) mod embedding;
pub(super) mod gelu;
pub(super) mod linear;
pub(super) mod loss;
pub(super) mod norm;
pub(super) mod pooling;
#[cfg(test)]
mod tests;

use super::Real;

/// Partial sums of this many numbers at once: a vector or more, so that sums vectorise.
const LANES: usize = 16;

/// sum over i of f(i), i < len, in a fixed order.
#[inline(always)]
fn sum<T: Real>(len: usize, f: impl Fn(usize) -> T) -> T {
    let mut lanes = [T::default(); LANES];
    let whole = len - len % LANES;
    for at in (0..whole).step_by(LANES) {
        for (l, lane) in lanes.iter_mut().enumerate() {
            *lane += f(at + l);
        }
    }
    for (lane, i) in lanes.iter_mut().zip(whole..len) {
        *lane += f(i);
    }
    let mut half = LANES / 2;
    while half > 0 {
        for l in 0..half {
            let other = lanes[l + half];
            lanes[l] += other;
        }
        half /= 2;
    }
    lanes[0]
}

/// out += the sum of some rows of x.
///
/// Rows are summed in runs, then the runs, so that the rounding error grows little with the number of rows.
#[inline(always)]
fn add_rows<T: Real>(rows: impl ExactSizeIterator<Item = usize> + Clone, x: &[T], out: &mut [T]) {
    const RUN: usize = 256;
    const COLUMNS: usize = 64;
    let width = out.len();
    for (at, out) in (0..width).step_by(COLUMNS).zip(out.chunks_mut(COLUMNS)) {
        let mut rows = rows.clone();
        while rows.len() > 0 {
            let mut run = [T::default(); COLUMNS];
            for row in rows.by_ref().take(RUN) {
                let x = &x[row * width + at..][..out.len()];
                for (sum, &x) in run.iter_mut().zip(x) {
                    *sum += x;
                }
            }
            for (out, &sum) in out.iter_mut().zip(&run) {
                *out += sum;
            }
        }
    }
}
