//! TXN_BEGIN, TXN_PRODUCE, TXN_COMMIT, TXN_ROLLBACK.
//!
//! What is produced waits in this node's memory ([`super::buffers`]). The commit writes all of it in a transaction of the broker:
//! readers see all of it or nothing, whatever dies meanwhile. A commit of an id that is not known is `ok` = false, as clients
//! know it; one that fails otherwise is an error, since no client looks at `ok`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flymq_api::BrokerError;
use flymq_proto::pb;
use flymq_types::TopicName;
use flymq_wire::{
    frame::FrameParts,
    v1::{RecordMetadata, TxnProduce, TxnRef, TxnReply, op, reply_frame},
};
use tokio::time::{Instant, sleep};

use super::{
    buffers::Values,
    error::{About, Failure},
    session::Session,
};

/// How long a commit is tried again while a leader or coordinator changes.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(50);
/// Bytes of values that are handed to the broker at once; one value may have more.
const CHUNK: usize = 4 << 20;

pub(super) fn begin(session: &Session<'_>) -> Result<FrameParts, Failure> {
    check_login(session)?;
    let txn_id = session.door.buffers.begin(session.caller.user.as_deref())?;
    Ok(reply_frame(op::TXN_BEGIN, &TxnReply { txn_id, ok: true })?)
}

pub(super) fn produce(session: &Session<'_>, body: TxnProduce) -> Result<FrameParts, Failure> {
    check_login(session)?;
    let TxnProduce { txn_id, topic, value } = body;
    TopicName::new(&topic).map_err(|error| Failure::text(error.to_string()))?;
    let limit = session.door.options.max_record as usize;
    if value.len() > limit {
        let text = format!("the value has {} bytes, more than the limit of {limit}", value.len());
        return Err(Failure::text(text));
    }
    // Where it will be stored is not known before the commit.
    let stored = RecordMetadata {
        topic: topic.clone(),
        partition: 0,
        offset: 0,
        timestamp_ms: now_ms(),
        key_size: -1,
        value_size: i32::try_from(value.len()).unwrap_or(i32::MAX),
    };
    session.door.buffers.add(session.caller.user.as_deref(), &txn_id, &topic, &value)?;
    Ok(reply_frame(op::TXN_PRODUCE, &stored)?)
}

pub(super) fn roll_back(session: &Session<'_>, body: TxnRef) -> Result<FrameParts, Failure> {
    check_login(session)?;
    let ok = session.door.buffers.roll_back(session.caller.user.as_deref(), &body.txn_id);
    Ok(reply_frame(op::TXN_ROLLBACK, &TxnReply { txn_id: body.txn_id, ok })?)
}

pub(super) async fn commit(session: &Session<'_>, body: TxnRef) -> Result<FrameParts, Failure> {
    check_login(session)?;
    let (buffers, user, id) = (&session.door.buffers, session.caller.user.as_deref(), body.txn_id);
    if !buffers.knows(user, &id) {
        return Ok(reply_frame(op::TXN_COMMIT, &TxnReply { txn_id: id, ok: false })?);
    }
    let values = buffers.take(user, &id)?;
    match write(session, &values).await {
        Ok(()) => buffers.finish(&id),
        Err(Unwritten::Nothing(error)) => {
            buffers.give_back(&id, values);
            let about = About::topic(error.metadata.get("topic").map_or("", String::as_str));
            return Err(about.failure(&error));
        }
        Err(Unwritten::Unknown(error)) => {
            buffers.finish(&id);
            let text = format!("transaction {id}: whether it was committed is not known: {error}");
            return Err(Failure::text(text));
        }
    }
    Ok(reply_frame(op::TXN_COMMIT, &TxnReply { txn_id: id, ok: true })?)
}

/// Before login no client has memory here.
fn check_login(session: &Session<'_>) -> Result<(), Failure> {
    if session.may_send_large() { Ok(()) } else { Err(Failure::text("authentication required")) }
}

/// Why a commit failed.
enum Unwritten {
    /// None of it will ever be seen.
    Nothing(BrokerError),
    /// The end was asked for, and nobody has said whether it was taken.
    Unknown(BrokerError),
}

async fn write(session: &Session<'_>, values: &Values) -> Result<(), Unwritten> {
    if values.is_empty() {
        return Ok(());
    }
    let until = Instant::now() + PATIENCE;
    let transaction = loop {
        match fill(session, values).await {
            Ok(transaction) => break transaction,
            Err(error) if error.traits().retryable && Instant::now() < until => sleep(PAUSE).await,
            Err(error) => return Err(Unwritten::Nothing(error)),
        }
    };
    loop {
        let request = pb::CommitTransactionRequest { transaction_id: transaction.clone(), producer_epoch: 0 };
        match session.call::<pb::CommitTransactionResponse>(request).await {
            Ok(_) => return Ok(()),
            Err(error) if !error.traits().retryable => return Err(Unwritten::Nothing(error)),
            Err(error) if Instant::now() >= until => return Err(Unwritten::Unknown(error)),
            Err(_) => sleep(PAUSE).await,
        }
    }
}

/// A new transaction with all values in it; where that fails, it is aborted.
async fn fill(session: &Session<'_>, values: &Values) -> Result<String, BrokerError> {
    let begun: pb::BeginTransactionResponse = session.call(pb::BeginTransactionRequest::default()).await?;
    let transaction = begun.transaction_id;
    for (topic, values) in values {
        let mut rest = &values[..];
        while !rest.is_empty() {
            let (chunk, behind) = rest.split_at(chunk_len(rest));
            rest = behind;
            let record = |value: &bytes::Bytes| pb::Record { value: value.clone(), ..Default::default() };
            let request = pb::ProduceInTransactionRequest {
                transaction_id: transaction.clone(),
                topic: topic.clone(),
                records: chunk.iter().map(record).collect(),
                ..Default::default()
            };
            if let Err(error) = session.call::<pb::ProduceInTransactionResponse>(request).await {
                let request = pb::AbortTransactionRequest { transaction_id: transaction, producer_epoch: 0 };
                // One that cannot be aborted now is, after its timeout.
                let _aborted: Result<pb::AbortTransactionResponse, _> = session.call(request).await;
                return Err(error);
            }
        }
    }
    Ok(transaction)
}

/// How many of the values fit a chunk, at least one.
fn chunk_len(values: &[bytes::Bytes]) -> usize {
    let mut bytes = 0;
    let fits = values.iter().take_while(|value| {
        bytes += value.len() + 64;
        bytes <= CHUNK
    });
    fits.count().max(1)
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
