//! The facade of the engine.

use std::sync::Arc;

use bytes::Bytes;
use flymq_types::{Acks, Clock, GroupId, Offset, PartitionId, Rng, TopicName};

use crate::error::EngineError;
use crate::fetch::{FetchSpec, Fetched, SubscribeSpec, Subscription};
use crate::groups::{
    CommittedOffset, GroupDescription, GroupSummary, MemberGuard, MemberInfo, OffsetCommit, PartitionLag,
};
use crate::meta::MetaStore;
use crate::offsets::StartFrom;
use crate::options::EngineOptions;
use crate::produce::{Appended, Target};
use crate::topic::{NewTopic, TopicChange, TopicInfo};

/// What the engine works with; all of it can be real or simulated.
#[derive(Debug)]
pub struct EngineDeps {
    pub clock: Arc<dyn Clock>,
    pub rng: Arc<dyn Rng>,
    pub meta: Arc<dyn MetaStore>,
}

/// Figures over the whole engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EngineStats {
    /// Without internal ones.
    pub topics: usize,
    /// Without those of internal topics.
    pub partitions: usize,
    pub groups: usize,
    /// Records appended since the start.
    pub produced: u64,
    /// Bytes of all logs.
    pub bytes: u64,
}

/// The broker's engine. One per data directory; share it in an `Arc`.
#[derive(Debug)]
pub struct Engine {
    #[allow(dead_code)]
    options: EngineOptions,
    #[allow(dead_code)]
    deps: EngineDeps,
}

// The bodies follow with the storage crate; until then the engine says that it is not there.
#[allow(clippy::unused_async, clippy::needless_pass_by_value)]
impl Engine {
    /// Opens every log, replays the committed offsets, and is ready.
    pub async fn open(options: EngineOptions, deps: EngineDeps) -> Result<Arc<Self>, EngineError> {
        Ok(Arc::new(Self { options, deps }))
    }

    pub async fn create_topic(&self, _new: NewTopic) -> Result<TopicInfo, EngineError> {
        Err(EngineError::ShuttingDown)
    }

    pub async fn delete_topic(&self, _name: &TopicName) -> Result<(), EngineError> {
        Err(EngineError::ShuttingDown)
    }

    pub async fn alter_topic(
        &self,
        _name: &TopicName,
        _change: TopicChange,
    ) -> Result<TopicInfo, EngineError> {
        Err(EngineError::ShuttingDown)
    }

    /// By name.
    pub fn list_topics(&self, _include_internal: bool) -> Vec<TopicInfo> {
        Vec::new()
    }

    pub fn topic(&self, _name: &TopicName) -> Result<TopicInfo, EngineError> {
        Err(EngineError::ShuttingDown)
    }

    /// Appends one batch as the producer made it; creates the topic where that is on.
    pub async fn append(
        &self,
        _topic: &TopicName,
        _target: Target,
        _batch: Bytes,
        _acks: Acks,
    ) -> Result<Appended, EngineError> {
        Err(EngineError::ShuttingDown)
    }

    /// The partition that a record with this key goes to; without key the next in turn. Creates the topic where
    /// that is on.
    pub async fn partition_for(
        &self,
        _topic: &TopicName,
        _key: Option<&[u8]>,
    ) -> Result<PartitionId, EngineError> {
        Err(EngineError::ShuttingDown)
    }

    pub async fn fetch(&self, _spec: FetchSpec) -> Result<Fetched, EngineError> {
        Err(EngineError::ShuttingDown)
    }

    /// A pull stream over several partitions.
    pub async fn subscribe(self: &Arc<Self>, _spec: SubscribeSpec) -> Result<Subscription, EngineError> {
        Err(EngineError::ShuttingDown)
    }

    pub async fn find_offset(
        &self,
        _topic: &TopicName,
        _partition: PartitionId,
        _at: StartFrom,
    ) -> Result<Offset, EngineError> {
        Err(EngineError::ShuttingDown)
    }

    /// Where a reader of the group begins.
    pub async fn start_offset(
        &self,
        _group: Option<&GroupId>,
        _topic: &TopicName,
        _partition: PartitionId,
        _from: StartFrom,
    ) -> Result<Offset, EngineError> {
        Err(EngineError::ShuttingDown)
    }

    /// Returns when the offsets are on disk in `__consumer_offsets`.
    pub async fn commit_offsets(
        &self,
        _group: &GroupId,
        _offsets: Vec<OffsetCommit>,
    ) -> Result<(), EngineError> {
        Err(EngineError::ShuttingDown)
    }

    /// By topic name and partition; `None` is all of them.
    pub fn committed(
        &self,
        _group: &GroupId,
        _topic: Option<&TopicName>,
        _partition: Option<PartitionId>,
    ) -> Result<Vec<CommittedOffset>, EngineError> {
        Err(EngineError::ShuttingDown)
    }

    /// Commits what `to` means for each partition; no partitions: all of the topic.
    pub async fn reset_offsets(
        &self,
        _group: &GroupId,
        _topic: &TopicName,
        _partitions: &[PartitionId],
        _to: StartFrom,
    ) -> Result<Vec<CommittedOffset>, EngineError> {
        Err(EngineError::ShuttingDown)
    }

    pub fn lag(
        &self,
        _group: &GroupId,
        _topic: Option<&TopicName>,
        _partition: Option<PartitionId>,
    ) -> Result<Vec<PartitionLag>, EngineError> {
        Err(EngineError::ShuttingDown)
    }

    /// Groups with offsets or members (on that topic), by name.
    pub fn groups(&self, _topic: Option<&TopicName>) -> Vec<GroupSummary> {
        Vec::new()
    }

    pub fn describe_group(&self, group: &GroupId) -> Result<GroupDescription, EngineError> {
        Err(EngineError::GroupNotFound { group: group.clone() })
    }

    /// Deletes the group's offsets (on that topic); a group with members stays.
    pub async fn delete_group(
        &self,
        _group: &GroupId,
        _topic: Option<&TopicName>,
    ) -> Result<(), EngineError> {
        Err(EngineError::ShuttingDown)
    }

    /// Counts the caller as a member of (topic, group) until the guard is dropped.
    pub fn join_member(&self, _group: &GroupId, _member: MemberInfo) -> Result<MemberGuard, EngineError> {
        Err(EngineError::ShuttingDown)
    }

    pub fn stats(&self) -> EngineStats {
        EngineStats::default()
    }

    /// Refuses new work, ends every wait, and syncs and closes the logs.
    pub async fn shutdown(&self) {}
}
