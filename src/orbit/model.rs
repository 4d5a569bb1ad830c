//! What the enclosure of an orbit needs to know of a model, and attention's answers.

use crate::Result;
use crate::bounds::{Curvature, Enclosure, Sharp};
use crate::certificate::{Grounds, Site};
use crate::descent::{Descent, PlainStepper, Stepper};
use crate::model::rounding::Rounding;
use crate::model::{Precision, Trained};
use crate::problem::{Dims, Instance, Weights};
use gdcert_numbers::{Bound, Interval, Scalar, Smooth};
use nalgebra::DMatrix;

/// A model with a start M_0. Its trained weights are a list of numbers whose order is its own.
pub(crate) trait Model {
    /// Gradient descent in some arithmetic.
    type Motion<T: Smooth>: Motion<T>;
    /// The run in f64.
    type Run: Run;
    /// Bounds around a centre.
    type Bounds<'m>: Bounds
    where
        Self: 'm;

    /// Gradient descent in `T`, at M_0.
    fn motion<T: Smooth>(&self) -> Self::Motion<T>;
    /// The run in f64, at M_0.
    fn run(&self) -> Self::Run;
    /// Bounds around the point with these weights, from the sharp form of the curvature or the cheap one.
    fn bounds(&self, centre: &[f64], sharp: bool) -> Self::Bounds<'_>;
    /// Calls `then` with what Theorem A needs to know of the point with these weights, or of M_0.
    ///
    /// # Errors
    /// Weights that are not finite.
    fn with_grounds<R>(
        &self,
        weights: Option<&[f64]>,
        then: impl FnOnce(&mut dyn Grounds) -> R,
    ) -> Result<R>;
    /// What a sharp window costs, in the units of [`work`](Model::work) times words; `None` if there is no sharp form at these
    /// sizes.
    fn sharp_work(&self) -> Option<u64>;
    /// Multiplications of a step, about: of two numbers of full length, and of one by an f64.
    fn work(&self) -> [u64; 2];
}

/// Gradient descent, step by step. The residual and the gradient are those of the exact model at the weights held, enclosed in T.
pub(crate) trait Motion<T: Smooth> {
    /// Evaluates the residual and the gradient. `false` if they are not known there: a kink is too near for T's precision.
    fn evaluate(&mut self) -> bool;
    /// r at the weights last evaluated.
    fn residual(&self) -> &[T];
    /// M <- M - eta gradient.
    fn step(&mut self, eta: f64);
    /// Calls `f` with every trained weight.
    fn weights<'a>(&'a self) -> impl Iterator<Item = &'a T>
    where
        T: 'a;
    /// Changes every trained weight, in that order.
    fn change(&mut self, f: impl FnMut(&mut T));
}

/// Rigorous bounds at and around a centre; |.| of weights is the Frobenius norm over all trained ones.
pub(crate) trait Bounds {
    /// An upper bound of |J| at the centre.
    fn jacobian(&self) -> f64;
    /// An upper bound of |D^2 F[delta, epsilon]| over unit directions and the ball of this radius; it grows with it.
    fn curvature(&self, radius: f64) -> f64;
}

/// The run in f64 that the exact orbit is held against.
pub(crate) trait Run {
    /// The loss as computed, and a bound on its error.
    fn evaluate(&mut self) -> (f64, f64);
    /// M <- M - eta gradient.
    fn step(&mut self, eta: f64);
    /// The trained weights, in the order of [`Motion::weights`].
    fn weights(&self) -> Vec<f64>;
}

/// Attention: an instance and what is trained.
#[derive(Clone, Copy)]
pub(crate) struct Attention<'a> {
    pub instance: &'a Instance,
    pub trained: Trained,
}

impl Attention<'_> {
    /// The instance at other trained weights.
    pub(crate) fn at(&self, weights: &[f64]) -> Result<Instance> {
        let Dims { D, d, .. } = self.instance.dims();
        let mut all = self.instance.W().clone();
        let mut matrices = weights.chunks_exact(D * d);
        let flags = self.trained.flags();
        for (block, on) in [&mut all.Q, &mut all.K, &mut all.V].into_iter().zip(flags) {
            if on {
                for (W, rows) in block.iter_mut().zip(&mut matrices) {
                    *W = DMatrix::from_row_slice(D, d, rows);
                }
            }
        }
        self.instance.clone().with_weights(all)
    }

    /// The trained weights in the order of [`Motion::weights`].
    pub(crate) fn flat(&self, W: &Weights) -> Vec<f64> {
        let blocks = [&W.Q, &W.K, &W.V].into_iter().zip(self.trained.flags());
        let matrices = blocks.filter(|(_, on)| *on).flat_map(|(block, _)| block);
        let rows = matrices.flat_map(|W| {
            W.row_iter()
                .flat_map(|row| row.iter().copied().collect::<Vec<_>>())
        });
        rows.collect()
    }
}

