//! Records on their way to the dead letters, and back: marked as such inside the transaction that writes them elsewhere, so that
//! its end is theirs, too.

use std::collections::BTreeSet;

use flymq_types::{GroupId, Marker, Offset, Outcome, PartitionId, Timestamp, TopicName};

use super::calls::At;
use super::state::{Cause, Delivery, Fate, Phase};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::groups::Groups;
use crate::groups::book::Book;
use crate::groups::record::{Change, DeliveryKey, OffsetKey};
use crate::task::to_the_end;
use crate::transactions::{Place, PlaceCall, TransactionHandle, What};

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// To the dead letters of its topic.
    Bury,
    /// From there to where it came from.
    Replay,
}

/// A record that is to be moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moving {
    pub topic: TopicName,
    pub partition: PartitionId,
    pub offset: Offset,
    pub direction: Direction,
    pub attempts: u32,
    pub cause: Cause,
    pub error: String,
    pub first_failed: Timestamp,
    pub last_failed: Timestamp,
}

impl Moving {
    /// A dead letter that is to go back.
    pub fn replay(topic: TopicName, partition: PartitionId, offset: Offset) -> Self {
        Self {
            topic,
            partition,
            offset,
            direction: Direction::Replay,
            attempts: 0,
            cause: Cause::Replay,
            error: String::new(),
            first_failed: Timestamp(0),
            last_failed: Timestamp(0),
        }
    }

    fn of(key: &DeliveryKey, kept: &Delivery) -> Self {
        Self {
            topic: kept.topic.clone(),
            partition: key.at.partition,
            offset: key.offset,
            direction: if kept.cause == Cause::Replay { Direction::Replay } else { Direction::Bury },
            attempts: kept.attempts,
            cause: kept.cause,
            error: kept.error.to_string(),
            first_failed: kept.first_failed,
            last_failed: kept.last_failed,
        }
    }
}

impl Engine {
    /// The groups that this node keeps with records that are to be moved, or that a transaction moves.
    pub fn groups_with_doomed(&self) -> Vec<GroupId> {
        let book = self.groups.settled();
        book.all_groups().filter(|group| has_doomed(&book, group)).cloned().collect()
    }

    /// Whether records of the group are to be moved, or a transaction moves some.
    ///
    /// # Errors
    /// `NotCoordinator`.
    pub fn has_doomed(&self, group: &GroupId) -> Result<bool, EngineError> {
        self.check_coordinator(group)?;
        Ok(has_doomed(&self.groups.settled(), group))
    }

    /// Whether a transaction moves records of the group.
    ///
    /// # Errors
    /// `NotCoordinator`.
    pub fn has_moving(&self, group: &GroupId) -> Result<bool, EngineError> {
        self.check_coordinator(group)?;
        let book = self.groups.settled();
        let mut all = book.all_deliveries(group);
        Ok(all.any(|(_, kept)| matches!(kept.phase, Phase::Doomed { by: Some(_) })))
    }

    /// Records of the group that are to be moved and that no transaction moves, `most` at most.
    ///
    /// # Errors
    /// `NotCoordinator`.
    pub fn doomed(&self, group: &GroupId, most: usize) -> Result<Vec<Moving>, EngineError> {
        self.doomed_among(group, most, |_, _, _| true)
    }

    /// As [`Engine::doomed`], of those that `among` says yes to.
    ///
    /// # Errors
    /// `NotCoordinator`.
    pub fn doomed_among(
        &self,
        group: &GroupId,
        most: usize,
        among: impl Fn(&TopicName, PartitionId, Offset) -> bool,
    ) -> Result<Vec<Moving>, EngineError> {
        self.check_coordinator(group)?;
        let book = self.groups.settled();
        let free = book
            .all_deliveries(group)
            .filter(|(key, kept)| is_free(kept) && among(&kept.topic, key.at.partition, key.offset));
        Ok(free.take(most).map(|(key, kept)| Moving::of(&key, kept)).collect())
    }

    /// Partitions with records whose lock has ended without an answer, and that are to be moved for it: nobody has asked for records
    /// of theirs since.
    pub fn ended_locks(&self) -> Vec<(GroupId, TopicName, PartitionId)> {
        let now = self.steady.now();
        let book = self.groups.settled();
        let mut found = BTreeSet::new();
        for group in book.all_groups() {
            for (key, kept) in book.all_deliveries(group) {
                let over = matches!(kept.phase, Phase::Locked { until, .. } if until <= now);
                if over && kept.failed(&self.retry_policy(group, &kept.topic), "".into(), now).is_doomed() {
                    found.insert((group.clone(), kept.topic.clone(), key.at.partition));
                }
            }
        }
        found.into_iter().collect()
    }

    /// Offsets of a partition that are kept as single records of the group: of dead letters, those that have been replayed, or are
    /// just now.
    ///
    /// # Errors
    /// `TopicNotFound`, `NotCoordinator`.
    pub fn kept_records(
        &self,
        group: &GroupId,
        topic: &TopicName,
        partition: PartitionId,
    ) -> Result<BTreeSet<Offset>, EngineError> {
        self.check_coordinator(group)?;
        let id = self.topics.get(topic)?.view().meta.id;
        let book = self.groups.settled();
        let kept = book.deliveries(group, id, partition);
        Ok(kept.map(|(offset, _)| offset).collect())
    }

