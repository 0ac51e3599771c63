//! Schemas: REGISTER, GET, LIST, VALIDATE, DELETE, and PRODUCE_WITH_SCHEMA.

use bytes::Bytes;

use crate::codec::{DecodeError, Layout, Reader, Str8, Writer, layout};

layout! {
    /// REGISTER_SCHEMA request.
    pub struct RegisterSchema {
        /// Schema name.
        pub name: String,
        /// `json`, `avro`, `protobuf` or `proto`.
        pub kind: Str8,
        /// The schema's text.
        pub definition: Bytes,
    }

    /// REGISTER_SCHEMA reply.
    pub struct SchemaRegistered {
        /// Schema name.
        pub name: String,
        /// Its type.
        pub kind: Str8,
        /// The new version.
        pub version: u32,
    }

    /// GET_SCHEMA request; DELETE_SCHEMA request, where version 0 means all.
    pub struct SchemaRef {
        /// Schema name.
        pub name: String,
        /// Version; 0 is the latest, or all.
        pub version: u32,
    }

    /// GET_SCHEMA reply.
    pub struct SchemaInfo {
        /// `name-vN`.
        pub id: String,
        /// Schema name.
        pub name: String,
        /// Version, from 1.
        pub version: u32,
        /// Its type.
        pub kind: Str8,
        /// The schema's text.
        pub definition: Bytes,
        /// Compatibility rule, e.g. `backward`.
        pub compatibility: Str8,
    }

    /// LIST_SCHEMAS request.
    pub struct ListSchemas {
        /// Schema name; empty or missing means all.
        pub name: Option<String>,
    }

    /// An item of LIST_SCHEMAS' reply.
    pub struct SchemaItem {
        /// `name-vN`.
        pub id: String,
        /// Its type.
        pub kind: Str8,
        /// Version.
        pub version: u32,
    }

    /// LIST_SCHEMAS reply.
    pub struct SchemaList {
        /// One item for each version.
        pub schemas: Vec<SchemaItem>,
    }

    /// VALIDATE_SCHEMA request.
    pub struct ValidateSchema {
        /// Schema name.
        pub name: String,
        /// The message to check.
        pub message: Bytes,
    }

    /// VALIDATE_SCHEMA reply.
    pub struct ValidateReply {
        /// Whether the schema accepts it.
        pub valid: bool,
        /// Why not.
        pub errors: Vec<String>,
    }
}

/// In which order PRODUCE_WITH_SCHEMA's fields were sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FieldOrder {
    /// Go: topic, schema, value.
    #[default]
    SchemaFirst,
    /// Python and Java: topic, value, schema.
    ValueFirst,
}

/// PRODUCE_WITH_SCHEMA request.
///
/// Clients disagree on the order of the fields. The decoder takes the order that gives the schema a name and uses up
/// the body exactly; Go's if both do. (An empty value in the other order would else pass for Go's: the schema's name
/// for the value, and no schema.)
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProduceWithSchema {
    /// Topic name.
    pub topic: String,
    /// Schema name.
    pub schema: String,
    /// Value.
    pub value: Bytes,
    /// How it stood, or shall stand, on the wire.
    pub order: FieldOrder,
}

impl ProduceWithSchema {
    fn decode_as(mut reader: Reader, order: FieldOrder) -> Result<(Self, usize), DecodeError> {
        let topic = reader.get()?;
        let (schema, value) = match order {
            FieldOrder::SchemaFirst => (reader.get()?, reader.get()?),
            FieldOrder::ValueFirst => {
                let value = reader.get()?;
                (reader.get()?, value)
            }
        };
        Ok((Self { topic, schema, value, order }, reader.remaining()))
    }

    /// How likely it is that a body was meant so: a schema has a name, and clients send nothing after the last field.
    fn rank(read: &Result<(Self, usize), DecodeError>) -> u8 {
        match read {
            Err(_) => 0,
            Ok((request, rest)) => 1 + u8::from(*rest == 0) + 2 * u8::from(!request.schema.is_empty()),
        }
    }
}

impl Layout for ProduceWithSchema {
    const MIN_LEN: usize = 8;

    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let body = Reader::new(reader.take_rest());
        let schema_first = Self::decode_as(body.clone(), FieldOrder::SchemaFirst);
        let value_first = Self::decode_as(body, FieldOrder::ValueFirst);
        let (first, rank) = (Self::rank(&schema_first), Self::rank(&value_first));
        let (request, _) = if rank > first { value_first } else { schema_first }?;
        Ok(request)
    }

    fn encode(&self, writer: &mut Writer) {
        writer.put(&self.topic);
        match self.order {
            FieldOrder::SchemaFirst => {
                writer.put(&self.schema);
                writer.put(&self.value);
            }
            FieldOrder::ValueFirst => {
                writer.put(&self.value);
                writer.put(&self.schema);
            }
        }
    }
}
