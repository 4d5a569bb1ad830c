//! `rate-vs-bound`: the loss against every bound, and what the weights did meanwhile.

mod below;
mod legend;
mod loss;

pub(super) use loss::style;

use super::axis::Axis;
use super::canvas::{Align, Canvas, fitted, text_width};
use super::look::{Legend, Look, Part};
use super::math::label_width;
use super::number::{grouped, scientific};
use super::panel::{BLACK, GREY, Panel, SMALL, TITLE};
use super::place::Rect;
use super::story::{self, Story};
use super::{Drawing, Figure, Frame, render};
use crate::{Error, Result};
use gdcert::graph::{Graph, Verification as ModelVerification};
use gdcert::model::Precision;
use gdcert::verdict::Verdict;
use gdcert::verify::Verification;
use legend::Entry;
use std::path::Path;

/// Width of a screen's figure, and the heights of its panels.
const WIDTH: f64 = 640.0;
const LOSS: f64 = 270.0;
const OTHER: f64 = 114.0;
/// Left of the panels.
const LEFT: f64 = 80.0;
/// Right of the panels: the names of blocks, at most so wide.
const ENDS: f64 = 32.0;
const NAME: f64 = 90.0;
const MARGIN: f64 = 16.0;
const ROW: f64 = 17.0;
/// Between two panels.
const BETWEEN: f64 = 16.0;
/// Below the last panel: labels and name of its axis.
const BELOW: f64 = 40.0;
/// A screen's figure says at its foot what decided.
const FOOT: f64 = 18.0;

/// The figure of a verification: loss f_t against (1 - eta beta)^t f_0 for every reading that
/// applies, on a logarithmic axis, with the proven bound of a certificate, the rounding floor, first violations and the
/// hull bound of an obstructed instance; below it sigma_min(B_t)/sigma_min(B_0) and the distance |W_t - W_0|_F of
/// each trained block.
///
/// `title` says what `found` does not know: the initialization and seed, or the file's name.
/// `deciding` is marked in the legend. Any run can be drawn: a single point, infinite losses, bounds below
/// the smallest f64.
///
/// ```
/// use gdcert::{verify, Dims, Init, Instance, Kernel, Settings, deciding_reading};
/// use gdcert_report::plot;
///
/// let dims = Dims { N: 2, n: 3, D: 6, d: 3, H: 2, p: 1 };
/// let instance = Instance::random(dims, Kernel::Softmax, Init::Lecun, 0)?;
/// let found = verify(&instance, &Settings::default())?;
/// let figure = plot::rate_vs_bound(&found, "lecun, seed 0", deciding_reading(found.trained).name());
/// assert!(figure.svg().starts_with("<svg"));
/// # Ok::<(), gdcert::Error>(())
/// ```
pub fn rate_vs_bound(found: &Verification, title: &str, deciding: &str) -> Figure {
    draw(&Story::of(found, deciding), title, &Look::screen())
}

/// The same from the files of `verify`, in which a proof is shown only if it is proven again here.
///
/// # Errors
/// A verdict.json or trajectory.csv that is missing or damaged; a look that names a reading which has no bound here, or has no
/// panel.
pub fn rate_vs_bound_of(folder: &Path, title: &str, look: &Look) -> Result<Figure> {
    let story = Story::read(folder)?;
    check(&story, look)?;
    Ok(draw(&story, title, look))
}

/// The figure of a model's verification: as that of an instance, without the panel of sigma_min(B_t).
pub fn model_rate_vs_bound(
    graph: &Graph,
    found: &ModelVerification,
    title: &str,
    deciding: &str,
) -> Figure {
    let story = Story::of_model(graph, found, deciding);
    draw(&story, title, &Look::screen())
}

/// Whether a look names what is there.
fn check(story: &Story, look: &Look) -> Result<()> {
    if panels(story, look).is_empty() {
        let panels = match story.has_sigma {
            true => "loss, sigma and moved",
            false => "loss and moved",
        };
        return Err(Error::input(format!(
            "--panels names no panel; choose from {panels}"
        )));
    }
    for name in look.readings.iter().flatten() {
        if story.claim(name).is_none() {
            let known: Vec<_> = story.claims.iter().map(|c| c.name.as_str()).collect();
            return Err(Error::input(format!(
                "--readings {name} is not there; choose from {}",
                known.join(", ")
            )));
        }
    }
    Ok(())
}

/// The panels that are asked for and can be drawn.
fn panels(story: &Story, look: &Look) -> Vec<Part> {
    let there = |part: &Part| *part != Part::Sigma || story.has_sigma;
    look.panels.iter().copied().filter(there).collect()
}

