//! Reliefs: the surface as seen from above at an angle.

use super::cells::{Cell, cells};
use super::colour::{color, mix};
use super::{Landscape, Panels, span_axis};
use crate::plot::Drawing;
use crate::plot::canvas::{Align, Canvas, Line, Xy};
use crate::plot::math::label_width;
use crate::plot::panel::{BLACK, SMALL};
use crate::plot::place::Rect;

/// Most cells to a side that are drawn.
const CELLS: usize = 50;

pub(super) struct Reliefs<'a>(pub(super) Panels<'a>);

impl Drawing for Reliefs<'_> {
    fn size(&self) -> (f64, f64) {
        self.0.size()
    }

    fn description(&self) -> String {
        self.0.description("Relief")
    }

    fn draw(&self, canvas: &mut Canvas) {
        self.0.draw(canvas);
        for (panel, square) in self.0.squares() {
            self.panel(canvas, panel, &View::of(square));
        }
    }
}

/// A view from above at an angle, without perspective: the corner (1, 0) of the base is the nearest.
struct View {
    centre: Xy,
    unit: f64,
    side: f64,
    right: f64,
}

/// How far the base is turned, and how far the viewer stands above it.
const TURN: f64 = -35.0;
const LIFT: f64 = 28.0;
/// Height of the box; its base is 2 x 2.
const TALL: f64 = 1.6;

impl View {
    fn of(square: Rect) -> Self {
        let side = square.right - square.left;
        View {
            centre: (0.5 * (square.left + square.right), square.top + 0.72 * side),
            unit: 0.335 * side,
            side,
            right: square.right,
        }
    }

    /// A point of the unit cube: base x, y and height z.
    fn at(&self, x: f64, y: f64, z: f64) -> Xy {
        let (right, away) = turned(x, y);
        let (sin, cos) = LIFT.to_radians().sin_cos();
        (
            self.centre.0 + self.unit * right,
            self.centre.1 - self.unit * (away * sin + TALL * z * cos),
        )
    }
}

/// To the right, and away from the viewer.
fn turned(x: f64, y: f64) -> Xy {
    let (sin, cos) = TURN.to_radians().sin_cos();
    let (x, y) = (2.0 * x - 1.0, 2.0 * y - 1.0);
    (x * cos - y * sin, x * sin + y * cos)
}

impl Reliefs<'_> {
    fn panel(&self, canvas: &mut Canvas, panel: &Landscape, view: &View) {
        let panels = &self.0;
        let thin = Line::solid((205, 205, 205), 0.7);
        let edge = Line::solid(BLACK, 0.8);
        // The two walls behind, with a line for each labelled loss.
        for tick in panels.loss.ticks(6) {
            let z = tick.at;
            canvas.line(
                &[
                    view.at(0.0, 0.0, z),
                    view.at(0.0, 1.0, z),
                    view.at(1.0, 1.0, z),
                ],
                thin,
            );
            let (x, y) = view.at(0.0, 0.0, z);
            canvas.line(&[(x - 4.0, y), (x, y)], edge);
            if let Some(label) = tick.label {
                canvas.text(&label, (x - 7.0, y + 4.0), SMALL, BLACK, Align::Right);
            }
        }
        for (x, y) in [(0.0, 1.0), (1.0, 1.0)] {
            canvas.line(&[view.at(x, y, 0.0), view.at(x, y, 1.0)], thin);
        }
        canvas.line(&[view.at(0.0, 0.0, 0.0), view.at(0.0, 0.0, 1.0)], edge);
        canvas.line(
            &[
                view.at(0.0, 0.0, 0.0),
                view.at(1.0, 0.0, 0.0),
                view.at(1.0, 1.0, 0.0),
            ],
            edge,
        );
        let (x, y) = view.at(0.0, 0.0, 1.0);
        canvas.label("$f − f_0$", (x, y - 8.0), SMALL, BLACK, Align::Center);
        for tick in span_axis(panel).ticks(4) {
            let Some(label) = tick.label else { continue };
            let (x, y) = view.at(tick.at, 0.0, 0.0);
            canvas.line(&[(x, y), (x - 2.5, y + 4.5)], edge);
            canvas.text(&label, (x - 10.0, y + 15.0), SMALL, BLACK, Align::Center);
            let (x, y) = view.at(1.0, tick.at, 0.0);
            canvas.line(&[(x, y), (x + 3.0, y + 4.0)], edge);
            canvas.text(&label, (x + 7.0, y + 13.0), SMALL, BLACK, Align::Left);
        }
        let (x, y) = view.at(0.5, 0.0, 0.0);
        canvas.label(
            "along $W^Q$",
            (x - 0.16 * view.side, y + 36.0),
            SMALL,
            BLACK,
            Align::Center,
        );
        let (x, y) = view.at(1.0, 0.5, 0.0);
        let name = "along $W^K$";
        // Left of the scale, however small the panel is.
        let x = (x + 0.19 * view.side).min(view.right - 0.3 * label_width(name, SMALL));
        canvas.label(name, (x, y + 36.0), SMALL, BLACK, Align::Center);

        let mut tiles: Vec<(f64, Cell)> = cells(panel.surface, CELLS)
            .into_iter()
            .flatten()
            .flatten()
            .map(|cell| (turned(cell[0].0.0, cell[0].0.1).1, cell))
            .collect();
        // The farthest first.
        tiles.sort_by(|a, b| b.0.total_cmp(&a.0));
        for (_, cell) in tiles {
            let mean = cell.iter().map(|(_, f)| 0.25 * f).sum::<f64>();
            let shade = color(panels.loss.at(mean));
            let mut outline: Vec<Xy> = cell
                .iter()
                .map(|&((x, y), f)| view.at(x, y, panels.loss.at(f)))
                .collect();
            canvas.fill(&outline, shade);
            outline.push(outline[0]);
            canvas.line(&outline, Line::solid(mix(shade, BLACK, 0.3), 0.35));
        }
    }
}
