//! The centre: values, and norms of the derivatives of every node there (Lemma 2).
//!
//! The Jacobian of a node is made of those of its inputs in f64. Every row is a sum of rows with coefficients, and is known up
//! to an error in norm: if rows u_i are off by e_i and coefficients c_i by d_i, then sum_i c_i u_i is off by at most
//! sum_i (|c_i| e_i + d_i |u_i|), and by roundings: each product goes through at most n of them, by Cauchy-Schwarz at
//! most gamma_n sum_i |c_i| |u_i| together.

use super::forward::ByBlock;
use super::lattice::{Lattice, Subsets};
use super::rules::{Rows, Rule};
use super::{small, up};
use crate::Graph;
use crate::plan::{Kernel, Pair, Plan};
use faer::MatRef;
use gdcert_numbers::linalg::dot_in_lanes;
use gdcert_numbers::verified::{Symmetric, gamma_up, norm_up, up as rounded};
use gdcert_numbers::{Interval, Scalar};
use std::rc::Rc;

/// What is known at the centre.
pub(crate) struct Centre {
    pub(crate) values: Vec<Vec<Interval>>,
    /// |D_b v_s(C)| of every node; `None` where it was not made.
    pub(crate) slopes: Vec<ByBlock>,
    /// Of a softmax: sigma_b(C), for sets of rows.
    pub(crate) sigma: Vec<ByBlock>,
}

/// The rows of the derivative by a block, in f64. Most are nearly empty: a unit of a layer knows its own weights only.
pub(crate) struct Rowwise {
    cols: usize,
    /// Where the numbers of each row begin, and at last where they end.
    start: Vec<usize>,
    /// The columns of the numbers, ascending within a row; all other numbers are 0.
    at: Vec<u32>,
    data: Vec<f64>,
    /// What each row may be off by in norm.
    error: Vec<f64>,
    /// At least the norm of each exact row and of each computed one.
    size: Vec<f64>,
}

/// A node's derivatives by blocks; `None` is 0.
pub(crate) type Derivative = Vec<Option<Rowwise>>;

/// Multiplications that are spent on the Jacobians of all nodes at a centre.
const AFFORDABLE: usize = 20_000_000_000;
/// Numbers that the Jacobian of a node may have.
const LARGEST: usize = 1 << 25;
/// Subarrays with more entries than this get the Frobenius norm.
const WIDEST: usize = 512;

/// A coefficient, and the row that it stands before: input and row.
type Term = (Interval, usize, usize);

impl Rowwise {
    pub(crate) fn identity(cols: usize) -> Rowwise {
        Rowwise {
            cols,
            start: (0..=cols).collect(),
            at: (0..cols as u32).collect(),
            data: vec![1.0; cols],
            error: vec![0.0; cols],
            size: vec![1.0; cols],
        }
    }

    fn empty(cols: usize) -> Rowwise {
        Rowwise {
            cols,
            start: vec![0],
            at: Vec::new(),
            data: Vec::new(),
            error: Vec::new(),
            size: Vec::new(),
        }
    }

    /// One more row, its numbers already in place.
    fn close_row(&mut self, error: f64) {
        let first = self.start[self.start.len() - 1];
        let norm = match &self.data[first..] {
            [] => 0.0,
            row => norm_up(row.iter().copied()),
        };
        self.start.push(self.data.len());
        self.error.push(error);
        self.size.push(up::add(norm, error));
    }

    /// From intervals, row by row.
    pub(crate) fn of(cols: usize, numbers: &[Interval]) -> Rowwise {
        let mut all = Rowwise::empty(cols);
        for row in numbers.chunks(cols) {
            let mut radii = Vec::new();
            for (j, x) in (0..).zip(row) {
                let (mid, radius) = x.mid_radius();
                if radius != 0.0 {
                    radii.push(radius);
                }
                if mid != 0.0 {
                    all.at.push(j);
                    all.data.push(mid);
                }
            }
            all.close_row(up::norm(radii.into_iter()));
        }
        all
    }

