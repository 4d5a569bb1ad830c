//! A figure as a PDF file of one page: the same marks as vectors, text as text in embedded fonts.

use super::canvas::{Mark, Rgb, VEIL};
use super::font::Face;
use super::{Figure, cannot_draw};
use crate::Result;
use pdf_writer::types::{CidFontType, FontFlags, LineJoinStyle, SystemInfo, UnicodeCmap};
use pdf_writer::{Content, Filter, Finish, Name, Pdf, Rect, Ref, Str, TextStr};
use skrifa::MetadataProvider;
use skrifa::instance::{LocationRef, Size};
use std::collections::BTreeMap;
use std::io::Write;

const IDENTITY: SystemInfo = SystemInfo {
    registry: Str(b"Adobe"),
    ordering: Str(b"Identity"),
    supplement: 0,
};
/// Glyph space of a PDF: thousandths of an em.
const EM: f64 = 1000.0;
/// A quarter of a circle as a Bezier curve.
const ARC: f32 = 0.552_284_8;

/// The graphics state of a veil.
const VEILED: Name<'static> = Name(b"G0");

/// The glyphs that were used of each font, with what they stand for.
type Used = BTreeMap<Face, BTreeMap<u16, char>>;

/// The file.
pub(super) fn write(figure: &Figure) -> Result<Vec<u8>> {
    let mut content = Content::new();
    let mut used = Used::new();
    let unit = figure.unit as f32;
    // Points from the upper left corner, as everything here is drawn.
    content.transform([unit, 0.0, 0.0, -unit, 0.0, unit * figure.height as f32]);
    content.set_line_join(LineJoinStyle::RoundJoin);
    for mark in &figure.canvas.marks {
        draw(&mut content, mark, &mut used);
    }

    let mut ids = 1..;
    let mut next = || Ref::new(ids.next().unwrap_or(1));
    let (catalog, pages, page, stream, info) = (next(), next(), next(), next(), next());
    let mut pdf = Pdf::new();
    // As pdfTeX takes it; nothing here is younger.
    pdf.set_version(1, 5);
    pdf.catalog(catalog).pages(pages);
    pdf.pages(pages).kids([page]).count(1);
    pdf.document_info(info)
        .title(TextStr(&figure.description))
        .producer(TextStr(concat!("gdcert ", env!("CARGO_PKG_VERSION"))));
    let fonts: Vec<(Face, Ref)> = used.keys().map(|face| (*face, next())).collect();
    {
        let mut page = pdf.page(page);
        let size = |points: f64| (points * figure.unit) as f32;
        page.media_box(Rect::new(0.0, 0.0, size(figure.width), size(figure.height)));
        page.parent(pages).contents(stream);
        let mut resources = page.resources();
        let mut named = resources.fonts();
        for (face, id) in &fonts {
            named.pair(name(*face), *id);
        }
        named.finish();
        let mut states = resources.ext_g_states();
        states
            .insert(VEILED)
            .start::<pdf_writer::writers::ExtGraphicsState>()
            .non_stroking_alpha(VEIL as f32);
    }
    let bytes = deflated(&content.finish())?;
    pdf.stream(stream, &bytes).filter(Filter::FlateDecode);
    for (face, id) in fonts {
        let parts = [next(), next(), next(), next()];
        embed(&mut pdf, face, id, parts, &used[&face])?;
    }
    Ok(pdf.finish())
}

fn draw(content: &mut Content, mark: &Mark, used: &mut Used) {
    match mark {
        Mark::Line { path, color, width } => {
            stroke_color(content, *color);
            content.set_line_width(*width as f32);
            polygon(content, path);
            content.stroke();
        }
        Mark::Area {
            outline,
            color,
            veil,
        } => {
            if *veil {
                content.save_state().set_parameters(VEILED);
            }
            fill_color(content, *color);
            polygon(content, outline);
            content.close_path().fill_nonzero();
            if *veil {
                content.restore_state();
            }
        }
        Mark::Rect {
            corners: [a, b],
            color,
        } => {
            fill_color(content, *color);
            let (w, h) = (b.0 - a.0, b.1 - a.1);
            content
                .rect(a.0 as f32, a.1 as f32, w as f32, h as f32)
                .fill_nonzero();
        }
        Mark::Disc {
            centre,
            radius,
            color,
        } => {
            fill_color(content, *color);
            let (x, y, r) = (centre.0 as f32, centre.1 as f32, *radius as f32);
            let c = ARC * r;
            content
                .move_to(x + r, y)
                .cubic_to(x + r, y + c, x + c, y + r, x, y + r)
                .cubic_to(x - c, y + r, x - r, y + c, x - r, y)
                .cubic_to(x - r, y - c, x - c, y - r, x, y - r)
                .cubic_to(x + c, y - r, x + r, y - c, x + r, y)
                .fill_nonzero();
        }
        Mark::Text {
            text,
            at,
            size,
            face,
            color,
            upwards,
        } => {
            let glyphs = used.entry(*face).or_default();
            let mut codes = Vec::new();
            for c in text.chars() {
                // The embedded fonts have some hundreds of glyphs.
                let glyph = face.glyph(c).to_u32() as u16;
                glyphs.insert(glyph, c);
                codes.extend(glyph.to_be_bytes());
            }
            fill_color(content, *color);
            let (x, y) = (at.0 as f32, at.1 as f32);
            content.begin_text();
            content.set_font(name(*face), *size as f32);
            content.set_text_matrix(match upwards {
                false => [1.0, 0.0, 0.0, -1.0, x, y],
                true => [0.0, -1.0, -1.0, 0.0, x, y],
            });
            content.show(Str(&codes)).end_text();
        }
    }
}

