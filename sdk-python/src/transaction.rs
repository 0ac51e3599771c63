//! The transactional producer.

use std::sync::Arc;

use flymq_client::pb;
use pyo3::prelude::*;
use tokio::sync::Mutex;

use crate::{
    consumer::Consumer,
    convert::{self, Outgoing, Stored},
    operation::Operation,
};

/// `(topic, partition, offset)` of what a group goes on from.
type Offsets = Vec<(String, i32, u64)>;

/// Sends messages in transactions. Threads that call it at once take turns.
#[pyclass(frozen, module = "pyflymq._core")]
pub struct TransactionalProducer {
    inner: Arc<Mutex<flymq_client::TransactionalProducer>>,
}

impl TransactionalProducer {
    pub fn new(inner: flymq_client::TransactionalProducer) -> Self {
        Self { inner: Arc::new(Mutex::new(inner)) }
    }
}

#[pymethods]
impl TransactionalProducer {
    /// Begins its life anew under its id.
    fn init(&self) -> Operation {
        let producer = Arc::clone(&self.inner);
        Operation::new(async move { producer.lock().await.init().await })
    }

    /// Begins a transaction; one that is open is aborted before.
    fn begin(&self) -> Operation {
        let producer = Arc::clone(&self.inner);
        Operation::new(async move { producer.lock().await.begin().await })
    }

    /// Stores messages in the transaction, one batch for each partition; gives where, in their order.
    fn send_all(&self, topic: String, messages: Vec<Outgoing>) -> Operation {
        let producer = Arc::clone(&self.inner);
        let messages = messages.into_iter().map(convert::message).collect();
        Operation::new(async move {
            let stored = producer.lock().await.send_all(&topic, messages).await?;
            Ok(stored.into_iter().map(Stored).collect::<Vec<_>>())
        })
    }

    /// Commits offsets of a group with the transaction.
    fn send_offsets(&self, group: String, offsets: Offsets) -> Operation {
        let producer = Arc::clone(&self.inner);
        Operation::new(
            async move { producer.lock().await.send_offsets(&group, offsets_of(offsets), None).await },
        )
    }

    /// Commits the offsets behind what a consumer has polled, as that member.
    fn send_polled(&self, consumer: &Consumer, offsets: Offsets) -> Operation {
        let (producer, consumer) = (Arc::clone(&self.inner), consumer.shared());
        Operation::new(async move {
            let consumer = consumer.lock().await;
            producer.lock().await.send_polled(&consumer, offsets_of(offsets)).await
        })
    }

    /// All of it in one transaction: what was made, as `(topic, message)`, and the offsets behind what it was made of.
    fn transform(&self, consumer: &Consumer, offsets: Offsets, made: Vec<(String, Outgoing)>) -> Operation {
        let (producer, consumer) = (Arc::clone(&self.inner), consumer.shared());
        let made = made.into_iter().map(|(topic, message)| (topic, convert::message(message))).collect();
        Operation::new(async move {
            let mut consumer = consumer.lock().await;
            producer.lock().await.transform_made(&mut consumer, offsets_of(offsets), made).await
        })
    }

    /// Commits: all can be read when it returns.
    fn commit(&self) -> Operation {
        let producer = Arc::clone(&self.inner);
        Operation::new(async move { producer.lock().await.commit().await })
    }

    /// Aborts: nobody reads what was sent.
    fn abort(&self) -> Operation {
        let producer = Arc::clone(&self.inner);
        Operation::new(async move { producer.lock().await.abort().await })
    }
}

fn offsets_of(offsets: Offsets) -> Vec<pb::PartitionOffset> {
    let at = |(topic, partition, offset)| pb::PartitionOffset {
        topic,
        partition,
        offset,
        metadata: String::new(),
    };
    offsets.into_iter().map(at).collect()
}
