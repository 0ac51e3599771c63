//! The state of a log's producers at one of its ends, as a file: `<end, 20 digits>.producers`.
//!
//! Little-endian, [`layout`] around it: end u64 · entries u32, then per producer: id u64 · epoch u16 · batches u16 · 0 u32 ·
//! 0 u64, and per batch: first and last sequence i32, base offset u64, append time i64.
//!
//! Version 2 is written where the log has transactions: the two zeros are the coordinator epoch and the first offset of what is
//! open (all bits set: nothing); last offset u64 and last time i64 (batch or marker) stand before the batches, of which there may
//! be none; and behind all producers there is for each aborted transaction: producer id, first offset, last offset, u64 each.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};

use flymq_types::Offset;

use super::table::{KEPT_BATCHES, KnownBatch, ProducerState};
use super::{AbortedTransaction, ProducerTable};
use crate::disk::{Disk, OpenMode};
use crate::error::{IoContext, Result, StorageError};
use crate::layout::{self, Verdict, get, get_i64, get_u32, get_u64};

pub(crate) const SUFFIX: &str = ".producers";
const TEMPORARY_NAME: &str = "producers.tmp";

const MAGIC: &[u8; 8] = b"FQPRODUC";
const CRC_BYTES: usize = 4;
const PRODUCER_BYTES: usize = 24;
const BATCH_BYTES: usize = 24;
/// Of version 2, behind an entry: last offset and time.
const LAST_BYTES: usize = 16;
const ABORTED_BYTES: usize = 24;
/// First offset of a producer that has nothing open.
const NOTHING_OPEN: u64 = u64::MAX;
/// With transactions.
const WITH_TRANSACTIONS: u32 = 2;

mod at {
    pub const COUNT: usize = 12;
    pub const END: usize = 16;
    pub const ENTRIES: usize = 24;
}

/// The producers of the batches below `end`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Snapshot {
    pub end: u64,
    pub table: ProducerTable,
}

pub(super) fn path(dir: &Path, end: u64) -> PathBuf {
    dir.join(format!("{end:020}{SUFFIX}"))
}

impl Snapshot {
    /// `Ok(None)` when the file is missing or damaged.
    pub fn load(disk: &dyn Disk, dir: &Path, end: u64) -> Result<Option<Self>> {
        let path = path(dir, end);
        let file = match disk.open(&path, OpenMode::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            result => result.on("open", &path)?,
        };
        let mut bytes = vec![0; usize::try_from(file.size().on("size of", &path)?).unwrap_or(0)];
        file.read_exact_at(&mut bytes, 0).on("read", &path)?;
        if bytes.len() < at::ENTRIES + CRC_BYTES {
            return Ok(None);
        }
        match layout::judge(&bytes, MAGIC) {
            Verdict::Good => Ok(Self::decode(&bytes, false).filter(|found| found.end == end)),
            Verdict::UnknownVersion(WITH_TRANSACTIONS) => {
                Ok(Self::decode(&bytes, true).filter(|found| found.end == end))
            }
            Verdict::Damaged => Ok(None),
            Verdict::UnknownVersion(found) => {
                Err(StorageError::UnknownFormat { path, found, known: WITH_TRANSACTIONS })
            }
        }
    }

    fn decode(bytes: &[u8], transactions: bool) -> Option<Self> {
        let mut rest = bytes.get(at::ENTRIES..bytes.len() - CRC_BYTES)?;
        let mut table = ProducerTable::default();
        for _ in 0..get_u32(bytes, at::COUNT) {
            let (entry, behind) = rest.split_at_checked(PRODUCER_BYTES)?;
            let (last, behind) = behind.split_at_checked(if transactions { LAST_BYTES } else { 0 })?;
            let (epoch, count) = (u16::from_le_bytes(get(entry, 8)), u16::from_le_bytes(get(entry, 10)));
            let least = u16::from(!transactions);
            if usize::from(count) > KEPT_BATCHES || count < least {
                return None;
            }
            let (batches, behind) = behind.split_at_checked(usize::from(count) * BATCH_BYTES)?;
            let mut state = ProducerState::new(epoch);
            batches.chunks_exact(BATCH_BYTES).for_each(|batch| state.push(decode_batch(batch)));
            let mut open = None;
            if transactions {
                state.coordinator_epoch = get_u32(entry, 12);
                open = Some(get_u64(entry, 16)).filter(|first| *first != NOTHING_OPEN);
                (state.last_offset, state.last_time) = (get_u64(last, 0), get_i64(last, 8));
            }
            table.restore(get_u64(entry, 0), state, open);
            rest = behind;
        }
        if !transactions && !rest.is_empty() {
            return None;
        }
        let (aborted, rest) = rest.as_chunks::<ABORTED_BYTES>();
        for entry in aborted {
            table.transactions.restore(AbortedTransaction {
                producer: get_u64(entry, 0),
                first: Offset(get_u64(entry, 8)),
                last: Offset(get_u64(entry, 16)),
            });
        }
        rest.is_empty().then_some(Self { end: get_u64(bytes, at::END), table })
    }

