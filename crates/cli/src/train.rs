//! `gdcert train`: the classifier.

use super::out::{OutDir, run_of};
use super::progress::Progress;
use super::{Common, Outcome, go_on, interrupted, note, one_of, print, say, whole};
use crate::{Error, Result};
use clap::builder::TypedValueParser;
use gdcert::model::Kernel;
use gdcert_base::input;
use gdcert_base::number::short;
use gdcert_base::printable::spreadsheet;
use gdcert_report::plot::{self, Figure, Look};
use gdcert_report::{Table, runs_table};
use gdcert_train::data::Task;
use gdcert_train::training::check_training_room;
use gdcert_train::training::{
    Checkpoint, Event, Method, Row, Run, Settings, Split, best, read_metrics, run_with as train,
    too_large,
};
use serde::Serialize;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// The settings of a run; also read by --config.
const CONFIG: &str = "config.toml";

/// Trains the poster's Transformer classifier, with softmax or Gaussian attention
///
/// Settings come from the task's preset, or from --config, --from or an interrupted run; flags replace
/// single ones. Writes config.toml, metrics.csv, checkpoint-SEED.safetensors, summary.json and curves.svg and .png.
#[derive(clap::Args)]
#[command(
    after_help = "Examples: gdcert train --task imdb --data imdb --kernel gaussian --length 1024 --steps 2000 --seeds 0,1,2; \
                  gdcert train --plot softmax gaussian --out both"
)]
pub(super) struct Args {
    /// Folder with the samples, see gdcert data [default with --resume: the run's]
    #[arg(long, value_name = "DIR", required_unless_present_any = ["plot", "table", "resume"])]
    data: Option<PathBuf>,
    /// Train nothing: draw the curves of these runs together, mean and spread over their seeds
    #[arg(long, value_name = "DIR", num_args = 1.., conflicts_with_all = ["data", "resume", "from", "config"])]
    plot: Vec<PathBuf>,
    /// Train nothing: print accuracy and loss of these runs, mean and standard deviation over their seeds; see gdcert explain
    /// for LaTeX
    #[arg(long, value_name = "DIR", num_args = 1.., conflicts_with_all = ["plot", "data", "resume", "from", "config"])]
    table: Vec<PathBuf>,
    /// Go on where an interrupted run stopped
    #[arg(long)]
    resume: bool,
    /// Start from the parameters (and settings) of this checkpoint, with a new optimizer and schedule
    #[arg(long, value_name = "CKPT")]
    from: Option<PathBuf>,
    /// Take settings from this TOML file, such as another run's config.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    changes: Changes,
}

