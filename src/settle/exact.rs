//! Every claim on a run decided: on the enclosed orbit of exact gradient descent from M_0, then by what else can be proven.

use super::prefix::prove_from;
use super::{Refutation, Subject};
use crate::certificate::theorem_a::Step;
use crate::certificate::{Claimed, MARGIN, OrbitRecord, Proven};
use crate::descent::{End, Trajectory};
use crate::model::Precision;
use crate::orbit::{self, Fate, Orbit, enclose_of};
use crate::verdict::{Claim, Verdict};
use crate::{Error, Result};
use std::ops::ControlFlow;

/// The claims with what is proven about them.
pub(crate) struct Found<S: Subject> {
    pub claims: Vec<Claim>,
    /// The certificate of the deciding claim, or of the strongest that is certified.
    pub certificate: Option<S::Certificate>,
    pub proven: Option<Proven<S::Centre>>,
    pub orbit: Option<Orbit>,
    /// The certificates of refuted claims other than the deciding one.
    pub refutations: Vec<(String, S::Certificate)>,
}

/// Decides the claims on a run as far as it can be proven; `orbit` says how much an enclosure of the exact orbit may cost.
pub(crate) fn settle<S: Subject, B>(
    subject: &S,
    deciding: &str,
    orbit: Option<&orbit::Settings>,
    trajectory: &Trajectory<B>,
    claims: Vec<Claim>,
    observe: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<Found<S>> {
    let mut settling = Settling {
        subject,
        deciding,
        last: trajectory.points.len() - 1,
        covers: None,
        found: Found {
            claims,
            certificate: None,
            proven: None,
            orbit: None,
            refutations: Vec::new(),
        },
    };
    if trajectory.end != End::Diverged {
        let stopped = match orbit {
            Some(limits) => settling.on_orbit(limits, observe)?,
            None => None,
        };
        if settling.found.certificate.is_none() {
            let in_f64 = trajectory.precision == Precision::F64;
            settling.on_run(in_f64, observe)?;
        }
        settling.conclude(stopped)?;
    }
    Ok(settling.found)
}

struct Settling<'a, S: Subject> {
    subject: &'a S,
    deciding: &'a str,
    /// The last step of the run.
    last: usize,
    /// What the certificate covers, if it is about a rate.
    covers: Option<Covers>,
    found: Found<S>,
}

/// What a certificate of a rate covers: the claim it is about, every smaller beta, and without an orbit every rate below the
/// proven one.
struct Covers {
    claimed: Claimed,
    rate: f64,
    orbit: bool,
}

