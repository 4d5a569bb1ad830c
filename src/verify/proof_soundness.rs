//! What a proof rests on and what it says, against 400-bit arithmetic: the sharp H, and every number of a certificate.

use crate::bounds::soundness::{
    definite, exact_curvature, holds, instances, positive, random, squares,
};
use crate::bounds::{BlockMatrix, Blocks, Sharp};
use crate::certificate::{Box3, Certificate, MARGIN, ScaleSearch, TheoremA};
use crate::certify::{Certified, Goal, certify};
use crate::eta::Eta;
use crate::model::{self, Kernel, Trained};
use crate::orbit::Settings;
use crate::spectrum::Reading;
use crate::{Dims, Init, Instance, Weights};
use gdcert_numbers::Interval;
use gdcert_numbers::Scalar;
use gdcert_numbers::oracle::{Big, Oracle, big};
use nalgebra::DMatrix;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Radii from 1e-6 to 10; some 0.
fn radii(rng: &mut ChaCha8Rng) -> Blocks<f64> {
    [(); 3].map(|()| match rng.next_u32() % 4 {
        0 => 0.0,
        _ => 10f64.powf(3.5 * random(rng) - 2.5),
    })
}

/// The interval H holds the exact one, and its upper end is not above the one computed in f64 by more than rounding.
#[test]
fn the_sharp_H_is_enclosed() {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let (mut entries, mut finite) = (0, 0);
    for (instance, trained) in instances(120) {
        Oracle::clear();
        let interval = Sharp::<Interval>::new(&instance, trained);
        let exact = Sharp::<Oracle>::new(&instance, trained);
        let plain = Sharp::<f64>::new(&instance, trained);
        // Moments are differences of terms of these sizes.
        let size = size(&instance);
        for case in 0..4 {
            let radii = radii(&mut rng);
            let (u, o) = [(1.0, 1.0), (3.0, 1.0), (1e4, 1e4), (0.0, 7.0)][case % 4];
            let i = interval
                .clone()
                .scaled(Interval::from_f64(u), Interval::from_f64(o))
                .H(&radii.map(Interval::from_f64));
            let e = exact
                .clone()
                .scaled(Oracle::from_f64(u), Oracle::from_f64(o))
                .H(&radii.map(Oracle::from_f64));
            let f = plain.clone().scaled(u, o).H(&radii);
            for ((i, e), f) in flat(&i).zip(flat(&e)).zip(flat(&f)) {
                assert!(
                    holds(*i, &e.get()),
                    "{} {trained} {radii:?}: {:e} not in {i:?}",
                    instance.kernel(),
                    e.value()
                );
                entries += 1;
                if i.hi().is_finite() {
                    finite += 1;
                    assert!(
                        // Saturated rows have moments that cancel; eighth roots widen what is left of them.
                        i.hi() <= f * (1.0 + 1e-4) + 1e-10 * size * (1.0 + u) * (1.0 + o),
                        "{} {trained} {radii:?}: {f:e} {i:?}",
                        instance.kernel()
                    );
                }
            }
        }
    }
    eprintln!("{entries} entries of H, {finite} of them finite");
    assert!(entries > 4_000 && 10 * finite > 9 * entries);
}

fn flat<T>(H: &BlockMatrix<T>) -> impl Iterator<Item = &T> {
    H.iter().flatten()
}

fn size(instance: &Instance) -> f64 {
    let norm = |w: &[DMatrix<f64>]| w.iter().map(|w| w.norm()).fold(1.0, f64::max);
    let W = instance.W();
    norm(instance.X()).powi(5) * norm(&W.Q).powi(2) * norm(&W.K).powi(2) * norm(&W.V) * norm(&W.O)
}

