//! Vectors of f64.

use super::Portable;
#[cfg(target_arch = "x86_64")]
use super::{Avx2, Avx512, intrinsics};
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// Vector operations of one instruction set.
pub trait Simd: Copy {
    /// A vector of `L` numbers.
    type V: Copy;
    /// Numbers in a vector; divides 8, the unit every buffer is padded to.
    const L: usize;
    /// Largest tile of a product: rows, and vectors of columns. Its accumulators, one row of the
    /// right factor and one broadcast must fit the registers.
    const TILE: (usize, usize);

    fn splat(self, x: f64) -> Self::V;
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// a b + c, with one rounding or two.
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// The smaller number; `b` if one is NaN.
    fn min(self, a: Self::V, b: Self::V) -> Self::V;
    /// The larger number; `b` if one is NaN.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// 2^k from t = [`SHIFTER`] + k, for integers -1023 <= k <= 1024; 0 and inf at the two ends.
    fn pow2(self, t: Self::V) -> Self::V;
    /// The sum of the entries.
    fn sum(self, a: Self::V) -> f64;
    /// Asks for the cache line of `x` ahead of its use; does nothing where that is not possible.
    #[inline(always)]
    fn prefetch(self, _x: &f64) {}
    /// # Safety
    /// `x` is valid for reads of `L` numbers.
    unsafe fn load(self, x: *const f64) -> Self::V;
    /// # Safety
    /// `x` is valid for writes of `L` numbers.
    unsafe fn store(self, x: *mut f64, a: Self::V);

    /// x[at .. at + L].
    #[inline(always)]
    fn get(self, x: &[f64], at: usize) -> Self::V {
        let x = &x[at..at + Self::L];
        // SAFETY: the slice has L numbers.
        unsafe { self.load(x.as_ptr()) }
    }

    /// x[at .. at + L] = a.
    #[inline(always)]
    fn put(self, x: &mut [f64], at: usize, a: Self::V) {
        let x = &mut x[at..at + Self::L];
        // SAFETY: the slice has L numbers.
        unsafe { self.store(x.as_mut_ptr(), a) }
    }

    /// e^x with relative error below 2^-52 = 2u (u = 2^-53, the unit roundoff) where the result is
    /// a normal number, hence within 2 ulp.
    ///
    /// Ends: 0 for x < -708.75 (below 2^-1022.5), absolute error at most 2^-1074 where the result
    /// is subnormal, inf for x > 709.44 (above 2^1023.5); NaN gives NaN.
    ///
    /// Method: k = x / ln 2 rounded to an integer, r = x - k ln 2, e^x = 2^k e^r, and
    /// e^r = 1 + (r + r^2 q(r)) with q the Taylor polynomial of degree 11 of (e^r - 1 - r) / r^2.
    ///
    /// Proof of the bound, with or without fused multiply-add; errors are absolute, in units of u,
    /// unless they are called relative; terms in u^2 drown in the slack at the end.
    /// 1. |x / ln 2| < 1025, so the product x log2(e) is off by less than 1e-12, k is within
    ///    1/2 + 1e-12 of x / ln 2, and |r| <= R = 0.3466.
    /// 2. ln 2 = hi + lo + delta; hi has 32 bits, so k hi is exact. If k = 0, r = x. Otherwise
    ///    |x| > 1/4, so x - k hi is a multiple of 2^-54 smaller than 1/2: exact as well. With
    ///    |k lo| < 2^-22 and |k delta| < 2^-75, its product and delta cost less than 2^-73 and the
    ///    subtraction at most half an ulp of a number below 1/2, 2^-55 = 0.25. So r is off by
    ///    0.2501, which changes e^r by 0.2501 relative.
    /// 3. Truncation: R^14 / 14! * e^R < 6e-18 < 0.06.
    /// 4. q by Horner's rule, b_i = c_i + r b_{i+1}, c_i = 1/(i+2)!: the error E_i of b_i obeys
    ///    E_i <= R E_{i+1} + R |b_{i+1}| + |b_i| + c_i (product, sum, constant), and c_0 = 1/2 has
    ///    none. With |b_1| < 0.184, |b_2| < 0.046, |b_3| < 0.010 and |b_i| < 1.1 c_i beyond:
    ///    E_3 < 0.03, E_2 < 0.11, E_1 < 0.41; |b_0| < 0.564 gives E_0 < 0.15 + 0.07 + 0.57 = 0.79.
    /// 5. r^2 q: r^2 <= 0.1202, |r^2 q| < 0.068; errors 0.068 (square), 0.1202 * 0.79 < 0.096,
    ///    0.069 (product): 0.24. Adding r: |sum| < 0.4144 < 1/2, half an ulp is 0.25. Total 0.49.
    /// 6. The last sum y = 1 + (...), within [0.707, 1.4143]: half an ulp is 1 if y >= 1, 0.5 below.
    ///    If y >= 1: 1 + 0.49 + 0.06 = 1.55, relative at most 1.55. If y < 1: 0.5 + 0.49 + 0.06 =
    ///    1.05, relative at most 1.49. With 0.2501 from step 2: below 1.81 < 2. Multiplying by 2^k
    ///    is exact.
    #[inline(always)]
    fn exp(self, x: Self::V) -> Self::V {
        // The order of the arguments lets NaN through.
        let x = self.min(self.splat(710.0), self.max(self.splat(-709.1), x));
        let shifter = self.splat(SHIFTER);
        let t = self.fma(x, self.splat(std::f64::consts::LOG2_E), shifter);
        let minus_k = self.sub(shifter, t);
        let r = self.fma(minus_k, self.splat(LN_2_HI), x);
        let r = self.fma(minus_k, self.splat(LN_2_LO), r);
        let mut q = self.splat(INVERSE_FACTORIALS[11]);
        for i in (0..11).rev() {
            q = self.fma(q, r, self.splat(INVERSE_FACTORIALS[i]));
        }
        let s = self.fma(self.mul(r, r), q, r);
        self.mul(self.add(self.splat(1.0), s), self.pow2(t))
    }
}

