use flymq_filter::{ENCRYPTION_HEADER, FilterKind};
use flymq_types::{Compression, Limits};
use flymq_wire::batch::{ServerFields, pack};

use super::*;
use crate::convert::Opener;

/// A stored batch of these values; `sealed` ones say that they are encrypted.
fn batch(base_offset: u64, values: &[&str], compression: Compression) -> RecordBatch {
    let mut builder = BatchBuilder::new();
    for value in values {
        let record = NewRecord { value: Some(value.as_bytes()), key: Some(b"k"), ..NewRecord::default() };
        let sealed: &[(&str, &[u8])] = if *value == "sealed" { &[(ENCRYPTION_HEADER, b"AES")] } else { &[] };
        builder.push_with_headers(&record, sealed.iter().copied()).unwrap();
    }
    let bytes = pack(builder.build().unwrap(), compression, None).unwrap();
    RecordBatch::from_producer(bytes).unwrap().stamp(ServerFields { base_offset, ..ServerFields::default() })
}

fn fetched(batches: Vec<RecordBatch>) -> Fetched {
    let end = batches.last().map_or(0, |batch| batch.header().next_offset());
    Fetched {
        batches,
        next_offset: Offset(end),
        held: false,
        high_watermark: Offset(end),
        low_watermark: Offset(0),
        log_end_offset: Offset(end),
    }
}

fn sieve(kind: FilterKind, text: &str) -> Sieve {
    let limits = Limits::default();
    Sieve {
        filter: Arc::new(Filter::new(kind, text).unwrap()),
        topic: TopicName::any("t").unwrap(),
        opener: Opener::new(&limits, 64 << 20),
    }
}

async fn sift(sieve: &Sieve, from: u64, batches: Vec<RecordBatch>) -> Result<Sifted, BrokerError> {
    sieve.sift(Offset(from), PartitionId(0), fetched(batches)).await
}

fn left(sifted: &Sifted) -> Vec<(u64, String)> {
    let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
    let of = |batch: &RecordBatch| {
        // As a reader opens what it gets: crc and framing are checked.
        let batch = RecordBatch::from_log(batch.to_bytes()).unwrap();
        let records = batch.open(&Limits::default().inflate()).unwrap();
        records.iter().map(|r| r.unwrap()).map(|r| (r.offset, text(r.value))).collect::<Vec<_>>()
    };
    sifted.fetched.batches.iter().flat_map(of).collect()
}

#[tokio::test]
async fn only_what_matches_is_left_with_its_offset() {
    for compression in [Compression::None, Compression::Zstd] {
        let batches = vec![
            batch(10, &["an ERROR", "fine", "ERROR two"], compression),
            batch(13, &["fine", "fine"], compression),
            batch(15, &["ERROR", "ERROR"], compression),
        ];
        let found = sift(&sieve(FilterKind::Text, "ERROR"), 11, batches.clone()).await.unwrap();
        let expected = [(12, "ERROR two"), (15, "ERROR"), (16, "ERROR")];
        assert_eq!(left(&found), expected.map(|(offset, text)| (offset, text.to_owned())));
        assert_eq!((found.fetched.next_offset.get(), found.filtered, found.failed), (17, 3, 0));
        assert_eq!(found.fetched.batches[1], batches[2], "a batch that matches whole is not built anew");
        assert_eq!(found.fetched.batches[0].header().next_offset(), 13);
    }
}

#[tokio::test]
async fn what_an_expression_fails_on_is_passed_over_and_counted() {
    let batches =
        vec![batch(0, &[r#"{"a": 1}"#, "no json", r#"{"b": 1}"#, r#"{"a": 2}"#], Compression::None)];
    let found = sift(&sieve(FilterKind::Cel, "value.a >= 1"), 0, batches).await.unwrap();
    assert_eq!(left(&found).iter().map(|(offset, _)| *offset).collect::<Vec<_>>(), [0, 3]);
    assert_eq!((found.filtered, found.failed), (2, 2));
}

#[tokio::test]
async fn an_encrypted_value_ends_the_run_before_it_and_is_an_error_where_it_comes_first() {
    let batches = || vec![batch(0, &["a", "b", "sealed", "a"], Compression::None)];
    let by_text = sieve(FilterKind::Text, "a");
    let found = sift(&by_text, 0, batches()).await.unwrap();
    assert_eq!((left(&found), found.fetched.next_offset.get()), (vec![(0, "a".to_owned())], 2));
    assert!(found.stopped);
    assert_eq!(
        found.fetched.batches[0].header().next_offset(),
        2,
        "a reader of batches goes on there as well"
    );
    let found = sift(&by_text, 1, batches()).await.unwrap();
    assert_eq!((left(&found), found.fetched.next_offset.get()), (vec![], 2));
    let refused = sift(&by_text, 2, batches()).await.unwrap_err();
    assert_eq!((refused.code, &refused.metadata["offset"][..]), (ErrorCode::FilterOnEncrypted, "2"));
    assert_eq!(left(&sift(&by_text, 3, batches()).await.unwrap()).len(), 1);
    let by_key = sift(&sieve(FilterKind::Cel, "key == 'k'"), 0, batches()).await.unwrap();
    assert_eq!(left(&by_key).len(), 4, "a filter that does not look at the value passes encrypted records");
}

#[tokio::test]
async fn a_run_that_takes_long_ends_where_it_stands_and_none_is_lost() {
    let document = format!("[{}]", vec!["1"; 20_000].join(","));
    let values: Vec<&str> = vec![&document; 400];
    let slow = sieve(FilterKind::Cel, "value.all(a, a == 1) || value.size() == 20000");
    let batches = vec![batch(0, &values, Compression::Zstd)];
    let (mut from, mut seen, mut runs) = (0, Vec::new(), 0);
    while from < 400 {
        let found = sift(&slow, from, batches.clone()).await.unwrap();
        assert!(found.fetched.next_offset.get() > from, "each run gets on");
        from = found.fetched.next_offset.get();
        seen.extend(left(&found).into_iter().map(|(offset, _)| offset));
        runs += 1;
    }
    assert_eq!(seen, (0..400).collect::<Vec<_>>());
    assert!(runs > 1, "the test is about runs that are cut");
}
