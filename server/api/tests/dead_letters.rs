//! Records that their readers cannot process, over the whole stack.

mod common;

use std::time::{Duration, Instant};

use common::{TestBroker, assert_refused, record};
use flymq_api::{BrokerError, ErrorCode, pb};

const WAIT: Duration = Duration::from_secs(20);

struct Dead {
    broker: TestBroker,
}

impl Dead {
    async fn with(records: &[&str]) -> Self {
        let broker = TestBroker::start().await;
        broker.create("orders", 2).await;
        for value in records {
            broker.produce("orders", Some(0), vec![record("k", value)]).await.expect("stored");
        }
        Self { broker }
    }

    fn nack(offset: u64, retries: u32, delay: u32) -> pb::NackRequest {
        pb::NackRequest {
            group: "g".to_owned(),
            topic: "orders".to_owned(),
            offset,
            reason: "boom".to_owned(),
            max_retries: Some(retries),
            retry_delay_ms: Some(delay),
            ..Default::default()
        }
    }

    async fn fail(&self, request: pb::NackRequest) -> pb::NackResponse {
        self.broker.call(request).await.expect("a nack")
    }

    async fn list(&self) -> Vec<pb::DeadLetter> {
        let request =
            pb::ListDeadLettersRequest { topic: "orders".to_owned(), text: true, ..Default::default() };
        let found: pb::ListDeadLettersResponse = self.broker.call(request).await.expect("a list");
        found.dead_letters
    }

    async fn replay(&self, request: pb::ReplayDeadLettersRequest) -> Result<u32, BrokerError> {
        let request = pb::ReplayDeadLettersRequest { topic: "orders".to_owned(), ..request };
        let replayed: pb::ReplayDeadLettersResponse = self.broker.call(request).await?;
        Ok(replayed.replayed)
    }

    async fn acquire(&self, request: pb::AcquireRequest) -> pb::AcquireResponse {
        let request = pb::AcquireRequest { group: "g".to_owned(), topic: "orders".to_owned(), ..request };
        self.broker.call(request).await.expect("an acquire")
    }

    async fn retries(&self, wait_ms: u32) -> pb::AcquireResponse {
        self.acquire(pb::AcquireRequest {
            member_id: "m".to_owned(),
            retries_only: true,
            max_wait_ms: wait_ms,
            text: true,
            ..Default::default()
        })
        .await
    }

    async fn committed(&self) -> u64 {
        let request = pb::GetOffsetsRequest { group: "g".to_owned(), ..Default::default() };
        let offsets: pb::GetOffsetsResponse = self.broker.call(request).await.expect("offsets");
        offsets.offsets[0].offset
    }

    async fn acknowledge(&self, kind: pb::AckKind, member: &str, offsets: &[u64]) -> Result<(), BrokerError> {
        let request = pb::AcknowledgeRequest {
            group: "g".to_owned(),
            topic: "orders".to_owned(),
            offsets: offsets.to_vec(),
            kind: kind.into(),
            member_id: member.to_owned(),
            reason: "no use".to_owned(),
            ..Default::default()
        };
        let _: pb::AcknowledgeResponse = self.broker.call(request).await?;
        Ok(())
    }
}

