//! The leader's answers to its followers.

use flymq_types::{LeaderEpoch, Offset};

use super::leader::Leader;
use super::{BrokerId, Core, Frame, Millis, Position, ReplicaAction, StreamId};

impl Leader {
    /// A frame of a follower of this epoch.
    pub(super) fn on_follower(
        &mut self,
        now: Millis,
        core: &mut Core,
        from: BrokerId,
        frame: Frame,
        out: &mut Vec<ReplicaAction>,
    ) {
        let stream = match &frame {
            Frame::EpochEndRequest { stream, .. }
            | Frame::Fetch { stream, .. }
            | Frame::Ack { stream, .. } => *stream,
            Frame::EpochEndReply { .. }
            | Frame::Range { .. }
            | Frame::BelowStart { .. }
            | Frame::Diverged { .. }
            | Frame::RepairRequest { .. }
            | Frame::RepairReply { .. }
            | Frame::StaleEpoch { .. } => return,
        };
        if !self.peers.get_mut(&from).is_some_and(|peer| peer.takes(stream)) {
            return;
        }
        match frame {
            Frame::EpochEndRequest { last_epoch, .. } => {
                self.answer_epoch_end(core, from, stream, last_epoch, out);
            }
            Frame::Fetch { from: first, prev_epoch, .. } => {
                self.on_fetch(now, core, (from, stream), (first, prev_epoch), out);
            }
            Frame::Ack { position, .. } => self.on_ack(now, core, from, position, out),
            Frame::EpochEndReply { .. }
            | Frame::Range { .. }
            | Frame::BelowStart { .. }
            | Frame::Diverged { .. }
            | Frame::RepairRequest { .. }
            | Frame::RepairReply { .. }
            | Frame::StaleEpoch { .. } => {}
        }
    }

    fn answer_epoch_end(
        &self,
        core: &Core,
        to: BrokerId,
        stream: StreamId,
        asked: LeaderEpoch,
        out: &mut Vec<ReplicaAction>,
    ) {
        let (epoch, end) = match core.log.epochs.end_of(asked, core.log.end) {
            Some((epoch, end)) => (Some(epoch), end),
            None => (None, core.log.start),
        };
        let frame = Frame::EpochEndReply { leader_epoch: self.epoch, stream, asked, epoch, end };
        out.push(ReplicaAction::Send { to, frame });
    }

    fn on_fetch(
        &mut self,
        now: Millis,
        core: &Core,
        (to, stream): (BrokerId, StreamId),
        (from, prev_epoch): (Offset, Option<LeaderEpoch>),
        out: &mut Vec<ReplicaAction>,
    ) {
        let leader_epoch = self.epoch;
        let log = &core.log;
        if from < log.start {
            return self.say_below_start(now, core, (to, stream), out);
        }
        // A follower whose log is empty has nothing that could differ.
        let differs = prev_epoch.is_some() && from > log.start && log.epoch_before(from) != prev_epoch;
        if from > log.end || (differs && !cfg!(mutant = "replica_previous_epoch_unchecked")) {
            out.push(ReplicaAction::Send { to, frame: Frame::Diverged { leader_epoch, stream } });
            return;
        }
        if let Some(peer) = self.peers.get_mut(&to) {
            // It will not take what is under way.
            peer.lane = None;
        }
        self.send(now, core, (to, stream), (from, from), out);
        self.pump(now, core, to, out);
    }

    fn on_ack(
        &mut self,
        now: Millis,
        core: &mut Core,
        from: BrokerId,
        position: Position,
        out: &mut Vec<ReplicaAction>,
    ) {
        // Nobody has what the leader has not: such a report is a lie or a defect, and counts for nothing.
        if position.durable > position.end || position.end > core.log.end {
            return;
        }
        let Some(peer) = self.peers.get_mut(&from) else { return };
        peer.report(position);
        peer.measure(now, core.log.end);
        self.pump(now, core, from, out);
        self.advance(now, core, out);
    }
}
