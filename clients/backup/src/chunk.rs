//! A chunk: whole batches of one partition back to back, as the broker served them.

use bytes::Bytes;
use flymq_wire::batch::{
    BatchBuilder, BatchError, BatchFlags, BatchSlices, ServerFields, stamp_header, verify,
};

use crate::{BackupError, BackupKey, ChunkEntry, ChunkName, Store, names::sha256};

/// A chunk's bytes are never more: a broker's largest batch is below 32 MiB, and a chunk is closed above
/// [`crate::CreateOptions::chunk_bytes`].
pub(crate) const MAX_CHUNK_BYTES: usize = 128 << 20;

/// Offsets that one empty batch spans at most.
const MAX_SPAN: u64 = 1 << 30;

/// Batches without records over these offsets, back to back: what is behind them keeps its offsets.
pub(crate) fn empty_batches(first_offset: u64, end_offset: u64) -> Result<Vec<Bytes>, BatchError> {
    let (mut batches, mut first) = (Vec::new(), first_offset);
    while first < end_offset {
        let span = (end_offset - first).min(MAX_SPAN);
        let count = u32::try_from(span).expect("MAX_SPAN is below 2^32");
        let mut batch = BatchBuilder::compacted(count, 0).build_mut()?;
        stamp_header(&mut batch, &ServerFields { base_offset: first, ..ServerFields::default() })?;
        batches.push(batch.freeze());
        first += span;
    }
    Ok(batches)
}

/// Checks that `plain` is whole, valid batches of exactly these offsets; returns how many.
pub(crate) fn check(name: &ChunkName, plain: &Bytes) -> Result<u64, BackupError> {
    let (mut next, mut batches) = (name.first_offset, 0);
    for slice in BatchSlices::new(plain.clone()) {
        let (_, bytes) = slice.map_err(|error| BackupError::damaged(name, error))?;
        let header = verify(&bytes).map_err(|error| BackupError::damaged(name, error))?;
        if header.flags.contains(BatchFlags::ENCRYPTED) {
            return Err(BackupError::damaged(name, "a batch is encrypted with the key of another broker"));
        }
        if header.server.base_offset != next {
            let reason = format!("offset {} follows where {next} should", header.server.base_offset);
            return Err(BackupError::damaged(name, reason));
        }
        (next, batches) = (header.next_offset(), batches + 1);
    }
    if next != name.end_offset {
        return Err(BackupError::damaged(name, format!("it ends at offset {next}, not {}", name.end_offset)));
    }
    Ok(batches)
}

/// The batches of a stored chunk, everything about them verified.
pub(crate) async fn read(
    store: &dyn Store,
    name: &ChunkName,
    key: Option<&BackupKey>,
) -> Result<(Bytes, ChunkEntry), BackupError> {
    let stored = store.get(&name.to_string(), MAX_CHUNK_BYTES).await?;
    if sha256(&stored) != name.sha256 {
        return Err(BackupError::damaged(name, "its sha-256 is not the one in its name"));
    }
    let bytes = stored.len() as u64;
    let plain = match key {
        Some(key) => key.open(name, &stored)?,
        None => stored,
    };
    let batches = check(name, &plain)?;
    Ok((plain, entry(name, batches, bytes)))
}

/// Stores batches under the name that they make; `name` comes without its hash.
pub(crate) async fn write(
    store: &dyn Store,
    mut name: ChunkName,
    plain: Bytes,
    key: Option<&BackupKey>,
) -> Result<ChunkEntry, BackupError> {
    // What the broker sent is checked before it is kept: a backup that nobody can read would be found out too late.
    let batches = check(&name, &plain)?;
    let stored = match key {
        Some(key) => key.seal(&name, &plain)?,
        None => plain,
    };
    name.sha256 = sha256(&stored);
    let entry = entry(&name, batches, stored.len() as u64);
    store.put(&entry.file, stored).await?;
    Ok(entry)
}

fn entry(name: &ChunkName, batches: u64, bytes: u64) -> ChunkEntry {
    ChunkEntry {
        file: name.to_string(),
        first_offset: name.first_offset,
        end_offset: name.end_offset,
        batches,
        bytes,
        sha256: name.sha256.clone(),
    }
}
