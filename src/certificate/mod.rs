//! Statements that hold beyond the steps that were run: curvature bounds, the softmax hull bound, and
//! rigorous enclosures of what they rest on.

mod bound;
mod check;
mod curvature;
mod enclosure;
mod file;
mod hull;
mod interval;
#[cfg(test)]
mod proof_soundness;
mod prove;
mod search;
mod sharp;
#[cfg(test)]
mod soundness;
mod tail;
pub mod theorem_a;
mod verified;

pub use bound::Bound;
pub use check::{Checked, check};
pub use curvature::Curvature;
pub use enclosure::Enclosure;
pub(crate) use file::sha256;
pub use file::{
    Box3, Centre, Certificate, FileRef, MARGIN, Obstructed, PerBlock, SCHEMA, TheoremA,
};
pub(crate) use hull::obstruction;
pub use hull::{Obstruction, Reason, f_hull};
pub use interval::Interval;
pub use prove::{Proof, Refusal, Site};
pub use search::{ScaleSearch, inputs};
pub use sharp::Sharp;
pub(crate) use sharp::affordable;
pub use tail::{NotProven, Proven, prove_from};
pub use verified::{NotResolved, sigma_max_upper, sigma_min_lower, sigma_min_upper};
