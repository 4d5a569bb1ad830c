//! Any smooth model, as a graph of array operations: what attention has, for a model of the user's own.
//!
//! A [`Graph`] is a residual r(M) in R^m of named blocks of parameters with a start M_0; f = 1/2 |r|^2. [`verify`](verify())
//! runs gradient descent on it and holds the claims against the run: `ntk`, beta = lambda_min(J J') at M_0, and the user's own.
//! [`certify`](certify()) proves one of them.
//!
//! ```
//! use gdcert::graph::{self, Builder, Settings};
//! use gdcert::verdict::Verdict;
//!
//! // r(w) = X w - y, a linear model
//! let mut model = Builder::new();
//! let w = model.parameter("w", &[2], &[0.0, 0.0])?;
//! let x = model.constant(&[2, 2], &[2.0, 0.0, 1.0, 1.0])?;
//! let y = model.constant(&[2], &[1.0, -1.0])?;
//! let outputs = model.dot_general(x, w, [&[1], &[0]], [&[], &[]])?;
//! let r = model.sub(outputs, y)?;
//! let graph = model.finish(r)?;
//!
//! let settings = Settings { claims: vec!["mine=rate:0.01".parse()?], ..Settings::default() };
//! let found = graph::verify(&graph, &settings)?;
//! assert_eq!(found.claim("ntk").verdict, Verdict::Certified);
//! assert_eq!(found.claim("mine").verdict, Verdict::Certified);
//! # Ok::<(), gdcert::Error>(())
//! ```

mod certify;
mod file;
mod model;
mod subject;
mod verify;

pub use certify::{Goal, best_rate, certify, certify_with};
pub use file::{ModelFile, VerdictFile, model_files, trajectory_csv};
pub use gdcert_graph::{Array, Block, Bounds, Builder, Evaluation, Function, Graph, Operation};
pub use subject::Certificate;
pub use verify::{Settings, Verification, verify, verify_with};
