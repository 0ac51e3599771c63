//! Damaged ranges: fenced, fetched from a peer, written again (rule 10).

use super::{BrokerId, Chunk, Frame, Millis, Replica, ReplicaAction, ResignReason, Role, Span};

impl Replica {
    pub(super) fn on_corrupt(&mut self, now: Millis, span: Span, out: &mut Vec<ReplicaAction>) {
        let log = &mut self.core.log;
        let span = Span { from: span.from.max(log.start), until: span.until.min(log.end) };
        if span.from >= span.until || log.corrupt.contains(&span) {
            return;
        }
        log.corrupt.push(span);
        let others = self.core.meta.isr.len() > 1;
        match &mut self.role {
            // What it said before no longer counts: a new stream.
            Role::Follower(follower) => follower.join(now, &mut self.core, out),
            Role::Leader(_) if others && !cfg!(mutant = "replica_leads_with_damage") => {
                let reason = ResignReason::Corrupt;
                self.leave_role(Role::Resigned { reason, said: now }, out);
                out.push(ReplicaAction::Resign { leader_epoch: self.core.epoch(), reason });
            }
            Role::Leader(_) | Role::Offline | Role::Resigned { .. } => {}
        }
        self.ask_for_repair(now, out);
    }

    /// Asks one peer after the other, the leader first.
    pub(super) fn ask_for_repair(&mut self, now: Millis, out: &mut Vec<ReplicaAction>) {
        let core = &mut self.core;
        let Some(span) = core.log.corrupt.first().copied() else { return };
        let resend_after = core.settings.resend_after;
        if core.repair_asked.is_some_and(|asked| now.saturating_sub(asked) < resend_after) {
            return;
        }
        let mut peers: Vec<BrokerId> = core.meta.holders();
        peers.retain(|id| *id != core.me);
        peers.sort_by_key(|id| Some(*id) != core.meta.leader);
        if peers.is_empty() {
            return;
        }
        let to = peers[core.repairs_asked % peers.len()];
        core.repair_asked = Some(now);
        core.repairs_asked += 1;
        let frame = Frame::RepairRequest { leader_epoch: core.epoch(), span };
        out.push(ReplicaAction::Send { to, frame });
    }

    pub(super) fn on_repair_request(&self, from: BrokerId, span: Span, out: &mut Vec<ReplicaAction>) {
        let core = &self.core;
        let log = &core.log;
        let whole = log.start <= span.from && span.from < span.until && span.until <= log.end;
        if whole && !log.corrupt.iter().any(|own| own.overlaps(span)) && core.meta.holds(from) {
            out.push(ReplicaAction::SendRepair { to: from, leader_epoch: core.epoch(), span });
        }
    }

    /// The same offsets of the same epochs are the same bytes; any others are not taken. But where the list of epochs was
    /// lost as well, and rebuilt without the damaged batches, it may not know theirs: what is committed is the same at the
    /// leader, whatever the list says.
    pub(super) fn on_repair_reply(&mut self, from: BrokerId, chunk: Chunk, out: &mut Vec<ReplicaAction>) {
        let core = &mut self.core;
        let span = Span { from: chunk.first, until: chunk.until };
        let same = core.log.epochs.runs(span.from, span.until) == chunk.epochs;
        let committed = core.meta.leader == Some(from) && span.until <= core.high_watermark;
        let taken = same || committed || cfg!(mutant = "replica_repairs_with_other_epochs");
        if taken && core.log.corrupt.contains(&span) {
            core.log.epochs.learn(&chunk.epochs);
            out.push(ReplicaAction::Repair { chunk });
        }
    }

    pub(super) fn on_repaired(&mut self, now: Millis, span: Span, out: &mut Vec<ReplicaAction>) {
        let corrupt = &mut self.core.log.corrupt;
        corrupt.retain(|own| *own != span);
        self.core.repair_asked = None;
        if !corrupt.is_empty() {
            return self.ask_for_repair(now, out);
        }
        match &mut self.role {
            Role::Follower(follower) => follower.join(now, &mut self.core, out),
            Role::Leader(leader) => leader.pump_all(now, &self.core, out),
            Role::Offline | Role::Resigned { .. } => {}
        }
    }
}
