//! The files of a model's verification: `verdict.json`, `trajectory.csv` and the model's own.

use super::subject::STEM;
use super::{Certificate, Graph, Verification};
use crate::bounds::Obstruction;
use crate::verify::{ByName, ClaimRecord, OrbitFile};
use crate::{Error, Result};
use gdcert_base::files::sha256;
use gdcert_base::schema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::Path;

/// The model's two files by name: `model.json` and `model.safetensors`.
///
/// # Errors
/// None is expected.
pub fn model_files(graph: &Graph) -> Result<Vec<(String, Vec<u8>)>> {
    Ok(graph.to_files(STEM)?.into())
}

/// The model in `verdict.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelFile {
    /// Its file, beside this one.
    pub file: String,
    /// The SHA-256 of its bytes.
    pub sha256: String,
    /// The shapes of all its blocks, trained or not, by name.
    pub blocks: ByName<Vec<usize>>,
    /// The number of residuals.
    pub m: usize,
    /// The number of parameters that are trained.
    pub P: usize,
}

/// `verdict.json` of a model: what that of an instance has, where it means something.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "they are those of the file of an instance")]
pub struct VerdictFile {
    pub schema: String,
    pub version: String,
    pub command: String,
    pub model: ModelFile,
    /// The blocks that gradient descent moves.
    pub trained: Vec<String>,
    pub eta: f64,
    pub steps: usize,
    pub loss0: Option<f64>,
    pub residual_norm: Option<f64>,
    pub jacobian_norm: Option<f64>,
    pub grad_norms: ByName<Option<f64>>,
    pub betas: ByName<Option<f64>>,
    pub final_loss: Option<f64>,
    pub measured_rate: Option<f64>,
    pub measured_tail_rate: Option<f64>,
    pub deciding: String,
    #[serde(default)]
    pub obstruction: Option<Obstruction>,
    pub claims: ByName<ClaimRecord>,
    pub orbit: Option<OrbitFile>,
    pub certificate: Option<Value>,
}

impl VerdictFile {
    /// What the file says of a verification.
    ///
    /// # Errors
    /// None is expected.
    pub fn new(graph: &Graph, found: &Verification, command: &str, deciding: &str) -> Result<Self> {
        let [_, (file, text)] = graph.to_files(STEM)?;
        let blocks = graph.blocks();
        let (rate, tail_rate) = found.trajectory.measured_rates().unzip();
        let start = &found.trajectory.points[0];
        Ok(VerdictFile {
            schema: crate::verify::SCHEMA.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            command: command.to_owned(),
            model: ModelFile {
                file,
                sha256: sha256(&text),
                blocks: graph
                    .parameters()
                    .map(|(name, start)| (name.to_owned(), start.shape.clone()))
                    .collect(),
                m: graph.m(),
                P: graph.P(),
            },
            trained: blocks.iter().map(|b| b.name.clone()).collect(),
            eta: found.trajectory.eta,
            steps: found.last().t,
            loss0: Some(found.loss0()),
            residual_norm: Some(found.residual_norm),
            jacobian_norm: Some(found.jacobian_norm),
            grad_norms: blocks
                .iter()
                .zip(&start.grad_norms)
                .map(|(b, norm)| (b.name.clone(), Some(*norm)))
                .collect(),
            betas: found
                .claims
                .iter()
                .map(|claim| (claim.name.clone(), Some(claim.beta)))
                .collect(),
            final_loss: Some(found.last().loss),
            measured_rate: rate,
            measured_tail_rate: tail_rate,
            deciding: deciding.to_owned(),
            obstruction: found.obstruction,
            claims: found
                .claims
                .iter()
                .map(|claim| (claim.name.clone(), claim.into()))
                .collect(),
            orbit: found.orbit.as_ref().map(OrbitFile::from),
            certificate: found
                .certificate
                .as_ref()
                .map(Certificate::to_json)
                .cloned(),
        })
    }

    /// Whether the JSON of a verdict.json is about a model.
    pub fn is_one(json: &Value) -> bool {
        json["model"].is_object()
    }

    /// Reads a verdict file.
    ///
    /// # Errors
    /// Not a file, not JSON, a newer or another schema (named), a missing or mistyped field.
    pub fn read(path: &Path) -> Result<Self> {
        let file: VerdictFile = schema::read(path, crate::verify::SCHEMA)?;
        for name in ["ntk", &file.deciding] {
            if file.claims.get(name).is_none() || file.betas.get(name).is_none() {
                return Err(Error::file(
                    path,
                    format!(
                        "has no claim or no beta {name}; give a verdict.json that gdcert wrote"
                    ),
                ));
            }
        }
        Ok(file)
    }

    /// The file's text.
    ///
    /// # Errors
    /// None is expected.
    pub fn to_text(&self) -> Result<String> {
        schema::to_text(self)
    }
}

/// `trajectory.csv`: one row a step, with the columns `t,loss,bound_NAME,..,grad_norm,moved_BLOCK,..`; a bound that does not
/// apply is empty.
///
/// # Errors
/// None is expected.
pub fn trajectory_csv(graph: &Graph, found: &Verification) -> Result<Vec<u8>> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    let fail = |e: csv::Error| Error::Numerical(format!("cannot form trajectory.csv: {e}"));
    let mut header = vec!["t".to_owned(), "loss".to_owned()];
    header.extend(found.claims.iter().map(|c| format!("bound_{}", c.name)));
    header.push("grad_norm".to_owned());
    header.extend(graph.blocks().iter().map(|b| format!("moved_{}", b.name)));
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
        let bound = |c: &crate::verdict::Claim| c.bound(point.t, found.loss0());
        let bounds = found.claims.iter().map(bound);
        row.extend(bounds.map(|b| cell(b.unwrap_or(f64::NAN))));
        row.push(cell(gdcert_numbers::norm(&point.grad_norms)));
        row.extend(point.moved.iter().map(|x| cell(*x)));
        csv.write_record(&row).map_err(fail)?;
    }
    csv.into_inner()
        .map_err(|e| Error::Numerical(format!("cannot form trajectory.csv: {e}")))
}
