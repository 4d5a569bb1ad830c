//! `gdcert.Instance`: arrays in, arrays out.

use crate::arrays::{Tensor, array, stacked, tensor};
use crate::errors::{raise, refused};
use gdcert::{Dims, Init, Instance, Kernel, Weights};
use nalgebra::DMatrix;
use numpy::PyArrayDyn;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use std::path::PathBuf;
use std::sync::Arc;

/// One regression problem and one point M_0: data, labels, weights and the attention kernel. Never changes.
///
/// Instance(X, y, W_Q, W_K, W_V, W_O, kernel="softmax")
///
/// X: [N, n, D], or [n, D] for one sample. y: [N, n, p]; [N, n] or [n] for p = 1. W_Q, W_K, W_V: [H, D, d], or
/// [D, d] for one head. W_O: [H, d, p]; [H, d] or [d] for p = 1. Anything that numpy.asarray takes, in any layout.
///
/// >>> import gdcert, numpy as np
/// >>> g = np.random.default_rng(0).standard_normal
/// >>> inst = gdcert.Instance(g((2, 4, 8)), g((2, 4)), g((3, 8, 4)), g((3, 8, 4)), g((3, 8, 4)), g((3, 4)))
/// >>> inst
/// gdcert.Instance(N=2, n=4, D=8, d=4, H=3, p=1, kernel='softmax')
/// >>> inst.W_O.shape
/// (3, 4, 1)
#[pyclass(name = "Instance", module = "gdcert", frozen, eq)]
#[derive(Clone, PartialEq)]
pub struct PyInstance {
    pub inner: Arc<Instance>,
    /// The law and seed it was drawn from, if it was.
    pub drawn: Option<(Init, u64)>,
}

impl PyInstance {
    pub fn of(inner: Instance) -> Self {
        PyInstance {
            inner: Arc::new(inner),
            drawn: None,
        }
    }
}

pub fn kernel(name: &str) -> PyResult<Kernel> {
    name.parse().map_err(raise)
}

/// The rank-3 shape of an array that may lack leading or trailing axes of length 1.
fn shape3(name: &str, wanted: &str, tensor: &Tensor) -> PyResult<[usize; 3]> {
    let shape = match (name, *tensor.shape.as_slice()) {
        (_, [a, b, c]) => [a, b, c],
        ("X" | "W_Q" | "W_K" | "W_V", [b, c]) => [1, b, c],
        ("y" | "W_O", [a, b]) => [a, b, 1],
        ("y" | "W_O", [b]) => [1, b, 1],
        _ => {
            return Err(refused(format!(
                "{name} has shape {:?}; give {wanted}",
                tensor.shape
            )));
        }
    };
    if shape.contains(&0) {
        return Err(refused(format!(
            "{name} has shape {:?}; every axis must have at least one entry ({wanted})",
            tensor.shape
        )));
    }
    Ok(shape)
}

const X: &str = "[N, n, D], or [n, D] for one sample";
const Y: &str = "[N, n, p], or [N, n] or [n] for p = 1";
const W: &str = "[H, D, d], or [D, d] for one head";
const O: &str = "[H, d, p], or [H, d] or [d] for p = 1";

