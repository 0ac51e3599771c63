//! Members of groups through the whole stack.

mod common;

use std::time::Duration;

use common::{TestBroker, assert_refused};
use flymq_api::{BrokerError, ErrorCode, pb};

/// No test waits longer for anything.
const DEADLINE: Duration = Duration::from_secs(60);

fn join(id: &str) -> pb::JoinGroupRequest {
    pb::JoinGroupRequest {
        group: "g".to_owned(),
        topics: vec!["t".to_owned(), "logs/+".to_owned()],
        member_id: id.to_owned(),
        client_id: "client".to_owned(),
        ..Default::default()
    }
}

fn beat(id: &str, epoch: i64, owned: &[i32], max_wait_ms: u32) -> pb::HeartbeatRequest {
    let owned = vec![pb::TopicPartitions { topic: "t".to_owned(), partitions: owned.to_vec() }];
    pb::HeartbeatRequest {
        group: "g".to_owned(),
        member_id: id.to_owned(),
        member_epoch: epoch,
        owned,
        max_wait_ms,
        ..Default::default()
    }
}

fn commit(id: &str, generation: i64, partition: i32) -> pb::CommitOffsetsRequest {
    let at = pb::PartitionOffset { topic: "t".to_owned(), partition, offset: 0, metadata: String::new() };
    pb::CommitOffsetsRequest {
        group: "g".to_owned(),
        offsets: vec![at],
        member_id: id.to_owned(),
        generation,
    }
}

fn partitions(topics: &[pb::TopicPartitions]) -> Vec<i32> {
    topics.iter().filter(|of| of.topic == "t").flat_map(|of| of.partitions.clone()).collect()
}

async fn describe(broker: &TestBroker) -> pb::DescribeGroupResponse {
    let asked = pb::DescribeGroupRequest { group: "g".to_owned() };
    broker.call(asked).await.expect("described")
}

#[tokio::test]
async fn two_members_share_a_topic_and_commits_are_fenced() {
    let broker = TestBroker::start().await;
    broker.create("t", 4).await;
    let a: pb::JoinGroupResponse = broker.call(join("a")).await.expect("joined");
    assert_eq!((a.member_id.as_str(), a.generation, partitions(&a.assignment).len()), ("a", 1, 4));
    assert_eq!((a.session_timeout_ms, a.heartbeat_interval_ms), (10_000, 3_333));
    let b: pb::JoinGroupResponse = broker.call(join("")).await.expect("joined");
    assert!(b.assignment.is_empty() && b.member_id.len() == 32 && b.generation == 2);
    assert_eq!(describe(&broker).await.state(), pb::GroupState::Rebalancing);

    let waiting = broker.call::<_, pb::HeartbeatResponse>(beat(&b.member_id, b.member_epoch, &[], 60_000));
    let moving = async {
        let told: pb::HeartbeatResponse =
            broker.call(beat("a", a.member_epoch, &[0, 1, 2, 3], 60_000)).await.expect("told at once");
        assert!(told.changed && partitions(&told.assignment) == [0, 1]);
        let _: pb::CommitOffsetsResponse = broker.call(commit("a", 1, 3)).await.expect("still its own");
        let told: pb::HeartbeatResponse =
            broker.call(beat("a", told.member_epoch, &[0, 1], 0)).await.expect("let go");
        assert!(!told.changed && told.assignment.is_empty());
    };
    let (told, ()) =
        tokio::time::timeout(DEADLINE, async { tokio::join!(waiting, moving) }).await.expect("soon");
    let told = told.expect("told as soon as they are free");
    assert_eq!((told.changed, partitions(&told.assignment)), (true, vec![2, 3]));
    let _: pb::HeartbeatResponse =
        broker.call(beat(&b.member_id, told.member_epoch, &[2, 3], 0)).await.expect("heard");

    let group = describe(&broker).await;
    assert_eq!((group.state(), group.generation, group.members.len()), (pb::GroupState::Stable, 2, 2));
    let member = group.members.iter().find(|member| member.member_id == "a").expect("a member");
    assert_eq!((partitions(&member.assignment), partitions(&member.target)), (vec![0, 1], vec![0, 1]));
    assert_eq!((member.client_id.as_str(), member.topics.len()), ("client", 2));
    let listed: pb::ListGroupsResponse = broker.call(pb::ListGroupsRequest::default()).await.expect("listed");
    assert_eq!((listed.groups[0].members, listed.groups[0].state()), (2, pb::GroupState::Stable));

    let late = broker.call::<_, pb::CommitOffsetsResponse>(commit("a", 2, 3)).await;
    assert_refused(late, ErrorCode::IllegalGeneration, "partition");
    let future = broker.call::<_, pb::CommitOffsetsResponse>(commit("a", 9, 0)).await;
    assert_refused(future, ErrorCode::IllegalGeneration, "generation");
    let leave = pb::LeaveGroupRequest { group: "g".to_owned(), member_id: "a".to_owned() };
    let _: pb::LeaveGroupResponse = broker.call(leave.clone()).await.expect("left");
    let gone = broker.call::<_, pb::LeaveGroupResponse>(leave).await;
    assert_refused(gone, ErrorCode::UnknownMember, "member_id");
    let gone = broker.call::<_, pb::CommitOffsetsResponse>(commit("a", 2, 0)).await;
    assert_refused(gone, ErrorCode::UnknownMember, "member_id");
    let delete = pb::DeleteGroupRequest { group: "g".to_owned(), ..Default::default() };
    let kept = broker.call::<_, pb::DeleteGroupResponse>(delete).await;
    assert_refused(kept, ErrorCode::InUse, "members");
}

