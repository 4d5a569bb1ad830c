//! Products: which subarrays of the factors belong to one of the result, and the spectral norms of the factors.

use super::lattice::{Lattice, Mask, Subsets, coordinates};
use super::up;
use gdcert_numbers::{Interval, sigma_max_upper};
use nalgebra::DMatrix;
use std::rc::Rc;

/// A factor of a product.
pub(crate) struct Side {
    pub(crate) of: Rc<Subsets>,
    /// The axis of the result that an axis of the factor is.
    pub(crate) to_result: Vec<Option<usize>>,
    /// The axis of the other factor that an axis of this one goes with.
    pub(crate) to_other: Vec<Option<usize>>,
    batch: Mask,
    contracted: Mask,
    /// At the centre and with every batch index kept: the norm of the subarray as a matrix (contracted axes, other axes).
    centre: Lattice,
}

/// What the rules need of a factor over the ball, in its own subsets.
pub(crate) struct Size {
    /// |A|, the largest over the batch indices that are not kept.
    pub(crate) spectral: Lattice,
    /// The largest |A_{. k}|_2 and |A_{. k}|_1 over contracted indices k (and batch).
    pub(crate) column: Lattice,
    pub(crate) column_sum: Lattice,
}

/// A matrix product larger than this is not made for a spectral norm: the Frobenius norm serves.
const LARGEST_GRAM: usize = 1 << 30;

/// The spectral norm of a matrix of intervals.
fn spectral(rows: usize, cols: usize, at: impl Fn(usize, usize) -> Interval) -> f64 {
    let (short, long) = (rows.min(cols), rows.max(cols));
    let frobenius = || up::norm((0..rows * cols).map(|e| at(e / cols, e % cols).magnitude()));
    if short <= 1 || short.saturating_mul(short).saturating_mul(long) > LARGEST_GRAM {
        return frobenius();
    }
    let parts = DMatrix::from_fn(rows, cols, |i, j| at(i, j).mid_radius());
    let radius = up::norm(parts.iter().map(|(_, radius)| *radius));
    sigma_max_upper(&parts.map(|(mid, _)| mid), radius).min(frobenius())
}

impl Side {
    /// `axes`: of this factor, (batch, contracted); `other` the same of the other one, in pairs. `free` is the result's axis
    /// for the first of the axes in neither list. `centre` are the values at the centre.
    pub(crate) fn new(
        of: &Rc<Subsets>,
        [batch, contracted]: [&[usize]; 2],
        other: [&[usize]; 2],
        free: usize,
        centre: &[Interval],
    ) -> Side {
        let rank = of.shape.len();
        let (mut to_result, mut to_other) = (vec![None; rank], vec![None; rank]);
        for (i, a) in batch.iter().enumerate() {
            (to_result[*a], to_other[*a]) = (Some(i), Some(other[0][i]));
        }
        for (i, a) in contracted.iter().enumerate() {
            to_other[*a] = Some(other[1][i]);
        }
        let rest = (0..rank).filter(|a| !batch.contains(a) && !contracted.contains(a));
        for (i, a) in rest.enumerate() {
            to_result[a] = Some(free + i);
        }
        let mask = |axes: &[usize]| axes.iter().fold(0, |mask: Mask, a| mask | 1 << a);
        let (batch, contracted) = (mask(batch), mask(contracted));
        let centre = norms(of, batch, contracted, centre);
        Side {
            of: Rc::clone(of),
            to_result,
            to_other,
            batch,
            contracted,
            centre,
        }
    }

    /// `ranges` are the entries over the ball of this radius, `slope` the |d| over all blocks.
    pub(crate) fn size(&self, ranges: &[Interval], slope: Option<&Lattice>, radius: f64) -> Size {
        let magnitudes: Vec<f64> = ranges.iter().map(|x| x.magnitude()).collect();
        let of_entries = |mask: Mask, s: usize| {
            if mask == self.of.full() {
                magnitudes[s]
            } else {
                f64::INFINITY
            }
        };
        let (mut norm, mut sum) = (
            Lattice::new(&self.of, of_entries),
            Lattice::new(&self.of, of_entries),
        );
        norm.close();
        sum.close_sums();
        let mut spectral = self.centre.clone();
        if let Some(slope) = slope {
            spectral = spectral.plus(&slope.by(radius));
        }
        let spectral = spectral.min(&norm).largest_over(self.batch);
        let columns = self.batch | self.contracted;
        Size {
            spectral,
            column: norm.largest_over(columns),
            column_sum: sum.largest_over(columns),
        }
    }

    /// The batch axes of the result, which are its first.
    pub(crate) fn batch_in_result(&self) -> Mask {
        (1 << self.batch.count_ones()) - 1
    }

    /// For every S the largest number over the batch indices, all kept.
    pub(crate) fn one_of_batch(&self, u: &Lattice) -> Lattice {
        u.largest_over(self.batch)
    }
}

/// The spectral norms at the centre, for sets that hold all batch axes; infinity for others.
fn norms(of: &Rc<Subsets>, batch: Mask, contracted: Mask, centre: &[Interval]) -> Lattice {
    let mut norms = Lattice::constant(of, f64::INFINITY);
    for mask in (0..=of.full()).filter(|mask| mask & batch == batch) {
        let sizes = |axes: Mask| -> Vec<usize> {
            (0..of.shape.len())
                .filter(|a| axes >> a & 1 == 1)
                .map(|a| of.shape[a])
                .collect()
        };
        let rest = of.full() & !mask;
        let rows: usize = sizes(rest & contracted).iter().product();
        let cols: usize = sizes(rest & !contracted).iter().product();
        let mut members = vec![Vec::with_capacity(rows * cols); of.first[mask].len()];
        for (e, s) in of.index[mask].iter().enumerate() {
            let at = coordinates(&of.shape, e);
            let number = |axes: Mask| {
                let axes = (0..at.len()).filter(|a| axes >> a & 1 == 1);
                axes.fold(0, |i, a| i * of.shape[a] + at[a])
            };
            members[*s as usize].push((
                number(rest & contracted) * cols + number(rest & !contracted),
                e,
            ));
        }
        for (s, mut members) in members.into_iter().enumerate() {
            members.sort_unstable();
            norms.at[mask][s] = spectral(rows, cols, |i, j| centre[members[i * cols + j].1]);
        }
    }
    norms
}
