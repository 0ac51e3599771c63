//! The Rust SDK: the client core by its typed calls.

use std::time::Duration;

use flymq_client::{
    Acks, Client, ClientError, FetchSpec, Message, NewMessage, ProducerConfig, StartFrom, pb,
};
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture};
use serde_json::{Value, json};

use super::{Addresses, Failure, Opening, Reply, Surface, Unavailable};

struct Sdk(Client);

pub fn open(addresses: &Addresses) -> Opening {
    let addr = addresses.native.clone();
    async move {
        let client = Client::connect(&addr).await.map_err(|e| Unavailable(e.to_string()))?;
        Ok(Box::new(Sdk(client)) as Box<dyn Surface>)
    }
    .boxed()
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        if error.hint.is_empty() {
            return Self::broken(format!("{error} has no hint"));
        }
        Self::coded(error.code_name(), error.message.clone())
    }
}

impl Surface for Sdk {
    fn run<'a>(&'a mut self, op: &'a str, args: &'a Value) -> BoxFuture<'a, Reply> {
        perform(&self.0, op, args).boxed()
    }
}

async fn perform(client: &Client, op: &str, a: &Value) -> Reply {
    let (topic, group) = (text(a, "topic"), text(a, "group"));
    match op {
        "create_topic" => {
            client.create_topic(topic, int(a, "partitions", 0)).await?;
            Ok(json!({}))
        }
        "delete_topic" => Ok(client.delete_topic(topic).await.map(|()| json!({}))?),
        "list_topics" => {
            let topics = client.list_topics().await?;
            Ok(json!({"topics": topics.iter().map(|t| &t.name).collect::<Vec<_>>()}))
        }
        "topic_info" => {
            let partitions = client.topic(topic).await?.partitions;
            let shown = |p: &pb::Partition| json!({"partition": p.partition, "low": p.low_watermark, "high": p.high_watermark, "log_end": p.log_end_offset});
            Ok(json!({"partitions": partitions.iter().map(shown).collect::<Vec<_>>()}))
        }
        "produce" => {
            let stored = client.produce_one(topic, message(a, a), acks(a)).await?;
            Ok(json!({"partition": stored.partition, "offset": stored.offset}))
        }
        "produce_batch" if a["compression"].is_string() => compressed(client, a).await,
        "produce_batch" => {
            let messages = a["messages"].as_array().into_iter().flatten().map(|m| message(a, m)).collect();
            let stored = client.produce_batch(topic, messages, acks(a)).await?;
            let place =
                |s: &flymq_client::RecordMetadata| json!({"partition": s.partition, "offset": s.offset});
            Ok(json!({"results": stored.iter().map(place).collect::<Vec<_>>()}))
        }
        "consume" => Ok(shown(&client.consume(topic, int(a, "partition", 0), long(a, "offset")).await?)),
        "fetch" => fetch(client, a).await,
        "subscribe" => subscribe(client, a).await,
        "commit" => {
            let (topic, partition, offset) = (topic.to_owned(), int(a, "partition", 0), long(a, "offset"));
            client
                .commit(group, vec![pb::PartitionOffset { topic, partition, offset, ..Default::default() }])
                .await?;
            Ok(json!({}))
        }
        "committed" => committed(client, a).await,
        "start_offset" | "reset" | "lag" | "list_groups" | "describe_group" | "delete_group" | "health"
        | "call" | "http" => super::ops::by_json(client, op, a).await,
        other => super::features::perform(client, other, a).await,
    }
}

/// Through the batching producer, which is what compresses.
async fn compressed(client: &Client, a: &Value) -> Reply {
    let config = ProducerConfig {
        compression: text(a, "compression").parse().map_err(Failure::broken)?,
        linger: Duration::from_secs(60),
        ..ProducerConfig::default()
    };
    let producer = client.producer(config);
    let mut sent = Vec::new();
    for given in a["messages"].as_array().into_iter().flatten() {
        sent.push(producer.send(text(a, "topic"), message(a, given)).await?);
    }
    producer.flush().await?;
    let mut results = Vec::new();
    for delivery in sent {
        let stored = delivery.await?;
        results.push(json!({"partition": stored.partition, "offset": stored.offset}));
    }
    Ok(json!({"results": results}))
}

