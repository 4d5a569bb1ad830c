//! The poster's claims, each one small named experiment: a question, the runs that answer it, and how the answer is
//! read off them. `gdcert reproduce` runs them; `gdcert reproduce --only NAME` runs one.
//!
//! # Adding one
//!
//! Write a function that returns an [`Experiment`] and append it to [`experiments`]; `gdcert reproduce` then runs it,
//! writes its files, adds its row to the table of claims and its section to the report:
//!
//! ```
//! use gdcert::experiment::poster::{Answer, Case, Experiment, Finding, VerifyCase, Work};
//! use gdcert::{Dims, Init, Kernel, Trained, spectrum::Reading};
//!
//! fn two_outputs() -> Experiment {
//!     let dims = Dims { N: 2, n: 2, D: 8, d: 4, H: 2, p: 2 };
//!     let (kernel, init, trained) = (Kernel::Softmax, Init::Lecun, Trained::QKV);
//!     let run = VerifyCase { dims, kernel, init, seed: 0, trained, reading: Reading::PerHead, steps: 500 };
//!     Experiment {
//!         name: "two-outputs",
//!         question: "Does the bound hold with two outputs?",
//!         statement: "f(M_t) <= (1 - eta beta)^t f(M_0), p = 2",
//!         cases: vec![Case { name: "lecun", shows: "an ordinary initialization", work: Work::Verify(run) }],
//!         answer: |found: &[Finding]| Answer::of(&found[0], format!("the bound {}", found[0].phrase())),
//!         needs_imdb: false,
//!         minutes: 0.1,
//!     }
//! }
//! assert_eq!(two_outputs().cases.len(), 1);
//! ```

mod near_convex;
mod necessity;
mod random;
mod readings;
mod summary;
mod theorem_1;
mod theorem_2;
mod training;
mod vanishing;

pub use near_convex::{ConvexityCase, convexity_numbers};
pub use summary::{Answer, Answered, Finding, NotRun, Number, Summary};

use crate::descent::Steps;
use crate::eta::Eta;
use crate::model::{Kernel, Trained};
use crate::problem::{Dims, Init, Instance};
use crate::spectrum::Reading;
use crate::verify::Settings;
use crate::{Error, Result};
use gdcert_base::files::shell_line;
use gdcert_base::input::same_word;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;
use std::str::FromStr;

/// One claim and the runs that try it.
#[derive(Clone, Debug)]
pub struct Experiment {
    /// The name on the command line, of the output folder and of the report's section.
    pub name: &'static str,
    /// What a reader wants to know.
    pub question: &'static str,
    /// What is claimed, in a sentence.
    pub statement: &'static str,
    /// The runs.
    pub cases: Vec<Case>,
    /// The answer, from one finding a case, in the order of `cases`.
    pub answer: fn(&[Finding]) -> Answer,
    /// Whether it reads the IMDb reviews, which are not made here.
    pub needs_imdb: bool,
    /// About how long it takes on two cores, in minutes, for the estimate before a long run.
    pub minutes: f64,
}

/// One run of an experiment.
#[derive(Clone, Debug)]
pub struct Case {
    /// The name of its folder.
    pub name: &'static str,
    /// What this case is there to show.
    pub shows: &'static str,
    /// What is run.
    pub work: Work,
}

/// What a case runs.
#[derive(Clone, Debug)]
pub enum Work {
    /// `gdcert verify` on a drawn instance.
    Verify(VerifyCase),
    /// How nearly convex the loss is along the orbits of drawn instances.
    Convexity(ConvexityCase),
    /// Other gdcert commands, one after another.
    Commands(Commands),
}

impl Work {
    /// The command, or commands, that repeat this case alone; `folder` is the case's, `imdb` where the reviews are.
    pub fn command(&self, folder: &Path, imdb: &Path) -> String {
        match self {
            Work::Verify(case) => case.command(),
            Work::Convexity(_) => "gdcert reproduce --only near-convex".to_owned(),
            Work::Commands(commands) => {
                let lines = commands.words(folder, imdb);
                let lines = lines
                    .iter()
                    .map(|words| shell_line(words.iter().map(Into::into)));
                lines.collect::<Vec<_>>().join(" && ")
            }
        }
    }
}

