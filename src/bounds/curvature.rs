//! h(rho): how fast the Jacobian can change within distance rho of M_0.

use crate::Result;
use crate::model::{Head, Kernel, Trained};
use crate::problem::{Dims, Instance};
use gdcert_numbers::Bound;
use gdcert_numbers::linalg::singular_values;
use rayon::prelude::*;

/// The closed form of h(rho), which bounds |D^2 F[delta, eps]| over unit directions in the trained
/// blocks and over the ball of radius rho (Frobenius norm over all trained blocks) around M_0.
///
/// Then |J(M) - J(M')| <= h(rho) |M - M'| inside the ball. Per sample, query token and head, with
/// x = |x_k|, xi = max_j |x_j|, o = |W^O_h|_2, 1_Q, 1_K, 1_V saying what is trained, and over the ball
/// kap = max_j |kappa_j| + 1_K xi rho, qn = |q_k| + 1_Q x rho, ups = max_j |u_j| + 1_V xi o rho:
///
/// - softmax: a^2 = ((x kap)^2 1_Q + (xi qn)^2 1_K) / d and
///   b_h = 2 ups a^2 + 1_Q 1_K ups x xi / sqrt(d) + 1_V a xi o;
/// - Gaussian: g^2 = x^2 1_Q + xi^2 1_K and
///   b_h = n ((2/e + 1) g^2 ups / sqrt(d) + 1_V e^{-1/2} d^{-1/4} g xi o);
///
/// h(rho)^2 = sum_{i,k} (max_h b_h)^2. With V alone trained the model is linear and h = 0.
/// The proof is in `proofs-checks/README.md`. Over f64 it is evaluated without outward rounding, for searches;
/// over [`Interval`](gdcert_numbers::Interval) (see [`Enclosure::curvature`](super::Enclosure::curvature)) the same
/// formula gives a rigorous upper end.
#[derive(Clone, Debug)]
pub struct Curvature<T: Bound = f64> {
    kernel: Kernel,
    trained: Trained,
    n: usize,
    d: usize,
    H: usize,
    /// (i, k, h) in that order, h fastest.
    tokens: Vec<Token<T>>,
}

/// The quantities at the centre that the bound grows from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token<T: Bound> {
    pub x: T,
    pub xi: T,
    pub o: T,
    pub kap: T,
    pub qn: T,
    pub ups: T,
}

/// Constants of b_h that do not depend on the token.
struct Constants<T> {
    root_d: T,
    /// 2/e + 1; Gaussian kernel.
    scores: T,
    /// e^{1/2} d^{1/4}; Gaussian kernel.
    values: T,
}

impl<T: Bound> Constants<T> {
    fn new(kernel: Kernel, d: usize) -> Self {
        let root_d = number::<T>(d).sqrt();
        let e = match kernel {
            Kernel::Softmax => number::<T>(1),
            Kernel::Gaussian => number::<T>(1).exp(),
        };
        Constants {
            root_d,
            scores: number::<T>(2) / e + number(1),
            values: e.sqrt() * root_d.sqrt(),
        }
    }
}

fn number<T: Bound>(x: usize) -> T {
    T::from_f64(x as f64)
}

impl Curvature<f64> {
    /// Gathers the norms at M_0.
    ///
    /// # Errors
    /// A decomposition that does not converge (not expected).
    pub fn new(instance: &Instance, trained: Trained) -> Result<Self> {
        let Dims { N, n, H, .. } = instance.dims();
        let spectral = instance.W().O.iter().map(|W| Ok(singular_values(W)?[0]));
        let spectral = spectral.collect::<Result<Vec<f64>>>()?;
        let longest = |rows: &nalgebra::DMatrix<f64>| {
            rows.row_iter().map(|row| row.norm()).fold(0.0, f64::max)
        };
        let mut tokens = Vec::with_capacity(N * n * H);
        for i in 0..N {
            let X = &instance.X()[i];
            let heads: Vec<_> = (0..H)
                .map(|h| Head::new(instance, instance.W(), i, h))
                .collect();
            let maxima: Vec<_> = heads
                .iter()
                .map(|head| (longest(&head.kappa), longest(&head.u)))
                .collect();
            for k in 0..n {
                for h in 0..H {
                    tokens.push(Token {
                        x: X.row(k).norm(),
                        xi: longest(X),
                        o: spectral[h],
                        kap: maxima[h].0,
                        qn: heads[h].q.row(k).norm(),
                        ups: maxima[h].1,
                    });
                }
            }
        }
        Ok(Curvature::from_tokens(instance, trained, tokens))
    }
}

impl<T: Bound> Curvature<T> {
    /// From the quantities at the centre, (i, k, h) in that order.
    pub(super) fn from_tokens(
        instance: &Instance,
        trained: Trained,
        tokens: Vec<Token<T>>,
    ) -> Self {
        let Dims { n, d, H, .. } = instance.dims();
        Curvature {
            kernel: instance.kernel(),
            trained,
            n,
            d,
            H,
            tokens,
        }
    }

    /// h(rho) for a radius rho >= 0.
    pub fn h(&self, rho: f64) -> T {
        let zero = T::from_f64(0.0);
        let rho = T::from_f64(rho);
        let constants = Constants::new(self.kernel, self.d);
        let largest = |heads: &[Token<T>]| {
            let b = heads.iter().map(|t| self.b(t, rho, &constants));
            b.fold(zero, Bound::max)
        };
        // Few tokens are not worth a second thread. The sum's order does not depend on the threads.
        let tokens = self.tokens.par_chunks_exact(self.H).with_min_len(256);
        let all: Vec<T> = tokens.map(largest).collect();
        let squares = all.into_iter().map(|b| b * b);
        squares.fold(zero, |sum, b| sum + b).sqrt()
    }

    /// b_h of one (i, k, h).
    fn b(&self, t: &Token<T>, rho: T, constants: &Constants<T>) -> T {
        let [in_q, in_k, in_v] = self.trained.flags().map(|on| number::<T>(usize::from(on)));
        let &Constants {
            root_d,
            scores,
            values,
        } = constants;
        let kap = t.kap + in_k * t.xi * rho;
        let qn = t.qn + in_q * t.x * rho;
        let ups = t.ups + in_v * t.xi * t.o * rho;
        match self.kernel {
            Kernel::Softmax => {
                let (c, s) = (t.x * kap, t.xi * qn);
                let a2 = (in_q * c * c + in_k * s * s) / number::<T>(self.d);
                number::<T>(2) * ups * a2
                    + in_q * in_k * ups * t.x * t.xi / root_d
                    + in_v * a2.sqrt() * t.xi * t.o
            }
            Kernel::Gaussian => {
                let g2 = in_q * t.x * t.x + in_k * t.xi * t.xi;
                number::<T>(self.n)
                    * (scores * g2 * ups / root_d + in_v * g2.sqrt() * t.xi * t.o / values)
            }
        }
    }
}
