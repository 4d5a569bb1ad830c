//! The forward calculus over a ball: `proofs-checks/any-model.md`, sections 1 and 2.

use super::centre::Centre;
use super::dot::Size;
use super::functions::{self, Slopes};
use super::lattice::{Lattice, Subsets, close_both};
use super::moved::Moved;
use super::rules::{Rows, Rule};
use super::up;
use crate::{Function, Graph};
use gdcert_numbers::{Interval, Scalar, Smooth};
use std::rc::Rc;

/// Why nothing can be said over a ball: at an entry of a node a function is not smooth or not defined.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stop {
    pub(crate) node: usize,
    pub(crate) entry: usize,
    /// What its argument may be over the ball.
    pub(crate) range: Interval,
    pub(crate) what: &'static str,
}

/// Numbers for the blocks of parameters; `None` is 0.
pub(crate) type ByBlock = Vec<Option<Lattice>>;

/// Numbers for pairs of blocks b <= c.
#[derive(Clone, Debug)]
pub(crate) struct ByPair {
    blocks: usize,
    at: Vec<Option<Lattice>>,
}

impl ByPair {
    fn new(blocks: usize) -> ByPair {
        ByPair {
            blocks,
            at: vec![None; blocks * blocks],
        }
    }

    pub(crate) fn get(&self, b: usize, c: usize) -> Option<&Lattice> {
        self.at[b.min(c) * self.blocks + b.max(c)].as_ref()
    }

    fn set(&mut self, b: usize, c: usize, x: Option<Lattice>) {
        self.at[b.min(c) * self.blocks + b.max(c)] = x;
    }
}

/// What is known of a node over the ball.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) range: Vec<Interval>,
    pub(crate) d: ByBlock,
    pub(crate) H: ByPair,
    pub(crate) K: ByPair,
    /// Of a softmax: sigma_b, for sets of rows.
    pub(crate) sigma: ByBlock,
}

/// a + b, `None` being 0.
pub(crate) fn plus(a: Option<Lattice>, b: Option<Lattice>) -> Option<Lattice> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.plus(&b)),
        (a, None) => a,
        (None, b) => b,
    }
}

/// (sum of squares)^{1/2}.
pub(crate) fn together<'a>(
    of: &Rc<Subsets>,
    all: impl Iterator<Item = &'a Lattice> + Clone,
) -> Lattice {
    Lattice::new(of, |mask, s| up::norm(all.clone().map(|x| x.at[mask][s])))
}

impl State {
    fn constant(blocks: usize, range: Vec<Interval>) -> State {
        let none = vec![None; blocks];
        let pairs = ByPair::new(blocks);
        State {
            range,
            d: none.clone(),
            H: pairs.clone(),
            K: pairs,
            sigma: none,
        }
    }

    /// |d| over all blocks; `None` for a constant.
    pub(crate) fn slope(&self, of: &Rc<Subsets>) -> Option<Lattice> {
        let some = self.d.iter().flatten();
        some.clone().next().is_some().then(|| together(of, some))
    }

    /// |H_b.|, the norm of a row of the matrix over blocks.
    pub(crate) fn row(&self, of: &Rc<Subsets>, b: usize) -> Option<Lattice> {
        let some = (0..self.d.len()).filter_map(|c| self.H.get(b, c));
        some.clone().next().is_some().then(|| together(of, some))
    }

    /// How far D_b v_s is from what it is at the centre: Lemma 2.
    pub(crate) fn moves(&self, of: &Rc<Subsets>, radius: f64) -> ByBlock {
        let of_block = |b| self.row(of, b).map(|row| row.by(radius));
        (0..self.d.len()).map(of_block).collect()
    }
}

/// d, H and K of a result, before Lemmas 1 and 2.
struct Draft<'a> {
    blocks: usize,
    of: &'a Rc<Subsets>,
    d: ByBlock,
    H: ByPair,
    K: ByPair,
}

