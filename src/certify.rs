//! From an instance to a certificate: the proof alone, without recording a run.

use crate::bounds::{Obstruction, Reason, obstruction};
use crate::certificate::{
    Centre, Certificate, FileRef, MARGIN, Obstructed, Proven, Refusal, ScaleSearch, Site,
    prove_from,
    theorem_a::{Failure, Step},
};
use crate::model::{Kernel, Trained};
use crate::problem::{Dims, Init, Instance};
use crate::spectrum::{Reading, jacobian_norm};
use crate::verify::{Eta, THETA, deciding_reading};
use crate::{Error, Result};
use gdcert_base::files::sha256;
use std::ops::ControlFlow;

/// What to certify on an instance.
#[derive(Clone, Debug)]
pub struct Goal {
    /// The blocks gradient descent moves.
    pub trained: Trained,
    /// The reading whose claim is to be proven; `None`: the deciding one.
    pub reading: Option<Reading>,
    /// The step.
    pub eta: Eta,
    /// Where Theorem A does not close at M_0: run gradient descent for at most this many steps until it does.
    pub tail: usize,
}

impl Default for Goal {
    /// Theorem 1 at M_0, eta = 0.5 / |J_0|^2.
    fn default() -> Self {
        Goal {
            trained: Trained::QKV,
            reading: None,
            eta: Eta::Auto,
            tail: 0,
        }
    }
}

/// What [`certify()`] found.
#[derive(Clone, Debug)]
pub enum Certified {
    /// The rate is proven for every t from some T on.
    Rate {
        /// The certificate.
        certificate: Certificate,
        /// The proof and its centre.
        proven: Box<Proven>,
    },
    /// Convergence to 0 is proven impossible.
    Obstructed(Certificate),
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

impl std::fmt::Display for Unproven {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.condition)
    }
}

