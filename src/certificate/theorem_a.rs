//! Theorem A: when gradient descent from a point converges at a proven rate, for every t.
//!
//! The trained parameters are split into at most three groups ("blocks", normally Q, K and V; or all
//! of them in the first group, which gives the theorem with one radius). M_c is the centre, r_c its
//! residual, and over the box |M_b - M_c,b|_F <= rho_b:
//!
//! - H_bc bounds |D^2 F[delta_b, eps_c]| over unit delta_b, eps_c;
//! - alpha_c <= sigma_min of the blocks in a set A, Lambda_b >= |J_b(M_c)|, Lambda >= |J(M_c)|.
//!
//! With e = H rho (entry e_b bounds |J_b(M) - J_b(M_c)|), |e|_A its norm over A, theta = eta L and
//!
//! ```text
//! alpha = alpha_c - |e|_A,   L = (Lambda + |e|)^2 + |r_c| |H|,   tau = 2 |r_c| / ((alpha_c + alpha)(1 - eta L/2)),
//! need_b = tau min(1, (Lambda_b / alpha_c + (Lambda_b + e_b) / alpha) / 2),
//! ```
//!
//! the conditions alpha > 0, eta L < 2 and need_b <= rho_b (b = Q, K, V) prove that gradient descent with step eta
//! stays in the box, moves by at most tau in all, and f_{t+1} <= (1 - 2 eta alpha^2 (1 - eta L/2)) f_t for every t.
//! The proof is in `proofs-checks/sharper.md`.

use super::Bound;
use std::fmt;

/// One number for each of Q, K, V; 0 for a block that is not trained.
pub type Blocks<T> = [T; 3];

/// The symmetric matrix H_bc of bounds on |D^2 F[delta_b, eps_c]|.
pub type BlockMatrix<T> = [[T; 3]; 3];

/// What Theorem A needs to know of the centre.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Inputs<T = f64> {
    /// alpha_c, a lower bound on sigma_min of the Jacobian's blocks in `resolved`.
    pub alpha: T,
    /// A: the blocks that `alpha` was computed from.
    pub resolved: Blocks<bool>,
    /// Lambda_b, upper bounds on |J_b(M_c)|.
    pub blocks: Blocks<T>,
    /// Lambda, an upper bound on |J(M_c)| over all trained blocks.
    pub jacobian: T,
    /// An upper bound on |r_c|.
    pub residual: T,
}

/// The numbers of Theorem A at chosen radii and step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conditions<T = f64> {
    /// A lower bound on sigma_min(J) over the box.
    pub alpha: T,
    /// alpha_c - alpha, what the box costs.
    pub loss: T,
    /// L, the smoothness of f over the box and the sublevel set.
    pub smoothness: T,
    /// 1 - eta L / 2.
    pub contraction: T,
    /// tau, a bound on the length of the whole path.
    pub path: T,
    /// need_b, what each radius must not be below.
    pub need: Blocks<T>,
    /// 2 eta alpha^2 (1 - eta L / 2): f_{t+1} <= (1 - rate) f_t.
    pub rate: T,
}

/// Evaluates Theorem A at radii rho_b and step eta, where `H` bounds the curvature over that box.
///
/// Runs on any [`Bound`] scalar: on intervals the lower ends of `alpha`, `contraction`, `rate` and
/// the upper ends of `need` are what is proven.
pub fn conditions<T: Bound>(
    inputs: &Inputs<T>,
    H: &BlockMatrix<T>,
    radii: &Blocks<T>,
    eta: T,
) -> Conditions<T> {
    let [zero, one, two] = [0.0, 1.0, 2.0].map(T::from_f64);
    let e = apply(H, radii);
    let mut in_A = e;
    for (e, &on) in in_A.iter_mut().zip(&inputs.resolved) {
        *e = if on { *e } else { zero };
    }
    let loss = norm(&in_A);
    let alpha = inputs.alpha - loss;
    let jacobian = inputs.jacobian + norm(&e);
    let smoothness = jacobian * jacobian + inputs.residual * matrix_norm(H);
    let contraction = one - eta * smoothness / two;
    let path = two * inputs.residual / ((inputs.alpha + alpha) * contraction);
    let mut need = [zero; 3];
    for (need, (&centre, &e)) in need.iter_mut().zip(inputs.blocks.iter().zip(&e)) {
        let slope = (centre / inputs.alpha + (centre + e) / alpha) / two;
        *need = path * one.min(slope);
    }
    Conditions {
        alpha,
        loss,
        smoothness,
        contraction,
        path,
        need,
        rate: two * eta * alpha * alpha * contraction,
    }
}

