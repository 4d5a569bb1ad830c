//! Lemma 3: J_V J_V' = sum_h (B_h B_h') (x) (W^O_h' W^O_h).

use crate::common::*;
use gdcert::model;
use gdcert::spectrum::{B, Reading};
use nalgebra::DMatrix;
use proptest::prelude::*;
use std::cell::Cell;

fn from_structure(instance: &gdcert::Instance) -> DMatrix<f64> {
    let B = B(instance);
    let (D, m) = (instance.dims().D, instance.dims().m());
    let mut sum = DMatrix::zeros(m, m);
    for (h, W) in instance.W().O.iter().enumerate() {
        let B_h = B.columns(h * D, D);
        sum += (B_h * B_h.transpose()).kronecker(&(W.transpose() * W));
    }
    sum
}

/// Both sides sum the same products, S_kj S_lj' x x' o o', with different roundings: J_V's entries carry
/// jacobian_error, the products and sums add at most (D d H + n + 5) u |J_V|^2.
#[test]
fn value_block_gram_is_a_sum_of_kronecker_products() {
    let V = trained("V");
    let sharp = Cell::new(0);
    let property = |draw: Draw| {
        let instance = draw.instance();
        let J_V = model::jacobian(&instance, instance.W(), V);
        let size = J_V.norm();
        let error = jacobian_error(&instance, V);
        let roundings = (draw.dims.block_len() + draw.dims.n + 5) as f64 * U * size * size;
        let tolerance = 2.0 * (2.0 * size + error) * error + 2.0 * roundings;
        let off = (&J_V * J_V.transpose() - from_structure(&instance)).norm();
        prop_assert!(off <= tolerance, "off by {off:e} > {tolerance:e}");
        // Gaussian weights that underflow leave nothing to compare.
        if tolerance <= 1e-8 * size * size {
            sharp.set(sharp.get() + 1);
        }
        Ok(())
    };
    runner(200, regressions!("value_gram"))
        .run(&draws(), property)
        .unwrap();
    println!("resolved: {} of 200", sharp.get());
    assert!(sharp.get() > 100, "{} of 200", sharp.get());
}

/// beta_value is its smallest eigenvalue (by another route: eigenvalues of the Gram matrix).
#[test]
fn beta_value_is_the_smallest_eigenvalue() {
    let property = |draw: Draw| {
        let instance = draw.instance();
        let gram = from_structure(&instance);
        let smallest = gram.clone().symmetric_eigenvalues().min();
        let beta = beta(&instance, trained("V"), Reading::Value);
        // The eigenvalue solver is backward stable: off by a modest multiple of u |gram|; the Gram
        // matrix itself by the error of J_V's entries times 2 |J_V|.
        let size = gram.trace().sqrt();
        let entries = 2.0 * size * jacobian_error(&instance, trained("V"));
        let tolerance = beta.error + entries + 20.0 * gram.nrows() as f64 * U * gram.norm();
        let off = (smallest - beta.value).abs();
        prop_assert!(off <= tolerance, "{smallest:e} against {:e}", beta.value);
        Ok(())
    };
    runner(200, regressions!("value_gram"))
        .run(&draws(), property)
        .unwrap();
}
