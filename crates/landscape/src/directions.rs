//! The two directions of a surface.

use super::Loss;
use super::loss::Blocks;
use super::spectrum::{Restricted, exponent, lanczos, start};
use crate::{Error, Result};
use gdcert_base::input::same_word;
use gdcert_base::random::Normals;
use gdcert_numbers::lanczos::dot;
use serde::{Deserialize, Serialize};
use std::ops::{ControlFlow, Range};

/// How directions are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Choice {
    /// Normal draws, filter by filter as long as the weights: |direction_filter| = |W_filter|
    /// (Li et al., *Visualizing the Loss Landscape of Neural Nets*, NeurIPS 2018).
    Random,
    /// In each block the eigenvector of the Hessian, restricted to the block, whose eigenvalue is largest in
    /// magnitude; as long as the block's weights.
    Hessian,
}

impl std::str::FromStr for Choice {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            _ if same_word(name, "random") => Ok(Choice::Random),
            _ if same_word(name, "hessian") => Ok(Choice::Hessian),
            _ => Err(Error::input(format!(
                "unknown directions '{name}'; choose random or hessian"
            ))),
        }
    }
}

/// A direction in W^Q and one in W^K, each as long as all weights and zero outside its block.
#[derive(Clone, Debug, PartialEq)]
pub struct Directions {
    /// In W^Q.
    pub query: Vec<f64>,
    /// In W^K.
    pub key: Vec<f64>,
}

/// ChaCha streams of a direction seed; apart from those of data and parameters. Never renumber.
const QUERY: u64 = 1 << 48;
const KEY: u64 = QUERY + 1;

impl Directions {
    /// Random directions of a seed, the same on every machine.
    ///
    /// # Errors
    /// A block of zeros, in which every filter's direction would be zero.
    pub fn random(weights: &[f64], blocks: &Blocks, seed: u64) -> Result<Self> {
        Ok(Directions {
            query: filtered(weights, &blocks.query, seed, QUERY, "W^Q")?,
            key: filtered(weights, &blocks.key, seed, KEY, "W^K")?,
        })
    }

    /// The sharpest directions, by `steps` steps of Lanczos' method from a seeded start; `each` is asked before every
    /// one of them.
    ///
    /// # Errors
    /// A block of zeros; derivatives that are not finite; [`Error::Cancelled`] when `each` breaks.
    pub fn sharpest(
        loss: &mut dyn Loss,
        weights: &[f64],
        blocks: &Blocks,
        seed: u64,
        steps: usize,
        each: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<Self> {
        let mut sharpest = |filters: &[Range<usize>], name: &str| {
            let space = Restricted::to(filters);
            let size = norm(filters, weights);
            if size == 0.0 {
                return Err(zero(name));
            }
            let mut times = |v: &[f64]| {
                if each().is_break() {
                    return Err(Error::Cancelled);
                }
                space.hessian_times(loss, weights, v)
            };
            let found = lanczos(&mut times, start(seed, space.dimension()), steps)?;
            let vector = space.scatter(&found.sharpest(), weights.len());
            Ok(vector.into_iter().map(|v| size * v).collect())
        };
        Ok(Directions {
            query: sharpest(&blocks.query, "W^Q")?,
            key: sharpest(&blocks.key, "W^K")?,
        })
    }

    /// weights + alpha query + beta key.
    pub fn point(&self, weights: &[f64], alpha: f64, beta: f64) -> Vec<f64> {
        let pairs = self.query.iter().zip(&self.key);
        let moved = weights.iter().zip(pairs);
        moved
            .map(|(w, (q, k))| {
                // A step of 0 leaves the weights as they are, also where a direction is not finite.
                let step = if alpha == 0.0 { 0.0 } else { alpha * q };
                w + step + if beta == 0.0 { 0.0 } else { beta * k }
            })
            .collect()
    }

    /// Where other weights are: the coefficients (alpha, beta) of their distance from `weights` along the two
    /// directions, and which share of its length within W^Q and W^K the two make up (0 if there is none).
    pub fn project(&self, weights: &[f64], other: &[f64], blocks: &Blocks) -> (f64, f64, f64) {
        let moved: Vec<f64> = other.iter().zip(weights).map(|(a, b)| a - b).collect();
        let along = |direction: &[f64]| {
            let ((d, down), (m, up)) = (scaled(direction), scaled(&moved));
            let coefficient = libm::scalbn(dot(&d, &m) / dot(&d, &d), up - down);
            (coefficient, (coefficient * length(direction)).abs())
        };
        let ((alpha, a), (beta, b)) = (along(&self.query), along(&self.key));
        let all = norm(&blocks.query, &moved).hypot(norm(&blocks.key, &moved));
        let share = if all > 0.0 { a.hypot(b) / all } else { 0.0 };
        (alpha, beta, share)
    }
}

fn filtered(
    weights: &[f64],
    filters: &[Range<usize>],
    seed: u64,
    stream: u64,
    name: &str,
) -> Result<Vec<f64>> {
    let mut normals = Normals::stream(seed, stream);
    let mut direction = vec![0.0; weights.len()];
    for filter in filters {
        let drawn = &mut direction[filter.clone()];
        drawn.fill_with(|| normals.next());
        let (drawn_size, size) = (length(drawn), length(&weights[filter.clone()]));
        for x in drawn {
            *x *= size / drawn_size;
        }
    }
    if direction.iter().all(|x| *x == 0.0) {
        return Err(zero(name));
    }
    Ok(direction)
}

fn zero(name: &str) -> Error {
    Error::input(format!(
        "{name} is zero, so that a direction as long as it is none; give a checkpoint or instance with weights there"
    ))
}

fn norm(ranges: &[Range<usize>], values: &[f64]) -> f64 {
    let parts = ranges.iter().flat_map(|range| &values[range.clone()]);
    length(&parts.copied().collect::<Vec<f64>>())
}

/// |x|, also where squares would under- or overflow.
fn length(x: &[f64]) -> f64 {
    let (x, power) = scaled(x);
    libm::scalbn(dot(&x, &x).sqrt(), power)
}

/// x / 2^k and k, with entries of at most 1.
fn scaled(x: &[f64]) -> (Vec<f64>, i32) {
    let power = exponent(x.iter().copied());
    let x = x.iter().map(|x| libm::scalbn(*x, -power)).collect();
    (x, power)
}