/// A direction of norm 1 in one block, as 400-bit numbers but for the rounding of its f64 entries.
fn direction(rng: &mut ChaCha8Rng, dims: Dims) -> Vec<DMatrix<Oracle>> {
    let entries: Vec<_> = (0..dims.H)
        .map(|_| DMatrix::from_fn(dims.D, dims.d, |_, _| random(rng)))
        .collect();
    let square = entries
        .iter()
        .flat_map(|e| e.iter())
        .fold(Oracle::from_f64(0.0), |s, &x| {
            s + Oracle::from_f64(x) * Oracle::from_f64(x)
        });
    let norm = square.sqrt();
    let unit = |x: f64| Oracle::from_f64(x) / norm;
    entries.into_iter().map(|e| e.map(unit)).collect()
}

fn add(W: &mut Weights<Oracle>, block: usize, delta: &[DMatrix<Oracle>], by: Oracle) {
    let block = [&mut W.Q, &mut W.K, &mut W.V].into_iter().nth(block);
    for (w, d) in block.unwrap().iter_mut().zip(delta) {
        for (w, d) in w.iter_mut().zip(d.iter()) {
            *w += by * *d;
        }
    }
}

/// |D^2 F[delta, eps]| at W by central differences: in 400 bits a step of 2^-80 leaves an error near 2^-160.
fn second_derivative(
    instance: &Instance,
    W: &Weights<Oracle>,
    (b, delta): (usize, &[DMatrix<Oracle>]),
    (c, eps): (usize, &[DMatrix<Oracle>]),
) -> Big {
    let step = 2f64.powi(-80);
    let at = |s: f64, t: f64| {
        let mut W = W.clone();
        add(&mut W, b, delta, Oracle::from_f64(s * step));
        add(&mut W, c, eps, Oracle::from_f64(t * step));
        model::residual(instance, &W)
    };
    let [pp, pm, mp, mm] = [at(1.0, 1.0), at(1.0, -1.0), at(-1.0, 1.0), at(-1.0, -1.0)];
    let scale = big(0.25) / (big(step) * big(step));
    let mut square = big(0.0);
    for k in 0..pp.len() {
        let d = (pp[k] - pm[k] - mp[k] + mm[k]).get() * &scale;
        square += &d * &d;
    }
    square.sqrt()
}

/// A point of the box, on the sphere of each block: bounds are reached there, if anywhere.
fn point_of_box(
    rng: &mut ChaCha8Rng,
    instance: &Instance,
    radii: &Blocks<f64>,
    on: Blocks<bool>,
) -> Weights<Oracle> {
    let mut W = instance.W().map(Oracle::from_f64);
    for b in 0..3 {
        if on[b] && radii[b] > 0.0 {
            let delta = direction(rng, instance.dims());
            // The norm of the direction is 1 to 400 bits.
            add(
                &mut W,
                b,
                &delta,
                Oracle::from_f64(radii[b] * (1.0 - 1e-15)),
            );
        }
    }
    W
}

/// What H claims: no second derivative in its box is above its upper end. (The adversarial search for one is in
/// `proofs-checks/sharper.rs`; here nothing is rounded, so that no slack hides anything.)
#[test]
fn second_derivatives_stay_below_the_upper_end_of_H() {
    let mut rng = ChaCha8Rng::seed_from_u64(12);
    let mut compared = 0;
    let mut largest = 0.0f64;
    for (instance, trained) in instances(140) {
        let H = Sharp::<Interval>::new(&instance, trained);
        let on = trained.flags();
        for _ in 0..2 {
            Oracle::clear();
            let radii = radii(&mut rng);
            let H = H.H(&radii.map(Interval::from_f64));
            let W = point_of_box(&mut rng, &instance, &radii, on);
            for (b, c) in [(0, 0), (0, 1), (1, 1), (0, 2), (1, 2), (2, 2)] {
                if !(on[b] && on[c]) || H[b][c].hi() == f64::INFINITY {
                    continue;
                }
                let [delta, eps] = [(); 2].map(|()| direction(&mut rng, instance.dims()));
                let found = second_derivative(&instance, &W, (b, &delta), (c, &eps));
                let found = found.to_f64().value();
                // 1e-12: the error of the differences, far below 2^-100 times the sizes here.
                assert!(
                    found <= H[b][c].hi() * (1.0 + 1e-15) + 1e-12,
                    "{} {trained} block {b},{c} {radii:?}: {found:e} > {:?}",
                    instance.kernel(),
                    H[b][c]
                );
                compared += 1;
                if H[b][c].hi() > 1e-6 {
                    largest = largest.max(found / H[b][c].hi());
                }
            }
        }
    }
    eprintln!("{compared} second derivatives, largest ratio to H {largest:.3}");
    assert!(compared > 500, "{compared}");
}

