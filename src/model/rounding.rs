//! How far an f64 evaluation can be from the exact one.
//!
//! Every loss, residual and Jacobian the toolkit compares carries a bound on its evaluation error.
//! The bounds below hold for any order of summation, with or without fused multiply-add, in the
//! standard model fl(a op b) = (a op b)(1 + e), |e| <= u = 2^-53, with gamma_k = k u / (1 - k u)
//! (Higham, *Accuracy and Stability of Numerical Algorithms*, 2002, ch. 3). They use norms only, so
//! they cost next to nothing at each step and are pessimistic by one to three digits.
//!
//! Write xi for the largest token norm of sample i, and Q, K, V, O for the Frobenius norms of one
//! head's W^Q, W^K, W^V, W^O. Then |q| <= xi Q, |kappa| <= xi K, |u_j| <= ups = xi V O.
//!
//! **Attention weights.** tau bounds the error of one S_kj, relative (softmax) or absolute (Gaussian).
//!
//! - Softmax. A score is a sum of monomials x_e W^Q_ea W^K_fa x_f, each rounded at most 2D + d + 2
//!   times; with the shift by the row's maximum its error is at most eps = gamma_{2D+d+6} xi^2 Q K / sqrt(d).
//!   Numerator and denominator are each off by a factor within e^{+-eps} (1 +- 4u) (our exp is good
//!   to 4u, see [`EXP_ROUNDINGS`]), the sum and the division add gamma_{n+2}:
//!   tau = exp(2 eps + gamma_{n+10}) - 1.
//! - Gaussian. w = q - kappa is off by at most delta = gamma_{D+1} xi (Q + K); the function
//!   exp(-|w|^2 / (2 sqrt d)) has Lipschitz constant d^{-1/4} e^{-1/2}; a relative error g of the
//!   exponent E changes exp(-E) by at most about g max(E e^{-E}) = g / e:
//!   tau = d^{-1/4} e^{-1/2} delta + 0.4 gamma_{d+6} + 4u.
//!
//! **Residual.** The head's output is off by at most e = c ups ((1 + tau)(1 + gamma_{n+D+d+2}) - 1), c = 1
//! for softmax (rows sum to 1) and c = n for the Gaussian; adding H heads and -y costs
//! gamma_{H+1}(sum_h c ups + |y|). Hence |delta r| <= sqrt(sum_i n (sum_h e + gamma_{H+1} c ups)^2) + gamma_{H+1} |y|.
//!
//! **Loss.** |delta f| <= |r| |delta r| + |delta r|^2 / 2 + gamma_{m+2} f.
//!
//! **Jacobian.** With E1 = (1 + tau)(1 + gamma_{n+2D+d+8}) - 1, a row of the query or key block of head h is
//! off by at most 8 c E1 xi^2 (Q + K) ups / sqrt(d), a row of the value block by 2 c E1 xi O
//! (each weight S_kj (u_j - out) is a product of terms bounded above).
//!
//! **Underflow.** A product or quotient whose result is subnormal is off by at most w = 2^-1074 as well; sums are not. (Products
//! with an exact 0 are exact.) A component of q or kappa takes D such errors, so |delta q| <= sqrt(d) D w; a score
//! q . kappa takes d, and its quotient by sqrt(d) one: beside eps, at most w (sqrt(d) D xi (Q + K) + d) / sqrt(d) + w. For the Gaussian |w|
//! is off by at most 2 sqrt(d) D w more, and the exponent by (d + 1) w. An attention weight itself may be flushed to 0
//! below 2^-1022. A row of W^V W^O takes d, a component of u_j D more: |delta u_j| <= sqrt(p) (sqrt(D) d xi + D) w, and the n products S_kj u_j take
//! n: in all c |delta u_j| + sqrt(p) n w + sqrt(n) 2^-1022 ups for each head and token. The m squares of the loss take m w. Of a row of the query or
//! key block, products of at most twelve factors in at most n + D + d terms, each of which is at most (1 + xi)^2 (1 + xi (Q + K)) (1 + ups),
//! no more is lost than 16 (n + D + d)^2 sqrt(D d) w times that; of a row of the value block not more than
//! (1 + xi) (1 + O) (n + 1) sqrt(D d) w. Norms are computed from scaled numbers, but those of the weights of a
//! run, whose squares are kept: each is widened by 2^-537 sqrt(D d), all that those can have lost. What a bound itself loses by underflow is
//! in the slack of 2^-10 put on every bound, which also covers the roundings of the bounds, or in w.
//!
//! **Double-double.** With the unit v = 8 u^2 = 2^-103 in the place of u the same counts hold for the
//! residual and the loss of a run in [`DoubleDouble`](gdcert_numbers::DoubleDouble), whose operations are
//! bounded there. A sum or difference is off by at most 3 u^2 + 13 u^3, a product by 5 u^2, a square root by
//! 4 u^2: each below v, and counted once above. A quotient is off by at most 15 u^2 + 56 u^3 < 2 v, so it
//! counts twice. There are three, and the counts above have the room:
//! - a score's shift, square root and quotient take 3 + 4 + 15 = 22 u^2 (and terms in u^3) of a difference
//!   below 2 xi^2 Q K / sqrt(d): less than 6 v of xi^2 Q K / sqrt(d), beside the 2D + d of the product q . kappa;
//! - the softmax sum (n - 1) and quotient (2) take n + 1 of n + 2;
//! - the Gaussian's exponent takes d for the sum of squares, 1 for the root and 2 for the quotient, d + 3 of d + 6.
//!
//! exp is good to 2^-98 = 32 v. Products with a result below 2^-968 lose their low half: an absolute error
//! of 2^-1021, which takes the place of w. The loss is reported as the nearest f64, which adds u f. Weights M_t that are not f64 numbers enter the norms rounded (slack). Most
//! operations are off by much less than v: the bounds are pessimistic by three to five digits here.

