//! Avro: schemas are parsed and compared by the crate `apache-avro`; values are checked here, as its decoder takes values that end too
//! early, does not say where it fails, and follows a schema that contains itself without end.

mod check;

use std::collections::HashMap;

use apache_avro::Schema;
use apache_avro::error::CompatibilityError;
use apache_avro::schema_compatibility::{Compatibility, SchemaCompatibility};
use serde_json::Value;

use crate::{Invalid, Referred, shortened};

#[derive(Debug)]
pub(crate) struct Avro {
    schema: Schema,
    /// By full name, all that a name may refer to.
    named: HashMap<String, Schema>,
    record_name: Option<String>,
}

impl Avro {
    pub(crate) fn compile(text: &str, references: &[Referred]) -> Result<Self, Invalid> {
        // Bounds the nesting, and says the place of what is no JSON.
        serde_json::from_str::<Value>(text)
            .map_err(|error| Invalid::new(format!("it is not JSON: {error}")))?;
        let others = references.iter().map(|referred| &*referred.text);
        let parsed = if references.is_empty() {
            Schema::parse_str(text).map(|schema| (schema, Vec::new()))
        } else {
            Schema::parse_str_with_list(text, others)
        };
        let (mut schema, others) = parsed.map_err(Invalid::new)?;
        if !others.is_empty() {
            schema.denormalize(&others).map_err(Invalid::new)?;
        }
        let mut named = HashMap::new();
        collect(&schema, None, &mut named);
        let record_name = schema.name().map(|name| name.fullname(None));
        Ok(Self { schema, named, record_name })
    }

    pub(crate) fn record_name(&self) -> Option<&str> {
        self.record_name.as_deref()
    }

    pub(crate) fn check(&self, value: &[u8]) -> Vec<String> {
        let wrong = check::check(&self.schema, &self.named, value);
        wrong.into_iter().map(shortened).collect()
    }

    pub(crate) fn cannot_read(&self, writer: &Self) -> Vec<String> {
        match SchemaCompatibility::can_read(&writer.schema, &self.schema) {
            Ok(Compatibility::Full) => Vec::new(),
            Ok(Compatibility::Partial) => {
                vec![
                    "some values cannot be read: a branch of a union, or a symbol of an enum, is missing"
                        .to_owned(),
                ]
            }
            Err(error) => vec![told(&error)],
        }
    }
}

/// Why a reader cannot read what a writer wrote, by the way to the place. The crate's own words hold whole schemas in its debug form.
fn told(error: &CompatibilityError) -> String {
    use CompatibilityError as E;
    // `Record(RecordSchema { ... })`: its first word.
    let kind =
        |text: &str| text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_lowercase();
    match error {
        E::WrongType { writer_schema_type, reader_schema_type } => {
            format!(
                "{} was written, and {} is to be read",
                kind(writer_schema_type),
                kind(reader_schema_type)
            )
        }
        E::TypeExpected { schema_type, expected_type } => {
            let expected: Vec<String> =
                expected_type.iter().map(|one| format!("{one:?}").to_lowercase()).collect();
            format!("{} should be {}", kind(schema_type), expected.join(" or "))
        }
        E::FieldTypeMismatch(field, inner) => format!("field {field}: {}", told(inner)),
        E::MissingDefaultValue(field) => {
            format!("field {field}: it was not written, and has no default value to read in its place")
        }
        other => other.to_string().replace("Incompatible schemata! ", ""),
    }
}

/// All named schemas inside, by their full names.
fn collect(schema: &Schema, space: Option<&str>, named: &mut HashMap<String, Schema>) {
    if let Some(name) = schema.name()
        && !matches!(schema, Schema::Ref { .. })
    {
        named.insert(name.fullname(space), schema.clone());
    }
    match schema {
        Schema::Array(array) => collect(&array.items, space, named),
        Schema::Map(map) => collect(&map.types, space, named),
        Schema::Union(union) => union.variants().iter().for_each(|branch| collect(branch, space, named)),
        Schema::Record(record) => {
            let space = record.name.namespace().or(space);
            record.fields.iter().for_each(|field| collect(&field.schema, space, named));
        }
        _ => {}
    }
}
