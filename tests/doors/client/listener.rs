//! Listeners of the Rust client: what stands under every handler that is called with each message (docs/dead-letters.md).

use std::{collections::BTreeMap, time::Duration};

use flymq_client::{Client, ConsumerConfig, Listener, OffsetReset, RetryPolicy};

use super::{connect, fill, with_topic};
use crate::broker::{PATIENCE, eventually};

fn listener(client: &Client, policy: RetryPolicy) -> Listener {
    let config = ConsumerConfig::new(["t"], Some("g")).reset(OffsetReset::Earliest);
    client.listener(config, policy).expect("a listener")
}

fn at_once(max_retries: u32) -> RetryPolicy {
    RetryPolicy { max_retries: Some(max_retries), retry_delay: Some(Duration::ZERO) }
}

/// What fails is redelivered while the others go on, and a dead letter in the end.
#[tokio::test]
async fn what_fails_comes_again_and_is_a_dead_letter_in_the_end() {
    let (_broker, client) = with_topic(1).await;
    fill(&client, 4).await;
    let mut listener = listener(&client, at_once(1));
    let mut seen: BTreeMap<Vec<u8>, Vec<u32>> = BTreeMap::new();
    while seen.values().map(Vec::len).sum::<usize>() < 6 {
        let work = listener.next(PATIENCE).await.expect("read").expect("in time");
        let value = work.message.value.to_vec();
        let deliveries = seen.entry(value.clone()).or_default();
        deliveries.push(work.delivery_count);
        match &value[..] {
            b"v1" if deliveries.len() == 1 => drop(listener.failed("not now").await.expect("failed")),
            b"v2" => {
                let failed = listener.failed("never").await.expect("failed");
                assert_eq!(failed.dead_lettered, deliveries.len() == 2);
            }
            _ => listener.done().await.expect("done"),
        }
    }
    assert_eq!(seen[&b"v0"[..]], [1]);
    assert_eq!(seen[&b"v1"[..]], [1, 2]);
    assert_eq!(seen[&b"v2"[..]], [1, 2]);
    assert_eq!(seen[&b"v3"[..]], [1]);
    assert_eq!(&client.consume("t.dlq", 0, 0).await.expect("a dead letter").value[..], b"v2");
    listener.close().await.expect("closed");
    let committed = client.committed("g", "t").await.expect("offsets");
    assert_eq!(committed[0].offset, 4);
}

/// What was not answered for when a listener closes comes to the next one, as if it was never handed out.
#[tokio::test]
async fn an_unanswered_message_goes_to_the_next_member() {
    let (broker, client) = with_topic(1).await;
    fill(&client, 2).await;
    let mut first = listener(&client, at_once(1));
    let work = first.next(PATIENCE).await.expect("read").expect("in time");
    assert_eq!(&work.message.value[..], b"v0");
    first.close().await.expect("closed");
    let mut second = listener(&connect(&broker).await, at_once(1));
    let mut values = Vec::new();
    eventually("both messages", async || {
        if let Some(work) = second.next(Duration::from_millis(200)).await.expect("read") {
            assert_eq!(work.delivery_count, 1);
            values.push(work.message.value);
            second.done().await.expect("done");
        }
        values.len() == 2
    })
    .await;
    assert_eq!(values, [&b"v0"[..], &b"v1"[..]]);
}
