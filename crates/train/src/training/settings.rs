//! What a run is made of: the poster's values, and every one of them replaceable.

use super::Law;
use crate::classifier::Architecture;
use crate::data::{Task, VOCABULARY};
use crate::{Error, Result};
use gdcert_base::Kernel;
use gdcert_base::input::same_word;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An optimizer's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Stochastic gradient descent with momentum.
    Sgd,
    /// Adam; weight decay is L2.
    Adam,
    /// Adam with decoupled weight decay.
    AdamW,
}

impl std::fmt::Display for Method {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Method::Sgd => "sgd",
            Method::Adam => "adam",
            Method::AdamW => "adamw",
        })
    }
}

impl std::str::FromStr for Method {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            _ if same_word(name, "sgd") => Ok(Method::Sgd),
            _ if same_word(name, "adam") => Ok(Method::Adam),
            _ if same_word(name, "adamw") => Ok(Method::AdamW),
            _ => Err(Error::input(format!(
                "unknown optimizer '{name}'; choose sgd, adam or adamw"
            ))),
        }
    }
}

/// Everything that decides a run's numbers. In this order in `config.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// What is classified.
    pub task: Task,
    /// Softmax or Gaussian attention.
    pub kernel: Kernel,
    /// Tokens of a sample that are read. Sequences are padded to the next power of two, as in the Long Range
    /// Arena setting of Skyformer; pooling divides by it.
    pub length: usize,
    /// Transformer blocks.
    pub blocks: usize,
    /// Embedding dimension D.
    pub width: usize,
    /// Attention heads.
    pub heads: usize,
    /// Hidden width of a block's MLP and of the classifier's.
    pub hidden: usize,
    /// Probability of dropping an activation.
    pub dropout: f64,
    /// How gradients are used.
    pub optimizer: Method,
    /// The largest learning rate.
    pub lr: f64,
    /// For `sgd`.
    pub momentum: f64,
    /// L2, or decoupled for `adamw`.
    pub weight_decay: f64,
    /// Entries of the gradient are cut to [-clip, clip]; `inf` cuts nothing.
    pub clip: f64,
    /// Samples to a step.
    pub batch: usize,
    /// Steps until the learning rate has grown, in equal parts, from 0 to `lr`.
    pub warmup: u64,
    /// Steps of a run; from the end of the warm-up the learning rate falls linearly to 0.
    pub steps: u64,
    /// One run for each.
    pub seeds: Vec<u64>,
    /// Evaluate on the dev samples instead of the test samples, to choose settings. For IMDb these are a
    /// tenth of the training samples, which are then not trained on.
    pub dev: bool,
    /// A part of the training samples that is held out to choose by: evaluations along the run are on these, the parameters
    /// with the best accuracy are kept, and it is they that are tested at the end. 0 holds out none.
    #[serde(default)]
    pub val_fraction: f64,
    /// Steps between two evaluations.
    pub eval_every: u64,
    /// Samples of an evaluation, always the same ones; 0 is all. After the last step it is all.
    pub eval_samples: usize,
    /// Steps to a `train` row of metrics.csv.
    pub log_every: u64,
    /// Steps between two checkpoints.
    pub checkpoint_every: u64,
}

impl Settings {
    /// The poster's setting of a task; what it leaves open is the Long Range Arena setting of Skyformer.
    pub fn preset(task: Task) -> Self {
        let both = Settings {
            task,
            kernel: Kernel::Softmax,
            length: 1024,
            blocks: 2,
            width: 64,
            heads: 2,
            hidden: 128,
            dropout: 0.1,
            optimizer: Method::Adam,
            lr: 2e-4,
            momentum: 0.9,
            weight_decay: 0.0,
            clip: 1.0,
            batch: 128,
            warmup: 312,
            steps: 20_000,
            seeds: vec![0],
            dev: false,
            val_fraction: 0.0,
            eval_every: 500,
            eval_samples: 2000,
            log_every: 50,
            checkpoint_every: 500,
        };
        match task {
            Task::Pathfinder => both,
            Task::Imdb => Settings {
                length: 4000,
                optimizer: Method::Sgd,
                lr: 0.1,
                batch: 32,
                warmup: 80,
                ..both
            },
        }
    }

    /// These settings with the entries of a table in place of their own.
    ///
    /// # Errors
    /// An unknown entry or one of another type.
    pub fn overlay(&self, table: toml::Table) -> Result<Self> {
        let mut settings = self.clone();
        // One by one, so that a complaint names the entry.
        for (key, value) in table {
            let mut all = settings.table()?;
            // A whole number is a number, and 1e4 is a whole number.
            let value = match (all.get(&key), value) {
                (Some(toml::Value::Float(_)), toml::Value::Integer(i)) => {
                    toml::Value::Float(i as f64)
                }
                (Some(toml::Value::Integer(_)), toml::Value::Float(x))
                    if x.fract() == 0.0 && x.abs() < 9e15 =>
                {
                    toml::Value::Integer(x as i64)
                }
                (_, value) => value,
            };
            // Names of kernels and the like are read as on the command line.
            let value = match value {
                toml::Value::String(name) => {
                    toml::Value::String(name.to_lowercase().replace('_', "-"))
                }
                value => value,
            };
            let said = format!("{key} = {value}");
            all.insert(key, value);
            settings = all.try_into().map_err(|e: toml::de::Error| {
                let what = e.message().trim().replace('\n', " ");
                Error::input(format!("{said} makes no setting: {what}"))
            })?;
        }
        Ok(settings)
    }

