//! Queue mode: messages of an ordinary topic, each held by one reader until that answers for it (docs/dead-letters.md).

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{task::AbortHandle, time::Instant};

use crate::{
    Client, ClientError, Message, StartFrom,
    pb::{self, AckKind, ErrorCode},
    runtime,
};

/// Longest single wait at the broker.
const SLICE: Duration = Duration::from_secs(5);
/// Between two requests where the broker answers at once, as a node that stops does.
const PAUSE: Duration = Duration::from_millis(50);
/// Most offsets of one answer.
const MOST: usize = 1_000;

/// Partition and offset of a message.
pub type Position = (i32, u64);

/// Settings of a reader in queue mode.
#[derive(Debug, Clone)]
pub struct QueueConfig {
    pub topic: String,
    pub group: String,
    /// How long a message is held, 1 s to 15 min; a reader that dies gives it back by then.
    pub lock: Duration,
    /// So long a message that is not answered for is held on, by extending its lock in the background. Zero: for one `lock` alone.
    pub hold: Duration,
    /// Messages of one key come one at a time, in order.
    pub ordered: bool,
    /// Where a group without committed offset begins.
    pub from: StartFrom,
    /// Redeliveries before a message that fails goes to the dead letters. `None`: the broker's setting.
    pub max_retries: Option<u32>,
    /// Wait before the first redelivery, doubled each time. `None`: the broker's setting.
    pub retry_delay: Option<Duration>,
}

impl QueueConfig {
    /// Reads `topic` as `group`, from the first message; locks of 30 s, held on for up to 10 minutes.
    pub fn new(topic: impl Into<String>, group: impl Into<String>) -> Self {
        Self {
            topic: topic.into(),
            group: group.into(),
            lock: Duration::from_secs(30),
            hold: Duration::from_secs(600),
            ordered: false,
            from: StartFrom::Earliest,
            max_retries: None,
            retry_delay: None,
        }
    }
}

/// A message that this reader holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    pub message: Message,
    /// 1 at the first delivery.
    pub delivery_count: u32,
}

/// What became of a message that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Failed {
    /// So often it has failed; 0 where it is another reader's by now.
    pub attempts: u32,
    pub dead_lettered: bool,
    /// Until it is redelivered, where it is.
    pub retry_after: Duration,
}

impl From<pb::NackResponse> for Failed {
    fn from(reply: pb::NackResponse) -> Self {
        let retry_after = Duration::from_millis(reply.retry_after_ms.into());
        Self { attempts: reply.attempts, dead_lettered: reply.dead_lettered, retry_after }
    }
}

/// A reader in queue mode. Its calls may be made from many tasks; dropping it ends the extension of its locks.
#[derive(Debug)]
pub struct QueueConsumer {
    shared: Arc<Shared>,
    extends: AbortHandle,
}

#[derive(Debug)]
struct Shared {
    client: Client,
    config: QueueConfig,
    member_id: String,
    /// What is held, and until when it is held on.
    held: Mutex<BTreeMap<Position, Instant>>,
}

impl Drop for QueueConsumer {
    fn drop(&mut self) {
        self.extends.abort();
    }
}

impl Client {
    /// A reader in queue mode on this client's connections.
    ///
    /// # Errors
    /// `InvalidArgument` without a topic or a group.
    pub fn queue(&self, config: QueueConfig) -> Result<QueueConsumer, ClientError> {
        if config.topic.is_empty() || config.group.is_empty() {
            return Err(ClientError::invalid("a queue needs a topic and a group"));
        }
        let lock = config.lock;
        let shared = Arc::new(Shared {
            client: self.clone(),
            config,
            member_id: format!("{:032x}", rand::random::<u128>()),
            held: Mutex::default(),
        });
        let extends = runtime::spawn(extend_locks(Arc::downgrade(&shared), lock)).abort_handle();
        Ok(QueueConsumer { shared, extends })
    }
}

impl QueueConsumer {
    /// What the broker knows this reader by: 32 hexadecimal digits, chosen by chance.
    pub fn member_id(&self) -> &str {
        &self.shared.member_id
    }

