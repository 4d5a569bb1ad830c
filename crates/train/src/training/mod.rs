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
//!
//! ```
//! use gdcert_train::data::{Dataset, Sample, Task};
//! use gdcert_train::training::{Run, Settings, Split, run};
//!
//! // Is there a 'b' in front?
//! let samples = |n: u8| -> Vec<Sample> {
//!     let sample = |i: u8| Sample { bytes: [b'a' + i % 2, i].into(), label: i % 2 };
//!     (0..n).map(sample).collect()
//! };
//! let data = Dataset { shift: 1, train: samples(64), test: samples(32), ..Dataset::default() };
//! let settings = Settings {
//!     length: 2, width: 8, hidden: 8, batch: 16, warmup: 5, steps: 100, lr: 0.02,
//!     ..Settings::preset(Task::Imdb)
//! };
//! let folder = tempfile::tempdir().unwrap();
//! let plan = Run { settings: &settings, data: &data, folder: folder.path(), resume: false, from: None };
//! let rows = run(&plan)?;
//! let last = rows.iter().find(|row| row.split == Split::Final).unwrap();
//! assert!(last.accuracy > 0.9);
//! # Ok::<(), gdcert_base::Error>(())
//! ```

mod checkpoint;
mod metrics;
mod optimizer;
mod room;
mod run;
mod settings;
mod tensorboard;
mod trainer;

pub use checkpoint::{Checkpoint, Window};
pub use metrics::{Row, Split, read_metrics};
pub use optimizer::{Law, Optimizer};
pub use room::check_training_room;
pub use run::{Event, Run, best, run, run_with};
pub use settings::too_large;
pub use settings::{Method, Settings};
pub use trainer::{Score, Trainer};
