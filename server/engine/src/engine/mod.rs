//! The engine itself: what it holds, how it starts and how it stops. What it does stands beside its subject, in
//! `topic`, `produce`, `fetch`, `offsets` and `groups`.

mod counters;
mod health;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use flymq_storage::DataDir;
use flymq_types::{Clock, Patterns, Rng, TopicName};
use tokio::sync::{Mutex, watch};

pub(crate) use counters::Counters;
pub use health::StorageHealth;

use crate::error::EngineError;
use crate::groups::Groups;
use crate::meta::{Applied, Command, MetaImage, MetaStore, MetaVersion};
use crate::options::EngineOptions;
use crate::partition::{Partition, Stop};
use crate::produce::ProducerIds;
use crate::replication::Replication;
use crate::schedules::Schedules;
use crate::schemas::Validators;
use crate::steady::SteadyClock;
use crate::task::blocking;
use crate::topic::{Registry, TopicInfo};
use crate::transactions::Transactions;

/// What the engine works with; all of it can be real or simulated.
#[derive(Debug)]
pub struct EngineDeps {
    /// Open and locked; its sync thread runs.
    pub data: Arc<DataDir>,
    pub clock: Arc<dyn Clock>,
    pub rng: Arc<dyn Rng>,
    pub meta: Arc<dyn MetaStore>,
    /// Keeps partitions together with other nodes; none on a broker without cluster.
    pub replication: Option<Arc<dyn Replication>>,
}

/// Figures over the whole engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EngineStats {
    /// Without internal ones.
    pub topics: usize,
    /// Without those of internal topics.
    pub partitions: usize,
    pub groups: usize,
    /// Records appended since the start.
    pub produced: u64,
    /// Bytes of all logs, internal ones too.
    pub bytes: u64,
}

/// The broker's engine. One per data directory; share it in an `Arc`.
#[derive(Debug)]
pub struct Engine {
    pub(crate) options: EngineOptions,
    pub(crate) data: Arc<DataDir>,
    pub(crate) clock: Arc<dyn Clock>,
    /// For the end of records.
    pub(crate) steady: Arc<SteadyClock>,
    pub(crate) rng: Arc<dyn Rng>,
    pub(crate) meta: Arc<dyn MetaStore>,
    pub(crate) replication: Option<Arc<dyn Replication>>,
    pub(crate) topics: Registry,
    pub(crate) groups: Groups,
    pub(crate) transactions: Transactions,
    pub(crate) schedules: Schedules,
    pub(crate) schemas: Arc<Validators>,
    pub(crate) producer_ids: ProducerIds,
    pub(crate) counters: Arc<Counters>,
    /// Topics are created, changed and deleted one at a time.
    pub(crate) admin: Mutex<()>,
    /// The version of the metadata that everything open on this member of a cluster has been told.
    pub(crate) told: watch::Sender<MetaVersion>,
    /// The version of the metadata that this member of a cluster has acted upon.
    pub(crate) followed: watch::Sender<MetaVersion>,
    stopping: AtomicBool,
    /// Itself, for work that outlives its caller.
    me: Weak<Engine>,
}

/// How long a shutdown waits for the last sync of a log.
const LAST_SYNC_WAIT: Duration = Duration::from_secs(5);

impl Engine {
    /// Opens every log, replays the committed offsets, and is ready.
    ///
    /// A partition whose log cannot be opened is offline, the others go on.
    ///
    /// # Errors
    /// When the data directory cannot be listed, or the committed offsets cannot be read.
    pub async fn open(options: EngineOptions, deps: EngineDeps) -> Result<Arc<Self>, EngineError> {
        let counters = Arc::new(Counters::new());
        let EngineDeps { data, clock, rng, meta, replication } = deps;
        let steady = Arc::new(SteadyClock::new(clock.clone()));
        let engine = Arc::new_cyclic(|me| Self {
            options,
            data,
            clock,
            steady,
            rng,
            meta,
            replication,
            topics: Registry::default(),
            groups: Groups::default(),
            transactions: Transactions::default(),
            schedules: Schedules::default(),
            schemas: Arc::default(),
            producer_ids: ProducerIds::default(),
            counters,
            admin: Mutex::new(()),
            told: watch::Sender::default(),
            followed: watch::Sender::default(),
            stopping: AtomicBool::new(false),
            me: me.clone(),
        });
        let image = engine.meta.image();
        engine.open_topics(&image).await?;
        engine.load_offsets().await?;
        engine.load_transactions().await?;
        engine.load_schedules().await?;
        if engine.is_member() {
            engine.follow_metadata(image);
        }
        engine.watch_transactions();
        engine.watch_schedules();
        Ok(engine)
    }

