use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse};

use super::Wire;
use crate::raft::codec::{
    CodecError, Reader, decode_entry, encode_entry, get_some_log_id, get_vote, put_bytes, put_some_log_id,
    put_vote,
};
use crate::raft::types::{RaftId, Types};

const SUCCESS: u8 = 0;
const PARTIAL: u8 = 1;
const CONFLICT: u8 = 2;
const HIGHER_VOTE: u8 = 3;

/// Vote · log id before the entries · committed · `u32` count · per entry `u32` length · entry.
impl Wire for AppendEntriesRequest<Types> {
    fn put(&self, to: &mut Vec<u8>) {
        put_vote(to, &self.vote);
        put_some_log_id(to, self.prev_log_id.as_ref());
        put_some_log_id(to, self.leader_commit.as_ref());
        // At most `max_payload_entries`.
        to.extend_from_slice(&u32::try_from(self.entries.len()).unwrap_or(u32::MAX).to_le_bytes());
        for entry in &self.entries {
            put_bytes(to, &encode_entry(entry));
        }
    }

    fn get(from: &mut Reader) -> Result<Self, CodecError> {
        let vote = get_vote(from)?;
        let (prev_log_id, leader_commit) = (get_some_log_id(from)?, get_some_log_id(from)?);
        let entries = (0..from.u32()?).map(|_| decode_entry(from.bytes()?)).collect::<Result<_, _>>()?;
        Ok(Self { vote, prev_log_id, entries, leader_commit })
    }
}

/// `u8` 0 success, 1 up to a log id, 2 conflict, 3 a higher vote.
impl Wire for AppendEntriesResponse<RaftId> {
    fn put(&self, to: &mut Vec<u8>) {
        match self {
            Self::Success => to.push(SUCCESS),
            Self::PartialSuccess(upto) => {
                to.push(PARTIAL);
                put_some_log_id(to, upto.as_ref());
            }
            Self::Conflict => to.push(CONFLICT),
            Self::HigherVote(vote) => {
                to.push(HIGHER_VOTE);
                put_vote(to, vote);
            }
        }
    }

    fn get(from: &mut Reader) -> Result<Self, CodecError> {
        Ok(match from.u8()? {
            SUCCESS => Self::Success,
            PARTIAL => Self::PartialSuccess(get_some_log_id(from)?),
            CONFLICT => Self::Conflict,
            HIGHER_VOTE => Self::HigherVote(get_vote(from)?),
            other => return Err(CodecError::Kind(other, "answer")),
        })
    }
}
