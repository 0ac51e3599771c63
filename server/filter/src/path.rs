//! `$.dotted.path`: whether a JSON object has it. Reads the document once and builds nothing.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::{FilterKind, InvalidFilter};

#[derive(Debug)]
pub(crate) struct Path(Vec<String>);

impl Path {
    pub fn new(text: &str) -> Result<Self, InvalidFilter> {
        let refused = |why| InvalidFilter::new(FilterKind::Path, why);
        let Some(path) = text.strip_prefix("$.") else {
            return Err(refused("a path begins with \"$.\", e.g. $.order.total").at(text, 0));
        };
        let names: Vec<String> = path.split('.').map(str::to_owned).collect();
        if let Some(empty) = names.iter().position(String::is_empty) {
            let at = 2 + names[..empty].iter().map(|name| name.len() + 1).sum::<usize>();
            return Err(refused("a path has a name between any two dots").at(text, at));
        }
        Ok(Self(names))
    }

    pub fn is_in(&self, value: &[u8]) -> bool {
        let mut reader = serde_json::Deserializer::from_slice(value);
        let found = value.starts_with(b"{") && Seek(&self.0).deserialize(&mut reader).unwrap_or(false);
        // As long as the document is one: what follows a hit is read as well.
        found && reader.end().is_ok()
    }
}

/// Whether the value that comes next has the rest of a path.
struct Seek<'a>(&'a [String]);

impl<'de> DeserializeSeed<'de> for Seek<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        if self.0.is_empty() {
            return deserializer.deserialize_ignored_any(IgnoredAny).map(|_| true);
        }
        deserializer.deserialize_any(self)
    }
}

macro_rules! nothing_below {
    ($($visit:ident: $type:ty),*) => {
        $(fn $visit<E>(self, _: $type) -> Result<bool, E> { Ok(false) })*
    };
}

impl<'de> Visitor<'de> for Seek<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    nothing_below!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str);

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<bool, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(false)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<bool, A::Error> {
        let (name, rest) = self.0.split_first().map_or(("", &[][..]), |(name, rest)| (name.as_str(), rest));
        let mut found = false;
        while let Some(key) = entries.next_key::<std::borrow::Cow<'_, str>>()? {
            if key == name {
                // The last of several counts, as in a parsed document.
                found = entries.next_value_seed(Seek(rest))?;
            } else {
                entries.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}
