//! A figure as a PNG file: the same marks, rasterized by tiny-skia.

use super::canvas::{Mark, Rgb, VEIL};
use super::font::Face;
use super::{Figure, cannot_draw};
use crate::Result;
use skrifa::outline::OutlinePen;
use tiny_skia::{
    Color, FillRule, LineCap, LineJoin, Paint, Path, PathBuilder, Pixmap, Rect, Stroke, Transform,
};

/// Pixels to a point of a screen's figure.
const SCREEN: f64 = 3.0;
/// Dots to an inch of a figure for paper.
const DOTS: f64 = 600.0;
const POINTS_PER_INCH: f64 = 72.0;
const INCHES_PER_METRE: f64 = 39.3701;

/// The file.
pub(super) fn write(figure: &Figure) -> Result<Vec<u8>> {
    // Of a screen's figure 300 dots an inch: the size at which it fills the width of a page.
    let (scale, dots) = match figure.unit {
        1.0 => (SCREEN, 300.0),
        unit => (unit * DOTS / POINTS_PER_INCH, DOTS),
    };
    let side = |points: f64| ((points * scale).round() as u32).max(1);
    let size = (side(figure.width), side(figure.height));
    let mut pixels = Pixmap::new(size.0, size.1)
        .ok_or_else(|| cannot_draw("it has more pixels than memory can hold"))?;
    pixels.fill(Color::WHITE);
    let scale = Transform::from_scale(scale as f32, scale as f32);
    for mark in &figure.canvas.marks {
        draw(&mut pixels, mark, scale);
    }
    let rgb: Vec<u8> = pixels
        .pixels()
        .iter()
        .flat_map(|p| [p.red(), p.green(), p.blue()])
        .collect();
    encode(&rgb, size, dots)
}

fn draw(pixels: &mut Pixmap, mark: &Mark, scale: Transform) {
    match mark {
        Mark::Line { path, color, width } => {
            let stroke = Stroke {
                width: *width as f32,
                line_join: LineJoin::Round,
                line_cap: LineCap::Butt,
                ..Stroke::default()
            };
            if let Some(path) = polygon(path, false) {
                pixels.stroke_path(&path, &paint(*color), &stroke, scale, None);
            }
        }
        Mark::Area {
            outline,
            color: (r, g, b),
            veil,
        } => {
            let mut paint = paint((*r, *g, *b));
            if *veil {
                paint.set_color_rgba8(*r, *g, *b, (255.0 * VEIL) as u8);
            }
            if let Some(path) = polygon(outline, true) {
                pixels.fill_path(&path, &paint, FillRule::Winding, scale, None);
            }
        }
        Mark::Rect {
            corners: [(l, t), (r, b)],
            color,
        } => {
            if let Some(rect) = Rect::from_ltrb(*l as f32, *t as f32, *r as f32, *b as f32) {
                pixels.fill_rect(rect, &paint(*color), scale, None);
            }
        }
        Mark::Disc {
            centre: (x, y),
            radius,
            color,
        } => {
            if let Some(path) = PathBuilder::from_circle(*x as f32, *y as f32, *radius as f32) {
                pixels.fill_path(&path, &paint(*color), FillRule::Winding, scale, None);
            }
        }
        Mark::Text {
            text,
            at,
            size,
            face,
            color,
            upwards,
        } => {
            let (mut along, size) = (0.0, *size);
            for c in text.chars() {
                let glyph = face.glyph(c);
                let turn = if *upwards { -90.0 } else { 0.0 };
                let place = scale
                    .pre_translate(at.0 as f32, at.1 as f32)
                    .pre_rotate(turn)
                    .pre_translate(along as f32, 0.0)
                    .pre_scale(size as f32, -size as f32);
                if let Some(path) = outline(*face, glyph) {
                    pixels.fill_path(&path, &paint(*color), FillRule::Winding, place, None);
                }
                along += size * face.advance(glyph);
            }
        }
    }
}

fn paint(color: Rgb) -> Paint<'static> {
    let mut paint = Paint::default();
    paint.set_color_rgba8(color.0, color.1, color.2, 255);
    paint.anti_alias = true;
    paint
}

fn polygon(points: &[(f64, f64)], closed: bool) -> Option<Path> {
    let mut path = PathBuilder::new();
    for (i, (x, y)) in points.iter().enumerate() {
        match i {
            0 => path.move_to(*x as f32, *y as f32),
            _ => path.line_to(*x as f32, *y as f32),
        }
    }
    if closed {
        path.close();
    }
    path.finish()
}

fn outline(face: Face, glyph: skrifa::GlyphId) -> Option<Path> {
    let mut pen = Pen(PathBuilder::new());
    face.outline(glyph, &mut pen);
    pen.0.finish()
}

struct Pen(PathBuilder);

impl OutlinePen for Pen {
    fn move_to(&mut self, x: f32, y: f32) {
        self.0.move_to(x, y);
    }
    fn line_to(&mut self, x: f32, y: f32) {
        self.0.line_to(x, y);
    }
    fn quad_to(&mut self, cx: f32, cy: f32, x: f32, y: f32) {
        self.0.quad_to(cx, cy, x, y);
    }
    fn curve_to(&mut self, ax: f32, ay: f32, bx: f32, by: f32, x: f32, y: f32) {
        self.0.cubic_to(ax, ay, bx, by, x, y);
    }
    fn close(&mut self) {
        self.0.close();
    }
}

fn encode(rgb: &[u8], (width, height): (u32, u32), dots: f64) -> Result<Vec<u8>> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Default);
    // Paeth suits flat areas with thin lines.
    encoder.set_filter(png::FilterType::Paeth);
    let per_metre = (dots * INCHES_PER_METRE).round() as u32;
    encoder.set_pixel_dims(Some(png::PixelDimensions {
        xppu: per_metre,
        yppu: per_metre,
        unit: png::Unit::Meter,
    }));
    let mut writer = encoder.write_header().map_err(cannot_draw)?;
    writer.write_image_data(rgb).map_err(cannot_draw)?;
    writer.finish().map_err(cannot_draw)?;
    Ok(file)
}
