//! Strategies for property tests (feature `proptest`): random instances that shrink to small, readable ones.
//!
//! A claim of one's own about every initialization, tested in a few lines; what fails is printed as sizes, kernel, scheme, scale
//! and seed, shrunk towards one token, one head, softmax, scale 1 and seed 0:
//!
//! ```
//! use gdcert::{model, numbers::norm, testing};
//! use proptest::{prop_assert, test_runner::TestRunner};
//!
//! // The hull bound is a bound: no loss is below it, f(M_0) neither.
//! TestRunner::default()
//!     .run(&testing::draws(), |draw| {
//!         let instance = draw.instance();
//!         let r = norm(&model::residual(&instance, instance.W()));
//!         let bound = gdcert::bounds::f_hull(&instance).unwrap_or(0.0);
//!         prop_assert!(bound <= 0.5 * r * r * (1.0 + 1e-9));
//!         Ok(())
//!     })
//!     .unwrap();
//! ```
//!
//! In a crate of one's own: `gdcert = { version = "0.1", features = ["proptest"] }` under `[dev-dependencies]`.

use crate::{Dims, Init, Instance, Kernel, Trained};
use proptest::prelude::*;

/// A seeded random instance: what is drawn, shrunk, and printed on a failure.
#[derive(Clone, Copy, Debug)]
pub struct Draw {
    /// N, n, D, d, H, p.
    pub dims: Dims,
    /// The attention kernel.
    pub kernel: Kernel,
    /// The scheme of the weights, with its scale.
    pub init: Init,
    /// W^Q and W^K are multiplied by this: from uniform to saturated attention.
    pub tau: f64,
    /// The seed of [`Instance::random`].
    pub seed: u64,
}

impl Draw {
    /// The instance.
    ///
    /// # Panics
    /// Sizes that the scheme does not allow; [`draws`] has none.
    pub fn instance(&self) -> Instance {
        let instance = Instance::random(self.dims, self.kernel, self.init, self.seed)
            .expect("sizes that the scheme allows");
        let mut W = instance.W().clone();
        for w in W.Q.iter_mut().chain(&mut W.K) {
            *w *= self.tau;
        }
        instance
            .with_weights(W)
            .expect("weights of the shape they had")
    }
}

/// Both kernels; shrinks to softmax.
pub fn kernels() -> impl Strategy<Value = Kernel> {
    prop::sample::select(vec![Kernel::Softmax, Kernel::Gaussian])
}

/// The seven sets of trained blocks; shrinks to W^Q alone.
pub fn trained() -> impl Strategy<Value = Trained> {
    let subsets = ["Q", "K", "V", "QK", "QV", "KV", "QKV"];
    let parse = |name: &str| name.parse().expect("a set of blocks");
    prop::sample::select(subsets.map(parse).to_vec())
}

/// 10^e for exponents of a range, even in e; shrinks to 1 where the range allows it.
pub fn scales(exponents: std::ops::Range<f64>) -> impl Strategy<Value = f64> {
    exponents.prop_map(|e| 10f64.powf(e))
}

/// The four schemes, scales from 0.1 to 1000; shrinks to `lecun`.
pub fn inits() -> impl Strategy<Value = Init> {
    prop_oneof![
        Just(Init::Lecun),
        scales(-1.0..3.0).prop_map(|omega| Init::Lazy { omega }),
        scales(-1.0..3.0).prop_map(|s| Init::Paired { s }),
        scales(-1.0..3.0).prop_map(|s| Init::ConstantValue { s }),
    ]
}

/// Small sizes, each from 1 (N 3, n 4, D 5, d 4, H 3, p 3 at most); shrinks to 1.
pub fn sizes() -> impl Strategy<Value = Dims> {
    let ranges = (
        1..=3usize,
        1..=4usize,
        1..=5usize,
        1..=4usize,
        1..=3usize,
        1..=3usize,
    );
    ranges.prop_map(|(N, n, D, d, H, p)| Dims { N, n, D, d, H, p })
}

/// All schemes, kernels and small sizes, tau from 0.01 to 10; `lazy` gets d >= p and the paired schemes an even H.
pub fn draws() -> impl Strategy<Value = Draw> {
    let parts = (sizes(), kernels(), inits(), scales(-2.0..1.0), any::<u64>());
    parts.prop_map(|(mut dims, kernel, init, tau, seed)| {
        match init {
            Init::Lecun => {}
            Init::Lazy { .. } => dims.d = dims.d.max(dims.p),
            Init::Paired { .. } | Init::ConstantValue { .. } => dims.H *= 2,
        }
        Draw {
            dims,
            kernel,
            init,
            tau,
            seed,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::test_runner::{TestCaseError, TestError, TestRunner};

    /// A property that fails for every instance with two tokens is shrunk to the smallest of them. (Not two heads: some
    /// initializations have a pair at the least, and smaller ones pass.)
    #[test]
    fn failures_shrink_to_small_instances() {
        let mut runner = TestRunner::new(ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::default()
        });
        let found = runner.run(&draws(), |draw| match draw.instance().dims().n {
            1 => Ok(()),
            _ => Err(TestCaseError::fail("two tokens")),
        });
        let Err(TestError::Fail(_, draw)) = found else {
            panic!("{found:?}");
        };
        let Dims { N, n, D, d, H, p } = draw.dims;
        assert_eq!([N, n, D, d, H, p], [1, 2, 1, 1, 1, 1]);
        assert_eq!((draw.kernel, draw.init), (Kernel::Softmax, Init::Lecun));
        assert!((draw.tau - 1.0).abs() < 1e-6 && draw.seed == 0, "{draw:?}");
    }
}
