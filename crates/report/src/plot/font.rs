//! The embedded fonts: how wide a text is, and the outlines of its letters.

use skrifa::instance::{LocationRef, Size};
use skrifa::metrics::GlyphMetrics;
use skrifa::outline::{DrawSettings, OutlinePen};
use skrifa::{FontRef, GlyphId, MetadataProvider};
use std::sync::OnceLock;

/// Upright, a TrueType file.
pub(crate) const UPRIGHT: &[u8] = include_bytes!("font/DejaVuSans-subset.ttf");
/// Slanted: variables in formulas.
pub(crate) const SLANTED: &[u8] = include_bytes!("font/DejaVuSans-Oblique-subset.ttf");
/// The same, for a document: the characters that most figures have, without the licence's text.
const CORES: [&[u8]; 2] = [
    include_bytes!("font/DejaVuSans-core.ttf"),
    include_bytes!("font/DejaVuSans-Oblique-core.ttf"),
];
/// The family that a viewer looks for: Verdana has nearly the same widths.
pub(super) const FAMILIES: &str = "DejaVu Sans, Verdana, sans-serif";

/// One of the two fonts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Face {
    Upright,
    Slanted,
}

impl Face {
    /// The font's file.
    pub(super) fn file(self) -> &'static [u8] {
        match self {
            Face::Upright => UPRIGHT,
            Face::Slanted => SLANTED,
        }
    }

    /// The smallest of its files that has every character of a text.
    pub(super) fn file_for(self, text: &str) -> &'static [u8] {
        let core = CORES[self as usize];
        let Ok(font) = FontRef::new(core) else {
            return self.file();
        };
        let has = |c: char| c.is_control() || font.charmap().map(c).is_some();
        match self {
            Face::Upright if !text.chars().all(has) => self.file(),
            _ => core,
        }
    }

    /// The font; `None` is a file that is no font, which a test rules out.
    pub(super) fn font(self) -> Option<&'static FontRef<'static>> {
        static FONTS: [OnceLock<Option<FontRef<'static>>>; 2] = [OnceLock::new(), OnceLock::new()];
        FONTS[self as usize]
            .get_or_init(|| FontRef::new(self.file()).ok())
            .as_ref()
    }

    /// The glyph of a character; of one that the font does not have, the box that stands for it.
    pub(super) fn glyph(self, c: char) -> GlyphId {
        let font = self.font();
        font.and_then(|font| font.charmap().map(c))
            .unwrap_or(GlyphId::new(0))
    }

    /// How far a glyph moves on, in em.
    pub(super) fn advance(self, glyph: GlyphId) -> f64 {
        let Some(font) = self.font() else { return 0.6 };
        let metrics = GlyphMetrics::new(font, Size::new(1.0), LocationRef::default());
        metrics.advance_width(glyph).unwrap_or(0.6).into()
    }

    /// The outline of a glyph, in em, the y axis upwards.
    pub(super) fn outline(self, glyph: GlyphId, pen: &mut impl OutlinePen) {
        let outlines = self.font().map(|font| font.outline_glyphs());
        if let Some(outline) = outlines.and_then(|all| all.get(glyph)) {
            let settings = DrawSettings::unhinted(Size::new(1.0), LocationRef::default());
            // A glyph that can not be drawn is left out; the fonts are ours.
            let _ = outline.draw(settings, pen);
        }
    }
}

/// Width of a text in points.
pub(super) fn width(text: &str, size: f64, face: Face) -> f64 {
    let advances = text.chars().map(|c| face.advance(face.glyph(c)));
    size * advances.sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fonts_have_what_the_figures_write() {
        for (face, all) in [
            (Face::Upright, "azAZ09 ()|/σβηωρ×⁻⁰¹²³⁴⁵⁶⁷⁸⁹−≤≥∞·…±ᵗ"),
            (Face::Slanted, "fMtTWBηβσω"),
        ] {
            assert!(face.font().is_some());
            for c in all.chars() {
                assert_ne!(face.glyph(c), GlyphId::new(0), "{c}");
                assert!(face.advance(face.glyph(c)) > 0.0, "{c}");
            }
        }
        assert_eq!(
            Face::Upright.file_for("η = 10⁻⁵ \u{2264} 1\n").len(),
            CORES[0].len()
        );
        assert_eq!(Face::Upright.file_for("é").len(), UPRIGHT.len());
        let [full, core] = [SLANTED, CORES[1]].map(|file| FontRef::new(file).unwrap());
        for (c, _) in full.charmap().mappings() {
            assert!(core.charmap().map(c).is_some(), "{c}");
        }
        // From the font's own table: 'n' is 1298 of 2048.
        assert!((width("nn", 10.0, Face::Upright) - 20.0 * 1298.0 / 2048.0).abs() < 1e-3);
    }
}