/// gdcert commands, what they read, and which of their numbers are wanted.
#[derive(Clone, Debug)]
pub struct Commands {
    /// The text of a configuration, written beside the case's folder as `FOLDER.toml`.
    pub config: Option<String>,
    /// The commands without `gdcert`, words apart by spaces; `{}` stands for the case's folder, `{imdb}` for where the
    /// reviews are.
    pub lines: Vec<String>,
    /// Numbers for the summary: a name, a JSON file below the folder, and a JSON pointer into it.
    pub numbers: Vec<(&'static str, &'static str, &'static str)>,
}

impl Commands {
    /// The words of each command, for this folder and these reviews.
    pub fn words(&self, folder: &Path, imdb: &Path) -> Vec<Vec<String>> {
        let (folder, imdb) = (folder.to_string_lossy(), imdb.to_string_lossy());
        let line = |line: &String| {
            let words = line
                .split(' ')
                .map(|word| word.replace("{}", &folder).replace("{imdb}", &imdb));
            std::iter::once("gdcert".to_owned()).chain(words).collect()
        };
        self.lines.iter().map(line).collect()
    }
}

/// A sweep and its summary, in the case's folder; of summary.json these numbers.
fn sweep(config: String, numbers: &[(&'static str, &'static str)]) -> Work {
    let numbers = numbers.iter();
    Work::Commands(Commands {
        config: Some(config),
        lines: vec![
            "sweep {}.toml --out {}".to_owned(),
            "summarize {} --out {}".to_owned(),
        ],
        numbers: numbers
            .map(|(name, at)| (*name, "summary.json", *at))
            .collect(),
    })
}

/// A drawn instance and how it is verified.
#[derive(Clone, Debug)]
pub struct VerifyCase {
    /// Sizes.
    pub dims: Dims,
    /// Kernel.
    pub kernel: Kernel,
    /// Initialization.
    pub init: Init,
    /// Seed of the draw.
    pub seed: u64,
    /// Trained blocks.
    pub trained: Trained,
    /// The reading that decides.
    pub reading: Reading,
    /// At most this many steps.
    pub steps: usize,
}

impl VerifyCase {
    /// Draws the instance.
    pub fn instance(&self) -> Result<Instance> {
        Instance::random(self.dims, self.kernel, self.init, self.seed)
    }

    /// The settings it is verified with.
    pub fn settings(&self) -> Settings {
        Settings {
            trained: self.trained,
            eta: Eta::Auto,
            steps: Steps::UpTo(self.steps),
            reading: Some(self.reading.into()),
            ..Settings::default()
        }
    }

    /// The `gdcert verify` command that repeats this case alone.
    pub fn command(&self) -> String {
        super::verify_command(
            self.dims,
            self.kernel,
            self.init,
            self.seed,
            self.trained,
            self.reading,
        )
    }
}

/// How much is run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// Within five minutes on two cores.
    #[default]
    Quick,
    /// The poster's sizes: days.
    Paper,
}

impl FromStr for Preset {
    type Err = Error;
    fn from_str(name: &str) -> Result<Self> {
        match name {
            _ if same_word(name, "quick") => Ok(Preset::Quick),
            _ if same_word(name, "paper") => Ok(Preset::Paper),
            _ => Err(Error::input(format!(
                "unknown preset '{name}'; choose quick or paper"
            ))),
        }
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Preset::Quick => "quick",
            Preset::Paper => "paper",
        })
    }
}

/// The experiment of that name.
///
/// # Errors
/// No experiment has that name; the message lists them.
pub fn experiment(name: &str, preset: Preset) -> Result<Experiment> {
    let all = experiments(preset);
    let names: Vec<_> = all.iter().map(|e| e.name).collect();
    let unknown = Error::input(format!(
        "no experiment is called '{name}'; choose one of {}",
        names.join(", ")
    ));
    all.into_iter()
        .find(|e| same_word(name, e.name))
        .ok_or(unknown)
}

/// All experiments, in the order of the poster.
pub fn experiments(preset: Preset) -> Vec<Experiment> {
    vec![
        theorem_1::experiment("theorem-1-softmax", Kernel::Softmax),
        theorem_1::experiment("theorem-1-gaussian", Kernel::Gaussian),
        readings::experiment(),
        theorem_2::experiment(),
        random::experiment(preset),
        necessity::experiment(preset),
        vanishing::experiment(preset),
        near_convex::experiment(preset),
        training::pathfinder(preset),
        training::imdb(preset),
    ]
}

const SMALL: Dims = Dims {
    N: 2,
    n: 4,
    D: 8,
    d: 4,
    H: 3,
    p: 1,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found() {
        for preset in [Preset::Quick, Preset::Paper] {
            for e in experiments(preset) {
                assert_eq!(experiment(e.name, preset).unwrap().name, e.name);
                let mut names: Vec<_> = e.cases.iter().map(|c| c.name).collect();
                names.sort();
                names.dedup();
                assert_eq!(names.len(), e.cases.len());
            }
            assert!(experiment("nothing", preset).is_err());
        }
    }
}
