//! The number under which a node is known in the metadata group and to the replicas of other nodes.

use std::sync::Arc;

use flymq_engine::meta::{ClusterMeta, NodeMeta};
use flymq_types::{DirectoryId, NodeId};

use crate::raft::RaftId;
use crate::replica::BrokerId;

/// The first 8 bytes of the directory's id, big-endian: an emptied or replaced disk is another member, never a voter
/// that has forgotten its vote.
pub fn member_id(directory: DirectoryId) -> RaftId {
    directory.as_bytes()[..8].iter().fold(0, |id, byte| id << 8 | u64::from(*byte))
}

/// The number of that node with the directory of its last registration; none where it is not registered.
pub fn broker_of(cluster: &ClusterMeta, node: &NodeId) -> Option<BrokerId> {
    cluster.node(node).map(|node| BrokerId(member_id(node.directory)))
}

/// The node of that number; none where it is not registered, or now has another directory.
pub fn node_of(cluster: &ClusterMeta, broker: BrokerId) -> Option<&Arc<NodeMeta>> {
    cluster.nodes.values().find(|node| member_id(node.directory) == broker.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_named_by_its_directory() {
        let mut bytes = [9; 16];
        bytes[..8].copy_from_slice(&[1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(member_id(DirectoryId::from_bytes(bytes)), 0x0102_0304_0506_0708);
    }
}
