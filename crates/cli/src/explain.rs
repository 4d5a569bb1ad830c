//! `gdcert explain`: results in words, tables for papers.

use super::train::Runs;
use super::{Common, Outcome, print, whole};
use crate::{Error, Result};
use gdcert_report::{Section, Table, read, text};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Restates verdicts and certificates in words, or prints a folder's tables as CSV, LaTeX or Markdown
///
/// Takes any folder that a gdcert command wrote, or one of its JSON files. Several folders of train are compared: accuracy and
/// loss, mean and standard deviation over seeds.
#[derive(clap::Args)]
#[command(after_help = "Examples: gdcert explain gdcert-out/verify\n          \
                        gdcert explain gdcert-out/verify --format latex\n          \
                        gdcert explain softmax gaussian --format latex")]
pub(super) struct Args {
    /// A folder or a JSON file that gdcert wrote
    #[arg(value_name = "DIR|FILE", required = true)]
    places: Vec<PathBuf>,
    /// text, or the tables as latex (booktabs) or markdown, or the first as csv (all digits)
    #[arg(
        long,
        value_name = "text|csv|latex|markdown",
        default_value = "text",
        ignore_case = true
    )]
    format: Format,
    /// This table only, by its number; with csv the first by default
    #[arg(long, value_name = "K", value_parser = whole::<usize>)]
    table: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Text,
    Csv,
    Latex,
    Markdown,
}

pub(super) fn run(args: &Args, common: &Common) -> Result<Outcome> {
    let said = match &args.places[..] {
        [place] => of_one(place, args)?,
        several => tables_text(&[Runs::read(several)?.table()], args.format)?,
    };
    print(&if common.json {
        format!("{:#}\n", json!({"text": said}))
    } else {
        said
    });
    Ok(Outcome::Fine)
}

fn of_one(place: &Path, args: &Args) -> Result<String> {
    let section = read(place)?;
    if args.format == Format::Text && args.table.is_none() {
        return Ok(text(&section));
    }
    let tables = tables_of(&section);
    let chosen = match (args.table, args.format) {
        (Some(k), _) => tables.get(k.wrapping_sub(1)).map(std::slice::from_ref),
        (None, Format::Csv) => tables.first().map(std::slice::from_ref),
        (None, _) => Some(&tables[..]).filter(|all| !all.is_empty()),
    };
    match chosen {
        Some(tables) => tables_text(tables, args.format),
        None if tables.is_empty() => Err(Error::file(
            place,
            "holds no table; leave out --format to read it in words",
        )),
        None => Err(Error::input(format!(
            "--table {} is not there; {} has {} tables, the first is 1",
            args.table.unwrap_or(0),
            place.display(),
            tables.len()
        ))),
    }
}

fn tables_text(tables: &[Table], format: Format) -> Result<String> {
    let one = |table: &Table| match format {
        Format::Text => Ok(format!("{}\n{}", table.caption, table.to_text())),
        Format::Csv => table.to_csv(),
        Format::Latex => Ok(table.to_latex()),
        Format::Markdown => Ok(table.to_markdown()),
    };
    let all: Vec<String> = tables.iter().map(one).collect::<Result<_>>()?;
    Ok(all.join("\n"))
}

/// The tables of a section and of its parts.
fn tables_of(section: &Section) -> Vec<Table> {
    let parts = section.parts.iter().flat_map(tables_of);
    section.tables.iter().cloned().chain(parts).collect()
}
