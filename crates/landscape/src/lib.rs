//! The loss around a point: a surface over a direction in W^Q and one in W^K, and the Hessian's eigenvalues.
//!
//! | question | where |
//! |---|---|
//! | Which loss, and which of its weights? | [`Loss`], [`Blocks`] |
//! | Along which directions? | [`Directions`] |
//! | What is the loss there? | [`Surface`], [`complete`] |
//! | How rough is the surface? | [`Roughness`] |
//! | How sharp is the loss at the centre? | [`lanczos`], [`Sharpness`] |
//! | All of it, with files that survive an interruption | [`run()`] |
//!
//! The directions move the query (key) weights of all attention layers at once, so that nothing behind the first layer's
//! norm can be kept from point to point: every point is a forward pass of its own.

mod bounds;
mod directions;
mod files;
mod loss;
mod roughness;
mod run;
mod spectrum;
mod surface;

pub use directions::{Choice, Directions};
pub use files::RESULT;
pub use files::{Finished, Header, Passed, Samples, Source, Spectrum};
pub(crate) use gdcert_base::{Error, Result};
pub use gdcert_numbers::Interval;
pub use loss::{Blocks, Loss, check_size};
pub use roughness::Roughness;
pub use run::{Event, Run, aim, refuse_another, run};
pub use spectrum::{Lanczos, Node, Restricted, Sharpness, lanczos, start};
pub use surface::{Grid, Surface, complete};
