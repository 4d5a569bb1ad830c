//! From an instance and settings to a verdict: one call.

mod by_name;
mod file;
#[cfg(test)]
mod proof_soundness;
pub(crate) mod room;

pub use crate::eta::Eta;
pub use by_name::ByName;
pub(crate) use file::SCHEMA;
pub use file::{ByBlock, ClaimRecord, OrbitFile, Origin, Radius, VerdictFile, trajectory_csv};

use crate::bounds::{Curvature, Obstruction, f_hull, nothing_moves, obstruction};
use crate::certificate::{Certificate, OwnClaim, Proven, Refusal, Site};
use crate::certify::{AttentionClaims, check_refuses, obstructed_certificate, with_certified_step};
use crate::descent::{Point, Steps, Trajectory, descend, descend_lanes, descend_with};
use crate::eta::{ANY_STEP, AUTO};
use crate::model::{self, Precision, Trained};
use crate::orbit::{self, Orbit};
use crate::problem::{Dims, Instance};
use crate::settle::settle;
use crate::spectrum::{Estimate, Reading, Spectrum, deciding_reading};
use crate::verdict::{Asserted, Claim};
use crate::{Error, Kernel, Result};
use gdcert_numbers::norm;
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;

/// What to verify on an instance.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The blocks gradient descent moves.
    pub trained: Trained,
    /// The step.
    pub eta: Eta,
    /// How long to run.
    pub steps: Steps,
    /// The name of the reading or claim that decides, and that a certificate is sought for; `None`: see [`deciding_reading`].
    pub reading: Option<String>,
    /// Claims of the user's own, beside the readings.
    pub claims: Vec<OwnClaim>,
    /// The arithmetic of the run; the constants (spectrum, curvature) are computed in f64 always. Without an orbit a tail is
    /// certified from a point M_T of the run in f64, so beside a run in double-double only M_0 is tried.
    pub precision: Precision,
    /// How much an enclosure of the exact orbit may cost, which decides every reading for exact gradient descent from M_0;
    /// `None`: none is tried, and a proof beyond M_0 starts at a computed M_T. Needs `certify`.
    pub orbit: Option<orbit::Settings>,
    /// Whether to seek a proof of a rate, at M_0 and then along the run: it takes most of the time. (That no convergence
    /// is possible is found in any case.)
    pub certify: bool,
    /// Radii at which to report the curvature bound h.
    pub curvature_at: Vec<f64>,
}

impl Settings {
    /// Whether the claims can be told apart, and what decides is one of them or a reading.
    ///
    /// # Errors
    /// A name that is given twice, or to nothing.
    pub fn check(&self) -> Result<()> {
        OwnClaim::check(&self.claims, &self.deciding())
    }

    /// The name of the reading or claim that decides.
    pub fn deciding(&self) -> String {
        let own = self.reading.clone();
        own.unwrap_or_else(|| deciding_reading(self.trained).into())
    }
}

impl Default for Settings {
    /// Theorem 1, eta = 0.5 / |J_0|^2, 2000 steps or to the rounding floor in f64, h(0).
    fn default() -> Self {
        Settings {
            trained: Trained::QKV,
            eta: Eta::Auto,
            steps: Steps::UpTo(2000),
            reading: None,
            claims: Vec::new(),
            precision: Precision::F64,
            orbit: Some(orbit::Settings::QUICK),
            certify: true,
            curvature_at: vec![0.0],
        }
    }
}

/// What [`verify()`] is at.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// The run recorded this point.
    Point(&'a Point),
    /// The run is over; a proof is sought on it, now near this step.
    Proving(usize),
}

impl Event<'_> {
    /// The step it is at.
    pub fn t(&self) -> usize {
        match self {
            Event::Point(point) => point.t,
            Event::Proving(t) => *t,
        }
    }
}

