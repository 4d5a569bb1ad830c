//! Attention as what claims are about.

use super::{check_refuses, instance_ref, orbit_is_cheap, rate_certificate};
use crate::Result;
use crate::certificate::{
    Certificate, Claimed, Grounds, OrbitRecord, OwnClaim, Proven, Refuted, Site, statement,
};
use crate::orbit::{Attention, Orbit};
use crate::problem::Instance;
use crate::settle::{Refutation, Subject};

/// The claims on an instance for a step: the readings of beta at its weights, and the user's own.
pub(crate) struct AttentionClaims<'i> {
    pub site: Site<'i>,
    pub own: &'i [OwnClaim],
    pub eta: f64,
}

impl<'i> Subject for AttentionClaims<'i> {
    type Model = Attention<'i>;
    type Centre = Instance;
    type Certificate = Certificate;

    fn model(&self) -> Attention<'i> {
        Attention {
            instance: self.site.instance(),
            trained: self.site.trained(),
        }
    }

    fn eta(&self) -> f64 {
        self.eta
    }

    fn claimed(&self, name: &str) -> Result<Claimed> {
        match self.own.iter().find(|own| own.name() == name) {
            Some(own) => Ok(own.at(self.eta)),
            None => Ok(self.site.claimed(name.parse()?)),
        }
    }

    fn grounds(&self) -> &dyn Grounds {
        &self.site
    }

    fn release(&mut self) {
        // A reading's beta is evaluated again for its certificate, at less cost than what is kept here.
        self.site = Site::new(self.site.instance(), self.site.trained());
    }

    fn centre(&self, weights: &[f64]) -> Result<Instance> {
        self.model().at(weights)
    }

    fn rate(
        &self,
        proven: &Proven,
        claimed: &Claimed,
        orbit: Option<OrbitRecord>,
    ) -> Result<Certificate> {
        let (instance, trained) = (self.site.instance(), self.site.trained());
        rate_certificate(instance, trained, proven, claimed, orbit)
    }

    fn refutation(&self, found: Refutation) -> Result<Certificate> {
        let instance = self.site.instance();
        let mut certificate = Refuted {
            instance: instance_ref(instance)?,
            kernel: instance.kernel(),
            trained: self.site.trained(),
            reading: found.name.to_owned(),
            eta: self.eta,
            beta: found.beta,
            t: found.t,
            loss_lower: found.loss_lower,
            bound_upper: found.bound_upper,
            distance: found.distance,
            bits: found.bits,
            statement: String::new(),
        };
        certificate.statement = statement(&Certificate::Refuted(certificate.clone()));
        Ok(Certificate::Refuted(certificate))
    }

    fn refuses(
        &self,
        certificate: &Certificate,
        centre: Option<&Instance>,
    ) -> Result<Option<String>> {
        check_refuses(certificate, self.site.instance(), centre)
    }

    fn refuses_on(
        &self,
        orbit: &Orbit,
        certificate: &Certificate,
        centre: Option<&Instance>,
    ) -> Result<Option<String>> {
        let instance = self.site.instance();
        // The checker's windows are its own, and may need more bits than the orbit did.
        match orbit_is_cheap(instance.dims(), orbit.steps, orbit.closed_bits) {
            true => check_refuses(certificate, instance, centre),
            false => Ok(None),
        }
    }
}
