//! Matrices of balls, and their rows as numbers with one error bound a row.

use super::ball::{Ball, ball, norm, sum};
use super::number::{Double, ROUNDING, power};
use super::threads::each;
use std::ops::{Add, Div, Index, IndexMut, Mul, Neg, Sub};

/// A dense matrix, row by row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Matrix<T = Ball> {
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) data: Vec<T>,
}

impl<T: Copy> Matrix<T> {
    pub(crate) fn new(rows: usize, cols: usize, entry: impl Fn(usize, usize) -> T) -> Self {
        let data = (0..rows * cols).map(|a| entry(a / cols, a % cols));
        let data = data.collect();
        Matrix { rows, cols, data }
    }

    pub(crate) fn row(&self, a: usize) -> &[T] {
        &self.data[a * self.cols..(a + 1) * self.cols]
    }

    pub(crate) fn column(&self, e: usize) -> impl Iterator<Item = T> + Clone {
        (0..self.rows).map(move |a| self[(a, e)])
    }

    pub(crate) fn transposed(&self) -> Self {
        Matrix::new(self.cols, self.rows, |e, a| self[(a, e)])
    }

    pub(crate) fn map<U: Copy>(&self, of: impl Fn(T) -> U) -> Matrix<U> {
        Matrix::new(self.rows, self.cols, |a, e| of(self[(a, e)]))
    }
}

impl<T> Index<(usize, usize)> for Matrix<T> {
    type Output = T;
    fn index(&self, (a, e): (usize, usize)) -> &T {
        &self.data[a * self.cols + e]
    }
}

impl<T> IndexMut<(usize, usize)> for Matrix<T> {
    fn index_mut(&mut self, (a, e): (usize, usize)) -> &mut T {
        &mut self.data[a * self.cols + e]
    }
}

impl Matrix {
    /// |row a|.
    pub(crate) fn row_norm(&self, a: usize) -> Ball {
        norm(self.row(a).iter().copied())
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.data.iter().all(|x| x.is_zero())
    }
}

/// The matrix product, entry by entry.
pub(crate) fn product(a: &Matrix, b: &Matrix) -> Matrix {
    Matrix::new(a.rows, b.cols, |i, j| sum(a.cols, |l| a[(i, l)] * b[(l, j)]))
}

/// M M'.
pub(crate) fn gram_of(M: &Matrix) -> Matrix {
    product(M, &M.transposed())
}

/// A number type whose + - * / sqrt are exact up to a factor 1 + delta, |delta| <= UNIT.
pub(crate) trait Real:
    Copy
    + Send
    + Sync
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
{
    const UNIT: f64;
    const ZERO: Self;
    /// The nearest number of this type, and at least what it is off by.
    fn round(x: Double) -> (Self, f64);
    fn sqrt(self) -> Self;
    /// Times a power of two, exact unless it underflows.
    fn scaled(self, power: f64) -> Self;
    fn double(self) -> Double;
    fn of(x: f64) -> Self {
        Self::round(Double::exact(x)).0
    }
}

impl Real for f64 {
    const UNIT: f64 = f64::EPSILON / 2.0;
    const ZERO: f64 = 0.0;
    fn round(x: Double) -> (f64, f64) {
        (x.hi, x.lo.abs())
    }
    fn sqrt(self) -> f64 {
        self.sqrt()
    }
    #[inline(always)]
    fn scaled(self, power: f64) -> f64 {
        self * power
    }
    fn double(self) -> Double {
        Double::exact(self)
    }
}

impl Real for Double {
    const UNIT: f64 = ROUNDING;
    const ZERO: Double = Double::ZERO;
    fn round(x: Double) -> (Double, f64) {
        (x, 0.0)
    }
    fn sqrt(self) -> Double {
        self.sqrt()
    }
    #[inline(always)]
    fn scaled(self, power: f64) -> Double {
        self.scaled(power)
    }
    fn double(self) -> Double {
        self
    }
}

/// The number, exactly.
pub(crate) fn exactly<T: Real>(x: T) -> Ball {
    Ball::around(x.double(), 0.0, 0)
}

/// At least the Euclidean norm of fewer than 2^20 numbers, divided by their largest first.
pub(crate) fn length(numbers: impl Iterator<Item = f64> + Clone) -> f64 {
    let largest = numbers.clone().fold(0.0f64, |a, x| a.max(x.abs()));
    if largest == 0.0 || !largest.is_finite() {
        return largest;
    }
    let squares = numbers.map(|x| (x / largest) * (x / largest));
    largest * squares.sum::<f64>().sqrt() * (1.0 + power(-30)) + power(-1022)
}

/// gamma_K = K u / (1 - K u), rounded up: a sum of products in which every product goes through at
/// most K roundings is off by at most gamma_K times the sum of the moduli, whatever the order
/// (Higham, *Accuracy and Stability of Numerical Algorithms*, 2002, section 3.1).
pub(crate) fn gamma<T: Real>(K: usize) -> f64 {
    let Ku = K as f64 * T::UNIT;
    Ku / (1.0 - Ku) * (1.0 + power(-40))
}

