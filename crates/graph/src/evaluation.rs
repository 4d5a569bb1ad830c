//! The values of all nodes, and derivatives both ways, in any arithmetic.

use crate::plan::{Dot, Input, Kernel, Pair, Plan};
use crate::{Error, Graph, Operation};
use gdcert_numbers::{Interval, Sign, Smooth};
use std::sync::Arc;

/// A place where a relu, an absolute value or a maximum is not known to be on one side.
///
/// There the residual has no derivative, or none that could be told. Numbers that enclose end there with nothing known;
/// in f64 evaluation goes on (the derivative at the kink is 0, of a maximum one half each).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kink {
    /// The node.
    pub node: usize,
    /// The entry of its array, row-major.
    pub entry: usize,
    /// How far from the kink it lies, about.
    pub distance: f64,
}

impl Kink {
    /// The refusal in words.
    pub fn error(&self, graph: &Graph) -> Error {
        Error::input(format!(
            "{}: entry {} is within {:.1e} of its kink, and on which side is not decided; take a smooth function there, or another start",
            graph.describe(self.node),
            self.entry,
            self.distance
        ))
    }
}

/// A graph's nodes in the arithmetic T: values, adjoints, tangents. Memory is allocated when each is first asked for, none
/// after that.
///
/// At first M = M_0; change it through [`parameters_mut`](Self::parameters_mut) and call [`forward`](Self::forward).
#[derive(Clone, Debug)]
pub struct Evaluation<T> {
    plan: Arc<Plan>,
    output: usize,
    P: usize,
    values: Vec<T>,
    slopes: Vec<T>,
    adjoints: Vec<T>,
    tangents: Vec<T>,
    kink: Option<Kink>,
}

impl<T: Smooth> Evaluation<T> {
    /// A graph at M_0, without values yet but those of constants.
    pub fn new(graph: &Graph) -> Self {
        let plan = Arc::new(Plan::new(graph));
        let zero = T::from_f64(0.0);
        let mut values = vec![zero; plan.len];
        for (node, at) in graph.nodes.iter().zip(&plan.at) {
            let array = match node.operation {
                Operation::Parameter(i) => &graph.blocks[i].start,
                Operation::Constant(i) => &graph.constants[i],
                Operation::Pad { value, .. } => {
                    values[at.clone()].fill(T::from_f64(value));
                    continue;
                }
                _ => continue,
            };
            for (to, &x) in values[at.clone()].iter_mut().zip(&array.values) {
                *to = T::from_f64(x);
            }
        }
        let mut new = Evaluation {
            output: graph.output,
            P: graph.P(),
            slopes: vec![zero; plan.slopes],
            adjoints: Vec::new(),
            tangents: Vec::new(),
            values,
            kink: None,
            plan,
        };
        new.run(false, false);
        new
    }

    /// M, all blocks' entries.
    pub fn parameters(&self) -> &[T] {
        &self.values[..self.P]
    }

    /// M, to be changed.
    pub fn parameters_mut(&mut self) -> &mut [T] {
        &mut self.values[..self.P]
    }

    /// Computes every node's value at M, and what derivatives need.
    pub fn forward(&mut self) {
        self.kink = None;
        self.run(true, true);
    }

    /// As [`forward`](Self::forward), but for the values alone: derivatives would be those of the last `forward`.
    pub fn forward_values(&mut self) {
        self.kink = None;
        self.run(true, false);
    }

    /// The entries of a node's array, at the M of the last [`forward`](Self::forward).
    pub fn value(&self, node: usize) -> &[T] {
        &self.values[self.plan.at[node].clone()]
    }

    /// r(M).
    pub fn residual(&self) -> &[T] {
        self.value(self.output)
    }

    /// Where the last [`forward`](Self::forward) met a kink first. Only numbers that enclose do.
    pub fn kink(&self) -> Option<Kink> {
        self.kink
    }

    /// Derivatives of <w, r> by every node's entries.
    ///
    /// # Panics
    /// w does not have m entries.
    pub fn reverse(&mut self, w: &[T]) {
        self.clear_adjoints();
        self.adjoints[self.plan.at[self.output].clone()].copy_from_slice(w);
        self.pull();
    }

