//! Topics of the broker itself that were made while the cluster had fewer nodes get as many replicas as they would get now:
//! else the groups of a cluster that grew would depend on its first node for ever. Topics of users keep what they have.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
    time::Duration,
};

use flymq_engine::meta::{
    Command, DEFAULT_FACTOR, MetaImage, NodeState, Placement, PlacementNode, Reassign, TopicMeta,
    TopicPartition,
};
use flymq_types::{BrokerEpoch, NodeId, PartitionId};
use tokio::time::{MissedTickBehavior, interval};
use tracing::{debug, info, warn};

use super::member::Member;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(1);
/// The nodes, and who of them lives, have to stay the same for so long.
const SETTLED: Duration = Duration::from_secs(3);
/// What is refused for the same reason again and again is told of so often.
const SAY_AGAIN: Duration = Duration::from_secs(10 * 60);

/// As the leader of the metadata group. Until it is dropped.
pub(super) async fn spread(member: Arc<Member>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut settled, mut refused) = (Settled::default(), Refused::default());
    loop {
        ticks.tick().await;
        let image = member.image();
        if !member.leads() {
            (settled, refused) = (Settled::default(), Refused::default());
            continue;
        }
        let now = member.clock.monotonic();
        if !settled.note(&image, now) {
            continue;
        }
        for reassign in missing(&image) {
            let (at, replicas) = (reassign.at.clone(), reassign.replicas.len());
            match member.propose(Command::Reassign(reassign)).await {
                Ok(()) => {
                    info!(partition = %at, replicas, "a partition of the broker itself gets more replicas");
                }
                Err(error) if refused.is_news(error.to_string(), now) => {
                    warn!(partition = %at, %error, "a partition of the broker itself keeps its replicas for now");
                }
                Err(error) => debug!(partition = %at, %error, "and goes on keeping its replicas"),
            }
        }
    }
}

/// Why reassignments were refused, and when that was last said.
#[derive(Default)]
struct Refused(BTreeMap<String, Duration>);

impl Refused {
    /// Whether a refusal for that reason is worth a line.
    fn is_news(&mut self, reason: String, now: Duration) -> bool {
        self.0.retain(|_, said| now.saturating_sub(*said) < SAY_AGAIN);
        match self.0.entry(reason) {
            Entry::Vacant(new) => {
                new.insert(now);
                true
            }
            Entry::Occupied(_) => false,
        }
    }
}

/// The nodes with their registrations and states, and since when they are so.
#[derive(Default)]
struct Settled {
    nodes: Vec<(NodeId, BrokerEpoch, NodeState)>,
    since: Duration,
}

impl Settled {
    /// Whether nothing has changed for long enough.
    fn note(&mut self, image: &MetaImage, now: Duration) -> bool {
        let nodes = image.cluster.nodes.values();
        let nodes: Vec<_> = nodes.map(|node| (node.id.clone(), node.broker_epoch, node.state)).collect();
        if self.nodes != nodes {
            *self = Self { nodes, since: now };
        }
        now.saturating_sub(self.since) >= SETTLED
    }
}

/// What is to be reassigned, of the partitions that somebody leads and of which no replica is moving already.
fn missing(image: &MetaImage) -> Vec<Reassign> {
    let topics = image.topics.values().filter(|topic| topic.name.is_internal());
    topics.flat_map(|topic| missing_of(image, topic)).collect()
}

fn missing_of(image: &MetaImage, topic: &TopicMeta) -> Vec<Reassign> {
    let nodes: Vec<PlacementNode> = image
        .cluster
        .nodes
        .values()
        .map(|node| PlacementNode {
            id: node.id.clone(),
            rack: node.rack.clone(),
            leads: node.state == NodeState::Active,
        })
        .collect();
    let active = u32::try_from(nodes.iter().filter(|node| node.leads).count()).unwrap_or(u32::MAX);
    let present: Vec<Vec<NodeId>> =
        topic.partitions.iter().map(|partition| partition.target().cloned().collect()).collect();
    let placement = Placement {
        nodes: &nodes,
        present: &present,
        partitions: 0,
        factor: DEFAULT_FACTOR.min(active),
        seed: topic.revision,
    };
    let reassign = |(number, replicas): (usize, Vec<NodeId>)| {
        let partition = &topic.partitions[number];
        let quiet = partition.leader.is_some() && !partition.is_reassigning();
        let number = PartitionId(u32::try_from(number).ok()?);
        let at = TopicPartition { topic: topic.id, name: topic.name.clone(), partition: number };
        let partition_epoch = partition.partition_epoch;
        quiet.then_some(Reassign { at, partition_epoch, replicas, throttle_bytes_per_s: 0 })
    };
    placement.extend().into_iter().filter_map(reassign).collect()
}

