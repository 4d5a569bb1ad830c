//! Instance files: safetensors with `X [N,n,D]`, `y [N,n,p]`, `W_Q W_K W_V [H,D,d]`, `W_O [H,d,p]`.
//!
//! The format: eight bytes with the header's length, a JSON header (name: dtype, shape, begin and
//! end of the data), the data. The data of the tensors has to fill the rest of the file without a
//! gap or an overlap, so that no two readers can see different tensors.

use super::Unreadable;
use super::certificate::Kernel;
use super::json::object;
use super::matrix::Matrix;
use serde_json::Value;

/// The sizes, with the symbols of theory.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dims {
    pub(crate) N: usize,
    pub(crate) n: usize,
    pub(crate) D: usize,
    pub(crate) d: usize,
    pub(crate) H: usize,
    pub(crate) p: usize,
}

impl Dims {
    /// Rows of B.
    pub(crate) fn tokens(self) -> usize {
        self.N * self.n
    }

    /// Residuals.
    pub(crate) fn m(self) -> usize {
        self.N * self.n * self.p
    }
}

/// An instance; every number is finite.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Instance {
    pub(crate) dims: Dims,
    pub(crate) kernel: Kernel,
    /// A matrix for each sample, or for each head.
    pub(crate) X: Vec<Matrix<f64>>,
    pub(crate) y: Vec<Matrix<f64>>,
    pub(crate) W_Q: Vec<Matrix<f64>>,
    pub(crate) W_K: Vec<Matrix<f64>>,
    pub(crate) W_V: Vec<Matrix<f64>>,
    pub(crate) W_O: Vec<Matrix<f64>>,
}

/// The longest header the format allows.
const LONGEST_HEADER: usize = 100_000_000;

/// A tensor of the header: its place in the data, which is in bounds.
pub(crate) struct Tensor {
    pub(crate) name: String,
    pub(crate) dtype: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) begin: usize,
    pub(crate) end: usize,
}

fn fail<T>(why: impl Into<String>) -> Result<T, Unreadable> {
    Err(Unreadable::new(why))
}

impl Instance {
    pub(crate) fn read(bytes: &[u8]) -> Result<Instance, Unreadable> {
        let (tensors, kernel, data) = parts(bytes)?;
        let of = |name: &str| {
            let tensor = tensors.iter().find(|tensor| tensor.name == name);
            tensor.map_or_else(
                || fail(format!("the tensor {name} is missing")),
                |tensor| matrices(tensor, &data[tensor.begin..tensor.end]),
            )
        };
        let (X, y, W_O) = (of("X")?, of("y")?, of("W_O")?);
        let (W_Q, W_K, W_V) = (of("W_Q")?, of("W_K")?, of("W_V")?);
        let dims = Dims {
            N: X.len(),
            n: X[0].rows,
            D: X[0].cols,
            d: W_Q[0].cols,
            H: W_Q.len(),
            p: y[0].cols,
        };
        let Dims { N, n, D, d, H, p } = dims;
        let wanted = [
            ("y", &y, [N, n, p]),
            ("W_Q", &W_Q, [H, D, d]),
            ("W_K", &W_K, [H, D, d]),
            ("W_V", &W_V, [H, D, d]),
            ("W_O", &W_O, [H, d, p]),
        ];
        for (name, found, wanted) in wanted {
            let found = [found.len(), found[0].rows, found[0].cols];
            if found != wanted {
                return fail(format!("{name} has the shape {found:?}, the others want {wanted:?}"));
            }
        }
        Ok(Instance { dims, kernel, X, y, W_Q, W_K, W_V, W_O })
    }
}

/// The tensors of a file, its kernel, and the data.
fn parts(bytes: &[u8]) -> Result<(Vec<Tensor>, Kernel, &[u8]), Unreadable> {
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else {
        return fail("is no safetensors file: it is shorter than 8 bytes");
    };
    let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
    if length > LONGEST_HEADER || length > rest.len() {
        return fail(format!(
            "is no complete safetensors file: a header of {length} bytes does not fit"
        ));
    }
    let (header, data) = rest.split_at(length);
    let (tensors, kernel) = tensors(header, data.len())?;
    Ok((tensors, kernel, data))
}

