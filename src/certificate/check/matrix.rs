//! Smallest and largest singular values of large matrices, proven by one Cholesky decomposition each.
//!
//! **Matrices.** A has m rows; row a is the sum over terms (side by side) of Kronecker products l_a (x) r_a,
//! whose factors are known as f64 vectors with a bound on what each row is off by. A~ is the matrix of the f64 factors,
//! taken as exact, and |A - A~|_F <= radius, because |l (x) r - l~ (x) r~| <= |dl| (|r~| + |dr|) + |l~| |dr|. By Weyl's
//! inequality every singular value of A is within the radius of that of A~.
//!
//! **Roundings.** Everything below holds for a number type whose +, -, *, /, sqrt are exact up to a factor 1 + delta,
//! |delta| <= u: f64 with u = 2^-53, double-double with u = 2^-102. A sum of products in which every product goes
//! through at most K roundings is off by at most gamma_K times the sum of the moduli, gamma_K = K u / (1 - K u),
//! whatever the order (Higham, *Accuracy and Stability of Numerical Algorithms*, 2002, section 3.1). [`dot`] keeps K small
//! by adding up in 8 lanes and in chunks, see [`depth`].
//!
//! **Gram matrix.** Entry (a, b) of A~ A~' is the sum over terms of (l_a . l_b)(r_a . r_b). The monomials' moduli add up to at
//! most |A~_a| |A~_b| (Cauchy-Schwarz, over entries and over terms), so, with K the roundings of both inner products
//! and of the sum over terms,
//!
//! ```text
//! |G - A~ A~'|_2 <= |G - A~ A~'|_F <= gamma_K |A~|_F^2.                                  (1)
//! ```
//!
//! **Cholesky** (S. M. Rump, *Verification of positive definiteness*, BIT 46, 2006). L is computed row by row by the textbook,
//! l_ij = (s_ij - sum_{k<j} l_ik l_jk) / l_jj and l_jj = sqrt(s_jj - sum_{k<j} l_jk^2), with true divisions. If no
//! number under a root is <= 0, the decomposition is complete. The sum has at most K - 2 roundings a product; the difference and the
//! quotient (or the root, squared) each bring one factor 1 + delta, which moved to the other side says
//! |s_ij - sum_{k<=j} l_ik l_jk| <= gamma_K sum_{k<=j} |l_ik l_jk|. So |S - LL'|_2 <= gamma_K |L|_F^2 and, from the diagonal,
//! |L|_F^2 <= tr S / (1 - gamma_K). As LL' has no negative eigenvalue,
//!
//! ```text
//! lambda_min(S) >= - gamma_K / (1 - gamma_K) tr S.                                       (2)
//! ```
//!
//! **Underflow.** A product that falls below the normal numbers is off by at most 2^-1074 (double-double: 2^-960) more; that
//! times a factor of the sizes in play, a few for each of at most 2^60 operations, is below [`Gram::tiny`].
//!
//! If the decomposition stops at pivot j, where t = s_jj - sum l_jk^2 <= 0, then v = (-L_11^{-T} l_j, 1, 0...) has
//! v' S v = t <= 0 up to rounding: a candidate for a vector with |A'v| small. Nothing about it is trusted, |A'v| / |v| is
//! evaluated anew by [`square_of_product`].

use super::ball::{Ball, ball, sum, whole};
use crate::model::{DoubleDouble, Scalar};
use rayon::prelude::*;

/// A number type with the standard model of rounding.
pub(super) trait Real: Scalar {
    /// u, the bound on a rounding.
    const UNIT: f64;

    /// self times `other`, the way that is fast in [`dot`].
    fn times(self, other: Self) -> Self;
}

impl Real for f64 {
    const UNIT: f64 = f64::EPSILON / 2.0;

    fn times(self, other: f64) -> f64 {
        self * other
    }
}

impl Real for DoubleDouble {
    /// 2^-102, that is 16 2^-106; the largest of [`DoubleDouble`]'s bounds is 15 2^-106 + 56 2^-159, of the division.
    const UNIT: f64 = f64::EPSILON * f64::EPSILON * 4.0;

    /// DWTimesDW1 of the paper that [`DoubleDouble`] cites, off by at most 7 2^-106: the product of the upper parts with its
    /// rounding error, which Dekker's splitting gives exactly without a fused multiply-add, plus the mixed products.
    fn times(self, other: DoubleDouble) -> DoubleDouble {
        let split = |a: f64| {
            let c = 134_217_729.0 * a;
            let upper = c - (c - a);
            (upper, a - upper)
        };
        let (a, b) = (self.hi(), other.hi());
        let ((a1, a2), (b1, b2)) = (split(a), split(b));
        let p = a * b;
        let e = a2 * b2 - (((p - a1 * b1) - a2 * b1) - a1 * b2);
        DoubleDouble::new(p, e + (a * other.lo() + self.lo() * b))
    }
}

