//! `certificate.json`: what a certificate claims, number by number.
//!
//! The file is a claim, not a proof that must be trusted: everything in it but the choices `rho`, `eta` and the
//! box's radii is an inequality about the instance file beside it, and `gdcert check` re-proves each of them.

use crate::bounds::{Blocks, Reason};
use crate::model::{Kernel, Trained};
use crate::{Error, Result};
use gdcert_base::input;
use gdcert_base::schema::readable;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use std::path::Path;

/// The schema this version writes and reads.
pub const SCHEMA: &str = "gdcert.certificate/1";

/// Every bound in a certificate is relaxed outward by this relative margin, 2^-20, and the conditions
/// hold with the relaxed numbers: a checker with other roundings can re-prove them.
pub const MARGIN: f64 = 1.0 / (1u64 << 20) as f64;

/// A file the certificate is about, beside it in the same folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileRef {
    /// Its name.
    pub file: String,
    /// The SHA-256 of its bytes, in hexadecimal.
    pub sha256: String,
}

/// The point M_t that the proof starts from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Centre {
    /// Steps of gradient descent from the instance's weights; at 0 the file is the instance itself.
    pub t: usize,
    /// The instance file that holds the weights M_t.
    pub file: String,
    /// The SHA-256 of its bytes, in hexadecimal.
    pub sha256: String,
}

/// One number for each of W^Q, W^K, W^V; 0 for a block that is not trained.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PerBlock {
    /// For W^Q.
    pub Q: f64,
    /// For W^K.
    pub K: f64,
    /// For W^V.
    pub V: f64,
}

impl From<Blocks<f64>> for PerBlock {
    fn from([Q, K, V]: Blocks<f64>) -> Self {
        PerBlock { Q, K, V }
    }
}

impl From<PerBlock> for Blocks<f64> {
    fn from(blocks: PerBlock) -> Self {
        [blocks.Q, blocks.K, blocks.V]
    }
}

/// The box of Theorem A' in the place of the ball of Theorem A (`proofs-checks/sharper.md`).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Box3 {
    /// A: the trained blocks whose smallest singular value `alpha_lower` bounds.
    pub resolved: Trained,
    /// How far each block may move (Frobenius norm).
    pub radii: PerBlock,
    /// |J_b(M_c)| from above.
    pub jacobian_norms_upper: PerBlock,
}

/// The exact orbit from M_0 up to the centre of a tail.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrbitRecord {
    /// T, the step of the centre.
    pub steps: usize,
    /// Exact gradient descent from the instance's weights is within this of the centre at t = T (all trained blocks, Frobenius
    /// norm). Theorem A closes around every such point.
    pub distance: f64,
    /// The bits after the point with which it was enclosed; nothing rests on it.
    pub bits: usize,
}

/// Theorem A closes at the centre: f_{t+1} <= (1 - rate_lower) f_t for every t from there on, which covers the claim
/// of one reading.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TheoremA {
    /// The instance, with the weights M_0.
    pub instance: FileRef,
    /// Its kernel.
    pub kernel: Kernel,
    /// The blocks gradient descent moves.
    pub trained: Trained,
    /// Where the proof starts.
    pub centre: Centre,
    /// Which beta the claim is read with: a [`Reading`](crate::spectrum::Reading) by its name, or a claim of the user's own.
    pub reading: String,
    /// beta at M_0 from above; of a claim of the user's own the number that is claimed.
    pub beta: f64,
    /// sigma_min(J(M_c)') from below (of the blocks in `box.resolved`, if there is a box).
    pub alpha_lower: f64,
    /// |J(M_c)| over the trained blocks from above.
    pub jacobian_norm_upper: f64,
    /// |r(M_c)| from above.
    pub residual_norm_upper: f64,
    /// The radius of the ball; with a box, a bound on the length of the whole path.
    pub rho: f64,
    /// |D^2F[delta, eps]| over unit directions in the trained blocks, and over the ball or box, from above.
    pub h_rho_upper: f64,
    /// sigma_min(J') over the ball or box from below.
    pub alpha: f64,
    /// L, the smoothness of f over the ball or box and the sublevel set, from above.
    pub smoothness: f64,
    /// The step.
    pub eta: f64,
    /// 2 eta alpha^2 (1 - eta L/2) from below.
    pub rate_lower: f64,
    /// The box, where one ball would not do.
    #[serde(rename = "box", default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Box3>,
    /// The exact orbit from M_0 to the centre, with f_t below the bound at every step: what is proven then starts at M_0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orbit: Option<OrbitRecord>,
    /// The relative margin by which the bounds were relaxed; nothing rests on it.
    pub margin: f64,
    /// What is proven, in words; nothing rests on it.
    pub statement: String,
}

/// No choice of the trained blocks brings the loss below a positive number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Obstructed {
    /// The instance.
    pub instance: FileRef,
    /// Its kernel: softmax.
    pub kernel: Kernel,
    /// The trained blocks, W^Q and W^K at most.
    pub trained: Trained,
    /// Why.
    pub reason: Reason,
    /// Every reachable loss is at least this.
    pub loss_lower: f64,
    /// The relative margin by which the bound was relaxed; nothing rests on it.
    pub margin: f64,
    /// What is proven, in words; nothing rests on it.
    pub statement: String,
}

