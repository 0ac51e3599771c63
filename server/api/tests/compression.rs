//! Compressed batches: stored and served as sent, opened only for readers of single records.

mod common;

use bytes::Bytes;
use common::{TestBroker, assert_refused, context, texts};
use flymq_api::{BrokerError, ErrorCode, pb};
use flymq_types::{Compression, InflateLimits};
use flymq_wire::batch::{BatchBuilder, BatchHeader, HEADER_LEN, NewRecord, records};
use flymq_wire::compress::{ALL, compress};
use futures::StreamExt as _;

fn lines(count: usize) -> BatchBuilder {
    let mut builder = BatchBuilder::new();
    for n in 0..count {
        let value = format!("{{\"id\":{n},\"name\":\"airport {n}\"}}");
        let record = NewRecord {
            key: Some(b"k"),
            value: Some(value.as_bytes()),
            timestamp: 1_000 + n as i64,
            expires_at: None,
        };
        builder.push(&record).expect("small");
    }
    builder
}

/// A batch with right checksums around any payload.
fn forged(codec: Compression, count: u32, payload: &[u8]) -> Bytes {
    let header = BatchHeader {
        compression: codec,
        record_count: count,
        payload_len: u32::try_from(payload.len()).expect("small"),
        payload_crc: crc32c::crc32c(payload),
        ..BatchHeader::parse(&lines(1).build().expect("a record")).expect("a batch")
    };
    [&header.encode()[..], payload].concat().into()
}

async fn send(broker: &TestBroker, batch: Bytes) -> Result<pb::ProduceResponse, BrokerError> {
    let request = pb::ProduceRequest {
        topic: "t".to_owned(),
        partition: Some(0),
        acks: pb::Acks::All.into(),
        batch,
        ..Default::default()
    };
    broker.call(request).await
}

