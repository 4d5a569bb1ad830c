//! `rate-vs-bound`: the loss against every bound, and what the weights did meanwhile.

use super::axis::Axis;
use super::canvas::{Align, Canvas, Line, Rgb, Xy, fitted, text_width};
use super::look::{Legend, Look, Part};
use super::math::label_width;
use super::number::{grouped, scientific};
use super::panel::{BLACK, GREY, Panel, SMALL, TITLE};
use super::place::{Occupied, Rect};
use super::story::{self, Story};
use super::{Drawing, Figure, Frame, render};
use crate::{Error, Result};
use gdcert::model::Precision;
use gdcert::spectrum::Reading;
use gdcert::verdict::Verdict;
use gdcert::verify::Verification;
use std::path::Path;

/// Width of a screen's figure, and the heights of its panels.
const WIDTH: f64 = 640.0;
const LOSS: f64 = 270.0;
const OTHER: f64 = 114.0;
/// Left of the panels.
const LEFT: f64 = 80.0;
/// Right of the panels: the names of blocks.
const ENDS: f64 = 32.0;
const MARGIN: f64 = 16.0;
const ROW: f64 = 17.0;
/// Between two panels.
const BETWEEN: f64 = 16.0;
/// Below the last panel: labels and name of its axis.
const BELOW: f64 = 40.0;
/// A screen's figure says at its foot what decided.
const FOOT: f64 = 18.0;
/// The line beside a name in a legend.
const SAMPLE: f64 = 30.0;

const FLOOR: Rgb = (222, 222, 222);
const FLOOR_EDGE: Rgb = (150, 150, 150);
const HULL: Rgb = (170, 110, 0);

/// The figure of a verification: loss f_t against (1 - eta beta)^t f_0 for every reading that
/// applies, on a logarithmic axis, with the proven bound of a certificate, the rounding floor, first violations and the
/// hull bound of an obstructed instance; below it sigma_min(B_t)/sigma_min(B_0) and the distance |W_t - W_0|_F of
/// each trained block.
///
/// `title` says what `found` does not know: the initialization and seed, or the file's name.
/// `deciding` is marked in the legend. Any run can be drawn: a single point, infinite losses, bounds below
/// the smallest f64.
///
/// # Errors
/// None is expected; a backend that fails.
///
/// ```
/// use gdcert::{verify, Dims, Init, Instance, Kernel, Settings, deciding_reading};
/// use gdcert_report::plot;
///
/// let dims = Dims { N: 2, n: 3, D: 6, d: 3, H: 2, p: 1 };
/// let instance = Instance::random(dims, Kernel::Softmax, Init::Lecun, 0)?;
/// let found = verify(&instance, &Settings::default())?;
/// let figure = plot::rate_vs_bound(&found, "lecun, seed 0", deciding_reading(found.trained).name())?;
/// assert!(figure.svg()?.starts_with("<svg"));
/// # Ok::<(), gdcert::Error>(())
/// ```
pub fn rate_vs_bound(found: &Verification, title: &str, deciding: &str) -> Result<Figure> {
    rate_vs_bound_as(found, title, deciding, &Look::screen())
}

/// The same with another look.
///
/// # Errors
/// A look that names a reading which has no bound here, or has no panel.
pub fn rate_vs_bound_as(
    found: &Verification,
    title: &str,
    deciding: &str,
    look: &Look,
) -> Result<Figure> {
    draw(&Story::of(found, deciding), title, look)
}

/// The same from the files of `verify`, in which a proof is shown only if it is proven again here.
///
/// # Errors
/// A verdict.json or trajectory.csv that is missing or damaged; a look as above.
pub fn rate_vs_bound_of(folder: &Path, title: &str, look: &Look) -> Result<Figure> {
    draw(&Story::read(folder)?, title, look)
}