    /// Up to `max` messages (0: 100), waiting up to `timeout` for the first; what is due for redelivery comes first. One that is given up
    /// while it waits may leave messages locked, which come again when their locks end.
    ///
    /// # Errors
    /// `TopicNotFound`, `Overloaded`, transport errors.
    pub async fn acquire(&self, timeout: Duration, max: u32) -> Result<Vec<Held>, ClientError> {
        let deadline = Instant::now() + timeout;
        loop {
            let (asked, left) = (Instant::now(), deadline.saturating_duration_since(Instant::now()));
            let (held, _) = self.shared.acquire(max, left.min(SLICE), false).await?;
            if !held.is_empty() || Instant::now() >= deadline {
                return Ok(held);
            }
            if asked.elapsed() < PAUSE {
                tokio::time::sleep(PAUSE.min(left)).await;
            }
        }
    }

    /// The next message that is due for redelivery, and how long it is until another one is (`None`: none waits).
    pub(crate) async fn acquire_retry(&self) -> Result<(Option<Held>, Option<Duration>), ClientError> {
        let (mut held, due) = self.shared.acquire(1, Duration::ZERO, true).await?;
        Ok((held.pop(), due))
    }

    /// They are processed.
    ///
    /// # Errors
    /// `RecordNotHeld`: a lock has ended, none of its partition's was answered for; transport errors.
    pub async fn accept(&self, messages: &[Position]) -> Result<(), ClientError> {
        self.shared.answer(messages, AckKind::Accept, "").await
    }

    /// Nobody can process them: they go to the dead letters at once.
    ///
    /// # Errors
    /// Those of [`QueueConsumer::accept`].
    pub async fn reject(&self, messages: &[Position], reason: &str) -> Result<(), ClientError> {
        self.shared.answer(messages, AckKind::Reject, reason).await
    }

    /// Gives them back as they were: another reader gets them at once, and nothing is counted as failed.
    ///
    /// # Errors
    /// Those of [`QueueConsumer::accept`].
    pub async fn release(&self, messages: &[Position]) -> Result<(), ClientError> {
        self.shared.answer(messages, AckKind::Release, "").await
    }

    /// Holds them for another `lock` from now, beside what is done in the background.
    ///
    /// # Errors
    /// Those of [`QueueConsumer::accept`].
    pub async fn extend(&self, messages: &[Position]) -> Result<(), ClientError> {
        self.shared.answer(messages, AckKind::Extend, "").await
    }

    /// It could not be processed: it comes again later, and goes to the dead letters in the end.
    ///
    /// # Errors
    /// Those of [`QueueConsumer::accept`].
    pub async fn nack(&self, message: Position, reason: &str) -> Result<Failed, ClientError> {
        self.shared.nack(message, reason).await
    }

    /// Gives back what is held; what is answered for meanwhile, or whose lock has ended, is not held and is no error.
    ///
    /// # Errors
    /// `TopicNotFound`, transport errors: then locks end by themselves.
    pub async fn close(&self) -> Result<(), ClientError> {
        self.extends.abort();
        let held: Vec<Position> = self.shared.held.lock().keys().copied().collect();
        self.shared.answer_held(&held, AckKind::Release).await
    }
}

impl Shared {
    async fn acquire(
        &self,
        max: u32,
        wait: Duration,
        retries_only: bool,
    ) -> Result<(Vec<Held>, Option<Duration>), ClientError> {
        let request = pb::AcquireRequest {
            group: self.config.group.clone(),
            topic: self.config.topic.clone(),
            member_id: self.member_id.clone(),
            max_records: max,
            max_wait_ms: millis(wait),
            lock_ms: millis(self.config.lock),
            ordered: self.config.ordered,
            retries_only,
            from: self.config.from.into(),
            ..pb::AcquireRequest::default()
        };
        let reply: pb::AcquireResponse = self.client.call("Acquire", &request).await?;
        let until = Instant::now() + self.config.hold;
        let topic: Arc<str> = self.config.topic.as_str().into();
        let mut taken = Vec::with_capacity(reply.records.len());
        for one in reply.records {
            let message = Message::from_record(&topic, one.partition, one.record.unwrap_or_default());
            let position = (message.partition, message.offset);
            self.held.lock().insert(position, until);
            match self.client.opened(vec![message]) {
                Ok(opened) => {
                    let held = |message| Held { message, delivery_count: one.delivery_count };
                    taken.extend(opened.into_iter().map(held));
                }
                // As one that its reader cannot process: it is in nobody's way.
                Err(error) => drop(self.nack(position, &error.message).await?),
            }
        }
        let due = Duration::from_millis(reply.next_due_ms.into());
        Ok((taken, (!due.is_zero()).then_some(due)))
    }