impl<'a> Draft<'a> {
    fn new(of: &'a Rc<Subsets>, blocks: usize) -> Self {
        let (H, K) = (ByPair::new(blocks), ByPair::new(blocks));
        Draft {
            blocks,
            of,
            d: vec![None; blocks],
            H,
            K,
        }
    }

    fn pairs(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let n = self.blocks;
        (0..n).flat_map(move |b| (b..n).map(move |c| (b, c)))
    }

    /// The sum of what linear maps make of the inputs: one for |.|_2, one for H and one for K.
    fn linear(
        &mut self,
        u: &State,
        of_d: impl Fn(&Lattice) -> Lattice,
        of_H: impl Fn(&Lattice, &Lattice) -> Lattice,
        of_K: impl Fn(&Lattice, &Lattice) -> Lattice,
    ) {
        for b in 0..self.blocks {
            self.d[b] = plus(self.d[b].take(), u.d[b].as_ref().map(&of_d));
        }
        for (b, c) in self.pairs() {
            if let (Some(h), Some(k)) = (u.H.get(b, c), u.K.get(b, c)) {
                let (H, K) = (self.H.get(b, c).cloned(), self.K.get(b, c).cloned());
                self.H.set(b, c, plus(H, Some(of_H(h, k))));
                self.K.set(b, c, plus(K, Some(of_K(h, k))));
            }
        }
    }

    /// Adds X + X' to H and K.
    fn cross(
        &mut self,
        u: &ByBlock,
        w: &ByBlock,
        of_H: impl Fn(&Lattice, &Lattice) -> Lattice,
        of_K: impl Fn(&Lattice, &Lattice) -> Lattice,
    ) {
        for (b, c) in self.pairs() {
            let (mut H, mut K) = (None, None);
            for (b, c) in [(b, c), (c, b)] {
                if let (Some(u), Some(w)) = (&u[b], &w[c]) {
                    H = plus(H, Some(of_H(u, w)));
                    K = plus(K, Some(of_K(u, w)));
                }
            }
            if H.is_some() {
                let (h, k) = (self.H.get(b, c).cloned(), self.K.get(b, c).cloned());
                self.H.set(b, c, plus(h, H));
                self.K.set(b, c, plus(k, K));
            }
        }
    }

    /// Lemma 1, Lemma 2, and with it the range.
    fn finish(mut self, at: Around, range: Option<Vec<Interval>>) -> State {
        let norms = &at.centre.slopes[at.node];
        for x in self.d.iter_mut().flatten() {
            x.close();
        }
        for (b, c) in self.pairs() {
            if let (Some(mut H), Some(mut K)) =
                (self.H.get(b, c).cloned(), self.K.get(b, c).cloned())
            {
                close_both(&mut H, &mut K);
                self.H.set(b, c, Some(H));
                self.K.set(b, c, Some(K));
            }
        }
        let none = vec![None; self.blocks];
        let mut state = State {
            range: Vec::new(),
            d: self.d,
            H: self.H,
            K: self.K,
            sigma: none,
        };
        for b in 0..self.blocks {
            let Some(d) = state.d[b].take() else { continue };
            let better = norms[b].as_ref().map(|centre| match state.row(self.of, b) {
                Some(row) => centre.plus(&row.by(at.radius)),
                None => centre.clone(),
            });
            state.d[b] = Some(match better {
                Some(better) => {
                    let mut d = d.min(&better);
                    d.close();
                    d
                }
                None => d,
            });
        }
        state.range = at.range(&state, self.of, range);
        state
    }
}

/// A node of a centre and a ball around that.
#[derive(Clone, Copy)]
struct Around<'a> {
    centre: &'a Centre,
    node: usize,
    radius: f64,
}

