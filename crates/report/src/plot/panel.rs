//! One panel: a frame with two axes, and curves cut at its edges.

use super::axis::{Axis, Tick};
use super::canvas::{Align, Canvas, Line, Rgb, Xy, text_width};
use super::place::Rect;
use super::thin::thin;

pub(super) const BLACK: Rgb = (0, 0, 0);
pub(super) const GREY: Rgb = (95, 95, 95);
const GRID: Rgb = (225, 225, 225);
/// Size of all text but titles, in points.
pub(super) const SMALL: f64 = 11.5;
/// Size of titles.
pub(super) const TITLE: f64 = 14.5;

/// From a frame to the labels of its y axis.
const LABELS: f64 = 8.0;
/// From labels to a name beside them: its descenders and some air.
const AIR: f64 = 9.0;

/// Where a name stands that is read from below, left of labels as wide as `widest` which end at `right`.
pub(super) fn beside_labels(right: f64, widest: f64, usual: f64) -> f64 {
    usual.min(right - widest - AIR)
}

/// A frame and its axes; x is linear and shared by the panels of a figure.
pub(super) struct Panel {
    pub frame: Rect,
    pub x: Axis,
    pub y: Axis,
}

impl Panel {
    /// Where a point of the axes is on the figure.
    pub(super) fn at(&self, x: f64, y: f64) -> Xy {
        let Rect {
            left,
            top,
            right,
            bottom,
        } = self.frame;
        // Far outside is outside: keeps the arithmetic of cutting in range.
        let y = self.y.at(y).clamp(-50.0, 50.0);
        (
            left + self.x.at(x) * (right - left),
            bottom - y * (bottom - top),
        )
    }

    fn y_ticks(&self) -> Vec<Tick> {
        let height = self.frame.bottom - self.frame.top;
        self.y.ticks((height / 26.0).clamp(3.0, 7.0) as usize)
    }

    /// The y axis' name, read from below: at `usual`, or further left where tick labels come near.
    pub(super) fn draw_y_name(&self, canvas: &mut Canvas, name: &str, size: f64, usual: f64) {
        let labels = self.y_ticks().into_iter().filter_map(|tick| tick.label);
        let widest = labels
            .map(|label| text_width(&label, SMALL))
            .fold(0.0, f64::max);
        let x = beside_labels(self.frame.left - LABELS, widest, usual);
        let middle = 0.5 * (self.frame.top + self.frame.bottom);
        canvas.label(name, (x, middle), size, BLACK, Align::Upwards)
    }

    /// Grid lines, frame ticks and labels; the steps' labels only if `with_x`.
    pub(super) fn draw_axes(&self, canvas: &mut Canvas, with_x: bool) {
        let Rect {
            left,
            top,
            right,
            bottom,
        } = self.frame;
        for Tick { at, label } in self.y_ticks() {
            let y = bottom - at * (bottom - top);
            let length = if label.is_some() { 5.0 } else { 3.0 };
            if let Some(label) = label {
                canvas.line(&[(left, y), (right, y)], Line::solid(GRID, 0.7));
                canvas.text(&label, (left - LABELS, y + 4.0), SMALL, BLACK, Align::Right);
            }
            canvas.line(&[(left - length, y), (left, y)], Line::solid(BLACK, 0.8));
        }
        let width = right - left;
        for Tick { at, label } in self.x.whole_ticks((width / 62.0).clamp(2.0, 6.0) as usize) {
            let x = left + at * (right - left);
            canvas.line(&[(x, top), (x, bottom)], Line::solid(GRID, 0.7));
            canvas.line(&[(x, bottom), (x, bottom + 5.0)], Line::solid(BLACK, 0.8));
            if let (Some(label), true) = (label, with_x) {
                canvas.text(&label, (x, bottom + 18.0), SMALL, BLACK, Align::Center);
            }
        }
    }

    /// The frame, drawn last so that curves end under it.
    pub(super) fn draw_frame(&self, canvas: &mut Canvas) {
        canvas.line(&self.frame.corners(), Line::solid(BLACK, 0.9))
    }

    /// A series in axis coordinates as paths on the figure: thinned, interrupted where y is not a
    /// number, cut at the frame.
    pub(super) fn paths(&self, series: impl Iterator<Item = (f64, f64)>) -> Vec<Vec<Xy>> {
        let per_point = (self.x.high() - self.x.low()) / (self.frame.right - self.frame.left);
        let mut paths: Vec<Vec<Xy>> = Vec::new();
        let mut open = false;
        let points = thin(series, 2.0 * per_point);
        for pair in points.windows(2) {
            if pair.iter().any(|p| p.1.is_nan()) {
                open = false;
                continue;
            }
            let (a, b) = (self.at(pair[0].0, pair[0].1), self.at(pair[1].0, pair[1].1));
            let Some((from, to)) = self.cut(a, b) else {
                open = false;
                continue;
            };
            match paths.last_mut() {
                Some(path) if open && from == a => path.push(to),
                _ => paths.push(vec![from, to]),
            }
            open = to == b;
        }
        paths
    }

    /// The part of a segment between the frame's upper and lower edge.
    fn cut(&self, a: Xy, b: Xy) -> Option<(Xy, Xy)> {
        let Rect { top, bottom, .. } = self.frame;
        let (mut s0, mut s1) = (0.0f64, 1.0f64);
        let dy = b.1 - a.1;
        if dy == 0.0 {
            return (top..=bottom).contains(&a.1).then_some((a, b));
        }
        let (mut enter, mut leave) = ((top - a.1) / dy, (bottom - a.1) / dy);
        if enter > leave {
            std::mem::swap(&mut enter, &mut leave);
        }
        s0 = s0.max(enter);
        s1 = s1.min(leave);
        let point = |s: f64| {
            if s == 0.0 {
                a
            } else if s == 1.0 {
                b
            } else {
                (a.0 + s * (b.0 - a.0), a.1 + s * dy)
            }
        };
        (s0 <= s1).then(|| (point(s0), point(s1)))
    }
}
