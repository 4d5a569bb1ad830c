//! Smallest and largest singular values of large matrices, proven by one Cholesky decomposition
//! each.
//!
//! **Matrices.** A has m rows; row a is the sum over terms (side by side) of Kronecker products l_a
//! (x) r_a, whose factors are known as numbers of the type T with a bound on what each row is off
//! by. A~ is the matrix of those factors, taken as exact, and |A - A~|_F <= radius, because |l (x)
//! r - l~ (x) r~| <= |dl| (|r~| + |dr|) + |l~| |dr|. By Weyl's inequality every singular value of A
//! is within the radius of that of A~. Numbers are in units of 2^exp, so that the largest are near
//! 1.
//!
//! **Roundings.** Everything below holds for a number type whose +, -, *, /, sqrt are exact up to a
//! factor 1 + delta, |delta| <= u. A sum of products in which every product goes through at most K
//! roundings is off by at most [`gamma`]_K times the sum of the moduli, whatever the order; so
//! blocks and threads change nothing but K.
//!
//! **Gram matrix.** Entry (a, b) of A~ A~' is the sum over terms of (l_a . l_b)(r_a . r_b). The
//! monomials' moduli add up to at most
//! |A~_a| |A~_b| (Cauchy-Schwarz, over entries and over terms), so, with K the roundings of both inner products and of the
//! sum over terms,
//!
//! ```text
//! |G - A~ A~'|_2 <= |G - A~ A~'|_F <= gamma_K |A~|_F^2.                                  (1)
//! ```
//!
//! **Cholesky** (S. M. Rump, *Verification of positive definiteness*, BIT 46, 2006). L is computed
//! by the textbook's l_ij = (s_ij - sum_{k<j} l_ik l_jk) / l_jj and l_jj = sqrt(s_jj - sum_{k<j}
//! l_jk^2), the sum being taken off in parts, with true divisions. If no number under a root is <=
//! 0, the decomposition is complete. Let every product go through at most P roundings before it is
//! taken off, and let there be at most Q subtractions. s_ij goes through the subtractions alone;
//! dividing by its factors, with the quotient (or the root, squared) one factor more,
//! |s_ij - sum_{k<=j} l_ik l_jk| <= gamma_K sum_{k<=j} |l_ik l_jk| with K = P + 2 Q + 2 (Higham, Lemma 8.4). So
//! |S - LL'|_2 <= gamma_K |L|_F^2 and, from the diagonal, |L|_F^2 <= tr S / (1 - gamma_K). As LL' has no negative eigenvalue,
//!
//! ```text
//! lambda_min(S) >= - gamma_K / (1 - gamma_K) tr S.                                       (2)
//! ```
//!
//! **Underflow.** A product or quotient that falls below the normal numbers is off by at most
//! 2^-1000 more (so much for Double); that times a factor of the sizes in play, below 2^40, a few
//! for each of at most 2^50 operations, is below [`TINY`].
//!
//! If the decomposition stops at pivot j, where t = s_jj - sum l_jk^2 <= 0, then v = (-L_11^{-T}
//! l_j, 1, 0...) has v' S v = t <= 0 up to rounding: a candidate for a vector with |A'v| small.
//! Nothing about it is trusted, |A'v| / |v| is evaluated anew by [`Term::times`].

use super::ball::{Ball, ball, whole};
use super::matrix::{Matrix, Real, Rows, depth, dot, exactly, gamma, length};
use super::number::power;
use super::threads::{each, each_chunk};

/// What underflow can do to an eigenvalue, in units of 4^exp.
const TINY: f64 = power(-900);

/// Rows of a block of the Gram matrix, and columns of a block of the decomposition.
const BLOCK: usize = 128;
/// Products added up in registers before they are added to the rest.
const CHUNK: usize = 256;

