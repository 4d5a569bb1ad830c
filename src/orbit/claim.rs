//! The claims, held against the enclosed losses at every step.

use crate::certificate::Claimed;
use gdcert_numbers::{Bound, Interval, Scalar};
use serde::{Deserialize, Serialize};

/// What is proven about one claim for exact gradient descent from M_0.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Fate {
    /// f_t <= (1 - eta beta)^t f_0 for every t: Theorem A closes from step t on (Theorem 6).
    Certified {
        /// T, where the tail begins; 0 if it is M_0 itself.
        t: usize,
    },
    /// f_t > (1 - eta beta)^t f_0 (Corollary 7).
    Refuted(Refuted),
    /// f_t <= (1 - eta beta)^t f_0 at every t up to this one, and nothing beyond.
    Proven {
        /// The last such t.
        to: usize,
    },
}

/// A violation of the bound by exact gradient descent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Refuted {
    /// The step.
    pub t: usize,
    /// Whether the bound is proven to hold at every earlier step.
    pub first: bool,
    /// The beta that the bound was taken with, not above the claim's.
    pub beta: f64,
    /// f_t is at least this.
    pub loss_lower: f64,
    /// The bound is at most this.
    pub bound_upper: f64,
}

/// One claim at the step that was reached.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    pub claimed: Claimed,
    /// The bound with beta itself, and with its ends relaxed: what a certificate says, so that other roundings come to the same.
    bound: Interval,
    relaxed: Interval,
    /// Whether the bound held with beta, and with the relaxed one, at every step so far.
    held: bool,
    certifiable: bool,
    pub proven_to: usize,
    pub fate: Option<Fate>,
}

impl Claim {
    /// At t = 0.
    pub(super) fn new(claimed: Claimed) -> Self {
        Claim {
            claimed,
            bound: Interval::from_f64(1.0),
            relaxed: Interval::from_f64(1.0),
            held: true,
            certifiable: true,
            proven_to: 0,
            fate: None,
        }
    }

    /// beta from above, relaxed: what a proven rate must cover.
    pub(super) fn beta_upper(&self) -> f64 {
        self.claimed.upper()
    }

    /// Whether the bound held at every step so far, beta taken from above with the margin.
    pub(super) fn certifiable(&self) -> bool {
        self.certifiable && self.fate.is_none()
    }

    /// Takes note of f_t at the next step.
    pub(super) fn next(&mut self, t: usize, eta: f64, f0: Interval, loss: Interval) {
        if self.fate.is_some() {
            return;
        }
        let eta = Interval::from_f64(eta);
        let one = Interval::from_f64(1.0);
        self.bound = self.bound * (one - eta * self.claimed.beta);
        self.relaxed = self.relaxed * (one - eta * self.claimed.relaxed());
        let (bound, relaxed) = (f0 * self.bound, f0 * self.relaxed);
        self.certifiable &= loss.hi() <= relaxed.lo();
        if loss.hi() <= bound.lo() {
            if self.held {
                self.proven_to = t;
            }
            return;
        }
        if loss.lo() > bound.hi() {
            let with_margin = loss.lo() > relaxed.hi();
            let (beta, bound) = match with_margin {
                true => (self.claimed.relaxed(), relaxed),
                false => (self.claimed.beta, bound),
            };
            self.fate = Some(Fate::Refuted(Refuted {
                t,
                first: self.held,
                beta: beta.lo(),
                loss_lower: loss.lo(),
                bound_upper: bound.hi(),
            }));
        }
        self.held = false;
    }

    /// Takes note that a rate which covers beta is proven from step `t` on, if the bound held up to it.
    pub(super) fn tail(&mut self, t: usize) -> bool {
        let certified = self.certifiable();
        if certified {
            self.fate = Some(Fate::Certified { t });
        }
        certified
    }

    /// What is proven after the last step.
    pub(super) fn fate(&self) -> Fate {
        self.fate.unwrap_or(Fate::Proven { to: self.proven_to })
    }
}

/// f = |r|^2 / 2 for every residual norm within `error` of one in `norm`.
pub(super) fn loss(norm: Interval, error: f64) -> Interval {
    let wide = norm + Interval::new(-error, error);
    let norm = Interval::new(wide.lo().max(0.0), wide.hi());
    norm.square() * Interval::from_f64(0.5)
}

/// |r| from entries that are known to within an error each.
pub(super) fn norm(entries: impl Iterator<Item = (f64, f64)>) -> Interval {
    let zero = Interval::from_f64(0.0);
    let squares = entries.map(|(near, error)| Interval::around(near, error).square());
    let norm = squares.fold(zero, |sum, x| sum + x).sqrt();
    debug_assert!(norm.lower() >= 0.0);
    norm
}
