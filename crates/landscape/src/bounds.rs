//! How far eigenvalues of a computed Hessian are from those of the exact one.
//!
//! With an enclosure of H x, for any x and theta: |H x - theta x| <= r gives an eigenvalue of H within r / |x| of theta, since H
//! is symmetric. Nothing else is trusted: neither theta nor x need be good.
//!
//! For the whole matrix, M computed and R the entries' radii, V and Lambda as an eigen-solver gave them: M = V Lambda V' + E. With
//! |V'V - I| <= delta < 1 the eigenvalues of V Lambda V' are theta_i lambda_i with |theta_i - 1| <= delta (Ostrowski; Horn and Johnson,
//! *Matrix Analysis*, 4.5.9), and by Weyl the i-th of H is within |E| + |R| + delta |lambda_i| of lambda_i, in Frobenius norms.

use super::spectrum::{Node, exponent, not_finite};
use crate::Result;
use gdcert_base::simd::{Isa, Op, Vectors};
use gdcert_numbers::Interval;
use gdcert_numbers::linalg::eigen;
use gdcert_numbers::{Scalar, two_product, two_sum};
use gdcert_numbers::{U, gamma};
use nalgebra::DMatrix;
use rayon::prelude::*;

/// A bound of the distance from `theta` to an eigenvalue of H, given an enclosure of H x; infinite where nothing is known.
pub(super) fn residual(product: &[Interval], x: &[f64], theta: f64) -> f64 {
    let theta = Interval::from_f64(theta);
    let rest = product
        .iter()
        .zip(x)
        .map(|(&h, &x)| h - theta * Interval::from_f64(x));
    let r = norm(rest);
    let length = norm(x.iter().map(|&x| Interval::from_f64(x)));
    let bound = (r / length).hi();
    if bound.is_nan() {
        f64::INFINITY
    } else {
        bound.max(0.0)
    }
}

/// The Euclidean norm of a vector of intervals. Scaled: no square underflows that counts.
fn norm(x: impl Iterator<Item = Interval>) -> Interval {
    let x: Vec<Interval> = x.collect();
    let top = exponent(x.iter().map(|x| x.magnitude()));
    if x.iter().any(|x| !x.magnitude().is_finite()) {
        return Interval::new(0.0, f64::INFINITY);
    }
    let down = power(-top);
    let mut sum = Interval::from_f64(0.0);
    for x in x {
        sum += (x * down.0 * down.1).square();
    }
    let up = power(top);
    sum.sqrt() * up.0 * up.1
}

/// 2^k as a product of two numbers, neither of which under- or overflows.
fn power(k: i32) -> (Interval, Interval) {
    let half = k / 2;
    [half, k - half]
        .map(|k| Interval::from_f64(libm::scalbn(1.0, k)))
        .into()
}

/// A block of the Hessian as a whole.
pub(super) struct Whole {
    /// Symmetric.
    computed: DMatrix<f64>,
    /// The exact one is within this distance in the Frobenius norm; an estimate without enclosures.
    error: f64,
}

impl Whole {
    /// From its columns, with enclosures of them.
    ///
    /// # Errors
    /// A number that is not finite.
    pub(crate) fn new(columns: Vec<(Vec<f64>, Option<Vec<Interval>>)>) -> Result<Self> {
        let n = columns.len();
        let H = DMatrix::from_fn(n, n, |i, j| columns[j].0[i]);
        if H.iter().any(|x| !x.is_finite()) {
            return Err(not_finite());
        }
        let transposed = H.transpose();
        // Halves first: a sum may overflow.
        let computed = 0.5 * &H + 0.5 * &transposed;
        let enclosures: Option<Vec<_>> = columns.into_iter().map(|c| c.1).collect();
        let point = Interval::from_f64;
        let radii = match &enclosures {
            Some(columns) => norm(columns.iter().enumerate().flat_map(|(j, column)| {
                let computed = computed.column(j);
                column
                    .iter()
                    .enumerate()
                    .map(move |(i, &h)| h - point(computed[i]))
            })),
            None => norm(
                H.iter()
                    .zip(&transposed)
                    .map(|(&a, &b)| point(a) - point(b)),
            ),
        };
        Ok(Whole {
            computed,
            error: radii.hi(),
        })
    }

    /// A bound of the distance from `theta` to an eigenvalue of H.
    pub(crate) fn residual(&self, x: &[f64], theta: f64) -> f64 {
        let n = x.len();
        let mut product = vec![Interval::from_f64(0.0); n];
        for (column, &x) in self.computed.column_iter().zip(x) {
            for (sum, &h) in product.iter_mut().zip(column.iter()) {
                *sum += Interval::from_f64(h) * Interval::from_f64(x);
            }
        }
        sum_up(residual(&product, x, theta), self.error)
    }

