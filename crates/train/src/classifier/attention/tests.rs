//! The fused kernels beside plain f64, on every instruction set this processor has.

use super::*;
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

const KERNELS: [Kernel; 2] = [Kernel::Softmax, Kernel::Gaussian];

/// Samples of some lengths; q, k, v and dout of some size.
#[derive(Clone, Debug)]
struct Case {
    kernel: Kernel,
    heads: usize,
    p: usize,
    samples: Vec<Sample>,
    /// q, k, v, dout.
    x: [Vec<f32>; 4],
    mask: Option<Vec<bool>>,
}

/// Output, lse, and gradients by q, k, v.
struct Found<T> {
    out: Vec<T>,
    lse: Vec<T>,
    gradient: [Vec<T>; 3],
}

impl Case {
    /// `lengths`: queries and keys of each sample.
    fn new(kernel: Kernel, heads: usize, p: usize, lengths: &[(usize, usize)], seed: u64) -> Case {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut normal = || -> f32 {
            // A sum of uniforms will do.
            let unit = |x: u32| x as f32 / 2f32.powi(32);
            (0..12).map(|_| unit(rng.next_u32())).sum::<f32>() - 6.0
        };
        let mut end = (0, 0);
        let samples: Vec<_> = lengths
            .iter()
            .map(|&(queries, keys)| {
                let start = end;
                end = (end.0 + queries, end.1 + keys);
                Sample {
                    queries: start.0..end.0,
                    keys: start.1..end.1,
                }
            })
            .collect();
        let mut draw = |rows: usize| (0..rows * heads * p).map(|_| normal()).collect();
        Case {
            kernel,
            heads,
            p,
            samples,
            x: [draw(end.0), draw(end.1), draw(end.1), draw(end.0)],
            mask: None,
        }
    }

    fn change(mut self, which: &[usize], mut f: impl FnMut(usize, f32) -> f32) -> Case {
        for &which in which {
            for (i, x) in self.x[which].iter_mut().enumerate() {
                *x = f(i, *x);
            }
        }
        self
    }

    fn mask(mut self, keep: impl FnMut(usize) -> bool) -> Case {
        let keys = self.x[1].len() / (self.heads * self.p);
        self.mask = Some((0..keys).map(keep).collect());
        self
    }

    fn run<T: Copy + Default>(
        &self,
        x: &[Vec<T>; 4],
        forward: impl FnOnce(&Attention<T>, &mut [T], &mut [T]),
        backward: impl FnOnce(&Attention<T>, Saved<T>, &[T], Gradient<T>),
        unset: T,
    ) -> Found<T> {
        let width = self.heads * self.p;
        let rows = |i: usize| Rows {
            values: &x[i][..],
            stride: width,
        };
        let problem = Attention {
            kernel: self.kernel,
            heads: self.heads,
            p: self.p,
            q: rows(0),
            k: rows(1),
            v: rows(2),
            samples: &self.samples,
            mask: self.mask.as_deref(),
        };
        let mut out = vec![unset; x[0].len()];
        let mut lse = vec![unset; x[0].len() / self.p];
        forward(&problem, &mut out, &mut lse);
        let saved = Saved {
            out: &out,
            lse: &lse,
        };
        let (queries, keys) = (x[0].len(), x[1].len());
        let mut values = vec![unset; queries + 2 * keys];
        let gradient = Gradient {
            values: &mut values,
            stride: width,
            q: 0,
            k: queries,
            v: queries + keys,
        };
        backward(&problem, saved, &x[3], gradient);
        let dv = values.split_off(queries + keys);
        let dk = values.split_off(queries);
        Found {
            out,
            lse,
            gradient: [values, dk, dv],
        }
    }

    fn fused(&self, isa: Isa) -> Found<f32> {
        self.run(
            &self.x,
            |problem, out, lse| forward_on(isa, problem, out, lse),
            |problem, saved, dout, gradient| backward_on(isa, problem, saved, dout, gradient),
            f32::NAN,
        )
    }

    fn exact(&self) -> Found<f64> {
        let x = [0, 1, 2, 3].map(|i: usize| self.x[i].iter().map(|&x| x.into()).collect());
        self.run(
            &x,
            plain::forward,
            |problem, _, dout, gradient| plain::backward(problem, dout, gradient),
            f64::NAN,
        )
    }

