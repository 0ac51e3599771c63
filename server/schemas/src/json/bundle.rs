//! A schema and all that it refers to as one document, in which every reference points inside.

use serde_json::{Map, Value};

use crate::{Invalid, Referred};

/// Where the others stand in the bundle.
const BESIDE: &str = "$defs";

/// Keywords whose values are data, and no schemas.
pub(super) const DATA: [&str; 5] = ["enum", "const", "default", "examples", "example"];

pub(super) fn bundle(text: &str, references: &[Referred]) -> Result<Value, Invalid> {
    let mut root = parse(text, "")?;
    // Relative references start at the document itself: those that are not inside are given by name.
    root.remove("$id");
    root.remove("id").filter(|id| !id.is_string()).map(|id| root.insert("id".to_owned(), id));
    let mut root = Value::Object(root);
    point_inside(&mut root, "", references);
    if references.is_empty() {
        return Ok(root);
    }
    let mut beside = Map::new();
    for (number, referred) in references.iter().enumerate() {
        let mut other = parse(&referred.text, &referred.name)?;
        other.remove("$id");
        other.remove("$schema");
        let mut other = Value::Object(other);
        point_inside(&mut other, &prefix(number), references);
        beside.insert(name(number), other);
    }
    let defs = root.as_object_mut().map(|root| root.entry(BESIDE).or_insert_with(|| Map::new().into()));
    match defs {
        Some(Value::Object(defs)) => defs.append(&mut beside),
        _ => return Err(Invalid::new(format!("/{BESIDE}: has to be an object"))),
    }
    Ok(root)
}

fn name(number: usize) -> String {
    format!("flymq-reference-{number}")
}

fn prefix(number: usize) -> String {
    format!("/{BESIDE}/{}", name(number))
}

fn parse(text: &str, of: &str) -> Result<Map<String, Value>, Invalid> {
    match serde_json::from_str(text) {
        Ok(Value::Object(schema)) => Ok(schema),
        Ok(_) => Err(Invalid::new(format!("{of}: a JSON Schema is an object"))),
        Err(error) => {
            Err(Invalid::new(format!("{of}{}it is not JSON: {error}", if of.is_empty() { "" } else { ": " })))
        }
    }
}

/// Makes `#/x` of a document that stands at `own` into `#<own>/x`, and `name#/x` into the place of the one of that name.
fn point_inside(schema: &mut Value, own: &str, references: &[Referred]) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(|item| point_inside(item, own, references)),
        Value::Object(fields) => {
            for (key, value) in fields.iter_mut() {
                match value {
                    Value::String(reference) if key == "$ref" => {
                        let moved = moved(reference, own, references);
                        *reference = moved;
                    }
                    _ if DATA.contains(&key.as_str()) => {}
                    _ => point_inside(value, own, references),
                }
            }
        }
        _ => {}
    }
}

fn moved(reference: &str, own: &str, references: &[Referred]) -> String {
    let (document, fragment) = reference.split_once('#').unwrap_or((reference, ""));
    if document.is_empty() {
        return format!("#{own}{fragment}");
    }
    match references.iter().position(|referred| &*referred.name == document) {
        Some(number) => format!("#{}{fragment}", prefix(number)),
        None => reference.to_owned(),
    }
}
