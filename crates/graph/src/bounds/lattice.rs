//! A number for every subset S of an array's axes and every index s of them: a bound for the subarray v_s over the
//! other axes (`proofs-checks/any-model.md`, section 1).

use super::up;
use std::rc::Rc;

/// Which axes are kept: bit a for axis a.
pub(crate) type Mask = usize;

/// The subsets of the axes of a shape, and where entries lie in them.
#[derive(Debug)]
pub(crate) struct Subsets {
    pub(crate) shape: Vec<usize>,
    /// index[S][e]: the index s of the subarray that entry e lies in.
    pub(crate) index: Vec<Vec<u32>>,
    /// first[S][s]: an entry of the subarray.
    pub(crate) first: Vec<Vec<u32>>,
    /// All masks, the smaller sets first.
    pub(crate) ascending: Vec<Mask>,
}

/// The coordinates of an entry.
pub(crate) fn coordinates(shape: &[usize], mut entry: usize) -> Vec<usize> {
    let mut at = vec![0; shape.len()];
    for (x, n) in at.iter_mut().zip(shape).rev() {
        (*x, entry) = (entry % n, entry / n);
    }
    at
}

impl Subsets {
    pub(crate) fn new(shape: &[usize]) -> Rc<Subsets> {
        let size: usize = shape.iter().product();
        let masks = 1 << shape.len();
        let (mut index, mut first) = (Vec::with_capacity(masks), Vec::with_capacity(masks));
        for mask in 0..masks {
            let kept: Vec<usize> = (0..shape.len())
                .map(|a| if mask >> a & 1 == 1 { shape[a] } else { 1 })
                .collect();
            let mut of_mask = Vec::with_capacity(size);
            let mut firsts = vec![u32::MAX; kept.iter().product()];
            let mut at = vec![0; shape.len()];
            for e in 0..size {
                let s = at
                    .iter()
                    .zip(&kept)
                    .fold(0, |s, (x, n)| s * n + if *n > 1 { *x } else { 0 });
                of_mask.push(s as u32);
                if firsts[s] == u32::MAX {
                    firsts[s] = e as u32;
                }
                for (x, n) in at.iter_mut().zip(shape).rev() {
                    *x += 1;
                    if *x < *n {
                        break;
                    }
                    *x = 0;
                }
            }
            index.push(of_mask);
            first.push(firsts);
        }
        let mut ascending: Vec<Mask> = (0..masks).collect();
        ascending.sort_by_key(|mask| mask.count_ones());
        Rc::new(Subsets {
            shape: shape.to_vec(),
            index,
            first,
            ascending,
        })
    }

    pub(crate) fn size(&self) -> usize {
        self.index[0].len()
    }

    pub(crate) fn full(&self) -> Mask {
        self.index.len() - 1
    }
}

/// Bounds for every subarray of an array of this shape.
#[derive(Clone, Debug)]
pub(crate) struct Lattice {
    pub(crate) of: Rc<Subsets>,
    pub(crate) at: Vec<Vec<f64>>,
}

impl Lattice {
    /// The same number everywhere.
    pub(crate) fn constant(of: &Rc<Subsets>, x: f64) -> Lattice {
        let at = of.first.iter().map(|first| vec![x; first.len()]).collect();
        Lattice {
            of: Rc::clone(of),
            at,
        }
    }

    pub(crate) fn new(of: &Rc<Subsets>, number: impl Fn(Mask, usize) -> f64) -> Lattice {
        let at = of.first.iter().enumerate();
        let at = at.map(|(mask, first)| (0..first.len()).map(|s| number(mask, s)).collect());
        Lattice {
            of: Rc::clone(of),
            at: at.collect(),
        }
    }

    /// The largest entry of each subarray.
    pub(crate) fn maxima(of: &Rc<Subsets>, entries: &[f64]) -> Lattice {
        let mut all = Lattice::constant(of, 0.0);
        for (at, index) in all.at.iter_mut().zip(&of.index) {
            for (x, s) in entries.iter().zip(index) {
                // A NaN would be dropped: entries are bounds, which are never NaN.
                at[*s as usize] = at[*s as usize].max(*x);
            }
        }
        all
    }

    /// The whole array's number.
    pub(crate) fn whole(&self) -> f64 {
        self.at[0][0]
    }

    /// The numbers of the single entries.
    pub(crate) fn entries(&self) -> &[f64] {
        &self.at[self.of.full()]
    }

    /// The largest number of an entry of each subarray.
    pub(crate) fn largest(&self) -> Lattice {
        Lattice::maxima(&self.of, self.entries())
    }

    fn zip(&self, other: &Lattice, of: impl Fn(f64, f64) -> f64) -> Lattice {
        let at = self.at.iter().zip(&other.at);
        let at = at
            .map(|(a, b)| a.iter().zip(b).map(|(a, b)| of(*a, *b)).collect())
            .collect();
        Lattice {
            of: Rc::clone(&self.of),
            at,
        }
    }

    pub(crate) fn map(&self, of: impl Fn(f64) -> f64) -> Lattice {
        let at = self
            .at
            .iter()
            .map(|a| a.iter().map(|a| of(*a)).collect())
            .collect();
        Lattice {
            of: Rc::clone(&self.of),
            at,
        }
    }

    pub(crate) fn plus(&self, other: &Lattice) -> Lattice {
        self.zip(other, up::add)
    }

