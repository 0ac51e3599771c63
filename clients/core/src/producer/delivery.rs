//! The promise that comes back from `send`. All messages of a batch share one result.

use std::{
    future::IntoFuture,
    sync::{Arc, OnceLock},
};

use futures::{FutureExt as _, future::BoxFuture};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{ClientError, RecordMetadata, transport::ProduceReply};

type Callback = Box<dyn FnOnce(&Result<ProduceReply, ClientError>) + Send>;

/// Result of one batch.
#[derive(Default)]
pub(crate) struct BatchResult {
    result: OnceLock<Result<ProduceReply, ClientError>>,
    changed: Notify,
    callbacks: Mutex<Vec<Callback>>,
}

impl BatchResult {
    pub(crate) fn complete(&self, result: Result<ProduceReply, ClientError>) {
        let callbacks = {
            let mut callbacks = self.callbacks.lock();
            // Under the lock, so that no callback is added between this and the take.
            if self.result.set(result).is_err() {
                return;
            }
            std::mem::take(&mut *callbacks)
        };
        self.changed.notify_waiters();
        let result = self.result.get().expect("it was just set");
        for callback in callbacks {
            callback(result);
        }
    }

    pub(crate) async fn wait(self: Arc<Self>) -> Result<ProduceReply, ClientError> {
        loop {
            let changed = self.changed.notified();
            if let Some(result) = self.result.get() {
                return result.clone();
            }
            changed.await;
        }
    }

    fn on_complete(&self, callback: Callback) {
        let mut callbacks = self.callbacks.lock();
        match self.result.get() {
            None => callbacks.push(callback),
            Some(result) => {
                drop(callbacks);
                callback(result);
            }
        }
    }
}

/// The promise of one message's metadata. Await it, ask [`Delivery::try_get`], or leave a callback; dropping it gives up only
/// the knowledge of the result, not the message.
#[derive(Clone)]
pub struct Delivery {
    topic: Arc<str>,
    batch: Arc<BatchResult>,
    /// Place in the batch.
    index: u32,
}

impl std::fmt::Debug for Delivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Delivery").field("topic", &self.topic).field("result", &self.try_get()).finish()
    }
}

impl Delivery {
    pub(crate) fn new(topic: Arc<str>, batch: Arc<BatchResult>, index: u32) -> Self {
        Self { topic, batch, index }
    }

    /// One whose message is stored already.
    pub(crate) fn done(stored: RecordMetadata) -> Self {
        let batch = BatchResult::default();
        let reply = ProduceReply {
            partition: stored.partition,
            base_offset: stored.offset,
            timestamp_ms: stored.timestamp_ms,
        };
        batch.complete(Ok(reply));
        Self { topic: stored.topic, batch: Arc::new(batch), index: 0 }
    }

    /// The result, if it is there.
    pub fn try_get(&self) -> Option<Result<RecordMetadata, ClientError>> {
        self.batch.result.get().map(|result| metadata(&self.topic, self.index, result))
    }

    /// Calls back with the result, at once if it is there; on the client's runtime, so be brief.
    pub fn on_complete(self, callback: impl FnOnce(Result<RecordMetadata, ClientError>) + Send + 'static) {
        let (topic, index) = (self.topic, self.index);
        self.batch.on_complete(Box::new(move |result| callback(metadata(&topic, index, result))));
    }
}

impl IntoFuture for Delivery {
    type Output = Result<RecordMetadata, ClientError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        async move {
            let result = self.batch.wait().await;
            metadata(&self.topic, self.index, &result)
        }
        .boxed()
    }
}

fn metadata(
    topic: &Arc<str>,
    index: u32,
    result: &Result<ProduceReply, ClientError>,
) -> Result<RecordMetadata, ClientError> {
    let reply = result.as_ref().map_err(Clone::clone)?;
    Ok(RecordMetadata {
        topic: Arc::clone(topic),
        partition: reply.partition,
        offset: reply.base_offset + u64::from(index),
        timestamp_ms: reply.timestamp_ms,
    })
}
