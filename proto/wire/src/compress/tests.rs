use super::*;

const PACKING: [Compression; 4] =
    [Compression::Gzip, Compression::Lz4, Compression::Zstd, Compression::Snappy];
const LIMITS: InflateLimits = InflateLimits::BATCH;

fn lines(count: usize) -> Vec<u8> {
    (0..count).flat_map(|n| format!("{{\"id\":{n},\"name\":\"airport {n}\"}}\n").into_bytes()).collect()
}

fn packed(codec: Compression, plain: &[u8]) -> Bytes {
    compress(codec, None, plain).into()
}

#[test]
fn every_codec_gives_back_what_went_in() {
    for codec in ALL {
        for plain in [Vec::new(), vec![7], lines(10), lines(50_000), vec![0; 1 << 20]] {
            let back = inflate(codec, &packed(codec, &plain), &LIMITS);
            assert_eq!(back.as_deref(), Ok(&plain[..]), "{codec} {}", plain.len());
        }
    }
}

#[test]
fn every_level_is_taken_and_others_are_moved_into_range() {
    let plain = lines(300);
    for codec in PACKING {
        for level in [i32::MIN, -1, 0, 1, 5, 9, 19, i32::MAX] {
            let packed = compress(codec, Some(level), &plain).into();
            assert_eq!(inflate(codec, &packed, &LIMITS).as_deref(), Ok(&plain[..]), "{codec} {level}");
        }
    }
}

#[test]
fn a_bomb_is_refused_by_its_claim() {
    for (codec, size) in [
        (Compression::Gzip, 64 << 20),
        (Compression::Lz4, 64 << 20),
        (Compression::Zstd, 64 << 20),
        (Compression::Snappy, 64 << 20),
    ] {
        let bomb = packed(codec, &vec![0; size]);
        let limit = LIMITS.of(bomb.len());
        assert_eq!(inflate(codec, &bomb, &LIMITS), Err(InflateError::TooLarge { limit }), "{codec}");
        assert_eq!(claimed_len(codec, &bomb, &LIMITS), Err(InflateError::TooLarge { limit }), "{codec}");
    }
}

#[test]
fn the_ratio_is_bounded_below_the_size_limit_too() {
    // 8 MiB of zeros: gzip makes 1 : 1000 of it, zstd 1 : 30,000.
    for codec in [Compression::Gzip, Compression::Zstd] {
        let bomb = packed(codec, &vec![0; 8 << 20]);
        let limit = (bomb.len() * 200).max(1 << 20);
        assert_eq!(inflate(codec, &bomb, &LIMITS), Err(InflateError::TooLarge { limit }), "{codec}");
    }
}

#[test]
fn a_bomb_that_claims_nothing_is_stopped() {
    use std::io::Write as _;
    let zeros = vec![0; 4 << 20];
    // A streaming compressor does not know the length, so the frame does not tell it.
    let mut zstd = ::zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
    zstd.write_all(&zeros).unwrap();
    let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
    lz4.write_all(&zeros).unwrap();
    for (codec, bomb) in
        [(Compression::Zstd, zstd.finish().unwrap()), (Compression::Lz4, lz4.finish().unwrap())]
    {
        let bomb = Bytes::from(bomb);
        assert_eq!(claimed_len(codec, &bomb, &LIMITS), Ok(None));
        let limits = InflateLimits { max_len: 1 << 20, ..LIMITS };
        assert_eq!(inflate(codec, &bomb, &limits), Err(InflateError::TooLarge { limit: 1 << 20 }), "{codec}");
        let limits = InflateLimits { max_len: 4 << 20, max_ratio: usize::MAX, ..LIMITS };
        assert_eq!(inflate(codec, &bomb, &limits).map(|plain| plain.len()), Ok(4 << 20), "{codec}");
    }
}

