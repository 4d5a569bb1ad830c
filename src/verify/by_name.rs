//! A list by name, which files have as an object.

use serde::de::{Error, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::marker::PhantomData;
use std::ops::Index;

/// A value for each claim by its name: the readings of beta, then the user's own, in the order of the file.
#[derive(Clone, Debug, PartialEq)]
pub struct ByName<T>(Vec<(String, T)>);

impl<T> ByName<T> {
    /// The value of this name.
    pub fn get(&self, name: impl AsRef<str>) -> Option<&T> {
        let name = name.as_ref();
        self.iter().find(|(own, _)| *own == name).map(|(_, x)| x)
    }

    /// Names and values, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }
}

impl<T> FromIterator<(String, T)> for ByName<T> {
    fn from_iter<I: IntoIterator<Item = (String, T)>>(values: I) -> Self {
        ByName(values.into_iter().collect())
    }
}

/// # Panics
/// There is nothing of this name; a file that was read has the readings, and what decides.
impl<T, N: AsRef<str>> Index<N> for ByName<T> {
    type Output = T;
    fn index(&self, name: N) -> &T {
        match self.get(&name) {
            Some(value) => value,
            None => panic!("there is nothing of the name {}", name.as_ref()),
        }
    }
}

impl<T: Serialize> Serialize for ByName<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(self.0.len()))?;
        for (name, value) in self.iter() {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for ByName<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Entries<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
            type Value = ByName<T>;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object with a value for each claim")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ByName<T>, A::Error> {
                let mut all = ByName(Vec::new());
                while let Some((name, value)) = map.next_entry::<String, T>()? {
                    if all.get(&name).is_some() {
                        return Err(A::Error::custom(format!("duplicate field `{name}`")));
                    }
                    all.0.push((name, value));
                }
                Ok(all)
            }
        }
        from.deserialize_map(Entries(PhantomData))
    }
}
