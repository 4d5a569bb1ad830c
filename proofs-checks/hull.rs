//! Proposition 7: softmax outputs lie in the hull of the values, so f >= f_hull whatever W^Q and W^K are.

use crate::common::*;
use gdcert::bounds::f_hull;
use gdcert::descent::{Steps, descend};
use gdcert::{Dims, Init, Instance, Kernel, Weights};
use proptest::prelude::*;
use std::cell::Cell;

/// The same values, W^Q and W^K drawn anew at scale tau.
fn redrawn(instance: &Instance, tau: f64, seed: u64) -> Instance {
    let other = Instance::random(instance.dims(), Kernel::Softmax, Init::Lecun, seed).unwrap();
    let W = other.W();
    let scaled = |block: &[nalgebra::DMatrix<f64>]| block.iter().map(|w| w * tau).collect();
    let [Q, K] = [scaled(&W.Q), scaled(&W.K)];
    at(
        instance,
        Weights {
            Q,
            K,
            ..instance.W().clone()
        },
    )
}

/// The part of the loss, and of f_hull, that belongs to output c.
fn of_output(instance: &Instance, c: usize) -> Instance {
    let column = |w: &nalgebra::DMatrix<f64>| w.columns(c, 1).into_owned();
    let W = instance.W();
    let W = Weights {
        O: W.O.iter().map(column).collect(),
        ..W.clone()
    };
    let y = instance.y().iter().map(column).collect();
    Instance::new(instance.kernel(), instance.X().to_vec(), y, W).unwrap()
}

/// f_hull is summed from u and y with roundings like those of the loss: the loss's error bound covers it once more.
fn above_hull(f: f64, f_error: f64, hull: f64) -> bool {
    f + 2.0 * f_error >= hull
}

/// Random W^Q and W^K from vanishing to saturated attention, each output for itself.
#[test]
fn no_query_or_key_weights_go_below() {
    let positive = Cell::new(0);
    let property = |(mut draw, tau, seed): (Draw, f64, u64)| {
        draw.kernel = Kernel::Softmax;
        let instance = draw.instance();
        for c in 0..draw.dims.p {
            let part = of_output(&instance, c);
            let hull = f_hull(&part).unwrap();
            let moved = redrawn(&part, tau, seed);
            // f_hull depends on the values only; same operations, same bits.
            prop_assert_eq!(f_hull(&moved), Some(hull));
            let (f, f_error) = loss(&moved);
            prop_assert!(above_hull(f, f_error, hull), "output {c}: {f:e} < {hull:e}");
            if hull > f_error {
                positive.set(positive.get() + 1);
            }
        }
        let parts: f64 = (0..draw.dims.p)
            .map(|c| f_hull(&of_output(&instance, c)).unwrap())
            .sum();
        let whole = f_hull(&instance).unwrap();
        approx::assert_relative_eq!(whole, parts, max_relative = 1e-12); // sums of the same squares
        Ok(())
    };
    runner(300, regressions!("hull"))
        .run(&(draws(), scales(-3.0..3.0), any::<u64>()), property)
        .unwrap();
    println!("f_hull > 0: {} outputs", positive.get());
    assert!(positive.get() > 100);
}

/// Descent on {Q}, {K} and {Q, K} stays above, and the verdict says so.
#[test]
fn descent_stays_above() {
    let closest = Largest::default();
    let property = |(mut draw, subset, size): (Draw, &str, f64)| {
        draw.kernel = Kernel::Softmax;
        draw.tau = 1.0;
        draw.init = Init::Lecun;
        let instance = draw.instance();
        let hull = f_hull(&instance).unwrap();
        let trained = trained(subset);
        let J = gdcert::spectrum::Spectrum::new(&instance, trained)
            .unwrap()
            .jacobian_norm
            .upper();
        let eta = size / (J * J);
        let run = descend(&instance, trained, eta, Steps::UpTo(300)).unwrap();
        for point in &run.points {
            prop_assert!(
                above_hull(point.loss, point.loss_error, hull),
                "t = {}",
                point.t
            );
        }
        let last = run.points.last().unwrap().loss;
        if last < 0.9 * run.points[0].loss {
            closest.see(hull / last);
        }
        Ok(())
    };
    let subsets = prop::sample::select(&["Q", "K", "QK"][..]);
    runner(60, regressions!("hull"))
        .run(&(draws(), subsets, 0.1..1.5), property)
        .unwrap();
    println!("largest f_hull / f_T where f fell: {:.3}", closest.get());
}

/// The bound is attained: always with one token, and with two tokens when saturated attention picks the nearer
/// value for every query.
#[test]
fn the_bound_is_attained() {
    let dims = Dims {
        N: 3,
        n: 1,
        D: 3,
        d: 2,
        H: 2,
        p: 2,
    };
    let one = Instance::random(dims, Kernel::Softmax, Init::Lecun, 2).unwrap();
    let (f, f_error) = loss(&one);
    assert!((f - f_hull(&one).unwrap()).abs() <= 2.0 * f_error);

    let dims = Dims {
        N: 1,
        n: 2,
        D: 3,
        d: 2,
        H: 1,
        p: 1,
    };
    let attained = (0..200).any(|seed| {
        let values = Instance::random(dims, Kernel::Softmax, Init::Lecun, seed % 5).unwrap();
        let hull = f_hull(&values).unwrap();
        let (f, f_error) = loss(&redrawn(&values, 1e3, seed));
        assert!(above_hull(f, f_error, hull));
        // Scores of size 1e3 leave e^{-1e3} of the farther value: equal to rounding.
        hull > 0.1 && f <= hull + 2.0 * f_error
    });
    assert!(attained);
}
