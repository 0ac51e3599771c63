//! Appends of a broker without cluster. A batch is appended once the one before it is durable, and what comes meanwhile goes into it
//! together: batches that are not synced may reach the disk in any order in a power cut, and the log would have a gap.

use std::sync::Arc;

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
            Ok(log) if log.end_offset() > self.partition.high() => {}
            Ok(_) => self.write_one(pending),
            Err(error) => pending.fail(usize::MAX, &error),
        }
    }

    fn write_one(&self, pending: &mut Pending<M::Change>) {
        let (mut count, mut bytes, mut changes) = (0, 0, 0);
        for entry in pending.queue.iter().filter(|entry| entry.waiting.is_some()) {
            bytes += entry.changes.iter().map(M::extra_bytes).sum::<usize>();
            changes += entry.changes.len();
            if count > 0 && (bytes >= FULL || changes > MAX_CHANGES) {
                break;
            }
            count += 1;
        }
        let batch = pending.waiting().take(count).flat_map(|entry| {
            let at = entry.waiting.as_ref().map_or(Timestamp(0), |(at, _)| *at);
            entry.changes.iter().map(move |change| (change, at))
        });
        let batch = encode_all::<M>(batch);
        let Some(now) =
            pending.waiting().take(count).filter_map(|entry| Some(entry.waiting.as_ref()?.0)).last()
        else {
            return;
        };
        match batch.and_then(|batch| Ok((batch.size(), self.partition.append(&batch, now)?))) {
            Ok((size, appended)) => {
                self.grown.fetch_add(size as u64, std::sync::atomic::Ordering::Relaxed);
                pending.wrote(count, appended.base_offset, appended.last_offset.plus(1));
            }
            Err(error) => pending.fail(count, &error),
        }
    }
}

impl<C> Pending<C> {
    /// What is to be appended, in order.
    fn waiting(&self) -> impl Iterator<Item = &Entry<C>> {
        self.queue.iter().filter(|entry| entry.waiting.is_some())
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
