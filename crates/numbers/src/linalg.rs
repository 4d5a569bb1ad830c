//! Extreme singular values and eigenvalues, through faer.
//!
//! faer splits its work by the degree of parallelism it is told, not by the threads that happen to
//! be free; a degree that only the size decides makes results identical for any number of threads. Its threads wait for each
//! other by spinning, which costs more than it saves on small sizes, and far more on a machine with other work.

use crate::{Error, Result};
use crate::{exponent, scale_by};
use faer::diag::Diag;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::{evd, svd};
use faer::{Accum, Mat, MatRef, Par, Spec};
use nalgebra::DMatrix;

/// The degree of parallelism of an m x k by k x n product: two threads take half the time from about 128 rows on.
pub fn product_par(m: usize, k: usize, n: usize) -> Par {
    if m.saturating_mul(k).saturating_mul(n) < 1 << 20 {
        Par::Seq
    } else {
        Par::rayon(8)
    }
}

/// The degree of parallelism of a Cholesky, QR, singular value or eigenvalue decomposition of rank n: two threads need up to
/// six times as long at n = 64 to 128, as long at 1024, half as long at 2048.
pub(crate) fn decomposition_par(n: usize) -> Par {
    if n <= 1024 { Par::Seq } else { Par::rayon(8) }
}

/// A view of a nalgebra matrix (both are column-major).
pub fn view(a: &DMatrix<f64>) -> MatRef<'_, f64> {
    MatRef::from_column_major_slice(a.as_slice(), a.nrows(), a.ncols())
}

/// A = 2^k B with the largest entry of B in [1, 2), so that squares of its entries neither overflow nor underflow; `None` where
/// nothing in A comes near that. What underflows in B is less than 2^-1074 of the largest entry.
pub fn scaled(a: &DMatrix<f64>) -> Option<(DMatrix<f64>, i32)> {
    let k = exponent(a.as_slice()).filter(|k| k.abs() > 200)?;
    Some((a.map(|x| scale_by(x, -k)), k))
}

/// All min(rows, cols) singular values, largest first.
pub fn singular_values(a: &DMatrix<f64>) -> Result<Vec<f64>> {
    finite(a.as_slice())?;
    if let Some((a, k)) = scaled(a) {
        let s = singular_values(&a)?;
        return Ok(s.into_iter().map(|s| scale_by(s, k)).collect());
    }
    decompose(a).or_else(|_| {
        // Numbers near underflow beside ordinary ones can keep the iteration from converging. They are far below its errors.
        let least = 2f64.powi(-500) * a.amax();
        decompose(&a.map(|x| if x.abs() < least { 0.0 } else { x }))
    })
}

fn decompose(a: &DMatrix<f64>) -> Result<Vec<f64>> {
    let (rows, cols) = a.shape();
    let mut s = Diag::<f64>::zeros(rows.min(cols));
    let no = svd::ComputeSvdVectors::No;
    let par = decomposition_par(rows.min(cols));
    let req = svd::svd_scratch::<f64>(rows, cols, no, no, par, Spec::default());
    svd::svd(
        view(a),
        s.as_mut(),
        None,
        None,
        par,
        MemStack::new(&mut MemBuffer::new(req)),
        Spec::default(),
    )
    .map_err(|e| Error::Numerical(format!("singular values did not converge: {e:?}")))?;
    Ok(s.column_vector().iter().copied().collect())
}

/// All eigenvalues of a symmetric matrix (lower triangle), smallest first.
pub fn eigenvalues(a: &Mat<f64>) -> Result<Vec<f64>> {
    for j in 0..a.ncols() {
        finite(a.col_as_slice(j))?;
    }
    let n = a.nrows();
    let par = decomposition_par(n);
    let mut s = Diag::<f64>::zeros(n);
    let req =
        evd::self_adjoint_evd_scratch::<f64>(n, evd::ComputeEigenvectors::No, par, Spec::default());
    evd::self_adjoint_evd(
        a.as_ref(),
        s.as_mut(),
        None,
        par,
        MemStack::new(&mut MemBuffer::new(req)),
        Spec::default(),
    )
    .map_err(|e| Error::Numerical(format!("eigenvalues did not converge: {e:?}")))?;
    Ok(s.column_vector().iter().copied().collect())
}

