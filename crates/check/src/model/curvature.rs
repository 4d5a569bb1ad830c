//! How large D^2F is over a ball: `proofs-checks/any-model.md`.
//!
//! For every node v, block b and part v_s of its array (see [`table`](super::table)): d_b >= |D_b v_s|_2, H_bc >= |D_b D_c v_s|_2,
//! K_bc >= the same with the sum of moduli; then backwards alpha >= |J_{F<-v}' w| on v_s for |w| = 1, and beta_c >= the
//! derivative of that by block c.

use super::centre::{Rows, Term, coefficient};
use super::file::{Function, Model, Node, Op};
use super::functions::Functions;
use super::slopes::{Range, Slopes, slopes};
use super::sums::{Blocks, Factor, Sums, least};
use super::table::{Axes, Table, View, add, mul, norm, over, root, settle_both};
use super::values::{Places, Values, row_of, rows};
use crate::ball::Ball;
use std::rc::Rc;

/// What a node does, for the rules.
enum Kind {
    Still,
    Parameter(usize),
    /// Of the inputs, whatever their signs.
    Plus,
    /// Every entry is a sum of entries of the inputs: how to see those from here, and this from there.
    Linear(Vec<Option<(View, View)>>),
    Product(Box<Factors>),
    Times,
    Over,
    Map(Function),
    Softmax(Box<Weights>),
}

/// A product's factors A and B.
struct Factors {
    /// A and B from the result; the result from A and B; B from A, A from B.
    from_result: [View; 2],
    to_result: [View; 2],
    across: [View; 2],
    axes: [Rc<Axes>; 2],
    /// Which axes go together, in A, in B and in the result.
    batch: [usize; 3],
    contracted: [usize; 2],
    /// At the centre: the norm of each part that has one batch index, as a matrix (contracted, other axes).
    norms: [Table; 2],
}

/// A softmax's rows.
struct Weights {
    /// The axes without the one that is summed over.
    axes: Rc<Axes>,
    /// The rows from the array, the array from the rows.
    from_array: View,
    to_array: View,
    entries: Vec<Vec<usize>>,
    row: Vec<usize>,
}

/// A model at a centre.
pub(crate) struct Site<'m> {
    model: &'m Model,
    functions: Functions<Ball>,
    axes: Vec<Rc<Axes>>,
    kinds: Vec<Kind>,
    values: Vec<Vec<Range>>,
    /// |D_b v_s| at the centre, where it was made.
    slopes: Vec<Blocks>,
    /// Of a softmax: (sum over rows, sum_j p_j (z_j - mean)^2)^{1/2} at the centre.
    sigma: Vec<Blocks>,
    /// alpha at the centre, and of a softmax the norm of an entry's adjoint less the row's mean.
    alpha: Vec<Option<Table>>,
    centred: Vec<Vec<f64>>,
}

/// A node over the ball.
struct State {
    range: Vec<Range>,
    d: Blocks,
    /// H and K for b <= c, at b B + c.
    pairs: Vec<Option<(Table, Table)>>,
    sigma: Blocks,
}

/// What is known of second derivatives over a ball.
pub(crate) enum Bound {
    /// |D^2F| is at most this.
    Number(f64),
    /// At this node a function is perhaps not smooth or not defined.
    Stop(usize),
}

/// Numbers that the Jacobian of a node may have, and products that all of them may take.
const MOST_NUMBERS: usize = 1 << 25;
const MOST_PRODUCTS: usize = 20_000_000_000;

fn plus(a: Option<Table>, b: Option<Table>) -> Option<Table> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.plus(&b)),
        (a, b) => a.or(b),
    }
}

/// (sum of squares)^{1/2}.
fn together<'t>(axes: &Rc<Axes>, tables: impl Iterator<Item = &'t Table>) -> Table {
    let mut sum = Table::new(axes, 0.0);
    for table in tables {
        sum = sum.with(table, |s, x| add(s, mul(x, x)));
    }
    sum.map(root)
}

/// min(max u w, u max w).
fn crossed(u: &Table, w: &Table) -> Table {
    u.largest().times(w).min(&u.times(&w.largest()))
}

fn spectral_norms(axes: &Rc<Axes>, batch: usize, contracted: usize, values: &[Ball]) -> Table {
    let mut table = Table::new(axes, f64::INFINITY);
    for S in (0..=axes.all()).filter(|S| S & batch == batch) {
        let rest = axes.all() & !S;
        let mut members: Vec<Vec<(usize, usize, usize)>> = vec![Vec::new(); axes.parts[S]];
        for (e, s) in axes.of[S].iter().enumerate() {
            // Row and column of the matrix, and the entry.
            members[*s].push((axes.of[rest & contracted][e], axes.of[rest & !contracted][e], e));
        }
        for (s, mut list) in members.into_iter().enumerate() {
            list.sort_unstable();
            table.at[S][s] = matrix_norm(&list, values);
        }
    }
    table
}

/// The spectral norm of a matrix, its entries in order of rows.
fn matrix_norm(list: &[(usize, usize, usize)], values: &[Ball]) -> f64 {
    let width = list.chunk_by(|a, b| a.0 == b.0).next().map_or(0, <[_]>::len);
    let count = list.len() / width.max(1);
    let entry = |i: usize, j: usize| values[list[i * width + j].2];
    let (n, long) = (count.min(width), count.max(width));
    if n <= 1 {
        return norm(list.iter().map(|(_, _, e)| values[*e].abs().upper()));
    }
    let balls: Vec<Ball> = (0..n * long)
        .map(|i| if count <= width { entry(i / long, i % long) } else { entry(i % long, i / long) })
        .collect();
    Rows::of(long, &balls).whole()
}

