//! Theorem A and refutations for models: that the numbers of a certificate are what they are called.

use super::curvature::{Bound, Site};
use super::file::Model;
use super::orbit::{exactly, gram, jacobian, term};
use super::second;
use super::values::Values;
use crate::Unreadable;
use crate::ball::{Ball, ball, norm};
use crate::certificate::{FileRef, ModelRate, ModelRef, ModelRefuted, Orbit, Reading};
use crate::claims::{Proof, Stop, at_most, require};
use crate::files::{Files, LARGEST, bytes};
use crate::gram::quotient;
use crate::matrix::{Matrix, Real};
use crate::number::{Double, power};
use crate::orbit::{Path, exceeds, leads};
use crate::rate::{ball_inequalities, numbers, signs};

/// The model in the certificate's files.
pub(crate) fn read(from: &ModelRef, trained: &[String], files: &Files) -> Proof<Model> {
    let [graph, tensors]: [FileRef; 2] =
        from.files().try_into().map_err(|_| Stop::Unproven("a model has two files".to_owned()))?;
    let (graph_bytes, tensor_bytes) = (bytes(&graph, files)?, bytes(&tensors, files)?);
    let model =
        Model::read(&graph_bytes, &tensor_bytes, trained).map_err(|e| e.about(&graph.file))?;
    let m = model.residuals();
    require(m <= LARGEST, || {
        format!("{} has {m} residuals; more than {LARGEST} are not looked at", graph.file)
    })?;
    Ok(model)
}

fn reading(reading: &Reading) -> Proof {
    match reading {
        Reading::Ntk | Reading::Own(_) => Ok(()),
        other => {
            let what = format!("the reading {other} is about attention, not about a model");
            Err(Stop::Unreadable(Unreadable::new(what)))
        }
    }
}

/// Of a certificate of Theorem A: as for instances (`rate.rs`), with |.| the norm over all trained blocks.
pub(crate) fn rate(c: &ModelRate, files: &Files) -> Proof {
    signs(&numbers!(c))?;
    ball_inequalities(&numbers!(c))?;
    reading(&c.reading)?;
    let model = read(&c.model, &c.trained, files)?;
    let (m, P) = (model.residuals(), model.parameters());
    require(m <= P, || {
        format!("{} has {m} residuals and only {P} trained parameters", c.model.file)
    })?;
    let start = model.start();
    let centre = if c.centre.t == 0 {
        let same = c.centre.file_ref() == c.model.tensors;
        require(same, || "the centre at t = 0 is not the model's own arrays".to_owned())?;
        start.clone()
    } else {
        let file = c.centre.file_ref();
        model.point(&bytes(&file, files)?).map_err(|e| e.about(&file.file))?
    };
    let distance = c.orbit.as_ref().map_or(Ball::ZERO, |orbit| ball(orbit.distance));
    let at = Values::<Ball>::new(&model, &exactly(&centre));
    // What is said of the centre is said of every point within the distance: see `Near` in `rate.rs`.
    let site = Site::new(&at);
    let J = jacobian(&at);
    let widened =
        |radius: f64| if distance.is_zero() { radius } else { (ball(radius) + distance).upper() };
    let derivatives = |at_centre: Option<f64>| -> Proof {
        let h = curvature(&site, widened(c.rho), at_centre)?;
        at_most("h(rho)", h, "h_rho_upper", ball(c.h_rho_upper))?;
        let change = match distance.is_zero() {
            true => Ball::ZERO,
            false => (curvature(&site, distance.upper(), at_centre)? * distance).upper_ball(),
        };
        norm_at_most(&J, ball(c.jacobian_norm_upper), change)?;
        let least = ball(c.alpha_lower) + change;
        let resolved = gram::<f64>(&J).sigma_min_at_least(least).is_ok()
            || gram::<Double>(&J).sigma_min_at_least(least).is_ok();
        require(resolved, || format!("alpha_lower = {:?} is not proven", c.alpha_lower))
    };
    // The second derivatives at the centre are made where the rules alone do not do.
    derivatives(None).or_else(|stop| match second::norm(&at) {
        Some(at_centre) => derivatives(Some(at_centre)),
        None => Err(stop),
    })?;
    drop(site);
    let residual = norm(at.residual().iter().copied()) + ball(c.jacobian_norm_upper) * distance;
    at_most("|r|", residual, "residual_norm_upper", ball(c.residual_norm_upper))?;
    drop(at);
    drop(J);
    if c.reading == Reading::Ntk {
        let start = Values::<Ball>::new(&model, &exactly(&start));
        beta(&jacobian(&start), c.beta, c.centre.t == 0)?;
    }
    match &c.orbit {
        Some(orbit) => orbit_to(c, orbit, &model, &centre),
        None => Ok(()),
    }
}

