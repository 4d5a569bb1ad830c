//! Instances whose numbers come near under- or overflow, or whose norm-wise error bounds say nothing: verdicts and steps
//! must be those of the mathematics, or "not known".

use gdcert::model;
use gdcert::numbers::{DoubleDouble, Scalar};
use gdcert::spectrum::Reading;
use gdcert::verdict::Verdict;
use gdcert::{
    Dims, Eta, Init, Instance, Kernel, Settings, Trained, Verification, Weights, descent::Steps,
    verify,
};
use nalgebra::DMatrix;
use std::path::Path;

fn run(instance: &Instance, trained: &str, eta: Eta, steps: usize) -> Verification {
    let settings = Settings {
        trained: trained.parse().unwrap(),
        eta,
        steps: Steps::Exactly(steps),
        ..Settings::default()
    };
    verify(instance, &settings).unwrap()
}

fn draw(kernel: Kernel, seed: u64) -> Instance {
    let dims = Dims {
        N: 2,
        n: 4,
        D: 8,
        d: 4,
        H: 3,
        p: 1,
    };
    Instance::random(dims, kernel, Init::Lecun, seed).unwrap()
}

/// The same weights on other data.
fn with_data(instance: &Instance, x: impl Fn(f64) -> f64, y: f64) -> Instance {
    let X = instance.X().iter().map(|m| m.map(&x)).collect();
    let labels = instance.y().iter().map(|m| m * y).collect();
    Instance::new(instance.kernel(), X, labels, instance.W().clone()).unwrap()
}

fn with_weights(instance: &Instance, change: impl Fn(&mut Weights)) -> Instance {
    let mut W = instance.W().clone();
    change(&mut W);
    instance.clone().with_weights(W).unwrap()
}

fn times(block: &mut [DMatrix<f64>], by: f64) {
    block.iter_mut().for_each(|w| *w *= by);
}

/// |J_0| from a Jacobian in double-double.
fn jacobian_norm(instance: &Instance, trained: Trained) -> f64 {
    let W = instance.W().map(DoubleDouble::from_f64);
    let J = model::jacobian(instance, &W, trained).map(|x| x.value());
    J.singular_values().max()
}

/// --eta auto is 0.5 / |J_0|^2 also where the norm-wise bound on J's rounding has outgrown J.
#[test]
fn an_automatic_step_is_what_it_is_called() {
    for kernel in [Kernel::Softmax, Kernel::Gaussian] {
        for seed in 0..3 {
            let ordinary = draw(kernel, seed);
            let scaled = |x: f64| with_data(&ordinary, |v| x * v, 1.0);
            let queries = |by: f64| with_weights(&ordinary, |W| times(&mut W.Q, by));
            let logits = |by: f64| {
                with_weights(&ordinary, |W| {
                    times(&mut W.Q, by);
                    times(&mut W.K, by);
                })
            };
            let features = with_data(&ordinary, |v| (v * 400.0 + 500.0).clamp(0.0, 1000.0), 1.0);
            for (name, instance, trained) in [
                ("tokens times 500", scaled(500.0), "QKV"),
                ("W_Q times 1e6", queries(1e6), "QKV"),
                ("features in 0..1000", features, "QKV"),
                ("logits times 1e4", logits(1e4), "QKV"),
                ("tokens times 30", scaled(30.0), "Q"),
            ] {
                let trained_blocks: Trained = trained.parse().unwrap();
                let settings = Settings {
                    trained: trained_blocks,
                    steps: Steps::Exactly(20),
                    ..Settings::default()
                };
                let found = verify(&instance, &settings);
                let expected = jacobian_norm(&instance, trained_blocks);
                match found {
                    Ok(found) => {
                        let norm = found.spectrum.jacobian_norm.value;
                        assert!(
                            (norm / expected - 1.0).abs() < 1e-6,
                            "{kernel} {seed} {name}: {norm:e} {expected:e}"
                        );
                        let eta = found.trajectory.eta;
                        assert!((eta * norm * norm / 0.5 - 1.0).abs() < 1e-12);
                    }
                    Err(e) => {
                        // Queries so far from every key, or so sure of one, that nothing is left of J_Q; or of J beyond underflow.
                        assert!(
                            trained == "Q" || expected < 1e-290,
                            "{kernel} {seed} {name}: {e}; |J_0| is {expected:e}"
                        );
                        assert!(e.to_string().contains("--eta"), "{e}");
                    }
                }
            }
        }
    }
}

