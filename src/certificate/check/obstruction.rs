//! Softmax attention with W^V fixed: where no W^Q and W^K bring the loss below a positive number.

use super::ball::{Ball, ball, sum};
use super::point::Point;
use crate::problem::{Dims, Instance};

/// A lower bound on f for every W^Q and W^K. Softmax rows are convex weights, so output (i, k, c) lies between
/// sum_h min_j u_hijc and sum_h max_j u_hijc, and f >= 1/2 sum_ikc (distance of y_ikc to that interval)^2.
pub(super) fn hull_loss(at: &Point) -> Ball {
    let Dims { N, n, H, p, .. } = at.dims;
    let end = |i: usize, c: usize, pick: fn(Ball, Ball) -> Ball| {
        sum(H, |h| {
            let column = at.heads[h][i].u.column(c);
            column.iter().copied().reduce(pick).unwrap_or(ball(0.0))
        })
    };
    let squares = (0..N * p).map(|a| {
        let (i, c) = (a / p, a % p);
        let (low, high) = (end(i, c, Ball::min), end(i, c, Ball::max));
        sum(n, |k| {
            let y = ball(at.instance.y()[i][(k, c)]);
            let distance = (low - y).max(y - high).max(ball(0.0));
            distance * distance
        })
    });
    squares.sum::<Ball>() / ball(2.0)
}

/// Whether u_hij is the same for every j by structure: every feature of X that varies within some sample is read, by
/// W^V_h, through a zero row only, or the head has W^O_h = 0. Then the outputs do not depend on W^Q or W^K.
pub(super) fn values_ignore_token(instance: &Instance) -> bool {
    let W = instance.W();
    let varies = |e: usize| {
        let column = |x: &nalgebra::DMatrix<f64>| x.column(e).iter().any(|v| *v != x[(0, e)]);
        instance.X().iter().any(column)
    };
    (0..instance.dims().H)
        .filter(|&h| W.O[h].iter().any(|o| *o != 0.0))
        .all(|h| {
            (0..instance.dims().D).all(|e| W.V[h].row(e).iter().all(|v| *v == 0.0) || !varies(e))
        })
}
