//! The exact orbit of gradient descent, enclosed: statements about exact arithmetic from M_0 on.
//!
//! A run in f64 says nothing about exact gradient descent. Here every step is evaluated in fixed-point balls
//! ([`Fixed`](gdcert_numbers::Fixed)) at an exact point, and what rounding adds lives on in one number, the distance to the exact
//! orbit, which a step multiplies by at most max(1, eta |J|^2 - 1) + eta |r| h (Lemma 1, Theorem 2). So the claimed bound is
//! held against the exact losses at every step, and where Theorem A closes around a point near the orbit it is proven for every
//! later one (Theorem 6); where it is exceeded it is refuted (Corollary 7).
//!
//! A first look in f64 (`forecast`) finds where tails close, and how many bits the growth of errors needs. It proves nothing
//! about the orbit, but its windows and tails are statements about points, and serve when the orbit is found near them.

mod claim;
mod forecast;
mod model;
mod size;
mod tail;
mod walk;
mod window;

pub use claim::{Fate, Refuted};
pub use tail::Tail;

use crate::certificate::{Claimed, called};
use crate::model::Trained;
use crate::problem::Instance;
use crate::{Error, Result};
use claim::Claim;
use forecast::{forecast, growth};
pub(crate) use model::{Attention, Bounds, Model, Motion, Run};
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;
use walk::{End, Plan, Walk};
use window::Windows;

/// How much an enclosure may cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// The largest number of bits after the point.
    pub bits: usize,
    /// The largest number of products of two words; about 10^9 a second. The result does not depend on the machine.
    pub work: u64,
    /// The same, as a multiple of the products of two f64 numbers in as many steps of a run as the orbit may have. A second's
    /// work is always allowed.
    pub times_run: u64,
}

impl Settings {
    /// 4096 bits, 256 times the run, two minutes at most: what a command spends without being asked where that certifies or
    /// refutes something, and a second where it does not.
    pub const QUICK: Settings = Settings {
        bits: 4096,
        work: 1 << 37,
        times_run: 256,
    };

    /// Whatever it costs.
    pub const ANY_WORK: Settings = Settings {
        work: u64::MAX,
        times_run: u64::MAX,
        ..Settings::QUICK
    };

    /// How much of the work that the run of so many steps allows.
    fn share_of_run(&self, model: &impl Model, steps: usize) -> u64 {
        let step = model.work().into_iter().fold(0, u64::saturating_add);
        let run = step.saturating_mul(steps as u64);
        run.saturating_mul(self.times_run).max(SECOND)
    }

    /// Whether an orbit can be enclosed at all with so many bits.
    ///
    /// # Errors
    /// Fewer than 128 bits.
    pub fn check(&self) -> Result<()> {
        let fewest = 64 * (WORDS[0] - 1);
        if self.bits >= fewest {
            return Ok(());
        }
        Err(Error::input(format!(
            "an orbit needs at least {fewest} bits, not {}; give a larger --bits",
            self.bits
        )))
    }
}

impl Default for Settings {
    fn default() -> Self {
        Settings::QUICK
    }
}

/// What is proven about exact gradient descent from M_0.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Orbit {
    /// The last enclosed step.
    pub steps: usize,
    /// F, the bits after the point.
    pub bits: usize,
    /// The bits that it takes with the closed form of the curvature alone, about, as for the checker; `bits` unless sharp
    /// windows were cheaper.
    pub closed_bits: usize,
    /// log2 of a bound on the growth of errors from M_0 to there.
    pub log2_growth: f64,
    /// How far the computed point can be from the exact one there (all trained blocks, Frobenius norm).
    pub distance: f64,
    /// How far the run in f64 can be from the exact orbit there.
    pub run_distance: f64,
    /// A lower bound of the smallest eigenvalue of the Hessian at every enclosed point: -|r| h, as Lemma 1 uses it.
    pub hessian_lower: f64,
    /// Lower and upper ends of f_t of the exact orbit, t = 0 to `steps`.
    pub losses: Vec<[f64; 2]>,
    /// What is proven about each claim, in the order given.
    pub fates: Vec<(String, Fate)>,
    /// The tails that certify claims, in the order of their t.
    pub tails: Vec<Tail>,
    /// Why the enclosure or the search for a tail went no further, if the first claim is neither certified nor refuted.
    pub stopped: Option<String>,
}

