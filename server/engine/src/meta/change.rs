//! How a command changes partitions: each at most once, with its epochs counted and a finished reassignment settled.

use std::sync::Arc;

use flymq_types::NodeId;

use super::election::elect;
use super::{
    ClusterMeta, Effect, Effects, MetaImage, NodeState, PartitionMeta, Rejection, TopicMeta, TopicPartition,
};

/// What a change of a partition may look at.
pub(super) struct Context<'a> {
    pub(super) cluster: &'a ClusterMeta,
    /// Whether the topic allows unclean elections.
    pub(super) unclean: bool,
}

/// Changes one partition. Returns it as it is then, with new epochs where it differs.
pub(super) fn change_one(
    image: &mut MetaImage,
    at: &TopicPartition,
    effects: &mut Effects,
    edit: impl FnOnce(&mut PartitionMeta, &Context<'_>),
) -> Result<Arc<PartitionMeta>, Rejection> {
    image.partition(at)?;
    let MetaImage { topics, cluster, .. } = image;
    let topic = topics.get_mut(&at.name).ok_or_else(|| Rejection::TopicUnknown { name: at.name.clone() })?;
    Ok(change(topic, at.partition.get() as usize, cluster, effects, edit))
}

/// Changes every partition that `concerns` picks. Returns how many are different then.
pub(super) fn change_each(
    image: &mut MetaImage,
    effects: &mut Effects,
    concerns: impl Fn(&PartitionMeta) -> bool,
    edit: impl Fn(&mut PartitionMeta, &Context<'_>),
) -> u32 {
    let before = effects.len();
    let MetaImage { topics, cluster, .. } = image;
    for topic in topics.values_mut() {
        for number in 0..topic.partitions.len() {
            if concerns(&topic.partitions[number]) {
                change(topic, number, cluster, effects, &edit);
            }
        }
    }
    u32::try_from(effects.len() - before).unwrap_or(u32::MAX)
}

fn change(
    topic: &mut Arc<TopicMeta>,
    number: usize,
    cluster: &ClusterMeta,
    effects: &mut Effects,
    edit: impl FnOnce(&mut PartitionMeta, &Context<'_>),
) -> Arc<PartitionMeta> {
    let old = topic.partitions[number].clone();
    let mut next = PartitionMeta::clone(&old);
    let context = Context { cluster, unclean: topic.config.unclean_election };
    edit(&mut next, &context);
    if next.leader != old.leader {
        next.successor = None;
    }
    settle(&mut next, cluster, topic.config.min_insync_replicas);
    if next == *old {
        return old;
    }
    // An edit that raises an epoch itself means the rise alone, which happens once.
    next.partition_epoch = old.partition_epoch.next();
    if next.leader != old.leader || next.leader_epoch != old.leader_epoch {
        next.leader_epoch = old.leader_epoch.next();
    }
    let next = Arc::new(next);
    Arc::make_mut(topic).partitions[number] = next.clone();
    let at = topic.partition_id(number);
    effects.push(Effect::ChangePartition { at, partition: next.clone() });
    next
}

/// Brings `isr` and `elr` into the order of the replicas, and ends what is over: a reassignment, and the time in which
/// nothing is committed.
fn settle(partition: &mut PartitionMeta, cluster: &ClusterMeta, min_insync: Option<u32>) {
    let isr = std::mem::take(&mut partition.isr);
    partition.isr = partition.replicas.iter().filter(|node| isr.contains(node)).cloned().collect();
    if partition.is_reassigning() && partition.leader.is_some() {
        end_reassignment(partition, cluster, min_insync);
    }
    let successor = partition.successor.take();
    let other_leads = |node: &NodeId| partition.leader.as_ref().is_some_and(|leader| leader != node);
    partition.successor = successor.filter(|node| other_leads(node) && partition.isr.contains(node));
    let commits = partition.isr.len() >= partition.min_insync(min_insync);
    let elr = std::mem::take(&mut partition.elr);
    let has_all = |node: &&NodeId| !commits && elr.contains(node) && !partition.isr.contains(node);
    partition.elr = partition.replicas.iter().filter(has_all).cloned().collect();
}

/// If it is done: every added replica is in sync, and without those to be removed enough are (KIP-455). A leader that is to be
/// removed goes last: it hands over first.
fn end_reassignment(partition: &mut PartitionMeta, cluster: &ClusterMeta, min_insync: Option<u32>) {
    let isr = &partition.isr;
    let in_sync = partition.target().filter(|node| isr.contains(node)).count();
    // It may go on with fewer than it needs where it had no more before.
    let needed = partition.min_insync(min_insync).min(isr.len());
    if in_sync < needed || !partition.adding.iter().all(|node| isr.contains(node)) {
        return;
    }
    if partition.leader.as_ref().is_some_and(|leader| partition.removing.contains(leader)) {
        let active = |node: &&NodeId| cluster.state(node) == Some(NodeState::Active) && isr.contains(node);
        let next = partition.target().find(active).cloned();
        if next.is_some() {
            partition.successor = next;
            return;
        }
    }
    let removed = std::mem::take(&mut partition.removing);
    partition.adding.clear();
    partition.throttle_bytes_per_s = 0;
    partition.replicas.retain(|node| !removed.contains(node));
    partition.isr.retain(|node| !removed.contains(node));
    if partition.leader.as_ref().is_some_and(|leader| removed.contains(leader)) {
        elect(partition, cluster, false);
    }
}
