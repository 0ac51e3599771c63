//! The consumer.

use std::{sync::Arc, time::Duration};

use flymq_client::{ClientError, Polled, Rebalance};
use pyo3::prelude::*;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::{convert::received, operation::Operation};

pub type Shared = Arc<Mutex<flymq_client::Consumer>>;

/// Reads topics. Threads that call it at once take turns; `close` ends a poll that waits.
#[pyclass(frozen, module = "pyflymq._core")]
pub struct Consumer {
    inner: Shared,
    closing: CancellationToken,
}

impl Consumer {
    pub fn new(inner: flymq_client::Consumer) -> Self {
        Self { inner: Arc::new(Mutex::new(inner)), closing: CancellationToken::new() }
    }

    /// For what a transaction does with it.
    pub fn shared(&self) -> Shared {
        Arc::clone(&self.inner)
    }
}

#[pymethods]
impl Consumer {
    /// Up to `max_records` messages, waiting up to `timeout_ms` for the first.
    fn poll(&self, timeout_ms: u64, max_records: usize) -> Operation {
        let (consumer, closing) = (Arc::clone(&self.inner), self.closing.clone());
        Operation::new(async move {
            if closing.is_cancelled() {
                return Err(ClientError::closed("consumer"));
            }
            let polled =
                async { consumer.lock().await.poll(Duration::from_millis(timeout_ms), max_records).await };
            let messages = tokio::select! {
                biased;
                () = closing.cancelled() => Vec::new(),
                messages = polled => messages?,
            };
            Ok(received(messages))
        })
    }

    /// As `poll`, `(messages, None)`; or, once partitions come or go, `([], ("assigned" | "revoked" | "lost", places))`.
    fn poll_step(&self, timeout_ms: u64, max_records: usize) -> Operation {
        let (consumer, closing) = (Arc::clone(&self.inner), self.closing.clone());
        Operation::new(async move {
            if closing.is_cancelled() {
                return Err(ClientError::closed("consumer"));
            }
            let step = async {
                consumer.lock().await.poll_step(Duration::from_millis(timeout_ms), max_records).await
            };
            let polled = tokio::select! {
                biased;
                () = closing.cancelled() => Polled::Messages(Vec::new()),
                polled = step => polled?,
            };
            Ok(match polled {
                Polled::Messages(messages) => (received(messages), None),
                Polled::Rebalance(rebalance) => (Vec::new(), Some(told(rebalance))),
            })
        })
    }

    /// Commits what was handed out.
    fn commit(&self) -> Operation {
        let consumer = Arc::clone(&self.inner);
        Operation::new(async move { consumer.lock().await.commit().await })
    }

    /// The next poll reads the partition from `offset`, in one topic or in all that have it.
    #[pyo3(signature = (partition, offset, topic = None))]
    fn seek(&self, partition: i32, offset: u64, topic: Option<String>) -> Operation {
        let consumer = Arc::clone(&self.inner);
        Operation::new(async move {
            let mut consumer = consumer.lock().await;
            match topic {
                Some(topic) => consumer.seek_in(&topic, partition, offset).await,
                None => consumer.seek(partition, offset).await,
            }
        })
    }

    /// The next poll reads everything from the first message.
    fn seek_to_beginning(&self) -> Operation {
        let consumer = Arc::clone(&self.inner);
        Operation::new(async move { consumer.lock().await.seek_to_beginning().await })
    }

    /// The next poll reads only what comes from now on.
    fn seek_to_end(&self) -> Operation {
        let consumer = Arc::clone(&self.inner);
        Operation::new(async move { consumer.lock().await.seek_to_end().await })
    }

    /// The next offset of a partition.
    fn position(&self, partition: i32) -> Operation {
        let consumer = Arc::clone(&self.inner);
        Operation::new(async move { consumer.lock().await.position(partition).await })
    }

    /// The next poll goes on from what the group has committed in these partitions.
    fn rewind(&self, places: Vec<(String, i32)>) -> Operation {
        let consumer = Arc::clone(&self.inner);
        Operation::new(async move {
            consumer.lock().await.rewind(&places);
            Ok(())
        })
    }

    /// `(topic, partition, next offset)` of all it reads.
    fn assignment(&self) -> Operation {
        let consumer = Arc::clone(&self.inner);
        Operation::new(async move {
            let places = consumer.lock().await.assignment();
            Ok(places.into_iter().map(|p| (p.topic, p.partition, p.offset)).collect::<Vec<_>>())
        })
    }

    /// Ends a poll that waits, and all later ones.
    fn interrupt(&self) {
        self.closing.cancel();
    }

    /// Commits (with auto-commit) and stops; a poll that waits ends with nothing.
    fn close(&self) -> Operation {
        self.closing.cancel();
        let consumer = Arc::clone(&self.inner);
        Operation::new(async move { consumer.lock().await.close().await })
    }
}

fn told(rebalance: Rebalance) -> (&'static str, Vec<(String, i32)>) {
    match rebalance {
        Rebalance::Assigned(places) => ("assigned", places),
        Rebalance::Revoked(places) => ("revoked", places),
        Rebalance::Lost(places) => ("lost", places),
    }
}
