//! The metadata group, as the rules of the cluster want it: it elects, fences and takes ISR changes.

use std::collections::BTreeMap;

use flymq_replication::replica::{BrokerEpoch, BrokerId, IsrChange, Millis, PartitionMeta, ResignReason};
use flymq_types::LeaderEpoch;

/// A broker as the group knows it.
#[derive(Debug, Clone, Default)]
pub struct Broker {
    pub epoch: BrokerEpoch,
    pub process: u64,
    pub dir: u64,
    pub heard: Millis,
    pub alive: bool,
}

#[derive(Debug, Default)]
pub struct Authority {
    pub meta: PartitionMeta,
    /// Out of sync since less than `min_insync` are in it: nothing was committed without them (KIP-966).
    pub elr: Vec<BrokerId>,
    pub min_insync: usize,
    pub brokers: BTreeMap<BrokerId, Broker>,
    pub elections: u64,
    /// Of replicas that were not in sync.
    pub eligible_elections: u64,
    pub isr_changes: u64,
    epochs: u64,
}

impl Authority {
    pub fn new(replicas: Vec<BrokerId>, min_insync: usize) -> Self {
        let isr = replicas.clone();
        let meta = PartitionMeta { isr, replicas, partition_epoch: 1, ..PartitionMeta::default() };
        Self { meta, min_insync, ..Self::default() }
    }

    fn alive(&self, id: BrokerId) -> bool {
        self.brokers.get(&id).is_some_and(|broker| broker.alive)
    }

    fn elect(&mut self, but: Option<BrokerId>) {
        let fit = |id: &&BrokerId| self.meta.isr.contains(id) && self.alive(**id) && Some(**id) != but;
        self.meta.leader = self.meta.replicas.iter().find(fit).copied();
        let eligible = |id: &&BrokerId| self.elr.contains(id) && self.alive(**id) && Some(**id) != but;
        if self.meta.leader.is_none()
            && let Some(leader) = self.meta.replicas.iter().find(eligible).copied()
        {
            let before = std::mem::replace(&mut self.meta.isr, vec![leader]);
            self.elr.extend(before);
            self.meta.leader = Some(leader);
            self.eligible_elections += 1;
            self.settle();
        }
        self.lead_anew();
    }

    fn lead_anew(&mut self) {
        self.meta.leader_epoch = LeaderEpoch(self.meta.leader_epoch.0 + 1);
        self.meta.partition_epoch += 1;
        self.meta.successor = None;
        self.elections += 1;
    }

    fn leave_isr(&mut self, id: BrokerId) {
        if self.meta.isr.len() > 1 && self.meta.isr.contains(&id) {
            self.meta.isr.retain(|member| *member != id);
            self.meta.partition_epoch += 1;
            self.elr.push(id);
            self.settle();
        }
    }

    fn settle(&mut self) {
        let isr = &self.meta.isr;
        let commits = isr.len() >= self.min_insync;
        self.elr.retain(|id| !commits && !isr.contains(id));
        self.meta.successor = self.meta.successor.filter(|id| isr.contains(id));
    }

    /// A leadership is to move.
    pub fn plan(&mut self, to: BrokerId) {
        let leads = self.meta.leader.is_some_and(|leader| leader != to);
        if leads && self.meta.isr.contains(&to) && self.meta.successor != Some(to) {
            self.meta.successor = Some(to);
            self.meta.partition_epoch += 1;
        }
    }

    /// Its leader hands it over. Whether that was applied.
    pub fn hand_over(&mut self, partition_epoch: u32, to: BrokerId) -> bool {
        let current = self.meta.leader.is_some() && self.meta.partition_epoch == partition_epoch;
        if !current || !self.meta.isr.contains(&to) || !self.alive(to) {
            return false;
        }
        self.meta.leader = Some(to);
        self.lead_anew();
        true
    }

    /// Its session is over.
    pub fn fence(&mut self, id: BrokerId, leaves: bool) {
        if let Some(broker) = self.brokers.get_mut(&id) {
            broker.alive = false;
        }
        if leaves {
            self.leave_isr(id);
        }
        if self.meta.leader == Some(id) {
            self.elect(Some(id));
        }
    }

