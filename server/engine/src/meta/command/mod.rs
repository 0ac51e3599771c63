//! The changes of metadata, one file each.
//!
//! A command carries all it needs (time, ids): applying it reads no clock, no randomness and no disk, so that
//! every node comes to the same state. On disk and between nodes each has a number (the field of the union in
//! `flymq/internal/v1/command.proto`) that is never used again for another one.

mod allocate_producer_ids;
mod alter_isr;
mod alter_topic;
mod create_topic;
mod delete_topic;
mod drain_broker;
mod elect_preferred;
mod fence_broker;
mod finish_restore;
mod form_cluster;
mod new_partitions;
mod raise_features;
mod reassign;
mod register_broker;
mod rejection;
mod remove_broker;
mod resign_leader;
mod schemas;
mod transfer_leader;
mod unfence_broker;

use std::sync::Arc;

use flymq_types::{NodeId, TopicId, TopicName};

pub use allocate_producer_ids::AllocateProducerIds;
pub use alter_isr::{AlterIsr, IsrMember};
pub use alter_topic::AlterTopic;
pub use create_topic::CreateTopic;
pub use delete_topic::DeleteTopic;
pub use drain_broker::DrainBroker;
pub use elect_preferred::ElectPreferred;
pub use fence_broker::FenceBroker;
pub use finish_restore::FinishRestore;
pub use form_cluster::FormCluster;
pub use new_partitions::DEFAULT_FACTOR;
pub use raise_features::RaiseFeatures;
pub use reassign::Reassign;
pub use register_broker::RegisterBroker;
pub use rejection::{NodeRejection, PartitionRejection, Rejection, SchemaRejection};
pub use remove_broker::RemoveBroker;
pub use resign_leader::ResignLeader;
pub use schemas::{DeleteSchema, RegisterSchema, SetCompatibility};
pub use transfer_leader::TransferLeader;
pub use unfence_broker::UnfenceBroker;

use super::{MetaImage, NodeMeta, PartitionMeta, SchemaVersion, TopicMeta, TopicPartition};

/// A change of metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    CreateTopic(CreateTopic),
    DeleteTopic(DeleteTopic),
    AlterTopic(AlterTopic),
    FinishRestore(FinishRestore),
    FormCluster(FormCluster),
    RegisterBroker(RegisterBroker),
    FenceBroker(FenceBroker),
    UnfenceBroker(UnfenceBroker),
    DrainBroker(DrainBroker),
    RemoveBroker(RemoveBroker),
    AlterIsr(AlterIsr),
    Reassign(Reassign),
    ElectPreferred(ElectPreferred),
    TransferLeader(TransferLeader),
    RaiseFeatures(RaiseFeatures),
    ResignLeader(ResignLeader),
    AllocateProducerIds(AllocateProducerIds),
    RegisterSchema(RegisterSchema),
    DeleteSchema(DeleteSchema),
    SetCompatibility(SetCompatibility),
}

/// What an applied command answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    TopicCreated(Arc<TopicMeta>),
    TopicDeleted {
        id: TopicId,
    },
    TopicAltered(Arc<TopicMeta>),
    /// A node as it is now, and how many partitions changed with it.
    Node {
        node: Arc<NodeMeta>,
        partitions: u32,
    },
    NodeRemoved {
        id: NodeId,
    },
    /// A partition as it is now.
    PartitionChanged {
        at: TopicPartition,
        partition: Arc<PartitionMeta>,
    },
    /// How many partitions have another leader.
    LeadersMoved {
        partitions: u32,
    },
    FeaturesRaised {
        version: u32,
    },
    /// Ids for producers, from `first` on.
    ProducerIds {
        first: u64,
        count: u32,
    },
    SchemaRegistered(Arc<SchemaVersion>),
    /// Which versions.
    SchemaDeleted {
        versions: Vec<u32>,
    },
    CompatibilitySet,
}

impl Reply {
    fn node(node: &Arc<NodeMeta>, partitions: u32) -> Self {
        Self::Node { node: node.clone(), partitions }
    }
}

/// What every node has to do once the command is applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Open the logs of the topic's partitions, or those that came new, and use its settings.
    OpenTopic(Arc<TopicMeta>),
    /// Close the topic's logs and remove their data.
    RemoveTopic { id: TopicId, name: TopicName },
    /// Take the part that the partition has for this node now: leader, follower or none.
    ChangePartition { at: TopicPartition, partition: Arc<PartitionMeta> },
    /// Reach the node where it is now.
    ChangeNode(Arc<NodeMeta>),
    /// Drop the connections to the node.
    RemoveNode { id: NodeId },
}

/// In the order in which they are to be done.
pub type Effects = Vec<Effect>;

fn node_effect(node: &Arc<NodeMeta>) -> Effects {
    vec![Effect::ChangeNode(node.clone())]
}

impl Command {
    /// Applies the command to `image`, or says why not; `image` is of no use then.
    pub(super) fn apply(&self, image: &mut MetaImage) -> Result<(Reply, Effects), Rejection> {
        match self {
            Self::CreateTopic(command) => command.apply(image),
            Self::DeleteTopic(command) => command.apply(image),
            Self::AlterTopic(command) => command.apply(image),
            Self::FinishRestore(command) => command.apply(image),
            Self::FormCluster(command) => command.apply(image),
            Self::RegisterBroker(command) => command.apply(image),
            Self::FenceBroker(command) => command.apply(image),
            Self::UnfenceBroker(command) => command.apply(image),
            Self::DrainBroker(command) => command.apply(image),
            Self::RemoveBroker(command) => command.apply(image),
            Self::AlterIsr(command) => command.apply(image),
            Self::Reassign(command) => command.apply(image),
            Self::ElectPreferred(command) => command.apply(image),
            Self::TransferLeader(command) => command.apply(image),
            Self::RaiseFeatures(command) => command.apply(image),
            Self::ResignLeader(command) => command.apply(image),
            Self::AllocateProducerIds(command) => command.apply(image),
            Self::RegisterSchema(command) => command.apply(image),
            Self::DeleteSchema(command) => command.apply(image),
            Self::SetCompatibility(command) => command.apply(image),
        }
    }
}
