//! A surface cut into cells, and the area where the loss is above a level.

use super::base;
use crate::plot::canvas::Xy;
use gdcert::landscape::Surface;
use std::collections::BTreeMap;

/// At most `cells` + 1 rows of a grid, from the first to the last, with their places from 0 to 1.
fn chosen(size: usize, cells: usize) -> Vec<(usize, f64)> {
    let last = size - 1;
    let count = last.min(cells);
    let row = |i: usize| (i * last + count / 2).checked_div(count).unwrap_or(0);
    let place = |i: usize| {
        if last == 0 {
            0.5
        } else {
            i as f64 / last as f64
        }
    };
    (0..=count).map(|i| (row(i), place(row(i)))).collect()
}

/// The four corners of a cell in turn: place in the unit square, and loss.
pub(super) type Cell = [(Xy, f64); 4];

/// Cells column by column whose four losses are finite, with losses above that at the centre.
pub(super) fn cells(surface: &Surface, most: usize) -> Vec<Vec<Option<Cell>>> {
    let rows = chosen(surface.grid.size, most);
    let base = base(surface);
    let corner = |a: (usize, f64), b: (usize, f64)| ((a.1, b.1), surface.loss(a.0, b.0) - base);
    let pairs = || rows.windows(2);
    pairs()
        .map(|b| {
            pairs()
                .map(|a| {
                    let cell = [
                        corner(a[0], b[0]),
                        corner(a[1], b[0]),
                        corner(a[1], b[1]),
                        corner(a[0], b[1]),
                    ];
                    cell.iter()
                        .all(|(_, loss)| loss.is_finite())
                        .then_some(cell)
                })
                .collect()
        })
        .collect()
}

/// The part of a cell where the loss is at least `level`, with whether each vertex is on the level.
pub(super) fn above(cell: &Cell, level: f64) -> Vec<(Xy, bool)> {
    let mut part = Vec::with_capacity(6);
    for i in 0..4 {
        let (from, to) = (cell[i], cell[(i + 1) % 4]);
        if from.1 >= level {
            part.push((from.0, false));
        }
        if (from.1 >= level) != (to.1 >= level) {
            // In the same order in both cells that share the edge: the point is then the same to the last bit.
            let ((a, f), (b, g)) = if from.0 <= to.0 {
                (from, to)
            } else {
                (to, from)
            };
            let s = (level - f) / (g - f);
            part.push(((a.0 + s * (b.0 - a.0), a.1 + s * (b.1 - a.1)), true));
        }
    }
    part
}

/// The sides of such a part that lie on the level.
pub(super) fn on_level(part: &[(Xy, bool)]) -> impl Iterator<Item = [Xy; 2]> {
    let sides = (0..part.len()).map(|i| (part[i], part[(i + 1) % part.len()]));
    sides.filter_map(|(a, b)| (a.1 && b.1).then_some([a.0, b.0]))
}

/// The outline of an area that is made of polygons which lie side by side.
#[derive(Default)]
pub(super) struct Edges {
    /// Where an edge that has no neighbour leads, by where it starts.
    open: BTreeMap<Corner, Vec<Corner>>,
}

/// A point by its bits: those of neighbours are the same.
type Corner = [u64; 2];

impl Edges {
    /// Adds a polygon; edges that it shares with others are inside.
    pub(super) fn add(&mut self, polygon: &[(Xy, bool)]) {
        if polygon.len() < 3 {
            return;
        }
        let corner = |((x, y), _): (Xy, bool)| [x.to_bits(), y.to_bits()];
        for i in 0..polygon.len() {
            let (a, b) = (corner(polygon[i]), corner(polygon[(i + 1) % polygon.len()]));
            if a == b {
                continue;
            }
            let back = self.open.get_mut(&b);
            let shared = back.and_then(|ends| {
                let at = ends.iter().position(|end| *end == a)?;
                Some(ends.swap_remove(at))
            });
            if shared.is_none() {
                self.open.entry(a).or_default().push(b);
            }
        }
    }

    /// One closed line around all of it: from ring to ring it goes over to the first point and back, which no filling shows.
    pub(super) fn outline(mut self) -> Vec<Xy> {
        let mut all: Vec<Xy> = Vec::new();
        let point = |[x, y]: Corner| (f64::from_bits(x), f64::from_bits(y));
        while let Some(&start) = self
            .open
            .iter()
            .find(|(_, e)| !e.is_empty())
            .map(|(a, _)| a)
        {
            let first = all.first().copied();
            let mut at = start;
            loop {
                all.push(point(at));
                match self.open.get_mut(&at).and_then(Vec::pop) {
                    Some(next) => at = next,
                    None => break,
                }
                if at == start {
                    all.push(point(start));
                    break;
                }
            }
            all.extend(first);
            self.open.retain(|_, ends| !ends.is_empty());
        }
        all
    }
}
