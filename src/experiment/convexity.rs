//! How nearly convex the loss is where gradient descent goes, proven and measured.
//!
//! nabla^2 f = J'J + sum_a r_a D^2 F_a, so that its smallest eigenvalue is at least -|r| |D^2 F|. An enclosed orbit has such a bound
//! at every step, and Theorem A one for the whole region that holds the rest: both together hold along the whole exact orbit.
//! Eigenvalues themselves are measured, in f64, at a few steps of the run.

use crate::certificate::{Claimed, Site};
use crate::descent::Stepper;
use crate::eta::Eta;
use crate::landscape::{InstanceLoss, Loss, instance_weights};
use crate::model::{Kernel, Trained};
use crate::orbit::{self, Fate, Settings};
use crate::problem::{Init, Instance};
use crate::spectrum::{Spectrum, deciding_reading};
use crate::{Error, Result};
use faer::Mat;
use gdcert_numbers::linalg::eigenvalues;
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;

/// Steps of the run at which the Hessian is measured: M_0, and these shares of the last.
const SHARES: [f64; 5] = [0.0, 0.02, 0.1, 0.3, 1.0];

/// What is known of one lazy instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Convexity {
    /// The kernel.
    pub kernel: Kernel,
    /// The size omega of the output weights.
    pub omega: f64,
    /// The seed of the draw.
    pub seed: u64,
    /// |J_0|^2, what eigenvalues are compared with.
    pub jacobian_norm_squared: f64,
    /// T: Theorem A closes around M_T, and up to there the exact orbit is enclosed; `None`: it is not certified.
    pub certified_from: Option<usize>,
    /// Along the whole exact orbit the smallest eigenvalue of the Hessian is at least this; proven.
    pub hessian_lower: Option<f64>,
    /// The radius of the region around M_0 that holds the whole orbit, where Theorem A closes at M_0; proven.
    pub region: Option<f64>,
    /// The smallest eigenvalue at M_0 and the smallest one at a few steps of the run, measured.
    pub hessian_start: f64,
    /// See `hessian_start`.
    pub hessian_run: f64,
    /// The largest |M_t - M_0| of the run.
    pub moved: f64,
    /// |M_0| over the trained blocks.
    pub start_norm: f64,
    /// Steps of the run.
    pub steps: usize,
    /// f at its end over f_0.
    pub final_loss_relative: f64,
}

/// Proves and measures it for an instance with the lazy initialization, all blocks trained, eta = 0.5 / |J_0|^2.
///
/// # Errors
/// As [`Instance::random`] and [`certify`](crate::certify()); [`Error::Cancelled`] if `observe` breaks.
pub fn convexity(
    dims: crate::Dims,
    kernel: Kernel,
    omega: f64,
    seed: u64,
    steps: usize,
    observe: &mut dyn FnMut() -> ControlFlow<()>,
) -> Result<Convexity> {
    let instance = Instance::random(dims, kernel, Init::Lazy { omega }, seed)?;
    let trained = Trained::QKV;
    let site = Site::new(&instance, trained);
    let mut spectrum = Spectrum::new(&instance, trained)?;
    let eta = Eta::auto(&site, &mut spectrum.jacobian_norm)?;
    let reading = deciding_reading(trained);
    let claims = [Claimed::reading(reading, site.enclosure().beta(reading))];
    let watch = &mut |_: usize| observe();
    let orbit = match orbit::enclose_with(
        &instance,
        trained,
        eta,
        &claims,
        steps,
        &Settings::QUICK,
        watch,
    ) {
        Ok(orbit) => Some(orbit),
        Err(Error::Cancelled) => return Err(Error::Cancelled),
        // Nothing to claim, or not one step: nothing is proven.
        Err(_) => None,
    };
    let (mut certified_from, mut hessian_lower, mut region) = (None, None, None);
    if let Some(orbit) = &orbit
        && let (Some(Fate::Certified { t }), Some(tail)) =
            (orbit.fate(reading), orbit.tail(reading))
    {
        certified_from = Some(t);
        let along = if t == 0 { 0.0 } else { orbit.hessian_lower };
        hessian_lower = Some(along.min(tail.proof.hessian_lower()));
        region = (t == 0).then(|| tail.proof.region());
    }

    let mut stepper = Stepper::new(&instance, trained);
    let f0 = stepper.evaluate();
    let (mut moved, mut last) = (0.0f64, f0);
    let mut hessians = Vec::new();
    let wanted = SHARES.map(|share| (share * steps as f64).round() as usize);
    for t in 0..=steps {
        if t > 0 {
            stepper.step(eta);
            last = stepper.evaluate();
        }
        if !last.is_finite() {
            return Err(Error::Numerical(format!(
                "gradient descent from omega = {omega} diverges; choose a smaller step"
            )));
        }
        let [q, k, v] = stepper.moved();
        moved = moved.max(q.hypot(k).hypot(v));
        if wanted.contains(&t) {
            if observe().is_break() {
                return Err(Error::Cancelled);
            }
            hessians.push(smallest_eigenvalue(&instance, &stepper.weights())?);
        }
    }
    let start: f64 = instance_weights(instance.W()).iter().map(|w| w * w).sum();
    Ok(Convexity {
        kernel,
        omega,
        seed,
        jacobian_norm_squared: spectrum.jacobian_norm.value.powi(2),
        certified_from,
        hessian_lower,
        region,
        hessian_start: hessians[0],
        hessian_run: hessians.iter().copied().fold(f64::INFINITY, f64::min),
        moved,
        start_norm: start.sqrt(),
        steps,
        final_loss_relative: last / f0,
    })
}

/// Of the Hessian over W^Q, W^K and W^V, formed column by column.
fn smallest_eigenvalue(instance: &Instance, W: &crate::Weights) -> Result<f64> {
    let mut loss = InstanceLoss::new(instance);
    let weights = instance_weights(W);
    let size = weights.len();
    let mut hessian = Mat::zeros(size, size);
    let mut unit = vec![0.0; size];
    for i in 0..size {
        unit[i] = 1.0;
        let column = loss.hessian_times(&weights, &unit)?;
        hessian.col_as_slice_mut(i).copy_from_slice(&column);
        unit[i] = 0.0;
    }
    // Symmetric up to rounding; its lower triangle is used.
    let values = eigenvalues(&hessian)?;
    Ok(values.into_iter().fold(f64::INFINITY, f64::min))
}

/// A row for each, with a header.
///
/// # Errors
/// None is expected.
pub fn convexity_csv(all: &[Convexity]) -> Result<Vec<u8>> {
    let fail = |e: String| Error::Numerical(format!("cannot form a row: {e}"));
    let mut csv = csv::Writer::from_writer(Vec::new());
    for row in all {
        csv.serialize(row).map_err(|e| fail(e.to_string()))?;
    }
    csv.into_inner().map_err(|e| fail(e.to_string()))
}
