//! Why a command does not apply.

use std::sync::Arc;

use flymq_types::{
    BrokerEpoch, ClusterId, DirectoryId, LeaderEpoch, NodeId, PartitionEpoch, PartitionId, TopicName,
};

use crate::meta::{NodeState, TopicPartition};

/// Why a command does not apply. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("topic {name} exists")]
    TopicExists { name: TopicName },
    #[error("topic {name} does not exist")]
    TopicUnknown { name: TopicName },
    /// The id belongs to another topic, or to a deleted one.
    #[error("the id for topic {name} is taken")]
    TopicIdUsed { name: TopicName },
    #[error("topic {name} has {current} partitions, not fewer than {asked}")]
    PartitionsShrink { name: TopicName, current: u32, asked: u32 },
    /// The command was made from an older state of the topic.
    #[error("topic {name} was changed meanwhile")]
    Conflict { name: TopicName },
    #[error("there are already {limit} topics")]
    TooManyTopics { limit: usize },
    #[error("topic {name} has no partition {partition}: it has {partitions}")]
    PartitionUnknown { name: TopicName, partition: PartitionId, partitions: u32 },
    #[error("replication factor {asked} needs {asked} nodes, the cluster has {nodes}")]
    ReplicationFactor { asked: u32, nodes: u32 },
    #[error("min_insync_replicas must be 1 to the number of replicas {replicas}, not {asked}")]
    MinInsync { asked: u32, replicas: u32 },
    #[error(transparent)]
    Node(#[from] NodeRejection),
    #[error(transparent)]
    Partition(#[from] PartitionRejection),
    #[error(transparent)]
    Schema(#[from] SchemaRejection),
}

/// Why a command about nodes does not apply. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NodeRejection {
    #[error("this broker belongs to no cluster yet")]
    NoCluster,
    #[error("this is cluster {cluster}, not {asked}")]
    WrongCluster { cluster: ClusterId, asked: ClusterId },
    #[error("node {id} is not a member of the cluster")]
    Unknown { id: NodeId },
    /// Another process has the id and a session.
    #[error("node id {id} is in use by a living node: give this one another id, or stop the other")]
    IdInUse { id: NodeId },
    #[error("data directory {directory} belongs to node {owner}, so node {id} cannot use it")]
    DirectoryInUse { id: NodeId, directory: DirectoryId, owner: NodeId },
    /// It, or another node with its data directory, was removed.
    #[error(
        "node {id} was removed from the cluster, and its data directory cannot come back: to join again as a new node, start \
         it with an empty directory (FLYMQ_DATA_DIR), FLYMQ_ROLE=agent, FLYMQ_SERVER and FLYMQ_JOIN_TOKEN"
    )]
    Removed { id: NodeId },
    /// The command speaks of a registration that is over.
    #[error("node {id} was registered again meanwhile: its epoch is {current}, not {asked}")]
    StaleEpoch { id: NodeId, asked: BrokerEpoch, current: BrokerEpoch },
    /// Only a member that is in sync already may be named without its registration.
    #[error("node {id} is to be in sync, and its epoch is not given")]
    NoEpoch { id: NodeId },
    #[error("node {id} is {state}")]
    WrongState { id: NodeId, state: NodeState },
    #[error("node {id} still keeps replicas of {partitions} partitions: reassign them first")]
    HasReplicas { id: NodeId, partitions: u32 },
    #[error("node {id} is the last of the cluster and cannot be removed")]
    LastNode { id: NodeId },
    #[error("no node is active: nothing can be placed until one is")]
    NoneActive,
    #[error(
        "node {id} understands feature version {understood}, the cluster uses {needed}: use a newer FlyMQ, or raise its cluster.max_feature_version"
    )]
    TooOld { id: NodeId, understood: u32, needed: u32 },
    #[error("the cluster uses feature version {current} already, and cannot go back to {asked}")]
    FeaturesGoBack { current: u32, asked: u32 },
}

/// Why a command about a partition's replicas does not apply. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PartitionRejection {
    #[error("{at} belongs to a broker without cluster and has no replicas")]
    NotReplicated { at: TopicPartition },
    #[error("the leader epoch of {at} is {current}, not {asked}")]
    StaleLeaderEpoch { at: TopicPartition, asked: LeaderEpoch, current: LeaderEpoch },
    #[error("{at} was changed meanwhile: its epoch is {current}, not {asked}")]
    StalePartitionEpoch { at: TopicPartition, asked: PartitionEpoch, current: PartitionEpoch },
    #[error("{at} has no leader")]
    NoLeader { at: TopicPartition },
    #[error("{at} is led by {leader}, not by {node}")]
    NotLeader { at: TopicPartition, node: NodeId, leader: NodeId },
    #[error("{at}: the leader {leader} is missing in the in-sync set")]
    LeaderMissing { at: TopicPartition, leader: NodeId },
    #[error("{at}: node {node} is not one of its replicas")]
    NotReplica { at: TopicPartition, node: NodeId },
    #[error("{at}: node {node} is not in sync")]
    NotInSync { at: TopicPartition, node: NodeId },
    #[error("{at}: node {node} is named twice")]
    Twice { at: TopicPartition, node: NodeId },
    #[error("{at}: a partition needs at least one replica")]
    NoReplicas { at: TopicPartition },
}

/// Why a command about schemas does not apply. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaRejection {
    /// The command was made from an older state of the subject.
    #[error("schema {subject} was changed meanwhile")]
    Conflict { subject: Arc<str> },
    #[error("schema {subject} has no such version")]
    Unknown { subject: Arc<str>, version: Option<u32> },
    #[error("schema {subject} is in use by {by}")]
    InUse { subject: Arc<str>, by: String },
    /// Only versions that are marked as deleted can be forgotten.
    #[error("schema {subject} has to be deleted before it can be deleted for good")]
    NotDeleted { subject: Arc<str> },
    #[error("there are already {limit} schemas, or more text than is kept")]
    TooMany { limit: usize },
}