use crate::model::{Kernel, Precision};
use crate::problem::{Dims, Instance, Weights};
use gdcert_numbers::{U, gamma_of, norm, power_of_two};
use nalgebra::DMatrix;

/// Bound on the relative error of exp in the fast path, in units of [`U`].
pub(crate) const EXP_ROUNDINGS: f64 = 4.0;

/// The unit v of a double-double operation, see the module's header.
const DOUBLE_DOUBLE_U: f64 = 8.0 * U * U;

/// Bound on the relative error of exp in double-double, in units of [`DOUBLE_DOUBLE_U`].
const DOUBLE_DOUBLE_EXP_ROUNDINGS: f64 = 32.0;

/// w of the module's header: the smallest f64.
const UNDERFLOW: f64 = f64::from_bits(1);

/// The same for an operation in double-double.
const DOUBLE_DOUBLE_UNDERFLOW: f64 = 2.0 * f64::MIN_POSITIVE;

/// 2^-537: its square is the smallest f64.
const ROOT_OF_UNDERFLOW: f64 = power_of_two(-537);

/// Slack for the rounding of the bounds themselves.
const SLACK: f64 = 1.0 + 1.0 / 1024.0;

/// |W^Q_h|_F, |W^K_h|_F, |W^V_h|_F of one head.
pub(crate) type BlockNorms = [f64; 3];

/// What the bounds need to know of an instance beside the trained weights.
pub(crate) struct Rounding {
    dims: Dims,
    kernel: Kernel,
    /// max_k |x_k| of every sample.
    xi: Vec<f64>,
    /// |W^O_h|_F of every head.
    o: Vec<f64>,
    /// |y|_F over all samples.
    y: f64,
    /// Bound on the relative error of one operation.
    unit: f64,
    /// The same for exp.
    exp: f64,
    /// The same for reporting a loss as f64.
    reported: f64,
    /// Bound on what one operation may lose to underflow.
    tiny: f64,
}

