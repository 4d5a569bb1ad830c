//! `metrics.csv`: what was measured, one row each.

use crate::{Error, Result};
use gdcert_base::input;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// On which samples a row was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// The batches since the row before, under dropout, each with the parameters of its step.
    Train,
    /// The fixed choice of test samples.
    Test,
    /// The fixed choice of dev samples.
    Dev,
    /// All test (or dev) samples, after the last step.
    Final,
}

/// A row of metrics.csv, in its columns' order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Steps taken.
    pub step: u64,
    /// On which samples.
    pub split: Split,
    /// Mean cross-entropy.
    pub loss: f64,
    /// Share of samples classified correctly.
    pub accuracy: f64,
    /// Learning rate of the last step; empty for evaluations.
    pub lr: Option<f64>,
    /// |gradient| of the last step before it was cut; empty for evaluations.
    pub grad_norm: Option<f64>,
    /// Time spent on this seed so far, evaluations included.
    pub seconds: f64,
    /// Tokens per second, padding not counted.
    pub tokens_per_second: f64,
    /// The seed.
    pub seed: u64,
}

/// The file's bytes.
pub(super) fn to_csv(rows: &[Row]) -> Result<Vec<u8>> {
    let fail = |e: String| Error::Numerical(format!("cannot form metrics.csv: {e}"));
    let mut csv = csv::Writer::from_writer(Vec::new());
    for row in rows {
        csv.serialize(row).map_err(|e| fail(e.to_string()))?;
    }
    csv.into_inner().map_err(|e| fail(e.to_string()))
}

/// Reads a run's metrics.csv.
///
/// # Errors
/// A missing file, or one that is not as a run writes it.
pub fn read_metrics(path: &Path) -> Result<Vec<Row>> {
    let broken = |e: String| {
        Error::file(
            path,
            format!(
                "cannot read the metrics ({e}); start over with --force, or with another --out"
            ),
        )
    };
    let opened = input::open(path).map_err(broken)?;
    csv::Reader::from_reader(opened)
        .deserialize()
        .collect::<std::result::Result<_, _>>()
        .map_err(|e| broken(e.to_string()))
}
