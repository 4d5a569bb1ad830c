//! `curves`: test accuracy and test loss against training steps, mean and spread over seeds.

use super::axis::Axis;
use super::canvas::{Align, Canvas, Line, Rgb, fitted, text_width};
use super::panel::{BLACK, GREY, Panel, SMALL};
use super::place::Rect;
use super::{Drawing, Figure, render};
use crate::Result;
use gdcert_base::statistics::mean_and_spread;
use gdcert_train::training::{Row, Split};
use plotters_backend::DrawingBackend;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 592.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 608.0;
const MARGIN: f64 = 16.0;
const LEGEND: f64 = 54.0;
const ACCURACY: (f64, f64) = (72.0, 292.0);
const LOSS: (f64, f64) = (314.0, 534.0);

/// Okabe-Ito colours with dashes that tell the curves apart without them.
const STYLES: [(Rgb, &[f64]); 4] = [
    ((213, 94, 0), &[]),
    ((0, 114, 178), &[9.0, 4.0]),
    ((0, 158, 115), &[3.0, 3.0]),
    ((204, 121, 167), &[9.0, 3.0, 2.0, 3.0]),
];

/// The figure of one or more runs, each with a name: mean over seeds, and a band of one standard
/// deviation to both sides where there is more than one seed.
///
/// Drawn are the rows of the test (or dev) split. At most four runs are told apart.
///
/// # Errors
/// None is expected; a backend that fails.
pub fn training_curves(runs: &[(&str, &[Row])], title: &str) -> Result<Figure> {
    let curves = runs
        .iter()
        .map(|(name, rows)| Curve {
            name,
            points: over_seeds(rows),
        })
        .collect();
    let mut rows = runs.iter().flat_map(|(_, rows)| rows.iter());
    let on = if rows.any(|row| row.split == Split::Dev) {
        "dev"
    } else {
        "test"
    };
    render(&Curves { curves, title, on })
}

struct Curves<'a> {
    curves: Vec<Curve<'a>>,
    title: &'a str,
    /// The samples that were evaluated.
    on: &'static str,
}

struct Curve<'a> {
    name: &'a str,
    points: Vec<OverSeeds>,
}

/// An evaluation after some steps, over the seeds: mean, and standard deviation (0 for one seed).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OverSeeds {
    /// Steps taken.
    pub step: u64,
    /// Number of seeds.
    pub seeds: usize,
    /// Share of samples classified correctly.
    pub accuracy: (f64, f64),
    /// Mean cross-entropy.
    pub loss: (f64, f64),
}

/// The rows of the test (or dev) split, step by step.
pub fn over_seeds(rows: &[Row]) -> Vec<OverSeeds> {
    let mut rows: Vec<&Row> = rows
        .iter()
        .filter(|row| matches!(row.split, Split::Test | Split::Dev))
        .collect();
    rows.sort_by_key(|row| (row.step, row.seed));
    rows.chunk_by(|a, b| a.step == b.step)
        .map(|same| OverSeeds {
            step: same[0].step,
            seeds: same.len(),
            accuracy: mean_and_spread(same.iter().map(|row| row.accuracy)),
            loss: mean_and_spread(same.iter().map(|row| row.loss)),
        })
        .collect()
}

impl Curve<'_> {
    fn seeds(&self) -> usize {
        self.points.iter().map(|p| p.seeds).max().unwrap_or(0)
    }
}

