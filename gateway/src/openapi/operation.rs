//! One route as an OpenAPI operation.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Value, json};

use super::{comments, schema::Schemas};
use crate::rest::Route;

/// The operation of `route`; schemas it needs are added to `schemas`.
pub(crate) fn operation(route: &Route, schemas: &mut Schemas) -> Value {
    let method = &route.rpc.method;
    let mut operation = json!({
        "operationId": operation_id(route),
        "tags": [route.rpc.service],
        "summary": comments::of(method.full_name()).unwrap_or_default(),
        "parameters": parameters(route, schemas),
        "responses": {
            "200": success(route, schemas),
            "default": {"$ref": "#/components/responses/Error"},
        },
        "x-flymq-rpc": route.rpc.path,
        "x-flymq-access": route.id.meta().access().as_str_name().trim_start_matches("ACCESS_").to_lowercase(),
    });
    if route.body {
        let all_in_path = route.template.variables().count() == method.input().fields().len();
        operation["requestBody"] = json!({
            "required": !all_in_path,
            "content": {"application/json": {"schema": body(route, schemas)}},
        });
    }
    operation
}

fn operation_id(route: &Route) -> String {
    if route.main {
        return route.rpc.name.clone();
    }
    let nth =
        route.rpc.routes.iter().position(|(method, path, _)| *method == route.method && *path == route.path);
    format!("{}{}", route.rpc.name, nth.unwrap_or_default() + 1)
}

/// The request message without what the path already says.
fn body(route: &Route, schemas: &mut Schemas) -> Value {
    let desc = route.rpc.method.input();
    let in_path: Vec<&str> = route.template.variables().collect();
    if in_path.is_empty() {
        return schemas.message(&desc);
    }
    let rest = desc.fields().filter(|f| !in_path.contains(&f.name()));
    let properties: serde_json::Map<String, Value> =
        rest.map(|f| (f.name().to_owned(), schemas.field(&f))).collect();
    json!({"type": "object", "properties": properties})
}

fn parameters(route: &Route, schemas: &mut Schemas) -> Vec<Value> {
    let desc = route.rpc.method.input();
    let in_path: Vec<&str> = route.template.variables().collect();
    let mut all: Vec<Value> = Vec::new();
    for name in &in_path {
        if let Some(field) = desc.get_field_by_name(name) {
            all.push(parameter(name, "path", true, &field, schemas));
        }
    }
    if !route.body {
        query(&desc, "", &in_path, schemas, &mut all);
    }
    all
}

/// Fields of a request without body; those of a nested message with a dot.
fn query(desc: &MessageDescriptor, at: &str, taken: &[&str], schemas: &mut Schemas, all: &mut Vec<Value>) {
    for field in desc.fields() {
        let name = if at.is_empty() { field.name().to_owned() } else { format!("{at}.{}", field.name()) };
        if taken.contains(&name.as_str()) || field.is_map() {
            continue;
        }
        match field.kind() {
            Kind::Message(inner) if !field.is_list() && at.is_empty() => {
                query(&inner, &name, taken, schemas, all);
            }
            Kind::Message(_) => {}
            _ => all.push(parameter(&name, "query", false, &field, schemas)),
        }
    }
}

fn parameter(
    name: &str,
    place: &str,
    required: bool,
    field: &FieldDescriptor,
    schemas: &mut Schemas,
) -> Value {
    let mut parameter =
        json!({"name": name, "in": place, "required": required, "schema": schemas.field(field)});
    if let Some(comment) = parameter["schema"].as_object_mut().and_then(|schema| schema.remove("description"))
    {
        parameter["description"] = comment;
    }
    parameter
}

fn success(route: &Route, schemas: &mut Schemas) -> Value {
    let schema = schemas.message(&route.rpc.method.output());
    if route.rpc.server_streaming {
        return json!({
            "description": "One object a line, until the client leaves.",
            "content": {
                "application/x-ndjson": {"schema": schema},
                "text/event-stream": {"schema": {"type": "string"}},
            },
        });
    }
    json!({"description": "Done.", "content": {"application/json": {"schema": schema}}})
}
