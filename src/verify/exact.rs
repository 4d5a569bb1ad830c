//! Every claim decided on the enclosed orbit of exact gradient descent from M_0.

use super::{Event, Verification};
use crate::Result;
use crate::certificate::{Certificate, Claimed, Claims};
use crate::certify::{check_refuses, enclosed};
use crate::descent::End;
use crate::orbit::{self, Fate};
use crate::verdict::Verdict;
use std::ops::ControlFlow;

/// What the orbit left to say when other proofs were tried.
#[derive(Default)]
pub(super) struct Decided {
    /// Why the orbit went no further, for the deciding claim.
    stopped: Option<String>,
}

/// Encloses the orbit and marks the claims that it certifies or refutes, with the certificate of the deciding one.
pub(super) fn settle(
    asked: &Claims,
    deciding: &str,
    limits: &orbit::Settings,
    found: &mut Verification,
    observe: &mut dyn FnMut(Event) -> ControlFlow<()>,
) -> Result<Decided> {
    let last = found.last().t;
    if found.trajectory.end == End::Diverged || last == 0 {
        return Ok(Decided::default());
    }
    let mut claims = Vec::new();
    for claim in found.claims.iter().filter(|claim| claim.applies()) {
        claims.push(asked.get(&claim.name)?);
    }
    if claims.is_empty() {
        return Ok(Decided::default());
    }
    claims.sort_by_key(|claimed| claimed.name != deciding);
    let site = asked.site;
    let watch = &mut |t: usize| observe(Event::Proving(t));
    let orbit = match enclosed(site, &claims, asked.eta, last, limits, watch)? {
        Ok(orbit) => orbit,
        Err(why) => return Ok(Decided { stopped: Some(why) }),
    };
    for (name, fate) in orbit.fates.clone() {
        if let Fate::Proven { .. } = fate {
            continue;
        }
        let Some((certificate, proven)) = orbit.certificate(asked, &name)? else {
            continue;
        };
        let Some(claim) = found.claim_mut(&name) else {
            continue;
        };
        let centre = proven.as_ref().and_then(|proven| proven.centre.as_ref());
        if let Some(why) = check_refuses(&certificate, site.instance(), centre)? {
            claim.not_rechecked(&why);
            continue;
        }
        let rate = proven.as_ref().map_or(0.0, |p| p.proof.rate_lower());
        claim.settle(fate, rate, last);
        if name == deciding {
            (found.certificate, found.proven) = (Some(certificate), proven);
        } else if let Fate::Refuted(_) = fate {
            found.refutations.push((name, certificate));
        }
    }
    let stopped = orbit.stopped.clone();
    found.orbit = Some(orbit);
    Ok(Decided { stopped })
}

impl Decided {
    /// Says of the claims that are open how far they are proven, and of the deciding one why no further. Where it has no
    /// certificate, that of the strongest claim which is certified takes its place.
    pub fn conclude(self, asked: &Claims, deciding: &str, found: &mut Verification) -> Result<()> {
        let Some(orbit) = &found.orbit else {
            if let (Some(why), Some(claim)) = (&self.stopped, found.claim_mut(deciding)) {
                claim.not_enclosed(why);
            }
            return Ok(());
        };
        let last = found.trajectory.points.len() - 1;
        // The strongest claim that is certified.
        let mut strongest: Option<Claimed> = None;
        for claim in &mut found.claims {
            match orbit.fate(&claim.name) {
                Some(fate @ Fate::Proven { .. }) if claim.proven_to.is_none() => {
                    claim.settle(fate, 0.0, last);
                    if let (true, Some(why)) = (claim.name == deciding, &self.stopped) {
                        claim.not_enclosed(why);
                    }
                }
                Some(Fate::Certified { .. }) if claim.proven_to.is_some() => {
                    let claimed = asked.get(&claim.name)?;
                    if strongest
                        .as_ref()
                        .is_none_or(|s| s.upper() <= claimed.upper())
                    {
                        strongest = Some(claimed);
                    }
                }
                _ => {}
            }
        }
        if found.certificate.is_none()
            && let Some(claimed) = strongest
            && let Some((certificate, proven)) = orbit.certificate(asked, &claimed.name)?
        {
            (found.certificate, found.proven) = (Some(certificate), proven);
        }
        // What the certificate does not cover has one of its own, if it is asked for.
        if let Some(Certificate::TheoremA(c)) = &found.certificate {
            let (own, beta, eta) = (&c.reading, c.beta, c.eta);
            let covered = |upper: f64| {
                upper <= beta || (c.orbit.is_none() && (eta * upper).next_up() <= c.rate_lower)
            };
            for claim in &mut found.claims {
                let other = claim.name != *own && claim.verdict == Verdict::Certified;
                if other && !covered(asked.get(&claim.name)?.beta.hi()) {
                    claim.not_in_certificate();
                }
            }
        }
        Ok(())
    }
}
