//! `certificate.json` as data. The file is a claim, not a proof that must be trusted: everything in
//! it but the choices `rho`, `eta` and the box's radii is an inequality about the instance file
//! beside it.

use super::Unreadable;
use super::json::{Field, Fields, object, record};
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// sigma_min(W^O)^2 sigma_min(B_0)^2, W^O stacked over heads.
    Stacked,
    /// min_h sigma_min(W^O_h)^2 sigma_min(B_0)^2.
    PerHead,
    /// lambda_min(J_V J_V').
    Value,
    /// lambda_min(J J') over the trained blocks.
    Ntk,
    /// None of these: beta is the number that stands in the certificate, and this the name of the
    /// claim. Nothing has to be proven about a number that is given.
    Own(String),
}

impl Reading {
    /// The name in files.
    pub fn name(&self) -> &str {
        match self {
            Reading::Stacked => "stacked",
            Reading::PerHead => "per_head",
            Reading::Value => "value",
            Reading::Ntk => "ntk",
            Reading::Own(name) => name,
        }
    }

    /// Whether beta is a number that is given.
    pub fn is_own(&self) -> bool {
        matches!(self, Reading::Own(_))
    }
}

impl Field for Reading {
    fn read(value: Value, name: &str) -> Result<Self, Unreadable> {
        let text = String::read(value, name)?;
        let defined = [Reading::Stacked, Reading::PerHead, Reading::Value, Reading::Ntk];
        if let Some(reading) = defined.iter().find(|reading| reading.name() == text) {
            return Ok(reading.clone());
        }
        // A name that could be taken for one of those is no name of a claim.
        let plain = text.replace('-', "_").to_ascii_lowercase();
        let word = text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        if !word || text.len() > 64 || defined.iter().any(|reading| reading.name() == plain) {
            return Err(Unreadable::new(format!("`{name}` is {text:?}, which is unknown")));
        }
        Ok(Reading::Own(text))
    }

    fn write(&self) -> Value {
        self.name().into()
    }
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why the loss does not go to 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Labels leave the hull of the values.
    Hull,
    /// No value depends on its token; of a model: the gradient at M_0 is 0.
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

        }

        impl Field for $type {
            fn read(value: Value, name: &str) -> Result<Self, Unreadable> {
                match String::read(value, name)?.as_str() {
                    $($name => Ok($type::$value),)+
                    other => Err(Unreadable::new(format!("`{name}` is {other:?}, which is unknown"))),
                }
            }

            fn write(&self) -> Value {
                self.name().into()
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
        let mut all = (1..8).map(|k| Trained([k & 1 != 0, k & 2 != 0, k & 4 != 0]));
        let unknown =
            || Unreadable::new(format!("{name:?} is not one of Q, K, V, QK, QV, KV, QKV"));
        all.find(|trained| trained.to_string() == name).ok_or_else(unknown)
    }
}

impl Field for Trained {
    fn read(value: Value, name: &str) -> Result<Self, Unreadable> {
        String::read(value, name)?.parse()
    }
    fn write(&self) -> Value {
        self.to_string().into()
    }
}

record! {
    /// A file the certificate is about, beside it in the same folder.
    FileRef {
        /// Its name.
        file: String,
        /// The SHA-256 of its bytes, in hexadecimal.
        sha256: String,
    }
}

record! {
    /// The point M_t that the proof starts from.
    Centre {
        /// Steps of gradient descent from the instance's weights; at 0 the file is the instance
        /// itself.
        t: u64,
        /// The file of the weights M_t.
        file: String,
        /// The SHA-256 of its bytes, in hexadecimal.
        sha256: String,
    }
}

/// One number for each of W^Q, W^K, W^V; 0 for a block that is not trained.
pub type Blocks = [f64; 3];

