//! A member answers a node that wants to join; the leader of the metadata group decides.

use std::time::Duration;

use bytes::Bytes;
use flymq_engine::meta::{ClusterMeta, MetaStore as _, NodeRejection};
use flymq_proto::internal::{
    JoinAccepted, JoinLater, JoinRefused, JoinReply, JoinRequest, join_reply::Outcome,
};
use flymq_replication::{MetaPeer, PeerCall, PeerCaller as _, PeerError, RaftId, member_id};
use flymq_types::{DirectoryId, NodeId};
use prost::Message as _;

use super::member::Member;

/// How long the leader may take.
const LEADER_WAIT: Duration = Duration::from_secs(10);

pub(super) fn reply(outcome: Outcome) -> Bytes {
    JoinReply { outcome: Some(outcome) }.encode_to_vec().into()
}

/// `from`: the member that passes the question on; it has checked the token, and knows it.
pub(super) async fn answer(member: &Member, from: Option<RaftId>, body: Bytes) -> Result<Bytes, PeerError> {
    let unreadable = |reason: String| PeerError::Refused { reason };
    let request = JoinRequest::decode(body.clone()).map_err(|error| unreadable(error.to_string()))?;
    let node = NodeId::new(&request.node_id).map_err(|error| unreadable(error.to_string()))?;
    let directory = <[u8; 16]>::try_from(&request.directory[..]).map(DirectoryId::from_bytes);
    let directory = directory.map_err(|_| unreadable("a directory id has 16 bytes".to_owned()))?;
    // Whoever leads next must find it, too.
    if let Some(known) = member.image().cluster.node(&node).filter(|known| known.directory == directory) {
        member.note_address(known, &request.cluster_address);
    }
    let mut outcome = match member.store.leader() {
        Some(leader) if leader == member.id => decide(member, &request, &node, directory).await,
        Some(leader) if from.is_none() => {
            let passed_on = member.network.call(leader, PeerCall::Join, body, LEADER_WAIT).await;
            match passed_on.map(JoinReply::decode) {
                Ok(Ok(JoinReply { outcome: Some(outcome) })) => outcome,
                Ok(_) => later(member, "the leader's answer cannot be read"),
                Err(error) => later(member, &format!("the metadata leader: {error}")),
            }
        }
        Some(_) | None => later(member, "nobody leads the metadata group"),
    };
    if let Outcome::Accepted(accepted) = &mut outcome
        && from.is_none()
    {
        accepted.token = member.secret.as_str().to_owned();
    }
    Ok(reply(outcome))
}

fn later(member: &Member, reason: &str) -> Outcome {
    let cluster_address = member.address.clone();
    Outcome::Later(JoinLater { reason: reason.to_owned(), member: true, cluster_address })
}

fn refused(reason: String, transient: bool) -> JoinRefused {
    JoinRefused { reason, transient, removed: false }
}

async fn decide(member: &Member, request: &JoinRequest, node: &NodeId, directory: DirectoryId) -> Outcome {
    if let Err(error) = member.store.barrier().await {
        return later(member, &error.to_string());
    }
    let image = member.image();
    if image.cluster.id.is_none() {
        return later(member, "the cluster is being formed");
    }
    if let Some(refusal) = refusal(member, &image.cluster, request, node, directory) {
        tracing::warn!(%node, address = request.cluster_address, reason = refusal.reason, "a node may not join");
        return Outcome::Refused(refusal);
    }
    let comes_back = image.cluster.node(node).is_some_and(|known| known.directory == directory);
    let id = member_id(directory);
    let peer = MetaPeer { node: node.to_string(), address: request.cluster_address.clone() };
    if let Err(error) = member.store.add_learner(id, peer).await {
        return later(member, &error.to_string());
    }
    // A member that has started again says where it is.
    if !comes_back {
        tracing::info!(%node, address = request.cluster_address, "a node joins the cluster");
    }
    Outcome::Accepted(accepted(member))
}

/// Without the token, which is said by whoever talks to the new node.
fn accepted(member: &Member) -> JoinAccepted {
    JoinAccepted { cluster_id: Bytes::copy_from_slice(member.cluster.as_bytes()), token: String::new() }
}

fn refusal(
    member: &Member,
    cluster: &ClusterMeta,
    request: &JoinRequest,
    node: &NodeId,
    directory: DirectoryId,
) -> Option<JoinRefused> {
    if request.feature_version < cluster.features {
        let (understood, needed) = (request.feature_version, cluster.features);
        let reason = format!(
            "node {node} understands feature version {understood}, the cluster uses {needed}: use a newer FlyMQ"
        );
        return Some(refused(reason, false));
    }
    if request.encryption_key != member.encryption_key {
        return Some(refused(keys_differ(&request.encryption_key, &member.encryption_key), false));
    }
    let comes_back = cluster.node(node).is_some_and(|known| known.directory == directory);
    // Of a member that starts again its connections say so; it is refused by none who is set like it.
    if request.plain_text == member.network.speaks_tls() && !comes_back {
        return Some(refused(tls_differs(request.plain_text), false));
    }
    if let Some(owner) =
        cluster.nodes.values().find(|known| known.directory == directory && known.id != *node)
    {
        let reason = format!(
            "its data directory belongs to node {}: set FLYMQ_NODE_ID (node_id) to that, or choose an empty directory",
            owner.id
        );
        return Some(refused(reason, false));
    }
    if cluster.was_removed(directory) {
        let reason = NodeRejection::Removed { id: node.clone() }.to_string();
        return Some(JoinRefused { reason, transient: false, removed: true });
    }
    let known = cluster.node(node)?;
    if known.directory != directory && known.state.is_alive() {
        let reason = format!(
            "node id {node} is in use by a living node: choose another FLYMQ_NODE_ID (node_id), or stop the other node"
        );
        return Some(refused(reason, true));
    }
    None
}

fn tls_differs(plain_text: bool) -> String {
    let text = if plain_text {
        "the nodes of the cluster speak TLS with each other, and this one is set not to: remove FLYMQ_CLUSTER_TLS_ENABLED=false \
         (cluster.tls_enabled) here"
    } else {
        "the nodes of the cluster are set to plain text between them, and this one to TLS: set FLYMQ_CLUSTER_TLS_ENABLED=false \
         (cluster.tls_enabled) here, too, or remove it on all of them"
    };
    text.to_owned()
}

fn keys_differ(theirs: &str, ours: &str) -> String {
    let what = match (theirs.is_empty(), ours.is_empty()) {
        (true, _) => "the cluster's data is encrypted, and this node's is not",
        (_, true) => "this node's data is encrypted, and the cluster's is not",
        (false, false) => "this node has another encryption key than the cluster",
    };
    format!(
        "{what}: set the same FLYMQ_ENCRYPTION_ENABLED and FLYMQ_ENCRYPTION_KEY (security.encryption_key) on all nodes"
    )
}
