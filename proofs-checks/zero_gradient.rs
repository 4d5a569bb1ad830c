//! Proposition 8: values that do not depend on the token make softmax blind to W^Q and W^K, and only softmax.

use crate::common::*;
use gdcert::descent::{Steps, descend};
use gdcert::model;
use gdcert::spectrum::Reading;
use gdcert::verdict::Verdict;
use gdcert::{Dims, Eta, Init, Instance, Kernel, Settings, Trained, verify};
use proptest::prelude::*;

fn constant_values() -> impl Strategy<Value = Draw> {
    (sizes(), scales(-1.0..4.0), scales(-1.0..1.0), any::<u64>()).prop_map(
        |(dims, s, tau, seed)| Draw {
            dims: Dims {
                H: 2 * dims.H,
                ..dims
            },
            kernel: Kernel::Softmax,
            init: Init::ConstantValue { s },
            tau,
            seed,
        },
    )
}

/// J_Q = J_K = 0 in exact arithmetic: what f64 shows is within the Jacobian's error bound, and the loss stays.
#[test]
fn softmax_does_not_move() {
    let property = |(draw, subset): (Draw, &str)| {
        let instance = draw.instance();
        let trained = trained(subset);
        let J = model::jacobian(&instance, instance.W(), trained);
        let error = jacobian_error(&instance, trained);
        prop_assert!(J.norm() <= error, "|J| = {:e} > {error:e}", J.norm());

        let r = residual(&instance, instance.W()).norm();
        let gradient = vector(&model::gradient(&instance, instance.W()), trained).norm();
        // |dJ||r|: the gradient of zeros is off by the errors of J only, twice for its own sums.
        prop_assert!(
            gradient <= 2.0 * error * r,
            "{gradient:e} > {:e}",
            2.0 * error * r
        );

        // A step at which the Gaussian kernel would move far: the loss does not leave its error interval.
        let steps = Steps::Exactly(50);
        let settings = Settings {
            trained,
            eta: Eta::Fixed(0.1),
            steps,
            reading: None,
            curvature_at: vec![],
            ..Settings::default()
        };
        let found = verify(&instance, &settings).unwrap();
        for point in &found.trajectory.points {
            let off = (point.loss - found.loss0()).abs();
            let error = 2.0 * point.loss_error.max(found.trajectory.points[0].loss_error);
            prop_assert!(off <= error, "t = {}: {off:e} > {error:e}", point.t);
        }
        prop_assert_eq!(found.claim(Reading::Ntk).verdict, Verdict::Obstructed);
        Ok(())
    };
    let subsets = prop::sample::select(&["Q", "K", "QK"][..]);
    runner(100, regressions!("zero_gradient"))
        .run(&(constant_values(), subsets), property)
        .unwrap();
}

/// W^V is a different matter: trained, it moves at once.
#[test]
fn the_values_still_move() {
    let dims = Dims {
        N: 2,
        n: 3,
        D: 6,
        d: 3,
        H: 2,
        p: 1,
    };
    let init = Init::ConstantValue { s: 1.0 };
    let instance = Instance::random(dims, Kernel::Softmax, init, 0).unwrap();
    let run = descend(&instance, trained("V"), 0.05, Steps::Exactly(20)).unwrap();
    assert!(run.points[20].loss < 0.9 * run.points[0].loss);
}

/// The same data and weights under the Gaussian kernel: J_Q has full row rank, beyond the error of lambda_min.
/// Generic once D d H / 2 >= m (here with room), so fixed seeds.
#[test]
fn the_gaussian_kernel_has_full_row_rank() {
    for (N, n, D, d, H, p) in [(1, 2, 4, 2, 2, 1), (2, 3, 6, 3, 2, 1), (2, 2, 5, 3, 4, 2)] {
        let dims = Dims { N, n, D, d, H, p };
        for seed in 0..10 {
            let init = Init::ConstantValue { s: 1.0 };
            let softmax = Instance::random(dims, Kernel::Softmax, init, seed).unwrap();
            let gaussian = softmax.clone().with_kernel(Kernel::Gaussian);
            let [zero, full] = [softmax, gaussian].map(|i| beta(&i, Trained::Q, Reading::Ntk));
            assert!(zero.lower() == 0.0, "{dims} seed {seed}: {zero:?}");
            assert!(full.lower() > 0.0, "{dims} seed {seed}: {full:?}");
        }
    }
}
