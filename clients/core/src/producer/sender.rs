//! The task that sends batches.

use std::{
    ops::ControlFlow,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use flymq_wire::batch::{Compression, pack};
use futures::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use tokio::time::sleep_until;

use super::{
    Shared,
    queue::{ANY_PARTITION, QueueId, Sealed},
    sequence::{Place, numbered},
};
use crate::{
    ClientError, ProducerConfig,
    client::{Attempts, To},
    pb::ErrorCode,
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
///
/// Only in a cluster, where there is no connection yet to the node that leads its partition, the future makes that, too, and
/// holds its queue: other partitions go on meanwhile.
async fn launch(shared: &Arc<Shared>, id: QueueId, mut sealed: Sealed) -> BoxFuture<'static, Answer> {
    let numbered = number_now(shared, id, &mut sealed);
    let mut call = ProduceCall {
        topic: Arc::clone(&sealed.topic),
        partition: sealed.partition,
        acks: shared.config.acks,
        batch: packed(&shared.config, sealed.bytes.clone()).await,
    };
    let client = &shared.client;
    let first = if !numbered {
        None
    } else if client.routes() {
        let placed = client.place_now(&mut call, None);
        let link = placed.then(|| client.open_link_to(leader_of(&call))).flatten();
        link.map(|link| Ok(link.produce(call.clone())))
    } else {
        Some(client.link(0).await.map(|link| link.produce(call.clone())))
    };
    let shared = Arc::clone(shared);
    let hold = first.is_none().then(|| Hold::new(&shared, id));
    Box::pin(async move {
        let result = deliver(&shared, (id, &mut sealed), call, first, hold).await;
        (id, sealed, result)
    })
}

fn leader_of(call: &ProduceCall) -> To<'_> {
    To::Leader { topic: &call.topic, partition: call.partition }
}

/// Keeps the batches of a queue that are not on their way yet from leaving.
struct Hold {
    shared: Arc<Shared>,
    id: QueueId,
}

