//! Random histories against a plain list of values.

use flymq_types::{Offset, SeededRng};
use proptest::prelude::*;

use super::support::*;
use crate::testing::{batch, values};
use crate::{LogConfig, Retention, SimDisk, StorageError};

#[derive(Debug, Clone)]
enum Op {
    /// Batches with so many records of so many bytes.
    Append(Vec<(usize, usize)>),
    Sync,
    Marks,
    /// Remove old segments beyond this many bytes.
    Retain(u64),
    /// Read from this part of the log (0-255 of 255) with this limit.
    Read(u8, usize),
    /// Kill the process: nothing written may be lost.
    Kill,
    /// Cut the power: nothing durable may be lost.
    PowerCut(u64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => prop::collection::vec((1_usize..4, 0_usize..1_200), 1..5).prop_map(Op::Append),
        3 => Just(Op::Sync),
        1 => Just(Op::Marks),
        1 => (4_000_u64..40_000).prop_map(Op::Retain),
        4 => (any::<u8>(), 1_usize..8_000).prop_map(|(at, max)| Op::Read(at, max)),
        1 => Just(Op::Kill),
        2 => any::<u64>().prop_map(Op::PowerCut),
    ]
}

struct Model {
    disk: SimDisk,
    config: LogConfig,
    fixture: Option<Fixture>,
    /// What the log must hold, by offset. `None`: a power cut lost it but kept something behind it, so that it is
    /// refused; nobody had been told that it was safe.
    values: Vec<Option<Vec<u8>>>,
    written: u64,
    /// Where the log starts.
    start: usize,
}

impl Model {
    fn new(config: LogConfig) -> Self {
        let disk = SimDisk::new();
        let fixture = Some(Fixture::open(&disk, config));
        Self { disk, config, fixture, values: Vec::new(), written: 0, start: 0 }
    }

    fn fixture(&self) -> &Fixture {
        self.fixture.as_ref().unwrap()
    }

    fn append(&mut self, sizes: &[(usize, usize)]) {
        let mut batches = Vec::new();
        for (records, bytes) in sizes {
            let mut content = Vec::new();
            for _ in 0..*records {
                self.written += 1;
                let mut value = format!("{}-", self.written).into_bytes();
                value.resize(value.len() + bytes, b'x');
                content.push(value);
            }
            batches.push(batch(&content.iter().map(Vec::as_slice).collect::<Vec<_>>()));
            self.values.extend(content.into_iter().map(Some));
        }
        let before = self.fixture().log.end_offset();
        let results = self.fixture().log.append_many(&batches, EPOCH, NOW);
        let mut expected = before.0;
        for (result, batch) in results.into_iter().zip(&batches) {
            assert_eq!(result.unwrap().base_offset.0, expected, "offsets are dense");
            expected += u64::from(batch.record_count());
        }
        assert_eq!(expected, self.values.len() as u64);
    }

    fn read(&self, at: u8, max_bytes: usize) {
        let from = self.start + (self.values.len() - self.start) * usize::from(at) / 255;
        let batches = match self.fixture().log.read(Offset(from as u64), max_bytes, ALL) {
            Ok(batches) => batches,
            Err(StorageError::Corrupt { start, end }) => {
                let refused = &self.values[start.0 as usize..end.0 as usize];
                assert!((start.0..end.0).contains(&(from as u64)) && refused.iter().all(Option::is_none));
                return;
            }
            Err(error) => panic!("{error}"),
        };
        let Some(first) = batches.first() else {
            assert_eq!(from, self.values.len());
            return;
        };
        let base = first.base_offset().0 as usize;
        assert!(base <= from && from < first.next_offset().0 as usize);
        let got: Vec<_> = values(&batches).into_iter().map(Some).collect();
        assert_eq!(got, self.values[base..base + got.len()]);
        assert!(batches.len() == 1 || batches.iter().map(|b| b.size()).sum::<usize>() <= max_bytes);
    }

    fn read_everything(&self) {
        let mut at = self.start;
        while at < self.values.len() {
            match self.fixture().log.read(Offset(at as u64), 1 << 20, ALL) {
                Ok(batches) => {
                    for value in values(&batches) {
                        assert_eq!(Some(&value), self.values[at].as_ref(), "at {at}");
                        at += 1;
                    }
                }
                Err(StorageError::Corrupt { start, end }) => {
                    assert!(start.0 as usize <= at, "the range names the offset");
                    assert!(self.values[at..end.0 as usize].iter().all(Option::is_none));
                    at = end.0 as usize;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn retain(&mut self, bytes: u64) {
        let log = &self.fixture().log;
        let (upto, before) = (log.durable_offset(), log.stats());
        let gone = log.retain(NOW, Retention { ms: 0, bytes }, upto).unwrap().segments;
        let (start, after) = (log.start_offset(), log.stats());
        assert!(start <= upto && after.segments == before.segments - gone);
        assert!(gone == 0 || after.bytes >= bytes, "too much went");
        self.start = start.0 as usize;
    }

    /// Starts again after a kill or a power cut; the first `kept` records must be as they were, and no other ones may
    /// appear.
    fn reopen(&mut self, kept: usize) {
        drop(self.fixture.take());
        self.fixture = Some(Fixture::open(&self.disk, self.config));
        let Fixture { log, report, .. } = self.fixture.as_ref().unwrap();
        assert!(report.damaged_files.is_empty() && report.moved.is_empty(), "{report:?}");
        let end = log.end_offset().0 as usize;
        assert!(
            end >= kept && end <= self.values.len(),
            "kept {end}, at least {kept} of {}",
            self.values.len()
        );
        assert_eq!(log.durable_offset().0 as usize, end);
        assert_eq!(log.start_offset().0 as usize, self.start);
        self.values.truncate(end);
        for range in &report.quarantined {
            let (start, end) = (range.start.0 as usize, range.end.0 as usize);
            assert!(start >= kept || self.values[start..end].iter().all(Option::is_none), "lost {range:?}");
            self.values[start..end].fill(None);
        }
        self.read_everything();
    }

    fn run(&mut self, op: &Op) {
        match op {
            Op::Append(sizes) => self.append(sizes),
            Op::Sync => {
                self.fixture().sync();
                assert_eq!(self.fixture().log.durable_offset().0 as usize, self.values.len());
            }
            Op::Marks => self.fixture().dir.write_marks(),
            Op::Retain(bytes) => self.retain(*bytes),
            Op::Read(at, max) => self.read(*at, *max),
            Op::Kill => {
                self.disk.restart();
                self.reopen(self.values.len());
            }
            Op::PowerCut(seed) => {
                let durable = self.fixture().log.durable_offset().0 as usize;
                self.disk.crash(&SeededRng::new(*seed));
                self.reopen(durable);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_durable_is_lost_and_nothing_else_appears(
        ops in prop::collection::vec(op(), 1..40),
        segment_bytes in 4_096_u64..20_000,
        tail in prop_oneof![Just(0_usize), Just(4_000), Just(1 << 20)],
        encrypted in any::<bool>(),
    ) {
        let _mode = encrypting(encrypted);
        let mut model = Model::new(LogConfig { segment_bytes, tail_cache_bytes: tail, ..LogConfig::default() });
        ops.iter().for_each(|op| model.run(op));
        model.disk.restart();
        model.reopen(model.values.len());
    }
}
