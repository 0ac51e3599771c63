//! Which partition takes a message that names none and has no key.

use std::collections::BTreeSet;

use flymq_client::{Acks, NewMessage, ProducerConfig};

use super::{connect, with_topic};

/// As many short programs do: connect, send one message, end. They must not all write to the same partition.
#[tokio::test]
async fn the_first_messages_of_many_clients_go_to_many_partitions() {
    let (broker, _client) = with_topic(8).await;
    let (mut sent, mut batched) = (BTreeSet::new(), BTreeSet::new());
    // All 24 go to one of 8 partitions by chance once in 8^23 runs.
    for n in 0..24 {
        let client = connect(&broker).await;
        let stored = client.produce("t", NewMessage::value(format!("{n}"))).await.expect("stored");
        sent.insert(stored.partition);
        let producer = connect(&broker).await.producer(ProducerConfig::default());
        let delivery = producer.send("t", NewMessage::value(format!("{n}"))).await.expect("taken");
        batched.insert(delivery.await.expect("stored").partition);
    }
    assert!(sent.len() > 1, "all of `produce` went to {sent:?}");
    assert!(batched.len() > 1, "all of the batching producers' went to {batched:?}");
}

/// One client's batches go to all partitions in turn.
#[tokio::test]
async fn the_batches_of_one_client_take_turns() {
    let (_broker, client) = with_topic(4).await;
    let mut taken = BTreeSet::new();
    for n in 0..4 {
        let batch = vec![NewMessage::value(format!("{n}"))];
        let stored = client.produce_batch("t", batch, Acks::default()).await.expect("stored");
        taken.extend(stored.iter().map(|one| one.partition));
    }
    assert_eq!(taken.len(), 4, "{taken:?}");
}
