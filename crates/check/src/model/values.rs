//! The values of all nodes at a point, and derivatives backwards, in numbers of any kind.

use super::file::{Function, Model, Node, Op, Product, coordinates, entry};
use super::functions::{Functions, Number};
use crate::threads::each;
use std::cmp::Ordering;

/// Which entries of two factors a product adds up: out[batch, i, j] = sum_k a[..] b[..], each by distances in the arrays.
pub(crate) struct Places {
    pub(crate) batch: Vec<[usize; 2]>,
    pub(crate) sum: Vec<[usize; 2]>,
    pub(crate) free: [Vec<usize>; 2],
}

/// The distances of the entries along some axes, in row-major order.
fn distances(shape: &[usize], axes: &[usize]) -> Vec<usize> {
    let sizes: Vec<usize> = axes.iter().map(|a| shape[*a]).collect();
    let place = |i: usize| {
        let mut at = vec![0; shape.len()];
        axes.iter().zip(coordinates(&sizes, i)).for_each(|(a, x)| at[*a] = x);
        entry(shape, &at)
    };
    (0..sizes.iter().product()).map(place).collect()
}

impl Places {
    pub(crate) fn new(product: &Product, shapes: [&[usize]; 2]) -> Places {
        let pairs = |axes: &[Vec<usize>; 2]| -> Vec<[usize; 2]> {
            let [a, b] = [0, 1].map(|side| distances(shapes[side], &axes[side]));
            a.into_iter().zip(b).map(|(a, b)| [a, b]).collect()
        };
        let free =
            [0, 1].map(|side| distances(shapes[side], &product.free(side, shapes[side].len())));
        Places { batch: pairs(&product.batch), sum: pairs(&product.contracted), free }
    }

    /// The entries of the factors that belong to an entry of the result.
    pub(crate) fn of(&self, e: usize) -> impl Iterator<Item = [usize; 2]> {
        let [i, j] = [self.free[0].len(), self.free[1].len()];
        let ([a, b], i, j) =
            (self.batch[e / (i * j)], self.free[0][e / j % i], self.free[1][e % j]);
        self.sum.iter().map(move |[ka, kb]| [a + i + ka, b + j + kb])
    }
}

/// The entries of a softmax row: which of the array stand in the row of entry e.
pub(crate) fn row_of(
    shape: &[usize],
    axis: usize,
    e: usize,
) -> impl Iterator<Item = usize> + Clone {
    let inner: usize = shape[axis + 1..].iter().product();
    let block = shape[axis] * inner;
    let first = e / block * block + e % inner;
    (0..shape[axis]).map(move |l| first + l * inner)
}

/// The first entries of the rows of a softmax.
pub(crate) fn rows(shape: &[usize], axis: usize) -> Vec<usize> {
    let all = 0..shape.iter().product();
    all.filter(|e| row_of(shape, axis, *e).next() == Some(*e)).collect()
}

/// The sign that a number is known to have.
pub(crate) fn sign<T: Number>(x: T) -> Option<Ordering> {
    let x = x.to_ball();
    match (x.lower() > 0.0, x.upper() < 0.0) {
        (true, _) => Some(Ordering::Greater),
        (_, true) => Some(Ordering::Less),
        _ => None,
    }
}

