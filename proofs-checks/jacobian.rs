//! Lemmas 1 and 2: the blocks of the Jacobian, and the gradient J'r.

use crate::common::*;
use gdcert::bounds::Curvature;
use gdcert::model;
use nalgebra::DVector;
use proptest::prelude::*;
use std::cell::Cell;

/// Every entry against forward-mode differentiation of the residual, which knows no formula for J.
///
/// Both numbers round the same exact entry. The dual evaluation does, per operation of the residual, the
/// operation and its derivative: its error obeys a bound of the same form as J's with at most twice
/// the terms on at most twice the roundings, hence 1 + 4 times the bound of J.
#[test]
fn blocks_are_dual_derivatives_of_the_residual() {
    let largest = Largest::default();
    let property = |(draw, trained): (Draw, _)| {
        let instance = draw.instance();
        let W = instance.W();
        let J = model::jacobian(&instance, W, trained);
        let tolerance = 5.0 * jacobian_error(&instance, trained);
        for l in 0..J.ncols() {
            let mut delta = DVector::zeros(J.ncols());
            delta[l] = 1.0;
            let r = model::residual(&instance, &along(W, trained, &delta));
            for (a, r) in r.iter().enumerate() {
                let off = (J[(a, l)] - r.eps).abs();
                prop_assert!(
                    off <= tolerance,
                    "J[{a},{l}] off by {off:e} > {tolerance:e}"
                );
                largest.see(off / tolerance);
            }
        }
        Ok(())
    };
    runner(400, regressions!("jacobian"))
        .run(&(draws(), subsets()), property)
        .unwrap();
    println!("largest error / tolerance: {:.3}", largest.get());
}

/// Central differences along random directions: they need only the residual in f64.
///
/// Each side's Taylor remainder is at most t^2 h(t) / 2, so the quotient is off by at most t h(t) / 2, plus the
/// residual's rounding error over t. (The true error is of order t^2: the bound is what is proven.)
#[test]
fn blocks_are_limits_of_central_differences() {
    let sharp = Cell::new(0);
    let property = |(draw, trained, seed): (Draw, _, u64)| {
        let instance = draw.instance();
        let W = instance.W();
        let delta = direction(draw.dims, trained, seed);
        let t = 1e-6;
        let side = |t: f64| offset(W, trained, &(&delta * t));
        let (plus, minus) = (side(t), side(-t));
        let difference = (residual(&instance, &plus) - residual(&instance, &minus)) / (2.0 * t);
        let Jd = model::jacobian(&instance, W, trained) * &delta;

        let h = Curvature::new(&instance, trained).unwrap().h(t);
        let r_error =
            residual_error(&at(&instance, plus)).max(residual_error(&at(&instance, minus)));
        // The points M +- t delta are themselves rounded: |M| u moves r by at most about |J| |M| u.
        let J_norm = gdcert::spectrum::Spectrum::new(&instance, trained)
            .unwrap()
            .jacobian_norm
            .upper();
        let point_error = 2.0 * U * vector(W, trained).norm() * (J_norm + h);
        let rounding = (r_error + point_error) / t + jacobian_error(&instance, trained);
        let tolerance = t * h / 2.0 + rounding;
        let off = (&difference - &Jd).norm();
        prop_assert!(
            off <= tolerance,
            "off by {off:e} > {tolerance:e}, |J delta| = {:e}",
            Jd.norm()
        );
        if tolerance < 1e-3 * Jd.norm() {
            sharp.set(sharp.get() + 1);
        }
        Ok(())
    };
    runner(400, regressions!("jacobian"))
        .run(&(draws(), subsets(), any::<u64>()), property)
        .unwrap();
    // The others: J_Q = J_K = 0 (lazy, constant values), or large weights, whose rounding is too much for t.
    println!("tolerance below 1e-3 |J delta|: {} of 400", sharp.get());
    assert!(sharp.get() > 200);
}

/// gradient() forms J'r without J; entries agree to the errors of J and r.
#[test]
fn gradient_is_jacobian_transposed_times_residual() {
    let property = |(draw, trained): (Draw, _)| {
        let instance = draw.instance();
        let W = instance.W();
        let J = model::jacobian(&instance, W, trained);
        let r = residual(&instance, W);
        let gradient = vector(&model::gradient(&instance, W), trained);
        // |dJ||r| + |J||dr| for each of the two evaluations, and the rounding of J'r itself.
        let J_error = jacobian_error(&instance, trained);
        let products = (r.len() as f64 + 2.0) * U * J.norm() * r.norm();
        let one = J_error * r.norm() + (J.norm() + J_error) * residual_error(&instance) + products;
        let off = (J.transpose() * &r - gradient).norm();
        prop_assert!(off <= 2.0 * one, "off by {off:e} > {:e}", 2.0 * one);
        Ok(())
    };
    runner(400, regressions!("jacobian"))
        .run(&(draws(), subsets()), property)
        .unwrap();
}
