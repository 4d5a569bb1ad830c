//! The hull bound: where no choice of W^Q and W^K can bring a softmax model to zero loss.

use crate::model::{Head, Kernel, Trained};
use crate::problem::{Dims, Instance};
use gdcert_numbers::gamma;
use serde::{Deserialize, Serialize};

/// Why the loss can not reach 0, with a lower bound on every loss reachable by the trained blocks.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Obstruction {
    /// `hull` or `zero_gradient`.
    pub reason: Reason,
    /// No reachable loss is below this number, which is positive; evaluation error included.
    pub loss_lower: f64,
}

/// The two forms of the softmax obstruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The labels leave the hull of the values.
    Hull,
    /// The values do not depend on the token, so the output does not depend on W^Q or W^K.
    ZeroGradient,
}

/// f_hull, the hull bound: softmax rows are convex weights, so output (i, k, c) lies in
/// [sum_h min_j u_hijc, sum_h max_j u_hijc] for every W^Q and W^K, and
/// f >= f_hull = 1/2 sum dist(y_ikc, interval)^2. `None` for the Gaussian kernel, whose weights do not sum to 1.
pub fn f_hull(instance: &Instance) -> Option<f64> {
    (instance.kernel() == Kernel::Softmax).then(|| hull_distance(instance, 0.0))
}

/// 1/2 the squared distance of the labels to the hulls, each widened on both sides by `margin` times
/// |X_i|_F sum_h |W^V_h|_F |W^O_h|_F, and by what underflow can do.
fn hull_distance(instance: &Instance, margin: f64) -> f64 {
    let Dims { N, n, H, p, .. } = instance.dims();
    let W = instance.W();
    let sizes: f64 = W.V.iter().zip(&W.O).map(|(v, o)| norm(v) * norm(o)).sum();
    let mut sum = 0.0;
    for i in 0..N {
        let (X, y) = (&instance.X()[i], &instance.y()[i]);
        let widen = margin * norm(X) * sizes + underflow(instance, X.amax(), margin);
        let (mut low, mut high) = (vec![-widen; p], vec![widen; p]);
        for h in 0..H {
            let u = Head::new(instance, W, i, h).u;
            for c in 0..p {
                low[c] += u.column(c).min();
                high[c] += u.column(c).max();
            }
        }
        for k in 0..n {
            for c in 0..p {
                let outside = (low[c] - y[(k, c)]).max(y[(k, c)] - high[c]).max(0.0);
                sum += outside * outside;
            }
        }
    }
    0.5 * sum
}

/// The obstruction, if there is one: softmax, trained blocks within {Q, K}, and a hull bound that
/// stays positive when the intervals are widened by their evaluation error.
///
/// u_j is a sum of D d products with at most D + d roundings each, and H of them are added, so an
/// interval's ends are off by at most gamma_{D+d+H+2} xi sum_h |W^V_h| |W^O_h|, xi <= |X_i|_F the largest token norm. The squared distances are added
/// up with relative error gamma_{m+4}, and exact u equal over j make f_hull = f_0.
pub(crate) fn obstruction(instance: &Instance, trained: Trained) -> Option<Obstruction> {
    if instance.kernel() != Kernel::Softmax || trained.v() {
        return None;
    }
    let Dims { D, d, H, .. } = instance.dims();
    let margin = 2.0 * gamma(D + d + H + 2);
    let distance = hull_distance(instance, margin);
    let loss_lower = distance * (1.0 - 2.0 * gamma(instance.dims().m() + 4));
    let reason = if values_ignore_token(instance) {
        Reason::ZeroGradient
    } else {
        Reason::Hull
    };
    (loss_lower > 0.0).then_some(Obstruction { reason, loss_lower })
}

/// |a|_F, scaled so that no square overflows, and none that matters underflows.
fn norm(a: &nalgebra::DMatrix<f64>) -> f64 {
    match a.amax() {
        0.0 => 0.0,
        largest => largest * (a / largest).norm(),
    }
}

/// What underflow can add to the error of sum_h u_h: at most 2^-1074 in each of the H D d products
/// of W^V W^O, times an entry of X, and again in the H D products with X. 0 if no margin is asked for.
fn underflow(instance: &Instance, x: f64, margin: f64) -> f64 {
    if margin == 0.0 {
        return 0.0;
    }
    let Dims { D, d, H, .. } = instance.dims();
    (H * D * d) as f64 * (1.0 + x) * f64::MIN_POSITIVE
}

/// Whether u_hij is the same for all j by structure, in exact arithmetic: every feature of X_i that
/// varies over tokens is read by zero rows of W^V only (or n = 1, or W^O_h = 0).
fn values_ignore_token(instance: &Instance) -> bool {
    let Dims { D, .. } = instance.dims();
    let varies = |e: usize| {
        let differs = |x: &nalgebra::DMatrix<f64>| x.column(e).iter().any(|v| *v != x[(0, e)]);
        instance.X().iter().any(differs)
    };
    let W = instance.W();
    let read = |e: usize| {
        W.V.iter()
            .zip(&W.O)
            .any(|(v, o)| v.row(e).iter().any(|w| *w != 0.0) && o.iter().any(|w| *w != 0.0))
    };
    (0..D).all(|e| !read(e) || !varies(e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Init;

    #[test]
    fn constant_values_are_an_obstruction_for_softmax_alone() {
        let dims = Dims {
            N: 2,
            n: 3,
            D: 6,
            d: 3,
            H: 2,
            p: 1,
        };
        let init = Init::ConstantValue { s: 2.0 };
        let softmax = Instance::random(dims, Kernel::Softmax, init, 3).unwrap();
        let found = obstruction(&softmax, Trained::Q).unwrap();
        assert_eq!(found.reason, Reason::ZeroGradient);
        let f0: f64 = softmax.y().iter().map(|y| 0.5 * y.norm_squared()).sum();
        assert!(found.loss_lower <= f0 && found.loss_lower > f0 * (1.0 - 1e-12));
        assert_eq!(obstruction(&softmax, Trained::QKV), None);
        let gaussian = softmax.with_kernel(Kernel::Gaussian);
        assert_eq!(obstruction(&gaussian, Trained::Q), None);
    }
}
