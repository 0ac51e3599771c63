//! PRODUCE, PRODUCE_DELAYED, PRODUCE_WITH_TTL, CONSUME, FETCH and the two that mean the same.

use std::time::{Duration, Instant};

use flymq_api::{BrokerError, ErrorCode};
use flymq_proto::pb;
use flymq_wire::{
    frame::{FrameParts, MAX_PAYLOAD},
    v1::{
        Consume, ConsumeReply, Fetch, FetchReply, Message, Produce, ProduceDelayed, ProduceWithSchema,
        ProduceWithTtl, RecordMetadata, op, reply_frame,
    },
};

use super::{
    error::{About, Failure},
    session::Session,
};

/// Records that one FETCH returns, whatever it asks for.
const MAX_RECORDS: u32 = 1_000;
/// Bytes of batches that a FETCH reads at first, and in one step at most.
const FIRST_STEP: u32 = 64 << 10;
const MAX_FETCH_BYTES: u32 = MAX_PAYLOAD - (64 << 10);
/// How long a FETCH with a filter looks for matches.
const FILTER_TIME: Duration = Duration::from_millis(500);

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

pub(super) async fn produce_with_schema(
    session: &Session<'_>,
    body: ProduceWithSchema,
) -> Result<FrameParts, Failure> {
    let request = pb::ProduceRequest {
        topic: body.topic.clone(),
        records: vec![pb::Record { value: body.value, ..Default::default() }],
        schema: body.schema,
        ..Default::default()
    };
    append(session, op::PRODUCE_WITH_SCHEMA, &body.topic, -1, request).await
}

/// Where it will go is not known yet: partition and offset are 0. A delay below 0 means at once.
pub(super) async fn produce_delayed(
    session: &Session<'_>,
    body: ProduceDelayed,
) -> Result<FrameParts, Failure> {
    let value_size = i32::try_from(body.value.len()).unwrap_or(i32::MAX);
    let request = pb::ScheduleMessageRequest {
        topic: body.topic.clone(),
        record: Some(pb::Record { value: body.value, ..Default::default() }),
        // A delay of 0 would be none.
        delay_ms: body.delay_ms.max(1),
        ..Default::default()
    };
    let scheduled: pb::ScheduleMessageResponse =
        session.call(request).await.map_err(|error| {
            match error.metadata.get("limit_ms").and_then(|limit| limit.parse().ok()) {
                Some(limit) if error.code == ErrorCode::DelayTooLong => {
                    let (delay, limit) = (duration(body.delay_ms), duration(limit));
                    Failure::text(format!("delay {delay} exceeds maximum allowed delay {limit}"))
                }
                _ => About::topic(&body.topic).failure(&error),
            }
        })?;
    let due = scheduled.schedule.map_or(0, |schedule| schedule.due_ms);
    let expected = RecordMetadata {
        topic: body.topic,
        partition: 0,
        offset: 0,
        timestamp_ms: due,
        key_size: -1,
        value_size,
    };
    Ok(reply_frame(op::PRODUCE_DELAYED, &expected)?)
}

