//! The Large Movie Review Dataset (Maas et al., ACL 2011): `aclImdb/{train,test}/{pos,neg}/ID_RATING.txt`.

use super::{Dataset, Sample};
use crate::{Error, Result};
use flate2::bufread::GzDecoder;
use gdcert_base::input;
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// The reviews, and what was found on the way.
#[derive(Clone, Debug)]
pub struct Imdb {
    /// Train and test as the archive has them; label 1 is positive. Order: by label, then by name.
    pub data: Dataset,
    /// Reviews per class folder, without the empty ones.
    pub counts: BTreeMap<String, usize>,
    /// Reviews without a visible character: left out.
    pub empty: Vec<String>,
    /// What else was left out, in words.
    pub notes: Vec<String>,
}

impl Imdb {
    /// What a person should be told, if anything: the empty reviews by name, and all else that was left out.
    pub fn note(&self) -> Option<String> {
        let empty = named(&self.empty, "empty reviews left out");
        let all: Vec<String> = empty
            .into_iter()
            .chain(self.notes.iter().cloned())
            .collect();
        (!all.is_empty()).then(|| all.join("; "))
    }
}

/// How many there are of something, with the first names; nothing if there are none.
pub(super) fn named(names: &[String], what: &str) -> Option<String> {
    const SHOWN: usize = 5;
    let (count, shown) = (names.len(), &names[..names.len().min(SHOWN)]);
    let shown: Vec<String> = shown.iter().map(|n| n.escape_debug().to_string()).collect();
    let more = match count.saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (count > 0).then(|| format!("{count} {what}: {}{more}", shown.join(", ")))
}

/// Largest review in bytes; the longest of the archive has 14 thousand.
const REVIEW: u64 = 1 << 20;

/// Most that an archive may unpack to; the original has 0.3 GB.
const ARCHIVE: u64 = 2 << 30;

/// The class folders below `aclImdb`.
const CLASSES: [&str; 4] = ["train/neg", "train/pos", "test/neg", "test/pos"];

/// Reads the original folder, or its `tar.gz` without unpacking it; of each review the first
/// `length` bytes are kept.
///
/// `source` may also be the folder that holds `aclImdb/` or one `.tar.gz` file; or, for texts of one's own, a folder with
/// `train/pos` and so on itself, or with `train.csv` and `test.csv`: columns `text` and `label`, which is 0 or neg, 1 or pos.
///
/// # Errors
/// A missing class folder, an unreadable or truncated file, a review above 1 MB. The message names it.
///
/// Only regular files count that are not hidden (such as the `._` files of macOS); of a member that an archive holds twice
/// the later one, as when it is unpacked.
pub fn read(source: &Path, length: usize) -> Result<Imdb> {
    let (reviews, notes) = match locate(source)? {
        Source::Folder(folder) => from_folder(&folder, length)?,
        Source::Archive(file) => from_archive(&file, length)?,
        Source::Tables(folder) => from_tables(&folder, length)?,
    };
    for class in CLASSES {
        if !reviews.keys().any(|(found, _)| *found == class) {
            return Err(Error::file(
                source,
                format!(
                    "has no reviews in aclImdb/{class}; get the whole archive with gdcert data imdb"
                ),
            ));
        }
    }
    let mut found = Imdb {
        data: Dataset {
            shift: 1,
            ..Dataset::default()
        },
        counts: CLASSES.map(|class| (class.to_owned(), 0)).into(),
        empty: Vec::new(),
        notes: notes.in_words(),
    };
    for ((class, name), review) in reviews {
        if review.empty {
            found.empty.push(format!("{class}/{name}"));
            continue;
        }
        if let Some(count) = found.counts.get_mut(class) {
            *count += 1;
        }
        let (split, label) = match class {
            "train/neg" => (&mut found.data.train, 0),
            "train/pos" => (&mut found.data.train, 1),
            "test/neg" => (&mut found.data.test, 0),
            _ => (&mut found.data.test, 1),
        };
        split.push(Sample {
            bytes: review.bytes,
            label,
        });
    }
    Ok(found)
}

