//! Exact gradient descent with a fixed step, and the trajectory it leaves.

mod kernels;
mod step;

pub use step::Stepper;

use crate::model::Trained;
use crate::problem::Instance;
use crate::rounding::Rounding;
use crate::spectrum::sigma_min;
use crate::{Error, Result};
use std::ops::ControlFlow;

/// A run counts as diverged when the loss is not finite or above this multiple of f_0.
pub const DIVERGED: f64 = 1e6;

/// The loss is at its rounding floor when its evaluation error exceeds this share of it.
pub const FLOOR_SHARE: f64 = 0.1;

/// How long to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Steps {
    /// Exactly this many steps, unless the run diverges.
    Exactly(usize),
    /// At most this many: the run may also stop at the rounding floor.
    UpTo(usize),
}

impl Steps {
    /// The largest t the run can reach.
    pub fn limit(self) -> usize {
        match self {
            Steps::Exactly(steps) | Steps::UpTo(steps) => steps,
        }
    }
}

/// One iterate M_t. Arrays are in the order Q, K, V.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Number of steps taken.
    pub t: usize,
    /// f(M_t) as computed.
    pub loss: f64,
    /// Bound on |computed - exact| f(M_t) at the computed M_t.
    pub loss_error: f64,
    /// |df/dW|_F of each block; NaN for a block that is not trained.
    pub grad_norms: [f64; 3],
    /// |W_t - W_0|_F of each block.
    pub moved: [f64; 3],
    /// sigma_min(B_t), at the recorded t only.
    pub sigma_min_B: Option<f64>,
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All steps were run.
    Steps,
    /// The loss reached its rounding floor.
    Floor,
    /// The loss is not finite or above [`DIVERGED`] times f_0.
    Diverged,
}

/// A run of gradient descent M_{t+1} = M_t - eta grad f(M_t), every loss recorded.
#[derive(Clone, Debug)]
pub struct Trajectory {
    /// The step.
    pub eta: f64,
    /// M_0, M_1, ... in order; never empty.
    pub points: Vec<Point>,
    /// Why it ended.
    pub end: End,
}

/// Runs gradient descent on the trained blocks from M_0.
///
/// `observe` sees every point and stops the run by breaking. sigma_min(B_t) is recorded at t = 0, 1, 2, ...
/// and then ever more sparsely, t growing by an eighth (about 50 values in 2000 steps), or by
/// doubling where N n > 256 and each costs a large decomposition.
///
/// # Errors
/// eta not finite or not above 0; [`Error::Cancelled`] if `observe` breaks.
pub fn descend(
    instance: &Instance,
    trained: Trained,
    eta: f64,
    steps: Steps,
    observe: &mut dyn FnMut(&Point) -> ControlFlow<()>,
) -> Result<Trajectory> {
    if !(eta.is_finite() && eta > 0.0) {
        return Err(Error::input(format!(
            "the step eta must be a finite number above 0, not {eta}"
        )));
    }
    let rounding = Rounding::new(instance);
    let mut stepper = Stepper::new(instance, trained);
    let mut norms = Vec::with_capacity(instance.dims().H);
    // Room for an ordinary run, so that its steps do not allocate; longer ones double it now and then.
    let mut points = Vec::with_capacity(steps.limit().min(1 << 16) + 1);
    let mut next_sigma = 0;
    let small = instance.dims().tokens() <= 256;
    let end = loop {
        let t = points.len();
        let loss = stepper.evaluate();
        norms.clear();
        norms.extend(stepper.block_norms());
        let mut point = Point {
            t,
            loss,
            loss_error: rounding.loss(loss, rounding.residual(&norms)),
            grad_norms: stepper.grad_norms(),
            moved: stepper.moved(),
            sigma_min_B: None,
        };
        let f0 = points.first().map_or(loss, |p: &Point| p.loss);
        let diverged = !loss.is_finite() || loss > DIVERGED * f0;
        if t == next_sigma && !diverged {
            point.sigma_min_B = Some(sigma_min(&stepper.B())?);
            next_sigma = t + 1 + if small { t / 8 } else { t };
        }
        points.push(point);
        if observe(&point).is_break() {
            return Err(Error::Cancelled);
        }
        let at_floor = matches!(steps, Steps::UpTo(_)) && point.loss_error >= FLOOR_SHARE * loss;
        if diverged {
            break End::Diverged;
        } else if at_floor {
            break End::Floor;
        } else if t == steps.limit() {
            break End::Steps;
        }
        stepper.step(eta);
    };
    Ok(Trajectory { eta, points, end })
}
