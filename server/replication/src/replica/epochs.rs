//! Which leader epoch wrote which offsets.

use flymq_types::{LeaderEpoch, Offset};

/// The first offset that the leader of an epoch wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EpochStart {
    pub epoch: LeaderEpoch,
    pub start: Offset,
}

/// The epochs of a log in rising order, by which two replicas find out where their logs part
/// ([KIP-101](https://cwiki.apache.org/confluence/display/KAFKA/KIP-101+-+Alter+Replication+Protocol+to+use+Leader+Epoch+rather+than+High+Watermark+for+Truncation),
/// [KIP-279](https://cwiki.apache.org/confluence/display/KAFKA/KIP-279%3A+Fix+log+divergence+between+leader+and+follower+after+fast+leader+fail+over)).
///
/// ```text
/// offsets  0 1 2 3 4 5 6 7 8      end = 9
/// epoch    1 1 1 1 3 3 3 4 4      [(1, 0), (3, 4), (4, 7)]
/// ```
///
/// The last entries may lie at or above the end of the log: an epoch is on disk before its first batch, and the batch
/// may be lost.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct EpochList(Vec<EpochStart>);

impl EpochList {
    /// From entries of rising epochs and starts.
    pub fn new(entries: Vec<EpochStart>) -> Self {
        debug_assert!(
            entries.windows(2).all(|two| two[0].epoch < two[1].epoch && two[0].start <= two[1].start)
        );
        Self(entries)
    }

    /// All entries, rising.
    pub fn entries(&self) -> &[EpochStart] {
        &self.0
    }

    /// The highest epoch known, with or without batches.
    pub fn highest(&self) -> Option<LeaderEpoch> {
        self.0.last().map(|entry| entry.epoch)
    }

    /// The epoch that wrote the batch at `offset`, which is in the log.
    pub fn at(&self, offset: Offset) -> Option<LeaderEpoch> {
        self.0.iter().rev().find(|entry| entry.start <= offset).map(|entry| entry.epoch)
    }

    /// The largest epoch that is not above `epoch`, and the offset at which it ends in a log that ends at `log_end`.
    pub fn end_of(&self, epoch: LeaderEpoch, log_end: Offset) -> Option<(LeaderEpoch, Offset)> {
        let index = self.0.iter().rposition(|entry| entry.epoch <= epoch)?;
        let end = self.0.get(index + 1).map_or(log_end, |next| next.start.min(log_end));
        Some((self.0[index].epoch, end))
    }

    /// The epochs of `from..until`: that of the first offset, then each change.
    pub fn runs(&self, from: Offset, until: Offset) -> Vec<EpochStart> {
        let mut runs = Vec::new();
        if from < until {
            runs.extend(self.at(from).map(|epoch| EpochStart { epoch, start: from }));
            runs.extend(self.0.iter().filter(|entry| from < entry.start && entry.start < until));
        }
        runs
    }

    /// The epochs of what is appended at the end of the log. Entries at or above it had no batches that are left.
    pub fn append(&mut self, end: Offset, runs: &[EpochStart]) {
        if runs.is_empty() {
            return;
        }
        self.truncate(end);
        for run in runs {
            if self.highest() != Some(run.epoch) {
                self.0.push(EpochStart { epoch: run.epoch, start: run.start.max(end) });
            }
        }
    }

    /// Takes in epochs that the list may lack: it was rebuilt while their batches were damaged. An epoch of which it knows
    /// begins where the earlier of the two says.
    pub fn learn(&mut self, runs: &[EpochStart]) {
        for run in runs {
            let at = self.0.partition_point(|entry| entry.epoch < run.epoch);
            let fits = self.0[..at].last().is_none_or(|before| before.start <= run.start);
            match self.0.get_mut(at) {
                Some(known) if known.epoch == run.epoch => known.start = known.start.min(run.start),
                Some(after) if fits && run.start <= after.start => self.0.insert(at, *run),
                None if fits => self.0.push(*run),
                Some(_) | None => {}
            }
        }
    }

    /// Forgets what lies at or above `end`.
    pub fn truncate(&mut self, end: Offset) {
        self.0.retain(|entry| entry.start < end);
    }

    /// Forgets epochs that end at or below `start`, the new start of the log.
    pub fn trim(&mut self, start: Offset) {
        let gone = self.0.iter().skip(1).take_while(|entry| entry.start <= start).count();
        self.0.drain(..gone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &[(u32, u64)]) -> EpochList {
        let entry = |&(epoch, start)| EpochStart { epoch: LeaderEpoch(epoch), start: Offset(start) };
        EpochList::new(entries.iter().map(entry).collect())
    }

    fn end_of(list: &EpochList, epoch: u32, log_end: u64) -> Option<(u32, u64)> {
        list.end_of(LeaderEpoch(epoch), Offset(log_end)).map(|(epoch, end)| (epoch.0, end.0))
    }

    #[test]
    fn what_was_lost_is_learnt_and_nothing_that_does_not_fit() {
        let learnt = |run: (u32, u64)| {
            let mut known = list(&[(1, 0), (4, 9)]);
            known.learn(&[EpochStart { epoch: LeaderEpoch(run.0), start: Offset(run.1) }]);
            known
        };
        assert_eq!(learnt((3, 5)), list(&[(1, 0), (3, 5), (4, 9)]));
        assert_eq!(learnt((4, 6)), list(&[(1, 0), (4, 6)]), "it began earlier");
        assert_eq!(learnt((5, 12)), list(&[(1, 0), (4, 9), (5, 12)]));
        for known in [(1, 3), (4, 9), (4, 11), (3, 10), (5, 8)] {
            assert_eq!(learnt(known), list(&[(1, 0), (4, 9)]), "{known:?}");
        }
    }

    #[test]
    fn an_epoch_ends_where_the_next_begins() {
        let list = list(&[(1, 0), (3, 4), (4, 7)]);
        assert_eq!(end_of(&list, 0, 9), None);
        assert_eq!(end_of(&list, 1, 9), Some((1, 4)));
        assert_eq!(end_of(&list, 2, 9), Some((1, 4)), "epoch 2 is unknown: the largest below it");
        assert_eq!(end_of(&list, 4, 9), Some((4, 9)));
        assert_eq!(end_of(&list, 3, 5), Some((3, 5)), "never above the end of the log");
    }

    #[test]
    fn runs_begin_with_the_epoch_of_the_first_offset() {
        let list = list(&[(1, 0), (3, 4), (4, 7)]);
        let runs: Vec<_> =
            list.runs(Offset(2), Offset(7)).iter().map(|run| (run.epoch.0, run.start.0)).collect();
        assert_eq!(runs, [(1, 2), (3, 4)]);
        assert!(list.runs(Offset(2), Offset(2)).is_empty());
    }

    #[test]
    fn appending_replaces_epochs_whose_batches_were_lost() {
        let mut list = list(&[(1, 0), (5, 20)]);
        let run = |epoch, start| EpochStart { epoch: LeaderEpoch(epoch), start: Offset(start) };
        list.append(Offset(15), &[run(1, 15), run(6, 18)]);
        assert_eq!(list.entries(), [run(1, 0), run(6, 18)]);
        list.trim(Offset(18));
        assert_eq!(list.entries(), [run(6, 18)]);
    }

    #[test]
    fn trimming_keeps_the_epoch_that_holds_the_start() {
        let mut list = list(&[(1, 0), (3, 4), (4, 7)]);
        list.trim(Offset(5));
        assert_eq!(list.at(Offset(5)), Some(LeaderEpoch(3)));
        assert_eq!(end_of(&list, 2, 9), None, "epoch 1 is gone");
    }
}