/// 1.5 * 2^52: adding it rounds a small number to an integer, held in the low bits.
const SHIFTER: f64 = 6_755_399_441_055_744.0;
/// ln 2 to 32 bits.
const LN_2_HI: f64 = f64::from_bits(0x3fe6_2e42_fee0_0000);
/// ln 2 - `LN_2_HI`, rounded.
const LN_2_LO: f64 = f64::from_bits(0x3dea_39ef_3579_3c76);
/// 1 / (i + 2)!, i = 0..=11. Each factorial is exact in f64, so each constant is rounded once.
const INVERSE_FACTORIALS: [f64; 12] = {
    let mut c = [0.0; 12];
    let mut factorial = 1.0;
    let mut i = 0;
    while i < 12 {
        factorial *= (i + 2) as f64;
        c[i] = 1.0 / factorial;
        i += 1;
    }
    c
};

#[cfg(target_arch = "x86_64")]
impl Simd for Avx512 {
    type V = __m512d;
    const L: usize = 8;
    const TILE: (usize, usize) = (8, 2);

    intrinsics! {
        add(a, b) = _mm512_add_pd;
        sub(a, b) = _mm512_sub_pd;
        mul(a, b) = _mm512_mul_pd;
        div(a, b) = _mm512_div_pd;
        fma(a, b, c) = _mm512_fmadd_pd;
        min(a, b) = _mm512_min_pd;
        max(a, b) = _mm512_max_pd;
    }

    #[inline(always)]
    fn splat(self, x: f64) -> __m512d {
        // SAFETY: a value of Self exists, so the processor has the instruction.
        unsafe { _mm512_set1_pd(x) }
    }

    #[inline(always)]
    fn pow2(self, t: __m512d) -> __m512d {
        // SAFETY: a value of Self exists, so the processor has the instructions.
        unsafe {
            let k = _mm512_add_epi64(_mm512_castpd_si512(t), _mm512_set1_epi64(1023));
            _mm512_castsi512_pd(_mm512_slli_epi64::<52>(k))
        }
    }

    #[inline(always)]
    fn sum(self, a: __m512d) -> f64 {
        // SAFETY: a value of Self exists, so the processor has the instructions.
        unsafe { _mm512_reduce_add_pd(a) }
    }

    #[inline(always)]
    fn prefetch(self, x: &f64) {
        // SAFETY: a prefetch is a hint, harmless for any address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(x).cast()) }
    }

    #[inline(always)]
    unsafe fn load(self, x: *const f64) -> __m512d {
        // SAFETY: the caller's promise; a value of Self exists, so the processor has the instruction.
        unsafe { _mm512_loadu_pd(x) }
    }

    #[inline(always)]
    unsafe fn store(self, x: *mut f64, a: __m512d) {
        // SAFETY: the caller's promise; a value of Self exists, so the processor has the instruction.
        unsafe { _mm512_storeu_pd(x, a) }
    }
}

#[cfg(target_arch = "x86_64")]
impl Simd for Avx2 {
    type V = __m256d;
    const L: usize = 4;
    const TILE: (usize, usize) = (6, 2);

    intrinsics! {
        add(a, b) = _mm256_add_pd;
        sub(a, b) = _mm256_sub_pd;
        mul(a, b) = _mm256_mul_pd;
        div(a, b) = _mm256_div_pd;
        fma(a, b, c) = _mm256_fmadd_pd;
        min(a, b) = _mm256_min_pd;
        max(a, b) = _mm256_max_pd;
    }

