//! `rate-vs-bound`: the loss against every bound, and what the weights did meanwhile.

use super::axis::Axis;
use super::canvas::{Align, Canvas, Line, Rgb, Xy, fitted, text_width};
use super::number::{grouped, scientific};
use super::panel::{BLACK, GREY, Panel, SMALL};
use super::place::{Occupied, Rect};
use super::{Drawing, Figure, render};
use crate::Result;
use gdcert::bounds::Reason;
use gdcert::descent::{End, FLOOR_SHARE, Point};
use gdcert::model::Precision;
use gdcert::spectrum::Reading;
use gdcert::verdict::{Claim, Verdict};
use gdcert::verify::Verification;
use plotters_backend::DrawingBackend;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 769.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 608.0;
const MARGIN: f64 = 16.0;
/// Where the names of the y axes stand.
const Y_NAMES: f64 = 22.0;
const LEGEND: f64 = 65.0;
const ROW: f64 = 17.0;
const LOSS: (f64, f64) = (181.0, 451.0);
const SIGMA: (f64, f64) = (467.0, 581.0);
const MOVED: (f64, f64) = (597.0, 711.0);

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
/// use std::ops::ControlFlow;
///
/// let dims = Dims { N: 2, n: 3, D: 6, d: 3, H: 2, p: 1 };
/// let instance = Instance::random(dims, Kernel::Softmax, Init::Lecun, 0)?;
/// let found = verify(&instance, &Settings::default(), &mut |_| ControlFlow::Continue(()))?;
/// let figure = plot::rate_vs_bound(&found, "lecun, seed 0", deciding_reading(found.trained).name())?;
/// assert!(figure.svg.starts_with("<svg"));
/// # Ok::<(), gdcert::Error>(())
/// ```
pub fn rate_vs_bound(found: &Verification, title: &str, deciding: &str) -> Result<Figure> {
    render(&RateVsBound {
        found,
        title,
        deciding,
    })
}

struct RateVsBound<'a> {
    found: &'a Verification,
    title: &'a str,
    deciding: &'a str,
}

/// Claims of the user's own, told apart by their dashes.
const OWN_DASHES: [&[f64]; 4] = [
    &[1.5, 4.0],
    &[14.0, 3.0, 2.0, 3.0],
    &[4.0, 2.0],
    &[10.0, 8.0],
];

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
    fn size(&self) -> (u32, u32) {
        (WIDTH as u32, self.height() as u32)
    }

    fn description(&self) -> String {
        super::printable(&format!(
            "Loss of gradient descent against its bounds: {}, {}",
            self.title,
            self.setting()
        ))
    }

    fn draw<B: DrawingBackend>(&self, canvas: &mut Canvas<'_, B>) -> Result<()> {
        let height = self.height();
        canvas.fill_rect((0.0, 0.0), (WIDTH, height), (255, 255, 255))?;
        let width = WIDTH - 2.0 * MARGIN;
        let title = fitted(self.title, 15.0, width);
        canvas.text(&title, (MARGIN, 25.0), 15.0, BLACK, Align::Left)?;
        let setting = fitted(&self.setting(), SMALL, width);
        canvas.text(&setting, (MARGIN, 44.0), SMALL, BLACK, Align::Left)?;

        let floor_seen = self.draw_loss(canvas)?;
        self.draw_legend(canvas, floor_seen)?;
        self.draw_sigma(canvas)?;
        self.draw_moved(canvas)?;

        let below = MOVED.1 + 35.0;
        canvas.text(
            &self.x_label(),
            (0.5 * (LEFT + RIGHT), below),
            12.5,
            BLACK,
            Align::Center,
        )?;
        let claim = self.found.claim(self.deciding);
        let mut deciding = format!(
            "deciding {}: {}",
            match Reading::named(self.deciding) {
                Some(reading) => format!("reading {reading}"),
                None => format!("claim {}", self.deciding),
            },
            claim.verdict
        );
        if let Some(orbit) = &self.found.orbit
            && self.found.trajectory.precision == Precision::F64
        {
            deciding += &format!(
                " · the run is within {} of exact gradient descent",
                scientific(orbit.run_distance, 1)
            );
        }
        canvas.text(&deciding, (MARGIN, height - 8.0), 10.5, GREY, Align::Left)?;
        let version = concat!("gdcert ", env!("CARGO_PKG_VERSION"));
        let version = match self.found.trajectory.precision {
            Precision::F64 => version.to_owned(),
            Precision::DoubleDouble => format!("run in double-double · {version}"),
        };
        canvas.text(&version, (RIGHT, height - 8.0), 10.5, GREY, Align::Right)
    }
}

