//! Claims by name: the readings of beta, and those of the user's own.

use super::MARGIN;
use crate::spectrum::Reading;
use crate::{Error, Result};
use gdcert_base::input::same_word;
use gdcert_base::number::exact;
use gdcert_numbers::{Interval, Scalar};
use std::str::FromStr;

/// The claim f_t <= (1 - eta beta)^t f_0 by its name: what proofs and orbits are asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Claimed {
    /// A reading's name, or that of a claim of the user's own.
    pub name: String,
    /// What beta lies between.
    pub beta: Interval,
    /// Whether beta is a number that was given: it is what is claimed, so that nothing about it is relaxed.
    given: bool,
}

impl Claimed {
    /// A reading, with an enclosure of its beta.
    pub fn reading(reading: Reading, beta: Interval) -> Self {
        Claimed {
            name: reading.into(),
            beta,
            given: false,
        }
    }

    /// beta with its ends moved outward by [`MARGIN`], if it has to be proven: what a certificate says of it.
    pub fn relaxed(&self) -> Interval {
        match self.given {
            true => self.beta,
            false => Interval::new(
                self.beta.lo() * (1.0 - MARGIN),
                self.beta.hi() * (1.0 + MARGIN),
            ),
        }
    }

    /// What a proven rate must cover.
    pub fn upper(&self) -> f64 {
        self.relaxed().hi()
    }

    /// Whether beta > 0 and eta beta < 1: else the bound says nothing.
    pub(crate) fn is_meaningful(&self, eta: f64) -> bool {
        self.beta.lo() > 0.0 && eta * self.upper() < 1.0
    }
}

/// What a claim of the user's own says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Constant {
    /// beta is this number.
    Beta(f64),
    /// The rate eta beta is this number, whatever the step.
    Rate(f64),
}

/// A claim of the user's own, beside the readings of beta: f_t <= (1 - eta beta)^t f_0 with a number beta or eta beta that is
/// given.
///
/// ```
/// use gdcert::certificate::{Constant, OwnClaim};
/// let claim: OwnClaim = "mine=0.25".parse()?;
/// assert_eq!((claim.name(), claim.constant()), ("mine", Constant::Beta(0.25)));
/// let claim: OwnClaim = "slow=rate:1e-3".parse()?;
/// assert_eq!(claim.rate(0.5), 1e-3);
/// assert!("ntk=0.25".parse::<OwnClaim>().is_err()); // that is a reading
/// # Ok::<(), gdcert::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct OwnClaim {
    name: String,
    constant: Constant,
}

/// Names stand in files' names.
const LONGEST_NAME: usize = 64;