impl<'a> Model for Attention<'a> {
    type Motion<T: Smooth> = PlainStepper<T>;
    type Run = AttentionRun<'a>;
    type Bounds<'m>
        = AttentionBounds
    where
        Self: 'm;

    fn motion<T: Smooth>(&self) -> PlainStepper<T> {
        PlainStepper::new(self.instance, self.trained)
    }

    fn run(&self) -> AttentionRun<'a> {
        AttentionRun {
            model: *self,
            stepper: Stepper::new(self.instance, self.trained),
            rounding: Rounding::new(self.instance, Precision::F64),
        }
    }

    fn bounds(&self, centre: &[f64], sharp: bool) -> AttentionBounds {
        let Ok(instance) = self.at(centre) else {
            // Weights that are not finite: nothing is known around them.
            return AttentionBounds {
                jacobian: f64::INFINITY,
                curvature: Form::Nothing,
            };
        };
        let enclosure = Enclosure::new(&instance, self.trained);
        AttentionBounds {
            jacobian: enclosure.jacobian_norm_bound(),
            curvature: match sharp {
                false => Form::Closed(enclosure.curvature()),
                true => Form::Sharp(Box::new(Sharp::new(&instance, self.trained))),
            },
        }
    }

    fn with_grounds<R>(
        &self,
        weights: Option<&[f64]>,
        then: impl FnOnce(&mut dyn Grounds) -> R,
    ) -> Result<R> {
        let centre = weights.map(|weights| self.at(weights)).transpose()?;
        let mut site = Site::new(centre.as_ref().unwrap_or(self.instance), self.trained);
        Ok(then(&mut site))
    }

    fn sharp_work(&self) -> Option<u64> {
        let work = crate::bounds::sharp::work(self.instance.dims())?;
        // Measured: a millisecond, and 60 nanoseconds for each.
        Some(1_000_000 + 50 * work)
    }

    fn work(&self) -> [u64; 2] {
        let Dims { N, n, D, d, H, p } = self.instance.dims();
        let [q, k, v] = self.trained.flags();
        let scores = q || k;
        let features = d * (usize::from(q) + usize::from(k)) + p * usize::from(v);
        let token = n * (d + 2 * p + if scores { 2 * d + p } else { 0 });
        // An exponential and its share of the quotients are about thirty products.
        let scores = if scores { 30 * n } else { 0 };
        [token + scores, 2 * D * features].map(|each| (H * N * n * each) as u64)
    }
}

/// Attention's run.
pub(crate) struct AttentionRun<'a> {
    model: Attention<'a>,
    stepper: Stepper,
    rounding: Rounding,
}

impl Run for AttentionRun<'_> {
    fn evaluate(&mut self) -> (f64, f64) {
        let loss = self.stepper.evaluate();
        let norms: Vec<_> = self.stepper.block_norms().collect();
        (
            loss,
            self.rounding.loss(loss, self.rounding.residual(&norms)),
        )
    }

    fn step(&mut self, eta: f64) {
        self.stepper.step(eta);
    }

    fn weights(&self) -> Vec<f64> {
        self.model.flat(&self.stepper.weights())
    }
}

impl<T: Smooth> Motion<T> for PlainStepper<T> {
    fn evaluate(&mut self) -> bool {
        Descent::evaluate(self);
        true
    }
    fn residual(&self) -> &[T] {
        self.residual()
    }
    fn step(&mut self, eta: f64) {
        Descent::step(self, eta);
    }
    fn weights<'a>(&'a self) -> impl Iterator<Item = &'a T>
    where
        T: 'a,
    {
        self.weights()
    }
    fn change(&mut self, f: impl FnMut(&mut T)) {
        self.change(f);
    }
}

pub(crate) struct AttentionBounds {
    jacobian: f64,
    curvature: Form,
}

enum Form {
    Closed(Curvature<Interval>),
    Sharp(Box<Sharp<Interval>>),
    Nothing,
}

impl Bounds for AttentionBounds {
    fn jacobian(&self) -> f64 {
        self.jacobian
    }

    fn curvature(&self, radius: f64) -> f64 {
        match &self.curvature {
            Form::Closed(closed) => closed.h(radius).hi(),
            // Every block may use up the radius; |H| bounds D^2 F over all of them.
            Form::Sharp(sharp) => crate::certificate::theorem_a::matrix_norm(
                &sharp.H(&[Interval::from_f64(radius); 3]),
            )
            .upper(),
            Form::Nothing => f64::INFINITY,
        }
    }
}
