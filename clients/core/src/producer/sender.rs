//! The task that sends batches.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use flymq_wire::batch::{Compression, pack};
use futures::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use tokio::time::sleep_until;

use super::{
    Shared,
    queue::{QueueId, Sealed},
};
use crate::{
    ClientError, ProducerConfig,
    retry::Retries,
    transport::{ProduceCall, ProduceReply},
};

/// Batches above this many bytes are compressed off the client's runtime threads.
const PACK_INLINE: usize = 32 << 10;

/// A request that is on its way, or why no server could be reached.
type Attempt = Result<BoxFuture<'static, Result<ProduceReply, ClientError>>, ClientError>;
type Answer = (QueueId, Sealed, Result<ProduceReply, ClientError>);

/// Runs until the producer is closed and everything is answered.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut flying: FuturesUnordered<BoxFuture<'static, Answer>> = FuturesUnordered::new();
    loop {
        let next_due = shared.queues.lock().expire(Instant::now());
        loop {
            let taken = shared.queues.lock().take(shared.config.max_in_flight);
            let Some((id, sealed)) = taken else { break };
            let mut launching = std::pin::pin!(launch(&shared, id, sealed));
            // What is on its way goes on meanwhile: a launch may wait for a connection, or for the packing.
            let answer = loop {
                tokio::select! {
                    biased;
                    answer = launching.as_mut() => break answer,
                    Some(answer) = flying.next(), if !flying.is_empty() => finish(&shared, answer),
                }
            };
            flying.push(answer);
        }
        if flying.is_empty() {
            let queues = shared.queues.lock();
            if queues.closed && queues.is_empty() {
                return;
            }
        }
        let linger = async {
            match next_due {
                Some(due) => sleep_until(due.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(answer) = flying.next(), if !flying.is_empty() => finish(&shared, answer),
            () = shared.due.notified() => {}
            () = linger => {}
        }
    }
}

/// Puts the batch on the wire before it returns, so that batches leave in order; the future waits for the answer.
async fn launch(shared: &Arc<Shared>, id: QueueId, sealed: Sealed) -> BoxFuture<'static, Answer> {
    let call = ProduceCall {
        topic: Arc::clone(&sealed.topic),
        partition: sealed.partition,
        acks: shared.config.acks,
        batch: packed(&shared.config, sealed.bytes.clone()).await,
    };
    let first = shared.client.link(0).await.map(|link| link.produce(call.clone()));
    let shared = Arc::clone(shared);
    Box::pin(async move {
        let due = sealed.since + shared.config.delivery_timeout;
        let attempts = deliver(&shared, &call, first);
        let result = tokio::time::timeout_at(due.into(), attempts)
            .await
            .unwrap_or_else(|_| Err(ClientError::timeout("delivery", shared.config.delivery_timeout)));
        (id, sealed, result)
    })
}

/// The batch as it goes on the wire: compressed once, here, where neither `send` nor its lock waits for it.
async fn packed(config: &ProducerConfig, batch: Bytes) -> Bytes {
    let (codec, level) = (config.compression, config.compression_level);
    if codec == Compression::None {
        return batch;
    }
    let plain = batch.clone();
    let packed = if batch.len() <= PACK_INLINE {
        pack(batch, codec, level)
    } else {
        let packing = tokio::task::spawn_blocking(move || pack(batch, codec, level));
        packing.await.unwrap_or_else(|_| Ok(plain.clone()))
    };
    packed.unwrap_or(plain)
}

/// Waits for the answer, and repeats the batch while its failure allows it. At least once: a connection that broke before
/// the answer may have stored it.
async fn deliver(shared: &Shared, call: &ProduceCall, first: Attempt) -> Result<ProduceReply, ClientError> {
    let mut retries = Retries::new(shared.config.retries, shared.config.retry_backoff);
    let mut attempt = first;
    loop {
        let error = match attempt {
            Ok(reply) => match reply.await {
                Ok(reply) => return Ok(reply),
                Err(error) => error,
            },
            Err(error) => error,
        };
        let Some(wait) = retries.after(&error, true) else { return Err(error) };
        tracing::debug!(topic = %call.topic, partition = call.partition, ?retries, %error, "repeating a batch");
        tokio::time::sleep(wait).await;
        attempt = shared.client.link(0).await.map(|link| link.produce(call.clone()));
    }
}

fn finish(shared: &Shared, (id, sealed, result): Answer) {
    if let Err(error) = &result
        && matches!(error.code, crate::ErrorCode::PartitionNotFound | crate::ErrorCode::TopicNotFound)
    {
        shared.client.topics().forget(&sealed.topic);
    }
    let promise = Arc::clone(&sealed.result);
    shared.queues.lock().answered(id, sealed, !shared.config.linger.is_zero());
    shared.line.room_made();
    promise.complete(result);
}
