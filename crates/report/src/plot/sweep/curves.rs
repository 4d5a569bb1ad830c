//! Distributions and curves over the trials of a sweep.

use super::{GAUSSIAN, KERNELS, Kind, Over, Page, SOFTMAX, frame, of_kernel};
use crate::plot::axis::Axis;
use crate::plot::canvas::{Align, Canvas, Line, Rgb, Xy};
use crate::plot::look::Look;
use crate::plot::panel::{BLACK, GREY, Panel, SMALL};
use crate::plot::{Drawing, Figure, reading_style, render};
use gdcert::experiment::summary::{Quantiles, REACHED, Statistics};
use gdcert::model::Kernel;
use gdcert::spectrum::Reading;

/// Below a panel: labels and name of its axis.
const BELOW: f64 = 42.0;
/// Above a panel: its title.
const ABOVE: f64 = 20.0;
/// Where numbers can not be told from 0.
const BLIND: Rgb = (228, 228, 228);
const SHARE: &str = "share of trials below";
/// A scatter of more points than this has no more to say.
const POINTS: usize = 4000;
/// What is below this can not be told from 0 beside 1: it is not drawn as data.
const LOWEST: f64 = 1e-16;
const BELOW_LOWEST: &str = "below 10⁻¹⁶";
/// Room for it on a logarithmic axis, in decades.
const STRIP: f64 = 1.5;

