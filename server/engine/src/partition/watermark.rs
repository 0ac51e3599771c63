//! The high watermark of a partition, and everyone who waits for it to rise.
//!
//! A waiter costs one map entry and is woken only when its own offset is reached, so that thousands may wait on
//! thousands of partitions and a group commit wakes exactly those it serves.

use std::collections::BTreeMap;
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use flymq_storage::StorageError;
use flymq_types::Offset;

use super::ReadyQueue;
use crate::primitives::{AtomicU64, AtomicUsize, Mutex, Ordering, fence};

/// Why a watermark will not rise any more.
#[derive(Debug, Clone)]
pub(crate) enum Stop {
    /// The log failed; nothing more becomes durable until a restart.
    Failed(StorageError),
    /// Another node leads now, or none: a later term has a watermark of its own.
    NotLeader,
    Deleted,
    ShuttingDown,
}

/// Offset after the last record that is on disk, with its waiters. It never goes back.
#[derive(Debug)]
pub(crate) struct HighWatermark {
    value: AtomicU64,
    /// Where the log ended when the term began: an earlier leader may have told of what is below.
    found: Offset,
    readers: AtomicUsize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// By wanted offset and ticket.
    waiters: BTreeMap<(u64, u64), Waker>,
    listeners: Vec<(u64, Arc<ReadyQueue>, usize)>,
    next_ticket: u64,
    stop: Option<Stop>,
}

impl HighWatermark {
    pub(crate) fn new(at: Offset) -> Self {
        Self::of_term(at, at)
    }

    /// That of a term of leadership which begins with a log up to `found`, known to be committed up to `at`.
    pub(crate) fn of_term(at: Offset, found: Offset) -> Self {
        let (value, readers) = (AtomicU64::new(at.get()), AtomicUsize::new(0));
        Self { value, found, readers, inner: Mutex::default() }
    }

    /// The records that were found when the term began, and are not known to be committed yet.
    pub(crate) fn unsettled(&self) -> Option<Range<Offset>> {
        let high = self.get();
        (high < self.found).then_some(high..self.found)
    }

    pub(crate) fn get(&self) -> Offset {
        Offset(self.value.load(Ordering::Acquire))
    }

    /// Raises the watermark and wakes those who waited for it; a lower value changes nothing.
    pub(crate) fn advance(&self, to: Offset) {
        let ready = {
            let mut inner = self.inner.lock();
            if to.get() <= self.value.load(Ordering::Relaxed) {
                return;
            }
            self.value.store(to.get(), Ordering::Release);
            for (_, queue, index) in &inner.listeners {
                queue.push(*index);
            }
            let later = inner.waiters.split_off(&(to.get().saturating_add(1), 0));
            std::mem::replace(&mut inner.waiters, later)
        };
        ready.into_values().for_each(Waker::wake);
    }

    /// Ends every wait, now and later. The first reason stays.
    pub(crate) fn stop(&self, stop: Stop) {
        let waiters = {
            let mut inner = self.inner.lock();
            inner.stop.get_or_insert(stop);
            for (_, queue, index) in &inner.listeners {
                queue.push(*index);
            }
            std::mem::take(&mut inner.waiters)
        };
        waiters.into_values().for_each(Waker::wake);
    }

    /// Why it will not rise any more, if so.
    pub(crate) fn stopped(&self) -> Option<Stop> {
        self.inner.lock().stop.clone()
    }

    /// Waits until the watermark is at least `offset`; what is reached already counts also after a stop.
    pub(crate) fn reached(&self, offset: Offset) -> Reached<'_> {
        Reached { mark: self, wanted: offset.get(), ticket: None }
    }

    /// Counts the caller as a reader who waits for the log's end, so that appends ask for a group commit.
    ///
    /// Look at the log's end only after this call: then either this reader sees an append, or the append sees it.
    pub(crate) fn enter_reader(&self) -> WaitingReader<'_> {
        self.readers.fetch_add(1, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        WaitingReader(self)
    }

    /// Whether a reader waits. Ask only after the append.
    pub(crate) fn has_readers(&self) -> bool {
        if !cfg!(mutant = "readers_not_fenced") {
            fence(Ordering::SeqCst);
        }
        self.readers.load(Ordering::SeqCst) > 0
    }

    /// Has `queue` told of `index` at every rise and at the stop. Counts as a waiting reader.
    pub(crate) fn listen(self: &Arc<Self>, queue: &Arc<ReadyQueue>, index: usize) -> Listening {
        let mut inner = self.inner.lock();
        inner.next_ticket += 1;
        let ticket = inner.next_ticket;
        inner.listeners.push((ticket, queue.clone(), index));
        drop(inner);
        self.readers.fetch_add(1, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        Listening { mark: self.clone(), ticket }
    }
}

