//! The Python package: a thin layer over the library; `python/gdcert` holds what is better said in Python.

mod arrays;
mod certificate;
mod errors;
mod instance;
mod landscape;
mod many;
mod model;
mod model_verify;
mod numerics;
mod pickle;
mod verify;
mod work;

use pyo3::prelude::*;
use std::ffi::OsString;

/// Runs the command with these arguments (the first is its name); returns the exit code.
///
/// >>> from gdcert._gdcert import run
/// >>> run(["gdcert", "--version"])
/// 0
#[pyfunction]
fn run(py: Python<'_>, args: Vec<OsString>) -> PyResult<u8> {
    work::quiet(py, || gdcert_cli::run_code(args))
}

#[pymodule]
fn _gdcert(m: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = m.py();
    m.add("__version__", env!("CARGO_PKG_VERSION"))?;
    m.add("InputError", py.get_type::<errors::InputError>())?;
    m.add("NotCertified", py.get_type::<errors::NotCertified>())?;
    m.add_class::<instance::PyInstance>()?;
    m.add_class::<numerics::PySpectrum>()?;
    m.add_class::<verify::PyVerification>()?;
    m.add_class::<verify::PyClaim>()?;
    m.add_class::<verify::PyOrbit>()?;
    m.add_class::<certificate::PyCertificate>()?;
    m.add_class::<certificate::PyChecked>()?;
    m.add_function(wrap_pyfunction!(numerics::outputs, m)?)?;
    m.add_function(wrap_pyfunction!(numerics::residual, m)?)?;
    m.add_function(wrap_pyfunction!(numerics::loss, m)?)?;
    m.add_function(wrap_pyfunction!(numerics::gradient, m)?)?;
    m.add_function(wrap_pyfunction!(numerics::jacobian, m)?)?;
    m.add_function(wrap_pyfunction!(numerics::attention, m)?)?;
    m.add_function(wrap_pyfunction!(numerics::spectrum_of, m)?)?;
    m.add_function(wrap_pyfunction!(numerics::curvature, m)?)?;
    m.add_function(wrap_pyfunction!(verify::verify, m)?)?;
    m.add_function(wrap_pyfunction!(certificate::certify, m)?)?;
    m.add_function(wrap_pyfunction!(certificate::check, m)?)?;
    m.add_function(wrap_pyfunction!(many::sweep, m)?)?;
    m.add_function(wrap_pyfunction!(many::falsify, m)?)?;
    m.add_function(wrap_pyfunction!(landscape::landscape, m)?)?;
    m.add_class::<model::PyModel>()?;
    m.add_class::<model_verify::PyModelVerification>()?;
    m.add_class::<model_verify::PyModelCertificate>()?;
    m.add_class::<many::PyFalsified>()?;
    m.add_class::<landscape::PyLandscape>()?;
    m.add_function(wrap_pyfunction!(run, m)?)?;
    Ok(())
}
