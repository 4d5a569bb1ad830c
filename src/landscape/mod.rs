//! The loss around a point: a surface over a direction in W^Q and one in W^K, and the Hessian's eigenvalues.
//!
//! | question | where |
//! |---|---|
//! | Which loss, and which of its weights? | [`Loss`], [`Blocks`] |
//! | Along which directions? | [`Directions`] |
//! | What is the loss there? | [`Surface`], [`complete`] |
//! | How rough is the surface? | [`Roughness`] |
//! | How sharp is the loss at the centre? | [`lanczos`], [`Sharpness`] |
//! | All of it, with files that survive an interruption | [`run()`] |
//!
//! The directions move the query (key) weights of all attention layers at once, so that nothing behind the first layer's
//! norm can be kept from point to point: every point is a forward pass of its own.
//!
//! ```
//! use gdcert::landscape::{Blocks, Directions, Grid, InstanceLoss, Loss, Roughness, Surface, complete, instance_weights};
//! use gdcert::{Dims, Init, Instance, Kernel, Trained};
//! use std::ops::ControlFlow;
//!
//! let dims = Dims { N: 2, n: 4, D: 8, d: 4, H: 3, p: 1 };
//! let instance = Instance::random(dims, Kernel::Gaussian, Init::Lecun, 0)?;
//! let (weights, blocks) = (instance_weights(instance.W()), Blocks::of_instance(dims, Trained::QKV));
//! let directions = Directions::random(&weights, &blocks, 0)?;
//! let (grid, mut losses) = (Grid::new(11, 1.0)?, Vec::new());
//! let mut workers = [InstanceLoss::new(&instance)];
//! complete(&mut losses, grid, &weights, &directions, &mut workers, &mut |_| ControlFlow::Continue(()))?;
//! let surface = Surface { grid, losses };
//! assert_eq!(surface.loss(5, 5), workers[0].value(&weights)?);
//! assert!(Roughness::of(&surface, workers[0].noise()).variation.unwrap() > 0.0);
//! # Ok::<(), gdcert::Error>(())
//! ```

mod bounds;
mod directions;
mod files;
mod loss;
mod roughness;
mod run;
mod spectrum;
mod surface;

pub use directions::{Choice, Directions};
pub(crate) use files::RESULT;
pub use files::{Finished, Header, Passed, Samples, Source, Spectrum};
pub use loss::{Blocks, ClassifierLoss, InstanceLoss, Loss, instance_weights};
pub use roughness::Roughness;
pub use run::{Event, Run, aim, refuse_another, run};
pub use spectrum::{Lanczos, Node, Restricted, Sharpness, lanczos, start};
pub use surface::{Grid, Surface, complete};
