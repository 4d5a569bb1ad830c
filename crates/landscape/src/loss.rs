//! What a landscape is of.

use crate::{Error, Result};
use gdcert_numbers::Interval;
use std::ops::Range;

/// A loss as a function of all its weights, held in one vector.
pub trait Loss: Send {
    /// The loss; not finite where the arithmetic overflows.
    ///
    /// # Errors
    /// Weights of another size.
    fn value(&mut self, weights: &[f64]) -> Result<f64>;

    /// H v, where H is the Hessian of the loss at `weights`.
    ///
    /// # Errors
    /// Vectors of another size.
    fn hessian_times(&mut self, weights: &[f64], v: &[f64]) -> Result<Vec<f64>>;

    /// An enclosure of H v that counts every rounding; `None` where there is none.
    ///
    /// # Errors
    /// Vectors of another size.
    fn hessian_enclosure(&mut self, weights: &[f64], v: &[f64]) -> Result<Option<Vec<Interval>>>;

    /// A value's rounding error relative to it: differences below are noise.
    fn noise(&self) -> f64;
}

/// Which weights a landscape varies, as ranges of the one vector of all weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocks {
    /// The filters of every W^Q: the weights that form one number of a query.
    pub query: Vec<Range<usize>>,
    /// The filters of every W^K.
    pub key: Vec<Range<usize>>,
    /// Everything that is trained.
    pub all: Vec<Range<usize>>,
}

/// Refuses a vector of another size than the loss has weights.
///
/// # Errors
/// The sizes differ.
pub fn check_size(given: usize, own: usize) -> Result<()> {
    if given == own {
        return Ok(());
    }
    Err(Error::input(format!(
        "{given} weights do not fit a loss of {own}; give those of the same architecture"
    )))
}