    /// As [`reverse`](Self::reverse) with w = r, for the gradient of f = 1/2 |r|^2.
    pub fn reverse_residual(&mut self) {
        self.clear_adjoints();
        let at = self.plan.at[self.output].clone();
        self.adjoints[at.clone()].copy_from_slice(&self.values[at]);
        self.pull();
    }

    /// The derivatives of <w, r> by a node's entries, for the w of the last [`reverse`](Self::reverse), without which it panics. Those of nodes without a
    /// parameter are not kept.
    pub fn adjoint(&self, node: usize) -> &[T] {
        &self.adjoints[self.plan.at[node].clone()]
    }

    /// J'w, for the w of the last [`reverse`](Self::reverse): P numbers.
    pub fn gradient(&self) -> &[T] {
        &self.adjoints[..self.P]
    }

    /// Derivatives of every node along the direction v of M: J v is the [`tangent`](Self::tangent) of the output.
    ///
    /// # Panics
    /// v does not have P entries.
    pub fn push(&mut self, v: &[T]) {
        self.tangents.resize(self.plan.len, T::from_f64(0.0));
        self.tangents[..self.P].copy_from_slice(v);
        let plan = Arc::clone(&self.plan);
        for step in plan.steps.iter().filter(|step| step.varies) {
            let (before, rest) = self.tangents.split_at_mut(step.at.start);
            let out = &mut rest[..step.at.len()];
            step.kernel
                .push(&self.values, &self.slopes, before, out, step.at.start);
        }
    }

    /// The derivative of a node's entries, for the v of the last [`push`](Self::push).
    pub fn tangent(&self, node: usize) -> &[T] {
        &self.tangents[self.plan.at[node].clone()]
    }

    /// J, m rows of P numbers, by m reverse sweeps.
    pub fn jacobian(&mut self) -> Vec<T> {
        let m = self.plan.at[self.output].len();
        let (zero, one) = (T::from_f64(0.0), T::from_f64(1.0));
        let mut rows = Vec::with_capacity(m * self.P);
        let mut w = vec![zero; m];
        for i in 0..m {
            w[i] = one;
            self.reverse(&w);
            w[i] = zero;
            rows.extend_from_slice(self.gradient());
        }
        rows
    }

    /// M <- M - eta J'w.
    pub(crate) fn descend(&mut self, eta: T) {
        let parameters = self.values[..self.P].iter_mut();
        for (x, &g) in parameters.zip(&self.adjoints[..self.P]) {
            *x -= eta * g;
        }
    }

    /// Computes the nodes with a parameter in them, or those without.
    fn run(&mut self, varies: bool, derivatives: bool) {
        let plan = Arc::clone(&self.plan);
        for step in plan.steps.iter().filter(|step| step.varies == varies) {
            let (before, rest) = self.values.split_at_mut(step.at.start);
            let out = &mut rest[..step.at.len()];
            let slopes = derivatives.then_some(&mut self.slopes[..]);
            let kinked = step.kernel.value(before, slopes, out);
            if let (Some((entry, distance)), true, None) = (kinked, varies, self.kink) {
                self.kink = Some(Kink {
                    node: step.node,
                    entry,
                    distance,
                });
            }
        }
    }

    fn clear_adjoints(&mut self) {
        let zero = T::from_f64(0.0);
        self.adjoints.resize(self.plan.len, zero);
        self.adjoints.fill(zero);
    }

    fn pull(&mut self) {
        let plan = Arc::clone(&self.plan);
        for step in plan.steps.iter().rev().filter(|step| step.varies) {
            let (before, rest) = self.adjoints.split_at_mut(step.at.start);
            let g = &rest[..step.at.len()];
            step.kernel
                .pull(&self.values, &self.slopes, before, g, step.at.start);
        }
    }
}

impl Evaluation<Interval> {
    /// Whether every value and every slope is known to be a number.
    pub(crate) fn is_known(&self) -> bool {
        let all = self.values.iter().chain(&self.slopes);
        all.into_iter().all(|x| x.magnitude().is_finite())
    }
}

