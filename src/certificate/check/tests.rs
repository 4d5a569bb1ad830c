//! Each bound alone, against 2200-bit arithmetic and against the other paths of the crate.

use super::ball::{Ball, ball};
use super::matrix::{Gram, Real, Rows, Term, norm_upper};
use super::point::{Matrix, Part, Point};
use super::{curvature, obstruction, parts, smallest_output};
use crate::bounds::{Curvature, Sharp, f_hull};
use crate::model::{self, DoubleDouble, Kernel, Trained};
use crate::spectrum::{Reading, Spectrum};
use crate::{Dims, Init, Instance};
use dashu_float::{FBig, round::mode::HalfEven};
use nalgebra::DMatrix;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

type Big = FBig<HalfEven, 2>;

/// Enough for sums of any two f64 to be exact.
const BITS: usize = 2200;

fn big(x: f64) -> Big {
    Big::try_from(x).unwrap().with_precision(BITS).value()
}

fn random(rng: &mut ChaCha8Rng) -> f64 {
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

fn any_ball(rng: &mut ChaCha8Rng) -> Ball {
    let hi = any_f64(rng);
    match rng.next_u32() % 4 {
        0 => ball(hi),
        1 => Ball::around(hi, random(rng) * hi * 2f64.powi(-54), 0.0),
        2 => Ball::around(
            hi,
            random(rng) * hi * 2f64.powi(-54),
            hi.abs() * random(rng).abs() * 2f64.powi(-90),
        ),
        _ => match rng.next_u32() % 3 {
            // The end that is nearly 0.
            0 => Ball::around(hi, random(rng) * hi * 2f64.powi(-54), hi.abs()),
            _ => Ball::around(hi, 0.0, any_f64(rng).abs()),
        },
    }
}

/// Numbers that the ball may stand for.
fn members(x: Ball, rng: &mut ChaCha8Rng) -> Vec<Big> {
    let (hi, lo, rad) = x.parts();
    // Ball::around's own factor is on top of the radius: within it, all are members.
    let rad = if rad.is_finite() { rad } else { hi.abs() };
    [-1.0, 1.0, random(rng)]
        .iter()
        .map(|t| big(hi) + big(lo) + big(*t) * big(rad))
        .collect()
}

fn holds(x: Ball, exact: &Big) -> bool {
    let (hi, lo, rad) = x.parts();
    let inside = rad.is_infinite() || {
        let distance = exact - &(big(hi) + big(lo));
        distance <= big(rad) && -distance <= big(rad)
    };
    let below = x.upper() == f64::INFINITY || exact <= &big(x.upper());
    let above = x.lower() == f64::NEG_INFINITY || exact >= &big(x.lower());
    inside && below && above
}

#[test]
fn every_operation_covers_the_exact_result() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let zero = big(0.0);
    let mut known = 0;
    for _ in 0..4_000 {
        let (a, b) = (any_ball(&mut rng), any_ball(&mut rng));
        for x in members(a, &mut rng) {
            for y in members(b, &mut rng) {
                assert!(holds(a + b, &(&x + &y)), "{a:?} + {b:?}");
                assert!(holds(a - b, &(&x - &y)), "{a:?} - {b:?}");
                assert!(holds(a * b, &(&x * &y)), "{a:?} * {b:?}");
                if y != zero {
                    assert!(holds(a / b, &(&x / &y)), "{a:?} / {b:?}");
                }
                let (larger, smaller) = if x >= y { (&x, &y) } else { (&y, &x) };
                assert!(
                    holds(a.max(b), larger) && holds(a.min(b), smaller),
                    "{a:?} max {b:?}"
                );
                assert!(!a.at_most(b) || x <= y, "{a:?} <= {b:?}");
                assert!(!a.below(b) || x < y, "{a:?} < {b:?}");
            }
            assert!(holds(-a, &-x.clone()));
            if x >= zero {
                assert!(holds(a.abs(), &x) || a.parts().0 < 0.0, "|{a:?}|");
                assert!(holds(a.sqrt(), &x.sqrt()), "sqrt {a:?}");
            }
            if x < big(720.0) && x > big(-800.0) {
                assert!(holds(a.exp(), &x.exp()), "exp {a:?}");
                known += usize::from(a.exp().parts().2.is_finite());
            }
        }
    }
    assert!(known > 1_000);
}

