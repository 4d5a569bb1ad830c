//! B_0, extreme singular values, and the four readings of beta.

mod gram;
mod reading;

use crate::Result;
use crate::model::rounding::{BlockNorms, Rounding, block_norms};
use crate::model::{self, Precision, Trained, attention};
use crate::problem::{Dims, Instance};
use faer::Mat;
use gdcert_numbers::lanczos::{lanczos, multiply};
use gdcert_numbers::linalg::{self, dot_in_lanes, eigenvalues, singular_values};
use gdcert_numbers::norm;
use gdcert_numbers::{DoubleDouble, Scalar};
use gdcert_numbers::{U, scale_by};
use nalgebra::{DMatrix, DMatrixViewMut};
use rayon::prelude::*;
pub use reading::{Reading, deciding_reading};
use serde::{Deserialize, Serialize};

/// A computed number and a bound on its error: the exact one lies in [lower, upper].
///
/// For singular values the error is that of the matrix's entries (see the source of `rounding`)
/// plus 10 min(rows, cols) u |A|_F for the decomposition: the usual backward-error model, stated
/// and tested but not proven. Nothing that must be proven rests on it: see [`Spectrum::is_proven`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The computed number.
    pub value: f64,
    /// Bound on |value - exact|.
    pub error: f64,
}

impl Estimate {
    const ZERO: Estimate = Estimate {
        value: 0.0,
        error: 0.0,
    };

    /// Lower end, not below 0: every number here is a norm or a rate.
    pub fn lower(self) -> f64 {
        (self.value - self.error).max(0.0)
    }

    /// Upper end.
    pub fn upper(self) -> f64 {
        self.value + self.error
    }

    /// A number that was computed as `value` and is proven to lie in [`lo`, `hi`].
    pub(crate) fn enclosed(value: f64, lo: f64, hi: f64) -> Self {
        let value = value.max(lo).min(hi);
        // Rounded up.
        let error = (hi - value).max(value - lo).next_up();
        Estimate { value, error }
    }

    fn squared(self) -> Self {
        self.times(self)
    }

    /// The last term is for what underflows here.
    fn times(self, b: Self) -> Self {
        Estimate {
            value: self.value * b.value,
            error: self.value * b.error
                + b.value * self.error
                + self.error * b.error
                + U * self.value * b.value
                + 8.0 * f64::from_bits(1),
        }
    }
}

/// What the theorems' constants are made of, at M_0.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Spectrum {
    /// sigma_min(B_0), 0 if HD < Nn.
    pub sigma_min_B0: Estimate,
    /// |J_0|, the largest singular value of the Jacobian over the trained blocks.
    pub jacobian_norm: Estimate,
    betas: [Estimate; 4],
    /// Which betas are proven enclosures.
    proven: [bool; 4],
}

impl Spectrum {
    /// Computes everything at M_0.
    ///
    /// Small instances form J and take its singular values (eps |J| / sigma relative accuracy);
    /// beyond about 2^26 entries the Gram matrix J J' is built from structure instead, which resolves
    /// lambda_min only down to about eps |J|^2: the error says so.
    ///
    /// # Errors
    /// Entries that overflow f64; a decomposition that does not converge (not expected).
    ///
    /// ```
    /// use gdcert::{Dims, Init, Instance, Kernel, Trained, spectrum::{Reading, Spectrum}};
    /// let dims = Dims { N: 2, n: 4, D: 8, d: 4, H: 3, p: 1 };
    /// let instance = Instance::random(dims, Kernel::Gaussian, Init::Lazy { omega: 10.0 }, 0)?;
    /// let spectrum = Spectrum::new(&instance, Trained::QKV)?;
    /// // Three heads of equal norm: the literal reading is three times the per-head one.
    /// let ratio = spectrum.beta(Reading::Stacked).value / spectrum.beta(Reading::PerHead).value;
    /// assert!((ratio - 3.0).abs() < 1e-12);
    /// # Ok::<(), gdcert::Error>(())
    /// ```
    pub fn new(instance: &Instance, trained: Trained) -> Result<Self> {
        let dims = instance.dims();
        let rounding = Rounding::new(instance, Precision::F64);
        let norms = block_norms(instance.W());
        let B = B(instance);
        let sigma_min_B0 = sigma(&B, rounding.B(&norms))?.0;

        let mut per_head = Estimate {
            value: f64::INFINITY,
            error: 0.0,
        };
        for W in &instance.W().O {
            let s = smallest_output_singular_value(W)?;
            per_head.value = per_head.value.min(s.value);
            per_head.error = per_head.error.max(s.error);
        }
        let W_O: Vec<_> = instance.W().O.iter().flat_map(|o| o.row_iter()).collect();
        let stacked = smallest_output_singular_value(&DMatrix::from_rows(&W_O))?;

        let value = value_block(instance, &B, &rounding, &norms)?;
        let (smallest, jacobian_norm) = trained_blocks(instance, trained, &rounding, &norms)?;
        let blocks = trained.flags().into_iter().filter(|&on| on).count();
        let ntk = if blocks * dims.block_len() < dims.m() {
            Estimate::ZERO
        } else {
            smallest
        };
        // Products before squares: a large W^O and a small B_0 make a beta of ordinary size.
        let of_B = |o: Estimate| o.times(sigma_min_B0).squared();
        let betas = [of_B(stacked), of_B(per_head), value, ntk];
        Ok(Spectrum::of(sigma_min_B0, jacobian_norm, betas))
    }

