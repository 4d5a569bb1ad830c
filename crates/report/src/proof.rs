//! What a certificate beside a result is worth here and now. A page calls proven what was proven again while it was made,
//! and nothing else: not what a file says of itself.

use crate::{Error, Result};
use gdcert::bounds::{Enclosure, Reason};
use gdcert::certificate::{Certificate, Checked, FileRef, Reproven, TheoremA, check, statement};
use gdcert::graph::Certificate as ModelCertificate;
use gdcert::problem::{Dims, Instance};
use gdcert::refutation_file;
use gdcert::spectrum::Reading;
use gdcert::verdict::Verdict;
use gdcert::verify::{ByName, ClaimRecord, VerdictFile};
use gdcert_base::files::shell_line;
use gdcert_base::number::{at_least, at_most, digits, exact};
use gdcert_base::printable::printable_line;
use serde_json::Value;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// The largest number of residuals m = N n p, and of entries of the Jacobian, that is proven again without being asked.
const LARGEST: (usize, usize) = (512, 1 << 22);
/// After so long a page proves nothing more.
const PATIENCE: Duration = Duration::from_secs(60);
/// What a file that is read for this may weigh.
const HEAVIEST: u64 = 1 << 26;

/// A certificate file's contents.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "one or two at a time")]
pub(super) enum Held {
    Instance(Certificate),
    Model(ModelCertificate),
}

/// What a verdict says of the certificate behind it.
pub(super) enum Gist {
    /// The claim, the step from which a rate is proven, the rate, and how far the exact orbit is enclosed before.
    Rate {
        t: usize,
        rate: f64,
        orbit: Option<usize>,
    },
    Refuted {
        claim: String,
        t: usize,
    },
    Obstructed,
}

impl Held {
    fn read(path: &Path) -> Result<Self> {
        match gdcert_base::input::json(path)?["model"].is_object() {
            true => ModelCertificate::read(path).map(Held::Model),
            false => Certificate::read(path).map(Held::Instance),
        }
    }

    fn to_json(&self) -> Value {
        match self {
            Held::Instance(c) => c.to_json(),
            Held::Model(c) => c.to_json().clone(),
        }
    }

    pub fn gist(&self) -> Gist {
        match self {
            Held::Instance(Certificate::TheoremA(c)) => Gist::Rate {
                t: c.centre.t,
                rate: c.rate_lower,
                orbit: c.orbit.map(|orbit| orbit.steps),
            },
            Held::Instance(Certificate::Refuted(c)) => Gist::Refuted {
                claim: c.reading.clone(),
                t: c.t,
            },
            Held::Instance(Certificate::Obstructed(_)) => Gist::Obstructed,
            Held::Model(c) => super::model_proof::gist(c),
        }
    }
}

/// The verdicts of a file, be it of an instance or of a model.
pub(super) trait Verdicts {
    fn claims(&self) -> &ByName<ClaimRecord>;
    fn betas(&self) -> &ByName<Option<f64>>;
    fn deciding(&self) -> &str;
    fn measured_rate(&self) -> Option<f64>;
    /// The certificate within the file.
    fn within(&self) -> Option<&Value>;
    /// Whether a certificate that is proven has the numbers for the verdict that the file states for a claim.
    fn rests_on(&self, held: &Held, name: &str, folder: &Path) -> bool;
}

/// A certificate file, as it stands here and now.
#[derive(Clone, Debug)]
pub(super) struct Reproved {
    /// What the file claims.
    pub held: Held,
    /// What became of it.
    pub standing: Standing,
    /// What the file says and nothing here shows.
    pub doubts: Vec<String>,
    /// The command that checks it.
    pub check: String,
}

/// What became of a certificate.
#[derive(Clone, Debug)]
pub(super) enum Standing {
    /// Proven again, just now: the sentence that follows from the numbers, and what the checker remarks.
    Proven(String, Vec<String>),
    /// The condition that fails.
    Unproven(String),
    /// Why it was not tried, or could not be.
    NotTried(String),
}

/// Proves certificates again, each once, within bounds.
pub(super) struct Checks {
    begun: Instant,
    done: RefCell<BTreeMap<PathBuf, Rc<Reproved>>>,
}

