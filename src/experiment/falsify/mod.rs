//! The search for counterexamples to a reading of beta: instances on which f(M_t) exceeds
//! (1 - eta beta)^t f(M_0), made as small and as readable as the search can.
//!
//! 1. **Restarts.** Each draws [`DRAWS`] instances from the law that the flags name, every other one at the
//!    given sizes, the others at smaller ones, and takes the one nearest to a violation.
//! 2. **Local search** from there: up to [`MOVES`] random changes (noise on a tensor or on one entry, a tensor or the
//!    residual rescaled), each kept if the objective does not grow. The objective is the smallest
//!    log(f_t / f_0) / log(bound_t / f_0) over the run, the measured decay over the claimed one: it does not
//!    depend on the size of the step, and it is below 1 exactly where the slack log(bound_t / f_t) is negative.
//! 3. **Shrinking** of a violation: samples, tokens, features, head dimensions, heads and outputs are taken away one
//!    at a time, with a short local search where taking away alone loses the violation; then tensors and entries
//!    are replaced by 0, 1, whole numbers and numbers of few digits. The violation may come later only within the first 50 steps. If
//!    the first one is refuted on the enclosed orbit, every smaller one must be.
//! 4. The result counts if [`verify`](crate::verify()) finds it `refuted` or `violated` on the bytes that are written. Theorem A
//!    must not close on it with a rate that covers the reading: the two exclude each other, and that is asserted.
//!
//! Within the search a violation is one by at least [`CLEAR`], with the lower end of beta, while the loss
//! has not risen: where it rises the step is too large, which says nothing about the reading.
//!
//! `stacked` differs from `per_head` in how heads are counted. A violation of `stacked` therefore counts only where the
//! run satisfies the bound of `per_head` to its end: where that fails too, the initialization is to blame.
//!
//! Everything depends on the seed alone, not on threads; instruction sets differ by rounding, as they do in
//! [`descent`](crate::descent).

mod neighbour;
mod search;
mod shrink;
mod trial;

pub use trial::Trial;

use crate::certificate::{Claimed, Site};
use crate::certify::{Certified, Goal, certify};
use crate::descent::Steps;
use crate::model::Trained;
use crate::orbit::{self, Fate};
use crate::problem::{Dims, Init, Instance};
use crate::spectrum::{Reading, Spectrum};
use crate::verdict::Verdict;
use crate::verify::{Eta, Settings, Verification, verify};
use crate::{Error, Kernel, Result};
use rayon::prelude::*;
use serde::Serialize;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Instances that a restart draws.
pub const DRAWS: u64 = 32;

/// Changes that a restart tries on the best of them.
pub const MOVES: u64 = 224;

/// Restarts that run at the same time; all of them end before the next begin, so that threads do not matter.
const ROUND: u64 = 16;

/// By what share f_t must exceed the bound for the search to call it a violation: far beyond rounding, visible in
/// the numbers. (The verdict itself needs no more than the errors of both sides.)
const CLEAR: f64 = 0.01;

/// What a search begins with.
#[derive(Clone, Debug)]
pub enum Start {
    /// Draws from a law.
    Law {
        /// The largest sizes.
        dims: Dims,
        /// The kernel.
        kernel: Kernel,
        /// The initialization scheme.
        init: Init,
    },
    /// This instance; restarts but for the first add noise to it.
    From(Instance),
}

/// What to search, and for how long.
#[derive(Clone, Debug)]
pub struct Search {
    /// Where it begins.
    pub start: Start,
    /// The blocks gradient descent moves.
    pub trained: Trained,
    /// The reading to violate.
    pub reading: Reading,
    /// Steps of a run, at most.
    pub steps: usize,
    /// Instances to run before giving up (shrinking does not count).
    pub tries: u64,
    /// Seed of the search; drawn instances have the seeds `seed`, `seed + 1`, ...
    pub seed: u64,
}

/// What a search is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// One more instance was tried.
    Tried,
    /// A violation is there; one more smaller one was tried.
    Shrinking,
}

/// The instances drawn from the law at the given sizes, before any search.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Drawn {
    /// How many.
    pub instances: usize,
    /// On how many the bound is violated.
    pub violated: usize,
    /// On how many Theorem A closes at M_0 with a rate that covers the reading. None of these is violated.
    pub certified: usize,
}

/// A drawn instance that violates the reading as it is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Draw {
    /// The sizes.
    pub dims: Dims,
    /// The seed.
    pub seed: u64,
}

/// A violation, as `verify` finds it.
#[derive(Clone, Debug)]
pub struct Counterexample {
    /// The instance.
    pub instance: Instance,
    /// What `verify` finds on it: the claim of the reading is `refuted`, or `violated`
    /// if that could not be proven of the exact orbit.
    pub found: Verification,
    /// Why Theorem A does not prove the claim.
    pub refusal: String,
}

