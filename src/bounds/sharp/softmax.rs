//! H(rho) for softmax attention.

use super::norm::{gram, moment, row, weighted};
use super::{Data, Entries, is_zero};
use crate::bounds::Blocks;
use crate::model::{Head, Trained};
use crate::problem::{Dims, Instance};
use gdcert_numbers::Bound;
use nalgebra::DMatrix;

/// Central moments of every attention row s = S_k. at the centre, as upper bounds on their norms, and
/// the diameters that bound how they change.
///
/// Over the box, two scores of row k change relative to each other by at most
///
/// ```text
/// spread = (|x_k| rho_Q D_kappa + |q_k| rho_K D_x + |x_k| rho_Q rho_K D_x) / sqrt(d),   sigma = e^spread,
/// ```
///
/// with D_x, D_kappa, D_u the diameters of the sample's tokens, keys and values. So weights keep within factors
/// 1/sigma and sigma, variances too, and (V = |Cov(kappa, kappa)|, C = |Cov(x, x)|, v = sqrt(sigma V) + rho_K sqrt(sigma C))
///
/// ```text
/// |Cov(x, x)|     <= sigma C
/// |Cov(kappa, x)| <= |Cov_c(kappa, x)| + (sigma - 1) sqrt(V C) + rho_K sigma C
/// |Cov(x, u)|     <= |Cov_c(x, u)| + (sigma - 1) sqrt(C) D_u / 2 + o rho_V sigma C
/// |M(kappa,kappa,u)| <= |M_c| + 7/4 (sigma - 1) D_u V + o rho_V D_x v^2 + D_u rho_K sqrt(sigma C) (2 sqrt(sigma V) + rho_K sqrt(sigma C))
/// |M(kappa,x,u)|     <= |M_c| + 7/4 (sigma - 1) D_u sqrt(V C) + o rho_V D_x v sqrt(sigma C) + D_u rho_K sigma C
/// |M(x,x,u)|         <= |M_c| + 7/4 (sigma - 1) D_u C + o rho_V D_x sigma C
/// ```
///
/// M the third central moment. With Q(c) = |diag(c) q|_2 + rho_Q |diag(c) X|_2 (q at the centre) and weights c over all
/// tokens, every head has
///
/// ```text
/// QQ: |diag(c) X|, c = |x_k| |M(kappa,kappa,u)| / d
/// QK: |diag(c) X|, c = |q_k| |M(kappa,x,u)| / d + |Cov(x,u)| / sqrt(d)
/// KK: Q(c),        c = |q_k| |M(x,x,u)| / d
/// QV: |diag(c) X|, c = o |Cov(kappa,x)| / sqrt(d)
/// KV: Q(c),        c = o |Cov(x,x)| / sqrt(d)
/// ```
///
/// and H is the maximum over heads.
#[derive(Clone, Debug)]
pub(super) struct Softmax<T: Bound> {
    data: Data<T>,
    heads: Vec<HeadRows<T>>,
    /// D_x of every sample.
    D_x: Vec<T>,
}

#[derive(Clone, Debug)]
struct HeadRows<T: Bound> {
    /// All queries, Nn x d.
    q: DMatrix<T>,
    /// D_kappa and D_u of every sample.
    D_kappa: Vec<T>,
    D_u: Vec<T>,
    /// One entry a token, at i n + k.
    moments: Vec<Moments<T>>,
}

#[derive(Clone, Copy, Debug)]
struct Moments<T> {
    /// |q_k|.
    q: T,
    /// |Cov(kappa, kappa)|, |Cov(kappa, x)|, |Cov(x, x)|, |Cov(x, u)|.
    kk: T,
    kx: T,
    xx: T,
    xu: T,
    /// |M(kappa, kappa, u)|, |M(kappa, x, u)|, |M(x, x, u)|.
    kku: T,
    kxu: T,
    xxu: T,
}

