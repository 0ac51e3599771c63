//! A batching producer while its broker is killed and comes back.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use flymq_client::{Acks, Client, Deliveries, FetchSpec, NewMessage, ProducerConfig};

use crate::broker::{DEADLINE, Process};

/// How long the broker is away: more than a few quick repeats take. It is the fault, nothing waits for it.
const AWAY: Duration = Duration::from_millis(1_200);
const KILLS: usize = 3;

/// The producer's task, its batches on their way and its reconnects share one task: none may wait for the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_message_of_a_producer_is_stored_although_the_broker_is_away_for_a_while() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut broker = Process::start(dir.path());
    let addr = broker.addr("native").to_string();
    let client = Client::connect(&addr).await.expect("connected");
    let config = ProducerConfig { acks: Acks::All, retries: 20, ..ProducerConfig::default() };
    let producer = client.producer(config);
    let (mut deliveries, mut sent, mut stored) = (Deliveries::default(), 0, 0);
    for _ in 0..KILLS {
        // Until some of these are answered and others are on their way.
        let (until, began) = (stored + 2_000, Instant::now());
        while stored < until {
            let message = NewMessage::value(format!("{sent:07}{}", "x".repeat(300)));
            deliveries.push(producer.send("t", message).await.expect("queued"));
            sent += 1;
            if sent % 100 == 0 {
                let answered = deliveries.take_answered();
                assert_eq!(answered.failed, 0, "{:?}", answered.error);
                stored += answered.stored;
            }
            assert!(began.elapsed() < DEADLINE, "{stored} of {sent} are answered");
        }
        broker.crash();
        std::thread::sleep(AWAY);
        broker = Process::start_with(dir.path(), &[("FLYMQ_BIND_ADDR", &addr)]);
    }
    let rest = tokio::time::timeout(DEADLINE, deliveries.wait()).await.expect("answered in time");
    stored += rest.expect("stored");
    assert_eq!(stored, sent);
    producer.close().await.expect("nothing is left");
    assert_eq!(values(&client).await, (0..sent).collect::<BTreeSet<_>>());
}

/// The numbers of the stored messages; a repeat may have stored one twice.
async fn values(client: &Client) -> BTreeSet<usize> {
    let (mut numbers, mut offset) = (BTreeSet::new(), 0);
    loop {
        let fetched = client.fetch(&FetchSpec::new("t", 0, offset)).await.expect("fetched");
        for message in &fetched.messages {
            let value = &message.value;
            let number = std::str::from_utf8(&value[..7]).ok().and_then(|digits| digits.parse().ok());
            numbers.insert(number.expect("it begins with its number"));
        }
        if fetched.next_offset >= fetched.high_watermark {
            return numbers;
        }
        offset = fetched.next_offset;
    }
}
