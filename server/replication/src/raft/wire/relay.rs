use super::Wire;
use crate::raft::codec::{CodecError, Reader, put_bytes};
use crate::raft::types::{Proposal, ProposalId};

const AT: u8 = 0;
const NOT_LEADER: u8 = 1;
const UNKNOWN: u8 = 2;

/// What the leader did with something that another member sent on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Relayed {
    /// It is committed at this index; or, for a reader, everything is up to this index.
    At(u64),
    /// Nothing: it does not lead. Ask again.
    NotLeader,
    /// It may or may not take effect.
    Unknown(String),
}

/// `u64` origin · `u64` run · `u64` number · a `flymq.internal.v1.Proposal` to the end.
impl Wire for Proposal {
    fn put(&self, to: &mut Vec<u8>) {
        for number in [self.id.origin, self.id.run, self.id.number] {
            to.extend_from_slice(&number.to_le_bytes());
        }
        to.extend_from_slice(&self.commands);
    }

    fn get(from: &mut Reader) -> Result<Self, CodecError> {
        let id = ProposalId { origin: from.u64()?, run: from.u64()?, number: from.u64()? };
        Ok(Self { id, commands: from.rest() })
    }
}

/// `u8` 0 and `u64` index, 1, or 2 and a text.
impl Wire for Relayed {
    fn put(&self, to: &mut Vec<u8>) {
        match self {
            Self::At(index) => {
                to.push(AT);
                to.extend_from_slice(&index.to_le_bytes());
            }
            Self::NotLeader => to.push(NOT_LEADER),
            Self::Unknown(reason) => {
                to.push(UNKNOWN);
                put_bytes(to, reason.as_bytes());
            }
        }
    }

    fn get(from: &mut Reader) -> Result<Self, CodecError> {
        Ok(match from.u8()? {
            AT => Self::At(from.u64()?),
            NOT_LEADER => Self::NotLeader,
            UNKNOWN => Self::Unknown(from.text()?),
            other => return Err(CodecError::Kind(other, "answer")),
        })
    }
}
