//! Exact gradient descent.

mod kernels;
mod simd;
mod step;

pub use step::Stepper;
