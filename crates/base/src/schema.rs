//! JSON output files and the version in their `schema`: ours and older ones are read, a newer one is refused by name.

use crate::input::json as read_json;
use crate::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::Path;

/// A file's text, indented.
pub fn to_text(file: &impl Serialize) -> Result<String> {
    let text = serde_json::to_string_pretty(file)
        .map_err(|e| Error::Numerical(format!("cannot form the JSON of a result: {e}")))?;
    Ok(text + "\n")
}

/// Reads a file of the schema `known` or an older one.
pub fn read<T: DeserializeOwned>(path: &Path, known: &str) -> Result<T> {
    let json = read_json(path)?;
    readable(path, json["schema"].as_str().unwrap_or_default(), known)?;
    serde_json::from_value(json).map_err(|e| {
        Error::file(
            path,
            format!("is malformed: {e}; name a file that gdcert wrote"),
        )
    })
}

/// Whether a file of schema `found` can be read by code for the schema `known`, both as in `gdcert.verdict/1`.
///
/// # Errors
/// Another kind of file, or a newer version of this kind.
pub fn readable(path: &Path, found: &str, known: &str) -> Result<()> {
    match (split(found), split(known)) {
        (Some((kind, version)), Some((our_kind, ours))) if kind == our_kind => {
            if version <= ours {
                Ok(())
            } else {
                Err(Error::file(
                    path,
                    format!(
                        "has the newer schema '{found}', this version ({}) reads up to '{known}'; use the version of gdcert that wrote it",
                        env!("CARGO_PKG_VERSION")
                    ),
                ))
            }
        }
        _ => Err(Error::file(
            path,
            format!("has the schema '{found}', expected '{known}'; name a file of that kind"),
        )),
    }
}

fn split(schema: &str) -> Option<(&str, u32)> {
    let (kind, version) = schema.rsplit_once('/')?;
    Some((kind, version.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newer_and_foreign_schemas_are_refused_by_name() {
        let read = |found| readable(Path::new("f.json"), found, "gdcert.verdict/2");
        assert!(read("gdcert.verdict/1").is_ok() && read("gdcert.verdict/2").is_ok());
        let newer = read("gdcert.verdict/10").unwrap_err().to_string();
        assert!(
            newer.contains("f.json: has the newer schema 'gdcert.verdict/10'"),
            "{newer}"
        );
        for foreign in ["gdcert.train/1", "gdcert.verdict", "gdcert.verdict/x", ""] {
            let why = read(foreign).unwrap_err().to_string();
            assert!(why.contains("expected 'gdcert.verdict/2'"), "{why}");
        }
    }
}
