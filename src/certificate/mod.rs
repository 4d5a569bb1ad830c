//! Statements that hold beyond the steps that were run: curvature bounds and the softmax hull bound.

mod curvature;
mod hull;

pub use curvature::Curvature;
pub(crate) use hull::obstruction;
pub use hull::{Obstruction, Reason, f_hull};
