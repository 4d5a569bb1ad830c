//! From an instance to a certificate: the proof alone, without recording a run.

mod subject;

pub use crate::settle::{Certified, Unproven};
pub(crate) use subject::AttentionClaims;

use crate::bounds::{Obstruction, Reason, obstruction};
use crate::certificate::{
    Centre, Certificate, Checked, Claimed, Constant, FileRef, Grounds, MARGIN, Obstructed,
    OrbitRecord, OwnClaim, Proof, Proven, Refusal, ScaleSearch, Site, at_one, called, recheck,
    statement, theorem_a::Step,
};
use crate::eta::{AUTO, Eta, THETA};
use crate::model::{Kernel, Trained};
use crate::orbit;
use crate::problem::{Dims, Init, Instance};
use crate::settle::{self, BEST, Wanted, best, refused};
use crate::spectrum::{Reading, deciding_reading, jacobian_norm};
use crate::{Error, Result};
use gdcert_base::files::sha256;
use gdcert_base::number::exact;
use std::ops::ControlFlow;

/// What to certify on an instance.
#[derive(Clone, Debug)]
pub struct Goal {
    /// The blocks gradient descent moves.
    pub trained: Trained,
    /// The name of the reading or claim that is to be proven; `None`: see [`deciding_reading`].
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
    /// Theorem 1 at M_0, eta = 0.5 / |J_0|^2.
    fn default() -> Self {
        Goal {
            trained: Trained::QKV,
            reading: None,
            claims: Vec::new(),
            eta: Eta::Auto,
            tail: 0,
            orbit: Some(orbit::Settings::QUICK),
        }
    }
}

impl Goal {
    /// Whether the claims can be told apart, and what is to be proven is one of them or a reading.
    ///
    /// # Errors
    /// A name that is given twice, or to nothing.
    pub fn check(&self) -> Result<()> {
        OwnClaim::check(&self.claims, &self.deciding())
    }

    /// The name of the reading or claim that is to be proven.
    pub fn deciding(&self) -> String {
        let own = self.reading.clone();
        own.unwrap_or_else(|| deciding_reading(self.trained).into())
    }
}

/// Proves, if it can, that f(M_t) <= (1 - eta beta)^t f(M_0) for every t, or that it is not so, or that no convergence is
/// possible; where the exact orbit can not be enclosed, that f(M_t) <= (1 - eta beta)^(t - T) f(M_T) for every t >= T.
///
/// # Errors
/// A setting that makes no sense.
///
/// ```
/// use gdcert::{certify, Certified, Dims, Eta, Goal, Init, Instance, Kernel};
///
/// let dims = Dims { N: 2, n: 4, D: 8, d: 4, H: 3, p: 1 };
/// let instance = Instance::random(dims, Kernel::Softmax, Init::Lazy { omega: 1e4 }, 0)?;
/// let found = certify(&instance, &Goal::default())?;
/// let Certified::Rate { certificate, proven, .. } = found else { panic!("closes at this scale") };
/// assert_eq!(proven.t, 0);
/// println!("{}", certificate.statement());
/// # Ok::<(), gdcert::Error>(())
/// ```
pub fn certify(instance: &Instance, goal: &Goal) -> Result<Certified> {
    certify_with(instance, goal, &mut |_| ControlFlow::Continue(()))
}

