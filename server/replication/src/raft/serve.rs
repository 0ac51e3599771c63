//! The answers of a member to the others.

use bytes::Bytes;
use openraft::error::{InstallSnapshotError, RaftError};
use openraft::raft::{AppendEntriesRequest, InstallSnapshotRequest, VoteRequest};

use super::codec::Reader;
use super::store::{Member, RaftMetaStore};
use super::transport::{MetaRequest, MetaRpc, MetaTransportError};
use super::types::{Proposal, RaftId, Types};
use super::wire::{Empty, Envelope, Installed, Relayed, decode_content, decode_envelope, encode_answer};

fn refused(reason: impl Into<String>) -> MetaTransportError {
    MetaTransportError::Refused { reason: reason.into() }
}

/// openraft, or the reader of a message, has refused it.
fn refusal(error: &impl std::error::Error) -> MetaTransportError {
    refused(error.to_string())
}

impl RaftMetaStore {
    /// Answers a request that came from another member. Whoever calls has made sure that it came from one.
    ///
    /// # Errors
    /// `Refused`: it is for another member or cluster, cannot be read, or this member is stopped.
    pub async fn answer(&self, request: MetaRequest) -> Result<Bytes, MetaTransportError> {
        let member = &*self.0;
        let from = &mut Reader::new(request.body);
        let envelope = decode_envelope(from).map_err(|error| refusal(&error))?;
        let own = Envelope { cluster: member.cluster, to: member.id };
        if envelope != own && !cfg!(mutant = "raft_message_for_others_taken") {
            let reason =
                format!("this is member {} of another cluster, or not member {}", own.to, envelope.to);
            return Err(refused(reason));
        }
        match request.rpc {
            MetaRpc::Append => {
                let answer = member.raft.append_entries(read::<AppendEntriesRequest<Types>>(from)?).await;
                Ok(encode_answer(&answer.map_err(|error| refusal(&error))?))
            }
            MetaRpc::Vote => {
                let answer = member.raft.vote(read::<VoteRequest<RaftId>>(from)?).await;
                Ok(encode_answer(&answer.map_err(|error| refusal(&error))?))
            }
            MetaRpc::InstallSnapshot => Ok(encode_answer(&member.install(read(from)?).await?)),
            MetaRpc::Forward => Ok(encode_answer(&member.take(read(from)?).await)),
            MetaRpc::ReadIndex => {
                let Empty = read(from)?;
                Ok(encode_answer(&member.read_index_here().await))
            }
            MetaRpc::Silence => {
                let Empty = read(from)?;
                Ok(encode_answer(&member.silence().await))
            }
        }
    }
}

fn read<T: super::wire::Wire>(from: &mut Reader) -> Result<T, MetaTransportError> {
    decode_content(from).map_err(|error| refusal(&error))
}

impl Member {
    async fn install(&self, piece: InstallSnapshotRequest<Types>) -> Result<Installed, MetaTransportError> {
        match self.raft.install_snapshot(piece).await {
            Ok(response) => Ok(Ok(response)),
            Err(RaftError::APIError(InstallSnapshotError::SnapshotMismatch(mismatch))) => Ok(Err(mismatch)),
            Err(RaftError::Fatal(error)) => Err(refusal(&error)),
        }
    }

    /// Takes another member's proposal, if this one leads.
    async fn take(&self, proposal: Proposal) -> Relayed {
        let ticket = self.pending.follow(proposal.id);
        self.submit_here(&ticket, proposal).await
    }
}
