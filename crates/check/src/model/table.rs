//! A number for every set S of an array's axes and every index s of them, and how those of one array follow from those of
//! another.
//!
//! Numbers are upper bounds in f64: every sum and product is made larger by more than its rounding. Infinity is "not
//! known"; 0 times that is 0.

use super::file::coordinates;
use crate::number::power;
use std::rc::Rc;

const GROW: f64 = 1.0 + power(-50);
/// Above what a product can lose by underflow.
const TINY: f64 = power(-1022);

/// At least a + b.
pub(crate) fn add(a: f64, b: f64) -> f64 {
    (a + b) * GROW
}

/// At least a b.
pub(crate) fn mul(a: f64, b: f64) -> f64 {
    if a == 0.0 || b == 0.0 { 0.0 } else { a * b * GROW + TINY }
}

/// At least a / b for a divisor that is at least b.
pub(crate) fn over(a: f64, b: f64) -> f64 {
    match a == 0.0 {
        true => 0.0,
        false if b > 0.0 => a / b * GROW + TINY,
        false => f64::INFINITY,
    }
}

/// At least the root.
pub(crate) fn root(a: f64) -> f64 {
    a.sqrt() * GROW
}

/// At least the root of the sum of squares.
pub(crate) fn norm(numbers: impl Iterator<Item = f64>) -> f64 {
    root(numbers.fold(0.0, |sum, x| add(sum, mul(x, x))))
}

/// The axes of an array: set S is a number with bit a for axis a.
#[derive(Debug)]
pub(crate) struct Axes {
    pub(crate) shape: Vec<usize>,
    /// of[S][e] is the index s of the part that entry e is in.
    pub(crate) of: Vec<Vec<usize>>,
    /// How many parts there are.
    pub(crate) parts: Vec<usize>,
    /// An entry of each part.
    pub(crate) member: Vec<Vec<usize>>,
}

impl Axes {
    pub(crate) fn new(shape: &[usize]) -> Rc<Axes> {
        let size: usize = shape.iter().product();
        let at: Vec<Vec<usize>> = (0..size).map(|e| coordinates(shape, e)).collect();
        let sets = 0..1usize << shape.len();
        let kept = |S: usize, a: usize| S >> a & 1 == 1;
        let axes = 0..shape.len();
        let place = |S: usize, at: &Vec<usize>| {
            axes.clone().filter(|a| kept(S, *a)).fold(0, |s, a| s * shape[a] + at[a])
        };
        let of: Vec<Vec<usize>> =
            sets.clone().map(|S| at.iter().map(|at| place(S, at)).collect()).collect();
        let parts: Vec<usize> = sets
            .map(|S| axes.clone().filter(|a| kept(S, *a)).map(|a| shape[a]).product())
            .collect();
        let mut member: Vec<Vec<usize>> = parts.iter().map(|n| vec![0; *n]).collect();
        for (member, of) in member.iter_mut().zip(&of) {
            of.iter().enumerate().for_each(|(e, s)| member[*s] = e);
        }
        Rc::new(Axes { shape: shape.to_vec(), of, parts, member })
    }

    pub(crate) fn size(&self) -> usize {
        self.of[0].len()
    }

    pub(crate) fn all(&self) -> usize {
        self.of.len() - 1
    }

    /// The part of a coarser set that holds a part of S.
    fn coarser(&self, S: usize, s: usize, coarse: usize) -> usize {
        self.of[coarse][self.member[S][s]]
    }
}

/// Numbers for all sets.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) axes: Rc<Axes>,
    pub(crate) at: Vec<Vec<f64>>,
}

impl Table {
    pub(crate) fn new(axes: &Rc<Axes>, x: f64) -> Table {
        Table { axes: Rc::clone(axes), at: axes.parts.iter().map(|n| vec![x; *n]).collect() }
    }

    /// The largest of some numbers, one an entry, in each part.
    pub(crate) fn largest_of(axes: &Rc<Axes>, entries: impl Iterator<Item = f64> + Clone) -> Table {
        let mut table = Table::new(axes, 0.0);
        for (numbers, of) in table.at.iter_mut().zip(&axes.of) {
            for (x, s) in entries.clone().zip(of) {
                numbers[*s] = numbers[*s].max(x);
            }
        }
        table
    }

    /// Known for entries alone.
    pub(crate) fn of_entries(axes: &Rc<Axes>, entries: impl Iterator<Item = f64>) -> Table {
        let mut table = Table::new(axes, f64::INFINITY);
        table.at[axes.all()] = entries.collect();
        table
    }

    pub(crate) fn whole(&self) -> f64 {
        self.at[0][0]
    }

    pub(crate) fn entries(&self) -> &[f64] {
        &self.at[self.axes.all()]
    }

    /// The largest number of an entry in each part.
    pub(crate) fn largest(&self) -> Table {
        Table::largest_of(&self.axes, self.entries().iter().copied())
    }

    /// For each S the largest number of the parts that `more` axes split it into.
    pub(crate) fn largest_part(&self, more: usize) -> Table {
        let mut table = Table::new(&self.axes, 0.0);
        for S in 0..=self.axes.all() {
            for (s, x) in self.at[S | more].iter().enumerate() {
                let to = self.axes.coarser(S | more, s, S);
                table.at[S][to] = table.at[S][to].max(*x);
            }
        }
        table
    }

    pub(crate) fn map(&self, of: impl Fn(f64) -> f64) -> Table {
        let at = self.at.iter().map(|x| x.iter().map(|x| of(*x)).collect()).collect();
        Table { axes: Rc::clone(&self.axes), at }
    }

