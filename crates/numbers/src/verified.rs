//! Rigorous bounds on extreme singular values and eigenvalues, at the price of a few matrix products.
//!
//! **What is assumed.** Floating-point *products* only: entry (a, b) of a computed product of an m x k by a k x l
//! matrix is a sum of the k products in some order, each rounded to nearest, with or without fused
//! multiply-add. Then, with u = 2^-53 and gamma_k = k u / (1 - k u) (Higham 2002, section 3.5),
//!
//! ```text
//! |fl(A B) - A B|_ab <= gamma_k (|A| |B|)_ab + k 2^-1073,                         (1)
//! ```
//!
//! the last term for products that underflow (each is off by at most 2^-1075; sums do not underflow). This holds
//! for blocked and vectorised kernels, whatever the order, but not for Strassen-like ones; faer's `matmul` and
//! its `triangular` variant split the three index ranges and accumulate, and have no fast path.
//!
//! **Nothing is assumed about Cholesky, QR, triangular solves or Lanczos.** They only supply candidates.
//!
//! **Positive semidefinite up to a defect.** For symmetric S and any real matrix L whatsoever, L L' >= 0 gives
//! lambda_min(S) >= -|S - L L'|_2, and with R = fl(L L'), by (1),
//!
//! ```text
//! |S - L L'|_2 <= |S - R|_F + gamma_n |L|_F^2 + n^2 2^-1073,                      (2)
//! ```
//!
//! since |L L' - R|_ab <= gamma_n |l_a| |l_b| and the matrix (|l_a| |l_b|) has spectral norm |L|_F^2.
//! S. M. Rump (*Verification of positive definiteness*, BIT 46, 2006) bounds the same quantity before the
//! fact: if floating-point Cholesky of S runs to completion, then |S - L L'| <= gamma_{n+1} |L| |L|', so that
//! |S - L L'|_2 <= gamma_{n+1} / (1 - gamma_{n+1}) tr S. That saves the product L L' but needs inner products by the
//! textbook, and true divisions: an implementation that multiplies by reciprocals, or solves with
//! inverted diagonal blocks, has other constants. (2) has the same size, costs one triangular product and
//! holds for any library.
//!
//! **Smallest eigenvalue.** For a shift c and S = fl(G - c I): lambda_min(G) >= c - (2) - u max |s_aa|. c is taken a little
//! below a Lanczos estimate; a Cholesky that breaks down only costs another try with a smaller c.
//! Largest eigenvalue: S = fl(c I - G) and lambda_max(G) <= c + (2) + u max |s_aa|.
//!
//! **Gram matrices.** G = fl(A A'), A m x P: |G - A A'|_2 <= gamma_P |A|_F^2 + m P 2^-1073, as in (2). Known entries with
//! errors, |A - A_exact|_F <= radius, move singular values by at most the radius (Weyl).
//!
//! **Without squaring.** If sigma_min(A)^2 is lost in that error: with R from a QR decomposition of A', X ~ R^-1 and
//! Y = fl(A' X),
//!
//! ```text
//! sigma_min(A) >= sigma_min(A' X) / |X|_2 >= (sqrt(1 - |I - Y'Y|_2) - gamma_m |A|_F |X|_F - P m 2^-1073) / |X|_2,   (3)
//! ```
//!
//! good as long as gamma_m |A|_F |X|_F is below 1: condition numbers up to about 1e12 instead of 1e6.
//!
//! Every scalar below is rounded in the safe direction by [`up`], [`down`] or [`Interval`]. The products are split
//! by a degree of parallelism that their size decides, so that results do not depend on the number of threads.

// !(a > b) is not a <= b: a NaN must take the branch that proves nothing.
#![allow(clippy::neg_cmp_op_on_partial_ord)]