/// What a panel shows, in axis coordinates.
struct Chart {
    title: String,
    x: (&'static str, Axis),
    y: (&'static str, Axis),
    curves: Vec<(Line, Vec<(f64, f64)>)>,
    /// Outlines of bands, pale under the curves.
    bands: Vec<(Line, Vec<(f64, f64)>)>,
    points: Vec<(f64, f64)>,
    /// Lines that mean something; the note or the legend says what.
    marks: Vec<[(f64, f64); 2]>,
    /// Whether x, and y, below LOWEST have a strip of their own.
    blind: [bool; 2],
}

struct Charts<'a> {
    page: Page<'a>,
    charts: Vec<Chart>,
}

/// log10, with what can not be told from 0 in the strip, beside its name.
fn visible(x: f64) -> f64 {
    match x >= LOWEST {
        true => x.log10(),
        false => LOWEST.log10() - 0.25 * STRIP,
    }
}

/// The lower end of an axis from these values on, and whether there is a strip.
fn with_strip(low: f64) -> (f64, bool) {
    let edge = LOWEST.log10();
    match low < edge {
        true => (edge - STRIP, true),
        false => (low, false),
    }
}

pub(super) fn tightness(
    statistics: &Statistics,
    kind: Kind,
    over: &Over,
    look: &Look,
) -> Option<Figure> {
    let group = |kernel| statistics.groups.get(&kind.key(kernel));
    let logs = |kernel, reading: Reading| -> Vec<f64> {
        let all = group(kernel).map(|g| &g.tightness[reading as usize][..]);
        let positive = all.unwrap_or_default().iter().filter(|x| **x > 0.0);
        positive.map(|x| x.log10()).collect()
    };
    let every = || {
        KERNELS
            .into_iter()
            .flat_map(|k| Reading::ALL.map(|r| logs(k, r)))
    };
    let (low, high) = range(every().flatten().chain([0.0]).map(|x| x.clamp(-4.0, 6.0)));
    if every().all(|logs| logs.is_empty()) {
        return None;
    }
    let applied = |reading| KERNELS.iter().any(|&k| !logs(k, reading).is_empty());
    let readings: Vec<_> = Reading::ALL.into_iter().filter(|r| applied(*r)).collect();
    // The colour is the reading's, the line the kernel's.
    let line = |reading, kernel| Line {
        width: 2.0,
        dashes: of_kernel(kernel).dashes,
        ..reading_style(reading)
    };
    let both = || {
        let of = |reading| KERNELS.map(|kernel| (reading, kernel));
        readings.iter().copied().flat_map(of)
    };
    let drawn = || both().filter(|(r, k)| !logs(*k, *r).is_empty());
    let chart = Chart {
        title: String::new(),
        x: ("measured rate / claimed rate", Axis::log(low, high)),
        y: (SHARE, Axis::linear(0.0, 1.0, 1.0)),
        curves: drawn()
            .map(|(reading, kernel)| {
                let steps = distribution(logs(kernel, reading), (low, high));
                (line(reading, kernel), steps)
            })
            .collect(),
        bands: Vec::new(),
        points: Vec::new(),
        marks: vec![[(0.0, 0.0), (0.0, 1.0)]],
        blind: [false; 2],
    };
    draw(
        Page {
            title: kind.title("Tightness of the bound"),
            legend: drawn()
                .map(|(r, k)| (format!("{k}, β {r}"), line(r, k)))
                .collect(),
            notes: vec![
                "where the reading applies; right of the upright line the run was faster than claimed"
                    .to_owned(),
                over.words(),
            ],
            look,
        },
        vec![chart],
    )
}

pub(super) fn query_alone(
    statistics: &Statistics,
    kind: Kind,
    over: &Over,
    look: &Look,
) -> Option<Figure> {
    let group = |kernel| statistics.groups.get(&kind.key(kernel));
    let log = |share: f64| visible(share.min(10.0));
    let finals = |kernel| -> Vec<f64> {
        let all = group(kernel).map(|g| &g.final_loss_relative[..]);
        all.unwrap_or_default().iter().map(|&x| log(x)).collect()
    };
    if KERNELS.iter().all(|&kernel| finals(kernel).is_empty()) {
        return None;
    }
    let (low, high) = range(
        KERNELS
            .into_iter()
            .flat_map(finals)
            .chain([0.0, REACHED.log10()]),
    );
    let (low, strip) = with_strip(low);
    let mut charts = vec![Chart {
        title: "where gradient descent ended".to_owned(),
        x: ("$f_T / f_0$", Axis::log(low, high)),
        y: (SHARE, Axis::linear(0.0, 1.0, 1.0)),
        curves: KERNELS
            .into_iter()
            .map(|kernel| (of_kernel(kernel), distribution(finals(kernel), (low, high))))
            .collect(),
        bands: Vec::new(),
        points: Vec::new(),
        marks: vec![[(REACHED.log10(), 0.0), (REACHED.log10(), 1.0)]],
        blind: [strip, false],
    }];
    let pairs = group(Kernel::Softmax)
        .map(|g| &g.hull_and_final[..])
        .unwrap_or_default();
    let above: Vec<_> = pairs.iter().filter(|(hull, _)| *hull > 0.0).collect();
    if !above.is_empty() {
        let step = above.len().div_ceil(POINTS);
        let points: Vec<(f64, f64)> = above
            .iter()
            .step_by(step)
            .map(|(hull, last)| (log(*hull), log(*last)))
            .collect();
        let (low, high) = range(points.iter().flat_map(|p| [p.0, p.1]).chain([0.0]));
        let (low, strip) = with_strip(low);
        charts.push(Chart {
            title: "softmax: the hull bound and where it ended".to_owned(),
            x: ("$f_{hull} / f_0$", Axis::log(low, high)),
            y: ("$f_T / f_0$", Axis::log(low, high)),
            curves: Vec::new(),
            bands: Vec::new(),
            points,
            marks: vec![[(low, low), (high, high)]],
            blind: [strip; 2],
        });
    }
    let count = |kernel| group(kernel).map_or(0, |g| g.trials);
    let reached = |kernel| group(kernel).map_or(0, |g| g.reached);
    let entry = |kernel: Kernel, line| {
        (
            format!(
                "{kernel}: {} of {} reached zero",
                reached(kernel),
                count(kernel)
            ),
            line,
        )
    };
    draw(
        Page {
            title: format!("Training $W^Q$ alone, init {}", kind.init),
            legend: vec![
                entry(Kernel::Softmax, SOFTMAX),
                entry(Kernel::Gaussian, GAUSSIAN),
            ],
            notes: vec![
                format!(
                    "upright line: {REACHED:e}, reached zero; slanted: $f_T = f_{{hull}}$, out of reach below; {}",
                    strip_words()
                ),
                over.words(),
            ],
            look,
        },
        charts,
    )
}

fn strip_words() -> String {
    "grey: not told from 0 in f64".to_owned()
}

pub(super) fn vanishing(
    statistics: &Statistics,
    kind: Kind,
    over: &Over,
    look: &Look,
) -> Option<Figure> {
    let quantiles = |kernel| -> Vec<(f64, [f64; 3])> {
        let key = kind.key(kernel);
        let of = statistics.vanishing.iter().filter(|((k, _), _)| *k == key);
        of.map(|((_, scale), norms)| {
            let [_, low, median, high, _] = Quantiles::of(norms).values;
            (scale.value().log10(), [low, median, high].map(visible))
        })
        .collect()
    };
    let all = || KERNELS.into_iter().flat_map(quantiles);
    if all().count() < 2 {
        return None;
    }
    let x = range(all().map(|(scale, _)| scale));
    let y = range(all().flat_map(|(_, q)| q));
    let (y_low, strip) = with_strip(y.0);
    let chart = Chart {
        title: String::new(),
        x: (
            "logit scale: factor on $W^Q$ and $W^K$",
            Axis::log(x.0, x.1),
        ),
        y: ("$|J_Q|$ at the start", Axis::log(y_low, y.1)),
        curves: KERNELS
            .into_iter()
            .map(|k| {
                (
                    of_kernel(k),
                    quantiles(k).iter().map(|(x, q)| (*x, q[1])).collect(),
                )
            })
            .collect(),
        bands: KERNELS
            .into_iter()
            .map(|k| {
                let all = quantiles(k);
                let lower = all.iter().map(|(x, q)| (*x, q[0]));
                let upper = all.iter().rev().map(|(x, q)| (*x, q[2]));
                (of_kernel(k), lower.chain(upper).collect())
            })
            .collect(),
        points: Vec::new(),
        marks: Vec::new(),
        blind: [false, strip],
    };
    draw(
        Page {
            title: kind.title("$|J_Q|$ against the logit scale"),
            legend: vec![
                ("softmax".to_owned(), SOFTMAX),
                ("gaussian".to_owned(), GAUSSIAN),
            ],
            notes: vec![
                format!(
                    "median over trials; bands: quantiles 0.1 and 0.9; {}",
                    strip_words()
                ),
                over.words(),
            ],
            look,
        },
        vec![chart],
    )
}

fn draw(page: Page, charts: Vec<Chart>) -> Option<Figure> {
    let look = page.look;
    Some(render(&Charts { page, charts }, look))
}

fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| {
        (low.min(x), high.max(x))
    })
}

