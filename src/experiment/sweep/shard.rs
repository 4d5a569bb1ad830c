//! A part of a sweep, and the name of its file.

use crate::{Error, Result};
use std::str::FromStr;

/// The K-th of M parts of a sweep: its trials K - 1, K - 1 + M, K - 1 + 2 M and so on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shard {
    /// M.
    of: u64,
    /// K - 1.
    before: u64,
}

impl Shard {
    /// 1/1.
    pub const WHOLE: Shard = Shard { of: 1, before: 0 };

    /// K/M; `None` unless 1 <= K <= M.
    pub fn new(k: u64, of: u64) -> Option<Shard> {
        (1..=of).contains(&k).then(|| Shard { of, before: k - 1 })
    }

    /// K.
    pub fn k(self) -> u64 {
        self.before + 1
    }

    /// M.
    pub fn of(self) -> u64 {
        self.of
    }

    /// How many of the sweep's trials are the shard's.
    pub fn count(self, trials: u64) -> u64 {
        trials.saturating_sub(self.before).div_ceil(self.of)
    }

    /// The name of its file of timings.
    pub(crate) fn timings_file(self) -> String {
        format!("timings-{}-of-{}.csv", self.k(), self.of)
    }

    /// The index of the shard's trial number `number` (from 0).
    pub fn trial(self, number: u64) -> u64 {
        self.before + number * self.of
    }
}

impl FromStr for Shard {
    type Err = Error;
    fn from_str(text: &str) -> Result<Shard> {
        let parts = text.split_once('/');
        let shard = parts.and_then(|(k, of)| Shard::new(k.parse().ok()?, of.parse().ok()?));
        shard.ok_or_else(|| {
            Error::input(format!(
                "--shard {text} must be K/M with 1 <= K <= M, such as 1/4"
            ))
        })
    }
}

/// The name of a shard's file.
pub fn trials_file(shard: Shard) -> String {
    format!("trials-{}-of-{}.csv", shard.k(), shard.of())
}

/// The shard whose file has this name.
pub(crate) fn shard_of(file_name: &str) -> Option<Shard> {
    let (k, of) = file_name
        .strip_prefix("trials-")?
        .strip_suffix(".csv")?
        .split_once("-of-")?;
    let shard = Shard::new(k.parse().ok()?, of.parse().ok()?)?;
    // Not trials-01-of-4.csv.
    (trials_file(shard) == file_name).then_some(shard)
}
