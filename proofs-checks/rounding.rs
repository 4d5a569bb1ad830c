//! The error bounds that every comparison uses: f64 results against the same formulas in double-double.

use crate::common::double_double::{distance, singular_values};
use crate::common::*;
use gdcert::model::{self, Head};
use gdcert::numbers::{DoubleDouble, Scalar};
use gdcert::spectrum::{Reading, Spectrum};
use gdcert::{Dims, Instance, Trained, Weights};
use nalgebra::DMatrix;
use proptest::prelude::*;
use std::cell::RefCell;

fn exact(W: &Weights) -> Weights<DoubleDouble> {
    W.map(DoubleDouble::from_f64)
}

/// 1/2 |r|^2 in double-double.
fn reference_loss(instance: &Instance) -> DoubleDouble {
    let mut f = DoubleDouble::from_f64(0.0);
    for r in model::residual(instance, &exact(instance.W())) {
        f += r * r * DoubleDouble::from_f64(0.5);
    }
    f
}

/// How error and bound compare over the cases: the largest ratio, and the median of bound / error.
#[derive(Default)]
struct Looseness(RefCell<Vec<f64>>);

impl Looseness {
    fn see(&self, error: f64, bound: f64) {
        if bound > 0.0 {
            self.0.borrow_mut().push(error / bound);
        }
    }

    /// The largest error / bound and the median.
    fn report(&self, name: &str) -> (f64, f64) {
        let mut ratios = self.0.take();
        ratios.sort_by(f64::total_cmp);
        let (largest, median) = (ratios[ratios.len() - 1], ratios[ratios.len() / 2]);
        println!("{name}: error / bound at most {largest:.2e}, median {median:.2e}");
        (largest, median)
    }
}

/// |f_computed - f| <= loss_error on random instances: every scheme, scores from 1e-4 to 1e4, scales to 1e3.
#[test]
fn loss_errors_are_bounds() {
    let looseness = Looseness::default();
    let property = |(mut draw, tau): (Draw, f64)| {
        draw.tau = tau;
        let instance = draw.instance();
        let (f, bound) = loss(&instance);
        let error = distance(reference_loss(&instance), f);
        prop_assert!(error <= bound, "off by {error:e} > {bound:e}, f = {f:e}");
        looseness.see(error, bound);
        Ok(())
    };
    runner(1000, regressions!("rounding"))
        .run(&(draws(), scales(-2.0..2.0)), property)
        .unwrap();
    let (_, median) = looseness.report("loss");
    // "One to three digits pessimistic", and not worse by more than one.
    assert!(median > 1e-4);
}

/// Where attention amplifies rounding: queries and keys share a component of size tau which cancels, in the scores'
/// differences (softmax) or in q - kappa (Gaussian), and leaves weights that are neither uniform nor saturated.
#[test]
fn loss_errors_are_bounds_when_large_scores_cancel() {
    let looseness = Looseness::default();
    let property = |(mut draw, tau): (Draw, f64)| {
        draw.tau = tau;
        draw.dims.D += 1;
        let instance = draw.instance();
        let mut W = instance.W().clone();
        let rest = match draw.kernel {
            gdcert::Kernel::Softmax => tau.powi(-2),
            gdcert::Kernel::Gaussian => tau.recip(),
        };
        for h in 0..draw.dims.H {
            for w in [&mut W.Q[h], &mut W.K[h]] {
                w.rows_mut(1, draw.dims.D - 1).scale_mut(rest);
            }
            let shared = W.Q[h].row(0).into_owned();
            W.K[h].set_row(0, &shared);
        }
        let mut X = instance.X().to_vec();
        X.iter_mut().for_each(|x| x.column_mut(0).fill(1.0));
        let instance = Instance::new(draw.kernel, X, instance.y().to_vec(), W).unwrap();
        let (f, bound) = loss(&instance);
        let error = distance(reference_loss(&instance), f);
        prop_assert!(error <= bound, "off by {error:e} > {bound:e}, f = {f:e}");
        looseness.see(error, bound);
        Ok(())
    };
    runner(1000, regressions!("rounding"))
        .run(&(draws(), scales(0.0..5.0)), property)
        .unwrap();
    looseness.report("loss with cancelling scores");
}

/// Where it matters most: late iterates, whose residual is the small difference of large numbers.
#[test]
fn loss_errors_are_bounds_near_convergence() {
    let looseness = Looseness::default();
    let dims = Dims {
        N: 1,
        n: 3,
        D: 6,
        d: 4,
        H: 2,
        p: 1,
    };
    for kernel in KERNELS {
        for seed in 0..5 {
            let trained = Trained::QKV;
            let draw = Draw {
                dims,
                kernel,
                init: gdcert::Init::Lecun,
                tau: 1.0,
                seed,
            };
            let mut instance = draw.instance();
            let J = Spectrum::new(&instance, trained)
                .unwrap()
                .jacobian_norm
                .upper();
            for t in 0..2000 {
                if t % 50 == 0 {
                    let (f, bound) = loss(&instance);
                    let error = distance(reference_loss(&instance), f);
                    assert!(
                        error <= bound,
                        "{kernel} {seed} t={t}: {error:e} > {bound:e}"
                    );
                    looseness.see(error, bound);
                }
                let gradient = vector(&model::gradient(&instance, instance.W()), trained);
                let next = offset(instance.W(), trained, &(gradient * (-0.5 / (J * J))));
                instance = at(&instance, next);
            }
        }
    }
    looseness.report("late loss");
}

