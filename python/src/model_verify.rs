//! `gdcert.verify` and `gdcert.certify` of a `Model`.

use crate::certificate::write;
use crate::errors::{not_certified, raise, refused};
use crate::model::{Kept, PyModel};
use crate::pickle::{Pickled, pickled, unpickled};
use crate::verify::{PyClaim, object};
use crate::work::{Asked, quiet, run};
use gdcert::Certified;
use gdcert::graph::{
    Certificate, Goal, Graph, Settings, VerdictFile, Verification, best_rate, certify_with,
    model_files, verify_with,
};
use gdcert_report::plot::{Figure, Format, model_rate_vs_bound};
use gdcert_report::{model_summary, model_verification_files};
use numpy::PyArray1;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

const TITLE: &str = "model";

/// What a pickle holds of a model and of the blocks that are trained.
type KeptModel = (Kept, Vec<String>);

fn kept(model: &PyModel, graph: &Graph) -> KeptModel {
    let names = graph.blocks().iter().map(|block| block.name.clone());
    (model.kept(), names.collect())
}

fn restored((model, names): KeptModel) -> PyResult<(PyModel, Arc<Graph>)> {
    let model = PyModel::restored(model)?;
    let graph = model.inner.training(&names).map_err(raise)?;
    Ok((model, Arc::new(graph)))
}

/// A proof about a model; made by gdcert.certify or found by gdcert.verify. str(c) is its statement.
///
/// >>> c = gdcert.certify(model, tail=True)  # doctest: +SKIP
/// >>> bool(gdcert.check(c))  # doctest: +SKIP
/// True
#[pyclass(name = "ModelCertificate", module = "gdcert", frozen)]
#[derive(Clone)]
pub struct PyModelCertificate {
    model: PyModel,
    /// The model with the blocks that are trained.
    graph: Arc<Graph>,
    certificate: Certificate,
    centre: Option<Vec<f64>>,
}

impl PyModelCertificate {
    pub fn files(&self) -> gdcert::Result<Vec<(String, Vec<u8>)>> {
        let graph = &self.graph;
        let mut files = model_files(graph)?;
        files.extend(self.certificate.files(graph, self.centre.as_deref())?);
        Ok(files)
    }

    fn number(&self, field: &str) -> Option<f64> {
        self.certificate.to_json()[field].as_f64()
    }
}

#[pymethods]
impl PyModelCertificate {
    /// "theorem_a", "refuted" or "obstructed".
    #[getter]
    fn kind(&self) -> &str {
        self.certificate.kind()
    }
    /// What is proven, in a sentence.
    #[getter]
    fn statement(&self) -> &str {
        self.certificate.statement()
    }
    /// The proven rate: f_{t+1} <= (1 - rate) f_t; None for a refutation.
    #[getter]
    fn rate(&self) -> Option<f64> {
        self.number("rate_lower")
    }
    /// The step.
    #[getter]
    fn eta(&self) -> Option<f64> {
        self.number("eta")
    }
    /// The step of the centre that the proof starts from, or the one at which the bound is refuted.
    #[getter]
    fn t(&self) -> u64 {
        let json = self.certificate.to_json();
        let t = json["t"].as_u64().or(json["centre"]["t"].as_u64());
        t.unwrap_or(0)
    }
    /// An upper bound of the claimed beta (of a refutation a lower one), or the number that was claimed.
    #[getter]
    fn beta(&self) -> Option<f64> {
        self.number("beta")
    }
    /// What certificate.json holds.
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        object(py, self.certificate.to_json())
    }
    /// Writes certificate.json and the files it is about into a folder, which is made if need be.
    fn save(&self, py: Python<'_>, folder: PathBuf) -> PyResult<()> {
        let save = || {
            write(
                &folder,
                self.files()?,
                "certify",
                "gdcert.certify(model)",
                None,
            )
        };
        quiet(py, save)?.map_err(raise)
    }
    /// The model it is about.
    #[getter]
    fn model(&self) -> PyModel {
        self.model.clone()
    }
    fn __repr__(&self) -> String {
        format!(
            "gdcert.ModelCertificate(kind='{}', reading='{}', t={})",
            self.certificate.kind(),
            self.certificate.claim(),
            self.t()
        )
    }
    fn __str__(&self) -> &str {
        self.certificate.statement()
    }
    fn __eq__(&self, other: &Self) -> bool {
        let same = self.certificate == other.certificate && self.centre == other.centre;
        same && self.graph == other.graph
    }
    fn __copy__(slf: Py<Self>) -> Py<Self> {
        slf // it never changes
    }
    fn __deepcopy__(slf: Py<Self>, _memo: &Bound<'_, PyAny>) -> Py<Self> {
        slf
    }
    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Pickled<'py>> {
        let model = kept(&self.model, &self.graph);
        pickled(
            &py.get_type::<Self>(),
            &(model, &self.certificate, &self.centre),
        )
    }
    #[staticmethod]
    fn _restore(bytes: &[u8]) -> PyResult<Self> {
        let (model, certificate, centre) = unpickled(bytes)?;
        let (model, graph) = restored(model)?;
        Ok(PyModelCertificate {
            model,
            graph,
            certificate,
            centre,
        })
    }
}

