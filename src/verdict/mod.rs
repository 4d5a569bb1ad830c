//! Bounds against losses: the verdict on each reading of the claim
//! f(M_t) <= (1 - eta beta)^t f(M_0).

mod claim;

pub(crate) use claim::Asserted;
pub use claim::Claim;

use crate::{Error, Result};
use gdcert_base::input::same_word;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What was found about one reading of the claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Exact gradient descent from M_0 satisfies the bound for every t: Theorem A closes at M_0, or its orbit is enclosed to
    /// some T, with the bound at every step up to it, and Theorem A closes from there on.
    Certified,
    /// The bound was checked at every step of the run to some T, and Theorem A closes at M_T with the same step and against
    /// the same beta: exact gradient descent from the computed M_T satisfies it for ever. Only where the exact orbit from
    /// M_0 was not enclosed up to T.
    CertifiedTail,
    /// The bound held at every step that was run and could be decided.
    Held,
    /// At some step the lower end of f_t's enclosure exceeds the bound formed with the lower end of
    /// beta. A statement about the computed orbit, and about this reading only.
    Violated,
    /// Exact gradient descent from M_0 is proven to exceed the bound. About this reading only.
    Refuted,
    /// Convergence to 0 is proven impossible (softmax with W^V fixed; a model whose gradient at M_0 is exactly 0): it
    /// belongs to the instance and is the verdict of every reading.
    Obstructed,
    /// The loss is not finite or above [`DIVERGED`](crate::descent::DIVERGED) times f_0: it belongs to
    /// the run and is the verdict of every reading, but where eta beta >= 1 and there is no claim to speak of.
    Diverged,
    /// A hypothesis of the reading fails; the claim's reason says which.
    NotApplicable,
}

impl Verdict {
    /// All verdicts.
    pub const ALL: [Verdict; 8] = [
        Verdict::Certified,
        Verdict::CertifiedTail,
        Verdict::Held,
        Verdict::Violated,
        Verdict::Refuted,
        Verdict::Obstructed,
        Verdict::Diverged,
        Verdict::NotApplicable,
    ];

    /// Whether the bound was found not to hold: on the run, or by proof.
    pub fn fails(self) -> bool {
        matches!(self, Verdict::Violated | Verdict::Refuted)
    }

    /// Whether the bound was found to hold: on the run, or beyond it by proof.
    pub fn holds(self) -> bool {
        matches!(
            self,
            Verdict::Certified | Verdict::CertifiedTail | Verdict::Held
        )
    }

    /// What it says about the bound, in a sentence.
    pub fn meaning(self) -> &'static str {
        match self {
            Verdict::Certified => {
                "the bound is proven for every t of exact gradient descent from M_0, in exact arithmetic"
            }
            Verdict::CertifiedTail => {
                "the bound was checked at every step of the run up to some T, and Theorem A closes at M_T with the same step \
                 and against the same beta, so that exact gradient descent from the computed M_T satisfies it for ever"
            }
            Verdict::Held => {
                "the bound held at every step of the run that could be decided; nothing is said about later steps"
            }
            Verdict::Violated => {
                "at the step reported the loss, less its error, exceeds the bound formed with the lower end of beta; this is \
                 about the computed run and this reading of beta"
            }
            Verdict::Refuted => {
                "exact gradient descent from M_0 is proven to exceed the bound, formed with the lower end of beta; this is \
                 about this reading of beta"
            }
            Verdict::Obstructed => {
                "convergence to 0 is proven impossible: the loss of gradient descent never falls below a positive number"
            }
            Verdict::Diverged => "the loss is not finite or above a million times f_0",
            Verdict::NotApplicable => {
                "a hypothesis of this reading fails, so that it makes no claim here"
            }
        }
    }

    /// The name in files and flags.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Certified => "certified",
            Verdict::CertifiedTail => "certified_tail",
            Verdict::Held => "held",
            Verdict::Violated => "violated",
            Verdict::Refuted => "refuted",
            Verdict::Obstructed => "obstructed",
            Verdict::Diverged => "diverged",
            Verdict::NotApplicable => "not_applicable",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Verdict {
    type Err = Error;
    fn from_str(name: &str) -> Result<Self> {
        let known = Verdict::ALL.into_iter().find(|v| same_word(name, v.name()));
        known.ok_or_else(|| {
            let names: Vec<_> = Verdict::ALL.iter().map(|v| v.name()).collect();
            Error::input(format!(
                "unknown verdict '{name}'; choose one of {}",
                names.join(", ")
            ))
        })
    }
}
