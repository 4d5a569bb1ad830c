//! One run held against the bound, as cheaply as a search needs it.

use super::{CLEAR, Search};
use crate::bounds::obstruction;
use crate::certificate::Site;
use crate::descent::{DIVERGED, FLOOR_SHARE, Stepper};
use crate::eta::Eta;
use crate::model::Precision;
use crate::model::rounding::{Rounding, block_norms};
use crate::problem::Instance;
use crate::spectrum::{Reading, Spectrum};

/// How near a run came to violating the reading.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trial {
    /// The smallest log(f_t / f_0) / log(bound_t / f_0) over t >= 1: measured decay over claimed decay, below 1 where
    /// the bound is exceeded. At least 1e9, and infinite, where nothing was compared.
    pub ratio: f64,
    /// The smallest log(bound_t / f_t) over t >= 1; negative where the bound is exceeded.
    pub slack: f64,
    /// The first t at which f_t exceeds the bound by [`CLEAR`], if the loss has not risen by then and, for `stacked`, if the
    /// run satisfies the bound of `per_head`.
    pub violated_at: Option<usize>,
}

/// Ratios from here on are no ratios: the instance is obstructed, and this says how far from not being it.
pub(super) const OUT_OF_REACH: f64 = 1e9;

impl Trial {
    /// The reading does not apply, or no step could be compared.
    const NOTHING: Trial = Trial {
        ratio: f64::INFINITY,
        slack: f64::INFINITY,
        violated_at: None,
    };

    /// Whether the bound was clearly exceeded.
    pub(super) fn violates(&self) -> bool {
        self.violated_at.is_some()
    }

    /// Whether something was compared.
    pub(super) fn compared(&self) -> bool {
        self.ratio < OUT_OF_REACH
    }

    /// Runs gradient descent with eta = 0.5 / |J_0|^2 for the search's steps, or until the bound is clearly exceeded, the loss rises or reaches its
    /// rounding floor.
    pub(super) fn run(search: &Search, instance: &Instance) -> Trial {
        let reading = search.reading;
        if reading
            .missing_hypothesis(instance.dims(), search.trained)
            .is_some()
        {
            return Trial::NOTHING;
        }
        let mut stepper = Stepper::new(instance, search.trained);
        let f0 = stepper.evaluate();
        if !(f0.is_finite() && f0 > 0.0) {
            return Trial::NOTHING;
        }
        if let Some(obstruction) = obstruction(instance, search.trained) {
            return Trial {
                ratio: OUT_OF_REACH * (1.0 + obstruction.loss_lower / f0),
                ..Trial::NOTHING
            };
        }
        let site = Site::new(instance, search.trained);
        let Ok(mut spectrum) = Spectrum::new(instance, search.trained) else {
            return Trial::NOTHING;
        };
        // Where J_0 is not known no step is asked for.
        let Ok(eta) = Eta::auto(&site, &mut spectrum.jacobian_norm) else {
            return Trial::NOTHING;
        };
        let mut known = |reading| {
            if spectrum.beta(reading).lower() <= 0.0 {
                let beta = site.enclosure().beta(reading);
                spectrum.enclose(reading, beta.lo(), beta.hi());
            }
            spectrum.beta(reading)
        };
        let beta = known(reading);
        if beta.lower() <= 0.0 || eta * beta.upper() >= 1.0 {
            return Trial::NOTHING;
        }
        // The weakest claim that beta's error allows.
        let per_step = (-eta * beta.lower()).ln_1p();
        if per_step == 0.0 {
            return Trial::NOTHING;
        }
        let per_head = match reading {
            Reading::Stacked => known(Reading::PerHead),
            _ => beta,
        };
        let needed = match reading {
            Reading::Stacked if per_head.lower() <= 0.0 => return Trial::NOTHING,
            Reading::Stacked => Some((-eta * per_head.upper()).ln_1p()),
            _ => None,
        };

        let rounding = Rounding::new(instance, Precision::F64);
        let mut norms = block_norms(instance.W());
        let mut before = f0;
        let mut trial = Trial::NOTHING;
        for t in 1..=search.steps {
            stepper.step(eta);
            let f = stepper.evaluate();
            norms.clear();
            norms.extend(stepper.block_norms());
            let error = rounding.loss(f, rounding.residual(&norms));
            let measured = (f / f0).ln();
            let fell = f <= before * (1.0 + 1e-12) && f < DIVERGED * f0;
            if !(fell && error <= FLOOR_SHARE * f) {
                break;
            }
            before = f;
            let known = |exponent: f64| error <= FLOOR_SHARE * f0 * exponent.exp();
            if let Some(needed) = needed.map(|per_step| t as f64 * per_step)
                && known(needed)
                && measured > needed
            {
                return Trial::NOTHING;
            }
            let claimed = t as f64 * per_step;
            if trial.violates() || !known(claimed) {
                continue;
            }
            let slack = claimed - measured;
            trial.slack = trial.slack.min(slack);
            trial.ratio = trial.ratio.min(measured / claimed);
            if slack < -CLEAR {
                trial.violated_at = Some(t);
                if needed.is_none() {
                    break;
                }
            }
        }
        trial
    }
}
