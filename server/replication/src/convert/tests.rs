use std::sync::Arc;

use flymq_engine::meta::{
    AlterIsr, AlterTopic, CreateTopic, DeleteSchema, DeleteTopic, DrainBroker, ElectPreferred, FenceBroker,
    FinishRestore, FormCluster, IsrMember, NodeAddresses, NodeRun, PartitionMeta, Reassign, RegisterBroker,
    RegisterSchema, RemoveBroker, ResignLeader, SchemaReference, SetCompatibility, State, TopicPartition,
    TransferLeader, UnfenceBroker,
};
use flymq_engine::{
    CleanupPolicy, Compatibility, DeadLetterConfig, DeadLetterPolicy, IndexConfig, IndexStrategy,
    SchemaBinding, SchemaKind, SubjectNaming, TopicConfig, ValidationMode,
};
use flymq_types::{
    BrokerEpoch, ClusterId, DirectoryId, GroupId, IncarnationId, LeaderEpoch, NodeId, PartitionEpoch,
    PartitionId, Timestamp, TopicId, TopicName,
};
use prost::Message;

use super::config::{config_from_pb, config_to_pb};
use super::field::id_from_pb;
use super::*;

mod properties;

fn topic_commands() -> Vec<Command> {
    let (id, name) = (TopicId::from_bytes([9; 16]), TopicName::new("a/b").expect("valid"));
    let config = TopicConfig {
        replication_factor: Some(1),
        min_insync_replicas: Some(1),
        retention_ms: Some(0),
        retention_bytes: None,
        segment_bytes: Some(1 << 20),
        ttl_ms: Some(u64::MAX),
        cleanup_policy: CleanupPolicy::CompactDelete,
        delete_retention_ms: Some(6),
        index: Some(IndexConfig {
            strategy: IndexStrategy::Time { interval_bytes: 700 },
            headers: vec!["order-id".to_owned()],
        }),
        unclean_election: false,
        schema: None,
        dead_letters: None,
    };
    let create = CreateTopic {
        id,
        name: name.clone(),
        partitions: 3,
        config: config.clone(),
        created: Timestamp(-5),
        restoring: None,
    };
    let alter = AlterTopic { id, name, revision: 0, partitions: 4, config };
    let gone = CreateTopic {
        id: TopicId::from_bytes([1; 16]),
        name: TopicName::internal("__x").expect("valid"),
        partitions: 1,
        config: TopicConfig::default(),
        created: Timestamp(0),
        restoring: None,
    };
    let delete = DeleteTopic { id: gone.id, name: gone.name.clone() };
    let restored = |n: u8| CreateTopic {
        id: TopicId::from_bytes([n; 16]),
        name: TopicName::new(&format!("restored-{n}")).expect("valid"),
        restoring: Some("b-1".into()),
        ..gone.clone()
    };
    let whole = restored(2);
    let finish = FinishRestore { id: whole.id, name: whole.name.clone(), backup: "b-1".into() };
    vec![
        Command::CreateTopic(whole),
        Command::FinishRestore(finish),
        Command::CreateTopic(restored(3)),
        Command::CreateTopic(create),
        Command::AlterTopic(alter),
        Command::CreateTopic(gone),
        Command::DeleteTopic(delete),
    ]
}

/// A line of `tests/fixtures/metadata-v1.hex`, which a build from before there were clusters wrote.
fn golden(what: &str) -> Vec<u8> {
    let lines = include_str!("../../tests/fixtures/metadata-v1.hex").lines();
    let mut hex = lines.filter_map(|line| line.strip_prefix(what)?.strip_prefix(' '));
    let hex = hex.next().expect("the line is there");
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex")).collect()
}

/// What is on disks is read, and a broker without cluster still writes the same.
#[test]
fn stored_metadata_from_before_clusters_is_read_and_written_as_it_was() {
    let (proposal, snapshot) = (golden("proposal"), golden("snapshot"));
    let read = proposal_from_pb(pb::Proposal::decode(&proposal[..]).unwrap()).unwrap();
    assert_eq!(read, topic_commands());
    assert_eq!(proposal_to_pb(&read).encode_to_vec(), proposal);
    let mut state = State::default();
    state.apply_all(&read).unwrap();
    let image = image_from_pb(pb::Snapshot::decode(&snapshot[..]).unwrap()).unwrap();
    assert_eq!(image, *state.image());
    assert_eq!(image_to_pb(&image).encode_to_vec(), snapshot);
    let partitions = image.topics.values().flat_map(|topic| &topic.partitions);
    assert!(partitions.clone().all(|partition| **partition == PartitionMeta::default()));
}

