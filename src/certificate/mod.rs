//! Statements that hold beyond the steps that were run: Theorem A, the search for where it closes, its proof with
//! rigorous numbers, and the file that says so.

mod check;
mod claimed;
mod file;
mod grounds;
mod prove;
mod search;
mod tail;
pub mod theorem_a;

pub use check::{Checked, Proven as Reproven, check};
pub(crate) use check::{recheck, recheck_json};
pub use claimed::{Claimed, Constant, OwnClaim, called};
pub use file::{
    Box3, Centre, Certificate, FileRef, MARGIN, Obstructed, OrbitRecord, PerBlock, Refuted, SCHEMA,
    TheoremA, statement,
};
pub(crate) use grounds::Grounds;
pub use grounds::{Form, Proof, Refusal};
pub(crate) use prove::Site;
pub(crate) use search::at_one;
pub use search::{ScaleSearch, inputs};
pub use tail::Proven;
