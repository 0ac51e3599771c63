//! What makes metadata durable and agreed upon. Today one node keeps it on its own disk ([`LocalMetaStore`]); a Raft
//! group comes behind the same trait.
//!
//! ```text
//! propose ─► State::apply on a copy ─► entry in <dir>/log, fdatasync ─► image and watch ─► reply
//!                                          └─ now and then: <dir>/snapshot, new <dir>/log
//! ```

mod convert;
mod local;
mod task;

pub use local::{LocalMetaError, LocalMetaOptions, LocalMetaStore};
