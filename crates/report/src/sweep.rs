//! A sweep's tables, on the terminal and on a page.

use super::table::{Cell, Table};
use gdcert::experiment::summary::{Group, Key, Quantiles, REACHED, Statistics};
use gdcert::spectrum::Reading;
use gdcert::verdict::Verdict;
use gdcert_base::number::{digits, exact, short};
use serde_json::Value;

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
                "  {:<9} {:<4} {:<15} {:<10} {}  {}  {}\n",
                key.kernel().to_string(),
                key.trained().to_string(),
                key.init(),
                digits(scale.value()),
                digits(low),
                digits(median),
                digits(high),
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

/// The verdicts as columns; the rest of a reading's trials is where it does not apply. A trial that is obstructed or diverged is
/// so whether or not the reading applies.
const COLUMNS: [(Verdict, &str); 7] = [
    (Verdict::Certified, "certified"),
    (Verdict::CertifiedTail, "tail"),
    (Verdict::Held, "held"),
    (Verdict::Violated, "violated"),
    (Verdict::Refuted, "refuted"),
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
    text += "  beta      ";
    for (_, name) in COLUMNS {
        text += &format!(" {name:>10}");
    }
    text += "        n/a";
    text += "   measured / claimed rate: 0.1, 0.5, 0.9\n";
    for (i, reading) in Reading::ALL.into_iter().enumerate() {
        let verdicts = group.verdicts[i];
        text += &format!("  {:<10}", reading.name());
        let shown = COLUMNS.map(|(verdict, _)| verdict).into_iter();
        for verdict in shown.chain([Verdict::NotApplicable]) {
            let at = Verdict::ALL.iter().position(|v| *v == verdict);
            text += &format!(" {:>10}", at.map_or(0, |at| verdicts[at]));
        }
        let tightness = Quantiles::of(&group.tightness[i]);
        text += &match tightness.count {
            0 => "   -\n".to_owned(),
            _ => {
                let [_, low, median, high, _] = tightness.values;
                format!("   {}, {}, {}\n", short(low), short(median), short(high))
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
        let orbits = match group.orbits {
            0 => String::new(),
            some => format!("; from M_0 on in {some} of them, the exact orbit being enclosed"),
        };
        text += &format!(
            "  Theorem A closes in {} trials, at t = {} (median; 0.9: {}){orbits}\n",
            t.count,
            exact(t.median()),
            exact(t.values[3])
        );
    }
    let finals = Quantiles::of(&group.final_loss_relative);
    let [_, low, median, high, _] = finals.values;
    text += &format!(
        "  f_T / f_0: {}, {}, {} (quantiles 0.1, 0.5, 0.9)\n",
        digits(low),
        digits(median),
        digits(high)
    );
    text
}

/// The tables of a summary.json. What varies with scale and HD / (Nn) is in the figures, and whole in the file.
pub(super) fn summary_tables(summary: &Value) -> Vec<Table> {
    let setting = |of: &Value| ["kernel", "trained", "init"].map(|key| Cell::value(&of[key]));
    let mut columns = vec!["kernel", "trained", "init", "beta"];
    columns.extend(COLUMNS.map(|(_, name)| name));
    columns.extend(["not applicable", "tightness"]);
    let mut verdicts = Table::new(
        "Verdicts of each reading of beta; tightness is the median of measured over claimed rate",
        &columns,
    );
    let mut reached = Table::new(
        "Trials, and how many reached zero",
        &[
            "kernel",
            "trained",
            "init",
            "trials",
            "reached zero",
            "HD >= Nn: trials",
            "reached zero",
            "HD < Nn: trials",
            "reached zero",
        ],
    );
    for group in list(&summary["groups"]) {
        let mut row = setting(group).to_vec();
        for part in [group, &group["hd_at_least_nn"], &group["hd_below_nn"]] {
            row.extend(["trials", "reached_zero"].map(|key| Cell::value(&part[key])));
        }
        reached.rows.push(row);
        for reading in Reading::ALL {
            let found = &group["verdicts"][reading.name()];
            let mut row = setting(group).to_vec();
            row.push(Cell::text(reading.name()));
            let named = COLUMNS.map(|(verdict, _)| verdict);
            row.extend(
                named
                    .into_iter()
                    .chain([Verdict::NotApplicable])
                    .map(|verdict| Cell::value(&found[verdict.name()])),
            );
            row.push(Cell::value(&group["tightness"][reading.name()]["median"]));
            verdicts.rows.push(row);
        }
    }
    let mut pairs = Table::new(
        "W^Q alone: the same instances under both kernels",
        &[
            "init",
            "both reach zero",
            "only softmax",
            "only gaussian",
            "neither",
        ],
    );
    let keys = [
        "init",
        "both_reach_zero",
        "only_softmax",
        "only_gaussian",
        "neither",
    ];
    for pair in list(&summary["query_alone_pairs"]) {
        pairs
            .rows
            .push(keys.map(|key| Cell::value(&pair[key])).to_vec());
    }
    let mut vanishing = Table::new(
        "|J_Q| against the logit scale",
        &[
            "kernel",
            "trained",
            "init",
            "logit scale",
            "quantile 0.1",
            "median",
            "quantile 0.9",
        ],
    );
    for at in list(&summary["vanishing"]) {
        let mut row = setting(at).to_vec();
        row.push(Cell::value(&at["logit_scale"]));
        let norms = &at["jacobian_norm_q"];
        row.extend(["q10", "median", "q90"].map(|key| Cell::value(&norms[key])));
        vanishing.rows.push(row);
    }
    let mut tables = vec![verdicts, reached, pairs, vanishing];
    tables.retain(|table| !table.rows.is_empty());
    tables
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
