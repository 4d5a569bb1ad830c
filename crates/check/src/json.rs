//! JSON objects read field by field: nothing missing, nothing unknown, nothing twice.

use super::Unreadable;
use serde_json::{Map, Value};
use std::collections::HashSet;

/// The object that `text` is; `what` names it in errors.
pub(crate) fn object(text: &[u8], what: &str) -> Result<Map<String, Value>, Unreadable> {
    let fail = |why: String| Unreadable::new(format!("{what} {why}"));
    let text = std::str::from_utf8(text).map_err(|_| fail("is not UTF-8 text".into()))?;
    let value: Value =
        serde_json::from_str(text).map_err(|e| fail(format!("is not JSON: {e}")))?;
    if let Some(name) = repeated_name(text) {
        return Err(fail(format!("has the field {name:?} twice")));
    }
    match value {
        Value::Object(map) => Ok(map),
        _ => Err(fail("is not a JSON object".into())),
    }
}

/// A name that some object of this JSON text, which was parsed without an error, has twice: readers differ in which of the two they
/// take.
fn repeated_name(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut open: Vec<HashSet<String>> = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'{' => open.push(HashSet::new()),
            b'}' => drop(open.pop()),
            b'"' => {
                let start = at;
                at += 1;
                while bytes[at] != b'"' {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                let is_name = bytes[at + 1..].iter().find(|b| !b.is_ascii_whitespace()) == Some(&b':');
                if is_name {
                    let name: String = serde_json::from_str(&text[start..=at]).ok()?;
                    if !open.last_mut()?.insert(name.clone()) {
                        return Some(name);
                    }
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// An object whose fields are taken out one by one.
pub(crate) struct Fields {
    map: Map<String, Value>,
    /// "" or "centre." and the like, for errors.
    within: String,
}

impl Fields {
    pub(crate) fn new(map: Map<String, Value>) -> Fields {
        let within = String::new();
        Fields { map, within }
    }

    fn name(&self, name: &str) -> String {
        format!("{}{name}", self.within)
    }

    pub(crate) fn optional(&mut self, name: &str) -> Option<Value> {
        self.map.remove(name)
    }

    fn take(&mut self, name: &str) -> Result<Value, Unreadable> {
        let value = self.map.remove(name);
        value.ok_or_else(|| Unreadable::new(format!("`{}` is missing", self.name(name))))
    }

    fn mistyped<T>(&self, name: &str, wanted: &str) -> Result<T, Unreadable> {
        Err(Unreadable::new(format!("`{}` is not {wanted}", self.name(name))))
    }

    pub(crate) fn text(&mut self, name: &str) -> Result<String, Unreadable> {
        match self.take(name)? {
            Value::String(text) => Ok(text),
            _ => self.mistyped(name, "a string"),
        }
    }

    pub(crate) fn number(&mut self, name: &str) -> Result<f64, Unreadable> {
        match self.take(name)?.as_f64() {
            Some(x) => Ok(x),
            None => self.mistyped(name, "a number"),
        }
    }

    pub(crate) fn count(&mut self, name: &str) -> Result<u64, Unreadable> {
        match self.take(name)?.as_u64() {
            Some(x) => Ok(x),
            None => self.mistyped(name, "a whole number >= 0"),
        }
    }

    /// A word that `parse` knows.
    pub(crate) fn word<T>(
        &mut self,
        name: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<T, Unreadable> {
        let word = self.text(name)?;
        match parse(&word) {
            Some(value) => Ok(value),
            None => self.mistyped(name, &format!("a value that is known: {word:?}")),
        }
    }

    pub(crate) fn object(&mut self, name: &str) -> Result<Fields, Unreadable> {
        let value = self.take(name)?;
        self.inner(name, value)
    }

    pub(crate) fn inner(&self, name: &str, value: Value) -> Result<Fields, Unreadable> {
        let within = format!("{}.", self.name(name));
        match value {
            Value::Object(map) => Ok(Fields { map, within }),
            _ => self.mistyped(name, "an object"),
        }
    }

    /// Refuses fields that were not taken.
    pub(crate) fn end(self) -> Result<(), Unreadable> {
        match self.map.keys().next() {
            None => Ok(()),
            Some(name) => Err(Unreadable::new(format!(
                "`{}` is no field of such a file",
                self.name(name).escape_debug()
            ))),
        }
    }
}
