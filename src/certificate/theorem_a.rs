//! Theorem A: when gradient descent from a point converges at a proven rate, for every t.
//!
//! M_c is the centre, r_c its residual. The trained parameters are split into blocks Q, K, V; over a region around M_c
//! (all blocks' changes at most rho_b in the Frobenius norm) H_bc bounds |D^2 F[delta_b, eps_c]| over unit delta_b, eps_c;
//! Lambda_b >= |J_b(M_c)|, Lambda >= |J(M_c)|, R >= |r_c|. Two regions serve:
//!
//! - [`Region::Ball`], Theorem A as published: all rho_b = rho, h = |H|, alpha_c <= sigma_min(J(M_c)'),
//!
//!   ```text
//!   alpha = alpha_c - rho h,   L = (Lambda + rho h)^2 + R h,   need = R / (alpha (1 - eta L/2)),   need <= rho.
//!   ```
//!
//! - [`Region::Box`], Theorem A': radii of their own, alpha_c <= sigma_min of the blocks in a set A, e = H rho (entry e_b bounds
//!   |J_b(M) - J_b(M_c)|), |e|_A its norm over A,
//!
//!   ```text
//!   alpha = alpha_c - |e|_A,   L = (Lambda + |e|)^2 + R |H|,   tau = 2 R / ((alpha_c + alpha)(1 - eta L/2)),
//!   need_b = tau min(1, (Lambda_b / alpha_c + (Lambda_b + e_b) / alpha) / 2),   need_b <= rho_b.
//!   ```
//!
//! With alpha > 0 and eta L < 2 these prove that gradient descent with step eta stays in the region and
//! f_{t+1} <= (1 - 2 eta alpha^2 (1 - eta L/2)) f_t for every t. The proofs are in `proofs-checks/README.md` and
//! `proofs-checks/sharper.md`. alpha, L, the needed radii and the rate are taken worse than these formulas by the
//! relative [`MARGIN`] each, so that whoever re-proves a certificate has room for other roundings.

use super::MARGIN;
use crate::bounds::{BlockMatrix, Blocks};
use gdcert_base::number::short;
use gdcert_numbers::{Bound, Scalar};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What Theorem A needs to know of the centre.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Inputs<T = f64> {
    /// alpha_c, a lower bound on sigma_min of the Jacobian's blocks in `resolved`.
    pub alpha: T,
    /// A: the blocks that `alpha` was computed from. The ball needs every trained block here.
    pub resolved: Blocks<bool>,
    /// Lambda_b, upper bounds on |J_b(M_c)|.
    pub blocks: Blocks<T>,
    /// Lambda, an upper bound on |J(M_c)| over all trained blocks.
    pub jacobian: T,
    /// R, an upper bound on |r_c|.
    pub residual: T,
}

/// Where gradient descent is shown to stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Region {
    /// |M - M_c|_F <= rho over all trained blocks together.
    Ball,
    /// |M_b - M_c,b|_F <= rho_b for each block.
    Box,
}

/// The numbers of Theorem A at chosen radii and step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Conditions<T = f64> {
    /// A lower bound on sigma_min(J') over the region.
    pub alpha: T,
    /// |H|: an upper bound on |D^2 F| over the region.
    pub h: T,
    /// How far alpha_c may drop over the region.
    pub loss: T,
    /// L, the smoothness of f over the region and the sublevel set.
    pub smoothness: T,
    /// 1 - eta L / 2.
    pub contraction: T,
    /// A bound on the length of the whole path.
    pub path: T,
    /// need_b, what each radius must not be below.
    pub need: Blocks<T>,
    /// 2 eta alpha^2 (1 - eta L / 2): f_{t+1} <= (1 - rate) f_t.
    pub rate: T,
}

