//! The loss on a grid of two directions.

use super::{Directions, Loss};
use crate::{Error, Result};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;

/// `size` x `size` points: alpha and beta go from -`span` to `span` in equal steps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Grid {
    /// Points to a side, odd: the middle one is the centre.
    pub size: usize,
    /// Half a side's length; the weights' own size is 1.
    pub span: f64,
}

/// Most points to a side.
const MOST: usize = 2001;

impl Grid {
    /// A grid of odd size.
    ///
    /// # Errors
    /// An even size, which has no point at the centre, or one above 2001; a span that is not finite and above 0.
    pub fn new(size: usize, span: f64) -> Result<Self> {
        if size.is_multiple_of(2) || size > MOST {
            return Err(Error::input(format!(
                "--grid {size} must be odd, so that the checkpoint is in the middle, and at most {MOST}"
            )));
        }
        if !(span > 0.0 && span.is_finite()) {
            return Err(Error::input(format!(
                "--span {} must be finite and above 0",
                gdcert_base::number::exact(span)
            )));
        }
        Ok(Grid { size, span })
    }

    /// Number of points.
    pub fn points(self) -> usize {
        self.size * self.size
    }

    /// alpha of row i, and beta of column i; exactly 0 in the middle.
    pub fn at(self, i: usize) -> f64 {
        let half = (self.size / 2) as f64;
        if half == 0.0 {
            return 0.0;
        }
        self.span * ((i as f64 - half) / half)
    }

    /// Row and column of a point.
    pub fn place(self, point: usize) -> (usize, usize) {
        (point / self.size, point % self.size)
    }
}

/// Losses on a grid: row i has alpha = `grid.at(i)` along the W^Q direction, column j has beta = `grid.at(j)` along the
/// W^K direction.
#[derive(Clone, Debug, PartialEq)]
pub struct Surface {
    /// Where.
    pub grid: Grid,
    /// Row by row.
    pub losses: Vec<f64>,
}

impl Surface {
    /// The loss in row i, column j.
    pub fn loss(&self, i: usize, j: usize) -> f64 {
        self.losses[i * self.grid.size + j]
    }

    /// Smallest and largest of the finite losses, if there is one.
    pub fn range(&self) -> Option<(f64, f64)> {
        let finite = self.losses.iter().copied().filter(|loss| loss.is_finite());
        finite.fold(None, |range, loss| match range {
            None => Some((loss, loss)),
            Some((low, high)) => Some((loss.min(low), loss.max(high))),
        })
    }
}

/// Appends the losses that are still missing, each worker one point at a time. `each` sees the losses so far, all up
/// to some point of the grid, and may stop.
///
/// # Errors
/// [`Error::Cancelled`] when `each` breaks; weights of another size.
pub fn complete<L: Loss>(
    losses: &mut Vec<f64>,
    grid: Grid,
    weights: &[f64],
    directions: &Directions,
    workers: &mut [L],
    each: &mut dyn FnMut(&[f64]) -> ControlFlow<()>,
) -> Result<()> {
    while losses.len() < grid.points() {
        let first = losses.len();
        let last = grid.points().min(first + workers.len());
        let found: Vec<Result<f64>> = workers
            .par_iter_mut()
            .zip(first..last)
            .map(|(worker, point)| {
                let (i, j) = grid.place(point);
                worker.value(&directions.point(weights, grid.at(i), grid.at(j)))
            })
            .collect();
        for loss in found {
            losses.push(loss?);
        }
        if each(losses).is_break() {
            return Err(Error::Cancelled);
        }
    }
    Ok(())
}
