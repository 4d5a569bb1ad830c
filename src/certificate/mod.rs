//! Statements that hold beyond the steps that were run: curvature bounds and the softmax hull bound.

mod curvature;
mod hull;
mod search;
mod sharp;
pub mod theorem_a;

pub use curvature::Curvature;
pub(crate) use hull::obstruction;
pub use hull::{Obstruction, Reason, f_hull};
pub use search::{ScaleSearch, inputs};
pub use sharp::Sharp;
