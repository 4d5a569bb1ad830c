//! Exact gradient descent with a fixed step, and the trajectory it leaves.

mod kernels;
mod lanes;
mod plain;
mod step;

pub(crate) use lanes::{descend_lanes, fits_lanes, lanes};
pub use step::Stepper;

use crate::model::rounding::Rounding;
use crate::model::{Precision, Trained};
use crate::problem::Instance;
use crate::spectrum::sigma_min;
use crate::{Error, Result};
use gdcert_numbers::DoubleDouble;
use nalgebra::DMatrix;
pub(crate) use plain::{PlainStepper, units_per_head};
use serde::{Deserialize, Serialize};
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
    /// What is run at a step that is right only because nothing, or next to nothing, moves: no more than was asked for.
    pub(crate) fn at_rest(self) -> Self {
        match self {
            Steps::Exactly(_) => self,
            Steps::UpTo(_) => Steps::Exactly(0),
        }
    }

    /// The largest t the run can reach.
    pub fn limit(self) -> usize {
        match self {
            Steps::Exactly(steps) | Steps::UpTo(steps) => steps,
        }
    }
}

/// One iterate M_t. `B` has a number for each block of parameters: Q, K, V of attention, or as many as a model has.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point<B = [f64; 3]> {
    /// Number of steps taken.
    pub t: usize,
    /// f(M_t) as computed.
    pub loss: f64,
    /// Bound on |computed - exact| f(M_t) at the computed M_t.
    pub loss_error: f64,
    /// |df/dW|_F of each block; NaN for a block that is not trained, and in the runs of a sweep without certificates.
    pub grad_norms: B,
    /// |W_t - W_0|_F of each block; NaN in the runs of a sweep without certificates.
    pub moved: B,
    /// sigma_min(B_t), at the recorded t only.
    pub sigma_min_B: Option<f64>,
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// All steps were run.
    Steps,
    /// The loss reached its rounding floor.
    Floor,
    /// The loss is not finite or above [`DIVERGED`] times f_0.
    Diverged,
}

/// A run of gradient descent M_{t+1} = M_t - eta grad f(M_t), every loss recorded.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Trajectory<B = [f64; 3]> {
    /// The step.
    pub eta: f64,
    /// The arithmetic it was computed in.
    pub precision: Precision,
    /// M_0, M_1, ... in order; never empty.
    pub points: Vec<Point<B>>,
    /// Why it ended.
    pub end: End,
}

impl<B> Trajectory<B> {
    /// The rates 1 - (f_T / f_S)^{1/(T - S)} measured on the run, with T the last step whose loss is
    /// above its rounding floor: over the whole run (S = 0) and over its last quarter.
    /// `None` where nothing was measured, or the loss is not finite.
    pub fn measured_rates(&self) -> Option<(f64, f64)> {
        let points = &self.points;
        let resolved = |p: &&Point<B>| p.loss.is_finite() && p.loss_error < 0.1 * p.loss;
        let last = points.iter().rev().find(resolved)?;
        if last.t == 0 {
            return None;
        }
        let rate = |start: &Point<B>| {
            if (last.loss - start.loss).abs() <= last.loss_error + start.loss_error {
                return 0.0; // not distinguishable from no change
            }
            -((last.loss / start.loss).ln() / (last.t - start.t) as f64).exp_m1()
        };
        let quarter = &points[(3 * last.t / 4).min(last.t - 1)];
        Some((rate(&points[0]), rate(quarter)))
    }
}

/// Runs gradient descent on the trained blocks from M_0 in f64.
///
/// sigma_min(B_t) is recorded at t = 0, 1, 2, ...
/// and then ever more sparsely, t growing by an eighth (about 50 values in 2000 steps), or by
/// doubling where N n > 256 and each costs a large decomposition.
///
/// # Errors
/// eta not finite or not above 0.
pub fn descend(
    instance: &Instance,
    trained: Trained,
    eta: f64,
    steps: Steps,
) -> Result<Trajectory> {
    let through = &mut |_: &_| ControlFlow::Continue(());
    descend_with(Precision::F64, instance, trained, eta, steps, through)
}

