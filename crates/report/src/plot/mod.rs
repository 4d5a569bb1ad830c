//! Figures, as bytes in memory: SVG for the page and PNG for everything else, drawn by the same code.

mod axis;
mod canvas;
mod convexity;
mod curves;
mod landscape;
mod model;
mod number;
mod panel;
mod place;
mod png;
mod rate;
mod sweep;
mod thin;

pub use convexity::convexity;
pub use curves::{OverSeeds, over_seeds, training_curves};
pub use landscape::{Landscape, contours, reliefs};
pub use model::model_rate_vs_bound;
pub use rate::rate_vs_bound;
use rate::style as reading_style;
pub use sweep::{Named, sweep_figures};

use crate::{Error, Result};
pub(crate) use canvas::FONT;
use canvas::{Canvas, RoundJoins};
use plotters::prelude::{BitMapBackend, SVGBackend};
use plotters_backend::DrawingBackend;

/// Units of the drawing surface to one point of the figure. Backends take whole units only: six to
/// a point keep curves smooth.
const UNITS: u32 = 6;

/// Units to one pixel of the PNG: each pixel is the mean of 2 x 2 units, 3 pixels to a point.
const UNITS_PER_PIXEL: u32 = 2;

/// A figure in both formats.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// A whole SVG document. Text is text, in DejaVu Sans or what comes closest.
    pub svg: String,
    /// A whole PNG file, 3 pixels to the SVG's pixel.
    pub png: Vec<u8>,
}

/// Something that can be drawn on every backend.
trait Drawing {
    /// Width and height in points.
    fn size(&self) -> (u32, u32);
    /// One line for readers who do not see the figure.
    fn description(&self) -> String;
    fn draw<B: DrawingBackend>(&self, canvas: &mut Canvas<'_, B>) -> Result<()>;
}

fn render(drawing: &impl Drawing) -> Result<Figure> {
    canvas::register_font()?;
    let (width, height) = drawing.size();
    let units = (width * UNITS, height * UNITS);

    let mut svg = String::new();
    {
        let mut backend = SVGBackend::with_string(&mut svg, units);
        drawing.draw(&mut Canvas::new(&mut backend))?;
        backend.present().map_err(cannot_draw)?;
    }
    let mut pixels = vec![255; 3 * units.0 as usize * units.1 as usize];
    {
        let bitmap = BitMapBackend::<plotters::backend::RGBPixel>::with_buffer_and_format(
            &mut pixels,
            units,
        );
        let mut backend = RoundJoins(bitmap.map_err(cannot_draw)?);
        drawing.draw(&mut Canvas::new(&mut backend))?;
        backend.present().map_err(cannot_draw)?;
    }
    Ok(Figure {
        svg: finish_svg(&svg, (width, height), &drawing.description()),
        png: png::encode(&pixels, units, UNITS_PER_PIXEL)?,
    })
}

/// Gives the document its size in points (the backend knows units only), round joins, and a title;
/// takes away the shift of text that is placed by its baseline.
fn finish_svg(svg: &str, (width, height): (u32, u32), description: &str) -> String {
    let (w, h) = (width * UNITS, height * UNITS);
    let head = format!("<svg width=\"{w}\" height=\"{h}\"");
    let mut finished = svg.replacen(
        &head,
        &format!(
            "<svg width=\"{width}\" height=\"{height}\" role=\"img\" stroke-linejoin=\"round\""
        ),
        1,
    );
    finished = finished.replace(" dy=\"0.76em\"", "");
    if let Some(end) = finished.find(">\n") {
        let escaped = description
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;");
        finished.insert_str(end + 2, &format!("<title>{escaped}</title>\n"));
    }
    finished
}

fn cannot_draw(e: impl std::fmt::Display) -> Error {
    Error::Numerical(format!("cannot draw the figure: {e}"))
}

/// Text without the characters that XML forbids.
fn printable(text: &str) -> String {
    let forbidden = |c: char| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}');
    text.chars()
        .map(|c| if forbidden(c) { ' ' } else { c })
        .collect()
}
