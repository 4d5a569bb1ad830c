//! From a model to a verdict on each claim.

use super::Graph;
use super::certify::{singular_ends, step, with_certified_step};
use super::subject::{Certificate, GraphClaims, check, missing, obstruction};
use crate::bounds::Obstruction;
use crate::certificate::{OwnClaim, Proven, Refusal};
use crate::descent::{Point, Steps, Trajectory, end};
use crate::eta::{ANY_STEP, Eta};
use crate::model::Precision;
use crate::orbit::{self, Orbit};
use crate::settle::{Subject, settle};
use crate::spectrum::{Estimate, Reading};
use crate::verdict::{Asserted, Claim, Verdict};
use crate::{Error, Result};
use gdcert_graph::{Bounds, Run};
use gdcert_numbers::norm;
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;

/// What to verify on a model.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The step.
    pub eta: Eta,
    /// How long to run.
    pub steps: Steps,
    /// The name of the claim that decides, and that a certificate is sought for; `None`: `ntk`.
    pub reading: Option<String>,
    /// Claims of the user's own, beside `ntk`.
    pub claims: Vec<OwnClaim>,
    /// How much an enclosure of the exact orbit may cost; `None`: none is tried.
    pub orbit: Option<orbit::Settings>,
    /// Whether to seek proofs.
    pub certify: bool,
}

impl Default for Settings {
    /// eta = 0.5 / |J_0|^2, 2000 steps or to the rounding floor.
    fn default() -> Self {
        Settings {
            eta: Eta::Auto,
            steps: Steps::UpTo(2000),
            reading: None,
            claims: Vec::new(),
            orbit: Some(orbit::Settings::QUICK),
            certify: true,
        }
    }
}

impl Settings {
    /// The name of the claim that decides.
    pub fn deciding(&self) -> &str {
        self.reading.as_deref().unwrap_or(Reading::Ntk.name())
    }
}

/// Everything found out about one model.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Verification {
    /// |r_0|.
    pub residual_norm: f64,
    /// |J_0|.
    pub jacobian_norm: f64,
    /// Why nothing moves, if the gradient at M_0 is proven to be exactly 0 and the loss is not.
    pub obstruction: Option<Obstruction>,
    /// The run; numbers by block are in the order of the model's blocks.
    pub trajectory: Trajectory<Vec<f64>>,
    /// `ntk`, then the user's own.
    pub claims: Vec<Claim>,
    /// What was proven beyond the run.
    pub certificate: Option<Certificate>,
    /// The proof and the centre of a rate's certificate.
    pub proven: Option<Proven<Vec<f64>>>,
    /// The exact orbit from M_0, if it was enclosed.
    pub orbit: Option<Orbit>,
    /// The certificates of refuted claims other than the deciding one, by name.
    pub refutations: Vec<(String, Certificate)>,
}

impl Verification {
    /// The claim of this name.
    ///
    /// # Panics
    /// There is none.
    pub fn claim(&self, name: &str) -> &Claim {
        let found = self.claims.iter().find(|claim| claim.name == name);
        found.unwrap_or_else(|| panic!("there is no claim {name}"))
    }

    /// f(M_0).
    pub fn loss0(&self) -> f64 {
        self.trajectory.points[0].loss
    }

    /// The last point of the run.
    pub fn last(&self) -> &Point<Vec<f64>> {
        &self.trajectory.points[self.trajectory.points.len() - 1]
    }
}

/// Runs exact gradient descent from M_0 in f64, holds every claim against it, and proves or refutes what it can.
///
/// # Errors
/// A setting that makes no sense, a kink at M_0 or a number that overflows f64 (named).
pub fn verify(graph: &Graph, settings: &Settings) -> Result<Verification> {
    verify_with(graph, settings, &mut |_| ControlFlow::Continue(()))
}