use super::interval::{Interval, add_down, add_up, mul_up, sqrt_down, sqrt_up};
use crate::Scalar;
use crate::lanczos::{column, dot, lanczos, multiply, start_vector};
use crate::linalg::{decomposition_par, dot_in_lanes, product_par};
use crate::{U, exponent, gamma, scale_by};
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt::factor::{
    LltRegularization, cholesky_in_place, cholesky_in_place_scratch,
};
use faer::linalg::matmul::{matmul, triangular, triangular::BlockStructure};
use faer::linalg::triangular_solve::{
    solve_lower_triangular_in_place, solve_upper_triangular_in_place,
};
use faer::linalg::{qr::no_pivoting::factor as qr, triangular_inverse::invert_upper_triangular};
use faer::{Accum, ColRef, Mat, MatRef, Par, Spec};
use nalgebra::DMatrix;

/// An upper bound of a sum that was computed as `x` from non-negative terms, each rounded at most `k` times
/// (k < 2^30): the sum is at most x / (1 - gamma_k) plus underflows, fewer than 2^52 of them.
pub fn up(x: f64, k: usize) -> f64 {
    // 1/(1 - gamma_k) <= 1 + 2 k u for k u < 1/4; the other half and the 4 cover the roundings on this line.
    x * (1.0 + 4.0 * (k as f64 + 4.0) * U) + f64::MIN_POSITIVE
}

/// An upper bound of gamma_k.
pub fn gamma_up(k: usize) -> f64 {
    gamma(k) * (1.0 + 8.0 * U)
}

/// A lower bound of the non-negative difference a - b, or a number below 0.
fn down(a: f64, b: f64) -> f64 {
    add_down(a, -b)
}

/// An upper bound of sqrt(sum of squares).
pub fn norm_up<I>(values: I) -> f64
where
    I: IntoIterator<Item = f64>,
    I::IntoIter: Clone,
{
    let values = values.into_iter();
    let (mut sum, mut count) = (0.0, 2);
    for x in values.clone() {
        sum += x * x;
        count += 1;
    }
    if sum > SQUARES.0 && sum < SQUARES.1 {
        return sqrt_up(up(sum, count));
    }
    // Squares near under- or overflow: scaled.
    let values: Vec<f64> = values.collect();
    let Some(k) = exponent(&values) else {
        return values.iter().map(|x| x.abs()).sum(); // all 0, or not finite
    };
    let sum = values.iter().map(|&x| scale_by(x, -k).powi(2)).sum();
    let norm = scale_by(sqrt_up(up(sum, count)), k);
    if norm > f64::MIN_POSITIVE {
        norm
    } else {
        norm.next_up()
    }
}

/// Sums of squares inside these ends have lost nothing that [`up`] does not cover a thousand times.
const SQUARES: (f64, f64) = (1e-270, 1e300);

/// A lower bound of sqrt(sum of squares): no rounding is lost but 2 gamma_{k+1} and underflow.
fn norm_down(values: &[f64]) -> f64 {
    let sum = values.iter().fold(0.0, |s, x| s + x * x);
    let k = values.len() as f64 + 8.0;
    sqrt_down((sum * (1.0 - 4.0 * k * U) - f64::MIN_POSITIVE).max(0.0))
}

fn frobenius_up(a: MatRef<'_, f64>) -> f64 {
    // The norm is that of the transpose, whose columns may be the contiguous ones.
    let a = if a.row_stride() == 1 {
        a
    } else {
        a.transpose()
    };
    let squares = |x: ColRef<'_, f64>| match x.try_as_col_major() {
        Some(x) => dot_in_lanes(x.as_slice(), x.as_slice()),
        None => x.iter().map(|x| x * x).sum(),
    };
    let sum = (0..a.ncols()).map(|j| squares(a.col(j))).sum();
    sqrt_up(up(sum, a.nrows() + a.ncols() + 8))
}

/// k 2^-1073 for the underflow terms, rounded up to something simple.
fn underflow(count: usize) -> f64 {
    // 2^-1073 k < 2^-1022 for k < 2^51.
    debug_assert!(count < 1 << 50);
    f64::MIN_POSITIVE
}

/// A singular value that rounding hides: nothing positive could be proven.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error(
    "not resolved: the smallest singular value is at most {upper:e}, within its error {error:.1e} of 0"
)]
pub struct NotResolved {
    /// A rigorous upper bound of the smallest singular value.
    pub upper: f64,
    /// The error that it would have to exceed.
    pub error: f64,
}

