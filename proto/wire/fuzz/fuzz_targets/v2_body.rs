#![no_main]
//! A body of version 2, of the kind that the first byte gives.

use bytes::Bytes;
use flymq_wire::frame::FrameParts;
use flymq_wire::v2::*;
use libfuzzer_sys::fuzz_target;

/// The body of an encoded frame: what follows its header and the correlation id.
fn body(parts: FrameParts) -> Bytes {
    parts.into_bytes().slice(12..)
}

fuzz_target!(|input: &[u8]| {
    let Some((kind, bytes)) = input.split_first() else { return };
    let bytes = Bytes::copy_from_slice(bytes);
    let encoded = match kind % 7 {
        0 => ProduceBody::decode(bytes.clone()).map(|b| b.encode(1)),
        1 => ProduceReply::decode(bytes.clone()).map(|b| b.encode(1)),
        2 => FetchBody::decode(bytes.clone()).map(|b| b.encode(1)),
        3 => FetchReply::decode(bytes.clone()).map(|b| {
            b.batches().for_each(drop);
            b.encode(1)
        }),
        4 => PushBody::decode(bytes.clone()).map(|b| {
            b.batches().for_each(drop);
            b.encode(1)
        }),
        5 => CreditBody::decode(bytes.clone()).map(|b| b.encode(1)),
        _ => CancelBody::decode(bytes.clone()).map(|b| b.encode(1)),
    };
    if let Ok(parts) = encoded {
        let mut expected = bytes.to_vec();
        if kind % 7 == 0 {
            expected[1] = 0; // the reserved byte is not kept
        }
        assert_eq!(body(parts.expect("what was decoded fits")), expected);
    }
});