    pub(crate) fn times(&self, other: &Lattice) -> Lattice {
        self.zip(other, up::mul)
    }

    pub(crate) fn min(&self, other: &Lattice) -> Lattice {
        self.zip(other, f64::min)
    }

    pub(crate) fn by(&self, factor: f64) -> Lattice {
        self.map(|x| up::mul(x, factor))
    }

    /// The subarrays of another array for which `axes` gives, for each axis of this one, the axis of the other that
    /// has the same index, if there is one: for a set S of the other's axes the number of those of this array's axes
    /// that are in it.
    pub(crate) fn lifted(&self, to: &Rc<Subsets>, axes: &[Option<usize>]) -> Lattice {
        let shape = &self.of.shape;
        let at = (0..=to.full()).map(|mask| {
            let kept = |a: usize| axes[a].is_some_and(|axis| mask >> axis & 1 == 1);
            let own = (0..shape.len())
                .filter(|a| kept(*a))
                .fold(0, |own, a| own | 1 << a);
            let position = |first: &u32| {
                let there = coordinates(&to.shape, *first as usize);
                let here = (0..shape.len()).filter(|a| kept(*a));
                let s = here.fold(0, |s, a| {
                    s * shape[a] + axes[a].map_or(0, |axis| there[axis])
                });
                self.at[own][s]
            };
            to.first[mask].iter().map(position).collect()
        });
        Lattice {
            of: Rc::clone(to),
            at: at.collect(),
        }
    }

    /// For every S the largest number of S and `axes` together.
    pub(crate) fn largest_over(&self, axes: Mask) -> Lattice {
        let mut out = Lattice::constant(&self.of, 0.0);
        for mask in 0..=self.of.full() {
            let finer = mask | axes;
            for (x, first) in self.at[finer].iter().zip(&self.of.first[finer]) {
                let s = self.of.index[mask][*first as usize] as usize;
                out.at[mask][s] = out.at[mask][s].max(*x);
            }
        }
        out
    }

    /// Lemma 1 for numbers that add in squares: d^S <= (sum_a (d^{S + a})^2)^{1/2}, d^{S + a} <= d^S.
    pub(crate) fn close(&mut self) {
        self.close_by(up::norm_of, up::mul_self);
    }

    /// Lemma 1 for numbers that add: K^S <= sum_a K^{S + a}, K^{S + a} <= K^S.
    pub(crate) fn close_sums(&mut self) {
        self.close_by(|x| x, |x| x);
    }

    fn close_by(&mut self, back: impl Fn(f64) -> f64, term: impl Fn(f64) -> f64) {
        let of = Rc::clone(&self.of);
        for &mask in of.ascending.iter().rev() {
            for a in (0..of.shape.len()).filter(|a| mask >> a & 1 == 0) {
                let finer = mask | 1 << a;
                let mut sums = vec![0.0; self.at[mask].len()];
                for (x, first) in self.at[finer].iter().zip(&of.first[finer]) {
                    let sum = &mut sums[of.index[mask][*first as usize] as usize];
                    *sum = up::add(*sum, term(*x));
                }
                for (x, sum) in self.at[mask].iter_mut().zip(sums) {
                    *x = x.min(back(sum));
                }
            }
        }
        for &mask in &of.ascending {
            for a in (0..of.shape.len()).filter(|a| mask >> a & 1 == 1) {
                let coarser = mask & !(1 << a);
                for s in 0..self.at[mask].len() {
                    let whole =
                        self.at[coarser][of.index[coarser][of.first[mask][s] as usize] as usize];
                    self.at[mask][s] = self.at[mask][s].min(whole);
                }
            }
        }
    }
}

/// Lemma 1 for H and K together: H^S <= K^S <= sqrt |v_s| H^S too.
pub(crate) fn close_both(H: &mut Lattice, K: &mut Lattice) {
    for _ in 0..2 {
        H.close();
        K.close_sums();
        let of = Rc::clone(&H.of);
        for mask in 0..=of.full() {
            let size = of.size() / of.first[mask].len().max(1);
            let root = up::root(size as f64);
            for (h, k) in H.at[mask].iter_mut().zip(&mut K.at[mask]) {
                (*h, *k) = (h.min(*k), k.min(up::mul(root, *h)));
            }
        }
    }
}

impl Lattice {
    /// The subsets without an axis, as those of an array without it.
    pub(crate) fn without(&self, rows: &Rc<Subsets>, axis: usize) -> Lattice {
        let low = (1 << axis) - 1;
        let of = |mask: Mask| (mask & low) | (mask & !low) << 1;
        let at = (0..=rows.full()).map(|mask| self.at[of(mask)].clone());
        Lattice {
            of: Rc::clone(rows),
            at: at.collect(),
        }
    }

    /// How many entries each subarray has.
    pub(crate) fn counts(of: &Rc<Subsets>) -> Lattice {
        Lattice::new(of, |mask, _| {
            (of.size() / of.first[mask].len().max(1)) as f64
        })
    }

    /// Better numbers for the single entries.
    pub(crate) fn improve_entries(&mut self, entries: impl Iterator<Item = f64>) {
        let full = self.of.full();
        for (x, y) in self.at[full].iter_mut().zip(entries) {
            *x = x.min(y);
        }
    }
}
