use std::collections::HashSet;

use super::*;

/// Every `$ref` in the document.
fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(target)) = members.get("$ref") {
                found.push(target.clone());
            }
            members.values().for_each(|v| references(v, found));
        }
        Value::Array(items) => items.iter().for_each(|v| references(v, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn every_route_of_every_rpc_is_an_operation_with_its_own_id() {
    let document = document();
    let mut ids = HashSet::new();
    for rpc in flymq_proto::rpcs() {
        for (method, path, _) in &rpc.routes {
            let operation = &document["paths"][path][method.to_lowercase()];
            assert_eq!(operation["x-flymq-rpc"], rpc.path.as_str(), "{method} {path}");
            let id = operation["operationId"].as_str().expect("has an id").to_owned();
            assert!(ids.insert(id.clone()), "{id} twice");
        }
    }
}

#[test]
fn every_reference_leads_somewhere() {
    let document = document();
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 100);
    for target in found {
        let pointer = target.strip_prefix('#').expect("inside the document");
        assert!(document.pointer(pointer).is_some_and(|v| !v.is_null()), "{target}");
    }
}

#[test]
fn path_variables_are_required_parameters() {
    let document = document();
    for route in routes() {
        let operation = &document["paths"][&route.path][route.method.to_lowercase()];
        let parameters = operation["parameters"].as_array().expect("a list");
        for variable in route.template.variables() {
            let found =
                parameters.iter().find(|p| p["name"] == variable && p["in"] == "path").expect("listed");
            assert_eq!(found["required"], true);
        }
        let names: HashSet<&str> = parameters.iter().filter_map(|p| p["name"].as_str()).collect();
        assert_eq!(names.len(), parameters.len(), "{}: a parameter twice", route.path);
    }
}

#[test]
fn a_route_tells_its_query_with_comments() {
    let document = document();
    let fetch = &document["paths"]["/api/v1/topics/{topic}/partitions/{partition}/records"]["get"];
    let parameters = fetch["parameters"].as_array().expect("a list");
    let max = parameters.iter().find(|p| p["name"] == "max_records").expect("listed");
    assert_eq!((&max["in"], &max["description"]), (&json!("query"), &json!("0: 500.")));
}