/// The rows l_a (x) r_a, in units of 2^exp.
pub(crate) struct Term<T> {
    left: Rows<T>,
    right: Rows<T>,
    exp: Option<i64>,
    /// At least |A~|_F and |A - A~|_F, in these units.
    size: f64,
    radius: f64,
}

impl<T: Real> Term<T> {
    pub(crate) fn new(mut left: Rows<T>, right: Rows<T>) -> Self {
        let known = |a: &usize| {
            left.size[*a] + left.error[*a] > 0.0 && right.size[*a] + right.error[*a] > 0.0
        };
        let rows = 0..left.count();
        let exp = rows.clone().filter(known).map(|a| left.exp[a] + right.exp[a]).max();
        let unit = exp.unwrap_or(0);
        let (mut sizes, mut errors) = (Vec::new(), Vec::new());
        for a in rows {
            let shift = left.exp[a] + right.exp[a] - unit;
            // What underflows is below 2^-1000, and all that is below 2^-960 may as well be 0.
            let scale = if shift < -960 { 0.0 } else { power(shift.min(0)) };
            let width = left.width;
            for l in &mut left.mid[a * width..(a + 1) * width] {
                *l = l.scaled(scale);
            }
            let (l, dl) = (left.size[a] * scale, left.error[a] * scale);
            let (r, dr) = (right.size[a], right.error[a]);
            sizes.push(l * r);
            errors.push(dl * (r + dr) + l * dr + power(-900));
        }
        let exact = exp.is_none();
        Term {
            size: length(sizes.iter().copied()),
            radius: if exact { 0.0 } else { length(errors.iter().copied()) },
            exp,
            left,
            right,
        }
    }

    /// A~'v as a vector, and at least what it is off by, for |v| at most `size`, in units of 2^exp:
    /// every product goes through two roundings and through the sum over rows.
    fn times(&self, v: &[f64], size: f64) -> (Vec<T>, f64) {
        const WIDTH: usize = 64;
        let (m, width, outer) = (v.len(), self.left.width, self.right.width);
        let mut out = vec![T::ZERO; width * outer];
        // Entry (f, e) at f width + e; the chunks of a row f are shorter at its end.
        let chunks = width.div_ceil(WIDTH);
        let parts = each(outer * chunks, m * WIDTH, |part| {
            let (f, first) = (part / chunks, part % chunks * WIDTH);
            let last = (first + WIDTH).min(width);
            let mut sums = vec![T::ZERO; last - first];
            for a in 0..m {
                let c = T::of(v[a]) * self.right.row(a)[f];
                for (sum, l) in sums.iter_mut().zip(&self.left.row(a)[first..last]) {
                    *sum = *sum + c * *l;
                }
            }
            sums
        });
        for (out, x) in out.iter_mut().zip(parts.into_iter().flatten()) {
            *out = x;
        }
        (out, gamma::<T>(m + 2) * self.size * size * (1.0 + power(-40)) + TINY)
    }
}

/// At least |A'v| / |v|, nearly equal to it, where A has these terms side by side; unknown if v is
/// 0.
pub(crate) fn quotient<T: Real>(terms: impl Iterator<Item = Term<T>>, v: &[f64]) -> Ball {
    let size = length(v.iter().copied());
    let (mut square, mut off) = (Ball::ZERO, Ball::ZERO);
    for term in terms {
        let Some(exp) = term.exp else { continue };
        let (product, error) = term.times(v, size);
        let own: Ball = product.into_iter().map(|x| exactly(x) * exactly(x)).sum();
        square = square + own.shifted(2 * exp);
        let error = ball(error) + ball(term.radius) * ball(size);
        off = off + (error * error).shifted(2 * exp);
    }
    let length = v.iter().map(|v| ball(*v) * ball(*v)).sum::<Ball>().sqrt();
    // | |A'v| - |computed| | <= |off|: a ball around the computed value.
    let off = off.sqrt().upper_ball();
    (square.sqrt().widened(off)) / length
}

