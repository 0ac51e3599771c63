//! What a client does by itself, by the Rust SDK's own calls: members, transactions, queues, serdes.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use flymq_client::{
    Client, ConsumerConfig, MemberConfig, Message, NewMessage, OffsetReset, Position, ProducerConfig,
    QueueConfig, TransactionalConfig, pb,
    serde::{SchemaSerde, Serdes},
};
use serde_json::{Value, json};

use super::{Failure, Reply, ops::by_json};

const WAIT: Duration = Duration::from_secs(1);

/// Operations that a door has not got: there the rpcs they are made of have rows of their own.
pub const CLIENTS_ONLY: [&str; 17] = [
    "produce_many",
    "read_as_member",
    "transaction",
    "transform",
    "queue",
    "dead_letters",
    "replay",
    "purge",
    "schedule",
    "schedules",
    "cancel",
    "deliver_now",
    "produce_ttl",
    "register_schema",
    "produce_with_schema",
    "serialize",
    "deserialize",
];

/// Serdes that ask no registry.
const PLAIN: [&str; 3] = ["json", "string", "binary"];

pub fn unsupported_at_a_door(op: &str) -> Failure {
    if CLIENTS_ONLY.contains(&op) {
        let why = format!("{op} is what a client does with rpcs; the rpcs have rows of their own");
        return Failure::Unsupported(why);
    }
    Failure::broken(format!("no operation {op}"))
}

pub async fn perform(client: &Client, op: &str, a: &Value) -> Reply {
    match op {
        "produce_many" => produce_many(client, a).await,
        "read_as_member" => read_as_member(client, a).await,
        "transaction" => transaction(client, a).await,
        "transform" => transform(client, a).await,
        "queue" => queue(client, a).await,
        "serialize" => serialize(client, a).await,
        "deserialize" => {
            let value = STANDARD.decode(text(a, "framed")).map_err(Failure::broken)?;
            if PLAIN.contains(&text(a, "serde")) {
                let read = Serdes::new(client).get(text(a, "serde"))?.decode_text(&value).await?;
                let document = match text(a, "serde") {
                    "json" => serde_json::from_str(&read).map_err(Failure::broken)?,
                    _ => json!(read),
                };
                return Ok(json!({"document": document}));
            }
            let document = SchemaSerde::by_name(client, text(a, "serde"))?.decode(&value).await?;
            Ok(json!({"document": document}))
        }
        other => by_rpc(client, other, a).await,
    }
}

async fn produce_many(client: &Client, a: &Value) -> Reply {
    let enable_idempotence = a["idempotent"] == json!(true);
    let producer = client.producer(ProducerConfig { enable_idempotence, ..ProducerConfig::default() });
    let mut sent = Vec::new();
    for value in list(&a["values"]) {
        sent.push(producer.send(text(a, "topic"), to_the_first(value.as_str().unwrap_or_default())).await?);
    }
    producer.flush().await?;
    let mut results = Vec::new();
    for delivery in sent {
        let stored = delivery.await?;
        results.push(json!({"partition": stored.partition, "offset": stored.offset}));
    }
    Ok(json!({"results": results}))
}

fn member(topics: Vec<String>, group: &str) -> ConsumerConfig {
    let config = ConsumerConfig::new(topics, Some(group)).reset(OffsetReset::Earliest);
    let config = config.as_member(MemberConfig::default());
    ConsumerConfig { enable_auto_commit: false, ..config }
}

async fn read_as_member(client: &Client, a: &Value) -> Reply {
    let topics = list(&a["topics"]).iter().filter_map(Value::as_str).map(str::to_owned).collect();
    let mut consumer = client.consumer(member(topics, text(a, "group")))?;
    let count = count(a);
    let mut found: Vec<Message> = Vec::new();
    while found.len() < count {
        found.extend(consumer.poll(WAIT, count - found.len()).await?);
    }
    consumer.commit().await?;
    consumer.close().await?;
    found.sort_by(|one, other| (&one.topic, one.offset).cmp(&(&other.topic, other.offset)));
    let shown = |m: &Message| json!({"topic": &*m.topic, "offset": m.offset, "value": String::from_utf8_lossy(&m.value)});
    Ok(json!({"messages": found.iter().map(shown).collect::<Vec<_>>()}))
}

async fn transaction(client: &Client, a: &Value) -> Reply {
    let mut producer = client.transactional_producer(TransactionalConfig::new(text(a, "id"))).await?;
    producer.begin().await?;
    for one in list(&a["sends"]) {
        producer.send(text(one, "topic"), to_the_first(text(one, "value"))).await?;
    }
    if a["offset"].is_object() {
        let offset: pb::PartitionOffset = pb::PartitionOffset {
            topic: text(&a["offset"], "topic").to_owned(),
            offset: a["offset"]["offset"].as_u64().unwrap_or(0),
            ..pb::PartitionOffset::default()
        };
        producer.send_offsets(text(a, "group"), vec![offset], None).await?;
    }
    if a["commit"] == json!(true) {
        producer.commit().await?;
    } else {
        producer.abort().await?;
    }
    Ok(json!({}))
}

async fn transform(client: &Client, a: &Value) -> Reply {
    let mut producer = client.transactional_producer(TransactionalConfig::new(text(a, "id"))).await?;
    let mut consumer = client.consumer(member(vec![text(a, "from").to_owned()], text(a, "group")))?;
    let mut done = 0;
    while done < count(a) {
        let messages = consumer.poll(WAIT, 0).await?;
        if messages.is_empty() {
            continue;
        }
        let upper =
            |m: &Message| vec![(text(a, "to").to_owned(), NewMessage::value(m.value.to_ascii_uppercase()))];
        producer.transform_polled(&mut consumer, &messages, upper).await?;
        done += messages.len();
    }
    consumer.close().await?;
    Ok(json!({"done": done}))
}