impl Orbit {
    /// What is proven about the claim of this name.
    pub fn fate(&self, name: impl AsRef<str>) -> Option<Fate> {
        let found = self
            .fates
            .iter()
            .find(|(claimed, _)| claimed == name.as_ref());
        found.map(|(_, fate)| *fate)
    }

    /// The tail that certifies the claim of this name.
    pub fn tail(&self, name: impl AsRef<str>) -> Option<&Tail> {
        match self.fate(name)? {
            Fate::Certified { t } => self.tails.iter().find(|tail| tail.t == t),
            _ => None,
        }
    }
}

/// Words of the arithmetics to choose from: F = 64 (L - 1).
const WORDS: [usize; 14] = [3, 4, 5, 6, 8, 10, 12, 14, 16, 20, 24, 32, 48, 64];

/// Bits beyond the growth of errors: they leave 2^-50 or so of error at the end, roundings of the steps included.
const GUARD: f64 = 72.0;

/// Words that usually suffice with sharp windows.
const FEW_WORDS: usize = 5;

/// What settles nothing may cost this part of the work.
const SCRAP: u64 = 128;

/// Products of two words in about a second.
const SECOND: u64 = 1 << 30;

/// Encloses exact gradient descent from the instance's weights with step `eta`, as far as it takes to settle the claims
/// f_t <= (1 - eta beta)^t f_0, but not beyond `limit` steps. The first claim is the
/// deciding one; every beta must be positive with eta beta < 1.
///
/// # Errors
/// A claim or a step that makes no sense.
///
/// ```
/// use gdcert::orbit::{self, Fate};
/// use gdcert::{Dims, Init, Instance, Kernel, Trained, bounds::Enclosure, spectrum::Reading};
/// use gdcert::certificate::Claimed;
///
/// let dims = Dims { N: 2, n: 4, D: 8, d: 4, H: 3, p: 1 };
/// let instance = Instance::random(dims, Kernel::Softmax, Init::Lazy { omega: 10.0 }, 19)?;
/// let enclosure = Enclosure::new(&instance, Trained::QKV);
/// let eta = 0.5 / enclosure.jacobian_norm_upper().powi(2);
/// let claims = [Reading::PerHead, Reading::Stacked].map(|r| Claimed::reading(r, enclosure.beta(r)));
/// let orbit = orbit::enclose(&instance, Trained::QKV, eta, &claims, 2000, &Default::default())?;
/// // Read per head the bound holds for every t, read literally it does not.
/// assert!(matches!(orbit.fate(Reading::PerHead), Some(Fate::Certified { .. })));
/// assert!(matches!(orbit.fate(Reading::Stacked), Some(Fate::Refuted(found)) if found.first));
/// # Ok::<(), gdcert::Error>(())
/// ```
pub fn enclose(
    instance: &Instance,
    trained: Trained,
    eta: f64,
    claims: &[Claimed],
    limit: usize,
    settings: &Settings,
) -> Result<Orbit> {
    let through = &mut |_| ControlFlow::Continue(());
    enclose_with(instance, trained, eta, claims, limit, settings, through)
}

