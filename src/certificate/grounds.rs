//! From a centre to a proof: Theorem A with rigorous numbers, for any model.
//!
//! A search in f64 proposes radii and a step; the proof is one evaluation of the conditions in interval arithmetic at what it
//! proposed, with every bound of the centre relaxed by [`MARGIN`] first.

use super::MARGIN;
use super::theorem_a::{Closed, Failure, Inputs, Region, Step, close};
use crate::bounds::{BlockMatrix, Blocks};
use gdcert_numbers::{Bound, Interval, NotResolved, Scalar};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Why nothing could be proven at a centre.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Refusal {
    /// sigma_min of the Jacobian is 0 or hidden by rounding.
    NotResolved(NotResolved),
    /// A condition of Theorem A fails.
    Condition(Failure),
    /// A condition fails with the closed form of h; the sharp bound is not tried at sizes like these.
    OnlyCrude(Failure),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::NotResolved(e) => write!(f, "alpha_c is {e}"),
            Refusal::Condition(failure) => failure.fmt(f),
            Refusal::OnlyCrude(failure) => write!(
                f,
                "{failure} (by the closed form of h; the sharp bound is not tried at these sizes)"
            ),
        }
    }
}

/// Theorem A, closed at a centre with rigorous numbers: f_{t+1} <= (1 - rate) f_t for every t from there on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Proof {
    inputs: Inputs,
    closed: Closed<Interval>,
}

impl Proof {
    /// The step.
    pub fn eta(&self) -> f64 {
        self.closed.eta
    }

    /// A lower bound of 2 eta alpha^2 (1 - eta L/2), relaxed by [`MARGIN`].
    pub fn rate_lower(&self) -> f64 {
        self.closed.conditions.rate.lo()
    }

    /// Whether the proven rate covers the claim f_t <= (1 - eta beta)^t f_c.
    ///
    /// # Errors
    /// [`Failure::Rate`], with the factor that is missing.
    pub fn covers(&self, beta: f64) -> Result<(), Failure> {
        self.closed.covers(Interval::from_f64(beta))
    }

    /// A lower bound of the smallest eigenvalue of the Hessian in the region that holds the rest of the run, wherever f is
    /// not above its value at the centre: -R |H|.
    pub fn hessian_lower(&self) -> f64 {
        -(self.inputs.residual * self.closed.conditions.h.hi()).next_up()
    }

    /// The radius around the centre of the ball that holds the rest of the run; of a box the length of the path in it.
    pub fn region(&self) -> f64 {
        match self.closed.region {
            Region::Ball => self.closed.radii.iter().fold(0.0, |a: f64, b| a.max(*b)),
            Region::Box => self.closed.conditions.path.hi(),
        }
    }

    /// What Theorem A rests on at the centre, relaxed, and its numbers.
    pub(crate) fn numbers(&self) -> (&Inputs, &Closed<Interval>) {
        (&self.inputs, &self.closed)
    }
}

/// One form of Theorem A to try.
#[derive(Clone, Copy, Debug)]
pub enum Form {
    /// The ball with the cheapest bound of the curvature.
    Crude,
    /// The ball with the sharp H.
    Ball,
    /// The box with the sharp H, alpha_c from these blocks.
    Box(Blocks<bool>),
}

impl Form {
    fn region(self) -> Region {
        match self {
            Form::Crude | Form::Ball => Region::Ball,
            Form::Box(_) => Region::Box,
        }
    }
}

/// The grounds of a proof: what Theorem A needs to know of a model at a centre, evaluated when asked for, and
/// from it the proof.
pub(crate) trait Grounds {
    /// The forms to try; cheap ones first, the one that can do most last among those over all blocks.
    fn forms(&self) -> Vec<Form>;

    /// The blocks that gradient descent moves; a model with one number for the curvature has one block.
    fn moves(&self) -> Blocks<bool>;

    /// Theorem A's inputs at this point.
    ///
    /// # Errors
    /// sigma_min of the Jacobian is 0 or hidden by rounding.
    fn inputs(&self, form: Form) -> Result<Inputs, NotResolved>;

    /// |D^2 F| over the ball of this radius, from above, by the cheapest bound.
    fn curvature(&self, radius: f64) -> Interval;

    /// H over the region of these radii, for the search.
    fn sharp(&self, radii: &Blocks<f64>) -> BlockMatrix<f64>;

    /// H over the region of these radii, from above.
    fn rigorous_sharp(&self, radii: &Blocks<f64>) -> BlockMatrix<Interval>;

    /// What is proven holds with every point within this distance as the centre (Theorem 6 of the orbit); 0: here.
    fn distance(&self) -> f64;

    /// Takes every point within `distance` of this one, over the trained blocks, as the centre: what is proven holds wherever
    /// among them it is.
    fn widen(&mut self, distance: f64);

    /// A distance that changes nothing of what is proven beyond 2^-24 of it: far inside [`MARGIN`]. 0 if there is none.
    fn slack(&self) -> f64 {
        let small = 1.0 / (1u64 << 24) as f64;
        let Ok(inputs) = self.inputs(Form::Crude) else {
            return 0.0;
        };
        let h = self.curvature(0.0).hi();
        let slack = small * (inputs.alpha / h).min(inputs.residual / inputs.jacobian);
        if slack.is_finite() {
            slack.max(0.0)
        } else {
            0.0
        }
    }

