//! A model as a graph of array operations: its residual r(M) in R^m of named parameter blocks, with gradient and Jacobian
//! in any arithmetic.
//!
//! | question | where |
//! |---|---|
//! | Which operations are there, and what shapes do they give? | [`Operation`], [`Function`] |
//! | A model: nodes in order, blocks with their start M_0, constants | [`Graph`] |
//! | A model from Rust | [`Builder`] |
//! | A model from a file, and into one | [`Graph::load`], [`Graph::save`] |
//! | r, J'w, J, Jv in f64, intervals, balls, dual numbers | [`Evaluation`] |
//! | Gradient descent step by step | [`Motion`] |
//! | Is the gradient at M_0 exactly 0? | [`standstill`] |
//! | J at a point, and how large D^2 r is around it, proven | [`Bounds`] |
//!
//! ```
//! use gdcert_graph::{Builder, Evaluation};
//! // r(w) = tanh(X w) - y
//! let mut model = Builder::new();
//! let w = model.parameter("w", &[2], &[0.5, -0.25])?;
//! let x = model.constant(&[3, 2], &[1.0, 2.0, 0.0, 1.0, -1.0, 3.0])?;
//! let y = model.constant(&[3], &[1.0, 0.0, -1.0])?;
//! let z = model.dot_general(x, w, [&[1], &[0]], [&[], &[]])?;
//! let outputs = model.tanh(z)?;
//! let r = model.sub(outputs, y)?;
//! let graph = model.finish(r)?;
//!
//! let mut at_start = Evaluation::<f64>::new(&graph);
//! at_start.forward();
//! let r = at_start.residual().to_vec();
//! assert_eq!(r.len(), graph.m());
//! at_start.reverse(&r);
//! // The gradient of f = 1/2 |r|^2.
//! assert_eq!(at_start.gradient().len(), graph.P());
//! # Ok::<(), gdcert_base::Error>(())
//! ```

#![warn(missing_docs)]

mod bounds;
mod builder;
mod evaluation;
mod file;
mod function;
mod graph;
mod motion;
mod operation;
mod plan;
#[cfg(any(test, feature = "random"))]
pub mod random;
mod standstill;
#[cfg(test)]
mod tests;

pub use bounds::Bounds;
pub use builder::Builder;
pub use evaluation::{Evaluation, Kink};
pub use file::{ARRAYS_SUFFIX, SCHEMA};
pub use function::Function;
pub use graph::{Array, Block, Graph, Node};
pub use motion::{Motion, Run};
pub use operation::{MAX_ENTRIES, MAX_NODES, MAX_RANK, Operation, entries};
pub use standstill::standstill;

use gdcert_base::{Error, Result};
