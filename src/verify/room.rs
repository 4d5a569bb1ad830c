//! Whether an instance and its run fit into this machine's memory.

use crate::descent::{Point, Steps, units_per_head};
use crate::model::{Precision, Trained};
use crate::problem::Dims;
use crate::{Error, Result};
use gdcert_base::memory::{available_bytes, gigabytes};

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
            Err(Error::TooLarge(format!(
                "sizes {dims} with {} steps need about {} of memory, and {} are available; {mend}",
                steps.limit(),
                needed.map_or("more than 2^128 bytes".to_owned(), gigabytes),
                gigabytes(room),
            )))
        }
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
