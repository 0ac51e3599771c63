//! Operations of the cases as rpcs with JSON in and out: what gRPC, native version 2 and REST share.

use futures::{FutureExt as _, future::BoxFuture};
use serde_json::{Value, json};

use super::{Failure, Reply, Surface, features};

/// Carries any rpc.
pub trait Rpcs: Send {
    /// A unary rpc; both documents have proto field names.
    fn call<'a>(&'a mut self, rpc: &'a str, request: Value) -> BoxFuture<'a, Reply>;

    /// The first `count` records of a subscription, as `SubscribeResponse` documents.
    fn subscribe<'a>(
        &'a mut self,
        request: Value,
        count: usize,
    ) -> BoxFuture<'a, Result<Vec<Value>, Failure>>;

    /// A request of HTTP that is no rpc: `method`, `path` by its segments, `body`.
    fn http<'a>(&'a mut self, _request: &'a Value) -> BoxFuture<'a, Reply> {
        async { Err(Failure::Unsupported("it speaks no HTTP".to_owned())) }.boxed()
    }
}

/// A door, spoken by rpcs.
pub struct OverRpcs<T>(pub T);

impl<T: Rpcs> Surface for OverRpcs<T> {
    fn run<'a>(&'a mut self, op: &'a str, args: &'a Value) -> BoxFuture<'a, Reply> {
        run(&mut self.0, op, args).boxed()
    }
}

async fn run<T: Rpcs>(rpcs: &mut T, op: &str, a: &Value) -> Reply {
    let group = &a["group"];
    match op {
        "create_topic" => {
            let options = json!({"partitions": number(a, "partitions", 0)});
            rpcs.call("CreateTopic", json!({"name": a["topic"], "options": options})).await.map(nothing)
        }
        "delete_topic" => rpcs.call("DeleteTopic", json!({"name": a["topic"]})).await.map(nothing),
        "list_topics" => {
            let reply = rpcs.call("ListTopics", json!({})).await?;
            Ok(json!({"topics": list(&reply["topics"], |t| t["name"].clone())}))
        }
        "topic_info" => info(&rpcs.call("GetTopic", json!({"name": a["topic"]})).await?),
        "produce" => produce(rpcs, a, std::slice::from_ref(a)).await.map(|results| results[0].clone()),
        "produce_batch" => {
            let messages = a["messages"].as_array().cloned().unwrap_or_default();
            Ok(json!({"results": produce(rpcs, a, &messages).await?}))
        }
        "consume" => {
            let request = json!({"topic": a["topic"], "partition": number(a, "partition", 0), "offset": a["offset"], "text": true});
            Ok(message(&rpcs.call("Consume", request).await?["record"]))
        }
        "fetch" => fetch(rpcs, a).await,
        "subscribe" => subscribe(rpcs, a).await,
        "start_offset" => {
            let request = json!({"topic": a["topic"], "group": text(a, "group"), "partition": a["partition"], "from": from(a, "from")});
            let reply = rpcs.call("GetStartOffset", request).await?;
            Ok(json!({"offset": reply["offset"]}))
        }
        "commit" => {
            let offset = json!({"topic": a["topic"], "partition": a["partition"], "offset": a["offset"]});
            rpcs.call("CommitOffsets", json!({"group": group, "offsets": [offset]})).await.map(nothing)
        }
        "committed" => {
            let request = json!({"group": group, "topic": a["topic"], "partition": a["partition"]});
            let reply = rpcs.call("GetOffsets", request).await?;
            Ok(json!({"offset": reply["offsets"][0]["offset"]}))
        }
        "reset" => reset(rpcs, a).await,
        "lag" => {
            let request = json!({"group": group, "topic": a["topic"], "partition": a["partition"]});
            let lag = rpcs.call("GetLag", request).await?["partitions"][0].clone();
            Ok(
                json!({"committed": lag["committed"], "latest": lag["latest"], "lag": lag["lag"], "lag_ms": lag["lag_ms"]}),
            )
        }
        "list_groups" => {
            let reply = rpcs.call("ListGroups", json!({})).await?;
            Ok(json!({"groups": list(&reply["groups"], |g| g["group"].clone())}))
        }
        "describe_group" => {
            let reply = rpcs.call("DescribeGroup", json!({"group": group})).await?;
            let offset =
                |o: &Value| json!({"topic": o["topic"], "partition": o["partition"], "offset": o["offset"]});
            Ok(json!({"offsets": list(&reply["offsets"], offset)}))
        }
        "delete_group" => {
            rpcs.call("DeleteGroup", json!({"group": group, "topic": text(a, "topic")})).await.map(nothing)
        }
        "health" => Ok(json!({"ready": rpcs.call("GetHealth", json!({})).await?["ready"]})),
        "http" => rpcs.http(a).await,
        "call" => rpcs.call(a["rpc"].as_str().unwrap_or_default(), a["request"].clone()).await,
        other => Err(features::unsupported_at_a_door(other)),
    }
}

