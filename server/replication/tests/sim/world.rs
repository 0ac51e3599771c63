//! Brokers, network, disks and time of one run.

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use flymq_replication::replica::{
    BrokerEpoch, BrokerId, Frame, IsrChange, Millis, PartitionMeta, RangeHead, Replica, ReplicaAction,
    ReplicaEvent, ReplicaSettings, ResignReason, RoleName, Span,
};
use flymq_types::{LeaderEpoch, Offset};

use crate::authority::Authority;
use crate::chance::Chance;
use crate::disk::{Batch, Disk};
use crate::oracle::Oracle;

/// Something on its way to happen.
#[derive(Debug, Clone, Hash)]
pub enum Due {
    Frame { from: BrokerId, to: BrokerId, frame: Frame },
    Event { node: BrokerId, process: u64, event: ReplicaEvent },
    Synced { node: BrokerId, process: u64, end: u64, generation: u32 },
    Wake { node: BrokerId, process: u64 },
    Registered { node: BrokerId, process: u64, epoch: BrokerEpoch, meta: PartitionMeta },
    ToAuthority { node: BrokerId, process: u64, ask: Ask },
    Sessions,
    Produce,
    Fault,
}

/// What a broker asks of the metadata group.
#[derive(Debug, Clone, Hash)]
pub enum Ask {
    Register { dir: u64 },
    Heartbeat { sent: Millis },
    AlterIsr(IsrChange),
    Resign(LeaderEpoch, ResignReason),
    HandOver { partition_epoch: u32, to: BrokerId },
}

pub struct Node {
    pub id: BrokerId,
    /// None: down.
    pub replica: Option<Replica>,
    pub up: bool,
    pub process: u64,
    pub disk: Disk,
    syncing: bool,
    /// A sync takes up to so long.
    pub sync_time: Millis,
    /// Stopped (SIGSTOP) until then.
    pub stopped_until: Millis,
    heartbeat: Millis,
}

/// What the network does at present.
#[derive(Debug, Default)]
pub struct Network {
    pub loss: u64,
    pub doubled: u64,
    pub delay: Millis,
    /// From, to.
    pub cut: Vec<(BrokerId, BrokerId)>,
    /// Cut off from the metadata group.
    pub alone: Vec<BrokerId>,
}

