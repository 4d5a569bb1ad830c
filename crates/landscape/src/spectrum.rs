//! Eigenvalues of the Hessian and their density, from products H v alone.
//!
//! Lanczos' method from a random unit vector q_1 gives after m steps a tridiagonal T = Q' H Q. Its eigenvalues
//! approach the outermost ones of H; as Gauss quadrature nodes, with the squared first entries of T's eigenvectors
//! for weights, they also stand for the density of all eigenvalues (stochastic Lanczos quadrature; Yao et al.,
//! *PyHessian*, IEEE Big Data 2020, and the references there). Vectors are kept orthogonal explicitly.
//!
//! Everything is scaled by powers of two first: the squares of numbers near 1e-182 are not 0. Errors: see
//! [`bounds`](super::bounds).

use super::Loss;
use super::bounds::Whole;
use crate::{Error, Result};
use gdcert_base::random::Normals;
use gdcert_numbers::Interval;
use gdcert_numbers::lanczos::dot;
use gdcert_numbers::linalg::eigen;
use nalgebra::DMatrix;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// An eigenvalue of T.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// Approximates an eigenvalue of H, best at both ends.
    pub eigenvalue: f64,
    /// Its part of the density: all weights sum to 1.
    pub weight: f64,
    /// An eigenvalue of H lies within this distance; infinite where nothing is known. From an enclosure of H it is a bound
    /// that counts every rounding, under- and overflow; else an estimate: the residual of Lanczos' method, what the products
    /// lack in symmetry, which is how the errors of finite differences show, and some units of rounding.
    pub error: f64,
}

/// What [`lanczos`] found.
#[derive(Clone, Debug)]
pub struct Lanczos {
    /// Smallest eigenvalue first.
    pub nodes: Vec<Node>,
    basis: Vec<Vec<f64>>,
    /// Eigenvectors of T, in the order of the nodes.
    vectors: DMatrix<f64>,
}

impl Lanczos {
    /// The unit vector that belongs to the eigenvalue largest in magnitude.
    pub fn sharpest(&self) -> Vec<f64> {
        let last = self.nodes.len() - 1;
        let size = |i: usize| self.nodes[i].eigenvalue.abs();
        self.vector(if size(0) > size(last) { 0 } else { last })
    }

    /// The vector of a node, of about unit length.
    pub fn vector(&self, which: usize) -> Vec<f64> {
        let mut sum = vec![0.0; self.basis[0].len()];
        for (q, &s) in self.basis.iter().zip(self.vectors.column(which).iter()) {
            add(s, q, &mut sum);
        }
        sum
    }
}

/// ChaCha stream of a seed; apart from those of the directions.
const START: u64 = (1 << 48) + 2;

/// The unit vector from which a seed starts.
pub fn start(seed: u64, dimension: usize) -> Vec<f64> {
    let mut normals = Normals::stream(seed, START);
    let mut v: Vec<f64> = (0..dimension).map(|_| normals.next()).collect();
    let length = dot(&v, &v).sqrt();
    v.iter_mut().for_each(|x| *x /= length);
    v
}

