//! y = x W' + b: rows of x and y are tokens, W is [out, in].

use super::add_rows;
use crate::classifier::Real;
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use gdcert_base::vectorised;

/// A layer's parameters, or their gradient.
pub(crate) struct Linear<P> {
    /// The weight, then the bias.
    pub(crate) parameters: P,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
}

/// y = x W' + b.
pub(crate) fn forward<T: Real>(layer: Linear<&[T]>, x: &[T], y: &mut [T]) {
    let Linear {
        parameters,
        inputs,
        outputs,
    } = layer;
    let (weight, bias) = parameters.split_at(inputs * outputs);
    let rows = y.len() / outputs;
    let x = MatRef::from_row_major_slice(&x[..rows * inputs], rows, inputs);
    let w = MatRef::from_row_major_slice(weight, outputs, inputs);
    let product = MatMut::from_row_major_slice_mut(y, rows, outputs);
    matmul(product, Accum::Replace, x, w.transpose(), one(), Par::Seq);
    add_to_rows(bias, y);
}

/// Adds to the gradient: dW += dy' x, db += the sum of dy's rows.
pub(crate) fn backward_parameters<T: Real>(gradient: Linear<&mut [T]>, x: &[T], dy: &[T]) {
    let Linear {
        parameters,
        inputs,
        outputs,
    } = gradient;
    let (weight, bias) = parameters.split_at_mut(inputs * outputs);
    add_sum_of_rows(dy, bias);
    let rows = dy.len() / outputs;
    let x = MatRef::from_row_major_slice(&x[..rows * inputs], rows, inputs);
    let dy = MatRef::from_row_major_slice(dy, rows, outputs);
    let dw = MatMut::from_row_major_slice_mut(weight, outputs, inputs);
    matmul(dw, Accum::Add, dy.transpose(), x, one(), Par::Seq);
}

/// dx = dy W.
pub(crate) fn backward_input<T: Real>(layer: Linear<&[T]>, dy: &[T], dx: &mut [T]) {
    let Linear {
        parameters,
        inputs,
        outputs,
    } = layer;
    let rows = dy.len() / outputs;
    let w = MatRef::from_row_major_slice(&parameters[..inputs * outputs], outputs, inputs);
    let dy = MatRef::from_row_major_slice(dy, rows, outputs);
    let dx = MatMut::from_row_major_slice_mut(&mut dx[..rows * inputs], rows, inputs);
    matmul(dx, Accum::Replace, dy, w, one(), Par::Seq);
}

fn one<T: Real>() -> T {
    T::from_f64(1.0)
}

vectorised! {
    /// Each row of y += bias.
    fn add_to_rows<T: Real>(bias: &[T], y: &mut [T]) {
        for y in y.chunks_exact_mut(bias.len()) {
            for (y, &bias) in y.iter_mut().zip(bias) {
                *y += bias;
            }
        }
    }
}

vectorised! {
    /// sum += the rows of x.
    fn add_sum_of_rows<T: Real>(x: &[T], sum: &mut [T]) {
        add_rows(0..x.len() / sum.len(), x, sum);
    }
}
