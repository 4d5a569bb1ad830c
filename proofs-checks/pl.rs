//! Lemma 5: the Polyak-Lojasiewicz inequality |grad f|^2 >= 2 beta_ntk f.

use crate::common::*;
use gdcert::model;
use gdcert::spectrum::Reading;
use gdcert::{Dims, Init, Instance, Trained};
use proptest::prelude::*;
use std::cell::Cell;

fn squared_gradient(instance: &Instance, trained: Trained) -> f64 {
    vector(&model::gradient(instance, instance.W()), trained).norm_squared()
}

/// A bound on the error of the computed |grad f|^2: J and r are off as stated, and J'r is summed.
fn gradient_error(instance: &Instance, trained: Trained) -> f64 {
    let J = model::jacobian(instance, instance.W(), trained);
    let r = residual(instance, instance.W()).norm();
    let error = jacobian_error(instance, trained);
    let g = error * r
        + (J.norm() + error) * residual_error(instance)
        + (J.nrows() + J.ncols()) as f64 * U * J.norm() * r;
    (2.0 * J.norm() * r + g) * g
}

/// With the lower end of beta and the errors of both sides.
#[test]
fn gradient_dominates_the_loss() {
    let nontrivial = Cell::new(0);
    let property = |(draw, trained): (Draw, Trained)| {
        let instance = draw.instance();
        let beta = beta(&instance, trained, Reading::Ntk);
        let (f, f_error) = loss(&instance);
        let left = squared_gradient(&instance, trained);
        let right = 2.0 * beta.lower() * (f - f_error);
        prop_assert!(
            left + gradient_error(&instance, trained) >= right,
            "{left:e} < {right:e}"
        );
        if right > 0.0 {
            nontrivial.set(nontrivial.get() + 1);
        }
        Ok(())
    };
    runner(300, regressions!("pl"))
        .run(&(draws(), subsets()), property)
        .unwrap();
    println!("beta > 0: {} of 300", nontrivial.get());
    assert!(nontrivial.get() > 60);
}

/// Labels that put the residual on the bottom left singular vector of J turn it into an equality: no larger
/// constant would do.
#[test]
fn the_constant_is_sharp() {
    let dims = Dims {
        N: 2,
        n: 3,
        D: 5,
        d: 3,
        H: 2,
        p: 2,
    };
    for kernel in KERNELS {
        for subset in SUBSETS {
            let trained = trained(subset);
            let instance = Instance::random(dims, kernel, Init::Lecun, 5).unwrap();
            let J = model::jacobian(&instance, instance.W(), trained);
            let svd = J.svd(true, false);
            let (bottom, _) = svd.singular_values.argmin();
            let direction = svd.u.unwrap().column(bottom).into_owned();
            let instance = with_residual(&instance, &direction);
            let beta = beta(&instance, trained, Reading::Ntk);
            let (f, f_error) = loss(&instance);
            let left = squared_gradient(&instance, trained);
            // The singular vector is known to about u |J| / gap only, which enters squared and times |J|^2;
            // 1e-9 leaves room for gaps down to 1e-3 |J|.
            let slack = gradient_error(&instance, trained)
                + 2.0 * beta.error * f
                + 2.0 * beta.value * f_error
                + 1e-9 * left;
            let right = 2.0 * beta.value * f;
            assert!(right > 0.0, "{kernel} {subset}");
            assert!(
                (left - right).abs() <= slack,
                "{kernel} {subset}: {left:e} {right:e}"
            );
        }
    }
}
