//! `gdcert.verify`: an instance to a verdict.

use crate::arrays::array;
use crate::certificate::PyCertificate;
use crate::errors::{raise, refused, shown};
use crate::instance::PyInstance;
use crate::model::PyModel;
use crate::model_verify::verify_model;
use crate::pickle::{Pickled, pickled, unpickled};
use crate::work::{Asked, list, number, quiet, run, size, whole};
use gdcert::certificate::{Certificate, Constant, OwnClaim, Proven};
use gdcert::descent::Steps;
use gdcert::spectrum::Reading;
use gdcert::verdict::Claim;
use gdcert::verify::{Event, Origin, VerdictFile};
use gdcert::{Eta, Precision, Settings, Trained, Verification};
use gdcert_report::plot::{Figure, Format, rate_vs_bound};
use numpy::{PyArray1, PyArrayDyn};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};
use serde_json::Value;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

/// A non-empty subset of QKV.
pub fn blocks(train: &str) -> PyResult<Trained> {
    train.parse().map_err(raise)
}

/// The blocks that `theorem` (1) or, if given, `train` names.
pub fn trained(theorem: Option<&Bound<'_, PyAny>>, train: Option<&str>) -> PyResult<Trained> {
    let theorem = theorem.map_or(Ok(1), |theorem| whole("theorem", theorem))?;
    match (train, theorem) {
        (Some(train), _) => blocks(train),
        (None, 1) => Ok(Trained::QKV),
        (None, 2) => Ok(Trained::Q),
        (None, other) => Err(refused(format!(
            "theorem = {other} is unknown; choose 1 (all weights) or 2 (W^Q alone)"
        ))),
    }
}

/// "auto", "certified" or a number.
pub fn eta(given: Option<&Bound<'_, PyAny>>) -> PyResult<Eta> {
    let Some(given) = given else {
        return Ok(Eta::Auto);
    };
    if let Ok(text) = given.extract::<String>() {
        return text.parse().map_err(raise);
    }
    match given.extract::<f64>() {
        Ok(x) if x.is_finite() && x > 0.0 => Ok(Eta::Fixed(x)),
        _ => Err(refused(format!(
            "eta = {} must be \"auto\", \"certified\" or a finite number above 0",
            shown(given)
        ))),
    }
}

/// A reading, however it is written, or the name of a claim.
pub fn reading(given: Option<&str>) -> Option<String> {
    given.map(|name| match name.parse::<Reading>() {
        Ok(reading) => reading.into(),
        Err(_) => name.to_owned(),
    })
}

/// Claims by name: a beta, or ("rate", X).
pub fn claims(given: Option<&Bound<'_, PyAny>>) -> PyResult<Vec<OwnClaim>> {
    let Some(given) = given else {
        return Ok(Vec::new());
    };
    let Ok(given) = given.cast::<PyDict>() else {
        return Err(refused(format!(
            "claims = {} must be a dict of names and numbers beta, or (\"rate\", X)",
            shown(given)
        )));
    };
    let one = |(name, constant): (Bound<'_, PyAny>, Bound<'_, PyAny>)| {
        let constant = match (constant.extract(), constant.extract::<(String, f64)>()) {
            (Ok(beta), _) => Constant::Beta(beta),
            (_, Ok((kind, rate))) if kind == "rate" => Constant::Rate(rate),
            _ => {
                return Err(refused(format!(
                    "the claim {} must be a number beta or (\"rate\", X), not {}",
                    shown(&name),
                    shown(&constant)
                )));
            }
        };
        let name: String = name.extract().map_err(|_| {
            refused(format!(
                "the claim {} needs a str as its name",
                shown(&name)
            ))
        })?;
        OwnClaim::new(&name, constant).map_err(raise)
    };
    given.iter().map(one).collect()
}

