use bytes::{Bytes, BytesMut};

use super::*;

fn record<'a>(key: Option<&'a [u8]>, value: Option<&'a [u8]>, timestamp: i64) -> NewRecord<'a> {
    NewRecord { key, value, timestamp, expires_at: None }
}

fn sample() -> Bytes {
    let mut builder = BatchBuilder::new();
    builder.push(&record(None, Some(b"one"), 1000)).unwrap();
    builder
        .push_with_headers(
            &NewRecord { key: Some(b"k"), value: Some(b"two"), timestamp: 1005, expires_at: Some(9000) },
            [("trace", &b"abc"[..]), ("", &b""[..])],
        )
        .unwrap();
    builder.push(&record(Some(b""), None, 990)).unwrap();
    builder.build().unwrap()
}

#[test]
fn header_bytes_stand_where_the_format_says() {
    let mut builder = BatchBuilder::new();
    builder.set_producer(ProducerFields { id: 7, epoch: 3, base_sequence: 41 });
    builder.add_flags(BatchFlags::TRANSACTIONAL);
    builder.push(&record(Some(b"k1"), Some(b"hello"), 1)).unwrap();
    let mut batch = builder.build_mut().unwrap();
    let fields =
        ServerFields { base_offset: 5, leader_epoch: 2, chain: 0xdead_beef, incarnation: 6, append_time: 9 };
    stamp_header(&mut batch, &fields).unwrap();

    assert_eq!(&batch[..8], b"FQB1\x01\x00\x01\x00");
    assert_eq!(batch[8..12], 16u32.to_le_bytes());
    assert_eq!(batch[12..16], crc32c::crc32c(&batch[96..]).to_le_bytes());
    assert_eq!(batch[16..20], 1u32.to_le_bytes());
    let mut zeroed = batch[..96].to_vec();
    zeroed[20..24].fill(0);
    assert_eq!(batch[20..24], crc32c::crc32c(&zeroed).to_le_bytes());
    assert_eq!(batch[24..32], 5u64.to_le_bytes());
    assert_eq!(batch[32..36], 2u32.to_le_bytes());
    assert_eq!(batch[36..40], 0xdead_beef_u32.to_le_bytes());
    assert_eq!(batch[40..48], 1i64.to_le_bytes());
    assert_eq!(batch[48..56], 1i64.to_le_bytes());
    assert_eq!(batch[56..64], 7u64.to_le_bytes());
    assert_eq!(batch[64..68], [3, 0, 0, 0]);
    assert_eq!(batch[68..72], 41i32.to_le_bytes());
    assert_eq!(batch[72..80], 6u64.to_le_bytes());
    assert_eq!(batch[80..88], 9i64.to_le_bytes());
    assert_eq!(batch[88..96], [0; 8]);
    assert_eq!(&batch[96..], b"\x0c\0\0\0\x01\x02\0\0\0k1hello");
    assert_eq!(verify(&batch).unwrap().server, fields);
}

#[test]
fn records_come_back_as_they_went_in() {
    let batch = sample();
    let records: Vec<_> = RecordIter::new(&batch).unwrap().collect::<Result<_, _>>().unwrap();
    assert_eq!(records.len(), 3);
    assert_eq!((records[0].offset, records[0].timestamp), (0, 1000));
    assert_eq!((records[0].key, records[0].value), (None, Some(&b"one"[..])));
    assert_eq!((records[1].offset, records[1].timestamp), (1, 1005));
    assert_eq!(records[1].expires_at, Some(9000));
    let headers: Vec<_> = records[1].headers().collect();
    assert_eq!(headers, [("trace", &b"abc"[..]), ("", &b""[..])]);
    assert_eq!((records[2].key, records[2].value), (Some(&b""[..]), None));
    assert_eq!(records[2].timestamp, 990);
    assert_eq!(records[1].value_bytes().unwrap(), "two");
    let header = validate_produced(&batch).unwrap();
    assert_eq!((header.first_timestamp, header.max_timestamp), (1000, 1005));
    assert!(header.flags.contains(BatchFlags::HAS_TTL));
}

