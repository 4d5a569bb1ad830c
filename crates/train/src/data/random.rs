//! Portable choices: integers, shuffles and fractions that are the same on every machine.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// ChaCha streams of a seed, apart from each other. Never renumber.
pub(super) const SPLIT: u64 = 1 << 32;
pub(super) const CHOICE: u64 = (1 << 32) + 1;
/// Epoch e shuffles with stream `EPOCH + e`.
pub(super) const EPOCH: u64 = 2 << 32;

/// The generator of one stream; image K of Pathfinder has stream K.
pub(super) fn stream(seed: u64, stream: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream);
    rng
}

/// A whole number below `n`; the deviation from uniform is below n / 2^64.
pub(super) fn below(rng: &mut ChaCha8Rng, n: usize) -> usize {
    ((u128::from(rng.next_u64()) * n as u128) >> 64) as usize
}

/// A number in [0, 1).
pub(super) fn fraction(rng: &mut ChaCha8Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 * 2f64.powi(-53)
}

/// The numbers 0..n in random order (Fisher and Yates).
pub(super) fn permutation(n: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    for i in (1..n).rev() {
        order.swap(i, below(rng, i + 1));
    }
    order
}