/// What a search found.
#[derive(Clone, Debug)]
pub struct Findings {
    /// Instances that were run.
    pub tried: u64,
    /// Drawn ones at the given sizes, in the first restarts; none for [`Start::From`].
    pub drawn: Drawn,
    /// The smallest draw that violates as it is, if one does.
    pub draw: Option<Draw>,
    /// The nearest to a violation that was met, if the reading applied anywhere.
    pub best: Option<Trial>,
    /// The smallest violation.
    pub counterexample: Option<Counterexample>,
    /// Whether the observer stopped it before its end.
    pub stopped: bool,
}

/// Asked before every run, from any thread; stops the search by breaking.
pub type Observe<'a> = &'a (dyn Fn(Stage) -> ControlFlow<()> + Sync);

/// Searches for a violation of the reading, and shrinks it.
///
/// ```
/// use gdcert::experiment::falsify::{Search, Start, falsify};
/// use gdcert::{Dims, Init, Kernel, Trained, spectrum::Reading, verdict::Verdict};
///
/// let dims = Dims { N: 2, n: 1, D: 2, d: 1, H: 4, p: 1 };
/// let search = Search {
///     start: Start::Law { dims, kernel: Kernel::Softmax, init: Init::Lecun },
///     trained: Trained::QKV,
///     reading: Reading::Stacked,
///     steps: 200,
///     tries: 1000,
///     seed: 0,
/// };
/// let findings = falsify(&search)?;
/// let counterexample = findings.counterexample.expect("four heads are enough");
/// assert_eq!(counterexample.found.claim(Reading::Stacked).verdict, Verdict::Refuted);
/// # Ok::<(), gdcert::Error>(())
/// ```
///
/// # Errors
/// No step, no try; sizes that the law or the reading does not allow, with the mend.
pub fn falsify(search: &Search) -> Result<Findings> {
    falsify_with(search, &|_| ControlFlow::Continue(()))
}

