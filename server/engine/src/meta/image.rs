//! The applied metadata: an immutable, versioned value that anyone may hold on to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use flymq_types::{BrokerEpoch, NodeId, PartitionId, Timestamp, TopicId, TopicName};

use super::command::NodeRejection;
use super::{
    ClusterMeta, NodeMeta, NodeState, PartitionMeta, PartitionRejection, Rejection, SchemaBook,
    TopicPartition,
};
use crate::topic::TopicConfig;

/// Counts the applied proposals, from 0 for the empty metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MetaVersion(pub u64);

/// A topic in the metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicMeta {
    pub id: TopicId,
    pub name: TopicName,
    pub config: TopicConfig,
    pub created: Timestamp,
    /// By number, from 0, without gaps; never empty.
    pub partitions: Vec<Arc<PartitionMeta>>,
    /// Counts the changes of this topic; a command names the one it has seen.
    pub revision: u64,
    /// The backup that the topic is being restored from; until it is whole it takes no other records and shows none.
    pub restoring: Option<Arc<str>>,
}

impl TopicMeta {
    /// Names the partition of that number.
    pub fn partition_id(&self, number: usize) -> TopicPartition {
        let partition = PartitionId(u32::try_from(number).unwrap_or(u32::MAX));
        TopicPartition { topic: self.id, name: self.name.clone(), partition }
    }
}

/// All metadata at one version.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MetaImage {
    pub version: MetaVersion,
    pub topics: BTreeMap<TopicName, Arc<TopicMeta>>,
    /// Ids of deleted topics: their data may be removed wherever it is found.
    pub deleted: BTreeSet<TopicId>,
    pub cluster: ClusterMeta,
    /// The first producer id that no node was given; 0 where none ever was.
    pub next_producer_id: u64,
    pub schemas: Arc<SchemaBook>,
}

impl MetaImage {
    /// The topic of that name.
    pub fn topic(&self, name: &TopicName) -> Option<&Arc<TopicMeta>> {
        self.topics.get(name)
    }

    /// The topic of that id; looks through all of them.
    pub fn topic_by_id(&self, id: TopicId) -> Option<&Arc<TopicMeta>> {
        self.topics.values().find(|topic| topic.id == id)
    }

    /// The partition of that name, if its topic still has that id.
    ///
    /// # Errors
    /// `TopicUnknown`, `PartitionUnknown`.
    pub fn partition(&self, at: &TopicPartition) -> Result<&Arc<PartitionMeta>, Rejection> {
        let name = || at.name.clone();
        let topic = self.topic(&at.name).filter(|topic| topic.id == at.topic);
        let topic = topic.ok_or_else(|| Rejection::TopicUnknown { name: name() })?;
        topic.partitions.get(at.partition.get() as usize).ok_or_else(|| Rejection::PartitionUnknown {
            name: name(),
            partition: at.partition,
            partitions: u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX),
        })
    }

    /// Partitions whose leader is to hand over, and has not yet; `from`: of that leader alone.
    pub fn handing_over(&self, from: Option<&NodeId>) -> usize {
        let partitions = self.topics.values().flat_map(|topic| &topic.partitions);
        let of = |partition: &PartitionMeta| from.is_none() || partition.leader.as_ref() == from;
        partitions.filter(|partition| partition.successor.is_some() && of(partition)).count()
    }

    /// Partitions that the node leads.
    pub fn led_by(&self, node: &NodeId) -> usize {
        let partitions = self.topics.values().flat_map(|topic| &topic.partitions);
        partitions.filter(|partition| partition.leader.as_ref() == Some(node)).count()
    }

    /// Like [`Self::partition`], and it has replicas.
    pub(super) fn replicated(&self, at: &TopicPartition) -> Result<&Arc<PartitionMeta>, Rejection> {
        let partition = self.partition(at)?;
        if partition.is_replicated() {
            Ok(partition)
        } else {
            Err(PartitionRejection::NotReplicated { at: at.clone() }.into())
        }
    }

    /// The node of that id, if that is still its registration.
    pub(super) fn registered(&self, id: &NodeId, asked: BrokerEpoch) -> Result<Arc<NodeMeta>, NodeRejection> {
        let id = || id.clone();
        let node = self.cluster.node(&id()).ok_or_else(|| NodeRejection::Unknown { id: id() })?;
        let current = node.broker_epoch;
        if asked != current {
            return Err(NodeRejection::StaleEpoch { id: id(), asked, current });
        }
        Ok(node.clone())
    }

    /// Puts the node into that state, and returns it.
    pub(super) fn set_state(&mut self, node: &NodeMeta, state: NodeState) -> Arc<NodeMeta> {
        let node = Arc::new(NodeMeta { state, ..node.clone() });
        self.cluster.nodes.insert(node.id.clone(), node.clone());
        node
    }
}
