//! Axes: a range that is never empty, and the ticks on it.

use super::number::{power_of_ten, tick};

/// One axis. Positions are fractions of its length, 0 at `low` and 1 at `high`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    log: bool,
}

/// A mark on an axis; minor ones have no label.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tick {
    pub at: f64,
    pub label: Option<String>,
}

impl Axis {
    /// A linear axis over at least `least_span`, which is above 0.
    pub(super) fn linear(low: f64, high: f64, least_span: f64) -> Self {
        let (low, high) = if low.is_finite() && high.is_finite() && low <= high {
            (low, high)
        } else {
            (0.0, 1.0)
        };
        // Large numbers need a span they can resolve.
        let least = least_span.max(1e-9 * low.abs().max(high.abs()));
        let short = (least - (high - low)).max(0.0);
        Axis {
            low: low - 0.5 * short,
            high: high + 0.5 * short,
            log: false,
        }
    }

    /// A logarithmic axis from 10^low to 10^high with some room at both ends; at least a decade.
    pub(super) fn log(low: f64, high: f64) -> Self {
        let (low, high) = if low.is_finite() && high.is_finite() && low <= high {
            // All of f64 lies within.
            (low.clamp(-400.0, 400.0), high.clamp(-400.0, 400.0))
        } else {
            (-1.0, 1.0)
        };
        let room = 0.04 * (high - low) + 0.05;
        let short = (1.0 - (high - low)).max(0.0);
        Axis {
            low: low - room - 0.5 * short,
            high: high + room + 0.5 * short,
            log: true,
        }
    }

    /// Where x is: of x itself on a linear axis, of 10^x on a logarithmic one.
    pub(super) fn at(&self, x: f64) -> f64 {
        (x - self.low) / (self.high - self.low)
    }

    /// The lower end (its base-10 logarithm on a logarithmic axis).
    pub(super) fn low(&self) -> f64 {
        self.low
    }

    /// The upper end, likewise.
    pub(super) fn high(&self) -> f64 {
        self.high
    }

    /// Whether x lies on the axis.
    pub(super) fn holds(&self, x: f64) -> bool {
        (self.low..=self.high).contains(&x)
    }

    /// About `count` labelled ticks.
    pub(super) fn ticks(&self, count: usize) -> Vec<Tick> {
        if self.log {
            self.log_ticks(count)
        } else {
            self.linear_ticks(count, false)
        }
    }

    /// About `count` labelled ticks, at whole numbers if the axis is linear.
    pub(super) fn whole_ticks(&self, count: usize) -> Vec<Tick> {
        if self.log {
            self.log_ticks(count)
        } else {
            self.linear_ticks(count, true)
        }
    }

    fn linear_ticks(&self, count: usize, whole: bool) -> Vec<Tick> {
        let rough = (self.high - self.low) / count.max(1) as f64;
        let decade = 10f64.powf(rough.log10().floor());
        let mut step = [1.0, 2.0, 5.0, 10.0]
            .map(|m| m * decade)
            .into_iter()
            .find(|s| *s >= 0.999 * rough)
            .unwrap_or(10.0 * decade);
        if whole {
            step = step.max(1.0);
        }
        let slack = 1e-6 * step;
        let first = ((self.low - slack) / step).ceil();
        let last = ((self.high + slack) / step).floor();
        (0..=((last - first).clamp(-1.0, 50.0) as i64))
            .map(|i| (first + i as f64) * step)
            .filter(|x| *x <= self.high + slack)
            .map(|x| Tick {
                at: self.at(x).clamp(0.0, 1.0),
                label: Some(tick(x, step)),
            })
            .collect()
    }

    fn log_ticks(&self, count: usize) -> Vec<Tick> {
        let (first, last) = (self.low.ceil() as i64, self.high.floor() as i64);
        let decades = self.high - self.low;
        let every = [1, 2, 3, 5, 10, 20, 50, 100, 200]
            .into_iter()
            .find(|e| decades / *e as f64 <= count.max(1) as f64 + 0.5)
            .unwrap_or(500);
        let mut ticks: Vec<_> = (first..=last)
            .filter(|e| decades < 40.0 || e % every == 0)
            .map(|e| Tick {
                at: self.at(e as f64),
                label: (e % every == 0).then(|| decade(e, last - first < 1)),
            })
            .collect();
        if decades <= 5.0 {
            // With fewer than two powers of ten in sight, 2 and 5 are labelled as well.
            let labelled: &[u8] = if last - first < 1 { &[2, 5] } else { &[] };
            for e in first - 1..=last {
                for m in 2..=9u8 {
                    let x = e as f64 + f64::from(m).log10();
                    if self.holds(x) {
                        let label = || sub_decade(m, e);
                        ticks.push(Tick {
                            at: self.at(x),
                            label: labelled.contains(&m).then(label),
                        });
                    }
                }
            }
        }
        ticks
    }
}

/// A power of ten; written out beside labels within a decade.
fn decade(e: i64, beside_others: bool) -> String {
    if beside_others && (-3..=3).contains(&e) {
        sub_decade(1, e)
    } else {
        power_of_ten(&e.to_string())
    }
}

/// m 10^e.
fn sub_decade(m: u8, e: i64) -> String {
    match e {
        -3..0 => format!(
            "{:.*}",
            e.unsigned_abs() as usize,
            f64::from(m) * 10f64.powi(e as i32)
        ),
        0..=3 => (u64::from(m) * 10u64.pow(e as u32)).to_string(),
        _ => format!("{m}×{}", power_of_ten(&e.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(ticks: &[Tick]) -> Vec<&str> {
        ticks.iter().filter_map(|t| t.label.as_deref()).collect()
    }

    #[test]
    fn no_range_is_empty_and_every_axis_has_labels() {
        let ends = [
            0.0,
            1.0,
            -3.0,
            1e-300,
            1e300,
            5e-324,
            f64::NAN,
            f64::INFINITY,
            -f64::INFINITY,
        ];
        for low in ends {
            for high in ends {
                for axis in [Axis::linear(low, high, 1.0), Axis::log(low, high)] {
                    let span = axis.high() - axis.low();
                    assert!(span > 0.0 && span.is_finite(), "{low} {high} {axis:?}");
                    let ticks = axis.ticks(5);
                    assert!(ticks.len() < 60);
                    assert!(!labels(&ticks).is_empty(), "{low} {high} {axis:?}");
                    assert!(ticks.iter().all(|t| (-1e-9..=1.0 + 1e-9).contains(&t.at)));
                }
            }
        }
    }

    #[test]
    fn log_axes_are_readable_from_one_to_thirty_decades() {
        for decades in 1..=30 {
            let count = labels(&Axis::log(-f64::from(decades), 0.0).ticks(6)).len();
            assert!((2..=7).contains(&count), "{decades}: {count}");
        }
        assert_eq!(
            labels(&Axis::log(-4.0, 0.0).ticks(6)),
            ["10⁻⁴", "10⁻³", "10⁻²", "10⁻¹", "10⁰"]
        );
    }

    #[test]
    fn steps_are_whole_numbers() {
        assert_eq!(
            labels(&Axis::linear(0.0, 1.0, 1.0).whole_ticks(6)),
            ["0", "1"]
        );
        assert_eq!(
            labels(&Axis::linear(0.0, 2000.0, 1.0).whole_ticks(5)),
            ["0", "500", "1000", "1500", "2000"]
        );
    }
}
