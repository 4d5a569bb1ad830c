//! Contours: bands of colour with lines between them, and the path of training.

use super::cells::{Cell, Edges, above, cells, on_level};
use super::colour::{color, mix};
use super::{LEAST, Landscape, Panels, span_axis};
use crate::plot::Drawing;
use crate::plot::axis::Axis;
use crate::plot::canvas::{Align, Canvas, Line, Rgb, Xy};
use crate::plot::panel::{BLACK, SMALL};
use crate::plot::place::Rect;

/// Most cells to a side that are drawn.
const CELLS: usize = 100;
const BLANK: Rgb = (222, 222, 222);
const PATH: Rgb = (213, 94, 0);

pub(super) struct Contours<'a>(pub(super) Panels<'a>);

impl Drawing for Contours<'_> {
    fn size(&self) -> (f64, f64) {
        self.0.size()
    }

    fn description(&self) -> String {
        self.0.description("Contours")
    }

    fn draw(&self, canvas: &mut Canvas) {
        self.0.draw(canvas);
        for (panel, square) in self.0.squares() {
            self.panel(canvas, panel, square);
        }
        let mut said = vec!["+ the centre"];
        if self.0.panels.iter().any(|p| !p.path.is_empty()) {
            said.push("line: path of training, projected");
        }
        let finite = |p: &Landscape| p.surface.losses.iter().all(|f| f.is_finite());
        if !self.0.panels.iter().all(finite) {
            said.push("grey: the loss is not finite");
        }
        self.0.note(canvas, &said.join("; "))
    }
}

impl Contours<'_> {
    fn panel(&self, canvas: &mut Canvas, panel: &Landscape, square: Rect) {
        let Rect {
            left,
            top,
            right,
            bottom,
        } = square;
        let side = self.0.side;
        let at = |(x, y): Xy| (left + x * side, bottom - y * side);
        canvas.fill_rect((left, top), (right, bottom), BLANK);
        let rows = cells(panel.surface, CELLS);
        self.fill(canvas, &rows, at);

        for tick in span_axis(panel).ticks(5) {
            let (x, y) = (left + tick.at * side, bottom - tick.at * side);
            canvas.line(&[(x, bottom), (x, bottom + 5.0)], Line::solid(BLACK, 0.8));
            canvas.line(&[(left - 5.0, y), (left, y)], Line::solid(BLACK, 0.8));
            if let Some(label) = tick.label {
                canvas.text(&label, (x, bottom + 18.0), SMALL, BLACK, Align::Center);
                canvas.text(&label, (left - 8.0, y + 4.0), SMALL, BLACK, Align::Right);
            }
        }
        let middle = (0.5 * (left + right), 0.5 * (top + bottom));
        canvas.label(
            "along $W^Q$",
            (middle.0, bottom + 35.0),
            SMALL,
            BLACK,
            Align::Center,
        );
        // Beside the widest label.
        let beside = (left - self.0.left + 17.0, middle.1);
        canvas.label("along $W^K$", beside, SMALL, BLACK, Align::Upwards);

        self.path(canvas, panel, square);
        for (color, width) in [((255, 255, 255), 3.2), (BLACK, 1.4)] {
            let line = Line::solid(color, width);
            canvas.line(
                &[(middle.0 - 6.0, middle.1), (middle.0 + 6.0, middle.1)],
                line,
            );
            canvas.line(
                &[(middle.0, middle.1 - 6.0), (middle.0, middle.1 + 6.0)],
                line,
            );
        }
        canvas.line(&square.corners(), Line::solid(BLACK, 0.9))
    }

    /// The bands of colour, and the lines between them. Each band goes on top of the lower ones, as one area.
    fn fill(&self, canvas: &mut Canvas, rows: &[Vec<Option<Cell>>], at: impl Fn(Xy) -> Xy) {
        let panels = &self.0;
        let all = || rows.iter().flatten().flatten();
        let lowest = all().flatten().map(|c| c.1).fold(f64::INFINITY, f64::min);
        let mut lines = Vec::new();
        let from_below = std::iter::once((lowest, panels.band(lowest)));
        let rest = panels.levels.iter().filter(|level| **level > lowest);
        for (level, band) in from_below.chain(rest.map(|level| (*level, panels.band(*level)))) {
            let mut edges = Edges::default();
            for cell in all() {
                let part = above(cell, level);
                edges.add(&part);
                if level > lowest {
                    lines.extend(on_level(&part).map(|[a, b]| (level, [at(a), at(b)])));
                }
            }
            let outline: Vec<Xy> = edges.outline().into_iter().map(&at).collect();
            canvas.fill(&outline, band);
        }
        // A surface that is flat beside the others has lines of its own, so that its shape is seen.
        let highest = all()
            .flatten()
            .map(|c| c.1)
            .fold(f64::NEG_INFINITY, f64::max);
        if lines_of(panels, lowest, highest) < 5 && highest > lowest {
            for tick in Axis::linear(lowest, highest, LEAST).ticks(9) {
                let level = lowest + tick.at * (highest - lowest);
                for cell in all() {
                    let part = above(cell, level);
                    lines.extend(on_level(&part).map(|[a, b]| (level, [at(a), at(b)])));
                }
            }
        }
        for (level, line) in lines {
            let share = panels.loss.at(level);
            let color = mix(
                color(share),
                if share > 0.55 { BLACK } else { (255, 255, 255) },
                0.6,
            );
            canvas.line(&line, Line::solid(color, 0.6));
        }
    }

    fn path(&self, canvas: &mut Canvas, panel: &Landscape, square: Rect) {
        let span = panel.surface.grid.span;
        let point = |&(alpha, beta): &(f64, f64)| {
            let share = |x: f64| 0.5 * (x / span + 1.0);
            (
                square.left + share(alpha) * self.0.side,
                square.bottom - share(beta) * self.0.side,
            )
        };
        let points: Vec<Xy> = panel.path.iter().map(point).collect();
        for pair in points.windows(2) {
            if let Some(part) = within(pair[0], pair[1], &square) {
                canvas.line(&part, Line::solid((255, 255, 255), 3.4));
                canvas.line(&part, Line::solid(PATH, 2.0));
            }
        }
        for &p in points.iter().filter(|p| square.holds(**p)) {
            canvas.disc(p, 3.6, (255, 255, 255));
            canvas.disc(p, 2.6, PATH);
        }
    }
}

/// How many of the levels are between the lowest and the highest loss of a surface.
fn lines_of(panels: &Panels, lowest: f64, highest: f64) -> usize {
    let within = |level: &&f64| (lowest..=highest).contains(*level);
    panels.levels.iter().filter(within).count()
}

/// The part of a segment inside a rectangle.
fn within(a: Xy, b: Xy, rect: &Rect) -> Option<[Xy; 2]> {
    let (mut s0, mut s1) = (0.0f64, 1.0f64);
    for (from, to, low, high) in [
        (a.0, b.0, rect.left, rect.right),
        (a.1, b.1, rect.top, rect.bottom),
    ] {
        let d = to - from;
        if d == 0.0 {
            if !(low..=high).contains(&from) {
                return None;
            }
            continue;
        }
        let (enter, leave) = ((low - from) / d, (high - from) / d);
        s0 = s0.max(enter.min(leave));
        s1 = s1.min(enter.max(leave));
    }
    let point = |s: f64| (a.0 + s * (b.0 - a.0), a.1 + s * (b.1 - a.1));
    (s0 <= s1).then(|| [point(s0), point(s1)])
}
