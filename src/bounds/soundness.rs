//! Enclosures against 400-bit arithmetic (`dashu-float`) and matrices with known singular values.

use super::curvature::Token;
use super::enclosure::{Ball, HeadBall};
use super::{Curvature, Enclosure};
use crate::model::{self, Kernel, Trained};
use crate::spectrum::Reading;
use crate::{Dims, Init, Instance};
use gdcert_numbers::Bound;
use gdcert_numbers::interval::Interval;
use gdcert_numbers::oracle::{Big, Oracle, big};
use gdcert_numbers::verified::{
    self, Symmetric, sigma_max_upper, sigma_min_lower, sigma_min_upper,
};
use gdcert_numbers::{DoubleDouble, Scalar};
use nalgebra::DMatrix;
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Whether the exact x lies in the interval.
pub(crate) fn holds(interval: Interval, x: &Big) -> bool {
    (interval.lo() == f64::NEG_INFINITY || &big(interval.lo()) <= x)
        && (interval.hi() == f64::INFINITY || x <= &big(interval.hi()))
}

pub(crate) fn random(rng: &mut ChaCha8Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 * 2f64.powi(-52) - 1.0
}

/// A finite f64 of any size, often special.
fn any_f64(rng: &mut ChaCha8Rng) -> f64 {
    match rng.next_u32() % 8 {
        0 => 0.0,
        1 => f64::from_bits(rng.next_u64() % 64),
        2 => (rng.next_u32() % 20) as f64 - 10.0,
        3 | 4 => random(rng) * 2f64.powi((rng.next_u32() % 80) as i32 - 40),
        _ => loop {
            let x = f64::from_bits(rng.next_u64());
            if x.is_finite() {
                break x;
            }
        },
    }
}

fn any_interval(rng: &mut ChaCha8Rng) -> Interval {
    let a = any_f64(rng);
    match rng.next_u32() % 3 {
        0 => Interval::new(a, a),
        1 => Interval::new(a.min(a.next_up()).max(-f64::MAX), a.next_up().min(f64::MAX)),
        _ => {
            let b = any_f64(rng);
            Interval::new(a.min(b), a.max(b))
        }
    }
}

/// The ends and a point between.
fn points(x: Interval, rng: &mut ChaCha8Rng) -> [f64; 3] {
    let t = 0.5 * (random(rng) + 1.0);
    let between = (x.lo() * (1.0 - t) + x.hi() * t).clamp(x.lo(), x.hi());
    [x.lo(), x.hi(), between]
}

#[test]
fn operations_enclose_every_exact_result() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for _ in 0..20_000 {
        let (x, y) = (any_interval(&mut rng), any_interval(&mut rng));
        for a in points(x, &mut rng) {
            for b in points(y, &mut rng) {
                // Sums span 2100 binary digits: exact arithmetic needs unlimited precision.
                let exact = |v: f64| Big::try_from(v).unwrap().with_precision(2400).value();
                let (p, q) = (exact(a), exact(b));
                assert!(holds(x + y, &(&p + &q)), "{x:?} + {y:?}");
                assert!(holds(x - y, &(&p - &q)), "{x:?} - {y:?}");
                assert!(holds(x * y, &(&p * &q)), "{x:?} * {y:?}");
                if b != 0.0 {
                    assert!(holds(x / y, &(&p / &q)), "{x:?} / {y:?}");
                }
            }
            if a >= 0.0 {
                assert!(holds(x.sqrt(), &big(a).sqrt()), "sqrt {x:?}");
            }
            assert!(holds(x.square(), &(big(a) * big(a))));
            let (c, r) = x.mid_radius();
            assert!(r.is_infinite() || holds(Interval::around(c, r), &big(a)));
        }
    }
}

