//! Theorem 2 in fixed-point balls: the orbit itself.

use super::claim::{Claim, loss, norm};
use super::model::{Model, Motion, Run};
use super::size::Size;
use super::tail::{Schedule, Tail};
use super::window::{Window, Windows, expansion};
use crate::{Error, Result};
use gdcert_numbers::{Bound, Interval};
use gdcert_numbers::{Fixed, Scalar};
use std::ops::ControlFlow;

/// Where the orbit leads, and how far to follow it.
pub(super) struct Plan<'a, M> {
    pub model: &'a M,
    pub eta: f64,
    /// The claims at t = 0.
    pub claims: Vec<Claim>,
    /// Tails around points of the run in f64, t increasing.
    pub tails: Vec<Tail>,
    /// The last step to go to where the orbit stays near that run,
    pub horizon: usize,
    /// and where it leaves it, if tails are still wanted.
    pub limit: usize,
}

/// The orbit up to a step.
pub(super) struct Walk {
    /// The last step, and there:
    pub steps: usize,
    pub bits: usize,
    /// log2 of the product of the g of Lemma 1,
    pub log2_growth: f64,
    /// how far the exact orbit can be,
    pub distance: f64,
    /// how far it can be from the run in f64.
    pub run_distance: f64,
    /// The largest |r| h,
    pub steepest: f64,
    /// Steps with eta |J|^2 > 2.
    pub expanding: usize,
    pub losses: Vec<[f64; 2]>,
    pub claims: Vec<Claim>,
    pub tails: Vec<Tail>,
    pub end: End,
}

/// Why a walk ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Nothing is left to settle, or the horizon was reached.
    Done,
    /// Errors have grown to where they hide the residual.
    Bits,
}

/// Errors above this share of the residual leave nothing to compare.
const HIDDEN: f64 = 1.0 / 4096.0;

impl<M: Model> Plan<'_, M> {
    /// The orbit with this number of words, one of [`WORDS`](super::WORDS).
    pub(super) fn walk(
        &self,
        words: usize,
        windows: &mut Windows,
        observe: &mut dyn FnMut(usize) -> ControlFlow<()>,
    ) -> Result<Walk> {
        match words {
            3 => self.follow::<3>(windows, observe),
            4 => self.follow::<4>(windows, observe),
            5 => self.follow::<5>(windows, observe),
            6 => self.follow::<6>(windows, observe),
            8 => self.follow::<8>(windows, observe),
            10 => self.follow::<10>(windows, observe),
            12 => self.follow::<12>(windows, observe),
            14 => self.follow::<14>(windows, observe),
            16 => self.follow::<16>(windows, observe),
            20 => self.follow::<20>(windows, observe),
            24 => self.follow::<24>(windows, observe),
            32 => self.follow::<32>(windows, observe),
            48 => self.follow::<48>(windows, observe),
            _ => self.follow::<64>(windows, observe),
        }
    }

    fn follow<const L: usize>(
        &self,
        windows: &mut Windows,
        observe: &mut dyn FnMut(usize) -> ControlFlow<()>,
    ) -> Result<Walk> {
        let (model, eta) = (self.model, self.eta);
        let mut motion = model.motion::<Fixed<L>>();
        let mut run = model.run();
        let mut error = drop_radii(&mut motion);
        let mut claims = self.claims.clone();
        let mut tails = Vec::new();
        let mut planned = self.tails.iter().peekable();
        // Where the orbit is not near the run in f64, tails are looked for on the orbit.
        let (mut left, mut schedule) = (false, Schedule::default());
        let mut window = 0;
        let mut log2_growth = 0.0;
        let mut steepest = 0.0f64;
        let mut expanding = 0;
        let mut losses = Vec::new();
        let mut f0 = Interval::from_f64(0.0);
        let mut t = 0;
        // At the last step: the distance, that of the run in f64, log2 of the growth.
        let mut reached = (0.0, 0.0, 0.0);
        let end = loop {
            if observe(t).is_break() {
                return Err(Error::Cancelled);
            }
            if !motion.evaluate() {
                break End::Bits;
            }
            run.evaluate();
            let known = error.up();
            let held = hold(model, &motion, windows, &mut window, known, eta);
            let Some(Window {
                jacobian,
                curvature,
                ..
            }) = held
            else {
                break End::Bits;
            };
            let (jacobian, curvature) = (*jacobian, *curvature);
            let residual = residual_norm(&motion);
            let off = (jacobian * known).next_up();
            let largest = (residual.hi() + off).next_up();
            let loss = loss(residual, off);
            // NaN must end here too.
            let clear = off <= HIDDEN * residual.hi() && largest.is_finite();
            if !clear {
                break End::Bits;
            }
            losses.push([loss.lo(), loss.hi()]);
            steepest = steepest.max((largest * curvature).next_up());
            let from_run = (away(&motion, &run.weights()) + known).next_up();
            reached = (known, from_run, log2_growth);
            if t == 0 {
                f0 = loss;
            } else {
                for claim in &mut claims {
                    claim.next(t, eta, f0, loss);
                }
            }
            // Tails that were proven around points of the run.
            while let Some(tail) = planned.next_if(|tail| tail.t <= t) {
                let near = match &tail.weights {
                    None => true,
                    Some(weights) => (away(&motion, weights) + known).next_up() <= tail.distance,
                };
                if near {
                    settle(&mut claims, tail, &mut tails);
                } else {
                    left = true;
                }
            }
            let wanted = claims.iter().find(|claim| claim.certifiable());
            if left
                && let Some(wanted) = wanted
                && schedule.due(t, loss.hi())
            {
                let centre = nearest(&motion);
                let least = (away(&motion, &centre) + known).next_up();
                let beta = wanted.beta_upper();
                match Tail::find(model, t, Some(centre), least, eta, beta)? {
                    Ok(tail) => {
                        settle(&mut claims, &tail, &mut tails);
                        schedule.wait(t, loss.hi());
                    }
                    Err(share) => schedule.failed(t, loss.hi(), share),
                }
            }
            if claims.iter().all(|claim| claim.fate.is_some()) {
                break End::Done;
            }
            let deciding_open = left && claims[0].certifiable();
            let last = if deciding_open {
                self.limit
            } else {
                self.horizon
            };
            if t >= last {
                break End::Done;
            }
            let g = expansion(eta, jacobian, largest, curvature);
            expanding += usize::from(eta * jacobian * jacobian > 2.0);
            log2_growth += g.log2();
            motion.step(eta);
            run.step(eta);
            let rounding = drop_radii(&mut motion);
            error = error.times(g).plus(rounding);
            t += 1;
        };
        let (distance, run_distance, log2_growth) = reached;
        Ok(Walk {
            steps: losses.len().saturating_sub(1),
            bits: Fixed::<L>::BITS,
            log2_growth,
            distance,
            run_distance,
            steepest,
            expanding,
            losses,
            claims,
            tails,
            end,
        })
    }
}