/// lambda_min(A A') <= c, in exact arithmetic.
fn smallest_is_at_most(A: &DMatrix<Big>, c: &Big) -> bool {
    A.ncols() < A.nrows() || !definite(A, &(c * big(1.0 + 1e-14)), 1.0)
}

fn smallest_is_at_least(A: &DMatrix<Big>, c: &Big) -> bool {
    definite(A, &(c * big(1.0 - 1e-14)), 1.0)
}

fn largest_is_at_most(A: &DMatrix<Big>, c: &Big) -> bool {
    definite(A, &(c * big(1.0 + 1e-14)), -1.0)
}

fn jacobian(instance: &Instance, blocks: Trained) -> DMatrix<Big> {
    let W = instance.W().map(Oracle::from_f64);
    model::jacobian(instance, &W, blocks).map(Oracle::get)
}

/// beta of a reading at the instance's weights is at most `beta`.
fn beta_is_at_most(instance: &Instance, trained: Trained, reading: Reading, beta: f64) -> bool {
    let Dims { N, n, D, H, p, .. } = instance.dims();
    let W = instance.W().map(Oracle::from_f64);
    let least = match reading {
        Reading::Ntk => return smallest_is_at_most(&jacobian(instance, trained), &big(beta)),
        Reading::Value => {
            return smallest_is_at_most(&jacobian(instance, "V".parse().unwrap()), &big(beta));
        }
        Reading::PerHead => {
            let each = W.O.iter().map(|o| squares(o).0.get());
            each.min_by(|a, b| a.partial_cmp(b).unwrap()).unwrap()
        }
        Reading::Stacked => {
            let rows: Vec<_> = W.O.iter().flat_map(|o| o.row_iter()).collect();
            squares(&DMatrix::from_rows(&rows)).0.get()
        }
    };
    assert!(p <= 2 && H * D >= N * n);
    let mut B = DMatrix::from_element(N * n, H * D, big(0.0));
    for i in 0..N {
        for h in 0..H {
            let S = model::Head::new(instance, &W, i, h).S;
            for (k, e) in (0..n).flat_map(|k| (0..D).map(move |e| (k, e))) {
                let terms = (0..n).map(|j| S[(k, j)].get() * big(instance.X()[i][(j, e)]));
                B[(i * n + k, h * D + e)] = terms.fold(big(0.0), |s, x| s + x);
            }
        }
    }
    smallest_is_at_most(&B, &(big(beta) / least))
}

/// |H| <= c for a symmetric matrix.
fn norm_is_at_most(H: &BlockMatrix<Oracle>, c: &Big) -> bool {
    let c = c * big(1.0 + 1e-14) + big(1e-300);
    [1.0, -1.0].iter().all(|&sign| {
        positive(DMatrix::from_fn(3, 3, |a, b| {
            let h = H[a][b].get() * big(sign);
            if a == b { &c + h } else { h }
        }))
    })
}

