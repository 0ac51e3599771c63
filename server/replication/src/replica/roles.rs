//! Changes of role.

use flymq_types::LeaderEpoch;

use super::follower::Follower;
use super::leader::Leader;
use super::{BrokerId, EpochStart, Frame, Millis, PartitionMeta, Replica, ReplicaAction, ResignReason, Role};

impl Replica {
    pub(super) fn on_meta(&mut self, now: Millis, meta: PartitionMeta, out: &mut Vec<ReplicaAction>) {
        let known = &self.core.meta;
        let old = meta.partition_epoch < known.partition_epoch || meta.leader_epoch < known.leader_epoch;
        if old || meta == *known {
            return;
        }
        let same_epoch = meta.leader_epoch == known.leader_epoch && meta.leader == known.leader;
        let me = self.core.me;
        let holds = meta.holds(me);
        self.core.meta = meta;
        match (self.core.meta.leader, &mut self.role) {
            (Some(id), Role::Leader(leader)) if id == me && same_epoch => {
                leader.on_isr(now, &mut self.core, out);
            }
            (Some(id), Role::Follower(_)) if id != me && same_epoch && holds => {}
            (Some(id), _) if id == me => self.lead(now, out),
            (Some(id), _) if holds => self.follow(now, id, out),
            (Some(_) | None, _) => self.leave_role(Role::Offline, out),
        }
    }

    /// Ends the present role; whoever waits for the old leadership learns that it is over.
    pub(super) fn leave_role(&mut self, next: Role, out: &mut Vec<ReplicaAction>) {
        if let Role::Leader(leader) = std::mem::replace(&mut self.role, next) {
            leader.fail_waiting(out);
        }
    }

    fn lead(&mut self, now: Millis, out: &mut Vec<ReplicaAction>) {
        let epoch = self.core.epoch();
        let log = &self.core.log;
        let used = log.epochs.highest().is_some_and(|highest| highest >= epoch)
            && !cfg!(mutant = "replica_leads_twice_in_an_epoch");
        let reason = match () {
            () if used => Some(ResignReason::EpochUsed),
            () if !log.corrupt.is_empty()
                && self.core.meta.isr.len() > 1
                && !cfg!(mutant = "replica_leads_with_damage") =>
            {
                Some(ResignReason::Corrupt)
            }
            () => None,
        };
        if let Some(reason) = reason {
            self.leave_role(Role::Resigned { reason, said: now }, out);
            out.push(ReplicaAction::Resign { leader_epoch: epoch, reason });
            return;
        }
        self.leave_role(Role::Offline, out);
        let first = EpochStart { epoch, start: self.core.log.end };
        self.core.log.epochs.append(first.start, &[first]);
        out.push(ReplicaAction::StartEpoch(first));
        let mut leader = Leader::new(now, &self.core);
        leader.advance(now, &mut self.core, out);
        self.role = Role::Leader(Box::new(leader));
    }

    fn follow(&mut self, now: Millis, leader: BrokerId, out: &mut Vec<ReplicaAction>) {
        let mut follower = Follower::new(leader);
        follower.join(now, &mut self.core, out);
        self.leave_role(Role::Follower(follower), out);
    }

    /// Somebody knows of a later epoch: whoever leads in this one is deposed.
    fn on_higher_epoch(&mut self, epoch: LeaderEpoch, out: &mut Vec<ReplicaAction>) {
        self.leave_role(Role::Offline, out);
        out.push(ReplicaAction::RefreshMeta { at_least: epoch });
    }

    pub(super) fn on_frame(
        &mut self,
        now: Millis,
        from: BrokerId,
        frame: Frame,
        out: &mut Vec<ReplicaAction>,
    ) {
        let epoch = frame.leader_epoch();
        let mine = self.core.epoch();
        if epoch > mine {
            return self.on_higher_epoch(epoch, out);
        }
        if epoch < mine && !cfg!(mutant = "replica_epoch_not_checked") {
            if !matches!(frame, Frame::StaleEpoch { .. }) {
                out.push(ReplicaAction::Send { to: from, frame: Frame::StaleEpoch { leader_epoch: mine } });
            }
            return;
        }
        match frame {
            Frame::EpochEndRequest { .. } | Frame::Fetch { .. } | Frame::Ack { .. } => {
                if let Role::Leader(leader) = &mut self.role
                    && self.core.meta.holds(from)
                {
                    leader.on_follower(now, &mut self.core, from, frame, out);
                }
            }
            Frame::EpochEndReply { .. }
            | Frame::Range { .. }
            | Frame::BelowStart { .. }
            | Frame::Diverged { .. } => {
                if let Role::Follower(follower) = &mut self.role
                    && follower.leader == from
                {
                    follower.on_leader(now, &mut self.core, frame, out);
                }
            }
            Frame::RepairRequest { span, .. } => self.on_repair_request(from, span, out),
            Frame::RepairReply { chunk, .. } => self.on_repair_reply(from, chunk, out),
            Frame::StaleEpoch { .. } => {}
        }
    }
}