/// How much the enclosure of the exact orbit may cost: "auto", "always" or "never", and the most bits.
pub fn orbit(
    mode: &str,
    bits: Option<&Bound<'_, PyAny>>,
) -> PyResult<Option<gdcert::orbit::Settings>> {
    use gdcert::orbit::Settings;
    let bits = bits.map_or(Ok(Settings::QUICK.bits), |bits| size("bits", bits))?;
    let work = match mode {
        "auto" => Settings::QUICK,
        "always" => Settings::ANY_WORK,
        "never" => return Ok(None),
        other => {
            return Err(refused(format!(
                "orbit = '{other}' must be 'auto', 'always' or 'never'"
            )));
        }
    };
    let settings = Settings { bits, ..work };
    settings.check().map_err(raise)?;
    Ok(Some(settings))
}

/// A JSON value as Python's objects.
pub fn object<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Null => py.None().into_bound(py),
        Value::Bool(b) => b.into_pyobject(py)?.to_owned().into_any(),
        Value::Number(n) => match (n.as_u64(), n.as_i64()) {
            (Some(n), _) => n.into_pyobject(py)?.into_any(),
            (_, Some(n)) => n.into_pyobject(py)?.into_any(),
            _ => n.as_f64().unwrap_or(f64::NAN).into_pyobject(py)?.into_any(),
        },
        Value::String(s) => s.into_pyobject(py)?.into_any(),
        Value::Array(list) => {
            let items = list.iter().map(|v| object(py, v));
            PyList::new(py, items.collect::<PyResult<Vec<_>>>()?)?.into_any()
        }
        Value::Object(map) => {
            let dict = PyDict::new(py);
            for (key, value) in map {
                dict.set_item(key, object(py, value)?)?;
            }
            dict.into_any()
        }
    })
}

/// What was found about one reading of the claim f_t <= (1 - eta beta)^t f_0.
///
/// >>> v = gdcert.verify(gdcert.Instance.random(N=2, n=4, D=8, d=4, H=3), steps=10, certify=False)
/// >>> claim = v.claims["per_head"]
/// >>> claim.verdict, claim.checked_to
/// ('held', 10)
#[pyclass(name = "Claim", module = "gdcert", frozen)]
pub struct PyClaim {
    claim: Claim,
}

impl PyClaim {
    pub fn new(claim: Claim) -> Self {
        PyClaim { claim }
    }
}

#[pymethods]
impl PyClaim {
    /// "certified", "held", "violated", ...
    #[getter]
    fn verdict(&self) -> String {
        self.claim.verdict.to_string()
    }
    /// eta beta.
    #[getter]
    fn rate(&self) -> f64 {
        self.claim.rate
    }
    /// beta at M_0, or the number that is claimed.
    #[getter]
    fn beta(&self) -> f64 {
        self.claim.beta
    }
    /// Why, in a sentence.
    #[getter]
    fn reason(&self) -> &str {
        &self.claim.reason
    }
    /// The last step at which the bound was compared.
    #[getter]
    fn checked_to(&self) -> usize {
        self.claim.checked_to
    }
    /// The first step at which the bound is exceeded, or None.
    #[getter]
    fn first_violation(&self) -> Option<usize> {
        self.claim.first_violation
    }
    /// min over t of log(bound_t / f_t), or None.
    #[getter]
    fn min_slack(&self) -> Option<f64> {
        self.claim.min_slack
    }
    /// The last step of the run up to which the bound is proven for exact gradient descent from M_0, or None.
    #[getter]
    fn proven_to(&self) -> Option<usize> {
        self.claim.proven_to
    }
    /// The step at which comparisons ended at the rounding floor, or None.
    #[getter]
    fn floor_at(&self) -> Option<usize> {
        self.claim.floor_at
    }
    fn __repr__(&self) -> String {
        format!(
            "gdcert.Claim(reading='{}', verdict='{}', rate={:e}, beta={:e})",
            self.claim.name, self.claim.verdict, self.claim.rate, self.claim.beta
        )
    }
}

