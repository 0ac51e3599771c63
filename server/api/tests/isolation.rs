//! What readers at the doors see of transactions.

mod common;

use std::time::{Duration, Instant};

use common::{TestBroker, record, texts};
use flymq_api::{ErrorCode, pb};
use flymq_engine::Target;
use flymq_types::{Acks, BatchFlags, Marker, Outcome, PartitionId, TopicName};
use flymq_wire::batch::{BatchBuilder, BatchSlices, NewRecord, ProducerFields};
use futures::StreamExt as _;

/// Less than a read waits for a sync.
const AT_ONCE: Duration = Duration::from_secs(4);
const P0: PartitionId = PartitionId(0);

async fn send(broker: &TestBroker, id: u64, value: &str) {
    let mut builder = BatchBuilder::new();
    builder
        .set_producer(ProducerFields { id, epoch: 0, base_sequence: 0 })
        .add_flags(BatchFlags::TRANSACTIONAL);
    builder.push(&NewRecord { value: Some(value.as_bytes()), ..NewRecord::default() }).expect("small");
    let (name, batch) = (TopicName::any("t").expect("a name"), builder.build().expect("one record"));
    broker.engine.append(&name, Target::Partition(P0), batch, Acks::All).await.expect("stored");
}

async fn end(broker: &TestBroker, producer_id: u64, outcome: Outcome) {
    let marker = Marker { producer_id, producer_epoch: 1, coordinator_epoch: 1, outcome };
    let name = TopicName::any("t").expect("a name");
    broker.engine.write_marker(&name, P0, marker).await.expect("written");
}

/// 0 aborted · 1 committed · 2 abort · 3 commit · 4 open · 5 plain.
async fn history() -> TestBroker {
    let broker = TestBroker::start().await;
    send(&broker, 7, "aborted").await;
    send(&broker, 8, "committed").await;
    end(&broker, 7, Outcome::Abort).await;
    end(&broker, 8, Outcome::Commit).await;
    send(&broker, 9, "open").await;
    broker.produce("t", Some(0), vec![record("", "plain")]).await.expect("produced");
    broker
}

fn fetch(isolation: pb::Isolation) -> pb::FetchRequest {
    pb::FetchRequest { topic: "t".to_owned(), isolation: isolation.into(), ..Default::default() }
}

#[tokio::test]
async fn a_fetch_shows_what_its_isolation_allows() {
    let broker = history().await;
    let began = Instant::now();
    for isolation in [pb::Isolation::Unspecified, pb::Isolation::ReadCommitted] {
        let page: pb::FetchResponse = broker.call(fetch(isolation)).await.expect("fetched");
        assert_eq!((texts(&page.records), page.next_offset), (vec!["committed"], 4), "over the markers");
        let rest = pb::FetchRequest { offset: 2, ..fetch(isolation) };
        let page: pb::FetchResponse = broker.call(rest).await.expect("nothing is no error");
        assert_eq!((page.records.len(), page.next_offset, page.high_watermark), (0, 4, 6));
    }
    assert!(began.elapsed() < AT_ONCE, "nobody waits for a transaction who asks not to wait");
    let page: pb::FetchResponse = broker.call(fetch(pb::Isolation::ReadUncommitted)).await.expect("fetched");
    assert_eq!(texts(&page.records), ["aborted", "committed", "open", "plain"]);
    let whole = pb::FetchRequest { batches: true, ..fetch(pb::Isolation::ReadUncommitted) };
    let page: pb::FetchResponse = broker.call(whole).await.expect("fetched");
    let batches = page.batches.into_iter().flat_map(BatchSlices::new).collect::<Result<Vec<_>, _>>();
    let flags = |flag| batches.as_ref().expect("whole batches").iter().any(|(h, _)| h.flags.contains(flag));
    assert!(flags(BatchFlags::TRANSACTIONAL) && !flags(BatchFlags::CONTROL));
}

#[tokio::test]
async fn one_record_is_there_or_not() {
    let broker = history().await;
    let one = |offset, isolation: pb::Isolation| pb::ConsumeRequest {
        topic: "t".to_owned(),
        offset,
        isolation: isolation.into(),
        ..Default::default()
    };
    let found: pb::ConsumeResponse =
        broker.call(one(1, pb::Isolation::ReadCommitted)).await.expect("it is committed");
    assert_eq!(found.record.expect("a record").value, "committed");
    let began = Instant::now();
    for hidden in [0, 2, 4, 5] {
        let answer = broker.call::<_, pb::ConsumeResponse>(one(hidden, pb::Isolation::ReadCommitted)).await;
        assert!(answer.is_err(), "offset {hidden}");
    }
    end(&broker, 9, Outcome::Abort).await;
    let marker = broker.call::<_, pb::ConsumeResponse>(one(6, pb::Isolation::ReadCommitted)).await;
    assert!(marker.is_err(), "the last offset of the log is a marker");
    assert!(began.elapsed() < AT_ONCE);
    for shown in [0, 4, 5] {
        let answer = broker.call::<_, pb::ConsumeResponse>(one(shown, pb::Isolation::ReadUncommitted)).await;
        assert!(answer.is_ok(), "offset {shown}");
    }
}

#[tokio::test]
async fn latest_is_what_the_reader_could_read() {
    let broker = history().await;
    for (isolation, latest) in [
        (pb::Isolation::Unspecified, 4),
        (pb::Isolation::ReadCommitted, 4),
        (pb::Isolation::ReadUncommitted, 6),
    ] {
        let topic = "t".to_owned();
        let find = pb::FindOffsetRequest {
            topic: topic.clone(),
            at: pb::StartFrom::Latest.into(),
            isolation: isolation.into(),
            ..Default::default()
        };
        let found: pb::FindOffsetResponse = broker.call(find).await.expect("found");
        let start = pb::GetStartOffsetRequest {
            topic,
            from: pb::StartFrom::Latest.into(),
            isolation: isolation.into(),
            ..Default::default()
        };
        let start: pb::GetStartOffsetResponse = broker.call(start).await.expect("found");
        assert_eq!((found.offset, start.offset), (latest, latest), "{isolation:?}");
    }
    let unknown = pb::FindOffsetRequest { topic: "t".to_owned(), isolation: 9, ..Default::default() };
    let refused = broker.call::<_, pb::FindOffsetResponse>(unknown).await.expect_err("no such isolation");
    assert_eq!(refused.code, ErrorCode::InvalidArgument);
}

#[tokio::test]
async fn a_stream_goes_on_when_the_transaction_ends() {
    let broker = history().await;
    let request = pb::SubscribeRequest {
        topic: "t".to_owned(),
        from: pb::StartFrom::Earliest.into(),
        ..Default::default()
    };
    let mut stream = broker.broker.subscribe(common::context(), request).await.expect("a stream");
    let mut seen = Vec::new();
    let first = stream.next().await.expect("a run").expect("readable");
    seen.extend(texts(&first.records).into_iter().map(str::to_owned));
    end(&broker, 9, Outcome::Commit).await;
    let second = stream.next().await.expect("a run").expect("readable");
    seen.extend(texts(&second.records).into_iter().map(str::to_owned));
    assert_eq!(seen, ["committed", "open", "plain"]);
}