#[test]
fn invalid_operations_prove_nothing() {
    let one = Interval::from_f64(1.0);
    let zero = Interval::from_f64(0.0);
    for x in [
        one / zero,
        zero / zero,
        Interval::ENTIRE - Interval::ENTIRE,
        Interval::ENTIRE * zero,
        Interval::from_f64(-1.0).sqrt(),
        Interval::from_f64(f64::NAN),
        Interval::from_f64(f64::INFINITY),
        Interval::new(2.0, 1.0),
        Interval::around(1.0, f64::NAN),
        Interval::around(f64::NAN, 1.0),
    ] {
        assert_eq!(x, Interval::ENTIRE);
    }
    let huge = Interval::from_f64(f64::MAX);
    assert_eq!((huge + huge).lo(), f64::MAX);
    assert_eq!((huge * huge).hi(), f64::INFINITY);
    assert_eq!((-(huge * huge)).hi(), -f64::MAX);
}

#[test]
fn exponentials_are_enclosed_over_the_whole_range() {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    for case in 0..6_000 {
        let x = match case % 6 {
            0 => random(&mut rng) * 745.2,
            1 => -700.0 - 46.0 * random(&mut rng).abs(),
            2 => random(&mut rng) * 2f64.powi(-(case % 60)),
            3 => random(&mut rng) * 2.0,
            4 => (case as f64 / 12.0 - 250.0) * std::f64::consts::LN_2 * 2.0,
            _ => 709.0 + random(&mut rng),
        };
        let exact = big(x).exp();
        let found = Interval::from_f64(x).exp();
        assert!(holds(found, &exact), "exp({x:e}) = {found:?}");
        let ulps = found.hi().to_bits() - found.lo().to_bits();
        assert!(ulps <= if x < -690.0 { 4 } else { 2 }, "exp({x:e}): {ulps}");
        let wide = Interval::new(x, x + random(&mut rng).abs() * 1e-3);
        let end = big(wide.hi()).exp();
        assert!(holds(wide.exp(), &exact) && holds(wide.exp(), &end));
    }
    assert_eq!(Interval::from_f64(0.0).exp(), Interval::from_f64(1.0));
    assert_eq!(Interval::from_f64(-1e9).exp().lo(), 0.0);
    assert_eq!(Interval::from_f64(1e9).exp().hi(), f64::INFINITY);
}

#[test]
fn double_double_keeps_its_stated_errors() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let mut worst = [0.0f64; 6];
    for case in 0..6_000 {
        let mut draw = |e: i32| {
            let hi = random(&mut rng) * 2f64.powi(e);
            DoubleDouble::new(hi, hi * random(&mut rng) * 2f64.powi(-53))
        };
        let (a, b) = (draw(case % 40 - 20), draw(case % 7));
        let exact = |x: DoubleDouble| big(x.hi()) + big(x.lo());
        let (x, y) = (exact(a), exact(b));
        let positive = if a.hi() < 0.0 { -a } else { a };
        let exponent = draw(case % 10);
        let found = [
            (a + b, &x + &y),
            (a - b, &x - &y),
            (a * b, &x * &y),
            (a / b, &x / &y),
            (positive.sqrt(), exact(positive).sqrt()),
            (exponent.exp(), exact(exponent).exp()),
        ];
        for (worst, (got, expected)) in worst.iter_mut().zip(found) {
            let error = ((exact(got) - &expected) / &expected)
                .to_f64()
                .value()
                .abs();
            *worst = worst.max(error);
        }
    }
    let u2 = 2f64.powi(-106);
    eprintln!("double-double errors in u^2: {:?}", worst.map(|w| w / u2));
    let stated = [3.01, 3.01, 5.0, 15.01, 4.0, 2f64.powi(8)];
    for (worst, stated) in worst.into_iter().zip(stated) {
        assert!(worst <= stated * u2, "{worst:e} above {stated} u^2");
    }
}