impl Kernel {
    /// The values of a node from those before it; an entry whose side of a kink had to be known and is not, with its distance.
    fn value<T: Smooth>(
        &self,
        before: &[T],
        slopes: Option<&mut [T]>,
        out: &mut [T],
    ) -> Option<(usize, f64)> {
        let n = out.len();
        let of = |input: &Input| &before[input.at..input.at + n];
        let mut kinked = None;
        match self {
            Kernel::Neg(a) => {
                for (y, &a) in out.iter_mut().zip(of(a)) {
                    *y = -a;
                }
            }
            Kernel::Map { function, a, slope } => {
                for (i, (y, &x)) in out.iter_mut().zip(of(a)).enumerate() {
                    *y = function.value(x);
                    if function.is_kinked() && T::ENCLOSES && x.sign() == Sign::Unknown {
                        kinked = kinked.or(Some((i, x.value().abs())));
                        // At the kink itself the value is known; in a node without a parameter that is all that is asked for.
                        if x != T::from_f64(0.0) {
                            *y = T::from_f64(f64::NAN);
                        }
                    }
                }
                if let Some(slopes) = slopes {
                    let slopes = &mut slopes[*slope..slope + n];
                    for ((slope, &x), &y) in slopes.iter_mut().zip(of(a)).zip(&*out) {
                        *slope = function.derivative(x, y);
                    }
                }
            }
            Kernel::Pair(pair, a, b) => {
                let entries = out.iter_mut().zip(of(a)).zip(of(b));
                match pair {
                    Pair::Add => entries.for_each(|((y, &a), &b)| *y = a + b),
                    Pair::Sub => entries.for_each(|((y, &a), &b)| *y = a - b),
                    Pair::Mul => entries.for_each(|((y, &a), &b)| *y = a * b),
                    Pair::Div => entries.for_each(|((y, &a), &b)| *y = a / b),
                }
            }
            Kernel::Maximum { a, b, slope } => {
                let mut slopes = slopes.map(|slopes| &mut slopes[*slope..slope + n]);
                for (i, ((y, &a), &b)) in out.iter_mut().zip(of(a)).zip(of(b)).enumerate() {
                    let difference = a - b;
                    let (value, by_a) = match difference.sign() {
                        Sign::Positive => (a, 1.0),
                        Sign::Negative => (b, 0.0),
                        Sign::Unknown if T::ENCLOSES => {
                            kinked = kinked.or(Some((i, difference.value().abs())));
                            let value = match difference == T::from_f64(0.0) {
                                true => a,
                                false => T::from_f64(f64::NAN),
                            };
                            (value, f64::NAN)
                        }
                        // Equal, or one of them is NaN.
                        Sign::Unknown => (a + (b - a), 0.5),
                    };
                    *y = value;
                    if let Some(slopes) = &mut slopes {
                        slopes[i] = T::from_f64(by_a);
                    }
                }
            }
            Kernel::Softmax { a, len, inner } => {
                let z = of(a);
                for row in rows(n, *len, *inner) {
                    let places = || row.clone().step_by(*inner);
                    let shift = places()
                        .map(|i| z[i].value())
                        .fold(f64::NEG_INFINITY, f64::max);
                    let shift = T::from_f64(if shift.is_finite() { shift } else { 0.0 });
                    let mut sum = T::from_f64(0.0);
                    for i in places() {
                        out[i] = (z[i] - shift).exp();
                        sum += out[i];
                    }
                    let share = T::from_f64(1.0) / sum;
                    for i in places() {
                        out[i] = out[i] * share;
                    }
                }
            }
            Kernel::Dot(dot) => {
                out.fill(T::from_f64(0.0));
                dot.add(&before[dot.a.at..], &before[dot.b.at..], out);
            }
            Kernel::Sum { a, to } => {
                out.fill(T::from_f64(0.0));
                for (&to, &x) in to.iter().zip(&before[a.at..]) {
                    out[to as usize] += x;
                }
            }
            Kernel::Moves(inputs) => {
                for (input, pairs) in inputs {
                    let from = &before[input.at..];
                    for &(to, place) in pairs {
                        out[to as usize] = from[place as usize];
                    }
                }
            }
        }
        kinked
    }

