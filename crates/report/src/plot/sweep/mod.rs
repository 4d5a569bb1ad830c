//! Figures of a sweep, for each choice of trained blocks and initialization in it: softmax on the left, Gaussian on
//! the right.

mod curves;
mod phase;

use super::Figure;
use super::canvas::{Align, Canvas, Line, Rgb, fitted, text_width};
use super::look::{Legend, Look};
use super::math::label_width;
use super::panel::{BLACK, GREY, SMALL, TITLE};
use super::place::Rect;
use gdcert::experiment::summary::{Key, Statistics};
use gdcert::experiment::sweep::Row;
use gdcert::model::{Kernel, Trained};
use std::collections::BTreeSet;

/// A figure's name (without an ending) and what was drawn.
pub type Named = (String, Figure);

/// The figures that a sweep has data for, and a line for each that it has none for.
///
/// `phase-BLOCKS-INIT`: verdicts over HD/(Nn) and scale. `tightness-BLOCKS-INIT`: the distribution of measured over
/// claimed rate. `query-alone-INIT`: where training W^Q alone ends. `vanishing-BLOCKS-INIT`: |J_Q| against the logit scale.
pub fn sweep_figures(
    statistics: &Statistics,
    over: &Over,
    look: &Look,
) -> (Vec<Named>, Vec<String>) {
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
            phase::phase(statistics, kind, over, look),
            "all trials have one HD/(Nn) and one scale",
        );
        add(
            format!("tightness-{tag}"),
            curves::tightness(statistics, kind, over, look),
            "no reading applies to any trial",
        );
        if kind.trained() == Trained::Q {
            add(
                format!("query-alone-{}", kind.init),
                curves::query_alone(statistics, kind, over, look),
                "no trial moved",
            );
        }
        add(
            format!("vanishing-{tag}"),
            curves::vanishing(statistics, kind, over, look),
            "all trials have one logit_scale",
        );
    }
    (figures, left_out)
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

/// A screen's figure.
const WIDTH: f64 = 720.0;
const WHITE: Rgb = (255, 255, 255);

/// Which instances a sweep was over, for the foot of its figures.
#[derive(Clone, Debug, Default)]
pub struct Over {
    sizes: [BTreeSet<usize>; 6],
    seeds: BTreeSet<u64>,
}

impl Over {
    /// Takes note of a trial.
    pub fn add(&mut self, row: &Row) {
        let d = row.dims;
        for (all, size) in self.sizes.iter_mut().zip([d.N, d.n, d.D, d.d, d.H, d.p]) {
            all.insert(size);
        }
        self.seeds.insert(row.seed);
    }

    /// Sizes and seeds.
    pub fn words(&self) -> String {
        let size = |(name, all): (&str, &BTreeSet<usize>)| {
            let all: Vec<_> = all.iter().collect();
            match all[..] {
                [] => format!("{name} unknown"),
                [one] => format!("{name} = {one}"),
                [one, two] => format!("{name} = {one}, {two}"),
                [first, .., last] => format!("{name} = {first} to {last}"),
            }
        };
        let sizes: Vec<_> = ["N", "n", "D", "d", "H", "p"]
            .into_iter()
            .zip(&self.sizes)
            .map(size)
            .collect();
        let seeds = match self.seeds.len() {
            1 => "1 seed".to_owned(),
            count => format!("{count} seeds"),
        };
        format!("{} · {seeds}", sizes.join(", "))
    }
}

/// What every figure of a sweep has around its panels.
pub(super) struct Page<'a> {
    pub(super) title: String,
    pub(super) legend: Vec<(String, Line)>,
    /// What is to be said on a screen, line by line.
    pub(super) notes: Vec<String>,
    pub(super) look: &'a Look,
}