/// Whether the exact symmetric matrix s (A A' - c I) is positive definite, by 400-bit elimination.
pub(crate) fn definite(A: &DMatrix<Big>, c: &Big, s: f64) -> bool {
    let m = A.nrows();
    positive(DMatrix::from_fn(m, m, |i, j| {
        let mut sum = big(0.0);
        for l in 0..A.ncols() {
            sum += &A[(i, l)] * &A[(j, l)];
        }
        if i == j {
            sum -= c;
        }
        sum * big(s)
    }))
}

/// Whether a symmetric matrix is positive definite, by elimination.
pub(crate) fn positive(mut G: DMatrix<Big>) -> bool {
    let m = G.nrows();
    for k in 0..m {
        if G[(k, k)] <= big(0.0) {
            return false;
        }
        for i in k + 1..m {
            let f = &G[(i, k)] / &G[(k, k)];
            for j in k + 1..m {
                let t = &f * &G[(k, j)];
                G[(i, j)] -= t;
            }
        }
    }
    true
}

/// lower <= sigma_min(A) <= upper and |A| <= largest, in exact arithmetic.
fn check_extremes(A: &DMatrix<Big>, lower: f64, upper: f64, largest: f64) {
    let tiny = big(1.0 - 2f64.powi(-50)); // keeps the elimination itself away from singularity
    let square = |x: f64| big(x) * big(x);
    assert!(
        lower == 0.0 || definite(A, &(square(lower) * &tiny), 1.0),
        "lower {lower:e}"
    );
    assert!(
        !definite(A, &(square(upper) / &tiny), 1.0),
        "upper {upper:e}"
    );
    assert!(
        definite(A, &(square(largest) / &tiny), -1.0),
        "largest {largest:e}"
    );
}

#[test]
fn extreme_singular_values_are_enclosed() {
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let mut resolved = 0;
    for case in 0..1_500 {
        let (m, extra) = (1 + case % 6, case % 4);
        let decay = (case % 11) as f64;
        let mut A = DMatrix::from_fn(m, m + extra, |i, _| {
            random(&mut rng) * 10f64.powf(-decay * i as f64 / m as f64)
        });
        // Rotate, so that it is not only the rows that differ in size.
        let R = DMatrix::from_fn(m, m, |_, _| random(&mut rng));
        A = R * A;
        let exact = A.map(big);
        let lower = sigma_min_lower(&A, 0.0).unwrap_or(0.0);
        let upper = sigma_min_upper(&A, 0.0);
        let largest = sigma_max_upper(&A, 0.0);
        check_extremes(&exact, lower, upper, largest);
        let true_norm = A.clone().singular_values().max();
        assert!(largest <= true_norm * (1.0 + 1e-6));
        if lower > 0.0 {
            resolved += 1;
            let condition = largest / upper;
            assert!(
                lower >= upper * (1.0 - 2e-6 - 1e-12 * condition),
                "{lower:e} {upper:e}"
            );
        }
    }
    assert!(resolved > 1_300, "{resolved}");
}

/// Rows of a Hadamard matrix of order 2^k, times powers of two: singular values 2^{e_i} 2^{k/2}.
#[test]
fn known_singular_values_are_met() {
    for k in [1u32, 2, 4, 6, 8] {
        let n = 1usize << k;
        for spread in [0, 10, 20, 30, 35] {
            let A = DMatrix::from_fn(n, n, |i, j| {
                let sign = if (i & j).count_ones() % 2 == 0 {
                    1.0
                } else {
                    -1.0
                };
                sign * 2f64.powi(-(spread * i as i32) / (n as i32 - 1))
            });
            let root = Interval::from_f64(n as f64).sqrt();
            let least = root * Interval::from_f64(2f64.powi(-spread));
            let lower = sigma_min_lower(&A, 0.0).unwrap();
            let tolerance = 1e-6 + 20.0 * n as f64 * f64::EPSILON * 2f64.powi(spread);
            assert!(lower <= least.hi(), "n {n}, spread {spread}: {lower:e}");
            assert!(
                lower >= least.lo() * (1.0 - tolerance),
                "n {n}, spread {spread}"
            );
            assert!(sigma_min_upper(&A, 0.0) >= least.lo());
            let largest = sigma_max_upper(&A, 0.0);
            assert!(largest >= root.lo() && largest <= root.hi() * (1.0 + 1e-6));
            // A radius moves the bounds by itself.
            let radius = 0.25 * least.lo();
            let moved = sigma_min_lower(&A, radius).unwrap();
            assert!(moved <= 0.75 * least.hi() && moved >= (0.749 - tolerance) * least.lo());
            assert!(sigma_min_lower(&A, 1.01 * least.hi()).is_err());
        }
    }
}