const LANES: usize = 8;
const CHUNK: usize = 64 * LANES;

/// x . y, by chunks of 512 products, by 8 lanes in a chunk.
fn dot<T: Real>(x: &[T], y: &[T]) -> T {
    let zero = T::from_f64(0.0);
    let mut total = zero;
    for (x, y) in x.chunks(CHUNK).zip(y.chunks(CHUNK)) {
        let mut lanes = [zero; LANES];
        let (x8, y8) = (x.chunks_exact(LANES), y.chunks_exact(LANES));
        for (lane, (x, y)) in lanes
            .iter_mut()
            .zip(x8.remainder().iter().zip(y8.remainder()))
        {
            *lane += x.times(*y);
        }
        for (x, y) in x8.zip(y8) {
            for l in 0..LANES {
                lanes[l] += x[l].times(y[l]);
            }
        }
        let [mut chunk, rest @ ..] = lanes;
        for lane in rest {
            chunk += lane;
        }
        total += chunk;
    }
    total
}

/// How many roundings a product goes through in [`dot`] of this length at most: its own, 64 in its lane, 7 for the lanes, one
/// for each chunk.
fn depth(length: usize) -> usize {
    1 + CHUNK / LANES + (LANES - 1) + length.div_ceil(CHUNK)
}

/// gamma_K, rounded up.
fn gamma<T: Real>(K: usize) -> Ball {
    let Ku = ball(K as f64 * T::UNIT);
    Ku / (ball(1.0) - Ku)
}

/// Rows known up to an error each.
#[derive(Clone, Debug)]
pub(super) struct Rows {
    /// Length of a row.
    width: usize,
    /// The f64 matrix, row by row.
    mid: Vec<f64>,
    /// At least |row| and |exact row - row| of every row.
    norms: Vec<(f64, f64)>,
}

impl Rows {
    /// From `count` exact or nearly exact rows; `row(a)` gives row a.
    pub(super) fn new(count: usize, width: usize, row: impl Fn(usize) -> Vec<Ball> + Sync) -> Rows {
        let rows: Vec<_> = (0..count).into_par_iter().map(|a| split(&row(a))).collect();
        let mut mid = Vec::with_capacity(count * width);
        let mut norms = Vec::with_capacity(count);
        for (row, norm) in rows {
            debug_assert_eq!(row.len(), width);
            mid.extend(row);
            norms.push(norm);
        }
        Rows { width, mid, norms }
    }

    fn count(&self) -> usize {
        self.norms.len()
    }

    fn row(&self, a: usize) -> &[f64] {
        &self.mid[a * self.width..(a + 1) * self.width]
    }

    /// The transposed matrix.
    pub(super) fn transposed(&self) -> Rows {
        let error = norm(self.norms.iter().map(|(_, e)| ball(*e))).upper();
        let (count, width) = (self.width, self.count());
        let mut rows = Rows::new(count, width, |e| {
            (0..width)
                .map(|a| ball(self.mid[a * self.width + e]))
                .collect()
        });
        // The errors of all rows together bound those of all columns together.
        if let Some(first) = rows.norms.first_mut() {
            first.1 = error;
        }
        rows
    }
}

/// A row's f64 part, its norm and the norm of what is missing.
fn split(row: &[Ball]) -> (Vec<f64>, (f64, f64)) {
    let (mid, errors): (Vec<f64>, Vec<f64>) = row.iter().map(|x| x.split()).unzip();
    let size = norm(mid.iter().map(|x| ball(*x))).upper();
    (mid, (size, norm(errors.iter().map(|x| ball(*x))).upper()))
}

/// (sum of squares)^{1/2}.
pub(super) fn norm(entries: impl Iterator<Item = Ball>) -> Ball {
    entries.map(|x| x * x).sum::<Ball>().sqrt()
}

/// The rows l_a (x) r_a.
pub(super) struct Term {
    pub(super) left: Rows,
    pub(super) right: Rows,
}

/// G of the module's header, by its lower triangle, with what is known about the matrix A behind it.
pub(super) struct Gram<T> {
    m: usize,
    G: Vec<T>,
    /// At least |A~|_F^2.
    square: Ball,
    /// At least |A - A~|_F^2.
    radius2: Ball,
    /// Sum of |l_a|^2 + |r_a|^2 over terms and rows.
    sizes: Ball,
    /// K of (1), without the sum over terms.
    depth: usize,
    terms: usize,
}

impl<T: Real> Gram<T> {
    /// The Gram matrix of a matrix with m rows and no columns yet.
    pub(super) fn new(m: usize) -> Self {
        Gram {
            m,
            G: vec![T::from_f64(0.0); m * m],
            square: ball(0.0),
            radius2: ball(0.0),
            sizes: ball(0.0),
            depth: 0,
            terms: 0,
        }
    }