/// As [`certify`]; `observe` sees every step of a tail's run, and cancels by breaking.
///
/// # Errors
/// As [`certify`], or [`Error::Cancelled`].
pub fn certify_with(
    instance: &Instance,
    goal: &Goal,
    observe: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<Certified> {
    let Goal { trained, tail, .. } = *goal;
    let name = goal.deciding();
    goal.check()?;
    let reading = Reading::named(&name);
    if let Some(found) = obstructed(instance, trained)? {
        return Ok(found);
    }
    if let Some(found) = inapplicable(&name, instance, trained) {
        return Ok(found);
    }
    if tail > 0 && goal.eta == Eta::Certified {
        return Err(Error::input(
            "--eta certified is the step of a proof at M_0 and can not be known before a tail's run; give --eta auto or a number",
        ));
    }
    let site = Site::new(instance, trained);
    if let Some(reading) = reading {
        let exact = site.enclosure().beta(reading);
        // NaN never appears as an end.
        if exact.lo() <= 0.0 {
            return Ok(Certified::Refused(Unproven::at(
                0,
                format!(
                    "the reading {reading} needs beta > 0, but beta = {} is not resolved from 0: it lies between 0 and {:e}",
                    reading.formula(),
                    exact.hi()
                ),
            )));
        }
    }
    let (eta, chosen) = match goal.eta {
        Eta::Certified => match with_certified_step(&site, &goal.claims, &name)? {
            Ok(proof) => (proof.eta(), Some(proof)),
            Err(refusal) => return Ok(Certified::Refused(refused(&refusal, &name, 0))),
        },
        eta => (fixed(eta, &site)?, None),
    };
    let mut claims = AttentionClaims {
        site,
        own: &goal.claims,
        eta,
    };
    let wanted = Wanted {
        name: &name,
        chosen,
        tail,
        orbit: goal.orbit.as_ref(),
    };
    settle::certify(&mut claims, wanted, observe)
}

/// The proof at M_0 with the step that Theorem A chooses for the claim of this name. A claimed rate is no beta before there is
/// a step: for it the proof of the largest rate is taken.
///
/// # Errors
/// There is no such claim.
pub(crate) fn with_certified_step(
    site: &Site,
    own: &[OwnClaim],
    name: &str,
) -> Result<std::result::Result<Proof, Refusal>> {
    let beta = match own.iter().find(|own| own.name() == name) {
        Some(own) => match own.constant() {
            Constant::Beta(beta) => beta,
            Constant::Rate(_) => f64::INFINITY,
        },
        None => site.claimed(name.parse()?).upper(),
    };
    Ok(site.prove(Step::Theta(THETA), beta))
}

/// Why the [checker](crate::certificate::check) does not accept a certificate; `None` if it does, or if trying would take longer than a second or so.
pub(crate) fn check_refuses(
    certificate: &Certificate,
    instance: &Instance,
    centre: Option<&Instance>,
) -> Result<Option<String>> {
    let orbit = orbit_of(certificate);
    let cheap = orbit.is_none_or(|(steps, bits)| orbit_is_cheap(instance.dims(), steps, bits));
    if !(cheap && cheap_to_check(instance.dims())) {
        return Ok(None);
    }
    let mut files = vec![(INSTANCE, instance.to_bytes()?)];
    files.extend(certificate_files(certificate, centre)?);
    let named = |name: &str| files.iter().find(|(file, _)| *file == name);
    let read = |name: &str| match named(name) {
        Some((_, bytes)) => Ok(bytes.clone()),
        None => Err(format!("there is no file {name}")),
    };
    Ok(match recheck(certificate, &read)? {
        Checked::Valid(_) => None,
        Checked::Unproven(why) => Some(why),
    })
}

/// Multiplications in double-double that a check may need to count as cheap.
const CHEAP: u128 = 1 << 23;

fn cheap_to_check(dims: Dims) -> bool {
    let m = dims.m() as u128;
    let Dims { N, n, D, d, H, .. } = dims;
    let [N, n, D, d, H] = [N, n, D, d, H].map(|x| x as u128);
    let model = H * N * n * (5 * D * D.min(N * n) + n * n * d * d.min(n) + 3 * D * d);
    model + m * m * (D + d + n) * H <= CHEAP
}

/// The steps and bits of the orbit that a certificate rests on.
fn orbit_of(certificate: &Certificate) -> Option<(usize, usize)> {
    match certificate {
        Certificate::TheoremA(c) => c.orbit.map(|orbit| (orbit.steps, orbit.bits)),
        Certificate::Refuted(c) => Some((c.t, c.bits)),
        Certificate::Obstructed(_) => None,
    }
}

/// Products of words that a check of an orbit may need to count as cheap: entries of J times words^2, a step.
const CHEAP_ORBIT: u128 = 1 << 24;

fn orbit_is_cheap(dims: Dims, steps: usize, bits: usize) -> bool {
    let entries = dims.m() as u128 * 3 * dims.block_len() as u128;
    let words = bits as u128 / 64 + 1;
    entries * words * words * steps as u128 <= CHEAP_ORBIT
}

/// The largest rate for every t that a search over steps and regions finds to be provable at M_0, as a claim of its own with the
/// name `best`: the answer to what can be proven, whatever was claimed.
///
/// # Errors
/// None is expected.
///
/// ```
/// use gdcert::{best_rate, Certified, Dims, Init, Instance, Kernel, Trained};
/// let dims = Dims { N: 2, n: 4, D: 8, d: 4, H: 3, p: 1 };
/// let instance = Instance::random(dims, Kernel::Softmax, Init::Lazy { omega: 1e4 }, 0)?;
/// let Certified::Rate { proven, .. } = best_rate(&instance, Trained::QKV)? else { panic!("closes") };
/// println!("{} a step with eta = {}", proven.proof.rate_lower(), proven.proof.eta());
/// # Ok::<(), gdcert::Error>(())
/// ```
pub fn best_rate(instance: &Instance, trained: Trained) -> Result<Certified> {
    if let Some(found) = obstructed(instance, trained)? {
        return Ok(found);
    }
    let site = Site::new(instance, trained);
    let proof = match site.best() {
        Ok(proof) => proof,
        Err(refusal) => return Ok(Certified::Refused(refused(&refusal, BEST, 0))),
    };
    let (eta, own) = (proof.eta(), &[best(&proof)?]);
    let mut claims = AttentionClaims { site, own, eta };
    let wanted = Wanted {
        name: BEST,
        chosen: Some(proof),
        tail: 0,
        orbit: None,
    };
    settle::certify(&mut claims, wanted, &mut |_| ControlFlow::Continue(()))
}

/// The proof that no convergence to 0 is possible, if there is one.
fn obstructed(instance: &Instance, trained: Trained) -> Result<Option<Certified>> {
    let Some(found) = obstruction(instance, trained) else {
        return Ok(None);
    };
    let certificate = obstructed_certificate(instance, trained, &found)?;
    Ok(Some(match check_refuses(&certificate, instance, None)? {
        None => Certified::Obstructed(certificate),
        Some(why) => Certified::Refused(Unproven::not_rechecked(&why)),
    }))
}

/// The number that a step stands for, where it is known before any proof.
fn fixed(eta: Eta, site: &Site) -> Result<f64> {
    let multiple = match eta {
        Eta::Fixed(eta) if eta.is_finite() && eta > 0.0 => return Ok(eta),
        Eta::Fixed(eta) => {
            return Err(Error::input(format!(
                "the step eta must be a finite number above 0, not {}",
                exact(eta)
            )));
        }
        Eta::Relative(multiple) => multiple,
        Eta::Auto | Eta::Certified => AUTO,
    };
    let mut norm = jacobian_norm(site.instance(), site.trained())?;
    Eta::relative(multiple, site, &mut norm)
}

/// No scale beyond this is tried.
const LARGEST: f64 = (1u128 << 100) as f64;

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
    // What no scale mends.
    let (init_at_one, _) = at_one(init, goal.trained)?;
    let instance = Instance::random(dims, kernel, init_at_one, seed)?;
    let found = match obstruction(&instance, goal.trained) {
        // A hull may grow with the scale; what is zero stays zero.
        Some(found) if found.reason == Reason::ZeroGradient => obstructed(&instance, goal.trained)?,
        _ => inapplicable(&goal.deciding(), &instance, goal.trained),
    };
    if let Some(found) = found {
        return Ok((instance, 1.0, found));
    }
    let estimate = ScaleSearch::new(dims, kernel, init, goal.trained, seed)?.smallest(THETA)?;
    let mut scale = estimate;
    loop {
        if observe(0).is_break() {
            return Err(Error::Cancelled);
        }
        let instance = Instance::random(dims, kernel, init.with_scale(scale), seed)?;
        let found = certify_with(&instance, goal, observe)?;
        if !matches!(found, Certified::Refused(_)) || scale > LARGEST {
            return Ok((instance, scale, found));
        }
        // A little above the estimate as a rule. Far above it where there is no curvature but that of rounding (one token).
        scale *= match scale > 2.0 * estimate {
            true => 2.0,
            false => 1.0 + 1.0 / 1024.0,
        };
    }
}

