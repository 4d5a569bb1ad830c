//! Numbers as text: never 0.00000 for what is not 0, never three hundred digits.

/// Four significant digits, scientific.
pub fn digits(x: f64) -> String {
    if x == 0.0 {
        "0".to_owned()
    } else {
        format!("{x:.3e}")
    }
}

/// An upper bound in four significant digits, rounded upward: what is shown is a bound as well.
pub fn at_most(x: f64) -> String {
    outward(x, 1.0)
}

/// A lower bound in four significant digits, rounded downward.
pub fn at_least(x: f64) -> String {
    outward(x, -1.0)
}

fn outward(x: f64, sign: f64) -> String {
    let text = digits(x);
    // The exponent before rounding: 9.9999 has that of 9, not of 10.
    let unrounded = format!("{x:e}");
    let (Some((_, exponent)), Ok(shown)) = (unrounded.split_once('e'), text.parse::<f64>()) else {
        return text;
    };
    if sign * (shown - x) >= 0.0 {
        return text;
    }
    // One unit of the last digit further out.
    let unit = exponent
        .parse()
        .ok()
        .and_then(|e: i32| format!("1e{}", e - 3).parse().ok());
    unit.map_or(text, |unit: f64| digits(shown + sign * unit))
}

/// Four significant digits, plain where that is short.
pub fn short(x: f64) -> String {
    significant(x, 4)
}

/// So many significant digits (at least 1), plain where that is short.
pub fn significant(x: f64, count: usize) -> String {
    if x == 0.0 {
        return "0".to_owned();
    }
    let after = count.max(1) - 1;
    let scientific = format!("{x:.after$e}");
    // The exponent after rounding: 9.9996 has that of 10.
    let exponent = scientific.split_once('e').and_then(|(_, e)| e.parse().ok());
    match exponent {
        // At most one digit more than asked for, so that 1234.5 has its point.
        Some(exponent @ -3..4) => {
            let places = (after as i32 - exponent).max(1) as usize;
            format!("{x:.places$}")
        }
        _ => scientific,
    }
}

/// All digits; plain where that is short.
pub fn exact(x: f64) -> String {
    let (plain, scientific) = (format!("{x}"), format!("{x:e}"));
    if plain.len() > 8 && scientific.len() < plain.len() {
        scientific
    } else {
        plain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_rounded_outward() {
        assert_eq!(
            [
                6.492517e-3,
                1.0,
                9.9999,
                0.0,
                1e300,
                -1.00049,
                f64::INFINITY
            ]
            .map(at_least),
            [
                "6.492e-3",
                "1.000e0",
                "9.999e0",
                "0",
                "1.000e300",
                "-1.001e0",
                "inf"
            ]
        );
        assert_eq!(
            [6.492517e-3, 1.00001, 9.9994, -1.00049, f64::NAN].map(at_most),
            ["6.493e-3", "1.001e0", "1.000e1", "-1.000e0", "NaN"]
        );
    }

    #[test]
    fn numbers_have_four_digits_whatever_their_size() {
        assert_eq!(
            [0.51234, 1.2345, 12.345, 1234.5, 0.0, -0.25].map(short),
            ["0.5123", "1.234", "12.35", "1234.5", "0", "-0.2500"]
        );
        assert_eq!(
            [1e-7, 4e-14, 1e300, 9.99996, 5e-324, f64::INFINITY].map(short),
            [
                "1.000e-7",
                "4.000e-14",
                "1.000e300",
                "10.00",
                "4.941e-324",
                "inf"
            ]
        );
        assert_eq!(
            [0.5, 1e4, 1e300, 1e-9, 123456.0, f64::NAN].map(exact),
            ["0.5", "10000", "1e300", "1e-9", "123456", "NaN"]
        );
    }
}
