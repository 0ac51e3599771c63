//! Random histories of a leader and a follower that change roles, crash and cut off what the other does not have: what both
//! had on disk stays, equal on both.

use bytes::Bytes;
use flymq_types::{LeaderEpoch, Offset, SeededRng, Timestamp};
use proptest::prelude::*;

use super::replica::{batches, content};
use super::support::*;
use crate::testing::batch;
use crate::{EpochStart, Log, LogConfig, SimDisk, StorageError};

#[derive(Debug, Clone)]
enum Op {
    /// The leader appends batches of so many bytes.
    Append(Vec<usize>),
    /// The follower takes at most so many batches, with so many of those before that it has already.
    Replicate(usize, usize),
    /// Which of the two syncs.
    Sync(bool),
    Marks,
    /// The other one leads, if it has followed in this epoch.
    Elect,
    /// Which one loses power, and how: what was not synced goes whole or in part.
    PowerCut(bool, Option<u64>),
    /// Which process is killed.
    Kill(bool),
    /// The follower gets the leader's closed segments in place of its own.
    Install,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => prop::collection::vec(0_usize..3_000, 1..5).prop_map(Op::Append),
        8 => (1_usize..8, 0_usize..3).prop_map(|(count, again)| Op::Replicate(count, again)),
        5 => any::<bool>().prop_map(Op::Sync),
        1 => Just(Op::Marks),
        4 => Just(Op::Elect),
        3 => (any::<bool>(), any::<Option<u64>>()).prop_map(|(which, seed)| Op::PowerCut(which, seed)),
        1 => any::<bool>().prop_map(Op::Kill),
        1 => Just(Op::Install),
    ]
}

struct Node {
    disk: SimDisk,
    config: LogConfig,
    encrypted: bool,
    fixture: Option<Fixture>,
    opened: u64,
}

impl Node {
    fn new(segment_bytes: u64, tail: usize, encrypted: bool) -> Self {
        let config = LogConfig { segment_bytes, tail_cache_bytes: tail, ..LogConfig::default() };
        let mut node = Self { disk: SimDisk::new(), config, encrypted, fixture: None, opened: segment_bytes };
        node.open();
        node
    }

    fn open(&mut self) {
        drop(self.fixture.take());
        let _mode = encrypting(self.encrypted);
        self.opened += 1;
        let options = options(&self.disk, self.opened * 1_000_003);
        self.fixture = Some(Fixture::try_open_with(self.config, options).unwrap());
    }

    fn fixture(&self) -> &Fixture {
        self.fixture.as_ref().unwrap()
    }

    fn log(&self) -> &Log {
        &self.fixture().log
    }
}

struct Pair {
    nodes: [Node; 2],
    leader: usize,
    epoch: u32,
    /// The follower has found where its log leaves the leader's, and follows since.
    joined: bool,
    /// What both had on disk.
    committed: Vec<Bytes>,
    written: u64,
}

impl Pair {
    fn new(nodes: [Node; 2]) -> Self {
        let mut pair = Self { nodes, leader: 0, epoch: 0, joined: false, committed: Vec::new(), written: 0 };
        pair.lead(0);
        pair
    }

    fn lead(&mut self, node: usize) {
        (self.leader, self.epoch, self.joined) = (node, self.epoch + 1, false);
        self.leading().begin_epoch(LeaderEpoch(self.epoch)).unwrap();
    }

    fn leading(&self) -> &Log {
        self.nodes[self.leader].log()
    }

    fn following(&self) -> &Log {
        self.nodes[1 - self.leader].log()
    }

    fn high_watermark(&self) -> Offset {
        // Batches of one record each.
        Offset(self.committed.len() as u64)
    }

    fn append(&mut self, sizes: &[usize]) {
        for size in sizes {
            self.written += 1;
            let mut value = format!("{} of epoch {}", self.written, self.epoch).into_bytes();
            value.resize(value.len() + size, b'.');
            let now = Timestamp(NOW.0 + self.written as i64 * 3);
            self.leading().append(&batch(&[&value]), LeaderEpoch(self.epoch), now).unwrap();
        }
    }

    /// The follower cuts off what the leader does not have.
    fn join(&mut self) {
        let committed = self.high_watermark();
        let (leader, follower) = (self.leading(), self.following());
        while let Some(latest) = follower.latest_epoch() {
            let cut = leader.epoch_end(latest).map(|theirs| {
                let ours = follower.epoch_end(theirs.epoch);
                let end = ours.map_or(Offset::ZERO, |ours| {
                    if ours.epoch == theirs.epoch { ours.end.min(theirs.end) } else { ours.end }
                });
                (end, Some(theirs.epoch))
            });
            let (end, epoch) = cut.unwrap_or((Offset::ZERO, None));
            follower.truncate_to(end, committed).unwrap();
            assert!(follower.end_offset() <= end && follower.durable_offset() <= follower.end_offset());
            if epoch.is_some() && follower.latest_epoch() == epoch {
                break;
            }
        }
        self.joined = true;
    }

