//! A model as what claims are about, and the certificates about it.

use super::Graph;
use super::model::{GraphGrounds, GraphModel};
use crate::bounds::{Obstruction, Reason};
use crate::certificate::{Claimed, Grounds, MARGIN, OrbitRecord, OwnClaim, Proven, SCHEMA, called};
use crate::settle::{Refutation, Subject};
use crate::spectrum::Reading;
use crate::{Error, Result};
use gdcert_base::files::sha256;
use gdcert_check::CertificateFile;
use gdcert_graph::{Bounds, standstill};
use gdcert_numbers::{Interval, Scalar};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::path::Path;

/// The name that the model's files have beside a certificate.
pub(super) const STEM: &str = "model";
const CENTRE: &str = "centre.safetensors";

/// A certificate about a model, as its file has it; serialized as the text of that.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Certificate(Value);

/// Nothing about its claims is looked at; an error names what no certificate about a model has.
impl TryFrom<String> for Certificate {
    type Error = String;
    fn try_from(text: String) -> std::result::Result<Self, String> {
        let file = CertificateFile::read(text.as_bytes()).map_err(|e| e.what)?;
        let json = file.certificate.to_json();
        match json["model"].is_object() {
            true => Ok(Certificate(json)),
            false => Err("is about an instance".to_owned()),
        }
    }
}

impl From<Certificate> for String {
    fn from(certificate: Certificate) -> String {
        certificate.0.to_string()
    }
}

impl Certificate {
    /// With the sentence that belongs to the numbers: sentences about proofs have one maker, the checker.
    fn new(kind: &str, model: &Value, body: Value) -> Result<Certificate> {
        let mut json = Map::new();
        json.insert("schema".into(), SCHEMA.into());
        json.insert("version".into(), env!("CARGO_PKG_VERSION").into());
        json.insert("kind".into(), kind.into());
        json.insert("model".into(), model.clone());
        if let Value::Object(body) = body {
            json.extend(body);
        }
        json.insert("statement".into(), "".into());
        let text = Value::Object(json).to_string();
        let file = CertificateFile::read(text.as_bytes());
        let file = file.map_err(|e| Error::Numerical(format!("no certificate: {}", e.what)))?;
        Ok(Certificate(file.certificate.to_json()))
    }

    /// Reads a certificate about a model. Nothing about its claims is looked at.
    ///
    /// # Errors
    /// Not JSON, another schema (named), a missing, unknown, repeated or mistyped field; a certificate about an instance.
    pub fn read(path: &Path) -> Result<Certificate> {
        let fail = |what: String| {
            Error::file(
                path,
                format!("{what}; give a certificate.json about a model that gdcert wrote"),
            )
        };
        let text = gdcert_base::input::text(path).map_err(|what| Error::file(path, what))?;
        Certificate::try_from(text).map_err(fail)
    }

    fn text_of(&self, field: &str) -> &str {
        self.0[field].as_str().unwrap_or_default()
    }

    /// `theorem_a`, `refuted` or `obstructed`.
    pub fn kind(&self) -> &str {
        self.text_of("kind")
    }

    /// What is proven, in words.
    pub fn statement(&self) -> &str {
        self.text_of("statement")
    }

    /// The name of the claim it is about.
    pub fn claim(&self) -> &str {
        self.text_of("reading")
    }

    /// The contents of its file.
    pub fn to_json(&self) -> &Value {
        &self.0
    }

    /// The text of its file.
    pub fn to_text(&self) -> Vec<u8> {
        format!("{:#}\n", self.0).into_bytes()
    }

    /// Its files by name: `certificate.json` and, for a tail, `centre.safetensors` with the blocks at M_t. The model's files belong
    /// beside them, see [`model_files`](super::model_files).
    ///
    /// # Errors
    /// A `centre` that is not P numbers.
    pub fn files(&self, graph: &Graph, centre: Option<&[f64]>) -> Result<Vec<(String, Vec<u8>)>> {
        let mut files = Vec::new();
        if let Some(centre) = centre {
            files.push((CENTRE.to_owned(), graph.point_to_file(centre)?));
        }
        files.push(("certificate.json".to_owned(), self.to_text()));
        Ok(files)
    }
}

