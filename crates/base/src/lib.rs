//! What both halves of gdcert share and neither owns: errors, whole files, portable randomness, vector instructions.
//! An inner crate: its API may change with any version.
//!
//! | question | module |
//! |---|---|
//! | What went wrong, and what mends it? | [`enum@Error`] |
//! | Reading regular files of bounded size | [`input`] |
//! | Writing files whole or not at all; versions of JSON files | [`files`], [`schema`] |
//! | Numbers and foreign text as a person reads them | [`number`], [`printable`] |
//! | The same random numbers on every machine | [`random`] |
//! | Softmax or Gaussian | [`Kernel`] |
//! | How much memory there is | [`memory`] |
//! | Mean and spread over runs | [`statistics`] |
//! | AVX-512, AVX2 or neither, chosen at run time | [`simd`] |

mod error;
pub mod files;
pub mod input;
mod kernel;
pub mod memory;
pub mod number;
pub mod printable;
pub mod random;
pub mod schema;
pub mod simd;
pub mod statistics;

pub use error::{Error, Result};
pub use kernel::Kernel;
