//! Orbits and refutations of models, true and tampered with, against gradient descent in 500 bits that is written out for
//! one model.

use super::file::{Model, Op};
use super::tests::{Files, certificate, descend, draw, network, safetensors, trained, valid};
use crate::certificate::{Certificate, ModelRate, ModelRefuted, Orbit, Reading};
use crate::files::sha256;
use crate::tests::Big;

fn exact(x: f64) -> Big {
    Big::try_from(x).unwrap().with_precision(500).value()
}

type Table = Vec<Vec<Big>>;

/// r = (tanh(X W + b) + softmax(X W + b)) v - y and its exact gradient descent, as far as 1e-140 goes.
struct Truth {
    eta: Big,
    x: Table,
    y: Vec<Big>,
    W: Table,
    b: Vec<Big>,
    v: Vec<Big>,
    /// f_0, f_1, ...
    losses: Vec<Big>,
}

fn sum(terms: impl Iterator<Item = Big>) -> Big {
    terms.fold(exact(0.0), |sum, x| sum + x)
}

impl Truth {
    fn new(model: &Model, eta: f64) -> Truth {
        let constant = |n: usize| match &model.nodes[n].op {
            Op::Constant(values) => values.iter().map(|x| exact(*x)).collect::<Vec<_>>(),
            _ => panic!("node {n} is no constant"),
        };
        let start: Vec<Big> = model.start().into_iter().map(exact).collect();
        let (D, width) = (2, 4);
        let table = |data: &[Big], cols: usize| data.chunks(cols).map(<[Big]>::to_vec).collect();
        let (W, rest) = start.split_at(D * width);
        let (b, v) = rest.split_at(width);
        let (x, y) = (table(&constant(3), D), constant(11));
        let (W, b, v) = (table(W, width), b.to_vec(), v.to_vec());
        Truth { eta: exact(eta), x, y, W, b, v, losses: Vec::new() }
    }

    fn step(&mut self) {
        let (D, width) = (self.W.len(), self.b.len());
        let one = exact(1.0);
        let (mut dW, mut db) = (vec![vec![exact(0.0); width]; D], vec![exact(0.0); width]);
        let (mut dv, mut loss) = (db.clone(), exact(0.0));
        for (x, y) in self.x.iter().zip(&self.y) {
            // e^z, of which tanh and softmax are made.
            let z = |j: usize| &self.b[j] + sum((0..D).map(|k| &x[k] * &self.W[k][j]));
            let e: Vec<Big> = (0..width).map(|j| z(j).exp()).collect();
            let t: Vec<Big> = e.iter().map(|e| (e * e - &one) / (e * e + &one)).collect();
            let total = sum(e.iter().cloned());
            let p: Vec<Big> = e.iter().map(|e| e / &total).collect();
            let out = |j: usize| &t[j] + &p[j];
            let r = sum((0..width).map(|j| out(j) * &self.v[j])) - y;
            loss += exact(0.5) * &r * &r;
            let mean = sum((0..width).map(|j| &p[j] * &self.v[j]));
            for j in 0..width {
                dv[j] += &r * out(j);
                let slope = &self.v[j] * (&one - &t[j] * &t[j]) + &p[j] * (&self.v[j] - &mean);
                let dz = &r * slope;
                (0..D).for_each(|k| dW[k][j] += &x[k] * &dz);
                db[j] += dz;
            }
        }
        let all = self.W.iter_mut().flatten().chain(&mut self.b).chain(&mut self.v);
        let moved = dW.into_iter().flatten().chain(db).chain(dv);
        all.zip(moved).for_each(|(w, g)| *w = &*w - &self.eta * g);
        self.losses.push(loss);
    }

    /// M_steps - C, |.|^2, and the losses up to `further` steps later.
    fn run(model: &Model, eta: f64, steps: u64, centre: &[f64], further: u64) -> (Big, Vec<Big>) {
        let mut truth = Truth::new(model, eta);
        (0..steps).for_each(|_| truth.step());
        let point = truth.W.iter().flatten().chain(&truth.b).chain(&truth.v);
        let away = point.zip(centre).map(|(w, c)| (w - exact(*c)) * (w - exact(*c)));
        let away = sum(away);
        (0..further).for_each(|_| truth.step());
        (away, truth.losses)
    }
}

/// Whether f_t <= factor^t f_0.
fn bounded(losses: &[Big], factor: &Big) -> bool {
    let mut bound = losses[0].clone();
    losses.iter().all(|f| {
        let holds = *f <= bound;
        bound = &bound * factor;
        holds
    })
}

/// The centre's file.
pub(super) fn file_of(model: &Model, point: &[f64]) -> Vec<u8> {
    let places = model.places();
    let block = |(b, block): (usize, &super::file::Block)| {
        (block.name.clone(), block.shape.clone(), point[places[b]..places[b + 1]].to_vec())
    };
    let blocks: Vec<_> = model.blocks.iter().enumerate().map(block).collect();
    let blocks: Vec<_> = blocks.iter().map(|(n, s, x)| (&n[..], s.clone(), x.clone())).collect();
    safetensors(&blocks)
}

/// An orbit of some steps to where Theorem A closes.
fn orbit(seed: u64, steps: u64) -> Option<(Files, ModelRate, Vec<f64>)> {
    let mut files = network(&mut draw(seed), 0.003);
    let model = files.model();
    let eta = certificate(&files, &model.start(), 0, 0.0)?.eta;
    let centre = descend(&model, eta, steps);
    files.centre = file_of(&model, &centre);
    let tail = certificate(&files, &centre, steps, 1e-12)?;
    let contraction = 1.0 - eta * tail.smoothness / 2.0;
    let rate = 2.0 * eta * tail.alpha.powi(2) * contraction;
    let orbit = Some(Orbit { steps, distance: 1e-12, bits: 192 });
    let closes = tail.residual_norm_upper <= 0.999 * tail.rho * tail.alpha * contraction;
    let c = ModelRate { eta, rate_lower: 0.999 * rate, beta: 0.5 * rate / eta, orbit, ..tail };
    (rate > 0.0 && closes).then_some((files, c, centre))
}

