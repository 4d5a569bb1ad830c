//! Writing files whole or not at all.

use crate::{Error, Result};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::io::Write;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// Names of temporary files.
const PREFIX: &str = ".gdcert-";
const SUFFIX: &str = ".tmp";

/// Writes one file: a temporary file beside it, flushed to disk, then renamed.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    rename(stage(path, bytes)?, path)
}

/// Writes several files of a folder: all are on disk before the first is renamed, so that a full
/// disk leaves what was there before.
pub fn write_all(folder: &Path, files: &[(&str, Vec<u8>)]) -> Result<()> {
    let staged: Vec<(NamedTempFile, PathBuf)> = files
        .iter()
        .map(|(name, bytes)| {
            let path = folder.join(name);
            Ok((stage(&path, bytes)?, path))
        })
        .collect::<Result<_>>()?;
    staged
        .into_iter()
        .try_for_each(|(file, path)| rename(file, &path))
}

fn stage(path: &Path, bytes: &[u8]) -> Result<NamedTempFile> {
    let fail = |e| Error::write(path, e);
    let mut file = beside(path)?;
    file.write_all(bytes).map_err(fail)?;
    file.as_file().sync_all().map_err(fail)?;
    Ok(file)
}

/// A temporary file in the folder of `path`, to be written piece by piece and then [`rename`]d.
pub fn beside(path: &Path) -> Result<NamedTempFile> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        // Readable by others like any new file; the default of 0600 is for secrets.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o644));
    }
    builder
        .prefix(PREFIX)
        .suffix(SUFFIX)
        .tempfile_in(folder)
        .map_err(|e| Error::write(path, e))
}

/// Gives a temporary file its name.
pub fn rename(file: NamedTempFile, path: &Path) -> Result<()> {
    match file.persist(path) {
        Ok(_) => Ok(()),
        Err(e) => Err(Error::write(path, e.error)),
    }
}

/// Whether a file of this name is a writer's temporary one.
pub fn is_temporary(name: &std::ffi::OsStr) -> bool {
    let name = name.to_string_lossy();
    name.starts_with(PREFIX) && name.ends_with(SUFFIX)
}

/// Removes temporary files of writers that were killed.
pub fn remove_abandoned(folder: &Path) -> Result<()> {
    let fail = |e| Error::write(folder, e);
    for entry in std::fs::read_dir(folder).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        if is_temporary(&entry.file_name()) {
            std::fs::remove_file(entry.path()).map_err(fail)?;
        }
    }
    Ok(())
}

/// Reads a JSON file.
pub fn read_json(path: &Path) -> Result<serde_json::Value> {
    let bytes = std::fs::read(path).map_err(|e| Error::file(path, format!("cannot read: {e}")))?;
    serde_json::from_slice(&bytes).map_err(|e| {
        Error::file(
            path,
            format!("is not JSON: {e}; name a file that gdcert wrote"),
        )
    })
}

/// Words as a line for a shell.
pub fn shell_line<'a>(words: impl Iterator<Item = Cow<'a, str>>) -> String {
    let quoted = words.map(|word| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./,=:+@%".contains(c);
        if !word.is_empty() && word.chars().all(plain) {
            word.into_owned()
        } else {
            format!("'{}'", word.replace('\'', "'\\''"))
        }
    });
    quoted.collect::<Vec<_>>().join(" ")
}

/// The SHA-256 of some bytes, in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
