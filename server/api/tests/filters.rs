//! Filters through the whole stack.

mod common;

use std::time::Duration;

use common::{TestBroker, assert_refused, context, record, texts};
use flymq_api::{ErrorCode, pb};
use futures::StreamExt as _;

async fn with_orders(broker: &TestBroker) {
    let values = ["{\"total\": 5}", "an ERROR", "{\"total\": 500}", "an error", "{\"total\": 50}"];
    for value in values {
        broker.produce("orders", Some(0), vec![record("k", value)]).await.expect("produced");
    }
}

fn fetch(filter: &str, kind: pb::FilterKind) -> pb::FetchRequest {
    let filter_kind = kind.into();
    pb::FetchRequest {
        topic: "orders".to_owned(),
        filter: filter.to_owned(),
        filter_kind,
        ..Default::default()
    }
}

#[tokio::test]
async fn a_fetch_gives_what_matches_and_where_to_go_on() {
    use pb::FilterKind::{Any, Cel, Path, Regex, Text, Unspecified};
    let broker = TestBroker::start().await;
    with_orders(&broker).await;
    for (filter, kind, expected) in [
        ("ERROR", Unspecified, vec!["an ERROR", "an error"]),
        ("ERROR", Any, vec!["an ERROR", "an error"]),
        ("ERROR", Text, vec!["an ERROR"]),
        ("E.*R$", Regex, vec!["an ERROR"]),
        ("$.total", Path, vec!["{\"total\": 5}", "{\"total\": 500}", "{\"total\": 50}"]),
        ("cel:value.total >= 50", Unspecified, vec!["{\"total\": 500}", "{\"total\": 50}"]),
        ("value.total >= 50 && key == 'k' && offset > 2", Cel, vec!["{\"total\": 50}"]),
        ("nothing has this", Text, vec![]),
    ] {
        let page: pb::FetchResponse = broker.call(fetch(filter, kind)).await.expect("fetched");
        assert_eq!((texts(&page.records), page.next_offset), (expected.clone(), 5), "{filter}");
        assert_eq!(page.filtered, 5 - expected.len() as u64, "{filter}");
    }
    let failed: pb::FetchResponse =
        broker.call(fetch("cel:value.total > 0", Default::default())).await.unwrap();
    assert_eq!((failed.filtered, failed.filter_failed), (2, 2), "the two that are no JSON");
}

#[tokio::test]
async fn pages_of_matches_go_on_without_gaps() {
    let broker = TestBroker::start().await;
    let records =
        (0..100).map(|i| record("", &format!("{} {i}", if i % 3 == 0 { "yes" } else { "no" }))).collect();
    broker.produce("orders", Some(0), records).await.expect("produced");
    let mut request = pb::FetchRequest { max_records: 5, ..fetch("yes", pb::FilterKind::Text) };
    let mut seen = Vec::new();
    while request.offset < 100 {
        let page: pb::FetchResponse = broker.call(request.clone()).await.expect("fetched");
        assert!(page.records.len() <= 5 && page.next_offset > request.offset);
        seen.extend(page.records.iter().map(|record| record.offset));
        request.offset = page.next_offset;
    }
    assert_eq!(seen, (0..100).step_by(3).collect::<Vec<u64>>());
}

#[tokio::test]
async fn a_long_poll_waits_for_a_match_and_not_for_a_record() {
    let broker = TestBroker::start().await;
    with_orders(&broker).await;
    let request = pb::FetchRequest { max_wait_ms: 20_000, ..fetch("late", pb::FilterKind::Text) };
    let poll = broker.call::<_, pb::FetchResponse>(request);
    let produce = async {
        for value in ["no", "nor this", "late"] {
            tokio::task::yield_now().await;
            broker.produce("orders", Some(0), vec![record("", value)]).await.expect("produced");
        }
    };
    let (page, ()) = tokio::join!(poll, produce);
    let page = page.expect("fetched");
    assert_eq!((texts(&page.records), page.next_offset), (vec!["late"], 8));
    let request = pb::FetchRequest { offset: 8, max_wait_ms: 50, ..fetch("late", pb::FilterKind::Text) };
    let page: pb::FetchResponse = broker.call(request).await.expect("nothing is no error");
    assert_eq!((page.records.len(), page.next_offset), (0, 8));
}

#[tokio::test]
async fn bad_filters_are_typed_errors() {
    let broker = TestBroker::start().await;
    with_orders(&broker).await;
    let call = async |filter: &str, kind| broker.call::<_, pb::FetchResponse>(fetch(filter, kind)).await;
    let refused = call("cel:value.total >", pb::FilterKind::Unspecified).await;
    assert_refused(refused, ErrorCode::FilterInvalid, "line");
    let refused = call("(a{1000}){1000}", pb::FilterKind::Regex).await;
    assert_refused(refused, ErrorCode::FilterInvalid, "kind");
    assert_refused(call("ab(", pb::FilterKind::Regex).await, ErrorCode::FilterInvalid, "column");
    assert_refused(call("", pb::FilterKind::Cel).await, ErrorCode::InvalidArgument, "field");
    let bomb = format!("cel:{}", "(".repeat(8_000));
    assert_refused(call(&bomb, pb::FilterKind::Unspecified).await, ErrorCode::FilterInvalid, "kind");
    let request =
        pb::SubscribeRequest { topic: "orders".into(), filter: "cel:(".into(), ..Default::default() };
    let refused = broker.broker.subscribe(context(), request).await.map(drop);
    assert_eq!(refused.expect_err("refused").code, ErrorCode::FilterInvalid);
}

#[tokio::test]
async fn a_subscription_pushes_matches_and_tells_how_far_it_is() {
    let broker = TestBroker::start().await;
    with_orders(&broker).await;
    let request = pb::SubscribeRequest {
        topic: "orders".to_owned(),
        from: pb::StartFrom::Earliest.into(),
        filter: "cel:has(value.total) && value.total > 40".to_owned(),
        ..Default::default()
    };
    let mut stream = broker.broker.subscribe(context(), request).await.expect("subscribed");
    let mut next = async || {
        let push = tokio::time::timeout(Duration::from_secs(30), stream.next()).await;
        push.expect("in time").expect("open").expect("no error")
    };
    let (mut seen, mut at) = (Vec::new(), 0);
    while at < 5 {
        let push = next().await;
        seen.extend(texts(&push.records).into_iter().map(str::to_owned));
        at = push.next_offset;
    }
    assert_eq!(seen, ["{\"total\": 500}", "{\"total\": 50}"]);
    broker.produce("orders", Some(0), vec![record("", "no")]).await.expect("produced");
    let push = next().await;
    assert_eq!((push.records.len(), push.next_offset, push.filtered, push.filter_failed), (0, 6, 1, 1));
}