/// Every number of the certificate, and every condition of the theorem between the numbers, in exact arithmetic.
fn check_numbers(instance: &Instance, centre: &Instance, c: &TheoremA) {
    Oracle::clear();
    let on = c.trained.flags();
    assert!(
        beta_is_at_most(instance, c.trained, c.reading.parse().unwrap(), c.beta),
        "beta {c:?}"
    );
    let less = 1.0 - 0.9 * MARGIN; // the bounds hold with nearly the whole margin to spare
    let square = |x: f64| big(x) * big(x);
    let resolved = c.region.as_ref().map_or(c.trained, |b| b.resolved);
    assert!(smallest_is_at_least(
        &jacobian(centre, resolved),
        &square(c.alpha_lower / less)
    ));
    let J = jacobian(centre, c.trained);
    assert!(largest_is_at_most(
        &J,
        &square(c.jacobian_norm_upper * less)
    ));
    let W = centre.W().map(Oracle::from_f64);
    let r = model::residual(centre, &W).into_iter().map(Oracle::get);
    let r2 = r.fold(big(0.0), |s, r| s + &r * &r);
    assert!(r2 <= square(c.residual_norm_upper * less));

    let [alpha_c, jacobian_norm, R, rho, h, alpha, L, eta, rate, beta] = [
        c.alpha_lower,
        c.jacobian_norm_upper,
        c.residual_norm_upper,
        c.rho,
        c.h_rho_upper,
        c.alpha,
        c.smoothness,
        c.eta,
        c.rate_lower,
        c.beta,
    ]
    .map(big);
    let zero = big(0.0);
    let contraction = big(1.0) - &eta * &L / big(2.0);
    assert!(contraction > zero && alpha > zero);
    // How far the Jacobian can change, and what alpha_c loses.
    let (change, loss) = match &c.region {
        None => {
            let sharp = Sharp::<Oracle>::new(centre, c.trained).H(&[Oracle::from_f64(c.rho); 3]);
            let crude = exact_curvature(centre, c.trained).h(c.rho).get();
            assert!(crude <= &h * big(less) || norm_is_at_most(&sharp, &(&h * big(less))));
            assert!(&rho * &alpha * &contraction >= R);
            (&rho * &h, &rho * &h)
        }
        Some(Box3 {
            resolved,
            radii,
            jacobian_norms_upper,
        }) => {
            let radii: Blocks<f64> = (*radii).into();
            let norms: Blocks<f64> = (*jacobian_norms_upper).into();
            let H = Sharp::<Oracle>::new(centre, c.trained).H(&radii.map(Oracle::from_f64));
            assert!(norm_is_at_most(&H, &(&h * big(less))));
            let e = [0, 1, 2]
                .map(|a| (0..3).fold(zero.clone(), |s, b| s + H[a][b].get() * big(radii[b])));
            let tau = big(2.0) * &R / ((&alpha_c + &alpha) * &contraction);
            assert!(tau <= rho);
            for b in 0..3 {
                if !on[b] {
                    assert_eq!((radii[b], norms[b]), (0.0, 0.0));
                    continue;
                }
                let block: Trained = ["Q", "K", "V"][b].parse().unwrap();
                let J_b = jacobian(centre, block);
                let bound = square(norms[b] * less) + big(1e-300);
                assert!(largest_is_at_most(&J_b, &bound), "block {b}");
                let slope =
                    (big(norms[b]) / &alpha_c + (big(norms[b]) + &e[b]) / &alpha) / big(2.0);
                let need = if slope < big(1.0) {
                    &tau * slope
                } else {
                    tau.clone()
                };
                assert!(big(radii[b]) >= need, "block {b}");
            }
            let length = |flags: Blocks<bool>| {
                let squares = (0..3).filter(|&b| flags[b]).map(|b| &e[b] * &e[b]);
                squares.fold(big(0.0), |s, x| s + x).sqrt()
            };
            (length([true; 3]), length(resolved.flags()))
        }
    };
    assert!(alpha <= &alpha_c - loss);
    let jacobian = jacobian_norm + change;
    assert!(L >= &jacobian * &jacobian + &R * &h);
    assert!(rate <= big(2.0) * &eta * &alpha * &alpha * contraction);
    assert!(rate >= &eta * beta && rate > zero);
}

