//! A model that is a graph, as the orbit and the proofs see it.

use super::Graph;
use crate::Result;
use crate::bounds::{BlockMatrix, Blocks};
use crate::certificate::{Form, Grounds, theorem_a::Inputs};
use crate::orbit;
use gdcert_graph::{Bounds, Motion, Operation, Run};
use gdcert_numbers::{Interval, NotResolved, Scalar, Smooth};
use std::cell::{OnceCell, RefCell};

/// A graph, whose every block is trained.
#[derive(Clone, Copy)]
pub(crate) struct GraphModel<'g>(pub &'g Graph);

impl<'g> orbit::Model for GraphModel<'g> {
    type Motion<T: Smooth> = Motion<T>;
    type Run = Run;
    type Bounds<'m>
        = Around<'g>
    where
        Self: 'm;

    fn motion<T: Smooth>(&self) -> Motion<T> {
        Motion::new(self.0)
    }

    fn run(&self) -> Run {
        Run::new(self.0)
    }

    fn bounds(&self, centre: &[f64], _sharp: bool) -> Around<'g> {
        // At a kink, or where something is not finite, nothing is known.
        Around(Bounds::new(self.0, centre).ok())
    }

    fn with_grounds<R>(
        &self,
        weights: Option<&[f64]>,
        then: impl FnOnce(&mut dyn Grounds) -> R,
    ) -> Result<R> {
        let start = self.0.start();
        let mut grounds = GraphGrounds::new(Bounds::new(self.0, weights.unwrap_or(&start)).ok());
        Ok(then(&mut grounds))
    }

    fn sharp_work(&self) -> Option<u64> {
        None
    }

    fn work(&self) -> [u64; 2] {
        let nodes = self.0.nodes();
        let products = nodes.iter().filter(|node| node.varies).map(|node| {
            let of_entry = match &node.operation {
                Operation::DotGeneral { contract, .. } => {
                    let shape = &nodes[node.inputs[0]].shape;
                    3 * contract[0].iter().map(|&a| shape[a]).product::<usize>()
                }
                // A function and its derivative are about sixty products.
                Operation::Map(_) | Operation::Softmax { .. } => 60,
                Operation::Div => 30,
                _ => 2,
            };
            (node.len() as u64).saturating_mul(of_entry as u64)
        });
        [products.fold(0, u64::saturating_add), 0]
    }
}

impl<T: Smooth> orbit::Motion<T> for Motion<T> {
    fn evaluate(&mut self) -> bool {
        Motion::evaluate(self);
        self.kink().is_none()
    }
    fn residual(&self) -> &[T] {
        Motion::residual(self)
    }
    fn step(&mut self, eta: f64) {
        Motion::step(self, eta);
    }
    fn weights<'a>(&'a self) -> impl Iterator<Item = &'a T>
    where
        T: 'a,
    {
        Motion::weights(self)
    }
    fn change(&mut self, f: impl FnMut(&mut T)) {
        Motion::change(self, f);
    }
}

impl orbit::Run for Run {
    fn evaluate(&mut self) -> (f64, f64) {
        Run::evaluate(self)
    }
    fn step(&mut self, eta: f64) {
        Run::step(self, eta);
    }
    fn weights(&self) -> Vec<f64> {
        Run::weights(self)
    }
}

/// Bounds around a centre, if anything is known there.
pub(crate) struct Around<'g>(Option<Bounds<'g>>);

impl orbit::Bounds for Around<'_> {
    fn jacobian(&self) -> f64 {
        self.0
            .as_ref()
            .map_or(f64::INFINITY, Bounds::jacobian_norm_upper)
    }

    /// By the rules alone, as the checker does: a window is one radius, not worth second derivatives at its centre.
    fn curvature(&self, radius: f64) -> f64 {
        self.0
            .as_ref()
            .map_or(f64::INFINITY, |bounds| bounds.curvature_by_rules(radius))
    }
}

/// By how much more the curvature is taken than what is found: the checker has the same rules, forwards and backwards, but sums
/// and norms and second derivatives of its own, and was seen to come to 5e-3 more.
const ROOM: f64 = 1.0 + 1.0 / 32.0;

/// What Theorem A needs to know of a model at a centre: the ball, with a curvature that the checker can prove too.
pub(crate) struct GraphGrounds<'g> {
    bounds: Option<Bounds<'g>>,
    inputs: OnceCell<std::result::Result<Inputs, NotResolved>>,
    /// Radii with their h: the proof asks again for what the search asked.
    curvatures: RefCell<Vec<(f64, f64)>>,
    distance: f64,
}

impl<'g> GraphGrounds<'g> {
    pub fn new(bounds: Option<Bounds<'g>>) -> Self {
        GraphGrounds {
            bounds,
            inputs: OnceCell::new(),
            curvatures: RefCell::new(Vec::new()),
            distance: 0.0,
        }
    }
}

impl Grounds for GraphGrounds<'_> {
    fn forms(&self) -> Vec<Form> {
        vec![Form::Crude]
    }

    fn moves(&self) -> Blocks<bool> {
        [true, false, false]
    }

    fn inputs(&self, _form: Form) -> std::result::Result<Inputs, NotResolved> {
        *self.inputs.get_or_init(|| {
            let bounds = self.bounds.as_ref().ok_or(NotResolved::NOTHING_KNOWN)?;
            let jacobian = bounds.jacobian_norm_upper();
            Ok(Inputs {
                alpha: bounds.sigma_min_lower()?,
                resolved: [true, false, false],
                blocks: [jacobian, 0.0, 0.0],
                jacobian,
                residual: bounds.residual_norm().hi(),
            })
        })
    }

    fn curvature(&self, radius: f64) -> Interval {
        let Some(bounds) = &self.bounds else {
            return Interval::ENTIRE;
        };
        let known = self
            .curvatures
            .borrow()
            .iter()
            .find(|(r, _)| *r == radius)
            .copied();
        let (_, h) = known.unwrap_or_else(|| {
            let found = (radius, bounds.curvature(radius) * ROOM);
            self.curvatures.borrow_mut().push(found);
            found
        });
        match h.is_finite() {
            true => Interval::from_f64(h),
            false => Interval::ENTIRE,
        }
    }

    /// There is one form, which is not sharp.
    fn sharp(&self, _radii: &Blocks<f64>) -> BlockMatrix<f64> {
        [[f64::INFINITY; 3]; 3]
    }

    fn rigorous_sharp(&self, _radii: &Blocks<f64>) -> BlockMatrix<Interval> {
        [[Interval::ENTIRE; 3]; 3]
    }

    fn distance(&self) -> f64 {
        self.distance
    }

    fn widen(&mut self, distance: f64) {
        self.distance = distance;
    }
}