/// Evaluates Theorem A at radii rho_b (equal ones for the ball) and step eta, where `H` bounds the curvature over that region.
///
/// Runs on any [`Bound`] scalar: on intervals the lower ends of `alpha`, `contraction`, `rate` and
/// the upper ends of `smoothness`, `path` and `need` are what is proven. Of an H that is not symmetric the larger entries
/// count; a step, radius, norm or bound that may be below 0, or is no number, gives conditions that [fail](Conditions::failure).
pub fn conditions<T: Bound>(
    region: Region,
    inputs: &Inputs<T>,
    H: &BlockMatrix<T>,
    radii: &Blocks<T>,
    eta: T,
) -> Conditions<T> {
    let [zero, one, two] = [0.0, 1.0, 2.0].map(T::from_f64);
    let [less, more] = [1.0 - MARGIN, 1.0 + MARGIN].map(T::from_f64);
    let H = &[0, 1, 2].map(|b| [0, 1, 2].map(|c| H[b][c].max(H[c][b])));
    // Rounding outward may leave a bound's lower end a little below 0; its upper end is what counts.
    let bounds = H.iter().flatten().chain(&inputs.blocks);
    let mut bounds = bounds.chain([&inputs.jacobian, &inputs.residual]);
    let meaningful =
        bounds.all(|x| x.upper() >= 0.0) && radii.iter().chain([&eta]).all(|x| x.lower() >= 0.0);
    let h = matrix_norm(H);
    let e = apply(H, radii);
    // By how much the Jacobian changes: all of it, and the part that alpha_c was computed from.
    let (change, loss) = match region {
        Region::Ball => {
            let change = h * radii[0].max(radii[1]).max(radii[2]);
            (change, change)
        }
        Region::Box => {
            let mut in_A = e;
            for (e, &on) in in_A.iter_mut().zip(&inputs.resolved) {
                *e = if on { *e } else { zero };
            }
            (norm(&e), norm(&in_A))
        }
    };
    let alpha = match meaningful {
        true => (inputs.alpha - loss) * less,
        false => T::from_f64(f64::NAN),
    };
    let jacobian = inputs.jacobian + change;
    let smoothness = (jacobian * jacobian + inputs.residual * h) * more;
    let contraction = one - eta * smoothness / two;
    let path = match region {
        Region::Ball => inputs.residual / (alpha * contraction) * more,
        Region::Box => two * inputs.residual / ((inputs.alpha + alpha) * contraction) * more,
    };
    let mut need = [zero; 3];
    for (need, ((&centre, &e), &trained)) in need
        .iter_mut()
        .zip(inputs.blocks.iter().zip(&e).zip(&inputs.resolved))
    {
        let slope = (centre / inputs.alpha + (centre + e) / alpha) / two;
        *need = match region {
            Region::Ball if trained => path,
            Region::Ball => zero,
            Region::Box => path * one.min(slope),
        };
    }
    Conditions {
        alpha,
        h,
        loss,
        smoothness,
        contraction,
        path,
        need,
        rate: two * eta * alpha * alpha * contraction * less,
    }
}

impl<T: Bound> Conditions<T> {
    /// The condition that can not be shown to hold at these radii, if there is one.
    pub fn failure(&self, radii: &Blocks<T>) -> Option<Failure> {
        let alpha = self.alpha.lower();
        if !(alpha > 0.0 && alpha.is_finite()) {
            let loss = self.loss.upper();
            return Some(Failure::Alpha {
                factor: loss / (alpha + loss),
            });
        }
        let contraction = self.contraction.lower();
        if contraction.is_nan() || contraction <= 0.0 {
            return Some(Failure::Step {
                factor: 1.0 - contraction,
            });
        }
        for (block, (need, radius)) in self.need.iter().zip(radii).enumerate() {
            let (need, radius) = (need.upper(), radius.lower());
            if need.is_nan() || need > radius {
                return Some(Failure::Radius {
                    block,
                    factor: need / radius,
                });
            }
        }
        None
    }
}