#[cfg(test)]
mod tests {
    use flymq_engine::meta::{NodeAddresses, NodeMeta, PartitionMeta};
    use flymq_types::{DirectoryId, Timestamp, TopicId, TopicName};

    use super::*;

    fn id(name: &str) -> NodeId {
        NodeId::new(name).expect("an id")
    }

    fn partition(replicas: &[&str], adding: &[&str]) -> Arc<PartitionMeta> {
        let replicas: Vec<NodeId> = replicas.iter().copied().map(id).collect();
        Arc::new(PartitionMeta {
            isr: replicas.clone(),
            leader: replicas.first().cloned(),
            replicas,
            adding: adding.iter().copied().map(id).collect(),
            ..PartitionMeta::default()
        })
    }

    fn image(nodes: &[(&str, NodeState)], name: &str, partitions: Vec<Arc<PartitionMeta>>) -> MetaImage {
        let mut image = MetaImage::default();
        for (number, (name, state)) in (0_u8..).zip(nodes) {
            let node = NodeMeta {
                id: id(name),
                directory: DirectoryId::from_bytes([number; 16]),
                incarnation: None,
                addresses: NodeAddresses::default(),
                rack: None,
                state: *state,
                broker_epoch: BrokerEpoch(1),
                feature_version: 1,
                run: flymq_engine::meta::NodeRun::default(),
            };
            image.cluster.nodes.insert(id(name), Arc::new(node));
        }
        let name = TopicName::any(name).expect("a name");
        let topic = TopicMeta {
            id: TopicId::from_bytes([1; 16]),
            name: name.clone(),
            config: flymq_engine::TopicConfig::default(),
            created: Timestamp(0),
            partitions,
            revision: 0,
            restoring: None,
        };
        image.topics.insert(name, Arc::new(topic));
        image
    }

    const ACTIVE: NodeState = NodeState::Active;
    const THREE: [(&str, NodeState); 3] = [("a", ACTIVE), ("b", ACTIVE), ("c", ACTIVE)];

    fn asked(image: &MetaImage) -> Vec<(u32, usize)> {
        missing(image).iter().map(|one| (one.at.partition.0, one.replicas.len())).collect()
    }

    #[test]
    fn partitions_of_the_broker_itself_get_what_new_ones_would() {
        let some =
            || vec![partition(&["a"], &[]), partition(&["b", "a", "c"], &[]), partition(&["a", "b"], &["b"])];
        let offsets = "__consumer_offsets";
        assert_eq!(
            asked(&image(&THREE, offsets, some())),
            [(0, 3)],
            "the second is whole, the third is moving"
        );
        assert_eq!(asked(&image(&THREE, "orders", some())), [], "a topic of users");
        assert_eq!(asked(&image(&THREE[..1], offsets, some())), [], "nobody else is there");
        let away = [("a", ACTIVE), ("b", NodeState::Draining), ("c", NodeState::Fenced), ("d", ACTIVE)];
        let asked = missing(&image(&away, offsets, vec![partition(&["a"], &[])]));
        assert_eq!(asked[0].replicas, [id("a"), id("d")]);
        let leaderless = Arc::new(PartitionMeta { leader: None, ..(*partition(&["a"], &[])).clone() });
        assert!(missing(&image(&THREE, offsets, vec![leaderless])).is_empty());
    }

    #[test]
    fn a_refusal_is_told_of_once_for_each_reason_and_then_seldom() {
        let at = Duration::from_secs;
        let mut refused = Refused::default();
        let mut said = |reason: &str, seconds| refused.is_news(reason.to_owned(), at(seconds));
        assert!(said("no node", 0) && !said("no node", 1) && said("no disk", 2) && !said("no node", 599));
        assert!(said("no node", 600), "it goes on");
        assert!(!said("no node", 601) && !said("no disk", 601));
    }

    #[test]
    fn nothing_moves_while_the_cluster_changes() {
        let at = Duration::from_secs;
        let two = image(&THREE[..2], "__t", Vec::new());
        let three = image(&THREE, "__t", Vec::new());
        let mut settled = Settled::default();
        assert!(!settled.note(&two, at(0)) && !settled.note(&two, at(2)));
        assert!(!settled.note(&three, at(3)) && !settled.note(&three, at(5)));
        assert!(settled.note(&three, at(6)));
    }
}