#[test]
fn stamping_moves_offsets_and_keeps_the_payload() {
    let batch = sample();
    let header = BatchHeader::parse(&batch).unwrap();
    let fields = ServerFields { base_offset: 100, leader_epoch: 1, ..Default::default() };
    let mut stamped = header.encode_stamped(&fields).to_vec();
    stamped.extend_from_slice(&batch[HEADER_LEN..]);
    let stamped = Bytes::from(stamped);
    let header = verify(&stamped).unwrap();
    assert_eq!((header.last_offset(), header.next_offset()), (102, 103));
    let offsets: Vec<_> = RecordIter::new(&stamped).unwrap().map(|r| r.unwrap().offset).collect();
    assert_eq!(offsets, [100, 101, 102]);
    assert_eq!(validate_produced(&stamped).unwrap().server, ServerFields::default());
}

#[test]
fn every_flipped_bit_is_noticed() {
    let batch = sample().to_vec();
    for bit in 0..batch.len() * 8 {
        let mut bad = batch.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(verify(&bad).is_err(), "bit {bit}");
    }
}

#[test]
fn every_cut_is_noticed() {
    let batch = sample();
    for len in 0..batch.len() {
        assert!(matches!(verify(&batch[..len]), Err(BatchError::Truncated { .. })), "length {len}");
    }
    let mut longer = batch.to_vec();
    longer.push(0);
    assert_eq!(verify(&longer), Err(BatchError::TrailingBytes { extra: 1 }));
}

/// A payload with right checksums around wrong records, as a hostile producer could send it.
fn forged(count: u32, payload: &[u8]) -> Vec<u8> {
    let header = BatchHeader {
        record_count: count,
        payload_len: u32::try_from(payload.len()).unwrap(),
        payload_crc: crc32c::crc32c(payload),
        first_timestamp: 0,
        max_timestamp: 0,
        ..BatchHeader::parse(&sample()).unwrap()
    };
    [&header.encode()[..], payload].concat()
}

type ForgedCase = (&'static str, u32, &'static [u8], Result<(), BatchError>);

#[test]
fn forged_payloads_are_refused() {
    let bad = Err(BatchError::BadRecord { index: 0 });
    let cases: [ForgedCase; 13] = [
        ("well-formed", 1, b"\x01\0\0\0\0", Ok(())),
        ("no record", 1, b"", Err(BatchError::CountMismatch { expected: 1, found: 0 })),
        ("too few", 2, b"\x01\0\0\0\0", Err(BatchError::CountMismatch { expected: 2, found: 1 })),
        (
            "too many",
            1,
            b"\x01\0\0\0\0\x01\0\0\0\0",
            Err(BatchError::CountMismatch { expected: 1, found: 2 }),
        ),
        ("no attributes", 1, b"\0\0\0\0", bad),
        ("length past the end", 1, b"\x02\0\0\0\0", bad),
        ("huge length", 1, b"\xff\xff\xff\xff\0", bad),
        ("unknown attribute", 1, b"\x01\0\0\0\x40", bad),
        ("offset delta in a batch without holes", 1, b"\x05\0\0\0\x20\0\0\0\0", bad),
        ("key past the end", 1, b"\x05\0\0\0\x01\x01\0\0\0", bad),
        ("tombstone with a value", 1, b"\x02\0\0\0\x04x", bad),
        ("headers past the end", 1, b"\x03\0\0\0\x02\x01\0", bad),
        (
            "header name not UTF-8",
            1,
            b"\x0a\0\0\0\x02\x01\0\x01\0\xff\0\0\0\0",
            Err(BatchError::BadHeaderName { index: 0 }),
        ),
    ];
    for (what, count, payload, expected) in cases {
        let batch = forged(count, payload);
        assert_eq!(validate_produced(&batch).map(|_| ()), expected, "{what}");
        let shared = Bytes::from(batch);
        let read = RecordIter::new(&shared).unwrap().try_for_each(|record| record.map(|_| ()));
        assert_eq!(read, expected, "{what}, iterated");
    }
}

