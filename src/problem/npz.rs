//! NumPy's `.npz`: a ZIP archive of `.npy` arrays, stored or deflated, as `np.savez` and `np.savez_compressed` write it.

use flate2::Crc;
use flate2::read::DeflateDecoder;
use std::io::Read;

/// What a member holds.
pub(super) enum Array {
    /// Numbers, row by row, with their shape.
    Numbers { shape: Vec<usize>, values: Vec<f64> },
    /// A string without axes.
    Text(String),
    /// Anything else, by the name NumPy gives it.
    Other(String),
}

type Read1<T> = Result<T, String>;

/// Whether bytes begin as a ZIP archive does.
pub(super) fn is_zip(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06")
}

/// The arrays of an archive by name, of those whose name is `wanted`.
pub(super) fn read(bytes: &[u8], wanted: &dyn Fn(&str) -> bool) -> Read1<Vec<(String, Array)>> {
    let mut arrays: Vec<(String, Array)> = Vec::new();
    for member in members(bytes)? {
        let Some(name) = member.name.strip_suffix(".npy") else {
            continue;
        };
        if !wanted(name) {
            continue;
        }
        if arrays.iter().any(|(other, _)| other == name) {
            return Err(format!("holds {name} twice; save it anew"));
        }
        let array = member
            .contents(bytes)
            .and_then(|contents| array(&contents))
            .map_err(|what| format!("array {name} {what}"))?;
        arrays.push((name.to_owned(), array));
    }
    Ok(arrays)
}

// ---------------------------------------------------------------------------------------------------------------------
// ZIP, as far as NumPy writes it: one disk, no encryption, sizes above 4 GB in the extra field.

struct Member {
    name: String,
    method: u16,
    encrypted: bool,
    crc: u32,
    packed: u64,
    size: u64,
    /// Where its local header is.
    at: u64,
}

/// The archive's directory, which stands at its end.
fn members(bytes: &[u8]) -> Read1<Vec<Member>> {
    let cut =
        || "is no whole .npz (its directory is missing); save it anew with np.savez".to_owned();
    const END: usize = 22;
    // A comment of at most 64 kB may follow the last record.
    let first = bytes.len().saturating_sub(END + 0xffff);
    let end = (first..=bytes.len().saturating_sub(END))
        .rev()
        .find(|&at| bytes[at..].starts_with(b"PK\x05\x06"))
        .ok_or_else(cut)?;
    let (mut count, mut at) = (
        u64::from(u16_at(bytes, end + 10).ok_or_else(cut)?),
        u64::from(u32_at(bytes, end + 16).ok_or_else(cut)?),
    );
    if count == 0xffff || at == 0xffff_ffff {
        // The large record, whose place stands just before.
        let locator = end.checked_sub(20).ok_or_else(cut)?;
        let record = u64_at(bytes, locator + 8).ok_or_else(cut)?;
        let record = usize::try_from(record).map_err(|_| cut())?;
        count = u64_at(bytes, record.checked_add(32).ok_or_else(cut)?).ok_or_else(cut)?;
        at = u64_at(bytes, record + 48).ok_or_else(cut)?;
    }
    let mut members = Vec::new();
    for _ in 0..count {
        let (member, next) = member(bytes, at).ok_or_else(cut)?;
        members.push(member);
        at = next;
    }
    Ok(members)
}

