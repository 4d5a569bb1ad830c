//! Upper bounds on |D^2F| over a ball or a box around a point.
//!
//! The formulas are those of theory.md section 3 ([`closed_form`]) and of
//! `proofs-checks/sharper.md` ([`sharp`]), with their proofs there. Every formula is increasing in
//! the quantities that enter it, so where the upper end of a number is taken (c.upper()) the result
//! stays an upper bound.

use super::ball::{Ball, ball, largest, norm, sum, whole};
use super::certificate::{Kernel, Trained};
use super::gram::norm_upper;
use super::instance::Dims;
use super::matrix::{Matrix, gram_of, product};
use super::point::{Head, Point};
use super::threads::each;

/// |D^2F[delta_b, eps_c]| <= H_bc |delta_b| |eps_c|, blocks in the order Q, K, V.
pub(crate) type BlockMatrix = [[Ball; 3]; 3];

/// Steps of [`norm_upper`] for the small matrices W^O_h: a factor rank^{2^-25} is lost.
const FINE: u32 = 24;
/// Steps for the others: a factor rank^{1/16} is lost, as in `proofs-checks/sharper.md`, Lemma 2.
const COARSE: u32 = 3;

/// |W^O_h|_2.
fn output_norm(at: &Point, h: usize) -> Ball {
    norm_upper(&at.instance.W_O[h].map(ball), FINE)
}

/// 1 for a trained block, else 0, in the order Q, K, V.
fn ones(trained: Trained) -> [Ball; 3] {
    trained.flags().map(|on| whole(usize::from(on)))
}

/// h(rho) of theory.md section 3, the square root of sum_ik (max_h b_h)^2.
pub(crate) fn closed_form(at: &Point, trained: Trained, rho: f64) -> Ball {
    let Dims { N, n, d, H, .. } = at.dims;
    let (rho, e) = (ball(rho), ball(1.0).exp());
    let [on_q, on_k, on_v] = ones(trained);
    let o: Vec<Ball> = (0..H).map(|h| output_norm(at, h)).collect();
    let rows = each(N, 40 * n * d * H, |i| {
        let x: Vec<Ball> = (0..n).map(|k| at.X[i].row_norm(k)).collect();
        let xi = largest(x.iter().copied());
        let mut b = vec![Ball::ZERO; n];
        for h in 0..H {
            let head = &at.heads[h][i];
            let over = |M: &Matrix| largest((0..n).map(|j| M.row_norm(j)));
            let kap = over(&head.kappa) + on_k * xi * rho;
            let ups = over(&head.u) + on_v * xi * o[h] * rho;
            for k in 0..n {
                let qn = head.q.row_norm(k) + on_q * x[k] * rho;
                let b_h = match at.kernel {
                    Kernel::Softmax => {
                        let (c, s) = (x[k] * kap, xi * qn);
                        let a2 = (on_q * c * c + on_k * s * s) / whole(d);
                        ball(2.0) * ups * a2
                            + on_q * on_k * ups * x[k] * xi / at.root_d
                            + on_v * a2.sqrt() * xi * o[h]
                    }
                    Kernel::Gaussian => {
                        let g2 = on_q * x[k] * x[k] + on_k * xi * xi;
                        let first = (ball(2.0) / e + ball(1.0)) * g2 * ups / at.root_d;
                        let second = on_v * g2.sqrt() * xi * o[h] / (e * at.root_d).sqrt();
                        whole(n) * (first + second)
                    }
                };
                b[k] = b[k].max(b_h);
            }
        }
        b
    });
    norm(rows.into_iter().flatten())
}

/// The entries of H for one head: QQ, QK, KK, QV, KV.
type Entries = [Ball; 5];

