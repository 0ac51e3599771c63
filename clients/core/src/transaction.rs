//! A transactional producer: what it sends in a transaction is read together, or never.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;

use crate::{
    Client, ClientError, Consumer, Message, NewMessage, RecordMetadata,
    client::To,
    consumer::CommitsFor,
    metadata::partition_of,
    pb::{self, ErrorCode},
    producer::transactional_batch,
};

/// Who a transactional producer is.
#[derive(Debug, Clone)]
pub struct TransactionalConfig {
    /// The producer's name over its restarts. Whoever begins under it aborts what an earlier one left open, and fences that.
    pub transactional_id: String,
    /// A transaction that is open for longer is aborted. `None`: the server's 60 s.
    pub transaction_timeout: Option<Duration>,
}

impl TransactionalConfig {
    pub fn new(transactional_id: impl Into<String>) -> Self {
        Self { transactional_id: transactional_id.into(), transaction_timeout: None }
    }
}

/// A producer whose messages all belong to transactions. One task has it: transactions of one id come one after the other.
#[derive(Debug)]
pub struct TransactionalProducer {
    client: Client,
    config: TransactionalConfig,
    producer_id: u64,
    epoch: u32,
    open: Option<Open>,
    /// For messages without key.
    turn: u32,
}

#[derive(Debug)]
struct Open {
    transaction_id: String,
    /// The numbers of the next batches, by topic and partition.
    sequences: HashMap<(String, i32), i32>,
}

impl Client {
    /// A transactional producer; it fences whoever uses the id.
    ///
    /// # Errors
    /// `InvalidArgument`, `Unimplemented` from a server without transactions, transport errors.
    pub async fn transactional_producer(
        &self,
        config: TransactionalConfig,
    ) -> Result<TransactionalProducer, ClientError> {
        if config.transactional_id.is_empty() {
            let message = "a transactional producer needs a transactional_id, its name over its restarts";
            return Err(ClientError::invalid(message).with("field", "transactional_id"));
        }
        let mut producer = TransactionalProducer {
            client: self.clone(),
            config,
            producer_id: 0,
            epoch: 0,
            open: None,
            turn: 0,
        };
        producer.init().await?;
        Ok(producer)
    }
}

