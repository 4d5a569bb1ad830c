//! H(rho) for Gaussian attention.

use super::norm::{gram, moment, row, spectral, weighted};
use super::{Data, Entries, is_zero};
use crate::bounds::Blocks;
use crate::model::{Head, Trained, product};
use crate::problem::{Dims, Instance};
use gdcert_numbers::Bound;
use nalgebra::DMatrix;

/// Derivatives of the attention weights s_kj = e^{-r^2/2}, r = |w| / d^{1/4}, w = q_k - kappa_j, at the centre.
///
/// Over the box w moves by at most m_kj = |x_k| rho_Q + |x_j| rho_K, so r stays within m / d^{1/4} of its value:
/// in [lo, hi]. There, by |D^l s| d^{l/4} (l = 2, 3):
///
/// ```text
/// |D^2 s| sqrt(d)   <= D2 = min(1, e^{-lo^2/2} max(1, hi^2 - 1))
/// |D^3 s| d^{3/4}   <= D3 = min(1.3802, e^{-lo^2/2} max(min(2, 3 hi), hi^3 - 3 hi))
/// ```
///
/// With U_j = |u_j| + o rho_V |x_j| over the box, and centre quantities marked c:
///
/// ```text
/// QQ: |diag(c) X|, c_k = |x_k| (|sum_j u_j D^2 s_kj|_c + sum_j (|u_j| D3 m d^{-3/4} + o rho_V |x_j| D2 / sqrt(d)))
/// QK: |diag(c) X|, c_k = |X_i|_2 (sum_j (U_j D2)^2 / d)^{1/2}
/// KK: |diag(c) X|, c_j^2 = sum_kl P_kj P_kl, P_kj = U_j D2 |x_j| / sqrt(d)
/// QV: |diag(c) X|, c_k = o (|sum_j s_kj w_kj x_j'|_c / sqrt(d) + |X_i|_2 (sum_j (D2 m)^2)^{1/2} / sqrt(d))
/// KV: o (|diag(c) X| + |diag(c') X|), c_j^2 = sum_l |A_jl|_F, A_jl = (x_j . x_l) sum_k s_kj s_kl w_kj w_kl' / d,
///                                     c'_j = |X_i|_2 (sum_k (D2 m)^2)^{1/2} / sqrt(d)
/// ```
///
/// and H is the maximum over heads.
#[derive(Clone, Debug)]
pub(super) struct Gaussian<T: Bound> {
    data: Data<T>,
    /// d^{1/4}.
    d4: T,
    /// |X_i|_2 of every sample.
    X_i: Vec<T>,
    heads: Vec<HeadRows<T>>,
}

#[derive(Clone, Debug)]
struct HeadRows<T: Bound> {
    /// |u_j| of every token.
    u: Vec<T>,
    /// r_kj, Nn x n.
    r: DMatrix<T>,
    /// |sum_j u_j D^2 s_kj| and |sum_j s_kj w_kj x_j'| / sqrt(d) of every query token.
    qq: Vec<T>,
    qv: Vec<T>,
    /// c_j of the KV entry, of every key token.
    kv: Vec<T>,
}

impl<T: Bound> Gaussian<T> {
    pub(super) fn new(instance: &Instance, trained: Trained) -> Self {
        let data: Data<T> = Data::new(instance);
        let Dims { N, n, H, .. } = data.dims;
        let X_i = (0..N).map(|i| spectral(&data.sample(i))).collect();
        let d4 = data.root_d.sqrt();
        let heads = (0..H)
            .map(|h| {
                let mut rows = HeadRows {
                    u: Vec::with_capacity(N * n),
                    r: DMatrix::from_element(N * n, n, T::from_f64(0.0)),
                    qq: Vec::with_capacity(N * n),
                    qv: Vec::with_capacity(N * n),
                    kv: vec![T::from_f64(0.0); N * n],
                };
                for (i, head) in data.heads(instance, h).iter().enumerate() {
                    rows.add_sample(&data, trained, i, head, d4);
                }
                rows
            })
            .collect();
        Gaussian {
            data,
            d4,
            X_i,
            heads,
        }
    }

