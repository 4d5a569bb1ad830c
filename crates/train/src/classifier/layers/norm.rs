//! LayerNorm: y = (x - mean) / sqrt(variance + 1e-5) * scale + shift, row by row.

use super::sum;
use crate::classifier::Real;
use gdcert_base::vectorised;

const EPSILON: f64 = 1e-5;

/// Mean, and reciprocal of the standard deviation, of a row.
pub(crate) type Moments<T> = [T; 2];

vectorised! {
    /// The moments of each row.
    pub(crate) fn moments<T: Real>(x: &[T], width: usize, moments: &mut [Moments<T>]) {
        let share = T::from_f64(1.0 / width as f64);
        for (x, moments) in x.chunks_exact(width).zip(moments) {
            let mean = sum([x], |[x]| x) * share;
            let variance = sum([x], |[x]| (x - mean) * (x - mean)) * share;
            let deviation = (variance + T::from_f64(EPSILON)).root();
            *moments = [mean, T::from_f64(1.0) / deviation];
        }
    }
}

vectorised! {
    /// `parameters`: scale, then shift.
    pub(crate) fn forward<T: Real>(parameters: &[T], x: &[T], moments: &[Moments<T>], y: &mut [T]) {
        let width = parameters.len() / 2;
        let (scale, shift) = (&parameters[..width], &parameters[width..2 * width]);
        let rows = x.chunks_exact(width).zip(y.chunks_exact_mut(width));
        for ((x, y), &[mean, inverse]) in rows.zip(moments) {
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
        moments: &[Moments<T>],
        dy: &[T],
        gradient: &mut [T],
        dx: &mut [T],
    ) {
        let width = parameters.len() / 2;
        let scale = &parameters[..width];
        let (dscale, dshift) = gradient.split_at_mut(width);
        let (dscale, dshift) = (&mut dscale[..width], &mut dshift[..width]);
        let share = T::from_f64(1.0 / width as f64);
        let rows = x.chunks_exact(width).zip(dy.chunks_exact(width));
        for (((x, dy), dx), &[mean, inverse]) in rows.zip(dx.chunks_exact_mut(width)).zip(moments) {
            let g_mean = sum([dy, scale], |[dy, scale]| dy * scale) * share;
            let gz = sum([dy, scale, x], |[dy, scale, x]| dy * scale * (x - mean));
            let gz_mean = gz * inverse * share;
            for i in 0..width {
                let z = (x[i] - mean) * inverse;
                dscale[i] += dy[i] * z;
                dshift[i] += dy[i];
                dx[i] += inverse * (dy[i] * scale[i] - g_mean - z * gz_mean);
            }
        }
    }
}
