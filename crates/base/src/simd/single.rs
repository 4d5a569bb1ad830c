//! Vectors of f32.

use super::Portable;
#[cfg(target_arch = "x86_64")]
use super::{Avx2, Avx512, intrinsics};
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// Vector operations of one instruction set.
pub trait Simd: Copy {
    /// A vector of `L` numbers.
    type V: Copy;
    /// Numbers in a vector; at most 16.
    const L: usize;

    fn splat(self, x: f32) -> Self::V;
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// a b + c, with one rounding or two.
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// The larger number; `b` if one is NaN.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// Whether each entry is less than `limit`; no if one is NaN.
    fn all_below(self, a: Self::V, limit: f32) -> bool;
    /// 2^x with relative error below 2.5e-7 for -126 <= x < 127.5; below, at most 2^-126, and 0 from -150 on; above, at
    /// least 2^127, and inf from 128.5 on. NaN for NaN.
    fn exp2(self, x: Self::V) -> Self::V;
    /// # Safety
    /// `x` is valid for reads of `L` numbers.
    unsafe fn load(self, x: *const f32) -> Self::V;
    /// # Safety
    /// `x` is valid for writes of `L` numbers.
    unsafe fn store(self, x: *mut f32, a: Self::V);

    /// The entries, followed by zeros.
    #[inline(always)]
    fn entries(self, a: Self::V) -> [f32; 16] {
        const { assert!(Self::L <= 16) };
        let mut entries = [0.0; 16];
        // SAFETY: there is room for L numbers.
        unsafe { self.store(entries.as_mut_ptr(), a) };
        entries
    }
}

/// 2^r = 1 + r (C[0] + r (C[1] + ...)) on |r| <= 1/2, of least relative error given the leading 1.
#[allow(clippy::approx_constant)] // near ln 2, but not it
const C: [f32; 5] = [
    0.693_147,
    0.240_222_42,
    0.055_507_336,
    0.009_671_513,
    0.001_326_472_7,
];
/// 1.5 * 2^23 + 127: adding it rounds a small number k to an integer and leaves k + 127, the exponent
/// field of 2^k, in the low bits.
const SHIFTER: f32 = 12_583_039.0;

/// 2^(i/32). With AVX-512, where a table lies in two registers, this and a short polynomial are faster than a long one.
#[cfg(target_arch = "x86_64")]
#[allow(clippy::approx_constant)]
static ROOTS: [f32; 32] = [
    1.0,
    1.021_897_2,
    1.044_273_7,
    1.067_140_5,
    1.090_507_7,
    1.114_386_8,
    1.138_788_6,
    1.163_724_9,
    1.189_207_1,
    1.215_247_4,
    1.241_857_8,
    1.269_051,
    1.296_839_6,
    1.325_236_7,
    1.354_255_6,
    1.383_91,
    1.414_213_5,
    1.445_180_8,
    1.476_826_2,
    1.509_164_5,
    1.542_210_8,
    1.575_980_9,
    1.610_490_3,
    1.645_755_5,
    1.681_792_9,
    1.718_619_3,
    1.756_252_2,
    1.794_709_1,
    1.834_008_1,
    1.874_167_7,
    1.915_206_6,
    1.957_144_1,
];
/// 2^r = 1 + r (C_32[0] + r C_32[1]) on |r| <= 1/64, of least relative error given the leading 1.
#[cfg(target_arch = "x86_64")]
#[allow(clippy::approx_constant)] // near ln 2, but not it
const C_32: [f32; 2] = [0.693_157_3, 0.240_226_54];
/// 1.5 * 2^18: adding it rounds a number to a multiple of 1/32.
#[cfg(target_arch = "x86_64")]
const SHIFTER_32: f32 = 393_216.0;

#[cfg(target_arch = "x86_64")]
impl Simd for Avx512 {
    type V = __m512;
    const L: usize = 16;

