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

pub(crate) mod plain;

use crate::model::Kernel;
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
pub fn forward(problem: &Attention<f32>, out: &mut [f32], lse: &mut [f32]) {
    plain::forward(problem, out, lse);
}

/// Derivatives of a loss by q, k and v, given those by the output, `dout` (laid out like the output).
pub fn backward(
    problem: &Attention<f32>,
    _saved: Saved<f32>,
    dout: &[f32],
    gradient: Gradient<f32>,
) {
    plain::backward(problem, dout, gradient);
}
