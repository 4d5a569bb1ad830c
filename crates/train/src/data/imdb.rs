//! The Large Movie Review Dataset (Maas et al., ACL 2011): `aclImdb/{train,test}/{pos,neg}/ID_RATING.txt`.

use super::{Dataset, Sample};
use crate::{Error, Result};
use flate2::bufread::GzDecoder;
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
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
}

/// The class folders below `aclImdb`.
const CLASSES: [&str; 4] = ["train/neg", "train/pos", "test/neg", "test/pos"];

/// Reads the original folder, or its `tar.gz` without unpacking it; of each review the first
/// `length` bytes are kept.
///
/// `source` may also be the folder that holds `aclImdb/` or one `.tar.gz` file.
///
/// # Errors
/// A missing class folder, an unreadable or truncated file. The message names it.
pub fn read(source: &Path, length: usize) -> Result<Imdb> {
    let mut reviews = match locate(source)? {
        Source::Folder(folder) => from_folder(&folder, length)?,
        Source::Archive(file) => from_archive(&file, length)?,
    };
    for class in CLASSES {
        if !reviews.iter().any(|r| r.class == class) {
            return Err(Error::file(
                source,
                format!(
                    "has no reviews in aclImdb/{class}; get the whole archive with gdcert data imdb"
                ),
            ));
        }
    }
    reviews.sort_by(|a, b| (a.class, &a.name).cmp(&(b.class, &b.name)));
    let mut found = Imdb {
        data: Dataset {
            shift: 1,
            ..Dataset::default()
        },
        counts: CLASSES.map(|class| (class.to_owned(), 0)).into(),
        empty: Vec::new(),
    };
    for review in reviews {
        if review.empty {
            found
                .empty
                .push(format!("{}/{}", review.class, review.name));
            continue;
        }
        if let Some(count) = found.counts.get_mut(review.class) {
            *count += 1;
        }
        let (split, label) = match review.class {
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

/// Names the reviews that were left out, if any.
pub fn empty_note(empty: &[String]) -> Option<String> {
    let count = empty.len();
    (count > 0).then(|| format!("{count} empty reviews left out: {}", empty.join(", ")))
}

struct Review {
    class: &'static str,
    name: String,
    bytes: Box<[u8]>,
    empty: bool,
}

impl Review {
    fn new(class: &'static str, name: String, mut bytes: Vec<u8>, length: usize) -> Self {
        let empty = bytes.trim_ascii().is_empty();
        bytes.truncate(length);
        Review {
            class,
            name,
            bytes: bytes.into(),
            empty,
        }
    }
}

enum Source {
    Folder(PathBuf),
    Archive(PathBuf),
}

fn locate(source: &Path) -> Result<Source> {
    let kind = std::fs::metadata(source).map_err(|e| {
        Error::file(
            source,
            format!("cannot read the reviews: {e}; get them with gdcert data imdb"),
        )
    })?;
    if kind.is_file() {
        return Ok(Source::Archive(source.to_owned()));
    }
    let holds_reviews = |folder: &Path| CLASSES.iter().any(|c| folder.join(c).is_dir());
    for folder in [source.to_owned(), source.join("aclImdb")] {
        if holds_reviews(&folder) {
            return Ok(Source::Folder(folder));
        }
    }
    let mut archives: Vec<PathBuf> = std::fs::read_dir(source)
        .map_err(|e| Error::file(source, format!("cannot list the folder: {e}")))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.to_string_lossy().ends_with(".tar.gz"))
        .collect();
    match (archives.pop(), archives.is_empty()) {
        (Some(archive), true) => Ok(Source::Archive(archive)),
        (Some(_), false) => Err(Error::file(
            source,
            "holds more than one .tar.gz; name the one to read",
        )),
        (None, _) => Err(Error::file(
            source,
            "holds neither aclImdb/ nor a .tar.gz; get the reviews with gdcert data imdb",
        )),
    }
}

fn from_folder(folder: &Path, length: usize) -> Result<Vec<Review>> {
    let mut reviews = Vec::new();
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
            let path = entry.map_err(missing)?.path();
            if let Some(name) = path.file_name().and_then(|n| n.to_str())
                && name.ends_with(".txt")
            {
                files.push((name.to_owned(), path));
            }
        }
        let of_class: Vec<Review> = files
            .into_par_iter()
            .map(|(name, path)| {
                let bytes = std::fs::read(&path)
                    .map_err(|e| Error::file(&path, format!("cannot read the review: {e}")))?;
                Ok(Review::new(class, name, bytes, length))
            })
            .collect::<Result<_>>()?;
        reviews.extend(of_class);
    }
    Ok(reviews)
}

fn from_archive(file: &Path, length: usize) -> Result<Vec<Review>> {
    let broken = |e: std::io::Error| {
        Error::file(
            file,
            format!("is no whole tar.gz ({e}); get it anew with gdcert data imdb"),
        )
    };
    let opened = File::open(file).map_err(|e| Error::file(file, format!("cannot read: {e}")))?;
    let mut archive = tar::Archive::new(GzDecoder::new(BufReader::with_capacity(1 << 16, opened)));
    let mut reviews = Vec::new();
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let path = entry.path().map_err(broken)?.into_owned();
        let Some((class, name)) = class_and_name(&path) else {
            continue;
        };
        let mut bytes = Vec::with_capacity(entry.size().min(1 << 16) as usize);
        entry.read_to_end(&mut bytes).map_err(broken)?;
        reviews.push(Review::new(class, name, bytes, length));
    }
    // The end of the archive may be missing even where its last entry is whole.
    std::io::copy(&mut archive.into_inner(), &mut std::io::sink()).map_err(broken)?;
    Ok(reviews)
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
