//! Offsets that a transaction commits: kept beside the committed ones until its marker says whether they count.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use flymq_types::{GroupId, LeaderEpoch, Marker, Outcome, Timestamp};

use super::coordinate::not_coordinator;
use super::member_calls::refused;
use super::membership::Group;
use super::queue::end_of_moves;
use super::record::{Change, OffsetKey, Pending};
use super::{CommitAs, Groups, OffsetCommit, OffsetsLog};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::transactions::{Place, PlaceCall, TransactionHandle, What};

/// Offsets that one transaction may commit in one group: all of them are applied by one batch.
const MAX_PENDING: usize = 4_096;
/// And bytes of them, about.
const MAX_PENDING_BYTES: usize = 512 << 10;
/// The end of a transaction is remembered in its groups for so long, ms: no call of it arrives later than that.
const FORGET_MS: i64 = 24 * 3_600 * 1_000;

impl Engine {
    /// Commits offsets as part of a transaction: they count from its commit on, or never. A member's are checked, as for any
    /// commit, when they are written.
    ///
    /// # Errors
    /// As [`Engine::commit_offsets`] and [`Engine::commit_as_member`], and `TransactionFenced`, `TransactionState`, `TransactionNotFound`.
    pub async fn commit_offsets_in_transaction(
        &self,
        transaction: &TransactionHandle,
        group: &GroupId,
        member: Option<&CommitAs>,
        offsets: Vec<OffsetCommit>,
    ) -> Result<(), EngineError> {
        self.check_running()?;
        self.check_coordinator(group)?;
        self.check_new_group(group)?;
        let places: BTreeSet<_> =
            offsets.iter().map(|commit| (commit.topic.clone(), commit.partition)).collect();
        let changes = self.changes(group, offsets)?;
        if cfg!(mutant = "offsets_at_their_record") {
            return self.write_offsets(group, changes).await;
        }
        let may = |state: &Group| match member {
            Some(member) => {
                let checked = state.check_commit(&member.member_id, member.generation, &places);
                checked.map_err(|refusal| refused(group, &member.member_id, refusal))
            }
            None => Ok(()),
        };
        let logs = self.offsets_logs().await?;
        let log = &logs[Groups::log_index(group, logs.len())];
        self.check_loaded(log, group)?;
        let TransactionHandle { id, producer_id, epoch } = transaction.clone();
        // Nothing is written here that the end of the transaction would not be told to.
        let place = Place::Group(group.clone());
        self.send_to_place(PlaceCall { id, producer_id, epoch, place, what: What::Add }).await?;
        if changes.is_empty() {
            return Ok(());
        }
        let _turn = self.groups.pending_turns.take(&(group.clone(), producer_id)).await;
        let only = log.term();
        let pending = self.with_pending(transaction, group, changes)?;
        let change = vec![Change::Pending(group.clone(), producer_id, Some(pending))];
        match member {
            Some(member) => {
                let (log, live) = self.attended(group, &member.member_id)?;
                self.append_if((&log, &live), group, change, may).await?;
            }
            None => self.write_pending((log, only), group, change).await?,
        }
        log.settle(&self.groups.kept.map);
        self.groups.kept.clean_if_due(self, log).await;
        Ok(())
    }

