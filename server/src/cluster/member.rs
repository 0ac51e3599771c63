//! What the parts of a member share.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use flymq_config::Role;
use flymq_engine::meta::{Command, MetaImage, MetaStore as _, NodeMeta};
use flymq_proto::internal::{SessionHeartbeat, SessionHeartbeatReply};
use flymq_replication::{
    ClusterSecret, PeerAddress, PeerCall, PeerCaller as _, PeerError, PeerNetwork, RaftId, RaftMetaStore,
    member_id, replica,
};
use flymq_types::{BrokerEpoch, Clock, ClusterId, DirectoryId, NodeId};
use parking_lot::Mutex;
use prost::Message as _;
use tokio::sync::watch;
use tracing::warn;

use super::sessions::{SESSION, Sessions};

/// A metadata leader that has not heard of a majority for so long renews no sessions: another one may lead. Shorter than
/// the time after which others elect one.
const QUORUM: Duration = Duration::from_millis(900);
/// How long a heartbeat waits for its answer.
const HEARTBEAT_WAIT: Duration = Duration::from_secs(1);

/// This node as a member of its cluster.
#[derive(Debug)]
pub(crate) struct Member {
    pub node: NodeId,
    pub id: RaftId,
    pub directory: DirectoryId,
    pub cluster: ClusterId,
    /// How it came into the cluster, or what it is told to be.
    pub role: Role,
    /// The latest feature version that it offers.
    pub understands: u32,
    /// Where other nodes reach this one.
    pub address: String,
    /// Names the encryption key; empty: not encrypted.
    pub encryption_key: String,
    pub store: RaftMetaStore,
    pub network: Arc<PeerNetwork>,
    pub clock: Arc<dyn Clock>,
    pub sessions: Mutex<Sessions>,
    /// When the newest heartbeat was sent that a leader with a majority behind it has answered.
    pub heard: Mutex<Option<Duration>>,
    /// Of the registration of this process.
    pub epoch: OnceLock<BrokerEpoch>,
    pub secret: ClusterSecret,
    /// Where members are found that have started again and could not register yet, with their last registration.
    pub moved: Mutex<BTreeMap<RaftId, (BrokerEpoch, String)>>,
    /// Why this process is no node of the cluster any more.
    pub dismissed: watch::Sender<Option<String>>,
}

impl Member {
    pub fn image(&self) -> Arc<MetaImage> {
        self.store.image()
    }

    /// Its registration in the metadata, as long as it is that of this process.
    pub fn registration(&self) -> Option<Arc<NodeMeta>> {
        let epoch = *self.epoch.get()?;
        self.image().cluster.node(&self.node).filter(|node| node.broker_epoch == epoch).cloned()
    }

    /// Why this process has no registration any more, although it had one; none as long as it has. Others may refuse it before
    /// the metadata says so: where another process has the same directory id, that is the one they send it to.
    pub fn dismissal(&self) -> Option<String> {
        let over = |epoch: &BrokerEpoch| self.network.is_over(replica::BrokerEpoch(epoch.0));
        if self.registration().is_some() && !self.epoch.get().is_some_and(over) {
            return None;
        }
        let node = &self.node;
        Some(match self.image().cluster.node(node) {
            Some(other) if other.directory == self.directory => format!(
                "node {node} was registered again from the same data directory, or a copy of it: another process runs with \
                 that, and this one stops. Only one of the two may be started again"
            ),
            Some(_) => format!(
                "another process has taken the node id {node}, with another data directory, and this one stops: \
                 choose another FLYMQ_NODE_ID (node_id) for one of the two, or leave this one switched off"
            ),
            None => format!(
                "node {node} was removed from the cluster, and stops: it keeps no replica any more, and its data directory \
                 can be deleted"
            ),
        })
    }

    /// Whether it leads the metadata group, as far as it knows.
    pub fn leads(&self) -> bool {
        self.store.leader() == Some(self.id)
    }

    /// How long no leader with a majority behind it has answered this node, where that is longer than a session: what it
    /// knows of the cluster is as old.
    pub fn out_of_touch(&self) -> Option<Duration> {
        let heard = (*self.heard.lock())?;
        Some(self.clock.monotonic().saturating_sub(heard)).filter(|silence| *silence > SESSION)
    }

    /// A heartbeat that was sent then has been answered.
    pub fn note_heard(&self, sent: Duration) {
        let mut heard = self.heard.lock();
        *heard = (*heard).max(Some(sent));
    }

    /// Has one command agreed upon.
    pub async fn propose(&self, command: Command) -> Result<(), flymq_engine::meta::MetaError> {
        self.store.propose(vec![command]).await.map(|_applied| ())
    }

