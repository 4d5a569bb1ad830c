//! Windows (Lemma 3): bounds that serve every step near a centre.

use super::model::{Bounds, Model};

/// On the ball |M - centre| <= radius: |J| <= jacobian and |D^2 F| <= curvature.
#[derive(Clone, Debug)]
pub(super) struct Window {
    pub centre: Vec<f64>,
    pub radius: f64,
    pub jacobian: f64,
    pub curvature: f64,
}

/// The windows that one orbit went through; another look at the orbit, with more bits, goes through them again.
pub(super) struct Windows {
    pub sharp: bool,
    pub all: Vec<Window>,
    /// Where to look first for the next radius.
    last: f64,
}

/// h over a window may be this multiple of h at its centre: larger windows are fewer and let errors grow faster.
const GROWTH: f64 = 1.5;

/// The same for eta |J|^2 where it is above 2.
const SLOPE: f64 = 1.02;

impl Windows {
    pub(super) fn new(sharp: bool) -> Self {
        Windows {
            sharp,
            all: Vec::new(),
            last: 1.0,
        }
    }

    /// Opens a window around this point.
    pub(super) fn open(&mut self, model: &impl Model, centre: Vec<f64>, eta: f64) -> &Window {
        let bounds = model.bounds(&centre, self.sharp);
        let at_centre = bounds.jacobian();
        let most = GROWTH * bounds.curvature(0.0);
        let steep = (eta * at_centre * at_centre * SLOPE).max(2.0);
        // |J| <= |J(C)| + h rho.
        let around = |radius: f64| {
            let h = bounds.curvature(radius);
            let jacobian = (at_centre + (h * radius).next_up()).next_up();
            let fits = h <= most && eta * jacobian * jacobian <= steep;
            (fits, h, jacobian)
        };
        let mut radius = 4.0 * self.last;
        let (mut fits, mut h, mut jacobian) = around(radius);
        for _ in 0..80 {
            if fits {
                break;
            }
            radius /= 2.0;
            (fits, h, jacobian) = around(radius);
        }
        self.last = radius;
        self.all.push(Window {
            centre,
            radius,
            jacobian,
            curvature: h,
        });
        &self.all[self.all.len() - 1]
    }
}

/// g of Lemma 1: |G(M) - G(M~)| <= g |M - M~| where |J| <= jacobian, |r| <= residual and |D^2 F| <= curvature.
pub(super) fn expansion(eta: f64, jacobian: f64, residual: f64, curvature: f64) -> f64 {
    let first = ((eta * jacobian).next_up() * jacobian).next_up() - 1.0;
    let second = ((eta * residual).next_up() * curvature).next_up();
    (first.next_up().max(1.0) + second).next_up()
}
