//! The output folder: one command at a time, and only its own results in it.

use super::{Common, print, tell};
use crate::{Error, Result};
use gdcert::CERTIFICATE_FILES;
use gdcert_base::files::{Lock, Sharing, is_temporary, refuse_link, remove, same_place, write_all};
use gdcert_base::input;
pub(super) use gdcert_report::RUN;
use gdcert_report::rocq::{Integers, library_files};
use gdcert_report::{PAGE, VERIFICATION_FILES, is_page};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// The folder of a counterexample, and the file in it beside those that `verify` writes.
pub(super) const COUNTEREXAMPLE: &str = "counterexample";
pub(super) const LISTING: &str = "counterexample.txt";

/// A file for Rocq, as it is called in the folder of its certificate.
pub(super) const THEOREM: &str = "certificate.v";

/// What of an earlier run would be taken for a command's own: names, in which a `*` stands for anything. A new command writes its
/// line here.
fn results(command: &str) -> Vec<String> {
    let verified = || VERIFICATION_FILES.into_iter().chain(CERTIFICATE_FILES);
    let named = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    match command {
        "verify" | "certify" => verified().chain([THEOREM]).map(str::to_owned).collect(),
        "rocq" => library_files(Integers::Z)
            .into_iter()
            .map(|(name, _)| name.to_owned())
            .collect(),
        "falsify" => verified()
            .chain([LISTING, RUN])
            .map(|name| format!("{COUNTEREXAMPLE}/{name}"))
            .chain(["falsify.json".to_owned()])
            .collect(),
        "sweep" => named(&["trials-*", "timings-*"]),
        "summarize" => named(&[
            "trials.csv",
            "summary.json",
            "phase-*",
            "tightness-*",
            "query-alone-*",
            "vanishing-*",
        ]),
        "train" => named(&[
            "config.toml",
            "metrics.csv",
            "checkpoint-*",
            "best-*",
            "summary.json",
            "curves.*",
        ]),
        "landscape" => named(&[
            "surface.json",
            "surface.csv",
            "spectrum.csv",
            "contour.*",
            "relief.*",
        ]),
        "reproduce" => named(&["summary.csv", "summary.json", PAGE]),
        "report" => named(&[PAGE]),
        "plot" => named(&["*.svg", "*.png", "*.pdf"]),
        // The archive and the images are dealt with where they are made.
        _ => named(&["data.json"]),
    }
}

fn fits(name: &str, pattern: &str) -> bool {
    match pattern.split_once('*') {
        Some((start, end)) => {
            name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
        }
        None => name == pattern,
    }
}

