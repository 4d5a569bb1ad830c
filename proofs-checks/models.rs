//! What is proven and refuted about models of any kind holds for gradient descent in numbers of 700 bits.

use gdcert::Certified;
use gdcert::certificate::{Checked, check};
use gdcert::descent::Steps;
use gdcert::graph::{Goal, Graph, Settings, Verification, certify, model_files, verify};
use gdcert::numbers::{Fixed, Interval, Scalar};
use gdcert::verdict::Verdict;
use gdcert_graph::{Builder, Evaluation, Function, Motion, random};

/// As many models as GDCERT_MODELS says.
fn count() -> usize {
    std::env::var("GDCERT_MODELS").map_or(24, |count| count.parse().unwrap())
}

const STEPS: usize = 150;

/// Bytes that look random.
fn bytes(seed: usize) -> Vec<u8> {
    let mut state = (seed as u64)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .wrapping_add(1);
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
    let centre = found
        .proven
        .as_ref()
        .and_then(|proven| proven.centre.as_deref());
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
        let found = verify(&graph, &settings).unwrap();
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
    println!(
        "{count} models: {certified} claims certified, {refuted} refuted, {checked} files proven again"
    );
    assert!(
        3 * certified >= count && 3 * refuted >= count,
        "{certified} {refuted}"
    );
    assert!(2 * checked >= count, "{checked}");
}

/// r = phi(X W) v - y on 3 samples, with the starts W and v times these numbers.
fn two_layers(seed: usize, [of_W, of_v]: [f64; 2]) -> gdcert::Result<Graph> {
    let mut numbers = bytes(seed).into_iter().map(|x| f64::from(x) / 64.0 - 2.0);
    let mut draw =
        |n: usize, by: f64| -> Vec<f64> { numbers.by_ref().take(n).map(|x| by * x).collect() };
    let width = 2 + seed % 3;
    let mut b = Builder::new();
    let W = b.parameter("W", &[2, width], &draw(2 * width, of_W))?;
    let v = b.parameter("v", &[width], &draw(width, of_v))?;
    let X = b.constant(&[3, 2], &draw(6, 1.0))?;
    let y = b.constant(&[3], &draw(3, 1.0))?;
    let z = b.matmul(X, W)?;
    let phi = [
        Function::Tanh,
        Function::Sin,
        Function::Erf,
        Function::Expm1,
    ];
    let features = b.map(phi[seed % phi.len()], z)?;
    let outputs = b.dot_general(features, v, [&[1], &[0]], [&[], &[]])?;
    let r = b.sub(outputs, y)?;
    b.finish(r)
}

/// Where the gradient is said to be exactly 0, 700 bits find it as small as they can tell, and the independent check agrees;
/// where it is not 0 nothing is said.
#[test]
fn what_stands_still_is_seen_to() {
    for seed in 0..24 {
        let v_alone = ["v".to_owned()];
        let W_alone = ["W".to_owned()];
        let both = two_layers(seed, [0.0, 0.0]).unwrap();
        let second = two_layers(seed, [1.0, 0.0]).unwrap();
        for (graph, stuck) in [
            (both.clone(), true),
            (both.training(&v_alone).unwrap(), true),
            (second.training(&W_alone).unwrap(), true),
            (second, false),
            (two_layers(seed, [0.0, 1e-9]).unwrap(), false),
        ] {
            let mut motion = Motion::<Fixed<12>>::new(&graph);
            motion.evaluate();
            let ends = motion.gradient().iter().map(|g| g.near());
            let largest = ends.fold(0.0, |most: f64, (x, off)| most.max(x.abs() + off));
            let found = gdcert_graph::standstill(&graph);
            assert_eq!(
                (found.is_some(), largest < 1e-150),
                (stuck, stuck),
                "{seed}"
            );
            let Some(loss) = found else { continue };
            let r = motion.residual().iter().map(|r| r.near().0);
            let f = 0.5 * r.map(|r| r * r).sum::<f64>();
            assert!(loss > 0.0 && loss <= f * (1.0 + 1e-12));
            let found = certify(&graph, &Goal::default());
            assert!(matches!(found.unwrap(), Certified::Obstructed(_)), "{seed}");
        }
    }
}