    /// Largest errors of output and gradients, relative to the largest entry, over all instruction sets.
    fn errors(&self) -> [f64; 4] {
        let exact = self.exact();
        let mut worst = [0.0f64; 4];
        for isa in Isa::available() {
            let fused = self.fused(isa);
            let pairs = [
                (&fused.out, &exact.out),
                (&fused.gradient[0], &exact.gradient[0]),
                (&fused.gradient[1], &exact.gradient[1]),
                (&fused.gradient[2], &exact.gradient[2]),
            ];
            for ((fused, exact), worst) in pairs.into_iter().zip(&mut worst) {
                // A derivative that is 0 by structure (one key) comes out as rounding error.
                let size = exact.iter().fold(0.1f64, |m, x| m.max(x.abs()));
                for (&fused, &exact) in fused.iter().zip(exact) {
                    let error = (f64::from(fused) - exact).abs() / size;
                    assert!(error.is_finite(), "{}: {fused} for {exact}", isa.name());
                    *worst = worst.max(error);
                }
            }
        }
        worst
    }

    #[track_caller]
    fn check(&self, tolerance: f64) {
        let errors = self.errors();
        println!("{}: {errors:?}", self.kernel);
        assert!(errors.iter().all(|&e| e < tolerance), "{errors:?}");
    }
}

/// Weights have relative error of about the exponent's absolute error, some u times sqrt(p) times the
/// scores' size, here a few; sums over n keys average errors out. 1e-5 leaves a factor of 3 and more.
#[test]
fn unit_scale_inputs() {
    for kernel in KERNELS {
        for (heads, p, lengths) in [
            (2, 32, &[(1024, 1024)][..]),
            (2, 32, &[(97, 97), (1, 1), (0, 0), (250, 250), (96, 96)]),
            (1, 64, &[(200, 333)]),
            (3, 17, &[(97, 95)]),
            (1, 1, &[(50, 70)]),
            (1, 8, &[(1, 2)]),
            (1, 32, &[(1, 1)]),
            (1, 128, &[(130, 60)]),
        ] {
            Case::new(kernel, heads, p, lengths, 1).check(1e-5);
        }
    }
}

/// Scores of a few hundred: the exponent's rounding error is that much larger.
#[test]
fn large_queries_and_growing_keys() {
    for scale in [12.0, 40.0] {
        let case = Case::new(Kernel::Softmax, 1, 32, &[(300, 500)], 2);
        case.change(&[0], |_, x| scale * x)
            .check(2e-6 * f64::from(scale));
    }
    // Later keys are ever larger: the softmax's reference goes stale again and again.
    let case = Case::new(Kernel::Softmax, 2, 32, &[(130, 700)], 3);
    case.change(&[1], |i, x| 0.02 * (i / 64) as f32 * x)
        .check(1e-4);
    // ... or ever smaller.
    let case = Case::new(Kernel::Softmax, 2, 32, &[(130, 700)], 3);
    case.change(&[1], |i, x| 0.02 * (700 - i / 64) as f32 * x)
        .check(1e-4);
    // One huge key in the middle: scores of thousands, beyond the range of 2^x, whose rounding error is 1e-3.
    let case = Case::new(Kernel::Softmax, 1, 32, &[(50, 300)], 4);
    case.change(&[1], |i, x| if i / 32 == 200 { 1e3 * x } else { x })
        .check(1e-2);
}