impl Field for Blocks {
    fn read(value: Value, name: &str) -> Result<Self, Unreadable> {
        let mut fields = Fields::new(value, name)?;
        let blocks = [fields.take("Q")?, fields.take("K")?, fields.take("V")?];
        fields.end().map(|()| blocks)
    }
    fn write(&self) -> Value {
        json!({"Q": self[0], "K": self[1], "V": self[2]})
    }
}

record! {
    /// The box of Theorem A' in the place of the ball of Theorem A (`proofs-checks/sharper.md`).
    Box3 {
        /// A: the trained blocks whose smallest singular value `alpha_lower` bounds.
        resolved: Trained,
        /// How far each block may move (Frobenius norm).
        radii: Blocks,
        /// |J_b(M_c)| from above.
        jacobian_norms_upper: Blocks,
    }
}

record! {
    /// Exact gradient descent from the instance's weights comes near the centre.
    Orbit {
        /// T > 0, the centre's `t`.
        steps: u64,
        /// M_T is within this of the centre (all trained blocks, Frobenius norm); what is said of
        /// the centre is said of every point within it.
        distance: f64,
        /// Bits after the point that were enough to prove it; nothing rests on it.
        bits: u64,
    }
}

record! {
    /// Theorem A closes at the centre: f_{t+1} <= (1 - rate_lower) f_t for every t from there on,
    /// which covers the claim of one reading.
    TheoremA {
        /// The instance, with the weights M_0.
        instance: FileRef,
        /// Its kernel.
        kernel: Kernel,
        /// The blocks gradient descent moves.
        trained: Trained,
        /// Where the proof starts.
        centre: Centre,
        /// Which beta the claim is read with.
        reading: Reading,
        /// beta at M_0 from above, or the number that is claimed.
        beta: f64,
        /// sigma_min(J(M_c)') from below (of the blocks in `region.resolved`, if there is a box).
        alpha_lower: f64,
        /// |J(M_c)| over the trained blocks from above.
        jacobian_norm_upper: f64,
        /// |r(M_c)| from above.
        residual_norm_upper: f64,
        /// The radius of the ball; with a box, a bound on the length of the whole path.
        rho: f64,
        /// |D^2F[delta, eps]| over unit directions in the trained blocks, and over the ball or box, from above.
        h_rho_upper: f64,
        /// sigma_min(J') over the ball or box from below.
        alpha: f64,
        /// L, the smoothness of f over the ball or box and the sublevel set, from above.
        smoothness: f64,
        /// The step.
        eta: f64,
        /// 2 eta alpha^2 (1 - eta L/2) from below.
        rate_lower: f64,
        /// The box, where one ball would not do.
        region = "box": Option<Box3>,
        /// The relative margin by which the bounds were relaxed; nothing rests on it.
        margin: f64,
        /// What ties the centre to exact gradient descent from the instance's weights: with it the
        /// claim is proven from t = 0 on.
        orbit: Option<Orbit>,
    }
}

record! {
    /// No choice of the trained blocks brings the loss below a positive number.
    Obstructed {
        /// The instance.
        instance: FileRef,
        /// Its kernel: softmax.
        kernel: Kernel,
        /// The trained blocks, W^Q and W^K at most.
        trained: Trained,
        /// Why.
        reason: Reason,
        /// Every reachable loss is at least this.
        loss_lower: f64,
        /// The relative margin by which the bound was relaxed; nothing rests on it.
        margin: f64,
    }
}

record! {
    /// Exact gradient descent from the instance's weights exceeds the bound of one reading.
    Refuted {
        /// The instance, with the weights M_0.
        instance: FileRef,
        /// Its kernel.
        kernel: Kernel,
        /// The blocks gradient descent moves.
        trained: Trained,
        /// Which beta the claim is read with.
        reading: Reading,
        /// The step.
        eta: f64,
        /// beta at M_0 from below, or the number that is claimed.
        beta: f64,
        /// Where the bound is exceeded.
        t: u64,
        /// f_t from below.
        loss_lower: f64,
        /// (1 - eta beta)^t f_0 from above, for this `beta` and so for every larger one.
        bound_upper: f64,
        /// How far the point that was computed can be from M_t; nothing rests on it.
        distance: f64,
        /// Bits after the point that were enough to prove it; nothing rests on it.
        bits: u64,
    }
}