impl NotResolved {
    pub const NOTHING_KNOWN: NotResolved = NotResolved {
        upper: f64::INFINITY,
        error: f64::INFINITY,
    };
}

/// A symmetric matrix that is known up to an error: |exact - G|_2 <= `error`.
#[derive(Clone, Debug)]
pub struct Symmetric {
    /// Both triangles.
    pub G: Mat<f64>,
    pub error: f64,
}

/// An eigenvalue bound with the estimate it was made from.
#[derive(Clone, Debug)]
pub struct Smallest {
    /// lambda_min of the exact matrix is at least this; -infinity if nothing could be shown.
    pub lower: f64,
    /// lambda_min of the exact matrix is at most this.
    pub upper: f64,
    /// Approximately lambda_min(G).
    pub estimate: f64,
    /// An approximate bottom eigenvector.
    pub vector: Vec<f64>,
}

impl Symmetric {
    /// From the lower triangle of G.
    pub fn from_lower(mut G: Mat<f64>, error: f64) -> Self {
        for j in 0..G.ncols() {
            for i in 0..j {
                G[(i, j)] = G[(j, i)];
            }
        }
        Symmetric { G, error }
    }

    /// A A'.
    pub fn gram(A: MatRef<'_, f64>) -> Self {
        let (m, P) = (A.nrows(), A.ncols());
        let mut G = Mat::zeros(m, m);
        lower_product(&mut G, Accum::Replace, A, A.transpose(), 1.0);
        let f = frobenius_up(A);
        let error = up(gamma_up(P) * mul_up(f, f), 2) + underflow(m * P);
        Symmetric::from_lower(G, error)
    }

    /// Bounds on the smallest eigenvalue of the exact matrix.
    pub fn smallest(&self) -> Smallest {
        let n = self.G.nrows();
        let trace = (0..n).map(|a| self.G[(a, a)].abs()).sum::<f64>();
        let noise = n as f64 * U * trace;
        // Where Cholesky breaks down, shift upwards: nothing will be proven, but the vector is useful.
        let factor = [0.0, 4.0, 256.0].into_iter().find_map(|shift| {
            let mut L = self.G.clone();
            for a in 0..n {
                L[(a, a)] += shift * noise;
            }
            (self.finite() && cholesky(&mut L)).then_some(L)
        });
        let Some(L) = factor else {
            return Smallest {
                lower: f64::NEG_INFINITY,
                upper: self.rayleigh_up(&start_vector(n)),
                estimate: noise,
                vector: start_vector(n),
            };
        };
        let found = lanczos(n, CANDIDATE, |v| solve(&L, v));
        drop(L);
        let (estimate, vector) = (1.0 / found.value, found.vector);
        let mut lower = f64::NEG_INFINITY;
        for margin in MARGINS {
            let c = estimate * (1.0 - margin) - 2.0 * noise;
            // NaN must end here too.
            if !(c > 0.0) {
                break;
            }
            let mut S = self.G.clone();
            for a in 0..n {
                S[(a, a)] -= c;
            }
            if let Some(defect) = defect(&S) {
                lower = down(down(down(c, defect), diagonal_rounding(&S)), self.error);
                break;
            }
        }
        Smallest {
            lower,
            upper: self.rayleigh_up(&vector),
            estimate,
            vector,
        }
    }

    /// The largest eigenvalue of the exact matrix, which must be positive semidefinite; up to infinity if an entry is
    /// not finite.
    pub fn largest(&self) -> Interval {
        if !self.finite() {
            return Interval::new(0.0, f64::INFINITY);
        }
        let found = lanczos(self.G.nrows(), CANDIDATE, |v| multiply(&self.G, v));
        let lower = self.rayleigh(&found.vector).lo().max(0.0);
        Interval::new(lower, self.largest_up(found.value))
    }