/// phi(x) and phi'(x); of a kinked function nothing is known where the side is not.
pub(crate) fn function<T: Number>(of: &Functions<T>, f: Function, x: T) -> (T, T) {
    let (zero, one) = (T::of(0.0), T::of(1.0));
    match f {
        Function::Exp => {
            let y = of.exp(x);
            (y, y)
        }
        Function::Expm1 => {
            let y = of.exp(x);
            (y - one, y)
        }
        Function::Log => (of.log(x), of.over(one, x)),
        Function::Log1p => (of.log(one + x), of.over(one, one + x)),
        Function::Sqrt => {
            let y = of.sqrt(x);
            (y, of.over(one, y + y))
        }
        Function::Rsqrt => {
            let y = of.over(one, of.sqrt(x));
            (y, -of.over(y, x + x))
        }
        Function::Tanh => {
            let y = of.tanh(x);
            (y, one - y * y)
        }
        Function::Logistic => {
            let y = of.logistic(x);
            (y, y - y * y)
        }
        Function::Softplus => (of.softplus(x), of.logistic(x)),
        Function::Erf => (of.erf(x), of.gauss(x)),
        Function::Erfc => (one - of.erf(x), -of.gauss(x)),
        Function::Sin => of.sin_cos(x),
        Function::Cos => {
            let (sin, cos) = of.sin_cos(x);
            (cos, -sin)
        }
        Function::Atan => (of.atan(x), of.over(one, one + x * x)),
        Function::Whole(0) => (one, zero),
        Function::Whole(k) => (of.whole_power(x, k), T::of(k.into()) * of.whole_power(x, k - 1)),
        Function::Power(a) => {
            let y = if sign(x) == Some(Ordering::Greater) { of.power(x, a) } else { T::unknown() };
            (y, of.over(T::of(a) * y, x))
        }
        Function::Relu => match sign(x) {
            Some(Ordering::Greater) => (x, one),
            Some(_) => (zero, zero),
            None => (T::unknown(), T::unknown()),
        },
        Function::Abs => match sign(x) {
            Some(Ordering::Greater) => (x, one),
            Some(_) => (-x, -one),
            None => (T::unknown(), T::unknown()),
        },
    }
}

/// The value of a relu or an absolute value at 0 exactly. Of a node without a parameter no slope is asked for.
fn at_kink<T: Number>(node: &Node, x: T) -> Option<T> {
    (!node.varies && x.to_ball().is_zero()).then_some(x)
}

/// All nodes at a point.
pub(crate) struct Values<'m, T> {
    pub(crate) model: &'m Model,
    functions: Functions<T>,
    /// By node; those without a parameter are evaluated once.
    pub(crate) values: Vec<Vec<T>>,
    /// phi' of the nodes that are functions.
    slopes: Vec<Vec<T>>,
    pub(crate) places: Vec<Option<Places>>,
    /// Of a sum: where each entry is added. Of a softmax: the first entries of its rows.
    lists: Vec<Vec<usize>>,
    /// Of a sum: the entries that are added up in each entry.
    groups: Vec<Vec<Vec<usize>>>,
}

impl<'m, T: Number> Values<'m, T> {
    /// At this point, P numbers.
    pub(crate) fn new(model: &'m Model, point: &[T]) -> Self {
        let nodes = model.nodes.len();
        let mut new = Values {
            model,
            functions: Functions::new(),
            values: vec![Vec::new(); nodes],
            slopes: vec![Vec::new(); nodes],
            places: (0..nodes).map(|_| None).collect(),
            lists: vec![Vec::new(); nodes],
            groups: vec![Vec::new(); nodes],
        };
        for (n, node) in model.nodes.iter().enumerate() {
            if let Op::Product(product) = &node.op {
                let shape = |i: usize| &model.nodes[node.inputs[i]].shape[..];
                new.places[n] = Some(Places::new(product, [shape(0), shape(1)]));
            }
            new.lists[n] = match &node.op {
                Op::Sum(axes) => {
                    let from = &model.nodes[node.inputs[0]];
                    (0..from.size()).map(|e| kept(&from.shape, axes, &node.shape, e)).collect()
                }
                Op::Softmax(axis) => rows(&node.shape, *axis),
                _ => Vec::new(),
            };
        }
        for (n, node) in model.nodes.iter().enumerate() {
            if let Op::Sum(_) = node.op {
                new.groups[n] = vec![Vec::new(); node.size()];
                for (e, to) in new.lists[n].iter().enumerate() {
                    new.groups[n][*to].push(e);
                }
            }
        }
        new.evaluate(point, false);
        new.evaluate(point, true);
        new
    }

    /// Moves to another point.
    pub(crate) fn move_to(&mut self, point: &[T]) {
        self.evaluate(point, true);
    }