impl Checks {
    pub(crate) fn new() -> Self {
        Checks {
            begun: Instant::now(),
            done: RefCell::default(),
        }
    }

    /// A certificate file, proven again if that is possible.
    ///
    /// # Errors
    /// A file that is no certificate.
    pub(crate) fn of(&self, path: &Path) -> Result<Rc<Reproved>> {
        if let Some(known) = self.done.borrow().get(path) {
            return Ok(known.clone());
        }
        regular(path)?;
        let held = Held::read(path)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut standing = if self.begun.elapsed() > PATIENCE {
            Standing::NotTried(format!(
                "a page spends at most {} s on proofs",
                PATIENCE.as_secs()
            ))
        } else {
            match &held {
                Held::Instance(certificate) => reprove(certificate, path, folder),
                Held::Model(certificate) => super::model_proof::reprove(certificate, path, folder),
            }
        };
        let doubts = match (&held, &mut standing) {
            (Held::Instance(certificate), _) => doubts(certificate, folder),
            (Held::Model(_), Standing::Proven(_, remarks)) => std::mem::take(remarks),
            (Held::Model(_), _) => Vec::new(),
        };
        let proof = Rc::new(Reproved {
            doubts,
            standing,
            held,
            check: shell_line(
                ["gdcert", "check", &path.to_string_lossy()]
                    .map(Into::into)
                    .into_iter(),
            ),
        });
        self.done
            .borrow_mut()
            .insert(path.to_owned(), proof.clone());
        Ok(proof)
    }

    /// The certificate that belongs to a verdict file: the one in it, if the same lies beside it.
    ///
    /// # Errors
    /// A certificate.json that is none.
    pub(crate) fn of_verdict(
        &self,
        file: &impl Verdicts,
        folder: &Path,
    ) -> Result<Option<Rc<Reproved>>> {
        self.beside(file.within(), folder)
    }

    /// The same with the certificate that is in the file.
    pub(crate) fn beside(
        &self,
        within: Option<&Value>,
        folder: &Path,
    ) -> Result<Option<Rc<Reproved>>> {
        let path = folder.join(BESIDE);
        let Some(within) = within else {
            return Ok(None);
        };
        if !path.exists() {
            return Ok(None);
        }
        let proof = self.of(&path)?;
        Ok((proof.held.to_json() == *within).then_some(proof))
    }
}

const BESIDE: &str = "certificate.json";

/// Only a regular file of a sensible size is read.
fn regular(path: &Path) -> Result<()> {
    let found =
        std::fs::metadata(path).map_err(|e| Error::file(path, format!("cannot read: {e}")))?;
    if !found.is_file() {
        return Err(Error::file(
            path,
            "is no regular file; name one that gdcert wrote",
        ));
    }
    if found.len() > HEAVIEST {
        return Err(Error::file(
            path,
            format!(
                "has more than {} MB; name a file that gdcert wrote",
                HEAVIEST >> 20
            ),
        ));
    }
    Ok(())
}

/// Entries of the Jacobian times steps of an exact orbit: about fifteen seconds on one core.
const LONGEST: usize = 1 << 27;

/// Runs the independent checker, the only place from here where something is proven.
fn reprove(certificate: &Certificate, path: &Path, folder: &Path) -> Standing {
    let mut files = vec![instance_of(certificate)];
    if let Certificate::TheoremA(c) = certificate {
        files.push(&c.centre.file);
    }
    for file in files {
        if let Err(why) = beside(folder, file) {
            return Standing::NotTried(why);
        }
    }
    let dims = match dims_of(folder, instance_of(certificate)) {
        Ok(dims) => dims,
        Err(why) => return Standing::NotTried(why),
    };
    let entries = dims.m().saturating_mul(3 * dims.block_len());
    if dims.m() > LARGEST.0 || entries > LARGEST.1 {
        return Standing::NotTried(format!(
            "its instance is too large for that, {} residuals and {entries} entries of the Jacobian; up to {} and {} are tried",
            dims.m(),
            LARGEST.0,
            LARGEST.1
        ));
    }
    let steps = match certificate {
        Certificate::TheoremA(c) => c.orbit.map_or(0, |orbit| orbit.steps),
        Certificate::Refuted(c) => c.t,
        _ => 0,
    };
    if entries.saturating_mul(steps) > LONGEST {
        return Standing::NotTried(format!(
            "its exact orbit of {steps} steps takes minutes to enclose again; gdcert check does it"
        ));
    }
    Standing::of(check(path))
}

