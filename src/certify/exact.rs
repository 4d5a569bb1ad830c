//! What an enclosed orbit proves of a claim, as a certificate.

use crate::Result;
use crate::certificate::{Certificate, Claims, MARGIN, OrbitRecord, Proven, Refuted, statement};
use crate::certify::{instance_ref, rate_certificate};
use crate::orbit::{Fate, Orbit};

impl Orbit {
    /// The certificate of a claim that is certified or refuted, and for a certified one the proof and its centre. `asked` is at
    /// M_0, with the step that the orbit was enclosed with.
    ///
    /// # Errors
    /// None is expected.
    pub(crate) fn certificate(
        &self,
        asked: &Claims,
        name: &str,
    ) -> Result<Option<(Certificate, Option<Proven>)>> {
        let site = asked.site;
        match self.fate(name) {
            Some(Fate::Certified { t }) => {
                let Some(tail) = self.tail(name) else {
                    return Ok(None);
                };
                let proven = Proven {
                    t,
                    centre: tail.centre.clone(),
                    proof: tail.proof.clone(),
                };
                let orbit = (t > 0).then_some(OrbitRecord {
                    steps: t,
                    distance: tail.distance,
                    bits: self.bits,
                });
                let claimed = asked.get(name)?;
                let certificate = rate_certificate(site.instance(), &proven, &claimed, orbit)?;
                Ok(Some((certificate, Some(proven))))
            }
            Some(Fate::Refuted(found)) => {
                // Both ends relaxed, but not so far that they meet.
                let gap = found.loss_lower / found.bound_upper - 1.0;
                let margin = MARGIN.min(gap / 4.0);
                let mut certificate = Refuted {
                    instance: instance_ref(site.instance())?,
                    kernel: site.instance().kernel(),
                    trained: site.trained(),
                    reading: name.to_owned(),
                    eta: asked.eta,
                    beta: found.beta,
                    t: found.t,
                    loss_lower: found.loss_lower * (1.0 - margin),
                    bound_upper: found.bound_upper * (1.0 + margin),
                    distance: self.distance,
                    bits: self.bits,
                    statement: String::new(),
                };
                certificate.statement = statement(&Certificate::Refuted(certificate.clone()));
                Ok(Some((Certificate::Refuted(certificate), None)))
            }
            Some(Fate::Proven { .. }) | None => Ok(None),
        }
    }
}
