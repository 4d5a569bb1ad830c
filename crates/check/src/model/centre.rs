//! Rows of f64 numbers, each known up to an error in norm, and how large matrices of such rows are.

use super::table::{Axes, Table, add, mul, norm, root};
use crate::ball::Ball;
use crate::matrix::{depth, dot, gamma, length};
use crate::number::power;
use std::rc::Rc;

/// Rows of `width` numbers.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    pub(crate) width: usize,
    numbers: Vec<f64>,
    /// The parts of PART columns outside of which a row is 0, ascending: few parameters move a number
    /// of an early node.
    parts: Vec<Vec<usize>>,
    /// What a row may be off by.
    error: Vec<f64>,
    /// At least the norm of the row, exact or computed.
    pub(crate) size: Vec<f64>,
}

/// A coefficient, as a number and what it is off by, and the row it stands before: which rows, which of them.
pub(crate) type Term = (f64, f64, usize, usize);

/// A coefficient's number and error.
pub(crate) fn coefficient(x: Ball) -> (f64, f64) {
    let near = 0.5 * x.upper() + 0.5 * x.lower();
    if !near.is_finite() {
        return (0.0, f64::INFINITY);
    }
    (near, (x.upper() - near).max(near - x.lower()).next_up())
}

/// Columns that are looked at together.
const PART: usize = 32;

/// Subarrays of more rows than this get the Frobenius norm.
const WIDEST: usize = 512;

impl Rows {
    /// The unit vectors.
    pub(crate) fn unit(width: usize) -> Rows {
        let numbers = (0..width * width).map(|i| f64::from(u8::from(i / width == i % width)));
        let parts = (0..width).map(|a| vec![a / PART]).collect();
        let (error, size) = (vec![0.0; width], vec![1.0; width]);
        Rows { width, numbers: numbers.collect(), parts, error, size }
    }

    /// `count` of the unit vectors, from one on.
    pub(crate) fn units(width: usize, first: usize, count: usize) -> Rows {
        let mut numbers = vec![0.0; count * width];
        (0..count).for_each(|a| numbers[a * width + first + a] = 1.0);
        let parts = (0..count).map(|a| vec![(first + a) / PART]).collect();
        let (error, size) = (vec![0.0; count], vec![1.0; count]);
        Rows { width, numbers, parts, error, size }
    }

    pub(crate) fn of(width: usize, balls: &[Ball]) -> Rows {
        let parts: Vec<(f64, f64)> = balls.iter().map(|x| coefficient(*x)).collect();
        let numbers: Vec<f64> = parts.iter().map(|part| part.0).collect();
        let error: Vec<f64> =
            parts.chunks(width).map(|row| norm(row.iter().map(|part| part.1))).collect();
        let size = numbers.chunks(width).zip(&error);
        let size = size.map(|(row, e)| add(length(row.iter().copied()), *e)).collect();
        let parts = vec![(0..width.div_ceil(PART)).collect(); error.len()];
        Rows { width, numbers, parts, error, size }
    }

    /// A part of row a.
    fn part(&self, a: usize, part: usize) -> &[f64] {
        let row = &self.numbers[a * self.width..(a + 1) * self.width];
        &row[part * PART..self.width.min(part * PART + PART)]
    }

    /// Row a times row b.
    fn product(&self, a: usize, b: usize) -> f64 {
        self.product_with(a, self, b)
    }

    /// Row a times row b of others: the sum over the parts in which neither is 0.
    fn product_with(&self, a: usize, other: &Rows, b: usize) -> f64 {
        let (mut of_a, mut of_b) = (&self.parts[a][..], &other.parts[b][..]);
        let mut sum = 0.0;
        while let ([i, rest_a @ ..], [j, rest_b @ ..]) = (of_a, of_b) {
            if i == j {
                sum += dot(self.part(a, *i), other.part(b, *i));
            }
            (of_a, of_b) = (if i <= j { rest_a } else { of_a }, if j <= i { rest_b } else { of_b });
        }
        sum
    }

