//! The nodes of a cluster in the metadata.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use flymq_types::{BrokerEpoch, ClusterId, DirectoryId, IncarnationId, NodeId, Timestamp};

/// The cluster in the metadata; empty on a broker without cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClusterMeta {
    /// None until [`super::FormCluster`].
    pub id: Option<ClusterId>,
    pub nodes: BTreeMap<NodeId, Arc<NodeMeta>>,
    /// The newest epoch that a registration was given.
    pub last_broker_epoch: BrokerEpoch,
    /// What every node may rely on the others to understand; see [`super::RaiseFeatures`].
    pub features: u32,
    /// Data directories of nodes that were removed, the newest [`REMOVED_KEPT`] of them, the oldest first: none of them registers again.
    pub removed: Vec<DirectoryId>,
}

/// So many removed directories are remembered. (Each is 16 bytes of every snapshot.)
pub const REMOVED_KEPT: usize = 4_096;

impl ClusterMeta {
    /// Whether the node that had this directory was removed.
    pub fn was_removed(&self, directory: DirectoryId) -> bool {
        self.removed.contains(&directory)
    }

    /// A node with this directory is removed.
    pub(super) fn forget(&mut self, directory: DirectoryId) {
        self.removed.push(directory);
        let surplus = self.removed.len().saturating_sub(REMOVED_KEPT);
        self.removed.drain(..surplus);
    }

    /// The node of that id.
    pub fn node(&self, id: &NodeId) -> Option<&Arc<NodeMeta>> {
        self.nodes.get(id)
    }

    /// The state of that node; none where it is not registered.
    pub fn state(&self, id: &NodeId) -> Option<NodeState> {
        self.nodes.get(id).map(|node| node.state)
    }

    /// Whether the node has a session: it can lead and be in sync.
    pub fn is_alive(&self, id: &NodeId) -> bool {
        self.state(id).is_some_and(NodeState::is_alive)
    }
}

/// A registered node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeMeta {
    pub id: NodeId,
    /// The data directory of its last registration.
    pub directory: DirectoryId,
    /// The process of its last registration; none for a founder that has not registered yet.
    pub incarnation: Option<IncarnationId>,
    pub addresses: NodeAddresses,
    /// Where it stands, so that replicas of one partition stand apart.
    pub rack: Option<Arc<str>>,
    pub state: NodeState,
    /// Its last registration.
    pub broker_epoch: BrokerEpoch,
    /// The newest feature version that it understands.
    pub feature_version: u32,
    pub run: NodeRun,
}

/// What runs on a node, as it said when it registered; for people to read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeRun {
    /// Of the broker's program.
    pub version: Option<Arc<str>>,
    /// What its configuration calls it: bootstrap or agent.
    pub role: Option<Arc<str>>,
    /// By its own wall clock; zero where it is not known.
    pub started: Timestamp,
}

/// Where a node is reached, `host:port` each; none where the door is shut.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeAddresses {
    /// For the other nodes.
    pub cluster: Option<Arc<str>>,
    /// For clients of the native protocol.
    pub native: Option<Arc<str>>,
    pub grpc: Option<Arc<str>>,
    /// Base of the HTTP door.
    pub rest: Option<Arc<str>>,
}

/// What may be asked of a node.
///
/// ```text
/// register ──► Fenced ──unfence──► Active ──drain──► Draining
///                ▲                   │ ▲               │ │
///                └─────── fence ─────┴─│────────────── ┘ │
///                                      └──── unfence ────┘
/// ```
/// Source: KIP-631 (fenced until caught up; controlled shutdown).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NodeState {
    /// Lives, leads and takes new replicas.
    Active,
    /// Without session, or registered and not caught up yet: it leads nothing and is in no in-sync set but as the last
    /// member.
    Fenced,
    /// Lives and replicates on, but leads only what nobody else can, and takes no new replicas.
    Draining,
}

impl NodeState {
    /// Whether the node has a session.
    pub const fn is_alive(self) -> bool {
        match self {
            Self::Active | Self::Draining => true,
            Self::Fenced => false,
        }
    }
}

impl fmt::Display for NodeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Active => "active",
            Self::Fenced => "fenced",
            Self::Draining => "draining",
        })
    }
}
