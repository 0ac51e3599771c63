//! Transactions of version 1 beyond their bytes: all of it or nothing, and what is refused.

use bytes::Bytes;
use flymq_native::NativeOptions;
use flymq_proto::pb;
use flymq_wire::v1::{
    CreateTopic, Done, Empty, Fetch, FetchReply, RecordMetadata, Request, TxnProduce, TxnRef, TxnReply,
};

use super::support::{Broker, Client};

async fn begin(client: &mut Client) -> String {
    let begun: TxnReply = client.reply(Request::TxnBegin(Empty)).await;
    assert!(begun.ok);
    begun.txn_id
}

fn produce(id: &str, topic: &str, value: &[u8]) -> Request {
    let value = Bytes::copy_from_slice(value);
    Request::TxnProduce(TxnProduce { txn_id: id.to_owned(), topic: topic.to_owned(), value })
}

fn commit(id: &str) -> Request {
    Request::TxnCommit(TxnRef { txn_id: id.to_owned() })
}

async fn values(client: &mut Client, topic: &str) -> Vec<Bytes> {
    let fetch = Fetch { topic: topic.to_owned(), partition: 0, offset: 0, max: 1_000, filter: None };
    let read: FetchReply = client.reply(Request::Fetch(fetch)).await;
    read.messages.into_iter().map(|message| message.value).collect()
}

async fn create(client: &mut Client, topics: &[&str]) {
    for topic in topics {
        let request = CreateTopic { topic: (*topic).to_owned(), partitions: 1 };
        let _: Done = client.reply(Request::CreateTopic(request)).await;
    }
}

#[tokio::test]
async fn topics_are_committed_together_in_the_order_of_each() {
    let broker = Broker::start().await;
    let mut client = broker.v1().await;
    create(&mut client, &["a", "b"]).await;
    let id = begin(&mut client).await;
    for n in 0..300_u32 {
        let topic = if n % 3 == 0 { "a" } else { "b" };
        let _: RecordMetadata = client.reply(produce(&id, topic, &n.to_be_bytes())).await;
    }
    assert!(values(&mut client, "a").await.is_empty());
    let done: TxnReply = client.reply(commit(&id)).await;
    assert!(done.ok);
    let of = |third: bool| {
        let all = (0..300_u32).filter(move |n| (n % 3 == 0) == third);
        all.map(|n| Bytes::copy_from_slice(&n.to_be_bytes())).collect::<Vec<_>>()
    };
    assert_eq!((values(&mut client, "a").await, values(&mut client, "b").await), (of(true), of(false)));
}

#[tokio::test]
async fn a_commit_that_fails_says_so_leaves_nothing_and_may_be_tried_again() {
    let broker = Broker::start().await;
    let mut client = broker.v1().await;
    create(&mut client, &["a"]).await;
    let id = begin(&mut client).await;
    let _: RecordMetadata = client.reply(produce(&id, "a", b"1")).await;
    let _: RecordMetadata = client.reply(produce(&id, "gone", b"2")).await;
    broker.refuse_produce_to("gone");
    let text = client.refused(commit(&id)).await;
    assert_eq!(text, "topic not found: gone");
    assert!(values(&mut client, "a").await.is_empty(), "nothing of it is seen");
    let open: pb::ListTransactionsResponse = broker.call(pb::ListTransactionsRequest {}).await;
    assert!(open.transactions.is_empty(), "and nothing stays open: {open:?}");
    broker.refuse_produce_to("");
    let done: TxnReply = client.reply(commit(&id)).await;
    assert!(done.ok);
    assert_eq!((values(&mut client, "a").await.len(), values(&mut client, "gone").await.len()), (1, 1));
}

#[tokio::test]
async fn nobody_has_memory_before_login_and_bad_input_is_told() {
    let broker = Broker::with(NativeOptions { auth_required: true, ..NativeOptions::default() }).await;
    let mut client = broker.v1().await;
    let rollback = Request::TxnRollback(TxnRef { txn_id: "x".to_owned() });
    for request in [Request::TxnBegin(Empty), produce("x", "t", b""), commit("x"), rollback] {
        assert_eq!(client.refused(request).await, "authentication required");
    }
    let broker = Broker::with(NativeOptions { max_record: 10, ..NativeOptions::default() }).await;
    let mut client = broker.v1().await;
    let id = begin(&mut client).await;
    assert!(client.refused(produce(&id, "t", b"12345678901")).await.contains("limit of 10"));
    assert!(!client.refused(produce(&id, "..", b"1")).await.is_empty());
    assert!(!client.refused(produce(&id, "__offsets", b"1")).await.is_empty());
    let empty: TxnReply = client.reply(commit(&id)).await;
    assert!(empty.ok, "one without values is committed at once");
}
