//! A slow disk: what is committed is on the slowest disk that is in sync, so one that answers late (a gray failure: it
//! does not fail, and no session ends) holds all others up. The leader sees it without asking: it knows when each replica
//! has on disk what its own log held before. Who is late again and again, while all others are in time, leaves the in-sync
//! set, as long as enough stay; where that is the leader itself, it hands its leadership on with that.

use flymq_types::Offset;

use super::leader::Leader;
use super::{BrokerId, Core, Millis, ReplicaAction, ResignReason};

/// Later than this is late,
const LATE: Millis = 300;
/// if it is so many times what the slowest of the others takes: then they would commit as much sooner without it,
const TIMES: Millis = 4;
/// and for so long,
const AFTER: Millis = 2_000;
/// so many times in a row.
const IN_A_ROW: u32 = 3;
/// Who was sent away stays out for so long after it was last late.
const AWAY: Millis = 10_000;
/// The leader asks again for another leader after so long.
const ASK_AGAIN: Millis = 1_000;

/// How soon a replica has on disk what the leader's log holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Pace {
    /// The end of the leader's log at some time, which the replica does not have on disk yet.
    mark: Option<(Millis, Offset)>,
    /// The end at the last measurement.
    seen: Offset,
    /// How long it took the last time.
    last: Millis,
    /// It has taken that time since this was last looked at.
    is_news: bool,
    /// Since when it has been late, and how many times since.
    late: Option<(Millis, u32)>,
    /// Until when it stays out of the in-sync set.
    away: Option<Millis>,
}

impl Pace {
    pub(super) fn measure(&mut self, now: Millis, durable: Offset, end: Offset) {
        match self.mark {
            Some((since, offset)) if durable >= offset => {
                (self.mark, self.last, self.is_news) = (None, now.saturating_sub(since), true);
            }
            // All that came since the last time is on its disk already.
            None if durable >= end && end > self.seen => (self.last, self.is_news) = (0, true),
            Some(_) | None => {}
        }
        if self.mark.is_none() && durable < end {
            self.mark = Some((now, end));
        }
        self.seen = end;
    }

    fn waits(&self, now: Millis) -> Millis {
        self.mark.map_or(0, |(since, _)| now.saturating_sub(since))
    }

    fn takes(&self, now: Millis) -> Millis {
        self.last.max(self.waits(now))
    }

    /// Whether it is late against the others, who take so long.
    fn is_late(&self, now: Millis, others: Millis) -> bool {
        self.takes(now) > LATE && self.takes(now) >= TIMES * others
    }

    /// Whether it has been late often enough.
    fn holds_up(&mut self, now: Millis, others: Millis) -> bool {
        if !self.is_late(now, others) {
            self.late = None;
            return false;
        }
        let (since, times) = self.late.get_or_insert((now, 0));
        *times += u32::from(std::mem::take(&mut self.is_news));
        let (since, times) = (*since, *times);
        now.saturating_sub(since) >= AFTER && (times >= IN_A_ROW || self.waits(now) >= AFTER)
    }

    /// Whether it has to stay out of the in-sync set.
    pub(super) fn is_away(&self, now: Millis) -> bool {
        self.away.is_some_and(|until| now < until)
    }
}

impl Leader {
    pub(super) fn measure_pace(&mut self, now: Millis, core: &Core) {
        let end = core.log.end;
        self.pace.measure(now, core.log.durable, end);
        for peer in self.peers.values_mut() {
            let durable = peer.durable().unwrap_or(Offset::ZERO);
            peer.pace.measure(now, durable, end);
        }
    }

    /// Looks for one that holds the others up.
    pub(super) fn look_after_pace(&mut self, now: Millis, core: &Core, out: &mut Vec<ReplicaAction>) {
        for id in core.meta.holders() {
            let others = core.meta.isr.iter().filter(|other| **other != id);
            let Some(others) = others.map(|other| self.pace_of(core, *other).takes(now)).max() else {
                continue;
            };
            let is_in_sync = core.meta.isr.contains(&id);
            let enough = core.meta.isr.len() > core.settings.min_insync;
            let is_leader = id == core.me;
            let pace = self.pace_of_mut(core, id);
            if !is_in_sync {
                // Without news, it may be as it should by now.
                let is_late = pace.is_late(now, others) && std::mem::take(&mut pace.is_news);
                pace.away = pace.away.map(|until| if is_late { now + AWAY } else { until });
            } else if cfg!(mutant = "replica_slow_disk_stays") {
                // Nobody minds.
            } else if pace.holds_up(now, others) && enough && !pace.is_away(now) {
                pace.away = Some(now + if is_leader { ASK_AGAIN } else { AWAY });
                if is_leader {
                    let reason = ResignReason::Slow;
                    out.push(ReplicaAction::Resign { leader_epoch: self.epoch, reason });
                }
            }
        }
    }

    fn pace_of(&self, core: &Core, id: BrokerId) -> Pace {
        if id == core.me { self.pace } else { self.peers.get(&id).map(|peer| peer.pace).unwrap_or_default() }
    }

    fn pace_of_mut(&mut self, core: &Core, id: BrokerId) -> &mut Pace {
        match self.peers.get_mut(&id) {
            Some(peer) if id != core.me => &mut peer.pace,
            Some(_) | None => &mut self.pace,
        }
    }
}