    /// Rows that are sums of others with coefficients. sum_i c_i u_i is off by sum_i (|c_i| e_i + d_i |u_i|) for what rows and
    /// coefficients are off by, and each product goes through at most n roundings (and one more).
    pub(crate) fn combined(
        of: &[Option<&Rows>],
        count: usize,
        terms: impl Fn(usize) -> Vec<Term>,
    ) -> Option<Rows> {
        let width = of.iter().flatten().next()?.width;
        let mut rows = Rows {
            width,
            numbers: vec![0.0; count * width],
            parts: vec![Vec::new(); count],
            error: vec![0.0; count],
            size: vec![0.0; count],
        };
        let mut touched = vec![false; width.div_ceil(PART)];
        for a in 0..count {
            let out = &mut rows.numbers[a * width..(a + 1) * width];
            touched.fill(false);
            let (mut carried, mut moduli, mut n) = (0.0, 0.0, 0usize);
            for (c, off, i, row) in terms(a) {
                let Some(u) = of[i].filter(|u| u.size[row] > 0.0) else { continue };
                for part in &u.parts[row] {
                    touched[*part] = true;
                    for (x, y) in out[part * PART..].iter_mut().zip(u.part(row, *part)) {
                        *x += c * y;
                    }
                }
                carried =
                    add(carried, add(mul(add(c.abs(), off), u.error[row]), mul(off, u.size[row])));
                moduli = add(moduli, mul(c.abs(), u.size[row]));
                n += 1;
            }
            if n > 0 {
                let tiny = (n * width) as f64 * power(-1022);
                rows.error[a] = add(add(carried, mul(gamma::<f64>(n + 1), moduli)), tiny);
                rows.parts[a] = (0..touched.len()).filter(|part| touched[*part]).collect();
                let numbers = rows.parts[a].iter().flat_map(|part| rows.part(a, *part));
                rows.size[a] = add(length(numbers.copied()), rows.error[a]);
            }
        }
        Some(rows)
    }

    /// At least the spectral norm of some of the rows.
    fn spectral(&self, rows: &[usize], gram: &impl Fn(usize, usize) -> f64) -> f64 {
        let frobenius = norm(rows.iter().map(|a| self.size[*a]));
        if rows.len() <= 1 || rows.len() > WIDEST {
            return frobenius;
        }
        // |A|^2 is at most the largest eigenvalue of A A', which is off by gamma |A|_F^2.
        let n = rows.len();
        let mut G = vec![0.0; n * n];
        for i in 0..n {
            for j in 0..=i {
                G[i * n + j] = gram(rows[i], rows[j]);
                G[j * n + i] = G[i * n + j];
            }
        }
        let off = mul(gamma::<f64>(depth(PART) + self.width / PART + 2), mul(frobenius, frobenius));
        let square = add(largest_eigenvalue(&G, n, 80), add(off, power(-1000)));
        add(root(square), norm(rows.iter().map(|a| self.error[*a]))).min(frobenius)
    }

    /// At least the spectral norm of all rows.
    pub(crate) fn whole(&self) -> f64 {
        let all: Vec<usize> = (0..self.size.len()).collect();
        self.spectral(&all, &|a, b| self.product(a, b))
    }

    /// The spectral norms of the rows of all parts of an array.
    pub(crate) fn norms(&self, axes: &Rc<Axes>) -> Table {
        let mut table = Table::new(axes, 0.0);
        let count = self.size.len();
        // All products once, where there are not too many.
        let mut products = vec![0.0; if count <= 2 * WIDEST { count * count } else { 0 }];
        if !products.is_empty() {
            for i in 0..count {
                for j in 0..=i {
                    products[i * count + j] = self.product(i, j);
                }
            }
        }
        let gram = |a: usize, b: usize| match products.get(a.max(b) * count + a.min(b)) {
            Some(x) => *x,
            None => self.product(a, b),
        };
        for S in 0..=axes.all() {
            let mut members = vec![Vec::new(); axes.parts[S]];
            axes.of[S].iter().enumerate().for_each(|(e, s)| members[*s].push(e));
            table.at[S] = members.iter().map(|rows| self.spectral(rows, &gram)).collect();
        }
        table.settle(true)
    }
}

/// A A' for a matrix whose rows come in parts, one beside the other.
pub(crate) struct Gram {
    n: usize,
    G: Vec<f64>,
    /// The sums of squares of what the numbers are off by, and of the numbers; and how many parts there are.
    errors: f64,
    squares: f64,
    parts: usize,
    width: usize,
}

impl Gram {
    /// Of n rows.
    pub(crate) fn new(n: usize) -> Gram {
        Gram { n, G: vec![0.0; n * n], errors: 0.0, squares: 0.0, parts: 0, width: 0 }
    }

