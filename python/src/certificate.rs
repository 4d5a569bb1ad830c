//! `gdcert.certify`, `gdcert.check`.

use crate::errors::{not_certified, raise, refused};
use crate::instance::{PyInstance, Source};
use crate::model::PyModel;
use crate::model_verify::{PyModelCertificate, certify_model};
use crate::pickle::{Pickled, pickled, unpickled};
use crate::verify::{claims, eta, instance, object, of_attention, orbit, reading, trained};
use crate::work::{Asked, quiet, run, size};
use gdcert::certificate::{Certificate, Checked, check as check_file};
use gdcert::{CERTIFICATE_FILES, Certified, Goal, Instance, Precision, Steps, certificate_files};
use gdcert_base::files::write_all;
use gdcert_report::RUN;
use pyo3::prelude::*;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A proof about one instance; made by gdcert.certify or found by gdcert.verify. str(c) is its statement.
///
/// >>> inst = gdcert.Instance.random(N=2, n=4, D=8, d=4, H=3, init="lazy", scale=1e4)
/// >>> c = gdcert.certify(inst)
/// >>> c.rate > 0, c.instance == inst
/// (True, True)
#[pyclass(name = "Certificate", module = "gdcert", frozen)]
#[derive(Clone)]
pub struct PyCertificate {
    instance: PyInstance,
    certificate: Certificate,
    centre: Option<Instance>,
}

impl PyCertificate {
    pub fn new(instance: PyInstance, certificate: Certificate, centre: Option<Instance>) -> Self {
        PyCertificate {
            instance,
            certificate,
            centre,
        }
    }

    fn files(&self) -> gdcert::Result<Vec<(&'static str, Vec<u8>)>> {
        let mut files = vec![("instance.safetensors", self.instance.inner.to_bytes()?)];
        files.extend(certificate_files(&self.certificate, self.centre.as_ref())?);
        Ok(files)
    }
}

/// Writes a result's files and run.json, and takes away the optional files of an earlier one.
pub fn write(
    folder: &Path,
    files: Vec<(impl AsRef<str>, Vec<u8>)>,
    subcommand: &str,
    command: &str,
    seed: Option<u64>,
) -> gdcert::Result<()> {
    let cannot = |path: &Path, source| gdcert::Error::Write {
        path: path.to_owned(),
        source,
    };
    std::fs::create_dir_all(folder).map_err(|e| cannot(folder, e))?;
    let run = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "command": command,
        "subcommand": subcommand,
        "seed": seed,
    });
    let named = |(name, bytes): (_, Vec<u8>)| (AsRef::<str>::as_ref(&name).to_owned(), bytes);
    let mut files: Vec<_> = files.into_iter().map(named).collect();
    files.push((RUN.to_owned(), format!("{run:#}\n").into_bytes()));
    let stale = || {
        for name in CERTIFICATE_FILES {
            let path = folder.join(name);
            if !files.iter().any(|(file, _)| *file == name) && path.exists() {
                std::fs::remove_file(&path).map_err(|e| cannot(&path, e))?;
            }
        }
        Ok(())
    };
    write_all(folder, &files, &stale)
}

