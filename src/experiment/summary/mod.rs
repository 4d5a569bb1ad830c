//! What a finished sweep says: its shards merged into one file, and numbers over its rows.

mod merge;
mod statistics;

pub use merge::{Merged, merge};
pub use statistics::{Cell, Group, Key, Positive, Quantiles, REACHED, Statistics, Verdicts};
