//! How rough a surface is, in numbers that compare across surfaces.

use super::Surface;
use serde::{Deserialize, Serialize};

/// A surface in numbers. Points that are not finite, and what needs them, are left out; a number that then
/// rests on nothing is `None`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Roughness {
    /// Smallest finite loss.
    pub lowest: Option<f64>,
    /// Largest finite loss.
    pub highest: Option<f64>,
    /// Points whose loss is not finite.
    pub not_finite: usize,
    /// Share of the inner points at which the surface is not convex: the 2 x 2 matrix of second differences has a
    /// negative eigenvalue, beyond what rounding can do.
    pub non_convex: Option<f64>,
    /// Inner points below all eight neighbours, beyond what rounding can do.
    pub local_minima: Option<usize>,
    /// Total variation relative to the range: the mean over all grid lines in both directions of sum |f_(i+1) - f_i|, divided
    /// by highest - lowest. A bowl has at most 2.
    pub variation: Option<f64>,
}

impl Roughness {
    /// Of a surface whose losses are known up to `noise` relative to them.
    pub fn of(surface: &Surface, noise: f64) -> Self {
        let size = surface.grid.size;
        let range = surface.range();
        let inner = 1..size.max(1) - 1;
        let stencils: Vec<[[f64; 3]; 3]> = inner
            .clone()
            .flat_map(|i| inner.clone().map(move |j| (i, j)))
            .map(|(i, j)| [0, 1, 2].map(|a| [0, 1, 2].map(|b| surface.loss(i + a - 1, j + b - 1))))
            .filter(|stencil| stencil.iter().flatten().all(|f| f.is_finite()))
            .collect();
        let count = |of: fn(&[[f64; 3]; 3], f64) -> bool| {
            let found = stencils.iter().filter(|stencil| {
                let largest = stencil
                    .iter()
                    .flatten()
                    .fold(0.0, |m: f64, f| m.max(f.abs()));
                of(stencil, noise * largest + UNDERFLOW)
            });
            (!stencils.is_empty()).then(|| found.count())
        };
        let line = |at: &dyn Fn(usize) -> f64| -> Option<f64> {
            let steps = (1..size).map(|i| (at(i) - at(i - 1)).abs());
            let sum = steps.sum::<f64>();
            sum.is_finite().then_some(sum)
        };
        let lines: Vec<f64> = (0..size)
            .flat_map(|l| [line(&|i| surface.loss(i, l)), line(&|i| surface.loss(l, i))])
            .flatten()
            .collect();
        let variation = range.and_then(|(low, high)| {
            let mean = lines.iter().sum::<f64>() / lines.len() as f64;
            (high > low && !lines.is_empty()).then_some(mean / (high - low))
        });
        Roughness {
            lowest: range.map(|r| r.0),
            highest: range.map(|r| r.1),
            not_finite: surface.losses.iter().filter(|f| !f.is_finite()).count(),
            non_convex: count(non_convex).map(|n| n as f64 / stencils.len() as f64),
            local_minima: count(is_minimum),
            variation,
        }
    }
}

/// Losses this small are sums of squares that underflow.
const UNDERFLOW: f64 = 1e-320;

/// With errors up to e in f: each second difference is off by 4 e, the mixed one by e, an eigenvalue by 5 e.
fn non_convex(f: &[[f64; 3]; 3], e: f64) -> bool {
    let xx = f[2][1] - 2.0 * f[1][1] + f[0][1];
    let yy = f[1][2] - 2.0 * f[1][1] + f[1][0];
    let xy = 0.25 * (f[2][2] - f[2][0] - f[0][2] + f[0][0]);
    let least = 0.5 * (xx + yy) - (0.5 * (xx - yy)).hypot(xy);
    least < -5.0 * e
}

fn is_minimum(f: &[[f64; 3]; 3], e: f64) -> bool {
    let around = f.iter().flatten().enumerate().filter(|(i, _)| *i != 4);
    around.into_iter().all(|(_, g)| *g > f[1][1] + 2.0 * e)
}
