//! Verdicts over HD/(Nn) and scale.

use super::{COLUMNS, KERNELS, Kind, WIDTH, frame, ground};
use crate::Result;
use crate::plot::canvas::{Align, Canvas, Line, Rgb, text_width};
use crate::plot::panel::{BLACK, GREY, SMALL, beside_labels};
use crate::plot::{Drawing, Figure, render};
use gdcert::deciding_reading;
use gdcert::experiment::summary::{Cell, Positive, REACHED, Statistics};
use gdcert::spectrum::Reading;
use gdcert::verdict::Verdict;
use plotters_backend::DrawingBackend;
use std::collections::BTreeSet;

const TOP: f64 = 88.0;
const GAP: f64 = 48.0;
const REACHED_ZERO: Rgb = (95, 95, 95);
const NOT_REACHED: Rgb = (238, 238, 238);
/// No more rows or columns than this can be read.
const MOST: usize = 40;

pub(super) fn phase(statistics: &Statistics, kind: Kind) -> Result<Option<Figure>> {
    let cells = statistics
        .phase
        .iter()
        .filter(|((key, ..), _)| Kind::of(*key) == kind);
    let ratios: BTreeSet<Positive> = cells.clone().map(|((_, ratio, _), _)| *ratio).collect();
    let scales: BTreeSet<Option<Positive>> = cells.map(|((.., scale), _)| *scale).collect();
    if ratios.len() * scales.len() < 2 || ratios.len() > MOST || scales.len() > MOST {
        return Ok(None);
    }
    let deciding = deciding_reading(kind.trained());
    let mut rows = vec![Shows::Verdicts(deciding), Shows::Verdicts(Reading::Ntk)];
    rows.dedup();
    rows.push(Shows::ReachedZero);
    let figure = Phase {
        statistics,
        kind,
        ratios: ratios.into_iter().collect(),
        scales: scales.into_iter().collect(),
        rows,
    };
    render(&figure).map(Some)
}

struct Phase<'a> {
    statistics: &'a Statistics,
    kind: Kind,
    ratios: Vec<Positive>,
    scales: Vec<Option<Positive>>,
    rows: Vec<Shows>,
}

/// What a row of panels shows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shows {
    Verdicts(Reading),
    ReachedZero,
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
    fn row_height(&self) -> f64 {
        (40.0 + 26.0 * self.scales.len() as f64).clamp(90.0, 300.0)
    }

    fn height(&self) -> f64 {
        TOP + (self.row_height() + GAP) * self.rows.len() as f64 + 26.0
    }

    /// A column of panels for each kernel that was run.
    fn columns(&self) -> Vec<((f64, f64), gdcert::Kernel)> {
        let was_run = |kernel: &gdcert::Kernel| {
            let key = self.kind.key(*kernel);
            self.statistics.phase.keys().any(|(of, ..)| *of == key)
        };
        let kernels: Vec<_> = KERNELS.into_iter().filter(was_run).collect();
        match kernels[..] {
            [kernel] => vec![((COLUMNS[0].0, COLUMNS[1].1), kernel)],
            _ => COLUMNS.into_iter().zip(kernels).collect(),
        }
    }

    fn cell(
        &self,
        kernel: gdcert::Kernel,
        ratio: Positive,
        scale: Option<Positive>,
    ) -> Option<&Cell> {
        self.statistics
            .phase
            .get(&(self.kind.key(kernel), ratio, scale))
    }
}

impl Drawing for Phase<'_> {
    fn size(&self) -> (u32, u32) {
        (WIDTH as u32, self.height() as u32)
    }

    fn description(&self) -> String {
        self.kind
            .title("Verdicts over HD/(Nn) and scale, by kernel")
    }

    fn draw<B: DrawingBackend>(&self, canvas: &mut Canvas<'_, B>) -> Result<()> {
        ground(canvas, &self.kind.title("Verdicts"), self.height())?;
        let mut x = COLUMNS[0].0;
        for verdict in Verdict::ALL {
            canvas.fill_rect((x, 41.0), (x + 12.0, 53.0), color(verdict))?;
            canvas.text(&name(verdict), (x + 16.0, 51.5), SMALL, BLACK, Align::Left)?;
            x += 16.0 + text_width(&name(verdict), SMALL) + 14.0;
        }
        for (row, &shows) in self.rows.iter().enumerate() {
            let top = TOP + row as f64 * (self.row_height() + GAP);
            for (column, kernel) in self.columns() {
                let bottom = top + self.row_height();
                self.panel(canvas, shows, kernel, column, (top, bottom))?;
            }
        }
        let bottom = self.height() - 30.0;
        for ((left, right), _) in self.columns() {
            canvas.text(
                "HD / (Nn)",
                (0.5 * (left + right), bottom),
                12.5,
                BLACK,
                Align::Center,
            )?;
        }
        let note = format!(
            "numbers: % of trials whose bound held, below those with f_T <= {REACHED:e} f_0; bold line: HD = Nn"
        );
        canvas.text(
            &note,
            (COLUMNS[0].0, self.height() - 8.0),
            10.5,
            GREY,
            Align::Left,
        )
    }
}

