use bytes::Bytes;
use flymq_wire::batch::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::memory::without_allocation;
use super::{Damage, damage, plausible_bytes};

#[derive(Debug, Clone, PartialEq)]
struct Record {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    timestamp: i64,
    expires_at: Option<i64>,
    headers: Vec<(String, Vec<u8>)>,
}

fn record() -> impl Strategy<Value = Record> {
    let bytes = || vec(any::<u8>(), 0..40);
    (
        option::of(bytes()),
        option::weighted(0.9, bytes()),
        prop_oneof![Just(1000i64), any::<i64>()],
        option::weighted(0.2, any::<i64>()),
        vec((".{0,8}", bytes()), 0..3),
    )
        .prop_map(|(key, value, timestamp, expires_at, headers)| Record {
            key,
            value,
            timestamp,
            expires_at,
            headers,
        })
}

fn build(records: &[Record], producer: ProducerFields) -> Bytes {
    let mut builder = BatchBuilder::new();
    builder.set_producer(producer);
    for record in records {
        let new = NewRecord {
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            timestamp: record.timestamp,
            expires_at: record.expires_at,
        };
        let headers = record.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
        let header_bytes = record.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        let bound = BatchBuilder::size_bound(&new, record.headers.len(), header_bytes);
        let before = builder.size();
        builder.push_with_headers(&new, headers).unwrap();
        assert!(builder.size() - before <= bound);
    }
    let size = builder.size();
    let batch = builder.build().unwrap();
    assert_eq!(batch.len(), size);
    batch
}

fn read(batch: &Bytes) -> Vec<Record> {
    let to_record = |view: RecordView<'_>| Record {
        key: view.key.map(<[u8]>::to_vec),
        value: view.value.map(<[u8]>::to_vec),
        timestamp: view.timestamp,
        expires_at: view.expires_at,
        headers: view.headers().map(|(name, value)| (name.to_owned(), value.to_vec())).collect(),
    };
    RecordIter::new(batch).unwrap().map(|view| to_record(view.unwrap())).collect()
}

fn any_server_fields() -> impl Strategy<Value = ServerFields> {
    (0..u64::MAX / 2, any::<u32>(), any::<u32>(), any::<u64>(), any::<i64>()).prop_map(
        |(base_offset, leader_epoch, chain, incarnation, append_time)| ServerFields {
            base_offset,
            leader_epoch,
            chain,
            incarnation,
            append_time,
        },
    )
}

proptest! {
    #[test]
    fn round_trip(
        records in vec(record(), 1..20),
        (id, epoch, base_sequence) in any::<(u64, u16, i32)>(),
        server in any_server_fields(),
    ) {
        let batch = build(&records, ProducerFields { id, epoch, base_sequence });
        let header = validate_produced(&batch).unwrap();
        prop_assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (id, epoch, base_sequence));
        prop_assert_eq!(read(&batch), &records[..]);

        let mut stamped = batch.to_vec();
        stamp_header(&mut stamped, &server).unwrap();
        prop_assert_eq!(&stamped[..HEADER_LEN], &header.encode_stamped(&server)[..]);
        let header = verify(&stamped).unwrap();
        prop_assert_eq!(header.server, server);
        prop_assert_eq!(&header.encode()[..], &stamped[..HEADER_LEN]);
        let stamped = Bytes::from(stamped);
        prop_assert_eq!(read(&stamped), records);
        let last = RecordIter::new(&stamped).unwrap().last().unwrap().unwrap();
        prop_assert_eq!(last.offset, header.last_offset());
    }

    #[test]
    fn markers_come_back_and_nothing_else_is_one(
        (producer_id, producer_epoch, coordinator_epoch, commit) in (0..u64::MAX, any::<u16>(), any::<u32>(), any::<bool>()),
        damages in vec(damage(), 0..3),
    ) {
        let outcome = if commit { Outcome::Commit } else { Outcome::Abort };
        let marker = Marker { producer_id, producer_epoch, coordinator_epoch, outcome };
        let batch = marker.encode(5).unwrap();
        let (header, mut payload) = (verify(&batch).unwrap(), batch[HEADER_LEN..].to_vec());
        prop_assert_eq!(Marker::parse(&header, &batch.slice(HEADER_LEN..)), Some(marker));
        prop_assert!(validate_produced(&batch).is_err());
        damages.iter().for_each(|damage| damage.apply(&mut payload));
        let payload = Bytes::from(payload);
        without_allocation(|| {
            let _ = Marker::parse(&header, &payload);
        });
        let plain = BatchHeader { flags: header.flags.without(BatchFlags::CONTROL), ..header };
        prop_assert_eq!(Marker::parse(&plain, &batch.slice(HEADER_LEN..)), None);
    }

    #[test]
    fn damage_is_noticed(records in vec(record(), 1..5), damage in damage()) {
        let batch = build(&records, ProducerFields::default());
        let mut damaged = batch.to_vec();
        damage.apply(&mut damaged);
        let noticed = verify(&damaged).is_err();
        prop_assert_eq!(noticed, damaged != batch);
        if matches!(damage, Damage::Cut(_)) {
            let truncated = matches!(verify(&damaged), Err(BatchError::Truncated { .. }));
            prop_assert!(truncated);
        }
    }

    /// With right checksums around it, a damaged payload reaches the record decoder.
    #[test]
    fn damaged_records_neither_panic_nor_allocate(
        records in vec(record(), 1..5),
        damages in vec(damage(), 1..4),
    ) {
        let batch = build(&records, ProducerFields::default());
        let mut payload = batch[HEADER_LEN..].to_vec();
        damages.iter().for_each(|damage| damage.apply(&mut payload));
        let header = BatchHeader {
            payload_len: u32::try_from(payload.len()).unwrap(),
            payload_crc: crc32c::crc32c(&payload),
            ..BatchHeader::parse(&batch).unwrap()
        };
        let forged = Bytes::from([&header.encode()[..], &payload].concat());
        without_allocation(|| {
            let valid = validate_produced(&forged).is_ok();
            let readable = RecordIter::new(&forged).unwrap().all(|record| record.is_ok());
            assert!(readable || !valid, "what was validated can be read");
        });
    }

    #[test]
    fn arbitrary_bytes_neither_panic_nor_allocate(bytes in plausible_bytes(), magic in any::<bool>()) {
        let mut bytes = bytes;
        if magic && bytes.len() > 6 {
            bytes[..6].copy_from_slice(b"FQB1\x01\0");
        }
        let bytes = Bytes::from(bytes);
        without_allocation(|| {
            let _ = verify(&bytes);
            let _ = validate_produced(&bytes);
            let _ = batch_len(&bytes);
            if let Ok(records) = RecordIter::new(&bytes) {
                records.for_each(drop);
            }
        });
        let split: usize =
            BatchSlices::new(bytes.clone()).filter_map(Result::ok).map(|(_, batch)| batch.len()).sum();
        prop_assert!(split <= bytes.len());
    }
}
