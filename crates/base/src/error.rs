//! What can go wrong before a verdict: one line that names the thing and the mend.

use std::path::{Path, PathBuf};

/// Everything the library refuses to do.
///
/// The message is one line that names the offending thing and says how to mend it;
/// the command line prints it as it is and exits with code 2 (130 for [`Error::Cancelled`]).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file that cannot be read, or does not hold what it should.
    #[error("{}: {what}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and the mend.
        what: String,
    },
    /// An output that cannot be written. Nothing half-written is left behind.
    #[error("{}: cannot write: {source}; choose another place with --out or free some room", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A setting or an instance that makes no sense, in another way than the next three.
    #[error("{0}")]
    Input(String),
    /// A tensor whose sizes disagree with the others.
    #[error("{what}")]
    Shape {
        /// Its name.
        tensor: String,
        /// The shape it has and the one it should have.
        what: String,
    },
    /// An entry that is infinite or no number.
    #[error("{tensor}[{}] is {value}; every entry must be finite", place.map(|i| i.to_string()).join(","))]
    NotFinite {
        /// The tensor's name.
        tensor: String,
        /// Sample or head, row, column.
        place: [usize; 3],
        /// The entry.
        value: f64,
    },
    /// Sizes that do not fit into this machine.
    #[error("{0}")]
    TooLarge(String),
    /// A numerical routine gave up; this is not expected on finite input.
    #[error("{0}")]
    Numerical(String),
    /// The caller asked to stop.
    #[error("stopped before the end")]
    Cancelled,
}

/// Result with this crate's [`enum@Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub fn input(what: impl Into<String>) -> Self {
        Error::Input(what.into())
    }

    pub fn file(path: &Path, what: impl Into<String>) -> Self {
        Error::File {
            path: path.to_owned(),
            what: what.into(),
        }
    }

    pub fn write(path: &Path, source: std::io::Error) -> Self {
        Error::Write {
            path: path.to_owned(),
            source,
        }
    }
}
