//! What goes wrong, and what clients do meanwhile.

use bytes::{BufMut, BytesMut};
use flymq_replication::replica::{BrokerId, ReplicaError, ReplicaEvent, RoleName, Span, Token};
use flymq_types::{Acks, Offset};

use crate::disk::Batch;
use crate::oracle::Asked;
use crate::world::{Due, World};

impl World {
    fn leaders(&self) -> Vec<BrokerId> {
        let leads = |node: &&crate::world::Node| {
            node.replica.as_ref().is_some_and(|replica| replica.role() == RoleName::Leader)
        };
        self.nodes.iter().filter(leads).map(|node| node.id).collect()
    }

    pub fn on_produce(&mut self) {
        if self.healed {
            return;
        }
        let pause = self.chance.within(5, 60);
        self.after(pause, Due::Produce);
        let everyone: Vec<BrokerId> = self.nodes.iter().map(|node| node.id).collect();
        let leaders = self.leaders();
        let to =
            if self.chance.percent(10) { self.chance.pick(&everyone) } else { self.chance.pick(&leaders) };
        let Some(to) = to else { return };
        if self.chance.percent(1) {
            let high = self.node(to).replica.as_ref().map_or(0, |replica| replica.high_watermark().0);
            let before = self.batch_start(to, high);
            self.tokens += 1;
            let token = Some(Token(self.tokens));
            return self.client(to, ReplicaEvent::DeleteRecords { before: Offset(before), token });
        }
        let acks = self.chance.pick(&[Acks::All, Acks::All, Acks::All, Acks::Leader, Acks::None]).unwrap();
        self.produce(to, acks);
    }

    /// The start of a batch of `id` at or below `offset`, somewhere in its log.
    fn batch_start(&mut self, id: BrokerId, offset: u64) -> u64 {
        let starts: Vec<u64> =
            self.node(id).disk.batches.iter().map(|b| b.base).filter(|base| *base <= offset).collect();
        let first_half = &starts[..starts.len() / 2];
        self.chance.pick(first_half).unwrap_or(0)
    }

    fn client(&mut self, to: BrokerId, event: ReplicaEvent) {
        let node = self.node(to);
        let process = node.process;
        if node.up {
            self.after(0, Due::Event { node: to, process, event });
        }
    }

    pub fn produce(&mut self, to: BrokerId, acks: Acks) -> Token {
        self.tokens += 1;
        let (token, value) = (Token(self.tokens), self.tokens);
        let records = self.chance.within(1, 3);
        let mut batch = BytesMut::new();
        batch.put_u64(0);
        batch.put_u64(records);
        batch.put_u32(0);
        batch.put_u64(value);
        self.figures.add("batches produced", 1);
        self.oracle.asked.insert(token, Asked { value, records, acks, floor: self.oracle.floor() });
        let records = u32::try_from(records).unwrap();
        self.client(to, ReplicaEvent::Produce { batch: batch.freeze(), records, acks, token });
        token
    }

    pub fn on_complete(&mut self, id: BrokerId, token: Token, result: Result<Offset, ReplicaError>) {
        let Some(asked) = self.oracle.asked.remove(&token) else {
            // A deletion.
            if let Ok(start) = result {
                self.oracle.deleted = self.oracle.deleted.max(start.0);
                self.check_deleted();
            }
            return;
        };
        let Ok(base) = result else { return };
        if let Some(replica) = &self.node(id).replica
            && replica.role() == RoleName::Leader
        {
            let epoch = replica.meta().leader_epoch.0;
            self.oracle.leads(id, epoch);
            if asked.acks == Acks::Leader {
                self.oracle.answers(epoch, asked, base.0);
            }
        }
        if asked.acks == Acks::All {
            self.figures.add("batches acknowledged (all)", 1);
            self.oracle.acks(asked, base.0);
            self.check_isr("an acknowledgement");
        }
    }

    fn check_deleted(&mut self) {
        let deleted = self.oracle.deleted;
        for id in self.authority.meta.isr.clone() {
            let known = self.authority.brokers.get(&id).map_or(id.0, |broker| broker.dir);
            let disk = &self.node(id).disk;
            assert!(
                disk.dir != known || disk.start >= deleted,
                "{id:?} still has what was said to be deleted"
            );
        }
    }

