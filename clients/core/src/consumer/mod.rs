//! The consumer: fetches ahead, hands out messages, commits.
//!
//! Delivery is at least once: `poll` commits (with auto-commit) only what earlier polls handed out. A member of a group gives
//! partitions up in `poll` as well, after it has committed what earlier polls handed out of them.

mod assigned;
mod exactly_once;
mod fetcher;
mod membership;
mod positions;
mod rebalance;

use std::{
    collections::{BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use tokio::sync::mpsc;

use crate::{Client, ClientError, ConsumerConfig, Message, OffsetReset, StartFrom, pb};
pub(crate) use assigned::is_pattern;
pub(crate) use exactly_once::CommitsFor;
use fetcher::{Arrived, Fetcher};
use membership::Membership;
use positions::Positions;
use rebalance::Notices;
pub use rebalance::{Polled, Rebalance};

/// Fetches that may wait for `poll`; each holds at most `fetch_max_bytes`, or one batch.
const FETCHED_AHEAD: usize = 8;
/// How often topics are looked at for new partitions.
const DISCOVERY_INTERVAL: Duration = Duration::from_secs(30);

/// Reads topics, alone or as a group. Not shared between tasks: `poll` takes it mutably.
pub struct Consumer {
    client: Client,
    config: ConsumerConfig,
    positions: Positions,
    fetchers: Vec<Fetcher>,
    arrivals: mpsc::Receiver<Arrived>,
    sender: mpsc::Sender<Arrived>,
    buffered: VecDeque<Message>,
    discovered: Option<Instant>,
    committed: Instant,
    /// None: it reads all partitions.
    membership: Option<Membership>,
    notices: Notices,
    /// Of a member: topics that were there when it came.
    here_before: Option<BTreeSet<String>>,
    closed: bool,
}

impl std::fmt::Debug for Consumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Consumer").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Consumer {
    pub(crate) fn new(client: Client, config: ConsumerConfig) -> Result<Self, ClientError> {
        if config.topics.is_empty() {
            return Err(ClientError::invalid("a consumer needs at least one topic"));
        }
        if config.member.is_some() && config.group.is_none() {
            return Err(ClientError::invalid("a member needs a group"));
        }
        if let (Some(topic), None) = (config.topics.iter().find(|topic| is_pattern(topic)), &config.member) {
            let message = format!(
                "{topic} is a pattern, which only a member of a group reads: give the consumer a group"
            );
            return Err(ClientError::invalid(message).with("topic", topic));
        }
        let (sender, arrivals) = mpsc::channel(FETCHED_AHEAD);
        Ok(Self {
            client,
            config,
            positions: Positions::default(),
            fetchers: Vec::new(),
            arrivals,
            sender,
            buffered: VecDeque::new(),
            discovered: None,
            committed: Instant::now(),
            membership: None,
            notices: Notices::default(),
            here_before: None,
            closed: false,
        })
    }

    /// Finds the partitions and where each begins, which else the first `poll` does: "latest" then means this moment.
    ///
    /// # Errors
    /// `TopicNotFound`, transport errors.
    pub async fn start_reading(&mut self) -> Result<(), ClientError> {
        self.ensure_started().await
    }

    /// Up to `max` messages (0: `max_poll_records`), waiting up to `timeout` for the first; empty when none came.
    ///
    /// # Errors
    /// `TopicNotFound`, `OffsetOutOfRange` above the end (where records are gone, it goes on as `offset_reset` says), `CorruptData`,
    /// transport errors after retries. A member: `InstanceFenced`.
    pub async fn poll(&mut self, timeout: Duration, max: usize) -> Result<Vec<Message>, ClientError> {
        let deadline = tokio::time::Instant::now() + timeout;
        loop {
            if let Polled::Messages(messages) = self.step(deadline, max).await? {
                return Ok(messages);
            }
        }
    }

    /// As [`Consumer::poll`]; of a member it ends as well when partitions come or go, each time before or after that happens as
    /// [`Rebalance`] says. Given up at any wait, it loses nothing.
    ///
    /// # Errors
    /// Those of [`Consumer::poll`].
    pub async fn poll_step(&mut self, timeout: Duration, max: usize) -> Result<Polled, ClientError> {
        self.step(tokio::time::Instant::now() + timeout, max).await
    }

    async fn step(&mut self, deadline: tokio::time::Instant, max: usize) -> Result<Polled, ClientError> {
        let started = self.ensure_started().await;
        if let Some(rebalance) = self.notices.next() {
            return Ok(Polled::Rebalance(rebalance));
        }
        started?;
        self.auto_commit().await?;
        let max = if max == 0 { self.config.max_poll_records } else { max };
        while self.buffered.is_empty() {
            tokio::select! {
                () = assigned::changes(&mut self.membership) => {
                    let followed = self.follow_assignment().await;
                    if let Some(rebalance) = self.notices.next() {
                        return Ok(Polled::Rebalance(rebalance));
                    }
                    followed?;
                }
                arrived = tokio::time::timeout_at(deadline, self.arrivals.recv()) => match arrived {
                    Ok(Some(arrived)) => self.take_in(arrived)?,
                    Ok(None) | Err(_) => return Ok(Polled::Messages(Vec::new())),
                },
            }
        }
        while self.buffered.len() < max {
            match self.arrivals.try_recv() {
                Ok(arrived) => self.take_in(arrived)?,
                Err(_) => break,
            }
        }
        let count = max.min(self.buffered.len());
        let messages: Vec<Message> = self.buffered.drain(..count).collect();
        self.positions.handed_out(&messages);
        Ok(Polled::Messages(messages))
    }

    /// Commits what was handed out so far; durable when it returns. Nothing to do without a group.
    ///
    /// # Errors
    /// Transport errors, those of commit.
    pub async fn commit(&mut self) -> Result<(), ClientError> {
        self.committed = Instant::now();
        let offsets = self.positions.uncommitted();
        self.commit_these(offsets).await
    }

    async fn commit_these(&mut self, offsets: Vec<pb::PartitionOffset>) -> Result<(), ClientError> {
        let Some(group) = &self.config.group else { return Ok(()) };
        if offsets.is_empty() {
            return Ok(());
        }
        let (member_id, generation) = self.commits_as();
        let request = pb::CommitOffsetsRequest {
            group: group.clone(),
            offsets: offsets.clone(),
            member_id,
            generation,
        };
        self.client.call::<_, pb::CommitOffsetsResponse>("CommitOffsets", &request).await?;
        self.positions.committed(&offsets);
        Ok(())
    }

    /// The next `poll` reads `partition` from `offset`, in every subscribed topic that has it.
    ///
    /// # Errors
    /// `PartitionNotFound` when no topic has it, those of the first look-up.
    pub async fn seek(&mut self, partition: i32, offset: u64) -> Result<(), ClientError> {
        self.ensure_started().await?;
        let topics: Vec<_> = self.positions.topics_with(partition);
        if topics.is_empty() {
            let message = format!("no subscribed topic has a partition {partition}");
            return Err(
                ClientError::new(pb::ErrorCode::PartitionNotFound, message).with("partition", partition)
            );
        }
        for topic in topics {
            self.restart(&topic, partition, offset);
        }
        Ok(())
    }

    /// As [`Consumer::seek`], in one topic.
    ///
    /// # Errors
    /// `PartitionNotFound` when the topic is not subscribed or has no such partition, those of the first look-up.
    pub async fn seek_in(&mut self, topic: &str, partition: i32, offset: u64) -> Result<(), ClientError> {
        self.ensure_started().await?;
        if !self.positions.knows(topic, partition) {
            let message = format!("partition {partition} of {topic} is not read by this consumer");
            let error = ClientError::new(pb::ErrorCode::PartitionNotFound, message);
            return Err(error.with("topic", topic).with("partition", partition));
        }
        self.restart(topic, partition, offset);
        Ok(())
    }

    /// The next `poll` reads all partitions from their first message.
    ///
    /// # Errors
    /// Transport errors.
    pub async fn seek_to_beginning(&mut self) -> Result<(), ClientError> {
        self.seek_all(StartFrom::Earliest).await
    }

    /// The next `poll` reads only what comes from now on.
    ///
    /// # Errors
    /// Transport errors.
    pub async fn seek_to_end(&mut self) -> Result<(), ClientError> {
        self.seek_all(StartFrom::Latest).await
    }

    /// The next offset that `poll` hands out of a partition (of the first subscribed topic that has it).
    ///
    /// # Errors
    /// `PartitionNotFound`, those of the first look-up.
    pub async fn position(&mut self, partition: i32) -> Result<u64, ClientError> {
        self.ensure_started().await?;
        self.positions.of(partition).ok_or_else(|| {
            let message = format!("no subscribed topic has a partition {partition}");
            ClientError::new(pb::ErrorCode::PartitionNotFound, message).with("partition", partition)
        })
    }

    /// Topics and partitions it reads, with the next offset of each.
    pub fn assignment(&self) -> Vec<pb::PartitionOffset> {
        self.positions.all()
    }

    /// Commits (with auto-commit) and stops. Idempotent.
    ///
    /// # Errors
    /// Those of [`Consumer::commit`].
    pub async fn close(&mut self) -> Result<(), ClientError> {
        if std::mem::replace(&mut self.closed, true) {
            return Ok(());
        }
        self.fetchers.clear();
        let committed = if self.config.enable_auto_commit { self.commit().await } else { Ok(()) };
        if let Some(membership) = &mut self.membership {
            membership.leave().await;
        }
        committed
    }

    async fn seek_all(&mut self, at: StartFrom) -> Result<(), ClientError> {
        self.ensure_started().await?;
        for place in self.positions.all() {
            let offset = self.client.edge(&place.topic, place.partition, (at, self.config.isolation)).await?;
            self.restart(&place.topic, place.partition, offset);
        }
        Ok(())
    }

    /// Fetches a partition from another offset; what was fetched before is thrown away.
    fn restart(&mut self, topic: &str, partition: i32, offset: u64) {
        self.fetchers.retain(|f| !f.reads(topic, partition));
        self.buffered.retain(|m| !(*m.topic == *topic && m.partition == partition));
        let epoch = self.positions.begin(topic, partition, offset);
        self.fetchers.push(Fetcher::start(
            &self.client,
            &self.config,
            (topic, partition),
            offset,
            epoch,
            &self.sender,
        ));
    }

    /// Finds partitions that are not read yet, at first use and then from time to time.
    async fn ensure_started(&mut self) -> Result<(), ClientError> {
        if self.closed {
            return Err(ClientError::closed("consumer"));
        }
        if self.config.member.is_some() {
            return self.attend().await;
        }
        if self.discovered.is_some_and(|at| at.elapsed() < DISCOVERY_INTERVAL) {
            return Ok(());
        }
        let again = self.discovered.is_some();
        for topic in self.config.topics.clone() {
            let count = self.client.partition_count(&topic).await?;
            let fresh: Vec<i32> = (0..i32::try_from(count).unwrap_or(i32::MAX))
                .filter(|partition| !self.positions.knows(&topic, *partition))
                .collect();
            if !fresh.is_empty() {
                let committed = self.group_offsets(&topic).await?;
                self.start(&topic, &fresh, &committed, again).await?;
            }
        }
        self.discovered = Some(Instant::now());
        Ok(())
    }

    async fn group_offsets(&self, topic: &str) -> Result<Vec<pb::PartitionOffset>, ClientError> {
        match &self.config.group {
            Some(group) => self.client.committed(group, topic).await,
            None => Ok(Vec::new()),
        }
    }

    async fn start(
        &mut self,
        topic: &str,
        partitions: &[i32],
        committed: &[pb::PartitionOffset],
        added_later: bool,
    ) -> Result<(), ClientError> {
        let isolation = self.config.isolation;
        for &partition in partitions {
            let commit = committed.iter().find(|c| c.partition == partition).map(|c| c.offset);
            let offset = match (commit, self.config.offset_reset) {
                (Some(offset), _) => offset,
                // A partition that was added while we read holds nothing that we would want to skip.
                (None, OffsetReset::Latest) if !added_later => {
                    self.client.edge(topic, partition, (StartFrom::Latest, isolation)).await?
                }
                (None, _) => self.client.edge(topic, partition, (StartFrom::Earliest, isolation)).await?,
            };
            self.restart(topic, partition, offset);
        }
        Ok(())
    }

    async fn auto_commit(&mut self) -> Result<(), ClientError> {
        let due = self.committed.elapsed() >= self.config.auto_commit_interval;
        if self.config.enable_auto_commit && due { self.commit_if_owned().await } else { Ok(()) }
    }

    fn take_in(&mut self, arrived: Arrived) -> Result<(), ClientError> {
        if self.positions.epoch(&arrived.topic, arrived.partition) == Some(arrived.epoch) {
            let waits = || {
                self.buffered
                    .iter()
                    .any(|message| *message.topic == *arrived.topic && message.partition == arrived.partition)
            };
            // What is still to be handed out must not be committed.
            if let Some(offset) = arrived.moved_to.filter(|_| !waits()) {
                self.positions.moved(&arrived.topic, arrived.partition, offset);
            }
            self.buffered.extend(arrived.messages?);
        }
        Ok(())
    }
}
