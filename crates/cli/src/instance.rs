//! The flags that name an instance.

use super::out::OutDir;
use super::{note, one_of, whole};
use crate::{Error, Result};
use gdcert::model::{Kernel, Trained};
use gdcert::problem::{Dims, Init, Instance};
use gdcert_report::drawn_title;
use std::path::PathBuf;

pub(super) const KERNELS: [&str; 2] = ["softmax", "gaussian"];
pub(super) const READINGS: [&str; 4] = ["stacked", "per_head", "value", "ntk"];

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
    #[arg(
        long,
        help_heading = "Instance",
        value_parser = one_of(&KERNELS),
        hide_possible_values = true
    )]
    kernel: Option<String>,
    /// lecun, lazy, paired or constant-value [default: lecun]
    #[arg(
        long,
        conflicts_with = "instance",
        help_heading = "Instance",
        value_parser = one_of(&Init::NAMES),
        hide_possible_values = true
    )]
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
    /// An instance file (safetensors or .npz: X, y, W_Q, W_K, W_V, W_O) instead of a draw
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
    /// Trained blocks, a non-empty subset of QKV; overrides --theorem. Of a model: names of its blocks
    #[arg(long, value_name = "QKV|NAME,NAME")]
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

/// A law to draw from, and the seed.
pub(super) struct Law {
    pub(super) dims: Dims,
    pub(super) kernel: Kernel,
    pub(super) init: Init,
    pub(super) seed: u64,
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

    /// The names in --train, where it is about a model.
    pub(super) fn blocks(&self) -> Option<Vec<String>> {
        let names = self.train.as_ref()?.split(',');
        Some(names.map(|name| name.trim().to_owned()).collect())
    }

    /// Whether flags name an instance; a kernel alone does not.
    pub(super) fn is_given(&self) -> bool {
        let sizes = [
            self.samples,
            self.tokens,
            self.embedding,
            self.head,
            self.heads,
            self.outputs,
        ];
        self.instance.is_some()
            || sizes.iter().any(Option::is_some)
            || self.init.is_some()
            || self.scale.is_some()
            || self.seed.is_some()
            || self.train.is_some()
    }

    pub(super) fn kernel(&self) -> Result<Option<Kernel>> {
        self.kernel.as_deref().map(str::parse).transpose()
    }

    /// Reads or draws the instance; `room` is asked before anything large is allocated.
    pub(super) fn load(&self, room: impl Fn(Dims) -> Result<()>) -> Result<Source> {
        let kernel = self.kernel()?;
        if let Some(path) = &self.instance {
            let (instance, named) = Instance::read_naming(path, kernel)?;
            room(instance.dims())?;
            if !named {
                note(&format!(
                    "{} names no kernel; softmax is taken, --kernel chooses",
                    path.display()
                ));
            }
            let name = path.file_name().unwrap_or(path.as_os_str());
            return Ok(Source {
                title: name.to_string_lossy().into_owned(),
                instance,
                seed: None,
                init: None,
            });
        }
        let law = self.law(None)?;
        law.dims.check()?;
        room(law.dims)?;
        Ok(Source {
            instance: Instance::random(law.dims, law.kernel, law.init, law.seed)?,
            seed: Some(law.seed),
            init: Some(law.init),
            title: drawn_title(law.init, law.seed),
        })
    }

    /// The law that the flags name; sizes that are not given are those of `default`, and missing without one.
    pub(super) fn law(&self, default: Option<Dims>) -> Result<Law> {
        let kernel = self.kernel.as_deref().map(str::parse).transpose()?;
        Ok(Law {
            dims: self.dims(default)?,
            kernel: kernel.unwrap_or(Kernel::Softmax),
            init: Init::from_name(self.init.as_deref().unwrap_or("lecun"), self.scale)?,
            seed: self.seed.unwrap_or(0),
        })
    }

    /// Refuses a folder whose files this command replaces where the instance's own is among them.
    pub(super) fn spare(&self, source: &Source, out: &OutDir) -> Result<()> {
        match &self.instance {
            Some(path) => out.spare(path, Some(&source.instance.to_bytes()?)),
            None => Ok(()),
        }
    }

    /// Refuses a folder in which this command replaces the instance's file, whatever by.
    pub(super) fn spare_from(&self, out: &OutDir) -> Result<()> {
        self.instance
            .as_ref()
            .map_or(Ok(()), |path| out.spare(path, None))
    }

    /// Whether an instance file is given.
    pub(super) fn file(&self) -> bool {
        self.instance.is_some()
    }

    fn dims(&self, default: Option<Dims>) -> Result<Dims> {
        let need = |value: Option<usize>, default: Option<usize>, flag: &str| {
            value.or(default).ok_or_else(|| {
                Error::input(format!(
                    "-{flag} is missing; give -N -n -D -d -H (and -p), or --instance FILE"
                ))
            })
        };
        Ok(Dims {
            N: need(self.samples, default.map(|dims| dims.N), "N")?,
            n: need(self.tokens, default.map(|dims| dims.n), "n")?,
            D: need(self.embedding, default.map(|dims| dims.D), "D")?,
            d: need(self.head, default.map(|dims| dims.d), "d")?,
            H: need(self.heads, default.map(|dims| dims.H), "H")?,
            p: self.outputs.or(default.map(|dims| dims.p)).unwrap_or(1),
        })
    }
}