#[tokio::test]
async fn a_second_process_fences_the_first() {
    let broker = TestBroker::start().await;
    broker.create("t", 1).await;
    let of = |id: &str| pb::JoinGroupRequest { instance_id: "i".to_owned(), ..join(id) };
    let first: pb::JoinGroupResponse = broker.call(of("p1")).await.expect("joined");
    let second: pb::JoinGroupResponse = broker.call(of("p2")).await.expect("joined");
    assert_eq!((&second.assignment, second.generation), (&first.assignment, first.generation));
    let fenced = broker.call::<_, pb::HeartbeatResponse>(beat("p1", first.member_epoch, &[0], 0)).await;
    assert_refused(fenced, ErrorCode::InstanceFenced, "instance_id");
    let fenced = broker.call::<_, pb::CommitOffsetsResponse>(commit("p1", first.generation, 0)).await;
    assert_refused(fenced, ErrorCode::InstanceFenced, "instance_id");
    let _: pb::CommitOffsetsResponse =
        broker.call(commit("p2", second.generation, 0)).await.expect("committed");
    assert_eq!(describe(&broker).await.members[0].instance_id, "i");
}

#[tokio::test]
async fn bad_member_requests_are_refused() {
    let broker = TestBroker::start().await;
    let refused = async |request: pb::JoinGroupRequest| {
        let joined: Result<pb::JoinGroupResponse, BrokerError> = broker.call(request).await;
        let error = joined.expect_err("refused");
        assert_eq!(error.code, ErrorCode::InvalidArgument, "{error}");
        error.metadata["field"].clone()
    };
    let topics = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(refused(pb::JoinGroupRequest { group: "__x".to_owned(), ..join("a") }).await, "group");
    assert_eq!(refused(pb::JoinGroupRequest { topics: Vec::new(), ..join("a") }).await, "topics");
    assert_eq!(refused(pb::JoinGroupRequest { topics: topics(&["#/a"]), ..join("a") }).await, "topics");
    assert_eq!(refused(pb::JoinGroupRequest { topics: topics(&["a//b"]), ..join("a") }).await, "topics");
    assert_eq!(refused(pb::JoinGroupRequest { assignor: "fair".to_owned(), ..join("a") }).await, "assignor");
    assert_eq!(refused(join(&"x".repeat(257))).await, "member_id");
    assert_eq!(refused(join("a\nb")).await, "member_id");
    let long = pb::JoinGroupRequest { client_id: "x".repeat(2_000), ..join("a") };
    assert_eq!(refused(long).await, "client_id");
    for session_timeout_ms in [1, 999, 300_001, u32::MAX] {
        let request = pb::JoinGroupRequest { session_timeout_ms, ..join("a") };
        assert_eq!(refused(request).await, "session_timeout_ms");
    }
    let request = pb::JoinGroupRequest { rebalance_timeout_ms: u32::MAX, ..join("a") };
    assert_eq!(refused(request).await, "rebalance_timeout_ms");

    let nobody = broker.call::<_, pb::HeartbeatResponse>(beat("", 0, &[], 0)).await;
    assert_refused(nobody, ErrorCode::InvalidArgument, "field");
    let negative = broker.call::<_, pb::HeartbeatResponse>(beat("a", -1, &[], 0)).await;
    assert_refused(negative, ErrorCode::InvalidArgument, "value");
    let negative = broker.call::<_, pb::HeartbeatResponse>(beat("a", 0, &[-1], 0)).await;
    assert_refused(negative, ErrorCode::InvalidArgument, "partition");
    let unknown = broker.call::<_, pb::HeartbeatResponse>(beat("a", 0, &[], 60_000)).await;
    assert_refused(unknown, ErrorCode::UnknownMember, "member_id");
    let nameless = broker.call::<_, pb::CommitOffsetsResponse>(commit("", 3, 0)).await;
    assert_refused(nameless, ErrorCode::InvalidArgument, "field");
    let groups: pb::ListGroupsResponse = broker.call(pb::ListGroupsRequest::default()).await.expect("listed");
    assert!(groups.groups.is_empty());
}

/// A session ends also where nobody asks for its group: what is written of that shows it.
#[tokio::test]
async fn a_silent_member_is_gone_though_nobody_asks() {
    let broker = TestBroker::start().await;
    broker.create("t", 1).await;
    let silent = pb::JoinGroupRequest { session_timeout_ms: 1_000, ..join("a") };
    let joined: pb::JoinGroupResponse = broker.call(silent).await.expect("joined");
    let written = || {
        let name = flymq_types::TopicName::internal("__consumer_offsets").expect("a name");
        let info = broker.engine.topic(&name).expect("a member has joined");
        info.partitions.iter().map(|partition| partition.high.get()).sum::<u64>()
    };
    let before = written();
    let wait = async {
        while written() == before {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, wait).await.expect("its session ends");
    let late = broker.call::<_, pb::HeartbeatResponse>(beat("a", joined.member_epoch, &[0], 0)).await;
    assert_refused(late, ErrorCode::UnknownMember, "member_id");
    let late = broker.call::<_, pb::CommitOffsetsResponse>(commit("a", joined.generation, 0)).await;
    assert_refused(late, ErrorCode::UnknownMember, "member_id");
}
