//! Version 2 of the 0xAF wire: pipelining, record batches, long poll, push with credit.
//!
//! ```text
//! │ AF │ 02 │ op │ flags │ u32 length │ u32 correlation id │ body …
//! ```
//!
//! A reply repeats the op and the correlation id of its request, and may overtake others. The bodies of this module
//! are the ones on the record path; every other body is a protobuf message, which [`Message`] carries as bytes.
//! `docs/native-protocol.md` has all layouts.

mod fetch;
mod message;
pub mod op;
mod produce;
mod stream;

pub use fetch::{FetchBody, FetchReply, Isolation};
pub use message::{CORRELATION_LEN, Message, flag};
pub use produce::{Acks, ProduceBody, ProduceReply};
pub use stream::{CancelBody, CreditBody, PushBody};

#[cfg(test)]
mod tests;
