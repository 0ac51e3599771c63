//! Dead letters in version 1: also those that its clients wrote themselves, as JSON.

use bytes::Bytes;
use flymq_wire::v1::{
    CreateTopic, DlqList, Done, Fetch, FetchDlq, FetchReply, Produce, RecordMetadata, ReplayDlq,
    ReplayTarget, Request, SuccessMsg, TopicRef,
};

use super::support::{Broker, Client, error_text};

const RECORD: &str = r#"{"id":"m1","original_topic":"t1","original_offset":3,"payload":"AQI=","reason":"processing_error",
    "error_message":"boom","retry_count":2,"first_failed_at":"2024-01-01T00:00:00Z","last_failed_at":"2024-01-01T00:00:00Z"}"#;

fn list(topic: &str) -> Request {
    Request::FetchDlq(FetchDlq { topic: topic.to_owned(), max: 10 })
}

fn replay(target: ReplayTarget) -> Request {
    Request::ReplayDlq(ReplayDlq { topic: "t1".to_owned(), target })
}

async fn with_a_letter(client: &mut Client) {
    let _: Done =
        client.reply(Request::CreateTopic(CreateTopic { topic: "t1".to_owned(), partitions: 1 })).await;
    assert_eq!(client.reply::<DlqList>(list("t1")).await.entries, [], "none has failed yet");
    for value in ["no letter at all", RECORD] {
        let value = Bytes::from_static(value.as_bytes());
        let produce = Produce { topic: "t1.dlq".to_owned(), key: Bytes::new(), value, partition: 0 };
        let _: RecordMetadata = client.reply(Request::Produce(produce)).await;
    }
}

#[tokio::test]
async fn records_that_clients_wrote_are_listed_and_replayed() {
    let broker = Broker::start().await;
    let mut client = broker.v1().await;
    with_a_letter(&mut client).await;
    let letters = client.reply::<DlqList>(list("t1")).await.entries;
    let [letter] = &letters[..] else { panic!("{letters:?}") };
    assert_eq!(
        (letter.id.as_str(), &letter.data[..], letter.error.as_str(), letter.retries),
        ("m1", &[1, 2][..], "boom", 2)
    );
    let unknown: SuccessMsg = client.reply(replay(ReplayTarget::Id("other".to_owned()))).await;
    assert_eq!((unknown.ok, unknown.message.as_str()), (false, "message not found"));
    let done: SuccessMsg = client.reply(replay(ReplayTarget::Id("m1".to_owned()))).await;
    assert!(done.ok, "{done:?}");
    let fetch = Fetch { topic: "t1".to_owned(), partition: 0, offset: 0, max: 10, filter: None };
    let back: FetchReply = client.reply(Request::Fetch(fetch)).await;
    assert_eq!(back.messages.iter().map(|message| &message.value[..]).collect::<Vec<_>>(), [&[1, 2][..]]);
    assert_eq!(client.reply::<DlqList>(list("t1")).await.entries, [], "it is gone from there");
    let refused = client.ask(Request::PurgeDlq(TopicRef { topic: "t1".to_owned() })).await;
    let text = error_text(&refused);
    assert!(text.contains("no dead letters of t1"), "not what others wrote: {text}");
}

#[tokio::test]
async fn a_purge_deletes_what_clients_wrote() {
    let broker = Broker::start().await;
    let mut client = broker.v1().await;
    let _: Done =
        client.reply(Request::CreateTopic(CreateTopic { topic: "t1".to_owned(), partitions: 1 })).await;
    for _ in 0..2 {
        let value = Bytes::from_static(RECORD.as_bytes());
        let produce = Produce { topic: "t1.dlq".to_owned(), key: Bytes::new(), value, partition: 0 };
        let _: RecordMetadata = client.reply(Request::Produce(produce)).await;
    }
    let purged: SuccessMsg = client.reply(Request::PurgeDlq(TopicRef { topic: "t1".to_owned() })).await;
    assert!(purged.ok, "{purged:?}");
    assert_eq!(client.reply::<DlqList>(list("t1")).await.entries, []);
}

#[tokio::test]
async fn a_replay_by_offset_is_answered_in_its_own_layout() {
    let broker = Broker::start().await;
    let mut client = broker.v1().await;
    with_a_letter(&mut client).await;
    assert_eq!(client.ask(replay(ReplayTarget::Offset(1))).await.payload[..], [1, 0, 0, 0, 0]);
    let again = client.ask(replay(ReplayTarget::Offset(1))).await.payload;
    assert_eq!((again[0], &again[5..]), (0, &b"message not found"[..]));
}

#[tokio::test]
async fn an_unknown_topic_is_told_as_the_original_does() {
    let broker = Broker::start().await;
    let mut client = broker.v1().await;
    let refused: SuccessMsg = client.reply(Request::PurgeDlq(TopicRef { topic: "nothing".to_owned() })).await;
    assert_eq!((refused.ok, refused.message.as_str()), (false, "topic not found: nothing.dlq"));
    assert!(error_text(&client.ask(list("nothing")).await).starts_with("topic not found: nothing"));
}
