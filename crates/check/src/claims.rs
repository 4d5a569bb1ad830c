//! What becomes of a claim: proven, refuted, or hidden by rounding; and in which order precisions
//! are tried.

use super::Unreadable;
use super::ball::Ball;
use super::instance::Instance;
use super::point::Point;
use std::cell::OnceCell;

/// Why there is no proof.
pub(crate) enum Stop {
    Unproven(String),
    Unreadable(Unreadable),
}

impl From<Unreadable> for Stop {
    fn from(error: Unreadable) -> Self {
        Stop::Unreadable(error)
    }
}

pub(crate) type Proof<T = ()> = Result<T, Stop>;

pub(crate) fn require(holds: bool, otherwise: impl FnOnce() -> String) -> Proof {
    if holds { Ok(()) } else { Err(Stop::Unproven(otherwise())) }
}

/// What an evaluation in one precision says about a claim.
pub(crate) enum Answer {
    Proven,
    /// It is false.
    Refuted(String),
    /// Its rounding hides the answer.
    Hidden(String),
}

impl Answer {
    /// Of the claim small <= large.
    pub(crate) fn at_most(name: &str, small: Ball, bound: &str, large: Ball) -> Answer {
        if small.at_most(large) {
            return Answer::Proven;
        }
        let (a, b) = (small.upper(), large.lower());
        let why = format!("{name} = {a:?} is not proven to be at most {bound} = {b:?}");
        if large.below(small) { Answer::Refuted(why) } else { Answer::Hidden(why) }
    }

    /// The next precision, where this one hides the answer.
    pub(crate) fn or(self, next: impl FnOnce() -> Answer) -> Answer {
        match self {
            Answer::Hidden(_) => next(),
            decided => decided,
        }
    }

    /// The claim as a proof.
    pub(crate) fn proof(self) -> Proof {
        Err(Stop::Unproven(match self {
            Answer::Proven => return Ok(()),
            Answer::Refuted(why) => why,
            Answer::Hidden(why) => format!("{why}; rounding hides whether it is true"),
        }))
    }
}

/// Proves small <= large, where there is one precision.
pub(crate) fn at_most(name: &str, small: Ball, bound: &str, large: Ball) -> Proof {
    Answer::at_most(name, small, bound, large).proof()
}

/// An instance whose model is evaluated when it is asked for, fast or precisely.
pub(crate) struct Site<'a> {
    instance: &'a Instance,
    fast: OnceCell<Point<'a>>,
    precise: OnceCell<Point<'a>>,
}

/// Precise evaluation of so many multiplications takes a few milliseconds.
const CHEAP: usize = 1 << 16;

impl<'a> Site<'a> {
    pub(crate) fn new(instance: &'a Instance) -> Self {
        Site { instance, fast: OnceCell::new(), precise: OnceCell::new() }
    }

    pub(crate) fn precise(&self) -> &Point<'a> {
        self.precise.get_or_init(|| Point::new(self.instance, false))
    }

    /// The precise point where that costs little.
    pub(crate) fn fast(&self) -> &Point<'a> {
        let dims = self.instance.dims;
        if dims.tokens() * dims.H * dims.d * (dims.D + dims.n) <= CHEAP {
            return self.precise();
        }
        self.fast.get_or_init(|| Point::new(self.instance, true))
    }
}