    /// Tells the network who the brokers of the cluster are, and where.
    pub fn introduce(&self, image: &MetaImage) {
        let moved = self.moved.lock().clone();
        let addressed = image.cluster.nodes.values().filter_map(|node| {
            let id = member_id(node.directory);
            let moved = moved.get(&id).filter(|(epoch, _)| *epoch == node.broker_epoch);
            let address = moved.map(|(_, address)| address.clone());
            let address = address.or_else(|| node.addresses.cluster.as_deref().map(str::to_owned))?;
            let broker_epoch = replica::BrokerEpoch(node.broker_epoch.0);
            Some((id, PeerAddress { address, broker_epoch }))
        });
        self.network.set_members(addressed.collect());
    }

    /// A member that has no session says where it is found now.
    pub fn note_address(&self, node: &NodeMeta, address: &str) {
        if node.addresses.cluster.as_deref() != Some(address) {
            let moved = (node.broker_epoch, address.to_owned());
            self.moved.lock().insert(member_id(node.directory), moved);
            self.introduce(&self.image());
        }
    }

    /// Takes another node's heartbeat, or its own, as the leader of the metadata group. Answers with the version of the
    /// metadata. `from`: the member that the connection belongs to.
    pub fn hear(&self, from: RaftId, beat: &SessionHeartbeat) -> Result<u64, PeerError> {
        let refused = |reason: String| PeerError::Refused { reason };
        if !self.store.leads_surely(QUORUM) {
            return Err(refused("this node does not lead the metadata group".to_owned()));
        }
        let image = self.image();
        let node = NodeId::new(&beat.node_id).map_err(|error| refused(error.to_string()))?;
        let known = image.cluster.node(&node).ok_or_else(|| refused(format!("node {node} is unknown")))?;
        check_sender(known, from).map_err(refused)?;
        if known.broker_epoch.0 != beat.broker_epoch {
            let (current, asked) = (known.broker_epoch, beat.broker_epoch);
            return Err(refused(format!(
                "node {node} was registered again: its epoch is {current}, not {asked}"
            )));
        }
        let now = self.clock.monotonic();
        if !self.sessions.lock().heard(&node, known.broker_epoch, now) {
            return Err(refused(format!("node {node} is being fenced")));
        }
        Ok(image.version.0)
    }

    /// Sends a heartbeat to whoever leads the metadata group; brings the version of its metadata.
    pub async fn beat(&self) -> Result<u64, PeerError> {
        let unreachable = |reason: &str| PeerError::Unreachable { reason: reason.to_owned() };
        let epoch = self.epoch.get().ok_or_else(|| unreachable("not registered yet"))?;
        let beat = SessionHeartbeat { node_id: self.node.to_string(), broker_epoch: epoch.0 };
        match self.store.leader() {
            None => Err(unreachable("nobody leads the metadata group")),
            Some(leader) if leader == self.id => self.hear(self.id, &beat),
            Some(leader) => {
                let body = Bytes::from(beat.encode_to_vec());
                let answer = self.network.call(leader, PeerCall::Heartbeat, body, HEARTBEAT_WAIT).await?;
                let reply = SessionHeartbeatReply::decode(answer);
                let reply = reply.map_err(|error| PeerError::Lost { reason: error.to_string() })?;
                Ok(reply.metadata_version)
            }
        }
    }
}

/// Members know the secret and have a certificate, each its own: one must not speak for another.
fn check_sender(node: &NodeMeta, from: RaftId) -> Result<(), String> {
    if member_id(node.directory) == from || cfg!(mutant = "heartbeat_of_another_node_taken") {
        return Ok(());
    }
    warn!(node = %node.id, from, "a heartbeat names another node than the one that it comes from, and is refused");
    Err(format!("node {} is another member than {from}", node.id))
}

#[cfg(test)]
mod tests {
    use flymq_engine::meta::{NodeAddresses, NodeRun, NodeState};

    use super::*;

    #[test]
    fn a_heartbeat_counts_for_the_node_that_it_comes_from() {
        let node = NodeMeta {
            id: NodeId::new("a").expect("an id"),
            directory: DirectoryId::from_bytes([7; 16]),
            incarnation: None,
            addresses: NodeAddresses::default(),
            rack: None,
            state: NodeState::Active,
            broker_epoch: BrokerEpoch(1),
            feature_version: 1,
            run: NodeRun::default(),
        };
        assert_eq!(check_sender(&node, member_id(node.directory)), Ok(()));
        let other = member_id(DirectoryId::from_bytes([8; 16]));
        let refused = check_sender(&node, other).expect_err("another node's");
        assert!(refused.contains("another member"), "{refused}");
    }
}
