//! The batching producer.
//!
//! `send` puts a message into the open batch of its partition and returns; a task sends batches that are full, or whose
//! linger is over, and keeps up to `max_in_flight` of each partition on their way. So a batch grows by itself while the
//! ones before it are on the wire, also with a linger of zero.
//!
//! Order: batches of a partition leave in the order of `send`. A batch that failed without an effect is repeated; with
//! several in flight a later one may then stand before it (set `max_in_flight` to 1 where that matters).

mod delivery;
mod queue;
mod sender;

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};

pub use delivery::Delivery;
use queue::Queues;
pub(crate) use queue::{ANY_PARTITION, batch_of_one};

use crate::{
    Client, ClientError, NewMessage, ProducerConfig, RecordMetadata, metadata::partition_of, pb::ErrorCode,
};

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
    /// Bytes of `buffer_bytes` that are free.
    room: Semaphore,
}

impl Producer {
    pub(crate) fn new(client: Client, config: ProducerConfig) -> Self {
        let room = Semaphore::new(config.buffer_bytes.clamp(1, Semaphore::MAX_PERMITS));
        let shared = Arc::new(Shared { client, config, queues: Mutex::default(), due: Notify::new(), room });
        crate::runtime::spawn(sender::run(Arc::clone(&shared)));
        Self { shared }
    }

    /// Queues a message. Waits only while the buffer is full, or to learn a new topic's partition count.
    ///
    /// # Errors
    /// `RecordTooLarge` for a message that no buffer can hold, `Cancelled` after close. What happens later is told by the [`Delivery`].
    pub async fn send(&self, topic: &str, message: NewMessage) -> Result<Delivery, ClientError> {
        let message = self.shared.client.sealed(message)?;
        let partition = match (message.partition, &message.key) {
            (Some(partition), _) => partition,
            (None, None) => ANY_PARTITION,
            (None, Some(key)) => match self.shared.client.partition_count(topic).await {
                Ok(count) => partition_of(key, count),
                Err(error) if error.code == ErrorCode::TopicNotFound => {
                    return self.send_alone(topic, message).await;
                }
                Err(error) => return Err(error),
            },
        };
        self.take_room(&message).await?;
        self.shared.push(topic, partition, &message)
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
        let partition = match (message.partition, &message.key) {
            (Some(partition), _) => partition,
            (None, None) => ANY_PARTITION,
            (None, Some(key)) => match self.shared.client.topics().get(topic) {
                Some(count) => partition_of(key, count),
                None => return Ok(Err(message)),
            },
        };
        let Ok(permit) = self.shared.room.try_acquire_many(self.shared.cost(&message)?) else {
            return Ok(Err(message));
        };
        permit.forget();
        self.shared.push(topic, partition, &message).map(Ok)
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

    async fn take_room(&self, message: &NewMessage) -> Result<(), ClientError> {
        let permit = self.shared.room.acquire_many(self.shared.cost(message)?).await;
        permit.map_err(|_| ClientError::closed("producer"))?.forget();
        Ok(())
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
    /// What a message takes of the buffer.
    fn cost(&self, message: &NewMessage) -> Result<u32, ClientError> {
        let bytes = queue::weight(message);
        match u32::try_from(bytes) {
            Ok(cost) if bytes <= self.config.buffer_bytes => Ok(cost),
            _ => {
                let message = format!(
                    "the message of {bytes} bytes is larger than the buffer of {}",
                    self.config.buffer_bytes
                );
                Err(ClientError::new(ErrorCode::RecordTooLarge, message))
            }
        }
    }

    fn push(&self, topic: &str, partition: i32, message: &NewMessage) -> Result<Delivery, ClientError> {
        let pushed = self.queues.lock().push(&self.config, topic, partition, message);
        match pushed {
            Ok((delivery, wake)) => {
                if wake {
                    self.due.notify_one();
                }
                Ok(delivery)
            }
            Err(error) => {
                self.room.add_permits(queue::weight(message));
                Err(error)
            }
        }
    }
}