    /// Proves a rate for every t with this step, if possible one that covers `beta`.
    ///
    /// # Errors
    /// What fails, in the form that came closest.
    fn prove(&self, step: Step, beta: f64) -> Result<Proof, Refusal> {
        let mut best: Option<Proof> = None;
        let mut closest: Option<Refusal> = None;
        let forms = self.forms();
        let only_crude = forms.len() == 1;
        for form in forms {
            let refusal = match attempt(self, form, step) {
                Ok(proof) => {
                    let Err(failure) = proof.covers(beta) else {
                        return Ok(proof);
                    };
                    if best
                        .as_ref()
                        .is_none_or(|b| b.rate_lower() < proof.rate_lower())
                    {
                        best = Some(proof);
                    }
                    Refusal::Condition(failure)
                }
                Err(refusal) => refusal,
            };
            if closest.is_none_or(|c| factor(&refusal) < factor(&c)) {
                closest = Some(refusal);
            }
        }
        match (best, closest) {
            (Some(proof), _) => Ok(proof),
            (None, Some(Refusal::Condition(failure))) if only_crude && self.has_more() => {
                Err(Refusal::OnlyCrude(failure))
            }
            (None, Some(refusal)) => Err(refusal),
            (None, None) => Err(Refusal::NotResolved(NotResolved::NOTHING_KNOWN)),
        }
    }

    /// Whether there are forms that are not tried at sizes like these.
    fn has_more(&self) -> bool {
        false
    }

    /// The proof with the largest rate that a search over forms and steps finds.
    ///
    /// # Errors
    /// What fails with eta L = 1/2, in the form that came closest.
    fn best(&self) -> Result<Proof, Refusal> {
        let mut best: Option<Proof> = None;
        for form in self.forms() {
            let rate = |theta: f64| {
                let proposed = propose(self, form, Step::Theta(theta));
                proposed.map_or(0.0, |(_, closed)| closed.conditions.rate)
            };
            let Ok(proof) = attempt(self, form, Step::Theta(peak(rate))) else {
                continue;
            };
            let better = |b: &Proof| b.rate_lower() < proof.rate_lower();
            if best.as_ref().is_none_or(better) {
                best = Some(proof);
            }
        }
        best.map_or_else(|| self.prove(Step::Theta(0.5), f64::INFINITY), Ok)
    }

    /// The largest share (at most 1) of this centre's |r| at which Theorem A would close and cover `beta` if nothing else
    /// changed; 0 if it never would. A forecast in f64 for gradient descent's tail.
    fn share_that_closes(&self, step: Step, beta: f64) -> f64 {
        // The form that can do most.
        let form = match self.forms()[..] {
            [form] => form,
            _ => Form::Box(self.moves()),
        };
        let Ok(inputs) = relaxed(self, form) else {
            return 0.0;
        };
        let closed = |share: f64, H: BlockMatrix<f64>| {
            let inputs = Inputs {
                residual: inputs.residual * share,
                ..inputs
            };
            close(form.region(), &inputs, |_| H, step, [0.0; 3])
                .ok()
                .filter(|closed| closed.covers(beta).is_ok())
        };
        // H costs much and the conditions little: the share for a fixed H, then H at the radii of that share, and so on.
        let mut H = matrix(self, form, &[0.0; 3]);
        let mut share = 0.0;
        for _ in 0..3 {
            // Down by factors of 4, then between the last two.
            let (mut low, mut high) = (1.0, 1.0);
            while closed(low, H).is_none() {
                (low, high) = (low / 4.0, low);
                if low < f64::EPSILON {
                    return 0.0;
                }
            }
            while high > 1.01 * low {
                let middle = f64::sqrt(low * high);
                if closed(middle, H).is_some() {
                    low = middle;
                } else {
                    high = middle;
                }
            }
            share = low;
            let radii = closed(low, H).map_or([0.0; 3], |closed| closed.radii);
            H = matrix(self, form, &radii);
        }
        share
    }
}

/// Radii and a step at which Theorem A closes in f64.
fn propose<G: Grounds + ?Sized>(
    at: &G,
    form: Form,
    step: Step,
) -> Result<(Inputs, Closed), Refusal> {
    let inputs = relaxed(at, form).map_err(Refusal::NotResolved)?;
    let curvature = |radii: &_| matrix(at, form, radii);
    let closed = close(form.region(), &inputs, curvature, step, [0.0; 3]);
    Ok((inputs, closed.map_err(Refusal::Condition)?))
}

