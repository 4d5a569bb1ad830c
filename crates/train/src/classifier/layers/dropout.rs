//! Dropout: zero with probability `rate`, else divided by 1 - rate. Which entries: a function of seed, place and
//! index alone, so that the backward pass needs nothing stored and threads cannot matter.

use crate::classifier::Real;
use gdcert_base::vectorised;

/// What one training step drops.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// The probability of being dropped, 0 <= rate < 1.
    pub rate: f64,
    /// Chooses what is dropped: another one at each step.
    pub seed: u64,
}

impl Dropout {
    /// Nothing is dropped.
    pub const NONE: Dropout = Dropout { rate: 0.0, seed: 0 };

    /// The law at one place of the network.
    pub(crate) fn at(self, place: u64) -> Place {
        Place {
            rate: self.rate,
            key: mix(self.seed ^ mix(place)),
        }
    }
}

/// Dropout at one place of the network.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    rate: f64,
    key: u64,
}

impl Place {
    /// Drops entries of x, whose first row is row `row` of all; forward and backward alike.
    pub(crate) fn apply<T: Real>(self, row: usize, width: usize, x: &mut [T]) {
        if self.rate > 0.0 {
            let threshold = (self.rate * 2f64.powi(32)) as u32;
            let scale = T::from_f64(1.0 / (1.0 - self.rate));
            for (row, x) in (row as u64..).zip(x.chunks_exact_mut(width)) {
                drop_row(mix(self.key ^ row), threshold, scale, x);
            }
        }
    }
}

vectorised! {
    fn drop_row<T: Real>(key: u64, threshold: u32, scale: T, x: &mut [T]) {
        let (a, b) = (key as u32, (key >> 32) as u32);
        for (i, x) in (0u32..).zip(x) {
            let kept = hash(i.wrapping_mul(0x9e37_79b9) ^ a, b) >= threshold;
            *x = if kept { *x * scale } else { T::default() };
        }
    }
}

/// A bijection of 32 bits whose output bits each depend on all input bits: two rounds of multiplication and
/// shift with the constants that C. Wellons found by search ("lowbias32"), keyed between them.
#[inline(always)]
fn hash(x: u32, key: u32) -> u32 {
    let x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d);
    let x = (x ^ (x >> 15) ^ key).wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
}

/// The finalizer of SplitMix64 (Steele, Lea, Flood, 2014).
fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
