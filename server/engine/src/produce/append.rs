//! From a producer's bytes to an acknowledgement.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flymq_storage::Log;
use flymq_types::{Acks, Offset, PartitionId, ProducerId, RecordBatch, Timestamp, TopicName};

use super::check::{check_batch, check_keys, check_transaction};
use super::ttl::with_expiry;
use super::{Appended, Target};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::partition::Partition;
use crate::task::blocking;
use crate::topic::{CleanupPolicy, NODES, OpenTopic};
use crate::transactions::{Place, PlaceCall, TransactionHandle, What};

impl Engine {
    /// Appends one batch as the producer made it, and waits as long as `acks` asks. An
    /// unknown topic is created where that is on. Batches of one caller that waits for each keep their order.
    ///
    /// A batch that its idempotent producer has sent before is not appended again; the answer is that of the first time. One that is
    /// flagged as part of a transaction goes through [`Engine::append_in_transaction`].
    ///
    /// Dropping the future ends the wait; an append that has begun stays.
    ///
    /// # Errors
    /// `TopicNotFound`, `PartitionNotFound`, `InternalTopic`, `InvalidBatch`, `TooLarge`, `KeyRequired`, `NotEnoughReplicas`, `UnknownProducer`,
    /// `ProducerFenced`, `OutOfOrderSequence`, `SchemaViolation`, `SchemaEncrypted`, `SchemaNotFound`: nothing was appended. `StorageFull`, `ReadOnly`, `NotLeader`: likewise. `StorageFailed`, `LeadershipLost`: unknown.
    pub async fn append(
        &self,
        topic: &TopicName,
        target: Target,
        batch: Bytes,
        acks: Acks,
    ) -> Result<Appended, EngineError> {
        self.append_as(topic, target, batch, (acks, None)).await
    }

    /// As [`Engine::append`] with `acks=all`, for a batch that is flagged as part of a transaction, of which it names the producer id
    /// and epoch: it counts once the transaction is committed, or never.
    ///
    /// # Errors
    /// As for `append`, and `TransactionFenced`, `TransactionState`, `TransactionNotFound`: nothing was appended. `InvalidArgument`: the batch
    /// is not one of this transaction.
    pub async fn append_in_transaction(
        &self,
        transaction: &TransactionHandle,
        topic: &TopicName,
        target: Target,
        batch: Bytes,
    ) -> Result<Appended, EngineError> {
        // With fewer acknowledgements a part of the transaction could be lost, and the rest be committed.
        self.append_as(topic, target, batch, (Acks::All, Some(transaction))).await
    }

    async fn append_as(
        &self,
        topic: &TopicName,
        target: Target,
        batch: Bytes,
        (acks, transaction): (Acks, Option<&TransactionHandle>),
    ) -> Result<Appended, EngineError> {
        self.check_running()?;
        if topic.is_internal() {
            return Err(EngineError::InternalTopic { topic: topic.clone() });
        }
        let batch = check_batch(batch, transaction.is_some(), &self.options.limits)?;
        if let Some(transaction) = transaction {
            check_transaction(&batch, transaction)?;
        }
        let topic = self.topic_or_create(topic).await?;
        topic.check_whole()?;
        match topic.view().settings.cleanup_policy {
            CleanupPolicy::Delete => {}
            CleanupPolicy::Compact | CleanupPolicy::CompactDelete => {
                check_keys(&batch, &topic.view().meta.name)?;
            }
        }
        if let Some(binding) = &topic.view().meta.config.schema {
            self.check_against(binding, &topic.view().meta.name, &batch).await?;
        }
        let ttl_ms = topic.view().settings.ttl_ms;
        let batch = match ttl_ms {
            0 => batch,
            _ => {
                let by_key = topic.view().settings.cleanup_policy != CleanupPolicy::Delete;
                with_expiry(batch, ttl_ms, by_key, self.steady.now()).map_err(EngineError::InvalidBatch)?
            }
        };
        let partition = topic.route(&target)?;
        if let Some(transaction) = transaction {
            self.verify_or_add(transaction, &topic, &partition).await?;
        }
        let records = batch.record_count();
        let appended = match partition.replica() {
            Some(_) => {
                let appending = self.begin_append(&partition, batch, acks).await;
                let appended = appending.await?;
                self.retain_if_rolled(&topic, &partition);
                appended
            }
            None => self.append_alone(&topic, &partition, &batch, acks).await?,
        };
        if !appended.duplicate {
            self.counters.count_produced(records);
        }
        Ok(appended)
    }

    /// The partition's leader asks the transaction's coordinator before the first batch of the transaction: what it does not know of
    /// is not appended, and nothing is appended that the end of the transaction would not be told to.
    async fn verify_or_add(
        &self,
        transaction: &TransactionHandle,
        topic: &OpenTopic,
        partition: &Arc<Partition>,
    ) -> Result<(), EngineError> {
        let TransactionHandle { id, producer_id, epoch } = transaction;
        partition.term_begun().await;
        // Another node leads: it is the one to ask.
        partition.log()?;
        // What is open here was added.
        let known = ProducerId::from_wire(*producer_id);
        if known.is_some_and(|producer| partition.has_open(producer, *epoch))
            || cfg!(mutant = "written_before_it_is_added")
        {
            return Ok(());
        }
        let name = partition.topic().clone();
        let place = Place::Partition { topic: topic.view().meta.id, name, partition: partition.number() };
        let (id, producer_id, epoch) = (id.clone(), *producer_id, *epoch);
        self.send_to_place(PlaceCall { id, producer_id, epoch, place, what: What::Add }).await
    }

