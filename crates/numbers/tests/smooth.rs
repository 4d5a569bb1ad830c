//! The elementary functions against 400-bit evaluations of their definitions.

use gdcert_numbers::oracle::{Big, Oracle, big};
use gdcert_numbers::{DoubleDouble, Dual, Fixed, Interval, Scalar, Sign, Smooth};
use proptest::prelude::*;

/// A function in every arithmetic, and the range of arguments that are tried.
macro_rules! functions {
    ($($name:ident($method:expr, $range:expr);)*) => {
        const NAMES: &[(&str, std::ops::Range<f64>)] = &[$((stringify!($name), $range)),*];
        fn apply<T: Smooth>(name: &str, x: T) -> T {
            let f: fn(T) -> T = match name {
                $(stringify!($name) => $method,)*
                _ => unreachable!(),
            };
            f(x)
        }
    };
}

functions! {
    log(T::log, 1e-6..50.0);
    log1p(T::log1p, -0.99..50.0);
    expm1(T::expm1, -30.0..30.0);
    tanh(T::tanh, -30.0..30.0);
    logistic(T::logistic, -40.0..40.0);
    softplus(T::softplus, -40.0..40.0);
    erf(T::erf, -15.0..15.0);
    erfc(T::erfc, -15.0..15.0);
    sin(T::sin, -20.0..20.0);
    cos(T::cos, -20.0..20.0);
    atan(T::atan, -30.0..30.0);
    cube(|x| x.powi(3), -5.0..5.0);
    eighth(|x| x.powi(8), -5.0..5.0);
}

/// The midpoint as an exact sum of f64.
fn exact<const L: usize>(y: Fixed<L>) -> Big {
    let mut rest = y.split().0;
    let mut sum = big(0.0);
    for _ in 0..2 * L {
        let part = rest.value();
        sum += big(part);
        rest -= Fixed::from_f64(part);
    }
    sum
}

fn magnitude(x: Big) -> Big {
    if x < big(0.0) { -x } else { x }
}

/// The oracle's own error: its sums of terms up to e^20 lose some of the 400 bits.
fn slack() -> Big {
    big(2f64.powi(-340))
}

fn held<const L: usize>(name: &str, x: f64, off: f64) -> Result<(), TestCaseError> {
    let y = apply(name, Fixed::<L>::from_f64(x));
    let truth = apply(name, Oracle::from_f64(x)).get();
    let error = magnitude(exact(y) - truth);
    let radius = y.radius_up();
    prop_assert!(
        error <= big(radius) + slack(),
        "{name}({x:e}), L = {L}: {error} {radius:e}"
    );
    // Full precision: the radius is some v, times the size of the result and of the slope at most.
    let size = y.value().abs() + 1.0 / x.abs().min(1.0);
    let v = 2f64.powi(-(Fixed::<L>::BITS as i32));
    prop_assert!(
        radius <= v * size * 2f64.powi(24),
        "{name}({x:e}), L = {L}: {radius:e}"
    );
    // A ball as the argument: points of it.
    let width = 1e-3 * off.abs() * x.abs();
    let ball = Fixed::<L>::from_f64(x) + spread(width);
    let y = apply(name, ball);
    for share in [-1.0, off, 1.0] {
        let point = x + 0.999 * share * width;
        let truth = apply(name, Oracle::from_f64(point)).get();
        let error = magnitude(exact(y) - truth);
        prop_assert!(
            error <= big(y.radius_up()) + slack(),
            "{name}({x:e} +- {width:e}) at {point:e}, L = {L}"
        );
    }
    Ok(())
}