impl<T: Bound> Softmax<T> {
    pub(super) fn new(instance: &Instance, trained: Trained) -> Self {
        let data: Data<T> = Data::new(instance);
        let Dims { N, n, d, H, .. } = data.dims;
        let D_x = (0..N).map(|i| diameter(&data.sample(i))).collect();
        let heads = (0..H)
            .map(|h| {
                let mut rows = HeadRows {
                    q: DMatrix::from_element(N * n, d, T::from_f64(0.0)),
                    D_kappa: Vec::with_capacity(N),
                    D_u: Vec::with_capacity(N),
                    moments: Vec::with_capacity(N * n),
                };
                for (i, head) in data.heads(instance, h).iter().enumerate() {
                    rows.q.rows_mut(i * n, n).copy_from(&head.q);
                    rows.D_kappa.push(diameter(&head.kappa));
                    rows.D_u.push(diameter(&head.u));
                    let X = data.sample(i);
                    let moments = (0..n).map(|k| Moments::new(&X, head, k, trained));
                    rows.moments.extend(moments);
                }
                rows
            })
            .collect();
        Softmax { data, heads, D_x }
    }

    pub(super) fn scale(&mut self, u: T, o: T) {
        for head in &mut self.heads {
            for D_u in &mut head.D_u {
                *D_u = *D_u * u;
            }
            for m in &mut head.moments {
                for value in [&mut m.xu, &mut m.kku, &mut m.kxu, &mut m.xxu] {
                    *value = *value * u;
                }
            }
        }
        for norm in &mut self.data.o {
            *norm = *norm * o;
        }
    }

    pub(super) fn entries(&self, radii: &Blocks<T>, on: Blocks<bool>) -> Entries<T> {
        let heads = (0..self.heads.len()).map(|h| self.head_entries(h, radii, on));
        heads.fold(Entries::zero(), Entries::max)
    }

    fn head_entries(&self, h: usize, radii: &Blocks<T>, on: Blocks<bool>) -> Entries<T> {
        let Data {
            dims, X, x, root_d, ..
        } = &self.data;
        let (root_d, o) = (*root_d, self.data.o[h]);
        let d = T::from_f64(dims.d as f64);
        let head = &self.heads[h];
        let rows: Vec<_> = (0..x.len()).map(|a| self.over_box(h, a, radii)).collect();
        let weights = |c: &dyn Fn(&Moments<T>, T) -> T| -> Vec<T> {
            rows.iter().zip(x).map(|(m, &x)| c(m, x)).collect()
        };
        let by_token = |on: bool, c: &dyn Fn(&Moments<T>, T) -> T| {
            if on {
                weighted(X, &weights(c))
            } else {
                T::from_f64(0.0)
            }
        };
        let by_query = |on: bool, c: &dyn Fn(&Moments<T>, T) -> T| {
            if on {
                weighted(&head.q, &weights(c)) + radii[0] * weighted(X, &weights(c))
            } else {
                T::from_f64(0.0)
            }
        };
        let [q, k, v] = on;
        Entries {
            qq: by_token(q, &|m, x| x * m.kku / d),
            qk: by_token(q && k, &|m, _| m.q * m.kxu / d + m.xu / root_d),
            kk: by_query(k, &|m, _| m.q * m.xxu / d),
            qv: by_token(q && v, &|m, _| o * m.kx / root_d),
            kv: by_query(k && v, &|m, _| o * m.xx / root_d),
        }
    }