fn matrices(name: &str, wanted: &str, object: &Bound<'_, PyAny>) -> PyResult<Vec<DMatrix<f64>>> {
    let tensor = tensor(name, object)?;
    let shape = shape3(name, wanted, &tensor)?;
    Ok(tensor.matrices(shape))
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
        let weights = Weights {
            Q: matrices("W_Q", self::W, W_Q)?,
            K: matrices("W_K", self::W, W_K)?,
            V: matrices("W_V", self::W, W_V)?,
            O: matrices("W_O", O, W_O)?,
        };
        let (X, y) = (matrices("X", self::X, X)?, matrices("y", Y, y)?);
        Instance::new(kernel, X, y, weights)
            .map(Self::of)
            .map_err(raise)
    }

    /// Draws an instance, the same for the same arguments on every machine.
    ///
    /// init: "lecun", "lazy", "paired" or "constant-value"; scale: omega (lazy) or s (paired, constant-value).
    ///
    /// >>> gdcert.Instance.random(N=2, n=4, D=8, d=4, H=3, init="lazy", scale=10.0, seed=19).p
    /// 1
    #[staticmethod]
    #[pyo3(signature = (*, N, n, D, d, H, p = 1, kernel = "softmax", init = "lecun", scale = None, seed = 0))]
    #[allow(clippy::too_many_arguments)]
    fn random(
        N: usize,
        n: usize,
        D: usize,
        d: usize,
        H: usize,
        p: usize,
        kernel: &str,
        init: &str,
        scale: Option<f64>,
        seed: u64,
    ) -> PyResult<Self> {
        let init = Init::from_name(init, scale).map_err(raise)?;
        let dims = Dims { N, n, D, d, H, p };
        let drawn = Instance::random(dims, self::kernel(kernel)?, init, seed).map_err(raise)?;
        Ok(PyInstance {
            drawn: Some((init, seed)),
            ..Self::of(drawn)
        })
    }

    /// Reads an instance file (.safetensors or .npz); kernel=None: the file's.
    #[staticmethod]
    #[pyo3(signature = (path, kernel = None))]
    fn load(py: Python<'_>, path: PathBuf, kernel: Option<&str>) -> PyResult<Self> {
        let kernel = kernel.map(self::kernel).transpose()?;
        let read = py.detach(|| Instance::read(&path, kernel));
        read.map(Self::of).map_err(raise)
    }

    /// Writes the instance file, whole or not at all.
    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        py.detach(|| self.inner.write(&path)).map_err(raise)
    }

    /// The heads of a torch.nn.MultiheadAttention as an instance; X, y as in Instance(...).
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
                "X" => X = matrices("X", self::X, &part)?,
                "y" => y = matrices("y", Y, &part)?,
                "W_Q" => weights.Q = matrices("W_Q", self::W, &part)?,
                "W_K" => weights.K = matrices("W_K", self::W, &part)?,
                "W_V" => weights.V = matrices("W_V", self::W, &part)?,
                "W_O" => weights.O = matrices("W_O", O, &part)?,
                _ => {
                    return Err(refused(format!(
                        "an instance has no part '{name}'; give X, y, W_Q, W_K, W_V, W_O or kernel"
                    )));
                }
            }
        }
        Instance::new(kernel, X, y, weights)
            .map(Self::of)
            .map_err(raise)
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

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, Restored<'py>)> {
        let restore = py.get_type::<Self>().getattr("_restore")?;
        let bytes = self.inner.to_bytes().map_err(raise)?;
        let (init, seed) = self.drawn.map_or((None, None), |(init, seed)| {
            (Some((init.name().to_owned(), init.scale())), Some(seed))
        });
        Ok((restore, (PyBytes::new(py, &bytes), init, seed)))
    }

    #[staticmethod]
    fn _restore(
        bytes: &[u8],
        init: Option<(String, Option<f64>)>,
        seed: Option<u64>,
    ) -> PyResult<Self> {
        let inner = Instance::from_bytes(bytes, None).map_err(raise)?;
        let init = init.map(|(name, scale)| Init::from_name(&name, scale));
        let init = init.transpose().map_err(raise)?;
        Ok(PyInstance {
            drawn: init.zip(seed),
            ..Self::of(inner)
        })
    }
}

/// What `_restore` is called with.
type Restored<'py> = (
    Bound<'py, PyBytes>,
    Option<(String, Option<f64>)>,
    Option<u64>,
);

/// Flat values as an array, for the numerics.
pub fn shaped<'py>(
    py: Python<'py>,
    values: Vec<f64>,
    shape: &[usize],
) -> PyResult<Bound<'py, PyArrayDyn<f64>>> {
    array(py, values, shape)
}
