//! Attention without the n x n matrix: softmax and Gaussian, forward and backward, in f32.
//!
//! For each head, with q_i, k_j, v_j of dimension p,
//!
//! ```text
//! softmax:   S_i. = softmax_j(q_i . k_j / sqrt(p))              out_i = sum_j S_ij v_j
//! Gaussian:  S_ij = exp(-|q_i - k_j|^2 / (2 sqrt(p)))           (not normalised)
//! ```
//!
//! over the keys j of the same sample that are not masked. A row all of whose keys are masked gives output 0 and
//! gradient 0.

mod fused;
mod head;
pub(crate) mod plain;
#[cfg(test)]
mod tests;

use fused::{AHEAD, Arena};
use gdcert_base::Kernel;
use gdcert_base::simd::{Isa, Op, Vectors, prefetch, single::Simd};
use head::{Given, Pair};
use rayon::prelude::*;
use std::cell::RefCell;
use std::marker::PhantomData;
use std::ops::Range;

/// Rows of numbers, `stride` apart; head h occupies columns h p .. (h + 1) p.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a, T> {
    /// From the first row's first column on.
    pub values: &'a [T],
    /// Distance between rows.
    pub stride: usize,
}

impl<'a, T> Rows<'a, T> {
    fn row(&self, row: usize, columns: Range<usize>) -> &'a [T] {
        &self.values[row * self.stride..][columns]
    }

    /// Asks for `p` numbers of a row, which need not exist.
    #[inline(always)]
    fn prefetch(&self, row: usize, column: usize, p: usize) {
        let at = row * self.stride + column;
        prefetch(self.values.as_ptr().wrapping_add(at), p);
    }
}

/// A sample's rows among the queries, and among the keys and values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Rows of the queries.
    pub queries: Range<usize>,
    /// Rows of the keys and values.
    pub keys: Range<usize>,
}

/// What attention is taken of: samples by heads.
#[derive(Clone, Copy, Debug)]
pub struct Attention<'a, T> {
    /// Softmax or Gaussian.
    pub kernel: Kernel,
    /// Heads.
    pub heads: usize,
    /// Dimension of a head.
    pub p: usize,
    /// Queries.
    pub q: Rows<'a, T>,
    /// Keys.
    pub k: Rows<'a, T>,
    /// Values.
    pub v: Rows<'a, T>,
    /// The samples: disjoint, in increasing order.
    pub samples: &'a [Sample],
    /// Whether each row of the keys takes part; all do if there is no mask.
    pub mask: Option<&'a [bool]>,
}

impl<T> Attention<'_, T> {
    /// Columns of a row of all heads.
    fn width(&self) -> usize {
        self.heads * self.p
    }

    fn keeps(&self, key: usize) -> bool {
        self.mask.is_none_or(|mask| mask[key])
    }

    /// Every sample with every head.
    fn pairs(&self) -> impl Iterator<Item = (&Sample, usize)> {
        self.samples
            .iter()
            .flat_map(|sample| (0..self.heads).map(move |head| (sample, head)))
    }
}

/// What [`forward`] computed and [`backward`] needs.
#[derive(Clone, Copy, Debug)]
pub struct Saved<'a, T> {
    /// The output.
    pub out: &'a [T],
    /// See [`forward`].
    pub lse: &'a [T],
}

/// Where [`backward`] writes the derivatives by q, k and v: the row of query i starts at
/// `values[q + i * stride]`, and so on. Each number of the samples' rows is written; nothing else is touched.
#[derive(Debug)]
pub struct Gradient<'a, T> {
    /// All three.
    pub values: &'a mut [T],
    /// Distance between rows.
    pub stride: usize,
    /// Start of the derivatives by q.
    pub q: usize,
    /// Start of the derivatives by k.
    pub k: usize,
    /// Start of the derivatives by v.
    pub v: usize,
}

/// out_i = sum_j S_ij v_j; rows of `out` are `heads * p` long, one for each query row.
///
/// `lse` receives, row by row and head by head, the logarithm to base 2 of the softmax's denominator (0 for the
/// Gaussian).
///
/// # Panics
/// Slices too short for the samples.
pub fn forward(problem: &Attention<f32>, out: &mut [f32], lse: &mut [f32]) {
    forward_on(Isa::best(), problem, out, lse);
}

