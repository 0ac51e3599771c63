//! Typed calls: produce, consume, fetch, subscribe, topics, offsets.

use std::{sync::Arc, time::Duration};

use futures::{Stream, StreamExt as _, stream};

use super::{Client, To};
use crate::{
    Acks, ClientError, FetchSpec, Fetched, FetchedBatches, Isolation, Message, NewMessage, RecordMetadata,
    StartFrom,
    open::{open_batches, open_each},
    pb::{self, ErrorCode},
    producer::{ANY_PARTITION, plain_batch, weight},
    transport::{FetchReply, ProduceCall, Push},
};

/// Bytes of messages that go in one batch.
const ONE_BATCH: usize = 512 << 10;

impl Client {
    /// Stores one message with `acks=all`, once, also where an answer is lost; an unknown topic is created where the server allows it.
    ///
    /// # Errors
    /// `TopicNotFound`, `PartitionNotFound`, `RecordTooLarge`, `NotEnoughReplicas`, `StorageFull`, transport errors.
    pub async fn produce(&self, topic: &str, message: NewMessage) -> Result<RecordMetadata, ClientError> {
        self.produce_one(topic, message, Acks::All).await
    }

    /// As [`Client::produce`], with another acks.
    ///
    /// # Errors
    /// Those of [`Client::produce`].
    pub async fn produce_one(
        &self,
        topic: &str,
        message: NewMessage,
        acks: Acks,
    ) -> Result<RecordMetadata, ClientError> {
        let message = self.sealed(message)?;
        let stored = self.produce_together(topic, &[message], acks).await?;
        stored
            .into_iter()
            .next()
            .ok_or_else(|| ClientError::protocol("the server does not say where the message is"))
    }

    /// Stores messages in their order (per partition); the metadata comes in the same order. Those of one partition are stored together,
    /// and once; several with keys may go to several partitions: then an answer that is lost leaves open which of them are stored, and
    /// a [`Producer`](crate::Producer) is the better choice.
    ///
    /// # Errors
    /// Those of [`Client::produce`].
    pub async fn produce_batch(
        &self,
        topic: &str,
        messages: Vec<NewMessage>,
        acks: Acks,
    ) -> Result<Vec<RecordMetadata>, ClientError> {
        let Some(first) = messages.first() else { return Ok(Vec::new()) };
        let partition = first.partition;
        if messages.iter().any(|m| m.partition != partition) {
            return Err(ClientError::invalid(
                "the messages of one batch name different partitions: send one batch for each",
            ));
        }
        let messages = messages.into_iter().map(|m| self.sealed(m)).collect::<Result<Vec<_>, _>>()?;
        if is_one_batch(&messages) {
            return self.produce_together(topic, &messages, acks).await;
        }
        let records = messages.into_iter().map(NewMessage::into_record).collect();
        let request = pb::ProduceRequest {
            topic: topic.to_owned(),
            partition,
            acks: acks.into(),
            records,
            ..pb::ProduceRequest::default()
        };
        let reply: pb::ProduceResponse = match partition {
            Some(partition) => self.ask(To::Leader { topic, partition }, "Produce", &request).await?,
            None => self.call("Produce", &request).await?,
        };
        let topic: Arc<str> = topic.into();
        let stored = reply.records.into_iter().map(|r| RecordMetadata {
            topic: Arc::clone(&topic),
            partition: r.partition,
            offset: r.offset,
            timestamp_ms: r.timestamp_ms,
        });
        Ok(stored.collect())
    }

    async fn produce_together(
        &self,
        topic: &str,
        messages: &[NewMessage],
        acks: Acks,
    ) -> Result<Vec<RecordMetadata>, ClientError> {
        let partition = messages[0].partition.unwrap_or(ANY_PARTITION);
        let call = ProduceCall { topic: topic.into(), partition, acks, batch: plain_batch(messages)? };
        let topic = Arc::clone(&call.topic);
        let count = u32::try_from(messages.len()).unwrap_or(u32::MAX);
        let reply = self.produce_call(call, messages[0].key.as_deref(), count).await?;
        let stored = (reply.base_offset..).take(messages.len()).map(|offset| RecordMetadata {
            topic: Arc::clone(&topic),
            partition: reply.partition,
            offset,
            timestamp_ms: reply.timestamp_ms,
        });
        Ok(stored.collect())
    }

    /// Reads the one message at an offset.
    ///
    /// # Errors
    /// `EndOfPartition` when there is none yet, `RecordNotFound` when there will be none, `OffsetOutOfRange` when it is gone, `TopicNotFound`, `PartitionNotFound`.
    pub async fn consume(&self, topic: &str, partition: i32, offset: u64) -> Result<Message, ClientError> {
        let request = pb::ConsumeRequest {
            topic: topic.to_owned(),
            partition,
            offset,
            ..pb::ConsumeRequest::default()
        };
        let to = To::Leader { topic, partition };
        let reply: pb::ConsumeResponse = self.ask(to, "Consume", &request).await?;
        let record = reply.record.ok_or_else(|| ClientError::protocol("the server sent no record"))?;
        let mut messages = self.opened(vec![Message::from_record(&topic.into(), reply.partition, record)])?;
        messages.pop().ok_or_else(|| ClientError::protocol("the server sent no record"))
    }

