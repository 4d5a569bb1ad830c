//! What a notebook needs to look inside: the model's numbers as arrays.

use crate::arrays::{array, stacked};
use crate::errors::{raise, refused};
use crate::instance::PyInstance;
use crate::verify::trained;
use gdcert::bounds::Curvature;
use gdcert::model::{self, Head};
use gdcert::spectrum::{self, Reading, Spectrum};
use nalgebra::DMatrix;
use numpy::{PyArray2, PyArrayDyn};
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// MH(M; X_i) for every sample: [N, n, p].
///
/// >>> inst = gdcert.Instance.random(N=2, n=4, D=8, d=4, H=3, init="lazy")
/// >>> float(abs(gdcert.outputs(inst)).max())  # W_V = 0
/// 0.0
#[pyfunction]
pub fn outputs<'py>(
    py: Python<'py>,
    inst: &PyInstance,
) -> PyResult<Bound<'py, PyArrayDyn<f64>>> {
    let instance = &inst.inner;
    let dims = instance.dims();
    let r = py.detach(|| model::residual(instance, instance.W()));
    // Adding y back would round once more than leaving it out does.
    let zero = instance.y().iter().map(|y| DMatrix::zeros(y.nrows(), y.ncols()));
    let without = gdcert::Instance::new(
        instance.kernel(),
        instance.X().to_vec(),
        zero.collect(),
        instance.W().clone(),
    );
    let out = match without {
        Ok(without) => py.detach(|| model::residual(&without, without.W())),
        Err(_) => r,
    };
    array(py, out, &[dims.N, dims.n, dims.p])
}

/// outputs - y: [N, n, p].
#[pyfunction]
pub fn residual<'py>(
    py: Python<'py>,
    inst: &PyInstance,
) -> PyResult<Bound<'py, PyArrayDyn<f64>>> {
    let dims = inst.inner.dims();
    let r = py.detach(|| model::residual(&inst.inner, inst.inner.W()));
    array(py, r, &[dims.N, dims.n, dims.p])
}

/// f = 1/2 |r|^2, summed over the samples.
///
/// >>> inst = gdcert.Instance.random(N=2, n=4, D=8, d=4, H=3, seed=1)
/// >>> bool(abs(gdcert.loss(inst) - 0.5 * (gdcert.residual(inst) ** 2).sum()) < 1e-12)
/// True
#[pyfunction]
pub fn loss(py: Python<'_>, inst: &PyInstance) -> f64 {
    py.detach(|| {
        let r = model::residual(&inst.inner, inst.inner.W());
        0.5 * r.iter().map(|r| r * r).sum::<f64>()
    })
}

/// df/dW for each trained block: a dict "Q", "K", "V" -> [H, D, d].
#[pyfunction]
#[pyo3(signature = (inst, train = "QKV"))]
pub fn gradient<'py>(
    py: Python<'py>,
    inst: &PyInstance,
    train: &str,
) -> PyResult<Bound<'py, PyDict>> {
    let flags = trained(1, Some(train))?.flags();
    let found = py.detach(|| model::gradient(&inst.inner, inst.inner.W()));
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

/// J = dr/dM, [m, P]: rows (sample, token, output), columns (block in the order Q, K, V; head; D; d), last index fastest.
#[pyfunction]
#[pyo3(signature = (inst, train = "QKV"))]
pub fn jacobian<'py>(
    py: Python<'py>,
    inst: &PyInstance,
    train: &str,
) -> PyResult<Bound<'py, PyArray2<f64>>> {
    let trained = trained(1, Some(train))?;
    let dims = inst.inner.dims();
    let J = py.detach(|| model::jacobian(&inst.inner, inst.inner.W(), trained));
    let (m, P) = J.shape();
    let mut values = vec![0.0; m * P];
    // The library's columns are those of D x d matrices, column by column.
    let size = dims.D * dims.d;
    for column in 0..P {
        let (block, within) = (column / size, column % size);
        let (a, e) = (within / dims.D, within % dims.D);
        let to = block * size + e * dims.d + a;
        for row in 0..m {
            values[row * P + to] = J[(row, column)];
        }
    }
    let flat = numpy::PyArray1::from_vec(py, values);
    numpy::PyArrayMethods::reshape(&flat, [m, P])
}

/// S: [N, H, n, n], rows are query tokens.
#[pyfunction]
pub fn attention<'py>(
    py: Python<'py>,
    inst: &PyInstance,
) -> PyResult<Bound<'py, PyArrayDyn<f64>>> {
    let instance = &inst.inner;
    let dims = instance.dims();
    let values = py.detach(|| {
        let mut values = Vec::with_capacity(dims.N * dims.H * dims.n * dims.n);
        for i in 0..dims.N {
            for h in 0..dims.H {
                let head = Head::new(instance, instance.W(), i, h);
                values.extend_from_slice(head.S.transpose().as_slice());
            }
        }
        values
    });
    array(py, values, &[dims.N, dims.H, dims.n, dims.n])
}

/// What the theorems' constants are made of, at M_0; see `gdcert.spectrum`.
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
    let trained = trained(1, Some(train))?;
    let found = py.detach(|| Spectrum::new(&inst.inner, trained));
    Ok(PySpectrum {
        found: found.map_err(raise)?,
        b0: spectrum::B(&inst.inner),
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
    /// The four readings of beta.
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
#[pyfunction]
#[pyo3(signature = (inst, rho, train = "QKV"))]
pub fn curvature(py: Python<'_>, inst: &PyInstance, rho: f64, train: &str) -> PyResult<f64> {
    if !(rho.is_finite() && rho >= 0.0) {
        return Err(refused(format!(
            "rho = {rho} must be a finite number of at least 0"
        )));
    }
    let trained = trained(1, Some(train))?;
    let bound = py.detach(|| Curvature::<f64>::new(&inst.inner, trained));
    Ok(bound.map_err(raise)?.h(rho))
}
