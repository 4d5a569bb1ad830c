//! Writing files whole or not at all, one command a folder at a time.

use crate::{Error, Result};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// Names of temporary files and folders.
const PREFIX: &str = ".gdcert-";
const SUFFIX: &str = ".tmp";

/// The file that a command holds locked while it writes into a folder.
const LOCK: &str = ".gdcert-lock";

/// A folder locked against other commands that write there.
///
/// The system holds the lock, so that it ends with the process however that ends; a file that a killed command left is
/// no lock.
pub struct Lock {
    path: PathBuf,
    file: File,
}

/// Whom a [`Lock`] keeps out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Every other command.
    Alone,
    /// All but those that share it as well: the shards of a sweep.
    Shared,
}

impl Lock {
    /// Locks a folder and, if no other command is there, removes what killed ones left.
    pub fn take(folder: &Path, sharing: Sharing) -> Result<Lock> {
        let path = folder.join(LOCK);
        refuse_link(&path)?;
        loop {
            let file = OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .open(&path)
                .map_err(|e| Error::write(folder, e))?;
            let lock = Lock {
                path: path.clone(),
                file,
            };
            lock.change(sharing)?;
            // Who had it before may have removed the file meanwhile.
            if lock.is_there() {
                if sharing == Sharing::Alone {
                    remove_abandoned(folder)?;
                }
                return Ok(lock);
            }
        }
    }

    /// Keeps others, or other others, out from now on.
    pub fn change(&self, sharing: Sharing) -> Result<()> {
        let mut taken = match sharing {
            Sharing::Alone => self.file.try_lock(),
            Sharing::Shared => self.file.try_lock_shared(),
        };
        // One that shares it is alone for a moment when it leaves.
        for _ in 0..20 {
            if sharing == Sharing::Alone || !matches!(taken, Err(TryLockError::WouldBlock)) {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(25));
            taken = self.file.try_lock_shared();
        }
        // Where a file system has no locks nothing is known.
        match taken {
            Err(TryLockError::WouldBlock) => Err(Error::file(
                self.path.parent().unwrap_or(Path::new(".")),
                "another gdcert is writing there; wait for it, or choose another --out",
            )),
            _ => Ok(()),
        }
    }

    /// Whether the folder is still where it was.
    pub fn is_there(&self) -> bool {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            let id = |m: std::fs::Metadata| (m.dev(), m.ino());
            let ours = self.file.metadata().map(id);
            let there = std::fs::metadata(&self.path).map(id);
            matches!((ours, there), (Ok(ours), Ok(there)) if ours == there)
        }
        #[cfg(not(unix))]
        self.path.exists()
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // The last one clears up; while others share the lock it can not be had alone.
        if self.file.try_lock().is_ok() && self.is_there() {
            if let Some(folder) = self.path.parent() {
                let _ = remove_abandoned(folder);
            }
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Refuses a place where a link would lead writing somewhere else.
pub fn refuse_link(path: &Path) -> Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.is_symlink() => Err(Error::file(
            path,
            "is a link and is not written through; remove it, or choose another --out",
        )),
        Ok(found) if found.is_dir() => Err(Error::file(
            path,
            "is a folder where a file is to be written; remove it, or choose another --out",
        )),
        _ => Ok(()),
    }
}

/// Writes one file: a temporary file beside it, flushed to disk, then renamed.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    rename(stage(path, bytes)?, path)
}

/// Writes several files of a folder: all are on disk before the first is renamed, so that a full
/// disk leaves what was there before. Names may lead into folders below. Just before that, `old` files are removed.
pub fn write_all(
    folder: &Path,
    files: &[(impl AsRef<str>, Vec<u8>)],
    old: &dyn Fn() -> Result<()>,
) -> Result<()> {
    let staged: Vec<(NamedTempFile, PathBuf)> = files
        .iter()
        .map(|(name, bytes)| {
            let path = folder.join(name.as_ref());
            refuse_link(&path)?;
            Ok((stage(&path, bytes)?, path))
        })
        .collect::<Result<_>>()?;
    old()?;
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
    refuse_link(path)?;
    match file.persist(path) {
        Ok(_) => Ok(()),
        Err(e) => Err(Error::write(path, e.error)),
    }
}

/// Whether a file of this name is a writer's temporary one, or a lock.
pub fn is_temporary(name: &std::ffi::OsStr) -> bool {
    let name = name.to_string_lossy();
    name == LOCK || (name.starts_with(PREFIX) && name.ends_with(SUFFIX))
}

/// Removes temporary files and folders of writers that were killed.
pub fn remove_abandoned(folder: &Path) -> Result<()> {
    let fail = |e| Error::write(folder, e);
    for entry in std::fs::read_dir(folder).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let name = entry.file_name();
        if name == LOCK || !is_temporary(&name) {
            continue;
        }
        match entry.file_type().map_err(fail)?.is_dir() {
            true => std::fs::remove_dir_all(entry.path()),
            false => std::fs::remove_file(entry.path()),
        }
        .map_err(fail)?;
    }
    Ok(())
}

/// Removes a file; that it is not there is fine.
pub fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::write(path, e)),
        _ => Ok(()),
    }
}

/// Whether two paths lead to the same place.
pub fn same_place(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
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