impl<'m> Site<'m> {
    /// The values are those at the centre.
    pub(crate) fn new(at: &Values<'m, Ball>) -> Site<'m> {
        let model = at.model;
        let axes: Vec<Rc<Axes>> = model.nodes.iter().map(|node| Axes::new(&node.shape)).collect();
        let count = model.nodes.len();
        let kinds: Vec<Kind> = (0..count).map(|n| kind(at, &axes, n)).collect();
        let none: Blocks = vec![None; model.blocks.len()];
        let ranges = at.values.iter().map(|values| values.iter().map(|x| Range::of(*x)).collect());
        let mut site = Site {
            model,
            functions: Functions::new(),
            values: ranges.collect(),
            axes,
            kinds,
            slopes: vec![none.clone(); count],
            sigma: vec![none; count],
            alpha: vec![None; count],
            centred: vec![Vec::new(); count],
        };
        site.forwards(at);
        site.backwards(at);
        site
    }

    /// Norms of the derivatives of every node.
    fn forwards(&mut self, at: &Values<'m, Ball>) {
        let model = self.model;
        let blocks = model.blocks.len();
        let P = model.parameters();
        let mut last = vec![0; model.nodes.len()];
        for (n, node) in model.nodes.iter().enumerate() {
            node.inputs.iter().for_each(|i| last[*i] = n);
        }
        let mut all: Vec<Option<Vec<Option<Rows>>>> = vec![None; model.nodes.len()];
        let mut products = 0usize;
        for (n, node) in model.nodes.iter().enumerate() {
            if !node.varies {
                continue;
            }
            let known = |i: &usize| !model.nodes[*i].varies || all[*i].is_some();
            let terms = match (&node.op, &at.places[n]) {
                (_, Some(places)) => 2 * places.sum.len(),
                (Op::Softmax(axis), _) => node.shape[*axis],
                _ => 2,
            };
            products = products.saturating_add(node.size().saturating_mul(P).saturating_mul(terms));
            let made: Option<Vec<Option<Rows>>> = match &node.op {
                Op::Parameter(b) if node.size() * node.size() <= MOST_NUMBERS => {
                    let one = |c: usize| (c == *b).then(|| Rows::unit(node.size()));
                    Some((0..blocks).map(one).collect())
                }
                Op::Parameter(_) => None,
                _ if node.size().saturating_mul(P) > MOST_NUMBERS || products > MOST_PRODUCTS => {
                    None
                }
                _ if node.inputs.iter().all(known) => {
                    let of = |b: usize| -> Option<Rows> {
                        let inputs: Vec<Option<&Rows>> =
                            node.inputs.iter().map(|i| all[*i].as_ref()?[b].as_ref()).collect();
                        Rows::combined(&inputs, node.size(), |e| terms_of(at, n, node, e))
                    };
                    Some((0..blocks).map(of).collect())
                }
                _ => None,
            };
            if let (Kind::Softmax(weights), Some(z)) =
                (&self.kinds[n], node.inputs.first().and_then(|i| all[*i].as_ref()))
            {
                let p = &at.values[n];
                let of = |z: &Option<Rows>| {
                    let rows = weighted(z.as_ref()?, weights, p)?;
                    let norms = rows.norms(&self.axes[n]);
                    Some(weights.from_array.see(&norms).settle(true))
                };
                self.sigma[n] = z.iter().map(of).collect();
            }
            if let Some(made) = &made
                && !matches!(node.op, Op::Parameter(_))
            {
                let of = |rows: &Option<Rows>| rows.as_ref().map(|rows| rows.norms(&self.axes[n]));
                self.slopes[n] = made.iter().map(of).collect();
            }
            all[n] = made;
            node.inputs.iter().filter(|i| last[**i] == n).for_each(|i| all[*i] = None);
        }
    }

    /// Norms of the adjoints of every node, by a reverse sweep for each residual.
    fn backwards(&mut self, at: &Values<'m, Ball>) {
        let model = self.model;
        let m = model.residuals();
        let total: usize = model.nodes.iter().filter(|node| node.varies).map(Node::size).sum();
        if total.saturating_mul(m) > MOST_NUMBERS {
            return;
        }
        let mut all: Vec<Vec<Ball>> = model
            .nodes
            .iter()
            .map(|node| vec![Ball::ZERO; if node.varies { node.size() * m } else { 0 }])
            .collect();
        let mut w = vec![Ball::ZERO; m];
        for i in 0..m {
            w[i] = crate::ball::ball(1.0);
            let adjoints = at.adjoints(&w);
            w[i] = Ball::ZERO;
            for (all, adjoints) in all.iter_mut().zip(adjoints) {
                adjoints.into_iter().enumerate().for_each(|(e, x)| all[e * m + i] = x);
            }
        }
        for n in (0..all.len()).filter(|n| model.nodes[*n].varies) {
            let rows = Rows::of(m, &all[n]);
            if let Kind::Softmax(weights) = &self.kinds[n] {
                let p = &at.values[n];
                self.centred[n] =
                    less_means(&rows, weights, p).map_or(Vec::new(), |rows| rows.size);
            }
            self.alpha[n] = Some(rows.norms(&self.axes[n]));
        }
    }

    /// A bound of |D^2F| over the ball of this radius around the centre, given one at the centre, if it is to be used (Lemma 7).
    pub(crate) fn curvature(&self, radius: f64, at_centre: Option<f64>) -> Bound {
        let blocks = self.model.blocks.len();
        let mut states: Vec<State> = Vec::new();
        for n in 0..self.model.nodes.len() {
            match self.state(n, &states, radius) {
                Some(state) => states.push(state),
                None => return Bound::Stop(n),
            }
        }
        let last = &states[self.model.output];
        let mut H = vec![0.0; blocks * blocks];
        for (b, c) in pairs(blocks) {
            let x = last.pairs[b * blocks + c].as_ref().map_or(0.0, |(H, _)| H.whole());
            (H[b * blocks + c], H[c * blocks + b]) = (x, x);
        }
        if self.alpha[self.model.output].is_none() {
            return Bound::Number(norm_of(&H, blocks));
        }
        let sums = self.reverse(&states, radius, at_centre.is_some());
        H.iter_mut().zip(sums.kappa).for_each(|(h, k)| *h = h.min(k));
        let moved = |at_centre: f64| add(at_centre, norm_of(&sums.apart, blocks));
        let moved = at_centre.map_or(f64::INFINITY, moved);
        Bound::Number(norm_of(&H, blocks).min(moved))
    }

    fn state(&self, n: usize, states: &[State], radius: f64) -> Option<State> {
        let node = &self.model.nodes[n];
        let blocks = self.model.blocks.len();
        let axes = &self.axes[n];
        let of = |i: usize| &states[node.inputs[i]];
        let mut made =
            Made { axes, blocks, d: vec![None; blocks], pairs: vec![None; blocks * blocks] };
        let mut range = None;
        match &self.kinds[n] {
            Kind::Still => {}
            Kind::Parameter(b) => made.d[*b] = Some(Table::new(axes, 1.0)),
            Kind::Plus => {
                for i in 0..node.inputs.len() {
                    made.add(of(i), &Table::clone, &|H, K| (H.clone(), K.clone()));
                }
            }
            Kind::Linear(views) => {
                if let Op::Max = node.op {
                    let sides = of(0).range.iter().zip(&of(1).range);
                    let undecided = |(a, b): (&Range, &Range)| !(a.lo > b.hi || a.hi < b.lo);
                    if sides.into_iter().any(undecided) {
                        return None;
                    }
                }
                let there: Vec<(usize, &View)> = views
                    .iter()
                    .enumerate()
                    .filter_map(|(i, view)| view.as_ref().map(|(view, _)| (i, view)))
                    .collect();
                for (i, view) in there {
                    // Entries of different inputs are different entries: their norms are at most what they add up to.
                    made.join(of(i), view);
                }
            }
            Kind::Product(factors) => product(&mut made, factors, [of(0), of(1)], radius),
            Kind::Times => {
                let (u, w) = (of(0), of(1));
                let most =
                    [u, w].map(|x| Table::largest_of(axes, x.range.iter().map(|x| x.most())));
                made.add(u, &|d| most[1].times(d), &|H, K| (most[1].times(H), most[1].times(K)));
                made.add(w, &|d| most[0].times(d), &|H, K| (most[0].times(H), most[0].times(K)));
                made.cross(&u.d, &w.d, &|u, w| (crossed(u, w), u.times(w)));
                range =
                    Some(u.range.iter().zip(&w.range).map(|(u, w)| multiplied(*u, *w)).collect());
            }
            Kind::Over => return self.quotient(n, made, of(0), of(1), radius),
            Kind::Map(f) => {
                let u = of(0);
                let found: Option<Vec<Slopes>> =
                    u.range.iter().map(|x| slopes(&self.functions, *f, *x)).collect();
                let found = found?;
                composed(&mut made, u, &found);
                range = Some(found.iter().map(|s| s.range).collect());
            }
            Kind::Softmax(weights) => return Some(self.softmax(n, made, weights, of(0), radius)),
        }
        Some(self.finish(n, made, radius, range))
    }

    /// Lemmas 1 and 2, and the range.
    fn finish(&self, n: usize, made: Made, radius: f64, other: Option<Vec<Range>>) -> State {
        let axes = &self.axes[n];
        let Made { blocks, d, pairs: all, .. } = made;
        let all: Vec<_> = all.into_iter().map(|x| x.map(|(H, K)| settle_both(H, K))).collect();
        let settled = d.into_iter().map(|d| d.map(|d| d.settle(true)));
        let mut state = State {
            range: Vec::new(),
            d: settled.collect(),
            pairs: all,
            sigma: vec![None; blocks],
        };
        for b in 0..blocks {
            let (Some(d), Some(centre)) = (&state.d[b], &self.slopes[n][b]) else { continue };
            let moved = state
                .row(axes, b)
                .map_or_else(|| centre.clone(), |row| centre.plus(&row.by(radius)));
            state.d[b] = Some(d.min(&moved).settle(true));
        }
        let slope = together(axes, state.d.iter().flatten());
        let ranges = self.values[n].iter().zip(slope.entries()).enumerate().map(|(e, (x, d))| {
            let moved = x.widened(if *d == 0.0 { 0.0 } else { mul(radius, *d) });
            other.as_ref().map_or(moved, |other| moved.and(other[e]))
        });
        state.range = ranges.collect();
        state
    }

    fn quotient(&self, n: usize, made: Made, u: &State, w: &State, radius: f64) -> Option<State> {
        if w.range.iter().any(|x| x.has_0()) {
            return None;
        }
        let axes = &self.axes[n];
        let sides = || u.range.iter().zip(&w.range);
        let q: Vec<f64> = sides().map(|(u, w)| over(u.most(), w.least())).collect();
        let range: Vec<Range> = sides().map(|(u, w)| divided(*u, *w)).collect();
        let inverse = Table::largest_of(axes, w.range.iter().map(|w| over(1.0, w.least())));
        let share = q.iter().zip(&w.range).map(|(q, w)| over(*q, w.least()));
        let share = Table::largest_of(axes, share);
        let mut made = made;
        made.add(u, &|d| inverse.times(d), &|H, K| (inverse.times(H), inverse.times(K)));
        made.add(w, &|d| share.times(d), &|H, K| (share.times(H), share.times(K)));
        // D^2 u = q D^2 w + w D^2 q + the products of q' and w': with d(q) from here, and again with the better one.
        let mut d: Blocks = made.d.iter().map(|d| d.clone().map(|d| d.settle(true))).collect();
        let mut state = None;
        for _ in 0..2 {
            let mut again = made.clone();
            again.cross(&d, &w.d, &|u, w| {
                (inverse.times(&crossed(u, w)), inverse.times(&u.times(w)))
            });
            let found = self.finish(n, again, radius, Some(range.clone()));
            d.clone_from(&found.d);
            state = Some(found);
        }
        state
    }

    /// Lemma 3.
    fn softmax(
        &self,
        n: usize,
        mut made: Made,
        weights: &Weights,
        z: &State,
        radius: f64,
    ) -> State {
        let (axes, R) = (&self.axes[n], &weights.axes);
        let blocks = made.blocks;
        let slope = together(axes, z.d.iter().flatten());
        let rows = |table: &Table| weights.from_array.see(table);
        let row_slope = rows(&slope);
        // How far apart z - z(C) can be within a row, and so what weights can change by as a factor.
        let growth: Vec<f64> = weights
            .entries
            .iter()
            .enumerate()
            .map(|(row, entries)| {
                let most = entries.iter().fold(0.0f64, |most, e| most.max(slope.entries()[*e]));
                let spread =
                    mul(radius, (2.0 * most).min(mul(1.414_213_563, row_slope.entries()[row])));
                exp_above(spread)
            })
            .collect();
        let centre = &self.values[n];
        let range: Vec<Range> = centre
            .iter()
            .enumerate()
            .map(|(e, p)| {
                let growth = growth[weights.row[e]];
                Range {
                    lo: (p.lo.max(0.0) / growth).next_down().max(0.0),
                    hi: mul(p.hi.max(0.0), growth).min(1.0),
                }
            })
            .collect();
        let by_row = |of: &dyn Fn(&[usize]) -> f64| {
            let numbers: Vec<f64> = weights.entries.iter().map(|row| of(row)).collect();
            Table::largest_of(R, numbers.iter().copied())
        };
        let largest = |p: &[Range]| {
            by_row(&|row| row.iter().fold(0.0f64, |most, e| most.max(p[*e].hi)).min(1.0))
        };
        let most = largest(&range);
        let lambda = most.map(|p| p.min(0.5));
        let root_lambda = lambda.map(root);
        let at_centre = largest(centre).map(|p| root(p.min(0.5)));
        let length = by_row(&|row| norm(row.iter().map(|e| range[*e].hi)).min(1.0));
        let rest = by_row(&|row| {
            let least = row.iter().fold(1.0f64, |least, e| least.min(range[*e].lo));
            root((1.0 - least).next_up())
        });
        let growth = Table::largest_of(R, growth.iter().copied()).map(root);
        let sigma: Blocks = (0..blocks)
            .map(|b| {
                let crude = root_lambda.times(&rows(z.d[b].as_ref()?));
                let Some(found) = &self.sigma[n][b] else { return Some(crude.settle(true)) };
                let moved = match z.row(axes, b) {
                    Some(row) => found.plus(&at_centre.times(&rows(&row)).by(radius)),
                    None => found.clone(),
                };
                Some(crude.min(&growth.times(&moved)).settle(true))
            })
            .collect();
        let array = |table: &Table| weights.to_array.see(table);
        let root_p: Vec<f64> = range.iter().map(|p| root(p.hi)).collect();
        let all = axes.all();
        for b in 0..blocks {
            let (Some(s), Some(d)) = (&sigma[b], &z.d[b]) else { continue };
            let mut found = array(&lambda.times(&rows(d)).min(&most.map(root).times(s)));
            for (e, x) in found.at[all].iter_mut().enumerate() {
                *x = x.min(mul(root_p[e], s.entries()[weights.row[e]]));
            }
            made.d[b] = Some(found);
        }
        let counts = |table: &Table| {
            let mut table = table.clone();
            for (S, numbers) in table.at.iter_mut().enumerate() {
                let count = (R.size() / R.parts[S].max(1)) as f64;
                numbers.iter_mut().for_each(|x| *x = mul(*x, count));
            }
            table
        };
        for (b, c) in pairs(blocks) {
            let (Some(sb), Some(sc)) = (&sigma[b], &sigma[c]) else { continue };
            let mut H = rest.plus(&length).times(&crossed(sb, sc));
            let mut K = sb.times(sc).by(2.0);
            let own = z.pairs[b * blocks + c].as_ref().map(|(H, K)| (rows(H), rows(K)));
            if let Some((Hz, Kz)) = &own {
                H = H.plus(&lambda.times(Hz));
                let by_count = counts(&lambda).map(root).times(Hz);
                K = K.plus(&most.times(Kz).by(2.0).min(&by_count));
            }
            let mut H = array(&H);
            for (e, x) in H.at[all].iter_mut().enumerate() {
                let row = weights.row[e];
                let of_z = own.as_ref().map_or(0.0, |(Hz, _)| {
                    mul(root_p[e], mul(root_lambda.entries()[row], Hz.entries()[row]))
                });
                *x = x.min(add(mul(sb.entries()[row], sc.entries()[row]), of_z));
            }
            made.pairs[b * blocks + c] = Some((H, array(&K)));
        }
        let mut state = self.finish(n, made, radius, Some(range));
        state.sigma = sigma;
        state
    }

    /// Section 3: the matrices over blocks, row by row; how far their terms move only if `moving`.
    fn reverse(&self, states: &[State], radius: f64, moving: bool) -> Sums {
        let blocks = self.model.blocks.len();
        let nodes = &self.model.nodes;
        let mut sums = Sums::new(blocks, moving);
        // D_b v at the centre, and how far from it.
        let near = |n: usize| -> [Blocks; 2] {
            if !moving {
                return [vec![None; blocks], vec![None; blocks]];
            }
            let (axes, state) = (&self.axes[n], &states[n]);
            let centre = self.slopes[n].iter().zip(&state.d).map(least).collect();
            let apart = |b| state.row(axes, b).map(|row| row.by(radius));
            [centre, (0..blocks).map(apart).collect()]
        };
        let mut all: Vec<(Option<Table>, Blocks)> = vec![(None, vec![None; blocks]); nodes.len()];
        all[self.model.output].0 = Some(Table::new(&self.axes[self.model.output], 1.0));
        for n in (0..nodes.len()).rev().filter(|n| nodes[*n].varies) {
            let axes = &self.axes[n];
            let (alpha, beta) = std::mem::replace(&mut all[n], (None, vec![None; blocks]));
            let Some(alpha) = alpha else { continue };
            let beta: Blocks = beta.into_iter().map(|b| b.map(|b| b.settle(true))).collect();
            // Lemma 5.
            let change = together(axes, beta.iter().flatten());
            let mut alpha = alpha.settle(true);
            if let Some(centre) = &self.alpha[n] {
                alpha = alpha.min(&centre.plus(&change.by(radius))).settle(true);
            }
            let alpha_apart = change.by(radius);
            let alpha_centre = self.alpha[n].as_ref().map_or(alpha.clone(), |x| x.min(&alpha));
            let node = &nodes[n];
            let of = |i: usize| &states[node.inputs[i]];
            let mut give = |i: usize, a: Table, b: Blocks| {
                let input = node.inputs[i];
                if nodes[input].varies {
                    all[input].0 = plus(all[input].0.take(), Some(a));
                    for (own, more) in all[input].1.iter_mut().zip(b) {
                        *own = plus(own.take(), more);
                    }
                }
            };
            let each =
                |of: &dyn Fn(usize) -> Option<Table>| -> Blocks { (0..blocks).map(of).collect() };
            let carried = |c: usize, by: &dyn Fn(&Table) -> Table| beta[c].as_ref().map(by);
            match &self.kinds[n] {
                Kind::Still | Kind::Parameter(_) => {}
                Kind::Plus => {
                    (0..node.inputs.len()).for_each(|i| give(i, alpha.clone(), beta.clone()));
                }
                Kind::Linear(views) => {
                    for (i, view) in views.iter().enumerate() {
                        let Some((_, back)) = view else { continue };
                        let beta = each(&|c| carried(c, &|beta| back.squares(beta)));
                        give(i, back.squares(&alpha), beta);
                    }
                }
                Kind::Product(factors) => {
                    for (i, j) in [(0, 1), (1, 0)] {
                        let slope = of(j).slope(&factors.axes[j]);
                        let (size, ..) =
                            factor_sizes(factors, j, &of(j).range, slope.as_ref(), radius);
                        let across = |x: &Table| factors.across[i].see(x);
                        let own = |x: &Table| factors.to_result[i].see(x);
                        let size = across(&size);
                        let (a, most) = (own(&alpha), own(&alpha.largest_part(factors.batch[2])));
                        let beta = each(&|c| {
                            let moved = of(j).d[c].as_ref().map(|d| {
                                let one = across(&d.largest_part(factors.batch[j]));
                                most.times(&across(d)).min(&a.times(&one))
                            });
                            plus(carried(c, &|beta| size.times(&own(beta))), moved)
                        });
                        give(i, size.times(&a), beta);
                    }
                    let [near_u, near_w] = [0, 1].map(|i| near(node.inputs[i]));
                    let u = Factor::new(&of(0).d, &near_u);
                    let w = Factor::new(&of(1).d, &near_w);
                    let a = Factor { ball: &alpha, centre: &alpha_centre, apart: &alpha_apart };
                    sums.add(a, u, w, true, &|alpha, u, w| {
                        let most = alpha.largest_part(factors.batch[2]);
                        let see = |i: usize, x: &Table| factors.from_result[i].see(x);
                        let one = |i: usize, x: &Table| see(i, &x.largest_part(factors.batch[i]));
                        let all = most.times(&see(0, u)).times(&see(1, w));
                        let left = alpha.times(&one(0, u)).times(&see(1, w));
                        all.min(&left).min(&alpha.times(&see(0, u)).times(&one(1, w)))
                    });
                }
                Kind::Times => {
                    for (i, j) in [(0, 1), (1, 0)] {
                        let most = Table::largest_of(axes, of(j).range.iter().map(|x| x.most()));
                        let beta = each(&|c| {
                            let moved = of(j).d[c].as_ref().map(|d| crossed(&alpha, d));
                            plus(carried(c, &|beta| most.times(beta)), moved)
                        });
                        give(i, most.times(&alpha), beta);
                    }
                    let [near_u, near_w] = [0, 1].map(|i| near(node.inputs[i]));
                    let u = Factor::new(&of(0).d, &near_u);
                    let w = Factor::new(&of(1).d, &near_w);
                    let a = Factor { ball: &alpha, centre: &alpha_centre, apart: &alpha_apart };
                    sums.add(a, u, w, true, &three);
                }
                Kind::Over => {
                    // The adjoint of u is that of q = u / w over w, that of w the same times -q.
                    let inverse = of(1).range.iter().map(|w| over(1.0, w.least()));
                    let inverse = Table::largest_of(axes, inverse);
                    let q = Table::largest_of(axes, states[n].range.iter().map(|q| q.most()));
                    let share = inverse.times(&alpha);
                    let first = each(&|c| {
                        let moved = of(1).d[c].as_ref().map(|d| crossed(&inverse.times(&share), d));
                        plus(carried(c, &|beta| inverse.times(beta)), moved)
                    });
                    let second = each(&|c| {
                        let moved = states[n].d[c].as_ref().map(|d| crossed(&share, d));
                        plus(first[c].as_ref().map(|beta| q.times(beta)), moved)
                    });
                    give(0, share.clone(), first);
                    give(1, q.times(&share), second);
                    // 1/w is within radius |d(w)| / w^2 of that at the centre.
                    let slope = of(1).slope(&self.axes[node.inputs[1]]);
                    let apart = of(1).range.iter().enumerate().map(|(e, w)| {
                        let d = slope.as_ref().map_or(0.0, |slope| slope.entries()[e]);
                        over(over(mul(radius, d), w.least()), w.least())
                    });
                    let apart = Table::largest_of(axes, apart);
                    let apart = inverse.times(&alpha_apart).plus(&apart.times(&alpha));
                    let at_centre =
                        self.values[node.inputs[1]].iter().map(|w| over(1.0, w.least()));
                    let centre = Table::largest_of(axes, at_centre).times(&alpha_centre);
                    let a = Factor { ball: &share, centre: &centre.min(&share), apart: &apart };
                    let (near_q, near_w) = (near(n), near(node.inputs[1]));
                    let q = Factor::new(&states[n].d, &near_q);
                    let w = Factor::new(&of(1).d, &near_w);
                    sums.add(a, q, w, true, &three);
                }
                Kind::Map(f) => {
                    let u = of(0);
                    let found: Option<Vec<Slopes>> =
                        u.range.iter().map(|x| slopes(&self.functions, *f, *x)).collect();
                    // The way forwards has been through here.
                    let Some(found) = found else { continue };
                    let first = Table::largest_of(axes, found.iter().map(|s| s.first));
                    let bend = |by: &Table| {
                        let entries =
                            found.iter().zip(by.entries()).map(|(s, x)| mul(s.second, *x));
                        Table::largest_of(axes, entries)
                    };
                    let bent = bend(&alpha);
                    let steep = each(&|b| u.d[b].as_ref().map(bend));
                    let beta = each(&|c| {
                        let moved = u.d[c].as_ref().zip(steep[c].as_ref());
                        let moved = moved.map(|(d, s)| bent.times(d).min(&alpha.times(s)));
                        plus(carried(c, &|beta| first.times(beta)), moved)
                    });
                    give(0, first.times(&alpha), beta);
                    // Four factors: adjoint, phi'' (a number an entry), and u' twice.
                    let product = |second: &[f64], a: &Table, u: &Table, w: &Table| {
                        let bend = |by: &Table| {
                            let entries = second.iter().zip(by.entries()).map(|(s, x)| mul(*s, *x));
                            Table::largest_of(axes, entries)
                        };
                        let x = bend(a).times(u).times(w).min(&a.times(&bend(u)).times(w));
                        x.min(&a.times(&bend(w)).times(u))
                    };
                    let second: Vec<f64> = found.iter().map(|s| s.second).collect();
                    let over_ball = |a: &Table, u: &Table, w: &Table| product(&second, a, u, w);
                    Sums::put(&mut sums.kappa, blocks, [&u.d, &u.d], false, &|u, w| {
                        over_ball(&alpha, u, w)
                    });
                    let Some(slope) = u.slope(&self.axes[node.inputs[0]]).filter(|_| moving) else {
                        continue;
                    };
                    let bent: Vec<f64> = found
                        .iter()
                        .zip(slope.entries())
                        .map(|(s, d)| mul(s.third, mul(radius, *d)))
                        .collect();
                    let at_centre: Vec<f64> = self.values[node.inputs[0]]
                        .iter()
                        .zip(&second)
                        .map(|(x, most)| {
                            let there = slopes(&self.functions, *f, *x);
                            there.map_or(*most, |there| there.second.min(*most))
                        })
                        .collect();
                    let [centre, apart] = near(node.inputs[0]);
                    let mut put = |u: &Blocks, w: &Blocks, a: &Table, second: &[f64]| {
                        Sums::put(&mut sums.apart, blocks, [u, w], false, &|u, w| {
                            product(second, a, u, w)
                        });
                    };
                    put(&u.d, &u.d, &alpha_apart, &second);
                    put(&u.d, &u.d, &alpha_centre, &bent);
                    put(&apart, &u.d, &alpha_centre, &at_centre);
                    put(&centre, &apart, &alpha_centre, &at_centre);
                }
                Kind::Softmax(weights) => {
                    let sigma = &states[n].sigma;
                    let range = &states[n].range;
                    let (centred, centred_apart) =
                        self.centred_over(n, weights, range, &change, &alpha, radius);
                    let R = &weights.axes;
                    let rows = |x: &Table| weights.from_array.see(x);
                    let array = |x: &Table| weights.to_array.see(x);
                    let by_row = |number: &dyn Fn(usize) -> f64| {
                        let numbers: Vec<f64> = weights
                            .entries
                            .iter()
                            .map(|row| row.iter().fold(0.0f64, |most, e| most.max(number(*e))))
                            .collect();
                        Table::largest_of(R, numbers.iter().copied())
                    };
                    let lambda = by_row(&|e| range[e].hi.min(0.5));
                    let most = by_row(&|e| centred[e]);
                    let root_lambda = lambda.map(root);
                    let mut a = array(&lambda.times(&rows(&alpha)));
                    for (e, x) in a.at[axes.all()].iter_mut().enumerate() {
                        *x = x.min(mul(range[e].hi, centred[e]));
                    }
                    let beta = each(&|c| {
                        let moved = sigma[c].as_ref().map(|s| most.times(&root_lambda).times(s));
                        let carried = carried(c, &|beta| lambda.times(&rows(beta)));
                        plus(carried, moved).map(|x| array(&x))
                    });
                    give(0, a, beta);
                    let apart = match moving {
                        true => self.sigma_apart(n, weights, states, &root_lambda, radius),
                        false => vec![None; blocks],
                    };
                    let centre = self.sigma[n].iter().zip(sigma).map(least).collect();
                    let s = Factor { ball: sigma, centre: &centre, apart: &apart };
                    let at_centre = |e| self.centred[n].get(e).copied().unwrap_or(f64::INFINITY);
                    let centre = by_row(&at_centre).min(&most);
                    let apart = by_row(&|e| centred_apart[e]);
                    let a = Factor { ball: &most, centre: &centre, apart: &apart };
                    sums.add(a, s, s, false, &|a, u, w| a.times(u).times(w));
                }
            }
        }
        sums
    }

    /// How far (sum_j p_j (z_j - mean)^2)^{1/2}, as the vector of what is squared, is from that of the centre. With directions
    /// z' and z'' its derivative has the terms p_j^{1/2} times ((z'_j - mean') (z''_j - mean'') / 2 - Cov(z', z'') + D^2z_j -
    /// mean of D^2z), and |z''_j - mean''| <= 2^{1/2} |z''|.
    fn sigma_apart(
        &self,
        n: usize,
        weights: &Weights,
        states: &[State],
        root_lambda: &Table,
        radius: f64,
    ) -> Blocks {
        let input = self.model.nodes[n].inputs[0];
        let (z, axes, sigma) = (&states[input], &self.axes[input], &states[n].sigma);
        let rows = |x: &Table| weights.from_array.see(x);
        let all = together(&weights.axes, sigma.iter().flatten());
        let half = z.slope(axes).map(|d| rows(&d).by(0.707_106_782));
        let of = |b: usize| {
            let own = sigma[b].as_ref()?;
            let turned = half.as_ref().map(|half| crossed(own, half));
            let carried = z.row(axes, b).map(|row| root_lambda.times(&rows(&row)));
            let sum = plus(plus(Some(crossed(own, &all)), turned), carried);
            sum.map(|x| x.by(radius))
        };
        (0..sigma.len()).map(of).collect()
    }

    /// For every entry a of a softmax the norm of the adjoint less the row's mean, over the ball. With p = p(C) + pi, where
    /// pi adds up to 0, and adjoints that move by D: what it is at C, less sum_l pi_l times what that is for l, plus D_a less
    /// sum_l p_l D_l. And what it differs by from that at C.
    fn centred_over(
        &self,
        n: usize,
        weights: &Weights,
        range: &[Range],
        change: &Table,
        alpha: &Table,
        radius: f64,
    ) -> (Vec<f64>, Vec<f64>) {
        let at_centre = |e: usize| self.centred[n].get(e).copied().unwrap_or(f64::INFINITY);
        let moves = |e: usize| mul(radius, change.entries()[e]);
        let (mut found, mut apart) = (vec![0.0; range.len()], vec![0.0; range.len()]);
        for row in &weights.entries {
            let total = |of: &dyn Fn(usize) -> f64| row.iter().fold(0.0, |sum, e| add(sum, of(*e)));
            let shift = total(&|e| {
                let (p, centre) = (range[e], self.values[n][e]);
                let pi = (p.hi - centre.lo).max(centre.hi - p.lo).next_up().min(1.0);
                mul(pi, at_centre(e))
            });
            let mean = total(&|e| mul(range[e].hi, moves(e)));
            let crude = total(&|e| mul(range[e].hi, alpha.entries()[e]));
            for e in row {
                apart[*e] = add(shift, add(moves(*e), mean));
                let moved = add(at_centre(*e), apart[*e]);
                found[*e] = moved.min(add(alpha.entries()[*e], crude));
            }
        }
        (found, apart)
    }
}

impl State {
    /// |H_b.|, the norm over the second block.
    fn row(&self, axes: &Rc<Axes>, b: usize) -> Option<Table> {
        let blocks = self.d.len();
        let of = |c: usize| self.pairs[b.min(c) * blocks + b.max(c)].as_ref();
        let there: Vec<&Table> = (0..blocks).filter_map(|c| of(c).map(|(H, _)| H)).collect();
        (!there.is_empty()).then(|| together(axes, there.into_iter()))
    }

