//! Numbers as a figure's text shows them.

/// 4.90×10⁻² with `digits` digits after the point; 0, ∞ and "not a number" by name.
pub(crate) fn scientific(x: f64, digits: usize) -> String {
    if x == 0.0 {
        return "0".to_owned();
    }
    if !x.is_finite() {
        return special(x);
    }
    let text = format!("{x:.digits$e}");
    match text.split_once('e') {
        Some((mantissa, "0")) => minus(mantissa),
        Some((mantissa, exponent)) => format!("{}×{}", minus(mantissa), power_of_ten(exponent)),
        None => minus(&text),
    }
}

/// With so many significant digits, as a person writes it: 128.5, 0.0012, 1.3×10⁻⁷.
pub(crate) fn plain(x: f64, digits: usize) -> String {
    if x == 0.0 || !x.is_finite() || !(1e-3..1e6).contains(&x.abs()) {
        return scientific(x, digits.saturating_sub(1));
    }
    let after = (digits as f64 - 1.0 - x.abs().log10().floor()).clamp(0.0, 12.0) as usize;
    minus(&format!("{x:.after$}"))
}

/// 10⁻² from "-2".
pub(crate) fn power_of_ten(exponent: &str) -> String {
    let raised = exponent.chars().map(|c| match c {
        '-' => '⁻',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        c => c
            .to_digit(10)
            .and_then(|d| char::from_u32(0x2070 + d))
            .unwrap_or(c),
    });
    format!("10{}", raised.collect::<String>())
}

/// A tick label: plain where that is short, else scientific. `step` is the distance of ticks.
pub(crate) fn tick(x: f64, step: f64) -> String {
    // A tick next to 0 is 0 but for rounding.
    if x.abs() < 1e-9 * step {
        return "0".to_owned();
    }
    if (1e-4..1e6).contains(&step) && x.abs() < 1e7 {
        let digits = (-(step * 1.000001).log10().floor()).max(0.0) as usize;
        return grouped(&minus(&format!("{x:.digits$}")));
    }
    let digits = (x.abs().log10().floor() - step.log10().floor()).clamp(0.0, 6.0) as usize;
    scientific(x, digits)
}

/// Thin spaces between groups of three digits from 10 000 on.
pub(crate) fn grouped(number: &str) -> String {
    let whole = number.find('.').unwrap_or(number.len());
    if whole < 5 {
        return number.to_owned();
    }
    let mut text = String::new();
    for (i, c) in number.chars().enumerate() {
        let is_inner = i > 0 && i < whole && (whole - i).is_multiple_of(3);
        if is_inner && c.is_ascii_digit() {
            text.push('\u{2009}');
        }
        text.push(c);
    }
    text
}

fn minus(number: &str) -> String {
    number.replace('-', "−")
}

fn special(x: f64) -> String {
    let name = if x.is_nan() {
        "not a number"
    } else if x > 0.0 {
        "∞"
    } else {
        "−∞"
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_a_reader_would() {
        assert_eq!(scientific(0.049012, 2), "4.90×10⁻²");
        assert_eq!(scientific(-1234.0, 1), "−1.2×10³");
        assert_eq!(scientific(1.5, 1), "1.5");
        assert_eq!(scientific(f64::INFINITY, 1), "∞");
        assert_eq!(scientific(5e-324, 1), "4.9×10⁻³²⁴");
        assert_eq!(tick(0.30000000000000004, 0.1), "0.3");
        assert_eq!(tick(2e-17, 0.1), "0");
        assert_eq!(tick(20000.0, 5000.0), "20\u{2009}000");
        assert_eq!(tick(5000.0, 1000.0), "5000");
        assert_eq!(tick(2.5e-7, 5e-8), "2.5×10⁻⁷");
    }
}