impl<S: Subject> Settling<'_, S> {
    fn claim(&mut self, name: &str) -> Option<&mut Claim> {
        self.found.claims.iter_mut().find(|c| c.name == name)
    }

    /// Takes a certificate of a rate as the one to write.
    fn take(
        &mut self,
        claimed: Claimed,
        certificate: S::Certificate,
        proven: Proven<S::Centre>,
        orbit: bool,
    ) {
        self.covers = Some(Covers {
            claimed,
            rate: proven.proof.rate_lower(),
            orbit,
        });
        (self.found.certificate, self.found.proven) = (Some(certificate), Some(proven));
    }

    /// Encloses the orbit and marks the claims that it certifies or refutes. Returns why it went no further, for the deciding
    /// claim.
    fn on_orbit(
        &mut self,
        limits: &orbit::Settings,
        observe: &mut dyn FnMut(usize) -> ControlFlow<()>,
    ) -> Result<Option<String>> {
        let mut claims = Vec::new();
        for claim in self.found.claims.iter().filter(|claim| claim.applies()) {
            claims.push(self.subject.claimed(&claim.name)?);
        }
        if claims.is_empty() || self.last == 0 {
            return Ok(None);
        }
        claims.sort_by_key(|claimed| claimed.name != self.deciding);
        let orbit = match enclosed(self.subject, &claims, self.last, limits, observe)? {
            Ok(orbit) => orbit,
            Err(why) => return Ok(Some(why)),
        };
        self.found.orbit = Some(orbit.clone());
        for (name, fate) in &orbit.fates {
            if let Fate::Proven { .. } = fate {
                continue;
            }
            let Some((certificate, proven)) = certificate(self.subject, &orbit, name)? else {
                continue;
            };
            let centre = proven.as_ref().and_then(|proven| proven.centre.as_ref());
            let refused = self.subject.refuses_on(&orbit, &certificate, centre)?;
            let last = self.last;
            let Some(claim) = self.claim(name) else {
                continue;
            };
            if let Some(why) = refused {
                claim.not_rechecked(&why);
                continue;
            }
            let rate = proven.as_ref().map_or(0.0, |p| p.proof.rate_lower());
            claim.settle(*fate, rate, last);
            match proven {
                Some(proven) if name == self.deciding => {
                    let orbit = proven.t > 0;
                    self.take(self.subject.claimed(name)?, certificate, proven, orbit);
                }
                Some(_) => {}
                None if name == self.deciding => self.found.certificate = Some(certificate),
                None => self.found.refutations.push((name.clone(), certificate)),
            }
        }
        Ok(orbit.stopped)
    }

    /// Theorem A at M_0, else at some M_T of the run; marks the claims that the proven rate covers.
    fn on_run(
        &mut self,
        in_f64: bool,
        observe: &mut dyn FnMut(usize) -> ControlFlow<()>,
    ) -> Result<()> {
        let (subject, deciding, last) = (self.subject, self.deciding, self.last);
        if !self.found.claims.iter().any(Claim::applies) {
            return Ok(());
        }
        let beta = subject.claimed(deciding)?.upper();
        let eta = subject.eta();
        let at_start = subject.grounds().prove(Step::Eta(eta), beta);
        let at_start = at_start.ok().map(|proof| Proven {
            t: 0,
            centre: None,
            proof,
        });
        let held = self.claim(deciding).map(|c| c.verdict) == Some(Verdict::Held);
        let covers = |proven: &Proven<S::Centre>| proven.proof.covers(beta).is_ok();
        let proven = match at_start {
            Some(proven) if covers(&proven) || !held => proven,
            at_start => {
                // The tail's M_T belongs to the run in f64: another one's prefix says nothing about it.
                let tail = match held && in_f64 {
                    true => prove_from(&subject.model(), eta, beta, last, observe)?.ok(),
                    false => None,
                };
                let tail = tail.map(|tail| on_file(subject, tail)).transpose()?;
                match tail.or(at_start) {
                    Some(proven) => proven,
                    None => return Ok(()),
                }
            }
        };
        let mut marked = self.found.claims.clone();
        let mut certified = Vec::new();
        for claim in marked.iter_mut().filter(|c| c.applies()) {
            let claimed = subject.claimed(&claim.name)?;
            if proven.proof.covers(claimed.upper()).is_ok()
                && claim.certify(proven.t, proven.proof.rate_lower(), last)
            {
                certified.push(claimed);
            }
        }
        // The certificate is that of the deciding claim, or of the strongest that it covers.
        certified.sort_by(|a, b| b.upper().total_cmp(&a.upper()));
        let chosen = certified.iter().find(|c| c.name == deciding);
        let Some(claimed) = chosen.or(certified.first()) else {
            return Ok(());
        };
        let certificate = subject.rate(&proven, claimed, None)?;
        if let Some(why) = subject.refuses(&certificate, proven.centre.as_ref())? {
            let covered = |claim: &&mut Claim| certified.iter().any(|c| c.name == claim.name);
            for claim in self.found.claims.iter_mut().filter(covered) {
                claim.not_rechecked(&why);
            }
            return Ok(());
        }
        self.found.claims = marked;
        self.take(claimed.clone(), certificate, proven, false);
        Ok(())
    }

    /// Says of the claims that are open how far they are proven, and of the deciding one why no further. Where it has no
    /// certificate, that of the strongest claim which is certified takes its place.
    fn conclude(&mut self, stopped: Option<String>) -> Result<()> {
        let (subject, deciding, last) = (self.subject, self.deciding, self.last);
        let Some(orbit) = self.found.orbit.clone() else {
            if let (Some(why), Some(claim)) = (&stopped, self.claim(deciding)) {
                claim.not_enclosed(why);
            }
            return Ok(());
        };
        let mut strongest: Option<Claimed> = None;
        for claim in &mut self.found.claims {
            match orbit.fate(&claim.name) {
                Some(fate @ Fate::Proven { .. }) if claim.proven_to.is_none() => {
                    claim.settle(fate, 0.0, last);
                    if let (true, Some(why)) = (claim.name == deciding, &stopped) {
                        claim.not_enclosed(why);
                    }
                }
                Some(Fate::Certified { .. }) if claim.proven_to.is_some() => {
                    let claimed = subject.claimed(&claim.name)?;
                    let weaker = |s: &Claimed| s.upper() <= claimed.upper();
                    if strongest.as_ref().is_none_or(weaker) {
                        strongest = Some(claimed);
                    }
                }
                _ => {}
            }
        }
        if self.found.certificate.is_none()
            && let Some(claimed) = strongest
            && let Some((certificate, Some(proven))) = certificate(subject, &orbit, &claimed.name)?
        {
            let orbit = proven.t > 0;
            self.take(claimed, certificate, proven, orbit);
        }
        // What the certificate does not cover has one of its own, if it is asked for.
        if let Some(own) = &self.covers {
            let covered = |upper: f64| {
                upper <= own.claimed.upper()
                    || (!own.orbit && (subject.eta() * upper).next_up() <= own.rate)
            };
            for claim in &mut self.found.claims {
                let other = claim.name != own.claimed.name && claim.verdict == Verdict::Certified;
                if other && !covered(subject.claimed(&claim.name)?.beta.hi()) {
                    claim.not_in_certificate();
                }
            }
        }
        Ok(())
    }
}

