//! Sweeps: many instances from a grid or a random sample of settings, one row each.
//!
//! Data flows one way: a [`Plan`] (what a configuration says) makes numbered [`Trial`]s, a trial makes a [`Row`],
//! rows go in order to a [`ShardFile`]. A row depends on its trial and on nothing else: not on threads, shards or the
//! order in which they ran.
//!
//! ```
//! use gdcert::experiment::sweep::{Plan, Shard, run};
//! use std::ops::ControlFlow;
//!
//! let plan: Plan = r#"
//!     N = 2
//!     n = 4
//!     D = 8
//!     d = 4
//!     H = [1, 2]
//!     kernel = ["softmax", "gaussian"]
//!     seeds = { from = 0, to = 4 }
//!     steps = 200
//! "#.parse()?;
//! let mut rows = Vec::new();
//! run(&plan, Shard::WHOLE, 0, &|| ControlFlow::Continue(()), &mut |finished| {
//!     rows.push(finished.row);
//!     Ok(())
//! })?;
//! assert_eq!(rows.len() as u64, plan.trials());
//! // Row i is trial i, and its settings can be read off.
//! assert_eq!((rows[19].trial, rows[19].dims.H, rows[19].seed), (19, 2, 4));
//! # Ok::<(), gdcert::Error>(())
//! ```

mod config;
mod file;
mod plan;
mod row;
mod run;
mod shard;
mod trial;

pub use file::ShardFile;
pub(crate) use file::{Lines, header, index_of};
pub use plan::{Certify, Law, Plan, Trial};
pub use row::{COLUMNS, ReadingRow, Row};
pub use run::{Finished, run};
pub(crate) use shard::shard_of;
pub use shard::{Shard, trials_file};