impl RateVsBound<'_> {
    /// The points that are shown; never none.
    fn points(&self) -> &[Point] {
        let points = &self.found.trajectory.points;
        points.get(..=self.horizon()).unwrap_or(points)
    }

    fn setting(&self) -> String {
        let found = self.found;
        format!(
            "{} kernel · trained {} · {} · η = {} · {} steps",
            found.kernel,
            found.trained,
            found.dims,
            scientific(found.trajectory.eta, 3),
            grouped(&found.last().t.to_string()),
        )
    }

    fn panel(&self, (top, bottom): (f64, f64), y: Axis) -> Panel {
        let frame = Rect {
            left: LEFT,
            top,
            right: RIGHT,
            bottom,
        };
        let x = Axis::linear(0.0, self.horizon().max(1) as f64, 1.0);
        Panel { frame, x, y }
    }

    /// The last step that is shown. A run that goes on long after every bound has reached the rounding
    /// floor is shown to one and a half times that step.
    fn horizon(&self) -> usize {
        let last = self.found.last().t;
        let floors: Option<Vec<usize>> = self.bounds().map(|(c, _)| c.floor_at).collect();
        let done = floors.and_then(|f| f.into_iter().max());
        match done {
            Some(t) if self.found.trajectory.end != End::Diverged && last > 3 * t => t + t / 2 + 1,
            _ => last,
        }
    }

    fn x_label(&self) -> String {
        let (shown, last) = (self.horizon(), self.found.last().t);
        if shown == last {
            return "step t".to_owned();
        }
        format!(
            "step t (to {} of {}: nothing can be compared later)",
            step(shown),
            step(last)
        )
    }

    /// Claims of the user's own have their rows below the panels.
    fn height(&self) -> f64 {
        HEIGHT + (self.found.claims.len() - Reading::ALL.len()) as f64 * ROW
    }

    fn style(&self, claim: &Claim) -> Line {
        if let Some(reading) = Reading::named(&claim.name) {
            return style(reading);
        }
        let own = self.found.claims.iter().skip(Reading::ALL.len());
        let place = own.take_while(|c| c.name != claim.name).count();
        Line {
            color: (90, 60, 160),
            width: 2.2,
            dashes: OWN_DASHES[place % OWN_DASHES.len()],
        }
    }

    /// The claims whose bound can be drawn.
    fn bounds(&self) -> impl Iterator<Item = (&Claim, Bound)> {
        let f0 = self.found.loss0();
        self.found.claims.iter().filter_map(move |claim| {
            let applies = claim.bound(0, f0).is_some();
            let bound = Bound {
                start: f0.log10(),
                slope: (-claim.rate).ln_1p() * std::f64::consts::LOG10_E,
            };
            let finite = bound.start.is_finite() && bound.slope.is_finite();
            (applies && finite).then_some((claim, bound))
        })
    }

    /// f_t of the exact orbit from above, as far as it was enclosed and is shown.
    fn enclosed(&self) -> impl Iterator<Item = (f64, f64)> {
        let losses = self.found.orbit.iter().flat_map(|orbit| &orbit.losses);
        let shown = losses.take(self.horizon() + 1).enumerate();
        shown.map(|(t, ends)| (t as f64, ends[1].log10()))
    }

    /// Whether a certificate is about every step from M_0 on.
    fn is_from_start(&self) -> bool {
        self.found.claim(self.deciding).verdict == Verdict::Certified
    }

    /// The step T from which a rate is proven, and (1 - rate)^(t - T) f_T from there on.
    fn proven(&self) -> Option<(usize, Bound)> {
        let proven = self.found.proven.as_ref()?;
        let start = self.points().get(proven.t)?.loss.log10();
        let slope = (-proven.proof.rate_lower()).ln_1p() * std::f64::consts::LOG10_E;
        let finite = start.is_finite() && slope.is_finite();
        finite.then_some((proven.t, Bound { start, slope }))
    }

    /// f_hull, where it stands in the way.
    fn hull(&self) -> Option<f64> {
        let hull = self.found.f_hull.filter(|h| *h > 0.0 && h.is_finite());
        self.found.obstruction.as_ref().and(hull)
    }

    fn loss_axis(&self) -> Axis {
        let start = self.found.loss0().log10();
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

    /// Draws the first panel; whether the rounding floor is on it.
    fn draw_loss<B: DrawingBackend>(&self, canvas: &mut Canvas<'_, B>) -> Result<bool> {
        let panel = self.panel(LOSS, self.loss_axis());
        let mut occupied = Occupied::new(Rect {
            left: LEFT + 5.0,
            top: LOSS.0 + 3.0,
            right: RIGHT - 5.0,
            bottom: LOSS.1 - 3.0,
        });
        let floor_seen = self.draw_floor(canvas, &panel)?;
        panel.draw_axes(canvas, false)?;

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
        for (claim, bound) in self.bounds() {
            let ends = [(0.0, bound.start), (end, bound.at(end))];
            for path in panel.paths(ends.into_iter()) {
                canvas.line(&path, self.style(claim))?;
                occupied.add_path(&path);
            }
        }
        if losses.is_empty() {
            let first = drawn_log(self.found.loss0());
            if panel.y.holds(first) {
                canvas.disc(panel.at(0.0, first), 3.5, BLACK)?;
            }
        }
        panel.draw_frame(canvas)?;
        self.annotate(canvas, &panel, &mut occupied)?;
        panel.draw_y_name(canvas, "loss fₜ and bounds (1 − ηβ)ᵗ f₀", 12.5, Y_NAMES)?;
        Ok(floor_seen)
    }

    /// Shades where the evaluation error forbids a comparison: below loss_error / FLOOR_SHARE.
    fn draw_floor<B: DrawingBackend>(
        &self,
        canvas: &mut Canvas<'_, B>,
        panel: &Panel,
    ) -> Result<bool> {
        let errors = self.points().iter().filter(|p| p.loss_error.is_finite());
        let level = |p: &Point| (p.t as f64, (p.loss_error / FLOOR_SHARE).log10());
        let paths = panel.paths(errors.map(level));
        let mut seen = false;
        for path in paths {
            let (Some(first), Some(last)) = (path.first(), path.last()) else {
                continue;
            };
            let mut outline = vec![(first.0, LOSS.1)];
            outline.extend(&path);
            outline.push((last.0, LOSS.1));
            canvas.fill(&outline, FLOOR)?;
            canvas.line(&path, Line::solid(FLOOR_EDGE, 0.8))?;
            seen = true;
        }
        Ok(seen)
    }

    /// First violations, divergence, a loss of 0, the hull bound.
    fn annotate<B: DrawingBackend>(
        &self,
        canvas: &mut Canvas<'_, B>,
        panel: &Panel,
        occupied: &mut Occupied,
    ) -> Result<()> {
        let mark = |point: &Point| {
            let (x, y) = panel.at(point.t as f64, drawn_log(point.loss));
            (x, y.clamp(LOSS.0, LOSS.1))
        };
        let mut notes: Vec<(Xy, Rgb, bool, String)> = Vec::new();
        for (point, claims) in self.first_violations() {
            let names: Vec<_> = claims.iter().map(|c| c.name.as_str()).collect();
            let text = format!(
                "{} {} at t = {}",
                names.join(", "),
                claims.first().map_or(Verdict::Violated, |c| c.verdict),
                step(point.t)
            );
            let color = claims.first().map_or(BLACK, |c| self.style(c).color);
            notes.push((mark(point), color, true, text));
        }
        if let Some(tail) = self.found.proven.as_ref().filter(|p| p.t > 0)
            && let Some(point) = self.points().get(tail.t)
        {
            let text = match self.is_from_start() {
                true => format!("proven for every t, from {} by Theorem A", step(tail.t)),
                false => format!("proven from t = {} on", step(tail.t)),
            };
            notes.push((mark(point), PROVEN_LINE.color, true, text));
        }
        if self.found.trajectory.end == End::Diverged {
            let last = self.found.last();
            let text = format!("diverged at t = {}", step(last.t));
            notes.push((mark(last), BLACK, true, text));
        }
        if let Some(zero) = self.points().iter().find(|p| p.loss == 0.0) {
            let text = format!("fₜ = 0 at t = {}", step(zero.t));
            notes.push((mark(zero), BLACK, true, text));
        }
        if let Some(hull) = self.hull() {
            let at = panel.at(0.7 * self.horizon() as f64, hull.log10());
            let text = format!("no loss below f_hull = {}", scientific(hull, 2));
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

    /// The points at which claims are first violated, with these claims.
    fn first_violations(&self) -> Vec<(&Point, Vec<&Claim>)> {
        let mut all: Vec<(&Point, Vec<&Claim>)> = Vec::new();
        for claim in &self.found.claims {
            let first = claim.first_violation.and_then(|t| self.points().get(t));
            let (true, Some(point)) = (claim.verdict.fails(), first) else {
                continue;
            };
            let same = |(p, claims): &&mut (&Point, Vec<&Claim>)| {
                p.t == point.t && claims.iter().all(|c| c.verdict == claim.verdict)
            };
            match all.iter_mut().find(same) {
                Some((_, claims)) => claims.push(claim),
                None => all.push((point, vec![claim])),
            }
        }
        all
    }

    fn draw_legend<B: DrawingBackend>(
        &self,
        canvas: &mut Canvas<'_, B>,
        floor_seen: bool,
    ) -> Result<()> {
        let measured = match self.found.measured_rates() {
            Some((whole, _)) if whole < 0.0 => (String::new(), "the loss grew".to_owned()),
            Some((whole, tail)) => (
                format!("measured {}", scientific(whole, 2)),
                format!("a step; over the last quarter {}", scientific(tail, 2)),
            ),
            None => (String::new(), "no rate could be measured".to_owned()),
        };
        legend_row(
            canvas,
            LEGEND,
            Some(LOSS_LINE),
            ["loss fₜ", &measured.0, &measured.1],
        )?;
        let readings = Reading::ALL.len();
        for (i, claim) in self.found.claims.iter().enumerate() {
            let drawn = self.bounds().any(|(c, _)| c.name == claim.name);
            let mut said = verdict_in_words(claim);
            if claim.name == self.deciding {
                said = format!("{said} (deciding)");
            }
            let rate = format!("ηβ = {}", scientific(claim.rate, 2));
            let line = drawn.then_some(self.style(claim));
            let y = match i.checked_sub(readings) {
                None => LEGEND + (i + 1) as f64 * ROW,
                Some(own) => HEIGHT - 8.0 + own as f64 * ROW,
            };
            legend_row(canvas, y, line, [&claim.name, &rate, &said])?;
        }
        let mut y = LEGEND + (readings + 1) as f64 * ROW;
        if let Some(proven) = &self.found.proven {
            let rate = format!("proven {}", scientific(proven.proof.rate_lower(), 2));
            let said = match proven.t {
                0 => "a step, for every t, by a certificate".to_owned(),
                t if self.is_from_start() => {
                    format!("a step from t = {}; before, the exact orbit", step(t))
                }
                t => format!("a step, for every t ≥ {}, by a certificate", step(t)),
            };
            legend_row(canvas, y, Some(PROVEN_LINE), ["certified", &rate, &said])?;
            y += ROW;
        } else if let Some(orbit) = &self.found.orbit {
            let said = format!("exact gradient descent, to t = {}", step(orbit.steps));
            legend_row(canvas, y, Some(PROVEN_LINE), ["enclosed", "", &said])?;
            y += ROW;
        }
        if floor_seen {
            canvas.fill_rect((LEFT, y - 9.0), (LEFT + 40.0, y + 1.0), FLOOR)?;
            let edge = [(LEFT, y - 9.0), (LEFT + 40.0, y - 9.0)];
            canvas.line(&edge, Line::solid(FLOOR_EDGE, 0.8))?;
            legend_row(
                canvas,
                y,
                None,
                ["rounding floor: nothing is compared there", "", ""],
            )?;
        } else {
            let off = "the rounding floor is below the axis";
            canvas.text(off, (LEFT + 48.0, y), SMALL, GREY, Align::Left)?;
        }
        Ok(())
    }

    fn draw_sigma<B: DrawingBackend>(&self, canvas: &mut Canvas<'_, B>) -> Result<()> {
        let start = self.found.spectrum.sigma_min_B0;
        let recorded: Vec<_> = self
            .points()
            .iter()
            .filter_map(|p| Some((p.t as f64, p.sigma_min_B? / start.value)))
            .filter(|(_, ratio)| ratio.is_finite())
            .collect();
        let known = start.lower() > 0.0 && !recorded.is_empty();
        let recorded = if known { recorded } else { Vec::new() };
        let (axis, log) = adapted_axis(recorded.iter().map(|r| r.1), 20.0, 0.024);
        let panel = self.panel(SIGMA, axis);
        panel.draw_axes(canvas, false)?;
        let shown = |y: f64| if log { y.log10() } else { y };
        let series: Vec<_> = recorded.iter().map(|&(t, y)| (t, shown(y))).collect();
        for path in panel.paths(series.iter().copied()) {
            canvas.line(&path, Line::solid(BLACK, 1.3))?;
        }
        for &(t, y) in &series {
            canvas.disc(panel.at(t, y), 2.2, BLACK)?;
        }
        panel.draw_frame(canvas)?;
        if !known {
            remark(canvas, SIGMA, "σₘᵢₙ(B₀) is 0 or within its error of 0")?;
        }
        panel.draw_y_name(canvas, "σₘᵢₙ(Bₜ) / σₘᵢₙ(B₀)", SMALL, Y_NAMES)
    }

    fn draw_moved<B: DrawingBackend>(&self, canvas: &mut Canvas<'_, B>) -> Result<()> {
        let trained: Vec<usize> = (0..3).filter(|&b| self.found.trained.flags()[b]).collect();
        let moved = |b: usize| self.points().iter().map(move |p| (p.t as f64, p.moved[b]));
        let positive = |b: usize| moved(b).map(|p| p.1).filter(|y| *y > 0.0 && y.is_finite());
        let furthest = trained.iter().map(|&b| positive(b).fold(0.0, f64::max));
        let (least, most) = range(furthest.filter(|y| *y > 0.0));
        let obstruction = self.found.obstruction.as_ref();
        let zero_gradient = obstruction.is_some_and(|o| o.reason == Reason::ZeroGradient);
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
        let panel = self.panel(MOVED, axis);
        panel.draw_axes(canvas, true)?;
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
        label_ends(canvas, ends)?;
        if zero_gradient {
            remark(canvas, MOVED, "the gradient is exactly zero: nothing moves")?;
        } else if most <= 0.0 || most.is_nan() {
            remark(canvas, MOVED, "no trained block has moved")?;
        }
        panel.draw_y_name(canvas, "moved |Wₜ − W₀|", SMALL, Y_NAMES)
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

fn verdict_in_words(claim: &Claim) -> String {
    match (claim.verdict, claim.first_violation) {
        (Verdict::Certified, _) => "certified for every t".to_owned(),
        (Verdict::CertifiedTail, _) => "certified: checked, then proven".to_owned(),
        (Verdict::Held, _) => format!("held to t = {}", step(claim.checked_to)),
        (Verdict::Violated | Verdict::Refuted, Some(t)) => {
            format!("{} at t = {}", claim.verdict, step(t))
        }
        (Verdict::Violated | Verdict::Refuted, None) => claim.verdict.to_string(),
        (Verdict::Obstructed, _) => "obstructed: 0 is out of reach".to_owned(),
        (Verdict::Diverged, _) => "diverged".to_owned(),
        (Verdict::NotApplicable, _) if claim.rate >= 1.0 => {
            "not applicable: ηβ ≥ 1, no bound".to_owned()
        }
        (Verdict::NotApplicable, _) => format!("not applicable: {}", claim.reason),
    }
}

fn legend_row<B: DrawingBackend>(
    canvas: &mut Canvas<'_, B>,
    y: f64,
    line: Option<Line>,
    [name, rate, said]: [&str; 3],
) -> Result<()> {
    if let Some(line) = line {
        canvas.line(&[(LEFT, y - 4.0), (LEFT + 40.0, y - 4.0)], line)?;
    }
    let mut write = |text: &str, x: f64, until: f64| {
        canvas.text(
            &fitted(text, SMALL, until - x),
            (x, y),
            SMALL,
            BLACK,
            Align::Left,
        )
    };
    let name_ends = if rate.is_empty() { RIGHT } else { 203.0 };
    write(name, LEFT + 48.0, name_ends)?;
    write(rate, 206.0, 332.0)?;
    write(said, 336.0, WIDTH - 6.0)
}

/// A label in the freest place near a point, with a line to it if that is not at hand.
fn note<B: DrawingBackend>(
    canvas: &mut Canvas<'_, B>,
    occupied: &mut Occupied,
    at: Xy,
    text: &str,
) -> Result<()> {
    let size = 12.0;
    let rect = occupied.place(at, text_width(text, size) + 6.0, 17.0);
    let nearest = (
        at.0.clamp(rect.left, rect.right),
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
    canvas.text(
        text,
        (rect.left + 3.0, rect.top + 12.5),
        size,
        BLACK,
        Align::Left,
    )
}

/// Names at the right ends of curves, moved apart where they would overlap.
fn label_ends<B: DrawingBackend>(
    canvas: &mut Canvas<'_, B>,
    mut ends: Vec<(f64, &str, Line)>,
) -> Result<()> {
    let gap = 14.0;
    ends.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut lowest = f64::NEG_INFINITY;
    let mut placed: Vec<f64> = Vec::new();
    for end in &ends {
        lowest = end.0.max(lowest + gap);
        placed.push(lowest);
    }
    let over = (lowest - MOVED.1).max(0.0);
    for (y, (_, name, line)) in placed.into_iter().zip(ends) {
        let y = y - over;
        canvas.line(
            &[(RIGHT + 3.0, y), (RIGHT + 13.0, y)],
            Line::solid(line.color, 2.5),
        )?;
        canvas.text(name, (RIGHT + 16.0, y + 4.0), SMALL, BLACK, Align::Left)?;
    }
    Ok(())
}

fn remark<B: DrawingBackend>(
    canvas: &mut Canvas<'_, B>,
    (top, bottom): (f64, f64),
    text: &str,
) -> Result<()> {
    let at = (0.5 * (LEFT + RIGHT), 0.5 * (top + bottom) + 4.0);
    canvas.text(text, at, 12.0, GREY, Align::Center)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gdcert::descent::Steps;
    use gdcert::{Dims, Eta, Init, Instance, Kernel, Settings, Trained, deciding_reading, verify};
    use std::ops::ControlFlow;

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
        verify(&instance, settings, &mut |_| ControlFlow::Continue(())).unwrap()
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
                let x = attribute(tag, "x").unwrap() / f64::from(super::super::UNITS);
                let shown = rest.split('<').next().unwrap().trim();
                if tag.contains("rotate") {
                    names.push(x);
                } else if tag.contains("\"end\"") && x < LEFT {
                    labels.push((x - text_width(shown, SMALL), shown));
                }
            }
            assert_eq!(names.len(), 3, "{svg}");
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
        assert_well_formed(&figure.svg);
        assert!(figure.svg.len() < 150_000, "{}", figure.svg.len());
        assert!(!figure.svg.contains("NaN") && !figure.svg.contains("inf"));
        let decoder = png::Decoder::new(&figure.png[..]);
        let mut reader = decoder.read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!(
            (info.width, info.height),
            (3 * WIDTH as u32, 3 * HEIGHT as u32)
        );
        assert!(pixels.iter().any(|p| *p < 50), "an empty picture");
        figure.svg
    }

    #[test]
    fn the_figure_says_what_was_found() {
        let lazy = Init::Lazy { omega: 10.0 };
        let found = run(Kernel::Gaussian, lazy, 1, &Settings::default());
        let svg = draw(&found);
        for text in [
            "a &lt;title&gt; &amp; &quot;more&quot;",
            "gaussian kernel · trained QKV · N=1 n=3 D=6 d=3 H=2 p=1 · η = ",
            "loss fₜ",
            "stacked",
            "per_head",
            "(deciding)",
            "σₘᵢₙ(Bₜ) / σₘᵢₙ(B₀)",
            "moved |Wₜ − W₀|",
            "step t",
            "deciding reading per_head: held",
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
        assert!(svg.contains("no loss below f_hull") && svg.contains("nothing moves"));
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
