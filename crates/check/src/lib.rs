//! Re-proves a certificate of [gdcert](https://docs.rs/gdcert) from the instance file beside it.
//!
//! Every number in a certificate is a claim. [`check`] proves each of them again, or says which one
//! it can not prove. This crate shares no code with the program that finds certificates and depends
//! on nothing of it: it has its own readers, numbers and evaluation of the model, and searches for
//! nothing.
//!
//! **Trusted**: the statements of theory.md section 4 and of `proofs-checks/sharper.md`, IEEE 754
//! arithmetic in f64 with correctly rounded + - * / and square root, SHA-256 (the crate sha2), and
//! JSON syntax (the crate serde_json).
//!
//! From what a reader meets first to what everything stands on:
//!
//! | module | question |
//! |---|---|
//! | [`rate`], [`obstruction`] | which inequalities make a certificate, and are its numbers what they are called? |
//! | [`orbit`] | where is exact gradient descent from M_0, and how large is the loss there? |
//! | [`descent`], [`ends`] | one step of it, in numbers of many bits |
//! | [`model`] | the same for a model of any kind, by its graph |
//! | [`claims`] | proven, refuted or hidden by rounding? in which precision? |
//! | [`curvature`] | how large is D^2F over a ball or box? |
//! | [`point`] | what are scores, weights, residual and Jacobian at the weights? |
//! | [`gram`] | what are the smallest and largest singular values of a large matrix? |
//! | [`matrix`], [`ball`], [`number`] | what can rounding have done? |
//! | [`words`] | what may be said, and of what? |
//! | [`certificate`], [`instance`], [`files`], [`json`] | what stands in the files? |
//! | [`threads`] | on how many cores? |

#![forbid(unsafe_code)]
#![warn(missing_docs)]
// !(a > b) is not a <= b: a NaN must take the branch that proves nothing. Indices are those of the
// formulas.
#![allow(clippy::neg_cmp_op_on_partial_ord, clippy::needless_range_loop)]
#![allow(rustdoc::private_intra_doc_links)]

mod ball;
mod certificate;
mod claims;
mod curvature;
mod descent;
mod ends;
mod files;
mod gram;
mod instance;
mod json;
mod matrix;
mod model;
mod number;
mod obstruction;
mod orbit;
mod point;
mod rate;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_of_orbits;
mod threads;
mod words;

pub use certificate::{
    Blocks, Box3, Centre, Certificate, CertificateFile, FileRef, Kernel, ModelObstructed,
    ModelRate, ModelRef, ModelRefuted, Obstructed, Orbit, Reading, Reason, Refuted, SCHEMA,
    TheoremA, Trained,
};
pub use threads::limit_threads;
pub use words::Proven;

use claims::Stop;
use std::fmt;
use std::path::{Path, PathBuf};

/// A file that can not be read or is not what it should be, in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Which file, where it is known.
    pub file: Option<String>,
    /// What is wrong with it.
    pub what: String,
}

impl Unreadable {
    /// Of a file that is not known yet.
    pub fn new(what: impl Into<String>) -> Unreadable {
        let what = what.into();
        Unreadable { file: None, what }
    }

    fn about(self, file: &str) -> Unreadable {
        let file = self.file.or_else(|| Some(file.to_owned()));
        Unreadable { file, ..self }
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.file {
            Some(file) => write!(f, "{file}: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

impl std::error::Error for Unreadable {}

/// What became of a certificate.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant)] // one of them in a program's life
pub enum Checked {
    /// Every claim in it is proven.
    Valid(Proven),
    /// The first claim that could not be proven, with the numbers.
    Unproven(String),
}

/// Re-proves the certificate at `path`, or `certificate.json` in the folder `path`, from the files
/// beside it.
///
/// # Errors
/// A file that cannot be read: no certificate of this schema, a missing or malformed instance.
pub fn check(path: &Path) -> Result<Checked, Unreadable> {
    let path: PathBuf = if path.is_dir() { path.join("certificate.json") } else { path.to_owned() };
    let named = |e: Unreadable| e.about(&path.display().to_string());
    let bytes = regular_file(&path, LARGEST_CERTIFICATE)?;
    let file = CertificateFile::read(&bytes).map_err(named)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let beside = |name: &str| regular_file(&folder.join(name), u64::MAX);
    let checked = file.certificate.check(&beside)?;
    Ok(match checked {
        Checked::Valid(_) => Checked::Valid(Proven::new(file.certificate, Some(&file.statement))),
        unproven => unproven,
    })
}

impl Certificate {
    /// Re-proves the certificate from the files that `read` gives by name: what [`check`] does
    /// without a file system, and for a certificate that was not written yet.
    ///
    /// # Errors
    /// Those of `read`; a malformed instance.
    pub fn check(
        &self,
        read: &dyn Fn(&str) -> Result<Vec<u8>, Unreadable>,
    ) -> Result<Checked, Unreadable> {
        let proof = match self {
            Certificate::TheoremA(c) => rate::rate(c, read),
            Certificate::Obstructed(c) => obstruction::obstructed(c, read),
            Certificate::Refuted(c) => rate::refuted(c, read),
            Certificate::ModelRate(c) => model::proof::rate(c, read),
            Certificate::ModelRefuted(c) => model::proof::refuted(c, read),
            Certificate::ModelObstructed(c) => model::standstill::obstructed(c, read),
        };
        match proof {
            Ok(()) => Ok(Checked::Valid(Proven::new(self.clone(), None))),
            Err(Stop::Unproven(what)) => Ok(Checked::Unproven(what)),
            Err(Stop::Unreadable(error)) => Err(error),
        }
    }
}

const LARGEST_CERTIFICATE: u64 = 1 << 24;

/// The bytes of a regular file: a pipe or a device may have no end.
fn regular_file(path: &Path, largest: u64) -> Result<Vec<u8>, Unreadable> {
    let fail = |what: String| Unreadable { file: Some(path.display().to_string()), what };
    let found = std::fs::metadata(path).map_err(|e| fail(format!("cannot read: {e}")))?;
    if !found.is_file() {
        return Err(fail("is not a regular file".to_owned()));
    }
    if found.len() > largest {
        return Err(fail(format!("has {} bytes, more than such a file can have", found.len())));
    }
    std::fs::read(path).map_err(|e| fail(format!("cannot read: {e}")))
}