/// As many changed files as GDCERT_TAMPERED says.
fn count() -> usize {
    std::env::var("GDCERT_TAMPERED").map_or(200, |count| count.parse().unwrap())
}

/// Orbits that somebody changed: what is accepted has its losses below the bound, then and later, and M_T near the centre.
#[test]
fn tampered_orbits_of_models() {
    let bases: Vec<_> = (0..8).filter_map(|seed| orbit(seed, 5 + 2 * seed)).collect();
    assert!(bases.len() >= 3, "{}", bases.len());
    let mut draw = draw(21);
    let (count, mut accepted) = (count(), 0);
    for round in 0..count {
        let (files, c, centre) = &bases[draw.below(bases.len())];
        let (mut c, mut centre, mut files) = (c.clone(), centre.clone(), files.clone());
        let mut orbit = c.orbit.clone().unwrap();
        let near = 0.5f64.powi(draw.below(44) as i32);
        let factor = 1.0 + near * (2.0 * draw.uniform() - 1.0);
        match draw.below(6) {
            0 => c.eta *= factor,
            1 => c.beta *= 1.0 + 4.0 * near,
            2 => orbit.distance *= [factor, 1e-3, 1e-5][draw.below(3)],
            3 => {
                orbit.steps = orbit.steps + draw.below(5) as u64 - 2;
                c.centre.t = orbit.steps;
            }
            4 => {
                let at = draw.below(centre.len());
                centre[at] += 1e-9 * near * (2.0 * draw.uniform() - 1.0);
                files.centre = file_of(&files.model(), &centre);
                c.centre.sha256 = sha256(&files.centre);
            }
            _ => orbit.bits = [0, 100, 1000, 1 << 40][draw.below(4)],
        }
        let (steps, distance) = (orbit.steps, orbit.distance);
        c.orbit = Some(orbit);
        if !valid(&files.check(&Certificate::ModelRate(c.clone()))) {
            continue;
        }
        accepted += 1;
        let (away, losses) = Truth::run(&files.model(), c.eta, steps, &centre, 20);
        assert!(away <= exact(distance) * exact(distance), "round {round}: {c:?}");
        let factor = exact(1.0) - exact(c.eta) * exact(c.beta);
        assert!(bounded(&losses, &factor), "round {round}: {c:?}");
        let factor = exact(1.0) - exact(c.rate_lower);
        assert!(bounded(&losses[steps as usize..], &factor), "round {round}: {c:?}");
    }
    println!("{accepted} of {count} tampered orbits of models accepted, all true");
    assert!((count / 10..count - count / 10).contains(&accepted), "{accepted}");
}

/// Refutations that somebody changed: what is accepted has a loss above the bound.
#[test]
fn tampered_refutations_of_models() {
    let mut draw = draw(22);
    let bases: Vec<_> = (0..6)
        .map(|seed| {
            let files = network(&mut self::draw(seed), 0.5);
            let (eta, beta, t) = (0.05, [10.0, 16.0][seed as usize % 2], 3 + seed);
            let (_, losses) = Truth::run(&files.model(), eta, t, &[], 1);
            let f = |t: u64| losses[t as usize].to_f64().value();
            let (loss, bound) = (f(t), f(0) * (1.0 - eta * beta).powi(t as i32));
            assert!(loss > 1.1 * bound, "{seed}: {loss} {bound}");
            let c = ModelRefuted {
                model: files.reference(),
                trained: trained(),
                reading: Reading::Own("mine".into()),
                eta,
                beta,
                t,
                loss_lower: loss * (1.0 - 1e-12),
                bound_upper: bound * (1.0 + 1e-12),
                distance: 0.0,
                bits: 192,
            };
            assert!(valid(&files.check(&Certificate::ModelRefuted(c.clone()))), "{seed}");
            (files, c)
        })
        .collect();
    let (count, mut accepted) = (count(), 0);
    for round in 0..count {
        let (files, c) = &bases[draw.below(bases.len())];
        let mut c = c.clone();
        let near = 0.5f64.powi(draw.below(44) as i32);
        let factor = 1.0 + near * (2.0 * draw.uniform() - 1.0);
        match draw.below(6) {
            0 => c.eta *= factor,
            1 => c.beta *= factor,
            2 => c.loss_lower *= factor,
            3 => c.bound_upper *= factor,
            4 => c.t = (c.t + draw.below(5) as u64).saturating_sub(2),
            _ => c.bits = [0, 100, 1000, 1 << 40][draw.below(4)],
        }
        if !valid(&files.check(&Certificate::ModelRefuted(c.clone()))) {
            continue;
        }
        accepted += 1;
        let (_, losses) = Truth::run(&files.model(), c.eta, c.t, &[], 1);
        let factor = exact(1.0) - exact(c.eta) * exact(c.beta);
        let bound = (0..c.t).fold(losses[0].clone(), |bound, _| bound * &factor);
        let (loss_lower, bound_upper) = (exact(c.loss_lower), exact(c.bound_upper));
        let holds = losses[c.t as usize] >= loss_lower && bound <= bound_upper;
        assert!(holds && bound_upper < loss_lower, "round {round}: {c:?}");
    }
    println!("{accepted} of {count} tampered refutations of models accepted, all true");
    assert!((count / 10..count - count / 10).contains(&accepted), "{accepted}");
}