    /// Reads messages from an offset on.
    ///
    /// # Errors
    /// `TopicNotFound`, `PartitionNotFound`, `OffsetOutOfRange`, `CorruptData`, transport errors.
    pub async fn fetch(&self, spec: &FetchSpec) -> Result<Fetched, ClientError> {
        let reply = self.fetch_call(spec).await?;
        let opened =
            open_batches(&spec.topic, spec.partition, reply.batches, spec.offset, spec.max_messages)?;
        let messages = self.opened(opened.messages)?;
        let next_offset = opened.rest.unwrap_or(reply.next_offset);
        let (high_watermark, low_watermark) = (reply.high_watermark, reply.low_watermark);
        Ok(Fetched { messages, next_offset, high_watermark, low_watermark })
    }

    async fn fetch_call(&self, spec: &FetchSpec) -> Result<FetchReply, ClientError> {
        let to = To::Leader { topic: &spec.topic, partition: spec.partition };
        self.with_retry_within(spec.max_wait, "Fetch", true, to, |link| link.fetch(spec)).await
    }

    /// As [`Client::fetch`], but the batches as they are: not checked, not decompressed, not decrypted, and
    /// `max_messages` is not looked at. For backups and mirrors.
    ///
    /// # Errors
    /// Those of [`Client::fetch`].
    pub async fn fetch_batches(&self, spec: &FetchSpec) -> Result<FetchedBatches, ClientError> {
        let reply = self.fetch_call(spec).await?;
        Ok(FetchedBatches {
            batches: reply.batches,
            next_offset: reply.next_offset,
            high_watermark: reply.high_watermark,
            low_watermark: reply.low_watermark,
        })
    }

    /// Streams messages of a topic as they become readable; with a pattern (a level `+` is any one level, a last level `#` the topic and
    /// all below it) of all that match, also of those that come later, from their first message on. The server sends no faster than the stream is read.
    ///
    /// # Errors
    /// `TopicNotFound`, `PartitionNotFound`, `InvalidArgument`; the stream itself ends with its first error.
    pub async fn subscribe(
        &self,
        request: pb::SubscribeRequest,
    ) -> Result<impl Stream<Item = Result<Message, ClientError>> + Send + use<>, ClientError> {
        let pushes = self.pushes(&request).await?;
        let client = self.clone();
        Ok(pushes.flat_map(move |push| stream::iter(client.opened_push(push))))
    }

    /// Creates a topic.
    ///
    /// # Errors
    /// `TopicAlreadyExists`, `InvalidArgument`.
    pub async fn create_topic(&self, name: &str, partitions: i32) -> Result<pb::Topic, ClientError> {
        let options = Some(pb::TopicOptions { partitions, ..pb::TopicOptions::default() });
        let request =
            pb::CreateTopicRequest { name: name.to_owned(), options, ..pb::CreateTopicRequest::default() };
        let reply: pb::CreateTopicResponse = self.call("CreateTopic", &request).await?;
        reply.topic.ok_or_else(|| ClientError::protocol("the server sent no topic"))
    }

    /// Deletes a topic and its data.
    ///
    /// # Errors
    /// `TopicNotFound`.
    pub async fn delete_topic(&self, name: &str) -> Result<(), ClientError> {
        self.topics().forget(name);
        let request = pb::DeleteTopicRequest { name: name.to_owned() };
        self.call::<_, pb::DeleteTopicResponse>("DeleteTopic", &request).await.map(drop)
    }

    /// All topics but internal ones, by name.
    ///
    /// # Errors
    /// Transport errors.
    pub async fn list_topics(&self) -> Result<Vec<pb::TopicSummary>, ClientError> {
        let reply: pb::ListTopicsResponse =
            self.call("ListTopics", &pb::ListTopicsRequest::default()).await?;
        Ok(reply.topics)
    }

    /// A topic's settings, watermarks and segments.
    ///
    /// # Errors
    /// `TopicNotFound`.
    pub async fn topic(&self, name: &str) -> Result<pb::Topic, ClientError> {
        let request = pb::GetTopicRequest { name: name.to_owned() };
        let reply: pb::GetTopicResponse = self.call("GetTopic", &request).await?;
        reply.topic.ok_or_else(|| ClientError::protocol("the server sent no topic"))
    }