/// Groups are written in their order: equal settings are equal bytes.
#[test]
fn dead_letter_policies_come_back() {
    let groups = ["a", "b", "c", "d", "e", "f", "g"].map(|name| {
        let policy = DeadLetterPolicy {
            max_retries: Some(1),
            backoff_percent: Some(150),
            max_retry_delay_ms: Some(9),
            ..DeadLetterPolicy::default()
        };
        (GroupId::new(name).expect("valid"), policy)
    });
    let kept = DeadLetterConfig {
        policy: DeadLetterPolicy {
            enabled: Some(false),
            retry_delay_ms: Some(0),
            ..DeadLetterPolicy::default()
        },
        topic: Some(TopicName::new("graves").expect("valid")),
        groups: groups.into(),
    };
    let config = TopicConfig { dead_letters: Some(Arc::new(kept)), ..TopicConfig::default() };
    let written = config_to_pb(&config).encode_to_vec();
    let read = config_from_pb(pb::TopicConfig::decode(&written[..]).expect("whole")).expect("known");
    assert_eq!(read, config);
    assert_eq!(config_to_pb(&read).encode_to_vec(), written);
}

fn node(n: u8) -> NodeId {
    NodeId::new(&format!("node-{n}")).expect("valid")
}

fn register(n: u8) -> Command {
    let address = |port: u16| Some(Arc::from(format!("host-{n}:{port}")));
    let addresses = NodeAddresses { cluster: address(1), native: address(2), grpc: None, rest: address(3) };
    Command::RegisterBroker(RegisterBroker {
        cluster: ClusterId::from_bytes([8; 16]),
        id: node(n),
        incarnation: IncarnationId::from_bytes([n; 16]),
        directory: DirectoryId::from_bytes([n; 16]),
        clean: n == 1,
        addresses,
        rack: (n != 2).then(|| "rack".into()),
        feature_version: 3,
        run: NodeRun { version: Some("1.2.3".into()), role: None, started: Timestamp(7) },
    })
}

/// Each of these applies after the one before.
fn schema_commands() -> Vec<Command> {
    let register = |subject: &str, revision, kind, references| {
        Command::RegisterSchema(RegisterSchema {
            subject: subject.into(),
            revision,
            kind,
            definition: format!("text {revision}").into(),
            references,
            compatibility: (revision > 0).then_some(Compatibility::FullTransitive),
            created: Timestamp(9),
        })
    };
    let to = SchemaReference { name: "a.json".into(), subject: "a".into(), version: 1 };
    let set = |subject: Option<&str>, compatibility| {
        Command::SetCompatibility(SetCompatibility { subject: subject.map(Arc::from), compatibility })
    };
    let (id, name) = (TopicId::from_bytes([4; 16]), TopicName::new("bound").expect("valid"));
    let config = TopicConfig {
        schema: Some(Arc::new(SchemaBinding {
            value: Some(SubjectNaming::Subject("a".into())),
            key: Some(SubjectNaming::TopicRecordName),
            mode: Some(ValidationMode::Warn),
        })),
        ..TopicConfig::default()
    };
    let bound = CreateTopic { id, name, partitions: 1, config, created: Timestamp(0), restoring: None };
    vec![
        Command::CreateTopic(bound),
        register("a", 0, SchemaKind::Json, vec![]),
        register("a", 1, SchemaKind::Avro, vec![]),
        register("b", 0, SchemaKind::Protobuf, vec![to]),
        set(Some("a"), Some(Compatibility::None)),
        set(None, Some(Compatibility::ForwardTransitive)),
        set(Some("a"), None),
        Command::DeleteSchema(DeleteSchema { subject: "b".into(), version: None, permanent: false }),
        Command::DeleteSchema(DeleteSchema { subject: "b".into(), version: Some(1), permanent: true }),
    ]
}

