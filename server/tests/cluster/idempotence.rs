//! Idempotent producers while leaders die: every message is stored once, in its order.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use flymq_client::{Client, Deliveries, FetchSpec, NewMessage, ProducerConfig};

use crate::{
    clients::{native, runtime},
    nodes::{Cluster, eventually},
};

const PARTITIONS: u64 = 3;

/// Sends numbered messages to the partitions in turn until it is told to stop; all are acknowledged in the end.
async fn produce(client: Client, stop: Arc<AtomicBool>, sent: Arc<AtomicU64>) {
    let config = ProducerConfig {
        enable_idempotence: true,
        linger: Duration::from_millis(2),
        retries: 1_000,
        ..ProducerConfig::default()
    };
    let producer = client.producer(config);
    let mut deliveries = Deliveries::default();
    while !stop.load(Ordering::Relaxed) {
        let n = sent.fetch_add(1, Ordering::Relaxed);
        let partition = i32::try_from(n % PARTITIONS).expect("few");
        let message = NewMessage::value(n.to_string()).to_partition(partition);
        deliveries.push(producer.send("t", message).await.expect("queued"));
        // As fast as the slowest partition: the buffer is not what is tested.
        if n.is_multiple_of(50) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    producer.flush().await.expect("everything is acknowledged");
    deliveries.wait().await.expect("each by itself, too");
}

async fn stored(client: &Client, partition: u64) -> Vec<u64> {
    let partition = i32::try_from(partition).expect("few");
    let (mut offset, mut values) = (0, Vec::new());
    loop {
        let page = client.fetch(&FetchSpec::new("t", partition, offset)).await.expect("readable");
        let number = |value: &[u8]| String::from_utf8_lossy(value).parse::<u64>().expect("a number");
        values.extend(page.messages.iter().map(|message| number(&message.value)));
        if page.next_offset == offset {
            return values;
        }
        offset = page.next_offset;
    }
}

#[test]
fn leaders_die_and_nothing_is_stored_twice_or_out_of_order() {
    let mut cluster = Cluster::start(3);
    cluster.create_topic("t", 3);
    (0..3).for_each(|partition| cluster.in_sync("t", partition, 3));
    let runtime = runtime();
    let client = runtime.block_on(Client::with_config(native(&cluster, 0))).expect("connected");
    let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let producing = runtime.spawn(produce(client.clone(), Arc::clone(&stop), Arc::clone(&sent)));
    let some_more = || {
        let now = sent.load(Ordering::Relaxed);
        eventually("it sends", || (sent.load(Ordering::Relaxed) > now + 500).then_some(()));
    };
    for round in 0..3 {
        some_more();
        let leader = cluster.leader("t", round);
        cluster.kill(leader);
        assert_ne!(cluster.leader("t", round), leader);
        some_more();
        cluster.restart(leader);
        (0..3).for_each(|partition| cluster.in_sync("t", partition, 3));
    }
    stop.store(true, Ordering::Relaxed);
    runtime.block_on(producing).expect("no panic");
    let sent = sent.load(Ordering::Relaxed);
    for partition in 0..PARTITIONS {
        let wanted: Vec<u64> = (0..sent).filter(|n| n % PARTITIONS == partition).collect();
        let found = runtime.block_on(stored(&client, partition));
        let apart = wanted.iter().zip(&found).position(|(wanted, found)| wanted != found);
        assert!(found == wanted, "{} of {}, apart at {apart:?}", found.len(), wanted.len());
    }
}