/// Where each codec writes the length.
fn with_claim(codec: Compression, plain: &[u8], claim: u32) -> Bytes {
    let mut bytes = compress(codec, None, plain);
    match codec {
        Compression::None => {}
        Compression::Gzip => {
            let at = bytes.len() - 4;
            bytes[at..].copy_from_slice(&claim.to_le_bytes());
        }
        Compression::Lz4 => bytes[6..14].copy_from_slice(&u64::from(claim).to_le_bytes()),
        // Magic, descriptor, then (single segment, two bytes of size less 256).
        Compression::Zstd => {
            assert_eq!(bytes[4] & 0xe0, 0x60, "two bytes of size");
            bytes[5..7].copy_from_slice(&u16::try_from(claim - 256).unwrap().to_le_bytes());
        }
        Compression::Snappy => {
            assert!(plain.len() < 1 << 14 && claim < 1 << 14, "two bytes of varint");
            bytes[..2].copy_from_slice(&[(claim & 0x7f) as u8 | 0x80, (claim >> 7) as u8]);
        }
    }
    bytes.into()
}

#[test]
fn a_wrong_claim_is_damage() {
    let plain = vec![b'a'; 1_000];
    for codec in PACKING {
        assert_eq!(inflate(codec, &with_claim(codec, &plain, 1_000), &LIMITS).as_deref(), Ok(&plain[..]));
        for claim in [300, 999, 1_001, 9_000] {
            let wrong = inflate(codec, &with_claim(codec, &plain, claim), &LIMITS);
            assert_eq!(wrong, Err(InflateError::Invalid(codec)), "{codec} {claim}");
        }
    }
}

#[test]
fn cut_short_is_invalid_at_every_byte() {
    let plain = lines(40);
    for codec in PACKING {
        let whole = packed(codec, &plain);
        for len in 0..whole.len() {
            let cut = inflate(codec, &whole.slice(..len), &LIMITS);
            // The last bytes of a cut gzip member may read as any length.
            let too_large = matches!(cut, Err(InflateError::TooLarge { .. })) && codec == Compression::Gzip;
            assert!(cut == Err(InflateError::Invalid(codec)) || too_large, "{codec} {len}: {cut:?}");
        }
    }
}

#[test]
fn what_follows_is_refused() {
    let plain = lines(40);
    for codec in PACKING {
        let mut bytes = compress(codec, None, &plain);
        bytes.extend_from_slice(&compress(codec, None, &plain)); // a second frame is trailing garbage as well
        assert!(inflate(codec, &bytes.into(), &LIMITS).is_err(), "{codec}");
    }
    for codec in [Compression::Lz4, Compression::Zstd] {
        let mut bytes = compress(codec, None, &plain);
        bytes.extend_from_slice(b"xyz");
        assert_eq!(inflate(codec, &bytes.into(), &LIMITS), Err(InflateError::TrailingBytes { extra: 3 }));
    }
}

#[test]
fn one_codec_is_not_another() {
    let plain = lines(40);
    for (made, read) in PACKING.iter().flat_map(|made| PACKING.iter().map(move |read| (*made, *read))) {
        let result = inflate(read, &packed(made, &plain), &LIMITS);
        assert_eq!(result.is_ok(), made == read, "{made} as {read}: {result:?}");
    }
}

#[test]
fn lz4_of_other_writers_is_read() {
    use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
    use std::io::Write as _;
    let plain = lines(20_000);
    for size in [BlockSize::Max64KB, BlockSize::Max256KB, BlockSize::Max1MB, BlockSize::Max4MB] {
        for mode in [BlockMode::Independent, BlockMode::Linked] {
            for checks in [false, true] {
                let info = FrameInfo::new().block_size(size).block_mode(mode);
                let info = info.block_checksums(checks).content_checksum(checks);
                let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
                plain.chunks(100_000).for_each(|part| encoder.write_all(part).unwrap());
                let back = inflate(Compression::Lz4, &encoder.finish().unwrap().into(), &LIMITS);
                assert_eq!(back.as_deref(), Ok(&plain[..]), "{size:?} {mode:?} {checks}");
            }
        }
    }
}

#[test]
fn names_are_read_in_any_case() {
    for codec in ALL {
        assert_eq!(codec.name().to_uppercase().parse(), Ok(codec));
        assert_eq!(codec.to_string(), codec.name());
    }
    assert_eq!("".parse(), Ok(Compression::None));
    let error = "brotli".parse::<Compression>().unwrap_err();
    assert_eq!(error.to_string(), "unknown compression \"brotli\": it is none, gzip, lz4, zstd or snappy");
}