/// |q|^2 + |k|^2 - 2 q.k cancels; the distances are of order 1.
#[test]
fn the_gaussian_does_not_cancel() {
    // A common shift goes away with the mean key. The shifted inputs themselves are the exact data.
    let case = Case::new(Kernel::Gaussian, 2, 32, &[(200, 300)], 5);
    case.change(&[0, 1], |_, x| 1000.0 + x).check(1e-5);
    // Two far clusters: centring does not help, differences do. Gradients sum dS (k - q) by expansion, which
    // loses a factor |k| / |k - q| of some tens.
    let case = Case::new(Kernel::Gaussian, 2, 32, &[(200, 300)], 6);
    let far = |i: usize, x: f32| {
        x + if (i / 64).is_multiple_of(2) {
            100.0
        } else {
            -100.0
        }
    };
    case.change(&[0, 1], far).check(1e-4);
    // Near and beyond the limit between the two forms.
    for scale in [0.5, 1.0, 2.0, 3.0, 5.0] {
        let case = Case::new(Kernel::Gaussian, 1, 32, &[(150, 150)], 7);
        let mut case = case.change(&[1], |_, x| scale * x);
        let near: Vec<f32> = case.x[1]
            .iter()
            .zip(&case.x[0])
            .map(|(k, q)| k + 0.5 * q)
            .collect();
        case.x[0] = near;
        case.check(3e-5);
    }
    // So far apart that all weights underflow.
    let case = Case::new(Kernel::Gaussian, 1, 16, &[(40, 40)], 8);
    let found = case.change(&[0], |_, x| 1e4 + x);
    for isa in Isa::available() {
        let Found { out, gradient, .. } = found.fused(isa);
        assert!(
            out.iter()
                .chain(gradient.iter().flatten())
                .all(|&x| x == 0.0)
        );
    }
}

#[test]
fn masked_keys_take_no_part() {
    for kernel in KERNELS {
        let case = || Case::new(kernel, 2, 32, &[(70, 70), (300, 300), (5, 5)], 9);
        case().mask(|key| key % 3 != 0).check(1e-5);
        case().mask(|key| key > 100).check(1e-5);
        // Whatever a masked key holds, it does not matter.
        let odd = |i: usize, x: f32| if (i / 64) % 2 == 1 { f32::NAN } else { x };
        case()
            .change(&[1, 2], odd)
            .mask(|key| key % 2 == 0)
            .check(1e-5);
    }
}

/// A query that is not a number spoils its own row, a key every row; neither is hidden.
#[test]
fn nan_is_passed_on() {
    let width = 32;
    let nan = |row: usize| move |i: usize, x: f32| if i / width == row { f32::NAN } else { x };
    for kernel in KERNELS {
        let case = || Case::new(kernel, 1, width, &[(200, 300)], 15);
        for isa in Isa::available() {
            let clean = case().fused(isa).out;
            let out = case().change(&[0], nan(40)).fused(isa).out;
            let rows = out.chunks_exact(width).zip(clean.chunks_exact(width));
            for (row, (out, clean)) in rows.enumerate() {
                for (out, clean) in out.iter().zip(clean) {
                    // The other rows of the query's strip may be summed with another reference.
                    let right = (out - clean).abs() < 1e-5;
                    assert!(
                        if row == 40 { out.is_nan() } else { right },
                        "{}: row {row}",
                        isa.name()
                    );
                }
            }
            for key in [3, 250] {
                let out = case().change(&[1], nan(key)).fused(isa).out;
                assert!(out.iter().all(|x| x.is_nan()), "{}: key {key}", isa.name());
            }
        }
    }
}

#[test]
fn no_key_gives_zero() {
    for kernel in KERNELS {
        let case = Case::new(kernel, 2, 8, &[(7, 7), (3, 0), (9, 9)], 10).mask(|key| key >= 7);
        for isa in Isa::available() {
            let Found { out, gradient, .. } = case.fused(isa);
            let [dq, dk, dv] = gradient;
            // Samples 0 and 1: query rows 0..10, key rows 0..7, 16 numbers each.
            for x in [&out[..160], &dq[..160], &dk[..112], &dv[..112]] {
                assert!(x.iter().all(|&x| x == 0.0), "{}", isa.name());
            }
        }
        case.check(1e-5);
    }
}

#[test]
fn the_denominator_is_the_logarithm_of_the_sum() {
    let case = Case::new(Kernel::Softmax, 2, 16, &[(40, 300)], 11);
    let exact = case.exact();
    for isa in Isa::available() {
        for (fused, exact) in case.fused(isa).lse.iter().zip(&exact.lse) {
            assert!((f64::from(*fused) - exact).abs() < 1e-5);
        }
    }
}