    /// Its disk is replaced, which takes longer than anything of the old process is on its way.
    pub fn replaced(&mut self, id: BrokerId) {
        self.fence(id, true);
        if let Some(broker) = self.brokers.get_mut(&id) {
            broker.process += 1;
        }
    }

    /// Sessions that have run out.
    pub fn check_sessions(&mut self, now: Millis, session: Millis) {
        let late = |broker: &Broker| broker.alive && now - broker.heard > session;
        let late: Vec<BrokerId> =
            self.brokers.iter().filter(|(_, broker)| late(broker)).map(|(id, _)| *id).collect();
        late.into_iter().for_each(|id| self.fence(id, true));
    }

    /// A process of a broker says that it is there; None: a later one has done so.
    pub fn register(
        &mut self,
        now: Millis,
        id: BrokerId,
        (process, dir): (u64, u64),
        leaves: bool,
    ) -> Option<BrokerEpoch> {
        let known = self.brokers.entry(id).or_default().clone();
        if process < known.process {
            return None;
        }
        if process > known.process {
            self.epochs += 1;
            self.fence(id, leaves || dir != known.dir);
            if dir != known.dir {
                self.elr.retain(|eligible| *eligible != id);
            }
            let epoch = BrokerEpoch(self.epochs);
            self.brokers.insert(id, Broker { epoch, process, dir, heard: now, alive: true });
            self.elect_if_none();
        }
        self.brokers.get(&id).map(|broker| broker.epoch)
    }

    fn elect_if_none(&mut self) {
        if self.meta.leader.is_none() && self.meta.isr.iter().chain(&self.elr).any(|id| self.alive(*id)) {
            self.elect(None);
        }
    }

    /// Whether the session goes on.
    pub fn heartbeat(&mut self, now: Millis, id: BrokerId, process: u64) -> bool {
        let Some(broker) = self.brokers.get_mut(&id).filter(|broker| broker.process == process) else {
            return false;
        };
        broker.heard = now;
        broker.alive = true;
        self.elect_if_none();
        true
    }

    /// Whether it was applied.
    pub fn alter_isr(&mut self, from: BrokerId, change: &IsrChange) -> bool {
        let meta = &self.meta;
        let current = meta.leader == Some(from)
            && meta.leader_epoch == change.leader_epoch
            && meta.partition_epoch == change.partition_epoch;
        let fit = |(id, epoch): &(BrokerId, Option<BrokerEpoch>)| {
            let broker = self.brokers.get(id);
            meta.holds(*id)
                && (meta.isr.contains(id) || broker.is_some_and(|b| b.alive && Some(b.epoch) == *epoch))
        };
        if !current || !change.isr.iter().all(fit) || !change.isr.iter().any(|(id, _)| *id == from) {
            return false;
        }
        let isr = change.isr.iter().map(|(id, _)| *id).collect();
        self.elr.extend(std::mem::replace(&mut self.meta.isr, isr));
        self.settle();
        self.meta.partition_epoch += 1;
        self.isr_changes += 1;
        let joined: Vec<BrokerId> =
            self.meta.adding.iter().filter(|id| self.meta.isr.contains(id)).copied().collect();
        self.meta.adding.retain(|id| !joined.contains(id));
        self.meta.replicas.extend(joined);
        true
    }

    pub fn resign(&mut self, from: BrokerId, epoch: LeaderEpoch, reason: ResignReason) {
        if self.meta.leader != Some(from) || self.meta.leader_epoch != epoch {
            return;
        }
        let others = self.meta.isr.iter().any(|id| *id != from && self.alive(*id));
        match reason {
            _ if others => {
                if matches!(reason, ResignReason::Corrupt | ResignReason::Slow) {
                    self.leave_isr(from);
                    // It is not what it should be, whatever it has.
                    self.elr.retain(|id| *id != from);
                }
                self.elect(Some(from));
            }
            ResignReason::EpochUsed => self.elect(None),
            ResignReason::Corrupt | ResignReason::Slow => {}
        }
    }

    /// A reassignment begins.
    pub fn add(&mut self, id: BrokerId) {
        self.meta.adding.push(id);
        self.meta.partition_epoch += 1;
    }
}
