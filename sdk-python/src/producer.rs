//! The batching producer and its promises.

use std::sync::Arc;

use pyo3::prelude::*;

use crate::{
    convert::{self, Outgoing, Stored},
    error::to_py,
    operation::Operation,
    wait,
};

/// Sends messages in batches.
#[pyclass(frozen, module = "pyflymq._core")]
pub struct Producer {
    inner: Arc<flymq_client::Producer>,
}

impl Producer {
    pub fn new(inner: flymq_client::Producer) -> Self {
        Self { inner: Arc::new(inner) }
    }
}

#[pymethods]
impl Producer {
    /// Queues a message; waits only while the buffer is full, or to learn a topic's partitions.
    fn send(&self, py: Python<'_>, topic: String, message: Outgoing) -> PyResult<Delivery> {
        let queued = self.inner.try_send(&topic, convert::message(message)).map_err(|e| to_py(py, &e))?;
        let delivery = match queued {
            Ok(delivery) => delivery,
            Err(message) => {
                let producer = Arc::clone(&self.inner);
                let sending = Box::pin(async move { producer.send(&topic, message).await });
                let sent = wait::block(py, sending, None)?;
                sent.value.expect("a wait without limit ends with a result").map_err(|e| to_py(py, &e))?
            }
        };
        Ok(Delivery { inner: delivery })
    }

    /// As `send`, as an operation.
    fn send_operation(&self, topic: String, message: Outgoing) -> Operation {
        let (producer, message) = (Arc::clone(&self.inner), convert::message(message));
        Operation::new(async move { Ok(Delivery { inner: producer.send(&topic, message).await? }) })
    }

    /// Sends everything queued so far and waits for the answers.
    fn flush(&self) -> Operation {
        let producer = Arc::clone(&self.inner);
        Operation::new(async move { producer.flush().await })
    }

    /// Flushes, then refuses further messages.
    fn close(&self) -> Operation {
        let producer = Arc::clone(&self.inner);
        Operation::new(async move { producer.close().await })
    }
}

/// The promise of one message's metadata.
#[pyclass(frozen, module = "pyflymq._core")]
pub struct Delivery {
    inner: flymq_client::Delivery,
}

#[pymethods]
impl Delivery {
    /// Whether the result is there.
    fn done(&self) -> bool {
        self.inner.try_get().is_some()
    }

    /// The wait for `(topic, partition, offset, timestamp_ms)`; as often as one likes.
    fn result(&self) -> Operation {
        let delivery = self.inner.clone();
        Operation::new(async move { delivery.await.map(Stored) })
    }
}
