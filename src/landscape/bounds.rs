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
use crate::certificate::Interval;
use crate::model::{Scalar, two_product, two_sum};
use crate::rounding::{U, gamma};
use crate::spectrum::eigen;
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
    pub fn new(columns: Vec<(Vec<f64>, Option<Vec<Interval>>)>) -> Result<Self> {
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
    pub fn residual(&self, x: &[f64], theta: f64) -> f64 {
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
    pub fn nodes(&self) -> Result<Vec<Node>> {
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
        let squares = |i: usize| {
            let mut sums = (0.0, 0.0);
            for j in 0..=i {
                let twice = if i == j { 1.0 } else { 2.0 };
                let unit = if i == j { 1.0 } else { 0.0 };
                let d = dot(V.column(i).as_slice(), V.column(j).as_slice()) - unit;
                let e = M[(i, j)] - dot(VL_t.column(i).as_slice(), V_t.column(j).as_slice());
                sums = (sums.0 + twice * d * d, sums.1 + twice * e * e);
            }
            sums
        };
        let rows: Vec<(f64, f64)> = (0..n).into_par_iter().map(squares).collect();
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

/// x'y, off by at most u |x'y| + gamma_n^2 |x|'|y| (Dot2 of Ogita, Rump and Oishi, *Accurate sum and dot product*, SIAM J. Sci.
/// Comput. 26, 2005), and underflow.
fn dot(x: &[f64], y: &[f64]) -> f64 {
    let (mut sum, mut rest) = (0.0, 0.0);
    for (&x, &y) in x.iter().zip(y) {
        let (product, low) = two_product(x, y);
        let (next, lost) = two_sum(sum, product);
        sum = next;
        rest += low + lost;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::landscape::{
        Blocks, Choice, Grid, Header, InstanceLoss, Restricted, Run, Source, Spectrum, aim,
        instance_weights, run,
    };
    use crate::model::Kernel;
    use crate::model::oracle::{Big, Oracle, big};
    use crate::{Dims, Init, Instance, Trained};
    use std::ops::{ControlFlow, Range};
    use std::path::Path;

    /// What `gdcert landscape` finds, in every space.
    fn spectra(instance: &Instance, steps: usize) -> Option<Vec<Spectrum>> {
        let header = Header {
            task: "instance".to_owned(),
            kernel: instance.kernel(),
            centre: Source {
                name: String::new(),
                sha256: String::new(),
                step: None,
            },
            batch: None,
            precision: "f64".to_owned(),
            directions: Choice::Random,
            direction_seeds: vec![0, 3],
            grid: Grid::new(1, 1.0).unwrap(),
            lanczos_steps: steps,
            path: Vec::new(),
        };
        let weights = instance_weights(instance.W());
        let blocks = Blocks::of_instance(instance.dims(), Trained::QKV);
        let mut workers = [InstanceLoss::new(instance), InstanceLoss::new(instance)];
        let mut on = |_| ControlFlow::Continue(());
        let directions = aim(&header, &weights, &blocks, &mut workers[0], &mut on).ok()?;
        let folder = tempfile::tempdir().unwrap();
        let found = run(
            Run {
                header: &header,
                weights: &weights,
                blocks: &blocks,
                directions: &directions,
                path: &[],
                workers: &mut workers,
                folder: folder.path(),
                resume: false,
            },
            &mut on,
        );
        Some(found.ok()?.spectra)
    }

    /// The Hessian's block to 400 bits.
    fn exact(instance: &Instance, ranges: &[Range<usize>]) -> Vec<Vec<Big>> {
        let weights = instance_weights(instance.W());
        let space = Restricted::to(ranges);
        let mut loss = InstanceLoss::new(instance);
        let column = |j: usize| {
            let mut unit = vec![0.0; space.dimension()];
            unit[j] = 1.0;
            let v = space.scatter(&unit, weights.len());
            let product: Vec<Oracle> = loss.differentiated(&weights, &v).unwrap();
            let parts = ranges.iter().flat_map(|range| &product[range.clone()]);
            let column: Vec<Big> = parts.map(|h| h.get()).collect();
            Oracle::clear();
            column
        };
        (0..space.dimension()).map(column).collect()
    }

    /// How many eigenvalues lie below `shift`: the negative pivots of H - shift (Sylvester).
    fn below(H: &[Vec<Big>], shift: &Big) -> usize {
        let mut A = H.to_vec();
        let n = A.len();
        for (i, row) in A.iter_mut().enumerate() {
            row[i] = &row[i] - shift;
        }
        let mut negative = 0;
        for k in 0..n {
            let pivot = A[k][k].clone();
            assert!(pivot != big(0.0), "a pivot is 0");
            negative += usize::from(pivot < big(0.0));
            for i in k + 1..n {
                let factor = &A[i][k] / &pivot;
                for j in k + 1..=i {
                    let term = &factor * &A[j][k];
                    A[i][j] = &A[i][j] - &term;
                }
            }
        }
        negative
    }

    /// Every stated interval holds an eigenvalue; of the whole matrix the i-th one the i-th. Gives how many are known
    /// better than to their own size.
    fn check(instance: &Instance, what: &str) -> usize {
        let Some(found) = spectra(instance, 10) else {
            panic!("{what}: nothing was found");
        };
        let blocks = Blocks::of_instance(instance.dims(), Trained::QKV);
        let mut known = 0;
        for (name, ranges) in [
            ("W_Q", &blocks.query),
            ("W_K", &blocks.key),
            ("all", &blocks.all),
        ] {
            let H = exact(instance, ranges);
            let entries = H.iter().flatten().map(|h| h.to_f64().value().abs());
            // Ends are moved by this, so that no pivot is exactly 0; far below what an error can be.
            let slack = &big(entries.fold(1e-300, f64::max)) * &big(1e-60);
            for spectrum in found.iter().filter(|s| s.space == name) {
                for (i, node) in spectrum.nodes.iter().enumerate() {
                    assert!(
                        node.eigenvalue.is_finite() && node.error >= 0.0,
                        "{what} {node:?}"
                    );
                    if node.error.is_infinite() {
                        continue;
                    }
                    known += usize::from(node.error < node.eigenvalue.abs());
                    let (value, error) = (big(node.eigenvalue), &big(node.error) + &slack);
                    let low = below(&H, &(&value - &error));
                    let high = below(&H, &(&value + &error));
                    assert!(
                        low < high,
                        "{what} {name} {:?}: {node:?} holds none",
                        spectrum.seed
                    );
                    if spectrum.seed.is_none() {
                        assert!(low <= i && i < high, "{what} {name}: {i} of {node:?}");
                    }
                }
            }
        }
        known
    }

    /// At sizes from 1e-200 to 1e150, with heads of very different sizes, both kernels.
    #[test]
    fn every_stated_interval_holds_an_eigenvalue() {
        let dims = Dims {
            N: 1,
            n: 3,
            D: 2,
            d: 2,
            H: 2,
            p: 1,
        };
        // Powers of ten of X, W_Q, W_K, W_V, W_O, y, and of what the second head is multiplied with.
        let sizes = [
            [0, 0, 0, 0, 0, 0, 0],
            [0, 0, 0, 0, 0, 0, -160],
            [0, 0, 0, 0, 0, 0, -60],
            [-80, 0, 0, 0, 0, -80, 0],
            [0, 0, 0, -170, 0, -20, -8],
            [0, -200, -200, 0, 0, 0, 0],
            [0, 0, 0, 0, 70, 70, -3],
            [0, 0, 0, -150, 150, 0, 0],
            [1, 0, 0, 0, 0, 1, -30],
            [-150, 150, 150, 75, 75, 0, 0],
            [0, 0, 0, -100, -100, -7, 0],
        ];
        for kernel in [Kernel::Softmax, Kernel::Gaussian] {
            for (seed, size) in sizes.into_iter().enumerate() {
                let drawn = Instance::random(dims, kernel, Init::Lecun, seed as u64).unwrap();
                let ten = |power: i32| 10f64.powi(power);
                let scaled = |matrices: &[DMatrix<f64>], power: i32| -> Vec<DMatrix<f64>> {
                    matrices.iter().map(|m| m * ten(power)).collect()
                };
                let mut W = drawn.W().clone();
                for (block, power) in [&mut W.Q, &mut W.K, &mut W.V, &mut W.O]
                    .into_iter()
                    .zip(&size[1..])
                {
                    *block = scaled(block, *power);
                    block[1] *= ten(size[6]);
                }
                let X = scaled(drawn.X(), size[0]);
                let y = scaled(drawn.y(), size[5]);
                let instance = Instance::new(kernel, X, y, W).unwrap();
                let known = check(&instance, &format!("{kernel} {size:?}"));
                println!("{kernel} {size:?}: {known} known");
                if seed < 4 {
                    assert!(known > 0, "{kernel} {size:?}: nothing is known");
                }
            }
        }
    }

    #[test]
    fn intervals_of_inputs_that_were_wrong_hold_an_eigenvalue() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/inputs");
        for (name, kernel) in [
            ("08-lanczos-stated-error.safetensors", Kernel::Gaussian),
            ("06-small-loss-landscape.safetensors", Kernel::Softmax),
        ] {
            let file = folder.join(name);
            if !file.exists() {
                eprintln!("skipped: no {}", file.display());
                continue;
            }
            let instance = Instance::read(&file, Some(kernel)).unwrap();
            assert!(check(&instance, name) > 0, "{name}: nothing is known");
        }
    }
}
