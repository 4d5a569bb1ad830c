//! GELU: y = x Phi(x), Phi the standard normal distribution function (PyTorch's exact form).

use crate::classifier::Real;
use crate::simd::vectorised;

vectorised! {
    pub(crate) fn forward<T: Real>(x: &[T], y: &mut [T]) {
        for (&x, y) in x.iter().zip(y) {
            *y = x * x.normal().0;
        }
    }
}

vectorised! {
    /// Multiplies dy in place: dx = dy (Phi(x) + x phi(x)).
    pub(crate) fn backward<T: Real>(x: &[T], dy: &mut [T]) {
        for (&x, dy) in x.iter().zip(dy) {
            let (below, density) = x.normal();
            *dy *= below + x * density;
        }
    }
}
