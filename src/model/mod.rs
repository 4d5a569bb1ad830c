//! The one-layer attention model MH(M; X_i) = sum_h S_ih X_i W^V_h W^O_h: residual, gradient,
//! Jacobian.
//!
//! One set of formulas ([`Head`]) generic over [`Scalar`](gdcert_numbers::Scalar) serves every exact evaluation; the
//! hot loop of gradient descent has its own vectorised path in [`crate::descent`], tested against it.

mod head;
mod jacobian;
pub(crate) mod rounding;

pub use gdcert_base::Kernel;
pub use head::Head;
pub(crate) use head::{attention, product};
pub use jacobian::{gradient, jacobian, residual};

use crate::{Error, Result};
use gdcert_base::input::same_word;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// The arithmetic in which gradient descent runs and its losses are evaluated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// f64, about 16 digits.
    #[default]
    F64,
    /// [`DoubleDouble`](gdcert_numbers::DoubleDouble), about 32 digits: for losses below f64's rounding floor.
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
            _ if same_word(name, "f64") => Ok(Precision::F64),
            _ if same_word(name, "double-double") => Ok(Precision::DoubleDouble),
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
            let block = match letter.to_ascii_uppercase() {
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