/// The exact orbit of gradient descent from M_0, enclosed; `v.orbit` of a Verification.
///
/// >>> v = gdcert.verify(gdcert.Instance.random(N=2, n=4, D=8, d=4, H=3, init="lazy", scale=10.0), steps=20)
/// >>> lower, upper = v.orbit.losses[20]
/// >>> bool(lower <= upper), v.orbit.distance < 1e-15
/// (True, True)
#[pyclass(name = "Orbit", module = "gdcert", frozen)]
pub struct PyOrbit(gdcert::orbit::Orbit);

#[pymethods]
impl PyOrbit {
    /// The last enclosed step T.
    #[getter]
    fn steps(&self) -> usize {
        self.0.steps
    }
    /// The bits after the point with which it was enclosed.
    #[getter]
    fn bits(&self) -> usize {
        self.0.bits
    }
    /// log2 of a bound on the growth of errors from M_0 to M_T.
    #[getter]
    fn log2_growth(&self) -> f64 {
        self.0.log2_growth
    }
    /// How far the computed point can be from the exact M_T (all trained blocks, Frobenius norm).
    #[getter]
    fn distance(&self) -> f64 {
        self.0.distance
    }
    /// How far the run in f64 can be from the exact M_T.
    #[getter]
    fn run_distance(&self) -> f64 {
        self.0.run_distance
    }
    /// Lower and upper ends of the exact f_t, [T + 1, 2].
    #[getter]
    fn losses<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArrayDyn<f64>>> {
        let ends = &self.0.losses;
        array(
            py,
            ends.iter().flatten().copied().collect(),
            &[ends.len(), 2],
        )
    }
    /// Why it was enclosed no further, or None where it settled the deciding claim.
    #[getter]
    fn stopped(&self) -> Option<&str> {
        self.0.stopped.as_deref()
    }
    fn __repr__(&self) -> String {
        format!(
            "gdcert.Orbit(steps={}, bits={}, distance={:e}, run_distance={:e})",
            self.0.steps, self.0.bits, self.0.distance, self.0.run_distance
        )
    }
}

/// Everything found out about one instance; made by gdcert.verify.
///
/// str(v) is what the command prints; in a notebook v shows a table and the figure.
///
/// >>> v = gdcert.verify(gdcert.Instance.random(N=2, n=4, D=8, d=4, H=3, init="lazy", scale=1e4))
/// >>> v.verdict, len(v.trajectory) == v.steps + 1
/// ('certified', True)
/// >>> bool(gdcert.check(v.certificate))
/// True
#[pyclass(name = "Verification", module = "gdcert", frozen)]
pub struct PyVerification {
    found: Arc<Verification>,
    instance: PyInstance,
    deciding: String,
    title: String,
    command: String,
    drawn: OnceLock<Figure>,
}

/// What a pickle holds, beside the instance.
type Kept<'a> = (&'a Verification, &'a str, &'a str, &'a str);
type Restored = (Verification, String, String, String);

impl PyVerification {
    pub fn new(
        instance: PyInstance,
        found: Verification,
        deciding: String,
        title: String,
        command: String,
    ) -> Self {
        PyVerification {
            found: Arc::new(found),
            instance,
            deciding,
            title,
            command,
            drawn: OnceLock::new(),
        }
    }

    fn origin(&self) -> Origin {
        let (init, seed) = self.instance.law().unzip();
        Origin {
            command: self.command.clone(),
            seed,
            init,
        }
    }

    fn file(&self) -> VerdictFile {
        VerdictFile::new(&self.found, &self.origin(), &self.deciding)
    }

    fn figure(&self, py: Python<'_>) -> PyResult<&Figure> {
        if let Some(figure) = self.drawn.get() {
            return Ok(figure);
        }
        let figure = quiet(py, || {
            rate_vs_bound(&self.found, &self.title, &self.deciding)
        })?;
        Ok(self.drawn.get_or_init(|| figure)) // another thread may have drawn the same
    }
}