impl Standing {
    pub fn of(checked: Result<Checked>) -> Self {
        match checked {
            Ok(Checked::Valid(proven)) => {
                Standing::Proven(proven.statement(), proven.remarks().to_vec())
            }
            Ok(Checked::Unproven(why)) => Standing::Unproven(why),
            Err(e) => Standing::NotTried(e.to_string()),
        }
    }
}

fn instance_of(certificate: &Certificate) -> &str {
    match certificate {
        Certificate::TheoremA(c) => &c.instance.file,
        Certificate::Obstructed(c) => &c.instance.file,
        Certificate::Refuted(c) => &c.instance.file,
    }
}

/// A file that lies beside the certificate under a plain name.
pub(super) fn beside(folder: &Path, file: &str) -> std::result::Result<PathBuf, String> {
    let name = Path::new(file);
    if name.file_name() != Some(name.as_os_str()) {
        return Err(format!(
            "'{file}' is not the plain name of a file beside it"
        ));
    }
    let path = folder.join(name);
    match regular(&path) {
        Ok(()) => Ok(path),
        Err(_) if !path.exists() => Err(format!("{file} is not beside it")),
        Err(e) => Err(e.to_string()),
    }
}

fn dims_of(folder: &Path, file: &str) -> std::result::Result<Dims, String> {
    Ok(instance(folder, file)?.dims())
}

fn instance(folder: &Path, file: &str) -> std::result::Result<Instance, String> {
    let path = beside(folder, file)?;
    Instance::read(&path, None).map_err(|e| e.to_string())
}

/// What the file says and neither its numbers nor the files beside it show.
fn doubts(certificate: &Certificate, folder: &Path) -> Vec<String> {
    let mut doubts = Vec::new();
    if certificate.statement() != statement(certificate) {
        doubts.push(
            "The `statement` in the file is not the one that its numbers give; it is not shown here."
                .to_owned(),
        );
    }
    if let Certificate::TheoremA(c) = certificate
        && c.centre.t > 0
        && c.orbit.is_none()
        && let Err(why) = tie(c, folder)
    {
        let t = c.centre.t;
        doubts.push(format!(
            "That the centre is M_{t}, the run's point at step {t}, is what the file says; {why}."
        ));
    }
    doubts
}

/// Whether a run beside the certificate has the centre's loss at the centre's step.
fn tie(c: &TheoremA, folder: &Path) -> std::result::Result<(), String> {
    const RUN: &str = "trajectory.csv";
    let path = folder.join(RUN);
    if !path.exists() {
        return Err("no trajectory.csv beside it shows the run".to_owned());
    }
    regular(&path).map_err(|e| e.to_string())?;
    let loss = loss_at(&path, c.centre.t)?;
    // The bound in the certificate is a relaxed |r|, and f = |r|^2 / 2.
    let centre = 0.5 * c.residual_norm_upper * c.residual_norm_upper;
    if (loss - centre).abs() <= 1e-5 * centre {
        Ok(())
    } else {
        Err(format!(
            "{RUN} beside it has the loss {} there, the centre {}",
            digits(loss),
            digits(centre)
        ))
    }
}

fn loss_at(path: &Path, t: usize) -> std::result::Result<f64, String> {
    let name = "trajectory.csv";
    let unreadable = |e: csv::Error| format!("{name} beside it cannot be read: {e}");
    let mut rows = csv::Reader::from_path(path).map_err(unreadable)?;
    for row in rows.records() {
        let row = row.map_err(unreadable)?;
        if row.get(0).and_then(|cell| cell.parse().ok()) == Some(t) {
            let loss = row.get(1).and_then(|cell| cell.parse().ok());
            return loss.ok_or(format!("{name} beside it has no loss at t = {t}"));
        }
    }
    Err(format!("{name} beside it has no step {t}"))
}

