//! Training runs beside each other.

use super::table::{Cell, Table};
use gdcert_base::statistics::mean_and_spread;
use gdcert_train::training::{Row, Split};

/// Accuracy and loss of each run on all samples after its last step: mean and standard deviation over its seeds. A run is a
/// name, its rows, and whether it was evaluated on dev samples.
pub fn runs_table<'a>(
    title: &str,
    runs: impl Iterator<Item = (&'a str, &'a [Row], bool)>,
) -> Table {
    let mut table = Table::new(
        format!("{title}: after the last step, mean ± sd over seeds"),
        &["run", "samples", "seeds", "steps", "accuracy (%)", "loss"],
    );
    for (name, rows, dev) in runs {
        let finals: Vec<&Row> = rows
            .iter()
            .filter(|row| row.split == Split::Final)
            .collect();
        let of = |number: fn(&Row) -> f64| {
            let spread = mean_and_spread(finals.iter().map(|row| number(row)));
            Cell::spread(spread, finals.len())
        };
        let steps = finals.iter().map(|row| row.step).max();
        table.rows.push(vec![
            Cell::text(name),
            Cell::text(if dev { "dev" } else { "test" }),
            Cell::value(&finals.len().into()),
            Cell::value(&steps.into()),
            of(|row| 100.0 * row.accuracy),
            of(|row| row.loss),
        ]);
    }
    table
}
