//! Messages that are answered for one by one: queue mode, and what stands under a handler.

use std::{sync::Arc, time::Duration};

use flymq_client::{ClientError, Failed, Position};
use pyo3::prelude::*;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::{convert::Received, operation::Operation};

/// `(attempts, dead_lettered, retry_after_ms)`.
fn told(failed: Failed) -> (u32, bool, u64) {
    let after = u64::try_from(failed.retry_after.as_millis()).unwrap_or(u64::MAX);
    (failed.attempts, failed.dead_lettered, after)
}

/// A reader in queue mode; `close` ends a wait.
#[pyclass(frozen, module = "pyflymq._core")]
pub struct Queue {
    inner: Arc<flymq_client::QueueConsumer>,
    closing: CancellationToken,
}

impl Queue {
    pub fn new(inner: flymq_client::QueueConsumer) -> Self {
        Self { inner: Arc::new(inner), closing: CancellationToken::new() }
    }
}

#[pymethods]
impl Queue {
    /// `(message, delivery_count)` of up to `max` messages, waiting up to `timeout_ms` for the first.
    fn acquire(&self, timeout_ms: u64, max: u32) -> Operation {
        let (queue, closing) = (Arc::clone(&self.inner), self.closing.clone());
        Operation::new(async move {
            let held = tokio::select! {
                biased;
                () = closing.cancelled() => return Err(ClientError::closed("queue consumer")),
                held = queue.acquire(Duration::from_millis(timeout_ms), max) => held?,
            };
            Ok(held.into_iter().map(|one| (Received(one.message), one.delivery_count)).collect::<Vec<_>>())
        })
    }

    /// They are processed.
    fn accept(&self, messages: Vec<Position>) -> Operation {
        let queue = Arc::clone(&self.inner);
        Operation::new(async move { queue.accept(&messages).await })
    }

    /// To the dead letters at once.
    fn reject(&self, messages: Vec<Position>, reason: String) -> Operation {
        let queue = Arc::clone(&self.inner);
        Operation::new(async move { queue.reject(&messages, &reason).await })
    }

    /// Given back as they were.
    fn release(&self, messages: Vec<Position>) -> Operation {
        let queue = Arc::clone(&self.inner);
        Operation::new(async move { queue.release(&messages).await })
    }

    /// Held for another lock.
    fn extend(&self, messages: Vec<Position>) -> Operation {
        let queue = Arc::clone(&self.inner);
        Operation::new(async move { queue.extend(&messages).await })
    }

    /// It failed; gives `(attempts, dead_lettered, retry_after_ms)`.
    fn nack(&self, message: Position, reason: String) -> Operation {
        let queue = Arc::clone(&self.inner);
        Operation::new(async move { queue.nack(message, &reason).await.map(told) })
    }

    /// Gives back what is held.
    fn close(&self) -> Operation {
        self.closing.cancel();
        let queue = Arc::clone(&self.inner);
        Operation::new(async move { queue.close().await })
    }
}

/// Messages for a handler, one at a time. Threads that call it at once take turns; `interrupt` ends a wait.
#[pyclass(frozen, module = "pyflymq._core")]
pub struct Listener {
    inner: Arc<Mutex<flymq_client::Listener>>,
    closing: CancellationToken,
}

impl Listener {
    pub fn new(inner: flymq_client::Listener) -> Self {
        Self { inner: Arc::new(Mutex::new(inner)), closing: CancellationToken::new() }
    }
}

#[pymethods]
impl Listener {
    /// `(message, delivery_count)`, or nothing when none came in time or it was interrupted.
    fn next(&self, timeout_ms: u64) -> Operation {
        let (listener, closing) = (Arc::clone(&self.inner), self.closing.clone());
        Operation::new(async move {
            let next = async { listener.lock().await.next(Duration::from_millis(timeout_ms)).await };
            let work = tokio::select! {
                biased;
                () = closing.cancelled() => None,
                work = next => work?,
            };
            Ok(work.map(|work| (Received(work.message), work.delivery_count)))
        })
    }

    /// The message at hand is processed.
    fn done(&self) -> Operation {
        let listener = Arc::clone(&self.inner);
        Operation::new(async move { listener.lock().await.done().await })
    }

    /// It failed; gives `(attempts, dead_lettered, retry_after_ms)`.
    fn failed(&self, reason: String) -> Operation {
        let listener = Arc::clone(&self.inner);
        Operation::new(async move { listener.lock().await.failed(&reason).await.map(told) })
    }

    /// Ends a wait, and all later ones.
    fn interrupt(&self) {
        self.closing.cancel();
    }

    /// Gives back the message at hand, commits and stops.
    fn close(&self) -> Operation {
        self.closing.cancel();
        let listener = Arc::clone(&self.inner);
        Operation::new(async move { listener.lock().await.close().await })
    }
}