/// At most `steps` steps from the unit vector `start`; fewer if all that the start can reach is found.
///
/// # Errors
/// No step, or no dimension; a product that is not finite.
pub fn lanczos(
    times: &mut dyn FnMut(&[f64]) -> Result<Vec<f64>>,
    start: Vec<f64>,
    steps: usize,
) -> Result<Lanczos> {
    if steps == 0 || start.is_empty() {
        return Err(Error::input(
            "Lanczos' method needs at least one step and one weight",
        ));
    }
    let steps = steps.min(start.len());
    let mut basis = vec![start];
    // Numbers with the power of two that they were divided by.
    let (mut diagonal, mut beside) = (Vec::new(), Vec::<Scaled>::new());
    // Entries of Q' H Q where T has none: what H v lacks in symmetry.
    let mut outside: Vec<Scaled> = Vec::new();
    let mut scale = Scaled(0.0, i32::MIN);
    loop {
        let k = basis.len() - 1;
        let mut w = times(&basis[k])?;
        if w.iter().any(|x| !x.is_finite()) {
            return Err(not_finite());
        }
        let power = exponent(w.iter().copied());
        w.iter_mut().for_each(|x| *x = libm::scalbn(*x, -power));
        for pass in 0..2 {
            for (j, q) in basis.iter().enumerate() {
                let c = dot(q, &w);
                add(-c, q, &mut w);
                if pass == 0 && j == k {
                    diagonal.push(Scaled(c, power));
                    scale = scale.larger(Scaled(c.abs(), power));
                } else if pass == 0 && j + 1 < k {
                    outside.push(Scaled(c, power));
                }
            }
        }
        let length = dot(&w, &w).sqrt();
        beside.push(Scaled(length, power));
        scale = scale.larger(Scaled(length, power));
        // What is left is rounding: the space is exhausted.
        if basis.len() == steps || length <= 1e-13 * scale.by(power) {
            break;
        }
        w.iter_mut().for_each(|x| *x /= length);
        basis.push(w);
    }
    let m = basis.len();
    let power = scale.1.max(-2000);
    let left = beside[m - 1].by(power);
    let T = DMatrix::from_fn(m, m, |i, j| match i.abs_diff(j) {
        0 => diagonal[i].by(power),
        1 => beside[i.min(j)].by(power),
        _ => 0.0,
    });
    let asymmetry = outside
        .iter()
        .map(|c| c.by(power).powi(2))
        .sum::<f64>()
        .sqrt();
    let rounding = 8.0 * f64::EPSILON * m as f64 * T.norm();
    let (values, vectors) = eigen(&T)?;
    let node = |i: usize| Node {
        eigenvalue: libm::scalbn(values[i], power),
        weight: vectors[(0, i)].powi(2),
        error: libm::scalbn(
            (left * vectors[(m - 1, i)]).abs() + asymmetry + rounding,
            power,
        ),
    };
    Ok(Lanczos {
        nodes: (0..m).map(node).collect(),
        basis,
        vectors,
    })
}

pub(super) fn not_finite() -> Error {
    Error::Numerical(
        "a derivative of the loss is not finite here; give another checkpoint or instance"
            .to_owned(),
    )
}

/// x 2^k.
#[derive(Clone, Copy, Debug)]
struct Scaled(f64, i32);

impl Scaled {
    /// Divided by 2^power.
    fn by(self, power: i32) -> f64 {
        libm::scalbn(self.0, self.1.saturating_sub(power))
    }

    /// Of two numbers of at least 0.
    fn larger(self, other: Scaled) -> Scaled {
        if self.by(other.1) >= other.0 && self.0 != 0.0 {
            self
        } else {
            other
        }
    }
}

/// The least k with all |x| < 2^k; 0 for zeros.
pub(super) fn exponent(values: impl Iterator<Item = f64>) -> i32 {
    let top = values.fold(0.0, |top: f64, x| top.max(x.abs()));
    libm::frexp(top).1
}

/// Some of the weights: vectors of only these, and the Hessian's block on them.
#[derive(Clone, Debug)]
pub struct Restricted<'a> {
    ranges: &'a [Range<usize>],
}

impl<'a> Restricted<'a> {
    /// To these ranges of weights.
    pub fn to(ranges: &'a [Range<usize>]) -> Self {
        Restricted { ranges }
    }

    /// How many weights.
    pub fn dimension(&self) -> usize {
        self.ranges.iter().map(|range| range.len()).sum()
    }

    /// A vector of these weights as one of all `len` weights.
    pub fn scatter(&self, part: &[f64], len: usize) -> Vec<f64> {
        let mut all = vec![0.0; len];
        let mut at = 0;
        for range in self.ranges {
            all[range.clone()].copy_from_slice(&part[at..at + range.len()]);
            at += range.len();
        }
        all
    }

