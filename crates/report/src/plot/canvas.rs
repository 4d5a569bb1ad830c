//! One drawing, in points: lines, dashes, areas, text. What is drawn is kept, and written as SVG, PNG or PDF afterwards.

use super::font::{self, Face};
use super::math::{label_width, run_width, runs};
use super::printable;

/// A point of the figure, in points from the upper left corner.
pub(super) type Xy = (f64, f64);

/// A colour as red, green, blue.
pub(super) type Rgb = (u8, u8, u8);

/// How much of a veil's colour is seen.
pub(super) const VEIL: f64 = 0.25;

/// What was drawn, in order.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Mark {
    /// A connected line with round joins.
    Line {
        path: Vec<Xy>,
        color: Rgb,
        width: f64,
    },
    /// A filled polygon; what lies below shines through a veil.
    Area {
        outline: Vec<Xy>,
        color: Rgb,
        veil: bool,
    },
    /// A filled rectangle: upper left and lower right corner.
    Rect { corners: [Xy; 2], color: Rgb },
    /// A filled disc.
    Disc { centre: Xy, radius: f64, color: Rgb },
    /// Text that starts at a point of its baseline; upwards it is read from below.
    Text {
        text: String,
        at: Xy,
        size: f64,
        face: Face,
        color: Rgb,
        upwards: bool,
    },
}

/// How a line is drawn; lengths in points.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    pub color: Rgb,
    pub width: f64,
    /// Lengths of stroke and gap in turn; empty for a solid line.
    pub dashes: &'static [f64],
}

impl Line {
    pub(super) fn solid(color: Rgb, width: f64) -> Self {
        Line {
            color,
            width,
            dashes: &[],
        }
    }
}

/// Where a text stands with respect to its position, which is on its baseline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Center,
    Right,
    /// Centred, read from below.
    Upwards,
}

/// What is drawn on.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Canvas {
    pub marks: Vec<Mark>,
}

impl Canvas {
    /// A connected line through the points.
    pub(super) fn line(&mut self, path: &[Xy], line: Line) {
        // On a curve this jagged dashes would neither be seen nor be cheap.
        let length = |p: &[Xy]| (p[1].0 - p[0].0).hypot(p[1].1 - p[0].1);
        let jagged = path.windows(2).map(length).sum::<f64>() > 2000.0;
        if line.dashes.is_empty() || jagged {
            self.stroke(path, line);
            return;
        }
        for dash in dashes(path, line.dashes) {
            self.stroke(&dash, line);
        }
    }

    fn stroke(&mut self, path: &[Xy], line: Line) {
        let mut path: Vec<_> = path.iter().map(|&p| within(p)).collect();
        path.dedup();
        if path.len() > 1 {
            let Line { color, width, .. } = line;
            self.marks.push(Mark::Line { path, color, width });
        }
    }

    /// A filled polygon.
    pub(super) fn fill(&mut self, outline: &[Xy], color: Rgb) {
        if outline.len() > 2 {
            let outline = outline.iter().map(|&p| within(p)).collect();
            self.marks.push(Mark::Area {
                outline,
                color,
                veil: false,
            });
        }
    }

    /// A polygon in a colour that lets through what lies below.
    pub(super) fn veil(&mut self, outline: &[Xy], color: Rgb) {
        if outline.len() > 2 {
            let outline = outline.iter().map(|&p| within(p)).collect();
            self.marks.push(Mark::Area {
                outline,
                color,
                veil: true,
            });
        }
    }

    /// A filled rectangle between two corners.
    pub(super) fn fill_rect(&mut self, a: Xy, b: Xy, color: Rgb) {
        let (a, b) = (within(a), within(b));
        let corners = [(a.0.min(b.0), a.1.min(b.1)), (a.0.max(b.0), a.1.max(b.1))];
        self.marks.push(Mark::Rect { corners, color });
    }

    /// A filled disc.
    pub(super) fn disc(&mut self, centre: Xy, radius: f64, color: Rgb) {
        let centre = within(centre);
        self.marks.push(Mark::Disc {
            centre,
            radius,
            color,
        });
    }

    /// One line of text, as it is.
    pub(super) fn text(&mut self, text: &str, at: Xy, size: f64, color: Rgb, align: Align) {
        let text = printable(text);
        if text.trim().is_empty() {
            return;
        }
        let start = start(at, text_width(&text, size), align);
        self.mark_text(text, start, size, Face::Upright, color, align);
    }

