use openraft::raft::{VoteRequest, VoteResponse};

use super::Wire;
use crate::raft::codec::{CodecError, Reader, get_some_log_id, get_vote, put_some_log_id, put_vote};
use crate::raft::types::RaftId;

/// Vote · last log id.
impl Wire for VoteRequest<RaftId> {
    fn put(&self, to: &mut Vec<u8>) {
        put_vote(to, &self.vote);
        put_some_log_id(to, self.last_log_id.as_ref());
    }

    fn get(from: &mut Reader) -> Result<Self, CodecError> {
        Ok(Self { vote: get_vote(from)?, last_log_id: get_some_log_id(from)? })
    }
}

/// Vote · `u8` granted · last log id.
impl Wire for VoteResponse<RaftId> {
    fn put(&self, to: &mut Vec<u8>) {
        put_vote(to, &self.vote);
        to.push(self.vote_granted.into());
        put_some_log_id(to, self.last_log_id.as_ref());
    }

    fn get(from: &mut Reader) -> Result<Self, CodecError> {
        let vote = get_vote(from)?;
        Ok(Self { vote, vote_granted: from.bool()?, last_log_id: get_some_log_id(from)? })
    }
}