impl Around<'_> {
    /// v(C) +- radius |d|, and `other` where that is narrower.
    fn range(
        &self,
        state: &State,
        of: &Rc<Subsets>,
        other: Option<Vec<Interval>>,
    ) -> Vec<Interval> {
        let centre = &self.centre.values[self.node];
        let Some(slope) = state.slope(of) else {
            return centre.clone();
        };
        let ranges = centre.iter().zip(slope.entries()).enumerate();
        let ranges = ranges.map(|(e, (x, d))| {
            let by = up::mul(self.radius, *d);
            let moved = *x + Interval::new(-by, by);
            other.as_ref().map_or(moved, |other| both(moved, other[e]))
        });
        ranges.collect()
    }
}

/// The numbers in both intervals, which hold one in common.
fn both(a: Interval, b: Interval) -> Interval {
    Interval::new(a.lo().max(b.lo()), a.hi().min(b.hi()))
}

fn magnitudes(of: &Rc<Subsets>, range: &[Interval]) -> Lattice {
    let magnitudes: Vec<f64> = range.iter().map(|x| x.magnitude()).collect();
    Lattice::maxima(of, &magnitudes)
}

/// min(max u w, u max w).
fn crossed(u: &Lattice, w: &Lattice) -> Lattice {
    u.largest().times(w).min(&u.times(&w.largest()))
}

/// The states of all nodes over the ball of this radius around the centre.
pub(crate) fn forward(
    graph: &Graph,
    rules: &[Rule],
    subsets: &[Rc<Subsets>],
    centre: &Centre,
    radius: f64,
) -> Result<Vec<State>, Stop> {
    let blocks = graph.blocks().len();
    let mut states: Vec<State> = Vec::with_capacity(rules.len());
    for (node, rule) in rules.iter().enumerate() {
        let at = Around {
            centre,
            node,
            radius,
        };
        let inputs = &graph.nodes()[node].inputs;
        let of = &subsets[node];
        let input = |i: usize| &states[inputs[i]];
        if !graph.nodes()[node].varies {
            states.push(State::constant(blocks, centre.values[node].clone()));
            continue;
        }
        let mut draft = Draft::new(of, blocks);
        let state = match rule {
            Rule::Constant => State::constant(blocks, centre.values[node].clone()),
            Rule::Parameter(b) => {
                draft.d[*b] = Some(Lattice::constant(of, 1.0));
                draft.finish(at, None)
            }
            Rule::Sum => {
                for i in 0..inputs.len() {
                    draft.linear(input(i), Lattice::clone, |h, _| h.clone(), |_, k| k.clone());
                }
                draft.finish(at, None)
            }
            Rule::Moved(sources) => {
                moved(&mut draft, sources, |i| input(i));
                draft.finish(at, None)
            }
            Rule::Maximum(sources) => {
                for e in 0..of.size() {
                    let range = input(0).range[e] - input(1).range[e];
                    decided(node, e, range, "a maximum of two")?;
                }
                moved(&mut draft, sources, |i| input(i));
                draft.finish(at, None)
            }
            Rule::ReduceSum { axes, count } => {
                let lift = |u: &Lattice| u.lifted(of, axes);
                let root = up::root(*count as f64);
                draft.linear(
                    input(0),
                    |d| lift(d).by(root),
                    |H, K| lift(H).by(root).min(&lift(K)),
                    |_, K| lift(K),
                );
                draft.finish(at, None)
            }
            Rule::Dot(sides) => {
                let (a, b) = (input(0), input(1));
                let [of_a, of_b] = [0, 1].map(|i| &subsets[inputs[i]]);
                let size = |i: usize, state: &State, of: &Rc<Subsets>| {
                    sides[i].size(&state.range, state.slope(of).as_ref(), radius)
                };
                let lift = |i: usize, u: &Lattice| u.lifted(of, &sides[i].to_result);
                let lifted = |i: usize, size: Size| {
                    [size.spectral, size.column, size.column_sum].map(|x| lift(i, &x))
                };
                if b.d.iter().any(Option::is_some) {
                    let [norm, column, sum] = lifted(0, size(0, a, of_a));
                    draft.linear(
                        b,
                        |d| norm.times(&lift(1, d)),
                        |H, K| norm.times(&lift(1, H)).min(&column.times(&lift(1, K))),
                        |_, K| sum.times(&lift(1, K)),
                    );
                }
                if a.d.iter().any(Option::is_some) {
                    let [norm, row, sum] = lifted(1, size(1, b, of_b));
                    draft.linear(
                        a,
                        |d| norm.times(&lift(0, d)),
                        |H, K| norm.times(&lift(0, H)).min(&row.times(&lift(0, K))),
                        |_, K| sum.times(&lift(0, K)),
                    );
                }
                let one = |i: usize, u: &Lattice| lift(i, &sides[i].one_of_batch(u));
                let root = Lattice::counts(of).map(up::root);
                let X = |u: &Lattice, w: &Lattice| {
                    one(0, u)
                        .times(&lift(1, w))
                        .min(&lift(0, u).times(&one(1, w)))
                };
                draft.cross(&a.d, &b.d, X, |u, w| X(u, w).times(&root));
                draft.finish(at, None)
            }
            Rule::Mul => {
                let (u, w) = (input(0), input(1));
                let [of_u, of_w] = [u, w].map(|x| magnitudes(of, &x.range));
                for (u, factor) in [(u, &of_w), (w, &of_u)] {
                    let times = |x: &Lattice| factor.times(x);
                    draft.linear(u, times, |H, _| times(H), |_, K| times(K));
                }
                draft.cross(&u.d, &w.d, crossed, Lattice::times);
                let range = u.range.iter().zip(&w.range).map(|(u, w)| *u * *w).collect();
                draft.finish(at, Some(range))
            }
            Rule::Div => quotient(draft, at, input(0), input(1))?,
            Rule::Map(f) => {
                let u = input(0);
                let (slopes, range) = map(node, *f, &u.range)?;
                composed(&mut draft, u, &slopes);
                draft.finish(at, Some(range))
            }
            Rule::Softmax(rows) => softmax(draft, at, rows, input(0), &subsets[inputs[0]]),
        };
        states.push(state);
    }
    Ok(states)
}

