//! Queue mode of the Rust client (docs/dead-letters.md).

use std::time::Duration;

use bytes::Bytes;
use flymq_client::{
    Client, ErrorCode, FetchSpec, Held, Position, QueueConfig, QueueConsumer,
    pb::{self, AckKind},
};

use super::{fill, with_topic};
use crate::broker::PATIENCE;

fn queue(client: &Client, change: impl FnOnce(&mut QueueConfig)) -> QueueConsumer {
    let mut config = QueueConfig::new("t", "g");
    change(&mut config);
    client.queue(config).expect("a queue")
}

async fn some(queue: &QueueConsumer, max: u32) -> Vec<Held> {
    queue.acquire(PATIENCE, max).await.expect("acquired")
}

fn values(held: &[Held]) -> Vec<&[u8]> {
    held.iter().map(|one| &one.message.value[..]).collect()
}

fn position(held: &Held) -> Position {
    (held.message.partition, held.message.offset)
}

/// Values of the first `count` dead letters, by their offsets.
async fn dead_letters(client: &Client, count: usize) -> Vec<Bytes> {
    let spec = FetchSpec::new("t.dlq", 0, 0);
    let letters = client.fetch(&spec).await.expect("dead letters").messages;
    assert_eq!(letters.len(), count);
    letters.into_iter().map(|letter| letter.value).collect()
}

/// A reader closes while a handler of its own answers for one of its messages. That is no failure, and the others are given back all
/// the same.
#[tokio::test]
async fn what_is_answered_for_meanwhile_does_not_keep_a_reader_from_closing() {
    let (_broker, client) = with_topic(1).await;
    fill(&client, 3).await;
    let reader = queue(&client, |_| ());
    assert_eq!(some(&reader, 3).await.len(), 3);
    let answer = pb::AcknowledgeRequest {
        group: "g".into(),
        topic: "t".into(),
        offsets: vec![0],
        kind: AckKind::Accept.into(),
        member_id: reader.member_id().to_owned(),
        ..pb::AcknowledgeRequest::default()
    };
    client.call::<_, pb::AcknowledgeResponse>("Acknowledge", &answer).await.expect("accepted");
    reader.close().await.expect("gives back what it holds");
    let again = some(&queue(&client, |_| ()), 3).await;
    assert_eq!(values(&again), [b"v1", b"v2"]);
    assert!(again.iter().all(|held| held.delivery_count == 1), "given back, not failed: {again:?}");
    reader.close().await.expect("a second time: nothing is held");
}

#[tokio::test]
async fn each_answer_does_what_it_says() {
    let (_broker, client) = with_topic(1).await;
    fill(&client, 5).await;
    let reader = queue(&client, |config| {
        config.max_retries = Some(1);
        config.retry_delay = Some(Duration::ZERO);
    });
    let held = some(&reader, 5).await;
    assert_eq!(values(&held), [b"v0", b"v1", b"v2", b"v3", b"v4"]);
    reader.accept(&[position(&held[0]), position(&held[4])]).await.expect("accepted");
    reader.release(&[position(&held[1])]).await.expect("released");
    let failed = reader.nack(position(&held[2]), "not now").await.expect("failed");
    assert_eq!((failed.attempts, failed.dead_lettered), (1, false));
    reader.reject(&[position(&held[3])], "never").await.expect("rejected");

    let mut again = Vec::new();
    while again.len() < 2 {
        again.extend(some(&reader, 2).await);
    }
    again.sort_by_key(position);
    assert_eq!(values(&again), [b"v1", b"v2"]);
    assert_eq!([again[0].delivery_count, again[1].delivery_count], [1, 2], "a release is no failure");
    reader.accept(&[position(&again[0])]).await.expect("accepted");
    assert!(reader.nack(position(&again[1]), "never").await.expect("failed").dead_lettered);
    let gone = reader.accept(&[position(&again[1])]).await.expect_err("it is a dead letter");
    assert_eq!(gone.code, ErrorCode::RecordNotHeld, "{gone}");

    assert_eq!(dead_letters(&client, 2).await, ["v3", "v2"]);
    assert!(reader.acquire(Duration::ZERO, 5).await.expect("none").is_empty());
}

/// A lock that nobody extends ends, and counts as a failure; what is held on is not handed out again.
#[tokio::test]
async fn locks_end_unless_they_are_extended() {
    let (_broker, client) = with_topic(1).await;
    fill(&client, 2).await;
    let works = queue(&client, |config| config.lock = Duration::from_secs(1));
    let forgets = queue(&client, |config| {
        config.lock = Duration::from_secs(1);
        config.hold = Duration::ZERO;
    });
    let held = some(&works, 1).await;
    assert_eq!(values(&some(&forgets, 1).await), [b"v1"]);
    let other = queue(&client, |_| ());
    let again = some(&other, 2).await;
    assert_eq!(values(&again), [b"v1"], "the first is held on");
    assert_eq!(again[0].delivery_count, 2);
    works.accept(&[position(&held[0])]).await.expect("still held");
}
