//! Gradient descent on a model, as [`orbit`](crate::orbit) follows it, and its Jacobian in balls.

use super::curvature::{Bound, Site};
use super::file::{Model, Op};
use super::values::Values;
use crate::ball::{Ball, ball};
use crate::ends::Ends;
use crate::gram::{Gram, Term};
use crate::matrix::{Matrix, Real, Rows};
use crate::orbit::{Choose, Motion, Subject, Window};

/// A model whose parameters move.
pub(crate) struct Following<'a, const L: usize> {
    values: Values<'a, Ends<L>>,
    point: Vec<Ends<L>>,
    eta: Ends<L>,
}

impl Subject for Model {
    type Motion<'a, const L: usize> = Following<'a, L>;

    fn start(&self) -> Vec<f64> {
        Model::start(self)
    }

    fn at<const L: usize>(&self, eta: f64, point: Vec<Ends<L>>) -> Following<'_, L> {
        let values = Values::new(self, &point);
        Following { values, point, eta: Ends::of(eta) }
    }

    fn products(&self) -> u64 {
        products(self)
    }

    fn bounds(&self, centre: &[f64], choose: &Choose) -> Option<Window> {
        let at = Values::<Ball>::new(self, &exactly(centre));
        let site = Site::new(&at);
        let at_centre = gram::<f64>(&jacobian(&at)).norm_upper();
        choose(at_centre, &|radius| match site.curvature(radius, None) {
            Bound::Number(h) if h.is_finite() => Some(ball(h)),
            _ => None,
        })
    }
}

impl<const L: usize> Motion<L> for Following<'_, L> {
    fn evaluate(&mut self) -> &[Ends<L>] {
        self.values.move_to(&self.point);
        self.values.residual()
    }

    fn step(&mut self) {
        let gradient = self.values.gradient(self.values.residual());
        self.point.iter_mut().zip(gradient).for_each(|(x, g)| *x = *x - self.eta * g);
    }

    fn point(&mut self) -> impl Iterator<Item = &mut Ends<L>> {
        self.point.iter_mut()
    }
}

/// Products of numbers in a step, about.
fn products(model: &Model) -> u64 {
    let of = |node: &super::file::Node| {
        let size = node.size() as u64;
        match &node.op {
            Op::Product(product) => {
                let shape = |i: usize| &model.nodes[node.inputs[i]].shape;
                let sums: usize = product.contracted[0].iter().map(|a| shape(0)[*a]).product();
                3 * size * sums as u64
            }
            Op::Map(_) | Op::Softmax(_) => 200 * size,
            Op::Div => 30 * size,
            _ => 3 * size,
        }
    };
    model.nodes.iter().filter(|node| node.varies).map(of).fold(0, u64::saturating_add)
}

/// J, a row for each residual.
pub(crate) fn jacobian(at: &Values<Ball>) -> Matrix {
    let (m, P) = (at.model.residuals(), at.model.parameters());
    let mut data = Vec::with_capacity(m * P);
    let mut w = vec![Ball::ZERO; m];
    for a in 0..m {
        w[a] = ball(1.0);
        data.extend(at.gradient(&w));
        w[a] = Ball::ZERO;
    }
    Matrix { rows: m, cols: P, data }
}

/// The rows of J as a term of a Gram matrix.
pub(crate) fn term<T: Real>(J: &Matrix) -> Term<T> {
    Term::new(Rows::of(J), Rows::ones(J.rows))
}

/// J J'.
pub(crate) fn gram<T: Real>(J: &Matrix) -> Gram<T> {
    Gram::new(J.rows, std::iter::once(term(J)))
}

/// Exact numbers as balls.
pub(crate) fn exactly(point: &[f64]) -> Vec<Ball> {
    point.iter().map(|x| ball(*x)).collect()
}