    #[inline(always)]
    fn splat(self, x: f64) -> __m256d {
        // SAFETY: a value of Self exists, so the processor has the instruction.
        unsafe { _mm256_set1_pd(x) }
    }

    #[inline(always)]
    fn pow2(self, t: __m256d) -> __m256d {
        // SAFETY: a value of Self exists, so the processor has the instructions.
        unsafe {
            let k = _mm256_add_epi64(_mm256_castpd_si256(t), _mm256_set1_epi64x(1023));
            _mm256_castsi256_pd(_mm256_slli_epi64::<52>(k))
        }
    }

    #[inline(always)]
    fn sum(self, a: __m256d) -> f64 {
        // SAFETY: a value of Self exists, so the processor has the instructions.
        unsafe {
            let pair = _mm_add_pd(_mm256_castpd256_pd128(a), _mm256_extractf128_pd::<1>(a));
            _mm_cvtsd_f64(_mm_add_sd(pair, _mm_unpackhi_pd(pair, pair)))
        }
    }

    #[inline(always)]
    fn prefetch(self, x: &f64) {
        // SAFETY: a prefetch is a hint, harmless for any address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(x).cast()) }
    }

    #[inline(always)]
    unsafe fn load(self, x: *const f64) -> __m256d {
        // SAFETY: the caller's promise; a value of Self exists, so the processor has the instruction.
        unsafe { _mm256_loadu_pd(x) }
    }

    #[inline(always)]
    unsafe fn store(self, x: *mut f64, a: __m256d) {
        // SAFETY: the caller's promise; a value of Self exists, so the processor has the instruction.
        unsafe { _mm256_storeu_pd(x, a) }
    }
}

/// a b + c; fused only where that is an instruction and not a call.
#[inline(always)]
fn multiply_add(a: f64, b: f64, c: f64) -> f64 {
    if cfg!(any(target_arch = "aarch64", target_feature = "fma")) {
        a.mul_add(b, c)
    } else {
        a * b + c
    }
}

impl Simd for Portable {
    type V = [f64; 4];
    const L: usize = 4;
    const TILE: (usize, usize) = (4, 1);

