//! `rate-vs-bound` of a model of the user's own: the loss against every bound, and how far the blocks moved.

use super::axis::Axis;
use super::canvas::{Align, Canvas, Line, Rgb, fitted};
use super::look::Look;
use super::number::{grouped, scientific};
use super::panel::{BLACK, GREY, Panel, SMALL, TITLE};
use super::place::Rect;
use super::{Drawing, Figure, reading_style, render};
use crate::Result;
use gdcert::graph::{Graph, Verification};
use gdcert::spectrum::Reading;
use gdcert::verdict::Claim;

const WIDTH: f64 = 640.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 608.0;
const MARGIN: f64 = 16.0;
const Y_NAMES: f64 = 22.0;
const LEGEND: f64 = 65.0;
const ROW: f64 = 17.0;
/// Heights of the panels, and what is between and below them.
const LOSS: f64 = 270.0;
const MOVED: f64 = 130.0;
const GAP: f64 = 16.0;
const BELOW: f64 = 58.0;

const LOSS_LINE: Line = Line {
    color: BLACK,
    width: 1.7,
    dashes: &[],
};
const PROVEN_LINE: Line = Line {
    color: (86, 180, 233),
    width: 5.5,
    dashes: &[],
};

/// Okabe and Ito's colours with dashes, for claims of the user's own and for blocks.
const STYLES: [(Rgb, &[f64]); 6] = [
    ((213, 94, 0), &[11.0, 4.0]),
    ((0, 114, 178), &[6.0, 3.0]),
    ((0, 158, 115), &[9.0, 3.0, 2.0, 3.0]),
    ((230, 159, 0), &[1.5, 3.0]),
    ((90, 60, 160), &[14.0, 4.0]),
    ((120, 120, 120), &[4.0, 2.0]),
];

fn nth_style(place: usize) -> Line {
    let (color, dashes) = STYLES[place % STYLES.len()];
    Line {
        color,
        width: 2.0,
        dashes,
    }
}

/// The figure of a model's verification.
///
/// # Errors
/// None is expected; a backend that fails.
pub fn model_rate_vs_bound(
    graph: &Graph,
    found: &Verification,
    title: &str,
    deciding: &str,
) -> Result<Figure> {
    let drawing = ModelRate {
        graph,
        found,
        title,
        deciding,
    };
    render(&drawing, &Look::screen())
}

struct ModelRate<'a> {
    graph: &'a Graph,
    found: &'a Verification,
    title: &'a str,
    deciding: &'a str,
}

impl Drawing for ModelRate<'_> {
    fn size(&self) -> (f64, f64) {
        let moved = self.loss_top() + LOSS + GAP;
        (WIDTH, moved + MOVED + BELOW)
    }

    fn description(&self) -> String {
        super::printable(&format!(
            "Loss of gradient descent against its bounds: {}, {}",
            self.title,
            self.setting()
        ))
    }

    fn draw(&self, canvas: &mut Canvas) -> Result<()> {
        let height = self.size().1;
        canvas.fill_rect((0.0, 0.0), (WIDTH, height), (255, 255, 255))?;
        let width = WIDTH - 2.0 * MARGIN;
        let title = fitted(&super::printable(self.title), TITLE, width);
        canvas.text(&title, (MARGIN, 25.0), TITLE, BLACK, Align::Left)?;
        let setting = fitted(&self.setting(), SMALL, width);
        canvas.text(&setting, (MARGIN, 44.0), SMALL, BLACK, Align::Left)?;
        self.draw_legend(canvas)?;
        self.draw_loss(canvas)?;
        self.draw_moved(canvas)?;
        let version = concat!("gdcert ", env!("CARGO_PKG_VERSION"));
        canvas.text(version, (RIGHT, height - 8.0), SMALL, GREY, Align::Right)
    }
}

