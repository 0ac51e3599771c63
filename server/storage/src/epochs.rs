//! Which offset each leader epoch begins at: what a follower asks to find where its log leaves the leader's.
//!
//! A small file, replaced whole (temporary name, fdatasync, rename, directory sync) before the first batch of an
//! epoch is appended. It can be rebuilt from the batches, which all name their epoch.

use std::io::{self, IoSlice};
use std::path::Path;

use flymq_types::{LeaderEpoch, Offset};

use crate::disk::{Disk, OpenMode};
use crate::error::{IoContext, Result, StorageError};
use crate::layout::{self, FIELDS_AT, Verdict, get_u32, get_u64, put};

pub(crate) const FILE_NAME: &str = "epochs";
const TEMPORARY_NAME: &str = "epochs.tmp";

const MAGIC: &[u8; 8] = b"FQEPOCHS";
const ENTRIES_AT: usize = 16;
pub(crate) const ENTRY_BYTES: usize = 12;
const CRC_BYTES: usize = 4;

/// Epochs with their first offsets, both rising.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Epochs(Vec<(LeaderEpoch, Offset)>);

impl Epochs {
    /// `Ok(None)` when the file is missing or damaged.
    pub fn load(disk: &dyn Disk, dir: &Path) -> Result<Option<Self>> {
        let path = dir.join(FILE_NAME);
        let file = match disk.open(&path, OpenMode::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            result => result.on("open", &path)?,
        };
        let mut bytes = vec![0; usize::try_from(file.size().on("size of", &path)?).unwrap_or(0)];
        file.read_exact_at(&mut bytes, 0).on("read", &path)?;
        if bytes.len() < ENTRIES_AT + CRC_BYTES {
            return Ok(None);
        }
        match layout::judge(&bytes, MAGIC) {
            Verdict::Good => Ok(Some(Self::decode(&bytes))),
            Verdict::Damaged => Ok(None),
            Verdict::UnknownVersion(found) => {
                Err(StorageError::UnknownFormat { path, found, known: layout::VERSION })
            }
        }
    }

    fn decode(bytes: &[u8]) -> Self {
        Self::read(&bytes[ENTRIES_AT..bytes.len() - CRC_BYTES])
    }

    /// The entries that `bytes` hold back to back.
    pub fn read(bytes: &[u8]) -> Self {
        let entries = bytes.chunks_exact(ENTRY_BYTES);
        Self(entries.map(|e| (LeaderEpoch(get_u32(e, 0)), Offset(get_u64(e, 4)))).collect())
    }

