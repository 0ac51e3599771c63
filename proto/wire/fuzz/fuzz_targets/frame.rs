#![no_main]
//! A byte stream, in pieces of a length that its first byte gives.

use bytes::BytesMut;
use flymq_wire::frame::{Frame, FrameDecoder, FrameError, FrameParts};
use libfuzzer_sys::fuzz_target;

fn decode(stream: &[u8], piece: usize) -> (Vec<Frame>, Option<FrameError>) {
    let mut decoder = FrameDecoder::new(1 << 16).with_ahead(64);
    let (mut buf, mut frames) = (BytesMut::new(), Vec::new());
    for piece in stream.chunks(piece) {
        buf.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut buf) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
    }
    (frames, None)
}

fuzz_target!(|input: &[u8]| {
    let Some((piece, stream)) = input.split_first() else { return };
    let (frames, error) = decode(stream, usize::from(*piece).max(1));
    assert_eq!((&frames, error), (&decode(stream, stream.len().max(1)).0, error));
    let mut encoded = Vec::new();
    for frame in frames {
        let parts = FrameParts::new(frame.version, frame.op, frame.flags, frame.payload);
        encoded.extend_from_slice(&parts.expect("it came out of a frame").into_bytes());
    }
    assert!(stream.starts_with(&encoded));
});