impl Drawing for Curves<'_> {
    fn size(&self) -> (u32, u32) {
        (WIDTH as u32, HEIGHT as u32)
    }

    fn description(&self) -> String {
        let names: Vec<_> = self.curves.iter().map(|c| c.name).collect();
        super::printable(&format!(
            "Accuracy and loss on {} samples against training steps: {}, {}",
            self.on,
            self.title,
            names.join(", ")
        ))
    }

    fn draw<B: DrawingBackend>(&self, canvas: &mut Canvas<'_, B>) -> Result<()> {
        canvas.fill_rect((0.0, 0.0), (WIDTH, HEIGHT), (255, 255, 255))?;
        let title = fitted(self.title, 15.0, WIDTH - 2.0 * MARGIN);
        canvas.text(&title, (MARGIN, 25.0), 15.0, BLACK, Align::Left)?;
        self.legend(canvas)?;
        let accuracy = format!("{} accuracy", self.on);
        self.panel(canvas, ACCURACY, &accuracy, Some(0.5), |p| p.accuracy)?;
        let loss = format!("{} loss", self.on);
        self.panel(canvas, LOSS, &loss, None, |p| p.loss)?;
        let middle = 0.5 * (LEFT + RIGHT);
        canvas.text(
            "training step",
            (middle, LOSS.1 + 36.0),
            12.5,
            BLACK,
            Align::Center,
        )?;
        let version = concat!("gdcert ", env!("CARGO_PKG_VERSION"));
        canvas.text(version, (RIGHT, HEIGHT - 8.0), 10.5, GREY, Align::Right)
    }
}

impl Curves<'_> {
    fn styled(&self) -> impl Iterator<Item = (&Curve<'_>, Line)> {
        self.curves
            .iter()
            .zip(STYLES.iter().cycle())
            .map(|(curve, &(color, dashes))| {
                let width = 2.0;
                (
                    curve,
                    Line {
                        color,
                        width,
                        dashes,
                    },
                )
            })
    }

    fn legend<B: DrawingBackend>(&self, canvas: &mut Canvas<'_, B>) -> Result<()> {
        let seeds: Vec<usize> = self.curves.iter().map(Curve::seeds).collect();
        let same = seeds.windows(2).all(|pair| pair[0] == pair[1]);
        let mut x = LEFT;
        for (curve, line) in self.styled() {
            canvas.line(&[(x, LEGEND - 4.0), (x + 34.0, LEGEND - 4.0)], line)?;
            let text = match curve.seeds() {
                n if n > 1 && !same => format!("{} ({n} seeds)", curve.name),
                _ => curve.name.to_owned(),
            };
            let text = fitted(&text, SMALL, RIGHT - x - 40.0);
            canvas.text(&text, (x + 40.0, LEGEND), SMALL, BLACK, Align::Left)?;
            x += 40.0 + text_width(&text, SMALL) + 22.0;
        }
        // What the bands are, where there is room for it.
        let most = seeds.into_iter().max().unwrap_or(0);
        if most > 1 {
            let of = if same {
                format!("{most} ")
            } else {
                String::new()
            };
            let text = format!("mean of {of}seeds ± standard deviation");
            let text = fitted(&text, SMALL, (RIGHT - x).max(0.0));
            canvas.text(&text, (RIGHT, LEGEND), SMALL, GREY, Align::Right)?;
        }
        Ok(())
    }

    fn panel<B: DrawingBackend>(
        &self,
        canvas: &mut Canvas<'_, B>,
        (top, bottom): (f64, f64),
        name: &str,
        chance: Option<f64>,
        of: impl Fn(&OverSeeds) -> (f64, f64),
    ) -> Result<()> {
        let points = || self.curves.iter().flat_map(|curve| &curve.points);
        let last = points().map(|p| p.step as f64).fold(1.0, f64::max);
        let edges = points().flat_map(|p| {
            let (mean, spread) = of(p);
            [mean - spread, mean + spread]
        });
        let (low, high) = edges
            .chain(chance)
            .filter(|y| y.is_finite())
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), y| {
                (low.min(y), high.max(y))
            });
        let room = 0.05 * (high - low);
        // A loss may be of any size.
        let least = match chance {
            None if high.is_finite() && low.is_finite() => {
                (0.02 * low.abs().max(high.abs())).max(1e-300)
            }
            _ => 0.02,
        };
        let panel = Panel {
            frame: Rect {
                left: LEFT,
                top,
                right: RIGHT,
                bottom,
            },
            x: Axis::linear(0.0, last, 1.0),
            y: Axis::linear(low - room, high + room, least),
        };
        for (curve, line) in self.styled().filter(|(curve, _)| curve.seeds() > 1) {
            let edge = |sign: f64| {
                let points = curve.points.iter();
                points.map(move |p| (p, sign))
            };
            let at = |(p, sign): (&OverSeeds, f64)| {
                let (mean, spread) = of(p);
                let y = (mean + sign * spread).clamp(panel.y.low(), panel.y.high());
                panel.at(p.step as f64, y)
            };
            let outline: Vec<_> = edge(1.0).chain(edge(-1.0).rev()).map(at).collect();
            if outline.iter().all(|(x, y)| x.is_finite() && y.is_finite()) {
                canvas.fill(&outline, pale(line.color))?;
            }
        }
        panel.draw_axes(canvas, bottom == LOSS.1)?;
        if let Some(chance) = chance {
            for path in panel.paths([(0.0, chance), (last, chance)].into_iter()) {
                canvas.line(&path, Line::solid(GREY, 0.9))?;
            }
            let (x, y) = panel.at(last, chance);
            // Above the line, or below where the frame is near.
            let y = if y - 16.0 < top { y + 12.0 } else { y - 4.0 };
            canvas.text("chance", (x - 5.0, y), 10.5, GREY, Align::Right)?;
        }
        for (curve, line) in self.styled() {
            let series = curve.points.iter().map(|p| (p.step as f64, of(p).0));
            for path in panel.paths(series) {
                canvas.line(&path, line)?;
            }
            if let [only] = &curve.points[..] {
                let y = of(only).0;
                if panel.y.holds(y) {
                    canvas.disc(panel.at(only.step as f64, y), 3.0, line.color)?;
                }
            }
        }
        panel.draw_frame(canvas)?;
        panel.draw_y_name(canvas, name, 12.5, 22.0)
    }
}

