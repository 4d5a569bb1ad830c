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
use faer::Mat;
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

/// The rows of the derivative by a block, in f64.
pub(crate) struct Rowwise {
    cols: usize,
    data: Vec<f64>,
    /// What each row may be off by in norm.
    error: Vec<f64>,
    /// At least the norm of each exact row and of each computed one.
    size: Vec<f64>,
}

/// A node's derivatives by blocks; `None` is 0.
type Derivative = Vec<Option<Rowwise>>;

/// Multiplications that are spent on the Jacobians of all nodes at a centre.
const AFFORDABLE: usize = 20_000_000_000;
/// Numbers that the Jacobian of a node may have.
const LARGEST: usize = 1 << 25;
/// Subarrays with more entries than this get the Frobenius norm.
const WIDEST: usize = 512;

/// A coefficient, and the row that it stands before: input and row.
type Term = (Interval, usize, usize);

impl Rowwise {
    fn identity(cols: usize) -> Rowwise {
        let mut data = vec![0.0; cols * cols];
        for i in 0..cols {
            data[i * cols + i] = 1.0;
        }
        Rowwise {
            cols,
            data,
            error: vec![0.0; cols],
            size: vec![1.0; cols],
        }
    }

    /// From intervals, row by row.
    pub(crate) fn of(cols: usize, numbers: &[Interval]) -> Rowwise {
        let parts: Vec<(f64, f64)> = numbers.iter().map(|x| x.mid_radius()).collect();
        let data: Vec<f64> = parts.iter().map(|(mid, _)| *mid).collect();
        let error = parts
            .chunks(cols)
            .map(|row| up::norm(row.iter().map(|(_, radius)| *radius)));
        let error: Vec<f64> = error.collect();
        let size = data.chunks(cols).zip(&error);
        let size = size
            .map(|(row, e)| up::add(norm_up(row.iter().copied()), *e))
            .collect();
        Rowwise {
            cols,
            data,
            error,
            size,
        }
    }

    /// At least the norms of the rows.
    pub(crate) fn sizes(&self) -> &[f64] {
        &self.size
    }

    fn row(&self, a: usize) -> &[f64] {
        &self.data[a * self.cols..(a + 1) * self.cols]
    }

    /// Rows made of those of the inputs.
    pub(crate) fn combined(
        inputs: &[Option<&Rowwise>],
        rows: usize,
        terms: impl Fn(usize, &mut Vec<Term>),
    ) -> Option<Rowwise> {
        let cols = inputs.iter().flatten().next()?.cols;
        let mut data = vec![0.0; rows * cols];
        let (mut error, mut size) = (vec![0.0; rows], vec![0.0; rows]);
        let mut list = Vec::new();
        for a in 0..rows {
            list.clear();
            terms(a, &mut list);
            let out = &mut data[a * cols..(a + 1) * cols];
            let (mut carried, mut moduli, mut count) = (0.0, 0.0, 0);
            for (c, i, row) in &list {
                let Some(u) = inputs[*i] else { continue };
                if u.size[*row] == 0.0 {
                    continue;
                }
                let (mid, radius) = c.mid_radius();
                for (out, x) in out.iter_mut().zip(u.row(*row)) {
                    *out += mid * x;
                }
                let (e, s) = (u.error[*row], u.size[*row]);
                carried = up::add(
                    carried,
                    up::add(up::mul(c.magnitude(), e), up::mul(radius, s)),
                );
                moduli = up::add(moduli, up::mul(mid.abs(), s));
                count += 1;
            }
            if count > 0 {
                let rounding = up::mul(gamma_up(count + 1), moduli);
                // Products that underflow are off by less than 2^-1074 each.
                let tiny = up::mul((count * cols) as f64, f64::MIN_POSITIVE);
                error[a] = up::add(carried, up::add(rounding, tiny));
                size[a] = up::add(norm_up(out.iter().copied()), error[a]);
            }
        }
        Some(Rowwise {
            cols,
            data,
            error,
            size,
        })
    }

    /// At least the spectral norm of these rows.
    fn spectral(&self, rows: &[usize]) -> f64 {
        let frobenius = || up::norm(rows.iter().map(|a| self.size[*a]));
        if rows.len() == 1 || rows.len() > WIDEST {
            return frobenius();
        }
        let largest = if rows.len() <= small::LARGEST {
            self.largest_of_few(rows)
        } else {
            let A = Mat::from_fn(rows.len(), self.cols, |i, j| self.row(rows[i])[j]);
            if !A.is_all_finite() {
                return f64::INFINITY;
            }
            let wide = self.cols >= rows.len();
            Symmetric::gram(if wide { A.as_ref() } else { A.transpose() })
                .largest()
                .hi()
        };
        let error = up::norm(rows.iter().map(|a| self.error[*a]));
        rounded(up::root(largest) + error, 2).min(frobenius())
    }

    /// At least |A|^2 for the computed rows: |fl(A A') - A A'|_2 <= gamma_P |A|_F^2, and what underflows.
    fn largest_of_few(&self, rows: &[usize]) -> f64 {
        let n = rows.len();
        let mut G = vec![0.0; n * n];
        for i in 0..n {
            for j in 0..=i {
                let x = dot_in_lanes(self.row(rows[i]), self.row(rows[j]));
                (G[i * n + j], G[j * n + i]) = (x, x);
            }
        }
        let square = up::sum(rows.iter().map(|a| up::mul_self(self.size[*a])));
        let error = up::add(up::mul(gamma_up(self.cols), square), f64::MIN_POSITIVE);
        up::add(small::largest(&G, n), error)
    }

    /// For every subarray the spectral norm of its rows.
    pub(crate) fn norms(&self, of: &Rc<Subsets>) -> Lattice {
        let mut norms = Lattice::constant(of, f64::INFINITY);
        for mask in 0..=of.full() {
            let mut members = vec![Vec::new(); of.first[mask].len()];
            for (e, s) in of.index[mask].iter().enumerate() {
                members[*s as usize].push(e);
            }
            for (x, rows) in norms.at[mask].iter_mut().zip(members) {
                *x = self.spectral(&rows);
            }
        }
        norms.close();
        norms
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
            if let Rule::Softmax(rows) = &rules[node] {
                if let Some(Some(scores)) = all.get(found.inputs[0]) {
                    for (b, z) in scores.iter().enumerate() {
                        let Some(z) = z else { continue };
                        let weighted = weighted(z, rows, &centre.values[node]);
                        let norms =
                            weighted.map(|w| w.norms(&subsets[node]).without(&rows.of, rows.axis));
                        centre.sigma[node][b] = norms;
                    }
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
fn weighted(z: &Rowwise, rows: &Rows, p: &[Interval]) -> Option<Rowwise> {
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
fn derivative(
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
