#![no_main]
//! Op, flags, payload of a version 1 request.

use bytes::Bytes;
use flymq_wire::frame::{Frame, Version};
use flymq_wire::v1::{ErrorReply, InflateLimits, Request};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let [op, flags, payload @ ..] = input else { return };
    let payload = Bytes::copy_from_slice(payload);
    let _ = ErrorReply::read(&payload);
    let limits = InflateLimits { max_len: 1 << 16, max_ratio: 256, free_len: 1 << 12 };
    let frame = Frame { version: Version::V1, op: *op, flags: *flags, payload };
    if let Ok(request) = Request::from_frame(frame, &limits) {
        let encoded = request.encode_payload().expect("what was decoded fits");
        assert_eq!(Request::decode(*op, encoded), Ok(request));
    }
});
