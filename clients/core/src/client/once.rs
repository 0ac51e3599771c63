//! Calls that store a batch and wait for the answer: it is stored once, also where the answer is lost and the call is repeated.
//!
//! The batch carries the number of a producer id ([KIP-98](https://cwiki.apache.org/confluence/display/KAFKA/KIP-98+-+Exactly+Once+Delivery+and+Transactional+Messaging)).
//! Each id numbers one batch at a time: as many are in use as there are calls at once, and no call waits for another one's answer.

use std::{
    collections::HashMap,
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;

use super::{Attempts, Client, To};
use crate::{
    ClientError,
    metadata::partition_of,
    pb::{self, ErrorCode},
    producer::{ANY_PARTITION, stamped},
    transport::{ProduceCall, ProduceReply},
};

/// Partitions that one id counts; with more it is given up for a fresh one.
const MOST_PLACES: usize = 10_000;

/// So often a call finds that what the client remembers is over: first of the topic, then of the ids.
const MOST_OUTDATED: u32 = 3;

/// The ids that no call uses just now.
#[derive(Debug, Default)]
pub(super) struct ProducerIds {
    free: Mutex<Vec<ProducerId>>,
    /// The server does not know of producer ids.
    unknown: AtomicBool,
}

/// An id that the broker has given to this client, and the number of its next message in each partition.
#[derive(Debug)]
struct ProducerId {
    id: u64,
    next: HashMap<(Arc<str>, i32), i32>,
}

impl ProducerId {
    /// Numbers the batch.
    fn number(&self, call: &mut ProduceCall) {
        let first = self.next.get(&(Arc::clone(&call.topic), call.partition)).copied().unwrap_or_default();
        call.batch = stamped(std::mem::take(&mut call.batch), self.id, 0, first);
    }

    /// The batch that it numbered is stored.
    fn stored(&mut self, call: &ProduceCall, messages: u32) {
        let next = self.next.entry((Arc::clone(&call.topic), call.partition)).or_default();
        *next = ((i64::from(*next) + i64::from(messages)) & i64::from(i32::MAX)) as i32;
    }
}

impl Client {
    /// Stores a batch of `messages` messages; `key` decides where one that names no partition goes.
    ///
    /// # Errors
    /// The broker's; an error that leaves open whether the batch is stored says so (`side_effects`).
    pub(super) async fn produce_call(
        &self,
        call: ProduceCall,
        key: Option<&[u8]>,
        messages: u32,
    ) -> Result<ProduceReply, ClientError> {
        let mut outdated = 0;
        loop {
            let chosen = call.partition == ANY_PARTITION && self.topics().count(&call.topic).is_some();
            let failed = match self.produce_numbered(call.clone(), key, messages).await {
                Ok(reply) => return Ok(reply),
                Err(failed) => failed,
            };
            let forgets = is_forgotten(&failed) && self.forget_ids()
                || chosen && self.forget_topic(&call.topic, &failed);
            if failed.side_effects || !forgets || outdated == MOST_OUTDATED {
                return Err(failed);
            }
            // Nothing is stored: again, by what the broker knows now.
            outdated += 1;
        }
    }

    async fn produce_numbered(
        &self,
        mut call: ProduceCall,
        key: Option<&[u8]>,
        messages: u32,
    ) -> Result<ProduceReply, ClientError> {
        let id = if self.choose(&mut call, key).await? { self.producer_id().await? } else { None };
        let Some(mut id) = id else { return self.produce_attempts(&mut call, key, false).await };
        id.number(&mut call);
        let answer = self.produce_attempts(&mut call, key, true).await;
        match &answer {
            Ok(_) => id.stored(&call, messages),
            // The id goes with a number that may be used, and with one that the broker does not take.
            Err(error) if error.side_effects || is_forgotten(error) => return answer,
            Err(_) => {}
        }
        self.give_back(id);
        answer
    }

    /// Forgets the numbers of all ids: the broker does not know one of them (any more), as it does after a week, or where the topic was
    /// made anew.
    fn forget_ids(&self) -> bool {
        self.inner.producer_ids.free.lock().clear();
        true
    }

    /// Whether what is remembered of the topic explains the failure; then it is forgotten.
    fn forget_topic(&self, topic: &str, error: &ClientError) -> bool {
        let outdated = matches!(error.code, ErrorCode::PartitionNotFound | ErrorCode::TopicNotFound);
        if outdated {
            self.topics().forget(topic);
        }
        outdated
    }

    /// The attempts at a batch that is ready to leave. An error says whether any of them may have stored it.
    async fn produce_attempts(
        &self,
        call: &mut ProduceCall,
        key: Option<&[u8]>,
        numbered: bool,
    ) -> Result<ProduceReply, ClientError> {
        let topic = Arc::clone(&call.topic);
        let mut attempts = Attempts::new(self, "Produce", numbered, self.config().request_timeout);
        let mut may_be_stored = false;
        loop {
            let attempt = async {
                let sent = async {
                    self.place(call, key).await?;
                    let to = To::Leader { topic: &topic, partition: call.partition };
                    let link = self.link_to(to).await?;
                    self.watched(to, Duration::ZERO, link.produce(call.clone())).await
                };
                sent.await.inspect_err(|error| may_be_stored |= error.side_effects)
            };
            let tried = attempts.step(To::Leader { topic: &topic, partition: -1 }, attempt).await;
            match tried {
                ControlFlow::Continue(()) => {}
                ControlFlow::Break(Ok(reply)) => return Ok(reply),
                ControlFlow::Break(Err(mut error)) => {
                    error.side_effects |= may_be_stored;
                    return Err(error);
                }
            }
        }
    }

    /// Chooses the partition of a batch that can be numbered; false where it cannot: it asks for less than `acks=all`, or its topic
    /// is not there yet, and the server, which makes it, chooses.
    async fn choose(&self, call: &mut ProduceCall, key: Option<&[u8]>) -> Result<bool, ClientError> {
        if call.acks != pb::Acks::All || self.inner.producer_ids.unknown.load(Ordering::Relaxed) {
            return Ok(false);
        }
        if call.partition != ANY_PARTITION {
            return Ok(true);
        }
        let count = match self.partition_count(&call.topic).await {
            Ok(count) => count,
            Err(error) if error.code == ErrorCode::TopicNotFound => return Ok(false),
            Err(error) => return Err(error.unsent()),
        };
        call.partition = match key {
            Some(key) => partition_of(key, count),
            None => self.any_partition(&call.topic).unwrap_or_else(|| {
                // Nobody leads any of them just now.
                i32::try_from(self.next_turn() % count.max(1) as usize).unwrap_or_default()
            }),
        };
        Ok(true)
    }

    /// An id that nobody uses; `None`: the server knows of none.
    async fn producer_id(&self) -> Result<Option<ProducerId>, ClientError> {
        let ids = &self.inner.producer_ids;
        if let Some(id) = ids.free.lock().pop() {
            return Ok(Some(id));
        }
        let request = pb::InitProducerRequest::default();
        match self.call::<_, pb::InitProducerResponse>("InitProducer", &request).await {
            Ok(reply) => Ok(Some(ProducerId { id: reply.producer_id, next: HashMap::new() })),
            Err(error) if error.code == ErrorCode::Unimplemented => {
                ids.unknown.store(true, Ordering::Relaxed);
                Ok(None)
            }
            // Nothing of the batch has been sent.
            Err(error) => Err(error.unsent()),
        }
    }

    fn give_back(&self, id: ProducerId) {
        if id.next.len() < MOST_PLACES {
            self.inner.producer_ids.free.lock().push(id);
        }
    }
}

/// The broker does not take the id's number.
fn is_forgotten(error: &ClientError) -> bool {
    matches!(
        error.code,
        ErrorCode::UnknownProducer | ErrorCode::OutOfOrderSequence | ErrorCode::ProducerFenced
    )
}
