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

async fn write(broker: &TestBroker, transaction_id: &str, value: &str) -> Result<(), BrokerError> {
    let record = pb::Record { value: Bytes::copy_from_slice(value.as_bytes()), ..pb::Record::default() };
    let request = pb::ProduceInTransactionRequest {
        transaction_id: transaction_id.to_owned(),
        topic: "t".to_owned(),
        partition: Some(0),
        records: vec![record],
        ..Default::default()
    };
    let stored: pb::ProduceInTransactionResponse = broker.call(request).await?;
    assert_eq!(stored.records.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_transaction_of_single_records_is_read_when_it_is_committed() {
    let broker = TestBroker::start().await;
    let (transactional_id, timeout) = ("payments".to_owned(), 60_000);
    let init = pb::InitProducerRequest { transactional_id, transaction_timeout_ms: timeout };
    let producer: pb::InitProducerResponse = broker.call(init).await.expect("an id");
    let begin = pb::BeginTransactionRequest {
        transactional_id: "payments".to_owned(),
        producer_id: producer.producer_id,
        producer_epoch: producer.producer_epoch,
        ..Default::default()
    };
    let begun: pb::BeginTransactionResponse = broker.call(begin.clone()).await.expect("begun");
    let again: pb::BeginTransactionResponse = broker.call(begin.clone()).await.expect("the same");
    assert_eq!(begun, again);
    write(&broker, &begun.transaction_id, "a").await.expect("stored");
    assert_refused(
        broker.call::<_, pb::BeginTransactionResponse>(begin).await,
        ErrorCode::TransactionState,
        "why",
    );
    assert!(broker.fetch("t", 0, 0).await.expect("readable").records.is_empty());
    let listed: pb::ListTransactionsResponse =
        broker.call(pb::ListTransactionsRequest {}).await.expect("listed");
    assert_eq!(listed.transactions.len(), 1);
    assert_eq!(listed.transactions[0].partitions[0].topic, "t");
    let commit =
        pb::CommitTransactionRequest { transaction_id: begun.transaction_id.clone(), producer_epoch: 0 };
    let committed: pb::CommitTransactionResponse = broker.call(commit).await.expect("committed");
    assert_eq!(committed.producer_epoch, begun.producer_epoch + 1);
    assert_eq!(texts(&broker.fetch("t", 0, 0).await.expect("readable").records), ["a"]);
    let late = write(&broker, &begun.transaction_id, "late").await;
    assert_refused(late, ErrorCode::TransactionState, "transactional_id");
}

#[tokio::test]
async fn a_transaction_without_a_name_gets_one_of_its_own() {
    let broker = TestBroker::start().await;
    let begin = pb::BeginTransactionRequest::default;
    let first: pb::BeginTransactionResponse = broker.call(begin()).await.expect("begun");
    let other: pb::BeginTransactionResponse = broker.call(begin()).await.expect("begun");
    assert_ne!(first.producer_id, other.producer_id);
    write(&broker, &first.transaction_id, "a").await.expect("stored");
    write(&broker, &other.transaction_id, "b").await.expect("stored");
    for begun in [first, other] {
        let abort = pb::AbortTransactionRequest { transaction_id: begun.transaction_id, producer_epoch: 0 };
        broker.call::<_, pb::AbortTransactionResponse>(abort).await.expect("aborted");
    }
    assert!(broker.fetch("t", 0, 0).await.expect("readable").records.is_empty());
    let named = pb::BeginTransactionRequest { transactional_id: "__taken".to_owned(), ..begin() };
    let refused = broker.call::<_, pb::BeginTransactionResponse>(named).await;
    assert_refused(refused, ErrorCode::InvalidArgument, "field");
    let unnamed = pb::BeginTransactionRequest { producer_id: 7, ..begin() };
    let refused = broker.call::<_, pb::BeginTransactionResponse>(unnamed).await;
    assert_refused(refused, ErrorCode::InvalidArgument, "field");
    let timeout = pb::InitProducerRequest { transaction_timeout_ms: 5, ..Default::default() };
    assert_refused(
        broker.call::<_, pb::InitProducerResponse>(timeout).await,
        ErrorCode::InvalidArgument,
        "field",
    );
}