#[pymethods]
impl PyCertificate {
    /// "theorem_a", "refuted" or "obstructed".
    #[getter]
    fn kind(&self) -> &'static str {
        self.certificate.kind()
    }
    /// What is proven, in a sentence.
    #[getter]
    fn statement(&self) -> &str {
        self.certificate.statement()
    }
    /// The proven rate: f_{t+1} <= (1 - rate) f_t; None for an obstruction.
    #[getter]
    fn rate(&self) -> Option<f64> {
        match &self.certificate {
            Certificate::TheoremA(a) => Some(a.rate_lower),
            Certificate::Obstructed(_) | Certificate::Refuted(_) => None,
        }
    }
    /// The step.
    #[getter]
    fn eta(&self) -> Option<f64> {
        match &self.certificate {
            Certificate::TheoremA(a) => Some(a.eta),
            Certificate::Refuted(r) => Some(r.eta),
            Certificate::Obstructed(_) => None,
        }
    }
    /// The reading of beta that the claim is about; None for an obstruction.
    #[getter]
    fn reading(&self) -> Option<String> {
        match &self.certificate {
            Certificate::TheoremA(a) => Some(a.reading.to_string()),
            Certificate::Refuted(r) => Some(r.reading.to_string()),
            Certificate::Obstructed(_) => None,
        }
    }
    /// The step of the centre that the proof starts from, or the one at which the bound is refuted.
    #[getter]
    fn t(&self) -> usize {
        match &self.certificate {
            Certificate::TheoremA(a) => a.centre.t,
            Certificate::Refuted(r) => r.t,
            Certificate::Obstructed(_) => 0,
        }
    }
    /// An upper bound of the claimed beta (of a refutation a lower one).
    #[getter]
    fn beta(&self) -> Option<f64> {
        match &self.certificate {
            Certificate::TheoremA(a) => Some(a.beta),
            Certificate::Refuted(r) => Some(r.beta),
            Certificate::Obstructed(_) => None,
        }
    }
    /// What certificate.json holds.
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        object(py, &self.certificate.to_json())
    }
    /// Writes certificate.json and the files it is about into a folder, which is made if need be.
    fn save(&self, py: Python<'_>, folder: PathBuf) -> PyResult<()> {
        let seed = self.instance.law().map(|(_, seed)| seed);
        let save = || {
            write(
                &folder,
                self.files()?,
                "certify",
                "gdcert.certify(inst)",
                seed,
            )
        };
        quiet(py, save)?.map_err(raise)
    }
    /// The instance it is about.
    #[getter]
    fn instance(&self) -> PyInstance {
        self.instance.clone()
    }
    /// The point M_t that the proof starts from, with the instance's data.
    #[getter]
    fn centre(&self) -> PyInstance {
        match &self.centre {
            Some(centre) => PyInstance::of(centre.clone()),
            None => self.instance.clone(),
        }
    }
    fn __repr__(&self) -> String {
        match &self.certificate {
            Certificate::TheoremA(a) => format!(
                "gdcert.Certificate(kind='theorem_a', reading='{}', t={}, rate={:e})",
                a.reading, a.centre.t, a.rate_lower
            ),
            Certificate::Refuted(r) => format!(
                "gdcert.Certificate(kind='refuted', reading='{}', t={})",
                r.reading, r.t
            ),
            Certificate::Obstructed(o) => format!(
                "gdcert.Certificate(kind='obstructed', loss_lower={:e})",
                o.loss_lower
            ),
        }
    }
    fn __str__(&self) -> &str {
        self.certificate.statement()
    }
    fn __eq__(&self, other: &Self) -> bool {
        let same = self.certificate == other.certificate && self.instance == other.instance;
        same && self.centre == other.centre
    }
    fn __copy__(slf: Py<Self>) -> Py<Self> {
        slf // it never changes
    }
    fn __deepcopy__(slf: Py<Self>, _memo: &Bound<'_, PyAny>) -> Py<Self> {
        slf
    }
    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Pickled<'py>> {
        let kept = (self.instance.kept(), &self.certificate, &self.centre);
        pickled(&py.get_type::<Self>(), &kept)
    }
    #[staticmethod]
    fn _restore(bytes: &[u8]) -> PyResult<Self> {
        let (instance, certificate, centre) = unpickled(bytes)?;
        let instance = PyInstance::restored(instance);
        Ok(Self::new(instance, certificate, centre))
    }
}

