//! Partitions come, placed on the nodes that there are.

use std::sync::Arc;

use flymq_types::{NodeId, TopicId};

use super::{NodeRejection, Rejection};
use crate::meta::{ClusterMeta, NodeState, PartitionMeta, Placement, PlacementError, PlacementNode};
use crate::topic::TopicConfig;

/// Replicas of a partition where the topic does not say, if there are as many nodes.
pub const DEFAULT_FACTOR: u32 = 3;

/// `count` new partitions for a topic that has `present`. Without cluster they have no replicas.
pub(super) fn new_partitions(
    cluster: &ClusterMeta,
    config: &TopicConfig,
    present: &[Arc<PartitionMeta>],
    count: u32,
    seed: u64,
) -> Result<Vec<Arc<PartitionMeta>>, Rejection> {
    if cluster.id.is_none() || count == 0 {
        return Ok(vec![Arc::default(); count as usize]);
    }
    let registered = u32::try_from(cluster.nodes.len()).unwrap_or(u32::MAX);
    let factor = config.replication_factor.unwrap_or(DEFAULT_FACTOR.min(registered)).max(1);
    let nodes = candidates(cluster, factor);
    let present: Vec<Vec<NodeId>> =
        present.iter().map(|partition| partition.target().cloned().collect()).collect();
    let placement = Placement { nodes: &nodes, present: &present, partitions: count, factor, seed };
    let placed = placement.place().map_err(|error| match error {
        PlacementError::TooFewNodes { factor, nodes } => {
            Rejection::ReplicationFactor { asked: factor, nodes }
        }
        PlacementError::NoLeader => NodeRejection::NoneActive.into(),
    })?;
    let is_active = |node: &&NodeId| cluster.state(node) == Some(NodeState::Active);
    let partition = |replicas: Vec<NodeId>| {
        let in_sync = replicas.iter().filter(is_active).cloned().collect();
        Arc::new(PartitionMeta::placed(replicas, in_sync))
    };
    Ok(placed.into_iter().map(partition).collect())
}

/// Active nodes; where they are too few, all nodes, so that one that is down now does not leave a topic with fewer replicas
/// for ever.
fn candidates(cluster: &ClusterMeta, factor: u32) -> Vec<PlacementNode> {
    let all = cluster.nodes.values().map(|node| PlacementNode {
        id: node.id.clone(),
        rack: node.rack.clone(),
        leads: node.state == NodeState::Active,
    });
    let (active, others): (Vec<_>, Vec<_>) = all.partition(|node| node.leads);
    if active.len() >= factor as usize { active } else { active.into_iter().chain(others).collect() }
}

/// A seed for the placement of a topic's partitions: its random id, and how often it was changed.
pub(super) fn seed(topic: TopicId, revision: u64) -> u64 {
    let bytes = topic.as_bytes();
    let half =
        |from: usize| bytes[from..from + 8].iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    half(0) ^ half(8).rotate_left(32) ^ revision
}

/// Refuses a `min_insync_replicas` that some partition can never reach. Without cluster it is checked elsewhere.
pub(super) fn check_min_insync(
    config: &TopicConfig,
    partitions: &[Arc<PartitionMeta>],
) -> Result<(), Rejection> {
    let Some(asked) = config.min_insync_replicas else { return Ok(()) };
    let replicated = partitions.iter().filter(|partition| partition.is_replicated());
    let Some(fewest) = replicated.map(|partition| partition.target().count()).min() else { return Ok(()) };
    let replicas = u32::try_from(fewest).unwrap_or(u32::MAX);
    if (1..=replicas).contains(&asked) { Ok(()) } else { Err(Rejection::MinInsync { asked, replicas }) }
}
