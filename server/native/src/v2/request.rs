//! From a version 2 body to a broker request.

use bytes::Bytes;
use flymq_api::{BrokerError, ErrorCode, OpMeta, Request, decoded_weight};
use flymq_proto::pb;
use flymq_wire::{
    codec::DecodeError,
    frame::MAX_PAYLOAD,
    v2::{Acks, CORRELATION_LEN, FetchBody, Isolation, ProduceBody, op},
};

/// What a frame around a batch takes at most, whatever carries it (the longest topic name has 249 bytes).
const FRAMING: usize = 512;
/// Largest batch: it must fit the frames that bring it back.
const MAX_BATCH: usize = MAX_PAYLOAD as usize - FRAMING;
/// Bytes of batches in a fetch reply, whatever is asked.
const MAX_FETCH: u32 = MAX_PAYLOAD - CORRELATION_LEN as u32 - flymq_wire::v2::FetchReply::FIXED_LEN as u32;

/// A decoded request and the milliseconds that its sender waits, 0 for the server's default.
#[derive(Debug)]
pub(super) struct Decoded {
    pub(super) request: Request,
    pub(super) timeout_ms: u32,
}

/// Decodes the body of `code`; `as_protobuf` (flag PROTOBUF) is for the ops that have a layout of their own.
///
/// # Errors
/// `UNIMPLEMENTED` for an unknown op, `PROTOCOL` for bytes that are not its body.
pub(super) fn decode(code: u8, as_protobuf: bool, body: Bytes) -> Result<Decoded, BrokerError> {
    match code {
        op::PRODUCE if !as_protobuf => produce(body),
        op::FETCH if !as_protobuf => fetch(body),
        _ => protobuf(code, body),
    }
}

fn produce(body: Bytes) -> Result<Decoded, BrokerError> {
    let body = ProduceBody::decode(body).map_err(|error| malformed("PRODUCE", error))?;
    if body.batch.len() > MAX_BATCH {
        let message = format!("batch of {} bytes is above the limit of {MAX_BATCH}", body.batch.len());
        return Err(BrokerError::new(ErrorCode::FrameTooLarge, message)
            .with("bytes", body.batch.len())
            .with("limit", MAX_BATCH));
    }
    let request = pb::ProduceRequest {
        topic: body.topic,
        partition: (body.partition != -1).then_some(body.partition),
        acks: acks(body.acks).into(),
        batch: body.batch,
        timeout_ms: body.timeout_ms,
        ..Default::default()
    };
    Ok(Decoded { request: Request::Produce(request), timeout_ms: body.timeout_ms })
}

fn acks(acks: Acks) -> pb::Acks {
    match acks {
        Acks::Default => pb::Acks::Unspecified,
        Acks::None => pb::Acks::None,
        Acks::Leader => pb::Acks::Leader,
        Acks::All => pb::Acks::All,
    }
}

fn fetch(body: Bytes) -> Result<Decoded, BrokerError> {
    let body = FetchBody::decode(body).map_err(|error| malformed("FETCH", error))?;
    let isolation = match body.isolation {
        Isolation::ReadCommitted => pb::Isolation::ReadCommitted,
        Isolation::ReadUncommitted => pb::Isolation::ReadUncommitted,
    };
    let request = pb::FetchRequest {
        topic: body.topic,
        partition: body.partition,
        offset: body.offset,
        max_records: i32::MAX,
        max_bytes: body.max_bytes.min(MAX_FETCH),
        min_bytes: body.min_bytes,
        max_wait_ms: body.max_wait_ms,
        isolation: isolation.into(),
        batches: true,
        ..Default::default()
    };
    Ok(Decoded { request: Request::Fetch(request), timeout_ms: 0 })
}

/// Memory that one protobuf request may unfold to: two bytes may be a whole empty record.
const MAX_DECODED: usize = 128 << 20;

