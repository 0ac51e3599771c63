//! Protobuf to domain and back. Here, and nowhere else, requests are validated; the engine never sees prost.

mod dead_letters;
mod fields;
mod filter;
mod index;
mod open;
mod produce;
mod read;
mod schemas;
mod topics;

pub(crate) use fields::{
    acks, acks_message, epoch, group, invalid, isolation, optional_partition, partition, start_from, topic,
    transaction, transactional_id,
};
pub(crate) use filter::{CEL_PREFIX, Filters};
pub(crate) use open::{Opener, damaged};
pub(crate) use produce::{BuiltBatch, Produce, ProducePlan, ReadyBatch, build, key_of, single, value_of};
pub(crate) use read::{Fetch, Page, Shape, inflates, show_text};
pub(crate) use schemas::{
    binding, binding_message, compatibility, compatibility_message, new_schema, schema_message, version,
};
pub(crate) use topics::{count, new_topic, partition_state, topic_changes, topic_message, topic_summary};