    /// The Hessian's block times v.
    ///
    /// # Errors
    /// See [`Loss::hessian_times`].
    pub fn hessian_times(
        &self,
        loss: &mut dyn Loss,
        weights: &[f64],
        v: &[f64],
    ) -> Result<Vec<f64>> {
        let product = loss.hessian_times(weights, &self.scatter(v, weights.len()))?;
        let parts = self.ranges.iter().flat_map(|range| &product[range.clone()]);
        Ok(parts.copied().collect())
    }

    /// An enclosure of the Hessian's block times v, where the loss has one.
    ///
    /// # Errors
    /// See [`Loss::hessian_enclosure`].
    pub fn hessian_enclosure(
        &self,
        loss: &mut dyn Loss,
        weights: &[f64],
        v: &[f64],
    ) -> Result<Option<Vec<Interval>>> {
        let product = loss.hessian_enclosure(weights, &self.scatter(v, weights.len()))?;
        Ok(product.map(|product| {
            let parts = self.ranges.iter().flat_map(|range| &product[range.clone()]);
            parts.copied().collect()
        }))
    }

    /// All eigenvalues of the Hessian's block, smallest first, as nodes of equal weight: from the whole matrix. The i-th
    /// one of H is within its node's error.
    ///
    /// # Errors
    /// See [`Loss::hessian_times`]; a product that is not finite.
    pub fn dense(&self, loss: &mut dyn Loss, weights: &[f64]) -> Result<Vec<Node>> {
        let mut columns = Vec::with_capacity(self.dimension());
        for j in 0..self.dimension() {
            columns.push(self.column(loss, weights, j)?);
        }
        Whole::new(columns)?.nodes()
    }

    /// H e_j, with an enclosure where the loss has one.
    pub(super) fn column(
        &self,
        loss: &mut dyn Loss,
        weights: &[f64],
        j: usize,
    ) -> Result<(Vec<f64>, Option<Vec<Interval>>)> {
        let mut unit = vec![0.0; self.dimension()];
        unit[j] = 1.0;
        let column = self.hessian_times(loss, weights, &unit)?;
        Ok((column, self.hessian_enclosure(loss, weights, &unit)?))
    }
}

/// What a spectrum says about smoothness.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sharpness {
    /// The largest eigenvalue.
    pub largest: f64,
    /// Its error, see [`Node::error`].
    pub largest_error: f64,
    /// The smallest eigenvalue.
    pub smallest: f64,
    /// Its error.
    pub smallest_error: f64,
    /// The mean eigenvalue.
    pub mean: f64,
    /// Share of the eigenvalues within 5 % of the largest magnitude around 0.
    pub near_zero: f64,
    /// Share of the eigenvalues below -5 % of the largest magnitude.
    pub negative: f64,
}

/// How far from 0 an eigenvalue counts as 0, as a share of the largest magnitude.
const NEAR: f64 = 0.05;

impl Sharpness {
    /// Of nodes, smallest eigenvalue first; `None` if there are none.
    pub fn of(nodes: &[Node]) -> Option<Self> {
        let (first, last) = (nodes.first()?, nodes.last()?);
        let near = NEAR * first.eigenvalue.abs().max(last.eigenvalue.abs());
        let share = |of: &dyn Fn(f64) -> bool| {
            let weights = nodes.iter().filter(|n| of(n.eigenvalue)).map(|n| n.weight);
            weights.fold(0.0, |sum, w| sum + w)
        };
        Some(Sharpness {
            largest: last.eigenvalue,
            largest_error: last.error,
            smallest: first.eigenvalue,
            smallest_error: first.error,
            mean: nodes.iter().map(|n| n.weight * n.eigenvalue).sum(),
            near_zero: share(&|x| x.abs() <= near),
            negative: share(&|x| x < -near),
        })
    }
}

fn add(factor: f64, x: &[f64], y: &mut [f64]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += factor * x;
    }
}
