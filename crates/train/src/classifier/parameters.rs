//! A classifier's parameters, or anything shaped like them: gradients, an optimizer's moments.

use super::{Architecture, Real};
use crate::{Error, Result};
use gdcert_base::random::Normals;
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};
use safetensors::tensor::{Dtype, SafeTensors, View};
use std::borrow::Cow;
use std::ops::Range;

/// One number for each parameter of an [`Architecture`], tensor after tensor in one vector.
///
/// Parameters, gradients and moments have the same layout, so that an optimizer is one loop over
/// [`values`](Parameters::values).
#[derive(Clone, Debug, PartialEq)]
pub struct Parameters<T = f32> {
    names: Vec<(String, Vec<usize>)>,
    values: Vec<T>,
}

/// A named tensor of [`Parameters`], row-major. Serializes as it is with the safetensors crate.
#[derive(Clone, Debug)]
pub struct Tensor<'a, T = f32> {
    /// Its name, as PyTorch's `state_dict` would have it.
    pub name: &'a str,
    /// Its shape; a linear layer's weight is `[out, in]`.
    pub shape: &'a [usize],
    /// Its entries.
    pub values: &'a [T],
}

impl<T: Real> Parameters<T> {
    /// Zeros.
    pub fn zeros(architecture: &Architecture) -> Self {
        Parameters {
            names: architecture.tensors(),
            values: vec![T::default(); architecture.offsets().end],
        }
    }

    /// Initial parameters, the same for the same seed on every machine.
    ///
    /// Laws: weights and biases of linear layers are uniform on +-1/sqrt(in) (PyTorch's default), token and
    /// position embeddings N(0, 0.02^2) (the Long Range Arena setting), norms have scale 1 and shift 0. Each tensor has a
    /// ChaCha8 stream of its own: its values do not depend on the other tensors' sizes.
    pub fn random(architecture: &Architecture, seed: u64) -> Self {
        let mut all = Self::zeros(architecture);
        let ranges: Vec<_> = all.ranges().collect();
        let mut inputs = 1;
        for (stream, ((name, shape), range)) in all.names.iter().zip(ranges).enumerate() {
            let values = &mut all.values[range];
            let stream = STREAMS + stream as u64;
            if name.starts_with("token") || name.starts_with("position") {
                let mut normals = Normals::stream(seed, stream);
                values.fill_with(|| T::from_f64(0.02 * normals.next()));
            } else if name.contains("norm") {
                let value = if name.ends_with("weight") { 1.0 } else { 0.0 };
                values.fill(T::from_f64(value));
            } else {
                // A bias follows its weight and takes its number of inputs.
                if let &[_, columns] = &shape[..] {
                    inputs = columns;
                }
                let bound = 1.0 / (inputs as f64).sqrt();
                let mut rng = ChaCha8Rng::seed_from_u64(seed);
                rng.set_stream(stream);
                values.fill_with(|| {
                    let unit = (rng.next_u64() >> 11) as f64 * 2f64.powi(-53);
                    T::from_f64(bound * (2.0 * unit - 1.0))
                });
            }
        }
        all
    }

    /// All values, tensor after tensor.
    pub fn values(&self) -> &[T] {
        &self.values
    }

    /// All values, to be changed.
    pub fn values_mut(&mut self) -> &mut [T] {
        &mut self.values
    }

    /// The tensors in order.
    pub fn tensors(&self) -> impl Iterator<Item = Tensor<'_, T>> {
        self.names
            .iter()
            .zip(self.ranges())
            .map(|((name, shape), range)| Tensor {
                name,
                shape,
                values: &self.values[range],
            })
    }

    /// The tensor of this name.
    pub fn tensor(&self, name: &str) -> Option<Tensor<'_, T>> {
        self.tensors().find(|tensor| tensor.name == name)
    }

    /// Reads the tensors called `prefix` followed by their name, F32 or F64 (rounded to this precision).
    ///
    /// # Errors
    /// A missing tensor, another shape or type, or an entry that is not finite; the message names the tensor.
    pub fn read(architecture: &Architecture, file: &SafeTensors, prefix: &str) -> Result<Self> {
        // Before anything is allocated: sizes from a file's metadata are claims. A tensor that is missing is named below,
        // hence the margin.
        let held: u128 = file.iter().map(|(_, t)| t.data().len() as u128).sum();
        let most = 4 * held + (1 << 20);
        if architecture.parameters() > most || architecture.blocks > file.len() {
            return Err(Error::input(format!(
                "{} blocks of width {} need {} parameters, but the file holds {held} bytes in {} tensors; \
                 give a checkpoint of the same architecture",
                architecture.blocks,
                architecture.width,
                architecture.parameters(),
                file.len()
            )));
        }
        let mut all = Self::zeros(architecture);
        let ranges: Vec<_> = all.ranges().collect();
        for ((name, shape), range) in all.names.iter().zip(ranges) {
            let name = format!("{prefix}{name}");
            let tensor = file.tensor(&name).map_err(|_| {
                Error::input(format!(
                    "tensor {name} is missing; give a checkpoint of the same architecture"
                ))
            })?;
            if tensor.shape() != shape {
                return Err(Error::input(format!(
                    "tensor {name} has shape {:?} but the architecture needs {shape:?}; give a checkpoint of the same architecture",
                    tensor.shape()
                )));
            }
            let values = &mut all.values[range];
            match tensor.dtype() {
                Dtype::F32 => {
                    for (value, bytes) in values.iter_mut().zip(tensor.data().as_chunks().0) {
                        *value = T::from_f64(f32::from_le_bytes(*bytes).into());
                    }
                }
                Dtype::F64 => {
                    for (value, bytes) in values.iter_mut().zip(tensor.data().as_chunks().0) {
                        *value = T::from_f64(f64::from_le_bytes(*bytes));
                    }
                }
                other => {
                    return Err(Error::input(format!(
                        "tensor {name} is {other:?}; save it as F32 or F64"
                    )));
                }
            }
            if values.iter().any(|value| !value.to_f64().is_finite()) {
                return Err(Error::input(format!(
                    "tensor {name} holds an entry that is not finite; give an earlier checkpoint"
                )));
            }
        }
        Ok(all)
    }

    fn ranges(&self) -> impl Iterator<Item = Range<usize>> {
        self.names.iter().scan(0, |at, (_, shape)| {
            let start = *at;
            *at += shape.iter().product::<usize>();
            Some(start..*at)
        })
    }
}

/// The streams below belong to instances.
const STREAMS: u64 = 1000;

impl View for Tensor<'_, f32> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }
    fn shape(&self) -> &[usize] {
        self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        self.values.iter().flat_map(|x| x.to_le_bytes()).collect()
    }
    fn data_len(&self) -> usize {
        4 * self.values.len()
    }
}