    /// |d| over all blocks; `None` for a constant.
    fn slope(&self, axes: &Rc<Axes>) -> Option<Table> {
        self.d.iter().any(Option::is_some).then(|| together(axes, self.d.iter().flatten()))
    }
}

/// d, H and K of a node, before Lemmas 1 and 2.
#[derive(Clone)]
struct Made<'a> {
    axes: &'a Rc<Axes>,
    blocks: usize,
    d: Blocks,
    pairs: Vec<Option<(Table, Table)>>,
}

fn pairs(blocks: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..blocks).flat_map(move |b| (b..blocks).map(move |c| (b, c)))
}

impl Made<'_> {
    fn put(&mut self, b: usize, c: usize, more: (Table, Table)) {
        let own = &mut self.pairs[b * self.blocks + c];
        *own = Some(match own.take() {
            Some((H, K)) => (H.plus(&more.0), K.plus(&more.1)),
            None => more,
        });
    }

    /// What a linear map makes of an input.
    fn add(
        &mut self,
        u: &State,
        of_d: &dyn Fn(&Table) -> Table,
        of_pair: &dyn Fn(&Table, &Table) -> (Table, Table),
    ) {
        for b in 0..self.blocks {
            self.d[b] = plus(self.d[b].take(), u.d[b].as_ref().map(of_d));
        }
        for (b, c) in pairs(self.blocks) {
            if let Some((H, K)) = &u.pairs[b * self.blocks + c] {
                self.put(b, c, of_pair(H, K));
            }
        }
    }

    /// What is taken from an input, beside entries from others: norms of |.|_2 add in squares.
    fn join(&mut self, u: &State, view: &View) {
        let beside = |a: Option<Table>, b: Option<Table>| match (a, b) {
            (Some(a), Some(b)) => Some(a.with(&b, |a, b| norm([a, b].into_iter()))),
            (a, b) => a.or(b),
        };
        for b in 0..self.blocks {
            let more = u.d[b].as_ref().map(|d| view.squares(d));
            self.d[b] = beside(self.d[b].take(), more);
        }
        for (b, c) in pairs(self.blocks) {
            if let Some((H, K)) = &u.pairs[b * self.blocks + c] {
                let (H, K) = (view.squares(H).min(&view.sums(K)), view.sums(K));
                let own = &mut self.pairs[b * self.blocks + c];
                *own = match own.take() {
                    Some((h, k)) => beside(Some(h), Some(H)).map(|H| (H, k.plus(&K))),
                    None => Some((H, K)),
                };
            }
        }
    }

    /// The products of first derivatives, both ways round.
    fn cross(&mut self, u: &Blocks, w: &Blocks, of: &dyn Fn(&Table, &Table) -> (Table, Table)) {
        for (b, c) in pairs(self.blocks) {
            for (b1, c1) in [(b, c), (c, b)] {
                if let (Some(u), Some(w)) = (&u[b1], &w[c1]) {
                    self.put(b, c, of(u, w));
                }
            }
        }
    }
}

