use bytes::Bytes;
use flymq_wire::frame::{Frame, Version};
use flymq_wire::v1::*;
use proptest::collection::vec;
use proptest::prelude::*;

use super::memory::bounded;
use super::{damage, plausible_bytes};

/// The op codes that have a request.
fn served_op() -> impl Strategy<Value = u8> {
    let served: Vec<u8> = op::TABLE
        .iter()
        .map(|(code, _)| *code)
        .filter(|code| Request::decode(*code, Bytes::new()) != Err(DecodeError::UnknownOp(*code)))
        .collect();
    prop::sample::select(served)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    /// Whatever was understood is sent in a form that means the same, and that form does not change any more.
    #[test]
    fn what_decodes_round_trips(op in served_op(), bytes in plausible_bytes()) {
        let payload = Bytes::from(bytes);
        if let Ok(request) = bounded(payload.len(), || Request::decode(op, payload.clone())) {
            prop_assert_eq!(request.op(), op);
            let encoded = request.encode_payload().unwrap();
            prop_assert!(encoded.len() <= payload.len(), "nothing is made up");
            let again = Request::decode(op, encoded.clone()).unwrap();
            prop_assert_eq!(again.encode_payload().unwrap(), encoded);
            prop_assert_eq!(again, request);
        }
    }

    #[test]
    fn arbitrary_frames_never_panic(op in any::<u8>(), flags in any::<u8>(), bytes in vec(any::<u8>(), 0..100)) {
        let frame = Frame { version: Version::V1, op, flags, payload: Bytes::from(bytes) };
        let _ = Request::from_frame(frame, &InflateLimits::REQUEST);
    }
}

proptest! {
    #[test]
    fn damaged_gzip_never_panics_nor_exceeds_its_limit(bytes in plausible_bytes(), damages in vec(damage(), 0..3)) {
        let mut compressed = deflate(&bytes).to_vec();
        damages.iter().for_each(|damage| damage.apply(&mut compressed));
        let intact = compressed == deflate(&bytes);
        let limits = InflateLimits { max_len: 100, max_ratio: 256, free_len: 100 };
        match inflate(flag::GZIP, Bytes::from(compressed), &limits) {
            Ok(inflated) => prop_assert!(inflated.len() <= 100 && (!intact || inflated == bytes)),
            Err(InflateError::TooLarge { limit }) => prop_assert!(limit == 100 && (!intact || bytes.len() > 100)),
            Err(InflateError::Invalid) => prop_assert!(!intact),
        }
    }

    /// Requests from values, for the ops whose bytes are easily got wrong.
    #[test]
    fn produce_with_schema_round_trips_in_both_orders(
        (topic, schema) in (".{0,20}", ".{1,20}"),
        value in vec(any::<u8>(), 0..100),
        value_first in any::<bool>(),
    ) {
        let order = if value_first { FieldOrder::ValueFirst } else { FieldOrder::SchemaFirst };
        let request = ProduceWithSchema { topic, schema, value: Bytes::from(value), order };
        let payload = Request::ProduceWithSchema(request.clone()).encode_payload().unwrap();
        prop_assert_eq!(Request::decode(op::PRODUCE_WITH_SCHEMA, payload), Ok(Request::ProduceWithSchema(request)));
    }

    #[test]
    fn replay_round_trips(topic in ".{0,20}", id in ".{0,20}", offset in 0u64..6 << 48) {
        for target in [ReplayTarget::Id(id), ReplayTarget::Offset(offset)] {
            let request = Request::ReplayDlq(ReplayDlq { topic: topic.clone(), target });
            let decoded = Request::decode(op::REPLAY_DLQ, request.encode_payload().unwrap());
            prop_assert_eq!(decoded, Ok(request));
        }
    }

    #[test]
    fn produce_round_trips(
        topic in ".{0,20}",
        key in vec(any::<u8>(), 0..20),
        value in vec(any::<u8>(), 0..300),
        partition in any::<i32>(),
    ) {
        let produce = Produce { topic, key: Bytes::from(key), value: Bytes::from(value), partition };
        let request = Request::Produce(produce);
        let plain = request.encode_payload().unwrap();
        prop_assert_eq!(Request::decode(op::PRODUCE, plain.clone()), Ok(request.clone()));
        let frame = Frame {
            version: Version::V1,
            op: op::PRODUCE,
            flags: flag::BINARY | flag::GZIP,
            payload: deflate(&plain),
        };
        prop_assert_eq!(Request::from_frame(frame, &InflateLimits::REQUEST), Ok(request));
    }
}