async fn produce<T: Rpcs>(rpcs: &mut T, a: &Value, messages: &[Value]) -> Result<Vec<Value>, Failure> {
    if a["compression"].is_string() {
        return produce_compressed(rpcs, a).await;
    }
    let records = messages.iter().map(record).collect::<Vec<_>>();
    let acks = format!("ACKS_{}", a["acks"].as_str().unwrap_or("all").to_uppercase());
    let mut request = json!({"topic": a["topic"], "acks": acks, "records": records});
    if a["partition"].is_number() {
        request["partition"] = a["partition"].clone();
    }
    let reply = rpcs.call("Produce", request).await?;
    let place = |r: &Value| json!({"partition": r["partition"], "offset": r["offset"]});
    Ok(reply["records"].as_array().into_iter().flatten().map(place).collect())
}

/// The messages as one compressed batch.
async fn produce_compressed<T: Rpcs>(rpcs: &mut T, a: &Value) -> Result<Vec<Value>, Failure> {
    use base64::Engine as _;
    let batch = base64::engine::general_purpose::STANDARD.encode(crate::seed::compressed(a)?);
    let request = json!({"topic": a["topic"], "partition": number(a, "partition", 0), "acks": "ACKS_ALL", "batch": batch});
    let reply = rpcs.call("Produce", request).await?;
    let (base, count) = (reply["base_offset"].as_u64(), reply["record_count"].as_u64());
    let (base, count) = base.zip(count).ok_or_else(|| Failure::broken(format!("no offsets in {reply}")))?;
    Ok((base..base + count)
        .map(|offset| json!({"partition": reply["partition"], "offset": offset}))
        .collect())
}

fn record(message: &Value) -> Value {
    let mut record = json!({});
    for (field, target) in
        [("value", "value_text"), ("key", "key_text"), ("value_base64", "value"), ("key_base64", "key")]
    {
        if message[field].is_string() {
            record[target] = message[field].clone();
        }
    }
    if let Some(headers) = message["headers"].as_object() {
        use base64::Engine as _;
        let encode =
            |v: &Value| base64::engine::general_purpose::STANDARD.encode(v.as_str().unwrap_or_default());
        record["headers"] =
            headers.iter().map(|(name, v)| json!({"name": name, "value": encode(v)})).collect();
    }
    record
}

async fn fetch<T: Rpcs>(rpcs: &mut T, a: &Value) -> Reply {
    let request = json!({
        "topic": a["topic"], "partition": a["partition"], "offset": a["offset"], "text": true,
        "max_records": number(a, "max", 0), "max_wait_ms": number(a, "max_wait_ms", 0),
    });
    let request = with_filter(request, a);
    let reply = rpcs.call("Fetch", request).await?;
    Ok(json!({"messages": list(&reply["records"], message), "next_offset": reply["next_offset"]}))
}

fn with_filter(mut request: Value, a: &Value) -> Value {
    for field in ["filter", "filter_kind"] {
        if a[field].is_string() {
            request[field] = a[field].clone();
        }
    }
    request
}

