//! What a verification found, as plain text for a terminal.

use super::words::{obstruction_words, refuted_reading};
use gdcert::descent::{End, FLOOR_SHARE};
use gdcert::model::Precision;
use gdcert::refutation_file;
use gdcert::spectrum::Reading;
use gdcert::verdict::Claim;
use gdcert::verify::Verification;
use gdcert_base::number::{digits, short};
use std::fmt::Write;

const WIDTH: usize = 80;

/// The verification in words and one table, at most 80 columns wide unless `title` holds a longer
/// word: instance, run, measured rate beside every claimed rate, verdicts, and what they mean.
///
/// `title` says what `found` does not know: the initialization and seed, or the file's name. Rates are
/// per step: the claim is f_{t+1} <= (1 - rate) f_t on average. `deciding` is marked with a star.
pub fn summary(found: &Verification, title: &str, deciding: &str) -> String {
    let mut text = String::new();
    for (name, words) in head(found, title) {
        text += &paragraph(&format!("{name:<10}"), "          ", &words);
    }
    text.push('\n');
    let rates = found.measured_rates();
    text += &table(&found.claims, rates, found.loss0(), deciding);
    text.push('\n');
    for sentence in remarks(found, deciding) {
        text += &paragraph("- ", "  ", &sentence);
    }
    text
}