async fn fetch(client: &Client, a: &Value) -> Reply {
    let mut spec = FetchSpec::new(text(a, "topic"), int(a, "partition", 0), long(a, "offset"));
    spec.max_messages = a["max"].as_u64().map_or(500, |n| usize::try_from(n).unwrap_or(usize::MAX));
    spec.max_wait = Duration::from_millis(a["max_wait_ms"].as_u64().unwrap_or(0));
    spec.filter = a["filter"].as_str().map(Into::into);
    let fetched = client.fetch(&spec).await?;
    let messages: Vec<Value> = fetched.messages.iter().map(shown).collect();
    Ok(json!({"messages": messages, "next_offset": fetched.next_offset}))
}

async fn subscribe(client: &Client, a: &Value) -> Reply {
    let from = match a["from"].as_str() {
        Some("latest") => StartFrom::Latest,
        Some("committed") => StartFrom::Committed,
        _ => StartFrom::Earliest,
    };
    let request = pb::SubscribeRequest {
        topic: text(a, "topic").to_owned(),
        group: text(a, "group").to_owned(),
        from: from.into(),
        filter: text(a, "filter").to_owned(),
        ..pb::SubscribeRequest::default()
    };
    let stream = client.subscribe(request).await?;
    let count = usize::try_from(long(a, "count")).unwrap_or(1);
    let messages: Vec<_> = stream.take(count).collect().await;
    let of_topic = |m: Message| {
        let mut shown = shown(&m);
        shown["topic"] = json!(&*m.topic);
        shown
    };
    let messages = messages.into_iter().map(|m| m.map(of_topic)).collect::<Result<Vec<_>, _>>()?;
    Ok(json!({"messages": messages}))
}

/// An unknown group is empty to this call; the cases want to see the error, so ask for the partition itself.
async fn committed(client: &Client, a: &Value) -> Reply {
    super::ops::by_json(client, "committed", a).await
}

fn message(a: &Value, m: &Value) -> NewMessage {
    let bytes = |field: &str| m[field].as_str().map(|t| bytes::Bytes::copy_from_slice(t.as_bytes()));
    let partition = a["partition"].as_i64().map(|p| i32::try_from(p).unwrap_or(i32::MAX));
    let mut new =
        NewMessage { key: bytes("key"), partition, ..NewMessage::value(bytes("value").unwrap_or_default()) };
    for (name, value) in m["headers"].as_object().into_iter().flatten() {
        new = new.header(name, value.as_str().unwrap_or_default().to_owned());
    }
    new
}

fn shown(m: &Message) -> Value {
    let text = |b: &bytes::Bytes| json!(String::from_utf8_lossy(b));
    let mut shown = json!({"offset": m.offset, "key": m.key.as_ref().map(text), "value": text(&m.value)});
    if !m.headers.is_empty() {
        shown["headers"] = m.headers.iter().map(|(name, value)| (name.clone(), text(value))).collect();
    }
    shown
}

fn acks(a: &Value) -> Acks {
    match a["acks"].as_str() {
        Some("none") => Acks::None,
        Some("leader") => Acks::Leader,
        _ => Acks::All,
    }
}

fn text<'a>(a: &'a Value, field: &str) -> &'a str {
    a[field].as_str().unwrap_or_default()
}

fn int(a: &Value, field: &str, otherwise: i32) -> i32 {
    a[field].as_i64().map_or(otherwise, |n| i32::try_from(n).unwrap_or(i32::MAX))
}

fn long(a: &Value, field: &str) -> u64 {
    a[field].as_u64().unwrap_or(0)
}