/// Which condition of Theorem A fails, and by what factor (above 1).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Failure {
    /// sigma_min could vanish inside the smallest box that might hold the path.
    Alpha {
        /// |e|_A / alpha_c.
        factor: f64,
    },
    /// eta L is not below 2.
    Step {
        /// eta L / 2.
        factor: f64,
    },
    /// A block can move further than its radius.
    Radius {
        /// 0, 1, 2 for Q, K, V.
        block: usize,
        /// need_b / rho_b.
        factor: f64,
    },
    /// The proven rate is below the claimed one.
    Rate {
        /// claimed rate / proven rate.
        factor: f64,
    },
}

impl Failure {
    /// By what factor the condition fails (above 1).
    pub fn factor(self) -> f64 {
        match self {
            Failure::Alpha { factor }
            | Failure::Step { factor }
            | Failure::Radius { factor, .. }
            | Failure::Rate { factor } => factor,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Failure::Alpha { factor } => write!(
                f,
                "the Jacobian may change by {} times its smallest singular value before the residual vanishes",
                short(factor)
            ),
            Failure::Step { factor } => {
                write!(f, "eta L / 2 is {} but must be below 1", short(factor))
            }
            Failure::Radius { block, factor } => {
                let name = ["Q", "K", "V"].get(block).copied().unwrap_or("?");
                write!(
                    f,
                    "W^{name} may move {} times as far as its radius allows",
                    short(factor)
                )
            }
            Failure::Rate { factor } => write!(
                f,
                "the claimed rate is {} times the rate that is proven",
                short(factor)
            ),
        }
    }
}

/// How the step is given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// eta itself.
    Eta(f64),
    /// theta in (0, 2): eta = theta / L with the box's own L.
    Theta(f64),
}

/// Theorem A, closed: a choice of radii and step at which every condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Closed<T = f64> {
    /// Where gradient descent stays.
    pub region: Region,
    /// rho_b; 0 for a block that does not move.
    pub radii: Blocks<f64>,
    /// The step.
    pub eta: f64,
    /// Everything else.
    pub conditions: Conditions<T>,
}

impl<T: Bound> Closed<T> {
    /// Whether the proven rate covers the claim f_t <= (1 - eta beta)^t f_c.
    ///
    /// # Errors
    /// [`Failure::Rate`], with the factor that is missing.
    pub fn covers(&self, beta: T) -> Result<(), Failure> {
        let claimed = (T::from_f64(self.eta) * beta).upper();
        let proven = self.conditions.rate.lower();
        if claimed <= proven {
            Ok(())
        } else {
            Err(Failure::Rate {
                factor: claimed / proven,
            })
        }
    }
}

/// Radii grow by this factor over what is needed, so that the iteration ends soon where it ends at all; so much is given away.
const GROWTH: f64 = 1.0 + 1.0 / 512.0;

/// Iterations after which a region that still grows counts as not closing.
const ITERATIONS: usize = 400;

/// Finds radii from `start` upwards at which Theorem A closes.
///
/// Where `H` grows with the radii, need_b does too; so the iteration rho <- need(rho) from rho = 0 rises to the
/// smallest closing region, which has the largest alpha and rate, if there is one at all. In f64 that is a
/// search; in intervals, started at what the search found, it is a proof.
///
/// # Errors
/// The condition that fails at the last radii tried.
pub fn close<T: Bound>(
    region: Region,
    inputs: &Inputs<T>,
    curvature: impl Fn(&Blocks<f64>) -> BlockMatrix<T>,
    step: Step,
    start: Blocks<f64>,
) -> Result<Closed<T>, Failure> {
    let mut radii = start;
    let mut failure = Failure::Alpha {
        factor: f64::INFINITY,
    };
    for _ in 0..ITERATIONS {
        let H = curvature(&radii);
        let at = radii.map(T::from_f64);
        let eta = match step {
            Step::Eta(eta) => eta,
            Step::Theta(theta) => {
                let resting = conditions(region, inputs, &H, &at, T::from_f64(0.0));
                theta / resting.smoothness.upper()
            }
        };
        let found = conditions(region, inputs, &H, &at, T::from_f64(eta));
        match found.failure(&at) {
            None => {
                return Ok(Closed {
                    region,
                    radii,
                    eta,
                    conditions: found,
                });
            }
            Some(radius @ Failure::Radius { .. }) => failure = radius,
            Some(other) => return Err(other),
        }
        for (radius, need) in radii.iter_mut().zip(found.need) {
            let need = need.upper();
            if need > *radius {
                *radius = need * GROWTH;
            }
        }
    }
    Err(failure)
}

