//! The batching producer.
//!
//! `send` puts a message into the open batch of its partition and returns; a task sends batches that are full, or whose
//! linger is over, and keeps up to `max_in_flight` of each partition on their way. So a batch grows by itself while the
//! ones before it are on the wire, also with a linger of zero.
//!
//! Order: batches of a partition leave in the order of `send`. One that failed is repeated, and nothing of its partition leaves
//! behind it meanwhile. Without `enable_idempotence` a later one of several that were on their way may have been stored before it
//! (then set `max_in_flight` to 1 where that matters). In a cluster each batch goes to the node that leads its partition.
//!
//! An idempotent producer numbers its batches, per partition: what it sends again is stored once, and in order. The broker says so
//! where a number is missing; the batch then waits for those before it, or goes on under a new epoch where one before it was given up.

mod delivery;
mod identity;
mod queue;
mod room;
mod sender;
mod sequence;

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

pub use delivery::{Answered, Deliveries, Delivery};
use identity::Identity;
pub(crate) use queue::{ANY_PARTITION, plain_batch, transactional_batch, weight};
use queue::{Pushed, Queues, unix_ms};
use room::Line;
use sequence::Sequences;
pub(crate) use sequence::stamped;

use crate::{
    Client, ClientError, NewMessage, ProducerConfig, RecordMetadata, metadata::partition_of, pb::ErrorCode,
};

/// Batches of a partition that an idempotent producer has on their way at most: the broker knows so many of them again.
pub const BATCHES_IN_FLIGHT: u64 = 5;

/// Sends messages in batches. Dropping it sends what waits; [`Producer::close`] also tells how that went.
pub struct Producer {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer").field("config", &self.shared.config).finish_non_exhaustive()
    }
}

pub(crate) struct Shared {
    client: Client,
    config: ProducerConfig,
    queues: Mutex<Queues>,
    /// Rung when a batch may be due.
    due: Notify,
    /// Callers who wait for room in the buffer.
    line: Line,
    /// Rung when a batch is answered, for those that are repeated in their turn.
    turned: Notify,
    /// Of an idempotent producer.
    identity: Option<Identity>,
    sequences: Mutex<Sequences>,
}

impl Producer {
    pub(crate) fn new(client: Client, config: ProducerConfig) -> Self {
        let window = config.is_idempotent().then_some(BATCHES_IN_FLIGHT);
        let queues = Mutex::new(Queues::new(config.buffer_bytes).within(window));
        let identity = config.is_idempotent().then(Identity::default);
        let shared = Arc::new(Shared {
            client,
            config,
            queues,
            due: Notify::new(),
            line: Line::default(),
            turned: Notify::new(),
            identity,
            sequences: Mutex::default(),
        });
        crate::runtime::spawn(sender::run(Arc::clone(&shared)));
        Self { shared }
    }

    /// Queues a message. Waits only while the buffer is full, or to learn a new topic's partition count.
    ///
    /// # Errors
    /// `RecordTooLarge` for a message that no buffer can hold, `Cancelled` after close. What happens later is told by the [`Delivery`].
    pub async fn send(&self, topic: &str, message: NewMessage) -> Result<Delivery, ClientError> {
        let message = self.shared.client.sealed(message)?;
        let partition = match self.shared.partition_at_hand(topic, &message) {
            Some(partition) => partition,
            None => match self.shared.client.partition_count(topic).await {
                Ok(count) => partition_of(message.key.as_deref().unwrap_or_default(), count),
                Err(error) if error.code == ErrorCode::TopicNotFound => {
                    return self.send_alone(topic, message).await;
                }
                Err(error) => return Err(error),
            },
        };
        self.shared.check_size(&message)?;
        self.shared.push_in_turn(topic, partition, &message).await
    }

    /// Queues messages in their order, as [`Producer::send`] does each, at less cost: the buffer's lock is taken and the
    /// clock is read once for many.
    ///
    /// # Errors
    /// `Cancelled` after close. A message that is refused for itself is told by its own delivery; the others go on.
    pub async fn send_many(&self, topic: &str, messages: Vec<NewMessage>) -> Result<Deliveries, ClientError> {
        let mut deliveries = Deliveries::default();
        let mut rest = messages.into_iter();
        loop {
            let Some(message) = self.shared.push_all(topic, &mut rest, &mut deliveries)? else {
                return Ok(deliveries);
            };
            // It needs a wait: for room, for the topic's partition count, or it is refused.
            deliveries.push(match self.send(topic, message).await {
                Ok(delivery) => delivery,
                Err(error) if error.code == ErrorCode::Cancelled => return Err(error),
                Err(error) => Delivery::refused(topic, error),
            });
        }
    }

    /// Queues a message if that needs no wait; gives it back if it does.
    ///
    /// # Errors
    /// Those of [`Producer::send`].
    pub fn try_send(
        &self,
        topic: &str,
        message: NewMessage,
    ) -> Result<Result<Delivery, NewMessage>, ClientError> {
        let message = self.shared.client.sealed(message)?;
        let Some(partition) = self.shared.partition_at_hand(topic, &message) else { return Ok(Err(message)) };
        self.shared.check_size(&message)?;
        if self.shared.line.is_taken() {
            return Ok(Err(message));
        }
        Ok(self.shared.push(topic, partition, &message)?.ok_or(message))
    }

