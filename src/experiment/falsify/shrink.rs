//! Smaller and simpler violations from a violation.

use super::neighbour::{Random, Tensors, neighbour, tensors, with_tensors};
use super::search::allowed;
use super::{Draw, Observe, Search, Stage, Start, Trial, refutes};
use crate::Result;
use crate::problem::{Dims, Instance};
use crate::spectrum::Reading;
use nalgebra::DMatrix;
use rayon::prelude::*;

/// Seeds that are tried at sizes one smaller.
const SEEDS: u64 = 16;

/// Local searches that try to win back a violation that taking away lost, and the changes each tries.
const REPAIRS: u64 = 4;
const REPAIR_MOVES: usize = 48;

/// A violation by this step is early enough to be traded for simplicity.
const EARLY: usize = 50;

/// Rounds of simplification, at most; usually two suffice.
const PASSES: usize = 6;

/// A draw at sizes as small, then with a seed as small, as one-at-a-time descent finds among the first [`SEEDS`] seeds.
pub(super) fn draw(search: &Search, from: Draw, observe: Observe) -> Result<(Draw, Instance)> {
    let Start::Law { kernel, init, .. } = search.start else {
        unreachable!("only a law is drawn from");
    };
    let drawn = |draw: Draw| Instance::random(draw.dims, kernel, init, draw.seed);
    let smallest_seed = |dims: Dims, below: u64| -> Option<Draw> {
        (0..below).into_par_iter().find_map_first(|seed| {
            let draw = Draw { dims, seed };
            if !allowed(search.reading, search.trained, init, dims)
                || observe(Stage::Shrinking).is_break()
            {
                return None;
            }
            let instance = drawn(draw).ok()?;
            Trial::run(search, &instance).violates().then_some(draw)
        })
    };
    let mut best = smallest_seed(from.dims, from.seed.min(SEEDS)).unwrap_or(from);
    while let Some(next) = one_smaller(best.dims)
        .into_iter()
        .find_map(|dims| smallest_seed(dims, SEEDS))
    {
        best = next;
    }
    Ok((best, drawn(best)?))
}

/// The sizes with one of them smaller by one.
fn one_smaller(dims: Dims) -> Vec<Dims> {
    Axis::ALL
        .into_iter()
        .filter_map(|axis| {
            let mut smaller = dims;
            let length = axis.length_mut(&mut smaller);
            *length -= 1;
            (*length > 0).then_some(smaller)
        })
        .collect()
}

/// A smaller, simpler violation, as far as the observer lets it go; `refuted`: one that exact gradient descent is proven to have.
pub(super) fn shrink(
    search: &Search,
    violation: &Instance,
    refuted: bool,
    observe: Observe,
) -> Instance {
    // It is not to come later than it does, except that the first few steps are all the same.
    let first = Trial::run(search, violation).violated_at;
    let latest = first.unwrap_or(search.steps).max(EARLY).min(search.steps);
    let steps = match search.reading {
        Reading::Stacked => search.steps, // the whole run has to satisfy per_head
        _ => latest,
    };
    let mut shrinking = Shrinking {
        search: &Search {
            steps,
            ..search.clone()
        },
        latest,
        refuted,
        observe,
        best: violation.clone(),
        part: u64::MAX / 4,
    };
    while shrinking.take_away() {}
    for _ in 0..PASSES {
        let mut simpler = shrinking.simplify();
        // Simple numbers may allow what others did not.
        while shrinking.take_away() {
            simpler = true;
        }
        if !simpler {
            break;
        }
    }
    shrinking.best
}

struct Shrinking<'a> {
    search: &'a Search,
    /// A violation after this step does not count.
    latest: usize,
    /// Whether it counts only if it is refuted on the enclosed orbit.
    refuted: bool,
    observe: Observe<'a>,
    best: Instance,
    /// Part of the search's randomness that comes next.
    part: u64,
}