/// An entry of the directory, and where the next one is.
fn member(bytes: &[u8], at: u64) -> Option<(Member, u64)> {
    let at = usize::try_from(at).ok()?;
    let entry = bytes.get(at..)?;
    if !entry.starts_with(b"PK\x01\x02") {
        return None;
    }
    let [name, extra, comment] = [28, 30, 32].map(|i| u16_at(entry, i).map(usize::from));
    let (name, extra, comment) = (name?, extra?, comment?);
    let mut member = Member {
        name: String::from_utf8_lossy(entry.get(46..46 + name)?).into_owned(),
        method: u16_at(entry, 10)?,
        encrypted: u16_at(entry, 8)? & 1 == 1,
        crc: u32_at(entry, 16)?,
        packed: u32_at(entry, 20)?.into(),
        size: u32_at(entry, 24)?.into(),
        at: u32_at(entry, 42)?.into(),
    };
    // Field 1 of the extra ones holds, in this order, those numbers that have no room above.
    let mut fields = entry.get(46 + name..46 + name + extra)?;
    while fields.len() >= 4 {
        let (id, length) = (u16_at(fields, 0)?, usize::from(u16_at(fields, 2)?));
        let mut field = fields.get(4..4 + length)?;
        if id == 1 {
            for number in [&mut member.size, &mut member.packed, &mut member.at] {
                if *number == 0xffff_ffff {
                    *number = u64_at(field, 0)?;
                    field = &field[8..];
                }
            }
        }
        fields = &fields[4 + length..];
    }
    Some((member, (at + 46 + name + extra + comment) as u64))
}

impl Member {
    /// The member's bytes, unpacked and checked.
    fn contents(&self, bytes: &[u8]) -> Read1<Vec<u8>> {
        let cut = || "is cut off; save it anew".to_owned();
        if self.encrypted {
            return Err("is encrypted; save it without".to_owned());
        }
        let local = usize::try_from(self.at).ok().and_then(|at| bytes.get(at..));
        let local = local
            .filter(|l| l.starts_with(b"PK\x03\x04"))
            .ok_or_else(cut)?;
        let lengths = [26, 28].map(|i| u16_at(local, i).map(usize::from));
        let [Some(name), Some(extra)] = lengths else {
            return Err(cut());
        };
        let packed = usize::try_from(self.packed).ok();
        let packed = packed
            .and_then(|length| local.get(30 + name + extra..)?.get(..length))
            .ok_or_else(cut)?;
        let mut contents = Vec::new();
        match self.method {
            0 => contents.extend_from_slice(packed),
            8 => {
                // Deflate packs at most 1032 to 1: a directory that promises more is wrong.
                if self.size / 1040 > self.packed {
                    return Err("has a wrong size in the archive; save it anew".to_owned());
                }
                DeflateDecoder::new(packed)
                    .take(self.size.saturating_add(1))
                    .read_to_end(&mut contents)
                    .map_err(|e| format!("cannot be unpacked ({e}); save it anew"))?;
            }
            other => {
                return Err(format!(
                    "is packed by method {other}; save it with np.savez or np.savez_compressed"
                ));
            }
        }
        let mut crc = Crc::new();
        crc.update(&contents);
        if contents.len() as u64 != self.size || crc.sum() != self.crc {
            return Err("is damaged (its checksum differs); save it anew".to_owned());
        }
        Ok(contents)
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

// ---------------------------------------------------------------------------------------------------------------------
// NPY: "\x93NUMPY", version, length of the header, a Python dictionary, the entries.

/// Whether bytes begin as a single `.npy` array does.
pub(super) fn is_npy(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x93NUMPY")
}

fn array(bytes: &[u8]) -> Read1<Array> {
    let broken = || "is no .npy array; save it anew".to_owned();
    if !is_npy(bytes) {
        return Err(broken());
    }
    // Version 1 counts the header's bytes in two, later ones in four.
    let (start, length) = match bytes.get(6).copied() {
        Some(1) => (10, u16_at(bytes, 8).map(u64::from)),
        Some(_) => (12, u32_at(bytes, 8).map(u64::from)),
        None => (0, None),
    };
    let length = length
        .and_then(|l| usize::try_from(l).ok())
        .ok_or_else(broken)?;
    let end = start + length;
    let header = bytes.get(start..end).ok_or_else(broken)?;
    let header = std::str::from_utf8(header).map_err(|_| broken())?;
    let kind = value(header, "descr").ok_or_else(broken)?;
    let fortran = value(header, "fortran_order")
        .ok_or_else(broken)?
        .starts_with("True");
    let shape = shape(value(header, "shape").ok_or_else(broken)?).ok_or_else(broken)?;
    let Some(kind) = kind.strip_prefix('\'').and_then(|k| k.split('\'').next()) else {
        return Ok(Array::Other("a record".to_owned()));
    };
    let count = shape.iter().try_fold(1usize, |all, &n| all.checked_mul(n));
    let count = count.ok_or_else(broken)?;
    let (order, letters) = kind.split_at(usize::from(kind.starts_with(['<', '>', '|', '='])));
    let data = &bytes[end..];
    let whole = |size: usize| match count.checked_mul(size) == Some(data.len()) {
        true => Ok(()),
        false => Err(format!(
            "holds {} bytes where its shape {shape:?} needs {count} entries of {size}; save it anew",
            data.len()
        )),
    };
    let little = order != ">";
    let values: Vec<f64> = match letters {
        "f8" => {
            whole(8)?;
            let chunks = data.as_chunks::<8>().0.iter();
            match little {
                true => chunks.map(|b| f64::from_le_bytes(*b)).collect(),
                false => chunks.map(|b| f64::from_be_bytes(*b)).collect(),
            }
        }
        "f4" => {
            whole(4)?;
            let chunks = data.as_chunks::<4>().0.iter();
            match little {
                true => chunks.map(|b| f32::from_le_bytes(*b).into()).collect(),
                false => chunks.map(|b| f32::from_be_bytes(*b).into()).collect(),
            }
        }
        text if shape.is_empty() && text.starts_with(['U', 'S']) => {
            let codes: Vec<u32> = match (text.starts_with('U'), little) {
                (false, _) => data.iter().map(|&b| b.into()).collect(),
                (true, true) => data
                    .as_chunks()
                    .0
                    .iter()
                    .map(|b| u32::from_le_bytes(*b))
                    .collect(),
                (true, false) => data
                    .as_chunks()
                    .0
                    .iter()
                    .map(|b| u32::from_be_bytes(*b))
                    .collect(),
            };
            let letters = codes.into_iter().filter_map(char::from_u32);
            let text: String = letters.collect();
            return Ok(Array::Text(text.trim_end_matches('\0').to_owned()));
        }
        _ => return Ok(Array::Other(kind.to_owned())),
    };
    let values = match fortran {
        true => rows_first(&values, &shape),
        false => values,
    };
    Ok(Array::Numbers { shape, values })
}

/// What follows a key in the header's dictionary.
fn value<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    let after = header.split_once(&format!("'{key}'"))?.1.trim_start();
    Some(after.strip_prefix(':')?.trim_start())
}

/// `(2, 4, 8)`, `(4,)` or `()`.
fn shape(text: &str) -> Option<Vec<usize>> {
    let inner = text.strip_prefix('(')?.split_once(')')?.0;
    let sizes = inner
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty());
    sizes.map(|size| size.parse().ok()).collect()
}

