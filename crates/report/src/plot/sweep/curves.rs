//! Distributions and curves over the trials of a sweep.

use super::{COLUMNS, GAUSSIAN, KERNELS, Kind, SOFTMAX, WIDTH, frame, ground, legend, of_kernel};
use crate::Result;
use crate::plot::axis::Axis;
use crate::plot::canvas::{Align, Canvas, Line, Xy};
use crate::plot::panel::{BLACK, GREY, Panel};
use crate::plot::{Drawing, Figure, reading_style, render};
use gdcert::experiment::summary::{Quantiles, REACHED, Statistics};
use gdcert::model::Kernel;
use gdcert::spectrum::Reading;
use plotters_backend::DrawingBackend;

const HEIGHT: f64 = 392.0;
const ROWS: (f64, f64) = (88.0, 330.0);
const SHARE: &str = "share of trials below";
/// A scatter of more points than this has no more to say.
const POINTS: usize = 4000;
/// What is below this is drawn at it.
const LOWEST: f64 = 1e-16;

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
}

struct Charts {
    title: String,
    legend: Vec<(String, Line)>,
    note: String,
    charts: Vec<Chart>,
}

pub(super) fn tightness(statistics: &Statistics, kind: Kind) -> Result<Option<Figure>> {
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
        return Ok(None);
    }
    let applied = |reading| KERNELS.iter().any(|&k| !logs(k, reading).is_empty());
    let readings: Vec<_> = Reading::ALL.into_iter().filter(|r| applied(*r)).collect();
    let charts = KERNELS
        .into_iter()
        .filter(|k| group(*k).is_some())
        .map(|kernel| Chart {
            title: kernel.to_string(),
            x: ("measured rate / claimed rate", Axis::log(low, high)),
            y: (SHARE, Axis::linear(0.0, 1.0, 1.0)),
            curves: readings
                .iter()
                .map(|&reading| {
                    (
                        reading_style(reading),
                        distribution(logs(kernel, reading), (low, high)),
                    )
                })
                .collect(),
            bands: Vec::new(),
            points: Vec::new(),
            marks: vec![[(0.0, 0.0), (0.0, 1.0)]],
        });
    draw(Charts {
        title: kind.title("Tightness of the bound"),
        legend: readings
            .iter()
            .map(|&r| (format!("beta {r}"), reading_style(r)))
            .collect(),
        note:
            "where the reading applies; right of the upright line the run was faster than claimed"
                .to_owned(),
        charts: charts.collect(),
    })
}

