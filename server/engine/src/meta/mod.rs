//! The cluster's metadata: a pure state machine of commands, and the trait of what makes it durable.
//!
//! ```text
//! Command ──► MetaStore::propose ──► (durable, agreed) ──► State::apply ──► MetaImage (immutable, watched)
//! ```

mod change;
mod cluster;
mod command;
mod election;
mod image;
mod memory;
mod partition;
mod placement;
mod schemas;
mod state;
mod store;
mod suite;

pub use cluster::{ClusterMeta, NodeAddresses, NodeMeta, NodeRun, NodeState};
pub use command::{
    AllocateProducerIds, AlterIsr, AlterTopic, Command, CreateTopic, DEFAULT_FACTOR, DeleteSchema,
    DeleteTopic, DrainBroker, Effect, Effects, ElectPreferred, FenceBroker, FinishRestore, FormCluster,
    IsrMember, NodeRejection, PartitionRejection, RaiseFeatures, Reassign, RegisterBroker, RegisterSchema,
    Rejection, RemoveBroker, Reply, ResignLeader, SchemaRejection, SetCompatibility, TransferLeader,
    UnfenceBroker,
};
pub use image::{MetaImage, MetaVersion, TopicMeta};
pub use memory::MemoryMetaStore;
pub use partition::{PartitionMeta, TopicPartition};
pub use placement::{Placement, PlacementError, PlacementNode};
pub use schemas::{SchemaBook, SchemaReference, SchemaSubject, SchemaVersion};
pub use state::{MAX_TOMBSTONES, State};
pub use store::{Applied, MetaError, MetaStore, MetaWatch};
pub use suite::{SuiteStore, meta_store_suite};
