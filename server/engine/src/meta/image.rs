//! The applied metadata: an immutable, versioned value that anyone may hold on to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use flymq_types::{LeaderEpoch, Timestamp, TopicId, TopicName};

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
    pub partitions: Vec<PartitionMeta>,
    /// Counts the changes of this topic; a command names the one it has seen.
    pub revision: u64,
    /// The backup that the topic is being restored from; until it is whole it takes no other records and shows none.
    pub restoring: Option<Arc<str>>,
}

/// A partition in the metadata. Replicas and leader come with the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PartitionMeta {
    pub leader_epoch: LeaderEpoch,
}

/// All metadata at one version.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MetaImage {
    pub version: MetaVersion,
    pub topics: BTreeMap<TopicName, Arc<TopicMeta>>,
    /// Ids of deleted topics: their data may be removed wherever it is found.
    pub deleted: BTreeSet<TopicId>,
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
}
