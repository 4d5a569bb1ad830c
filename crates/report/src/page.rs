//! One self-contained page.

use super::figure::Figure;
use super::section::Section;
use super::table::Table;
use crate::plot::FONT;
use crate::{Error, Result};
use askama::Template;
use base64::Engine;
use gdcert_base::printable::printable_line;
use sha2::{Digest, Sha256};
use std::path::Path;

#[derive(Template)]
#[template(path = "page.html")]
struct Page<'a> {
    top: &'a Section,
    version: &'a str,
    font: String,
    base: &'a str,
}

#[derive(Template)]
#[template(path = "section.html")]
struct Part<'a> {
    section: &'a Section,
    level: usize,
    base: &'a str,
    /// Whether it is folded away until a reader asks for it.
    folded: bool,
}

#[derive(Template)]
#[template(path = "figure.html")]
struct FigureView<'a> {
    figure: &'a Figure,
    part: &'a Part<'a>,
    /// Whether it says below what it is.
    named: bool,
}

/// What shows the numbers under a pointer; a page runs this and nothing else.
const SCRIPT: &str = include_str!("hover.js");

#[derive(Template)]
#[template(path = "table.html")]
struct TableView<'a> {
    table: &'a Table,
}

/// Plain text as HTML in which formulas look like formulas: W^O_h has its indices raised and lowered, eta is a letter.
fn math(text: &str) -> String {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '^';
    let mut html = String::new();
    let mut rest = text;
    let mut before = ' ';
    while let Some(first) = rest.chars().next() {
        let end = rest
            .find(|c| is_word(c) != is_word(first))
            .unwrap_or(rest.len());
        let end = with_decimals(rest, end);
        let (run, after) = rest.split_at(end);
        let hyphenated = before == '-' || after.starts_with('-');
        html += &match run {
            "eta" | "beta" | "rho" | "alpha" | "omega" if hyphenated => run.to_owned(),
            "eta" => "η".to_owned(),
            "beta" => "β".to_owned(),
            "rho" => "ρ".to_owned(),
            "alpha" => "α".to_owned(),
            "omega" => "ω".to_owned(),
            "sigma_min" => "σ<sub>min</sub>".to_owned(),
            "lambda_min" => "λ<sub>min</sub>".to_owned(),
            word if is_word(first) => indices(word),
            other => escape(other).replace("&lt;=", "≤").replace("&gt;=", "≥"),
        };
        before = run.chars().next_back().unwrap_or(' ');
        rest = after;
    }
    html
}

/// Where a power ends: 2^0.2 goes on after its point.
fn with_decimals(text: &str, end: usize) -> usize {
    let power = text[..end].split_once('^').map_or("", |parts| parts.1);
    let digits = |part: &str| part.chars().take_while(char::is_ascii_digit).count();
    match text[end..].strip_prefix('.').map(digits) {
        Some(more) if more > 0 && !power.is_empty() && digits(power) == power.len() => {
            end + 1 + more
        }
        _ => end,
    }
}

/// M_0, W^O_h or the ^2 after a bracket; other words as they are.
fn indices(word: &str) -> String {
    let (base, low) = word.split_once('_').unwrap_or((word, ""));
    let (base, high) = base.split_once('^').unwrap_or((base, ""));
    let is_index = |part: &str| part.chars().all(|c| c.is_ascii_alphanumeric() || c == '.');
    if base.len() > 1 || word.ends_with('_') || !is_index(low) || !is_index(high) {
        return word.to_owned();
    }
    let mut html = base.to_owned();
    if !high.is_empty() {
        html += &format!("<sup>{high}</sup>");
    }
    if !low.is_empty() {
        html += &format!("<sub>{low}</sub>");
    }
    html
}

fn escape(text: &str) -> String {
    printable_line(text)
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// The page of a folder: one HTML file that needs no other and no network. Links to the folder's files start with `base`,
/// the way from the page's folder to the folder it is about (empty where they are the same).
///
/// # Errors
/// None is expected; a template that cannot be rendered.
pub fn page(top: &Section, base: &Path) -> Result<String> {
    // A name with a colon would be taken for the scheme of an address, were it the first thing in a link.
    let base = match address(base) {
        path if path.is_empty() => "./".to_owned(),
        path if path.starts_with("..") => format!("{}/", path.trim_end_matches('/')),
        path => format!("./{}/", path.trim_matches('/')),
    };
    let page = Page {
        top,
        version: env!("CARGO_PKG_VERSION"),
        font: base64::engine::general_purpose::STANDARD.encode(FONT),
        base: &base,
    };
    page.render()
        .map_err(|e| Error::Numerical(format!("cannot form the page: {e}")))
}

impl Page<'_> {
    fn parts(&self) -> impl Iterator<Item = Part<'_>> {
        self.top.parts.iter().map(|section| Part {
            section,
            level: 2,
            base: self.base,
            folded: !self.top.cards.is_empty(),
        })
    }

    fn body(&self) -> Part<'_> {
        Part {
            section: self.top,
            level: 1,
            base: self.base,
            folded: false,
        }
    }

    fn script(&self) -> &'static str {
        SCRIPT
    }

    /// By which a browser knows that it is this script.
    fn hash(&self) -> String {
        base64::engine::general_purpose::STANDARD.encode(Sha256::digest(SCRIPT))
    }
}