    /// Puts the term's columns beside those that are there.
    pub(super) fn add(&mut self, Term { left, right }: &Term) {
        for (&(l, dl), &(r, dr)) in left.norms.iter().zip(&right.norms) {
            let [l, dl, r, dr] = [l, dl, r, dr].map(ball);
            let (size, error) = (l * r, dl * (r + dr) + l * dr);
            self.square = self.square + size * size;
            self.radius2 = self.radius2 + error * error;
            self.sizes = self.sizes + l * l + r * r;
        }
        self.depth = self.depth.max(depth(left.width) + depth(right.width) + 1);
        self.terms += 1;
        let convert = |rows: &Rows| rows.mid.iter().map(|x| T::from_f64(*x)).collect::<Vec<T>>();
        let (l, r) = (convert(left), convert(right));
        let row = |rows: &Rows, a: usize| a * rows.width..(a + 1) * rows.width;
        // Tiles of 32 x 32 rows stay in the cache; the order inside an entry is dot's.
        const TILE: usize = 32;
        let m = self.m;
        self.G
            .par_chunks_mut(TILE * m)
            .enumerate()
            .for_each(|(t, tile)| {
                let rows = tile.len() / m;
                for first in (0..(t * TILE + rows)).step_by(TILE) {
                    for (a, out) in tile.chunks_mut(m).enumerate() {
                        let a = t * TILE + a;
                        for b in first..(first + TILE).min(a + 1) {
                            let ll = dot(&l[row(left, a)], &l[row(left, b)]);
                            let rr = dot(&r[row(right, a)], &r[row(right, b)]);
                            out[b] += ll * rr;
                        }
                    }
                }
            });
    }

    /// Another matrix's columns beside this one's.
    pub(super) fn join(mut self, other: &Gram<T>) -> Self {
        self.square = self.square + other.square;
        self.radius2 = self.radius2 + other.radius2;
        self.sizes = self.sizes + other.sizes;
        self.depth = self.depth.max(other.depth);
        self.terms += other.terms;
        for (g, o) in self.G.iter_mut().zip(&other.G) {
            *g += *o;
        }
        self
    }

    fn tiny(&self) -> Ball {
        ball(2f64.powi(-900)) * (ball(1.0) + self.sizes + self.square)
    }

    /// What G and a completed decomposition of S = +-(G - c I) can be off by in all, as eigenvalues, where `trace` is at least tr S
    /// and so, all diagonal entries being positive, at least each of them: (1), the rounding of the diagonal, (2).
    fn error(&self, trace: Ball) -> Ball {
        let g = gamma::<T>(depth(self.m) + 2);
        gamma::<T>(self.depth + self.terms) * self.square
            + (ball(2.0 * T::UNIT) + g / (ball(1.0) - g)) * trace
            + self.tiny() * (ball(1.0) + trace)
    }

    /// |A - A~|_F from above.
    pub(super) fn radius(&self) -> Ball {
        self.radius2.sqrt()
    }

    /// |A|_F from above.
    pub(super) fn frobenius(&self) -> Ball {
        self.square.sqrt() + self.radius()
    }

    /// Proves sigma_min(A') >= a: lambda_min(A~ A~') >= (a + radius)^2, by the decomposition of G - c I where
    /// c is that number plus the error. If it stops: a vector v with |A'v| <= a |v|, nearly.
    pub(super) fn sigma_min_at_least(&self, a: f64) -> Result<(), Vec<f64>> {
        let target = ball(a) + self.radius();
        // tr(G - c I) <= tr G <= (1 + gamma) |A~|_F^2.
        let trace = self.square * ball(1.0 + 1.0 / 1024.0);
        let c = target * target + self.error(trace);
        self.cholesky(-c.upper(), false)
    }

    /// Proves |A| <= a, likewise: lambda_max(A~ A~') <= (a - radius)^2. If the decomposition of c I - G stops: a vector
    /// with |A'v| >= a |v|, nearly.
    pub(super) fn norm_at_most(&self, a: f64) -> Result<(), Vec<f64>> {
        let target = ball(a) - self.radius();
        let square = target * target;
        let trace = whole(self.m) * square;
        let c = square - self.error(trace);
        // Below 0 it would prove nothing: the square has lost the sign.
        let c = if target.lower() > 0.0 { c.lower() } else { 0.0 };
        self.cholesky(c, true)
    }

    /// A candidate for a vector v with |A'v|^2 <= c |v|^2, if there is one.
    pub(super) fn witness_below(&self, c: f64) -> Option<Vec<f64>> {
        self.cholesky(-c, false).err()
    }

