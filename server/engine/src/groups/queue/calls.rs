//! What readers say of single records, and which ones they get.

use std::time::Duration;

use flymq_types::{GroupId, Offset, PartitionId, Timestamp, TopicName};

use super::acquire::{Ask, Offered, WINDOW, acquire};
use super::state::{Act, Cause, Delivery, Fate, NotHeld, Phase, RetryPolicy, after};
use super::{DeadLetterOptions, RecordAt};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::groups::book::Book;
use crate::groups::coordinate::not_coordinator;
use crate::groups::member_calls::refused;
use crate::groups::membership::Group;
use crate::groups::record::{Change, DeliveryKey, OffsetKey, OffsetValue};
use crate::groups::{CommitAs, Groups};
use crate::task::to_the_end;
use crate::topic::DeadLetterPolicy;

/// The feature version of the cluster from which on its nodes keep single records of groups.
const DELIVERIES_FEATURE: u32 = 4;
/// Longest text of a failure that is kept, bytes.
pub(super) const MAX_ERROR_BYTES: usize = 1_024;

/// A record that its reader could not process.
#[derive(Debug, Clone)]
pub struct Nack {
    pub error: String,
    /// Who holds it; empty: a reader in order, which holds nothing.
    pub member: String,
    /// As a member of the group, which has to own the partition.
    pub membership: Option<CommitAs>,
    /// Everything before it is processed: the offset after it is committed in the same step.
    pub commit: bool,
    /// None: as the group, the topic or the broker is set.
    pub max_retries: Option<u32>,
    /// None: likewise.
    pub delay_ms: Option<u32>,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nacked {
    /// So often it has failed.
    pub attempts: u32,
    /// Until it is redelivered; none: it goes to the dead letters.
    pub wait: Option<Duration>,
}

/// Records that a reader holds now.
#[derive(Debug, Clone, Default)]
pub struct Acquired {
    /// Offset, and failures so far.
    pub records: Vec<(Offset, u32)>,
    /// When their locks end.
    pub locked_until: Timestamp,
    /// Until the next of the others is due.
    pub wake: Option<Duration>,
    /// Some have failed too often: they are to be moved.
    pub doomed: bool,
}

/// A partition in a group, and what its records are.
#[derive(Debug, Clone)]
pub(super) struct At {
    pub(super) key: OffsetKey,
    pub(super) topic: TopicName,
}

impl At {
    pub(super) fn change(&self, offset: Offset, kept: Option<Delivery>) -> Change {
        Change::Delivery(self.record(offset), kept)
    }

    pub(super) fn record(&self, offset: Offset) -> DeliveryKey {
        DeliveryKey { at: self.key.clone(), offset }
    }

    pub(super) fn commit(&self, offset: Offset, now: Timestamp) -> Change {
        let (topic_name, metadata) = (self.topic.clone(), String::new());
        Change::Offset(
            self.key.clone(),
            Some(OffsetValue { offset, committed_at: now, topic_name, metadata }),
        )
    }

    /// What is written where the record is over: nothing is kept of it once the committed offset has passed it.
    pub(super) fn over(&self, book: &Book, offset: Offset) -> Change {
        let passed = book.committed(&self.key).is_some_and(|committed| offset < committed);
        let settled =
            || Delivery { phase: Phase::Settled, ..Delivery::untouched(&self.topic, None, Timestamp(0)) };
        self.change(offset, (!passed).then(settled))
    }
}

impl Engine {
    /// What becomes of records that cannot be processed.
    pub fn dead_letters(&self) -> &DeadLetterOptions {
        &self.options.dead_letters
    }

    /// Refuses a group that another node keeps.
    ///
    /// # Errors
    /// `NotCoordinator`.
    pub fn check_group(&self, group: &GroupId) -> Result<(), EngineError> {
        self.check_coordinator(group)
    }

    /// The policy in force for records of the topic in the group: the group's settings before the topic's, and those before the
    /// broker's.
    pub fn retry_policy(&self, group: &GroupId, topic: &TopicName) -> RetryPolicy {
        self.policy_of(group, topic).resolve(&self.options.dead_letters)
    }