impl TransactionalProducer {
    /// Begins its life anew under its id: after `ProducerFenced`, if it is sure to be the one that may.
    ///
    /// # Errors
    /// Those of [`Client::transactional_producer`].
    pub async fn init(&mut self) -> Result<(), ClientError> {
        let timeout = self.config.transaction_timeout;
        let request = pb::InitProducerRequest {
            transactional_id: self.config.transactional_id.clone(),
            transaction_timeout_ms: timeout
                .map_or(0, |timeout| u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX)),
        };
        let reply: pb::InitProducerResponse = self.client.call("InitProducer", &request).await?;
        (self.producer_id, self.epoch, self.open) = (reply.producer_id, reply.producer_epoch, None);
        Ok(())
    }

    /// Begins a transaction; one that is still open is aborted before.
    ///
    /// # Errors
    /// `ProducerFenced` where another producer has taken the id, or a transaction was open for too long; transport errors.
    pub async fn begin(&mut self) -> Result<(), ClientError> {
        if self.open.is_some() {
            match self.abort().await {
                // Its end was decided before, and only nobody had said so.
                Err(error) if error.code == ErrorCode::TransactionState => {}
                aborted => aborted?,
            }
        }
        let request = pb::BeginTransactionRequest {
            transactional_id: self.config.transactional_id.clone(),
            producer_id: self.producer_id,
            producer_epoch: self.epoch,
            timeout_ms: 0,
        };
        // Asked again, it gives the same transaction.
        let begun: pb::BeginTransactionResponse =
            match self.client.ask_again(To::Any, "BeginTransaction", &request).await {
                Err(error) if error.code == ErrorCode::TransactionState => {
                    // The epochs of the producer id are used up.
                    self.init().await?;
                    let request = pb::BeginTransactionRequest {
                        producer_id: self.producer_id,
                        producer_epoch: self.epoch,
                        ..request
                    };
                    self.client.ask_again(To::Any, "BeginTransaction", &request).await?
                }
                begun => begun?,
            };
        self.epoch = begun.producer_epoch;
        self.open = Some(Open { transaction_id: begun.transaction_id, sequences: HashMap::new() });
        Ok(())
    }

    /// Sends a message in the transaction; it is stored when this returns, and read once the transaction is committed.
    ///
    /// # Errors
    /// `TransactionState` without a transaction, `ProducerFenced`; those of [`Client::produce`]. Then the transaction is to be aborted.
    pub async fn send(&mut self, topic: &str, message: NewMessage) -> Result<RecordMetadata, ClientError> {
        let sent = self.send_all(topic, vec![message]).await?.pop();
        sent.ok_or_else(|| ClientError::protocol("the server says nothing of the message"))
    }

    /// Sends messages, one batch for each partition; the metadata comes in their order.
    ///
    /// # Errors
    /// Those of [`TransactionalProducer::send`].
    pub async fn send_all(
        &mut self,
        topic: &str,
        messages: Vec<NewMessage>,
    ) -> Result<Vec<RecordMetadata>, ClientError> {
        self.transaction_id()?;
        let mut batches: BTreeMap<i32, (Vec<usize>, Vec<NewMessage>)> = BTreeMap::new();
        for (index, message) in messages.into_iter().enumerate() {
            let partition = self.partition(topic, &message).await?;
            let (indexes, of) = batches.entry(partition).or_default();
            indexes.push(index);
            of.push(self.client.sealed(message)?);
        }
        let mut stored = BTreeMap::new();
        for (partition, (indexes, messages)) in batches {
            let first = self.send_batch(topic, partition, &messages).await?;
            for (offset, index) in (first.offset..).zip(indexes) {
                stored.insert(index, RecordMetadata { offset, ..first.clone() });
            }
        }
        Ok(stored.into_values().collect())
    }

    /// Commits offsets of a group with the transaction: both count, or neither. `member`: id and generation, as for a commit.
    ///
    /// # Errors
    /// `TransactionState` without a transaction, `ProducerFenced`, `UnknownMember`, `IllegalGeneration`, transport errors.
    pub async fn send_offsets(
        &mut self,
        group: &str,
        offsets: Vec<pb::PartitionOffset>,
        member: Option<(String, i64)>,
    ) -> Result<(), ClientError> {
        let (member_id, generation) = member.unwrap_or_default();
        let request = pb::CommitOffsetsInTransactionRequest {
            transaction_id: self.transaction_id()?,
            group: group.to_owned(),
            offsets,
            member_id,
            generation,
        };
        let call = self.client.call("CommitOffsetsInTransaction", &request);
        call.await.map(|_: pb::CommitOffsetsInTransactionResponse| ())
    }

    /// Commits: what was sent can be read everywhere when this returns. After an error of the way there it may be asked again.
    ///
    /// # Errors
    /// `TransactionState` without a transaction, `ProducerFenced`: it was aborted; transport errors.
    pub async fn commit(&mut self) -> Result<(), ClientError> {
        let request =
            pb::CommitTransactionRequest { transaction_id: self.transaction_id()?, producer_epoch: 0 };
        let reply: Result<pb::CommitTransactionResponse, _> =
            self.client.call("CommitTransaction", &request).await;
        let reply = self.known_end(reply)?;
        (self.epoch, self.open) = (reply.producer_epoch, None);
        Ok(())
    }

    /// Aborts: nobody reads what was sent.
    ///
    /// # Errors
    /// Those of [`TransactionalProducer::commit`].
    pub async fn abort(&mut self) -> Result<(), ClientError> {
        let request =
            pb::AbortTransactionRequest { transaction_id: self.transaction_id()?, producer_epoch: 0 };
        let reply: Result<pb::AbortTransactionResponse, _> =
            self.client.call("AbortTransaction", &request).await;
        let reply = self.known_end(reply)?;
        (self.epoch, self.open) = (reply.producer_epoch, None);
        Ok(())
    }

    /// An end that is refused for the transaction's state was decided before, otherwise: the next one has the next epoch.
    fn known_end<T>(&mut self, reply: Result<T, ClientError>) -> Result<T, ClientError> {
        if reply.as_ref().is_err_and(|error| error.code == ErrorCode::TransactionState) {
            (self.epoch, self.open) = (self.epoch + 1, None);
        }
        reply
    }

    /// Commits the offsets behind what a member of a group has polled, as that member, with the transaction.
    ///
    /// # Errors
    /// `InvalidArgument` for a consumer that is no member or commits by itself; those of [`TransactionalProducer::send_offsets`].
    pub async fn send_polled(
        &mut self,
        consumer: &Consumer,
        offsets: Vec<pb::PartitionOffset>,
    ) -> Result<(), ClientError> {
        let (group, member) = consumer.commits_for()?;
        if offsets.is_empty() {
            return Ok(());
        }
        self.send_offsets(&group, offsets, member).await
    }

    /// Reads, makes something of it, and writes that, exactly once: what `make` returns is sent with the offsets behind `messages`
    /// in a transaction of its own. Where that fails it is aborted, and the messages are to be read again from the committed offset.
    ///
    /// # Errors
    /// Those of `begin`, `send_all`, `send_offsets` and `commit`.
    pub async fn transform(
        &mut self,
        group: &str,
        messages: &[Message],
        make: impl Fn(&Message) -> Vec<(String, NewMessage)>,
    ) -> Result<(), ClientError> {
        let made = messages.iter().flat_map(make).collect();
        self.begin().await?;
        let done = self.transform_open((group.to_owned(), None), offsets_behind(messages), made).await;
        if done.is_err() && self.open.is_some() {
            // Its failure tells nothing that `done` does not; the timeout aborts it as well.
            let _aborted = self.abort().await;
        }
        done
    }

    /// As [`TransactionalProducer::transform`], of what a member of a group has polled: the offsets are committed as that member's, so that a
    /// member which has lost its partitions commits nothing any more. After an error the next poll goes on from what the group has
    /// committed, be that before or behind these messages: just poll again (after `init`, where it is `ProducerFenced`).
    ///
    /// # Errors
    /// `InvalidArgument` for a consumer that is no member or commits by itself; `UnknownMember`, `IllegalGeneration`: the partitions are
    /// another member's by now; those of `transform`.
    pub async fn transform_polled(
        &mut self,
        consumer: &mut Consumer,
        messages: &[Message],
        make: impl Fn(&Message) -> Vec<(String, NewMessage)>,
    ) -> Result<(), ClientError> {
        let made = messages.iter().flat_map(make).collect();
        self.transform_made(consumer, offsets_behind(messages), made).await
    }

    /// As [`TransactionalProducer::transform_polled`], of what is made already. `offsets`: behind the last message polled of each partition.
    ///
    /// # Errors
    /// Those of [`TransactionalProducer::transform_polled`].
    pub async fn transform_made(
        &mut self,
        consumer: &mut Consumer,
        offsets: Vec<pb::PartitionOffset>,
        made: Vec<(String, NewMessage)>,
    ) -> Result<(), ClientError> {
        let commits_for = consumer.commits_for()?;
        let places: Vec<_> = offsets.iter().map(|at| (at.topic.clone(), at.partition)).collect();
        let done = async {
            self.begin().await?;
            self.transform_open(commits_for, offsets, made).await
        };
        let done = done.await;
        if done.is_err() {
            consumer.rewind(&places);
            if self.open.is_some() {
                // As in `transform`; where it was committed, the group's offsets say so.
                let _aborted = self.abort().await;
            }
        }
        done
    }

    async fn transform_open(
        &mut self,
        (group, member): CommitsFor,
        offsets: Vec<pb::PartitionOffset>,
        made: Vec<(String, NewMessage)>,
    ) -> Result<(), ClientError> {
        let mut by_topic: BTreeMap<String, Vec<NewMessage>> = BTreeMap::new();
        for (topic, new) in made {
            by_topic.entry(topic).or_default().push(new);
        }
        for (topic, new) in by_topic {
            self.send_all(&topic, new).await?;
        }
        if !offsets.is_empty() {
            self.send_offsets(&group, offsets, member).await?;
        }
        self.commit().await
    }

    fn transaction_id(&self) -> Result<String, ClientError> {
        let open = self.open.as_ref().map(|open| open.transaction_id.clone());
        open.ok_or_else(|| {
            ClientError::new(ErrorCode::TransactionState, "no transaction is open: call begin first")
        })
    }

    async fn partition(&mut self, topic: &str, message: &NewMessage) -> Result<i32, ClientError> {
        if let Some(partition) = message.partition {
            return Ok(partition);
        }
        let count = self.client.partition_count(topic).await?;
        if let Some(key) = &message.key {
            return Ok(partition_of(key, count));
        }
        self.turn = self.turn.wrapping_add(1);
        Ok(i32::try_from(self.turn % count.max(1)).unwrap_or(0))
    }

    /// Its number makes a repeat of it harmless.
    async fn send_batch(
        &mut self,
        topic: &str,
        partition: i32,
        messages: &[NewMessage],
    ) -> Result<RecordMetadata, ClientError> {
        let transaction_id = self.transaction_id()?;
        let key = (topic.to_owned(), partition);
        let sequence = self.open.as_ref().and_then(|open| open.sequences.get(&key)).copied().unwrap_or(0);
        let epoch = u16::try_from(self.epoch).unwrap_or(u16::MAX);
        let batch: Bytes = transactional_batch(messages, (self.producer_id, epoch, sequence))?;
        let request = pb::ProduceInTransactionRequest {
            transaction_id,
            topic: topic.to_owned(),
            partition: Some(partition),
            records: Vec::new(),
            batch,
        };
        let to = To::Leader { topic, partition };
        let reply: pb::ProduceInTransactionResponse =
            self.client.ask_again(to, "ProduceInTransaction", &request).await?;
        let first = reply.records.into_iter().next();
        let first = first.ok_or_else(|| ClientError::protocol("the server says nothing of the batch"))?;
        if let Some(open) = &mut self.open {
            let sent = i32::try_from(messages.len()).unwrap_or(i32::MAX);
            open.sequences.insert(key, sequence.wrapping_add(sent) & i32::MAX);
        }
        let (partition, offset, timestamp_ms) = (first.partition, first.offset, first.timestamp_ms);
        Ok(RecordMetadata { topic: topic.into(), partition, offset, timestamp_ms })
    }
}

/// What a group commits that has processed these messages.
fn offsets_behind(messages: &[Message]) -> Vec<pb::PartitionOffset> {
    let mut next: BTreeMap<(Arc<str>, i32), u64> = BTreeMap::new();
    for message in messages {
        next.insert((Arc::clone(&message.topic), message.partition), message.offset + 1);
    }
    let offset = |((topic, partition), offset): ((Arc<str>, i32), u64)| pb::PartitionOffset {
        topic: topic.to_string(),
        partition,
        offset,
        ..pb::PartitionOffset::default()
    };
    next.into_iter().map(offset).collect()
}
