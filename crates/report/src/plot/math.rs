//! Formulas in labels: `$f(M_t)$` has its variables slanted and its indices lowered.

use super::font::{Face, width};

/// A piece of a label.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Run {
    pub text: String,
    pub face: Face,
    /// Size as a part of the label's.
    pub size: f64,
    /// How far above the baseline, as a part of the label's size.
    pub lift: f64,
}

const INDEX: f64 = 0.7;
const RAISED: f64 = 0.42;
const LOWERED: f64 = -0.2;
/// Names in formulas that are words.
const WORDS: [&str; 2] = ["min", "hull"];

/// The pieces of a label, formulas between dollar signs.
pub(super) fn runs(label: &str) -> Vec<Run> {
    let mut all = Vec::new();
    for (i, part) in label.split('$').enumerate() {
        match i % 2 {
            0 => push(&mut all, part, Face::Upright, 1.0, 0.0),
            _ => formula(&mut all, part),
        }
    }
    all
}

fn formula(all: &mut Vec<Run>, text: &str) {
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let (lift, body) = match c {
            '_' => (LOWERED, &rest[1..]),
            '^' => (RAISED, &rest[1..]),
            _ => {
                let end = rest.find(['_', '^']).unwrap_or(rest.len());
                let (plain, after) = rest.split_at(end);
                letters(all, plain, 1.0, 0.0);
                rest = after;
                continue;
            }
        };
        let (index, after) = match body.strip_prefix('{').and_then(|b| b.split_once('}')) {
            Some(parts) => parts,
            None => body.split_at(body.chars().next().map_or(0, char::len_utf8)),
        };
        letters(all, index, INDEX, lift);
        rest = after;
    }
}

/// Letters are slanted, but for words; the rest is upright.
fn letters(all: &mut Vec<Run>, text: &str, size: f64, lift: f64) {
    if WORDS.contains(&text) {
        return push(all, text, Face::Upright, size, lift);
    }
    for c in text.chars() {
        let face = if c.is_alphabetic() {
            Face::Slanted
        } else {
            Face::Upright
        };
        push(all, c.encode_utf8(&mut [0; 4]), face, size, lift);
    }
}

fn push(all: &mut Vec<Run>, text: &str, face: Face, size: f64, lift: f64) {
    match all.last_mut() {
        _ if text.is_empty() => {}
        Some(run) if run.face == face && run.size == size && run.lift == lift => run.text += text,
        _ => all.push(Run {
            text: text.to_owned(),
            face,
            size,
            lift,
        }),
    }
}

/// Width of a run at a label's size.
pub(super) fn run_width(run: &Run, size: f64) -> f64 {
    width(&run.text, size * run.size, run.face)
}

/// Width of a label in points.
pub(super) fn label_width(label: &str, size: f64) -> f64 {
    runs(label).iter().map(|run| run_width(run, size)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_have_indices_and_slanted_variables() {
        let all = runs("loss $f(M_t)$, $σ_{min}^{-1}$");
        let said: Vec<(&str, Face, f64)> = all
            .iter()
            .map(|run| (run.text.as_str(), run.face, run.lift))
            .collect();
        let (up, it) = (Face::Upright, Face::Slanted);
        assert_eq!(
            said,
            [
                ("loss ", up, 0.0),
                ("f", it, 0.0),
                ("(", up, 0.0),
                ("M", it, 0.0),
                ("t", it, LOWERED),
                ("), ", up, 0.0),
                ("σ", it, 0.0),
                ("min", up, LOWERED),
                ("-1", up, RAISED),
            ]
        );
        // Whatever is written, nothing is lost but the signs themselves.
        for odd in ["$", "$_", "$a_{b", "$^$_", "_x^", "$x_ä$"] {
            let text: String = runs(odd).into_iter().map(|run| run.text).collect();
            assert!(text.len() <= odd.len(), "{odd}: {text}");
        }
    }
}
