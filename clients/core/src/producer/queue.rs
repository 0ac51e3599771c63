//! What waits to be sent, by partition.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use bytes::{Bytes, BytesMut};
use flymq_wire::batch::{BatchBuilder, BatchFlags, NewRecord, ProducerFields};

use super::{Delivery, delivery::BatchResult, sequence::Number};
use crate::{ClientError, NewMessage, ProducerConfig, encryption::is_sealed};

/// Messages without key: the server picks a partition for each batch.
pub(crate) const ANY_PARTITION: i32 = -1;

/// Names a queue as long as it holds or awaits something.
pub(super) type QueueId = usize;

/// Buffers of answered batches that are kept for the next ones.
const SPARE_BUFFERS: usize = 32;

/// A batch that takes no more messages.
pub(super) struct Sealed {
    /// Its place among the batches of its queue, by the order in which they leave.
    pub turn: u64,
    pub topic: Arc<str>,
    pub partition: i32,
    pub bytes: Bytes,
    pub messages: u32,
    /// Of an idempotent producer, once it has one.
    pub number: Option<Number>,
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

struct Queue {
    topic: Arc<str>,
    partition: i32,
    open: Option<Open>,
    sealed: VecDeque<Sealed>,
    /// With their turns, in that order.
    in_flight: Vec<(u64, Arc<BatchResult>)>,
    /// Of the next batch that leaves.
    next_turn: u64,
    /// Batches on their way that have to be repeated, or wait for a connection: nothing leaves behind them meanwhile.
    held: u32,
    /// Nothing leaves before all batches of lower turns are answered.
    answered_below: u64,
    /// It stands in `ready` already.
    listed: bool,
}

/// All queues of a producer.
pub(super) struct Queues {
    /// By id; an empty place has its id in `free`.
    queues: Vec<Option<Queue>>,
    free: Vec<QueueId>,
    ids: HashMap<Arc<str>, HashMap<i32, QueueId>>,
    /// The queue of the last message: most often also that of the next one.
    last: QueueId,
    /// Queues that may have a batch to send.
    ready: VecDeque<QueueId>,
    /// Open batches by the time their linger ends, oldest first: the linger is the same for all.
    lingering: VecDeque<(Instant, QueueId)>,
    /// Bytes of `buffer_bytes` that are free.
    room: usize,
    spare: Vec<BytesMut>,
    /// Nothing leaves that is so many batches behind one that is not answered.
    window: u64,
    pub closed: bool,
}

/// What became of a message that was to be queued.
pub(super) enum Pushed {
    /// It waits in its batch. True: the sender has something to look at.
    Queued(Delivery, bool),
    /// It has to wait for room in the buffer.
    NoRoom,
}

/// What a message takes of the buffer.
pub(crate) fn weight(message: &NewMessage) -> usize {
    let headers: usize = message.headers.iter().map(|(name, value)| name.len() + value.len() + 6).sum();
    message.key.as_ref().map_or(0, Bytes::len) + message.value.as_ref().map_or(0, Bytes::len) + headers + 32
}

impl Queues {
    pub(super) fn new(buffer_bytes: usize) -> Self {
        Self {
            queues: Vec::new(),
            free: Vec::new(),
            ids: HashMap::new(),
            last: 0,
            ready: VecDeque::new(),
            lingering: VecDeque::new(),
            room: buffer_bytes,
            spare: Vec::new(),
            window: u64::MAX,
            closed: false,
        }
    }

    /// Lets nothing leave that is so many batches behind one that is not answered: the broker would not know that one again.
    pub(super) fn within(mut self, window: Option<u64>) -> Self {
        self.window = window.unwrap_or(u64::MAX);
        self
    }