/// H(rho) of `proofs-checks/sharper.md` over the box of these radii; 0 in rows and columns that are
/// not trained.
pub(crate) fn sharp(at: &Point, trained: Trained, radii: [f64; 3]) -> BlockMatrix {
    let Dims { N, n, H, .. } = at.dims;
    let [on_q, on_k, on_v] = ones(trained);
    let radii = [ball(radii[0]) * on_q, ball(radii[1]) * on_k, ball(radii[2]) * on_v];
    let tokens = Tokens {
        at,
        trained,
        radii,
        x: (0..N * n).map(|a| at.X[a / n].row_norm(a % n)).collect(),
        D_x: at.X.iter().map(diameter).collect(),
        X_i: at.X.iter().map(|x| norm_upper(x, COARSE)).collect(),
    };
    // Heads by Cauchy-Schwarz: the largest counts.
    let heads = (0..H).map(|h| match at.kernel {
        Kernel::Softmax => tokens.softmax(h),
        Kernel::Gaussian => tokens.gaussian(h),
    });
    let entries = heads.fold([Ball::ZERO; 5], |a, b| std::array::from_fn(|e| a[e].max(b[e])));
    let pairs = [on_q, on_q * on_k, on_k, on_q * on_v, on_k * on_v];
    let [qq, qk, kk, qv, kv] = std::array::from_fn(|e| entries[e] * pairs[e]);
    [[qq, qk, qv], [qk, kk, kv], [qv, kv, Ball::ZERO]]
}

/// Whether H can be evaluated within minutes.
pub(crate) fn sharp_is_affordable(dims: Dims) -> bool {
    let Dims { N, n, D, d, H, .. } = dims;
    let [N, n, D, d, H] = [N, n, D, d, H].map(|x| x as u128);
    H * N * n * (D * D.min(N * n) + n * n * (D + n + d * d)) <= 1 << 31
}

/// |H|_2 <= max_b (H v)_b / v_b for every v > 0 (Collatz and Wielandt; rows of zeros are columns of zeros and count nothing).
/// v comes from a few steps v <- v + H v / |H v|, in f64 after a division by the largest entry: any
/// v would do.
pub(crate) fn block_norm(H: &BlockMatrix) -> Ball {
    let size = largest(H.iter().flatten().copied()).upper_ball();
    if size.is_zero() {
        return Ball::ZERO;
    }
    let shape = H.map(|row| row.map(|x| (x / size).upper().max(0.0)));
    let mut v = [1.0f64; 3];
    for _ in 0..32 {
        let Hv: [f64; 3] = std::array::from_fn(|b| (0..3).map(|c| shape[b][c] * v[c]).sum());
        let size = Hv.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        v = std::array::from_fn(|b| 0.5 * (v[b] + Hv[b] / size));
    }
    let rows = (0..3).filter(|&b| H[b].iter().any(|x| !x.is_zero()));
    largest(rows.map(|b| apply(H, v.map(ball))[b] / ball(v[b])))
}

/// H v.
pub(crate) fn apply(H: &BlockMatrix, v: [Ball; 3]) -> [Ball; 3] {
    std::array::from_fn(|b| sum(3, |c| H[b][c] * v[c]))
}

/// What both kernels need.
struct Tokens<'a> {
    at: &'a Point<'a>,
    trained: Trained,
    radii: [Ball; 3],
    /// |x_k| of every token, at i n + k.
    x: Vec<Ball>,
    /// Largest distance of two tokens of a sample.
    D_x: Vec<Ball>,
    /// |X_i|_2.
    X_i: Vec<Ball>,
}

/// Largest distance of two rows.
fn diameter(Y: &Matrix) -> Ball {
    let distance = |j: usize, l: usize| norm((0..Y.cols).map(move |e| Y[(j, e)] - Y[(l, e)]));
    largest((0..Y.rows).flat_map(|j| (0..j).map(move |l| (j, l))).map(|(j, l)| distance(j, l)))
}

/// The rows y_j - sum_l s_l y_l, for weights of sum 1. The mean is taken of the differences to the
/// row of the largest weight, so where that weight is nearly 1 nothing cancels.
fn centred(Y: &Matrix, s: &[Ball]) -> Matrix {
    let weight = |l: usize| s[l].upper();
    let top = (1..s.len()).fold(0, |top, l| if weight(l) > weight(top) { l } else { top });
    let Y = Matrix::new(Y.rows, Y.cols, |j, e| Y[(j, e)] - Y[(top, e)]);
    let mean: Vec<Ball> = (0..Y.cols).map(|e| sum(Y.rows, |l| s[l] * Y[(l, e)])).collect();
    Matrix::new(Y.rows, Y.cols, |j, e| Y[(j, e)] - mean[e])
}

