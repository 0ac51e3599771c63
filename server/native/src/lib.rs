//! The 0xAF door: versions 1 and 2 of the native wire on one port.
//!
//! ```text
//! listener ── accept, cap, backoff ──▶ connection ── first frame decides ──▶ v1: one request, one reply, in order
//!                                                                       └──▶ v2: correlation ids, raw batches, push with credit
//! ```
//!
//! The door decodes, calls [`flymq_api::Broker`], and encodes. What a topic or a group is, it does not know; the few
//! rules of the version 1 wire that no other door has (a create of an existing topic succeeds, a connection counts as
//! a group's member) live under `v1/`.

mod caller;
mod connection;
mod credentials;
mod door;
mod listener;
mod options;
mod reader;
mod refusal;
mod v1;
mod v2;
mod writer;

pub use listener::serve;
pub use options::NativeOptions;
