//! What waits to be sent, by partition.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use flymq_wire::batch::{BatchBuilder, BatchFlags, NewRecord};

use super::{Delivery, delivery::BatchResult};
use crate::{ClientError, NewMessage, ProducerConfig, encryption::is_sealed};

/// Messages without key: the server picks a partition for each batch.
pub(crate) const ANY_PARTITION: i32 = -1;

/// Where batches of one queue go.
pub(super) type Key = (Arc<str>, i32);

/// A batch that takes no more messages.
pub(super) struct Sealed {
    pub bytes: Bytes,
    pub result: Arc<BatchResult>,
    /// Room of the buffer that it gives back.
    pub weight: usize,
    pub since: Instant,
}

struct Open {
    builder: BatchBuilder,
    result: Arc<BatchResult>,
    weight: usize,
    since: Instant,
    linger_ends: Instant,
    /// Its linger is over: it leaves as soon as its queue may send.
    due: bool,
}

#[derive(Default)]
struct Queue {
    open: Option<Open>,
    sealed: VecDeque<Sealed>,
    in_flight: Vec<Arc<BatchResult>>,
    /// It stands in `ready` already.
    listed: bool,
}

/// All queues of a producer.
#[derive(Default)]
pub(super) struct Queues {
    queues: HashMap<Key, Queue>,
    /// Queues that may have a batch to send.
    ready: VecDeque<Key>,
    /// Open batches by the time their linger ends, oldest first: the linger is the same for all.
    lingering: VecDeque<(Instant, Key)>,
    pub closed: bool,
}

/// What a message takes of the buffer.
pub(super) fn weight(message: &NewMessage) -> usize {
    let headers: usize = message.headers.iter().map(|(name, value)| name.len() + value.len() + 6).sum();
    message.key.as_ref().map_or(0, Bytes::len) + message.value.as_ref().map_or(0, Bytes::len) + headers + 32
}

impl Queues {
    /// Puts a message into its partition's open batch. True: the sender has something to look at.
    pub(super) fn push(
        &mut self,
        config: &ProducerConfig,
        topic: &str,
        partition: i32,
        message: &NewMessage,
    ) -> Result<(Delivery, bool), ClientError> {
        if self.closed {
            return Err(ClientError::closed("producer"));
        }
        let key = self.key(topic, partition);
        let queue = self.queues.entry(key.clone()).or_default();
        let weight = weight(message);
        let mut wake = false;
        if queue.open.as_ref().is_some_and(|open| open.builder.size() + weight > config.batch_bytes) {
            queue.seal()?;
            wake = true;
        }
        let fresh = queue.open.is_none();
        let open = queue.open.get_or_insert_with(|| Open::new(config));
        let index = open.builder.record_count();
        let pushed = open.push(message, weight);
        if let Err(error) = pushed {
            if index == 0 {
                queue.open = None;
            }
            return Err(error);
        }
        let (result, linger_ends) = (Arc::clone(&open.result), open.linger_ends);
        let full =
            open.builder.record_count() >= config.batch_messages || open.builder.size() >= config.batch_bytes;
        if full {
            queue.seal()?;
        }
        if (full || wake || config.linger.is_zero()) && !queue.listed {
            queue.listed = true;
            self.ready.push_back(key.clone());
            wake = true;
        }
        if fresh && !full && !config.linger.is_zero() {
            self.lingering.push_back((linger_ends, key.clone()));
            wake |= self.lingering.len() == 1;
        }
        Ok((Delivery::new(key.0, result, index), wake))
    }

    /// The shared name, so that a delivery costs no allocation.
    fn key(&self, topic: &str, partition: i32) -> Key {
        let probe: Key = (topic.into(), partition);
        self.queues.get_key_value(&probe).map_or(probe, |(key, _)| key.clone())
    }

    /// Lists the queues whose linger is over; the time when the next one is.
    pub(super) fn expire(&mut self, now: Instant) -> Option<Instant> {
        while let Some((due, _)) = self.lingering.front() {
            if *due > now {
                return Some(*due);
            }
            let (due, key) = self.lingering.pop_front().expect("it has a front");
            let open = self.queues.get_mut(&key).and_then(|queue| queue.open.as_mut());
            // A batch that was opened later has an entry of its own.
            if let Some(open) = open.filter(|open| open.linger_ends <= due) {
                open.due = true;
                self.list(&key);
            }
        }
        None
    }

    fn list(&mut self, key: &Key) {
        if let Some(queue) = self.queues.get_mut(key)
            && !queue.listed
        {
            queue.listed = true;
            self.ready.push_back(key.clone());
        }
    }

    /// The next batch that may leave, in the order of its queue.
    pub(super) fn take(&mut self, max_in_flight: usize) -> Option<(Key, Sealed)> {
        while let Some(key) = self.ready.pop_front() {
            let queue = self.queues.get_mut(&key).expect("a listed queue exists");
            queue.listed = false;
            if queue.in_flight.len() >= max_in_flight.max(1) {
                // Listed again when one of them is answered.
                continue;
            }
            if queue.sealed.is_empty() && queue.seal().is_err() {
                continue;
            }
            let Some(sealed) = queue.sealed.pop_front() else { continue };
            queue.in_flight.push(Arc::clone(&sealed.result));
            if queue.has_more() {
                self.list(&key);
            }
            return Some((key, sealed));
        }
        None
    }

