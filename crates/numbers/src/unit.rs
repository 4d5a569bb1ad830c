//! The standard model of rounding: fl(a op b) = (a op b)(1 + e), |e| <= u.

use crate::power_of_two;

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

/// x 2^k; rounded only where the result is subnormal, infinite where it overflows.
pub fn scale_by(x: f64, k: i32) -> f64 {
    // Three factors within f64's exponents, of which the first keeps a subnormal x away from underflow.
    let third = k / 3;
    x * power_of_two(third) * power_of_two(third) * power_of_two(k - 2 * third)
}

/// k such that the largest modulus is 2^k c, 1 <= c < 2; `None` if it is 0 or not finite.
pub fn exponent(values: &[f64]) -> Option<i32> {
    let largest = values.iter().fold(0.0, |a: f64, x| {
        // f64's own max would drop a NaN.
        if a >= x.abs() || a.is_nan() {
            a
        } else {
            x.abs()
        }
    });
    if !(largest.is_finite() && largest > 0.0) {
        return None;
    }
    let (normal, shift) = if largest < f64::MIN_POSITIVE {
        (largest * power_of_two(64), 64)
    } else {
        (largest, 0)
    };
    Some((normal.to_bits() >> 52) as i32 - 1023 - shift)
}

/// |x|_2, scaled by a power of two so that squares neither overflow nor underflow.
pub fn norm(values: &[f64]) -> f64 {
    match exponent(values) {
        None => values.iter().map(|x| x.abs()).sum(),
        Some(k) => {
            let squares = values.iter().map(|&x| scale_by(x, -k).powi(2));
            scale_by(squares.sum::<f64>().sqrt(), k)
        }
    }
}