/// Proves, if it can, that f(M_t) <= (1 - eta beta)^(t - T) f(M_T) for every t >= T, or that no such thing is possible.
///
/// # Errors
/// A setting that makes no sense, or [`Error::Cancelled`] if `observe`, which sees every step of a tail's run, breaks.
///
/// ```
/// use gdcert::{certify, Certified, Dims, Eta, Goal, Init, Instance, Kernel};
/// use std::ops::ControlFlow;
///
/// let dims = Dims { N: 2, n: 4, D: 8, d: 4, H: 3, p: 1 };
/// let instance = Instance::random(dims, Kernel::Softmax, Init::Lazy { omega: 1e4 }, 0)?;
/// let found = certify(&instance, &Goal::default(), &mut |_| ControlFlow::Continue(()))?;
/// let Certified::Rate { certificate, proven } = found else { panic!("closes at this scale") };
/// assert_eq!(proven.t, 0);
/// println!("{}", certificate.statement());
/// # Ok::<(), gdcert::Error>(())
/// ```
pub fn certify(
    instance: &Instance,
    goal: &Goal,
    observe: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<Certified> {
    let Goal { trained, tail, .. } = *goal;
    if let Some(found) = obstruction(instance, trained) {
        let certificate = obstructed_certificate(instance, trained, &found)?;
        return Ok(Certified::Obstructed(certificate));
    }
    let reading = goal.reading.unwrap_or(deciding_reading(trained));
    if let Some(missing) = reading.missing_hypothesis(instance.dims(), trained) {
        return Ok(Certified::Refused(Unproven {
            condition: format!("the reading {reading} does not apply: it {missing}"),
            factor: None,
            t: 0,
        }));
    }
    if tail > 0 && goal.eta == Eta::Certified {
        return Err(Error::input(
            "--eta certified is the step of a proof at M_0 and can not be known before a tail's run; give --eta auto or a number",
        ));
    }
    let site = Site::new(instance, trained);
    let beta = site.beta_upper(reading);
    let found = match goal.eta {
        Eta::Certified => covered(&site, Step::Theta(THETA), beta),
        _ if tail > 0 => {
            drop(site);
            let eta = fixed(goal.eta, instance, trained)?;
            match prove_from(instance, trained, eta, beta, tail, observe)? {
                Ok(proven) => Ok(proven),
                Err(not) => {
                    return Ok(Certified::Refused(refused(&not.refusal, reading, not.t)));
                }
            }
        }
        _ => covered(&site, Step::Eta(fixed(goal.eta, instance, trained)?), beta),
    };
    match found {
        Ok(proven) if proven.proof.eta() * beta < 1.0 => {
            let certificate = rate_certificate(instance, &proven, reading, beta)?;
            Ok(Certified::Rate {
                certificate,
                proven: Box::new(proven),
            })
        }
        Ok(proven) => Ok(Certified::Refused(Unproven {
            condition: format!(
                "eta beta = {:.4} >= 1 makes the claim meaningless; choose a smaller --eta",
                proven.proof.eta() * beta
            ),
            factor: Some(proven.proof.eta() * beta),
            t: proven.t,
        })),
        Err(refusal) => Ok(Certified::Refused(refused(&refusal, reading, 0))),
    }
}

fn covered(site: &Site, step: Step, beta: f64) -> std::result::Result<Proven, Refusal> {
    let proof = site.prove(step, beta)?;
    proof.covers(beta).map_err(Refusal::Condition)?;
    Ok(Proven {
        t: 0,
        centre: None,
        proof,
    })
}

/// The number that a step stands for, where it is known before any proof.
fn fixed(eta: Eta, instance: &Instance, trained: Trained) -> Result<f64> {
    match eta {
        Eta::Fixed(eta) if eta.is_finite() && eta > 0.0 => Ok(eta),
        Eta::Fixed(eta) => Err(Error::input(format!(
            "the step eta must be a finite number above 0, not {eta}"
        ))),
        Eta::Relative(multiple) => Ok(Eta::relative(multiple, jacobian_norm(instance, trained)?)),
        Eta::Auto | Eta::Certified => Ok(Eta::auto(jacobian_norm(instance, trained)?)),
    }
}

fn refused(refusal: &Refusal, reading: Reading, t: usize) -> Unproven {
    let (condition, factor) = match refusal {
        Refusal::Condition(failure @ Failure::Rate { .. }) => (
            format!("Theorem A closes at M_{t}, but not for the reading {reading}: {failure}"),
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

/// The smallest scale of a law that a search in f64 finds, and from there upwards to one at which the proof is
/// rigorous: the instance drawn there, the scale, and what was found. The step is the one Theorem A chooses.
///
/// # Errors
/// A law without a scale, or one that [`ScaleSearch`] refuses; [`Error::Cancelled`] if `observe`, asked before each
/// try, breaks.
pub fn search_scale(
    dims: Dims,
    kernel: Kernel,
    init: Init,
    seed: u64,
    goal: &Goal,
    observe: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<(Instance, f64, Certified)> {
    if let Eta::Fixed(_) = goal.eta {
        return Err(Error::input(
            "--search-scale chooses the step itself (eta L = 1/2); drop --eta",
        ));
    }
    let goal = &Goal {
        eta: Eta::Certified,
        ..goal.clone()
    };
    let estimate = ScaleSearch::new(dims, kernel, init, goal.trained, seed)?.smallest(THETA)?;
    let mut scale = estimate;
    loop {
        if observe(0).is_break() {
            return Err(Error::Cancelled);
        }
        let instance = Instance::random(dims, kernel, init.with_scale(scale), seed)?;
        let found = certify(&instance, goal, observe)?;
        if !matches!(found, Certified::Refused(_)) || scale > 2.0 * estimate {
            return Ok((instance, scale, found));
        }
        scale *= 1.0 + 1.0 / 1024.0;
    }
}

/// The certificate of a proof, for files named as [`certificate_files`] names them.
pub fn rate_certificate(
    instance: &Instance,
    proven: &Proven,
    reading: Reading,
    beta: f64,
) -> Result<Certificate> {
    let instance_file = instance_ref(instance)?;
    let centre = match &proven.centre {
        None => Centre {
            t: proven.t,
            file: instance_file.file.clone(),
            sha256: instance_file.sha256.clone(),
        },
        Some(centre) => Centre {
            t: proven.t,
            file: CENTRE.to_owned(),
            sha256: sha256(&centre.to_bytes()?),
        },
    };
    let certificate = proven
        .proof
        .certificate(reading, beta, instance_file, centre);
    Ok(Certificate::TheoremA(certificate))
}

/// The certificate of an obstruction.
pub fn obstructed_certificate(
    instance: &Instance,
    trained: Trained,
    found: &Obstruction,
) -> Result<Certificate> {
    let loss_lower = found.loss_lower * (1.0 - MARGIN);
    let why = match found.reason {
        Reason::Hull => "the labels leave the convex hull of the values",
        Reason::ZeroGradient => {
            "the values do not depend on the token, so attention changes nothing"
        }
    };
    Ok(Certificate::Obstructed(Obstructed {
        instance: instance_ref(instance)?,
        kernel: instance.kernel(),
        trained,
        reason: found.reason,
        loss_lower,
        margin: MARGIN,
        statement: format!(
            "No choice of W^Q and W^K brings the loss of this instance ({} attention, {}) below {loss_lower:e}: {why}.",
            instance.kernel(),
            instance.dims(),
        ),
    }))
}

const INSTANCE: &str = "instance.safetensors";
const CENTRE: &str = "centre.safetensors";
const CERTIFICATE: &str = "certificate.json";

/// What [`certificate_files`] may write.
pub const CERTIFICATE_FILES: [&str; 2] = [CERTIFICATE, CENTRE];

fn instance_ref(instance: &Instance) -> Result<FileRef> {
    Ok(FileRef {
        file: INSTANCE.to_owned(),
        sha256: sha256(&instance.to_bytes()?),
    })
}

/// A certificate's files by name: `certificate.json` and, for a tail, `centre.safetensors`. The instance belongs beside
/// them as `instance.safetensors`.
pub fn certificate_files(
    certificate: &Certificate,
    centre: Option<&Instance>,
) -> Result<Vec<(&'static str, Vec<u8>)>> {
    let mut files = Vec::new();
    if let Some(centre) = centre {
        files.push((CENTRE, centre.to_bytes()?));
    }
    let json = format!("{:#}\n", certificate.to_json());
    files.push((CERTIFICATE, json.into_bytes()));
    Ok(files)
}