/// Sums of products keep their 30 digits: the bounds are not only true but useful.
#[test]
fn radii_stay_small() {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let x: Vec<Ball> = (0..1000).map(|_| ball(random(&mut rng))).collect();
    let dot: Ball = x
        .iter()
        .map(|&a| a * a.exp() / (a * a + ball(1.0)).sqrt())
        .sum();
    assert!(dot.parts().2 < 1e-24, "{dot:?}");
    assert!(ball(3.0).at_most(ball(3.0)) && !ball(3.0).below(ball(3.0)));
    assert!(ball(0.0).at_most(ball(0.0)));
}

fn rows(M: &DMatrix<f64>) -> Rows {
    Rows::new(M.nrows(), M.ncols(), |a| {
        M.row(a).iter().map(|x| ball(*x)).collect()
    })
}

fn gram<T: Real>(M: &DMatrix<f64>) -> Gram<T> {
    let mut gram = Gram::new(M.nrows());
    let one = DMatrix::from_element(M.nrows(), 1, 1.0);
    gram.add(&Term {
        left: rows(M),
        right: rows(&one),
    });
    gram
}

/// Tests of singular values are decided right on both sides of the value, down to where each precision ends; the witness of a
/// failure is one.
#[test]
fn singular_values_are_decided() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    for (m, width) in [(1, 1), (2, 3), (17, 40), (64, 64), (90, 700)] {
        // U diag(s) V' with known s: the smallest is 1e-5, or 1e-11 for double-double.
        let orthogonal =
            |k: usize, rng: &mut ChaCha8Rng| DMatrix::from_fn(k, k, |_, _| random(rng)).qr().q();
        let (U, V) = (orthogonal(m, &mut rng), orthogonal(width, &mut rng));
        for (least, tolerance) in [(1e-3, 1e-5), (1e-9, 1e-3)] {
            let s = |i: usize| {
                if i + 1 == m {
                    least
                } else {
                    1.0 + i as f64 / m as f64
                }
            };
            let A = &U
                * DMatrix::from_fn(m, width, |i, j| if i == j { s(i) } else { 0.0 })
                * V.transpose();
            let largest = (0..m).map(s).fold(0.0, f64::max);
            let below = least * (1.0 - tolerance);
            let above = least * (1.0 + tolerance);
            let dd = gram::<DoubleDouble>(&A);
            assert!(dd.sigma_min_at_least(below).is_ok() && dd.sigma_min_at_least(above).is_err());
            let f = gram::<f64>(&A);
            assert!(f.sigma_min_at_least(above).is_err());
            assert_eq!(f.sigma_min_at_least(below).is_ok(), least > 1e-4 || m == 1);
            assert!(f.norm_at_most(largest * (1.0 + 1e-9)).is_ok());
            assert!(f.norm_at_most(largest * (1.0 - 1e-9)).is_err());
            let v = DMatrix::from_vec(m, 1, dd.witness_below(above * above).unwrap());
            assert!((A.transpose() * &v).norm() <= above * (1.0 + 1e-6) * v.norm());
            assert!(dd.witness_below(below * below).is_none());
            let bound = norm_upper(&rows(&A), 24).upper();
            assert!(bound >= largest * (1.0 - 1e-13) && bound <= largest * (1.0 + 1e-6));
        }
    }
}

