//! One restart: draws from the law, then local search from the best of them.

use super::neighbour::{Random, neighbour};
use super::{
    DRAWS, Draw, Drawn, MOVES, Observe, Search, Stage, Start, Trial, contradiction, proof,
};
use crate::Result;
use crate::certificate::Site;
use crate::eta::Eta;
use crate::model::Trained;
use crate::problem::{Dims, Init, Instance};
use crate::spectrum::{Reading, jacobian_norm};
use std::sync::atomic::{AtomicU64, Ordering};

/// What a restart found so far.
pub(super) struct Restart {
    index: u64,
    random: Random,
    pub(super) tried: u64,
    pub(super) drawn: Drawn,
    /// Draws that violate as they are.
    pub(super) draws: Vec<Draw>,
    pub(super) best: Option<(Trial, Instance)>,
}

/// The draws of one restart.
pub(super) fn draw(search: &Search, index: u64, observe: Observe) -> Result<Restart> {
    let mut found = Restart {
        index,
        random: Random::new(search.seed, index),
        tried: 0,
        drawn: Drawn::default(),
        draws: Vec::new(),
        best: None,
    };
    for k in 0..budget(search, index).min(DRAWS) {
        if observe(Stage::Tried).is_break() {
            break;
        }
        found.tried += 1;
        let &Start::Law { dims, kernel, init } = &search.start else {
            found.try_near_the_instance(search, k);
            continue;
        };
        let as_given = k.is_multiple_of(2);
        let draw = Draw {
            dims: if as_given {
                dims
            } else {
                smaller(search, dims, init, &mut found.random)
            },
            seed: search.seed.wrapping_add((index * DRAWS + k) / 2),
        };
        let instance = Instance::random(draw.dims, kernel, init, draw.seed)?;
        let trial = Trial::run(search, &instance);
        if trial.violates() {
            found.draws.push(draw);
        }
        if as_given || trial.violates() {
            let certified = certified(search, &instance, &trial)?;
            if as_given {
                found.drawn.instances += 1;
                found.drawn.violated += usize::from(trial.violates());
                found.drawn.certified += usize::from(certified);
            }
        }
        found.keep(trial, instance);
    }
    Ok(found)
}

/// Local search from the best draw. `first` is the lowest index of a restart that has come to a violation: those behind
/// it need not go on.
pub(super) fn improve(
    search: &Search,
    mut found: Restart,
    first: &AtomicU64,
    observe: Observe,
) -> Restart {
    for _ in found.tried..budget(search, found.index) {
        let Some((best, instance)) = &found.best else {
            break; // the reading applied nowhere: there is nothing to improve on
        };
        if best.violates() {
            first.fetch_min(found.index, Ordering::Relaxed);
            break;
        }
        if first.load(Ordering::Relaxed) < found.index {
            break;
        }
        if observe(Stage::Tried).is_break() {
            break;
        }
        found.tried += 1;
        if let Some(changed) = neighbour(instance, &mut found.random) {
            let trial = Trial::run(search, &changed);
            found.keep(trial, changed);
        }
    }
    found
}

/// Instances that a restart may try.
fn budget(search: &Search, index: u64) -> u64 {
    (search.tries - index * (DRAWS + MOVES)).min(DRAWS + MOVES)
}

impl Restart {
    pub(super) fn violates(&self) -> bool {
        self.best
            .as_ref()
            .is_some_and(|(trial, _)| trial.violates())
    }

    /// The instance that was given, the first time; then one with a random change.
    fn try_near_the_instance(&mut self, search: &Search, k: u64) {
        let Start::From(given) = &search.start else {
            return;
        };
        let instance = if self.index == 0 && k == 0 {
            Some(given.clone())
        } else {
            neighbour(given, &mut self.random)
        };
        if let Some(instance) = instance {
            self.keep(Trial::run(search, &instance), instance);
        }
    }

    /// Keeps what is not farther from a violation than the best so far.
    fn keep(&mut self, trial: Trial, instance: Instance) {
        let better = match &self.best {
            None => trial.ratio < f64::INFINITY,
            Some((best, _)) if best.violates() => false,
            Some((best, _)) => trial.violates() || trial.ratio <= best.ratio,
        };
        if better {
            self.best = Some((trial, instance));
        }
    }
}

/// Whether Theorem A closes at M_0 and covers the reading. Asserts that it does not on a violation.
fn certified(search: &Search, instance: &Instance, trial: &Trial) -> Result<bool> {
    if !trial.compared() {
        return Ok(false);
    }
    let mut norm = jacobian_norm(instance, search.trained)?;
    let eta = Eta::auto(&Site::new(instance, search.trained), &mut norm)?;
    match proof(search, instance, eta)? {
        Ok(statement) if trial.violates() => Err(contradiction(search, &statement)),
        outcome => Ok(outcome.is_ok()),
    }
}

/// Sizes that the law and the reading allow, none larger than the given ones.
fn smaller(search: &Search, largest: Dims, init: Init, random: &mut Random) -> Dims {
    for _ in 0..64 {
        let dims = Dims {
            N: random.size(largest.N),
            n: random.size(largest.n),
            D: random.size(largest.D),
            d: random.size(largest.d),
            H: random.size(largest.H),
            p: random.size(largest.p),
        };
        if allowed(search.reading, search.trained, init, dims) {
            return dims;
        }
    }
    largest
}

/// Whether the law can be drawn at these sizes and the reading can apply.
pub(super) fn allowed(reading: Reading, trained: Trained, init: Init, dims: Dims) -> bool {
    let law = match init {
        Init::Lecun => true,
        Init::Lazy { .. } => dims.d >= dims.p,
        Init::Paired { .. } | Init::ConstantValue { .. } => dims.H.is_multiple_of(2),
    };
    law && reading.missing_hypothesis(dims, trained).is_none()
}
