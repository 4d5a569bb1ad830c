//! `gdcert.Model`: any smooth model as a graph of array operations.

use crate::arrays::{array, tensor};
use crate::errors::{raise, refused};
use crate::pickle::{Pickled, pickled, unpickled};
use crate::work::{list, quiet};
use gdcert_graph::{Array, Evaluation, Graph};
use numpy::{PyArrayDyn, PyReadonlyArrayDyn, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

/// A model of one's own: a residual r(M) in R^m of named parameter blocks, with their start M_0. Never changes.
///
/// Model.from_jax(residual, params) traces a function of JAX arrays; Model.load(path) reads a file that save wrote.
/// Where the methods take `params`, they take a dict of arrays, one a block (those left out stay at M_0), or all P
/// numbers in a row, block after block; None is M_0.
///
/// >>> import jax.numpy as jnp  # doctest: +SKIP
/// >>> model = gdcert.Model.from_jax(lambda p: jnp.tanh(X @ p["W"]) @ p["v"] - y, {"W": W, "v": v})  # doctest: +SKIP
/// >>> model.blocks  # doctest: +SKIP
/// {'W': (4, 64), 'v': (64,)}
#[pyclass(name = "Model", module = "gdcert", frozen, eq)]
#[derive(Clone, PartialEq)]
pub struct PyModel {
    pub inner: Arc<Graph>,
}

/// What a pickle holds: the text of the model's file, and its arrays.
pub type Kept = (String, Vec<(String, Vec<usize>, Vec<f64>)>);

impl PyModel {
    fn of(inner: Graph) -> Self {
        PyModel {
            inner: Arc::new(inner),
        }
    }

    pub fn kept(&self) -> Kept {
        let (model, arrays) = self.inner.to_parts();
        let arrays = arrays.into_iter();
        let arrays = arrays.map(|(name, a)| (name, a.shape.clone(), a.values.clone()));
        (model.to_string(), arrays.collect())
    }

    pub fn restored((text, arrays): Kept) -> PyResult<Self> {
        let arrays = arrays.into_iter();
        let arrays = arrays.map(|(name, shape, values)| (name, Array { shape, values }));
        let graph = Self::from_parts(&text, arrays.collect()).map_err(raise)?;
        Ok(Self::of(graph))
    }

    fn from_parts(text: &str, mut arrays: HashMap<String, Array>) -> gdcert::Result<Graph> {
        let model = serde_json::from_str(text)
            .map_err(|e| gdcert::Error::input(format!("the model is not JSON: {e}")))?;
        let taken = std::cell::RefCell::new(&mut arrays);
        Graph::from_parts(&model, |name| {
            let found = taken.borrow_mut().remove(name);
            found.ok_or_else(|| gdcert::Error::input(format!("array {name} is missing")))
        })
    }

    /// The graph with the blocks that `train` names: a list, or a text with commas between them. `None`: all are trained.
    pub fn training(&self, train: Option<&Bound<'_, PyAny>>) -> PyResult<Arc<Graph>> {
        let Some(train) = train else {
            return Ok(self.inner.clone());
        };
        let names: Vec<String> = match train.extract::<String>() {
            Ok(text) => text.split(',').map(|name| name.trim().to_owned()).collect(),
            Err(_) => list("train", train, |_, name| name.extract())?,
        };
        let graph = self.inner.training(&names);
        let graph = graph.map_err(|e| refused(format!("train: {e}")))?;
        Ok(Arc::new(graph))
    }

    /// M as the caller gave it.
    fn point(&self, params: Option<&Bound<'_, PyAny>>) -> PyResult<Vec<f64>> {
        let mut M = self.inner.start();
        let Some(params) = params else { return Ok(M) };
        let Ok(dict) = params.cast::<PyDict>() else {
            let given = tensor("params", params)?;
            if given.len() != M.len() {
                return Err(refused(format!(
                    "params has {} numbers and the model {}; give a dict of blocks or all numbers in a row",
                    given.len(),
                    M.len()
                )));
            }
            return Ok(given.as_slice()?.to_vec());
        };
        for (name, values) in dict {
            let name: String = name.extract()?;
            let mut at = 0;
            let block = self.inner.blocks().iter().find(|block| {
                let found = block.name == name;
                if !found {
                    at += block.start.values.len();
                }
                found
            });
            let Some(block) = block else {
                return Err(refused(format!(
                    "params has a block {name}, which the model has not; see model.blocks"
                )));
            };
            let given = tensor(&name, &values)?;
            if given.shape() != block.start.shape {
                return Err(refused(format!(
                    "params: block {name} has shape {:?}; the model's has {:?}",
                    given.shape(),
                    block.start.shape
                )));
            }
            M[at..at + given.len()].copy_from_slice(given.as_slice()?);
        }
        Ok(M)
    }

    /// An evaluation at a point.
    fn at(&self, M: &[f64]) -> Evaluation<f64> {
        let mut at = Evaluation::new(&self.inner);
        at.parameters_mut().copy_from_slice(M);
        at.forward();
        at
    }

    fn residual_shape(&self) -> &[usize] {
        &self.inner.nodes()[self.inner.output()].shape
    }

    /// P numbers as a dict of blocks.
    fn by_block<'py>(&self, py: Python<'py>, M: &[f64]) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        let mut rest = M;
        for block in self.inner.blocks() {
            let (values, others) = rest.split_at(block.start.values.len());
            rest = others;
            dict.set_item(&block.name, array(py, values.to_vec(), &block.start.shape)?)?;
        }
        Ok(dict)
    }
}

