//! Loss landscapes: contours and a relief, one panel for each surface, all on the same scale of the loss.

mod cells;
mod colour;
mod contours;
mod relief;

use super::axis::Axis;
use super::canvas::{Align, Canvas, Line, Rgb, fitted, text_width};
use super::look::Look;
use super::math::label_width;
use super::number::plain;
use super::panel::{BLACK, GREY, SMALL, TITLE};
use super::place::Rect;
use super::{Figure, render};
use colour::color;
use contours::Contours;
use gdcert::landscape::Surface;
use relief::Reliefs;

/// One panel.
#[derive(Clone, Copy, Debug)]
pub struct Landscape<'a> {
    /// What it shows, such as the kernel.
    pub name: &'a str,
    /// The losses.
    pub surface: &'a Surface,
    /// The path of training on the two directions.
    pub path: &'a [(f64, f64)],
}

/// Contours: the W^Q direction to the right, the W^K direction upwards.
pub fn contours(panels: &[Landscape], title: &str, look: &Look) -> Figure {
    render(&Contours(Panels::new(panels, title, look)), look)
}

/// The surfaces as seen from above at an angle.
pub fn reliefs(panels: &[Landscape], title: &str, look: &Look) -> Figure {
    render(&Reliefs(Panels::new(panels, title, look)), look)
}

/// Side of a panel of a screen's figure in points.
const SIDE: f64 = 320.0;
/// Panels beside each other are no smaller.
const LEAST_SIDE: f64 = 130.0;
/// Room to the left of a panel for its labels, at least.
const LEFT: f64 = 60.0;
/// From one panel to the labels of the next.
const GAP: f64 = 8.0;
/// Below a panel: labels, name of its axis, name of the next.
const BELOW: f64 = 78.0;
const MARGIN: f64 = 16.0;
/// Between the parts of a title.
const SEPARATOR: &str = " · ";
/// Room for the scale of the loss, at least; its labels begin after the first part of it.
const SCALE: f64 = 76.0;
const LABELS: f64 = 38.0;
/// Panels to a row.
const COLUMNS: usize = 2;

/// A title of parts, broken between two of them if it is wider than `width`.
fn two_lines(title: &str, size: f64, width: f64) -> [String; 2] {
    let mut lines = [String::new(), String::new()];
    for part in title.split(SEPARATOR) {
        let longer = |line: &str| match line {
            "" => part.to_owned(),
            line => format!("{line}{SEPARATOR}{part}"),
        };
        let first = longer(&lines[0]);
        if lines[1].is_empty() && (lines[0].is_empty() || text_width(&first, size) <= width) {
            lines[0] = first;
        } else {
            lines[1] = longer(&lines[1]);
        }
    }
    lines
}

struct Panels<'a> {
    panels: &'a [Landscape<'a>],
    title: &'a str,
    look: &'a Look,
    /// The loss above that at the centre, on all panels: from the lowest to the highest.
    loss: Axis,
    /// Where the colour changes, above the centre.
    levels: Vec<f64>,
    side: f64,
    columns: usize,
    /// Room to the left of a panel.
    left: f64,
    /// Room for the scale of the loss.
    scale: f64,
}

/// What is subtracted from the losses of a surface: that at the centre.
fn base(surface: &Surface) -> f64 {
    let middle = surface.grid.size / 2;
    let centre = surface.loss(middle, middle);
    if centre.is_finite() { centre } else { 0.0 }
}

