//! Thinning of long series: at most four points a column of the figure, its extremes among them.

/// Keeps the first, smallest, largest and last point of every column of width `column`, in order.
/// Points that are not numbers end a column, so that gaps survive.
pub(super) fn thin(points: impl Iterator<Item = (f64, f64)>, column: f64) -> Vec<(f64, f64)> {
    let mut kept = Vec::new();
    let mut current: Vec<(f64, f64)> = Vec::new();
    let mut at = f64::NAN;
    for point in points {
        let here = (point.0 / column).floor();
        if here != at || point.1.is_nan() {
            flush(&mut current, &mut kept);
            at = here;
        }
        if point.1.is_nan() {
            kept.push(point);
            at = f64::NAN;
        } else {
            current.push(point);
        }
    }
    flush(&mut current, &mut kept);
    kept
}

fn flush(current: &mut Vec<(f64, f64)>, kept: &mut Vec<(f64, f64)>) {
    let Some(last) = current.len().checked_sub(1) else {
        return;
    };
    let by_y = |&a: &usize, &b: &usize| current[a].1.total_cmp(&current[b].1);
    let low = (0..=last).min_by(by_y).unwrap_or(0);
    let high = (0..=last).max_by(by_y).unwrap_or(0);
    let mut chosen = [0, low, high, last];
    chosen.sort_unstable();
    for (i, &index) in chosen.iter().enumerate() {
        if i == 0 || chosen[i - 1] != index {
            kept.push(current[index]);
        }
    }
    current.clear();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extremes_and_gaps_survive() {
        let wave = (0..100_000).map(|i| {
            let y = if i == 54_321 { 9.0 } else { f64::from(i % 7) };
            (f64::from(i) * 0.005, y)
        });
        let kept = thin(wave, 1.0);
        assert!(kept.len() <= 2000);
        assert!(kept.iter().any(|p| p.1 == 9.0));
        assert_eq!(kept[0], (0.0, 0.0));
        assert!(kept.windows(2).all(|w| w[0].0 <= w[1].0));

        let gap = [(0.0, 1.0), (0.1, f64::NAN), (0.2, 2.0)];
        assert_eq!(thin(gap.into_iter(), 1.0).len(), 3);
        assert!(thin(std::iter::empty(), 1.0).is_empty());
    }
}
