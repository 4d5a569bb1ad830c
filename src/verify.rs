//! From an instance and settings to a verdict: one call.

use crate::certificate::{Curvature, Obstruction, f_hull, obstruction};
use crate::descent::{Point, Steps, Trajectory, descend};
use crate::model::{self, Trained};
use crate::problem::{Dims, Instance};
use crate::spectrum::{Reading, Spectrum};
use crate::verdict::Claim;
use crate::{Error, Kernel, Result};
use std::ops::ControlFlow;

/// The step of gradient descent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Eta {
    /// 0.5 / |J_0|^2; 1 if |J_0| is within its error of 0.
    Auto,
    /// This number.
    Fixed(f64),
}

/// What to verify on an instance.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The blocks gradient descent moves.
    pub trained: Trained,
    /// The step.
    pub eta: Eta,
    /// How long to run.
    pub steps: Steps,
    /// Radii at which to report the curvature bound h.
    pub curvature_at: Vec<f64>,
}

impl Default for Settings {
    /// Theorem 1, eta = 0.5 / |J_0|^2, 2000 steps or to the rounding floor, h(0).
    fn default() -> Self {
        Settings {
            trained: Trained::QKV,
            eta: Eta::Auto,
            steps: Steps::UpTo(2000),
            curvature_at: vec![0.0],
        }
    }
}

/// Everything found out about one instance.
#[derive(Clone, Debug)]
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
    /// One claim per reading, in the order of [`Reading::ALL`].
    pub claims: [Claim; 4],
}

/// Verifies the claim f(M_t) <= (1 - eta beta)^t f(M_0) on one instance, for every reading of beta.
///
/// Prints nothing. `observe` sees every point of the run and cancels by breaking; pass
/// `&mut |_| ControlFlow::Continue(())` to run through.
///
/// # Errors
/// A setting that makes no sense, numbers that overflow f64, or [`Error::Cancelled`].
///
/// ```
/// use gdcert::{verify, Dims, Init, Instance, Kernel, Settings, spectrum::Reading, verdict::Verdict};
/// use std::ops::ControlFlow;
///
/// let dims = Dims { N: 2, n: 4, D: 8, d: 4, H: 3, p: 1 };
/// let instance = Instance::random(dims, Kernel::Gaussian, Init::Lazy { omega: 10.0 }, 0)?;
/// let found = verify(&instance, &Settings::default(), &mut |_| ControlFlow::Continue(()))?;
/// assert_eq!(found.claim(Reading::PerHead).verdict, Verdict::Held);
/// # Ok::<(), gdcert::Error>(())
/// ```
pub fn verify(
    instance: &Instance,
    settings: &Settings,
    observe: &mut dyn FnMut(&Point) -> ControlFlow<()>,
) -> Result<Verification> {
    let trained = settings.trained;
    if let Some(rho) = settings
        .curvature_at
        .iter()
        .find(|r| !(r.is_finite() && **r >= 0.0))
    {
        return Err(Error::input(format!(
            "the radius {rho} must be a finite number of at least 0"
        )));
    }
    let curvature = Curvature::new(instance, trained)?;
    let curvature = settings
        .curvature_at
        .iter()
        .map(|&rho| (rho, curvature.h(rho)));
    let spectrum = Spectrum::new(instance, trained)?;
    let eta = match settings.eta {
        Eta::Fixed(eta) => eta,
        // Where J_0 is not distinguishable from 0 its inverse would be noise, and nothing moves anyway.
        Eta::Auto if spectrum.jacobian_norm.lower() == 0.0 => 1.0,
        Eta::Auto => 0.5 / spectrum.jacobian_norm.value.powi(2),
    };
    let r = model::residual(instance, instance.W());
    let gradient = model::gradient(instance, instance.W());
    let norm = |block: &[nalgebra::DMatrix<f64>]| -> f64 {
        block.iter().map(|w| w.norm_squared()).sum::<f64>().sqrt()
    };
    let obstruction = obstruction(instance, trained);
    let trajectory = descend(instance, trained, eta, settings.steps, observe)?;
    let claims = Reading::ALL.map(|reading| {
        Claim::new(
            reading,
            instance.dims(),
            trained,
            &spectrum,
            obstruction.as_ref(),
            &trajectory,
        )
    });
    Ok(Verification {
        dims: instance.dims(),
        kernel: instance.kernel(),
        trained,
        residual_norm: r.iter().map(|r| r * r).sum::<f64>().sqrt(),
        grad_norms: [norm(&gradient.Q), norm(&gradient.K), norm(&gradient.V)],
        spectrum,
        curvature: curvature.collect(),
        f_hull: f_hull(instance),
        obstruction,
        trajectory,
        claims,
    })
}

impl Verification {
    /// The claim read with one beta.
    pub fn claim(&self, reading: Reading) -> &Claim {
        &self.claims[reading as usize]
    }

    /// f(M_0).
    pub fn loss0(&self) -> f64 {
        self.trajectory.points[0].loss
    }

    /// The last point of the run.
    pub fn last(&self) -> &Point {
        &self.trajectory.points[self.trajectory.points.len() - 1]
    }

    /// The rates 1 - (f_T / f_S)^{1/(T - S)} measured on the run, with T the last step whose loss is
    /// above its rounding floor: over the whole run (S = 0) and over its last quarter.
    /// `None` where nothing was measured, or the loss is not finite.
    pub fn measured_rates(&self) -> Option<(f64, f64)> {
        let points = &self.trajectory.points;
        let resolved = |p: &&Point| p.loss.is_finite() && p.loss_error < 0.1 * p.loss;
        let last = points.iter().rev().find(resolved)?;
        if last.t == 0 {
            return None;
        }
        let rate = |start: &Point| {
            if (last.loss - start.loss).abs() <= last.loss_error + start.loss_error {
                return 0.0; // not distinguishable from no change
            }
            -((last.loss / start.loss).ln() / (last.t - start.t) as f64).exp_m1()
        };
        let quarter = &points[(3 * last.t / 4).min(last.t - 1)];
        Some((rate(&points[0]), rate(quarter)))
    }
}

/// The reading that decides when none is named: `per_head` for Theorem 1 (QKV trained), `ntk` for
/// every other subset.
pub fn deciding_reading(trained: Trained) -> Reading {
    if trained == Trained::QKV {
        Reading::PerHead
    } else {
        Reading::Ntk
    }
}
