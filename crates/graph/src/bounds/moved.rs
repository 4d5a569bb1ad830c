//! Arrays whose entries are moved: transposed, reshaped, cut, joined, broadcast, gathered, reversed.

use super::lattice::{Lattice, Mask, Subsets, coordinates};
use super::up;
use std::rc::Rc;

/// How the subarrays of an array are made of those of another one.
pub(crate) struct Moved {
    pub(crate) pairs: Vec<(u32, u32)>,
    to: Rc<Subsets>,
    /// For every S of the result: the axes T of the source such that every v_s lies in one subarray u_t.
    source: Vec<Mask>,
    /// place[S][s]: t, and how often an entry of u_t stands in v_s at most, times how many of them an entry of v_s is the
    /// sum of; `None` if it is of none.
    place: Vec<Vec<Option<(u32, u32)>>>,
}

impl Moved {
    /// `pairs`: (entry of the result, entry of the source) for all that were moved. An entry of the result that is in several
    /// pairs is the sum of these: so are adjoints. A matrix of zeros and ones with at most r in a row and c in a column
    /// has a norm of at most sqrt(r c).
    pub(crate) fn new(to: &Rc<Subsets>, from: &Rc<Subsets>, pairs: &[(u32, u32)]) -> Moved {
        let rank = from.shape.len();
        let at: Vec<Vec<usize>> = (0..from.size())
            .map(|e| coordinates(&from.shape, e))
            .collect();
        let (mut source, mut place) = (Vec::new(), Vec::new());
        for mask in 0..=to.full() {
            let count = to.first[mask].len();
            let mut seen: Vec<Option<u32>> = vec![None; count];
            let mut same: Mask = from.full();
            for (e, u) in pairs {
                let first = *seen[to.index[mask][*e as usize] as usize].get_or_insert(*u);
                for a in 0..rank {
                    if at[first as usize][a] != at[*u as usize][a] {
                        same &= !(1 << a);
                    }
                }
            }
            // How often (s, entry of the source) occurs.
            let mut often: Vec<(u32, u32)> = pairs
                .iter()
                .map(|(e, u)| (to.index[mask][*e as usize], *u))
                .collect();
            often.sort_unstable();
            let mut most = vec![0u32; count];
            for same in often.chunk_by(|a, b| a == b) {
                let s = same[0].0 as usize;
                most[s] = most[s].max(same.len() as u32);
            }
            let mut sums = vec![0u32; to.size()];
            for (e, _) in pairs {
                sums[*e as usize] += 1;
            }
            let terms = sums.into_iter().max().unwrap_or(1).max(1);
            let most = most.into_iter().map(|c| c * terms);
            let places = seen.iter().zip(most);
            let places = places.map(|(u, g)| u.map(|u| (from.index[same][u as usize], g)));
            place.push(places.collect());
            source.push(same);
        }
        Moved {
            pairs: pairs.to_vec(),
            to: Rc::clone(to),
            source,
            place,
        }
    }

    /// The numbers of a norm that adds in squares: an entry that occurs g times counts sqrt(g), and
    /// |.|_1: g (`copies` of g).
    fn apply(&self, u: &Lattice, copies: impl Fn(f64) -> f64) -> Lattice {
        Lattice::new(&self.to, |mask, s| match self.place[mask][s] {
            None => 0.0,
            Some((t, g)) => up::mul(copies(f64::from(g)), u.at[self.source[mask]][t as usize]),
        })
    }

    pub(crate) fn squares(&self, u: &Lattice) -> Lattice {
        self.apply(u, up::root)
    }

    pub(crate) fn sums(&self, u: &Lattice) -> Lattice {
        self.apply(u, |g| g)
    }
}
