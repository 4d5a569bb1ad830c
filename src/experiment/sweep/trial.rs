//! From a trial to its row.

use super::plan::{Certify, Plan, Trial};
use super::row::{ReadingRow, Row};
use crate::bounds::Reason;
use crate::certificate::Certificate;
use crate::descent::{End, fits_lanes};
use crate::model::Trained;
use crate::orbit;
use crate::problem::Instance;
use crate::spectrum::{Reading, deciding_reading, jacobian_norm};
use crate::verdict::Verdict;
use crate::verify::{Eta, Event, Settings, Verification, verify_lanes, verify_with};
use crate::{Error, Result};
use gdcert_base::printable::spreadsheet;
use std::ops::ControlFlow;

/// Whether trials of these sizes may be carried out together, if they have the same shape, as many as there are lanes.
pub(super) fn together(plan: &Plan, trials: &[Trial]) -> bool {
    plan.certify == Certify::Nothing && trials.iter().all(|trial| fits_lanes(trial.dims))
}

/// Carries out trials: one, or as many as [`together`] allows. What goes wrong with a trial's numbers is part of its row.
///
/// # Errors
/// [`Error::Cancelled`] if `observe` breaks.
pub(super) fn carry_out(
    plan: &Plan,
    trials: &[Trial],
    observe: &dyn Fn() -> ControlFlow<()>,
) -> Result<Vec<Row>> {
    let instances: Vec<Instance> = trials.iter().map(Trial::instance).collect::<Result<_>>()?;
    let found = if together(plan, trials) {
        let multiples: Vec<f64> = trials.iter().map(|trial| trial.eta_multiple).collect();
        let trained = trials[0].trained;
        verify_lanes(&instances, trained, &multiples, plan.steps, &mut || {
            observe()
        })?
    } else {
        let one = |(trial, instance)| alone(plan, trial, instance, observe);
        trials.iter().zip(&instances).map(one).collect()
    };
    let mut rows = Vec::with_capacity(trials.len());
    for ((trial, instance), found) in trials.iter().zip(&instances).zip(found) {
        let mut row = Row::of(trial);
        let filled = found.and_then(|found| {
            let norm_q = match trial.trained {
                Trained::Q => found.spectrum.jacobian_norm,
                _ => jacobian_norm(instance, Trained::Q)?,
            };
            row.fill(&found, norm_q.value);
            Ok(())
        });
        match filled {
            Err(Error::Cancelled) => return Err(Error::Cancelled),
            Err(other) => {
                row.error = Some(spreadsheet(&other.to_string()).into_owned());
                // Without a step there is no run, but what is known at M_0 stays.
                let norm_q = jacobian_norm(instance, Trained::Q).ok();
                row.jacobian_norm_q = norm_q.and_then(|norm| finite(norm.value));
            }
            Ok(()) => {}
        }
        rows.push(row);
    }
    Ok(rows)
}

fn alone(
    plan: &Plan,
    trial: &Trial,
    instance: &Instance,
    observe: &dyn Fn() -> ControlFlow<()>,
) -> Result<Verification> {
    let settings = Settings {
        trained: trial.trained,
        eta: Eta::Relative(trial.eta_multiple),
        steps: plan.steps,
        orbit: (plan.certify == Certify::Orbit).then_some(orbit::Settings::QUICK),
        certify: plan.certify != Certify::Nothing,
        curvature_at: Vec::new(),
        ..Settings::default()
    };
    verify_with(instance, &settings, &mut |event| match event {
        // Small steps take less time than a look at the flag.
        Event::Point(point) if !point.t.is_multiple_of(16) => ControlFlow::Continue(()),
        _ => observe(),
    })
}

