//! JSON to message, with errors that name the field: proto3 JSON, both spellings of field names, short enum names.

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use flymq_api::{BrokerError, ErrorCode};
use prost_reflect::{
    Cardinality, DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, Value,
};
use serde_json::Value as Json;

type Result<T> = std::result::Result<T, BrokerError>;

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const BASE64: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const BASE64_URL: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// An `INVALID_ARGUMENT` about one field of the request.
pub(crate) fn invalid(field: &str, why: impl std::fmt::Display) -> BrokerError {
    let text = if field.is_empty() { why.to_string() } else { format!("{field}: {why}") };
    let error = BrokerError::new(ErrorCode::InvalidArgument, text);
    if field.is_empty() { error } else { error.with("field", field) }
}

/// Fills a message of type `desc` from a JSON object; `at` is its place in the request.
pub(crate) fn message(desc: &MessageDescriptor, json: &Json, at: &str) -> Result<DynamicMessage> {
    let Json::Object(members) = json else {
        return Err(invalid(at, format_args!("expected an object, found {}", kind_of(json))));
    };
    let mut message = DynamicMessage::new(desc.clone());
    for (name, json) in members {
        let field = field(desc, name, at)?;
        let place = join(at, field.name());
        if json.is_null() {
            continue;
        }
        if message.has_field(&field) {
            return Err(invalid(&place, "is given twice"));
        }
        let value = field_value(&field, json, &place)?;
        message.set_field(&field, value);
    }
    Ok(message)
}

/// The field called `name` in either spelling.
pub(crate) fn field(desc: &MessageDescriptor, name: &str, at: &str) -> Result<FieldDescriptor> {
    let found = desc.get_field_by_name(name).or_else(|| desc.get_field_by_json_name(name));
    found.ok_or_else(|| {
        let place = join(at, name);
        let known: Vec<String> = desc.fields().map(|f| f.name().to_owned()).collect();
        invalid(&place, format_args!("{} has no such field{}", desc.name(), suggestion(name, &known)))
    })
}

/// `a` inside `at`.
pub(crate) fn join(at: &str, name: &str) -> String {
    if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") }
}

fn suggestion(name: &str, known: &[String]) -> String {
    let near = known.iter().map(|k| (strsim::jaro_winkler(name, k), k)).max_by(|a, b| a.0.total_cmp(&b.0));
    match near {
        Some((likeness, nearest)) if likeness > 0.8 => format!("; did you mean `{nearest}`?"),
        _ if known.is_empty() => "; it has none".to_owned(),
        _ => format!("; it has {}", known.join(", ")),
    }
}

fn field_value(field: &FieldDescriptor, json: &Json, at: &str) -> Result<Value> {
    if field.is_map() {
        return map(field, json, at);
    }
    if field.cardinality() != Cardinality::Repeated {
        return single(&field.kind(), json, at);
    }
    let Json::Array(items) = json else {
        return Err(invalid(at, format_args!("expected an array, found {}", kind_of(json))));
    };
    let each = items.iter().enumerate().map(|(i, item)| single(&field.kind(), item, &format!("{at}[{i}]")));
    Ok(Value::List(each.collect::<Result<_>>()?))
}

fn map(field: &FieldDescriptor, json: &Json, at: &str) -> Result<Value> {
    let (Json::Object(members), Kind::Message(entry)) = (json, field.kind()) else {
        return Err(invalid(at, format_args!("expected an object, found {}", kind_of(json))));
    };
    let kind = entry.map_entry_value_field().kind();
    let mut values = std::collections::HashMap::new();
    for (name, item) in members {
        let place = format!("{at}[{name:?}]");
        let key = text(&entry.map_entry_key_field().kind(), name, &place)?
            .into_map_key()
            .ok_or_else(|| invalid(&place, "cannot be a key"))?;
        values.insert(key, single(&kind, item, &place)?);
    }
    Ok(Value::Map(values))
}

/// One value that is neither a list nor a map.
fn single(kind: &Kind, json: &Json, at: &str) -> Result<Value> {
    let wrong = |wanted: &str| invalid(at, format_args!("expected {wanted}, found {}", kind_of(json)));
    match kind {
        Kind::Bool => json.as_bool().map(Value::Bool).ok_or_else(|| wrong("true or false")),
        Kind::String => json.as_str().map(|s| Value::String(s.to_owned())).ok_or_else(|| wrong("a string")),
        Kind::Bytes => bytes(json.as_str().ok_or_else(|| wrong("a base64 string"))?, at),
        Kind::Message(desc) => message(desc, json, at).map(Value::Message),
        Kind::Enum(desc) => enumeration(desc, json, at),
        Kind::Double => float(json).map(Value::F64).ok_or_else(|| wrong("a number")),
        Kind::Float => float(json).map(|f| Value::F32(f as f32)).ok_or_else(|| wrong("a number")),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => integer(json, at, "32-bit integer").map(Value::I32),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => integer(json, at, "64-bit integer").map(Value::I64),
        Kind::Uint32 | Kind::Fixed32 => integer(json, at, "32-bit integer from 0 on").map(Value::U32),
        Kind::Uint64 | Kind::Fixed64 => integer(json, at, "64-bit integer from 0 on").map(Value::U64),
    }
}