/// Entries whose first index runs fastest, in the order in which the last one does.
fn rows_first(values: &[f64], shape: &[usize]) -> Vec<f64> {
    let mut strides = Vec::with_capacity(shape.len());
    let mut stride = 1;
    for &size in shape {
        strides.push(stride);
        stride *= size;
    }
    let mut index = vec![0; shape.len()];
    let mut ordered = Vec::with_capacity(values.len());
    for _ in 0..values.len() {
        ordered.push(
            values[index
                .iter()
                .zip(&strides)
                .map(|(i, s)| i * s)
                .sum::<usize>()],
        );
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            if index[axis] < shape[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fortran_order_is_turned_round() {
        // [[1, 2, 3], [4, 5, 6]] column by column.
        let turned = rows_first(&[1.0, 4.0, 2.0, 5.0, 3.0, 6.0], &[2, 3]);
        assert_eq!(turned, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(rows_first(&[7.0], &[]), [7.0]);
    }

    #[test]
    fn headers_are_read() {
        let header = "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 4, 8), }";
        assert!(value(header, "descr").unwrap().starts_with("'<f8'"));
        assert_eq!(shape(value(header, "shape").unwrap()), Some(vec![2, 4, 8]));
        assert_eq!(shape("(4,)"), Some(vec![4]));
        assert_eq!(shape("()"), Some(vec![]));
        assert_eq!(shape("(4, x)"), None);
    }
}
