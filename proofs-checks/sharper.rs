//! The adversarial check of `sharper.md`: second derivatives, maximised over directions and sampled over the
//! box, never exceed H(rho); and gradient descent stays inside what Theorem A proves.

#![allow(non_snake_case)]

use gdcert::bounds::Blocks;
use gdcert::bounds::Sharp;
use gdcert::certificate::theorem_a::{Closed, Inputs, Region, Step, close};
use gdcert::certificate::{ScaleSearch, inputs};
use gdcert::numbers::Interval;
use gdcert::numbers::Scalar;
use gdcert::{Dims, Init, Instance, Kernel, Trained, Weights, model};
use nalgebra::{DMatrix, DVector};

/// A small generator for tests (splitmix64), with sums of uniforms for normals.
struct Rng(u64);

impl Rng {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
    fn between(&mut self, low: usize, high: usize) -> usize {
        low + (self.uniform() * (high - low + 1) as f64) as usize
    }
    fn scale(&mut self, low: f64, high: f64) -> f64 {
        low * (high / low).powf(self.uniform())
    }
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }
    fn matrices(&mut self, count: usize, rows: usize, cols: usize, std: f64) -> Vec<DMatrix<f64>> {
        (0..count)
            .map(|_| DMatrix::from_fn(rows, cols, |_, _| std * self.normal()))
            .collect()
    }
}

/// A tiny instance, with every tensor at its own random scale; p = 1 mostly, one sample mostly.
fn tiny(rng: &mut Rng, kernel: Kernel) -> Instance {
    let [N, p] = [0; 2].map(|_| if rng.uniform() < 0.8 { 1 } else { 2 });
    let (n, H) = (rng.between(1, 4), rng.between(1, 2));
    let (D, d) = (rng.between(1, 4), rng.between(1, 3));
    let mut draw = |count, rows, cols| {
        let std = rng.scale(0.2, 3.0);
        rng.matrices(count, rows, cols, std)
    };
    let (X, y) = (draw(N, n, D), draw(N, n, p));
    let (Q, K, V, O) = (draw(H, D, d), draw(H, D, d), draw(H, D, d), draw(H, d, p));
    Instance::new(kernel, X, y, Weights { Q, K, V, O }).unwrap()
}

/// W moved by `delta`, which runs over Q, K, V, head by head, column by column.
fn moved(W: &Weights, delta: &DVector<f64>, by: f64) -> Weights {
    let mut W = W.clone();
    let mut entries = delta.iter();
    for block in [&mut W.Q, &mut W.K, &mut W.V] {
        for matrix in block {
            for (x, e) in matrix.iter_mut().zip(&mut entries) {
                *x += by * e;
            }
        }
    }
    W
}

/// A direction in block `b` alone.
fn direction(rng: &mut Rng, len: usize, b: usize) -> DVector<f64> {
    let mut delta = DVector::zeros(3 * len);
    delta
        .rows_mut(b * len, len)
        .iter_mut()
        .for_each(|e| *e = rng.normal());
    delta
}

fn unit(v: DVector<f64>) -> DVector<f64> {
    let norm = v.norm();
    if norm > 0.0 { v / norm } else { v }
}

/// D^2 F[delta, .] at W, m x (3 len), by central differences of the Jacobian, extrapolated once.
fn second(instance: &Instance, W: &Weights, delta: &DVector<f64>) -> DMatrix<f64> {
    let at = |by: f64| model::jacobian(instance, &moved(W, delta, by), Trained::QKV);
    let central = |step: f64| (at(step) - at(-step)) / (2.0 * step);
    let step = 1e-4;
    (central(step) * 4.0 - central(2.0 * step)) / 3.0
}

/// The largest |D^2 F[delta_b, eps_c]| found at W by alternating maximisation: eps and z are the leading singular
/// vectors of D^2 F[delta, .], then delta that of D^2 F[eps, .].
fn maximised(instance: &Instance, W: &Weights, rng: &mut Rng, b: usize, c: usize) -> f64 {
    let len = instance.dims().block_len();
    let mut delta = unit(direction(rng, len, b));
    let mut best = 0.0f64;
    let mut to = c;
    for _ in 0..7 {
        let A = second(instance, W, &delta);
        // Power iteration: |A v| of a unit v never exceeds the norm, whatever its accuracy.
        let A = A.columns(to * len, len);
        let mut v = DVector::from_fn(len, |_, _| rng.normal());
        for _ in 0..12 {
            v = unit(A.tr_mul(&(A * unit(v))));
        }
        best = best.max((A * &v).norm());
        let mut next = DVector::zeros(3 * len);
        next.rows_mut(to * len, len).copy_from(&v);
        delta = next;
        to = b + c - to;
    }
    best
}

