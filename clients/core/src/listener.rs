//! What stands under every handler that is called with each message: a member of a group that says of each message whether it was
//! processed. One that failed is redelivered later, while the others go on, and is a dead letter in the end (docs/dead-letters.md).

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

use crate::{
    Client, ClientError, Consumer, ConsumerConfig, Failed, Message, Polled, QueueConfig, QueueConsumer,
    Rebalance,
    pb::{self, ErrorCode},
    queue::is_over,
};

/// So often a topic is looked at for failed messages of others, where the broker has not said when the next one is due.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What becomes of messages that fail; absent: as the broker is set.
#[derive(Debug, Clone, Default)]
pub struct RetryPolicy {
    /// Redeliveries before a message goes to the dead letters.
    pub max_retries: Option<u32>,
    /// Wait before the first redelivery, doubled each time.
    pub retry_delay: Option<Duration>,
}

/// A message for the handler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    pub message: Message,
    /// 1 at the first delivery.
    pub delivery_count: u32,
}

/// One step of a listener: a message, or partitions that came or go.
#[derive(Debug, Clone, PartialEq)]
pub enum Listened {
    Work(Work),
    /// As a consumer tells it; what was handed out is answered for by then.
    Rebalance(Rebalance),
}

/// Reads topics as a member of a group, one message at a time, each of which is answered for.
#[derive(Debug)]
pub struct Listener {
    client: Client,
    group: String,
    policy: RetryPolicy,
    consumer: Consumer,
    /// Where failed messages come again, by topic.
    retries: BTreeMap<String, Retries>,
    current: Option<Current>,
}

/// A message that is not answered for.
#[derive(Debug)]
struct Current {
    work: Work,
    /// It came again, and is held by this listener; else it is the last one that the consumer handed out.
    held: bool,
}

#[derive(Debug)]
struct Retries {
    queue: QueueConsumer,
    look_at: Instant,
}

impl Client {
    /// A listener on this client's connections; `config` has a group.
    ///
    /// # Errors
    /// `InvalidArgument` without topics or a group.
    pub fn listener(&self, config: ConsumerConfig, policy: RetryPolicy) -> Result<Listener, ClientError> {
        let Some(group) = config.group.clone() else {
            return Err(ClientError::invalid("a listener needs a group"));
        };
        let consumer = self.consumer(config)?;
        Ok(Listener {
            client: self.clone(),
            group,
            policy,
            consumer,
            retries: BTreeMap::new(),
            current: None,
        })
    }
}

impl Listener {
    /// The next message: one that is due for redelivery, or the next one of the group's partitions; waits up to `timeout`. A message
    /// that was not answered for is given back first.
    ///
    /// # Errors
    /// Those of [`Consumer::poll`].
    pub async fn next(&mut self, timeout: Duration) -> Result<Option<Work>, ClientError> {
        let deadline = Instant::now() + timeout;
        loop {
            match self.next_step(deadline.saturating_duration_since(Instant::now())).await? {
                Some(Listened::Work(work)) => return Ok(Some(work)),
                Some(Listened::Rebalance(_)) => {}
                None => return Ok(None),
            }
        }
    }

    /// As [`Listener::next`]; it ends as well when partitions come or go, each time before or after that happens as [`Rebalance`] says.
    ///
    /// # Errors
    /// Those of [`Consumer::poll`].
    pub async fn next_step(&mut self, timeout: Duration) -> Result<Option<Listened>, ClientError> {
        self.give_back().await?;
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(work) = self.redelivered().await? {
                return Ok(Some(self.hand_out(work, true)));
            }
            let next_look = self.retries.values().map(|retries| retries.look_at).min();
            let until = next_look.map_or(deadline, |look_at| look_at.min(deadline));
            let wait = until.saturating_duration_since(Instant::now());
            match self.consumer.poll_step(wait, 1).await? {
                Polled::Rebalance(rebalance) => return Ok(Some(Listened::Rebalance(rebalance))),
                Polled::Messages(mut messages) => {
                    if let Some(message) = messages.pop() {
                        return Ok(Some(self.hand_out(Work { message, delivery_count: 1 }, false)));
                    }
                }
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
        }
    }

    fn hand_out(&mut self, work: Work, held: bool) -> Listened {
        self.current = Some(Current { work: work.clone(), held });
        Listened::Work(work)
    }

    /// The partitions that are its own, as topic and number.
    pub fn assignment(&self) -> Vec<(String, i32)> {
        self.consumer.assignment().into_iter().map(|place| (place.topic, place.partition)).collect()
    }

    /// The message at hand is processed. Of one that comes for the first time the offset is committed as the consumer is set.
    ///
    /// # Errors
    /// Transport errors: it may come again.
    pub async fn done(&mut self) -> Result<(), ClientError> {
        let Some(current) = self.current.take() else { return Ok(()) };
        let Some(retries) = self.holder(&current) else { return Ok(()) };
        let accepted = retries.queue.accept(&[current.position()]).await;
        // It took longer than it is held, and is another one's by now: nothing is left to say.
        if is_over(&accepted) { Ok(()) } else { accepted }
    }