/// A value written as plain text, as in a path or a query.
pub(crate) fn text(kind: &Kind, text: &str, at: &str) -> Result<Value> {
    match (kind, text) {
        // `?text` alone switches on.
        (Kind::Bool, "true" | "1" | "") => Ok(Value::Bool(true)),
        (Kind::Bool, "false" | "0") => Ok(Value::Bool(false)),
        (Kind::Bool, _) => Err(invalid(at, format_args!("expected true or false, found `{text}`"))),
        (Kind::Message(desc), _) => {
            Err(invalid(at, format_args!("is a {}: name the field in it, as in {at}.x", desc.name())))
        }
        _ => single(kind, &Json::String(text.to_owned()), at),
    }
}

fn bytes(text: &str, at: &str) -> Result<Value> {
    let decoded = BASE64.decode(text).or_else(|first| BASE64_URL.decode(text).map_err(|_| first));
    let decoded = decoded.map_err(|e| invalid(at, format_args!("is not base64 ({e})")))?;
    Ok(Value::Bytes(decoded.into()))
}

fn float(json: &Json) -> Option<f64> {
    match json.as_str() {
        Some("NaN") => Some(f64::NAN),
        Some("Infinity") => Some(f64::INFINITY),
        Some("-Infinity") => Some(f64::NEG_INFINITY),
        Some(text) => text.parse().ok().filter(|f: &f64| f.is_finite()),
        None => json.as_f64(),
    }
}

/// An integer as a number (`3`, also `3.0` and `3e0`) or as a string of digits.
fn integer<T: TryFrom<i128>>(json: &Json, at: &str, wanted: &str) -> Result<T> {
    let whole = |f: f64| (f.fract() == 0.0 && f.abs() < 1e18).then_some(f as i128);
    let number = match json {
        Json::Number(n) => n
            .as_i64()
            .map(i128::from)
            .or_else(|| n.as_u64().map(i128::from))
            .or_else(|| n.as_f64().and_then(whole)),
        Json::String(text) => text.parse().ok(),
        Json::Null | Json::Bool(_) | Json::Array(_) | Json::Object(_) => None,
    };
    number
        .and_then(|n| T::try_from(n).ok())
        .ok_or_else(|| invalid(at, format_args!("expected a {wanted}, found {}", shown(json))))
}

/// By full name, by the name without its prefix in any case (`all`, `read-committed`), or by number.
fn enumeration(desc: &EnumDescriptor, json: &Json, at: &str) -> Result<Value> {
    if let Json::Number(_) = json {
        let number: i32 = integer(json, at, "32-bit integer")?;
        let known = desc.get_value(number).map(|v| Value::EnumNumber(v.number()));
        return known.ok_or_else(|| unknown_value(desc, json, at));
    }
    let Some(name) = json.as_str() else { return Err(unknown_value(desc, json, at)) };
    let upper = name.to_uppercase().replace(['-', ' '], "_");
    let value = desc
        .get_value_by_name(name)
        .or_else(|| desc.get_value_by_name(&upper))
        .or_else(|| desc.get_value_by_name(&format!("{}{upper}", prefix(desc))))
        .or_else(|| name.parse().ok().and_then(|n| desc.get_value(n)));
    value.map(|v| Value::EnumNumber(v.number())).ok_or_else(|| unknown_value(desc, json, at))
}

fn unknown_value(desc: &EnumDescriptor, json: &Json, at: &str) -> BrokerError {
    let prefix = prefix(desc);
    let known: Vec<String> = desc
        .values()
        .filter(|v| v.number() != 0)
        .map(|v| v.name().trim_start_matches(&prefix).to_lowercase())
        .collect();
    invalid(at, format_args!("{} is none of {}", shown(json), known.join(", ")))
}

/// `ACKS_` of `ACKS_UNSPECIFIED`: buf's lint makes every enum begin with it.
pub(crate) fn prefix(desc: &EnumDescriptor) -> String {
    desc.default_value().name().strip_suffix("UNSPECIFIED").unwrap_or_default().to_owned()
}

fn kind_of(json: &Json) -> &'static str {
    match json {
        Json::Null => "null",
        Json::Bool(_) => "true or false",
        Json::Number(_) => "a number",
        Json::String(_) => "a string",
        Json::Array(_) => "an array",
        Json::Object(_) => "an object",
    }
}

fn shown(json: &Json) -> String {
    let text = json.to_string();
    if text.chars().count() <= 80 { text } else { text.chars().take(77).chain("...".chars()).collect() }
}

#[cfg(test)]
mod tests;
