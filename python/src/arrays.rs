//! NumPy arrays to matrices and back.

use crate::errors::refused;
use nalgebra::DMatrix;
use numpy::{PyArray1, PyArrayDyn, PyArrayMethods, PyReadonlyArrayDyn, PyUntypedArrayMethods};
use pyo3::prelude::*;

/// Anything NumPy understands, as float64 in C order whatever its layout was; an array that is so already is not copied.
pub fn tensor<'py>(
    name: &str,
    object: &Bound<'py, PyAny>,
) -> PyResult<PyReadonlyArrayDyn<'py, f64>> {
    let py = object.py();
    let numpy = py.import("numpy")?;
    let cannot = |e: PyErr| {
        refused(format!(
            "{name} can not be taken as an array: {}; give numbers that numpy.asarray takes",
            e.value(py)
        ))
    };
    // A torch tensor that asks for gradients refuses to become an array.
    let object = match object.hasattr("detach").map_err(cannot)? {
        true => object.call_method0("detach").map_err(cannot)?,
        false => object.clone(),
    };
    let masked = numpy.getattr("ma")?.getattr("MaskedArray")?;
    if object.is_instance(&masked)? {
        return Err(refused(format!(
            "{name} is a masked array, and every entry is needed; give it filled"
        )));
    }
    let array = numpy.call_method1("asarray", (&object,)).map_err(cannot)?;
    let dtype = array.getattr("dtype")?;
    let kind: String = dtype.getattr("kind")?.extract()?;
    if !matches!(kind.as_str(), "f" | "i" | "u" | "b") {
        return Err(refused(format!(
            "{name} has dtype {dtype}; give real numbers, best float64"
        )));
    }
    // C order, and aligned: a view into raw bytes need not be.
    let array = numpy
        .call_method1("require", (&array, "float64", ["C", "A"]))
        .map_err(cannot)?;
    array.extract()
}

/// One matrix for each leading index of an array that is taken as one of this rank-3 shape.
pub fn matrices(
    array: &PyReadonlyArrayDyn<'_, f64>,
    [count, rows, columns]: [usize; 3],
) -> PyResult<Vec<DMatrix<f64>>> {
    debug_assert_eq!(count * rows * columns, array.len());
    let chunks = array.as_slice()?.chunks_exact(rows * columns);
    Ok(chunks
        .map(|chunk| DMatrix::from_row_slice(rows, columns, chunk))
        .collect())
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