/// |sum_j w_j a_j b_j'|_2 <= tr((G_a W G_b W)^8)^{1/16}, G the Gram matrices of the a_j and of the b_j, W = diag(w).
fn moment(Ga: &Matrix, w: &[Ball], Gb: &Matrix) -> Ball {
    let weighted = |G: &Matrix| Matrix::new(w.len(), w.len(), |i, j| G[(i, j)] * w[j]);
    let A = product(&weighted(Ga), &weighted(Gb));
    let A2 = product(&A, &A);
    let A4 = product(&A2, &A2);
    let trace = sum(w.len(), |i| sum(w.len(), |j| A4[(i, j)] * A4[(j, i)]));
    // The trace is not below 0, whatever is known about it.
    trace.max(Ball::ZERO).sqrt().sqrt().sqrt().sqrt().upper_ball()
}

/// (sum_c value(c)^2)^{1/2} over the output coordinates.
fn over_outputs(u: &Matrix, value: impl Fn(&[Ball]) -> Ball) -> Ball {
    norm((0..u.cols).map(|c| value(&u.column(c).collect::<Vec<_>>())))
}

impl Tokens<'_> {
    /// |diag(c) Y|_2, Y the matrix of all tokens or of all queries, row a in `row`.
    fn weighted(&self, width: usize, row: impl Fn(usize, usize) -> Ball, c: &[Ball]) -> Ball {
        let M = Matrix::new(c.len(), width, |a, e| c[a].upper_ball() * row(a, e));
        norm_upper(&M, COARSE)
    }

    /// |diag(c) X|_2.
    fn by_token(&self, c: &[Ball]) -> Ball {
        let n = self.at.dims.n;
        self.weighted(self.at.dims.D, |a, e| self.at.X[a / n][(a % n, e)], c)
    }

    /// Softmax. Per row k, with covariances and third moments M under the row s at the centre, S
    /// the largest change of a score difference over the box, sigma = e^S (Lemmas 3 to 6).
    fn softmax(&self, h: usize) -> Entries {
        let at = self.at;
        let Dims { N, n, D, d: dims_d, .. } = at.dims;
        let (d, o) = (whole(dims_d), output_norm(at, h));
        let [rho_Q, rho_K, rho_V] = self.radii;
        let [q, k, v] = self.trained.flags();
        let work = n * n * n * (D + dims_d + n) * 20;
        let rows: Vec<Vec<Entries>> = each(N, work, |i| {
            let head = &at.heads[h][i];
            let (D_x, D_kappa, D_u) = (self.D_x[i], diameter(&head.kappa), diameter(&head.u));
            let row = |key: usize| {
                let x = self.x[i * n + key];
                let q_c = head.q.row_norm(key);
                let c = Moments::new(&at.X[i], head, key, self.trained);
                let S =
                    (x * rho_Q * D_kappa + q_c * rho_K * D_x + x * rho_Q * rho_K * D_x) / at.root_d;
                let sigma = S.exp();
                // e^S - 1, which is at most S + S^2 for S <= 1.
                let mut tilt = sigma - ball(1.0);
                if S.at_most(ball(1.0)) && (S + S * S).upper_ball().at_most(tilt.upper_ball()) {
                    tilt = S + S * S;
                }
                let (sd_kappa, sd_x) = (c.kk.sqrt(), c.xx.sqrt());
                // Standard deviations over the box.
                let (wide, wide_x) = ((sigma * c.kk).sqrt(), (sigma * c.xx).sqrt());
                let v = wide + rho_K * wide_x;
                let xx = sigma * c.xx;
                let third = ball(1.75) * tilt * D_u;
                let du = o * rho_V;
                let kx = c.kx + tilt * sd_kappa * sd_x + rho_K * xx;
                let xu = c.xu + tilt * sd_x * D_u / ball(2.0) + du * xx;
                let kku = c.kku
                    + third * c.kk
                    + du * D_x * v * v
                    + D_u * rho_K * wide_x * (ball(2.0) * wide + rho_K * wide_x);
                let kxu =
                    c.kxu + third * sd_kappa * sd_x + du * D_x * v * wide_x + D_u * rho_K * xx;
                let xxu = c.xxu + third * c.xx + du * D_x * xx;
                let qn = q_c + x * rho_Q;
                [
                    x * kku / d,
                    qn * kxu / d + xu / at.root_d,
                    qn * xxu / d,
                    o * kx / at.root_d,
                    o * xx / at.root_d,
                ]
            };
            (0..n).map(row).collect()
        });
        let rows = rows.concat();
        let column = |e: usize| -> Vec<Ball> { rows.iter().map(|row| row[e]).collect() };
        let by_token = |on: bool, e: usize| {
            if on { self.by_token(&column(e)) } else { Ball::ZERO }
        };
        // Queries move by X Delta, |Delta| <= rho_Q.
        let by_query = |on: bool, e: usize| {
            if !on {
                return Ball::ZERO;
            }
            let query = |a: usize, e: usize| at.heads[h][a / n].q[(a % n, e)];
            self.weighted(at.dims.d, query, &column(e)) + rho_Q * self.by_token(&column(e))
        };
        [
            by_token(q, 0),
            by_token(q && k, 1),
            by_query(k, 2),
            by_token(q && v, 3),
            by_query(k && v, 4),
        ]
    }

    /// Gaussian (Lemmas 7 to 9).
    fn gaussian(&self, h: usize) -> Entries {
        let Dims { N, n, d, .. } = self.at.dims;
        let o = output_norm(self.at, h);
        let [q, k, v] = self.trained.flags();
        let work = n * n * (n * d * n + n * n + d * d * n) * 20;
        let rows = each(N, work, |i| self.gaussian_sample(h, i, o)).concat();
        let by_token = |on: bool, e: usize| {
            let c: Vec<Ball> = rows.iter().map(|row| row[e]).collect();
            if on { self.by_token(&c) } else { Ball::ZERO }
        };
        let kv = o * (by_token(k && v, 4) + by_token(k && v, 5));
        [by_token(q, 0), by_token(q && k, 1), by_token(k, 2), by_token(q && v, 3), kv]
    }

    /// The weights c of QQ, QK, KK, QV and of KV's two parts, for each token of sample i.
    fn gaussian_sample(&self, h: usize, i: usize, o: Ball) -> Vec<[Ball; 6]> {
        let (at, head, X_i) = (self.at, &self.at.heads[h][i], self.X_i[i]);
        let Dims { n, d, .. } = at.dims;
        let [rho_Q, rho_K, rho_V] = self.radii;
        let [on_q, on_k, on_v] = self.trained.flags();
        let (root_d, d4) = (at.root_d, at.root_d.sqrt());
        let x = |j: usize| self.x[i * n + j];
        let P = gram_of(&at.X[i]);
        // w_kj = q_k - kappa_j, row j of w[k].
        let w: Vec<Matrix> =
            (0..n).map(|k| Matrix::new(n, d, |j, a| head.q[(k, a)] - head.kappa[(j, a)])).collect();
        // By how much D s can change, |D^2 s|, by how much D^2 s can change: r = |w| / d^{1/4}
        // stays in [lo, hi].
        let s = Matrix::new(n, n, |k, j| {
            let moved = x(k) * rho_Q + x(j) * rho_K;
            let (r, step) = (w[k].row_norm(j) / d4, moved / d4);
            let (lo, hi) = ((r - step).max(ball(0.0)), r + step);
            let top = (-(lo * lo) / ball(2.0)).exp();
            let D2 = ball(1.0).min(top * ball(1.0).max(hi * hi - ball(1.0)));
            let three = ball(3.0) * hi;
            let D3 = ball(1.3802).min(top * ball(2.0).min(three).max(hi * hi * hi - three));
            [D2 * moved / root_d, D2 / root_d, D3 * step / root_d]
        });
        let u = |j: usize| head.u.row_norm(j);
        let du = |j: usize| o * rho_V * x(j);
        let second = Matrix::new(n, n, |k, j| (u(j) + du(j)) * s[(k, j)][1]);
        let drift = Matrix::new(n, n, |k, j| second[(k, j)] * x(j));
        // Gram matrices over k of the rows s_kj w_kj.
        let along = |j: usize| gram_of(&Matrix::new(n, d, |k, a| head.s[(k, j)] * w[k][(j, a)]));
        let along: Vec<Matrix> =
            if on_k && on_v { (0..n).map(along).collect() } else { Vec::new() };
        let A = |j: usize, l: usize| {
            let (a, b) = (&along[j].data, &along[l].data);
            let square: Ball = a.iter().zip(b).map(|(a, b)| *a * *b).sum();
            P[(j, l)].abs() * square.max(Ball::ZERO).sqrt() / whole(d)
        };
        let if_on = |on: bool, value: &dyn Fn() -> Ball| if on { value() } else { Ball::ZERO };
        let token = |t: usize| {
            let qq = if_on(on_q, &|| {
                let change = |j: usize| u(j) * s[(t, j)][2] + du(j) * s[(t, j)][1];
                x(t) * (second_derivative(head, t, &w[t], root_d) + sum(n, change))
            });
            let qk = X_i * norm((0..n).map(|j| second[(t, j)]));
            let kk = sum(n, |k| drift[(k, t)] * sum(n, |l| drift[(k, l)])).sqrt();
            let qv = if_on(on_q && on_v, &|| {
                let centre = moment(&gram_of(&w[t]), head.s.row(t), &P);
                o * (centre / root_d + X_i * norm((0..n).map(|j| s[(t, j)][0])))
            });
            let kv = if_on(on_k && on_v, &|| sum(n, |l| A(t, l)).sqrt());
            let change = X_i * norm((0..n).map(|k| s[(k, t)][0]));
            [qq, qk, kk, qv, kv, change]
        };
        (0..n).map(token).collect()
    }
}