    pub(crate) fn with(&self, other: &Table, of: impl Fn(f64, f64) -> f64) -> Table {
        let mut table = self.clone();
        for (x, y) in table.at.iter_mut().zip(&other.at) {
            x.iter_mut().zip(y).for_each(|(x, y)| *x = of(*x, *y));
        }
        table
    }

    pub(crate) fn plus(&self, other: &Table) -> Table {
        self.with(other, add)
    }

    pub(crate) fn times(&self, other: &Table) -> Table {
        self.with(other, mul)
    }

    pub(crate) fn min(&self, other: &Table) -> Table {
        self.with(other, f64::min)
    }

    pub(crate) fn by(&self, factor: f64) -> Table {
        self.map(|x| mul(x, factor))
    }

    /// Lemma 1: a number is at most what those of the parts add up to (their squares, if `squares`) and at most that of
    /// what it is a part of.
    pub(crate) fn settle(mut self, squares: bool) -> Table {
        let axes = Rc::clone(&self.axes);
        let rank = axes.shape.len();
        // Sets with more axes have larger numbers than each of their subsets.
        for S in (0..=axes.all()).rev() {
            for a in (0..rank).filter(|a| S >> a & 1 == 0) {
                let mut sums = vec![0.0; axes.parts[S]];
                for (s, x) in self.at[S | 1 << a].iter().enumerate() {
                    let to = axes.coarser(S | 1 << a, s, S);
                    sums[to] = add(sums[to], if squares { mul(*x, *x) } else { *x });
                }
                for (x, sum) in self.at[S].iter_mut().zip(sums) {
                    *x = x.min(if squares { root(sum) } else { sum });
                }
            }
        }
        for S in 0..=axes.all() {
            for a in (0..rank).filter(|a| S >> a & 1 == 1) {
                let coarse = S & !(1 << a);
                for s in 0..axes.parts[S] {
                    let whole = self.at[coarse][axes.coarser(S, s, coarse)];
                    self.at[S][s] = self.at[S][s].min(whole);
                }
            }
        }
        self
    }
}

/// H and K by Lemma 1, with H <= K <= sqrt(entries) H.
pub(crate) fn settle_both(mut H: Table, mut K: Table) -> (Table, Table) {
    for _ in 0..2 {
        (H, K) = (H.settle(true), K.settle(false));
        for S in 0..=H.axes.all() {
            let entries = root((H.axes.size() / H.axes.parts[S].max(1)) as f64);
            for (h, k) in H.at[S].iter_mut().zip(&mut K.at[S]) {
                (*h, *k) = (h.min(*k), k.min(mul(entries, *h)));
            }
        }
    }
    (H, K)
}

/// For every part of one array the part of another that holds all entries it has to do with.
pub(crate) struct View {
    to: Rc<Axes>,
    /// place[S][s] = (T, t), and in how many pairs within the part an entry there is at most.
    place: Vec<Vec<Option<(usize, usize, f64)>>>,
    /// In how many pairs an entry here is at most.
    terms: f64,
}

impl View {
    /// `pairs` of (entry here, entry there).
    pub(crate) fn new(to: &Rc<Axes>, from: &Axes, pairs: &[(usize, usize)]) -> View {
        let at: Vec<Vec<usize>> = (0..from.size()).map(|e| coordinates(&from.shape, e)).collect();
        let rank = from.shape.len();
        let mut own = vec![0u32; to.size()];
        pairs.iter().for_each(|(e, _)| own[*e] += 1);
        let terms = f64::from(own.into_iter().max().unwrap_or(0));
        let mut place = Vec::new();
        for S in 0..=to.all() {
            // The axes along which nothing changes within a part, for all parts.
            let mut first: Vec<Option<usize>> = vec![None; to.parts[S]];
            let mut T = from.all();
            let mut list: Vec<(usize, usize)> = Vec::with_capacity(pairs.len());
            for (e, u) in pairs {
                let s = to.of[S][*e];
                let other = *first[s].get_or_insert(*u);
                for a in 0..rank {
                    if at[other][a] != at[*u][a] {
                        T &= !(1 << a);
                    }
                }
                list.push((s, *u));
            }
            list.sort_unstable();
            let mut copies = vec![0usize; to.parts[S]];
            for same in list.chunk_by(|a, b| a == b) {
                copies[same[0].0] = copies[same[0].0].max(same.len());
            }
            let part = |(u, copies): (&Option<usize>, &usize)| {
                u.map(|u| (T, from.of[T][u], *copies as f64))
            };
            place.push(first.iter().zip(&copies).map(part).collect());
        }
        View { to: Rc::clone(to), place, terms }
    }

    fn apply(&self, table: &Table, factor: impl Fn(f64) -> f64) -> Table {
        let one = |place: &Option<(usize, usize, f64)>| {
            place.map_or(0.0, |(T, t, copies)| mul(factor(copies), table.at[T][t]))
        };
        let at = self.place.iter().map(|all| all.iter().map(one).collect()).collect();
        Table { axes: Rc::clone(&self.to), at }
    }

    /// The number of the part there.
    pub(crate) fn see(&self, table: &Table) -> Table {
        self.apply(table, |_| 1.0)
    }

    /// Where entries here are the sums of those they are in pairs with: a matrix of zeros and ones with at most r in a
    /// row and c in a column has a norm of at most sqrt(r c).
    pub(crate) fn squares(&self, table: &Table) -> Table {
        self.apply(table, |copies| root(self.terms * copies))
    }

    /// The same for the sum of moduli: c times.
    pub(crate) fn sums(&self, table: &Table) -> Table {
        self.apply(table, |copies| copies)
    }
}
