//! Groups, offsets and topics through the whole stack.

mod common;

use common::{TestBroker, assert_refused, context, record, texts};
use flymq_api::{BrokerError, ErrorCode, pb};
use futures::StreamExt as _;

async fn with_records(count: usize) -> TestBroker {
    let broker = TestBroker::start().await;
    broker.create("t", 2).await;
    let records = (0..count).map(|i| record("", &i.to_string())).collect();
    broker.produce("t", Some(0), records).await.expect("produced");
    broker
}

async fn commit(
    broker: &TestBroker,
    group: &str,
    offset: u64,
) -> Result<pb::CommitOffsetsResponse, BrokerError> {
    let at = pb::PartitionOffset { topic: "t".to_owned(), partition: 0, offset, metadata: "m".to_owned() };
    broker
        .call(pb::CommitOffsetsRequest { group: group.to_owned(), offsets: vec![at], ..Default::default() })
        .await
}

fn start(group: &str, from: pb::StartFrom) -> pb::GetStartOffsetRequest {
    pb::GetStartOffsetRequest {
        topic: "t".to_owned(),
        group: group.to_owned(),
        from: from.into(),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_commit_is_where_the_group_goes_on() {
    let broker = with_records(5).await;
    let found: pb::GetStartOffsetResponse =
        broker.call(start("g", pb::StartFrom::Unspecified)).await.expect("found");
    assert_eq!(found.offset, 0, "a group without commit begins at the earliest");
    commit(&broker, "g", 3).await.expect("committed");
    let found: pb::GetStartOffsetResponse =
        broker.call(start("g", pb::StartFrom::Committed)).await.expect("found");
    assert_eq!(found.offset, 3);
    let found: pb::GetStartOffsetResponse =
        broker.call(start("", pb::StartFrom::Unspecified)).await.expect("found");
    assert_eq!(found.offset, 5, "without group the latest");

    let asked = pb::GetOffsetsRequest { group: "g".to_owned(), ..Default::default() };
    let offsets: pb::GetOffsetsResponse = broker.call(asked).await.expect("listed");
    assert_eq!(offsets.offsets.len(), 1);
    assert_eq!((offsets.offsets[0].offset, offsets.offsets[0].metadata.as_str()), (3, "m"));

    let asked = pb::GetLagRequest { group: "g".to_owned(), ..Default::default() };
    let lag: pb::GetLagResponse = broker.call(asked).await.expect("told");
    assert_eq!((lag.total, lag.partitions[0].committed, lag.partitions[0].latest), (2, 3, 5));

    let mut stream = broker
        .broker
        .subscribe(
            context(),
            pb::SubscribeRequest { topic: "t".to_owned(), group: "g".to_owned(), ..Default::default() },
        )
        .await
        .expect("opened");
    let push = stream.next().await.expect("a push").expect("records");
    assert_eq!(texts(&push.records), ["3", "4"]);
    let asked = pb::DescribeGroupRequest { group: "g".to_owned() };
    let group: pb::DescribeGroupResponse = broker.call(asked).await.expect("described");
    assert_eq!(
        (group.state(), group.members.len()),
        (pb::GroupState::Stable, 1),
        "the subscriber is a member"
    );
}

#[tokio::test]
async fn groups_are_listed_reset_and_deleted() {
    let broker = with_records(5).await;
    commit(&broker, "g", 3).await.expect("committed");
    let groups: pb::ListGroupsResponse = broker.call(pb::ListGroupsRequest::default()).await.expect("listed");
    assert_eq!(groups.groups.len(), 1);
    assert_eq!(
        (groups.groups[0].group.as_str(), groups.groups[0].topics.as_slice()),
        ("g", &["t".to_owned()][..])
    );

    let reset = pb::ResetOffsetsRequest {
        group: "g".to_owned(),
        topic: "t".to_owned(),
        to: pb::StartFrom::Latest.into(),
        ..Default::default()
    };
    let done: pb::ResetOffsetsResponse = broker.call(reset).await.expect("reset");
    assert_eq!(done.offsets.iter().map(|o| (o.partition, o.offset)).collect::<Vec<_>>(), [(0, 5), (1, 0)]);

    let delete = pb::DeleteGroupRequest { group: "g".to_owned(), ..Default::default() };
    let _: pb::DeleteGroupResponse = broker.call(delete.clone()).await.expect("deleted");
    assert_refused(
        broker.call::<_, pb::DeleteGroupResponse>(delete).await,
        ErrorCode::GroupNotFound,
        "group",
    );
}

#[tokio::test]
async fn bad_group_requests_are_refused() {
    let broker = with_records(1).await;
    assert_refused(commit(&broker, "", 0).await, ErrorCode::InvalidArgument, "field");
    assert_refused(commit(&broker, "__g", 0).await, ErrorCode::InvalidArgument, "field");
    assert_refused(commit(&broker, &"g".repeat(250), 0).await, ErrorCode::InvalidArgument, "field");
    let nothing = pb::CommitOffsetsRequest { group: "g".to_owned(), ..Default::default() };
    assert_refused(
        broker.call::<_, pb::CommitOffsetsResponse>(nothing).await,
        ErrorCode::InvalidArgument,
        "field",
    );
    let nowhere = start("", pb::StartFrom::Committed);
    assert_refused(
        broker.call::<_, pb::GetStartOffsetResponse>(nowhere).await,
        ErrorCode::InvalidArgument,
        "field",
    );
    let to_nothing =
        pb::ResetOffsetsRequest { group: "g".to_owned(), topic: "t".to_owned(), ..Default::default() };
    assert_refused(
        broker.call::<_, pb::ResetOffsetsResponse>(to_nothing).await,
        ErrorCode::InvalidArgument,
        "field",
    );
}

#[tokio::test]
async fn topics_come_change_and_go() {
    let broker = TestBroker::start().await;
    for name in ["b", "a", "c/d"] {
        broker.create(name, 2).await;
    }
    let again = pb::CreateTopicRequest { name: "a".to_owned(), ..pb::CreateTopicRequest::default() };
    assert_refused(
        broker.call::<_, pb::CreateTopicResponse>(again).await,
        ErrorCode::TopicAlreadyExists,
        "topic",
    );

    let page = pb::ListTopicsRequest { page_size: 2, ..Default::default() };
    let first: pb::ListTopicsResponse = broker.call(page.clone()).await.expect("listed");
    let second: pb::ListTopicsResponse = broker
        .call(pb::ListTopicsRequest { page_token: first.next_page_token.clone(), ..page })
        .await
        .expect("listed");
    let names: Vec<&str> = first.topics.iter().chain(&second.topics).map(|t| t.name.as_str()).collect();
    assert_eq!((names, second.next_page_token.as_str()), (vec!["a", "b", "c/d"], ""));

    let options = Some(pb::TopicOptions { partitions: 3, ..Default::default() });
    let grow = pb::AlterTopicRequest { name: "a".to_owned(), options };
    let grown: pb::AlterTopicResponse = broker.call(grow).await.expect("partitions grow");
    assert_eq!(grown.topic.expect("a topic").partitions.len(), 3);
    let options = Some(pb::TopicOptions { partitions: 1, ..Default::default() });
    let shrink = pb::AlterTopicRequest { name: "a".to_owned(), options };
    assert_refused(
        broker.call::<_, pb::AlterTopicResponse>(shrink).await,
        ErrorCode::InvalidArgument,
        "field",
    );

    let delete = pb::DeleteTopicRequest { name: "a".to_owned() };
    let _: pb::DeleteTopicResponse = broker.call(delete.clone()).await.expect("deleted");
    assert_refused(
        broker.call::<_, pb::DeleteTopicResponse>(delete).await,
        ErrorCode::TopicNotFound,
        "topic",
    );
    let get = pb::GetTopicRequest { name: "a".to_owned() };
    assert_refused(broker.call::<_, pb::GetTopicResponse>(get).await, ErrorCode::TopicNotFound, "topic");
}

#[tokio::test]
async fn impossible_topics_are_refused() {
    let broker = TestBroker::start().await;
    let with = |options: pb::TopicOptions| pb::CreateTopicRequest {
        name: "t".to_owned(),
        options: Some(options),
        ..pb::CreateTopicRequest::default()
    };
    let none = pb::TopicOptions::default();
    let indexed = |index| pb::TopicOptions { index: Some(index), ..none.clone() };
    let cases = [
        (with(pb::TopicOptions { partitions: -1, ..none.clone() }), ErrorCode::InvalidArgument),
        (with(pb::TopicOptions { partitions: i32::MAX, ..none.clone() }), ErrorCode::InvalidArgument),
        (with(pb::TopicOptions { replication_factor: 3, ..none.clone() }), ErrorCode::InvalidArgument),
        (with(pb::TopicOptions { retention_ms: -1, ..none.clone() }), ErrorCode::InvalidArgument),
        (with(pb::TopicOptions { segment_bytes: i64::MIN, ..none.clone() }), ErrorCode::InvalidArgument),
        (with(pb::TopicOptions { cleanup_policy: 9, ..none.clone() }), ErrorCode::InvalidArgument),
        (with(pb::TopicOptions { ttl_ms: -1, ..none.clone() }), ErrorCode::InvalidArgument),
        (
            with(indexed(pb::IndexOptions { interval_bytes: 1, ..Default::default() })),
            ErrorCode::InvalidArgument,
        ),
        (
            with(indexed(pb::IndexOptions { headers: vec![String::new()], ..Default::default() })),
            ErrorCode::InvalidArgument,
        ),
        (
            pb::CreateTopicRequest { name: String::new(), ..pb::CreateTopicRequest::default() },
            ErrorCode::InvalidArgument,
        ),
        (
            pb::CreateTopicRequest { name: "a/../b".to_owned(), ..pb::CreateTopicRequest::default() },
            ErrorCode::InvalidArgument,
        ),
    ];
    for (request, code) in cases {
        assert_refused(broker.call::<_, pb::CreateTopicResponse>(request).await, code, "");
    }
    assert!(broker.engine.list_topics(false).is_empty());
}
