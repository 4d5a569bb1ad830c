//! Residual, gradient and Jacobian of the whole model, generic over [`Scalar`].
//!
//! Residual (i, k, c) (sample, query token, output) has index (i n + k) p + c. Parameters are
//! ordered by block Q, K, V (trained ones only), then head, then column by column of the D x d matrix.

use super::head::product;
use super::{Head, Trained};
use crate::problem::{Dims, Instance, Weights};
use gdcert_numbers::Scalar;
use nalgebra::DMatrix;

/// r = vec(MH(M; X_i) - y_i), length m = N n p. The loss is f = |r|^2 / 2.
///
/// `W` has the instance's shapes (`instance.W()` for the residual at M_0).
///
/// ```
/// use gdcert::{model, Dims, Init, Instance, Kernel};
/// let dims = Dims { N: 2, n: 3, D: 4, d: 2, H: 2, p: 1 };
/// let instance = Instance::random(dims, Kernel::Gaussian, Init::Paired { s: 1.0 }, 7)?;
/// let r = model::residual(&instance, instance.W());
/// assert_eq!(r[0], -instance.y()[0][(0, 0)]); // paired heads cancel: the output is 0
/// # Ok::<(), gdcert::Error>(())
/// ```
pub fn residual<T: Scalar>(instance: &Instance, W: &Weights<T>) -> Vec<T> {
    let dims = instance.dims();
    let mut r = Vec::with_capacity(dims.m());
    for i in 0..dims.N {
        let heads: Vec<_> = (0..dims.H).map(|h| Head::new(instance, W, i, h)).collect();
        r.extend(sample_residual(instance, &heads, i));
    }
    r
}

/// The residuals of one sample, in order (k, c).
fn sample_residual<T: Scalar>(instance: &Instance, heads: &[Head<T>], i: usize) -> Vec<T> {
    let y = &instance.y()[i];
    let mut r = Vec::with_capacity(y.len());
    for k in 0..y.nrows() {
        for c in 0..y.ncols() {
            let mut out = T::from_f64(0.0);
            for head in heads {
                out += head.output[(k, c)];
            }
            r.push(out - T::from_f64(y[(k, c)]));
        }
    }
    r
}

/// The gradient of f with respect to W^Q, W^K and W^V (the O part of the result is empty):
/// J' r, formed without J.
pub fn gradient<T: Scalar>(instance: &Instance, W: &Weights<T>) -> Weights<T> {
    let Dims { N, n, D, d, H, p } = instance.dims();
    let zero = || vec![DMatrix::from_element(D, d, T::from_f64(0.0)); H];
    let mut g = Weights {
        Q: zero(),
        K: zero(),
        V: zero(),
        O: Vec::new(),
    };
    for i in 0..N {
        let X = instance.X()[i].map(T::from_f64);
        let heads: Vec<_> = (0..H).map(|h| Head::new(instance, W, i, h)).collect();
        let r = sample_residual(instance, &heads, i);
        for (h, head) in heads.iter().enumerate() {
            let mut dq = DMatrix::from_element(n, d, T::from_f64(0.0));
            let mut dkappa = dq.clone();
            let mut du = DMatrix::from_element(n, p, T::from_f64(0.0));
            for k in 0..n {
                for c in 0..p {
                    let r_kc = r[k * p + c];
                    for (a, g) in head.query_gradient(k, c).into_iter().enumerate() {
                        dq[(k, a)] += r_kc * g;
                    }
                    for j in 0..n {
                        let w = r_kc * head.weight(k, c, j);
                        for a in 0..d {
                            dkappa[(j, a)] += w * head.key_direction(k, j, a);
                        }
                        du[(j, c)] += head.S[(k, j)] * r_kc;
                    }
                }
            }
            let Xt = X.transpose();
            accumulate(&mut g.Q[h], &product(&Xt, &dq));
            accumulate(&mut g.K[h], &product(&Xt, &dkappa));
            accumulate(
                &mut g.V[h],
                &product(&product(&Xt, &du), &W.O[h].transpose()),
            );
        }
    }
    g
}

fn accumulate<T: Scalar>(sum: &mut DMatrix<T>, term: &DMatrix<T>) {
    for (s, t) in sum.iter_mut().zip(term.iter()) {
        *s += *t;
    }
}

/// J = dr/dM over the trained blocks, m x (number of trained blocks) H D d, in the module's order.
///
/// Rows of the query block are x_k (x) dq, of the key block sum_j x_j (x) dkappa_j, of the value
/// block (sum_j S_kj x_j) (x) W^O_c.
pub fn jacobian<T: Scalar>(instance: &Instance, W: &Weights<T>, trained: Trained) -> DMatrix<T> {
    let Dims { N, n, D, d, H, p } = instance.dims();
    let blocks = trained.flags().into_iter().filter(|&on| on).count();
    let mut J = DMatrix::from_element(N * n * p, blocks * H * D * d, T::from_f64(0.0));
    for i in 0..N {
        let X = instance.X()[i].map(T::from_f64);
        for h in 0..H {
            let head = Head::new(instance, W, i, h);
            let mut first = h * D * d;
            for (block, on) in trained.flags().into_iter().enumerate() {
                if !on {
                    continue;
                }
                for k in 0..n {
                    for c in 0..p {
                        let row = match block {
                            0 => query_row(&X, &head, k, c),
                            1 => key_row(&X, &head, k, c),
                            _ => value_row(&X, &head, &W.O[h], k, c),
                        };
                        let a = (i * n + k) * p + c;
                        for (l, &entry) in row.iter().enumerate() {
                            J[(a, first + l)] = entry;
                        }
                    }
                }
                first += H * D * d;
            }
        }
    }
    J
}

/// d(output_kc) / dW^Q_h, D x d.
fn query_row<T: Scalar>(X: &DMatrix<T>, head: &Head<T>, k: usize, c: usize) -> DMatrix<T> {
    let g = head.query_gradient(k, c);
    DMatrix::from_fn(X.ncols(), g.len(), |e, a| X[(k, e)] * g[a])
}

/// d(output_kc) / dW^K_h, D x d.
fn key_row<T: Scalar>(X: &DMatrix<T>, head: &Head<T>, k: usize, c: usize) -> DMatrix<T> {
    let (n, d) = head.q.shape();
    let weighted = DMatrix::from_fn(n, d, |j, a| {
        head.weight(k, c, j) * head.key_direction(k, j, a)
    });
    product(&X.transpose(), &weighted)
}

/// d(output_kc) / dW^V_h, D x d.
fn value_row<T: Scalar>(
    X: &DMatrix<T>,
    head: &Head<T>,
    W_O: &DMatrix<T>,
    k: usize,
    c: usize,
) -> DMatrix<T> {
    let SX = product(&head.S.rows(k, 1).into_owned(), X);
    DMatrix::from_fn(X.ncols(), W_O.nrows(), |e, a| SX[(0, e)] * W_O[(a, c)])
}