fn head(found: &Verification, title: &str) -> [(&'static str, String); 4] {
    let eta = found.trajectory.eta;
    let last = found.last();
    [
        (
            "Instance",
            format!("{title}; {} kernel, {}", found.kernel, found.dims),
        ),
        (
            "Run",
            format!(
                "exact gradient descent on {}{}, eta = {}, {} steps{}",
                found.trained,
                match found.trajectory.precision {
                    Precision::F64 => "",
                    Precision::DoubleDouble => " in double-double",
                },
                digits(eta),
                last.t,
                match found.trajectory.end {
                    End::Steps => "",
                    End::Floor => " (stopped at the rounding floor)",
                    End::Diverged => " (stopped: diverged)",
                }
            ),
        ),
        (
            "Loss",
            format!(
                "f_0 = {}, f_T = {}",
                digits(found.loss0()),
                digits(last.loss)
            ),
        ),
        ("Measured", measured(found.measured_rates())),
    ]
}

/// The measured rates in words.
pub(super) fn measured(rates: Option<(f64, f64)>) -> String {
    match rates {
        Some((whole, _)) if whole < 0.0 => {
            format!("the loss grew by a share of {} a step", digits(-whole))
        }
        Some((whole, tail)) => format!(
            "the loss fell by a share of {} a step over the run, {} over its last quarter",
            digits(whole),
            digits(tail)
        ),
        None => {
            "no rate: no step has a loss that is finite and above its rounding floor".to_owned()
        }
    }
}

/// One row a claim: what it claims, what was measured, and the verdict.
pub(super) fn table(
    claims: &[Claim],
    rates: Option<(f64, f64)>,
    loss0: f64,
    deciding: &str,
) -> String {
    let names = claims.iter().map(|claim| claim.name.len() + 1);
    let width = names.fold(9, usize::max);
    let mut text = format!(
        "  {:<width$}{:>11}{:>11}{:>13}{:>9}  {}\n",
        "reading", "claimed", "measured", "last quarter", "ratio", "verdict"
    );
    let (whole, tail) = rates.unzip();
    let shown = |x: Option<f64>| x.map_or("-".to_owned(), digits);
    for claim in claims {
        let applies = claim.bound(0, loss0).is_some();
        let ratio = whole
            .filter(|w| applies && *w >= 0.0)
            .map(|w| w / claim.rate);
        let verdict = match claim.first_violation {
            Some(t) if claim.verdict.fails() => format!("{} at t = {t}", claim.verdict),
            _ => claim.verdict.to_string(),
        };
        let star = if claim.name == deciding { '*' } else { ' ' };
        // Writing to a String can not fail.
        let _ = writeln!(
            text,
            "{star} {:<width$}{:>11}{:>11}{:>13}{:>9}  {verdict}",
            claim.name,
            digits(claim.rate),
            shown(whole),
            shown(tail),
            ratio.map_or("-".to_owned(), short),
        );
    }
    text += "* decides. Rates are per step: claimed = eta beta, ratio = measured / claimed.\n";
    text
}

fn remarks(found: &Verification, deciding: &str) -> Vec<String> {
    let claim = found.claim(deciding);
    let mut remarks = vec![match found.obstruction {
        Some(obstruction) => obstruction_words(obstruction, found.trained),
        None => format!("{deciding}: {}.", claim.reason),
    }];
    let stacked = found.claim(Reading::Stacked);
    let per_head = found.claim(Reading::PerHead);
    remarks.extend(refuted_reading(
        stacked.first_violation,
        stacked.verdict,
        per_head.verdict,
    ));
    if let Some(orbit) = &found.orbit {
        remarks.push(format!(
            "Exact orbit: enclosed from M_0 to t = {} with {} bits; the run{} is within {:.1e} of exact gradient descent.",
            orbit.steps,
            orbit.bits,
            match found.trajectory.precision {
                Precision::F64 => "",
                Precision::DoubleDouble => " in f64",
            },
            orbit.run_distance,
        ));
    }
    for (name, certificate) in &found.refutations {
        remarks.push(format!(
            "{}: {}",
            refutation_file(name),
            certificate.statement()
        ));
    }
    if let Some(certificate) = &found.certificate {
        remarks.push(format!(
            "certificate.json: {} gdcert check re-proves it.",
            certificate.statement()
        ));
    }
    remarks.push(floor(&found.claims, found.last().loss_error));
    remarks
}

/// Where rounding hides the loss.
pub(super) fn floor(claims: &[Claim], last_error: f64) -> String {
    let reached = |c: &Claim| c.floor_at.map(|t| format!("{} from t = {t}", c.name));
    let reached: Vec<_> = claims.iter().filter_map(reached).collect();
    if !reached.is_empty() {
        return format!(
            "Rounding floor: the error of f_t is above {FLOOR_SHARE} of the bound, and nothing is \
             compared, for {}.",
            reached.join(", ")
        );
    }
    if last_error.is_finite() {
        format!(
            "Rounding floor: f_T is known to within {}; no comparison was lost to it.",
            digits(last_error)
        )
    } else {
        "Rounding floor: the last loss has no error bound.".to_owned()
    }
}

/// Words in lines of at most [`WIDTH`] columns; the first starts with `first`, the others with `rest`.
pub fn paragraph(first: &str, rest: &str, words: &str) -> String {
    let mut text = String::new();
    let mut line = first.to_owned();
    let mut empty = true;
    for word in words.split_whitespace() {
        if !empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            text += line.trim_end();
            text.push('\n');
            line = rest.to_owned();
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line += word;
        empty = false;
    }
    text += line.trim_end();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use gdcert::descent::Steps;
    use gdcert::verdict::Verdict;
    use gdcert::{Dims, Eta, Init, Instance, Kernel, Settings, Trained, deciding_reading, verify};

    fn found(kernel: Kernel, init: Init, settings: &Settings) -> Verification {
        let dims = Dims {
            N: 1,
            n: 2,
            D: 6,
            d: 3,
            H: if matches!(init, Init::ConstantValue { .. }) {
                2
            } else {
                3
            },
            p: 1,
        };
        let instance = Instance::random(dims, kernel, init, 0).unwrap();
        verify(&instance, settings).unwrap()
    }

    fn text(found: &Verification) -> String {
        let text = summary(found, "a title", deciding_reading(found.trained).name());
        assert!(text.lines().all(|l| l.chars().count() <= WIDTH), "{text}");
        assert!(text.is_ascii() && text.ends_with('\n'));
        text
    }

    #[test]
    fn a_refuted_reading_is_not_a_refuted_theorem() {
        let lazy = Init::Lazy { omega: 10.0 };
        let found = found(Kernel::Gaussian, lazy, &Settings::default());
        assert_eq!(found.claim(Reading::Stacked).verdict, Verdict::Refuted);
        let text = text(&found);
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains("* per_head"));
        assert!(text.contains("  stacked"));
        assert!(text.contains("refuted at t = "));
        assert!(words.contains("does not refute the theorem"), "{text}");
        assert!(
            words.contains("The per-head reading is certified."),
            "{text}"
        );
        // Columns: every row starts its verdict where the header does.
        let header = text.lines().find(|l| l.contains("claimed")).unwrap();
        let at = header.find("verdict").unwrap();
        let rows: Vec<_> = text
            .lines()
            .filter(|l| l.contains("e-") && l.len() > at && l.as_bytes()[1] == b' ')
            .collect();
        assert!(rows.iter().filter(|l| l.as_bytes()[at - 1] == b' ').count() >= 4);
    }

    #[test]
    fn an_obstruction_and_a_single_point_are_explained() {
        let settings = Settings {
            trained: Trained::Q,
            eta: Eta::Fixed(0.1),
            steps: Steps::Exactly(0),
            ..Settings::default()
        };
        let found = found(Kernel::Softmax, Init::ConstantValue { s: 1.0 }, &settings);
        let text = text(&found);
        assert!(text.contains("* ntk"));
        assert!(
            text.contains("Obstructed:") && text.contains("can not reach 0"),
            "{text}"
        );
    }

    #[test]
    fn divergence_is_said() {
        let settings = Settings {
            eta: Eta::Fixed(1e12),
            ..Settings::default()
        };
        let found = found(Kernel::Softmax, Init::Lazy { omega: 10.0 }, &settings);
        assert!(text(&found).contains("diverged"));
    }
}
