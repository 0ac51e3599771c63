//! openraft's requests over the [`MetaTransport`].

use std::sync::Arc;
use std::time::Duration;

use flymq_types::Clock;
use openraft::error::{InstallSnapshotError, RPCError, RaftError, RemoteError, Unreachable};
use openraft::network::{Backoff, RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse,
    VoteRequest, VoteResponse,
};

use super::heard::Heard;
use super::transport::{MetaRequest, MetaRpc, MetaTransport, MetaTransportError};
use super::types::{MetaPeer, RaftId, Types};
use super::wire::{Envelope, Installed, Wire, decode_answer, encode_request};

/// Makes the connections of this node.
#[derive(Debug, Clone)]
pub(crate) struct Network {
    pub(crate) transport: Arc<dyn MetaTransport>,
    pub(crate) cluster: [u8; 16],
    /// How long to leave a member alone that is not reachable.
    pub(crate) backoff: Duration,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) heard: Arc<Heard>,
}

/// The way to one member.
#[derive(Debug)]
pub(crate) struct Link {
    network: Network,
    to: RaftId,
    peer: MetaPeer,
}

impl Network {
    /// Asks a member and reads its answer.
    pub(crate) async fn call<A: Wire>(
        &self,
        (to, peer): (RaftId, &MetaPeer),
        rpc: MetaRpc,
        request: &impl Wire,
        within: Duration,
    ) -> Result<A, MetaTransportError> {
        let body = encode_request(Envelope { cluster: self.cluster, to }, request);
        let answer = self.transport.call(to, peer, MetaRequest { rpc, body }, within).await?;
        // It was taken; what it came to cannot be read.
        decode_answer(answer).map_err(|error| MetaTransportError::Lost { reason: error.to_string() })
    }
}

type Failed<E> = RPCError<RaftId, MetaPeer, E>;

impl Link {
    async fn call<A: Wire, E: std::error::Error>(
        &self,
        rpc: MetaRpc,
        request: &impl Wire,
        option: &RPCOption,
    ) -> Result<A, Failed<E>> {
        let answer = self.network.call((self.to, &self.peer), rpc, request, option.hard_ttl()).await;
        // Not `Network`: openraft would try again at once.
        answer.map_err(|error| RPCError::Unreachable(Unreachable::new(&error)))
    }
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Link;

    async fn new_client(&mut self, target: RaftId, node: &MetaPeer) -> Link {
        Link { network: self.clone(), to: target, peer: node.clone() }
    }
}

impl RaftNetwork<Types> for Link {
    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<RaftId>, Failed<RaftError<RaftId>>> {
        let (vote, sent) = (rpc.vote, self.network.clock.monotonic());
        let answer = self.call(MetaRpc::Append, &rpc, &option).await?;
        match &answer {
            // Also one whose log has to be mended first follows.
            AppendEntriesResponse::Success
            | AppendEntriesResponse::PartialSuccess(_)
            | AppendEntriesResponse::Conflict => self.network.heard.note(self.to, vote, sent),
            AppendEntriesResponse::HigherVote(_) => {}
        }
        Ok(answer)
    }

    async fn install_snapshot(
        &mut self,
        rpc: InstallSnapshotRequest<Types>,
        option: RPCOption,
    ) -> Result<InstallSnapshotResponse<RaftId>, Failed<RaftError<RaftId, InstallSnapshotError>>> {
        let installed: Installed = self.call(MetaRpc::InstallSnapshot, &rpc, &option).await?;
        installed.map_err(|mismatch| {
            RPCError::RemoteError(RemoteError::new(self.to, RaftError::APIError(mismatch.into())))
        })
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<RaftId>,
        option: RPCOption,
    ) -> Result<VoteResponse<RaftId>, Failed<RaftError<RaftId>>> {
        self.call(MetaRpc::Vote, &rpc, &option).await
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(std::iter::repeat(self.network.backoff))
    }
}
