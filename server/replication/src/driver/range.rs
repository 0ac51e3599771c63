//! Batches between replicas: made of what a leader reads, and checked before a follower's state machine sees them.

use bytes::{Bytes, BytesMut};
use flymq_storage::{Log, StorageError, split_batches};
use flymq_types::{LeaderEpoch, Offset, RecordBatch};

use crate::replica::{Chunk, EpochList, EpochStart, LogView, Span};

/// Why a range is not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum BadRange {
    #[error(transparent)]
    Batches(#[from] StorageError),
    #[error("its batches are not what its head says")]
    Head,
    #[error("it has a batch of epoch {found}, later than its leader's, {leader}")]
    Epoch { found: LeaderEpoch, leader: LeaderEpoch },
}

/// What the state machine is to know of a log.
pub(super) fn view_of(log: &Log) -> LogView {
    let span = |range: std::ops::Range<Offset>| Span { from: range.start, until: range.end };
    let entry = |known: flymq_storage::EpochStart| EpochStart { epoch: known.epoch, start: known.first };
    LogView {
        start: log.start_offset(),
        end: log.end_offset(),
        durable: log.durable_offset(),
        epochs: EpochList::new(log.epochs().into_iter().map(entry).collect()),
        corrupt: log.damaged().into_iter().map(span).collect(),
        generation: 0,
    }
}

/// The batches from the one that holds `first` on, none that begins at or above `limit`, as a frame carries them; none
/// where there are none.
///
/// # Errors
/// As [`Log::read_raw`].
pub(super) fn read_chunk(
    log: &Log,
    (first, limit): (Offset, Offset),
    max_bytes: usize,
    leader: LeaderEpoch,
) -> Result<Option<Chunk>, StorageError> {
    let mut batches = log.read_raw(first, max_bytes)?;
    // Where the leadership is over already, a later leader's batches may stand here.
    let within = |batch: &RecordBatch| batch.base_offset() < limit && batch.leader_epoch() <= leader;
    let count = batches.iter().take_while(|batch| within(batch)).count();
    batches.truncate(count);
    Ok(chunk_of(first, &batches))
}

/// These batches as a chunk that begins at `first`, which the first of them holds.
pub(super) fn chunk_of(first: Offset, batches: &[RecordBatch]) -> Option<Chunk> {
    let until = batches.last()?.next_offset();
    let raw = match batches {
        [only] => only.to_bytes(),
        many => {
            let mut raw = BytesMut::with_capacity(many.iter().map(RecordBatch::size).sum());
            many.iter().flat_map(RecordBatch::chunks).for_each(|bytes| raw.extend_from_slice(&bytes));
            raw.freeze()
        }
    };
    Some(Chunk { first, until, epochs: runs(first, batches), raw })
}

/// The epoch of the first batch, then each change.
fn runs(first: Offset, batches: &[RecordBatch]) -> Vec<EpochStart> {
    let mut runs: Vec<EpochStart> = Vec::new();
    for batch in batches {
        let epoch = batch.leader_epoch();
        if runs.last().is_none_or(|last| last.epoch != epoch) {
            runs.push(EpochStart { epoch, start: batch.base_offset().max(first) });
        }
    }
    runs
}

/// The batches of a chunk that came from another node: whole, one behind the other, and what the chunk says they are.
///
/// # Errors
/// `BadRange`: none of it may be used.
pub(super) fn check(chunk: &Chunk, leader: LeaderEpoch) -> Result<Vec<RecordBatch>, BadRange> {
    let batches = split_batches(chunk.raw.clone())?;
    let (Some(first), Some(last)) = (batches.first(), batches.last()) else {
        let empty = chunk.first == chunk.until && chunk.epochs.is_empty();
        return if empty { Ok(batches) } else { Err(BadRange::Head) };
    };
    let holds = first.base_offset() <= chunk.first && chunk.first < first.next_offset();
    let follow = |two: &[RecordBatch]| {
        two[0].next_offset() == two[1].base_offset() && two[0].leader_epoch() <= two[1].leader_epoch()
    };
    let said = last.next_offset() == chunk.until && runs(chunk.first, &batches) == chunk.epochs;
    if !holds || !batches.windows(2).all(follow) || !said {
        return Err(BadRange::Head);
    }
    let found = last.leader_epoch();
    if found > leader { Err(BadRange::Epoch { found, leader }) } else { Ok(batches) }
}

/// A chunk without batches at `at`.
pub(super) fn empty_chunk(at: Offset) -> Chunk {
    Chunk { first: at, until: at, epochs: Vec::new(), raw: Bytes::new() }
}