/// The tensors of a file, and the data.
pub(crate) fn open(bytes: &[u8]) -> Result<(Vec<Tensor>, &[u8]), Unreadable> {
    parts(bytes).map(|(tensors, _, data)| (tensors, data))
}

/// The header's tensors, filling `room` bytes, and the kernel of its metadata.
fn tensors(header: &[u8], room: usize) -> Result<(Vec<Tensor>, Kernel), Unreadable> {
    let mut kernel = Kernel::Softmax;
    let mut tensors = Vec::new();
    let header = object(header, "the header")?;
    for (name, value) in header.as_object().into_iter().flatten() {
        if name == "__metadata__" {
            kernel = match value.get("kernel").map(|kernel| kernel.as_str()) {
                None => Kernel::Softmax,
                Some(Some("softmax")) => Kernel::Softmax,
                Some(Some("gaussian")) => Kernel::Gaussian,
                Some(_) => return fail("the metadata's kernel is neither softmax nor gaussian"),
            };
            continue;
        }
        let whole = |value: &Value| value.as_u64().and_then(|x| usize::try_from(x).ok());
        let list = |field: &str| -> Option<Vec<usize>> {
            value.get(field)?.as_array()?.iter().map(whole).collect()
        };
        let dtype = value.get("dtype").and_then(|dtype| dtype.as_str());
        let offsets = list("data_offsets").and_then(|o| <[usize; 2]>::try_from(o).ok());
        let (Some(dtype), Some(shape), Some([begin, end])) = (dtype, list("shape"), offsets) else {
            return fail(format!("the header's entry {name:?} is malformed"));
        };
        let (name, dtype) = (name.clone(), dtype.to_owned());
        tensors.push(Tensor { name, dtype, shape, begin, end });
    }
    tensors.sort_by_key(|tensor| (tensor.begin, tensor.end));
    let mut at = 0;
    for Tensor { name, begin, end, .. } in &tensors {
        if *begin != at || end < begin || *end > room {
            return fail(format!(
                "the data of tensor {name:?} is not where it should begin and end"
            ));
        }
        at = *end;
    }
    if at != room {
        return fail(format!("{} bytes of the data belong to no tensor", room - at));
    }
    Ok((tensors, kernel))
}

/// The numbers of a tensor, all finite.
pub(crate) fn numbers(tensor: &Tensor, data: &[u8]) -> Result<Vec<f64>, Unreadable> {
    let Tensor { name, dtype, shape, .. } = tensor;
    let size = match dtype.as_str() {
        "F64" => 8,
        "F32" => 4,
        other => return fail(format!("tensor {name} is {other:?}, not F64 or F32")),
    };
    let bytes = shape.iter().try_fold(size, |a: usize, b| a.checked_mul(*b));
    if bytes != Some(data.len()) {
        return fail(format!(
            "tensor {name} has {} bytes, which do not make the shape {shape:?}",
            data.len()
        ));
    }
    let numbers: Vec<f64> = if size == 8 {
        data.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect()
    } else {
        data.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b).into()).collect()
    };
    if let Some(x) = numbers.iter().find(|x| !x.is_finite()) {
        return fail(format!("tensor {name} holds {x}, which is not a finite number"));
    }
    Ok(numbers)
}

/// A tensor of rank 3 as one matrix for each leading index.
fn matrices(tensor: &Tensor, data: &[u8]) -> Result<Vec<Matrix<f64>>, Unreadable> {
    let Tensor { name, shape, .. } = tensor;
    let &[_, rows, cols] = &shape[..] else {
        return fail(format!("tensor {name} has rank {}, not 3", shape.len()));
    };
    if data.is_empty() {
        return fail(format!(
            "tensor {name} has 0 bytes, which do not make the shape {shape:?} of positive sizes"
        ));
    }
    let numbers = numbers(tensor, data)?;
    let matrix = |data: &[f64]| Matrix { rows, cols, data: data.to_vec() };
    Ok(numbers.chunks_exact(rows * cols).map(matrix).collect())
}
