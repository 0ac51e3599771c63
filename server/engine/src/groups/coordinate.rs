//! Which node keeps a group's offsets, and how it takes them over.

use std::sync::{Arc, Weak};

use flymq_types::{Clock, GroupId, LeaderEpoch, Offset, Timestamp};
use parking_lot::RwLock;

use super::Groups;
use super::book::Book;
use super::cleaning::summarize;
use super::commit::offsets_topic;
use super::live::LiveGroups;
use super::offsets_log::OffsetsLog;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::partition::Partition;
use crate::task::{beside, blocking};

impl Engine {
    /// The logs of `__consumer_offsets` as they are open now; on a cluster each is loaded while this node leads it. None
    /// before the topic exists.
    pub(super) fn adopt_offsets_logs(&self) -> Arc<Vec<Arc<OffsetsLog>>> {
        let known = self.groups.logs.load_full();
        if !known.is_empty() && !self.is_member() {
            return known;
        }
        let Some(topic) = self.topics.find(&offsets_topic()) else { return known };
        let view = topic.view();
        let same =
            |(log, partition): (&Arc<OffsetsLog>, &Arc<Partition>)| Arc::ptr_eq(log.partition(), partition);
        if known.len() == view.partitions.len() && known.iter().zip(&view.partitions).all(same) {
            return known;
        }
        let _adopting = self.groups.adopting.lock();
        let known = self.groups.logs.load_full();
        let count = view.partitions.len();
        let log_of = |(index, partition): (usize, &Arc<Partition>)| {
            let open = known.get(index).filter(|log| Arc::ptr_eq(log.partition(), partition));
            open.filter(|_| known.len() == count).cloned().unwrap_or_else(|| {
                let log = Arc::new(OffsetsLog::new(partition.clone(), index, count));
                if partition.is_replicated() {
                    let kept = (self.groups.book.clone(), self.groups.live.clone());
                    beside(coordinate(kept, self.clock.clone(), Arc::downgrade(&log), partition.terms()));
                }
                log
            })
        };
        let logs: Arc<Vec<_>> = Arc::new(view.partitions.iter().enumerate().map(log_of).collect());
        self.groups.logs.store(logs.clone());
        logs
    }

    /// Has this node keep offsets where it leads, also of partitions that have just been opened.
    pub(crate) fn follow_offsets_topic(&self) {
        drop(self.adopt_offsets_logs());
    }

    /// Refuses a group whose offsets another node keeps, or which are not read yet.
    ///
    /// # Errors
    /// `NotCoordinator`.
    pub(crate) fn check_coordinator(&self, group: &GroupId) -> Result<(), EngineError> {
        if !self.is_member() {
            return Ok(());
        }
        let logs = self.adopt_offsets_logs();
        match logs.get(Groups::log_index(group, logs.len())) {
            Some(log) => self.check_loaded(log, group),
            None => Ok(()),
        }
    }

    /// As [`Engine::check_coordinator`], for the log of the group's offsets.
    pub(super) fn check_loaded(&self, log: &OffsetsLog, group: &GroupId) -> Result<(), EngineError> {
        let partition = log.partition();
        if !partition.is_replicated() {
            return Ok(());
        }
        // With a session that is over, another node may have taken offsets since.
        if partition.log().is_ok() && log.is_loaded() {
            return partition.check_sure().map_err(|_| not_coordinator(partition, group));
        }
        Err(not_coordinator(partition, group))
    }
}

pub(super) fn not_coordinator(partition: &Partition, group: &GroupId) -> EngineError {
    let node = partition.leadership().and_then(|known| known.other.clone());
    EngineError::NotCoordinator { group: group.clone(), node }
}

/// Has the book hold the log's offsets while this node leads it, for as long as there is the log.
async fn coordinate(
    (book, live): (Arc<RwLock<Book>>, Arc<LiveGroups>),
    clock: Arc<dyn Clock>,
    log: Weak<OffsetsLog>,
    mut terms: tokio::sync::watch::Receiver<Option<LeaderEpoch>>,
) {
    loop {
        let term = *terms.borrow_and_update();
        let Some(log) = log.upgrade() else { return };
        log.set_loaded(&book, None, Book::default());
        // Whoever waits here goes to the next coordinator.
        live.forget(|group| log.keeps(group));
        if let Some(epoch) = term {
            match take_over(&log).await {
                // An end of the term that is not seen here wakes this task again.
                Ok(offsets) => {
                    log.set_loaded(&book, Some(epoch), offsets);
                    tracing::info!(partition = %log.partition().number(), %epoch, "keeps the offsets of its groups");
                    if let Err(error) = replace_cleaned(&log, &book, clock.wall()).await {
                        tracing::warn!(%error, "could not shorten the log of committed offsets");
                    }
                }
                Err(error) => {
                    let partition = log.partition().number();
                    tracing::warn!(%partition, %epoch, %error, "committed offsets could not be read");
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
async fn replace_cleaned(
    log: &Arc<OffsetsLog>,
    book: &RwLock<Book>,
    now: Timestamp,
) -> Result<(), EngineError> {
    let partition = log.partition().clone();
    let cleaned = blocking(move || {
        let exported = partition.log()?.export().map_err(|error| partition.error(error))?;
        Ok::<_, EngineError>(exported.segments.iter().any(|segment| segment.span().cleaned))
    })
    .await??;
    if cleaned { summarize(log, book, now).await } else { Ok(()) }
}

/// Everything that earlier leaders may have told of, once it is committed.
async fn take_over(log: &Arc<OffsetsLog>) -> Result<Book, EngineError> {
    let partition = log.partition();
    if let Some(replica) = partition.replica() {
        // Behind every commit of an earlier term that is under way: nobody appends any before the offsets are loaded.
        let nothing = replica.delete_records(Offset::ZERO).await;
        nothing.map_err(|failure| partition.failure(failure))?;
    }
    let end = partition.log()?.end_offset();
    partition.durable(end).await?;
    let log = log.clone();
    blocking(move || {
        let mut offsets = Book::default();
        log.load(&mut offsets, end).map(|()| offsets)
    })
    .await?
}
