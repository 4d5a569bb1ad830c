//! What a finished sweep says: its shards merged into one file, and numbers over its rows.

mod merge;
mod statistics;

/// The schema of summary.json.
pub const SCHEMA: &str = "gdcert.summary/1";

pub use merge::{Merged, merge};
pub use statistics::{Cell, Group, Key, Positive, Quantiles, REACHED, Statistics, Verdicts};
