//! The leader: sends, counts, commits.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use flymq_types::{LeaderEpoch, Offset};

use super::hand_over::HandOver;
use super::isr::PendingIsr;
use super::pace::Pace;
use super::peer::Peer;
use super::{BrokerId, Core, Frame, Lane, Millis, RangeHead, ReplicaAction, ReplicaError, StreamId, Token};

/// A batch whose producer waits for `acks=all`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Waiting {
    pub base: Offset,
    pub end: Offset,
    pub token: Token,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Leader {
    /// Where the log ended when the epoch began.
    pub epoch_start: Offset,
    pub epoch: LeaderEpoch,
    pub peers: BTreeMap<BrokerId, Peer>,
    pub pending: Option<PendingIsr>,
    pub hand_over: Option<HandOver>,
    /// In order of offsets.
    pub waiting: VecDeque<Waiting>,
    pub deletes: Vec<(Offset, Token)>,
    /// Of the leader's own disk.
    pub pace: Pace,
}

/// The way to a follower that needs what follows `first`.
fn lane(core: &Core, first: Offset) -> Lane {
    let far = core.log.end.0.saturating_sub(first.0) > core.settings.live_window;
    if far { Lane::CatchUp } else { Lane::Live }
}

impl Leader {
    pub(super) fn new(now: Millis, core: &Core) -> Self {
        let mut leader = Self {
            epoch_start: core.log.end,
            epoch: core.epoch(),
            peers: BTreeMap::new(),
            pending: None,
            hand_over: None,
            waiting: VecDeque::new(),
            deletes: Vec::new(),
            pace: Pace::default(),
        };
        leader.follow_assignment(now, core);
        leader
    }

    /// One peer for each other holder.
    pub(super) fn follow_assignment(&mut self, now: Millis, core: &Core) {
        let holders = core.meta.holders();
        self.peers.retain(|id, _| holders.contains(id));
        for id in holders.into_iter().filter(|id| *id != core.me) {
            self.peers.entry(id).or_insert_with(|| Peer::new(now, core.log.end));
        }
    }

    /// The ISR as committed, and whoever may have been added since (rule 5).
    pub(super) fn maximal_isr(&self, core: &Core) -> BTreeSet<BrokerId> {
        let mut members: BTreeSet<BrokerId> = core.meta.isr.iter().copied().collect();
        let Some(pending) = &self.pending else { return members };
        if cfg!(mutant = "replica_commit_over_the_shrunk_set") {
            members = pending.wanted.iter().map(|(id, _)| *id).collect();
        }
        if !cfg!(mutant = "replica_joining_not_counted") {
            members.extend(&pending.possible);
        }
        members
    }

    /// Moves the high watermark (rule 5), answers who waited for it, and looks after the ISR.
    pub(super) fn advance(&mut self, now: Millis, core: &mut Core, out: &mut Vec<ReplicaAction>) {
        self.measure_pace(now, core);
        let enough = core.has_enough_in_sync() || cfg!(mutant = "replica_commit_below_min");
        let durable = |id: &BrokerId| match self.peers.get(id) {
            Some(peer) => peer.durable().unwrap_or(Offset::ZERO),
            None if *id == core.me && cfg!(mutant = "replica_leader_counts_page_cache") => core.log.end,
            None if *id == core.me => core.log.durable,
            None => Offset::ZERO,
        };
        let mut ends: Vec<Offset> = self.maximal_isr(core).iter().map(durable).collect();
        ends.sort_unstable();
        let index =
            if cfg!(mutant = "replica_commit_by_majority") { ends.len().saturating_sub(1) / 2 } else { 0 };
        let committed = ends.get(index).copied().unwrap_or_default();
        if enough && committed > core.high_watermark {
            core.high_watermark = committed;
            out.push(ReplicaAction::AdvanceHighWatermark(committed));
        }
        self.finish_deletions(core, out);
        self.answer(core, out);
        self.look_after_hand_over(now, core, out);
        self.look_after_isr(now, core, out);
    }

    /// A deletion that an earlier leader began, and not every replica has done, is done here too: what is left of it
    /// could be neither copied nor mended.
    fn finish_deletions(&self, core: &mut Core, out: &mut Vec<ReplicaAction>) {
        let starts = self.peers.values().filter_map(|peer| peer.position.as_ref()).map(|p| p.log_start);
        let start = starts.filter(|start| *start <= core.high_watermark).max().unwrap_or_default();
        if start > core.log.start {
            core.log.advance_start(start);
            out.push(ReplicaAction::AdvanceStart(start));
        }
    }

    fn answer(&mut self, core: &Core, out: &mut Vec<ReplicaAction>) {
        while let Some(waiting) = self.waiting.front()
            && waiting.end <= core.high_watermark
        {
            out.push(ReplicaAction::Complete { token: waiting.token, result: Ok(waiting.base) });
            self.waiting.pop_front();
        }
        if self.deletes.is_empty() {
            return;
        }
        let reported = |id: BrokerId| match self.peers.get(&id) {
            Some(peer) => peer.position.as_ref().map_or(Offset::ZERO, |position| position.log_start),
            None => core.log.start,
        };
        let everywhere = self.maximal_isr(core).into_iter().map(reported).min().unwrap_or_default();
        let everywhere =
            if cfg!(mutant = "replica_delete_not_waited_for") { core.log.start } else { everywhere };
        let enough = core.has_enough_in_sync();
        self.deletes.retain(|(before, token)| {
            // With fewer in sync, one that left the set meanwhile may lead next, and still have it.
            let done = *before <= everywhere && (enough || *before == Offset::ZERO);
            if done {
                out.push(ReplicaAction::Complete { token: *token, result: Ok(everywhere) });
            }
            !done
        });
    }

