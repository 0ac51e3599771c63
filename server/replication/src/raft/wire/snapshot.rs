use openraft::error::SnapshotMismatch;
use openraft::raft::{InstallSnapshotRequest, InstallSnapshotResponse};
use openraft::{SnapshotMeta, SnapshotSegmentId};

use super::Wire;
use crate::raft::codec::{
    CodecError, Reader, get_some_log_id, get_stored_membership, get_vote, put_bytes, put_some_log_id,
    put_stored_membership, put_vote,
};
use crate::raft::types::{RaftId, Types};

const TAKEN: u8 = 0;
const MISMATCH: u8 = 1;

/// What came of a piece of a snapshot.
pub(crate) type Installed = Result<InstallSnapshotResponse<RaftId>, SnapshotMismatch>;

/// Vote · last log id · membership · snapshot id · `u64` offset · `u8` last piece · `u32` length · bytes.
impl Wire for InstallSnapshotRequest<Types> {
    fn put(&self, to: &mut Vec<u8>) {
        put_vote(to, &self.vote);
        put_some_log_id(to, self.meta.last_log_id.as_ref());
        put_stored_membership(to, &self.meta.last_membership);
        put_bytes(to, self.meta.snapshot_id.as_bytes());
        to.extend_from_slice(&self.offset.to_le_bytes());
        to.push(self.done.into());
        put_bytes(to, &self.data);
    }

    fn get(from: &mut Reader) -> Result<Self, CodecError> {
        let vote = get_vote(from)?;
        let (last_log_id, last_membership) = (get_some_log_id(from)?, get_stored_membership(from)?);
        let meta = SnapshotMeta { last_log_id, last_membership, snapshot_id: from.text()? };
        let (offset, done) = (from.u64()?, from.bool()?);
        Ok(Self { vote, meta, offset, data: from.bytes()?.to_vec(), done })
    }
}

/// `u8` 0 and a vote, or 1 and which piece was expected and which came.
impl Wire for Installed {
    fn put(&self, to: &mut Vec<u8>) {
        match self {
            Ok(response) => {
                to.push(TAKEN);
                put_vote(to, &response.vote);
            }
            Err(mismatch) => {
                to.push(MISMATCH);
                put_segment(to, &mismatch.expect);
                put_segment(to, &mismatch.got);
            }
        }
    }

    fn get(from: &mut Reader) -> Result<Self, CodecError> {
        Ok(match from.u8()? {
            TAKEN => Ok(InstallSnapshotResponse { vote: get_vote(from)? }),
            MISMATCH => Err(SnapshotMismatch { expect: get_segment(from)?, got: get_segment(from)? }),
            other => return Err(CodecError::Kind(other, "answer")),
        })
    }
}

fn put_segment(to: &mut Vec<u8>, segment: &SnapshotSegmentId) {
    put_bytes(to, segment.id.as_bytes());
    to.extend_from_slice(&segment.offset.to_le_bytes());
}

fn get_segment(from: &mut Reader) -> Result<SnapshotSegmentId, CodecError> {
    Ok(SnapshotSegmentId { id: from.text()?, offset: from.u64()? })
}
