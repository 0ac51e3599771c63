//! Requests of clients.

use bytes::Bytes;
use flymq_types::{Acks, Offset};

use super::leader::Waiting;
use super::{Millis, Replica, ReplicaAction, ReplicaError, Role, Token};

/// A batch to append.
#[derive(Debug)]
pub(super) struct Request {
    pub batch: Bytes,
    pub records: u32,
    pub acks: Acks,
    pub token: Token,
}

impl Replica {
    pub(super) fn on_produce(&mut self, now: Millis, request: Request, out: &mut Vec<ReplicaAction>) {
        let Request { batch, records, acks, token } = request;
        if let Err(error) = self.check_append(now, records, acks) {
            out.push(ReplicaAction::Complete { token, result: Err(error) });
            return;
        }
        let Role::Leader(leader) = &mut self.role else { return };
        let log = &mut self.core.log;
        let base = log.end;
        log.end = base.plus(records.into());
        out.push(ReplicaAction::Append { base, epoch: leader.epoch, batch });
        match acks {
            Acks::None | Acks::Leader => out.push(ReplicaAction::Complete { token, result: Ok(base) }),
            Acks::All => leader.waiting.push_back(Waiting { base, end: log.end, token }),
        }
        leader.pump_all(now, &self.core, out);
    }

    /// Answers once what is in the log below `end` is committed.
    pub(super) fn on_await(
        &mut self,
        (base, end): (Offset, Offset),
        token: Token,
        out: &mut Vec<ReplicaAction>,
    ) {
        let epoch = self.core.meta.leader_epoch;
        let Role::Leader(leader) = &mut self.role else {
            let leader = self.core.meta.leader.filter(|id| *id != self.core.me);
            let result = Err(ReplicaError::NotLeader { leader, epoch });
            return out.push(ReplicaAction::Complete { token, result });
        };
        if end <= self.core.high_watermark {
            return out.push(ReplicaAction::Complete { token, result: Ok(base) });
        }
        let at = leader.waiting.partition_point(|waiting| waiting.end <= end);
        leader.waiting.insert(at, Waiting { base, end, token });
    }

    pub(super) fn check_append(&self, now: Millis, records: u32, acks: Acks) -> Result<(), ReplicaError> {
        let meta = &self.core.meta;
        let Role::Leader(leader) = &self.role else {
            let leader = meta.leader.filter(|id| *id != self.core.me);
            return Err(ReplicaError::NotLeader { leader, epoch: meta.leader_epoch });
        };
        let needed = self.core.settings.min_insync;
        match acks {
            _ if records == 0 => Err(ReplicaError::EmptyBatch),
            Acks::All if meta.isr.len() < needed && !cfg!(mutant = "replica_min_insync_ignored") => {
                Err(ReplicaError::NotEnoughReplicas { in_sync: meta.isr.len(), needed })
            }
            Acks::None | Acks::Leader
                if !self.core.session_holds(now) && !cfg!(mutant = "replica_session_ignored") =>
            {
                Err(ReplicaError::SessionLost)
            }
            Acks::None | Acks::Leader if leader.may_be_replaced() => Err(ReplicaError::HandingOver),
            Acks::None | Acks::Leader | Acks::All if leader.holds_back() => Err(ReplicaError::HandingOver),
            Acks::None | Acks::Leader | Acks::All => Ok(()),
        }
    }

    /// Deletes at the leader at once, at the followers with the next range, and answers once all in sync have (rule 9).
    pub(super) fn on_delete(
        &mut self,
        now: Millis,
        before: Offset,
        token: Option<Token>,
        out: &mut Vec<ReplicaAction>,
    ) {
        let meta = &self.core.meta;
        let high_watermark = self.core.high_watermark;
        let refused = match &self.role {
            Role::Leader(_) if before > high_watermark => Some(ReplicaError::NotCommitted { high_watermark }),
            Role::Leader(_)
                if token.is_some() && before > self.core.log.start && !self.core.has_enough_in_sync() =>
            {
                let needed = self.core.settings.min_insync;
                Some(ReplicaError::NotEnoughReplicas { in_sync: meta.isr.len(), needed })
            }
            Role::Leader(_) => None,
            Role::Offline | Role::Resigned { .. } | Role::Follower(_) => {
                let leader = meta.leader.filter(|id| *id != self.core.me);
                Some(ReplicaError::NotLeader { leader, epoch: meta.leader_epoch })
            }
        };
        if let Some(error) = refused {
            out.extend(token.map(|token| ReplicaAction::Complete { token, result: Err(error) }));
            return;
        }
        let Role::Leader(leader) = &mut self.role else { return };
        if before > self.core.log.start {
            self.core.log.advance_start(before);
            out.push(ReplicaAction::AdvanceStart(before));
        }
        leader.deletes.extend(token.map(|token| (before, token)));
        let streams = leader.peers.iter().filter_map(|(id, peer)| {
            Some((*id, peer.stream?, peer.next?)).filter(|_| peer.sending.is_none())
        });
        for (id, stream, next) in streams.collect::<Vec<_>>() {
            leader.send(now, &self.core, (id, stream), (next, next), out);
        }
        leader.advance(now, &mut self.core, out);
    }
}
