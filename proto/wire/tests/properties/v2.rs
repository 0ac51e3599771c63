use bytes::{Bytes, BytesMut};
use flymq_wire::frame::{FrameDecoder, FrameParts};
use flymq_wire::v2::*;
use proptest::collection::vec;
use proptest::prelude::*;

use super::memory::bounded;
use super::plausible_bytes;

/// The frame as the other side sees it; its correlation id is `correlation`.
fn receive(parts: FrameParts, op: u8, correlation: u32) -> Message {
    let mut buf = BytesMut::from(&parts.into_bytes()[..]);
    let frame = FrameDecoder::default().decode(&mut buf).unwrap().unwrap();
    assert!(buf.is_empty());
    let message = Message::from_frame(frame).unwrap();
    assert_eq!((message.op, message.correlation), (op, correlation));
    message
}

fn bytes() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..100).prop_map(Bytes::from)
}

fn joined(runs: &[Bytes]) -> Vec<u8> {
    runs.concat()
}

proptest! {
    #[test]
    fn produce_round_trips(
        acks in prop::sample::select(vec![Acks::Default, Acks::None, Acks::Leader, Acks::All]),
        (partition, timeout_ms, correlation) in any::<(i32, u32, u32)>(),
        topic in ".{0,40}",
        batch in bytes(),
    ) {
        let body = ProduceBody { acks, partition, timeout_ms, topic, batch };
        let message = receive(body.encode(correlation).unwrap(), op::PRODUCE, correlation);
        prop_assert_eq!(ProduceBody::decode(message.body), Ok(body));
    }

    #[test]
    fn fetch_round_trips(
        (partition, offset, max_bytes, min_bytes, max_wait_ms) in any::<(i32, u64, u32, u32, u32)>(),
        isolation in prop::sample::select(vec![Isolation::ReadCommitted, Isolation::ReadUncommitted]),
        topic in ".{0,40}",
        correlation in any::<u32>(),
    ) {
        let body = FetchBody { partition, offset, max_bytes, min_bytes, max_wait_ms, isolation, topic };
        let message = receive(body.encode(correlation).unwrap(), op::FETCH, correlation);
        prop_assert_eq!(FetchBody::decode(message.body), Ok(body));
    }

    #[test]
    fn replies_and_pushes_round_trip(
        (high_watermark, log_start, log_end, next_offset) in any::<(u64, u64, u64, u64)>(),
        (partition, base_offset, append_time, correlation) in any::<(i32, u64, i64, u32)>(),
        topic in ".{0,40}",
        runs in vec(bytes(), 0..4),
    ) {
        let reply = ProduceReply { partition, base_offset, append_time };
        let message = receive(reply.encode(correlation).unwrap(), op::PRODUCE, correlation);
        prop_assert_eq!(ProduceReply::decode(message.body), Ok(reply));

        let reply = FetchReply { high_watermark, log_start, log_end, next_offset, runs: runs.clone() };
        let message = receive(reply.encode(correlation).unwrap(), op::FETCH, correlation);
        let decoded = FetchReply::decode(message.body).unwrap();
        prop_assert_eq!(joined(&decoded.runs), joined(&runs));
        prop_assert_eq!(FetchReply { runs: runs.clone(), ..decoded }, reply);

        let push = PushBody { partition, high_watermark, next_offset, topic, runs: runs.clone() };
        let message = receive(push.encode(correlation).unwrap(), op::SUBSCRIBE_STREAM, correlation);
        prop_assert!(message.has_more());
        let decoded = PushBody::decode(message.body).unwrap();
        prop_assert_eq!(joined(&decoded.runs), joined(&runs));
        prop_assert_eq!(PushBody { runs, ..decoded }, push);
    }

    #[test]
    fn steering_and_opaque_bodies_round_trip(
        (stream, credit, correlation, op, flags) in any::<(u32, u32, u32, u8, u8)>(),
        body in bytes(),
    ) {
        let sent = CreditBody { stream, bytes: credit };
        let message = receive(sent.encode(correlation).unwrap(), op::CREDIT, correlation);
        prop_assert_eq!(CreditBody::decode(message.body), Ok(sent));
        let sent = CancelBody { stream };
        let message = receive(sent.encode(correlation).unwrap(), op::CANCEL, correlation);
        prop_assert_eq!(CancelBody::decode(message.body), Ok(sent));
        let sent = Message { op, flags, correlation, body };
        prop_assert_eq!(receive(sent.clone().into_frame().unwrap(), op, correlation), sent);
    }

    #[test]
    fn arbitrary_bodies_never_panic_and_stay_small(bytes in plausible_bytes()) {
        let body = Bytes::from(bytes);
        bounded(body.len(), || {
            let _ = ProduceBody::decode(body.clone());
            let _ = ProduceReply::decode(body.clone());
            let _ = FetchBody::decode(body.clone());
            let _ = CreditBody::decode(body.clone());
            let _ = CancelBody::decode(body.clone());
        });
        if let Ok(reply) = FetchReply::decode(body.clone()) {
            reply.batches().for_each(drop);
        }
        if let Ok(push) = PushBody::decode(body) {
            push.batches().for_each(drop);
        }
    }
}
