//! JSON documents as Protobuf messages and back, by the mapping of
//! [ProtoJSON](https://protobuf.dev/programming-guides/json/). In the frame stands first which message of the file it is.

use prost::Message as _;
use prost_reflect::{
    DeserializeOptions, DynamicMessage, FileDescriptor, MessageDescriptor, SerializeOptions,
};
use protox::{
    Compiler,
    file::{ChainFileResolver, File, FileResolver, GoogleFileResolver},
};
use serde_json::Value;

/// The file itself, as others see it in errors.
const OWN: &str = "schema.proto";
/// Messages in messages.
const MAX_INDEXES: u64 = 32;

#[derive(Debug)]
pub(super) struct Protobuf(FileDescriptor);

struct Given(Vec<(String, String)>);

impl FileResolver for Given {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        let found = self.0.iter().find(|(known, _)| known == name);
        let (_, text) = found.ok_or_else(|| protox::Error::file_not_found(name))?;
        File::from_source(name, text)
    }
}

type Coded<T> = Result<T, String>;

impl Protobuf {
    /// `references` by the names that the text imports them by.
    pub fn compile(text: &str, references: &[(String, String)]) -> Coded<Self> {
        let mut files = references.to_vec();
        files.push((OWN.to_owned(), text.to_owned()));
        let mut resolver = ChainFileResolver::new();
        resolver.add(Given(files));
        resolver.add(GoogleFileResolver::new());
        let mut compiler = Compiler::with_file_resolver(resolver);
        compiler.include_imports(true);
        compiler.open_file(OWN).map_err(|error| error.to_string())?;
        let file = compiler.descriptor_pool().get_file_by_name(OWN).ok_or("the schema has no content")?;
        Ok(Self(file))
    }

    /// As the file's first message, behind its index.
    pub fn encode(&self, document: &Value) -> Coded<Vec<u8>> {
        let first = self.0.messages().next().ok_or("the schema describes no message")?;
        let options = DeserializeOptions::new().deny_unknown_fields(true);
        let message = DynamicMessage::deserialize_with_options(first, document, &options);
        let message = message.map_err(|error| error.to_string())?;
        let mut out = vec![0];
        out.extend_from_slice(&message.encode_to_vec());
        Ok(out)
    }

    pub fn decode(&self, bytes: &[u8]) -> Coded<Value> {
        let (message, value) = self.which(bytes)?;
        let message = DynamicMessage::decode(message, value).map_err(|error| error.to_string())?;
        let options = SerializeOptions::new().use_proto_field_name(true).stringify_64_bit_integers(false);
        message
            .serialize_with_options(serde_json::value::Serializer, &options)
            .map_err(|error| error.to_string())
    }

    /// The message that the indexes in front name, and what follows them.
    fn which<'a>(&self, bytes: &'a [u8]) -> Coded<(MessageDescriptor, &'a [u8])> {
        let mut rest = bytes;
        let mut next = || {
            let number = prost::encoding::decode_varint(&mut rest)
                .map_err(|_| "the frame does not say which message follows")?;
            // Zigzag, and never negative.
            if number & 1 == 0 { Ok(number >> 1) } else { Err("the frame names no message") }
        };
        let count = next()?;
        if count > MAX_INDEXES {
            return Err("the frame names no message".to_owned());
        }
        let indexes = (0..count).map(|_| next()).collect::<Result<Vec<_>, _>>()?;
        let at = |index: u64| usize::try_from(index).unwrap_or(usize::MAX);
        let (first, inner) = indexes.split_first().map_or((0, &[][..]), |(first, inner)| (*first, inner));
        let outer = self.0.messages().nth(at(first));
        let found = inner.iter().fold(outer, |message, index| message?.child_messages().nth(at(*index)));
        Ok((found.ok_or("the frame names a message that the schema does not have")?, rest))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const FILE: &str = r#"syntax = "proto3"; package shop; import "google/protobuf/timestamp.proto"; import "other.proto";
        message Order { int64 id = 1; string user = 2; repeated string tags = 3; google.protobuf.Timestamp at = 4; Other other = 5;
          message Inner { int32 n = 1; } }"#;

    fn compiled() -> Protobuf {
        let other =
            ("other.proto".to_owned(), r#"syntax = "proto3"; message Other { bool yes = 1; }"#.to_owned());
        Protobuf::compile(FILE, &[other]).unwrap()
    }

    #[test]
    fn a_document_comes_back() {
        let file = compiled();
        let document = json!({"id": 7, "user": "ann", "tags": ["a"], "at": "2026-01-31T00:00:00Z", "other": {"yes": true}});
        let bytes = file.encode(&document).unwrap();
        assert_eq!(bytes[..3], [0, 8, 7], "the first message, then field 1");
        assert_eq!(file.decode(&bytes).unwrap(), document);
        assert_eq!(
            file.decode(&[4, 0, 0, 8, 6]).unwrap(),
            json!({"n": 6}),
            "indexes 0, 0: the message inside"
        );
        assert!(file.encode(&json!({"idd": 7})).unwrap_err().contains("idd"));
        assert!(file.encode(&json!({"id": "x"})).is_err());
    }

    #[test]
    fn no_bytes_take_the_process_down() {
        let file = compiled();
        for bytes in [&b""[..], &[2, 9], &[1], &[0xff; 12], &[0, 0xff], &[0, 0x2a, 0x7f]] {
            assert!(file.decode(bytes).is_err(), "{bytes:?}");
        }
    }
}
