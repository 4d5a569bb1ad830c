//! `gdcert plot`: the figures of an output folder, at the size of a paper's column.

use super::out::{COUNTEREXAMPLE, OutDir, run_of};
use super::train::Runs;
use super::{Common, Outcome, landscape, print, summarize, tell};
use crate::{Error, Result};
use gdcert_base::files::same_place;
use gdcert_base::number::exact;
use gdcert_landscape::Finished;
use gdcert_report::plot::{Figure, Format, Legend, Look, Part, rate_vs_bound_of};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Draws the figures of a folder that gdcert wrote, at a size of your choice
///
/// Text has the size asked for whatever the width, so that a figure goes into a paper as it is. Nothing is computed again;
/// a proof is drawn only if it is proven again on the way.
#[derive(clap::Args)]
#[command(
    allow_negative_numbers = true,
    after_help = "Example: gdcert plot gdcert-out/verify --format pdf --width 3.25in --panels loss --legend inside --title none"
)]
pub(super) struct Args {
    /// A folder that a gdcert command wrote; several of train are drawn together
    #[arg(value_name = "DIR", required = true)]
    folders: Vec<PathBuf>,
    /// svg, pdf (fonts embedded) or png (600 dots an inch)
    #[arg(long, value_name = "F,F", value_delimiter = ',', default_value = "svg")]
    format: Vec<String>,
    #[command(flatten)]
    look: LookArgs,
}

/// How the figures are to look.
#[derive(clap::Args)]
struct LookArgs {
    /// Width, with its unit: in, cm, mm or pt (72 to an inch)
    #[arg(long, value_name = "W", default_value = "6.5in")]
    width: String,
    /// Height, likewise [default: as the width asks for]
    #[arg(long, value_name = "H")]
    height: Option<String>,
    /// Size of all text but a title
    #[arg(long, value_name = "S", default_value = "8pt")]
    font_size: String,
    /// Panels of a verification's figure: loss, sigma, moved
    #[arg(
        long,
        value_name = "P,P",
        value_delimiter = ',',
        default_value = "loss,sigma,moved"
    )]
    panels: Vec<String>,
    /// Readings (or names of own claims) whose bounds are drawn [default: all that apply]
    #[arg(long, value_name = "R,R", value_delimiter = ',')]
    readings: Vec<String>,
    /// A title of your own, or none
    #[arg(long, value_name = "TEXT|none")]
    title: Option<String>,
    /// Where the lines are named: above, inside or none
    #[arg(long, value_name = "PLACE", default_value = "above")]
    legend: String,
}

impl LookArgs {
    fn look(&self) -> Result<Look> {
        let height = self.height.as_ref().map(|h| points("--height", h));
        let mut look = Look::paper(
            points("--width", &self.width)?,
            height.transpose()?,
            points("--font-size", &self.font_size)?,
        )?;
        let panels = self.panels.iter().map(|name| name.trim().parse::<Part>());
        look.panels = panels.collect::<Result<_>>()?;
        if !self.readings.is_empty() {
            look.readings = Some(self.readings.iter().map(|r| r.trim().to_owned()).collect());
        }
        look.title = match self.title.as_deref() {
            Some("none") => Some(String::new()),
            other => other.map(str::to_owned),
        };
        look.legend = self.legend.parse::<Legend>()?;
        Ok(look)
    }
}

/// Points to a unit of length.
const UNITS: [(&str, f64); 4] = [
    ("in", 72.0),
    ("cm", 72.0 / 2.54),
    ("mm", 7.2 / 2.54),
    ("pt", 1.0),
];

fn points(flag: &str, text: &str) -> Result<f64> {
    let known = UNITS.into_iter().find_map(|(unit, points)| {
        let number = text.trim().strip_suffix(unit)?.trim();
        let number: f64 = number.parse().ok()?;
        (number.is_finite() && number > 0.0).then_some(number * points)
    });
    known.ok_or_else(|| {
        Error::input(format!(
            "{flag} {text} is no length; write a number and its unit, such as 3.25in, 8cm, 80mm or 234pt"
        ))
    })
}

/// The formats a flag names, each once.
pub(super) fn formats(names: &[String]) -> Result<Vec<Format>> {
    let mut all = Vec::new();
    for name in names {
        let format: Format = name.trim().parse()?;
        if !all.contains(&format) {
            all.push(format);
        }
    }
    Ok(all)
}

