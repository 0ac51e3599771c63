//! PRODUCE, PRODUCE_WITH_TTL, CONSUME, FETCH and the two that mean the same.

use flymq_api::{BrokerError, ErrorCode};
use flymq_proto::pb;
use flymq_wire::{
    frame::{FrameParts, MAX_PAYLOAD},
    v1::{
        Consume, ConsumeReply, Fetch, FetchReply, Message, Produce, ProduceWithTtl, RecordMetadata, op,
        reply_frame,
    },
};

use super::{
    error::{About, Failure},
    session::Session,
};

/// Records that one FETCH returns, whatever it asks for.
const MAX_RECORDS: u32 = 1_000;
/// Bytes of batches that one FETCH reads; the records' framing in the reply is larger than in a batch.
const MAX_FETCH_BYTES: u32 = MAX_PAYLOAD - (64 << 10);

pub(super) async fn produce(session: &Session<'_>, body: Produce) -> Result<FrameParts, Failure> {
    let record = pb::Record { key: body.key().cloned(), value: body.value, ..Default::default() };
    let request = pb::ProduceRequest {
        topic: body.topic.clone(),
        partition: (body.partition != -1).then_some(body.partition),
        records: vec![record],
        ..Default::default()
    };
    append(session, op::PRODUCE, &body.topic, body.partition, request).await
}

pub(super) async fn produce_with_ttl(
    session: &Session<'_>,
    body: ProduceWithTtl,
) -> Result<FrameParts, Failure> {
    let request = pb::ProduceRequest {
        topic: body.topic.clone(),
        records: vec![pb::Record { value: body.value, ..Default::default() }],
        ttl_ms: body.ttl_ms,
        ..Default::default()
    };
    append(session, op::PRODUCE_WITH_TTL, &body.topic, -1, request).await
}

async fn append(
    session: &Session<'_>,
    op: u8,
    topic: &str,
    partition: i32,
    request: pb::ProduceRequest,
) -> Result<FrameParts, Failure> {
    let appended: pb::ProduceResponse =
        session.call(request).await.map_err(|error| About::partition(topic, partition).failure(&error))?;
    let Some(stored) = appended.records.into_iter().next() else {
        return Err(Failure::text("the broker did not say where the record went"));
    };
    Ok(reply_frame(op, &metadata(stored))?)
}

fn metadata(stored: pb::RecordMetadata) -> RecordMetadata {
    RecordMetadata {
        topic: stored.topic,
        partition: stored.partition,
        offset: stored.offset,
        timestamp_ms: stored.timestamp_ms,
        key_size: stored.key_size,
        value_size: stored.value_size,
    }
}

/// One record; past the end and below the start the text `EOF`.
pub(super) async fn consume(session: &Session<'_>, op: u8, body: Consume) -> Result<FrameParts, Failure> {
    let Consume { topic, partition, offset } = body;
    let request = pb::ConsumeRequest { topic: topic.clone(), partition, offset, ..Default::default() };
    let consumed: pb::ConsumeResponse = session.call(request).await.map_err(|error| {
        if error.code == ErrorCode::OffsetOutOfRange {
            return Failure::text("EOF");
        }
        if error.code == ErrorCode::PartitionNotFound {
            return Failure::text(format!("partition {partition} out of range"));
        }
        About::partition(&topic, partition).failure(&error)
    })?;
    let record = consumed.record.unwrap_or_default();
    Ok(reply_frame(op, &ConsumeReply { key: record.key.unwrap_or_default(), value: record.value })?)
}

/// Records from an offset on, at once; none at or past the end.
pub(super) async fn fetch(session: &Session<'_>, op: u8, body: Fetch) -> Result<FrameParts, Failure> {
    let request = pb::FetchRequest {
        topic: body.topic.clone(),
        partition: body.partition,
        offset: body.offset,
        max_records: body.max_records().min(MAX_RECORDS) as i32,
        max_bytes: MAX_FETCH_BYTES,
        filter: body.filter().unwrap_or_default().to_owned(),
        ..Default::default()
    };
    let reply = match session.call::<pb::FetchResponse>(request).await {
        Ok(fetched) => fit(fetched),
        Err(error) if error.code == ErrorCode::OffsetOutOfRange => nothing_there(&error, body.offset),
        Err(error) => return Err(About::partition(&body.topic, body.partition).failure(&error)),
    };
    Ok(reply_frame(op, &reply)?)
}

/// As many of the records as a frame holds; the next fetch begins after them.
fn fit(fetched: pb::FetchResponse) -> FetchReply {
    let mut reply = FetchReply { next_offset: fetched.next_offset, messages: Vec::new() };
    let mut len = FetchReply::FIXED_LEN;
    for record in fetched.records {
        let message = message(record);
        len += message.wire_len();
        if len > MAX_PAYLOAD as usize && !reply.messages.is_empty() {
            reply.next_offset = message.offset;
            break;
        }
        reply.messages.push(message);
    }
    reply
}

fn message(record: pb::Record) -> Message {
    Message { offset: record.offset, key: record.key.unwrap_or_default(), value: record.value }
}

/// Past the end there is nothing yet. Below the start the records are gone: these clients know no error for it and
/// would ask for the same offset for ever, so they are sent on to the first one that is left.
fn nothing_there(error: &BrokerError, asked: u64) -> FetchReply {
    let start = error.metadata.get("start").and_then(|start| start.parse().ok()).unwrap_or(asked);
    FetchReply { next_offset: asked.max(start), messages: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(offset: u64, len: usize) -> pb::Record {
        pb::Record { offset, value: vec![0; len].into(), ..Default::default() }
    }

    #[test]
    fn a_reply_fits_a_frame_and_goes_on_where_it_stopped() {
        let records = (5..10).map(|offset| record(offset, 8 << 20)).collect();
        let reply = fit(pb::FetchResponse { next_offset: 10, records, ..Default::default() });
        assert_eq!(reply.messages.len(), 3);
        assert_eq!(reply.next_offset, 8);
        assert!(reply_frame(op::FETCH, &reply).is_ok());
    }

    #[test]
    fn one_record_is_returned_however_large() {
        let all = MAX_PAYLOAD as usize - FetchReply::FIXED_LEN - 16;
        let reply = fit(pb::FetchResponse {
            next_offset: 2,
            records: vec![record(0, all), record(1, 0)],
            ..Default::default()
        });
        assert_eq!((reply.messages.len(), reply.next_offset), (1, 1));
        assert!(reply_frame(op::FETCH, &reply).is_ok());
    }

    #[test]
    fn a_reader_below_the_start_is_sent_on() {
        let gone = BrokerError::new(ErrorCode::OffsetOutOfRange, "gone").with("start", 40).with("end", 50);
        assert_eq!(nothing_there(&gone, 3).next_offset, 40);
        assert_eq!(nothing_there(&gone, 99).next_offset, 99);
    }
}