/// The colour of a curve's band.
pub(super) fn pale((r, g, b): Rgb) -> Rgb {
    let mix = |c: u8| (0.22 * f64::from(c) + 0.78 * 255.0) as u8;
    (mix(r), mix(g), mix(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(seeds: u64, value: impl Fn(u64, u64) -> f64) -> Vec<Row> {
        let one = |seed: u64, step: u64| Row {
            step,
            split: if step == 7 { Split::Final } else { Split::Test },
            loss: value(seed, step),
            accuracy: 1.0 / (1.0 + value(seed, step).exp()),
            lr: None,
            grad_norm: None,
            seconds: 0.0,
            tokens_per_second: 0.0,
            seed,
        };
        (0..seeds)
            .flat_map(|seed| [0, 5, 10, 20, 7].map(|step| one(seed, step)))
            .collect()
    }

    #[test]
    fn every_run_can_be_drawn() {
        let good = rows(3, |seed, step| 1.0 / (1 + step + seed) as f64);
        let one = rows(1, |_, step| step as f64);
        for value in [0.0, 1e300, f64::NAN, f64::INFINITY, -1e-300] {
            let odd = rows(2, |seed, step| if seed + step > 5 { value } else { 0.3 });
            for runs in [
                vec![("softmax", &good[..]), ("gaussian", &odd[..])],
                vec![("odd", &odd[..])],
                vec![("one", &one[..1])],
                vec![("none", &[][..])],
                vec![],
            ] {
                let figure = training_curves(&runs, "imdb & <more>").unwrap();
                assert!(!figure.svg.contains("NaN") && !figure.svg.contains("inf"));
                assert!(figure.svg.contains("imdb &amp; &lt;more&gt;"));
            }
        }
        let svg = training_curves(&[("softmax", &good)], "t").unwrap().svg;
        assert!(svg.contains("mean of 3 seeds"));
    }
}