    fn policy_of(&self, group: &GroupId, topic: &TopicName) -> DeadLetterPolicy {
        let open = self.topics.find(topic);
        let view = open.as_ref().map(|open| open.view());
        let config = view.as_ref().and_then(|view| view.meta.config.dead_letters.as_deref());
        config.map_or_else(DeadLetterPolicy::default, |config| config.of(group))
    }

    /// Whether records of the topic may go to the dead letters.
    pub fn has_dead_letters(&self, topic: &TopicName) -> bool {
        let broker = &self.options.dead_letters;
        let open = self.topics.find(topic);
        let view = open.as_ref().map(|open| open.view());
        let config = view.as_ref().and_then(|view| view.meta.config.dead_letters.as_deref());
        config.map_or(broker.enabled, |config| config.is_enabled(broker))
    }

    /// The name of the topic that its dead letters go to; it may be too long for one.
    pub fn dead_letter_topic(&self, topic: &TopicName) -> String {
        let open = self.topics.find(topic);
        let view = open.as_ref().map(|open| open.view());
        let config = view.as_ref().and_then(|view| view.meta.config.dead_letters.as_deref());
        self.options.dead_letters.topic_of(topic, config)
    }

    /// Where a queue reader of the group goes on with new records; none: nobody has begun.
    ///
    /// # Errors
    /// `TopicNotFound`, `NotCoordinator`.
    pub fn next_to_acquire(
        &self,
        group: &GroupId,
        topic: &TopicName,
        partition: PartitionId,
    ) -> Result<Option<Offset>, EngineError> {
        self.check_coordinator(group)?;
        let id = self.topics.get(topic)?.view().meta.id;
        Ok(self.groups.offset(group, id, partition))
    }

    /// The record failed: it waits for its redelivery, or goes to the dead letters. Durable when this returns. `key`: the hash of
    /// the record's key.
    ///
    /// # Errors
    /// `RecordNotHeld`, `LimitReached`, those of a commit by a member, `NotCoordinator`: nothing was done. Or why it could not be written.
    pub async fn nack(&self, at: &RecordAt, key: Option<u32>, nack: Nack) -> Result<Nacked, EngineError> {
        let mut policy = self.retry_policy(&at.group, &at.topic);
        policy.max_retries = policy.max_retries.map(|most| nack.max_retries.unwrap_or(most));
        if let Some(delay_ms) = nack.delay_ms {
            policy = RetryPolicy { delay_ms, max_delay_ms: policy.max_delay_ms.max(delay_ms), ..policy };
        }
        let act = Act::Fail { policy, error: short(&nack.error).into() };
        let Nack { member, membership, commit, .. } = nack;
        // Who names itself has acquired the record, or is a member of the group.
        let unheld = member.is_empty() || membership.is_some();
        let record = at.clone();
        let nacked = self.change_deliveries(
            (&at.group, &at.topic, at.partition),
            membership,
            move |book, place, now| {
                let offset = record.offset;
                let mut changes = Vec::new();
                let committed = book.committed(&place.key);
                // Its answer was lost, and it is asked again: it counts once.
                let again = commit
                    && committed.is_some_and(|committed| committed > offset)
                    && book.delivery(&place.record(offset)).is_some_and(Delivery::waits);
                let changed = match again {
                    true => None,
                    false => act_on(book, place, (offset, key), (&member, unheld), &act, now)?,
                };
                let kept = match &changed {
                    Some(Change::Delivery(_, Some(kept))) => Some(kept),
                    _ => book.delivery(&place.record(offset)),
                };
                let told = kept.map_or(Nacked { attempts: 0, wait: None }, |kept| Nacked {
                    attempts: kept.attempts,
                    wait: wait_of(kept, now),
                });
                changes.extend(changed);
                if commit && committed.is_none_or(|committed| committed <= offset) {
                    changes.push(place.commit(offset.plus(1), now));
                }
                Ok((changes, told))
            },
        );
        let nacked = nacked.await?;
        metrics::counter!("flymq_record_failures_total", "how" => "nack").increment(1);
        Ok(nacked)
    }

