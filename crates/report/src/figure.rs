//! A figure inside a page.

use crate::plot::fonts;
use crate::{Error, Result};
use base64::Engine;
use gdcert_base::input;
use gdcert_base::printable::printable_line;
use std::path::{Path, PathBuf};

/// A drawing that weighs more is better looked at by itself.
const HEAVIEST: u64 = 1 << 24;

/// An SVG file.
#[derive(Clone, Debug)]
pub struct Figure {
    /// The file, relative to the folder that the page is about.
    pub file: PathBuf,
    /// Its title: what it shows.
    pub title: String,
    /// The document as the address of an image, in base64. An image is a picture and nothing else: it runs no script, loads
    /// nothing and styles nothing around it, whatever is in the file. `None` if the file is no SVG document.
    pub data: Option<String>,
}

impl Figure {
    pub(super) fn read(root: &Path, file: &Path) -> Result<Self> {
        let path = root.join(file);
        let found = std::fs::metadata(&path)
            .map_err(|e| Error::file(&path, format!("cannot read the figure: {e}")))?;
        // What is no text is no drawing; it is named and not shown.
        let text = match found.len() <= HEAVIEST {
            true => {
                let bytes = input::bytes(&path, HEAVIEST);
                String::from_utf8(bytes.map_err(|what| Error::file(&path, what))?).ok()
            }
            false => None,
        };
        let svg = text.filter(|text| root_element(text).is_some());
        let title = svg
            .as_deref()
            .and_then(|text| between(text, "<title>", "</title>"))
            .map_or("a figure".to_owned(), unescape);
        Ok(Figure {
            file: file.to_owned(),
            title: printable_line(&title).into_owned(),
            data: svg
                .map(|text| base64::engine::general_purpose::STANDARD.encode(with_font(&text))),
        })
    }
}

/// Where the tag `<svg ...>` of a document ends, if it starts with one (after what may stand before it).
fn root_element(text: &str) -> Option<usize> {
    let mut rest = text.trim_start_matches('\u{feff}').trim_start();
    loop {
        let end = match rest {
            _ if rest.starts_with("<?") => "?>",
            _ if rest.starts_with("<!--") => "-->",
            _ if rest.starts_with("<svg") => {
                let at = text.len() - rest.len();
                // An attribute may hold a '>'.
                let mut quote = None;
                for (i, c) in rest.char_indices() {
                    match (quote, c) {
                        (None, '>') => return Some(at + i + 1),
                        (None, '"' | '\'') => quote = Some(c),
                        (Some(open), c) if c == open => quote = None,
                        _ => {}
                    }
                }
                return None;
            }
            _ => return None,
        };
        rest = rest[rest.find(end)? + end.len()..].trim_start();
    }
}

/// An image sees no font of the page around it, so that it brings its own.
fn with_font(svg: &str) -> String {
    match root_element(svg) {
        Some(at)
            if !svg[..at].ends_with("/>")
                && svg.contains("DejaVu Sans")
                && !svg.contains("@font-face") =>
        {
            format!("{}{}{}", &svg[..at], fonts(svg), &svg[at..])
        }
        _ => svg.to_owned(),
    }
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let from = text.find(start)? + start.len();
    let length = text[from..].find(end)?;
    Some(&text[from..from + length])
}

fn unescape(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_starts_with_its_element() {
        let good = "<svg width=\"1\" x='>'><title>a &amp; b</title><path d=\"M0 0\"/></svg>\n";
        for before in ["", "\u{feff}", "<?xml version=\"1.0\"?>\n<!-- <svg> -->\n"] {
            let text = format!("{before}{good}");
            let at = root_element(&text).unwrap();
            assert!(text[at..].starts_with("<title>"), "{text}");
        }
        for bad in [
            "",
            "text",
            "<html></html>",
            "<svg",
            "<svg x='>",
            "<!-- <svg>",
            "<?xml",
        ] {
            assert_eq!(root_element(bad), None, "{bad}");
        }
        let title = between(good, "<title>", "</title>").unwrap();
        assert_eq!(unescape(title), "a & b");
    }
}
