//! Extreme singular values and eigenvalues, through faer.
//!
//! faer splits its work by the degree of parallelism it is told, not by the threads that happen to
//! be free; a fixed degree makes results identical for any number of threads.

use crate::{Error, Result};
use faer::diag::Diag;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::{evd, svd};
use faer::{Accum, Mat, MatRef, Par, Spec};
use nalgebra::DMatrix;

/// The fixed degree of parallelism.
pub fn par() -> Par {
    Par::rayon(8)
}

/// A view of a nalgebra matrix (both are column-major).
pub fn view(a: &DMatrix<f64>) -> MatRef<'_, f64> {
    MatRef::from_column_major_slice(a.as_slice(), a.nrows(), a.ncols())
}

/// All min(rows, cols) singular values, largest first.
pub fn singular_values(a: &DMatrix<f64>) -> Result<Vec<f64>> {
    finite(a.as_slice())?;
    let (rows, cols) = a.shape();
    let mut s = Diag::<f64>::zeros(rows.min(cols));
    let no = svd::ComputeSvdVectors::No;
    let req = svd::svd_scratch::<f64>(rows, cols, no, no, par(), Spec::default());
    svd::svd(
        view(a),
        s.as_mut(),
        None,
        None,
        par(),
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
    let mut s = Diag::<f64>::zeros(n);
    let req = evd::self_adjoint_evd_scratch::<f64>(
        n,
        evd::ComputeEigenvectors::No,
        par(),
        Spec::default(),
    );
    evd::self_adjoint_evd(
        a.as_ref(),
        s.as_mut(),
        None,
        par(),
        MemStack::new(&mut MemBuffer::new(req)),
        Spec::default(),
    )
    .map_err(|e| Error::Numerical(format!("eigenvalues did not converge: {e:?}")))?;
    Ok(s.column_vector().iter().copied().collect())
}

/// a b.
pub fn times(a: MatRef<'_, f64>, b: MatRef<'_, f64>) -> Mat<f64> {
    let mut c = Mat::zeros(a.nrows(), b.ncols());
    faer::linalg::matmul::matmul(c.as_mut(), Accum::Replace, a, b, 1.0, par());
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
