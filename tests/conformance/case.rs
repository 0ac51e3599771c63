//! Cases as data.

use std::{collections::BTreeMap, fs, path::Path};

use serde::Deserialize;
use serde_json::Value;

/// One case: steps that run in their order.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    pub name: String,
    /// Surfaces that cannot say it, with the reason.
    #[serde(default)]
    pub skip: BTreeMap<String, String>,
    pub steps: Vec<Step>,
}

/// One operation and what must come back.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    pub op: String,
    #[serde(default)]
    pub args: Value,
    #[serde(flatten)]
    pub want: Want,
    /// Other wants for one surface.
    #[serde(default)]
    pub on: BTreeMap<String, Want>,
    /// Name of a value → field of the reply (`results.0.offset`).
    #[serde(default)]
    pub save: BTreeMap<String, String>,
}

/// What must come back: a reply that has these fields, or an error.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Want {
    #[serde(default)]
    pub expect: Option<Value>,
    /// Code of the error table.
    #[serde(default)]
    pub error: Option<String>,
    /// What the text contains where the surface has no codes.
    #[serde(default)]
    pub v1_error: Option<String>,
}

/// All cases of `cases/*.json`, in the order of their files.
pub fn load() -> Result<Vec<Case>, Box<dyn std::error::Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance/cases");
    let mut files: Vec<_> =
        fs::read_dir(folder)?.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
    files.retain(|path| path.extension().is_some_and(|e| e == "json"));
    files.sort();
    let mut cases: Vec<Case> = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file)?;
        let found: Vec<Case> = serde_json::from_str(&text).map_err(|e| format!("{}: {e}", file.display()))?;
        cases.extend(found);
    }
    Ok(cases)
}

/// Puts `$name`s in: in texts, and whole texts that name a saved value take its type.
pub fn fill(value: &Value, names: &BTreeMap<String, Value>) -> Value {
    match value {
        Value::String(text) => filled(text, names).unwrap_or_else(|| Value::String(text.clone())),
        Value::Array(items) => items.iter().map(|item| fill(item, names)).collect(),
        Value::Object(fields) => {
            let named = |key: &String| match filled(key, names) {
                Some(Value::String(name)) => name,
                _ => key.clone(),
            };
            fields.iter().map(|(key, item)| (named(key), fill(item, names))).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

/// `$name`, or a text that begins so: `$name/+`, `$name-value`.
fn filled(text: &str, names: &BTreeMap<String, Value>) -> Option<Value> {
    let rest = text.strip_prefix('$')?;
    if let Some(saved) = names.get(rest) {
        return Some(saved.clone());
    }
    let end = rest.find(['/', '-'])?;
    Some(Value::String(format!("{}{}", names.get(&rest[..end])?.as_str()?, &rest[end..])))
}

/// Whether `found` has all that `want` names; says where it does not.
pub fn has(found: &Value, want: &Value, at: &str) -> Result<(), String> {
    match (found, want) {
        (Value::Object(found), Value::Object(want)) => want.iter().try_for_each(|(key, want)| {
            has(found.get(key).unwrap_or(&Value::Null), want, &format!("{at}.{key}"))
        }),
        (Value::Array(found), Value::Object(want)) if want.contains_key("contains") => {
            let there = |item: &&Value| found.iter().any(|one| has(one, item, at).is_ok());
            match items(&want["contains"]).iter().find(|item| !there(item)) {
                Some(missing) => Err(format!("{at}: {missing} is not in it")),
                None => Ok(()),
            }
        }
        (Value::Array(found), Value::Object(want)) if want.contains_key("lacks") => {
            let there = |item: &&Value| found.iter().any(|one| has(one, item, at).is_ok());
            match items(&want["lacks"]).iter().find(there) {
                Some(item) => Err(format!("{at}: {item} is in it")),
                None => Ok(()),
            }
        }
        (Value::Number(found), Value::Object(want)) if want.contains_key("at_least") => {
            match found.as_f64() >= want["at_least"].as_f64() {
                true => Ok(()),
                false => Err(format!("{at}: found {found}, want at least {}", want["at_least"])),
            }
        }
        (Value::Array(found), Value::Array(want)) if found.len() == want.len() => {
            found.iter().zip(want).enumerate().try_for_each(|(i, (f, w))| has(f, w, &format!("{at}[{i}]")))
        }
        _ if found == want => Ok(()),
        _ => Err(format!("{at}: found {found}, want {want}")),
    }
}

fn items(list: &Value) -> &[Value] {
    list.as_array().map(Vec::as_slice).unwrap_or_default()
}