/// Few heads are cut inside, many are not: neither depends on the threads.
#[test]
fn threads_do_not_matter() {
    for kernel in KERNELS {
        for (heads, lengths) in [
            (1, &[(2500, 2500)][..]),
            (2, &[(700, 700), (0, 0), (300, 900)]),
            (2, &[(100, 100); 9]),
        ] {
            let case = Case::new(kernel, heads, 16, lengths, 12);
            let run = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
                let Found { out, gradient, .. } = pool.unwrap().install(|| case.fused(Isa::best()));
                [vec![out], gradient.into()].concat()
            };
            let one = run(1);
            for threads in [2, 3, 8] {
                assert!(run(threads) == one, "{kernel}, {threads} threads");
            }
        }
    }
}

/// Several backward passes at once in one pool: while one waits for its parts its thread begins another. This panicked.
#[test]
fn tasks_of_one_pool_do_not_meet() {
    let case = Case::new(Kernel::Gaussian, 1, 8, &[(600, 600)], 3);
    let alone = case.fused(Isa::best());
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(2)
        .build()
        .unwrap();
    pool.install(|| {
        (0..16).into_par_iter().for_each(|_| {
            let again = case.fused(Isa::best());
            assert!(again.gradient == alone.gradient);
        });
    });
}

/// Cut in parts, a head's gradients are right as well.
#[test]
fn heads_cut_in_parts() {
    for kernel in KERNELS {
        Case::new(kernel, 1, 32, &[(300, 1500)], 13).check(1e-5);
        Case::new(kernel, 2, 24, &[(100, 100), (600, 1530)], 14)
            .mask(|key| key % 7 != 1)
            .check(1e-5);
    }
}

#[test]
#[should_panic(expected = "overlap")]
fn overlapping_gradients_are_refused() {
    let x = [0.0; 8];
    let rows = Rows {
        values: &x[..],
        stride: 4,
    };
    let problem = Attention {
        kernel: Kernel::Softmax,
        heads: 1,
        p: 4,
        q: rows,
        k: rows,
        v: rows,
        samples: &[Sample {
            queries: 0..2,
            keys: 0..2,
        }],
        mask: None,
    };
    let saved = Saved {
        out: &x,
        lse: &[0.0; 2],
    };
    let gradient = Gradient {
        values: &mut [0.0; 24],
        stride: 4,
        q: 0,
        k: 8,
        v: 12,
    };
    backward(&problem, saved, &x, gradient);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn any_shape(
        gaussian: bool,
        heads in 1usize..4,
        p in 1usize..40,
        lengths in prop::collection::vec((0usize..130, 0usize..130), 1..4),
        masked in 0u32..4,
        scale in 0.1f32..3.0,
        seed: u64,
    ) {
        let kernel = KERNELS[usize::from(gaussian)];
        let case = Case::new(kernel, heads, p, &lengths, seed).change(&[0, 1], |_, x| scale * x);
        let case = case.mask(|key| !(key as u64 ^ seed).is_multiple_of(4) || masked == 0);
        let errors = case.errors();
        prop_assert!(errors.iter().all(|&e| e < 1e-4), "{errors:?}");
    }
}

/// The yardstick itself against central differences.
#[test]
fn plain_gradients_are_derivatives() {
    for kernel in KERNELS {
        let case = Case::new(kernel, 2, 5, &[(4, 6), (3, 2)], 15).mask(|key| key != 1);
        let x: [Vec<f64>; 4] =
            [0, 1, 2, 3].map(|i: usize| case.x[i].iter().map(|&x| x.into()).collect());
        let run = |x: &[Vec<f64>; 4]| {
            case.run(
                x,
                plain::forward,
                |problem, _, dout, gradient| plain::backward(problem, dout, gradient),
                0.0,
            )
        };
        let loss =
            |x: &[Vec<f64>; 4]| -> f64 { run(x).out.iter().zip(&x[3]).map(|(o, d)| o * d).sum() };
        let gradient = run(&x).gradient;
        for which in 0..3 {
            for i in 0..x[which].len() {
                let at = |step: f64| {
                    let mut x = x.clone();
                    x[which][i] += step;
                    loss(&x)
                };
                let difference = (at(1e-5) - at(-1e-5)) / 2e-5;
                let error = (difference - gradient[which][i]).abs();
                assert!(error < 1e-8, "{kernel} {which} {i}: {error:e}");
            }
        }
    }
}