impl Reproved {
    /// Whether the certificate is proven, and with its numbers the verdict that a file states for a claim.
    fn supports(&self, file: &impl Verdicts, name: &str, folder: &Path) -> bool {
        matches!(self.standing, Standing::Proven(..)) && file.rests_on(&self.held, name, folder)
    }

    /// What the certificate says, sentence by sentence: what is proven and why; or what is only claimed.
    pub(crate) fn words(&self) -> Vec<String> {
        let mut words = match &self.standing {
            Standing::Proven(statement, _) => {
                let mut words = vec![format!("Proven: {statement}")];
                match &self.held {
                    Held::Instance(certificate) => words.extend(certificate_words(certificate)),
                    Held::Model(certificate) => {
                        words.extend(super::model_proof::words(certificate))
                    }
                }
                words
            }
            Standing::Unproven(why) => vec![
                format!("Not proven: {why}."),
                format!("It claims, wrongly or without proof: {}", self.claim()),
                self.files(),
            ],
            Standing::NotTried(why) => vec![
                format!("Not re-proven here: {why}."),
                format!("It claims: {}", self.claim()),
                self.files(),
            ],
        };
        words.extend(self.doubts.iter().cloned());
        for words in &mut words {
            *words = printable_line(words).into_owned();
        }
        words
    }

    fn claim(&self) -> String {
        match &self.held {
            Held::Instance(certificate) => claim(certificate),
            Held::Model(certificate) => certificate.statement().to_owned(),
        }
    }

    fn files(&self) -> String {
        match &self.held {
            Held::Instance(certificate) => files_words(certificate),
            Held::Model(certificate) => super::model_proof::files_words(certificate),
        }
    }

    /// Why it is no proof here.
    fn missing(&self) -> String {
        match &self.standing {
            Standing::Proven(..) => "its certificate is about something else".to_owned(),
            Standing::Unproven(why) => format!("its certificate is not proven ({why})"),
            Standing::NotTried(why) => why.clone(),
        }
    }
}

impl Verdicts for VerdictFile {
    fn claims(&self) -> &ByName<ClaimRecord> {
        &self.claims
    }
    fn betas(&self) -> &ByName<Option<f64>> {
        &self.betas
    }
    fn deciding(&self) -> &str {
        VerdictFile::deciding(self)
    }
    fn measured_rate(&self) -> Option<f64> {
        self.measured_rate
    }
    fn within(&self) -> Option<&Value> {
        self.certificate.as_ref()
    }
    fn rests_on(&self, held: &Held, name: &str, folder: &Path) -> bool {
        let Held::Instance(certificate) = held else {
            return false;
        };
        let verdict = self.claims[name].verdict;
        match (certificate, verdict) {
            (Certificate::TheoremA(c), Verdict::Certified | Verdict::CertifiedTail) => {
                let same = (c.kernel, c.trained, Some(c.eta))
                    == (self.kernel, self.trained, self.eta)
                    && (c.centre.t == 0 || c.orbit.is_some()) == (verdict == Verdict::Certified);
                same && covers(c, self, name, folder)
            }
            (Certificate::Refuted(c), Verdict::Refuted) => {
                let stated = self.betas[name].is_some_and(|beta| c.beta <= beta);
                (c.kernel, c.trained, Some(c.eta), c.reading.as_str())
                    == (self.kernel, self.trained, self.eta, name)
                    && (stated || Reading::named(name).is_some())
            }
            (Certificate::Obstructed(c), Verdict::Obstructed) => {
                (c.kernel, c.trained) == (self.kernel, self.trained)
            }
            _ => false,
        }
    }
}

/// Whether what a certificate proves covers a claim of a file.
fn covers(c: &TheoremA, file: &VerdictFile, name: &str, folder: &Path) -> bool {
    // One rounding, upward. Up to its tail an orbit is held against its own beta only.
    let up_to = |beta: f64| {
        (c.eta * beta).next_up() <= c.rate_lower && (c.orbit.is_none() || beta <= c.beta)
    };
    let Some(reading) = Reading::named(name) else {
        // Of a claim of the user's own the number is what the file says it is.
        let own = |beta: f64| c.reading == name && beta <= c.beta;
        return file.betas[name].is_some_and(|beta| own(beta) || up_to(beta));
    };
    if c.reading == name {
        return true;
    }
    let Ok(instance) = instance(folder, &c.instance.file) else {
        return false;
    };
    let applies = reading
        .missing_hypothesis(instance.dims(), c.trained)
        .is_none();
    applies && up_to(Enclosure::new(&instance, c.trained).beta(reading).hi())
}

