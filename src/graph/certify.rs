//! From a model to a certificate.

use super::Graph;
use super::subject::{Certificate, GraphClaims, check, missing, ntk, obstruction};
use crate::bounds::Obstruction;
use crate::certificate::theorem_a::Step;
use crate::certificate::{Constant, Grounds, OwnClaim, Refusal};
use crate::eta::{AUTO, Eta, THETA};
use crate::orbit;
use crate::settle::{self, Certified, Unproven, Wanted, refused};
use crate::spectrum::Reading;
use crate::{Error, Result};
use gdcert_base::number::exact;
use gdcert_graph::{Bounds, Evaluation};
use gdcert_numbers::linalg::singular_values;
use nalgebra::DMatrix;
use std::ops::ControlFlow;

/// What to certify on a model.
#[derive(Clone, Debug)]
pub struct Goal {
    /// The name of the claim that is to be proven; `None`: `ntk`.
    pub reading: Option<String>,
    /// Claims of the user's own, for `reading` to name one.
    pub claims: Vec<OwnClaim>,
    /// The step.
    pub eta: Eta,
    /// Where Theorem A does not close at M_0: run gradient descent for at most this many steps until it does.
    pub tail: usize,
    /// How much an enclosure of the exact orbit up to a tail may cost, so that what is proven starts at M_0; `None`: a tail is
    /// proven from a computed M_T on.
    pub orbit: Option<orbit::Settings>,
}

impl Default for Goal {
    /// `ntk` at M_0, eta = 0.5 / |J_0|^2.
    fn default() -> Self {
        Goal {
            reading: None,
            claims: Vec::new(),
            eta: Eta::Auto,
            tail: 0,
            orbit: Some(orbit::Settings::QUICK),
        }
    }
}

impl Goal {
    /// The name of the claim that is to be proven.
    pub fn deciding(&self) -> &str {
        self.reading.as_deref().unwrap_or(Reading::Ntk.name())
    }
}

/// Proves, if it can, that f(M_t) <= (1 - eta beta)^t f(M_0) for every t, or that it is not so, or that nothing moves; where the exact orbit can not be
/// enclosed, that f(M_t) <= (1 - eta beta)^(t - T) f(M_T) for every t >= T.
///
/// # Errors
/// A setting that makes no sense, or a kink at M_0 (named).
pub fn certify(graph: &Graph, goal: &Goal) -> Result<Certified<Certificate, Vec<f64>>> {
    certify_with(graph, goal, &mut |_| ControlFlow::Continue(()))
}