    /// At least the norms of the rows.
    pub(crate) fn sizes(&self) -> &[f64] {
        &self.size
    }

    /// What each row may be off by in norm.
    pub(crate) fn errors(&self) -> &[f64] {
        &self.error
    }

    /// The columns and numbers of a row.
    pub(crate) fn row(&self, a: usize) -> (&[u32], &[f64]) {
        let range = self.start[a]..self.start[a + 1];
        (&self.at[range.clone()], &self.data[range])
    }

    /// Rows made of those of the inputs.
    pub(crate) fn combined(
        inputs: &[Option<&Rowwise>],
        rows: usize,
        terms: impl Fn(usize, &mut Vec<Term>),
    ) -> Option<Rowwise> {
        let cols = inputs.iter().flatten().next()?.cols;
        let mut all = Rowwise::empty(cols);
        let mut list = Vec::new();
        // The row at work, and which of its columns were touched.
        let (mut out, mut seen, mut touched) = (vec![0.0; cols], vec![false; cols], Vec::new());
        for a in 0..rows {
            list.clear();
            terms(a, &mut list);
            let (mut carried, mut moduli, mut count) = (0.0, 0.0, 0);
            let mut full = false;
            for (c, i, row) in &list {
                let Some(u) = inputs[*i] else { continue };
                if u.size[*row] == 0.0 {
                    continue;
                }
                let (mid, radius) = c.mid_radius();
                let (at, numbers) = u.row(*row);
                if numbers.len() == cols {
                    full = true;
                    for (out, x) in out.iter_mut().zip(numbers) {
                        *out += mid * x;
                    }
                } else {
                    for (j, x) in at.iter().zip(numbers) {
                        let j = *j as usize;
                        if !full && !seen[j] {
                            seen[j] = true;
                            touched.push(j as u32);
                        }
                        out[j] += mid * x;
                    }
                }
                let (e, s) = (u.error[*row], u.size[*row]);
                carried = up::add(
                    carried,
                    up::add(up::mul(c.magnitude(), e), up::mul(radius, s)),
                );
                moduli = up::add(moduli, up::mul(mid.abs(), s));
                count += 1;
            }
            for j in &touched {
                seen[*j as usize] = false;
            }
            if full {
                touched.clear();
                touched.extend(0..cols as u32);
            } else {
                touched.sort_unstable();
            }
            for j in touched.drain(..) {
                all.at.push(j);
                all.data.push(std::mem::take(&mut out[j as usize]));
            }
            let mut error = 0.0;
            if count > 0 {
                let rounding = up::mul(gamma_up(count + 1), moduli);
                // Products that underflow are off by less than 2^-1074 each.
                let tiny = up::mul((count * cols) as f64, f64::MIN_POSITIVE);
                error = up::add(carried, up::add(rounding, tiny));
            }
            all.close_row(error);
        }
        Some(all)
    }

    /// At least the spectral norm of these rows.
    fn spectral(&self, rows: &[usize], room: &mut Room) -> f64 {
        let frobenius = || up::norm(rows.iter().map(|a| self.size[*a]));
        if rows.len() == 1 || rows.len() > WIDEST {
            return frobenius();
        }
        let parts = room.components(self, rows);
        // Rows without a column in common are orthogonal, part by part.
        let largest = parts
            .iter()
            .map(|part| self.largest_square(part, room))
            .fold(0.0, f64::max);
        let error = up::norm(rows.iter().map(|a| self.error[*a]));
        rounded(up::root(largest) + error, 2).min(frobenius())
    }