    /// The reader's answer for all of these records, or for none. Whether some of them go to the dead letters now.
    ///
    /// # Errors
    /// As [`Engine::nack`].
    pub async fn answer(
        &self,
        (group, topic, partition): (&GroupId, &TopicName, PartitionId),
        offsets: Vec<Offset>,
        act: Act,
        member: String,
    ) -> Result<bool, EngineError> {
        let enabled = self.policy_of(group, topic).is_enabled(&self.options.dead_letters);
        let act = match act {
            // There is nowhere to go.
            Act::Reject { .. } if !enabled => Act::Accept,
            Act::Reject { error } => Act::Reject { error: short(&error).into() },
            other => other,
        };
        self.change_deliveries((group, topic, partition), None, move |book, place, now| {
            let mut changes = Vec::with_capacity(offsets.len());
            for offset in offsets {
                changes.extend(act_on(book, place, (offset, None), (&member, member.is_empty()), &act, now)?);
            }
            let doomed = changes.iter().any(is_doomed);
            Ok((changes, doomed))
        })
        .await
    }

    /// Hands out records to a reader: those that are due, and of what is offered. They are its own, durably, when this returns.
    ///
    /// # Errors
    /// `TopicNotFound`, `PartitionNotFound`, `NotCoordinator`, or why it could not be written.
    pub async fn acquire(
        &self,
        at: (&GroupId, &TopicName, PartitionId),
        offered: Offered,
        ask: Ask,
    ) -> Result<Acquired, EngineError> {
        let acquired = self.change_deliveries(at, None, move |book, place, now| {
            let OffsetKey { group, topic: id, partition } = &place.key;
            let kept = book.deliveries(group, *id, *partition).map(|(offset, kept)| (offset.get(), kept));
            let next = book.offset(group, *id, *partition).map_or(offered.from, Offset::get);
            let taken = acquire(&place.topic, kept, next, &offered, &ask, now);
            let mut changes: Vec<_> =
                taken.changes.into_iter().map(|(offset, kept)| place.change(Offset(offset), kept)).collect();
            changes.extend(taken.next.map(|next| place.commit(Offset(next), now)));
            let doomed = changes.iter().any(is_doomed);
            let wake = taken.wake.map(|at| millis(at.0.saturating_sub(now.0)));
            let records =
                taken.records.into_iter().map(|(offset, failed)| (Offset(offset), failed)).collect();
            let locked_until = after(now, ask.lock);
            Ok((changes, (taken.ended, Acquired { records, locked_until, wake, doomed })))
        });
        let (ended, acquired) = acquired.await?;
        count_acquired(ended, &acquired);
        Ok(acquired)
    }

    /// Sees to records whose lock has ended without an answer, as the next call of a reader would, and hands out none.
    ///
    /// # Errors
    /// As [`Engine::acquire`].
    pub async fn end_locks(&self, at: (&GroupId, &TopicName, PartitionId)) -> Result<(), EngineError> {
        let policy = self.retry_policy(at.0, at.1);
        let ask = Ask { member: "".into(), max: 0, lock: Duration::ZERO, ordered: false, policy };
        self.acquire(at, Offered::default(), ask).await.map(drop)
    }

    /// Changes single records of a partition in a group, one call after the other; goes on to its end also if the caller goes
    /// away.
    pub(super) async fn change_deliveries<T: Send + 'static>(
        &self,
        (group, topic, partition): (&GroupId, &TopicName, PartitionId),
        membership: Option<CommitAs>,
        event: impl FnOnce(&Book, &At, Timestamp) -> Result<(Vec<Change>, T), EngineError> + Send + 'static,
    ) -> Result<T, EngineError> {
        self.check_deliveries()?;
        self.check_coordinator(group)?;
        self.check_new_group(group)?;
        let open = self.topics.get(topic)?;
        open.partition(partition)?;
        if topic.is_internal() {
            return Err(EngineError::InternalTopic { topic: topic.clone() });
        }
        let key = OffsetKey { group: group.clone(), topic: open.view().meta.id, partition };
        let at = At { key, topic: topic.clone() };
        let engine = self.shared()?;
        to_the_end(async move {
            let _turn = engine.groups.delivery_turns.take(&at.key).await;
            let group = &at.key.group;
            let logs = engine.offsets_logs().await?;
            let log = &logs[Groups::log_index(group, logs.len())];
            engine.check_loaded(log, group)?;
            let only = log.term();
            let (changes, told) = {
                let book = engine.groups.settled();
                event(&book, &at, engine.steady.now())?
            };
            if changes.is_empty() {
                return Ok(told);
            }
            match membership {
                Some(member) => {
                    let (log, live) = engine.attended(group, &member.member_id)?;
                    let place = (at.topic.clone(), at.key.partition);
                    let may = |state: &Group| {
                        let checked = state.check_commit(&member.member_id, member.generation, [&place]);
                        checked.map_err(|refusal| refused(group, &member.member_id, refusal))
                    };
                    engine.append_if((&log, &live), group, changes, may).await?;
                }
                None if log.partition().is_replicated() && only.is_none() => {
                    return Err(not_coordinator(log.partition(), group));
                }
                None => {
                    let appending = engine.append_changes(log, group, changes, only)?;
                    engine.appended(log, group, appending).await?;
                }
            }
            log.settle(&engine.groups.kept.map);
            engine.groups.kept.clean_if_due(&engine, log).await;
            Ok(told)
        })
        .await
    }