/// Everything found out about one instance.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Verification {
    /// The sizes.
    pub dims: Dims,
    /// The attention kernel.
    pub kernel: Kernel,
    /// The trained blocks.
    pub trained: Trained,
    /// |r_0|.
    pub residual_norm: f64,
    /// |df/dW|_F at M_0 for Q, K, V, whether trained or not.
    pub grad_norms: [f64; 3],
    /// sigma_min(B_0), |J_0| and the betas.
    pub spectrum: Spectrum,
    /// Pairs (rho, h(rho)).
    pub curvature: Vec<(f64, f64)>,
    /// The hull bound (softmax only).
    pub f_hull: Option<f64>,
    /// The proof that no convergence to 0 is possible, if there is one.
    pub obstruction: Option<Obstruction>,
    /// The run.
    pub trajectory: Trajectory,
    /// One claim per reading, in the order of [`Reading::ALL`], then the user's own.
    pub claims: Vec<Claim>,
    /// What was proven beyond the run: a rate for every t, or that no convergence to 0 is possible.
    pub certificate: Option<Certificate>,
    /// The proof and the centre of a rate's certificate.
    pub proven: Option<Proven>,
    /// The exact orbit from M_0, if it was enclosed.
    pub orbit: Option<Orbit>,
    /// The certificates of refuted claims other than the deciding one, by name.
    pub refutations: Vec<(String, Certificate)>,
}

/// Verifies the claim f(M_t) <= (1 - eta beta)^t f(M_0) on one instance, for every reading of beta and every claim of the user's
/// own.
///
/// Prints nothing.
///
/// # Errors
/// A setting that makes no sense, or numbers that overflow f64.
///
/// ```
/// use gdcert::{verify, Dims, Init, Instance, Kernel, Settings, spectrum::Reading, verdict::Verdict};
///
/// let dims = Dims { N: 2, n: 4, D: 8, d: 4, H: 3, p: 1 };
/// let instance = Instance::random(dims, Kernel::Gaussian, Init::Lazy { omega: 10.0 }, 0)?;
/// let found = verify(&instance, &Settings::default())?;
/// // It is proven for every step of exact gradient descent, from M_0 on.
/// assert_eq!(found.claim(Reading::PerHead).verdict, Verdict::Certified);
/// # Ok::<(), gdcert::Error>(())
/// ```
pub fn verify(instance: &Instance, settings: &Settings) -> Result<Verification> {
    verify_with(instance, settings, &mut |_| ControlFlow::Continue(()))
}

/// As [`verify()`]; `observe` sees every point of the run, then the search for a proof, and cancels by breaking.
///
/// # Errors
/// As [`verify()`], or [`Error::Cancelled`].
pub fn verify_with(
    instance: &Instance,
    settings: &Settings,
    observe: &mut dyn FnMut(Event) -> ControlFlow<()>,
) -> Result<Verification> {
    let trained = settings.trained;
    if let Some(orbit) = &settings.orbit {
        orbit.check()?;
    }
    if let Some(rho) = settings
        .curvature_at
        .iter()
        .find(|r| !(r.is_finite() && **r >= 0.0))
    {
        return Err(Error::input(format!(
            "the radius {} must be a finite number of at least 0",
            gdcert_base::number::exact(*rho)
        )));
    }
    let curvature = Curvature::new(instance, trained)?;
    let curvature = settings
        .curvature_at
        .iter()
        .map(|&rho| (rho, curvature.h(rho)));
    let mut spectrum = Spectrum::new(instance, trained)?;
    let deciding = settings.deciding();
    settings.check()?;
    let site = Site::new(instance, trained);
    let mut no_run = None;
    let mut relative = |multiple| {
        let eta = Eta::relative(multiple, &site, &mut spectrum.jacobian_norm);
        step_or_obstruction(eta, instance, trained, &mut no_run)
    };
    let eta = match settings.eta {
        Eta::Fixed(eta) => eta,
        // There is no proof to take the step of.
        Eta::Certified if obstruction(instance, trained).is_some() => relative(AUTO)?,
        Eta::Auto => relative(AUTO)?,
        Eta::Relative(multiple) => relative(multiple)?,
        Eta::Certified => {
            let fail = |refusal: Refusal| {
                Error::input(format!(
                    "--eta certified: Theorem A does not close at M_0: {refusal}; use --eta auto or a number"
                ))
            };
            with_certified_step(&site, &settings.claims, &deciding)?
                .map_err(fail)?
                .eta()
        }
    };
    // Where the error model can not tell sigma_min(B_0) from 0, the enclosure may.
    if spectrum.sigma_min_B0.lower() == 0.0
        && spectrum.sigma_min_B0.value > 0.0
        && let Ok(sigma) = site.enclosure().sigma_min_B()
    {
        let computed = spectrum.sigma_min_B0.value;
        spectrum.sigma_min_B0 = Estimate::enclosed(computed, sigma.lo(), sigma.hi());
    }
    let gentle = ANY_STEP * spectrum.jacobian_norm.upper() < 1.0;
    let start = Start::new(instance, trained, spectrum);
    let trajectory = descend_with(
        settings.precision,
        instance,
        trained,
        eta,
        match no_run {
            Some(_) if gentle => settings.steps.at_rest(),
            Some(_) => Steps::Exactly(0),
            None => settings.steps,
        },
        &mut |point| observe(Event::Point(point)),
    )?;
    let mut found = start.conclude(&site, &settings.claims, trajectory);
    found.explain_no_run(no_run);
    found.curvature = curvature.collect();
    match &found.obstruction {
        Some(obstruction) => {
            let certificate = obstructed_certificate(instance, trained, obstruction)?;
            let refused = check_refuses(&certificate, instance, None)?;
            if let Some(why) = &refused {
                found.claims.iter_mut().for_each(|c| c.not_rechecked(why));
            }
            found.certificate = refused.is_none().then_some(certificate);
        }
        None if settings.certify => {
            let asked = AttentionClaims {
                site,
                own: &settings.claims,
                eta,
            };
            let watch = &mut |t: usize| observe(Event::Proving(t));
            let claims = std::mem::take(&mut found.claims);
            let orbit = settings.orbit.as_ref();
            let settled = settle(&asked, &deciding, orbit, &found.trajectory, claims, watch)?;
            found.claims = settled.claims;
            found.certificate = settled.certificate;
            found.proven = settled.proven;
            found.orbit = settled.orbit;
            found.refutations = settled.refutations;
        }
        None => {}
    }
    Ok(found)
}

