//! The Rust client, which stands under every SDK, with the real broker behind it.

mod consumer;
mod control;
mod listener;
mod once;
mod placement;
mod queue;

use flymq_client::{Acks, Client, NewMessage};

use crate::broker::{TestBroker, start};

/// A broker with a topic `t` of `partitions`, and a client of it.
async fn with_topic(partitions: i32) -> (TestBroker, Client) {
    let broker = start().await;
    let client = connect(&broker).await;
    client.create_topic("t", partitions).await.expect("a topic");
    (broker, client)
}

async fn connect(broker: &TestBroker) -> Client {
    Client::connect(&broker.running.native_addr().to_string()).await.expect("connected")
}

/// Sends `v0`, `v1`, ... to the first partition of `t`.
async fn fill(client: &Client, count: usize) {
    let messages = (0..count).map(|n| NewMessage::value(format!("v{n}")).to_partition(0)).collect();
    client.produce_batch("t", messages, Acks::default()).await.expect("stored");
}
