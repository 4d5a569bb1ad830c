//! The two data sets of the training runs: IMDb reviews as bytes, Pathfinder images as grey levels.
//!
//! Both come as Long Range Arena has them (Tay et al., *Long Range Arena: A Benchmark for Efficient
//! Transformers*, ICLR 2021): a sample is a sequence of bytes with a label 0 or 1.
//!
//! | question | where |
//! |---|---|
//! | How are reviews read? | [`imdb::read`] |
//! | Where does the archive come from? | [`download`] |
//! | How are Pathfinder images made, written and read? | [`pathfinder`] |
//! | Which samples make step t's batch? | [`Batches`] |

mod batch;
pub mod download;
pub mod imdb;
pub mod pathfinder;
mod random;

pub use batch::{Batch, Batches, fill};

use crate::{Error, Result};
use gdcert_base::input::same_word;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::path::Path;

/// The token of a position without a sample's byte: it is masked.
pub const PADDING: u16 = 0;

/// Every token is below this.
pub const VOCABULARY: usize = 512;

/// What is classified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// IMDb: is a review positive?
    Imdb,
    /// Pathfinder: do the marked ends belong to one contour?
    Pathfinder,
}

impl Task {
    /// Reads this task's samples from a folder, for sequences of `length` tokens; and what a person
    /// should be told about them, if anything.
    ///
    /// # Errors
    /// See [`imdb::read`] and [`pathfinder::read`]; images of another number of pixels than `length`.
    pub fn read(self, source: &Path, length: usize) -> Result<(Dataset, Option<String>)> {
        match self {
            Task::Imdb => {
                let found = imdb::read(source, length)?;
                let note = found.note();
                Ok((found.data, note))
            }
            Task::Pathfinder => {
                // One split for all runs, whatever their seeds.
                let (data, notes) = pathfinder::read_with_notes(source, 0)?;
                match data.train.first() {
                    Some(sample) if sample.bytes.len() != length => Err(Error::file(
                        source,
                        format!(
                            "has images of {} pixels; pass --length {}",
                            sample.bytes.len(),
                            sample.bytes.len()
                        ),
                    )),
                    _ => Ok((data, (!notes.is_empty()).then(|| notes.join("; ")))),
                }
            }
        }
    }
}

impl Task {
    /// Which task's samples a folder (or archive) holds, if that can be told by what it is called or what is in it.
    pub fn of(source: &Path) -> Option<Task> {
        let there = |name: &str| source.join(name).exists();
        let said = std::fs::read(source.join("data.json")).ok();
        let said: Option<serde_json::Value> =
            said.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        if let Some(task) = said.and_then(|said| said["data"].as_str()?.parse().ok()) {
            return Some(task);
        }
        let reviews = || {
            source.is_file()
                || there("aclImdb")
                || there("train/pos")
                || there("train.csv")
                || holds_archive(source)
        };
        // A folder in an archive.
        let archive = source.ancestors().skip(1).any(Path::is_file);
        if there("metadata") && there("imgs") || archive {
            Some(Task::Pathfinder)
        } else {
            reviews().then_some(Task::Imdb)
        }
    }
}

fn holds_archive(folder: &Path) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name())
        .any(|name| name.to_string_lossy().ends_with(".tar.gz"))
}

impl std::fmt::Display for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Task::Imdb => "imdb",
            Task::Pathfinder => "pathfinder",
        })
    }
}

impl std::str::FromStr for Task {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            _ if same_word(name, "imdb") => Ok(Task::Imdb),
            _ if same_word(name, "pathfinder") => Ok(Task::Pathfinder),
            _ => Err(Error::input(format!(
                "unknown task '{name}'; choose imdb or pathfinder"
            ))),
        }
    }
}

/// A sequence with its class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The bytes of a review, or the grey levels of an image row by row.
    pub bytes: Box<[u8]>,
    /// The class, 0 or 1.
    pub label: u8,
}

/// Samples for training, for choosing hyperparameters, and for the figures that are reported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dataset {
    /// Token = byte + `shift`: 1 for text, so that 0 is padding; 0 for images, whose black
    /// pixels count as padding, as in the Long Range Arena code of Skyformer.
    pub shift: u16,
    /// Trained on.
    pub train: Vec<Sample>,
    /// Held out from training; empty for IMDb until [`Dataset::hold_out`] is called.
    pub dev: Vec<Sample>,
    /// Tested on.
    pub test: Vec<Sample>,
}

impl Dataset {
    /// SHA-256 of all samples with their classes, in order: other data have another one.
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(self.shift.to_le_bytes());
        for part in [&self.train, &self.dev, &self.test] {
            hash.update((part.len() as u64).to_le_bytes());
            for sample in part {
                hash.update([sample.label]);
                hash.update((sample.bytes.len() as u64).to_le_bytes());
                hash.update(&sample.bytes);
            }
        }
        let bytes = hash.finalize();
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// A fixed random choice of `count` of these samples, the same for every run; all of them if `count`
    /// is 0 or too large.
    pub fn choice(samples: &[Sample], count: usize) -> Vec<&Sample> {
        if count == 0 || count >= samples.len() {
            return samples.iter().collect();
        }
        let order = random::permutation(samples.len(), &mut random::stream(0, random::CHOICE));
        order[..count].iter().map(|&i| &samples[i]).collect()
    }

    /// Moves a seeded random part of the training samples to `dev`.
    pub fn hold_out(&mut self, seed: u64, part: f64) {
        let order = random::permutation(self.train.len(), &mut random::stream(seed, random::SPLIT));
        // A tenth is what integer division by 10 gives.
        let held = ((self.train.len() as f64 * part + 1e-9).floor() as usize).min(self.train.len());
        let mut dev: Vec<usize> = order[..held].to_vec();
        dev.sort_unstable();
        // From the back, so that the indices in front stay what they are.
        for &i in dev.iter().rev() {
            self.dev.push(self.train.remove(i));
        }
        self.dev.reverse();
    }

    /// Makes `dev` a seeded random part of all samples that are not tested on, in place of one that came with the data.
    pub fn hold_out_anew(&mut self, seed: u64, part: f64) {
        self.train.append(&mut self.dev);
        self.hold_out(seed, part);
    }
}

/// A class name, or what a label file holds, as a label.
fn label(text: &str) -> Result<u8> {
    match text {
        "0" => Ok(0),
        "1" => Ok(1),
        other => Err(Error::input(format!("label '{other}' must be 0 or 1"))),
    }
}
