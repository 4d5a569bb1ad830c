//! `trials-K-of-M.csv`: a shard's rows, appended one after the other and taken up again after any interruption.

use super::plan::Plan;
use super::row::{COLUMNS, Row};
use super::run::Finished;
use super::shard::{Shard, trials_file};
use crate::{Error, Result};
use gdcert_base::files::refuse_link;
use gdcert_base::input;
use gdcert_base::simd::Isa;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often rows are forced to the disk; the system has them at once.
const SYNC_EVERY: Duration = Duration::from_secs(2);

const TIMINGS_HEADER: &str = "trial,seconds,instruction_set\n";

/// A shard's file, open for appending, and its timings beside it.
pub struct ShardFile {
    rows: Appended,
    timings: Appended,
    /// Rows written so far.
    done: u64,
}

impl ShardFile {
    /// Starts a new file, over an old one if there is one.
    ///
    /// # Errors
    /// Files that cannot be written.
    pub fn create(folder: &Path, shard: Shard) -> Result<ShardFile> {
        let begin = |name: String, header: &str| {
            let mut file = Appended::open(folder.join(name))?;
            file.cut(0)?;
            file.append(header.as_bytes())?;
            Ok(file)
        };
        Ok(ShardFile {
            rows: begin(trials_file(shard), &header())?,
            timings: begin(shard.timings_file(), TIMINGS_HEADER)?,
            done: 0,
        })
    }

    /// Takes up a file where it ends. Half a row at its end, which a killed writer leaves, is taken away. A file that
    /// is not there, or has not even its header, is started.
    ///
    /// # Errors
    /// Files that cannot be read or written, or rows that are not the shard's of this plan.
    pub fn resume(folder: &Path, shard: Shard, plan: &Plan) -> Result<ShardFile> {
        let path = folder.join(trials_file(shard));
        if !path.exists() {
            return ShardFile::create(folder, shard);
        }
        let mut rows = Appended::open(path.clone())?;
        let foreign = |what: String| {
            Error::file(
                &path,
                format!("{what}; start over with --force, or choose another --out"),
            )
        };
        let mut done = 0;
        let mut lines = Lines::of(&path)?;
        if let Some(first) = lines.next()?
            && first != header().as_bytes()
        {
            return Err(foreign(
                "has other columns than this version writes".to_owned(),
            ));
        }
        while let Some(line) = lines.next()? {
            let expected = shard.trial(done);
            if done >= shard.count(plan.trials()) || index_of(line) != Some(expected) {
                return Err(foreign(format!(
                    "row {} is not trial {expected} of this sweep's shard {}/{}",
                    done + 1,
                    shard.k(),
                    shard.of()
                )));
            }
            done += 1;
        }
        if lines.length == 0 {
            drop(rows);
            return ShardFile::create(folder, shard);
        }
        rows.cut(lines.length)?;
        let timings = folder.join(shard.timings_file());
        let kept = match timings.exists() {
            true => Lines::of(&timings)?.whole()?,
            false => 0,
        };
        let mut timings = Appended::open(timings)?;
        timings.cut(kept)?;
        if kept == 0 {
            timings.append(TIMINGS_HEADER.as_bytes())?;
        }
        Ok(ShardFile {
            rows,
            timings,
            done,
        })
    }

    /// Rows written so far.
    pub fn done(&self) -> u64 {
        self.done
    }

    /// Appends a row. If that fails, those before it are left as they were.
    ///
    /// # Errors
    /// A disk that is full, or a file that cannot be written.
    pub fn append(&mut self, finished: &Finished) -> Result<()> {
        self.rows.append(&line(&finished.row)?)?;
        self.done += 1;
        let Finished { row, seconds } = finished;
        let isa = Isa::best().name();
        self.timings
            .append(format!("{},{seconds:.6},{isa}\n", row.trial).as_bytes())
    }

    /// Forces everything to the disk.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn close(mut self) -> Result<()> {
        self.rows.sync()?;
        self.timings.sync()
    }
}

/// The first line of a file of rows.
pub(crate) fn header() -> String {
    COLUMNS.join(",") + "\n"
}

