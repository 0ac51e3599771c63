//! The cluster's metadata: a pure state machine of commands, and the trait of what makes it durable.
//!
//! ```text
//! Command ──► MetaStore::propose ──► (durable, agreed) ──► State::apply ──► MetaImage (immutable, watched)
//! ```

mod command;
mod image;
mod memory;
mod state;
mod store;
mod suite;

pub use command::{
    AlterTopic, Command, CreateTopic, DeleteTopic, Effect, Effects, FinishRestore, Rejection, Reply,
};
pub use image::{MetaImage, MetaVersion, PartitionMeta, TopicMeta};
pub use memory::MemoryMetaStore;
pub use state::{MAX_TOMBSTONES, State};
pub use store::{Applied, MetaError, MetaStore, MetaWatch};
pub use suite::{SuiteStore, meta_store_suite};