/// What replaces entries of [`Settings`]; the names are theirs.
#[derive(clap::Args, Serialize)]
struct Changes {
    /// imdb or pathfinder [default: what --data holds]
    #[arg(long, value_name = "TASK", value_parser = one_of(&["imdb", "pathfinder"]).try_map(|name| name.parse::<Task>()), hide_possible_values = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<Task>,
    /// softmax or gaussian [default: softmax]
    #[arg(long, value_name = "KERNEL", value_parser = one_of(&["softmax", "gaussian"]).try_map(|name| name.parse::<Kernel>()), hide_possible_values = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    kernel: Option<Kernel>,
    /// Tokens of a sample that are read [default: 4000 for imdb, 1024 for pathfinder]
    #[arg(long, value_name = "n", allow_negative_numbers = true, value_parser = whole::<usize>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    length: Option<usize>,
    /// One run for each [default: 0]
    #[arg(long, value_name = "S,S", value_delimiter = ',', allow_negative_numbers = true, value_parser = whole::<u64>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    seeds: Option<Vec<u64>>,
    /// Steps of a run [default: 20000]; with --resume there may be more than before: the learning rate then falls to 0 at
    /// the new end
    #[arg(long, value_name = "T", allow_negative_numbers = true, value_parser = whole::<u64>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    steps: Option<u64>,
    /// Samples to a step [default: 32 for imdb, 128 for pathfinder]
    #[arg(long, value_name = "B", allow_negative_numbers = true, value_parser = whole::<usize>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    batch: Option<usize>,
    /// sgd, adam or adamw [default: sgd for imdb, adam for pathfinder]
    #[arg(long, value_name = "NAME", value_parser = one_of(&["sgd", "adam", "adamw"]).try_map(|name| name.parse::<Method>()), hide_possible_values = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    optimizer: Option<Method>,
    /// The largest learning rate
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    lr: Option<f64>,
    /// Steps until the learning rate is reached; then it falls linearly to 0
    #[arg(long, value_name = "T", allow_negative_numbers = true, value_parser = whole::<u64>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    warmup: Option<u64>,
    /// Momentum of sgd [default: 0.9]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    momentum: Option<f64>,
    /// Weight decay: L2, decoupled for adamw [default: 0]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    weight_decay: Option<f64>,
    /// Entries of the gradient are cut to [-X, X]; inf cuts nothing [default: 1]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    clip: Option<f64>,
    /// Probability of dropping an activation [default: 0.1]
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    dropout: Option<f64>,
    /// Transformer blocks [default: 2]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole::<usize>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    blocks: Option<usize>,
    /// Embedding dimension [default: 64]
    #[arg(long, value_name = "D", allow_negative_numbers = true, value_parser = whole::<usize>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    width: Option<usize>,
    /// Attention heads [default: 2]
    #[arg(long, value_name = "H", allow_negative_numbers = true, value_parser = whole::<usize>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    heads: Option<usize>,
    /// Hidden width of the MLPs [default: 128]
    #[arg(long, value_name = "d", allow_negative_numbers = true, value_parser = whole::<usize>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    hidden: Option<usize>,
    /// Evaluate on held-out training samples instead of the test samples, to choose settings
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dev: bool,
    /// Hold out this part of the training samples: evaluate on it along the run, keep the best checkpoint, and test that one
    /// at the end [default: 0]
    #[arg(long, value_name = "F", allow_negative_numbers = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    val_fraction: Option<f64>,
    /// Steps between two evaluations [default: 500]
    #[arg(long, value_name = "T", allow_negative_numbers = true, value_parser = whole::<u64>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    eval_every: Option<u64>,
    /// Samples of an evaluation, always the same; 0 is all [default: 2000]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole::<usize>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    eval_samples: Option<usize>,
    /// Steps to a train row of metrics.csv [default: 50]
    #[arg(long, value_name = "T", allow_negative_numbers = true, value_parser = whole::<u64>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    log_every: Option<u64>,
    /// Steps between two checkpoints [default: 500]
    #[arg(long, value_name = "T", allow_negative_numbers = true, value_parser = whole::<u64>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    checkpoint_every: Option<u64>,
}

pub(super) fn run(args: &Args, common: &Common, line: &str) -> Result<Outcome> {
    if !args.plot.is_empty() {
        return draw(&args.plot, common, line);
    }
    if !args.table.is_empty() {
        let table = Runs::read(&args.table)?.table();
        print(&match common.json {
            true => format!("{:#}\n", json!({"table": table.to_csv()?})),
            false => format!("{}\n{}", table.caption, table.to_text()),
        });
        return Ok(Outcome::Fine);
    }
    let folder = OutDir::place(common, "train");
    let settings = settings(args, &folder)?;
    let earlier = args.resume.then(|| run_of(&folder)).flatten();
    let source = &source(args.data.as_deref(), earlier.as_ref())?;
    settings.check()?;
    let from = match &args.from {
        Some(file) => Some(Checkpoint::read_parameters(file, &settings)?),
        None => None,
    };
    check_training_room(&settings)?;
    let (mut data, said_of_data) = settings.task.read(source, settings.length)?;
    let fingerprint = data.fingerprint();
    refuse_others(earlier.as_ref(), &fingerprint, source)?;
    if settings.dev && data.dev.is_empty() {
        data.hold_out(0, 0.1);
    }
    if settings.val_fraction > 0.0 {
        data.hold_out_anew(0, settings.val_fraction);
        if data.dev.is_empty() {
            return Err(Error::input(format!(
                "--val-fraction {} of {} training samples is none; choose a larger part",
                settings.val_fraction,
                data.train.len()
            )));
        }
    }
    if interrupted() {
        return Err(Error::Cancelled);
    }
    let mut out = OutDir::open(common, "train", line, settings.seeds.first().copied())?;
    out.spare(source, None)?;
    for file in args.from.iter().chain(&args.config) {
        out.spare(file, None)?;
    }
    if !args.resume && !common.force {
        refuse_to_start_over(out.path())?;
    }
    let folder = out.path().to_owned();
    let run = Run {
        settings: &settings,
        data: &data,
        folder: &folder,
        resume: args.resume,
        from: from.as_ref(),
    };
    // What can be refused is refused before anything of an earlier run is replaced.
    run.check()?;
    out.describe(of_data(source, &fingerprint));
    let config = vec![(CONFIG, settings.to_toml()?.into_bytes())];
    match args.resume {
        true => out.write(config)?,
        false => out.replace(config)?,
    }
    if let Some(said) = said_of_data {
        note(&said);
    }

    let total = settings.steps.saturating_mul(settings.seeds.len() as u64);
    let mut progress: Option<Progress> = None;
    let trained = train(&run, &mut |event| {
        match event {
            Event::Steps(done, loss) => {
                let progress = progress.get_or_insert_with(|| {
                    Progress::of_long_steps("training", done as usize, total as usize)
                });
                if let Some(loss) = loss {
                    progress.state(format!("loss {loss:.4}"));
                }
                progress.at(done as usize);
            }
            Event::Measured(row) if row.split != Split::Train => {
                let said = evaluation(row);
                match &progress {
                    Some(progress) => progress.say(&said),
                    None if super::say::is_quiet() => {}
                    None => say(&said),
                }
            }
            Event::Measured(_) | Event::Evaluating => {}
        }
        go_on()
    });
    drop(progress);
    let rows = match trained {
        Err(Error::Cancelled) => {
            let resume = if args.resume { "" } else { " --resume" };
            say(&format!(
                "gdcert: stopped at a checkpoint. To go on: {line}{resume}"
            ));
            return Ok(Outcome::Stopped);
        }
        rows => of_seeds(&settings, rows?),
    };

    let summary = summary(&settings, &rows, line);
    let kernel = settings.kernel.to_string();
    let curves = plot::training_curves(&[(&kernel, &rows)], &title(&settings), &Look::screen());
    let text = format!("{summary:#}\n");
    out.write(vec![
        ("curves.svg", curves.svg().into_bytes()),
        ("curves.png", curves.png()?),
        ("summary.json", text.clone().into_bytes()),
    ])?;
    out.say(common, &text, &said(&summary, &settings));
    Ok(Outcome::Fine)
}

