use bytes::{Buf, Bytes, BytesMut};

use super::*;

const PING: &[u8] = b"\xaf\x01\x08\x01\0\0\0\x02hi";

fn decode_all(decoder: &mut FrameDecoder, bytes: &[u8]) -> Result<Vec<Frame>, FrameError> {
    let mut buf = BytesMut::from(bytes);
    let mut frames = Vec::new();
    while let Some(frame) = decoder.decode(&mut buf)? {
        frames.push(frame);
    }
    Ok(frames)
}

#[test]
fn frames_are_found_whatever_the_pieces() {
    let stream = [PING, b"\xaf\x01\x01\x03\0\0\0\0", PING].concat();
    for piece in 1..=stream.len() {
        let mut decoder = FrameDecoder::default();
        let (mut buf, mut frames) = (BytesMut::new(), Vec::new());
        for chunk in stream.chunks(piece) {
            buf.extend_from_slice(chunk);
            while let Some(frame) = decoder.decode(&mut buf).unwrap() {
                frames.push(frame);
            }
        }
        assert!(buf.is_empty());
        assert_eq!(frames.len(), 3, "pieces of {piece}");
        assert_eq!((frames[0].op, frames[0].flags, &frames[0].payload[..]), (8, 1, &b"hi"[..]));
        assert_eq!((frames[1].op, frames[1].flags, frames[1].payload.len()), (1, 3, 0));
        assert_eq!(frames[2], frames[0]);
    }
}

#[test]
fn header_errors_come_as_early_as_they_can_be_seen() {
    let cases: [(&[u8], FrameError); 5] = [
        (b"G", FrameError::BadMagic { found: b'G' }),
        (b"\xfb", FrameError::LegacyMagic),
        (b"\xaf\x03", FrameError::BadVersion { found: 3 }),
        (b"\xaf\x00\x01", FrameError::BadVersion { found: 0 }),
        (b"\xaf\x02\x01\0\x02\0\0\x01", FrameError::TooLarge { len: 0x0200_0001, limit: MAX_PAYLOAD }),
    ];
    for (bytes, expected) in cases {
        let mut decoder = FrameDecoder::default();
        assert_eq!(decode_all(&mut decoder, bytes), Err(expected));
        assert_eq!(decode_all(&mut decoder, PING), Err(expected), "an error is final");
    }
}

#[test]
fn the_largest_payload_is_accepted_and_the_limit_can_change() {
    let header = |len: u32| FrameHeader { version: Version::V2, op: 1, flags: 0, len }.encode();
    assert_eq!(FrameDecoder::default().decode(&mut BytesMut::from(&header(MAX_PAYLOAD)[..])), Ok(None));
    let mut decoder = FrameDecoder::new(LIMIT_BEFORE_LOGIN);
    decoder.set_limit(LIMIT_BEFORE_LOGIN + 1);
    assert_eq!(decoder.decode(&mut BytesMut::from(&header(LIMIT_BEFORE_LOGIN + 1)[..])), Ok(None));
    let mut decoder = FrameDecoder::new(LIMIT_BEFORE_LOGIN);
    let too_large = FrameError::TooLarge { len: 65_537, limit: 65_536 };
    assert_eq!(decode_all(&mut decoder, &header(LIMIT_BEFORE_LOGIN + 1)), Err(too_large));
}

#[test]
fn a_connection_keeps_the_version_of_its_first_frame() {
    let mut decoder = FrameDecoder::default();
    let changed = FrameError::VersionChanged { expected: Version::V1, found: Version::V2 };
    assert_eq!(decode_all(&mut decoder, &[PING, b"\xaf\x02\x01\0\0\0\0\0"].concat()), Err(changed));
    assert_eq!(decoder.version(), Some(Version::V1));
}

#[test]
fn an_announced_length_is_not_believed() {
    let mut decoder = FrameDecoder::default().with_ahead(1024);
    let mut buf = BytesMut::from(&b"\xaf\x01\x01\x01\x02\0\0\0"[..]);
    let mut reserved = 0;
    while buf.len() < MAX_PAYLOAD as usize {
        assert_eq!(decoder.decode(&mut buf), Ok(None));
        assert!(buf.capacity() <= 4 * buf.len() + 4096, "{} for {}", buf.capacity(), buf.len());
        reserved += 1;
        let room = (buf.capacity() - buf.len()).max(1);
        buf.resize(buf.len() + room.min(MAX_PAYLOAD as usize + HEADER_LEN - buf.len()), 0);
    }
    assert!(reserved < 64, "{reserved} reallocations");
}

#[test]
fn payloads_share_the_read_buffer() {
    let mut buf = BytesMut::from(PING);
    let payload_at = buf[HEADER_LEN..].as_ptr();
    let frame = FrameDecoder::default().decode(&mut buf).unwrap().unwrap();
    assert_eq!(frame.payload.as_ptr(), payload_at);
}

#[test]
fn parts_behave_as_one_buffer() {
    let mut head = BytesMut::zeroed(HEADER_LEN);
    head.extend_from_slice(b"ab");
    let tail = [Bytes::from_static(b"cde"), Bytes::new(), Bytes::from_static(b"f")];
    let parts = FrameParts::seal(Version::V2, 7, 2, head, tail).unwrap();
    let whole = b"\xaf\x02\x07\x02\0\0\0\x06abcdef";
    for cut in 0..=whole.len() {
        let mut parts = parts.clone();
        parts.advance(cut);
        assert_eq!(parts.remaining(), whole.len() - cut);
        assert_eq!(parts.clone().into_bytes(), whole[cut..]);
        assert_eq!(parts.copy_to_bytes(parts.remaining()), whole[cut..]);
        assert!(!parts.has_remaining());
    }
    let mut slices = [std::io::IoSlice::new(&[]); 8];
    assert_eq!(parts.chunks_vectored(&mut slices), 3);
    assert_eq!(&*slices[1], b"cde");
    let mut first = parts.clone();
    assert_eq!(first.copy_to_bytes(4), whole[..4]);
    assert_eq!(first.copy_to_bytes(8), whole[4..12]);
}

#[test]
fn a_payload_above_the_limit_is_not_encoded() {
    let payload = Bytes::from(vec![0; MAX_PAYLOAD as usize + 1]);
    assert_eq!(FrameParts::new(Version::V1, 1, 1, payload.clone()), None);
    assert!(FrameParts::new(Version::V1, 1, 1, payload.slice(1..)).is_some());
}
