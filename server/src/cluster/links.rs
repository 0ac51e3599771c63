//! What the broker's own layers ask of the cluster: other nodes' answers, the metadata leader, join tokens.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use flymq_api::{BrokerError, ClusterControl, ClusterLinks, ErrorCode, PeerBroker, PeerFailure};
use flymq_replication::{PeerCall, PeerCaller as _, PeerError, member_id, node_of, replica::BrokerId};
use flymq_types::NodeId;
use futures::future::BoxFuture;

use super::member::Member;

/// How the layers reach the other nodes.
pub(crate) fn of(member: &Arc<Member>) -> ClusterLinks {
    ClusterLinks { peers: member.clone(), control: member.clone() }
}

impl PeerBroker for Member {
    fn forward(
        &self,
        to: &NodeId,
        body: Bytes,
        within: Duration,
    ) -> BoxFuture<'_, Result<Bytes, PeerFailure>> {
        let known = self.image().cluster.node(to).map(|node| member_id(node.directory));
        let to = to.clone();
        Box::pin(async move {
            let Some(id) = known else {
                return Err(PeerFailure::Unreachable { reason: format!("node {to} is unknown") });
            };
            self.network.call(id, PeerCall::Forward, body, within).await.map_err(|error| match error {
                PeerError::Unreachable { reason } => PeerFailure::Unreachable { reason },
                PeerError::Lost { reason } => PeerFailure::Lost { reason },
                PeerError::Refused { reason } => PeerFailure::Refused { reason },
            })
        })
    }
}

impl ClusterControl for Member {
    fn metadata_leader(&self) -> Option<NodeId> {
        let leader = self.store.leader()?;
        // One that no majority answers may have been replaced long ago.
        if leader == self.id && !self.store.leads_surely(2 * super::group_settings().election.1) {
            return None;
        }
        node_of(&self.image().cluster, BrokerId(leader)).map(|node| node.id.clone())
    }

    fn out_of_touch(&self) -> Option<Duration> {
        Member::out_of_touch(self)
    }

    fn create_join_token(&self, valid: Duration) -> BoxFuture<'_, Result<String, BrokerError>> {
        Box::pin(async move {
            let millis = i64::try_from(valid.as_millis()).unwrap_or(i64::MAX);
            let expires = self.clock.wall().plus_millis(millis);
            let token = self.network.join_token(expires);
            token.ok_or_else(|| BrokerError::new(ErrorCode::Unavailable, "this node is in no cluster yet"))
        })
    }
}
