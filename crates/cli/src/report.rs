//! `gdcert report`: a page for an output folder.

use super::out::OutDir;
use super::{Common, Outcome, print, tell};
use crate::{Error, Result};
use gdcert_base::files::{Lock, Sharing, same_place, write_atomic};
use gdcert_report::{PAGE, page, read};
use serde_json::json;
use std::path::{Path, PathBuf};

/// Makes one self-contained page, report.html, for any output folder
///
/// The page holds the folder's verdicts, certificates, tables and figures, and the commands that repeat and check them. It
/// is written into the folder itself, or under --out, and needs no network and no other file.
#[derive(clap::Args)]
#[command(after_help = "Example: gdcert report gdcert-out/verify")]
pub(super) struct Args {
    /// A folder that a gdcert command wrote
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub(super) fn run(args: &Args, common: &Common, line: &str) -> Result<Outcome> {
    if !args.folder.is_dir() {
        return Err(Error::file(
            &args.folder,
            "is no folder; name one that gdcert wrote, such as gdcert-out/verify",
        ));
    }
    let section = read(&args.folder)?;
    let written = match &common.out {
        Some(place) if !same_place(place, &args.folder) => {
            let out = OutDir::open(common, "report", line, None)?;
            let html = page(&section, &way(out.path(), &args.folder)?)?;
            out.write(vec![(PAGE, html.into_bytes())])?;
            out.path().join(PAGE)
        }
        _ => {
            let written = args.folder.join(PAGE);
            let _lock = Lock::take(&args.folder, Sharing::Alone)?;
            write_atomic(&written, page(&section, Path::new(""))?.as_bytes())?;
            written
        }
    };
    if common.json {
        print(&format!("{:#}\n", json!({"report": written})));
    } else {
        tell(&format!("{}\n", written.display()));
    }
    Ok(Outcome::Fine)
}

/// The relative path from one folder to another.
fn way(from: &Path, to: &Path) -> Result<PathBuf> {
    let whole = |path: &Path| {
        path.canonicalize()
            .map_err(|e| Error::file(path, format!("cannot find it: {e}")))
    };
    let (from, to) = (whole(from)?, whole(to)?);
    let shared = from
        .components()
        .zip(to.components())
        .take_while(|(a, b)| a == b)
        .count();
    let up = from.components().skip(shared).map(|_| "..".as_ref());
    let down = to.components().skip(shared).map(|c| c.as_os_str());
    Ok(up.chain(down).collect())
}