    /// The upper end of [`Self::largest`], from about this number.
    fn largest_up(&self, estimate: f64) -> f64 {
        let n = self.G.nrows();
        // Positive semidefinite: lambda_max <= tr <= n max_a (G_aa + error).
        let trace = up((0..n).map(|a| self.G[(a, a)].abs()).sum(), n);
        let crude = up(trace + n as f64 * self.error, 3);
        let noise = n as f64 * U * trace;
        for margin in MARGINS {
            let c = estimate * (1.0 + margin) + 2.0 * noise;
            if !c.is_finite() {
                break;
            }
            let mut S = Mat::zeros(n, n);
            for b in 0..n {
                for a in b..n {
                    S[(a, b)] = -self.G[(a, b)];
                }
                S[(b, b)] += c;
            }
            if let Some(defect) = defect(&S) {
                return up(c + defect + diagonal_rounding(&S) + self.error, 4).min(crude);
            }
        }
        crude
    }

    /// lambda_min <= v'Gv / v'v + error for any v.
    fn rayleigh_up(&self, v: &[f64]) -> f64 {
        self.rayleigh(v).hi()
    }

    /// v'Av / v'v for the exact matrix A, between lambda_min and lambda_max. With w = fl(G v) and t = fl(v'w), by (1)
    /// |t - v'Gv| <= gamma_{2n} |v|' |G| |v| + underflow <= gamma_{2n} |G|_F |v|^2 + n (1 + |v|_1) 2^-1073.
    fn rayleigh(&self, v: &[f64]) -> Interval {
        let n = v.len();
        let norm = Interval::new(norm_down(v), norm_up(v.iter().copied()));
        let t = dot(v, &multiply(&self.G, v));
        let relative = up(gamma_up(2 * n) * frobenius_up(self.G.as_ref()), 2);
        let tiny = up(f64::MIN_POSITIVE * (1.0 + norm.hi()), 2);
        let square = norm.square();
        let quotient = (Interval::from_f64(t) + Interval::new(-tiny, tiny)) / square;
        let error = add_up(relative, self.error);
        quotient + Interval::new(-error, error)
    }

    fn finite(&self) -> bool {
        self.error.is_finite() && self.G.is_all_finite()
    }
}

/// How far from a Lanczos estimate the shift c is taken: the first that works.
const MARGINS: [f64; 5] = [1.0 / (1u64 << 30) as f64, 1e-7, 1e-5, 1e-3, 0.1];

/// How well Lanczos must know an eigenvalue that only supplies a candidate.
const CANDIDATE: f64 = 1e-7;

/// u max |s_aa|: the one rounding of the diagonal of G - c I or c I - G.
fn diagonal_rounding(S: &Mat<f64>) -> f64 {
    let largest = (0..S.nrows()).map(|a| S[(a, a)].abs());
    up(U * largest.fold(0.0, f64::max), 1)
}

/// A number d with lambda_min(S) >= -d, S given by its lower triangle; `None` if Cholesky breaks down. This is (2).
pub fn defect(S: &Mat<f64>) -> Option<f64> {
    let n = S.nrows();
    let mut L = S.clone();
    if !cholesky(&mut L) {
        return None;
    }
    let f = norm_up((0..n).flat_map(|j| L.col_as_slice(j)[j..].iter().copied()));
    let mut E = S.clone();
    triangular::matmul(
        E.as_mut(),
        BlockStructure::TriangularLower,
        Accum::Replace,
        L.as_ref(),
        BlockStructure::TriangularLower,
        L.transpose(),
        BlockStructure::TriangularUpper,
        1.0,
        product_par(n, n, n),
    );
    let mut sum = 0.0;
    for j in 0..n {
        let (s, r) = (&S.col_as_slice(j)[j..], &E.col_as_slice(j)[j..]);
        for (k, (s, r)) in s.iter().zip(r).enumerate() {
            let e = s - r;
            sum += if k == 0 { e * e } else { 2.0 * e * e };
        }
    }
    let residual = sqrt_up(up(sum, n * n + 4));
    let d = up(residual + gamma_up(n) * mul_up(f, f), 8) + underflow(n * n);
    d.is_finite().then_some(d)
}

