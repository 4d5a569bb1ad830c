//! The flags that name an instance.

use super::whole;
use crate::model::{Kernel, Trained};
use crate::problem::{Dims, Init, Instance};
use crate::{Error, Result};
use std::path::PathBuf;

#[derive(clap::Args)]
pub(super) struct InstanceArgs {
    /// Samples
    #[arg(
        short = 'N',
        allow_negative_numbers = true, value_parser = whole::<usize>,
        value_name = "N",
        conflicts_with = "instance",
        help_heading = "Instance"
    )]
    samples: Option<usize>,
    /// Tokens per sample
    #[arg(
        short = 'n',
        allow_negative_numbers = true, value_parser = whole::<usize>,
        value_name = "n",
        conflicts_with = "instance",
        help_heading = "Instance"
    )]
    tokens: Option<usize>,
    /// Embedding dimension
    #[arg(
        short = 'D',
        allow_negative_numbers = true, value_parser = whole::<usize>,
        value_name = "D",
        conflicts_with = "instance",
        help_heading = "Instance"
    )]
    embedding: Option<usize>,
    /// Head dimension
    #[arg(
        short = 'd',
        allow_negative_numbers = true, value_parser = whole::<usize>,
        value_name = "d",
        conflicts_with = "instance",
        help_heading = "Instance"
    )]
    head: Option<usize>,
    /// Heads
    #[arg(
        short = 'H',
        allow_negative_numbers = true, value_parser = whole::<usize>,
        value_name = "H",
        conflicts_with = "instance",
        help_heading = "Instance"
    )]
    heads: Option<usize>,
    /// Output width [default: 1]
    #[arg(
        short = 'p',
        allow_negative_numbers = true, value_parser = whole::<usize>,
        value_name = "p",
        conflicts_with = "instance",
        help_heading = "Instance"
    )]
    outputs: Option<usize>,
    /// softmax or gaussian [default: the file's, else softmax]
    #[arg(long, help_heading = "Instance")]
    kernel: Option<String>,
    /// lecun, lazy, paired or constant-value [default: lecun]
    #[arg(long, conflicts_with = "instance", help_heading = "Instance")]
    init: Option<String>,
    /// omega of lazy, s of paired and constant-value [default: 1]
    #[arg(
        long,
        value_name = "X",
        conflicts_with = "instance",
        allow_hyphen_values = true,
        help_heading = "Instance"
    )]
    scale: Option<f64>,
    /// Seed of the draw [default: 0]
    #[arg(
        long,
        value_name = "S",
        allow_negative_numbers = true, value_parser = whole::<u64>,
        conflicts_with = "instance",
        help_heading = "Instance"
    )]
    seed: Option<u64>,
    /// An instance file (safetensors: X, y, W_Q, W_K, W_V, W_O) instead of a draw
    #[arg(long, value_name = "FILE", help_heading = "Instance")]
    instance: Option<PathBuf>,
    /// 1 trains W^Q, W^K, W^V; 2 trains W^Q alone
    #[arg(
        long,
        value_name = "1|2",
        allow_negative_numbers = true, value_parser = whole::<u8>,
        default_value_t = 1
    )]
    theorem: u8,
    /// Trained blocks, a non-empty subset of QKV; overrides --theorem
    #[arg(long, value_name = "QKV")]
    train: Option<String>,
}

/// An instance and where it came from.
pub(super) struct Source {
    pub(super) instance: Instance,
    pub(super) seed: Option<u64>,
    pub(super) init: Option<Init>,
    /// The instance in words, for titles.
    pub(super) title: String,
}

impl InstanceArgs {
    pub(super) fn trained(&self) -> Result<Trained> {
        match (&self.train, self.theorem) {
            (Some(blocks), _) => blocks.parse(),
            (None, 1) => Ok(Trained::QKV),
            (None, 2) => Ok(Trained::Q),
            (None, other) => Err(Error::input(format!(
                "--theorem {other} is unknown; choose 1 or 2"
            ))),
        }
    }

    /// Reads or draws the instance; `room` is asked before anything large is allocated.
    pub(super) fn load(&self, room: impl Fn(Dims) -> Result<()>) -> Result<Source> {
        let kernel = self.kernel.as_deref().map(str::parse).transpose()?;
        if let Some(path) = &self.instance {
            let instance = Instance::read(path, kernel)?;
            room(instance.dims())?;
            let name = path.file_name().unwrap_or(path.as_os_str());
            return Ok(Source {
                title: name.to_string_lossy().into_owned(),
                instance,
                seed: None,
                init: None,
            });
        }
        let dims = self.dims()?;
        dims.check()?;
        room(dims)?;
        let init = Init::from_name(self.init.as_deref().unwrap_or("lecun"), self.scale)?;
        let seed = self.seed.unwrap_or(0);
        Ok(Source {
            instance: Instance::random(dims, kernel.unwrap_or(Kernel::Softmax), init, seed)?,
            seed: Some(seed),
            init: Some(init),
            title: title(init, seed),
        })
    }

    fn dims(&self) -> Result<Dims> {
        let need = |value: Option<usize>, flag: &str| {
            value.ok_or_else(|| {
                Error::input(format!(
                    "-{flag} is missing; give -N -n -D -d -H (and -p), or --instance FILE"
                ))
            })
        };
        Ok(Dims {
            N: need(self.samples, "N")?,
            n: need(self.tokens, "n")?,
            D: need(self.embedding, "D")?,
            d: need(self.head, "d")?,
            H: need(self.heads, "H")?,
            p: self.outputs.unwrap_or(1),
        })
    }
}

/// A drawn instance in words.
pub(super) fn title(init: Init, seed: u64) -> String {
    match (init.name(), init.scale()) {
        (name, Some(x)) => format!("{name} (scale {x}), seed {seed}"),
        (name, None) => format!("{name}, seed {seed}"),
    }
}
