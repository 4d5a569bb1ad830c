//! What a notebook needs to look inside: the model's numbers as arrays.

use crate::arrays::{array, stacked};
use crate::errors::{raise, refused};
use crate::instance::{PyInstance, room};
use crate::verify::blocks;
use crate::work::{Asked, number, quiet, run};
use gdcert::Instance;
use gdcert::bounds::Curvature;
use gdcert::model::{self, Head};
use gdcert::spectrum::{self, Reading, Spectrum};
use gdcert_base::memory::{available_bytes, gigabytes};
use nalgebra::DMatrix;
use numpy::PyArrayDyn;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// MH(M; X_i) for every sample: [N, n, p].
///
/// >>> inst = gdcert.Instance.random(N=2, n=4, D=8, d=4, H=3, init="lazy")
/// >>> float(abs(gdcert.outputs(inst)).max())  # W_V = 0
/// 0.0
#[pyfunction]
pub fn outputs<'py>(py: Python<'py>, inst: &PyInstance) -> PyResult<Bound<'py, PyArrayDyn<f64>>> {
    // The residual where y = 0: adding y back would round once more.
    let instance = &inst.inner;
    let zero = instance.y().iter().map(|y| y * 0.0).collect();
    let (X, W) = (instance.X().to_vec(), instance.W().clone());
    let without = Instance::new(instance.kernel(), X, zero, W).map_err(raise)?;
    residual(py, &PyInstance::of(without))
}

/// outputs - y: [N, n, p].
///
/// >>> inst = gdcert.Instance.random(N=2, n=4, D=8, d=4, H=3)
/// >>> gdcert.residual(inst).shape
/// (2, 4, 1)
#[pyfunction]
pub fn residual<'py>(py: Python<'py>, inst: &PyInstance) -> PyResult<Bound<'py, PyArrayDyn<f64>>> {
    let dims = inst.inner.dims();
    let r = quiet(py, || model::residual(&inst.inner, inst.inner.W()))?;
    array(py, r, &[dims.N, dims.n, dims.p])
}

/// f = 1/2 |r|^2, summed over the samples.
///
/// >>> inst = gdcert.Instance.random(N=2, n=4, D=8, d=4, H=3, seed=1)
/// >>> bool(abs(gdcert.loss(inst) - 0.5 * (gdcert.residual(inst) ** 2).sum()) < 1e-12)
/// True
#[pyfunction]
pub fn loss(py: Python<'_>, inst: &PyInstance) -> PyResult<f64> {
    quiet(py, || {
        let r = model::residual(&inst.inner, inst.inner.W());
        0.5 * r.iter().map(|r| r * r).sum::<f64>()
    })
}

/// df/dW for each trained block: a dict "Q", "K", "V" -> [H, D, d].
///
/// train: any subset of "QKV".
///
/// >>> inst = gdcert.Instance.random(N=2, n=4, D=8, d=4, H=3)
/// >>> {block: g.shape for block, g in gdcert.gradient(inst, train="QV").items()}
/// {'Q': (3, 8, 4), 'V': (3, 8, 4)}
#[pyfunction]
#[pyo3(signature = (inst, train = "QKV"))]
pub fn gradient<'py>(
    py: Python<'py>,
    inst: &PyInstance,
    train: &str,
) -> PyResult<Bound<'py, PyDict>> {
    let flags = blocks(train)?.flags();
    let found = quiet(py, || model::gradient(&inst.inner, inst.inner.W()))?;
    let dict = PyDict::new(py);
    for ((name, block), on) in [("Q", &found.Q), ("K", &found.K), ("V", &found.V)]
        .into_iter()
        .zip(flags)
    {
        if on {
            dict.set_item(name, stacked(py, block)?)?;
        }
    }
    Ok(dict)
}

/// J = dr/dM over the trained blocks: [m, P] with m = N n p and P = (number of blocks) H D d.
///
/// Rows are (sample, token, output), columns (block in the order Q, K, V; head; D; d), the last index fastest: those of
/// one block reshape to [H, D, d], as the gradient has it.
///
/// >>> import numpy as np
/// >>> inst = gdcert.Instance.random(N=2, n=4, D=8, d=4, H=3)
/// >>> g = gdcert.residual(inst).ravel() @ gdcert.jacobian(inst, train="V")
/// >>> np.allclose(g.reshape(3, 8, 4), gdcert.gradient(inst)["V"])
/// True
#[pyfunction]
#[pyo3(signature = (inst, train = "QKV"))]
pub fn jacobian<'py>(
    py: Python<'py>,
    inst: &PyInstance,
    train: &str,
) -> PyResult<Bound<'py, PyArrayDyn<f64>>> {
    let trained = blocks(train)?;
    let dims = inst.inner.dims();
    let on = trained.flags().into_iter().filter(|&on| on).count();
    // Once as the library forms it, once as NumPy wants it.
    let needed = 16 * dims.m() as u128 * (on * dims.block_len()) as u128;
    if let Some(room) = available_bytes()
        && needed > room
    {
        return Err(refused(format!(
            "the Jacobian of {dims} needs {} of memory, and {} are available; take fewer blocks with train",
            gigabytes(needed),
            gigabytes(room)
        )));
    }
    let (values, m, P) = quiet(py, || {
        let J = model::jacobian(&inst.inner, inst.inner.W(), trained);
        let (m, P) = J.shape();
        let mut values = vec![0.0; m * P];
        // The library's columns are those of D x d matrices, column by column.
        let size = dims.D * dims.d;
        for column in 0..P {
            let (block, within) = (column / size, column % size);
            let (e, a) = (within / dims.D, within % dims.D);
            let to = block * size + a * dims.d + e;
            for row in 0..m {
                values[row * P + to] = J[(row, column)];
            }
        }
        (values, m, P)
    })?;
    array(py, values, &[m, P])
}