    /// All eigenvalues, smallest first, the i-th with a bound of its distance to the i-th of H.
    ///
    /// # Errors
    /// An eigen-solver that does not converge (not expected).
    pub(crate) fn nodes(&self) -> Result<Vec<Node>> {
        let n = self.computed.nrows();
        let top = exponent(self.computed.iter().copied());
        // Entries that underflow here are below 2^-1074 of the largest.
        let M = self.computed.map(|x| libm::scalbn(x, -top));
        let (values, V) = eigen(&M)?;
        // By rows, and the lower halves of two symmetric matrices: V'V - I, and E but for the rounding of V Lambda.
        let (V_t, VL_t) = (
            V.transpose(),
            DMatrix::from_fn(n, n, |k, i| V[(i, k)] * values[k]),
        );
        let isa = Isa::best();
        let rows: Vec<(f64, f64)> = (0..n)
            .into_par_iter()
            .map(|i| {
                isa.run(Squares {
                    i,
                    M: &M,
                    V: &V,
                    V_t: &V_t,
                    VL_t: &VL_t,
                })
            })
            .collect();
        let [D, E] = [0, 1].map(|which| {
            let row = rows
                .iter()
                .map(|row| if which == 0 { row.0 } else { row.1 });
            row.sum::<f64>().sqrt()
        });
        // What `dot` is off by, the rounding of V Lambda (|V|^2 <= 1 + delta < 2, and twice for the half of
        // a matrix) and of the differences; the slack is for the norms.
        let (g, slack) = (gamma(n + 2).powi(2), 1.0 + 1e-9);
        let [m, v, vl] = [&M, &V, &VL_t].map(DMatrix::norm);
        let delta = slack * (D + 2.0 * U * (n as f64).sqrt() + g * v * v) + 1e-290;
        let error = slack * (E + 2.0 * U * (m + E + vl) + g * vl * v) + 1e-290;
        let node = |&value: &f64| {
            let scaled = libm::scalbn(slack * (error + delta * value.abs()), top).next_up();
            let known = delta < 1.0 && scaled.is_finite();
            Node {
                eigenvalue: libm::scalbn(value, top),
                weight: 1.0 / n as f64,
                error: if known {
                    sum_up(scaled, self.error)
                } else {
                    f64::INFINITY
                },
            }
        };
        Ok(values.iter().map(node).collect())
    }
}

/// The squares of row i of V'V - I and of M - V Lambda V', summed up; entries left of the diagonal count twice.
struct Squares<'a> {
    i: usize,
    M: &'a DMatrix<f64>,
    V: &'a DMatrix<f64>,
    V_t: &'a DMatrix<f64>,
    VL_t: &'a DMatrix<f64>,
}

impl Op for Squares<'_> {
    type Output = (f64, f64);

    #[inline(always)]
    fn run<S: Vectors>(self, _: S) -> (f64, f64) {
        let Squares { i, M, V, V_t, VL_t } = self;
        let mut sums = (0.0, 0.0);
        for j in 0..=i {
            let twice = if i == j { 1.0 } else { 2.0 };
            let unit = if i == j { 1.0 } else { 0.0 };
            let d = dot(V.column(i).as_slice(), V.column(j).as_slice()) - unit;
            let e = M[(i, j)] - dot(VL_t.column(i).as_slice(), V_t.column(j).as_slice());
            sums = (sums.0 + twice * d * d, sums.1 + twice * e * e);
        }
        sums
    }
}

/// x'y, off by at most u |x'y| + gamma_n^2 |x|'|y| (Dot2 of Ogita, Rump and Oishi, *Accurate sum and dot product*, SIAM J. Sci.
/// Comput. 26, 2005), and underflow. The bound holds for any order of the sum: no number goes through more than n
/// additions here, and adding an empty lane loses nothing.
#[inline(always)]
fn dot(x: &[f64], y: &[f64]) -> f64 {
    const LANES: usize = 8;
    let (mut sums, mut rests) = ([0.0; LANES], [0.0; LANES]);
    let mut add = |lane: usize, x: f64, y: f64| {
        let (product, low) = two_product(x, y);
        let (next, lost) = two_sum(sums[lane], product);
        sums[lane] = next;
        rests[lane] += low + lost;
    };
    let ((x, x_end), (y, y_end)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
    for (x, y) in x.iter().zip(y) {
        (0..LANES).for_each(|lane| add(lane, x[lane], y[lane]));
    }
    for (lane, (&x, &y)) in x_end.iter().zip(y_end).enumerate() {
        add(lane, x, y);
    }
    let (mut sum, mut rest) = (0.0, 0.0);
    for lane in 0..LANES {
        let (next, lost) = two_sum(sum, sums[lane]);
        sum = next;
        rest += rests[lane] + lost;
    }
    sum + rest
}

fn sum_up(a: f64, b: f64) -> f64 {
    if a == 0.0 || b == 0.0 {
        a + b
    } else {
        (a + b).next_up()
    }
}
