//! `gdcert.certify`, `gdcert.check`.

use crate::errors::{NotCertified, raise, refused};
use crate::instance::PyInstance;
use crate::verify::{eta, object, reading, trained};
use crate::work::{Watch, on_threads};
use gdcert::certificate::{Certificate, Checked, ScaleSearch, check as check_file};
use gdcert::{
    CERTIFICATE_FILES, Certified, Eta, Goal, Instance, Trained, certificate_files,
};
use gdcert_base::files::write_all;
use pyo3::prelude::*;
use serde_json::json;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// A proof about one instance; made by `gdcert.certify` or found by `gdcert.verify`.
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
    mut files: Vec<(&'static str, Vec<u8>)>,
    subcommand: &str,
    command: &str,
) -> gdcert::Result<()> {
    std::fs::create_dir_all(folder).map_err(|source| gdcert::Error::Write {
        path: folder.to_owned(),
        source,
    })?;
    let run = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "command": command,
        "subcommand": subcommand,
        "seed": null,
    });
    files.push(("run.json", format!("{run:#}\n").into_bytes()));
    let stale = CERTIFICATE_FILES
        .iter()
        .filter(|name| !files.iter().any(|(file, _)| file == *name));
    let stale: Vec<PathBuf> = stale.map(|name| folder.join(name)).collect();
    write_all(folder, &files)?;
    for path in stale {
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(gdcert::Error::Write { path, source: e });
            }
            _ => {}
        }
    }
    Ok(())
}

#[pymethods]
impl PyCertificate {
    /// "theorem_a" or "obstructed".
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
            Certificate::Obstructed(_) => None,
        }
    }
    /// The step.
    #[getter]
    fn eta(&self) -> Option<f64> {
        match &self.certificate {
            Certificate::TheoremA(a) => Some(a.eta),
            Certificate::Obstructed(_) => None,
        }
    }
    /// The step of the run from which the proof starts.
    #[getter]
    fn t(&self) -> usize {
        match &self.certificate {
            Certificate::TheoremA(a) => a.centre.t,
            Certificate::Obstructed(_) => 0,
        }
    }
    /// An upper bound of the claimed beta.
    #[getter]
    fn beta(&self) -> Option<f64> {
        match &self.certificate {
            Certificate::TheoremA(a) => Some(a.beta),
            Certificate::Obstructed(_) => None,
        }
    }
    /// What certificate.json holds.
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        object(py, &self.certificate.to_json())
    }
    /// Writes certificate.json and the files it is about into a folder, which is made if need be.
    fn save(&self, py: Python<'_>, folder: PathBuf) -> PyResult<()> {
        let command = "gdcert.certify(...)";
        py.detach(|| write(&folder, self.files()?, "certify", command))
            .map_err(raise)
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
            Certificate::Obstructed(o) => format!(
                "gdcert.Certificate(kind='obstructed', loss_lower={:e})",
                o.loss_lower
            ),
        }
    }
    fn __str__(&self) -> &str {
        self.certificate.statement()
    }
}

/// Proves f_t <= (1 - eta beta)^t f_0 for every t, or that no convergence to 0 is possible.
///
/// search_scale: find the smallest scale of the instance's law at which the proof closes at M_0. tail: run gradient
/// descent for at most `steps` (2000) until it closes. Raises NotCertified if nothing does.
///
/// >>> inst = gdcert.Instance.random(N=2, n=4, D=8, d=4, H=3, init="lazy", scale=1e4)
/// >>> c = gdcert.certify(inst)
/// >>> c.kind, c.t
/// ('theorem_a', 0)
#[pyfunction]
#[pyo3(signature = (inst, theorem = 1, train = None, eta = None, reading = None, search_scale = false, tail = false, steps = None, threads = None, progress = None))]
#[allow(clippy::too_many_arguments)]
pub fn certify(
    py: Python<'_>,
    inst: &PyInstance,
    theorem: u8,
    train: Option<&str>,
    eta: Option<&Bound<'_, PyAny>>,
    reading: Option<&str>,
    search_scale: bool,
    tail: bool,
    steps: Option<usize>,
    threads: Option<usize>,
    progress: Option<&Bound<'_, PyAny>>,
) -> PyResult<PyCertificate> {
    let _ = (ScaleSearch::new, Eta::Auto, search_scale);
    let goal = Goal {
        trained: trained(theorem, train)?,
        reading: self::reading(reading)?,
        eta: self::eta(eta)?,
        tail: if tail { steps.unwrap_or(2000) } else { 0 },
    };
    let watch = Watch::new(py, "gradient descent", progress)?;
    let found = on_threads(py, threads, || {
        gdcert::certify(&inst.inner, &goal, &mut |t| watch.at(t, goal.tail))
    })?;
    match watch.end(py, found)? {
        Certified::Rate {
            certificate,
            proven,
        } => Ok(PyCertificate::new(inst.clone(), certificate, proven.centre)),
        Certified::Obstructed(certificate) => {
            Ok(PyCertificate::new(inst.clone(), certificate, None))
        }
        Certified::Refused(why) => Err(not_certified(py, why)?),
    }
}

fn not_certified(py: Python<'_>, why: String) -> PyResult<PyErr> {
    let error = NotCertified::new_err(why.clone());
    let value = error.value(py);
    value.setattr("condition", &why)?;
    value.setattr("factor", py.None())?;
    value.setattr("t", 0)?;
    Ok(error)
}

/// What `gdcert.check` says: true if proven.
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
    let checked = if let Ok(held) = certificate.cast::<PyCertificate>() {
        let files = held.get().files().map_err(raise)?;
        let folder = py.import("tempfile")?.call_method0("TemporaryDirectory")?;
        let path: PathBuf = folder.getattr("name")?.extract()?;
        let checked = py.detach(|| {
            write_all(&path, &files)?;
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
        py.detach(|| check_file(&path))
    };
    let _: fn(()) -> ControlFlow<()> = ControlFlow::Break;
    let _ = Trained::QKV;
    Ok(match checked.map_err(raise)? {
        Checked::Valid(statement) => PyChecked {
            proven: true,
            statement: Some(statement.to_string()),
            reason: None,
        },
        Checked::NotProven(reason) => PyChecked {
            proven: false,
            statement: None,
            reason: Some(reason),
        },
    })
}
