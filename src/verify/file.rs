//! `verdict.json` and `trajectory.csv`.

use crate::bounds::Obstruction;
use crate::certificate::Certificate;
use crate::model::{Kernel, Precision, Trained};
use crate::problem::{Dims, Init};
use crate::spectrum::Reading;
use crate::spectrum::deciding_reading;
use crate::verdict::{Claim, Verdict};
use crate::verify::{ByName, Verification};
use crate::{Error, Result};
use gdcert_base::schema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::Path;

/// Where an instance came from and how it was run: what a file needs beside the numbers.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The command line that was run.
    pub command: String,
    /// The seed, for a drawn instance.
    pub seed: Option<u64>,
    /// The scheme, for a drawn instance.
    pub init: Option<Init>,
}

/// The schema this version writes.
const SCHEMA: &str = "gdcert.verdict/1";

/// A value for each of W^Q, W^K, W^V.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ByBlock<T> {
    /// For W^Q.
    pub Q: T,
    /// For W^K.
    pub K: T,
    /// For W^V.
    pub V: T,
}

/// The curvature bound h at a radius.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Radius {
    /// The radius.
    pub rho: Option<f64>,
    /// h(rho).
    pub h: Option<f64>,
}

/// One claim's verdict, as the file has it; the fields are those of [`Claim`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "they are those of Claim")]
pub struct ClaimRecord {
    pub verdict: Verdict,
    pub rate: Option<f64>,
    pub reason: String,
    pub checked_to: usize,
    pub first_violation: Option<usize>,
    pub min_slack: Option<f64>,
    pub floor_at: Option<usize>,
    #[serde(default)]
    pub proven_to: Option<usize>,
}

impl From<&Claim> for ClaimRecord {
    fn from(claim: &Claim) -> Self {
        ClaimRecord {
            verdict: claim.verdict,
            rate: Some(claim.rate),
            reason: claim.reason.clone(),
            checked_to: claim.checked_to,
            first_violation: claim.first_violation,
            min_slack: claim.min_slack,
            floor_at: claim.floor_at,
            proven_to: claim.proven_to,
        }
    }
}

/// The enclosed orbit of exact gradient descent from M_0, as the file has it; the fields are those of
/// [`Orbit`](crate::orbit::Orbit).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct OrbitFile {
    /// The last enclosed step.
    pub steps: usize,
    /// The bits after the point.
    pub bits: usize,
    /// log2 of a bound on the growth of errors up to there.
    pub log2_growth: Option<f64>,
    /// How far the enclosure's point there can be from the exact one.
    pub distance: Option<f64>,
    /// How far the run in f64 can be from the exact orbit there.
    pub run_distance: Option<f64>,
}

/// `verdict.json`. Numbers read back bit for bit; those that are not finite are null, here `None` once read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VerdictFile {
    /// `gdcert.verdict/1`.
    pub schema: String,
    /// The version that wrote it.
    pub version: String,
    /// The command line that was run.
    pub command: String,
    /// The attention kernel.
    pub kernel: Kernel,
    /// The blocks gradient descent moved.
    pub trained: Trained,
    /// The sizes.
    pub dims: Dims,
    /// The seed, for a drawn instance.
    pub seed: Option<u64>,
    /// The initialization, for a drawn instance.
    pub init: Option<String>,
    /// Its scale, if it has one.
    pub scale: Option<f64>,
    /// The step.
    pub eta: Option<f64>,
    /// The arithmetic of the run.
    #[serde(default)]
    pub precision: Precision,
    /// Steps that were run.
    pub steps: usize,
    /// f(M_0).
    pub loss0: Option<f64>,
    /// |r_0|.
    pub residual_norm: Option<f64>,
    /// sigma_min(B_0).
    pub sigma_min_b0: Option<f64>,
    /// |J_0| over the trained blocks.
    pub jacobian_norm: Option<f64>,
    /// |df/dW|_F at M_0, trained or not.
    pub grad_norms: ByBlock<Option<f64>>,
    /// The four betas at M_0, whether or not the reading applies, and those of the user's own claims.
    pub betas: ByName<Option<f64>>,
    /// h at the radii asked for.
    pub curvature: Vec<Radius>,
    /// The hull bound (softmax only).
    pub f_hull: Option<f64>,
    /// f(M_T).
    pub final_loss: Option<f64>,
    /// The rate measured over the run; see [`Verification::measured_rates`].
    #[serde(default)]
    pub measured_rate: Option<f64>,
    /// The rate measured over its last quarter.
    #[serde(default)]
    pub measured_tail_rate: Option<f64>,
    /// The name of the reading or claim that decided.
    #[serde(default)]
    pub deciding: Option<String>,
    /// Why no convergence to 0 is possible, if that was proven.
    #[serde(default)]
    pub obstruction: Option<Obstruction>,
    /// One verdict a reading, then one for each claim of the user's own.
    pub claims: ByName<ClaimRecord>,
    /// The exact orbit, if it was enclosed.
    #[serde(default)]
    pub orbit: Option<OrbitFile>,
    /// What `certificate.json` holds, if there is one.
    pub certificate: Option<Value>,
}