/// Where f64's rounding decides, f64 proves nothing that double-double does not: without the error bounds it would.
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
        let (f, dd) = (gram::<f64>(&A), gram::<DoubleDouble>(&A));
        let sigma = A.clone().singular_values();
        for t in -3..=3 {
            let near = sigma.min() * (1.0 + 0.1 * f64::from(t));
            let top = sigma.max() * (1.0 + 2f64.powi(-52) * f64::from(t));
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

/// Nothing is claimed where a matrix is singular, or 0, or where the radius is as large as the value.
#[test]
fn what_is_not_there_is_not_proven() {
    let singular = DMatrix::from_row_slice(2, 2, &[1.0, 1.0, 1.0, 1.0]);
    assert!(gram::<f64>(&singular).sigma_min_at_least(1e-9).is_err());
    assert!(
        gram::<f64>(&DMatrix::zeros(2, 2))
            .sigma_min_at_least(1e-200)
            .is_err()
    );
    assert!(gram::<f64>(&singular).norm_at_most(0.0).is_err());
    assert!(gram::<f64>(&singular).norm_at_most(f64::NAN).is_err());
    assert!(gram::<f64>(&singular).sigma_min_at_least(f64::NAN).is_err());
    let vague = Rows::new(2, 2, |a| {
        vec![
            Ball::around(f64::from(u8::from(a == 0)), 0.0, 0.5),
            Ball::around(f64::from(u8::from(a == 1)), 0.0, 0.0),
        ]
    });
    let one = Rows::new(2, 1, |_| vec![ball(1.0)]);
    let mut g = Gram::<f64>::new(2);
    g.add(&Term {
        left: vague,
        right: one,
    });
    // The identity, off by |(1/2, 1/2)| = 0.7071 at most.
    assert!(g.sigma_min_at_least(0.2928).is_ok() && g.sigma_min_at_least(0.2930).is_err());
    assert!(g.norm_at_most(1.7072).is_ok() && g.norm_at_most(1.7070).is_err());
}

const ALL: [&str; 7] = ["Q", "K", "V", "QK", "QV", "KV", "QKV"];

fn instances() -> impl Iterator<Item = Instance> {
    let shapes = [(2, 3, 6, 4, 4, 1), (3, 1, 4, 2, 2, 1), (2, 3, 5, 3, 4, 2)];
    let of = move |kernel: Kernel| {
        shapes.into_iter().flat_map(move |(N, n, D, d, H, p)| {
            let dims = Dims { N, n, D, d, H, p };
            [
                Init::Lecun,
                Init::Paired { s: 30.0 },
                Init::Lazy { omega: 5.0 },
            ]
            .into_iter()
            .map(move |init| Instance::random(dims, kernel, init, 7).unwrap())
        })
    };
    of(Kernel::Softmax).chain(of(Kernel::Gaussian))
}

#[test]
fn the_model_is_the_model() {
    for instance in instances() {
        let at = Point::new(&instance);
        let W = instance.W().map(<DoubleDouble as model::Scalar>::from_f64);
        let r = model::residual(&instance, &W);
        let norm = r.iter().map(|r| r.hi() * r.hi()).sum::<f64>().sqrt();
        let (mid, error) = at.residual_norm().split();
        assert!((mid - norm).abs() <= 1e-14 * norm && error <= 1e-15 * norm);
        let spectrum = Spectrum::new(&instance, Trained::QKV).unwrap();
        for trained in ALL {
            let trained: Trained = trained.parse().unwrap();
            let parts = parts(trained);
            let J = model::jacobian(&instance, instance.W(), trained);
            let gram = at.gram::<DoubleDouble>(&parts);
            // A'v for a vector, and both ends of the spectrum.
            let v: Vec<f64> = (0..J.nrows()).map(|a| (a as f64).sin()).collect();
            let product = (J.transpose() * DMatrix::from_vec(v.len(), 1, v.clone())).norm();
            let quotient = at.quotient(&parts, gram.radius(), &v).upper();
            let length = v.iter().map(|v| v * v).sum::<f64>().sqrt();
            assert!((quotient * length - product).abs() <= 1e-12 * (product + J.norm()) + 1e-20);
            let s = J.clone().singular_values();
            assert!((gram.frobenius().upper() - J.norm()).abs() <= 1e-12 * J.norm() + 1e-20);
            if s.max() > 1e-12 {
                assert!(gram.norm_at_most(s.max() * (1.0 + 1e-9)).is_ok());
                assert!(gram.norm_at_most(s.max() * (1.0 - 1e-9)).is_err());
            }
            if J.ncols() >= J.nrows() && s.min() > 1e-5 * s.max() {
                assert!(gram.sigma_min_at_least(s.min() * (1.0 - 1e-8)).is_ok());
                assert!(gram.sigma_min_at_least(s.min() * (1.0 + 1e-8)).is_err());
            }
        }
        let B = at.gram::<f64>(&[Part::B]);
        let sigma = spectrum.sigma_min_B0.value;
        if sigma > 1e-2 {
            assert!(B.sigma_min_at_least(sigma * (1.0 - 1e-7)).is_ok());
            assert!(B.sigma_min_at_least(sigma * (1.0 + 1e-7)).is_err());
        }
        let least = instance
            .W()
            .O
            .iter()
            .map(|o| smallest_output(o).upper())
            .fold(f64::MAX, f64::min);
        let beta = spectrum.beta(Reading::PerHead).value;
        assert!((least * sigma * sigma - beta).abs() <= 1e-9 * beta);
    }
}

/// Both curvature bounds agree with the formulas the prover runs; the check's norms of small matrices are a little tighter.
#[test]
fn curvature_is_the_stated_formula() {
    for instance in instances() {
        let at = Point::new(&instance);
        for trained in ALL {
            let trained: Trained = trained.parse().unwrap();
            for rho in [0.0, 1e-3, 0.3] {
                let expected = Curvature::new(&instance, trained).unwrap().h(rho);
                let (found, error) = curvature::closed_form(&at, trained, rho).split();
                assert!((found - expected).abs() <= 1e-6 * expected && error <= 1e-10 * found);
                let radii = [rho, 0.5 * rho, 2.0 * rho];
                let H: Sharp = Sharp::new(&instance, trained);
                let expected = H.H(&radii);
                let found = curvature::sharp(&at, trained, radii);
                let exact_outputs = instance.dims().p == 1;
                for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
                    let found = found.upper();
                    let slack = 1e-7 * expected + 1e-20;
                    assert!(
                        found <= expected + slack,
                        "{trained} {rho}: {found} {expected}"
                    );
                    // rank 2 matrices W^O_h: 2^{1/16} apart.
                    let loss = if exact_outputs { 1.0 } else { 0.95 };
                    assert!(
                        found >= loss * expected - slack,
                        "{trained} {rho}: {found} {expected}"
                    );
                }
            }
        }
    }
    let H = [[0.0, 3.0, 1.0], [3.0, 2.0, 0.0], [1.0, 0.0, 0.0]].map(|row| row.map(ball));
    let exact = DMatrix::from_fn(3, 3, |b, c| H[b][c].upper())
        .singular_values()
        .max();
    let bound = curvature::block_norm(&H).upper();
    assert!(bound >= exact && bound <= 1.05 * exact);
    let M: Matrix = DMatrix::from_element(1, 1, ball(0.0));
    assert!(M[(0, 0)].is_zero() && curvature::block_norm(&[[ball(0.0); 3]; 3]).is_zero());
}

#[test]
fn obstructions_are_seen() {
    let dims = Dims {
        N: 2,
        n: 3,
        D: 6,
        d: 3,
        H: 2,
        p: 2,
    };
    for init in [Init::Lecun, Init::ConstantValue { s: 2.0 }] {
        let instance = Instance::random(dims, Kernel::Softmax, init, 3).unwrap();
        let bound = obstruction::hull_loss(&Point::new(&instance));
        let expected = f_hull(&instance).unwrap();
        assert!((bound.lower() - expected).abs() <= 1e-12 * expected);
        let constant = matches!(init, Init::ConstantValue { .. });
        assert_eq!(obstruction::values_ignore_token(&instance), constant);
    }
}
