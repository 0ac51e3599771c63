//! Messages and enums as JSON schemas.

use std::collections::BTreeMap;

use prost_reflect::{Cardinality, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

use super::comments;

/// The schemas referred to so far.
#[derive(Debug, Default)]
pub(crate) struct Schemas(BTreeMap<String, Value>);

impl Schemas {
    /// A reference to the schema of a message, which is added when it is new.
    pub fn message(&mut self, desc: &MessageDescriptor) -> Value {
        let name = desc.name().to_owned();
        if !self.0.contains_key(&name) {
            // In place before its fields are walked, so that a message may contain itself.
            self.0.insert(name.clone(), Value::Null);
            let schema = self.object(desc);
            self.0.insert(name.clone(), schema);
        }
        reference(&name)
    }

    fn object(&mut self, desc: &MessageDescriptor) -> Value {
        let properties: Map<String, Value> =
            desc.fields().map(|f| (f.name().to_owned(), self.field(&f))).collect();
        let mut schema = json!({"type": "object", "properties": properties, "additionalProperties": false});
        describe(&mut schema, desc.full_name());
        schema
    }

    /// The schema of a field, with its comment.
    pub fn field(&mut self, field: &FieldDescriptor) -> Value {
        let mut schema = match field.kind() {
            Kind::Message(entry) if entry.is_map_entry() => {
                let value = self.kind(&entry.map_entry_value_field().kind());
                json!({"type": "object", "additionalProperties": value})
            }
            kind if field.cardinality() == Cardinality::Repeated => {
                json!({"type": "array", "items": self.kind(&kind)})
            }
            kind => self.kind(&kind),
        };
        describe(&mut schema, field.full_name());
        schema
    }

    fn kind(&mut self, kind: &Kind) -> Value {
        match kind {
            Kind::Bool => json!({"type": "boolean"}),
            Kind::String => json!({"type": "string"}),
            Kind::Bytes => json!({"type": "string", "contentEncoding": "base64"}),
            Kind::Double => json!({"type": "number", "format": "double"}),
            Kind::Float => json!({"type": "number", "format": "float"}),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => json!({"type": "integer", "format": "int32"}),
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => json!({"type": "integer", "format": "int64"}),
            Kind::Uint32 | Kind::Fixed32 => json!({"type": "integer", "format": "uint32", "minimum": 0}),
            Kind::Uint64 | Kind::Fixed64 => json!({"type": "integer", "format": "uint64", "minimum": 0}),
            Kind::Message(desc) => self.message(desc),
            Kind::Enum(desc) => self.enumeration(desc),
        }
    }

    fn enumeration(&mut self, desc: &EnumDescriptor) -> Value {
        let name = desc.name().to_owned();
        if !self.0.contains_key(&name) {
            let names: Vec<String> = desc.values().map(|v| v.name().to_owned()).collect();
            let mut schema = json!({"type": "string", "enum": names});
            let lines: Vec<String> = comments::of(desc.full_name())
                .map(str::to_owned)
                .into_iter()
                .chain(desc.values().filter_map(|v| {
                    let comment = comments::of(&format!("{}.{}", desc.full_name(), v.name()))?;
                    Some(format!("- `{}`: {comment}", v.name()))
                }))
                .collect();
            if !lines.is_empty() {
                schema["description"] = lines.join("\n").into();
            }
            self.0.insert(name.clone(), schema);
        }
        reference(&name)
    }

    /// All schemas by name.
    pub fn finish(self) -> Map<String, Value> {
        self.0.into_iter().collect()
    }
}

/// Beside a reference, OpenAPI 3.1 allows a description.
fn describe(schema: &mut Value, full_name: &str) {
    if let Some(comment) = comments::of(full_name) {
        schema["description"] = comment.into();
    }
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}
