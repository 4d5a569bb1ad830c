//! What a person reads: figures, pages, words, tables.
//!
//! | question | where |
//! |---|---|
//! | What did a verification find, for a terminal; which files does it write? | [`summary()`], [`verification_files`] |
//! | The same of a model | [`model_summary`], [`model_verification_files`] |
//! | What is in an output folder? | [`read`], a [`Section`] of words, [`Table`]s and [`Figure`]s |
//! | As text, or as a page | [`text`], [`page()`] |
//! | What does a certificate prove, in words? | [`certificate_words`], [`remarks`] |
//! | Figures as SVG, PNG and PDF | [`plot`] |
//! | A certificate for the proof assistant Rocq | [`rocq`] |

mod figure;
mod model;
mod model_proof;
mod page;
mod plain;
pub mod plot;
mod proof;
pub mod rocq;
mod runs;
mod section;
mod summary;
mod sweep;
mod table;
mod words;

pub use figure::Figure;
pub use model::{model_summary, model_verification_files};
pub use page::page;
pub use proof::certificate_words;
pub use proof::remarks;
pub use runs::runs_table;
pub use section::RUN;
pub use section::{Card, Proof, Section, cases_table, read};
pub use summary::paragraph;
pub use summary::summary;
pub use sweep::sweep_tables;
pub use table::{Cell, Table};

use gdcert::problem::{Init, Instance};
use gdcert::verify::Verification;
use gdcert::verify::{Origin, VerdictFile, trajectory_csv};
use gdcert::{certificate_files, certificate_text, refutation_file};
use gdcert_base::number::exact;
pub(crate) use gdcert_base::{Error, Result};

/// What [`verification_files`] writes whatever was found; the figure in the formats that are asked for.
pub const VERIFICATION_FILES: [&str; 6] = [
    "instance.safetensors",
    "trajectory.csv",
    "rate-vs-bound.svg",
    "rate-vs-bound.png",
    "rate-vs-bound.pdf",
    "verdict.json",
];
/// The name of a page.
pub const PAGE: &str = "report.html";

/// Whether a file is such a page.
pub fn is_page(file: &std::path::Path) -> bool {
    gdcert_base::input::text(file)
        .is_ok_and(|text| text.contains("<meta name=\"generator\" content=\"gdcert "))
}

/// The files of one verification, by name: `verdict.json`, `trajectory.csv`, `instance.safetensors`,
/// `rate-vs-bound.svg` and `.png`; if something was proven `certificate.json` (and `centre.safetensors`
/// if its tail starts at t > 0), and `refuted-NAME.json` for other claims that are refuted.
///
/// # Errors
/// None is expected; a figure that cannot be drawn.
pub fn verification_files(
    instance: &Instance,
    found: &Verification,
    origin: &Origin,
    title: &str,
    deciding: &str,
    formats: &[plot::Format],
) -> Result<Vec<(String, Vec<u8>)>> {
    let verdict = VerdictFile::new(found, origin, deciding).to_text()?;
    let figure = plot::rate_vs_bound(found, title, deciding);
    let mut files = vec![
        ("instance.safetensors", instance.to_bytes()?),
        ("trajectory.csv", trajectory_csv(found)?),
        ("verdict.json", verdict.into_bytes()),
    ];
    for format in formats {
        let name = match format {
            plot::Format::Svg => "rate-vs-bound.svg",
            plot::Format::Png => "rate-vs-bound.png",
            plot::Format::Pdf => "rate-vs-bound.pdf",
        };
        files.push((name, figure.file(*format)?));
    }
    if let Some(certificate) = &found.certificate {
        let centre = found.proven.as_ref().and_then(|p| p.centre.as_ref());
        files.extend(certificate_files(certificate, centre)?);
    }
    let named = |(name, bytes): (&str, Vec<u8>)| (name.to_owned(), bytes);
    let mut files: Vec<_> = files.into_iter().map(named).collect();
    let refutations = found.refutations.iter();
    files.extend(refutations.map(|(name, c)| (refutation_file(name), certificate_text(c))));
    Ok(files)
}

/// A drawn instance in words, for titles.
pub fn drawn_title(init: Init, seed: u64) -> String {
    match (init.name(), init.scale()) {
        (name, Some(x)) => format!("{name} (scale {}), seed {seed}", exact(x)),
        (name, None) => format!("{name}, seed {seed}"),
    }
}

/// A section and its parts as text for a terminal, at most 80 columns wide but for its tables.
pub fn text(section: &Section) -> String {
    let mut text = String::new();
    add_text(&mut text, section);
    text
}

fn add_text(text: &mut String, section: &Section) {
    let wrapped = |words: &str| paragraph("", "", words);
    *text += &wrapped(&section.title);
    *text += &format!("{}\n", "-".repeat(section.title.chars().count().min(80)));
    if let Some(statement) = &section.statement {
        *text += &wrapped(&format!("Statement: {statement}."));
    }
    for words in &section.words {
        *text += &wrapped(words);
    }
    if let Some(listing) = &section.listing {
        *text += &format!("\n{listing}\n");
    }
    for table in &section.tables {
        *text += "\n";
        *text += &wrapped(&table.caption);
        *text += &table.to_text();
    }
    if let Some(command) = &section.command {
        *text += &format!("\nTo repeat it: {command}\n");
    }
    if let Some(proof) = &section.proof {
        *text += "\n";
        for words in &proof.words {
            *text += &wrapped(words);
        }
        *text += &format!("To re-prove it: {}\n", proof.check);
    }
    for part in &section.parts {
        *text += "\n";
        add_text(text, part);
    }
}