    /// Whether every node of the cluster can keep single records of groups.
    pub(super) fn check_deliveries(&self) -> Result<(), EngineError> {
        self.check_running()?;
        if self.is_member() && self.metadata().cluster.features < DELIVERIES_FEATURE {
            let (feature, needed) = ("redelivery and queues", DELIVERIES_FEATURE);
            return Err(EngineError::FeatureOff { feature, needed });
        }
        Ok(())
    }
}

fn count_acquired(ended: u32, acquired: &Acquired) {
    let again = acquired.records.iter().filter(|(_, failed)| *failed > 0).count();
    metrics::counter!("flymq_records_acquired_total").increment(acquired.records.len() as u64);
    metrics::counter!("flymq_records_redelivered_total").increment(again as u64);
    if ended > 0 {
        metrics::counter!("flymq_record_failures_total", "how" => "lock_ended").increment(ended.into());
    }
}

/// What the act makes of a record: none where nothing changes. `unheld`: the caller may answer for a record that nobody holds.
fn act_on(
    book: &Book,
    place: &At,
    (offset, key): (Offset, Option<u32>),
    (by, unheld): (&str, bool),
    act: &Act,
    now: Timestamp,
) -> Result<Option<Change>, EngineError> {
    let OffsetKey { group, topic, partition } = &place.key;
    let passed = book.committed(&place.key).is_some_and(|committed| offset < committed);
    let fate = match book.delivery(&place.record(offset)) {
        // One whose lock has ended may still say that it is done: nobody else has it.
        Some(known) if !unheld && known.waits() && *act != Act::Accept => Err(NotHeld::Nobody),
        Some(known) => known.act(by, act, now),
        None if !unheld && !passed && !cfg!(mutant = "queue_strangers_answer_taken") => Err(NotHeld::Nobody),
        None => {
            if book.deliveries(group, *topic, *partition).take(2 * WINDOW).count() >= 2 * WINDOW {
                return Err(EngineError::LimitReached { what: "open records of a group", limit: 2 * WINDOW });
            }
            Delivery::first_act((&place.topic, key), passed, act, now)
        }
    };
    let not_held = |why: NotHeld| EngineError::RecordNotHeld {
        record: Box::new(RecordAt {
            group: group.clone(),
            topic: place.topic.clone(),
            partition: *partition,
            offset,
        }),
        why,
    };
    Ok(match fate.map_err(not_held)? {
        Fate::Unchanged => None,
        Fate::Kept(kept) => Some(place.change(offset, Some(kept))),
        Fate::Over => Some(place.over(book, offset)),
    })
}

fn is_doomed(change: &Change) -> bool {
    matches!(change, Change::Delivery(_, Some(Delivery { phase: Phase::Doomed { .. }, cause, .. })) if *cause != Cause::Replay)
}

fn wait_of(kept: &Delivery, now: Timestamp) -> Option<Duration> {
    match kept.phase {
        Phase::Waiting { from } => Some(millis(from.0.saturating_sub(now.0))),
        Phase::Locked { .. } | Phase::Doomed { .. } | Phase::Settled => None,
    }
}

fn millis(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

/// The beginning of a text, at most as long as is kept.
fn short(text: &str) -> &str {
    let mut end = text.len().min(MAX_ERROR_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
