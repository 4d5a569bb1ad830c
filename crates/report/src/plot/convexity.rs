//! How nearly convex the loss is along the orbit, and how far the weights move, against the scale of the output weights.

use super::axis::Axis;
use super::canvas::{Align, Canvas, Line, Xy};
use super::look::Look;
use super::panel::{BLACK, GREY, Panel, SMALL};
use super::sweep::{KERNELS, Page, frame, of_kernel};
use super::{Drawing, Figure, render};
use gdcert::Kernel;
use gdcert::experiment::convexity::Convexity;

/// Of a panel, of what is above it, and below it.
const PANEL: f64 = 238.0;
const ABOVE: f64 = 22.0;
const BELOW: f64 = 74.0;
/// Left of a panel.
const LEFT: f64 = 76.0;

/// Left: minus the smallest eigenvalue of the Hessian over |J_0|^2, what is proven (lines with points) and what is measured (thin).
/// Right: how far the weights move over |M_0|, and over the radius of the proven region (thin).
///
/// # Errors
/// Nothing to draw.
pub fn convexity(all: &[Convexity]) -> Figure {
    let look = &Look::screen();
    let page = Page {
        title: "How nearly convex the loss is along gradient descent, and how far the weights move"
            .to_owned(),
        legend: KERNELS
            .map(|kernel| (kernel.to_string(), of_kernel(kernel)))
            .to_vec(),
        notes: Vec::new(),
        look,
    };
    render(&Convex { all, page }, look)
}

struct Convex<'a> {
    all: &'a [Convexity],
    page: Page<'a>,
}

type Of = fn(&Convexity) -> Option<f64>;

struct Part {
    title: &'static str,
    /// Drawn thick, and thin.
    series: [(&'static str, Of); 2],
}

const PARTS: [Part; 2] = [
    Part {
        title: "$−λ_{min}$ of the Hessian over $|J_0|^2$",
        series: [
            ("proven along the whole exact orbit, at most", |c| {
                Some(-c.hessian_lower? / c.jacobian_norm_squared)
            }),
            ("measured along the run", |c| {
                Some(-c.hessian_run / c.jacobian_norm_squared)
            }),
        ],
    },
    Part {
        title: "largest $|M_t − M_0|$",
        series: [
            ("over $|M_0|$", |c| Some(c.moved / c.start_norm)),
            ("over the radius of the proven region", |c| {
                Some(c.moved / c.region?)
            }),
        ],
    },
];

impl Convex<'_> {
    /// The median over seeds, by omega, in logarithms.
    fn series(&self, kernel: Kernel, of: Of) -> Vec<Xy> {
        let mut scales: Vec<f64> = self.all.iter().map(|c| c.omega).collect();
        scales.sort_by(f64::total_cmp);
        scales.dedup();
        let at = |&omega: &f64| {
            let here = self
                .all
                .iter()
                .filter(|c| c.kernel == kernel && c.omega == omega);
            let mut found: Vec<f64> = here.filter_map(of).filter(|x| *x > 0.0).collect();
            found.sort_by(f64::total_cmp);
            let median = found.get(found.len() / 2)?;
            Some((omega.log10(), median.log10()))
        };
        scales.iter().filter_map(at).collect()
    }
}

impl Drawing for Convex<'_> {
    fn size(&self) -> (f64, f64) {
        let height = self.page.top() + ABOVE + PANEL + BELOW + self.page.foot();
        (self.page.width(), height)
    }

    fn description(&self) -> String {
        self.page.title.clone()
    }

    fn draw(&self, canvas: &mut Canvas) {
        self.page.draw(canvas, self.size().1);
        let top = self.page.top() + ABOVE;
        let rows = (top, top + PANEL);
        for (part, column) in PARTS.iter().zip(self.page.columns(PARTS.len(), LEFT)) {
            let all: Vec<Xy> = KERNELS
                .into_iter()
                .flat_map(|kernel| part.series.map(|(_, of)| self.series(kernel, of)))
                .flatten()
                .collect();
            let range = |pick: fn(&Xy) -> f64| {
                let ends = (f64::INFINITY, f64::NEG_INFINITY);
                all.iter()
                    .map(pick)
                    .fold(ends, |(low, high), x| (low.min(x), high.max(x)))
            };
            let (x, y) = (range(|p| p.0), range(|p| p.1));
            if !(x.0 < x.1 && y.0 <= y.1) {
                continue; // nothing at two scales at least
            }
            let panel = Panel {
                frame: frame(column, rows),
                x: Axis::log(x.0, x.1),
                y: Axis::log(y.0, y.1),
            };
            panel.draw_axes(canvas, true);
            for kernel in KERNELS {
                for ((_, of), width) in part.series.iter().zip([2.4, 1.0]) {
                    let line = Line {
                        width,
                        ..of_kernel(kernel)
                    };
                    let path: Vec<Xy> = self
                        .series(kernel, *of)
                        .into_iter()
                        .map(|(x, y)| panel.at(x, y))
                        .collect();
                    canvas.line(&path, line);
                    if width > 2.0 {
                        for at in path {
                            canvas.disc(at, 2.6, line.color);
                        }
                    }
                }
            }
            panel.draw_frame(canvas);
            let left = column.0;
            canvas.label(part.title, (left, top - 8.0), 12.5, BLACK, Align::Left);
            let middle = 0.5 * (column.0 + column.1);
            let below = rows.1;
            let name = "$ω$, the scale of the output weights";
            canvas.label(name, (middle, below + 37.0), 12.5, BLACK, Align::Center);
            let [(thick, _), (thin, _)] = part.series;
            canvas.label(
                &format!("points: {thick}"),
                (left, below + 54.0),
                SMALL,
                GREY,
                Align::Left,
            );
            canvas.label(
                &format!("thin: {thin}"),
                (left, below + 68.0),
                SMALL,
                GREY,
                Align::Left,
            );
        }
    }
}