    /// At least |A|^2 for these computed rows: |fl(A A') - A A'|_2 <= gamma_P |A|_F^2, and what underflows. So also
    /// for A' A, if there are fewer columns.
    fn largest_square(&self, rows: &[usize], room: &mut Room) -> f64 {
        let square = up::sum(rows.iter().map(|a| up::mul_self(self.size[*a])));
        if rows.len() == 1 || !square.is_finite() {
            return square;
        }
        let cols = room.number(self, rows);
        if cols == 1 {
            return square;
        }
        let mut A = vec![0.0; rows.len() * cols];
        for (row, out) in rows.iter().zip(A.chunks_mut(cols)) {
            let (at, numbers) = self.row(*row);
            for (j, x) in at.iter().zip(numbers) {
                out[room.place[*j as usize] as usize] = *x;
            }
        }
        let short = rows.len().min(cols);
        if short > small::LARGEST {
            let A = MatRef::from_row_major_slice(&A, rows.len(), cols);
            let wide = cols >= rows.len();
            return Symmetric::gram(if wide { A } else { A.transpose() })
                .largest()
                .hi();
        }
        let (A, long) = if cols < rows.len() {
            let mut turned = vec![0.0; A.len()];
            for (i, row) in A.chunks(cols).enumerate() {
                for (j, x) in row.iter().enumerate() {
                    turned[j * rows.len() + i] = *x;
                }
            }
            (turned, rows.len())
        } else {
            (A, cols)
        };
        let mut G = vec![0.0; short * short];
        for (i, u) in A.chunks(long).enumerate() {
            for (j, w) in A.chunks(long).enumerate().take(i + 1) {
                let x = dot_in_lanes(u, w);
                (G[i * short + j], G[j * short + i]) = (x, x);
            }
        }
        let tiny = up::mul(A.len() as f64 * short as f64, f64::MIN_POSITIVE);
        let error = up::add(up::mul(gamma_up(long), square), tiny);
        up::add(small::largest(&G, short), error)
    }

    /// For every subarray the spectral norm of its rows.
    pub(crate) fn norms(&self, of: &Rc<Subsets>) -> Lattice {
        let mut norms = Lattice::constant(of, f64::INFINITY);
        let mut room = Room::new(self.cols);
        for mask in 0..=of.full() {
            if mask == of.full() {
                norms.at[mask].copy_from_slice(&self.size);
                continue;
            }
            let mut members = vec![Vec::new(); of.first[mask].len()];
            for (e, s) in of.index[mask].iter().enumerate() {
                members[*s as usize].push(e);
            }
            for (x, rows) in norms.at[mask].iter_mut().zip(members) {
                *x = self.spectral(&rows, &mut room);
            }
        }
        norms.close();
        norms
    }
}

/// Room to sort out columns in.
struct Room {
    /// Of each column, the first of the rows at hand that has it; or its number among their columns.
    place: Vec<u32>,
    used: Vec<u32>,
}

/// No row, or no number, yet.
const NONE: u32 = u32::MAX;

impl Room {
    fn new(cols: usize) -> Room {
        Room {
            place: vec![NONE; cols],
            used: Vec::new(),
        }
    }

    fn clear(&mut self) {
        for j in self.used.drain(..) {
            self.place[j as usize] = NONE;
        }
    }

    /// The rows, in parts that have no column in common.
    fn components(&mut self, of: &Rowwise, rows: &[usize]) -> Vec<Vec<usize>> {
        self.clear();
        let mut parent: Vec<usize> = (0..rows.len()).collect();
        fn root(parent: &mut [usize], mut i: usize) -> usize {
            while parent[i] != i {
                parent[i] = parent[parent[i]];
                i = parent[i];
            }
            i
        }
        for (i, row) in rows.iter().enumerate() {
            let (at, _) = of.row(*row);
            let mut last = NONE;
            for j in at {
                let first = &mut self.place[*j as usize];
                if *first == NONE {
                    *first = i as u32;
                    self.used.push(*j);
                } else if *first != last {
                    last = *first;
                    let (a, b) = (root(&mut parent, i), root(&mut parent, last as usize));
                    parent[a.max(b)] = a.min(b);
                }
            }
        }
        let mut parts: Vec<Vec<usize>> = vec![Vec::new(); rows.len()];
        for (i, row) in rows.iter().enumerate() {
            let (first, end) = (of.start[*row], of.start[*row + 1]);
            if first < end {
                parts[root(&mut parent, i)].push(*row);
            }
        }
        parts.retain(|part| !part.is_empty());
        parts
    }