/// h_rho_upper of a certificate bounds second derivatives over its region.
fn check_region(rng: &mut ChaCha8Rng, centre: &Instance, c: &TheoremA) {
    let on = c.trained.flags();
    let count = on.iter().filter(|&&on| on).count() as f64;
    let radii: Blocks<f64> = match &c.region {
        Some(region) => region.radii.into(),
        // Inside the ball.
        None => [c.rho / count.sqrt(); 3],
    };
    let W = point_of_box(rng, centre, &radii, on);
    for (b, d) in [(0, 0), (0, 1), (1, 1), (0, 2), (1, 2)] {
        if on[b] && on[d] {
            let [delta, eps] = [(); 2].map(|()| direction(rng, centre.dims()));
            let found = second_derivative(centre, &W, (b, &delta), (d, &eps));
            assert!(found <= big(c.h_rho_upper));
        }
    }
}

/// Certificates of both kernels, of every subset, of p = 1 and 2, at M_0 and of tails, with every reading.
#[test]
fn every_number_of_a_certificate_holds_in_exact_arithmetic() {
    let mut rng = ChaCha8Rng::seed_from_u64(13);
    let (mut at_start, mut tails, mut boxes) = (0, 0, 0);
    for case in 0..144u64 {
        let pick = |k: u64, from: &[usize]| from[(case / k) as usize % from.len()];
        let kernel = [Kernel::Softmax, Kernel::Gaussian][pick(1, &[0, 1])];
        let (init, subset) = match (case / 2) % 9 {
            0 => (Init::Lazy { omega: 3e3 }, "QKV"),
            1 => (Init::Lazy { omega: 1e6 }, "QKV"),
            2 => (Init::Lazy { omega: 1e5 }, "QV"),
            3 => (Init::Lazy { omega: 1e2 }, "V"),
            4 => (Init::Paired { s: 1e6 }, "Q"),
            5 => (Init::Paired { s: 1e5 }, "QK"),
            6 => (Init::Paired { s: 1e6 }, "K"),
            7 => (Init::Paired { s: 1e7 }, "QKV"),
            _ => (Init::Lecun, "QKV"),
        };
        let trained: Trained = subset.parse().unwrap();
        let dims = Dims {
            N: pick(18, &[1, 2]),
            n: 2,
            D: pick(18, &[4, 5]),
            d: pick(36, &[2, 3]),
            H: 4,
            p: pick(36, &[1, 2]),
        };
        let reading = match case % 5 {
            1 if trained.v() => Some(Reading::Value),
            2 => Some(Reading::Ntk),
            3 if trained.v() => Some(Reading::Stacked),
            _ => None,
        };
        let goal = Goal {
            trained,
            reading: reading.map(String::from),
            claims: Vec::new(),
            eta: if init != Init::Lecun && case % 3 == 0 {
                Eta::Certified
            } else {
                Eta::Auto
            },
            tail: if init == Init::Lecun { 2000 } else { 0 },
            orbit: Some(Settings::QUICK),
        };
        // A third of them at the smallest scale that closes, where a ball often does not do.
        let init = match goal.eta {
            Eta::Certified => {
                let search = ScaleSearch::new(dims, kernel, init, trained, case);
                let Ok(scale) = search.and_then(|search| search.smallest(0.5)) else {
                    continue; // no full row rank
                };
                init.with_scale(1.002 * scale)
            }
            _ => init,
        };
        let instance = Instance::random(dims, kernel, init, case).unwrap();
        let found = certify(&instance, &goal).unwrap();
        let Certified::Rate {
            certificate: Certificate::TheoremA(c),
            proven,
            ..
        } = found
        else {
            continue;
        };
        let centre = proven.centre.as_ref().unwrap_or(&instance);
        check_numbers(&instance, centre, &c);
        check_region(&mut rng, centre, &c);
        boxes += usize::from(c.region.is_some());
        if proven.t == 0 {
            at_start += 1;
        } else {
            tails += 1;
        }
    }
    eprintln!("{at_start} certificates at M_0, {tails} of tails; {boxes} with a box");
    assert!(at_start > 60 && tails > 4 && boxes > 10 && boxes < at_start);
}