impl Conditions<f64> {
    /// The condition that fails at these radii, if one does.
    pub fn failure(&self, radii: &Blocks<f64>) -> Option<Failure> {
        if !(self.alpha > 0.0 && self.alpha.is_finite()) {
            let centre = self.alpha + self.loss;
            return Some(Failure::Alpha {
                factor: self.loss / centre,
            });
        }
        if self.contraction.is_nan() || self.contraction <= 0.0 {
            return Some(Failure::Step {
                factor: 1.0 - self.contraction,
            });
        }
        for (block, (&need, &radius)) in self.need.iter().zip(radii).enumerate() {
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

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Failure::Alpha { factor } => write!(
                f,
                "the Jacobian may change by {factor:.3} times its smallest singular value before the residual vanishes"
            ),
            Failure::Step { factor } => write!(f, "eta L / 2 is {factor:.3} but must be below 1"),
            Failure::Radius { block, factor } => {
                let name = ["Q", "K", "V"].get(block).copied().unwrap_or("?");
                write!(
                    f,
                    "W^{name} may move {factor:.3} times as far as its radius allows"
                )
            }
            Failure::Rate { factor } => write!(
                f,
                "the claimed rate is {factor:.3} times the rate that is proven"
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
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Closed {
    /// rho_b; 0 for a block that does not move.
    pub radii: Blocks<f64>,
    /// The step.
    pub eta: f64,
    /// H over the box.
    pub H: BlockMatrix<f64>,
    /// Everything else.
    pub conditions: Conditions,
}

impl Closed {
    /// Whether the proven rate covers the claim f_t <= (1 - eta beta)^t f_c.
    ///
    /// # Errors
    /// [`Failure::Rate`], with the factor that is missing.
    pub fn covers(&self, beta: f64) -> Result<(), Failure> {
        let factor = self.eta * beta / self.conditions.rate;
        if factor <= 1.0 {
            Ok(())
        } else {
            Err(Failure::Rate { factor })
        }
    }
}

/// Radii grow by this factor over what is needed, so that other roundings can re-prove them.
const MARGIN: f64 = 1.0 + 1.0 / 65536.0;

/// Iterations after which a box that still grows counts as not closing.
const ITERATIONS: usize = 400;

/// Finds radii at which Theorem A closes, in f64.
///
/// Where `H` grows with the radii, need_b does too; so the iteration rho <- need(rho) from rho = 0 rises to the
/// smallest closing box, which has the largest alpha and rate, if there is one at all.
///
/// # Errors
/// The condition that fails at the last box tried.
pub fn close(
    inputs: &Inputs,
    curvature: impl Fn(&Blocks<f64>) -> BlockMatrix<f64>,
    step: Step,
) -> Result<Closed, Failure> {
    let mut radii = [0.0; 3];
    let mut failure = Failure::Alpha {
        factor: f64::INFINITY,
    };
    for _ in 0..ITERATIONS {
        let H = curvature(&radii);
        let eta = match step {
            Step::Eta(eta) => eta,
            Step::Theta(theta) => theta / conditions(inputs, &H, &radii, 0.0).smoothness,
        };
        let found = conditions(inputs, &H, &radii, eta);
        match found.failure(&radii) {
            None => {
                return Ok(Closed {
                    radii,
                    eta,
                    H,
                    conditions: found,
                });
            }
            Some(radius @ Failure::Radius { .. }) => failure = radius,
            Some(other) => return Err(other),
        }
        for (radius, need) in radii.iter_mut().zip(found.need) {
            if need > *radius {
                *radius = need * MARGIN;
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
/// max_b (H v)_b / v_b at the row sums v = H 1. A zero row is a zero column and counts nothing.
fn matrix_norm<T: Bound>(H: &BlockMatrix<T>) -> T {
    let v = apply(H, &[T::from_f64(1.0); 3]);
    let Hv = apply(H, &v);
    let mut bound = T::from_f64(0.0);
    for (&v, &Hv) in v.iter().zip(&Hv) {
        if v.value() != 0.0 {
            bound = bound.max(Hv / v);
        }
    }
    bound
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_block(residual: f64) -> Inputs {
        Inputs {
            alpha: 1.0,
            resolved: [true, false, false],
            blocks: [2.0, 0.0, 0.0],
            jacobian: 2.0,
            residual,
        }
    }

    fn constant(h: f64) -> impl Fn(&Blocks<f64>) -> BlockMatrix<f64> {
        move |_| [[h, 0.0, 0.0], [0.0; 3], [0.0; 3]]
    }

    /// One block and constant h: rho (alpha_c - rho h / 2)(1 - theta / 2) = |r| has a root with alpha > 0
    /// exactly while 2 |r| h < alpha_c^2 (1 - theta / 2).
    #[test]
    fn one_block_closes_up_to_its_limit() {
        let theta = 0.5;
        let limit = 0.5 * (1.0 - theta / 2.0);
        let closed = close(&one_block(0.98 * limit), constant(1.0), Step::Theta(theta)).unwrap();
        assert_eq!(closed.conditions.failure(&closed.radii), None);
        let exact = 1.0 - (1.0f64 - 0.98).sqrt();
        assert!((closed.radii[0] / exact - 1.0).abs() < 1e-3);
        let refused = close(&one_block(1.01 * limit), constant(1.0), Step::Theta(theta));
        assert!(refused.is_err());
    }

    #[test]
    fn failures_name_the_condition() {
        let step = close(&one_block(0.1), constant(1.0), Step::Eta(1.0)).unwrap_err();
        assert!(matches!(step, Failure::Step { factor } if factor > 1.0));
        let alpha = close(&one_block(9.0), constant(1.0), Step::Theta(0.5)).unwrap_err();
        assert!(matches!(alpha, Failure::Alpha { factor } if factor >= 1.0));
        let closed = close(&one_block(0.1), constant(1.0), Step::Theta(0.5)).unwrap();
        assert_eq!(closed.covers(0.9), Ok(()));
        assert!(closed.covers(2.1).unwrap_err().to_string().contains("rate"));
    }

    #[test]
    fn an_overflowed_bound_stays_one() {
        for (a, b) in [(f64::NAN, 1.0), (1.0, f64::NAN)] {
            assert!(Bound::max(a, b).is_nan() && Bound::min(a, b).is_nan());
        }
        assert!(close(&one_block(0.1), constant(f64::NAN), Step::Theta(0.5)).is_err());
    }

    #[test]
    fn matrix_norm_bounds_the_largest_eigenvalue() {
        let H = [[1.0, 2.0, 0.0], [2.0, 1.0, 0.0], [0.0; 3]];
        assert!((matrix_norm(&H) - 3.0f64).abs() < 1e-12);
    }
}
