//! The cluster as this node sees it, for `/metrics`.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use ::metrics::{describe_counter, describe_gauge, gauge};
use flymq_engine::meta::{MetaImage, NodeState, PartitionMeta};
use flymq_replication::{MemberInfo, ReplicaSet, member_id};
use tokio::time::{MissedTickBehavior, interval};

use super::member::Member;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(2);

/// Nodes that the leader of the metadata group has fenced because they were silent.
pub(super) const FENCED: &str = "flymq_cluster_nodes_fenced_total";

const STALE: &str = "flymq_cluster_stale_seconds";

/// Brings the metrics up to date, until it is dropped.
pub(super) async fn run(member: Arc<Member>, replicas: Arc<ReplicaSet>) {
    describe();
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        show(&member, &replicas);
    }
}

fn describe() {
    describe_counter!(FENCED, "Nodes fenced because they were silent, counted where the metadata was led.");
    describe_gauge!("flymq_cluster_nodes", "Nodes of the cluster, by state.");
    describe_gauge!("flymq_cluster_metadata_leader", "1 where this node leads the metadata group.");
    describe_gauge!(
        "flymq_cluster_voters",
        "Living nodes with a vote in the metadata group, as this node knows it: a majority of them must live."
    );
    describe_gauge!(
        STALE,
        "Seconds since this node last heard a majority of the metadata group; 0 while what it knows is current."
    );
    describe_gauge!("flymq_cluster_partitions_led", "Partitions that this node leads.");
    describe_gauge!(
        "flymq_cluster_under_replicated_partitions",
        "Partitions led by this node of which not all replicas are in sync."
    );
    describe_gauge!(
        "flymq_cluster_offline_partitions",
        "Partitions with a replica on this node that nobody leads."
    );
    describe_gauge!(
        "flymq_cluster_replica_lag_records",
        "Records that the slowest follower of any partition led by this node lacks on its disk."
    );
    describe_gauge!(
        "flymq_cluster_failed_replicas",
        "Replicas of this node that take no part until a restart."
    );
}

/// What the metadata says of this node's partitions.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    led: usize,
    under_replicated: usize,
    offline: usize,
}

fn count(image: &MetaImage, node: &flymq_types::NodeId) -> Counts {
    let mut counts = Counts::default();
    for partition in image.topics.values().flat_map(|topic| &topic.partitions) {
        let partition: &PartitionMeta = partition;
        match &partition.leader {
            Some(leader) if leader == node => {
                counts.led += 1;
                let missing = partition.target().any(|replica| !partition.isr.contains(replica));
                counts.under_replicated += usize::from(missing);
            }
            None if partition.replicas.contains(node) => counts.offline += 1,
            Some(_) | None => {}
        }
    }
    counts
}

/// Voters that are living nodes: the vote of a directory that is gone helps nobody.
fn voters(image: &MetaImage, members: &[MemberInfo]) -> usize {
    let living = image.cluster.nodes.values().filter(|node| node.state.is_alive());
    let living: Vec<_> = living.map(|node| member_id(node.directory)).collect();
    members.iter().filter(|info| info.voter && living.contains(&info.id)).count()
}

fn show(member: &Member, replicas: &ReplicaSet) {
    let image = member.image();
    let node = member.node.to_string();
    let counts = count(&image, &member.node);
    let set = |name: &'static str, value: usize| {
        gauge!(name, "node" => node.clone()).set(value as f64);
    };
    set("flymq_cluster_partitions_led", counts.led);
    set("flymq_cluster_under_replicated_partitions", counts.under_replicated);
    set("flymq_cluster_offline_partitions", counts.offline);
    set("flymq_cluster_metadata_leader", usize::from(member.leads()));
    set("flymq_cluster_voters", voters(&image, &member.store.members()));
    let stale = member.out_of_touch().unwrap_or_default().as_secs_f64();
    gauge!(STALE, "node" => node.clone()).set(stale);
    let status = replicas.status();
    let lag = status.iter().flat_map(|replica| &replica.lag).filter_map(|(_, lag)| *lag).max();
    gauge!("flymq_cluster_replica_lag_records", "node" => node.clone()).set(lag.unwrap_or(0) as f64);
    set("flymq_cluster_failed_replicas", status.iter().filter(|replica| replica.failed.is_some()).count());
    let mut states = BTreeMap::from(
        [NodeState::Active, NodeState::Fenced, NodeState::Draining].map(|state| (state.to_string(), 0_u32)),
    );
    for known in image.cluster.nodes.values() {
        *states.entry(known.state.to_string()).or_default() += 1;
    }
    for (state, nodes) in states {
        gauge!("flymq_cluster_nodes", "node" => node.clone(), "state" => state).set(f64::from(nodes));
    }
}

#[cfg(test)]
mod tests {
    use flymq_engine::meta::TopicMeta;
    use flymq_types::{NodeId, Timestamp, TopicId, TopicName};

    use super::*;

    #[test]
    fn a_partition_counts_where_it_is_led_and_an_orphan_at_its_replicas() {
        let ids = |names: &[&str]| names.iter().map(|id| NodeId::new(id).expect("an id")).collect::<Vec<_>>();
        let partition = |isr: &[&str], leader: &[&str]| {
            Arc::new(PartitionMeta {
                replicas: ids(&["a", "b"]),
                isr: ids(isr),
                leader: ids(leader).pop(),
                ..PartitionMeta::default()
            })
        };
        let name = TopicName::new("t").expect("a name");
        let topic = TopicMeta {
            id: TopicId::from_bytes([1; 16]),
            name: name.clone(),
            config: Default::default(),
            created: Timestamp(0),
            partitions: vec![
                partition(&["a", "b"], &["a"]),
                partition(&["a"], &["a"]),
                partition(&["b"], &["b"]),
                partition(&["b"], &[]),
            ],
            revision: 0,
            restoring: None,
        };
        let image = MetaImage { topics: [(name, Arc::new(topic))].into(), ..MetaImage::default() };
        let of = |node: &str| count(&image, &NodeId::new(node).expect("an id"));
        assert_eq!(of("a"), Counts { led: 2, under_replicated: 1, offline: 1 });
        assert_eq!(of("b"), Counts { led: 1, under_replicated: 1, offline: 1 });
        assert_eq!(of("c"), Counts::default());
    }
}
