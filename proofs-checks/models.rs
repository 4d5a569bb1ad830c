//! What is proven and refuted about models of any kind holds for gradient descent in numbers of 700 bits.

use gdcert::descent::Steps;
use gdcert::certificate::{Checked, check};
use gdcert::graph::{Graph, Settings, Verification, model_files, verify};
use gdcert::numbers::{Fixed, Interval, Scalar};
use gdcert::verdict::Verdict;
use gdcert_graph::{Motion, random};
use std::ops::ControlFlow;

/// As many models as GDCERT_MODELS says.
fn count() -> usize {
    std::env::var("GDCERT_MODELS").map_or(24, |count| count.parse().unwrap())
}

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

/// How many certificates there are; the checker, which has its own orbit and its own bounds, proves each of them again.
fn proven_again(graph: &Graph, found: &Verification) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    for (name, bytes) in model_files(graph).unwrap() {
        write(&name, &bytes);
    }
    let centre = found.proven.as_ref().and_then(|proven| proven.centre.as_deref());
    let refutations = found.refutations.iter().map(|(_, certificate)| certificate);
    let all: Vec<_> = found.certificate.iter().chain(refutations).collect();
    for certificate in &all {
        let files = certificate.files(graph, centre).unwrap();
        files.iter().for_each(|(name, bytes)| write(name, bytes));
        let checked = check(folder.path()).unwrap();
        assert!(matches!(checked, Checked::Valid(_)), "{checked:?}");
    }
    all.len()
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
    let (count, mut checked) = (count(), 0);
    for seed in 0..count {
        let graph = random::graph(&bytes(seed), 5).unwrap();
        let through = &mut |_| ControlFlow::Continue(());
        let found = verify(&graph, &settings, through).unwrap();
        checked += proven_again(&graph, &found);
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
    println!("{count} models: {certified} claims certified, {refuted} refuted, {checked} files proven again");
    assert!(3 * certified >= count && 3 * refuted >= count, "{certified} {refuted}");
    assert!(2 * checked >= count, "{checked}");
}