fn attempt<G: Grounds + ?Sized>(at: &G, form: Form, step: Step) -> Result<Proof, Refusal> {
    let (inputs, proposed) = propose(at, form, step)?;
    let rigorous = Inputs {
        alpha: Interval::from_f64(inputs.alpha),
        resolved: inputs.resolved,
        blocks: inputs.blocks.map(Interval::from_f64),
        jacobian: Interval::from_f64(inputs.jacobian),
        residual: Interval::from_f64(inputs.residual),
    };
    let mut closed = close(
        form.region(),
        &rigorous,
        |radii| rigorous_matrix(at, form, radii),
        Step::Eta(proposed.eta),
        proposed.radii,
    )
    .map_err(Refusal::Condition)?;
    // Outward rounding of 0 leaves the smallest f64; a block that is not trained does not move at all.
    for (radius, on) in closed.radii.iter_mut().zip(at.moves()) {
        *radius = if on { *radius } else { 0.0 };
    }
    Ok(Proof { inputs, closed })
}

/// Rigorous inputs of Theorem A for every centre within the distance, relaxed.
fn relaxed<G: Grounds + ?Sized>(at: &G, form: Form) -> Result<Inputs, NotResolved> {
    let mut inputs = at.inputs(form)?;
    if at.distance() != 0.0 {
        // |D^2 F| <= h between here and a centre within the distance: J and each of its blocks change by at most
        // h times it, r by at most |J| times it.
        let distance = Interval::from_f64(at.distance());
        let change = (at.curvature(at.distance()) * distance).hi();
        let more = |x: f64| (Interval::from_f64(x) + Interval::from_f64(change)).hi();
        inputs.jacobian = more(inputs.jacobian);
        let moved = Interval::from_f64(inputs.jacobian) * distance;
        inputs.residual = (Interval::from_f64(inputs.residual) + moved).hi();
        inputs.alpha = (Interval::from_f64(inputs.alpha) - Interval::from_f64(change)).lo();
        // NaN must end here too.
        let positive = inputs.alpha > 0.0;
        if !positive {
            return Err(NotResolved::NOTHING_KNOWN);
        }
        for (block, on) in inputs.blocks.iter_mut().zip(at.moves()) {
            *block = if on { more(*block) } else { 0.0 };
        }
    }
    Ok(Inputs {
        alpha: inputs.alpha * (1.0 - MARGIN),
        resolved: inputs.resolved,
        blocks: inputs.blocks.map(relax_up),
        jacobian: relax_up(inputs.jacobian),
        residual: relax_up(inputs.residual),
    })
}

/// The radii of a region around this point that holds the regions of these radii around every centre within the distance.
fn widened<G: Grounds + ?Sized>(at: &G, radii: &Blocks<f64>) -> Blocks<f64> {
    radii.map(|radius| (Interval::from_f64(radius) + Interval::from_f64(at.distance())).hi())
}

fn matrix<G: Grounds + ?Sized>(at: &G, form: Form, radii: &Blocks<f64>) -> BlockMatrix<f64> {
    let radii = &widened(at, radii);
    match form {
        Form::Crude => one_entry(at.curvature(largest(radii)).hi() * RELAXED),
        Form::Ball | Form::Box(_) => at.sharp(radii).map(|row| row.map(|h| h * RELAXED)),
    }
}

fn rigorous_matrix<G: Grounds + ?Sized>(
    at: &G,
    form: Form,
    radii: &Blocks<f64>,
) -> BlockMatrix<Interval> {
    let relax = |h: Interval| h * Interval::from_f64(RELAXED);
    let radii = &widened(at, radii);
    match form {
        Form::Crude => one_entry(relax(at.curvature(largest(radii)))),
        Form::Ball | Form::Box(_) => at.rigorous_sharp(radii).map(|row| row.map(relax)),
    }
}

const RELAXED: f64 = 1.0 + MARGIN;

/// Where in (0, 2) a function with one peak is largest, by golden sections. It is 0 from some point on: of equals the left one
/// is taken.
fn peak(f: impl Fn(f64) -> f64) -> f64 {
    let share = 0.5 * (5.0f64.sqrt() - 1.0);
    let (mut left, mut right) = (0.0, 2.0);
    let inner = |left: f64, right: f64| {
        [
            right - share * (right - left),
            left + share * (right - left),
        ]
    };
    let mut at = inner(left, right);
    let mut values = at.map(&f);
    for _ in 0..30 {
        if values[0] >= values[1] {
            right = at[1];
            at = inner(left, right);
            values = [f(at[0]), values[0]];
        } else {
            left = at[0];
            at = inner(left, right);
            values = [values[1], f(at[1])];
        }
    }
    at[usize::from(values[1] > values[0])]
}

/// x (1 + 2^-20); the rounding of the product is far inside the margin, and x itself was a bound.
fn relax_up(x: f64) -> f64 {
    x * RELAXED
}

fn largest(radii: &Blocks<f64>) -> f64 {
    radii[0].max(radii[1]).max(radii[2])
}

/// One number as the matrix H: its norm, and no more, is used by the ball.
fn one_entry<T: Bound>(h: T) -> BlockMatrix<T> {
    let zero = T::from_f64(0.0);
    [[h, zero, zero], [zero; 3], [zero; 3]]
}

fn factor(refusal: &Refusal) -> f64 {
    match refusal {
        Refusal::NotResolved(_) => f64::INFINITY,
        Refusal::Condition(failure) | Refusal::OnlyCrude(failure) => failure.factor(),
    }
}
