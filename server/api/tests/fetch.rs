//! Reading through the whole stack.

mod common;

use std::time::{Duration, Instant};

use common::{TestBroker, assert_refused, context, record, texts};
use flymq_api::{ErrorCode, Phase, Response, pb};
use futures::StreamExt as _;
use prost::Message as _;

async fn with_five(broker: &TestBroker) {
    let records = (0..5).map(|i| record("", &format!("v{i}"))).collect();
    broker.produce("t", Some(0), records).await.expect("produced");
}

#[tokio::test]
async fn records_before_the_offset_are_skipped_and_pages_go_on() {
    let broker = TestBroker::start().await;
    with_five(&broker).await;
    let mut request =
        pb::FetchRequest { topic: "t".to_owned(), offset: 1, max_records: 2, ..Default::default() };
    let page: pb::FetchResponse = broker.call(request.clone()).await.expect("fetched");
    assert_eq!((texts(&page.records), page.next_offset), (vec!["v1", "v2"], 3));
    request.offset = page.next_offset;
    let page: pb::FetchResponse = broker.call(request.clone()).await.expect("fetched");
    assert_eq!((texts(&page.records), page.next_offset), (vec!["v3", "v4"], 5));
    request.offset = page.next_offset;
    let page: pb::FetchResponse = broker.call(request).await.expect("the end is no error");
    assert_eq!((page.records.len(), page.next_offset), (0, 5));
}

#[tokio::test]
async fn a_small_byte_limit_still_gives_one_record() {
    let broker = TestBroker::start().await;
    with_five(&broker).await;
    let request = pb::FetchRequest { topic: "t".to_owned(), max_bytes: 1, ..Default::default() };
    let page: pb::FetchResponse = broker.call(request).await.expect("fetched");
    assert_eq!((texts(&page.records), page.next_offset), (vec!["v0"], 1));
}

#[tokio::test]
async fn the_largest_reply_fits_a_frame() {
    let broker = TestBroker::start().await;
    let large = "x".repeat(15 << 20);
    for _ in 0..3 {
        broker.produce("t", Some(0), vec![record("", &large)]).await.expect("produced");
    }
    for (text, batches) in [(true, false), (false, false), (false, true)] {
        let request = pb::FetchRequest {
            topic: "t".to_owned(),
            max_bytes: u32::MAX,
            text,
            batches,
            ..Default::default()
        };
        let page: pb::FetchResponse = broker.call(request).await.expect("fetched");
        assert!(
            page.encoded_len() <= 32 << 20,
            "text {text}, batches {batches}: {} bytes",
            page.encoded_len()
        );
        assert!(!page.records.is_empty() || !page.batches.is_empty());
        assert!(page.next_offset >= 1);
    }
}

#[tokio::test]
async fn consume_reads_one_record_or_says_why_not() {
    let broker = TestBroker::start().await;
    with_five(&broker).await;
    let consume =
        |offset| pb::ConsumeRequest { topic: "t".to_owned(), offset, text: true, ..Default::default() };
    let found: pb::ConsumeResponse = broker.call(consume(3)).await.expect("there");
    assert_eq!(found.record.expect("a record").value_text.as_deref(), Some("v3"));
    assert_refused(
        broker.call::<_, pb::ConsumeResponse>(consume(5)).await,
        ErrorCode::EndOfPartition,
        "high_watermark",
    );
    assert_refused(
        broker.call::<_, pb::ConsumeResponse>(consume(6)).await,
        ErrorCode::OffsetOutOfRange,
        "end",
    );
    assert_refused(
        broker.call::<_, pb::ConsumeResponse>(consume(u64::MAX)).await,
        ErrorCode::OffsetOutOfRange,
        "start",
    );
}

#[tokio::test]
async fn a_record_acked_by_the_leader_alone_is_waited_for() {
    let broker = TestBroker::start().await;
    for offset in 0..20 {
        let request = pb::ProduceRequest {
            topic: "t".to_owned(),
            partition: Some(0),
            acks: pb::Acks::Leader.into(),
            records: vec![record("", "v")],
            ..Default::default()
        };
        let _: pb::ProduceResponse = broker.call(request).await.expect("produced");
        let page = broker.fetch("t", 0, offset).await.expect("fetched");
        assert_eq!(
            page.records.len(),
            1,
            "offset {offset} is appended, so that a read of it waits for the disk"
        );
    }
}

