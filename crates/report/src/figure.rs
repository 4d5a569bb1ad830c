//! A figure inside a page.

use crate::{Error, Result};
use std::path::{Path, PathBuf};

/// Elements that the figures of this crate are made of. A page that carries a folder's SVG files must not carry a script
/// that somebody else put there.
const ELEMENTS: [&str; 13] = [
    "svg", "title", "desc", "g", "rect", "line", "polyline", "polygon", "circle", "ellipse",
    "path", "text", "tspan",
];

/// An SVG file.
#[derive(Clone, Debug)]
pub struct Figure {
    /// The file, relative to the folder that the page is about.
    pub file: PathBuf,
    /// Its title: what it shows.
    pub title: String,
    /// The document, to stand in a page as it is; `None` if it holds more than a drawing.
    pub svg: Option<String>,
}

impl Figure {
    pub(super) fn read(root: &Path, file: &Path) -> Result<Self> {
        let path = root.join(file);
        let text = std::fs::read_to_string(&path)
            .map_err(|e| Error::file(&path, format!("cannot read the figure: {e}")))?;
        let title = between(&text, "<title>", "</title>").unwrap_or("a figure");
        Ok(Figure {
            file: file.to_owned(),
            title: unescape(title),
            svg: is_drawing(&text).then_some(text),
        })
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

/// Only known elements, no handlers, no references.
fn is_drawing(svg: &str) -> bool {
    svg.trim_start().starts_with("<svg")
        && svg.split('<').skip(1).all(|tag| {
            let tag = tag.split('>').next().unwrap_or(tag);
            let element = tag.trim_start_matches('/');
            let name = element.split(|c: char| !c.is_ascii_alphanumeric()).next();
            let attributes = tag.to_ascii_lowercase();
            ELEMENTS.contains(&name.unwrap_or_default())
                && !attributes.contains("href")
                && !attributes.contains("url(")
                && !attributes.split_whitespace().any(|a| a.starts_with("on"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_drawings_stand_in_a_page() {
        let good = "<svg width=\"1\"><title>a &amp; b</title><path d=\"M0 0\"/></svg>\n";
        assert!(is_drawing(good));
        for bad in [
            "<svg><script>alert(1)</script></svg>",
            "<svg onload=\"x()\"></svg>",
            "<svg><rect\nonclick=\"x()\"/></svg>",
            "<svg><text fill=\"url(http://a)\"/></svg>",
            "<svg><a href=\"http://a\"/></svg>",
            "<svg><!-- --></svg>",
            "text",
        ] {
            assert!(!is_drawing(bad), "{bad}");
        }
        let title = between(good, "<title>", "</title>").unwrap();
        assert_eq!(unescape(title), "a & b");
    }
}
