use bytes::{Bytes, BytesMut};
use flymq_wire::frame::*;
use proptest::collection::vec;
use proptest::prelude::*;

use super::memory::bounded;
use super::{damage, plausible_bytes};

fn frames() -> impl Strategy<Value = (Version, Vec<(u8, u8, Vec<u8>)>)> {
    let version = prop_oneof![Just(Version::V1), Just(Version::V2)];
    (version, vec((any::<u8>(), any::<u8>(), plausible_bytes()), 1..6))
}

fn encode(version: Version, frames: &[(u8, u8, Vec<u8>)]) -> Vec<u8> {
    let encode = |(op, flags, payload): &(u8, u8, Vec<u8>)| {
        FrameParts::new(version, *op, *flags, Bytes::from(payload.clone())).unwrap().into_bytes()
    };
    frames.iter().flat_map(encode).collect()
}

/// Feeds `stream` in pieces of the given lengths, over and over.
fn decode(decoder: &mut FrameDecoder, stream: &[u8], pieces: &[usize]) -> Result<Vec<Frame>, FrameError> {
    let (mut buf, mut frames, mut rest) = (BytesMut::new(), Vec::new(), stream);
    for piece in pieces.iter().cycle() {
        let (now, later) = rest.split_at((*piece).min(rest.len()));
        buf.extend_from_slice(now);
        rest = later;
        while let Some(frame) = decoder.decode(&mut buf)? {
            frames.push(frame);
        }
        if rest.is_empty() {
            break;
        }
    }
    Ok(frames)
}

proptest! {
    #[test]
    fn round_trip_in_any_pieces((version, sent) in frames(), pieces in vec(1usize..50, 1..5)) {
        let received = decode(&mut FrameDecoder::default(), &encode(version, &sent), &pieces).unwrap();
        prop_assert_eq!(received.len(), sent.len());
        for (frame, (op, flags, payload)) in received.iter().zip(&sent) {
            prop_assert_eq!((frame.version, frame.op, frame.flags), (version, *op, *flags));
            prop_assert_eq!(&frame.payload[..], &payload[..]);
        }
    }

    #[test]
    fn pieces_do_not_matter_for_damaged_streams(
        (version, sent) in frames(),
        damages in vec(damage(), 1..4),
        pieces in vec(1usize..50, 1..5),
    ) {
        let mut stream = encode(version, &sent);
        damages.iter().for_each(|damage| damage.apply(&mut stream));
        let whole = decode(&mut FrameDecoder::default(), &stream, &[stream.len().max(1)]);
        prop_assert_eq!(decode(&mut FrameDecoder::default(), &stream, &pieces), whole);
    }

    #[test]
    fn memory_stays_near_what_arrived(len in 0u32..=MAX_PAYLOAD, sent in 0usize..2000) {
        let mut stream = FrameHeader { version: Version::V2, op: 1, flags: 0, len }.encode().to_vec();
        stream.resize(stream.len() + sent.min(len as usize), 7);
        let mut decoder = FrameDecoder::default().with_ahead(1024);
        let frames = bounded(stream.len() + 512, || decode(&mut decoder, &stream, &[100]).unwrap());
        prop_assert_eq!(frames.len(), usize::from(sent >= len as usize));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..100)) {
        let _ = decode(&mut FrameDecoder::default(), &bytes, &[7]);
    }
}
