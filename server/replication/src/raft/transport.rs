//! How members reach each other. This module knows what is said, not how it gets there.

use std::fmt::Debug;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;

use super::types::{MetaPeer, RaftId};

/// What is asked of a member. The numbers are on the wire: one is never used again for another request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum MetaRpc {
    /// Entries of the log, or none as a heartbeat. Must not wait behind anything large.
    Append = 1,
    Vote = 2,
    /// A piece of a snapshot, at most 3 MiB.
    InstallSnapshot = 3,
    /// A proposal, to the leader.
    Forward = 4,
    /// How far a reader has to be to see everything, of the leader.
    ReadIndex = 5,
    /// For how long the member has not heard of a leader: before an election.
    Silence = 6,
}

impl MetaRpc {
    /// By its number.
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::Append, Self::Vote, Self::InstallSnapshot, Self::Forward, Self::ReadIndex, Self::Silence]
            .into_iter()
            .find(|rpc| *rpc as u8 == number)
    }
}

/// A request as it goes over the wire; only [`super::RaftMetaStore::answer`] looks into the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetaRequest {
    pub rpc: MetaRpc,
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetaTransportError {
    /// The request certainly did not get there: no connection. Say so at once, elections wait for it.
    #[error("not reachable: {reason}")]
    Unreachable { reason: String },
    /// The request may have got there.
    #[error("no answer: {reason}")]
    Lost { reason: String },
    /// The other side took it and did nothing with it: it is not the one meant, is stopped, or cannot read it.
    #[error("refused: {reason}")]
    Refused { reason: String },
}

/// Carries requests to other members.
///
/// # Contract
/// - One answer for each request, from the peer meant; requests may overtake each other.
/// - `Unreachable` and `Refused` only if the request had no effect there.
/// - Whoever drops the future no longer wants the answer; the request may still have its effect.
pub trait MetaTransport: Send + Sync + Debug {
    /// Sends a request and waits for the answer at most `within`.
    fn call<'a>(
        &'a self,
        to: RaftId,
        peer: &'a MetaPeer,
        request: MetaRequest,
        within: Duration,
    ) -> BoxFuture<'a, Result<Bytes, MetaTransportError>>;
}
