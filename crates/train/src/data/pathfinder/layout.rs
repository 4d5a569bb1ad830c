//! The folder Long Range Arena uses: `imgs/B/sample_K.png` and `metadata/B.npy`, which is plain text.

use super::{Difficulty, SIDE, image};
use crate::data::imdb::named;
use crate::data::random::{SPLIT, permutation, stream};
use crate::data::{Dataset, Sample, label};
use crate::{Error, Result};
use flate2::bufread::MultiGzDecoder;
use gdcert_base::input;
use rayon::prelude::*;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{BufRead, BufReader, BufWriter, Read};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// Images to a subfolder of `imgs`.
const PER_FOLDER: usize = 1000;

/// Makes images 0..count of a seed in `folder`, replacing the images that are there.
///
/// `each` is told how many are done; the folder changes only when all are.
///
/// # Errors
/// A folder that cannot be written; [`Error::Cancelled`] when `each` breaks.
pub fn write(
    folder: &Path,
    difficulty: Difficulty,
    count: usize,
    seed: u64,
    each: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<()> {
    let fail = |e| Error::write(folder, e);
    let staged = tempfile::Builder::new()
        .prefix(".gdcert-")
        .suffix(".tmp")
        .tempdir_in(folder)
        .map_err(fail)?;
    let metadata = staged.path().join("metadata");
    std::fs::create_dir(&metadata).map_err(fail)?;
    for (b, first) in (0..count).step_by(PER_FOLDER).enumerate() {
        let images = staged.path().join("imgs").join(b.to_string());
        std::fs::create_dir_all(&images).map_err(fail)?;
        let mut lines = String::new();
        // In small portions, so that Ctrl-C is seen soon.
        for from in (first..count.min(first + PER_FOLDER)).step_by(100) {
            let to = count.min(first + PER_FOLDER).min(from + 100);
            let written: Vec<String> = (from..to)
                .into_par_iter()
                .map(|index| {
                    let image = image(difficulty, seed, index as u64);
                    let k = index - first;
                    let path = images.join(format!("sample_{k}.png"));
                    std::fs::write(&path, png(&image.pixels)?).map_err(fail)?;
                    Ok(metadata_line(difficulty, b, k, image.label))
                })
                .collect::<Result<_>>()?;
            lines.extend(written);
            if each(to).is_break() {
                return Err(Error::Cancelled);
            }
        }
        std::fs::write(metadata.join(format!("{b}.npy")), lines).map_err(fail)?;
    }
    replace(folder, staged.path()).map_err(fail)
}

/// Puts the new imgs and metadata in the place of the old ones. First the old metadata go and last the new ones come: a
/// folder that is left between has no labels, never those of other images. After an error everything is as it was.
fn replace(folder: &Path, staged: &Path) -> std::io::Result<()> {
    let [old_metadata, old_imgs] = ["old-metadata", "old-imgs"].map(|name| staged.join(name));
    let moves = [
        (folder.join("metadata"), old_metadata, true),
        (folder.join("imgs"), old_imgs, true),
        (staged.join("imgs"), folder.join("imgs"), false),
        (staged.join("metadata"), folder.join("metadata"), false),
    ];
    for (i, (from, to, if_there)) in moves.iter().enumerate() {
        if *if_there && std::fs::symlink_metadata(from).is_err() {
            continue;
        }
        if let Err(e) = std::fs::rename(from, to) {
            for (from, to, _) in moves[..i].iter().rev() {
                // What was not there was not moved.
                let _ = std::fs::rename(to, from);
            }
            return Err(e);
        }
    }
    Ok(())
}

/// Folder, file, index, label, continuity, contour length, distractor length, paddle length,
/// paddle thickness, margin, number of contrasts.
fn metadata_line(difficulty: Difficulty, b: usize, k: usize, label: u8) -> String {
    format!(
        "imgs/{b} sample_{k}.png {k} {label} 1.0 {} {} 2 0.5 1 1\n",
        difficulty.contour_length(),
        difficulty.distractor_length()
    )
}

fn png(pixels: &[u8]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(BufWriter::new(&mut bytes), SIDE as u32, SIDE as u32);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    encoder
        .write_header()
        .and_then(|mut writer| writer.write_image_data(pixels))
        .map_err(|e| Error::Numerical(format!("cannot encode an image: {e}")))?;
    Ok(bytes)
}

/// Reads such a folder, made by [`write()`] or by the original program, or an archive of one as it is, and splits it 80 : 10 : 10 by a
/// seeded shuffle.
///
/// # Errors
/// A folder without images and metadata, a line that is not as it should be, an image with two labels, one that is not
/// grey, square and as large as the others, more than a quarter of images that are broken. The message names the file.
pub fn read(folder: &Path, seed: u64) -> Result<Dataset> {
    Ok(read_with_notes(folder, seed)?.0)
}

/// As [`read`], with what a person should be told: images left out because they are broken or listed before.
///
/// # Errors
/// As [`read`].
pub fn read_with_notes(folder: &Path, seed: u64) -> Result<(Dataset, Vec<String>)> {
    let store = Store::of(folder)?;
    let mut entries = Vec::new();
    let mut known: HashMap<PathBuf, u8> = HashMap::new();
    let mut again = Vec::new();
    for file in store.metadata_files(folder)? {
        let text = store
            .text(&file)
            .map_err(|what| Error::file(&file, format!("the labels {what}")))?;
        for (number, line) in text.lines().enumerate() {
            if line.trim().is_empty() {
                continue;
            }
            let within = |e: Error| {
                let line = number + 1;
                Error::file(&file, format!("line {line}: {e}; make the images anew"))
            };
            let (path, label) = entry(folder, line).map_err(within)?;
            // One image may go by several names; one that is not there is complained about below.
            let same = std::fs::canonicalize(&path).unwrap_or_else(|_| path.components().collect());
            match known.insert(same, label) {
                None => entries.push((path, label)),
                Some(before) if before == label => again.push(shown(folder, &path)),
                Some(_) => {
                    return Err(within(Error::input(format!(
                        "{} has label {label} here and another one before",
                        shown(folder, &path)
                    ))));
                }
            }
        }
    }
    let read: Vec<std::result::Result<_, Fault>> = entries
        .par_iter()
        .map(|(path, _)| grey_square(path, store.bytes(path)))
        .collect();
    let faults = read
        .iter()
        .filter(|image| matches!(image, Err(Fault::Broken(_))))
        .count();
    // Some are lost in copying; many are another kind of data.
    let tolerated = 4 * faults <= entries.len();
    let (mut samples, mut broken) = (Vec::new(), Vec::new());
    for ((path, label), image) in entries.iter().zip(read) {
        match image {
            Ok((side, bytes)) => samples.push((
                path,
                side,
                Sample {
                    bytes,
                    label: *label,
                },
            )),
            Err(Fault::Broken(_)) if tolerated => broken.push(shown(folder, path)),
            Err(Fault::Broken(e) | Fault::Other(e)) => return Err(e),
        }
    }
    let Some(&(_, side, _)) = samples.first() else {
        return Err(Error::file(
            folder,
            "metadata names no image; make the images anew",
        ));
    };
    if let Some((path, s, _)) = samples.iter().find(|(_, s, _)| *s != side) {
        return Err(Error::file(
            path,
            format!("is {s} x {s} pixels but the first image is {side} x {side}; keep sizes apart"),
        ));
    }
    let distinct: HashSet<&[u8]> = samples.iter().map(|(_, _, s)| &s.bytes[..]).collect();
    let copies = samples.len() - distinct.len();
    let notes = [
        named(&broken, "images left out that are empty or broken"),
        named(&again, "images listed more than once, each taken once"),
        (copies > 0).then(|| {
            format!("{copies} images are copies of others, pixel by pixel: tests may see what was trained on")
        }),
    ];
    let order = permutation(samples.len(), &mut stream(seed, SPLIT));
    let (train, rest) = order.split_at(samples.len() * 8 / 10);
    let (dev, test) = rest.split_at(samples.len() * 9 / 10 - train.len());
    let mut samples: Vec<_> = samples.into_iter().map(|(_, _, s)| Some(s)).collect();
    let mut take = |part: &[usize]| part.iter().filter_map(|&i| samples[i].take()).collect();
    let data = Dataset {
        shift: 0,
        train: take(train),
        dev: take(dev),
        test: take(test),
    };
    Ok((data, notes.into_iter().flatten().collect()))
}

/// A path as it is below the folder.
fn shown(folder: &Path, path: &Path) -> String {
    path.strip_prefix(folder)
        .unwrap_or(path)
        .display()
        .to_string()
}

/// Where the files are: in a folder, or in an archive that is read as it is.
enum Store {
    Folder,
    /// By their path, as if the archive were a folder.
    Archive(HashMap<PathBuf, Vec<u8>>),
}

impl Store {
    /// `source` is a folder, an archive, or a folder in an archive, such as `lra_release.gz/curv_baseline`.
    fn of(source: &Path) -> Result<Self> {
        if source.is_dir() {
            return Ok(Store::Folder);
        }
        match source.ancestors().find(|place| place.is_file()) {
            Some(archive) => Store::unpacked(archive, source),
            // What is missing is complained about where it is read.
            None => Ok(Store::Folder),
        }
    }

    /// The images and labels of one folder of a tar file, packed or not. In that of Long Range Arena there are three sizes
    /// and three difficulties: `curv_baseline` below `pathfinder32` is taken unless another folder is named.
    fn unpacked(archive: &Path, source: &Path) -> Result<Self> {
        let broken = |e: std::io::Error| {
            Error::file(archive, format!("is no whole tar file ({e}); get it anew"))
        };
        let named = source.strip_prefix(archive).unwrap_or(Path::new(""));
        let opened = input::open(archive).map_err(|what| Error::file(archive, what))?;
        let mut opened = BufReader::with_capacity(1 << 16, opened);
        let packed = opened
            .fill_buf()
            .map_err(broken)?
            .starts_with(&[0x1f, 0x8b]);
        let content: Box<dyn Read> = match packed {
            true => Box::new(MultiGzDecoder::new(opened)),
            false => Box::new(opened),
        };
        let mut found: BTreeMap<PathBuf, HashMap<PathBuf, Vec<u8>>> = BTreeMap::new();
        let mut tar = tar::Archive::new(content);
        for entry in tar.entries().map_err(broken)? {
            let mut entry = entry.map_err(broken)?;
            let path = entry.path().map_err(broken)?.into_owned();
            let parts: Vec<_> = path.components().collect();
            let at = parts.iter().position(|part| {
                let part = part.as_os_str();
                part == "imgs" || part == "metadata"
            });
            let (Some(at), true) = (at, entry.header().entry_type().is_file()) else {
                continue;
            };
            let place: PathBuf = parts[..at].iter().collect();
            let wanted = match named.as_os_str().is_empty() {
                true => {
                    !place.to_string_lossy().contains("pathfinder") || {
                        let path = place.to_string_lossy();
                        path.contains("pathfinder32") && !path.contains("contour_length")
                    }
                }
                false => place.ends_with(named),
            };
            if !wanted
                || path
                    .file_name()
                    .is_some_and(|n| n.to_string_lossy().starts_with('.'))
            {
                continue;
            }
            if entry.size() > input::TEXT {
                return Err(Error::file(
                    archive,
                    format!(
                        "its member {} is larger than an image or a list of them",
                        path.display()
                    ),
                ));
            }
            let mut bytes = Vec::with_capacity(entry.size() as usize);
            entry.read_to_end(&mut bytes).map_err(broken)?;
            let inner: PathBuf = parts[at..].iter().collect();
            let files = found.entry(place).or_default();
            files.insert(source.join(inner), bytes);
        }
        match (found.pop_first(), found.pop_first()) {
            (Some((_, files)), None) => Ok(Store::Archive(files)),
            (Some((first, _)), Some((second, _))) => Err(Error::file(
                archive,
                format!(
                    "holds several sets of images, such as {} and {}; name one: --data {}/{}",
                    first.display(),
                    second.display(),
                    archive.display(),
                    first.display()
                ),
            )),
            (None, _) => Err(Error::file(
                source,
                "holds no imgs/ and metadata/ in it; in Long Range Arena's file name a folder, such as \
                 lra_release.gz/pathfinder32/curv_baseline",
            )),
        }
    }

    fn bytes(&self, path: &Path) -> std::result::Result<Cow<'_, [u8]>, String> {
        match self {
            Store::Folder => input::bytes(path, input::TEXT).map(Cow::Owned),
            Store::Archive(files) => match files.get(path) {
                Some(bytes) => Ok(Cow::Borrowed(bytes)),
                None => Err("is not in the archive".to_owned()),
            },
        }
    }

    fn text(&self, path: &Path) -> std::result::Result<String, String> {
        match self {
            Store::Folder => input::text(path),
            Store::Archive(_) => String::from_utf8(self.bytes(path)?.into_owned())
                .map_err(|_| "is not UTF-8 text".to_owned()),
        }
    }

    /// The files `metadata/B.npy` in the order of B.
    fn metadata_files(&self, folder: &Path) -> Result<Vec<PathBuf>> {
        let metadata = folder.join("metadata");
        let missing = |e: String| {
            Error::file(
                folder,
                format!(
                    "is no Pathfinder folder: {e}; it needs imgs/ and metadata/ as \
                     gdcert data pathfinder writes them"
                ),
            )
        };
        let all: Vec<PathBuf> = match self {
            Store::Archive(files) => files
                .keys()
                .filter(|path| path.parent() == Some(&metadata))
                .cloned()
                .collect(),
            Store::Folder => {
                let cannot = |e| missing(format!("cannot read metadata/: {e}"));
                let mut all = Vec::new();
                for entry in std::fs::read_dir(&metadata).map_err(cannot)? {
                    all.push(entry.map_err(cannot)?.path());
                }
                all
            }
        };
        let is_one = |path: &PathBuf| {
            // macOS leaves ._0.npy beside 0.npy.
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            !name.starts_with('.') && path.extension().is_some_and(|e| e == "npy")
        };
        let mut files: Vec<PathBuf> = all.into_iter().filter(is_one).collect();
        if files.is_empty() {
            return Err(missing("metadata/ holds no .npy file".to_owned()));
        }
        let number = |path: &PathBuf| path.file_stem()?.to_str()?.parse::<u64>().ok();
        files.sort_by_key(|path| (number(path), path.clone()));
        Ok(files)
    }
}

