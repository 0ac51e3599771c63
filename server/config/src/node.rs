//! A configuration value before it has a type: what JSON, TOML, YAML and the environment have in common.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// One value as a file or a variable gave it.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// JSON or YAML null: treated as "not given".
    Null,
    /// true or false.
    Bool(bool),
    /// A whole number.
    Integer(i128),
    /// A number with a fraction.
    Float(f64),
    /// Text; every value of an environment variable or a flag is text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// Named values in the order of the file.
    Table(Vec<(String, Node)>),
}

impl Node {
    /// Shape and value for an error message; `reveal = false` leaves the value out (secrets).
    pub fn describe(&self, reveal: bool) -> String {
        let (shape, value) = match self {
            Node::Null => ("null", None),
            Node::Bool(value) => ("the truth value", Some(value.to_string())),
            Node::Integer(value) => ("the number", Some(value.to_string())),
            Node::Float(value) => ("the number", Some(value.to_string())),
            Node::Text(value) => ("the text", Some(format!("\"{}\"", shorten(value)))),
            Node::List(_) => ("a list", None),
            Node::Table(_) => ("a group of keys", None),
        };
        match value {
            Some(value) if reveal => format!("{shape} {value}"),
            Some(_) | None => shape.to_owned(),
        }
    }
}

/// The first 80 characters, control characters escaped: a message stays on one line.
fn shorten(text: &str) -> String {
    let escaped: String = text.chars().take(80).flat_map(char::escape_debug).collect();
    if text.chars().nth(80).is_some() { format!("{escaped}...") } else { escaped }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a configuration value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Integer(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Integer(value.into()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Node, E> {
        Ok(Node::Integer(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let mut table: Vec<(String, Node)> = Vec::new();
        while let Some((key, value)) = entries.next_entry::<String, Node>()? {
            // JSON would silently take the last one.
            if table.iter().any(|(known, _)| *known == key) {
                return Err(A::Error::custom(format!("the key `{key}` stands twice")));
            }
            table.push((key, value));
        }
        Ok(Node::Table(table))
    }
}
