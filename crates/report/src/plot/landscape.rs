//! Loss landscapes: contours and a relief, one panel for each surface, all on the same scale of the loss.

use super::axis::Axis;
use super::canvas::{Align, Canvas, Line, Rgb, Xy, fitted, text_width};
use super::look::Look;
use super::math::label_width;
use super::number::plain;
use super::panel::{BLACK, GREY, SMALL, TITLE};
use super::place::Rect;
use super::{Drawing, Figure, render};
use crate::Result;
use gdcert::landscape::Surface;
use std::collections::BTreeMap;

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
///
/// # Errors
/// None is expected; a backend that fails.
pub fn contours(panels: &[Landscape], title: &str, look: &Look) -> Result<Figure> {
    render(&Contours(Panels::new(panels, title, look)), look)
}

/// The surfaces as seen from above at an angle.
///
/// # Errors
/// None is expected; a backend that fails.
pub fn reliefs(panels: &[Landscape], title: &str, look: &Look) -> Result<Figure> {
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
/// Most cells to a side that are drawn.
const CELLS: usize = 100;
const RELIEF_CELLS: usize = 50;
const BLANK: Rgb = (222, 222, 222);
const PATH: Rgb = (213, 94, 0);

/// Viridis at equal distances: lightness grows with the loss, for every kind of colour vision.
const COLORS: [Rgb; 11] = [
    (68, 1, 84),
    (72, 36, 117),
    (65, 68, 135),
    (53, 95, 141),
    (42, 120, 142),
    (33, 145, 140),
    (34, 168, 132),
    (68, 191, 112),
    (122, 209, 81),
    (189, 223, 38),
    (253, 231, 37),
];

fn color(share: f64) -> Rgb {
    let at = share.clamp(0.0, 1.0) * (COLORS.len() - 1) as f64;
    let i = (at as usize).min(COLORS.len() - 2);
    mix(COLORS[i], COLORS[i + 1], at - i as f64)
}

fn mix(a: Rgb, b: Rgb, share: f64) -> Rgb {
    let one = |a: u8, b: u8| (f64::from(a) + share * (f64::from(b) - f64::from(a))).round() as u8;
    (one(a.0, b.0), one(a.1, b.1), one(a.2, b.2))
}

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
    fn draw(&self, canvas: &mut Canvas) -> Result<()> {
        let (width, height) = self.size();
        canvas.fill_rect((0.0, 0.0), (width, height), (255, 255, 255))?;
        let screen = self.look.is_screen();
        let margin = if screen { MARGIN } else { 2.0 };
        let room = width - 2.0 * margin;
        if let Some(title) = self.look.title(self.title) {
            let first = if screen { 24.0 } else { 14.0 };
            for (line, y) in two_lines(title, TITLE, room).iter().zip([0.0, 18.0]) {
                let line = fitted(line, TITLE, room);
                canvas.text(&line, (margin, first + y), TITLE, BLACK, Align::Left)?;
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
            canvas.text(&name, middle, SMALL, BLACK, Align::Center)?;
        }
        self.draw_scale(canvas)?;
        if !screen {
            return Ok(());
        }
        let unit = "1 on an axis: a step as long as the weights";
        canvas.text(unit, (margin, height - 8.0), SMALL, GREY, Align::Left)?;
        let version = concat!("gdcert ", env!("CARGO_PKG_VERSION"));
        let at = (width - margin, height - 8.0);
        canvas.text(version, at, SMALL, GREY, Align::Right)
    }

    /// What else is to be said, below the panels.
    fn note(&self, canvas: &mut Canvas, text: &str) -> Result<()> {
        if !self.look.is_screen() {
            return Ok(());
        }
        let text = fitted(text, SMALL, self.width() - 2.0 * MARGIN);
        let at = (MARGIN, self.height() - 24.0);
        canvas.text(&text, at, SMALL, GREY, Align::Left)
    }

    fn draw_scale(&self, canvas: &mut Canvas) -> Result<()> {
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
            canvas.fill_rect((left, top), (right, y(pair[0])), self.band(low))?;
        }
        for tick in self.loss.ticks((self.side / 40.0).clamp(3.0, 8.0) as usize) {
            let y = y(tick.at);
            canvas.line(&[(right, y), (right + 4.0, y)], Line::solid(BLACK, 0.8))?;
            if let Some(label) = tick.label {
                canvas.text(&label, (right + 7.0, y + 4.0), SMALL, BLACK, Align::Left)?;
            }
        }
        frame(
            canvas,
            Rect {
                left,
                top,
                right,
                bottom,
            },
        )?;
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

/// At most `cells` + 1 rows of a grid, from the first to the last, with their places from 0 to 1.
fn chosen(size: usize, cells: usize) -> Vec<(usize, f64)> {
    let last = size - 1;
    let count = last.min(cells);
    let row = |i: usize| (i * last + count / 2).checked_div(count).unwrap_or(0);
    let place = |i: usize| {
        if last == 0 {
            0.5
        } else {
            i as f64 / last as f64
        }
    };
    (0..=count).map(|i| (row(i), place(row(i)))).collect()
}

/// Least span of the losses: ticks closer than that are no f64 numbers.
const LEAST: f64 = 1e-300;

fn span_axis(panel: &Landscape) -> Axis {
    let span = panel.surface.grid.span;
    Axis::linear(-span, span, f64::MIN_POSITIVE)
}

/// The four corners of a cell in turn: place in the unit square, and loss.
type Cell = [(Xy, f64); 4];

/// Cells column by column whose four losses are finite, with losses above that at the centre.
fn cells(surface: &Surface, most: usize) -> Vec<Vec<Option<Cell>>> {
    let rows = chosen(surface.grid.size, most);
    let base = base(surface);
    let corner = |a: (usize, f64), b: (usize, f64)| ((a.1, b.1), surface.loss(a.0, b.0) - base);
    let pairs = || rows.windows(2);
    pairs()
        .map(|b| {
            pairs()
                .map(|a| {
                    let cell = [
                        corner(a[0], b[0]),
                        corner(a[1], b[0]),
                        corner(a[1], b[1]),
                        corner(a[0], b[1]),
                    ];
                    cell.iter()
                        .all(|(_, loss)| loss.is_finite())
                        .then_some(cell)
                })
                .collect()
        })
        .collect()
}

/// The part of a cell where the loss is at least `level`, with whether each vertex is on the level.
fn above(cell: &Cell, level: f64) -> Vec<(Xy, bool)> {
    let mut part = Vec::with_capacity(6);
    for i in 0..4 {
        let (from, to) = (cell[i], cell[(i + 1) % 4]);
        if from.1 >= level {
            part.push((from.0, false));
        }
        if (from.1 >= level) != (to.1 >= level) {
            // In the same order in both cells that share the edge: the point is then the same to the last bit.
            let ((a, f), (b, g)) = if from.0 <= to.0 {
                (from, to)
            } else {
                (to, from)
            };
            let s = (level - f) / (g - f);
            part.push(((a.0 + s * (b.0 - a.0), a.1 + s * (b.1 - a.1)), true));
        }
    }
    part
}

/// The outline of an area that is made of polygons which lie side by side.
#[derive(Default)]
struct Edges {
    /// Where an edge that has no neighbour leads, by where it starts.
    open: BTreeMap<Corner, Vec<Corner>>,
}

/// A point by its bits: those of neighbours are the same.
type Corner = [u64; 2];

impl Edges {
    /// Adds a polygon; edges that it shares with others are inside.
    fn add(&mut self, polygon: &[(Xy, bool)]) {
        if polygon.len() < 3 {
            return;
        }
        let corner = |((x, y), _): (Xy, bool)| [x.to_bits(), y.to_bits()];
        for i in 0..polygon.len() {
            let (a, b) = (corner(polygon[i]), corner(polygon[(i + 1) % polygon.len()]));
            if a == b {
                continue;
            }
            let back = self.open.get_mut(&b);
            let shared = back.and_then(|ends| {
                let at = ends.iter().position(|end| *end == a)?;
                Some(ends.swap_remove(at))
            });
            if shared.is_none() {
                self.open.entry(a).or_default().push(b);
            }
        }
    }

    /// One closed line around all of it: from ring to ring it goes over to the first point and back, which no filling shows.
    fn outline(mut self) -> Vec<Xy> {
        let mut all: Vec<Xy> = Vec::new();
        let point = |[x, y]: Corner| (f64::from_bits(x), f64::from_bits(y));
        while let Some(&start) = self
            .open
            .iter()
            .find(|(_, e)| !e.is_empty())
            .map(|(a, _)| a)
        {
            let first = all.first().copied();
            let mut at = start;
            loop {
                all.push(point(at));
                match self.open.get_mut(&at).and_then(Vec::pop) {
                    Some(next) => at = next,
                    None => break,
                }
                if at == start {
                    all.push(point(start));
                    break;
                }
            }
            all.extend(first);
            self.open.retain(|_, ends| !ends.is_empty());
        }
        all
    }
}

fn frame(canvas: &mut Canvas, rect: Rect) -> Result<()> {
    let Rect {
        left,
        top,
        right,
        bottom,
    } = rect;
    let corners = [
        (left, top),
        (right, top),
        (right, bottom),
        (left, bottom),
        (left, top),
    ];
    canvas.line(&corners, Line::solid(BLACK, 0.9))
}

struct Contours<'a>(Panels<'a>);

impl Drawing for Contours<'_> {
    fn size(&self) -> (f64, f64) {
        self.0.size()
    }

    fn description(&self) -> String {
        self.0.description("Contours")
    }

    fn draw(&self, canvas: &mut Canvas) -> Result<()> {
        self.0.draw(canvas)?;
        for (panel, square) in self.0.squares() {
            self.panel(canvas, panel, square)?;
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
    fn panel(&self, canvas: &mut Canvas, panel: &Landscape, square: Rect) -> Result<()> {
        let Rect {
            left,
            top,
            right,
            bottom,
        } = square;
        let side = self.0.side;
        let at = |(x, y): Xy| (left + x * side, bottom - y * side);
        canvas.fill_rect((left, top), (right, bottom), BLANK)?;
        let rows = cells(panel.surface, CELLS);
        self.fill(canvas, &rows, at)?;

        for tick in span_axis(panel).ticks(5) {
            let (x, y) = (left + tick.at * side, bottom - tick.at * side);
            canvas.line(&[(x, bottom), (x, bottom + 5.0)], Line::solid(BLACK, 0.8))?;
            canvas.line(&[(left - 5.0, y), (left, y)], Line::solid(BLACK, 0.8))?;
            if let Some(label) = tick.label {
                canvas.text(&label, (x, bottom + 18.0), SMALL, BLACK, Align::Center)?;
                canvas.text(&label, (left - 8.0, y + 4.0), SMALL, BLACK, Align::Right)?;
            }
        }
        let middle = (0.5 * (left + right), 0.5 * (top + bottom));
        canvas.label(
            "along $W^Q$",
            (middle.0, bottom + 35.0),
            SMALL,
            BLACK,
            Align::Center,
        )?;
        // Beside the widest label.
        let beside = (left - self.0.left + 17.0, middle.1);
        canvas.label("along $W^K$", beside, SMALL, BLACK, Align::Upwards)?;

        self.path(canvas, panel, square)?;
        for (color, width) in [((255, 255, 255), 3.2), (BLACK, 1.4)] {
            let line = Line::solid(color, width);
            canvas.line(
                &[(middle.0 - 6.0, middle.1), (middle.0 + 6.0, middle.1)],
                line,
            )?;
            canvas.line(
                &[(middle.0, middle.1 - 6.0), (middle.0, middle.1 + 6.0)],
                line,
            )?;
        }
        frame(canvas, square)
    }

    /// The bands of colour, and the lines between them. Each band goes on top of the lower ones, as one area.
    fn fill(
        &self,
        canvas: &mut Canvas,
        rows: &[Vec<Option<Cell>>],
        at: impl Fn(Xy) -> Xy,
    ) -> Result<()> {
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
                    for i in 0..part.len() {
                        let (a, b) = (part[i], part[(i + 1) % part.len()]);
                        if a.1 && b.1 {
                            lines.push((level, [at(a.0), at(b.0)]));
                        }
                    }
                }
            }
            let outline: Vec<Xy> = edges.outline().into_iter().map(&at).collect();
            canvas.fill(&outline, band)?;
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
                    for i in 0..part.len() {
                        let (a, b) = (part[i], part[(i + 1) % part.len()]);
                        if a.1 && b.1 {
                            lines.push((level, [at(a.0), at(b.0)]));
                        }
                    }
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
            canvas.line(&line, Line::solid(color, 0.6))?;
        }
        Ok(())
    }

    fn path(&self, canvas: &mut Canvas, panel: &Landscape, square: Rect) -> Result<()> {
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
                canvas.line(&part, Line::solid((255, 255, 255), 3.4))?;
                canvas.line(&part, Line::solid(PATH, 2.0))?;
            }
        }
        for &p in points.iter().filter(|p| square.holds(**p)) {
            canvas.disc(p, 3.6, (255, 255, 255))?;
            canvas.disc(p, 2.6, PATH)?;
        }
        Ok(())
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

