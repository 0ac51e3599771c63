//! What must hold: an offset that was acknowledged or read has its record for ever.

use std::collections::BTreeMap;

use crate::writers::Acked;

#[derive(Default)]
struct Partition {
    acked: BTreeMap<u64, String>,
    read: Vec<String>,
}

/// Everything seen so far, by partition.
pub struct Ledger(Vec<Partition>);

impl Ledger {
    pub fn new(partitions: i32) -> Self {
        Self((0..partitions).map(|_| Partition::default()).collect())
    }

    pub fn acknowledged(&mut self, records: Vec<Acked>) {
        for Acked { partition, offset, value } in records {
            let before = self.at(partition).acked.insert(offset, value.clone());
            assert_eq!(
                before, None,
                "offset {offset} of {partition} was acknowledged twice, now for {value}"
            );
        }
    }

    /// Where a reader of what is new begins: at the last records that were read, so that it sees them again.
    pub fn known(&mut self, partition: i32) -> u64 {
        (self.at(partition).read.len() as u64).saturating_sub(100)
    }

    /// A record was read. Reads of a partition come in order.
    pub fn read(&mut self, partition: i32, offset: u64, value: &[u8]) {
        let value = String::from_utf8(value.to_vec()).expect("the writers send text");
        let seen = self.at(partition);
        let at = usize::try_from(offset).expect("few records");
        match seen.read.get(at) {
            Some(before) => assert_eq!(*before, value, "offset {offset} of {partition} changed"),
            None => {
                assert_eq!(seen.read.len(), at, "a hole before offset {offset} of {partition}");
                seen.read.push(value);
            }
        }
    }

    /// The partition ends at `end`: whatever was read or acknowledged lies before, and is what it was.
    pub fn complete(&mut self, partition: i32, end: u64) {
        let seen = self.at(partition);
        assert_eq!(seen.read.len() as u64, end, "{partition}: records that were readable are gone");
        for (offset, value) in &seen.acked {
            let found = usize::try_from(*offset).ok().and_then(|at| seen.read.get(at));
            assert_eq!(found, Some(value), "acknowledged offset {offset} of {partition}");
        }
    }

    /// Records acknowledged, and records read.
    pub fn counts(&self) -> (u64, u64) {
        let acked: usize = self.0.iter().map(|p| p.acked.len()).sum();
        let read: usize = self.0.iter().map(|p| p.read.len()).sum();
        (acked as u64, read as u64)
    }

    fn at(&mut self, partition: i32) -> &mut Partition {
        let index = usize::try_from(partition).expect("a partition is not negative");
        self.0.get_mut(index).expect("a partition of the topic")
    }
}