/// Any two of the three in norm, the third by its largest entry.
fn three(a: &Table, u: &Table, w: &Table) -> Table {
    let first = a.largest().times(u).times(w);
    first.min(&a.times(&u.largest()).times(w)).min(&a.times(u).times(&w.largest()))
}

/// The norm of a symmetric matrix of numbers >= 0: at most the largest of (H v)_b / v_b for any v > 0 (Collatz).
fn norm_of(H: &[f64], n: usize) -> f64 {
    let mut v = vec![1.0; n];
    let mut best = f64::INFINITY;
    for _ in 0..200 {
        let Hv: Vec<f64> = H
            .chunks(n)
            .map(|row| row.iter().zip(&v).fold(0.0, |sum, (h, v)| add(sum, mul(*h, *v))))
            .collect();
        let most = Hv.iter().zip(&v).fold(0.0f64, |most, (x, v)| most.max(over(*x, *v)));
        if !most.is_finite() {
            return f64::INFINITY;
        }
        best = best.min(most);
        let largest = Hv.iter().fold(f64::MIN_POSITIVE, |a, x| a.max(*x));
        // Half of the old one keeps the steps from going to and fro, and v above 0.
        v.iter_mut().zip(&Hv).for_each(|(v, x)| *v = 0.5 * (*v + x / largest) + 1e-12);
    }
    best
}

