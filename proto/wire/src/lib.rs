//! The bytes that FlyMQ processes exchange and store: record batches and 0xAF frames.
//!
//! This crate only turns bytes into typed values and back. It does no IO, knows no topic and no broker, and never
//! sees protobuf: the bodies of version 2 that are protobuf messages pass through it as opaque [`bytes::Bytes`].
//!
//! | Module | What it holds | Byte order |
//! |---|---|---|
//! | [`batch`] | the record batch: unit of produce, storage, replication and fetch | little-endian |
//! | [`frame`] | the 8-byte frame header, the incremental decoder, frames ready to be written | big-endian |
//! | [`compress`] | the codecs of a batch's payload, bounded | |
//! | [`codec`] | the field types that bodies are made of, and their errors | big-endian |
//! | [`v1`] | bodies of version 1, the wire of the clients in the field | big-endian |
//! | [`v2`] | bodies of version 2, the wire of our client core | big-endian |
//!
//! Every decoder takes untrusted bytes: it never panics, and never allocates more than a small multiple of the bytes
//! that it was given.
//!
//! A batch on its way from a producer into a frame and out of it again:
//!
//! ```
//! use bytes::BytesMut;
//! use flymq_wire::batch::{BatchBuilder, NewRecord, RecordIter, validate_produced};
//! use flymq_wire::frame::FrameDecoder;
//! use flymq_wire::v2::{Acks, Message, ProduceBody};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut builder = BatchBuilder::new();
//! builder.push(&NewRecord { key: Some(b"k"), value: Some(b"hello"), timestamp: 1_000, expires_at: None })?;
//! let produce =
//!     ProduceBody { acks: Acks::All, partition: 0, timeout_ms: 0, topic: "t".into(), batch: builder.build()? };
//! let sent = produce.encode(1)?.into_bytes(); // a socket writer takes the parts as they are, see FrameParts
//!
//! let mut buf = BytesMut::from(&sent[..]);
//! let frame = FrameDecoder::default().decode(&mut buf)?.expect("the frame is whole");
//! let received = ProduceBody::decode(Message::from_frame(frame)?.body)?;
//! validate_produced(&received.batch)?;
//! for record in RecordIter::new(&received.batch)? {
//!     assert_eq!(record?.value, Some(&b"hello"[..]));
//! }
//! # Ok(())
//! # }
//! ```

pub mod batch;
pub mod codec;
pub mod compress;
pub mod frame;
pub mod v1;
pub mod v2;
