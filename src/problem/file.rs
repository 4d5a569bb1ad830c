//! Instance files: safetensors, or NumPy's `.npz`, with `X [N,n,D]`, `y [N,n,p]`, `W_Q W_K W_V [H,D,d]`, `W_O [H,d,p]`.

use super::npz::{self, Array};
use super::{Instance, Weights};
use crate::{Error, Result};
use gdcert_base::Kernel;
use gdcert_base::files::write_atomic;
use gdcert_base::input::{self, same_word};
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
    /// NumPy's own `np.savez("instance.npz", X=X, ...)` is read as well, with an optional entry `kernel`. One sample may
    /// come without its axis (X `[n,D]`, y `[n,p]`), y and W_O without the last one where p = 1, weights of one head
    /// without the first one.
    ///
    /// # Errors
    /// A missing, truncated or foreign file; a missing tensor, a wrong rank, type or shape; an
    /// entry that is not finite. The message names the file and the tensor.
    pub fn read(path: &Path, kernel: Option<Kernel>) -> Result<Self> {
        Ok(Instance::read_naming(path, kernel)?.0)
    }

    /// As [`Instance::read`], and whether the kernel was named at all.
    ///
    /// # Errors
    /// As [`Instance::read`].
    pub fn read_naming(path: &Path, kernel: Option<Kernel>) -> Result<(Self, bool)> {
        let within = |e: Error| Error::file(path, e.to_string());
        let bytes = input::numbers(path)
            .map_err(|what| Error::file(path, format!("the instance {what}")))?;
        let arrays = Arrays::read(&bytes).map_err(within)?;
        let named = kernel.is_some() || arrays.kernel.is_some();
        Ok((arrays.instance(kernel).map_err(within)?, named))
    }

    /// Reads the bytes of an instance file, as [`read`](Self::read) does.
    ///
    /// # Errors
    /// As there, without the file's name.
    pub fn from_bytes(bytes: &[u8], kernel: Option<Kernel>) -> Result<Self> {
        Arrays::read(bytes)?.instance(kernel)
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

const NAMES: [&str; 6] = ["X", "y", "W_Q", "W_K", "W_V", "W_O"];

/// A tensor of any rank, row by row.
struct Tensor {
    shape: Vec<usize>,
    values: Vec<f64>,
}

/// What a file holds of an instance.
struct Arrays {
    kernel: Option<Kernel>,
    /// In the order of [`NAMES`].
    tensors: [Tensor; 6],
}

impl Arrays {
    fn read(bytes: &[u8]) -> Result<Self> {
        let (kernel, found) = match bytes {
            bytes if npz::is_zip(bytes) => from_npz(bytes)?,
            bytes if npz::is_npy(bytes) => {
                return Err(Error::input(
                    "holds a single array (.npy); an instance needs six: save them with np.savez or safetensors' save_file",
                ));
            }
            bytes => from_safetensors(bytes)?,
        };
        let mut found: Vec<_> = found.into_iter().map(Some).collect();
        let mut take = |i: usize| {
            found[i].take().flatten().ok_or_else(|| {
                Error::input(format!(
                    "tensor {} is missing; an instance has X, y, W_Q, W_K, W_V and W_O",
                    NAMES[i]
                ))
            })
        };
        let tensors = [take(0)?, take(1)?, take(2)?, take(3)?, take(4)?, take(5)?];
        let kernel = kernel.as_deref().map(str::parse).transpose()?;
        Ok(Arrays { kernel, tensors })
    }

    fn instance(self, kernel: Option<Kernel>) -> Result<Instance> {
        let kernel = kernel.or(self.kernel).unwrap_or(Kernel::Softmax);
        let shapes = with_all_axes(self.tensors.each_ref().map(|t| &t.shape[..]))?;
        let mut blocks = Vec::with_capacity(6);
        for ((name, tensor), [count, rows, cols]) in NAMES.iter().zip(&self.tensors).zip(shapes) {
            if count * rows * cols == 0 {
                return Err(Error::input(format!(
                    "tensor {name} has shape {:?}; every dimension must be at least 1",
                    tensor.shape
                )));
            }
            let matrices = tensor.values.chunks_exact(rows * cols);
            let matrix = |values: &[f64]| DMatrix::from_row_slice(rows, cols, values);
            blocks.push(matrices.map(matrix).collect::<Vec<_>>());
        }
        let mut blocks = blocks.into_iter();
        let mut next = || blocks.next().unwrap_or_default();
        let (X, y) = (next(), next());
        let W = Weights {
            Q: next(),
            K: next(),
            V: next(),
            O: next(),
        };
        Instance::new(kernel, X, y, W)
    }
}

type Found = (Option<String>, [Option<Tensor>; 6]);

fn from_npz(bytes: &[u8]) -> Result<Found> {
    let wanted = |name: &str| NAMES.contains(&name) || same_word(name, "kernel");
    let arrays = npz::read(bytes, &wanted).map_err(Error::input)?;
    let (mut kernel, mut found) = (None, [const { None }; 6]);
    for (name, array) in arrays {
        let place = NAMES.iter().position(|known| *known == name);
        match (array, place) {
            (Array::Text(text), None) => kernel = Some(text),
            (Array::Numbers { shape, values }, Some(i)) => {
                found[i] = Some(Tensor { shape, values })
            }
            (Array::Other(kind), Some(_)) => {
                return Err(Error::input(format!(
                    "array {name} is of type {kind}; save it as float64 (or float32)"
                )));
            }
            (_, None) => {
                return Err(Error::input(
                    "array kernel is no string without axes; save it as np.array(\"softmax\") or \"gaussian\"",
                ));
            }
            (Array::Text(_), Some(_)) => {
                return Err(Error::input(format!(
                    "array {name} is a text; save it as float64 (or float32)"
                )));
            }
        }
    }
    Ok((kernel, found))
}

fn from_safetensors(bytes: &[u8]) -> Result<Found> {
    let broken = |e| {
        Error::input(format!(
            "not a complete safetensors file ({e}) nor a .npz; write it anew with safetensors' save_file or np.savez"
        ))
    };
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(broken)?;
    let tensors = SafeTensors::deserialize(bytes).map_err(broken)?;
    let metadata = header.metadata().iter().flatten();
    let mut kernels = metadata.filter(|(key, _)| same_word(key, "kernel"));
    let kernel = kernels.next().map(|(_, name)| name.clone());
    if kernels.any(|(_, name)| Some(name) != kernel.as_ref()) {
        return Err(Error::input(
            "its metadata names two kernels; keep one entry `kernel`",
        ));
    }
    let mut found = [const { None }; 6];
    for (i, name) in NAMES.iter().enumerate() {
        found[i] = match tensors.tensor(name) {
            Ok(tensor) => Some(numbers(name, &tensor)?),
            Err(_) => None,
        };
    }
    Ok((kernel, found))
}

fn numbers(name: &str, tensor: &TensorView) -> Result<Tensor> {
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
    Ok(Tensor {
        shape: tensor.shape().to_vec(),
        values,
    })
}

/// The shapes with three axes each, where one that says nothing was left out: that of a single sample or head, or the
/// last one of y and W_O at p = 1.
fn with_all_axes(shapes: [&[usize]; 6]) -> Result<[[usize; 3]; 6]> {
    let [X, y, Q, K, V, O] = shapes;
    let wrong = |i: usize, wants: &str| Error::Shape {
        tensor: NAMES[i].to_owned(),
        what: format!(
            "tensor {} has rank {} and shape {:?} but must be {wants}",
            NAMES[i],
            shapes[i].len(),
            shapes[i]
        ),
    };
    let X = match *X {
        [N, n, D] => [N, n, D],
        [n, D] => [1, n, D],
        _ => return Err(wrong(0, "[N, n, D], or [n, D] for one sample")),
    };
    let [N, n, _] = X;
    let y = match *y {
        [N, n, p] => [N, n, p],
        [a, b] if [a, b] == [N, n] => [N, n, 1],
        [a, b] if N == 1 && a == n => [1, n, b],
        [a] if N == 1 && a == n => [1, n, 1],
        _ => {
            let wants = format!(
                "[{N}, {n}, p], or [{N}, {n}] for p = 1, as X is {:?}",
                shapes[0]
            );
            return Err(wrong(1, &wants));
        }
    };
    let projection = |i: usize, shape: &[usize]| match *shape {
        [H, D, d] => Ok([H, D, d]),
        [D, d] => Ok([1, D, d]),
        _ => Err(wrong(i, "[H, D, d], or [D, d] for one head")),
    };
    let (Q, K, V) = (projection(2, Q)?, projection(3, K)?, projection(4, V)?);
    let ([H, _, d], p) = (Q, y[2]);
    let O = match *O {
        [H, d, p] => [H, d, p],
        [a, b] if p == 1 && [a, b] == [H, d] => [H, d, 1],
        [a, b] if H == 1 => [1, a, b],
        [a] if H == 1 && p == 1 && a == d => [1, d, 1],
        _ => {
            let wants = format!("[{H}, {d}, {p}] (H, d, p) as W_Q and y have it");
            return Err(wrong(5, &wants));
        }
    };
    Ok([X, y, Q, K, V, O])
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
