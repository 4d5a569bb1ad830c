//! A look ahead in f64: nothing here is a proof about the orbit, but it says how far to go and with how many bits.

use super::claim::Claim;
use super::model::{Model, Run};
use super::tail::{Schedule, Tail};
use super::window::{Windows, expansion};
use crate::descent::{DIVERGED, FLOOR_SHARE};
use crate::{Error, Result};
use std::ops::ControlFlow;

/// What the run in f64 does.
pub(super) struct Forecast {
    /// The tails that were proven around points of the run, t increasing. The orbit has to come within their distance.
    pub tails: Vec<Tail>,
    /// The last step that is needed to settle what the run could settle; of the deciding reading only, and of all.
    pub horizon: [usize; 2],
    /// Why the run ended where it did, if the deciding reading was not settled.
    pub open: Option<&'static str>,
}

/// Runs until every claim is violated, or Theorem A closes at a point of the run with a rate that covers it. The first
/// claim is the deciding one; what would take much longer than it, and more steps than are `cheap`, is not looked for.
pub(super) fn forecast(
    model: &impl Model,
    eta: f64,
    claims: &[Claim],
    limit: usize,
    cheap: usize,
    observe: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<Forecast> {
    let mut run = model.run();
    let mut tails: Vec<Tail> = Vec::new();
    // For each claim the step that settles it on the run.
    let mut settled: Vec<Option<usize>> = vec![None; claims.len()];
    let mut bounds: Vec<f64> = vec![1.0; claims.len()];
    let mut schedule = Schedule::default();
    let (f0, _) = run.evaluate();
    let (mut t, mut loss, mut error) = (0, f0, 0.0);
    let open = loop {
        if observe(t).is_break() {
            return Err(Error::Cancelled);
        }
        if !loss.is_finite() || loss > DIVERGED * f0 {
            break Some("the run in f64 diverges");
        }
        let floor = error >= FLOOR_SHARE * loss;
        // Once the deciding reading is settled the others may take a few times as long, or as long as is cheap.
        let patience = settled[0].map_or(limit, |first| limit.min((4 * first + 200).max(cheap)));
        let wanted = settled.iter().position(Option::is_none);
        if let Some(wanted) = wanted
            && (schedule.due(t, loss) || t >= patience || floor)
        {
            let beta = claims[wanted].beta_upper();
            let weights = if t == 0 { None } else { Some(run.weights()) };
            match Tail::find(model, t, weights, 0.0, eta, beta)? {
                Ok(tail) => {
                    for (settled, claim) in settled.iter_mut().zip(claims) {
                        if settled.is_none() && tail.covers(claim.beta_upper()) {
                            *settled = Some(t);
                        }
                    }
                    tails.push(tail);
                    schedule.wait(t, loss);
                }
                Err(share) => schedule.failed(t, loss, share),
            }
        }
        if settled.iter().all(Option::is_some) {
            break None;
        }
        if t >= patience || floor {
            break match settled[0] {
                Some(_) => None,
                None if floor => Some("the loss of the run in f64 reaches its rounding floor"),
                None => Some("Theorem A does not close on the run in f64 up to the limit"),
            };
        }
        run.step(eta);
        (loss, error) = run.evaluate();
        t += 1;
        for ((bound, settled), claim) in bounds.iter_mut().zip(&mut settled).zip(claims) {
            *bound *= 1.0 - eta * claim.beta_upper();
            if settled.is_none() && loss - error > *bound * f0 * (1.0 + 1e-5) {
                *settled = Some(t);
            }
        }
    };
    let deciding = settled[0].unwrap_or(t);
    let all = settled.iter().flatten().copied().max().unwrap_or(0);
    Ok(Forecast {
        tails,
        horizon: [deciding, all.max(deciding)],
        open,
    })
}

/// log2 of the growth of errors up to each step, along the run in f64, and the windows that it went through.
pub(super) fn growth(
    model: &impl Model,
    eta: f64,
    horizon: usize,
    windows: &mut Windows,
    observe: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<Vec<f64>> {
    let mut run = model.run();
    let mut log2 = 0.0;
    let mut all = vec![0.0];
    for t in 0..horizon {
        if observe(t).is_break() {
            return Err(Error::Cancelled);
        }
        let (loss, _) = run.evaluate();
        let weights = run.weights();
        let inside = windows
            .all
            .last()
            .filter(|window| distance(&weights, &window.centre) <= window.radius);
        let window = match inside {
            Some(window) => window,
            None => windows.open(model, weights, eta),
        };
        log2 += expansion(eta, window.jacobian, (2.0 * loss).sqrt(), window.curvature).log2();
        all.push(log2);
        run.step(eta);
    }
    Ok(all)
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    let squares = a.iter().zip(b).map(|(a, b)| (a - b) * (a - b));
    squares.sum::<f64>().sqrt()
}
