//! Groups, schedules, dead letters and schemas by the Rust client: what operators and tools ask for.

use flymq_client::{Client, ErrorCode, NewMessage, ResetTo, When, pb};

use super::{fill, with_topic};

#[tokio::test]
async fn a_group_is_described_begins_anew_and_is_forgotten() {
    let (_broker, client) = with_topic(2).await;
    fill(&client, 3).await;
    let missing = client.describe_group("g").await.expect_err("nobody was there");
    assert_eq!(missing.code, ErrorCode::GroupNotFound);
    let began = client.reset_offsets("g", "t", &[0], ResetTo::Latest).await.expect("a group of no members");
    assert_eq!(began.iter().map(|at| (at.partition, at.offset)).collect::<Vec<_>>(), [(0, 3)]);
    client.reset_offsets("g", "t", &[], ResetTo::TimestampMs(1)).await.expect("the first of all");
    client.reset_offsets("g", "t", &[0], ResetTo::Offset(1)).await.expect("in the log");
    let lag = client.lag("g", "t").await.expect("a group");
    assert_eq!(lag.iter().map(|at| at.lag).collect::<Vec<_>>(), [2, 0]);
    let group = client.describe_group("g").await.expect("a group");
    assert_eq!((group.state(), group.offsets.len()), (pb::GroupState::Empty, 2));
    assert_eq!(client.list_groups().await.expect("a list").groups.len(), 1);
    client.delete_group("g", Some("t")).await.expect("forgotten");
    assert_eq!(client.list_groups().await.expect("a list").groups, []);
}

#[tokio::test]
async fn what_waits_is_listed_delivered_and_cancelled() {
    let (_broker, client) = with_topic(1).await;
    let far = When::DelayMs(3_600_000);
    let one = client.schedule("t", NewMessage::keyed("k", "far"), far).await.expect("kept");
    let cron = When::Cron("0 0 1 1 *".to_owned());
    let again = client.schedule("t", NewMessage::value("again"), cron).await.expect("kept");
    assert_eq!(client.schedules("t", 10).await.expect("a list").len(), 2);
    let stored = client.deliver_schedule_now("t", &one.id).await.expect("delivered");
    let message = client.consume("t", stored.partition, stored.offset).await.expect("there");
    assert_eq!((message.key.as_deref(), message.value.as_ref()), (Some(&b"k"[..]), &b"far"[..]));
    client.cancel_schedule("t", &again.id).await.expect("cancelled");
    let gone = client.cancel_schedule("t", &again.id).await.expect_err("cancelled already");
    assert_eq!(gone.code, ErrorCode::ScheduleNotFound);
    let never = client.schedule("t", NewMessage::value("x"), When::Cron("a day".to_owned())).await;
    assert_eq!(never.expect_err("no cron").code, ErrorCode::InvalidArgument);
    let at_once = client.schedule("t", NewMessage::value("x"), When::AtMs(1)).await.expect("kept");
    assert_eq!(at_once.cron, "");
}

async fn fail(client: &Client, offset: u64) {
    let nack = pb::NackRequest {
        group: "g".to_owned(),
        topic: "t".to_owned(),
        offset,
        reason: "boom".to_owned(),
        max_retries: Some(0),
        ..pb::NackRequest::default()
    };
    let reply: pb::NackResponse = client.call("Nack", &nack).await.expect("taken");
    assert!(reply.dead_lettered);
}

#[tokio::test]
async fn dead_letters_are_counted_chosen_and_purged() {
    let (_broker, client) = with_topic(1).await;
    fill(&client, 3).await;
    for offset in 0..3 {
        fail(&client, offset).await;
    }
    let stats = client.dead_letter_stats("t").await.expect("counted");
    assert_eq!((stats.total, stats.by_group["g"]), (3, 3));
    let letters = client.dead_letters("t", 10).await.expect("a list");
    assert_eq!((letters.len(), letters[0].error.as_str()), (3, "boom"));
    let topic = "t".to_owned();
    let one = pb::ReplayDeadLettersRequest {
        topic: topic.clone(),
        ids: vec![letters[0].id.clone()],
        ..Default::default()
    };
    assert_eq!(client.replay_dead_letters(&one).await.expect("back"), 1);
    let gone = client.replay_dead_letters(&one).await.expect_err("back already");
    assert_eq!(gone.code, ErrorCode::MessageNotFound);
    let some = pb::ReplayDeadLettersRequest { topic, filter: "V2".to_owned(), ..Default::default() };
    assert_eq!(client.replay_dead_letters(&some).await.expect("back"), 1);
    assert_eq!(client.purge_dead_letters("t").await.expect("gone"), 1);
}

fn text(definition: &str) -> pb::RegisterSchemaRequest {
    pb::RegisterSchemaRequest {
        name: "s".to_owned(),
        r#type: pb::SchemaType::Json.into(),
        definition: definition.to_owned(),
        ..pb::RegisterSchemaRequest::default()
    }
}

#[tokio::test]
async fn schemas_are_asked_for_registered_bound_and_deleted() {
    let (_broker, client) = with_topic(1).await;
    let (number, stricter) = (text(r#"{"type":"number"}"#), text(r#"{"type":"integer"}"#));
    let asked = pb::RegisterSchemaRequest { dry_run: true, ..number.clone() };
    assert_eq!(client.register_schema(&asked).await.expect("it could be"), None);
    let first = client.register_schema(&number).await.expect("registered").expect("a version");
    let refused = client.register_schema(&stricter).await.expect_err("not backward");
    assert_eq!(refused.code, ErrorCode::SchemaIncompatible);
    client.set_compatibility("s", pb::Compatibility::None).await.expect("set");
    client.register_schema(&stricter).await.expect("registered");
    assert_eq!(client.schemas(Some("s")).await.expect("a list").len(), 2);
    assert_eq!(client.schema("s", Some(1)).await.expect("there").global_id, first.global_id);
    assert_eq!(client.schema("s", None).await.expect("there").version, 2);
    assert_eq!(client.validate_schema("s", None, "1.5").await.expect("held against it").len(), 1);
    assert_eq!(client.validate_schema("s", Some(1), "1.5").await.expect("held against it").len(), 0);
    let bind = pb::BindSchemaRequest { topic: "t".to_owned(), name: "s".to_owned(), ..Default::default() };
    client.bind_schema(&bind).await.expect("bound");
    let wrong = client.produce("t", NewMessage::value("text")).await.expect_err("no number");
    assert_eq!(wrong.code, ErrorCode::SchemaValidationFailed);
    client.bind_schema(&pb::BindSchemaRequest { name: String::new(), ..bind }).await.expect("unbound");
    client.produce("t", NewMessage::value("text")).await.expect("anything goes");
    assert_eq!(client.delete_schema("s", None, false).await.expect("deleted"), [1, 2]);
}

#[tokio::test]
async fn open_transactions_are_listed() {
    let (_broker, client) = with_topic(1).await;
    let begun: pb::BeginTransactionResponse =
        client.call("BeginTransaction", &pb::BeginTransactionRequest::default()).await.expect("begun");
    let open = client.list_transactions().await.expect("a list").transactions;
    assert_eq!(open.iter().map(|one| &one.transaction_id).collect::<Vec<_>>(), [&begun.transaction_id]);
}