/// Lemmas 1 to 9: no second derivative, at any sampled point of any box, exceeds its entry of H(rho).
#[test]
fn second_derivatives_never_exceed_H() {
    let mut rng = Rng(1);
    for kernel in [Kernel::Softmax, Kernel::Gaussian] {
        let mut largest = [[0.0f64; 3]; 3];
        let mut boxes = 0;
        for _ in 0..1200 {
            let instance = tiny(&mut rng, kernel);
            let sharp: Sharp = Sharp::new(&instance, Trained::QKV);
            let len = instance.dims().block_len();
            // Half of the boxes move one block only, so that each block's terms stand alone.
            let still = rng.uniform() < 0.5;
            let only = rng.between(0, 3);
            let radii: Blocks<f64> = [0, 1, 2].map(|b| {
                let radius = rng.scale(1e-3, 3.0);
                if still && b != only { 0.0 } else { radius }
            });
            let H = sharp.H(&radii);
            let scale = instance.X().iter().map(|x| x.norm()).sum::<f64>();
            if !H.iter().flatten().all(|h| h.is_finite()) {
                continue; // the box is so large that a bound overflowed: nothing is claimed
            }
            boxes += 1;
            // What a proof uses, the upper ends in interval arithmetic, is never below. Where the moments of a saturated row
            // cancel it may be far above: rounding errors of size 1e-16 under a square root, times tokens and weights.
            let interval = Sharp::<Interval>::new(&instance, Trained::QKV);
            let enclosed = interval.H(&radii.map(Interval::from_f64));
            for (upper, plain) in enclosed.iter().flatten().zip(H.iter().flatten()) {
                let upper = upper.hi();
                assert!(
                    upper >= plain * (1.0 - 1e-9),
                    "{kernel} radii {radii:?}: {plain} as an interval up to {upper}"
                );
            }
            for _ in 0..3 {
                let mut W = instance.W().clone();
                for (b, radius) in radii.iter().enumerate() {
                    // On the sphere: bounds are reached there, if anywhere.
                    W = moved(
                        &W,
                        &unit(direction(&mut rng, len, b)),
                        *radius * (1.0 - 1e-3),
                    );
                }
                for (b, c) in [(0, 0), (0, 1), (1, 1), (0, 2), (1, 2), (2, 2)] {
                    let found = maximised(&instance, &W, &mut rng, b, c);
                    let noise = 1e-6 * H[b][c] + 1e-8 * (1.0 + scale.powi(4));
                    assert!(
                        found <= H[b][c] + noise,
                        "{kernel} {} block {b},{c} radii {radii:?}: {found} > {}",
                        instance.dims(),
                        H[b][c]
                    );
                    if H[b][c] > 1e-2 && noise < 1e-2 * H[b][c] {
                        largest[b][c] = largest[b][c].max(found / H[b][c]);
                    }
                }
            }
        }
        println!("{kernel}: {boxes} boxes, largest ratio by block {largest:.3?}");
        assert!(boxes > 1000);
    }
}

/// What gradient descent did against what Theorem A says it does.
fn run(instance: &Instance, trained: Trained, closed: &Closed, steps: usize) -> f64 {
    let mut instance = instance.clone();
    let W0 = instance.W().clone();
    let mut paths = [0.0f64; 3];
    let mut path = 0.0;
    let loss = |instance: &Instance| {
        let r = model::residual(instance, instance.W());
        0.5 * r.iter().map(|r| r * r).sum::<f64>()
    };
    let mut before = loss(&instance);
    // The residual's rounding error is a few ulps of the sums of |x| |W^V| |W^O|.
    let sizes =
        W0.V.iter()
            .zip(&W0.O)
            .map(|(v, o)| (v.norm() + closed.radii[2]) * o.norm());
    let tokens: f64 = instance.X().iter().map(|x| x.norm()).sum();
    let rounding = 1e-14 * (1.0 + tokens * sizes.sum::<f64>());
    for t in 0..steps {
        let g = model::gradient(&instance, instance.W());
        let mut W = instance.W().clone();
        let mut length = 0.0;
        let blocks = [(&mut W.Q, &g.Q), (&mut W.K, &g.K), (&mut W.V, &g.V)];
        for (b, (w, g)) in blocks.into_iter().enumerate() {
            if trained.flags()[b] {
                let square: f64 = g.iter().map(|g| g.norm_squared()).sum();
                paths[b] += closed.eta * square.sqrt();
                length += square;
                for (w, g) in w.iter_mut().zip(g) {
                    *w -= g * closed.eta;
                }
            }
        }
        path += closed.eta * length.sqrt();
        instance = instance.with_weights(W).unwrap();
        let after = loss(&instance);
        let slack = 1e-9 * before + rounding * (rounding + (2.0 * before).sqrt());
        assert!(
            after <= (1.0 - closed.conditions.rate) * before + slack,
            "step {t}: {after} after {before}, rate {}",
            closed.conditions.rate
        );
        before = after;
    }
    let W = instance.W();
    let blocks = [(&W.Q, &W0.Q), (&W.K, &W0.K), (&W.V, &W0.V)];
    let mut ratio = path / closed.conditions.path;
    for (b, (w, w0)) in blocks.into_iter().enumerate() {
        let distance: f64 = w
            .iter()
            .zip(w0)
            .map(|(w, w0)| (w - w0).norm_squared())
            .sum();
        let slack = 1.0 + 1e-9;
        assert!(
            distance.sqrt() <= closed.radii[b] * slack,
            "block {b} left its ball"
        );
        assert!(
            paths[b] <= closed.radii[b] * slack,
            "block {b}: path beyond its radius"
        );
        if closed.radii[b] > 0.0 {
            ratio = ratio.max(paths[b] / closed.radii[b]);
        }
    }
    ratio
}