    /// Puts a message into its partition's open batch, if there is room. `now` (Unix ms) is for a message without a time.
    pub(super) fn push(
        &mut self,
        config: &ProducerConfig,
        topic: &str,
        partition: i32,
        message: &NewMessage,
        now: i64,
    ) -> Result<Pushed, ClientError> {
        if self.closed {
            return Err(ClientError::closed("producer"));
        }
        let weight = weight(message);
        if weight > self.room {
            return Ok(Pushed::NoRoom);
        }
        let id = self.id(topic, partition);
        let queue = self.queues[id].as_mut().expect("its id was just looked up");
        let mut wake = false;
        if queue.open.as_ref().is_some_and(|open| open.builder.size() + weight > config.batch_bytes) {
            queue.seal()?;
            wake = true;
        }
        let fresh = queue.open.is_none();
        let spare = &mut self.spare;
        let topic = &queue.topic;
        let open = queue.open.get_or_insert_with(|| Open::new(config, topic, spare.pop()));
        let index = open.builder.record_count();
        if let Err(error) = encode(&mut open.builder, message, now) {
            if index == 0 {
                queue.open = None;
            }
            return Err(error);
        }
        open.weight += weight;
        self.room -= weight;
        let (result, linger_ends) = (Arc::clone(&open.result), open.linger_ends);
        let full =
            open.builder.record_count() >= config.batch_messages || open.builder.size() >= config.batch_bytes;
        if full {
            queue.seal()?;
        }
        if (full || wake || config.linger.is_zero()) && !queue.listed {
            queue.listed = true;
            self.ready.push_back(id);
            wake = true;
        }
        if fresh && !full && !config.linger.is_zero() {
            self.lingering.push_back((linger_ends, id));
            wake |= self.lingering.len() == 1;
        }
        Ok(Pushed::Queued(Delivery::new(result, index), wake))
    }

    /// The queue of a partition, made where it is missing.
    fn id(&mut self, topic: &str, partition: i32) -> QueueId {
        let is_it = |queue: &Queue| queue.partition == partition && *queue.topic == *topic;
        if self.queues.get(self.last).is_some_and(|queue| queue.as_ref().is_some_and(is_it)) {
            return self.last;
        }
        let known = self.ids.get(topic).and_then(|partitions| partitions.get(&partition));
        self.last = known.copied().unwrap_or_else(|| self.make(topic, partition));
        self.last
    }

    fn make(&mut self, topic: &str, partition: i32) -> QueueId {
        let id = self.free.pop().unwrap_or_else(|| {
            self.queues.push(None);
            self.queues.len() - 1
        });
        let name = self.ids.get_key_value(topic).map_or_else(|| topic.into(), |(name, _)| Arc::clone(name));
        self.ids.entry(Arc::clone(&name)).or_default().insert(partition, id);
        self.queues[id] = Some(Queue {
            topic: name,
            partition,
            open: None,
            sealed: VecDeque::new(),
            in_flight: Vec::new(),
            next_turn: 0,
            held: 0,
            answered_below: 0,
            listed: false,
        });
        id
    }

    fn remove(&mut self, id: QueueId) {
        let Some(queue) = self.queues.get_mut(id).and_then(Option::take) else { return };
        self.free.push(id);
        if let Some(partitions) = self.ids.get_mut(&queue.topic) {
            partitions.remove(&queue.partition);
            if partitions.is_empty() {
                self.ids.remove(&queue.topic);
            }
        }
    }

    fn queue(&mut self, id: QueueId) -> Option<&mut Queue> {
        self.queues.get_mut(id).and_then(Option::as_mut)
    }

    /// Lists the queues whose linger is over; the time when the next one is.
    pub(super) fn expire(&mut self, now: Instant) -> Option<Instant> {
        while let Some((due, _)) = self.lingering.front() {
            if *due > now {
                return Some(*due);
            }
            let (due, id) = self.lingering.pop_front().expect("it has a front");
            let open = self.queue(id).and_then(|queue| queue.open.as_mut());
            // A batch that was opened later has an entry of its own.
            if let Some(open) = open.filter(|open| open.linger_ends <= due) {
                open.due = true;
                self.list(id);
            }
        }
        None
    }

    fn list(&mut self, id: QueueId) {
        if let Some(queue) = self.queue(id)
            && !queue.listed
        {
            queue.listed = true;
            self.ready.push_back(id);
        }
    }