impl Row {
    /// The settings alone.
    fn of(trial: &Trial) -> Row {
        Row {
            trial: trial.index,
            dims: trial.dims,
            kernel: trial.kernel,
            trained: trial.trained,
            init: trial.init.name().to_owned(),
            scale: trial.init.scale(),
            logit_scale: trial.logit_scale,
            eta_multiple: trial.eta_multiple,
            seed: trial.seed,
            eta: None,
            steps: None,
            end: None,
            loss0: None,
            final_loss: None,
            final_loss_relative: None,
            f_hull: None,
            sigma_min_b0: None,
            jacobian_norm: None,
            jacobian_norm_q: None,
            grad_norm_q: None,
            measured_rate: None,
            measured_tail_rate: None,
            readings: Default::default(),
            certificate: None,
            certificate_t: None,
            orbit_steps: None,
            orbit_bits: None,
            orbit_log2_growth: None,
            orbit_run_distance: None,
            refuted: None,
            open: None,
            error: None,
        }
    }

    fn fill(&mut self, found: &Verification, norm_q: f64) {
        let last = found.last();
        let (rate, tail_rate) = found.measured_rates().unzip();
        self.eta = finite(found.trajectory.eta);
        self.steps = Some(last.t as u64);
        self.end = Some(end(found.trajectory.end).to_owned());
        self.loss0 = finite(found.loss0());
        self.final_loss = finite(last.loss);
        self.final_loss_relative = finite(last.loss / found.loss0());
        self.f_hull = found.f_hull.and_then(finite);
        self.sigma_min_b0 = finite(found.spectrum.sigma_min_B0.value);
        self.jacobian_norm = finite(found.spectrum.jacobian_norm.value);
        self.jacobian_norm_q = finite(norm_q);
        self.grad_norm_q = finite(found.grad_norms[0]);
        self.measured_rate = rate.and_then(finite);
        self.measured_tail_rate = tail_rate.and_then(finite);
        self.readings = Reading::ALL.map(|reading| {
            let claim = found.claim(reading);
            let claimed = claim.applies().then_some(claim.rate);
            ReadingRow {
                beta: finite(found.spectrum.beta(reading).value),
                verdict: Some(claim.verdict),
                rate: claimed.and_then(finite),
                tightness: rate
                    .zip(claimed)
                    .and_then(|(rate, claimed)| finite(rate / claimed)),
                min_slack: claim.min_slack.and_then(finite),
                first_violation: claim.first_violation.map(|t| t as u64),
                checked_to: claimed.map(|_| claim.checked_to as u64),
                proven_to: claim.proven_to.map(|t| t as u64),
            }
        });
        if let Some(obstruction) = &found.obstruction {
            self.certificate = Some(
                match obstruction.reason {
                    Reason::Hull => "hull",
                    Reason::ZeroGradient => "zero_gradient",
                }
                .to_owned(),
            );
        } else if let Some(proven) = &found.proven {
            let from_start =
                matches!(&found.certificate, Some(Certificate::TheoremA(c)) if c.orbit.is_some());
            self.certificate = Some(if from_start { "orbit" } else { "theorem_a" }.to_owned());
            self.certificate_t = Some(proven.t as u64);
        }
        if let Some(orbit) = &found.orbit {
            self.orbit_steps = Some(orbit.steps as u64);
            self.orbit_bits = Some(orbit.bits as u64);
            self.orbit_log2_growth = finite(orbit.log2_growth);
            self.orbit_run_distance = finite(orbit.run_distance);
            let deciding = found.claim(deciding_reading(found.trained));
            if !matches!(deciding.verdict, Verdict::Certified | Verdict::Refuted) {
                self.open = orbit
                    .stopped
                    .as_deref()
                    .map(|why| spreadsheet(why).into_owned());
            }
        }
        let refuted = Reading::ALL.into_iter();
        let refuted = refuted.filter(|&reading| found.claim(reading).verdict == Verdict::Refuted);
        let names: Vec<_> = refuted.map(Reading::name).collect();
        self.refuted = (!names.is_empty()).then(|| names.join(" "));
    }
}

fn finite(x: f64) -> Option<f64> {
    x.is_finite().then_some(x)
}

fn end(end: End) -> &'static str {
    match end {
        End::Steps => "steps",
        End::Floor => "floor",
        End::Diverged => "diverged",
    }
}
