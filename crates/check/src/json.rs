//! JSON objects read field by field: nothing missing, nothing unknown, nothing twice.

use super::Unreadable;
use serde_json::{Map, Value};
use std::collections::HashSet;

/// The object that `text` is; `what` names it in errors.
pub(crate) fn object(text: &[u8], what: &str) -> Result<Value, Unreadable> {
    let fail = |why: String| Unreadable::new(format!("{what} {why}"));
    let text = std::str::from_utf8(text).map_err(|_| fail("is not UTF-8 text".into()))?;
    // Some editors begin a file with a byte order mark.
    let text = text.trim_start_matches('\u{feff}');
    let value: Value = serde_json::from_str(text).map_err(|e| fail(format!("is not JSON: {e}")))?;
    if let Some(name) = repeated_name(text) {
        return Err(fail(format!("has the field {name:?} twice")));
    }
    as_wanted(value.is_object().then_some(value), what, "a JSON object")
}

/// A name that some object of this JSON text, which was parsed without an error, has twice: readers
/// differ in which of the two they take.
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
                let is_name =
                    bytes[at + 1..].iter().find(|b| !b.is_ascii_whitespace()) == Some(&b':');
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

/// What can stand in a file.
pub(crate) trait Field: Sized {
    /// Reads a value; `name` says what it is in errors.
    fn read(value: Value, name: &str) -> Result<Self, Unreadable>;

    fn write(&self) -> Value;

    /// What it is where the file has no such field.
    fn missing() -> Option<Self> {
        None
    }
}

fn as_wanted<T>(value: Option<T>, name: &str, wanted: &str) -> Result<T, Unreadable> {
    value.ok_or_else(|| Unreadable::new(format!("`{name}` is not {wanted}")))
}

impl Field for f64 {
    fn read(value: Value, name: &str) -> Result<f64, Unreadable> {
        as_wanted(value.as_f64(), name, "a number")
    }
    fn write(&self) -> Value {
        (*self).into()
    }
}

impl Field for u64 {
    fn read(value: Value, name: &str) -> Result<u64, Unreadable> {
        as_wanted(value.as_u64(), name, "a whole number >= 0")
    }
    fn write(&self) -> Value {
        (*self).into()
    }
}

impl Field for String {
    fn read(value: Value, name: &str) -> Result<String, Unreadable> {
        as_wanted(value.as_str().map(str::to_owned), name, "a string")
    }
    fn write(&self) -> Value {
        self.as_str().into()
    }
}

impl<T: Field> Field for Option<T> {
    fn read(value: Value, name: &str) -> Result<Self, Unreadable> {
        T::read(value, name).map(Some)
    }
    fn write(&self) -> Value {
        self.as_ref().map_or(Value::Null, T::write)
    }
    fn missing() -> Option<Self> {
        Some(None)
    }
}

/// An object whose fields are taken out one by one.
pub(crate) struct Fields {
    map: Map<String, Value>,
    /// "" or "centre." and the like, for errors.
    within: String,
}

impl Fields {
    pub(crate) fn new(value: Value, name: &str) -> Result<Fields, Unreadable> {
        let within = if name.is_empty() { String::new() } else { format!("{name}.") };
        match value {
            Value::Object(map) => Ok(Fields { map, within }),
            _ => as_wanted(None, name, "an object"),
        }
    }

    pub(crate) fn take<T: Field>(&mut self, field: &str) -> Result<T, Unreadable> {
        let name = format!("{}{field}", self.within);
        match self.map.remove(field) {
            Some(value) => T::read(value, &name),
            None => T::missing().ok_or_else(|| Unreadable::new(format!("`{name}` is missing"))),
        }
    }

    /// Refuses fields that were not taken.
    pub(crate) fn end(self) -> Result<(), Unreadable> {
        let unknown = self.map.keys().next().map(|name| format!("{}{name}", self.within));
        unknown.map_or(Ok(()), |name| {
            Err(Unreadable::new(format!("`{}` is no field of such a file", name.escape_debug())))
        })
    }
}

/// A struct that is an object in the file, with its fields in this order.
macro_rules! record {
    ($(#[$doc:meta])* $type:ident {
        $($(#[$field_doc:meta])* $field:ident $(= $name:literal)?: $of:ty,)+
    }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $type { $($(#[$field_doc])* pub $field: $of,)+ }

        impl Field for $type {
            fn read(value: Value, name: &str) -> Result<Self, Unreadable> {
                let mut fields = Fields::new(value, name)?;
                let record = $type { $($field: fields.take(record!(@ $field $($name)?))?,)+ };
                fields.end().map(|()| record)
            }

            fn write(&self) -> Value {
                let fields = [$((record!(@ $field $($name)?), self.$field.write()),)+];
                let there = fields.into_iter().filter(|(_, value)| !value.is_null());
                there.map(|(name, value)| (name.to_owned(), value)).collect::<serde_json::Map<_, _>>().into()
            }
        }
    };
    (@ $field:ident) => { stringify!($field) };
    (@ $field:ident $name:literal) => { $name };
}
pub(crate) use record;
