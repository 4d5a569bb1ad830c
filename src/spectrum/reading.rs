//! The four readings of beta, and what each needs.

use crate::model::Trained;
use crate::problem::Dims;
use crate::{Error, Result};
use gdcert_base::input::same_word;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Which constant the claim f(M_t) <= (1 - eta beta)^t f(M_0) is read with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reading {
    /// sigma_min(W^O)^2 sigma_min(B_0)^2 with W^O the stacked Hd x p matrix: the poster's formula
    /// read literally.
    Stacked,
    /// min_h sigma_min(W^O_h)^2 * sigma_min(B_0)^2: what the Polyak-Lojasiewicz proof supports for
    /// concatenated heads.
    PerHead,
    /// lambda_min(J_V J_V') at M_0: the sharp constant of the value block.
    Value,
    /// lambda_min(J J') at M_0 over the trained blocks: the sharp Polyak-Lojasiewicz constant at M_0.
    Ntk,
}

impl Reading {
    /// All readings, in the order of the output files.
    pub const ALL: [Reading; 4] = [
        Reading::Stacked,
        Reading::PerHead,
        Reading::Value,
        Reading::Ntk,
    ];

    /// The name in files and flags.
    pub fn name(self) -> &'static str {
        match self {
            Reading::Stacked => "stacked",
            Reading::PerHead => "per_head",
            Reading::Value => "value",
            Reading::Ntk => "ntk",
        }
    }

    /// The reading of this name, as files have it.
    pub fn named(name: &str) -> Option<Reading> {
        Reading::ALL.into_iter().find(|r| r.name() == name)
    }

    /// The formula, in plain text.
    pub fn formula(self) -> &'static str {
        match self {
            Reading::Stacked => "sigma_min(W^O)^2 sigma_min(B_0)^2, W^O stacked over heads",
            Reading::PerHead => "min_h sigma_min(W^O_h)^2 sigma_min(B_0)^2",
            Reading::Value => "lambda_min(J_V J_V') at M_0",
            Reading::Ntk => "lambda_min(J J') at M_0 over the trained blocks",
        }
    }

    /// The hypothesis about sizes and trained blocks that this reading needs and does not have, in words. That
    /// beta > 0 and eta beta < 1 is a matter of numbers.
    pub fn missing_hypothesis(self, dims: Dims, trained: Trained) -> Option<String> {
        let Dims { N, n, D, d, H, p } = dims;
        if self != Reading::Ntk && !trained.v() {
            return Some(format!("needs W^V trained; trained is {trained}"));
        }
        if matches!(self, Reading::Stacked | Reading::PerHead) && H * D < N * n {
            return Some(format!(
                "needs HD >= Nn; HD = {}, Nn = {}, so sigma_min(B_0) = 0",
                H * D,
                N * n
            ));
        }
        if self == Reading::PerHead && d < p {
            return Some(format!("needs d >= p; d = {d}, p = {p}"));
        }
        if self == Reading::Value && H * D * d.min(p) < dims.m() {
            return Some(format!(
                "needs HD min(d, p) >= m; HD min(d, p) = {}, m = {}, so lambda_min = 0",
                H * D * d.min(p),
                dims.m()
            ));
        }
        let blocks = trained.flags().into_iter().filter(|&on| on).count();
        let parameters = blocks * dims.block_len();
        if self == Reading::Ntk && parameters < dims.m() {
            return Some(format!(
                "needs at least m = {} trained parameters; there are {parameters}",
                dims.m()
            ));
        }
        None
    }
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl AsRef<str> for Reading {
    fn as_ref(&self) -> &str {
        self.name()
    }
}

impl From<Reading> for String {
    fn from(reading: Reading) -> String {
        reading.name().to_owned()
    }
}

impl FromStr for Reading {
    type Err = Error;
    fn from_str(name: &str) -> Result<Self> {
        let known = Reading::ALL.into_iter().find(|r| same_word(name, r.name()));
        known.ok_or_else(|| {
            Error::input(format!(
                "unknown reading '{name}'; choose stacked, per_head, value or ntk"
            ))
        })
    }
}

/// The reading that decides when none is named: `per_head` for Theorem 1 (QKV trained), `ntk` for
/// every other subset.
pub fn deciding_reading(trained: Trained) -> Reading {
    if trained == Trained::QKV {
        Reading::PerHead
    } else {
        Reading::Ntk
    }
}
