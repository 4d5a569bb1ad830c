//! Mean pooling: the sum over a sample's tokens that are not padding, divided by the padded length.

use super::add_rows;
use crate::classifier::Real;
use gdcert_base::vectorised;

vectorised! {
    /// `x`: the sample's rows; `share`: one over the padded length.
    pub(crate) fn forward<T: Real>(x: &[T], share: T, y: &mut [T]) {
        y.fill(T::default());
        add_rows(0..x.len() / y.len(), x, y);
        for y in y {
            *y *= share;
        }
    }
}

/// Each row of dx = share dy.
pub(crate) fn backward<T: Real>(dy: &[T], share: T, dx: &mut [T]) {
    for (dx, &dy) in dx.iter_mut().zip(dy) {
        *dx = share * dy;
    }
}
