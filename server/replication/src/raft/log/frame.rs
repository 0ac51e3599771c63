//! The durable steps of the log: what one entry of the file says.
//!
//! The log only grows, also where Raft cuts it: a cut is a step too. So every step is one write and one fdatasync, and
//! a crash leaves it there as a whole or not at all.

use bytes::Bytes;

use crate::raft::codec::{
    CodecError, Reader, decode_entry, done, encode_entry, get_log_id, put_bytes, put_log_id,
};
use crate::raft::types::{Entry, LogId};

const VERSION: u8 = 1;
const APPEND: u8 = 1;
const TRUNCATE: u8 = 2;
const PURGE: u8 = 3;

/// A step.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Frame {
    /// Entries behind the last one.
    Append(Vec<Entry>),
    /// Forgets the entries from this index on: another leader's take their place.
    Truncate(u64),
    /// Forgets the entries up to this one: a snapshot has them.
    Purge(LogId),
}

/// `u8` version 1 · `u8` 1 · `u32` count · per entry `u32` length · entry.
pub(super) fn encode_append<'a>(entries: impl ExactSizeIterator<Item = &'a Entry>) -> Vec<u8> {
    let mut to = vec![VERSION, APPEND];
    to.extend_from_slice(&u32::try_from(entries.len()).unwrap_or(u32::MAX).to_le_bytes());
    for entry in entries {
        put_bytes(&mut to, &encode_entry(entry));
    }
    to
}

/// `u8` version 1 · `u8` 2 · `u64` index.
pub(super) fn encode_truncate(since: u64) -> Vec<u8> {
    [&[VERSION, TRUNCATE][..], &since.to_le_bytes()].concat()
}

/// `u8` version 1 · `u8` 3 · log id.
pub(super) fn encode_purge(upto: &LogId) -> Vec<u8> {
    let mut to = vec![VERSION, PURGE];
    put_log_id(&mut to, upto);
    to
}

/// The opposite of the three.
pub(super) fn decode(bytes: Bytes) -> Result<Frame, CodecError> {
    let from = &mut Reader::new(bytes);
    from.version(VERSION, "the metadata log")?;
    let frame = match from.u8()? {
        APPEND => {
            let count = from.u32()?;
            let entries = (0..count).map(|_| decode_entry(from.bytes()?));
            Frame::Append(entries.collect::<Result<_, _>>()?)
        }
        TRUNCATE => Frame::Truncate(from.u64()?),
        PURGE => Frame::Purge(get_log_id(from)?),
        other => return Err(CodecError::Kind(other, "step of the log")),
    };
    done(from, frame)
}

#[cfg(test)]
mod tests {
    use openraft::{CommittedLeaderId, EntryPayload};

    use super::*;

    #[test]
    fn steps_come_back_as_they_were() {
        let id = |index| LogId::new(CommittedLeaderId::new(1, 2), index);
        let entries: Vec<Entry> =
            (0..3).map(|index| Entry { log_id: id(index), payload: EntryPayload::Blank }).collect();
        let bytes = encode_append(entries.iter());
        assert_eq!(decode(bytes.into()).unwrap(), Frame::Append(entries));
        assert_eq!(decode(encode_truncate(7).into()).unwrap(), Frame::Truncate(7));
        assert_eq!(decode(encode_purge(&id(9)).into()).unwrap(), Frame::Purge(id(9)));
        assert_eq!(decode(vec![1, 9].into()), Err(CodecError::Kind(9, "step of the log")));
        assert_eq!(decode(vec![2].into()), Err(CodecError::Version(2, "the metadata log")));
    }
}