fn moved<'a>(draft: &mut Draft, sources: &[Option<Moved>], input: impl Fn(usize) -> &'a State) {
    // Entries from different sources are different entries: their squares add.
    let mut squares: ByBlock = vec![None; draft.blocks];
    let mut of_H = ByPair::new(draft.blocks);
    let square = |x: Lattice| x.map(up::mul_self);
    for (i, source) in sources.iter().enumerate() {
        let Some(source) = source else { continue };
        let u = input(i);
        for b in 0..draft.blocks {
            let more = u.d[b].as_ref().map(|d| square(source.squares(d)));
            squares[b] = plus(squares[b].take(), more);
        }
        for (b, c) in draft.pairs() {
            if let (Some(H), Some(K)) = (u.H.get(b, c), u.K.get(b, c)) {
                let (h, k) = (of_H.get(b, c).cloned(), draft.K.get(b, c).cloned());
                of_H.set(b, c, plus(h, Some(square(source.squares(H)))));
                draft.K.set(b, c, plus(k, Some(source.sums(K))));
            }
        }
    }
    draft.d = squares
        .into_iter()
        .map(|x| x.map(|x| x.map(up::root)))
        .collect();
    for (b, c) in draft.pairs() {
        draft.H.set(b, c, of_H.get(b, c).map(|x| x.map(up::root)));
    }
}