    /// Makes the state durable. Whatever a crash leaves is whole or not there.
    pub fn store(disk: &dyn Disk, dir: &Path, end: u64, table: &ProducerTable) -> Result<()> {
        let (path, temporary) = (path(dir, end), dir.join(TEMPORARY_NAME));
        if disk.exists(&temporary).on("look for", &temporary)? {
            disk.remove_file(&temporary).on("remove", &temporary)?;
        }
        let file = disk.open(&temporary, OpenMode::CreateNew).on("create", &temporary)?;
        let bytes = encode(end, table);
        file.write_all_at(&mut [IoSlice::new(&bytes)], 0).on("write", &temporary)?;
        file.fdatasync().on("fdatasync", &temporary)?;
        disk.rename(&temporary, &path).on("rename", &path)?;
        disk.sync_dir(dir).on("sync directory", dir)
    }
}

fn encode(end: u64, table: &ProducerTable) -> Vec<u8> {
    // Without transactions an older FlyMQ can read it, too.
    let transactions = !table.transactions.is_empty() || table.iter().any(|(_, state)| state.is_marked());
    let mut bytes = vec![0; at::ENTRIES];
    layout::put(&mut bytes, at::COUNT, (table.len() as u32).to_le_bytes());
    layout::put(&mut bytes, at::END, end.to_le_bytes());
    for (id, state) in table.iter() {
        let first = table.transactions.open_of(id).map_or(NOTHING_OPEN, |open| open.first.0);
        bytes.extend_from_slice(&id.to_le_bytes());
        bytes.extend_from_slice(&state.epoch.to_le_bytes());
        bytes.extend_from_slice(&(state.batches().len() as u16).to_le_bytes());
        bytes.extend_from_slice(&state.coordinator_epoch.to_le_bytes());
        bytes.extend_from_slice(&if transactions { first } else { 0 }.to_le_bytes());
        if transactions {
            bytes.extend_from_slice(&state.last_offset.to_le_bytes());
            bytes.extend_from_slice(&state.last_time.to_le_bytes());
        }
        for batch in state.batches() {
            bytes.extend_from_slice(&batch.first.to_le_bytes());
            bytes.extend_from_slice(&batch.last.to_le_bytes());
            bytes.extend_from_slice(&batch.base_offset.to_le_bytes());
            bytes.extend_from_slice(&batch.append_time.to_le_bytes());
        }
    }
    for aborted in table.transactions.all_aborted() {
        for value in [aborted.producer, aborted.first.0, aborted.last.0] {
            bytes.extend_from_slice(&value.to_le_bytes());
        }
    }
    bytes.extend_from_slice(&[0; CRC_BYTES]);
    layout::seal_as(&mut bytes, MAGIC, if transactions { WITH_TRANSACTIONS } else { layout::VERSION });
    bytes
}

fn decode_batch(bytes: &[u8]) -> KnownBatch {
    KnownBatch {
        first: get_u32(bytes, 0) as i32,
        last: get_u32(bytes, 4) as i32,
        base_offset: get_u64(bytes, 8),
        append_time: get_i64(bytes, 16),
    }
}

#[cfg(test)]
mod tests {
    use flymq_types::{BatchFlags, BatchHeader, Marker, Outcome};
    use flymq_wire::batch::{BatchBuilder, NewRecord, ProducerFields, ServerFields};

    use super::super::NewSequence;
    use super::*;
    use crate::disk::SimDisk;
    use crate::log::ProducerLimits;