pub(super) fn run(args: &Args, common: &Common, line: &str) -> Result<Outcome> {
    let look = args.look.look()?;
    let formats = formats(&args.format)?;
    let mut figures = Vec::new();
    let mut left_out = Vec::new();
    match &args.folders[..] {
        [folder] => add(folder, "", &look, &mut figures, &mut left_out)?,
        several => figures.push(("curves".to_owned(), Runs::read(several)?.figure(&look))),
    }
    if figures.is_empty() {
        return Err(Error::file(
            &args.folders[0],
            format!(
                "holds nothing to draw{}; name a folder of verify, falsify, sweep, summarize, train, landscape or reproduce",
                match left_out.first() {
                    Some(why) => format!(" ({why})"),
                    None => String::new(),
                }
            ),
        ));
    }
    let mut files = Vec::new();
    for (name, figure) in &figures {
        files.extend(figure.files(name, &formats)?);
    }
    let out = OutDir::open(common, "plot", line, None)?;
    for folder in &args.folders {
        if same_place(folder, out.path()) {
            return Err(Error::file(
                folder,
                "is the folder that is read; choose another --out",
            ));
        }
    }
    // Beside what is there: figures of several folders may be gathered.
    let named = files
        .iter()
        .map(|(name, bytes)| (name.as_str(), bytes.clone()));
    out.write(named.collect())?;
    let written: Vec<PathBuf> = files
        .iter()
        .map(|(name, _)| out.path().join(name))
        .collect();
    if common.json {
        print(&format!(
            "{:#}\n",
            json!({"figures": written, "left_out": left_out})
        ));
        return Ok(Outcome::Fine);
    }
    for file in &written {
        tell(&format!("{}\n", file.display()));
    }
    for why in &left_out {
        tell(&format!("No figure {why}\n"));
    }
    Ok(Outcome::Fine)
}

/// Adds a folder's figures; the names start with `prefix`.
fn add(
    folder: &Path,
    prefix: &str,
    look: &Look,
    figures: &mut Vec<(String, Figure)>,
    left_out: &mut Vec<String>,
) -> Result<()> {
    let Some(run) = run_of(folder) else {
        return Err(Error::file(
            folder,
            "holds no results of gdcert (no run.json); name the folder that a command wrote, such as gdcert-out/verify",
        ));
    };
    let mut push = |name: &str, figure: Figure| figures.push((format!("{prefix}{name}"), figure));
    match run["subcommand"].as_str().unwrap_or_default() {
        "verify" => push("rate-vs-bound", of_verdict(folder, look)?),
        "falsify" => {
            let found = folder.join(COUNTEREXAMPLE);
            match found.join("verdict.json").is_file() {
                true => push("rate-vs-bound", of_verdict(&found, look)?),
                false => left_out.push("of falsify: it found no counterexample".to_owned()),
            }
        }
        "sweep" | "summarize" => {
            let (found, without) = summarize::figures(folder, look)?;
            for (name, figure) in found {
                push(&name, figure);
            }
            left_out.extend(without);
        }
        // A folder of curves alone has no run of its own.
        "train" if folder.join("config.toml").is_file() => {
            push("curves", Runs::read(&[folder.to_owned()])?.figure(look))
        }
        "landscape" if folder.join("surface.json").is_file() => {
            for (name, figure) in landscape::figures(&[&Finished::read(folder)?], look)? {
                push(name, figure);
            }
        }
        "reproduce" => below(folder, prefix, look, figures, left_out)?,
        _ => {}
    }
    Ok(())
}

/// The figures of the folders below, as far as they have any.
fn below(
    folder: &Path,
    prefix: &str,
    look: &Look,
    figures: &mut Vec<(String, Figure)>,
    left_out: &mut Vec<String>,
) -> Result<()> {
    let entries = std::fs::read_dir(folder)
        .map_err(|e| Error::file(folder, format!("cannot list the folder: {e}")))?;
    let mut parts: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_dir() && !path.is_symlink())
        .collect();
    parts.sort();
    for part in parts {
        let name = part.file_name().unwrap_or_default().to_string_lossy();
        let prefix = format!("{prefix}{name}-");
        if part.join(gdcert_report::RUN).is_file() {
            if part.join("verdict.json").is_file() {
                let figure = of_verdict(&part, look)?;
                figures.push((format!("{prefix}rate-vs-bound"), figure));
            } else {
                add(&part, &prefix, look, figures, left_out)?;
            }
        } else {
            below(&part, &prefix, look, figures, left_out)?;
        }
    }
    Ok(())
}

fn of_verdict(folder: &Path, look: &Look) -> Result<Figure> {
    let file = gdcert_base::input::json(&folder.join("verdict.json"))?;
    rate_vs_bound_of(folder, &title(&file), look)
}

/// What a verdict file says of where its instance came from.
fn title(file: &Value) -> String {
    match (file["init"].as_str(), file["scale"].as_f64(), &file["seed"]) {
        (Some(init), Some(scale), seed) => format!("{init} (scale {}), seed {seed}", exact(scale)),
        (Some(init), None, seed) => format!("{init}, seed {seed}"),
        _ if file["model"].is_object() => file["model"]["file"]
            .as_str()
            .unwrap_or("a model")
            .to_owned(),
        _ => "an instance from a file".to_owned(),
    }
}

#[cfg(test)]
mod tests {

    #[test]
    fn lengths_have_units() {
        for (text, points) in [
            ("3.25in", 234.0),
            ("2.54 cm", 72.0),
            ("25.4mm", 72.0),
            (" 8pt", 8.0),
        ] {
            assert!((super::points("--width", text).unwrap() - points).abs() < 1e-9);
        }
        for bad in ["3", "in", "-1in", "infpt", "nanpt", "3px", "0cm", "1e999in"] {
            let error = super::points("--width", bad).unwrap_err().to_string();
            assert!(error.contains("3.25in"), "{error}");
        }
    }
}
