//! From a broker response to a version 2 frame.

use bytes::Bytes;
use flymq_api::{BrokerError, ErrorCode, Response};
use flymq_proto::pb;
use flymq_wire::{
    batch::{BatchHeader, HEADER_LEN},
    codec::EncodeError,
    frame::{FrameParts, MAX_PAYLOAD},
    v2::{CORRELATION_LEN, FetchReply, Message, ProduceReply},
};

/// Bytes of batches that fit a fetch reply.
const ROOM: usize = MAX_PAYLOAD as usize - CORRELATION_LEN - FetchReply::FIXED_LEN;

/// The reply frame; batches are shared, not copied.
pub(super) fn encode(
    op: u8,
    correlation: u32,
    as_protobuf: bool,
    response: Response,
) -> Result<FrameParts, BrokerError> {
    let frame = match response {
        Response::Produce(produced) if !as_protobuf => produce(&produced).encode(correlation),
        Response::Fetch(fetched) if !as_protobuf => fetch(fetched).encode(correlation),
        Response::Fetch(fetched) => whole(op, correlation, fetched),
        other => Message { op, flags: 0, correlation, body: other.encode() }.into_frame(),
    };
    frame.map_err(too_large)
}

/// A fetch response as protobuf, whose `batches` are whole ones.
fn whole(op: u8, correlation: u32, mut fetched: pb::FetchResponse) -> Result<FrameParts, EncodeError> {
    let mut pieces = std::mem::take(&mut fetched.batches).into_iter();
    while let Some(first) = pieces.next() {
        let batch = match (pieces_of(&first), pieces.as_slice()) {
            (2, [payload, ..]) => Bytes::from([&first[..], payload].concat()),
            _ => first.clone(),
        };
        if batch.len() > first.len() {
            pieces.next();
        }
        fetched.batches.push(batch);
    }
    let body = Response::Fetch(fetched).encode();
    Message { op, flags: 0, correlation, body }.into_frame()
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
    let (fitting, end) = fit(&runs, ROOM);
    if fitting < runs.len() {
        runs.truncate(fitting);
        next_offset = end.unwrap_or(next_offset);
    }
    FetchReply {
        high_watermark: fetched.high_watermark,
        log_start: fetched.low_watermark,
        log_end: fetched.log_end_offset,
        next_offset,
        runs,
    }
}

/// How many of the first pieces are batches of at most `room` bytes together, and where they end; one batch at least.
fn fit(pieces: &[Bytes], room: usize) -> (usize, Option<u64>) {
    let (mut at, mut total, mut end) = (0, 0, None);
    while at < pieces.len() {
        let next = (at + pieces_of(&pieces[at])).min(pieces.len());
        total += pieces[at..next].iter().map(Bytes::len).sum::<usize>();
        if total > room && at > 0 {
            break;
        }
        end = end_of(&pieces[at]);
        at = next;
    }
    (at, end)
}

/// Pieces of the batch that begins with `first`: itself, or a header alone with the payload behind it.
pub(super) fn pieces_of(first: &Bytes) -> usize {
    if first.len() == HEADER_LEN { 2 } else { 1 }
}

/// The offset after the last record of the batch that begins with `first`.
pub(super) fn end_of(first: &Bytes) -> Option<u64> {
    let header = BatchHeader::parse(first).ok()?;
    Some(header.server.base_offset + u64::from(header.record_count))
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    fn pieces(lens: &[usize]) -> Vec<Bytes> {
        lens.iter().map(|len| Bytes::from(vec![0; *len])).collect()
    }

    #[test]
    fn batches_are_whole_in_protobuf() {
        let batches = vec![
            Bytes::from_static(b"whole"),
            Bytes::from(vec![1; HEADER_LEN]),
            Bytes::from_static(b"payload"),
        ];
        let fetched = pb::FetchResponse { batches, ..Default::default() };
        let frame = encode(7, 1, true, Response::Fetch(fetched)).expect("small").into_bytes();
        let decoded = pb::FetchResponse::decode(frame.slice(12..)).expect("sound");
        let lens: Vec<usize> = decoded.batches.iter().map(Bytes::len).collect();
        assert_eq!(lens, [5, HEADER_LEN + 7]);
    }

    #[test]
    fn batches_are_counted_into_the_room_there_is() {
        let whole = pieces(&[100, 100, 100]);
        assert_eq!([300, 299, 1].map(|room| fit(&whole, room).0), [3, 2, 1]);
        let split = pieces(&[100, HEADER_LEN, 4, 100]);
        assert_eq!([300, 299, 200, 199, 0].map(|room| fit(&split, room).0), [4, 3, 3, 1, 1]);
    }
}
