//! Sizes far below the smallest f64.

use gdcert_numbers::scale_up;

/// An upper bound m 2^e of a number that is not negative; every operation rounds up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Size {
    /// In [1, 2), or 0, or infinite.
    m: f64,
    e: i64,
}

impl Size {
    pub(super) const ZERO: Size = Size { m: 0.0, e: 0 };

    /// x 2^e for x >= 0; a NaN becomes infinite.
    pub(super) fn new(x: f64, e: i64) -> Self {
        if x == 0.0 {
            return Size::ZERO;
        }
        if !x.is_finite() {
            return Size {
                m: f64::INFINITY,
                e: 0,
            };
        }
        // Subnormal numbers become normal ones, exactly.
        let (x, e) = if x < f64::MIN_POSITIVE {
            (x * (1u64 << 60) as f64, e - 60)
        } else {
            (x, e)
        };
        let exponent = (x.to_bits() >> 52) as i64 - 1023;
        let m = f64::from_bits(x.to_bits() & ((1 << 52) - 1) | 1023 << 52);
        Size { m, e: e + exponent }
    }

    /// self x for x >= 0.
    pub(super) fn times(self, x: f64) -> Self {
        let x = Size::new(x, 0);
        if self.m == 0.0 || x.m == 0.0 {
            return Size::ZERO;
        }
        Size::new((self.m * x.m).next_up(), self.e + x.e)
    }

    /// self + other.
    pub(super) fn plus(self, other: Self) -> Self {
        let (large, small) = if (self.m == 0.0, self.e) <= (other.m == 0.0, other.e) {
            (other, self)
        } else {
            (self, other)
        };
        // The larger exponent comes first unless that number is 0; infinite ones have any exponent.
        let (large, small) = if large.m == 0.0 {
            (small, large)
        } else {
            (large, small)
        };
        if small.m == 0.0 {
            return large;
        }
        if !(large.m.is_finite() && small.m.is_finite()) {
            return Size::new(f64::INFINITY, 0);
        }
        let low = scale_up(small.m, (small.e - large.e).min(0));
        Size::new((large.m + low).next_up(), large.e)
    }

    /// As an f64, from above.
    pub(super) fn up(self) -> f64 {
        if self.m == 0.0 {
            return 0.0;
        }
        scale_up(self.m, self.e)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_and_products_are_not_below_the_exact_ones() {
        let tiny = Size::new(3.0, -3000);
        assert_eq!(tiny.up(), f64::from_bits(2));
        // 3 2^-3000 times 2^2990 and 5 2^-10 added.
        let x = tiny
            .times(2f64.powi(1000))
            .times(2f64.powi(1000))
            .times(2f64.powi(990));
        let sum = x.plus(Size::new(5.0, -10));
        let exact = 8.0 * 2f64.powi(-10);
        assert!(sum.up() >= exact && sum.up() < exact * (1.0 + 1e-14));
        assert_eq!(Size::ZERO.plus(sum), sum);
        assert_eq!(sum.plus(Size::ZERO), sum);
        let far = sum.plus(tiny);
        assert!(far.up() > sum.up() && far.up() < sum.up() * (1.0 + 1e-14));
        assert_eq!(tiny.plus(sum), far);
        for wrong in [f64::NAN, f64::INFINITY] {
            assert_eq!(Size::new(wrong, 0).plus(tiny).up(), f64::INFINITY);
            assert_eq!(tiny.plus(Size::new(wrong, 0)).up(), f64::INFINITY);
            assert_eq!(tiny.times(wrong).up(), f64::INFINITY);
        }
        assert_eq!(
            Size::new(f64::MIN_POSITIVE / 8.0, 0).times(8.0).up(),
            f64::MIN_POSITIVE.next_up().next_up().next_up()
        );
    }
}