    /// As a TOML document.
    ///
    /// # Errors
    /// A seed above 2^63 - 1, the largest integer TOML has.
    pub fn to_toml(&self) -> Result<String> {
        Ok(self.table()?.to_string())
    }

    fn table(&self) -> Result<toml::Table> {
        toml::Table::try_from(self).map_err(|_| too_large(self))
    }

    /// The classifier's sizes.
    pub fn architecture(&self) -> Architecture {
        Architecture {
            kernel: self.kernel,
            vocabulary: VOCABULARY,
            positions: self.padded(),
            width: self.width,
            heads: self.heads,
            hidden: self.hidden,
            blocks: self.blocks,
            classifier: self.hidden,
            classes: 2,
        }
    }

    /// The length that sequences are padded to.
    pub fn padded(&self) -> usize {
        self.length
            .checked_next_power_of_two()
            .unwrap_or(usize::MAX)
    }

    /// The optimizer's law.
    pub fn law(&self) -> Law {
        let decay = self.weight_decay;
        match self.optimizer {
            Method::Sgd => Law::Sgd {
                momentum: self.momentum,
                decay,
            },
            Method::Adam => Law::Adam { decay },
            Method::AdamW => Law::AdamW { decay },
        }
    }

    /// The learning rate of step t = 0, 1, ...
    pub(crate) fn lr_at(&self, t: u64) -> f64 {
        let (t, steps, warmup) = (t as f64, self.steps as f64, self.warmup as f64);
        let rising = (t + 1.0) / warmup;
        let falling = (steps - t) / (steps - warmup);
        let share = if t < warmup { rising } else { falling };
        self.lr * share.min(1.0)
    }

    /// Refuses what makes no run.
    ///
    /// # Errors
    /// A number out of its range, with its name and the range.
    pub fn check(&self) -> Result<()> {
        let within = |name: &str, value: f64, ok: bool, range: &str| {
            if ok {
                Ok(())
            } else {
                Err(Error::input(format!(
                    "--{}: {name} = {} must be {range}",
                    name.replace('_', "-"),
                    gdcert_base::number::exact(value)
                )))
            }
        };
        let from_1 = [
            ("batch", self.batch as u64),
            ("steps", self.steps),
            ("length", self.length as u64),
            ("width", self.width as u64),
            ("heads", self.heads as u64),
            ("hidden", self.hidden as u64),
            ("blocks", self.blocks as u64),
            ("eval_every", self.eval_every),
            ("log_every", self.log_every),
            ("checkpoint_every", self.checkpoint_every),
        ];
        for (name, value) in from_1 {
            within(name, value as f64, value > 0, "at least 1")?;
        }
        within(
            "length",
            self.length as f64,
            self.length <= 1 << 24,
            "at most 16777216, the most positions there are",
        )?;
        within(
            "width",
            self.width as f64,
            self.width.is_multiple_of(self.heads),
            &format!("a multiple of --heads {}", self.heads),
        )?;
        // Steps are counted in f64 by the schedule.
        within(
            "steps",
            self.steps as f64,
            self.steps <= 1 << 53,
            "at most 2^53",
        )?;
        let lr = self.lr;
        within("lr", lr, lr > 0.0 && lr.is_finite(), "finite and above 0")?;
        let unit = 0.0..1.0;
        within(
            "dropout",
            self.dropout,
            unit.contains(&self.dropout),
            "at least 0 and below 1",
        )?;
        within(
            "momentum",
            self.momentum,
            unit.contains(&self.momentum),
            "at least 0 and below 1",
        )?;
        let decay = self.weight_decay;
        within(
            "weight_decay",
            decay,
            decay >= 0.0 && decay.is_finite(),
            "finite and at least 0",
        )?;
        within(
            "clip",
            self.clip,
            self.clip > 0.0,
            "above 0 (inf cuts nothing)",
        )?;
        within(
            "val_fraction",
            self.val_fraction,
            (0.0..=0.5).contains(&self.val_fraction),
            "at least 0 and at most 0.5",
        )?;
        if self.dev && self.val_fraction > 0.0 {
            return Err(Error::input(
                "--dev and --val-fraction exclude each other: the one never looks at test samples, the other does at the end",
            ));
        }
        if self.seeds.is_empty() {
            return Err(Error::input("--seeds names no seed; give at least one"));
        }
        for (i, seed) in self.seeds.iter().enumerate() {
            if self.seeds[..i].contains(seed) {
                return Err(Error::input(format!(
                    "--seeds names {seed} twice; once is enough"
                )));
            }
        }
        self.to_toml()?;
        self.architecture().check()
    }