#[test]
fn singular_and_broken_matrices_are_not_resolved() {
    let A = DMatrix::from_fn(4, 6, |i, j| (i + j) as f64); // rank 2
    let error = sigma_min_lower(&A, 0.0).unwrap_err();
    assert!(error.upper < 1e-5 && error.to_string().starts_with("not resolved"));
    for bad in [f64::NAN, f64::INFINITY, 1e200] {
        let mut B = DMatrix::<f64>::identity(3, 3);
        B[(1, 1)] = bad;
        let largest = sigma_max_upper(&B, 0.0);
        assert!(
            largest == f64::INFINITY || largest >= bad,
            "{bad} {largest}"
        );
        assert!(
            sigma_min_lower(&B, 0.0).is_err_and(|e| e.upper >= 1.0)
                || sigma_min_lower(&B, 0.0).is_ok_and(|s| s <= 1.0)
        );
        assert!(sigma_min_upper(&B, 0.0) >= 1.0);
    }
    assert!(sigma_min_lower(&DMatrix::identity(3, 3), f64::NAN).is_err());
    assert_eq!(sigma_min_lower(&DMatrix::zeros(3, 2), 0.0), Ok(0.0));
    // All products underflow.
    let lower = sigma_min_lower(&(DMatrix::<f64>::identity(3, 3) * 1e-200), 0.0).unwrap_or(0.0);
    assert!(lower <= 1e-200);
}

/// The terms of the error bounds, one by one: hidden by the margins of whole bounds, so tested alone.
#[test]
fn gram_error_and_cholesky_defect_are_bounds() {
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    let mut indefinite = 0;
    for case in 0..3_000 {
        let (m, P) = (2 + case % 5, 1 + case % 7);
        let A = DMatrix::from_fn(m, P, |_, _| random(&mut rng));
        let gram = Symmetric::gram(verified::view(&A));
        for i in 0..m {
            for j in 0..=i {
                let exact = (0..P).fold(big(0.0), |s, l| s + big(A[(i, l)]) * big(A[(j, l)]));
                let off = (exact - big(gram.G[(i, j)])).to_f64().value().abs();
                assert!(off <= gram.error, "{off:e} {:e}", gram.error);
            }
        }
        // Of rank m - 1 but for rounding: half of these matrices are slightly indefinite.
        let V = DMatrix::from_fn(m, m - 1, |_, _| random(&mut rng));
        let S = &V * V.transpose();
        let Some(d) = verified::defect(&faer::Mat::from_fn(m, m, |i, j| S[(i.max(j), i.min(j))]))
        else {
            continue;
        };
        let root = |shift: f64| {
            DMatrix::from_fn(m, m, |i, j| {
                let s = big(S[(i.max(j), i.min(j))]);
                if i == j { s + big(shift) } else { s }
            })
        };
        indefinite += u32::from(!positive(root(0.0)));
        assert!(positive(root(d * (1.0 + 1e-12))), "defect {d:e}");
        assert!(d < 1e-15 * (m * m) as f64 * S.trace(), "{d:e}");
    }
    assert!(indefinite > 100, "{indefinite}");
}

