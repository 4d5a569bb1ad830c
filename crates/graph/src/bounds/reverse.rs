//! The reverse form: `proofs-checks/any-model.md`, section 3.
//!
//! alpha^S(v) bounds the adjoints of v_s, that is w -> (J_{F<-v}' w)_s over |w| = 1; beta_c^S(v) how fast they change along
//! block c. Both are carried from the residual to the parameters.

use super::centre::{Centre, Rowwise};
use super::forward::{ByBlock, State, map, plus, together};
use super::functions::{Slopes, mignitude};
use super::lattice::{Lattice, Subsets};
use super::moved::Moved;
use super::rules::{Rows, Rule};
use super::sums::{Moving, Order, Sums, add_products};
use super::up;
use crate::{Evaluation, Graph};
use gdcert_numbers::{Interval, Scalar};
use std::rc::Rc;

/// Numbers of adjoints that are kept for all nodes together.
const LARGEST: usize = 1 << 25;

/// What the adjoints are at the centre.
pub(crate) struct Adjoints {
    /// alpha^S(v)(C); `None` for a constant.
    alpha: Vec<Option<Lattice>>,
    /// J(C), row by row.
    pub(crate) jacobian: Vec<Interval>,
    /// Of a softmax, for every entry a: the norm of w -> p_a's adjoint less the row's mean of adjoints.
    centred: Vec<Vec<f64>>,
}

impl Adjoints {
    /// By m reverse sweeps; `None` where that takes too much memory.
    pub(crate) fn new(
        graph: &Graph,
        at: &mut Evaluation<Interval>,
        subsets: &[Rc<Subsets>],
        rules: &[Rule],
    ) -> Option<Adjoints> {
        let m = graph.m();
        let nodes = graph.nodes();
        let varying = (0..nodes.len()).filter(|node| nodes[*node].varies);
        let entries: usize = varying.clone().map(|node| nodes[node].len()).sum();
        if entries.saturating_mul(m) > LARGEST {
            return None;
        }
        let (zero, one) = (Interval::from_f64(0.0), Interval::from_f64(1.0));
        let mut w = vec![zero; m];
        // all[node][entry m + row]
        let mut all: Vec<Vec<Interval>> = vec![Vec::new(); nodes.len()];
        for node in varying.clone() {
            all[node] = vec![zero; nodes[node].len() * m];
        }
        let mut jacobian = Vec::with_capacity(m * graph.P());
        for row in 0..m {
            w[row] = one;
            at.reverse(&w);
            w[row] = zero;
            jacobian.extend_from_slice(at.gradient());
            for node in varying.clone() {
                for (e, x) in at.adjoint(node).iter().enumerate() {
                    all[node][e * m + row] = *x;
                }
            }
        }
        let mut alpha = vec![None; nodes.len()];
        let mut centred = vec![Vec::new(); nodes.len()];
        for node in varying {
            let rows = Rowwise::of(m, &all[node]);
            if let Rule::Softmax(of) = &rules[node] {
                centred[node] = less_means(&rows, of, at.value(node));
            }
            alpha[node] = Some(rows.norms(&subsets[node]));
        }
        Some(Adjoints {
            alpha,
            jacobian,
            centred,
        })
    }
}

/// The norms of the rows less the mean of theirs with weights p.
fn less_means(adjoints: &Rowwise, rows: &Rows, p: &[Interval]) -> Vec<f64> {
    let one = Interval::from_f64(1.0);
    let means = Rowwise::combined(&[Some(adjoints)], rows.entries.len(), |row, terms| {
        terms.extend(rows.entries[row].iter().map(|e| (p[*e], 0, *e)));
    });
    let centred = means.as_ref().and_then(|means| {
        Rowwise::combined(&[Some(adjoints), Some(means)], p.len(), |e, terms| {
            terms.push((one, 0, e));
            terms.push((-one, 1, rows.row[e]));
        })
    });
    centred.map_or_else(Vec::new, |centred| centred.sizes().to_vec())
}

/// alpha and beta of a node.
#[derive(Clone)]
struct Adjoint {
    alpha: Option<Lattice>,
    beta: ByBlock,
}

