//! The empirical half: the poster's Transformer classifier, its data sets, and its training.
//!
//! | question | module |
//! |---|---|
//! | Loss and exact gradients of the classifier, with softmax or Gaussian attention | [`classifier`] |
//! | IMDb, Pathfinder, batches | [`data`] |
//! | Optimizers, schedules, checkpoints, runs over seeds | [`training`] |
//! | The loss around a checkpoint | [`ClassifierLoss`] |

#![warn(missing_docs)]

pub mod classifier;
pub mod data;
mod landscape;
pub mod training;

pub use gdcert_base::Kernel;
pub(crate) use gdcert_base::{Error, Result};
pub use landscape::{ClassifierLoss, classifier_blocks};