    /// What the transaction has in the group, with these offsets.
    fn with_pending(
        &self,
        transaction: &TransactionHandle,
        group: &GroupId,
        changes: Vec<Change>,
    ) -> Result<Pending, EngineError> {
        let TransactionHandle { id, producer_id, epoch } = transaction;
        let book = self.groups.settled();
        let known = book.pending(group, *producer_id);
        if let Some(known) = known.filter(|known| known.epoch > *epoch) {
            let (id, epoch, current) = (id.clone(), *epoch, known.epoch);
            return Err(EngineError::TransactionFenced { id, epoch, current });
        }
        let before = known.filter(|known| known.epoch == *epoch).into_iter().flat_map(|known| &known.offsets);
        let mut offsets: BTreeMap<_, _> =
            before.map(|(topic, partition, value)| ((*topic, *partition), value.clone())).collect();
        drop(book);
        for change in changes {
            if let Change::Offset(key, Some(value)) = change {
                offsets.insert((key.topic, key.partition), value);
            }
        }
        let bytes: usize =
            offsets.values().map(|value| 64 + value.metadata.len() + value.topic_name.as_str().len()).sum();
        if offsets.len() > MAX_PENDING || bytes > MAX_PENDING_BYTES {
            return Err(EngineError::LimitReached {
                what: "offsets of a transaction in a group",
                limit: MAX_PENDING,
            });
        }
        let offsets =
            offsets.into_iter().map(|((topic, partition), value)| (topic, partition, value)).collect();
        Ok(Pending { epoch: *epoch, written_at: self.clock.wall(), offsets })
    }

    /// The transaction is over: its offsets in the group count from now on, or are forgotten. Twice is as good as once.
    ///
    /// # Errors
    /// `NotCoordinator`, or why it could not be written.
    pub(crate) async fn end_offsets(&self, group: &GroupId, marker: &Marker) -> Result<(), EngineError> {
        self.check_running()?;
        self.check_coordinator(group)?;
        let logs = self.offsets_logs().await?;
        let log = &logs[Groups::log_index(group, logs.len())];
        self.check_loaded(log, group)?;
        let _turn = self.groups.pending_turns.take(&(group.clone(), marker.producer_id)).await;
        let only = log.term();
        let changes = self.end_changes(group, marker);
        if changes.is_empty() {
            return Ok(());
        }
        self.write_pending((log, only), group, changes).await?;
        log.settle(&self.groups.kept.map);
        self.groups.kept.clean_if_due(self, log).await;
        Ok(())
    }

    /// What the marker comes to; nothing where it is known already.
    fn end_changes(&self, group: &GroupId, marker: &Marker) -> Vec<Change> {
        let now = self.clock.wall();
        let book = self.groups.settled();
        let known = book.pending(group, marker.producer_id);
        // With the marker's own epoch it is either this marker, or offsets of the transaction that follows it.
        if known.is_some_and(|known| known.epoch >= marker.producer_epoch) {
            return Vec::new();
        }
        let offsets = known.filter(|_| marker.outcome == Outcome::Commit).into_iter();
        let mut changes: Vec<Change> = offsets
            .flat_map(|known| &known.offsets)
            .map(|(topic, partition, value)| {
                let key = OffsetKey { group: group.clone(), topic: *topic, partition: *partition };
                Change::Offset(key, Some(value.clone()))
            })
            .collect();
        changes.extend(end_of_moves(&book, group, marker));
        // Whatever of the transaction arrives after this is refused.
        let over = Pending { epoch: marker.producer_epoch, written_at: now, offsets: Vec::new() };
        changes.push(Change::Pending(group.clone(), marker.producer_id, Some(over)));
        let old = |pending: &Pending| pending.offsets.is_empty() && is_old(pending.written_at, now);
        let old = book
            .all_pending(group)
            .filter(|(producer, pending)| *producer != marker.producer_id && old(pending));
        changes.extend(old.take(1_000).map(|(producer, _)| Change::Pending(group.clone(), producer, None)));
        changes
    }

    /// In the term whose map said what is to be written.
    pub(super) async fn write_pending(
        &self,
        (log, only): (&Arc<OffsetsLog>, Option<LeaderEpoch>),
        group: &GroupId,
        changes: Vec<Change>,
    ) -> Result<(), EngineError> {
        if log.partition().is_replicated() && only.is_none() {
            return Err(not_coordinator(log.partition(), group));
        }
        let appending = self.append_changes(log, group, changes, only)?;
        self.appended(log, group, appending).await
    }
}

fn is_old(written: Timestamp, now: Timestamp) -> bool {
    now.as_millis().saturating_sub(written.as_millis()) > FORGET_MS
}