/// h over the ball, or what is in the way.
fn curvature(site: &Site, radius: f64, at_centre: Option<f64>) -> Proof<Ball> {
    match site.curvature(radius, at_centre) {
        Bound::Number(h) if h.is_finite() => Ok(ball(h)),
        Bound::Number(_) => Err(Stop::Unproven("h(rho) is not bounded".to_owned())),
        Bound::Stop(node) => Err(Stop::Unproven(format!(
            "at node {node} the model is not proven to be smooth in the ball"
        ))),
    }
}

fn norm_at_most(J: &Matrix, claimed: Ball, change: Ball) -> Proof {
    let most = claimed - change;
    let fast = gram::<f64>(J);
    let proven = fast.frobenius().at_most(most)
        || fast.norm_at_most(most).is_ok()
        || gram::<Double>(J).norm_at_most(most).is_ok();
    require(proven, || format!("jacobian_norm_upper = {:?} is not proven", claimed.upper()))
}

/// beta >= sigma_min(J')^2 > 0 at M_0, by a vector v with |J'v|^2 <= beta |v|^2; that it is above 0 need not be proven where
/// alpha_lower was at M_0.
fn beta(J: &Matrix, beta: f64, positive: bool) -> Proof {
    let target = ball(beta).sqrt();
    fn below<T: Real>(J: &Matrix, target: Ball) -> bool {
        let v = gram::<T>(J).witness_below(target * ball(1.0 - power(-22)));
        v.is_some_and(|v| quotient(std::iter::once(term::<T>(J)), &v).at_most(target))
    }
    let above_0 = |J: &Matrix| {
        let least = target * ball(power(-8));
        gram::<f64>(J).sigma_min_at_least(least).is_ok()
            || gram::<Double>(J).sigma_min_at_least(least).is_ok()
    };
    require(positive || above_0(J), || {
        "the reading ntk does not apply: its beta is not proven to be above 0".to_owned()
    })?;
    require(below::<f64>(J, target) || below::<Double>(J, target), || {
        format!("beta = {beta:?} is not proven to be at least the reading's (ntk)")
    })
}

/// The bound holds from t = 1 to T, and M_T is near the centre.
fn orbit_to(c: &ModelRate, orbit: &Orbit, model: &Model, centre: &[f64]) -> Proof {
    let path = Path {
        subject: model,
        eta: c.eta,
        steps: orbit.steps,
        bits: orbit.bits,
        centre: Some(centre),
    };
    leads(&path, c.beta, orbit.distance)
}

/// f_t of the exact orbit is above (1 - eta beta)^t f_0, for a beta that is not above the reading's.
pub(crate) fn refuted(c: &ModelRefuted, files: &Files) -> Proof {
    for (name, x) in [("eta", c.eta), ("beta", c.beta), ("loss_lower", c.loss_lower)] {
        let holds = x > 0.0 && x.is_finite();
        require(holds, || format!("{name} = {x:?} is not a positive number"))?;
    }
    for (name, x) in [("bound_upper", c.bound_upper), ("distance", c.distance)] {
        let holds = x >= 0.0 && x.is_finite();
        require(holds, || format!("{name} = {x:?} is negative or not finite"))?;
    }
    let (loss, bound) = (c.loss_lower, c.bound_upper);
    require(bound < loss, || {
        format!("bound_upper = {bound:?} is not below loss_lower = {loss:?}: nothing is exceeded")
    })?;
    reading(&c.reading)?;
    let model = read(&c.model, &c.trained, files)?;
    // With eta beta < 1 the bound is the smaller the larger beta is.
    let factor = ball(1.0) - ball(c.eta) * ball(c.beta);
    let means_nothing =
        || "eta beta is not proven to be below 1, so the bound may mean nothing".to_owned();
    require(ball(0.0).below(factor), means_nothing)?;
    if c.reading == Reading::Ntk {
        let (m, P) = (model.residuals(), model.parameters());
        require(m <= P, || {
            format!("{} has {m} residuals and only {P} trained parameters", c.model.file)
        })?;
        let at = Values::<Ball>::new(&model, &exactly(&model.start()));
        let J = jacobian(&at);
        let target = ball(c.beta).sqrt().upper_ball();
        let proven = gram::<f64>(&J).sigma_min_at_least(target).is_ok()
            || gram::<Double>(&J).sigma_min_at_least(target).is_ok();
        require(proven, || {
            format!("beta = {:?} is not proven to be at most the reading's (ntk)", c.beta)
        })?;
        // The reading's own beta: below 1 / eta too.
        let most = 1.0 / c.eta * (1.0 - power(-40));
        require((ball(c.eta) * ball(most)).below(ball(1.0)), means_nothing)?;
        beta(&J, most, true).map_err(|_| Stop::Unproven(means_nothing()))?;
    }
    let path = Path { subject: &model, eta: c.eta, steps: c.t, bits: c.bits, centre: None };
    exceeds(&path, c.beta, loss, bound)
}