    #[inline(always)]
    fn splat(self, x: f64) -> [f64; 4] {
        [x; 4]
    }
    #[inline(always)]
    fn add(self, a: [f64; 4], b: [f64; 4]) -> [f64; 4] {
        [a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]]
    }
    #[inline(always)]
    fn sub(self, a: [f64; 4], b: [f64; 4]) -> [f64; 4] {
        [a[0] - b[0], a[1] - b[1], a[2] - b[2], a[3] - b[3]]
    }
    #[inline(always)]
    fn mul(self, a: [f64; 4], b: [f64; 4]) -> [f64; 4] {
        [a[0] * b[0], a[1] * b[1], a[2] * b[2], a[3] * b[3]]
    }
    #[inline(always)]
    fn div(self, a: [f64; 4], b: [f64; 4]) -> [f64; 4] {
        [a[0] / b[0], a[1] / b[1], a[2] / b[2], a[3] / b[3]]
    }
    #[inline(always)]
    fn fma(self, a: [f64; 4], b: [f64; 4], c: [f64; 4]) -> [f64; 4] {
        std::array::from_fn(|l| multiply_add(a[l], b[l], c[l]))
    }
    #[inline(always)]
    fn min(self, a: [f64; 4], b: [f64; 4]) -> [f64; 4] {
        std::array::from_fn(|l| if a[l] < b[l] { a[l] } else { b[l] })
    }
    #[inline(always)]
    fn max(self, a: [f64; 4], b: [f64; 4]) -> [f64; 4] {
        std::array::from_fn(|l| if a[l] > b[l] { a[l] } else { b[l] })
    }
    #[inline(always)]
    fn pow2(self, t: [f64; 4]) -> [f64; 4] {
        std::array::from_fn(|l| f64::from_bits(t[l].to_bits().wrapping_add(1023) << 52))
    }
    #[inline(always)]
    fn sum(self, a: [f64; 4]) -> f64 {
        (a[0] + a[2]) + (a[1] + a[3])
    }
    #[inline(always)]
    unsafe fn load(self, x: *const f64) -> [f64; 4] {
        // SAFETY: the caller's promise.
        unsafe { x.cast::<[f64; 4]>().read() }
    }
    #[inline(always)]
    unsafe fn store(self, x: *mut f64, a: [f64; 4]) {
        // SAFETY: the caller's promise.
        unsafe { x.cast::<[f64; 4]>().write(a) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Isa, Op};

    struct Exp<'a>(&'a mut [f64]);
    impl Op for Exp<'_> {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            for at in (0..self.0.len()).step_by(S::L) {
                let e = s.exp(s.get(self.0, at));
                s.put(self.0, at, e);
            }
        }
    }

    /// A sum of two f64, about 2^-104 accurate.
    #[derive(Clone, Copy)]
    struct Pair(f64, f64);
    impl Pair {
        fn sum(a: f64, b: f64) -> Pair {
            let s = a + b;
            let t = s - a;
            Pair(s, (a - (s - t)) + (b - t))
        }
        fn add(self, b: Pair) -> Pair {
            let s = Pair::sum(self.0, b.0);
            Pair::sum(s.0, s.1 + self.1 + b.1)
        }
        fn mul(self, b: Pair) -> Pair {
            let p = self.0 * b.0;
            let low = self.0.mul_add(b.0, -p) + (self.0 * b.1 + self.1 * b.0);
            Pair::sum(p, low)
        }
        fn div(self, b: f64) -> Pair {
            let q = self.0 / b;
            Pair::sum(q, ((-q).mul_add(b, self.0) + self.1) / b)
        }
    }

    /// e^x / 2^k and k, by a Taylor series in pairs.
    fn exp_reference(x: f64) -> (Pair, i32) {
        // ln 2 = LN_2_HI + these, to about 2^-138.
        let low = Pair(LN_2_LO, f64::from_bits(0x3a8c_c01f_97b5_7a08));
        let k = (x * std::f64::consts::LOG2_E).round();
        let r = Pair::sum(x, -k * LN_2_HI).add(low.mul(Pair(-k, 0.0)));
        let mut e = Pair(1.0, 0.0);
        for i in (1..28).rev() {
            e = Pair(1.0, 0.0).add(e.mul(r).div(f64::from(i)));
        }
        (e, k as i32)
    }

    #[test]
    fn the_reference_is_right() {
        let (e, k) = exp_reference(1.0);
        assert_eq!(k, 1);
        // e = 2.718281828459045 + 1.44564689172925e-16 (the sum has 32 digits)
        let error = (2.0 * e.0 - std::f64::consts::E) + (2.0 * e.1 - 1.445_646_891_729_25e-16);
        assert!(error.abs() < 1e-30, "{error:e}");
    }

    #[test]
    fn exp_is_within_its_bound_on_every_instruction_set() {
        const COUNT: usize = 1 << 20;
        let bound = 2f64.powi(-52);
        let grid = |from: f64, to: f64| {
            (0..COUNT).map(move |i| from + (to - from) * (i as f64 / COUNT as f64))
        };
        let near_zero = (0..COUNT).map(|i| {
            let size = 2f64.powf(-(i as f64) * 60.0 / COUNT as f64);
            if i % 2 == 0 { size } else { -size }
        });
        let x: Vec<f64> = grid(-708.39, 709.4)
            .chain(grid(-40.0, 0.0))
            .chain(grid(-1.0, 1.0))
            .chain(near_zero)
            .collect();
        let exact: Vec<_> = x.iter().map(|&x| exp_reference(x)).collect();
        for isa in Isa::available() {
            let mut y = x.clone();
            isa.run(Exp(&mut y));
            let mut worst: f64 = 0.0;
            for ((&x, &y), &(e, k)) in x.iter().zip(&y).zip(&exact) {
                // Two exact scalings, because 2^k alone may be out of range.
                let y = y * 2f64.powi(-(k / 2)) * 2f64.powi(-(k - k / 2));
                let error = ((y - e.0) - e.1).abs() / e.0;
                assert!(error < bound, "{} x={x:e} error={error:e}", isa.name());
                worst = worst.max(error);
            }
            println!(
                "{}: largest relative error {:.3} u",
                isa.name(),
                worst * 2.0 / bound
            );
        }
    }

    #[test]
    fn exp_at_the_ends() {
        let x = [
            f64::NEG_INFINITY,
            -1e300,
            -709.0,
            0.0,
            -0.0,
            709.5,
            1e300,
            f64::INFINITY,
        ];
        for isa in Isa::available() {
            let mut y = x;
            isa.run(Exp(&mut y));
            assert_eq!(
                y,
                [
                    0.0,
                    0.0,
                    0.0,
                    1.0,
                    1.0,
                    f64::INFINITY,
                    f64::INFINITY,
                    f64::INFINITY
                ],
                "{}",
                isa.name()
            );
            let mut y = [f64::NAN, -708.5, -708.7, 1.0, -f64::NAN, 2.0, 3.0, 4.0];
            isa.run(Exp(&mut y));
            assert!(y[0].is_nan() && y[4].is_nan(), "{}", isa.name());
            // subnormal results: absolute error 2^-1074
            for (y, x) in [(y[1], -708.5f64), (y[2], -708.7)] {
                let off = (y.to_bits() as i64 - x.exp().to_bits() as i64).abs();
                assert!(off <= 2, "{} {y:e}", isa.name());
            }
        }
    }
}