/// Every command of a cluster once, each of which applies after [`topic_commands`].
fn cluster_commands() -> Vec<Command> {
    let at = TopicPartition {
        topic: TopicId::from_bytes([9; 16]),
        name: TopicName::new("a/b").expect("valid"),
        partition: PartitionId(2),
    };
    let epoch = BrokerEpoch;
    let unfence = |n| Command::UnfenceBroker(UnfenceBroker { id: node(n), broker_epoch: epoch(n.into()) });
    let member = |n| IsrMember { node: node(n), broker_epoch: Some(epoch(n.into())) };
    let form = FormCluster {
        cluster: ClusterId::from_bytes([8; 16]),
        founder: node(1),
        directory: DirectoryId::from_bytes([1; 16]),
        features: 2,
    };
    let reassign = Reassign {
        at: at.clone(),
        partition_epoch: PartitionEpoch(2),
        replicas: vec![node(2), node(1)],
        throttle_bytes_per_s: 9,
    };
    let isr = AlterIsr {
        at: at.clone(),
        leader: node(1),
        broker_epoch: epoch(1),
        leader_epoch: LeaderEpoch(1),
        partition_epoch: PartitionEpoch(3),
        new_isr: vec![member(1), member(2)],
    };
    let transfer =
        TransferLeader { at: at.clone(), partition_epoch: PartitionEpoch(4), to: node(2), unclean: true };
    let resign = ResignLeader {
        at: at.clone(),
        leader: node(2),
        broker_epoch: epoch(2),
        leader_epoch: LeaderEpoch(2),
        corrupt: true,
    };
    vec![
        Command::FormCluster(form),
        register(1),
        register(2),
        register(3),
        unfence(1),
        unfence(2),
        Command::Reassign(reassign),
        Command::AlterIsr(isr),
        Command::TransferLeader(transfer),
        Command::ElectPreferred(ElectPreferred { partitions: vec![at], hand_over: false }),
        Command::ResignLeader(resign),
        Command::RemoveBroker(RemoveBroker { id: node(3), broker_epoch: epoch(3) }),
        Command::RaiseFeatures(RaiseFeatures { version: 3 }),
        register(4),
        Command::DrainBroker(DrainBroker { id: node(1), broker_epoch: epoch(1), hand_over: true }),
        Command::FenceBroker(FenceBroker { id: node(2), broker_epoch: epoch(2) }),
        Command::AllocateProducerIds(AllocateProducerIds { count: 1_000, at_least: 7 }),
    ]
}

#[test]
fn commands_and_images_of_a_cluster_come_back_as_they_were() {
    let mut commands = topic_commands();
    commands.extend(schema_commands());
    commands.extend(cluster_commands());
    let bytes = proposal_to_pb(&commands).encode_to_vec();
    assert_eq!(proposal_from_pb(pb::Proposal::decode(&bytes[..]).unwrap()), Ok(commands.clone()));
    let mut state = State::default();
    for command in &commands {
        state.apply(command).0.unwrap_or_else(|rejection| panic!("{command:?}: {rejection}"));
        let image = state.image();
        let bytes = image_to_pb(&image).encode_to_vec();
        assert_eq!(image_from_pb(pb::Snapshot::decode(&bytes[..]).unwrap()), Ok((*image).clone()));
    }
    assert_eq!(state.image().cluster.nodes.len(), 3);
}

/// Numbers on disks: a command that moved would be read as another one.
#[test]
fn command_numbers_are_what_they_were() {
    // The tag is a varint: seven bits in each byte, of which the lowest three are the wire type.
    let number = |command: &Command| match command_to_pb(command).encode_to_vec()[..] {
        [low, high, ..] if low >= 128 => (u32::from(low & 127) | u32::from(high) << 7) >> 3,
        [tag, ..] => u32::from(tag) >> 3,
        [] => 0,
    };
    let numbers: Vec<_> = cluster_commands().iter().map(number).collect();
    let schemas: Vec<_> = schema_commands().iter().map(number).collect();
    assert_eq!(schemas, [1, 18, 18, 18, 20, 20, 20, 19, 19]);
    assert_eq!(numbers, [5, 6, 6, 6, 8, 8, 12, 11, 14, 13, 16, 10, 15, 6, 9, 7, 17]);
}

#[test]
fn what_a_newer_build_wrote_is_refused() {
    let unknown = pb::Proposal { commands: vec![pb::Command { command: None }] };
    assert_eq!(proposal_from_pb(unknown), Err(ConvertError::UnknownCommand));
    let config = pb::TopicConfig { cleanup_policy: 99, ..pb::TopicConfig::default() };
    assert_eq!(config_from_pb(config), Err(ConvertError::Field("cleanup_policy")));
    assert_eq!(id_from_pb(&[0; 15]), Err(ConvertError::Field("id")));
}