/// phi(u), given max |phi'| and |phi''| of each entry.
fn composed(draft: &mut Draft, u: &State, slopes: &[Slopes]) {
    let of = draft.of;
    let [first, second] = [|s: &Slopes| s.first, |s: &Slopes| s.second].map(|part| {
        let entries: Vec<f64> = slopes.iter().map(part).collect();
        Lattice::maxima(of, &entries)
    });
    let times = |x: &Lattice| first.times(x);
    draft.linear(u, times, |H, _| times(H), |_, K| times(K));
    if second.whole() == 0.0 {
        return;
    }
    // max(|phi''| d_b) d_c, or b and c exchanged.
    let steep: Vec<Option<Lattice>> =
        u.d.iter()
            .map(|d| {
                let entries = d.as_ref()?.entries().iter().zip(slopes);
                let entries: Vec<f64> = entries.map(|(d, s)| up::mul(s.second, *d)).collect();
                Some(Lattice::maxima(of, &entries))
            })
            .collect();
    for (b, c) in draft.pairs() {
        if let (Some(db), Some(dc), Some(sb), Some(sc)) = (&u.d[b], &u.d[c], &steep[b], &steep[c]) {
            let H = sb.times(dc).min(&sc.times(db));
            let K = second.times(&db.times(dc));
            let (h, k) = (draft.H.get(b, c).cloned(), draft.K.get(b, c).cloned());
            draft.H.set(b, c, plus(h, Some(H)));
            draft.K.set(b, c, plus(k, Some(K)));
        }
    }
}

/// |argument| > 0 over the ball, or where it is not.
fn decided(node: usize, entry: usize, range: Interval, what: &'static str) -> Result<(), Stop> {
    let stop = Stop {
        node,
        entry,
        range,
        what,
    };
    if range.contains(0.0) {
        Err(stop)
    } else {
        Ok(())
    }
}

/// max |phi'|, |phi''|, |phi'''| and the range of every entry.
pub(crate) fn map(
    node: usize,
    f: Function,
    range: &[Interval],
) -> Result<(Vec<Slopes>, Vec<Interval>), Stop> {
    let one = Interval::from_f64(1.0);
    let mut slopes = Vec::with_capacity(range.len());
    let mut ranges = Vec::with_capacity(range.len());
    for (entry, x) in range.iter().enumerate() {
        let x = *x;
        let stop = |what: &'static str| Stop {
            node,
            entry,
            range: x,
            what,
        };
        let positive = |x: Interval, what| if x.lo() > 0.0 { Ok(x) } else { Err(stop(what)) };
        let y = f.value(x);
        slopes.push(match f {
            Function::Exp | Function::Expm1 => functions::exp(x),
            Function::Log => functions::log(positive(x, "a logarithm of")?),
            Function::Log1p => functions::log(positive(x + one, "a logarithm of 1 plus")?),
            Function::Sqrt => functions::sqrt(positive(x, "a square root of")?),
            Function::Rsqrt => functions::rsqrt(positive(x, "a reciprocal root of")?),
            Function::Tanh => functions::tanh(y),
            Function::Logistic => functions::logistic(y),
            Function::Softplus => functions::softplus(x.logistic()),
            Function::Erf | Function::Erfc => functions::erf(x),
            Function::Atan => functions::atan(x),
            Function::Sin | Function::Cos => {
                let (sin, cos) = (x.sin().magnitude().min(1.0), x.cos().magnitude().min(1.0));
                let (first, second) = if f == Function::Sin {
                    (cos, sin)
                } else {
                    (sin, cos)
                };
                Slopes {
                    first,
                    second,
                    third: first,
                }
            }
            Function::IntegerPow(k) => {
                if k < 0 {
                    decided(node, entry, x, "a negative power of")?;
                }
                functions::whole_power(x, k)
            }
            Function::Pow(a) => functions::real_power(positive(x, "a power of")?, a),
            Function::Relu | Function::Abs => {
                decided(node, entry, x, f.name())?;
                let first = if f == Function::Relu && x.hi() < 0.0 {
                    0.0
                } else {
                    1.0
                };
                Slopes {
                    first,
                    second: 0.0,
                    third: 0.0,
                }
            }
        });
        ranges.push(y);
    }
    Ok((slopes, ranges))
}

