//! The newest batches of a log, in memory: what a consumer at the end of the log reads.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use flymq_types::RecordBatch;

/// What a log may keep even when the budget is used up by others.
const MIN_BYTES: usize = 64 << 10;

/// Bytes that the tail caches of all logs together may hold.
#[derive(Debug)]
pub(crate) struct TailBudget {
    limit: usize,
    used: AtomicUsize,
}

impl TailBudget {
    pub fn new(limit: usize) -> Self {
        Self { limit, used: AtomicUsize::new(0) }
    }

    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

/// Batches up to the log's end, without a hole between them.
#[derive(Debug)]
pub(crate) struct TailCache {
    batches: VecDeque<RecordBatch>,
    bytes: usize,
    limit: usize,
    budget: Arc<TailBudget>,
}

impl TailCache {
    pub fn new(limit: usize, budget: Arc<TailBudget>) -> Self {
        Self { batches: VecDeque::new(), bytes: 0, limit, budget }
    }

    /// Adds the batch at the log's new end; the oldest ones make room.
    pub fn push(&mut self, batch: RecordBatch) {
        self.bytes += batch.size();
        self.budget.used.fetch_add(batch.size(), Ordering::Relaxed);
        self.batches.push_back(batch);
        while self.bytes > self.limit || (self.budget.used() > self.budget.limit && self.bytes > MIN_BYTES) {
            let Some(oldest) = self.batches.pop_front() else { break };
            self.release(oldest.size());
        }
    }

    fn release(&mut self, bytes: usize) {
        self.bytes -= bytes;
        self.budget.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Forgets the batches that end behind `end`.
    pub fn cut(&mut self, end: u64) {
        let keep = self.batches.partition_point(|batch| batch.next_offset().0 <= end);
        let bytes = self.batches.drain(keep..).map(|batch| batch.size()).sum();
        self.release(bytes);
    }

    /// Lets go of the batches that begin below `end`: their segments were written again.
    pub fn forget_below(&mut self, end: u64) {
        let gone = self.batches.partition_point(|batch| batch.base_offset().0 < end);
        let bytes = self.batches.drain(..gone).map(|batch| batch.size()).sum();
        self.release(bytes);
    }

    pub fn clear(&mut self) {
        self.batches.clear();
        self.release(self.bytes);
    }

    /// The batch that ends at `offset`, where it is here.
    pub fn batch_before(&self, offset: u64) -> Option<&RecordBatch> {
        let first = self.batches.partition_point(|batch| batch.next_offset().0 < offset);
        self.batches.get(first).filter(|batch| batch.next_offset().0 == offset)
    }

    /// Whole batches from the one that holds `from`, up to `max_bytes` (at least one) and below `upto`. `None` where
    /// the batch of `from` is not here.
    pub fn read(&self, from: u64, max_bytes: usize, upto: u64) -> Option<Vec<RecordBatch>> {
        if self.batches.front()?.base_offset().0 > from {
            return None;
        }
        let first = self.batches.partition_point(|batch| batch.next_offset().0 <= from);
        let mut bytes = 0;
        let fits = |batch: &&RecordBatch| {
            let first = bytes == 0;
            bytes += batch.size();
            batch.next_offset().0 <= upto && (first || bytes <= max_bytes)
        };
        (first < self.batches.len()).then(|| self.batches.range(first..).take_while(fits).cloned().collect())
    }
}

impl Drop for TailCache {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use flymq_types::RecordBatch;

    use super::*;
    use crate::testing::stamped;

    fn batch(offset: u64) -> RecordBatch {
        RecordBatch::from_log(stamped(&[b"0123456789", b"0123456789"], offset, 1)).unwrap()
    }

    #[test]
    fn serves_whole_batches_within_its_bounds() {
        let size = batch(0).size();
        let budget = Arc::new(TailBudget::new(1 << 20));
        let mut cache = TailCache::new(3 * size, budget.clone());
        assert!(cache.read(0, 1, 10).is_none());
        for offset in [0, 2, 4, 6] {
            cache.push(batch(offset));
        }
        assert_eq!(budget.used(), 3 * size);
        let offsets = |from, max, upto| {
            cache.read(from, max, upto).map(|list| list.iter().map(|b| b.base_offset().0).collect::<Vec<_>>())
        };
        assert_eq!(offsets(1, 1, 8), None, "evicted");
        assert_eq!(offsets(3, 1, 8), Some(vec![2]), "at least one");
        assert_eq!(offsets(2, 2 * size, 8), Some(vec![2, 4]));
        assert_eq!(offsets(2, usize::MAX, 8), Some(vec![2, 4, 6]));
        assert_eq!(offsets(2, usize::MAX, 7), Some(vec![2, 4]), "never a batch that ends past the bound");
        assert_eq!(offsets(8, usize::MAX, 9), None);
        drop(cache);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_used_up_budget_leaves_each_log_a_little() {
        let budget = Arc::new(TailBudget::new(0));
        let mut cache = TailCache::new(usize::MAX, budget.clone());
        (0..2_000).for_each(|i| cache.push(batch(i * 2)));
        assert!(budget.used() <= MIN_BYTES && budget.used() > MIN_BYTES / 2);
    }
}