    /// Sends everything queued so far and waits for the answers.
    ///
    /// # Errors
    /// The first failure among them; the others are told by their deliveries.
    pub async fn flush(&self) -> Result<(), ClientError> {
        let open = self.shared.queues.lock().flush();
        self.shared.due.notify_one();
        let mut first = Ok(());
        for batch in open {
            if let Err(error) = batch.wait().await {
                first = first.and(Err(error));
            }
        }
        first
    }

    /// Flushes, then refuses further messages.
    ///
    /// # Errors
    /// Those of [`Producer::flush`].
    pub async fn close(&self) -> Result<(), ClientError> {
        self.shared.queues.lock().close();
        self.flush().await
    }

    /// The first message of a topic that is not there yet: the server creates it and picks the partition by key.
    async fn send_alone(&self, topic: &str, message: NewMessage) -> Result<Delivery, ClientError> {
        let acks = self.shared.config.acks;
        let stored = self.shared.client.produce_batch(topic, vec![message], acks).await?;
        let stored: Option<RecordMetadata> = stored.into_iter().next();
        stored
            .map(Delivery::done)
            .ok_or_else(|| ClientError::protocol("the server does not say where the message is"))
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        let mut queues = self.shared.queues.lock();
        queues.close();
        drop(queues.flush());
        self.shared.due.notify_one();
    }
}

impl Shared {
    /// Where a message goes, as far as that is known without asking the server.
    fn partition_at_hand(&self, topic: &str, message: &NewMessage) -> Option<i32> {
        match (message.partition, &message.key) {
            (Some(partition), _) => Some(partition),
            (None, None) => Some(ANY_PARTITION),
            (None, Some(key)) => self.client.topics().count(topic).map(|count| partition_of(key, count)),
        }
    }

    /// Refuses messages of an idempotent producer that cannot go on.
    fn check_identity(&self) -> Result<(), ClientError> {
        self.identity.as_ref().map_or(Ok(()), Identity::check)
    }

    /// Refuses a message that would never get room.
    fn check_size(&self, message: &NewMessage) -> Result<(), ClientError> {
        let (bytes, limit) = (weight(message), self.config.buffer_bytes);
        if bytes <= limit {
            return Ok(());
        }
        let message = format!("the message of {bytes} bytes is larger than the buffer of {limit}");
        Err(ClientError::new(ErrorCode::RecordTooLarge, message))
    }

    /// Queues a message; `None` where it has to wait for room.
    fn push(
        &self,
        topic: &str,
        partition: i32,
        message: &NewMessage,
    ) -> Result<Option<Delivery>, ClientError> {
        self.check_identity()?;
        let pushed = self.queues.lock().push(&self.config, topic, partition, message, unix_ms())?;
        Ok(match pushed {
            Pushed::Queued(delivery, wake) => {
                if wake {
                    self.due.notify_one();
                }
                Some(delivery)
            }
            Pushed::NoRoom => None,
        })
    }

    /// Queues a message behind those that wait for room already.
    async fn push_in_turn(
        &self,
        topic: &str,
        partition: i32,
        message: &NewMessage,
    ) -> Result<Delivery, ClientError> {
        if !self.line.is_taken()
            && let Some(delivery) = self.push(topic, partition, message)?
        {
            return Ok(delivery);
        }
        let turn = self.line.wait().await;
        loop {
            let room = turn.room();
            match self.push(topic, partition, message)? {
                Some(delivery) => return Ok(delivery),
                None => room.await,
            }
        }
    }

    /// Queues messages as long as that needs no wait; gives back the first one that does.
    fn push_all(
        &self,
        topic: &str,
        messages: &mut std::vec::IntoIter<NewMessage>,
        deliveries: &mut Deliveries,
    ) -> Result<Option<NewMessage>, ClientError> {
        self.check_identity()?;
        let now = unix_ms();
        let (mut left, mut wake) = (None, false);
        let mut queues = self.queues.lock();
        let outcome = loop {
            let Some(message) = messages.next() else { break Ok(()) };
            if self.client.encrypts() || self.line.is_taken() {
                left = Some(message);
                break Ok(());
            }
            let Some(partition) = self.partition_at_hand(topic, &message) else {
                left = Some(message);
                break Ok(());
            };
            match queues.push(&self.config, topic, partition, &message, now) {
                Ok(Pushed::Queued(delivery, rings)) => {
                    wake |= rings;
                    deliveries.push(delivery);
                }
                Ok(Pushed::NoRoom) => {
                    left = Some(message);
                    break Ok(());
                }
                Err(error) if error.code == ErrorCode::Cancelled => break Err(error),
                Err(error) => deliveries.push(Delivery::refused(topic, error)),
            }
        };
        drop(queues);
        if wake {
            self.due.notify_one();
        }
        outcome.map(|()| left)
    }
}
