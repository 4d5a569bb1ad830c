//! Figures of a sweep, for each choice of trained blocks and initialization in it: softmax on the left, Gaussian on
//! the right.

mod curves;
mod phase;

use super::Figure;
use super::canvas::{Align, Canvas, Line, Rgb, fitted, text_width};
use super::panel::{BLACK, GREY, SMALL};
use super::place::Rect;
use crate::Result;
use gdcert::experiment::summary::{Key, Statistics};
use gdcert::model::{Kernel, Trained};
use plotters_backend::DrawingBackend;
use std::collections::BTreeSet;

/// A figure's name (without an ending) and what was drawn.
pub type Named = (String, Figure);

/// The figures that a sweep has data for, and a line for each that it has none for.
///
/// `phase-BLOCKS-INIT`: verdicts over HD/(Nn) and scale. `tightness-BLOCKS-INIT`: the distribution of measured over
/// claimed rate. `query-alone-INIT`: where training W^Q alone ends. `vanishing-BLOCKS-INIT`: |J_Q| against the logit scale.
///
/// # Errors
/// None is expected; a backend that fails.
pub fn sweep_figures(statistics: &Statistics) -> Result<(Vec<Named>, Vec<String>)> {
    let mut figures = Vec::new();
    let mut left_out = Vec::new();
    let kinds: BTreeSet<Kind> = statistics.groups.keys().map(|key| Kind::of(*key)).collect();
    for kind in kinds {
        let tag = format!("{}-{}", kind.trained(), kind.init);
        let mut add = |name: String, figure: Option<Figure>, without: &str| match figure {
            Some(figure) => figures.push((name, figure)),
            None => left_out.push(format!("{name}: {without}")),
        };
        add(
            format!("phase-{tag}"),
            phase::phase(statistics, kind)?,
            "all trials have one HD/(Nn) and one scale",
        );
        add(
            format!("tightness-{tag}"),
            curves::tightness(statistics, kind)?,
            "no reading applies to any trial",
        );
        if kind.trained() == Trained::Q {
            add(
                format!("query-alone-{}", kind.init),
                curves::query_alone(statistics, kind)?,
                "no trial moved",
            );
        }
        add(
            format!("vanishing-{tag}"),
            curves::vanishing(statistics, kind)?,
            "all trials have one logit_scale",
        );
    }
    Ok((figures, left_out))
}

/// Trained blocks and initialization.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    blocks: [bool; 3],
    init: &'static str,
}

impl Kind {
    fn of(key: Key) -> Self {
        Kind {
            blocks: key.trained().flags(),
            init: key.init(),
        }
    }

    fn trained(self) -> Trained {
        Trained::from_flags(self.blocks).unwrap_or(Trained::QKV)
    }

    fn key(self, kernel: Kernel) -> Key {
        Key::new(kernel, self.trained(), self.init)
    }

    fn title(self, what: &str) -> String {
        format!("{what}: {} trained, init {}", self.trained(), self.init)
    }
}

pub(super) const KERNELS: [Kernel; 2] = [Kernel::Softmax, Kernel::Gaussian];

pub(super) const WIDTH: f64 = 720.0;
const MARGIN: f64 = 16.0;
/// Left and right edges of the two panels of a row.
pub(super) const COLUMNS: [(f64, f64); 2] = [(76.0, 372.0), (404.0, 700.0)];
const WHITE: Rgb = (255, 255, 255);

/// Okabe-Ito colours, told apart by dashes where colour is lost.
const SOFTMAX: Line = Line {
    color: (213, 94, 0),
    width: 2.2,
    dashes: &[],
};
const GAUSSIAN: Line = Line {
    color: (0, 114, 178),
    width: 2.2,
    dashes: &[8.0, 4.0],
};

pub(super) fn of_kernel(kernel: Kernel) -> Line {
    match kernel {
        Kernel::Softmax => SOFTMAX,
        Kernel::Gaussian => GAUSSIAN,
    }
}

pub(super) fn frame((left, right): (f64, f64), (top, bottom): (f64, f64)) -> Rect {
    Rect {
        left,
        top,
        right,
        bottom,
    }
}

/// White ground, title, and the version at the lower right.
pub(super) fn ground<B: DrawingBackend>(
    canvas: &mut Canvas<'_, B>,
    title: &str,
    height: f64,
) -> Result<()> {
    canvas.fill_rect((0.0, 0.0), (WIDTH, height), WHITE)?;
    let title = fitted(title, 15.0, WIDTH - 2.0 * MARGIN);
    canvas.text(&title, (MARGIN, 25.0), 15.0, BLACK, Align::Left)?;
    let version = concat!("gdcert ", env!("CARGO_PKG_VERSION"));
    let at = (WIDTH - MARGIN - 4.0, height - 8.0);
    canvas.text(version, at, 10.5, GREY, Align::Right)
}

/// A line of samples with names.
pub(super) fn legend<B: DrawingBackend>(
    canvas: &mut Canvas<'_, B>,
    entries: &[(String, Line)],
    y: f64,
) -> Result<()> {
    let mut x = COLUMNS[0].0;
    for (name, line) in entries {
        canvas.line(&[(x, y - 4.0), (x + 30.0, y - 4.0)], *line)?;
        canvas.text(name, (x + 36.0, y), SMALL, BLACK, Align::Left)?;
        x += 36.0 + text_width(name, SMALL) + 20.0;
    }
    Ok(())
}