/// Derivatives of a loss by q, k and v, given those by the output, `dout` (laid out like the output).
///
/// # Panics
/// Slices too short for the samples.
pub fn backward(
    problem: &Attention<f32>,
    saved: Saved<f32>,
    dout: &[f32],
    gradient: Gradient<f32>,
) {
    backward_on(Isa::best(), problem, saved, dout, gradient);
}

/// Most queries of a forward task, whose keys are packed anew for each. What a query gets does not depend on it.
const TALL: usize = 1536;
/// Least number of queries in a part.
const SHORT: usize = 512;
/// Where there are fewer heads than this, the forward pass cuts their queries in parts, and the backward pass their keys.
/// More parts would serve more threads, but each packs all of the other side: twice as many cost 2% at n = 4000.
const FEW: usize = 8;
/// Least number of keys in a part.
const PART: usize = 256;

thread_local! {
    static ARENA: RefCell<(Arena, Vec<u32>)> = RefCell::default();
    static PARTIAL: RefCell<Vec<f32>> = RefCell::default();
}

fn forward_on(isa: Isa, problem: &Attention<f32>, out: &mut [f32], lse: &mut [f32]) {
    problem.check(out.len(), lse.len());
    let (heads, p) = (problem.heads, problem.p);
    let (out, lse) = (Shared::new(out), Shared::new(lse));
    let parts = FEW.div_ceil((problem.samples.len() * heads).max(1));
    problem.each_pair(|sample, head| {
        let strips = sample.queries.len().div_ceil(fused::MR);
        let least = sample.queries.len().div_ceil(TALL);
        let count = parts.min(sample.queries.len() / SHORT).max(least);
        (0..count).into_par_iter().for_each(|chunk| {
            // Cut between strips, as if not cut at all.
            let cut = |chunk: usize| {
                let end = sample.queries.start + strips * chunk / count * fused::MR;
                end.min(sample.queries.end)
            };
            let queries = cut(chunk)..cut(chunk + 1);
            ARENA.with_borrow_mut(|(arena, keys)| {
                problem.list_keys(sample, keys);
                isa.run(Forward {
                    pair: problem.pair(head, keys),
                    queries,
                    arena,
                    place: |row: usize| {
                        out.prefetch(((row + AHEAD) * heads + head) * p, p);
                        // SAFETY: this task alone writes this head's columns of its queries' rows, each row once.
                        unsafe {
                            let lse = lse.part(row * heads + head, 1);
                            (out.part((row * heads + head) * p, p), &mut lse[0])
                        }
                    },
                });
            });
        });
    });
}