#[pymethods]
impl PyModel {
    /// The model of a function of JAX arrays: `residual(params)` returns the array r, params is a pytree of arrays.
    ///
    /// It is traced once, in float64; arrays that it closes over are constants; blocks are named by their path in the pytree.
    /// InputError names an operation that is not taken, and the line it came from.
    ///
    ///     params = {"W": W, "v": v}
    ///     model = gdcert.Model.from_jax(lambda p: jnp.tanh(X @ p["W"]) @ p["v"] - y, params)
    #[staticmethod]
    fn from_jax<'py>(residual: &Bound<'py, PyAny>, params: &Bound<'py, PyAny>) -> PyResult<Self> {
        let module = residual.py().import("gdcert._trace")?;
        let parts = module.call_method1("parts", (residual, params))?;
        let (text, arrays): (String, Bound<'py, PyDict>) = parts.extract()?;
        Self::_from_parts(residual.py(), &text, &arrays)
    }

    /// The model of the JSON text of its file and its arrays by name.
    #[staticmethod]
    fn _from_parts(py: Python<'_>, text: &str, arrays: &Bound<'_, PyDict>) -> PyResult<Self> {
        let mut taken = HashMap::new();
        for (name, values) in arrays {
            let name: String = name.extract()?;
            let values: PyReadonlyArrayDyn<'_, f64> = tensor(&name, &values)?;
            let array = Array {
                shape: values.shape().to_vec(),
                values: values.as_slice()?.to_vec(),
            };
            taken.insert(name, array);
        }
        let graph = quiet(py, || Self::from_parts(text, taken))?;
        Ok(Self::of(graph.map_err(raise)?))
    }

    /// Reads a model file (gdcert.model/1) and the arrays beside it.
    #[staticmethod]
    fn load(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        let graph = quiet(py, || Graph::load(&path))?;
        Ok(Self::of(graph.map_err(raise)?))
    }

    /// Writes the model: a JSON file, and its arrays beside it in a file that ends in .safetensors.
    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        quiet(py, || self.inner.save(&path))?.map_err(raise)
    }

    /// The parameter blocks: a dict of names and shapes.
    #[getter]
    fn blocks<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        for block in self.inner.blocks() {
            let shape = pyo3::types::PyTuple::new(py, &block.start.shape)?;
            dict.set_item(&block.name, shape)?;
        }
        Ok(dict)
    }

    /// M_0: a dict of names and arrays.
    #[getter]
    fn start<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.by_block(py, &self.inner.start())
    }

    /// The number of residuals.
    #[getter]
    fn m(&self) -> usize {
        self.inner.m()
    }

    /// The number of parameters.
    #[getter]
    fn P(&self) -> usize {
        self.inner.P()
    }

    /// r(M), in the shape that the function returned.
    #[pyo3(signature = (params = None))]
    fn residual<'py>(
        &self,
        py: Python<'py>,
        params: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyArrayDyn<f64>>> {
        let M = self.point(params)?;
        let r = quiet(py, || self.at(&M).residual().to_vec())?;
        array(py, r, self.residual_shape())
    }

    /// f(M) = 1/2 |r|^2.
    #[pyo3(signature = (params = None))]
    fn loss(&self, py: Python<'_>, params: Option<&Bound<'_, PyAny>>) -> PyResult<f64> {
        let M = self.point(params)?;
        quiet(py, || {
            0.5 * self.at(&M).residual().iter().map(|r| r * r).sum::<f64>()
        })
    }

    /// The gradient of f = 1/2 |r|^2: a dict of blocks.
    #[pyo3(signature = (params = None))]
    fn gradient<'py>(
        &self,
        py: Python<'py>,
        params: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let M = self.point(params)?;
        let gradient = quiet(py, || {
            let mut at = self.at(&M);
            at.reverse_residual();
            at.gradient().to_vec()
        })?;
        self.by_block(py, &gradient)
    }

    /// J(M), [m, P]: rows as r in C order, columns block after block, each in C order.
    #[pyo3(signature = (params = None))]
    fn jacobian<'py>(
        &self,
        py: Python<'py>,
        params: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyArrayDyn<f64>>> {
        let M = self.point(params)?;
        self.inner.check_room(8, true).map_err(raise)?;
        let J = quiet(py, || self.at(&M).jacobian())?;
        array(py, J, &[self.inner.m(), self.inner.P()])
    }

    fn __repr__(&self) -> String {
        let names: Vec<_> = self.inner.blocks().iter().map(|b| &b.name[..]).collect();
        format!(
            "gdcert.Model(m={}, P={}, blocks={names:?})",
            self.inner.m(),
            self.inner.P()
        )
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Pickled<'py>> {
        pickled(&slf.get_type(), &slf.get().kept())
    }

    #[staticmethod]
    fn _restore(bytes: &Bound<'_, PyBytes>) -> PyResult<Self> {
        Self::restored(unpickled(bytes.as_bytes())?)
    }
}