    /// The first entry, apart from the seeds, in which two settings differ: name, this value, the other.
    ///
    /// # Errors
    /// As [`to_toml`](Self::to_toml).
    pub fn difference(&self, other: &Settings) -> Result<Option<(String, String, String)>> {
        let (mine, theirs) = (self.table()?, other.table()?);
        Ok(mine
            .iter()
            .filter(|(key, _)| *key != "seeds")
            .find(|(key, value)| theirs.get(*key) != Some(*value))
            .map(|(key, value)| {
                let other = theirs.get(key).map_or(String::new(), ToString::to_string);
                (key.clone(), value.to_string(), other)
            }))
    }
}

/// Names the entry that TOML has no integer for.
pub fn too_large(settings: &impl Serialize) -> Error {
    let all = serde_json::to_value(settings).unwrap_or_default();
    let large = |value: &Value| value.as_u64().is_some_and(|n| i64::try_from(n).is_err());
    let found = all.as_object().into_iter().flatten().find(|(_, value)| {
        let parts = value.as_array();
        large(value) || parts.is_some_and(|parts| parts.iter().any(large))
    });
    let name = found.map_or("a number".to_owned(), |(key, _)| {
        format!("--{}", key.replace('_', "-"))
    });
    Error::input(format!(
        "{name} must be below 2^63; choose something smaller"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// The largest learning rate is reached, never exceeded, and the last step is not idle.
        #[test]
        fn the_learning_rate_rises_and_falls(warmup in 0u64..50, steps in 1u64..200) {
            let settings = Settings { warmup, steps, lr: 3.0, ..Settings::preset(Task::Imdb) };
            let rates: Vec<f64> = (0..steps).map(|t| settings.lr_at(t)).collect();
            prop_assert!(rates.iter().all(|r| *r > 0.0 && *r <= 3.0));
            let top = (warmup.max(1) - 1).min(steps - 1) as usize;
            prop_assert!(rates[..=top].windows(2).all(|w| w[0] < w[1]));
            prop_assert!(rates[top..].windows(2).all(|w| w[0] >= w[1]));
            if warmup <= steps {
                prop_assert_eq!(rates[top], 3.0);
            }
        }
    }

    #[test]
    fn toml_and_back() {
        for task in [Task::Imdb, Task::Pathfinder] {
            let settings = Settings {
                lr: 0.1 + 0.2,
                clip: f64::INFINITY,
                seeds: vec![3, 1],
                ..Settings::preset(task)
            };
            let table = settings.to_toml().unwrap().parse().unwrap();
            let back = Settings::preset(Task::Imdb).overlay(table).unwrap();
            assert_eq!(back, settings);
            assert!(settings.difference(&back).unwrap().is_none());
        }
    }

    #[test]
    fn counts_may_be_written_with_an_exponent() {
        let overlay = |text: &str| Settings::preset(Task::Imdb).overlay(text.parse().unwrap());
        assert_eq!(overlay("steps = 1e4").unwrap().steps, 10_000);
        assert!(overlay("steps = 1.5").is_err());
        assert_eq!(overlay("lr = 1").unwrap().lr, 1.0);
    }

    #[test]
    fn what_makes_no_run_is_refused() {
        let good = Settings::preset(Task::Imdb);
        good.check().unwrap();
        let overlay = |text: &str| good.overlay(text.parse().unwrap());
        for (text, word) in [
            ("lr = 0", "lr = 0"),
            ("lr = nan", "lr = NaN"),
            ("dropout = 1", "dropout = 1"),
            ("momentum = -1", "momentum"),
            ("clip = 0", "clip"),
            ("weight_decay = inf", "weight_decay"),
            ("batch = 0", "batch = 0"),
            ("steps = 0", "steps = 0"),
            ("seeds = []", "no seed"),
            ("seeds = [1, 1]", "twice"),
            ("val_fraction = 0.6", "val_fraction = 0.6"),
            ("heads = 3", "heads"),
            ("length = 999999999999", "positions"),
        ] {
            let error = overlay(text).unwrap().check().unwrap_err().to_string();
            assert!(error.contains(word), "{text}: {error}");
        }
        for (text, word) in [
            ("speed = 3", "speed"),
            ("lr = \"fast\"", "lr = \"fast\""),
            ("kernel = \"cubic\"", "cubic"),
            ("batch = -1", "-1"),
        ] {
            let error = overlay(text).unwrap_err().to_string();
            assert!(
                error.contains(word) && error.lines().count() == 1,
                "{text}: {error}"
            );
        }
        assert_eq!(overlay("lr = 1").unwrap().lr, 1.0);
    }
}
