//! The functions of an expression. Each takes its receiver first: `a.contains(b)` and `contains(a, b)` are the same.

use super::{
    time,
    value::{Fault, Value},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Size,
    Contains,
    StartsWith,
    EndsWith,
    Lower,
    Upper,
    Trim,
    Int,
    Uint,
    Double,
    String,
    Bool,
    Timestamp,
    Duration,
    Type,
    Dyn,
}

use Function as F;

/// Name, number of arguments.
const ALL: [(&str, usize, Function); 16] = [
    ("size", 1, F::Size),
    ("contains", 2, F::Contains),
    ("startsWith", 2, F::StartsWith),
    ("endsWith", 2, F::EndsWith),
    ("lowerAscii", 1, F::Lower),
    ("upperAscii", 1, F::Upper),
    ("trim", 1, F::Trim),
    ("int", 1, F::Int),
    ("uint", 1, F::Uint),
    ("double", 1, F::Double),
    ("string", 1, F::String),
    ("bool", 1, F::Bool),
    ("timestamp", 1, F::Timestamp),
    ("duration", 1, F::Duration),
    ("type", 1, F::Type),
    ("dyn", 1, F::Dyn),
];

impl Function {
    pub fn find(name: &str, args: usize) -> Option<Self> {
        ALL.iter()
            .find(|(known, count, _)| *known == name && *count == args)
            .map(|(_, _, function)| *function)
    }

    /// How many arguments it takes.
    pub fn counts(name: &str) -> Vec<usize> {
        if name == "matches" {
            return vec![2];
        }
        ALL.iter().filter(|(known, ..)| *known == name).map(|(_, count, _)| *count).collect()
    }

    pub fn names() -> String {
        let names: Vec<_> = ALL.iter().map(|(name, ..)| *name).collect();
        format!("has, all, exists, exists_one, map, filter, matches, {}", names.join(", "))
    }

    fn name(self) -> &'static str {
        ALL.iter().find(|(_, _, function)| *function == self).map_or("", |(name, ..)| name)
    }

    /// The result for `args`, of which there are as many as [`Function::find`] asked for.
    ///
    /// # Errors
    /// Where the arguments are of other types, or no such number or time.
    pub fn call<'a>(self, args: &[Value<'a>]) -> Result<Value<'a>, Fault> {
        let [first, rest @ ..] = args else { return Err(self.unfit(args)) };
        let found = match (self, rest) {
            (F::Size, _) => first.len().and_then(|len| i64::try_from(len).ok()).map(Value::Int),
            (F::Contains | F::StartsWith | F::EndsWith, [second]) => {
                self.search(first, second).map(Value::Bool)
            }
            (F::Lower, _) => first.text().map(|text| Value::made(text.to_ascii_lowercase())),
            (F::Upper, _) => first.text().map(|text| Value::made(text.to_ascii_uppercase())),
            (F::Trim, _) => first.text().map(|text| Value::made(text.trim())),
            (F::Int, _) => int(first),
            (F::Uint, _) => match int(first) {
                Some(Value::Int(int)) => u64::try_from(int).ok().map(Value::Uint),
                other => other,
            },
            (F::Double, _) => double(first),
            (F::String, _) => string(first),
            (F::Bool, _) => match first {
                Value::Bool(_) => Some(first.clone()),
                other => other.text().and_then(|text| text.parse().ok()).map(Value::Bool),
            },
            (F::Timestamp, _) => time::timestamp(first),
            (F::Duration, _) => time::duration(first),
            (F::Type, _) => Some(Value::Text(first.type_name())),
            (F::Dyn, _) => Some(first.clone()),
            _ => None,
        };
        found.ok_or_else(|| self.unfit(args))
    }

    fn search(self, first: &Value<'_>, second: &Value<'_>) -> Option<bool> {
        let (text, piece) = (bytes(first)?, bytes(second)?);
        Some(match self {
            F::Contains => memchr::memmem::find(text, piece).is_some(),
            F::StartsWith => text.starts_with(piece),
            _ => text.ends_with(piece),
        })
    }

    fn unfit(self, args: &[Value<'_>]) -> Fault {
        let of: Vec<_> = args.iter().map(Value::type_name).collect();
        Fault::Types { op: self.name(), of: of.join(" and ") }
    }
}

pub(super) fn bytes<'b>(value: &'b Value<'_>) -> Option<&'b [u8]> {
    match value {
        Value::Bytes(bytes) => Some(bytes),
        other => other.text().map(str::as_bytes),
    }
}

fn int<'a>(value: &Value<'a>) -> Option<Value<'a>> {
    match value {
        Value::Int(_) => Some(value.clone()),
        Value::Uint(uint) => i64::try_from(*uint).ok().map(Value::Int),
        // Beyond these an i64 would not hold it.
        Value::Double(double) if double.abs() < 9.2e18 => Some(Value::Int(double.trunc() as i64)),
        Value::Time(nanos) => i64::try_from(nanos.div_euclid(1_000_000_000)).ok().map(Value::Int),
        other => other.text()?.parse().ok().map(Value::Int),
    }
}

fn double<'a>(value: &Value<'a>) -> Option<Value<'a>> {
    match value {
        Value::Double(_) => Some(value.clone()),
        Value::Int(int) => Some(Value::Double(*int as f64)),
        Value::Uint(uint) => Some(Value::Double(*uint as f64)),
        other => other.text()?.parse().ok().map(Value::Double),
    }
}

fn string<'a>(value: &Value<'a>) -> Option<Value<'a>> {
    Some(match value {
        Value::Text(_) | Value::Made(_) => value.clone(),
        Value::Bool(it) => Value::made(it.to_string()),
        Value::Int(it) => Value::made(it.to_string()),
        Value::Uint(it) => Value::made(it.to_string()),
        Value::Double(it) => Value::made(it.to_string()),
        Value::Bytes(bytes) => Value::Text(std::str::from_utf8(bytes).ok()?),
        Value::Time(nanos) => Value::made(jiff::Timestamp::from_nanosecond(*nanos).ok()?.to_string()),
        _ => return None,
    })
}