impl Page<'_> {
    pub(super) fn width(&self) -> f64 {
        self.look.width.unwrap_or(WIDTH)
    }

    fn margin(&self) -> f64 {
        if self.look.is_screen() { 16.0 } else { 2.0 }
    }

    /// The first line of the legend.
    fn legend_at(&self) -> f64 {
        match (self.look.is_screen(), self.look.title(&self.title)) {
            (true, _) => 50.0,
            (false, Some(_)) => 36.0,
            (false, None) => 12.0,
        }
    }

    /// Row and x of every entry, beside each other as far as there is room.
    fn flow(&self) -> Vec<(usize, f64)> {
        let right = self.width() - self.margin();
        let (mut row, mut x) = (0, self.margin());
        let place = |(text, _): &(String, Line)| {
            let width = SAMPLE + 6.0 + text_width(text, SMALL);
            if x > self.margin() && x + width > right {
                row += 1;
                x = self.margin();
            }
            let at = (row, x);
            x += width + 18.0;
            at
        };
        self.legend.iter().map(place).collect()
    }

    /// Where the panels begin.
    pub(super) fn top(&self) -> f64 {
        match (self.look.legend, self.flow().last()) {
            (Legend::None, _) | (_, None) => self.legend_at() - 6.0,
            (_, Some((row, _))) => self.legend_at() + *row as f64 * ROW + 12.0,
        }
    }

    /// Below the panels.
    pub(super) fn foot(&self) -> f64 {
        match self.look.is_screen() {
            true => 8.0 + 15.0 * (1 + self.notes.len()) as f64,
            false => 2.0,
        }
    }

    /// As many panels beside each other as there is room for: left and right edges.
    pub(super) fn columns(&self, panels: usize, left: f64) -> Vec<(f64, f64)> {
        let width = self.width() - self.margin();
        let count = match panels {
            0 | 1 => 1,
            _ if width < 2.0 * (left + 120.0) => 1,
            _ => 2,
        };
        let each = width / count as f64;
        (0..count)
            .map(|i| (i as f64 * each + left, (i + 1) as f64 * each - 6.0))
            .collect()
    }

    /// White ground, title, legend and notes; the version at the lower right of a screen's figure.
    pub(super) fn draw(&self, canvas: &mut Canvas, height: f64) {
        canvas.fill_rect((0.0, 0.0), (self.width(), height), WHITE);
        let room = self.width() - 2.0 * self.margin();
        let screen = self.look.is_screen();
        if let Some(title) = self.look.title(&self.title) {
            let at = (self.margin(), if screen { 25.0 } else { 15.0 });
            // Ours has formulas in it; a reader's own is text.
            match self.look.title.is_none() && label_width(title, TITLE) <= room {
                true => canvas.label(title, at, TITLE, BLACK, Align::Left),
                false => {
                    let title = match self.look.title {
                        None => title.replace('$', ""),
                        Some(_) => title.to_owned(),
                    };
                    let title = fitted(&title, TITLE, room);
                    canvas.text(&title, at, TITLE, BLACK, Align::Left);
                }
            }
        }
        if self.look.legend != Legend::None {
            for ((name, line), (row, x)) in self.legend.iter().zip(self.flow()) {
                let y = self.legend_at() + row as f64 * ROW;
                canvas.line(&[(x, y - 4.0), (x + SAMPLE, y - 4.0)], *line);
                let at = (x + SAMPLE + 6.0, y);
                canvas.text(name, at, SMALL, BLACK, Align::Left);
            }
        }
        if !screen {
            return;
        }
        let version = concat!("gdcert ", env!("CARGO_PKG_VERSION"));
        let bottom = height - 8.0;
        let right = self.width() - self.margin();
        canvas.text(version, (right, bottom), SMALL, GREY, Align::Right);
        for (i, note) in self.notes.iter().rev().enumerate() {
            let room = if i == 0 { room - 90.0 } else { room };
            let at = (self.margin(), bottom - 15.0 * i as f64);
            canvas.label(&fitted(note, SMALL, room), at, SMALL, GREY, Align::Left);
        }
    }
}

const SAMPLE: f64 = 26.0;
const ROW: f64 = 17.0;

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
