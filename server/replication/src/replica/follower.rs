//! The follower: appends what the leader sends, and says what it has on disk.

use flymq_types::{LeaderEpoch, Offset};

use super::{BrokerId, Chunk, Core, Frame, Millis, Position, RangeHead, ReplicaAction, StreamId};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Phase {
    /// Has asked where this epoch ends (rule 2).
    Comparing { asked: LeaderEpoch },
    /// The logs agree up to its end; has asked for what follows.
    Fetching,
    /// The leader sends.
    Following,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Follower {
    pub leader: BrokerId,
    pub stream: StreamId,
    pub phase: Phase,
    /// When something was last asked for; None: at once.
    pub asked: Option<Millis>,
}

impl Follower {
    pub(super) fn new(leader: BrokerId) -> Self {
        Self { leader, stream: StreamId::default(), phase: Phase::Fetching, asked: None }
    }

    /// A frame of the leader of this epoch.
    pub(super) fn on_leader(
        &mut self,
        now: Millis,
        core: &mut Core,
        frame: Frame,
        out: &mut Vec<ReplicaAction>,
    ) {
        match frame {
            Frame::EpochEndReply { stream, asked, epoch, end, .. } if stream == self.stream => {
                self.on_epoch_end(now, core, asked, (epoch, end), out);
            }
            Frame::Range { head, chunk } if head.stream == self.stream => {
                self.on_range(now, core, &head, chunk, out);
            }
            Frame::BelowStart { stream, log_start, .. } if stream == self.stream => {
                self.on_below_start(now, core, log_start, out);
            }
            Frame::Diverged { stream, .. } if stream == self.stream => self.join(now, core, out),
            Frame::EpochEndReply { .. }
            | Frame::Range { .. }
            | Frame::BelowStart { .. }
            | Frame::Diverged { .. }
            | Frame::EpochEndRequest { .. }
            | Frame::Fetch { .. }
            | Frame::Ack { .. }
            | Frame::RepairRequest { .. }
            | Frame::RepairReply { .. }
            | Frame::StaleEpoch { .. } => {}
        }
    }

    fn on_range(
        &mut self,
        now: Millis,
        core: &mut Core,
        head: &RangeHead,
        chunk: Chunk,
        out: &mut Vec<ReplicaAction>,
    ) {
        if matches!(self.phase, Phase::Comparing { .. })
            || chunk.until < chunk.first
            || chunk.first != head.first
        {
            return;
        }
        if head.first > core.log.end {
            // Something before it was lost on the way.
            return self.fetch_again(now, core, out);
        }
        if self.differs(core, head, &chunk) {
            return self.join(now, core, out);
        }
        self.phase = Phase::Following;
        let appended = chunk.until > core.log.end;
        if appended {
            let from = core.log.end;
            let new = chunk.epochs.iter().filter(|run| run.start >= from).copied();
            let at_end = chunk.epochs.iter().rev().find(|run| run.start < from);
            let first = at_end.map(|run| super::EpochStart { start: from, ..*run });
            let starts_new = chunk.epochs.iter().any(|run| run.start == from);
            let runs: Vec<_> = first.filter(|_| !starts_new).into_iter().chain(new).collect();
            core.log.epochs.append(from, &runs);
            core.log.end = chunk.until;
            out.push(ReplicaAction::AppendRange { from, chunk });
        }
        let damaged = !core.log.corrupt.is_empty();
        self.take_over(core, head, out);
        if damaged && core.log.corrupt.is_empty() {
            // Deleted with the damage: from here on it counts again, which only a new stream can say.
            return self.join(now, core, out);
        }
        // What is appended is acknowledged once it is on disk, which says the rest, too.
        if !appended {
            self.acknowledge(core, out);
        }
    }

    /// Whether the logs are seen to part before the end of this one (rule 3).
    fn differs(&self, core: &Core, head: &RangeHead, chunk: &Chunk) -> bool {
        if cfg!(mutant = "replica_previous_epoch_unchecked") {
            return false;
        }
        let log = &core.log;
        let before = log.epoch_before(head.first);
        if before.is_some() && head.prev_epoch.is_some() && before != head.prev_epoch {
            return true;
        }
        let (from, until) = (chunk.first.max(log.start), chunk.until.min(log.end));
        let theirs =
            |offset: Offset| chunk.epochs.iter().rev().find(|run| run.start <= offset).map(|run| run.epoch);
        let mine = log.epochs.runs(from, until);
        let changes =
            chunk.epochs.iter().map(|run| run.start).filter(|start| from <= *start && *start < until);
        mine.iter().any(|run| theirs(run.start) != Some(run.epoch))
            || changes.into_iter().any(|start| log.epochs.at(start) != theirs(start))
    }

    /// High watermark and log start of the leader (rule 9).
    fn take_over(&self, core: &mut Core, head: &RangeHead, out: &mut Vec<ReplicaAction>) {
        let high_watermark = head.high_watermark.min(core.log.end);
        if high_watermark > core.high_watermark {
            core.high_watermark = high_watermark;
            out.push(ReplicaAction::AdvanceHighWatermark(high_watermark));
        }
        let start = head.log_start.min(core.log.end);
        if start > core.log.start {
            core.log.advance_start(start);
            out.push(ReplicaAction::AdvanceStart(start));
        }
    }

    /// Tells the leader what is on disk (rule 4).
    pub(super) fn acknowledge(&self, core: &Core, out: &mut Vec<ReplicaAction>) {
        if self.phase != Phase::Following {
            return;
        }
        let log = &core.log;
        let durable = if cfg!(mutant = "replica_acks_what_it_wrote") { log.end } else { log.durable };
        let position = Position {
            end: log.end,
            durable,
            log_start: log.start,
            high_watermark: core.high_watermark,
            fenced: !log.corrupt.is_empty(),
        };
        let frame = Frame::Ack { leader_epoch: core.epoch(), stream: self.stream, position };
        out.push(ReplicaAction::Send { to: self.leader, frame });
    }

    /// Asks again for what has not come.
    pub(super) fn on_tick(&mut self, now: Millis, core: &Core, out: &mut Vec<ReplicaAction>) {
        if self.asked.is_some_and(|asked| now.saturating_sub(asked) < core.settings.resend_after) {
            return;
        }
        match self.phase {
            Phase::Comparing { asked } => self.ask_epoch_end(now, core, asked, out),
            Phase::Fetching => self.fetch(now, core, out),
            Phase::Following => {}
        }
    }

    /// Asks for a gap, not more often than every `resend_after`: what is on its way comes first.
    pub(super) fn fetch_again(&mut self, now: Millis, core: &Core, out: &mut Vec<ReplicaAction>) {
        if self.asked.is_none_or(|asked| now.saturating_sub(asked) >= core.settings.resend_after) {
            self.fetch(now, core, out);
        }
    }

    pub(super) fn fetch(&mut self, now: Millis, core: &Core, out: &mut Vec<ReplicaAction>) {
        self.asked = Some(now);
        let frame = Frame::Fetch {
            leader_epoch: core.epoch(),
            stream: self.stream,
            from: core.log.end,
            prev_epoch: core.log.last_epoch(),
        };
        out.push(ReplicaAction::Send { to: self.leader, frame });
    }
}