/// H v.
fn apply<T: Bound>(H: &BlockMatrix<T>, v: &Blocks<T>) -> Blocks<T> {
    H.map(|row| row[0] * v[0] + row[1] * v[1] + row[2] * v[2])
}

/// |v|_2.
fn norm<T: Bound>(v: &Blocks<T>) -> T {
    (v[0] * v[0] + v[1] * v[1] + v[2] * v[2]).sqrt()
}

/// An upper bound on |H|_2 of a symmetric matrix without negative entries: Collatz-Wielandt's
/// max_b (H v)_b / v_b, at a v > 0 that a few power steps have brought near the top vector. A zero row is a zero column and
/// counts nothing.
pub(crate) fn matrix_norm<T: Bound>(H: &BlockMatrix<T>) -> T {
    let mut v = [1.0; 3];
    for _ in 0..8 {
        let Hv = apply(&H.map(|row| row.map(Scalar::value)), &v);
        let largest = Hv.iter().fold(0.0, |a: f64, b| a.max(*b));
        if !(largest > 0.0 && largest.is_finite()) {
            break;
        }
        // Half of v stays in, so that no entry dies out and the steps do not oscillate.
        v = [0, 1, 2].map(|b| 0.5 * (v[b] + Hv[b] / largest));
    }
    let v = v.map(T::from_f64);
    let Hv = apply(H, &v);
    let mut bound = T::from_f64(0.0);
    for (row, (&v, &Hv)) in H.iter().zip(v.iter().zip(&Hv)) {
        // Not its value: the interval of all numbers has the value 0.
        if row.iter().any(|h| h.lower() != 0.0 || h.upper() != 0.0) {
            bound = bound.max(Hv / v);
        }
    }
    bound
}

#[cfg(test)]
mod tests {
    use super::*;
    use gdcert_numbers::Interval;

    fn one_block(residual: f64) -> Inputs {
        Inputs {
            alpha: 1.0,
            resolved: [true, false, false],
            blocks: [2.0, 0.0, 0.0],
            jacobian: 2.0,
            residual,
        }
    }

    /// Theorem A' with one block and constant curvature.
    fn one(residual: f64, h: f64, step: Step) -> Result<Closed, Failure> {
        let H = [[h, 0.0, 0.0], [0.0; 3], [0.0; 3]];
        close(Region::Box, &one_block(residual), |_| H, step, [0.0; 3])
    }

    /// The ball needs rho (alpha_c - rho h)(1 - theta / 2) >= |r|, which has a solution while
    /// 4 |r| h < alpha_c^2 (1 - theta / 2): half of what the box can do.
    #[test]
    fn the_ball_is_theorem_a_as_published() {
        let limit = 0.25 * 0.75;
        let H = [[1.0, 0.0, 0.0], [0.0; 3], [0.0; 3]];
        let ball = |residual: f64| {
            let inputs = one_block(residual);
            close(Region::Ball, &inputs, |_| H, Step::Theta(0.5), [0.0; 3])
        };
        let closed = ball(0.98 * limit).unwrap();
        let (rho, c) = (closed.radii[0], closed.conditions);
        assert_eq!(closed.radii[1..], [0.0, 0.0]);
        assert!(rho * c.alpha * c.contraction >= 0.98 * limit);
        assert!(c.alpha <= 1.0 - rho && c.smoothness >= (2.0 + rho).powi(2) + 0.98 * limit);
        assert!(ball(1.02 * limit).is_err());
    }