    /// Numbers the columns of these rows in `place`; how many there are.
    fn number(&mut self, of: &Rowwise, rows: &[usize]) -> usize {
        self.clear();
        for row in rows {
            for j in of.row(*row).0 {
                let place = &mut self.place[*j as usize];
                if *place == NONE {
                    *place = self.used.len() as u32;
                    self.used.push(*j);
                }
            }
        }
        self.used.len()
    }
}

impl Centre {
    pub(crate) fn new(
        graph: &Graph,
        plan: &Plan,
        values: Vec<Vec<Interval>>,
        subsets: &[Rc<Subsets>],
        rules: &[Rule],
    ) -> Centre {
        let blocks = graph.blocks().len();
        let none = || vec![None; blocks];
        let nodes = graph.nodes().len();
        let mut centre = Centre {
            values,
            slopes: vec![none(); nodes],
            sigma: vec![none(); nodes],
        };
        let last = last_uses(graph);
        let mut all: Vec<Option<Derivative>> = (0..nodes).map(|_| None).collect();
        let mut spent = 0usize;
        let mut steps = plan.steps.iter().filter(|step| step.varies).peekable();
        for node in 0..nodes {
            let found = &graph.nodes()[node];
            let made = match (&rules[node], steps.peek()) {
                (Rule::Parameter(b), _) => {
                    let size = found.len();
                    (size.saturating_mul(size) <= LARGEST).then(|| {
                        let of = |c: usize| (c == *b).then(|| Rowwise::identity(size));
                        (0..blocks).map(of).collect()
                    })
                }
                (_, Some(step)) if step.node == node => {
                    let step = steps.next();
                    step.and_then(|step| {
                        derivative(graph, node, &step.kernel, &centre.values, &all, &mut spent)
                    })
                }
                _ => None,
            };
            if let Some(made) = &made {
                for (b, rows) in made.iter().enumerate() {
                    let Some(rows) = rows else { continue };
                    if !matches!(rules[node], Rule::Parameter(_)) {
                        centre.slopes[node][b] = Some(rows.norms(&subsets[node]));
                    }
                }
            }
            if let Rule::Softmax(rows) = &rules[node]
                && let Some(Some(scores)) = all.get(found.inputs[0])
            {
                for (b, z) in scores.iter().enumerate() {
                    let Some(z) = z else { continue };
                    let weighted = weighted(z, rows, &centre.values[node]);
                    let norms =
                        weighted.map(|w| w.norms(&subsets[node]).without(&rows.of, rows.axis));
                    centre.sigma[node][b] = norms;
                }
            }
            all[node] = made;
            for input in &found.inputs {
                if last[*input] == node {
                    all[*input] = None;
                }
            }
        }
        centre
    }
}

/// The last node that uses each.
fn last_uses(graph: &Graph) -> Vec<usize> {
    let mut last = vec![0; graph.nodes().len()];
    for (node, found) in graph.nodes().iter().enumerate() {
        for input in &found.inputs {
            last[*input] = node;
        }
    }
    last
}

/// sqrt(p_j) (z_j - sum_l p_l z_l): what sigma is the norm of.
pub(crate) fn weighted(z: &Rowwise, rows: &Rows, p: &[Interval]) -> Option<Rowwise> {
    let means = Rowwise::combined(&[Some(z)], rows.entries.len(), |row, terms| {
        terms.extend(rows.entries[row].iter().map(|e| (p[*e], 0, *e)));
    })?;
    Rowwise::combined(&[Some(z), Some(&means)], p.len(), |e, terms| {
        let root = p[e].sqrt();
        terms.push((root, 0, e));
        terms.push((-root, 1, rows.row[e]));
    })
}

