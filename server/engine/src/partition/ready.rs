//! Which of many partitions have news for one reader.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Poll, Waker};

use crate::primitives::Mutex;

/// A queue of indexes, each in it at most once; one reader takes them out in turn.
#[derive(Debug)]
pub(crate) struct ReadyQueue(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    queue: VecDeque<usize>,
    queued: Vec<bool>,
    waker: Option<Waker>,
}

impl ReadyQueue {
    /// An empty queue for the indexes below `size`.
    pub(crate) fn new(size: usize) -> Self {
        Self(Mutex::new(Inner { queue: VecDeque::new(), queued: vec![false; size], waker: None }))
    }

    /// Puts the index at the end, unless it is in the queue.
    pub(crate) fn push(&self, index: usize) {
        let mut inner = self.0.lock();
        if !std::mem::replace(&mut inner.queued[index], true) {
            inner.queue.push_back(index);
        }
        if let Some(waker) = inner.waker.take() {
            drop(inner);
            waker.wake();
        }
    }

    /// Takes the first index, waiting for one. Cancel-safe: an index is taken only when it is returned.
    pub(crate) async fn next(&self) -> usize {
        poll_fn(|context| {
            let mut inner = self.0.lock();
            match inner.queue.pop_front() {
                Some(index) => {
                    inner.queued[index] = false;
                    Poll::Ready(index)
                }
                None => {
                    inner.waker = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn an_index_waits_once_and_in_turn() {
        let queue = ReadyQueue::new(3);
        assert_eq!(queue.next().now_or_never(), None);
        for index in [2, 0, 2, 2] {
            queue.push(index);
        }
        assert_eq!(queue.next().now_or_never(), Some(2));
        queue.push(2);
        assert_eq!(queue.next().now_or_never(), Some(0));
        assert_eq!(queue.next().now_or_never(), Some(2));
        assert_eq!(queue.next().now_or_never(), None);
    }
}