/// Proves f_t <= (1 - eta beta)^t f_0 for every t, or that this is not so, or that no convergence to 0 is possible.
///
/// theorem, train, eta, reading, claims: as in gdcert.verify. best_rate: the largest rate that can be found at M_0, over steps
/// and regions, whatever it was claimed to be. search_scale: find the smallest scale of the law that the instance
/// was drawn from (Instance.random) at which the proof closes at M_0; then .instance is the one drawn there. tail: run
/// gradient descent for at most steps (2000) until it closes, with its exact orbit enclosed up to there, so that what is proven
/// starts at M_0. orbit, bits, threads, progress: as in gdcert.verify.
///
/// inst may be a Model: then a ModelCertificate is returned.
///
/// Returns a Certificate. Raises NotCertified (with .condition, .factor, .t) if nothing closes.
///
/// >>> inst = gdcert.Instance.random(N=2, n=4, D=8, d=4, H=3, init="lazy", scale=1e4)
/// >>> c = gdcert.certify(inst)
/// >>> c.kind, c.t
/// ('theorem_a', 0)
/// >>> smallest = gdcert.certify(inst, search_scale=True)
/// >>> bool(gdcert.check(smallest))
/// True
#[pyfunction]
#[pyo3(signature = (inst, theorem = None, train = None, eta = None, reading = None, search_scale = false, tail = false, steps = None, threads = None, progress = None, claims = None, best_rate = false, orbit = "auto", bits = None))]
#[pyo3(
    text_signature = "(inst, theorem=1, train=None, eta='auto', reading=None, search_scale=False, tail=False, steps=None, threads=None, progress=None, claims=None, best_rate=False, orbit='auto', bits=4096)"
)]
#[allow(clippy::too_many_arguments)]
pub fn certify<'py>(
    py: Python<'py>,
    inst: &Bound<'py, PyAny>,
    theorem: Option<&Bound<'_, PyAny>>,
    train: Option<&Bound<'_, PyAny>>,
    eta: Option<&Bound<'_, PyAny>>,
    reading: Option<&str>,
    search_scale: bool,
    tail: bool,
    steps: Option<&Bound<'_, PyAny>>,
    threads: Option<&Bound<'_, PyAny>>,
    progress: Option<&Bound<'_, PyAny>>,
    claims: Option<&Bound<'_, PyAny>>,
    best_rate: bool,
    orbit: &str,
    bits: Option<&Bound<'_, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let steps = steps.map(|steps| size("steps", steps)).transpose()?;
    if steps.is_some() && !tail {
        return Err(refused(
            "steps says how far a tail may begin; give tail=True",
        ));
    }
    let chosen = eta.is_some() || reading.is_some() || claims.is_some();
    if best_rate && (chosen || search_scale || tail) {
        return Err(refused(
            "best_rate chooses the step and the claim at M_0; drop eta, reading, claims, search_scale and tail",
        ));
    }
    let asked = Asked {
        label: "gradient descent",
        threads,
        progress,
    };
    let steps_of_tail = if tail { steps.unwrap_or(2000) } else { 0 };
    if let Ok(model) = inst.cast::<PyModel>() {
        of_attention(&[
            ("theorem", theorem.is_some()),
            ("search_scale", search_scale),
        ])?;
        let goal = gdcert::graph::Goal {
            reading: self::reading(reading),
            claims: self::claims(claims)?,
            eta: self::eta(eta)?,
            tail: steps_of_tail,
            orbit: self::orbit(orbit, bits)?,
        };
        let graph = model.get().training(train)?;
        let found = certify_model(py, model.get(), graph, &goal, best_rate, &asked)?;
        return Ok(Bound::new(py, found)?.into_any());
    }
    let inst = instance(inst)?;
    let train: Option<String> = train.map(|train| train.extract()).transpose()?;
    let goal = Goal {
        trained: trained(theorem, train.as_deref())?,
        reading: self::reading(reading),
        claims: self::claims(claims)?,
        eta: self::eta(eta)?,
        tail: steps_of_tail,
        orbit: self::orbit(orbit, bits)?,
    };
    let law = match (search_scale, inst.law()) {
        (false, _) => None,
        (true, _) if tail => {
            return Err(refused(
                "search_scale and tail exclude each other; give one of them",
            ));
        }
        (true, None) => {
            return Err(refused(
                "search_scale needs the law that the instance was drawn from; draw it with Instance.random",
            ));
        }
        (true, law) => law,
    };
    let dims = inst.inner.dims();
    gdcert::check_room(dims, goal.trained, Steps::Exactly(0), Precision::F64).map_err(raise)?;
    let (instance, found) = run(py, &asked, |watch| match law {
        None => {
            let mut observe = |t| watch.at(t, goal.tail);
            let found = match best_rate {
                true => gdcert::best_rate(&inst.inner, goal.trained)?,
                false => gdcert::certify_with(&inst.inner, &goal, &mut observe)?,
            };
            Ok((inst.clone(), found))
        }
        Some((init, seed)) => {
            let kernel = inst.inner.kernel();
            let mut observe = |_| watch.go_on();
            let (drawn, scale, found) =
                gdcert::search_scale(dims, kernel, init, seed, &goal, &mut observe)?;
            let instance = PyInstance {
                inner: Arc::new(drawn),
                source: Source::Drawn(init.with_scale(scale), seed),
            };
            Ok((instance, found))
        }
    })?;
    let found = match found {
        Certified::Rate {
            certificate,
            proven,
            ..
        } => PyCertificate::new(instance, certificate, proven.centre),
        Certified::Obstructed(certificate) | Certified::Refuted(certificate) => {
            PyCertificate::new(instance, certificate, None)
        }
        Certified::Refused(why) => return Err(not_certified(py, why)?),
    };
    Ok(Bound::new(py, found)?.into_any())
}