/// As [`descend`], with weights, gradients and losses in this arithmetic all along. `observe` sees every point and stops the
/// run by breaking.
///
/// The numbers of a [`Point`] are the nearest f64; the error of its loss is that of the arithmetic and
/// of this rounding.
///
/// ```
/// use gdcert::descent::{Steps, descend_with};
/// use gdcert::{Dims, Init, Instance, Kernel, Precision, Trained};
/// use std::ops::ControlFlow;
///
/// let dims = Dims { N: 1, n: 2, D: 4, d: 2, H: 2, p: 1 };
/// let instance = Instance::random(dims, Kernel::Gaussian, Init::Lazy { omega: 10.0 }, 0)?;
/// let run = |precision| {
///     let through = &mut |_: &_| ControlFlow::Continue(());
///     descend_with(precision, &instance, Trained::QKV, 1e-3, Steps::UpTo(5000), through)
/// };
/// let lowest = |precision| Ok::<_, gdcert::Error>(run(precision)?.points.pop().unwrap().loss);
/// assert!(lowest(Precision::F64)? > 1e-30);
/// assert!(lowest(Precision::DoubleDouble)? < 1e-40);
/// # Ok::<(), gdcert::Error>(())
/// ```
///
/// # Errors
/// As [`descend`]; [`Error::Cancelled`] if `observe` breaks.
pub fn descend_with(
    precision: Precision,
    instance: &Instance,
    trained: Trained,
    eta: f64,
    steps: Steps,
    observe: &mut dyn FnMut(&Point) -> ControlFlow<()>,
) -> Result<Trajectory> {
    if !(eta.is_finite() && eta > 0.0) {
        return Err(Error::input(format!(
            "the step eta must be a finite number above 0, not {}",
            gdcert_base::number::exact(eta)
        )));
    }
    let rounding = Rounding::new(instance, precision);
    let (points, end) = match precision {
        Precision::F64 => run(
            Stepper::new(instance, trained),
            &rounding,
            eta,
            steps,
            observe,
        ),
        Precision::DoubleDouble => {
            let stepper = PlainStepper::<DoubleDouble>::new(instance, trained);
            run(stepper, &rounding, eta, steps, observe)
        }
    }?;
    Ok(Trajectory {
        eta,
        precision,
        points,
        end,
    })
}

/// What a run asks of a stepper; see [`Stepper`] for the meaning of each.
pub(crate) trait Descent {
    fn evaluate(&mut self) -> f64;
    fn step(&mut self, eta: f64);
    fn grad_norms(&self) -> [f64; 3];
    fn moved(&self) -> [f64; 3];
    fn block_norms(&self) -> impl Iterator<Item = [f64; 3]>;
    fn B(&self) -> DMatrix<f64>;
}

fn run(
    mut stepper: impl Descent,
    rounding: &Rounding,
    eta: f64,
    steps: Steps,
    observe: &mut dyn FnMut(&Point) -> ControlFlow<()>,
) -> Result<(Vec<Point>, End)> {
    let mut norms = Vec::new();
    // Room for an ordinary run, so that its steps do not allocate; longer ones double it now and then.
    let mut points = Vec::with_capacity(steps.limit().min(1 << 16) + 1);
    let mut next_sigma = 0;
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
        let end = end(&point, f0, steps);
        if t == next_sigma && end != Some(End::Diverged) {
            let B = stepper.B();
            let small = B.nrows() <= 256;
            point.sigma_min_B = Some(sigma_min(&B)?);
            next_sigma = t + 1 + if small { t / 8 } else { t };
        }
        points.push(point);
        if observe(&point).is_break() {
            return Err(Error::Cancelled);
        }
        if let Some(end) = end {
            break end;
        }
        stepper.step(eta);
    };
    Ok((points, end))
}

/// Whether, and why, a run ends at this point.
pub(crate) fn end<B>(point: &Point<B>, f0: f64, steps: Steps) -> Option<End> {
    let &Point {
        t,
        loss,
        loss_error,
        ..
    } = point;
    if !loss.is_finite() || loss > DIVERGED * f0 {
        Some(End::Diverged)
    } else if matches!(steps, Steps::UpTo(_)) && loss_error >= FLOOR_SHARE * loss {
        Some(End::Floor)
    } else {
        (t == steps.limit()).then_some(End::Steps)
    }
}

impl Descent for Stepper {
    fn evaluate(&mut self) -> f64 {
        self.evaluate()
    }
    fn step(&mut self, eta: f64) {
        self.step(eta);
    }
    fn grad_norms(&self) -> [f64; 3] {
        self.grad_norms()
    }
    fn moved(&self) -> [f64; 3] {
        self.moved()
    }
    fn block_norms(&self) -> impl Iterator<Item = [f64; 3]> {
        self.block_norms()
    }
    fn B(&self) -> DMatrix<f64> {
        self.B()
    }
}
