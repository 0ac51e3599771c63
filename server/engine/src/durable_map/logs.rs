//! All partitions of a map's topic on this node, and how it takes over those that it begins to lead.

use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use flymq_types::{Clock, LeaderEpoch, Offset, Timestamp, TopicName};
use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use tokio::sync::watch;

use super::cleaning::summarize;
use super::{DurableMap, MapLog};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::partition::Partition;
use crate::task::{beside, blocking};
use crate::topic::{CleanupPolicy, NewTopic, TopicConfig};

/// A map with the logs that it stands in.
#[derive(Debug)]
pub(crate) struct DurableLogs<M: DurableMap> {
    pub(crate) map: Arc<RwLock<M>>,
    /// The partitions of the topic; none before it exists.
    logs: ArcSwap<Vec<Arc<MapLog<M>>>>,
    /// Held while `logs` is made anew.
    adopting: Mutex<()>,
}

impl<M: DurableMap> Default for DurableLogs<M> {
    fn default() -> Self {
        Self { map: Arc::default(), logs: ArcSwap::default(), adopting: Mutex::default() }
    }
}

impl<M: DurableMap> DurableLogs<M> {
    /// The map with everything that is durable by now in it.
    pub(crate) fn settled(&self) -> RwLockReadGuard<'_, M> {
        for log in self.logs.load().iter() {
            log.settle(&self.map);
        }
        self.map.read()
    }

    /// The logs of the topic as they are open now; on a cluster each is loaded while this node leads it. None before the topic
    /// exists. `left` is called when the map has nothing of a log any more, and before it is loaded.
    pub(crate) fn adopt(
        &self,
        engine: &Engine,
        topic: &TopicName,
        left: impl Fn(&MapLog<M>) + Clone + Send + 'static,
    ) -> Arc<Vec<Arc<MapLog<M>>>> {
        let known = self.logs.load_full();
        if !known.is_empty() && !engine.is_member() {
            return known;
        }
        let Some(topic) = engine.topics.find(topic) else { return known };
        let view = topic.view();
        let same =
            |(log, partition): (&Arc<MapLog<M>>, &Arc<Partition>)| Arc::ptr_eq(log.partition(), partition);
        if known.len() == view.partitions.len() && known.iter().zip(&view.partitions).all(same) {
            return known;
        }
        let _adopting = self.adopting.lock();
        let known = self.logs.load_full();
        let count = view.partitions.len();
        let log_of = |(index, partition): (usize, &Arc<Partition>)| {
            let open = known.get(index).filter(|log| Arc::ptr_eq(log.partition(), partition));
            open.filter(|_| known.len() == count).cloned().unwrap_or_else(|| {
                let log = Arc::new(MapLog::new(partition.clone(), index, count));
                if partition.is_replicated() {
                    let (map, clock, terms) = (self.map.clone(), engine.clock.clone(), partition.terms());
                    beside(coordinate(map, clock, Arc::downgrade(&log), terms, left.clone()));
                }
                log
            })
        };
        let logs: Arc<Vec<_>> = Arc::new(view.partitions.iter().enumerate().map(log_of).collect());
        self.logs.store(logs.clone());
        logs
    }

    /// Creates the topic, where there is none.
    pub(crate) async fn create(&self, engine: &Engine, name: TopicName) -> Result<(), EngineError> {
        let config = TopicConfig {
            cleanup_policy: CleanupPolicy::Compact,
            // Only closed segments are cleaned.
            segment_bytes: Some(engine.options.offsets_checkpoint_bytes.clamp(1 << 20, 64 << 20)),
            ..TopicConfig::default()
        };
        self.create_with(engine, name, config).await
    }

    /// As [`DurableLogs::create`], with settings of the map's own.
    pub(crate) async fn create_with(
        &self,
        engine: &Engine,
        name: TopicName,
        config: TopicConfig,
    ) -> Result<(), EngineError> {
        let partitions = Some(engine.options.offsets_partitions);
        engine.get_or_create(NewTopic { name, partitions, config, restore: None }).await.map(drop)
    }
}

/// What the logs of a broker without cluster say together. With each that could not be read: why.
pub(crate) async fn read_alone<M: DurableMap>(
    logs: Arc<Vec<Arc<MapLog<M>>>>,
) -> Result<(M, Vec<(Arc<MapLog<M>>, EngineError)>), EngineError> {
    blocking(move || {
        let (mut map, mut unread) = (M::default(), Vec::new());
        for log in logs.iter() {
            if let Err(error) = log.load(&mut map, log.high()) {
                unread.push((log.clone(), error));
            }
        }
        (map, unread)
    })
    .await
}

/// Has the map hold the log's part while this node leads it, for as long as there is the log.
async fn coordinate<M: DurableMap>(
    map: Arc<RwLock<M>>,
    clock: Arc<dyn Clock>,
    log: Weak<MapLog<M>>,
    mut terms: watch::Receiver<Option<LeaderEpoch>>,
    left: impl Fn(&MapLog<M>) + Send + 'static,
) {
    loop {
        let term = *terms.borrow_and_update();
        let Some(log) = log.upgrade() else { return };
        log.set_loaded(&map, None, M::default());
        // Whoever waits here goes to the next coordinator.
        left(&log);
        if let Some(epoch) = term {
            match take_over(&log).await {
                // An end of the term that is not seen here wakes this task again.
                Ok(part) => {
                    log.set_loaded(&map, Some(epoch), part);
                    tracing::info!(partition = %log.partition().number(), %epoch, "keeps {}", M::WHAT);
                    if let Err(error) = replace_cleaned(&log, &map, clock.wall()).await {
                        tracing::warn!(%error, "could not shorten the log of {}", M::WHAT);
                    }
                }
                Err(error) => {
                    let partition = log.partition().number();
                    tracing::warn!(%partition, %epoch, %error, "{} could not be read", M::WHAT);
                }
            }
        }
        drop(log);
        if terms.changed().await.is_err() {
            return;
        }
    }
}

/// From before the cluster the log may have segments that were cleaned, which no other replica can copy: a summary takes
/// their place.
async fn replace_cleaned<M: DurableMap>(
    log: &Arc<MapLog<M>>,
    map: &RwLock<M>,
    now: Timestamp,
) -> Result<(), EngineError> {
    let partition = log.partition().clone();
    let cleaned = blocking(move || {
        let exported = partition.log()?.export().map_err(|error| partition.error(error))?;
        Ok::<_, EngineError>(exported.segments.iter().any(|segment| segment.span().cleaned))
    })
    .await??;
    if cleaned { summarize(log, map, now).await } else { Ok(()) }
}

/// Everything that earlier leaders may have told of, once it is committed.
async fn take_over<M: DurableMap>(log: &Arc<MapLog<M>>) -> Result<M, EngineError> {
    let partition = log.partition();
    if let Some(replica) = partition.replica() {
        // Behind every commit of an earlier term that is under way: nobody appends any before the map is loaded.
        let nothing = replica.delete_records(Offset::ZERO).await;
        nothing.map_err(|failure| partition.failure(failure))?;
    }
    let end = partition.log()?.end_offset();
    partition.durable(end).await?;
    let log = log.clone();
    blocking(move || {
        let mut part = M::default();
        log.load(&mut part, end).map(|()| part)
    })
    .await?
}