/// All eigenvalues of a symmetric matrix (lower triangle) of finite numbers, smallest first, and their vectors as columns.
pub fn eigen(a: &DMatrix<f64>) -> Result<(Vec<f64>, DMatrix<f64>)> {
    let n = a.nrows();
    let (mut s, mut vectors) = (Diag::<f64>::zeros(n), Mat::<f64>::zeros(n, n));
    let (yes, par) = (evd::ComputeEigenvectors::Yes, decomposition_par(n));
    let req = evd::self_adjoint_evd_scratch::<f64>(n, yes, par, Spec::default());
    evd::self_adjoint_evd(
        view(a),
        s.as_mut(),
        Some(vectors.as_mut()),
        par,
        MemStack::new(&mut MemBuffer::new(req)),
        Spec::default(),
    )
    .map_err(|e| Error::Numerical(format!("eigenvalues did not converge: {e:?}")))?;
    let values = s.column_vector().iter().copied().collect();
    Ok((values, DMatrix::from_fn(n, n, |i, j| vectors[(i, j)])))
}

/// a b.
pub fn times(a: MatRef<'_, f64>, b: MatRef<'_, f64>) -> Mat<f64> {
    let mut c = Mat::zeros(a.nrows(), b.ncols());
    let par = product_par(a.nrows(), a.ncols(), b.ncols());
    faer::linalg::matmul::matmul(c.as_mut(), Accum::Replace, a, b, 1.0, par);
    c
}

fn finite(values: &[f64]) -> Result<()> {
    if values.iter().all(|x| x.is_finite()) {
        Ok(())
    } else {
        Err(overflows())
    }
}

pub fn overflows() -> Error {
    Error::input("the Jacobian overflows f64 at M_0; scale the instance's data or weights down")
}

/// a'b in eight sums, which the compiler can keep in vectors.
pub fn dot_in_lanes(a: &[f64], b: &[f64]) -> f64 {
    let (a8, a1) = a.as_chunks::<8>();
    let (b8, b1) = b.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for (a, b) in a8.iter().zip(b8) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    let rest: f64 = a1.iter().zip(b1).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::norm;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::{Rng, SeedableRng};

    /// Rows and columns from 1 down to the smallest numbers, zeros among them: the decomposition converges, and nothing of the
    /// matrix is lost.
    #[test]
    fn graded_matrices_have_their_singular_values() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for case in 0..2000 {
            let mut below = |k: u32| rng.next_u32() % k;
            let (m, columns) = (1 + below(8) as usize, 1 + below(24) as usize);
            let depth = [0, 60, 600, 1060][case % 4];
            let mut grade = |count: usize| -> Vec<i32> {
                (0..count).map(|_| -(below(depth / 2 + 1) as i32)).collect()
            };
            let (rows, cols, top) = (grade(m), grade(columns), grade(1)[0]);
            let A = DMatrix::from_fn(m, columns, |i, j| {
                let x = f64::from(below(1 << 20)) / f64::from(1 << 19) - 1.0;
                let x = if below(5) == 0 { 0.0 } else { x };
                scale_by(x, rows[i] + cols[j] + top)
            });
            let s = singular_values(&A).unwrap();
            assert!(
                s.iter().all(|s| s.is_finite() && *s >= 0.0),
                "{case}: {s:?}"
            );
            let (found, expected) = (norm(&s), norm(A.as_slice()));
            // Subnormal numbers have fewer digits.
            let error = 1e-13 * expected + 1e3 * f64::from_bits(1);
            assert!(
                (found - expected).abs() <= error,
                "{case}: {found:e} {expected:e}"
            );
        }
    }
}