impl<'a> Panels<'a> {
    fn new(panels: &'a [Landscape<'a>], title: &'a str, look: &'a Look) -> Self {
        let ranges = || {
            panels.iter().filter_map(|p| {
                let (low, high) = p.surface.range()?;
                let base = base(p.surface);
                Some((low - base, high - base, base))
            })
        };
        let low = ranges().map(|r| r.0).fold(f64::INFINITY, f64::min);
        let high = ranges().map(|r| r.1).fold(f64::NEG_INFINITY, f64::max);
        let size = ranges().map(|r| r.2.abs()).fold(0.0, f64::max);
        // Equal losses have a scale around them.
        let flat = if size == 0.0 { 1.0 } else { 0.1 * size };
        let least = if low == high { flat.max(LEAST) } else { LEAST };
        let loss = Axis::linear(low, high, least);
        let ticks = loss.ticks(24);
        let value = |at: f64| loss.low() + at * (loss.high() - loss.low());
        let widest = |axis: &Axis, count: usize| {
            let labels = axis.ticks(count).into_iter().filter_map(|tick| tick.label);
            labels
                .map(|label| text_width(&label, SMALL))
                .fold(0.0, f64::max)
        };
        let spans = panels
            .iter()
            .map(|p| widest(&span_axis(p), 5))
            .fold(0.0, f64::max);
        let left = (spans + 36.0).max(widest(&loss, 6) + 10.0).max(LEFT).ceil();
        let scale = (LABELS + widest(&loss, 8) + 6.0).max(SCALE).ceil();
        let fits = |columns: usize| {
            let count = columns as f64;
            let width = look.width?;
            Some((width - scale - left * count - GAP * (count - 1.0)) / count)
        };
        let most = panels.len().clamp(1, COLUMNS);
        let columns = match fits(most) {
            Some(side) if side < LEAST_SIDE => 1,
            _ => most,
        };
        let mut side = fits(columns).map_or(SIDE, |side| side.max(60.0));
        let rows = panels.len().div_ceil(columns).max(1) as f64;
        if let Some(height) = look.height {
            let own = Self::above(look, title) + BELOW * rows;
            side = side.min((height - own) / rows).max(60.0);
        }
        Panels {
            left,
            scale,
            levels: ticks.iter().map(|tick| value(tick.at)).collect(),
            panels,
            title,
            look,
            loss,
            side,
            columns,
        }
    }

    /// From the upper edge of the figure to that of the first panel.
    fn above(look: &Look, title: &str) -> f64 {
        match (look.is_screen(), look.title(title)) {
            (true, _) => 84.0,
            (false, Some(_)) => 58.0,
            (false, None) => 26.0,
        }
    }

    fn top(&self) -> f64 {
        Self::above(self.look, self.title)
    }

    /// From the left edge of a panel to that of the next.
    fn pitch(&self) -> f64 {
        self.side + GAP + self.left
    }

    fn width(&self) -> f64 {
        let own = self.left + self.pitch() * (self.columns - 1) as f64 + self.side + self.scale;
        self.look.width.unwrap_or(own)
    }

    fn height(&self) -> f64 {
        let rows = self.panels.len().div_ceil(self.columns).max(1) as f64;
        let foot = if self.look.is_screen() { 10.0 } else { -20.0 };
        let own = self.top() + (self.side + BELOW) * rows + foot;
        self.look.height.map_or(own, |height| height.max(own - 1.0))
    }

    fn size(&self) -> (f64, f64) {
        (self.width(), self.height())
    }

    /// Each panel and its square.
    fn squares(&self) -> impl Iterator<Item = (&Landscape<'a>, Rect)> {
        self.panels.iter().enumerate().map(|(i, panel)| {
            let left = self.left + self.pitch() * (i % self.columns) as f64;
            let top = self.top() + (self.side + BELOW) * (i / self.columns) as f64;
            (
                panel,
                Rect {
                    left,
                    top,
                    right: left + self.side,
                    bottom: top + self.side,
                },
            )
        })
    }

    fn description(&self, what: &str) -> String {
        let names: Vec<_> = self.panels.iter().map(|p| p.name).collect();
        super::printable(&format!(
            "{what} of the loss over a direction in the query weights and one in the key weights: {}, {}",
            self.title,
            names.join(", ")
        ))
    }

    /// Title, names and the scale of the loss.
    fn draw(&self, canvas: &mut Canvas) {
        let (width, height) = self.size();
        canvas.fill_rect((0.0, 0.0), (width, height), (255, 255, 255));
        let screen = self.look.is_screen();
        let margin = if screen { MARGIN } else { 2.0 };
        let room = width - 2.0 * margin;
        if let Some(title) = self.look.title(self.title) {
            let first = if screen { 24.0 } else { 14.0 };
            for (line, y) in two_lines(title, TITLE, room).iter().zip([0.0, 18.0]) {
                let line = fitted(line, TITLE, room);
                canvas.text(&line, (margin, first + y), TITLE, BLACK, Align::Left);
            }
        }
        for (panel, square) in self.squares() {
            let centre = plain(base(panel.surface), 4);
            let name = match label_width(panel.name, SMALL) + 90.0 < self.side {
                true => format!("{} (centre: {centre})", panel.name),
                false => panel.name.to_owned(),
            };
            let name = fitted(&name, SMALL, self.side + 0.6 * self.left);
            let middle = (0.5 * (square.left + square.right), square.top - 10.0);
            canvas.text(&name, middle, SMALL, BLACK, Align::Center);
        }
        self.draw_scale(canvas);
        if !screen {
            return;
        }
        let unit = "1 on an axis: a step as long as the weights";
        canvas.text(unit, (margin, height - 8.0), SMALL, GREY, Align::Left);
        let version = concat!("gdcert ", env!("CARGO_PKG_VERSION"));
        let at = (width - margin, height - 8.0);
        canvas.text(version, at, SMALL, GREY, Align::Right)
    }

    /// What else is to be said, below the panels.
    fn note(&self, canvas: &mut Canvas, text: &str) {
        if !self.look.is_screen() {
            return;
        }
        let text = fitted(text, SMALL, self.width() - 2.0 * MARGIN);
        let at = (MARGIN, self.height() - 24.0);
        canvas.text(&text, at, SMALL, GREY, Align::Left)
    }

    fn draw_scale(&self, canvas: &mut Canvas) {
        let left = self.left + self.pitch() * (self.columns - 1) as f64 + self.side + 18.0;
        let (right, top, bottom) = (left + 13.0, self.top(), self.top() + self.side);
        let y = |at: f64| bottom - at * (bottom - top);
        let mut ends = vec![0.0];
        ends.extend(
            self.levels
                .iter()
                .map(|l| self.loss.at(*l))
                .filter(|at| *at > 0.0),
        );
        ends.push(1.0);
        // From below upwards, each up to the top: no gap shows between two of them.
        for pair in ends.windows(2).filter(|pair| pair[1] > pair[0]) {
            let low = self.loss.low()
                + (0.5 * (pair[0] + pair[1])) * (self.loss.high() - self.loss.low());
            canvas.fill_rect((left, top), (right, y(pair[0])), self.band(low));
        }
        for tick in self.loss.ticks((self.side / 40.0).clamp(3.0, 8.0) as usize) {
            let y = y(tick.at);
            canvas.line(&[(right, y), (right + 4.0, y)], Line::solid(BLACK, 0.8));
            if let Some(label) = tick.label {
                canvas.text(&label, (right + 7.0, y + 4.0), SMALL, BLACK, Align::Left);
            }
        }
        let rect = Rect {
            left,
            top,
            right,
            bottom,
        };
        canvas.line(&rect.corners(), Line::solid(BLACK, 0.9));
        // "f - f(centre)", where a formula is shorter than words.
        let end = (self.width() - 4.0, top - 10.0);
        canvas.label("$f − f_0$", end, SMALL, BLACK, Align::Right)
    }

    /// How many levels lie at or below a loss.
    fn level(&self, loss: f64) -> usize {
        self.levels.partition_point(|level| *level <= loss)
    }

    /// The colour of a loss: that of the middle of its band.
    fn band(&self, loss: f64) -> Rgb {
        let above = self.level(loss);
        let low = if above == 0 {
            self.loss.low()
        } else {
            self.levels[above - 1]
        };
        let high = self.levels.get(above).copied().unwrap_or(self.loss.high());
        color(self.loss.at(0.5 * (low + high)))
    }
}

/// Least span of the losses: ticks closer than that are no f64 numbers.
const LEAST: f64 = 1e-300;

fn span_axis(panel: &Landscape) -> Axis {
    let span = panel.surface.grid.span;
    Axis::linear(-span, span, f64::MIN_POSITIVE)
}

#[cfg(test)]
mod tests;
