//! The output folder.

use super::Common;
use crate::{Error, Result};
use gdcert_base::files::{is_temporary, write_all};
pub(super) use gdcert_report::RUN;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// A writable folder for one command's results. Removed again if nothing came to be in it.
pub(super) struct OutDir {
    path: PathBuf,
    /// What run.json holds.
    run: Value,
}

impl OutDir {
    /// Opens or makes the folder for `command` (the subcommand), refusing another command's.
    pub(super) fn open(
        common: &Common,
        command: &str,
        line: &str,
        seed: Option<u64>,
    ) -> Result<Self> {
        let path = OutDir::place(common, command);
        std::fs::create_dir_all(&path).map_err(|e| Error::write(&path, e))?;
        let run = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "command": line,
            "subcommand": command,
            "seed": seed,
        });
        let out = OutDir { path, run };
        if !common.force {
            out.refuse_foreign(command)?;
        }
        // Better to learn now than after the work that the folder is read-only.
        tempfile::tempfile_in(&out.path).map_err(|e| Error::write(&out.path, e))?;
        Ok(out)
    }

    /// Where the results of `command` go.
    pub(super) fn place(common: &Common, command: &str) -> PathBuf {
        match &common.out {
            Some(path) => path.clone(),
            None => Path::new("gdcert-out").join(command),
        }
    }

    fn refuse_foreign(&self, command: &str) -> Result<()> {
        if self.belongs_to(command)? {
            return Ok(());
        }
        let entries = std::fs::read_dir(&self.path).map_err(|e| Error::write(&self.path, e))?;
        // A temporary file: another shard of the same sweep is about to begin. It may also have begun since we looked.
        let mut others = entries.flatten().filter(|e| !is_temporary(&e.file_name()));
        if others.next().is_none() || self.belongs_to(command)? {
            return Ok(());
        }
        Err(Error::file(
            &self.path,
            "is not empty and holds no results of gdcert; choose another --out or add --force",
        ))
    }

    /// Whether run.json says that the folder holds this command's results; an error if it says another's.
    fn belongs_to(&self, command: &str) -> Result<bool> {
        let Some(run) = run_of(&self.path) else {
            return Ok(false);
        };
        match run["subcommand"].as_str() {
            Some(owner) if owner == command => Ok(true),
            owner => Err(Error::file(
                &self.path,
                format!(
                    "holds the results of '{}'; choose another --out or add --force",
                    owner.unwrap_or("an unknown command")
                ),
            )),
        }
    }

    /// Writes run.json now, with these entries besides its own.
    pub(super) fn describe(&mut self, more: Value) -> Result<()> {
        if let (Value::Object(run), Value::Object(more)) = (&mut self.run, more) {
            run.extend(more);
        }
        self.write(Vec::new())
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes files and the folder's run.json, all or none.
    pub(super) fn write(&self, files: Vec<(&str, Vec<u8>)>) -> Result<()> {
        let mut files = files;
        files.push((RUN, format!("{:#}\n", self.run).into_bytes()));
        write_all(&self.path, &files)
    }

    /// The same, and takes away those of the `optional` files that an earlier run left and this one did not write.
    pub(super) fn write_afresh(
        &self,
        files: Vec<(&str, Vec<u8>)>,
        optional: &[&str],
    ) -> Result<()> {
        let written = |name: &str| files.iter().any(|(file, _)| *file == name);
        let stale: Vec<_> = optional.iter().filter(|name| !written(name)).collect();
        self.write(files)?;
        for name in stale {
            let path = self.path.join(name);
            match std::fs::remove_file(&path) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::write(&path, e));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// A folder below this one for one part of the work.
    pub(super) fn below(&self, part: &Path) -> Result<OutDir> {
        let path = self.path.join(part);
        std::fs::create_dir_all(&path).map_err(|e| Error::write(&path, e))?;
        Ok(OutDir {
            path,
            run: self.run.clone(),
        })
    }
}

/// The run.json of a folder, null if it cannot be understood.
pub(super) fn run_of(folder: &Path) -> Option<Value> {
    let bytes = std::fs::read(folder.join(RUN)).ok()?;
    Some(serde_json::from_slice(&bytes).unwrap_or_default())
}

impl Drop for OutDir {
    fn drop(&mut self) {
        // Fails, as it should, when there is something in it.
        let _ = std::fs::remove_dir(&self.path);
    }
}
