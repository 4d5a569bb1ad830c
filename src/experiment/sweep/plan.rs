//! Which trials a sweep has.

use crate::descent::Steps;
use crate::model::{Kernel, Precision, Trained};
use crate::problem::{Dims, Init, Instance};
use crate::verify::room::check_room;
use crate::{Error, Result};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// More trials than this are taken for a mistake: their file would have about a terabyte.
const MOST_TRIALS: u64 = 1_000_000_000;

/// The ChaCha stream of a sample starts here, away from those of an instance.
const SAMPLE_STREAM: u64 = 1 << 32;

/// How a positive number is chosen.
#[derive(Clone, Debug, PartialEq)]
pub enum Law {
    /// One of these; a grid has all of them.
    Among(Vec<f64>),
    /// Between these, its logarithm uniform; for samples.
    LogUniform(f64, f64),
}

/// A sweep: which instances, and what to do with each.
///
/// A plan is made from a TOML text (`str::parse`), see the manual of `gdcert sweep`.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Values of N, n, D, d, H, p.
    pub(super) sizes: [Vec<usize>; 6],
    /// Kernels.
    pub(super) kernels: Vec<Kernel>,
    /// Trained blocks.
    pub(super) trained: Vec<Trained>,
    /// Names of the initializations.
    pub(super) inits: Vec<&'static str>,
    /// omega or s of the initializations that have one.
    pub(super) scale: Law,
    /// W^Q and W^K are multiplied by this after the draw.
    pub(super) logit_scale: Law,
    /// eta in multiples of 1 / |J_0|^2.
    pub(super) eta: Law,
    /// Seeds of the draws; not used by a sample.
    pub(super) seeds: Vec<u64>,
    /// A random sample instead of the grid.
    pub(super) sample: Option<Sample>,
    /// Steps of a run.
    pub steps: Steps,
    /// Which proofs are sought for each trial.
    pub certify: Certify,
}

/// The proofs that a sweep seeks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certify {
    /// None.
    Nothing,
    /// Theorem A at M_0 and then along the run.
    Tail,
    /// Every reading decided on the enclosed orbit of exact gradient descent from M_0, as `gdcert verify` does by itself.
    Orbit,
}

/// How many random trials, and from which seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    pub trials: u64,
    pub seed: u64,
}

/// One instance of a sweep.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trial {
    /// Its number in the sweep, from 0.
    pub index: u64,
    /// Sizes.
    pub dims: Dims,
    /// Kernel.
    pub kernel: Kernel,
    /// Trained blocks.
    pub trained: Trained,
    /// Initialization.
    pub init: Init,
    /// tau: W^Q and W^K are tau times what the initialization draws.
    pub logit_scale: f64,
    /// eta |J_0|^2.
    pub eta_multiple: f64,
    /// Seed of the draw.
    pub seed: u64,
}

impl Trial {
    /// Draws the instance.
    ///
    /// # Errors
    /// As [`Instance::random`]; weights that overflow.
    pub fn instance(&self) -> Result<Instance> {
        let instance = Instance::random(self.dims, self.kernel, self.init, self.seed)?;
        if self.logit_scale == 1.0 {
            return Ok(instance);
        }
        let mut W = instance.W().clone();
        for w in W.Q.iter_mut().chain(&mut W.K) {
            *w *= self.logit_scale;
        }
        instance.with_weights(W)
    }
}

impl Plan {
    /// Number of trials.
    pub fn trials(&self) -> u64 {
        match self.sample {
            Some(sample) => sample.trials,
            // Checked not to overflow by `check`.
            None => self.grid_trials().unwrap_or(u64::MAX),
        }
    }

    fn grid_trials(&self) -> Option<u64> {
        let sizes = self.sizes.iter().map(Vec::len);
        let others = [
            self.kernels.len(),
            self.trained.len(),
            self.schemes().len(),
            among(&self.logit_scale).len(),
            among(&self.eta).len(),
            self.seeds.len(),
        ];
        sizes
            .chain(others)
            .try_fold(1u64, |product, len| product.checked_mul(len as u64))
    }

    /// The initializations of a grid: each with every scale, `lecun`, which has none, once.
    fn schemes(&self) -> Vec<Init> {
        let mut schemes = Vec::new();
        for name in &self.inits {
            match *name {
                "lecun" => schemes.push(Init::Lecun),
                name => schemes.extend(among(&self.scale).iter().map(|&x| with_scale(name, x))),
            }
        }
        schemes
    }

    /// Trial number `index`, which is below [`trials`](Self::trials).
    pub fn trial(&self, index: u64) -> Trial {
        match self.sample {
            Some(sample) => self.sampled(index, sample.seed),
            None => self.of_grid(index),
        }
    }

    /// The digits of the index, the seed's the fastest.
    fn of_grid(&self, index: u64) -> Trial {
        let mut rest = index;
        let mut digit = |len: usize| {
            let digit = rest % len as u64;
            rest /= len as u64;
            digit as usize
        };
        let seed = self.seeds[digit(self.seeds.len())];
        let etas = among(&self.eta);
        let eta_multiple = etas[digit(etas.len())];
        let logit_scales = among(&self.logit_scale);
        let logit_scale = logit_scales[digit(logit_scales.len())];
        let schemes = self.schemes();
        let init = schemes[digit(schemes.len())];
        let trained = self.trained[digit(self.trained.len())];
        let kernel = self.kernels[digit(self.kernels.len())];
        let mut size = |i: usize| self.sizes[i][digit(self.sizes[i].len())];
        let (p, H, d, D, n, N) = (size(5), size(4), size(3), size(2), size(1), size(0));
        Trial {
            index,
            dims: Dims { N, n, D, d, H, p },
            kernel,
            trained,
            init,
            logit_scale,
            eta_multiple,
            seed,
        }
    }