/// Where the samples are, in run.json.
const DATA: &str = "data";
/// Which they are, in run.json.
const SHA256: &str = "data_sha256";

/// What run.json says of the samples: where they are, and which.
pub(super) fn of_data(source: &Path, fingerprint: &str) -> Value {
    let whole = std::fs::canonicalize(source).ok();
    let place = whole.as_deref().unwrap_or(source).to_str();
    json!({DATA: place, SHA256: fingerprint})
}

/// --data, or where the run that goes on had its samples.
pub(super) fn source(given: Option<&Path>, earlier: Option<&Value>) -> Result<PathBuf> {
    let known = || earlier?[DATA].as_str().map(PathBuf::from);
    let found = given.map(Path::to_owned).or_else(known);
    found.ok_or_else(|| {
        Error::input("--data is missing; give the folder with the samples, see gdcert data")
    })
}

/// A run goes on with the samples it began with.
pub(super) fn refuse_others(earlier: Option<&Value>, found: &str, source: &Path) -> Result<()> {
    match earlier.and_then(|run| run[SHA256].as_str()) {
        Some(then) if then != found => Err(Error::file(
            source,
            "holds other data than those this run began with (their SHA-256 differs); give those with --data, or leave \
             out --resume and choose another --out",
        )),
        _ => Ok(()),
    }
}

fn title(settings: &Settings) -> String {
    format!(
        "{} · length {} · {} with learning rate {:?} · batch {}",
        settings.task, settings.length, settings.optimizer, settings.lr, settings.batch
    )
}

/// Without the rows of seeds that a run was given before.
fn of_seeds(settings: &Settings, rows: Vec<Row>) -> Vec<Row> {
    let own = |row: &Row| settings.seeds.contains(&row.seed);
    rows.into_iter().filter(own).collect()
}

/// Several runs, as one figure and its table show them.
pub(super) struct Runs {
    names: Vec<String>,
    title: String,
    rows: Vec<Vec<Row>>,
    settings: Vec<Settings>,
}