    /// Makes the end of these records, each in its group, a part of the transaction. Those that it could be done for: another
    /// one moves, or has moved, the others.
    ///
    /// # Errors
    /// Those of [`Engine::commit_offsets_in_transaction`].
    pub async fn mark_moving(
        &self,
        transaction: &TransactionHandle,
        group: &GroupId,
        records: Vec<Moving>,
    ) -> Result<Vec<Moving>, EngineError> {
        self.check_deliveries()?;
        self.check_coordinator(group)?;
        let TransactionHandle { id, producer_id, epoch } = transaction.clone();
        let (place, what) = (Place::Group(group.clone()), What::Add);
        self.send_to_place(PlaceCall { id, producer_id, epoch, place, what }).await?;
        let (engine, group, transaction) = (self.shared()?, group.clone(), transaction.clone());
        to_the_end(async move {
            let _turn = engine.groups.pending_turns.take(&(group.clone(), producer_id)).await;
            let logs = engine.offsets_logs().await?;
            let log = &logs[Groups::log_index(&group, logs.len())];
            engine.check_loaded(log, &group)?;
            let only = log.term();
            let (changes, marked) = engine.marks(&transaction, &group, records)?;
            if !changes.is_empty() {
                engine.write_pending((log, only), &group, changes).await?;
                log.settle(&engine.groups.kept.map);
            }
            Ok(marked)
        })
        .await
    }

    fn marks(
        &self,
        transaction: &TransactionHandle,
        group: &GroupId,
        records: Vec<Moving>,
    ) -> Result<(Vec<Change>, Vec<Moving>), EngineError> {
        let TransactionHandle { id, producer_id, epoch } = transaction;
        let book = self.groups.settled();
        let over = book.pending(group, *producer_id).filter(|known| known.epoch > *epoch);
        if let Some(known) = over {
            let (id, epoch, current) = (id.clone(), *epoch, known.epoch);
            return Err(EngineError::TransactionFenced { id, epoch, current });
        }
        let now = self.steady.now();
        let (mut changes, mut marked) = (Vec::new(), Vec::new());
        for record in records {
            let Some(open) = self.topics.find(&record.topic) else { continue };
            let at =
                OffsetKey { group: group.clone(), topic: open.view().meta.id, partition: record.partition };
            let key = DeliveryKey { at, offset: record.offset };
            let kept = match (book.delivery(&key), record.direction) {
                (Some(kept), Direction::Bury) if is_free(kept) => kept.clone(),
                (None, Direction::Replay) => {
                    let letter = Delivery::untouched(&record.topic, None, now);
                    Delivery { cause: Cause::Replay, ..letter }
                }
                _ => continue,
            };
            let phase = Phase::Doomed { by: Some((*producer_id, *epoch)) };
            changes.push(Change::Delivery(key, Some(Delivery { phase, ..kept })));
            marked.push(record);
        }
        Ok((changes, marked))
    }

    /// The record is no more: deleted, or expired.
    ///
    /// # Errors
    /// `NotCoordinator`, or why it could not be written.
    pub async fn forget_record(&self, group: &GroupId, record: &Moving) -> Result<(), EngineError> {
        let offset = record.offset;
        self.change_deliveries((group, &record.topic, record.partition), None, move |book, at, _now| {
            Ok((vec![at.over(book, offset)], ()))
        })
        .await
    }

    /// Everything of the partition below `upto` is over in the group.
    ///
    /// # Errors
    /// `NotCoordinator`, or why it could not be written.
    pub async fn pass_records(
        &self,
        group: &GroupId,
        topic: &TopicName,
        partition: PartitionId,
        upto: Offset,
    ) -> Result<(), EngineError> {
        self.change_deliveries((group, topic, partition), None, move |book, at, now| {
            let OffsetKey { group, topic, partition } = &at.key;
            let kept = book.deliveries(group, *topic, *partition);
            let settled = kept.filter(|(offset, kept)| *offset < upto && !kept.is_open());
            let mut changes: Vec<_> =
                settled.take(5_000).map(|(offset, _)| at.change(offset, None)).collect();
            if book.committed(&at.key).is_none_or(|committed| committed < upto) {
                changes.push(at.commit(upto, now));
            }
            Ok((changes, ()))
        })
        .await
    }
}

fn has_doomed(book: &Book, group: &GroupId) -> bool {
    book.all_deliveries(group).any(|(_, kept)| matches!(kept.phase, Phase::Doomed { .. }))
}

/// To be moved, and no transaction moves it.
fn is_free(kept: &Delivery) -> bool {
    kept.phase == Phase::Doomed { by: None }
}

/// What the end of a transaction makes of the records that it moved.
pub(in crate::groups) fn end_of_moves(book: &Book, group: &GroupId, marker: &Marker) -> Vec<Change> {
    let by_it = |kept: &Delivery| match kept.phase {
        Phase::Doomed { by: Some((producer, epoch)) } => {
            producer == marker.producer_id && epoch < marker.producer_epoch
        }
        _ => false,
    };
    let moved = book.all_deliveries(group).filter(|(_, kept)| by_it(kept));
    let end = |(DeliveryKey { at: key, offset }, kept): (DeliveryKey, &Delivery)| {
        let at = At { key, topic: kept.topic.clone() };
        match kept.moved(marker.outcome == Outcome::Commit) {
            Fate::Kept(kept) => at.change(offset, Some(kept)),
            Fate::Over if marker.outcome == Outcome::Abort => at.change(offset, None),
            Fate::Over | Fate::Unchanged => at.over(book, offset),
        }
    };
    moved.map(end).collect()
}