/// G of the module's header, by its lower triangle, with what is known about the matrix A behind
/// it.
pub(crate) struct Gram<T> {
    m: usize,
    G: Vec<T>,
    exp: i64,
    /// At least |A~|_F^2.
    square: Ball,
    /// At least |A - A~|_F^2.
    radius2: Ball,
    /// K of (1), without the sum over terms.
    depth: usize,
    terms: usize,
}

/// Rows in panels of four, for [`products`]: entry k of the four rows side by side.
fn panels<T: Real>(rows: &[T], stride: usize, columns: std::ops::Range<usize>) -> Vec<T> {
    let count = rows.len() / stride;
    let mut panels = vec![T::ZERO; count.next_multiple_of(4) * columns.len()];
    for (panel, out) in panels.chunks_exact_mut((4 * columns.len()).max(1)).enumerate() {
        for i in 0..4.min(count - 4 * panel) {
            let row = &rows[(4 * panel + i) * stride..][columns.clone()];
            for (out, x) in out.iter_mut().skip(i).step_by(4).zip(row) {
                *out = *x;
            }
        }
    }
    panels
}

/// The sixteen inner products of the rows of two panels, added up one after the other.
#[inline(always)]
fn products<T: Real>(a: &[T], b: &[T]) -> [[T; 4]; 4] {
    let mut sums = [[T::ZERO; 4]; 4];
    for (a, b) in a.as_chunks::<4>().0.iter().zip(b.as_chunks::<4>().0) {
        for i in 0..4 {
            for j in 0..4 {
                sums[i][j] = sums[i][j] + a[i] * b[j];
            }
        }
    }
    sums
}

/// [`products`] by chunks: a product goes through 1 + CHUNK roundings, and one for each chunk.
fn long_products<T: Real>(a: &[T], b: &[T]) -> [[T; 4]; 4] {
    let mut sums = [[T::ZERO; 4]; 4];
    for (a, b) in a.chunks(4 * CHUNK).zip(b.chunks(4 * CHUNK)) {
        let part = products(a, b);
        for i in 0..4 {
            for j in 0..4 {
                sums[i][j] = sums[i][j] + part[i][j];
            }
        }
    }
    sums
}

fn long_depth(width: usize) -> usize {
    1 + width.min(CHUNK) + width.div_ceil(CHUNK)
}

impl<T: Real> Gram<T> {
    /// The Gram matrix of a matrix with m rows and these terms side by side.
    pub(crate) fn new(m: usize, terms: impl Iterator<Item = Term<T>>) -> Self {
        let mut gram = Gram {
            m,
            G: vec![T::ZERO; m * m],
            exp: 0,
            square: Ball::ZERO,
            radius2: Ball::ZERO,
            depth: 0,
            terms: 0,
        };
        for term in terms {
            gram.add(&term);
        }
        gram
    }

    /// Makes the units at least 2^exp; what is lost is below 2^-940 of the new ones.
    fn rescale(&mut self, exp: i64) {
        if self.terms == 0 {
            self.exp = exp;
        }
        if exp <= self.exp {
            return;
        }
        let shift = 2 * (self.exp - exp);
        let scale = if shift < -1000 { 0.0 } else { power(shift) };
        self.exp = exp;
        self.G.iter_mut().for_each(|g| *g = g.scaled(scale));
    }