/// S = L L' in place; L in the lower triangle.
fn cholesky(S: &mut Mat<f64>) -> bool {
    let par = decomposition_par(S.nrows());
    let scratch = cholesky_in_place_scratch::<f64>(S.nrows(), par, Spec::default());
    cholesky_in_place(
        S.as_mut(),
        LltRegularization::default(),
        par,
        MemStack::new(&mut MemBuffer::new(scratch)),
        Spec::default(),
    )
    .is_ok()
}

/// The lower triangle of C := (C +) alpha A B.
pub fn lower_product(
    C: &mut Mat<f64>,
    accum: Accum,
    A: MatRef<'_, f64>,
    B: MatRef<'_, f64>,
    alpha: f64,
) {
    triangular::matmul(
        C.as_mut(),
        BlockStructure::TriangularLower,
        accum,
        A,
        BlockStructure::Rectangular,
        B,
        BlockStructure::Rectangular,
        alpha,
        product_par(A.nrows(), A.ncols(), B.ncols()),
    );
}

// One column is too little work to share.
/// Approximately (L L')^-1 v.
fn solve(L: &Mat<f64>, v: &[f64]) -> Vec<f64> {
    let mut w = column(v).to_owned();
    solve_lower_triangular_in_place(L.as_ref(), w.as_mut(), Par::Seq);
    solve_upper_triangular_in_place(L.transpose(), w.as_mut(), Par::Seq);
    w.col_as_slice(0).to_vec()
}

/// sigma_min as an interval, or why there is none.
pub type SigmaMin = std::result::Result<Interval, NotResolved>;

/// sigma_min and the largest singular value.
pub type Extreme = (SigmaMin, Interval);

/// A matrix times 2^-k, for numbers whose products or inverses would leave f64's range.
struct Scaled {
    A: Mat<f64>,
    radius: f64,
    k: i32,
}

/// Scales so that the largest entry lies in [1, 2), unless it is between 2^-300 and 2^300 anyway.
fn scaled(A: MatRef<'_, f64>, radius: f64) -> Option<Scaled> {
    let largest = (0..A.ncols()).flat_map(|j| A.col(j).iter().map(|x| x.abs()));
    let k = exponent(&[largest.fold(0.0, f64::max)])?;
    if k.abs() <= 300 {
        return None;
    }
    // Entries that become subnormal lose less than 2^-1074 each, in the norm less than 2^-1022.
    Some(Scaled {
        A: Mat::from_fn(A.nrows(), A.ncols(), |i, j| scale_by(A[(i, j)], -k)),
        radius: up(scale_by(radius, -k), 1),
        k,
    })
}

/// What holds for A where `sigma` holds for 2^-k A.
fn unscaled(sigma: SigmaMin, k: i32) -> SigmaMin {
    let up = |x: f64| Interval::new(0.0, x.max(0.0)).scaled(k).hi();
    match sigma {
        Ok(sigma) => Ok(sigma.scaled(k)),
        Err(e) => Err(NotResolved {
            upper: up(e.upper),
            error: up(e.error),
        }),
    }
}

/// sigma_min of every matrix within `radius` (Frobenius norm) of A, from both sides. A is m x P; the m-th
/// singular value is meant, 0 if P < m.
///
/// The Gram matrix serves if it resolves the value to 2^-20; else bound (3) is tried as well.
pub fn sigma_min(A: MatRef<'_, f64>, radius: f64) -> SigmaMin {
    if A.ncols() < A.nrows() || A.nrows() == 0 {
        return Ok(Interval::from_f64(0.0));
    }
    if !(radius.is_finite() && A.is_all_finite()) {
        return Err(NotResolved::NOTHING_KNOWN);
    }
    if let Some(Scaled { A, radius, k }) = scaled(A, radius) {
        return unscaled(sigma_min(A.as_ref(), radius), k);
    }
    smallest_from(Symmetric::gram(A), A, radius)
}

