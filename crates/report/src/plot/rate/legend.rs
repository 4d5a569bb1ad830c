//! The legend: a line of it for all that is drawn, and where it stands.

use super::loss::{FLOOR, FLOOR_EDGE, LOSS_LINE, PROVEN_LINE};
use super::{MARGIN, ROW, RateVsBound, step};
use crate::plot::canvas::{Align, Canvas, Line, Xy, fitted};
use crate::plot::math::label_width;
use crate::plot::number::scientific;
use crate::plot::panel::{BLACK, Panel, SMALL};
use crate::plot::place::Occupied;
use crate::plot::story;
use gdcert::verdict::Verdict;

/// The line beside a name in a legend.
const SAMPLE: f64 = 30.0;
/// A line of the legend: a sample (or none), name, rate, and what was found.
pub(super) struct Entry {
    sample: Sample,
    /// With formulas.
    name: String,
    rate: String,
    said: String,
}

enum Sample {
    Line(Line),
    Floor,
    Nothing,
}
impl RateVsBound<'_> {
    /// What the legend says.
    pub(super) fn entries(&self) -> Vec<Entry> {
        let story = self.story;
        let mut all = Vec::new();
        let mut add = |sample, name: String, rate: String, said: String| {
            all.push(Entry {
                sample,
                name,
                rate,
                said,
            });
        };
        let (measured, said) = match story.measured {
            Some((whole, _)) if whole < 0.0 => (String::new(), "the loss grew".to_owned()),
            Some((whole, tail)) => (
                format!("measured {}", scientific(whole, 2)),
                format!("a step; over the last quarter {}", scientific(tail, 2)),
            ),
            None => (String::new(), "no rate could be measured".to_owned()),
        };
        add(
            Sample::Line(LOSS_LINE),
            "loss $f(M_t)$".to_owned(),
            measured,
            said,
        );
        for (claims, _) in self.lines() {
            let line = self.style_of(&claims);
            // What was found about the same bound is mostly the same.
            let mut rest = claims;
            while let Some(first) = rest.first() {
                let said = verdict_in_words(first);
                let (same, other): (Vec<&story::Line>, Vec<&story::Line>) =
                    rest.iter().partition(|c| verdict_in_words(c) == said);
                let names: Vec<_> = same.iter().map(|c| c.name.as_str()).collect();
                let decides = names.contains(&story.deciding.as_str());
                let said = match (decides, names.len()) {
                    (true, 1) => format!("{said} (deciding)"),
                    (true, _) => format!("{said} ({} decides)", story.deciding),
                    _ => said,
                };
                let rate = format!("$ηβ$ = {}", scientific(first.rate, 2));
                add(Sample::Line(line), names.join(" = "), rate, said);
                rest = other;
            }
        }
        if self.look.is_screen() {
            let drawn: Vec<_> = self.bounds().map(|(c, _)| c.name.as_str()).collect();
            let others = story.claims.iter();
            for claim in others.filter(|c| !drawn.contains(&c.name.as_str())) {
                let rate = format!("$ηβ$ = {}", scientific(claim.rate, 2));
                let said = verdict_in_words(claim);
                add(Sample::Nothing, claim.name.clone(), rate, said);
            }
        }
        if let Some((t, rate)) = story.proven {
            let said = match t {
                0 => "a step, for every $t$, by a certificate".to_owned(),
                t if story.is_from_start() => {
                    format!("a step from $t$ = {}; before, the exact orbit", step(t))
                }
                t => format!("a step, for every $t$ ≥ {}, by a certificate", step(t)),
            };
            let rate = format!("proven {}", scientific(rate, 2));
            let line = Sample::Line(PROVEN_LINE);
            add(line, "certified".to_owned(), rate, said);
        } else if let (Some((steps, _)), false) = (story.orbit, story.enclosed.is_empty()) {
            let said = format!("exact gradient descent, to $t$ = {}", step(steps));
            let line = Sample::Line(PROVEN_LINE);
            add(line, "enclosed".to_owned(), String::new(), said);
        }
        if self.floor_seen() {
            let name = match self.look.is_screen() {
                true => "rounding floor: nothing is compared there",
                false => "rounding floor",
            };
            add(Sample::Floor, name.to_owned(), String::new(), String::new());
        } else if self.look.is_screen() {
            let name = "the rounding floor is below the axis";
            add(
                Sample::Nothing,
                name.to_owned(),
                String::new(),
                String::new(),
            );
        }
        all
    }

    /// On paper an entry is one text: a rate where there is one.
    pub(super) fn short(entry: &Entry) -> String {
        match entry.rate.as_str() {
            "" => entry.name.clone(),
            rate => format!("{}: {rate}", entry.name),
        }
    }

    pub(super) fn legend_rows(&self) -> usize {
        match self.look.is_screen() {
            true => self.legend.len(),
            false => self.flow().last().map_or(0, |(row, _)| row + 1),
        }
    }

    /// Row and x of every entry on paper, beside each other as far as there is room.
    fn flow(&self) -> Vec<(usize, f64)> {
        let (left, right) = (self.margin(), self.width() - self.margin());
        let (mut row, mut x) = (0, left);
        let place = |entry: &Entry| {
            let width = SAMPLE + 6.0 + label_width(&Self::short(entry), SMALL);
            if x > left && x + width > right {
                row += 1;
                x = left;
            }
            let at = (row, x);
            x += width + 14.0;
            at
        };
        self.legend.iter().map(place).collect()
    }

    pub(super) fn draw_legend(&self, canvas: &mut Canvas) {
        if !self.look.is_screen() {
            for (entry, (row, x)) in self.legend.iter().zip(self.flow()) {
                let y = self.top + row as f64 * ROW;
                draw_sample(canvas, &entry.sample, (x, y), SAMPLE);
                let at = (x + SAMPLE + 6.0, y);
                canvas.label(&Self::short(entry), at, SMALL, BLACK, Align::Left);
            }
            return;
        }
        let in_columns = || self.legend.iter().filter(|e| !e.said.is_empty());
        let widest = |of: fn(&Entry) -> &str| {
            in_columns()
                .map(|entry| label_width(of(entry), SMALL))
                .fold(0.0, f64::max)
        };
        let name_at = MARGIN + 48.0;
        let rate_at = name_at + widest(|e| &e.name) + 16.0;
        let said_at = rate_at + widest(|e| &e.rate) + 16.0;
        for (row, entry) in self.legend.iter().enumerate() {
            let y = self.top + row as f64 * ROW;
            draw_sample(canvas, &entry.sample, (MARGIN, y), 40.0);
            canvas.label(&entry.name, (name_at, y), SMALL, BLACK, Align::Left);
            canvas.label(&entry.rate, (rate_at, y), SMALL, BLACK, Align::Left);
            let room = self.width() - 6.0 - said_at;
            let said = match label_width(&entry.said, SMALL) <= room {
                true => entry.said.clone(),
                false => fitted(&entry.said.replace('$', ""), SMALL, room),
            };
            canvas.label(&said, (said_at, y), SMALL, BLACK, Align::Left);
        }
    }

    /// A box in the corner with the least ink in it.
    pub(super) fn draw_legend_inside(
        &self,
        canvas: &mut Canvas,
        panel: &Panel,
        occupied: &mut Occupied,
    ) {
        let widest = |texts: &[String]| {
            let widths = texts.iter().map(|text| label_width(text, SMALL));
            widths.fold(0.0, f64::max)
        };
        let sample = 22.0;
        let room = 0.62 * (panel.frame.right - panel.frame.left) - sample - 16.0;
        let mut texts: Vec<String> = self.legend.iter().map(Self::short).collect();
        if widest(&texts) > room {
            texts = self.legend.iter().map(|entry| entry.name.clone()).collect();
        }
        let widest = widest(&texts);
        let size = (
            widest + sample + 16.0,
            (ROW - 2.0) * texts.len() as f64 + 7.0,
        );
        let rect = occupied.corner(&panel.frame, size);
        canvas.fill_rect(
            (rect.left, rect.top),
            (rect.right, rect.bottom),
            (255, 255, 255),
        );
        canvas.line(&rect.corners(), Line::solid((200, 200, 200), 0.7));
        for (i, (entry, text)) in self.legend.iter().zip(&texts).enumerate() {
            let y = rect.top + 13.5 + (ROW - 2.0) * i as f64;
            draw_sample(canvas, &entry.sample, (rect.left + 5.0, y), sample);
            let at = (rect.left + sample + 10.0, y);
            canvas.label(text, at, SMALL, BLACK, Align::Left);
        }
    }
}

