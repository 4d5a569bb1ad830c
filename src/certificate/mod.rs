//! Statements that hold beyond the steps that were run: curvature bounds, the softmax hull bound, and
//! rigorous enclosures of what they rest on.

mod curvature;
mod enclosure;
mod hull;
mod interval;
#[cfg(test)]
mod soundness;
mod verified;

pub use curvature::Curvature;
pub use enclosure::Enclosure;
pub(crate) use hull::obstruction;
pub use hull::{Obstruction, f_hull};
pub use interval::{Bound, Interval};
pub use verified::{NotResolved, sigma_max_upper, sigma_min_lower, sigma_min_upper};
