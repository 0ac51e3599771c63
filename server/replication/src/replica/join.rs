//! A follower finds out where its log and the leader's part, and cuts there (rule 2).

use flymq_types::{LeaderEpoch, Offset};

use super::follower::{Follower, Phase};
use super::{Core, Frame, Millis, ReplicaAction, StreamId};

impl Follower {
    /// Begins anew with this leader, in a stream of its own.
    pub(super) fn join(&mut self, now: Millis, core: &mut Core, out: &mut Vec<ReplicaAction>) {
        core.streams += 1;
        self.stream = StreamId { broker_epoch: core.broker_epoch, number: core.streams };
        if cfg!(mutant = "replica_truncates_to_high_watermark") && core.high_watermark < core.log.end {
            self.cut(core, core.high_watermark, out);
        }
        self.compare(now, core, core.log.last_epoch(), out);
    }

    /// Asks where `epoch` ends; an empty log has nothing to compare.
    fn compare(
        &mut self,
        now: Millis,
        core: &Core,
        epoch: Option<LeaderEpoch>,
        out: &mut Vec<ReplicaAction>,
    ) {
        let skip =
            cfg!(mutant = "replica_truncates_to_high_watermark") || cfg!(mutant = "replica_never_truncates");
        match epoch {
            Some(asked) if !skip => {
                self.phase = Phase::Comparing { asked };
                self.ask_epoch_end(now, core, asked, out);
            }
            Some(_) | None => {
                self.phase = Phase::Fetching;
                self.fetch(now, core, out);
            }
        }
    }

    pub(super) fn ask_epoch_end(
        &mut self,
        now: Millis,
        core: &Core,
        last_epoch: LeaderEpoch,
        out: &mut Vec<ReplicaAction>,
    ) {
        self.asked = Some(now);
        let frame = Frame::EpochEndRequest { leader_epoch: core.epoch(), stream: self.stream, last_epoch };
        out.push(ReplicaAction::Send { to: self.leader, frame });
    }

    /// The leader's largest epoch that is not above `asked`, and its end there.
    pub(super) fn on_epoch_end(
        &mut self,
        now: Millis,
        core: &mut Core,
        asked: LeaderEpoch,
        (epoch, end): (Option<LeaderEpoch>, Offset),
        out: &mut Vec<ReplicaAction>,
    ) {
        if self.phase != (Phase::Comparing { asked }) || epoch.is_some_and(|epoch| epoch > asked) {
            return;
        }
        let Some(epoch) = epoch else {
            // All that the leader has left is newer than anything here.
            self.reset(core, end, out);
            return self.compare(now, core, None, out);
        };
        match core.log.epochs.end_of(epoch, core.log.end) {
            Some((own, own_end)) if own_end > core.log.start => {
                let agree = own == epoch || cfg!(mutant = "replica_one_round_of_epochs");
                self.cut(core, if agree { own_end.min(end) } else { own_end }, out);
                self.compare(now, core, core.log.last_epoch().filter(|_| !agree), out);
            }
            // Nothing here is as old as what the leader has.
            Some(_) | None => {
                self.cut(core, core.log.start, out);
                self.compare(now, core, None, out);
            }
        }
    }

    fn cut(&self, core: &mut Core, end: Offset, out: &mut Vec<ReplicaAction>) {
        if end >= core.log.end {
            return;
        }
        if end < core.log.start {
            return self.reset(core, end, out);
        }
        core.log.truncate(end);
        core.high_watermark = core.high_watermark.min(end);
        out.push(ReplicaAction::Truncate { end, generation: core.log.generation });
    }

    fn reset(&self, core: &mut Core, start: Offset, out: &mut Vec<ReplicaAction>) {
        core.log.reset(start);
        core.high_watermark = start;
        out.push(ReplicaAction::Reset { start, generation: core.log.generation });
    }

    /// The leader's log begins behind the end of this one: what is here is deleted there.
    pub(super) fn on_below_start(
        &mut self,
        now: Millis,
        core: &mut Core,
        log_start: Offset,
        out: &mut Vec<ReplicaAction>,
    ) {
        if matches!(self.phase, Phase::Comparing { .. }) {
            return;
        }
        if core.log.end >= log_start {
            // Said of an earlier state; the leader has lost track of what is here.
            return self.fetch_again(now, core, out);
        }
        let damaged = !core.log.corrupt.is_empty();
        self.reset(core, log_start, out);
        if damaged {
            // Deleted with the damage, which the leader knows of as long as the stream is the same.
            return self.join(now, core, out);
        }
        self.phase = Phase::Fetching;
        self.fetch(now, core, out);
    }
}
