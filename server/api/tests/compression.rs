//! Compressed batches: stored and served as sent, once they have been opened and found good.

mod common;

use bytes::Bytes;
use common::{TestBroker, assert_refused, context, texts};
use flymq_api::{BrokerError, ErrorCode, pb};
use flymq_types::{Compression, InflateLimits};
use flymq_wire::batch::{
    BatchBuilder, BatchHeader, HEADER_LEN, NewRecord, ServerFields, records, stamp_header,
};
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

/// What only shows when it is opened.
fn lies() -> [Bytes; 4] {
    use std::io::Write as _;
    let three = lines(3).build().expect("records");
    let mut cut = compress(Compression::Zstd, None, &[7; 5_000]);
    cut.truncate(cut.len() - 1);
    let wrong_count = compress(Compression::Zstd, None, &three[HEADER_LEN..]);
    let nested = compress(Compression::Gzip, None, &compress(Compression::Gzip, None, &[7; 500]));
    let mut silent = zstd::stream::Encoder::new(Vec::new(), 1).expect("an encoder");
    silent.write_all(&vec![0; 64 << 20]).expect("memory");
    [
        forged(Compression::Zstd, 2, &wrong_count),
        forged(Compression::Zstd, 2, &cut),
        forged(Compression::Gzip, 2, &nested),
        forged(Compression::Zstd, 2, &silent.finish().expect("memory")),
    ]
}

#[tokio::test]
async fn a_lie_inside_is_refused_and_nothing_is_stored() {
    let broker = TestBroker::start().await;
    let codes = [ErrorCode::Protocol, ErrorCode::Protocol, ErrorCode::Protocol, ErrorCode::FrameTooLarge];
    for (lie, code) in lies().into_iter().zip(codes) {
        assert_refused(send(&broker, lie).await, code, "");
    }
    let good = lines(3).build_compressed(Compression::Lz4, None).expect("records");
    assert_eq!(send(&broker, good).await.expect("produced").base_offset, 0);
}

#[tokio::test]
async fn a_record_above_the_limit_does_not_get_in_compressed() {
    let broker = TestBroker::start().await;
    let mut builder = BatchBuilder::new();
    let large = vec![b'v'; (16 << 20) + 1];
    builder.push(&NewRecord { value: Some(&large), ..NewRecord::default() }).expect("it fits a batch");
    let packed = compress(Compression::Snappy, None, &builder.build().expect("records")[HEADER_LEN..]);
    assert_refused(
        send(&broker, forged(Compression::Snappy, 1, &packed)).await,
        ErrorCode::RecordTooLarge,
        "bytes",
    );
}

/// Stores a batch as a log had it that was written before batches were opened: out of a backup, which is taken as it is.
async fn restored(broker: &TestBroker, batches: &[Bytes]) {
    let (backup_id, topic) = ("20260101T000000Z-0badcafe:1".to_owned(), "t".to_owned());
    let restore = Some(pb::RestoreTopic { backup_id: backup_id.clone(), first_offsets: vec![0] });
    let create = pb::CreateTopicRequest { name: topic.clone(), restore, ..Default::default() };
    broker.call::<_, pb::CreateTopicResponse>(create).await.expect("created");
    let mut log = Vec::new();
    let mut base_offset = 0;
    for batch in batches {
        let at = log.len();
        log.extend_from_slice(batch);
        stamp_header(&mut log[at..], &ServerFields { base_offset, ..ServerFields::default() })
            .expect("a batch");
        base_offset += u64::from(BatchHeader::parse(batch).expect("a batch").record_count);
    }
    let records = pb::RestoreRecordsRequest {
        topic: topic.clone(),
        partition: 0,
        backup_id: backup_id.clone(),
        batches: log.into(),
    };
    broker.call::<_, pb::RestoreRecordsResponse>(records).await.expect("restored");
    let finish = pb::FinishRestoreRequest { topic, backup_id };
    broker.call::<_, pb::FinishRestoreResponse>(finish).await.expect("finished");
}

/// Logs of older versions, and backups of them, may hold such batches: readers of records get a typed error with the range.
#[tokio::test]
async fn a_stored_lie_is_one_typed_error_and_the_rest_is_read() {
    let broker = TestBroker::start().await;
    let good = lines(3).build_compressed(Compression::Lz4, None).expect("records");
    let lies = lies();
    let mut log = vec![good.clone()];
    log.extend(lies.iter().flat_map(|lie| [lie.clone(), good.clone()]));
    restored(&broker, &log).await;
    for (number, _) in lies.iter().enumerate() {
        let start = 3 + 5 * number as u64;
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
    assert_eq!(opened, [true, false, true, false, true, false, true, false, true]);
}