/// Names of parameter blocks.
impl Field for Vec<String> {
    fn read(value: Value, name: &str) -> Result<Self, Unreadable> {
        let wanted = || Unreadable::new(format!("`{name}` is not a list of different names"));
        let Value::Array(all) = value else { return Err(wanted()) };
        let mut names: Vec<String> = Vec::new();
        for value in all {
            let one = String::read(value, name)?;
            if names.contains(&one) {
                return Err(wanted());
            }
            names.push(one);
        }
        if names.is_empty() { Err(wanted()) } else { Ok(names) }
    }
    fn write(&self) -> Value {
        self.as_slice().into()
    }
}

record! {
    /// A model's file and the file of its arrays.
    ModelRef {
        /// The name of the graph's file, `gdcert.model/1`.
        file: String,
        /// The SHA-256 of its bytes, in hexadecimal.
        sha256: String,
        /// The constants and the parameters M_0.
        tensors: FileRef,
    }
}

record! {
    /// As [`TheoremA`] with a ball, about a model. beta is that of J J' at M_0, from above, or the number that is claimed.
    ModelRate {
        /// The model.
        model: ModelRef,
        /// The parameter blocks gradient descent moves, in the model's order.
        trained: Vec<String>,
        /// Where the proof starts.
        centre: Centre,
        /// Which beta the claim is read with: `ntk` or a name.
        reading: Reading,
        /// beta at M_0 from above, or the number that is claimed.
        beta: f64,
        /// sigma_min(J(M_c)') from below.
        alpha_lower: f64,
        /// |J(M_c)| from above.
        jacobian_norm_upper: f64,
        /// |r(M_c)| from above.
        residual_norm_upper: f64,
        /// The radius of the ball.
        rho: f64,
        /// |D^2F| over the ball from above.
        h_rho_upper: f64,
        /// sigma_min(J') over the ball from below.
        alpha: f64,
        /// The smoothness of f over the ball and the sublevel set, from above.
        smoothness: f64,
        /// The step.
        eta: f64,
        /// 2 eta alpha^2 (1 - eta L/2) from below.
        rate_lower: f64,
        /// The relative margin by which the bounds were relaxed; nothing rests on it.
        margin: f64,
        /// What ties the centre to exact gradient descent from the model's parameters.
        orbit: Option<Orbit>,
    }
}

record! {
    /// As [`Refuted`], about a model.
    ModelRefuted {
        /// The model.
        model: ModelRef,
        /// The parameter blocks gradient descent moves, in the model's order.
        trained: Vec<String>,
        /// Which beta the claim is read with: `ntk` or a name.
        reading: Reading,
        /// The step.
        eta: f64,
        /// beta at M_0 from below, or the number that is claimed.
        beta: f64,
        /// Where the bound is exceeded.
        t: u64,
        /// f_t from below.
        loss_lower: f64,
        /// (1 - eta beta)^t f_0 from above, for this `beta` and so for every larger one.
        bound_upper: f64,
        /// How far the point that was computed can be from M_t; nothing rests on it.
        distance: f64,
        /// Bits after the point that were enough to prove it; nothing rests on it.
        bits: u64,
    }
}

record! {
    /// The gradient at M_0 is exactly 0 and the loss is not: gradient descent on a model never moves.
    ModelObstructed {
        /// The model.
        model: ModelRef,
        /// The parameter blocks gradient descent moves, in the model's order.
        trained: Vec<String>,
        /// Why: `zero_gradient`.
        reason: Reason,
        /// The loss at M_0 is at least this.
        loss_lower: f64,
        /// The relative margin by which the bound was relaxed; nothing rests on it.
        margin: f64,
    }
}

