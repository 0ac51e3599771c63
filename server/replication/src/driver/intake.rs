//! What comes to a replica: batches of producers, frames of peers, news of the disk.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use flymq_engine::ReplicaFailure;
use flymq_storage::{Appended, StorageError};
use flymq_types::{Acks, LeaderEpoch, RecordBatch};

use super::mail::{AppendReply, Produce, SentRange};
use super::perform::{Waiting, failure};
use super::proposer::Wish;
use super::range::{check, view_of};
use super::runner::Runner;
use super::set::range_bytes;
use crate::replica::{BrokerId, Frame, Millis, ReplicaError, ReplicaEvent, ResignReason};
use crate::task::in_place;

/// A replica whose log refused something takes no batches for so long.
const PAUSE: Millis = 250;

/// A batch that may be appended.
struct Taken {
    acks: Acks,
    reply: AppendReply,
}

impl Runner {
    /// Appends batches of producers in their order, with one write: first to the log, which may refuse them, then in the
    /// eyes of the state machine.
    pub(super) fn append(&mut self, produces: &mut Vec<Produce>) {
        if produces.is_empty() {
            return;
        }
        self.refresh();
        let now = self.set.now();
        let (mut batches, mut taken) = (Vec::new(), Vec::new());
        let mut epoch = LeaderEpoch::default();
        let holds = self.holds_back();
        let waited = if holds { Vec::new() } else { self.held.take() };
        for produce in waited.into_iter().chain(produces.drain(..)) {
            if holds && self.waits(now, &produce) {
                self.held.push(produce);
                continue;
            }
            let Produce { batch, acks, reply } = produce;
            match self.may_append(now, &batch, acks) {
                Ok(current) => {
                    epoch = current;
                    batches.push(batch);
                    taken.push(Taken { acks, reply });
                }
                Err(failure) => drop(reply.send(Err(failure))),
            }
        }
        let Some(log) = self.log.clone().filter(|_| !batches.is_empty()) else { return };
        let wall = self.set.clock.wall();
        let write = || log.append_many(&batches, epoch, wall);
        // The first one makes files.
        let first = log.start_offset() == log.end_offset();
        let written = if first { in_place(write) } else { write() };
        for ((batch, taken), appended) in batches.iter().zip(taken).zip(written) {
            match appended {
                Ok(appended) => self.appended(now, batch, taken, appended),
                Err(error) => drop(taken.reply.send(Err(ReplicaFailure::Storage(error)))),
            }
        }
        if let Some(error) = log.failure() {
            self.fail(&error);
        }
    }

    /// Appends what has waited for the end of a hand-over, or says who leads now.
    pub(super) fn release(&mut self) {
        if !self.held.is_empty() && !self.holds_back() {
            let mut waited = self.held.take();
            self.append(&mut waited);
        }
    }

    /// Whether the hand-over is all that is in its way.
    fn waits(&self, now: Millis, Produce { batch, acks, .. }: &Produce) -> bool {
        self.replica.may_append(now, batch.record_count(), *acks) == Err(ReplicaError::HandingOver)
    }

    /// Whether batches wait for the end of a hand-over.
    fn holds_back(&self) -> bool {
        self.failed().is_none() && self.replica.holds_back()
    }

    fn may_append(
        &self,
        now: Millis,
        batch: &RecordBatch,
        acks: Acks,
    ) -> Result<LeaderEpoch, ReplicaFailure> {
        if let Some(error) = self.failed() {
            return Err(ReplicaFailure::Storage(error.clone()));
        }
        self.replica.may_append(now, batch.record_count(), acks).map_err(failure)
    }

    /// `now`: when it was found that it may be appended. The session may be over since, but the batch is in the log.
    fn appended(&mut self, now: Millis, batch: &RecordBatch, taken: Taken, appended: Appended) {
        let Taken { acks, reply } = taken;
        let acks = if cfg!(mutant = "driver_answers_all_at_append") { Acks::Leader } else { acks };
        if appended.duplicate {
            return self.answer_again(now, (acks, reply), appended);
        }
        self.appended_at = Some(appended.base_offset);
        let token = self.wait(Waiting::Append { reply, appended });
        let records = batch.record_count();
        self.unsynced += batch.size();
        // The bytes are in the log already.
        self.step_at(now, ReplicaEvent::Produce { batch: Bytes::new(), records, acks, token });
        self.appended_at = None;
        let reader_waits = || self.listener.upgrade().is_some_and(|listener| listener.reader_waits());
        self.wants_sync |= acks == Acks::All || reader_waits();
    }

    /// The batch is in the log already: its producer waits for what it waited for the first time.
    fn answer_again(&mut self, now: Millis, (acks, reply): (Acks, AppendReply), appended: Appended) {
        match acks {
            Acks::None | Acks::Leader => drop(reply.send(Ok(appended))),
            Acks::All => {
                let token = self.wait(Waiting::Append { reply, appended });
                let (base, end) = (appended.base_offset, appended.last_offset.plus(1));
                self.step_at(now, ReplicaEvent::Await { base, end, token });
                self.wants_sync = true;
            }
        }
    }