    async fn answer(&self, messages: &[Position], kind: AckKind, reason: &str) -> Result<(), ClientError> {
        let mut by_partition: BTreeMap<i32, Vec<u64>> = BTreeMap::new();
        for (partition, offset) in messages {
            by_partition.entry(*partition).or_default().push(*offset);
        }
        let mut all = Ok(());
        for (partition, offsets) in by_partition {
            for offsets in offsets.chunks(MOST) {
                all = all.and(self.answer_some(partition, offsets, kind, reason).await);
            }
        }
        all
    }

    async fn answer_some(
        &self,
        partition: i32,
        offsets: &[u64],
        kind: AckKind,
        reason: &str,
    ) -> Result<(), ClientError> {
        let request = pb::AcknowledgeRequest {
            group: self.config.group.clone(),
            topic: self.config.topic.clone(),
            partition,
            offsets: offsets.to_vec(),
            kind: kind.into(),
            extend_ms: millis(self.config.lock),
            member_id: self.member_id.clone(),
            reason: reason.to_owned(),
        };
        let answered = self.client.call::<_, pb::AcknowledgeResponse>("Acknowledge", &request).await;
        if kind != AckKind::Extend && (answered.is_ok() || offsets.len() == 1 && is_over(&answered)) {
            let mut held = self.held.lock();
            held.retain(|(at, offset), _| *at != partition || !offsets.contains(offset));
        }
        answered.map(|_| ())
    }

    async fn nack(&self, (partition, offset): Position, reason: &str) -> Result<Failed, ClientError> {
        let request = pb::NackRequest {
            group: self.config.group.clone(),
            topic: self.config.topic.clone(),
            partition,
            offset,
            reason: reason.to_owned(),
            member_id: self.member_id.clone(),
            max_retries: self.config.max_retries,
            retry_delay_ms: self.config.retry_delay.map(millis),
            ..pb::NackRequest::default()
        };
        let failed = self.client.call::<_, pb::NackResponse>("Nack", &request).await;
        if failed.is_ok() || is_over(&failed) {
            self.held.lock().remove(&(partition, offset));
        }
        failed.map(Failed::from)
    }

    /// Answers for those of `messages` that are held, and forgets the others.
    ///
    /// An answer for many is refused as a whole where one of them is not held (any more): then each is answered for alone.
    async fn answer_held(&self, messages: &[Position], kind: AckKind) -> Result<(), ClientError> {
        let answered = self.answer(messages, kind, "").await;
        if !is_over(&answered) {
            return answered;
        }
        let mut all = Ok(());
        for position in messages {
            let one = self.answer(&[*position], kind, "").await;
            if is_over(&one) {
                self.held.lock().remove(position);
            } else {
                all = all.and(one);
            }
        }
        all
    }

    /// Extends what is held.
    async fn extend_all(&self) {
        let now = Instant::now();
        let held: Vec<Position> = {
            let mut held = self.held.lock();
            held.retain(|_, until| *until > now);
            held.keys().copied().collect()
        };
        if let Err(error) = self.answer_held(&held, AckKind::Extend).await {
            tracing::debug!(%error, "could not extend the locks of a queue's messages");
        }
    }
}

/// Three times in each lock, so that one attempt may fail.
async fn extend_locks(shared: Weak<Shared>, lock: Duration) {
    loop {
        tokio::time::sleep(lock / 3).await;
        let Some(shared) = shared.upgrade() else { return };
        shared.extend_all().await;
    }
}

pub(crate) fn is_over<T>(answered: &Result<T, ClientError>) -> bool {
    answered.as_ref().is_err_and(|error| error.code == ErrorCode::RecordNotHeld)
}

fn millis(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}
