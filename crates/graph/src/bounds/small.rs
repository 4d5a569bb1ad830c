//! The largest eigenvalue of a small symmetric matrix, from above: one Cholesky decomposition by the textbook.
//!
//! For S = fl(c I - G) let L be computed by l_ij = (s_ij - sum_{k<j} l_ik l_jk) / l_jj, l_jj = sqrt(s_jj - sum_{k<j} l_jk^2), with
//! true divisions. If no number under a root is <= 0, then |S - L L'|_2 <= g / (1 - g) tr S with g = gamma_{n+1} (S. M. Rump,
//! *Verification of positive definiteness*, BIT 46, 2006), and as L L' >= 0, lambda_max(G) <= c + that + what
//! rounding c - g_aa did, at most u |s_aa|. Products that underflow add less than n 2^-1074 to an entry.

use super::up;
use gdcert_numbers::U;
use gdcert_numbers::verified::gamma_up;

/// Above this the blocked decompositions are faster.
pub(crate) const LARGEST: usize = 64;

/// How far above an estimate c is taken: the first that works.
const MARGINS: [f64; 5] = [1e-9, 1e-7, 1e-5, 1e-3, 0.1];

/// At least the largest eigenvalue of the positive semidefinite n x n matrix near G (which is not below -1e-10 tr G).
pub(crate) fn largest(G: &[f64], n: usize) -> f64 {
    let trace = up::sum((0..n).map(|a| G[a * n + a].abs()));
    if !(trace.is_finite() && trace > 1e-250) || G.iter().any(|x| !x.is_finite()) {
        return trace.max(f64::MIN_POSITIVE) * n as f64;
    }
    let estimate = estimate(G, n, trace);
    for margin in MARGINS {
        let c = estimate * (1.0 + margin);
        let mut S: Vec<f64> = G.iter().map(|x| -x).collect();
        for a in 0..n {
            S[a * n + a] += c;
        }
        let diagonal = (0..n).map(|a| S[a * n + a].abs());
        let (most, sum) = (diagonal.clone().fold(0.0, f64::max), up::sum(diagonal));
        if positive(&mut S, n) {
            let defect = up::mul(2.0 * gamma_up(n + 1), sum);
            let tiny = (n * n) as f64 * f64::MIN_POSITIVE;
            return up::add(up::add(c, defect), up::add(up::mul(U, most), tiny));
        }
    }
    f64::INFINITY
}

/// About the largest eigenvalue: a column of (G / tr G)^64, and the length that G gives it.
fn estimate(G: &[f64], n: usize, trace: f64) -> f64 {
    let mut power: Vec<f64> = G.iter().map(|x| x / trace).collect();
    let mut square = vec![0.0; n * n];
    for _ in 0..6 {
        square.fill(0.0);
        for i in 0..n {
            let (out, row) = (&mut square[i * n..(i + 1) * n], &power[i * n..(i + 1) * n]);
            for (k, x) in row.iter().enumerate() {
                for (out, y) in out.iter_mut().zip(&power[k * n..(k + 1) * n]) {
                    *out += x * y;
                }
            }
        }
        let trace: f64 = (0..n).map(|a| square[a * n + a]).sum();
        power
            .iter_mut()
            .zip(&square)
            .for_each(|(p, s)| *p = s / trace);
    }
    let top = (0..n)
        .max_by(|a, b| power[a * n + a].total_cmp(&power[b * n + b]))
        .unwrap_or(0);
    let mut v = power[top * n..(top + 1) * n].to_vec();
    let norm = |v: &[f64]| v.iter().map(|x| x * x).sum::<f64>().sqrt();
    let mut value = 0.0;
    for _ in 0..4 {
        let size = norm(&v);
        let next: Vec<f64> = G
            .chunks(n)
            .map(|row| row.iter().zip(&v).map(|(g, v)| g * v / size).sum())
            .collect();
        value = norm(&next);
        v = next;
    }
    value
}

/// Whether the decomposition of the symmetric matrix is completed.
fn positive(S: &mut [f64], n: usize) -> bool {
    for j in 0..n {
        for i in j..n {
            let mut s = S[i * n + j];
            for k in 0..j {
                s -= S[i * n + k] * S[j * n + k];
            }
            if i == j {
                // NaN must end here too.
                if s.is_nan() || s <= 0.0 {
                    return false;
                }
                S[j * n + j] = s.sqrt();
            } else {
                S[i * n + j] = s / S[j * n + j];
            }
        }
    }
    true
}
