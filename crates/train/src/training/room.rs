//! Whether a training fits into this machine's memory.

use crate::training::Settings;
use crate::{Error, Result};
use gdcert_base::memory::{available_bytes, gigabytes};

/// Refuses a classifier whose training would not fit into the memory that is available now.
///
/// The estimate counts the parameters eight times (gradients, moments, a checkpoint and its bytes) and the
/// activations of a batch without padding.
pub fn check_training_room(settings: &Settings) -> Result<()> {
    let architecture = settings.architecture();
    // Beside the numbers, names and shapes: twenty tensors to a block, some 100 bytes each, as often.
    let parameters = architecture.parameters() + 500 * architecture.blocks as u128;
    let tokens = settings.batch as u128 * settings.padded() as u128;
    let blocks = settings.blocks as u128 + 1;
    let per_token = blocks * (8 * settings.width as u128 + 2 * settings.hidden as u128);
    // A product of numbers below 2^64 that overflows 128 bits is too large for any machine.
    let needed = tokens
        .checked_mul(per_token)
        .and_then(|activations| activations.checked_add(8 * parameters)?.checked_mul(4));
    let room = available_bytes().unwrap_or(isize::MAX as u128);
    match needed {
        Some(needed) if needed <= room => Ok(()),
        needed => Err(Error::TooLarge(format!(
            "batch {} of length {} with {} blocks of width {} needs about {} of memory, and {} are available; \
             choose smaller ones",
            settings.batch,
            settings.length,
            settings.blocks,
            settings.width,
            needed.map_or("more than 2^128 bytes".to_owned(), gigabytes),
            gigabytes(room),
        ))),
    }
}