    fn replicate(&mut self, count: usize, again: usize) {
        if !self.joined {
            self.join();
        }
        let (leader, follower) = (self.leading(), self.following());
        let from = Offset(follower.end_offset().0.saturating_sub(again as u64));
        let mut raw = batches(leader, from);
        raw.truncate(count);
        let done = follower.append_replica(&raw).unwrap();
        assert_eq!(done.appended + done.skipped, raw.len());
    }

    fn install(&mut self) {
        let export = self.leading().export().unwrap();
        let end = export.segments.last().map_or(export.base, |last| last.span().end);
        // A follower never gives up what is committed.
        if end < self.high_watermark() {
            return;
        }
        let mut install = self.following().begin_install(export.base, export.chain).unwrap();
        for segment in &export.segments {
            install.begin_segment(&segment.span()).unwrap();
            while install.next_offset() < segment.span().end {
                install.push(&segment.read(install.next_offset(), 4_000).unwrap()).unwrap();
            }
        }
        install.finish(export.start).unwrap();
        self.joined = true;
    }

    /// A node is back. Nothing that it called durable is gone; what it lost besides it cuts off.
    fn reopen(&mut self, node: usize, durable: Offset) {
        self.nodes[node].open();
        let log = self.nodes[node].log();
        assert!(log.end_offset() >= durable);
        if let Some(bad) = log.damaged().first() {
            assert!(bad.start >= durable, "{bad:?} is damaged, durable was {durable}");
            log.truncate_to(bad.start, durable).unwrap();
        }
        if node == self.leader {
            self.lead(node);
        }
    }

    /// What both have on disk is committed.
    fn commit(&mut self) {
        if !self.joined {
            return;
        }
        let both = self.leading().durable_offset().min(self.following().durable_offset());
        if both > self.high_watermark() {
            let from = self.committed.len();
            let new = content(self.leading(), Offset(from as u64));
            self.committed.extend_from_slice(&new[..both.0 as usize - from]);
        }
    }

    fn check(&self) {
        for node in &self.nodes {
            let log = node.log();
            let now = content(log, Offset::ZERO);
            assert_eq!(now.len() as u64, log.end_offset().0);
            assert_eq!(now[..self.committed.len()], self.committed);
        }
        if self.joined {
            let (leader, follower) =
                (content(self.leading(), Offset::ZERO), content(self.following(), Offset::ZERO));
            let common = leader.len().min(follower.len());
            assert_eq!(leader[..common], follower[..common], "they agree up to the shorter one's end");
            assert!(follower.len() <= leader.len());
        }
    }

    fn run(&mut self, op: &Op) {
        match op {
            Op::Append(sizes) => self.append(sizes),
            Op::Replicate(count, again) => self.replicate(*count, *again),
            Op::Sync(which) => self.nodes[usize::from(*which)].fixture().sync(),
            Op::Marks => self.nodes.iter().for_each(|node| node.fixture().dir.write_marks()),
            Op::Elect if self.joined => self.lead(1 - self.leader),
            Op::Elect => {}
            Op::PowerCut(which, seed) => {
                let node = &self.nodes[usize::from(*which)];
                let durable = node.log().durable_offset();
                match seed {
                    Some(seed) => node.disk.crash(&SeededRng::new(*seed)),
                    None => node.disk.crash_losing_all(),
                }
                self.reopen(usize::from(*which), durable);
            }
            Op::Kill(which) => {
                let node = &self.nodes[usize::from(*which)];
                let end = node.log().end_offset();
                node.disk.restart();
                self.reopen(usize::from(*which), end);
            }
            Op::Install => self.install(),
        }
        self.commit();
        self.check();
    }
}

/// The epochs that the batches of a log name.
fn epochs_of_batches(log: &Log) -> Vec<EpochStart> {
    let mut found: Vec<EpochStart> = Vec::new();
    for batch in batches(log, Offset::ZERO) {
        if found.last().is_none_or(|last| last.epoch < batch.leader_epoch()) {
            found.push(EpochStart { epoch: batch.leader_epoch(), first: batch.base_offset() });
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_both_had_on_disk_stays_and_both_become_equal(
        ops in prop::collection::vec(op(), 1..50),
        bytes in (4_096_u64..16_000, 4_096_u64..16_000),
        tail in prop_oneof![Just(0_usize), Just(1 << 20)],
        encrypted in (any::<bool>(), any::<bool>()),
    ) {
        let nodes = [Node::new(bytes.0, tail, encrypted.0), Node::new(bytes.1, tail, encrypted.1)];
        let mut pair = Pair::new(nodes);
        ops.iter().for_each(|op| pair.run(op));
        pair.replicate(usize::MAX, 0);
        let (leader, follower) = (pair.leading(), pair.following());
        prop_assert_eq!(content(leader, Offset::ZERO), content(follower, Offset::ZERO));
        prop_assert_eq!(follower.epochs(), epochs_of_batches(follower));
        let refused = follower.truncate_to(Offset::ZERO, pair.high_watermark());
        prop_assert_eq!(matches!(refused, Err(StorageError::Committed { .. })), !pair.committed.is_empty());
    }
}
