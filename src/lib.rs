#![doc = "gdcert"]
#![allow(non_snake_case)] // names are the symbols of the theory: N, n, D, d, H, p, W^Q, B_0, J
#![warn(missing_docs)]

pub mod descent;
mod error;
pub mod model;
mod output;
pub mod problem;

pub use error::{Error, Result};
pub use model::{Kernel, Trained};
pub use problem::{Dims, Init, Instance, Weights};
