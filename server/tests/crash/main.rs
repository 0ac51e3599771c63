//! `kill -9` under load, again and again: nothing acknowledged is lost, and no offset is used twice.
//!
//! `FLYMQ_TEST_CRASH_CYCLES` says how often (`make crash`: 200).

#[path = "../common/broker.rs"]
#[allow(dead_code)]
mod broker;
mod ledger;
mod writers;

use std::time::{Duration, Instant};

use broker::Process;
use flymq_client::{Acks, Client, FetchSpec};
use ledger::Ledger;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use writers::{TOPIC, WRITERS, write_until_it_breaks};

const PARTITIONS: i32 = 3;
/// Every so many cycles all records are read again, else the new ones and the last known of each partition.
const FULL_READ: u32 = 20;
/// How long a broker lives under load before it is killed.
const LIFE_MS: std::ops::Range<u64> = 20..250;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost() {
    let cycles: u32 = std::env::var("FLYMQ_TEST_CRASH_CYCLES").ok().and_then(|n| n.parse().ok()).unwrap_or(5);
    let seed = std::env::var("FLYMQ_TEST_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    let mut rng = StdRng::seed_from_u64(seed);
    let dir = tempfile::tempdir().expect("a directory");
    let mut ledger = Ledger::new(PARTITIONS);
    let began = Instant::now();
    for cycle in 0..cycles {
        let broker = Process::start(dir.path());
        let client = connect(&broker).await;
        if cycle == 0 {
            client.create_topic(TOPIC, PARTITIONS).await.expect("created");
        }
        read_back(&client, &mut ledger, cycle % FULL_READ == 0).await;
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let acks = if writer % 2 == 0 { Acks::All } else { Acks::Leader };
                tokio::spawn(write_until_it_breaks(client.clone(), cycle, writer, acks))
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(rng.random_range(LIFE_MS))).await;
        broker.crash();
        client.close();
        for writer in writers {
            ledger.acknowledged(writer.await.expect("a writer ends without panic"));
        }
    }
    let broker = Process::start(dir.path());
    read_back(&connect(&broker).await, &mut ledger, true).await;
    let (acked, read) = ledger.counts();
    println!(
        "{cycles} kills in {:.1?}: {acked} acknowledged, {read} read, lost 0, offsets reused 0",
        began.elapsed()
    );
    assert!(acked > u64::from(cycles), "the load was no load: {acked} acknowledged");
}

async fn connect(broker: &Process) -> Client {
    Client::connect(&broker.addr("native").to_string()).await.expect("the broker is ready")
}

/// Reads what is new, or everything, and holds it against what was read and acknowledged before.
async fn read_back(client: &Client, ledger: &mut Ledger, everything: bool) {
    for partition in 0..PARTITIONS {
        let begin = if everything { 0 } else { ledger.known(partition) };
        let mut spec = FetchSpec::new(TOPIC, partition, begin);
        spec.max_messages = 100_000;
        spec.max_bytes = 8 << 20;
        loop {
            let page = client.fetch(&spec).await.expect("readable");
            let end = page.messages.is_empty();
            for message in page.messages {
                ledger.read(partition, message.offset, &message.value);
            }
            spec.offset = page.next_offset;
            if end {
                break;
            }
        }
        ledger.complete(partition, spec.offset);
    }
}
