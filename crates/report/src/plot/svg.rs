//! A figure as an SVG document. Text stays text.

use super::canvas::{Mark, Rgb, VEIL};
use super::font::{FAMILIES, Face};
use super::{Figure, Frame};
use base64::Engine;

/// Units of the document to one point of the figure; its numbers are whole units.
const UNITS: f64 = 10.0;

/// The document; with its fonts in it if `embed`.
pub(super) fn write(figure: &Figure, embed: bool) -> String {
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
    let marks: String = figure.canvas.marks.iter().map(drawn).collect();
    format!(
        "<svg width=\"{}\" height=\"{}\" role=\"img\" stroke-linejoin=\"round\"{} viewBox=\"0 0 {} {}\" \
         xmlns=\"http://www.w3.org/2000/svg\">\n<title>{}</title>\n{}{marks}</svg>\n",
        size(figure.width),
        size(figure.height),
        figure.frame.map_or(String::new(), frame),
        units(figure.width),
        units(figure.height),
        escaped(&figure.description),
        if embed { fonts(&marks) } else { String::new() },
    )
}

/// One element. An area that is not a veil hides what lies below.
fn drawn(mark: &Mark) -> String {
    match mark {
        Mark::Line { path, color, width } => {
            let mut path: Vec<_> = path.iter().map(|p| (units(p.0), units(p.1))).collect();
            path.dedup();
            if path.len() < 2 {
                return String::new();
            }
            format!(
                "<polyline fill=\"none\" opacity=\"1\" stroke=\"{}\" stroke-width=\"{}\" points=\"{}\"/>\n",
                hex(*color),
                units(*width).max(1),
                points(path)
            )
        }
        Mark::Area {
            outline,
            color,
            veil,
        } => format!(
            "<polygon opacity=\"{}\" fill=\"{}\" points=\"{}\"/>\n",
            if *veil { VEIL } else { 1.0 },
            hex(*color),
            points(outline.iter().map(|p| (units(p.0), units(p.1))))
        ),
        Mark::Rect {
            corners: [a, b],
            color,
        } => {
            let (x, y) = (units(a.0), units(a.1));
            format!(
                "<rect x=\"{x}\" y=\"{y}\" width=\"{}\" height=\"{}\" opacity=\"1\" fill=\"{}\" stroke=\"none\"/>\n",
                units(b.0) - x,
                units(b.1) - y,
                hex(*color)
            )
        }
        Mark::Disc {
            centre: (x, y),
            radius,
            color,
        } => format!(
            "<circle cx=\"{}\" cy=\"{}\" r=\"{}\" opacity=\"1\" fill=\"{}\" stroke=\"none\" stroke-width=\"1\"/>\n",
            units(*x),
            units(*y),
            units(*radius),
            hex(*color)
        ),
        Mark::Text {
            text,
            at,
            size,
            face,
            color,
            upwards,
        } => {
            let (x, y) = (units(at.0), units(at.1));
            let style = match face {
                Face::Upright => "",
                Face::Slanted => " font-style=\"italic\"",
            };
            let turned = match upwards {
                true => format!(" transform=\"rotate(270, {x}, {y})\""),
                false => String::new(),
            };
            format!(
                "<text x=\"{x}\" y=\"{y}\" text-anchor=\"start\" font-family=\"{FAMILIES}\" font-size=\"{}\" \
                 opacity=\"1\" fill=\"{}\"{style}{turned}>\n{}\n</text>\n",
                (size * UNITS * 1e3).round() / 1e3,
                hex(*color),
                escaped(text)
            )
        }
    }
}

fn points(path: impl IntoIterator<Item = (i32, i32)>) -> String {
    path.into_iter().map(|(x, y)| format!("{x},{y} ")).collect()
}

fn units(points: f64) -> i32 {
    // The cast saturates.
    (points * UNITS).round() as i32
}

fn hex((r, g, b): Rgb) -> String {
    format!("#{r:02X}{g:02X}{b:02X}")
}

fn escaped(text: &str) -> String {
    let text = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    text.replace('"', "&quot;").replace('\'', "&apos;")
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
            base64::engine::general_purpose::STANDARD.encode(face.file_for(svg))
        );
    }
    format!("<style>{rules}</style>\n")
}