async fn queue(client: &Client, a: &Value) -> Reply {
    let config = QueueConfig {
        max_retries: a["max_retries"].as_u64().and_then(|n| u32::try_from(n).ok()),
        retry_delay: a["retry_delay_ms"].as_u64().map(Duration::from_millis),
        ..QueueConfig::new(text(a, "topic"), text(a, "group"))
    };
    let queue = client.queue(config)?;
    let answers = list(&a["answers"]);
    let mut held = Vec::new();
    while held.len() < answers.len() {
        let left = u32::try_from(answers.len() - held.len()).map_err(Failure::broken)?;
        held.extend(queue.acquire(WAIT, left).await?);
    }
    let mut messages = Vec::new();
    for (one, how) in held.iter().zip(answers) {
        let at: Position = (one.message.partition, one.message.offset);
        let value = String::from_utf8_lossy(&one.message.value);
        let mut told = json!({"value": value, "delivery_count": one.delivery_count});
        match how.as_str().unwrap_or_default() {
            "accept" => queue.accept(&[at]).await?,
            "reject" => queue.reject(&[at], "boom").await?,
            "release" => queue.release(&[at]).await?,
            "extend" => queue.extend(&[at]).await?,
            "nack" => {
                let failed = queue.nack(at, "boom").await?;
                told["attempts"] = json!(failed.attempts);
                told["dead_lettered"] = json!(failed.dead_lettered);
            }
            _ => {}
        }
        if a["twice"] == json!(true) {
            queue.accept(&[at]).await?;
        }
        messages.push(told);
    }
    queue.close().await?;
    Ok(json!({"messages": messages}))
}

async fn serialize(client: &Client, a: &Value) -> Reply {
    let hex = |bytes: &[u8]| bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    if PLAIN.contains(&text(a, "serde")) {
        let document = &a["document"];
        let document = document
            .as_str()
            .filter(|_| text(a, "serde") != "json")
            .map_or_else(|| document.to_string(), str::to_owned);
        let value =
            Serdes::new(client).get(text(a, "serde"))?.encode_text(text(a, "topic"), &document).await?;
        return Ok(json!({"bytes": hex(&value), "framed": STANDARD.encode(&value)}));
    }
    let serde = SchemaSerde::by_name(client, text(a, "serde"))?;
    let serde = match a["subject"].as_str() {
        Some(subject) => serde.subject(subject),
        None => serde,
    };
    let value = serde.encode(text(a, "topic"), &a["document"]).await?;
    Ok(json!({"frame": hex(&value[..1]), "value": hex(&value[5..]), "framed": STANDARD.encode(&value)}))
}

/// Those that the Rust SDK does by rpc.
async fn by_rpc(client: &Client, op: &str, a: &Value) -> Reply {
    let topic = &a["topic"];
    let record = json!({"value_text": a["value"]});
    let call = async |rpc: &str, request: Value| {
        by_json(client, "call", &json!({"rpc": rpc, "request": request})).await
    };
    let produced = |reply: Value| {
        let place = &reply["records"][0];
        json!({"partition": place["partition"], "offset": place["offset"]})
    };
    match op {
        "dead_letters" => call("ListDeadLetters", json!({"topic": topic})).await,
        "replay" => call("ReplayDeadLetters", json!({"topic": topic, "ids": [a["id"]]})).await,
        "purge" => call("PurgeDeadLetters", json!({"topic": topic})).await,
        "schedule" => {
            let mut request = json!({"topic": topic, "record": record});
            for when in ["delay_ms", "at_ms", "cron"].into_iter().filter(|when| !a[*when].is_null()) {
                request[when] = a[when].clone();
            }
            Ok(json!({"id": call("ScheduleMessage", request).await?["schedule"]["id"]}))
        }
        "schedules" => call("ListSchedules", json!({"topic": topic})).await,
        "cancel" => call("CancelSchedule", json!({"topic": topic, "id": a["id"]})).await,
        "deliver_now" => {
            let reply = call("DeliverScheduleNow", json!({"topic": topic, "id": a["id"]})).await?;
            Ok(json!({"offset": reply["record"]["offset"]}))
        }
        "produce_ttl" | "produce_with_schema" => {
            let mut request = json!({"topic": topic, "acks": "ACKS_ALL", "records": [record]});
            for field in ["ttl_ms", "schema"].into_iter().filter(|field| !a[*field].is_null()) {
                request[field] = a[field].clone();
            }
            call("Produce", request).await.map(produced)
        }
        "register_schema" => {
            let kind = format!("SCHEMA_TYPE_{}", text(a, "type").to_uppercase());
            let request = json!({"name": a["name"], "type": kind, "definition": a["definition"]});
            Ok(json!({"version": call("RegisterSchema", request).await?["schema"]["version"]}))
        }
        other => Err(Failure::broken(format!("no operation {other}"))),
    }
}

fn to_the_first(value: &str) -> NewMessage {
    NewMessage { partition: Some(0), ..NewMessage::value(value.to_owned()) }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn count(a: &Value) -> usize {
    a["count"].as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or(1)
}

fn text<'a>(a: &'a Value, field: &str) -> &'a str {
    a[field].as_str().unwrap_or_default()
}
