//! What several suites of this crate share.

pub mod broker;
pub mod chaos_proxy;
pub mod checker;
pub mod effort;
pub mod fates;
pub mod groups;
pub mod history;
pub mod mounts;
pub mod ports;
pub mod producers;
mod raw_codec;
pub mod row;
pub mod transactions;
pub mod transform;

pub use raw_codec::RawCodec;
