//! A sweep's tables on the terminal.

use crate::experiment::summary::{Group, Key, Quantiles, REACHED, Statistics};
use crate::spectrum::Reading;
use crate::verdict::Verdict;

/// What a sweep found, as tables.
pub fn sweep_tables(statistics: &Statistics) -> String {
    let mut text = String::new();
    for (key, group) in &statistics.groups {
        text += &of_group(*key, group);
    }
    for (init, [both, softmax, gaussian, neither]) in statistics.pairs() {
        text += &format!(
            "\nW^Q alone, init {init}, the same instance under both kernels: zero reached by both {both}, by softmax only \
             {softmax}, by gaussian only {gaussian}, by neither {neither}\n"
        );
    }
    if !statistics.vanishing.is_empty() {
        text += "\n|J_Q| against the logit scale: quantiles 0.1, 0.5, 0.9\n";
        for ((key, scale), norms) in &statistics.vanishing {
            let [_, low, median, high, _] = Quantiles::of(norms).values;
            text += &format!(
                "  {:<9} {:<4} {:<15} {:<10.3e} {low:.3e}  {median:.3e}  {high:.3e}\n",
                key.kernel().to_string(),
                key.trained().to_string(),
                key.init(),
                scale.value(),
            );
        }
    }
    if statistics.errors > 0 {
        text += &format!(
            "\n{} trials could not be carried out; the column error of trials.csv says why\n",
            statistics.errors
        );
    }
    text
}

/// The verdicts as columns; the rest of a reading's trials is where it does not apply.
const COLUMNS: [(Verdict, &str); 6] = [
    (Verdict::Certified, "certified"),
    (Verdict::CertifiedTail, "tail"),
    (Verdict::Held, "held"),
    (Verdict::Violated, "violated"),
    (Verdict::Obstructed, "obstructed"),
    (Verdict::Diverged, "diverged"),
];

fn of_group(key: Key, group: &Group) -> String {
    let mut text = format!(
        "\n{}, {} trained, init {}: {} trials, {} with HD >= Nn; {} reached zero (f_T <= {REACHED:e} f_0), {} of those with HD >= Nn\n",
        key.kernel(),
        key.trained(),
        key.init(),
        group.trials,
        group.wide,
        group.reached,
        group.wide_reached,
    );
    text += "  beta       applies";
    for (_, name) in COLUMNS {
        text += &format!(" {name:>10}");
    }
    text += "   measured / claimed rate: 0.1, 0.5, 0.9\n";
    for (i, reading) in Reading::ALL.into_iter().enumerate() {
        let verdicts = group.verdicts[i];
        let not = Verdict::ALL
            .iter()
            .position(|v| *v == Verdict::NotApplicable)
            .map_or(0, |at| verdicts[at]);
        let all: u64 = verdicts.iter().sum();
        text += &format!("  {:<10} {:>7}", reading.name(), all - not);
        for (verdict, _) in COLUMNS {
            let at = Verdict::ALL.iter().position(|v| *v == verdict);
            text += &format!(" {:>10}", at.map_or(0, |at| verdicts[at]));
        }
        let tightness = Quantiles::of(&group.tightness[i]);
        text += &match tightness.count {
            0 => "   -\n".to_owned(),
            _ => {
                let [_, low, median, high, _] = tightness.values;
                format!("   {low:.3}, {median:.3}, {high:.3}\n")
            }
        };
    }
    let obstructed = group.hull + group.zero_gradient;
    if obstructed > 0 {
        text += &format!(
            "  zero proven out of reach: {} by the hull bound, {} by a zero gradient\n",
            group.hull, group.zero_gradient
        );
    }
    if !group.certificate_t.is_empty() {
        let t = Quantiles::of(&group.certificate_t);
        text += &format!(
            "  Theorem A closes in {} trials, at t = {} (median; 0.9: {})\n",
            t.count,
            t.median(),
            t.values[3]
        );
    }
    let finals = Quantiles::of(&group.final_loss_relative);
    let [_, low, median, high, _] = finals.values;
    text +=
        &format!("  f_T / f_0: {low:.3e}, {median:.3e}, {high:.3e} (quantiles 0.1, 0.5, 0.9)\n");
    text
}
