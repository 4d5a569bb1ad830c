//! Verdicts and certificates restated in words.

use super::proof::{Gist, Held, Reproved, Verdicts, reason_words};
use super::table::{Cell, Table};
use gdcert::bounds::Obstruction;
use gdcert::certificate::Certificate;
use gdcert::model::{Precision, Trained};
use gdcert::spectrum::Reading;
use gdcert::verdict::Verdict;
use gdcert::verify::{OrbitFile, VerdictFile};
use gdcert_base::number::{at_least, digits, exact};
use gdcert_base::printable::printable_line;

/// Beside a verdict that speaks of a proof and has none here.
pub(super) const NOT_REPROVEN: &str = "(not re-proven here)";

/// Why a verdict of the file that speaks of a proof is not shown as proven, by reading.
pub(super) type Unproven<'a> = &'a dyn Fn(&str) -> Option<String>;

/// What a verification was about and what it found, sentence by sentence. What it proved is said only as far as it was
/// proven again.
pub(super) fn verdict_words(
    file: &VerdictFile,
    proof: Option<&Reproved>,
    unproven: Unproven,
) -> Vec<String> {
    let deciding = file.deciding();
    let shown = |x: Option<f64>| x.map_or("not finite".to_owned(), digits);
    // The verdict leads.
    let mut words = vec![
        verdict(file, deciding, proof, unproven),
        format!(
            "Instance: {} attention, {}, {}. Exact gradient descent on {} with step eta = {}{}, {} steps.",
            file.kernel,
            file.dims,
            origin(file),
            file.trained,
            shown(file.eta),
            match file.precision {
                Precision::F64 => "",
                Precision::DoubleDouble => " in double-double",
            },
            file.steps,
        ),
        claimed(file),
    ];
    words.extend(measured(
        file.loss0.zip(file.final_loss),
        file.measured_rate.zip(file.measured_tail_rate),
    ));
    if unproven(deciding).is_none()
        && let Some(Held::Instance(Certificate::Obstructed(c))) = proof.map(|p| &p.held)
    {
        let found = Obstruction {
            reason: c.reason,
            loss_lower: c.loss_lower,
        };
        words.push(obstruction_words(found, c.trained));
    }
    let violated = file.claims[Reading::Stacked].first_violation;
    let per_head = match unproven(Reading::PerHead.name()) {
        Some(_) => Verdict::NotApplicable,
        None => file.claims[Reading::PerHead].verdict,
    };
    // What the run showed is in the file alone.
    let (stacked, whose) = match (
        file.claims[Reading::Stacked].verdict,
        unproven(Reading::Stacked.name()),
    ) {
        (Verdict::Refuted, None) => (Verdict::Refuted, ""),
        (Verdict::Refuted, Some(_)) => (Verdict::Violated, OF_THE_FILE),
        (verdict, _) => (verdict, OF_THE_FILE),
    };
    let finding = refuted_reading(violated, stacked, per_head);
    words.extend(finding.map(|finding| format!("{whose}{finding}")));
    words.extend(file.orbit.map(orbit_words));
    words
        .iter()
        .map(|words| printable_line(words).into_owned())
        .collect()
}

/// What the claim that decides says.
pub(super) fn claimed(file: &impl Verdicts) -> String {
    let deciding = file.deciding();
    let shown = |x: Option<f64>| x.map_or("not finite".to_owned(), digits);
    let beta = shown(file.betas()[deciding]);
    format!(
        "Claim: f(M_t) <= (1 - eta beta)^t f(M_0) with {}, a rate eta beta of {} a step.",
        match Reading::named(deciding) {
            Some(reading) => format!("beta read as {reading}: {} = {beta}", reading.formula()),
            None => format!("the number beta = {beta}, called {deciding}"),
        },
        shown(file.claims()[deciding].rate),
    )
}

/// First and last loss, rates over the run and its last quarter.
pub(super) fn measured(losses: Option<(f64, f64)>, rates: Option<(f64, f64)>) -> Option<String> {
    let (f0, last) = losses?;
    let mut measured = format!(
        "Measured: the loss went from {} to {}",
        digits(f0),
        digits(last)
    );
    if let Some((rate, tail)) = rates {
        measured += &format!(
            ", a rate of {} a step over the run and {} over its last quarter",
            digits(rate),
            digits(tail)
        );
    }
    Some(measured + ".")
}

