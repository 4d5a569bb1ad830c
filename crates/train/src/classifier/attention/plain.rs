//! The formulas as they stand, one row of weights at a time, in any precision: for f64, and as the
//! yardstick of the fused kernels.

use super::{Attention, Gradient};
use crate::classifier::Real;
use gdcert_base::Kernel;

/// See [`super::forward`].
pub(crate) fn forward<T: Real>(problem: &Attention<T>, out: &mut [T], lse: &mut [T]) {
    let width = problem.width();
    let mut weights = Vec::new();
    for (sample, head) in problem.pairs() {
        let columns = head * problem.p..(head + 1) * problem.p;
        for i in sample.queries.clone() {
            lse[i * problem.heads + head] =
                row(problem, i, head, sample.keys.clone(), &mut weights);
            let out = &mut out[i * width..][columns.clone()];
            out.fill(T::default());
            for &(j, weight) in &weights {
                for (o, &v) in out.iter_mut().zip(problem.v.row(j, columns.clone())) {
                    *o += weight * v;
                }
            }
        }
    }
}

/// See [`super::backward`].
pub(crate) fn backward<T: Real>(problem: &Attention<T>, dout: &[T], gradient: Gradient<T>) {
    let width = problem.width();
    let scale = T::from_f64((problem.p as f64).sqrt().recip());
    let Gradient {
        values: d,
        stride,
        q: dq,
        k: dk,
        v: dv,
    } = gradient;
    let mut weights = Vec::new();
    for (sample, head) in problem.pairs() {
        let columns = head * problem.p..(head + 1) * problem.p;
        for j in sample.keys.clone() {
            d[dk + j * stride..][columns.clone()].fill(T::default());
            d[dv + j * stride..][columns.clone()].fill(T::default());
        }
        for i in sample.queries.clone() {
            row(problem, i, head, sample.keys.clone(), &mut weights);
            let dout = &dout[i * width..][columns.clone()];
            let q = problem.q.row(i, columns.clone());
            let products: Vec<T> = weights
                .iter()
                .map(|&(j, _)| dot(dout, problem.v.row(j, columns.clone())))
                .collect();
            let mean = match problem.kernel {
                Kernel::Softmax => weights
                    .iter()
                    .zip(&products)
                    .fold(T::default(), |sum, (&(_, s), &p)| sum + s * p),
                Kernel::Gaussian => T::default(),
            };
            d[dq + i * stride..][columns.clone()].fill(T::default());
            for (&(j, s), &product) in weights.iter().zip(&products) {
                let k = problem.k.row(j, columns.clone());
                let dscore = scale * s * (product - mean);
                for a in 0..problem.p {
                    let (to_q, to_k) = match problem.kernel {
                        Kernel::Softmax => (k[a], q[a]),
                        Kernel::Gaussian => (k[a] - q[a], q[a] - k[a]),
                    };
                    let at = head * problem.p + a;
                    d[dq + i * stride + at] += dscore * to_q;
                    d[dk + j * stride + at] += dscore * to_k;
                    d[dv + j * stride + at] += s * dout[a];
                }
            }
        }
    }
}

/// The weights S_ij of query `i` on the keys that are not masked; returns the logarithm, to base 2, of the
/// softmax's denominator, 0 for the Gaussian.
fn row<T: Real>(
    problem: &Attention<T>,
    i: usize,
    head: usize,
    keys: std::ops::Range<usize>,
    weights: &mut Vec<(usize, T)>,
) -> T {
    let columns = head * problem.p..(head + 1) * problem.p;
    let q = problem.q.row(i, columns.clone());
    let scale = (problem.p as f64).sqrt().recip();
    weights.clear();
    weights.extend(keys.filter(|&j| problem.keeps(j)).map(|j| {
        let k = problem.k.row(j, columns.clone());
        let score = match problem.kernel {
            Kernel::Softmax => dot(q, k) * T::from_f64(scale),
            Kernel::Gaussian => {
                let square = q
                    .iter()
                    .zip(k)
                    .fold(T::default(), |sum, (&q, &k)| sum + (q - k) * (q - k));
                square * T::from_f64(-0.5 * scale)
            }
        };
        (j, score)
    }));
    let exp = |x: T| T::from_f64(libm::exp(x.to_f64()));
    match problem.kernel {
        Kernel::Gaussian => {
            weights.iter_mut().for_each(|(_, s)| *s = exp(*s));
            T::default()
        }
        Kernel::Softmax => {
            let top = weights
                .iter()
                .fold(f64::NEG_INFINITY, |top, (_, s)| top.max(s.to_f64()));
            weights
                .iter_mut()
                .for_each(|(_, s)| *s = exp(*s - T::from_f64(top)));
            let sum = weights.iter().fold(T::default(), |sum, &(_, s)| sum + s);
            weights.iter_mut().for_each(|(_, s)| *s /= sum);
            T::from_f64(top * std::f64::consts::LOG2_E + sum.to_f64().log2())
        }
    }
}

fn dot<T: Real>(x: &[T], y: &[T]) -> T {
    x.iter()
        .zip(y)
        .fold(T::default(), |sum, (&x, &y)| sum + x * y)
}