fn backward_on(
    isa: Isa,
    problem: &Attention<f32>,
    saved: Saved<f32>,
    dout: &[f32],
    gradient: Gradient<f32>,
) {
    problem.check(saved.out.len().min(dout.len()), saved.lse.len());
    let (heads, p, width) = (problem.heads, problem.p, problem.width());
    let Gradient {
        values,
        stride,
        q: dq_start,
        k: dk_start,
        v: dv_start,
    } = gradient;
    let ends = |rows: fn(&Sample) -> usize| problem.samples.iter().map(rows).max().unwrap_or(0);
    let (query_rows, key_rows) = (ends(|s| s.queries.end), ends(|s| s.keys.end));
    let mut starts = [
        (dq_start, query_rows),
        (dk_start, key_rows),
        (dv_start, key_rows),
    ];
    starts.sort_unstable();
    // Beside one another within a row, or one after the other: tasks write to all three at once.
    let beside = starts.windows(2).all(|s| s[1].0 - s[0].0 >= width)
        && starts[2].0 - starts[0].0 + width <= stride;
    let after = starts
        .windows(2)
        .all(|s| s[1].0 - s[0].0 >= s[0].1 * stride);
    assert!(
        stride >= width && (beside || after),
        "the gradients by q, k and v overlap"
    );
    let given = Given {
        out: Rows {
            values: saved.out,
            stride: width,
        },
        lse: saved.lse,
        dout: Rows {
            values: dout,
            stride: width,
        },
    };
    let pairs = problem.samples.len() * heads;
    let parts = |sample: &Sample| {
        let keys = sample.keys.clone().filter(|&key| problem.keeps(key));
        let count = match problem.mask {
            Some(_) => keys.count(),
            None => sample.keys.len(),
        };
        FEW.div_ceil(pairs.max(1)).min(count / PART).max(1)
    };
    let most = problem.samples.iter().map(parts).max().unwrap_or(1);
    // Taken, not borrowed: while this task waits for its parts, its thread may begin another one that comes here.
    let mut partial = PARTIAL.take();
    {
        // With several parts each has its own sums by query, added in order below.
        if most > 1 && partial.len() < most * query_rows * width {
            partial.resize(most * query_rows * width, 0.0);
        }
        let partial_sums = Shared::new(&mut partial);
        let values = Shared::new(values);
        problem.each_pair(|sample, head| {
            let parts = parts(sample);
            (0..parts).into_par_iter().for_each(|part| {
                ARENA.with_borrow_mut(|(arena, keys)| {
                    problem.list_keys(sample, keys);
                    let blocks = keys.len().div_ceil(BLOCKS);
                    let cut = |part: usize| (blocks * part / parts * BLOCKS).min(keys.len());
                    isa.run(Backward {
                        pair: problem.pair(head, keys),
                        queries: sample.queries.clone(),
                        part: &keys[cut(part)..cut(part + 1)],
                        first: part == 0,
                        given,
                        arena,
                        place_key: |row: usize| {
                            [dk_start, dv_start].map(|start| {
                                let at = start + row * stride + head * p;
                                values.prefetch(at + AHEAD * stride, p);
                                // SAFETY: this task alone writes this head's columns of its keys' rows, each row
                                // once; dk and dv do not overlap, as asserted.
                                unsafe { values.part(at, p) }
                            })
                        },
                        place_query: |row: usize| {
                            // SAFETY: with one part this task alone writes this head's columns of the sample's query
                            // rows, each row once; with several, of its own part's rows.
                            unsafe {
                                if parts == 1 {
                                    let at = dq_start + row * stride + head * p;
                                    values.prefetch(at + AHEAD * stride, p);
                                    values.part(at, p)
                                } else {
                                    let row = part * query_rows + row;
                                    partial_sums.part((row * heads + head) * p, p)
                                }
                            }
                        },
                    });
                    if part == 0 && problem.mask.is_some() {
                        let masked = sample.keys.clone().filter(|&key| !problem.keeps(key));
                        for row in masked {
                            for start in [dk_start, dv_start] {
                                // SAFETY: no part holds a masked key, and the first part alone comes here.
                                unsafe { values.part(start + row * stride + head * p, p) }
                                    .fill(0.0);
                            }
                        }
                    }
                });
            });
        });
        if most > 1 {
            problem.samples.par_iter().for_each(|sample| {
                let parts = parts(sample);
                if parts > 1 {
                    sample.queries.clone().into_par_iter().for_each(|row| {
                        // SAFETY: the tasks above have ended; this one alone has this row.
                        unsafe {
                            let sum = values.part(dq_start + row * stride, width);
                            sum.fill(0.0);
                            for part in 0..parts {
                                let at = (part * query_rows + row) * width;
                                for (sum, &x) in
                                    sum.iter_mut().zip(partial_sums.part(at, width).iter())
                                {
                                    *sum += x;
                                }
                            }
                        }
                    });
                }
            });
        }
    }
    PARTIAL.set(partial);
}

