//! Results that are no verdicts, in words and tables: training, data, landscapes, searches for a counterexample.

use super::table::{Cell, Table};
use gdcert_base::number::short;
use serde_json::Value;

/// What a result says: sentences, the most important first, and tables.
pub(super) type Told = (Vec<String>, Vec<Table>);

fn number(value: &Value) -> String {
    value.as_f64().map_or("an unknown number".to_owned(), short)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("unknown")
}

fn percent(value: &Value) -> String {
    match value.as_f64() {
        Some(x) => format!("{:.1} %", 100.0 * x),
        None => "an unknown part".to_owned(),
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// What can be set, for a table.
fn settings(entries: &[(&str, &Value)], caption: &str) -> Table {
    let mut table = Table::new(caption, &["setting", "value"]);
    for (name, value) in entries {
        if !value.is_null() {
            table.rows.push(vec![Cell::text(*name), Cell::value(value)]);
        }
    }
    table
}

/// summary.json of `train`.
pub(super) fn train(json: &Value) -> Told {
    let s = &json["settings"];
    let seeds = list(&json["seeds"]).count();
    let spread = match seeds {
        0 | 1 => String::new(),
        _ => format!(
            " (mean of {seeds} seeds, standard deviation {})",
            percent(&json["accuracy"]["sd"])
        ),
    };
    let mut words = vec![
        format!(
            "{} attention reached an accuracy of {}{spread} on all {} samples of {}; guessing reaches 50 %.",
            text(&s["kernel"]),
            percent(&json["accuracy"]["mean"]),
            text(&json["evaluated_on"]),
            text(&s["task"]),
        ),
        format!(
            "The mean cross-entropy there is {}; guessing has 0.6931.",
            number(&json["loss"]["mean"])
        ),
        format!(
            "A Transformer of {} blocks, width {}, {} heads, trained for {} steps of {} samples with {}, learning rate {}.",
            s["blocks"],
            s["width"],
            s["heads"],
            s["steps"],
            s["batch"],
            text(&s["optimizer"]),
            number(&s["lr"]),
        ),
    ];
    for best in list(&json["best"]) {
        words.push(format!(
            "Seed {}: the checkpoint after step {} was chosen, with an accuracy of {} on samples held out from training.",
            best["seed"],
            best["step"],
            percent(&best["val_accuracy"])
        ));
    }
    let mut table = Table::new(
        "Each seed after the last step",
        &["seed", "loss", "accuracy", "seconds"],
    );
    for seed in list(&json["seeds"]) {
        let names = ["seed", "loss", "accuracy", "seconds"];
        let cells = names.map(|name| Cell::value(&seed[name]));
        table.rows.push(cells.to_vec());
    }
    let names = [
        "task",
        "kernel",
        "length",
        "blocks",
        "width",
        "heads",
        "hidden",
        "dropout",
        "optimizer",
        "lr",
        "momentum",
        "weight_decay",
        "clip",
        "batch",
        "warmup",
        "steps",
        "val_fraction",
        "eval_every",
        "eval_samples",
    ];
    let entries: Vec<_> = names.iter().map(|name| (*name, &s[*name])).collect();
    (words, vec![table, settings(&entries, "What was set")])
}

/// data.json of `data`.
pub(super) fn data(json: &Value) -> Told {
    if json["data"] == "pathfinder" {
        let words = format!(
            "{} Pathfinder images of 32 x 32 pixels ({}), drawn with seed {}: in half of them, by chance, the two marked ends \
             belong to one contour. imgs/ holds the pictures, metadata/ the labels, as Long Range Arena has them.",
            json["count"],
            text(&json["difficulty"]),
            json["seed"]
        );
        return (vec![words], Vec::new());
    }
    let official = match json["official"].as_bool() {
        Some(true) => "the official archive",
        _ => "not the official archive: results are about other data",
    };
    let mut words = vec![format!(
        "Movie reviews with a positive or negative label in {}; by its checksum {official}.",
        text(&json["file"])
    )];
    let empty = list(&json["empty"]).count();
    if empty > 0 {
        words.push(format!("{empty} reviews are empty and left out."));
    }
    words.extend(list(&json["notes"]).filter_map(|n| Some(format!("{}.", n.as_str()?))));
    let mut table = Table::new("Reviews in each folder", &["folder", "reviews"]);
    for (class, count) in json["reviews"].as_object().into_iter().flatten() {
        let row = vec![Cell::text(class.as_str()), Cell::value(count)];
        table.rows.push(row);
    }
    (words, vec![table])
}

/// surface.json of `landscape`.
pub(super) fn surface(json: &Value) -> Told {
    let header = &json["header"];
    if json["complete"] != true {
        let words = "This landscape is not finished; run its command again with --resume.";
        return (vec![words.to_owned()], Vec::new());
    }
    let rough = &json["roughness"];
    let grid = &header["grid"];
    let seeds = list(&header["direction_seeds"]).count();
    let of = match header["batch"].as_object() {
        Some(batch) => format!(
            "{} of the {} task on {} {} samples of {} tokens",
            text(&header["centre"]["name"]),
            text(&header["task"]),
            batch["samples"],
            text(&batch["split"]),
            batch["length"],
        ),
        None => text(&header["centre"]["name"]).to_owned(),
    };
    let mean = |key: &str| &rough[key]["mean"];
    let flat = mean("non_convex").as_f64().unwrap_or(f64::NAN);
    let minima = mean("local_minima").as_f64().unwrap_or(f64::NAN);
    let words = vec![
        format!(
            "Around the centre, where the loss is {}, it varies by {} over a square of side {} (in lengths of the weights); {} of \
             the grid is not convex, and it has {} local minima inside.",
            number(&json["centre_loss"]),
            number(mean("range")),
            number(&Value::from(
                2.0 * grid["span"].as_f64().unwrap_or(f64::NAN)
            )),
            percent(&Value::from(flat)),
            short(minima),
        ),
        format!(
            "Loss of {} attention, {of}, over a direction in the query weights and one in the key weights: {} directions, {} \
             draw(s) of them, {} x {} points.",
            text(&header["kernel"]),
            text(&header["directions"]),
            seeds,
            grid["size"],
            grid["size"],
        ),
    ];
    let mut table = Table::new(
        "Each draw of directions",
        &[
            "seed",
            "lowest",
            "highest",
            "not convex",
            "local minima",
            "variation / range",
        ],
    );
    for found in list(&json["surfaces"]) {
        let r = &found["roughness"];
        let mut row = vec![Cell::value(&found["direction_seed"])];
        let names = [
            "lowest",
            "highest",
            "non_convex",
            "local_minima",
            "variation",
        ];
        row.extend(names.map(|name| Cell::value(&r[name])));
        table.rows.push(row);
    }
    let mut tables = vec![table];
    if let Some(spaces) = json["hessian"].as_object() {
        let mut table = Table::new(
            "Eigenvalues of the Hessian at the centre",
            &["space", "smallest", "largest", "near zero", "negative"],
        );
        for (space, found) in spaces {
            let mut row = vec![Cell::text(space.as_str())];
            for name in ["smallest", "largest", "near_zero", "negative"] {
                row.push(Cell::value(&found[name]["mean"]));
            }
            table.rows.push(row);
        }
        tables.push(table);
    }
    (words, tables)
}

/// falsify.json; `listing` is counterexample.txt.
pub(super) fn falsify(json: &Value) -> Told {
    let dims = |of: &Value| {
        let sizes = ["N", "n", "D", "d", "H", "p"].map(|name| format!("{name} = {}", of[name]));
        sizes.join(", ")
    };
    let found = &json["counterexample"];
    let reading = text(&json["reading"]);
    let mut words = Vec::new();
    match found.is_object() {
        true => {
            words.push(format!(
                "The reading {reading} is {} on an instance with {}: its bound is exceeded from t = {}. A reading that fails is \
                 no theorem that fails.",
                text(&found["verdict"]),
                dims(&found["dims"]),
                found["first_violation"],
            ));
            words.push(
                "The weights below are the whole counterexample, rounded to as few digits as leave it one."
                    .to_owned(),
            );
        }
        false => words.push(format!(
            "No instance was found on which the reading {reading} fails: none of {} that were tried.",
            json["tried"]
        )),
    }
    words.push(format!(
        "Tried: {} instances of {} attention with {} trained, init {}; {} of {} drawn ones violate it.",
        json["tried"],
        text(&json["kernel"]),
        text(&json["trained"]),
        text(&json["init"]),
        json["drawn"]["violated"],
        json["drawn"]["instances"],
    ));
    if let Some(ratio) = json["best"]["ratio"].as_f64() {
        words.push(format!(
            "Smallest ratio of measured to claimed rate: {}; below 1 the run is slower than claimed.",
            short(ratio)
        ));
    }
    (words, Vec::new())
}