/// The share of numbers at most x, as steps from the left end of the axis to its right end.
fn distribution(mut numbers: Vec<f64>, (low, high): (f64, f64)) -> Vec<(f64, f64)> {
    if numbers.is_empty() {
        return Vec::new();
    }
    numbers.sort_by(f64::total_cmp);
    let count = numbers.len() as f64;
    let mut steps = vec![(low - 1.0, 0.0)];
    for (i, x) in numbers.into_iter().enumerate() {
        let x = x.clamp(low - 1.0, high + 1.0);
        steps.push((x, i as f64 / count));
        steps.push((x, (i + 1) as f64 / count));
    }
    steps.push((high + 1.0, 1.0));
    steps
}

impl Charts<'_> {
    fn columns(&self) -> Vec<(f64, f64)> {
        self.page.columns(self.charts.len(), LEFT)
    }

    fn rows(&self) -> f64 {
        self.charts.len().div_ceil(self.columns().len()) as f64
    }

    fn panel_height(&self) -> f64 {
        match self.page.look.height {
            Some(height) => {
                let rest = self.page.top() + self.page.foot();
                ((height - rest) / self.rows() - ABOVE - BELOW).max(50.0)
            }
            None => {
                let (left, right) = self.columns()[0];
                (0.72 * (right - left)).clamp(90.0, 242.0)
            }
        }
    }
}