/// As the original wrote it: `24h0m0s`, `1m0s`, `2.5s`.
fn duration(ms: i64) -> String {
    let (seconds, rest) = (ms / 1_000, ms % 1_000);
    let fraction = format!(".{rest:03}");
    let seconds_text = format!("{}{}s", seconds % 60, fraction.trim_end_matches('0').trim_end_matches('.'));
    match (seconds / 3_600, seconds / 60 % 60) {
        (0, 0) => seconds_text,
        (0, minutes) => format!("{minutes}m{seconds_text}"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds_text}"),
    }
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
///
/// Read in growing steps: how many bytes so many records have is not known, and reading a whole frame's worth for
/// ten records would be work for nothing.
pub(super) async fn fetch(session: &Session<'_>, op: u8, body: Fetch) -> Result<FrameParts, Failure> {
    let mut page = Page::new(body.offset, body.max_records().min(MAX_RECORDS) as usize);
    let (mut step, begun) = (FIRST_STEP, Instant::now());
    loop {
        let request = pb::FetchRequest {
            topic: body.topic.clone(),
            partition: body.partition,
            offset: page.reply.next_offset,
            max_records: page.wanted() as i32,
            max_bytes: step,
            filter: body.filter().unwrap_or_default().to_owned(),
            filter_kind: if body.filter().is_some() { pb::FilterKind::Any.into() } else { 0 },
            ..Default::default()
        };
        let more = match session.call::<pb::FetchResponse>(request).await {
            Ok(fetched) => page.add(fetched),
            // What was read is told first; the next fetch meets the error.
            Err(_) if !page.reply.messages.is_empty() => false,
            Err(error) if error.code == ErrorCode::OffsetOutOfRange => {
                page.reply.next_offset = first_left(&error, page.reply.next_offset);
                false
            }
            Err(error) => return Err(About::partition(&body.topic, body.partition).failure(&error)),
        };
        if !more {
            break;
        }
        // These clients wait for their answer: a filter that nothing matches does not read the whole partition.
        if body.filter().is_some() && begun.elapsed() >= FILTER_TIME {
            break;
        }
        step = (step * 2).min(MAX_FETCH_BYTES);
    }
    Ok(reply_frame(op, &page.reply)?)
}

/// A reply as it fills up.
struct Page {
    reply: FetchReply,
    max: usize,
    len: usize,
}

impl Page {
    fn new(offset: u64, max: usize) -> Self {
        let reply = FetchReply { next_offset: offset, messages: Vec::new() };
        Self { reply, max, len: FetchReply::FIXED_LEN }
    }

    /// Records there is room for.
    fn wanted(&self) -> usize {
        self.max - self.reply.messages.len()
    }

    /// Adds what was read; whether there may be more that the reply has room for.
    fn add(&mut self, fetched: pb::FetchResponse) -> bool {
        let moved = fetched.next_offset > self.reply.next_offset;
        for record in fetched.records {
            let message = message(record);
            self.len += message.wire_len();
            if self.len > MAX_PAYLOAD as usize && !self.reply.messages.is_empty() {
                self.reply.next_offset = message.offset;
                return false;
            }
            self.reply.messages.push(message);
        }
        self.reply.next_offset = self.reply.next_offset.max(fetched.next_offset);
        moved && self.wanted() > 0 && self.reply.next_offset < fetched.high_watermark
    }
}

fn message(record: pb::Record) -> Message {
    Message { offset: record.offset, key: record.key.unwrap_or_default(), value: record.value }
}

/// Past the end there is nothing yet. Below the start the records are gone: these clients know no error for it and
/// would ask for the same offset for ever, so they are sent on to the first one that is left.
fn first_left(error: &BrokerError, asked: u64) -> u64 {
    let start = error.metadata.get("start").and_then(|start| start.parse().ok());
    start.map_or(asked, |start: u64| asked.max(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(offset: u64, len: usize) -> pb::Record {
        pb::Record { offset, value: vec![0; len].into(), ..Default::default() }
    }

    fn read(records: Vec<pb::Record>, next_offset: u64) -> pb::FetchResponse {
        pb::FetchResponse { next_offset, high_watermark: 10, records, ..Default::default() }
    }

    #[test]
    fn a_reply_fits_a_frame_and_goes_on_where_it_stopped() {
        let mut page = Page::new(5, 1_000);
        assert!(page.add(read((5..7).map(|offset| record(offset, 8 << 20)).collect(), 7)));
        assert!(!page.add(read((7..10).map(|offset| record(offset, 8 << 20)).collect(), 10)));
        assert_eq!((page.reply.messages.len(), page.reply.next_offset), (3, 8));
        assert!(reply_frame(op::FETCH, &page.reply).is_ok());
    }

    #[test]
    fn one_record_is_returned_however_large() {
        let all = MAX_PAYLOAD as usize - FetchReply::FIXED_LEN - 16;
        let mut page = Page::new(0, 1_000);
        assert!(!page.add(read(vec![record(0, all), record(1, 0)], 2)));
        assert_eq!((page.reply.messages.len(), page.reply.next_offset), (1, 1));
        assert!(reply_frame(op::FETCH, &page.reply).is_ok());
    }

    #[test]
    fn reading_ends_with_enough_records_or_at_the_end() {
        let mut page = Page::new(0, 2);
        assert!(page.add(read(vec![record(0, 1)], 1)));
        assert!(!page.add(read(vec![record(1, 1)], 2)), "two were asked for");
        assert!(!Page::new(8, 9).add(read(vec![record(8, 1), record(9, 1)], 10)), "the end");
        assert!(!Page::new(8, 9).add(read(Vec::new(), 8)), "nothing moved");
    }

    #[test]
    fn durations_read_as_the_original_wrote_them() {
        for (ms, text) in
            [(500, "0.5s"), (90_061, "1m30.061s"), (86_400_000, "24h0m0s"), (604_800_000, "168h0m0s")]
        {
            assert_eq!(duration(ms), text);
        }
    }

    #[test]
    fn a_reader_below_the_start_is_sent_on() {
        let gone = BrokerError::new(ErrorCode::OffsetOutOfRange, "gone").with("start", 40).with("end", 50);
        assert_eq!(first_left(&gone, 3), 40);
        assert_eq!(first_left(&gone, 99), 99);
    }
}