    /// Computed numbers, not proven ones.
    pub(crate) fn of(
        sigma_min_B0: Estimate,
        jacobian_norm: Estimate,
        betas: [Estimate; 4],
    ) -> Self {
        Spectrum {
            sigma_min_B0,
            jacobian_norm,
            betas,
            proven: [false; 4],
        }
    }

    /// Takes note that a beta is proven to lie in [`lo`, `hi`].
    pub(crate) fn enclose(&mut self, reading: Reading, lo: f64, hi: f64) {
        let beta = &mut self.betas[reading as usize];
        *beta = Estimate::enclosed(beta.value, lo, hi);
        self.proven[reading as usize] = true;
    }

    /// Whether the ends of a beta are proven; else they rest on the error model of [`Estimate`].
    pub fn is_proven(&self, reading: Reading) -> bool {
        self.proven[reading as usize]
    }

    /// beta as a reading defines it at M_0, whether or not the reading applies to the trained blocks.
    pub fn beta(&self, reading: Reading) -> Estimate {
        self.betas[reading as usize]
    }
}

/// |J(M_0)| over the trained blocks alone, the same number as [`Spectrum::jacobian_norm`].
///
/// # Errors
/// As [`Spectrum::new`].
pub fn jacobian_norm(instance: &Instance, trained: Trained) -> Result<Estimate> {
    let norms = block_norms(instance.W());
    let entries = entry_errors(trained, &Rounding::new(instance, Precision::F64), &norms);
    Ok(match Blocks::new(instance, trained) {
        Blocks::Jacobian(J) => sigma(&J, entries)?.1,
        Blocks::Values(A) => factor_norm(&A, entries)?,
        Blocks::Gram(G) => gram_norm(&G, instance.dims(), entries)?.0,
    })
}

/// |J(M_0)| from a Jacobian in double-double, whose error bound is the same formula with the unit of that arithmetic: for
/// instances whose bound in f64 has outgrown J. `None` where J is large, or something overflows.
pub(crate) fn jacobian_norm_in_double_double(
    instance: &Instance,
    trained: Trained,
) -> Option<Estimate> {
    let dims = instance.dims();
    let blocks = trained.flags().into_iter().filter(|&on| on).count();
    if dims.m().saturating_mul(blocks * dims.block_len()) > 1 << 22 {
        return None;
    }
    let W = instance.W().map(DoubleDouble::from_f64);
    let J = model::jacobian(instance, &W, trained).map(|x| x.value());
    let rounding = Rounding::new(instance, Precision::DoubleDouble);
    let entries = entry_errors(trained, &rounding, &block_norms(instance.W()));
    sigma(&J, entries).ok().map(|(_, largest)| largest)
}