pub(super) fn orbit_words(orbit: OrbitFile) -> String {
    format!(
        "Exact orbit, in the file's words: enclosed from M_0 to t = {} with {} bits, where errors may have grown by 2^{:.1}{}.",
        orbit.steps,
        orbit.bits,
        orbit.log2_growth.unwrap_or(f64::NAN),
        match orbit.run_distance {
            Some(far) =>
                format!("; a run in f64 is within {far:.1e} of exact gradient descent there"),
            None => String::new(),
        }
    )
}

/// Before what is taken from a file and not run again.
const OF_THE_FILE: &str = "By the file's run, not repeated here: ";

/// The verdict of a reading and what it means. Reasons are the file's own words, and a proof has better ones.
pub(super) fn verdict(
    file: &impl Verdicts,
    name: &str,
    proof: Option<&Reproved>,
    unproven: Unproven,
) -> String {
    let claim = &file.claims()[name];
    let verdict = claim.verdict;
    if let Some(why) = unproven(name) {
        return format!("Verdict: the file says {verdict}. Not re-proven here: {why}.");
    }
    let meaning = verdict.meaning();
    match (verdict, proof.map(|p| p.held.gist())) {
        (Verdict::CertifiedTail, Some(Gist::Rate { t, .. })) => {
            format!("Verdict: {verdict}: {meaning}. Here: T = {t}.")
        }
        (Verdict::Certified, Some(Gist::Rate { orbit, .. })) => format!(
            "Verdict: {verdict}: {meaning}. Here: {}.",
            match orbit {
                Some(steps) =>
                    format!("the exact orbit is enclosed to T = {steps}, then Theorem A"),
                None => "Theorem A at M_0".to_owned(),
            }
        ),
        (Verdict::Refuted, Some(Gist::Refuted { claim, t })) if claim == name => {
            format!("Verdict: {verdict}: {meaning}. Here: at t = {t}.")
        }
        (Verdict::Certified | Verdict::Obstructed, _) => format!("Verdict: {verdict}: {meaning}."),
        _ => format!(
            "Verdict: {verdict}: {meaning}. Here, in the file's words: {}.",
            claim.reason
        ),
    }
}

fn origin(file: &VerdictFile) -> String {
    match (&file.init, file.scale, file.seed) {
        (Some(init), Some(scale), Some(seed)) => {
            format!(
                "initialization {init} at scale {}, seed {seed}",
                exact(scale)
            )
        }
        (Some(init), None, Some(seed)) => format!("initialization {init}, seed {seed}"),
        _ => "read from a file".to_owned(),
    }
}

/// What a violation of the literal reading says, and what it does not.
pub(super) fn refuted_reading(
    first_violation: Option<usize>,
    stacked: Verdict,
    per_head: Verdict,
) -> Option<String> {
    if !stacked.fails() || per_head.fails() {
        return None;
    }
    let t = first_violation?;
    let exceeded = match stacked {
        Verdict::Refuted => {
            format!("whose bound exact gradient descent is proven to exceed at t = {t}")
        }
        _ => format!("whose bound is exceeded from t = {t}"),
    };
    let mut text = format!(
        "This refutes the literal reading of beta (sigma_min of the stacked W^O), {exceeded}. It \
         does not refute the theorem, which only asserts that some \
         initialization and step exist."
    );
    match per_head {
        Verdict::Held => text += " The per-head reading held.",
        Verdict::Certified | Verdict::CertifiedTail => {
            text += " The per-head reading is certified."
        }
        _ => {}
    }
    Some(text)
}

/// Why convergence to 0 is impossible.
pub(super) fn obstruction_words(obstruction: Obstruction, trained: Trained) -> String {
    format!(
        "Obstructed: {}. Whatever W^Q and W^K are, the loss is at least {}: training {trained} alone \
         can not reach 0.",
        reason_words(obstruction.reason),
        at_least(obstruction.loss_lower),
    )
}

/// The readings of beta, one row each; the deciding one is named in the caption.
pub(super) fn readings_table(file: &impl Verdicts, unproven: Unproven) -> Table {
    let mut table = Table::new(
        format!(
            "Readings of beta; {} decides. Rates are per step: claimed = eta beta.",
            file.deciding()
        ),
        &[
            "reading",
            "beta",
            "claimed rate",
            "measured rate",
            "first violation",
            "verdict",
        ],
    );
    for (name, claim) in file.claims().iter() {
        table.rows.push(vec![
            Cell::text(name),
            Cell::number(file.betas().get(name).copied().flatten()),
            Cell::number(claim.rate),
            Cell::number(file.measured_rate()),
            Cell::value(&claim.first_violation.into()),
            Cell::text(match unproven(name) {
                Some(_) => format!("{} {NOT_REPROVEN}", claim.verdict),
                None => claim.verdict.name().to_owned(),
            }),
        ]);
    }
    table
}
