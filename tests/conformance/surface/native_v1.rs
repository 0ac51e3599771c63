//! 0xAF version 1, as the clients in the field speak it: their requests, their layouts, one reply after another.

use bytes::{Bytes, BytesMut};
use flymq_wire::{
    frame::{Frame, FrameDecoder, Version},
    v1::{self, Layout, ReplyError, Request, Str8},
};
use futures::{FutureExt as _, future::BoxFuture};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{Addresses, Failure, Opening, Reply, Surface, Unavailable, features};

struct Native {
    socket: TcpStream,
    decoder: FrameDecoder,
    buffer: BytesMut,
}

pub fn open(addresses: &Addresses) -> Opening {
    let addr = addresses.native.clone();
    async move {
        let socket = TcpStream::connect(&addr).await.map_err(|e| Unavailable(e.to_string()))?;
        let decoder = FrameDecoder::default().with_version(Version::V1);
        Ok(Box::new(Native { socket, decoder, buffer: BytesMut::new() }) as Box<dyn Surface>)
    }
    .boxed()
}

impl Native {
    async fn exchange<T: Layout>(&mut self, request: Request) -> Result<T, Failure> {
        let op = request.op();
        let mut frame = request.encode().map_err(Failure::broken)?;
        self.socket.write_all_buf(&mut frame).await.map_err(Failure::broken)?;
        let frame = self.frame().await?;
        v1::read_reply(op, &frame).map_err(|error| match error {
            ReplyError::Server(reply) => Failure::Error { code: None, message: reply.text },
            ReplyError::WrongOp { .. } | ReplyError::Decode(_) => Failure::broken(error),
        })
    }

    async fn frame(&mut self) -> Result<Frame, Failure> {
        loop {
            if let Some(frame) = self.decoder.decode(&mut self.buffer).map_err(Failure::broken)? {
                return Ok(frame);
            }
            if self.socket.read_buf(&mut self.buffer).await.map_err(Failure::broken)? == 0 {
                return Err(Failure::broken("the server closed the connection"));
            }
        }
    }

    /// For requests whose reply is only that they were done.
    async fn done(&mut self, request: Request) -> Reply {
        self.exchange::<v1::Done>(request).await.map(|_| json!({}))
    }

    async fn produce(&mut self, a: &Value, message: &Value) -> Reply {
        if !message["headers"].is_null() {
            return Err(Failure::Unsupported("version 1 has no headers".to_owned()));
        }
        let request = v1::Produce {
            topic: text(a, "topic"),
            key: Bytes::from(text(message, "key")),
            value: Bytes::from(text(message, "value")),
            partition: a["partition"].as_i64().map_or(-1, |p| i32::try_from(p).unwrap_or(i32::MAX)),
        };
        let stored: v1::RecordMetadata = self.exchange(Request::Produce(request)).await?;
        // All that version 1 can ask for is `leader`. A read of this record waits until it may be read; one that begins before it
        // would be answered with those.
        let (partition, offset) = (stored.partition, stored.offset);
        let read = v1::Fetch { topic: text(a, "topic"), partition, offset, max: 1, filter: None };
        let _: v1::FetchReply = self.exchange(Request::Fetch(read)).await?;
        Ok(json!({"partition": stored.partition, "offset": stored.offset}))
    }

    async fn produce_batch(&mut self, a: &Value) -> Reply {
        if a["compression"].is_string() {
            return Err(Failure::Unsupported("version 1 compresses requests, not batches".to_owned()));
        }
        let mut results = Vec::new();
        for message in a["messages"].as_array().into_iter().flatten() {
            results.push(self.produce(a, message).await?);
        }
        Ok(json!({"results": results}))
    }

    async fn fetch(&mut self, a: &Value, offset: u64, max: i64) -> Reply {
        let request = v1::Fetch {
            topic: text(a, "topic"),
            partition: partition(a),
            offset,
            max: i32::try_from(max).unwrap_or(i32::MAX),
            filter: a["filter"].as_str().map(str::to_owned),
        };
        let reply: v1::FetchReply = self.exchange(Request::Fetch(request)).await?;
        let shown =
            |m: &v1::Message| json!({"offset": m.offset, "key": key(&m.key), "value": show(&m.value)});
        Ok(
            json!({"messages": reply.messages.iter().map(shown).collect::<Vec<_>>(), "next_offset": reply.next_offset}),
        )
    }

    async fn start_offset(&mut self, a: &Value) -> Result<u64, Failure> {
        let mode = match a["from"].as_str() {
            Some("committed") => "commit",
            Some(mode) => mode,
            None => "earliest",
        };
        let (topic, group) = (text(a, "topic"), text(a, "group"));
        let request = v1::Subscribe { topic, group, partition: partition(a), mode: Str8(mode.to_owned()) };
        let reply: v1::OffsetReply = self.exchange(Request::Subscribe(request)).await?;
        Ok(reply.offset)
    }

