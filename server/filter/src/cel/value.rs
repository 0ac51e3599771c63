//! Values while an expression is evaluated. What stands in the record is borrowed from there.

use std::{cmp::Ordering, rc::Rc};

use serde_json::Value as Json;

use super::numbers;

/// Why an expression fails on a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("the value is not JSON")]
    NotJson,
    #[error("there is no field {0:?}")]
    NoField(String),
    #[error("{op} does not go with {of}")]
    Types { op: &'static str, of: String },
    #[error("{0}")]
    Arithmetic(&'static str),
    #[error("it takes too many steps")]
    TooCostly,
}

#[derive(Debug, Clone)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(&'a str),
    Made(Rc<str>),
    Bytes(&'a [u8]),
    /// Nanoseconds since 1970.
    Time(i128),
    /// Nanoseconds.
    Duration(i128),
    List(Rc<Vec<Value<'a>>>),
    Map(Rc<Vec<(Value<'a>, Value<'a>)>>),
    /// An array or an object.
    Json(&'a Json),
}

impl<'a> Value<'a> {
    pub fn of_json(json: &'a Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(*value),
            Json::String(text) => Self::Text(text),
            Json::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(int), _) => Self::Int(int),
                (None, Some(uint)) => Self::Uint(uint),
                (None, None) => Self::Double(number.as_f64().unwrap_or(f64::NAN)),
            },
            Json::Array(_) | Json::Object(_) => Self::Json(json),
        }
    }

    /// Text where the bytes are UTF-8.
    pub fn of_bytes(bytes: &'a [u8]) -> Self {
        std::str::from_utf8(bytes).map_or(Self::Bytes(bytes), Self::Text)
    }

    pub fn made(text: impl Into<Rc<str>>) -> Self {
        Self::Made(text.into())
    }

    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Made(text) => Some(text),
            _ => None,
        }
    }

    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Uint(_) => "uint",
            Self::Double(_) => "double",
            Self::Text(_) | Self::Made(_) => "string",
            Self::Bytes(_) => "bytes",
            Self::Time(_) => "timestamp",
            Self::Duration(_) => "duration",
            Self::List(_) | Self::Json(Json::Array(_)) => "list",
            Self::Map(_) | Self::Json(_) => "map",
        }
    }

    /// The items of a list, or the keys of a map.
    pub fn items(&self) -> Option<Vec<Value<'a>>> {
        match self {
            Self::List(items) => Some(items.to_vec()),
            Self::Map(entries) => Some(entries.iter().map(|(key, _)| key.clone()).collect()),
            Self::Json(Json::Array(items)) => Some(items.iter().map(Value::of_json).collect()),
            Self::Json(Json::Object(fields)) => Some(fields.keys().map(|name| Value::Text(name)).collect()),
            _ => None,
        }
    }

    /// Items of a list, entries of a map, characters of a text, bytes.
    pub fn len(&self) -> Option<usize> {
        match self {
            Self::List(items) => Some(items.len()),
            Self::Map(entries) => Some(entries.len()),
            Self::Json(Json::Array(items)) => Some(items.len()),
            Self::Json(Json::Object(fields)) => Some(fields.len()),
            Self::Bytes(bytes) => Some(bytes.len()),
            other => other.text().map(|text| text.chars().count()),
        }
    }

    /// The entry of a map, `None` where there is none of that key.
    ///
    /// # Errors
    /// When it is no map.
    pub fn field(&self, name: &str) -> Result<Option<Value<'a>>, Fault> {
        match self {
            Self::Json(Json::Object(fields)) => Ok(fields.get(name).map(Value::of_json)),
            Self::Map(entries) => {
                let found = entries.iter().find(|(key, _)| key.text() == Some(name));
                Ok(found.map(|(_, value)| value.clone()))
            }
            other => Err(Fault::Types { op: "a field", of: other.type_name().to_owned() }),
        }
    }
}

/// Two of another type are different; numbers are equal when their values are. `steps` is charged for each part.
pub(super) fn equal(
    a: &Value<'_>,
    b: &Value<'_>,
    steps: &mut dyn FnMut(usize) -> Result<(), Fault>,
) -> Result<bool, Fault> {
    steps(1)?;
    if let (Some(a), Some(b)) = (a.text(), b.text()) {
        steps(a.len().min(b.len()) / 64)?;
        return Ok(a == b);
    }
    if let Some(order) = numbers::compare(a, b) {
        return Ok(order == Some(Ordering::Equal));
    }
    match (a, b) {
        (Value::Null, Value::Null) => Ok(true),
        (Value::Bool(a), Value::Bool(b)) => Ok(a == b),
        (Value::Bytes(a), Value::Bytes(b)) => {
            steps(a.len().min(b.len()) / 64)?;
            Ok(a == b)
        }
        (Value::Time(a), Value::Time(b)) | (Value::Duration(a), Value::Duration(b)) => Ok(a == b),
        _ if a.type_name() != b.type_name() || a.len() != b.len() => Ok(false),
        _ if a.type_name() == "list" => {
            let (a, b) = (a.items().unwrap_or_default(), b.items().unwrap_or_default());
            steps(a.len())?;
            for (a, b) in a.iter().zip(&b) {
                if !equal(a, b, steps)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        _ if a.type_name() == "map" => {
            let keys = a.items().unwrap_or_default();
            steps(keys.len())?;
            for key in keys {
                let Some(name) = key.text() else { return Ok(false) };
                let (Some(mine), Some(other)) = (a.field(name)?, b.field(name)?) else { return Ok(false) };
                if !equal(&mine, &other, steps)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        _ => Ok(false),
    }
}
