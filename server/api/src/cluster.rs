//! What the broker needs of the cluster that its node belongs to; the composition root fills it in.

use std::{fmt::Debug, sync::Arc, time::Duration};

use bytes::Bytes;
use flymq_types::NodeId;
use futures::future::BoxFuture;

use crate::BrokerError;

/// Why another node gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerFailure {
    /// The request certainly had no effect there.
    #[error("it is not reachable from here ({reason})")]
    Unreachable { reason: String },
    /// It may have had its effect.
    #[error("it did not answer ({reason})")]
    Lost { reason: String },
    /// The other node takes no such requests, and says why.
    #[error("it refused the request ({reason})")]
    Refused { reason: String },
}

/// Sends clients' requests to other nodes.
pub trait PeerBroker: Send + Sync + Debug + 'static {
    /// Hands `body` to [`crate::Forwarded::answer`] of node `to`, and brings back what that gives, at most `within`.
    fn forward(
        &self,
        to: &NodeId,
        body: Bytes,
        within: Duration,
    ) -> BoxFuture<'_, Result<Bytes, PeerFailure>>;
}

/// What the node knows of the metadata group and can do to it, beyond the metadata themselves.
pub trait ClusterControl: Send + Sync + Debug + 'static {
    /// Who leads the metadata group, as far as this node knows.
    fn metadata_leader(&self) -> Option<NodeId>;

    /// How long this node has heard no majority of the metadata group, where that is longer than an answer may take: what it
    /// knows of the cluster is as old.
    fn out_of_touch(&self) -> Option<Duration>;

    /// Makes a token with which nodes may join for `valid`.
    fn create_join_token(&self, valid: Duration) -> BoxFuture<'_, Result<String, BrokerError>>;
}

/// How a member of a cluster reaches the others.
#[derive(Debug, Clone)]
pub struct ClusterLinks {
    pub peers: Arc<dyn PeerBroker>,
    pub control: Arc<dyn ClusterControl>,
}
