//! 0xAF version 2, spoken frame by frame: produce and fetch in their own layouts, all else as protobuf.

use bytes::{Bytes, BytesMut};
use flymq_proto::pb;
use flymq_wire::{
    batch::{BatchBuilder, BatchHeader, BatchSlices, NewRecord, records},
    compress::InflateLimits,
    frame::{FrameDecoder, FrameParts, Version},
    v2::{self, Message, flag, op},
};
use futures::{FutureExt as _, future::BoxFuture};
use prost::Message as _;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{
    Addresses, Failure, Opening, Reply, Surface, Unavailable, documents,
    ops::{OverRpcs, Rpcs},
};

struct Native {
    socket: TcpStream,
    decoder: FrameDecoder,
    buffer: BytesMut,
    correlation: u32,
}

pub fn open(addresses: &Addresses) -> Opening {
    let addr = addresses.native.clone();
    async move {
        let socket = TcpStream::connect(&addr).await.map_err(|e| Unavailable(e.to_string()))?;
        let decoder = FrameDecoder::default().with_version(Version::V2);
        let mut native = Native { socket, decoder, buffer: BytesMut::new(), correlation: 0 };
        let hello = pb::HelloRequest { client: "conformance".to_owned(), ..pb::HelloRequest::default() };
        let body = native.exchange(op::HELLO, 0, hello.encode_to_vec().into()).await;
        body.map_err(|f| Unavailable(format!("{f:?}")))?;
        Ok(Box::new(OverRpcs(native)) as Box<dyn Surface>)
    }
    .boxed()
}

impl Native {
    async fn exchange(&mut self, op: u8, flags: u8, body: Bytes) -> Result<Bytes, Failure> {
        self.correlation += 1;
        let frame = Message { op, flags, correlation: self.correlation, body }
            .into_frame()
            .map_err(Failure::broken)?;
        self.send(frame).await?;
        self.reply().await
    }

    async fn send(&mut self, mut frame: FrameParts) -> Result<(), Failure> {
        self.socket.write_all_buf(&mut frame).await.map_err(Failure::broken)
    }

    /// The next frame of the request under way.
    async fn next(&mut self) -> Result<Message, Failure> {
        loop {
            if let Some(frame) = self.decoder.decode(&mut self.buffer).map_err(Failure::broken)? {
                let message = Message::from_frame(frame).map_err(Failure::broken)?;
                if message.correlation == self.correlation {
                    return Ok(message);
                }
            } else if self.socket.read_buf(&mut self.buffer).await.map_err(Failure::broken)? == 0 {
                return Err(Failure::broken("the server closed the connection"));
            }
        }
    }

    async fn reply(&mut self) -> Result<Bytes, Failure> {
        let message = self.next().await?;
        if !message.is_error() {
            return Ok(message.body);
        }
        let detail = pb::ErrorDetail::decode(message.body).map_err(Failure::broken)?;
        Err(Failure::coded(detail.code().as_str_name().trim_start_matches("ERROR_CODE_"), detail.message))
    }

    /// PRODUCE in its own layout, for records that all go where the request says.
    async fn produce(&mut self, request: &Value) -> Reply {
        let records = request["records"].as_array().map(Vec::as_slice).unwrap_or_default();
        if let Some(batch) = request["batch"].as_str() {
            use base64::Engine as _;
            let batch = base64::engine::general_purpose::STANDARD.decode(batch).map_err(Failure::broken)?;
            return self.produce_batch(request, batch.into()).await;
        }
        let mut builder = BatchBuilder::new();
        for record in records {
            let part = |name: &str| record[name].as_str().map(str::as_bytes);
            let new = NewRecord {
                key: part("key_text"),
                value: part("value_text"),
                timestamp: 1,
                expires_at: None,
            };
            builder.push(&new).map_err(Failure::broken)?;
        }
        self.produce_batch(request, builder.build().map_err(Failure::broken)?).await
    }

    async fn produce_batch(&mut self, request: &Value, batch: Bytes) -> Reply {
        let count = u64::from(BatchHeader::parse(&batch).map_err(Failure::broken)?.record_count);
        self.correlation += 1;
        let body = v2::ProduceBody {
            acks: v2::Acks::All,
            partition: request["partition"].as_i64().map_or(-1, |p| i32::try_from(p).unwrap_or(i32::MAX)),
            timeout_ms: 0,
            topic: request["topic"].as_str().unwrap_or_default().to_owned(),
            batch,
        };
        self.send(body.encode(self.correlation).map_err(Failure::broken)?).await?;
        let reply = v2::ProduceReply::decode(self.reply().await?).map_err(Failure::broken)?;
        let place = |i: u64| json!({"partition": reply.partition, "offset": reply.base_offset + i});
        let places: Vec<_> = (0..count).map(place).collect();
        Ok(
            json!({"records": places, "partition": reply.partition, "base_offset": reply.base_offset, "record_count": count}),
        )
    }

