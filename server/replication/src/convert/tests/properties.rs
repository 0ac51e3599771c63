//! Whatever a command or an image holds comes back from its bytes as it was; valid or not, the bytes do not care.

use std::collections::BTreeMap;

use flymq_engine::meta::{ClusterMeta, MetaImage, MetaVersion, NodeMeta, NodeRun, NodeState, TopicMeta};
use proptest::prelude::*;

use super::*;

fn node_id() -> impl Strategy<Value = NodeId> {
    "[a-z0-9.-]{1,12}".prop_map(|id| NodeId::new(&id).unwrap())
}

fn some_nodes() -> impl Strategy<Value = Vec<NodeId>> {
    prop::collection::vec(node_id(), 0..4)
}

fn text() -> impl Strategy<Value = Option<Arc<str>>> {
    prop::option::of("[a-z0-9:.]{1,20}".prop_map(Arc::from))
}

fn place() -> impl Strategy<Value = TopicPartition> {
    (any::<[u8; 16]>(), "[a-z]{1,9}", any::<u32>()).prop_map(|(topic, name, partition)| TopicPartition {
        topic: TopicId::from_bytes(topic),
        name: TopicName::new(&name).unwrap(),
        partition: PartitionId(partition),
    })
}

fn addresses() -> impl Strategy<Value = NodeAddresses> {
    let doors = (text(), text(), text(), text());
    doors.prop_map(|(cluster, native, grpc, rest)| NodeAddresses { cluster, native, grpc, rest })
}

prop_compose! {
    fn run()(version in text(), role in text(), started: i64) -> NodeRun {
        NodeRun { version, role, started: Timestamp(started) }
    }
}

prop_compose! {
    fn registration()(
        cluster: [u8; 16], id in node_id(), incarnation: [u8; 16], directory: [u8; 16], clean: bool,
        addresses in addresses(), rack in text(), feature_version: u32, run in run(),
    ) -> Command {
        Command::RegisterBroker(RegisterBroker {
            cluster: ClusterId::from_bytes(cluster),
            id,
            incarnation: IncarnationId::from_bytes(incarnation),
            directory: DirectoryId::from_bytes(directory),
            clean,
            addresses,
            rack,
            feature_version,
            run,
        })
    }
}

prop_compose! {
    fn alter_isr()(
        at in place(), leader in node_id(), broker_epoch: u64, leader_epoch: u32, partition_epoch: u32,
        new_isr in prop::collection::vec((node_id(), any::<Option<u64>>()), 0..4),
    ) -> Command {
        let member = |(node, epoch): (NodeId, Option<u64>)| IsrMember { node, broker_epoch: epoch.map(BrokerEpoch) };
        Command::AlterIsr(AlterIsr {
            at,
            leader,
            broker_epoch: BrokerEpoch(broker_epoch),
            leader_epoch: LeaderEpoch(leader_epoch),
            partition_epoch: PartitionEpoch(partition_epoch),
            new_isr: new_isr.into_iter().map(member).collect(),
        })
    }
}

prop_compose! {
    fn resignation()(
        at in place(), leader in node_id(), broker_epoch: u64, leader_epoch: u32, corrupt: bool,
    ) -> Command {
        let (broker_epoch, leader_epoch) = (BrokerEpoch(broker_epoch), LeaderEpoch(leader_epoch));
        Command::ResignLeader(ResignLeader { at, leader, broker_epoch, leader_epoch, corrupt })
    }
}

fn command() -> impl Strategy<Value = Command> {
    let registered = || (node_id(), any::<u64>().prop_map(BrokerEpoch));
    let changed = || (place(), any::<u32>().prop_map(PartitionEpoch));
    prop_oneof![
        registration(),
        alter_isr(),
        resignation(),
        registered().prop_map(|(id, broker_epoch)| Command::FenceBroker(FenceBroker { id, broker_epoch })),
        registered()
            .prop_map(|(id, broker_epoch)| Command::UnfenceBroker(UnfenceBroker { id, broker_epoch })),
        (registered(), any::<bool>()).prop_map(|((id, broker_epoch), hand_over)| {
            Command::DrainBroker(DrainBroker { id, broker_epoch, hand_over })
        }),
        registered().prop_map(|(id, broker_epoch)| Command::RemoveBroker(RemoveBroker { id, broker_epoch })),
        (changed(), some_nodes(), any::<u64>()).prop_map(|((at, partition_epoch), replicas, throttle)| {
            Command::Reassign(Reassign { at, partition_epoch, replicas, throttle_bytes_per_s: throttle })
        }),
        (changed(), node_id(), any::<bool>()).prop_map(|((at, partition_epoch), to, unclean)| {
            Command::TransferLeader(TransferLeader { at, partition_epoch, to, unclean })
        }),
        (prop::collection::vec(place(), 0..4), any::<bool>()).prop_map(|(partitions, hand_over)| {
            Command::ElectPreferred(ElectPreferred { partitions, hand_over })
        }),
        any::<u32>().prop_map(|version| Command::RaiseFeatures(RaiseFeatures { version })),
        (any::<[u8; 16]>(), node_id(), any::<[u8; 16]>(), any::<u32>()).prop_map(
            |(cluster, founder, directory, features)| Command::FormCluster(FormCluster {
                cluster: ClusterId::from_bytes(cluster),
                founder,
                directory: DirectoryId::from_bytes(directory),
                features,
            })
        ),
    ]
}

