//! The setting: sizes, data X and y, weights, initialization schemes, instance files.

mod dims;
mod file;
mod init;

pub use dims::Dims;
pub use init::Init;

use gdcert_base::Kernel;
use gdcert_numbers::Scalar;
use crate::{Error, Result};
use nalgebra::DMatrix;

/// Weights of all heads: W^Q_h, W^K_h, W^V_h (D x d) and W^O_h (d x p), one matrix a head.
///
/// Also used for a gradient, whose W^O part is empty: W^O is never trained.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights<T: Scalar = f64> {
    /// Query weights W^Q_h, D x d.
    pub Q: Vec<DMatrix<T>>,
    /// Key weights W^K_h, D x d.
    pub K: Vec<DMatrix<T>>,
    /// Value weights W^V_h, D x d.
    pub V: Vec<DMatrix<T>>,
    /// Output weights W^O_h, d x p; fixed.
    pub O: Vec<DMatrix<T>>,
}

impl<T: Scalar> Weights<T> {
    /// The same weights with every entry mapped, for instance from f64 to dual numbers.
    pub fn map<U: Scalar>(&self, f: impl Fn(T) -> U + Copy) -> Weights<U> {
        let block = |b: &[DMatrix<T>]| b.iter().map(|w| w.map(f)).collect();
        Weights {
            Q: block(&self.Q),
            K: block(&self.K),
            V: block(&self.V),
            O: block(&self.O),
        }
    }
}

/// One regression problem and one point M_0: data, labels, weights and the attention kernel.
///
/// Every entry is finite and every shape agrees with [`Instance::dims`]; [`Instance::new`] sees to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    dims: Dims,
    kernel: Kernel,
    X: Vec<DMatrix<f64>>,
    y: Vec<DMatrix<f64>>,
    W: Weights,
}

impl Instance {
    /// An instance from its parts: N matrices X_i (n x D) and y_i (n x p), and the weights of H heads.
    ///
    /// # Errors
    /// No sample or no head, a zero size, shapes that disagree, or an entry that is not finite.
    pub fn new(
        kernel: Kernel,
        X: Vec<DMatrix<f64>>,
        y: Vec<DMatrix<f64>>,
        W: Weights,
    ) -> Result<Self> {
        let (Some(x0), Some(y0), Some(q0)) = (X.first(), y.first(), W.Q.first()) else {
            return Err(Error::input(
                "an instance needs at least one sample in X and y and one head in W_Q",
            ));
        };
        let dims = Dims {
            N: X.len(),
            n: x0.nrows(),
            D: x0.ncols(),
            d: q0.ncols(),
            H: W.Q.len(),
            p: y0.ncols(),
        };
        dims.check()?;
        let Dims { N, n, D, d, H, p } = dims;
        for (name, blocks, shape) in [
            ("X", &X, [N, n, D]),
            ("y", &y, [N, n, p]),
            ("W_Q", &W.Q, [H, D, d]),
            ("W_K", &W.K, [H, D, d]),
            ("W_V", &W.V, [H, D, d]),
            ("W_O", &W.O, [H, d, p]),
        ] {
            check_block(name, blocks, shape)?;
        }
        Ok(Instance {
            dims,
            kernel,
            X,
            y,
            W,
        })
    }

    /// The sizes.
    pub fn dims(&self) -> Dims {
        self.dims
    }

    /// The attention kernel.
    pub fn kernel(&self) -> Kernel {
        self.kernel
    }

    /// The same data and weights under another kernel.
    pub fn with_kernel(self, kernel: Kernel) -> Self {
        Instance { kernel, ..self }
    }

    /// The same problem at another point.
    ///
    /// # Errors
    /// Shapes that disagree with the data, or an entry that is not finite.
    pub fn with_weights(self, W: Weights) -> Result<Self> {
        Instance::new(self.kernel, self.X, self.y, W)
    }

    /// Inputs X_i, n x D each.
    pub fn X(&self) -> &[DMatrix<f64>] {
        &self.X
    }

    /// Labels y_i, n x p each.
    pub fn y(&self) -> &[DMatrix<f64>] {
        &self.y
    }

    /// The weights M_0 and W^O.
    pub fn W(&self) -> &Weights {
        &self.W
    }
}

fn check_block(name: &str, blocks: &[DMatrix<f64>], shape: [usize; 3]) -> Result<()> {
    let [count, rows, cols] = shape;
    if blocks.len() != count {
        return Err(Error::input(format!(
            "{name} has {} blocks where the others have {count}; make the shapes agree",
            blocks.len()
        )));
    }
    for (b, block) in blocks.iter().enumerate() {
        if block.shape() != (rows, cols) {
            return Err(Error::input(format!(
                "{name}[{b}] is {} x {} but should be {rows} x {cols}; make the shapes agree",
                block.nrows(),
                block.ncols()
            )));
        }
        for j in 0..cols {
            for i in 0..rows {
                if !block[(i, j)].is_finite() {
                    return Err(Error::input(format!(
                        "{name}[{b},{i},{j}] is {}; every entry must be finite",
                        block[(i, j)]
                    )));
                }
            }
        }
    }
    Ok(())
}