pub(super) fn query_alone(statistics: &Statistics, kind: Kind) -> Result<Option<Figure>> {
    let group = |kernel| statistics.groups.get(&kind.key(kernel));
    let log = |share: f64| share.clamp(LOWEST, 10.0).log10();
    let finals = |kernel| -> Vec<f64> {
        let all = group(kernel).map(|g| &g.final_loss_relative[..]);
        all.unwrap_or_default().iter().map(|&x| log(x)).collect()
    };
    if KERNELS.iter().all(|&kernel| finals(kernel).is_empty()) {
        return Ok(None);
    }
    let (low, high) = range(
        KERNELS
            .into_iter()
            .flat_map(finals)
            .chain([0.0, REACHED.log10()]),
    );
    let mut charts = vec![Chart {
        title: "where gradient descent ended".to_owned(),
        x: ("f_T / f_0", Axis::log(low, high)),
        y: (SHARE, Axis::linear(0.0, 1.0, 1.0)),
        curves: KERNELS
            .into_iter()
            .map(|kernel| (of_kernel(kernel), distribution(finals(kernel), (low, high))))
            .collect(),
        bands: Vec::new(),
        points: Vec::new(),
        marks: vec![[(REACHED.log10(), 0.0), (REACHED.log10(), 1.0)]],
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
        charts.push(Chart {
            title: "softmax: f_hull and where it ended".to_owned(),
            x: ("f_hull / f_0", Axis::log(low, high)),
            y: ("f_T / f_0", Axis::log(low, high)),
            curves: Vec::new(),
            bands: Vec::new(),
            points,
            marks: vec![[(low, low), (high, high)]],
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
    draw(Charts {
        title: format!("Training W^Q alone, init {}", kind.init),
        legend: vec![
            entry(Kernel::Softmax, SOFTMAX),
            entry(Kernel::Gaussian, GAUSSIAN),
        ],
        note: format!(
            "upright line: {REACHED:e}, reached zero; slanted: f_T = f_hull, out of reach below; {LOWEST:e} stands for less"
        ),
        charts,
    })
}

pub(super) fn vanishing(statistics: &Statistics, kind: Kind) -> Result<Option<Figure>> {
    let quantiles = |kernel| -> Vec<(f64, [f64; 3])> {
        let key = kind.key(kernel);
        let of = statistics.vanishing.iter().filter(|((k, _), _)| *k == key);
        of.map(|((_, scale), norms)| {
            let [_, low, median, high, _] = Quantiles::of(norms).values;
            let log = |x: f64| x.max(LOWEST).log10();
            (scale.value().log10(), [low, median, high].map(log))
        })
        .collect()
    };
    let all = || KERNELS.into_iter().flat_map(quantiles);
    if all().count() < 2 {
        return Ok(None);
    }
    let x = range(all().map(|(scale, _)| scale));
    let y = range(all().flat_map(|(_, q)| q));
    let chart = Chart {
        title: String::new(),
        x: ("logit scale: factor on W^Q and W^K", Axis::log(x.0, x.1)),
        y: ("|J_Q| at the start", Axis::log(y.0, y.1)),
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
    };
    draw(Charts {
        title: kind.title("|J_Q| against the logit scale"),
        legend: vec![
            ("softmax".to_owned(), SOFTMAX),
            ("gaussian".to_owned(), GAUSSIAN),
        ],
        note: format!(
            "median over trials; bands: quantiles 0.1 and 0.9; {LOWEST:e} stands for less"
        ),
        charts: vec![chart],
    })
}

fn draw(charts: Charts) -> Result<Option<Figure>> {
    render(&charts).map(Some)
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

impl Drawing for Charts {
    fn size(&self) -> (u32, u32) {
        (WIDTH as u32, HEIGHT as u32)
    }

    fn description(&self) -> String {
        self.title.clone()
    }

    fn draw<B: DrawingBackend>(&self, canvas: &mut Canvas<'_, B>) -> Result<()> {
        ground(canvas, &self.title, HEIGHT)?;
        legend(canvas, &self.legend, 50.0)?;
        // A single chart takes the room of both.
        let alone = [(COLUMNS[0].0, COLUMNS[1].1)];
        let columns: &[(f64, f64)] = if self.charts.len() == 1 {
            &alone
        } else {
            &COLUMNS
        };
        for (i, (chart, column)) in self.charts.iter().zip(columns).enumerate() {
            chart.draw(canvas, *column, i > 0)?;
        }
        canvas.text(
            &self.note,
            (COLUMNS[0].0, HEIGHT - 8.0),
            10.5,
            GREY,
            Align::Left,
        )
    }
}

impl Chart {
    fn draw<B: DrawingBackend>(
        &self,
        canvas: &mut Canvas<'_, B>,
        (mut left, right): (f64, f64),
        second: bool,
    ) -> Result<()> {
        // The second chart's own y axis needs room.
        left += if second && self.y.0 != SHARE {
            46.0
        } else {
            0.0
        };
        let (top, bottom) = ROWS;
        let panel = Panel {
            frame: frame((left, right), ROWS),
            x: self.x.1.clone(),
            y: self.y.1.clone(),
        };
        let middle = 0.5 * (left + right);
        for (line, outline) in &self.bands {
            let outline: Vec<Xy> = outline.iter().map(|&(x, y)| panel.at(x, y)).collect();
            canvas.fill(&outline, super::super::curves::pale(line.color))?;
        }
        panel.draw_axes(canvas, true)?;
        for ends in &self.marks {
            let path = ends.map(|(x, y)| panel.at(x, y));
            canvas.line(&path, Line::solid(GREY, 1.4))?;
        }
        for &(x, y) in &self.points {
            canvas.disc(panel.at(x, y), 1.4, SOFTMAX.color)?;
        }
        for (line, series) in &self.curves {
            for path in steps(&panel, series) {
                canvas.line(&path, *line)?;
            }
        }
        panel.draw_frame(canvas)?;
        canvas.text(&self.title, (left, top - 8.0), 12.5, BLACK, Align::Left)?;
        canvas.text(
            self.x.0,
            (middle, bottom + 37.0),
            12.5,
            BLACK,
            Align::Center,
        )?;
        if second && self.y.0 == SHARE {
            return Ok(()); // the first chart's
        }
        panel.draw_y_name(canvas, self.y.0, 12.5, left - 54.0)
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