#[test]
fn header_fields_are_checked() {
    let cases: [(usize, u8, BatchError); 7] = [
        (0, 0, BatchError::BadMagic { found: 0x3142_5100 }),
        (4, 2, BatchError::BadVersion { found: 2 }),
        (5, 5, BatchError::BadCompression { found: 5 }),
        (6, 0x40, BatchError::BadFlags { found: 0x40 }),
        (66, 1, BatchError::BadReserved),
        (95, 1, BatchError::BadReserved),
        (16, 0, BatchError::Empty),
    ];
    for (at, byte, expected) in cases {
        let mut batch = sample().to_vec();
        batch[at] = byte;
        assert_eq!(BatchHeader::parse(&batch), Err(expected), "byte {at}");
    }
}

#[test]
fn only_an_encrypted_batch_counts_writes() {
    let plain = BatchHeader { write_counter: 7, ..BatchHeader::parse(&sample()).unwrap() };
    assert_eq!(BatchHeader::parse(&plain.encode()), Err(BatchError::BadReserved));
    let encrypted = BatchHeader { flags: BatchFlags::ENCRYPTED, ..plain };
    assert_eq!(BatchHeader::parse(&encrypted.encode()), Ok(encrypted));
}

#[test]
fn producers_may_not_set_server_flags_nor_lie_about_time_or_ttl() {
    let header = BatchHeader::parse(&sample()).unwrap();
    let produced = |header: BatchHeader| {
        let batch = [&header.encode()[..], &sample()[HEADER_LEN..]].concat();
        validate_produced(&batch).map(|_| ())
    };
    assert_eq!(produced(header), Ok(()));
    for flag in [BatchFlags::CONTROL, BatchFlags::ENCRYPTED, BatchFlags::COMPACTED] {
        let flags = header.flags.union(flag);
        assert_eq!(
            produced(BatchHeader { flags, ..header }),
            Err(BatchError::BadFlags { found: flags.bits() })
        );
    }
    let flags = BatchFlags::empty();
    assert_eq!(produced(BatchHeader { flags, ..header }), Err(BatchError::BadFlags { found: 0 }));
    let late = BatchHeader { max_timestamp: i64::MAX, ..header };
    assert_eq!(produced(late), Err(BatchError::TimestampMismatch));
}

#[test]
fn compressed_records_are_not_read_as_plain() {
    let mut batch = sample().to_vec();
    batch[5] = Compression::Zstd.code();
    assert!(validate_produced(&batch).is_ok());
    let batch = Bytes::from(batch);
    assert_eq!(RecordIter::new(&batch).err(), Some(BatchError::Compressed(Compression::Zstd)));
}

#[test]
fn slices_split_a_run_of_batches() {
    let one = sample();
    let run = Bytes::from([&one[..], &one, &one].concat());
    let parts: Vec<_> = BatchSlices::new(run.clone()).collect::<Result<_, _>>().unwrap();
    assert_eq!(parts.len(), 3);
    assert!(parts.iter().all(|(header, batch)| *batch == one && header.record_count == 3));
    let cut = run.slice(..run.len() - 1);
    let results: Vec<_> = BatchSlices::new(cut).collect();
    assert_eq!(results.len(), 3);
    assert_eq!(results[2], Err(BatchError::Truncated { need: one.len(), have: one.len() - 1 }));
}

#[test]
fn chain_depends_on_every_payload_and_the_order() {
    let run = |crcs: &[u32]| crcs.iter().fold(0, |value, crc| chain(value, *crc));
    assert_ne!(run(&[1, 2, 3]), run(&[1, 3, 2]));
    assert_ne!(run(&[1, 2]), run(&[1]));
    assert_eq!(chain(0, 1), crc32c::crc32c(&[0, 0, 0, 0, 1, 0, 0, 0]));
}

