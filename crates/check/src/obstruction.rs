//! Softmax attention with W^V fixed: where no W^Q and W^K bring the loss below a positive number.

use super::ball::{Ball, ball, sum};
use super::certificate::{Kernel, Obstructed, Reason};
use super::claims::{Answer, Proof, Site, require};
use super::files::{Files, read};
use super::instance::{Dims, Instance};
use super::matrix::Matrix;
use super::point::Point;

/// The signs of what both kinds of obstruction state.
pub(crate) fn signs(loss: f64, margin: f64) -> Proof {
    require(loss > 0.0 && loss.is_finite(), || {
        format!("loss_lower = {loss:?} is not a positive number")
    })?;
    require(margin >= 0.0 && margin.is_finite(), || {
        format!("margin = {margin:?} is negative or not finite")
    })
}

pub(crate) fn obstructed(c: &Obstructed, files: &Files) -> Proof {
    signs(c.loss_lower, c.margin)?;
    require(c.kernel == Kernel::Softmax, || "only softmax attention is obstructed".to_owned())?;
    require(!c.trained.flags()[2], || "with W^V trained nothing obstructs".to_owned())?;
    let instance = read(&c.instance, c.kernel, files)?;
    let site = Site::new(&instance);
    let hull = |at: &Point| {
        Answer::at_most("loss_lower", ball(c.loss_lower), "the hull bound", hull_loss(at))
    };
    hull(site.fast()).or(|| hull(site.precise())).proof()?;
    require(c.reason == Reason::Hull || values_ignore_token(&instance), || {
        "reason = zero_gradient, but W^V reads a feature that varies over tokens".to_owned()
    })
}

/// A lower bound on f for every W^Q and W^K. Softmax rows are convex weights, so output (i, k, c)
/// lies between sum_h min_j u_hijc and sum_h max_j u_hijc, and f >= 1/2 sum_ikc (distance of y_ikc
/// to that interval)^2.
pub(crate) fn hull_loss(at: &Point) -> Ball {
    let Dims { N, n, H, p, .. } = at.dims;
    let end = |i: usize, c: usize, pick: fn(Ball, Ball) -> Ball| {
        sum(H, |h| {
            let column = at.heads[h][i].u.column(c);
            column.reduce(pick).unwrap_or(Ball::ZERO)
        })
    };
    let squares = (0..N * p).map(|a| {
        let (i, c) = (a / p, a % p);
        let (low, high) = (end(i, c, Ball::min), end(i, c, Ball::max));
        sum(n, |k| {
            let y = ball(at.instance.y[i][(k, c)]);
            let distance = (low - y).max(y - high).max(Ball::ZERO);
            distance * distance
        })
    });
    squares.sum::<Ball>() / ball(2.0)
}

/// Whether u_hij is the same for every j by structure: every feature of X that varies within some
/// sample is read, by W^V_h, through a zero row only, or the head has W^O_h = 0. Then the outputs
/// do not depend on W^Q or W^K.
pub(crate) fn values_ignore_token(instance: &Instance) -> bool {
    let zero = |row: &[f64]| row.iter().all(|x| *x == 0.0);
    let varies = |e: usize| {
        let in_sample = |x: &Matrix<f64>| x.column(e).any(|v| v != x[(0, e)]);
        instance.X.iter().any(in_sample)
    };
    let Dims { D, H, .. } = instance.dims;
    (0..H)
        .filter(|&h| !zero(&instance.W_O[h].data))
        .all(|h| (0..D).all(|e| zero(instance.W_V[h].row(e)) || !varies(e)))
}