impl Phase<'_> {
    fn panel<B: DrawingBackend>(
        &self,
        canvas: &mut Canvas<'_, B>,
        shows: Shows,
        kernel: gdcert::Kernel,
        (left, right): (f64, f64),
        (top, bottom): (f64, f64),
    ) -> Result<()> {
        let title = match shows {
            Shows::Verdicts(reading) => format!("{kernel}, beta {reading}"),
            Shows::ReachedZero => format!("{kernel}, reached zero"),
        };
        canvas.text(&title, (left, top - 7.0), 12.5, BLACK, Align::Left)?;
        let width = (right - left) / self.ratios.len() as f64;
        let height = (bottom - top) / self.scales.len() as f64;
        for (i, &ratio) in self.ratios.iter().enumerate() {
            for (j, &scale) in self.scales.iter().enumerate() {
                let at = (left + i as f64 * width, bottom - j as f64 * height);
                if let Some(cell) = self.cell(kernel, ratio, scale) {
                    self.cell_at(canvas, cell, shows, at, (width, height))?;
                }
            }
        }
        self.labels(canvas, (left, right), (top, bottom))?;
        let wide = self.ratios.iter().position(|ratio| ratio.value() >= 1.0);
        if let Some(i) = wide.filter(|&i| i > 0) {
            let x = left + i as f64 * width;
            canvas.line(
                &[(x, top - 4.0), (x, bottom + 4.0)],
                Line::solid(super::WHITE, 4.5),
            )?;
            canvas.line(
                &[(x, top - 4.0), (x, bottom + 4.0)],
                Line::solid(BLACK, 2.2),
            )?;
        }
        let corners = frame((left, right), (top, bottom)).corners();
        canvas.line(&corners, Line::solid(BLACK, 0.9))
    }

    /// A cell, its width shared out, with a percentage.
    fn cell_at<B: DrawingBackend>(
        &self,
        canvas: &mut Canvas<'_, B>,
        cell: &Cell,
        shows: Shows,
        (left, bottom): (f64, f64),
        (width, height): (f64, f64),
    ) -> Result<()> {
        let shares: Vec<(Rgb, u64)> = match shows {
            Shows::Verdicts(reading) => {
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
                canvas.fill_rect((x, bottom - height + 0.5), (to, bottom - 0.5), color)?;
            }
            x = to;
        }
        let (good, claimed) = match shows {
            Shows::Verdicts(reading) => {
                let counts = || {
                    Verdict::ALL
                        .into_iter()
                        .zip(cell.verdicts[reading as usize])
                };
                let sum = |of: &dyn Fn(Verdict) -> bool| -> u64 {
                    counts()
                        .filter(|(v, _)| of(*v))
                        .map(|(_, count)| count)
                        .sum()
                };
                (sum(&Verdict::holds), sum(&|v| v != Verdict::NotApplicable))
            }
            Shows::ReachedZero => (cell.reached, cell.trials),
        };
        if claimed == 0 || width < 22.0 || height < 13.0 {
            return Ok(());
        }
        let share = format!("{:.0}", 100.0 * good as f64 / all);
        let (x, y) = (left + 0.5 * width, bottom - 0.5 * height + 4.0);
        let half = 0.5 * text_width(&share, 10.5) + 2.5;
        canvas.fill_rect((x - half, y - 10.0), (x + half, y + 2.5), super::WHITE)?;
        canvas.text(&share, (x, y), 10.5, BLACK, Align::Center)
    }

    fn labels<B: DrawingBackend>(
        &self,
        canvas: &mut Canvas<'_, B>,
        (left, right): (f64, f64),
        (top, bottom): (f64, f64),
    ) -> Result<()> {
        let width = (right - left) / self.ratios.len() as f64;
        let every = (34.0 / width).ceil().max(1.0) as usize;
        for (i, ratio) in self.ratios.iter().enumerate().step_by(every) {
            let at = (left + (i as f64 + 0.5) * width, bottom + 15.0);
            canvas.text(&short(ratio.value()), at, SMALL, BLACK, Align::Center)?;
        }
        if left != COLUMNS[0].0 {
            return Ok(());
        }
        let height = (bottom - top) / self.scales.len() as f64;
        let every = (14.0 / height).ceil().max(1.0) as usize;
        let mut widest = 0.0f64;
        for (j, scale) in self.scales.iter().enumerate().step_by(every) {
            let text = scale.map_or(String::new(), |scale| short(scale.value()));
            widest = widest.max(text_width(&text, SMALL));
            let at = (left - 6.0, bottom - (j as f64 + 0.5) * height + 4.0);
            canvas.text(&text, at, SMALL, BLACK, Align::Right)?;
        }
        if self.scales.iter().any(Option::is_some) {
            let x = beside_labels(left - 6.0, widest, 18.0);
            let at = (x, 0.5 * (top + bottom));
            canvas.text("scale", at, 12.5, BLACK, Align::Upwards)?;
        }
        Ok(())
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
