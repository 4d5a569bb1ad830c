//! Each bound alone, against 2200-bit arithmetic and against what singular values were made to be.

use super::ball::{Ball, ball};
use super::certificate::{Kernel, Trained};
use super::curvature::{block_norm, closed_form, sharp};
use super::gram::{Gram, Term, norm_upper, quotient};
use super::instance::{Dims, Instance};
use super::matrix::{Factor, Matrix, Real, Rows};
use super::number::Double;
use super::obstruction::{hull_loss, values_ignore_token};
use super::point::{Part, Point};
use super::rate::smallest_output;
use dashu_float::{FBig, round::mode::HalfEven};
use nalgebra::DMatrix;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

pub(super) type Big = FBig<HalfEven, 2>;

/// Enough for sums of any two f64 to be exact.
const BITS: usize = 2200;

pub(super) fn big(x: f64) -> Big {
    Big::try_from(x).unwrap().with_precision(BITS).value()
}

pub(super) fn random(rng: &mut ChaCha8Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 * 2f64.powi(-52) - 1.0
}

/// A finite f64 of any size, often special.
fn any_f64(rng: &mut ChaCha8Rng) -> f64 {
    match rng.next_u32() % 8 {
        0 => 0.0,
        1 => f64::from_bits(rng.next_u64() % 64),
        2 => f64::from(rng.next_u32() % 20) - 10.0,
        3 | 4 => random(rng) * 2f64.powi((rng.next_u32() % 80) as i32 - 40),
        _ => loop {
            let x = f64::from_bits(rng.next_u64());
            if x.is_finite() {
                break x;
            }
        },
    }
}

/// Balls around hi + lo, exact or not, now and then with an end that is nearly 0, and their
/// midpoint and radius.
fn any_ball(rng: &mut ChaCha8Rng) -> (Ball, [f64; 3]) {
    let hi = any_f64(rng);
    let lo = random(rng) * hi * 2f64.powi(-54);
    let [hi, lo, rad] = match rng.next_u32() % 6 {
        0 | 1 => [hi, 0.0, 0.0],
        2 => [hi, lo, 0.0],
        3 => [hi, lo, hi.abs() * random(rng).abs() * 2f64.powi(-90)],
        4 => [hi, lo, hi.abs()],
        _ => [hi, 0.0, any_f64(rng).abs()],
    };
    (Ball::around(Double { hi, lo }, rad, 0), [hi, lo, rad])
}

/// Numbers that the ball may stand for.
fn members([hi, lo, rad]: [f64; 3], rng: &mut ChaCha8Rng) -> Vec<Big> {
    let ends = [-1.0, 1.0, random(rng)];
    ends.iter().map(|t| big(hi) + big(lo) + big(*t) * big(rad)).collect()
}

/// 2^e x, exactly.
fn times_power(x: Big, e: i64) -> Big {
    let step = |x: Big, p: f64| x * big(p);
    let full = (0..e.abs() / 512).fold(x, |x, _| step(x, 2f64.powi(512 * e.signum() as i32)));
    step(full, 2f64.powi((e % 512) as i32))
}

pub(super) fn holds(x: Ball, exact: &Big) -> bool {
    if !x.is_known() {
        return true;
    }
    // Compared in the ball's own units, whatever they are.
    let unit = x.magnitude().unwrap_or(0);
    let (mid, rad) = x.in_units(unit);
    let distance = times_power(exact.clone(), -unit) - (big(mid.hi) + big(mid.lo));
    let inside = distance <= big(rad) && -distance <= big(rad);
    let below = x.upper() == f64::INFINITY || exact <= &big(x.upper());
    let above = x.lower() == f64::NEG_INFINITY || exact >= &big(x.lower());
    inside && below && above
}