/// q = u / w: D^2 u = D^2(q w) solved for D^2 q.
fn quotient(mut draft: Draft, at: Around, u: &State, w: &State) -> Result<State, Stop> {
    let of = draft.of;
    for (entry, range) in w.range.iter().enumerate() {
        decided(at.node, entry, *range, "a division by")?;
    }
    let range: Vec<Interval> = u.range.iter().zip(&w.range).map(|(u, w)| *u / *w).collect();
    let inverse: Vec<f64> = w
        .range
        .iter()
        .map(|w| up::div(1.0, functions::mignitude(*w)))
        .collect();
    let share: Vec<f64> = range
        .iter()
        .zip(&inverse)
        .map(|(q, w)| up::mul(q.magnitude(), *w))
        .collect();
    let [inverse, share] = [inverse, share].map(|entries| Lattice::maxima(of, &entries));
    draft.linear(
        u,
        |d| inverse.times(d),
        |H, _| inverse.times(H),
        |_, K| inverse.times(K),
    );
    draft.linear(
        w,
        |d| share.times(d),
        |H, _| share.times(H),
        |_, K| share.times(K),
    );
    let mut d = draft.d.clone();
    for d in d.iter_mut().flatten() {
        d.close();
    }
    let crossing = |d: &ByBlock, draft: &mut Draft| {
        draft.cross(
            d,
            &w.d,
            |u, w| inverse.times(&crossed(u, w)),
            |u, w| inverse.times(&u.times(w)),
        );
    };
    // d(q) on the right is the better one of Lemma 2, which this rule makes: it is applied again.
    let (d0, H0, K0) = (draft.d.clone(), draft.H.clone(), draft.K.clone());
    crossing(&d, &mut draft);
    let first = draft.finish(at, Some(range.clone()));
    let mut again = Draft {
        blocks: d0.len(),
        of,
        d: d0,
        H: H0,
        K: K0,
    };
    crossing(&first.d, &mut again);
    Ok(again.finish(at, Some(range)))
}

