use super::super::*;
use super::*;
use crate::compress::InflateError;

fn lines(count: i64) -> BatchBuilder {
    let mut builder = BatchBuilder::new();
    for n in 0..count {
        let value = format!("{{\"id\":{n},\"name\":\"airport {n}\"}}");
        let record = NewRecord { value: Some(value.as_bytes()), timestamp: 1_000 + n, ..Default::default() };
        builder.push_with_headers(&record, [("h", &b"v"[..])]).unwrap();
    }
    builder
}

#[test]
fn a_compressed_batch_opens_to_the_same_records() {
    let plain = lines(500).build().unwrap();
    for codec in [Compression::Gzip, Compression::Lz4, Compression::Zstd, Compression::Snappy] {
        let mut packed = lines(500).build_compressed(codec, None).unwrap().to_vec();
        assert!(packed.len() * 2 < plain.len(), "{codec}: {} of {}", packed.len(), plain.len());
        let header = validate_produced(&packed).unwrap();
        assert_eq!((header.compression, header.record_count), (codec, 500));
        assert_eq!((header.first_timestamp, header.max_timestamp), (1_000, 1_499));
        stamp_header(&mut packed, &ServerFields { base_offset: 70, ..Default::default() }).unwrap();
        let packed = Bytes::from(packed);
        let opened = records(&packed, &InflateLimits::BATCH).unwrap();
        assert_eq!(opened.payload(), &plain[HEADER_LEN..]);
        let last = opened.iter().last().unwrap().unwrap();
        assert_eq!(
            (last.offset, last.timestamp, last.headers().next()),
            (569, 1_499, Some(("h", &b"v"[..])))
        );
    }
}

#[test]
fn what_would_not_shrink_or_not_open_again_is_sent_plain() {
    let mut small = BatchBuilder::new();
    small.push(&NewRecord { key: Some(b"k"), value: Some(b"v"), ..Default::default() }).unwrap();
    let mut zeros = BatchBuilder::new();
    zeros.push(&NewRecord { value: Some(&vec![0; 4 << 20]), ..Default::default() }).unwrap();
    let mut long = BatchBuilder::new();
    for n in 0..40u64 {
        let value: Vec<u8> = (0..1 << 19).map(|i| (i % (251 - n)) as u8).collect();
        long.push(&NewRecord { value: Some(&value), ..Default::default() }).unwrap();
    }
    for builder in [small, zeros, long] {
        let plain = builder.build().unwrap();
        let packed = pack(plain.clone(), Compression::Zstd, None).unwrap();
        assert_eq!(packed.as_ptr(), plain.as_ptr(), "{} bytes became {}", plain.len(), packed.len());
    }
    let once = lines(50).build_compressed(Compression::Zstd, None).unwrap();
    assert_eq!(pack(once.clone(), Compression::Gzip, None).unwrap(), once, "never twice");
}

/// A batch around any payload, with right checksums.
fn forged(codec: Compression, count: u32, payload: &[u8]) -> Bytes {
    let header = BatchHeader {
        compression: codec,
        record_count: count,
        payload_len: payload.len() as u32,
        payload_crc: crc32c::crc32c(payload),
        ..BatchHeader::parse(&lines(1).build().unwrap()).unwrap()
    };
    [&header.encode()[..], payload].concat().into()
}

#[test]
fn lies_inside_a_compressed_batch_are_typed_errors() {
    let plain = lines(50).build().unwrap();
    let codec = Compression::Zstd;
    let open = |count: u32, payload: &[u8]| {
        let batch = forged(codec, count, &compress(codec, None, payload));
        validate_produced(&batch).expect("the server does not look inside");
        records(&batch, &InflateLimits::BATCH).map(|_| ())
    };
    let payload = &plain[HEADER_LEN..];
    assert_eq!(open(51, payload), Err(BatchError::CountMismatch { expected: 51, found: 50 }));
    assert_eq!(open(49, payload), Err(BatchError::CountMismatch { expected: 49, found: 50 }));
    assert_eq!(
        open(50, payload),
        Err(BatchError::TimestampMismatch),
        "the forged header has one record's times"
    );
    assert!(matches!(open(1, b"garbage"), Err(BatchError::BadRecord { index: 0 })));
    // Nested: a batch, or compressed records, inside the compressed payload is no record.
    assert!(matches!(open(1, &plain), Err(BatchError::BadRecord { .. } | BatchError::CountMismatch { .. })));
    assert!(matches!(open(1, &compress(codec, None, payload)), Err(BatchError::BadRecord { .. })));
    let garbage = records(&forged(codec, 1, b"garbage"), &InflateLimits::BATCH).map(|_| ());
    assert_eq!(garbage, Err(BatchError::Inflate(InflateError::Invalid(codec))));
}