#[test]
fn every_operation_covers_the_exact_result() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let zero = big(0.0);
    let mut known = 0;
    for _ in 0..3_000 {
        let ((a, of_a), (b, of_b)) = (any_ball(&mut rng), any_ball(&mut rng));
        for x in members(of_a, &mut rng) {
            for y in members(of_b, &mut rng) {
                assert!(holds(a + b, &(&x + &y)), "{a:?} + {b:?}");
                assert!(holds(a - b, &(&x - &y)), "{a:?} - {b:?}");
                assert!(holds(a * b, &(&x * &y)), "{a:?} * {b:?}");
                assert!(holds(a.widened(b.abs()), &(&x + &y)), "{a:?} +- {b:?}");
                if y != zero {
                    assert!(holds(a / b, &(&x / &y)), "{a:?} / {b:?}");
                }
                let (larger, smaller) = if x >= y { (&x, &y) } else { (&y, &x) };
                let ends = holds(a.max(b), larger) && holds(a.min(b), smaller);
                assert!(ends, "{a:?} max {b:?}");
                assert!(!a.at_most(b) || x <= y, "{a:?} <= {b:?}");
                assert!(!a.below(b) || x < y, "{a:?} < {b:?}");
            }
            assert!(holds(-a, &-x.clone()));
            if x >= zero {
                assert!(holds(a.sqrt(), &x.sqrt()), "sqrt {a:?}");
            }
            if x < big(720.0) && x > big(-2000.0) {
                assert!(holds(a.exp(), &x.exp()), "exp {a:?}");
                known += usize::from(a.exp().is_known());
            }
        }
    }
    assert!(known > 1_000);
}

/// Sums of products keep their 30 digits, at any scale: the bounds are not only true but useful.
#[test]
fn radii_stay_small_at_every_scale() {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    for scale in [1e-300, 1e-150, 1.0, 1e150, 1e300] {
        let x: Vec<f64> = (0..1000).map(|_| random(&mut rng)).collect();
        let x = x.iter().map(|x| ball(*x));
        let dot: Ball =
            x.map(|a| a * a.exp() / (a * a + ball(1.0)).sqrt() * ball(scale) * ball(scale)).sum();
        let unit = dot.magnitude().unwrap();
        assert!(dot.in_units(unit).1 < 1e-24, "{dot:?}");
        assert!((dot / ball(scale) / ball(scale)).upper() > 1.0);
    }
    assert!(ball(3.0).at_most(ball(3.0)) && !ball(3.0).below(ball(3.0)));
    let (tiny, smaller) = (ball(1e-200) * ball(1e-200), ball(1e-200) * ball(0.9e-200));
    assert!(smaller.below(tiny) && ball(0.0).below(smaller) && tiny.lower() == 0.0);
    assert_eq!(tiny.upper(), f64::from_bits(1));
    let large = ball(1e300) * ball(1e300);
    assert_eq!((large.lower(), large.upper()), (f64::MAX, f64::INFINITY));
    // e^-5000 is not 0, and the ratio of two such numbers is not known to be anything.
    assert!(!ball(-5000.0).exp().is_zero() && ball(-5000.0).exp().upper() > 0.0);
}

fn matrix(M: &DMatrix<f64>) -> Matrix {
    Matrix::new(M.nrows(), M.ncols(), |a, e| ball(M[(a, e)]))
}

fn term<T: Real>(M: &DMatrix<f64>) -> Term<T> {
    Term::new(Rows::of(&matrix(M)), Rows::ones(M.nrows()))
}

fn gram<T: Real>(M: &DMatrix<f64>) -> Gram<T> {
    Gram::new(M.nrows(), std::iter::once(term(M)))
}

/// U diag(s) V' with s between `least` and 2.
fn with_singular_values(m: usize, width: usize, least: f64, rng: &mut ChaCha8Rng) -> DMatrix<f64> {
    let orthogonal =
        |k: usize, rng: &mut ChaCha8Rng| DMatrix::from_fn(k, k, |_, _| random(rng)).qr().q();
    let (U, V) = (orthogonal(m, rng), orthogonal(width, rng));
    let s = |i: usize| if i + 1 == m { least } else { 1.0 + i as f64 / m as f64 };
    U * DMatrix::from_fn(m, width, |i, j| if i == j { s(i) } else { 0.0 }) * V.transpose()
}

