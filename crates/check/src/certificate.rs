//! `certificate.json` as data. The file is a claim, not a proof that must be trusted: everything in it but the choices `rho`, `eta`
//! and the box's radii is an inequality about the instance file beside it.

use super::Unreadable;
use super::json::{Fields, object};
use serde_json::{Value, json};
use std::fmt;
use std::str::FromStr;

/// The schema that is read and written.
pub const SCHEMA: &str = "gdcert.certificate/1";

/// How attention weights come from scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// Rows of weights sum to 1.
    Softmax,
    /// exp(-|q - kappa|^2 / (2 sqrt d)), not normalised.
    Gaussian,
}

/// Which constant beta the claim f_t <= (1 - eta beta)^t f_0 is read with (theory.md, section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// sigma_min(W^O)^2 sigma_min(B_0)^2, W^O stacked over heads.
    Stacked,
    /// min_h sigma_min(W^O_h)^2 sigma_min(B_0)^2.
    PerHead,
    /// lambda_min(J_V J_V').
    Value,
    /// lambda_min(J J') over the trained blocks.
    Ntk,
}

/// Why no choice of the trained blocks brings the loss to 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Labels leave the hull of the values.
    Hull,
    /// No value depends on its token.
    ZeroGradient,
}

/// Names of enums in the file.
macro_rules! names {
    ($type:ident, $($value:ident = $name:literal),+) => {
        impl $type {
            /// The name in files.
            pub fn name(self) -> &'static str {
                match self { $($type::$value => $name),+ }
            }

            fn parse(name: &str) -> Option<Self> {
                match name { $($name => Some($type::$value),)+ _ => None }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}
names!(Kernel, Softmax = "softmax", Gaussian = "gaussian");
names!(Reading, Stacked = "stacked", PerHead = "per_head", Value = "value", Ntk = "ntk");
names!(Reason, Hull = "hull", ZeroGradient = "zero_gradient");

/// The trained blocks, a non-empty subset of Q, K, V.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trained([bool; 3]);

impl Trained {
    /// `None` if no block is trained.
    pub fn from_flags(flags: [bool; 3]) -> Option<Trained> {
        flags.contains(&true).then_some(Trained(flags))
    }

    /// Whether W^Q, W^K, W^V is trained.
    pub fn flags(self) -> [bool; 3] {
        self.0
    }

    fn parse(name: &str) -> Option<Self> {
        let all = (1..8).map(|k| Trained([k & 1 != 0, k & 2 != 0, k & 4 != 0]));
        all.into_iter().find(|trained| trained.to_string() == name)
    }
}

impl fmt::Display for Trained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = "QKV".chars().zip(self.0).filter(|(_, on)| *on);
        f.write_str(&names.map(|(name, _)| name).collect::<String>())
    }
}

impl FromStr for Trained {
    type Err = Unreadable;
    fn from_str(name: &str) -> Result<Self, Unreadable> {
        let unknown = || Unreadable::new(format!("{name:?} is not one of Q, K, V, QK, QV, KV, QKV"));
        Trained::parse(name).ok_or_else(unknown)
    }
}

/// A file the certificate is about, beside it in the same folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRef {
    /// Its name.
    pub file: String,
    /// The SHA-256 of its bytes, in hexadecimal.
    pub sha256: String,
}

/// The point M_t that the proof starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Centre {
    /// Steps of gradient descent from the instance's weights; at 0 the file is the instance itself.
    pub t: u64,
    /// The file of the weights M_t.
    pub at: FileRef,
}

/// One number for each of W^Q, W^K, W^V; 0 for a block that is not trained.
pub type Blocks = [f64; 3];

/// The box of Theorem A' in the place of the ball of Theorem A (`proofs-checks/sharper.md`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Box3 {
    /// A: the trained blocks whose smallest singular value `alpha_lower` bounds.
    pub resolved: Trained,
    /// How far each block may move (Frobenius norm).
    pub radii: Blocks,
    /// |J_b(M_c)| from above.
    pub jacobian_norms_upper: Blocks,
}

/// Theorem A closes at the centre: f_{t+1} <= (1 - rate_lower) f_t for every t from there on, which covers the claim
/// of one reading.
#[derive(Clone, Debug, PartialEq)]
pub struct TheoremA {
    /// The instance, with the weights M_0.
    pub instance: FileRef,
    /// Its kernel.
    pub kernel: Kernel,
    /// The blocks gradient descent moves.
    pub trained: Trained,
    /// Where the proof starts.
    pub centre: Centre,
    /// Which beta the claim is read with.
    pub reading: Reading,
    /// beta at M_0 from above.
    pub beta: f64,
    /// sigma_min(J(M_c)') from below (of the blocks in `region.resolved`, if there is a box).
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
    pub region: Option<Box3>,
    /// The relative margin by which the bounds were relaxed; nothing rests on it.
    pub margin: f64,
}

/// No choice of the trained blocks brings the loss below a positive number.
#[derive(Clone, Debug, PartialEq)]
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
}

/// A certificate of either kind: what is claimed.
#[derive(Clone, Debug, PartialEq)]
pub enum Certificate {
    /// A rate for every t.
    TheoremA(TheoremA),
    /// A positive lower bound on every reachable loss.
    Obstructed(Obstructed),
}

/// A certificate file that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct CertificateFile {
    /// What it claims.
    pub certificate: Certificate,
    /// Its field `statement`. Anybody may have written it: nothing rests on it, and nothing of it is to be repeated as proven.
    pub statement: String,
}

