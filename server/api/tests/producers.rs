//! Idempotent producers through the whole stack.

mod common;

use bytes::Bytes;
use common::{TestBroker, assert_refused, texts};
use flymq_api::{BrokerError, ErrorCode, pb};
use flymq_wire::batch::{BatchBuilder, NewRecord, ProducerFields};

fn batch(id: u64, epoch: u16, base_sequence: i32, value: &str) -> Bytes {
    let mut builder = BatchBuilder::new();
    builder.set_producer(ProducerFields { id, epoch, base_sequence });
    builder.push(&NewRecord { value: Some(value.as_bytes()), ..NewRecord::default() }).expect("small");
    builder.build().expect("one record")
}

async fn send(broker: &TestBroker, batch: Bytes) -> Result<pb::ProduceResponse, BrokerError> {
    let (topic, partition, acks) = ("t".to_owned(), Some(0), pb::Acks::All.into());
    broker.call(pb::ProduceRequest { topic, partition, acks, batch, ..Default::default() }).await
}

#[tokio::test]
async fn a_new_producer_gets_an_id_of_its_own_and_its_batches_are_stored_once() {
    let broker = TestBroker::start().await;
    let init = pb::InitProducerRequest::default;
    let first: pb::InitProducerResponse = broker.call(init()).await.expect("an id");
    let other: pb::InitProducerResponse = broker.call(init()).await.expect("an id");
    assert!(first.producer_id > 0 && first.producer_id != other.producer_id);
    assert_eq!((first.producer_epoch, other.producer_epoch), (0, 0));
    let id = first.producer_id;
    let stored = send(&broker, batch(id, 0, 0, "a")).await.expect("stored");
    let again = send(&broker, batch(id, 0, 0, "a")).await.expect("stored before");
    assert_eq!(stored, again);
    send(&broker, batch(id, 0, 1, "b")).await.expect("stored");
    let page = broker.fetch("t", 0, 0).await.expect("readable");
    assert_eq!(texts(&page.records), ["a", "b"]);

    assert_refused(
        send(&broker, batch(id, 0, 4, "e")).await,
        ErrorCode::OutOfOrderSequence,
        "expected_sequence",
    );
    assert_refused(send(&broker, batch(9_999, 0, 4, "e")).await, ErrorCode::UnknownProducer, "producer_id");
    send(&broker, batch(id, 1, 0, "c")).await.expect("a new epoch");
    assert_refused(send(&broker, batch(id, 0, 2, "d")).await, ErrorCode::ProducerFenced, "current_epoch");
    assert_refused(send(&broker, batch(id, 1, -1, "d")).await, ErrorCode::Protocol, "");
}

#[tokio::test]
async fn transactions_are_not_built() {
    let broker = TestBroker::start().await;
    let request = pb::InitProducerRequest { transactional_id: "payments".to_owned(), ..Default::default() };
    let refused = broker.call::<_, pb::InitProducerResponse>(request).await;
    assert_refused(refused, ErrorCode::Unimplemented, "feature");
}
