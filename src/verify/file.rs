//! `verdict.json` and `trajectory.csv`.

use crate::bounds::Obstruction;
use crate::certificate::Certificate;
use crate::model::{Kernel, Precision, Trained};
use crate::problem::{Dims, Init};
use crate::spectrum::Reading;
use crate::spectrum::deciding_reading;
use crate::verdict::{Claim, Verdict};
use crate::verify::Verification;
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

/// A value for each reading of beta.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ByReading<T> {
    /// See [`Reading::Stacked`].
    pub stacked: T,
    /// See [`Reading::PerHead`].
    pub per_head: T,
    /// See [`Reading::Value`].
    pub value: T,
    /// See [`Reading::Ntk`].
    pub ntk: T,
}

impl<T> ByReading<T> {
    fn new(of: impl Fn(Reading) -> T) -> Self {
        ByReading {
            stacked: of(Reading::Stacked),
            per_head: of(Reading::PerHead),
            value: of(Reading::Value),
            ntk: of(Reading::Ntk),
        }
    }

    /// The value for this reading.
    pub fn get(&self, reading: Reading) -> &T {
        match reading {
            Reading::Stacked => &self.stacked,
            Reading::PerHead => &self.per_head,
            Reading::Value => &self.value,
            Reading::Ntk => &self.ntk,
        }
    }
}

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

/// One reading's verdict, as the file has it; the fields are those of [`Claim`].
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
    /// The four betas at M_0, whether or not the reading applies.
    pub betas: ByReading<Option<f64>>,
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
    /// The reading that decided.
    #[serde(default)]
    pub deciding: Option<Reading>,
    /// Why no convergence to 0 is possible, if that was proven.
    #[serde(default)]
    pub obstruction: Option<Obstruction>,
    /// One verdict a reading.
    pub claims: ByReading<ClaimRecord>,
    /// The exact orbit, if it was enclosed.
    #[serde(default)]
    pub orbit: Option<OrbitFile>,
    /// What `certificate.json` holds, if there is one.
    pub certificate: Option<Value>,
}

impl VerdictFile {
    /// What the file says of a verification.
    pub fn new(found: &Verification, origin: &Origin, deciding: Reading) -> Self {
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
            betas: ByReading::new(|reading| Some(found.spectrum.beta(reading).value)),
            curvature: found.curvature.iter().map(radius).collect(),
            f_hull: found.f_hull,
            final_loss: Some(found.last().loss),
            measured_rate: rate,
            measured_tail_rate: tail_rate,
            deciding: Some(deciding),
            obstruction: found.obstruction,
            claims: ByReading::new(|reading| found.claim(reading).into()),
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
        schema::read(path, SCHEMA)
    }

    /// The reading that decided; of an old file the one that decides when none is named.
    pub fn deciding(&self) -> Reading {
        self.deciding.unwrap_or(deciding_reading(self.trained))
    }
}

/// `trajectory.csv`: one row a step; a bound that does not apply, and a number that was not
/// recorded, are empty.
pub fn trajectory_csv(found: &Verification) -> Result<Vec<u8>> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    let fail = |e: csv::Error| Error::Numerical(format!("cannot form trajectory.csv: {e}"));
    csv.write_record([
        "t",
        "loss",
        "bound_stacked",
        "bound_per_head",
        "bound_value",
        "bound_ntk",
        "grad_norm_q",
        "grad_norm_k",
        "grad_norm_v",
        "sigma_min_b",
        "moved_q",
        "moved_k",
        "moved_v",
    ])
    .map_err(fail)?;
    let cell = |x: f64| {
        if x.is_nan() {
            String::new()
        } else {
            format!("{x:e}")
        }
    };
    for point in &found.trajectory.points {
        let mut row = vec![point.t.to_string(), format!("{:e}", point.loss)];
        let bounds = found.claims.iter().map(|c| c.bound(point.t, found.loss0()));
        row.extend(bounds.map(|b| cell(b.unwrap_or(f64::NAN))));
        row.extend(point.grad_norms.map(cell));
        row.push(cell(point.sigma_min_B.unwrap_or(f64::NAN)));
        row.extend(point.moved.map(cell));
        csv.write_record(&row).map_err(fail)?;
    }
    csv.into_inner()
        .map_err(|e| Error::Numerical(format!("cannot form trajectory.csv: {e}")))
}