/// phi(u), given max |phi'| and |phi''|.
fn composed(made: &mut Made, u: &State, found: &[Slopes]) {
    let axes = made.axes;
    let first = Table::largest_of(axes, found.iter().map(|s| s.first));
    let second = Table::largest_of(axes, found.iter().map(|s| s.second));
    made.add(u, &|d| first.times(d), &|H, K| (first.times(H), first.times(K)));
    let steep: Blocks = u
        .d
        .iter()
        .map(|d| {
            let entries = d.as_ref()?.entries().iter().zip(found).map(|(d, s)| mul(s.second, *d));
            Some(Table::largest_of(axes, entries))
        })
        .collect();
    for (b, c) in pairs(made.blocks) {
        let (Some(db), Some(dc), Some(sb), Some(sc)) = (&u.d[b], &u.d[c], &steep[b], &steep[c])
        else {
            continue;
        };
        made.put(b, c, (sb.times(dc).min(&sc.times(db)), second.times(&db.times(dc))));
    }
}

/// Of a factor over the ball: its norm as a matrix, and the largest norm and sum of moduli of a line along the axes that
/// are not summed over.
fn factor_sizes(
    factors: &Factors,
    side: usize,
    range: &[Range],
    slope: Option<&Table>,
    radius: f64,
) -> (Table, Table, Table) {
    let axes = &factors.axes[side];
    let entries = || Table::of_entries(axes, range.iter().map(|x| x.most()));
    let (lengths, sums) = (entries().settle(true), entries().settle(false));
    let centre = &factors.norms[side];
    let moved = slope.map_or_else(|| centre.clone(), |slope| centre.plus(&slope.by(radius)));
    let norms = moved.min(&lengths).largest_part(factors.batch[side]);
    let lines = factors.batch[side] | factors.contracted[side];
    (norms, lengths.largest_part(lines), sums.largest_part(lines))
}