    fn evaluate(&mut self, point: &[T], varies: bool) {
        let places = self.model.places();
        for (n, node) in self.model.nodes.iter().enumerate() {
            if node.varies != varies {
                continue;
            }
            if let Op::Parameter(b) = &node.op {
                self.values[n] = point[places[*b]..places[*b + 1]].to_vec();
                continue;
            }
            let (values, slopes) = self.node(n, node);
            (self.values[n], self.slopes[n]) = (values, slopes);
        }
    }

    fn node(&self, n: usize, node: &Node) -> (Vec<T>, Vec<T>) {
        let of = |i: usize| &self.values[node.inputs[i]][..];
        let size = node.size();
        let two = |with: &(dyn Fn(T, T) -> T + Sync)| -> Vec<T> {
            of(0).iter().zip(of(1)).map(|(a, b)| with(*a, *b)).collect()
        };
        let values = match &node.op {
            Op::Parameter(_) => Vec::new(),
            Op::Constant(values) => values.iter().map(|x| T::of(*x)).collect(),
            Op::Neg => of(0).iter().map(|x| -*x).collect(),
            Op::Map(f) => {
                let entry = |e: usize| {
                    let x = of(0)[e];
                    let (y, slope) = function(&self.functions, *f, x);
                    match f {
                        Function::Relu | Function::Abs => (at_kink(node, x).unwrap_or(y), slope),
                        _ => (y, slope),
                    }
                };
                return each(size, 100 * T::BITS, entry).into_iter().unzip();
            }
            Op::Add => two(&|a, b| a + b),
            Op::Sub => two(&|a, b| a - b),
            Op::Mul => two(&|a, b| a * b),
            Op::Div => two(&|a, b| self.functions.over(a, b)),
            Op::Max => two(&|a, b| match sign(a - b) {
                Some(Ordering::Greater) => a,
                Some(_) => b,
                None => at_kink(node, a - b).map_or(T::unknown(), |_| a),
            }),
            Op::Softmax(axis) => {
                let z = of(0);
                let mut p = vec![T::of(0.0); size];
                for first in &self.lists[n] {
                    let row = row_of(&node.shape, *axis, *first);
                    // Any shift of a row leaves the weights as they are; this one makes the largest argument nearly 0.
                    let top = row.clone().map(|e| z[e].near()).fold(f64::NEG_INFINITY, f64::max);
                    let top = T::of(top);
                    let mut total = T::of(0.0);
                    for e in row.clone() {
                        p[e] = self.functions.exp(z[e] - top);
                        total = total + p[e];
                    }
                    let share = self.functions.over(T::of(1.0), total);
                    row.for_each(|e| p[e] = p[e] * share);
                }
                p
            }
            Op::Product(_) => {
                let Some(places) = &self.places[n] else { return (Vec::new(), Vec::new()) };
                let (a, b) = (of(0), of(1));
                let work = places.sum.len() * T::BITS;
                each(size, work, |e| places.of(e).map(|[i, j]| a[i] * b[j]).sum())
            }
            Op::Sum(_) => {
                let mut sums = vec![T::of(0.0); size];
                for (to, x) in self.lists[n].iter().zip(of(0)) {
                    sums[*to] = sums[*to] + *x;
                }
                sums
            }
            Op::Moved(from) => from
                .iter()
                .map(|from| match from {
                    Ok((i, e)) => of(*i)[*e],
                    Err(x) => T::of(*x),
                })
                .collect(),
        };
        (values, Vec::new())
    }

    /// r.
    pub(crate) fn residual(&self) -> &[T] {
        &self.values[self.model.output]
    }

    /// phi' at an entry of a node that is a function.
    pub(crate) fn slope(&self, n: usize, e: usize) -> T {
        self.slopes[n][e]
    }

    /// The entries that are added up in entry e of a sum.
    pub(crate) fn summed(&self, n: usize, e: usize) -> &[usize] {
        &self.groups[n][e]
    }

    /// J'w: the derivatives of <w, r> by every parameter.
    pub(crate) fn gradient(&self, w: &[T]) -> Vec<T> {
        let all = self.adjoints(w);
        let mut gradient = Vec::with_capacity(self.model.parameters());
        for b in 0..self.model.blocks.len() {
            let node = self.model.nodes.iter().position(|node| node.op == Op::Parameter(b));
            gradient.extend(node.into_iter().flat_map(|n| &all[n]));
        }
        gradient
    }

