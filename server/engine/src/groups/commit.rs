//! Writes to the committed offsets: commit, reset, delete, and what a deleted topic takes with it.

use std::collections::BTreeMap;
use std::sync::Arc;

use flymq_types::{GroupId, LeaderEpoch, PartitionId, TopicId, TopicName};

use super::coordinate::not_coordinator;
use super::record::{Change, DeliveryKey, OffsetKey, OffsetValue};
use super::{CommittedOffset, Groups, OFFSETS_TOPIC, OffsetCommit, OffsetsLog};
use crate::durable_map::{Appending, MAX_CHANGES, read_alone};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::offsets::StartFrom;

/// Longest metadata of a committed offset, bytes.
const MAX_METADATA_BYTES: usize = 4_096;

impl Engine {
    /// Commits offsets, each the next to read; they may also go back. All of them are durable in one batch of
    /// `__consumer_offsets` when this returns; concurrent commits share a sync.
    ///
    /// Dropping the future ends the wait; a commit that is appended stays.
    ///
    /// # Errors
    /// `TopicNotFound`, `PartitionNotFound`, `InvalidArgument`, `LimitReached`, `NotCoordinator`, `NotEnoughReplicas`:
    /// nothing was committed. A storage failure, `LeadershipLost`: unknown.
    pub async fn commit_offsets(
        &self,
        group: &GroupId,
        offsets: Vec<OffsetCommit>,
    ) -> Result<(), EngineError> {
        self.check_running()?;
        if offsets.is_empty() {
            return Ok(());
        }
        self.check_coordinator(group)?;
        self.check_new_group(group)?;
        let changes = self.changes(group, offsets)?;
        self.write_offsets(group, changes).await
    }

    pub(super) fn changes(
        &self,
        group: &GroupId,
        offsets: Vec<OffsetCommit>,
    ) -> Result<Vec<Change>, EngineError> {
        let mut changes =
            offsets.into_iter().map(|commit| self.change(group, commit)).collect::<Result<Vec<_>, _>>()?;
        let passed = self.passed(&changes);
        changes.extend(passed);
        Ok(changes)
    }

    /// Single records that are settled and that the new offsets have passed: nothing is kept of them any more.
    fn passed(&self, changes: &[Change]) -> Vec<Change> {
        let book = self.groups.kept.map.read();
        let mut passed = Vec::new();
        for change in changes {
            let Change::Offset(at, Some(OffsetValue { offset: end, .. })) = change else { continue };
            let kept = book.deliveries(&at.group, at.topic, at.partition);
            let over = kept.filter(|(offset, kept)| offset < end && !kept.is_open());
            let key = |offset| DeliveryKey { at: at.clone(), offset };
            passed.extend(over.map(|(offset, _)| Change::Delivery(key(offset), None)));
        }
        passed
    }

    /// Commits what `to` means for each partition; no partitions: all of the topic. Returns what was committed.
    ///
    /// # Errors
    /// `GroupNotEmpty` while a member reads the topic; as [`Engine::commit_offsets`] and [`Engine::find_offset`].
    pub async fn reset_offsets(
        &self,
        group: &GroupId,
        topic: &TopicName,
        partitions: &[PartitionId],
        to: StartFrom,
    ) -> Result<Vec<CommittedOffset>, EngineError> {
        self.check_running()?;
        self.groups_known(group).await?;
        self.check_coordinator(group)?;
        // They would go on from where they are, and their next commit would take it back.
        self.check_no_members(group, topic)?;
        self.check_no_transaction(group)?;
        let count = self.topics.get(topic)?.view().count();
        let all: Vec<_> = (0..count).map(PartitionId).collect();
        let partitions = if partitions.is_empty() { &all } else { partitions };
        let mut commits = Vec::with_capacity(partitions.len());
        for partition in partitions {
            let offset = self.offset_anywhere(group, topic, *partition, to).await?;
            let (topic, metadata) = (topic.clone(), String::new());
            commits.push(OffsetCommit { topic, partition: *partition, offset, metadata });
        }
        let committed_at = self.clock.wall();
        self.forget_deliveries(group, topic, partitions).await?;
        self.commit_offsets(group, commits.clone()).await?;
        let committed = |commit: OffsetCommit| {
            let OffsetCommit { topic, partition, offset, metadata } = commit;
            CommittedOffset { topic, partition, offset, metadata, committed_at }
        };
        Ok(commits.into_iter().map(committed).collect())
    }

