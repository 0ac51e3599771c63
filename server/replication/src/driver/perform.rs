//! Does what the state machine says.

use std::sync::atomic::Ordering;

use flymq_engine::ReplicaFailure;
use flymq_storage::Appended;
use flymq_types::Offset;

use super::mail::{AppendReply, DeleteReply};
use super::proposer::Wish;
use super::runner::Runner;
use crate::replica::{EpochStart, ReplicaAction, ReplicaError, ResignReason, Token};
use crate::task::in_place;

/// Who is to be answered.
#[derive(Debug)]
pub(super) enum Waiting {
    Append { reply: AppendReply, appended: Appended },
    Delete(DeleteReply),
}

impl Runner {
    pub(super) fn perform(&mut self, action: ReplicaAction) {
        match action {
            ReplicaAction::StartEpoch(first) => self.start_epoch(first),
            // Done before the state machine was asked: see `append`.
            ReplicaAction::Append { base, .. } => {
                if self.appended_at != Some(base) {
                    tracing::error!(partition = %self.shared.at, %base, at = ?self.appended_at, "the log is not where it should be");
                    self.log_differs();
                }
            }
            ReplicaAction::AppendRange { from, .. } => self.append_range(from),
            ReplicaAction::Truncate { end, generation } => self.truncate(end, generation),
            ReplicaAction::Reset { start, generation } => self.reset(start, generation),
            ReplicaAction::AdvanceStart(start) => self.advance_start(start),
            ReplicaAction::Repair { chunk } => self.repair(&chunk),
            ReplicaAction::Send { to, frame } => self.send(to, frame),
            ReplicaAction::SendRange { to, head, limit, lane } => self.send_range(to, head, limit, lane),
            ReplicaAction::SendRepair { to, leader_epoch, span } => self.send_repair(to, leader_epoch, span),
            ReplicaAction::AlterIsr(change) => self.set.proposer.ask(&self.shared, Wish::Isr(change)),
            ReplicaAction::Resign { leader_epoch, reason } => {
                if reason == ResignReason::Slow {
                    tracing::warn!(partition = %self.shared.at, "this disk is late while those of the others are not: another replica is to lead");
                }
                self.set.proposer.ask(&self.shared, Wish::Resign { leader_epoch, reason });
            }
            ReplicaAction::HandOver { partition_epoch, to } => {
                self.set.proposer.ask(&self.shared, Wish::HandOver { partition_epoch, to });
            }
            ReplicaAction::RefreshMeta { .. } => self.set.proposer.refresh(&self.set),
            ReplicaAction::Complete { token, result } => self.complete(token, result),
            ReplicaAction::AdvanceHighWatermark(high) => self.advance_high(high),
        }
    }

    fn start_epoch(&mut self, first: EpochStart) {
        let Some(log) = self.log.clone() else { return };
        tracing::debug!(partition = %self.shared.at, epoch = %first.epoch, from = %first.start, "leads");
        if let Err(error) = in_place(|| log.begin_epoch(first.epoch)) {
            tracing::error!(partition = %self.shared.at, %error, "the epoch could not be made durable: not led from here");
            self.fail(&error);
        }
    }

    fn advance_high(&mut self, high: Offset) {
        self.shared.high.store(high.get(), Ordering::Release);
        if self.term.is_some()
            && let Some(listener) = self.listener.upgrade()
        {
            listener.advanced(high);
        }
    }

    pub(super) fn complete(&mut self, token: Token, result: Result<Offset, ReplicaError>) {
        // Who has gone away need not be answered.
        match self.waiting.remove(&token) {
            Some(Waiting::Append { reply, appended }) => {
                let lost = matches!(result, Err(ReplicaError::LeadershipLost { .. }));
                let result = if lost && cfg!(mutant = "driver_answers_who_waits_when_deposed") {
                    Ok(appended.base_offset)
                } else {
                    result
                };
                let _gone = reply.send(result.map(|_base| appended).map_err(failure));
            }
            Some(Waiting::Delete(reply)) => {
                let _gone = reply.send(result.map_err(failure));
            }
            None => {}
        }
    }

    /// Answers everyone who still waits.
    pub(super) fn fail_waiting(&mut self, with: &ReplicaFailure) {
        for (_, waiting) in std::mem::take(&mut self.waiting) {
            match waiting {
                Waiting::Append { reply, .. } => drop(reply.send(Err(with.clone()))),
                Waiting::Delete(reply) => drop(reply.send(Err(with.clone()))),
            }
        }
    }
}

pub(super) fn failure(error: ReplicaError) -> ReplicaFailure {
    match error {
        ReplicaError::NotLeader { .. } | ReplicaError::SessionLost | ReplicaError::HandingOver => {
            ReplicaFailure::NotLeader
        }
        ReplicaError::LeadershipLost { .. } => ReplicaFailure::LeadershipLost,
        ReplicaError::NotEnoughReplicas { in_sync, needed } => {
            let count = |replicas: usize| u32::try_from(replicas).unwrap_or(u32::MAX);
            ReplicaFailure::NotEnoughReplicas { in_sync: count(in_sync), required: count(needed) }
        }
        ReplicaError::NotCommitted { high_watermark } => ReplicaFailure::NotCommitted { high_watermark },
        // The engine takes no batch without records.
        ReplicaError::EmptyBatch => ReplicaFailure::Closed,
    }
}