fn protobuf(code: u8, body: Bytes) -> Result<Decoded, BrokerError> {
    let unknown = || BrokerError::new(ErrorCode::Unimplemented, format!("unknown op code {code:#04x}"));
    let meta = OpMeta::by_opcode(code).ok_or_else(unknown)?;
    let weight = decoded_weight(meta.id, &body);
    if weight > MAX_DECODED {
        let text = format!(
            "the {} request takes about {weight} bytes of memory; {MAX_DECODED} are the limit",
            meta.rpc
        );
        return Err(BrokerError::new(ErrorCode::FrameTooLarge, text).with("limit", MAX_DECODED));
    }
    let request = Request::decode(meta.id, body).ok_or_else(unknown)?;
    let request = request.map_err(|error| {
        BrokerError::new(ErrorCode::Protocol, format!("malformed {} request: {error}", meta.rpc))
    })?;
    Ok(Decoded { request, timeout_ms: 0 })
}

/// The error for a body whose fields do not fit.
pub(super) fn malformed(name: &str, error: DecodeError) -> BrokerError {
    BrokerError::new(ErrorCode::Protocol, format!("malformed {name}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(frame: flymq_wire::frame::FrameParts) -> Bytes {
        frame.into_bytes().slice(flymq_wire::frame::HEADER_LEN + CORRELATION_LEN..)
    }

    fn code(result: Result<Decoded, BrokerError>) -> ErrorCode {
        result.expect_err("must be refused").code
    }

    #[test]
    fn a_batch_keeps_its_memory_from_the_frame_to_the_request() {
        let batch = Bytes::from(vec![7; 1000]);
        let produce = ProduceBody { acks: Acks::All, partition: -1, timeout_ms: 9, topic: "t".into(), batch };
        let body = body(produce.encode(1).expect("small"));
        let within = body.as_ptr_range();
        let decoded = decode(op::PRODUCE, false, body).expect("sound");
        let Request::Produce(request) = decoded.request else { panic!("wrong rpc") };
        assert_eq!((request.partition, request.acks(), decoded.timeout_ms), (None, pb::Acks::All, 9));
        assert!(within.contains(&request.batch.as_ptr()), "the batch was copied");
    }

    #[test]
    fn a_small_body_that_unfolds_to_much_is_refused() {
        let opcode = flymq_api::Rpc::CommitOffsets.meta().opcode;
        let empty_offsets = Bytes::from(b"\x12\x00".repeat(1_000_000));
        assert_eq!(code(decode(opcode, false, empty_offsets)), ErrorCode::FrameTooLarge);
    }

    #[test]
    fn a_fetch_reply_fits_a_frame_whatever_is_asked() {
        let fetch = FetchBody {
            partition: 2,
            offset: 5,
            max_bytes: u32::MAX,
            min_bytes: 1,
            max_wait_ms: 10,
            isolation: Isolation::ReadUncommitted,
            topic: "t".into(),
        };
        let decoded = decode(op::FETCH, false, body(fetch.encode(1).expect("small"))).expect("sound");
        let Request::Fetch(request) = decoded.request else { panic!("wrong rpc") };
        assert!(request.batches && request.max_bytes == MAX_FETCH);
        assert_eq!(request.isolation(), pb::Isolation::ReadUncommitted);
    }

    #[test]
    fn what_is_unknown_malformed_or_too_large_is_told_apart() {
        assert_eq!(code(decode(0xEE, false, Bytes::new())), ErrorCode::Unimplemented);
        assert_eq!(code(decode(op::PRODUCE, false, Bytes::from_static(b"\0"))), ErrorCode::Protocol);
        assert_eq!(code(decode(op::FETCH, false, Bytes::from_static(b"\0"))), ErrorCode::Protocol);
        assert_eq!(code(decode(3, false, Bytes::from_static(b"\xFF\xFF"))), ErrorCode::Protocol);
        let batch = Bytes::from(vec![0; MAX_BATCH + 1]);
        let large = ProduceBody { acks: Acks::All, partition: 0, timeout_ms: 0, topic: "t".into(), batch };
        assert_eq!(
            code(decode(op::PRODUCE, false, body(large.encode(1).expect("fits")))),
            ErrorCode::FrameTooLarge
        );
    }
}
