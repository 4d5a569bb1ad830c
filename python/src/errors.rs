//! Rust errors as Python exceptions: the same one line.

use gdcert::{Error, Unproven};
use pyo3::exceptions::{
    PyArithmeticError, PyFileNotFoundError, PyKeyboardInterrupt, PyOSError, PyValueError,
};
use pyo3::prelude::*;

pyo3::create_exception!(
    gdcert,
    InputError,
    PyValueError,
    "Input that makes no sense; the message names the thing and the mend, as the command does.\n\n\
     >>> try:\n\
     ...     gdcert.Instance.random(N=0, n=4, D=8, d=4, H=3)\n\
     ... except gdcert.InputError as e:\n\
     ...     print(e)\n\
     dimension N is 0; every dimension must be at least 1"
);
pyo3::create_exception!(
    gdcert,
    NotCertified,
    PyArithmeticError,
    "Nothing could be proven.\n\n\
     condition: what failed, in words; factor: by how much (above 1), or None; t: the step at which it was tried.\n\n\
     >>> try:\n\
     ...     gdcert.certify(gdcert.Instance.random(N=2, n=4, D=8, d=4, H=3))\n\
     ... except gdcert.NotCertified as e:\n\
     ...     print(e.factor > 1, e.t)\n\
     True 0"
);

/// A library error as the exception a Python user expects.
pub fn raise(error: Error) -> PyErr {
    let words = one_line(&error.to_string());
    match error {
        Error::File { path, .. } if !path.exists() => PyFileNotFoundError::new_err(words),
        Error::File { what, .. } if what.contains("os error") => PyOSError::new_err(words),
        Error::Write { .. } => PyOSError::new_err(words),
        Error::Cancelled => PyKeyboardInterrupt::new_err(()),
        _ => InputError::new_err(words),
    }
}

/// Bad input found on this side of the border.
pub fn refused(words: impl Into<String>) -> PyErr {
    InputError::new_err(one_line(&words.into()))
}

/// What was given, as a message shows it.
pub fn shown(given: &Bound<'_, PyAny>) -> String {
    let text = given
        .repr()
        .map_or("it".to_owned(), |text| text.to_string());
    let line = one_line(&text);
    match line.char_indices().nth(60) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Nothing could be proven.
pub fn not_certified(py: Python<'_>, why: Unproven) -> PyResult<PyErr> {
    let error = NotCertified::new_err(why.condition.clone());
    let value = error.value(py);
    value.setattr("condition", why.condition)?;
    value.setattr("factor", why.factor)?;
    value.setattr("t", why.t)?;
    Ok(error)
}
