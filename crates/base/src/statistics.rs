//! Numbers over repeated runs.

/// Mean and standard deviation (with n - 1); 0 for a single value, NaN for none.
pub fn mean_and_spread(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let values: Vec<f64> = values.collect();
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    // Scaled by a power of two: no square under- or overflows.
    let off = || values.iter().map(|v| v - mean);
    let (_, power) = libm::frexp(off().fold(0.0, |top: f64, d| top.max(d.abs())));
    let squares: f64 = off().map(|d| libm::scalbn(d, -power).powi(2)).sum();
    let spread = if values.len() > 1 {
        libm::scalbn((squares / (n - 1.0)).sqrt(), power)
    } else {
        0.0 * mean
    };
    (mean, spread)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_is_the_standard_deviation() {
        assert_eq!(mean_and_spread([1.0, 3.0].into_iter()), (2.0, 2f64.sqrt()));
        assert_eq!(mean_and_spread([4.0].into_iter()), (4.0, 0.0));
        assert!(mean_and_spread(std::iter::empty()).0.is_nan());
        for scale in [1e-200, 1e200] {
            let (mean, spread) = mean_and_spread([scale, 3.0 * scale].into_iter());
            assert!(spread > 1.41 * scale && spread < 1.42 * scale && mean == 2.0 * scale);
        }
    }
}
