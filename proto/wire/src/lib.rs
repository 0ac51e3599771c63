//! The bytes that FlyMQ processes exchange and store: record batches and 0xAF frames.
//!
//! This crate only turns bytes into typed values and back. It does no IO, knows no topic and no broker, and never
//! sees protobuf: the bodies of version 2 that are protobuf messages pass through it as opaque [`bytes::Bytes`].
//!
//! | Module | What it holds | Byte order |
//! |---|---|---|
//! | [`batch`] | the record batch: unit of produce, storage, replication and fetch | little-endian |
//! | [`frame`] | the 8-byte frame header, the incremental decoder, frames ready to be written | big-endian |
//! | [`codec`] | the field types that bodies are made of, and their errors | big-endian |
//! | [`v1`] | bodies of version 1, the wire of the clients in the field | big-endian |
//! | [`v2`] | bodies of version 2, the wire of our client core | big-endian |
//!
//! Every decoder takes untrusted bytes: it never panics, and never allocates more than a small multiple of the bytes
//! that it was given.

pub mod batch;
pub mod codec;
pub mod frame;
pub mod v1;
pub mod v2;