fn draw(story: &Story, title: &str, look: &Look) -> Figure {
    let look = &Look {
        panels: panels(story, look),
        ..look.clone()
    };
    let mut drawing = RateVsBound {
        story,
        title,
        look,
        legend: Vec::new(),
        height: 0.0,
        top: 0.0,
        panels: Vec::new(),
    };
    drawing.arrange();
    render(&drawing, look)
}

struct RateVsBound<'a> {
    story: &'a Story,
    title: &'a str,
    look: &'a Look,
    legend: Vec<Entry>,
    height: f64,
    /// Where the legend starts.
    top: f64,
    /// Upper and lower edges.
    panels: Vec<(Part, (f64, f64))>,
}

impl Drawing for RateVsBound<'_> {
    fn size(&self) -> (f64, f64) {
        (self.width(), self.height)
    }

    fn description(&self) -> String {
        super::printable(&format!(
            "Loss of gradient descent against its bounds: {}, {}",
            self.title,
            self.setting()
        ))
    }

    fn frame(&self) -> Option<Frame> {
        let &(Part::Loss, (top, bottom)) = self.panels.first()? else {
            return None;
        };
        let (left, right) = self.sides();
        Some(Frame {
            left: left / self.width(),
            right: right / self.width(),
            top: top / self.height,
            bottom: bottom / self.height,
            first: 0.0,
            last: self.horizon().max(1) as f64,
        })
    }

    fn draw(&self, canvas: &mut Canvas) {
        canvas.fill_rect((0.0, 0.0), (self.width(), self.height), (255, 255, 255));
        let margin = self.margin();
        let width = self.width() - 2.0 * margin;
        if let Some(title) = self.look.title(self.title) {
            let title = fitted(title, TITLE, width);
            canvas.text(&title, (margin, self.title_at()), TITLE, BLACK, Align::Left);
        }
        if self.look.is_screen() {
            let setting = fitted(&self.setting(), SMALL, width);
            canvas.text(&setting, (margin, 44.0), SMALL, BLACK, Align::Left);
        }
        if self.look.legend == Legend::Above {
            self.draw_legend(canvas);
        }
        for (i, &(part, edges)) in self.panels.iter().enumerate() {
            let last = i + 1 == self.panels.len();
            match part {
                Part::Loss => self.draw_loss(canvas, edges, last),
                Part::Sigma => self.draw_sigma(canvas, edges, last),
                Part::Moved => self.draw_moved(canvas, edges, last),
            }
        }
        let bottom = self.panels.last().map_or(0.0, |panel| panel.1.1);
        let (left, right) = self.sides();
        let middle = (0.5 * (left + right), bottom + 35.0);
        canvas.label(&self.x_label(), middle, SMALL, BLACK, Align::Center);
        if self.look.is_screen() {
            self.foot(canvas);
        }
    }
}