impl Rounding {
    /// Bounds for an evaluation in `precision`.
    pub(crate) fn new(instance: &Instance, precision: Precision) -> Self {
        let (unit, exp_roundings, reported, tiny) = match precision {
            Precision::F64 => (U, EXP_ROUNDINGS, 0.0, UNDERFLOW),
            Precision::DoubleDouble => (
                DOUBLE_DOUBLE_U,
                DOUBLE_DOUBLE_EXP_ROUNDINGS,
                U,
                DOUBLE_DOUBLE_UNDERFLOW,
            ),
        };
        let longest = |x: &DMatrix<f64>| {
            let rows = x.row_iter();
            rows.map(|row| norm(&row.iter().copied().collect::<Vec<_>>()))
                .fold(0.0, f64::max)
        };
        let xi = instance.X().iter().map(longest).collect();
        let samples: Vec<f64> = instance.y().iter().map(|y| norm(y.as_slice())).collect();
        Rounding {
            dims: instance.dims(),
            kernel: instance.kernel(),
            xi,
            o: instance.W().O.iter().map(|o| norm(o.as_slice())).collect(),
            y: norm(&samples),
            unit,
            exp: exp_roundings * unit,
            reported,
            tiny,
        }
    }

    /// At least the norms that these were computed from squares for.
    fn widened(&self, norms: BlockNorms) -> BlockNorms {
        let Dims { D, d, .. } = self.dims;
        norms.map(|norm| norm + ROOT_OF_UNDERFLOW * ((D * d) as f64).sqrt())
    }

    fn gamma(&self, k: usize) -> f64 {
        gamma_of(k, self.unit)
    }

    /// tau of the module's header.
    fn attention(&self, xi: f64, [q, k, _]: BlockNorms) -> f64 {
        let Dims { n, D, d, .. } = self.dims;
        let root_d = (d as f64).sqrt();
        let lost = self.tiny * root_d * D as f64;
        match self.kernel {
            Kernel::Softmax => {
                let lost = lost * xi * (q + k) / root_d + self.tiny * (d as f64 + 1.0);
                let eps = self.gamma(2 * D + d + 6) * xi * xi * q * k / root_d + lost;
                (2.0 * eps + self.gamma(n + 2) + 2.0 * self.exp).exp_m1()
            }
            Kernel::Gaussian => {
                let delta = self.gamma(D + 1) * xi * (q + k) + 2.0 * lost;
                (-0.5f64).exp() / root_d.sqrt() * delta + 0.4 * self.gamma(d + 6) + self.exp
            }
        }
    }

    /// c of the module's header: the largest sum of a row of S.
    fn row_sum(&self) -> f64 {
        match self.kernel {
            Kernel::Softmax => 1.0,
            Kernel::Gaussian => self.dims.n as f64,
        }
    }

    /// Bound on |delta r|, given every head's block norms.
    pub(crate) fn residual(&self, norms: &[BlockNorms]) -> f64 {
        let Dims { n, D, d, H, p, .. } = self.dims;
        let sums = self.gamma(H + 1);
        let [by_n, by_D, by_d, root_p] = [n, D, d, p].map(|x| x as f64);
        let root_p = root_p.sqrt();
        let tokens = self.xi.iter().map(|&xi| {
            let per_token: f64 = norms
                .iter()
                .zip(&self.o)
                .map(|(&head, &o)| {
                    let head = self.widened(head);
                    let size = self.row_sum() * xi * head[2] * o;
                    let tau = self.attention(xi, head);
                    let g = self.gamma(n + D + d + 2);
                    let u = root_p * (by_D.sqrt() * by_d * xi + by_D) * self.tiny;
                    let flushed = by_n.sqrt() * f64::MIN_POSITIVE * xi * head[2] * o;
                    let lost = self.row_sum() * u + root_p * by_n * self.tiny + flushed;
                    size * (tau + g + tau * g + sums) + lost
                })
                .sum();
            by_n.sqrt() * per_token
        });
        // Without a vector: this is asked at every step. Squares that leave f64's range are rare.
        let squares: f64 = tokens.clone().map(|x| x * x).sum();
        let tokens = match squares > 1e-280 && squares < 1e300 {
            true => squares.sqrt(),
            false => norm(&tokens.collect::<Vec<_>>()),
        };
        SLACK * (tokens + sums * self.y)
    }