    /// The derivatives of <w, r> by the entries of every node; nothing for those without a parameter.
    pub(crate) fn adjoints(&self, w: &[T]) -> Vec<Vec<T>> {
        let nodes = &self.model.nodes;
        let zero = T::of(0.0);
        let mut all: Vec<Vec<T>> = nodes
            .iter()
            .map(|node| vec![zero; if node.varies { node.size() } else { 0 }])
            .collect();
        all[self.model.output] = w.to_vec();
        for n in (0..nodes.len()).rev() {
            let node = &nodes[n];
            if !node.varies {
                continue;
            }
            // Those of inputs are changed, which come before.
            let (before, rest) = all.split_at_mut(n);
            let g = &rest[0];
            let value = |i: usize| &self.values[node.inputs[i]][..];
            let own = &self.values[n];
            let varies = |i: usize| nodes[node.inputs[i]].varies;
            let mut add = |i: usize, e: usize, x: T| {
                let to = &mut before[node.inputs[i]][e];
                *to = *to + x;
            };
            match &node.op {
                Op::Parameter(_) | Op::Constant(_) => {}
                Op::Neg => g.iter().enumerate().for_each(|(e, g)| add(0, e, -*g)),
                Op::Map(_) => {
                    g.iter().enumerate().for_each(|(e, g)| add(0, e, *g * self.slopes[n][e]));
                }
                Op::Add | Op::Sub | Op::Mul | Op::Div | Op::Max => {
                    for (e, g) in g.iter().enumerate() {
                        let (a, b) = (value(0)[e], value(1)[e]);
                        let [to_a, to_b] = match &node.op {
                            Op::Add => [*g, *g],
                            Op::Sub => [*g, -*g],
                            Op::Mul => [*g * b, *g * a],
                            Op::Div => {
                                let share = self.functions.over(*g, b);
                                [share, -(share * own[e])]
                            }
                            _ => match sign(a - b) {
                                Some(Ordering::Greater) => [*g, zero],
                                Some(_) => [zero, *g],
                                None => [T::unknown(); 2],
                            },
                        };
                        if varies(0) {
                            add(0, e, to_a);
                        }
                        if varies(1) {
                            add(1, e, to_b);
                        }
                    }
                }
                Op::Softmax(axis) => {
                    for first in &self.lists[n] {
                        let row = row_of(&node.shape, *axis, *first);
                        // Nothing depends on a shift of a row: what is the same along it then comes to 0 exactly.
                        let mean: T = row.clone().map(|e| own[e] * (g[e] - g[*first])).sum();
                        row.for_each(|e| add(0, e, own[e] * (g[e] - g[*first] - mean)));
                    }
                }
                Op::Product(_) => {
                    let Some(places) = &self.places[n] else { continue };
                    let (a, b) = (value(0), value(1));
                    for (e, g) in g.iter().enumerate() {
                        for [i, j] in places.of(e) {
                            if varies(0) {
                                add(0, i, b[j] * *g);
                            }
                            if varies(1) {
                                add(1, j, a[i] * *g);
                            }
                        }
                    }
                }
                Op::Sum(_) => {
                    self.lists[n].iter().enumerate().for_each(|(e, to)| add(0, e, g[*to]));
                }
                Op::Moved(from) => {
                    for (from, g) in from.iter().zip(g) {
                        if let Ok((i, e)) = from
                            && varies(*i)
                        {
                            add(*i, *e, *g);
                        }
                    }
                }
            }
        }
        all
    }
}

/// Where an entry is added when these axes are summed over.
pub(crate) fn kept(shape: &[usize], axes: &[usize], to: &[usize], e: usize) -> usize {
    let at = coordinates(shape, e);
    let at: Vec<usize> = (0..shape.len()).filter(|a| !axes.contains(a)).map(|a| at[a]).collect();
    entry(to, &at)
}