/// Everything found out about one model; made by gdcert.verify. As Verification, where that means something.
///
/// >>> v = gdcert.verify(model, claims={"mine": 0.1})  # doctest: +SKIP
/// >>> v.claims["mine"].verdict  # doctest: +SKIP
/// 'certified'
#[pyclass(name = "ModelVerification", module = "gdcert", frozen)]
pub struct PyModelVerification {
    found: Arc<Verification>,
    model: PyModel,
    /// The model with the blocks that are trained.
    graph: Arc<Graph>,
    deciding: String,
    command: String,
    drawn: OnceLock<Figure>,
}

impl PyModelVerification {
    fn figure(&self, py: Python<'_>) -> PyResult<&Figure> {
        if let Some(figure) = self.drawn.get() {
            return Ok(figure);
        }
        let draw = || model_rate_vs_bound(&self.graph, &self.found, TITLE, &self.deciding);
        let figure = quiet(py, draw)?;
        Ok(self.drawn.get_or_init(|| figure)) // another thread may have drawn the same
    }
}

#[pymethods]
impl PyModelVerification {
    /// The verdict of the deciding claim.
    #[getter]
    fn verdict(&self) -> String {
        self.found.claim(&self.deciding).verdict.to_string()
    }
    /// The claim that decides.
    #[getter]
    fn reading(&self) -> &str {
        &self.deciding
    }
    /// One Claim for ntk and for each claim of your own, by name.
    #[getter]
    fn claims<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        for claim in &self.found.claims {
            dict.set_item(&claim.name, Py::new(py, PyClaim::new(claim.clone()))?)?;
        }
        Ok(dict)
    }
    /// beta by name.
    #[getter]
    fn betas<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        for claim in &self.found.claims {
            dict.set_item(&claim.name, claim.beta)?;
        }
        Ok(dict)
    }
    /// The step.
    #[getter]
    fn eta(&self) -> f64 {
        self.found.trajectory.eta
    }
    /// Steps that were run.
    #[getter]
    fn steps(&self) -> usize {
        self.found.last().t
    }
    /// f(M_0).
    #[getter]
    fn loss0(&self) -> f64 {
        self.found.loss0()
    }
    /// f at the end of the run.
    #[getter]
    fn final_loss(&self) -> f64 {
        self.found.last().loss
    }
    /// The rate measured over the run, or None.
    #[getter]
    fn measured_rate(&self) -> Option<f64> {
        self.found.trajectory.measured_rates().map(|r| r.0)
    }
    /// |J_0|.
    #[getter]
    fn jacobian_norm(&self) -> f64 {
        self.found.jacobian_norm
    }
    /// |df/dblock| at M_0 by block.
    #[getter]
    fn grad_norms<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        let norms = &self.found.trajectory.points[0].grad_norms;
        for (block, norm) in self.graph.blocks().iter().zip(norms) {
            dict.set_item(&block.name, norm)?;
        }
        Ok(dict)
    }
    /// The model that was verified.
    #[getter]
    fn model(&self) -> PyModel {
        self.model.clone()
    }
    /// The columns of trajectory.csv as arrays (NaN where a cell is empty).
    #[getter]
    fn trajectory<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let points = &self.found.trajectory.points;
        let columns = PyDict::new(py);
        let add =
            |name: &str, values: Vec<f64>| columns.set_item(name, PyArray1::from_vec(py, values));
        add("t", points.iter().map(|p| p.t as f64).collect())?;
        add("loss", points.iter().map(|p| p.loss).collect())?;
        let f0 = self.found.loss0();
        for claim in &self.found.claims {
            let bounds = points
                .iter()
                .map(|p| claim.bound(p.t, f0).unwrap_or(f64::NAN));
            add(&format!("bound_{}", claim.name), bounds.collect())?;
        }
        let norm = |all: &Vec<f64>| all.iter().map(|x| x * x).sum::<f64>().sqrt();
        let norms = points.iter().map(|p| norm(&p.grad_norms));
        add("grad_norm", norms.collect())?;
        for (b, block) in self.graph.blocks().iter().enumerate() {
            let moved = points.iter().map(|p| p.moved[b]);
            add(&format!("moved_{}", block.name), moved.collect())?;
        }
        py.import("gdcert._table")?
            .getattr("Trajectory")?
            .call1((columns,))
    }
    /// A ModelCertificate, or None.
    #[getter]
    fn certificate(&self) -> Option<PyModelCertificate> {
        let certificate = self.found.certificate.clone()?;
        let proven = self.found.proven.as_ref();
        Some(PyModelCertificate {
            model: self.model.clone(),
            graph: self.graph.clone(),
            certificate,
            centre: proven.and_then(|p| p.centre.clone()),
        })
    }
    /// The figure as SVG, as the command draws it.
    #[getter]
    fn svg(&self, py: Python<'_>) -> PyResult<String> {
        Ok(self.figure(py)?.svg())
    }
    /// The figure as PNG.
    #[getter]
    fn png<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let figure = self.figure(py)?;
        let png = quiet(py, || figure.png())?.map_err(raise)?;
        Ok(PyBytes::new(py, &png))
    }
    /// The words that the command prints.
    fn summary(&self) -> String {
        model_summary(&self.graph, &self.found, TITLE, &self.deciding)
    }
    fn __str__(&self) -> String {
        self.summary()
    }
    /// What verdict.json holds.
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let file = VerdictFile::new(&self.graph, &self.found, &self.command, &self.deciding);
        let text = file.and_then(|file| file.to_text()).map_err(raise)?;
        let value = serde_json::from_str(&text)
            .map_err(|e| refused(format!("cannot form the verdict: {e}")))?;
        object(py, &value)
    }
    /// Writes the files of `gdcert verify --model` into a folder, which is made if need be.
    fn save(&self, py: Python<'_>, folder: PathBuf) -> PyResult<()> {
        let save = || {
            let files = model_verification_files(
                &self.graph,
                &self.found,
                &self.command,
                TITLE,
                &self.deciding,
                &Format::SCREEN,
            )?;
            write(&folder, files, "verify", &self.command, None)
        };
        quiet(py, save)?.map_err(raise)
    }
    /// The loss against its bounds on matplotlib axes (new ones if none are given); returns them.
    #[pyo3(signature = (ax = None))]
    fn plot<'py>(
        slf: &Bound<'py, Self>,
        ax: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let module = slf.py().import("gdcert._plot")?;
        module.call_method1("plot", (slf, ax))
    }
    fn _repr_html_<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let module = slf.py().import("gdcert._plot")?;
        module.call_method1("html", (slf,))
    }
    fn __repr__(&self) -> String {
        format!(
            "gdcert.ModelVerification(verdict='{}', reading='{}', steps={}, loss0={:e}, final_loss={:e})",
            self.verdict(),
            self.deciding,
            self.steps(),
            self.loss0(),
            self.final_loss()
        )
    }
    fn __copy__(slf: Py<Self>) -> Py<Self> {
        slf // it never changes
    }
    fn __deepcopy__(slf: Py<Self>, _memo: &Bound<'_, PyAny>) -> Py<Self> {
        slf
    }
    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Pickled<'py>> {
        let model = kept(&self.model, &self.graph);
        let found: &Verification = &self.found;
        pickled(
            &py.get_type::<Self>(),
            &(model, found, &self.deciding, &self.command),
        )
    }
    #[staticmethod]
    fn _restore(bytes: &[u8]) -> PyResult<Self> {
        let (model, found, deciding, command): (_, Verification, String, _) = unpickled(bytes)?;
        let (model, graph) = restored(model)?;
        if found.trajectory.points.is_empty() || found.claims.iter().all(|c| c.name != deciding) {
            return Err(refused(
                "is no pickle of a verification: it has no point, or no claim",
            ));
        }
        Ok(PyModelVerification {
            found: Arc::new(found),
            model,
            graph,
            deciding,
            command,
            drawn: OnceLock::new(),
        })
    }
}