    pub fn on_fault(&mut self) {
        if self.healed {
            return;
        }
        let pause = self.chance.within(50, 900);
        self.after(pause, Due::Fault);
        let everyone: Vec<BrokerId> = self.nodes.iter().map(|node| node.id).collect();
        let id = self.chance.pick(&everyone).unwrap();
        let other = self.chance.pick(&everyone).unwrap();
        match self.chance.within(0, 17) {
            0..=2 if self.node(id).up => {
                self.figures.add("crashes", 1);
                self.crash(id);
            }
            0..=4 if !self.node(id).up => self.start(id),
            3 => self.replace_disk(id),
            4 => self.damage(id),
            5 if id != other => self.network.cut.push((id, other)),
            6 => self.isolate(id),
            7 => self.network.alone.push(id),
            8 | 9 => {
                self.network.cut.clear();
                self.network.alone.clear();
            }
            10 => {
                let pause = self.chance.within(100, 4_000);
                self.figures.add("stops (SIGSTOP)", 1);
                self.node(id).stopped_until = self.now + pause;
            }
            11 => self.node(id).sync_time = self.chance.pick(&[5, 200, 1_500]).unwrap(),
            12 => {
                // The leader loses power in the middle of things, and comes back before anyone has noticed.
                if let Some(leader) =
                    self.authority.meta.leader.filter(|id| self.nodes[(id.0 - 1) as usize].up)
                {
                    self.figures.add("crashes", 1);
                    self.crash(leader);
                    self.start(leader);
                }
            }
            13..=16 => self.authority.plan(id),
            _ => {
                if !self.authority.meta.holds(id) {
                    self.figures.add("replicas added", 1);
                    self.authority.add(id);
                }
            }
        }
    }

    fn isolate(&mut self, id: BrokerId) {
        let others = self.nodes.iter().map(|node| node.id).filter(|other| *other != id);
        let both = others.flat_map(|other| [(id, other), (other, id)]).collect::<Vec<_>>();
        self.network.cut.extend(both);
        if self.chance.percent(50) {
            self.network.alone.push(id);
        }
    }

    /// Whether one more disk may fail: all that are in sync are whole, and there are others beside `id`.
    fn may_lose(&mut self, id: BrokerId) -> bool {
        let isr = self.authority.meta.isr.clone();
        let whole = |world: &mut Self, id: BrokerId| {
            let known = world.authority.brokers.get(&id).map_or(id.0, |broker| broker.dir);
            let committed = world.oracle.committed_end;
            let disk = &world.node(id).disk;
            disk.dir == known && disk.durable >= committed
        };
        let undamaged = self.nodes.iter().all(|node| node.disk.corrupt.is_empty());
        let others = isr.iter().any(|other| *other != id);
        let all = isr.iter().all(|other| whole(self, *other));
        undamaged && others && all
    }

    fn replace_disk(&mut self, id: BrokerId) {
        if !self.may_lose(id) {
            return;
        }
        self.figures.add("disks replaced", 1);
        self.crash(id);
        // That takes longer than a session. (Were the others to fail meanwhile, the lost disk would be the last in sync:
        // two failures, which nothing here survives.)
        self.authority.replaced(id);
        self.node(id).process += 1;
        let dir = self.now * 10 + id.0 + 1_000;
        self.node(id).disk = crate::disk::Disk { dir, ..crate::disk::Disk::default() };
        self.start(id);
    }

    fn damage(&mut self, id: BrokerId) {
        if !self.may_lose(id) || !self.node(id).up || self.node(id).replica.is_none() {
            return;
        }
        let disk = &self.nodes[usize::try_from(id.0 - 1).unwrap()].disk;
        // What is not committed nobody else may have: then it stays damaged.
        let (start, durable) = (disk.start, disk.durable.min(self.oracle.committed_end));
        let hit = |b: &&Batch| b.base >= start && b.end() <= durable;
        let batches: Vec<Batch> = disk.batches.iter().filter(hit).copied().collect();
        let Some(first) = self.chance.pick(&batches) else { return };
        let last = batches.iter().find(|b| b.base >= first.base + 4).copied().unwrap_or(first);
        let span = Span { from: Offset(first.base), until: Offset(last.end()) };
        let node = self.node(id);
        let within = |b: &&mut Batch| b.base >= span.from.0 && b.end() <= span.until.0;
        node.disk.batches.iter_mut().filter(within).for_each(|batch| batch.value = 0);
        node.disk.corrupt.push(span);
        self.figures.add("ranges damaged", 1);
        // Found by the next read: the storage layer gives out nothing whose crc is wrong.
        self.step(id, ReplicaEvent::Corrupt(span));
    }
}
