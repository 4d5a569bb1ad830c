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

/// sum over i of f(x_0[i], x_1[i], ...), in a fixed order; the slices are equally long.
#[inline(always)]
fn sum<T: Real, const K: usize>(x: [&[T]; K], f: impl Fn([T; K]) -> T) -> T {
    let x = x.map(|x| x.as_chunks::<LANES>());
    let mut lanes = [T::default(); LANES];
    for at in 0..x[0].0.len() {
        let x = x.map(|(whole, _)| &whole[at]);
        for (l, lane) in lanes.iter_mut().enumerate() {
            *lane += f(x.map(|x| x[l]));
        }
    }
    for (i, lane) in lanes[..x[0].1.len()].iter_mut().enumerate() {
        *lane += f(x.map(|(_, rest)| rest[i]));
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
#[inline(always)]
fn add_rows<T: Real>(rows: impl ExactSizeIterator<Item = usize> + Clone, x: &[T], out: &mut [T]) {
    let width = out.len();
    let (whole, rest) = out.as_chunks_mut::<64>();
    let (few, single) = rest.as_chunks_mut::<8>();
    let mut at = 0;
    for out in whole {
        add_columns(rows.clone(), x, width, at, out);
        at += out.len();
    }
    for out in few {
        add_columns(rows.clone(), x, width, at, out);
        at += out.len();
    }
    for out in single {
        add_columns(rows.clone(), x, width, at, std::array::from_mut(out));
        at += 1;
    }
}

/// [`add_rows`] for the N columns from `at` on, whose sums registers can hold.
///
/// Rows are summed in runs, then the runs, so that the rounding error grows little with the number of rows.
#[inline(always)]
fn add_columns<T: Real, const N: usize>(
    mut rows: impl ExactSizeIterator<Item = usize>,
    x: &[T],
    width: usize,
    at: usize,
    out: &mut [T; N],
) {
    const RUN: usize = 256;
    while rows.len() > 0 {
        let mut run = [T::default(); N];
        for row in rows.by_ref().take(RUN) {
            let x = &x[row * width + at..][..N];
            for (sum, &x) in run.iter_mut().zip(x) {
                *sum += x;
            }
        }
        for (out, &sum) in out.iter_mut().zip(&run) {
            *out += sum;
        }
    }
}
