//! Proposition 4: the order of the four readings of beta.

use crate::common::*;
use gdcert::spectrum::{Estimate, Reading, Spectrum};
use gdcert::{Dims, Init, Instance, Kernel, Trained};
use proptest::prelude::*;
use std::cell::Cell;

/// Whether the enclosures allow a <= b: no tolerance but the errors that come with the estimates.
fn may_be_below(a: Estimate, b: Estimate) -> bool {
    a.lower() <= b.upper()
}

fn may_be_equal(a: Estimate, b: Estimate) -> bool {
    may_be_below(a, b) && may_be_below(b, a)
}

fn times(factor: f64, a: Estimate) -> Estimate {
    Estimate {
        value: factor * a.value,
        error: factor * a.error,
    }
}

/// Known well enough that a comparison says something.
fn resolved(a: Estimate) -> bool {
    a.error < 1e-6 * a.value
}

/// per_head <= value <= stacked, H per_head <= stacked, and value <= ntk where V is trained.
#[test]
fn the_readings_are_ordered() {
    let resolved_cases = Cell::new(0);
    let property = |(draw, trained): (Draw, Trained)| {
        let instance = draw.instance();
        let spectrum = Spectrum::new(&instance, trained).unwrap();
        let [stacked, per_head, value, ntk] = Reading::ALL.map(|r| spectrum.beta(r));
        let H = draw.dims.H as f64;
        prop_assert!(may_be_below(per_head, value), "{per_head:?} {value:?}");
        prop_assert!(may_be_below(value, stacked), "{value:?} {stacked:?}");
        prop_assert!(
            may_be_below(times(H, per_head), stacked),
            "{per_head:?} {stacked:?}"
        );
        if trained.v() {
            prop_assert!(may_be_below(value, ntk), "{value:?} {ntk:?}");
        }
        if [stacked, per_head, value].into_iter().all(resolved) {
            resolved_cases.set(resolved_cases.get() + 1);
        }
        Ok(())
    };
    let wide = (draws(), subsets()).prop_map(|(mut draw, trained)| {
        // HD >= Nn and d >= p in two cases of three, so that the readings are not all 0.
        if draw.seed % 3 > 0 {
            draw.dims.D = draw.dims.D.max(draw.dims.N * draw.dims.n);
            draw.dims.d = draw.dims.d.max(draw.dims.p);
        }
        (draw, trained)
    });
    runner(300, regressions!("betas"))
        .run(&wide, property)
        .unwrap();
    println!("resolved: {} of 300", resolved_cases.get());
    assert!(resolved_cases.get() > 50);
}

/// p = 1 and equal norms: stacked = H per_head. Orthonormal columns of equal size, any p: value = per_head.
#[test]
fn equal_heads_are_the_cases_of_equality() {
    let sizes = (1..=2usize, 1..=3usize, 1..=3usize, 1..=4usize, 1..=3usize);
    let strategy = (sizes, kernels(), scales(-1.0..4.0), any::<u64>());
    let sharp = Cell::new(0);
    let property = |((N, n, p, H, extra), kernel, omega, seed)| {
        let dims = Dims {
            N,
            n,
            D: N * n + extra,
            d: p + 1,
            H,
            p,
        };
        let instance = Instance::random(dims, kernel, Init::Lazy { omega }, seed).unwrap();
        let spectrum = Spectrum::new(&instance, Trained::QKV).unwrap();
        let [stacked, per_head, value, ntk] = Reading::ALL.map(|r| spectrum.beta(r));
        if resolved(per_head) {
            sharp.set(sharp.get() + 1); // the others: Gaussian weights near 0
        }
        // U_h' U_h = I to rounding only: omega^2 is off by a few p u, within the estimates' own errors.
        prop_assert!(
            may_be_equal(times(H as f64, per_head), stacked),
            "{per_head:?} {stacked:?}"
        );
        prop_assert!(may_be_equal(per_head, value), "{per_head:?} {value:?}");
        prop_assert!(
            may_be_equal(value, ntk),
            "W^V = 0 leaves J_Q = J_K = 0: {value:?} {ntk:?}"
        );
        Ok(())
    };
    runner(100, regressions!("betas"))
        .run(&strategy, property)
        .unwrap();
    assert!(sharp.get() > 80, "{} of 100", sharp.get());
}

/// stacked and ntk are not ordered: one instance each way, beyond all errors.
#[test]
fn stacked_and_ntk_are_not_ordered() {
    let dims = Dims {
        N: 2,
        n: 4,
        D: 8,
        d: 4,
        H: 3,
        p: 1,
    };
    let lazy = Init::Lazy { omega: 10.0 };
    let instance = Instance::random(dims, Kernel::Gaussian, lazy, 0).unwrap();
    let above = beta(&instance, Trained::QKV, Reading::Stacked);
    let below = beta(&instance, Trained::QKV, Reading::Ntk);
    assert!(above.lower() > below.upper(), "{above:?} {below:?}");

    // One head: stacked = per_head <= value <= ntk; large values make the Q and K blocks count.
    let dims = Dims {
        N: 1,
        n: 3,
        D: 8,
        d: 4,
        H: 1,
        p: 1,
    };
    let instance = Instance::random(dims, Kernel::Gaussian, Init::Lecun, 0).unwrap();
    let below = beta(&instance, Trained::QKV, Reading::Stacked);
    let above = beta(&instance, Trained::QKV, Reading::Ntk);
    assert!(above.lower() > below.upper(), "{above:?} {below:?}");
}

/// The inequalities are strict in general: neither side is computed from the other.
#[test]
fn the_order_is_strict_for_unequal_heads() {
    let dims = Dims {
        N: 2,
        n: 3,
        D: 6,
        d: 4,
        H: 3,
        p: 2,
    };
    for kernel in KERNELS {
        let instance = Instance::random(dims, kernel, Init::Lecun, 1).unwrap();
        let spectrum = Spectrum::new(&instance, Trained::QKV).unwrap();
        let [stacked, per_head, value, ntk] = Reading::ALL.map(|r| spectrum.beta(r));
        assert!(per_head.upper() < value.lower(), "{per_head:?} {value:?}");
        assert!(value.upper() < stacked.lower(), "{value:?} {stacked:?}");
        assert!(value.upper() < ntk.lower(), "{value:?} {ntk:?}");
    }
}
