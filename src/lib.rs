#![doc = "gdcert"]
#![allow(non_snake_case)] // names are the symbols of the theory: N, n, D, d, H, p, W^Q, B_0, J
#![warn(missing_docs)]

pub mod certificate;
pub mod cli;
pub mod descent;
mod error;
pub mod experiment;
pub mod memory;
pub mod model;
mod output;
pub mod plot;
pub mod problem;
pub mod report;
mod rounding;
pub mod spectrum;
pub mod verdict;
mod verify;

pub use error::{Error, Result};
pub use model::{Kernel, Trained};
pub use problem::{Dims, Init, Instance, Weights};
pub use verify::{Eta, Settings, Verification, deciding_reading, verify};
