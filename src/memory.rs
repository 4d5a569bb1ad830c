//! Whether an instance and its run fit into this machine's memory.

use crate::available::available_bytes;
use crate::descent::{Point, Steps, units_per_head};
use crate::model::{Precision, Trained};
use crate::number::significant;
use crate::problem::Dims;
use crate::training::Settings;
use crate::{Error, Result};

/// Refuses sizes whose verification would not fit into the memory that is available now.
///
/// The estimate counts the instance and the stepper's copies, B_0 and the value block with their
/// decompositions, J (or J J' where J is too large) and the trajectory. Where the system does not tell how
/// much memory is available (it does on Linux), only the address space is a limit.
pub fn check_room(dims: Dims, trained: Trained, steps: Steps, precision: Precision) -> Result<()> {
    let needed = bytes_needed(dims, trained, steps, precision);
    let room = available_bytes().unwrap_or(isize::MAX as u128);
    match needed {
        Some(needed) if needed <= room => Ok(()),
        needed => {
            let alone = bytes_needed(dims, trained, Steps::Exactly(0), precision);
            let mend = match alone {
                Some(alone) if alone <= room => "lower --steps",
                _ => "choose smaller ones",
            };
            Err(Error::input(format!(
                "sizes {dims} with {} steps need about {} of memory, and {} are available; {mend}",
                steps.limit(),
                needed.map_or("more than 2^128 bytes".to_owned(), gigabytes),
                gigabytes(room),
            )))
        }
    }
}

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
        needed => Err(Error::input(format!(
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

fn gigabytes(bytes: u128) -> String {
    match bytes as f64 / 1e9 {
        small if small < 0.1 => format!("{} MB", significant(1e3 * small, 2)),
        x if x < 1e6 => format!("{x:.1} GB"),
        x => format!("{} GB", significant(x, 2)),
    }
}

/// `None` if the number itself overflows.
fn bytes_needed(dims: Dims, trained: Trained, steps: Steps, precision: Precision) -> Option<u128> {
    let Dims { N, n, D, d, H, p } = dims;
    let mul = |factors: &[usize]| {
        factors
            .iter()
            .try_fold(8u128, |acc, &f| acc.checked_mul(f as u128))
    };
    let blocks = trained.flags().into_iter().filter(|&on| on).count();
    let B = mul(&[3, N, n, H, D])?;
    let value_block = mul(&[2, N, n, p, H, D, d.min(p)])?;
    let J = mul(&[2, N, n, p, blocks, H, D, d])?;
    let gram = mul(&[8, N, n, p, N, n, p])?;
    let heads = mul(&[12, N, n, H, d])?.checked_add(mul(&[3, N, n, n, H])?)?;
    let stepper = match precision {
        Precision::F64 => 0, // counted as copies of the instance, and in `heads`
        Precision::DoubleDouble => {
            let weights = mul(&[2, 10 + 3 * units_per_head(dims), H, D, d.max(p)])?;
            let tokens = mul(&[2, N, n, H])?.checked_mul((4 * d + 3 * p + n) as u128)?;
            weights
                .checked_add(tokens)?
                .checked_add(mul(&[2, N, n, D])?)?
        }
    };
    let points = (steps.limit() as u128)
        .checked_add(1)?
        .checked_mul(std::mem::size_of::<Point>() as u128)?;
    dims.bytes()?
        .checked_mul(5)?
        .checked_add(B)?
        .checked_add(value_block)?
        .checked_add(J.min(gram))?
        .checked_add(heads)?
        .checked_add(stepper)?
        .checked_add(points)
}
