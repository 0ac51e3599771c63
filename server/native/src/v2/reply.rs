//! From a broker response to a version 2 frame.

use bytes::Bytes;
use flymq_api::{BrokerError, ErrorCode, Response};
use flymq_proto::pb;
use flymq_wire::{
    batch::BatchHeader,
    codec::EncodeError,
    frame::{FrameParts, MAX_PAYLOAD},
    v2::{CORRELATION_LEN, FetchReply, Message, ProduceReply},
};

/// Bytes of batches that fit a fetch reply.
const ROOM: usize = MAX_PAYLOAD as usize - CORRELATION_LEN - FetchReply::FIXED_LEN;

/// The reply frame; batches are shared, not copied.
pub(super) fn encode(op: u8, correlation: u32, response: Response) -> Result<FrameParts, BrokerError> {
    let frame = match response {
        Response::Produce(produced) => produce(&produced).encode(correlation),
        Response::Fetch(fetched) => fetch(fetched).encode(correlation),
        other => Message { op, flags: 0, correlation, body: other.encode() }.into_frame(),
    };
    frame.map_err(too_large)
}

/// The error for a reply above the frame limit.
pub(super) fn too_large(error: EncodeError) -> BrokerError {
    BrokerError::new(ErrorCode::FrameTooLarge, format!("the reply does not fit a frame: {error}"))
}

fn produce(produced: &pb::ProduceResponse) -> ProduceReply {
    ProduceReply {
        partition: produced.partition,
        base_offset: produced.base_offset,
        append_time: produced.timestamp_ms,
    }
}

fn fetch(fetched: pb::FetchResponse) -> FetchReply {
    let mut runs = fetched.batches;
    let mut next_offset = fetched.next_offset;
    let fitting = count_within(&runs, ROOM);
    if fitting < runs.len() {
        runs.truncate(fitting);
        next_offset = runs.last().and_then(end_of).unwrap_or(next_offset);
    }
    FetchReply {
        high_watermark: fetched.high_watermark,
        log_start: fetched.low_watermark,
        log_end: fetched.log_end_offset,
        next_offset,
        runs,
    }
}

/// How many of the first batches have at most `room` bytes together; one at least.
fn count_within(batches: &[Bytes], room: usize) -> usize {
    let mut total = 0;
    let fitting = batches.iter().take_while(|batch| {
        total += batch.len();
        total <= room
    });
    fitting.count().max(1)
}

/// The offset after the last record of a batch.
pub(super) fn end_of(batch: &Bytes) -> Option<u64> {
    let header = BatchHeader::parse(batch).ok()?;
    Some(header.server.base_offset + u64::from(header.record_count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_counted_into_the_room_there_is() {
        let batches: Vec<Bytes> = [10, 10, 10].map(|len| Bytes::from(vec![0; len])).to_vec();
        assert_eq!(count_within(&batches, 30), 3);
        assert_eq!(count_within(&batches, 29), 2);
        assert_eq!(count_within(&batches, 1), 1);
    }
}