/// Runs exact gradient descent from M_0 and holds f(M_t) <= (1 - eta beta)^t f(M_0) against it, for every reading of beta.
///
/// theorem: 1 trains W_Q, W_K, W_V, 2 trains W_Q. train: any subset such as "QK" instead. eta: "auto" (0.5 / |J_0|^2),
/// "certified" (the step that Theorem A chooses) or a number. steps: exactly so many; None: to 2000 or to the rounding
/// floor. reading: the one that decides, "stacked", "per_head", "value" or "ntk"; None: per_head when QKV are trained,
/// else ntk. claims: claims of your own by name, each a number beta or ("rate", X), beside the readings; reading may name
/// one. precision: "f64" or "double-double". certify: whether to look for a proof. curvature_at: radii at which
/// to report the curvature bound. orbit: enclose exact gradient descent from M_0, which decides every claim for it: "auto" (two
/// minutes at most, on small instances below a second), "always" (whatever it costs) or "never"; bits: the most bits it may take.
/// threads: None for all cores; results do not depend on it. progress: True, False,
/// None (where someone sees it) or a callable that gets (done, total).
///
/// inst may be a Model: then the claims are ntk and your own, train names the blocks that are trained (a list; None: all), and
/// a ModelVerification is returned.
///
/// Returns a Verification. Raises InputError for settings that make no sense and KeyboardInterrupt for Ctrl-C.
///
/// >>> inst = gdcert.Instance.random(N=2, n=4, D=8, d=4, H=3, init="lazy", scale=10.0, seed=19)
/// >>> v = gdcert.verify(inst)
/// >>> v.verdict
/// 'certified'
/// >>> v.claims["stacked"].verdict, v.claims["stacked"].first_violation
/// ('refuted', 182)
#[pyfunction]
#[pyo3(signature = (inst, theorem = None, train = None, eta = None, steps = None, reading = None, precision = "f64", certify = true, curvature_at = None, threads = None, progress = None, claims = None, orbit = "auto", bits = None))]
#[pyo3(
    text_signature = "(inst, theorem=1, train=None, eta='auto', steps=None, reading=None, precision='f64', certify=True, curvature_at=(0.0,), threads=None, progress=None, claims=None, orbit='auto', bits=4096)"
)]
#[allow(clippy::too_many_arguments)]
pub fn verify<'py>(
    py: Python<'py>,
    inst: &Bound<'py, PyAny>,
    theorem: Option<&Bound<'_, PyAny>>,
    train: Option<&Bound<'_, PyAny>>,
    eta: Option<&Bound<'_, PyAny>>,
    steps: Option<&Bound<'_, PyAny>>,
    reading: Option<&str>,
    precision: &str,
    certify: bool,
    curvature_at: Option<&Bound<'_, PyAny>>,
    threads: Option<&Bound<'_, PyAny>>,
    progress: Option<&Bound<'_, PyAny>>,
    claims: Option<&Bound<'_, PyAny>>,
    orbit: &str,
    bits: Option<&Bound<'_, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let steps = steps.map(|steps| size("steps", steps)).transpose()?;
    let asked = Asked {
        label: "gradient descent",
        threads,
        progress,
    };
    if let Ok(model) = inst.cast::<PyModel>() {
        of_attention(&[
            ("theorem", theorem.is_some()),
            ("precision", precision != "f64"),
            ("curvature_at", curvature_at.is_some()),
        ])?;
        let settings = gdcert::graph::Settings {
            eta: self::eta(eta)?,
            steps: steps.map_or(Steps::UpTo(2000), Steps::Exactly),
            reading: self::reading(reading),
            claims: self::claims(claims)?,
            orbit: self::orbit(orbit, bits)?,
            certify,
        };
        let mut command = "gdcert.verify(model".to_owned();
        for (name, given) in [("train", train), ("claims", claims), ("eta", eta)] {
            if let Some(given) = given {
                command += &format!(", {name}={}", shown(given));
            }
        }
        if let Some(steps) = steps {
            command += &format!(", steps={steps}");
        }
        command.push(')');
        let graph = model.get().training(train)?;
        let found = verify_model(py, model.get(), graph, &settings, &asked, command)?;
        return Ok(Bound::new(py, found)?.into_any());
    }
    let inst = instance(inst)?;
    let train: Option<String> = train.map(|train| train.extract()).transpose()?;
    let settings = Settings {
        trained: trained(theorem, train.as_deref())?,
        eta: self::eta(eta)?,
        steps: steps.map_or(Steps::UpTo(2000), Steps::Exactly),
        reading: self::reading(reading),
        claims: self::claims(claims)?,
        precision: precision.parse().map_err(raise)?,
        certify,
        orbit: self::orbit(orbit, bits)?,
        curvature_at: curvature_at.map_or_else(
            || Ok(vec![0.0]),
            |radii| list("curvature_at", radii, number),
        )?,
    };
    let dims = inst.inner.dims();
    gdcert::check_room(dims, settings.trained, settings.steps, settings.precision)
        .map_err(raise)?;
    let total = settings.steps.limit();
    let found = run(py, &asked, |watch| {
        gdcert::verify_with(&inst.inner, &settings, &mut |event| match event {
            Event::Point(point) => watch.at(point.t, total),
            Event::Proving(t) => watch.at(t, total),
        })
    })?;
    let deciding = settings.deciding();
    let mut command = format!("gdcert.verify(inst, train='{}'", settings.trained);
    if let Some(eta) = eta {
        command += &format!(", eta={}", shown(eta));
    }
    if let Some(steps) = steps {
        command += &format!(", steps={steps}");
    }
    command += &format!(", reading='{deciding}'");
    if let Some(claims) = claims {
        command += &format!(", claims={}", shown(claims));
    }
    if settings.precision != Precision::F64 {
        command += &format!(", precision='{}'", settings.precision);
    }
    if !certify {
        command += ", certify=False";
    }
    if orbit != "auto" {
        command += &format!(", orbit='{orbit}'");
    }
    if let Some(bits) = bits {
        command += &format!(", bits={}", shown(bits));
    }
    command.push(')');
    let title = inst.title();
    let found = PyVerification::new(inst.clone(), found, deciding, title, command);
    Ok(Bound::new(py, found)?.into_any())
}

