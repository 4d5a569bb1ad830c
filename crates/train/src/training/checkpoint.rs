//! Checkpoints: a safetensors file that any tool can read, with all a run needs to go on.

use super::{Optimizer, Settings};
use crate::classifier::Parameters;
use crate::{Error, Result};
use gdcert_base::input;
use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::Path;

/// The metadata entry that holds everything but the tensors.
const KEY: &str = "gdcert.checkpoint/1";
const PARAMETERS: &str = "param.";

/// What a run needs to go on after a step: `param.NAME`, and `momentum.NAME` or `first_moment.NAME` and
/// `second_moment.NAME`, all F32; settings (with the schedule), seed and step as JSON in the
/// metadata entry `gdcert.checkpoint/1`. Batches and dropout are functions of seed and step: they are the
/// state of the random generators.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// Where the run stands.
    pub state: State,
    /// The classifier's parameters.
    pub parameters: Parameters,
    /// The optimizer with its memory.
    pub optimizer: Optimizer,
}

/// All but the tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// The version of gdcert that wrote it.
    pub version: String,
    /// The settings of the run.
    pub settings: Settings,
    /// The seed.
    pub seed: u64,
    /// Steps taken.
    pub step: u64,
    /// Time spent so far.
    pub seconds: f64,
    /// Training samples.
    pub samples: usize,
    /// [`Dataset::fingerprint`](crate::data::Dataset::fingerprint) of the data, to recognise others; `None` in files of
    /// version 0.1.0.
    #[serde(default)]
    pub data: Option<String>,
    /// What the next `train` row sums up.
    pub window: Window,
}

/// Sums over the steps since the last `train` row.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// Steps.
    pub steps: u64,
    /// Sum of the steps' losses.
    pub loss: f64,
    /// Samples classified correctly.
    pub correct: usize,
    /// Samples.
    pub samples: usize,
    /// Tokens, padding not counted.
    pub tokens: usize,
    /// Time.
    pub seconds: f64,
}

impl Checkpoint {
    /// At the first step of a seed, from random parameters or from given ones.
    pub fn start(
        settings: &Settings,
        seed: u64,
        samples: usize,
        from: Option<&Parameters>,
    ) -> Self {
        let architecture = settings.architecture();
        Checkpoint {
            state: State {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                settings: settings.clone(),
                seed,
                step: 0,
                seconds: 0.0,
                samples,
                data: None,
                window: Window::default(),
            },
            parameters: match from {
                Some(parameters) => parameters.clone(),
                None => Parameters::random(&architecture, seed),
            },
            optimizer: Optimizer::new(settings.law(), &architecture),
        }
    }

    /// The file's bytes.
    ///
    /// # Errors
    /// None is expected.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let fail = |e: String| Error::Numerical(format!("cannot serialize the checkpoint: {e}"));
        let state = serde_json::to_string(&self.state).map_err(|e| fail(e.to_string()))?;
        let parts = [(PARAMETERS, &self.parameters)]
            .into_iter()
            .chain(self.optimizer.memory());
        let tensors = parts.flat_map(|(prefix, part)| {
            part.tensors()
                .map(move |tensor| (format!("{prefix}{}", tensor.name), tensor))
        });
        // One entry only: a map with more would be written in random order.
        let metadata = HashMap::from([(KEY.to_owned(), state)]);
        safetensors::serialize(tensors, Some(metadata)).map_err(|e| fail(e.to_string()))
    }

    /// Reads a checkpoint.
    ///
    /// # Errors
    /// A file that is missing, truncated or no checkpoint; tensors that do not fit its settings. The message
    /// names the file.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = read(path)?;
        let (state, file) = open(path, &bytes)?;
        let architecture = state.settings.architecture();
        let within = |e: Error| Error::file(path, e.to_string());
        Ok(Checkpoint {
            parameters: Parameters::read(&architecture, &file, PARAMETERS).map_err(within)?,
            optimizer: Optimizer::read(state.settings.law(), state.step, &architecture, &file)
                .map_err(within)?,
            state,
        })
    }

    /// Reads the settings a checkpoint was trained with.
    ///
    /// # Errors
    /// A file that is missing, truncated or no checkpoint.
    pub fn read_settings(path: &Path) -> Result<Settings> {
        let bytes = read(path)?;
        Ok(open(path, &bytes)?.0.settings)
    }

    /// Reads how many steps were taken.
    ///
    /// # Errors
    /// A file that is missing, truncated or no checkpoint.
    pub fn read_step(path: &Path) -> Result<u64> {
        let bytes = read(path)?;
        Ok(open(path, &bytes)?.0.step)
    }

    /// Reads the parameters alone, for a run with these settings: another kernel is no obstacle.
    ///
    /// # Errors
    /// A file that is missing, truncated or no checkpoint; parameters of another shape.
    pub fn read_parameters(path: &Path, settings: &Settings) -> Result<Parameters> {
        let bytes = read(path)?;
        let (_, file) = open(path, &bytes)?;
        Parameters::read(&settings.architecture(), &file, PARAMETERS)
            .map_err(|e| Error::file(path, e.to_string()))
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    input::numbers(path).map_err(|what| Error::file(path, format!("the checkpoint {what}")))
}

fn open<'a>(path: &Path, bytes: &'a [u8]) -> Result<(State, SafeTensors<'a>)> {
    let broken = |what: String| {
        Error::file(
            path,
            format!("is no whole checkpoint ({what}); give one that gdcert train wrote"),
        )
    };
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| broken(e.to_string()))?;
    let file = SafeTensors::deserialize(bytes).map_err(|e| broken(e.to_string()))?;
    let state = header
        .metadata()
        .as_ref()
        .and_then(|entries| entries.get(KEY))
        .ok_or_else(|| broken(format!("no metadata entry {KEY}")))?;
    let state: State = serde_json::from_str(state).map_err(|e| broken(e.to_string()))?;
    state.settings.check().map_err(|e| broken(e.to_string()))?;
    Ok((state, file))
}
