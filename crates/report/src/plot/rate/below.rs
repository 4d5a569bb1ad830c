//! The panels below: sigma_min(B_t), and how far the weights have moved.

use super::loss::{LOSS_LINE, OWN, drawn_log, own_line};
use super::{NAME, RateVsBound, range};
use crate::plot::axis::Axis;
use crate::plot::canvas::{Align, Canvas, Line, fitted};
use crate::plot::panel::{BLACK, GREY, Panel, SMALL};
use crate::plot::place::Rect;
use crate::plot::printable;

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
impl RateVsBound<'_> {
    pub(super) fn draw_sigma(&self, canvas: &mut Canvas, edges: (f64, f64), last: bool) {
        let recorded: Vec<_> = self
            .points()
            .iter()
            .filter_map(|p| Some((p.t as f64, p.sigma?)))
            .filter(|(_, ratio)| ratio.is_finite())
            .collect();
        let (axis, log) = adapted_axis(recorded.iter().map(|r| r.1), 20.0, 0.024);
        let panel = self.panel(edges, axis);
        panel.draw_axes(canvas, last);
        let shown = |y: f64| if log { y.log10() } else { y };
        let series: Vec<_> = recorded.iter().map(|&(t, y)| (t, shown(y))).collect();
        for path in panel.paths(series.iter().copied()) {
            canvas.line(&path, Line::solid(BLACK, 1.3));
        }
        for &(t, y) in &series {
            canvas.disc(panel.at(t, y), 2.2, BLACK);
        }
        panel.draw_frame(canvas);
        if recorded.is_empty() {
            remark(
                canvas,
                &panel,
                "$σ_{min}(B_0)$ is 0 or within its error of 0",
            );
        }
        self.y_name(
            canvas,
            &panel,
            &["$σ_{min}(B_t)$ / $σ_{min}(B_0)$", "$σ_{min}$ ratio"],
        )
    }

    /// The line of a trained block.
    pub(super) fn block(&self, b: usize) -> Line {
        let name = &self.story.blocks[b];
        let known = BLOCKS
            .iter()
            .find(|(own, _)| self.story.has_sigma && own == name);
        let others = BLOCKS.iter().map(|(_, line)| *line);
        let mut others = others.chain(OWN.map(own_line)).cycle();
        let nth = || others.nth(b).unwrap_or(LOSS_LINE);
        known.map_or_else(nth, |(_, line)| *line)
    }

    pub(super) fn draw_moved(&self, canvas: &mut Canvas, edges: (f64, f64), last: bool) {
        let trained: Vec<usize> = (0..self.story.blocks.len()).collect();
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
        panel.draw_axes(canvas, last);
        let mut ends = Vec::new();
        for &b in &trained {
            let (name, line) = (self.story.blocks[b].as_str(), self.block(b));
            let shown = move |y: f64| if log { drawn_log(y) } else { y };
            let paths = panel.paths(moved(b).map(|(t, y)| (t, shown(y))));
            for path in &paths {
                canvas.line(path, line);
            }
            if let Some(end) = paths.last().and_then(|p| p.last()) {
                ends.push((end.1, name, line));
            }
        }
        panel.draw_frame(canvas);
        label_ends(canvas, &panel.frame, ends);
        if zero_gradient {
            remark(
                canvas,
                &panel,
                "the gradient is exactly zero: nothing moves",
            );
        } else if most <= 0.0 || most.is_nan() {
            remark(canvas, &panel, "no trained block has moved");
        }
        self.y_name(
            canvas,
            &panel,
            match self.story.has_sigma {
                true => &["moved $|W_t − W_0|$", "$|W_t − W_0|$", "moved"],
                false => &["moved $|M_t − M_0|$", "$|M_t − M_0|$", "moved"],
            },
        )
    }
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
/// Names at the right ends of curves, moved apart where they would overlap.
fn label_ends(canvas: &mut Canvas, frame: &Rect, mut ends: Vec<(f64, &str, Line)>) {
    let gap = 14.0;
    ends.sort_by(|a, b| a.0.total_cmp(&b.0));
    // Of more than there is room for, those that moved furthest have names.
    ends.truncate(1 + ((frame.bottom - frame.top) / gap) as usize);
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
        canvas.line(&[(x + 3.0, y), (x + 12.0, y)], Line::solid(line.color, 2.5));
        let name = fitted(&printable(name), SMALL, NAME);
        canvas.text(&name, (x + 15.0, y + 4.0), SMALL, BLACK, Align::Left);
    }
}

fn remark(canvas: &mut Canvas, panel: &Panel, label: &str) {
    let Rect {
        left,
        top,
        right,
        bottom,
    } = panel.frame;
    let at = (0.5 * (left + right), 0.5 * (top + bottom) + 4.0);
    canvas.label(label, at, SMALL, GREY, Align::Center)
}