impl Adjoint {
    fn add(&mut self, alpha: Lattice, beta: ByBlock) {
        self.alpha = plus(self.alpha.take(), Some(alpha));
        for (own, more) in self.beta.iter_mut().zip(beta) {
            *own = plus(own.take(), more);
        }
    }
}

/// min(max u w, u max w).
fn crossed(u: &Lattice, w: &Lattice) -> Lattice {
    u.largest().times(w).min(&u.times(&w.largest()))
}

/// The nodes over the ball of this radius, and whether to see how far the sums move in it.
pub(crate) struct Ball<'a> {
    pub(crate) states: &'a [State],
    pub(crate) radius: f64,
    pub(crate) moving: bool,
}

/// The sums of Theorem 4 over a ball.
pub(crate) fn reverse(
    graph: &Graph,
    rules: &[Rule],
    subsets: &[Rc<Subsets>],
    centre: &Centre,
    adjoints: &Adjoints,
    ball: Ball,
) -> Sums {
    let Ball {
        states,
        radius,
        moving,
    } = ball;
    let blocks = graph.blocks().len();
    let none = Adjoint {
        alpha: None,
        beta: vec![None; blocks],
    };
    let mut all = vec![none; rules.len()];
    let output = graph.output();
    all[output].alpha = Some(Lattice::constant(&subsets[output], 1.0));
    let mut sums = Sums::new(blocks, moving);
    for node in (0..rules.len()).rev() {
        let of = &subsets[node];
        let own = std::mem::replace(
            &mut all[node],
            Adjoint {
                alpha: None,
                beta: vec![None; blocks],
            },
        );
        let (Some(mut alpha), mut beta) = (own.alpha, own.beta) else {
            continue;
        };
        if !graph.nodes()[node].varies {
            continue;
        }
        // Lemma 1, Lemma 5.
        alpha.close();
        for beta in beta.iter_mut().flatten() {
            beta.close();
        }
        let change = together(of, beta.iter().flatten());
        if let Some(at_centre) = &adjoints.alpha[node] {
            alpha = alpha.min(&at_centre.plus(&change.by(radius)));
            alpha.close();
        }
        let alpha_moves = change.by(radius);
        let inputs = &graph.nodes()[node].inputs;
        let state = |i: usize| &states[inputs[i]];
        let moves_of = |node: usize| match moving {
            true => states[node].moves(&subsets[node], radius),
            false => vec![None; blocks],
        };
        let centre_of = |node: usize| -> ByBlock {
            if !moving {
                return vec![None; blocks];
            }
            let d = centre.slopes[node].iter().zip(&states[node].d);
            d.map(|(centre, d)| match (centre, d) {
                (Some(centre), Some(d)) => Some(centre.min(d)),
                (_, d) => d.clone(),
            })
            .collect()
        };
        let [moves, centres]: [&dyn Fn(usize) -> ByBlock; 2] =
            [&|i| moves_of(inputs[i]), &|i| centre_of(inputs[i])];
        let alpha_centre = adjoints.alpha[node].as_ref();
        let alpha_centre = alpha_centre.map_or_else(|| alpha.clone(), |centre| centre.min(&alpha));
        let whole = Moving {
            most: &alpha,
            centre: &alpha_centre,
            moves: &alpha_moves,
        };
        let varies = |i: usize| graph.nodes()[inputs[i]].varies;
        let mut give = |i: usize, alpha: Lattice, beta: ByBlock| {
            if varies(i) {
                all[inputs[i]].add(alpha, beta);
            }
        };
        let each =
            |of: &dyn Fn(usize) -> Option<Lattice>| -> ByBlock { (0..blocks).map(of).collect() };
        let scaled = |factor: &Lattice| each(&|c| beta[c].as_ref().map(|beta| factor.times(beta)));
        match &rules[node] {
            Rule::Constant | Rule::Parameter(_) => {}
            Rule::Sum => {
                for i in 0..inputs.len() {
                    give(i, alpha.clone(), beta.clone());
                }
            }
            Rule::Moved(sources) | Rule::Maximum(sources) => {
                for (i, source) in sources.iter().enumerate() {
                    let Some(source) = source else { continue };
                    let back = source.back(&subsets[inputs[i]], of);
                    let beta = each(&|c| beta[c].as_ref().map(|beta| back.squares(beta)));
                    give(i, back.squares(&alpha), beta);
                }
            }
            Rule::ReduceSum { axes, .. } => {
                let to = &subsets[inputs[0]];
                let back = inverse(axes, of.shape.len());
                let copies = Lattice::new(to, |mask, _| {
                    let added =
                        (0..axes.len()).filter(|a| axes[*a].is_none() && mask >> a & 1 == 0);
                    up::root(added.map(|a| to.shape[a] as f64).product())
                });
                let lift = |x: &Lattice| copies.times(&x.lifted(to, &back));
                give(0, lift(&alpha), each(&|c| beta[c].as_ref().map(lift)));
            }
            Rule::Dot(sides) => {
                for (i, j) in [(0, 1), (1, 0)] {
                    if !varies(i) {
                        continue;
                    }
                    let (to, other) = (&subsets[inputs[i]], &subsets[inputs[j]]);
                    let size =
                        sides[j].size(&state(j).range, state(j).slope(other).as_ref(), radius);
                    let across = |x: &Lattice| x.lifted(to, &sides[j].to_other);
                    let back = inverse(&sides[i].to_result, of.shape.len());
                    let own = |x: &Lattice| x.lifted(to, &back);
                    let norm = across(&size.spectral);
                    let batch = sides[i].batch_in_result();
                    let (a, a_most) = (own(&alpha), own(&alpha.largest_over(batch)));
                    let beta = each(&|c| {
                        let carried = beta[c].as_ref().map(|beta| norm.times(&own(beta)));
                        let moved = state(j).d[c].as_ref().map(|d| {
                            let most = across(&sides[j].one_of_batch(d));
                            a_most.times(&across(d)).min(&a.times(&most))
                        });
                        plus(carried, moved)
                    });
                    give(i, norm.times(&a), beta);
                }
                let lift = |i: usize, u: &Lattice| u.lifted(of, &sides[i].to_result);
                let near = [0, 1].map(|i| [centres(i), moves(i)]);
                let [u, w] = [0, 1].map(|i| Moving::new(&state(i).d, &near[i]));
                sums.add(whole, u, w, Order::Both, |alpha, u, w| {
                    let most = alpha.largest_over(sides[0].batch_in_result());
                    let (u_most, w_most) = (sides[0].one_of_batch(u), sides[1].one_of_batch(w));
                    let (u, w) = (lift(0, u), lift(1, w));
                    let (u_most, w_most) = (lift(0, &u_most), lift(1, &w_most));
                    let all = most.times(&u).times(&w);
                    all.min(&alpha.times(&u_most).times(&w))
                        .min(&alpha.times(&u).times(&w_most))
                });
            }
            Rule::Mul => {
                for (i, j) in [(0, 1), (1, 0)] {
                    let factor = largest(of, &state(j).range, |x| x.magnitude());
                    let beta = each(&|c| {
                        let carried = beta[c].as_ref().map(|beta| factor.times(beta));
                        plus(carried, state(j).d[c].as_ref().map(|d| crossed(&alpha, d)))
                    });
                    give(i, factor.times(&alpha), beta);
                }
                let near = [0, 1].map(|i| [centres(i), moves(i)]);
                let [u, w] = [0, 1].map(|i| Moving::new(&state(i).d, &near[i]));
                sums.add(whole, u, w, Order::Both, product);
            }
            Rule::Div => {
                // q = u/w: the adjoint of u is that of q over w, the adjoint of w the former times -q.
                let least = |x: Interval| up::div(1.0, mignitude(x));
                let inverse = largest(of, &state(1).range, least);
                let q = largest(of, &states[node].range, |x| x.magnitude());
                let share = inverse.times(&alpha);
                let mut first = scaled(&inverse);
                for c in 0..blocks {
                    let moved = state(1).d[c]
                        .as_ref()
                        .map(|d| crossed(&share.times(&inverse), d));
                    first[c] = plus(first[c].take(), moved);
                }
                let second = each(&|c| {
                    let carried = first[c].as_ref().map(|beta| q.times(beta));
                    let moved = states[node].d[c].as_ref().map(|d| crossed(&share, d));
                    plus(carried, moved)
                });
                give(1, q.times(&share), second);
                give(0, share.clone(), first);
                // 1/w moves by radius |d(w)| / w^2.
                let slope = state(1).slope(&subsets[inputs[1]]);
                let slope = slope.unwrap_or_else(|| Lattice::constant(of, 0.0));
                let by = state(1).range.iter().zip(slope.entries()).map(|(w, d)| {
                    let inverse = least(*w);
                    up::mul(up::mul(inverse, inverse), up::mul(radius, *d))
                });
                let by = Lattice::maxima(of, &by.collect::<Vec<_>>());
                let share_moves = inverse.times(&alpha_moves).plus(&by.times(&alpha));
                let inverse_centre = largest(of, &centre.values[inputs[1]], least);
                let share_centre = inverse_centre.times(&alpha_centre).min(&share);
                let q = Moving {
                    most: &states[node].d,
                    centre: &centre_of(node),
                    moves: &moves_of(node),
                };
                let w = Moving {
                    most: &state(1).d,
                    centre: &centres(1),
                    moves: &moves(1),
                };
                let share = Moving {
                    most: &share,
                    centre: &share_centre,
                    moves: &share_moves,
                };
                sums.add(share, q, w, Order::Both, product);
            }
            Rule::Map(f) => {
                let u = state(0);
                // The forward pass has been through here.
                let Ok((slopes, _)) = map(node, *f, &u.range) else {
                    continue;
                };
                let entries = |of: &dyn Fn(usize, &Slopes) -> f64| -> Vec<f64> {
                    slopes.iter().enumerate().map(|(e, s)| of(e, s)).collect()
                };
                let maxima = |entries: &[f64]| Lattice::maxima(of, entries);
                let first = maxima(&entries(&|_, s| s.first));
                let bent = maxima(&entries(&|e, s| up::mul(s.second, alpha.entries()[e])));
                let steep = each(&|b| {
                    let d = u.d[b].as_ref()?;
                    Some(maxima(&entries(&|e, s| up::mul(s.second, d.entries()[e]))))
                });
                let beta = each(&|c| {
                    let carried = beta[c].as_ref().map(|beta| first.times(beta));
                    let moved = u.d[c].as_ref().zip(steep[c].as_ref());
                    let moved = moved.map(|(d, s)| bent.times(d).min(&alpha.times(s)));
                    plus(carried, moved)
                });
                give(0, first.times(&alpha), beta);
                // Of the factors v', phi'', u and u' the second one is a number for each entry.
                let X = |second: &[f64], alpha: &Lattice, u: &Lattice, w: &Lattice| {
                    let by = |x: &Lattice| {
                        let entries = second.iter().zip(x.entries());
                        maxima(&entries.map(|(s, x)| up::mul(*s, *x)).collect::<Vec<_>>())
                    };
                    let one = by(alpha).times(u).times(w);
                    let (two, three) = (by(u).times(w), by(w).times(u));
                    one.min(&alpha.times(&two)).min(&alpha.times(&three))
                };
                let second = entries(&|_, s| s.second);
                let X_second = |a: &Lattice, u: &Lattice, w: &Lattice| X(&second, a, u, w);
                add_products(&mut sums.kappa, &alpha, &u.d, &u.d, Order::One, &X_second);
                if let (Some(to), Some(slope)) = (&mut sums.moves, u.slope(&subsets[inputs[0]])) {
                    let pairs = centre.values[inputs[0]].iter().zip(&centre.values[node]);
                    let at_centre: Vec<f64> = pairs
                        .zip(&second)
                        .map(|((x, y), most)| f.second(*x, *y).magnitude().min(*most))
                        .collect();
                    let bend =
                        entries(&|e, s| up::mul(s.third, up::mul(radius, slope.entries()[e])));
                    let X_bend = |a: &Lattice, u: &Lattice, w: &Lattice| X(&bend, a, u, w);
                    let X_centre = |a: &Lattice, u: &Lattice, w: &Lattice| X(&at_centre, a, u, w);
                    let (u_moves, u_centre) = (moves(0), centres(0));
                    add_products(to, &alpha_moves, &u.d, &u.d, Order::One, &X_second);
                    add_products(to, &alpha_centre, &u.d, &u.d, Order::One, &X_bend);
                    add_products(to, &alpha_centre, &u_moves, &u.d, Order::One, &X_centre);
                    add_products(
                        to,
                        &alpha_centre,
                        &u_centre,
                        &u_moves,
                        Order::One,
                        &X_centre,
                    );
                }
            }
            Rule::Softmax(rows) => {
                let sigma = &states[node].sigma;
                let found = spread(
                    rows,
                    &centre.values[node],
                    &states[node].range,
                    &change,
                    radius,
                );
                let (centred, moved) =
                    found.centred(rows, &adjoints.centred[node], alpha.entries());
                let R = &rows.of;
                let by_row = |number: &dyn Fn(&[usize]) -> f64| {
                    let numbers: Vec<f64> = rows.entries.iter().map(|row| number(row)).collect();
                    Lattice::maxima(R, &numbers)
                };
                let p = |e: usize| states[node].range[e].hi().clamp(0.0, 1.0);
                let lambda =
                    by_row(&|row| row.iter().fold(0.0f64, |most, e| most.max(p(*e))).min(0.5));
                let most = by_row(&|row| row.iter().fold(0.0f64, |most, e| most.max(centred[*e])));
                let root = lambda.map(up::root);
                let lift = |x: &Lattice| x.lifted(of, &rows.to_full);
                let mut a = lift(&lambda.times(&alpha.without(R, rows.axis)));
                a.improve_entries((0..of.size()).map(|e| up::mul(p(e), centred[e])));
                let beta = each(&|c| {
                    let carried = beta[c]
                        .as_ref()
                        .map(|beta| lambda.times(&beta.without(R, rows.axis)));
                    let moved = sigma[c].as_ref().map(|s| most.times(&root).times(s));
                    plus(carried, moved).map(|x| lift(&x))
                });
                give(0, a, beta);
                let sigma_moves = match moving {
                    true => sigma_moves(rows, sigma, state(0), &subsets[inputs[0]], &root, radius),
                    false => vec![None; blocks],
                };
                let moved = by_row(&|row| row.iter().fold(0.0f64, |most, e| most.max(moved[*e])));
                let at_centre = by_row(&|row| {
                    let numbers = row.iter().map(|e| adjoints.centred[node].get(*e));
                    numbers.fold(0.0f64, |most, x| most.max(*x.unwrap_or(&f64::INFINITY)))
                });
                let sigma_centre = centre.sigma[node].iter().zip(sigma);
                let sigma_centre = sigma_centre.map(|(centre, sigma)| match (centre, sigma) {
                    (Some(centre), Some(sigma)) => Some(centre.min(sigma)),
                    (_, sigma) => sigma.clone(),
                });
                let sigma = Moving {
                    most: sigma,
                    centre: &sigma_centre.collect(),
                    moves: &sigma_moves,
                };
                let most = Moving {
                    most: &most,
                    centre: &at_centre.min(&most),
                    moves: &moved,
                };
                sums.add(most, sigma, sigma, Order::One, |a, u, w| {
                    a.times(u).times(w)
                });
            }
        }
    }
    sums
}

