//! A pull stream over several partitions of a topic.

use std::sync::Arc;

use flymq_types::{Isolation, Offset, PartitionId};

use super::mend::until_mended;
use super::poll::read_at;
use super::{Pulled, SubscribeSpec};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::partition::{HighWatermark, Listening, Partition, ReadyQueue};
use crate::steady::SteadyClock;

/// A pull stream: partitions with news take turns, nothing is read ahead, no timer runs. A subscription that waits
/// costs no work until a group commit makes records readable.
#[derive(Debug)]
pub struct Subscription {
    ready: Arc<ReadyQueue>,
    sources: Vec<Source>,
    max_bytes: usize,
    isolation: Isolation,
    clock: Arc<SteadyClock>,
}

#[derive(Debug)]
struct Source {
    partition: Arc<Partition>,
    /// The term of leadership in which the stream began: it ends with it.
    term: Arc<HighWatermark>,
    position: Offset,
    _listening: Listening,
}

impl Engine {
    /// Begins a stream at the given positions.
    ///
    /// # Errors
    /// `TopicNotFound`, `PartitionNotFound`, `OffsetOutOfRange`, `InvalidArgument` for no or double partitions.
    pub async fn subscribe(&self, spec: SubscribeSpec) -> Result<Subscription, EngineError> {
        self.check_running()?;
        let topic = self.topics.get(&spec.topic)?;
        topic.check_whole()?;
        let mut numbers: Vec<PartitionId> = spec.positions.iter().map(|(number, _)| *number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        if numbers.is_empty() || numbers.len() != spec.positions.len() {
            let reason = "name at least one partition, and each once".to_owned();
            return Err(EngineError::InvalidArgument { field: "partitions", reason });
        }
        let ready = Arc::new(ReadyQueue::new(spec.positions.len()));
        let mut sources = Vec::with_capacity(spec.positions.len());
        for (index, (number, position)) in spec.positions.into_iter().enumerate() {
            let partition = topic.partition(number)?;
            let term = partition.term();
            let listening = term.listen(&ready, index);
            let look = || read_at(&partition, &term, (position, spec.isolation), 1, self.steady.now());
            let now = match look() {
                Err(error) => {
                    until_mended(&partition, &term, (position, spec.isolation), &self.steady, error).await?;
                    look()?
                }
                Ok(now) => now,
            };
            if now.log_end_offset > now.high_watermark {
                partition.log()?.request_sync();
            }
            ready.push(index);
            sources.push(Source { partition, term, position, _listening: listening });
        }
        let max_bytes = self.options.limits.batch_bytes;
        let (isolation, clock) = (spec.isolation, self.steady.clone());
        Ok(Subscription { ready, sources, max_bytes, isolation, clock })
    }
}

impl Subscription {
    /// Waits until a partition has something to read, and reads at most `max_bytes` of it (at least one batch).
    /// May be dropped while it waits; nothing is lost.
    ///
    /// # Errors
    /// `TopicNotFound` once the topic is deleted, `NotLeader` once another node leads, `OffsetOutOfRange` when retention has passed the position,
    /// `CorruptData`, `Mending`, `ShuttingDown`, or a storage failure. The stream is then over.
    pub async fn next(&mut self, max_bytes: usize) -> Result<Pulled, EngineError> {
        loop {
            let index = self.ready.next().await;
            let source = &mut self.sources[index];
            let stopped = source.term.stopped();
            let max_bytes = max_bytes.min(self.max_bytes);
            let Source { partition, term, position, .. } = &*source;
            let at = (*position, self.isolation);
            let fetched = match read_at(partition, term, at, max_bytes, self.clock.now()) {
                Err(error) => {
                    // The future may be dropped while it waits.
                    self.ready.push(index);
                    until_mended(partition, term, at, &self.clock, error).await?;
                    continue;
                }
                Ok(fetched) => fetched,
            };
            source.position = fetched.next_offset;
            if fetched.batches.is_empty() {
                match stopped {
                    Some(stop) => return Err(source.partition.stop_error(stop)),
                    None => continue,
                }
            }
            if stopped.is_some() || source.position < source.term.get() {
                self.ready.push(index); // behind the others that have news
            }
            return Ok(Pulled { partition: source.partition.number(), fetched });
        }
    }

    /// The next offset that each partition will be read from.
    pub fn positions(&self) -> impl Iterator<Item = (PartitionId, Offset)> {
        self.sources.iter().map(|source| (source.partition.number(), source.position))
    }
}