#[tokio::test]
async fn a_long_poll_wakes_at_the_first_record() {
    let broker = TestBroker::start().await;
    broker.create("t", 1).await;
    let request = pb::FetchRequest { topic: "t".to_owned(), max_wait_ms: 30_000, ..Default::default() };
    let began = Instant::now();
    let poll = broker.call::<_, pb::FetchResponse>(request);
    let produce = broker.produce("t", Some(0), vec![record("", "news")]);
    let (page, done) = tokio::join!(poll, produce);
    done.expect("produced");
    assert_eq!(texts(&page.expect("fetched").records), ["news"]);
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_long_poll_ends_with_its_wait_its_deadline_or_the_node() {
    let broker = TestBroker::start().await;
    broker.create("t", 1).await;
    let poll = |max_wait_ms| pb::FetchRequest { topic: "t".to_owned(), max_wait_ms, ..Default::default() };
    let page: pb::FetchResponse = broker.call(poll(20)).await.expect("an empty answer");
    assert!(page.records.is_empty());

    let began = Instant::now();
    let mut ctx = context();
    ctx.deadline = Some(began + Duration::from_millis(200));
    let answer = broker.broker.call(ctx, poll(60_000).into()).await;
    assert!(matches!(answer, Ok(Response::Fetch(page)) if page.records.is_empty()), "empty, not a timeout");
    assert!(began.elapsed() < Duration::from_secs(10));

    let stop = async { broker.node.enter(Phase::Stopping) };
    let (page, ()) = tokio::join!(broker.call::<_, pb::FetchResponse>(poll(60_000)), stop);
    assert!(page.expect("an empty answer").records.is_empty());
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn bad_reads_are_refused_with_facts() {
    let broker = TestBroker::start().await;
    with_five(&broker).await;
    let ok = pb::FetchRequest { topic: "t".to_owned(), ..Default::default() };
    let cases = [
        (pb::FetchRequest { topic: "nope".to_owned(), ..ok.clone() }, ErrorCode::TopicNotFound, "topic"),
        (pb::FetchRequest { topic: "a//b".to_owned(), ..ok.clone() }, ErrorCode::InvalidArgument, "field"),
        (pb::FetchRequest { partition: -1, ..ok.clone() }, ErrorCode::InvalidArgument, "partition"),
        (pb::FetchRequest { partition: 1, ..ok.clone() }, ErrorCode::PartitionNotFound, "partitions"),
        (pb::FetchRequest { partition: i32::MAX, ..ok.clone() }, ErrorCode::PartitionNotFound, "partitions"),
        (pb::FetchRequest { offset: u64::MAX, ..ok.clone() }, ErrorCode::OffsetOutOfRange, "end"),
        (pb::FetchRequest { max_records: -1, ..ok.clone() }, ErrorCode::InvalidArgument, "field"),
        (pb::FetchRequest { isolation: 9, ..ok.clone() }, ErrorCode::InvalidArgument, "field"),
        (pb::FetchRequest { filter_kind: 99, ..ok.clone() }, ErrorCode::InvalidArgument, "field"),
        (pb::FetchRequest { filter: "cel:(".to_owned(), ..ok }, ErrorCode::FilterInvalid, "field"),
    ];
    for (request, code, fact) in cases {
        assert_refused(broker.call::<_, pb::FetchResponse>(request).await, code, fact);
    }
    assert_eq!(broker.engine.list_topics(false).len(), 1, "reading creates no topic");
}

#[tokio::test]
async fn a_subscription_streams_all_partitions_and_ends_with_the_node() {
    let broker = TestBroker::start().await;
    broker.create("t", 2).await;
    broker.produce("t", Some(0), vec![record("", "old")]).await.expect("produced");
    let request = pb::SubscribeRequest {
        topic: "t".to_owned(),
        from: pb::StartFrom::Earliest.into(),
        ..Default::default()
    };
    let mut stream = broker.broker.subscribe(context(), request).await.expect("opened");
    let first = stream.next().await.expect("a push").expect("records");
    assert_eq!((texts(&first.records), first.partition, first.next_offset), (vec!["old"], 0, 1));
    broker.produce("t", Some(1), vec![record("", "a"), record("", "b")]).await.expect("produced");
    let second = stream.next().await.expect("a push").expect("records");
    assert_eq!((texts(&second.records), second.partition, second.next_offset), (vec!["a", "b"], 1, 2));

    broker.node.enter(Phase::Stopping);
    let last = stream.next().await.expect("an error").expect_err("the node stops");
    assert_eq!(last.code, ErrorCode::Unavailable);
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn a_run_that_does_not_fit_one_push_comes_in_several() {
    let broker = TestBroker::start().await;
    let large = "x".repeat(12 << 20);
    let records = vec![record("", &large), record("", &large), record("", "small")];
    broker.produce("t", Some(0), records).await.expect("produced as one batch");
    let request = pb::SubscribeRequest {
        topic: "t".to_owned(),
        from: pb::StartFrom::Earliest.into(),
        text: true,
        ..Default::default()
    };
    let mut stream = broker.broker.subscribe(context(), request).await.expect("opened");
    let mut offsets = Vec::new();
    while offsets.len() < 3 {
        let push = stream.next().await.expect("a push").expect("records");
        assert!(push.encoded_len() <= 32 << 20, "{} bytes", push.encoded_len());
        offsets.extend(push.records.iter().map(|r| r.offset));
    }
    assert_eq!(offsets, [0, 1, 2]);
}

#[tokio::test]
async fn a_subscription_to_nothing_is_refused() {
    let broker = TestBroker::start().await;
    broker.create("t", 1).await;
    let ok = pb::SubscribeRequest { topic: "t".to_owned(), ..Default::default() };
    let cases = [
        (pb::SubscribeRequest { topic: "nope".to_owned(), ..ok.clone() }, ErrorCode::TopicNotFound),
        (pb::SubscribeRequest { partitions: vec![1], ..ok.clone() }, ErrorCode::PartitionNotFound),
        (pb::SubscribeRequest { partitions: vec![-1], ..ok.clone() }, ErrorCode::InvalidArgument),
        (pb::SubscribeRequest { filter: "cel:(".to_owned(), ..ok.clone() }, ErrorCode::FilterInvalid),
        (pb::SubscribeRequest { group: "a\n".to_owned(), ..ok }, ErrorCode::InvalidArgument),
    ];
    for (request, code) in cases {
        let refused = broker.broker.subscribe(context(), request).await.map(drop);
        assert_refused(refused, code, "");
    }
}

/// A marker, or a record that was aborted: whoever waits for it waits for ever.
#[tokio::test]
async fn where_there_will_never_be_a_record_nobody_is_told_to_wait() {
    let broker = TestBroker::start().await;
    broker.create("t", 1).await;
    let begun: pb::BeginTransactionResponse =
        broker.call(pb::BeginTransactionRequest::default()).await.expect("begun");
    let transaction_id = begun.transaction_id;
    let write = pb::ProduceInTransactionRequest {
        transaction_id: transaction_id.clone(),
        topic: "t".to_owned(),
        partition: Some(0),
        records: vec![record("k", "aborted")],
        ..Default::default()
    };
    let _: pb::ProduceInTransactionResponse = broker.call(write).await.expect("written");
    let abort = pb::AbortTransactionRequest { transaction_id, ..Default::default() };
    let _: pb::AbortTransactionResponse = broker.call(abort).await.expect("aborted");
    broker.produce("t", Some(0), vec![record("k", "v")]).await.expect("stored");
    let consume = |offset| pb::ConsumeRequest { topic: "t".to_owned(), offset, ..Default::default() };
    for offset in [0, 1] {
        let never = broker.call::<_, pb::ConsumeResponse>(consume(offset)).await;
        assert_refused(never, ErrorCode::RecordNotFound, "next");
    }
    let there: pb::ConsumeResponse = broker.call(consume(2)).await.expect("the one behind them");
    assert_eq!(there.record.expect("a record").value, "v");
    assert_refused(
        broker.call::<_, pb::ConsumeResponse>(consume(3)).await,
        ErrorCode::EndOfPartition,
        "offset",
    );
}