    /// Bound on |delta f|, given the computed loss and a bound on |delta r|.
    pub(crate) fn loss(&self, f: f64, residual: f64) -> f64 {
        // Of every square, of f as reported, and of the products below.
        let lost = (self.dims.m() + 8) as f64 * self.tiny;
        let r = (2.0 * (f + lost)).sqrt();
        let relative = self.gamma(self.dims.m() + 2) + self.reported;
        let error = SLACK * (r * residual + 0.5 * residual * residual + relative * f) + lost;
        // 0 times infinity: something overflowed, and nothing is known.
        if error.is_nan() { f64::INFINITY } else { error }
    }

    /// Bound on |delta B|_F for B_0.
    pub(crate) fn B(&self, norms: &[BlockNorms]) -> f64 {
        let Dims { n, .. } = self.dims;
        self.over_rows(norms, |xi, head, _| {
            let tau = self.attention(xi, head);
            let lost = self.tiny * (self.dims.D as f64).sqrt() * n as f64;
            self.row_sum() * xi * (tau + self.gamma(n + 2) * (1.0 + tau)) + lost
        })
    }

    /// Bounds on |delta J_Q|_F (also |delta J_K|_F) and |delta J_V|_F.
    pub(crate) fn jacobian(&self, norms: &[BlockNorms]) -> (f64, f64) {
        let Dims { n, D, d, .. } = self.dims;
        let e1 = |xi, head| {
            let tau = self.attention(xi, head);
            let g = self.gamma(n + 2 * D + d + 8);
            tau + g + tau * g
        };
        let tiny = self.tiny * ((D * d) as f64).sqrt();
        let scores = self.over_rows(norms, |xi, head, o| {
            let ups = xi * head[2] * o;
            let scores = xi * (head[0] + head[1]);
            let terms = (n + D + d) as f64;
            let lost =
                16.0 * terms * terms * (1.0 + xi).powi(2) * (1.0 + scores) * (1.0 + ups) * tiny;
            8.0 * self.row_sum() * e1(xi, head) * xi * scores * ups / (d as f64).sqrt() + lost
        });
        let value = self.over_rows(norms, |xi, head, o| {
            let lost = (1.0 + xi) * (1.0 + o) * (n as f64 + 1.0) * tiny;
            2.0 * self.row_sum() * e1(xi, head) * xi * o + lost
        });
        (scores, value)
    }

    /// The Frobenius norm over all rows (i, k) and heads of a row's bound.
    fn over_rows(&self, norms: &[BlockNorms], row: impl Fn(f64, BlockNorms, f64) -> f64) -> f64 {
        let rows: Vec<f64> = self
            .xi
            .iter()
            .flat_map(|&xi| {
                norms
                    .iter()
                    .zip(&self.o)
                    .map(move |(&head, &o)| (xi, head, o))
            })
            .map(|(xi, head, o)| row(xi, self.widened(head), o))
            .collect();
        let error = SLACK * (self.dims.n as f64).sqrt() * norm(&rows);
        if error.is_nan() { f64::INFINITY } else { error }
    }
}

/// The block norms of every head of `W`.
pub(crate) fn block_norms(W: &Weights) -> Vec<BlockNorms> {
    W.Q.iter()
        .zip(&W.K)
        .zip(&W.V)
        .map(|((q, k), v)| [q, k, v].map(|w| norm(w.as_slice())))
        .collect()
}
