//! How a figure is to look: for a screen, or for a column of a paper.

use super::panel::SMALL;
use crate::{Error, Result};

/// A file format of figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Vectors, for a page; text stays text.
    Svg,
    /// Pixels.
    Png,
    /// Vectors with embedded fonts, for LaTeX.
    Pdf,
}

impl Format {
    /// What a screen's figure is written as.
    pub const SCREEN: [Format; 2] = [Format::Svg, Format::Png];

    /// How the file's name ends.
    pub fn ending(self) -> &'static str {
        match self {
            Format::Svg => "svg",
            Format::Png => "png",
            Format::Pdf => "pdf",
        }
    }
}

impl std::str::FromStr for Format {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let all = [Format::Svg, Format::Png, Format::Pdf];
        let found = all
            .into_iter()
            .find(|f| name.eq_ignore_ascii_case(f.ending()));
        found
            .ok_or_else(|| Error::input(format!("unknown format '{name}'; choose svg, png or pdf")))
    }
}

/// A panel of the figure of a verification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The loss and its bounds.
    Loss,
    /// sigma_min(B_t) / sigma_min(B_0).
    Sigma,
    /// |W_t - W_0| of the trained blocks.
    Moved,
}

impl std::str::FromStr for Part {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name.to_ascii_lowercase().as_str() {
            "loss" => Ok(Part::Loss),
            "sigma" => Ok(Part::Sigma),
            "moved" => Ok(Part::Moved),
            _ => Err(Error::input(format!(
                "unknown panel '{name}'; choose from loss, sigma and moved"
            ))),
        }
    }
}

/// Where the names of lines stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Legend {
    /// Above the panels.
    Above,
    /// In the first panel, where there is room.
    Inside,
    /// Nowhere: a caption says it.
    None,
}

impl std::str::FromStr for Legend {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name.to_ascii_lowercase().as_str() {
            "above" => Ok(Legend::Above),
            "inside" => Ok(Legend::Inside),
            "none" => Ok(Legend::None),
            _ => Err(Error::input(format!(
                "unknown place '{name}' for a legend; choose inside, above or none"
            ))),
        }
    }
}

/// How a figure is to look. Figures are laid out in points of a screen, in which text has one size; on paper all of it is
/// scaled so that text has the size asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Look {
    /// Width in points of the layout; `None`: the figure's own.
    pub(super) width: Option<f64>,
    /// Height in points of the layout; `None`: the figure's own.
    pub(super) height: Option<f64>,
    /// Points on paper to a point of the layout.
    pub(super) unit: f64,
    /// The panels of a verification.
    pub panels: Vec<Part>,
    /// The readings (and own claims) whose bounds are shown, by name; `None`: all that apply.
    pub readings: Option<Vec<String>>,
    /// In place of the figure's own title; an empty one leaves it out.
    pub title: Option<String>,
    /// Where the names of lines stand.
    pub legend: Legend,
}

impl Look {
    /// The figure that a command writes for the screen.
    pub fn screen() -> Self {
        Look {
            width: None,
            height: None,
            unit: 1.0,
            panels: vec![Part::Loss, Part::Sigma, Part::Moved],
            readings: None,
            title: None,
            legend: Legend::Above,
        }
    }

    /// A figure `width` points wide on paper (and `height` high) with text of `font` points.
    ///
    /// # Errors
    /// A size that is not between 1 and 24 points for text or leaves no room for it: too little: a width of 18 and a height of 12 times
    /// the size of the text.
    pub fn paper(width: f64, height: Option<f64>, font: f64) -> Result<Self> {
        if !(1.0..=72.0).contains(&font) {
            return Err(Error::input(format!(
                "--font-size {font}pt must be between 1pt and 72pt"
            )));
        }
        let most = 14_400.0; // what PDF allows
        for (name, size, least) in [("width", Some(width), 18.0), ("height", height, 12.0)] {
            if let Some(size) = size
                && !(size >= least * font && size <= most)
            {
                return Err(Error::input(format!(
                    "--{name} {size:.4}pt is too {}; with text of {font}pt choose at least {:.0}pt{}",
                    if size > most { "large" } else { "small" },
                    least * font,
                    if size > most {
                        " and at most 14400pt"
                    } else {
                        ""
                    }
                )));
            }
        }
        let unit = font / SMALL;
        Ok(Look {
            width: Some(width / unit),
            height: height.map(|h| h / unit),
            // A unit of exactly 1 says: a screen.
            unit: if unit == 1.0 {
                1.0 + f64::EPSILON
            } else {
                unit
            },
            ..Look::screen()
        })
    }

    /// Whether it is for a screen, where figures say by themselves what a caption says on paper.
    pub(super) fn is_screen(&self) -> bool {
        self.unit == 1.0
    }

    /// The title, if there is to be one.
    pub(super) fn title<'a>(&'a self, own: &'a str) -> Option<&'a str> {
        match &self.title {
            Some(title) if title.is_empty() => None,
            Some(title) => Some(title),
            None => Some(own),
        }
    }
}