    fn group_partition(a: &Value) -> v1::GroupPartition {
        v1::GroupPartition { topic: text(a, "topic"), group: text(a, "group"), partition: partition(a) }
    }

    async fn reset(&mut self, a: &Value) -> Reply {
        let (mode, offset) = match a["to"].as_u64() {
            Some(offset) => ("offset", Some(offset)),
            None => (a["to"].as_str().unwrap_or_default(), None),
        };
        let (topic, group) = (text(a, "topic"), text(a, "group"));
        let mode = Str8(mode.to_owned());
        self.done(Request::ResetOffset(v1::ResetOffset {
            topic,
            group,
            partition: partition(a),
            mode,
            offset,
        }))
        .await
    }

    async fn describe(&mut self, a: &Value) -> Reply {
        let reference = v1::GroupRef::Named { topic: String::new(), group: text(a, "group") };
        let group: v1::Group = self.exchange(Request::DescribeGroup(reference)).await?;
        let offset = |o: &v1::PartitionOffset| json!({"topic": group.topic, "partition": o.partition, "offset": o.offset});
        Ok(json!({"offsets": group.offsets.iter().map(offset).collect::<Vec<_>>()}))
    }

    async fn perform(&mut self, op: &str, a: &Value) -> Reply {
        match op {
            "create_topic" => {
                let partitions = a["partitions"].as_i64().map_or(0, |n| i32::try_from(n).unwrap_or(i32::MAX));
                self.done(Request::CreateTopic(v1::CreateTopic { topic: text(a, "topic"), partitions })).await
            }
            "delete_topic" => self.done(Request::DeleteTopic(v1::TopicRef { topic: text(a, "topic") })).await,
            "list_topics" => {
                let reply: v1::TopicList = self.exchange(Request::ListTopics(v1::Empty {})).await?;
                Ok(json!({"topics": reply.topics}))
            }
            "produce" => self.produce(a, a).await,
            "produce_batch" => self.produce_batch(a).await,
            "consume" => {
                let offset = a["offset"].as_u64().unwrap_or(0);
                let request = v1::Consume { topic: text(a, "topic"), partition: partition(a), offset };
                let reply: v1::ConsumeReply = self.exchange(Request::Consume(request)).await?;
                Ok(json!({"offset": offset, "key": key(&reply.key), "value": show(&reply.value)}))
            }
            "fetch" => {
                self.fetch(a, a["offset"].as_u64().unwrap_or(0), a["max"].as_i64().unwrap_or(500)).await
            }
            "subscribe" => {
                let offset = self.start_offset(a).await?;
                let reply = self.fetch(a, offset, a["count"].as_i64().unwrap_or(1)).await?;
                Ok(json!({"messages": reply["messages"]}))
            }
            "start_offset" => Ok(json!({"offset": self.start_offset(a).await?})),
            "commit" => {
                let (topic, group) = (text(a, "topic"), text(a, "group"));
                let offset = a["offset"].as_u64().unwrap_or(0);
                self.done(Request::Commit(v1::Commit { topic, group, partition: partition(a), offset })).await
            }
            "committed" => {
                let reply: v1::OffsetReply =
                    self.exchange(Request::GetOffset(Self::group_partition(a))).await?;
                Ok(json!({"offset": reply.offset}))
            }
            "reset" => self.reset(a).await,
            "lag" => {
                let reply: v1::LagReply = self.exchange(Request::GetLag(Self::group_partition(a))).await?;
                Ok(json!({"committed": reply.committed, "latest": reply.latest, "lag": reply.lag}))
            }
            "list_groups" => {
                let reply: v1::GroupList = self.exchange(Request::ListGroups(v1::Empty {})).await?;
                Ok(json!({"groups": reply.groups.iter().map(|g| &g.group).collect::<Vec<_>>()}))
            }
            "describe_group" => self.describe(a).await,
            "delete_group" => {
                let (topic, group) = (text(a, "topic"), text(a, "group"));
                self.done(Request::DeleteGroup(v1::GroupRef::Named { topic, group })).await
            }
            "call" => Err(Failure::Unsupported(
                "version 1 has layouts of its own, tested in server/native".to_owned(),
            )),
            other => Err(features::unsupported_at_a_door(other)),
        }
    }
}

impl Surface for Native {
    fn run<'a>(&'a mut self, op: &'a str, args: &'a Value) -> BoxFuture<'a, Reply> {
        self.perform(op, args).boxed()
    }
}

fn text(a: &Value, field: &str) -> String {
    a[field].as_str().unwrap_or_default().to_owned()
}

fn partition(a: &Value) -> i32 {
    a["partition"].as_i64().map_or(0, |p| i32::try_from(p).unwrap_or(i32::MAX))
}

fn show(bytes: &Bytes) -> Value {
    json!(String::from_utf8_lossy(bytes))
}

/// Version 1 has no absent key: an empty one counts as none.
fn key(bytes: &Bytes) -> Value {
    if bytes.is_empty() { Value::Null } else { show(bytes) }
}