/// An instance of a size that users meet only by accident: tensors from 1e-150 to 1e150 that compensate each other or do not, one
/// token, rows of attention that are nearly one-hot, heads without output.
fn extreme(case: u64) -> (Instance, Goal) {
    let mut rng = ChaCha8Rng::seed_from_u64(case);
    let mut pick = |from: &[i32]| from[rng.next_u32() as usize % from.len()];
    let kernel = [Kernel::Softmax, Kernel::Gaussian][pick(&[0, 1]) as usize];
    let subsets = ["QKV", "V", "QV", "KV", "Q", "K", "QK"];
    let trained: Trained = subsets[pick(&[0, 0, 1, 2, 3, 4, 5, 6]) as usize]
        .parse()
        .unwrap();
    let p = pick(&[1, 1, 2, 3]) as usize;
    let dims = Dims {
        N: pick(&[1, 2]) as usize,
        n: pick(&[1, 1, 2, 3]) as usize,
        D: pick(&[3, 5, 7]) as usize,
        d: (pick(&[1, 2, 3]) as usize).max(p),
        H: pick(&[2, 2, 4]) as usize,
        p,
    };
    let power = 10f64.powi(pick(&[2, 3, 4, 5, 6]));
    let init = match pick(&[0, 0, 0, 0, 1, 2]) {
        0 if trained.v() => Init::Lazy { omega: power },
        0 => Init::Paired { s: power },
        1 => Init::ConstantValue { s: power },
        _ => Init::Lecun,
    };
    let drawn = Instance::random(dims, kernel, init, case).unwrap();
    let (mut X, mut y, mut W) = (drawn.X().to_vec(), drawn.y().to_vec(), drawn.W().clone());
    let scale = |to: &mut [DMatrix<f64>], by: f64| to.iter_mut().for_each(|w| *w *= by);
    // Rows whose largest weight is 1 up to 1e-3, 1e-15 or less.
    scale(&mut W.Q, f64::from(pick(&[1, 1, 10, 100, 400])));
    if pick(&[0, 0, 0, 1]) == 1 {
        W.O[0].fill(0.0);
    }
    scale(&mut y, 10f64.powi(pick(&[0, -1, -3, -5])));
    let sizes = [0, 0, 100, -100, 300, -300, 498, -498];
    match pick(&[0, 1, 1, 2]) {
        0 => {}
        // The same problem: scores, values and outputs over labels stay as they are.
        1 => {
            let [a, b] = [pick(&sizes), pick(&sizes)].map(|k| 2f64.powi(k));
            scale(&mut X, a);
            let weights = [&mut W.Q, &mut W.K, &mut W.V];
            weights.into_iter().for_each(|w| scale(w, 1.0 / a));
            scale(&mut y, b);
            scale(&mut W.O, b);
        }
        _ => {
            let by = 2f64.powi(pick(&sizes));
            match pick(&[0, 1, 2, 3]) {
                0 => scale(&mut y, by),
                1 => scale(&mut W.O, by),
                2 => scale(&mut W.V, by),
                _ => {
                    // Scores stay.
                    scale(&mut X, by);
                    let weights = [&mut W.Q, &mut W.K];
                    weights.into_iter().for_each(|w| scale(w, 1.0 / by));
                }
            }
        }
    }
    let reading = pick(&[-1, -1, 0, 1, 2, 3]);
    let goal = Goal {
        trained,
        reading: usize::try_from(reading)
            .ok()
            .map(|r| Reading::ALL[r].into()),
        claims: Vec::new(),
        eta: [Eta::Auto, Eta::Certified][pick(&[0, 1]) as usize],
        tail: 0,
        orbit: Some(Settings::QUICK),
    };
    let tail = if goal.eta == Eta::Auto {
        pick(&[0, 0, 50])
    } else {
        0
    };
    let instance = Instance::new(kernel, X, y, W).unwrap();
    (
        instance,
        Goal {
            tail: tail as usize,
            ..goal
        },
    )
}