    intrinsics! {
        add(a, b) = _mm512_add_ps;
        sub(a, b) = _mm512_sub_ps;
        mul(a, b) = _mm512_mul_ps;
        fma(a, b, c) = _mm512_fmadd_ps;
        max(a, b) = _mm512_max_ps;
    }

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        // SAFETY: a value of Self exists, so the processor has the instruction.
        unsafe { _mm512_set1_ps(x) }
    }

    #[inline(always)]
    fn all_below(self, a: __m512, limit: f32) -> bool {
        // SAFETY: a value of Self exists, so the processor has the instruction.
        unsafe { _mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, _mm512_set1_ps(limit)) == 0xffff }
    }

    #[inline(always)]
    fn exp2(self, x: __m512) -> __m512 {
        // SAFETY: a value of Self exists, so the processor has the instructions.
        unsafe {
            // Rounds to a multiple of 1/32, and leaves its last five bits in the lowest bits of `index`; scalef takes
            // the integer below it, and handles every range by itself.
            let k = _mm512_roundscale_ps::<0x58>(x);
            let r = _mm512_sub_ps(x, k);
            let index = _mm512_castps_si512(_mm512_add_ps(k, _mm512_set1_ps(SHIFTER_32)));
            let [low, high] = [0, 16].map(|i| _mm512_loadu_ps(ROOTS[i..][..16].as_ptr()));
            let t = _mm512_permutex2var_ps(low, index, high);
            let q = _mm512_fmadd_ps(r, _mm512_set1_ps(C_32[1]), _mm512_set1_ps(C_32[0]));
            let p = _mm512_fmadd_ps(_mm512_mul_ps(t, r), q, t);
            _mm512_scalef_ps(p, k)
        }
    }

    #[inline(always)]
    unsafe fn load(self, x: *const f32) -> __m512 {
        // SAFETY: the caller's promise; a value of Self exists, so the processor has the instruction.
        unsafe { _mm512_loadu_ps(x) }
    }

    #[inline(always)]
    unsafe fn store(self, x: *mut f32, a: __m512) {
        // SAFETY: the caller's promise; a value of Self exists, so the processor has the instruction.
        unsafe { _mm512_storeu_ps(x, a) }
    }
}

#[cfg(target_arch = "x86_64")]
impl Simd for Avx2 {
    type V = __m256;
    const L: usize = 8;

    intrinsics! {
        add(a, b) = _mm256_add_ps;
        sub(a, b) = _mm256_sub_ps;
        mul(a, b) = _mm256_mul_ps;
        fma(a, b, c) = _mm256_fmadd_ps;
        max(a, b) = _mm256_max_ps;
    }

    #[inline(always)]
    fn splat(self, x: f32) -> __m256 {
        // SAFETY: a value of Self exists, so the processor has the instruction.
        unsafe { _mm256_set1_ps(x) }
    }

    #[inline(always)]
    fn all_below(self, a: __m256, limit: f32) -> bool {
        // SAFETY: a value of Self exists, so the processor has the instructions.
        unsafe {
            let below = _mm256_cmp_ps::<_CMP_LT_OQ>(a, _mm256_set1_ps(limit));
            _mm256_movemask_ps(below) == 0xff
        }
    }

    #[inline(always)]
    fn exp2(self, x: __m256) -> __m256 {
        // SAFETY: a value of Self exists, so the processor has the instructions.
        unsafe {
            // The order of the arguments lets NaN through.
            let x = _mm256_max_ps(_mm256_set1_ps(-127.0), x);
            let x = _mm256_min_ps(_mm256_set1_ps(128.0), x);
            let shifter = _mm256_set1_ps(SHIFTER);
            let t = _mm256_add_ps(x, shifter);
            let r = _mm256_sub_ps(x, _mm256_sub_ps(t, shifter));
            let mut p = _mm256_set1_ps(C[4]);
            for c in [C[3], C[2], C[1], C[0], 1.0] {
                p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(c));
            }
            let scale = _mm256_slli_epi32::<23>(_mm256_castps_si256(t));
            _mm256_mul_ps(p, _mm256_castsi256_ps(scale))
        }
    }

    #[inline(always)]
    unsafe fn load(self, x: *const f32) -> __m256 {
        // SAFETY: the caller's promise; a value of Self exists, so the processor has the instruction.
        unsafe { _mm256_loadu_ps(x) }
    }

    #[inline(always)]
    unsafe fn store(self, x: *mut f32, a: __m256) {
        // SAFETY: the caller's promise; a value of Self exists, so the processor has the instruction.
        unsafe { _mm256_storeu_ps(x, a) }
    }
}

/// a b + c; fused only where that is an instruction and not a call.
#[inline(always)]
fn multiply_add(a: f32, b: f32, c: f32) -> f32 {
    if cfg!(any(target_arch = "aarch64", target_feature = "fma")) {
        a.mul_add(b, c)
    } else {
        a * b + c
    }
}

impl Simd for Portable {
    type V = [f32; 4];
    const L: usize = 4;