/// Lemma 3.
fn softmax(mut draft: Draft, at: Around, rows: &Rows, z: &State, of_z: &Rc<Subsets>) -> State {
    let of = draft.of;
    let blocks = draft.blocks;
    let (centre, radius) = (&at.centre.values[at.node], at.radius);
    let Some(slope) = z.slope(of_z) else {
        return State::constant(blocks, centre.clone());
    };
    let R = &rows.of;
    let by_row = |number: &dyn Fn(&[usize]) -> f64| -> Vec<f64> {
        rows.entries.iter().map(|row| number(row)).collect()
    };
    // The range of z - z(C) in a row: twice the largest move, and sqrt 2 times the norm.
    let of_row = slope.without(R, rows.axis);
    let root_two = up::root(2.0);
    let spread: Vec<f64> = rows
        .entries
        .iter()
        .enumerate()
        .map(|(row, entries)| {
            let most = entries
                .iter()
                .fold(0.0f64, |most, e| most.max(slope.entries()[*e]));
            let by = up::mul(2.0, most).min(up::mul(root_two, of_row.entries()[row]));
            up::mul(radius, by)
        })
        .collect();
    let growth: Vec<f64> = spread
        .iter()
        .map(|s| Interval::from_f64(*s).exp().hi())
        .collect();
    // p_j changes by a factor between e^-spread and e^spread.
    let mut range = centre.clone();
    for (row, entries) in rows.entries.iter().enumerate() {
        for e in entries {
            let p = centre[*e];
            let low = (Interval::from_f64(p.lo().max(0.0)) / Interval::from_f64(growth[row])).lo();
            let low = if growth[row] < f64::INFINITY {
                low.max(0.0)
            } else {
                0.0
            };
            range[*e] = Interval::new(low, up::mul(p.hi().max(0.0), growth[row]).min(1.0));
        }
    }
    let largest = |p: &[Interval]| {
        by_row(&|row| {
            row.iter()
                .fold(0.0f64, |most, e| most.max(p[*e].hi()))
                .min(1.0)
        })
    };
    let maxima = |numbers: &[f64]| Lattice::maxima(R, numbers);
    let at_centre = maxima(&largest(centre)).map(|p| p.min(0.5));
    let most = maxima(&largest(&range));
    let lambda = most.map(|p| p.min(0.5));
    let root_lambda = lambda.map(up::root);
    let norm = maxima(&by_row(&|row| {
        let hi = up::norm(row.iter().map(|e| range[*e].hi()));
        // |p|_2 <= 1.
        hi.min(1.0)
    }));
    let rest = maxima(&by_row(&|row| {
        let least = row
            .iter()
            .fold(1.0f64, |least, e| least.min(range[*e].lo()));
        up::root(
            (Interval::from_f64(1.0) - Interval::from_f64(least))
                .hi()
                .max(0.0),
        )
    }));
    let growth = maxima(&growth).map(up::root);
    let sigma: ByBlock = (0..blocks)
        .map(|b| {
            let d = z.d[b].as_ref()?.without(R, rows.axis);
            let crude = root_lambda.times(&d);
            let Some(at_c) = &at.centre.sigma[at.node][b] else {
                return Some(crude);
            };
            let moved = match z.row(of_z, b) {
                Some(row) => {
                    let row = row.without(R, rows.axis);
                    at_c.plus(&at_centre.map(up::root).times(&row).by(radius))
                }
                None => at_c.clone(),
            };
            let mut sigma = crude.min(&growth.times(&moved));
            sigma.close();
            Some(sigma)
        })
        .collect();
    let lift = |x: &Lattice| x.lifted(of, &rows.to_full);
    let root_p: Vec<f64> = range.iter().map(|p| up::root(p.hi())).collect();
    let root_most = most.map(up::root);
    for b in 0..blocks {
        let (Some(sigma), Some(d)) = (&sigma[b], &z.d[b]) else {
            continue;
        };
        let d = lambda.times(&d.without(R, rows.axis));
        let mut d = lift(&d.min(&root_most.times(sigma)));
        let entries: Vec<f64> = (0..of.size())
            .map(|e| up::mul(root_p[e], sigma.entries()[rows.row[e]]))
            .collect();
        d.improve_entries(entries.into_iter());
        draft.d[b] = Some(d);
    }
    let count = Lattice::counts(R);
    for (b, c) in draft.pairs() {
        let (Some(sb), Some(sc)) = (&sigma[b], &sigma[c]) else {
            continue;
        };
        let mut H = rest.plus(&norm).times(&crossed(sb, sc));
        let mut K = sb.times(sc).by(2.0);
        let pair = (z.H.get(b, c), z.K.get(b, c));
        if let (Some(Hz), Some(Kz)) = pair {
            let (Hz, Kz) = (Hz.without(R, rows.axis), Kz.without(R, rows.axis));
            H = H.plus(&lambda.times(&Hz));
            let by_count = lambda.times(&count).map(up::root).times(&Hz);
            K = K.plus(&most.times(&Kz).by(2.0).min(&by_count));
        }
        let (mut H, K) = (lift(&H), lift(&K));
        let second = pair
            .0
            .map(|Hz| root_lambda.times(&Hz.without(R, rows.axis)));
        let entries: Vec<f64> = (0..of.size())
            .map(|e| {
                let row = rows.row[e];
                let product = up::mul(sb.entries()[row], sc.entries()[row]);
                let more = second
                    .as_ref()
                    .map_or(0.0, |x| up::mul(root_p[e], x.entries()[row]));
                up::add(product, more)
            })
            .collect();
        H.improve_entries(entries.iter().copied());
        draft.H.set(b, c, Some(H));
        draft.K.set(b, c, Some(K));
    }
    let mut state = draft.finish(at, Some(range));
    state.sigma = sigma;
    state
}
