//! Where a proof starts.

use super::Proof;
use crate::problem::Instance;
use serde::{Deserialize, Serialize};

/// A proof and where it starts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Proven<C = Instance> {
    /// The step T of the centre M_T.
    pub t: usize,
    /// M_T with the instance's data (of another model its weights); `None` at T = 0, where it is the instance itself.
    pub centre: Option<C>,
    /// What holds from there on.
    pub proof: Proof,
}
