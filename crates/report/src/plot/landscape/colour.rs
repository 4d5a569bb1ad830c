//! The colour of a loss.

use crate::plot::canvas::Rgb;

/// Viridis at equal distances: lightness grows with the loss, for every kind of colour vision.
const COLORS: [Rgb; 11] = [
    (68, 1, 84),
    (72, 36, 117),
    (65, 68, 135),
    (53, 95, 141),
    (42, 120, 142),
    (33, 145, 140),
    (34, 168, 132),
    (68, 191, 112),
    (122, 209, 81),
    (189, 223, 38),
    (253, 231, 37),
];

pub(super) fn color(share: f64) -> Rgb {
    let at = share.clamp(0.0, 1.0) * (COLORS.len() - 1) as f64;
    let i = (at as usize).min(COLORS.len() - 2);
    mix(COLORS[i], COLORS[i + 1], at - i as f64)
}

pub(super) fn mix(a: Rgb, b: Rgb, share: f64) -> Rgb {
    let one = |a: u8, b: u8| (f64::from(a) + share * (f64::from(b) - f64::from(a))).round() as u8;
    (one(a.0, b.0), one(a.1, b.1), one(a.2, b.2))
}
