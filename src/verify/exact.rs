//! Every reading decided on the enclosed orbit of exact gradient descent from M_0.

use super::{Event, Verification};
use crate::Result;
use crate::certificate::{Certificate, Site};
use crate::certify::{check_refuses, enclosed};
use crate::descent::End;
use crate::orbit::{self, Fate};
use crate::spectrum::Reading;
use crate::verdict::{Claim, Verdict};
use std::ops::ControlFlow;

/// What the orbit left to say when other proofs were tried.
#[derive(Default)]
pub(super) struct Decided {
    /// Why the orbit went no further, for the deciding reading.
    stopped: Option<String>,
}

/// Encloses the orbit and marks the readings that it certifies or refutes, with the certificate of the deciding one.
pub(super) fn settle(
    site: &Site,
    deciding: Reading,
    limits: &orbit::Settings,
    found: &mut Verification,
    observe: &mut dyn FnMut(Event) -> ControlFlow<()>,
) -> Result<Decided> {
    let mut readings: Vec<Reading> = Reading::ALL
        .into_iter()
        .filter(|&reading| found.claim(reading).applies())
        .collect();
    let last = found.last().t;
    if found.trajectory.end == End::Diverged || readings.is_empty() || last == 0 {
        return Ok(Decided::default());
    }
    readings.sort_by_key(|reading| *reading != deciding);
    let eta = found.trajectory.eta;
    let watch = &mut |t: usize| observe(Event::Proving(t));
    let orbit = match enclosed(site, &readings, eta, last, limits, watch)? {
        Ok(orbit) => orbit,
        Err(why) => return Ok(Decided { stopped: Some(why) }),
    };
    for (reading, fate) in orbit.fates.clone() {
        if let Fate::Proven { .. } = fate {
            continue;
        }
        let Some((certificate, proven)) = orbit.certificate(site, eta, reading)? else {
            continue;
        };
        let claim = &mut found.claims[reading as usize];
        let centre = proven.as_ref().and_then(|proven| proven.centre.as_ref());
        if let Some(why) = check_refuses(&certificate, site.instance(), centre)? {
            claim.not_rechecked(&why);
            continue;
        }
        let rate = proven.as_ref().map_or(0.0, |p| p.proof.rate_lower());
        claim.settle(fate, rate, last);
        if reading == deciding {
            (found.certificate, found.proven) = (Some(certificate), proven);
        } else if let Fate::Refuted(_) = fate {
            found.refutations.push((reading, certificate));
        }
    }
    let stopped = orbit.stopped.clone();
    found.orbit = Some(orbit);
    Ok(Decided { stopped })
}

impl Decided {
    /// Says of the readings that are open how far they are proven, and of the deciding one why no further. Where it has no
    /// certificate, that of the strongest reading which is certified takes its place.
    pub fn conclude(self, site: &Site, deciding: Reading, found: &mut Verification) -> Result<()> {
        let Some(orbit) = &found.orbit else {
            if let Some(why) = &self.stopped {
                found.claims[deciding as usize].not_enclosed(why);
            }
            return Ok(());
        };
        let last = found.trajectory.points.len() - 1;
        for &(reading, fate) in &orbit.fates {
            let claim: &mut Claim = &mut found.claims[reading as usize];
            if let Fate::Proven { .. } = fate
                && claim.proven_to.is_none()
            {
                claim.settle(fate, 0.0, last);
                if let (true, Some(why)) = (reading == deciding, &self.stopped) {
                    claim.not_enclosed(why);
                }
            }
        }
        if found.certificate.is_none() {
            let certified = orbit.fates.iter().filter(|(reading, fate)| {
                matches!(fate, Fate::Certified { .. }) && found.claim(*reading).proven_to.is_some()
            });
            let beta = |reading: Reading| site.beta_upper(reading);
            let strongest = certified
                .map(|(reading, _)| *reading)
                .max_by(|a, b| beta(*a).total_cmp(&beta(*b)));
            if let Some(reading) = strongest
                && let Some((certificate, proven)) =
                    orbit.certificate(site, found.trajectory.eta, reading)?
            {
                (found.certificate, found.proven) = (Some(certificate), proven);
            }
        }
        // What the certificate does not cover has one of its own, if it is asked for.
        if let Some(Certificate::TheoremA(c)) = &found.certificate {
            let (own, beta, eta) = (c.reading, c.beta, c.eta);
            let covered = |upper: f64| {
                upper <= beta || (c.orbit.is_none() && (eta * upper).next_up() <= c.rate_lower)
            };
            for claim in &mut found.claims {
                let reading = claim.reading;
                let other = reading != own && claim.verdict == Verdict::Certified;
                if other && !covered(site.enclosure().beta(reading).hi()) {
                    claim.not_in_certificate(reading);
                }
            }
        }
        Ok(())
    }
}