impl Hold {
    fn new(shared: &Arc<Shared>, id: QueueId) -> Self {
        shared.queues.lock().hold(id);
        Self { shared: Arc::clone(shared), id }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.shared.queues.lock().release(self.id);
    }
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
async fn deliver(
    shared: &Arc<Shared>,
    (id, sealed): (QueueId, &mut Sealed),
    mut call: ProduceCall,
    mut first: Option<Attempt>,
    mut hold: Option<Hold>,
) -> Result<ProduceReply, ClientError> {
    let config = &shared.config;
    let retries = Retries::new(config.retries, config.retry_backoff);
    let attempts = Attempts::new(&shared.client, "delivery", true, config.delivery_timeout);
    let mut attempts = attempts.with(retries, sealed.since);
    let topic = Arc::clone(&call.topic);
    loop {
        let to = To::Leader { topic: &topic, partition: call.partition };
        let attempt = async {
            let answer = match first.take() {
                Some(Ok(sent)) => shared.client.watched(to, Duration::ZERO, sent).await,
                Some(Err(error)) => Err(error),
                None => again(shared, (id, &mut *sealed), &mut call).await,
            };
            answer.map_err(|error| refused(shared, (id, &mut *sealed), &mut call, error))
        };
        if let ControlFlow::Break(done) = attempts.step(to, attempt).await {
            if let Some(number) = sealed.number {
                let place = place_of(shared, id, sealed);
                shared.sequences.lock().ended(&place, number, done.is_ok());
            }
            return done;
        }
        hold.get_or_insert_with(|| Hold::new(shared, id));
    }
}

/// Sends the batch, again or for the first time, once those that left before it are answered.
async fn again(
    shared: &Shared,
    (id, sealed): (QueueId, &mut Sealed),
    call: &mut ProduceCall,
) -> Result<ProduceReply, ClientError> {
    loop {
        let turned = shared.turned.notified();
        if shared.queues.lock().is_first(id, sealed.turn) {
            break;
        }
        turned.await;
    }
    number(shared, (id, &mut *sealed), call).await?;
    let client = &shared.client;
    call.partition = sealed.partition;
    client.place(call, None).await?;
    let to = leader_of(call);
    let link = client.link_to(to).await?;
    client.watched(to, Duration::ZERO, link.produce(call.clone())).await
}

/// Where the numbers of a batch come from.
fn place_of(shared: &Shared, id: QueueId, sealed: &Sealed) -> Place {
    let any = shared.queues.lock().takes_any(id);
    (Arc::clone(&sealed.topic), any, sealed.partition)
}

/// Numbers a batch of an idempotent producer by what is known already; false where the broker has to be asked first.
fn number_now(shared: &Shared, id: QueueId, sealed: &mut Sealed) -> bool {
    let Some(identity) = &shared.identity else { return true };
    if identity.check().is_err() {
        return false;
    }
    let any = sealed.partition == ANY_PARTITION;
    let Some(producer) = identity.at_hand(any) else { return false };
    let Some(producer) = producer else { return true };
    if any {
        let Some(partition) = shared.client.any_partition(&sealed.topic) else { return false };
        sealed.partition = partition;
    }
    let place = place_of(shared, id, sealed);
    let number = shared.sequences.lock().next(&place, producer, sealed.messages);
    sealed.number = Some(number);
    sealed.bytes = numbered(std::mem::take(&mut sealed.bytes), number);
    true
}

/// As [`number_now`], for a batch whose turn has come; asks for what is not known. A topic that is not there yet is made by the
/// server, which picks the partition: that batch has no number.
async fn number(
    shared: &Shared,
    (id, sealed): (QueueId, &mut Sealed),
    call: &mut ProduceCall,
) -> Result<(), ClientError> {
    let Some(identity) = &shared.identity else { return Ok(()) };
    identity.check()?;
    if sealed.number.is_some() {
        return Ok(());
    }
    let any = sealed.partition == ANY_PARTITION;
    let Some(producer) = identity.get(&shared.client, any).await? else { return Ok(()) };
    if any {
        match shared.client.partition_count(&sealed.topic).await {
            Ok(_) => {}
            Err(error) if error.code == ErrorCode::TopicNotFound => return Ok(()),
            Err(error) => return Err(error.unsent()),
        }
        let Some(partition) = shared.client.any_partition(&sealed.topic) else {
            return Err(ClientError::no_leader(&sealed.topic, 0));
        };
        sealed.partition = partition;
    }
    let place = place_of(shared, id, sealed);
    let number = shared.sequences.lock().next(&place, producer, sealed.messages);
    sealed.number = Some(number);
    call.batch = numbered(call.batch.clone(), number);
    Ok(())
}

/// What a failed attempt means for a batch with a number. One that the broker refuses for it waits for those before it; where one of
/// these was given up, it goes on under a new epoch. Anything else ends the producer: what it knows to be stored is not.
fn refused(
    shared: &Shared,
    (id, sealed): (QueueId, &mut Sealed),
    call: &mut ProduceCall,
    mut error: ClientError,
) -> ClientError {
    use ErrorCode::{OutOfOrderSequence, ProducerFenced, UnknownProducer};
    let (Some(identity), Some(number)) = (&shared.identity, sealed.number) else { return error };
    if !matches!(error.code, OutOfOrderSequence | ProducerFenced | UnknownProducer) {
        return error;
    }
    let is_first = shared.queues.lock().is_first(id, sealed.turn);
    if is_first {
        let place = place_of(shared, id, sealed);
        let Some(again) = shared.sequences.lock().again(&place, number, sealed.messages) else {
            return identity.end(&error);
        };
        if again.epoch != number.epoch {
            shared.queues.lock().drain(id);
        }
        tracing::debug!(topic = %sealed.topic, epoch = again.epoch, "batches before it were given up: a new epoch");
        sealed.number = Some(again);
        call.batch = numbered(call.batch.clone(), again);
    }
    error.retryable = true;
    error
}

fn finish(shared: &Shared, (id, sealed, result): Answer) {
    if let Err(error) = &result
        && matches!(error.code, ErrorCode::PartitionNotFound | ErrorCode::TopicNotFound)
    {
        shared.client.topics().forget(&sealed.topic);
    }
    let promise = Arc::clone(&sealed.result);
    shared.queues.lock().answered(id, sealed, !shared.config.linger.is_zero());
    shared.turned.notify_waiters();
    shared.line.room_made();
    promise.complete(result);
}
