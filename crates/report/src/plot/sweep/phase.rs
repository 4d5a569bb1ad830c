//! Verdicts over HD/(Nn) and scale.

use super::{KERNELS, Kind, Over, Page, frame};
use crate::plot::canvas::{Align, Canvas, Line, Rgb, text_width};
use crate::plot::look::Look;
use crate::plot::panel::{BLACK, SMALL, beside_labels};
use crate::plot::{Drawing, Figure, render};
use gdcert::deciding_reading;
use gdcert::experiment::summary::{Cell, Positive, REACHED, Statistics};
use gdcert::model::Kernel;
use gdcert::spectrum::Reading;
use gdcert::verdict::Verdict;
use std::collections::BTreeSet;

/// Above a panel: its title. Below: its labels.
const ABOVE: f64 = 22.0;
const BELOW: f64 = 24.0;
/// The name of the axis below the last panel.
const NAME: f64 = 18.0;
/// Left of a panel: labels and name of its axis.
const LEFT: f64 = 62.0;
const REACHED_ZERO: Rgb = (95, 95, 95);
const NOT_REACHED: Rgb = (238, 238, 238);
/// No more rows or columns than this can be read.
const MOST: usize = 40;

pub(super) fn phase(
    statistics: &Statistics,
    kind: Kind,
    over: &Over,
    look: &Look,
) -> Option<Figure> {
    let cells = || {
        let all = statistics.phase.iter();
        all.filter(|((key, ..), _)| Kind::of(*key) == kind)
    };
    let ratios: BTreeSet<Positive> = cells().map(|((_, ratio, _), _)| *ratio).collect();
    let scales: BTreeSet<Option<Positive>> = cells().map(|((.., scale), _)| *scale).collect();
    if ratios.len() * scales.len() < 2 || ratios.len() > MOST || scales.len() > MOST {
        return None;
    }
    let deciding = deciding_reading(kind.trained());
    let alike = |a: Reading, b: Reading| {
        cells().all(|(_, cell)| cell.verdicts[a as usize] == cell.verdicts[b as usize])
    };
    // Rows that would be the same are shown once.
    let rows = match deciding {
        Reading::Ntk => vec![Shows::Verdicts(Reading::Ntk, None)],
        other if alike(other, Reading::Ntk) => vec![Shows::Verdicts(other, Some(Reading::Ntk))],
        other => vec![
            Shows::Verdicts(other, None),
            Shows::Verdicts(Reading::Ntk, None),
        ],
    };
    let readings: Vec<Reading> = rows.iter().filter_map(Shows::reading).collect();
    let occurs = |verdict: &Verdict| {
        let at = Verdict::ALL.iter().position(|v| v == verdict).unwrap_or(0);
        cells().any(|(_, cell)| readings.iter().any(|r| cell.verdicts[*r as usize][at] > 0))
    };
    let swatch = |color| Line::solid(color, 11.0);
    let mut legend: Vec<(String, Line)> = Verdict::ALL
        .into_iter()
        .filter(occurs)
        .map(|verdict| (name(verdict), swatch(color(verdict))))
        .collect();
    legend.push(("reached zero".to_owned(), swatch(REACHED_ZERO)));
    let page = Page {
        title: kind.title("Verdicts"),
        legend,
        notes: vec![
            format!(
                "a colour's share of a cell: its share of the trials; reached zero: $f_T$ ≤ {REACHED:e} $f_0$; bold line: HD = Nn"
            ),
            over.words(),
        ],
        look,
    };
    let figure = Phase {
        statistics,
        kind,
        ratios: ratios.into_iter().collect(),
        scales: scales.into_iter().collect(),
        rows: rows.into_iter().chain([Shows::ReachedZero]).collect(),
        page,
    };
    Some(render(&figure, look))
}

struct Phase<'a> {
    statistics: &'a Statistics,
    kind: Kind,
    ratios: Vec<Positive>,
    scales: Vec<Option<Positive>>,
    rows: Vec<Shows>,
    page: Page<'a>,
}

/// What a row of panels shows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shows {
    /// Of a reading, and of another with the same verdicts everywhere.
    Verdicts(Reading, Option<Reading>),
    ReachedZero,
}