/// As [`verify()`] without certificates or curvature, on several instances of one shape that [fit lanes](crate::descent); each with its
/// multiple of 1 / |J_0|^2 as step.
///
/// # Errors
/// [`Error::Cancelled`] for all if `observe` breaks; what is wrong with one instance's numbers for that instance.
pub(crate) fn verify_lanes(
    instances: &[Instance],
    trained: Trained,
    multiples: &[f64],
    steps: Steps,
    observe: &mut dyn FnMut() -> ControlFlow<()>,
) -> Result<Vec<Result<Verification>>> {
    let mut started = Vec::new();
    let (mut at, mut etas) = (Vec::new(), Vec::new());
    for (i, (instance, &multiple)) in instances.iter().zip(multiples).enumerate() {
        let site = Site::new(instance, trained);
        let start = Spectrum::new(instance, trained).and_then(|mut spectrum| {
            let mut no_run = None;
            let eta = Eta::relative(multiple, &site, &mut spectrum.jacobian_norm);
            let eta = step_or_obstruction(eta, instance, trained, &mut no_run)?;
            Ok((Start::new(instance, trained, spectrum), eta, no_run))
        });
        started.push(start.map(|(start, eta, no_run)| {
            if no_run.is_none() {
                at.push(i);
                etas.push(eta);
            }
            (start, site, no_run)
        }));
    }
    let sound: Vec<Instance> = at.iter().map(|&i| instances[i].clone()).collect();
    let mut runs = if sound.is_empty() {
        Vec::new()
    } else {
        descend_lanes(&sound, trained, &etas, steps, observe)?
    }
    .into_iter();
    let conclude = |start: Result<(Start, Site, Option<Error>)>| {
        let (start, site, no_run) = start?;
        let run = match no_run {
            None => runs.next().expect("a run for each that started"),
            Some(_) => descend(site.instance(), trained, ANY_STEP, Steps::Exactly(0))?,
        };
        let mut found = start.conclude(&site, &[], run);
        found.explain_no_run(no_run);
        Ok(found)
    };
    Ok(started.into_iter().map(conclude).collect())
}

/// The step; where there is none but the instance is obstructed, whatever the step, any: then `no_run` says why.
fn step_or_obstruction(
    eta: Result<f64>,
    instance: &Instance,
    trained: Trained,
    no_run: &mut Option<Error>,
) -> Result<f64> {
    match eta {
        Err(why) if obstruction(instance, trained).is_some() => {
            *no_run = Some(why);
            Ok(ANY_STEP)
        }
        eta => eta,
    }
}

