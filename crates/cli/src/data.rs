//! `gdcert data`: the data sets of the training runs.

use super::out::OutDir;
use super::progress::Progress;
use super::{Common, Outcome, interrupted, one_of, print, tell, whole};
use crate::{Error, Result};
use gdcert_base::files::refuse_link;
use gdcert_base::input;
use gdcert_train::data::pathfinder::{self, Difficulty};
use gdcert_train::data::{download, imdb};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Gets the IMDb reviews or makes Pathfinder images, for gdcert train
#[derive(clap::Subcommand)]
#[command(after_help = "Example: gdcert data pathfinder --count 20000 --out pathfinder")]
pub(super) enum Args {
    Imdb(Imdb),
    Pathfinder(Pathfinder),
}

/// Downloads the IMDb reviews (84 MB, with curl), checks them and counts them
///
/// A download that stopped is continued when the command runs again.
#[derive(clap::Args)]
#[command(after_help = "Example: gdcert data imdb --out imdb\n\
                        Then:    gdcert train --task imdb --data imdb")]
pub(super) struct Imdb {
    /// Take this copy of the archive instead of downloading it; its checksum is reported
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Another server with the same archive
    #[arg(long, value_name = "URL", default_value = download::IMDB_URL, hide_default_value = true)]
    url: String,
    /// The checksum that a download must have; for tests with another archive.
    #[arg(long, hide = true, default_value = download::IMDB_MD5)]
    md5: String,
}

/// Makes Pathfinder images of 32 x 32 pixels, in the folders that Long Range Arena uses
#[derive(clap::Args)]
#[command(
    after_help = "Example: gdcert data pathfinder --difficulty curv_baseline --count 200000 --out pathfinder\n\
                  Then:    gdcert train --task pathfinder --data pathfinder"
)]
pub(super) struct Pathfinder {
    /// curv_baseline, curv_contour_length_9 or curv_contour_length_14
    #[arg(
        long,
        value_name = "NAME",
        default_value = "curv_baseline",
        value_parser = one_of(&[
            "curv_baseline", "curv_contour_length_9", "curv_contour_length_14"
        ]),
        hide_possible_values = true
    )]
    difficulty: String,
    /// Number of images
    #[arg(long, value_name = "N", default_value_t = 200_000, allow_negative_numbers = true, value_parser = whole::<usize>)]
    count: usize,
    /// Image K of a seed is the same in every set
    #[arg(long, value_name = "S", default_value_t = 0, allow_negative_numbers = true, value_parser = whole::<u64>)]
    seed: u64,
}

/// A hundred times the largest set anyone trains on; their files alone would take 400 GB.
const MOST_IMAGES: usize = 100_000_000;

pub(super) fn run(args: &Args, common: &Common, line: &str) -> Result<Outcome> {
    match args {
        Args::Imdb(args) => get_imdb(args, common, line),
        Args::Pathfinder(args) => make_pathfinder(args, common, line),
    }
}

fn get_imdb(args: &Imdb, common: &Common, line: &str) -> Result<Outcome> {
    if let Some(file) = &args.from {
        return take_imdb(file, common, line);
    }
    let out = OutDir::open(common, "data/imdb", line, None)?;
    // Says whose folder this is, for the run that continues the download.
    out.write_new_run()?;
    let archive = out.path().join(download::IMDB_FILE);
    refuse_link(&archive)?;
    let mut part = archive.clone().into_os_string();
    part.push(".part");
    refuse_link(Path::new(&part))?;
    let there = archive.is_file() && download::md5_of(&archive)? == args.md5;
    if !there {
        let mut progress =
            Progress::of_long_steps("bytes of the archive", 0, download::IMDB_BYTES as usize);
        download::download(&args.url, &args.md5, &archive, &mut |bytes| {
            progress.step(bytes as usize)
        })?;
    }
    let found = count(&archive)?;
    finish_imdb(&out, &archive, &args.md5, &found, common)
}

fn take_imdb(file: &Path, common: &Common, line: &str) -> Result<Outcome> {
    if file.is_dir() {
        return Err(Error::file(
            file,
            "is a folder, not the archive; gdcert train reads it as it is: --data FOLDER",
        ));
    }
    let found = count(file)?;
    let md5 = download::md5_of(file)?;
    let out = OutDir::open(common, "data/imdb", line, None)?;
    let archive = out.path().join(download::IMDB_FILE);
    let bytes = input::numbers(file).map_err(|what| Error::file(file, what))?;
    out.write(vec![(download::IMDB_FILE, bytes)])?;
    finish_imdb(&out, &archive, &md5, &found, common)
}

fn count(archive: &Path) -> Result<imdb::Imdb> {
    // The first byte is enough to count.
    let found = imdb::read(archive, 1)?;
    if interrupted() {
        return Err(Error::Cancelled);
    }
    Ok(found)
}

fn finish_imdb(
    out: &OutDir,
    archive: &Path,
    md5: &str,
    found: &imdb::Imdb,
    common: &Common,
) -> Result<Outcome> {
    let official = md5 == download::IMDB_MD5;
    let counted = json!({
        "schema": "gdcert.data/1",
        "version": env!("CARGO_PKG_VERSION"),
        "data": "imdb",
        "file": download::IMDB_FILE,
        "md5": md5,
        "official": official,
        "reviews": found.counts,
        "empty": found.empty,
        "notes": found.notes,
    });
    out.write(vec![("data.json", text(&counted))])?;
    if common.json {
        print(&format!("{counted:#}\n"));
        return Ok(Outcome::Fine);
    }
    let mut said = format!(
        "{}: MD5 {md5}, {}\n",
        archive.display(),
        if official {
            "the official archive"
        } else {
            "not the official archive"
        }
    );
    for (class, count) in &found.counts {
        said += &format!("  {class:<10} {count:>6} reviews\n");
    }
    if let Some(note) = found.note() {
        said += &format!("  {note}\n");
    }
    tell(&said);
    Ok(Outcome::Fine)
}

fn make_pathfinder(args: &Pathfinder, common: &Common, line: &str) -> Result<Outcome> {
    let difficulty: Difficulty = args.difficulty.parse()?;
    if args.count == 0 || args.count > MOST_IMAGES {
        return Err(Error::input(format!(
            "--count {} must be between 1 and {MOST_IMAGES}",
            args.count
        )));
    }
    let out = OutDir::open(common, "data/pathfinder", line, Some(args.seed))?;
    for part in ["imgs", "metadata"] {
        let place = out.path().join(part);
        let theirs = !out.is_own() && place.symlink_metadata().is_ok();
        if theirs || place.is_symlink() {
            return Err(Error::file(
                &place,
                "was not made by gdcert and is not replaced; move it away, or choose another --out",
            ));
        }
    }
    let mut progress = Progress::of_long_steps("images", 0, args.count);
    pathfinder::write(out.path(), difficulty, args.count, args.seed, &mut |done| {
        progress.step(done)
    })?;
    drop(progress);
    let made = json!({
        "schema": "gdcert.data/1",
        "version": env!("CARGO_PKG_VERSION"),
        "data": "pathfinder",
        "difficulty": difficulty.name(),
        "count": args.count,
        "seed": args.seed,
    });
    out.write(vec![("data.json", text(&made))])?;
    if common.json {
        print(&format!("{made:#}\n"));
    } else {
        tell(&format!(
            "{} images of {} in {}\n",
            args.count,
            difficulty.name(),
            out.path().display()
        ));
    }
    Ok(Outcome::Fine)
}

fn text(json: &Value) -> Vec<u8> {
    format!("{json:#}\n").into_bytes()
}
