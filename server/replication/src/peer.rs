//! Questions from node to node, beside the frames of replicas ([`crate::NodeLink`]) and the metadata group
//! ([`crate::MetaTransport`]): who is asked, what, and how it can fail.

use std::fmt::Debug;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;

use crate::raft::RaftId;

/// What is asked. The numbers are on the wire: one is never used again for another question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum PeerCall {
    /// A node renews its session with the leader of the metadata group. Goes over a connection of its own.
    Heartbeat = 1,
    /// A node that is no member asks to become one.
    Join = 2,
    /// A client's request that this node cannot answer, to the one that can.
    Forward = 3,
}

impl PeerCall {
    /// By its number.
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::Heartbeat, Self::Join, Self::Forward].into_iter().find(|call| *call as u8 == number)
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// The question certainly had no effect: no connection.
    #[error("not reachable: {reason}")]
    Unreachable { reason: String },
    /// It may have had its effect.
    #[error("no answer: {reason}")]
    Lost { reason: String },
    /// The other node took it and refuses, for this reason.
    #[error("{reason}")]
    Refused { reason: String },
}

/// Asks other nodes.
///
/// # Contract
/// One answer for each question; questions may overtake each other. `Unreachable` is said at once where the connection is refused or reset.
pub trait PeerCaller: Send + Sync + Debug {
    /// Asks the member `to`, and waits for the answer at most `within`.
    fn call(
        &self,
        to: RaftId,
        call: PeerCall,
        body: Bytes,
        within: Duration,
    ) -> BoxFuture<'_, Result<Bytes, PeerError>>;
}

/// Answers other nodes.
pub trait PeerService: Send + Sync + Debug {
    /// `from`: the member that asks; none for one that only wants to join ([`PeerCall::Join`]).
    fn answer(
        &self,
        from: Option<RaftId>,
        call: PeerCall,
        body: Bytes,
    ) -> BoxFuture<'_, Result<Bytes, PeerError>>;
}