/// The claims on a model for a step: `ntk` at its start, and the user's own.
pub(super) struct GraphClaims<'g> {
    pub graph: &'g Graph,
    pub own: &'g [OwnClaim],
    pub eta: f64,
    pub grounds: GraphGrounds<'g>,
    /// lambda_min(J J') at M_0.
    pub ntk: Interval,
    files: [(String, Vec<u8>); 2],
    model: Value,
}

impl<'g> GraphClaims<'g> {
    pub fn new(
        graph: &'g Graph,
        own: &'g [OwnClaim],
        eta: f64,
        bounds: Bounds<'g>,
    ) -> Result<Self> {
        let files = graph.to_files(STEM)?;
        let [(tensors, arrays), (file, text)] = &files;
        let model = json!({
            "file": file,
            "sha256": sha256(text),
            "tensors": {"file": tensors, "sha256": sha256(arrays)},
        });
        Ok(GraphClaims {
            graph,
            own,
            eta,
            ntk: ntk(&bounds),
            grounds: GraphGrounds::new(Some(bounds)),
            files,
            model,
        })
    }

    fn trained(&self) -> Value {
        let names = self.graph.blocks().iter().map(|block| block.name.as_str());
        names.collect::<Vec<_>>().into()
    }

    /// The certificate that gradient descent never moves, and why the independent check does not accept it, if it does not.
    pub fn standstill(&self, found: &Obstruction) -> Result<(Certificate, Option<String>)> {
        let body = json!({
            "trained": self.trained(),
            "reason": found.reason,
            "loss_lower": found.loss_lower * (1.0 - MARGIN),
            "margin": MARGIN,
        });
        let certificate = Certificate::new("obstructed", &self.model, body)?;
        let refused = self.refuses(&certificate, None)?;
        Ok((certificate, refused))
    }
}

/// Why gradient descent never moves, if its gradient at M_0 is proven to be 0 exactly, and the loss there not.
pub(super) fn obstruction(graph: &Graph) -> Option<Obstruction> {
    standstill(graph).map(|loss_lower| Obstruction {
        reason: Reason::ZeroGradient,
        loss_lower,
    })
}

/// lambda_min(J J'), enclosed.
pub(super) fn ntk(bounds: &Bounds) -> Interval {
    match bounds.sigma_min() {
        Ok(sigma) => sigma.square(),
        Err(_) => Interval::new(
            0.0,
            Interval::from_f64(bounds.jacobian_norm_upper())
                .square()
                .hi(),
        ),
    }
}

/// Checks the claims, and that what decides is one of them or `ntk`.
///
/// # Errors
/// A name that is given twice; a `deciding` that is unknown, or a reading that attention alone has.
pub(super) fn check(own: &[OwnClaim], deciding: &str) -> Result<()> {
    let of_attention = Reading::named(deciding).is_some_and(|reading| reading != Reading::Ntk);
    if of_attention {
        return Err(Error::input(format!(
            "{} is defined for attention alone; choose ntk or the name of a --claim",
            called(deciding)
        )));
    }
    OwnClaim::check(own, deciding)
}

/// What is missing for `ntk` to be above 0.
pub(super) fn missing(graph: &Graph) -> Option<String> {
    let (m, P) = (graph.m(), graph.P());
    (P < m).then(|| format!("needs at least m = {m} parameters; there are {P}"))
}

impl<'g> Subject for GraphClaims<'g> {
    type Model = GraphModel<'g>;
    type Centre = Vec<f64>;
    type Certificate = Certificate;