    /// Deletes the records of a partition below `before`, for good; `u64::MAX`: all that are readable now. Returns the low
    /// watermark.
    ///
    /// # Errors
    /// `TopicNotFound`, `PartitionNotFound`, `OffsetOutOfRange` above the high watermark.
    pub async fn delete_records(&self, topic: &str, partition: i32, before: u64) -> Result<u64, ClientError> {
        let request = pb::DeleteRecordsRequest { topic: topic.to_owned(), partition, before_offset: before };
        let reply: pb::DeleteRecordsResponse = self.call("DeleteRecords", &request).await?;
        Ok(reply.low_watermark)
    }

    /// Commits the next offsets to read of a group; durable when it returns.
    ///
    /// # Errors
    /// `TopicNotFound`, `IllegalGeneration`, transport errors.
    pub async fn commit(&self, group: &str, offsets: Vec<pb::PartitionOffset>) -> Result<(), ClientError> {
        let request = pb::CommitOffsetsRequest {
            group: group.to_owned(),
            offsets,
            ..pb::CommitOffsetsRequest::default()
        };
        self.call::<_, pb::CommitOffsetsResponse>("CommitOffsets", &request).await.map(drop)
    }

    /// A group's committed offsets on a topic; empty for a group that never committed.
    ///
    /// # Errors
    /// Transport errors.
    pub async fn committed(&self, group: &str, topic: &str) -> Result<Vec<pb::PartitionOffset>, ClientError> {
        let request = pb::GetOffsetsRequest {
            group: group.to_owned(),
            topic: topic.to_owned(),
            ..pb::GetOffsetsRequest::default()
        };
        match self.call::<_, pb::GetOffsetsResponse>("GetOffsets", &request).await {
            Ok(reply) => Ok(reply.offsets),
            Err(error) if error.code == ErrorCode::GroupNotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// The first or the next offset of a partition.
    pub(crate) async fn edge(
        &self,
        topic: &str,
        partition: i32,
        (at, isolation): (StartFrom, Isolation),
    ) -> Result<u64, ClientError> {
        let request = pb::FindOffsetRequest {
            topic: topic.to_owned(),
            partition,
            at: at.into(),
            isolation: isolation.into(),
            ..pb::FindOffsetRequest::default()
        };
        let to = To::Leader { topic, partition };
        let reply: pb::FindOffsetResponse = self.ask(to, "FindOffset", &request).await?;
        Ok(reply.offset)
    }

    /// How many partitions a topic has; remembered for a while.
    ///
    /// # Errors
    /// `TopicNotFound`, transport errors.
    pub async fn partition_count(&self, topic: &str) -> Result<u32, ClientError> {
        if let Some(count) = self.topics().count(topic) {
            return Ok(count);
        }
        let request = pb::GetMetadataRequest { topics: vec![topic.to_owned()], internal: false };
        let reply: pb::GetMetadataResponse = self.call("GetMetadata", &request).await?;
        let count = reply.topics.iter().find(|t| t.name == topic).map_or(0, |t| t.partitions.len());
        if count == 0 {
            let message = format!("topic not found: {topic}");
            return Err(ClientError::new(ErrorCode::TopicNotFound, message).with("topic", topic));
        }
        // Any node may have answered.
        self.take_metadata(&reply, "");
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    }

    /// Whether the server serves; how long it took to say so.
    ///
    /// # Errors
    /// Transport errors.
    pub async fn health(&self) -> Result<(pb::GetHealthResponse, Duration), ClientError> {
        let start = std::time::Instant::now();
        let reply = self.call("GetHealth", &pb::GetHealthRequest {}).await?;
        Ok((reply, start.elapsed()))
    }

    /// The messages of a push, one batch after another, so that only one is inflated at a time.
    fn opened_push(
        &self,
        push: Result<Push, ClientError>,
    ) -> impl Iterator<Item = Result<Message, ClientError>> + Send + use<> {
        let client = self.clone();
        let (pushed, failed) = match push {
            Ok(push) => (Some(open_each(push.topic, push.partition, push.batches, push.from)), None),
            Err(error) => (None, Some(Err(error))),
        };
        let runs = pushed.into_iter().flatten().chain(failed);
        runs.flat_map(move |run| {
            let (messages, error) = match run.and_then(|messages| client.opened(messages)) {
                Ok(messages) => (messages, None),
                Err(error) => (Vec::new(), Some(error)),
            };
            messages.into_iter().map(Ok).chain(error.map(Err))
        })
    }
}

/// Whether they go to one partition, whichever that is, in a batch that every server takes; their times are the broker's to say.
fn is_one_batch(messages: &[NewMessage]) -> bool {
    let keyless = || messages.iter().all(|message| message.key.is_none());
    let one_place = messages.len() == 1 || messages[0].partition.is_some() || keyless();
    let own_time = messages.len() > 1 && messages.iter().any(|message| message.timestamp_ms.is_some());
    one_place && !own_time && messages.iter().map(weight).sum::<usize>() <= ONE_BATCH
}
