//! The loss of an instance around a point: [`gdcert_landscape`] with the model put in.
//!
//! ```
//! use gdcert::landscape::{Directions, Grid, InstanceLoss, Loss, Roughness, Surface, complete, instance_blocks, instance_weights};
//! use gdcert::{Dims, Init, Instance, Kernel, Trained};
//! use std::ops::ControlFlow;
//!
//! let dims = Dims { N: 2, n: 4, D: 8, d: 4, H: 3, p: 1 };
//! let instance = Instance::random(dims, Kernel::Gaussian, Init::Lecun, 0)?;
//! let (weights, blocks) = (instance_weights(instance.W()), instance_blocks(dims, Trained::QKV));
//! let directions = Directions::random(&weights, &blocks, 0)?;
//! let (grid, mut losses) = (Grid::new(11, 1.0)?, Vec::new());
//! let mut workers = [InstanceLoss::new(&instance)];
//! complete(&mut losses, grid, &weights, &directions, &mut workers, &mut |_| ControlFlow::Continue(()))?;
//! let surface = Surface { grid, losses };
//! assert_eq!(surface.loss(5, 5), workers[0].value(&weights)?);
//! assert!(Roughness::of(&surface, workers[0].noise()).variation.unwrap() > 0.0);
//! # Ok::<(), gdcert::Error>(())
//! ```

#[cfg(test)]
mod soundness;

use crate::Result;
use crate::model::{self, Trained};
use crate::problem::{Dims, Instance, Weights};
pub use gdcert_landscape::*;
use gdcert_numbers::{Dual, Scalar};

/// Those of an instance, in the order of [`instance_weights`]; all are those that are `trained`.
pub fn instance_blocks(dims: Dims, trained: Trained) -> Blocks {
    let Dims { D, d, H, .. } = dims;
    let block = |number: usize| number * H * D * d..(number + 1) * H * D * d;
    // A column of W^Q_h makes one number of a query.
    let filters = |number: usize| {
        let columns = block(number).step_by(D);
        columns.map(|at| at..at + D).collect()
    };
    let on = trained.flags();
    Blocks {
        query: filters(0),
        key: filters(1),
        all: (0..3).filter(|&b| on[b]).map(block).collect(),
    }
}

/// An instance's loss f = |r|^2 / 2 by its W^Q, W^K and W^V; H v is exact up to rounding: the gradient is formed in
/// dual numbers. Of intervals they enclose H v.
pub struct InstanceLoss<'a> {
    instance: &'a Instance,
    weights: Weights,
}

impl<'a> InstanceLoss<'a> {
    /// Of this instance's data.
    pub fn new(instance: &'a Instance) -> Self {
        InstanceLoss {
            instance,
            weights: instance.W().clone(),
        }
    }
}

impl InstanceLoss<'_> {
    /// H v in T: the derivative of the gradient along v.
    fn differentiated<T: Scalar>(&mut self, weights: &[f64], v: &[f64]) -> Result<Vec<T>> {
        check_size(weights.len(), entries(&mut self.weights).count())?;
        check_size(v.len(), weights.len())?;
        let mut dual = self.weights.map(<Dual<T> as Scalar>::from_f64);
        for (entry, (&re, &eps)) in entries(&mut dual).zip(weights.iter().zip(v)) {
            let [re, eps] = [re, eps].map(T::from_f64);
            *entry = Dual { re, eps };
        }
        let mut gradient = model::gradient(self.instance, &dual);
        Ok(entries(&mut gradient).map(|g| g.eps).collect())
    }
}

/// W^Q, W^K, W^V of an instance in one vector: block by block, head by head, column by column.
pub fn instance_weights(W: &Weights) -> Vec<f64> {
    let blocks = [&W.Q, &W.K, &W.V].into_iter().flatten();
    blocks.flat_map(|w| w.iter().copied()).collect()
}

/// Every entry of W^Q, W^K and W^V in the order of [`instance_weights`].
fn entries<T: Scalar>(W: &mut Weights<T>) -> impl Iterator<Item = &mut T> {
    let blocks = [&mut W.Q, &mut W.K, &mut W.V].into_iter().flatten();
    blocks.flat_map(|w| w.iter_mut())
}

impl Loss for InstanceLoss<'_> {
    fn value(&mut self, weights: &[f64]) -> Result<f64> {
        check_size(weights.len(), entries(&mut self.weights).count())?;
        for (entry, &weight) in entries(&mut self.weights).zip(weights) {
            *entry = weight;
        }
        let residual = model::residual(self.instance, &self.weights);
        Ok(0.5 * residual.iter().map(|r| r * r).sum::<f64>())
    }

    fn hessian_times(&mut self, weights: &[f64], v: &[f64]) -> Result<Vec<f64>> {
        self.differentiated(weights, v)
    }

    fn hessian_enclosure(&mut self, weights: &[f64], v: &[f64]) -> Result<Option<Vec<Interval>>> {
        Ok(Some(self.differentiated(weights, v)?))
    }

    fn noise(&self) -> f64 {
        // The error of a sum of m squares, and of the residuals in it, grows with m at most.
        let m = self.instance.dims().m() as f64;
        f64::EPSILON * (8.0 + m)
    }
}