/// Image file and label of a metadata line.
fn entry(folder: &Path, line: &str) -> Result<(PathBuf, u8)> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let &[subfolder, file, _, class, ..] = &fields[..] else {
        return Err(Error::input(format!(
            "has {} fields but needs folder, file, index and label",
            fields.len()
        )));
    };
    Ok((folder.join(subfolder).join(file), label(class)?))
}

/// Why an image can not be used.
enum Fault {
    /// It is not there, or no whole PNG.
    Broken(Error),
    /// It is whole, but of another kind.
    Other(Error),
}

/// Most pixels to a side: a header may claim anything.
const LARGEST: u32 = 4096;

/// Side and pixels of an 8-bit grey square PNG.
fn grey_square(
    path: &Path,
    bytes: std::result::Result<Cow<'_, [u8]>, String>,
) -> std::result::Result<(usize, Box<[u8]>), Fault> {
    let fault = |what: String| {
        Error::file(
            path,
            format!("{what}; make or copy the image anew, or take it out of metadata/"),
        )
    };
    let broken = |what: String| Fault::Broken(fault(what));
    let other = |what: String| Err(Fault::Other(fault(what)));
    let no_png = |e: png::DecodingError| broken(format!("is no whole PNG ({e})"));
    let bytes = bytes.map_err(|what| broken(format!("the image {what}")))?;
    let mut reader = png::Decoder::new(&bytes[..]).read_info().map_err(no_png)?;
    let info = reader.info();
    let (width, height) = (info.width, info.height);
    if info.color_type != png::ColorType::Grayscale || info.bit_depth != png::BitDepth::Eight {
        return other(format!(
            "is {:?} with {:?} bits but must be 8-bit grey",
            info.color_type, info.bit_depth as u8
        ));
    }
    if width != height {
        return other(format!("is {width} x {height} but must be square"));
    }
    if width > LARGEST {
        return other(format!(
            "is {width} x {width} pixels but at most {LARGEST} a side are read"
        ));
    }
    // Nothing is packed closer than 1 : 1032.
    if u64::from(width) * u64::from(height) > 1100 * bytes.len() as u64 {
        return Err(broken(
            "is no whole PNG (too short for its size)".to_owned(),
        ));
    }
    let mut pixels = vec![0; width as usize * height as usize];
    reader
        .next_frame(&mut pixels)
        .and_then(|_| reader.finish())
        .map_err(no_png)?;
    Ok((width as usize, pixels.into()))
}