/// Ball products and attention weights hold every exact result for points anywhere in the balls.
#[test]
fn balls_hold_exact_results_for_every_radius() {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    for case in 0..400 {
        Oracle::clear();
        let size = [0.0, 1e-15, 1e-9, 1e-3][case % 4];
        let (n, d) = (1 + case % 4, 1 + case % 5);
        let mut ball = |rows, cols| {
            let mid = DMatrix::from_fn(rows, cols, |_, _| 2.0 * random(&mut rng));
            let rad = DMatrix::from_fn(rows, cols, |_, _| size * random(&mut rng).abs());
            // A corner of the ball, in exact arithmetic.
            let point = DMatrix::from_fn(rows, cols, |i, j| {
                let sign = if random(&mut rng) < 0.0 { -1.0 } else { 1.0 };
                Oracle::from_f64(mid[(i, j)]) + Oracle::from_f64(sign * rad[(i, j)])
            });
            (Ball { mid, rad }, point)
        };
        let (q, q_point) = ball(n, d);
        let (kappa, kappa_point) = ball(n, d);
        let (u, _) = ball(n, 1);
        let zero = Oracle::from_f64(0.0);
        let sum = |k: usize, j: usize, f: &dyn Fn(Oracle, Oracle) -> Oracle| {
            (0..d).fold(zero, |s, a| s + f(q_point[(k, a)], kappa_point[(j, a)]))
        };
        let product = q.times(&Ball {
            mid: kappa.mid.transpose(),
            rad: kappa.rad.transpose(),
        });
        let head = HeadBall {
            S: product.clone(),
            SX: u.clone(),
            output: u.clone(),
            u,
            q,
            kappa,
        };
        let (softmax, gaussian) = (head.softmax(0, n), head.gaussian(0, n));
        let root = Oracle::from_f64(d as f64).sqrt();
        for k in 0..n {
            let row: Vec<_> = (0..n)
                .map(|j| (sum(k, j, &|a, b| a * b) / root).exp())
                .collect();
            let total = row.iter().fold(zero, |s, &e| s + e);
            for (j, &e) in row.iter().enumerate() {
                let dot = sum(k, j, &|a, b| a * b);
                assert!(
                    holds(product.at(k, j), &dot.get()),
                    "product, radius {size:e}"
                );
                assert!(holds(softmax.at(k, j), &(e / total).get()), "softmax");
                let square = sum(k, j, &|a, b| (a - b) * (a - b));
                let weight = (-square / (root + root)).exp();
                assert!(
                    holds(gaussian.at(k, j), &weight.get()),
                    "Gaussian, radius {size:e}"
                );
            }
        }
    }
}

pub(crate) fn instances(count: u64) -> impl Iterator<Item = (Instance, Trained)> {
    (0..count).map(|seed| {
        let pick = |k: u64, from: &[usize]| from[(seed / k) as usize % from.len()];
        let dims = Dims {
            N: pick(1, &[1, 2]),
            n: pick(2, &[1, 2, 3]),
            D: pick(3, &[2, 4, 5]),
            d: pick(1, &[2, 3]),
            H: 2,
            p: pick(2, &[1, 1, 2]),
        };
        let kernel = [Kernel::Softmax, Kernel::Gaussian][pick(1, &[0, 1])];
        let init = match seed % 5 {
            0 => Init::Lazy { omega: 50.0 },
            1 => Init::Paired { s: 3.0 },
            2 => Init::ConstantValue { s: 2.0 },
            _ => Init::Lecun,
        };
        let mut instance = Instance::random(dims, kernel, init, seed).unwrap();
        if seed % 7 == 3 {
            // Large scores: saturated softmax, Gaussian weights near underflow.
            let mut W = instance.W().clone();
            W.Q.iter_mut().for_each(|w| *w *= 40.0);
            instance = instance.with_weights(W).unwrap();
        }
        let subset = ["QKV", "Q", "K", "V", "QK", "QV", "KV"][seed as usize % 7];
        (instance, subset.parse().unwrap())
    })
}