/// A certificate of any kind: what is claimed.
#[derive(Clone, Debug, PartialEq)]
pub enum Certificate {
    /// A rate for every t.
    TheoremA(TheoremA),
    /// A positive lower bound on every reachable loss.
    Obstructed(Obstructed),
    /// A violation of the bound.
    Refuted(Refuted),
    /// A rate for every t, of a model.
    ModelRate(ModelRate),
    /// A violation of the bound, by a model.
    ModelRefuted(ModelRefuted),
    /// A model on which gradient descent never moves.
    ModelObstructed(ModelObstructed),
}

/// A certificate file that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct CertificateFile {
    /// What it claims.
    pub certificate: Certificate,
    /// Its field `statement`. Anybody may have written it: nothing rests on it, and nothing of it
    /// is to be repeated as proven.
    pub statement: String,
}

impl Centre {
    /// The file of its weights.
    pub fn file_ref(&self) -> FileRef {
        FileRef { file: self.file.clone(), sha256: self.sha256.clone() }
    }
}

impl ModelRef {
    /// The graph's file and the arrays'.
    pub fn files(&self) -> Vec<FileRef> {
        let graph = FileRef { file: self.file.clone(), sha256: self.sha256.clone() };
        vec![graph, self.tensors.clone()]
    }
}

impl Certificate {
    /// The name of the kind in the file.
    pub fn kind(&self) -> &'static str {
        match self {
            Certificate::TheoremA(_) | Certificate::ModelRate(_) => "theorem_a",
            Certificate::Obstructed(_) | Certificate::ModelObstructed(_) => "obstructed",
            Certificate::Refuted(_) | Certificate::ModelRefuted(_) => "refuted",
        }
    }

    /// The contents of `certificate.json`, with the sentence that follows from the numbers as
    /// `statement`; floats read back bit for bit.
    pub fn to_json(&self) -> Value {
        let body = match self {
            Certificate::TheoremA(c) => c.write(),
            Certificate::Obstructed(c) => c.write(),
            Certificate::Refuted(c) => c.write(),
            Certificate::ModelRate(c) => c.write(),
            Certificate::ModelRefuted(c) => c.write(),
            Certificate::ModelObstructed(c) => c.write(),
        };
        let mut json =
            json!({"schema": SCHEMA, "version": env!("CARGO_PKG_VERSION"), "kind": self.kind()});
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
        let mut value = object(bytes, "the certificate")?;
        let mut take = |name: &str| {
            let text = value.as_object_mut().and_then(|map| map.remove(name));
            String::read(text.unwrap_or_default(), name)
        };
        let schema = take("schema")?;
        if schema != SCHEMA {
            return Err(Unreadable::new(format!(
                "the schema {schema:?} is not {SCHEMA}; use the version of gdcert that wrote the file"
            )));
        }
        let (_version, kind, statement) = (take("version")?, take("kind")?, take("statement")?);
        let about_model = value.get("model").is_some();
        let certificate = match kind.as_str() {
            "theorem_a" if about_model => Certificate::ModelRate(ModelRate::read(value, "")?),
            "refuted" if about_model => Certificate::ModelRefuted(ModelRefuted::read(value, "")?),
            "obstructed" if about_model => {
                Certificate::ModelObstructed(ModelObstructed::read(value, "")?)
            }
            "theorem_a" => Certificate::TheoremA(TheoremA::read(value, "")?),
            "obstructed" => Certificate::Obstructed(Obstructed::read(value, "")?),
            "refuted" => Certificate::Refuted(Refuted::read(value, "")?),
            other => return Err(Unreadable::new(format!("the kind {other:?} is unknown"))),
        };
        // Names are repeated on terminals.
        if certificate.files().iter().any(|f| f.file.chars().any(char::is_control)) {
            return Err(Unreadable::new("a file name has control characters"));
        }
        Ok(CertificateFile { certificate, statement })
    }
}
