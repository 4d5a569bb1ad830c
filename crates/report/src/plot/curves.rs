//! `curves`: test accuracy and test loss against training steps, mean and spread over seeds.

use super::axis::Axis;
use super::canvas::{Align, Canvas, Line, Rgb, fitted, text_width};
use super::look::{Legend, Look};
use super::panel::{BLACK, GREY, Panel, SMALL, TITLE};
use super::place::Rect;
use super::{Drawing, Figure, render};
use gdcert_base::statistics::mean_and_spread;
use gdcert_train::training::{Row, Split};

/// A screen's figure, and the height of its panels.
const WIDTH: f64 = 640.0;
const PANEL: f64 = 220.0;
const BETWEEN: f64 = 22.0;
/// Below the last panel: labels and name of its axis.
const BELOW: f64 = 40.0;
const MARGIN: f64 = 16.0;
const ROW: f64 = 17.0;
/// The line beside a name in the legend.
const SAMPLE: f64 = 30.0;
/// Right of the panels, where chance is named.
const RIGHT: f64 = 54.0;

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
pub fn training_curves(runs: &[(&str, &[Row])], title: &str, look: &Look) -> Figure {
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
    render(
        &Curves {
            curves,
            title,
            on,
            look,
        },
        look,
    )
}

struct Curves<'a> {
    curves: Vec<Curve<'a>>,
    title: &'a str,
    /// The samples that were evaluated.
    on: &'static str,
    look: &'a Look,
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
    fn size(&self) -> (f64, f64) {
        (self.width(), self.height())
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

    fn draw(&self, canvas: &mut Canvas) {
        let (width, height) = self.size();
        canvas.fill_rect((0.0, 0.0), (width, height), (255, 255, 255));
        if let Some(title) = self.look.title(self.title) {
            let title = fitted(title, TITLE, width - 2.0 * self.margin());
            let y = if self.look.is_screen() { 25.0 } else { 15.0 };
            canvas.text(&title, (self.margin(), y), TITLE, BLACK, Align::Left);
        }
        if self.look.legend != Legend::None {
            for (entry, (row, x)) in self.entries().iter().zip(self.flow()) {
                let y = self.top() + row as f64 * ROW;
                if let Some(line) = entry.1 {
                    canvas.line(&[(x, y - 4.0), (x + SAMPLE, y - 4.0)], line);
                    let at = (x + SAMPLE + 6.0, y);
                    canvas.text(&entry.0, at, SMALL, BLACK, Align::Left);
                } else {
                    canvas.text(&entry.0, (x, y), SMALL, GREY, Align::Left);
                }
            }
        }
        let [first, second] = self.panels();
        let accuracy = format!("{} accuracy", self.on);
        self.panel(canvas, first, &accuracy, Some(0.5), |p| p.accuracy);
        let loss = format!("{} loss", self.on);
        self.panel(canvas, second, &loss, None, |p| p.loss);
        let (left, right) = self.sides();
        let at = (0.5 * (left + right), second.1 + 35.0);
        canvas.text("training step", at, SMALL, BLACK, Align::Center);
        if !self.look.is_screen() {
            return;
        }
        let version = concat!("gdcert ", env!("CARGO_PKG_VERSION"));
        canvas.text(version, (right, height - 8.0), SMALL, GREY, Align::Right)
    }
}

