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
pub(crate) struct BatchResult {
    topic: Arc<str>,
    result: OnceLock<Result<ProduceReply, ClientError>>,
    changed: Notify,
    callbacks: Mutex<Vec<Callback>>,
}

impl BatchResult {
    pub(crate) fn new(topic: Arc<str>) -> Self {
        Self { topic, result: OnceLock::new(), changed: Notify::new(), callbacks: Mutex::default() }
    }

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

    fn metadata(
        &self,
        index: u32,
        result: &Result<ProduceReply, ClientError>,
    ) -> Result<RecordMetadata, ClientError> {
        let reply = result.as_ref().map_err(Clone::clone)?;
        Ok(RecordMetadata {
            topic: Arc::clone(&self.topic),
            partition: reply.partition,
            offset: reply.base_offset + u64::from(index),
            timestamp_ms: reply.timestamp_ms,
        })
    }
}

/// The promise of one message's metadata. Await it, ask [`Delivery::try_get`], or leave a callback; dropping it gives up only
/// the knowledge of the result, not the message.
#[derive(Clone)]
pub struct Delivery {
    batch: Arc<BatchResult>,
    /// Place in the batch.
    index: u32,
}

impl std::fmt::Debug for Delivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Delivery").field("topic", &self.batch.topic).field("result", &self.try_get()).finish()
    }
}

impl Delivery {
    pub(crate) fn new(batch: Arc<BatchResult>, index: u32) -> Self {
        Self { batch, index }
    }

    /// One whose message is stored already.
    pub(crate) fn done(stored: RecordMetadata) -> Self {
        let batch = BatchResult::new(stored.topic);
        let reply = ProduceReply {
            partition: stored.partition,
            base_offset: stored.offset,
            timestamp_ms: stored.timestamp_ms,
        };
        batch.complete(Ok(reply));
        Self { batch: Arc::new(batch), index: 0 }
    }

    /// One whose message was refused before it was sent.
    pub(crate) fn refused(topic: &str, error: ClientError) -> Self {
        let batch = BatchResult::new(topic.into());
        batch.complete(Err(error));
        Self { batch: Arc::new(batch), index: 0 }
    }

    /// The result, if it is there.
    pub fn try_get(&self) -> Option<Result<RecordMetadata, ClientError>> {
        self.batch.result.get().map(|result| self.batch.metadata(self.index, result))
    }

    /// Calls back with the result, at once if it is there; on the client's runtime, so be brief.
    pub fn on_complete(self, callback: impl FnOnce(Result<RecordMetadata, ClientError>) + Send + 'static) {
        let (batch, index) = (Arc::clone(&self.batch), self.index);
        self.batch.on_complete(Box::new(move |result| callback(batch.metadata(index, result))));
    }
}

impl IntoFuture for Delivery {
    type Output = Result<RecordMetadata, ClientError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        async move {
            let result = Arc::clone(&self.batch).wait().await;
            self.batch.metadata(self.index, &result)
        }
        .boxed()
    }
}

/// Messages that follow each other in one batch.
#[derive(Clone)]
struct Run {
    batch: Arc<BatchResult>,
    first: u32,
    count: u32,
}

/// How messages ended, see [`Deliveries::take_answered`].
#[derive(Debug, Clone, Default)]
pub struct Answered {
    /// Messages that are stored.
    pub stored: usize,
    /// Messages that may not be.
    pub failed: usize,
    /// The first failure.
    pub error: Option<ClientError>,
}

/// The promises of many messages, in the order in which they were given. Costs one entry per batch, not per message.
#[derive(Clone, Default)]
pub struct Deliveries {
    runs: Vec<Run>,
}

impl std::fmt::Debug for Deliveries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deliveries").field("messages", &self.len()).finish_non_exhaustive()
    }
}