/// See [`HighWatermark::enter_reader`].
#[derive(Debug)]
pub(crate) struct WaitingReader<'a>(&'a HighWatermark);

impl Drop for WaitingReader<'_> {
    fn drop(&mut self) {
        self.0.readers.fetch_sub(1, Ordering::SeqCst);
    }
}

/// See [`HighWatermark::listen`]; ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Listening {
    mark: Arc<HighWatermark>,
    ticket: u64,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.mark.readers.fetch_sub(1, Ordering::SeqCst);
        self.mark.inner.lock().listeners.retain(|(ticket, ..)| *ticket != self.ticket);
    }
}

/// See [`HighWatermark::reached`].
#[derive(Debug)]
pub(crate) struct Reached<'a> {
    mark: &'a HighWatermark,
    wanted: u64,
    ticket: Option<u64>,
}

impl Future for Reached<'_> {
    type Output = Result<(), Stop>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mark = self.mark;
        if mark.value.load(Ordering::Acquire) >= self.wanted {
            return Poll::Ready(Ok(()));
        }
        let mut inner = mark.inner.lock();
        if !cfg!(mutant = "watermark_not_looked_at_again")
            && mark.value.load(Ordering::Relaxed) >= self.wanted
        {
            return Poll::Ready(Ok(()));
        }
        if let Some(stop) = &inner.stop {
            return Poll::Ready(Err(stop.clone()));
        }
        let ticket = *self.ticket.get_or_insert_with(|| {
            inner.next_ticket += 1;
            inner.next_ticket
        });
        let waker = context.waker();
        inner.waiters.entry((self.wanted, ticket)).or_insert_with(|| waker.clone()).clone_from(waker);
        Poll::Pending
    }
}

impl Drop for Reached<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.mark.inner.lock().waiters.remove(&(self.wanted, ticket));
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use futures::FutureExt;
    use futures::task::noop_waker_ref;

    use super::*;

    fn waiting(mark: &HighWatermark) -> usize {
        mark.inner.lock().waiters.len()
    }

    #[test]
    fn a_rise_wakes_exactly_those_it_serves() {
        let mark = HighWatermark::new(Offset(5));
        let mut context = Context::from_waker(noop_waker_ref());
        assert!(mark.reached(Offset(5)).now_or_never().unwrap().is_ok());
        let mut near = mark.reached(Offset(6));
        let mut far = mark.reached(Offset(9));
        assert!(near.poll_unpin(&mut context).is_pending() && far.poll_unpin(&mut context).is_pending());
        mark.advance(Offset(8));
        assert_eq!(waiting(&mark), 1, "only the far one waits on");
        assert!(near.poll_unpin(&mut context).is_ready() && far.poll_unpin(&mut context).is_pending());
        mark.advance(Offset(2));
        assert_eq!(mark.get(), Offset(8), "it never goes back");
    }

    #[test]
    fn a_dropped_wait_leaves_nothing_behind() {
        let mark = HighWatermark::new(Offset(0));
        let mut context = Context::from_waker(noop_waker_ref());
        let mut wait = mark.reached(Offset(1));
        assert!(wait.poll_unpin(&mut context).is_pending() && wait.poll_unpin(&mut context).is_pending());
        assert_eq!(waiting(&mark), 1);
        drop(wait);
        assert_eq!(waiting(&mark), 0);
    }

    #[test]
    fn a_stop_ends_every_wait_but_what_is_reached_counts() {
        let mark = HighWatermark::new(Offset(3));
        let mut context = Context::from_waker(noop_waker_ref());
        let mut wait = mark.reached(Offset(4));
        assert!(wait.poll_unpin(&mut context).is_pending());
        mark.stop(Stop::Deleted);
        mark.stop(Stop::ShuttingDown);
        assert!(matches!(wait.poll_unpin(&mut context), Poll::Ready(Err(Stop::Deleted))));
        assert!(mark.reached(Offset(3)).now_or_never().unwrap().is_ok());
    }

    #[test]
    fn readers_are_counted_while_they_wait() {
        let mark = Arc::new(HighWatermark::new(Offset(0)));
        assert!(!mark.has_readers());
        let reader = mark.enter_reader();
        let queue = Arc::new(ReadyQueue::new(1));
        let listening = mark.listen(&queue, 0);
        drop(reader);
        assert!(mark.has_readers());
        mark.advance(Offset(1));
        assert_eq!(queue.next().now_or_never(), Some(0));
        drop(listening);
        assert!(!mark.has_readers());
    }
}