/// The trial's index, the first cell of a line.
pub(crate) fn index_of(line: &[u8]) -> Option<u64> {
    let cell = line.split(|&b| b == b',').next()?;
    std::str::from_utf8(cell).ok()?.parse().ok()
}

/// A row that is longer is none of ours.
const LONGEST: u64 = 1 << 20;

/// The lines of a file that end, one after the other; a byte order mark and carriage returns, which other programs put
/// in, are left out.
pub(crate) struct Lines {
    path: PathBuf,
    reader: BufReader<File>,
    line: Vec<u8>,
    /// Bytes of the lines read so far.
    pub length: u64,
    /// Whether something that is no whole line was found at the end.
    pub half: bool,
}

impl Lines {
    pub(crate) fn of(path: &Path) -> Result<Self> {
        let file = input::open(path).map_err(|what| Error::file(path, what))?;
        Ok(Lines {
            path: path.to_owned(),
            reader: BufReader::new(file),
            line: Vec::new(),
            length: 0,
            half: false,
        })
    }

    /// The next line with its end.
    pub(crate) fn next(&mut self) -> Result<Option<&[u8]>> {
        self.line.clear();
        let mut reader = (&mut self.reader).take(LONGEST);
        let read = reader.read_until(b'\n', &mut self.line);
        read.map_err(|e| cannot_read(&self.path, e))?;
        if self.line.last() == Some(&b'\n') {
            let first = self.length == 0;
            self.length += self.line.len() as u64;
            if self.line.ends_with(b"\r\n") {
                self.line.truncate(self.line.len() - 2);
                self.line.push(b'\n');
            }
            if first && self.line.starts_with(b"\xef\xbb\xbf") {
                self.line.drain(..3);
            }
            return Ok(Some(&self.line));
        }
        self.half = !self.line.is_empty();
        Ok(None)
    }

    /// The line that [`next`](Self::next) found last.
    pub(crate) fn line(&self) -> &[u8] {
        &self.line
    }

    /// The length of all whole lines.
    fn whole(mut self) -> Result<u64> {
        while self.next()?.is_some() {}
        Ok(self.length)
    }
}

fn cannot_read(path: &Path, e: std::io::Error) -> Error {
    Error::file(path, format!("cannot read it: {e}"))
}

fn line(row: &Row) -> Result<Vec<u8>> {
    let fail = |e: String| Error::Numerical(format!("cannot form a row: {e}"));
    let mut csv = csv::WriterBuilder::new()
        .has_headers(false)
        .from_writer(Vec::new());
    csv.serialize(row).map_err(|e| fail(e.to_string()))?;
    csv.into_inner().map_err(|e| fail(e.to_string()))
}

/// A file that grows by whole lines or not at all.
struct Appended {
    path: PathBuf,
    file: File,
    length: u64,
    synced: Instant,
}

impl Appended {
    /// A file, old or new, that no other process appends to.
    fn open(path: PathBuf) -> Result<Self> {
        refuse_link(&path)?;
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|e| Error::write(&path, e))?;
        // Where a file system has no locks nothing is known.
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            return Err(Error::file(
                &path,
                "another gdcert is writing it; wait for that, or choose another --out",
            ));
        }
        Ok(Appended {
            path,
            file,
            length: 0,
            synced: Instant::now(),
        })
    }

    /// Makes this the file's length.
    fn cut(&mut self, length: u64) -> Result<()> {
        let set = self.file.set_len(length);
        set.and_then(|()| self.file.seek(SeekFrom::Start(length)))
            .map_err(|e| Error::write(&self.path, e))?;
        self.length = length;
        Ok(())
    }

    fn append(&mut self, lines: &[u8]) -> Result<()> {
        if let Err(e) = self.file.write_all(lines) {
            // Part of it may be there. Shortening needs no room; if it fails, resuming cuts it off.
            let _ = self.file.set_len(self.length);
            return Err(Error::write(&self.path, e));
        }
        self.length += lines.len() as u64;
        if self.synced.elapsed() > SYNC_EVERY {
            self.sync()?;
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        self.synced = Instant::now();
        self.file
            .sync_data()
            .map_err(|e| Error::write(&self.path, e))
    }
}
