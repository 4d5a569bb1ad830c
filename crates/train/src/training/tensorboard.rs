//! `tensorboard/seed-S/events.out.tfevents.gdcert`: the rows of metrics.csv as TensorBoard reads them, while they are made.
//!
//! The file is a sequence of TFRecords (length, its checksum, the bytes, their checksum; all little-endian, checksums CRC-32C,
//! rotated and shifted) that each hold an `Event` in protobuf's wire format. What is used of it: `wall_time` (1, double), `step`
//! (2, varint), `file_version` (3, string), `summary` (5) with values (1) of `tag` (1, string) and `simple_value` (2, float).

use super::{Row, Split};
use crate::{Error, Result};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

const FOLDER: &str = "tensorboard";
const NAME: &str = "events.out.tfevents.gdcert";

/// The event file of a seed. Written on as rows come, so that it can be watched.
pub(super) struct Board {
    path: PathBuf,
    file: Option<File>,
}

impl Board {
    pub(super) fn open(folder: &Path, seed: u64) -> Result<Self> {
        let place = folder.join(FOLDER).join(format!("seed-{seed}"));
        std::fs::create_dir_all(&place).map_err(|e| Error::write(&place, e))?;
        Ok(Board {
            path: place.join(NAME),
            file: None,
        })
    }

    /// Begins the file anew with what is known.
    pub(super) fn restart<'a>(&mut self, rows: impl Iterator<Item = &'a Row>) -> Result<()> {
        let fail = |e| Error::write(&self.path, e);
        gdcert_base::files::refuse_link(&self.path)?;
        let mut file = File::create(&self.path).map_err(fail)?;
        let mut bytes = record(&version());
        for row in rows {
            bytes.extend(record(&event(row)));
        }
        file.write_all(&bytes).map_err(fail)?;
        self.file = Some(file);
        Ok(())
    }

    pub(super) fn add(&mut self, row: &Row) -> Result<()> {
        match &mut self.file {
            Some(file) => {
                let written = file.write_all(&record(&event(row)));
                written.map_err(|e| Error::write(&self.path, e))
            }
            None => Ok(()),
        }
    }
}

/// Takes away what an earlier run left, and nothing else.
pub(super) fn clear(folder: &Path) -> Result<()> {
    let place = folder.join(FOLDER);
    let Ok(entries) = std::fs::read_dir(&place) else {
        return Ok(());
    };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with("seed-") {
            gdcert_base::files::remove(&entry.path().join(NAME))?;
            // Fails, as it should, where there is something else in it.
            let _ = std::fs::remove_dir(entry.path());
        }
    }
    Ok(())
}

fn version() -> Vec<u8> {
    let mut event = double(1, 0.0);
    event.extend(bytes(3, b"brain.Event:2"));
    event
}

/// A row; its time is that spent so far.
fn event(row: &Row) -> Vec<u8> {
    let part = match row.split {
        Split::Train => "train",
        Split::Test => "test",
        Split::Dev => "dev",
        Split::Final => "final",
    };
    let mut values = vec![
        (format!("loss/{part}"), row.loss),
        (format!("accuracy/{part}"), row.accuracy),
        (format!("tokens_per_second/{part}"), row.tokens_per_second),
    ];
    values.extend(row.lr.map(|lr| ("learning_rate".to_owned(), lr)));
    values.extend(row.grad_norm.map(|norm| ("gradient_norm".to_owned(), norm)));
    let mut summary = Vec::new();
    for (tag, value) in values {
        let mut one = bytes(1, tag.as_bytes());
        one.extend(float(2, value as f32));
        summary.extend(bytes(1, &one));
    }
    let mut event = double(1, row.seconds);
    event.extend(key(2, 0));
    event.extend(varint(row.step));
    event.extend(bytes(5, &summary));
    event
}

/// A field's number and the kind of what follows: 0 varint, 1 eight bytes, 2 bytes with their length, 5 four bytes.
fn key(field: u64, kind: u64) -> Vec<u8> {
    varint(field << 3 | kind)
}

fn varint(mut x: u64) -> Vec<u8> {
    let mut all = Vec::new();
    while x > 127 {
        all.push(x as u8 | 128);
        x >>= 7;
    }
    all.push(x as u8);
    all
}

fn double(field: u64, x: f64) -> Vec<u8> {
    [key(field, 1), x.to_le_bytes().to_vec()].concat()
}

fn float(field: u64, x: f32) -> Vec<u8> {
    [key(field, 5), x.to_le_bytes().to_vec()].concat()
}

fn bytes(field: u64, content: &[u8]) -> Vec<u8> {
    let length = varint(content.len() as u64);
    [key(field, 2), length, content.to_vec()].concat()
}

fn record(content: &[u8]) -> Vec<u8> {
    let length = (content.len() as u64).to_le_bytes();
    [
        &length[..],
        &masked(crc32c(&length)).to_le_bytes(),
        content,
        &masked(crc32c(content)).to_le_bytes(),
    ]
    .concat()
}

fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C, bit by bit: some hundred bytes a row.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = !0u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            let odd = crc & 1;
            crc >>= 1;
            if odd == 1 {
                crc ^= 0x82f6_3b78;
            }
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_standard() {
        // RFC 3720, B.4.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn numbers_are_in_the_wire_format() {
        assert_eq!(varint(300), [0xac, 0x02]);
        assert_eq!(varint(0), [0]);
        assert_eq!(varint(u64::MAX).len(), 10);
        assert_eq!(bytes(2, b"testing"), b"\x12\x07testing");
        let first = record(&version());
        // As TensorFlow writes it, but for the time.
        assert_eq!(first[..8], 24u64.to_le_bytes());
        assert!(first.ends_with(&masked(crc32c(&version())).to_le_bytes()));
    }
}
