//! Serdes by name: how objects become message values. Pluggable; `binary`, `string`, `json`, `avro` and `protobuf` are built in.

mod avro;
mod named;
mod protobuf;
mod registry;

use bytes::Bytes;
use serde_json::Value;

pub use named::{Codec, Serdes};
pub use registry::SchemaSerde;

use crate::ClientError;

/// The built-in serdes that need no schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Serde {
    /// Bytes as they are.
    #[default]
    Binary,
    /// UTF-8 text.
    String,
    /// A JSON document.
    Json,
}

impl Serde {
    /// All names, for messages and completion.
    pub const NAMES: [&'static str; 3] = ["json", "string", "binary"];

    /// By name.
    ///
    /// # Errors
    /// `InvalidArgument` that lists the names.
    pub fn by_name(name: &str) -> Result<Self, ClientError> {
        match name {
            "json" => Ok(Self::Json),
            "string" => Ok(Self::String),
            "binary" => Ok(Self::Binary),
            other => Err(ClientError::invalid(format!(
                "unknown serde {other:?}: use one of {}",
                Self::NAMES.join(", ")
            ))),
        }
    }

    /// Turns text that a person wrote into a value; JSON is checked, binary takes hexadecimal after `0x`, else the text's bytes.
    ///
    /// # Errors
    /// `InvalidArgument` when the text is no document of this kind.
    pub fn encode_text(self, text: &str) -> Result<Bytes, ClientError> {
        match self {
            Self::String => Ok(Bytes::copy_from_slice(text.as_bytes())),
            Self::Json => {
                let value: Value = serde_json::from_str(text)
                    .map_err(|e| ClientError::invalid(format!("the message is no JSON: {e}")))?;
                Ok(Bytes::from(value.to_string()))
            }
            Self::Binary => match text.strip_prefix("0x") {
                Some(hex) => from_hex(hex),
                None => Ok(Bytes::copy_from_slice(text.as_bytes())),
            },
        }
    }

    /// Turns a value into text for a person; what is no document of this kind is shown as hexadecimal with `0x`.
    pub fn decode_text(self, value: &[u8]) -> String {
        match self {
            Self::Json => {
                serde_json::from_slice::<Value>(value).map_or_else(|_| to_text(value), |v| v.to_string())
            }
            Self::String | Self::Binary => to_text(value),
        }
    }
}

fn to_text(value: &[u8]) -> String {
    match std::str::from_utf8(value) {
        Ok(text) => text.to_owned(),
        Err(_) => value.iter().fold(String::from("0x"), |text, byte| text + &format!("{byte:02x}")),
    }
}

fn from_hex(hex: &str) -> Result<Bytes, ClientError> {
    let bad = || ClientError::invalid("binary messages after 0x are pairs of hexadecimal digits");
    if !hex.len().is_multiple_of(2) || !hex.is_ascii() {
        return Err(bad());
    }
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).map_err(|_| bad())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_goes_there_and_back() {
        assert_eq!(Serde::Json.encode_text(r#"{"a": 1}"#).expect("json"), r#"{"a":1}"#);
        assert!(Serde::Json.encode_text("{").expect_err("no json").message.contains("JSON"));
        assert_eq!(&Serde::Binary.encode_text("0x00ff").expect("hex")[..], [0, 255]);
        assert!(Serde::Binary.encode_text("0x0").is_err());
        assert_eq!(Serde::Binary.decode_text(&[0xff, 0]), "0xff00");
        assert!(Serde::by_name("yaml").expect_err("unknown").message.contains("json, string, binary"));
    }
}
