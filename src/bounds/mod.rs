//! What is rigorously known of an attention instance at a point and around it: enclosures of residual and Jacobian,
//! curvature over balls and boxes, and the softmax hull bound.
//!
//! | question | where |
//! |---|---|
//! | alpha_c, |J|, |r|, the betas, with outward rounding | [`Enclosure`] |
//! | h(rho) in closed form | [`Curvature`] |
//! | a sharper H(rho), a matrix over the blocks | [`Sharp`] |
//! | what no W^Q, W^K can get below | [`f_hull`], [`Obstruction`] |

mod blocks;
mod curvature;
mod enclosure;
mod hull;
pub(crate) mod sharp;
#[cfg(test)]
pub(crate) mod soundness;

pub use blocks::{BlockMatrix, Blocks};
pub use curvature::Curvature;
pub use enclosure::Enclosure;
pub use hull::{Obstruction, Reason, f_hull};
pub(crate) use hull::{nothing_moves, obstruction};
pub use sharp::Sharp;