fn product(made: &mut Made, factors: &Factors, of: [&State; 2], radius: f64) {
    let axes = made.axes;
    let see = |i: usize, x: &Table| factors.from_result[i].see(x);
    for (i, j) in [(0, 1), (1, 0)] {
        if of[i].d.iter().all(Option::is_none) {
            continue;
        }
        let slope = of[j].slope(&factors.axes[j]);
        let (norms, lines, sums) = factor_sizes(factors, j, &of[j].range, slope.as_ref(), radius);
        let (norms, lines, sums) = (see(j, &norms), see(j, &lines), see(j, &sums));
        made.add(of[i], &|d| norms.times(&see(i, d)), &|H, K| {
            let (H, K) = (see(i, H), see(i, K));
            (norms.times(&H).min(&lines.times(&K)), sums.times(&K))
        });
    }
    let one = |i: usize, x: &Table| see(i, &x.largest_part(factors.batch[i]));
    let mut counts = Table::new(axes, 1.0);
    for (S, numbers) in counts.at.iter_mut().enumerate() {
        numbers.fill(root((axes.size() / axes.parts[S].max(1)) as f64));
    }
    made.cross(&of[0].d, &of[1].d, &|u, w| {
        let X = one(0, u).times(&see(1, w)).min(&see(0, u).times(&one(1, w)));
        let K = X.times(&counts);
        (X, K)
    });
}

