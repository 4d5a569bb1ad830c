//! Reading files: regular ones only, and none that is larger than the reader can use.
//!
//! A FIFO would wait for ever, a device would never end, and a file of the wrong kind may be larger than the memory.

use crate::memory::available_bytes;
use crate::{Error, Result};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The largest text file that is read whole: settings, JSON, certificates, figures.
pub const TEXT: u64 = 64 << 20;

/// Refuses what is no regular file (a link counts as what it leads to).
pub fn regular(path: &Path) -> std::result::Result<u64, String> {
    let found = std::fs::metadata(path).map_err(|e| format!("cannot be read: {e}"))?;
    let kind = found.file_type();
    if kind.is_file() {
        return Ok(found.len());
    }
    let what = if kind.is_dir() {
        "a folder"
    } else {
        special(kind)
    };
    Err(format!(
        "cannot be read: it is {what}, not a regular file; copy the contents to one"
    ))
}

#[cfg(unix)]
fn special(kind: std::fs::FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    match kind {
        kind if kind.is_fifo() => "a pipe (FIFO)",
        kind if kind.is_socket() => "a socket",
        _ => "a device",
    }
}

#[cfg(not(unix))]
fn special(_: std::fs::FileType) -> &'static str {
    "something special"
}

/// Opens a regular file, to be read piece by piece.
pub fn open(path: &Path) -> std::result::Result<File, String> {
    regular(path)?;
    File::open(path).map_err(|e| format!("cannot be read: {e}"))
}

/// The bytes of a regular file of at most `limit` bytes.
pub fn bytes(path: &Path, limit: u64) -> std::result::Result<Vec<u8>, String> {
    let too_large =
        |size: String| format!("has {size} bytes; files of this kind are read up to {limit} bytes");
    let size = regular(path)?;
    if size > limit {
        return Err(too_large(size.to_string()));
    }
    let file = open(path)?;
    let mut bytes = Vec::new();
    bytes
        .try_reserve_exact(size as usize)
        .map_err(|_| format!("has {size} bytes, which do not fit into the memory"))?;
    // It may grow meanwhile, and what /proc shows has no size.
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| format!("cannot be read: {e}"))?;
    if bytes.len() as u64 > limit {
        return Err(too_large(format!("more than {limit}")));
    }
    Ok(bytes)
}

/// The bytes of a file of numbers (an instance, a checkpoint, an archive): its limit is the memory that is available.
pub fn numbers(path: &Path) -> std::result::Result<Vec<u8>, String> {
    // Half of it: the numbers are there a second time once they are understood.
    let room = available_bytes().unwrap_or(isize::MAX as u128) / 2;
    bytes(path, u64::try_from(room).unwrap_or(u64::MAX - 1))
}

/// The text of a file of at most [`TEXT`] bytes, without the mark that some editors put in front.
pub fn text(path: &Path) -> std::result::Result<String, String> {
    let text = String::from_utf8(bytes(path, TEXT)?)
        .map_err(|_| "is not UTF-8 text; save it as UTF-8".to_owned())?;
    Ok(without_mark(&text).to_owned())
}

/// A text without a byte order mark.
fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// Reads a JSON file.
pub fn json(path: &Path) -> Result<serde_json::Value> {
    let text = text(path).map_err(|what| Error::file(path, what))?;
    serde_json::from_str(&text).map_err(|e| {
        Error::file(
            path,
            format!("is not JSON: {e}; name a file that gdcert wrote"),
        )
    })
}

/// Whether two words name the same thing: case does not matter, nor whether `-` or `_` joins their parts.
pub fn same_word(a: &str, b: &str) -> bool {
    let plain = |c: char| {
        if c == '-' {
            '_'
        } else {
            c.to_ascii_lowercase()
        }
    };
    a.trim().chars().map(plain).eq(b.chars().map(plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_regular_file_or_too_large_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("f");
        std::fs::write(&file, "\u{feff}a\r\n").unwrap();
        assert_eq!(text(&file).unwrap(), "a\r\n");
        assert_eq!(bytes(&file, 6).unwrap().len(), 6);
        let why = bytes(&file, 5).unwrap_err();
        assert!(why.contains("6 bytes") && why.contains("5 bytes"), "{why}");
        assert!(bytes(folder.path(), 5).unwrap_err().contains("a folder"));
        #[cfg(unix)]
        {
            let why = numbers(Path::new("/dev/zero")).unwrap_err();
            assert!(why.contains("a device"), "{why}");
        }
        std::fs::write(&file, [0xff, 0xfe, 0x41]).unwrap();
        assert!(text(&file).unwrap_err().contains("UTF-8"));
    }

    #[test]
    fn words_are_compared_without_case_and_hyphens() {
        assert!(same_word("Per-Head", "per_head") && same_word("CONSTANT_value", "constant-value"));
        assert!(!same_word("perhead", "per_head") && !same_word("", "q"));
    }
}