/// What `certify` writes `check` accepts, and it is true; `GDCERT_INSTANCES` says on how many instances.
#[test]
fn certificates_of_extreme_instances_are_accepted_and_true() {
    let count = std::env::var("GDCERT_INSTANCES").map_or(1000, |n| n.parse().unwrap());
    let (mut rates, mut obstructed, mut refused, mut without_step) = (0, 0, 0, 0);
    let mut disagreements = Vec::new();
    for case in 0..count {
        let (instance, goal) = extreme(case);
        let found = match certify(&instance, &goal) {
            Ok(found) => found,
            Err(e) => {
                // No step can be made of |J_0|, or numbers overflow.
                let said = e.to_string();
                let known = said.contains("--eta") || said.contains("overflow");
                assert!(known, "{case}: {said}");
                without_step += 1;
                continue;
            }
        };
        match found {
            Certified::Rate {
                certificate: Certificate::TheoremA(c),
                proven,
                ..
            } => {
                rates += 1;
                let least = instance.W().O.iter().all(|o| o.amax() > 0.0);
                assert!(
                    c.reading != Reading::PerHead.name() || least,
                    "{case}: beta = 0"
                );
                // The oracle's norms are those of one or two outputs.
                if instance.dims().p <= 2 {
                    let centre = proven.centre.as_ref().unwrap_or(&instance);
                    check_numbers(&instance, centre, &c);
                }
            }
            Certified::Rate { .. } => unreachable!("a rate is proven by Theorem A"),
            Certified::Obstructed(Certificate::Obstructed(c)) => {
                obstructed += 1;
                assert!(big(c.loss_lower) <= exact_hull(&instance), "{case}");
            }
            Certified::Obstructed(_) => unreachable!("an obstruction has its own kind"),
            Certified::Refused(why) if why.condition.contains("independent check") => {
                disagreements.push(format!("{case}: {why}"));
            }
            Certified::Refused(_) | Certified::Refuted(_) => refused += 1,
        }
    }
    eprintln!(
        "{count} instances: {rates} rates, {obstructed} obstructed, {refused} refused, {without_step} without a step"
    );
    assert!(
        disagreements.is_empty(),
        "{} not accepted by check: {:#?}",
        disagreements.len(),
        &disagreements[..disagreements.len().min(20)]
    );
    assert!(8 * rates > count && 50 * obstructed > count);
}

/// The hull bound in exact arithmetic.
fn exact_hull(instance: &Instance) -> Big {
    Oracle::clear();
    let mut sum = big(0.0);
    for (i, y) in instance.y().iter().enumerate() {
        let X = instance.X()[i].map(Oracle::from_f64);
        for c in 0..y.ncols() {
            let (mut low, mut high) = (big(0.0), big(0.0));
            for h in 0..instance.dims().H {
                let [V, O] =
                    [&instance.W().V[h], &instance.W().O[h]].map(|w| w.map(Oracle::from_f64));
                let u = model::product(&X, &model::product(&V, &O));
                let u: Vec<Big> = u.column(c).iter().map(|u| u.get()).collect();
                let end = |pick: fn(&Big, &Big) -> bool| {
                    u.iter()
                        .cloned()
                        .reduce(|a, b| if pick(&a, &b) { a } else { b })
                        .unwrap()
                };
                low += end(|a, b| a < b);
                high += end(|a, b| a > b);
            }
            for &y in y.column(c).iter() {
                let outside = [&low - big(y), big(y) - &high, big(0.0)];
                let outside = outside
                    .into_iter()
                    .reduce(|a, b| if a > b { a } else { b })
                    .unwrap();
                sum += &outside * &outside;
            }
        }
    }
    sum * big(0.5)
}
