//! Who leads a partition: decided from the metadata alone, so that every node decides the same.

use flymq_types::NodeId;

use super::{ClusterMeta, NodeState, PartitionMeta};

/// Makes the first replica in preferred order lead that is in sync and lives, active ones before draining ones.
///
/// Where none is, one leads that is not in sync and has every committed record all the same ([`PartitionMeta::elr`]), else
/// nobody. With `unclean`, any living replica leads then, and is the only one in sync: what others had acknowledged is lost.
pub(super) fn elect(partition: &mut PartitionMeta, cluster: &ClusterMeta, unclean: bool) {
    partition.leader = clean_leader(partition, cluster);
    if partition.leader.is_none()
        && let Some(leader) = first_alive(partition, cluster, |node| partition.elr.contains(node))
    {
        lead_as_eligible(partition, leader);
    }
    if partition.leader.is_none()
        && unclean
        && let Some(leader) = first_alive(partition, cluster, |_| true)
    {
        lead_uncleanly(partition, leader);
    }
}

/// The first in-sync replica that is active and could lead in place of the one that does.
pub(super) fn other_than_leader(partition: &PartitionMeta, cluster: &ClusterMeta) -> Option<NodeId> {
    let leader = partition.leader.as_ref()?;
    let others = partition.replicas.iter().filter(|node| *node != leader && partition.isr.contains(node));
    let mut active = others.filter(|node| cluster.state(node) == Some(NodeState::Active));
    active.next().cloned()
}

/// Makes an eligible replica lead alone. Who was in sync before has as much, unless it came back without it.
fn lead_as_eligible(partition: &mut PartitionMeta, leader: NodeId) {
    let before = std::mem::replace(&mut partition.isr, vec![leader.clone()]);
    if !partition.isr_lost {
        partition.elr.extend(before);
    }
    partition.elr.retain(|node| *node != leader);
    partition.isr_lost = false;
    partition.isr_directory = None;
    partition.leader = Some(leader);
}

/// Makes that replica lead alone, whatever it has.
pub(super) fn lead_uncleanly(partition: &mut PartitionMeta, leader: NodeId) {
    partition.isr = vec![leader.clone()];
    partition.elr.clear();
    partition.isr_lost = false;
    partition.isr_directory = None;
    partition.leader = Some(leader);
}

fn clean_leader(partition: &PartitionMeta, cluster: &ClusterMeta) -> Option<NodeId> {
    let may_lead = |node: &NodeId| !partition.isr_lost && partition.isr.contains(node);
    first_alive(partition, cluster, may_lead)
}

/// The first active replica, else the first draining one, of those that may.
fn first_alive(
    partition: &PartitionMeta,
    cluster: &ClusterMeta,
    may_lead: impl Fn(&NodeId) -> bool,
) -> Option<NodeId> {
    let first = |state| {
        let mut replicas = partition.replicas.iter();
        replicas.find(|node| may_lead(node) && cluster.state(node) == Some(state))
    };
    first(NodeState::Active).or_else(|| first(NodeState::Draining)).cloned()
}