    /// The next batch that may leave, in the order of its queue.
    pub(super) fn take(&mut self, max_in_flight: usize) -> Option<(QueueId, Sealed)> {
        while let Some(id) = self.ready.pop_front() {
            let window = self.window;
            let queue = self.queue(id).expect("a listed queue exists");
            queue.listed = false;
            if queue.held > 0 || queue.waits(window) || queue.in_flight.len() >= max_in_flight.max(1) {
                // Listed again when one of them is answered.
                continue;
            }
            if queue.sealed.is_empty() && queue.seal().is_err() {
                continue;
            }
            let Some(mut sealed) = queue.sealed.pop_front() else { continue };
            sealed.turn = queue.next_turn;
            queue.next_turn += 1;
            queue.in_flight.push((sealed.turn, Arc::clone(&sealed.result)));
            if queue.has_more() {
                self.list(id);
            }
            return Some((id, sealed));
        }
        None
    }

    /// A batch was answered: its queue may send again, and what it took of the buffer is free.
    pub(super) fn answered(&mut self, id: QueueId, sealed: Sealed, linger: bool) {
        self.room += sealed.weight;
        let closed = self.closed;
        let Some(queue) = self.queue(id) else { return };
        queue.in_flight.retain(|(turn, _)| *turn != sealed.turn);
        let waits = queue.has_more() || (queue.open.is_some() && (!linger || closed));
        if waits {
            self.list(id);
        } else if queue.open.is_none() && queue.in_flight.is_empty() && !queue.listed {
            self.remove(id);
        }
        if self.spare.len() < SPARE_BUFFERS
            && let Ok(mut buffer) = sealed.bytes.try_into_mut()
        {
            buffer.clear();
            self.spare.push(buffer);
        }
    }

    /// Lets nothing leave behind the batches that are on their way, until it is released as often.
    pub(super) fn hold(&mut self, id: QueueId) {
        if let Some(queue) = self.queue(id) {
            queue.held += 1;
        }
    }

    /// Ends a hold; the answer of the batch that held, which follows, lists the queue.
    pub(super) fn release(&mut self, id: QueueId) {
        if let Some(queue) = self.queue(id) {
            queue.held -= 1;
        }
    }

    /// Whether the messages of the queue may go to any partition.
    pub(super) fn takes_any(&mut self, id: QueueId) -> bool {
        self.queue(id).is_some_and(|queue| queue.partition == ANY_PARTITION)
    }

    /// Lets nothing leave before all that is on its way is answered.
    pub(super) fn drain(&mut self, id: QueueId) {
        if let Some(queue) = self.queue(id) {
            queue.answered_below = queue.next_turn;
        }
    }

    /// Whether every batch that left before this one is answered.
    pub(super) fn is_first(&mut self, id: QueueId, turn: u64) -> bool {
        self.queue(id).and_then(|queue| queue.in_flight.first()).is_none_or(|(first, _)| *first >= turn)
    }

    /// Makes every open batch due; all results that are still to come.
    pub(super) fn flush(&mut self) -> Vec<Arc<BatchResult>> {
        let mut waiting = Vec::new();
        let mut due = Vec::new();
        for (id, queue) in self.queues.iter_mut().enumerate() {
            let Some(queue) = queue else { continue };
            if queue.seal().is_ok() && !queue.sealed.is_empty() {
                due.push(id);
            }
            waiting.extend(queue.in_flight.iter().map(|(_, result)| Arc::clone(result)));
            waiting.extend(queue.sealed.iter().map(|sealed| Arc::clone(&sealed.result)));
        }
        for id in due {
            self.list(id);
        }
        self.lingering.clear();
        waiting
    }

    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    pub(super) fn is_empty(&self) -> bool {
        let idle = |q: &Queue| q.open.is_none() && q.sealed.is_empty() && q.in_flight.is_empty();
        self.queues.iter().flatten().all(idle)
    }
}

impl Queue {
    /// Whether something on its way has to be answered before anything leaves. Answers come in any order.
    fn waits(&self, window: u64) -> bool {
        self.in_flight
            .first()
            .is_some_and(|(first, _)| *first < self.answered_below || self.next_turn - first >= window)
    }

