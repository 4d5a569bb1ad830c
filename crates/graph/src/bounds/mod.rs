//! Bounds on the second derivative of a model over a ball, by rules for each operation: any smooth graph.
//!
//! F(M) in R^m are the residuals, |delta|^2 = sum_b |delta_b|^2 over the blocks of parameters. The statements and their
//! proofs are in `proofs-checks/any-model.md`, with the names used here.
//!
//! | question | where |
//! |---|---|
//! | How large are derivatives of every subarray of every node? | [`forward`] |
//! | How large is what they do to F? | [`reverse`], [`sums`] |
//! | What are the second derivatives at the centre? | [`second`] |
//! | What is exact at the centre? | [`centre`] |
//! | Which rule is a node's? | [`rules`], [`moved`], [`dot`], [`functions`] |
//! | What is a bound for every subset of axes? | [`lattice`] |
//! | How are bounds rounded, and small matrices bounded? | [`up`], [`small`] |

// A block or an axis indexes several arrays at once.
#![allow(clippy::needless_range_loop)]

mod centre;
mod dot;
mod forward;
mod functions;
mod lattice;
mod moved;
mod reverse;
mod rules;
mod second;
mod small;
mod sums;
#[cfg(test)]
mod tests;
mod up;

use crate::plan::Plan;
use crate::{Error, Evaluation, Graph, Result};
use centre::Centre;
use forward::{Stop, forward};
use gdcert_numbers::verified::{SigmaMin, sigma_max, sigma_min};
use gdcert_numbers::{Interval, NotResolved, Scalar, sigma_max_upper};
use lattice::Subsets;
use nalgebra::DMatrix;
use reverse::{Adjoints, Ball, reverse};
use rules::Rule;
use std::cell::OnceCell;
use std::rc::Rc;

/// What is proven about a model at a centre, and around it.
///
/// ```
/// use gdcert_graph::{Bounds, Builder};
/// // r(u, v) = u v - 1, D^2 r = [[0, 1], [1, 0]]
/// let mut model = Builder::new();
/// let u = model.parameter("u", &[1], &[1.0])?;
/// let v = model.parameter("v", &[1], &[2.0])?;
/// let product = model.mul(u, v)?;
/// let one = model.full(&[1], 1.0)?;
/// let r = model.sub(product, one)?;
/// let graph = model.finish(r)?;
/// let bounds = Bounds::new(&graph, &graph.start())?;
/// let h = bounds.curvature(0.5);
/// assert!(h >= 1.0 && h < 1.0 + 1e-9);
/// # Ok::<(), gdcert_base::Error>(())
/// ```
pub struct Bounds<'g> {
    graph: &'g Graph,
    subsets: Vec<Rc<Subsets>>,
    rules: Vec<Rule>,
    centre: Centre,
    adjoints: Option<Adjoints>,
    /// J(C), m x P, by midpoints; and at least the Frobenius norm of what these are off by.
    jacobian: DMatrix<f64>,
    off: f64,
    residual: Interval,
    /// M at the centre, and at least |D^2F| there where it is worth its work.
    at: Vec<f64>,
    second: OnceCell<Option<f64>>,
}

