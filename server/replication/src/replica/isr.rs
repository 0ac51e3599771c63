//! Who is in sync: the leader's wishes, and what the metadata group makes of them (rule 6).

use std::collections::BTreeSet;

use flymq_types::Offset;

use super::leader::Leader;
use super::{BrokerEpoch, BrokerId, Core, IsrChange, Millis, ReplicaAction};

/// A change that has been asked for and not been seen committed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct PendingIsr {
    /// Compared with this.
    pub partition_epoch: u32,
    /// The set asked for last, with the broker epochs on whose reports it rests: asking again under a later one would
    /// bring in a broker whose disk was replaced since.
    pub wanted: Vec<(BrokerId, Option<BrokerEpoch>)>,
    /// Everyone in any set asked for under this partition epoch. A request may lie in the network, and come true
    /// though a later copy of it was refused, until the partition epoch has moved on.
    pub possible: BTreeSet<BrokerId>,
    /// When it was last sent.
    pub sent: Millis,
}

impl Leader {
    /// The metadata group has committed something in this epoch.
    pub(super) fn on_isr(&mut self, now: Millis, core: &mut Core, out: &mut Vec<ReplicaAction>) {
        if self.pending.as_ref().is_some_and(|pending| pending.partition_epoch < core.meta.partition_epoch) {
            self.pending = None;
        }
        self.follow_assignment(now, core);
        self.advance(now, core, out);
    }

    /// Refused, but not gone (see [`PendingIsr::possible`]): the set as it is, asked for in its place, moves the
    /// partition epoch, and then it is.
    pub(super) fn on_isr_refused(&mut self, now: Millis, core: &Core, partition_epoch: u32) {
        if cfg!(mutant = "replica_refused_is_forgotten") {
            self.pending = None;
        }
        let wanted = self.with_broker_epochs(core, &core.meta.isr);
        if let Some(pending) = &mut self.pending
            && pending.partition_epoch == partition_epoch
        {
            (pending.wanted, pending.sent) = (wanted, now);
        }
    }

    /// Asks for a change where one is due; asks again where no answer came.
    pub(super) fn look_after_isr(&mut self, now: Millis, core: &Core, out: &mut Vec<ReplicaAction>) {
        if let Some(pending) = &mut self.pending {
            if now.saturating_sub(pending.sent) < core.settings.resend_after {
                return;
            }
            pending.sent = now;
        } else {
            let wanted = self.wanted_isr(now, core);
            // The set as it is: see [`super::hand_over`].
            if wanted == core.meta.isr && !self.may_be_replaced() {
                return;
            }
            let possible = wanted.iter().copied().collect();
            let wanted = self.with_broker_epochs(core, &wanted);
            let partition_epoch = core.meta.partition_epoch;
            self.pending = Some(PendingIsr { partition_epoch, wanted, possible, sent: now });
        }
        let Some(pending) = &self.pending else { return };
        let isr = if cfg!(mutant = "replica_asks_again_for_another_process") {
            let ids: Vec<BrokerId> = pending.wanted.iter().map(|(id, _)| *id).collect();
            self.with_broker_epochs(core, &ids)
        } else {
            pending.wanted.clone()
        };
        out.push(ReplicaAction::AlterIsr(IsrChange {
            leader_epoch: self.epoch,
            partition_epoch: pending.partition_epoch,
            isr,
        }));
    }

    fn with_broker_epochs(&self, core: &Core, ids: &[BrokerId]) -> Vec<(BrokerId, Option<BrokerEpoch>)> {
        ids.iter().map(|id| (*id, self.broker_epoch(core, *id))).collect()
    }

    fn broker_epoch(&self, core: &Core, id: BrokerId) -> Option<BrokerEpoch> {
        if id == core.me {
            return Some(core.broker_epoch);
        }
        self.peers.get(&id)?.stream.map(|stream| stream.broker_epoch)
    }

    /// The committed set without those who lag, with those who have caught up; the order of members that stay is kept.
    fn wanted_isr(&self, now: Millis, core: &Core) -> Vec<BrokerId> {
        let lags =
            |id: &BrokerId| self.peers.get(id).is_some_and(|peer| peer.lags(now, core.settings.lag_max));
        let stays = core.meta.isr.iter().filter(|id| **id == core.me || !lags(id)).copied();
        let mut wanted: Vec<BrokerId> = stays.collect();
        // Who holds the others up leaves, and stays out, as long as enough others are there.
        let is_away = |id: &BrokerId| self.peers.get(id).is_some_and(|peer| peer.pace.is_away(now));
        if wanted.iter().filter(|id| !is_away(id)).count() >= core.settings.min_insync {
            wanted.retain(|id| !is_away(id));
        }
        let enough = wanted.len() >= core.settings.min_insync;
        // Who lags would leave again at once: below `min_insync` the high watermark stands still, and the dead have it.
        let joins = |id: &BrokerId| {
            let may_come = !lags(id) && (!enough || !is_away(id));
            !core.meta.isr.contains(id) && may_come && self.may_join(core, *id)
        };
        wanted.extend(core.meta.holders().iter().filter(|id| joins(id)));
        wanted
    }

    /// Whether it has everything on disk that is committed, whoever committed it: the high watermark that this leader
    /// knows may be older than what an earlier one reached, but not than the start of its own epoch.
    fn may_join(&self, core: &Core, id: BrokerId) -> bool {
        let Some(peer) = self.peers.get(&id) else { return false };
        let (Some(durable), Some(position)) = (peer.durable(), &peer.position) else { return false };
        // As a leader it would show again what is deleted.
        if position.log_start < core.log.start && !cfg!(mutant = "replica_joins_with_deleted_records") {
            return false;
        }
        let needed = match () {
            () if cfg!(mutant = "replica_joins_too_early") => Offset::ZERO,
            () if cfg!(mutant = "replica_joins_before_the_epoch") => core.high_watermark,
            () => core.high_watermark.max(self.epoch_start),
        };
        durable >= needed
    }
}
