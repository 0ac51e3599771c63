//! What the network between nodes is started with.

use std::sync::Arc;
use std::time::Duration;

use flymq_types::{Clock, Rng};
use tokio::net::TcpListener;

use super::secret::ClusterSecret;
use crate::raft::RaftId;
use crate::replica::BrokerEpoch;

/// What a [`super::PeerNetwork`] is started with.
#[derive(Debug)]
pub struct PeerOptions {
    /// This node, from its data directory: the same at every start.
    pub me: RaftId,
    /// None: in no cluster and without a token. Others are told so; [`super::PeerNetwork::set_membership`] when that changes.
    pub membership: Option<PeerMembership>,
    /// The cluster port.
    pub listener: TcpListener,
    /// Join tokens end by wall time.
    pub clock: Arc<dyn Clock>,
    /// Must be unpredictable: nonces come from it.
    pub rng: Arc<dyn Rng>,
    pub settings: PeerSettings,
}

/// What members have in common.
#[derive(Debug, Clone)]
pub struct PeerMembership {
    /// None: in no cluster yet, but with a token: others may ask whether it is in one ([`crate::PeerCall::Join`]).
    pub cluster: Option<[u8; 16]>,
    pub secret: ClusterSecret,
}

/// Where a member is found, and which registration of it is the current one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerAddress {
    /// `host:port` of its cluster port.
    pub address: String,
    /// Connections and frames of an earlier one are refused. 0: not registered yet.
    pub broker_epoch: BrokerEpoch,
}

/// How patient the network is, and how much it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerSettings {
    /// Members speak TLS 1.3 with each other, both with certificates of the cluster; the same on all nodes. It needs a
    /// secret with a seed ([`ClusterSecret::founded`]); without one, and without this, they speak plain text.
    pub tls: bool,
    /// From the first packet to the last of the handshake, connecting included.
    pub handshake: Duration,
    /// Who has connected asks so often whether the other side is there.
    pub ping_every: Duration,
    /// Nothing was heard for so long: the connection is closed. At least three pings.
    pub dead_after: Duration,
    /// The same where a ping waits behind large packets: catch-up and snapshots.
    pub bulk_dead_after: Duration,
    /// First and longest pause between two attempts to connect.
    pub backoff: (Duration, Duration),
    /// Largest packet after the handshake, bytes: the largest record batch fits. Checked before anything is allocated.
    pub max_packet_bytes: usize,
    /// Bytes that wait for each node on the lane; what does not fit is dropped and counted.
    pub live_queue_bytes: usize,
    pub catch_up_queue_bytes: usize,
    pub calls_queue_bytes: usize,
    pub heartbeat_queue_bytes: usize,
    /// Connections that have not proved yet who they are.
    pub max_handshakes: usize,
    /// Questions of one connection that are being answered; the next one is read after that.
    pub max_concurrent_calls: usize,
}

impl Default for PeerSettings {
    fn default() -> Self {
        Self {
            tls: true,
            handshake: Duration::from_secs(3),
            ping_every: Duration::from_millis(500),
            dead_after: Duration::from_secs(2),
            bulk_dead_after: Duration::from_secs(10),
            backoff: (Duration::from_millis(50), Duration::from_secs(1)),
            max_packet_bytes: 33 << 20,
            live_queue_bytes: 64 << 20,
            catch_up_queue_bytes: 64 << 20,
            calls_queue_bytes: 64 << 20,
            heartbeat_queue_bytes: 64 << 10,
            max_handshakes: 64,
            max_concurrent_calls: 256,
        }
    }
}
