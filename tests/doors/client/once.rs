//! Calls that store and wait: each message is there once (docs/transactions.md).

use std::net::SocketAddr;

use flymq_client::{Acks, Client, ClientError, FetchSpec, NewMessage, RecordMetadata};
use flymq_tests::chaos_proxy::{ChaosProxy, Weather};
use futures::future::join_all;

use super::{connect, with_topic};
use crate::broker::eventually;

async fn values(client: &Client, partition: i32) -> Vec<Vec<u8>> {
    let fetched = client.fetch(&FetchSpec::new("t", partition, 0)).await.expect("read");
    fetched.messages.into_iter().map(|message| message.value.to_vec()).collect()
}

/// Its answers get lost behind the append, and the connection with them.
#[tokio::test]
async fn a_lost_answer_is_no_failure_and_doubles_nothing() {
    let (broker, direct) = with_topic(1).await;
    let near = SocketAddr::from(([127, 0, 0, 1], 0));
    let target = broker.running.native_addr().to_string();
    let proxy = ChaosProxy::start(near, target).await.expect("a port");
    let client = Client::connect(&proxy.address.to_string()).await.expect("connected");
    client.produce("t", NewMessage::value("0")).await.expect("nothing is broken yet");
    for round in 1..4 {
        proxy.set(Weather { stalled: true, ..Weather::default() });
        let waits = tokio::spawn({
            let client = client.clone();
            let messages =
                vec![NewMessage::value(format!("{round}a")), NewMessage::value(format!("{round}b"))];
            async move { client.produce_batch("t", messages, Acks::All).await }
        });
        let stored = 1 + 2 * round;
        eventually("it is stored", async || values(&direct, 0).await.len() == stored).await;
        proxy.reset();
        proxy.set(Weather::default());
        let told: Result<Vec<RecordMetadata>, ClientError> = waits.await.expect("no panic");
        let offsets: Vec<u64> = told.expect("it is stored").iter().map(|one| one.offset).collect();
        assert_eq!(offsets, [stored as u64 - 2, stored as u64 - 1], "where it was stored the first time");
    }
    assert_eq!(values(&direct, 0).await, [&b"0"[..], b"1a", b"1b", b"2a", b"2b", b"3a", b"3b"]);
}

/// No call waits for another one's answer, and none takes another one's number.
#[tokio::test]
async fn many_calls_at_once_are_all_stored() {
    let (_broker, client) = with_topic(2).await;
    for round in 0..3 {
        let calls =
            (0..40).map(|n| client.produce("t", NewMessage::keyed(format!("k{n}"), format!("{round}/{n}"))));
        join_all(calls).await.into_iter().for_each(|stored| drop(stored.expect("stored")));
    }
    let mut all = [values(&client, 0).await, values(&client, 1).await].concat();
    assert_eq!(all.len(), 120);
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 120);
}

/// What the client remembers of a topic is old: the topic was deleted, and made anew with fewer partitions.
#[tokio::test]
async fn a_topic_that_was_made_anew_takes_messages_at_once() {
    let (broker, client) = with_topic(8).await;
    let sends = |n: usize| client.produce("t", NewMessage::keyed(format!("k{n}"), "v"));
    for n in 0..16 {
        sends(n).await.expect("stored");
    }
    let other = connect(&broker).await;
    other.delete_topic("t").await.expect("deleted");
    other.create_topic("t", 1).await.expect("made anew");
    for n in 0..16 {
        let stored = sends(n).await.expect("stored");
        assert_eq!((stored.partition, stored.offset), (0, n as u64));
    }
}