    /// A batch that waits for nothing but its turn.
    fn has_more(&self) -> bool {
        !self.sealed.is_empty() || self.open.as_ref().is_some_and(|open| open.due)
    }

    fn seal(&mut self) -> Result<(), ClientError> {
        let Some(Open { builder, result, weight, since, .. }) = self.open.take() else { return Ok(()) };
        let messages = builder.record_count();
        match builder.build() {
            Ok(bytes) => {
                let (topic, partition, number) = (Arc::clone(&self.topic), self.partition, None);
                let sealed =
                    Sealed { turn: 0, topic, partition, bytes, messages, number, result, weight, since };
                self.sealed.push_back(sealed);
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
    fn new(config: &ProducerConfig, topic: &Arc<str>, buffer: Option<BytesMut>) -> Self {
        let since = Instant::now();
        let builder = match buffer {
            Some(buffer) => BatchBuilder::in_buffer(buffer),
            None => BatchBuilder::with_capacity(config.batch_bytes),
        };
        Self {
            builder,
            result: Arc::new(BatchResult::new(Arc::clone(topic))),
            weight: 0,
            since,
            linger_ends: since + config.linger,
            due: false,
        }
    }
}

fn encode(builder: &mut BatchBuilder, message: &NewMessage, now: i64) -> Result<(), ClientError> {
    let record = NewRecord {
        key: message.key.as_deref(),
        value: message.value.as_deref(),
        timestamp: message.timestamp_ms.unwrap_or(now),
        expires_at: None,
    };
    let pushed = if message.headers.is_empty() {
        builder.push(&record)
    } else {
        if is_sealed(&message.headers) {
            builder.add_flags(BatchFlags::CLIENT_ENCRYPTED);
        }
        let headers = message.headers.iter().map(|(name, value)| (name.as_str(), &value[..]));
        builder.push_with_headers(&record, headers)
    };
    pushed.map_err(|e| ClientError::invalid(format!("the message cannot be encoded: {e}")))
}

/// A batch that holds these messages.
pub(crate) fn plain_batch(messages: &[NewMessage]) -> Result<Bytes, ClientError> {
    built(BatchBuilder::with_capacity(messages.iter().map(weight).sum()), messages)
}

/// A batch of a transaction: producer id, epoch, and the number of its first message.
pub(crate) fn transactional_batch(
    messages: &[NewMessage],
    (id, epoch, base_sequence): (u64, u16, i32),
) -> Result<Bytes, ClientError> {
    let mut builder = BatchBuilder::with_capacity(messages.iter().map(weight).sum());
    builder.set_producer(ProducerFields { id, epoch, base_sequence }).add_flags(BatchFlags::TRANSACTIONAL);
    built(builder, messages)
}

fn built(mut builder: BatchBuilder, messages: &[NewMessage]) -> Result<Bytes, ClientError> {
    let now = unix_ms();
    for message in messages {
        encode(&mut builder, message, now)?;
    }
    builder.build().map_err(|e| ClientError::invalid(format!("the messages cannot be encoded: {e}")))
}

pub(super) fn unix_ms() -> i64 {
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
        let pushed = queues.push(config, "t", 0, &NewMessage::value("v"), 1).expect("a small message");
        assert!(matches!(pushed, Pushed::Queued(..)));
    }

    /// Its linger ends while the queue may not send: no other message comes, so nothing else would send it.
    #[test]
    fn a_batch_that_fell_due_behind_others_leaves_when_they_are_answered() {
        let config = ProducerConfig { linger: LINGER, ..ProducerConfig::default() };
        let mut queues = Queues::new(1 << 20);
        let later = Instant::now() + Duration::from_secs(60);
        push(&mut queues, &config);
        queues.expire(later);
        let (key, first) = queues.take(1).expect("its linger is over");
        push(&mut queues, &config);
        queues.expire(later);
        assert!(queues.take(1).is_none(), "one in flight is the most");
        queues.answered(key, first, true);
        assert!(queues.take(1).is_some());
    }

    /// A batch is repeated: nothing overtakes it, and of several that are repeated the first goes first.
    #[test]
    fn nothing_leaves_behind_a_batch_that_is_held() {
        let config = ProducerConfig { batch_messages: 1, ..ProducerConfig::default() };
        let mut queues = Queues::new(1 << 20);
        for _ in 0..3 {
            push(&mut queues, &config);
        }
        let (id, first) = queues.take(2).expect("the first");
        let (_, second) = queues.take(2).expect("two may be on their way");
        assert!(queues.is_first(id, first.turn) && !queues.is_first(id, second.turn));
        queues.hold(id);
        queues.answered(id, second, false);
        assert!(queues.take(2).is_none(), "the first is not stored yet");
        queues.release(id);
        queues.answered(id, first, false);
        assert!(queues.take(2).is_some_and(|(id, third)| queues.is_first(id, third.turn)));
    }

    /// The answer of the first may be lost, with those behind it answered: the broker has to know it again.
    #[test]
    fn nothing_leaves_too_far_behind_one_that_is_not_answered() {
        let config = ProducerConfig { batch_messages: 1, ..ProducerConfig::default() };
        let mut queues = Queues::new(1 << 20).within(Some(2));
        for _ in 0..4 {
            push(&mut queues, &config);
        }
        let (id, first) = queues.take(5).expect("the first");
        let (_, second) = queues.take(5).expect("two may be on their way");
        queues.answered(id, second, false);
        assert!(queues.take(5).is_none(), "the first is not answered");
        queues.answered(id, first, false);
        assert!(queues.take(5).is_some());
    }

    #[test]
    fn a_message_without_room_waits_and_an_answer_makes_room() {
        let config = ProducerConfig::default();
        let mut queues = Queues::new(50);
        push(&mut queues, &config);
        let message = NewMessage::value("v");
        assert!(matches!(queues.push(&config, "t", 0, &message, 1), Ok(Pushed::NoRoom)));
        let (id, batch) = queues.take(1).expect("no linger");
        queues.answered(id, batch, false);
        push(&mut queues, &config);
    }

    #[test]
    fn queues_are_kept_apart_and_go_when_they_are_idle() {
        let config = ProducerConfig::default();
        let mut queues = Queues::new(1 << 20);
        let places = [("t", 0), ("t", 1), ("u", 0), ("t", 0)];
        for (topic, partition) in places {
            queues.push(&config, topic, partition, &NewMessage::value("v"), 1).expect("a small message");
        }
        let mut taken: Vec<_> = std::iter::from_fn(|| queues.take(1)).collect();
        let mut found: Vec<_> = taken.iter().map(|(_, b)| (b.topic.to_string(), b.partition)).collect();
        found.sort();
        let wanted = [("t", 0), ("t", 1), ("u", 0)].map(|(topic, partition)| (topic.to_owned(), partition));
        assert_eq!(found, wanted);
        taken.drain(..).for_each(|(id, batch)| queues.answered(id, batch, false));
        assert!(queues.is_empty() && queues.ids.is_empty() && queues.queues.iter().all(Option::is_none));
        assert_eq!(queues.room, 1 << 20);
    }

    #[test]
    fn a_due_batch_follows_a_full_one() {
        let config = ProducerConfig { linger: LINGER, batch_messages: 2, ..ProducerConfig::default() };
        let mut queues = Queues::new(1 << 20);
        for _ in 0..3 {
            push(&mut queues, &config);
        }
        queues.expire(Instant::now() + Duration::from_secs(60));
        assert!(queues.take(5).is_some_and(|(_, batch)| batch.weight > 0), "two messages");
        assert!(queues.take(5).is_some(), "the third, whose linger is over");
        assert!(queues.take(5).is_none());
    }
}