async fn subscribe<T: Rpcs>(rpcs: &mut T, a: &Value) -> Reply {
    let request =
        json!({"topic": a["topic"], "group": text(a, "group"), "from": from(a, "from"), "text": true});
    let request = with_filter(request, a);
    let count = usize::try_from(a["count"].as_u64().unwrap_or(1)).unwrap_or(1);
    let runs = rpcs.subscribe(request, count).await?;
    let messages: Vec<Value> =
        runs.iter().flat_map(|run| list(&run["records"], |r| of_topic(message(r), &run["topic"]))).collect();
    Ok(json!({"messages": messages.into_iter().take(count).collect::<Vec<_>>()}))
}

fn of_topic(mut message: Value, topic: &Value) -> Value {
    message["topic"] = topic.clone();
    message
}

async fn reset<T: Rpcs>(rpcs: &mut T, a: &Value) -> Reply {
    let mut request = json!({"group": a["group"], "topic": a["topic"], "partitions": [a["partition"]]});
    match a["to"].as_u64() {
        Some(offset) => {
            request["to"] = json!("START_FROM_OFFSET");
            request["offset"] = json!(offset);
        }
        None => request["to"] = from(a, "to"),
    }
    rpcs.call("ResetOffsets", request).await.map(nothing)
}

fn info(reply: &Value) -> Reply {
    let partition = |p: &Value| json!({"partition": p["partition"], "low": p["low_watermark"], "high": p["high_watermark"], "log_end": p["log_end_offset"]});
    Ok(json!({"partitions": list(&reply["topic"]["partitions"], partition)}))
}

/// A record as cases write it.
pub fn message(record: &Value) -> Value {
    let mut message =
        json!({"offset": record["offset"], "key": record["key_text"], "value": record["value_text"]});
    if record["value_text"].is_null() {
        message["value_base64"] = record["value"].clone();
    }
    if let Some(headers) = record["headers"].as_array().filter(|h| !h.is_empty()) {
        use base64::Engine as _;
        let decode = |v: &Value| {
            let bytes = base64::engine::general_purpose::STANDARD
                .decode(v.as_str().unwrap_or_default())
                .unwrap_or_default();
            json!(String::from_utf8_lossy(&bytes))
        };
        let pairs =
            headers.iter().map(|h| (h["name"].as_str().unwrap_or_default().to_owned(), decode(&h["value"])));
        message["headers"] = pairs.collect();
    }
    message
}

fn from(a: &Value, field: &str) -> Value {
    json!(format!("START_FROM_{}", a[field].as_str().unwrap_or("earliest").to_uppercase()))
}

fn list(items: &Value, each: impl Fn(&Value) -> Value) -> Vec<Value> {
    items.as_array().into_iter().flatten().map(each).collect()
}

fn number(a: &Value, field: &str, otherwise: i64) -> i64 {
    a[field].as_i64().unwrap_or(otherwise)
}

fn text(a: &Value, field: &str) -> String {
    a[field].as_str().unwrap_or_default().to_owned()
}

fn nothing(_: Value) -> Value {
    json!({})
}

/// An operation through the Rust SDK's JSON call: what its bindings use for control operations.
pub async fn by_json(client: &flymq_client::Client, op: &str, args: &Value) -> Reply {
    run(&mut ByJson(client), op, args).await
}

struct ByJson<'c>(&'c flymq_client::Client);

impl Rpcs for ByJson<'_> {
    fn call<'a>(&'a mut self, rpc: &'a str, request: Value) -> BoxFuture<'a, Reply> {
        async move {
            let reply = self.0.call_json(rpc, &request.to_string()).await?;
            serde_json::from_str(&reply).map_err(Failure::broken)
        }
        .boxed()
    }

    fn subscribe<'a>(&'a mut self, _: Value, _: usize) -> BoxFuture<'a, Result<Vec<Value>, Failure>> {
        async { Err(Failure::broken("streams do not go through JSON calls")) }.boxed()
    }
}