/// sigma_min and the largest singular value, with one Gram matrix for both.
pub fn extreme(A: MatRef<'_, f64>, radius: f64) -> Extreme {
    if A.ncols() < A.nrows() || A.nrows() == 0 {
        return (sigma_min(A, radius), largest(A, radius));
    }
    if !(radius.is_finite() && A.is_all_finite()) {
        let any = Interval::new(0.0, f64::INFINITY);
        return (Err(NotResolved::NOTHING_KNOWN), any);
    }
    if let Some(Scaled { A, radius, k }) = scaled(A, radius) {
        let (smallest, largest) = extreme(A.as_ref(), radius);
        return (unscaled(smallest, k), largest.scaled(k));
    }
    let gram = Symmetric::gram(A);
    let largest = widened(gram.largest().sqrt(), radius);
    (smallest_from(gram, A, radius), largest)
}

/// All numbers of at least 0 that are within `radius` of the interval.
fn widened(x: Interval, radius: f64) -> Interval {
    let wide = x + Interval::new(-radius, radius);
    Interval::new(wide.lo().max(0.0), wide.hi())
}

fn smallest_from(gram: Symmetric, A: MatRef<'_, f64>, radius: f64) -> SigmaMin {
    let found = gram.smallest();
    let mut lower = sqrt_down(found.lower.max(0.0));
    let mut upper = sigma_min_up(A, &found.vector);
    if !(found.lower >= found.estimate * (1.0 - 1.0 / (1 << 20) as f64)) {
        drop(gram);
        if let Some((without_squaring, vector)) = sigma_min_by_qr(A) {
            lower = lower.max(without_squaring);
            upper = upper.min(sigma_min_up(A, &vector));
        }
    }
    let upper = add_up(upper, radius);
    let lower = down(lower, radius);
    if lower > 0.0 {
        return Ok(Interval::new(lower, upper));
    }
    Err(NotResolved {
        upper,
        error: add_up(upper, -lower),
    })
}

/// A lower bound of sigma_min for every matrix within `radius` (Frobenius norm) of the wide matrix A.
///
/// # Errors
/// [`NotResolved`] if no positive bound can be proven.
///
/// ```
/// use gdcert_numbers::sigma_min_lower;
/// use nalgebra::DMatrix;
/// let A = DMatrix::from_row_slice(2, 3, &[3.0, 0.0, 4.0, 0.0, 2.0, 0.0]); // singular values 5 and 2
/// let lower = sigma_min_lower(&A, 0.0)?;
/// assert!(lower <= 2.0 && lower > 2.0 * (1.0 - 1e-6));
/// # Ok::<(), gdcert_numbers::NotResolved>(())
/// ```
pub fn sigma_min_lower(A: &DMatrix<f64>, radius: f64) -> std::result::Result<f64, NotResolved> {
    sigma_min(view(A), radius).map(Interval::lo)
}

/// An upper bound of sigma_min for every matrix within `radius` (Frobenius norm) of A: |A'v| / |v| + radius for an
/// approximate bottom vector v; infinity if an entry is not finite.
pub fn sigma_min_upper(A: &DMatrix<f64>, radius: f64) -> f64 {
    if A.ncols() < A.nrows() {
        return 0.0;
    }
    let A = view(A);
    if !A.is_all_finite() {
        return f64::INFINITY;
    }
    if let Some(Scaled { A, radius, k }) = scaled(A, radius) {
        let A = DMatrix::from_fn(A.nrows(), A.ncols(), |i, j| A[(i, j)]);
        let upper = sigma_min_upper(&A, radius);
        return Interval::new(0.0, upper).scaled(k).hi();
    }
    let by_gram = sigma_min_up(A, &Symmetric::gram(A).smallest().vector);
    let by_qr = sigma_min_by_qr(A).map_or(f64::INFINITY, |(_, v)| sigma_min_up(A, &v));
    add_up(by_gram.min(by_qr), radius)
}

/// An upper bound of the largest singular value of every matrix within `radius` (Frobenius norm) of A; infinity
/// if an entry is not finite.
pub fn sigma_max_upper(A: &DMatrix<f64>, radius: f64) -> f64 {
    sigma_max(view(A), radius)
}

pub fn sigma_max(A: MatRef<'_, f64>, radius: f64) -> f64 {
    largest(A, radius).hi()
}