/// What is said of a reading whose hypothesis the sizes or the trained blocks do not meet.
fn inapplicable(name: &str, instance: &Instance, trained: Trained) -> Option<Certified> {
    let missing = Reading::named(name)?.missing_hypothesis(instance.dims(), trained)?;
    let why = format!("{} does not apply: it {missing}", called(name));
    Some(Certified::Refused(Unproven::at(0, why)))
}

/// The certificate of a proof, for files named as [`certificate_files`] names them.
pub(crate) fn rate_certificate(
    instance: &Instance,
    trained: Trained,
    proven: &Proven,
    claimed: &Claimed,
    orbit: Option<OrbitRecord>,
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
    let mut certificate =
        proven
            .proof
            .certificate(claimed, (instance, trained), instance_file, centre);
    if orbit.is_some() {
        certificate.orbit = orbit;
        certificate.statement = statement(&Certificate::TheoremA(certificate.clone()));
    }
    Ok(Certificate::TheoremA(certificate))
}

/// The certificate of an obstruction.
pub(crate) fn obstructed_certificate(
    instance: &Instance,
    trained: Trained,
    found: &Obstruction,
) -> Result<Certificate> {
    let mut certificate = Obstructed {
        instance: instance_ref(instance)?,
        kernel: instance.kernel(),
        trained,
        reason: found.reason,
        loss_lower: found.loss_lower * (1.0 - MARGIN),
        margin: MARGIN,
        statement: String::new(),
    };
    certificate.statement = statement(&Certificate::Obstructed(certificate.clone()));
    Ok(Certificate::Obstructed(certificate))
}

const INSTANCE: &str = "instance.safetensors";
const CENTRE: &str = "centre.safetensors";
const CERTIFICATE: &str = "certificate.json";

/// What [`certificate_files`] and [`refutation_file`] may write; a name may end at a `*`.
pub const CERTIFICATE_FILES: [&str; 3] = [CERTIFICATE, CENTRE, "refuted-*"];

/// The name of the certificate of a refuted claim that is not the deciding one.
pub fn refutation_file(name: &str) -> String {
    format!("refuted-{name}.json")
}

pub(crate) fn instance_ref(instance: &Instance) -> Result<FileRef> {
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
    files.push((CERTIFICATE, certificate_text(certificate)));
    Ok(files)
}

/// The text of a certificate's file.
pub fn certificate_text(certificate: &Certificate) -> Vec<u8> {
    format!("{:#}\n", certificate.to_json()).into_bytes()
}