/// (sum_c |sum_j u_jc D^2 s_j|^2)^{1/2} at the centre, D^2 s = s (w w' / d - I / sqrt(d)), for
/// query k.
fn second_derivative(head: &Head, k: usize, w: &Matrix, root_d: Ball) -> Ball {
    let (n, d) = (w.rows, w.cols);
    over_outputs(&head.u, |u| {
        let su: Vec<Ball> = (0..n).map(|j| head.s[(k, j)] * u[j]).collect();
        let trace: Ball = su.iter().copied().sum();
        let D2 = Matrix::new(d, d, |a, b| {
            let square = sum(n, |j| su[j] * w[(j, a)] * w[(j, b)]) / whole(d);
            if a == b { square - trace / root_d } else { square }
        });
        norm_upper(&D2, COARSE)
    })
}

/// Norms of central moments of one attention row, 0 where no trained block asks for them:
/// covariances, and third moments M(a, b, u) = E[a b u], all centred.
struct Moments {
    /// |Cov(kappa, kappa)|, |Cov(kappa, x)|, |Cov(x, x)|, |Cov(x, u)|.
    kk: Ball,
    kx: Ball,
    xx: Ball,
    xu: Ball,
    /// |M(kappa, kappa, u)|, |M(kappa, x, u)|, |M(x, x, u)|.
    kku: Ball,
    kxu: Ball,
    xxu: Ball,
}