/// B_0 = B(M_0) in R^{Nn x HD}: row block i is (S_i1 X_i, ..., S_iH X_i).
pub fn B(instance: &Instance) -> DMatrix<f64> {
    let Dims { N, n, D, H, .. } = instance.dims();
    let tokens = gram::stack(instance.X());
    let mut B = DMatrix::zeros(N * n, H * D);
    let heads = B.as_mut_slice().par_chunks_exact_mut(N * n * D);
    heads.enumerate().for_each(|(h, block)| {
        let [q, kappa] = [&instance.W().Q[h], &instance.W().K[h]].map(|W| &tokens * W);
        let mut block = DMatrixViewMut::from_slice(block, N * n, D);
        for (i, X) in instance.X().iter().enumerate() {
            let [q, kappa] = [&q, &kappa].map(|rows| rows.rows(i * n, n).into_owned());
            let S = attention(instance.kernel(), &q, &kappa);
            block.rows_mut(i * n, n).copy_from(&(S * X));
        }
    });
    B
}

/// sigma_min(B) of a wide matrix, 0 if it has fewer columns than rows.
pub(crate) fn sigma_min(B: &DMatrix<f64>) -> Result<f64> {
    Ok(sigma(B, 0.0)?.0.value)
}

/// Smallest singular value over all rows (0 if there are fewer columns than rows) and largest.
fn sigma(A: &DMatrix<f64>, entries: f64) -> Result<(Estimate, Estimate)> {
    let s = singular_values(A)?;
    let error = entries + 10.0 * s.len() as f64 * U * norm(&s);
    let smallest = if A.ncols() < A.nrows() {
        Estimate::ZERO
    } else {
        Estimate {
            value: s[s.len() - 1],
            error,
        }
    };
    Ok((smallest, Estimate { value: s[0], error }))
}

/// sigma_min(W) of an output matrix, sqrt(lambda_min(W'W)): 0 with fewer rows than columns.
fn smallest_output_singular_value(W: &DMatrix<f64>) -> Result<Estimate> {
    Ok(sigma(&W.transpose(), 0.0)?.0)
}

/// lambda_min(J_V J_V').
///
/// J_V J_V' = sum_h B_h B_h' (x) W^O_h' W^O_h is the Gram matrix of [`value_factor`], which has only HD min(d, p)
/// columns: its singular values need no squaring and no J_V.
fn value_block(
    instance: &Instance,
    B: &DMatrix<f64>,
    rounding: &Rounding,
    norms: &[BlockNorms],
) -> Result<Estimate> {
    let Dims { D, d, H, p, .. } = instance.dims();
    let m = instance.dims().m();
    let width = D * d.min(p);
    if H * width < m {
        return Ok(Estimate::ZERO);
    }
    let (_, entries) = rounding.jacobian(norms);
    Ok(sigma(&value_factor(instance, B), entries)?.0.squared())
}

/// A with A A' = J_V J_V', m x HD min(d, p): the blocks B_h (x) R_h' with R_h' R_h = W^O_h' W^O_h (QR).
fn value_factor(instance: &Instance, B: &DMatrix<f64>) -> DMatrix<f64> {
    let Dims { D, d, H, p, .. } = instance.dims();
    let width = D * d.min(p);
    let m = instance.dims().m();
    let mut A = DMatrix::zeros(m, H * width);
    let heads = A.as_mut_slice().par_chunks_exact_mut(m * width);
    heads
        .zip(&instance.W().O)
        .enumerate()
        .for_each(|(h, (block, W))| {
            let (scaled, k) = linalg::scaled(W).unwrap_or_else(|| (W.clone(), 0));
            let R_t = scaled.qr().r().transpose().map(|x| scale_by(x, k));
            let product = B.columns(h * D, D).kronecker(&R_t);
            block.copy_from_slice(product.as_slice());
        });
    A
}

/// lambda_min(J J') and |J| over the trained blocks.
fn trained_blocks(
    instance: &Instance,
    trained: Trained,
    rounding: &Rounding,
    norms: &[BlockNorms],
) -> Result<(Estimate, Estimate)> {
    let entries = entry_errors(trained, rounding, norms);
    match Blocks::new(instance, trained) {
        Blocks::Jacobian(J) => {
            let (smallest, largest) = sigma(&J, entries)?;
            Ok((smallest.squared(), largest))
        }
        Blocks::Values(A) => Ok((sigma(&A, entries)?.0.squared(), factor_norm(&A, entries)?)),
        Blocks::Gram(G) => {
            let (largest, error) = gram_norm(&G, instance.dims(), entries)?;
            let smallest = Estimate {
                value: eigenvalues(&G)?[0].max(0.0),
                error,
            };
            Ok((smallest, largest))
        }
    }
}

