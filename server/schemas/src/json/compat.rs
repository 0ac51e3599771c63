//! Whether a JSON Schema accepts all that another one accepts, by rules that are narrower than the truth (docs/schemas.md has them
//! for users): what they cannot show is incompatible. Fields that the writer's schema does not name count as not written.

use serde_json::{Map, Value};

use super::bundle::DATA;

/// Keywords that both have to have alike, where the reader has them.
const ALIKE: [&str; 24] = [
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
    "const",
    "pattern",
    "format",
    "multipleOf",
    "patternProperties",
    "propertyNames",
    "contains",
    "minContains",
    "maxContains",
    "prefixItems",
    "additionalItems",
    "dependencies",
    "dependentSchemas",
    "dependentRequired",
    "unevaluatedItems",
    "unevaluatedProperties",
    "uniqueItems",
];
/// Bounds from below and from above.
const LOWEST: [&str; 5] = ["minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"];
const HIGHEST: [&str; 5] = ["maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"];

struct Pair<'a> {
    reader_root: &'a Value,
    writer_root: &'a Value,
    found: Vec<String>,
}

pub(super) fn cannot_read(reader: &Value, writer: &Value) -> Vec<String> {
    let mut pair = Pair { reader_root: reader, writer_root: writer, found: Vec::new() };
    pair.compare(reader, writer, "");
    pair.found
}

/// The schema behind references that stand alone. None of them goes in circles: such schemas are refused before.
fn behind<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let reference = schema.get("$ref").and_then(Value::as_str).and_then(|text| text.strip_prefix('#'));
    let target = reference.and_then(|pointer| root.pointer(pointer));
    target.map_or(schema, |target| behind(root, target))
}

fn types(schema: &Map<String, Value>) -> Option<Vec<&str>> {
    match schema.get("type")? {
        Value::String(one) => Some(vec![one]),
        Value::Array(several) => Some(several.iter().filter_map(Value::as_str).collect()),
        _ => None,
    }
}

fn names<'a>(schema: &'a Map<String, Value>, key: &str) -> Vec<&'a str> {
    schema.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Without what says nothing about values.
fn plain(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(plain).collect(),
        Value::Object(fields) => {
            let said =
                |key: &str| matches!(key, "title" | "description" | "$comment") || DATA[2..].contains(&key);
            let kept = fields.iter().filter(|(key, value)| !said(key) || value.is_object());
            Value::Object(kept.map(|(key, value)| (key.clone(), plain(value))).collect())
        }
        other => other.clone(),
    }
}

impl<'a> Pair<'a> {
    fn against(&mut self, at: &str, why: &str) {
        self.found.push(format!("{}: {why}", if at.is_empty() { "/" } else { at }));
    }

    fn compare(&mut self, reader: &'a Value, writer: &'a Value, at: &str) {
        let (reader, writer) = (behind(self.reader_root, reader), behind(self.writer_root, writer));
        let (reader, writer) = match (reader, writer) {
            (Value::Bool(true), _) | (_, Value::Bool(false)) => return,
            (Value::Object(reader), _) if reader.is_empty() => return,
            (Value::Bool(false), _) => return self.against(at, "nothing is accepted any more"),
            (_, Value::Bool(true)) => return self.against(at, "anything was accepted, and is not any more"),
            (Value::Object(reader), Value::Object(writer)) => (reader, writer),
            _ => return,
        };
        self.compare_types(reader, writer, at);
        self.compare_values(reader, writer, at);
        self.compare_bounds(reader, writer, at);
        self.compare_fields(reader, writer, at);
        match (reader.get("items"), writer.get("items")) {
            (
                Some(reader @ (Value::Object(_) | Value::Bool(_))),
                Some(writer @ (Value::Object(_) | Value::Bool(_))),
            ) => {
                self.compare(reader, writer, &format!("{at}/items"));
            }
            (Some(reader), Some(writer)) if plain(reader) == plain(writer) => {}
            (Some(_), _) => self.against(at, "its items are narrower"),
            (None, _) => {}
        }
        for key in ALIKE {
            if let Some(asked) = reader.get(key)
                && writer.get(key).map(plain) != Some(plain(asked))
            {
                self.against(at, &format!("{key} is new or different"));
            }
        }
    }

