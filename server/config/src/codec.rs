//! From an untyped value to a typed setting and back to text; one type per unit.

use std::marker::PhantomData;
use std::path::PathBuf;
use std::time::Duration;

use crate::choice::Words;
use crate::listen_addr::ListenAddr;
use crate::node::Node;
use crate::secret::Secret;

/// How a setting is read and shown. Implementors are tags without values.
pub trait Codec {
    /// The type in the Options struct.
    type Value;

    /// What a user may write, for messages and for the reference table.
    fn expected() -> String;

    /// None where the value does not fit `expected`.
    fn parse(node: &Node) -> Option<Self::Value>;

    /// The value as a user could write it; empty for "not set".
    fn show(value: &Self::Value) -> String;
}

macro_rules! codec {
    ($(#[$doc:meta])* $name:ident: $value:ty, $expected:expr, |$node:ident| $parse:expr, |$shown:ident| $show:expr) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name;

        impl Codec for $name {
            type Value = $value;

            fn expected() -> String {
                $expected.to_owned()
            }

            fn parse($node: &Node) -> Option<$value> {
                $parse
            }

            fn show($shown: &$value) -> String {
                $show
            }
        }
    };
}

codec!(
    /// true or false; in text also yes/no, on/off, 1/0.
    Bool: bool, "true or false", |node| parse_bool(node), |value| value.to_string()
);
codec!(
    /// Text that is not empty.
    Text: String, "text", |node| text(node).filter(|text| !text.is_empty()).map(str::to_owned), |value| value.clone()
);
codec!(
    /// A directory or file.
    File: PathBuf, "a path", |node| text(node).filter(|text| !text.is_empty()).map(PathBuf::from), |value| value.display().to_string()
);
codec!(
    /// host:port to listen on.
    Address: ListenAddr, "host:port (`:port` = all interfaces)", |node| text(node)?.parse().ok(), |value| value.to_string()
);
codec!(
    /// A list; in text comma-separated.
    Texts: Vec<String>, "a list of texts (comma-separated in a variable)", |node| parse_texts(node), |value| value.join(",")
);
codec!(
    /// A share between 0 and 1.
    Ratio: f64, "a number from 0 to 1", |node| parse_ratio(node), |value| value.to_string()
);
codec!(
    /// Never shown.
    Hidden: Secret, "text", |node| text(node).filter(|text| !text.is_empty()).map(Secret::new), |_value| "***".to_owned()
);
codec!(
    /// 32 bytes as 64 hex characters; never shown.
    HexKey: Secret, "64 hex characters", |node| parse_hex_key(node), |_value| "***".to_owned()
);
codec!(
    /// Such keys with commas between them; never shown.
    HexKeys: Vec<Secret>, "64 hex characters, several with commas", |node| parse_hex_keys(node), |value| if value.is_empty() { String::new() } else { "***".to_owned() }
);
codec!(
    /// A time whose plain number counts milliseconds.
    Millis: Duration, "a whole number of milliseconds, or text such as 500ms, 5s, 10m, 2h, 7d",
    |node| duration(node, 1), |value| format!("{}ms", value.as_millis())
);
codec!(
    /// A time whose plain number counts seconds.
    Seconds: Duration, "a whole number of seconds, or text such as 60s, 10m, 2h, 7d",
    |node| duration(node, 1000), |value| if value.subsec_millis() == 0 { format!("{}s", value.as_secs()) } else { format!("{}ms", value.as_millis()) }
);

/// A whole number in a range.
#[derive(Debug)]
pub struct Whole<const MIN: u32, const MAX: u32>;

impl<const MIN: u32, const MAX: u32> Codec for Whole<MIN, MAX> {
    type Value = u32;

    fn expected() -> String {
        format!("a whole number from {MIN} to {MAX}")
    }

    fn parse(node: &Node) -> Option<u32> {
        u32::try_from(whole(node)?).ok().filter(|value| (MIN..=MAX).contains(value))
    }

    fn show(value: &u32) -> String {
        value.to_string()
    }
}

/// A size in bytes in a range.
#[derive(Debug)]
pub struct Bytes<const MIN: u64, const MAX: u64>;

impl<const MIN: u64, const MAX: u64> Codec for Bytes<MIN, MAX> {
    type Value = u64;

    fn expected() -> String {
        let range = match (MIN, MAX) {
            (0, u64::MAX) => String::new(),
            (min, u64::MAX) => format!(" of at least {min}"),
            (min, max) => format!(" from {min} to {max}"),
        };
        format!("a number of bytes{range}, or text such as 64KiB, 16MiB, 1GiB, 1GB")
    }

    fn parse(node: &Node) -> Option<u64> {
        let value = match node {
            Node::Text(text) => scaled(text, BYTE_UNITS, 1),
            Node::Integer(_) | Node::Float(_) => whole(node).and_then(|value| u64::try_from(value).ok()),
            Node::Null | Node::Bool(_) | Node::List(_) | Node::Table(_) => None,
        };
        value.filter(|value| (MIN..=MAX).contains(value))
    }

    fn show(value: &u64) -> String {
        value.to_string()
    }
}

/// One of a fixed set of words.
#[derive(Debug)]
pub struct Word<T>(PhantomData<T>);

impl<T: Words> Codec for Word<T> {
    type Value = T;

    fn expected() -> String {
        T::words().join(", ")
    }

    fn parse(node: &Node) -> Option<T> {
        text(node)?.to_ascii_lowercase().parse().ok()
    }

    fn show(value: &T) -> String {
        value.to_string()
    }
}

/// A setting that may be absent; empty text makes it so again.
#[derive(Debug)]
pub struct Maybe<C>(PhantomData<C>);

impl<C: Codec> Codec for Maybe<C> {
    type Value = Option<C::Value>;

    fn expected() -> String {
        C::expected()
    }

    fn parse(node: &Node) -> Option<Option<C::Value>> {
        if text(node).is_some_and(str::is_empty) { Some(None) } else { C::parse(node).map(Some) }
    }

    fn show(value: &Option<C::Value>) -> String {
        value.as_ref().map(C::show).unwrap_or_default()
    }
}

const BYTE_UNITS: &[(&str, u64)] = &[
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("b", 1),
];
const TIME_UNITS: &[(&str, u64)] =
    &[("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

fn text(node: &Node) -> Option<&str> {
    match node {
        Node::Text(text) => Some(text.trim()),
        Node::Null | Node::Bool(_) | Node::Integer(_) | Node::Float(_) | Node::List(_) | Node::Table(_) => {
            None
        }
    }
}

fn whole(node: &Node) -> Option<i128> {
    match node {
        Node::Integer(value) => Some(*value),
        Node::Text(text) => text.trim().parse().ok(),
        Node::Null | Node::Bool(_) | Node::Float(_) | Node::List(_) | Node::Table(_) => None,
    }
}

fn parse_bool(node: &Node) -> Option<bool> {
    match node {
        Node::Bool(value) => Some(*value),
        Node::Text(text) => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Some(true),
            "false" | "no" | "off" | "0" => Some(false),
            _ => None,
        },
        Node::Null | Node::Integer(_) | Node::Float(_) | Node::List(_) | Node::Table(_) => None,
    }
}

fn parse_ratio(node: &Node) -> Option<f64> {
    let value = match node {
        Node::Float(value) => *value,
        Node::Integer(_) | Node::Text(_) | Node::Null | Node::Bool(_) | Node::List(_) | Node::Table(_) => {
            match whole(node) {
                Some(0) => 0.0,
                Some(1) => 1.0,
                Some(_) => return None,
                None => text(node)?.parse().ok()?,
            }
        }
    };
    (0.0..=1.0).contains(&value).then_some(value)
}

fn parse_texts(node: &Node) -> Option<Vec<String>> {
    match node {
        Node::Text(text) => {
            Some(text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect())
        }
        Node::List(items) => items.iter().map(|item| text(item).map(str::to_owned)).collect(),
        Node::Null | Node::Bool(_) | Node::Integer(_) | Node::Float(_) | Node::Table(_) => None,
    }
}

fn parse_hex_key(node: &Node) -> Option<Secret> {
    hex_key(text(node)?)
}

fn parse_hex_keys(node: &Node) -> Option<Vec<Secret>> {
    text(node)?.split(',').map(str::trim).filter(|key| !key.is_empty()).map(hex_key).collect()
}

fn hex_key(key: &str) -> Option<Secret> {
    (key.len() == 64 && key.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| Secret::new(key))
}

/// `plain_unit_ms`: how many milliseconds a number without unit counts.
fn duration(node: &Node, plain_unit_ms: u64) -> Option<Duration> {
    let millis = match node {
        Node::Text(text) => scaled(text, TIME_UNITS, plain_unit_ms),
        Node::Integer(value) => u64::try_from(*value).ok()?.checked_mul(plain_unit_ms),
        Node::Null | Node::Bool(_) | Node::Float(_) | Node::List(_) | Node::Table(_) => None,
    };
    // A century: beyond it sums with the wall clock would overflow somewhere.
    millis.filter(|value| *value <= 100 * 365 * 86_400_000).map(Duration::from_millis)
}

/// `12`, `12ms`, `12 MiB`: the number times its unit; None on overflow or an unknown unit.
fn scaled(text: &str, units: &[(&str, u64)], plain: u64) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let unit = text[digits..].trim_start();
    let factor = if unit.is_empty() { plain } else { units.iter().find(|(name, _)| *name == unit)?.1 };
    text[..digits].parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests;
