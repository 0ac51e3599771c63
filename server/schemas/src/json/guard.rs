//! What a JSON Schema may cost. A validator follows references again and again, so that a short text may mean work without end:
//! what is refused here could stop the broker there.

use std::collections::HashMap;

use regex::RegexBuilder;
use serde_json::Value;

use crate::{Invalid, MAX_DEPTH};

/// Most subschemas, each counted as often as references lead to it.
const MAX_COST: u64 = 10_000;
/// Most patterns, and bytes of the automaton of each.
const MAX_PATTERNS: usize = 256;
const MAX_PATTERN_BYTES: usize = 1 << 20;

const ONE: [&str; 12] = [
    "additionalProperties",
    "additionalItems",
    "contains",
    "not",
    "if",
    "then",
    "else",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
    "contentSchema",
    "items",
];
const LISTS: [&str; 5] = ["allOf", "anyOf", "oneOf", "prefixItems", "items"];
const MAPS: [&str; 4] = ["properties", "patternProperties", "dependentSchemas", "dependencies"];
const DEFINITIONS: [&str; 2] = ["$defs", "definitions"];
/// What would need names inside the document to be resolved while values are checked.
const NOT_TAKEN: [&str; 5] = ["$dynamicRef", "$recursiveRef", "$dynamicAnchor", "$recursiveAnchor", "$id"];

struct Guard<'a> {
    root: &'a Value,
    /// By address; none while one is being looked at.
    costs: HashMap<*const Value, Option<u64>>,
    patterns: usize,
}

/// Refuses a bundle that refers to what is not there or to itself, or would cost too much.
pub(super) fn check(root: &Value) -> Result<(), Invalid> {
    let mut guard = Guard { root, costs: HashMap::new(), patterns: 0 };
    let cost = guard.cost(root, "", 0)?;
    if cost > MAX_COST {
        return Err(Invalid::new(format!(
            "with its references followed it has more than {MAX_COST} parts: make it smaller"
        )));
    }
    Ok(())
}

impl<'a> Guard<'a> {
    fn cost(&mut self, schema: &'a Value, at: &str, depth: usize) -> Result<u64, Invalid> {
        let Value::Object(fields) = schema else { return Ok(1) };
        match self.costs.get(&std::ptr::from_ref(schema)) {
            Some(Some(cost)) => return Ok(*cost),
            Some(None) => {
                return Err(Invalid::new(format!(
                    "{at}: the schema refers to itself, which this broker does not take in JSON Schema yet: give the deepest level \
                     that you need a definition of its own"
                )));
            }
            None => {}
        }
        if depth > 2 * MAX_DEPTH {
            return Err(Invalid::new(format!("{at}: it is nested too deeply")));
        }
        self.costs.insert(schema, None);
        let mut cost = 1_u64;
        for (key, value) in fields {
            let at = format!("{at}/{key}");
            cost = cost.saturating_add(self.keyword(key, value, &at, depth)?);
            if cost > MAX_COST {
                break;
            }
        }
        self.costs.insert(schema, Some(cost));
        Ok(cost)
    }

    fn keyword(&mut self, key: &str, value: &'a Value, at: &str, depth: usize) -> Result<u64, Invalid> {
        let mut cost = 0_u64;
        match value {
            Value::String(reference) if key == "$ref" => {
                let target = self.target(reference, at)?;
                cost = self.cost(target, at, depth + 1)?;
            }
            Value::String(pattern) if key == "pattern" => self.pattern(pattern, at)?,
            _ if NOT_TAKEN.contains(&key) => {
                let what =
                    format!("{at}: {key} below the top of a schema, or one that is dynamic, is not taken");
                return Err(Invalid::new(what));
            }
            Value::Array(items) if LISTS.contains(&key) => {
                for (number, item) in items.iter().enumerate() {
                    cost = cost.saturating_add(self.cost(item, &format!("{at}/{number}"), depth + 1)?);
                }
            }
            Value::Object(named) if MAPS.contains(&key) || DEFINITIONS.contains(&key) => {
                for (name, item) in named {
                    if key == "patternProperties" {
                        self.pattern(name, at)?;
                    }
                    let part = self.cost(item, &format!("{at}/{name}"), depth + 1)?;
                    if !DEFINITIONS.contains(&key) {
                        cost = cost.saturating_add(part);
                    }
                }
            }
            Value::Object(_) if ONE.contains(&key) => cost = self.cost(value, at, depth + 1)?,
            _ => {}
        }
        Ok(cost)
    }

    /// What a reference inside the document points to.
    fn target(&self, reference: &str, at: &str) -> Result<&'a Value, Invalid> {
        let Some(pointer) = reference.strip_prefix('#') else {
            return Err(Invalid::new(format!(
                "{at}: {reference} is not among the references given with the schema, and nothing is fetched"
            )));
        };
        let found = decoded(pointer).and_then(|pointer| self.root.pointer(&pointer));
        found.ok_or_else(|| Invalid::new(format!("{at}: {reference} points to nothing in the schema")))
    }

    /// A pattern has to be one that takes time in proportion to the text.
    fn pattern(&mut self, pattern: &str, at: &str) -> Result<(), Invalid> {
        self.patterns += 1;
        if self.patterns > MAX_PATTERNS {
            return Err(Invalid::new(format!("{at}: it has more than {MAX_PATTERNS} patterns")));
        }
        let built = RegexBuilder::new(pattern).size_limit(MAX_PATTERN_BYTES).nest_limit(64).build();
        let why = match built {
            Ok(_) => return Ok(()),
            Err(regex::Error::CompiledTooBig(_)) => "it would need too much memory",
            Err(_) => "it is no regular expression, or looks around or back, which takes time without bound",
        };
        Err(Invalid::new(format!("{at}: the pattern {pattern}: {why}")))
    }
}

/// `%20` and the like in a fragment.
fn decoded(fragment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(fragment.len());
    let mut rest = fragment.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        bytes.push(match (first, tail) {
            (b'%', [high, low, after @ ..]) => {
                rest = after;
                let digit = |byte: &u8| char::from(*byte).to_digit(16);
                u8::try_from(16 * digit(high)? + digit(low)?).ok()?
            }
            (b'%', _) => return None,
            (byte, _) => *byte,
        });
    }
    String::from_utf8(bytes).ok()
}