    /// The tangents of a node from those of its inputs.
    fn push<T: Smooth>(&self, values: &[T], slopes: &[T], before: &[T], out: &mut [T], own: usize) {
        let n = out.len();
        let zero = T::from_f64(0.0);
        let of = |input: &Input| &before[input.at..input.at + n];
        let value = |at: usize| &values[at..at + n];
        match self {
            Kernel::Neg(a) => {
                for (y, &a) in out.iter_mut().zip(of(a)) {
                    *y = -a;
                }
            }
            Kernel::Map { a, slope, .. } => {
                let slopes = &slopes[*slope..slope + n];
                for ((y, &t), &slope) in out.iter_mut().zip(of(a)).zip(slopes) {
                    *y = slope * t;
                }
            }
            Kernel::Pair(pair, a, b) => {
                out.fill(zero);
                let (u, w) = (value(a.at), value(b.at));
                if a.varies {
                    for (i, &t) in of(a).iter().enumerate() {
                        out[i] = match pair {
                            Pair::Add | Pair::Sub => t,
                            Pair::Mul => t * w[i],
                            Pair::Div => t / w[i],
                        };
                    }
                }
                if b.varies {
                    let q = value(own);
                    for (i, &t) in of(b).iter().enumerate() {
                        match pair {
                            Pair::Add => out[i] += t,
                            Pair::Sub => out[i] -= t,
                            Pair::Mul => out[i] += u[i] * t,
                            Pair::Div => out[i] -= q[i] * t / w[i],
                        }
                    }
                }
            }
            Kernel::Maximum { a, b, slope } => {
                out.fill(zero);
                let slopes = &slopes[*slope..slope + n];
                if a.varies {
                    for ((y, &t), &by_a) in out.iter_mut().zip(of(a)).zip(slopes) {
                        *y = by_a * t;
                    }
                }
                if b.varies {
                    for ((y, &t), &by_a) in out.iter_mut().zip(of(b)).zip(slopes) {
                        *y += (T::from_f64(1.0) - by_a) * t;
                    }
                }
            }
            Kernel::Softmax { a, len, inner } => {
                let (p, t) = (value(own), of(a));
                for row in rows(n, *len, *inner) {
                    let places = || row.clone().step_by(*inner);
                    // Nothing depends on a shift of a row: what is the same along it then comes to 0 exactly.
                    let first = t[row.start];
                    let mut mean = zero;
                    places().for_each(|i| mean += p[i] * (t[i] - first));
                    places().for_each(|i| out[i] = p[i] * (t[i] - first - mean));
                }
            }
            Kernel::Dot(dot) => {
                out.fill(zero);
                if dot.a.varies {
                    dot.add(&before[dot.a.at..], &values[dot.b.at..], out);
                }
                if dot.b.varies {
                    dot.add(&values[dot.a.at..], &before[dot.b.at..], out);
                }
            }
            Kernel::Sum { a, to } => {
                out.fill(zero);
                for (&to, &t) in to.iter().zip(&before[a.at..]) {
                    out[to as usize] += t;
                }
            }
            Kernel::Moves(inputs) => {
                for (input, pairs) in inputs {
                    let from = &before[input.at..];
                    for &(to, place) in pairs {
                        let t = from[place as usize];
                        out[to as usize] = if input.varies { t } else { zero };
                    }
                }
            }
        }
    }

    /// Adds to the adjoints of a node's inputs what its own, g, give.
    fn pull<T: Smooth>(&self, values: &[T], slopes: &[T], before: &mut [T], g: &[T], own: usize) {
        let n = g.len();
        let value = |at: usize| &values[at..at + n];
        match self {
            Kernel::Neg(a) => {
                for (to, &g) in before[a.at..].iter_mut().zip(g) {
                    *to -= g;
                }
            }
            Kernel::Map { a, slope, .. } => {
                let slopes = &slopes[*slope..slope + n];
                for ((to, &g), &slope) in before[a.at..].iter_mut().zip(g).zip(slopes) {
                    *to += slope * g;
                }
            }
            Kernel::Pair(pair, a, b) => {
                let (u, w) = (value(a.at), value(b.at));
                if a.varies {
                    for (i, (to, &g)) in before[a.at..].iter_mut().zip(g).enumerate() {
                        *to += match pair {
                            Pair::Add | Pair::Sub => g,
                            Pair::Mul => g * w[i],
                            Pair::Div => g / w[i],
                        };
                    }
                }
                if b.varies {
                    let q = value(own);
                    for (i, (to, &g)) in before[b.at..].iter_mut().zip(g).enumerate() {
                        match pair {
                            Pair::Add => *to += g,
                            Pair::Sub => *to -= g,
                            Pair::Mul => *to += u[i] * g,
                            Pair::Div => *to -= q[i] * g / w[i],
                        }
                    }
                }
            }
            Kernel::Maximum { a, b, slope } => {
                let slopes = &slopes[*slope..slope + n];
                if a.varies {
                    for ((to, &g), &by_a) in before[a.at..].iter_mut().zip(g).zip(slopes) {
                        *to += by_a * g;
                    }
                }
                if b.varies {
                    for ((to, &g), &by_a) in before[b.at..].iter_mut().zip(g).zip(slopes) {
                        *to += (T::from_f64(1.0) - by_a) * g;
                    }
                }
            }
            Kernel::Softmax { a, len, inner } => {
                let (p, to) = (value(own), &mut before[a.at..a.at + n]);
                for row in rows(n, *len, *inner) {
                    let places = || row.clone().step_by(*inner);
                    let first = g[row.start];
                    let mut mean = T::from_f64(0.0);
                    places().for_each(|i| mean += p[i] * (g[i] - first));
                    places().for_each(|i| to[i] += p[i] * (g[i] - first - mean));
                }
            }
            Kernel::Dot(dot) => dot.pull(values, before, g),
            Kernel::Sum { a, to } => {
                if a.varies {
                    for (&from, to) in to.iter().zip(&mut before[a.at..]) {
                        *to += g[from as usize];
                    }
                }
            }
            Kernel::Moves(inputs) => {
                for (input, pairs) in inputs.iter().filter(|(input, _)| input.varies) {
                    let to = &mut before[input.at..];
                    for &(from, place) in pairs {
                        to[place as usize] += g[from as usize];
                    }
                }
            }
        }
    }
}

