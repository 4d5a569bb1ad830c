//! NumPy arrays to matrices and back.

use crate::errors::refused;
use nalgebra::DMatrix;
use numpy::{PyArray1, PyArrayDyn, PyArrayMethods, PyReadonlyArrayDyn, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// An array's numbers in C order and its shape.
pub struct Tensor {
    pub shape: Vec<usize>,
    pub values: Vec<f64>,
}

/// Anything NumPy understands, as float64 in C order whatever its layout was.
pub fn tensor(name: &str, object: &Bound<'_, PyAny>) -> PyResult<Tensor> {
    let py = object.py();
    let numpy = py.import("numpy")?;
    // A torch tensor that asks for gradients refuses to become an array.
    let object = match object.hasattr("detach")? {
        true => object.call_method0("detach")?,
        false => object.clone(),
    };
    let cannot = |e: PyErr| refused(format!("{name} can not be taken as an array: {}", e.value(py)));
    let array = numpy.call_method1("asarray", (&object,)).map_err(cannot)?;
    let kind: String = array.getattr("dtype")?.getattr("kind")?.extract()?;
    if !matches!(kind.as_str(), "f" | "i" | "u" | "b") {
        let dtype = array.getattr("dtype")?;
        return Err(refused(format!(
            "{name} has dtype {dtype}; give real numbers, best float64"
        )));
    }
    let settings = PyDict::new(py);
    settings.set_item("dtype", "float64")?;
    let array = numpy
        .call_method("ascontiguousarray", (&array,), Some(&settings))
        .map_err(cannot)?;
    // ascontiguousarray makes an array of rank 0 one of rank 1.
    let array: PyReadonlyArrayDyn<f64> = array.extract()?;
    Ok(Tensor {
        shape: array.shape().to_vec(),
        values: array.as_slice()?.to_vec(),
    })
}

impl Tensor {
    /// One matrix for each leading index of a rank-3 shape.
    pub fn matrices(self, [count, rows, columns]: [usize; 3]) -> Vec<DMatrix<f64>> {
        debug_assert_eq!(count * rows * columns, self.values.len());
        let size = (rows * columns).max(1);
        let chunks = self.values.chunks_exact(size);
        chunks
            .map(|chunk| DMatrix::from_row_slice(rows, columns, chunk))
            .collect()
    }
}

/// Numbers in C order as an array of that shape.
pub fn array<'py>(
    py: Python<'py>,
    values: Vec<f64>,
    shape: &[usize],
) -> PyResult<Bound<'py, PyArrayDyn<f64>>> {
    PyArray1::from_vec(py, values).reshape(shape)
}

/// Matrices of one shape as an array with one more axis in front.
pub fn stacked<'py>(
    py: Python<'py>,
    matrices: &[DMatrix<f64>],
) -> PyResult<Bound<'py, PyArrayDyn<f64>>> {
    let (rows, columns) = matrices.first().map_or((0, 0), |m| m.shape());
    let mut values = Vec::with_capacity(matrices.len() * rows * columns);
    for matrix in matrices {
        values.extend_from_slice(matrix.transpose().as_slice());
    }
    array(py, values, &[matrices.len(), rows, columns])
}