impl Runs {
    /// Reads what `gdcert train` left in these folders.
    pub(super) fn read(folders: &[PathBuf]) -> Result<Self> {
        let mut runs: Vec<(Settings, Vec<Row>, &PathBuf)> = Vec::new();
        for folder in folders {
            let file = folder.join(CONFIG);
            if folders.len() > 1 && folder.is_dir() && !file.exists() {
                return Err(Error::file(
                    folder,
                    "is no folder of gdcert train; only those are shown together",
                ));
            }
            let table = read_table(&file)?;
            let settings = within(&file, Settings::preset(Task::Imdb).overlay(table))?;
            let rows = of_seeds(&settings, read_metrics(&folder.join("metrics.csv"))?);
            // Folders that differ in their seeds only are one run: each may have been a task of its own.
            let mut same = None;
            for (at, (other, ..)) in runs.iter().enumerate() {
                let apart = other
                    .seeds
                    .iter()
                    .all(|seed| !settings.seeds.contains(seed));
                if apart && settings.difference(other)?.is_none() {
                    same = Some(at);
                }
            }
            match same {
                Some(at) => {
                    runs[at].0.seeds.extend(&settings.seeds);
                    runs[at].1.extend(rows);
                }
                None => runs.push((settings, rows, folder)),
            }
        }
        let first = &runs[0].0;
        let kernels: Vec<Kernel> = runs.iter().map(|run| run.0.kernel).collect();
        let apart = (1..kernels.len()).all(|i| !kernels[..i].contains(&kernels[i]));
        let names: Vec<String> = if apart {
            kernels.iter().map(Kernel::to_string).collect()
        } else {
            runs.iter()
                .map(|(.., folder)| folder.display().to_string())
                .collect()
        };
        let alike = |settings: &Settings| title(settings) == title(first);
        let title = if runs.iter().all(|run| alike(&run.0)) {
            title(first)
        } else {
            first.task.to_string()
        };
        let (settings, rows) = runs.into_iter().map(|(s, r, _)| (s, r)).unzip();
        Ok(Runs {
            names,
            title,
            rows,
            settings,
        })
    }

    fn named(&self) -> Vec<(&str, &[Row])> {
        let names = self.names.iter().map(String::as_str);
        names.zip(self.rows.iter().map(Vec::as_slice)).collect()
    }

    /// Their curves.
    pub(super) fn figure(&self, look: &Look) -> Figure {
        plot::training_curves(&self.named(), &self.title, look)
    }

    /// Accuracy and loss at the end, mean and standard deviation over seeds.
    pub(super) fn table(&self) -> Table {
        let ends = self.names.iter().zip(&self.rows).zip(&self.settings);
        runs_table(
            &self.title,
            ends.map(|((name, rows), settings)| (name.as_str(), &rows[..], settings.dev)),
        )
    }
}

/// The curves of several runs: curves.svg and .png, and their numbers in curves.csv.
fn draw(folders: &[PathBuf], common: &Common, line: &str) -> Result<Outcome> {
    let runs = Runs::read(folders)?;
    let named = runs.named();
    let curves = runs.figure(&Look::screen());
    let fail = |e: csv::Error| Error::Numerical(format!("cannot form curves.csv: {e}"));
    let mut table = csv::Writer::from_writer(Vec::new());
    table
        .write_record([
            "run",
            "step",
            "seeds",
            "accuracy",
            "accuracy_sd",
            "loss",
            "loss_sd",
        ])
        .map_err(fail)?;
    for (name, rows) in &named {
        for p in plot::over_seeds(rows) {
            let numbers = (p.accuracy.0, p.accuracy.1, p.loss.0, p.loss.1);
            table
                .serialize((spreadsheet(name), p.step, p.seeds, numbers))
                .map_err(fail)?;
        }
    }
    let table = table
        .into_inner()
        .map_err(|e| fail(e.into_error().into()))?;
    let out = OutDir::open(common, "train", line, None)?;
    if out.path().join(CONFIG).exists() {
        return Err(Error::file(
            out.path(),
            "holds a run of its own; choose another --out for the curves of several",
        ));
    }
    out.write(vec![
        ("curves.svg", curves.svg().into_bytes()),
        ("curves.png", curves.png()?),
        ("curves.csv", table),
    ])?;
    let drawn = json!({"runs": folders, "folder": out.path()});
    out.say(common, &format!("{drawn:#}\n"), "");
    Ok(Outcome::Fine)
}

/// The settings to train with.
fn settings(args: &Args, folder: &Path) -> Result<Settings> {
    let table = toml::Table::try_from(&args.changes).map_err(|_| too_large(&args.changes))?;
    let config = match &args.config {
        Some(file) => Some(read_table(file)?),
        None => None,
    };
    let task = match (args.changes.task, &config) {
        (Some(task), _) => Some(task),
        (None, Some(config)) => match config.get("task").and_then(|t| t.as_str()) {
            Some(name) => Some(name.parse()?),
            None => None,
        },
        (None, None) => None,
    };
    let found = || args.data.as_deref().and_then(Task::of);
    let mut base = None;
    if args.resume {
        let file = folder.join(CONFIG);
        if !file.exists() {
            return Err(Error::file(
                folder,
                "holds no run to resume; leave out --resume, or name the run's folder with --out",
            ));
        }
        let earlier = read_table(&file)?;
        // Complete: which preset lies below does not matter.
        base = Some(within(
            &file,
            Settings::preset(Task::Imdb).overlay(earlier),
        )?);
    } else if let Some(file) = &args.from {
        base = Some(Checkpoint::read_settings(file)?);
    } else if let Some(task) = task.or_else(found) {
        base = Some(Settings::preset(task));
    }
    let Some(base) = base else {
        return Err(Error::input(
            "--task is missing, and --data does not tell; choose imdb or pathfinder",
        ));
    };
    let configured = match (config, &args.config) {
        (Some(config), Some(file)) => within(file, base.overlay(config))?,
        _ => base.clone(),
    };
    let settings = configured.overlay(table)?;
    let longer = Settings {
        steps: base.steps.max(settings.steps),
        ..base.clone()
    };
    if args.resume
        && let Some((name, now, then)) = settings.difference(&longer)?
    {
        return Err(Error::input(format!(
            "--resume with {name} = {now}, but the run in {} has {then}; use its settings, or another --out",
            folder.display()
        )));
    }
    if args.from.is_some() && settings.task != base.task {
        return Err(Error::input(format!(
            "--task {} but the checkpoint of --from was trained on {}",
            settings.task, base.task
        )));
    }
    Ok(settings)
}