/// The source axis of each axis of a result of this rank.
fn inverse(axes: &[Option<usize>], rank: usize) -> Vec<Option<usize>> {
    (0..rank)
        .map(|axis| axes.iter().position(|a| *a == Some(axis)))
        .collect()
}

fn largest(of: &Rc<Subsets>, range: &[Interval], number: impl Fn(Interval) -> f64) -> Lattice {
    let numbers: Vec<f64> = range.iter().map(|x| number(*x)).collect();
    Lattice::maxima(of, &numbers)
}

/// For u' w'' with adjoint alpha: any two of the three in norm, the third by its largest entry.
fn product(alpha: &Lattice, u: &Lattice, w: &Lattice) -> Lattice {
    let one = alpha.largest().times(u).times(w);
    let two = alpha.times(&u.largest()).times(w);
    one.min(&two).min(&alpha.times(u).times(&w.largest()))
}

/// Lemma 7: how far (sum_j p_j (z_j - mean)^2)^{1/2} is from that of the centre, as a vector of the terms under the root.
fn sigma_moves(
    rows: &Rows,
    sigma: &ByBlock,
    z: &State,
    of_z: &Rc<Subsets>,
    root_lambda: &Lattice,
    radius: f64,
) -> ByBlock {
    let (R, half) = (&rows.of, up::root(0.5));
    let all = together(R, sigma.iter().flatten());
    let slope = z.slope(of_z).map(|d| d.without(R, rows.axis).by(half));
    let of = |b: usize| {
        let own = sigma[b].as_ref()?;
        let turned = plus(
            Some(crossed(own, &all)),
            slope.as_ref().map(|slope| crossed(own, slope)),
        );
        let carried = z.row(of_z, b);
        let carried = carried.map(|row| root_lambda.times(&row.without(R, rows.axis)));
        plus(turned, carried).map(|x| x.by(radius))
    };
    (0..sigma.len()).map(of).collect()
}