impl Curves<'_> {
    fn width(&self) -> f64 {
        self.look.width.unwrap_or(WIDTH)
    }

    fn margin(&self) -> f64 {
        if self.look.is_screen() { MARGIN } else { 2.0 }
    }

    fn sides(&self) -> (f64, f64) {
        let left = if self.look.is_screen() { 80.0 } else { 66.0 };
        (left, self.width() - RIGHT)
    }

    /// The first line of the legend.
    fn top(&self) -> f64 {
        match (self.look.is_screen(), self.look.title(self.title)) {
            (true, _) => 54.0,
            (false, Some(_)) => 36.0,
            (false, None) => 12.0,
        }
    }

    /// Where the first panel begins.
    fn first(&self) -> f64 {
        match self.look.legend {
            Legend::None => self.top() - 4.0,
            _ => self.top() + self.flow().last().map_or(0, |(row, _)| *row) as f64 * ROW + 12.0,
        }
    }

    fn foot(&self) -> f64 {
        if self.look.is_screen() { 18.0 } else { 0.0 }
    }

    fn height(&self) -> f64 {
        let [_, (_, bottom)] = self.panels();
        let own = (bottom + BELOW + self.foot()).ceil();
        self.look.height.map_or(own, |height| height.max(own - 1.0))
    }

    /// Upper and lower edges.
    fn panels(&self) -> [(f64, f64); 2] {
        let first = self.first();
        let panel = match self.look.height {
            Some(height) => (0.5 * (height - first - BETWEEN - BELOW - self.foot())).max(40.0),
            None => (0.4 * self.width()).clamp(80.0, PANEL),
        };
        let second = first + panel + BETWEEN;
        [(first, first + panel), (second, second + panel)]
    }

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

    /// The legend: names with their lines, and what the bands are.
    fn entries(&self) -> Vec<(String, Option<Line>)> {
        let seeds: Vec<usize> = self.curves.iter().map(Curve::seeds).collect();
        let same = seeds.windows(2).all(|pair| pair[0] == pair[1]);
        let room = self.width() - 2.0 * self.margin() - SAMPLE - 6.0;
        let mut all: Vec<(String, Option<Line>)> = self
            .styled()
            .map(|(curve, line)| {
                let text = match curve.seeds() {
                    n if n > 1 && !same => format!("{} ({n} seeds)", curve.name),
                    _ => curve.name.to_owned(),
                };
                (fitted(&text, SMALL, room), Some(line))
            })
            .collect();
        let most = seeds.into_iter().max().unwrap_or(0);
        if most > 1 {
            let of = if same {
                format!("{most} ")
            } else {
                String::new()
            };
            all.push((format!("mean of {of}seeds ± standard deviation"), None));
        }
        all
    }

    /// Row and x of every entry, beside each other as far as there is room.
    fn flow(&self) -> Vec<(usize, f64)> {
        let left = if self.look.is_screen() {
            80.0
        } else {
            self.margin()
        };
        let right = self.width() - self.margin();
        let (mut row, mut x) = (0, left);
        let place = |(text, line): &(String, Option<Line>)| {
            let sample = if line.is_some() { SAMPLE + 6.0 } else { 0.0 };
            let width = sample + text_width(text, SMALL);
            if x > left && x + width > right {
                row += 1;
                x = left;
            }
            let at = (row, x);
            x += width + 20.0;
            at
        };
        self.entries().iter().map(place).collect()
    }

    fn panel(
        &self,
        canvas: &mut Canvas,
        (top, bottom): (f64, f64),
        name: &str,
        chance: Option<f64>,
        of: impl Fn(&OverSeeds) -> (f64, f64),
    ) {
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
                left: self.sides().0,
                top,
                right: self.sides().1,
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
                canvas.veil(&outline, line.color);
            }
        }
        panel.draw_axes(canvas, bottom == self.panels()[1].1);
        if let Some(chance) = chance {
            for path in panel.paths([(0.0, chance), (last, chance)].into_iter()) {
                canvas.line(&path, Line::solid(GREY, 0.9));
            }
            // Beside the frame, where no curve is.
            let (_, y) = panel.at(last, chance);
            let at = (panel.frame.right + 5.0, y + 4.0);
            canvas.text("chance", at, SMALL, GREY, Align::Left);
        }
        for (curve, line) in self.styled() {
            let series = curve.points.iter().map(|p| (p.step as f64, of(p).0));
            for path in panel.paths(series) {
                canvas.line(&path, line);
            }
            if let [only] = &curve.points[..] {
                let y = of(only).0;
                if panel.y.holds(y) {
                    canvas.disc(panel.at(only.step as f64, y), 3.0, line.color);
                }
            }
        }
        panel.draw_frame(canvas);
        panel.draw_y_name(
            canvas,
            name,
            SMALL,
            if self.look.is_screen() { 22.0 } else { 14.0 },
        )
    }
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
                let figure = training_curves(&runs, "imdb & <more>", &Look::screen());
                let svg = figure.svg();
                assert!(!svg.contains("NaN") && !svg.contains("inf"));
                assert!(svg.contains("imdb &amp; &lt;more&gt;"));
            }
        }
        let svg = training_curves(&[("softmax", &good)], "t", &Look::screen());
        let svg = svg.svg();
        assert!(svg.contains("mean of 3 seeds"));
    }
}