/// As [`falsify`]; where `observe` breaks, what was found so far is the answer.
///
/// # Errors
/// As [`falsify`].
pub fn falsify_with(search: &Search, observe: Observe) -> Result<Findings> {
    search.check()?;
    // Once stopped, stopped: also where the observer breaks only once.
    let stopped = AtomicBool::new(false);
    let observe: Observe = &|stage| {
        if stopped.load(Ordering::Relaxed) || observe(stage).is_break() {
            stopped.store(true, Ordering::Relaxed);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    };
    let mut findings = find(search, observe)?;
    findings.stopped = stopped.into_inner();
    Ok(findings)
}

fn find(search: &Search, observe: Observe) -> Result<Findings> {
    let mut findings = Findings {
        tried: 0,
        drawn: Drawn::default(),
        draw: None,
        best: None,
        counterexample: None,
        stopped: false,
    };
    let restarts = search.tries.div_ceil(DRAWS + MOVES);
    for first in (0..restarts).step_by(ROUND as usize) {
        let mut round: Vec<_> = (first..restarts.min(first + ROUND))
            .into_par_iter()
            .map(|index| search::draw(search, index, observe))
            .collect::<Result<_>>()?;
        if first == 0 {
            for restart in &round {
                findings.drawn.instances += restart.drawn.instances;
                findings.drawn.violated += restart.drawn.violated;
                findings.drawn.certified += restart.drawn.certified;
            }
        }
        if round.iter().all(|restart| !restart.violates()) {
            let lowest = AtomicU64::new(u64::MAX);
            round = round
                .into_par_iter()
                .map(|restart| search::improve(search, restart, &lowest, observe))
                .collect();
            // The others may have been stopped on the way.
            if let Some(violates) = round.iter().position(|restart| restart.violates()) {
                round.truncate(violates + 1);
            }
        }
        let draws = round.iter().flat_map(|restart| restart.draws.clone());
        let smallest = draws.min_by_key(|draw| (size(draw.dims), draw.seed));
        let mut violations = Vec::new();
        for restart in round {
            findings.tried += restart.tried;
            if let Some((trial, instance)) = restart.best {
                if trial.violates() {
                    violations.push(instance);
                }
                if findings.best.is_none_or(|best| trial.ratio < best.ratio) {
                    findings.best = Some(trial);
                }
            }
        }
        violations.sort_by_key(|instance| size(instance.dims()));
        if let Some(smallest) = smallest {
            let (draw, instance) = shrink::draw(search, smallest, observe)?;
            if confirm(search, instance.clone())?.is_some() {
                findings.draw = Some(draw);
                violations.insert(0, instance);
            }
        }
        for violation in violations {
            let Some(found) = confirm(search, violation)? else {
                continue;
            };
            let refuted = |found: &Counterexample| {
                found.found.claim(search.reading).verdict == Verdict::Refuted
            };
            // What can be refuted stays so.
            let smaller = shrink::shrink(search, &found.instance, refuted(&found), observe);
            // As found, should the smaller one not stand before `verify`.
            let smaller = confirm(search, smaller)?;
            let smaller = smaller.filter(|smaller| refuted(smaller) || !refuted(&found));
            findings.counterexample = Some(smaller.unwrap_or(found));
            return Ok(findings);
        }
        // Stopped in this round, perhaps.
        if observe(Stage::Shrinking).is_break() {
            break;
        }
    }
    Ok(findings)
}

impl Search {
    /// Refuses settings that make no search.
    ///
    /// # Errors
    /// Says which setting, and the mend.
    pub fn check(&self) -> Result<()> {
        if self.tries == 0 {
            return Err(Error::input("--tries 0 tries nothing; give at least 1"));
        }
        if self.steps == 0 {
            return Err(Error::input(
                "--steps 0 leaves nothing to compare; give at least 1",
            ));
        }
        let dims = match &self.start {
            Start::Law { dims, kernel, init } => {
                dims.check()?;
                // Sizes that the law refuses, found out on the smallest instance of their kind.
                let tiny = Dims {
                    N: 1,
                    n: 1,
                    D: 1,
                    ..*dims
                };
                Instance::random(tiny, *kernel, *init, 0)?;
                *dims
            }
            Start::From(instance) => instance.dims(),
        };
        match self.reading.missing_hypothesis(dims, self.trained) {
            Some(missing) => Err(Error::input(format!(
                "the reading {} {missing}; {}",
                self.reading,
                match self.reading {
                    Reading::Ntk => "choose other sizes or more blocks with --train",
                    _ if !self.trained.v() => "add V to --train, or choose --reading ntk",
                    _ => "choose other sizes or another --reading",
                }
            ))),
            None => Ok(()),
        }
    }

    /// As [`verify`] is asked to run it.
    pub fn settings(&self) -> Settings {
        Settings {
            trained: self.trained,
            eta: Eta::Auto,
            steps: Steps::UpTo(self.steps),
            reading: Some(self.reading.into()),
            ..Settings::default()
        }
    }
}

/// How large an instance is: the numbers in it.
fn size(dims: Dims) -> usize {
    dims.bytes()
        .map_or(usize::MAX, |bytes| (bytes / 8) as usize)
}

/// The verdict on the file that will be written; `None` if it is neither `refuted` nor `violated`.
fn confirm(search: &Search, instance: Instance) -> Result<Option<Counterexample>> {
    let instance = Instance::from_bytes(&instance.to_bytes()?, None)?;
    let found = verify(&instance, &search.settings())?;
    let verdict = |reading| found.claim(reading).verdict;
    let heads_count = search.reading == Reading::Stacked && !verdict(Reading::PerHead).holds();
    if !verdict(search.reading).fails() || heads_count {
        return Ok(None);
    }
    match proof(search, &instance, found.trajectory.eta)? {
        Err(refusal) => Ok(Some(Counterexample {
            instance,
            found,
            refusal,
        })),
        Ok(statement) => Err(contradiction(search, &statement)),
    }
}

/// Whether the enclosed orbit proves that exact gradient descent violates the reading by step `limit`.
fn refutes(search: &Search, instance: &Instance, limit: usize) -> bool {
    let site = Site::new(instance, search.trained);
    let Ok(mut spectrum) = Spectrum::new(instance, search.trained) else {
        return false;
    };
    let Ok(eta) = Eta::auto(&site, &mut spectrum.jacobian_norm) else {
        return false;
    };
    let beta = site.enclosure().beta(search.reading);
    let (claims, settings) = (
        [Claimed::reading(search.reading, beta)],
        orbit::Settings::QUICK,
    );
    match orbit::enclose(instance, search.trained, eta, &claims, limit, &settings) {
        Ok(orbit) => matches!(orbit.fate(search.reading), Some(Fate::Refuted(_))),
        _ => false,
    }
}

/// The statement of the certificate at M_0 that covers the reading, or why there is none.
fn proof(
    search: &Search,
    instance: &Instance,
    eta: f64,
) -> Result<std::result::Result<String, String>> {
    let goal = Goal {
        trained: search.trained,
        reading: Some(search.reading.into()),
        claims: Vec::new(),
        eta: Eta::Fixed(eta),
        tail: 0,
        orbit: None,
    };
    Ok(match certify(instance, &goal)? {
        Certified::Rate { certificate, .. } => Ok(certificate.statement().to_owned()),
        Certified::Obstructed(certificate) => Err(certificate.statement().to_owned()),
        Certified::Refuted(certificate) => Err(certificate.statement().to_owned()),
        Certified::Refused(why) => Err(why.condition),
    })
}

fn contradiction(search: &Search, statement: &str) -> Error {
    Error::Numerical(format!(
        "the reading {} is violated on an instance where it is certified ({statement}): one of the two is wrong, please report it",
        search.reading
    ))
}