struct Reliefs<'a>(Panels<'a>);

impl Drawing for Reliefs<'_> {
    fn size(&self) -> (f64, f64) {
        self.0.size()
    }

    fn description(&self) -> String {
        self.0.description("Relief")
    }

    fn draw(&self, canvas: &mut Canvas) -> Result<()> {
        self.0.draw(canvas)?;
        for (panel, square) in self.0.squares() {
            self.panel(canvas, panel, &View::of(square))?;
        }
        Ok(())
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
    fn panel(&self, canvas: &mut Canvas, panel: &Landscape, view: &View) -> Result<()> {
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
            )?;
            let (x, y) = view.at(0.0, 0.0, z);
            canvas.line(&[(x - 4.0, y), (x, y)], edge)?;
            if let Some(label) = tick.label {
                canvas.text(&label, (x - 7.0, y + 4.0), SMALL, BLACK, Align::Right)?;
            }
        }
        for (x, y) in [(0.0, 1.0), (1.0, 1.0)] {
            canvas.line(&[view.at(x, y, 0.0), view.at(x, y, 1.0)], thin)?;
        }
        canvas.line(&[view.at(0.0, 0.0, 0.0), view.at(0.0, 0.0, 1.0)], edge)?;
        canvas.line(
            &[
                view.at(0.0, 0.0, 0.0),
                view.at(1.0, 0.0, 0.0),
                view.at(1.0, 1.0, 0.0),
            ],
            edge,
        )?;
        let (x, y) = view.at(0.0, 0.0, 1.0);
        canvas.label("$f − f_0$", (x, y - 8.0), SMALL, BLACK, Align::Center)?;
        for tick in span_axis(panel).ticks(4) {
            let Some(label) = tick.label else { continue };
            let (x, y) = view.at(tick.at, 0.0, 0.0);
            canvas.line(&[(x, y), (x - 2.5, y + 4.5)], edge)?;
            canvas.text(&label, (x - 10.0, y + 15.0), SMALL, BLACK, Align::Center)?;
            let (x, y) = view.at(1.0, tick.at, 0.0);
            canvas.line(&[(x, y), (x + 3.0, y + 4.0)], edge)?;
            canvas.text(&label, (x + 7.0, y + 13.0), SMALL, BLACK, Align::Left)?;
        }
        let (x, y) = view.at(0.5, 0.0, 0.0);
        canvas.label(
            "along $W^Q$",
            (x - 0.16 * view.side, y + 36.0),
            SMALL,
            BLACK,
            Align::Center,
        )?;
        let (x, y) = view.at(1.0, 0.5, 0.0);
        let name = "along $W^K$";
        // Left of the scale, however small the panel is.
        let x = (x + 0.19 * view.side).min(view.right - 0.3 * label_width(name, SMALL));
        canvas.label(name, (x, y + 36.0), SMALL, BLACK, Align::Center)?;

        let mut tiles: Vec<(f64, Cell)> = cells(panel.surface, RELIEF_CELLS)
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
            canvas.fill(&outline, shade)?;
            outline.push(outline[0]);
            canvas.line(&outline, Line::solid(mix(shade, BLACK, 0.3), 0.35))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gdcert::landscape::Grid;

    fn surface(size: usize, span: f64, loss: impl Fn(f64, f64) -> f64) -> Surface {
        let grid = Grid { size, span };
        let points = (0..grid.points()).map(|p| {
            let (i, j) = grid.place(p);
            loss(grid.at(i), grid.at(j))
        });
        Surface {
            losses: points.collect(),
            grid,
        }
    }

    #[test]
    fn a_long_title_takes_two_lines() {
        let title = "pathfinder · 8 test samples, length 1024 · random directions, seed 0";
        assert_eq!(
            two_lines(title, 14.0, 1e4),
            [title.to_owned(), String::new()]
        );
        let [first, second] = two_lines(title, 14.0, 400.0);
        assert_eq!(format!("{first}{SEPARATOR}{second}"), title);
        assert!(text_width(&first, 14.0) <= 400.0 && text_width(&second, 14.0) <= 400.0);
        let [first, second] = two_lines(title, 14.0, 1.0);
        assert_eq!(format!("{first}{SEPARATOR}{second}"), title);
    }

    #[test]
    fn every_surface_can_be_drawn() {
        let look = Look::screen();
        let bowl = surface(11, 1.0, |a, b| a * a + 2.0 * b * b);
        for value in [0.0, 1e300, f64::NAN, f64::INFINITY, -1e-300] {
            for size in [1, 3, 9, 205] {
                for span in [1e-300, 1.0, 1e300] {
                    let odd = surface(
                        size,
                        span,
                        |a, b| if a > 0.5 * span { value } else { b / span },
                    );
                    let flat = surface(size, span, |_, _| value);
                    for surface in [&odd, &flat] {
                        let path = [(0.0, 0.0), (2.0, f64::NAN), (0.5, -3.0), (0.1, 0.1)];
                        let panels = ["a < b", "bowl", "third"].map(|name| Landscape {
                            name,
                            surface: if name == "bowl" { &bowl } else { surface },
                            path: &path,
                        });
                        for count in [0, 1, 3] {
                            // What can go wrong with one of them does not depend on the others.
                            let odd_span = span != 1.0 && (size, count) != (3, 1);
                            let odd_count = count == 0 && size > 1 || count == 3 && size > 9;
                            if odd_span || odd_count {
                                continue;
                            }
                            for figure in [
                                contours(&panels[..count], "t & t", &look).unwrap(),
                                reliefs(&panels[..count], "t & t", &look).unwrap(),
                            ] {
                                let svg = figure.svg().unwrap();
                                assert!(!svg.contains("NaN") && !svg.contains("inf"));
                                assert!(svg.contains("t &amp; t"));
                            }
                        }
                    }
                }
            }
        }
    }

    /// From the lowest loss to the highest, whatever their size, with labels inside the picture and apart from the names.
    #[test]
    fn the_scale_is_that_of_the_losses() {
        let look = Look::screen();
        for (low, high) in [
            (4e-14, 8e-14),
            (0.1, 0.7),
            (9.866, 9.866002),
            (-1e200, 3e200),
            (1e-290, 1.0000001e-290),
            (2.5, 2.5),
            (0.0, 0.0),
        ] {
            for span in [1.0, 1e-7, 1e-300] {
                let bowl = surface(11, span, |a, _| low + (high - low) * 0.5 * (a / span + 1.0));
                let panels = [Landscape {
                    name: "softmax attention",
                    surface: &bowl,
                    path: &[],
                }];
                let drawn = Panels::new(&panels, "t", &look);
                let (l, h) = bowl.range().unwrap();
                if h > l {
                    let base = base(&bowl);
                    let ends = (drawn.loss.low() + base, drawn.loss.high() + base);
                    assert!((ends.0 - l).abs() <= 1e-9 * (h - l), "{ends:?} {l:e}");
                    assert!((ends.1 - h).abs() <= 1e-9 * (h - l), "{ends:?} {h:e}");
                    assert!(drawn.levels.len() >= 10, "{low:e}: {:?}", drawn.levels);
                }
                let labels = |axis: &Axis, count: usize| -> Vec<f64> {
                    let labels = axis.ticks(count).into_iter().filter_map(|tick| tick.label);
                    labels.map(|label| text_width(&label, SMALL)).collect()
                };
                for width in labels(&drawn.loss, 8) {
                    assert!(LABELS + width <= drawn.scale, "{low:e}: {width}");
                }
                // The name of the axis ends at 28.
                for width in labels(&span_axis(&panels[0]), 5) {
                    assert!(width + 8.0 + 28.0 <= drawn.left, "{span:e}: {width}");
                }
            }
        }
    }

    #[test]
    fn a_part_of_a_cell_ends_on_the_level() {
        let cell = [
            ((0.0, 0.0), 0.0),
            ((1.0, 0.0), 2.0),
            ((1.0, 1.0), 0.0),
            ((0.0, 1.0), -2.0),
        ];
        let part = above(&cell, 1.0);
        let on = |x, y| ((x, y), true);
        assert_eq!(part, [on(0.5, 0.0), ((1.0, 0.0), false), on(1.0, 0.5)]);
        assert!(above(&cell, 3.0).is_empty());
        assert_eq!(above(&cell, -5.0).len(), 4);
    }
}