/// By class and name: also the order in which they are numbered.
type Reviews = BTreeMap<(&'static str, String), Review>;

struct Review {
    bytes: Box<[u8]>,
    empty: bool,
}

impl Review {
    fn new(mut bytes: Vec<u8>, length: usize) -> Self {
        let empty = bytes.trim_ascii().is_empty();
        bytes.truncate(length);
        Review {
            bytes: bytes.into(),
            empty,
        }
    }
}

/// What was found that is no review, or not the first of its name.
#[derive(Default)]
struct Notes {
    hidden: Vec<String>,
    irregular: Vec<String>,
    again: Vec<String>,
    after_end: bool,
}

impl Notes {
    fn in_words(&self) -> Vec<String> {
        let after =
            "something follows the end of the archive, which is not read (tar: --ignore-zeros)";
        [
            named(&self.hidden, "hidden files left out"),
            named(
                &self.irregular,
                "links and other files that are not regular left out",
            ),
            named(
                &self.again,
                "members stored more than once, of which the last counts",
            ),
            self.after_end.then(|| after.to_owned()),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

enum Source {
    Folder(PathBuf),
    Archive(PathBuf),
    /// A folder with train.csv and test.csv.
    Tables(PathBuf),
}

fn locate(source: &Path) -> Result<Source> {
    let kind = std::fs::metadata(source).map_err(|e| {
        Error::file(
            source,
            format!("cannot read the reviews: {e}; get them with gdcert data imdb"),
        )
    })?;
    if !kind.is_dir() {
        input::regular(source).map_err(|what| Error::file(source, what))?;
        return Ok(Source::Archive(source.to_owned()));
    }
    let holds_reviews = |folder: &Path| CLASSES.iter().any(|c| folder.join(c).is_dir());
    for folder in [source.to_owned(), source.join("aclImdb")] {
        if holds_reviews(&folder) {
            return Ok(Source::Folder(folder));
        }
    }
    if source.join("train.csv").is_file() {
        return Ok(Source::Tables(source.to_owned()));
    }
    let mut archives: Vec<PathBuf> = std::fs::read_dir(source)
        .map_err(|e| Error::file(source, format!("cannot list the folder: {e}")))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.ends_with(".tar.gz") && !name.starts_with('.')
        })
        .collect();
    match (archives.pop(), archives.is_empty()) {
        (Some(archive), true) => Ok(Source::Archive(archive)),
        (Some(_), false) => Err(Error::file(
            source,
            "holds more than one .tar.gz; name the one to read",
        )),
        (None, _) => Err(Error::file(
            source,
            "holds neither aclImdb/ nor a .tar.gz nor train.csv; get the reviews with gdcert data imdb",
        )),
    }
}

fn from_folder(folder: &Path, length: usize) -> Result<(Reviews, Notes)> {
    let (mut reviews, mut notes) = (Reviews::new(), Notes::default());
    for class in CLASSES {
        let place = folder.join(class);
        let missing = |e| {
            Error::file(
                &place,
                format!(
                    "cannot read this class folder: {e}; get the whole archive with gdcert data imdb"
                ),
            )
        };
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&place).map_err(missing)? {
            let entry = entry.map_err(missing)?;
            let path = entry.path();
            if let Some(name) = path.file_name().and_then(|n| n.to_str())
                && name.ends_with(".txt")
            {
                if name.starts_with('.') {
                    notes.hidden.push(format!("{class}/{name}"));
                } else if !entry.file_type().map_err(missing)?.is_file() {
                    notes.irregular.push(format!("{class}/{name}"));
                } else {
                    files.push((name.to_owned(), path));
                }
            }
        }
        let of_class: Vec<_> = files
            .into_par_iter()
            .map(|(name, path)| {
                let fail = |e| Error::file(&path, format!("cannot read the review: {e}"));
                let mut bytes = Vec::new();
                let file = File::open(&path).map_err(fail)?;
                file.take(REVIEW + 1)
                    .read_to_end(&mut bytes)
                    .map_err(fail)?;
                if bytes.len() as u64 > REVIEW {
                    return Err(too_long(&path, None));
                }
                Ok(((class, name), Review::new(bytes, length)))
            })
            .collect::<Result<_>>()?;
        reviews.extend(of_class);
    }
    notes.hidden.sort();
    notes.irregular.sort();
    Ok((reviews, notes))
}

fn from_tables(folder: &Path, length: usize) -> Result<(Reviews, Notes)> {
    let mut reviews = Reviews::new();
    for (name, [neg, pos]) in [
        ("train.csv", ["train/neg", "train/pos"]),
        ("test.csv", ["test/neg", "test/pos"]),
    ] {
        let path = folder.join(name);
        let wrong = |what: String| {
            Error::file(
                &path,
                format!("{what}; it needs the columns text and label (0 or neg, 1 or pos)"),
            )
        };
        input::regular(&path).map_err(&wrong)?;
        let mut csv = csv::Reader::from_path(&path).map_err(|e| wrong(e.to_string()))?;
        let header = csv
            .byte_headers()
            .map_err(|e| wrong(e.to_string()))?
            .clone();
        let column = |name: &str| {
            let at = header
                .iter()
                .position(|h| h.trim_ascii() == name.as_bytes());
            at.ok_or_else(|| wrong(format!("has no column {name}")))
        };
        let (text, label) = (column("text")?, column("label")?);
        for (row, record) in csv.byte_records().enumerate() {
            let record = record.map_err(|e| wrong(e.to_string()))?;
            let class = match record.get(label).unwrap_or_default().trim_ascii() {
                b"0" | b"neg" => neg,
                b"1" | b"pos" => pos,
                other => {
                    return Err(wrong(format!(
                        "row {} has the label '{}'",
                        row + 1,
                        String::from_utf8_lossy(other).escape_debug()
                    )));
                }
            };
            let bytes = record.get(text).unwrap_or_default().to_vec();
            if bytes.len() as u64 > REVIEW {
                return Err(wrong(format!("row {} has more than 1 MB", row + 1)));
            }
            let named = format!("{name}, row {:09}", row + 1);
            reviews.insert((class, named), Review::new(bytes, length));
        }
    }
    Ok((reviews, Notes::default()))
}

fn too_long(file: &Path, member: Option<&str>) -> Error {
    let what = member.map_or(String::new(), |name| format!("its member {name} "));
    Error::file(
        file,
        format!("{what}has more than 1 MB, which no review has; get it anew with gdcert data imdb"),
    )
}

fn from_archive(file: &Path, length: usize) -> Result<(Reviews, Notes)> {
    let broken = |e: std::io::Error| {
        Error::file(
            file,
            format!("is no whole tar.gz ({e}); get it anew with gdcert data imdb"),
        )
    };
    let opened = input::open(file).map_err(|what| Error::file(file, what))?;
    let mut archive = tar::Archive::new(Unpacked {
        members: Some(GzDecoder::new(BufReader::with_capacity(1 << 16, opened))),
        left: ARCHIVE,
    });
    let (mut reviews, mut notes) = (Reviews::new(), Notes::default());
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let path = entry.path().map_err(broken)?.into_owned();
        let Some((class, name)) = class_and_name(&path) else {
            continue;
        };
        let said = format!("{class}/{name}");
        if name.starts_with('.') {
            notes.hidden.push(said);
            continue;
        }
        let kind = entry.header().entry_type();
        if !kind.is_file() && !kind.is_contiguous() && !kind.is_gnu_sparse() {
            notes.irregular.push(said);
            // Unpacked, it takes the place of what came before it.
            reviews.remove(&(class, name));
            continue;
        }
        // The size is known before the content, which may be endless.
        if entry.size() > REVIEW {
            return Err(too_long(file, Some(&said)));
        }
        let mut bytes = Vec::with_capacity(entry.size() as usize);
        entry
            .by_ref()
            .take(REVIEW + 1)
            .read_to_end(&mut bytes)
            .map_err(broken)?;
        if bytes.len() as u64 > REVIEW {
            return Err(too_long(file, Some(&said)));
        }
        if reviews
            .insert((class, name), Review::new(bytes, length))
            .is_some()
        {
            notes.again.push(said);
        }
    }
    // The end of the archive may be missing even where its last entry is whole.
    let mut rest = archive.into_inner();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match rest.read(&mut buffer).map_err(broken)? {
            0 => break,
            n => notes.after_end |= buffer[..n].iter().any(|byte| *byte != 0),
        }
    }
    Ok((reviews, notes))
}