/// A ball around 0 of about this radius.
fn spread<const L: usize>(width: f64) -> Fixed<L> {
    // Each doubling by x + x doubles the radius, and x - x has midpoint 0.
    let third = Fixed::<L>::from_f64(1.0) / Fixed::from_f64(3.0);
    let same = third;
    let mut x = third - same;
    while x.radius_up() < width {
        x += x;
    }
    x
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn balls_hold_the_exact_value(which in 0..NAMES.len(), at in 0.0..1.0f64, off in -1.0..1.0f64) {
        let (name, range) = &NAMES[which];
        let x = range.start + at * (range.end - range.start);
        held::<3>(name, x, off)?;
        held::<4>(name, x, off)?;
        held::<6>(name, x, off)?;
        Oracle::clear();
    }

    #[test]
    fn intervals_hold_the_exact_values_and_are_tight(which in 0..NAMES.len(), at in 0.0..1.0f64, width in -40.0..-1.0f64, share in 0.0..1.0f64) {
        let (name, range) = &NAMES[which];
        let x = range.start + at * (range.end - range.start);
        let y = apply(name, Interval::from_f64(x));
        let truth = apply(name, Oracle::from_f64(x));
        prop_assert!(big(y.lo()) <= truth.get() && truth.get() <= big(y.hi()), "{name}({x:e})");
        let near = truth.value();
        // Two units in the last place on either side, more after three squarings; balls have absolute errors.
        let units = if matches!(*name, "cube" | "eighth") { 20.0 } else { 4.0 };
        prop_assert!(y.hi() - y.lo() <= units * f64::EPSILON * near.abs() + 1e-50, "{name}({x:e}): {y:?}");
        let w = width.exp2() * (1.0 + x.abs());
        let (lo, hi) = ((x - w).max(range.start), x + w);
        let y = apply(name, Interval::new(lo, hi));
        let point = lo + share * (hi - lo);
        let truth = apply(name, Oracle::from_f64(point)).get();
        prop_assert!(big(y.lo()) <= truth && truth <= big(y.hi()), "{name} on [{lo:e}, {hi:e}] at {point:e}");
        Oracle::clear();
    }

    #[test]
    fn double_doubles_and_f64_are_near(which in 0..NAMES.len(), at in 0.0..1.0f64, lo in -1.0..1.0f64) {
        let (name, range) = &NAMES[which];
        let x = range.start + at * (range.end - range.start);
        let x = DoubleDouble::new(x, lo * 1e-17 * x);
        let y = apply(name, x);
        let exactly = Oracle::from_f64(x.hi()) + Oracle::from_f64(x.lo());
        let truth = apply(name, exactly);
        let error = magnitude(big(y.hi()) + big(y.lo()) - truth.get());
        // e^x and powers of double-doubles lose 2^-98; balls less.
        let size = truth.value().abs() + if *name == "expm1" { 1.0 } else { 0.0 };
        prop_assert!(error <= big(size * 2f64.powi(-96) + 2f64.powi(-180)), "{name}({:e}): {error}", x.hi());
        let plain = apply(name, x.hi());
        let truth = apply(name, Oracle::from_f64(x.hi())).value();
        // Units in the last place, and where the argument's exponential is rounded twice.
        prop_assert!((plain - truth).abs() <= 16.0 * f64::EPSILON * truth.abs() + 1e-300, "{name}({:e})", x.hi());
        Oracle::clear();
    }

    /// Against a central difference in 400 bits, whose error is about 2^-200.
    #[test]
    fn dual_numbers_carry_the_slope(which in 0..NAMES.len(), at in 0.0..1.0f64) {
        let (name, range) = &NAMES[which];
        let x = range.start + at * (range.end - range.start);
        let slope = apply(name, Dual { re: x, eps: 1.0 }).eps;
        let (here, h) = (Oracle::from_f64(x), Oracle::from_f64(2f64.powi(-90)));
        let truth = ((apply(name, here + h) - apply(name, here - h)) / (h + h)).value();
        prop_assert!((slope - truth).abs() <= 1e-12 * truth.abs() + 1e-15, "{name}({x:e}): {slope:e} {truth:e}");
        Oracle::clear();
    }

    #[test]
    fn signs_are_told_only_where_they_are_known(x in -1.0..1.0f64, radius in 0.0..1.0f64) {
        let ball = Fixed::<4>::from_f64(x) + spread(radius);
        let known = ball.radius_up() < x.abs() * 0.999;
        let sign = ball.sign();
        prop_assert!(!known || sign == x.sign());
        prop_assert!(ball.radius_up() < x.abs() || sign == Sign::Unknown);
        prop_assert_eq!(Interval::new(x - radius, x + radius).sign() == Sign::Unknown, radius >= x.abs());
    }
}

/// Arguments at the ends of what is handled.
#[test]
fn far_arguments_are_enclosed_or_unknown() {
    let hold = |y: Interval, truth: f64| y.contains(truth);
    for x in [1e-320, 1e-30, 1e-9, 300.0, 1e300, f64::MAX] {
        let both = [Interval::from_f64(x), Interval::from_f64(-x)];
        for (i, y) in both.into_iter().enumerate() {
            let z = if i == 0 { x } else { -x };
            assert!(
                hold(y.tanh(), z.tanh()) && hold(y.logistic(), z.logistic()),
                "{z:e}"
            );
            assert!(hold(y.erf(), Smooth::erf(z)), "{z:e}");
            assert!(hold(y.erfc(), Smooth::erfc(z)), "{z:e}");
            assert!(hold(y.softplus(), z.softplus()), "{z:e}");
            assert!(y.sin().magnitude() <= 1.0 && y.cos().magnitude() <= 1.0);
            let (enclosed, near) = (y.atan(), DoubleDouble::from_f64(z).atan());
            assert!(hold(enclosed, near.hi()), "{z:e}");
            let off = (near.hi() - z.atan()).abs();
            assert!(off <= f64::EPSILON * z.atan().abs() + 2f64.powi(-180));
        }
        let log = both[0].log();
        assert!(
            (log.value() - x.ln()).abs() <= 1e-13 * x.ln().abs() && log.hi() - log.lo() < 1e-12
        );
        assert_eq!(both[1].log(), Interval::ENTIRE);
        assert!((DoubleDouble::from_f64(x).log().hi() - x.ln()).abs() <= 1e-13 * x.ln().abs());
    }
    assert_eq!(Interval::ENTIRE.tanh(), Interval::new(-1.0, 1.0));
    assert_eq!(Interval::new(-1.0, 1.0).log(), Interval::ENTIRE);
    // Balls: erf near its limit, and what is not known stays so.
    type Number = Fixed<5>;
    for x in [6.4, 6.6, 9.0, 12.0, 13.2, 13.4, 20.0, 1e10] {
        let y = Number::from_f64(x).erf() + Number::from_f64(-x).erf();
        assert!(y.value() == 0.0 && y.radius_up() < 1e-72, "{x}: {y:?}");
    }
    let unknown = Number::from_f64(f64::NAN);
    for (name, _) in NAMES {
        assert!(apply(name, unknown).radius_up().is_infinite(), "{name}");
    }
    assert!(Number::from_f64(1e15).sin().radius_up().is_infinite());
    assert!(Number::from_f64(-1.0).log().radius_up().is_infinite());
}
