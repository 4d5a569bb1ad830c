//! x = token's embedding + position's embedding.

use super::add_rows;
use crate::classifier::Real;
use gdcert_base::vectorised;
use rayon::prelude::*;

/// Which row of a table each row of x takes, and which rows of x each row of the table went to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    entry: Vec<u32>,
    /// Rows of x, sorted by entry.
    order: Vec<u32>,
    /// The rows of entry e are `order[start[e]..start[e + 1]]`.
    start: Vec<u32>,
}

impl Index {
    pub(crate) fn set(&mut self, entries: impl Iterator<Item = u32>, table: usize) {
        self.entry.clear();
        self.entry.extend(entries);
        self.start.clear();
        self.start.resize(table + 2, 0);
        for &entry in &self.entry {
            self.start[entry as usize + 2] += 1;
        }
        for entry in 2..table + 2 {
            self.start[entry] += self.start[entry - 1];
        }
        self.order.clear();
        self.order.resize(self.entry.len(), 0);
        for (row, &entry) in (0..).zip(&self.entry) {
            let next = &mut self.start[entry as usize + 1];
            self.order[*next as usize] = row;
            *next += 1;
        }
    }
}

/// Rows `first..` of x.
pub(crate) fn forward<T: Real>(
    tables: [&[T]; 2],
    indices: [&Index; 2],
    first: usize,
    width: usize,
    x: &mut [T],
) {
    for (row, x) in (first..).zip(x.chunks_exact_mut(width)) {
        let [token, position] =
            [0, 1].map(|i| &tables[i][indices[i].entry[row] as usize * width..][..width]);
        for (x, (&token, &position)) in x.iter_mut().zip(token.iter().zip(position)) {
            *x = token + position;
        }
    }
}

/// The table's gradient: each row is the sum of dx over the rows it went to.
pub(crate) fn backward<T: Real>(index: &Index, width: usize, dx: &[T], gradient: &mut [T]) {
    gradient
        .par_chunks_mut(width)
        .enumerate()
        .for_each(|(entry, gradient)| {
            gradient.fill(T::default());
            let rows = index.start[entry] as usize..index.start[entry + 1] as usize;
            add_some_rows(&index.order[rows], dx, gradient);
        });
}

vectorised! {
    fn add_some_rows<T: Real>(rows: &[u32], x: &[T], out: &mut [T]) {
        add_rows(rows.iter().map(|&row| row as usize), x, out);
    }
}
