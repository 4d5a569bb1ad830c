//! The one-layer attention model MH(M; X_i) = sum_h S_ih X_i W^V_h W^O_h: residual, gradient,
//! Jacobian.
//!
//! One set of formulas ([`Head`]) generic over [`Scalar`] serves every exact evaluation; the
//! hot loop of gradient descent has its own vectorised path in [`crate::descent`], tested against it.

mod double_double;
mod dual;
mod fixed;
mod head;
mod jacobian;
#[cfg(test)]
pub(crate) mod oracle;
mod scalar;

pub use double_double::DoubleDouble;
pub(crate) use double_double::{exp_parts, power_of_two, two_product, two_sum};
pub use dual::Dual;
pub use fixed::Fixed;
pub(crate) use fixed::scale_up;
pub use head::Head;
pub(crate) use head::{attention, product};
pub use jacobian::{gradient, jacobian, residual};
pub use scalar::Scalar;

use crate::{Error, Result};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
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
            "softmax" => Ok(Kernel::Softmax),
            "gaussian" => Ok(Kernel::Gaussian),
            _ => Err(Error::input(format!(
                "unknown kernel '{name}'; choose softmax or gaussian"
            ))),
        }
    }
}

/// The arithmetic in which gradient descent runs and its losses are evaluated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// f64, about 16 digits.
    #[default]
    F64,
    /// [`DoubleDouble`], about 32 digits: for losses below f64's rounding floor.
    DoubleDouble,
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Precision::F64 => "f64",
            Precision::DoubleDouble => "double-double",
        })
    }
}

impl FromStr for Precision {
    type Err = Error;
    fn from_str(name: &str) -> Result<Self> {
        match name {
            "f64" => Ok(Precision::F64),
            "double-double" => Ok(Precision::DoubleDouble),
            _ => Err(Error::input(format!(
                "unknown precision '{name}'; choose f64 or double-double"
            ))),
        }
    }
}

/// Which of W^Q, W^K, W^V gradient descent moves; at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Trained {
    q: bool,
    k: bool,
    v: bool,
}

impl Trained {
    /// Theorem 1: all weights.
    pub const QKV: Trained = Trained {
        q: true,
        k: true,
        v: true,
    };
    /// Theorem 2: W^Q alone.
    pub const Q: Trained = Trained {
        q: true,
        k: false,
        v: false,
    };

    /// Whether W^Q is trained.
    pub fn q(self) -> bool {
        self.q
    }

    /// Whether W^K is trained.
    pub fn k(self) -> bool {
        self.k
    }

    /// Whether W^V is trained.
    pub fn v(self) -> bool {
        self.v
    }

    /// The blocks whose flag is true, in the order Q, K, V; `None` if there is none.
    pub fn from_flags([q, k, v]: [bool; 3]) -> Option<Self> {
        (q || k || v).then_some(Trained { q, k, v })
    }

    /// The three answers in the order Q, K, V.
    pub fn flags(self) -> [bool; 3] {
        [self.q, self.k, self.v]
    }
}

impl fmt::Display for Trained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (letter, on) in ["Q", "K", "V"].into_iter().zip(self.flags()) {
            if on {
                f.write_str(letter)?;
            }
        }
        Ok(())
    }
}

impl Serialize for Trained {
    fn serialize<S: Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Trained {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl FromStr for Trained {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let mut trained = Trained {
            q: false,
            k: false,
            v: false,
        };
        for letter in text.chars() {
            let block = match letter {
                'Q' => &mut trained.q,
                'K' => &mut trained.k,
                'V' => &mut trained.v,
                _ => return Err(not_a_subset(text)),
            };
            if std::mem::replace(block, true) {
                return Err(not_a_subset(text));
            }
        }
        if trained.flags().contains(&true) {
            Ok(trained)
        } else {
            Err(not_a_subset(text))
        }
    }
}

fn not_a_subset(text: &str) -> Error {
    Error::input(format!(
        "'{text}' does not name trained blocks; give a non-empty subset of QKV such as QK"
    ))
}