/// The derivative of a node from those of its inputs; `None` if one is not there or it costs too much.
pub(crate) fn derivative(
    graph: &Graph,
    node: usize,
    kernel: &Kernel,
    values: &[Vec<Interval>],
    all: &[Option<Derivative>],
    spent: &mut usize,
) -> Option<Derivative> {
    let found = &graph.nodes()[node];
    let n = found.len();
    let one = Interval::from_f64(1.0);
    let there = |i: &usize| !graph.nodes()[*i].varies || all[*i].is_some();
    if !found.inputs.iter().all(there) {
        return None;
    }
    let terms_a_row = match kernel {
        Kernel::Dot(dot) => 2 * dot.sum.len(),
        Kernel::Softmax { len, .. } => *len,
        _ => 2,
    };
    let P: usize = graph
        .blocks()
        .iter()
        .map(|block| block.start.values.len())
        .sum();
    *spent = spent.saturating_add(n.saturating_mul(terms_a_row).saturating_mul(P));
    if *spent > AFFORDABLE || n.saturating_mul(P) > LARGEST {
        return None;
    }
    let value = |i: usize| &values[found.inputs[i]];
    let own = &values[node];
    let entries: Option<Vec<Vec<Vec<u32>>>> = match kernel {
        Kernel::Sum { to, .. } => {
            let mut from = vec![Vec::new(); n];
            for (e, to) in (0..).zip(to) {
                from[*to as usize].push(e);
            }
            Some(vec![from])
        }
        Kernel::Moves(inputs) => Some(
            inputs
                .iter()
                .map(|(_, pairs)| {
                    let mut from = vec![Vec::new(); n];
                    for (to, place) in pairs {
                        from[*to as usize].push(*place);
                    }
                    from
                })
                .collect(),
        ),
        _ => None,
    };
    let slopes: Vec<Interval> = match kernel {
        Kernel::Map { function, .. } => {
            let pairs = value(0).iter().zip(own);
            pairs.map(|(x, y)| function.derivative(*x, *y)).collect()
        }
        _ => Vec::new(),
    };
    let terms = |a: usize, list: &mut Vec<Term>| match kernel {
        Kernel::Neg(_) => list.push((-one, 0, a)),
        Kernel::Map { .. } => list.push((slopes[a], 0, a)),
        Kernel::Pair(pair, ..) => {
            let (u, w) = (value(0)[a], value(1)[a]);
            let coefficients = match pair {
                Pair::Add => [one, one],
                Pair::Sub => [one, -one],
                Pair::Mul => [w, u],
                Pair::Div => [one / w, -(own[a] / w)],
            };
            list.extend(coefficients.into_iter().enumerate().map(|(i, c)| (c, i, a)));
        }
        Kernel::Maximum { .. } => {
            let second = (value(0)[a] - value(1)[a]).hi() <= 0.0;
            list.push((one, usize::from(second), a));
        }
        Kernel::Softmax { len, inner, .. } => {
            // p_a (z_a - sum_l p_l z_l).
            let block = len * inner;
            let first = a / block * block + a % inner;
            for e in (0..*len).map(|l| first + l * inner) {
                let kept = if e == a { one - own[e] } else { -own[e] };
                list.push((own[a] * kept, 0, e));
            }
        }
        Kernel::Dot(dot) => {
            let (I, J) = (dot.free_a.len(), dot.free_b.len());
            let (batch, i, j) = (a / (I * J), a / J % I, a % J);
            let (at_a, at_b) = dot.batch[batch];
            for (ka, kb) in &dot.sum {
                let a = (at_a + dot.free_a[i] + ka) as usize;
                let b = (at_b + dot.free_b[j] + kb) as usize;
                list.push((value(1)[b], 0, a));
                list.push((value(0)[a], 1, b));
            }
        }
        Kernel::Sum { .. } | Kernel::Moves(_) => {
            for (i, from) in entries.iter().flatten().enumerate() {
                list.extend(from[a].iter().map(|e| (one, i, *e as usize)));
            }
        }
    };
    let blocks = graph.blocks().len();
    let of_block = |b: usize| {
        let inputs: Vec<Option<&Rowwise>> = found
            .inputs
            .iter()
            .map(|i| all[*i].as_ref().and_then(|made| made[b].as_ref()))
            .collect();
        Rowwise::combined(&inputs, n, terms)
    };
    Some((0..blocks).map(of_block).collect())
}