    /// FETCH in its own layout; what the client core does with the batches is done here by hand.
    async fn fetch(&mut self, request: &Value) -> Reply {
        self.correlation += 1;
        let offset = request["offset"].as_u64().unwrap_or(0);
        let body = v2::FetchBody {
            partition: request["partition"].as_i64().map_or(0, |p| i32::try_from(p).unwrap_or(i32::MAX)),
            offset,
            max_bytes: 1 << 20,
            min_bytes: 1,
            max_wait_ms: u32::try_from(request["max_wait_ms"].as_u64().unwrap_or(0)).unwrap_or(0),
            isolation: v2::Isolation::ReadCommitted,
            topic: request["topic"].as_str().unwrap_or_default().to_owned(),
        };
        self.send(body.encode(self.correlation).map_err(Failure::broken)?).await?;
        let reply = v2::FetchReply::decode(self.reply().await?).map_err(Failure::broken)?;
        let max = request["max_records"].as_u64().filter(|n| *n > 0).unwrap_or(500);
        let mut records = Vec::new();
        for run in reply.runs {
            records.extend(opened(run)?);
        }
        records.retain(|r| r["offset"].as_u64() >= Some(offset));
        let all = records.len() as u64 <= max;
        records.truncate(usize::try_from(max).unwrap_or(usize::MAX));
        let last = records.last().and_then(|r| r["offset"].as_u64()).map_or(offset, |o| o + 1);
        Ok(json!({"records": records, "next_offset": if all { reply.next_offset } else { last }}))
    }
}

fn opened(run: Bytes) -> Result<Vec<Value>, Failure> {
    let mut found = Vec::new();
    for item in BatchSlices::new(run) {
        let (_, batch) = item.map_err(Failure::broken)?;
        flymq_wire::batch::verify(&batch).map_err(Failure::broken)?;
        // Version 2 hands out batches as they are stored: opening one is the client's part.
        let opened = records(&batch, &InflateLimits::BATCH);
        let opened = opened.map_err(|why| Failure::coded("CORRUPT_DATA", why.to_string()))?;
        for view in &opened {
            let view = view.map_err(Failure::broken)?;
            let text = |bytes: Option<&[u8]>| bytes.map(|b| String::from_utf8_lossy(b).into_owned());
            found.push(
                json!({"offset": view.offset, "key_text": text(view.key), "value_text": text(view.value)}),
            );
        }
    }
    Ok(found)
}

/// Whether PRODUCE's own layout can say it: one partition for all records, and nothing but key and value text.
fn one_batch(request: &Value) -> bool {
    let records = request["records"].as_array().map(Vec::as_slice).unwrap_or_default();
    let plain = |r: &Value| r["headers"].is_null() && r["value"].is_null() && r["key"].is_null();
    let batch = request["batch"].is_string();
    if !request["ttl_ms"].is_null() || !request["schema"].is_null() {
        return false;
    }
    batch || records.iter().all(plain) && (records.len() == 1 || request["partition"].is_number())
}

impl Rpcs for Native {
    fn call<'a>(&'a mut self, name: &'a str, request: Value) -> BoxFuture<'a, Reply> {
        async move {
            let rpc = documents::rpc(name)?;
            match name {
                "Produce" if one_batch(&request) => return self.produce(&request).await,
                "Fetch" if request["filter"].is_null() && request["filter_kind"].is_null() => {
                    return self.fetch(&request).await;
                }
                _ => {}
            }
            let own_layout = matches!(rpc.op.code, op::PRODUCE | op::FETCH);
            let body = documents::encode(rpc, &request)?;
            let reply = self.exchange(rpc.op.code, if own_layout { flag::PROTOBUF } else { 0 }, body).await?;
            documents::decode(rpc, reply)
        }
        .boxed()
    }

    fn subscribe<'a>(
        &'a mut self,
        mut request: Value,
        count: usize,
    ) -> BoxFuture<'a, Result<Vec<Value>, Failure>> {
        async move {
            let rpc = documents::rpc("Subscribe")?;
            request["batches"] = json!(true);
            request["text"] = json!(false);
            request["credit_bytes"] = json!(1 << 20);
            let body = documents::encode(rpc, &request)?;
            let first = self.exchange(op::SUBSCRIBE_STREAM, 0, body).await?;
            let (mut runs, mut seen, mut next) = (Vec::new(), 0, first);
            loop {
                let push = v2::PushBody::decode(next).map_err(Failure::broken)?;
                for run in push.runs {
                    let records = opened(run)?;
                    seen += records.len();
                    runs.push(json!({"topic": push.topic, "records": records}));
                }
                if seen >= count {
                    break;
                }
                next = self.reply().await?;
            }
            let cancel = v2::CancelBody { stream: self.correlation }.encode(0).map_err(Failure::broken)?;
            self.send(cancel).await?;
            while !self.next().await?.is_end() {}
            Ok(runs)
        }
        .boxed()
    }
}