fn draw(story: &Story, title: &str, look: &Look) -> Result<Figure> {
    if look.panels.is_empty() {
        return Err(Error::input(
            "--panels names no panel; choose from loss, sigma and moved",
        ));
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

/// A line of the legend: a sample (or none), name, rate, and what was found.
struct Entry {
    sample: Sample,
    /// With formulas.
    name: String,
    rate: String,
    said: String,
}

enum Sample {
    Line(Line),
    Floor,
    Nothing,
}

/// Okabe-Ito colours, told apart by their dashes where colour is lost.
pub(super) fn style(reading: Reading) -> Line {
    let (color, width, dashes): (Rgb, f64, &'static [f64]) = match reading {
        Reading::Stacked => ((213, 94, 0), 2.2, &[11.0, 4.0]),
        Reading::PerHead => ((0, 114, 178), 3.2, &[6.0, 3.0]),
        Reading::Value => ((0, 158, 115), 2.0, &[9.0, 3.0, 2.0, 3.0]),
        Reading::Ntk => ((204, 121, 167), 1.8, &[2.5, 3.0]),
    };
    Line {
        color,
        width,
        dashes,
    }
}

/// For claims of the user's own, in their order.
const OWN: [(Rgb, &[f64]); 4] = [
    ((120, 80, 200), &[14.0, 3.0, 3.0, 3.0]),
    ((160, 110, 20), &[4.0, 2.0]),
    ((0, 140, 150), &[12.0, 6.0]),
    ((110, 110, 110), &[2.0, 2.0]),
];

const LOSS_LINE: Line = Line {
    color: BLACK,
    width: 1.7,
    dashes: &[],
};

/// What is proven for every t, drawn under everything else.
const PROVEN_LINE: Line = Line {
    color: (86, 180, 233),
    width: 5.5,
    dashes: &[],
};

/// W^Q, W^K, W^V.
const BLOCKS: [(&str, Line); 3] = [
    (
        "Q",
        Line {
            color: (230, 159, 0),
            width: 1.9,
            dashes: &[],
        },
    ),
    (
        "K",
        Line {
            color: (0, 114, 178),
            width: 1.9,
            dashes: &[7.0, 3.0],
        },
    ),
    (
        "V",
        Line {
            color: BLACK,
            width: 1.9,
            dashes: &[8.0, 3.0, 2.0, 3.0],
        },
    ),
];

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

    fn draw(&self, canvas: &mut Canvas) -> Result<()> {
        canvas.fill_rect((0.0, 0.0), (self.width(), self.height), (255, 255, 255))?;
        let margin = self.margin();
        let width = self.width() - 2.0 * margin;
        if let Some(title) = self.look.title(self.title) {
            let title = fitted(title, TITLE, width);
            canvas.text(&title, (margin, self.title_at()), TITLE, BLACK, Align::Left)?;
        }
        if self.look.is_screen() {
            let setting = fitted(&self.setting(), SMALL, width);
            canvas.text(&setting, (margin, 44.0), SMALL, BLACK, Align::Left)?;
        }
        if self.look.legend == Legend::Above {
            self.draw_legend(canvas)?;
        }
        for (i, &(part, edges)) in self.panels.iter().enumerate() {
            let last = i + 1 == self.panels.len();
            match part {
                Part::Loss => self.draw_loss(canvas, edges, last)?,
                Part::Sigma => self.draw_sigma(canvas, edges, last)?,
                Part::Moved => self.draw_moved(canvas, edges, last)?,
            }
        }
        let bottom = self.panels.last().map_or(0.0, |panel| panel.1.1);
        let (left, right) = self.sides();
        let middle = (0.5 * (left + right), bottom + 35.0);
        canvas.label(&self.x_label(), middle, SMALL, BLACK, Align::Center)?;
        match self.look.is_screen() {
            true => self.foot(canvas),
            false => Ok(()),
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
        let ends = match (screen, moved) {
            (true, _) => ENDS,
            (false, true) => 26.0,
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
            "{} kernel · trained {} · {} · η = {} · {} steps",
            story.kernel,
            story.trained,
            story.dims,
            scientific(story.eta, 3),
            step(story.last),
        )
    }

    fn foot(&self, canvas: &mut Canvas) -> Result<()> {
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
        canvas.text(&said, (MARGIN, y), SMALL, GREY, Align::Left)?;
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
    fn y_name(&self, canvas: &mut Canvas, panel: &Panel, names: &[&str]) -> Result<()> {
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

    /// The claims whose bound can be drawn and is asked for.
    fn bounds(&self) -> impl Iterator<Item = (&story::Line, Bound)> {
        let f0 = self.story.f0();
        let wanted = |name: &String| {
            let only = self.look.readings.as_ref();
            only.is_none_or(|only| only.contains(name))
        };
        self.story.claims.iter().filter_map(move |claim| {
            let bound = Bound {
                start: f0.log10(),
                slope: (-claim.rate).ln_1p() * std::f64::consts::LOG10_E,
            };
            let finite = bound.start.is_finite() && bound.slope.is_finite();
            (claim.applies && finite && wanted(&claim.name)).then_some((claim, bound))
        })
    }

    /// The same line is drawn once, in the style of the claim that decides if it is among them.
    fn lines(&self) -> Vec<(Vec<&story::Line>, Bound)> {
        let mut groups: Vec<(Vec<&story::Line>, Bound)> = Vec::new();
        for (claim, bound) in self.bounds() {
            let same =
                |other: &Bound| (other.slope - bound.slope).abs() <= 1e-9 * bound.slope.abs();
            match groups.iter_mut().find(|(_, other)| same(other)) {
                Some((claims, _)) => claims.push(claim),
                None => groups.push((vec![claim], bound)),
            }
        }
        groups
    }

    fn style_of(&self, claims: &[&story::Line]) -> Line {
        let decides = claims.iter().find(|c| c.name == self.story.deciding);
        match decides.or(claims.first()) {
            Some(claim) => self.style(&claim.name),
            None => LOSS_LINE,
        }
    }

    fn style(&self, name: &str) -> Line {
        if let Some(reading) = Reading::named(name) {
            return style(reading);
        }
        let is_own = |claim: &&story::Line| Reading::named(&claim.name).is_none();
        let own = self.story.claims.iter().filter(is_own);
        let at = own.map(|c| &c.name).position(|other| other == name);
        let (color, dashes) = OWN[at.unwrap_or(0) % OWN.len()];
        Line {
            color,
            width: 2.0,
            dashes,
        }
    }

    /// f_t of the exact orbit from above, as far as it was enclosed and is shown.
    fn enclosed(&self) -> impl Iterator<Item = (f64, f64)> {
        let shown = self.story.enclosed.iter().take(self.horizon() + 1);
        shown.enumerate().map(|(t, loss)| (t as f64, loss.log10()))
    }

    /// The step T from which a rate is proven, and (1 - rate)^(t - T) f_T from there on.
    fn proven(&self) -> Option<(usize, Bound)> {
        let (t, rate) = self.story.proven?;
        let start = self.points().get(t)?.loss.log10();
        let slope = (-rate).ln_1p() * std::f64::consts::LOG10_E;
        let finite = start.is_finite() && slope.is_finite();
        finite.then_some((t, Bound { start, slope }))
    }

    /// f_hull, where it stands in the way.
    fn hull(&self) -> Option<f64> {
        self.story.hull.filter(|h| *h > 0.0 && h.is_finite())
    }

    fn loss_axis(&self) -> Axis {
        let start = self.story.f0().log10();
        // One step of a run that diverges may go up hundreds of decades: the axis shows eight.
        let ceiling = if start.is_finite() {
            start + 8.0
        } else {
            f64::INFINITY
        };
        let losses = self.points().iter().map(|p| p.loss.log10());
        let losses = losses.filter(|y| y.is_finite()).map(|y| y.min(ceiling));
        let (mut low, mut high) = range(losses);
        if let Some(hull) = self.hull() {
            low = low.min(hull.log10());
            high = high.max(hull.log10());
        }
        // A bound may leave the axis at the bottom, but not before it is seen to part from the loss.
        let least = low - (0.4 * (high - low)).max(1.5);
        for (_, bound) in self.bounds() {
            low = low.min(bound.at(self.horizon() as f64).max(least));
        }
        if let Some((t, bound)) = self.proven() {
            low = low.min(bound.at((self.horizon() - t) as f64).max(least));
        }
        Axis::log(low, high)
    }

    fn draw_loss(&self, canvas: &mut Canvas, edges: (f64, f64), last: bool) -> Result<()> {
        let panel = self.panel(edges, self.loss_axis());
        let Rect {
            left,
            top,
            right,
            bottom,
        } = panel.frame;
        let mut occupied = Occupied::new(Rect {
            left: left + 5.0,
            top: top + 3.0,
            right: right - 5.0,
            bottom: bottom - 3.0,
        });
        self.draw_floor(canvas, &panel)?;
        panel.draw_axes(canvas, last)?;

        let end = self.horizon() as f64;
        if let Some(hull) = self.hull() {
            let line = [(0.0, hull.log10()), (end.max(1.0), hull.log10())];
            for path in panel.paths(line.into_iter()) {
                canvas.line(&path, Line::solid(HULL, 3.2))?;
                occupied.add_path(&path);
            }
        }
        for path in panel.paths(self.enclosed()) {
            canvas.line(&path, PROVEN_LINE)?;
        }
        if let Some((t, bound)) = self.proven() {
            let t = t as f64;
            let ends = [(t, bound.start), (end.max(t), bound.at(end - t))];
            for path in panel.paths(ends.into_iter()) {
                canvas.line(&path, PROVEN_LINE)?;
            }
        }
        let losses = self
            .points()
            .iter()
            .map(|p| (p.t as f64, drawn_log(p.loss)));
        let losses = panel.paths(losses);
        for path in &losses {
            canvas.line(path, LOSS_LINE)?;
            occupied.add_path(path);
        }
        for (claims, bound) in self.lines() {
            let ends = [(0.0, bound.start), (end, bound.at(end))];
            for path in panel.paths(ends.into_iter()) {
                canvas.line(&path, self.style_of(&claims))?;
                occupied.add_path(&path);
            }
        }
        if losses.is_empty() {
            let first = drawn_log(self.story.f0());
            if panel.y.holds(first) {
                canvas.disc(panel.at(0.0, first), 3.5, BLACK)?;
            }
        }
        panel.draw_frame(canvas)?;
        if self.look.legend == Legend::Inside {
            self.draw_legend_inside(canvas, &panel, &mut occupied)?;
        }
        self.annotate(canvas, &panel, &mut occupied)?;
        self.y_name(
            canvas,
            &panel,
            &[
                "loss $f(M_t)$ and bounds $(1 − ηβ)^t f(M_0)$",
                "$f(M_t)$ and $(1 − ηβ)^t f(M_0)$",
                "loss $f(M_t)$",
            ],
        )
    }

    fn floor(&self) -> impl Iterator<Item = (f64, f64)> {
        let end = self.horizon() as f64;
        let floor = self.story.floor.iter().copied();
        floor.filter(move |(t, _)| *t <= end)
    }

    /// Whether the rounding floor is on the first panel.
    fn floor_seen(&self) -> bool {
        let low = self.loss_axis().low();
        self.floor().any(|(_, y)| y > low)
    }

    /// Shades where the evaluation error forbids a comparison: below loss_error / FLOOR_SHARE.
    fn draw_floor(&self, canvas: &mut Canvas, panel: &Panel) -> Result<()> {
        let bottom = panel.frame.bottom;
        for path in panel.paths(self.floor()) {
            let (Some(first), Some(last)) = (path.first(), path.last()) else {
                continue;
            };
            let mut outline = vec![(first.0, bottom)];
            outline.extend(&path);
            outline.push((last.0, bottom));
            canvas.fill(&outline, FLOOR)?;
            canvas.line(&path, Line::solid(FLOOR_EDGE, 0.8))?;
        }
        Ok(())
    }

    /// First violations, divergence, a loss of 0, the hull bound.
    fn annotate(&self, canvas: &mut Canvas, panel: &Panel, occupied: &mut Occupied) -> Result<()> {
        let mark = |point: &story::Step| {
            let (x, y) = panel.at(point.t as f64, drawn_log(point.loss));
            (x, y.clamp(panel.frame.top, panel.frame.bottom))
        };
        // On a narrow panel a note is short: the legend and the caption say the rest.
        let room = 0.55 * (panel.frame.right - panel.frame.left);
        let fitting = |long: String, t: usize| match label_width(&long, SMALL) <= room {
            true => long,
            false => format!("$t$ = {}", step(t)),
        };
        let mut notes: Vec<(Xy, Rgb, bool, String)> = Vec::new();
        for (point, claims) in self.first_violations() {
            let names: Vec<_> = claims.iter().map(|c| c.name.as_str()).collect();
            let verdict = claims.first().map_or(Verdict::Violated, |c| c.verdict);
            let text = format!("{} {verdict} at $t$ = {}", names.join(", "), step(point.t));
            let text = fitting(text, point.t);
            notes.push((mark(point), self.style_of(&claims).color, true, text));
        }
        if let Some((t, _)) = self.story.proven.filter(|(t, _)| *t > 0)
            && let Some(point) = self.points().get(t)
        {
            let text = match self.story.is_from_start() {
                true => format!("proven for every $t$, from {} by Theorem A", step(t)),
                false => format!("proven from $t$ = {} on", step(t)),
            };
            notes.push((mark(point), PROVEN_LINE.color, true, fitting(text, t)));
        }
        if self.story.diverged
            && let Some(last) = self.story.points.last()
        {
            let text = format!("diverged at $t$ = {}", step(last.t));
            notes.push((mark(last), BLACK, true, text));
        }
        if let Some(zero) = self.points().iter().find(|p| p.loss == 0.0) {
            let text = format!("$f(M_t)$ = 0 at $t$ = {}", step(zero.t));
            notes.push((mark(zero), BLACK, true, text));
        }
        if let Some(hull) = self.hull() {
            let at = panel.at(0.7 * self.horizon() as f64, hull.log10());
            let text = format!("no loss below $f_{{hull}}$ = {}", scientific(hull, 2));
            notes.push((at, HULL, false, text));
        }
        for (at, color, marked, text) in notes {
            if marked {
                canvas.disc(at, 5.0, color)?;
                canvas.disc(at, 2.4, (255, 255, 255))?;
            }
            note(canvas, occupied, at, &text)?;
        }
        Ok(())
    }

    /// The points at which bounds are first violated, with their claims.
    fn first_violations(&self) -> Vec<(&story::Step, Vec<&story::Line>)> {
        let mut all: Vec<(&story::Step, Vec<&story::Line>)> = Vec::new();
        for (claim, _) in self.bounds() {
            let first = claim.first_violation.and_then(|t| self.points().get(t));
            let (true, Some(point)) = (claim.verdict.fails(), first) else {
                continue;
            };
            let same = |(p, claims): &&mut (&story::Step, Vec<&story::Line>)| {
                p.t == point.t && claims.iter().all(|c| c.verdict == claim.verdict)
            };
            match all.iter_mut().find(same) {
                Some((_, claims)) => claims.push(claim),
                None => all.push((point, vec![claim])),
            }
        }
        all
    }

    /// What the legend says.
    fn entries(&self) -> Vec<Entry> {
        let story = self.story;
        let mut all = Vec::new();
        let mut add = |sample, name: String, rate: String, said: String| {
            all.push(Entry {
                sample,
                name,
                rate,
                said,
            });
        };
        let (measured, said) = match story.measured {
            Some((whole, _)) if whole < 0.0 => (String::new(), "the loss grew".to_owned()),
            Some((whole, tail)) => (
                format!("measured {}", scientific(whole, 2)),
                format!("a step; over the last quarter {}", scientific(tail, 2)),
            ),
            None => (String::new(), "no rate could be measured".to_owned()),
        };
        add(
            Sample::Line(LOSS_LINE),
            "loss $f(M_t)$".to_owned(),
            measured,
            said,
        );
        for (claims, _) in self.lines() {
            let line = self.style_of(&claims);
            // What was found about the same bound is mostly the same.
            let mut rest = claims;
            while let Some(first) = rest.first() {
                let said = verdict_in_words(first);
                let (same, other): (Vec<&story::Line>, Vec<&story::Line>) =
                    rest.iter().partition(|c| verdict_in_words(c) == said);
                let names: Vec<_> = same.iter().map(|c| c.name.as_str()).collect();
                let decides = names.contains(&story.deciding.as_str());
                let said = match (decides, names.len()) {
                    (true, 1) => format!("{said} (deciding)"),
                    (true, _) => format!("{said} ({} decides)", story.deciding),
                    _ => said,
                };
                let rate = format!("$ηβ$ = {}", scientific(first.rate, 2));
                add(Sample::Line(line), names.join(" = "), rate, said);
                rest = other;
            }
        }
        if self.look.is_screen() {
            let drawn: Vec<_> = self.bounds().map(|(c, _)| c.name.as_str()).collect();
            let others = story.claims.iter();
            for claim in others.filter(|c| !drawn.contains(&c.name.as_str())) {
                let rate = format!("$ηβ$ = {}", scientific(claim.rate, 2));
                let said = verdict_in_words(claim);
                add(Sample::Nothing, claim.name.clone(), rate, said);
            }
        }
        if let Some((t, rate)) = story.proven {
            let said = match t {
                0 => "a step, for every $t$, by a certificate".to_owned(),
                t if story.is_from_start() => {
                    format!("a step from $t$ = {}; before, the exact orbit", step(t))
                }
                t => format!("a step, for every $t$ ≥ {}, by a certificate", step(t)),
            };
            let rate = format!("proven {}", scientific(rate, 2));
            let line = Sample::Line(PROVEN_LINE);
            add(line, "certified".to_owned(), rate, said);
        } else if let (Some((steps, _)), false) = (story.orbit, story.enclosed.is_empty()) {
            let said = format!("exact gradient descent, to $t$ = {}", step(steps));
            let line = Sample::Line(PROVEN_LINE);
            add(line, "enclosed".to_owned(), String::new(), said);
        }
        if self.floor_seen() {
            let name = match self.look.is_screen() {
                true => "rounding floor: nothing is compared there",
                false => "rounding floor",
            };
            add(Sample::Floor, name.to_owned(), String::new(), String::new());
        } else if self.look.is_screen() {
            let name = "the rounding floor is below the axis";
            add(
                Sample::Nothing,
                name.to_owned(),
                String::new(),
                String::new(),
            );
        }
        all
    }

    /// On paper an entry is one text: a rate where there is one.
    fn short(entry: &Entry) -> String {
        match entry.rate.as_str() {
            "" => entry.name.clone(),
            rate => format!("{}: {rate}", entry.name),
        }
    }

    fn legend_rows(&self) -> usize {
        match self.look.is_screen() {
            true => self.legend.len(),
            false => self.flow().last().map_or(0, |(row, _)| row + 1),
        }
    }

    /// Row and x of every entry on paper, beside each other as far as there is room.
    fn flow(&self) -> Vec<(usize, f64)> {
        let (left, right) = (self.margin(), self.width() - self.margin());
        let (mut row, mut x) = (0, left);
        let place = |entry: &Entry| {
            let width = SAMPLE + 6.0 + label_width(&Self::short(entry), SMALL);
            if x > left && x + width > right {
                row += 1;
                x = left;
            }
            let at = (row, x);
            x += width + 14.0;
            at
        };
        self.legend.iter().map(place).collect()
    }

    fn draw_legend(&self, canvas: &mut Canvas) -> Result<()> {
        if !self.look.is_screen() {
            for (entry, (row, x)) in self.legend.iter().zip(self.flow()) {
                let y = self.top + row as f64 * ROW;
                draw_sample(canvas, &entry.sample, (x, y), SAMPLE)?;
                let at = (x + SAMPLE + 6.0, y);
                canvas.label(&Self::short(entry), at, SMALL, BLACK, Align::Left)?;
            }
            return Ok(());
        }
        let in_columns = || self.legend.iter().filter(|e| !e.said.is_empty());
        let widest = |of: fn(&Entry) -> &str| {
            in_columns()
                .map(|entry| label_width(of(entry), SMALL))
                .fold(0.0, f64::max)
        };
        let name_at = MARGIN + 48.0;
        let rate_at = name_at + widest(|e| &e.name) + 16.0;
        let said_at = rate_at + widest(|e| &e.rate) + 16.0;
        for (row, entry) in self.legend.iter().enumerate() {
            let y = self.top + row as f64 * ROW;
            draw_sample(canvas, &entry.sample, (MARGIN, y), 40.0)?;
            canvas.label(&entry.name, (name_at, y), SMALL, BLACK, Align::Left)?;
            canvas.label(&entry.rate, (rate_at, y), SMALL, BLACK, Align::Left)?;
            let room = self.width() - 6.0 - said_at;
            let said = match label_width(&entry.said, SMALL) <= room {
                true => entry.said.clone(),
                false => fitted(&entry.said.replace('$', ""), SMALL, room),
            };
            canvas.label(&said, (said_at, y), SMALL, BLACK, Align::Left)?;
        }
        Ok(())
    }

    /// A box in the corner with the least ink in it.
    fn draw_legend_inside(
        &self,
        canvas: &mut Canvas,
        panel: &Panel,
        occupied: &mut Occupied,
    ) -> Result<()> {
        let widest = |texts: &[String]| {
            let widths = texts.iter().map(|text| label_width(text, SMALL));
            widths.fold(0.0, f64::max)
        };
        let sample = 22.0;
        let room = 0.62 * (panel.frame.right - panel.frame.left) - sample - 16.0;
        let mut texts: Vec<String> = self.legend.iter().map(Self::short).collect();
        if widest(&texts) > room {
            texts = self.legend.iter().map(|entry| entry.name.clone()).collect();
        }
        let widest = widest(&texts);
        let size = (
            widest + sample + 16.0,
            (ROW - 2.0) * texts.len() as f64 + 7.0,
        );
        let rect = occupied.corner(&panel.frame, size);
        canvas.fill_rect(
            (rect.left, rect.top),
            (rect.right, rect.bottom),
            (255, 255, 255),
        )?;
        canvas.line(&rect.corners(), Line::solid((200, 200, 200), 0.7))?;
        for (i, (entry, text)) in self.legend.iter().zip(&texts).enumerate() {
            let y = rect.top + 13.5 + (ROW - 2.0) * i as f64;
            draw_sample(canvas, &entry.sample, (rect.left + 5.0, y), sample)?;
            let at = (rect.left + sample + 10.0, y);
            canvas.label(text, at, SMALL, BLACK, Align::Left)?;
        }
        Ok(())
    }

    fn draw_sigma(&self, canvas: &mut Canvas, edges: (f64, f64), last: bool) -> Result<()> {
        let recorded: Vec<_> = self
            .points()
            .iter()
            .filter_map(|p| Some((p.t as f64, p.sigma?)))
            .filter(|(_, ratio)| ratio.is_finite())
            .collect();
        let (axis, log) = adapted_axis(recorded.iter().map(|r| r.1), 20.0, 0.024);
        let panel = self.panel(edges, axis);
        panel.draw_axes(canvas, last)?;
        let shown = |y: f64| if log { y.log10() } else { y };
        let series: Vec<_> = recorded.iter().map(|&(t, y)| (t, shown(y))).collect();
        for path in panel.paths(series.iter().copied()) {
            canvas.line(&path, Line::solid(BLACK, 1.3))?;
        }
        for &(t, y) in &series {
            canvas.disc(panel.at(t, y), 2.2, BLACK)?;
        }
        panel.draw_frame(canvas)?;
        if recorded.is_empty() {
            remark(
                canvas,
                &panel,
                "$σ_{min}(B_0)$ is 0 or within its error of 0",
            )?;
        }
        self.y_name(
            canvas,
            &panel,
            &["$σ_{min}(B_t)$ / $σ_{min}(B_0)$", "$σ_{min}$ ratio"],
        )
    }

    fn draw_moved(&self, canvas: &mut Canvas, edges: (f64, f64), last: bool) -> Result<()> {
        let trained: Vec<usize> = (0..3).filter(|&b| self.story.trained.flags()[b]).collect();
        let moved = |b: usize| self.points().iter().map(move |p| (p.t as f64, p.moved[b]));
        let positive = |b: usize| moved(b).map(|p| p.1).filter(|y| *y > 0.0 && y.is_finite());
        let furthest = trained.iter().map(|&b| positive(b).fold(0.0, f64::max));
        let (least, most) = range(furthest.filter(|y| *y > 0.0));
        let zero_gradient = self.story.zero_gradient;
        // Where the gradient is exactly zero, what moves is rounding.
        let most = if zero_gradient { 0.0 } else { most };
        // Blocks that move on different scales, and numbers with long labels, need a logarithmic axis.
        let log = most > 20.0 * least || most > 1e6 || (most > 0.0 && most < 1e-3);
        let all = trained.iter().flat_map(|&b| positive(b));
        let axis = if log {
            let (low, high) = range(all.map(f64::log10));
            Axis::log(low, high)
        } else if most > 0.0 {
            Axis::linear(0.0, 1.05 * most, f64::MIN_POSITIVE)
        } else {
            Axis::linear(0.0, 1.0, 1.0)
        };
        let panel = self.panel(edges, axis);
        panel.draw_axes(canvas, last)?;
        let mut ends = Vec::new();
        for &b in &trained {
            let (name, line) = BLOCKS[b];
            let shown = move |y: f64| if log { drawn_log(y) } else { y };
            let paths = panel.paths(moved(b).map(|(t, y)| (t, shown(y))));
            for path in &paths {
                canvas.line(path, line)?;
            }
            if let Some(end) = paths.last().and_then(|p| p.last()) {
                ends.push((end.1, name, line));
            }
        }
        panel.draw_frame(canvas)?;
        label_ends(canvas, &panel.frame, ends)?;
        if zero_gradient {
            remark(
                canvas,
                &panel,
                "the gradient is exactly zero: nothing moves",
            )?;
        } else if most <= 0.0 || most.is_nan() {
            remark(canvas, &panel, "no trained block has moved")?;
        }
        self.y_name(
            canvas,
            &panel,
            &["moved $|W_t − W_0|$", "$|W_t − W_0|$", "moved"],
        )
    }
}

/// log10 of a bound: a straight line in t, which does not underflow.
#[derive(Clone, Copy)]
struct Bound {
    start: f64,
    slope: f64,
}

impl Bound {
    fn at(self, t: f64) -> f64 {
        self.start + self.slope * t
    }
}

/// log10, with what is not a number above everything: such a loss has diverged.
fn drawn_log(x: f64) -> f64 {
    if x.is_nan() { f64::INFINITY } else { x.log10() }
}

fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let ends = (f64::INFINITY, f64::NEG_INFINITY);
    values.fold(ends, |(low, high), y| (low.min(y), high.max(y)))
}

/// An axis for these values, logarithmic if the largest is more than `factor` times the smallest.
fn adapted_axis(values: impl Iterator<Item = f64>, factor: f64, least_span: f64) -> (Axis, bool) {
    let (low, high) = range(values);
    if low > 0.0 && high > factor * low {
        return (Axis::log(low.log10(), high.log10()), true);
    }
    let room = 0.08 * (high - low);
    (Axis::linear(low - room, high + room, least_span), false)
}

fn step(t: usize) -> String {
    grouped(&t.to_string())
}

fn verdict_in_words(claim: &story::Line) -> String {
    match (claim.verdict, claim.first_violation) {
        (Verdict::Certified, _) => "certified for every $t$".to_owned(),
        (Verdict::CertifiedTail, _) => "certified: checked, then proven".to_owned(),
        (Verdict::Held, _) => format!("held to $t$ = {}", step(claim.checked_to)),
        (Verdict::Violated | Verdict::Refuted, Some(t)) => {
            format!("{} at $t$ = {}", claim.verdict, step(t))
        }
        (Verdict::Violated | Verdict::Refuted, None) => claim.verdict.to_string(),
        (Verdict::Obstructed, _) => "obstructed: 0 is out of reach".to_owned(),
        (Verdict::Diverged, _) => "diverged".to_owned(),
        (Verdict::NotApplicable, _) if claim.rate >= 1.0 => {
            "not applicable: $ηβ$ ≥ 1, no bound".to_owned()
        }
        (Verdict::NotApplicable, _) => {
            format!("not applicable: {}", claim.reason.replace('$', " "))
        }
    }
}

fn draw_sample(canvas: &mut Canvas, sample: &Sample, (x, y): Xy, width: f64) -> Result<()> {
    match sample {
        Sample::Line(line) => canvas.line(&[(x, y - 4.0), (x + width, y - 4.0)], *line),
        Sample::Floor => {
            canvas.fill_rect((x, y - 9.0), (x + width, y + 1.0), FLOOR)?;
            let edge = [(x, y - 9.0), (x + width, y - 9.0)];
            canvas.line(&edge, Line::solid(FLOOR_EDGE, 0.8))
        }
        Sample::Nothing => Ok(()),
    }
}

/// A label in the freest place near a point, with a line to it if that is not at hand.
fn note(canvas: &mut Canvas, occupied: &mut Occupied, at: Xy, label: &str) -> Result<()> {
    let rect = occupied.place(at, label_width(label, SMALL) + 6.0, 17.0);
    let nearest = (
        at.0.clamp(rect.left, rect.right.max(rect.left)),
        at.1.clamp(rect.top, rect.bottom),
    );
    let away = (nearest.0 - at.0).hypot(nearest.1 - at.1);
    if away > 14.0 {
        let share = 6.0 / away;
        let from = (
            at.0 + share * (nearest.0 - at.0),
            at.1 + share * (nearest.1 - at.1),
        );
        canvas.line(&[from, nearest], Line::solid(GREY, 0.8))?;
    }
    let start = (rect.left + 3.0, rect.top + 12.5);
    canvas.label(label, start, SMALL, BLACK, Align::Left)
}

/// Names at the right ends of curves, moved apart where they would overlap.
fn label_ends(canvas: &mut Canvas, frame: &Rect, mut ends: Vec<(f64, &str, Line)>) -> Result<()> {
    let gap = 14.0;
    ends.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut lowest = f64::NEG_INFINITY;
    let mut placed: Vec<f64> = Vec::new();
    for end in &ends {
        lowest = end.0.max(lowest + gap);
        placed.push(lowest);
    }
    let over = (lowest - frame.bottom).max(0.0);
    let x = frame.right;
    for (y, (_, name, line)) in placed.into_iter().zip(ends) {
        let y = y - over;
        canvas.line(&[(x + 3.0, y), (x + 12.0, y)], Line::solid(line.color, 2.5))?;
        canvas.text(name, (x + 15.0, y + 4.0), SMALL, BLACK, Align::Left)?;
    }
    Ok(())
}

fn remark(canvas: &mut Canvas, panel: &Panel, label: &str) -> Result<()> {
    let Rect {
        left,
        top,
        right,
        bottom,
    } = panel.frame;
    let at = (0.5 * (left + right), 0.5 * (top + bottom) + 4.0);
    canvas.label(label, at, SMALL, GREY, Align::Center)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gdcert::descent::{End, Point, Steps};
    use gdcert::{Dims, Eta, Init, Instance, Kernel, Settings, Trained, deciding_reading, verify};

    fn run(kernel: Kernel, init: Init, p: usize, settings: &Settings) -> Verification {
        let dims = Dims {
            N: 1,
            n: 3,
            D: 6,
            d: 3,
            H: 2,
            p,
        };
        let instance = Instance::random(dims, kernel, init, 0).unwrap();
        verify(&instance, settings).unwrap()
    }

    fn steps(steps: Steps) -> Settings {
        Settings {
            steps,
            ..Settings::default()
        }
    }

    /// Tags open and close in order, attributes are quoted, nothing is left raw.
    fn assert_well_formed(svg: &str) {
        let mut open = Vec::new();
        let mut rest = svg;
        while let Some(start) = rest.find('<') {
            assert!(!rest[..start].contains('>'));
            let end = start + rest[start..].find('>').expect("a tag that ends");
            let tag = &rest[start + 1..end];
            assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
            if let Some(name) = tag.strip_prefix('/') {
                assert_eq!(open.pop(), Some(name));
            } else if !tag.ends_with('/') {
                open.push(tag.split(' ').next().unwrap());
            }
            rest = &rest[end + 1..];
        }
        assert!(open.is_empty() && rest.trim().is_empty());
    }

    /// Numbers with long labels leave the name of their axis alone.
    #[test]
    fn names_of_axes_and_labels_stay_apart() {
        for eta in [1e-13, 1e-8, 1e-3] {
            let settings = Settings {
                eta: Eta::Fixed(eta),
                ..steps(Steps::Exactly(3))
            };
            let svg = draw(&run(Kernel::Softmax, Init::Lecun, 1, &settings));
            let attribute = |tag: &str, name: &str| -> Option<f64> {
                let value = tag.split(&format!("{name}=\"")).nth(1)?;
                value.split('"').next()?.parse().ok()
            };
            let mut names = Vec::new();
            let mut labels = Vec::new();
            for text in svg.split("<text ").skip(1) {
                let (tag, rest) = text.split_once('>').unwrap();
                let x = attribute(tag, "x").unwrap() / 10.0; // units of the file
                let shown = rest.split('<').next().unwrap().trim();
                if tag.contains("rotate") {
                    names.push(x);
                } else if x + text_width(shown, SMALL) < LEFT
                    && attribute(tag, "y").unwrap() > 1500.0
                {
                    labels.push((x, shown));
                }
            }
            // Each of its pieces is a text.
            assert!(names.len() >= 3, "{svg}");
            labels.retain(|(_, label)| label.starts_with(|c: char| c.is_ascii_digit()));
            assert!(labels.len() > 3, "{svg}");
            for (left, label) in labels {
                let least = names.iter().copied().fold(f64::INFINITY, f64::min);
                assert!(least > 10.0, "the name leaves the picture: {least}");
                assert!(
                    left > least + 3.0,
                    "{label} at {left} meets a name at {least}"
                );
            }
        }
    }

    /// Draws, checks both files, and returns the SVG.
    fn draw(found: &Verification) -> String {
        let deciding = deciding_reading(found.trained).name();
        let figure = rate_vs_bound(found, "a <title> & \"more\"\u{1}", deciding).unwrap();
        let svg = figure.svg().unwrap();
        assert_well_formed(&svg);
        assert!(svg.len() < 170_000, "{}", svg.len());
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
        let pdf = figure.file(crate::plot::Format::Pdf).unwrap();
        assert!(pdf.starts_with(b"%PDF-") && pdf.len() < 400_000);
        let png = figure.png().unwrap();
        let decoder = png::Decoder::new(&png[..]);
        let mut reader = decoder.read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!(
            (info.width, info.height),
            (3 * WIDTH as u32, 3 * figure.height as u32)
        );
        assert!(pixels.iter().any(|p| *p < 50), "an empty picture");
        svg
    }

    #[test]
    fn the_figure_says_what_was_found() {
        let lazy = Init::Lazy { omega: 10.0 };
        let found = run(Kernel::Gaussian, lazy, 1, &Settings::default());
        let svg = draw(&found);
        for text in [
            "a &lt;title&gt; &amp; &quot;more&quot;",
            "gaussian kernel · trained QKV · N=1 n=3 D=6 d=3 H=2 p=1 · η = ",
            "per_head = value = ntk",
            "stacked",
            "(per_head decides)",
            "moved |",
            "step",
            "exact gradient descent",
            env!("CARGO_PKG_VERSION"),
        ] {
            assert!(svg.contains(text), "{text}");
        }
    }

    #[test]
    fn every_kind_of_run_can_be_drawn() {
        let auto = Settings::default();
        draw(&run(Kernel::Softmax, Init::Lecun, 2, &auto));
        draw(&run(
            Kernel::Softmax,
            Init::Lecun,
            1,
            &steps(Steps::Exactly(0)),
        ));
        draw(&run(
            Kernel::Gaussian,
            Init::Lecun,
            1,
            &steps(Steps::Exactly(1)),
        ));
        for trained in ["Q", "K", "V", "QK"] {
            let settings = Settings {
                trained: trained.parse().unwrap(),
                ..auto.clone()
            };
            draw(&run(
                Kernel::Gaussian,
                Init::Paired { s: 3.0 },
                1,
                &settings,
            ));
        }
        // Hypotheses fail: d < p, HD < Nn.
        draw(&run(Kernel::Softmax, Init::Lecun, 4, &auto));
        let still = Settings {
            trained: Trained::Q,
            eta: Eta::Fixed(0.1),
            ..auto.clone()
        };
        let svg = draw(&run(
            Kernel::Softmax,
            Init::ConstantValue { s: 1.0 },
            1,
            &still,
        ));
        assert!(svg.contains("no loss below") && svg.contains("nothing moves"));
        for eta in [1.0, 1e10, 1e200] {
            let settings = Settings {
                eta: Eta::Fixed(eta),
                ..auto.clone()
            };
            draw(&run(
                Kernel::Softmax,
                Init::Lazy { omega: 10.0 },
                1,
                &settings,
            ));
        }
        let slow = Settings {
            eta: Eta::Fixed(1e-300),
            ..auto
        };
        draw(&run(Kernel::Gaussian, Init::Lecun, 1, &slow));
    }

    #[test]
    fn numbers_at_the_edge_can_be_drawn() {
        let lazy = Init::Lazy { omega: 10.0 };
        let good = run(Kernel::Gaussian, lazy, 1, &steps(Steps::Exactly(40)));
        for value in [0.0, 5e-324, 1e-300, 1e300, f64::INFINITY, f64::NAN, -1.0] {
            for share in [0, 1, 20] {
                let mut found = good.clone();
                for point in &mut found.trajectory.points[share..] {
                    point.loss = value;
                    point.loss_error = value;
                    point.moved = [value; 3];
                    point.sigma_min_B = point.sigma_min_B.map(|_| value);
                }
                draw(&found);
                found.trajectory.end = End::Diverged;
                found.f_hull = Some(value);
                for claim in &mut found.claims {
                    claim.verdict = Verdict::Violated;
                    claim.first_violation = Some(share);
                    claim.rate = 1.0 - 1e-16;
                }
                draw(&found);
            }
        }
    }

    #[test]
    fn long_runs_stay_small_and_keep_their_extremes() {
        let mut found = run(Kernel::Gaussian, Init::Lecun, 1, &steps(Steps::Exactly(10)));
        let first = found.trajectory.points[0];
        let noisy = |t: usize| Point {
            t,
            loss: first.loss * (1.0 + 0.5 * ((t * 7919) % 101) as f64),
            loss_error: first.loss * 1e-3 * (1.0 + ((t * 104_729) % 97) as f64),
            moved: [1e-3, 1e-2, 1.0].map(|m| m * (1.0 + ((t * 31) % 89) as f64)),
            ..first
        };
        found.trajectory.points = (0..=100_000).map(noisy).collect();
        for point in &mut found.trajectory.points {
            point.sigma_min_B = (point.t % 2500 == 0).then_some(1.0);
        }
        draw(&found);
    }
}
