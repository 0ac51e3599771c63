//! Consumers of the Rust client, where records are gone and where the network is.

use std::{net::SocketAddr, time::Duration};

use flymq_client::{Client, ConsumerConfig, MemberConfig, OffsetReset, Polled, Rebalance, pb};
use flymq_tests::chaos_proxy::{ChaosProxy, Weather};
use tokio::time::Instant;

use super::{fill, with_topic};
use crate::broker::PATIENCE;

fn group(reset: OffsetReset) -> ConsumerConfig {
    ConsumerConfig::new(["t"], Some("g")).reset(reset)
}

async fn commit(client: &Client, offset: u64) {
    let at =
        pb::PartitionOffset { topic: "t".into(), partition: 0, offset, ..pb::PartitionOffset::default() };
    client.commit("g", vec![at]).await.expect("committed");
}

async fn next_value(client: &Client, reset: OffsetReset) -> Vec<u8> {
    let mut consumer = client.consumer(group(reset)).expect("a consumer");
    let polled = consumer.poll(PATIENCE, 1).await.expect("read");
    consumer.close().await.expect("closed");
    polled.first().expect("in time").value.to_vec()
}

/// Retention has taken what the group would read next.
#[tokio::test]
async fn a_group_whose_offset_is_gone_goes_on_as_it_is_told() {
    let (_broker, client) = with_topic(1).await;
    fill(&client, 6).await;
    commit(&client, 1).await;
    client.delete_records("t", 0, 3).await.expect("deleted");
    assert_eq!(next_value(&client, OffsetReset::Earliest).await, b"v3");
    assert_eq!(client.committed("g", "t").await.expect("offsets")[0].offset, 4);

    // Latest: what comes from now on. It has moved there also where nothing comes before it ends.
    commit(&client, 1).await;
    let mut consumer = client.consumer(group(OffsetReset::Latest)).expect("a consumer");
    let began = Instant::now();
    while client.committed("g", "t").await.expect("offsets")[0].offset != 6 {
        assert!(consumer.poll(Duration::from_millis(50), 1).await.expect("read").is_empty());
        consumer.commit().await.expect("committed");
        assert!(began.elapsed() < PATIENCE, "it has not moved");
    }
    consumer.close().await.expect("closed");
    fill(&client, 1).await;
    assert_eq!(next_value(&client, OffsetReset::Latest).await, b"v0");
}

/// The broker cannot be reached for less than the session, and knows the member all the while: nothing is lost by that.
#[tokio::test]
async fn a_member_keeps_its_partitions_through_an_outage() {
    const SESSION: Duration = Duration::from_secs(9);
    let (broker, direct) = with_topic(1).await;
    let near = SocketAddr::from(([127, 0, 0, 1], 0));
    let proxy = ChaosProxy::start(near, broker.running.native_addr().to_string()).await.expect("a port");
    let client = Client::connect(&proxy.address.to_string()).await.expect("connected");
    let member = MemberConfig { session_timeout: SESSION, ..MemberConfig::default() };
    let config = group(OffsetReset::Earliest).as_member(member);
    let mut consumer = client.consumer(config).expect("a consumer");
    let mut told = Vec::new();
    let began = Instant::now();
    let mut phase = 0;
    while began.elapsed() < SESSION + SESSION * 3 / 4 {
        match consumer.poll_step(Duration::from_millis(100), 1).await {
            Ok(Polled::Rebalance(rebalance)) => told.push(rebalance),
            Ok(Polled::Messages(_)) => {}
            Err(error) => assert!(error.retryable, "{error}"),
        }
        // No answers for a third of a session, then the connections are cut; the broker hears heartbeats until then.
        if phase == 0 && !told.is_empty() && began.elapsed() > SESSION / 2 {
            proxy.set(Weather { stalled: true, ..Weather::default() });
            phase = 1;
        } else if phase == 1 && began.elapsed() > SESSION * 4 / 5 {
            proxy.reset();
            proxy.set(Weather::default());
            phase = 2;
        }
    }
    assert_eq!(phase, 2);
    assert_eq!(told, [Rebalance::Assigned(vec![("t".to_owned(), 0)])]);
    fill(&direct, 1).await;
    let read = consumer.poll(PATIENCE, 1).await.expect("read");
    assert_eq!(&read[0].value[..], b"v0");
}