/// Tests of singular values are decided right on both sides of the value, down to where each
/// precision ends, at any scale; the witness of a failure is one. Sizes on both sides of a block
/// (128) and of a chunk (256).
#[test]
fn singular_values_are_decided() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    for (m, width) in [(1, 1), (2, 3), (17, 40), (64, 64), (90, 600), (130, 131), (290, 300)] {
        for (least, tolerance) in [(1e-3, if m > 100 { 1e-4 } else { 1e-5 }), (1e-9, 1e-3)] {
            let A = with_singular_values(m, width, least, &mut rng);
            let largest = if m == 1 { least } else { 1.0 + (m - 2) as f64 / m as f64 };
            for scale in [1.0, 1e-150, 1e150].into_iter().take(if m > 100 { 1 } else { 3 }) {
                let (A, at) = (&A * scale, |x: f64| ball(x) * ball(scale));
                let (below, above) = (least * (1.0 - tolerance), least * (1.0 + tolerance));
                let f = gram::<f64>(&A);
                assert!(f.sigma_min_at_least(at(above)).is_err());
                let easy = least > 1e-4 || m == 1;
                assert_eq!(f.sigma_min_at_least(at(below)).is_ok(), easy, "{m} {least} {scale}");
                assert!(f.norm_at_most(at(largest * (1.0 + 1e-9))).is_ok());
                assert!(f.norm_at_most(at(largest * (1.0 - 1e-9))).is_err());
                if m > 200 {
                    continue;
                }
                let dd = gram::<Double>(&A);
                assert!(dd.sigma_min_at_least(at(below)).is_ok(), "{m} {least} {scale}");
                assert!(dd.sigma_min_at_least(at(above)).is_err());
                let v = dd.witness_below(at(above)).unwrap();
                let found = quotient(std::iter::once(term::<Double>(&A)), &v);
                assert!(found.below(at(above * (1.0 + 1e-6))), "{found:?}");
                assert!(dd.witness_below(at(below)).is_none());
                let bound = norm_upper(&matrix(&A), 24);
                assert!(!bound.below(at(largest * (1.0 - 1e-13))));
                assert!(bound.below(at(largest * (1.0 + 1e-6))));
            }
        }
    }
}

/// Where f64's rounding decides, f64 proves nothing that double-double does not: without the error
/// bounds it would.
#[test]
fn f64_proves_only_what_is_true() {
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let (mut proven, mut hidden) = (0, 0);
    for round in 0..300 {
        let m = 2 + round % 9;
        let mut A = DMatrix::from_fn(m, 2 * m, |_, _| random(&mut rng));
        // The last row nearly depends on the others.
        let mix = DMatrix::from_fn(1, m - 1, |_, _| random(&mut rng)) * A.rows(0, m - 1);
        let size = 10f64.powf(-4.0 - 5.0 * random(&mut rng).abs());
        A.set_row(m - 1, &(mix.row(0) + size * A.row(m - 1)));
        let (f, dd) = (gram::<f64>(&A), gram::<Double>(&A));
        let sigma = A.clone().singular_values();
        for t in -3..=3 {
            let near = ball(sigma.min() * (1.0 + 0.1 * f64::from(t)));
            let top = ball(sigma.max() * (1.0 + 2f64.powi(-52) * f64::from(t)));
            let answers = [
                (f.sigma_min_at_least(near), dd.sigma_min_at_least(near)),
                (f.norm_at_most(top), dd.norm_at_most(top)),
            ];
            for (of_f64, exact) in answers {
                assert!(of_f64.is_err() || exact.is_ok(), "{m} {size} {t}");
                proven += usize::from(of_f64.is_ok());
                hidden += usize::from(of_f64.is_err() && exact.is_ok());
            }
        }
    }
    assert!(proven > 50 && hidden > 500, "{proven} {hidden}");
}

