//! Our own bytes for what openraft wants kept and sent: no serde, so that an upgrade of openraft changes no file.
//!
//! All integers are little-endian. Everything that stands alone (an entry, a frame of the log, a message, a snapshot)
//! begins with a version byte.

mod entry;
mod membership;
mod reader;

pub(crate) use entry::{decode_entry, encode_entry};
pub(crate) use membership::{get_membership, get_stored_membership, put_membership, put_stored_membership};
pub(crate) use reader::{CodecError, Reader, done};

use super::types::{LogId, Vote};

/// `u64` term · `u64` node · `u64` index.
pub(crate) fn put_log_id(to: &mut Vec<u8>, id: &LogId) {
    for number in [id.leader_id.term, id.leader_id.node_id, id.index] {
        to.extend_from_slice(&number.to_le_bytes());
    }
}

/// The opposite of [`put_log_id`].
pub(crate) fn get_log_id(from: &mut Reader) -> Result<LogId, CodecError> {
    let (term, node, index) = (from.u64()?, from.u64()?, from.u64()?);
    Ok(LogId::new(openraft::CommittedLeaderId::new(term, node), index))
}

/// `u8` 0, or 1 and the log id.
pub(crate) fn put_some_log_id(to: &mut Vec<u8>, id: Option<&LogId>) {
    to.push(id.is_some().into());
    if let Some(id) = id {
        put_log_id(to, id);
    }
}

/// The opposite of [`put_some_log_id`].
pub(crate) fn get_some_log_id(from: &mut Reader) -> Result<Option<LogId>, CodecError> {
    if from.bool()? { get_log_id(from).map(Some) } else { Ok(None) }
}

/// `u64` term · `u64` node · `u8` committed.
pub(crate) fn put_vote(to: &mut Vec<u8>, vote: &Vote) {
    to.extend_from_slice(&vote.leader_id.term.to_le_bytes());
    to.extend_from_slice(&vote.leader_id.node_id.to_le_bytes());
    to.push(vote.committed.into());
}

/// The opposite of [`put_vote`].
pub(crate) fn get_vote(from: &mut Reader) -> Result<Vote, CodecError> {
    let (term, node, committed) = (from.u64()?, from.u64()?, from.bool()?);
    Ok(if committed { Vote::new_committed(term, node) } else { Vote::new(term, node) })
}

/// `u32` length · bytes.
pub(crate) fn put_bytes(to: &mut Vec<u8>, bytes: &[u8]) {
    // Whatever is written is bounded by MAX_PAYLOAD_BYTES (64 MiB) or by a snapshot's chunk.
    to.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
    to.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests;
