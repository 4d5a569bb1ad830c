//! GELU: y = x Phi(x), Phi the standard normal distribution function (PyTorch's exact form).

use crate::classifier::Real;
use gdcert_base::vectorised;

vectorised! {
    pub(crate) fn forward<T: Real>(x: &[T], y: &mut [T]) {
        for (&x, y) in x.iter().zip(y) {
            *y = x * x.normal().0;
        }
    }
}

vectorised! {
    /// y as in the forward pass, and its derivative Phi(x) + x phi(x), phi the density.
    pub(crate) fn with_slope<T: Real>(x: &[T], y: &mut [T], slope: &mut [T]) {
        for ((&x, y), slope) in x.iter().zip(y).zip(slope) {
            let (below, density) = x.normal();
            *y = x * below;
            *slope = below + x * density;
        }
    }
}

vectorised! {
    /// dx = dy slope, in place of dy.
    pub(crate) fn backward<T: Real>(slope: &[T], dy: &mut [T]) {
        for (&slope, dy) in slope.iter().zip(dy) {
            *dy *= slope;
        }
    }
}