impl Certificate {
    /// The name of the kind in the file.
    pub fn kind(&self) -> &'static str {
        match self {
            Certificate::TheoremA(_) => "theorem_a",
            Certificate::Obstructed(_) => "obstructed",
        }
    }

    /// The contents of `certificate.json`, with the sentence that follows from the numbers as `statement`; floats read back bit for bit.
    pub fn to_json(&self) -> Value {
        let file = |f: &FileRef| json!({"file": f.file, "sha256": f.sha256});
        let blocks = |[Q, K, V]: Blocks| json!({"Q": Q, "K": K, "V": V});
        let mut json = json!({
            "schema": SCHEMA,
            "version": env!("CARGO_PKG_VERSION"),
            "kind": self.kind(),
        });
        let body = match self {
            Certificate::TheoremA(c) => {
                let mut body = json!({
                    "instance": file(&c.instance),
                    "kernel": c.kernel.name(),
                    "trained": c.trained.to_string(),
                    "centre": {"t": c.centre.t, "file": c.centre.at.file, "sha256": c.centre.at.sha256},
                    "reading": c.reading.name(),
                    "beta": c.beta,
                    "alpha_lower": c.alpha_lower,
                    "jacobian_norm_upper": c.jacobian_norm_upper,
                    "residual_norm_upper": c.residual_norm_upper,
                    "rho": c.rho,
                    "h_rho_upper": c.h_rho_upper,
                    "alpha": c.alpha,
                    "smoothness": c.smoothness,
                    "eta": c.eta,
                    "rate_lower": c.rate_lower,
                });
                if let Some(region) = &c.region {
                    body["box"] = json!({
                        "resolved": region.resolved.to_string(),
                        "radii": blocks(region.radii),
                        "jacobian_norms_upper": blocks(region.jacobian_norms_upper),
                    });
                }
                body["margin"] = json!(c.margin);
                body
            }
            Certificate::Obstructed(c) => json!({
                "instance": file(&c.instance),
                "kernel": c.kernel.name(),
                "trained": c.trained.to_string(),
                "reason": c.reason.name(),
                "loss_lower": c.loss_lower,
                "margin": c.margin,
            }),
        };
        if let (Value::Object(json), Value::Object(body)) = (&mut json, body) {
            json.extend(body);
            json.insert("statement".into(), super::words::sentence(self).into());
        }
        json
    }
}

impl CertificateFile {
    /// Reads a certificate from its bytes. Nothing about its claims is looked at.
    ///
    /// # Errors
    /// Not JSON, another schema (named), a missing, unknown, repeated or mistyped field.
    pub fn read(bytes: &[u8]) -> Result<CertificateFile, Unreadable> {
        let mut fields = Fields::new(object(bytes, "the certificate")?);
        let schema = fields.text("schema")?;
        if schema != SCHEMA {
            return Err(Unreadable::new(format!(
                "the schema {schema:?} is not {SCHEMA}; use the version of gdcert that wrote the file"
            )));
        }
        fields.text("version")?;
        let kind = fields.text("kind")?;
        let statement = fields.text("statement")?;
        let certificate = match kind.as_str() {
            "theorem_a" => Certificate::TheoremA(theorem_a(&mut fields)?),
            "obstructed" => Certificate::Obstructed(obstructed(&mut fields)?),
            other => return Err(Unreadable::new(format!("the kind {other:?} is unknown"))),
        };
        fields.end()?;
        let file = CertificateFile { certificate, statement };
        Ok(file)
    }
}

fn theorem_a(f: &mut Fields) -> Result<TheoremA, Unreadable> {
    let mut centre = f.object("centre")?;
    let t = centre.count("t")?;
    let at = file_ref(centre)?;
    let region = match f.optional("box") {
        None => None,
        Some(value) => {
            let mut inner = f.inner("box", value)?;
            let region = Box3 {
                resolved: inner.word("resolved", Trained::parse)?,
                radii: blocks(inner.object("radii")?)?,
                jacobian_norms_upper: blocks(inner.object("jacobian_norms_upper")?)?,
            };
            inner.end()?;
            Some(region)
        }
    };
    Ok(TheoremA {
        instance: file_ref(f.object("instance")?)?,
        kernel: f.word("kernel", Kernel::parse)?,
        trained: f.word("trained", Trained::parse)?,
        centre: Centre { t, at },
        reading: f.word("reading", Reading::parse)?,
        beta: f.number("beta")?,
        alpha_lower: f.number("alpha_lower")?,
        jacobian_norm_upper: f.number("jacobian_norm_upper")?,
        residual_norm_upper: f.number("residual_norm_upper")?,
        rho: f.number("rho")?,
        h_rho_upper: f.number("h_rho_upper")?,
        alpha: f.number("alpha")?,
        smoothness: f.number("smoothness")?,
        eta: f.number("eta")?,
        rate_lower: f.number("rate_lower")?,
        region,
        margin: f.number("margin")?,
    })
}

fn obstructed(f: &mut Fields) -> Result<Obstructed, Unreadable> {
    Ok(Obstructed {
        instance: file_ref(f.object("instance")?)?,
        kernel: f.word("kernel", Kernel::parse)?,
        trained: f.word("trained", Trained::parse)?,
        reason: f.word("reason", Reason::parse)?,
        loss_lower: f.number("loss_lower")?,
        margin: f.number("margin")?,
    })
}

fn file_ref(mut f: Fields) -> Result<FileRef, Unreadable> {
    let file = f.text("file")?;
    let sha256 = f.text("sha256")?;
    f.end()?;
    // Names are repeated on terminals.
    if file.chars().any(char::is_control) || sha256.chars().any(char::is_control) {
        return Err(Unreadable::new("a file name has control characters"));
    }
    Ok(FileRef { file, sha256 })
}

fn blocks(mut f: Fields) -> Result<Blocks, Unreadable> {
    let blocks = [f.number("Q")?, f.number("K")?, f.number("V")?];
    f.end()?;
    Ok(blocks)
}
