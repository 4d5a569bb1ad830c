//! The conditions of Theorem A, evaluated in f64 with errors of the estimates on the safe side
//! (h and the handful of operations below are rounded to nearest).

use super::residual;
use gdcert::bounds::Curvature;
use gdcert::spectrum::{Reading, Spectrum};
use gdcert::{Instance, Trained};

/// How the step is chosen.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// eta = theta / L.
    Theta(f64),
    /// This eta.
    Fixed(f64),
}

/// A choice of (rho, eta) for which Theorem A's conditions hold at M_0.
#[derive(Clone, Copy, Debug)]
pub struct Closed {
    pub rho: f64,
    pub eta: f64,
    /// 2 alpha^2 (1 - eta L / 2): what f loses per step is at least eta times this.
    pub gain: f64,
}

/// The quantities at the centre.
pub struct Centre {
    pub alpha: f64,
    pub jacobian_norm: f64,
    pub r: f64,
    pub curvature: Curvature,
}

impl Centre {
    pub fn new(instance: &Instance, trained: Trained) -> Self {
        let spectrum = Spectrum::new(instance, trained).unwrap();
        Centre {
            alpha: spectrum.beta(Reading::Ntk).lower().sqrt(),
            jacobian_norm: spectrum.jacobian_norm.upper(),
            r: residual(instance, instance.W()).norm() * (1.0 + 1e-12), // its error is near 1e-15
            curvature: Curvature::new(instance, trained).unwrap(),
        }
    }

    /// Theorem A at one radius.
    pub fn close_at(&self, rho: f64, step: Step) -> Option<Closed> {
        let h = self.curvature.h(rho);
        let alpha = self.alpha - rho * h;
        let L = (self.jacobian_norm + rho * h).powi(2) + self.r * h;
        let eta = match step {
            Step::Theta(theta) => theta / L,
            Step::Fixed(eta) => eta,
        };
        let room = 1.0 - eta * L / 2.0;
        let closes = alpha > 0.0 && room > 0.0 && rho * alpha * room >= self.r;
        closes.then_some(Closed {
            rho,
            eta,
            gain: 2.0 * alpha * alpha * room,
        })
    }

    /// All radii of a grid at which Theorem A closes, smallest first. No radius below |r| / alpha can.
    pub fn closings(&self, step: Step) -> impl Iterator<Item = Closed> + '_ {
        let first = self.r / self.alpha;
        (0..240).filter_map(move |k| self.close_at(first * 1.02f64.powi(k), step))
    }

    /// The closing with the largest gain.
    pub fn close(&self, step: Step) -> Option<Closed> {
        self.closings(step).max_by(|a, b| a.gain.total_cmp(&b.gain))
    }
}

/// Doubles the scale from `first`, at most `tries` times, until `closed` says something.
pub fn by_doubling<T>(first: f64, tries: i32, closed: impl Fn(f64) -> Option<T>) -> Option<T> {
    (0..tries).find_map(|k| closed(first * 2f64.powi(k)))
}
