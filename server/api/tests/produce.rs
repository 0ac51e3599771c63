//! Producing through the whole stack.

mod common;

use bytes::Bytes;
use common::{TestBroker, assert_refused, record, texts};
use flymq_api::{ErrorCode, pb};
use flymq_types::partition_for_key;
use flymq_wire::batch::{BatchBuilder, BatchFlags, HEADER_LEN, NewRecord, ProducerFields};

fn batch(values: &[&str]) -> Bytes {
    let mut builder = BatchBuilder::new();
    for value in values {
        let record =
            NewRecord { value: Some(value.as_bytes()), timestamp: 1_700_000_000_000, ..NewRecord::default() };
        builder.push(&record).expect("small");
    }
    builder.build().expect("not empty")
}

#[tokio::test]
async fn keys_choose_the_partition_and_metadata_comes_in_request_order() {
    let broker = TestBroker::start().await;
    broker.create("orders", 3).await;
    let keys = ["a", "b", "c", "d", "a", "b"];
    let records = keys.iter().enumerate().map(|(i, key)| record(key, &i.to_string())).collect();
    let done = broker.produce("orders", None, records).await.expect("produced");
    assert_eq!((done.record_count, done.records.len()), (6, 6));
    for (i, (key, meta)) in keys.iter().zip(&done.records).enumerate() {
        assert_eq!(meta.partition as u32, partition_for_key(key.as_bytes(), 3).get(), "{key}");
        assert_eq!((meta.key_size, meta.value_size, meta.topic.as_str()), (1, 1, "orders"));
        let found = broker.fetch("orders", meta.partition, meta.offset).await.expect("readable");
        assert_eq!(texts(&found.records[..1]), [i.to_string()]);
        assert_eq!(found.records[0].offset, meta.offset);
    }
}

#[tokio::test]
async fn records_without_key_take_partitions_in_turn_per_request() {
    let broker = TestBroker::start().await;
    broker.create("t", 3).await;
    let mut seen = Vec::new();
    for _ in 0..6 {
        let done = broker.produce("t", None, vec![record("", "x"), record("", "y")]).await.expect("produced");
        assert_eq!(done.records[0].partition, done.records[1].partition, "a request's records stay together");
        assert_eq!(done.records[1].offset, done.records[0].offset + 1);
        seen.push(done.partition);
    }
    assert_eq!(seen, [0, 1, 2, 0, 1, 2]);
}

#[tokio::test]
async fn every_part_of_a_record_comes_back() {
    let broker = TestBroker::start().await;
    let headers = vec![
        pb::Header { name: "trace".to_owned(), value: Bytes::from_static(b"\x00\xff") },
        pb::Header { name: "trace".to_owned(), value: Bytes::new() },
    ];
    let full = pb::Record { timestamp_ms: 1_234, headers: headers.clone(), ..record("k", "v") };
    let tombstone = pb::Record { tombstone: true, timestamp_ms: 99, ..record("k", "") };
    let text = pb::Record {
        key_text: Some("schlüssel".to_owned()),
        value_text: Some("wert".to_owned()),
        ..Default::default()
    };
    broker.produce("auto", Some(0), vec![full, tombstone, text]).await.expect("the topic is created");
    let request = pb::FetchRequest { topic: "auto".to_owned(), text: true, ..Default::default() };
    let page: pb::FetchResponse = broker.call(request).await.expect("fetched");
    let [full, tombstone, text] = &page.records[..] else { panic!("{} records", page.records.len()) };
    assert_eq!((full.timestamp_ms, &full.headers), (1_234, &headers));
    assert_eq!((full.key.as_deref(), &full.value[..]), (Some(&b"k"[..]), &b"v"[..]));
    assert!(tombstone.tombstone && tombstone.value.is_empty() && tombstone.value_text.is_none());
    assert!(!full.tombstone);
    assert_eq!((text.key_text.as_deref(), text.value_text.as_deref()), (Some("schlüssel"), Some("wert")));
    assert!(text.timestamp_ms > 1_700_000_000_000, "a record without time gets the broker's");
    assert_eq!((page.next_offset, page.high_watermark, page.log_end_offset), (3, 3, 3));
}

#[tokio::test]
async fn a_ready_batch_goes_through_untouched() {
    let broker = TestBroker::start().await;
    broker.create("t", 2).await;
    let sent = batch(&["one", "two"]);
    let request = pb::ProduceRequest {
        topic: "t".to_owned(),
        partition: Some(1),
        acks: pb::Acks::All.into(),
        batch: sent.clone(),
        ..Default::default()
    };
    let done: pb::ProduceResponse = broker.call(request).await.expect("produced");
    assert_eq!((done.partition, done.base_offset, done.record_count), (1, 0, 2));
    let request =
        pb::FetchRequest { topic: "t".to_owned(), partition: 1, batches: true, ..Default::default() };
    let page: pb::FetchResponse = broker.call(request).await.expect("fetched");
    assert!(page.records.is_empty());
    assert_eq!(page.batches.len(), 1);
    assert_eq!(page.batches[0][HEADER_LEN..], sent[HEADER_LEN..], "the payload is the producer's");
}