fn multiplied(u: Range, w: Range) -> Range {
    let all = [u.lo * w.lo, u.lo * w.hi, u.hi * w.lo, u.hi * w.hi];
    if all.iter().any(|x| x.is_nan()) {
        return Range { lo: f64::NEG_INFINITY, hi: f64::INFINITY };
    }
    let (lo, hi) =
        all.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), x| (lo.min(*x), hi.max(*x)));
    Range { lo: lo.next_down(), hi: hi.next_up() }
}

/// w does not hold 0.
fn divided(u: Range, w: Range) -> Range {
    let inverse = Range { lo: (1.0 / w.hi).next_down(), hi: (1.0 / w.lo).next_up() };
    multiplied(u, inverse)
}

/// At least e^x for x >= 0.
fn exp_above(x: f64) -> f64 {
    if x > 700.0 { f64::INFINITY } else { crate::ball::ball(x).exp().upper() }
}

/// What stands before the derivatives of the inputs in that of entry e of a node.
pub(crate) fn terms_of(at: &Values<Ball>, n: usize, node: &Node, e: usize) -> Vec<Term> {
    let value = |i: usize, e: usize| at.values[node.inputs[i]][e];
    let own = &at.values[n];
    let one = |sign: f64, i: usize, e: usize| (sign, 0.0, i, e);
    let with = |x: Ball, i: usize, e: usize| {
        let (number, off) = coefficient(x);
        (number, off, i, e)
    };
    match &node.op {
        Op::Parameter(_) | Op::Constant(_) => Vec::new(),
        Op::Neg => vec![one(-1.0, 0, e)],
        Op::Map(_) => vec![with(at.slope(n, e), 0, e)],
        Op::Add => vec![one(1.0, 0, e), one(1.0, 1, e)],
        Op::Sub => vec![one(1.0, 0, e), one(-1.0, 1, e)],
        Op::Mul => vec![with(value(1, e), 0, e), with(value(0, e), 1, e)],
        Op::Div => {
            let inverse = crate::ball::ball(1.0) / value(1, e);
            vec![with(inverse, 0, e), with(-(own[e] * inverse), 1, e)]
        }
        Op::Max => vec![one(1.0, usize::from((value(0, e) - value(1, e)).upper() <= 0.0), e)],
        Op::Softmax(axis) => {
            let row = row_of(&node.shape, *axis, e);
            let one = crate::ball::ball(1.0);
            row.map(|j| with(own[e] * if j == e { one - own[j] } else { -own[j] }, 0, j)).collect()
        }
        Op::Product(_) => {
            let places = at.places[n].iter().flat_map(|places| places.of(e));
            places.flat_map(|[i, j]| [with(value(1, j), 0, i), with(value(0, i), 1, j)]).collect()
        }
        Op::Sum(_) => at.summed(n, e).iter().map(|u| one(1.0, 0, *u)).collect(),
        Op::Moved(from) => from[e].iter().map(|(i, u)| one(1.0, *i, *u)).collect(),
    }
}