impl Drawing for Charts<'_> {
    fn size(&self) -> (f64, f64) {
        let row = ABOVE + self.panel_height() + BELOW;
        let own = self.page.top() + row * self.rows() + self.page.foot();
        let height = self.page.look.height.map_or(own, |h| h.max(own - 1.0));
        (self.page.width(), height)
    }

    fn description(&self) -> String {
        self.page.title.replace('$', "")
    }

    fn draw(&self, canvas: &mut Canvas) {
        self.page.draw(canvas, self.size().1);
        let columns = self.columns();
        let height = self.panel_height();
        for (i, chart) in self.charts.iter().enumerate() {
            let row = (i / columns.len()) as f64;
            let top = self.page.top() + ABOVE + row * (height + ABOVE + BELOW);
            chart.draw(canvas, columns[i % columns.len()], (top, top + height));
        }
    }
}

/// Left of a panel: labels and name of its axis.
const LEFT: f64 = 62.0;

impl Chart {
    fn draw(&self, canvas: &mut Canvas, sides: (f64, f64), edges: (f64, f64)) {
        let ((left, right), (top, bottom)) = (sides, edges);
        let panel = Panel {
            frame: frame(sides, edges),
            x: self.x.1.clone(),
            y: self.y.1.clone(),
        };
        let edge = LOWEST.log10();
        if self.blind[0] {
            let (x, _) = panel.at(edge, 0.0);
            canvas.fill_rect((left, top), (x, bottom), BLIND);
            if x - left >= 14.0 {
                let at = (left + 0.35 * (x - left) + 4.0, 0.5 * (top + bottom));
                canvas.text(BELOW_LOWEST, at, SMALL, GREY, Align::Upwards);
            }
        }
        if self.blind[1] {
            let (_, y) = panel.at(0.0, edge);
            canvas.fill_rect((left, y), (right, bottom), BLIND);
            if bottom - y >= 12.0 {
                let at = (left + 6.0, bottom - 0.35 * (bottom - y) + 4.0);
                canvas.text(BELOW_LOWEST, at, SMALL, GREY, Align::Left);
            }
        }
        for (line, outline) in &self.bands {
            let outline: Vec<Xy> = outline.iter().map(|&(x, y)| panel.at(x, y)).collect();
            canvas.veil(&outline, line.color);
        }
        panel.draw_axes(canvas, true);
        for ends in &self.marks {
            let path = ends.map(|(x, y)| panel.at(x, y));
            canvas.line(&path, Line::solid(GREY, 1.4));
        }
        for &(x, y) in &self.points {
            let at = panel.at(x, y);
            canvas.disc(at, 1.5, SOFTMAX.color);
            // Hollow where the place is not the number's.
            if (self.blind[0] && x < edge) || (self.blind[1] && y < edge) {
                canvas.disc(at, 0.8, super::WHITE);
            }
        }
        for (line, series) in &self.curves {
            for path in steps(&panel, series) {
                canvas.line(&path, *line);
            }
        }
        panel.draw_frame(canvas);
        canvas.text(&self.title, (left, top - 7.0), SMALL, BLACK, Align::Left);
        let below = (0.5 * (left + right), bottom + 35.0);
        canvas.label(self.x.0, below, SMALL, BLACK, Align::Center);
        panel.draw_y_name(canvas, self.y.0, SMALL, left - 46.0)
    }
}

/// A series of any shape, cut at the left and right edge of the panel, without more points than can be told apart.
fn steps(panel: &Panel, series: &[(f64, f64)]) -> Vec<Vec<Xy>> {
    let mut path: Vec<Xy> = Vec::new();
    for &(x, y) in series {
        let x = x.clamp(panel.x.low(), panel.x.high());
        let at = panel.at(x, y);
        let near = |last: &Xy| (last.0 - at.0).abs() + (last.1 - at.1).abs() < 0.3;
        if path.last().is_none_or(|last| !near(last)) {
            path.push(at);
        }
    }
    vec![path]
}
