//! Getting the IMDb archive with the system's `curl`: resumed where it stopped, kept only if its
//! checksum is right.

use crate::{Error, Result};
use gdcert_base::input;
use md5::{Digest, Md5};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Where the archive is published.
pub const IMDB_URL: &str = "https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz";
/// MD5 of the archive.
pub const IMDB_MD5: &str = "7c2ac02c03563afcf9b574c7e56c153a";
/// Bytes of the archive.
pub const IMDB_BYTES: u64 = 84_125_825;
/// Name of the archive.
pub const IMDB_FILE: &str = "aclImdb_v1.tar.gz";

/// Connections in a row that bring nothing before the download is given up.
const FRUITLESS: usize = 3;

/// Downloads `url` to `target`, whose MD5 must be `md5`.
///
/// What arrived stays in `target` + `.part` when the download stops, and is continued the next time. A file
/// with another checksum is deleted. `each` is told the bytes at hand about five times a second.
///
/// # Errors
/// No `curl`, no connection, another checksum; [`Error::Cancelled`] when `each` breaks.
pub fn download(
    url: &str,
    md5: &str,
    target: &Path,
    each: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> Result<()> {
    let mut part = target.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    // A complete file needs no connection, and servers refuse to continue one.
    if size(&part) == 0 || md5_of(&part)? != md5 {
        fetch(url, &part, each)?;
        let found = md5_of(&part)?;
        if found != md5 {
            std::fs::remove_file(&part).map_err(|e| Error::write(&part, e))?;
            return Err(Error::input(format!(
                "{url}: what arrived has MD5 {found}, not {md5}, and was deleted; try again, or pass a \
                 copy of the archive with --from FILE"
            )));
        }
    }
    std::fs::rename(&part, target).map_err(|e| Error::write(target, e))
}

fn fetch(url: &str, part: &Path, each: &mut dyn FnMut(u64) -> ControlFlow<()>) -> Result<()> {
    let mut fruitless = 0;
    loop {
        let before = size(part);
        let complaint = match connect(url, part, each)? {
            None => return Ok(()),
            Some(complaint) => complaint,
        };
        fruitless = if size(part) > before {
            0
        } else {
            fruitless + 1
        };
        if fruitless == FRUITLESS {
            return Err(Error::input(format!(
                "{url}: the download stopped after {} bytes ({complaint}); run the command again to \
                 continue, or pass a copy of the archive with --from FILE",
                size(part)
            )));
        }
        // The server may need a moment.
        for _ in 0..5 {
            if each(size(part)).is_break() {
                return Err(Error::Cancelled);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// One run of curl; what it complained about, if it did.
fn connect(
    url: &str,
    part: &Path,
    each: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> Result<Option<String>> {
    let child = Command::new("curl")
        .args(["--fail", "--location", "--silent", "--show-error"])
        .args(["--connect-timeout", "30", "--speed-time", "60", "--speed-limit", "1"])
        .args(["--continue-at", "-", "--output"])
        .arg(part)
        .arg("--url")
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| {
            Error::input(format!(
                "cannot run curl ({e}); install it, or get {url} another way and pass it with --from FILE"
            ))
        })?;
    let mut child = KillOnDrop(child);
    let fail = |e| Error::write(part, e);
    let status = loop {
        if let Some(status) = child.0.try_wait().map_err(fail)? {
            break status;
        }
        if each(size(part)).is_break() {
            return Err(Error::Cancelled);
        }
        std::thread::sleep(Duration::from_millis(200));
    };
    // Ctrl-C on a terminal reaches curl as well.
    if each(size(part)).is_break() {
        return Err(Error::Cancelled);
    }
    if status.success() {
        return Ok(None);
    }
    let mut complaint = String::new();
    if let Some(mut stderr) = child.0.stderr.take() {
        use std::io::Read;
        stderr.read_to_string(&mut complaint).map_err(fail)?;
    }
    Ok(Some(complaint.trim().to_owned()))
}

struct KillOnDrop(Child);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        // Neither fails in a way that matters: a child that has ended needs no killing.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |m| m.len())
}

/// The MD5 of a file, in hexadecimal.
///
/// # Errors
/// A file that cannot be read.
pub fn md5_of(path: &Path) -> Result<String> {
    let fail = |e| Error::file(path, format!("cannot read: {e}"));
    let mut file = input::open(path).map_err(|what| Error::file(path, what))?;
    let mut hasher = Md5::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let n = std::io::Read::read(&mut file, &mut buffer).map_err(fail)?;
        if n == 0 {
            break;
        }
        hasher.update(&buffer[..n]);
    }
    Ok(hasher
        .finalize()
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect())
}