fn values(found: &pb::AcquireResponse) -> Vec<(String, u32)> {
    let value = |one: &pb::AcquiredRecord| {
        let value = one.record.as_ref().map(|record| record.value.to_vec()).unwrap_or_default();
        (String::from_utf8(value).expect("UTF-8"), one.delivery_count)
    };
    found.records.iter().map(value).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_fails_comes_again_and_at_last_goes_to_the_dead_letters() {
    let dead = Dead::with(&["a", "b"]).await;
    let nack = pb::NackRequest { commit: true, ..Dead::nack(0, 2, 2_000) };
    let first = dead.fail(nack).await;
    assert_eq!((first.attempts, first.dead_lettered, first.retry_after_ms), (1, false, 2_000));
    assert_eq!(dead.committed().await, 1, "what follows is read on");
    assert_eq!(dead.retries(0).await.records.len(), 0, "not due yet");
    let again = dead.retries(20_000).await;
    assert_eq!(values(&again), [("a".to_owned(), 2)]);
    let nack = pb::NackRequest { member_id: "m".to_owned(), ..Dead::nack(0, 2, 2_000) };
    let second = dead.fail(nack.clone()).await;
    assert_eq!((second.attempts, second.dead_lettered, second.retry_after_ms), (2, false, 4_000), "doubled");
    let third = dead.fail(Dead::nack(0, 2, 2_000)).await;
    assert_eq!((third.attempts, third.dead_lettered), (3, true));
    assert_refused(dead.broker.call::<_, pb::NackResponse>(nack).await, ErrorCode::RecordNotHeld, "state");
    let letters = dead.list().await;
    let [letter] = &letters[..] else { panic!("{letters:?}") };
    assert_eq!((letter.error.as_str(), letter.attempts, letter.group.as_str()), ("boom", 3, "g"));
    assert_eq!(
        (letter.origin_topic.as_str(), letter.origin_partition, letter.origin_offset),
        ("orders", 0, 0)
    );
    assert_eq!(letter.record.as_ref().and_then(|record| record.value_text.as_deref()), Some("a"));
    assert_eq!(dead.retries(0).await.records.len(), 0, "it is over");
    let request = pb::GetDeadLetterStatsRequest { topic: "orders".to_owned() };
    let stats: pb::GetDeadLetterStatsResponse = dead.broker.call(request).await.expect("counts");
    assert_eq!((stats.total, stats.by_reason["max_retries_exceeded"], stats.by_group["g"]), (1, 1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_failed_is_settled_by_its_acknowledgement() {
    let dead = Dead::with(&["a", "b", "c"]).await;
    dead.fail(pb::NackRequest { commit: true, ..Dead::nack(1, 3, 0) }).await;
    assert_eq!(dead.committed().await, 2);
    let lag = pb::GetLagRequest { group: "g".to_owned(), ..Default::default() };
    let before: pb::GetLagResponse = dead.broker.call(lag.clone()).await.expect("a lag");
    assert_eq!(before.total, 2, "c, and b again");
    assert_eq!(values(&dead.retries(0).await), [("b".to_owned(), 2)]);
    dead.acknowledge(pb::AckKind::Accept, "m", &[1]).await.expect("its own");
    let after: pb::GetLagResponse = dead.broker.call(lag).await.expect("a lag");
    assert_eq!(after.total, 1);
    assert_eq!(dead.list().await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_go_back_once_and_can_be_purged() {
    let dead = Dead::with(&["apple", "berry", "cherry", "date"]).await;
    for offset in 0..4 {
        assert!(dead.fail(Dead::nack(offset, 0, 0)).await.dead_lettered);
    }
    let letters = dead.list().await;
    assert_eq!(letters.len(), 4);
    let ids = vec![letters[1].id.clone()];
    let one = pb::ReplayDeadLettersRequest { ids: ids.clone(), ..Default::default() };
    assert_eq!(dead.replay(one.clone()).await.expect("a replay"), 1);
    assert_refused(dead.replay(one).await, ErrorCode::MessageNotFound, "id");
    let some = pb::ReplayDeadLettersRequest { filter: "CHER".to_owned(), ..Default::default() };
    assert_eq!(dead.replay(some.clone()).await.expect("a replay"), 1);
    assert_eq!(dead.replay(some).await.expect("none is left"), 0);
    let left: Vec<_> = dead.list().await.into_iter().filter_map(|letter| letter.record?.value_text).collect();
    assert_eq!(left, ["apple", "date"]);
    let fetched = dead.broker.fetch("orders", 0, 4).await.expect("what came back");
    let back: Vec<_> =
        fetched.records.iter().map(|record| (&record.value[..], record.headers.len())).collect();
    assert_eq!(back, [(&b"berry"[..], 0), (&b"cherry"[..], 0)]);
    let all = pb::ReplayDeadLettersRequest { all: true, ..Default::default() };
    assert_eq!(dead.replay(all.clone()).await.expect("a replay"), 2);
    assert_eq!(dead.replay(all).await.expect("none is left"), 0);
    assert!(dead.fail(Dead::nack(4, 0, 0)).await.dead_lettered);
    let purge = pb::PurgeDeadLettersRequest { topic: "orders".to_owned() };
    let purged: pb::PurgeDeadLettersResponse = dead.broker.call(purge.clone()).await.expect("a purge");
    assert_eq!((purged.purged, dead.list().await.len()), (1, 0));
    let purged: pb::PurgeDeadLettersResponse = dead.broker.call(purge).await.expect("a purge");
    assert_eq!(purged.purged, 0);
    let nothing = dead.replay(pb::ReplayDeadLettersRequest::default()).await;
    assert_refused(nothing, ErrorCode::InvalidArgument, "field");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_gives_each_record_to_one_reader() {
    let dead = Dead::with(&["a", "b", "c", "d"]).await;
    let ask = |member: &str, max: u32| pb::AcquireRequest {
        member_id: member.to_owned(),
        max_records: max,
        ..Default::default()
    };
    let one = dead.acquire(ask("m1", 2)).await;
    let two = dead.acquire(ask("m2", 10)).await;
    assert_eq!(values(&one), [("a".to_owned(), 1), ("b".to_owned(), 1)]);
    assert_eq!(values(&two), [("c".to_owned(), 1), ("d".to_owned(), 1)]);
    assert_refused(
        dead.acknowledge(pb::AckKind::Accept, "m2", &[0]).await,
        ErrorCode::RecordNotHeld,
        "state",
    );
    assert_refused(
        dead.acknowledge(pb::AckKind::Accept, "m1", &[1, 2]).await,
        ErrorCode::RecordNotHeld,
        "offset",
    );
    dead.acknowledge(pb::AckKind::Accept, "m1", &[0]).await.expect("its own");
    dead.acknowledge(pb::AckKind::Release, "m1", &[1]).await.expect("its own");
    dead.acknowledge(pb::AckKind::Extend, "m2", &[2]).await.expect("its own");
    dead.acknowledge(pb::AckKind::Reject, "m2", &[3]).await.expect("its own");
    assert_eq!(values(&dead.acquire(ask("m3", 10)).await), [("b".to_owned(), 1)], "given back, not failed");
    let letters = dead.list().await;
    let reasons: Vec<_> =
        letters.iter().map(|letter| (letter.reason.as_str(), letter.error.as_str())).collect();
    assert_eq!(reasons, [("rejected", "no use")]);
    assert_refused(
        dead.acknowledge(pb::AckKind::Extend, "m2", &[3]).await,
        ErrorCode::RecordNotHeld,
        "state",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_handed_out_to_a_reader_is_not_its_to_answer_for() {
    let dead = Dead::with(&["a"]).await;
    let by = |member: &str| pb::NackRequest { member_id: member.to_owned(), ..Dead::nack(0, 0, 0) };
    let refused = async |kind| {
        let answer = dead.acknowledge(kind, "stranger", &[0]).await;
        assert_refused(answer, ErrorCode::RecordNotHeld, "state");
    };
    for kind in [pb::AckKind::Accept, pb::AckKind::Reject, pb::AckKind::Release, pb::AckKind::Extend] {
        refused(kind).await;
    }
    let answer = dead.broker.call::<_, pb::NackResponse>(by("stranger")).await;
    assert_refused(answer, ErrorCode::RecordNotHeld, "state");
    // Nobody by name holds nothing, and could name records that are not there yet.
    let answer = dead.acknowledge(pb::AckKind::Reject, "", &[1_000]).await;
    assert_refused(answer, ErrorCode::InvalidArgument, "field");
    let ask = || pb::AcquireRequest { member_id: "m".to_owned(), ..Default::default() };
    assert_eq!(values(&dead.acquire(ask()).await), [("a".to_owned(), 1)]);
    dead.acknowledge(pb::AckKind::Release, "m", &[0]).await.expect("its own");
    for late in ["m", "stranger"] {
        let answer = dead.broker.call::<_, pb::NackResponse>(by(late)).await;
        assert_refused(answer, ErrorCode::RecordNotHeld, "state");
    }
    refused(pb::AckKind::Reject).await;
    assert_eq!(values(&dead.acquire(ask()).await), [("a".to_owned(), 1)], "nothing of that counted");
    assert_eq!(dead.list().await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_that_is_told_again_counts_once() {
    let dead = Dead::with(&["a"]).await;
    let nack = || pb::NackRequest { commit: true, ..Dead::nack(0, 5, 100_000) };
    for _ in 0..3 {
        assert_eq!(dead.fail(nack()).await.attempts, 1, "its answer was lost");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_one_key_come_one_at_a_time_where_order_counts() {
    let dead = Dead::with(&["k1", "k2"]).await;
    dead.broker.produce("orders", Some(0), vec![record("other", "o1")]).await.expect("stored");
    let ask = || pb::AcquireRequest { member_id: "m".to_owned(), ordered: true, ..Default::default() };
    let first = dead.acquire(ask()).await;
    assert_eq!(values(&first), [("k1".to_owned(), 1), ("o1".to_owned(), 1)]);
    assert_eq!(dead.acquire(ask()).await.records.len(), 0, "k2 waits for k1");
    dead.acknowledge(pb::AckKind::Accept, "m", &[0]).await.expect("its own");
    assert_eq!(values(&dead.acquire(ask()).await), [("k2".to_owned(), 1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_waits_for_a_record_and_a_lock_that_ends_frees_it() {
    let dead = Dead::with(&[]).await;
    let ask = |lock_ms| pb::AcquireRequest {
        member_id: "m".to_owned(),
        max_wait_ms: 20_000,
        lock_ms,
        ..Default::default()
    };
    let (found, ()) = tokio::join!(dead.acquire(ask(1_000)), async {
        dead.broker.produce("orders", Some(1), vec![record("", "late")]).await.expect("stored");
    });
    assert_eq!(values(&found), [("late".to_owned(), 1)]);
    let begun = Instant::now();
    let again = dead.acquire(ask(1_000)).await;
    assert_eq!(values(&again), [("late".to_owned(), 2)], "its lock has ended");
    assert!(begun.elapsed() < WAIT);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_refused() {
    let dead = Dead::with(&["a"]).await;
    let nack = |request: pb::NackRequest| dead.broker.call::<_, pb::NackResponse>(request);
    assert_refused(nack(Dead::nack(1, 0, 0)).await, ErrorCode::OffsetOutOfRange, "offset");
    let unknown = pb::NackRequest { topic: "nothing".to_owned(), ..Dead::nack(0, 0, 0) };
    assert_refused(nack(unknown).await, ErrorCode::TopicNotFound, "topic");
    assert_refused(nack(Dead::nack(0, 0, 600_001)).await, ErrorCode::InvalidArgument, "field");
    let stranger = pb::NackRequest { member_id: "x".to_owned(), generation: 1, ..Dead::nack(0, 0, 0) };
    assert_refused(nack(stranger).await, ErrorCode::UnknownMember, "member_id");
    let commit = pb::CommitOffsetsRequest {
        group: "g".to_owned(),
        offsets: vec![pb::PartitionOffset { topic: "orders".to_owned(), offset: 1, ..Default::default() }],
        ..Default::default()
    };
    let _: pb::CommitOffsetsResponse = dead.broker.call(commit).await.expect("a commit");
    assert_refused(nack(Dead::nack(0, 0, 0)).await, ErrorCode::RecordNotHeld, "state");
    assert_refused(
        dead.acknowledge(pb::AckKind::Release, "m", &[0]).await,
        ErrorCode::RecordNotHeld,
        "state",
    );
    assert_refused(
        dead.acknowledge(pb::AckKind::Unspecified, "m", &[0]).await,
        ErrorCode::InvalidArgument,
        "field",
    );
    assert_eq!(dead.list().await.len(), 0);
}

/// Changes what the topic says of failures.
async fn alter(dead: &Dead, options: pb::TopicOptions) -> Result<pb::TopicOptions, BrokerError> {
    let request = pb::AlterTopicRequest { name: "orders".to_owned(), options: Some(options) };
    let altered: pb::AlterTopicResponse = dead.broker.call(request).await?;
    Ok(altered.topic.and_then(|topic| topic.options).expect("options"))
}

fn of_topic(policy: pb::DeadLetterPolicy) -> pb::TopicOptions {
    pb::TopicOptions { dead_letters: Some(policy), ..Default::default() }
}

fn of_group(group: &str, policy: pb::DeadLetterPolicy) -> pb::TopicOptions {
    pb::TopicOptions { group_dead_letters: [(group.to_owned(), policy)].into(), ..Default::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_name_has_room_for_dead_letters_or_none() {
    let dead = Dead::with(&["a"]).await;
    let name = "n".repeat(249);
    let create = async |policy: Option<pb::DeadLetterPolicy>| {
        let options = policy.map(of_topic);
        let request = pb::CreateTopicRequest { name: name.clone(), options, ..Default::default() };
        dead.broker.call::<_, pb::CreateTopicResponse>(request).await
    };
    let policy = |enabled, topic: Option<&str>| {
        Some(pb::DeadLetterPolicy {
            enabled: Some(enabled),
            topic: topic.map(str::to_owned),
            ..Default::default()
        })
    };
    assert_refused(create(None).await, ErrorCode::InvalidArgument, "field");
    create(policy(false, None)).await.expect("it needs no dead letters");
    let alter = async |policy: Option<pb::DeadLetterPolicy>| {
        let options = policy.map(of_topic);
        let request = pb::AlterTopicRequest { name: name.clone(), options };
        dead.broker.call::<_, pb::AlterTopicResponse>(request).await
    };
    assert_refused(alter(policy(true, None)).await, ErrorCode::InvalidArgument, "field");
    alter(policy(true, Some("graves"))).await.expect("they have a name");
}

/// What the next failure of the record comes to, with nothing said in the request.
async fn fails(dead: &Dead, group: &str, offset: u64) -> (u32, bool, u32) {
    let said = Dead::nack(offset, 0, 0);
    let nack = pb::NackRequest { group: group.to_owned(), max_retries: None, retry_delay_ms: None, ..said };
    let failed = dead.fail(nack).await;
    (failed.attempts, failed.dead_lettered, failed.retry_after_ms)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_says_it_before_its_topic_and_that_before_the_broker() {
    let dead = Dead::with(&["a", "b", "c"]).await;
    assert_eq!(fails(&dead, "g", 0).await, (1, false, 1_000), "as the broker is set");
    let policy = pb::DeadLetterPolicy {
        max_retries: Some(2),
        retry_delay_ms: Some(300),
        backoff_factor: Some(3.0),
        max_retry_delay_ms: Some(700),
        ..Default::default()
    };
    let shown = alter(&dead, of_topic(policy)).await.expect("settings").dead_letters.expect("in force");
    assert_eq!((shown.enabled, shown.topic.as_deref()), (Some(true), Some("orders.dlq")), "{shown:?}");
    let once = pb::DeadLetterPolicy { max_retries: Some(0), ..Default::default() };
    let shown = alter(&dead, of_group("once", once.clone())).await.expect("settings");
    assert_eq!(shown.group_dead_letters["once"], once);
    let slow = pb::DeadLetterPolicy { retry_delay_ms: Some(10), ..Default::default() };
    let shown = alter(&dead, of_group("once", slow.clone())).await.expect("settings");
    let both = pb::DeadLetterPolicy { retry_delay_ms: Some(10), ..once };
    assert_eq!(shown.group_dead_letters["once"], both, "what is not named stays");
    assert_eq!(shown.dead_letters.expect("in force").max_retries, Some(2), "the topic's stay");
    assert_eq!(fails(&dead, "g", 0).await, (2, false, 700), "changed while a record fails, and bounded");
    assert_eq!(fails(&dead, "g", 0).await, (3, true, 0));
    assert_eq!(fails(&dead, "g", 1).await, (1, false, 300));
    assert_eq!(fails(&dead, "once", 1).await, (1, true, 0));
    let request = pb::NackRequest { group: "once".to_owned(), ..Dead::nack(2, 5, 50) };
    let asked = dead.fail(request).await;
    assert_eq!((asked.dead_lettered, asked.retry_after_ms), (false, 50), "the request counts first");
    let shown = alter(&dead, of_group("once", pb::DeadLetterPolicy::default())).await.expect("settings");
    assert!(shown.group_dead_letters.is_empty(), "{shown:?}");
    let shown = alter(&dead, of_topic(pb::DeadLetterPolicy::default())).await.expect("settings");
    assert_eq!(shown.dead_letters.expect("in force").max_retries, Some(3), "the broker's again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_without_dead_letters_sees_its_record_again_without_end() {
    let dead = Dead::with(&["a", "b"]).await;
    let never = pb::DeadLetterPolicy {
        enabled: Some(false),
        max_retries: Some(0),
        retry_delay_ms: Some(0),
        ..Default::default()
    };
    alter(&dead, of_group("g", never)).await.expect("settings");
    for attempts in 1..20 {
        assert_eq!(fails(&dead, "g", 0).await, (attempts, false, 0));
    }
    assert_eq!(dead.list().await.len(), 0);
    let moved = dead.fail(pb::NackRequest { group: "other".to_owned(), ..Dead::nack(0, 0, 0) }).await;
    assert!(moved.dead_lettered, "only in that group");
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_go_where_the_topic_says_and_come_back() {
    let dead = Dead::with(&["a", "b"]).await;
    let named = pb::DeadLetterPolicy { topic: Some("graves".to_owned()), ..Default::default() };
    alter(&dead, of_topic(named)).await.expect("settings");
    assert!(dead.fail(Dead::nack(0, 0, 0)).await.dead_lettered);
    let letters = dead.list().await;
    assert_eq!(letters.len(), 1, "{letters:?}");
    let fetched = dead.broker.fetch("graves", 0, 0).await.expect("an ordinary topic");
    assert_eq!(&fetched.records[0].value[..], b"a");
    let all = pb::ReplayDeadLettersRequest { all: true, ..Default::default() };
    assert_eq!(dead.replay(all).await.expect("a replay"), 1);
    assert_eq!(&dead.broker.fetch("orders", 0, 2).await.expect("back").records[0].value[..], b"a");
    assert_eq!(dead.list().await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_cannot_be_is_refused_and_nothing_changes() {
    let dead = Dead::with(&["a"]).await;
    dead.broker.create("other", 1).await;
    let p = pb::DeadLetterPolicy::default();
    let topic = |name: &str| pb::DeadLetterPolicy { topic: Some(name.to_owned()), ..p.clone() };
    for bad in [
        of_topic(pb::DeadLetterPolicy { max_retries: Some(1_000_000), ..p.clone() }),
        of_topic(pb::DeadLetterPolicy { retry_delay_ms: Some(600_001), ..p.clone() }),
        of_topic(pb::DeadLetterPolicy { backoff_factor: Some(0.5), ..p.clone() }),
        of_topic(pb::DeadLetterPolicy { backoff_factor: Some(f64::NAN), ..p.clone() }),
        of_topic(pb::DeadLetterPolicy { max_retry_delay_ms: Some(0), ..p.clone() }),
        of_topic(topic("orders")),
        of_topic(topic("__mine")),
        of_topic(topic("")),
        of_topic(topic("other.dlq")),
        of_group("", pb::DeadLetterPolicy { max_retries: Some(1), ..p.clone() }),
        of_group("g", topic("elsewhere")),
        of_group("g", pb::DeadLetterPolicy { backoff_factor: Some(11.0), ..p.clone() }),
    ] {
        assert_refused(alter(&dead, bad).await, ErrorCode::InvalidArgument, "field");
    }
    let request = pb::GetTopicRequest { name: "orders".to_owned() };
    let found: pb::GetTopicResponse = dead.broker.call(request).await.expect("a topic");
    let options = found.topic.and_then(|topic| topic.options).expect("options");
    assert!(options.group_dead_letters.is_empty());
    assert_eq!(options.dead_letters.expect("in force").max_retries, Some(3));
}

fn policy(topic: &str, to: &str) -> pb::AlterTopicRequest {
    let policy = pb::DeadLetterPolicy { topic: Some(to.to_owned()), ..Default::default() };
    let options = Some(pb::TopicOptions { dead_letters: Some(policy), ..Default::default() });
    pb::AlterTopicRequest { name: topic.to_owned(), options }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_cannot_be_moved_holds_up_no_other_of_its_group() {
    let dead = Dead::with(&["a", "b", "c"]).await;
    let options =
        Some(pb::TopicOptions { cleanup_policy: pb::CleanupPolicy::Compact.into(), ..Default::default() });
    let create = pb::CreateTopicRequest { name: "compacted".to_owned(), options, ..Default::default() };
    let _: pb::CreateTopicResponse = dead.broker.call(create).await.expect("created");
    dead.broker.create("bad", 1).await;
    let _: pb::AlterTopicResponse = dead.broker.call(policy("bad", "compacted")).await.expect("altered");
    let keyless = pb::Record { value: "x".into(), ..Default::default() };
    dead.broker.produce("bad", Some(0), vec![keyless]).await.expect("stored");
    let nack = pb::NackRequest { topic: "bad".to_owned(), ..Dead::nack(0, 0, 0) };
    let told = dead.fail(nack).await;
    assert!(told.dead_lettered, "that it is dead is durable, whenever it is moved");
    assert!(dead.fail(Dead::nack(0, 0, 0)).await.dead_lettered);
    dead.acquire(pb::AcquireRequest { member_id: "m".to_owned(), ..Default::default() }).await;
    dead.acknowledge(pb::AckKind::Reject, "m", &[1]).await.expect("its own");
    let found = |letters: &[pb::DeadLetter]| letters.iter().map(|one| one.origin_offset).collect::<Vec<_>>();
    assert_eq!(found(&dead.list().await), [0, 1], "another topic's letters are where they go");
    let _: pb::AlterTopicResponse = dead.broker.call(policy("bad", "graves")).await.expect("altered");
    let stats = pb::GetDeadLetterStatsRequest { topic: "bad".to_owned() };
    let give_up = Instant::now() + WAIT;
    while dead.broker.call::<_, pb::GetDeadLetterStatsResponse>(stats.clone()).await.expect("counts").total
        == 0
    {
        assert!(Instant::now() < give_up, "it is moved once that is possible");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_ends_for_the_last_time_makes_a_dead_letter_though_nobody_asks() {
    let dead = Dead::with(&["a"]).await;
    let options = pb::TopicOptions {
        dead_letters: Some(pb::DeadLetterPolicy { max_retries: Some(0), ..Default::default() }),
        ..Default::default()
    };
    let alter = pb::AlterTopicRequest { name: "orders".to_owned(), options: Some(options) };
    let _: pb::AlterTopicResponse = dead.broker.call(alter).await.expect("altered");
    let ask = pb::AcquireRequest { member_id: "m".to_owned(), lock_ms: 1_000, ..Default::default() };
    assert_eq!(dead.acquire(ask).await.records.len(), 1);
    let give_up = Instant::now() + WAIT;
    while dead.list().await.is_empty() {
        assert!(Instant::now() < give_up, "its reader is dead, and so is the record");
    }
    assert_eq!(dead.list().await[0].error, "its lock ended without an answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_wrote_is_no_dead_letter_and_is_not_purged() {
    let dead = Dead::with(&["a", "b"]).await;
    dead.broker.create("audit", 2).await;
    for value in ["one", "two"] {
        dead.broker.produce("audit", Some(0), vec![record("k", value)]).await.expect("stored");
    }
    let _: pb::AlterTopicResponse = dead.broker.call(policy("orders", "audit")).await.expect("altered");
    assert_eq!(dead.list().await, []);
    assert!(dead.fail(Dead::nack(0, 0, 0)).await.dead_lettered);
    assert_eq!(dead.list().await.len(), 1);
    let named = pb::ReplayDeadLettersRequest { ids: vec!["0-0".to_owned()], ..Default::default() };
    assert_refused(dead.replay(named).await, ErrorCode::MessageNotFound, "id");
    let purge = pb::PurgeDeadLettersRequest { topic: "orders".to_owned() };
    let refused = dead.broker.call::<_, pb::PurgeDeadLettersResponse>(purge.clone()).await;
    assert_refused(refused, ErrorCode::InUse, "offset");
    let all = pb::ReplayDeadLettersRequest { all: true, ..Default::default() };
    assert_eq!(dead.replay(all).await.expect("back"), 1, "the letter alone");
    assert!(dead.broker.call::<_, pb::PurgeDeadLettersResponse>(purge).await.is_err());
    let fetch = pb::FetchRequest { topic: "audit".to_owned(), ..Default::default() };
    let kept: pb::FetchResponse = dead.broker.call(fetch).await.expect("readable");
    assert_eq!(kept.records.len(), 3, "two of others, and the letter that was replayed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_takes_those_that_were_replayed_as_well() {
    let dead = Dead::with(&["a", "b"]).await;
    for offset in [0, 1] {
        dead.fail(Dead::nack(offset, 0, 0)).await;
    }
    let all = pb::ReplayDeadLettersRequest { all: true, ..Default::default() };
    assert_eq!(dead.replay(all).await.expect("back"), 2);
    let purge = pb::PurgeDeadLettersRequest { topic: "orders".to_owned() };
    let purged: pb::PurgeDeadLettersResponse = dead.broker.call(purge).await.expect("purged");
    assert_eq!(purged.purged, 0, "none of them was a letter still");
    let fetch = pb::FetchRequest { topic: "orders.dlq".to_owned(), offset: 3, ..Default::default() };
    let kept: pb::FetchResponse = dead.broker.call(fetch).await.expect("readable");
    assert_eq!((kept.records.len(), kept.low_watermark), (0, 3), "the marker of the last move is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_cannot_go_back_holds_up_no_other() {
    let dead = Dead::with(&["1", "no number", "3"]).await;
    for offset in 0..3 {
        dead.fail(Dead::nack(offset, 0, 0)).await;
    }
    let schema = pb::RegisterSchemaRequest {
        name: "numbers".to_owned(),
        r#type: pb::SchemaType::Json.into(),
        definition: r#"{"type":"number"}"#.to_owned(),
        ..Default::default()
    };
    let _: pb::RegisterSchemaResponse = dead.broker.call(schema).await.expect("registered");
    let bind = pb::BindSchemaRequest {
        topic: "orders".to_owned(),
        name: "numbers".to_owned(),
        ..Default::default()
    };
    let _: pb::BindSchemaResponse = dead.broker.call(bind).await.expect("bound");
    let all = pb::ReplayDeadLettersRequest { all: true, ..Default::default() };
    let refused = dead.replay(all).await.expect_err("one is no number");
    assert_eq!((refused.code, refused.metadata["id"].as_str()), (ErrorCode::SchemaValidationFailed, "0-2"));
    assert_eq!(refused.metadata["replayed"], "2");
    let left = dead.list().await;
    assert_eq!(left.iter().map(|one| one.id.as_str()).collect::<Vec<_>>(), ["0-2"]);
}