/// The smallest scale, to a percent, at which Theorem A closes with this theta (any rate).
fn at_the_limit(search: &ScaleSearch, sharp: &Sharp, lazy: bool, theta: f64) -> (f64, Closed) {
    let at = |scale: f64| {
        let o = if lazy { scale } else { 1.0 };
        let sharp = sharp.clone().scaled(scale, o);
        close(
            Region::Box,
            &search.inputs(scale),
            |radii| sharp.H(radii),
            Step::Theta(theta),
            [0.0; 3],
        )
    };
    let (mut low, mut high) = (1e-6, 1e9);
    while high > 1.01 * low {
        let middle = f64::sqrt(low * high);
        if at(middle).is_ok() {
            high = middle;
        } else {
            low = middle;
        }
    }
    (high, at(high).unwrap())
}

/// Theorem A with block radii: at the limit of closing, gradient descent decreases at the proven rate and keeps
/// every block within its radius, eta L up to 1.99.
#[test]
fn descent_obeys_theorem_a() {
    let mut rng = Rng(2);
    let mut largest = 0.0f64;
    let mut runs = 0;
    for seed in 0..60 {
        for kernel in [Kernel::Softmax, Kernel::Gaussian] {
            for lazy in [true, false] {
                let n = rng.between(1, 3);
                let dims = Dims {
                    N: rng.between(1, 2),
                    n,
                    D: 6,
                    d: rng.between(2, 4),
                    H: 4,
                    p: 1,
                };
                let (init, trained) = if lazy {
                    (Init::Lazy { omega: 1.0 }, Trained::QKV)
                } else {
                    (Init::Paired { s: 1.0 }, Trained::Q)
                };
                let Ok(search) = ScaleSearch::new(dims, kernel, init, trained, seed) else {
                    continue; // no full row rank: n = 1 under softmax with W^Q alone
                };
                if search.inputs(1.0).alpha < 1e-3 {
                    continue;
                }
                let theta = [0.1, 0.5, 1.0, 1.9, 1.99][rng.between(0, 4)];
                let unit = Instance::random(dims, kernel, init, seed).unwrap();
                let sharp = Sharp::new(&unit, trained);
                let (scale, closed) = at_the_limit(&search, &sharp, lazy, theta);
                let init = if lazy {
                    Init::Lazy { omega: scale }
                } else {
                    Init::Paired { s: scale }
                };
                let instance = Instance::random(dims, kernel, init, seed).unwrap();
                largest = largest.max(run(&instance, trained, &closed, 120));
                runs += 1;
            }
        }
    }
    println!("{runs} runs, largest path / radius {largest:.3}");
    assert!(runs > 150);
}

/// The same from where gradient descent itself came close to a solution (the tail), all blocks resolved.
#[test]
fn descent_obeys_theorem_a_in_the_tail() {
    let dims = Dims {
        N: 2,
        n: 3,
        D: 6,
        d: 4,
        H: 4,
        p: 1,
    };
    let mut closings = 0;
    for seed in 0..6 {
        for kernel in [Kernel::Softmax, Kernel::Gaussian] {
            let mut instance = Instance::random(dims, kernel, Init::Lecun, seed).unwrap();
            let eta = 0.5
                / inputs(&instance, Trained::QKV, Trained::QKV)
                    .unwrap()
                    .jacobian
                    .powi(2);
            for _ in 0..100 {
                for _ in 0..25 {
                    let g = model::gradient(&instance, instance.W());
                    let mut W = instance.W().clone();
                    for (w, g) in [(&mut W.Q, &g.Q), (&mut W.K, &g.K), (&mut W.V, &g.V)] {
                        for (w, g) in w.iter_mut().zip(g) {
                            *w -= g * eta;
                        }
                    }
                    instance = instance.with_weights(W).unwrap();
                }
                let centre: Inputs = inputs(&instance, Trained::QKV, Trained::QKV).unwrap();
                let sharp = Sharp::new(&instance, Trained::QKV);
                if let Ok(closed) = close(
                    Region::Box,
                    &centre,
                    |radii| sharp.H(radii),
                    Step::Eta(eta),
                    [0.0; 3],
                ) {
                    run(&instance, Trained::QKV, &closed, 100);
                    closings += 1;
                    break;
                }
            }
        }
    }
    println!("{closings} of 12 tails closed");
    assert!(closings >= 6);
}