    /// Records that wait for their redelivery, or were answered for singly, are as all others again.
    async fn forget_deliveries(
        &self,
        group: &GroupId,
        topic: &TopicName,
        partitions: &[PartitionId],
    ) -> Result<(), EngineError> {
        let id = self.topics.get(topic)?.view().meta.id;
        let forgotten: Vec<Change> = {
            let book = self.groups.settled();
            let kept = partitions.iter().flat_map(|partition| {
                let at = OffsetKey { group: group.clone(), topic: id, partition: *partition };
                let kept = book.deliveries(group, id, *partition);
                kept.map(move |(offset, _)| DeliveryKey { at: at.clone(), offset })
            });
            kept.map(|key| Change::Delivery(key, None)).collect()
        };
        self.write_offsets(group, forgotten).await
    }

    /// Deletes the group's offsets (on that topic). A group with members stays.
    ///
    /// # Errors
    /// `GroupNotFound`, `GroupNotEmpty`, `TopicNotFound`, or a storage failure.
    pub async fn delete_group(&self, group: &GroupId, topic: Option<&TopicName>) -> Result<(), EngineError> {
        self.check_running()?;
        self.groups_known(group).await?;
        self.check_coordinator(group)?;
        self.check_empty(group, topic)?;
        self.check_no_transaction(group)?;
        let only = topic.map(|topic| self.topics.get(topic)).transpose()?.map(|topic| topic.view().meta.id);
        let deletions: Vec<Change> = {
            let book = self.groups.settled();
            let offsets = book.offsets(group);
            let offsets = offsets.ok_or_else(|| EngineError::GroupNotFound { group: group.clone() })?;
            let key = |topic, partition| OffsetKey { group: group.clone(), topic, partition };
            let offsets = offsets
                .filter(|(topic, ..)| only.is_none_or(|only| only == *topic))
                .map(|(topic, partition, _)| Change::Offset(key(topic, partition), None));
            let deliveries = book.all_deliveries(group).map(|(key, _)| key);
            let deliveries = deliveries.filter(|key| only.is_none_or(|only| only == key.at.topic));
            offsets.chain(deliveries.map(|key| Change::Delivery(key, None))).collect()
        };
        self.write_offsets(group, deletions).await?;
        if topic.is_none() { self.forget_membership(group).await } else { Ok(()) }
    }

    /// Deletes every group's offsets on a topic that is no more; on a cluster those that this node keeps.
    pub(crate) async fn drop_topic_offsets(&self, topic: TopicId) -> Result<(), EngineError> {
        let (keys, records) = {
            let book = self.groups.settled();
            (book.keys_of(|id| id == topic), book.deliveries_of(|id| id == topic))
        };
        self.delete_keys(keys, records).await
    }

    async fn delete_keys(&self, keys: Vec<OffsetKey>, records: Vec<DeliveryKey>) -> Result<(), EngineError> {
        let mut by_group: BTreeMap<GroupId, Vec<Change>> = BTreeMap::new();
        for key in keys {
            by_group.entry(key.group.clone()).or_default().push(Change::Offset(key, None));
        }
        for key in records {
            by_group.entry(key.at.group.clone()).or_default().push(Change::Delivery(key, None));
        }
        for (group, deletions) in by_group {
            self.write_offsets(&group, deletions).await?;
        }
        Ok(())
    }