    /// The engine as its owners have it.
    ///
    /// # Errors
    /// `ShuttingDown` when the last owner is letting go of it.
    pub(crate) fn shared(&self) -> Result<Arc<Self>, EngineError> {
        self.me.upgrade().ok_or(EngineError::ShuttingDown)
    }

    pub fn options(&self) -> &EngineOptions {
        &self.options
    }

    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// The metadata as this node has applied it.
    pub fn metadata(&self) -> Arc<MetaImage> {
        self.meta.image()
    }

    /// Changes the metadata by all of these commands, or by none of them.
    ///
    /// # Errors
    /// `ShuttingDown`, why a command does not apply, or `MetaUnavailable`: then it may have been applied.
    pub async fn propose(&self, commands: Vec<Command>) -> Result<Applied, EngineError> {
        self.check_running()?;
        Ok(self.meta.propose(commands).await?)
    }

    /// Topics by name.
    pub fn list_topics(&self, include_internal: bool) -> Vec<TopicInfo> {
        let all = self.topics.sorted().into_iter();
        all.filter(|(name, _)| include_internal || !name.is_internal())
            .map(|(_, topic)| topic.info())
            .collect()
    }

    /// Names of those that a pattern means; never internal ones, nor topics of dead letters.
    pub fn topics_matching(&self, patterns: &Patterns<()>) -> Vec<TopicName> {
        let image = self.meta.image();
        let letters = self.options.dead_letters.topics(&image);
        let all = self.topics.sorted().into_iter().map(|(name, _)| name);
        all.filter(|name| patterns.any(name.as_str()) && !letters.has(name)).collect()
    }

    /// Tells that the metadata have changed; topics among them are open here a moment later.
    pub fn meta_changes(&self) -> watch::Receiver<MetaVersion> {
        self.meta.watch()
    }

    /// One topic; internal ones are found by name too.
    ///
    /// # Errors
    /// `TopicNotFound`.
    pub fn topic(&self, name: &TopicName) -> Result<TopicInfo, EngineError> {
        Ok(self.topics.get(name)?.info())
    }

    pub fn stats(&self) -> EngineStats {
        let mut stats = EngineStats {
            groups: self.groups.len(),
            produced: self.counters.produced(),
            ..EngineStats::default()
        };
        for (name, topic) in self.topics.sorted() {
            let view = topic.view();
            stats.bytes += view.partitions.iter().map(|partition| partition.info().bytes).sum::<u64>();
            if !name.is_internal() {
                stats.topics += 1;
                stats.partitions += view.partitions.len();
            }
        }
        stats
    }

    /// Refuses new work, makes durable what is appended, and ends every wait. Closing the logs is the data
    /// directory's part. Calling it again does nothing.
    pub async fn shutdown(&self) {
        if self.stopping.swap(true, Ordering::SeqCst) {
            return;
        }
        self.groups.wake();
        let _turn = self.admin.lock().await;
        let topics = self.topics.sorted();
        for (_, topic) in &topics {
            for partition in &topic.view().partitions {
                last_sync(partition).await;
            }
        }
        for (_, topic) in &topics {
            topic.stop(&Stop::ShuttingDown);
            for partition in &topic.view().partitions {
                partition.close().await;
            }
        }
    }

    /// # Errors
    /// `ShuttingDown` after [`Engine::shutdown`].
    pub(crate) fn check_running(&self) -> Result<(), EngineError> {
        if self.stopping.load(Ordering::Relaxed) { Err(EngineError::ShuttingDown) } else { Ok(()) }
    }
}

async fn last_sync(partition: &Partition) {
    let Some(log) = partition.local_log() else { return };
    let end = log.end_offset();
    // What other nodes still lack is no reason to wait.
    let durable = async {
        match partition.replica() {
            None => partition.durable(end).await,
            Some(_) => {
                let log = log.clone();
                let synced = blocking(move || log.wait_durable(end, LAST_SYNC_WAIT)).await?;
                synced.map_err(|error| partition.error(error))
            }
        }
    };
    match tokio::time::timeout(LAST_SYNC_WAIT, durable).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(%error, "the last sync failed"),
        Err(_elapsed) => tracing::error!("the last sync did not end in time"),
    }
}