/// Residual, Jacobian, B, sigma_min, norms and h of random instances of both kernels, all subsets, p = 1 and 2, against
/// 400-bit arithmetic; singular values through the definiteness of A A' - c I.
#[test]
fn model_enclosures_hold_the_exact_values() {
    // Residual entries, Jacobian entries, singular values, norms, h.
    let mut count = [0; 5];
    for (instance, trained) in instances(160) {
        Oracle::clear();
        let dims = instance.dims();
        let W = instance.W().map(Oracle::from_f64);
        let r = model::residual(&instance, &W);
        let enclosure = Enclosure::new(&instance, trained);
        let generic = model::residual(&instance, &instance.W().map(Interval::from_f64));
        let mut square = big(0.0);
        for (a, r) in r.iter().enumerate() {
            let r = r.get();
            assert!(holds(enclosure.residual()[a], &r) && holds(generic[a], &r));
            square += &r * &r;
            count[0] += 2;
        }
        assert!(holds(enclosure.residual_norm(), &square.sqrt()));
        count[3] += 1;
        let J = model::jacobian(&instance, &W, trained);
        let JI = model::jacobian(&instance, &instance.W().map(Interval::from_f64), trained);
        for (x, e) in JI.iter().zip(J.iter()) {
            assert!(holds(*x, &e.get()), "{x:?} {}", e.value());
            count[1] += 1;
        }
        let J = J.map(Oracle::get);
        // Both routes: J formed, and J J' from structure.
        let by_gram = enclosure.extreme_by_gram(trained.flags());
        let formed = (enclosure.sigma_min_J(), enclosure.jacobian_norm());
        for (smallest, norm) in [by_gram, formed] {
            let tiny = big(1.0 - 2f64.powi(-50));
            let least = big(norm.lo()) * big(norm.lo()) * &tiny;
            assert!(
                least == big(0.0) || !definite(&J, &least, -1.0),
                "|J| {norm:?} {dims} {trained}"
            );
            let largest = norm.hi();
            let bound = big(largest) * big(largest) / &tiny + big(1e-300);
            assert!(
                definite(&J, &bound, -1.0),
                "|J| {largest:e} {dims} {trained}"
            );
            let lower = smallest.map_or(0.0, Interval::lo).max(0.0);
            let lower = big(lower) * big(lower) * &tiny;
            assert!(
                lower == big(0.0) || definite(&J, &lower, 1.0),
                "{smallest:?}"
            );
            if J.ncols() >= J.nrows() {
                let upper = smallest.map_or_else(|e| e.upper, Interval::hi);
                let upper = big(upper) * big(upper) / &tiny + big(1e-300);
                assert!(!definite(&J, &upper, 1.0), "{smallest:?}");
            }
            count[2] += 1;
            count[3] += 1;
        }
        let J_V = model::jacobian(&instance, &W, "V".parse().unwrap()).map(Oracle::get);
        let beta = enclosure.beta(Reading::Value);
        let tiny = big(1.0 - 2f64.powi(-50));
        assert!(beta.lo() == 0.0 || definite(&J_V, &(big(beta.lo()) * &tiny), 1.0));
        if J_V.ncols() >= J_V.nrows() {
            assert!(!definite(
                &J_V,
                &(big(beta.hi()) / &tiny + big(1e-300)),
                1.0
            ));
        }
        if trained.v()
            && let Ok(alpha) = enclosure.alpha_lower()
        {
            assert!(definite(&J, &(big(alpha) * big(alpha) * &tiny), 1.0));
        }
        check_B(&instance, &enclosure);
        // beta, sigma_min(B), alpha; |B - mid B|.
        count[2] += 3;
        count[3] += 1;
        count[4] += check_h(&instance, trained, &enclosure);
    }
    eprintln!("residual, Jacobian, singular values, norms, h: {count:?}");
    assert!(count.iter().sum::<usize>() >= 10_000, "{count:?}");
}