/// An instance, where a model would have served too.
pub fn instance<'a>(given: &'a Bound<'_, PyAny>) -> PyResult<&'a PyInstance> {
    match given.cast::<PyInstance>() {
        Ok(instance) => Ok(instance.get()),
        Err(_) => Err(refused(format!(
            "{} is neither a gdcert.Instance nor a gdcert.Model",
            shown(given)
        ))),
    }
}

/// Refuses settings that only attention has.
pub fn of_attention(given: &[(&str, bool)]) -> PyResult<()> {
    match given.iter().find(|(_, given)| *given) {
        None => Ok(()),
        Some((name, _)) => Err(refused(format!(
            "{name} is a setting of attention; drop it for a model"
        ))),
    }
}

#[pymethods]
impl PyVerification {
    /// The verdict of the deciding reading.
    #[getter]
    fn verdict(&self) -> String {
        self.found.claim(&self.deciding).verdict.to_string()
    }
    /// The reading that decides.
    #[getter]
    fn reading(&self) -> String {
        self.deciding.clone()
    }
    /// One Claim for each reading and each claim of your own, by name.
    #[getter]
    fn claims<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        for claim in &self.found.claims {
            let claim = claim.clone();
            dict.set_item(claim.name.clone(), Py::new(py, PyClaim { claim })?)?;
        }
        Ok(dict)
    }
    /// beta by reading, and by the names of your own claims.
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
        self.found.measured_rates().map(|r| r.0)
    }
    /// The hull bound (softmax), or None.
    #[getter]
    fn f_hull(&self) -> Option<f64> {
        self.found.f_hull
    }
    /// |df/dW| at M_0 for Q, K, V, whether trained or not.
    #[getter]
    fn grad_norms<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        for (name, norm) in ["Q", "K", "V"].into_iter().zip(self.found.grad_norms) {
            dict.set_item(name, norm)?;
        }
        Ok(dict)
    }
    /// The instance that was verified.
    #[getter]
    fn instance(&self) -> PyInstance {
        self.instance.clone()
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
        let bound = |claim: &Claim| {
            let at = |p: &gdcert::descent::Point| claim.bound(p.t, f0).unwrap_or(f64::NAN);
            add(
                &format!("bound_{}", claim.name),
                points.iter().map(at).collect(),
            )
        };
        let (readings, own) = self.found.claims.split_at(Reading::ALL.len());
        readings.iter().try_for_each(bound)?;
        for (b, name) in ["q", "k", "v"].into_iter().enumerate() {
            let norms = points.iter().map(|p| p.grad_norms[b]).collect();
            add(&format!("grad_norm_{name}"), norms)?;
        }
        let sigma = points.iter().map(|p| p.sigma_min_B.unwrap_or(f64::NAN));
        add("sigma_min_b", sigma.collect())?;
        for (b, name) in ["q", "k", "v"].into_iter().enumerate() {
            let moved = points.iter().map(|p| p.moved[b]).collect();
            add(&format!("moved_{name}"), moved)?;
        }
        own.iter().try_for_each(bound)?;
        py.import("gdcert._table")?
            .getattr("Trajectory")?
            .call1((columns,))
    }
    /// A Certificate, or None.
    #[getter]
    fn certificate(&self) -> Option<PyCertificate> {
        let certificate = self.found.certificate.clone()?;
        let centre = self
            .found
            .proven
            .as_ref()
            .and_then(|p: &Proven| p.centre.clone());
        let instance = self.instance.clone();
        Some(PyCertificate::new(instance, certificate, centre))
    }
    /// The enclosed orbit of exact gradient descent from M_0, or None.
    #[getter]
    fn orbit(&self) -> Option<PyOrbit> {
        self.found.orbit.clone().map(PyOrbit)
    }
    /// Proofs that the bound is exceeded: a Certificate for each refuted reading or claim, by name.
    #[getter]
    fn refutations<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let own = match &self.found.certificate {
            Some(certificate @ Certificate::Refuted(c)) => Some((&c.reading, certificate)),
            _ => None,
        };
        let others = self.found.refutations.iter().map(|(name, c)| (name, c));
        let dict = PyDict::new(py);
        for (name, certificate) in own.into_iter().chain(others) {
            let held = PyCertificate::new(self.instance.clone(), certificate.clone(), None);
            dict.set_item(name, Py::new(py, held)?)?;
        }
        Ok(dict)
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
        gdcert_report::summary(&self.found, &self.title, &self.deciding)
    }
    fn __str__(&self) -> String {
        self.summary()
    }
    /// What verdict.json holds.
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let value = serde_json::to_value(self.file())
            .map_err(|e| refused(format!("cannot form the verdict: {e}")))?;
        object(py, &value)
    }
    /// Writes the files of `gdcert verify` into a folder, which is made if need be.
    fn save(&self, py: Python<'_>, folder: PathBuf) -> PyResult<()> {
        let write = || {
            let files = gdcert_report::verification_files(
                &self.instance.inner,
                &self.found,
                &self.origin(),
                &self.title,
                &self.deciding,
                &Format::SCREEN,
            )?;
            crate::certificate::write(&folder, files, "verify", &self.command, self.origin().seed)
        };
        quiet(py, write)?.map_err(raise)
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
            "gdcert.Verification(verdict='{}', reading='{}', steps={}, loss0={:e}, final_loss={:e})",
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
        let kept: Kept = (&self.found, &self.deciding, &self.title, &self.command);
        pickled(&py.get_type::<Self>(), &(self.instance.kept(), kept))
    }
    #[staticmethod]
    fn _restore(bytes: &[u8]) -> PyResult<Self> {
        let (instance, kept): (_, Restored) = unpickled(bytes)?;
        let (found, deciding, title, command) = kept;
        if found.trajectory.points.is_empty() {
            return Err(refused("is no pickle of a verification: it has no point"));
        }
        let instance = PyInstance::restored(instance);
        Ok(Self::new(instance, found, deciding, title, command))
    }
}