/// Nothing is claimed where a matrix is singular, or 0, or where the radius is as large as the
/// value.
#[test]
fn what_is_not_there_is_not_proven() {
    let singular = DMatrix::from_row_slice(2, 2, &[1.0, 1.0, 1.0, 1.0]);
    let proves = |M: &DMatrix<f64>, a: f64| gram::<f64>(M).sigma_min_at_least(ball(a)).is_ok();
    assert!(!proves(&singular, 1e-9) && !proves(&DMatrix::zeros(2, 2), 1e-200));
    assert!(!proves(&singular, f64::NAN) && !proves(&DMatrix::identity(2, 2), f64::NAN));
    assert!(gram::<f64>(&singular).norm_at_most(ball(0.0)).is_err());
    assert!(gram::<f64>(&singular).norm_at_most(ball(f64::NAN)).is_err());
    assert!(gram::<f64>(&singular).norm_at_most(ball(-3.0)).is_err());
    let half = |x: f64, rad: f64| Ball::around(Double::exact(x), rad, 0);
    let vague = Rows::new(2, 2, |a| {
        [0, 1].map(|b| half(f64::from(u8::from(a == b)), if b == 0 { 0.5 } else { 0.0 })).to_vec()
    });
    let g = Gram::<f64>::new(2, std::iter::once(Term::new(vague, Rows::ones(2))));
    // The identity, off by |(1/2, 1/2)| = 0.7071 at most.
    let (least, norm) = (|a| g.sigma_min_at_least(ball(a)), |a| g.norm_at_most(ball(a)));
    assert!(least(0.2928).is_ok() && least(0.2930).is_err());
    assert!(norm(1.7072).is_ok() && norm(1.7070).is_err());
    // A vector of zeros is no witness, and a term of another scale is not forgotten.
    let zero = quotient(std::iter::once(term::<f64>(&singular)), &[0.0, 0.0]);
    assert!(!zero.is_known());
    for (v, least, most) in [([1.0, -1.0], 0.0, 1e190), ([1.0, 1.0], 1.99e200, 2.01e200)] {
        let both = [term::<f64>(&(&singular * 1e-200)), term(&(&singular * 1e200))];
        let found = quotient(both.into_iter(), &v);
        assert!(found.below(ball(most)) && !found.below(ball(least)), "{found:?}");
    }
}

pub(super) fn instance(kernel: Kernel, sizes: [usize; 6], scales: [f64; 3], seed: u64) -> Instance {
    let [N, n, D, d, H, p] = sizes;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut tensor = |count: usize, rows: usize, cols: usize, scale: f64| -> Vec<Matrix<f64>> {
        let data = |rng: &mut ChaCha8Rng| (0..rows * cols).map(|_| scale * random(rng)).collect();
        (0..count).map(|_| Matrix { rows, cols, data: data(&mut rng) }).collect()
    };
    let [x, v, o] = scales;
    Instance {
        dims: Dims { N, n, D, d, H, p },
        kernel,
        X: tensor(N, n, D, x),
        y: tensor(N, n, p, 1.0),
        W_Q: tensor(H, D, d, 1.0),
        W_K: tensor(H, D, d, 1.0),
        W_V: tensor(H, D, d, v),
        W_O: tensor(H, d, p, o),
    }
}

fn instances() -> impl Iterator<Item = Instance> {
    let sizes = [[2, 3, 6, 4, 4, 1], [3, 1, 4, 2, 2, 1], [2, 3, 5, 3, 4, 2], [2, 2, 3, 1, 2, 3]];
    let scales = [[1.0, 1.0, 1.0], [1.0, 0.0, 5.0], [3.0, 30.0, 1.0]];
    let of = move |kernel| {
        sizes
            .into_iter()
            .flat_map(move |s| scales.map(move |scales| instance(kernel, s, scales, 7)))
    };
    of(Kernel::Softmax).chain(of(Kernel::Gaussian))
}

/// The outputs, by the formulas, in f64; (i, k, c) in that order.
fn outputs(at: &Instance) -> Vec<f64> {
    let Dims { N, n, D, d, H, p } = at.dims;
    let mut out = vec![0.0; N * n * p];
    for (i, h) in (0..N).flat_map(|i| (0..H).map(move |h| (i, h))) {
        let x = &at.X[i];
        let times = |k: usize, W: &Matrix<f64>, a: usize| -> f64 {
            (0..D).map(|e| x[(k, e)] * W[(e, a)]).sum()
        };
        for k in 0..n {
            let score = |j: usize| -> f64 {
                let entries = (0..d).map(|a| (times(k, &at.W_Q[h], a), times(j, &at.W_K[h], a)));
                let root = (d as f64).sqrt();
                match at.kernel {
                    Kernel::Softmax => entries.map(|(q, c)| q * c).sum::<f64>() / root,
                    Kernel::Gaussian => {
                        -entries.map(|(q, c)| (q - c) * (q - c)).sum::<f64>() / (2.0 * root)
                    }
                }
            };
            let s: Vec<f64> = (0..n).map(|j| score(j).exp()).collect();
            let total = if at.kernel == Kernel::Softmax { s.iter().sum() } else { 1.0 };
            for c in 0..p {
                for (j, s) in s.iter().enumerate() {
                    let u: f64 = (0..d).map(|a| times(j, &at.W_V[h], a) * at.W_O[h][(a, c)]).sum();
                    out[(i * n + k) * p + c] += s / total * u;
                }
            }
        }
    }
    out
}