fn read_table(file: &Path) -> Result<toml::Table> {
    let text = input::text(file).map_err(|what| Error::file(file, what))?;
    let table = text.parse();
    table.map_err(|e: toml::de::Error| {
        Error::file(file, format!("is no TOML file: {}", e.message().trim()))
    })
}

fn within(file: &Path, settings: Result<Settings>) -> Result<Settings> {
    settings.map_err(|e| Error::file(file, e.to_string()))
}

/// Hours of work are not overwritten unasked.
fn refuse_to_start_over(folder: &Path) -> Result<()> {
    let fail = |e| Error::write(folder, e);
    for entry in std::fs::read_dir(folder).map_err(fail)? {
        let name = entry.map_err(fail)?.file_name();
        if name.to_string_lossy().starts_with("checkpoint-") {
            return Err(Error::file(
                folder,
                "holds checkpoints; add --resume to go on, --force to start over, or choose another --out",
            ));
        }
    }
    Ok(())
}

fn evaluation(row: &Row) -> String {
    let on = match row.split {
        Split::Train => "train",
        Split::Test => "test",
        Split::Dev => "dev",
        Split::Final => "all samples",
    };
    format!(
        "seed {} step {}: {on} loss {}, accuracy {}",
        row.seed,
        row.step,
        short(row.loss),
        short(row.accuracy)
    )
}

fn summary(settings: &Settings, rows: &[Row], line: &str) -> Value {
    let finals: Vec<&Row> = rows
        .iter()
        .filter(|row| row.split == Split::Final && settings.seeds.contains(&row.seed))
        .collect();
    let (loss, loss_sd) =
        gdcert_base::statistics::mean_and_spread(finals.iter().map(|row| row.loss));
    let (accuracy, accuracy_sd) =
        gdcert_base::statistics::mean_and_spread(finals.iter().map(|row| row.accuracy));
    let seeds: Vec<Value> = finals
        .iter()
        .map(|row| {
            json!({
                "seed": row.seed,
                "loss": row.loss,
                "accuracy": row.accuracy,
                "seconds": row.seconds,
            })
        })
        .collect();
    // Which checkpoints were tested, where they were chosen on held-out samples.
    let best_steps: Vec<Value> = match settings.val_fraction > 0.0 {
        true => settings
            .seeds
            .iter()
            .filter_map(|&seed| {
                let row = best(rows, seed)?;
                Some(json!({"seed": seed, "step": row.step, "val_accuracy": row.accuracy}))
            })
            .collect(),
        false => Vec::new(),
    };
    json!({
        "schema": "gdcert.train/1",
        "version": env!("CARGO_PKG_VERSION"),
        "command": line,
        "settings": settings,
        "evaluated_on": if settings.dev { "dev" } else { "test" },
        "seeds": seeds,
        "best": best_steps,
        "loss": {"mean": loss, "sd": loss_sd},
        "accuracy": {"mean": accuracy, "sd": accuracy_sd},
    })
}

fn said(summary: &Value, settings: &Settings) -> String {
    let number = |of: &str, what: &str| short(summary[of][what].as_f64().unwrap_or(f64::NAN));
    let spread = if settings.seeds.len() > 1 {
        format!(
            " (mean of {} seeds, standard deviation {})",
            settings.seeds.len(),
            number("accuracy", "sd")
        )
    } else {
        String::new()
    };
    format!(
        "{}, {} attention, {} steps: accuracy {} and loss {} on all {} samples{spread}\n",
        settings.task,
        settings.kernel,
        settings.steps,
        number("accuracy", "mean"),
        number("loss", "mean"),
        if settings.dev { "dev" } else { "test" },
    )
}
