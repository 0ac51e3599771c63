use crate::choice::Role;
use crate::secret::Secret;

/// Membership of this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterOptions {
    /// What this node is in a cluster.
    pub role: Role,
    /// Cluster addresses of the other nodes, `host:port`.
    pub peers: Vec<String>,
    /// Cluster address of any member (agent).
    pub server: Option<String>,
    /// Token that lets this node join (agent).
    pub join_token: Option<Secret>,
    /// Secret of the cluster (bootstrap); generated unless set.
    pub cluster_token: Option<Secret>,
}

impl Default for ClusterOptions {
    fn default() -> Self {
        Self {
            role: Role::Standalone,
            peers: Vec::new(),
            server: None,
            join_token: None,
            cluster_token: None,
        }
    }
}
