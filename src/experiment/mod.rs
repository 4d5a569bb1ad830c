//! The poster's claims, each as a small named experiment: which instances to run, and what each
//! is there to show.
//!
//! To add one, append an [`Experiment`] to [`experiments`]; `gdcert reproduce` runs it, draws its
//! figures and adds its rows to the summary.

pub mod falsify;
pub mod summary;
pub mod sweep;

use crate::descent::Steps;
use crate::model::{Kernel, Trained};
use crate::problem::{Dims, Init, Instance};
use crate::spectrum::Reading;
use crate::verify::{Eta, Settings, deciding_reading};
use crate::{Error, Result};

/// One claim and the instances it is tried on.
#[derive(Clone, Debug)]
pub struct Experiment {
    /// The name on the command line and of the output folder.
    pub name: &'static str,
    /// What is claimed, in a sentence.
    pub claim: &'static str,
    /// The instances.
    pub cases: Vec<Case>,
}

/// One instance of an experiment.
#[derive(Clone, Debug)]
pub struct Case {
    /// The name of its folder.
    pub name: &'static str,
    /// What this case is there to show.
    pub shows: &'static str,
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
    /// The reading in the summary.
    pub reading: Reading,
    /// At most this many steps.
    pub steps: usize,
}

impl Case {
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
            ..Settings::default()
        }
    }

    /// The `gdcert verify` command that repeats this case alone.
    pub fn command(&self) -> String {
        verify_command(
            self.dims,
            self.kernel,
            self.init,
            self.seed,
            self.trained,
            self.reading,
        )
    }
}

/// The `gdcert verify` command for a drawn instance.
pub(crate) fn verify_command(
    dims: Dims,
    kernel: Kernel,
    init: Init,
    seed: u64,
    trained: Trained,
    reading: Reading,
) -> String {
    let Dims { N, n, D, d, H, p } = dims;
    let scale = init
        .scale()
        .map_or(String::new(), |x| format!(" --scale {x}"));
    format!(
        "gdcert verify -N {N} -n {n} -D {D} -d {d} -H {H} -p {p} --kernel {kernel} --init {}{scale} --seed {seed} --train {trained} --reading {reading}",
        init.name(),
    )
}

/// The experiment of that name.
///
/// # Errors
/// No experiment has that name; the message lists them.
pub fn experiment(name: &str) -> Result<Experiment> {
    let all = experiments();
    let names: Vec<_> = all.iter().map(|e| e.name).collect();
    let unknown = Error::input(format!(
        "no experiment is called '{name}'; choose one of {}",
        names.join(", ")
    ));
    all.into_iter().find(|e| e.name == name).ok_or(unknown)
}

/// All experiments, in the order of the poster.
pub fn experiments() -> Vec<Experiment> {
    vec![
        theorem_1("theorem-1-softmax", Kernel::Softmax),
        theorem_1("theorem-1-gaussian", Kernel::Gaussian),
        readings_of_beta(),
        theorem_2(),
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
const PAIRED: Dims = Dims {
    N: 2,
    n: 4,
    D: 16,
    d: 4,
    H: 4,
    p: 1,
};

fn theorem_1(name: &'static str, kernel: Kernel) -> Experiment {
    let case = |name, shows, dims, init| Case {
        name,
        shows,
        dims,
        kernel,
        init,
        seed: 0,
        trained: Trained::QKV,
        reading: deciding_reading(Trained::QKV),
        steps: 2000,
    };
    let wide = Dims {
        N: 4,
        n: 8,
        D: 32,
        d: 16,
        H: 4,
        p: 1,
    };
    Experiment {
        name,
        claim: "if HD >= Nn there are an initialization and a step with f(M_t) <= (1 - eta beta)^t f(M_0)",
        cases: vec![
            case(
                "lazy",
                "the initialization the theorem speaks of: W^V = 0, large W^O; proven for every t",
                SMALL,
                Init::Lazy { omega: 1e4 },
            ),
            case("ordinary", "an ordinary initialization", SMALL, Init::Lecun),
            case(
                "ordinary-wide",
                "the same, N n = 32 tokens",
                wide,
                Init::Lecun,
            ),
            case(
                "too-few-heads",
                "HD < Nn: the theorem's condition fails",
                Dims {
                    N: 8,
                    n: 8,
                    ..SMALL
                },
                Init::Lecun,
            ),
        ],
    }
}

fn readings_of_beta() -> Experiment {
    let case = |name, shows, kernel, reading| Case {
        name,
        shows,
        dims: Dims { H: 6, ..SMALL },
        kernel,
        init: Init::Lazy { omega: 100.0 },
        seed: 0,
        trained: Trained::QKV,
        reading,
        steps: 2000,
    };
    Experiment {
        name: "readings-of-beta",
        claim: "beta = sigma_min(W^O)^2 sigma_min(B_0)^2: which W^O is meant with several heads?",
        cases: vec![
            case(
                "stacked-softmax",
                "the stacked W^O, read literally",
                Kernel::Softmax,
                Reading::Stacked,
            ),
            case(
                "per-head-softmax",
                "the smallest head's W^O",
                Kernel::Softmax,
                Reading::PerHead,
            ),
            case(
                "stacked-gaussian",
                "the stacked W^O, read literally",
                Kernel::Gaussian,
                Reading::Stacked,
            ),
            case(
                "per-head-gaussian",
                "the smallest head's W^O",
                Kernel::Gaussian,
                Reading::PerHead,
            ),
        ],
    }
}

fn theorem_2() -> Experiment {
    let case = |name, shows, kernel, init| Case {
        name,
        shows,
        dims: PAIRED,
        kernel,
        init,
        seed: 0,
        trained: Trained::Q,
        reading: Reading::Ntk,
        steps: 5000,
    };
    let paired = Init::Paired { s: 1e4 };
    let constant = Init::ConstantValue { s: 1e4 };
    Experiment {
        name: "theorem-2",
        claim: "training W^Q alone, the Gaussian kernel converges linearly; softmax can get stuck",
        cases: vec![
            case(
                "gaussian-paired",
                "paired heads, large values",
                Kernel::Gaussian,
                paired,
            ),
            case(
                "softmax-paired",
                "the same for softmax: existence does not separate the kernels",
                Kernel::Softmax,
                paired,
            ),
            case(
                "gaussian-constant-value",
                "values that do not depend on the token",
                Kernel::Gaussian,
                constant,
            ),
            case(
                "softmax-constant-value",
                "the same data and weights, and 0 is out of reach: this separates them",
                Kernel::Softmax,
                constant,
            ),
            case(
                "gaussian-ordinary",
                "an ordinary initialization",
                Kernel::Gaussian,
                Init::Lecun,
            ),
            case(
                "softmax-ordinary",
                "an ordinary initialization",
                Kernel::Softmax,
                Init::Lecun,
            ),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found() {
        for e in experiments() {
            assert_eq!(experiment(e.name).unwrap().name, e.name);
            let mut names: Vec<_> = e.cases.iter().map(|c| c.name).collect();
            names.sort();
            names.dedup();
            assert_eq!(names.len(), e.cases.len());
        }
        assert!(experiment("nothing").is_err());
    }
}
