//! JSON Schema, drafts 4 to 2020-12, by the crate `jsonschema`.

mod bundle;
mod compat;
mod guard;

use std::sync::Arc;

use jsonschema::{
    SchemaResolver, SchemaResolverError, ValidationError, Validator, error::ValidationErrorKind,
};
use serde_json::Value;

use crate::{Invalid, MAX_VIOLATIONS, Referred, shortened};

const DRAFTS: [&str; 5] = [
    "json-schema.org/draft-04/schema",
    "json-schema.org/draft-06/schema",
    "json-schema.org/draft-07/schema",
    "json-schema.org/draft/2019-09/schema",
    "json-schema.org/draft/2020-12/schema",
];

#[derive(Debug)]
pub(crate) struct Json {
    /// With all that it refers to inside.
    bundle: Value,
    validator: Validator,
}

/// Nothing is ever fetched.
struct Nowhere;

impl SchemaResolver for Nowhere {
    fn resolve(&self, _: &Value, _: &url::Url, reference: &str) -> Result<Arc<Value>, SchemaResolverError> {
        Err(std::io::Error::other(format!("{reference} is not fetched")).into())
    }
}

impl Json {
    pub(crate) fn compile(text: &str, references: &[Referred]) -> Result<Self, Invalid> {
        let bundle = bundle::bundle(text, references)?;
        check_draft(&bundle)?;
        guard::check(&bundle)?;
        let built = jsonschema::options().with_resolver(Nowhere).build(&bundle);
        let validator = built.map_err(|error| Invalid::new(format!("{}: {error}", place(&error))))?;
        Ok(Self { bundle, validator })
    }

    pub(crate) fn title(&self) -> Option<&str> {
        self.bundle.get("title").and_then(Value::as_str)
    }

    pub(crate) fn check(&self, value: &[u8]) -> Vec<String> {
        let value: Value = match serde_json::from_slice(value) {
            Ok(value) => value,
            Err(error) => return vec![shortened(format!("invalid JSON message: {error}"))],
        };
        let Err(errors) = self.validator.validate(&value) else { return Vec::new() };
        errors.flat_map(|error| told(&error)).take(MAX_VIOLATIONS).map(shortened).collect()
    }

    pub(crate) fn cannot_read(&self, writer: &Self) -> Vec<String> {
        compat::cannot_read(&self.bundle, &writer.bundle)
    }
}

fn check_draft(schema: &Value) -> Result<(), Invalid> {
    let Some(draft) = schema.get("$schema") else { return Ok(()) };
    let known = draft.as_str().is_some_and(|draft| {
        let draft = draft.trim_end_matches('#');
        DRAFTS.iter().any(|known| draft.strip_suffix(known).is_some_and(|scheme| scheme.starts_with("http")))
    });
    if known {
        Ok(())
    } else {
        Err(Invalid::new(format!("/$schema: {draft} is not a draft from 4 to 2020-12")))
    }
}

fn place(error: &ValidationError<'_>) -> String {
    match error.instance_path.to_string() {
        path if path.is_empty() => "/".to_owned(),
        path => path,
    }
}

/// What is wrong, with the path of the place: the texts of earlier brokers where they had one.
fn told(error: &ValidationError<'_>) -> Vec<String> {
    let field = |name: &str| {
        let mut path = error.instance_path.clone().into_vec();
        path.push(name.to_owned());
        path.join(".")
    };
    match &error.kind {
        ValidationErrorKind::Required { property } => {
            let name = property.as_str().map_or_else(|| property.to_string(), ToOwned::to_owned);
            vec![format!("missing required field: {}", field(&name))]
        }
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            unexpected.iter().map(|name| format!("unexpected field: {}", field(name))).collect()
        }
        _ => vec![format!("{}: {error}", place(error))],
    }
}