    /// The message at hand could not be processed: it comes again, here or at another member, while the others go on.
    ///
    /// # Errors
    /// Transport errors: then it comes again at once.
    pub async fn failed(&mut self, reason: &str) -> Result<Failed, ClientError> {
        let Some(current) = self.current.take() else { return Ok(Failed::default()) };
        let failed = match self.holder(&current) {
            Some(retries) => retries.queue.nack(current.position(), reason).await,
            None => self.nack(&current.work, reason).await,
        };
        match failed {
            Ok(failed) => {
                if !failed.dead_lettered {
                    self.look_in(&current.work.message.topic, failed.retry_after);
                }
                Ok(failed)
            }
            Err(error) if is_another_ones(&error) => Ok(Failed::default()),
            Err(error) => {
                self.current = Some(current);
                self.give_back().await?;
                Err(error)
            }
        }
    }

    /// Commits what was handed out before the message at hand.
    ///
    /// # Errors
    /// Those of [`Consumer::commit`].
    pub async fn commit(&mut self) -> Result<(), ClientError> {
        self.consumer.commit().await
    }

    /// Gives back the message at hand, commits (with auto-commit) and stops. Idempotent.
    ///
    /// # Errors
    /// Those of [`Consumer::close`].
    pub async fn close(&mut self) -> Result<(), ClientError> {
        let given_back = self.give_back().await;
        let closed = self.consumer.close().await;
        self.retries.clear();
        given_back.and(closed)
    }

    async fn give_back(&mut self) -> Result<(), ClientError> {
        let Some(current) = self.current.take() else { return Ok(()) };
        if let Some(retries) = self.holder(&current) {
            let released = retries.queue.release(&[current.position()]).await;
            return if is_over(&released) { Ok(()) } else { released };
        }
        let message = &current.work.message;
        match self.consumer.seek_in(&message.topic, message.partition, message.offset).await {
            // Another member has the partition, and begins there.
            Err(error) if error.code == ErrorCode::PartitionNotFound => Ok(()),
            other => other,
        }
    }

    /// A message of the group that is due for redelivery.
    async fn redelivered(&mut self) -> Result<Option<Work>, ClientError> {
        for place in self.consumer.assignment() {
            if !self.retries.contains_key(&place.topic) {
                let retries = self.retries_of(&place.topic)?;
                self.retries.insert(place.topic, retries);
            }
        }
        let now = Instant::now();
        for retries in self.retries.values_mut().filter(|retries| retries.look_at <= now) {
            let (held, due) = retries.queue.acquire_retry().await?;
            if let Some(held) = held {
                // There may be more.
                return Ok(Some(Work { message: held.message, delivery_count: held.delivery_count }));
            }
            retries.look_at = now + due.unwrap_or(LOOK_EVERY).min(LOOK_EVERY);
        }
        Ok(None)
    }

    fn retries_of(&self, topic: &str) -> Result<Retries, ClientError> {
        let config = QueueConfig {
            max_retries: self.policy.max_retries,
            retry_delay: self.policy.retry_delay,
            ..QueueConfig::new(topic, &self.group)
        };
        Ok(Retries { queue: self.client.queue(config)?, look_at: Instant::now() })
    }

    /// Of a message that came again, who holds it.
    fn holder(&self, current: &Current) -> Option<&Retries> {
        self.retries.get(&*current.work.message.topic).filter(|_| current.held)
    }

    /// Of a message that came for the first time: all before it is processed, so the offset behind it is committed in the same step.
    async fn nack(&self, work: &Work, reason: &str) -> Result<Failed, ClientError> {
        let (member_id, generation) = self.consumer.commits_as();
        let request = pb::NackRequest {
            group: self.group.clone(),
            topic: work.message.topic.to_string(),
            partition: work.message.partition,
            offset: work.message.offset,
            reason: reason.to_owned(),
            member_id,
            generation,
            commit: true,
            max_retries: self.policy.max_retries,
            retry_delay_ms: self
                .policy
                .retry_delay
                .map(|wait| u32::try_from(wait.as_millis()).unwrap_or(u32::MAX)),
        };
        self.client.call::<_, pb::NackResponse>("Nack", &request).await.map(Failed::from)
    }

    fn look_in(&mut self, topic: &str, after: Duration) {
        if let Some(retries) = self.retries.get_mut(topic) {
            retries.look_at = retries.look_at.min(Instant::now() + after);
        }
    }
}

impl Current {
    fn position(&self) -> (i32, u64) {
        (self.work.message.partition, self.work.message.offset)
    }
}

fn is_another_ones(error: &ClientError) -> bool {
    matches!(error.code, ErrorCode::UnknownMember | ErrorCode::IllegalGeneration | ErrorCode::RecordNotHeld)
}
