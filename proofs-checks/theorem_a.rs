//! Theorem A: where its conditions close, gradient descent stays in the ball and f decreases by the stated factor.

use crate::common::theorem_a::{Centre, Closed, Step, by_doubling};
use crate::common::*;
use gdcert::descent::{Steps, descend};
use gdcert::{Dims, Init, Instance, Kernel, Trained, model};

/// Runs the descent and checks both conclusions at every step; returns path end / rho.
fn conclusions_hold(instance: &Instance, trained: Trained, closed: Closed, steps: usize) -> f64 {
    let run = descend(instance, trained, closed.eta, Steps::Exactly(steps)).unwrap();
    let factor = 1.0 - closed.eta * closed.gain;
    let mut farthest = 0.0f64;
    for pair in run.points.windows(2) {
        let (now, next) = (&pair[0], &pair[1]);
        // Errors of both losses; the step itself rounds M by u |M|, which moves f far less than they.
        let error = next.loss_error + factor * now.loss_error;
        assert!(
            next.loss <= factor * now.loss + error,
            "t = {}: {:e} > {factor} * {:e}",
            next.t,
            next.loss,
            now.loss
        );
        let moved = next.moved.iter().map(|m| m * m).sum::<f64>().sqrt();
        // Each of at most a few hundred steps rounds by u |M|: 1e-12 rho covers |M| / rho up to 20.
        assert!(
            moved <= closed.rho * (1.0 + 1e-12),
            "left the ball: {moved} > {}",
            closed.rho
        );
        farthest = farthest.max(moved / closed.rho);
    }
    farthest
}

/// The smallest and the best radius, steps from cautious to the limit eta L = 2.
fn check(make: impl Fn(f64) -> Instance, trained: Trained, count: &mut Count) {
    count.tried += 1;
    let half = Step::Theta(0.5);
    // At the first scale where it closes the conditions are tight.
    let found = by_doubling(1.0, 24, |scale| {
        let instance = make(scale);
        let closes = Centre::new(&instance, trained).close(half).is_some();
        closes.then_some(instance)
    });
    let Some(instance) = found else { return };
    count.closed += 1;
    let centre = Centre::new(&instance, trained);
    for theta in [0.1, 0.5, 1.0, 1.9, 1.99] {
        let step = Step::Theta(theta);
        for closed in centre.closings(step).take(1).chain(centre.close(step)) {
            count.runs += 1;
            count.farthest = count
                .farthest
                .max(conclusions_hold(&instance, trained, closed, 150));
        }
    }
}

#[derive(Default, Debug)]
struct Count {
    tried: usize,
    closed: usize,
    runs: usize,
    farthest: f64,
}

#[test]
fn conclusions_hold_wherever_the_conditions_close() {
    let mut count = Count::default();
    for kernel in KERNELS {
        for seed in 0..5 {
            for (N, n, D, d, H, p) in [(1, 2, 4, 2, 1, 1), (2, 2, 5, 3, 2, 1), (1, 2, 4, 3, 2, 2)] {
                let dims = Dims { N, n, D, d, H, p };
                let lazy =
                    |omega| Instance::random(dims, kernel, Init::Lazy { omega }, seed).unwrap();
                check(lazy, Trained::QKV, &mut count);
                check(lazy, trained("KV"), &mut count);
                let dims = Dims { H: 2, ..dims };
                let paired = |s| Instance::random(dims, kernel, Init::Paired { s }, seed).unwrap();
                check(paired, Trained::Q, &mut count);
                check(paired, trained("QK"), &mut count);
            }
        }
    }
    println!("{count:?}");
    assert!(4 * count.closed > 3 * count.tried, "{count:?}");
    // The radius is not absurdly larger than what is used.
    assert!(count.farthest > 0.3, "{count:?}");
}

/// From an ordinary start the conditions close later on: at an iterate where the residual has become small.
#[test]
fn conclusions_hold_from_a_late_iterate() {
    let dims = Dims {
        N: 1,
        n: 3,
        D: 6,
        d: 4,
        H: 2,
        p: 1,
    };
    let trained = Trained::QKV;
    let mut closed_cases = 0;
    for kernel in [Kernel::Softmax, Kernel::Gaussian] {
        for seed in 0..4 {
            let mut instance = Instance::random(dims, kernel, Init::Lecun, seed).unwrap();
            let eta = 0.5 / Centre::new(&instance, trained).jacobian_norm.powi(2);
            for _ in 0..20 {
                for _ in 0..50 {
                    let gradient = vector(&model::gradient(&instance, instance.W()), trained);
                    let next = offset(instance.W(), trained, &(gradient * -eta));
                    instance = at(&instance, next);
                }
                if let Some(closed) = Centre::new(&instance, trained).close(Step::Fixed(eta)) {
                    closed_cases += 1;
                    conclusions_hold(&instance, trained, closed, 100);
                    break;
                }
            }
        }
    }
    println!("closed: {closed_cases} of 8");
    assert!(closed_cases >= 5);
}