/// What is known of an instance before any step.
struct Start {
    residual_norm: f64,
    grad_norms: [f64; 3],
    spectrum: Spectrum,
    f_hull: Option<f64>,
    obstruction: Option<Obstruction>,
    /// Whether J_0 = 0 by structure.
    still: bool,
}

impl Start {
    fn new(instance: &Instance, trained: Trained, spectrum: Spectrum) -> Self {
        let r = model::residual(instance, instance.W());
        let gradient = model::gradient(instance, instance.W());
        let of_block = |block: &[nalgebra::DMatrix<f64>]| -> f64 {
            norm(&block.iter().map(|w| norm(w.as_slice())).collect::<Vec<_>>())
        };
        Start {
            residual_norm: norm(&r),
            grad_norms: [&gradient.Q, &gradient.K, &gradient.V].map(|block| of_block(block)),
            spectrum,
            f_hull: f_hull(instance),
            obstruction: obstruction(instance, trained),
            still: nothing_moves(instance, trained),
        }
    }

    /// Holds every reading and every claim of the user's own against a run. Curvature and certificates are not sought.
    ///
    /// Betas are computed in f64 first; what would rest on their error model is decided again with proven ends.
    fn conclude(mut self, site: &Site, own: &[OwnClaim], trajectory: Trajectory) -> Verification {
        let (instance, trained) = (site.instance(), site.trained());
        let eta = trajectory.eta;
        let norm = self.spectrum.jacobian_norm.value;
        let obstruction = self.obstruction.as_ref();
        let judge = |asserted| Claim::new(asserted, norm, obstruction, &trajectory);
        let mut claims = Vec::new();
        for reading in Reading::ALL {
            let asserted = |spectrum: &Spectrum| Asserted {
                name: reading.into(),
                beta: spectrum.beta(reading),
                proven: spectrum.is_proven(reading),
                rate: eta * spectrum.beta(reading).value,
                missing: reading.missing_hypothesis(instance.dims(), trained),
            };
            let mut claim = judge(asserted(&self.spectrum));
            if claim.needs_proven_beta() {
                let beta = site.enclosure().beta(reading);
                self.spectrum.enclose(reading, beta.lo(), beta.hi());
                claim = judge(asserted(&self.spectrum));
            }
            claims.push(claim);
        }
        claims.extend(own.iter().map(|own| {
            let beta = own.at(eta).beta;
            judge(Asserted {
                name: own.name().to_owned(),
                beta: Estimate::enclosed(own.rate(eta) / eta, beta.lo(), beta.hi()),
                proven: true,
                rate: own.rate(eta),
                missing: None,
            })
        }));
        if self.still {
            for claim in &mut claims {
                claim.reason += "; J_0 = 0 exactly, so that nothing moves whatever the step";
            }
        }
        Verification {
            dims: instance.dims(),
            kernel: instance.kernel(),
            trained,
            residual_norm: self.residual_norm,
            grad_norms: self.grad_norms,
            spectrum: self.spectrum,
            curvature: Vec::new(),
            f_hull: self.f_hull,
            obstruction: self.obstruction,
            trajectory,
            claims,
            certificate: None,
            proven: None,
            orbit: None,
            refutations: Vec::new(),
        }
    }
}

impl Verification {
    fn explain_no_run(&mut self, no_run: Option<Error>) {
        if let Some(why) = no_run {
            for claim in &mut self.claims {
                claim.reason +=
                    &format!("; there is no step to be had ({why}), and eta = 1 stands for any");
            }
        }
    }

    /// The claim of this name: a reading, or one of the user's own.
    ///
    /// # Panics
    /// There is none.
    pub fn claim(&self, name: impl AsRef<str>) -> &Claim {
        let name = name.as_ref();
        let found = self.claims.iter().find(|claim| claim.name == name);
        found.unwrap_or_else(|| panic!("there is no claim {name}"))
    }

    /// f(M_0).
    pub fn loss0(&self) -> f64 {
        self.trajectory.points[0].loss
    }

    /// The last point of the run.
    pub fn last(&self) -> &Point {
        &self.trajectory.points[self.trajectory.points.len() - 1]
    }

    /// The measured rates of the [trajectory](Trajectory::measured_rates).
    pub fn measured_rates(&self) -> Option<(f64, f64)> {
        self.trajectory.measured_rates()
    }
}
