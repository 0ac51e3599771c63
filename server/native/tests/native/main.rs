//! The native door over real sockets, in front of the real broker.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a test that cannot go on fails")]

mod deadlines;
mod hostile;
mod support;
mod v1_behaviour;
mod v1_dead_letters;
mod v1_golden;
mod v1_transactions;
mod v2_bounds;
mod v2_requests;
mod v2_streams;
