//! The upper panel: the loss, every bound, what is proven, the rounding floor, and notes where something happens.

use super::{RateVsBound, range, step};
use crate::plot::axis::Axis;
use crate::plot::canvas::{Align, Canvas, Line, Rgb, Xy};
use crate::plot::look::Legend;
use crate::plot::math::label_width;
use crate::plot::number::scientific;
use crate::plot::panel::{BLACK, GREY, Panel, SMALL};
use crate::plot::place::{Occupied, Rect};
use crate::plot::story;
use gdcert::spectrum::Reading;
use gdcert::verdict::Verdict;

pub(super) const FLOOR: Rgb = (222, 222, 222);
pub(super) const FLOOR_EDGE: Rgb = (150, 150, 150);
const HULL: Rgb = (170, 110, 0);

/// Okabe-Ito colours, told apart by their dashes where colour is lost.
pub(in crate::plot) fn style(reading: Reading) -> Line {
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
pub(super) const OWN: [(Rgb, &[f64]); 4] = [
    ((120, 80, 200), &[14.0, 3.0, 3.0, 3.0]),
    ((160, 110, 20), &[4.0, 2.0]),
    ((0, 140, 150), &[12.0, 6.0]),
    ((110, 110, 110), &[2.0, 2.0]),
];

pub(super) fn own_line((color, dashes): (Rgb, &'static [f64])) -> Line {
    Line {
        color,
        width: 2.0,
        dashes,
    }
}

pub(super) const LOSS_LINE: Line = Line {
    color: BLACK,
    width: 1.7,
    dashes: &[],
};

/// What is proven for every t, drawn under everything else.
pub(super) const PROVEN_LINE: Line = Line {
    color: (86, 180, 233),
    width: 5.5,
    dashes: &[],
};
impl RateVsBound<'_> {
    /// The claims whose bound can be drawn and is asked for.
    pub(super) fn bounds(&self) -> impl Iterator<Item = (&story::Line, Bound)> {
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
    pub(super) fn lines(&self) -> Vec<(Vec<&story::Line>, Bound)> {
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

    pub(super) fn style_of(&self, claims: &[&story::Line]) -> Line {
        let decides = claims.iter().find(|c| c.name == self.story.deciding);
        match decides.or(claims.first()) {
            Some(claim) => self.style(&claim.name),
            None => LOSS_LINE,
        }
    }

    pub(super) fn style(&self, name: &str) -> Line {
        if let Some(reading) = Reading::named(name) {
            return style(reading);
        }
        let is_own = |claim: &&story::Line| Reading::named(&claim.name).is_none();
        let own = self.story.claims.iter().filter(is_own);
        let at = own.map(|c| &c.name).position(|other| other == name);
        own_line(OWN[at.unwrap_or(0) % OWN.len()])
    }

    /// f_t of the exact orbit from above, as far as it was enclosed and is shown.
    pub(super) fn enclosed(&self) -> impl Iterator<Item = (f64, f64)> {
        let shown = self.story.enclosed.iter().take(self.horizon() + 1);
        shown.enumerate().map(|(t, loss)| (t as f64, loss.log10()))
    }

    /// The step T from which a rate is proven, and (1 - rate)^(t - T) f_T from there on.
    pub(super) fn proven(&self) -> Option<(usize, Bound)> {
        let (t, rate) = self.story.proven?;
        let start = self.points().get(t)?.loss.log10();
        let slope = (-rate).ln_1p() * std::f64::consts::LOG10_E;
        let finite = start.is_finite() && slope.is_finite();
        finite.then_some((t, Bound { start, slope }))
    }

    /// f_hull, where it stands in the way.
    pub(super) fn hull(&self) -> Option<f64> {
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

    pub(super) fn draw_loss(&self, canvas: &mut Canvas, edges: (f64, f64), last: bool) {
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
        self.draw_floor(canvas, &panel);
        panel.draw_axes(canvas, last);

        let end = self.horizon() as f64;
        if let Some(hull) = self.hull() {
            let line = [(0.0, hull.log10()), (end.max(1.0), hull.log10())];
            for path in panel.paths(line.into_iter()) {
                canvas.line(&path, Line::solid(HULL, 3.2));
                occupied.add_path(&path);
            }
        }
        for path in panel.paths(self.enclosed()) {
            canvas.line(&path, PROVEN_LINE);
        }
        if let Some((t, bound)) = self.proven() {
            let t = t as f64;
            let ends = [(t, bound.start), (end.max(t), bound.at(end - t))];
            for path in panel.paths(ends.into_iter()) {
                canvas.line(&path, PROVEN_LINE);
            }
        }
        let losses = self
            .points()
            .iter()
            .map(|p| (p.t as f64, drawn_log(p.loss)));
        let losses = panel.paths(losses);
        for path in &losses {
            canvas.line(path, LOSS_LINE);
            occupied.add_path(path);
        }
        for (claims, bound) in self.lines() {
            let ends = [(0.0, bound.start), (end, bound.at(end))];
            for path in panel.paths(ends.into_iter()) {
                canvas.line(&path, self.style_of(&claims));
                occupied.add_path(&path);
            }
        }
        if losses.is_empty() {
            let first = drawn_log(self.story.f0());
            if panel.y.holds(first) {
                canvas.disc(panel.at(0.0, first), 3.5, BLACK);
            }
        }
        panel.draw_frame(canvas);
        if self.look.legend == Legend::Inside {
            self.draw_legend_inside(canvas, &panel, &mut occupied);
        }
        self.annotate(canvas, &panel, &mut occupied);
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

    pub(super) fn floor(&self) -> impl Iterator<Item = (f64, f64)> {
        let end = self.horizon() as f64;
        let floor = self.story.floor.iter().copied();
        floor.filter(move |(t, _)| *t <= end)
    }

    /// Whether the rounding floor is on the first panel.
    pub(super) fn floor_seen(&self) -> bool {
        let low = self.loss_axis().low();
        self.floor().any(|(_, y)| y > low)
    }

    /// Shades where the evaluation error forbids a comparison: below loss_error / FLOOR_SHARE.
    fn draw_floor(&self, canvas: &mut Canvas, panel: &Panel) {
        let bottom = panel.frame.bottom;
        for path in panel.paths(self.floor()) {
            let (Some(first), Some(last)) = (path.first(), path.last()) else {
                continue;
            };
            let mut outline = vec![(first.0, bottom)];
            outline.extend(&path);
            outline.push((last.0, bottom));
            canvas.fill(&outline, FLOOR);
            canvas.line(&path, Line::solid(FLOOR_EDGE, 0.8));
        }
    }

    /// First violations, divergence, a loss of 0, the hull bound.
    fn annotate(&self, canvas: &mut Canvas, panel: &Panel, occupied: &mut Occupied) {
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
                canvas.disc(at, 5.0, color);
                canvas.disc(at, 2.4, (255, 255, 255));
            }
            note(canvas, occupied, at, &text);
        }
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
}

/// log10 of a bound: a straight line in t, which does not underflow.
#[derive(Clone, Copy)]
pub(super) struct Bound {
    start: f64,
    slope: f64,
}

impl Bound {
    fn at(self, t: f64) -> f64 {
        self.start + self.slope * t
    }
}

/// log10, with what is not a number above everything: such a loss has diverged.
pub(super) fn drawn_log(x: f64) -> f64 {
    if x.is_nan() { f64::INFINITY } else { x.log10() }
}
/// A label in the freest place near a point, with a line to it if that is not at hand.
fn note(canvas: &mut Canvas, occupied: &mut Occupied, at: Xy, label: &str) {
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
        canvas.line(&[from, nearest], Line::solid(GREY, 0.8));
    }
    let start = (rect.left + 3.0, rect.top + 12.5);
    canvas.label(label, start, SMALL, BLACK, Align::Left)
}
