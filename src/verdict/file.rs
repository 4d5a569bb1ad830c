//! `verdict.json` and `trajectory.csv`.

use crate::Result;
use crate::certificate::Certificate;
use crate::problem::Init;
use crate::spectrum::Reading;
use crate::verify::Verification;
use serde_json::{Map, Value, json};

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

/// `verdict.json`: schema `gdcert.verdict/1`. Numbers read back bit for bit; those that are not
/// finite are null.
pub fn verdict_json(found: &Verification, origin: &Origin, deciding: Reading) -> Value {
    let betas: Map<_, _> = Reading::ALL
        .map(|r| (r.name().to_owned(), number(found.spectrum.beta(r).value)))
        .into_iter()
        .collect();
    let claims: Map<_, _> = found
        .claims
        .iter()
        .map(|c| (c.reading.name().to_owned(), json!(c)))
        .collect();
    let [gq, gk, gv] = found.grad_norms.map(number);
    let curvature: Vec<_> = found
        .curvature
        .iter()
        .map(|&(rho, h)| json!({"rho": number(rho), "h": number(h)}))
        .collect();
    let (rate, tail_rate) = found.measured_rates().unzip();
    json!({
        "schema": "gdcert.verdict/1",
        "version": env!("CARGO_PKG_VERSION"),
        "command": origin.command,
        "kernel": found.kernel,
        "trained": found.trained.to_string(),
        "dims": found.dims,
        "seed": origin.seed,
        "init": origin.init.map(|i| i.name()),
        "scale": origin.init.and_then(|i| i.scale()),
        "eta": number(found.trajectory.eta),
        "precision": found.trajectory.precision.to_string(),
        "steps": found.last().t,
        "loss0": number(found.loss0()),
        "residual_norm": number(found.residual_norm),
        "sigma_min_b0": number(found.spectrum.sigma_min_B0.value),
        "jacobian_norm": number(found.spectrum.jacobian_norm.value),
        "grad_norms": {"Q": gq, "K": gk, "V": gv},
        "betas": betas,
        "curvature": curvature,
        "f_hull": found.f_hull,
        "final_loss": number(found.last().loss),
        "measured_rate": rate,
        "measured_tail_rate": tail_rate,
        "deciding": deciding,
        "obstruction": found.obstruction,
        "claims": claims,
        "certificate": found.certificate.as_ref().map(Certificate::to_json),
    })
}

fn number(x: f64) -> Value {
    serde_json::Number::from_f64(x).map_or(Value::Null, Value::Number)
}

/// `trajectory.csv`: one row a step; a bound that does not apply, and a number that was not
/// recorded, are empty.
pub fn trajectory_csv(found: &Verification) -> Result<Vec<u8>> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    let fail = |e: csv::Error| crate::Error::Numerical(format!("cannot form trajectory.csv: {e}"));
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
        .map_err(|e| crate::Error::Numerical(format!("cannot form trajectory.csv: {e}")))
}
