//! The two data sets of the training runs: IMDb reviews as bytes, Pathfinder images as grey levels.
//!
//! Both come as Long Range Arena has them (Tay et al., *Long Range Arena: A Benchmark for Efficient
//! Transformers*, ICLR 2021): a sample is a sequence of bytes with a label 0 or 1.
//!
//! | question | where |
//! |---|---|
//! | How are reviews read? | [`imdb::read`] |
//! | Where does the archive come from? | [`download`] |
//! | How are Pathfinder images made, written and read? | [`pathfinder`] |
//! | Which samples make step t's batch? | [`Batches`] |

mod batch;
pub mod download;
pub mod imdb;
pub mod pathfinder;
mod random;

pub use batch::{Batch, Batches, fill};

use crate::{Error, Result};

/// The token of a position without a sample's byte: it is masked.
pub const PADDING: u16 = 0;

/// Every token is below this.
pub const VOCABULARY: usize = 512;

/// A sequence with its class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The bytes of a review, or the grey levels of an image row by row.
    pub bytes: Box<[u8]>,
    /// The class, 0 or 1.
    pub label: u8,
}

/// Samples for training, for choosing hyperparameters, and for the figures that are reported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dataset {
    /// Token = byte + `shift`: 1 for text, so that 0 is padding; 0 for images, whose black
    /// pixels count as padding, as in the Long Range Arena code of Skyformer.
    pub shift: u16,
    /// Trained on.
    pub train: Vec<Sample>,
    /// Held out from training; empty for IMDb until [`Dataset::hold_out`] is called.
    pub dev: Vec<Sample>,
    /// Tested on.
    pub test: Vec<Sample>,
}

impl Dataset {
    /// Moves a seeded random tenth of the training samples to `dev`.
    pub fn hold_out(&mut self, seed: u64) {
        let order = random::permutation(self.train.len(), &mut random::stream(seed, random::SPLIT));
        let held = self.train.len() / 10;
        let mut dev: Vec<usize> = order[..held].to_vec();
        dev.sort_unstable();
        // From the back, so that the indices in front stay what they are.
        for &i in dev.iter().rev() {
            self.dev.push(self.train.remove(i));
        }
        self.dev.reverse();
    }
}

/// A class name, or what a label file holds, as a label.
fn label(text: &str) -> Result<u8> {
    match text {
        "0" => Ok(0),
        "1" => Ok(1),
        other => Err(Error::input(format!("label '{other}' must be 0 or 1"))),
    }
}