/// Counted over runs.
#[derive(Debug, Default, Clone)]
pub struct Figures(pub BTreeMap<&'static str, u64>);

impl Figures {
    pub fn add(&mut self, name: &'static str, count: u64) {
        *self.0.entry(name).or_default() += count;
    }
}

pub struct World {
    pub now: Millis,
    pub chance: Chance,
    queue: BTreeMap<(Millis, u64), Due>,
    scheduled: u64,
    pub nodes: Vec<Node>,
    pub authority: Authority,
    pub network: Network,
    pub oracle: Oracle,
    pub settings: ReplicaSettings,
    pub figures: Figures,
    pub healed: bool,
    pub tokens: u64,
    trace: DefaultHasher,
    print: bool,
}

pub const TICK: Millis = 50;

impl World {
    pub fn new(
        mut chance: Chance,
        settings: ReplicaSettings,
        brokers: u64,
        assigned: usize,
        print: bool,
    ) -> Self {
        let ids: Vec<BrokerId> = (1..=brokers).map(BrokerId).collect();
        let node = |id: &BrokerId| Node {
            id: *id,
            replica: None,
            up: false,
            process: 0,
            disk: Disk { dir: id.0, ..Disk::default() },
            syncing: false,
            sync_time: 5,
            stopped_until: 0,
            heartbeat: 0,
        };
        let network = Network {
            loss: chance.pick(&[0, 1, 5, 20]).unwrap(),
            doubled: chance.pick(&[0, 1, 10]).unwrap(),
            delay: chance.pick(&[3, 20, 150]).unwrap(),
            ..Network::default()
        };
        let mut world = Self {
            now: 10,
            chance,
            queue: BTreeMap::new(),
            scheduled: 0,
            nodes: ids.iter().map(node).collect(),
            authority: Authority::new(ids[..assigned].to_vec(), settings.min_insync),
            network,
            oracle: Oracle::default(),
            settings,
            figures: Figures::default(),
            healed: false,
            tokens: 0,
            trace: DefaultHasher::new(),
            print,
        };
        ids.into_iter().for_each(|id| world.start(id));
        world.after(0, Due::Sessions);
        world
    }

    pub fn after(&mut self, delay: Millis, due: Due) {
        self.scheduled += 1;
        self.queue.insert((self.now + delay, self.scheduled), due);
    }

    pub fn node(&mut self, id: BrokerId) -> &mut Node {
        let index = usize::try_from(id.0 - 1).unwrap();
        &mut self.nodes[index]
    }

    /// Everything that happened so far as one number.
    pub fn trace(&self) -> u64 {
        self.trace.finish()
    }

    /// Runs until `end`.
    pub fn run_until(&mut self, end: Millis) {
        while let Some(entry) = self.queue.first_entry()
            && entry.key().0 <= end
        {
            let ((at, _), due) = entry.remove_entry();
            self.now = at;
            (at, &due).hash(&mut self.trace);
            if self.print && !matches!(due, Due::Sessions | Due::Wake { .. }) {
                println!("{at} {due:?}");
            }
            self.happen(due);
        }
        self.now = end;
    }

    fn happen(&mut self, due: Due) {
        let (node, process) = match &due {
            Due::Frame { to, .. } => (*to, None),
            Due::Event { node, process, .. }
            | Due::Synced { node, process, .. }
            | Due::Wake { node, process }
            | Due::Registered { node, process, .. } => (*node, Some(*process)),
            Due::ToAuthority { .. } | Due::Sessions | Due::Produce | Due::Fault => {
                return self.happen_outside(due);
            }
        };
        let now = self.now;
        let there = self.node(node);
        if !there.up || process.is_some_and(|process| process != there.process) {
            return;
        }
        if there.stopped_until > now {
            let delay = there.stopped_until - now;
            return self.after(delay, due);
        }
        match due {
            Due::Frame { from, frame, .. } => self.step(node, ReplicaEvent::Frame { from, frame }),
            Due::Event { event, .. } => self.step(node, event),
            Due::Synced { end, generation, .. } => self.on_synced(node, end, generation),
            Due::Wake { .. } => self.on_wake(node),
            Due::Registered { epoch, meta, .. } => self.on_registered(node, epoch, meta),
            Due::ToAuthority { .. } | Due::Sessions | Due::Produce | Due::Fault => {}
        }
    }

    fn happen_outside(&mut self, due: Due) {
        match due {
            Due::ToAuthority { node, process, ask } => self.on_ask(node, process, ask),
            Due::Sessions => {
                self.authority.check_sessions(self.now, self.settings.session);
                self.after(100, Due::Sessions);
            }
            Due::Produce => self.on_produce(),
            Due::Fault => self.on_fault(),
            Due::Frame { .. }
            | Due::Event { .. }
            | Due::Synced { .. }
            | Due::Wake { .. }
            | Due::Registered { .. } => {}
        }
    }

    // Processes.

    pub fn start(&mut self, id: BrokerId) {
        let now = self.now;
        let node = self.node(id);
        node.process += 1;
        (node.up, node.syncing, node.stopped_until, node.heartbeat) = (true, false, 0, now);
        let process = node.process;
        self.after(0, Due::Wake { node: id, process });
    }

    pub fn crash(&mut self, id: BrokerId) {
        let mut chance = Chance::new(self.chance.within(0, u64::MAX - 1));
        let node = self.node(id);
        (node.up, node.replica) = (false, None);
        node.disk.crash(&mut chance);
    }

    fn on_registered(&mut self, id: BrokerId, epoch: BrokerEpoch, meta: PartitionMeta) {
        let settings = self.settings.clone();
        let node = self.node(id);
        if node.replica.is_some() {
            return;
        }
        let replica = Replica::new(id, epoch, settings, node.disk.view());
        node.replica = Some(replica.knowing(Offset(node.disk.known)));
        self.step(id, ReplicaEvent::Meta(meta));
    }

    fn on_wake(&mut self, id: BrokerId) {
        let now = self.now;
        let node = self.node(id);
        let (process, dir, heartbeat) = (node.process, node.disk.dir, node.heartbeat);
        self.after(TICK, Due::Wake { node: id, process });
        if heartbeat <= now {
            let registered = self.node(id).replica.is_some();
            self.node(id).heartbeat = now + 250;
            let ask = if registered { Ask::Heartbeat { sent: now } } else { Ask::Register { dir } };
            self.ask(id, ask);
        }
        self.step(id, ReplicaEvent::Tick);
        let latest = self.node(id).replica.as_ref().and_then(|replica| replica.latest_offset(now));
        if let Some(latest) = latest {
            self.oracle.told_latest(id, latest.0);
        }
    }

    // The metadata group.

    fn lost(&mut self) -> bool {
        let loss = self.network.loss;
        self.chance.percent(loss)
    }

    fn delay(&mut self) -> Millis {
        let longest = self.network.delay;
        self.chance.within(1, longest)
    }

    fn ask(&mut self, id: BrokerId, ask: Ask) {
        if self.network.alone.contains(&id) || self.lost() {
            return;
        }
        let process = self.node(id).process;
        let delay = self.delay();
        let due = Due::ToAuthority { node: id, process, ask };
        if self.chance.percent(self.network.doubled) {
            // A copy that comes late: the connection broke, and the request was sent again.
            let late = delay + self.chance.within(1, 1_000);
            self.after(late, due.clone());
        }
        self.after(delay, due);
    }

    fn answer(&mut self, id: BrokerId, process: u64, events: Vec<ReplicaEvent>) {
        if self.network.alone.contains(&id) || self.lost() {
            return;
        }
        let delay = self.delay();
        for event in events {
            self.after(delay, Due::Event { node: id, process, event });
        }
    }

    fn on_ask(&mut self, id: BrokerId, process: u64, ask: Ask) {
        let before = self.authority.meta.partition_epoch;
        match ask {
            Ask::Register { dir } => {
                let leaves = self.chance.percent(50);
                let epoch = self.authority.register(self.now, id, (process, dir), leaves);
                let (meta, delay) = (self.authority.meta.clone(), self.delay());
                if let Some(epoch) = epoch.filter(|_| !self.network.alone.contains(&id)) {
                    self.after(delay, Due::Registered { node: id, process, epoch, meta });
                }
            }
            Ask::Heartbeat { sent } => {
                if self.authority.heartbeat(self.now, id, process) {
                    let meta = ReplicaEvent::Meta(self.authority.meta.clone());
                    self.answer(id, process, vec![meta, ReplicaEvent::SessionRenewed { sent }]);
                }
            }
            Ask::AlterIsr(change) => {
                if !self.authority.alter_isr(id, &change) {
                    self.figures.add("ISR changes refused", 1);
                    let partition_epoch = change.partition_epoch;
                    self.answer(id, process, vec![ReplicaEvent::IsrRefused { partition_epoch }]);
                }
            }
            Ask::HandOver { partition_epoch, to } => {
                let (from, epoch) = (self.authority.meta.leader, self.authority.meta.leader_epoch);
                if self.authority.hand_over(partition_epoch, to) {
                    self.figures.add("leaderships handed over", u64::from(from != Some(to)));
                    let disk = self.node(to).disk.clone();
                    self.oracle.handed_over(epoch.0, to, &disk);
                } else {
                    self.answer(id, process, vec![ReplicaEvent::HandOverRefused { partition_epoch }]);
                }
            }
            Ask::Resign(epoch, reason) => {
                self.figures.add("leaderships declined", 1);
                self.authority.resign(id, epoch, reason);
            }
        }
        if self.authority.meta.partition_epoch != before {
            self.check_isr("a change of metadata");
            for index in 0..self.nodes.len() {
                let (id, process) = (self.nodes[index].id, self.nodes[index].process);
                self.answer(id, process, vec![ReplicaEvent::Meta(self.authority.meta.clone())]);
            }
        }
    }

    // One replica.

    pub fn step(&mut self, id: BrokerId, event: ReplicaEvent) {
        let now = self.now;
        let Some(replica) = &mut self.node(id).replica else { return };
        let mut actions = Vec::new();
        replica.step(now, event, &mut actions);
        actions.hash(&mut self.trace);
        for action in actions {
            if self.print {
                println!("    {id:?} {action:?}");
            }
            self.perform(id, action);
        }
        let node = self.node(id);
        let Some(replica) = &node.replica else { return };
        let (view, disk) = (replica.log(), &node.disk);
        assert_eq!(
            (view.start.0, view.end.0),
            (disk.start, disk.end),
            "{id:?}: the view of the log is wrong"
        );
        self.sync(id);
    }

    fn perform(&mut self, id: BrokerId, action: ReplicaAction) {
        match action {
            ReplicaAction::StartEpoch(first) => {
                self.oracle.leads(id, first.epoch.0);
                let disk = &mut self.node(id).disk;
                disk.epochs.append(first.start, &[first]);
                let disk = disk.clone();
                // An old appointment may arrive when others have long led after it; such a leader commits nothing.
                if first.epoch == self.authority.meta.leader_epoch {
                    self.oracle.whole(id, &disk, "a new leader");
                }
            }
            ReplicaAction::Append { base, epoch, batch } => {
                let parsed = Disk::parse(&batch);
                let batch = Batch { base: base.0, epoch: epoch.0, ..parsed[0] };
                self.write(id, batch);
            }
            ReplicaAction::AppendRange { from, chunk } => {
                let disk = &mut self.node(id).disk;
                let runs: Vec<_> = chunk
                    .epochs
                    .iter()
                    .map(|run| {
                        let start = run.start.max(from);
                        flymq_replication::replica::EpochStart { start, ..*run }
                    })
                    .collect();
                let last_before = runs.iter().rposition(|run| run.start == from).unwrap_or(0);
                disk.epochs.append(from, &runs[last_before..]);
                for batch in Disk::parse(&chunk.raw).into_iter().filter(|batch| batch.base >= from.0) {
                    self.write(id, batch);
                }
            }
            ReplicaAction::Truncate { end, generation } => {
                self.figures.add("truncations", 1);
                self.node(id).disk.truncate(end.0);
                assert_eq!(self.node(id).disk.generation, generation);
                self.check_isr("a truncation");
            }
            ReplicaAction::Reset { start, generation } => {
                self.figures.add("resets", 1);
                self.node(id).disk.reset(start.0);
                assert_eq!(self.node(id).disk.generation, generation);
                self.check_isr("a reset");
            }
            ReplicaAction::AdvanceStart(start) => {
                assert!(start.0 <= self.oracle.committed_end, "deleted before it was committed");
                self.node(id).disk.advance_start(start.0);
            }
            ReplicaAction::Repair { chunk } => self.repair(id, &chunk),
            ReplicaAction::Send { to, frame } => self.send(id, to, frame),
            ReplicaAction::SendRange { to, head, limit, .. } => self.send_range(id, to, head, limit.0),
            ReplicaAction::SendRepair { to, leader_epoch, span } => {
                let chunk = self.node(id).disk.read(span.from.0, span.until.0);
                self.send(id, to, Frame::RepairReply { leader_epoch, chunk });
            }
            ReplicaAction::AlterIsr(change) => self.ask(id, Ask::AlterIsr(change)),
            ReplicaAction::Resign { leader_epoch, reason } => self.ask(id, Ask::Resign(leader_epoch, reason)),
            ReplicaAction::HandOver { partition_epoch, to } => {
                self.ask(id, Ask::HandOver { partition_epoch, to });
            }
            ReplicaAction::RefreshMeta { .. } => self.figures.add("leaders that learned of a later epoch", 1),
            ReplicaAction::Complete { token, result } => self.on_complete(id, token, result),
            ReplicaAction::AdvanceHighWatermark(high) => {
                if self.chance.percent(30) {
                    self.node(id).disk.known = high.0;
                }
                self.on_high_watermark(id, high.0);
            }
        }
    }

    fn write(&mut self, id: BrokerId, batch: Batch) {
        self.oracle.wrote(batch);
        self.node(id).disk.append(batch);
    }

    fn repair(&mut self, id: BrokerId, chunk: &flymq_replication::replica::Chunk) {
        self.figures.add("damaged ranges mended", 1);
        let span = Span { from: chunk.first, until: chunk.until };
        let node = self.node(id);
        for new in Disk::parse(&chunk.raw) {
            let old = node.disk.batches.iter_mut().find(|old| old.base == new.base);
            let old = old.expect("a repair is of what is there");
            *old = new;
        }
        node.disk.corrupt.retain(|own| *own != span);
        let process = node.process;
        for batch in Disk::parse(&chunk.raw) {
            self.oracle.wrote(batch);
        }
        self.after(1, Due::Event { node: id, process, event: ReplicaEvent::Repaired(span) });
    }

    fn send(&mut self, from: BrokerId, to: BrokerId, frame: Frame) {
        self.figures.add("frames", 1);
        if self.network.cut.contains(&(from, to)) || self.lost() {
            return self.figures.add("frames lost", 1);
        }
        let delay = self.delay();
        if self.chance.percent(self.network.doubled) {
            let late = delay + self.chance.within(1, 500);
            self.after(late, Due::Frame { from, to, frame: frame.clone() });
        }
        self.after(delay, Due::Frame { from, to, frame });
    }

    fn send_range(&mut self, id: BrokerId, to: BrokerId, head: RangeHead, limit: u64) {
        let most = self.chance.within(1, 20);
        let node = self.node(id);
        let (first, stream, process) = (head.first, head.stream, node.process);
        let until = node.disk.whole_batches(first.0, limit.min(first.0 + most));
        let chunk = node.disk.read(first.0, until);
        if until > first.0 || limit == first.0 {
            self.send(id, to, Frame::Range { head, chunk });
        }
        if limit > first.0 {
            let event = ReplicaEvent::RangeSent { to, stream, first, until: Offset(until) };
            let delay = self.chance.within(0, 3);
            self.after(delay, Due::Event { node: id, process, event });
        }
    }

    fn sync(&mut self, id: BrokerId) {
        let longest = self.node(id).sync_time;
        let delay = self.chance.within(1, longest);
        let node = self.node(id);
        if node.syncing || node.disk.durable >= node.disk.end {
            return;
        }
        node.syncing = true;
        let (process, end, generation) = (node.process, node.disk.end, node.disk.generation);
        self.after(delay, Due::Synced { node: id, process, end, generation });
    }

    fn on_synced(&mut self, id: BrokerId, end: u64, generation: u32) {
        let node = self.node(id);
        node.syncing = false;
        if generation == node.disk.generation {
            node.disk.durable = node.disk.durable.max(end);
        }
        self.step(id, ReplicaEvent::LocalDurable { end: Offset(end), generation });
        self.sync(id);
    }

    fn on_high_watermark(&mut self, id: BrokerId, high: u64) {
        let node = &self.nodes[usize::try_from(id.0 - 1).unwrap()];
        let Some(replica) = &node.replica else { return };
        if replica.role() != RoleName::Leader {
            return;
        }
        let epoch = replica.meta().leader_epoch.0;
        assert!(high <= node.disk.durable, "committed, and not on the leader's own disk");
        self.oracle.commits(id, epoch, high, &node.disk);
        self.check_isr("a commit");
    }

    /// Whoever the metadata group may make leader has all that is committed on disk.
    pub fn check_isr(&mut self, what: &str) {
        let committed = self.oracle.committed_end;
        let may_lead = [self.authority.meta.isr.clone(), self.authority.elr.clone()].concat();
        for id in may_lead {
            let known = self.authority.brokers.get(&id).map_or(id.0, |broker| broker.dir);
            let disk = &self.node(id).disk;
            // A disk that was replaced is not known as such before its broker registers.
            assert!(
                disk.dir != known || disk.durable >= committed,
                "after {what}: {id:?} is in sync or eligible with {} on disk, {committed} is committed",
                disk.durable
            );
        }
    }
}