    #[inline(always)]
    fn splat(self, x: f32) -> [f32; 4] {
        [x; 4]
    }
    #[inline(always)]
    fn add(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|l| a[l] + b[l])
    }
    #[inline(always)]
    fn sub(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|l| a[l] - b[l])
    }
    #[inline(always)]
    fn mul(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|l| a[l] * b[l])
    }
    #[inline(always)]
    fn fma(self, a: [f32; 4], b: [f32; 4], c: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|l| multiply_add(a[l], b[l], c[l]))
    }
    #[inline(always)]
    fn max(self, a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|l| if a[l] > b[l] { a[l] } else { b[l] })
    }
    #[inline(always)]
    fn all_below(self, a: [f32; 4], limit: f32) -> bool {
        a.iter().all(|&x| x < limit)
    }
    #[inline(always)]
    fn exp2(self, x: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|l| {
            let x = if x[l] < -127.0 { -127.0 } else { x[l] };
            let x = if x > 128.0 { 128.0 } else { x };
            let t = x + SHIFTER;
            let r = x - (t - SHIFTER);
            let mut p = C[4];
            for c in [C[3], C[2], C[1], C[0], 1.0] {
                p = multiply_add(p, r, c);
            }
            p * f32::from_bits(t.to_bits() << 23)
        })
    }
    #[inline(always)]
    unsafe fn load(self, x: *const f32) -> [f32; 4] {
        // SAFETY: the caller's promise.
        unsafe { x.cast::<[f32; 4]>().read() }
    }
    #[inline(always)]
    unsafe fn store(self, x: *mut f32, a: [f32; 4]) {
        // SAFETY: the caller's promise.
        unsafe { x.cast::<[f32; 4]>().write(a) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Isa, Op, Vectors};

    struct Exp2<'a>(&'a mut [f32]);
    impl Op for Exp2<'_> {
        type Output = ();
        #[inline(always)]
        fn run<S: Vectors>(self, s: S) {
            for x in self.0.chunks_exact_mut(<S as Simd>::L) {
                // SAFETY: the chunk has L numbers.
                unsafe {
                    let e = Simd::exp2(s, Simd::load(s, x.as_ptr()));
                    Simd::store(s, x.as_mut_ptr(), e);
                }
            }
        }
    }

    #[test]
    fn exp2_is_within_its_bound_on_every_instruction_set() {
        const COUNT: usize = 1 << 22;
        let x: Vec<f32> = (0..COUNT)
            .map(|i| (-126.0 + 253.49 * (i as f64 / COUNT as f64)) as f32)
            .collect();
        for isa in Isa::available() {
            let mut y = x.clone();
            isa.run(Exp2(&mut y));
            let worst = x.iter().zip(&y).fold(0f64, |worst, (&x, &y)| {
                worst.max((f64::from(y) / f64::from(x).exp2() - 1.0).abs())
            });
            assert!(worst < 2.5e-7, "{}: {worst:e}", isa.name());
        }
    }

    struct AllBelow<'a>(&'a [f32; 16]);
    impl Op for AllBelow<'_> {
        type Output = bool;
        #[inline(always)]
        fn run<S: Vectors>(self, s: S) -> bool {
            // SAFETY: a vector has at most 16 numbers.
            Simd::all_below(s, unsafe { Simd::load(s, self.0.as_ptr()) }, 2.0)
        }
    }

    #[test]
    fn all_below_asks_every_entry_on_every_instruction_set() {
        for isa in Isa::available() {
            let mut x = [1.0; 16];
            assert!(isa.run(AllBelow(&x)), "{}", isa.name());
            for l in 0..isa.run(Lanes) {
                for other in [2.0, 3.0, f32::INFINITY, f32::NAN] {
                    x[l] = other;
                    assert!(!isa.run(AllBelow(&x)), "{}: {other} at {l}", isa.name());
                    x[l] = f32::NEG_INFINITY;
                    assert!(isa.run(AllBelow(&x)), "{}", isa.name());
                }
            }
        }
    }

    struct Lanes;
    impl Op for Lanes {
        type Output = usize;
        #[inline(always)]
        fn run<S: Vectors>(self, _: S) -> usize {
            <S as Simd>::L
        }
    }

    #[test]
    fn exp2_at_the_ends() {
        for isa in Isa::available() {
            let mut y = [0.0; 16];
            y[..7].copy_from_slice(&[
                f32::NEG_INFINITY,
                -1e30,
                -127.0,
                0.0,
                128.6,
                1e30,
                f32::INFINITY,
            ]);
            y[7] = f32::NAN;
            isa.run(Exp2(&mut y));
            assert_eq!(y[..2], [0.0, 0.0], "{}", isa.name());
            assert!(y[2] < 1e-38, "{}", isa.name());
            assert_eq!(y[3], 1.0);
            assert_eq!(y[4..7], [f32::INFINITY; 3], "{}", isa.name());
            assert!(y[7].is_nan(), "{}", isa.name());
        }
    }
}