    /// Puts the term's columns beside those that are there.
    fn add(&mut self, term: &Term<T>) {
        let Some(exp) = term.exp else { return };
        self.rescale(exp);
        let Term { left, right, size, radius, .. } = term;
        self.square = self.square + (ball(*size) * ball(*size)).shifted(2 * exp);
        self.radius2 = self.radius2 + (ball(*radius) * ball(*radius)).shifted(2 * exp);
        self.depth = self.depth.max(long_depth(left.width) + long_depth(right.width) + 1);
        self.terms += 1;
        // Exact, but for what underflows.
        let shift = 2 * (exp - self.exp);
        let scale = if shift < -1000 { 0.0 } else { power(shift) };
        let l = panels(&left.mid, left.width, 0..left.width);
        let r = panels(&right.mid, right.width, 0..right.width);
        let panel = |rows: &Rows<T>, p: usize| 4 * p * rows.width..4 * (p + 1) * rows.width;
        let m = self.m;
        let work = BLOCK * m / 2 * (left.width + right.width);
        each_chunk(&mut self.G, BLOCK * m, work, |block, out| {
            let (first, rows) = (BLOCK * block, out.len() / m);
            for q in 0..(first + rows).div_ceil(4) {
                for p in (first / 4).max(q)..(first + rows).div_ceil(4) {
                    let ll = long_products(&l[panel(left, p)], &l[panel(left, q)]);
                    let rr = long_products(&r[panel(right, p)], &r[panel(right, q)]);
                    for i in 0..4.min(first + rows - 4 * p) {
                        for j in 0..4.min(m - 4 * q) {
                            let g = &mut out[(4 * p + i - first) * m + 4 * q + j];
                            *g = *g + (ll[i][j] * rr[i][j]).scaled(scale);
                        }
                    }
                }
            }
        });
    }

    /// Another matrix's columns beside this one's.
    pub(crate) fn join(&mut self, other: &Gram<T>) {
        if other.terms == 0 {
            return;
        }
        self.rescale(other.exp);
        let shift = 2 * (other.exp - self.exp);
        let scale = if shift < -1000 { 0.0 } else { power(shift) };
        self.square = self.square + other.square;
        self.radius2 = self.radius2 + other.radius2;
        self.depth = self.depth.max(other.depth);
        self.terms += other.terms;
        for (g, o) in self.G.iter_mut().zip(&other.G) {
            *g = *g + o.scaled(scale);
        }
    }

    /// What G and a completed decomposition of S = +-(G - c I) can be off by in all, as
    /// eigenvalues, where `trace` is at least tr S and so, all diagonal entries being positive, at
    /// least each of them: (1), the rounding of the diagonal, (2).
    fn error(&self, trace: Ball) -> Ball {
        let chunks = self.m.div_ceil(CHUNK) + self.m.div_ceil(BLOCK) + 1;
        let products = 1 + CHUNK.max(depth(BLOCK));
        let g = ball(gamma::<T>(products + 2 * (chunks + 1) + 2));
        let tiny = (ball(TINY) * (ball(2.0) + trace.shifted(-2 * self.exp))).shifted(2 * self.exp);
        ball(gamma::<T>(self.depth + self.terms)) * self.square
            + (ball(2.0 * T::UNIT) + g / (ball(1.0) - g)) * trace
            + tiny
    }

    /// |A - A~|_F from above.
    fn radius(&self) -> Ball {
        self.radius2.sqrt()
    }

    /// |A|_F from above.
    pub(crate) fn frobenius(&self) -> Ball {
        self.square.sqrt() + self.radius()
    }

    /// Proves sigma_min(A') >= a: lambda_min(A~ A~') >= (a + radius)^2, by the decomposition of G -
    /// c I where c is that number plus the error. If it stops: a vector v with |A'v| <= a |v|,
    /// nearly.
    pub(crate) fn sigma_min_at_least(&self, a: Ball) -> Result<(), Vec<f64>> {
        let target = a + self.radius();
        // tr(G - c I) <= tr G <= (1 + gamma) |A~|_F^2.
        let trace = self.square * ball(1.0 + 1.0 / 1024.0);
        let c = target * target + self.error(trace);
        self.cholesky(-c.shifted(-2 * self.exp).upper(), false)
    }

    /// Proves |A| <= a, likewise: lambda_max(A~ A~') <= (a - radius)^2. If the decomposition of
    /// c I - G stops: a vector with |A'v| >= a |v|, nearly.
    pub(crate) fn norm_at_most(&self, a: Ball) -> Result<(), Vec<f64>> {
        let target = a - self.radius();
        let square = target * target;
        let trace = whole(self.m) * square;
        let c = (square - self.error(trace)).shifted(-2 * self.exp);
        // Below 0 it would prove nothing: the square has lost the sign.
        let c = if ball(0.0).below(target) { c.lower() } else { 0.0 };
        self.cholesky(c, true)
    }