#[test]
fn a_record_that_does_not_fit_leaves_the_batch_as_it_was() {
    let mut builder = BatchBuilder::new();
    builder.push(&record(None, Some(b"one"), 1)).unwrap();
    let size = builder.size();
    let name = "n".repeat(65_536);
    let result = builder.push_with_headers(&record(None, Some(b"x"), 2), [(name.as_str(), &b""[..])]);
    assert_eq!(result, Err(BatchError::TooLarge));
    assert_eq!((builder.size(), builder.record_count()), (size, 1));
    assert_eq!(validate_produced(&builder.build().unwrap()).unwrap().max_timestamp, 1);
    assert_eq!(BatchBuilder::new().build(), Err(BatchError::Empty));
}

/// Offsets 0, 3 and 4 of a batch that spans six.
fn compacted() -> BytesMut {
    let mut builder = BatchBuilder::compacted(6, 0);
    builder.push_at(0, &record(Some(b"a"), Some(b"1"), 50), []).unwrap();
    builder.push_at(3, &record(Some(b"b"), None, 50), []).unwrap();
    builder.push_at(4, &record(Some(b"c"), Some(b"2"), 40), [("h", &b"v"[..])]).unwrap();
    builder.build_mut().unwrap()
}

#[test]
fn compacted_batches_keep_offsets_and_span() {
    let mut batch = compacted();
    stamp_header(&mut batch, &ServerFields { base_offset: 10, ..Default::default() }).unwrap();
    let batch = batch.freeze();
    assert_eq!(&batch[6..8], [0x20, 0]);
    assert_eq!(batch[16..20], 6u32.to_le_bytes(), "the record count is the span");
    let golden =
        [&b"\x0b\0\0\0\x21\0\0\0\0\x01\0\0\0a1"[..], b"\x0a\0\0\0\x25\x03\0\0\0\x01\0\0\0b"].concat();
    assert_eq!(batch[96..96 + golden.len()], golden);
    let header = verify(&batch).unwrap();
    assert_eq!((header.last_offset(), header.next_offset(), header.max_timestamp), (15, 16, 50));
    let records: Vec<_> = RecordIter::new(&batch).unwrap().collect::<Result<_, _>>().unwrap();
    assert_eq!(records.iter().map(|r| r.offset).collect::<Vec<_>>(), [10, 13, 14]);
    assert_eq!(records.iter().map(|r| r.timestamp).collect::<Vec<_>>(), [50, 50, 40]);
    assert_eq!((records[1].key, records[1].value), (Some(&b"b"[..]), None));
    assert_eq!(records[2].headers().collect::<Vec<_>>(), [("h", &b"v"[..])]);
}

#[test]
fn a_compacted_batch_may_be_empty() {
    let batch = BatchBuilder::compacted(9, 77).build().unwrap();
    let header = verify(&batch).unwrap();
    assert_eq!((header.record_count, header.first_timestamp, header.payload_len), (9, 77, 0));
    assert_eq!(RecordIter::new(&batch).unwrap().count(), 0);
    assert_eq!(BatchBuilder::compacted(0, 77).build(), Err(BatchError::Empty));
}

#[test]
fn deltas_that_do_not_rise_within_the_span_are_refused() {
    let build = |span, deltas: &[u32]| {
        let mut builder = BatchBuilder::compacted(span, 0);
        deltas.iter().for_each(|delta| builder.push_at(*delta, &record(None, Some(b"x"), 0), []).unwrap());
        builder.build().unwrap()
    };
    assert!(verify(&build(3, &[0, 2])).is_ok());
    for (span, deltas, index) in [(3, &[2, 2][..], 1), (3, &[1, 0], 1), (3, &[3], 0), (1, &[u32::MAX], 0)] {
        let batch = build(span, deltas);
        assert_eq!(verify(&batch), Err(BatchError::BadRecord { index }), "{deltas:?}");
        assert!(RecordIter::new(&batch).unwrap().any(|record| record.is_err()), "{deltas:?}");
    }
    let mut without = compacted().to_vec();
    without[HEADER_LEN + 4] = 1; // the first record's delta now reads as a key length
    assert!(RecordIter::new(&without.into()).unwrap().any(|record| record.is_err()));
}
