//! What is proven and refuted about models of any kind holds for gradient descent in numbers of 700 bits.

use gdcert::Certified;
use gdcert::descent::Steps;
use gdcert::graph::{Goal, Graph, Settings, certify, verify};
use gdcert::numbers::{Fixed, Interval, Scalar};
use gdcert::verdict::Verdict;
use gdcert_graph::{Motion, random};

const MODELS: usize = 24;
const STEPS: usize = 150;

/// Bytes that look random.
fn bytes(seed: usize) -> Vec<u8> {
    let mut state = seed as u64 * 0x9e37_79b9_7f4a_7c15 + 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 33) as u8
    };
    (0..120).map(|_| next()).collect()
}

/// f_t for t = 0, 1, ..., as far as 700 bits hold it.
fn losses(graph: &Graph, eta: f64) -> Vec<Interval> {
    let mut motion = Motion::<Fixed<12>>::new(graph);
    let mut all = Vec::new();
    for _ in 0..=STEPS {
        motion.evaluate();
        let entries = motion.residual().iter().map(|r| r.near());
        let entries: Vec<_> = entries.map(|(x, e)| Interval::around(x, e)).collect();
        let squares = entries.iter().map(|r| r.square());
        let sum = squares.fold(Interval::from_f64(0.0), |sum, x| sum + x);
        let loss = sum * Interval::from_f64(0.5);
        let known = loss.hi() - loss.lo() <= 1e-12 * loss.hi();
        if motion.kink().is_some() || !known {
            break;
        }
        all.push(loss);
        motion.step(eta);
    }
    all
}

#[test]
fn verdicts_on_models_made_at_random_are_true() {
    let claims: Vec<_> = ["slow=rate:1e-4", "fast=rate:0.4"]
        .map(|text| text.parse().unwrap())
        .into();
    let settings = Settings {
        steps: Steps::Exactly(STEPS),
        claims,
        ..Settings::default()
    };
    let (mut certified, mut refuted) = (0, 0);
    for seed in 0..MODELS {
        let graph = random::graph(&bytes(seed), 5).unwrap();
        let found = verify(&graph, &settings).unwrap();
        let exact = losses(&graph, found.trajectory.eta);
        assert!(exact.len() > 20, "{seed}: {}", exact.len());
        if let Some(orbit) = &found.orbit {
            for (t, (ends, loss)) in orbit.losses.iter().zip(&exact).enumerate() {
                assert!(
                    ends[0] <= loss.hi() && loss.lo() <= ends[1],
                    "{seed}: t = {t}"
                );
            }
        }
        for claim in &found.claims {
            let bound = |t: usize| claim.bound(t, exact[0].value()).unwrap();
            let room = 1e-9;
            match claim.verdict {
                Verdict::Certified => {
                    certified += 1;
                    for (t, loss) in exact.iter().enumerate() {
                        let holds = loss.lo() <= bound(t) * (1.0 + room);
                        assert!(holds, "{seed} {}: t = {t}, {}", claim.name, claim.reason);
                    }
                }
                Verdict::Refuted => {
                    refuted += 1;
                    let t = claim.first_violation.unwrap();
                    if let Some(loss) = exact.get(t) {
                        let exceeds = loss.hi() >= bound(t) * (1.0 - room);
                        assert!(exceeds, "{seed} {}: t = {t}, {}", claim.name, claim.reason);
                    }
                }
                _ => {}
            }
        }
    }
    assert!(certified >= 8 && refuted >= 8, "{certified} {refuted}");
}

/// Where the gradient is said to be exactly 0, 700 bits find it so small as they can tell, and the independent check agrees.
#[test]
fn what_stands_still_is_seen_to() {
    let (mut stuck, mut moving) = (0, 0);
    for seed in 0..120 {
        let graph = random::graph(&bytes(seed), 5).unwrap();
        let graph = graph.with_start(&vec![0.0; graph.P()]).unwrap();
        let mut motion = Motion::<Fixed<12>>::new(&graph);
        motion.evaluate();
        let Some(loss) = gdcert_graph::standstill(&graph) else {
            moving += 1;
            continue;
        };
        stuck += 1;
        assert!(motion.kink().is_none());
        for g in motion.gradient() {
            let (x, off) = g.near();
            assert!(x.abs() + off < 1e-150, "{seed}: {x:e} {off:e}");
        }
        let r = motion.residual().iter().map(|r| r.near().0);
        let f = 0.5 * r.map(|r| r * r).sum::<f64>();
        assert!(loss > 0.0 && loss <= f * (1.0 + 1e-12));
        let found = certify(&graph, &Goal::default());
        assert!(matches!(found.unwrap(), Certified::Obstructed(_)), "{seed}");
    }
    println!("{stuck} stuck, {moving} not");
    assert!(stuck >= 5 && moving >= 5);
}
