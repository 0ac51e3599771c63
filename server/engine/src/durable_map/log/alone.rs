//! Appends of a broker without cluster. A batch is appended once the one before it is durable, and what comes meanwhile goes into it
//! together: batches that are not synced may reach the disk in any order in a power cut, and the log would have a gap.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use flymq_types::{Offset, Timestamp};
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use super::{DurableMap, Entry, FULL, MAX_CHANGES, MapLog, Pending, encode_all};
use crate::error::EngineError;
use crate::task::to_the_end;

/// What has to be durable, or why it could not be appended.
pub(crate) type Written = Result<Offset, EngineError>;

impl<M: DurableMap> MapLog<M> {
    /// Has the changes appended in one batch. The order of calls is the order in which they are applied.
    pub(super) fn append(&self, changes: Vec<M::Change>, now: Timestamp) -> oneshot::Receiver<Written> {
        let (told, written) = oneshot::channel();
        let mut pending = self.pending.lock();
        pending.push(changes);
        if let Some(entry) = pending.queue.back_mut() {
            entry.waiting = Some((now, told));
        }
        self.write_next(&mut pending);
        written
    }

    /// Waits until it is appended and durable.
    pub(super) async fn written(
        self: &Arc<Self>,
        mut written: oneshot::Receiver<Written>,
    ) -> Result<(), EngineError> {
        match written.try_recv() {
            Ok(end) => self.partition.durable(end?).await,
            Err(_) => to_the_end(self.clone().write_and_wait(written)).await,
        }
    }

    /// Writes what comes before it, too, where nobody else does.
    async fn write_and_wait(
        self: Arc<Self>,
        mut written: oneshot::Receiver<Written>,
    ) -> Result<(), EngineError> {
        loop {
            match written.try_recv() {
                Ok(end) => return self.partition.durable(end?).await,
                Err(TryRecvError::Empty) => {}
                // The part is another node's by now.
                Err(TryRecvError::Closed) => return Err(self.partition.not_leader()),
            }
            let durable = match self.partition.log() {
                Ok(log) => self.partition.durable(log.end_offset()).await,
                Err(error) => Err(error),
            };
            let mut pending = self.pending.lock();
            match durable {
                Ok(()) => self.write_next(&mut pending),
                Err(error) => pending.fail(usize::MAX, &error),
            }
        }
    }

    /// Appends what waits, if everything before it is durable.
    fn write_next(&self, pending: &mut Pending<M::Change>) {
        match self.partition.log() {
            // Replicas have the log since, and who leads it writes there.
            Ok(_) if self.partition.is_replicated() => pending.fail(usize::MAX, &self.partition.not_leader()),
            Ok(log) if log.end_offset() > self.partition.high() => {}
            Ok(_) => self.write_one(pending),
            Err(error) => pending.fail(usize::MAX, &error),
        }
    }

    /// As much of it as one batch takes.
    fn write_one(&self, pending: &mut Pending<M::Change>) {
        let count = pending.fitting::<M>();
        let timed = pending
            .waiting()
            .take(count)
            .filter_map(|entry| Some((&entry.changes, entry.waiting.as_ref()?.0)));
        let Some((_, now)) = timed.clone().last() else { return };
        let changes = timed.flat_map(|(changes, at)| changes.iter().map(move |change| (change, at)));
        let appended = encode_all::<M>(changes).and_then(|batch| {
            let appended = self.partition.append(&batch, now)?;
            self.grown.fetch_add(batch.size() as u64, Ordering::Relaxed);
            Ok(appended)
        });
        match appended {
            Ok(appended) => pending.wrote(count, appended.base_offset, appended.last_offset.plus(1)),
            Err(error) => pending.fail(count, &error),
        }
    }
}

impl<C> Pending<C> {
    /// What is to be appended, in order.
    fn waiting(&self) -> impl Iterator<Item = &Entry<C>> + Clone {
        self.queue.iter().filter(|entry| entry.waiting.is_some())
    }

    /// How many of them go into one batch: the first, and others while they are small and few.
    fn fitting<M: DurableMap<Change = C>>(&self) -> usize {
        let (mut bytes, mut changes) = (0, 0);
        let fits = |entry: &&Entry<C>| {
            let first = changes == 0;
            bytes += entry.changes.iter().map(M::extra_bytes).sum::<usize>();
            changes += entry.changes.len();
            first || (bytes < FULL && changes <= MAX_CHANGES)
        };
        self.waiting().take_while(fits).count()
    }

    /// The first `count` that waited are one batch now, which ends at `end`.
    fn wrote(&mut self, count: usize, base: Offset, end: Offset) {
        let mut next = base;
        for entry in self.queue.iter_mut().filter(|entry| entry.waiting.is_some()).take(count) {
            (entry.base, entry.end) = (next, Some(end));
            next = next.plus(entry.changes.len() as u64);
            tell(entry, Ok(end));
        }
    }

    /// The first `count` that wait could not be appended.
    fn fail(&mut self, count: usize, error: &EngineError) {
        for entry in self.queue.iter_mut().filter(|entry| entry.waiting.is_some()).take(count) {
            entry.outcome = Some(false);
            tell(entry, Err(error.clone()));
        }
    }
}

fn tell<C>(entry: &mut Entry<C>, written: Written) {
    if let Some((_, told)) = entry.waiting.take() {
        // Whoever went away does not want to know.
        drop(told.send(written));
    }
}