/// r = relu(X W + b) v - y on 3 samples, and the node of X W + b.
fn relu_net(seed: usize) -> gdcert::Result<(Graph, usize)> {
    let mut numbers = bytes(seed).into_iter().map(|x| f64::from(x) / 64.0 - 2.0);
    let mut draw = |n: usize| -> Vec<f64> { numbers.by_ref().take(n).collect() };
    let width = 5;
    let mut b = Builder::new();
    let W = b.parameter("W", &[2, width], &draw(2 * width))?;
    let c = b.parameter("b", &[width], &draw(width))?;
    let v = b.parameter("v", &[width], &draw(width))?;
    let X = b.constant(&[3, 2], &draw(6))?;
    let y = b.constant(&[3], &draw(3))?;
    let z = b.matmul(X, W)?;
    let c = b.broadcast_in_dim(c, &[3, width], &[1])?;
    let z = b.add(z, c)?;
    let features = b.relu(z)?;
    let outputs = b.dot_general(features, v, [&[1], &[0]], [&[], &[]])?;
    let r = b.sub(outputs, y)?;
    Ok((b.finish(r)?, z))
}

/// An orbit may step over a kink: the balls around M_t and M_{t + 1} lie in windows of their own, each with one side decided.
#[test]
fn orbits_step_over_kinks() {
    let goal = Goal {
        reading: Some("slow".to_owned()),
        claims: vec!["slow=rate:1e-5".parse().unwrap()],
        tail: 2000,
        ..Goal::default()
    };
    let settings = Settings {
        steps: Steps::Exactly(STEPS),
        ..Settings::default()
    };
    // How many orbits, refutations and proofs lead over a kink.
    let (mut enclosed, mut refuted, mut rates) = (0, 0, 0);
    for seed in 0..16 {
        let (graph, z) = relu_net(seed).unwrap();
        let found = verify(&graph, &settings).unwrap();
        let checked = proven_again(&graph, &found);
        assert!(checked >= found.refutations.len());
        let eta = found.trajectory.eta;
        let mut motion = Motion::<Fixed<12>>::new(&graph);
        let mut at = Evaluation::<f64>::new(&graph);
        // The first step at which the side of an entry is another than at M_0.
        let mut sides = |motion: &Motion<Fixed<12>>| -> Vec<bool> {
            for (x, w) in at.parameters_mut().iter_mut().zip(motion.weights()) {
                *x = w.near().0;
            }
            at.forward();
            at.value(z).iter().map(|x| *x > 0.0).collect()
        };
        let first = sides(&motion);
        let mut moved = |_: &usize| {
            motion.evaluate();
            motion.step(eta);
            sides(&motion) != first
        };
        let over = (1..2000).find(|t| moved(t)).unwrap_or(usize::MAX);
        let exact = losses(&graph, eta);
        if let Some(orbit) = &found.orbit {
            enclosed += usize::from(over <= orbit.steps);
            for (ends, loss) in orbit.losses.iter().zip(&exact) {
                assert!(ends[0] <= loss.hi() && loss.lo() <= ends[1], "{seed}");
            }
        }
        let turned = found
            .claims
            .iter()
            .filter_map(|claim| claim.first_violation);
        refuted += turned.filter(|t| over <= *t).count();
        // The check of the certificate is part of certify.
        if let Certified::Rate {
            proven, stopped, ..
        } = certify(&graph, &goal).unwrap()
            && stopped.is_none()
        {
            rates += usize::from(over <= proven.t);
        }
    }
    println!("over kinks: {enclosed} orbits, {refuted} refutations, {rates} rates");
    assert!(
        enclosed >= 8 && refuted >= 2 && rates >= 2,
        "{enclosed} {refuted} {rates}"
    );
}