/// How far softmax weights and adjoints move within the ball.
struct Spread {
    /// |p - p(C)|, at least.
    weights: Vec<f64>,
    /// The least and largest weight.
    most: Vec<f64>,
    /// radius |beta|.
    adjoints: Vec<f64>,
}

fn spread(
    rows: &Rows,
    centre: &[Interval],
    range: &[Interval],
    change: &Lattice,
    radius: f64,
) -> Spread {
    let moved = centre
        .iter()
        .zip(range)
        .map(|(p, q)| (*q - *p).magnitude().min(1.0));
    let _ = rows;
    Spread {
        weights: moved.collect(),
        most: range.iter().map(|p| p.hi().clamp(0.0, 1.0)).collect(),
        adjoints: change
            .entries()
            .iter()
            .map(|x| up::mul(radius, *x))
            .collect(),
    }
}

impl Spread {
    /// The norm of w -> p_a's adjoint less the row's mean of adjoints, over the ball: with p = p(C) + pi, sum pi = 0,
    /// and adjoints moved by Delta it is that at the centre, less sum_l pi_l (adjoint_l - mean)(C), plus Delta_a -
    /// sum_l p_l Delta_l. Also at most the adjoint itself and the mean of them. And the norm of what it differs by from that at
    /// the centre.
    fn centred(&self, rows: &Rows, at_centre: &[f64], alpha: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let (mut out, mut moves) = (vec![0.0; alpha.len()], vec![0.0; alpha.len()]);
        for row in &rows.entries {
            let mean = |x: &[f64]| up::sum(row.iter().map(|e| up::mul(self.most[*e], x[*e])));
            let (moved, crude) = (mean(&self.adjoints), mean(alpha));
            let shifted = up::sum(row.iter().map(|e| {
                up::mul(
                    self.weights[*e],
                    at_centre.get(*e).copied().unwrap_or(f64::INFINITY),
                )
            }));
            for e in row {
                let own = at_centre.get(*e).copied().unwrap_or(f64::INFINITY);
                moves[*e] = up::add(shifted, up::add(self.adjoints[*e], moved));
                out[*e] = up::add(own, moves[*e]).min(up::add(alpha[*e], crude));
            }
        }
        (out, moves)
    }
}

impl Moved {
    /// How adjoints go back: each source entry gets the sum of those of its copies.
    fn back(&self, source: &Rc<Subsets>, result: &Rc<Subsets>) -> Moved {
        let pairs: Vec<(u32, u32)> = self.pairs.iter().map(|(e, u)| (*u, *e)).collect();
        Moved::new(source, result, &pairs)
    }
}