    /// Writes the entries into `block` from `at` on, [`ENTRY_BYTES`] each.
    pub fn write(&self, block: &mut [u8], at: usize) {
        for (i, (epoch, first)) in self.0.iter().enumerate() {
            put(block, at + i * ENTRY_BYTES, epoch.0.to_le_bytes());
            put(block, at + i * ENTRY_BYTES + 4, first.0.to_le_bytes());
        }
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0; ENTRIES_AT + self.0.len() * ENTRY_BYTES + CRC_BYTES];
        put(&mut bytes, FIELDS_AT, (self.0.len() as u32).to_le_bytes());
        self.write(&mut bytes, ENTRIES_AT);
        layout::seal(&mut bytes, MAGIC);
        bytes
    }

    /// Makes the whole list durable.
    pub fn store(&self, disk: &dyn Disk, dir: &Path) -> Result<()> {
        let (path, temporary) = (dir.join(FILE_NAME), dir.join(TEMPORARY_NAME));
        if disk.exists(&temporary).on("look for", &temporary)? {
            disk.remove_file(&temporary).on("remove", &temporary)?;
        }
        let file = disk.open(&temporary, OpenMode::CreateNew).on("create", &temporary)?;
        file.write_all_at(&mut [IoSlice::new(&self.encode())], 0).on("write", &temporary)?;
        file.fdatasync().on("fdatasync", &temporary)?;
        disk.rename(&temporary, &path).on("rename", &path)?;
        disk.sync_dir(dir).on("sync directory", dir)
    }

    pub fn latest(&self) -> Option<LeaderEpoch> {
        self.0.last().map(|(epoch, _)| *epoch)
    }

    /// The list with `epoch` beginning at `first`; an epoch that got no batch makes room for it.
    pub fn with(&self, epoch: LeaderEpoch, first: Offset) -> Self {
        let mut entries: Vec<_> = self.0.iter().copied().filter(|(_, start)| *start < first).collect();
        entries.push((epoch, first));
        Self(entries)
    }

    /// Notes the epoch of a batch met in order, while rebuilding.
    pub fn observe(&mut self, epoch: LeaderEpoch, offset: Offset) {
        if self.latest().is_none_or(|latest| latest < epoch) {
            self.0.push((epoch, offset));
        }
    }

    /// Takes in where a batch shows that its epoch had begun by `offset`: the list may have been rebuilt without it.
    pub fn learn(&mut self, epoch: LeaderEpoch, offset: Offset) {
        let at = self.0.partition_point(|(known, _)| *known < epoch);
        let fits = self.0[..at].last().is_none_or(|(_, first)| *first <= offset);
        match self.0.get_mut(at) {
            Some((known, first)) if *known == epoch => *first = (*first).min(offset),
            Some((_, after)) if fits && offset <= *after => self.0.insert(at, (epoch, offset)),
            None if fits => self.0.push((epoch, offset)),
            Some(_) | None => {}
        }
    }

    /// Forgets what a cut tail had announced.
    pub fn cut(&mut self, end: Offset) {
        self.0.retain(|(_, first)| *first <= end);
    }

    /// The list without the epochs that have no batch below `end`.
    pub fn below(&self, end: Offset) -> Self {
        Self(self.iter().filter(|(_, first)| *first < end).collect())
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The latest epoch up to `epoch` and the offset after its last batch; `None` if the log begins later.
    pub fn end_of(&self, epoch: LeaderEpoch, log_end: Offset) -> Option<(LeaderEpoch, Offset)> {
        let after = self.0.partition_point(|(known, _)| *known <= epoch);
        let (found, _) = self.0[..after].last()?;
        Some((*found, self.0.get(after).map_or(log_end, |(_, first)| *first)))
    }

    /// The epoch of the batch that ends at `offset`.
    pub fn before(&self, offset: Offset) -> Option<LeaderEpoch> {
        let after = self.0.partition_point(|(_, first)| *first < offset);
        self.0[..after].last().map(|(epoch, _)| *epoch)
    }

    pub fn iter(&self) -> impl Iterator<Item = (LeaderEpoch, Offset)> {
        self.0.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::SimDisk;

    fn epochs(list: &[(u32, u64)]) -> Epochs {
        Epochs(list.iter().map(|(e, o)| (LeaderEpoch(*e), Offset(*o))).collect())
    }

    #[test]
    fn what_was_lost_is_learnt_and_nothing_that_does_not_fit() {
        let learnt = |epoch: u32, offset: u64| {
            let mut known = epochs(&[(1, 0), (4, 9)]);
            known.learn(LeaderEpoch(epoch), Offset(offset));
            known
        };
        assert_eq!(learnt(3, 5), epochs(&[(1, 0), (3, 5), (4, 9)]));
        assert_eq!(learnt(4, 6), epochs(&[(1, 0), (4, 6)]), "it began earlier");
        for (epoch, offset) in [(1, 3), (4, 9), (4, 11), (3, 10), (5, 8)] {
            assert_eq!(learnt(epoch, offset), epochs(&[(1, 0), (4, 9)]), "{epoch} at {offset}");
        }
    }

    #[test]
    fn survives_a_crash_and_refuses_damage() {
        let (disk, dir) = (SimDisk::new(), Path::new("/"));
        assert_eq!(Epochs::load(&disk, dir).unwrap(), None);
        epochs(&[(1, 0)]).store(&disk, dir).unwrap();
        epochs(&[(1, 0), (4, 90)]).store(&disk, dir).unwrap();
        disk.crash_losing_all();
        assert_eq!(Epochs::load(&disk, dir).unwrap(), Some(epochs(&[(1, 0), (4, 90)])));
        for at in 0..ENTRIES_AT + 2 * ENTRY_BYTES + CRC_BYTES {
            disk.tamper(Path::new("/epochs"), |bytes| bytes[at] ^= 1).unwrap();
            assert_eq!(Epochs::load(&disk, dir).unwrap(), None, "byte {at}");
            disk.tamper(Path::new("/epochs"), |bytes| bytes[at] ^= 1).unwrap();
        }
        disk.tamper(Path::new("/epochs"), Vec::clear).unwrap();
        assert_eq!(Epochs::load(&disk, dir).unwrap(), None);
    }

    #[test]
    fn an_epoch_ends_where_the_next_begins() {
        let list = epochs(&[(1, 0), (4, 90)]);
        assert_eq!(list.end_of(LeaderEpoch(0), Offset(100)), None);
        assert_eq!(list.end_of(LeaderEpoch(1), Offset(100)), Some((LeaderEpoch(1), Offset(90))));
        assert_eq!(list.end_of(LeaderEpoch(3), Offset(100)), Some((LeaderEpoch(1), Offset(90))));
        assert_eq!(list.end_of(LeaderEpoch(9), Offset(100)), Some((LeaderEpoch(4), Offset(100))));
        let before = [0, 1, 90, 91].map(|offset| list.before(Offset(offset)));
        assert_eq!(before, [None, Some(LeaderEpoch(1)), Some(LeaderEpoch(1)), Some(LeaderEpoch(4))]);
        assert_eq!(list.with(LeaderEpoch(5), Offset(90)), epochs(&[(1, 0), (5, 90)]));
    }
}
