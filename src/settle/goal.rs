//! One claim proven, or refuted, without a record of the run.

use super::Subject;
use super::exact::{certificate, enclosed, on_file};
use super::prefix::prove_from;
use crate::certificate::theorem_a::{Failure, Step};
use crate::certificate::{Certificate, Constant, OwnClaim, Proof, Proven, Refusal, called};
use crate::problem::Instance;
use crate::{Result, orbit};
use gdcert_base::number::short;
use std::ops::ControlFlow;
use std::slice;

/// What [`certify`](crate::certify()) found: certificates of kind `K`, centres `C`.
#[derive(Clone, Debug)]
pub enum Certified<K = Certificate, C = Instance> {
    /// The rate is proven for every t from some T on.
    Rate {
        /// The certificate.
        certificate: K,
        /// The proof and its centre.
        proven: Box<Proven<C>>,
        /// Why it is proven from M_T on and not from M_0, where an orbit was asked for.
        stopped: Option<String>,
    },
    /// The bound is proven to be exceeded.
    Refuted(K),
    /// Convergence to 0 is proven impossible.
    Obstructed(K),
    /// Nothing could be proven.
    Refused(Unproven),
}

/// Why nothing could be proven; shown as its condition.
#[derive(Clone, Debug, PartialEq)]
pub struct Unproven {
    /// What failed, in a sentence.
    pub condition: String,
    /// By what factor it failed (above 1), where there is one.
    pub factor: Option<f64>,
    /// The step of the run at which it was tried.
    pub t: usize,
}

impl Unproven {
    /// Without a factor.
    pub(crate) fn at(t: usize, condition: String) -> Self {
        Unproven {
            condition,
            factor: None,
            t,
        }
    }

    /// What the independent check does not accept is not said to be proven.
    pub(crate) fn not_rechecked(why: &str) -> Self {
        let condition = format!(
            "a proof was found, but the independent check does not accept its certificate: {why}"
        );
        Unproven::at(0, condition)
    }
}

impl std::fmt::Display for Unproven {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.condition)
    }
}

/// The name of the claim that the largest rate is proven as.
pub(crate) const BEST: &str = "best";

/// That claim: below the proven rate by more than the roundings of eta beta, whoever forms it.
pub(crate) fn best(proof: &Proof) -> Result<OwnClaim> {
    let beta = proof.rate_lower() / proof.eta() * (1.0 - 8.0 * f64::EPSILON);
    OwnClaim::new(BEST, Constant::Beta(beta))
}

/// How to prove a claim.
pub(crate) struct Wanted<'a> {
    /// The claim.
    pub name: &'a str,
    /// A proof at M_0 that was found with the step.
    pub chosen: Option<Proof>,
    /// How many steps a tail may be sought along.
    pub tail: usize,
    /// How much an enclosure of the exact orbit up to a tail may cost.
    pub orbit: Option<&'a orbit::Settings>,
}

/// Proves the claim at M_0; or with a tail from M_0 on by the exact orbit, or refutes it; or proves it from some M_T on.
pub(crate) fn certify<S: Subject>(
    subject: &mut S,
    wanted: Wanted,
    observe: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<Certified<S::Certificate, S::Centre>> {
    let Wanted {
        name,
        chosen,
        tail,
        orbit,
    } = wanted;
    let claimed = subject.claimed(name)?;
    let (eta, beta) = (subject.eta(), claimed.upper());
    let mut stopped = None;
    let at_start = |proof: Proof| {
        proof.covers(beta).map_err(Refusal::Condition)?;
        Ok(Proven {
            t: 0,
            centre: None,
            proof,
        })
    };
    let found = match (chosen, tail) {
        (Some(proof), _) => at_start(proof),
        (None, 0) => subject
            .grounds()
            .prove(Step::Eta(eta), beta)
            .and_then(at_start),
        (None, _) => {
            if let Some(settings) = orbit {
                match enclosed(subject, slice::from_ref(&claimed), tail, settings, observe)? {
                    Ok(orbit) => {
                        if let Some((certificate, proven)) = certificate(subject, &orbit, name)? {
                            return settled(subject, Some(&orbit), certificate, proven);
                        }
                        stopped = orbit.stopped;
                    }
                    Err(why) => stopped = Some(why),
                }
            }
            subject.release();
            match prove_from(&subject.model(), eta, beta, tail, observe)? {
                Ok(proven) => Ok(on_file(subject, proven)?),
                Err(not) => {
                    let mut why = refused(&not.refusal, name, not.t);
                    if let Some(stopped) = stopped {
                        why.condition += &format!("; {stopped}");
                    }
                    return Ok(Certified::Refused(why));
                }
            }
        }
    };
    let rate = eta * beta;
    match found {
        Ok(proven) if rate < 1.0 => {
            let certificate = subject.rate(&proven, &claimed, None)?;
            let mut found = settled(subject, None, certificate, Some(proven))?;
            if let Certified::Rate {
                proven,
                stopped: why,
                ..
            } = &mut found
            {
                *why = stopped.filter(|_| proven.t > 0);
            }
            Ok(found)
        }
        Ok(proven) => Ok(Certified::Refused(Unproven {
            condition: format!(
                "eta beta = {} >= 1 makes the claim meaningless; choose a smaller --eta",
                short(rate)
            ),
            factor: Some(rate),
            t: proven.t,
        })),
        Err(refusal) => Ok(Certified::Refused(refused(&refusal, name, 0))),
    }
}

/// A certificate, if the independent check accepts it.
fn settled<S: Subject>(
    subject: &S,
    orbit: Option<&orbit::Orbit>,
    certificate: S::Certificate,
    proven: Option<Proven<S::Centre>>,
) -> Result<Certified<S::Certificate, S::Centre>> {
    let centre = proven.as_ref().and_then(|proven| proven.centre.as_ref());
    let refused = match orbit {
        Some(orbit) => subject.refuses_on(orbit, &certificate, centre),
        None => subject.refuses(&certificate, centre),
    };
    if let Some(why) = refused? {
        return Ok(Certified::Refused(Unproven::not_rechecked(&why)));
    }
    Ok(match proven {
        Some(proven) => Certified::Rate {
            certificate,
            proven: Box::new(proven),
            stopped: None,
        },
        None => Certified::Refuted(certificate),
    })
}

/// Why a claim could not be proven, in words.
pub(crate) fn refused(refusal: &Refusal, name: &str, t: usize) -> Unproven {
    let (condition, factor) = match refusal {
        Refusal::Condition(failure @ Failure::Rate { .. }) => (
            format!(
                "Theorem A closes at M_{t}, but not for {}: {failure}",
                called(name)
            ),
            Some(failure.factor()),
        ),
        other => (
            format!("Theorem A does not close at M_{t}: {other}"),
            match other {
                Refusal::Condition(failure) | Refusal::OnlyCrude(failure) => Some(failure.factor()),
                Refusal::NotResolved(_) => None,
            },
        ),
    };
    Unproven {
        condition,
        factor,
        t,
    }
}