/// As [`enclose`]; `observe` sees every step of every pass, and stops by breaking.
///
/// # Errors
/// As [`enclose`], or [`Error::Cancelled`].
pub fn enclose_with(
    instance: &Instance,
    trained: Trained,
    eta: f64,
    claims: &[Claimed],
    limit: usize,
    settings: &Settings,
    observe: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<Orbit> {
    let model = &Attention { instance, trained };
    enclose_of(model, eta, claims, limit, settings, observe)
}

/// As [`enclose`], of any model.
pub(crate) fn enclose_of(
    model: &impl Model,
    eta: f64,
    claims: &[Claimed],
    limit: usize,
    settings: &Settings,
    observe: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<Orbit> {
    if !(eta.is_finite() && eta > 0.0) {
        return Err(Error::input(format!(
            "the step eta must be a finite number above 0, not {eta}"
        )));
    }
    settings.check()?;
    if claims.is_empty() {
        return Err(Error::input(
            "no reading applies: there is no claim to hold an orbit against",
        ));
    }
    let claims: Vec<_> = claims
        .iter()
        .map(|claimed| match claimed.is_meaningful(eta) {
            true => Ok(Claim::new(claimed.clone())),
            false => Err(Error::input(format!(
                "{} needs beta > 0 and eta beta < 1, but beta is between {:e} and {:e}",
                called(&claimed.name),
                claimed.beta.lo(),
                claimed.beta.hi()
            ))),
        })
        .collect::<Result<_>>()?;
    let scrap = Cost {
        bits: settings.bits,
        work: settings.work / SCRAP,
        step: model.work(),
    };
    let cheap = scrap.steps(WORDS[0]);
    let ahead = forecast(model, eta, &claims, limit, cheap, observe)?;
    let [deciding, all] = ahead.horizon;
    // Where the run settles nothing there is less to win: up to which step the bound held.
    let work = match ahead.open {
        Some(_) => settings.work / SCRAP,
        None => settings.work.min(settings.share_of_run(model, limit)),
    };
    let cost = Cost {
        bits: settings.bits,
        work,
        step: model.work(),
    };
    let out_of_reach = deciding > cost.steps(WORDS[0]);
    let last = match out_of_reach {
        true => all.min(scrap.steps(WORDS[0])),
        false => all,
    };
    let mut windows = Windows::new(false);
    let mut growing = growth(model, eta, last, &mut windows, observe)?;
    let closed_bits = (growing.last().copied().unwrap_or(0.0) + GUARD) as usize;
    // Sharp windows cost much and save bits: where that is cheaper, and only for something that can be settled.
    if ahead.open.is_none()
        && !out_of_reach
        && let Some(of_window) = model.sharp_work()
        && let windowed = of_window.saturating_mul(windows.all.len() as u64)
        && let sharp_cost = windowed.saturating_add(cost.of(FEW_WORDS, deciding))
        && let closed_cost = cost
            .words(&growing, deciding)
            .map(|words| cost.of(words, deciding))
        && closed_cost.is_none_or(|closed| sharp_cost < closed)
        && sharp_cost <= work
    {
        let mut sharp = Windows::new(true);
        let slower = growth(model, eta, all, &mut sharp, observe)?;
        if slower[deciding] < growing[deciding] {
            (windows, growing) = (sharp, slower);
        }
    }
    // All that the run could settle, unless that costs much more than the deciding reading; else that reading; else as far as
    // bits and a share of the work allow.
    let to = |horizon: usize| cost.words(&growing, horizon).map(|words| (words, horizon));
    let cheap = |&(words, horizon): &(usize, usize)| {
        let own = to(deciding).map_or(0, |(words, horizon)| cost.of(words, horizon));
        cost.of(words, horizon) <= own.saturating_mul(3).max(scrap.work)
    };
    let (choice, cost) = match to(all).filter(cheap).or_else(|| to(deciding)) {
        Some(choice) => (Some(choice), &cost),
        None => (scrap.furthest(&growing), &scrap),
    };
    let Some((mut words, horizon)) = choice else {
        return Err(Error::Numerical(
            "not one step of the exact orbit can be enclosed within the work that is allowed (--orbit always allows any)".to_owned(),
        ));
    };
    let grown = growing.get(deciding).copied().unwrap_or(f64::INFINITY);
    let lacking = match to(deciding) {
        Some(_) => None,
        None if !out_of_reach && grown + GUARD > settings.bits as f64 => Some(Lacking::Bits),
        None => Some(Lacking::Work),
    };
    let limit = limit.min(cost.steps(words));
    let plan = Plan {
        model,
        eta,
        claims,
        tails: ahead.tails,
        horizon,
        limit: limit.max(horizon),
    };
    let walk = loop {
        let walk = plan.walk(words, &mut windows, observe)?;
        let more = WORDS.into_iter().find(|&more| more > words);
        match more {
            // More bits serve only where they were what was missing.
            Some(more)
                if walk.end == End::Bits
                    && 64 * (more - 1) <= settings.bits
                    && cost.steps(more) >= walk.steps.max(1) =>
            {
                words = more;
            }
            _ => break walk,
        }
    };
    let stopped = stopped(&walk, deciding, lacking, ahead.open);
    Ok(Orbit {
        steps: walk.steps,
        bits: walk.bits,
        closed_bits: closed_bits.max(walk.bits),
        log2_growth: walk.log2_growth,
        distance: walk.distance,
        run_distance: walk.run_distance,
        hessian_lower: -walk.steepest,
        losses: walk.losses,
        fates: walk
            .claims
            .iter()
            .map(|claim| (claim.claimed.name.clone(), claim.fate()))
            .collect(),
        tails: walk.tails,
        stopped,
    })
}

/// What a step costs and how much there is.
struct Cost {
    bits: usize,
    work: u64,
    /// Multiplications of a step, as [`Model::work`] has them.
    step: [u64; 2],
}

impl Cost {
    /// Products of words in so many steps.
    fn of(&self, words: usize, steps: usize) -> u64 {
        // Half the products of two numbers are left out; an f64 has two or three words that are not 0.
        let [full, by_f64] = self.step;
        let (of_two, of_one) = ((words * (words + 3) / 2) as u64, 3 * words as u64);
        let step = full
            .saturating_mul(of_two)
            .saturating_add(by_f64.saturating_mul(of_one));
        step.max(1).saturating_mul(steps as u64)
    }

    /// How many steps the work allows with so many words.
    fn steps(&self, words: usize) -> usize {
        (self.work / self.of(words, 1)) as usize
    }

    /// The fewest words with which the orbit should reach this step.
    fn words(&self, growth: &[f64], horizon: usize) -> Option<usize> {
        let growth = growth.get(horizon)?;
        let enough = WORDS
            .into_iter()
            .find(|words| (64 * (words - 1)) as f64 >= growth + GUARD)?;
        let allowed = 64 * (enough - 1) <= self.bits && horizon <= self.steps(enough);
        allowed.then_some(enough)
    }

    /// The step that can be reached with whatever words are best for it.
    fn furthest(&self, growth: &[f64]) -> Option<(usize, usize)> {
        let allowed = WORDS
            .into_iter()
            .filter(|words| 64 * (words - 1) <= self.bits);
        let reach = allowed.filter_map(|words| {
            let bits = (64 * (words - 1)) as f64;
            let by_bits = growth.partition_point(|log2| log2 + GUARD <= bits);
            let steps = by_bits.checked_sub(1)?.min(self.steps(words));
            (steps > 0).then_some((words, steps))
        });
        // The first of equals: the fewest words.
        reach.rev().max_by_key(|&(_, steps)| steps)
    }
}

/// What more of would have let the orbit reach the step that settles the deciding claim.
#[derive(Clone, Copy)]
enum Lacking {
    Bits,
    Work,
}

/// Why the first claim is open, in a sentence.
fn stopped(
    walk: &Walk,
    wanted: usize,
    lacking: Option<Lacking>,
    open: Option<&'static str>,
) -> Option<String> {
    if walk.claims[0].fate.is_some() {
        return None;
    }
    let Walk {
        steps,
        bits,
        log2_growth,
        expanding,
        ..
    } = *walk;
    let steep = match expanding {
        0 => String::new(),
        count => format!(" ({count} steps with eta |J|^2 > 2)"),
    };
    Some(if walk.end == End::Bits {
        format!(
            "the orbit could be enclosed up to t = {steps} only: there its numbers, with errors that may have grown by 2^{log2_growth:.0}{steep}, are more than {bits} bits hold"
        )
    } else if let Some(lacking) = lacking {
        let more = match lacking {
            Lacking::Bits => "more bits than allowed (give a larger --bits)",
            Lacking::Work => "more work than allowed (--orbit always allows any)",
        };
        format!(
            "the orbit was enclosed up to t = {steps} of {wanted}: errors may grow by 2^{log2_growth:.0} up to there{steep}, and the rest would take {more}"
        )
    } else if let Some(open) = open {
        format!("the orbit was enclosed up to t = {steps}, and {open}")
    } else {
        format!(
            "the orbit was enclosed up to t = {steps}, but Theorem A does not close around it; the run in f64 is within {:.1e} of it",
            walk.run_distance
        )
    })
}