prop_compose! {
    fn partition()(
        replicas in some_nodes(), isr in some_nodes(), elr in some_nodes(), adding in some_nodes(), removing in some_nodes(),
        leader in prop::option::of(node_id()), successor in prop::option::of(node_id()), isr_lost: bool, isr_directory: Option<[u8; 16]>,
        leader_epoch: u32, partition_epoch: u32, throttle_bytes_per_s: u64,
    ) -> Arc<PartitionMeta> {
        Arc::new(PartitionMeta {
            replicas, isr, elr, adding, removing, throttle_bytes_per_s, leader, successor, isr_lost,
            isr_directory: isr_directory.map(DirectoryId::from_bytes),
            leader_epoch: LeaderEpoch(leader_epoch),
            partition_epoch: PartitionEpoch(partition_epoch),
        })
    }
}

prop_compose! {
    fn node()(
        id in node_id(), directory: [u8; 16], incarnation: Option<[u8; 16]>, addresses in addresses(),
        rack in text(), broker_epoch: u64, feature_version: u32, run in run(),
        state in prop::sample::select(vec![NodeState::Active, NodeState::Fenced, NodeState::Draining]),
    ) -> Arc<NodeMeta> {
        Arc::new(NodeMeta {
            id, addresses, rack, state, feature_version, run,
            directory: DirectoryId::from_bytes(directory),
            incarnation: incarnation.map(IncarnationId::from_bytes),
            broker_epoch: BrokerEpoch(broker_epoch),
        })
    }
}

prop_compose! {
    fn image()(
        version: u64, partitions in prop::collection::vec(partition(), 1..6), unclean_election: bool,
        cluster: [u8; 16], nodes in prop::collection::vec(node(), 0..4), epoch: u64, features: u32,
        removed in prop::collection::vec(any::<[u8; 16]>(), 0..3),
    ) -> MetaImage {
        let name = TopicName::new("a").unwrap();
        let topic = TopicMeta {
            id: TopicId::from_bytes([1; 16]), name: name.clone(),
            config: TopicConfig { unclean_election, ..TopicConfig::default() },
            created: Timestamp(3), partitions, revision: 4, restoring: None,
        };
        MetaImage {
            version: MetaVersion(version),
            topics: BTreeMap::from([(name, Arc::new(topic))]),
            cluster: ClusterMeta {
                id: Some(ClusterId::from_bytes(cluster)),
                nodes: nodes.into_iter().map(|node| (node.id.clone(), node)).collect(),
                last_broker_epoch: BrokerEpoch(epoch),
                features,
                removed: removed.into_iter().map(DirectoryId::from_bytes).collect(),
            },
            ..MetaImage::default()
        }
    }
}

proptest! {
    #[test]
    fn every_command_comes_back_as_it_was(commands in prop::collection::vec(command(), 1..5)) {
        let bytes = proposal_to_pb(&commands).encode_to_vec();
        prop_assert_eq!(proposal_from_pb(pb::Proposal::decode(&bytes[..]).unwrap()), Ok(commands));
    }

    #[test]
    fn every_image_comes_back_as_it_was(image in image()) {
        let bytes = image_to_pb(&image).encode_to_vec();
        prop_assert_eq!(image_from_pb(pb::Snapshot::decode(&bytes[..]).unwrap()), Ok(image));
    }

    #[test]
    fn no_damage_makes_the_reader_panic(
        image in image(), commands in prop::collection::vec(command(), 1..5),
        at in any::<prop::sample::Index>(), byte: u8,
    ) {
        let mut snapshot = image_to_pb(&image).encode_to_vec();
        let place = at.index(snapshot.len());
        snapshot[place] = byte;
        let _ = pb::Snapshot::decode(&snapshot[..]).map(image_from_pb);
        let mut proposal = proposal_to_pb(&commands).encode_to_vec();
        let place = at.index(proposal.len());
        proposal[place] = byte;
        let _ = pb::Proposal::decode(&proposal[..]).map(proposal_from_pb);
    }
}