/// A verdict of a file, and why it is not shown as proven although it says so: `None` where it says no such thing, or
/// where it was proven again.
pub(super) fn unsupported(
    file: &impl Verdicts,
    name: &str,
    proof: Option<&Reproved>,
    folder: &Path,
    checks: &Checks,
) -> Option<String> {
    let claim = &file.claims()[name];
    let claims_proof = matches!(
        claim.verdict,
        Verdict::Certified | Verdict::CertifiedTail | Verdict::Refuted | Verdict::Obstructed
    );
    if !claims_proof || proof.is_some_and(|p| p.supports(file, name, folder)) {
        return None;
    }
    if claim.verdict == Verdict::Refuted && name != file.deciding() {
        let why = own_refutation(file, name, folder, checks)?;
        return Some(printable_line(&why).into_owned());
    }
    let why = match (proof, file.within()) {
        (Some(proof), _) => proof.missing(),
        (None, Some(_)) => format!("{BESIDE} with the same contents is not beside it"),
        (None, None) => "it holds no certificate".to_owned(),
    };
    Some(printable_line(&why).into_owned())
}

/// Why the refutation of a claim that is not the deciding one is not shown as proven; `None` if it is, by its own file.
fn own_refutation(
    file: &impl Verdicts,
    claim: &str,
    folder: &Path,
    checks: &Checks,
) -> Option<String> {
    let name = refutation_file(claim);
    let path = folder.join(&name);
    if !path.exists() {
        return Some(format!("{name} is not beside it"));
    }
    match checks.of(&path) {
        Ok(proof) if proof.supports(file, claim, folder) => None,
        Ok(proof) => Some(proof.missing()),
        Err(e) => Some(e.to_string()),
    }
}

/// What a certificate claims, from its numbers.
fn claim(certificate: &Certificate) -> String {
    match certificate {
        Certificate::TheoremA(c) if c.orbit.is_some() => format!(
            "exact gradient descent on {} from the weights of {} with step eta = {} has f_t <= (1 - eta beta)^t f_0 for every t, \
             beta read as {}.",
            c.trained,
            c.instance.file,
            digits(c.eta),
            c.reading,
        ),
        Certificate::Refuted(c) => format!(
            "exact gradient descent on {} from the weights of {} with step eta = {} has f_t > (1 - eta beta)^t f_0 at t = {}, \
             beta read as {}.",
            c.trained,
            c.instance.file,
            digits(c.eta),
            c.t,
            c.reading,
        ),
        Certificate::TheoremA(c) => format!(
            "gradient descent on {} from the weights of {} with step eta = {} multiplies the loss by at most 1 - {} at every \
             step.",
            c.trained,
            c.centre.file,
            digits(c.eta),
            at_least(c.rate_lower),
        ),
        Certificate::Obstructed(c) => format!(
            "no choice of {} brings the loss of {} below {}.",
            c.trained,
            c.instance.file,
            at_least(c.loss_lower)
        ),
    }
}

/// What a certificate that is proven rests on, sentence by sentence.
pub fn certificate_words(certificate: &Certificate) -> Vec<String> {
    match certificate {
        Certificate::TheoremA(c) => theorem_a_words(c, files_words(certificate)),
        Certificate::Refuted(c) => vec![
            format!(
                "Why: the exact orbit, enclosed from M_0 step by step, has a loss of at least {} at t = {}, and the bound is at \
                 most {} there, with {}.",
                at_least(c.loss_lower),
                c.t,
                at_most(c.bound_upper),
                beta_words(&c.reading, c.beta, "at least", at_least),
            ),
            files_words(certificate),
        ],
        Certificate::Obstructed(c) => vec![
            format!("Why: {}.", reason_words(c.reason)),
            files_words(certificate),
        ],
    }
}