impl Part<'_> {
    fn parts(&self) -> impl Iterator<Item = Part<'_>> {
        self.section.parts.iter().map(|section| Part {
            section,
            level: self.level + 1,
            base: self.base,
            folded: self.folded || !self.section.cards.is_empty(),
        })
    }

    fn tables(&self) -> impl Iterator<Item = TableView<'_>> {
        self.section.tables.iter().map(|table| TableView { table })
    }

    fn math(&self, text: &str) -> String {
        math(text)
    }

    fn figure(&self, figure: &Figure, named: bool) -> String {
        let view = FigureView {
            figure,
            part: self,
            named,
        };
        // Writing to a String can not fail.
        view.render().unwrap_or_default()
    }

    /// The way to a place in the page.
    fn place(&self, id: &str) -> String {
        encoded(id.as_bytes())
    }

    fn kind(&self, worth: &str) -> &'static str {
        if worth == "proven" { "proven" } else { "other" }
    }

    /// A file's link.
    fn link(&self, file: &Path) -> String {
        format!("{}{}", self.base, address(file))
    }

    /// A file's name, as it is shown.
    fn named(&self, file: &Path) -> String {
        printable_line(&file.to_string_lossy()).into_owned()
    }
}

impl TableView<'_> {
    fn math(&self, text: &str) -> String {
        math(text)
    }

    /// Long texts ask for room on narrow screens.
    fn width(&self, text: &str) -> &'static str {
        if text.len() > 60 { " long" } else { "" }
    }

    /// The way to a place in the page.
    fn within(&self, link: &str) -> String {
        match link.strip_prefix('#') {
            Some(id) => format!("#{}", encoded(id.as_bytes())),
            None => encoded(link.as_bytes()),
        }
    }

    fn class(&self, column: &usize) -> &'static str {
        if self.table.numeric(*column) {
            "number"
        } else {
            "words"
        }
    }
}

/// A relative path as the path of an address, every byte that could mean something else encoded.
fn address(path: &Path) -> String {
    let parts = path
        .components()
        .map(|part| encoded(part.as_os_str().as_encoded_bytes()));
    parts.collect::<Vec<_>>().join("/")
}

fn encoded(bytes: &[u8]) -> String {
    let mut text = String::new();
    for &byte in bytes {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                text.push(byte.into())
            }
            byte => text += &format!("%{byte:02X}"),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{address, math};
    use std::path::Path;

    #[test]
    fn every_file_name_makes_a_link() {
        for (path, link) in [
            ("a b/c.svg", "a%20b/c.svg"),
            ("javascript:alert(1)", "javascript%3Aalert%281%29"),
            (
                "../x?y#z%20\"><b>'&",
                "../x%3Fy%23z%2520%22%3E%3Cb%3E%27%26",
            ),
            ("ä\n", "%C3%A4%0A"),
        ] {
            assert_eq!(address(Path::new(path)), link);
        }
    }

    #[test]
    fn formulas_look_like_formulas() {
        for (text, html) in [
            (
                "f(M_t) <= (1 - eta beta)^t f(M_0)",
                "f(M<sub>t</sub>) ≤ (1 - η β)<sup>t</sup> f(M<sub>0</sub>)",
            ),
            (
                "sigma_min(W^O_h)^2",
                "σ<sub>min</sub>(W<sup>O</sup><sub>h</sub>)<sup>2</sup>",
            ),
            (
                "lambda_min(J_V J_V')",
                "λ<sub>min</sub>(J<sub>V</sub> J<sub>V</sub>')",
            ),
            ("readings-of-beta, per_head", "readings-of-beta, per_head"),
            ("<script> & f_(t+1)", "&lt;script&gt; &amp; f_(t+1)"),
            (
                "by 2^22.5; x^2. Then",
                "by 2<sup>22.5</sup>; x<sup>2</sup>. Then",
            ),
            ("HD >= Nn: 1.5e-3, _x ^", "HD ≥ Nn: 1.5e-3, <sub>x</sub> "),
        ] {
            assert_eq!(math(text), html);
        }
    }
}
