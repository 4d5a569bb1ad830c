//! Upper bounds of numbers >= 0 in f64, every operation rounded up.
//!
//! The rounded result of an operation of IEEE 754 is at most half a unit below the exact one, so the next f64 is
//! not below it, also where it is subnormal. Infinity means that nothing is known; a factor 0 is exact, and 0 times
//! what is not known (but is a number) is 0. No operation makes a NaN of two such bounds.

use gdcert_numbers::interval::sqrt_up;

/// The next f64 above a number >= 0 that was rounded.
#[inline]
fn raised(x: f64) -> f64 {
    if x < f64::INFINITY {
        x.next_up()
    } else {
        f64::INFINITY
    }
}

/// At least a + b.
#[inline]
pub(crate) fn add(a: f64, b: f64) -> f64 {
    if a == 0.0 {
        b
    } else if b == 0.0 {
        a
    } else {
        raised(a + b)
    }
}

/// At least a b.
#[inline]
pub(crate) fn mul(a: f64, b: f64) -> f64 {
    if a == 0.0 || b == 0.0 {
        0.0
    } else {
        raised(a * b)
    }
}

/// At least a / b for a number b > 0 that is not above the divisor; nothing is known if there is none.
#[inline]
pub(crate) fn div(a: f64, b: f64) -> f64 {
    if b > 0.0 {
        if a == 0.0 { 0.0 } else { raised(a / b) }
    } else {
        f64::INFINITY
    }
}

/// At least the root of a.
#[inline]
pub(crate) fn root(a: f64) -> f64 {
    sqrt_up(a)
}

/// At least the sum.
pub(crate) fn sum(terms: impl Iterator<Item = f64>) -> f64 {
    terms.fold(0.0, add)
}

/// At least the root of the sum of squares; scaled by their largest, so that nothing overflows or underflows.
pub(crate) fn norm(terms: impl Iterator<Item = f64> + Clone) -> f64 {
    let largest = terms.clone().fold(0.0, f64::max);
    if largest == 0.0 || largest == f64::INFINITY {
        return largest;
    }
    if largest > 1e-140 && largest < 1e140 {
        return root(sum(terms.map(|x| mul(x, x))));
    }
    let share = |x| div(x, largest);
    mul(largest, root(sum(terms.map(|x| mul(share(x), share(x))))))
}

/// A square, for sums of squares. What underflows is raised to the least number above 0.
pub(crate) fn mul_self(x: f64) -> f64 {
    mul(x, x)
}

/// The root of a sum of squares.
pub(crate) fn norm_of(squares: f64) -> f64 {
    root(squares)
}
