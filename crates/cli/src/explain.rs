//! `gdcert explain`: results in words, tables for papers.

use super::{Common, Outcome, print};
use crate::{Error, Result};
use gdcert_report::{read, text};
use serde_json::json;
use std::path::PathBuf;

/// Restates verdicts and certificates in words, or prints a folder's table as CSV or LaTeX
///
/// Takes any folder that a gdcert command wrote, or one of its JSON files.
#[derive(clap::Args)]
#[command(after_help = "Example: gdcert explain gdcert-out/verify\n\
                        A table: gdcert explain gdcert-out/verify --format latex")]
pub(super) struct Args {
    /// A folder or a JSON file that gdcert wrote
    #[arg(value_name = "DIR|FILE")]
    place: PathBuf,
    /// text, or the first table as csv (all digits) or latex (booktabs)
    #[arg(
        long,
        value_name = "text|csv|latex",
        default_value = "text",
        ignore_case = true
    )]
    format: Format,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Format {
    Text,
    Csv,
    Latex,
}

pub(super) fn run(args: &Args, common: &Common) -> Result<Outcome> {
    let section = read(&args.place)?;
    let said = match args.format {
        Format::Text => text(&section),
        Format::Csv | Format::Latex => {
            let table = section.tables.first().ok_or_else(|| {
                Error::file(
                    &args.place,
                    "holds no table; leave out --format to read it in words",
                )
            })?;
            match args.format {
                Format::Csv => table.to_csv()?,
                _ => table.to_latex(),
            }
        }
    };
    print(&if common.json {
        format!("{:#}\n", json!({"text": said}))
    } else {
        said
    });
    Ok(Outcome::Fine)
}