fn block(at: &mut Instance, b: usize) -> &mut Vec<Matrix<f64>> {
    [&mut at.W_Q, &mut at.W_K, &mut at.W_V][b]
}

/// J_b by differences, m rows.
fn jacobian(at: &Instance, b: usize) -> DMatrix<f64> {
    let Dims { D, d, H, .. } = at.dims;
    let step = 1e-5;
    let moved = |w: usize, by: f64| {
        let mut at = at.clone();
        block(&mut at, b)[w / (D * d)].data[w % (D * d)] += by;
        outputs(&at)
    };
    let mut J = DMatrix::zeros(at.dims.m(), H * D * d);
    for w in 0..H * D * d {
        for (a, (up, down)) in moved(w, step).into_iter().zip(moved(w, -step)).enumerate() {
            J[(a, w)] = (up - down) / (2.0 * step);
        }
    }
    J
}

const ALL: [&str; 7] = ["Q", "K", "V", "QK", "QV", "KV", "QKV"];

/// Residual and Jacobian are those of the formulas, fast and precisely evaluated.
#[test]
fn the_model_is_the_model() {
    for instance in instances() {
        let residual: f64 = {
            let y = instance.y.iter().flat_map(|y| &y.data);
            outputs(&instance).iter().zip(y).map(|(f, y)| (f - y) * (f - y)).sum::<f64>().sqrt()
        };
        let blocks = [0, 1, 2].map(|b| jacobian(&instance, b));
        for fast in [false, true] {
            let at = Point::new(&instance, fast);
            let found = at.residual_norm();
            let (mid, error) = found.in_units(0);
            assert!((mid.hi - residual).abs() <= 1e-13 * residual);
            assert!(error <= if fast { 1e-10 } else { 1e-24 } * residual, "{found:?}");
            for trained in ALL {
                let trained: Trained = trained.parse().unwrap();
                let parts = Part::of(trained.flags());
                let chosen = (0..3).filter(|&b| trained.flags()[b]).map(|b| blocks[b].clone());
                let J = chosen.reduce(|a, b| {
                    let columns: Vec<_> = a.column_iter().chain(b.column_iter()).collect();
                    DMatrix::from_columns(&columns)
                });
                let J = J.unwrap();
                let v: Vec<f64> = (0..J.nrows()).map(|a| (a as f64).sin() + 0.1).collect();
                let column = DMatrix::from_vec(v.len(), 1, v.clone());
                let expected = (J.transpose() * &column).norm() / column.norm();
                let slack = 1e-7 * (J.norm() + 1.0);
                for found in [at.quotient::<f64>(&parts, &v), at.quotient::<Double>(&parts, &v)] {
                    assert!((found.upper() - expected).abs() <= slack, "{trained} {fast}");
                }
                let gram = at.gram::<Double>(&parts);
                assert!((gram.frobenius().upper() - J.norm()).abs() <= slack);
                let s = J.singular_values();
                assert!(gram.norm_at_most(ball(s.max() + slack)).is_ok());
                assert!(s.max() < 1e-3 || gram.norm_at_most(ball(s.max() - slack)).is_err());
            }
        }
    }
}