/// `gdcert.verify` of a model.
pub fn verify_model(
    py: Python<'_>,
    model: &PyModel,
    graph: Arc<Graph>,
    settings: &Settings,
    asked: &Asked<'_, '_>,
    command: String,
) -> PyResult<PyModelVerification> {
    let total = settings.steps.limit();
    let found = run(py, asked, |watch| {
        verify_with(&graph, settings, &mut |t| watch.at(t, total))
    })?;
    Ok(PyModelVerification {
        found: Arc::new(found),
        model: model.clone(),
        graph,
        deciding: settings.deciding().to_owned(),
        command,
        drawn: OnceLock::new(),
    })
}

/// `gdcert.certify` of a model; with `best` the largest rate.
pub fn certify_model(
    py: Python<'_>,
    model: &PyModel,
    graph: Arc<Graph>,
    goal: &Goal,
    best: bool,
    asked: &Asked<'_, '_>,
) -> PyResult<PyModelCertificate> {
    let found = run(py, asked, |watch| match best {
        true => best_rate(&graph),
        false => certify_with(&graph, goal, &mut |t| watch.at(t, goal.tail)),
    })?;
    let (certificate, centre) = match found {
        Certified::Rate {
            certificate,
            proven,
            ..
        } => (certificate, proven.centre),
        Certified::Refuted(certificate) | Certified::Obstructed(certificate) => (certificate, None),
        Certified::Refused(why) => return Err(not_certified(py, why)?),
    };
    Ok(PyModelCertificate {
        model: model.clone(),
        graph,
        certificate,
        centre,
    })
}