/// The largest singular value of every matrix within `radius` (Frobenius norm) of A.
fn largest(A: MatRef<'_, f64>, radius: f64) -> Interval {
    if A.nrows() == 0 || A.ncols() == 0 {
        return Interval::new(0.0, radius);
    }
    if !(radius.is_finite() && A.is_all_finite()) {
        return Interval::new(0.0, f64::INFINITY);
    }
    if let Some(Scaled { A, radius, k }) = scaled(A, radius) {
        return largest(A.as_ref(), radius).scaled(k);
    }
    let A = if A.ncols() < A.nrows() {
        A.transpose()
    } else {
        A
    };
    widened(Symmetric::gram(A).largest().sqrt(), radius)
}

/// sigma_min(A) <= |A'v| / |v|; with t = fl(A'v), |t - A'v| <= gamma_m |A|_F |v| + P m 2^-1073.
fn sigma_min_up(A: MatRef<'_, f64>, v: &[f64]) -> f64 {
    let (m, P) = (A.nrows(), A.ncols());
    let mut t = Mat::zeros(P, 1);
    matmul(
        t.as_mut(),
        Accum::Replace,
        A.transpose(),
        column(v),
        1.0,
        product_par(P, m, 1),
    );
    let top = norm_up(t.col_as_slice(0).iter().copied());
    let bottom = norm_down(v);
    let error = up(gamma_up(m) * frobenius_up(A), 4);
    let ratio = Interval::new(top, add_up(top, underflow(P * m))) / Interval::from_f64(bottom);
    add_up(ratio.hi(), error)
}

/// Bound (3), with an approximate bottom vector of A; `None` if R has no inverse in f64.
fn sigma_min_by_qr(A: MatRef<'_, f64>) -> Option<(f64, Vec<f64>)> {
    let (m, P) = (A.nrows(), A.ncols());
    let mut QR = A.transpose().to_owned();
    let block = qr::recommended_block_size::<f64>(P, m);
    let mut coefficients = Mat::zeros(block, m);
    let par = decomposition_par(m);
    let scratch = qr::qr_in_place_scratch::<f64>(P, m, block, par, Spec::default());
    qr::qr_in_place(
        QR.as_mut(),
        coefficients.as_mut(),
        par,
        MemStack::new(&mut MemBuffer::new(scratch)),
        Spec::default(),
    );
    let R = Mat::from_fn(m, m, |i, j| if i <= j { QR[(i, j)] } else { 0.0 });
    drop(QR);
    let mut X = Mat::zeros(m, m);
    invert_upper_triangular(X.as_mut(), R.as_ref(), par);
    if !X.is_all_finite() {
        return None;
    }
    let L = R.transpose().to_owned();
    let vector = lanczos(m, CANDIDATE, |v| solve(&L, v)).vector;
    let mut Y = Mat::zeros(P, m);
    matmul(
        Y.as_mut(),
        Accum::Replace,
        A.transpose(),
        X.as_ref(),
        1.0,
        product_par(P, m, m),
    );
    let product = up(
        gamma_up(m) * mul_up(frobenius_up(A), frobenius_up(X.as_ref())),
        3,
    ) + underflow(P * m);
    let gram = Symmetric::gram(Y.transpose());
    let orthogonality = norm_up((0..m).flat_map(|j| {
        let column = gram.G.col_as_slice(j);
        column
            .iter()
            .enumerate()
            .map(move |(i, g)| if i == j { g - 1.0 } else { *g })
    }));
    // g - 1 is exact for g in [1/2, 2] (Sterbenz); outside, the defect is above 1/2 - u and far from proving anything
    // that one more rounding could spoil: up() covers it.
    let orthogonality = up(orthogonality + gram.error, 4);
    if !(orthogonality < 1.0) {
        return Some((0.0, vector));
    }
    let numerator = down(sqrt_down(down(1.0, orthogonality).max(0.0)), product);
    let ratio = Interval::from_f64(numerator) / Interval::from_f64(sigma_max(X.as_ref(), 0.0));
    Some((ratio.lo().max(0.0), vector))
}

/// A view of a nalgebra matrix (both are column-major).
pub fn view(a: &DMatrix<f64>) -> MatRef<'_, f64> {
    MatRef::from_column_major_slice(a.as_slice(), a.nrows(), a.ncols())
}