impl OwnClaim {
    /// A claim.
    ///
    /// # Errors
    /// A name that is not letters, digits, - and _ after a letter, or that of a reading; a beta or rate that claims nothing.
    pub fn new(name: &str, constant: Constant) -> Result<Self> {
        let fail = |what: String| Err(Error::input(format!("the claim '{name}' {what}")));
        let plain = name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        if !plain || name.len() > LONGEST_NAME {
            return fail(format!(
                "needs a name of at most {LONGEST_NAME} letters, digits, - and _ that begins with a letter"
            ));
        }
        if Reading::ALL.iter().any(|r| same_word(name, r.name())) {
            return fail("has the name of a reading of beta; choose another".to_owned());
        }
        match constant {
            Constant::Beta(beta) if !(beta > 0.0 && beta.is_finite()) => {
                fail(format!("needs a finite beta above 0, not {}", exact(beta)))
            }
            Constant::Rate(rate) if !(rate > 0.0 && rate < 1.0) => {
                fail(format!("needs a rate between 0 and 1, not {}", exact(rate)))
            }
            _ => Ok(OwnClaim {
                name: name.to_owned(),
                constant,
            }),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it says.
    pub fn constant(&self) -> Constant {
        self.constant
    }

    /// The rate it claims for this step, to the nearest f64.
    pub fn rate(&self, eta: f64) -> f64 {
        match self.constant {
            Constant::Beta(beta) => eta * beta,
            Constant::Rate(rate) => rate,
        }
    }

    /// The claim for this step. A claimed rate X is about beta = X / eta, which lies between two f64: what is proven with the
    /// upper one, and refuted with the lower one, is so for the rate as it was given.
    pub fn at(&self, eta: f64) -> Claimed {
        let beta = match self.constant {
            Constant::Beta(beta) => Interval::from_f64(beta),
            Constant::Rate(rate) => Interval::from_f64(rate) / Interval::from_f64(eta),
        };
        Claimed {
            name: self.name.clone(),
            beta,
            given: true,
        }
    }

    /// Checks that no two claims have the same name, and that `deciding` is one of them or a reading.
    ///
    /// # Errors
    /// The name that is given twice, whatever its case: files are called after it. A `deciding` that is unknown.
    pub(crate) fn check(claims: &[OwnClaim], deciding: &str) -> Result<()> {
        for (i, claim) in claims.iter().enumerate() {
            let same = |other: &OwnClaim| other.name.eq_ignore_ascii_case(&claim.name);
            if claims[..i].iter().any(same) {
                return Err(Error::input(format!(
                    "the claim '{}' is given twice; give each a name of its own",
                    claim.name
                )));
            }
        }
        let own = || claims.iter().any(|claim| claim.name == deciding);
        match Reading::named(deciding).is_some() || own() {
            true => Ok(()),
            false => Err(Error::input(format!(
                "unknown reading '{deciding}'; choose stacked, per_head, value, ntk or the name of a --claim"
            ))),
        }
    }
}

impl FromStr for OwnClaim {
    type Err = Error;

    /// `NAME=BETA` or `NAME=rate:X`.
    fn from_str(text: &str) -> Result<Self> {
        let fail = || {
            Error::input(format!(
                "the claim '{text}' is not NAME=BETA or NAME=rate:X, such as mine=0.25 or slow=rate:1e-3"
            ))
        };
        let (name, constant) = text.split_once('=').ok_or_else(fail)?;
        let number = |text: &str| text.trim().parse::<f64>().map_err(|_| fail());
        let constant = match constant.trim().strip_prefix("rate:") {
            Some(rate) => Constant::Rate(number(rate)?),
            None => Constant::Beta(number(constant)?),
        };
        OwnClaim::new(name.trim(), constant)
    }
}

/// A claim by its name, as it is spoken of: the reading ntk, the claim mine.
pub fn called(name: &str) -> String {
    match Reading::named(name) {
        Some(reading) => format!("the reading {reading}"),
        None => format!("the claim {name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_that_are_taken_or_no_names_are_refused() {
        for name in [
            "", "1a", "-a", "_a", "a b", "a/b", "../a", "ä", "ntk", "NTK", "per-head", "Per_Head",
            "stacked", "value", "a.b",
        ] {
            let refused = OwnClaim::new(name, Constant::Beta(1.0)).unwrap_err();
            assert!(refused.to_string().starts_with("the claim '"), "{refused}");
        }
        for text in [
            "mine",
            "mine=",
            "mine=x",
            "mine=rate:",
            "=1",
            "mine=-1",
            "mine=0",
            "mine=nan",
            "mine=inf",
            "a=rate:1",
            "a=rate:0",
        ] {
            assert!(text.parse::<OwnClaim>().is_err(), "{text}");
        }
        let claims = ["a=1", "b=1", "A=2"].map(|text| text.parse().unwrap());
        let check = |claims: &[OwnClaim], deciding| {
            OwnClaim::check(claims, deciding).map_err(|e| e.to_string())
        };
        assert_eq!(check(&claims[..2], "b"), Ok(()));
        assert_eq!(check(&claims[..2], "ntk"), Ok(()));
        assert!(
            check(&claims[..2], "c")
                .unwrap_err()
                .contains("unknown reading 'c'")
        );
        assert!(
            check(&claims, "a")
                .unwrap_err()
                .contains("'A' is given twice")
        );
    }

    proptest! {
        /// A rate as given lies between eta times the ends of beta; a beta is itself.
        #[test]
        fn a_claim_is_what_was_given(x in 1e-12..1.0f64, eta in 1e-6..1e6f64) {
            let exact = |a: f64| Interval::from_f64(a);
            let rate = OwnClaim::new("r", Constant::Rate(x)).unwrap().at(eta);
            let ends = [rate.beta.lo(), rate.beta.hi()].map(|beta| exact(eta) * exact(beta));
            prop_assert!(ends[0].lo() <= x && x <= ends[1].hi());
            prop_assert!(rate.beta.hi() - rate.beta.lo() <= 1e-14 * rate.beta.hi());
            prop_assert_eq!(rate.upper(), rate.beta.hi());
            let beta = OwnClaim::new("b", Constant::Beta(x)).unwrap().at(eta);
            prop_assert_eq!(beta.relaxed(), exact(x));
        }
    }
}