impl Shows {
    fn reading(&self) -> Option<Reading> {
        match self {
            Shows::Verdicts(reading, _) => Some(*reading),
            Shows::ReachedZero => None,
        }
    }
}

/// Okabe-Ito colours; grey where nothing is claimed.
fn color(verdict: Verdict) -> Rgb {
    match verdict {
        Verdict::Certified => (0, 114, 178),
        Verdict::CertifiedTail => (86, 180, 233),
        Verdict::Held => (0, 158, 115),
        Verdict::Violated => (213, 94, 0),
        Verdict::Refuted => (150, 50, 0),
        Verdict::Obstructed => (240, 228, 66),
        Verdict::Diverged => (204, 121, 167),
        Verdict::NotApplicable => (224, 224, 224),
    }
}

fn name(verdict: Verdict) -> String {
    verdict.name().replace('_', " ")
}

impl Phase<'_> {
    /// The panels in order: kernels beside each other where there is room.
    fn panels(&self) -> Vec<(Shows, Kernel)> {
        let was_run = |kernel: &Kernel| {
            let key = self.kind.key(*kernel);
            self.statistics.phase.keys().any(|(of, ..)| *of == key)
        };
        let kernels: Vec<_> = KERNELS.into_iter().filter(was_run).collect();
        let of = |shows: &Shows| kernels.iter().map(|k| (*shows, *k)).collect::<Vec<_>>();
        self.rows.iter().flat_map(of).collect()
    }

    fn columns(&self) -> Vec<(f64, f64)> {
        let kernels = self.panels().len() / self.rows.len();
        self.page.columns(kernels, LEFT)
    }

    fn count_of_rows(&self) -> f64 {
        self.panels().len().div_ceil(self.columns().len()) as f64
    }

    fn row_height(&self) -> f64 {
        let own = (24.0 * self.scales.len() as f64).clamp(40.0, 260.0);
        match self.page.look.height {
            Some(height) => {
                let rest = self.page.top() + NAME + self.page.foot();
                ((height - rest) / self.count_of_rows() - ABOVE - BELOW).max(20.0)
            }
            None => own,
        }
    }

    fn cell(&self, kernel: Kernel, ratio: Positive, scale: Option<Positive>) -> Option<&Cell> {
        self.statistics
            .phase
            .get(&(self.kind.key(kernel), ratio, scale))
    }
}

impl Drawing for Phase<'_> {
    fn size(&self) -> (f64, f64) {
        let row = self.row_height() + ABOVE + BELOW;
        let own = self.page.top() + row * self.count_of_rows() + NAME + self.page.foot();
        let height = self.page.look.height.map_or(own, |h| h.max(own - 1.0));
        (self.page.width(), height)
    }

    fn description(&self) -> String {
        self.kind
            .title("Verdicts over HD/(Nn) and scale, by kernel")
    }

    fn draw(&self, canvas: &mut Canvas) {
        self.page.draw(canvas, self.size().1);
        let columns = self.columns();
        let height = self.row_height();
        let mut bottom = 0.0;
        for (i, (shows, kernel)) in self.panels().into_iter().enumerate() {
            let row = (i / columns.len()) as f64;
            let top = self.page.top() + ABOVE + row * (height + ABOVE + BELOW);
            bottom = top + height;
            let column = i % columns.len();
            self.panel(canvas, shows, kernel, columns[column], (top, bottom));
        }
        for (left, right) in columns {
            let at = (0.5 * (left + right), bottom + 33.0);
            canvas.text("HD / (Nn)", at, SMALL, BLACK, Align::Center);
        }
    }
}