/// The two evaluations of a point contain each other's midpoints.
#[test]
fn fast_and_precise_agree() {
    let wide = instance(Kernel::Softmax, [3, 5, 70, 9, 3, 2], [0.3, 1.0, 1.0], 5);
    let far = instance(Kernel::Gaussian, [3, 5, 70, 9, 3, 2], [1e-120, 1e90, 1e60], 5);
    for instance in [wide, far] {
        let (fast, precise) = (Point::new(&instance, true), Point::new(&instance, false));
        for (a, b) in fast.heads.iter().flatten().zip(precise.heads.iter().flatten()) {
            for (a, b) in [(&a.q, &b.q), (&a.kappa, &b.kappa), (&a.u, &b.u), (&a.s, &b.s)] {
                for (a, b) in a.data.iter().zip(&b.data) {
                    assert!(!a.below(*b) && !b.below(*a), "{a:?} {b:?}");
                }
            }
        }
        for part in [Part::Q, Part::K, Part::V, Part::B] {
            let a = fast.gram::<f64>(&[part]).frobenius();
            let b = precise.gram::<Double>(&[part]).frobenius();
            assert!(a.at_most(b * ball(1.001)) && b.at_most(a * ball(1.001)), "{part:?}");
        }
    }
    let M = Matrix::new(3, 4, |a, e| if a == 1 { Ball::ZERO } else { ball((a + e) as f64) });
    let product = Factor::new(M.clone(), true).times(&Factor::new(M, true));
    assert!(product[(1, 2)].is_zero() && !product[(0, 2)].is_zero());
}

/// Second differences of the outputs never exceed either bound on D^2F.
#[test]
fn curvature_is_bounded() {
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    let mut closest: f64 = 0.0;
    for instance in instances() {
        let at = Point::new(&instance, false);
        for trained in ALL {
            let trained: Trained = trained.parse().unwrap();
            let on = trained.flags();
            let (h, H) =
                (closed_form(&at, trained, 0.3), block_norm(&sharp(&at, trained, [0.3; 3])));
            let (h, H) = (h.upper(), H.upper());
            for _ in 0..6 {
                // A point of the ball, and two unit directions.
                let mut direction = |size: f64| -> Vec<Vec<f64>> {
                    let Dims { D, d, H, .. } = instance.dims;
                    let entry =
                        |rng: &mut ChaCha8Rng, b: usize| if on[b] { random(rng) } else { 0.0 };
                    let all: Vec<Vec<f64>> = (0..3)
                        .map(|b| (0..H * D * d).map(|_| entry(&mut rng, b)).collect())
                        .collect();
                    let norm = all.iter().flatten().map(|x| x * x).sum::<f64>().sqrt();
                    all.into_iter().map(|v| v.iter().map(|x| size * x / norm).collect()).collect()
                };
                let step = 1e-3;
                let (centre, delta, eps) = (direction(0.29), direction(step), direction(step));
                let value = |a: f64, b: f64| {
                    let mut at = instance.clone();
                    for block_index in 0..3 {
                        let entries =
                            block(&mut at, block_index).iter_mut().flat_map(|w| &mut w.data);
                        for (w, x) in entries.enumerate() {
                            let moved = |v: &[Vec<f64>]| v[block_index][w];
                            *x += moved(&centre) + a * moved(&delta) + b * moved(&eps);
                        }
                    }
                    outputs(&at)
                };
                let corners = [value(1.0, 1.0), value(1.0, 0.0), value(0.0, 1.0), value(0.0, 0.0)];
                let second = |a: usize| {
                    let [pp, p, q, o] = &corners;
                    (pp[a] - p[a] - q[a] + o[a]) / (step * step)
                };
                let size = (0..corners[0].len()).map(|a| second(a) * second(a)).sum::<f64>().sqrt();
                let slack =
                    1e-7 * (1.0 + outputs(&instance).iter().fold(0.0, |a: f64, b| a.max(b.abs())));
                assert!(size <= h + slack && size <= H + slack, "{trained} {size} {h} {H}");
                closest = closest.max(size / H);
            }
        }
    }
    assert!(closest > 0.01, "{closest}");
    let H = [[0.0, 3.0, 1.0], [3.0, 2.0, 0.0], [1.0, 0.0, 0.0]].map(|row| row.map(ball));
    let exact = DMatrix::from_fn(3, 3, |b, c| H[b][c].upper()).singular_values().max();
    let bound = block_norm(&H).upper();
    assert!(bound >= exact && bound <= 1.05 * exact);
    assert!(block_norm(&[[Ball::ZERO; 3]; 3]).is_zero());
}

