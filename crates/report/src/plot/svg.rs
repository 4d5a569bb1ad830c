//! A figure as an SVG document, by plotters' SVG backend. Text stays text.

use super::canvas::{Mark, Rgb, VEIL, Xy};
use super::font::{FAMILIES, Face};
use super::{Figure, Frame, cannot_draw};
use crate::Result;
use base64::Engine;
use plotters::prelude::SVGBackend;
use plotters_backend::text_anchor::{HPos, Pos, VPos};
use plotters_backend::{
    BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend, FontFamily,
    FontStyle, FontTransform,
};
use std::convert::Infallible;

/// Units of the backend to one point of the figure. It takes whole units only.
const UNITS: u32 = 10;

/// The document; with its fonts in it if `embed`.
pub(super) fn write(figure: &Figure, embed: bool) -> Result<String> {
    let units = (
        units_of(figure.width) as u32,
        units_of(figure.height) as u32,
    );
    let mut svg = String::new();
    {
        let mut backend = SVGBackend::with_string(&mut svg, units);
        for mark in &figure.canvas.marks {
            draw(&mut backend, mark)?;
        }
        backend.present().map_err(cannot_draw)?;
    }
    Ok(finish(&svg, units, figure, embed))
}

fn draw(backend: &mut SVGBackend, mark: &Mark) -> Result<()> {
    match mark {
        Mark::Line { path, color, width } => {
            let mut path: Vec<_> = path.iter().map(|&p| units(p)).collect();
            path.dedup();
            if path.len() < 2 {
                return Ok(());
            }
            let width = units_of(*width).max(1) as u32;
            let style = Pen {
                color: *color,
                width,
            };
            backend.draw_path(path, &style).map_err(cannot_draw)
        }
        Mark::Area {
            outline,
            color,
            veil,
        } => {
            let alpha = if *veil { VEIL } else { 1.0 };
            let color = BackendColor { alpha, rgb: *color };
            backend
                .fill_polygon(outline.iter().map(|&p| units(p)), &color)
                .map_err(cannot_draw)
        }
        Mark::Rect {
            corners: [a, b],
            color,
        } => backend
            .draw_rect(units(*a), units(*b), &pen(*color), true)
            .map_err(cannot_draw),
        Mark::Disc {
            centre,
            radius,
            color,
        } => backend
            .draw_circle(units(*centre), units_of(*radius) as u32, &pen(*color), true)
            .map_err(cannot_draw),
        Mark::Text {
            text,
            at,
            size,
            face,
            color,
            upwards,
        } => {
            let style = Lettering {
                size: *size,
                face: *face,
                color: *color,
                upwards: *upwards,
            };
            backend
                .draw_text(text, &style, units(*at))
                .map_err(cannot_draw)
        }
    }
}

fn units_of(points: f64) -> i32 {
    // The cast saturates.
    (points * f64::from(UNITS)).round() as i32
}

fn units((x, y): Xy) -> BackendCoord {
    (units_of(x), units_of(y))
}

/// Gives the document its size in points (the backend knows units only), round joins, a title and, if wanted, its fonts;
/// takes away the shift of text that is placed by its baseline.
fn finish(svg: &str, (w, h): (u32, u32), figure: &Figure, embed: bool) -> String {
    let head = format!("<svg width=\"{w}\" height=\"{h}\"");
    let size = |points: f64| {
        let size = format!("{:.3}", points * figure.unit);
        let size = size.trim_end_matches('0').trim_end_matches('.').to_owned();
        // Of a screen's figure, points are pixels.
        if figure.unit == 1.0 {
            size
        } else {
            size + "pt"
        }
    };
    let mut finished = svg.replacen(
        &head,
        &format!(
            "<svg width=\"{}\" height=\"{}\" role=\"img\" stroke-linejoin=\"round\"{}",
            size(figure.width),
            size(figure.height),
            figure.frame.map_or(String::new(), frame),
        ),
        1,
    );
    finished = finished.replace(" dy=\"0.76em\"", "");
    if let Some(end) = finished.find(">\n") {
        let escaped = figure
            .description
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;");
        let style = if embed { fonts(svg) } else { String::new() };
        finished.insert_str(end + 2, &format!("<title>{escaped}</title>\n{style}"));
    }
    finished
}

/// Tells a page where the first panel is, and which steps it shows.
fn frame(frame: Frame) -> String {
    let Frame {
        left,
        right,
        top,
        bottom,
        first,
        last,
    } = frame;
    format!(" data-frame=\"{left:.4} {right:.4} {top:.4} {bottom:.4} {first} {last}\"")
}

/// A style sheet with the fonts that a document uses.
pub(crate) fn fonts(svg: &str) -> String {
    let mut rules = String::new();
    for (face, style) in [(Face::Upright, "normal"), (Face::Slanted, "italic")] {
        if face == Face::Slanted && !svg.contains("font-style=\"italic\"") {
            continue;
        }
        rules += &format!(
            "@font-face{{font-family:\"DejaVu Sans\";font-style:{style};src:url(data:font/ttf;base64,{})}}",
            base64::engine::general_purpose::STANDARD.encode(face.file())
        );
    }
    format!("<style>{rules}</style>\n")
}

fn pen(color: Rgb) -> Pen {
    Pen { color, width: 1 }
}

fn backend_color(rgb: Rgb) -> BackendColor {
    BackendColor { alpha: 1.0, rgb }
}

#[derive(Clone, Copy)]
struct Pen {
    color: Rgb,
    width: u32,
}

impl BackendStyle for Pen {
    fn color(&self) -> BackendColor {
        backend_color(self.color)
    }
    fn stroke_width(&self) -> u32 {
        self.width
    }
}

struct Lettering {
    size: f64,
    face: Face,
    color: Rgb,
    upwards: bool,
}

impl BackendTextStyle for Lettering {
    type FontError = Infallible;

    fn color(&self) -> BackendColor {
        backend_color(self.color)
    }
    /// The backend writes a font size of 1 / 1.24 of this.
    fn size(&self) -> f64 {
        (self.size * f64::from(UNITS) * 1.24 * 1e6).round() / 1e6
    }
    fn transform(&self) -> FontTransform {
        match self.upwards {
            true => FontTransform::Rotate270,
            false => FontTransform::None,
        }
    }
    fn style(&self) -> FontStyle {
        match self.face {
            Face::Upright => FontStyle::Normal,
            Face::Slanted => FontStyle::Italic,
        }
    }
    fn anchor(&self) -> Pos {
        Pos::new(HPos::Left, VPos::Top)
    }
    fn family(&self) -> FontFamily<'_> {
        FontFamily::Name(FAMILIES)
    }
    // The SVG backend asks for neither of these: a viewer sets the text.
    fn layout_box(
        &self,
        _: &str,
    ) -> std::result::Result<((i32, i32), (i32, i32)), Self::FontError> {
        Ok(((0, 0), (0, 0)))
    }
    fn draw<E, F: FnMut(i32, i32, BackendColor) -> std::result::Result<(), E>>(
        &self,
        _: &str,
        _: BackendCoord,
        _: F,
    ) -> std::result::Result<std::result::Result<(), E>, Self::FontError> {
        Ok(Ok(()))
    }
}