#[tokio::test]
async fn every_codec_is_stored_as_sent_and_read_as_records() {
    let broker = TestBroker::start().await;
    let mut next = 0;
    for codec in ALL {
        let batch = lines(100).build_compressed(codec, None).expect("records");
        let stored = send(&broker, batch.clone()).await.expect("produced");
        assert_eq!((stored.base_offset, stored.record_count), (next, 100));
        let request =
            pb::FetchRequest { topic: "t".to_owned(), offset: next, batches: true, ..Default::default() };
        let page: pb::FetchResponse = broker.call(request).await.expect("fetched");
        assert_eq!(page.batches[0][HEADER_LEN..], batch[HEADER_LEN..], "{codec}: the payload is untouched");
        let page = broker.fetch("t", 0, next + 90).await.expect("fetched");
        assert_eq!(page.records[0].offset, next + 90, "{codec}");
        assert_eq!(texts(&page.records)[9], r#"{"id":99,"name":"airport 99"}"#);
        let consume = pb::ConsumeRequest { topic: "t".to_owned(), offset: next + 7, ..Default::default() };
        let one: pb::ConsumeResponse = broker.call(consume).await.expect("there");
        let one = one.record.expect("a record");
        assert_eq!((one.offset, one.timestamp_ms, one.key.as_deref()), (next + 7, 1_007, Some(&b"k"[..])));
        next += 100;
    }
    let seek = pb::FindOffsetRequest {
        topic: "t".to_owned(),
        at: pb::StartFrom::Timestamp.into(),
        timestamp_ms: 1_042,
        ..Default::default()
    };
    let found: pb::FindOffsetResponse = broker.call(seek).await.expect("found");
    assert_eq!(found.offset, 42, "a time is found inside a batch");
}

#[tokio::test]
async fn a_subscription_reads_compressed_batches() {
    let broker = TestBroker::start().await;
    for codec in ALL {
        send(&broker, lines(20).build_compressed(codec, None).expect("records")).await.expect("produced");
    }
    let request = pb::SubscribeRequest {
        topic: "t".to_owned(),
        from: pb::StartFrom::Earliest.into(),
        ..Default::default()
    };
    let mut stream = broker.broker.subscribe(context(), request).await.expect("opened");
    let mut offsets = Vec::new();
    while offsets.len() < 100 {
        let push = stream.next().await.expect("a push").expect("records");
        offsets.extend(push.records.iter().map(|r| r.offset));
    }
    assert_eq!(offsets, (0..100).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_says_itself_that_it_will_not_open_is_refused_at_once() {
    let broker = TestBroker::start().await;
    let bomb = compress(Compression::Zstd, None, &vec![0; 64 << 20]);
    assert_refused(send(&broker, forged(Compression::Zstd, 1, &bomb)).await, ErrorCode::FrameTooLarge, "");
    for codec in [Compression::Gzip, Compression::Lz4, Compression::Zstd] {
        assert_refused(send(&broker, forged(codec, 1, b"not compressed")).await, ErrorCode::Protocol, "");
    }
}

/// Lies that show only when the batch is opened: the log takes them, readers of records get a typed error with the range.
#[tokio::test]
async fn a_lie_inside_is_one_typed_error_and_the_rest_is_read() {
    let broker = TestBroker::start().await;
    let good = || lines(3).build_compressed(Compression::Lz4, None).expect("records");
    let three = lines(3).build().expect("records");
    let mut cut = compress(Compression::Zstd, None, &[7; 5_000]);
    cut.truncate(cut.len() - 1);
    let wrong_count = compress(Compression::Zstd, None, &three[HEADER_LEN..]);
    let nested = compress(Compression::Gzip, None, &compress(Compression::Gzip, None, &[7; 500]));
    let lies = [
        forged(Compression::Zstd, 2, &wrong_count),
        forged(Compression::Zstd, 2, &cut),
        forged(Compression::Gzip, 2, &nested),
    ];
    send(&broker, good()).await.expect("produced");
    for lie in lies {
        let start = send(&broker, lie).await.expect("stored as sent").base_offset;
        send(&broker, good()).await.expect("produced");
        let before = broker.fetch("t", 0, start - 3).await.expect("what stands before is good");
        assert_eq!((before.records.len(), before.next_offset), (3, start));
        let error = broker.fetch("t", 0, start).await.expect_err("the lie");
        assert_eq!(error.code, ErrorCode::CorruptData, "{error}");
        assert_eq!(
            (&error.metadata["start"], &error.metadata["end"]),
            (&start.to_string(), &(start + 2).to_string())
        );
        let after = broker.fetch("t", 0, start + 2).await.expect("what follows is good");
        assert_eq!(after.records.len(), 3);
        let request = pb::SubscribeRequest {
            topic: "t".to_owned(),
            from: pb::StartFrom::Offset.into(),
            offset: start,
            ..Default::default()
        };
        let mut stream = broker.broker.subscribe(context(), request).await.expect("opened");
        let error = stream.next().await.expect("an answer").expect_err("the lie");
        assert_eq!(error.code, ErrorCode::CorruptData);
        assert!(stream.next().await.is_none(), "the stream ends, it does not loop");
    }
    let whole = broker.call::<_, pb::FetchResponse>(pb::FetchRequest {
        topic: "t".to_owned(),
        batches: true,
        ..Default::default()
    });
    let opened: Vec<bool> = (whole.await.expect("batches are served as sent").batches.iter())
        .map(|batch| records(batch, &InflateLimits::BATCH).is_ok())
        .collect();
    assert_eq!(opened, [true, false, true, false, true, false, true]);
}

/// Frames that claim nothing are not known for bombs until somebody reads them.
#[tokio::test]
async fn a_bomb_that_claims_nothing_is_stopped_when_it_is_read() {
    use std::io::Write as _;
    let broker = TestBroker::start().await;
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), 1).expect("an encoder");
    encoder.write_all(&vec![0; 64 << 20]).expect("memory");
    let bomb = forged(Compression::Zstd, 1, &encoder.finish().expect("memory"));
    let start = send(&broker, bomb).await.expect("stored as sent").base_offset;
    let error = broker.fetch("t", 0, start).await.expect_err("a bomb");
    assert_eq!(error.code, ErrorCode::CorruptData);
    assert!(error.message.contains("more than"), "{error}");
}
