//! The Java SDK's native half: the client core behind a few static methods of `com.firefly.flymq.internal.Native`.
//!
//! What crosses the border: handles as numbers, settings and control calls as JSON (UTF-8), records in one binary buffer per
//! call ([`codec`]). No Java object is kept by this side, so nothing can leak; a handle that was closed is found missing.

// Exported names are the way the JVM finds native methods; the attribute counts as unsafe since two libraries could clash.
#![allow(unsafe_code)]

mod border;
mod client;
mod codec;
mod consumer;
mod handles;
mod producer;
mod queue;
mod serde;
mod settings;
mod transactional;
