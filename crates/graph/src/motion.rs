//! Gradient descent M <- M - eta grad f(M) on f = 1/2 |r|^2, step by step.

use crate::{Evaluation, Graph, Kink};
use gdcert_numbers::{Interval, Scalar, Smooth};

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

/// The run in f64, with rigorous bounds of what its losses are off by.
#[derive(Clone, Debug)]
pub struct Run {
    motion: Motion<f64>,
    enclosed: Evaluation<Interval>,
}

impl Run {
    /// At M_0.
    pub fn new(graph: &Graph) -> Self {
        Run {
            motion: Motion::new(graph),
            enclosed: Evaluation::new(graph),
        }
    }

    /// The loss at the run's weights as computed, and a bound on its error: from an evaluation in intervals at the same
    /// weights. Infinite where nothing is known.
    pub fn evaluate(&mut self) -> (f64, f64) {
        self.motion.evaluate();
        let r = self.motion.residual();
        let loss = 0.5 * r.iter().map(|r| r * r).sum::<f64>();
        for (to, &x) in self
            .enclosed
            .parameters_mut()
            .iter_mut()
            .zip(self.motion.weights())
        {
            *to = Interval::from_f64(x);
        }
        self.enclosed.forward_values();
        let squares = self.enclosed.residual().iter().map(|r| r.square());
        let sum = squares.fold(Interval::from_f64(0.0), |sum, x| sum + x);
        // A loss that is not finite has an interval without ends, too.
        let off = sum * Interval::from_f64(0.5) - Interval::from_f64(loss);
        (loss, off.magnitude())
    }

    /// r, as computed.
    pub fn residual(&self) -> &[f64] {
        self.motion.residual()
    }

    /// The gradient, as computed.
    pub fn gradient(&self) -> &[f64] {
        self.motion.gradient()
    }

    /// M <- M - eta gradient.
    pub fn step(&mut self, eta: f64) {
        self.motion.step(eta);
    }

    /// M.
    pub fn weights(&self) -> Vec<f64> {
        self.motion.weights().copied().collect()
    }
}
