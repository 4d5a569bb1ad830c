//! Training the classifier: optimizers, schedule, the run with its checkpoints and metrics.
//!
//! | question | where |
//! |---|---|
//! | What can be set, and what are the poster's values? | [`Settings`] |
//! | How does a step change the parameters? | [`Optimizer`] |
//! | One seed, step by step | [`Trainer`] |
//! | All seeds, with files that survive an interruption | [`run()`] |
//! | What is in a checkpoint, in metrics.csv? | [`Checkpoint`], [`Row`] |
//!
//! Everything random is a function of the seed and the step (batches, dropout), so a checkpoint needs no
//! generator's state: a run that is interrupted and resumed goes through the same numbers, bit for bit.

mod checkpoint;
mod metrics;
mod optimizer;
mod run;
mod settings;
mod trainer;

pub use checkpoint::{Checkpoint, Window};
pub use metrics::{Row, Split};
pub use optimizer::{Law, Optimizer};
pub use run::{Event, Run, run};
pub use settings::{Method, Settings};
pub use trainer::{Score, Trainer};