fn polygon(content: &mut Content, points: &[(f64, f64)]) {
    for (i, (x, y)) in points.iter().enumerate() {
        match i {
            0 => content.move_to(*x as f32, *y as f32),
            _ => content.line_to(*x as f32, *y as f32),
        };
    }
}

fn part(c: u8) -> f32 {
    f32::from(c) / 255.0
}

fn fill_color(content: &mut Content, (r, g, b): Rgb) {
    content.set_fill_rgb(part(r), part(g), part(b));
}

fn stroke_color(content: &mut Content, (r, g, b): Rgb) {
    content.set_stroke_rgb(part(r), part(g), part(b));
}

fn name(face: Face) -> Name<'static> {
    match face {
        Face::Upright => Name(b"F0"),
        Face::Slanted => Name(b"F1"),
    }
}

fn deflated(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).map_err(cannot_draw)?;
    encoder.finish().map_err(cannot_draw)
}

/// A font as PDF has it: glyphs by their number, widths, the file, and which characters they stand for.
fn embed(
    pdf: &mut Pdf,
    face: Face,
    id: Ref,
    [descendant, descriptor, file, to_unicode]: [Ref; 4],
    used: &BTreeMap<u16, char>,
) -> Result<()> {
    let Some(font) = face.font() else {
        return Err(cannot_draw("an embedded font cannot be read"));
    };
    // The tag says that the font is a part of another.
    let base = match face {
        Face::Upright => Name(b"GDCERT+DejaVuSans"),
        Face::Slanted => Name(b"GDCERT+DejaVuSans-Oblique"),
    };
    pdf.type0_font(id)
        .base_font(base)
        .encoding_predefined(Name(b"Identity-H"))
        .descendant_font(descendant)
        .to_unicode(to_unicode);
    let mut cid = pdf.cid_font(descendant);
    cid.subtype(CidFontType::Type2)
        .base_font(base)
        .system_info(IDENTITY)
        .font_descriptor(descriptor)
        .default_width(0.0)
        .cid_to_gid_map_predefined(Name(b"Identity"));
    {
        let mut widths = cid.widths();
        for glyph in used.keys() {
            let width = EM * face.advance(u32::from(*glyph).into());
            widths.consecutive(*glyph, [width as f32]);
        }
    }
    cid.finish();
    let metrics = font.metrics(Size::new(EM as f32), LocationRef::default());
    let bounds = metrics.bounds.unwrap_or_default();
    pdf.font_descriptor(descriptor)
        .name(base)
        .flags(FontFlags::SYMBOLIC)
        .bbox(Rect::new(
            bounds.x_min,
            bounds.y_min,
            bounds.x_max,
            bounds.y_max,
        ))
        .italic_angle(metrics.italic_angle)
        .ascent(metrics.ascent)
        .descent(metrics.descent)
        .cap_height(metrics.cap_height.unwrap_or(metrics.ascent))
        .stem_v(80.0)
        .font_file2(file);
    let bytes = deflated(face.file())?;
    pdf.stream(file, &bytes)
        .filter(Filter::FlateDecode)
        .pair(Name(b"Length1"), face.file().len() as i32);
    let mut characters = UnicodeCmap::new(Name(b"Characters"), IDENTITY);
    for (glyph, c) in used {
        characters.pair(*glyph, *c);
    }
    pdf.cmap(to_unicode, &characters.finish());
    Ok(())
}