/// sqrt(p_j) (z_j - sum_l p_l z_l).
fn weighted(z: &Rows, weights: &Weights, p: &[Ball]) -> Option<Rows> {
    let term = |x: Ball, i: usize, e: usize| {
        let (number, off) = coefficient(x);
        (number, off, i, e)
    };
    let means = Rows::combined(&[Some(z)], weights.entries.len(), |row| {
        weights.entries[row].iter().map(|e| term(p[*e], 0, *e)).collect()
    })?;
    Rows::combined(&[Some(z), Some(&means)], p.len(), |e| {
        let root = p[e].sqrt();
        vec![term(root, 0, e), term(-root, 1, weights.row[e])]
    })
}

/// The adjoints less their row's mean.
fn less_means(adjoints: &Rows, weights: &Weights, p: &[Ball]) -> Option<Rows> {
    let means = Rows::combined(&[Some(adjoints)], weights.entries.len(), |row| {
        let term = |e: &usize| {
            let (number, off) = coefficient(p[*e]);
            (number, off, 0, *e)
        };
        weights.entries[row].iter().map(term).collect()
    })?;
    Rows::combined(&[Some(adjoints), Some(&means)], p.len(), |e| {
        vec![(1.0, 0.0, 0, e), (-1.0, 0.0, 1, weights.row[e])]
    })
}

fn kind(at: &Values<Ball>, axes: &[Rc<Axes>], n: usize) -> Kind {
    let model = at.model;
    let node = &model.nodes[n];
    if !node.varies {
        return Kind::Still;
    }
    let own = &axes[n];
    let turned = |pairs: &[(usize, usize)]| pairs.iter().map(|(a, b)| (*b, *a)).collect::<Vec<_>>();
    let views = |i: usize, pairs: &[(usize, usize)]| {
        let there = &axes[node.inputs[i]];
        let used = model.nodes[node.inputs[i]].varies && !pairs.is_empty();
        used.then(|| (View::new(own, there, pairs), View::new(there, own, &turned(pairs))))
    };
    match &node.op {
        Op::Parameter(b) => Kind::Parameter(*b),
        Op::Constant(_) => Kind::Still,
        Op::Neg | Op::Add | Op::Sub => Kind::Plus,
        Op::Mul => Kind::Times,
        Op::Div => Kind::Over,
        Op::Map(f) => Kind::Map(*f),
        Op::Max => {
            let second = |e: &usize| {
                let [a, b] = [0, 1].map(|i| at.values[node.inputs[i]][*e]);
                (a - b).upper() <= 0.0
            };
            let (b, a): (Vec<usize>, Vec<usize>) = (0..node.size()).partition(second);
            let same = |list: Vec<usize>| list.into_iter().map(|e| (e, e)).collect::<Vec<_>>();
            Kind::Linear(vec![views(0, &same(a)), views(1, &same(b))])
        }
        Op::Sum(_) => {
            let pairs: Vec<_> = (0..node.size())
                .flat_map(|e| at.summed(n, e).iter().map(move |u| (e, *u)))
                .collect();
            Kind::Linear(vec![views(0, &pairs)])
        }
        Op::Moved(from) => {
            let of = |i: usize| {
                let taken = from.iter().enumerate();
                let pairs: Vec<_> = taken
                    .filter_map(|(e, from)| {
                        from.as_ref().ok().filter(|(j, _)| *j == i).map(|(_, u)| (e, *u))
                    })
                    .collect();
                views(i, &pairs)
            };
            Kind::Linear((0..node.inputs.len()).map(of).collect())
        }
        Op::Softmax(axis) => {
            let first = rows(&node.shape, *axis);
            let entries: Vec<Vec<usize>> =
                first.iter().map(|e| row_of(&node.shape, *axis, *e).collect()).collect();
            let mut row = vec![0; node.size()];
            for (r, entries) in entries.iter().enumerate() {
                entries.iter().for_each(|e| row[*e] = r);
            }
            let mut shape = node.shape.clone();
            shape.remove(*axis);
            let of_rows = Axes::new(&shape);
            let pairs: Vec<(usize, usize)> = row.iter().enumerate().map(|(e, r)| (*r, e)).collect();
            Kind::Softmax(Box::new(Weights {
                from_array: View::new(&of_rows, own, &pairs),
                to_array: View::new(own, &of_rows, &turned(&pairs)),
                axes: of_rows,
                entries,
                row,
            }))
        }
        Op::Product(product) => {
            let Some(places) = &at.places[n] else { return Kind::Still };
            let sides = [0, 1].map(|i| Rc::clone(&axes[node.inputs[i]]));
            let mask = |axes: &[usize]| axes.iter().fold(0, |mask, a| mask | 1usize << a);
            let batch = [0, 1].map(|i| mask(&product.batch[i]));
            let contracted = [0, 1].map(|i| mask(&product.contracted[i]));
            let all = 0..node.size();
            let to = |side: usize| -> Vec<(usize, usize)> {
                let one = |e: usize| places.of(e).map(move |both| (e, both[side]));
                let mut pairs: Vec<_> = all.clone().flat_map(one).collect();
                pairs.dedup();
                pairs
            };
            let pairs = [to(0), to(1)];
            let across = across(places);
            let norms = [0, 1].map(|i| {
                spectral_norms(&sides[i], batch[i], contracted[i], &at.values[node.inputs[i]])
            });
            Kind::Product(Box::new(Factors {
                from_result: [0, 1].map(|i| View::new(own, &sides[i], &pairs[i])),
                to_result: [0, 1].map(|i| View::new(&sides[i], own, &turned(&pairs[i]))),
                across: [
                    View::new(&sides[0], &sides[1], &across),
                    View::new(&sides[1], &sides[0], &turned(&across)),
                ],
                batch: [batch[0], batch[1], (1 << product.batch[0].len()) - 1],
                contracted,
                norms,
                axes: sides,
            }))
        }
    }
}

/// The entries of the two factors that stand in one product.
fn across(places: &Places) -> Vec<(usize, usize)> {
    let mut pairs = Vec::new();
    for [a, b] in &places.batch {
        for [ka, kb] in &places.sum {
            for i in &places.free[0] {
                pairs.extend(places.free[1].iter().map(|j| (a + i + ka, b + j + kb)));
            }
        }
    }
    pairs
}