/// Certifies what a tail covers, and keeps it if that is something.
fn settle(claims: &mut [Claim], tail: &Tail, tails: &mut Vec<Tail>) {
    let mut used = false;
    for claim in claims {
        if claim.certifiable() && tail.covers(claim.beta_upper()) {
            used |= claim.tail(tail.t);
        }
    }
    if used {
        tails.push(tail.clone());
    }
}

/// Makes the midpoints the computed orbit's next point; what is dropped is delta_t of Theorem 2.
fn drop_radii<const L: usize>(motion: &mut impl Motion<Fixed<L>>) -> Size {
    let mut squares = 0.0;
    motion.change(|weight| {
        let (exact, radius) = weight.split();
        *weight = exact;
        squares += radius * radius;
    });
    // The squares are not negative and far fewer than 2^30 of them are added.
    let norm = (squares * (1.0 + 1.0 / (1u64 << 20) as f64))
        .sqrt()
        .next_up();
    Size::new(
        if squares == 0.0 { 0.0 } else { norm },
        -(Fixed::<L>::BITS as i64),
    )
}

/// |r| at the weights held.
fn residual_norm<const L: usize>(motion: &impl Motion<Fixed<L>>) -> Interval {
    norm(motion.residual().iter().map(|r| r.near()))
}

/// An upper bound of the distance of the weights to a point.
fn away<const L: usize>(motion: &impl Motion<Fixed<L>>, point: &[f64]) -> f64 {
    let differences = motion
        .weights()
        .zip(point)
        .map(|(&weight, &x)| (weight - Fixed::from_f64(x)).near());
    norm(differences).upper()
}

/// The f64 point next to the weights.
fn nearest<const L: usize>(motion: &impl Motion<Fixed<L>>) -> Vec<f64> {
    motion.weights().map(|weight| weight.value()).collect()
}

/// A window that holds the ball of radius `error` around the weights: the present one, the next, or a new one.
fn hold<'w, const L: usize>(
    model: &impl Model,
    motion: &impl Motion<Fixed<L>>,
    windows: &'w mut Windows,
    at: &mut usize,
    error: f64,
    eta: f64,
) -> Option<&'w Window> {
    let inside =
        |window: &Window| (away(motion, &window.centre) + error).next_up() <= window.radius;
    for next in [*at, *at + 1] {
        if windows.all.get(next).is_some_and(inside) {
            *at = next;
            return windows.all.get(next);
        }
    }
    windows.open(model, nearest(motion), eta);
    *at = windows.all.len() - 1;
    windows.all.last().filter(|window| inside(window))
}