#[test]
fn tokens_of_length_2000_have_their_step() {
    let path = Path::new("../../../shared/inputs/01-eta-auto.safetensors");
    if !path.exists() {
        eprintln!("skipped: {} is absent", path.display());
        return;
    }
    let instance = Instance::read(path, None).unwrap();
    let found = run(&instance, "QKV", Eta::Auto, 200);
    assert!((found.trajectory.eta / 4.264e-8 - 1.0).abs() < 1e-3);
    for claim in &found.claims {
        assert_ne!(claim.verdict, Verdict::Diverged, "{claim:?}");
    }
}

fn ones(X: f64, y: f64, [q, k, v, o]: [f64; 4]) -> Instance {
    let one = |x: f64| DMatrix::from_element(1, 1, x);
    let W = Weights {
        Q: vec![one(q)],
        K: vec![one(k)],
        V: vec![one(v)],
        O: vec![one(o)],
    };
    Instance::new(Kernel::Softmax, vec![one(X)], vec![one(y)], W).unwrap()
}

/// beta = (1.58e-162 1e154)^2 for every reading, though X^2 is no f64; the rate certified is proven.
#[test]
fn betas_of_large_and_small_factors() {
    let instance = ones(1.58e-162, 1.0, [0.0, 0.0, 0.0, 1e154]);
    let found = run(&instance, "QKV", Eta::Fixed(4e14), 50);
    let beta = (1.58e-162f64 * 1e154).powi(2);
    for reading in Reading::ALL {
        let claim = found.claim(reading);
        let computed = found.spectrum.beta(reading).value;
        assert!(
            (computed / beta - 1.0).abs() < 1e-12,
            "{reading}: {computed:e}"
        );
        assert!(claim.verdict.holds(), "{claim:?}");
        if let (Verdict::Certified, Some(proven)) = (claim.verdict, &found.proven) {
            assert!(claim.rate <= proven.proof.rate_lower());
        }
    }
}

/// A loss that is a few times the smallest f64 says nothing; one whose norms underflow has the error that it has.
#[test]
fn what_underflows_is_no_violation() {
    for (kernel, seed) in [
        (Kernel::Softmax, 0),
        (Kernel::Softmax, 1),
        (Kernel::Gaussian, 0),
        (Kernel::Gaussian, 3),
    ] {
        let drawn = with_weights(&draw(kernel, seed), |W| times(&mut W.V, 0.0));
        for y in [1.0, 1e-150, 5e-160, 5e-161, 5e-162, 5e-163] {
            let instance = with_data(&drawn, |x| x, y);
            let found = run(&instance, "V", Eta::Auto, 100);
            for claim in &found.claims {
                assert!(!claim.verdict.fails(), "{kernel} {y:e}: {claim:?}");
            }
        }
        for (x, v, o) in [
            (1e-170, 1e26, 1e150),
            (1e-160, 1e10, 1e150),
            (1e-100, 1e-50, 1e150),
        ] {
            let instance = with_weights(&with_data(&draw(kernel, seed), |t| x * t, 1.0), |W| {
                times(&mut W.V, v);
                times(&mut W.O, o);
            });
            let found = run(&instance, "QKV", Eta::Auto, 100);
            for claim in &found.claims {
                assert!(!claim.verdict.fails(), "{kernel} {x:e}: {claim:?}");
            }
        }
    }
    let found = run(
        &ones(1e-170, 1.0, [1.0, 1.0, 1e26, 1e150]),
        "QKV",
        Eta::Auto,
        100,
    );
    assert!(found.claims.iter().all(|c| !c.verdict.fails()));
}

/// Singular values do not square: |J_Q| is proportional to W^O down to the smallest numbers.
#[test]
fn singular_values_scale_like_the_matrix() {
    for kernel in [Kernel::Softmax, Kernel::Gaussian] {
        let ordinary = draw(kernel, 5);
        let norm = |o: i32| {
            let instance = with_weights(&ordinary, |W| times(&mut W.O, 2f64.powi(o)));
            gdcert::spectrum::jacobian_norm(&instance, Trained::Q)
                .unwrap()
                .value
        };
        for power in [-400, -530, -540, -680, -800, -980, 400, 600, 900] {
            let expected = norm(0) * 2f64.powi(power);
            let found = norm(power);
            assert!(
                (found / expected - 1.0).abs() < 1e-12,
                "{kernel} 2^{power}: {found:e} {expected:e}"
            );
        }
    }
}