impl Deliveries {
    /// Adds a message's promise behind the others.
    pub fn push(&mut self, delivery: Delivery) {
        match self.runs.last_mut() {
            Some(run)
                if Arc::ptr_eq(&run.batch, &delivery.batch) && run.first + run.count == delivery.index =>
            {
                run.count += 1;
            }
            Some(_) | None => {
                self.runs.push(Run { batch: delivery.batch, first: delivery.index, count: 1 });
            }
        }
    }

    /// Messages that were given.
    pub fn len(&self) -> usize {
        self.runs.iter().map(|run| run.count as usize).sum()
    }

    /// Whether no message was given.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Waits for all answers; how many messages were stored.
    ///
    /// # Errors
    /// The first failure; [`Deliveries::iter`] tells each message's own.
    pub async fn wait(&self) -> Result<usize, ClientError> {
        let mut first = Ok(self.len());
        for run in &self.runs {
            if let Err(error) = Arc::clone(&run.batch).wait().await {
                first = first.and(Err(error));
            }
        }
        first
    }

    /// Takes out what has been answered so far, without waiting.
    pub fn take_answered(&mut self) -> Answered {
        let mut answered = Answered::default();
        self.runs.retain(|run| {
            let count = run.count as usize;
            match run.batch.result.get() {
                None => return true,
                Some(Ok(_)) => answered.stored += count,
                Some(Err(error)) => {
                    answered.failed += count;
                    answered.error.get_or_insert_with(|| error.clone());
                }
            }
            false
        });
        answered
    }

    /// Each message's promise, in order.
    pub fn iter(&self) -> impl Iterator<Item = Delivery> + '_ {
        self.runs.iter().flat_map(|run| {
            (run.first..run.first + run.count).map(|index| Delivery::new(Arc::clone(&run.batch), index))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_one_batch_share_an_entry_and_keep_their_places() {
        let batches = ["t", "t"].map(|topic| Arc::new(BatchResult::new(topic.into())));
        let mut deliveries = Deliveries::default();
        for (batch, index) in [(0, 3), (0, 4), (1, 0), (0, 5)] {
            deliveries.push(Delivery::new(Arc::clone(&batches[batch]), index));
        }
        assert_eq!((deliveries.len(), deliveries.runs.len()), (4, 3));
        let reply = |base_offset| ProduceReply { partition: 0, base_offset, timestamp_ms: 1 };
        batches[0].complete(Ok(reply(100)));
        assert!(deliveries.wait().now_or_never().is_none(), "one batch is not answered");
        batches[1].complete(Ok(reply(200)));
        let offsets: Vec<u64> =
            deliveries.iter().map(|delivery| delivery.try_get().unwrap().unwrap().offset).collect();
        assert_eq!(offsets, [103, 104, 200, 105]);
        assert_eq!(deliveries.wait().now_or_never().unwrap().unwrap(), 4);
        assert_eq!(deliveries.take_answered().stored, 4);
        assert!(deliveries.is_empty());
    }

    #[test]
    fn what_is_answered_can_be_taken_out_while_the_rest_waits() {
        let batches = ["t", "t", "t"].map(|topic| Arc::new(BatchResult::new(topic.into())));
        let mut deliveries = Deliveries::default();
        for (batch, index) in [(0, 0), (0, 1), (1, 0), (2, 0)] {
            deliveries.push(Delivery::new(Arc::clone(&batches[batch]), index));
        }
        batches[2].complete(Ok(ProduceReply { partition: 0, base_offset: 0, timestamp_ms: 1 }));
        batches[0].complete(Err(ClientError::closed("producer")));
        let answered = deliveries.take_answered();
        assert_eq!((answered.stored, answered.failed), (1, 2));
        assert_eq!(answered.error.unwrap().code, crate::ErrorCode::Cancelled);
        assert_eq!(deliveries.len(), 1, "one is still on its way");
    }

    #[test]
    fn a_refused_message_fails_the_wait_for_all() {
        let mut deliveries = Deliveries::default();
        deliveries.push(Delivery::refused("t", ClientError::closed("producer")));
        assert!(deliveries.wait().now_or_never().unwrap().is_err());
    }
}