impl ModelRate<'_> {
    fn setting(&self) -> String {
        format!(
            "m = {} residuals · P = {} parameters · η = {} · {} steps",
            self.graph.m(),
            self.graph.P(),
            scientific(self.found.trajectory.eta, 3),
            step(self.found.last().t)
        )
    }

    fn loss_top(&self) -> f64 {
        LEGEND + (self.found.claims.len() + 2) as f64 * ROW
    }

    fn style(&self, claim: &Claim) -> Line {
        match Reading::named(&claim.name) {
            Some(reading) => reading_style(reading),
            None => {
                let before = self
                    .found
                    .claims
                    .iter()
                    .take_while(|c| c.name != claim.name);
                nth_style(before.count())
            }
        }
    }

    fn panel(&self, top: f64, height: f64, y: Axis) -> Panel {
        Panel {
            frame: Rect {
                left: LEFT,
                top,
                right: RIGHT,
                bottom: top + height,
            },
            x: Axis::linear(0.0, self.found.last().t.max(1) as f64, 1.0),
            y,
        }
    }

    fn draw_legend(&self, canvas: &mut Canvas) -> Result<()> {
        let mut y = LEGEND;
        let mut row = |line: Option<Line>, texts: [&str; 3]| -> Result<()> {
            if let Some(line) = line {
                canvas.line(&[(LEFT, y - 4.0), (LEFT + 40.0, y - 4.0)], line)?;
            }
            for (text, (x, until)) in
                texts
                    .iter()
                    .zip([(LEFT + 48.0, 203.0), (206.0, 332.0), (336.0, WIDTH - 6.0)])
            {
                let text = fitted(text, SMALL, until - x);
                canvas.text(&text, (x, y), SMALL, BLACK, Align::Left)?;
            }
            y += ROW;
            Ok(())
        };
        let measured = self.found.trajectory.measured_rates();
        let measured = measured.map_or(String::new(), |(whole, _)| {
            format!("measured {}", scientific(whole, 2))
        });
        row(Some(LOSS_LINE), ["loss fₜ", &measured, "a step"])?;
        for claim in &self.found.claims {
            let drawn = claim.bound(0, self.found.loss0()).is_some();
            let mut said = claim.verdict.to_string();
            if let Some(t) = claim.first_violation.filter(|_| claim.verdict.fails()) {
                said += &format!(" at t = {}", step(t));
            }
            if claim.name == self.deciding {
                said += " (deciding)";
            }
            let rate = format!("ηβ = {}", scientific(claim.rate, 2));
            row(
                drawn.then(|| self.style(claim)),
                [&claim.name, &rate, &said],
            )?;
        }
        if let Some(proven) = &self.found.proven {
            let rate = format!("proven {}", scientific(proven.proof.rate_lower(), 2));
            let said = format!("a step, from t = {} on", step(proven.t));
            row(Some(PROVEN_LINE), ["certified", &rate, &said])?;
        }
        Ok(())
    }

    fn draw_loss(&self, canvas: &mut Canvas) -> Result<()> {
        let points = &self.found.trajectory.points;
        let last = self.found.last().t;
        let finite = |y: &f64| y.is_finite();
        let start = self.found.loss0().log10();
        let losses = || points.iter().map(|p| p.loss.log10()).filter(finite);
        let high = losses().fold(start, f64::max).min(start + 8.0);
        let low = losses().fold(start, f64::min);
        let least = low - (0.4 * (high - low)).max(1.5);
        // (1 - rate)^s from a loss on, in decades.
        let decades = |rate: f64, s: usize| (-rate).ln_1p() * std::f64::consts::LOG10_E * s as f64;
        let drawn = || {
            let all = self.found.claims.iter();
            all.filter(|claim| claim.bound(0, self.found.loss0()).is_some())
        };
        let ends = drawn().map(|claim| (start + decades(claim.rate, last)).max(least));
        let low = ends.filter(finite).fold(low, f64::min);
        let panel = self.panel(self.loss_top(), LOSS, Axis::log(low, high));
        panel.draw_axes(canvas, false)?;
        let curve = |canvas: &mut Canvas, line: Line, series: Vec<(f64, f64)>| -> Result<()> {
            for path in panel.paths(series.into_iter()) {
                canvas.line(&path, line)?;
            }
            Ok(())
        };
        if let Some(proven) = &self.found.proven
            && let Some(point) = points.get(proven.t)
        {
            let (from, end) = (point.loss.log10(), last - proven.t);
            let to = from + decades(proven.proof.rate_lower(), end);
            curve(
                canvas,
                PROVEN_LINE,
                vec![(proven.t as f64, from), (last as f64, to)],
            )?;
        }
        let series = points.iter().map(|p| (p.t as f64, p.loss.log10()));
        curve(canvas, LOSS_LINE, series.collect())?;
        for claim in drawn() {
            let to = start + decades(claim.rate, last);
            curve(
                canvas,
                self.style(claim),
                vec![(0.0, start), (last as f64, to)],
            )?;
        }
        panel.draw_frame(canvas)?;
        panel.draw_y_name(canvas, "loss and bounds", SMALL, Y_NAMES)
    }

    fn draw_moved(&self, canvas: &mut Canvas) -> Result<()> {
        let points = &self.found.trajectory.points;
        let all = points.iter().flat_map(|p| &p.moved).map(|x| x.log10());
        let all = all.filter(|y| y.is_finite());
        let (low, high) = all.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), y| {
            (low.min(y), high.max(y))
        });
        let (low, high) = if low.is_finite() {
            (low, high)
        } else {
            (0.0, 1.0)
        };
        let top = self.loss_top() + LOSS + GAP;
        let panel = self.panel(top, MOVED, Axis::log(low, high));
        panel.draw_axes(canvas, true)?;
        let mut x = LEFT;
        for (b, block) in self.graph.blocks().iter().enumerate() {
            let line = nth_style(b);
            let series = points.iter().map(|p| (p.t as f64, p.moved[b].log10()));
            for path in panel.paths(series) {
                canvas.line(&path, line)?;
            }
            // Their names below, as many as fit.
            let y = top + MOVED + 48.0;
            let name = super::printable(&block.name);
            let room = RIGHT - 80.0 - x;
            if room > 60.0 {
                canvas.line(&[(x, y - 4.0), (x + 22.0, y - 4.0)], line)?;
                let name = fitted(&name, SMALL, 90.0);
                canvas.text(&name, (x + 26.0, y), SMALL, BLACK, Align::Left)?;
                x += 36.0 + super::canvas::text_width(&name, 10.5);
            }
        }
        panel.draw_frame(canvas)?;
        panel.draw_y_name(canvas, "moved |Mₜ − M₀|", SMALL, Y_NAMES)?;
        let at = (0.5 * (LEFT + RIGHT), top + MOVED + 33.0);
        canvas.text("step t", at, SMALL, BLACK, Align::Center)
    }
}

fn step(t: usize) -> String {
    grouped(&t.to_string())
}