fn verdict_in_words(claim: &story::Line) -> String {
    match (claim.verdict, claim.first_violation) {
        (Verdict::Certified, _) => "certified for every $t$".to_owned(),
        (Verdict::CertifiedTail, _) => "certified: checked, then proven".to_owned(),
        (Verdict::Held, _) => format!("held to $t$ = {}", step(claim.checked_to)),
        (Verdict::Violated | Verdict::Refuted, Some(t)) => {
            format!("{} at $t$ = {}", claim.verdict, step(t))
        }
        (Verdict::Violated | Verdict::Refuted, None) => claim.verdict.to_string(),
        (Verdict::Obstructed, _) => "obstructed: 0 is out of reach".to_owned(),
        (Verdict::Diverged, _) => "diverged".to_owned(),
        (Verdict::NotApplicable, _) if claim.rate >= 1.0 => {
            "not applicable: $ηβ$ ≥ 1, no bound".to_owned()
        }
        (Verdict::NotApplicable, _) => {
            format!("not applicable: {}", claim.reason.replace('$', " "))
        }
    }
}

fn draw_sample(canvas: &mut Canvas, sample: &Sample, (x, y): Xy, width: f64) {
    match sample {
        Sample::Line(line) => canvas.line(&[(x, y - 4.0), (x + width, y - 4.0)], *line),
        Sample::Floor => {
            canvas.fill_rect((x, y - 9.0), (x + width, y + 1.0), FLOOR);
            let edge = [(x, y - 9.0), (x + width, y - 9.0)];
            canvas.line(&edge, Line::solid(FLOOR_EDGE, 0.8))
        }
        Sample::Nothing => {}
    }
}