/// B_0 in double-double.
fn reference_B(instance: &Instance) -> DMatrix<DoubleDouble> {
    let Dims { N, n, D, H, .. } = instance.dims();
    let W = exact(instance.W());
    let mut B = DMatrix::from_element(N * n, H * D, DoubleDouble::from_f64(0.0));
    for i in 0..N {
        let X = instance.X()[i].map(DoubleDouble::from_f64);
        for h in 0..H {
            let S = Head::new(instance, &W, i, h).S;
            for (k, e, j) in triples(n, D) {
                B[(i * n + k, h * D + e)] += S[(k, j)] * X[(j, e)];
            }
        }
    }
    B
}

/// All (k, e, j).
fn triples(n: usize, D: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..n).flat_map(move |k| (0..D).flat_map(move |e| (0..n).map(move |j| (k, e, j))))
}

/// sigma_min over all rows, 0 with fewer columns than rows; and the largest.
fn extremes(A: DMatrix<DoubleDouble>) -> (DoubleDouble, DoubleDouble) {
    if A.nrows() > A.ncols() {
        let largest = singular_values(A.transpose()).pop().unwrap();
        return (DoubleDouble::from_f64(0.0), largest);
    }
    let sigma = singular_values(A);
    (sigma[0], sigma[sigma.len() - 1])
}

/// Every estimate of the spectrum encloses its double-double value: sigma_min(B_0), |J_0| and the four betas. That
/// checks the bounds on the entries of B_0 and J together with the decompositions'.
#[test]
fn estimates_enclose_the_spectrum() {
    let looseness = Looseness::default();
    let entries = Looseness::default();
    let property = |(draw, trained): (Draw, Trained)| {
        let instance = draw.instance();
        let W = exact(instance.W());
        let spectrum = Spectrum::new(&instance, trained).unwrap();
        let B = reference_B(&instance);
        let J = model::jacobian(&instance, &W, trained);

        // Entries: |J_64 - J|_F is within the error of |J_0|, which contains the bound on the entries.
        let J64 = model::jacobian(&instance, instance.W(), trained);
        let off = J.zip_map(&J64, distance).norm();
        prop_assert!(
            off <= spectrum.jacobian_norm.error,
            "J entries off by {off:e}"
        );
        entries.see(off, spectrum.jacobian_norm.error);
        let off = B.zip_map(&gdcert::spectrum::B(&instance), distance).norm();
        prop_assert!(
            off <= spectrum.sigma_min_B0.error || draw.dims.H * draw.dims.D < draw.dims.tokens()
        );

        let (b, _) = extremes(B);
        let outputs = |W: DMatrix<DoubleDouble>| extremes(W.transpose()).0;
        let per_head = W.O.iter().map(|o| outputs(o.clone()));
        let per_head = per_head
            .min_by(|a, b| a.value().total_cmp(&b.value()))
            .unwrap();
        let p = draw.dims.p;
        let rows: Vec<_> = W.O.iter().flat_map(|o| o.row_iter()).collect();
        let stacked = outputs(DMatrix::from_fn(rows.len(), p, |a, c| rows[a][c]));
        let (value, _) = extremes(model::jacobian(&instance, &W, "V".parse().unwrap()));
        let (ntk, norm) = extremes(J);
        let square = |a: DoubleDouble| a * a;
        // Exact zeros (dependent rows) come out of the reference as about 1e-28 of the largest value.
        let size = spectrum.jacobian_norm.value + spectrum.sigma_min_B0.value + 1.0;
        let reference_error = 1e-26 * size.max(size * size);
        for (name, estimate, reference) in [
            ("sigma_min(B_0)", spectrum.sigma_min_B0, b),
            ("|J_0|", spectrum.jacobian_norm, norm),
            (
                "stacked",
                spectrum.beta(Reading::Stacked),
                square(stacked * b),
            ),
            (
                "per_head",
                spectrum.beta(Reading::PerHead),
                square(per_head * b),
            ),
            ("value", spectrum.beta(Reading::Value), square(value)),
            ("ntk", spectrum.beta(Reading::Ntk), square(ntk)),
        ] {
            let error = distance(reference, estimate.value);
            prop_assert!(
                error <= estimate.error + reference_error,
                "{name}: {estimate:?} against {reference:?}"
            );
            looseness.see(error, estimate.error);
        }
        Ok(())
    };
    runner(150, regressions!("rounding"))
        .run(&(draws(), subsets()), property)
        .unwrap();
    entries.report("entries of J");
    let (_, median) = looseness.report("spectrum");
    assert!(median > 1e-6);
}
