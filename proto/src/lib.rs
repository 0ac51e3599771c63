//! Everything that two FlyMQ processes agree on, generated from `proto/flymq/v1`: messages, services, and the descriptor
//! set with the method options (op code, access, audit event, HTTP route) from which doors and layers are derived. No logic.

#![allow(clippy::all, clippy::pedantic, missing_debug_implementations, unused_qualifications)]

include!(concat!(env!("OUT_DIR"), "/flymq_include.rs"));

/// Messages and services of the public API.
pub use flymq::v1 as pb;

mod internal_tree {
    include!(concat!(env!("OUT_DIR"), "/flymq_internal_include.rs"));
}

/// What nodes agree on among themselves and keep on disk; in no descriptor set.
pub use internal_tree::flymq::internal::v1 as internal;

/// The encoded `FileDescriptorSet` of `flymq.v1` and its imports, custom options included.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/flymq_descriptor.bin"));

mod describe;
mod errors;
pub use describe::{OpInfo, RpcInfo, descriptor_pool, rpcs};
pub use errors::{DOC_BASE, ErrorTraits};
