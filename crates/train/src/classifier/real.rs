//! The two precisions a classifier runs in.

use super::attention::{self, Attention};
use faer::traits::ComplexField;
use std::ops::{Add, AddAssign, Div, DivAssign, Mul, MulAssign, Neg, Sub, SubAssign};

/// f32, which trains with the fused attention kernels, or f64, which follows plain formulas and serves
/// to check derivatives.
pub trait Real:
    ComplexField
    + Copy
    + Default
    + PartialOrd
    + Send
    + Sync
    + 'static
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + SubAssign
    + MulAssign
    + DivAssign
{
    /// The distance from 1 to the next number.
    const EPSILON: f64;
    /// The nearest number of this precision.
    fn from_f64(x: f64) -> Self;
    /// The same number.
    fn to_f64(self) -> f64;
    /// The square root.
    fn root(self) -> Self;
    /// Distribution function and density of the standard normal law.
    ///
    /// f64: to rounding. f32: absolute error below 3e-7; Abramowitz and Stegun, Handbook of Mathematical
    /// Functions, formula 7.1.26, whose operations vectorise.
    fn normal(self) -> (Self, Self);
    /// Attention, see [`attention::forward`].
    fn attend(problem: &Attention<Self>, out: &mut [Self], lse: &mut [Self]);
    /// Its derivative, see [`attention::backward`].
    fn attend_backward(
        problem: &Attention<Self>,
        saved: attention::Saved<Self>,
        dout: &[Self],
        gradient: attention::Gradient<Self>,
    );
}

impl Real for f64 {
    const EPSILON: f64 = f64::EPSILON;
    fn from_f64(x: f64) -> f64 {
        x
    }
    fn to_f64(self) -> f64 {
        self
    }
    fn root(self) -> f64 {
        self.sqrt()
    }
    fn normal(self) -> (f64, f64) {
        let density = libm::exp(-0.5 * self * self) / std::f64::consts::TAU.sqrt();
        (
            0.5 * libm::erfc(-self * std::f64::consts::FRAC_1_SQRT_2),
            density,
        )
    }
    fn attend(problem: &Attention<f64>, out: &mut [f64], lse: &mut [f64]) {
        attention::plain::forward(problem, out, lse);
    }
    fn attend_backward(
        problem: &Attention<f64>,
        _: attention::Saved<f64>,
        dout: &[f64],
        gradient: attention::Gradient<f64>,
    ) {
        attention::plain::backward(problem, dout, gradient);
    }
}

impl Real for f32 {
    const EPSILON: f64 = f32::EPSILON as f64;
    #[inline(always)]
    fn from_f64(x: f64) -> f32 {
        x as f32
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        self.into()
    }
    #[inline(always)]
    fn root(self) -> f32 {
        self.sqrt()
    }
    #[inline(always)]
    fn normal(self) -> (f32, f32) {
        let z = self.abs();
        let e = exp_negative(-0.5 * z * z);
        // With z / sqrt(2) in place of the formula's argument.
        let t = 1.0 / (1.0 + 0.231_641_9 * z);
        let tail = 1.061_405_4;
        let tail = -1.453_152_1 + t * tail;
        let tail = 1.421_413_8 + t * tail;
        let tail = -0.284_496_72 + t * tail;
        let tail = 0.254_829_6 + t * tail;
        let tail = 0.5 * t * tail * e;
        let below = if self < 0.0 { tail } else { 1.0 - tail };
        (below, 0.398_942_3 * e)
    }
    fn attend(problem: &Attention<f32>, out: &mut [f32], lse: &mut [f32]) {
        attention::forward(problem, out, lse);
    }
    fn attend_backward(
        problem: &Attention<f32>,
        saved: attention::Saved<f32>,
        dout: &[f32],
        gradient: attention::Gradient<f32>,
    ) {
        attention::backward(problem, saved, dout, gradient);
    }
}

/// e^x for x <= 0, relative error below 1e-6 for x > -87 and less than 2e-38 beyond; vectorises.
#[inline(always)]
fn exp_negative(x: f32) -> f32 {
    /// 1.5 * 2^23 + 127, see [`gdcert_base::simd::single`].
    const SHIFTER: f32 = 12_583_039.0;
    const LN_2_HI: f32 = 0.693_359_4;
    const LN_2_LO: f32 = -2.121_944_4e-4;
    let x = if x < -87.0 { -87.0 } else { x };
    let t = x * std::f32::consts::LOG2_E + SHIFTER;
    let k = t - SHIFTER;
    let r = (x - k * LN_2_HI) - k * LN_2_LO;
    // Taylor: the remainder is r^7 / 5040 < 1.2e-7.
    let p = 1.0 / 720.0;
    let p = 1.0 / 120.0 + r * p;
    let p = 1.0 / 24.0 + r * p;
    let p = 1.0 / 6.0 + r * p;
    let p = 0.5 + r * p;
    let p = 1.0 + r * p;
    let p = 1.0 + r * p;
    p * f32::from_bits(t.to_bits() << 23)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_is_within_its_bound() {
        for i in -200_000..=200_000 {
            let x = i as f32 * 1e-4;
            let ((cdf, density), exact) = (x.normal(), f64::from(x).normal());
            assert!((f64::from(cdf) - exact.0).abs() < 3e-7, "{x}: {cdf}");
            assert!(
                (f64::from(density) - exact.1).abs() < 3e-7,
                "{x}: {density}"
            );
        }
        let (cdf, density) = f32::NAN.normal();
        assert!(cdf.is_nan() && density.is_nan());
    }
}