impl RateVsBound<'_> {
    /// Sets out what stands where.
    fn arrange(&mut self) {
        self.legend = self.entries();
        let title = self.look.title(self.title).is_some();
        self.top = match (self.look.is_screen(), title) {
            (true, _) => 65.0,
            (false, true) => self.title_at() + 20.0,
            (false, false) => 12.0,
        };
        let rows = match self.look.legend {
            Legend::Above => self.legend_rows(),
            _ => 0,
        };
        let first = match (rows, self.look.is_screen()) {
            (0, true) => self.top - 11.0,
            (0, false) => self.top - 4.0,
            (rows, true) => self.top + ROW * (rows as f64 - 1.0) + 14.0,
            (rows, false) => self.top + ROW * (rows as f64 - 1.0) + 9.0,
        };
        let foot = if self.look.is_screen() { FOOT } else { 0.0 };
        let count = self.look.panels.len() as f64;
        let other = match (self.look.is_screen(), self.look.panels.len()) {
            (_, 1) => None,
            (true, _) => Some(OTHER),
            (false, _) => Some((0.26 * self.width()).clamp(60.0, OTHER)),
        };
        let natural = |part: &Part| match (part, other) {
            (Part::Loss, _) if self.look.is_screen() => LOSS,
            (Part::Loss, _) | (_, None) => (0.56 * self.width()).clamp(90.0, LOSS),
            (_, Some(other)) => other,
        };
        let wanted: f64 = self.look.panels.iter().map(natural).sum();
        let rest = first + BETWEEN * (count - 1.0) + BELOW + foot;
        // A height that leaves no room for panels is not kept to.
        let share = match self.look.height {
            Some(height) => ((height - rest) / wanted).max(40.0 * count / wanted),
            None => 1.0,
        };
        let mut y = first;
        self.panels = self
            .look
            .panels
            .iter()
            .map(|part| {
                let bottom = y + share * natural(part);
                let edges = (y, bottom);
                y = bottom + BETWEEN;
                (*part, edges)
            })
            .collect();
        self.height = (rest + share * wanted).ceil();
        if let Some(height) = self.look.height {
            self.height = height.max(self.height - 1.0);
        }
    }

    fn width(&self) -> f64 {
        self.look.width.unwrap_or(WIDTH)
    }

    /// On paper a figure fills its column.
    fn margin(&self) -> f64 {
        if self.look.is_screen() { MARGIN } else { 2.0 }
    }

    fn title_at(&self) -> f64 {
        if self.look.is_screen() { 25.0 } else { 15.0 }
    }

    /// Left and right edge of the panels.
    fn sides(&self) -> (f64, f64) {
        let screen = self.look.is_screen();
        let moved = self.look.panels.contains(&Part::Moved);
        let names = self.story.blocks.iter();
        let names = names.map(|name| text_width(&fitted(name, SMALL, NAME), SMALL));
        let ends = match (screen, moved) {
            (true, _) => ENDS.max(20.0 + names.fold(0.0, f64::max)),
            (false, true) => 26.0f64.max(18.0 + names.fold(0.0, f64::max)),
            (false, false) => 16.0,
        };
        let left = if screen { LEFT } else { 66.0 };
        (left, self.width() - ends)
    }

    /// The points that are shown; never none.
    fn points(&self) -> &[story::Step] {
        let points = &self.story.points;
        points.get(..=self.horizon()).unwrap_or(points)
    }

    fn setting(&self) -> String {
        let story = self.story;
        format!(
            "{} · η = {} · {} steps",
            story.about,
            scientific(story.eta, 3),
            step(story.last),
        )
    }

    fn foot(&self, canvas: &mut Canvas) {
        let story = self.story;
        let verdict = story.claim(&story.deciding).map(|claim| claim.verdict);
        let said = match story.orbit {
            Some((_, distance)) if story.precision == Precision::F64 && distance.is_finite() => {
                format!(
                    "the run is within {} of exact gradient descent",
                    scientific(distance, 1)
                )
            }
            _ => format!(
                "deciding reading {}: {}",
                story.deciding,
                verdict.map_or("unknown", Verdict::name)
            ),
        };
        let y = self.height - 8.0;
        let version = concat!("gdcert ", env!("CARGO_PKG_VERSION"));
        let version = match story.precision {
            Precision::F64 => version.to_owned(),
            Precision::DoubleDouble => format!("run in double-double · {version}"),
        };
        let right = self.sides().1;
        let room = right - MARGIN - text_width(&version, SMALL) - 12.0;
        let said = fitted(&said, SMALL, room);
        canvas.text(&said, (MARGIN, y), SMALL, GREY, Align::Left);
        canvas.text(&version, (right, y), SMALL, GREY, Align::Right)
    }

    fn panel(&self, (top, bottom): (f64, f64), y: Axis) -> Panel {
        let (left, right) = self.sides();
        let frame = Rect {
            left,
            top,
            right,
            bottom,
        };
        let x = Axis::linear(0.0, self.horizon().max(1) as f64, 1.0);
        Panel { frame, x, y }
    }

    /// A panel's y name: the longest of these, the longest first, that fits beside it.
    fn y_name(&self, canvas: &mut Canvas, panel: &Panel, names: &[&str]) {
        let room = panel.frame.bottom - panel.frame.top + 12.0;
        let fits = |name: &&&str| label_width(name, SMALL) <= room;
        let name = names.iter().find(fits).or(names.last()).unwrap_or(&"");
        let usual = if self.look.is_screen() { 22.0 } else { 14.0 };
        panel.draw_y_name(canvas, name, SMALL, usual)
    }

    /// The last step that is shown. A run that goes on long after every bound has reached the rounding
    /// floor is shown to one and a half times that step.
    fn horizon(&self) -> usize {
        let last = self.story.last;
        let floors: Option<Vec<usize>> = self.bounds().map(|(c, _)| c.floor_at).collect();
        let done = floors.and_then(|f| f.into_iter().max());
        match done {
            Some(t) if !self.story.diverged && last > 3 * t => t + t / 2 + 1,
            _ => last,
        }
    }

    fn x_label(&self) -> String {
        let (shown, last) = (self.horizon(), self.story.last);
        if shown == last || !self.look.is_screen() {
            return "step $t$".to_owned();
        }
        format!(
            "step $t$ (to {} of {}: nothing can be compared later)",
            step(shown),
            step(last)
        )
    }
}

fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let ends = (f64::INFINITY, f64::NEG_INFINITY);
    values.fold(ends, |(low, high), y| (low.min(y), high.max(y)))
}
/// A number of steps.
fn step(t: usize) -> String {
    grouped(&t.to_string())
}

#[cfg(test)]
mod tests;
