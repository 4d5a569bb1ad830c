//! The second derivatives at the centre, by Theorem 4 of `proofs-checks/any-model.md` in f64: D^2F_a is a sum of products x y'
//! of the derivatives of single entries, with numbers before them, and what it is off by is known in norm.

use super::centre::{Derivative, Rowwise, derivative, weighted};
use super::rules::Rule;
use super::up;
use crate::plan::{Kernel, Pair, Plan};
use crate::{Evaluation, Graph};
use gdcert_numbers::linalg::view;
use gdcert_numbers::verified::{gamma_up, sigma_max};
use gdcert_numbers::{Interval, Scalar};
use nalgebra::DMatrix;

/// More parameters, second derivatives, numbers in the derivatives of all entries, or numbers in all products x y' are not worth
/// it. The checker goes at least as far.
const LARGEST: usize = 640;
const DERIVATIVES: usize = 1 << 23;
const NUMBERS: usize = 1 << 24;
const AFFORDABLE: usize = 1 << 28;

/// At least |D^2F| at this point: the norm of the matrix of P rows, row j being all that D_j J holds. `None` where that takes
/// too much work, or nothing is known.
pub(crate) fn norm(
    graph: &Graph,
    rules: &[Rule],
    values: &[Vec<Interval>],
    point: &[f64],
) -> Option<f64> {
    let (m, P) = (graph.m(), graph.P());
    let varying = graph.nodes().iter().filter(|node| node.varies);
    let entries: usize = varying.map(|node| node.len()).sum();
    let too_many = P > LARGEST || m.saturating_mul(P * P) > DERIVATIVES;
    if too_many || entries.saturating_mul(P) > NUMBERS {
        return None;
    }
    let adjoints = adjoints(graph, rules, point)?;
    let mut sum = Sum::new(m, P);
    let (mut all, mut spent): (Vec<Option<Derivative>>, usize) = (Vec::new(), 0);
    let blocks = graph.blocks().len();
    let plan = Plan::new(graph);
    let mut steps = plan.steps.iter().filter(|step| step.varies).peekable();
    for (node, rule) in rules.iter().enumerate() {
        let found = &graph.nodes()[node];
        if let Rule::Parameter(b) = rule {
            let of = |c: usize| (c == *b).then(|| Rowwise::identity(found.len()));
            all.push(Some((0..blocks).map(of).collect()));
            continue;
        }
        let Some(step) = steps.next_if(|step| step.node == node) else {
            all.push(None);
            continue;
        };
        let made = derivative(graph, node, &step.kernel, values, &all, &mut spent)?;
        let varies = |i: usize| graph.nodes()[found.inputs[i]].varies;
        let rows = |i: usize| Row::all(graph, all[found.inputs[i]].as_ref()?);
        let value = |i: usize| &values[found.inputs[i]][..];
        let adjoint = |a: usize, e: usize| adjoints[node][a * found.len() + e];
        let half = Interval::from_f64(0.5);
        match &step.kernel {
            Kernel::Map { function, .. } => {
                let u = rows(0)?;
                for (e, x) in u.iter().enumerate() {
                    let bend = half * function.second(value(0)[e], values[node][e]);
                    (0..m).try_for_each(|a| sum.add(a, bend * adjoint(a, e), x, x))?;
                }
            }
            // D^2 q = (D^2 u - q D^2 w - q' w'' - q'' w') / w.
            Kernel::Pair(pair @ (Pair::Mul | Pair::Div), ..)
                if varies(1) && (varies(0) || *pair == Pair::Div) =>
            {
                let w = rows(1)?;
                let (u, by) = match pair {
                    Pair::Mul => (rows(0)?, None),
                    _ => (Row::all(graph, &made)?, Some(value(1))),
                };
                for (e, (u, w)) in u.iter().zip(&w).enumerate() {
                    let number = |g: Interval| by.map_or(g, |by| -(g / by[e]));
                    (0..m).try_for_each(|a| sum.add(a, number(adjoint(a, e)), u, w))?;
                }
            }
            Kernel::Dot(dot) if varies(0) && varies(1) => {
                let (A, B) = (rows(0)?, rows(1)?);
                let (I, J) = (dot.free_a.len(), dot.free_b.len());
                for e in 0..found.len() {
                    let (at_a, at_b) = dot.batch[e / (I * J)];
                    for (ka, kb) in &dot.sum {
                        let x = &A[(at_a + dot.free_a[e / J % I] + ka) as usize];
                        let y = &B[(at_b + dot.free_b[e % J] + kb) as usize];
                        (0..m).try_for_each(|a| sum.add(a, adjoint(a, e), x, y))?;
                    }
                }
            }
            Kernel::Softmax { .. } => {
                let Rule::Softmax(of) = rule else { return None };
                let p = &values[node];
                let scores = all[found.inputs[0]].as_ref()?;
                let by_block = scores.iter().map(|z| weighted(z.as_ref()?, of, p));
                let z = Row::all(graph, &by_block.collect())?;
                for row in &of.entries {
                    for a in 0..m {
                        let terms = row.iter().map(|e| p[*e] * adjoint(a, *e));
                        let mean = terms.fold(Interval::from_f64(0.0), |sum, x| sum + x);
                        for e in row {
                            sum.add(a, half * (adjoint(a, *e) - mean), &z[*e], &z[*e])?;
                        }
                    }
                }
            }
            _ => {}
        }
        all.push(Some(made));
    }
    let (numbers, off) = sum.symmetric();
    let bound = sigma_max(view(&numbers), off);
    bound.is_finite().then_some(bound)
}