impl<'g> Bounds<'g> {
    /// At this centre, P numbers.
    ///
    /// # Errors
    /// Not P finite numbers; a kink at the centre, named; a value that is not defined there.
    pub fn new(graph: &'g Graph, centre: &[f64]) -> Result<Bounds<'g>> {
        let centre_point = centre.to_vec();
        let graph_there = graph.with_start(centre)?;
        let mut at = Evaluation::<Interval>::new(&graph_there);
        at.forward();
        if let Some(kink) = at.kink() {
            return Err(kink.error(graph));
        }
        let nodes = graph.nodes();
        let values: Vec<Vec<Interval>> = (0..nodes.len())
            .map(|node| at.value(node).to_vec())
            .collect();
        for (node, values) in values.iter().enumerate() {
            let finite = |x: &Interval| x.lo().is_finite() && x.hi().is_finite();
            if let Some(entry) = values.iter().position(|x| !finite(x)) {
                return Err(Error::input(format!(
                    "{}: entry {entry} has no value, or one too large for f64",
                    graph.describe(node)
                )));
            }
        }
        let subsets: Vec<Rc<Subsets>> =
            nodes.iter().map(|node| Subsets::new(&node.shape)).collect();
        let rules: Vec<Rule> = (0..nodes.len())
            .map(|node| Rule::new(graph, node, &subsets, &values))
            .collect();
        let residual = Interval::norm(at.residual());
        let plan = Plan::new(graph);
        let centre = Centre::new(graph, &plan, values, &subsets, &rules);
        let mut adjoints = Adjoints::new(graph, &mut at, &subsets, &rules);
        let (m, P) = (graph.m(), graph.P());
        let rows = match &mut adjoints {
            Some(adjoints) => std::mem::take(&mut adjoints.jacobian),
            None => at.jacobian(),
        };
        let parts: Vec<(f64, f64)> = rows.iter().map(|x| x.mid_radius()).collect();
        let off = up::norm(parts.iter().map(|(_, radius)| *radius));
        let jacobian = DMatrix::from_fn(m, P, |a, j| parts[a * P + j].0);
        Ok(Bounds {
            graph,
            subsets,
            rules,
            centre,
            adjoints,
            jacobian,
            off,
            residual,
            at: centre_point,
            second: OnceCell::new(),
        })
    }

    /// J(C) in f64 may be off by this (Frobenius norm).
    pub fn jacobian_error(&self) -> f64 {
        self.off
    }

    /// At least |J(C)|.
    pub fn jacobian_norm_upper(&self) -> f64 {
        sigma_max_upper(&self.jacobian, self.off)
    }

    /// At most the m-th singular value of J(C); 0 where P < m.
    ///
    /// # Errors
    /// [`NotResolved`] if no positive bound can be proven.
    pub fn sigma_min_lower(&self) -> std::result::Result<f64, NotResolved> {
        self.sigma_min().map(Interval::lo)
    }

    /// The m-th singular value of J(C), enclosed.
    ///
    /// # Errors
    /// [`NotResolved`] if no positive bound can be proven.
    pub fn sigma_min(&self) -> SigmaMin {
        sigma_min(gdcert_numbers::linalg::view(&self.jacobian), self.off)
    }

    /// |r(C)|.
    pub fn residual_norm(&self) -> Interval {
        self.residual
    }

    /// h >= |D^2F| over all M with |M - C| <= radius: infinity where the model may meet a kink or leave a function's
    /// domain, see [`try_curvature`](Self::try_curvature).
    pub fn curvature(&self, radius: f64) -> f64 {
        self.try_curvature(radius).unwrap_or(f64::INFINITY)
    }

    /// As [`curvature`](Self::curvature).
    ///
    /// # Errors
    /// A kink or the end of a function's domain may be within the ball: the node and the entry, and how near.
    pub fn try_curvature(&self, radius: f64) -> Result<f64> {
        self.bound(radius, true).map_err(|stop| self.refusal(&stop))
    }

    /// As [`curvature`](Self::curvature), without the second derivatives at the centre: at least as large, and cheaper for one
    /// radius at many centres.
    pub fn curvature_by_rules(&self, radius: f64) -> f64 {
        self.bound(radius, false).unwrap_or(f64::INFINITY)
    }

    /// The forward calculus alone: at least as large as [`curvature_by_rules`](Self::curvature_by_rules), but for the rounding
    /// of two norms.
    pub fn forward_curvature(&self, radius: f64) -> f64 {
        self.forward_matrix(radius)
            .map_or(f64::INFINITY, |(H, _)| norm_of_nonnegative(&H))
    }

    /// The less of what the rules give, and what those give for how far D^2F moves from the centre (Lemma 7).
    fn bound(&self, radius: f64, second: bool) -> std::result::Result<f64, Stop> {
        let (H, states) = self.forward_matrix(radius)?;
        let Some(adjoints) = &self.adjoints else {
            return Ok(norm_of_nonnegative(&H));
        };
        let at_centre = match second {
            true => *self.second.get_or_init(|| {
                second::norm(self.graph, &self.rules, &self.centre.values, &self.at)
            }),
            false => None,
        };
        let sums = reverse(
            self.graph,
            &self.rules,
            &self.subsets,
            &self.centre,
            adjoints,
            Ball {
                states: &states,
                radius,
                moving: at_centre.is_some(),
            },
        );
        let by_rules = norm_of_nonnegative(&H.zip_map(&sums.kappa, f64::min));
        let moved = at_centre.zip(sums.moves);
        let moved = moved.map(|(centre, moves)| up::add(centre, norm_of_nonnegative(&moves)));
        Ok(moved.map_or(by_rules, |moved| by_rules.min(moved)))
    }

    fn forward_matrix(
        &self,
        radius: f64,
    ) -> std::result::Result<(DMatrix<f64>, Vec<forward::State>), Stop> {
        let states = forward(self.graph, &self.rules, &self.subsets, &self.centre, radius)?;
        let blocks = self.graph.blocks().len();
        let H = &states[self.graph.output()].H;
        let H = DMatrix::from_fn(blocks, blocks, |b, c| {
            H.get(b, c).map_or(0.0, |x| x.whole())
        });
        Ok((H, states))
    }

    fn refusal(&self, stop: &Stop) -> Error {
        let Stop {
            node,
            entry,
            range,
            what,
        } = stop;
        let at = self.centre_of(*node, *entry);
        Error::input(format!(
            "{}: entry {entry} is {what} a number that may be anything from {:.3e} to {:.3e} in the ball ({at:.3e} at its centre)",
            self.graph.describe(*node),
            range.lo(),
            range.hi(),
        ))
    }

    /// The argument of a function or divisor at the centre, about.
    fn centre_of(&self, node: usize, entry: usize) -> f64 {
        let inputs = &self.graph.nodes()[node].inputs;
        let value = |i: usize| self.centre.values[inputs[i]][entry].value();
        match &self.rules[node] {
            Rule::Maximum(_) => value(0) - value(1),
            Rule::Div => value(1),
            _ => value(0),
        }
    }
}

/// The spectral norm of a matrix of bounds.
fn norm_of_nonnegative(H: &DMatrix<f64>) -> f64 {
    if H.iter().any(|x| !x.is_finite()) {
        return f64::INFINITY;
    }
    sigma_max(gdcert_numbers::linalg::view(H), 0.0)
}