impl Shrinking<'_> {
    /// `None` once the observer has had enough.
    fn try_(&self, instance: &Instance) -> Option<Trial> {
        if (self.observe)(Stage::Shrinking).is_break() {
            return None;
        }
        let mut trial = Trial::run(self.search, instance);
        trial.violated_at = trial.violated_at.filter(|&t| t <= self.latest);
        Some(trial)
    }

    /// Whether this is what is looked for, its trial being this one.
    fn counts(&self, trial: &Trial, instance: &Instance) -> bool {
        trial
            .violated_at
            .is_some_and(|t| !self.refuted || refutes(self.search, instance, t))
    }

    /// Takes away one sample, token, feature, head dimension, head or output, if a violation is left or can be won back.
    fn take_away(&mut self) -> bool {
        for axis in Axis::ALL {
            let mut dims = self.best.dims();
            let length = *axis.length_mut(&mut dims);
            if length == 1 {
                continue;
            }
            let smaller: Vec<(Trial, Instance)> = (0..length)
                .into_par_iter()
                .filter_map(|index| {
                    let instance = axis.without(&self.best, index)?;
                    Some((self.try_(&instance)?, instance))
                })
                .collect();
            let nearest = smaller
                .into_iter()
                .min_by(|a, b| a.0.ratio.total_cmp(&b.0.ratio));
            let Some((trial, instance)) = nearest else {
                continue;
            };
            if self.counts(&trial, &instance) {
                self.best = instance;
                return true;
            }
            if trial.ratio < f64::INFINITY
                && let Some(repaired) = self.repair(trial, &instance)
            {
                self.best = repaired;
                return true;
            }
        }
        false
    }

    /// Local search from an instance that is no violation to one that is.
    fn repair(&mut self, trial: Trial, instance: &Instance) -> Option<Instance> {
        let part = self.part;
        self.part += REPAIRS;
        (part..part + REPAIRS)
            .into_par_iter()
            .find_map_first(|part| {
                let mut random = Random::new(self.search.seed, part);
                let (mut best, mut at) = (trial, instance.clone());
                for _ in 0..REPAIR_MOVES {
                    let Some(changed) = neighbour(&at, &mut random) else {
                        continue;
                    };
                    let trial = self.try_(&changed)?;
                    if self.counts(&trial, &changed) {
                        return Some(changed);
                    }
                    if trial.ratio <= best.ratio {
                        (best, at) = (trial, changed);
                    }
                }
                None
            })
    }

    /// Replaces whole tensors, then single entries, by the simplest numbers that leave a violation. Says whether
    /// anything changed.
    fn simplify(&mut self) -> bool {
        let mut changed = false;
        for which in 0..6 {
            let current = tensors(&self.best);
            let candidates: Vec<Tensors> = PLACES
                .iter()
                .map(|&places| {
                    let mut simpler = current.clone();
                    let entries = simpler[which].iter_mut().flat_map(|b| b.iter_mut());
                    entries.for_each(|x| *x = rounded(*x, places));
                    simpler
                })
                .filter(|simpler| simpler[which] != current[which])
                .collect();
            changed |= self.take_first(candidates);
        }
        for which in 0..6 {
            for entry in 0..entries(&tensors(&self.best)[which]) {
                let current = tensors(&self.best);
                let x = *nth(&mut current.clone()[which], entry);
                let mut options = vec![0.0, x.signum(), x.round()];
                options.extend(PLACES.iter().map(|&places| rounded(x, places)));
                options.retain(|&y| complexity(y) < complexity(x));
                options.sort_by_key(|&y| complexity(y));
                options.dedup();
                let candidates = options
                    .into_iter()
                    .map(|y| {
                        let mut simpler = current.clone();
                        *nth(&mut simpler[which], entry) = y;
                        simpler
                    })
                    .collect();
                changed |= self.take_first(candidates);
            }
        }
        changed
    }

    /// Takes the first of these that is a violation.
    fn take_first(&mut self, candidates: Vec<Tensors>) -> bool {
        let found = candidates.into_par_iter().find_map_first(|candidate| {
            let instance = with_tensors(&self.best, candidate)?;
            let trial = self.try_(&instance)?;
            self.counts(&trial, &instance).then_some(instance)
        });
        match found {
            Some(instance) => {
                self.best = instance;
                true
            }
            None => false,
        }
    }
}

/// Significant digits to round to, in this order; 0 stands for the number 0.
const PLACES: [usize; 5] = [0, 1, 2, 3, 4];

/// `x` to this many significant digits.
fn rounded(x: f64, places: usize) -> f64 {
    match places {
        0 => 0.0,
        _ => format!("{x:.*e}", places - 1).parse().unwrap_or(x),
    }
}

/// How much there is to read in a number.
fn complexity(x: f64) -> usize {
    match x {
        0.0 => 0,
        1.0 => 1,
        -1.0 => 2,
        _ => 2 + format!("{x}").len().min(format!("{x:e}").len()),
    }
}

fn entries(tensor: &[DMatrix<f64>]) -> usize {
    tensor.iter().map(|block| block.len()).sum()
}

fn nth(tensor: &mut [DMatrix<f64>], mut index: usize) -> &mut f64 {
    let block = tensor
        .iter_mut()
        .find(|block| {
            let here = index < block.len();
            if !here {
                index -= block.len();
            }
            here
        })
        .expect("an index below the number of entries");
    &mut block[index]
}

/// What can be taken away.
#[derive(Clone, Copy)]
enum Axis {
    Sample,
    Token,
    Head,
    Feature,
    HeadDimension,
    Output,
}

impl Axis {
    const ALL: [Axis; 6] = [
        Axis::Sample,
        Axis::Token,
        Axis::Head,
        Axis::Feature,
        Axis::HeadDimension,
        Axis::Output,
    ];

    fn length_mut(self, dims: &mut Dims) -> &mut usize {
        match self {
            Axis::Sample => &mut dims.N,
            Axis::Token => &mut dims.n,
            Axis::Head => &mut dims.H,
            Axis::Feature => &mut dims.D,
            Axis::HeadDimension => &mut dims.d,
            Axis::Output => &mut dims.p,
        }
    }

    /// The instance without the sample, token, ... of this index.
    fn without(self, instance: &Instance, index: usize) -> Option<Instance> {
        let mut tensors = tensors(instance);
        let [X, y, Q, K, V, O] = &mut tensors;
        let without_row = |block: &mut DMatrix<f64>| *block = block.clone().remove_row(index);
        let without_column = |block: &mut DMatrix<f64>| *block = block.clone().remove_column(index);
        match self {
            Axis::Sample => [X, y].into_iter().for_each(|t| drop(t.remove(index))),
            Axis::Token => [X, y].into_iter().flatten().for_each(without_row),
            Axis::Head => [Q, K, V, O].into_iter().for_each(|t| drop(t.remove(index))),
            Axis::Feature => {
                X.iter_mut().for_each(without_column);
                [Q, K, V].into_iter().flatten().for_each(without_row);
            }
            Axis::HeadDimension => {
                [Q, K, V].into_iter().flatten().for_each(without_column);
                O.iter_mut().for_each(without_row);
            }
            Axis::Output => [y, O].into_iter().flatten().for_each(without_column),
        }
        with_tensors(instance, tensors)
    }
}