    fn table() -> ProducerTable {
        let mut table = ProducerTable::default();
        for i in 0..9 {
            let id = if i == 4 { u64::MAX - 1 } else { 3 };
            let new = NewSequence { id, epoch: 2, first: i, last: i };
            table.observe(&new, 10 + i as u64, 1_000 + i64::from(i), ProducerLimits::default());
        }
        table
    }

    #[test]
    fn survives_a_crash_and_refuses_damage() {
        let (disk, dir) = (SimDisk::new(), Path::new("/"));
        assert_eq!(Snapshot::load(&disk, dir, 19).unwrap(), None);
        Snapshot::store(&disk, dir, 19, &table()).unwrap();
        disk.crash_losing_all();
        let found = Snapshot::load(&disk, dir, 19).unwrap().unwrap();
        assert_eq!(found, Snapshot { end: 19, table: table() });
        assert_eq!(found.table.len(), 2);
        let file = path(dir, 19);
        let length = disk.contents(&file).unwrap().len();
        for at in 0..length {
            disk.tamper(&file, |bytes| bytes[at] ^= 1).unwrap();
            assert_eq!(Snapshot::load(&disk, dir, 19).unwrap(), None, "byte {at}");
            disk.tamper(&file, |bytes| bytes[at] ^= 1).unwrap();
        }
        disk.tamper(&file, |bytes| bytes.truncate(length - 1)).unwrap();
        assert_eq!(Snapshot::load(&disk, dir, 19).unwrap(), None);
    }

    #[test]
    fn transactions_are_in_it_and_without_them_it_is_as_it_was() {
        let (disk, dir) = (SimDisk::new(), Path::new("/"));
        Snapshot::store(&disk, dir, 19, &table()).unwrap();
        let version = |end| get_u32(&disk.contents(&path(dir, end)).unwrap(), 8);
        assert_eq!(version(19), 1, "an older FlyMQ reads it");
        let mut table = table();
        let limits = ProducerLimits::default();
        let batch = |base: u64, sequence: i32| {
            let flags = BatchFlags::TRANSACTIONAL;
            let mut builder = BatchBuilder::new();
            builder.add_flags(flags).set_producer(ProducerFields {
                id: 8,
                epoch: 1,
                base_sequence: sequence,
            });
            builder.push(&NewRecord { value: Some(b"v"), ..NewRecord::default() }).unwrap();
            let header = BatchHeader::parse(&builder.build().unwrap()).unwrap();
            BatchHeader {
                server: ServerFields { base_offset: base, append_time: 1, ..header.server },
                ..header
            }
        };
        let marker =
            Marker { producer_id: 8, producer_epoch: 2, coordinator_epoch: 7, outcome: Outcome::Abort };
        let control = marker.encode(0).unwrap();
        let header = BatchHeader::parse(&control).unwrap();
        let server = ServerFields { base_offset: 31, append_time: 2, ..header.server };
        table.note(&batch(30, 0), None, limits);
        Snapshot::store(&disk, dir, 31, &table).unwrap();
        assert_eq!(Snapshot::load(&disk, dir, 31).unwrap().unwrap().table, table, "it is open");
        table.note(&BatchHeader { server, ..header }, Some(marker), limits);
        Snapshot::store(&disk, dir, 32, &table).unwrap();
        let found = Snapshot::load(&disk, dir, 32).unwrap().unwrap().table;
        assert_eq!((found == table, version(32)), (true, 2));
        assert_eq!(found.transactions().all_aborted().count(), 1);
        assert_eq!(found.next_of(8), Some((2, 0)), "a producer without batches");
        let old = Marker { coordinator_epoch: 6, producer_epoch: 3, ..marker };
        assert!(matches!(found.judge_marker(&old), Err(StorageError::CoordinatorFenced { .. })));
    }

    #[test]
    fn a_file_under_another_name_is_not_taken() {
        let (disk, dir) = (SimDisk::new(), Path::new("/"));
        Snapshot::store(&disk, dir, 19, &table()).unwrap();
        disk.rename(&path(dir, 19), &path(dir, 20)).unwrap();
        assert_eq!(Snapshot::load(&disk, dir, 20).unwrap(), None);
    }
}
