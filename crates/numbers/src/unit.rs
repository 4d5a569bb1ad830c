//! The standard model of rounding: fl(a op b) = (a op b)(1 + e), |e| <= u.

/// Unit roundoff of f64.
pub const U: f64 = f64::EPSILON / 2.0;

/// gamma_k = k u / (1 - k u), the relative error of k roundings in a row (Higham, *Accuracy and Stability of
/// Numerical Algorithms*, 2002, section 3.1).
pub fn gamma(k: usize) -> f64 {
    gamma_of(k, U)
}

/// gamma_k for another unit roundoff.
pub fn gamma_of(k: usize, unit: f64) -> f64 {
    let ku = k as f64 * unit;
    ku / (1.0 - ku)
}