/// The Jacobian over the trained blocks, or what stands for it where J is too large to be formed.
enum Blocks {
    Jacobian(DMatrix<f64>),
    /// A with A A' = J J' where only the value block is not 0.
    Values(DMatrix<f64>),
    /// J J'.
    Gram(Mat<f64>),
}

impl Blocks {
    fn new(instance: &Instance, trained: Trained) -> Self {
        let dims = instance.dims();
        let blocks = trained.flags().into_iter().filter(|&on| on).count();
        if form_jacobian(dims.m(), blocks * dims.block_len()) {
            Blocks::Jacobian(model::jacobian(instance, instance.W(), trained))
        } else if trained.v() && (blocks == 1 || instance.W().V.iter().all(|w| w.amax() == 0.0)) {
            Blocks::Values(value_factor(instance, &B(instance)))
        } else {
            Blocks::Gram(gram::gram(instance, trained))
        }
    }
}

/// The rounding error of J's entries over the trained blocks, as a Frobenius norm.
fn entry_errors(trained: Trained, rounding: &Rounding, norms: &[BlockNorms]) -> f64 {
    let (scores, value) = rounding.jacobian(norms);
    let errors = trained
        .flags()
        .into_iter()
        .zip([scores, scores, value])
        .filter(|(on, _)| *on)
        .map(|(_, e)| e);
    norm(&errors.collect::<Vec<_>>())
}

/// |A| by Lanczos on A A', as close as rounding lets it come.
fn factor_norm(A: &DMatrix<f64>, entries: f64) -> Result<Estimate> {
    if let Some((A, k)) = linalg::scaled(A) {
        let found = factor_norm(&A, scale_by(entries, -k))?;
        return Ok(Estimate {
            value: scale_by(found.value, k),
            error: scale_by(found.error, k),
        });
    }
    let top = lanczos(A.nrows(), LANCZOS, |v| gram_times(A, v));
    if !top.value.is_finite() {
        return Err(linalg::overflows());
    }
    let norm = top.value.max(0.0).sqrt();
    let rounding = 10.0 * A.nrows() as f64 * U * A.norm();
    Ok(Estimate {
        value: norm,
        error: entries + rounding + top.residual / norm.max(f64::MIN_POSITIVE),
    })
}

/// A A' v, in one pass over A: a few columns at a time, which stay in the cache between A' v and A (A' v). The parts and the
/// order of their sum do not depend on the threads.
fn gram_times(A: &DMatrix<f64>, v: &[f64]) -> Vec<f64> {
    let m = A.nrows();
    let part = |columns: &[f64]| {
        let mut sum = vec![0.0; m];
        for column in columns.chunks_exact(m) {
            let c = dot_in_lanes(column, v);
            sum.iter_mut().zip(column).for_each(|(s, a)| *s += c * a);
        }
        sum
    };
    let parts: Vec<_> = A.as_slice().par_chunks(PART * m).map(part).collect();
    let mut sum = vec![0.0; m];
    for part in parts {
        sum.iter_mut().zip(part).for_each(|(s, p)| *s += p);
    }
    sum
}

/// Columns a thread takes at once.
const PART: usize = 64;

/// How well Lanczos is asked to know |J|^2: as well as rounding lets it.
const LANCZOS: f64 = 1e-14;

/// |J| from G = J J', and the error of G's eigenvalues.
fn gram_norm(G: &Mat<f64>, dims: Dims, entries: f64) -> Result<(Estimate, f64)> {
    let top = lanczos(dims.m(), LANCZOS, |v| multiply(G, v));
    if !top.value.is_finite() {
        return Err(linalg::overflows());
    }
    let norm = top.value.max(0.0).sqrt(); // |J|
    let trace: f64 = (0..dims.m()).map(|a| G[(a, a)]).sum();
    let products = (dims.D + dims.d + 2 * dims.n + 10 * dims.m()) as f64;
    // Every product may underflow.
    let lost = products * dims.m() as f64 * f64::MIN_POSITIVE;
    let error = (2.0 * norm + entries) * entries + products * U * trace + lost;
    let largest = Estimate {
        value: norm,
        error: (error + top.residual) / norm.max(f64::MIN_POSITIVE),
    };
    Ok((largest, error))
}