    /// One block and constant h: rho (alpha_c - rho h / 2)(1 - theta / 2) = |r| has a root with alpha > 0
    /// exactly while 2 |r| h < alpha_c^2 (1 - theta / 2).
    #[test]
    fn one_block_closes_up_to_its_limit() {
        let theta = 0.5;
        let limit = 0.5 * (1.0 - theta / 2.0);
        let closed = one(0.98 * limit, 1.0, Step::Theta(theta)).unwrap();
        assert_eq!(closed.conditions.failure(&closed.radii), None);
        let exact = 1.0 - (1.0f64 - 0.98).sqrt();
        assert!((closed.radii[0] / exact - 1.0).abs() < 1e-3);
        let refused = one(1.01 * limit, 1.0, Step::Theta(theta));
        assert!(refused.is_err());
    }

    #[test]
    fn failures_name_the_condition() {
        let step = one(0.1, 1.0, Step::Eta(1.0)).unwrap_err();
        assert!(matches!(step, Failure::Step { factor } if factor > 1.0));
        let alpha = one(9.0, 1.0, Step::Theta(0.5)).unwrap_err();
        assert!(matches!(alpha, Failure::Alpha { factor } if factor >= 1.0));
        let closed = one(0.1, 1.0, Step::Theta(0.5)).unwrap();
        assert_eq!(closed.covers(0.9), Ok(()));
        assert!(closed.covers(2.1).unwrap_err().to_string().contains("rate"));
    }

    #[test]
    fn an_overflowed_bound_stays_one() {
        for (a, b) in [(f64::NAN, 1.0), (1.0, f64::NAN)] {
            assert!(Bound::max(a, b).is_nan() && Bound::min(a, b).is_nan());
        }
        assert!(one(0.1, f64::NAN, Step::Theta(0.5)).is_err());
    }

    /// Of an unknown H nothing follows, though its midpoint is 0; nor of what has no meaning.
    #[test]
    fn conditions_can_be_asked_anything() {
        let exact = Interval::from_f64;
        let inputs = Inputs {
            alpha: exact(1.0),
            resolved: [true, false, false],
            blocks: [2.0, 0.0, 0.0].map(exact),
            jacobian: exact(2.0),
            residual: exact(0.1),
        };
        let radii = [0.2; 3].map(exact);
        let matrix = |h: Interval| {
            [
                [h, exact(0.0), exact(0.0)],
                [exact(0.0); 3],
                [exact(0.0); 3],
            ]
        };
        for region in [Region::Ball, Region::Box] {
            let closes = |inputs: &Inputs<Interval>, H: Interval, radii: [Interval; 3], eta| {
                let found = conditions(region, inputs, &matrix(H), &radii, exact(eta));
                found.failure(&radii).is_none()
            };
            assert!(closes(&inputs, exact(0.1), radii, 0.1));
            let zero_to_infinity = Interval::new(0.0, f64::INFINITY);
            for H in [Interval::ENTIRE, zero_to_infinity, exact(-1.0)] {
                assert!(!closes(&inputs, H, radii, 0.1), "{H:?}");
            }
            assert!(!closes(&inputs, exact(0.1), radii, -0.1));
            assert!(!closes(&inputs, exact(0.1), radii.map(|r| -r), 0.1));
            let residual = exact(-0.1);
            assert!(!closes(
                &Inputs { residual, ..inputs },
                exact(0.1),
                radii,
                0.1
            ));
            let alpha = Interval::ENTIRE;
            assert!(!closes(&Inputs { alpha, ..inputs }, exact(0.1), radii, 0.1));
        }
    }

    #[test]
    fn matrix_norm_bounds_the_largest_eigenvalue() {
        let H = [[1.0, 2.0, 0.0], [2.0, 1.0, 0.0], [0.0; 3]];
        assert!((matrix_norm(&H) - 3.0f64).abs() < 1e-12);
        // Far from equal row sums: the eigenvalue of [[0, 1], [1, 100]] is 50 + sqrt(2501).
        let H = [[0.0, 0.0, 1.0], [0.0; 3], [1.0, 0.0, 100.0]];
        let exact = 50.0 + 2501.0f64.sqrt();
        assert!(matrix_norm(&H) >= exact && matrix_norm(&H) < 1.01 * exact);
    }
}