/// Exact gradient descent from the instance's weights exceeds the bound (1 - eta beta)^t f_0 of one reading.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refuted {
    /// The instance, with the weights M_0.
    pub instance: FileRef,
    /// Its kernel.
    pub kernel: Kernel,
    /// The blocks gradient descent moves.
    pub trained: Trained,
    /// Which beta the claim is read with: a [`Reading`](crate::spectrum::Reading) by its name, or a claim of the user's own.
    pub reading: String,
    /// The step.
    pub eta: f64,
    /// beta at M_0 from below; of a claim of the user's own the number that is claimed.
    pub beta: f64,
    /// Where the bound is exceeded.
    pub t: usize,
    /// f_t from below.
    pub loss_lower: f64,
    /// (1 - eta beta)^t f_0 from above.
    pub bound_upper: f64,
    /// How far the exact orbit could be from the enclosure's points, up to there; nothing rests on it.
    pub distance: f64,
    /// The bits after the point with which it was enclosed; nothing rests on it.
    pub bits: usize,
    /// What is proven, in words; nothing rests on it.
    pub statement: String,
}

/// A certificate of any kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Certificate {
    /// A proven rate for every t.
    TheoremA(TheoremA),
    /// A proven positive lower bound on every reachable loss.
    Obstructed(Obstructed),
    /// A proven violation of the bound.
    Refuted(Refuted),
}

impl Certificate {
    /// The name of the kind in the file.
    pub fn kind(&self) -> &'static str {
        match self {
            Certificate::TheoremA(_) => "theorem_a",
            Certificate::Obstructed(_) => "obstructed",
            Certificate::Refuted(_) => "refuted",
        }
    }

    /// What is proven, in words.
    pub fn statement(&self) -> &str {
        match self {
            Certificate::TheoremA(c) => &c.statement,
            Certificate::Obstructed(c) => &c.statement,
            Certificate::Refuted(c) => &c.statement,
        }
    }

    /// The contents of `certificate.json`; floats read back bit for bit.
    pub fn to_json(&self) -> Value {
        let body = match self {
            Certificate::TheoremA(c) => serde_json::to_value(c),
            Certificate::Obstructed(c) => serde_json::to_value(c),
            Certificate::Refuted(c) => serde_json::to_value(c),
        };
        let mut json = Map::new();
        json.insert("schema".into(), SCHEMA.into());
        json.insert("version".into(), env!("CARGO_PKG_VERSION").into());
        json.insert("kind".into(), self.kind().into());
        if let Ok(Value::Object(body)) = body {
            json.extend(body);
        }
        let json = Value::Object(json);
        // Sentences about proofs have one maker, the checker.
        match gdcert_check::CertificateFile::read(json.to_string().as_bytes()) {
            Ok(file) => file.certificate.to_json(),
            Err(_) => json,
        }
    }

    /// Reads a certificate file. Nothing about its claims is looked at.
    ///
    /// # Errors
    /// Not a file, not JSON, another schema (named), a missing, unknown or mistyped field.
    pub fn read(path: &Path) -> Result<Certificate> {
        let text = input::text(path).map_err(|what| {
            Error::file(path, format!("{what}; give the path of a certificate.json"))
        })?;
        let fail = |what: String| {
            Error::file(
                path,
                format!("{what}; give a certificate.json that gdcert wrote"),
            )
        };
        let json: Map<String, Value> =
            serde_json::from_str(&text).map_err(|e| fail(format!("is not a JSON object: {e}")))?;
        Self::from_json(path, json)
    }

    /// What the file at `path` says.
    fn from_json(path: &Path, mut json: Map<String, Value>) -> Result<Certificate> {
        let fail = |what: String| {
            Error::file(
                path,
                format!("{what}; give a certificate.json that gdcert wrote"),
            )
        };
        let mut take = |name: &str| match json.remove(name) {
            Some(Value::String(text)) => Ok(text),
            Some(_) => Err(fail(format!("`{name}` is not a string"))),
            None => Err(fail(format!("`{name}` is missing"))),
        };
        let schema = take("schema")?;
        readable(path, &schema, SCHEMA)?;
        take("version")?;
        let kind = take("kind")?;
        let body = Value::Object(json);
        let malformed = |e: serde_json::Error| fail(format!("is malformed: {e}"));
        match kind.as_str() {
            "theorem_a" => Ok(Certificate::TheoremA(
                serde_json::from_value(body).map_err(malformed)?,
            )),
            "obstructed" => Ok(Certificate::Obstructed(
                serde_json::from_value(body).map_err(malformed)?,
            )),
            "refuted" => Ok(Certificate::Refuted(
                serde_json::from_value(body).map_err(malformed)?,
            )),
            other => Err(fail(format!("has the unknown kind '{other}'"))),
        }
    }
}

/// The sentence that belongs to a certificate's numbers. Sentences about proofs have one maker, the checker; that of a file
/// that was read is in [`Certificate::statement`], and nothing rests on it.
pub fn statement(certificate: &Certificate) -> String {
    let json = certificate.to_json();
    json["statement"].as_str().unwrap_or_default().to_owned()
}

/// As the text of `certificate.json`.
impl Serialize for Certificate {
    fn serialize<S: Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        to.collect_str(&self.to_json())
    }
}

impl<'de> Deserialize<'de> for Certificate {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let json = serde_json::from_str(&text).map_err(serde::de::Error::custom)?;
        Self::from_json(Path::new("certificate.json"), json).map_err(serde::de::Error::custom)
    }
}
