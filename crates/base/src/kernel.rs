//! The two attention kernels.

use crate::input::same_word;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The attention kernel: how scores become weights S.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kernel {
    /// C_kj = q_k . kappa_j / sqrt(d), S = softmax over j: rows sum to 1.
    Softmax,
    /// C_kj = -|q_k - kappa_j|^2 / (2 sqrt(d)), S = exp(C): not normalised, entries in (0, 1].
    Gaussian,
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kernel::Softmax => "softmax",
            Kernel::Gaussian => "gaussian",
        })
    }
}

impl FromStr for Kernel {
    type Err = Error;
    fn from_str(name: &str) -> Result<Self> {
        match name {
            _ if same_word(name, "softmax") => Ok(Kernel::Softmax),
            _ if same_word(name, "gaussian") => Ok(Kernel::Gaussian),
            _ => Err(Error::input(format!(
                "unknown kernel '{name}'; choose softmax or gaussian"
            ))),
        }
    }
}
