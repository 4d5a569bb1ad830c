//! The hull bound: where no choice of W^Q and W^K can bring a softmax model to zero loss.

use crate::model::{Kernel, Trained, product};
use crate::problem::{Dims, Instance};
use gdcert_numbers::{Bound, Interval, Scalar};
use nalgebra::DMatrix;
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
/// f >= f_hull = 1/2 sum dist(y_ikc, interval)^2. Rounded downwards: what overflows, or is hidden by rounding, counts 0.
/// `None` for the Gaussian kernel, whose weights do not sum to 1.
pub fn f_hull(instance: &Instance) -> Option<f64> {
    (instance.kernel() == Kernel::Softmax).then(|| hull_distance(instance).lo().max(0.0))
}

/// 1/2 the squared distance of the labels to the hulls.
fn hull_distance(instance: &Instance) -> Interval {
    let Dims { N, n, H, p, .. } = instance.dims();
    let W = instance.W();
    let [zero, half] = [0.0, 0.5].map(Interval::from_f64);
    let exact = |a: &DMatrix<f64>| a.map(Interval::from_f64);
    let values: Vec<_> = (0..H)
        .map(|h| product(&exact(&W.V[h]), &exact(&W.O[h])))
        .collect();
    let mut sum = zero;
    for i in 0..N {
        let X = exact(&instance.X()[i]);
        let (mut low, mut high) = (vec![zero; p], vec![zero; p]);
        for values in &values {
            let u = product(&X, values);
            for (c, u) in u.column_iter().enumerate() {
                let end = |pick: fn(Interval, Interval) -> Interval| {
                    u.iter().copied().reduce(pick).unwrap_or(zero)
                };
                low[c] += end(Bound::min);
                high[c] += end(Bound::max);
            }
        }
        for k in 0..n {
            for c in 0..p {
                let y = Interval::from_f64(instance.y()[i][(k, c)]);
                let outside = Bound::max(Bound::max(low[c] - y, y - high[c]), zero);
                sum += outside.square();
            }
        }
    }
    sum * half
}

/// The obstruction, if there is one: softmax, trained blocks within {Q, K}, and a hull bound that is positive in interval
/// arithmetic. Exact u equal over j make f_hull = f_0.
pub(crate) fn obstruction(instance: &Instance, trained: Trained) -> Option<Obstruction> {
    if instance.kernel() != Kernel::Softmax || trained.v() {
        return None;
    }
    let loss_lower = hull_distance(instance).lo();
    let reason = if values_ignore_token(instance) {
        Reason::ZeroGradient
    } else {
        Reason::Hull
    };
    (loss_lower > 0.0).then_some(Obstruction { reason, loss_lower })
}

/// Whether J = 0 by structure, in exact arithmetic, at the instance's weights: then no step of gradient descent moves anything.
pub(crate) fn nothing_moves(instance: &Instance, trained: Trained) -> bool {
    if trained.v() {
        let zero = |a: &[DMatrix<f64>]| a.iter().all(|a| a.iter().all(|x| *x == 0.0));
        return zero(instance.X()) || zero(&instance.W().O);
    }
    match instance.kernel() {
        Kernel::Softmax => values_ignore_token(instance),
        // u = 0.
        Kernel::Gaussian => only_read(instance, |column| column.iter().all(|x| *x == 0.0)),
    }
}

/// Whether u_hij is the same for all j by structure, in exact arithmetic: every feature of X_i that
/// varies over tokens is read by zero rows of W^V only (or n = 1, or W^O_h = 0).
fn values_ignore_token(instance: &Instance) -> bool {
    only_read(instance, |column| column.iter().all(|x| *x == column[0]))
}

/// Whether the values read no other features (columns of X_i) than those that are `harmless` in every sample.
fn only_read(instance: &Instance, harmless: impl Fn(&[f64]) -> bool) -> bool {
    let W = instance.W();
    let read = |e: usize| {
        W.V.iter()
            .zip(&W.O)
            .any(|(v, o)| v.row(e).iter().any(|w| *w != 0.0) && o.iter().any(|w| *w != 0.0))
    };
    let n = instance.dims().n;
    (0..instance.dims().D).all(|e| {
        let column = |X: &DMatrix<f64>| harmless(&X.as_slice()[e * n..(e + 1) * n]);
        !read(e) || instance.X().iter().all(column)
    })
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

    /// What is wrong with each of these in plain f64: a square that rounds up from below the smallest number, and
    /// u = inf - inf, a NaN that min and max drop.
    #[test]
    fn what_underflows_or_overflows_obstructs_nothing() {
        let dims = Dims {
            N: 1,
            n: 2,
            D: 2,
            d: 1,
            H: 1,
            p: 1,
        };
        let drawn = Instance::random(dims, Kernel::Softmax, Init::Lecun, 0).unwrap();
        let with = |x: [f64; 4], y: [f64; 2], v: [f64; 2], o: f64| {
            let mut W = drawn.W().clone();
            W.V[0] = DMatrix::from_column_slice(2, 1, &v);
            W.O[0] = DMatrix::from_element(1, 1, o);
            let X = vec![DMatrix::from_row_slice(2, 2, &x)];
            let y = vec![DMatrix::from_column_slice(2, 1, &y)];
            Instance::new(Kernel::Softmax, X, y, W).unwrap()
        };
        // Outside by 1.9e-162: 1/2 of its square is 1.8e-324, which is no f64 but rounds to 5e-324.
        let tiny = with([0.0; 4], [1.9e-162, 0.0], [1.0, 1.0], 1.0);
        assert_eq!(obstruction(&tiny, Trained::Q), None);
        // u = 1e200 (1e200 - 1e200) = 0 exactly for the first token, 1e200 for the second: y lies between.
        let huge = with([1e200, -1e200, 1.0, 0.0], [1.0, 1.0], [1e200, 1e200], 1.0);
        assert_eq!(obstruction(&huge, Trained::Q), None);
        assert_eq!(f_hull(&huge), Some(0.0));
    }

    #[test]
    fn nothing_moves_where_the_jacobian_is_0_by_structure() {
        let dims = Dims {
            N: 2,
            n: 3,
            D: 6,
            d: 3,
            H: 2,
            p: 1,
        };
        let draw = |kernel, init| Instance::random(dims, kernel, init, 3).unwrap();
        let constant = Init::ConstantValue { s: 2.0 };
        assert!(nothing_moves(&draw(Kernel::Softmax, constant), Trained::Q));
        assert!(!nothing_moves(
            &draw(Kernel::Softmax, constant),
            Trained::QKV
        ));
        assert!(!nothing_moves(
            &draw(Kernel::Gaussian, constant),
            Trained::Q
        ));
        let lazy = Init::Lazy { omega: 2.0 };
        for kernel in [Kernel::Softmax, Kernel::Gaussian] {
            assert!(nothing_moves(&draw(kernel, lazy), Trained::Q));
            assert!(!nothing_moves(&draw(kernel, lazy), Trained::QKV));
            assert!(!nothing_moves(&draw(kernel, Init::Lecun), Trained::Q));
        }
    }
}