/// A tail whose centre is as its file has it.
pub(super) fn on_file<S: Subject>(
    subject: &S,
    tail: Proven<Vec<f64>>,
) -> Result<Proven<S::Centre>> {
    let centre = tail.centre.map(|weights| subject.centre(&weights));
    Ok(Proven {
        t: tail.t,
        centre: centre.transpose()?,
        proof: tail.proof,
    })
}

/// Encloses the exact orbit, as far as it takes to settle the claims; the first is the deciding one. `Err` says why not
/// one step of it could be enclosed.
pub(super) fn enclosed<S: Subject>(
    subject: &S,
    claims: &[Claimed],
    limit: usize,
    settings: &orbit::Settings,
    observe: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<std::result::Result<Orbit, String>> {
    settings.check()?;
    let eta = subject.eta();
    let meaningful = claims.iter().filter(|claim| claim.is_meaningful(eta));
    let claims: Vec<Claimed> = meaningful.cloned().collect();
    if claims.is_empty() {
        return Ok(Err(
            "the exact orbit has no claim to be held against".to_owned()
        ));
    }
    match enclose_of(&subject.model(), eta, &claims, limit, settings, observe) {
        Ok(orbit) => Ok(Ok(orbit)),
        Err(Error::Numerical(why)) => Ok(Err(why)),
        Err(other) => Err(other),
    }
}

/// The certificate of a claim that an orbit certifies or refutes, and for a certified one the proof and its centre.
#[expect(clippy::type_complexity, reason = "two parts of one answer")]
pub(super) fn certificate<S: Subject>(
    subject: &S,
    orbit: &Orbit,
    name: &str,
) -> Result<Option<(S::Certificate, Option<Proven<S::Centre>>)>> {
    match orbit.fate(name) {
        Some(Fate::Certified { t }) => {
            let Some(tail) = orbit.tail(name) else {
                return Ok(None);
            };
            let proven = Proven {
                t,
                centre: tail.weights.clone(),
                proof: tail.proof.clone(),
            };
            let proven = on_file(subject, proven)?;
            let record = (t > 0).then_some(OrbitRecord {
                steps: t,
                distance: tail.distance,
                bits: orbit.bits,
            });
            let certificate = subject.rate(&proven, &subject.claimed(name)?, record)?;
            Ok(Some((certificate, Some(proven))))
        }
        Some(Fate::Refuted(found)) => {
            // Both ends relaxed, but not so far that they meet.
            let gap = found.loss_lower / found.bound_upper - 1.0;
            let margin = MARGIN.min(gap / 4.0);
            let certificate = subject.refutation(Refutation {
                name,
                beta: found.beta,
                t: found.t,
                loss_lower: found.loss_lower * (1.0 - margin),
                bound_upper: found.bound_upper * (1.0 + margin),
                distance: orbit.distance,
                bits: orbit.bits,
            })?;
            Ok(Some((certificate, None)))
        }
        Some(Fate::Proven { .. }) | None => Ok(None),
    }
}
