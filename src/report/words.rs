//! Verdicts and certificates restated in words.

use super::table::{Cell, Table, digits};
use crate::certificate::{Certificate, Obstructed, Obstruction, Reason, TheoremA};
use crate::model::{Precision, Trained};
use crate::spectrum::Reading;
use crate::verdict::{Verdict, VerdictFile};

/// What a verification was about and what it found, sentence by sentence.
pub fn verdict_words(file: &VerdictFile) -> Vec<String> {
    let deciding = file.deciding();
    let claim = file.claims.get(deciding);
    let shown = |x: Option<f64>| x.map_or("not finite".to_owned(), digits);
    let mut words = vec![
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
        format!(
            "Claim: f(M_t) <= (1 - eta beta)^t f(M_0) with beta read as {deciding}: {} = {}, a rate eta beta of {} a step.",
            deciding.formula(),
            shown(*file.betas.get(deciding)),
            shown(claim.rate),
        ),
        format!(
            "Verdict: {}: {}. Here: {}.",
            claim.verdict,
            claim.verdict.meaning(),
            claim.reason
        ),
    ];
    if let (Some(f0), Some(last)) = (file.loss0, file.final_loss) {
        let mut measured = format!(
            "Measured: the loss went from {} to {}",
            digits(f0),
            digits(last)
        );
        if let (Some(rate), Some(tail)) = (file.measured_rate, file.measured_tail_rate) {
            measured += &format!(
                ", a rate of {} a step over the run and {} over its last quarter",
                digits(rate),
                digits(tail)
            );
        }
        words.push(measured + ".");
    }
    words.extend(file.obstruction.map(|o| obstruction_words(o, file.trained)));
    let violated = file.claims.stacked.first_violation;
    words.extend(refuted_reading(
        violated,
        file.claims.stacked.verdict,
        file.claims.per_head.verdict,
    ));
    words
}

/// What the certificate in a verdict file says.
pub(super) fn certified_words(file: &VerdictFile) -> Option<String> {
    let statement = file.certificate.as_ref()?["statement"].as_str()?;
    Some(format!(
        "Certificate: {statement} gdcert check re-proves it from certificate.json."
    ))
}

fn origin(file: &VerdictFile) -> String {
    match (&file.init, file.scale, file.seed) {
        (Some(init), Some(scale), Some(seed)) => {
            format!("initialization {init} at scale {scale}, seed {seed}")
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
    if stacked != Verdict::Violated || per_head == Verdict::Violated {
        return None;
    }
    let t = first_violation?;
    let mut text = format!(
        "This refutes the literal reading of beta (sigma_min of the stacked W^O), whose bound is \
         exceeded from t = {t}. It does not refute the theorem, which only asserts that some \
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
        digits(obstruction.loss_lower),
    )
}

fn reason_words(reason: Reason) -> &'static str {
    match reason {
        Reason::Hull => "softmax outputs stay in the hull of the values, and labels lie outside it",
        Reason::ZeroGradient => {
            "the values do not depend on the token, so softmax attention does not change the output \
             and the gradient is exactly zero"
        }
    }
}

/// The readings of beta, one row each; the deciding one is named in the caption.
pub fn readings_table(file: &VerdictFile) -> Table {
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
    for reading in Reading::ALL {
        let claim = file.claims.get(reading);
        table.rows.push(vec![
            Cell::text(reading.name()),
            Cell::number(*file.betas.get(reading)),
            Cell::number(claim.rate),
            Cell::number(file.measured_rate),
            Cell::value(&claim.first_violation.into()),
            Cell::text(claim.verdict.name()),
        ]);
    }
    table
}

/// What a certificate proves and what it rests on, sentence by sentence.
pub fn certificate_words(certificate: &Certificate) -> Vec<String> {
    let mut words = vec![format!("Proven: {}", certificate.statement())];
    match certificate {
        Certificate::TheoremA(c) => theorem_a_words(c, &mut words),
        Certificate::Obstructed(c) => obstructed_words(c, &mut words),
    }
    words
}

fn theorem_a_words(c: &TheoremA, words: &mut Vec<String>) {
    let by = if c.region.is_some() {
        "no block leaves its radius"
    } else {
        "gradient descent stays in the ball of radius rho"
    };
    words.push(format!(
        "Why: at the centre M_{} the residual is at most {} and the Jacobian's smallest singular value at least {}. Around it \
         the Jacobian changes by at most h = {} per unit of distance, so that {by} (rho = {}), there sigma_min(J') >= {} and the \
         loss is {}-smooth. With eta = {} each step multiplies the loss by at most 1 - {}.",
        c.centre.t,
        digits(c.residual_norm_upper),
        digits(c.alpha_lower),
        digits(c.h_rho_upper),
        digits(c.rho),
        digits(c.alpha),
        digits(c.smoothness),
        digits(c.eta),
        digits(c.rate_lower),
    ));
    words.push(format!(
        "Covers: the claim with beta read as {} ({}), which is at most {}.",
        c.reading,
        c.reading.formula(),
        digits(c.beta)
    ));
    if c.centre.t > 0 {
        words.push(format!(
            "What it is about: exact gradient descent from the point in {}. That the run reached this point from the \
             instance, and kept the bound on the way, was checked on the computed run and is not part of the proof.",
            c.centre.file
        ));
    }
    let mut files = vec![(&c.instance.file, &c.instance.sha256)];
    if c.centre.t > 0 {
        files.push((&c.centre.file, &c.centre.sha256));
    }
    words.push(files_words(&files));
}

fn obstructed_words(c: &Obstructed, words: &mut Vec<String>) {
    words.push(format!("Why: {}.", reason_words(c.reason)));
    words.push(files_words(&[(&c.instance.file, &c.instance.sha256)]));
}

fn files_words(files: &[(&String, &String)]) -> String {
    let named: Vec<_> = files
        .iter()
        .map(|(file, sha256)| format!("{file} with SHA-256 {sha256}"))
        .collect();
    format!(
        "Files: it is about {} and about no other file.",
        named.join(" and ")
    )
}