/// What gdcert.check says: true if proven. statement says what, reason why not.
///
/// >>> inst = gdcert.Instance.random(N=2, n=4, D=8, d=4, H=3, init="lazy", scale=1e4)
/// >>> checked = gdcert.check(gdcert.certify(inst))
/// >>> bool(checked), checked.reason
/// (True, None)
#[pyclass(name = "Checked", module = "gdcert", frozen)]
pub struct PyChecked {
    proven: bool,
    /// What is proven, or None.
    #[pyo3(get)]
    statement: Option<String>,
    /// The first condition that could not be proven, or None.
    #[pyo3(get)]
    reason: Option<String>,
}

#[pymethods]
impl PyChecked {
    fn __bool__(&self) -> bool {
        self.proven
    }
    fn __repr__(&self) -> String {
        match (&self.statement, &self.reason) {
            (Some(statement), _) => format!("gdcert.Checked(True, statement={statement:?})"),
            (_, reason) => format!(
                "gdcert.Checked(False, reason={:?})",
                reason.as_deref().unwrap_or("")
            ),
        }
    }
}

/// Re-proves a certificate by a path of its own, trusting no number in it.
///
/// certificate: the path of a certificate.json, a folder that holds one, or a Certificate.
///
/// >>> inst = gdcert.Instance.random(N=2, n=4, D=8, d=4, H=3, init="lazy", scale=1e4)
/// >>> bool(gdcert.check(gdcert.certify(inst)))
/// True
#[pyfunction]
pub fn check(py: Python<'_>, certificate: &Bound<'_, PyAny>) -> PyResult<PyChecked> {
    let asked = Asked {
        label: "check",
        threads: None,
        progress: None,
    };
    let held = if let Ok(held) = certificate.cast::<PyCertificate>() {
        let owned = |(name, bytes): (&str, Vec<u8>)| (name.to_owned(), bytes);
        let files = held.get().files().map_err(raise)?;
        Some(files.into_iter().map(owned).collect())
    } else if let Ok(held) = certificate.cast::<PyModelCertificate>() {
        Some(held.get().files().map_err(raise)?)
    } else {
        None
    };
    let checked = if let Some(files) = held {
        let files: Vec<(String, Vec<u8>)> = files;
        let folder = py.import("tempfile")?.call_method0("TemporaryDirectory")?;
        let path: PathBuf = folder.getattr("name")?.extract()?;
        let checked = run(py, &asked, |_| {
            write_all(&path, &files, &|| Ok(()))?;
            check_file(&path.join("certificate.json"))
        });
        folder.call_method0("cleanup")?;
        checked
    } else {
        let path: PathBuf = certificate.extract().map_err(|_| {
            refused("check takes the path of a certificate.json, its folder, or a Certificate")
        })?;
        let path = match path.is_dir() {
            true => path.join("certificate.json"),
            false => path,
        };
        run(py, &asked, |_| check_file(&path))
    };
    Ok(match checked? {
        Checked::Valid(found) => PyChecked {
            proven: true,
            statement: Some(found.statement()),
            reason: None,
        },
        Checked::Unproven(reason) => PyChecked {
            proven: false,
            statement: None,
            reason: Some(reason),
        },
    })
}
