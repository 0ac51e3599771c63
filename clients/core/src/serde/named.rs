//! Serdes by name, with what a program adds to them.

use std::{collections::BTreeMap, fmt, sync::Arc};

use bytes::Bytes;
use futures::{FutureExt as _, future::BoxFuture};

use super::{SchemaSerde, Serde};
use crate::{Client, ClientError};

/// Makes values of text that a person or a program writes, and back. Write your own and [`Serdes::register`] it.
pub trait Codec: fmt::Debug + Send + Sync {
    fn name(&self) -> &str;

    /// The value of a message of `topic`.
    ///
    /// # Errors
    /// `InvalidArgument` where the text is no document of this kind.
    fn encode_text<'a>(&'a self, topic: &'a str, text: &'a str) -> BoxFuture<'a, Result<Bytes, ClientError>>;

    /// The text of a value. The plain ones show what is no document of theirs as hexadecimal behind `0x`.
    ///
    /// # Errors
    /// `InvalidArgument` where the value is no document of this kind.
    fn decode_text<'a>(&'a self, value: &'a [u8]) -> BoxFuture<'a, Result<String, ClientError>>;
}

impl Codec for Serde {
    fn name(&self) -> &str {
        match self {
            Self::Binary => "binary",
            Self::String => "string",
            Self::Json => "json",
        }
    }

    fn encode_text<'a>(
        &'a self,
        _topic: &'a str,
        text: &'a str,
    ) -> BoxFuture<'a, Result<Bytes, ClientError>> {
        let value = Self::encode_text(*self, text);
        async move { value }.boxed()
    }

    fn decode_text<'a>(&'a self, value: &'a [u8]) -> BoxFuture<'a, Result<String, ClientError>> {
        let text = Self::decode_text(*self, value);
        async move { Ok(text) }.boxed()
    }
}

/// `json`, `string`, `binary`, `avro` and `protobuf`, and those that were added.
#[derive(Debug, Clone)]
pub struct Serdes(BTreeMap<String, Arc<dyn Codec>>);

impl Serdes {
    /// Names of those that are there from the beginning.
    pub const NAMES: [&'static str; 5] = ["json", "string", "binary", "avro", "protobuf"];

    /// Those that are there from the beginning; two of them ask `client`'s registry.
    pub fn new(client: &Client) -> Self {
        let mut serdes = Self(BTreeMap::new());
        for plain in [Serde::Json, Serde::String, Serde::Binary] {
            serdes.register(plain);
        }
        serdes.register(SchemaSerde::avro(client));
        serdes.register(SchemaSerde::protobuf(client));
        serdes
    }

    /// Adds one under its name, in place of what had it.
    pub fn register(&mut self, codec: impl Codec + 'static) {
        self.0.insert(codec.name().to_owned(), Arc::new(codec));
    }

    /// By name.
    ///
    /// # Errors
    /// `InvalidArgument` that lists the names.
    pub fn get(&self, name: &str) -> Result<Arc<dyn Codec>, ClientError> {
        self.0.get(name).cloned().ok_or_else(|| {
            let names: Vec<_> = self.0.keys().map(String::as_str).collect();
            ClientError::invalid(format!("unknown serde {name:?}: use one of {}", names.join(", ")))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Reversed;

    impl Codec for Reversed {
        fn name(&self) -> &str {
            "reversed"
        }

        fn encode_text<'a>(&'a self, _: &'a str, text: &'a str) -> BoxFuture<'a, Result<Bytes, ClientError>> {
            async move { Ok(text.chars().rev().collect::<String>().into()) }.boxed()
        }

        fn decode_text<'a>(&'a self, value: &'a [u8]) -> BoxFuture<'a, Result<String, ClientError>> {
            async move { Ok(String::from_utf8_lossy(value).chars().rev().collect()) }.boxed()
        }
    }

    #[tokio::test]
    async fn serdes_are_found_by_name_and_others_can_be_added() {
        let mut serdes = Serdes(BTreeMap::new());
        serdes.register(Serde::Json);
        serdes.register(Reversed);
        let reversed = serdes.get("reversed").expect("added");
        assert_eq!(reversed.encode_text("t", "abc").await.expect("encodes"), "cba");
        assert_eq!(reversed.decode_text(b"cba").await.expect("decodes"), "abc");
        let json = serdes.get("json").expect("there");
        assert_eq!(json.encode_text("t", r#"{"a": 1}"#).await.expect("json"), r#"{"a":1}"#);
        assert!(json.encode_text("t", "{").await.is_err());
        assert!(serdes.get("yaml").expect_err("unknown").message.contains("json, reversed"));
    }
}
