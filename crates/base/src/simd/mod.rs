//! Instruction sets found at run time: AVX-512F, AVX2 with FMA, and portable arrays.
//!
//! A value of [`Avx512`] or [`Avx2`] exists only where the processor was found to have those
//! instructions; that is why vector operations are safe functions. [`Isa::run`] enters code compiled
//! for the instruction set; everything below it is `#[inline(always)]`, so that it is compiled there.
//! Vectors of f64 are in [`double`], of f32 in [`single`].

pub mod double;
pub mod single;

/// Vectors of both precisions.
pub trait Vectors: double::Simd + single::Simd {}
impl<S: double::Simd + single::Simd> Vectors for S {}

/// A computation that runs on any instruction set.
pub trait Op {
    type Output;
    /// Must be `#[inline(always)]`.
    fn run<S: Vectors>(self, s: S) -> Self::Output;
}

/// An instruction set this processor has.
#[derive(Clone, Copy, Debug)]
pub enum Isa {
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    Portable(Portable),
}

impl Isa {
    /// Every instruction set this processor has, the fastest first.
    pub fn available() -> impl Iterator<Item = Isa> {
        [
            #[cfg(target_arch = "x86_64")]
            Avx512::detect().map(Isa::Avx512),
            #[cfg(target_arch = "x86_64")]
            Avx2::detect().map(Isa::Avx2),
            Some(Isa::Portable(Portable)),
        ]
        .into_iter()
        .flatten()
    }

    /// The fastest instruction set this processor has.
    pub fn best() -> Isa {
        Isa::available().next().unwrap_or(Isa::Portable(Portable))
    }

    pub fn name(self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(_) => "AVX-512",
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(_) => "AVX2",
            Isa::Portable(_) => "portable",
        }
    }

    /// Runs `op` in code compiled for this instruction set.
    #[inline]
    pub fn run<O: Op>(self, op: O) -> O::Output {
        match self {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(s) => {
                #[target_feature(enable = "avx512f")]
                fn enter<O: Op>(s: Avx512, op: O) -> O::Output {
                    op.run(s)
                }
                // SAFETY: a value of Avx512 exists, so the processor has AVX-512F.
                unsafe { enter(s, op) }
            }
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(s) => {
                #[target_feature(enable = "avx2,fma")]
                fn enter<O: Op>(s: Avx2, op: O) -> O::Output {
                    op.run(s)
                }
                // SAFETY: a value of Avx2 exists, so the processor has AVX2 and FMA.
                unsafe { enter(s, op) }
            }
            Isa::Portable(s) => op.run(s),
        }
    }
}

/// Vectors of 8 f64 or 16 f32 by AVX-512F.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug)]
pub struct Avx512(());

#[cfg(target_arch = "x86_64")]
impl Avx512 {
    fn detect() -> Option<Self> {
        is_x86_feature_detected!("avx512f").then_some(Avx512(()))
    }
}

/// Vectors of 4 f64 or 8 f32 by AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug)]
pub struct Avx2(());

#[cfg(target_arch = "x86_64")]
impl Avx2 {
    fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Avx2(()))
    }
}

/// Arrays of 4 numbers, left to the compiler.
#[derive(Clone, Copy, Debug)]
pub struct Portable;

/// Asks the cache for `len` numbers from `x` on: a hint, at any address whatever.
#[inline(always)]
pub fn prefetch<T>(x: *const T, len: usize) {
    #[cfg(target_arch = "x86_64")]
    for at in (0..len).step_by(64 / size_of::<T>()) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: every x86-64 has the instruction, which reads nothing and never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(x.wrapping_add(at).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (x, len);
}

/// Methods that are one intrinsic each.
#[cfg(target_arch = "x86_64")]
macro_rules! intrinsics {
    ($($method:ident($($arg:ident),*) = $intrinsic:ident;)*) => {$(
        #[inline(always)]
        fn $method(self, $($arg: Self::V),*) -> Self::V {
            // SAFETY: a value of Self exists, so the processor has the instruction.
            unsafe { $intrinsic($($arg),*) }
        }
    )*};
}
#[cfg(target_arch = "x86_64")]
use intrinsics;

/// Compiles a function of plain loops for every instruction set and runs the best one the processor
/// has: the compiler vectorises the loops. Nothing is fused, so the results are the same everywhere.
#[macro_export]
macro_rules! vectorised {
    ($(#[$doc:meta])* $vis:vis fn $name:ident<$T:ident: $bound:path>($($arg:ident: $type:ty),* $(,)?) $body:block) => {
        $(#[$doc])*
        $vis fn $name<$T: $bound>($($arg: $type),*) {
            #[allow(clippy::too_many_arguments)]
            #[inline(always)]
            fn body<$T: $bound>($($arg: $type),*) $body
            #[cfg(target_arch = "x86_64")]
            #[allow(clippy::too_many_arguments)]
            #[target_feature(enable = "avx512f")]
            fn avx512<$T: $bound>($($arg: $type),*) {
                body($($arg),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[allow(clippy::too_many_arguments)]
            #[target_feature(enable = "avx2,fma")]
            fn avx2<$T: $bound>($($arg: $type),*) {
                body($($arg),*)
            }
            match $crate::simd::Isa::best() {
                // SAFETY: the value shows that the processor has AVX-512F.
                #[cfg(target_arch = "x86_64")]
                $crate::simd::Isa::Avx512(_) => unsafe { avx512($($arg),*) },
                // SAFETY: the value shows that the processor has AVX2 and FMA.
                #[cfg(target_arch = "x86_64")]
                $crate::simd::Isa::Avx2(_) => unsafe { avx2($($arg),*) },
                $crate::simd::Isa::Portable(_) => body($($arg),*),
            }
        }
    };
}