const LANES: usize = 8;

/// x . y, by 8 lanes.
#[inline(always)]
pub(crate) fn dot<T: Real>(x: &[T], y: &[T]) -> T {
    let mut lanes = [T::ZERO; LANES];
    let (x, x_rest) = x.as_chunks::<LANES>();
    let (y, y_rest) = y.as_chunks::<LANES>();
    for (x, y) in x.iter().zip(y) {
        for l in 0..LANES {
            lanes[l] = lanes[l] + x[l] * y[l];
        }
    }
    let rest = x_rest.iter().zip(y_rest).map(|(x, y)| *x * *y);
    lanes.into_iter().chain(rest).fold(T::ZERO, |a, b| a + b)
}

/// How many roundings a product goes through in [`dot`] at most.
pub(crate) fn depth(length: usize) -> usize {
    1 + length / LANES + 2 * LANES
}

/// Rows with a bound on what each is off by: row a is 2^exp[a] (mid + error), |mid| <= size[a],
/// |error| <= error[a].
#[derive(Clone, Debug)]
pub(crate) struct Rows<T> {
    pub(crate) width: usize,
    pub(crate) mid: Vec<T>,
    pub(crate) exp: Vec<i64>,
    pub(crate) size: Vec<f64>,
    pub(crate) error: Vec<f64>,
}

impl<T: Real> Rows<T> {
    /// From `count` rows, scaled to entries below 1.
    pub(crate) fn new(count: usize, width: usize, row: impl Fn(usize) -> Vec<Ball> + Sync) -> Self {
        let one = |a: usize| {
            let row = row(a);
            let exp = row.iter().filter_map(|x| x.magnitude()).max().unwrap_or(0);
            let mut errors = Vec::with_capacity(width);
            let mid: Vec<T> = row
                .iter()
                .map(|x| {
                    let (mid, rad) = x.in_units(exp);
                    let (mid, lost) = T::round(mid);
                    errors.push(lost + rad);
                    mid
                })
                .collect();
            let size = length(mid.iter().map(|x| x.double().hi));
            (mid, exp, size, length(errors.iter().copied()))
        };
        let mut rows = Rows {
            width,
            mid: Vec::with_capacity(count * width),
            exp: Vec::with_capacity(count),
            size: Vec::with_capacity(count),
            error: Vec::with_capacity(count),
        };
        for (mid, exp, size, error) in each(count, 20 * width, one) {
            rows.mid.extend(mid);
            rows.exp.push(exp);
            rows.size.push(size);
            rows.error.push(error);
        }
        rows
    }

    pub(crate) fn of(M: &Matrix) -> Self {
        Rows::new(M.rows, M.cols, |a| M.row(a).to_vec())
    }

    /// `count` times the number 1.
    pub(crate) fn ones(count: usize) -> Self {
        Rows::new(count, 1, |_| vec![ball(1.0)])
    }

    pub(crate) fn count(&self) -> usize {
        self.exp.len()
    }

    pub(crate) fn row(&self, a: usize) -> &[T] {
        &self.mid[a * self.width..(a + 1) * self.width]
    }
}

/// A factor of a matrix product: its balls, or its rows in f64 with an error bound each.
#[derive(Clone, Debug)]
pub(crate) enum Factor {
    Precise(Matrix),
    Fast(Rows<f64>),
}

impl Factor {
    pub(crate) fn new(M: Matrix, fast: bool) -> Factor {
        if fast { Factor::Fast(Rows::of(&M)) } else { Factor::Precise(M) }
    }

    /// The matrix of the products of this one's rows and the other one's.
    ///
    /// In f64: |fl(a . b) - (a + da) . (b + db)| <= gamma |a||b| + |da| (|b| + |db|) + |a||db|, and
    /// what underflows is below 2^-1074 for each product of numbers below 1.
    pub(crate) fn times(&self, other: &Factor) -> Matrix {
        match (self, other) {
            (Factor::Fast(a), Factor::Fast(b)) => {
                let g = gamma::<f64>(depth(a.width));
                Matrix::new(a.count(), b.count(), |i, j| {
                    let mid = dot(a.row(i), b.row(j));
                    let (size_a, size_b) = (a.size[i], b.size[j]);
                    if size_a + a.error[i] == 0.0 || size_b + b.error[j] == 0.0 {
                        return Ball::ZERO;
                    }
                    let carried =
                        a.error[i] * (size_b + b.error[j]) + size_a * (g * size_b + b.error[j]);
                    Ball::around(Double::exact(mid), carried + power(-1000), a.exp[i] + b.exp[j])
                })
            }
            (Factor::Precise(a), Factor::Precise(b)) => {
                Matrix::new(a.rows, b.rows, |i, j| sum(a.cols, |l| a[(i, l)] * b[(j, l)]))
            }
            _ => unreachable!("both factors are of one point"),
        }
    }
}