#[tokio::test]
async fn bad_requests_are_refused_with_facts() {
    let broker = TestBroker::start().await;
    broker.create("t", 2).await;
    let ok =
        pb::ProduceRequest { topic: "t".to_owned(), records: vec![record("", "v")], ..Default::default() };
    let with = |change: fn(&mut pb::ProduceRequest)| {
        let mut request = ok.clone();
        change(&mut request);
        request
    };
    let cases: Vec<(pb::ProduceRequest, ErrorCode, &str)> = vec![
        (with(|r| r.topic = "../etc".to_owned()), ErrorCode::InvalidArgument, "field"),
        (with(|r| r.topic = "x".repeat(250)), ErrorCode::InvalidArgument, "field"),
        (with(|r| r.topic = "a\u{7}".to_owned()), ErrorCode::InvalidArgument, "field"),
        (with(|r| r.partition = Some(-1)), ErrorCode::InvalidArgument, "partition"),
        (with(|r| r.partition = Some(2)), ErrorCode::PartitionNotFound, "partitions"),
        (with(|r| r.partition = Some(i32::MAX)), ErrorCode::PartitionNotFound, "partitions"),
        (with(|r| r.acks = 17), ErrorCode::InvalidArgument, "field"),
        (with(|r| r.records.clear()), ErrorCode::InvalidArgument, "field"),
        (with(|r| r.batch = Bytes::from_static(b"x")), ErrorCode::InvalidArgument, "field"),
        (with(|r| r.ttl_ms = -5), ErrorCode::InvalidArgument, "field"),
        (with(|r| r.schema = "s".to_owned()), ErrorCode::SchemaNotFound, "schema"),
        (with(|r| r.records[0].expires_at_ms = -5), ErrorCode::InvalidArgument, "field"),
        (with(|r| r.records[0].tombstone = true), ErrorCode::InvalidArgument, "field"),
        (with(|r| r.records[0].value = vec![0; (16 << 20) + 1].into()), ErrorCode::RecordTooLarge, "limit"),
        (
            with(|r| r.records[0].headers = vec![pb::Header::default(); 1_001]),
            ErrorCode::InvalidArgument,
            "field",
        ),
    ];
    for (request, code, fact) in cases {
        assert_refused(broker.call::<_, pb::ProduceResponse>(request).await, code, fact);
    }
    let page = broker.fetch("t", 0, 0).await.expect("readable");
    assert_eq!(page.log_end_offset, 0, "nothing was stored");
}

#[tokio::test]
async fn bad_batches_are_refused() {
    let broker = TestBroker::start().await;
    let flagged = |flags, producer: Option<ProducerFields>| {
        let mut builder = BatchBuilder::new();
        builder.push(&NewRecord { value: Some(b"v"), ..NewRecord::default() }).expect("small");
        builder.add_flags(flags);
        if let Some(producer) = producer {
            builder.set_producer(producer);
        }
        builder.build().expect("one record")
    };
    let mut damaged = batch(&["value"]).to_vec();
    *damaged.last_mut().expect("bytes") ^= 1;
    let idempotent = ProducerFields { id: 7, epoch: 0, base_sequence: 0 };
    let cases = [
        (Bytes::from_static(b"garbage"), ErrorCode::Protocol),
        (batch(&["v"]).slice(..HEADER_LEN + 2), ErrorCode::Protocol),
        (damaged.into(), ErrorCode::CorruptBatch),
        (flagged(BatchFlags::TRANSACTIONAL, None), ErrorCode::InvalidArgument),
        (flagged(BatchFlags::CONTROL, None), ErrorCode::Protocol),
        (flagged(BatchFlags::empty(), Some(idempotent)), ErrorCode::InvalidArgument),
        (vec![0; 33 << 20].into(), ErrorCode::FrameTooLarge),
    ];
    for (batch, code) in cases {
        let request = pb::ProduceRequest { topic: "t".to_owned(), batch, ..Default::default() };
        assert_refused(broker.call::<_, pb::ProduceResponse>(request).await, code, "");
    }
}

#[tokio::test]
async fn expired_records_are_never_returned() {
    let broker = TestBroker::start().await;
    let mut request = pb::ProduceRequest {
        topic: "t".to_owned(),
        partition: Some(0),
        records: vec![record("", "gone"), record("", "lives")],
        // What is read below has to be on the disk.
        acks: pb::Acks::All.into(),
        ..Default::default()
    };
    request.records[0].expires_at_ms = 1;
    broker.call::<_, pb::ProduceResponse>(request.clone()).await.expect("stored");
    request.records[0].expires_at_ms = 0;
    request.ttl_ms = 60_000;
    broker.call::<_, pb::ProduceResponse>(request).await.expect("stored");
    let page = broker.fetch("t", 0, 0).await.expect("readable");
    let offsets: Vec<u64> = page.records.iter().map(|record| record.offset).collect();
    assert_eq!(offsets, [1, 2, 3]);
    assert!(page.records[0].expires_at_ms == 0 && page.records[1].expires_at_ms > 0);
}
