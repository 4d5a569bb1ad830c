//! The folder Long Range Arena uses: `imgs/B/sample_K.png` and `metadata/B.npy`, which is plain text.

use super::{Difficulty, SIDE, image};
use crate::data::random::{SPLIT, permutation, stream};
use crate::data::{Dataset, Sample, label};
use crate::{Error, Result};
use rayon::prelude::*;
use std::io::BufWriter;
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
    for part in ["imgs", "metadata"] {
        let place = folder.join(part);
        if place.exists() {
            std::fs::remove_dir_all(&place).map_err(fail)?;
        }
        std::fs::rename(staged.path().join(part), place).map_err(fail)?;
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

/// Reads such a folder, made by [`write()`] or by the original program, and splits it 80 : 10 : 10 by a
/// seeded shuffle.
///
/// # Errors
/// A folder without images and metadata, a line that is not as it should be, an image that is not
/// grey, square, whole and as large as the others. The message names the file.
pub fn read(folder: &Path, seed: u64) -> Result<Dataset> {
    let mut entries = Vec::new();
    for file in metadata_files(folder)? {
        let text = std::fs::read_to_string(&file)
            .map_err(|e| Error::file(&file, format!("cannot read the labels: {e}")))?;
        for (number, line) in text.lines().enumerate() {
            if !line.trim().is_empty() {
                let entry = entry(folder, line).map_err(|e| {
                    Error::file(
                        &file,
                        format!("line {}: {e}; make the images anew", number + 1),
                    )
                })?;
                entries.push(entry);
            }
        }
    }
    let samples: Vec<(usize, Sample)> = entries
        .par_iter()
        .map(|(path, label)| {
            let (side, bytes) = grey_square(path)?;
            let label = *label;
            Ok((side, Sample { bytes, label }))
        })
        .collect::<Result<_>>()?;
    let Some(&(side, _)) = samples.first() else {
        return Err(Error::file(
            folder,
            "metadata names no image; make the images anew",
        ));
    };
    if let Some(odd) = samples.iter().position(|(s, _)| *s != side) {
        let (path, s) = (&entries[odd].0, samples[odd].0);
        return Err(Error::file(
            path,
            format!("is {s} x {s} pixels but the first image is {side} x {side}; keep sizes apart"),
        ));
    }
    let order = permutation(samples.len(), &mut stream(seed, SPLIT));
    let (train, rest) = order.split_at(samples.len() * 8 / 10);
    let (dev, test) = rest.split_at(samples.len() * 9 / 10 - train.len());
    let mut samples: Vec<_> = samples.into_iter().map(|(_, s)| Some(s)).collect();
    let mut take = |part: &[usize]| part.iter().filter_map(|&i| samples[i].take()).collect();
    Ok(Dataset {
        shift: 0,
        train: take(train),
        dev: take(dev),
        test: take(test),
    })
}

/// The files `metadata/B.npy` in the order of B.
fn metadata_files(folder: &Path) -> Result<Vec<PathBuf>> {
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
    let entries =
        std::fs::read_dir(&metadata).map_err(|e| missing(format!("cannot read metadata/: {e}")))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry
            .map_err(|e| missing(format!("cannot read metadata/: {e}")))?
            .path();
        if path.extension().is_some_and(|e| e == "npy") {
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err(missing("metadata/ holds no .npy file".to_owned()));
    }
    let number = |path: &PathBuf| path.file_stem()?.to_str()?.parse::<u64>().ok();
    files.sort_by_key(|path| (number(path), path.clone()));
    Ok(files)
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

/// Side and pixels of an 8-bit grey square PNG.
fn grey_square(path: &Path) -> Result<(usize, Box<[u8]>)> {
    let broken = |what: String| {
        Error::file(
            path,
            format!("{what}; make or copy the image anew, or take it out of metadata/"),
        )
    };
    let bytes = std::fs::read(path).map_err(|e| broken(format!("cannot read the image: {e}")))?;
    let mut reader = png::Decoder::new(&bytes[..])
        .read_info()
        .map_err(|e| broken(format!("is no whole PNG ({e})")))?;
    let info = reader.info();
    let (width, height) = (info.width as usize, info.height as usize);
    if info.color_type != png::ColorType::Grayscale || info.bit_depth != png::BitDepth::Eight {
        return Err(broken(format!(
            "is {:?} with {:?} bits but must be 8-bit grey",
            info.color_type, info.bit_depth as u8
        )));
    }
    if width != height {
        return Err(broken(format!("is {width} x {height} but must be square")));
    }
    let mut pixels = vec![0; width * height];
    reader
        .next_frame(&mut pixels)
        .and_then(|_| reader.finish())
        .map_err(|e| broken(format!("is no whole PNG ({e})")))?;
    Ok((width, pixels.into()))
}
