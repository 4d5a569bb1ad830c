//! Instance files: safetensors with `X [N,n,D]`, `y [N,n,p]`, `W_Q W_K W_V [H,D,d]`, `W_O [H,d,p]`.

use super::{Instance, Weights};
use gdcert_base::Kernel;
use crate::{Error, Result};
use gdcert_base::files::write_atomic;
use nalgebra::DMatrix;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::HashMap;
use std::path::Path;

impl Instance {
    /// Reads an instance file: F64 (F32 is widened), row-major as NumPy and PyTorch write it.
    ///
    /// The kernel is `kernel` if given, else the file's metadata entry `kernel`, else softmax.
    /// Five lines of NumPy make such a file:
    ///
    /// ```python
    /// import numpy as np; from safetensors.numpy import save_file
    /// N, n, D, d, H, p = 2, 4, 8, 4, 3, 1
    /// g = lambda *shape: np.random.randn(*shape)
    /// save_file({"X": g(N,n,D), "y": g(N,n,p), "W_Q": g(H,D,d), "W_K": g(H,D,d), "W_V": g(H,D,d),
    ///            "W_O": g(H,d,p)}, "instance.safetensors", metadata={"kernel": "gaussian"})
    /// ```
    ///
    /// With PyTorch: `from safetensors.torch import save_file` and `torch.randn(..., dtype=torch.float64)`.
    ///
    /// # Errors
    /// A missing, truncated or foreign file; a missing tensor, a wrong rank, type or shape; an
    /// entry that is not finite. The message names the file and the tensor.
    pub fn read(path: &Path, kernel: Option<Kernel>) -> Result<Self> {
        let bytes = std::fs::read(path)
            .map_err(|e| Error::file(path, format!("cannot read the instance: {e}")))?;
        Self::from_bytes(&bytes, kernel).map_err(|e| Error::file(path, e.to_string()))
    }

    /// Reads the bytes of an instance file, as [`read`](Self::read) does.
    ///
    /// # Errors
    /// As there, without the file's name.
    pub fn from_bytes(bytes: &[u8], kernel: Option<Kernel>) -> Result<Self> {
        let broken = |e| {
            Error::input(format!(
                "not a complete safetensors file ({e}); write it anew with safetensors' save_file"
            ))
        };
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(broken)?;
        let tensors = SafeTensors::deserialize(bytes).map_err(broken)?;
        let kernel = match (
            kernel,
            header.metadata().as_ref().and_then(|m| m.get("kernel")),
        ) {
            (Some(kernel), _) => kernel,
            (None, Some(name)) => name.parse()?,
            (None, None) => Kernel::Softmax,
        };
        let W = Weights {
            Q: blocks(&tensors, "W_Q")?,
            K: blocks(&tensors, "W_K")?,
            V: blocks(&tensors, "W_V")?,
            O: blocks(&tensors, "W_O")?,
        };
        Instance::new(kernel, blocks(&tensors, "X")?, blocks(&tensors, "y")?, W)
    }

    /// The bytes of the instance file, the same for equal instances.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let tensors = [
            ("X", &self.X),
            ("y", &self.y),
            ("W_Q", &self.W.Q),
            ("W_K", &self.W.K),
            ("W_V", &self.W.V),
            ("W_O", &self.W.O),
        ]
        .map(|(name, blocks)| {
            let mut data = Vec::with_capacity(8 * blocks.len() * blocks[0].len());
            for block in blocks.iter() {
                for entry in block.transpose().as_slice() {
                    data.extend_from_slice(&entry.to_le_bytes());
                }
            }
            (
                name,
                vec![blocks.len(), blocks[0].nrows(), blocks[0].ncols()],
                data,
            )
        });
        let views = tensors
            .iter()
            .map(|(name, shape, data)| {
                TensorView::new(Dtype::F64, shape.clone(), data).map(|view| (*name, view))
            })
            .collect::<std::result::Result<Vec<_>, _>>();
        // One entry only: a map with more would be written in random order.
        let metadata = HashMap::from([("kernel".to_owned(), self.kernel.to_string())]);
        views
            .and_then(|views| safetensors::serialize(views, Some(metadata)))
            .map_err(|e| Error::Numerical(format!("cannot serialize the instance: {e}")))
    }

    /// Writes the instance file, whole or not at all.
    ///
    /// # Errors
    /// [`Error::Write`] if the place is not writable or full.
    pub fn write(&self, path: &Path) -> Result<()> {
        write_atomic(path, &self.to_bytes()?)
    }
}

/// A rank-3 tensor as one matrix per leading index.
fn blocks(tensors: &SafeTensors, name: &str) -> Result<Vec<DMatrix<f64>>> {
    let tensor = tensors.tensor(name).map_err(|_| {
        Error::input(format!(
            "tensor {name} is missing; an instance has X, y, W_Q, W_K, W_V and W_O"
        ))
    })?;
    let &[count, rows, cols] = tensor.shape() else {
        return Err(Error::input(format!(
            "tensor {name} has rank {} but must have rank 3: {}",
            tensor.shape().len(),
            match name {
                "X" => "[N, n, D]",
                "y" => "[N, n, p]",
                "W_O" => "[H, d, p]",
                _ => "[H, D, d]",
            }
        )));
    };
    let data = tensor.data();
    let values: Vec<f64> = match tensor.dtype() {
        Dtype::F64 => data
            .as_chunks()
            .0
            .iter()
            .map(|b| f64::from_le_bytes(*b))
            .collect(),
        Dtype::F32 => data
            .as_chunks()
            .0
            .iter()
            .map(|b| f32::from_le_bytes(*b).into())
            .collect(),
        other => {
            return Err(Error::input(format!(
                "tensor {name} is {other:?}; save it as F64 (or F32)"
            )));
        }
    };
    if count * rows * cols == 0 {
        return Err(Error::input(format!(
            "tensor {name} has shape {:?}; every dimension must be at least 1",
            tensor.shape()
        )));
    }
    Ok(values
        .chunks_exact(rows * cols)
        .map(|chunk| DMatrix::from_row_slice(rows, cols, chunk))
        .collect())
}

/// As the bytes of its file.
impl Serialize for Instance {
    fn serialize<S: Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        let bytes = self.to_bytes().map_err(serde::ser::Error::custom)?;
        bytes.serialize(to)
    }
}

impl<'de> Deserialize<'de> for Instance {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        let bytes = Vec::<u8>::deserialize(from)?;
        Instance::from_bytes(&bytes, None).map_err(serde::de::Error::custom)
    }
}