/// S, the attention weights at M_0: [N, H, n, n], rows are query tokens.
///
/// >>> inst = gdcert.Instance.random(N=2, n=4, D=8, d=4, H=3, kernel="softmax")
/// >>> bool(abs(gdcert.attention(inst).sum(axis=-1) - 1).max() < 1e-12)
/// True
#[pyfunction]
pub fn attention<'py>(py: Python<'py>, inst: &PyInstance) -> PyResult<Bound<'py, PyArrayDyn<f64>>> {
    let instance = &inst.inner;
    let dims = instance.dims();
    let values = quiet(py, || {
        let mut values = Vec::with_capacity(dims.N * dims.H * dims.n * dims.n);
        for i in 0..dims.N {
            for h in 0..dims.H {
                let head = Head::new(instance, instance.W(), i, h);
                values.extend_from_slice(head.S.transpose().as_slice());
            }
        }
        values
    })?;
    array(py, values, &[dims.N, dims.H, dims.n, dims.n])
}

/// What the theorems' constants are made of, at M_0; made by gdcert.spectrum.
///
/// >>> s = gdcert.spectrum(gdcert.Instance.random(N=2, n=4, D=8, d=4, H=3))
/// >>> s.b0.shape, sorted(s.betas)
/// ((8, 24), ['ntk', 'per_head', 'stacked', 'value'])
#[pyclass(name = "Spectrum", module = "gdcert", frozen)]
pub struct PySpectrum {
    found: Spectrum,
    b0: DMatrix<f64>,
}

/// sigma_min(B_0), |J_0|, the four betas and B_0 at M_0.
///
/// >>> s = gdcert.spectrum(gdcert.Instance.random(N=2, n=4, D=8, d=4, H=3, init="lazy"))
/// >>> round(s.betas["stacked"] / s.betas["per_head"], 9)  # three heads of equal norm
/// 3.0
#[pyfunction(name = "spectrum")]
#[pyo3(signature = (inst, train = "QKV"))]
pub fn spectrum_of(py: Python<'_>, inst: &PyInstance, train: &str) -> PyResult<PySpectrum> {
    let trained = blocks(train)?;
    room(inst.inner.dims(), trained)?;
    let asked = Asked {
        label: "spectrum",
        threads: None,
        progress: None,
    };
    run(py, &asked, |_| {
        Ok(PySpectrum {
            found: Spectrum::new(&inst.inner, trained)?,
            b0: spectrum::B(&inst.inner),
        })
    })
}

#[pymethods]
impl PySpectrum {
    /// sigma_min(B_0), 0 if HD < Nn.
    #[getter]
    fn sigma_min_b0(&self) -> f64 {
        self.found.sigma_min_B0.value
    }
    /// |J_0| over the trained blocks.
    #[getter]
    fn jacobian_norm(&self) -> f64 {
        self.found.jacobian_norm.value
    }
    /// beta by reading: "stacked", "per_head", "value", "ntk".
    #[getter]
    fn betas<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        for reading in Reading::ALL {
            dict.set_item(reading.to_string(), self.found.beta(reading).value)?;
        }
        Ok(dict)
    }
    /// B_0: [N n, H D].
    #[getter]
    fn b0<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArrayDyn<f64>>> {
        let shape = [self.b0.nrows(), self.b0.ncols()];
        array(py, self.b0.transpose().as_slice().to_vec(), &shape)
    }
    fn __repr__(&self) -> String {
        format!(
            "gdcert.Spectrum(sigma_min_b0={:e}, jacobian_norm={:e})",
            self.found.sigma_min_B0.value, self.found.jacobian_norm.value
        )
    }
}

/// h(rho): an upper bound of |D^2 F| over the ball of radius rho around M_0, in closed form.
///
/// >>> inst = gdcert.Instance.random(N=2, n=4, D=8, d=4, H=3)
/// >>> gdcert.curvature(inst, 0.0) < gdcert.curvature(inst, 1.0)
/// True
#[pyfunction]
#[pyo3(signature = (inst, rho, train = "QKV"))]
pub fn curvature(
    py: Python<'_>,
    inst: &PyInstance,
    rho: &Bound<'_, PyAny>,
    train: &str,
) -> PyResult<f64> {
    let rho = number("rho", rho)?;
    if !(rho.is_finite() && rho >= 0.0) {
        return Err(refused(format!(
            "rho = {rho} must be a finite number of at least 0"
        )));
    }
    let trained = blocks(train)?;
    let bound = quiet(py, || Curvature::<f64>::new(&inst.inner, trained))?;
    Ok(bound.map_err(raise)?.h(rho))
}