    /// A batch was answered: its queue may send again.
    pub(super) fn answered(&mut self, key: &Key, result: &Arc<BatchResult>, linger: bool) {
        let Some(queue) = self.queues.get_mut(key) else { return };
        queue.in_flight.retain(|one| !Arc::ptr_eq(one, result));
        let waits = queue.has_more() || (queue.open.is_some() && (!linger || self.closed));
        if waits {
            self.list(key);
        } else if queue.open.is_none() && queue.in_flight.is_empty() && !queue.listed {
            self.queues.remove(key);
        }
    }

    /// Makes every open batch due; all results that are still to come.
    pub(super) fn flush(&mut self) -> Vec<Arc<BatchResult>> {
        let mut waiting = Vec::new();
        let mut due = Vec::new();
        for (key, queue) in &mut self.queues {
            if queue.seal().is_ok() && !queue.sealed.is_empty() {
                due.push(key.clone());
            }
            waiting.extend(queue.in_flight.iter().cloned());
            waiting.extend(queue.sealed.iter().map(|sealed| Arc::clone(&sealed.result)));
        }
        for key in due {
            self.list(&key);
        }
        self.lingering.clear();
        waiting
    }

    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queues.values().all(|q| q.open.is_none() && q.sealed.is_empty() && q.in_flight.is_empty())
    }
}

impl Queue {
    /// A batch that waits for nothing but its turn.
    fn has_more(&self) -> bool {
        !self.sealed.is_empty() || self.open.as_ref().is_some_and(|open| open.due)
    }

    fn seal(&mut self) -> Result<(), ClientError> {
        let Some(Open { builder, result, weight, since, .. }) = self.open.take() else { return Ok(()) };
        match builder.build() {
            Ok(bytes) => {
                self.sealed.push_back(Sealed { bytes, result, weight, since });
                Ok(())
            }
            Err(error) => {
                let error = ClientError::invalid(format!("the batch cannot be encoded: {error}"));
                result.complete(Err(error.clone()));
                Err(error)
            }
        }
    }
}

impl Open {
    fn new(config: &ProducerConfig) -> Self {
        let since = Instant::now();
        Self {
            builder: BatchBuilder::with_capacity(config.batch_bytes),
            result: Arc::default(),
            weight: 0,
            since,
            linger_ends: since + config.linger,
            due: false,
        }
    }

    fn push(&mut self, message: &NewMessage, weight: usize) -> Result<(), ClientError> {
        encode(&mut self.builder, message)?;
        self.weight += weight;
        Ok(())
    }
}

fn encode(builder: &mut BatchBuilder, message: &NewMessage) -> Result<(), ClientError> {
    let record = NewRecord {
        key: message.key.as_deref(),
        value: message.value.as_deref(),
        timestamp: message.timestamp_ms.unwrap_or_else(unix_ms),
        expires_at: None,
    };
    if is_sealed(&message.headers) {
        builder.add_flags(BatchFlags::CLIENT_ENCRYPTED);
    }
    let headers = message.headers.iter().map(|(name, value)| (name.as_str(), &value[..]));
    let pushed = builder.push_with_headers(&record, headers);
    pushed.map_err(|e| ClientError::invalid(format!("the message cannot be encoded: {e}")))
}

/// A batch that holds one message.
pub(crate) fn batch_of_one(message: &NewMessage) -> Result<Bytes, ClientError> {
    let mut builder = BatchBuilder::with_capacity(weight(message));
    encode(&mut builder, message)?;
    builder.build().map_err(|e| ClientError::invalid(format!("the message cannot be encoded: {e}")))
}

fn unix_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LINGER: Duration = Duration::from_millis(1);

    fn push(queues: &mut Queues, config: &ProducerConfig) {
        queues.push(config, "t", 0, &NewMessage::value("v")).expect("a small message");
    }

    /// Its linger ends while the queue may not send: no other message comes, so nothing else would send it.
    #[test]
    fn a_batch_that_fell_due_behind_others_leaves_when_they_are_answered() {
        let config = ProducerConfig { linger: LINGER, ..ProducerConfig::default() };
        let mut queues = Queues::default();
        let later = Instant::now() + Duration::from_secs(60);
        push(&mut queues, &config);
        queues.expire(later);
        let (key, first) = queues.take(1).expect("its linger is over");
        push(&mut queues, &config);
        queues.expire(later);
        assert!(queues.take(1).is_none(), "one in flight is the most");
        queues.answered(&key, &first.result, true);
        assert!(queues.take(1).is_some());
    }

    #[test]
    fn a_due_batch_follows_a_full_one() {
        let config = ProducerConfig { linger: LINGER, batch_messages: 2, ..ProducerConfig::default() };
        let mut queues = Queues::default();
        for _ in 0..3 {
            push(&mut queues, &config);
        }
        queues.expire(Instant::now() + Duration::from_secs(60));
        assert!(queues.take(5).is_some_and(|(_, batch)| batch.weight > 0), "two messages");
        assert!(queues.take(5).is_some(), "the third, whose linger is over");
        assert!(queues.take(5).is_none());
    }
}
