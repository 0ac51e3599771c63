//! Op codes whose bodies are not protobuf, and those that only version 2 has.
//!
//! All other ops carry the number that the proto option of their rpc gives; they are version 1's numbers
//! where version 1 has the operation.

/// Append one batch.
pub const PRODUCE: u8 = 0x01;
/// Read batches, waiting for them if asked.
pub const FETCH: u8 = 0x07;
/// First frame of a connection; protobuf body.
pub const HELLO: u8 = 0x0C;
/// Open a push stream; protobuf request, pushes as [`super::PushBody`].
pub const SUBSCRIBE_STREAM: u8 = 0x0D;
/// Allow a stream more bytes; no reply.
pub const CREDIT: u8 = 0x0E;
/// End a stream; the stream's end push answers.
pub const CANCEL: u8 = 0x0F;