/// The files in a folder that would be taken for this command's own.
pub(super) fn earlier(folder: &Path, command: &str) -> Result<Vec<PathBuf>> {
    let patterns = results(command);
    let mut found = Vec::new();
    for below in ["", COUNTEREXAMPLE] {
        let place = folder.join(below);
        let entries = match std::fs::read_dir(&place) {
            Ok(entries) => entries,
            Err(_) if !below.is_empty() => continue,
            Err(e) => return Err(Error::write(&place, e)),
        };
        for entry in entries {
            let entry = entry.map_err(|e| Error::write(&place, e))?;
            let name = Path::new(below).join(entry.file_name());
            let name = name.to_string_lossy().replace('\\', "/");
            let is_file = !entry.path().is_dir();
            if is_file && patterns.iter().any(|pattern| fits(&name, pattern)) {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// A writable folder for one command's results, locked against other commands. Removed again if nothing came to be in it.
pub(super) struct OutDir {
    path: PathBuf,
    command: String,
    /// What run.json holds.
    run: Value,
    /// `None` for a part of a folder that is locked as a whole.
    lock: Option<Lock>,
    /// Whether it held this command's results.
    own: bool,
    /// Folders that were made for it, the innermost first.
    made: Vec<PathBuf>,
}

impl OutDir {
    /// Opens or makes the folder for `command` (the subcommand), refusing another command's.
    pub(super) fn open(
        common: &Common,
        command: &str,
        line: &str,
        seed: Option<u64>,
    ) -> Result<Self> {
        OutDir::open_for(common, command, line, seed, Sharing::Alone)
    }

    /// The same, and says who may write there at the same time.
    pub(super) fn open_for(
        common: &Common,
        command: &str,
        line: &str,
        seed: Option<u64>,
        sharing: Sharing,
    ) -> Result<Self> {
        let path = OutDir::place(common, command);
        let made = make(&path)?;
        let run = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "command": line,
            "subcommand": command,
            "seed": seed,
        });
        let mut out = OutDir {
            path,
            command: command.to_owned(),
            run,
            lock: None,
            own: false,
            made,
        };
        out.lock = Some(Lock::take(&out.path, sharing)?);
        out.refuse_foreign(common.force)?;
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

    fn refuse_foreign(&mut self, force: bool) -> Result<()> {
        let owner = run_of(&self.path);
        match owner.as_ref().map(|run| run["subcommand"].as_str()) {
            Some(Some(owner)) if owner == self.command => self.own = true,
            Some(Some(_)) if force => {}
            Some(Some(owner)) => {
                return Err(Error::file(
                    &self.path,
                    format!("holds the results of '{owner}'; choose another --out or add --force"),
                ));
            }
            // What gdcert did not write is not replaced, whatever is asked.
            _ if force => {
                if let Some(theirs) = self.earlier()?.first() {
                    return Err(Error::file(
                        theirs,
                        "was not written by gdcert and is not replaced; move it away, or choose another --out",
                    ));
                }
            }
            _ => {
                let entries =
                    std::fs::read_dir(&self.path).map_err(|e| Error::write(&self.path, e))?;
                // A temporary file: another shard of the same sweep is about to begin.
                let mut others = entries.flatten().filter(|e| !is_temporary(&e.file_name()));
                let begun = |path: &Path| {
                    run_of(path).is_some_and(|run| run["subcommand"] == self.command.as_str())
                };
                // It may also have begun since we looked.
                if others.next().is_some() && !begun(&self.path) {
                    return Err(Error::file(
                        &self.path,
                        "is not empty and holds no results of gdcert; choose another --out or add --force",
                    ));
                }
            }
        }
        Ok(())
    }

    /// What of an earlier run could be taken for this one's; of a stranger's folder also run.json.
    fn earlier(&self) -> Result<Vec<PathBuf>> {
        let mut found = earlier(&self.path, &self.command)?;
        if run_of(&self.path).is_some_and(|run| !run["subcommand"].is_string()) {
            found.push(self.path.join(RUN));
        }
        // The page of what goes; reproduce's is among its results.
        let page = self.path.join(PAGE);
        if self.command != "report" && is_page(&page) && !found.contains(&page) {
            found.push(page);
        }
        Ok(found)
    }

    /// Refuses to work where a file or folder that is read would be replaced, unless by the bytes it holds already.
    pub(super) fn spare(&self, input: &Path, written: Option<&[u8]>) -> Result<()> {
        if same_place(input, &self.path) {
            return Err(Error::file(
                input,
                "is the folder that is read; choose another --out",
            ));
        }
        let (Ok(input), Ok(folder)) = (input.canonicalize(), self.path.canonicalize()) else {
            return Ok(());
        };
        let Ok(name) = input.strip_prefix(&folder) else {
            return Ok(());
        };
        let name = name.to_string_lossy().replace('\\', "/");
        let at_risk = results(&self.command).iter().any(|p| fits(&name, p));
        let same = || written.is_some_and(|bytes| input::numbers(&input).is_ok_and(|b| b == bytes));
        if at_risk && !same() {
            return Err(Error::file(
                &input,
                "is read by this command, which would replace it; choose another --out",
            ));
        }
        Ok(())
    }

    /// Whether the folder held this command's results when it was opened, or does so now.
    pub(super) fn is_own(&self) -> bool {
        self.own
    }

    /// Keeps out also those that shared the folder.
    pub(super) fn alone(&self) -> Result<()> {
        match &self.lock {
            Some(lock) => lock.change(Sharing::Alone),
            None => Ok(()),
        }
    }

    /// Lets in again those that may share the folder.
    pub(super) fn shared(&self) -> Result<()> {
        match &self.lock {
            Some(lock) => lock.change(Sharing::Shared),
            None => Ok(()),
        }
    }

    /// Refuses to go on where the folder was moved away.
    pub(super) fn still_there(&self) -> Result<()> {
        if self.lock.as_ref().is_none_or(Lock::is_there) {
            return Ok(());
        }
        Err(Error::file(
            &self.path,
            "was moved or removed while it was written; what was written until then is where it was moved to",
        ))
    }

    /// Adds entries to run.json, whenever that is written.
    pub(super) fn describe(&mut self, more: Value) {
        if let (Value::Object(run), Value::Object(more)) = (&mut self.run, more) {
            run.extend(more);
        }
    }

    /// Writes run.json unless there is one already, also by another process; whether it did.
    pub(super) fn write_new_run(&self) -> Result<bool> {
        let path = self.path.join(RUN);
        refuse_link(&path)?;
        let fail = |e| Error::write(&path, e);
        let mut file = gdcert_base::files::beside(&path)?;
        std::io::Write::write_all(&mut file, &self.run_text()).map_err(fail)?;
        file.as_file().sync_all().map_err(fail)?;
        match file.persist_noclobber(&path) {
            Ok(_) => Ok(true),
            Err(e) if e.error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
            Err(e) => Err(fail(e.error)),
        }
    }

    /// What a command says at its end: JSON, or words and where its files are.
    pub(super) fn say(&self, common: &Common, json: &str, words: &str) {
        match common.json {
            true => print(json),
            false => tell(&format!("{words}Files in {}\n", self.path.display())),
        }
    }

    /// The contents of run.json.
    pub(super) fn run_text(&self) -> Vec<u8> {
        format!("{:#}\n", self.run).into_bytes()
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes files and the folder's run.json, all or none.
    pub(super) fn write(&self, files: Vec<(&str, Vec<u8>)>) -> Result<()> {
        self.put(files, &|| Ok(()))
    }

    /// The same, in the place of all that an earlier run of the command left.
    pub(super) fn replace(&mut self, files: Vec<(impl AsRef<str>, Vec<u8>)>) -> Result<()> {
        self.still_there()?; // before a folder is made in its place
        for (name, _) in &files {
            if let Some((below, _)) = name.as_ref().rsplit_once('/') {
                make(&self.path.join(below))?;
            }
        }
        let earlier = self.earlier()?;
        self.put(files, &|| earlier.iter().try_for_each(|path| remove(path)))?;
        self.own = true;
        self.remove_empty();
        Ok(())
    }

    /// Takes away what an earlier run of the command left, and its run.json.
    pub(super) fn clear(&self) -> Result<()> {
        if self.own {
            self.earlier()?.iter().try_for_each(|path| remove(path))?;
            remove(&self.path.join(RUN))?;
            self.remove_empty();
        }
        Ok(())
    }

    /// Removes what another command made of this one's results.
    pub(super) fn remove_results_of(&self, command: &str) -> Result<()> {
        let found = earlier(&self.path, command)?;
        found.iter().try_for_each(|path| remove(path))
    }

    fn put(
        &self,
        files: Vec<(impl AsRef<str>, Vec<u8>)>,
        before: &dyn Fn() -> Result<()>,
    ) -> Result<()> {
        self.still_there()?;
        // First, so that a folder with results always says whose they are.
        let mut all = vec![(RUN.to_owned(), self.run_text())];
        all.extend(
            files
                .into_iter()
                .map(|(name, bytes)| (name.as_ref().to_owned(), bytes)),
        );
        write_all(&self.path, &all, before)
    }

    fn remove_empty(&self) {
        // Fails, as it should, where there is something in it, or no folder.
        let _ = std::fs::remove_dir(self.path.join(COUNTEREXAMPLE));
    }

    /// A folder below this one for one part of the work.
    pub(super) fn below(&self, part: &Path) -> Result<OutDir> {
        self.still_there()?;
        let path = self.path.join(part);
        let made = make(&path)?;
        Ok(OutDir {
            path,
            command: "verify".to_owned(),
            run: self.run.clone(),
            lock: None,
            own: true,
            made,
        })
    }
}

/// Makes a folder; gives those that were not there, the innermost first.
fn make(path: &Path) -> Result<Vec<PathBuf>> {
    let missing = path
        .ancestors()
        .take_while(|p| !p.as_os_str().is_empty() && !p.exists())
        .map(Path::to_owned)
        .collect();
    std::fs::create_dir_all(path).map_err(|e| Error::write(path, e))?;
    Ok(missing)
}

/// The run.json of a folder, null if it cannot be understood.
pub(super) fn run_of(folder: &Path) -> Option<Value> {
    let path = folder.join(RUN);
    path.exists()
        .then(|| input::json(&path).unwrap_or_default())
}

impl Drop for OutDir {
    fn drop(&mut self) {
        self.lock = None;
        // Fails, as it should, when there is something in it.
        let _ = std::fs::remove_dir(&self.path);
        for folder in &self.made {
            let _ = std::fs::remove_dir(folder);
        }
    }
}
