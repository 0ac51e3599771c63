use crate::choice::Role;
use crate::secret::Secret;

/// Membership of this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterOptions {
    /// What this node is in a cluster.
    pub role: Role,
    /// Cluster addresses of the nodes, `host:port`; this node's own may be among them.
    pub peers: Vec<String>,
    /// Cluster address of any member (agent).
    pub server: Option<String>,
    /// Token that lets this node join (agent).
    pub join_token: Option<Secret>,
    /// Secret of the cluster (bootstrap); generated unless set.
    pub cluster_token: Option<Secret>,
    /// Where this node stands: replicas of one partition stand in different racks where they can.
    pub rack: Option<String>,
    /// Nodes speak TLS with each other; the same on all of them.
    pub tls_enabled: bool,
    /// Members tell the local network where they are, and an agent without `server` looks for them there.
    pub mdns_enabled: bool,
    /// Latest feature version that this node offers to the others; 0: all that it has.
    pub max_feature_version: u32,
}

impl ClusterOptions {
    /// Whether this node is to be a member of a cluster.
    pub fn wants_cluster(&self) -> bool {
        self.role != Role::Standalone || !self.peers.is_empty()
    }
}

impl Default for ClusterOptions {
    fn default() -> Self {
        Self {
            role: Role::Standalone,
            peers: Vec::new(),
            server: None,
            join_token: None,
            cluster_token: None,
            rack: None,
            tls_enabled: true,
            mdns_enabled: true,
            max_feature_version: 0,
        }
    }
}