fn check_B(instance: &Instance, enclosure: &Enclosure) {
    let Dims { N, n, D, H, .. } = instance.dims();
    let W = instance.W().map(Oracle::from_f64);
    let (mid, radius) = enclosure.B();
    let mut B = DMatrix::from_element(N * n, H * D, big(0.0));
    let mut square = big(0.0);
    for i in 0..N {
        for h in 0..H {
            let S = model::Head::new(instance, &W, i, h).S;
            for k in 0..n {
                for e in 0..D {
                    let mut sum = big(0.0);
                    for j in 0..n {
                        sum += S[(k, j)].get() * big(instance.X()[i][(j, e)]);
                    }
                    let at = (i * n + k, h * D + e);
                    let off = &sum - big(mid[at]);
                    square += &off * &off;
                    B[at] = sum;
                }
            }
        }
    }
    assert!(
        square <= big(radius) * big(radius),
        "B: {} {radius:e}",
        square.to_f64().value().sqrt()
    );
    if H * D >= N * n {
        let s = enclosure
            .sigma_min_B()
            .unwrap_or_else(|e| Interval::new(0.0, e.upper));
        let tiny = big(1.0 - 2f64.powi(-50));
        assert!(s.lo() <= 0.0 || definite(&B, &(big(s.lo()) * big(s.lo()) * &tiny), 1.0));
        assert!(!definite(
            &B,
            &(big(s.hi()) * big(s.hi()) / &tiny + big(1e-300)),
            1.0
        ));
    }
}

/// The interval h holds the exact one and is tight; returns how many were compared.
fn check_h(instance: &Instance, trained: Trained, enclosure: &Enclosure) -> usize {
    let plain = Curvature::new(instance, trained).unwrap();
    let exact = exact_curvature(instance, trained);
    let rigorous = enclosure.curvature();
    let radii = [0.0, 1e-3, 0.1, 3.0];
    for rho in radii {
        let (h, interval) = (plain.h(rho), rigorous.h(rho));
        assert!(holds(interval, &exact.h(rho).get()), "{h:e} {interval:?}");
        assert!(
            interval.hi() <= h * (1.0 + 1e-6) + 1e-100,
            "{h:e} {interval:?}"
        );
    }
    radii.len()
}

/// The closed form of h, to 400 bits.
pub(crate) fn exact_curvature(instance: &Instance, trained: Trained) -> Curvature<Oracle> {
    let Dims { N, n, H, .. } = instance.dims();
    let W = instance.W().map(Oracle::from_f64);
    let zero = Oracle::from_f64(0.0);
    let norm = |row: &mut dyn Iterator<Item = Oracle>| row.fold(zero, |s, x| s + x * x).sqrt();
    let rows = |M: &DMatrix<Oracle>| -> Vec<Oracle> {
        M.row_iter()
            .map(|row| norm(&mut row.iter().copied()))
            .collect()
    };
    let longest = |M: &DMatrix<Oracle>| rows(M).into_iter().fold(zero, Bound::max);
    let mut tokens = Vec::new();
    for i in 0..N {
        let X = instance.X()[i].map(Oracle::from_f64);
        let heads: Vec<_> = (0..H)
            .map(|h| model::Head::new(instance, &W, i, h))
            .collect();
        for k in 0..n {
            for (head, o) in heads.iter().zip(&W.O) {
                tokens.push(Token {
                    x: rows(&X)[k],
                    xi: longest(&X),
                    o: squares(o).1.sqrt(),
                    kap: longest(&head.kappa),
                    qn: rows(&head.q)[k],
                    ups: longest(&head.u),
                });
            }
        }
    }
    Curvature::from_tokens(instance, trained, tokens)
}

