//! Drawing in points on any plotters backend: lines, dashes, text with the embedded font.

use super::{UNITS, cannot_draw, printable};
use crate::{Error, Result};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{
    FontDesc, FontError, FontFamily, FontStyle, FontTransform, register_font as register,
};
use plotters_backend::{
    BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend, DrawingErrorKind,
};
use std::sync::OnceLock;

/// The font, a TrueType file.
pub(crate) const FONT: &[u8] = include_bytes!("font/DejaVuSans-subset.ttf");
/// The family the font is registered under, and the first choice of an SVG viewer.
const FAMILY: &str = "DejaVu Sans";
/// What an SVG viewer looks for: Verdana has nearly the same widths.
const FAMILIES: &str = "DejaVu Sans, Verdana, sans-serif";
/// (ascent + descent) / em of the font: the backend's bitmap text is sized by this height.
const LINE: f64 = 2384.0 / 2048.0;

/// Makes the embedded font known to plotters, once.
pub(super) fn register_font() -> Result<()> {
    static REGISTERED: OnceLock<bool> = OnceLock::new();
    if *REGISTERED.get_or_init(|| register(FAMILY, FontStyle::Normal, FONT).is_ok()) {
        Ok(())
    } else {
        Err(Error::Numerical(
            "the embedded font cannot be read".to_owned(),
        ))
    }
}

/// A point of the figure, in points from the upper left corner.
pub(super) type Xy = (f64, f64);

/// A colour as red, green, blue.
pub(super) type Rgb = (u8, u8, u8);

/// How a line is drawn; lengths in points.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    pub color: Rgb,
    pub width: f64,
    /// Lengths of stroke and gap in turn; empty for a solid line.
    pub dashes: &'static [f64],
}

impl Line {
    pub fn solid(color: Rgb, width: f64) -> Self {
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

/// A backend seen in points.
pub(super) struct Canvas<'a, B: DrawingBackend> {
    backend: &'a mut B,
}

impl<'a, B: DrawingBackend> Canvas<'a, B> {
    pub fn new(backend: &'a mut B) -> Self {
        Canvas { backend }
    }

    /// A connected line through the points.
    pub fn line(&mut self, path: &[Xy], line: Line) -> Result<()> {
        let style = Stroke {
            color: line.color,
            width: (line.width * f64::from(UNITS)).round().max(1.0) as u32,
        };
        // On a curve this jagged dashes would neither be seen nor be cheap.
        let length = |p: &[Xy]| (p[1].0 - p[0].0).hypot(p[1].1 - p[0].1);
        let jagged = path.windows(2).map(length).sum::<f64>() > 2000.0;
        if line.dashes.is_empty() || jagged {
            return self.stroke(path, style);
        }
        for dash in dashes(path, line.dashes) {
            self.stroke(&dash, style)?;
        }
        Ok(())
    }

    fn stroke(&mut self, path: &[Xy], style: Stroke) -> Result<()> {
        let mut path: Vec<_> = path.iter().map(|&p| units(p)).collect();
        path.dedup();
        if path.len() < 2 {
            return Ok(());
        }
        self.backend.draw_path(path, &style).map_err(cannot_draw)
    }

    /// A filled polygon.
    pub fn fill(&mut self, outline: &[Xy], color: Rgb) -> Result<()> {
        if outline.len() < 3 {
            return Ok(());
        }
        let style = Stroke { color, width: 1 };
        self.backend
            .fill_polygon(outline.iter().map(|&p| units(p)), &style)
            .map_err(cannot_draw)
    }

    /// A filled rectangle between two corners.
    pub fn fill_rect(&mut self, a: Xy, b: Xy, color: Rgb) -> Result<()> {
        let style = Stroke { color, width: 1 };
        self.backend
            .draw_rect(units(a), units(b), &style, true)
            .map_err(cannot_draw)
    }

    /// A filled disc.
    pub fn disc(&mut self, centre: Xy, radius: f64, color: Rgb) -> Result<()> {
        let style = Stroke { color, width: 1 };
        let radius = (radius * f64::from(UNITS)).round() as u32;
        self.backend
            .draw_circle(units(centre), radius, &style, true)
            .map_err(cannot_draw)
    }