impl Phase<'_> {
    fn panel(
        &self,
        canvas: &mut Canvas,
        shows: Shows,
        kernel: Kernel,
        (left, right): (f64, f64),
        (top, bottom): (f64, f64),
    ) {
        let title = match shows {
            Shows::Verdicts(reading, None) => format!("{kernel}, β {reading}"),
            Shows::Verdicts(reading, Some(same)) => format!("{kernel}, β {reading} = {same}"),
            Shows::ReachedZero => format!("{kernel}, reached zero"),
        };
        canvas.text(&title, (left, top - 7.0), SMALL, BLACK, Align::Left);
        let width = (right - left) / self.ratios.len() as f64;
        let height = (bottom - top) / self.scales.len() as f64;
        for (i, &ratio) in self.ratios.iter().enumerate() {
            for (j, &scale) in self.scales.iter().enumerate() {
                let at = (left + i as f64 * width, bottom - j as f64 * height);
                if let Some(cell) = self.cell(kernel, ratio, scale) {
                    self.cell_at(canvas, cell, shows, at, (width, height));
                }
            }
        }
        self.labels(canvas, (left, right), (top, bottom));
        let wide = self.ratios.iter().position(|ratio| ratio.value() >= 1.0);
        if let Some(i) = wide.filter(|&i| i > 0) {
            let x = left + i as f64 * width;
            canvas.line(
                &[(x, top - 4.0), (x, bottom + 4.0)],
                Line::solid(super::WHITE, 4.5),
            );
            canvas.line(
                &[(x, top - 4.0), (x, bottom + 4.0)],
                Line::solid(BLACK, 2.2),
            );
        }
        let corners = frame((left, right), (top, bottom)).corners();
        canvas.line(&corners, Line::solid(BLACK, 0.9))
    }

    /// A cell, its width shared out.
    fn cell_at(
        &self,
        canvas: &mut Canvas,
        cell: &Cell,
        shows: Shows,
        (left, bottom): (f64, f64),
        (width, height): (f64, f64),
    ) {
        let shares: Vec<(Rgb, u64)> = match shows {
            Shows::Verdicts(reading, _) => {
                let counts = cell.verdicts[reading as usize];
                Verdict::ALL.into_iter().map(color).zip(counts).collect()
            }
            Shows::ReachedZero => vec![
                (REACHED_ZERO, cell.reached),
                (NOT_REACHED, cell.trials - cell.reached),
            ],
        };
        let all = shares.iter().map(|(_, count)| count).sum::<u64>().max(1) as f64;
        let mut x = left + 0.5;
        for (color, count) in shares {
            let to = x + (width - 1.0) * count as f64 / all;
            if count > 0 {
                canvas.fill_rect((x, bottom - height + 0.5), (to, bottom - 0.5), color);
            }
            x = to;
        }
    }

    fn labels(&self, canvas: &mut Canvas, (left, right): (f64, f64), (top, bottom): (f64, f64)) {
        let width = (right - left) / self.ratios.len() as f64;
        let every = (34.0 / width).ceil().max(1.0) as usize;
        for (i, ratio) in self.ratios.iter().enumerate().step_by(every) {
            let at = (left + (i as f64 + 0.5) * width, bottom + 15.0);
            canvas.text(&short(ratio.value()), at, SMALL, BLACK, Align::Center);
        }
        let height = (bottom - top) / self.scales.len() as f64;
        let every = (14.0 / height).ceil().max(1.0) as usize;
        let mut widest = 0.0f64;
        for (j, scale) in self.scales.iter().enumerate().step_by(every) {
            let text = scale.map_or(String::new(), |scale| short(scale.value()));
            widest = widest.max(text_width(&text, SMALL));
            let at = (left - 6.0, bottom - (j as f64 + 0.5) * height + 4.0);
            canvas.text(&text, at, SMALL, BLACK, Align::Right);
        }
        if self.scales.iter().any(Option::is_some) {
            let x = beside_labels(left - 6.0, widest, left - 40.0);
            let at = (x, 0.5 * (top + bottom));
            canvas.text("scale", at, SMALL, BLACK, Align::Upwards);
        }
    }
}

/// Three digits, a power of ten where that is shorter.
fn short(x: f64) -> String {
    if (1e-3..1e5).contains(&x) {
        let digits = (2.0 - x.log10().floor()).clamp(0.0, 4.0) as usize;
        let text = format!("{x:.digits$}");
        match text.contains('.') {
            true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
            false => text,
        }
    } else {
        let text = crate::plot::number::scientific(x, 1);
        text.strip_prefix("1.0×").unwrap_or(&text).to_owned()
    }
}