/// As [`verify`]; `observe` sees every t, of the run and then of the search for a proof, and cancels by breaking.
///
/// # Errors
/// As [`verify`], or [`Error::Cancelled`].
pub fn verify_with(
    graph: &Graph,
    settings: &Settings,
    observe: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<Verification> {
    let deciding = settings.deciding();
    check(&settings.claims, deciding)?;
    if let Some(orbit) = &settings.orbit {
        orbit.check()?;
    }
    let bounds = Bounds::new(graph, &graph.start())?;
    let residual_norm = bounds.residual_norm();
    let obstruction = obstruction(graph);
    // Where nothing moves there may be no step to be had, and none is needed.
    let mut no_run = None;
    let eta = match settings.eta {
        // There is no proof to take the step of.
        Eta::Certified if obstruction.is_some() => Eta::Auto,
        eta => eta,
    };
    let given = match step(graph, &bounds, eta) {
        Err(why) if obstruction.is_some() && !matches!(eta, Eta::Fixed(_)) => {
            no_run = Some(why);
            Some(ANY_STEP)
        }
        given => given?,
    };
    let mut asked = GraphClaims::new(graph, &settings.claims, f64::NAN, bounds)?;
    asked.eta = match given {
        Some(eta) => eta,
        None => {
            let fail = |refusal: Refusal| {
                Error::input(format!(
                    "--eta certified: Theorem A does not close at M_0: {refusal}; use --eta auto or a number"
                ))
            };
            with_certified_step(&asked, deciding).map_err(fail)?.eta()
        }
    };
    let [sigma_min, jacobian_norm] = singular_ends(graph)?;
    let steps = match no_run {
        Some(_) => settings.steps.at_rest(),
        None => settings.steps,
    };
    let trajectory = descend(graph, asked.eta, steps, observe)?;
    // What is computed is much closer than the enclosure is wide.
    let beta = Estimate::enclosed(sigma_min * sigma_min, asked.ntk.lo(), asked.ntk.hi());
    let ntk = Asserted {
        name: Reading::Ntk.into(),
        beta,
        proven: true,
        rate: asked.eta * beta.value,
        missing: missing(graph),
    };
    let own = settings.claims.iter().map(|own| {
        let beta = own.at(asked.eta).beta;
        Asserted {
            name: own.name().to_owned(),
            beta: Estimate::enclosed(own.rate(asked.eta) / asked.eta, beta.lo(), beta.hi()),
            proven: true,
            rate: own.rate(asked.eta),
            missing: None,
        }
    });
    let all = std::iter::once(ntk).chain(own);
    let claims =
        all.map(|asserted| Claim::new(asserted, jacobian_norm, obstruction.as_ref(), &trajectory));
    let mut claims: Vec<Claim> = claims.collect();
    if let Some(found) = &obstruction {
        for claim in claims
            .iter_mut()
            .filter(|c| c.verdict == Verdict::Obstructed)
        {
            claim.reason = format!(
                "the gradient at M_0 is exactly 0, so that gradient descent never moves, and the loss is at least {:.4e}",
                found.loss_lower
            );
            if let Some(why) = &no_run {
                claim.reason +=
                    &format!("; there is no step to be had ({why}), and eta = 1 stands for any");
            }
        }
    }
    let mut found = Verification {
        residual_norm: residual_norm.mid_radius().0,
        jacobian_norm,
        obstruction,
        trajectory,
        claims,
        certificate: None,
        proven: None,
        orbit: None,
        refutations: Vec::new(),
    };
    if let Some(obstruction) = &found.obstruction {
        let (certificate, refused) = asked.standstill(obstruction)?;
        if let Some(why) = &refused {
            found.claims.iter_mut().for_each(|c| c.not_rechecked(why));
        }
        found.certificate = refused.is_none().then_some(certificate);
    } else if settings.certify {
        let (orbit, claims) = (settings.orbit.as_ref(), std::mem::take(&mut found.claims));
        let settled = settle(&asked, deciding, orbit, &found.trajectory, claims, observe)?;
        found.claims = settled.claims;
        found.certificate = settled.certificate;
        found.proven = settled.proven;
        found.orbit = settled.orbit;
        found.refutations = settled.refutations;
    }
    debug_assert_eq!(asked.eta(), found.trajectory.eta);
    Ok(found)
}

/// Gradient descent from M_0 in f64, every loss with a bound on its error.
fn descend(
    graph: &Graph,
    eta: f64,
    steps: Steps,
    observe: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<Trajectory<Vec<f64>>> {
    let start = graph.start();
    let sizes: Vec<usize> = graph
        .blocks()
        .iter()
        .map(|b| b.start.values.len())
        .collect();
    // The norm of each block of P numbers.
    let norms = |all: &[f64]| -> Vec<f64> {
        let mut rest = all;
        let block = |&size: &usize| {
            let (these, others) = rest.split_at(size);
            rest = others;
            norm(these)
        };
        sizes.iter().map(block).collect()
    };
    let mut run = Run::new(graph);
    let mut points: Vec<Point<Vec<f64>>> = Vec::new();
    let end = loop {
        let t = points.len();
        let (loss, loss_error) = run.evaluate();
        let away: Vec<f64> = run
            .weights()
            .iter()
            .zip(&start)
            .map(|(a, b)| a - b)
            .collect();
        let point = Point {
            t,
            loss,
            loss_error,
            grad_norms: norms(run.gradient()),
            moved: norms(&away),
            sigma_min_B: None,
        };
        let f0 = points.first().map_or(loss, |p| p.loss);
        let end = end(&point, f0, steps);
        points.push(point);
        if observe(t).is_break() {
            return Err(Error::Cancelled);
        }
        if let Some(end) = end {
            break end;
        }
        run.step(eta);
    };
    Ok(Trajectory {
        eta,
        precision: Precision::F64,
        points,
        end,
    })
}