    /// An upper bound of |A|, nearly as small as there is: a candidate from the power method, which
    /// nothing rests on, if it is proven, else |A|_F.
    pub(crate) fn norm_upper(&self) -> Ball {
        let m = self.m;
        let entry = |a: usize, b: usize| self.G[a.max(b) * m + a.min(b)].double().hi;
        let mut v: Vec<f64> = (0..m).map(|a| 1.0 + 0.1 * (a as f64).sin()).collect();
        let mut square = 0.0;
        for _ in 0..24 {
            let Gv: Vec<f64> = (0..m).map(|a| (0..m).map(|b| entry(a, b) * v[b]).sum()).collect();
            let size = length(Gv.iter().copied());
            square = size / length(v.iter().copied());
            v = Gv.iter().map(|x| x / size).collect();
        }
        let near = ball(square).sqrt().shifted(self.exp);
        let candidates = [1.0 / 256.0, 1.0 / 16.0].map(|more| near * ball(1.0 + more));
        let proven = candidates.into_iter().find(|a| self.norm_at_most(*a).is_ok());
        proven.unwrap_or(self.frobenius()).upper_ball()
    }

    /// A candidate for a vector v with |A'v| <= a |v|, if there is one.
    pub(crate) fn witness_below(&self, a: Ball) -> Option<Vec<f64>> {
        let c = (a * a).shifted(-2 * self.exp).upper();
        self.cholesky(-c, false).err()
    }

    /// The decomposition of S = G + shift I or, `negated`, shift I - G; where it stops, the vector
    /// of the module's header.
    fn cholesky(&self, shift: f64, negated: bool) -> Result<(), Vec<f64>> {
        let m = self.m;
        let mut L: Vec<T> = self.G.clone();
        if negated {
            L.iter_mut().for_each(|g| *g = -*g);
        }
        for j in 0..m {
            L[j * m + j] = L[j * m + j] + T::of(shift);
        }
        for first in (0..m).step_by(BLOCK) {
            let last = (first + BLOCK).min(m);
            let (_, rest) = L.split_at_mut(first * m);
            let (diagonal, below) = rest.split_at_mut((last - first) * m);
            // The columns before this block, by chunks; the diagonal block's rows stand on both
            // sides.
            let chunk = |c: usize| c..(c + CHUNK).min(first);
            let packed: Vec<Vec<T>> =
                (0..first).step_by(CHUNK).map(|c| panels(diagonal, m, chunk(c))).collect();
            update(diagonal, m, first..last, &packed);
            for i in first..last {
                let (done, row) = diagonal.split_at_mut((i - first) * m);
                let row = &mut row[..m];
                for j in first..i {
                    let other = &done[(j - first) * m..];
                    row[j] = (row[j] - dot(&row[first..j], &other[first..j])) / other[j];
                }
                let t = row[i] - dot(&row[first..i], &row[first..i]);
                if !(t.double().hi > 0.0) {
                    return Err(breakdown(&L, m, i));
                }
                row[i] = t.sqrt();
            }
            let diagonal = &diagonal[..];
            let work = BLOCK / 2 * (last - first) * last;
            each_chunk(below, BLOCK / 2 * m, work, |_, rows| {
                update(rows, m, first..last, &packed);
                for row in rows.chunks_mut(m) {
                    for j in first..last {
                        let other = &diagonal[(j - first) * m..];
                        row[j] = (row[j] - dot(&row[first..j], &other[first..j])) / other[j];
                    }
                }
            });
        }
        Ok(())
    }
}

