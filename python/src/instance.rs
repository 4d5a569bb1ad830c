//! `gdcert.Instance`: arrays in, arrays out.

use crate::arrays::{matrices, stacked, tensor};
use crate::errors::{raise, refused};
use crate::pickle::{Pickled, pickled, unpickled};
use crate::work::{number, quiet, size, whole};
use gdcert::{Dims, Init, Instance, Kernel, Precision, Steps, Trained, Weights, check_room};
use nalgebra::DMatrix;
use numpy::{PyArrayDyn, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;

/// One regression problem and one point M_0: data, labels, weights and the attention kernel. Never changes.
///
/// Instance(X, y, W_Q, W_K, W_V, W_O, kernel="softmax")
///
/// X: [N, n, D], or [n, D] for one sample. y: [N, n, p]; [N, n] or [n] for p = 1. W_Q, W_K, W_V: [H, D, d], or
/// [D, d] for one head. W_O: [H, d, p]; [H, d] or [d] for p = 1. Anything that numpy.asarray takes, in any layout.
///
/// >>> import numpy as np
/// >>> g = np.random.default_rng(0).standard_normal
/// >>> inst = gdcert.Instance(g((2, 4, 8)), g((2, 4)), g((3, 8, 4)), g((3, 8, 4)), g((3, 8, 4)), g((3, 4)))
/// >>> inst
/// gdcert.Instance(N=2, n=4, D=8, d=4, H=3, p=1, kernel='softmax')
/// >>> inst.W_O.shape
/// (3, 4, 1)
#[pyclass(name = "Instance", module = "gdcert", frozen, eq)]
#[derive(Clone)]
pub struct PyInstance {
    pub inner: Arc<Instance>,
    pub source: Source,
}

/// Where an instance came from; files and figures say so, and nothing else depends on it.
#[derive(Clone, Serialize, Deserialize)]
pub enum Source {
    Arrays,
    File(String),
    Drawn(Init, u64),
}

/// By value, wherever they came from.
impl PartialEq for PyInstance {
    fn eq(&self, other: &Self) -> bool {
        self.inner == other.inner
    }
}

impl PyInstance {
    pub fn of(inner: Instance) -> Self {
        PyInstance {
            inner: Arc::new(inner),
            source: Source::Arrays,
        }
    }

    pub fn law(&self) -> Option<(Init, u64)> {
        match self.source {
            Source::Drawn(init, seed) => Some((init, seed)),
            _ => None,
        }
    }

    /// The title of its figures.
    pub fn title(&self) -> String {
        match &self.source {
            Source::Arrays => "instance".to_owned(),
            Source::File(name) => name.clone(),
            Source::Drawn(init, seed) => gdcert_report::drawn_title(*init, *seed),
        }
    }

    /// What a pickle holds of it.
    pub fn kept(&self) -> (&Instance, &Source) {
        (&self.inner, &self.source)
    }

    pub fn restored((inner, source): (Instance, Source)) -> Self {
        PyInstance {
            inner: Arc::new(inner),
            source,
        }
    }
}

pub fn kernel(name: &str) -> PyResult<Kernel> {
    name.parse().map_err(raise)
}

/// The rank-3 shape of an array that may lack leading or trailing axes of length 1.
fn shape3(part: &Part, given: &[usize]) -> PyResult<[usize; 3]> {
    let Part { name, wanted, .. } = part;
    let shape = match (part.short, given) {
        (_, &[a, b, c]) => [a, b, c],
        (Short::Leading, &[b, c]) => [1, b, c],
        (Short::Trailing, &[a, b]) => [a, b, 1],
        (Short::Trailing, &[b]) => [1, b, 1],
        _ => {
            return Err(refused(format!(
                "{name} has shape {given:?}; give {wanted}"
            )));
        }
    };
    match shape.contains(&0) {
        true => Err(refused(format!(
            "{name} has shape {given:?}; every axis must have at least one entry: {wanted}"
        ))),
        false => Ok(shape),
    }
}

/// Which axis of length 1 an array may lack.
#[derive(Clone, Copy)]
enum Short {
    Leading,
    Trailing,
}

/// An argument that is an array.
struct Part {
    name: &'static str,
    wanted: &'static str,
    short: Short,
}

const WEIGHTS: &str = "[H, D, d], or [D, d] for one head";
const INPUTS: Part = Part {
    name: "X",
    wanted: "[N, n, D], or [n, D] for one sample",
    short: Short::Leading,
};
const LABELS: Part = Part {
    name: "y",
    wanted: "[N, n, p], or [N, n] or [n] for p = 1",
    short: Short::Trailing,
};
const QUERY: Part = Part {
    name: "W_Q",
    wanted: WEIGHTS,
    short: Short::Leading,
};
const KEY: Part = Part {
    name: "W_K",
    ..QUERY
};
const VALUE: Part = Part {
    name: "W_V",
    ..QUERY
};
const OUTPUT: Part = Part {
    name: "W_O",
    wanted: "[H, d, p], or [H, d] or [d] for p = 1",
    short: Short::Trailing,
};

impl Part {
    fn take(&self, object: &Bound<'_, PyAny>) -> PyResult<Vec<DMatrix<f64>>> {
        let array = tensor(self.name, object)?;
        matrices(&array, shape3(self, array.shape())?)
    }
}

/// An instance of parts whose shapes agree; if they do not, the first that does not fit X, y and W_Q is named.
fn assemble(
    kernel: Kernel,
    X: Vec<DMatrix<f64>>,
    y: Vec<DMatrix<f64>>,
    weights: Weights,
) -> PyResult<PyInstance> {
    let shape = |blocks: &[DMatrix<f64>]| {
        let (rows, columns) = blocks.first().map_or((0, 0), |b| b.shape());
        [blocks.len(), rows, columns]
    };
    let [N, n, D] = shape(&X);
    let p = shape(&y)[2];
    let [H, _, d] = shape(&weights.Q);
    for (part, blocks, right, letters) in [
        (&LABELS, &y, [N, n, p], "[N, n, p]"),
        (&QUERY, &weights.Q, [H, D, d], "[H, D, d]"),
        (&KEY, &weights.K, [H, D, d], "[H, D, d]"),
        (&VALUE, &weights.V, [H, D, d], "[H, D, d]"),
        (&OUTPUT, &weights.O, [H, d, p], "[H, d, p]"),
    ] {
        let found = shape(blocks);
        if found != right {
            return Err(refused(format!(
                "{} has shape {found:?} but the others ask for {letters} = {right:?}; make the shapes agree",
                part.name
            )));
        }
    }
    Instance::new(kernel, X, y, weights)
        .map(PyInstance::of)
        .map_err(raise)
}

/// Refuses sizes that do not fit into memory before anything is allocated.
pub fn room(dims: Dims, trained: Trained) -> PyResult<()> {
    dims.check().map_err(raise)?;
    check_room(dims, trained, Steps::Exactly(0), Precision::F64).map_err(raise)
}

#[pymethods]
impl PyInstance {
    #[new]
    #[pyo3(signature = (X, y, W_Q, W_K, W_V, W_O, kernel = "softmax"))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        X: &Bound<'_, PyAny>,
        y: &Bound<'_, PyAny>,
        W_Q: &Bound<'_, PyAny>,
        W_K: &Bound<'_, PyAny>,
        W_V: &Bound<'_, PyAny>,
        W_O: &Bound<'_, PyAny>,
        kernel: &str,
    ) -> PyResult<Self> {
        let kernel = self::kernel(kernel)?;
        let (X, y) = (INPUTS.take(X)?, LABELS.take(y)?);
        let weights = Weights {
            Q: QUERY.take(W_Q)?,
            K: KEY.take(W_K)?,
            V: VALUE.take(W_V)?,
            O: OUTPUT.take(W_O)?,
        };
        assemble(kernel, X, y, weights)
    }

    /// Draws an instance, the same for the same arguments on every machine.
    ///
    /// init: "lecun", "lazy", "paired" or "constant-value"; scale: omega (lazy) or s (paired, constant-value).
    ///
    /// >>> gdcert.Instance.random(N=2, n=4, D=8, d=4, H=3, init="lazy", scale=10.0, seed=19).p
    /// 1
    #[staticmethod]
    #[pyo3(signature = (*, N, n, D, d, H, p = None, kernel = "softmax", init = "lecun", scale = None, seed = None))]
    #[pyo3(
        text_signature = "(*, N, n, D, d, H, p=1, kernel='softmax', init='lecun', scale=None, seed=0)"
    )]
    #[allow(clippy::too_many_arguments)]
    fn random(
        py: Python<'_>,
        N: &Bound<'_, PyAny>,
        n: &Bound<'_, PyAny>,
        D: &Bound<'_, PyAny>,
        d: &Bound<'_, PyAny>,
        H: &Bound<'_, PyAny>,
        p: Option<&Bound<'_, PyAny>>,
        kernel: &str,
        init: &str,
        scale: Option<&Bound<'_, PyAny>>,
        seed: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let dims = Dims {
            N: size("N", N)?,
            n: size("n", n)?,
            D: size("D", D)?,
            d: size("d", d)?,
            H: size("H", H)?,
            p: p.map_or(Ok(1), |p| size("p", p))?,
        };
        let seed = seed.map_or(Ok(0), |seed| whole("seed", seed))?;
        let kernel = self::kernel(kernel)?;
        let scale = scale.map(|scale| number("scale", scale)).transpose()?;
        let init = Init::from_name(init, scale).map_err(raise)?;
        room(dims, Trained::QKV)?;
        let drawn = quiet(py, || Instance::random(dims, kernel, init, seed))?;
        Ok(PyInstance {
            inner: Arc::new(drawn.map_err(raise)?),
            source: Source::Drawn(init, seed),
        })
    }

    /// Reads an instance file (.safetensors or .npz); kernel=None: the file's.
    #[staticmethod]
    #[pyo3(signature = (path, kernel = None))]
    fn load(py: Python<'_>, path: PathBuf, kernel: Option<&str>) -> PyResult<Self> {
        let kernel = kernel.map(self::kernel).transpose()?;
        let read = quiet(py, || Instance::read(&path, kernel))?;
        let name = path.file_name().unwrap_or(path.as_os_str());
        Ok(PyInstance {
            inner: Arc::new(read.map_err(raise)?),
            source: Source::File(name.to_string_lossy().into_owned()),
        })
    }

    /// Writes the instance file, whole or not at all.
    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        quiet(py, || self.inner.write(&path))?.map_err(raise)
    }

    /// The heads of a torch.nn.MultiheadAttention as an instance, p = embed_dim; X, y as in Instance(...).
    ///
    /// Its projections may be together (in_proj_weight) or separate. InputError for what an instance has not: biases,
    /// dropout, add_bias_kv, add_zero_attn, keys or values of another width. X is [N, n, D] whatever batch_first says.
    ///
    ///     attention = torch.nn.MultiheadAttention(16, 4, bias=False)
    ///     inst = gdcert.Instance.from_torch(attention, X, y)
    #[staticmethod]
    #[pyo3(signature = (attention, X, y, kernel = "softmax"))]
    fn from_torch<'py>(
        attention: &Bound<'py, PyAny>,
        X: &Bound<'py, PyAny>,
        y: &Bound<'py, PyAny>,
        kernel: &str,
    ) -> PyResult<Bound<'py, PyAny>> {
        let module = attention.py().import("gdcert._torch")?;
        module.call_method1("instance", (attention, X, y, kernel))
    }

    /// A new instance with some parts changed: X, y, W_Q, W_K, W_V, W_O, kernel.
    ///
    /// >>> inst = gdcert.Instance.random(N=1, n=2, D=3, d=2, H=1)
    /// >>> inst.replace(kernel="gaussian").kernel
    /// 'gaussian'
    #[pyo3(signature = (**parts))]
    fn replace(&self, parts: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let Some(parts) = parts else {
            return Ok(self.clone());
        };
        let mut kernel = self.inner.kernel();
        let mut X = self.inner.X().to_vec();
        let mut y = self.inner.y().to_vec();
        let mut weights = self.inner.W().clone();
        for (name, part) in parts {
            let name: String = name.extract()?;
            match name.as_str() {
                "kernel" => kernel = self::kernel(&part.extract::<String>()?)?,
                "X" => X = INPUTS.take(&part)?,
                "y" => y = LABELS.take(&part)?,
                "W_Q" => weights.Q = QUERY.take(&part)?,
                "W_K" => weights.K = KEY.take(&part)?,
                "W_V" => weights.V = VALUE.take(&part)?,
                "W_O" => weights.O = OUTPUT.take(&part)?,
                _ => {
                    return Err(refused(format!(
                        "an instance has no part '{name}'; give X, y, W_Q, W_K, W_V, W_O or kernel"
                    )));
                }
            }
        }
        assemble(kernel, X, y, weights)
    }

    /// The inputs, [N, n, D].
    #[getter]
    fn X<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArrayDyn<f64>>> {
        stacked(py, self.inner.X())
    }
    /// The labels, [N, n, p].
    #[getter]
    fn y<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArrayDyn<f64>>> {
        stacked(py, self.inner.y())
    }
    /// Query weights, [H, D, d].
    #[getter]
    fn W_Q<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArrayDyn<f64>>> {
        stacked(py, &self.inner.W().Q)
    }
    /// Key weights, [H, D, d].
    #[getter]
    fn W_K<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArrayDyn<f64>>> {
        stacked(py, &self.inner.W().K)
    }
    /// Value weights, [H, D, d].
    #[getter]
    fn W_V<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArrayDyn<f64>>> {
        stacked(py, &self.inner.W().V)
    }
    /// Output weights, [H, d, p].
    #[getter]
    fn W_O<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArrayDyn<f64>>> {
        stacked(py, &self.inner.W().O)
    }
    /// "softmax" or "gaussian".
    #[getter]
    fn kernel(&self) -> String {
        self.inner.kernel().to_string()
    }
    /// Number of samples.
    #[getter]
    fn N(&self) -> usize {
        self.inner.dims().N
    }
    /// Sequence length.
    #[getter]
    fn n(&self) -> usize {
        self.inner.dims().n
    }
    /// Embedding dimension.
    #[getter]
    fn D(&self) -> usize {
        self.inner.dims().D
    }
    /// Head dimension.
    #[getter]
    fn d(&self) -> usize {
        self.inner.dims().d
    }
    /// Number of heads.
    #[getter]
    fn H(&self) -> usize {
        self.inner.dims().H
    }
    /// Output width.
    #[getter]
    fn p(&self) -> usize {
        self.inner.dims().p
    }

    fn __repr__(&self) -> String {
        let Dims { N, n, D, d, H, p } = self.inner.dims();
        let kernel = self.inner.kernel();
        format!("gdcert.Instance(N={N}, n={n}, D={D}, d={d}, H={H}, p={p}, kernel='{kernel}')")
    }

    fn __copy__(&self) -> Self {
        self.clone()
    }

    fn __deepcopy__(&self, _memo: &Bound<'_, PyAny>) -> Self {
        self.clone() // it never changes
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Pickled<'py>> {
        pickled(&py.get_type::<Self>(), &self.kept())
    }

    #[staticmethod]
    fn _restore(bytes: &[u8]) -> PyResult<Self> {
        unpickled(bytes).map(Self::restored)
    }
}