/// Whether J is small enough to be formed and decomposed: at most 2^26 entries (512 MB), and
/// about 2^34 multiply-adds.
fn form_jacobian(m: usize, parameters: usize) -> bool {
    let entries = m as u128 * parameters as u128;
    entries <= 1 << 26 && entries * m as u128 <= 1 << 34
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Init, Kernel};
    use nalgebra::DVector;

    /// What stands for J where it is too large says the same |J|: both stop at rounding, which their errors bound.
    #[test]
    fn norms_by_lanczos_are_those_of_the_jacobian() {
        for (seed, p) in [(0, 1), (1, 2), (2, 3)] {
            let dims = Dims {
                N: 3,
                n: 4,
                D: 5,
                d: 3,
                H: 3,
                p,
            };
            for kernel in [Kernel::Softmax, Kernel::Gaussian] {
                let instance = Instance::random(dims, kernel, Init::Lecun, seed).unwrap();
                let close = |found: Estimate, J: &DMatrix<f64>| {
                    let exact = sigma(J, 0.0).unwrap().1;
                    let error = found.error + exact.error;
                    assert!(
                        (found.value - exact.value).abs() <= error,
                        "{found:?} {exact:?}"
                    );
                    assert!(error < 1e-12 * exact.value, "{found:?}");
                };
                let G = gram::gram(&instance, Trained::QKV);
                let J = model::jacobian(&instance, instance.W(), Trained::QKV);
                close(gram_norm(&G, dims, 0.0).unwrap().0, &J);
                let A = value_factor(&instance, &B(&instance));
                let J = model::jacobian(&instance, instance.W(), "V".parse().unwrap());
                close(factor_norm(&A, 0.0).unwrap(), &J);
            }
        }
    }

    /// One pass over A gives A (A' v), also where the columns do not fill the parts and the rows not the lanes. Both are sums
    /// of the same products.
    #[test]
    fn one_pass_over_a_matrix_is_two_products() {
        for (m, columns) in [(1, 1), (7, 64), (13, 200), (40, 65)] {
            let entry = |i: usize, j: usize| ((i * 31 + j * 17) % 23) as f64 - 11.0;
            let A = DMatrix::from_fn(m, columns, entry);
            let v = DVector::from_fn(m, |i, _| entry(i, 5));
            // Whole numbers: no rounding at all.
            assert_eq!(gram_times(&A, v.as_slice()), (&A * A.tr_mul(&v)).as_slice());
        }
    }

    /// The structural Gram matrix is J J', for every kernel, subset and p: both are sums of the
    /// same products, so they agree to rounding.
    #[test]
    fn gram_from_structure_is_jacobian_times_its_transpose() {
        for (seed, p) in [(0, 1), (1, 2), (2, 3)] {
            let dims = Dims {
                N: 3,
                n: 4,
                D: 5,
                d: 3,
                H: 2,
                p,
            };
            for kernel in [Kernel::Softmax, Kernel::Gaussian] {
                let instance = Instance::random(dims, kernel, Init::Lecun, seed).unwrap();
                for trained in ["Q", "K", "V", "QK", "QV", "KV", "QKV"] {
                    let trained: Trained = trained.parse().unwrap();
                    let J = model::jacobian(&instance, instance.W(), trained);
                    let expected = &J * J.transpose();
                    let G = gram::gram(&instance, trained);
                    let scale = expected.norm();
                    for a in 0..dims.m() {
                        for b in 0..dims.m() {
                            let difference = (G[(a, b)] - expected[(a, b)]).abs();
                            assert!(
                                difference <= 1e-14 * scale,
                                "{kernel} {trained} p={p} ({a},{b}): off by {difference:e}"
                            );
                        }
                    }
                }
            }
        }
    }
}
