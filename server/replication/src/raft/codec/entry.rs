//! An entry of the group's log, the same on disk and between nodes.

use bytes::Bytes;
use openraft::EntryPayload;

use super::{CodecError, Reader, done, get_log_id, get_membership, put_log_id, put_membership};
use crate::raft::types::{Entry, Proposal, ProposalId};

const VERSION: u8 = 1;
const BLANK: u8 = 0;
const NORMAL: u8 = 1;
const MEMBERSHIP: u8 = 2;

/// `u8` version 1 · log id · `u8` kind (0 blank, 1 proposal, 2 membership) · content. A proposal is `u64` origin · `u64`
/// run · `u64` number · a `flymq.internal.v1.Proposal` to the end.
pub(crate) fn encode_entry(entry: &Entry) -> Vec<u8> {
    let mut to = vec![VERSION];
    put_log_id(&mut to, &entry.log_id);
    match &entry.payload {
        EntryPayload::Blank => to.push(BLANK),
        EntryPayload::Normal(Proposal { id, commands }) => {
            to.push(NORMAL);
            for number in [id.origin, id.run, id.number] {
                to.extend_from_slice(&number.to_le_bytes());
            }
            to.extend_from_slice(commands);
        }
        EntryPayload::Membership(membership) => {
            to.push(MEMBERSHIP);
            put_membership(&mut to, membership);
        }
    }
    to
}

/// The opposite of [`encode_entry`]; the commands stay where they are.
pub(crate) fn decode_entry(bytes: Bytes) -> Result<Entry, CodecError> {
    let from = &mut Reader::new(bytes);
    from.version(VERSION, "a metadata entry")?;
    let log_id = get_log_id(from)?;
    let payload = match from.u8()? {
        BLANK => EntryPayload::Blank,
        NORMAL => {
            let id = ProposalId { origin: from.u64()?, run: from.u64()?, number: from.u64()? };
            EntryPayload::Normal(Proposal { id, commands: from.rest() })
        }
        MEMBERSHIP => EntryPayload::Membership(get_membership(from)?),
        other => return Err(CodecError::Kind(other, "entry kind")),
    };
    done(from, Entry { log_id, payload })
}