    /// The moments of row `a` (sample and query token) over the box.
    fn over_box(&self, h: usize, a: usize, &[rho_Q, rho_K, rho_V]: &Blocks<T>) -> Moments<T> {
        let head = &self.heads[h];
        let i = a / self.data.dims.n;
        let (D_x, D_kappa, D_u) = (self.D_x[i], head.D_kappa[i], head.D_u[i]);
        let (x, o) = (self.data.x[a], self.data.o[h]);
        let m = &head.moments[a];
        let [one, two] = [1.0, 2.0].map(T::from_f64);

        let moved = x * rho_Q;
        let spread = (moved * D_kappa + m.q * rho_K * D_x + moved * rho_K * D_x) / self.data.root_d;
        let sigma = spread.exp();
        let tilt = sigma - one;
        let [dev_k, dev_x] = [m.kk.sqrt(), m.xx.sqrt()];
        let [wide_k, wide_x] = [(sigma * m.kk).sqrt(), (sigma * m.xx).sqrt()];
        let wide_kappa = wide_k + rho_K * wide_x;
        let xx = sigma * m.xx;
        let third = T::from_f64(1.75) * tilt * D_u;
        let du = o * rho_V;
        Moments {
            q: m.q + moved,
            kk: wide_kappa * wide_kappa,
            kx: m.kx + tilt * dev_k * dev_x + rho_K * xx,
            xx,
            xu: m.xu + tilt * dev_x * D_u / two + du * xx,
            kku: m.kku
                + third * m.kk
                + du * D_x * wide_kappa * wide_kappa
                + D_u * rho_K * wide_x * (two * wide_k + rho_K * wide_x),
            kxu: m.kxu + third * dev_k * dev_x + du * D_x * wide_kappa * wide_x + D_u * rho_K * xx,
            xxu: m.xxu + third * m.xx + du * D_x * xx,
        }
    }
}

impl<T: Bound> Moments<T> {
    fn new(X: &DMatrix<T>, head: &Head<T>, k: usize, trained: Trained) -> Self {
        let zero = T::from_f64(0.0);
        let s: Vec<T> = head.S.row(k).iter().copied().collect();
        let x = centred(X, &s);
        let [Gx, Gk] = [gram(&x), gram(&centred(&head.kappa, &s))];
        let mut m = Moments {
            q: row(&head.q, k),
            kk: moment(&Gk, &s, &Gk),
            kx: zero,
            xx: zero,
            xu: zero,
            kku: zero,
            kxu: zero,
            xxu: zero,
        };
        if trained.k() || trained.v() {
            m.kx = moment(&Gk, &s, &Gx);
            m.xx = moment(&Gx, &s, &Gx);
        }
        if is_zero(&head.u) {
            return m;
        }
        let u = centred(&head.u, &s);
        for c in 0..u.ncols() {
            let w: Vec<T> = s
                .iter()
                .zip(u.column(c).iter())
                .map(|(&s, &u)| s * u)
                .collect();
            let add = |sum: &mut T, x: T| *sum += x * x;
            if trained.q() {
                add(&mut m.kku, moment(&Gk, &w, &Gk));
            }
            if trained.k() {
                add(&mut m.kxu, moment(&Gk, &w, &Gx));
                add(&mut m.xxu, moment(&Gx, &w, &Gx));
                add(&mut m.xu, length(&x, &w));
            }
        }
        for square in [&mut m.kku, &mut m.kxu, &mut m.xxu, &mut m.xu] {
            *square = square.sqrt();
        }
        m
    }
}

/// |sum_j w_j x_j|.
fn length<T: Bound>(x: &DMatrix<T>, w: &[T]) -> T {
    row(&mean(x, w), 0)
}

/// sum_j s_j y_j, 1 x columns.
fn mean<T: Bound>(Y: &DMatrix<T>, s: &[T]) -> DMatrix<T> {
    DMatrix::from_fn(1, Y.ncols(), |_, e| {
        let mut sum = T::from_f64(0.0);
        for (j, &s) in s.iter().enumerate() {
            sum += s * Y[(j, e)];
        }
        sum
    })
}

/// The rows y_j minus their mean under s.
fn centred<T: Bound>(Y: &DMatrix<T>, s: &[T]) -> DMatrix<T> {
    let mean = mean(Y, s);
    DMatrix::from_fn(Y.nrows(), Y.ncols(), |j, e| Y[(j, e)] - mean[(0, e)])
}

/// The largest distance between two rows.
fn diameter<T: Bound>(Y: &DMatrix<T>) -> T {
    let mut largest = T::from_f64(0.0);
    for j in 0..Y.nrows() {
        for l in 0..j {
            let difference = DMatrix::from_fn(1, Y.ncols(), |_, e| Y[(j, e)] - Y[(l, e)]);
            largest = largest.max(row(&difference, 0));
        }
    }
    largest
}