/// One token in a sample, and rows that look at one token only: nothing moves, and the bound says
/// so.
#[test]
fn peaked_rows_have_little_curvature() {
    let one = instance(Kernel::Softmax, [3, 1, 4, 2, 2, 1], [1.0, 1.0, 1.0], 3);
    let trained: Trained = "QK".parse().unwrap();
    let H = block_norm(&sharp(&Point::new(&one, false), trained, [0.1; 3]));
    assert!(H.is_zero() || H.below(ball(1e-20)), "{H:?}");
    let mut peaked = instance(Kernel::Softmax, [1, 2, 2, 2, 1, 1], [1.0, 1.0, 1.0], 3);
    peaked.X[0].data = vec![1.0, 0.0, 0.0, 1.0];
    for score in [30.0, 80.0, 200.0] {
        peaked.W_Q[0].data = vec![score, 0.0, 0.0, score];
        peaked.W_K[0].data = vec![1.0, 0.0, 0.0, 1.0];
        let at = Point::new(&peaked, false);
        let H = block_norm(&sharp(&at, trained, [0.0; 3]));
        let weight = (-score / 2f64.sqrt()).exp();
        assert!(H.below(ball(100.0 * score * score * weight)), "{score} {H:?}");
        assert!(at.heads[0][0].s[(0, 1)].upper() < 2.0 * weight);
    }
}

#[test]
fn smallest_singular_values_of_outputs() {
    let mut rng = ChaCha8Rng::seed_from_u64(8);
    for (rows, p, least) in [(5, 1, 1.0), (4, 2, 0.3), (6, 3, 1e-6), (3, 3, 0.9999), (4, 4, 1e-3)] {
        let A = with_singular_values(p, rows, least, &mut rng).transpose();
        for scale in [1.0, 1e-140, 1e140] {
            let W = Matrix::new(rows, p, |a, c| A[(a, c)] * scale);
            let [lower, square] = smallest_output(&W);
            let expected = ball(least) * ball(least) * ball(scale) * ball(scale);
            assert!(
                lower.below(square) && square.below(expected * ball(1.0 + 1e-7)),
                "{rows} {p} {scale}"
            );
            assert!((expected * ball(1.0 - 1e-7)).below(lower), "{rows} {p} {scale}");
            assert!((expected * ball(1.0 - 1e-7)).below(square));
        }
    }
    // Fewer rows than outputs, a zero matrix, a singular one.
    assert!(smallest_output(&Matrix::new(1, 2, |_, c| 1.0 + c as f64))[0].is_zero());
    assert!(smallest_output(&Matrix::new(2, 2, |_, _| 0.0))[0].is_zero());
    assert!(smallest_output(&Matrix::new(2, 2, |_, _| 0.1))[0].is_zero());
}

#[test]
fn obstructions_are_seen() {
    let mut at = instance(Kernel::Softmax, [2, 3, 6, 3, 2, 2], [1.0, 1.0, 1.0], 3);
    assert!(!values_ignore_token(&at));
    // W^V reads a constant feature alone: the outputs are constant.
    for x in &mut at.X {
        (0..3).for_each(|k| x[(k, 5)] = 1.0);
    }
    for W in &mut at.W_V {
        W.data[..5 * 3].fill(0.0);
    }
    assert!(values_ignore_token(&at));
    let y = at.y.iter().flat_map(|y| &y.data);
    let f0: f64 = outputs(&at).iter().zip(y).map(|(f, y)| 0.5 * (f - y) * (f - y)).sum();
    let bound = hull_loss(&Point::new(&at, false));
    assert!((bound.lower() - f0).abs() <= 1e-12 * f0);
    // Labels of 1e-160 are still outside, by a loss below the normal numbers.
    at.y.iter_mut().flat_map(|y| &mut y.data).for_each(|y| *y *= 1e-160);
    at.W_V.iter_mut().flat_map(|W| &mut W.data).for_each(|w| *w *= 1e-160);
    let bound = hull_loss(&Point::new(&at, false));
    let scaled = bound * ball(1e160) * ball(1e160);
    assert!((scaled.lower() - f0).abs() <= 1e-12 * f0, "{bound:?}");
}