/// As [`certify`]; `observe` sees every step of a tail's run, and cancels by breaking.
///
/// # Errors
/// As [`certify`], or [`Error::Cancelled`].
pub fn certify_with(
    graph: &Graph,
    goal: &Goal,
    observe: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<Certified<Certificate, Vec<f64>>> {
    let name = goal.deciding();
    check(&goal.claims, name)?;
    if goal.tail > 0 && goal.eta == Eta::Certified {
        return Err(Error::input(
            "--eta certified is the step of a proof at M_0 and can not be known before a tail's run; give --eta auto or a number",
        ));
    }
    let bounds = Bounds::new(graph, &graph.start())?;
    let ntk = ntk(&bounds);
    if let Some(found) = obstruction(graph) {
        return obstructed(graph, &found, bounds);
    }
    if name == Reading::Ntk.name() && ntk.lo() <= 0.0 {
        let why = match missing(graph) {
            Some(missing) => format!("the reading ntk does not apply: it {missing}"),
            None => format!(
                "the reading ntk needs beta > 0, but beta = {} is not resolved from 0: it lies between 0 and {:e}",
                Reading::Ntk.formula(),
                ntk.hi()
            ),
        };
        return Ok(Certified::Refused(Unproven::at(0, why)));
    }
    let given = step(graph, &bounds, goal.eta)?;
    let mut claims = GraphClaims::new(graph, &goal.claims, given.unwrap_or(f64::NAN), bounds)?;
    let chosen = match given {
        Some(_) => None,
        None => match with_certified_step(&claims, name) {
            Ok(proof) => {
                claims.eta = proof.eta();
                Some(proof)
            }
            Err(refusal) => return Ok(Certified::Refused(refused(&refusal, name, 0))),
        },
    };
    let wanted = Wanted {
        name,
        chosen,
        tail: goal.tail,
        orbit: goal.orbit.as_ref(),
    };
    settle::certify(&mut claims, wanted, observe)
}

/// The largest rate for every t that a search over steps and radii finds to be provable at M_0, as a claim of its own with the
/// name `best`.
///
/// # Errors
/// A kink at M_0, named.
pub fn best_rate(graph: &Graph) -> Result<Certified<Certificate, Vec<f64>>> {
    let bounds = Bounds::new(graph, &graph.start())?;
    if let Some(found) = obstruction(graph) {
        return obstructed(graph, &found, bounds);
    }
    let mut claims = GraphClaims::new(graph, &[], f64::NAN, bounds)?;
    let proof = match claims.grounds.best() {
        Ok(proof) => proof,
        Err(refusal) => {
            return Ok(Certified::Refused(refused(&refusal, settle::BEST, 0)));
        }
    };
    let own = [settle::best(&proof)?];
    claims.own = &own;
    claims.eta = proof.eta();
    let wanted = Wanted {
        name: settle::BEST,
        chosen: Some(proof),
        tail: 0,
        orbit: None,
    };
    settle::certify(&mut claims, wanted, &mut |_| ControlFlow::Continue(()))
}

fn obstructed(
    graph: &Graph,
    found: &Obstruction,
    bounds: Bounds,
) -> Result<Certified<Certificate, Vec<f64>>> {
    let claims = GraphClaims::new(graph, &[], f64::NAN, bounds)?;
    Ok(match claims.standstill(found)? {
        (certificate, None) => Certified::Obstructed(certificate),
        (_, Some(why)) => Certified::Refused(Unproven::not_rechecked(&why)),
    })
}

/// The proof at M_0 with the step that Theorem A chooses.
pub(super) fn with_certified_step(
    claims: &GraphClaims,
    name: &str,
) -> std::result::Result<crate::certificate::Proof, Refusal> {
    let beta = match claims.own.iter().find(|own| own.name() == name) {
        Some(own) => match own.constant() {
            Constant::Beta(beta) => beta,
            Constant::Rate(_) => f64::INFINITY,
        },
        None => claims.ntk.hi(),
    };
    claims.grounds.prove(Step::Theta(THETA), beta)
}

/// The number that a step stands for; `None` where a proof chooses it.
pub(super) fn step(graph: &Graph, bounds: &Bounds, eta: Eta) -> Result<Option<f64>> {
    let multiple = match eta {
        Eta::Fixed(eta) if eta.is_finite() && eta > 0.0 => return Ok(Some(eta)),
        Eta::Fixed(eta) => {
            return Err(Error::input(format!(
                "the step eta must be a finite number above 0, not {}",
                exact(eta)
            )));
        }
        Eta::Relative(multiple) => multiple,
        Eta::Auto => AUTO,
        Eta::Certified => return Ok(None),
    };
    let [_, norm] = singular_ends(graph)?;
    let error = bounds.jacobian_error();
    if error > WIDEST * norm {
        return Err(Error::input(format!(
            "--eta auto: rounding hides |J_0|, which is at most {:e}; give --eta a number",
            bounds.jacobian_norm_upper()
        )));
    }
    let eta = multiple / (norm * norm);
    if eta.is_normal() {
        return Ok(Some(eta));
    }
    Err(Error::input(format!(
        "--eta auto: |J_0| = {norm:e} gives no step; give --eta a number"
    )))
}

/// The error of |J_0| may be this share of it.
const WIDEST: f64 = 1.0 / 16.0;

/// The m-th singular value of J_0 (0 where P < m) and the largest, as computed.
pub(super) fn singular_ends(graph: &Graph) -> Result<[f64; 2]> {
    let mut at = Evaluation::<f64>::new(graph);
    at.forward();
    let J = DMatrix::from_row_slice(graph.m(), graph.P(), &at.jacobian());
    let all = singular_values(&J)?;
    let smallest = all.get(graph.m() - 1).copied().unwrap_or(0.0);
    Ok([smallest, all.into_iter().fold(0.0, f64::max)])
}