    /// A frame of a peer; batches in it are checked first.
    pub(super) fn frame(&mut self, from: BrokerId, frame: Frame) {
        let bytes = range_bytes(&frame);
        self.shared.range_bytes.fetch_sub(bytes, Ordering::AcqRel);
        let epoch = frame.leader_epoch();
        let mut asked_again = Vec::new();
        match &frame {
            Frame::Range { chunk, .. } | Frame::RepairReply { chunk, .. } => {
                if bytes > 0 && self.is_paused() {
                    return;
                }
                match check(chunk, epoch) {
                    Ok(batches) => {
                        self.incoming = batches;
                        self.look_how_far_behind(&frame);
                    }
                    Err(error) => {
                        let partition = &self.shared.at;
                        tracing::warn!(%partition, from = from.0, %error, "a range of a peer is not taken");
                        return;
                    }
                }
            }
            Frame::Ack { stream, position, .. } => {
                let sent = self.flow.acknowledged(from, *stream, position.end);
                sent.into_iter().for_each(|range| self.range_sent(range));
            }
            // They may have the log refuse again; asked for again at a tick.
            Frame::EpochEndReply { .. } | Frame::BelowStart { .. } => {
                if self.is_paused() {
                    return;
                }
            }
            Frame::Fetch { stream, .. } => asked_again = self.flow.asked_again(from, *stream),
            Frame::EpochEndRequest { .. }
            | Frame::Diverged { .. }
            | Frame::RepairRequest { .. }
            | Frame::StaleEpoch { .. } => {}
        }
        self.event(ReplicaEvent::Frame { from, frame });
        self.incoming.clear();
        // Where the state machine goes on with the fetch, it waits for these no more.
        asked_again.into_iter().for_each(|range| self.range_sent(range));
    }

    /// A range has left: the next one follows, unless a throttle is in the way.
    pub(super) fn sent(&mut self, range: SentRange) {
        let now = self.set.now();
        if let Some(range) = self.ahead.hold(now, self.tick_millis(), range) {
            self.sent_in_time(now, range);
        }
    }

    /// The next one follows, unless too much is on its way.
    pub(super) fn sent_in_time(&mut self, now: Millis, range: SentRange) {
        if let Some(range) = self.flow.sent(now, range) {
            self.range_sent(range);
        }
    }

    pub(super) fn range_sent(&mut self, range: SentRange) {
        let SentRange { to, stream, first, until, .. } = range;
        self.event(ReplicaEvent::RangeSent { to, stream, first, until });
    }

    /// Tells the state machine of damage that it does not know of.
    pub(super) fn damage_met(&mut self) {
        let Some(log) = &self.log else { return };
        for span in view_of(log).corrupt {
            if !self.replica.log().corrupt.contains(&span) {
                self.event(ReplicaEvent::Corrupt(span));
            }
        }
    }

    /// Says what is on disk in this generation of the log.
    pub(super) fn tell_durable(&mut self) {
        if let Some(log) = &self.log {
            let (end, generation) = (log.durable_offset(), self.shared.generation.load(Ordering::Acquire));
            self.soon.push_back(ReplicaEvent::LocalDurable { end, generation });
        }
    }

    pub(super) fn set_generation(&self, generation: u32) {
        self.shared.generation.store(generation, Ordering::Release);
    }

    /// The log refuses what the leader's has. One that has failed takes no part any more; else it is tried again from
    /// what is there.
    pub(super) fn log_refused(&mut self, error: &StorageError) {
        if self.log.as_ref().is_some_and(|log| log.failure().is_some()) {
            return self.fail(error);
        }
        // It may go on for long, as where the disk is full.
        if self.refused.replace(error.to_string()).is_none() {
            tracing::warn!(partition = %self.shared.at, %error, "the log does not take what its leader has: tried again and again");
        }
        self.pause(PAUSE);
        self.log_differs();
    }

    /// Out of service until a restart: nothing is acknowledged any more, and the leadership is given up.
    pub(super) fn fail(&mut self, error: &StorageError) {
        if self.failed().is_some() {
            return;
        }
        tracing::error!(partition = %self.shared.at, %error, "the replica takes no part until a restart");
        self.set_failed(error.clone());
        self.fail_waiting(&ReplicaFailure::Storage(error.clone()));
        self.term = None;
        if let Some(listener) = self.listener.upgrade() {
            listener.failed(error);
        }
        self.give_up_leadership();
    }

    /// Asks for another leader where the metadata names this node, which cannot.
    pub(super) fn give_up_leadership(&self) {
        let meta = self.replica.meta();
        if meta.leader == Some(self.set.me) {
            let (leader_epoch, reason) = (meta.leader_epoch, ResignReason::Corrupt);
            self.set.proposer.ask(&self.shared, Wish::Resign { leader_epoch, reason });
        }
    }
}