    /// One more part of the rows: some of them from each of these places on, the others are 0.
    pub(crate) fn add(&mut self, rows: &[(usize, &Rows)]) {
        for (first, of) in rows {
            for i in 0..of.size.len() {
                self.errors = add(self.errors, mul(of.error[i], of.error[i]));
                self.squares = add(self.squares, mul(of.size[i], of.size[i]));
                let to = first + i;
                for (other_first, others) in rows {
                    for j in (0..others.size.len()).filter(|j| other_first + j <= to) {
                        self.G[to * self.n + other_first + j] += of.product_with(i, others, j);
                    }
                }
            }
            self.width = of.width;
        }
        self.parts += 1;
    }

    /// At least the norm of A. A product of two rows goes through at most as many roundings as one part's, and one for each part.
    pub(crate) fn norm(mut self) -> f64 {
        let n = self.n;
        for i in 0..n {
            for j in 0..i {
                self.G[j * n + i] = self.G[i * n + j];
            }
        }
        let roundings = depth(PART) + self.width / PART + 2 + self.parts;
        let off = add(mul(gamma::<f64>(roundings), self.squares), power(-1000));
        add(root(add(largest_eigenvalue(&self.G, n, 240), off)), root(self.errors))
    }
}

/// At least the largest eigenvalue of a symmetric matrix with trace > 0: c with a completed decomposition of c I - G, by
/// (2) of `gram.rs`, and what its diagonal lost.
pub(crate) fn largest_eigenvalue(G: &[f64], n: usize, steps: usize) -> f64 {
    let trace = (0..n).fold(0.0, |sum, a| add(sum, G[a * n + a].abs()));
    if !(trace > power(-900) && trace < power(900)) || G.iter().any(|x| !x.is_finite()) {
        // The trace of a positive matrix is at least its largest eigenvalue; what is not positive is rounding.
        return if trace.is_finite() { mul(2.0, add(trace, power(-900))) } else { f64::INFINITY };
    }
    let estimate = estimate(G, n, steps);
    for margin in [-30, -24, -20, -17, -14, -12, -10, -8, -6, -4, -2] {
        let c = estimate * (1.0 + power(margin));
        let mut S: Vec<f64> = G.iter().map(|x| -x).collect();
        let (mut sum, mut most) = (0.0, 0.0f64);
        for a in 0..n {
            S[a * n + a] += c;
            sum = add(sum, S[a * n + a].abs());
            most = most.max(S[a * n + a].abs());
        }
        if complete(&mut S, n) {
            let g = gamma::<f64>(n + 2);
            let lost = add(mul(2.0 * g, sum), mul(f64::EPSILON, most));
            return add(add(c, lost), (n * n) as f64 * power(-1000));
        }
    }
    mul(2.0, trace)
}

/// About the largest eigenvalue: the power method, from a few squares of the matrix where these are cheap.
fn estimate(G: &[f64], n: usize, steps: usize) -> f64 {
    let times = |M: &[f64], v: &[f64]| -> Vec<f64> { M.chunks(n).map(|row| dot(row, v)).collect() };
    let scale = |v: &mut Vec<f64>| {
        let size = length(v.iter().copied());
        v.iter_mut().for_each(|x| *x /= size);
        size
    };
    let mut power = G.to_vec();
    scale(&mut power);
    for _ in 0..if n <= 48 { 9 } else { 0 } {
        let mut square = vec![0.0; n * n];
        for i in 0..n {
            for j in 0..n {
                square[i * n + j] = dot(&power[i * n..(i + 1) * n], &power[j * n..(j + 1) * n]);
            }
        }
        scale(&mut square);
        power = square;
    }
    let mut v: Vec<f64> = (0..n).map(|i| 1.0 + 0.3 * ((7 * i + 3) as f64).sin()).collect();
    for _ in 0..if n <= 48 { 3 } else { steps } {
        v = times(&power, &v);
        scale(&mut v);
    }
    let mut value = 0.0;
    for _ in 0..3 {
        v = times(G, &v);
        value = scale(&mut v);
    }
    value
}

/// Whether the textbook's decomposition L L' of a symmetric matrix is completed.
fn complete(S: &mut [f64], n: usize) -> bool {
    for i in 0..n {
        let (done, rest) = S.split_at_mut(i * n);
        let row = &mut rest[..n];
        for j in 0..i {
            let other = &done[j * n..j * n + n];
            row[j] = (row[j] - dot(&row[..j], &other[..j])) / other[j];
        }
        let pivot = row[i] - dot(&row[..i], &row[..i]);
        if !(pivot > 0.0) {
            return false;
        }
        row[i] = pivot.sqrt();
    }
    true
}