/// Takes the products of the rows' earlier columns with the packed rows off the columns of the
/// block, one chunk of columns after the other.
fn update<T: Real>(rows: &mut [T], m: usize, block: std::ops::Range<usize>, packed: &[Vec<T>]) {
    for (c, other) in packed.iter().enumerate() {
        let width = (block.start - c * CHUNK).min(CHUNK);
        let own = panels(rows, m, c * CHUNK..c * CHUNK + width);
        for (q, b) in other.chunks_exact(4 * width).enumerate() {
            for (p, a) in own.chunks_exact(4 * width).enumerate() {
                let sums = products(a, b);
                for (row, sums) in rows[4 * p * m..].chunks_mut(m).zip(&sums) {
                    let columns = block.start + 4 * q..block.end.min(block.start + 4 * q + 4);
                    for (x, s) in row[columns].iter_mut().zip(sums) {
                        *x = *x - *s;
                    }
                }
            }
        }
    }
}

/// v = (z, 1, 0, ...) with L_11' z = -l_j, j the row that stopped; scaled to largest entry 1.
fn breakdown<T: Real>(L: &[T], m: usize, j: usize) -> Vec<f64> {
    let value = |x: T| x.double().hi;
    let mut z: Vec<f64> = L[j * m..j * m + j].iter().map(|l| -value(*l)).collect();
    for k in (0..j).rev() {
        z[k] /= value(L[k * m + k]);
        let (below, at) = (&L[k * m..k * m + k], z[k]);
        for (z, l) in z.iter_mut().zip(below) {
            *z -= at * value(*l);
        }
    }
    z.push(1.0);
    let largest = z.iter().fold(0.0f64, |a, z| a.max(z.abs()));
    z.iter_mut().for_each(|z| *z /= largest);
    z.resize(m, 0.0);
    z
}

/// An upper bound of |A|_2 where there is no claim to test: |A|_2^2 = |A A'|_2, again and again,
/// and in the end the Frobenius norm; after k steps the result is at most a factor rank^{1/2^{k+1}}
/// too large. Each Gram matrix is off by (1).
pub(crate) fn norm_upper(A: &Matrix, steps: u32) -> Ball {
    let transposed = A.rows > A.cols;
    let rows: Rows<f64> = if transposed { Rows::of(&A.transposed()) } else { Rows::of(A) };
    let ones = Rows::ones(rows.count());
    // The number 1 is 2^-1 2^1 there, and its product with what it stands beside exact.
    let term = Term::new(rows, ones);
    let Some(exp) = term.exp else {
        return Ball::ZERO;
    };
    let (m, width) = (term.left.count(), term.left.width);
    let bound = ball(0.5) * norm_of(&term.left.mid, m, width, steps) + ball(term.radius);
    bound.upper_ball().shifted(exp)
}

/// At least the norm of an m x width matrix of f64 numbers.
fn norm_of(A: &[f64], m: usize, width: usize, steps: u32) -> Ball {
    let size = length(A.iter().copied());
    let Some(exp) = ball(size).magnitude() else {
        return Ball::ZERO;
    };
    if steps == 0 || !size.is_finite() {
        return ball(size);
    }
    // Powers of two keep the numbers in range; what underflows in that is far below TINY.
    let scaled: Vec<f64> = A.iter().map(|x| exactly_times(*x, -exp)).collect();
    let row = |a: usize| &scaled[a * width..(a + 1) * width];
    let mut G = vec![0.0; m * m];
    for a in 0..m {
        for b in 0..=a {
            G[a * m + b] = dot(row(a), row(b));
            G[b * m + a] = G[a * m + b];
        }
    }
    let error = ball(gamma::<f64>(depth(width))) + ball(TINY);
    (norm_of(&G, m, m, steps - 1) + error).sqrt().shifted(exp)
}

/// 2^e x, in two steps: 2^e alone may not be an f64.
fn exactly_times(x: f64, e: i64) -> f64 {
    x * power(e / 2) * power(e - e / 2)
}