/// The rows of an array of n entries: `len` entries each, `inner` apart.
fn rows(n: usize, len: usize, inner: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    let block = len * inner;
    let count = n.checked_div(block).unwrap_or(0);
    (0..count).flat_map(move |i| (0..inner).map(move |j| i * block + j..(i + 1) * block))
}

impl Dot {
    /// out += a b.
    fn add<T: Smooth>(&self, a: &[T], b: &[T], out: &mut [T]) {
        let J = self.free_b.len();
        let mut row = 0;
        for &(a0, b0) in &self.batch {
            let b = &b[b0 as usize..];
            for &i in &self.free_a {
                let a = &a[(a0 + i) as usize..];
                let out = &mut out[row..row + J];
                row += J;
                if self.b_in_rows {
                    for &(ka, kb) in &self.sum {
                        let (x, kb) = (a[ka as usize], kb as usize);
                        for (y, &b) in out.iter_mut().zip(&b[kb..kb + J]) {
                            *y += x * b;
                        }
                    }
                    continue;
                }
                for (y, &j) in out.iter_mut().zip(&self.free_b) {
                    let b = &b[j as usize..];
                    if self.k_in_rows {
                        let K = self.sum.len();
                        for (&x, &b) in a[..K].iter().zip(&b[..K]) {
                            *y += x * b;
                        }
                    } else {
                        for &(ka, kb) in &self.sum {
                            *y += a[ka as usize] * b[kb as usize];
                        }
                    }
                }
            }
        }
    }

    /// Adds g b' to a's adjoints and a' g to b's.
    fn pull<T: Smooth>(&self, values: &[T], before: &mut [T], g: &[T]) {
        let J = self.free_b.len();
        let mut row = 0;
        for &(a0, b0) in &self.batch {
            for &i in &self.free_a {
                let g = &g[row..row + J];
                row += J;
                for &(ka, kb) in &self.sum {
                    let place_a = self.a.at + (a0 + i + ka) as usize;
                    let place_b = self.b.at + (b0 + kb) as usize;
                    if self.a.varies {
                        let b = &values[place_b..];
                        let mut sum = T::from_f64(0.0);
                        if self.b_in_rows {
                            g.iter().zip(b).for_each(|(&g, &b)| sum += g * b);
                        } else {
                            let pairs = g.iter().zip(&self.free_b);
                            pairs.for_each(|(&g, &j)| sum += g * b[j as usize]);
                        }
                        before[place_a] += sum;
                    }
                    if self.b.varies {
                        let (x, to) = (values[place_a], &mut before[place_b..]);
                        if self.b_in_rows {
                            to.iter_mut().zip(g).for_each(|(to, &g)| *to += x * g);
                        } else {
                            let pairs = g.iter().zip(&self.free_b);
                            pairs.for_each(|(&g, &j)| to[j as usize] += x * g);
                        }
                    }
                }
            }
        }
    }
}