    fn compare_types(&mut self, reader: &Map<String, Value>, writer: &Map<String, Value>, at: &str) {
        let Some(taken) = types(reader) else { return };
        let Some(written) = types(writer) else {
            return self.against(at, "any type was accepted, and is not any more");
        };
        let takes = |kind: &str| taken.contains(&kind) || kind == "integer" && taken.contains(&"number");
        for kind in written.into_iter().filter(|kind| !takes(kind)) {
            self.against(at, &format!("{kind} is not accepted any more"));
        }
    }

    fn compare_values(&mut self, reader: &Map<String, Value>, writer: &Map<String, Value>, at: &str) {
        let Some(Value::Array(taken)) = reader.get("enum") else { return };
        let written = match (writer.get("enum"), writer.get("const")) {
            (Some(Value::Array(written)), _) => written.clone(),
            (_, Some(one)) => vec![one.clone()],
            _ => return self.against(at, "only some values are accepted any more (enum)"),
        };
        for value in written.iter().filter(|value| !taken.contains(value)) {
            self.against(at, &format!("the value {value} is not accepted any more (enum)"));
        }
    }

    fn compare_bounds(&mut self, reader: &Map<String, Value>, writer: &Map<String, Value>, at: &str) {
        let bounds = LOWEST.iter().map(|key| (key, false)).chain(HIGHEST.iter().map(|key| (key, true)));
        for (key, upper) in bounds {
            let Some(asked) = reader.get(*key) else { continue };
            let narrower = match (asked.as_f64(), writer.get(*key).and_then(Value::as_f64)) {
                (Some(asked), Some(kept)) => {
                    if upper {
                        asked < kept
                    } else {
                        asked > kept
                    }
                }
                (Some(asked), None) => upper || asked > 0.0 || !key.starts_with("min") || *key == "minimum",
                // Draft 4: exclusiveMinimum is a boolean.
                (None, _) => writer.get(*key) != Some(asked),
            };
            if narrower {
                self.against(at, &format!("{key} is narrower"));
            }
        }
    }

    fn compare_fields(&mut self, reader: &'a Map<String, Value>, writer: &'a Map<String, Value>, at: &str) {
        let needed = names(writer, "required");
        for field in names(reader, "required").into_iter().filter(|field| !needed.contains(field)) {
            self.against(at, &format!("the field {field} is required now"));
        }
        let empty = Map::new();
        let of = |schema: &'a Map<String, Value>| schema.get("properties").and_then(Value::as_object);
        let (taken, Some(written)) = (of(reader), of(writer)) else {
            return self.compare_others(reader, writer, at);
        };
        let rest = reader.get("additionalProperties");
        for (name, field) in written {
            let place = format!("{at}/properties/{name}");
            match (taken.unwrap_or(&empty).get(name), rest) {
                (None, Some(Value::Bool(false))) => {
                    self.against(&place, "the field is not accepted any more");
                }
                (None, None | Some(Value::Bool(true))) => {}
                (None, Some(schema)) => self.compare(schema, field, &place),
                (Some(_), _) => {}
            }
            if let Some(reader) = of(reader).and_then(|fields| fields.get(name)) {
                self.compare(reader, field, &place);
            }
        }
        self.compare_others(reader, writer, at);
    }

    /// Fields that a schema in `additionalProperties` describes.
    fn compare_others(&mut self, reader: &'a Map<String, Value>, writer: &'a Map<String, Value>, at: &str) {
        let Some(others @ Value::Object(_)) = writer.get("additionalProperties") else { return };
        let place = format!("{at}/additionalProperties");
        if let Some(asked) = reader.get("additionalProperties") {
            self.compare(asked, others, &place);
        }
        let fields = reader.get("properties").and_then(Value::as_object);
        let known = writer.get("properties").and_then(Value::as_object);
        for (name, field) in fields.into_iter().flatten() {
            if known.is_none_or(|known| !known.contains_key(name)) {
                self.compare(field, others, &format!("{at}/properties/{name}"));
            }
        }
    }
}
