//! Figures: drawn once, kept as marks in points, written as SVG, PNG or PDF.

mod axis;
mod bitmap;
mod canvas;
mod convexity;
mod curves;
mod font;
mod landscape;
mod look;
mod math;
mod number;
mod panel;
mod pdf;
mod place;
mod rate;
mod story;
mod svg;
mod sweep;
mod thin;

pub use convexity::convexity;
pub use curves::{OverSeeds, over_seeds, training_curves};
pub use landscape::{Landscape, contours, reliefs};
pub use look::{Format, Legend, Look, Part};
use rate::style as reading_style;
pub use rate::{model_rate_vs_bound, rate_vs_bound, rate_vs_bound_of};
pub use sweep::{Named, Over, sweep_figures};

use crate::{Error, Result};
use canvas::Canvas;
pub(crate) use font::UPRIGHT as FONT;
pub(crate) use story::samples;
pub(crate) use svg::fonts;

/// A figure that is drawn; [`file`](Figure::file) writes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    width: f64,
    height: f64,
    /// Points on paper to a point of the drawing: 1 on a screen.
    unit: f64,
    description: String,
    canvas: Canvas,
    frame: Option<Frame>,
}

/// Where the first panel is, as parts of the figure's width and height, and from which step to which it shows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Frame {
    pub left: f64,
    pub right: f64,
    pub top: f64,
    pub bottom: f64,
    pub first: f64,
    pub last: f64,
}

impl Figure {
    /// A whole file.
    ///
    /// # Errors
    /// None is expected; more pixels than memory can hold.
    pub fn file(&self, format: Format) -> Result<Vec<u8>> {
        match format {
            Format::Svg => Ok(svg::write(self, self.unit != 1.0).into_bytes()),
            Format::Png => bitmap::write(self),
            Format::Pdf => pdf::write(self),
        }
    }

    /// A whole SVG document. Text is text, in DejaVu Sans or what comes closest.
    pub fn svg(&self) -> String {
        svg::write(self, false)
    }

    /// A whole PNG file: 3 pixels to the SVG's pixel, or 600 to an inch of a figure for paper.
    ///
    /// # Errors
    /// As [`file`](Figure::file).
    pub fn png(&self) -> Result<Vec<u8>> {
        self.file(Format::Png)
    }

    /// The files `name.svg` and so on.
    ///
    /// # Errors
    /// As [`file`](Figure::file).
    pub fn files(&self, name: &str, formats: &[Format]) -> Result<Vec<(String, Vec<u8>)>> {
        let file =
            |format: &Format| Ok((format!("{name}.{}", format.ending()), self.file(*format)?));
        formats.iter().map(file).collect()
    }
}

/// Something that can be drawn.
trait Drawing {
    /// Width and height in points.
    fn size(&self) -> (f64, f64);
    /// One line for readers who do not see the figure.
    fn description(&self) -> String;
    fn draw(&self, canvas: &mut Canvas);
    /// Where a reader may point to for numbers.
    fn frame(&self) -> Option<Frame> {
        None
    }
}

fn render(drawing: &impl Drawing, look: &Look) -> Figure {
    let mut canvas = Canvas::default();
    drawing.draw(&mut canvas);
    let (width, height) = drawing.size();
    Figure {
        width,
        height,
        unit: look.unit,
        description: drawing.description(),
        frame: drawing.frame(),
        canvas,
    }
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
