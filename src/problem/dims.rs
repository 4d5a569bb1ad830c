//! The six sizes of the setting.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// Sizes of an instance, with the symbols of the poster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dims {
    /// Samples.
    pub N: usize,
    /// Tokens per sample (sequence length).
    pub n: usize,
    /// Embedding dimension, the width of X_i.
    pub D: usize,
    /// Head dimension.
    pub d: usize,
    /// Heads.
    pub H: usize,
    /// Output width (the poster has p = 1).
    pub p: usize,
}

impl Dims {
    /// Number of tokens over all samples, N n: the rows of B_0.
    pub fn tokens(&self) -> usize {
        self.N * self.n
    }

    /// Number of residuals, m = N n p.
    pub fn m(&self) -> usize {
        self.N * self.n * self.p
    }

    /// Parameters in one block W^Q, W^K or W^V over all heads, H D d.
    pub fn block_len(&self) -> usize {
        self.H * self.D * self.d
    }

    /// Refuses a zero size, and sizes whose instance alone could not be addressed.
    pub fn check(&self) -> Result<()> {
        for (name, size) in self.named() {
            if size == 0 {
                return Err(Error::input(format!(
                    "dimension {name} is 0; every dimension must be at least 1"
                )));
            }
        }
        match self.bytes() {
            Some(bytes) if bytes <= isize::MAX as u128 => Ok(()),
            _ => Err(Error::input(format!(
                "sizes {self} are too large for this machine's address space; choose smaller ones"
            ))),
        }
    }

    /// Bytes of X, y and the weights in f64; `None` if the number itself overflows.
    pub fn bytes(&self) -> Option<u128> {
        let mul = |factors: &[usize]| {
            factors
                .iter()
                .try_fold(8u128, |acc, &f| acc.checked_mul(f as u128))
        };
        let &Dims { N, n, D, d, H, p } = self;
        mul(&[N, n, D])?
            .checked_add(mul(&[N, n, p])?)?
            .checked_add(mul(&[3, H, D, d])?)?
            .checked_add(mul(&[H, d, p])?)
    }

    fn named(&self) -> [(&'static str, usize); 6] {
        [
            ("N", self.N),
            ("n", self.n),
            ("D", self.D),
            ("d", self.d),
            ("H", self.H),
            ("p", self.p),
        ]
    }
}

impl std::fmt::Display for Dims {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts: Vec<_> = self.named().map(|(k, v)| format!("{k}={v}")).into();
        f.write_str(&parts.join(" "))
    }
}
