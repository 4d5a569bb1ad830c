//! A figure inside a page.

use crate::plot::{Look, Part, fonts, rate_vs_bound_of, samples};
use crate::{Error, Result};
use base64::Engine;
use gdcert::verify::VerdictFile;
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
    /// What a pointer over the first panel finds.
    pub hover: Option<Hover>,
}

/// Numbers under a curve.
#[derive(Clone, Debug)]
pub struct Hover {
    /// Left, right, top and bottom of the panel as parts of the picture; first and last step.
    pub frame: String,
    /// `t loss bound`, steps separated by semicolons; a bound that is not there is empty.
    pub rows: String,
    /// Whose bound it is.
    pub name: String,
}

/// Most steps that a pointer finds.
const STEPS: usize = 400;

impl Hover {
    /// If the picture says where its panel is, and the numbers are beside it.
    fn of(svg: &str, folder: &Path) -> Option<Self> {
        let end = root_element(svg)?;
        let frame = between(&svg[..end], "data-frame=\"", "\"")?;
        let numbers: Vec<f64> = frame
            .split(' ')
            .map(|x| x.parse().ok().filter(|x: &f64| x.is_finite()))
            .collect::<Option<_>>()?;
        let &[_, _, _, _, _, last] = &numbers[..] else {
            return None;
        };
        let file = VerdictFile::read(&folder.join("verdict.json")).ok()?;
        let name = file.deciding();
        let rows: Vec<String> = samples(folder, name, last, STEPS)
            .ok()?
            .into_iter()
            .map(|(t, loss, bound)| {
                let bound = bound.map_or(String::new(), |b| format!("{b:.4e}"));
                format!("{t} {loss:.4e} {bound}")
            })
            .collect();
        Some(Hover {
            frame: frame.to_owned(),
            rows: rows.join(";"),
            name: name.to_owned(),
        })
    }
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
        let folder = path.parent().unwrap_or(root);
        Ok(Figure {
            hover: svg.as_deref().and_then(|svg| Hover::of(svg, folder)),
            file: file.to_owned(),
            title: printable_line(&title).into_owned(),
            data: svg
                .map(|text| base64::engine::general_purpose::STANDARD.encode(with_font(&text))),
        })
    }
}

impl Figure {
    /// The loss of a verification against its bound, small enough for a card; it links to the figure in its folder.
    pub(super) fn of_verification(root: &Path, folder: &Path) -> Result<Self> {
        let mut look = Look::paper(260.0, Some(170.0), 9.0)?;
        look.panels = vec![Part::Loss];
        look.title = Some(String::new());
        let drawn = rate_vs_bound_of(folder, "its loss and bounds", &look)?;
        let svg = drawn.svg();
        let file = folder.join("rate-vs-bound.svg");
        Ok(Figure {
            file: file.strip_prefix(root).unwrap_or(&file).to_owned(),
            title: "Loss of gradient descent on a logarithmic axis, and its bounds".to_owned(),
            hover: Hover::of(&svg, folder),
            data: Some(base64::engine::general_purpose::STANDARD.encode(with_font(&svg))),
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
