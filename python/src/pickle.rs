//! Pickles: postcard bytes and the static method `_restore` that takes them.

use crate::errors::refused;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyType};
use serde::{Serialize, de::DeserializeOwned};

/// What `__reduce__` returns: a callable and its arguments.
pub type Pickled<'py> = (Bound<'py, PyAny>, (Bound<'py, PyBytes>,));

pub fn pickled<'py>(class: &Bound<'py, PyType>, kept: &impl Serialize) -> PyResult<Pickled<'py>> {
    let bytes =
        postcard::to_allocvec(kept).map_err(|e| refused(format!("cannot be pickled: {e}")))?;
    Ok((
        class.getattr("_restore")?,
        (PyBytes::new(class.py(), &bytes),),
    ))
}

pub fn unpickled<T: DeserializeOwned>(bytes: &[u8]) -> PyResult<T> {
    postcard::from_bytes(bytes).map_err(|e| {
        refused(format!(
            "is no pickle of this version of gdcert ({e}); pickle it again"
        ))
    })
}
