//! What is proven about the claims on one model, whatever the model is: by the exact orbit, by Theorem A at M_0, by a tail; each
//! with its certificate, which the independent check must accept.

mod exact;
mod goal;
mod prefix;

pub(crate) use exact::settle;
pub(crate) use goal::{BEST, best};
pub use goal::{Certified, Unproven};
pub(crate) use goal::{Wanted, certify, refused};

use crate::Result;
use crate::certificate::{Claimed, Grounds, OrbitRecord, Proven};
use crate::orbit::{Model, Orbit};

/// A model with a start and a step: what claims are about, and how their certificates are written.
pub(crate) trait Subject {
    type Model: Model;
    /// M_T, as a certificate's file has it.
    type Centre: Clone;
    type Certificate: Clone;

    fn model(&self) -> Self::Model;
    fn eta(&self) -> f64;
    /// The claim of this name.
    ///
    /// # Errors
    /// There is none.
    fn claimed(&self, name: &str) -> Result<Claimed>;
    /// What Theorem A needs to know of M_0.
    fn grounds(&self) -> &dyn Grounds;
    /// Gives back the memory of what was evaluated at M_0.
    fn release(&mut self);
    /// The point with these weights.
    fn centre(&self, weights: &[f64]) -> Result<Self::Centre>;
    /// The certificate of a claim that a proven rate covers, from M_0 on if there is an orbit.
    fn rate(
        &self,
        proven: &Proven<Self::Centre>,
        claimed: &Claimed,
        orbit: Option<OrbitRecord>,
    ) -> Result<Self::Certificate>;
    /// The certificate of a claim that is refuted.
    fn refutation(&self, found: Refutation) -> Result<Self::Certificate>;
    /// Why the independent check does not accept a certificate; `None` if it does, or if trying would take long.
    fn refuses(
        &self,
        certificate: &Self::Certificate,
        centre: Option<&Self::Centre>,
    ) -> Result<Option<String>>;
    /// As [`refuses`](Subject::refuses), of a certificate that rests on this orbit.
    fn refuses_on(
        &self,
        _orbit: &Orbit,
        certificate: &Self::Certificate,
        centre: Option<&Self::Centre>,
    ) -> Result<Option<String>> {
        self.refuses(certificate, centre)
    }
}

/// The numbers of a certificate of kind `refuted`.
pub(crate) struct Refutation<'a> {
    pub name: &'a str,
    pub beta: f64,
    pub t: usize,
    pub loss_lower: f64,
    pub bound_upper: f64,
    pub distance: f64,
    pub bits: usize,
}