/// Of every node that is not linear the derivatives of each residual by its entries.
fn adjoints(graph: &Graph, rules: &[Rule], point: &[f64]) -> Option<Vec<Vec<Interval>>> {
    let mut at = Evaluation::<Interval>::new(graph);
    for (x, at) in at.parameters_mut().iter_mut().zip(point) {
        *x = Interval::from_f64(*at);
    }
    at.forward();
    let bent = |node: &usize| {
        let rule = &rules[*node];
        let bent = matches!(
            rule,
            Rule::Map(_) | Rule::Mul | Rule::Div | Rule::Dot(_) | Rule::Softmax(_)
        );
        graph.nodes()[*node].varies && bent
    };
    let mut all = vec![Vec::new(); rules.len()];
    let mut w = vec![Interval::from_f64(0.0); graph.m()];
    for a in 0..graph.m() {
        w[a] = Interval::from_f64(1.0);
        at.reverse(&w);
        w[a] = Interval::from_f64(0.0);
        for node in (0..rules.len()).filter(bent) {
            all[node].extend_from_slice(at.adjoint(node));
        }
    }
    let known = all.iter().flatten().all(|x| x.magnitude().is_finite());
    known.then_some(all)
}

/// The derivative of an entry by all parameters: the columns of its numbers, which are off by `error` in norm, and at
/// least the norm of it and of what stands here.
struct Row {
    at: Vec<u32>,
    numbers: Vec<f64>,
    error: f64,
    size: f64,
}

impl Row {
    fn all(graph: &Graph, of: &Derivative) -> Option<Vec<Row>> {
        let sizes = graph.blocks().iter().map(|block| block.start.values.len());
        let starts = sizes.scan(0, |at, n| Some(std::mem::replace(at, *at + n)));
        let blocks: Vec<(usize, &Rowwise)> = starts
            .zip(of)
            .filter_map(|(s, rows)| Some((s, rows.as_ref()?)))
            .collect();
        let (_, first) = blocks.first()?;
        let row = |e: usize| {
            let (mut at, mut numbers) = (Vec::new(), Vec::new());
            for (start, rows) in &blocks {
                let (columns, of_block) = rows.row(e);
                at.extend(columns.iter().map(|j| j + *start as u32));
                numbers.extend_from_slice(of_block);
            }
            Row {
                at,
                numbers,
                error: up::norm(blocks.iter().map(|(_, rows)| rows.errors()[e])),
                size: up::norm(blocks.iter().map(|(_, rows)| rows.sizes()[e])),
            }
        };
        Some((0..first.sizes().len()).map(row).collect())
    }
}

/// Sums of g x y', one for each residual, in f64.
struct Sum {
    m: usize,
    P: usize,
    /// Entry (j, k) of matrix a at j m P + a P + k.
    numbers: Vec<f64>,
    /// What g, x and y are off by comes to, the sum of |g| |x| |y|, and of how many products.
    carried: f64,
    moduli: f64,
    count: usize,
    largest: f64,
    spent: usize,
}

impl Sum {
    fn new(m: usize, P: usize) -> Sum {
        Sum {
            m,
            P,
            numbers: vec![0.0; m * P * P],
            carried: 0.0,
            moduli: 0.0,
            count: 0,
            largest: 0.0,
            spent: 0,
        }
    }

    /// |x y' - X Y'| <= |x - X| |y| + |X| |y - Y| in the Frobenius norm. `None` where it gets too much.
    fn add(&mut self, a: usize, g: Interval, x: &Row, y: &Row) -> Option<()> {
        let (middle, radius) = g.mid_radius();
        if (middle, radius) == (0.0, 0.0) {
            return Some(());
        }
        for (j, x) in x.at.iter().zip(&x.numbers) {
            let gx = middle * x;
            let first = (*j as usize * self.m + a) * self.P;
            let row = &mut self.numbers[first..first + self.P];
            for (k, y) in y.at.iter().zip(&y.numbers) {
                row[*k as usize] += gx * y;
            }
        }
        let sizes = up::mul(x.size, y.size);
        let off = up::add(up::mul(x.error, y.size), up::mul(x.size, y.error));
        let off = up::add(up::mul(g.magnitude(), off), up::mul(radius, sizes));
        self.carried = up::add(self.carried, off);
        self.moduli = up::add(self.moduli, up::mul(middle.abs(), sizes));
        self.largest = self.largest.max(y.size);
        self.count += 1;
        self.spent += x.at.len() * y.at.len();
        (self.spent <= AFFORDABLE).then_some(())
    }

    /// Every matrix plus its transpose, side by side, turned; and what all of them are off by together (Frobenius norm). A number
    /// is a sum of at most `count` products, each through two roundings and those of the sums.
    fn symmetric(self) -> (DMatrix<f64>, f64) {
        let Sum { m, P, numbers, .. } = &self;
        let at = |j: usize, a: usize, k: usize| numbers[(j * m + a) * P + k];
        let both = DMatrix::from_fn(m * P, *P, |i, j| {
            let (a, k) = (i / P, i % P);
            at(j, a, k) + at(k, a, j)
        });
        let rounding = up::mul(gamma_up(self.count + 3), self.moduli);
        // Products that underflow are off by less than 2^-1074 each, and that times a number of y.
        let products = (self.count * P * P) as f64;
        let tiny = up::mul(
            products,
            up::mul(f64::MIN_POSITIVE, up::add(1.0, self.largest)),
        );
        let off = up::add(self.carried, up::add(rounding, tiny));
        (both, 2.0 * off)
    }
}