/// Which beta a proven claim is about.
pub(super) fn beta_words(name: &str, beta: f64, bound: &str, shown: fn(f64) -> String) -> String {
    match Reading::named(name) {
        Some(reading) => format!(
            "beta read as {reading} ({}), which is {bound} {}",
            reading.formula(),
            shown(beta)
        ),
        None => format!("the number beta = {}, called {name}", exact(beta)),
    }
}

fn theorem_a_words(c: &TheoremA, files: String) -> Vec<String> {
    let by = match &c.region {
        // With a box rho is only a bound on the path's length.
        Some(region) => {
            let radii: [f64; 3] = region.radii.into();
            let trained = c.trained.flags();
            let each = ["Q", "K", "V"].into_iter().zip(radii).zip(trained);
            let each = each.filter(|(_, on)| *on);
            let each: Vec<_> = each
                .map(|((name, radius), _)| format!("W^{name} {}", digits(radius)))
                .collect();
            format!("no block leaves its radius ({})", each.join(", "))
        }
        None => format!(
            "gradient descent stays in the ball of radius rho = {}",
            digits(c.rho)
        ),
    };
    let mut words = vec![
        format!(
            "Why: at the centre, the weights of {}, the residual is at most {} and the Jacobian's smallest singular value at \
             least {}. Around it the Jacobian changes by at most h = {} per unit of distance, so that {by}, there \
             sigma_min(J') >= {} and the loss is {}-smooth. With eta = {} each step multiplies the loss by at most 1 - {}.",
            c.centre.file,
            at_most(c.residual_norm_upper),
            at_least(c.alpha_lower),
            at_most(c.h_rho_upper),
            at_least(c.alpha),
            at_most(c.smoothness),
            digits(c.eta),
            at_least(c.rate_lower),
        ),
        format!(
            "Covers: the claim with {}.",
            beta_words(&c.reading, c.beta, "at most", at_most)
        ),
    ];
    if let Some(orbit) = c.orbit {
        words.push(format!(
            "From M_0 on: the orbit of exact gradient descent from the weights of {}, enclosed step by step, has f_t below the \
             bound at every t up to {}, and is then within {} of the centre. What is said of the centre holds for every point so \
             near to it.",
            c.instance.file,
            orbit.steps,
            at_most(orbit.distance),
        ));
    } else if c.centre.t > 0 {
        words.push(format!(
            "What it is about: exact gradient descent from the point in {}. That the run reached this point from the \
             instance, and kept the bound on the way, was checked on the computed run and is not part of the proof.",
            c.centre.file
        ));
    }
    words.push(files);
    words
}

/// The files whose bytes a certificate binds.
fn files_words(certificate: &Certificate) -> String {
    let named = |file: &str, sha256: &str| format!("{file} with SHA-256 {sha256}");
    let instance = |of: &FileRef| named(&of.file, &of.sha256);
    match certificate {
        Certificate::TheoremA(c) if c.centre.t > 0 || c.centre.file != c.instance.file => format!(
            "Files: it is about {} and {}, and about no other file.",
            instance(&c.instance),
            named(&c.centre.file, &c.centre.sha256)
        ),
        Certificate::TheoremA(TheoremA { instance: of, .. }) => {
            format!(
                "Files: it is about {} and about no other file.",
                instance(of)
            )
        }
        Certificate::Refuted(c) => {
            format!(
                "Files: it is about {} and about no other file.",
                instance(&c.instance)
            )
        }
        Certificate::Obstructed(c) => {
            format!(
                "Files: it is about {} and about no other file.",
                instance(&c.instance)
            )
        }
    }
}

pub(super) fn reason_words(reason: Reason) -> &'static str {
    match reason {
        Reason::Hull => "softmax outputs stay in the hull of the values, and labels lie outside it",
        Reason::ZeroGradient => {
            "the values do not depend on the token, so softmax attention does not change the output \
             and the gradient is exactly zero"
        }
    }
}

/// What `gdcert check` adds where a certificate is proven: what the file says and nothing shows.
pub fn remarks(path: &Path, proven: &Reproven) -> Result<Vec<String>> {
    // Of a model's certificate the checker says it.
    if proven.certificate().to_json().get("model").is_some() {
        return Ok(proven.remarks().to_vec());
    }
    let certificate = Certificate::read(path)?;
    Ok(doubts(&certificate, path.parent().unwrap_or(Path::new(""))))
}