    /// The decomposition of S = G + shift I or, `negated`, shift I - G; where it stops, the vector of the module's header.
    fn cholesky(&self, shift: f64, negated: bool) -> Result<(), Vec<f64>> {
        const PANEL: usize = 16;
        let m = self.m;
        let mut L: Vec<T> = self
            .G
            .par_iter()
            .map(|g| if negated { -*g } else { *g })
            .collect();
        for j in 0..m {
            L[j * m + j] += T::from_f64(shift);
        }
        // Column j of row i: the entry of S stands where l_ij will stand.
        let entry = |row: &mut [T], other: &[T], j: usize| {
            row[j] = (row[j] - dot(&row[..j], &other[..j])) / other[j];
        };
        for first in (0..m).step_by(PANEL) {
            let last = (first + PANEL).min(m);
            for i in first..last {
                let (above, row) = L.split_at_mut(i * m);
                for j in first..i {
                    entry(row, &above[j * m..], j);
                }
                let t = row[i] - dot(&row[..i], &row[..i]);
                if !(t.value() > 0.0) {
                    return Err(breakdown(&L, m, i));
                }
                row[i] = t.sqrt();
            }
            let (above, below) = L.split_at_mut(last * m);
            let above = &above[..];
            below.par_chunks_mut(m).for_each(|row| {
                for j in first..last {
                    entry(row, &above[j * m..], j);
                }
            });
        }
        Ok(())
    }
}

/// v = (z, 1, 0, ...) with L_11' z = -l_j, j the row that stopped; scaled to largest entry 1.
fn breakdown<T: Real>(L: &[T], m: usize, j: usize) -> Vec<f64> {
    let mut z: Vec<f64> = L[j * m..j * m + j].iter().map(|l| -l.value()).collect();
    for k in (0..j).rev() {
        z[k] /= L[k * m + k].value();
        let (below, at) = (&L[k * m..k * m + k], z[k]);
        for (z, l) in z.iter_mut().zip(below) {
            *z -= at * l.value();
        }
    }
    z.push(1.0);
    let largest = z.iter().fold(0.0f64, |a, z| a.max(z.abs()));
    z.iter_mut().for_each(|z| *z /= largest);
    z.resize(m, 0.0);
    z
}

/// |A'v|^2 from the terms of A: the term's part of A'v is the matrix sum_a v_a l_a r_a'. Evaluated at A~; the radius adds
/// |v| times itself to |A'v|.
pub(super) fn square_of_product(term: &Term, v: &[f64]) -> Ball {
    let Term { left, right } = term;
    let columns = (0..left.width).into_par_iter().map(|e| {
        let scaled: Vec<Ball> = (0..v.len())
            .map(|a| ball(left.row(a)[e]) * ball(v[a]))
            .collect();
        sum(right.width, |f| {
            let x = sum(v.len(), |a| scaled[a] * ball(right.row(a)[f]));
            x * x
        })
    });
    columns.collect::<Vec<_>>().into_iter().sum()
}

/// An upper bound of |A|_2 where there is no claim to test: |A|_2^2 = |A A'|_2, again and again, and in the end the
/// Frobenius norm; after k steps the result is at most a factor rank^{1/2^{k+1}} too large. Each Gram matrix is off by (1).
/// Powers of two keep the numbers in range; what underflows in that is far below `tiny`.
pub(super) fn norm_upper(A: &Rows, steps: i32) -> Ball {
    if A.width < A.count() {
        return norm_upper(&A.transposed(), steps);
    }
    let size = norm(A.mid.iter().map(|x| ball(*x)));
    let radius = norm(A.norms.iter().map(|(_, e)| ball(*e)));
    if steps == 0 || size.is_zero() {
        return size + radius;
    }
    let scale = 2f64
        .powi(-(size.upper().log2() as i32))
        .clamp(2f64.powi(-900), 2f64.powi(900));
    let m = A.count();
    let exact = |rows: &[f64], width: usize| {
        Rows::new(m, width, |a| {
            rows[a * width..(a + 1) * width]
                .iter()
                .map(|x| ball(*x))
                .collect()
        })
    };
    let scaled: Vec<f64> = A.mid.iter().map(|x| scale * x).collect();
    let mut gram = Gram::<f64>::new(m);
    gram.add(&Term {
        left: exact(&scaled, A.width),
        right: exact(&vec![1.0; m], 1),
    });
    let G: Vec<f64> = (0..m * m)
        .map(|x| gram.G[(x / m).max(x % m) * m + (x / m).min(x % m)])
        .collect();
    let error = gamma::<f64>(gram.depth + gram.terms) * gram.square + gram.tiny();
    (norm_upper(&exact(&G, m), steps - 1) + error).sqrt() / ball(scale) + radius
}
