use flymq_engine::TopicConfig;
use flymq_engine::meta::{CreateTopic, Rejection};
use flymq_storage::SimDisk;
use flymq_types::{SeededRng, Timestamp, TopicId, TopicName};
use openraft::CommittedLeaderId;

use super::*;
use crate::convert::proposal_to_pb;
use crate::raft::types::Membership;

fn disk() -> SimDisk {
    let disk = SimDisk::new();
    disk.create_dir(Path::new("/data")).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    disk
}

fn open(disk: &SimDisk) -> Machine {
    let pending = Arc::new(Pending::new(1, &SeededRng::new(1)));
    Machine::open(Arc::new(disk.clone()), Path::new("/data"), None, pending).unwrap().0
}

fn id(index: u64) -> LogId {
    LogId::new(CommittedLeaderId::new(1, 1), index)
}

fn create(index: u64, topic: u8) -> Entry {
    let command = Command::CreateTopic(CreateTopic {
        id: TopicId::from_bytes([topic; 16]),
        name: TopicName::new(&format!("topic {topic}")).unwrap(),
        partitions: 1,
        config: TopicConfig::default(),
        created: Timestamp(1),
        restoring: None,
    });
    let proposal = ProposalId { origin: 1, run: 0, number: index };
    let commands = proposal_to_pb(&[command]).encode_to_vec().into();
    Entry { log_id: id(index), payload: EntryPayload::Normal(Proposal { id: proposal, commands }) }
}

#[tokio::test]
async fn a_rejected_proposal_is_passed_over() {
    let mut machine = open(&disk());
    let (ticket, outcome) = machine.0.pending.begin();
    let mut again = create(2, 1);
    if let EntryPayload::Normal(proposal) = &mut again.payload {
        proposal.id = ticket.id();
    }
    machine.apply([create(1, 1), again, create(3, 2)]).await.unwrap();
    let image = machine.image();
    assert_eq!((image.version, image.topics.len()), (MetaVersion(2), 2));
    assert!(matches!(outcome.await.unwrap(), Err(Rejection::TopicExists { .. })));
    machine.wait_for(3).await;
}

#[tokio::test]
async fn a_command_of_a_newer_build_stops_the_node() {
    let mut machine = open(&disk());
    let mut unknown = create(0, 1);
    if let EntryPayload::Normal(proposal) = &mut unknown.payload {
        proposal.commands =
            pb::Proposal { commands: vec![pb::Command { command: None }] }.encode_to_vec().into();
    }
    let error = machine.apply([unknown]).await.unwrap_err().to_string();
    assert!(error.contains("use a newer FlyMQ"), "{error}");
    assert_eq!(machine.applied_state().await.unwrap().0, None, "it was not passed over");
}

#[tokio::test]
async fn a_snapshot_survives_and_goes_to_another_node() {
    let (disk, other) = (disk(), disk());
    let mut machine = open(&disk);
    let membership = Membership::new(vec![[1, 2].into()], ());
    let joint = Entry { log_id: id(0), payload: EntryPayload::Membership(membership.clone()) };
    machine.apply([joint, create(1, 1), create(2, 2)]).await.unwrap();
    assert!(machine.get_current_snapshot().await.unwrap().is_none());
    let mut builder = machine.get_snapshot_builder().await;
    machine.apply([create(3, 3)]).await.unwrap();
    let built = builder.build_snapshot().await.unwrap();
    assert_eq!(built.meta.last_log_id, Some(id(2)), "as it was when the builder was made");
    disk.crash_losing_all();
    let mut machine = open(&disk);
    assert_eq!(machine.image().topics.len(), 2);
    let stored = machine.get_current_snapshot().await.unwrap().unwrap();
    assert_eq!((&stored.meta, stored.snapshot.get_ref()), (&built.meta, built.snapshot.get_ref()));
    let mut receiver = open(&other);
    receiver.install_snapshot(&stored.meta, stored.snapshot).await.unwrap();
    assert_eq!(receiver.image(), machine.image());
    other.crash_losing_all();
    let mut receiver = open(&other);
    let (applied, stored) = receiver.applied_state().await.unwrap();
    assert_eq!((applied, stored.membership()), (Some(id(2)), &membership));
}

/// A snapshot is built beside the installation of a newer one: the older must not come last.
#[tokio::test]
async fn an_older_snapshot_never_replaces_a_newer_one() {
    let disk = disk();
    let mut machine = open(&disk);
    machine.apply([create(0, 1)]).await.unwrap();
    let mut older = machine.get_snapshot_builder().await;
    machine.apply([create(1, 2)]).await.unwrap();
    let newer = machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
    older.build_snapshot().await.unwrap();
    assert_eq!(machine.get_current_snapshot().await.unwrap().unwrap().meta, newer.meta);
}

#[tokio::test]
async fn a_changed_byte_of_the_snapshot_is_refused() {
    let disk = disk();
    let mut machine = open(&disk);
    machine.apply([create(0, 1)]).await.unwrap();
    machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
    let path = Path::new("/data/snapshot");
    for at in 0..disk.contents(path).unwrap().len() {
        let disk = disk.fork();
        disk.tamper(path, |bytes| bytes[at] ^= 1).unwrap();
        let pending = Arc::new(Pending::new(1, &SeededRng::new(1)));
        let opened = Machine::open(Arc::new(disk), Path::new("/data"), None, pending);
        assert!(opened.is_err(), "byte {at}");
    }
}

/// openraft builds snapshots beside its core: one that came after the end would change the files of the next store.
#[tokio::test]
async fn a_closed_machine_writes_no_snapshot() {
    let disk = disk();
    let mut machine = open(&disk);
    machine.apply([create(1, 1)]).await.unwrap();
    let mut builder = machine.get_snapshot_builder().await;
    machine.close();
    builder.build_snapshot().await.unwrap_err();
    assert_eq!(open(&disk).applied_state().await.unwrap().0, None);
}
