//! What other nodes want of this one. The cluster port is open before there is much to answer with: what is not there yet
//! is refused, and asked for again.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use flymq_api::Forwarded;
use flymq_proto::internal::{JoinLater, SessionHeartbeat, SessionHeartbeatReply, join_reply};
use flymq_replication::{PeerCall, PeerError, PeerService, RaftId};
use futures::future::BoxFuture;
use prost::Message as _;

use super::{admission, member::Member};

/// Takes what comes, as far as this node is by now.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    pub member: OnceLock<Arc<Member>>,
    pub forwarded: OnceLock<Arc<Forwarded>>,
    /// Where this node is reached by others.
    pub address: OnceLock<String>,
    /// It belongs to a cluster, and may not be ready to say more.
    pub joined: AtomicBool,
}

impl Inbox {
    fn heartbeat(&self, from: RaftId, body: Bytes) -> Result<Bytes, PeerError> {
        let member = self.member.get().ok_or_else(starting)?;
        let beat = SessionHeartbeat::decode(body).map_err(|error| refused(error.to_string()))?;
        let metadata_version = member.hear(from, &beat)?;
        Ok(SessionHeartbeatReply { metadata_version }.encode_to_vec().into())
    }

    async fn join(&self, from: Option<RaftId>, body: Bytes) -> Result<Bytes, PeerError> {
        let Some(member) = self.member.get() else {
            let reason = "this node is in no cluster yet".to_owned();
            let cluster_address = self.address.get().cloned().unwrap_or_default();
            let later = JoinLater { reason, member: self.joined.load(Ordering::Relaxed), cluster_address };
            return Ok(admission::reply(join_reply::Outcome::Later(later)));
        };
        admission::answer(member, from, body).await
    }

    async fn forward(&self, body: Bytes) -> Result<Bytes, PeerError> {
        let forwarded = self.forwarded.get().ok_or_else(starting)?;
        Ok(forwarded.answer(body).await)
    }
}

fn refused(reason: String) -> PeerError {
    PeerError::Refused { reason }
}

fn starting() -> PeerError {
    refused("this node is starting".to_owned())
}

impl PeerService for Inbox {
    fn answer(
        &self,
        from: Option<RaftId>,
        call: PeerCall,
        body: Bytes,
    ) -> BoxFuture<'_, Result<Bytes, PeerError>> {
        Box::pin(async move {
            match (call, from) {
                (PeerCall::Join, from) => self.join(from, body).await,
                (PeerCall::Heartbeat | PeerCall::Forward, None) => {
                    Err(refused("a node that is no member may only join".to_owned()))
                }
                (PeerCall::Heartbeat, Some(from)) => self.heartbeat(from, body),
                (PeerCall::Forward, Some(_)) => self.forward(body).await,
            }
        })
    }
}
