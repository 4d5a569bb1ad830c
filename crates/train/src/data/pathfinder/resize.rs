//! Reduction of small grey images by Lanczos resampling, to the bit as Pillow does it on 8-bit images:
//! the original program draws at twice the size and reduces, so its ink is what this makes of it.

/// Bits behind the point of a weight.
const BITS: u32 = 22;

/// The image (side x side, row by row) at `to` x `to` pixels.
pub(super) fn reduce(image: &[u8], side: usize, to: usize) -> Vec<u8> {
    let weights: Vec<_> = (0..to).map(|i| window(i, side, to)).collect();
    // Rows first; 8 bits between the passes.
    let mut narrow = vec![0; side * to];
    for y in 0..side {
        for (x, (first, w)) in weights.iter().enumerate() {
            narrow[y * to + x] = weigh(w, |k| image[y * side + first + k]);
        }
    }
    let mut small = vec![0; to * to];
    for (y, (first, w)) in weights.iter().enumerate() {
        for x in 0..to {
            small[y * to + x] = weigh(w, |k| narrow[(first + k) * to + x]);
        }
    }
    small
}

fn weigh(weights: &[i64], pixel: impl Fn(usize) -> u8) -> u8 {
    let half = 1i64 << (BITS - 1);
    let sum: i64 = weights
        .iter()
        .enumerate()
        .map(|(k, w)| w * i64::from(pixel(k)))
        .sum();
    ((sum + half) >> BITS).clamp(0, 255) as u8
}

/// The first source pixel that target pixel i sees, and the weights from there on.
fn window(i: usize, side: usize, to: usize) -> (usize, Vec<i64>) {
    let scale = side as f64 / to as f64;
    let support = 3.0 * scale.max(1.0);
    let center = (i as f64 + 0.5) * scale;
    let first = (center - support + 0.5).max(0.0) as usize;
    let last = ((center + support + 0.5) as usize).min(side);
    let raw: Vec<f64> = (first..last)
        .map(|k| lanczos((k as f64 - center + 0.5) / scale.max(1.0)))
        .collect();
    let total: f64 = raw.iter().sum();
    let unit = f64::from(1u32 << BITS);
    // Away from zero at a tie, like a cast after adding a half.
    let weights = raw.iter().map(|w| (w / total * unit).round() as i64);
    (first, weights.collect())
}

/// sinc(x) sinc(x/3) on [-3, 3).
fn lanczos(x: f64) -> f64 {
    let sinc = |x: f64| {
        let x = x * std::f64::consts::PI;
        if x == 0.0 { 1.0 } else { libm::sin(x) / x }
    };
    if (-3.0..3.0).contains(&x) {
        sinc(x) * sinc(x / 3.0)
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flat_images_stay_flat() {
        for (side, to) in [(17, 9), (64, 32), (5, 5)] {
            for grey in [0, 1, 128, 255] {
                let small = reduce(&vec![grey; side * side], side, to);
                assert!(small.iter().all(|p| *p == grey), "{side} to {to}");
            }
        }
    }
}
