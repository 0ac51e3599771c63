use bytes::{Bytes, BytesMut};

use super::*;
use crate::batch::{BatchBuilder, NewRecord};
use crate::codec::{DecodeError, EncodeError};
use crate::frame::{FrameDecoder, FrameParts, Version};

fn batch(value: &[u8]) -> Bytes {
    let mut builder = BatchBuilder::new();
    builder.push(&NewRecord { value: Some(value), ..Default::default() }).unwrap();
    builder.build().unwrap()
}

fn receive(parts: FrameParts) -> Message {
    let mut buf = BytesMut::from(&parts.into_bytes()[..]);
    let frame = FrameDecoder::default().decode(&mut buf).unwrap().unwrap();
    assert!(buf.is_empty());
    assert_eq!(frame.version, Version::V2);
    Message::from_frame(frame).unwrap()
}

#[test]
fn produce_bytes_are_those_of_the_document() {
    let body = ProduceBody {
        acks: Acks::All,
        partition: -1,
        timeout_ms: 500,
        topic: "t1".into(),
        batch: batch(b"hello"),
    };
    let parts = body.encode(9).unwrap();
    assert_eq!(parts.parts().count(), 2);
    assert_eq!(parts.parts().nth(1).unwrap().as_ptr(), body.batch.as_ptr(), "the batch is shared");
    let bytes = parts.clone().into_bytes();
    let head = b"\xaf\x02\x01\0\0\0\0\x7c\0\0\0\x09\x03\0\xff\xff\xff\xff\0\0\x01\xf4\0\x02t1";
    assert_eq!(bytes[..head.len()], head[..]);
    assert_eq!(bytes[head.len()..], body.batch);
    let message = receive(parts);
    assert_eq!((message.op, message.correlation), (op::PRODUCE, 9));
    assert_eq!(ProduceBody::decode(message.body), Ok(body));
}

#[test]
fn replies_and_stream_frames_round_trip() {
    let reply = ProduceReply { partition: 2, base_offset: 1 << 40, append_time: 1_795_000_000_000 };
    let message = receive(reply.encode(1).unwrap());
    assert_eq!(message.body.len(), ProduceReply::LEN);
    assert_eq!(ProduceReply::decode(message.body), Ok(reply));

    let credit = CreditBody { stream: 5, bytes: 1 << 20 };
    let message = receive(credit.encode(6).unwrap());
    assert_eq!((message.op, &message.body[..]), (op::CREDIT, &b"\0\0\0\x05\0\x10\0\0"[..]));
    assert_eq!(CreditBody::decode(message.body), Ok(credit));

    let message = receive(CancelBody { stream: 5 }.encode(7).unwrap());
    assert_eq!((message.op, message.correlation), (op::CANCEL, 7));
    assert_eq!(CancelBody::decode(message.body), Ok(CancelBody { stream: 5 }));

    let end = receive(PushBody::encode_end(5).unwrap());
    assert!(end.is_end() && !end.has_more() && !end.is_error() && end.body.is_empty());
}

#[test]
fn fetch_bytes_are_those_of_the_document() {
    let fetch = FetchBody {
        partition: 1,
        offset: 2,
        max_bytes: 3,
        min_bytes: 4,
        max_wait_ms: 5,
        isolation: Isolation::ReadUncommitted,
        topic: "t".into(),
    };
    let message = receive(fetch.encode(8).unwrap());
    let expected = b"\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\x03\0\0\0\x04\0\0\0\x05\x01\0\x01t";
    assert_eq!(message.body[..], expected[..]);
    assert_eq!(FetchBody::decode(message.body), Ok(fetch));
}

#[test]
fn fetched_and_pushed_batches_are_shared_and_split_again() {
    let runs = vec![Bytes::from([batch(b"a"), batch(b"b")].concat()), batch(b"c")];
    let reply =
        FetchReply { high_watermark: 9, log_start: 1, log_end: 10, next_offset: 4, runs: runs.clone() };
    let decoded = FetchReply::decode(receive(reply.encode(3).unwrap()).body).unwrap();
    assert_eq!((decoded.high_watermark, decoded.log_start), (9, 1));
    assert_eq!((decoded.log_end, decoded.next_offset), (10, 4));
    let split = |decoded: &FetchReply| decoded.batches().map(|b| b.unwrap().1).collect::<Vec<_>>();
    assert_eq!(split(&decoded), [batch(b"a"), batch(b"b"), batch(b"c")]);
    assert_eq!(split(&reply), split(&decoded));

    let push = PushBody { partition: 0, high_watermark: 9, next_offset: 4, topic: "t".into(), runs };
    let message = receive(push.encode(3).unwrap());
    assert!(message.has_more() && !message.is_end());
    let decoded = PushBody::decode(message.body).unwrap();
    assert_eq!((decoded.topic.as_str(), decoded.batches().count()), ("t", 3));

    let empty = FetchReply { runs: Vec::new(), ..reply };
    assert_eq!(FetchReply::decode(receive(empty.encode(3).unwrap()).body), Ok(empty));
}

#[test]
fn bad_bodies_give_typed_errors() {
    let body = |bytes: &'static [u8]| Bytes::from_static(bytes);
    assert_eq!(ProduceBody::decode(body(b"\x04\0")), Err(DecodeError::BadValue("acks")));
    assert_eq!(ProduceBody::decode(body(b"\0\0\0\0")), Err(DecodeError::Truncated));
    let not_utf8 = body(b"\0\0\0\0\0\0\0\0\0\0\0\x01\xff");
    assert_eq!(ProduceBody::decode(not_utf8), Err(DecodeError::InvalidUtf8));
    assert_eq!(CancelBody::decode(body(b"\0\0\0\x01\0")), Err(DecodeError::TrailingBytes(1)));
    assert_eq!(CreditBody::decode(body(b"\0\0\0\x01")), Err(DecodeError::Truncated));
    let bad_isolation = body(b"\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\x03\0\0\0\x04\0\0\0\x05\x02\0\x01t");
    assert_eq!(FetchBody::decode(bad_isolation), Err(DecodeError::BadValue("isolation")));
    let long =
        FetchBody::decode(body(b"\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\x03\0\0\0\x04\0\0\0\x05\x01\0\x01t"))
            .map(|fetch| FetchBody { topic: "t".repeat(65_536), ..fetch }.encode(1));
    assert_eq!(long, Ok(Err(EncodeError::FieldTooLong { len: 65_536, max: 65_535 })));
}

#[test]
fn a_frame_without_correlation_id_is_refused() {
    let mut buf = BytesMut::from(&b"\xaf\x02\x01\0\0\0\0\x03abc"[..]);
    let frame = FrameDecoder::default().decode(&mut buf).unwrap().unwrap();
    assert_eq!(Message::from_frame(frame), Err(DecodeError::Truncated));
}