    /// One line of text.
    pub fn text(&mut self, text: &str, at: Xy, size: f64, color: Rgb, align: Align) -> Result<()> {
        let text = printable(text);
        if text.trim().is_empty() {
            return Ok(());
        }
        let label = Label { size, color, align };
        self.backend
            .draw_text(&text, &label, units(at))
            .map_err(cannot_draw)
    }
}

/// Width of a text in points.
pub(super) fn text_width(text: &str, size: f64) -> f64 {
    // Measured large: the font's own measure is in whole units.
    let large = 1000.0;
    let font = FontDesc::new(FontFamily::Name(FAMILY), large * LINE, FontStyle::Normal);
    let width = font.layout_box(&printable(text)).map_or(0, |(_, (w, _))| w);
    f64::from(width) * size / large
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

fn units((x, y): Xy) -> BackendCoord {
    // The cast saturates; far outside is cut by the backend.
    let unit = |v: f64| (v * f64::from(UNITS)).round().clamp(-1e6, 1e6) as i32;
    (unit(x), unit(y))
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

#[derive(Clone, Copy)]
struct Stroke {
    color: Rgb,
    width: u32,
}

impl BackendStyle for Stroke {
    fn color(&self) -> BackendColor {
        BackendColor {
            alpha: 1.0,
            rgb: self.color,
        }
    }
    fn stroke_width(&self) -> u32 {
        self.width
    }
}

/// Text whose baseline is where it is told to be, in bitmaps as in SVG. (plotters' own style places
/// the two up to a sixth of an em apart.)
struct Label {
    size: f64,
    color: Rgb,
    align: Align,
}

impl Label {
    fn em(&self) -> f64 {
        self.size * f64::from(UNITS)
    }
    fn font(&self) -> FontDesc<'static> {
        FontDesc::new(
            FontFamily::Name(FAMILY),
            self.em() * LINE,
            FontStyle::Normal,
        )
    }
}

impl BackendTextStyle for Label {
    type FontError = FontError;

    fn color(&self) -> BackendColor {
        BackendColor {
            alpha: 1.0,
            rgb: self.color,
        }
    }
    /// In SVG: 1.24 em.
    fn size(&self) -> f64 {
        (self.em() * 1.24 * 1e6).round() / 1e6
    }
    fn transform(&self) -> FontTransform {
        if self.align == Align::Upwards {
            FontTransform::Rotate270
        } else {
            FontTransform::None
        }
    }
    fn anchor(&self) -> Pos {
        let h_pos = match self.align {
            Align::Left => HPos::Left,
            Align::Center | Align::Upwards => HPos::Center,
            Align::Right => HPos::Right,
        };
        Pos::new(h_pos, VPos::Top)
    }
    fn family(&self) -> FontFamily<'_> {
        FontFamily::Name(FAMILIES)
    }
    fn layout_box(&self, text: &str) -> std::result::Result<((i32, i32), (i32, i32)), FontError> {
        self.font().layout_box(text)
    }
    /// In bitmaps: the backend puts the baseline half a line below the position.
    fn draw<E, F: FnMut(i32, i32, BackendColor) -> std::result::Result<(), E>>(
        &self,
        text: &str,
        (x, y): BackendCoord,
        mut draw: F,
    ) -> std::result::Result<std::result::Result<(), E>, FontError> {
        let up = (0.5 * self.em() * LINE).round() as i32;
        let color = self.color();
        self.font().draw(text, (x, y - up), |x, y, alpha| {
            draw(x, y, color.mix(f64::from(alpha)))
        })
    }
}

/// A bitmap backend that draws a thick path piece by piece with round joints, where the backend's
/// own way fills one polygon that goes wrong on jagged curves.
pub(super) struct RoundJoins<B>(pub B);

impl<B: DrawingBackend> DrawingBackend for RoundJoins<B> {
    type ErrorType = B::ErrorType;

    fn get_size(&self) -> (u32, u32) {
        self.0.get_size()
    }
    fn ensure_prepared(&mut self) -> Drawn<B> {
        self.0.ensure_prepared()
    }
    fn present(&mut self) -> Drawn<B> {
        self.0.present()
    }
    fn draw_pixel(&mut self, at: BackendCoord, color: BackendColor) -> Drawn<B> {
        self.0.draw_pixel(at, color)
    }
    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        path: I,
        style: &S,
    ) -> Drawn<B> {
        let path: Vec<_> = path.into_iter().collect();
        let half = 0.5 * f64::from(style.stroke_width());
        for (i, pair) in path.windows(2).enumerate() {
            if let Some(outline) = thick(pair[0], pair[1], half) {
                self.0.fill_polygon(outline, &style.color())?;
            }
            if i > 0 && half > 1.0 {
                self.0
                    .draw_circle(pair[0], (half - 0.5) as u32, &style.color(), true)?;
            }
        }
        Ok(())
    }
}

type Drawn<B> = std::result::Result<(), DrawingErrorKind<<B as DrawingBackend>::ErrorType>>;

/// The rectangle around a segment.
fn thick(a: BackendCoord, b: BackendCoord, half: f64) -> Option<[BackendCoord; 4]> {
    let (dx, dy) = (f64::from(b.0 - a.0), f64::from(b.1 - a.1));
    let length = dx.hypot(dy);
    if length == 0.0 {
        return None;
    }
    let (nx, ny) = (-dy / length * half, dx / length * half);
    let corner = |p: BackendCoord, s: f64| {
        let x = f64::from(p.0) + s * nx;
        let y = f64::from(p.1) + s * ny;
        (x.round() as i32, y.round() as i32)
    };
    Some([
        corner(a, 1.0),
        corner(b, 1.0),
        corner(b, -1.0),
        corner(a, -1.0),
    ])
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
    fn the_font_has_what_the_figures_write() {
        register_font().unwrap();
        let missing = text_width("\u{4e00}", 10.0);
        for c in "fₜ₀σₘᵢₙβη×⁻⁰¹²³⁴⁵⁶⁷⁸⁹−≤≥∞ω·…ᵗ".chars()
        {
            let width = text_width(&c.to_string(), 10.0);
            assert!(width > 0.0 && (width - missing).abs() > 1e-6, "{c}");
        }
    }

    #[test]
    fn long_text_is_cut() {
        register_font().unwrap();
        let shown = fitted(&"softmax ".repeat(40), 10.0, 100.0);
        assert!(shown.ends_with('…') && text_width(&shown, 10.0) <= 100.0);
        assert_eq!(fitted("short", 10.0, 100.0), "short");
    }
}