    /// Replays `__consumer_offsets`, at start. Offsets of topics that are gone go too.
    pub(crate) async fn load_offsets(&self) -> Result<(), EngineError> {
        let name = offsets_topic();
        if self.topics.find(&name).is_none() {
            return Ok(());
        }
        let logs = self.adopt_offsets_logs();
        if self.is_member() {
            // Each is loaded once this node leads it.
            return Ok(());
        }
        let (book, unread) = read_alone(logs).await?;
        if let Some((_, error)) = unread.into_iter().next() {
            return Err(error);
        }
        let image = self.meta.image();
        let known: std::collections::HashSet<_> = image.topics.values().map(|topic| topic.id).collect();
        let gone = book.keys_of(|topic| !known.contains(&topic));
        let records = book.deliveries_of(|topic| !known.contains(&topic));
        *self.groups.kept.map.write() = book;
        self.delete_keys(gone, records).await
    }

    pub(super) async fn write_offsets(
        &self,
        group: &GroupId,
        changes: Vec<Change>,
    ) -> Result<(), EngineError> {
        let logs = self.offsets_logs().await?;
        let log = &logs[Groups::log_index(group, logs.len())];
        self.check_loaded(log, group)?;
        let mut changes = changes.into_iter().peekable();
        while changes.peek().is_some() {
            let chunk = changes.by_ref().take(MAX_CHANGES).collect();
            let appending = self.append_changes(log, group, chunk, None)?;
            self.appended(log, group, appending).await?;
        }
        log.settle(&self.groups.kept.map);
        self.groups.kept.clean_if_due(self, log).await;
        Ok(())
    }

    /// Appends the changes of a group as one batch; on a cluster in the term `only`, where it has to be that one.
    pub(super) fn append_changes(
        &self,
        log: &Arc<OffsetsLog>,
        group: &GroupId,
        changes: Vec<Change>,
        only: Option<LeaderEpoch>,
    ) -> Result<Appending, EngineError> {
        let appending = log.begin(&self.groups.kept.map, changes, only, self.clock.wall())?;
        appending.ok_or_else(|| not_coordinator(log.partition(), group))
    }

    /// Waits until it is durable. It is to be called right after the append, which goes on also if the caller goes away then.
    pub(super) async fn appended(
        &self,
        log: &Arc<OffsetsLog>,
        group: &GroupId,
        appending: Appending,
    ) -> Result<(), EngineError> {
        match log.appended(appending).await {
            Err(EngineError::NotLeader { .. }) if log.partition().is_replicated() => {
                Err(not_coordinator(log.partition(), group))
            }
            other => other,
        }
    }

    /// The logs of `__consumer_offsets`, which the first commit creates.
    pub(super) async fn offsets_logs(&self) -> Result<Arc<Vec<Arc<OffsetsLog>>>, EngineError> {
        let logs = self.adopt_offsets_logs();
        if !logs.is_empty() {
            return Ok(logs);
        }
        self.groups.kept.create(self, offsets_topic()).await?;
        Ok(self.adopt_offsets_logs())
    }

    fn change(&self, group: &GroupId, commit: OffsetCommit) -> Result<Change, EngineError> {
        let topic = self.topics.get(&commit.topic)?;
        topic.partition(commit.partition)?;
        if commit.metadata.len() > MAX_METADATA_BYTES {
            let reason =
                format!("has {} bytes, at most {MAX_METADATA_BYTES} are kept", commit.metadata.len());
            return Err(EngineError::InvalidArgument { field: "metadata", reason });
        }
        let topic_id = topic.view().meta.id;
        let key = OffsetKey { group: group.clone(), topic: topic_id, partition: commit.partition };
        let value = OffsetValue {
            offset: commit.offset,
            committed_at: self.clock.wall(),
            topic_name: commit.topic,
            metadata: commit.metadata,
        };
        Ok(Change::Offset(key, Some(value)))
    }

    pub(super) fn check_new_group(&self, group: &GroupId) -> Result<(), EngineError> {
        let limit = self.options.limits.groups;
        let book = self.groups.kept.map.read();
        if book.len() >= limit && !book.contains(group) {
            return Err(EngineError::LimitReached { what: "consumer groups", limit });
        }
        Ok(())
    }
}

pub(super) fn offsets_topic() -> TopicName {
    TopicName::internal(OFFSETS_TOPIC).expect("is a valid internal name")
}