    /// Puts the batch where the log's order is decided, in the order of first polls also where they wait for this node's
    /// term to begin. What it returns waits for the acknowledgement.
    pub(super) async fn begin_append(
        &self,
        partition: &Arc<Partition>,
        batch: RecordBatch,
        acks: Acks,
    ) -> impl Future<Output = Result<Appended, EngineError>> + Send + use<> {
        if partition.turns().is_free() && !partition.awaits_term() {
            return partition.append_replicated(batch, acks);
        }
        let _turn = partition.turns().wait().await;
        partition.term_begun().await;
        partition.append_replicated(batch, acks)
    }

    /// Appends to a partition that this node alone keeps; names the leader of one that only others keep.
    async fn append_alone(
        &self,
        topic: &OpenTopic,
        partition: &Arc<Partition>,
        batch: &RecordBatch,
        acks: Acks,
    ) -> Result<Appended, EngineError> {
        if acks == Acks::All && !partition.is_replicated() {
            let required = topic.view().settings.min_insync_replicas;
            if required > NODES {
                let (topic, partition) = (partition.topic().clone(), partition.number());
                return Err(EngineError::NotEnoughReplicas { topic, partition, in_sync: NODES, required });
            }
        }
        let appended = self.append_to(partition, batch).await?;
        self.retain_if_rolled(topic, partition);
        match acks {
            Acks::None | Acks::Leader => {}
            Acks::All => partition.durable(appended.last_offset.plus(1)).await?,
        }
        Ok(appended)
    }

    fn retain_if_rolled(&self, topic: &OpenTopic, partition: &Arc<Partition>) {
        if partition.local_log().is_some_and(Log::take_rolled) {
            self.retain_filled(topic, partition);
        }
    }

    /// A partition's first append makes its directory and segment, durably: work of many milliseconds, which goes to
    /// a blocking thread, as does one that has to wait for a descriptor. Others write to the page cache, within the first
    /// poll of this future; those that come while one of the former runs line up behind it, so that appends keep the
    /// order of their first polls.
    pub(super) async fn append_to(
        &self,
        partition: &Arc<Partition>,
        batch: &RecordBatch,
    ) -> Result<Appended, EngineError> {
        if partition.turns().is_free()
            && let Some(appended) = append_at_once(partition, batch, self.clock.wall())?
        {
            return Ok(appended);
        }
        let turn = partition.turns().wait().await;
        let now = self.clock.wall();
        if let Some(appended) = append_at_once(partition, batch, now)? {
            return Ok(appended);
        }
        let (partition, batch) = (partition.clone(), batch.clone());
        blocking(move || {
            // Held to the end of the append also if the caller goes away.
            let _turn = turn;
            patient_append(&partition, &batch, now)
        })
        .await?
    }

    /// The partition that a record with this key goes to; without key the next in turn. An unknown topic is created
    /// where that is on.
    ///
    /// # Errors
    /// `TopicNotFound`, `InternalTopic`, or a failure to create the topic.
    pub async fn partition_for(
        &self,
        topic: &TopicName,
        key: Option<&[u8]>,
    ) -> Result<PartitionId, EngineError> {
        self.check_running()?;
        if topic.is_internal() {
            return Err(EngineError::InternalTopic { topic: topic.clone() });
        }
        Ok(self.topic_or_create(topic).await?.number_for(key))
    }
}

/// The append, where it needs neither files to be made nor a descriptor that has to be waited for.
fn append_at_once(
    partition: &Partition,
    batch: &RecordBatch,
    now: Timestamp,
) -> Result<Option<Appended>, EngineError> {
    if partition.log()?.end_offset() == Offset::ZERO {
        return Ok(None);
    }
    match partition.append(batch, now) {
        Err(EngineError::TooManyOpenFiles) => Ok(None),
        result => result.map(Some),
    }
}

/// So often at most an append waits for descriptors of files that are synced, and so long each time.
const DESCRIPTOR_WAITS: usize = 20;
const DESCRIPTOR_WAIT: Duration = Duration::from_millis(250);

/// An append that may make files. Where all descriptors belong to files with writes that are not synced, the next sync
/// rounds set some free: worth a wait on this blocking thread, as the producer would only come again.
fn patient_append(
    partition: &Partition,
    batch: &RecordBatch,
    now: Timestamp,
) -> Result<Appended, EngineError> {
    for _ in 0..DESCRIPTOR_WAITS {
        match partition.append(batch, now) {
            Err(EngineError::TooManyOpenFiles) => {
                // Also a round that takes longer will set some free.
                partition.log()?.wait_for_descriptors(DESCRIPTOR_WAIT);
            }
            result => return result,
        }
    }
    partition.append(batch, now)
}