    /// One line of text with formulas between dollar signs.
    pub(super) fn label(&mut self, label: &str, at: Xy, size: f64, color: Rgb, align: Align) {
        let mut along = 0.0;
        let (x, y) = start(at, label_width(label, size), align);
        for run in runs(label) {
            let lift = run.lift * size;
            let at = match align {
                Align::Upwards => (x - lift, y - along),
                _ => (x + along, y - lift),
            };
            along += run_width(&run, size);
            if !run.text.trim().is_empty() {
                let text = printable(&run.text);
                self.mark_text(text, at, run.size * size, run.face, color, align);
            }
        }
    }

    fn mark_text(&mut self, text: String, at: Xy, size: f64, face: Face, color: Rgb, align: Align) {
        // A viewer of SVG leaves out spaces at the ends.
        let shown = text.trim_start();
        let blank = font::width(&text[..text.len() - shown.len()], size, face);
        let at = match align {
            Align::Upwards => (at.0, at.1 - blank),
            _ => (at.0 + blank, at.1),
        };
        self.marks.push(Mark::Text {
            text: shown.trim_end().to_owned(),
            at: within(at),
            size,
            face,
            color,
            upwards: align == Align::Upwards,
        });
    }
}

/// Where a text of this width starts.
fn start((x, y): Xy, width: f64, align: Align) -> Xy {
    match align {
        Align::Left => (x, y),
        Align::Center => (x - 0.5 * width, y),
        Align::Right => (x - width, y),
        Align::Upwards => (x, y + 0.5 * width),
    }
}

/// Width of a text in points.
pub(super) fn text_width(text: &str, size: f64) -> f64 {
    font::width(&printable(text), size, Face::Upright)
}

/// The text, cut with an ellipsis if it is wider than `width`.
pub(super) fn fitted(text: &str, size: f64, width: f64) -> String {
    if text_width(text, size) <= width {
        return text.to_owned();
    }
    let mut cut: Vec<char> = text.chars().collect();
    loop {
        let shown: String = cut.iter().collect::<String>().trim_end().to_owned() + "…";
        if cut.pop().is_none() || text_width(&shown, size) <= width {
            return shown;
        }
    }
}

/// What is far outside stays there, and no number is lost.
fn within((x, y): Xy) -> Xy {
    let near = |v: f64| if v.is_nan() { -1e5 } else { v.clamp(-1e5, 1e5) };
    (near(x), near(y))
}

/// Cuts a path into its dashes.
fn dashes(path: &[Xy], pattern: &[f64]) -> Vec<Vec<Xy>> {
    let mut all = Vec::new();
    let mut dash: Vec<Xy> = path.first().copied().into_iter().collect();
    let (mut index, mut left) = (0, pattern[0]);
    for pair in path.windows(2) {
        let (mut from, to) = (pair[0], pair[1]);
        loop {
            let length = (to.0 - from.0).hypot(to.1 - from.1);
            let on = index % 2 == 0;
            if length <= left {
                left -= length;
                if on {
                    dash.push(to);
                }
                break;
            }
            let share = left / length;
            from = (
                from.0 + share * (to.0 - from.0),
                from.1 + share * (to.1 - from.1),
            );
            if on {
                dash.push(from);
                all.push(std::mem::take(&mut dash));
            } else {
                dash = vec![from];
            }
            index = (index + 1) % pattern.len();
            left = pattern[index];
        }
    }
    if dash.len() > 1 {
        all.push(dash);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_have_the_lengths_of_the_pattern() {
        let path = [(0.0, 0.0), (6.0, 0.0), (6.0, 10.0)];
        let cut = dashes(&path, &[8.0, 2.0]);
        assert_eq!(cut.len(), 2);
        assert_eq!(cut[0], [(0.0, 0.0), (6.0, 0.0), (6.0, 2.0)]);
        assert_eq!(cut[1], [(6.0, 4.0), (6.0, 10.0)]);
        assert!(dashes(&[], &[1.0, 1.0]).is_empty());
    }

    #[test]
    fn long_text_is_cut() {
        let shown = fitted(&"softmax ".repeat(40), 10.0, 100.0);
        assert!(shown.ends_with('…') && text_width(&shown, 10.0) <= 100.0);
        assert_eq!(fitted("short", 10.0, 100.0), "short");
    }
}
