//! Gradient descent M <- M - eta grad f(M) on f = 1/2 |r|^2, step by step.

use crate::{Evaluation, Graph, Kink};
use gdcert_numbers::Smooth;

/// Gradient descent in some arithmetic, at first at M_0. In numbers that enclose, the residual and the gradient are those of
/// the exact model at the weights held.
#[derive(Clone, Debug)]
pub struct Motion<T> {
    at: Evaluation<T>,
}

impl<T: Smooth> Motion<T> {
    /// At M_0.
    pub fn new(graph: &Graph) -> Self {
        Motion {
            at: Evaluation::new(graph),
        }
    }

    /// Evaluates the residual and the gradient.
    pub fn evaluate(&mut self) {
        self.at.forward();
        self.at.reverse_residual();
    }

    /// r at the weights last evaluated.
    pub fn residual(&self) -> &[T] {
        self.at.residual()
    }

    /// The gradient of f at the weights last evaluated.
    pub fn gradient(&self) -> &[T] {
        self.at.gradient()
    }

    /// M <- M - eta gradient.
    pub fn step(&mut self, eta: f64) {
        let eta = T::from_f64(eta);
        self.at.descend(eta);
    }

    /// Every parameter, block after block.
    pub fn weights(&self) -> impl Iterator<Item = &T> {
        self.at.parameters().iter()
    }

    /// Changes every parameter, in that order.
    pub fn change(&mut self, f: impl FnMut(&mut T)) {
        self.at.parameters_mut().iter_mut().for_each(f);
    }

    /// Where the last evaluation met a kink: nothing is known from there on.
    pub fn kink(&self) -> Option<Kink> {
        self.at.kink()
    }
}