impl Attention<'_, f32> {
    fn pair<'a>(&'a self, head: usize, keys: &'a [u32]) -> Pair<'a> {
        Pair {
            kernel: self.kernel,
            p: self.p,
            head,
            heads: self.heads,
            q: self.q,
            k: self.k,
            v: self.v,
            keys,
        }
    }

    /// Every sample with every head, in parallel.
    fn each_pair(&self, task: impl Fn(&Sample, usize) + Sync) {
        self.samples.par_iter().for_each(|sample| {
            (0..self.heads)
                .into_par_iter()
                .for_each(|head| task(sample, head));
        });
    }

    fn list_keys(&self, sample: &Sample, keys: &mut Vec<u32>) {
        keys.clear();
        let kept = sample.keys.clone().filter(|&key| self.keeps(key));
        keys.extend(kept.map(|key| key as u32));
    }

    /// Samples whose rows overlap would have tasks write to the same place: that is why this panics.
    fn check(&self, out: usize, lse: usize) {
        assert!(self.heads > 0 && self.p > 0, "no head");
        let mut end = (0, 0);
        for Sample { queries, keys } in self.samples {
            assert!(
                queries.start >= end.0 && keys.start >= end.1,
                "the samples are not in increasing order"
            );
            end = (queries.end.max(queries.start), keys.end.max(keys.start));
        }
        assert!(u32::try_from(end.1).is_ok(), "too many keys");
        assert!(
            end.0 * self.width() <= out && end.0 * self.heads <= lse,
            "the output is too short"
        );
        assert!(
            self.mask.is_none_or(|mask| mask.len() >= end.1),
            "the mask is too short"
        );
    }
}

/// A slice whose parts are written by different tasks.
struct Shared<'a> {
    start: *mut f32,
    len: usize,
    slice: PhantomData<&'a mut [f32]>,
}

// SAFETY: the slice is borrowed for as long as this lives, and whoever accesses a part promises to be alone there.
unsafe impl Sync for Shared<'_> {}
// SAFETY: as above; f32 may be sent.
unsafe impl Send for Shared<'_> {}

impl<'a> Shared<'a> {
    fn new(slice: &'a mut [f32]) -> Self {
        Shared {
            start: slice.as_mut_ptr(),
            len: slice.len(),
            slice: PhantomData,
        }
    }

    /// # Safety
    /// Nobody else accesses this part while it is borrowed.
    unsafe fn part(&self, at: usize, len: usize) -> &'a mut [f32] {
        assert!(
            at <= self.len && len <= self.len - at,
            "the gradient or output is too short"
        );
        // SAFETY: within the slice as asserted; nobody else accesses it as the caller promises.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(at), len) }
    }

    /// Asks for a part that is going to be written, and that need not exist.
    #[inline(always)]
    fn prefetch(&self, at: usize, len: usize) {
        prefetch(self.start.wrapping_add(at), len);
    }
}

/// A head's keys are cut in parts at multiples of this: a multiple of every tile's width, so that only the last tile is
/// not full.
const BLOCKS: usize = 64;

struct Forward<'a, P> {
    pair: Pair<'a>,
    queries: Range<usize>,
    arena: &'a mut Arena,
    place: P,
}

impl<'w, P: FnMut(usize) -> (&'w mut [f32], &'w mut f32)> Op for Forward<'_, P> {
    type Output = ();
    #[inline(always)]
    fn run<S: Vectors>(self, s: S) {
        let Forward {
            pair,
            queries,
            arena,
            place,
        } = self;
        // Panels of as many vectors as the registers hold beside six rows of sums.
        if <S as Simd>::L == 16 {
            head::forward::<S, 4, 128, 144>(s, &pair, queries, arena, place);
        } else {
            head::forward::<S, 2, 96, 112>(s, &pair, queries, arena, place);
        }
    }
}

struct Backward<'a, K, Q> {
    pair: Pair<'a>,
    queries: Range<usize>,
    part: &'a [u32],
    first: bool,
    given: Given<'a>,
    arena: &'a mut Arena,
    place_key: K,
    place_query: Q,
}

impl<'w, K, Q> Op for Backward<'_, K, Q>
where
    K: FnMut(usize) -> [&'w mut [f32]; 2],
    Q: FnMut(usize) -> &'w mut [f32],
{
    type Output = ();
    #[inline(always)]
    fn run<S: Vectors>(self, s: S) {
        let Backward {
            pair,
            queries,
            part,
            first,
            given,
            arena,
            place_key,
            place_query,
        } = self;
        if <S as Simd>::L == 16 {
            head::backward::<S, 4, 8, 64, 80>(
                s,
                &pair,
                queries,
                part,
                first,
                given,
                arena,
                place_key,
                place_query,
            );
        } else {
            head::backward::<S, 2, 6, 96, 112>(
                s,
                &pair,
                queries,
                part,
                first,
                given,
                arena,
                place_key,
                place_query,
            );
        }
    }
}
