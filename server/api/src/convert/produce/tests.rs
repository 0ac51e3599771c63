use flymq_wire::batch::validate_produced;

use super::*;

fn record(value: usize) -> pb::Record {
    pb::Record { value: vec![7; value].into(), ..Default::default() }
}

#[test]
fn batches_split_at_the_limits_and_keep_the_order() {
    let limits = Limits { batch_bytes: 1_000, batch_records: 3, ..Limits::DEFAULT };
    let records: Vec<pb::Record> = [1, 1, 1, 1, 600, 600, 1].map(record).into();
    let indexes: Vec<usize> = (0..records.len()).collect();
    let built = build(&records, &indexes, (Timestamp(5), 0), None, &limits).expect("valid records");
    let runs: Vec<&[usize]> = built.iter().map(|batch| &batch.indexes[..]).collect();
    assert_eq!(runs, [&[0, 1, 2][..], &[3, 4], &[5, 6]]);
    for batch in &built {
        assert!(batch.bytes.len() <= limits.batch_bytes);
        let header = validate_produced(&batch.bytes).expect("the engine accepts it");
        assert_eq!(header.record_count as usize, batch.indexes.len());
        assert_eq!(header.first_timestamp, 5);
    }
}

#[test]
fn text_stands_in_for_absent_bytes_only() {
    let text = |key: Option<&'static str>, value: &'static str, tombstone| pb::Record {
        key: key.map(|key| Bytes::from_static(key.as_bytes())),
        value: Bytes::from_static(value.as_bytes()),
        key_text: Some("kt".to_owned()),
        value_text: Some("vt".to_owned()),
        tombstone,
        ..Default::default()
    };
    let absent = text(None, "", false);
    assert_eq!((key_of(&absent), value_of(&absent)), (Some(&b"kt"[..]), Some(&b"vt"[..])));
    let given = text(Some("k"), "v", false);
    assert_eq!((key_of(&given), value_of(&given)), (Some(&b"k"[..]), Some(&b"v"[..])));
    let empty = pb::Record { key: Some(Bytes::new()), ..Default::default() };
    assert_eq!((key_of(&empty), value_of(&empty)), (None, Some(&b""[..])), "an empty key is no key");
    let tombstone = pb::Record { tombstone: true, ..Default::default() };
    assert_eq!(value_of(&tombstone), None);
}

#[test]
fn a_record_above_the_limit_in_a_ready_batch_is_found() {
    let limits = Limits { record_bytes: 100, ..Limits::DEFAULT };
    let batch = |sizes: &[usize]| {
        let mut builder = BatchBuilder::new();
        for &size in sizes {
            builder.push(&NewRecord { value: Some(&vec![1; size]), ..NewRecord::default() }).expect("small");
        }
        builder.build().expect("records")
    };
    assert_eq!(ready(batch(&[90, 90]), true, false, &limits).expect("each is small enough").records, 2);
    let error = ready(batch(&[10, 101]), true, false, &limits).expect_err("the second is too large");
    assert_eq!((error.code, error.metadata["record"].as_str()), (ErrorCode::RecordTooLarge, "1"));
}

#[test]
fn the_key_of_a_compressed_record_decides_where_no_partition_is_named() {
    let mut builder = BatchBuilder::new();
    let value = [7; 1_000];
    builder.push(&NewRecord { key: Some(b"k"), value: Some(&value), ..Default::default() }).expect("small");
    let packed = builder.build_compressed(Compression::Zstd, None).expect("records");
    let key = |needs_key| ready(packed.clone(), needs_key, false, &Limits::DEFAULT).expect("a batch").key;
    assert_eq!(key(true).as_deref(), Some(&b"k"[..]));
    assert_eq!(key(false), None, "not opened for nothing");
}