    /// Every setting drawn on its own, from a stream that belongs to the index.
    fn sampled(&self, index: u64, seed: u64) -> Trial {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(SAMPLE_STREAM + index);
        let mut pick = |len: usize| ((u128::from(rng.next_u64()) * len as u128) >> 64) as usize;
        let [N, n, D, d, H, p] =
            [0, 1, 2, 3, 4, 5].map(|i| self.sizes[i][pick(self.sizes[i].len())]);
        let kernel = self.kernels[pick(self.kernels.len())];
        let trained = self.trained[pick(self.trained.len())];
        let name = self.inits[pick(self.inits.len())];
        let mut draw = |law: &Law| match law {
            Law::Among(values) => values[pick(values.len())],
            Law::LogUniform(from, to) => {
                let share = pick(1 << 53) as f64 / (1u64 << 53) as f64;
                between(*from, *to, share)
            }
        };
        let (scale, logit_scale, eta_multiple) =
            (draw(&self.scale), draw(&self.logit_scale), draw(&self.eta));
        Trial {
            index,
            dims: Dims { N, n, D, d, H, p },
            kernel,
            trained,
            init: match name {
                "lecun" => Init::Lecun,
                name => with_scale(name, scale),
            },
            logit_scale,
            eta_multiple,
            // Short enough to type after --seed.
            seed: rng.next_u64() >> 32,
        }
    }

    /// Whether every trial draws its own scale.
    pub(crate) fn scale_is_drawn(&self) -> bool {
        matches!(self.scale, Law::LogUniform(..))
    }

    /// Whether every trial draws its own logit scale.
    pub(crate) fn logit_scale_is_drawn(&self) -> bool {
        matches!(self.logit_scale, Law::LogUniform(..))
    }

    /// Whether there is more than one logit scale.
    pub(crate) fn has_logit_scales(&self) -> bool {
        self.logit_scale_is_drawn() || among(&self.logit_scale).len() > 1
    }

    /// Refuses what can be known to make no sense before anything runs.
    pub(super) fn check(&self) -> Result<()> {
        let [_, _, _, d, H, p] = &self.sizes;
        for (key, sizes) in ["N", "n", "D", "d", "H", "p"].iter().zip(&self.sizes) {
            if sizes.contains(&0) {
                return Err(Error::input(format!("{key}: 0 is no size; give 1 or more")));
            }
        }
        for init in &self.inits {
            let odd = H.iter().find(|h| !h.is_multiple_of(2));
            if let (Some(h), true) = (odd, matches!(*init, "paired" | "constant-value")) {
                return Err(Error::input(format!(
                    "H: init {init} pairs the heads, so {h} is no number of heads for it; give even ones, or take {init} out of init"
                )));
            }
            let (least_d, most_p) = (d.iter().min(), p.iter().max());
            if *init == "lazy" && least_d < most_p {
                return Err(Error::input(format!(
                    "d: init lazy needs d >= p for orthonormal output weights, but d = {} and p = {} meet; raise d, lower p, or take lazy out of init",
                    least_d.unwrap_or(&0),
                    most_p.unwrap_or(&0),
                )));
            }
        }
        let trials = match self.sample {
            Some(sample) => Some(sample.trials),
            None => self.grid_trials(),
        };
        match trials {
            Some(trials) if trials <= MOST_TRIALS => {}
            _ => {
                return Err(Error::input(format!(
                    "the sweep has {} trials, more than {MOST_TRIALS}; take values out of its lists, or give sample = {{ trials = 10000 }}",
                    trials.map_or("more than 2^64".to_owned(), |t| t.to_string())
                )));
            }
        }
        let most = |i: usize| self.sizes[i].iter().copied().max().unwrap_or(1);
        let [N, n, D, d, H, p] = [0, 1, 2, 3, 4, 5].map(most);
        let largest = Dims { N, n, D, d, H, p };
        largest.check()?;
        for &trained in &self.trained {
            check_room(largest, trained, self.steps, Precision::F64)?;
        }
        Ok(())
    }
}

fn with_scale(name: &str, scale: f64) -> Init {
    let unscaled = match name {
        "lazy" => Init::Lazy { omega: scale },
        "paired" => Init::Paired { s: scale },
        _ => Init::ConstantValue { s: scale },
    };
    unscaled.with_scale(scale)
}

fn among(law: &Law) -> &[f64] {
    match law {
        Law::Among(values) => values,
        Law::LogUniform(..) => &[],
    }
}

/// from (to / from)^share, the same bits on every machine.
pub(super) fn between(from: f64, to: f64, share: f64) -> f64 {
    match share {
        0.0 => from,
        1.0 => to,
        _ => libm::exp10(libm::log10(from) + share * (libm::log10(to) - libm::log10(from))),
    }
}