    fn model(&self) -> GraphModel<'g> {
        GraphModel(self.graph)
    }

    fn eta(&self) -> f64 {
        self.eta
    }

    fn claimed(&self, name: &str) -> Result<Claimed> {
        match self.own.iter().find(|own| own.name() == name) {
            Some(own) => Ok(own.at(self.eta)),
            None => Ok(Claimed::reading(Reading::Ntk, self.ntk)),
        }
    }

    fn grounds(&self) -> &dyn Grounds {
        &self.grounds
    }

    fn release(&mut self) {
        self.grounds = GraphGrounds::new(None);
    }

    fn centre(&self, weights: &[f64]) -> Result<Vec<f64>> {
        Ok(weights.to_vec())
    }

    fn rate(
        &self,
        proven: &Proven<Vec<f64>>,
        claimed: &Claimed,
        orbit: Option<OrbitRecord>,
    ) -> Result<Certificate> {
        let (inputs, closed) = proven.proof.numbers();
        let conditions = &closed.conditions;
        let (file, sha256) = match &proven.centre {
            None => {
                let tensors = &self.model["tensors"];
                (tensors["file"].clone(), tensors["sha256"].clone())
            }
            Some(M) => {
                let bytes = self.graph.point_to_file(M)?;
                (CENTRE.into(), sha256(&bytes).into())
            }
        };
        let mut body = json!({
            "trained": self.trained(),
            "centre": {"t": proven.t, "file": file, "sha256": sha256},
            "reading": claimed.name,
            "beta": claimed.upper(),
            "alpha_lower": inputs.alpha,
            "jacobian_norm_upper": inputs.jacobian,
            "residual_norm_upper": inputs.residual,
            "rho": closed.radii[0],
            "h_rho_upper": conditions.h.hi(),
            "alpha": conditions.alpha.lo(),
            "smoothness": conditions.smoothness.hi(),
            "eta": closed.eta,
            "rate_lower": conditions.rate.lo(),
            "margin": MARGIN,
        });
        if let Some(orbit) = orbit {
            body["orbit"] = json!(orbit);
        }
        Certificate::new("theorem_a", &self.model, body)
    }

    fn refutation(&self, found: Refutation) -> Result<Certificate> {
        let body = json!({
            "trained": self.trained(),
            "reading": found.name,
            "eta": self.eta,
            "beta": found.beta,
            "t": found.t,
            "loss_lower": found.loss_lower,
            "bound_upper": found.bound_upper,
            "distance": found.distance,
            "bits": found.bits,
        });
        Certificate::new("refuted", &self.model, body)
    }

    fn refuses(
        &self,
        certificate: &Certificate,
        centre: Option<&Vec<f64>>,
    ) -> Result<Option<String>> {
        let (steps, bits) = match certificate.kind() {
            "refuted" => (&certificate.0["t"], &certificate.0["bits"]),
            _ => (
                &certificate.0["orbit"]["steps"],
                &certificate.0["orbit"]["bits"],
            ),
        };
        let number = |value: &Value| u128::from(value.as_u64().unwrap_or(0));
        let words = number(bits) / 64 + 1;
        let products = crate::orbit::Model::work(&self.model())
            .into_iter()
            .map(u128::from)
            .sum::<u128>();
        let (m, P) = (self.graph.m() as u128, self.graph.P() as u128);
        let cheap =
            products * (words * words * number(steps) + m) <= CHEAP && m * P <= CHEAP_JACOBIAN;
        if !cheap {
            return Ok(None);
        }
        let mut files = self.files.to_vec();
        files.extend(certificate.files(self.graph, centre.map(Vec::as_slice))?);
        let read = |name: &str| match files.iter().find(|(file, _)| file == name) {
            Some((_, bytes)) => Ok(bytes.clone()),
            None => Err(format!("there is no file {name}")),
        };
        Ok(
            match crate::certificate::recheck_json(&certificate.0, &read)? {
                crate::certificate::Checked::Valid(_) => None,
                crate::certificate::Checked::Unproven(why) => Some(why),
            },
        )
    }
}

/// Products of words that a check may need to count as cheap.
const CHEAP: u128 = 1 << 26;

/// Entries of J for that; the checker's bounds of the curvature form derivatives of every node.
const CHEAP_JACOBIAN: u128 = 1 << 13;
