//! The OpenAPI 3.1 document, generated from the descriptors: routes, fields, and the comments of the proto files.

mod comments;
mod operation;
mod schema;

use std::sync::OnceLock;

use serde_json::{Map, Value, json};

use crate::rest::routes;

const DESCRIPTION: &str = "FlyMQ over HTTP. Every route stands for one rpc of `flymq.v1`.\n\n\
    Field names are those of the proto files; lowerCamelCase is understood too. 64-bit integers are JSON numbers (strings of \
    digits are understood too). `bytes` are base64. Enum values may be written short and in lower case (`all` for \
    `ACKS_ALL`). A `/` in a topic or group name is written `%2F` in a path. Streams answer one JSON object a line \
    (NDJSON), or server-sent events when `Accept` asks for `text/event-stream`.";

/// The OpenAPI document of the REST door.
pub fn document() -> Value {
    let mut schemas = schema::Schemas::default();
    let mut paths = Map::new();
    for route in routes() {
        let operation = operation::operation(route, &mut schemas);
        let item = paths.entry(route.path.clone()).or_insert_with(|| json!({}));
        item[route.method.to_lowercase()] = operation;
    }
    paths.sort_keys();
    let mut schemas = schemas.finish();
    schemas.insert("Error".to_owned(), error_schema());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "FlyMQ",
            "version": env!("CARGO_PKG_VERSION"),
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": tags(),
        // Whether a login is needed depends on the server's configuration.
        "security": [{}, {"basic": []}, {"bearer": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": {"Error": {
                "description": "A failure, by the error table; docs/errors/ has a page for each code.",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
            }},
            "securitySchemes": {
                "basic": {"type": "http", "scheme": "basic"},
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
            },
        },
    })
}

/// The document as text; made once.
pub(crate) fn text() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| format!("{:#}\n", document()))
}

fn tags() -> Vec<Value> {
    let services = flymq_proto::descriptor_pool().services().filter(|s| s.package_name() == "flymq.v1");
    services
        .map(|s| json!({"name": s.name(), "description": comments::of(s.full_name()).unwrap_or_default()}))
        .collect()
}

fn error_schema() -> Value {
    let codes = flymq_proto::descriptor_pool()
        .get_enum_by_name("flymq.v1.ErrorCode")
        .expect("errors.proto declares ErrorCode");
    let names: Vec<String> =
        codes.values().map(|v| v.name().trim_start_matches("ERROR_CODE_").to_owned()).collect();
    json!({
        "type": "object",
        "required": ["error"],
        "properties": {"error": {
            "type": "object",
            "required": ["code", "message", "hint", "doc_url", "retryable", "metadata", "request_id"],
            "properties": {
                "code": {"type": "string", "enum": names},
                "message": {"type": "string", "description": "What happened, with the names and numbers at hand."},
                "hint": {"type": "string", "description": "What to do next."},
                "doc_url": {"type": "string", "description": "Page that explains the code."},
                "retryable": {"type": "boolean"},
                "metadata": {"type": "object", "additionalProperties": {"type": "string"}},
                "request_id": {"type": "string"},
                "routes": {
                    "type": "array",
                    "items": {"type": "string"},
                    "description": "Routes that exist, where the asked one does not.",
                },
            },
        }},
    })
}

#[cfg(test)]
mod tests;