/// The least and the largest eigenvalue of W'W for a matrix of one or two columns.
pub(crate) fn squares(W: &DMatrix<Oracle>) -> (Oracle, Oracle) {
    let entry = |a: usize, b: usize| {
        let products = W.row_iter().map(|row| row[a] * row[b]);
        products.fold(Oracle::from_f64(0.0), |s, x| s + x)
    };
    if W.ncols() == 1 {
        return (entry(0, 0), entry(0, 0));
    }
    assert_eq!(W.ncols(), 2);
    let two = Oracle::from_f64(2.0);
    let (mean, half) = (
        (entry(0, 0) + entry(1, 1)) / two,
        (entry(0, 0) - entry(1, 1)) / two,
    );
    let root = (half * half + entry(0, 1) * entry(0, 1)).sqrt();
    (mean - root, mean + root)
}

/// Relative radii stay near 1e-13 at moderate sizes: no dependence problem in the formulas.
#[test]
fn enclosures_are_tight() {
    let dims = Dims {
        N: 4,
        n: 8,
        D: 16,
        d: 8,
        H: 8,
        p: 1,
    };
    for kernel in [Kernel::Softmax, Kernel::Gaussian] {
        let instance = Instance::random(dims, kernel, Init::Lecun, 0).unwrap();
        let enclosure = Enclosure::new(&instance, Trained::QKV);
        let W = instance.W().map(Interval::from_f64);
        let relative = |x: &[Interval]| {
            let radius = x
                .iter()
                .map(|x| x.mid_radius().1.powi(2))
                .sum::<f64>()
                .sqrt();
            radius / x.iter().map(|x| x.value().powi(2)).sum::<f64>().sqrt()
        };
        let J = model::jacobian(&instance, &W, Trained::QKV);
        let S = model::Head::new(&instance, &W, 0, 0).S;
        let found = [
            relative(&model::residual(&instance, &W)),
            relative(enclosure.residual()),
            relative(J.as_slice()),
            relative(S.as_slice()),
            enclosure.B().1 / enclosure.B().0.norm(),
        ];
        eprintln!(
            "{kernel}: relative radii r {:.1e} (ball {:.1e}), J {:.1e}, S {:.1e}, B {:.1e}",
            found[0], found[1], found[2], found[3], found[4]
        );
        assert!(found.iter().all(|&x| x < 5e-13), "{found:?}");
        let (smallest, largest) = enclosure.extreme_by_gram([true; 3]);
        let (formed, norm) = (
            enclosure.sigma_min_J().unwrap(),
            enclosure.jacobian_norm_upper(),
        );
        let gram = smallest.unwrap();
        eprintln!("  sigma_min {formed:?} by Gram {gram:?}; |J| {norm:e} {largest:?}");
        for s in [formed, gram] {
            assert!(s.lo() >= s.hi() * (1.0 - 1e-7));
        }
        assert!((largest.hi() / norm - 1.0).abs() < 1e-7);
        assert!(largest.lo() > norm * (1.0 - 1e-7));
    }
}

/// The candidates come from faer and Lanczos, all with a degree of parallelism that the size decides.
#[test]
fn bounds_do_not_depend_on_the_number_of_threads() {
    let dims = Dims {
        N: 16,
        n: 8,
        D: 32,
        d: 8,
        H: 8,
        p: 1,
    };
    let instance = Instance::random(dims, Kernel::Softmax, Init::Lecun, 5).unwrap();
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| {
            let enclosure = Enclosure::new(&instance, Trained::QKV);
            let (smallest, largest) = enclosure.extreme_by_gram([true; 3]);
            (
                smallest,
                largest,
                enclosure.sigma_min_B(),
                enclosure.residual_norm(),
            )
        })
    };
    assert_eq!(run(1), run(2));
    assert_eq!(run(2), run(4));
}

proptest! {
    #[test]
    fn rounding_helpers_bound_sums(values in prop::collection::vec(-1e3f64..1e3, 0..200)) {
        let exact = values.iter().fold(big(0.0), |s, &x| s + big(x) * big(x));
        prop_assert!(big(verified::norm_up(values.iter().copied())) >= exact.sqrt());
    }
}