/// The content of a .gz file: all its members in a row, as gzip -d gives them, zeros after them left out; and no more than
/// a bound.
struct Unpacked<R> {
    members: Option<GzDecoder<R>>,
    left: u64,
}

impl<R: BufRead> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        while let Some(mut member) = self.members.take() {
            let n = member.read(buffer)?;
            if n > 0 {
                self.members = Some(member);
                self.left = self.left.checked_sub(n as u64).ok_or_else(|| {
                    std::io::Error::other("it unpacks to more than 2 GB, which the reviews do not")
                })?;
                return Ok(n);
            }
            let mut rest = member.into_inner();
            loop {
                let ahead = rest.fill_buf()?;
                let zeros = ahead.iter().take_while(|byte| **byte == 0).count();
                let (none, other) = (ahead.is_empty(), zeros < ahead.len());
                rest.consume(zeros);
                if none {
                    return Ok(0);
                }
                if other {
                    break;
                }
            }
            self.members = Some(GzDecoder::new(rest));
        }
        Ok(0)
    }
}

/// `[./]aclImdb/train/pos/0_9.txt` as class and name; nothing for other members.
fn class_and_name(path: &Path) -> Option<(&'static str, String)> {
    let path = path.strip_prefix(".").unwrap_or(path);
    let inner = path.strip_prefix("aclImdb").ok()?;
    let name = inner.file_name()?.to_str()?;
    let parent = inner.parent()?;
    let class = CLASSES
        .into_iter()
        .find(|class| parent == Path::new(class))?;
    name.ends_with(".txt").then(|| (class, name.to_owned()))
}