impl VerdictFile {
    /// What the file says of a verification.
    pub fn new(found: &Verification, origin: &Origin, deciding: &str) -> Self {
        let (rate, tail_rate) = found.measured_rates().unzip();
        let [Q, K, V] = found.grad_norms.map(Some);
        let radius = |&(rho, h): &(f64, f64)| Radius {
            rho: Some(rho),
            h: Some(h),
        };
        VerdictFile {
            schema: SCHEMA.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            command: origin.command.clone(),
            kernel: found.kernel,
            trained: found.trained,
            dims: found.dims,
            seed: origin.seed,
            init: origin.init.map(|i| i.name().to_owned()),
            scale: origin.init.and_then(|i| i.scale()),
            eta: Some(found.trajectory.eta),
            precision: found.trajectory.precision,
            steps: found.last().t,
            loss0: Some(found.loss0()),
            residual_norm: Some(found.residual_norm),
            sigma_min_b0: Some(found.spectrum.sigma_min_B0.value),
            jacobian_norm: Some(found.spectrum.jacobian_norm.value),
            grad_norms: ByBlock { Q, K, V },
            betas: found
                .claims
                .iter()
                .map(|claim| (claim.name.clone(), Some(claim.beta)))
                .collect(),
            curvature: found.curvature.iter().map(radius).collect(),
            f_hull: found.f_hull,
            final_loss: Some(found.last().loss),
            measured_rate: rate,
            measured_tail_rate: tail_rate,
            deciding: Some(deciding.to_owned()),
            obstruction: found.obstruction,
            claims: found
                .claims
                .iter()
                .map(|claim| (claim.name.clone(), claim.into()))
                .collect(),
            orbit: found.orbit.as_ref().map(|orbit| OrbitFile {
                steps: orbit.steps,
                bits: orbit.bits,
                log2_growth: Some(orbit.log2_growth),
                distance: Some(orbit.distance),
                run_distance: Some(orbit.run_distance),
            }),
            certificate: found.certificate.as_ref().map(Certificate::to_json),
        }
    }

    /// The file's text.
    ///
    /// # Errors
    /// None is expected.
    pub fn to_text(&self) -> Result<String> {
        schema::to_text(self)
    }

    /// Reads a verdict file; fields that came later may be missing.
    ///
    /// # Errors
    /// Not a file, not JSON, a newer or another schema (named), a missing or mistyped field.
    pub fn read(path: &Path) -> Result<Self> {
        let file: VerdictFile = schema::read(path, SCHEMA)?;
        let mut needed: Vec<&str> = Reading::ALL.into_iter().map(Reading::name).collect();
        needed.push(file.deciding());
        let missing = needed.into_iter().find_map(|name| {
            let claim = file.claims.get(name).is_none().then_some("claims");
            let beta = file.betas.get(name).is_none().then_some("betas");
            claim.or(beta).map(|of| format!("{of}.{name}"))
        });
        match missing {
            None => Ok(file),
            Some(field) => Err(Error::file(
                path,
                format!("`{field}` is missing; give a verdict.json that gdcert wrote"),
            )),
        }
    }

    /// The name of the reading or claim that decided; of an old file the one that decides when none is named.
    pub fn deciding(&self) -> &str {
        let default = || deciding_reading(self.trained).name();
        self.deciding.as_deref().unwrap_or_else(default)
    }
}

/// `trajectory.csv`: one row a step; a bound that does not apply, and a number that was not
/// recorded, are empty. Bounds of the user's own claims stand at the end.
pub fn trajectory_csv(found: &Verification) -> Result<Vec<u8>> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    let fail = |e: csv::Error| Error::Numerical(format!("cannot form trajectory.csv: {e}"));
    let (readings, own) = found.claims.split_at(Reading::ALL.len());
    let bounds = |claims: &[Claim]| -> Vec<String> {
        claims.iter().map(|c| format!("bound_{}", c.name)).collect()
    };
    let mut header = vec!["t".to_owned(), "loss".to_owned()];
    header.extend(bounds(readings));
    let numbers = [
        "grad_norm_q",
        "grad_norm_k",
        "grad_norm_v",
        "sigma_min_b",
        "moved_q",
        "moved_k",
        "moved_v",
    ];
    header.extend(numbers.map(str::to_owned));
    header.extend(bounds(own));
    csv.write_record(&header).map_err(fail)?;
    let cell = |x: f64| {
        if x.is_nan() {
            String::new()
        } else {
            format!("{x:e}")
        }
    };
    for point in &found.trajectory.points {
        let mut row = vec![point.t.to_string(), format!("{:e}", point.loss)];
        let bound = |c: &Claim| cell(c.bound(point.t, found.loss0()).unwrap_or(f64::NAN));
        row.extend(readings.iter().map(bound));
        row.extend(point.grad_norms.map(cell));
        row.push(cell(point.sigma_min_B.unwrap_or(f64::NAN)));
        row.extend(point.moved.map(cell));
        row.extend(own.iter().map(bound));
        csv.write_record(&row).map_err(fail)?;
    }
    csv.into_inner()
        .map_err(|e| Error::Numerical(format!("cannot form trajectory.csv: {e}")))
}