impl Moments {
    fn new(X: &Matrix, head: &Head, k: usize, trained: Trained) -> Moments {
        let n = X.rows;
        let s = head.s.row(k);
        let (x, kappa) = (centred(X, s), centred(&head.kappa, s));
        let u = centred(&head.u, s);
        // s_j (u_j - E u), for every output.
        let third = |of: &dyn Fn(&[Ball]) -> Ball| {
            over_outputs(&u, |u| of(&(0..n).map(|j| s[j] * u[j]).collect::<Vec<_>>()))
        };
        let if_on = |on: bool, value: &dyn Fn() -> Ball| if on { value() } else { Ball::ZERO };
        let [on_q, on_k, on_v] = trained.flags();
        let any = on_k || on_v;
        let (Gx, Gk) = (&gram_of(&x), &gram_of(&kappa));
        Moments {
            kk: moment(Gk, s, Gk),
            kx: if_on(any, &|| moment(Gk, s, Gx)),
            xx: if_on(any, &|| moment(Gx, s, Gx)),
            xu: if_on(on_q && on_k, &|| {
                third(&|w| norm((0..x.cols).map(|e| sum(n, |j| w[j] * x[(j, e)]))))
            }),
            kku: if_on(on_q, &|| third(&|w| moment(Gk, w, Gk))),
            kxu: if_on(on_q && on_k, &|| third(&|w| moment(Gk, w, Gx))),
            xxu: if_on(on_k, &|| third(&|w| moment(Gx, w, Gx))),
        }
    }
}
