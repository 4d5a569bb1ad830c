//! LayerNorm: y = (x - mean) / sqrt(variance + 1e-5) * scale + shift, row by row.

use super::sum;
use crate::classifier::Real;
use crate::simd::vectorised;

const EPSILON: f64 = 1e-5;

/// Mean, and reciprocal of the standard deviation.
#[inline(always)]
fn moments<T: Real>(x: &[T]) -> (T, T) {
    let count = T::from_f64(x.len() as f64);
    let mean = sum(x.len(), |i| x[i]) / count;
    let variance = sum(x.len(), |i| (x[i] - mean) * (x[i] - mean)) / count;
    let deviation = (variance + T::from_f64(EPSILON)).root();
    (mean, T::from_f64(1.0) / deviation)
}

vectorised! {
    /// `parameters`: scale, then shift.
    pub(crate) fn forward<T: Real>(parameters: &[T], x: &[T], y: &mut [T]) {
        let width = parameters.len() / 2;
        let (scale, shift) = parameters.split_at(width);
        for (x, y) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)) {
            let (mean, inverse) = moments(x);
            for i in 0..width {
                y[i] = (x[i] - mean) * inverse * scale[i] + shift[i];
            }
        }
    }
}

vectorised! {
    /// Adds to the gradient, and to dx: with z = (x - mean) inverse and g = dy scale,
    /// dx += inverse (g - mean(g) - z mean(g z)).
    pub(crate) fn backward<T: Real>(
        parameters: &[T],
        x: &[T],
        dy: &[T],
        gradient: &mut [T],
        dx: &mut [T],
    ) {
        let width = parameters.len() / 2;
        let scale = &parameters[..width];
        let (dscale, dshift) = gradient.split_at_mut(width);
        let count = T::from_f64(width as f64);
        let rows = x.chunks_exact(width).zip(dy.chunks_exact(width));
        for ((x, dy), dx) in rows.zip(dx.chunks_exact_mut(width)) {
            let (mean, inverse) = moments(x);
            let g_mean = sum(width, |i| dy[i] * scale[i]) / count;
            let gz_mean = sum(width, |i| dy[i] * scale[i] * (x[i] - mean)) * inverse / count;
            for i in 0..width {
                let z = (x[i] - mean) * inverse;
                dscale[i] += dy[i] * z;
                dshift[i] += dy[i];
                dx[i] += inverse * (dy[i] * scale[i] - g_mean - z * gz_mean);
            }
        }
    }
}