    pub(super) fn scale(&mut self, u: T, o: T) {
        for head in &mut self.heads {
            for value in head.u.iter_mut().chain(&mut head.qq) {
                *value = *value * u;
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
        let Data { dims, X, x, .. } = &self.data;
        let (n, o) = (dims.n, self.data.o[h]);
        let head = &self.heads[h];
        let zero = T::from_f64(0.0);
        let fresh = || vec![zero; x.len()];
        let [mut qq, mut qk, mut kk, mut qv, mut kv] =
            [fresh(), fresh(), fresh(), fresh(), fresh()];
        for a in 0..x.len() {
            let i = a / n;
            let [mut change, mut cross, mut drift, mut total] = [zero; 4];
            for j in 0..n {
                let b = i * n + j;
                let s = self.over_box(head.r[(a, j)], x[a] * radii[0] + x[b] * radii[1]);
                let du = o * radii[2] * x[b];
                change += head.u[b] * s.third + du * s.second;
                let U = (head.u[b] + du) * s.second;
                cross += U * U;
                drift += s.first * s.first;
                total += U * x[b];
            }
            qq[a] = x[a] * (head.qq[a] + change);
            qk[a] = self.X_i[i] * cross.sqrt();
            qv[a] = o * (head.qv[a] + self.X_i[i] * drift.sqrt());
            for j in 0..n {
                let b = i * n + j;
                let s = self.over_box(head.r[(a, j)], x[a] * radii[0] + x[b] * radii[1]);
                let du = o * radii[2] * x[b];
                kk[b] += (head.u[b] + du) * s.second * x[b] * total;
                kv[b] += s.first * s.first;
            }
        }
        for b in 0..x.len() {
            kk[b] = kk[b].sqrt();
            kv[b] = self.X_i[b / n] * kv[b].sqrt();
        }
        let by_token = |on: bool, c: &[T]| if on { weighted(X, c) } else { zero };
        let [q, k, v] = on;
        Entries {
            qq: by_token(q, &qq),
            qk: by_token(q && k, &qk),
            kk: by_token(k, &kk),
            qv: by_token(q && v, &qv),
            kv: o * (by_token(k && v, &head.kv) + by_token(k && v, &kv)),
        }
    }

    /// Bounds on a weight's derivatives where w moves by at most `moved` from distance `r`.
    fn over_box(&self, r: T, moved: T) -> Derivatives<T> {
        let [zero, one, two, three] = [0.0, 1.0, 2.0, 3.0].map(T::from_f64);
        let eta = moved / self.d4;
        let (lo, hi) = ((r - eta).max(zero), r + eta);
        let top = (-(lo * lo) / two).exp();
        let D2 = one.min(top * one.max(hi * hi - one));
        let cubic = two.min(three * hi).max(hi * hi * hi - three * hi);
        let D3 = T::from_f64(1.3802).min(top * cubic);
        let second = D2 / self.data.root_d;
        Derivatives {
            first: second * moved,
            second,
            third: D3 * eta / self.data.root_d,
        }
    }
}

/// Over the box: by how much D s can change, |D^2 s|, by how much D^2 s can change.
struct Derivatives<T> {
    first: T,
    second: T,
    third: T,
}

impl<T: Bound> HeadRows<T> {
    fn add_sample(&mut self, data: &Data<T>, on: Trained, i: usize, head: &Head<T>, d4: T) {
        let n = data.dims.n;
        let X = data.sample(i);
        let Gx = gram(&X);
        self.u.extend((0..n).map(|j| row(&head.u, j)));
        let W: Vec<_> = (0..n).map(|k| differences(head, k)).collect();
        for (k, w) in W.iter().enumerate() {
            for j in 0..n {
                self.r[(i * n + k, j)] = row(w, j) / d4;
            }
            let qq = if on.q() && !is_zero(&head.u) {
                second_derivative(head, k, w, data.root_d)
            } else {
                T::from_f64(0.0)
            };
            self.qq.push(qq);
            let qv = if on.q() && on.v() {
                let s: Vec<T> = head.S.row(k).iter().copied().collect();
                moment(&gram(w), &s, &Gx) / data.root_d
            } else {
                T::from_f64(0.0)
            };
            self.qv.push(qv);
        }
        if on.k() && on.v() {
            let d = T::from_f64(data.dims.d as f64);
            for j in 0..n {
                for l in 0..=j {
                    let size = Gx[(j, l)] * cross(head, &W, j, l) / d;
                    let size = size.max(-size);
                    self.kv[i * n + j] += size;
                    if l < j {
                        self.kv[i * n + l] += size;
                    }
                }
            }
            for c in &mut self.kv[i * n..(i + 1) * n] {
                *c = c.sqrt();
            }
        }
    }
}

/// w_kj = q_k - kappa_j, row j.
fn differences<T: Bound>(head: &Head<T>, k: usize) -> DMatrix<T> {
    DMatrix::from_fn(head.kappa.nrows(), head.kappa.ncols(), |j, a| {
        head.q[(k, a)] - head.kappa[(j, a)]
    })
}

/// (sum_c |sum_j u_jc D^2 s_kj|^2)^{1/2}, D^2 s = s (w w' / d - I / sqrt(d)).
fn second_derivative<T: Bound>(head: &Head<T>, k: usize, w: &DMatrix<T>, root_d: T) -> T {
    let d = w.ncols();
    let zero = T::from_f64(0.0);
    let mut square = zero;
    for c in 0..head.u.ncols() {
        let mut trace = zero;
        let scaled = DMatrix::from_fn(d, w.nrows(), |a, j| {
            head.S[(k, j)] * head.u[(j, c)] * w[(j, a)] / (root_d * root_d)
        });
        for j in 0..w.nrows() {
            trace += head.S[(k, j)] * head.u[(j, c)];
        }
        let mut D2 = product(&scaled, w);
        for a in 0..d {
            D2[(a, a)] -= trace / root_d;
        }
        let size = spectral(&D2);
        square += size * size;
    }
    square.sqrt()
}

/// |sum_k s_kj s_kl w_kj w_kl'|_F.
fn cross<T: Bound>(head: &Head<T>, W: &[DMatrix<T>], j: usize, l: usize) -> T {
    let n = W.len();
    let pick = |token: usize| {
        DMatrix::from_fn(n, W[0].ncols(), |k, a| {
            head.S[(k, token)] * W[k][(token, a)]
        })
    };
    let (a, b) = (gram(&pick(j)), gram(&pick(l)));
    let mut square = T::from_f64(0.0);
    for (a, b) in a.iter().zip(b.iter()) {
        square += *a * *b;
    }
    square.max(T::from_f64(0.0)).sqrt()
}