    /// The leadership is over: nobody knows what becomes of what is not committed.
    pub(super) fn fail_waiting(self, out: &mut Vec<ReplicaAction>) {
        let lost = ReplicaError::LeadershipLost { epoch: self.epoch };
        for Waiting { base, token, .. } in self.waiting {
            let result =
                if cfg!(mutant = "replica_commit_from_an_old_leader") { Ok(base) } else { Err(lost) };
            out.push(ReplicaAction::Complete { token, result });
        }
        for (_, token) in self.deletes {
            out.push(ReplicaAction::Complete { token, result: Err(lost) });
        }
    }

    /// Sends `id` what it has not been sent, as far as its window goes.
    pub(super) fn pump(&mut self, now: Millis, core: &Core, id: BrokerId, out: &mut Vec<ReplicaAction>) {
        let Some(peer) = self.peers.get(&id) else { return };
        let (Some(stream), Some(next), None) = (peer.stream, peer.next, peer.sending) else { return };
        if next < core.log.start {
            return self.say_below_start(now, core, (id, stream), out);
        }
        let lane = lane(core, next);
        if peer.lane.is_some_and(|before| before != lane) && peer.has_under_way(next) {
            // On another lane it would overtake that.
            return;
        }
        let known = peer.position.as_ref().map_or(next, |position| position.end);
        let window = known.plus(core.settings.max_in_flight);
        let damage = core.log.corrupt.iter().filter(|span| span.until > next).map(|span| span.from).min();
        let until = core.log.end.min(window).min(damage.unwrap_or(Offset::MAX));
        if until > next {
            self.send(now, core, (id, stream), (next, until), out);
        }
    }

    /// What the follower needs next was deleted before it was sent.
    pub(super) fn say_below_start(
        &mut self,
        now: Millis,
        core: &Core,
        (to, stream): (BrokerId, StreamId),
        out: &mut Vec<ReplicaAction>,
    ) {
        if let Some(peer) = self.peers.get_mut(&to) {
            peer.sent = now;
        }
        let frame = Frame::BelowStart { leader_epoch: self.epoch, stream, log_start: core.log.start };
        out.push(ReplicaAction::Send { to, frame });
    }

    /// Sends to all who keep up.
    pub(super) fn pump_all(&mut self, now: Millis, core: &Core, out: &mut Vec<ReplicaAction>) {
        let ids: Vec<BrokerId> = self.peers.keys().copied().collect();
        ids.into_iter().for_each(|id| self.pump(now, core, id, out));
    }

    /// Sends a range; an empty one says where the leader stands, and is answered with an ack.
    pub(super) fn send(
        &mut self,
        now: Millis,
        core: &Core,
        (to, stream): (BrokerId, StreamId),
        (first, limit): (Offset, Offset),
        out: &mut Vec<ReplicaAction>,
    ) {
        let Some(peer) = self.peers.get_mut(&to) else { return };
        let head = RangeHead {
            leader_epoch: self.epoch,
            stream,
            first,
            prev_epoch: core.log.epoch_before(first),
            high_watermark: core.high_watermark,
            log_start: core.log.start,
        };
        (peer.next, peer.sent) = (Some(first), now);
        peer.sending = (first < limit).then_some(first);
        let lane = peer.lane.filter(|_| peer.has_under_way(first)).unwrap_or_else(|| lane(core, first));
        peer.lane = Some(lane);
        out.push(ReplicaAction::SendRange { to, head, limit, lane });
    }

    /// The driver has sent `first..until`.
    pub(super) fn on_sent(
        &mut self,
        now: Millis,
        core: &Core,
        (to, stream): (BrokerId, StreamId),
        (first, until): (Offset, Offset),
        out: &mut Vec<ReplicaAction>,
    ) {
        let Some(peer) = self.peers.get_mut(&to) else { return };
        if peer.stream != Some(stream) || peer.sending != Some(first) {
            return;
        }
        (peer.sending, peer.next) = (None, Some(until));
        if until > first {
            self.pump(now, core, to, out);
        }
    }

    pub(super) fn on_tick(&mut self, now: Millis, core: &mut Core, out: &mut Vec<ReplicaAction>) {
        let log = &core.log;
        let behind = |peer: &Peer| {
            peer.position.as_ref().is_none_or(|position| {
                position.durable < log.end
                    || position.high_watermark < core.high_watermark
                    || position.log_start < log.start
            })
        };
        let due = |peer: &Peer| now.saturating_sub(peer.sent) >= core.settings.resend_after && behind(peer);
        let quiet: Vec<BrokerId> = self.peers.iter().filter(|(_, p)| due(p)).map(|(id, _)| *id).collect();
        for id in quiet {
            self.pump(now, core, id, out);
            let Some(peer) = self.peers.get(&id) else { continue };
            if let (Some(stream), Some(next), None) = (peer.stream, peer.next, peer.sending)
                && peer.sent != now
            {
                self.send(now, core, (id, stream), (next, next), out);
            }
        }
        self.peers.values_mut().for_each(|peer| peer.measure(now, core.log.end));
        self.look_after_pace(now, core, out);
        self.advance(now, core, out);
    }
}
