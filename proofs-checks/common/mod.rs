//! What the checks share: random instances, points and directions, errors of evaluation.

#![allow(dead_code)] // every check is its own crate and uses its own part

pub mod double_double;
pub mod theorem_a;

use gdcert::descent::{Steps, descend};
use gdcert::model;
use gdcert::numbers::{Dual, Scalar};
use gdcert::spectrum::{Reading, Spectrum};
pub use gdcert::testing::{Draw, draws, kernels, scales, sizes, trained as subsets};
use gdcert::{Dims, Init, Instance, Kernel, Trained, Weights};
use nalgebra::{DMatrix, DVector};
use proptest::prelude::*;
use proptest::test_runner::{FileFailurePersistence, TestRunner};

pub const KERNELS: [Kernel; 2] = [Kernel::Softmax, Kernel::Gaussian];
pub const SUBSETS: [&str; 7] = ["Q", "K", "V", "QK", "QV", "KV", "QKV"];

/// Unit roundoff.
pub const U: f64 = f64::EPSILON / 2.0;

/// The subset of that name.
pub fn trained(name: &str) -> Trained {
    name.parse().unwrap()
}

/// A runner whose failures are kept in `proptest-regressions/FILE.txt`.
///
/// `TestRunner::run` instead of the `proptest!` macro lets a check count over its cases: how many
/// were not vacuous, the largest ratio seen.
pub fn runner(cases: u32, regressions: &'static str) -> TestRunner {
    TestRunner::new(ProptestConfig {
        cases,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(regressions))),
        ..ProptestConfig::default()
    })
}

/// The regressions file of the check that calls.
#[macro_export]
macro_rules! regressions {
    ($name:literal) => {
        concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/proofs-checks/proptest-regressions/",
            $name,
            ".txt"
        )
    };
}

/// The largest value seen over the cases of a property.
#[derive(Default)]
pub struct Largest(std::cell::Cell<f64>);

impl Largest {
    pub fn see(&self, x: f64) {
        self.0.set(self.0.get().max(x));
    }
    pub fn get(&self) -> f64 {
        self.0.get()
    }
}

/// The trained entries of `W` with `delta` beside them, through `f`; order of the Jacobian's columns.
fn zip_trained<T: Scalar>(
    W: &Weights,
    trained: Trained,
    delta: &DVector<f64>,
    f: impl Fn(f64, f64) -> T,
) -> Weights<T> {
    let mut rest = delta.iter();
    let mut block = |on: bool, block: &[DMatrix<f64>]| -> Vec<DMatrix<T>> {
        let each = |w: &DMatrix<f64>| {
            let entries = w
                .iter()
                .map(|&x| f(x, if on { *rest.next().unwrap() } else { 0.0 }));
            let entries: Vec<T> = entries.collect();
            DMatrix::from_vec(w.nrows(), w.ncols(), entries)
        };
        block.iter().map(each).collect()
    };
    let [q, k, v] = trained.flags();
    Weights {
        Q: block(q, &W.Q),
        K: block(k, &W.K),
        V: block(v, &W.V),
        O: block(false, &W.O),
    }
}

/// M + delta.
pub fn offset(W: &Weights, trained: Trained, delta: &DVector<f64>) -> Weights {
    zip_trained(W, trained, delta, |x, dx| x + dx)
}

/// M with its derivative along delta.
pub fn along(W: &Weights, trained: Trained, delta: &DVector<f64>) -> Weights<Dual> {
    zip_trained(W, trained, delta, |re, eps| Dual { re, eps })
}

/// The trained entries as a vector.
pub fn vector(W: &Weights, trained: Trained) -> DVector<f64> {
    let blocks = [&W.Q, &W.K, &W.V];
    let on = blocks
        .into_iter()
        .zip(trained.flags())
        .filter(|(_, on)| *on);
    DVector::from_iterator(
        parameters(W, trained),
        on.flat_map(|(block, _)| block.iter().flat_map(|w| w.iter().copied())),
    )
}

fn parameters(W: &Weights, trained: Trained) -> usize {
    let one: usize = W.Q.iter().map(|w| w.len()).sum();
    one * trained.flags().into_iter().filter(|&on| on).count()
}

/// A random unit direction in the trained blocks.
pub fn direction(dims: Dims, trained: Trained, seed: u64) -> DVector<f64> {
    let normals = Instance::random(dims, Kernel::Softmax, Init::Lecun, seed).unwrap();
    vector(normals.W(), trained).normalize()
}

/// r at the weights W.
pub fn residual(instance: &Instance, W: &Weights) -> DVector<f64> {
    DVector::from_vec(model::residual(instance, W))
}

/// The same problem at other weights.
pub fn at(instance: &Instance, W: Weights) -> Instance {
    instance.clone().with_weights(W).unwrap()
}

/// The same problem with labels such that the residual at M_0 is r.
pub fn with_residual(instance: &Instance, r: &DVector<f64>) -> Instance {
    let Dims { n, p, .. } = instance.dims();
    let now = residual(instance, instance.W());
    let y = instance.y().iter().enumerate().map(|(i, y)| {
        DMatrix::from_fn(n, p, |k, c| {
            let a = (i * n + k) * p + c;
            y[(k, c)] + now[a] - r[a]
        })
    });
    let y = y.collect();
    Instance::new(
        instance.kernel(),
        instance.X().to_vec(),
        y,
        instance.W().clone(),
    )
    .unwrap()
}

/// f(M_0) as the descent computes it, and its error bound.
pub fn loss(instance: &Instance) -> (f64, f64) {
    let run = descend(instance, Trained::QKV, 1.0, Steps::Exactly(0)).unwrap();
    (run.points[0].loss, run.points[0].loss_error)
}

/// A bound on the error of the computed residual, from the loss's: the latter is at least |r| times it.
pub fn residual_error(instance: &Instance) -> f64 {
    let (f, error) = loss(instance);
    error / (2.0 * f).sqrt()
}

/// A bound on the error of the computed Jacobian (Frobenius norm) over the trained blocks.
pub fn jacobian_error(instance: &Instance, trained: Trained) -> f64 {
    Spectrum::new(instance, trained)
        .unwrap()
        .jacobian_norm
        .error
}

/// beta with its error.
pub fn beta(instance: &Instance, trained: Trained, reading: Reading) -> gdcert::spectrum::Estimate {
    Spectrum::new(instance, trained).unwrap().beta(reading)
}
