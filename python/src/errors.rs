//! Rust errors as Python exceptions: the same one line.

use gdcert::Error;
use pyo3::exceptions::{PyArithmeticError, PyKeyboardInterrupt, PyOSError, PyValueError};
use pyo3::prelude::*;

pyo3::create_exception!(
    gdcert,
    InputError,
    PyValueError,
    "Input that makes no sense; the message names the thing and the mend, as the command does."
);
pyo3::create_exception!(
    gdcert,
    NotCertified,
    PyArithmeticError,
    "Nothing could be proven. Attributes: condition (what failed, in words), factor (by how much, or None), t (where)."
);

/// A library error as the exception a Python user expects.
pub fn raise(error: Error) -> PyErr {
    let words = error.to_string();
    match error {
        Error::File { path, .. } if !path.exists() => PyOSError::new_err(words),
        Error::Write { .. } => PyOSError::new_err(words),
        Error::Cancelled => PyKeyboardInterrupt::new_err(()),
        _ => InputError::new_err(words),
    }
}

/// Bad input found on this side of the border.
pub fn refused(words: impl Into<String>) -> PyErr {
    InputError::new_err(words.into())
}
