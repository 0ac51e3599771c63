//! What a driver asks the state machine, and tells it beside the events.

use flymq_types::{Acks, LeaderEpoch};

use super::follower::Phase;
use super::{BrokerId, LogView, Millis, Position, Replica, ReplicaAction, ReplicaError, ResignReason, Role};

impl Replica {
    /// Whether a batch may be appended now, and in which epoch. A driver that appends it first and then gives
    /// [`super::ReplicaEvent::Produce`] at the same `now`, with nothing in between, can refuse what its disk refuses.
    ///
    /// # Errors
    /// As the answer to the event would be.
    pub fn may_append(&self, now: Millis, records: u32, acks: Acks) -> Result<LeaderEpoch, ReplicaError> {
        self.check_append(now, records, acks).map(|()| self.core.epoch())
    }

    /// Changes `min_insync`; it counts from the next event on.
    pub fn set_min_insync(&mut self, min_insync: usize) {
        self.core.settings.min_insync = min_insync;
    }

    /// The log is not what the actions made of it, as where the disk refused an append: this is what it is, as a next
    /// generation. A follower compares it with its leader's anew; a leader gives up.
    pub fn log_changed(&mut self, now: Millis, log: LogView, out: &mut Vec<ReplicaAction>) {
        let generation = self.core.log.generation + 1;
        self.core.high_watermark = self.core.high_watermark.min(log.end).max(log.start);
        self.core.log = LogView { generation, ..log };
        match &mut self.role {
            Role::Follower(follower) => follower.join(now, &mut self.core, out),
            Role::Leader(_) => {
                let reason = ResignReason::EpochUsed;
                self.leave_role(Role::Resigned { reason, said: now }, out);
                out.push(ReplicaAction::Resign { leader_epoch: self.core.epoch(), reason });
            }
            Role::Offline | Role::Resigned { .. } => {}
        }
    }

    /// Whether time alone makes something happen here: then ticks are wanted.
    pub fn has_work(&self) -> bool {
        let core = &self.core;
        let role = match &self.role {
            Role::Offline => false,
            Role::Resigned { .. } => true,
            Role::Follower(follower) => follower.phase != Phase::Following,
            Role::Leader(leader) => {
                let waits = !leader.waiting.is_empty() || !leader.deletes.is_empty();
                let behind = |position: &Position| {
                    position.durable < core.log.end
                        || position.high_watermark < core.high_watermark
                        || position.log_start < core.log.start
                        || position.fenced
                };
                let follows = |position: &Option<Position>| position.as_ref().is_some_and(|p| !behind(p));
                waits
                    || leader.holds_back()
                    || leader.pending.is_some()
                    || core.high_watermark < core.log.end
                    || !leader.peers.values().all(|peer| follows(&peer.position))
            }
        };
        role || !core.log.corrupt.is_empty()
    }

    /// The other replicas as the leader knows them; none elsewhere.
    pub fn followers(&self) -> Vec<(BrokerId, Option<Position>)> {
        match &self.role {
            Role::Leader(leader) => {
                leader.peers.iter().map(|(id, peer)| (*id, peer.position.clone())).collect()
            }
            Role::Offline | Role::Resigned { .. } | Role::Follower(_) => Vec::new(),
        }
    }
}
